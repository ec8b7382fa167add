//! A sequence, a pose or a clip through the daemon's own pipeline, frame by frame in memory.

use std::path::Path;

use anyhow::Result;
use glint::clip::{Clip, Media};
use glint::event::Movement;
use glint::frame::Frame;
use glint::pipeline::{Counters, Models, Options, Pipeline, Purpose, Step};
use glint::synth::Scene;

use crate::corpus::plan::Sequence;

/// What the pipeline said of one recording.
#[derive(Debug, Clone, Default)]
pub struct WatchedClip {
    /// Published movements.
    pub movements: Vec<Movement>,
    /// The pipeline's own counts.
    pub counters: Counters,
    /// Frames in which the head moved too fast, or was turned too far.
    pub moving: u64,
    /// Frames in which a face was in sight.
    pub face: u64,
    /// Frames with a face whose intensities were measured.
    pub measured: u64,
    /// Length in seconds.
    pub seconds: f64,
}

impl WatchedClip {
    fn step(&mut self, step: Step, pipeline: &Pipeline) {
        match step {
            Step::Event(movement) => self.movements.push(movement),
            Step::Moving => self.moving += 1,
            _ => {}
        }
        let o = pipeline.observation();
        self.face += u64::from(o.bounds.is_some());
        self.measured += u64::from(o.intensities.is_some());
    }

    fn end(&mut self, pipeline: &mut Pipeline) {
        self.movements.extend(std::iter::from_fn(|| pipeline.finish()));
        self.counters = *pipeline.counters();
    }
}

/// A pipeline as the daemon has it, with a purpose, so that the student runs when it is asked.
pub fn pipeline(models: &Models) -> Result<Pipeline> {
    Ok(Pipeline::new(Options { purpose: Some(Purpose::Research), ..Options::default() }, models)?)
}

/// A sequence at `fps`.
pub fn sequence(s: Sequence<'_>, fps: f64, models: &Models) -> Result<WatchedClip> {
    let mut pipeline = pipeline(models)?;
    let mut scene = Scene::new(s.person, s.script, s.camera);
    let mut seen = WatchedClip { seconds: s.seconds, ..WatchedClip::default() };
    let mut frame = Frame::default();
    for seq in 0..(s.seconds * fps) as u64 {
        scene.render(seq, (seq as f64 * 1e9 / fps).round() as i64, &mut frame);
        let step = pipeline.push(&frame);
        seen.step(step, &pipeline);
    }
    seen.end(&mut pipeline);
    Ok(seen)
}

/// A clip that glint reads, or any other video file through ffmpeg.
pub fn clip(path: &Path, models: &Models) -> Result<WatchedClip> {
    let mut video = Clip::open(path, None)?;
    let mut pipeline = pipeline(models)?;
    let mut seen = WatchedClip::default();
    let mut frame = Frame::default();
    while let Some(media) = video.next(&mut frame)? {
        match media {
            Media::Frame => {
                let step = pipeline.push(&frame);
                seen.step(step, &pipeline);
            }
            Media::Damaged { seq, at_ns, .. } => {
                pipeline.gap(seq, at_ns);
            }
        }
        seen.seconds = frame.at_ns as f64 / 1e9;
    }
    seen.end(&mut pipeline);
    Ok(seen)
}
