//! What the spotter was given of a sequence: levels, motion and context of each frame, and where it could not be measured.
//! Gate, spotter and judge run over a trace as they do in the pipeline, in a thousandth of the time that filming takes.

use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use glint::au::UNIT_COUNT;
use glint::clip::{Clip, Media};
use glint::frame::Frame;
use glint::gate::Gate;
use glint::pipeline::{Models, Pipeline, Step};
use glint::spot::{CELLS, Candidate, Context, Judge, Rejection, Sample, SpotSettings, Spotter};
use glint::synth::Scene;

use super::{real, watch};
use crate::corpus::picture::Picture;
use crate::corpus::plan::{Distractor, Micro, Sequence, Span};
use crate::corpus::video;

/// One frame of a trace.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A frame that was measured.
    Measured(Box<Sample>),
    /// One in which the head moved too fast, was turned too far or was lost.
    Missed(i64),
}

/// A sequence as the spotter saw it, with its truth.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// Who was filmed.
    pub person: String,
    /// Length in seconds.
    pub seconds: f64,
    /// Frames a second.
    pub fps: f64,
    /// Frames with a face, oldest first.
    pub entries: Vec<Entry>,
    /// Movements that happen.
    pub micros: Vec<Micro>,
    /// What else happens.
    pub spans: Vec<Span>,
}

/// Every sixth frame is a copy of the one before it, as in 25 frames/s that were made 30.
const REPEAT: u64 = 6;

/// Films a sequence at `fps`, through the daemon's own pipeline; with `repeats`, some frames are copies.
pub fn film(mut s: Sequence<'_>, fps: f64, repeats: bool, models: &Models) -> Result<Trace> {
    let mut out = Trace {
        person: s.person.id.clone(),
        seconds: s.seconds,
        fps,
        entries: Vec::new(),
        micros: std::mem::take(&mut s.micros),
        spans: std::mem::take(&mut s.distractors),
    };
    // The shutter is shut for some of the time between two frames.
    s.camera.shutter_ms = s.camera.shutter_ms.min((600.0 / fps) as f32);
    let mut pipeline = watch::pipeline(models)?;
    let mut picture = s.flat.then(|| Picture::new(&s));
    let mut scene = Scene::new(s.person, s.script, s.camera);
    let mut frame = Frame::default();
    for seq in 0..(s.seconds * fps) as u64 {
        let at_ns = (seq as f64 * 1e9 / fps).round() as i64;
        if repeats && seq % REPEAT == REPEAT - 1 {
            (frame.seq, frame.at_ns) = (seq, at_ns);
        } else if let Some(picture) = &mut picture {
            picture.render(seq, at_ns, &mut frame);
        } else {
            scene.render(seq, at_ns, &mut frame);
        }
        out.watch(&mut pipeline, &frame);
    }
    Ok(out)
}

/// Watches a recorded sequence; `out` holds its truth.
pub fn recorded(path: &Path, mut out: Trace, models: &Models) -> Result<Trace> {
    let mut video = Clip::open(path, None)?;
    let mut pipeline = watch::pipeline(models)?;
    let mut frame = Frame::default();
    while let Some(media) = video.next(&mut frame)? {
        match media {
            Media::Frame => {
                out.watch(&mut pipeline, &frame);
            }
            Media::Damaged { seq, at_ns, .. } => {
                pipeline.gap(seq, at_ns);
                out.entries.push(Entry::Missed(at_ns));
            }
        }
        out.seconds = frame.at_ns as f64 / 1e9;
    }
    Ok(out)
}

/// Recorded sequences of a folder, each with its truth and without entries: those of a world, `ID.avi` with `ID.json`, or
/// real footage, `truth.json` with `NAME.avi` ([`real::load`]).
pub fn list(dir: &Path) -> Result<Vec<(PathBuf, Trace)>> {
    if dir.join("truth.json").exists() {
        let unmeasured =
            |r: real::Recording| (r.path, Trace { person: r.name, micros: r.micros, ..Trace::default() });
        return Ok(real::load(dir)?.into_iter().map(unmeasured).collect());
    }
    let unmeasured = |(path, truth): (PathBuf, video::SequenceTruth)| {
        let (micros, spans) = (truth.micros(), truth.spans());
        (path, Trace { person: truth.person, fps: truth.fps, micros, spans, ..Trace::default() })
    };
    Ok(video::list(dir)?.into_iter().map(unmeasured).collect())
}

