//! A clip through the pipeline: what `replay` and `inspect` share.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use glint::clip::{Clip, Media, display_name};
use glint::frame::Frame;
use glint::pipeline::{Pipeline, Step};
use indicatif::{ProgressBar, ProgressStyle};

use crate::daemon::sources::footage::{Footage, Selection};
use crate::daemon::summary::Account;

/// How a clip ended.
pub(crate) enum Ending {
    /// At its end, with at least one decoded frame.
    Complete,
    /// Early: the error says where. What came before was delivered.
    Failed(anyhow::Error),
}

impl Ending {
    /// The exit code of the program.
    pub(crate) fn exit_code(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Complete => Ok(ExitCode::SUCCESS),
            Self::Failed(error) => Err(error),
        }
    }
}

/// A progress bar on stderr, where that is a terminal.
fn progress(clip: &Clip) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match clip.frame_count() {
        Some(count) => (ProgressBar::new(count), "{bar:40} {pos}/{len} frames {eta}"),
        // Nobody knows how many will come.
        None => (ProgressBar::no_length(), "{spinner} {pos} frames {per_sec} {elapsed}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Opens a clip and pushes every frame; at the end the account says what was seen. `see` gets each step with the frame's
/// number and time, the pipeline as it is after it, and the clip. A movement that the end of the clip concludes has no frame.
pub(crate) fn run(
    path: &Path,
    selection: Selection,
    pipeline: &mut Pipeline,
    account: &mut Account,
    mut see: impl FnMut(Step, Option<&Frame>, &Pipeline, &Clip) -> anyhow::Result<()>,
) -> anyhow::Result<Ending> {
    let mut footage = Footage::open(path, selection)?;
    let bar = progress(footage.clip());
    let mut frame = Frame::default();
    let (mut decoded, mut span_ns) = (0u64, None);
    let ending = loop {
        let step = match footage.next(&mut frame) {
            Ok(None) => break Ending::Complete,
            Ok(Some(Media::Frame)) => {
                decoded += 1;
                pipeline.push(&frame)
            }
            Ok(Some(Media::Damaged { seq, at_ns, reason })) => {
                bar.suspend(|| tracing::warn!("{}: frame {seq}: {reason}", display_name(path)));
                (frame.seq, frame.at_ns) = (seq, at_ns);
                pipeline.gap(seq, at_ns)
            }
            Err(error) => break Ending::Failed(error.into()),
        };
        let (first_ns, _) = span_ns.unwrap_or((frame.at_ns, frame.at_ns));
        span_ns = Some((first_ns, frame.at_ns));
        account.add(pipeline)?;
        see(step, Some(&frame), pipeline, footage.clip())?;
        bar.inc(1);
    };
    loop {
        let last = pipeline.finish();
        account.add(pipeline)?;
        let Some(movement) = last else { break };
        see(Step::Event(movement), None, pipeline, footage.clip())?;
    }
    bar.finish_and_clear();
    if decoded == 0 && matches!(ending, Ending::Complete) {
        let part = selection.from.is_some() || selection.to.is_some();
        let what = if part { "no frame between --from and --to" } else { "no frame could be decoded" };
        return Err(anyhow::anyhow!("{}: {what}", display_name(path)));
    }
    let seconds = span_ns.map_or(0.0, |(first, last)| (last - first) as f64 / 1e9);
    account.finish(pipeline, seconds)?;
    Ok(ending)
}

/// Writes one line to stdout; a reader that went away ends the program quietly.
pub(crate) fn print_line(line: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("stdout")
}
