//! `glintd bench`: what each stage costs, in time, memory and allocations.
#![allow(clippy::disallowed_methods)] // A benchmark reads the clock.

mod process;
mod result;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use glint::clip::Media;
use glint::frame::Frame;
use glint::pipeline::{Models, Options, Pipeline, Purpose, Stage};

use self::process::{children_cpu_s, peak_rss_bytes};
use self::result::{BenchResult, Machine, Times};
use super::media::print_line;
use super::samples::{StageTimes, round};
use super::{allocations, networks};
use crate::daemon::sources::footage::{Footage, Selection};

/// Arguments of `glintd bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The clip to measure. Required without --models.
    #[arg(required_unless_present = "models", conflicts_with = "models")]
    clip: Option<PathBuf>,
    /// Measure each network instead of a clip.
    #[arg(long)]
    models: bool,
    #[command(flatten)]
    selection: Selection,
    /// Print the result as a JSON object.
    #[arg(long)]
    json: bool,
    /// Print the medians beside those of an earlier run, a file that --json has printed.
    #[arg(long, value_name = "FILE", requires = "clip", conflicts_with = "json")]
    compare: Option<PathBuf>,
}

/// Measures a clip, or the networks.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let models = Models::embedded()?;
    let options = Options { purpose: Some(Purpose::Research), ..Options::default() };
    match &args.clip {
        Some(path) => {
            let before = args.compare.as_deref().map(BenchResult::read).transpose()?;
            let result = measure(path, args.selection, &models, options)?;
            let lines = match &before {
                _ if args.json => vec![serde_json::to_string(&result)?],
                Some(before) => result.compared(before),
                None => result.lines(),
            };
            lines.iter().try_for_each(|line| print_line(line))?;
        }
        None => networks::run(&models, args.json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The rate that is recommended for a camera.
const ENOUGH_FPS: f64 = 60.0;
/// Frames that are not counted: caches fill.
const WARM_UP: u64 = 60;
/// Allocations are counted after so much of the clip: until then buffers of two seconds grow.
const STEADY_NS: i64 = 2_500_000_000;

const STAGES: [(&str, Option<Stage>); 7] = [
    ("decode", None),
    ("face_track", Some(Stage::FaceTrack)),
    ("face_detect", Some(Stage::FaceDetect)),
    ("flow", Some(Stage::Flow)),
    ("gate", Some(Stage::Gate)),
    ("spot", Some(Stage::Spot)),
    ("student", Some(Stage::Student)),
];

/// Runs a clip frame by frame on one thread.
fn measure(
    path: &Path,
    selection: Selection,
    models: &Models,
    options: Options,
) -> anyhow::Result<BenchResult> {
    let mut pipeline = Pipeline::new(options, models)?;
    let mut clip = Footage::open(path, selection)?;
    let mut frame = Frame::default();
    allocations::start();
    let began = Instant::now();
    let mut samples: Vec<StageTimes> = STAGES.iter().map(|_| StageTimes::default()).collect();
    let (mut tracked, mut quiet) = (StageTimes::default(), StageTimes::default());
    let (mut frames, mut busy) = (0u64, 0.0f64);
    let (mut ours, mut tract, mut counted) = (0u64, 0u64, 0u64);
    loop {
        let begin = Instant::now();
        match clip.next(&mut frame)? {
            None => break,
            Some(Media::Damaged { seq, at_ns, .. }) => {
                pipeline.gap(seq, at_ns);
                continue;
            }
            Some(Media::Frame) => {}
        }
        let decoded = begin.elapsed();
        let (track, repeated) = (pipeline.observation().track, pipeline.counters().frames_repeated);
        let before = allocations::count();
        let start = Instant::now();
        let mut last = start;
        let mut marks: [(Option<Stage>, f32); 8] = [(None, 0.0); 8];
        let mut n = 0;
        let step = pipeline.push_timed(&frame, &mut |stage| {
            let now = Instant::now();
            if let Some(mark) = marks.get_mut(n) {
                *mark = (Some(stage), (now - last).as_secs_f32() * 1e6);
                n += 1;
            }
            last = now;
        });
        let elapsed = start.elapsed();
        let after = allocations::count();
        // A frame that repeats a picture costs next to nothing.
        if pipeline.counters().frames_repeated > repeated {
            continue;
        }
        frames += 1;
        busy += elapsed.as_secs_f64();
        if frames <= WARM_UP {
            continue;
        }
        samples[0].0.push(decoded.as_secs_f32() * 1e6);
        for (stage, us) in &marks[..n] {
            if let Some(i) = STAGES.iter().position(|(_, s)| s == stage && stage.is_some()) {
                samples[i].0.push(*us);
            }
        }
        if marks[..n].iter().any(|(s, _)| *s == Some(Stage::FaceTrack))
            && pipeline.observation().bounds.is_some()
        {
            tracked.0.push(elapsed.as_secs_f32() * 1e6);
        }
        if step == glint::pipeline::Step::Quiet {
            quiet.0.push(elapsed.as_secs_f32() * 1e6);
        }
        // A face that comes gets buffers of its own; the steady state is a face that is followed.
        if frame.at_ns >= STEADY_NS && track == pipeline.observation().track {
            counted += 1;
            ours += after.ours - before.ours;
            tract += after.tract - before.tract;
        }
    }
    let wall = began.elapsed().as_secs_f64();
    // The decoder of a clip that glint does not read itself has ended, and is counted now.
    drop(clip);
    let decoder = children_cpu_s();
    anyhow::ensure!(
        frames > WARM_UP,
        "{}: {frames} frames; at least {} are needed",
        path.display(),
        WARM_UP + 1
    );
    let per_frame = |v: u64| v as f64 / counted.max(1) as f64;
    let tenth = |v: f64| (v * 10.0).round() / 10.0;
    let halves = tracked.0.split_at(tracked.0.len() / 2);
    let [first, second] = [halves.0, halves.1].map(|half| StageTimes(half.to_vec()).quantile(0.5));
    let drift = first.zip(second).map(|(a, b)| (f64::from(b / a) * 1e3).round() / 1e3);
    let by_name = |((name, _), samples): (&(&str, _), &mut StageTimes)| {
        ((*name).to_owned(), Times::from_samples(samples))
    };
    Ok(BenchResult {
        machine: Machine::here(),
        frames,
        warm_up_frames: WARM_UP,
        fps: tenth(frames as f64 / busy.max(1e-9)),
        drift,
        stages: STAGES.iter().zip(&mut samples).map(by_name).collect(),
        tracked_frame: Times::from_samples(&mut tracked),
        quiet_frame: Times::from_samples(&mut quiet),
        wall_fps: tenth(frames as f64 / wall.max(1e-9)),
        decoder_process_us: decoder.map(|s| round((s * 1e6 / frames as f64) as f32)),
        peak_rss_bytes: peak_rss_bytes(),
        allocs_ours: per_frame(ours),
        allocs_tract: per_frame(tract),
    })
}

/// Whether this machine is fast enough for a camera, in words.
fn keeps_up(per_second: f64) -> String {
    let times = per_second / ENOUGH_FPS;
    if times >= 1.0 {
        format!("keeps up with {ENOUGH_FPS:.0} frames/s: yes, {times:.1} times")
    } else {
        format!(
            "keeps up with {ENOUGH_FPS:.0} frames/s: no, with {per_second:.0} frames/s at most; set camera.fps"
        )
    }
}

#[cfg(test)]
mod tests;
