//! A clip through the pipeline: what `replay`, `inspect` and `bench` share.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Context;
use glint::clip::{Clip, ClipError, Media};
use glint::frame::{Frame, Mounting};
use glint::pipeline::{Pipeline, Step};
use indicatif::{ProgressBar, ProgressStyle};

use super::summary::Account;

/// Which frames of a clip, when, and how they are turned.
#[derive(clap::Args, Debug, Clone, Copy, Default)]
pub struct Selection {
    /// Frames per second, instead of the clip's own times.
    #[arg(long)]
    pub fps: Option<f64>,
    /// Turn the pictures clockwise by 90, 180 or 270 degrees; what a file tells of itself is done already.
    #[arg(long, value_name = "DEGREES", value_parser = degrees, default_value = "0", hide_default_value = true)]
    pub rotate: u16,
    /// The pictures are mirrored: swap left and right back, after --rotate.
    #[arg(long)]
    pub mirror: bool,
    /// Leave out what comes before so many seconds; times keep counting from the first frame of the clip.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub from: Option<i64>,
    /// End at so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub to: Option<i64>,
}

fn degrees(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|d| [0, 90, 180, 270].contains(d)).ok_or("allowed: 0, 90, 180, 270".into())
}

/// Nanoseconds of seconds.
fn seconds(text: &str) -> Result<i64, String> {
    let value: Option<f64> = text.parse().ok().filter(|s| (0.0..1e9).contains(s));
    value.map(|s| (s * 1e9).round() as i64).ok_or("allowed: seconds from 0, as 12 or 12.5".into())
}

/// A clip as it was selected.
pub struct Footage {
    clip: Clip,
    selection: Selection,
    mounting: Mounting,
    spare: Vec<u8>,
}

impl Footage {
    /// Opens a clip.
    pub fn open(path: &Path, selection: Selection) -> Result<Self, ClipError> {
        let Selection { rotate, mirror, from, to, fps } = selection;
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            let seconds = |ns: i64| ns as f64 / 1e9;
            let reason = format!("--from {} is not before --to {}", seconds(from), seconds(to));
            return Err(ClipError::Header { path: path.to_owned(), reason });
        }
        let mounting = Mounting { rotate, mirror };
        Ok(Self { clip: Clip::open(path, fps)?, selection, mounting, spare: Vec::new() })
    }

    /// The clip.
    pub fn clip(&self) -> &Clip {
        &self.clip
    }

    /// The next selected frame, upright; `None` at the end.
    pub fn next(&mut self, frame: &mut Frame) -> Result<Option<Media>, ClipError> {
        loop {
            let Some(media) = self.clip.next(frame)? else { return Ok(None) };
            let at_ns = match &media {
                Media::Frame => frame.at_ns,
                Media::Gap { at_ns, .. } => *at_ns,
            };
            if self.selection.to.is_some_and(|to| at_ns >= to) {
                return Ok(None);
            }
            if self.selection.from.is_some_and(|from| at_ns < from) {
                continue;
            }
            if media == Media::Frame {
                self.mounting.apply(frame, &mut self.spare);
            }
            return Ok(Some(media));
        }
    }
}

/// How a clip ended.
pub enum Ending {
    /// At its end, with at least one decoded frame.
    Complete,
    /// Early: the error says where. What came before was delivered.
    Failed(anyhow::Error),
}

/// A progress bar on stderr, where that is a terminal.
fn progress(clip: &Clip) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = clip.frame_count().map_or_else(ProgressBar::no_length, ProgressBar::new);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} frames {eta}") {
        bar.set_style(style);
    }
    bar
}

/// Opens a clip and pushes every frame; at the end the account says what was seen. `see` gets each step with the frame's
/// number and time, the pipeline as it is after it, and the clip.
pub fn run(
    path: &Path,
    selection: Selection,
    pipeline: &mut Pipeline,
    mut account: Account,
    mut see: impl FnMut(Step, &Frame, &Pipeline, &Clip) -> anyhow::Result<()>,
) -> anyhow::Result<Ending> {
    let mut footage = Footage::open(path, selection)?;
    let bar = progress(footage.clip());
    let mut frame = Frame::default();
    let (mut decoded, mut first_ns) = (0u64, None);
    let ending = loop {
        let step = match footage.next(&mut frame) {
            Ok(None) => break Ending::Complete,
            Ok(Some(Media::Frame)) => {
                decoded += 1;
                pipeline.push(&frame)
            }
            Ok(Some(Media::Gap { seq, at_ns, reason })) => {
                bar.suspend(|| tracing::warn!("{}: frame {seq}: {reason}", path.display()));
                (frame.seq, frame.at_ns) = (seq, at_ns);
                pipeline.gap(seq, at_ns)
            }
            Err(error) => break Ending::Failed(error.into()),
        };
        first_ns = first_ns.or(Some(frame.at_ns));
        account.add(pipeline)?;
        see(step, &frame, pipeline, footage.clip())?;
        bar.inc(1);
    };
    loop {
        let last = pipeline.finish();
        account.add(pipeline)?;
        let Some(movement) = last else { break };
        see(Step::Event(movement), &frame, pipeline, footage.clip())?;
    }
    bar.finish_and_clear();
    if decoded == 0 && matches!(ending, Ending::Complete) {
        let part = selection.from.is_some() || selection.to.is_some();
        let what = if part { "no frame between --from and --to" } else { "no frame could be decoded" };
        return Err(anyhow::anyhow!("{}: {what}", path.display()));
    }
    let seconds = first_ns.map_or(0.0, |first| (frame.at_ns - first) as f64 / 1e9);
    account.finish(pipeline, seconds)?;
    Ok(ending)
}

/// Writes one line to stdout; a reader that went away ends the program quietly.
pub fn print_line(line: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("stdout")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_command_line() {
        assert_eq!(seconds("12.5"), Ok(12_500_000_000));
        assert!(seconds("-1").is_err() && seconds("NaN").is_err() && seconds("1:30").is_err());
        assert_eq!(degrees("270"), Ok(270));
        assert!(degrees("45").is_err());
    }
}
