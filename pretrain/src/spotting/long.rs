//! Databases of long videos through the daemon's own pipeline.

use anyhow::{Context, Result, ensure};
use glint::event::{Kind, Movement};
use glint::frame::{Frame, LumaDecoder};
use glint::pipeline::{Models, Step};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::counts::{Counts, LabelledInterval};
use super::watch::pipeline;
use crate::databases::frames::read_luma;
use crate::databases::long::{LongVideo, LongVideos};
use crate::run;

/// What was found in a database.
#[derive(Debug, Clone, Default)]
pub struct LongVideoReport {
    /// Videos.
    pub videos: usize,
    /// Of these with a micro-expression.
    pub with_movements: usize,
    /// Micro-expressions.
    pub movements: usize,
    /// Length of all.
    pub minutes: f64,
    /// Frames that could not be read.
    pub unread: usize,
    /// Whether emotions are annotated.
    pub emotions: bool,
    /// All videos, one to one.
    pub strict: Counts,
    /// Videos with a micro-expression, one to one.
    pub strict_with_movements: Counts,
    /// Videos with a micro-expression, as published: papers leave the others out.
    pub published: Counts,
}

/// What was seen of a video.
struct WatchedVideo {
    spotted: Vec<LabelledInterval>,
    minutes: f64,
    unread: usize,
}

/// Runs every video through the pipeline and counts.
pub fn evaluate(videos: &LongVideos, models: &Models) -> Result<LongVideoReport> {
    let bar = run::bar("videos", videos.videos.len() as u64);
    let seen: Vec<WatchedVideo> = videos
        .videos
        .par_iter()
        .map(|video| {
            let seen = watch(video, models).with_context(|| video.name.clone())?;
            bar.inc(1);
            Ok(seen)
        })
        .collect::<Result<_>>()?;
    bar.finish_and_clear();
    let mut out =
        LongVideoReport { videos: seen.len(), emotions: videos.emotions, ..LongVideoReport::default() };
    for (video, seen) in videos.videos.iter().zip(&seen) {
        let truth: Vec<LabelledInterval> = video
            .micros
            .iter()
            .map(|m| LabelledInterval { span: (i64::from(m.onset), i64::from(m.offset)), class: m.class })
            .collect();
        out.movements += truth.len();
        out.minutes += seen.minutes;
        out.unread += seen.unread;
        out.strict.strict(&truth, &seen.spotted);
        if !truth.is_empty() {
            out.with_movements += 1;
            out.strict_with_movements.strict(&truth, &seen.spotted);
            out.published.published(&truth, &seen.spotted);
        }
    }
    Ok(out)
}

/// The movements found in a video, in numbers of its frames.
fn watch(video: &LongVideo, models: &Models) -> Result<WatchedVideo> {
    let mut pipeline = pipeline(models)?;
    let (mut decoder, mut frame) = (LumaDecoder::default(), Frame::default());
    let (first, last) = video.frames.span();
    let at_ns = |number: u32| (f64::from(number - first) * 1e9 / video.fps).round() as i64;
    let (mut movements, mut unread): (Vec<Movement>, usize) = (Vec::new(), 0);
    for number in video.frames.numbers() {
        let seq = u64::from(number - first);
        let path = video.frames.path(number).context("a frame without a file")?;
        let step = match read_luma(&path, &mut decoder, &mut frame) {
            Ok(()) => {
                (frame.seq, frame.at_ns) = (seq, at_ns(number));
                pipeline.push(&frame)
            }
            Err(e) => {
                eprintln!("{e:#}");
                unread += 1;
                pipeline.gap(seq, at_ns(number))
            }
        };
        if let Step::Event(movement) = step {
            movements.push(movement);
        }
    }
    ensure!(unread < video.frames.len(), "none of {unread} frames could be read");
    movements.extend(std::iter::from_fn(|| pipeline.finish()));
    let number = |ns: i64| i64::from(first) + (ns as f64 * video.fps / 1e9).round() as i64;
    let spotted = movements
        .iter()
        .filter(|m| m.kind == Kind::Micro)
        .map(|m| LabelledInterval {
            span: (number(m.onset_ns), number(m.offset_ns)),
            class: m.label.as_ref().map(|l| l.class as usize),
        })
        .collect();
    Ok(WatchedVideo { spotted, minutes: f64::from(last - first + 1) / video.fps / 60.0, unread })
}

