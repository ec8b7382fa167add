//! Rendered people with known action units, written as each database of coded frames publishes its own: `evaluate au` has
//! to say the same of all of them.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;

use glint::au::{Side, intensity_of_fraction, unit_indices};
use glint::clip::{AviWriter, Codec, Rate};
use glint::frame::Frame;
use glint::synth::{Action, Camera, HeadMotion, Pack, Profile, Scene, Script, Subject};
use image::GrayImage;
use serde_json::Value;

use super::pretrain;

const FPS: f64 = 20.0;
const FRAMES: u32 = 90;
const SIZE: (usize, usize) = (320, 240);
const MOVED: [u8; 2] = [4, 12];

/// A person: luma and codes of [`MOVED`] of every frame.
type Person = Vec<(Vec<u8>, [u8; 2])>;

/// Frowns and smiles, for 600 ms each.
fn film(person: u64) -> Person {
    let pose = |au, from_ms: i64| Action {
        au,
        side: Side::Both,
        intensity: 0.6 + 0.2 * person as f32,
        onset_ns: from_ms * 1_000_000,
        apex_ns: (from_ms + 250) * 1_000_000,
        offset_ns: (from_ms + 600) * 1_000_000,
        profile: Profile::Hold,
    };
    let mut script = Script::new(vec![pose(4, 1200), pose(12, 2700)]).expect("valid");
    script.head = HeadMotion::STILL;
    let camera = Camera { width: SIZE.0, height: SIZE.1, eye_distance_px: 80.0, ..Camera::default() };
    let mut scene = Scene::new(Subject::random(Pack::embedded().expect("pack"), 90 + person), script, camera);
    let mut frame = Frame::default();
    (0..FRAMES)
        .map(|k| {
            let at_ns = (f64::from(k) * 1e9 / FPS) as i64;
            scene.render(k.into(), at_ns, &mut frame);
            let truth = scene.pose(at_ns).fractions;
            let code = |au: u8| {
                let largest = unit_indices(au, Side::Both).map(|u| truth[u]).fold(0.0, f32::max);
                intensity_of_fraction(largest).round() as u8
            };
            (frame.luma.clone(), MOVED.map(code))
        })
        .collect()
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
    std::fs::write(path, text).expect("writes");
}

/// Rows of each frame's number and its code of one AU.
fn rows(person: &Person, au: usize, row: impl Fn(u32, u8) -> String) -> String {
    person.iter().enumerate().fold(String::new(), |mut text, (k, (_, codes))| {
        writeln!(text, "{}", row(k as u32, codes[au])).expect("a string");
        text
    })
}

fn images(person: &Person, dir: &Path, name: impl Fn(u32) -> String) {
    std::fs::create_dir_all(dir).expect("folder");
    for (k, (luma, _)) in person.iter().enumerate() {
        let image = GrayImage::from_raw(SIZE.0 as u32, SIZE.1 as u32, luma.clone()).expect("a frame");
        image.save(dir.join(name(k as u32))).expect("saves");
    }
}

fn as_disfa(people: &[Person], dir: &Path) {
    for (p, person) in people.iter().enumerate() {
        let subject = format!("SN{:03}", p + 1);
        for (i, au) in MOVED.iter().enumerate() {
            let path = dir.join("ActionUnit_Labels").join(&subject).join(format!("{subject}_au{au}.txt"));
            write(&path, &(rows(person, i, |k, code| format!("{},{code}", k + 1)) + "91,9\n"));
        }
        let path = dir.join("Videos_LeftCamera").join(format!("LeftVideo{subject}_comp.avi"));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        let rate = Rate::from_fps(FPS).expect("a rate");
        let mut avi = AviWriter::create(&path, rate, SIZE, Codec::Gray).expect("creates");
        person.iter().for_each(|(luma, _)| avi.write(luma).expect("writes"));
        avi.finish().expect("finishes");
    }
}

fn as_disfa_plus(people: &[Person], dir: &Path) {
    for (p, person) in people.iter().enumerate() {
        let trial = format!("SN{:03}/A1_AU1_TrailNo_1", p + 1);
        for (i, au) in MOVED.iter().enumerate() {
            let text = rows(person, i, |k, code| format!("{k:03}.png     {code}"));
            write(
                &dir.join("Labels").join(&trial).join(format!("AU{au}.txt")),
                &format!("# frame   code\n{text}"),
            );
        }
        images(person, &dir.join("Images").join(&trial), |k| format!("{k:03}.png"));
    }
}

