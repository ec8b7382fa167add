//! `glintd inspect --export` and `--format`: what other programs read. `tests/exports/run.sh` reads the same files with
//! these programs.

use std::path::Path;

use glint::clip::{AviWriter, Codec, Rate};
use glint::event::Event;
use glint::synth::{Action, Camera, Pack, Scene, Script, Subject};

use super::{run, stderr, video};

/// What py-feat 2.1 looks for in a file of OpenFace, of the columns that are no gaze, landmark or shape: the lists
/// `openface_time_columns`, `openface_facepose_columns` and `openface_AU_columns` of its `feat/utils`.
const PY_FEAT: &str = "frame timestamp pose_Tx pose_Ty pose_Tz pose_Rx pose_Ry pose_Rz \
    AU01_r AU02_r AU04_r AU05_r AU06_r AU07_r AU09_r AU10_r AU12_r AU14_r AU15_r AU17_r AU20_r AU23_r AU25_r AU26_r AU45_r \
    AU01_c AU02_c AU04_c AU05_c AU06_c AU07_c AU09_c AU10_c AU12_c AU14_c AU15_c AU17_c AU20_c AU23_c AU25_c AU26_c AU28_c \
    AU45_c";

/// A table as text.
struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn read(text: &str) -> Self {
        let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        let names = lines.next().expect("a header");
        let rows: Vec<_> = lines.collect();
        assert!(rows.iter().all(|row| row.len() == names.len()), "a cell is missing");
        Self { names, rows }
    }

    fn column(&self, name: &str) -> Vec<&str> {
        let at = self.names.iter().position(|n| n == name).unwrap_or_else(|| panic!("no column {name}"));
        self.rows.iter().map(|row| row[at].as_str()).collect()
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        self.column(name).iter().map(|cell| cell.parse().unwrap_or(f64::NAN)).collect()
    }
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn every_export_tells_of_the_same_movement() {
    let dir = tempfile::tempdir().expect("folder");
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let clip = at("a & b.avi");
    super::write_smile(clip.as_ref(), Codec::Mjpeg(95), 180);
    let names = ["a.eaf", "a.vtt", "sub-01_events.tsv", "a.edf", "a.jsonl"].map(at);
    let mut arguments = vec!["inspect", &clip, "--format", "openface"];
    names.iter().for_each(|name| arguments.extend(["--export", name]));
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let [elan, captions, bids, edf, lines] = &names;

    // The lines are those of a replay, with its ids.
    let replayed = run(&["replay", &clip, "--kinds", "micro,macro,blink"]);
    let lines = text(lines);
    assert_eq!(lines, String::from_utf8_lossy(&replayed.stdout));
    let events: Vec<Event> =
        lines.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let smile = events.iter().find(|e| e.data.aus[0].au == 12).expect("the smile is found");
    let [onset, offset] = [smile.data.onset_ns, smile.data.offset_ns].map(|ns| ns as f64 / 1e9);
    assert!((onset - 2.0).abs() < 0.06, "{onset}");

    let stamp = |s: f64| format!("00:00:{:06.3}", s);
    let cue = format!("{} --> {}\nmicro: AU12 both sides", stamp(onset), stamp(offset));
    assert!(text(captions).contains(&cue), "{cue}\n{}", text(captions));
    let elan = text(elan);
    let slot = format!("TIME_VALUE=\"{:.0}\"", onset * 1e3);
    assert!(elan.contains(&slot) && elan.contains("TIER_ID=\"AU12\""), "{slot}\n{elan}");
    assert!(elan.contains("RELATIVE_MEDIA_URL=\"./a%20%26%20b.avi\""), "{elan}");
    let row = format!("{onset:.6}\t{:.6}\tmicro\t", offset - onset);
    assert!(text(bids).contains(&row), "{row}\n{}", text(bids));
    assert!(text(&at("sub-01_events.json")).contains("\"trial_type\""));
    let annotation = format!("\0+{onset:.6}\u{15}{:.6}\u{14}micro/AU12", offset - onset);
    let edf = std::fs::read(edf).expect("a file");
    assert!(String::from_utf8_lossy(&edf).contains(&annotation), "{annotation}");

    let table = Table::read(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(table.names[..5], ["frame", "face_id", "timestamp", "confidence", "success"]);
    for name in PY_FEAT.split_whitespace() {
        table.column(name);
    }
    assert_eq!(table.rows.len(), 180, "a row a frame");
    assert_eq!((table.column("frame")[0], table.column("frame")[179]), ("1", "180"));
    let (times, smiles) = (table.numbers("timestamp"), table.numbers("AU12_r"));
    let measured = table.column("success").iter().filter(|cell| **cell == "1").count();
    assert!(measured > 120, "{measured} of 180 frames are measured");
    let best = (0..180).max_by(|a, b| smiles[*a].max(0.0).total_cmp(&smiles[*b].max(0.0))).expect("rows");
    assert!(
        smiles[best] > 0.5 && (onset..offset).contains(&times[best]),
        "{} at {}",
        smiles[best],
        times[best]
    );
    assert_eq!(table.column("AU12_c")[best], "1");
}

#[test]
fn times_are_those_of_the_file_and_no_count_of_frames() {
    let dir = tempfile::tempdir().expect("folder");
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let (even, clip) = (at("even.avi"), at("uneven.mkv"));
    super::write_smile(even.as_ref(), Codec::Mjpeg(95), 180);
    // Half a second is missing after one second, and every frame is a little early or late.
    let late = "settb=1/90000,setpts='PTS+(if(gte(N,60),0.5,0)+if(gt(N,0),0.002*sin(N*2.4),0))/TB'";
    let arguments = ["-i", &even, "-vf", late, "-vsync", "passthrough", "-c:v", "mjpeg", "-q:v", "2", &clip];
    if !video::ffmpeg(&arguments) {
        return;
    }
    let (table, captions) = (at("a.csv"), at("a.vtt"));
    let output = run(&["inspect", &clip, "--csv", &table, "--format", "openface", "--export", &captions]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let times = Table::read(&text(&table)).numbers("timestamp");
    let expected = video::probed(Path::new(&clip));
    assert_eq!(times.len(), expected.len());
    for (time, us) in times.iter().zip(&expected) {
        assert!((time * 1e6 - *us as f64).abs() <= 1.5, "{time} s, not {us} us");
    }
    let captions = text(&captions);
    let onset = captions.lines().find(|line| line.contains("-->")).and_then(|line| line.get(6..12));
    let onset: f64 = onset.and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{captions}"));
    assert!((onset - 2.5).abs() < 0.06, "{captions}");
}

/// Two people side by side; the one at the right smiles.
fn write_pair(path: &Path, frames: u64) {
    let pack = || Pack::embedded().expect("a pack");
    let still = Script::new(Vec::new()).expect("a script");
    let smile = Script::new(vec![Action::micro(12, 0.3, 2_000_000_000)]).expect("a script");
    let mut left = Scene::new(Subject::random(pack(), 2), still, Camera { seed: 2, ..Camera::default() });
    let mut right = Scene::new(Subject::random(pack(), 1), smile, Camera::default());
    let rate = Rate::from_fps(60.0).expect("a rate");
    let mut writer = AviWriter::create(path, rate, (1280, 480), Codec::Mjpeg(95)).expect("a clip");
    for seq in 0..frames {
        let (a, b) = (left.frame(seq, 60.0).luma, right.frame(seq, 60.0).luma);
        let rows = a.chunks(640).zip(b.chunks(640));
        let both: Vec<u8> = rows.flat_map(|(a, b)| [a, b].concat()).collect();
        writer.write(&both).expect("written");
    }
    writer.finish().expect("written");
}

#[test]
fn every_face_has_rows_of_its_own() {
    let dir = tempfile::tempdir().expect("folder");
    let clip = dir.path().join("pair.avi");
    write_pair(&clip, 180);
    let clip = clip.to_str().expect("UTF-8");
    let lines = dir.path().join("a.jsonl");
    let lines = lines.to_str().expect("UTF-8");
    let output = run(&["inspect", clip, "--format", "openface", "--faces", "2", "--export", lines]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = Table::read(&String::from_utf8_lossy(&output.stdout));
    let (faces, smiles) = (table.column("face_id"), table.numbers("AU12_r"));
    let most = |face: &str| {
        let of_face = faces.iter().zip(&smiles).filter(|(id, _)| **id == face);
        of_face.map(|(_, v)| *v).fold(0.0, f64::max)
    };
    let count = |face: &str| faces.iter().filter(|id| **id == face).count();
    assert!(count("1") > 150 && count("2") > 60, "{} and {} rows", count("1"), count("2"));
    let (smiling, still) = if most("1") > most("2") { ("1", "2") } else { ("2", "1") };
    assert!(most(smiling) > 0.5 && most(still) < 0.5, "{} and {}", most("1"), most("2"));
    let events = text(lines);
    let tracks: Vec<u32> = events
        .lines()
        .map(|line| serde_json::from_str::<Event>(line).expect("an event"))
        .filter(|e| e.data.aus[0].au == 12)
        .map(|e| e.data.track)
        .collect();
    assert_eq!(tracks, [smiling.parse::<u32>().expect("a number")], "{events}");
    // One face is followed where nothing else is said: the largest.
    let output = run(&["inspect", clip, "--format", "openface", "--to", "0.5"]);
    let table = Table::read(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(table.rows.len(), 30);
}

#[test]
fn exports_that_cannot_be_are_refused_before_the_clip_is_read() {
    let output = run(&["inspect", "none.avi", "--export", "a.csv"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains(".eaf, .vtt, .tsv, .edf, .jsonl"), "{}", stderr(&output));
    assert_eq!(run(&["inspect", "none.avi", "--format", "excel"]).status.code(), Some(2));
    assert_eq!(run(&["inspect", "none.avi", "--format", "glint", "--faces", "9"]).status.code(), Some(2));
    for ending in ["eaf", "vtt", "tsv", "edf", "jsonl"] {
        let output = run(&["inspect", "none.avi", "--export", &format!("/nonexistent/a.{ending}")]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("/nonexistent/a."), "{}", stderr(&output));
    }
}