impl LongVideoReport {
    fn rows(&self) -> [(&'static str, &Counts); 3] {
        [
            ("strict", &self.strict),
            ("strict_with_movements", &self.strict_with_movements),
            ("published", &self.published),
        ]
    }

    /// One object.
    pub fn json(&self, database: &str) -> Value {
        let mut out = json!({
            "database": database, "videos": self.videos, "videos_with_movements": self.with_movements,
            "movements": self.movements, "minutes": self.minutes, "frames_unread": self.unread,
        });
        for (name, counts) in self.rows() {
            out[name] = counts.json(self.emotions);
        }
        out
    }

    /// A table on stdout.
    pub fn print(&self, database: &str) {
        println!(
            "{database}: {} videos, {} with micro-expressions, {} micro-expressions, {:.1} min, {} frames not read",
            self.videos, self.with_movements, self.movements, self.minutes, self.unread
        );
        println!("count                      hits  wrong missed    prec.   recall  F1      words F1  STRS");
        for (name, counts) in self.rows() {
            println!("{name:24} {}", counts.line(self.emotions));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databases::frames::FrameFolder;
    use crate::databases::long::AnnotatedSpan;
    use glint::event::Class;
    use glint::synth::{Action, Camera, Pack, Scene, Script, Subject};
    use image::GrayImage;

    /// A face that smiles weakly once, as numbered images from 101 on, at 60 frames/s; the smile's onset and offset.
    fn filmed(dir: &std::path::Path) -> (u32, u32) {
        let camera = Camera { width: 320, height: 240, eye_distance_px: 80.0, ..Camera::default() };
        let smile = Action::micro(12, 0.35, 2_000_000_000);
        let frame_of = |ns: i64| 101 + (ns as f64 * 60.0 / 1e9).round() as u32;
        let span = (frame_of(smile.onset_ns), frame_of(smile.offset_ns));
        let script = Script::new(vec![smile]).expect("valid");
        let subject = Subject::random(Pack::embedded().expect("pack"), 5);
        let mut scene = Scene::new(subject, script, camera);
        for seq in 0..240u64 {
            let frame = scene.frame(seq, 60.0);
            let image = GrayImage::from_raw(320, 240, frame.luma).expect("a frame");
            image.save(dir.join(format!("v_{:05}.png", 101 + seq))).expect("saves");
        }
        std::fs::write(dir.join("v_00150.png"), b"no image").expect("writes");
        span
    }

    #[test]
    fn a_filmed_smile_is_found_and_counted() {
        let dir = tempfile::tempdir().expect("folder");
        let (onset, offset) = filmed(dir.path());
        let frames = FrameFolder::open(dir.path()).expect("frames");
        let video = |micros: Vec<AnnotatedSpan>| LongVideo {
            name: "v".into(),
            frames: frames.clone(),
            fps: 60.0,
            micros,
        };
        let smile = AnnotatedSpan { onset, offset, class: Some(Class::Positive as usize) };
        let videos = LongVideos {
            videos: vec![video(vec![smile]), video(Vec::new())],
            emotions: true,
            problems: Vec::new(),
        };
        let report = evaluate(&videos, &Models::embedded().expect("models")).expect("runs");
        assert_eq!((report.videos, report.with_movements, report.movements, report.unread), (2, 1, 1, 2));
        // The same video without the truth: what was a hit is a false alarm there, which papers do not count.
        assert_eq!((report.strict.hits, report.strict.wrong, report.strict.missed), (1, 1, 0));
        assert_eq!((report.published.hits, report.published.wrong), (1, 0));
        let json = report.json("samm-lv");
        assert_eq!(
            (&json["database"], &json["strict_with_movements"]["f1"]),
            (&json!("samm-lv"), &json!(1.0))
        );
        assert!((report.minutes - 8.0 / 60.0).abs() < 1e-6);
    }
}
