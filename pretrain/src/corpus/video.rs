//! Whole sequences on disk: `ID.avi` and `ID.json`, written and read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use glint::au::Side;
use glint::clip::{AviWriter, Codec, Rate};
use glint::event::Class;
use glint::frame::Frame;
use glint::synth::{Scene, SynthError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::{Distractor, Micro, Sequence, Span};

/// JPEG quality where the camera does not compress by itself.
const QUALITY: u8 = 95;

/// What is true of a sequence: `ID.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SequenceTruth {
    /// Identifier of the person.
    #[serde(default)]
    pub person: String,
    /// `portrait` or `head`.
    #[serde(default)]
    pub source: String,
    /// Whether the person is kept apart from all training.
    #[serde(default)]
    pub held_out: bool,
    /// Frame rate.
    pub fps: f64,
    /// Movements in order of time.
    pub events: Vec<TrueEvent>,
    /// What else happens.
    #[serde(default)]
    pub distractors: Vec<DistractorSpan>,
    /// What the person looks like, where the file says so: `sex`, `age`, `skin_tone`, `glasses`, `beard`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, Value>,
}

/// A movement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrueEvent {
    /// `micro`.
    pub kind: String,
    /// Last instant without movement, from the first frame.
    pub onset_ms: f64,
    /// Greatest extent.
    pub apex_ms: f64,
    /// First instant without movement.
    pub offset_ms: f64,
    /// What it expresses.
    pub class: Class,
    /// What moves.
    pub aus: Vec<TrueAu>,
    /// Greatest displacement of any point of the skin in pixels; 0 where it is not known.
    #[serde(default)]
    pub travel_px: f32,
}

/// An AU in a movement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrueAu {
    /// FACS number.
    pub au: u8,
    /// L, R (the subject's) or B.
    pub side: char,
    /// 0 to 5.
    pub intensity: f32,
}

/// A distractor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DistractorSpan {
    /// What.
    pub what: Distractor,
    /// Last instant before it.
    pub from_ms: f64,
    /// First instant after it.
    pub to_ms: f64,
}

fn ms(ns: i64) -> f64 {
    ns as f64 / 1e6
}

fn ns(ms: f64) -> i64 {
    (1e6 * ms).round() as i64
}

impl SequenceTruth {
    /// Of a sequence that is filmed at `fps`.
    pub fn from_sequence(s: &Sequence<'_>, fps: f64) -> Self {
        let event = |m: &Micro| TrueEvent {
            kind: "micro".into(),
            onset_ms: ms(m.onset_ns),
            apex_ms: ms(m.apex_ns),
            offset_ms: ms(m.offset_ns),
            class: m.class,
            aus: m
                .parts
                .iter()
                .map(|&(au, side, fraction)| TrueAu {
                    au,
                    side: super::shard::side_letter(side),
                    intensity: glint::au::intensity_of_fraction(fraction),
                })
                .collect(),
            travel_px: m.travel_px,
        };
        Self {
            person: s.person.id.clone(),
            source: s.person.source().into(),
            held_out: s.person.held_out(),
            fps,
            events: s.micros.iter().map(event).collect(),
            distractors: s
                .distractors
                .iter()
                .map(|d| DistractorSpan { what: d.what, from_ms: ms(d.from_ns), to_ms: ms(d.to_ns) })
                .collect(),
            traits: BTreeMap::new(),
        }
    }

    /// Reads and checks `ID.json`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let truth: Self = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        ensure!(truth.fps > 0.0, "{}: fps: {}; allowed: above 0", path.display(), truth.fps);
        for (k, e) in truth.events.iter().enumerate() {
            let ordered = e.onset_ms <= e.apex_ms && e.apex_ms <= e.offset_ms && e.onset_ms < e.offset_ms;
            ensure!(
                ordered,
                "{}: events[{k}]: onset_ms, apex_ms, offset_ms are not in order",
                path.display()
            );
            let range = e.aus.iter().all(|a| (0.0..=5.0).contains(&a.intensity));
            ensure!(range, "{}: events[{k}]: an intensity is outside 0 to 5", path.display());
        }
        Ok(truth)
    }

    /// Micro-expressions as scores take them.
    pub fn micros(&self) -> Vec<Micro> {
        let part = |a: &TrueAu| {
            let side = match a.side {
                'L' => Side::Left,
                'R' => Side::Right,
                _ => Side::Both,
            };
            (a.au, side, a.intensity / 5.0)
        };
        self.events
            .iter()
            .filter(|e| e.kind == "micro")
            .map(|e| {
                let parts: Vec<_> = e.aus.iter().map(part).collect();
                Micro {
                    onset_ns: ns(e.onset_ms),
                    apex_ns: ns(e.apex_ms),
                    offset_ns: ns(e.offset_ms),
                    class: e.class,
                    fraction: parts.iter().map(|p| p.2).fold(0.0, f32::max),
                    parts,
                    travel_px: e.travel_px,
                }
            })
            .collect()
    }

    /// Distractors as scores take them.
    pub fn spans(&self) -> Vec<Span> {
        let span = |d: &DistractorSpan| Span { what: d.what, from_ns: ns(d.from_ms), to_ns: ns(d.to_ms) };
        self.distractors.iter().map(span).collect()
    }
}

