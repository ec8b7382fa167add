//! The whole chain on small made-up databases of every layout: sheet and frames to a fine-tuned network's scores.

use std::path::{Path, PathBuf};

use glint::frame::Frame;
use glint::synth::{Action, Camera, Pack, Scene, Script, Subject};
use image::{ImageBuffer, Luma};
use rust_xlsxwriter::Workbook;
use serde_json::Value;

use super::pretrain;

/// Frames of a clip: 12, onset and apex at these positions.
const FRAMES: u32 = 12;
const ONSET: u32 = 2;
const APEX: u32 = 7;

/// Two people, each with a smile and a frown.
struct Material {
    /// `clips[person][movement]`: luma of every frame.
    clips: Vec<Vec<Vec<Vec<u8>>>>,
    size: (u32, u32),
}

fn material() -> Material {
    let pack = Pack::embedded().expect("pack");
    let camera = Camera { width: 320, height: 240, eye_distance_px: 70.0, ..Camera::default() };
    let clips = (0..2u64)
        .map(|person| {
            [12, 4]
                .map(|au| {
                    let at = |frame: u32| i64::from(frame) * 20_000_000;
                    let action = Action {
                        onset_ns: at(ONSET),
                        apex_ns: at(APEX),
                        offset_ns: at(FRAMES),
                        ..Action::micro(au, 0.4, 0)
                    };
                    let mut script = Script::new(vec![action]).expect("valid");
                    script.head = glint::synth::HeadMotion::STILL;
                    let mut scene = Scene::new(Subject::random(&pack, 70 + person), script, camera);
                    let mut frame = Frame::default();
                    (0..FRAMES)
                        .map(|k| {
                            scene.render(u64::from(k), at(k), &mut frame);
                            frame.luma.clone()
                        })
                        .collect()
                })
                .to_vec()
        })
        .collect();
    Material { clips, size: (camera.width as u32, camera.height as u32) }
}

impl Material {
    /// Writes a clip; `name` gives the file of a position.
    fn write(&self, person: usize, movement: usize, dir: &Path, name: impl Fn(u32) -> String) {
        std::fs::create_dir_all(dir).expect("folder");
        for (k, luma) in self.clips[person][movement].iter().enumerate() {
            let image: ImageBuffer<Luma<u8>, _> =
                ImageBuffer::from_raw(self.size.0, self.size.1, luma.clone()).expect("a frame");
            image.save(dir.join(name(k as u32))).expect("saves");
        }
    }

    /// Writes 16-bit depth: a plane at 600 mm, and a bump that moves with the clip.
    fn write_depth(&self, dir: &Path, name: impl Fn(u32) -> String) {
        std::fs::create_dir_all(dir).expect("folder");
        for k in 0..FRAMES {
            let image = ImageBuffer::from_fn(self.size.0, self.size.1, |x, y| {
                let bump = if x > 150 && y > 120 { k as u16 } else { 0 };
                Luma([600 + (y / 16) as u16 - bump])
            });
            image.save(dir.join(name(k))).expect("saves");
        }
    }
}

fn workbook(path: &Path, sheets: &[Vec<Vec<String>>]) {
    let mut book = Workbook::new();
    for rows in sheets {
        let sheet = book.add_worksheet();
        for (r, row) in rows.iter().enumerate() {
            for (c, cell) in row.iter().enumerate().filter(|(_, c)| !c.is_empty()) {
                match cell.parse::<f64>() {
                    Ok(v) if !cell.starts_with('0') => sheet.write_number(r as u32, c as u16, v),
                    _ => sheet.write_string(r as u32, c as u16, cell),
                }
                .expect("writes");
            }
        }
    }
    book.save(path).expect("saves");
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|c| (*c).to_owned()).collect()
}

