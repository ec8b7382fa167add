//! Real footage with movements of known times in it: a folder with `truth.json` and a clip for each of its sequences.
//!
//! The rules of the count are MEGC's: pairs from the greatest overlap down, each movement and each event once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use glint::event::Class;
use rand::Rng;
use serde::Deserialize;

use super::score::Tally;
use super::watch::WatchedClip;
use crate::augment::generator;
use crate::corpus::plan::Micro;
use crate::statistics::median;

/// Movements that travel at least so far, for eyes 64 pixels apart, are those that a person could see.
pub const VISIBLE_PX: f32 = 1.0;

/// A recording with its truth.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Name of the sequence.
    pub name: String,
    /// Its clip.
    pub path: PathBuf,
    /// Length in minutes.
    pub minutes: f64,
    /// What moves in it; `travel_px` is for eyes 64 pixels apart.
    pub micros: Vec<Micro>,
}

#[derive(Deserialize)]
struct Sheet {
    sequences: Vec<Sequence>,
}

#[derive(Deserialize)]
struct Sequence {
    name: String,
    duration_ms: f64,
    events: Vec<ReportedEvent>,
}

#[derive(Deserialize)]
struct ReportedEvent {
    kind: String,
    onset_ms: f64,
    apex_ms: f64,
    offset_ms: f64,
    class: Class,
    intensity: f32,
    peak64: f32,
}

/// Reads `DIR/truth.json`; each sequence has a clip `DIR/NAME.avi`.
pub fn load(dir: &Path) -> Result<Vec<Recording>> {
    let path = dir.join("truth.json");
    let name = || path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(name)?;
    let sheet: Sheet = serde_json::from_str(&text).with_context(name)?;
    ensure!(!sheet.sequences.is_empty(), "{}: no sequences", name());
    let ns = |ms: f64| (1e6 * ms).round() as i64;
    sheet
        .sequences
        .into_iter()
        .map(|s| {
            let clip = dir.join(format!("{}.avi", s.name));
            ensure!(clip.exists(), "{}: sequence {}: no {}", name(), s.name, clip.display());
            let micros = s.events.iter().filter(|e| e.kind == "micro").map(|e| Micro {
                onset_ns: ns(e.onset_ms),
                apex_ns: ns(e.apex_ms),
                offset_ns: ns(e.offset_ms),
                class: e.class,
                parts: Vec::new(),
                fraction: e.intensity,
                travel_px: e.peak64,
            });
            Ok(Recording { micros: micros.collect(), name: s.name, path: clip, minutes: s.duration_ms / 6e4 })
        })
        .collect()
}

/// Counts over the recordings of a folder.
#[derive(Debug, Clone, Default)]
pub struct FootageReport {
    /// All movements.
    pub tally: Tally,
    /// Found and all of the movements that travel at least [`VISIBLE_PX`].
    pub visible: (usize, usize),
    /// Published movements that are none of them.
    pub wrong: usize,
    /// Length of all.
    pub minutes: f64,
    /// Share of the frames with an open gate.
    pub gate_open: f64,
    /// Recall of the visible ones, 95 % interval: clips resampled.
    pub interval: (f64, f64),
    /// Name, found, wrong, movements of each clip.
    pub clips: Vec<(String, usize, usize, usize)>,
}

/// Draws of the bootstrap over clips.
const DRAWS: usize = 2000;

/// Compares what was seen of each recording with its truth.
pub fn compare(recordings: &[Recording], seen: &[WatchedClip]) -> FootageReport {
    let mut out = FootageReport::default();
    let (mut open, mut frames, mut visible) = (0, 0, Vec::new());
    for (r, s) in recordings.iter().zip(seen) {
        let mut tally = Tally::default();
        tally.add(&r.micros, &s.movements);
        out.tally.add(&r.micros, &s.movements);
        let large = || tally.movements.iter().filter(|(_, travel, _)| *travel >= VISIBLE_PX);
        visible.push((large().filter(|m| m.2).count(), large().count()));
        out.clips.push((r.name.clone(), tally.hits, tally.found - tally.hits, tally.truth));
        out.wrong += tally.found - tally.hits;
        out.minutes += r.minutes;
        (open, frames) = (open + s.counters.gate_open, frames + s.counters.frames);
    }
    let sum = |v: &[(usize, usize)]| v.iter().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    out.visible = sum(&visible);
    out.gate_open = open as f64 / frames.max(1) as f64;
    let mut rng = generator(1, 0x7265_616c);
    let mut draws: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn: Vec<_> = visible.iter().map(|_| visible[rng.random_range(0..visible.len())]).collect();
            let (hits, total) = sum(&drawn);
            hits as f64 / total.max(1) as f64
        })
        .collect();
    draws.sort_unstable_by(f64::total_cmp);
    out.interval = (draws[DRAWS / 40], draws[DRAWS - 1 - DRAWS / 40]);
    out
}

