//! Frames of child processes: small shell scripts that behave like camera programs, well and badly.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{channel, sync_channel};
use std::time::{Duration, Instant};

use glint::clip::PipeFormat;
use glint::frame::{Frame, Mounting};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::broker::{Broker, Subscriber};
use super::serve::serve;
use super::serve_test::{config, setup};
use crate::daemon::clock::monotonic_ns;
use crate::daemon::config::{Config, SourceKind};
use crate::daemon::grab::{FrameSource, Grab, Opener};
use crate::daemon::sources::capture::{self, Captured, Shared};
use crate::daemon::sources::piped::PipedSource;

/// Sixteen by sixteen in Y4M, a frame every `$1` seconds.
const PACED: &str =
    "printf 'YUV4MPEG2 W16 H16 F50:1 Cmono\\n'; while :; do printf 'FRAME\\n%256s' ''; sleep $1; done";

fn sh(script: &str, arguments: &[&str]) -> Vec<String> {
    ["sh", "-c", script, "sh"].iter().chain(arguments).map(ToString::to_string).collect()
}

fn open(script: &str, arguments: &[&str]) -> PipedSource {
    PipedSource::open(&sh(script, arguments), PipeFormat::Y4m, Mounting::default()).expect("sh starts")
}

/// What comes next that is no timeout.
fn wait(source: &mut PipedSource, frame: &mut Frame) -> Result<Grab, String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let before = Instant::now();
        let grab = source.next(frame)?;
        if grab != Grab::Timeout {
            return Ok(grab);
        }
        assert!(before.elapsed() < Duration::from_secs(2), "the capture thread has to tick");
        assert!(Instant::now() < deadline, "something within 30 s");
    }
}

/// Whether a process runs; one that only waits to be waited for does not.
fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

