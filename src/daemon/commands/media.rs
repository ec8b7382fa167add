//! A clip through the pipeline: what `replay` and `inspect` share.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use glint::clip::{Clip, Media, display_name};
use glint::frame::Frame;
use glint::pipeline::{Pipeline, Step};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

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
    bar(clip.frame_count())
}

/// A bar, or a spinner where nobody knows how many frames will come.
fn bar(count: Option<u64>) -> ProgressBar {
    let (bar, template) = match count {
        Some(count) => (ProgressBar::new(count), "{bar:40} {pos}/{len} frames {eta}"),
        None => (ProgressBar::no_length(), "{spinner} {pos} frames {rate} {elapsed}"),
    };
    // The library's own rate has four decimals.
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // A line on a terminal: what cannot be written is not missed.
        _ = write!(out, "{:.0}/s", state.per_sec());
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("rate", rate));
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A terminal that keeps what it shows.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl Screen {
        fn text(&self) -> String {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_spinner_counts_whole_frames() {
        for (count, words) in [(None, "7 frames "), (Some(9), "7/9 frames ")] {
            let screen = Screen::default();
            let bar = bar(count);
            bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(screen.clone())));
            bar.inc(7);
            bar.abandon();
            let text = screen.text();
            assert!(text.contains(words) && !text.contains('.'), "{text:?}");
            assert_eq!(text.contains("/s "), count.is_none(), "{text:?}");
        }
    }
}