impl FootageReport {
    /// Recall of the movements that a person could see.
    pub fn visible_recall(&self) -> f64 {
        self.visible.0 as f64 / self.visible.1.max(1) as f64
    }

    /// F1 of the movements that a person could see: what is found of the smaller ones is neither right nor wrong.
    pub fn visible_f1(&self) -> f64 {
        let (hits, total) = self.visible;
        2.0 * hits as f64 / (total + hits + self.wrong).max(1) as f64
    }

    /// One line.
    pub fn line(&self) -> String {
        let t = &self.tally;
        let error = |k: usize| median(&t.errors_ms[k].iter().map(|e| e.abs()).collect::<Vec<_>>());
        format!(
            ">= 1 px: recall {:.3} ({:.2}-{:.2}) of {}, F1 {:.3}; all: recall {:.3} of {}, F1 {:.3}; {} wrong in {:.1} min; \
             onset {:.0}, apex {:.0}, offset {:.0} ms; gate open {:.3}",
            self.visible_recall(),
            self.interval.0,
            self.interval.1,
            self.visible.1,
            self.visible_f1(),
            t.recall(),
            t.truth,
            t.f1(),
            self.wrong,
            self.minutes,
            error(0),
            error(1),
            error(2),
            self.gate_open
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spotting::score::tests::movement;

    const SHEET: &str = r#"{"format": 1, "sequences": [
      {"name": "a", "fps": 30, "duration_ms": 10000.0, "events": [
        {"kind": "micro", "onset_ms": 1000, "apex_ms": 1100, "offset_ms": 1300, "class": "negative", "intensity": 0.2, "peak64": 1.5},
        {"kind": "micro", "onset_ms": 1400, "apex_ms": 1500, "offset_ms": 1700, "class": "positive", "intensity": 0.1, "peak64": 0.6},
        {"kind": "blink", "onset_ms": 3000, "apex_ms": 3100, "offset_ms": 3300, "class": "negative", "intensity": 1, "peak64": 5}]},
      {"name": "b", "fps": 30, "duration_ms": 10000.0, "events": [
        {"kind": "micro", "onset_ms": 2000, "apex_ms": 2100, "offset_ms": 2300, "class": "surprise", "intensity": 0.3, "peak64": 2.5},
        {"kind": "micro", "onset_ms": 5000, "apex_ms": 5100, "offset_ms": 5300, "class": "surprise", "intensity": 0.3, "peak64": 1.0}]}]}"#;

    fn folder(sheet: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::write(dir.path().join("truth.json"), sheet).expect("sheet");
        for name in ["a", "b"] {
            std::fs::write(dir.path().join(format!("{name}.avi")), "").expect("clip");
        }
        dir
    }

    #[test]
    fn counts_are_those_of_the_scorer_that_comes_with_the_footage() {
        let recordings = load(folder(SHEET).path()).expect("read");
        let seen = |spans: &[(i64, i64)]| WatchedClip {
            movements: spans.iter().map(|&(from, to)| movement(from, to)).collect(),
            ..WatchedClip::default()
        };
        let seen = [
            seen(&[(1040, 1330), (1010, 1290), (1150, 1600), (3000, 3300)]),
            seen(&[(2090, 2390), (5000, 5140), (5160, 5420)]),
        ];
        let report = compare(&recordings, &seen);
        // What score.py --iou 0.5 says of the same truth and the same events: 2 right, 5 wrong, 2 missed, F1 .364.
        let t = &report.tally;
        assert_eq!((t.hits, report.wrong, t.truth - t.hits), (2, 5, 2));
        assert!((t.f1() - 0.3636).abs() < 1e-4);
        assert_eq!(report.visible, (2, 3));
        assert!((report.minutes - 20.0 / 60.0).abs() < 1e-9);
        assert_eq!(report.clips, [("a".into(), 1, 3, 2), ("b".into(), 1, 2, 2)]);
    }

    #[test]
    fn a_sheet_without_its_clips_is_refused_by_name() {
        let dir = folder(SHEET);
        std::fs::remove_file(dir.path().join("b.avi")).expect("removed");
        let error = load(dir.path()).expect_err("no clip").to_string();
        assert!(error.contains("sequence b") && error.contains("b.avi"), "{error}");
        let error = load(folder(r#"{"sequences": []}"#).path()).expect_err("empty").to_string();
        assert!(error.contains("truth.json: no sequences"), "{error}");
    }
}