/// Writes one database of each layout below `root`; returns its arguments.
fn databases(m: &Material, root: &Path) -> Vec<(PathBuf, Vec<&'static str>)> {
    let mut out = Vec::new();
    let words = ["happiness", "disgust"];
    // Onset, apex and offset as numbers of files that start at `first`.
    let times = |first: u32| [ONSET, APEX, FRAMES - 1].map(|k| (first + k).to_string());
    let mut begin = |name: &str, args: &[&'static str]| {
        let dir = root.join(name);
        std::fs::create_dir_all(&dir).expect("folder");
        out.push((dir.clone(), args.to_vec()));
        dir
    };
    let both = || (0..2usize).flat_map(|p| (0..2usize).map(move |k| (p, k)));

    let dir = begin("casme2", &["--database", "casme2"]);
    let mut rows = vec![row(&[
        "Subject",
        "Filename",
        "",
        "OnsetFrame",
        "ApexFrame",
        "OffsetFrame",
        "",
        "Action Units",
        "Estimated Emotion",
    ])];
    for (p, k) in both() {
        let [a, b, c] = times(40);
        let clip = format!("EP0{k}_01");
        rows.push(row(&[
            &(p + 1).to_string(),
            &clip,
            "",
            &a,
            if k == 0 { &b } else { "/" },
            &c,
            "",
            "12",
            words[k],
        ]));
        m.write(p, k, &dir.join(format!("CASME2_RAW_selected/sub0{}/{clip}", p + 1)), |n| {
            format!("img{}.jpg", 40 + n)
        });
    }
    workbook(&dir.join("CASME2-coding-20140508.xlsx"), &[rows]);

    let dir = begin("samm", &["--database", "samm"]);
    let mut rows = vec![row(&["text above"]); 13];
    rows.push(row(&[
        "Subject",
        "Filename",
        "Onset Frame",
        "Apex Frame",
        "Offset Frame",
        "Action Units",
        "Estimated Emotion",
    ]));
    for (p, k) in both() {
        let [a, b, c] = times(5000);
        let (person, clip) = (format!("00{}", p + 6), format!("00{}_{k}_1", p + 6));
        rows.push(row(&[&person, &clip, &a, &b, &c, "L12 or L14", words[k]]));
        m.write(p, k, &dir.join("SAMM").join(&person).join(&clip), |n| format!("{person}_0{}.jpg", 5000 + n));
    }
    workbook(&dir.join("SAMM_Micro_FACS_Codes_v2.xlsx"), &[rows]);

    let dir = begin("smic", &["--database", "smic"]);
    for (p, k) in both() {
        let (class, short) = [("positive", "po"), ("negative", "ne")][k];
        let clip = format!("SMIC_all_raw/HS/s{}/micro/{class}/s{}_{short}_01", p + 1, p + 1);
        m.write(p, k, &dir.join(clip), |n| format!("image{}.bmp", 100 + n));
    }

    let dir = begin("cas-me2", &["--database", "cas-me2"]);
    let mut table = Vec::new();
    for (p, k) in both() {
        let [a, b, c] = times(1);
        table.push(row(&[
            &(p + 1).to_string(),
            ["happy1_1", "disgust1_1"][k],
            &a,
            &b,
            &c,
            "12",
            words[k],
            "micro-expression",
            "",
        ]));
        let code = ["0503", "0101"][k];
        m.write(p, k, &dir.join(format!("rawpic/s{}/{}_{code}video", p + 15, p + 15)), |n| {
            format!("img{:03}.jpg", 1 + n)
        });
    }
    let subjects = vec![row(&["1", "s15", "1"]), row(&["2", "s16", "2"])];
    let videos = vec![row(&["0503", "happy1"]), row(&["0101", "disgust1"])];
    workbook(&dir.join("code_final.xlsx"), &[table, subjects, videos]);

    let dir = begin(
        "cas-me3",
        &["--database", "cas-me3", "--protocol", "4", "--depth-pattern", "depth/{frame}.png"],
    );
    let mut rows =
        vec![row(&["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"])];
    for (p, k) in both() {
        let [a, b, c] = times(355);
        let (person, clip) = (format!("spNO.{}", p + 1), ["a", "b"][k]);
        rows.push(row(&[&person, clip, &a, &b, &c, "12", "I", ["happy", "Others"][k]]));
        let folder = dir.join("part_A").join(&person).join(clip);
        m.write(p, k, &folder.join("color"), |n| format!("{}.jpg", 355 + n));
        m.write_depth(&folder.join("depth"), |n| format!("{}.png", 355 + n));
    }
    workbook(&dir.join("cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"), &[rows]);

    let dir = begin("4dme", &["--database", "4dme"]);
    let mut rows = vec![row(&["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs"])];
    for (p, k) in both() {
        let [a, b, c] = times(1800);
        let (person, clip) = ((p + 6).to_string(), format!("clip_{k}"));
        rows.push(row(&[&person, &clip, ["Positive", "Negative, Repression"][k], &a, &b, &c, "AU4(k)+L7"]));
        m.write(p, k, &dir.join("gray_micro").join(&person).join(&clip), |n| {
            format!("Frame_{:09}.jpg", 1800 + n)
        });
    }
    workbook(&dir.join("4DME_Labelling_Micro_release v1.xlsx"), &[rows]);

    let dir = begin("mmew", &["--database", "mmew"]);
    let mut rows = vec![row(&[
        "Subject",
        "Filename",
        "OnsetFrame",
        "ApexFrame",
        "OffsetFrame",
        "Action Units",
        "Estimated Emotion",
        "remarks",
    ])];
    for (p, k) in both() {
        let [a, b, c] = times(1);
        let clip = format!("S0{}-0{k}-001", p + 1);
        rows.push(row(&[&(p + 1).to_string(), &clip, &a, &b, &c, "12", words[k], ""]));
        m.write(p, k, &dir.join("Micro_Expression").join(words[k]).join(&clip), |n| format!("{}.jpg", 1 + n));
    }
    workbook(&dir.join("MMEW_Micro_Exp.xlsx"), &[rows]);

    let dir = begin("dfme", &["--database", "dfme"]);
    let mut rows = vec![row(&[
        "Subject",
        "Filename",
        "OnsetFrame",
        "ApexFrame",
        "OffsetFrame",
        "Emotion",
        "EmotionId",
        "Fps",
        "AU",
    ])];
    for (p, k) in both() {
        let [a, b, c] = times(1);
        let (person, clip) = (format!("sub000{}", p + 1), format!("sub000{}_0{k}", p + 1));
        rows.push(row(&[&person, &clip, &a, &b, &c, words[k], "4", "200", "12"]));
        m.write(p, k, &dir.join("crops").join(&clip), |n| format!("{}.png", 1 + n));
    }
    workbook(&dir.join("training_full_with_AU.xlsx"), &[rows]);
    out
}