impl Trace {
    /// Shows a frame to the pipeline and adds what it saw; one that repeats the picture before it is seen by no spotter.
    fn watch(&mut self, pipeline: &mut Pipeline, frame: &Frame) {
        let pictures = pipeline.counters().pictures();
        let step = pipeline.push(frame);
        if pipeline.counters().pictures() > pictures {
            self.add(step, frame.at_ns, pipeline.sample());
        }
    }

    /// Adds a frame as the pipeline saw it.
    pub fn add(&mut self, step: Step, at_ns: i64, sample: Option<&Sample>) {
        match (step, sample) {
            (_, Some(sample)) => self.entries.push(Entry::Measured(Box::new(*sample))),
            (Step::NoFace, None) => {}
            (_, None) => self.entries.push(Entry::Missed(at_ns)),
        }
    }

    /// Runs gate and spotter over the trace: all candidates, oldest first, as the judge sees them.
    pub fn candidates(&self, thresholds: [f32; UNIT_COUNT], judge: &mut Judge) -> (Vec<Candidate>, f64) {
        let (mut gate, mut spotter) = (Gate::new(thresholds), Spotter::new(SpotSettings::default()));
        let (mut out, mut open) = (Vec::new(), 0usize);
        for entry in &self.entries {
            match entry {
                Entry::Measured(sample) => {
                    gate.update(sample.at_ns, &sample.levels);
                    open += usize::from(gate.is_open());
                    out.extend(spotter.push(sample, &gate, judge));
                }
                Entry::Missed(at_ns) => spotter.interrupt(*at_ns, Rejection::HeadMotion),
            }
        }
        out.extend(std::iter::from_fn(|| spotter.finish(&mut gate, judge)));
        (out, open as f64 / self.entries.len().max(1) as f64)
    }

    /// Writes it: a line of JSON with the truth, then every frame in little-endian numbers.
    pub fn write(&self, path: &Path) -> Result<()> {
        let name = || path.display().to_string();
        let mut out = BufWriter::new(std::fs::File::create(path).with_context(name)?);
        let micros: Vec<_> = self
            .micros
            .iter()
            .map(|m| {
                serde_json::json!([m.onset_ns, m.apex_ns, m.offset_ns, m.fraction, m.travel_px, m.class])
            })
            .collect();
        let spans: Vec<_> =
            self.spans.iter().map(|s| serde_json::json!([s.what, s.from_ns, s.to_ns])).collect();
        let head = serde_json::json!({"person": self.person, "seconds": self.seconds, "fps": self.fps,
            "entries": self.entries.len(), "micros": micros, "spans": spans});
        writeln!(out, "{head}")?;
        for entry in &self.entries {
            let mut numbers = [0.0f32; NUMBERS];
            let at_ns = match entry {
                Entry::Missed(at_ns) => {
                    numbers.fill(f32::NAN);
                    *at_ns
                }
                Entry::Measured(s) => {
                    let (levels, rest) = numbers.split_at_mut(UNIT_COUNT);
                    let (motion, context) = rest.split_at_mut(2 * CELLS);
                    levels.copy_from_slice(&s.levels);
                    motion.copy_from_slice(&s.motion);
                    context.copy_from_slice(&s.context.numbers());
                    s.at_ns
                }
            };
            out.write_all(&at_ns.to_le_bytes())?;
            numbers.iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))?;
        }
        out.flush().with_context(name)
    }

    /// Reads what [`Trace::write`] wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        let mut bytes = Vec::new();
        BufReader::new(std::fs::File::open(path).with_context(name)?).read_to_end(&mut bytes)?;
        let end =
            bytes.iter().position(|b| *b == b'\n').with_context(|| format!("{}: no first line", name()))?;
        let head: Head = serde_json::from_slice(&bytes[..end]).with_context(name)?;
        let body = &bytes[end + 1..];
        const ROW: usize = 8 + 4 * NUMBERS;
        ensure!(
            body.len() == head.entries * ROW,
            "{}: {} bytes of frames; expected {}",
            name(),
            body.len(),
            head.entries * ROW
        );
        let entries = body
            .chunks_exact(ROW)
            .map(|row| {
                let (at, row) = row.split_at(8);
                let Ok(at) = <[u8; 8]>::try_from(at) else { bail!("{}: a cut frame", name()) };
                let at_ns = i64::from_le_bytes(at);
                let mut values = row.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                let mut next = || values.next().unwrap_or(f32::NAN);
                let levels: [f32; UNIT_COUNT] = std::array::from_fn(|_| next());
                let motion: [f32; 2 * CELLS] = std::array::from_fn(|_| next());
                let context = Context::of_numbers(std::array::from_fn(|_| next()));
                Ok(match levels[0].is_nan() {
                    true => Entry::Missed(at_ns),
                    false => Entry::Measured(Box::new(Sample { at_ns, levels, motion, context })),
                })
            })
            .collect::<Result<_>>()?;
        let micros = head
            .micros
            .into_iter()
            .map(|(onset_ns, apex_ns, offset_ns, fraction, travel_px, class)| Micro {
                onset_ns,
                apex_ns,
                offset_ns,
                class,
                parts: Vec::new(),
                fraction,
                travel_px,
            })
            .collect();
        let spans =
            head.spans.into_iter().map(|(what, from_ns, to_ns)| Span { what, from_ns, to_ns }).collect();
        Ok(Self { person: head.person, seconds: head.seconds, fps: head.fps, entries, micros, spans })
    }
}