/// The number that a script has written to a file.
fn pid_of(file: &Path) -> i32 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(pid) = text.strip_suffix('\n').and_then(|t| t.parse().ok()) {
            return pid;
        }
        assert!(Instant::now() < deadline, "a number in {}", file.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn ends(pid: i32, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while runs(pid) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    !runs(pid)
}

#[test]
fn frames_have_the_times_at_which_they_came() {
    let before = monotonic_ns();
    let mut source = open(PACED, &["0.04"]);
    let mut frame = Frame::default();
    assert_eq!(source.patience(), Duration::from_secs(15), "a program may start slowly");
    let mut times = Vec::new();
    for seq in 0..12 {
        assert_eq!(wait(&mut source, &mut frame), Ok(Grab::Frame));
        assert_eq!((frame.seq, frame.width, frame.height), (seq, 16, 16));
        assert_eq!(frame.luma, [b' '; 256]);
        times.push(frame.at_ns);
    }
    assert!(times[0] > before && *times.last().expect("twelve") < monotonic_ns());
    assert!(times.windows(2).all(|t| t[0] < t[1]), "{times:?}");
    // The script sleeps 40 ms or more between two frames.
    let span_ms = (times[11] - times[0]) / 1_000_000;
    assert!(span_ms > 11 * 40 - 30, "{span_ms} ms");
    assert_eq!(source.patience(), Duration::from_secs(3));
    assert_eq!(source.dropped(), 0);
}

#[test]
fn frames_that_nobody_takes_are_counted_and_their_numbers_are_missing() {
    let mut source = open(PACED, &["0.005"]);
    let mut frame = Frame::default();
    assert_eq!(wait(&mut source, &mut frame), Ok(Grab::Frame));
    std::thread::sleep(Duration::from_millis(500));
    let woke_ns = monotonic_ns();
    let mut last = frame.seq;
    let mut missing = 0;
    for _ in 0..4 {
        assert_eq!(wait(&mut source, &mut frame), Ok(Grab::Frame));
        missing += frame.seq - last - 1;
        last = frame.seq;
    }
    assert!(missing > 0, "two are kept, the others are not");
    assert!(source.dropped() >= missing);
    // The two that were kept are old by now. There is no backlog behind them.
    assert!(frame.at_ns > woke_ns - 400_000_000);
}

#[test]
fn the_end_of_a_program_is_told_with_its_status_and_last_words() {
    let mut frame = Frame::default();
    let mut source = open("echo 'no cameras available' >&2; exit 3", &[]);
    let reason = wait(&mut source, &mut frame).expect_err("it has ended");
    assert_eq!(reason, "sh ended with exit status 3: no cameras available");
    let mut source =
        open("printf 'YUV4MPEG2 W16 H16 F50:1 Cmono\\nFRAME\\n%256s' ''; echo 'cable out' >&2; exit 3", &[]);
    assert_eq!(wait(&mut source, &mut frame), Ok(Grab::Frame));
    let reason = wait(&mut source, &mut frame).expect_err("it has ended");
    assert_eq!(reason, "sh ended with exit status 3: cable out");
    let mut source = open("printf 'YUV4MPEG2 W16 H16 F50:1 Cmono\\nFRAME\\n%256s' ''; kill -9 $$", &[]);
    assert_eq!(wait(&mut source, &mut frame), Ok(Grab::Frame));
    let reason = wait(&mut source, &mut frame).expect_err("it has ended");
    assert_eq!(reason, "sh was ended by SIGKILL");
}

#[test]
fn garbage_is_refused() {
    let mut frame = Frame::default();
    let reason = wait(&mut open("exec yes garbage", &[]), &mut frame).expect_err("no Y4M");
    assert_eq!(reason, "sh: not a Y4M");
    let script = "printf 'YUV4MPEG2 W16 H16 F50:1 Cmono\\nFRAME\\n%256s' ''; exec yes garbage";
    let mut source = open(script, &[]);
    assert_eq!(wait(&mut source, &mut frame), Ok(Grab::Frame));
    let reason = wait(&mut source, &mut frame).expect_err("no frame");
    assert!(reason.contains("no FRAME where one must be"), "{reason}");
    // Pictures that are none.
    let script = "while :; do printf '\\377\\330nothing\\377\\331'; done";
    let command = sh(script, &[]);
    let mut source = PipedSource::open(&command, PipeFormat::Mjpeg, Mounting::default()).expect("sh starts");
    let mut damaged = 0;
    let reason = loop {
        match wait(&mut source, &mut frame) {
            Ok(Grab::Damaged(Some(_))) => damaged += 1,
            Ok(other) => panic!("{other:?}"),
            Err(reason) => break reason,
        }
    };
    assert!(damaged < 30 && reason.contains("30 frames in a row cannot be decoded"), "{reason}");
}

#[test]
fn a_program_ends_with_its_source_and_so_does_what_it_has_started() {
    let dir = tempfile::tempdir().expect("folder");
    let file = |name: &str| dir.path().join(name);
    let text = |name: &str| file(name).to_str().expect("UTF-8").to_owned();
    // A well-behaved one, which is asked; one that does not listen; one that has started another and waits for it.
    let asked = "trap 'echo asked >$2; exit' TERM; echo $$ >$1; while :; do sleep 0.02; done";
    let stubborn = "trap '' TERM; echo $$ >$1; while :; do sleep 0.02; done";
    let parent = "sleep 1000 & echo $! >$1; wait";
    for (name, script) in [("asked", asked), ("stubborn", stubborn), ("parent", parent)] {
        let source = open(script, &[&text(name), &text("word")]);
        let pid = pid_of(&file(name));
        assert!(runs(pid), "{name}");
        let before = Instant::now();
        drop(source);
        assert!(before.elapsed() < Duration::from_secs(3), "the watchdog waits for 3 s");
        assert!(ends(pid, Duration::from_secs(1)), "{name} is still there");
    }
    assert_eq!(std::fs::read_to_string(file("word")).expect("it was asked"), "asked\n");
}

/// Not a test but a program, which the next test kills: it has a silent child.
#[test]
#[ignore = "a program for the test below"]
fn owner() {
    let Ok(file) = std::env::var("GLINT_CHILD_PID") else { return };
    let _source = open("echo $$ >$1; exec sleep 1000", &[&file]);
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_program_dies_with_a_daemon_that_is_killed() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("pid");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--ignored", "--exact", "daemon::runtime::piped_test::owner"])
        .env("GLINT_CHILD_PID", &file);
    let mut owner = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let child = pid_of(&file);
    assert!(runs(child));
    owner.kill().expect("killed");
    owner.wait().expect("waited for");
    assert!(ends(child, Duration::from_secs(2)), "the program outlived its daemon");
}

/// A capture thread with a source that is opened again and again.
struct Bench {
    items: std::sync::mpsc::Receiver<Captured>,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Bench {
    fn new(open: Opener) -> Self {
        let (sender, items) = sync_channel(64);
        let (_, spare) = channel();
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = std::thread::spawn(move || capture::run(open, &sender, &spare, &seen));
        Self { items, shared, thread: Some(thread) }
    }

    /// The next frame; how often the source was opened before it.
    fn frame(&self) -> (Frame, usize) {
        let mut opened = 0;
        loop {
            match self.items.recv_timeout(Duration::from_secs(30)).expect("a frame within 30 s") {
                Captured::Frame(frame) => return (frame, opened),
                Captured::Opened => opened += 1,
                Captured::Damaged { .. } => {}
            }
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        while self.items.try_recv().is_ok() {}
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the thread ends when told");
    }
}

#[test]
fn a_program_that_is_killed_is_back_within_two_seconds() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("pid");
    let script = format!("echo $$ >$2; {PACED}");
    let command = sh(&script, &["0.02", file.to_str().expect("UTF-8")]);
    let open = move || PipedSource::open(&command, PipeFormat::Y4m, Mounting::default());
    let bench = Bench::new(Box::new(move || Ok(Box::new(open()?))));
    assert_eq!(bench.frame().1, 1);
    for round in 0..3 {
        // The next round's number takes the place of this one.
        let pid = pid_of(&file);
        std::fs::remove_file(&file).expect("the number");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
        let killed = Instant::now();
        let frame = loop {
            // Those that were on their way come before the opening, which is what vision counts as a loss.
            if let (frame, 1) = bench.frame() {
                break frame;
            }
        };
        println!("round {round}: back after {:?}", killed.elapsed());
        assert!(killed.elapsed() < Duration::from_secs(2), "round {round}: {:?}", killed.elapsed());
        assert_eq!(frame.seq, 0);
        assert!(!bench.shared.no_source.load(Relaxed));
    }
}

#[test]
fn a_program_that_is_missing_is_a_state_and_tried_again() {
    let dir = tempfile::tempdir().expect("folder");
    let program = dir.path().join("rpicam-vid");
    let command = vec![program.to_str().expect("UTF-8").to_owned()];
    let open = move || PipedSource::open(&command, PipeFormat::Y4m, Mounting::default());
    let bench = Bench::new(Box::new(move || Ok(Box::new(open()?))));
    let deadline = Instant::now() + Duration::from_secs(20);
    while !bench.shared.no_source.load(Relaxed) {
        assert!(Instant::now() < deadline, "no camera");
        std::thread::sleep(Duration::from_millis(5));
    }
    write_program(&program, &format!("set 0.02; {PACED}"));
    bench.frame();
}

/// Ends when it is told to: a camera never does.
struct Until(PipedSource, Arc<AtomicBool>);

impl FrameSource for Until {
    fn next(&mut self, frame: &mut Frame) -> Result<Grab, String> {
        if self.1.load(Relaxed) { Ok(Grab::End) } else { self.0.next(frame) }
    }
    fn live(&self) -> bool {
        true
    }
}

#[test]
fn a_daemon_whose_program_is_killed_says_why_and_loses_no_event() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let more = "source.kind = \"command\"\nsource.command = [\"sh\"]\nhealth.interval_s = 1";
    let (mut setup, made) = setup(config(dir.path(), broker.port, more), 0);
    let (pid, gone) = (dir.path().join("pid"), dir.path().join("gone"));
    let script = format!("if [ -e $3 ]; then echo 'no cable' >&2; exit 3; fi; echo $$ >$2; {PACED}");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let command = sh(&script, &["0.01", &text(&pid), &text(&gone)]);
    let stop = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&stop);
    setup.open = Box::new(move || {
        let piped = PipedSource::open(&command, PipeFormat::Y4m, Mounting::default())?;
        Ok(Box::new(Until(piped, Arc::clone(&end))))
    });
    let daemon = std::thread::spawn(move || serve(setup));
    subscriber.wait("three events", 20, |s| s.events("glint").len() >= 3);
    std::fs::write(&gone, "").expect("file");
    kill(Pid::from_raw(pid_of(&pid)), Signal::SIGKILL).expect("it runs");
    subscriber.wait("the state", 5, |s| {
        s.contents("glint/glint/state").last().is_some_and(|t| t.contains("no_camera"))
    });
    subscriber.wait("the report", 5, |s| {
        s.contents("glint/glint/health").last().is_some_and(|t| t.contains("\"problems\":[\"no_camera\"]"))
    });
    let before = made.load(Relaxed);
    std::fs::remove_file(&gone).expect("file");
    subscriber.wait("the picture again", 10, |s| {
        s.contents("glint/glint/state").last().is_some_and(|t| t.contains("\"streaming\""))
    });
    while made.load(Relaxed) < before + 3 {
        std::thread::sleep(Duration::from_millis(10));
    }
    stop.store(true, Relaxed);
    daemon.join().expect("no panic").expect("ends well");
    subscriber.wait("all events", 10, |s| s.events("glint").len() as u64 == made.load(Relaxed));
    for (id, contents) in subscriber.events("glint") {
        assert_eq!(contents.len(), 1, "{id} came {} times", contents.len());
        assert!(contents[0].contains("\"stamps\":\"arrival\""), "{}", contents[0]);
    }
}

