//! The self-test of a camera: the frames that the source of a configuration delivers, for so long.
//!
//! Of the configuration it takes source, camera, face, gate and model. Broker, outbox and page play no part: nothing is
//! connected to, and nothing is written.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::time::Duration;

use glint::frame::Frame;
use glint::pipeline::Options;
use indicatif::{ProgressBar, ProgressStyle};

use super::report::{Live, SelftestReport};
use super::trial::{self, Means, Trial};
use crate::daemon::clock::monotonic_ns;
use crate::daemon::config::{Config, SourceKind};
use crate::daemon::doctor::source;
use crate::daemon::grab::{FrameSource, Grab, Opener};
use crate::daemon::outbox::is_held;
use crate::daemon::runtime::visibility::remedy;
use crate::daemon::runtime::{files, memory, setup};
use crate::daemon::sources::capture::{self, Shared};

/// Frames between capture and the test: planning a movement takes as long as some of them.
const FRAMES: usize = 16;
/// Seconds between two lines where stderr is no terminal, of which a test has about so many.
const LINE_S: u64 = 10;
const LINES: u64 = 60;

/// Runs the test; the name of the source comes along.
pub(crate) fn measure(path: &Path, seed: u64, length: Duration) -> anyhow::Result<(String, SelftestReport)> {
    let stop = listen()?;
    let (config, _) = memory::load(path, None)?;
    let (chosen, options) = files::vision(&config, None)?;
    chosen.log();
    let models = chosen.models;
    // Class words cost time and play no part.
    let options = Options { purpose: None, ..options };
    // Whether they fit is found out before the camera is opened.
    files::pipeline(&config, options.clone(), &models)?;
    let name = name(&config);
    source::usable(&config).map_err(|finding| {
        let remedy = finding.remedy.as_deref().unwrap_or_default();
        anyhow::anyhow!("{}; remedy: {}", finding.text, remedy_of(&config, finding.fault, remedy))
    })?;

    let (items, items_out) = sync_channel(FRAMES);
    let (spare, spare_out) = channel();
    let (failed, failure) = channel();
    let shared = Arc::new(Shared::default());
    let open = attentive(setup::resting(&config)?, failed);
    let seen = Arc::clone(&shared);
    let capture = std::thread::Builder::new()
        .name("capture".into())
        .spawn(move || capture::run(open, &items, &spare_out, &seen))?;

    let what = what(config.source.kind);
    let words = words(length);
    eprintln!(
        "{name}: a self-test of {words}; frames stay in memory, and none is written; Ctrl+C ends it early"
    );
    let means = Means { models: &models, options, seed };
    let report = SelftestReport { live: Some(Live { what, ..Live::default() }), ..SelftestReport::default() };
    let mut progress = Progress::new(length, config.source.kind);
    let tested = trial::conduct(&means, report, &items_out, &spare, |trial| {
        !stop.load(Relaxed) && progress.goes_on(trial)
    });
    progress.end();
    shared.stop.store(true, Relaxed);
    drop(items_out);
    if capture.join().is_err() {
        anyhow::bail!("the capture thread panicked");
    }
    let mut report = tested?;
    if let Ok(reason) = failure.try_recv() {
        // A program that finds its camera taken says so in words of its own.
        let held = is_held(&config.outbox.path).then(|| format!("; {}", pause(&config)));
        anyhow::bail!("{reason}{}", held.unwrap_or_default());
    }
    if let Some(live) = &mut report.live {
        live.dropped = shared.dropped.load(Relaxed);
        live.damaged = shared.damaged.load(Relaxed);
        live.is_interrupted = !progress.is_over();
    }
    Ok((name, report))
}

/// Set by TERM and INT; a second one ends the process at once.
fn listen() -> anyhow::Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    // It ends with the process.
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if flag.swap(true, Relaxed) {
                    std::process::exit(1);
                }
            }
        });
    })?;
    Ok(stop)
}

/// A source that never has a frame.
struct Nothing;

impl FrameSource for Nothing {
    fn next(&mut self, _: &mut Frame) -> Result<Grab, String> {
        Ok(Grab::End)
    }
}