/// BP4D codes the intensity of AU 12 and the occurrence of both.
fn as_bp4d(people: &[Person], dir: &Path) {
    for (p, person) in people.iter().enumerate() {
        let subject = format!("F{:03}", p + 1);
        let coding = dir.join("AUCoding");
        let text = rows(person, 1, |k, code| format!("{},{code}", 2440 + k));
        write(&coding.join(format!("AU_INT/AU12/{subject}_T1_AU12.csv")), &text);
        let mut text = "0,4,12\n".to_owned();
        for (k, (_, codes)) in person.iter().enumerate() {
            let [frown, smile] = codes.map(|c| u8::from(c > 0));
            writeln!(text, "{},{frown},{smile}", 2440 + k).expect("a string");
        }
        write(&coding.join(format!("AU_OCC/{subject}_T1.csv")), &text);
        images(person, &dir.join("BP4D-training").join(&subject).join("T1"), |k| format!("{}.png", 2440 + k));
    }
}

fn as_unbc(people: &[Person], dir: &Path) {
    for (person, (subject, sequence)) in
        people.iter().zip([("042-ll042", "ll042t1aaaff"), ("043-jh043", "jh043t1afaff")])
    {
        let place = Path::new(subject).join(sequence);
        for (k, (_, codes)) in person.iter().enumerate() {
            let text = MOVED.iter().zip(codes).filter(|(_, code)| **code > 0).fold(
                String::new(),
                |mut text, (au, code)| {
                    writeln!(text, "   {au:.7e}   {code:.7e}   0.0000000e+00   0.0000000e+00")
                        .expect("a string");
                    text
                },
            );
            let file = format!("{sequence}{:03}_facs.txt", k + 1);
            write(&dir.join("Frame_Labels/FACS").join(&place).join(file), &text);
        }
        images(person, &dir.join("Images").join(&place), |k| format!("{sequence}{:03}.png", k + 1));
    }
}

fn evaluate(database: &str, dir: &Path, more: &[&str]) -> Output {
    let done = pretrain()
        .args(["evaluate", "au", "--database", database, "--fps", "20"])
        .args(more)
        .arg("--data")
        .arg(dir)
        .output()
        .expect("runs");
    assert!(done.status.success(), "{database}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

#[test]
fn one_film_in_four_layouts_has_the_same_figures() {
    let root = tempfile::tempdir().expect("folder");
    let at = |name: &str| root.path().join(name);
    let people = [film(0), film(1)];
    as_disfa(&people, &at("disfa"));
    as_disfa_plus(&people, &at("disfa-plus"));
    as_bp4d(&people, &at("bp4d"));
    as_unbc(&people, &at("unbc"));
    let read = |database: &str| -> Value {
        serde_json::from_slice(&evaluate(database, &at(database), &["--json"]).stdout).expect("one object")
    };
    let disfa = read("disfa");
    assert_eq!(disfa["people"], 2, "{disfa}");
    assert_eq!(disfa["frames_seen"], 2 * FRAMES, "{disfa}");
    let smile = &disfa["aus"]["12"];
    assert!(smile["icc"].as_f64().expect("ICC") > 0.9, "{disfa}");
    assert!(smile["icc_ci95"].as_array().is_some_and(|i| i.len() == 2), "{disfa}");
    assert_eq!(read("disfa-plus")["aus"], disfa["aus"]);
    for name in ["bp4d", "unbc"] {
        let other = read(name);
        for figure in ["frames", "icc", "mae", "pcc", "icc_ci95", "mae_ci95", "pcc_ci95"] {
            assert_eq!(other["aus"]["12"][figure], smile[figure], "{name}: {figure}: {other}");
        }
        assert_eq!((&other["present_from"], &other["measured_present_from"]), (&1.into(), &0.5.into()));
        assert!(other["aus"]["4"]["f1"].as_f64().expect("F1") > 0.5, "{name}: {other}");
    }
    // Of an AU that is coded as present or not there is nothing but F1.
    assert!(read("bp4d")["aus"]["4"]["icc"].is_null());
    let done = evaluate("disfa", &at("disfa"), &[]);
    let (table, stderr_text) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    for line in [
        "disfa: 2 videos of 2 people, 180 coded frames",
        "present: coded 2 or more",
        "AU04",
        "AU12",
        "mean",
        "all",
    ] {
        assert!(table.lines().any(|l| l.starts_with(line)), "{line}\n{table}");
    }
    assert!(
        stderr_text.contains("SN001_au12.txt, row 91: 9 is no intensity from 0 to 5; row left out"),
        "{stderr_text}"
    );
    let refused =
        pretrain().args(["evaluate", "au", "--database", "gft", "--data", "."]).output().expect("runs");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("gft: layout not confirmed"));
}