/// Numbers of a frame.
const NUMBERS: usize = UNIT_COUNT + 2 * CELLS + Context::COUNT;

#[derive(serde::Deserialize)]
struct Head {
    person: String,
    seconds: f64,
    fps: f64,
    entries: usize,
    micros: Vec<(i64, i64, i64, f32, f32, glint::event::Class)>,
    spans: Vec<(Distractor, i64, i64)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::plan::{self, Content};

    #[test]
    fn a_frame_that_repeats_a_picture_is_no_entry() {
        let cast = plan::tests::cast();
        let models = Models::embedded().expect("models");
        let mut s = plan::sequence(&cast, Content::Mixed, 8.0, 3, 1);
        s.seconds = 2.0;
        let filmed = film(s, 30.0, true, &models).expect("filmed");
        let times: Vec<i64> = filmed
            .entries
            .iter()
            .map(|e| match e {
                Entry::Measured(sample) => sample.at_ns,
                Entry::Missed(at_ns) => *at_ns,
            })
            .collect();
        assert!(times.len() > 30 && times.len() <= 50, "{} entries of 50 pictures in 60 frames", times.len());
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    }

    #[test]
    fn a_trace_gives_the_candidates_of_the_pipeline_and_survives_the_disk() {
        let cast = plan::tests::cast();
        let models = Models::embedded().expect("models");
        let mut s = plan::sequence(&cast, Content::Mixed, 8.0, 3, 1);
        s.seconds = 5.0;
        let filmed = film(s, 30.0, false, &models).expect("filmed");
        assert!(filmed.entries.len() > 100 && !filmed.micros.is_empty());
        // The pipeline over the same frames.
        let mut s = plan::sequence(&cast, Content::Mixed, 8.0, 3, 1);
        s.camera.shutter_ms = 0.0;
        let mut scene = Scene::new(s.person, s.script, s.camera);
        let mut pipeline = watch::pipeline(&models).expect("pipeline");
        let (mut frame, mut expected) = (Frame::default(), Vec::new());
        for seq in 0..150 {
            scene.render(seq, (seq as f64 * 1e9 / 30.0).round() as i64, &mut frame);
            pipeline.push(&frame);
            expected.extend(pipeline.concluded().iter().map(|(_, c)| (c.onset_ns, c.offset_ns, c.cause)));
        }
        loop {
            let last = pipeline.finish();
            expected.extend(pipeline.concluded().iter().map(|(_, c)| (c.onset_ns, c.offset_ns, c.cause)));
            if last.is_none() {
                break;
            }
        }
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("1.trace");
        filmed.write(&path).expect("written");
        let thresholds = models.au.spec.thresholds.by_unit().expect("thresholds");
        for trace in [filmed, Trace::read(&path).expect("read")] {
            let mut judge = Judge::from_file(&models.judge).expect("judge");
            let (candidates, _) = trace.candidates(thresholds, &mut judge);
            let candidates: Vec<_> = candidates.iter().map(|c| (c.onset_ns, c.offset_ns, c.cause)).collect();
            assert_eq!(candidates, expected);
            assert!(!candidates.is_empty());
        }
        let mut bytes = std::fs::read(&path).expect("bytes");
        bytes.pop();
        std::fs::write(&path, bytes).expect("cut");
        assert!(Trace::read(&path).expect_err("cut").to_string().contains("1.trace"));
    }
}