/// Writes a shell script that can be run.
fn write_program(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let new = path.with_extension("new");
    std::fs::write(&new, format!("#!/bin/sh\n{script}\n")).expect("file");
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).expect("mode");
    std::fs::rename(&new, path).expect("in its place");
}

/// What stands for the programs of docs/guide/camera-command.md: it looks at its arguments as the program does, and lets
/// ffmpeg paint what a camera would show, at the camera's pace.
const FAKES: [(&str, &str); 3] = [
    (
        "rpicam-vid",
        r#"while [ $# -gt 0 ]; do case $1 in
             --width) w=$2;; --height) h=$2;; --framerate) r=$2;; --codec) c=$2;; --output) o=$2;; --timeout) t=$2;;
           esac; shift; done
           [ "$o$t" = -0 ] || exit 9
           case $c in yuv420) f="-pix_fmt yuv420p -f rawvideo";; mjpeg) f="-c:v mjpeg -q:v 5 -f mjpeg";; *) exit 9;; esac
           exec $FFMPEG -loglevel error -re -f lavfi -i testsrc2=size=${w}x$h:rate=$r $f -"#,
    ),
    (
        "gst-launch-1.0",
        r#"case "$*" in *nvarguscamerasrc*"format=I420 ! y4menc ! fdsink fd=3"*) ;; *) exit 9;; esac
           echo 'GST_ARGUS: Creating output stream'
           size=$(echo "$*" | sed 's/.*width=\([0-9]*\),height=\([0-9]*\),framerate=\([0-9]*\).*/size=\1x\2:rate=\3/')
           exec $FFMPEG -loglevel error -re -f lavfi -i "testsrc2=$size" -pix_fmt yuv420p -f yuv4mpegpipe - >&3"#,
    ),
    (
        // All but the address and how it is reached is the real program's business.
        "ffmpeg",
        r#"while [ "$1" != -i ]; do shift; done
           case $2 in rtsp://*) ;; *) exit 9;; esac
           shift 2
           exec $FFMPEG -loglevel error -re -f lavfi -i testsrc2=size=640x360:rate=25,format=yuv420p "$@""#,
    ),
];