/// A source whose first frame was waited for.
struct Begun {
    first: Option<Frame>,
    source: Box<dyn FrameSource>,
}

impl FrameSource for Begun {
    fn next(&mut self, frame: &mut Frame) -> Result<Grab, String> {
        match self.first.take() {
            Some(first) => {
                *frame = first;
                Ok(Grab::Frame)
            }
            None => self.source.next(frame),
        }
    }

    fn live(&self) -> bool {
        self.source.live()
    }

    fn patience(&self) -> Duration {
        self.source.patience()
    }

    fn dropped(&mut self) -> u64 {
        self.source.dropped()
    }
}

/// Gives up where the source has no frame at the first attempt, and tells why: somebody waits for an answer. Later on it is
/// opened anew, as `run` does.
fn attentive(mut open: Opener, failed: Sender<String>) -> Opener {
    let mut has_worked = false;
    Box::new(move || {
        if has_worked {
            return open();
        }
        let opened = open().and_then(|mut source| Ok((source::wait_for_frame(source.as_mut())?, source)));
        match opened {
            Ok((first, source)) => {
                has_worked = true;
                Ok(Box::new(Begun { first: Some(first), source }))
            }
            Err(reason) => {
                // Where the test has ended meanwhile, nobody wants to know.
                _ = failed.send(reason);
                Ok(Box::new(Nothing))
            }
        }
    })
}

/// What to do where the camera cannot be had: a daemon that has it may be paused for the time of the test.
fn remedy_of(config: &Config, fault: Option<&str>, remedy: &str) -> String {
    match fault {
        Some("camera_busy") if is_held(&config.outbox.path) => pause(config),
        Some("camera_busy") => format!("{remedy}; {}", pause(config)),
        _ => remedy.to_owned(),
    }
}

/// How a running daemon lets its camera go, and takes it again.
fn pause(config: &Config) -> String {
    format!(
        "where glintd run has the camera, pause it for the test: press Pause on the page, publish 1 to {}/pause/set, or \
         sudo systemctl kill --kill-who=main -s USR1 glintd; resume it afterwards (resume/set, USR2)",
        crate::daemon::mqtt::base(config)
    )
}

/// What a source is called in a sentence.
fn what(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::V4l2 | SourceKind::Command => "camera",
        SourceKind::Clip => "clip",
        SourceKind::Synthetic => "synthetic subject",
    }
}

/// The name of a source. The arguments of a program and an address may hold a login.
fn name(config: &Config) -> String {
    let path = config.source.path.as_ref().map(|p| p.display().to_string());
    match config.source.kind {
        SourceKind::V4l2 => path.unwrap_or_else(|| "camera".into()),
        SourceKind::Clip => path.filter(|p| !p.contains("://")).unwrap_or_else(|| "clip".into()),
        SourceKind::Command => {
            let program = config.source.command.as_ref().and_then(|c| c.first());
            program.cloned().unwrap_or_else(|| "command".into())
        }
        SourceKind::Synthetic => "synthetic subject".into(),
    }
}

/// A time in words.
fn words(length: Duration) -> String {
    let seconds = length.as_secs_f64();
    if seconds >= 7200.0 { format!("{:.1} h", seconds / 3600.0) } else { clock(seconds) + " min" }
}

/// Minutes and seconds.
fn clock(seconds: f64) -> String {
    let total_s = seconds.max(0.0).round() as u64;
    format!("{}:{:02}", total_s / 60, total_s % 60)
}