/// Films a sequence into `DIR/ID.avi` (MJPEG) with its truth in `DIR/ID.json`; returns the number of frames.
pub fn write(s: Sequence<'_>, fps: f64, id: &str, dir: &Path) -> Result<u64> {
    let rate = Rate::from_fps(fps).with_context(|| format!("--fps: {fps}; allowed: .001 to 1000"))?;
    let truth = SequenceTruth::from_sequence(&s, fps);
    let path = dir.join(format!("{id}.avi"));
    let name = || path.display().to_string();
    let mut camera = s.camera;
    // The file's own compression is the camera's.
    let quality = camera.jpeg_quality.take().unwrap_or(QUALITY);
    let frames = (s.seconds * fps).round() as u64;
    let size = (camera.width, camera.height);
    let mut writer = AviWriter::create(&path, rate, size, Codec::Mjpeg(quality)).with_context(name)?;
    s.script.validate().map_err(|e: SynthError| anyhow::anyhow!("{id}: {e}"))?;
    let mut scene = Scene::new(s.person, s.script, camera);
    let mut frame = Frame::default();
    for seq in 0..frames {
        scene.render(seq, rate.time_ns(seq), &mut frame);
        writer.write(&frame.luma).with_context(name)?;
    }
    writer.finish().with_context(name)?;
    let json = dir.join(format!("{id}.json"));
    let text = serde_json::to_string_pretty(&truth)? + "\n";
    std::fs::write(&json, text).with_context(|| json.display().to_string())?;
    Ok(frames)
}

/// The sequences of a folder: each `ID.avi` with its `ID.json`, in the order of their names.
pub fn list(dir: &Path) -> Result<Vec<(PathBuf, SequenceTruth)>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry.with_context(|| dir.display().to_string())?.path();
        if path.extension().is_some_and(|e| e == "avi") {
            paths.push(path);
        }
    }
    ensure!(!paths.is_empty(), "{}: no ID.avi with ID.json", dir.display());
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let truth = SequenceTruth::read(&path.with_extension("json"))?;
            Ok((path, truth))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::plan::{self, Content};
    use glint::clip::{Clip, Media};

    #[test]
    fn a_sequence_is_read_as_it_was_written() {
        let cast = plan::tests::cast();
        let dir = tempfile::tempdir().expect("temporary folder");
        let sequence = || {
            let mut s = plan::sequence(&cast, Content::Mixed, 8.0, 3, 1);
            s.seconds = 0.5;
            s
        };
        assert_eq!(write(sequence(), 30.0, "0001", dir.path()).expect("written"), 15);
        let (path, truth) = list(dir.path()).expect("listed").remove(0);
        let s = sequence();
        assert_eq!(truth, SequenceTruth::from_sequence(&s, 30.0));
        let (read, planned) = (truth.micros(), &s.micros);
        assert_eq!(read.len(), planned.len());
        for (a, b) in read.iter().zip(planned) {
            assert_eq!(
                (a.onset_ns, a.apex_ns, a.offset_ns, a.class),
                (b.onset_ns, b.apex_ns, b.offset_ns, b.class)
            );
            assert!((a.fraction - b.fraction).abs() < 1e-6 && a.parts.len() == b.parts.len());
        }
        assert_eq!(truth.spans(), s.distractors);
        let mut clip = Clip::open(&path, None).expect("AVI");
        let mut frame = Frame::default();
        let mut frames = 0;
        while let Some(Media::Frame) = clip.next(&mut frame).expect("frame") {
            frames += 1;
        }
        assert_eq!((frames, frame.width, frame.height), (15, 640, 480));
        assert!(clip.fps().is_some_and(|fps| (fps - 30.0).abs() < 1e-6));
    }

    #[test]
    fn bad_truth_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("temporary folder");
        assert!(list(dir.path()).expect_err("empty").to_string().contains("no ID.avi"));
        std::fs::write(dir.path().join("a.avi"), "").expect("file");
        assert!(list(dir.path()).expect_err("no truth").to_string().contains("a.json"));
        let bad = r#"{"fps": 30, "events": [{"kind": "micro", "onset_ms": 9, "apex_ms": 5, "offset_ms": 12,
            "class": "positive", "aus": []}]}"#;
        std::fs::write(dir.path().join("a.json"), bad).expect("file");
        let error = list(dir.path()).expect_err("out of order").to_string();
        assert!(error.contains("a.json: events[0]"), "{error}");
    }
}