/// The configurations of the guide, each with its program's stand-in.
#[test]
fn the_recipes_of_the_guide_deliver_frames() {
    let Ok(output) = Command::new("sh").args(["-c", "command -v ffmpeg"]).output() else { return };
    let ffmpeg = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if ffmpeg.is_empty() {
        super::tools::missing("ffmpeg");
        return;
    }
    let dir = tempfile::tempdir().expect("folder");
    for (name, script) in FAKES {
        write_program(&dir.path().join(name), &format!("FFMPEG={ffmpeg}\n{script}"));
    }
    let page = include_str!("../../../docs/guide/camera-command.md");
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 5, "a recipe without a test, or this count is old");
    for text in blocks {
        let config = Config::parse("the guide", text).expect(text);
        assert_eq!(config.source.kind, SourceKind::Command, "{text}");
        let command = config.source.command.clone().expect("a command");
        // The stand-ins come first in the path, also for a shell between.
        let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
        let command: Vec<String> =
            ["env".to_owned(), format!("PATH={path}")].into_iter().chain(command).collect();
        let layout = config.source.layout(&config.camera);
        let mut source = PipedSource::open(&command, layout, Mounting::default()).expect("env starts");
        let mut frame = Frame::default();
        let (mut first, mut last) = (0, i64::MIN);
        for i in 0..25 {
            assert_eq!(wait(&mut source, &mut frame), Ok(Grab::Frame), "frame {i} of {text}");
            assert!(frame.at_ns > last, "{text}");
            last = frame.at_ns;
            if i == 4 {
                first = last;
            }
        }
        let expected = if text.contains("rtsp") { (640, 360) } else { (1280, 720) };
        assert_eq!((frame.width, frame.height), expected, "{text}");
        let (low, high) = (frame.luma.iter().min(), frame.luma.iter().max());
        assert!(low < Some(&60) && high > Some(&200), "a picture: {text}");
        // Twenty frames at 60 a second last 333 ms, at 25 a second 800 ms. A machine under load is late, never early.
        let least_ms = if text.contains("rtsp") { 800 } else { 333 };
        let span_ms = (last - first) / 1_000_000;
        assert!(span_ms > least_ms / 2, "{span_ms} ms: {text}");
    }
}