/// Says on stderr how far the test is, and ends it.
struct Progress {
    length: Duration,
    source: SourceKind,
    /// Since the first frame.
    started_ns: Option<i64>,
    told_s: u64,
    is_over: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(length: Duration, source: SourceKind) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(length.as_secs());
            if let Ok(style) = ProgressStyle::with_template("{bar:20} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { length, source, started_ns: None, told_s: 0, is_over: false, bar }
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    /// Looks at the clock; whether there is time left.
    fn goes_on(&mut self, trial: &Trial) -> bool {
        if !trial.has_begun() {
            return true;
        }
        let now_ns = monotonic_ns();
        let passed = now_ns - *self.started_ns.get_or_insert(now_ns);
        self.is_over = u128::try_from(passed).is_ok_and(|ns| ns >= self.length.as_nanos());
        let seconds = (passed / 1_000_000_000).cast_unsigned();
        let every_s = if self.bar.is_some() { 1 } else { LINE_S.max(self.length.as_secs() / LINES) };
        if !self.is_over && seconds >= self.told_s + every_s {
            self.told_s = seconds;
            self.tell(seconds, trial);
        }
        !self.is_over
    }

    fn tell(&self, seconds: u64, trial: &Trial) {
        let left = clock(self.length.as_secs_f64() - seconds as f64);
        let line = format!("{left} left: {}", status(trial, self.source));
        match &self.bar {
            Some(bar) => {
                bar.set_position(seconds);
                bar.set_message(line);
            }
            None => eprintln!("{line}"),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What is seen, and how much was found.
fn status(trial: &Trial, source: SourceKind) -> String {
    let (view, report) = (trial.view(), &trial.report);
    let eyes = view.eye_distance_px.map_or("no face".into(), |e| format!("eyes {e:.0} px apart"));
    let word = match view.reason() {
        Some(reason) => format!("{reason}: {}", remedy(reason, source)),
        None => "good".into(),
    };
    format!(
        "{} of {} movements found; {eyes}, {:.1} frames/s, {word}",
        report.found, report.injected, view.fps
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_has_no_frame_is_told_once_and_not_tried_again() {
        let (failed, failure) = channel();
        let mut attempts = 0;
        let mut open = attentive(
            Box::new(move || {
                attempts += 1;
                if attempts == 1 { Ok(Box::new(Nothing)) } else { Err(format!("attempt {attempts}")) }
            }),
            failed,
        );
        let mut source = open().expect("an empty one");
        assert_eq!(source.next(&mut Frame::default()), Ok(Grab::End));
        assert_eq!(failure.try_recv().as_deref(), Ok("it ended before the first frame"));
    }

    #[test]
    fn the_frame_that_was_waited_for_is_the_first_one() {
        let mut config = Config::default();
        config.source.kind = SourceKind::Synthetic;
        let (failed, _failure) = channel();
        let mut source =
            attentive(setup::resting(&config).expect("valid"), failed)().expect("it is built in");
        let numbers: Vec<u64> = std::iter::repeat_with(|| {
            let mut frame = Frame::default();
            while source.next(&mut frame) != Ok(Grab::Frame) {}
            frame.seq
        })
        .take(3)
        .collect();
        assert_eq!(numbers, [0, 1, 2]);
    }

    #[test]
    fn a_daemon_that_has_the_camera_may_be_paused() {
        let dir = tempfile::tempdir().expect("folder");
        let mut config = Config::default();
        config.outbox.path = dir.path().join("outbox");
        let remedy = |fault| remedy_of(&config, Some(fault), "end the other program");
        assert_eq!(remedy("no_camera"), "end the other program");
        let words = remedy("camera_busy");
        assert!(words.starts_with("end the other program; where glintd run has"), "{words}");
        let file = std::fs::File::create(&config.outbox.path).expect("file");
        file.lock().expect("locked");
        let words = remedy("camera_busy");
        assert!(words.starts_with("where glintd run has the camera, pause it"), "{words}");
        assert!(words.contains("glint/glint/pause/set") && words.contains("USR1"), "{words}");
    }

    #[test]
    fn names_hold_no_login() {
        let text = "[source]\nkind = \"command\"\ncommand = [\"ffmpeg\", \"-i\", \"rtsp://me:secret@x\"]";
        assert_eq!(name(&Config::parse("g", text).expect("valid")), "ffmpeg");
        let text = "[source]\nkind = \"clip\"\npath = \"rtsp://me:secret@x\"";
        assert_eq!(name(&Config::parse("g", text).expect("valid")), "clip");
        assert_eq!((clock(75.4).as_str(), words(Duration::from_secs(7200)).as_str()), ("1:15", "2.0 h"));
    }
}