fn output(args: &[&str], dirs: &[(&str, &Path)]) -> String {
    let mut command = pretrain();
    command.args(args);
    for (name, dir) in dirs {
        command.arg(name).arg(dir);
    }
    let done = command.output().expect("runs");
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

const RECIPE: &str = r#"
epochs = 2
batch = 2
temperature = 0.1
flip = true
negatives = { kind = "bank", count = 3, momentum = 0.5 }
optimiser = { kind = "sgd", rate = 0.003, momentum = 0.9, decay = 1e-4 }
[first]
view = "appearance"
reduce = 4
encoder = { kind = "residual", channels = [8], blocks = 1 }
[second]
view = "depth"
reduce = 4
encoder = { kind = "perceptron", layers = [8] }
"#;

#[test]
fn every_database_goes_through_the_whole_chain() {
    let root = tempfile::tempdir().expect("folder");
    let made = databases(&material(), root.path());
    assert_eq!(made.len(), 8);
    for (dir, args) in &made {
        let mut all = vec!["finetune", "--json", "--steps", "2"];
        all.extend(args);
        let result: Value = serde_json::from_str(&output(&all, &[("--data", dir)])).expect("one object");
        assert_eq!(
            (&result["samples"], &result["subjects"]),
            (&4.into(), &2.into()),
            "{}: {result}",
            dir.display()
        );
        let sum: u64 = result["confusion"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|r| r.as_array())
            .flatten()
            .filter_map(Value::as_u64)
            .sum();
        assert_eq!(sum, 4);
    }
    // The paper's pair of views: filter with depth, pretraining, probe, on the layout of CAS(ME)3.
    let (dir, args) = made.iter().find(|(d, _)| d.ends_with("cas-me3")).expect("made");
    let at = |name: &str| root.path().join(name);
    let recipe = at("tiny.toml");
    std::fs::write(&recipe, RECIPE).expect("writes");
    let stdout = output(
        &["filter", "--unfiltered", "--fps", "20", "--depth-pattern", "depth/{frame}.png"],
        &[("--data", dir), ("--out", &at("pairs"))],
    );
    assert!(stdout.contains("4 recordings, 48 frames"), "{stdout}");
    let run = at("run");
    let trained = output(&["pretrain"], &[("--data", &at("pairs")), ("--recipe", &recipe), ("--out", &run)]);
    assert!(trained.contains("second view found by the first"), "{trained}");
    let again = at("again");
    output(&["pretrain"], &[("--data", &at("pairs")), ("--recipe", &recipe), ("--out", &again)]);
    let bytes = |dir: &Path| std::fs::read(dir.join("towers.bin")).expect("weights");
    assert!(bytes(&run) == bytes(&again), "the same command gives the same weights");
    assert!(run.join("report.html").exists() && run.join("loss.svg").exists());
    let mut all = vec!["probe", "--json"];
    all.extend(args);
    let result: Value =
        serde_json::from_str(&output(&all, &[("--data", dir), ("--from", &run), ("--out", &at("probe"))]))
            .expect("one object");
    assert_eq!(result["views"], serde_json::json!(["appearance", "depth"]), "{result}");
    assert_eq!(result["classes"].as_array().map(Vec::len), Some(4));
    // Without the depth images the same network is probed by its other view.
    let plain = output(&["probe", "--database", "cas-me3"], &[("--data", dir), ("--from", &run)]);
    assert!(plain.contains("views appearance"), "{plain}");
}
