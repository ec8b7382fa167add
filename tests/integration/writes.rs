//! No frame is written: every file that glintd and its children open for writing, by strace.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::broker::{Broker, Subscriber, free_port};
use super::daemon::{Accepted, Daemon, configure_with};
use super::page::{Live, Site};

/// The files of the state folder, all of them: events, what only a rewrite needs, the mark of a pause, what the device
/// remembers, and who commanded and looked.
const FILES: [&str; 5] =
    ["outbox.redb", "outbox.paused", "g.device.json", "g.device.json.new", "audit.jsonl"];

/// System calls that make or change a file by its name, or memory that others can read.
const CALLS: &str = "trace=open,openat,openat2,creat,mknod,mknodat,link,linkat,symlink,symlinkat,rename,renameat,renameat2,\
                     truncate,memfd_create,open_by_handle_at,shmget";

/// What a line of strace opens for writing, or else changes by name: the paths in it.
fn changed(line: &str) -> Vec<String> {
    let Some((call, rest)) = line.split_once('(') else { return Vec::new() };
    let call = call.rsplit(' ').next().unwrap_or(call);
    let writes =
        ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"].iter().any(|flag| rest.contains(flag));
    // A file that was not there was not opened.
    let failed = rest.contains(") = -1 ");
    if (call.starts_with("open") && !writes) || failed {
        return Vec::new();
    }
    rest.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names in the state folder that a log holds; fails with a line that names anything else.
fn names(log: &str, state: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in log.lines() {
        // A call that another thread interrupted has its arguments in the first part.
        let paths = changed(line);
        assert!(!paths.is_empty() || !line.contains("memfd_create("), "{line}");
        for path in paths {
            let name = Path::new(&path).strip_prefix(state).ok().and_then(Path::to_str);
            let name = name.unwrap_or_else(|| panic!("outside the state folder: {line}"));
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn what_opens_a_file_for_writing_is_seen() {
    let open = |flags| format!(r#"77 openat(AT_FDCWD, "/s/f", {flags}, 0600) = 3"#);
    assert!(changed(&open("O_RDONLY|O_CLOEXEC")).is_empty());
    for flags in ["O_RDWR|O_CREAT|O_CLOEXEC", "O_WRONLY|O_TRUNC", "O_RDONLY|O_CREAT"] {
        assert_eq!(changed(&open(flags)), ["/s/f"], "{flags}");
    }
    assert_eq!(changed(r#"77 rename("/s/a", "/s/b") = 0"#), ["/s/a", "/s/b"]);
    assert_eq!(changed(r#"77 openat(AT_FDCWD, "/s/f", O_RDWR <unfinished ...>"#), ["/s/f"]);
    assert!(
        changed(r#"77 openat(AT_FDCWD, "/s/f", O_RDWR) = -1 ENOENT (No such file or directory)"#).is_empty()
    );
    let outside = std::panic::catch_unwind(|| names(r#"77 creat("/tmp/frame", 0600) = 3"#, Path::new("/s")));
    assert!(outside.is_err());
}

/// An operator opens the page, confirms the picture and takes one; Prometheus asks for its numbers.
fn look(site: &Site) {
    assert_eq!(site.get("/metrics", &[]).status, 200);
    let mut live = Live::open(site, &[]);
    let session = live.session();
    let session_header = [("X-Glint-Session", session.as_str())];
    assert_eq!(site.post("/picture/confirm", &session_header).status, 204);
    live.wait("sight", |sight| sight["picture"].is_number());
    let picture = site.get("/picture", &session_header);
    assert!(picture.status == 200 && picture.body.starts_with(&[0xff, 0xd8]), "{}", picture.status);
}

/// A whole run under strace: events, a picture on the page, pause, resume, calibrate, purge, reload, stop.
fn whole_run(source: &str) {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    let log = dir.path().join("strace.log");
    let state = dir.path().join("state");
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let site = Site::Tcp(free_port());
    let config = configure_with(dir.path(), &url, &format!("page.listen = {:?}", site.listen()));
    let text = std::fs::read_to_string(&config).expect("readable");
    let text = text.replace("source.kind = \"synthetic\"", source);
    let outbox = dir.path().join("outbox.redb").display().to_string();
    let text = text.replace(&outbox, &state.join("outbox.redb").display().to_string());
    std::fs::write(&config, text).expect("file");
    std::fs::create_dir(&state).expect("folder");
    // The grandchild traces, so that signals reach glintd.
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-s", "4096", "-e", CALLS, "-e", "signal=none", "-o"]).arg(&log);
    command.arg(env!("CARGO_BIN_EXE_glintd")).args(["run", "--config"]).arg(&config);
    let daemon = Daemon::start(command, &Accepted::default());
    // The first events wait on disk: nobody takes them yet.
    daemon.accept(1);
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    subscriber.wait("an event", 60, |s| !s.events("glint").is_empty());
    look(&site);
    for command in ["pause", "resume", "calibrate", "purge"] {
        subscriber.say(&format!("glint/glint/{command}/set"), "1");
        let reply = format!("glint/glint/{command}/state");
        subscriber.wait(&reply, 20, |s| !s.contents(&reply).is_empty());
    }
    daemon.signal("HUP");
    daemon.says("configuration reloaded", 30);
    daemon.accept(1);
    assert_eq!(daemon.end("TERM"), Some(0));
    let log = std::fs::read_to_string(&log).expect("strace's log");
    assert!(log.contains("outbox.redb"), "strace saw nothing");
    let written = names(&log, &state);
    let expected: BTreeSet<String> = FILES.iter().map(|f| (*f).to_owned()).collect();
    assert_eq!(written, expected, "files that were opened for writing");
}

/// A live self-test beside what a daemon has in the same folder: it writes the picture that was asked for, and connects to
/// nothing.
#[test]
fn a_live_self_test_writes_no_frame_and_touches_nothing_of_a_daemon() {
    if !strace() {
        return;
    }
    let dir = tempfile::tempdir().expect("folder");
    let (log, picture) = (dir.path().join("strace.log"), dir.path().join("result.png"));
    let more = "camera.fps = 30\npage.listen = \"127.0.0.1:1\"\nmqtt.discovery = true\nstream.au_hz = 5";
    let config = configure_with(dir.path(), "mqtt://127.0.0.1:1", more);
    for name in ["outbox.redb", "g.device.json", "audit.jsonl"] {
        std::fs::write(dir.path().join(name), "{}").expect("file");
    }
    let mut command = Command::new("strace");
    let calls = format!("{CALLS},connect,bind,unlink,unlinkat,mkdir,mkdirat");
    command.args(["-f", "-qq", "-s", "4096", "-e", &calls, "-e", "signal=none", "-o"]).arg(&log);
    command
        .arg(env!("CARGO_BIN_EXE_glintd"))
        .args(["selftest", "--minutes", "0.15", "--config"])
        .arg(&config);
    let output = command.arg("--picture").arg(&picture).output().expect("strace starts");
    assert!(output.status.success(), "{}", super::stderr(&output));
    let log = std::fs::read_to_string(&log).expect("strace's log");
    for call in ["connect(", "bind(", "unlink", "mkdir"] {
        assert!(!log.contains(call), "{call}: {log}");
    }
    assert_eq!(names(&log, dir.path()), BTreeSet::from(["result.png".to_owned()]));
    for name in ["outbox.redb", "g.device.json", "audit.jsonl"] {
        assert_eq!(std::fs::read_to_string(dir.path().join(name)).expect("there"), "{}", "{name}");
    }
}

/// Whether strace may trace here.
fn strace() -> bool {
    match Command::new("strace").args(["-o", "/dev/null", "true"]).status() {
        Ok(status) if status.success() => true,
        Ok(status) => {
            // A container may forbid it, whatever is installed.
            super::tools::skip(&format!("strace may not trace here ({status})"));
            false
        }
        Err(_) => {
            super::tools::missing("strace");
            false
        }
    }
}

#[test]
fn a_run_on_the_synthetic_subject_writes_no_frame() {
    if strace() {
        whole_run("source.kind = \"synthetic\"");
    }
}

/// Of a format that ffmpeg decodes: it is a child, and followed.
#[test]
fn a_run_on_a_clip_that_a_child_decodes_writes_no_frame() {
    with_clip(|clip| format!("source.kind = \"clip\"\nsource.path = {clip:?}"));
}

/// A program that shows what a camera sees, and shows it again after the reload.
#[test]
fn a_run_on_the_frames_of_a_program_writes_no_frame() {
    with_clip(|clip| {
        format!(
            "source.kind = \"command\"\nsource.command = [\"ffmpeg\", \"-v\", \"error\", \"-nostdin\", \"-re\", \"-i\", {clip:?}, \
             \"-pix_fmt\", \"yuv420p\", \"-f\", \"yuv4mpegpipe\", \"pipe:1\"]"
        )
    });
}

/// A whole run on a clip of smiles, as `source` configures it.
fn with_clip(source: impl Fn(&Path) -> String) {
    if !strace() {
        return;
    }
    let dir = tempfile::tempdir().expect("folder");
    let (avi, clip) = (dir.path().join("smile.avi"), dir.path().join("smile.mkv"));
    super::write_smile(&avi, glint::clip::Codec::Mjpeg(95), 240);
    // The movement comes again and again.
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-stream_loop", "9", "-i"])
        .arg(&avi)
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p"])
        .arg(&clip)
        .status();
    if !made.is_ok_and(|s| s.success()) {
        super::tools::missing("ffmpeg with libx264");
        return;
    }
    whole_run(&source(&clip));
}
