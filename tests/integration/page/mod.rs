//! The commissioning page of a running daemon, by raw HTTP: what it tells, whom it refuses, and that it is not there where
//! nobody has asked for it.

mod browser;
mod client;
mod refused;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::broker::free_port;
use super::daemon::{Accepted, Daemon, configure_with, start_command};
pub(crate) use client::{Live, Site};

/// A daemon with the synthetic subject and a page, and where the page is.
fn start(dir: &Path, more: &str) -> (Daemon, Site) {
    let site = Site::Tcp(free_port());
    let daemon = start_at(dir, &site, more);
    (daemon, site)
}

fn start_at(dir: &Path, site: &Site, more: &str) -> Daemon {
    let url = format!("mqtt://127.0.0.1:{}", free_port());
    let config = configure_with(dir, &url, &format!("page.listen = {:?}\n{more}", site.listen()));
    let daemon = Daemon::start(start_command(&config), &Accepted::default());
    daemon.says("page served at", 30);
    daemon
}

/// The lines of the audit log.
fn audit(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("audit.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Waits until `done`, 20 s at most.
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what} within 20 s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sockets of a process that listen: their lines of /proc.
fn listening(process: u32) -> Vec<String> {
    let links = std::fs::read_dir(format!("/proc/{process}/fd")).expect("a process").flatten();
    let inodes: Vec<String> = links
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned))
        .collect();
    let table =
        |name: &str| std::fs::read_to_string(format!("/proc/{process}/net/{name}")).unwrap_or_default();
    let mut sockets = Vec::new();
    for line in ["tcp", "tcp6"].map(table).iter().flat_map(|t| t.lines()) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // State 0A is LISTEN.
        if fields.get(3) == Some(&"0A")
            && fields.get(9).is_some_and(|inode| inodes.iter().any(|o| o == inode))
        {
            sockets.push(line.to_owned());
        }
    }
    for line in table("unix").lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Flag 10000 is a socket that accepts.
        if fields.get(3) == Some(&"00010000")
            && fields.get(6).is_some_and(|inode| inodes.iter().any(|o| o == inode))
        {
            sockets.push(line.to_owned());
        }
    }
    sockets
}

#[test]
fn off_means_no_socket() {
    let dir = tempfile::tempdir().expect("folder");
    let config = configure_with(dir.path(), &format!("mqtt://127.0.0.1:{}", free_port()), "");
    let daemon = Daemon::start(start_command(&config), &Accepted::default());
    daemon.accept(1);
    assert_eq!(listening(daemon.id()), Vec::<String>::new());
    assert!(!dir.path().join("audit.jsonl").exists());
    assert_eq!(daemon.end("TERM"), Some(0));

    // And the test sees one that is there, of either kind; it is gone after a reload that turns the page off.
    let socket = Site::Unix(dir.path().join("page.sock"));
    let daemon = start_at(dir.path(), &socket, "");
    assert_eq!(listening(daemon.id()).len(), 1);
    assert_eq!(socket.get("/", &[]).status, 200);
    configure_with(dir.path(), &format!("mqtt://127.0.0.1:{}", free_port()), "");
    daemon.signal("HUP");
    daemon.says("configuration reloaded", 30);
    wait("the socket to close", || listening(daemon.id()).is_empty());
    wait("its file to go", || !dir.path().join("page.sock").exists());
    assert_eq!(daemon.end("TERM"), Some(0));
    let (daemon, site) = start(dir.path(), "");
    assert_eq!(listening(daemon.id()).len(), 1);
    assert_eq!(site.get("/", &[]).status, 200);
}

#[test]
fn a_page_sees_the_face_the_rate_and_an_event_and_commands_the_device() {
    let dir = tempfile::tempdir().expect("folder");
    let (daemon, site) = start(dir.path(), "");
    let mut live = Live::open(&site, &[]);
    let about = live.wait("about", |_| true);
    assert_eq!(about["device"], "glint");
    assert_eq!(about["aus"].as_array().map(Vec::len), Some(20));
    let begun = Instant::now();
    let sight = live
        .wait("sight", |s| s["face"].is_array() && s["fps"].as_f64() > Some(20.0) && !s["noise"].is_null());
    assert_eq!(sight["points"].as_array().map(Vec::len), Some(68));
    for meter in ["eyes_px", "light", "contrast", "motion_px", "noise", "flicker", "jitter"] {
        assert!(sight[meter].is_number(), "{meter}: {sight}");
    }
    assert!(sight["picture"].is_null(), "nobody has confirmed it");
    let event = live.wait("event", |_| true);
    assert_eq!(event["type"], "glint.movement.v1");
    let seen = live.count("sight") as f64;
    assert!(seen / begun.elapsed().as_secs_f64() < 11.0, "ten a second at most");
    live.wait("sight", |s| s["rows"].as_array().is_some_and(|rows| rows.iter().any(|r| r["au"].is_array())));

    let session = live.session();
    let session_header = [("X-Glint-Session", session.as_str())];
    let reply = site.post("/command/calibrate", &session_header);
    assert_eq!((reply.status, reply.json()["done"].as_bool()), (200, Some(true)), "{reply:?}");
    let reply = site.post("/command/pause", &session_header);
    assert_eq!((reply.status, reply.json()["accepted"].as_bool()), (200, Some(true)), "{reply:?}");
    live.wait("status", |s| s["state"] == "paused");
    assert!(dir.path().join("outbox.paused").exists());
    assert_eq!(site.post("/command/resume", &session_header).status, 200);
    live.wait("status", |s| s["state"] == "streaming");
    assert_eq!(site.post("/command/purge", &session_header).status, 404, "no page deletes events");
    drop(live);
    wait("the page to be closed", || audit(dir.path()).iter().any(|e| e["what"] == "page_closed"));
    daemon.signal("USR1");
    assert_eq!(daemon.end("TERM"), Some(0));
    let told: Vec<(String, String)> = audit(dir.path())
        .iter()
        .map(|e| (e["what"].as_str().unwrap_or("").to_owned(), e["origin"].as_str().unwrap_or("").to_owned()))
        .collect();
    let expected = [
        ("page_opened", "page"),
        ("calibrate", "page"),
        ("pause", "page"),
        ("resume", "page"),
        ("page_closed", "page"),
        ("pause", "signal"),
    ];
    assert_eq!(told, expected.map(|(what, origin)| (what.to_owned(), origin.to_owned())));
    let first = &audit(dir.path())[0];
    assert!(first["peer"].as_str().is_some_and(|p| p.starts_with("127.0.0.1:")), "{first}");
    assert_eq!(first["session"].as_str(), Some(&session[..8]), "enough to tell pages apart, and no more");
}

#[test]
fn a_picture_is_shown_after_a_confirmation_while_it_lasts_and_to_nobody_else() {
    let dir = tempfile::tempdir().expect("folder");
    let (daemon, site) = start(dir.path(), "page.confirmation_s = 3");
    let mut live = Live::open(&site, &[]);
    live.wait("sight", |s| s["face"].is_array());
    let session = live.session();
    let session_header = [("X-Glint-Session", session.as_str())];
    assert_eq!(site.get("/picture", &session_header).status, 403, "not confirmed");
    assert_eq!(site.post("/picture/confirm", &[]).status, 403, "no session");
    let begun = Instant::now();
    assert_eq!(site.post("/picture/confirm", &session_header).status, 204);
    assert_eq!(live.wait("picture", |_| true)["lasts_s"], 3);
    live.wait("sight", |s| s["picture"].is_number());
    let reply = site.get("/picture", &session_header);
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let picture = image(&reply.body);
    assert_eq!(picture, (640, 480));
    assert_eq!(site.get("/picture", &[]).status, 403, "another page");
    let mut other = Live::open(&site, &[]);
    other.wait("hello", |_| true);
    assert_eq!(site.get("/picture", &[("X-Glint-Session", &other.session())]).status, 403);
    // It lapses by itself.
    assert_eq!(live.wait("picture", |_| true)["lasts_s"], 0);
    assert!(begun.elapsed() > Duration::from_millis(2900));
    let nothing = |why: &str| {
        let reply = site.get("/picture", &session_header);
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{why}");
    };
    nothing("lapsed");
    let sight = live.wait("sight", |s| s["picture"].is_null());
    assert!(sight["face"].is_array(), "the outline stays");
    // Stopped by the operator, and by a page that is closed.
    assert_eq!(site.post("/picture/confirm", &session_header).status, 204);
    assert_eq!(site.post("/picture/stop", &session_header).status, 204);
    nothing("stopped");
    assert_eq!(site.post("/picture/confirm", &session_header).status, 204);
    live.wait("sight", |s| s["picture"].is_number());
    assert_eq!(site.post("/command/pause", &session_header).status, 200);
    live.wait("status", |s| s["state"] == "paused");
    nothing("a pause ends the confirmation");
    assert_eq!(site.post("/command/resume", &session_header).status, 200);
    live.wait("sight", |s| s["face"].is_array());
    nothing("and a resume does not bring it back");
    assert_eq!(site.post("/picture/confirm", &session_header).status, 204);
    drop(live);
    wait("the session to end", || site.get("/picture", &session_header).status == 403);
    drop(other);
    wait("both to be closed", || {
        audit(dir.path()).iter().filter(|e| e["what"] == "page_closed").count() == 2
    });
    assert_eq!(daemon.end("TERM"), Some(0));
    let words: Vec<String> =
        audit(dir.path()).iter().filter_map(|e| e["what"].as_str().map(str::to_owned)).collect();
    for word in ["picture_confirmed", "picture_lapsed", "picture_stopped"] {
        assert!(words.iter().any(|w| w == word), "{word}: {words:?}");
    }
    // What there is on disk afterwards is no picture.
    for entry in std::fs::read_dir(dir.path()).expect("readable").flatten() {
        let bytes = std::fs::read(entry.path()).expect("a file");
        assert!(!bytes.windows(3).any(|w| w == [0xff, 0xd8, 0xff]), "{:?} holds a JPEG", entry.path());
    }
}

#[test]
fn the_camera_is_tested_while_it_goes_on() {
    let dir = tempfile::tempdir().expect("folder");
    let (daemon, site) = start(dir.path(), "camera.fps = 15");
    let mut live = Live::open(&site, &[]);
    live.wait("sight", |s| s["face"].is_array());
    let session = live.session();
    let session_header = [("X-Glint-Session", session.as_str())];
    assert_eq!(site.post("/camera-test", &[]).status, 403, "no session");
    assert_eq!(site.get("/camera-test", &session_header).status, 404, "a link tests nothing");
    let reply = site.post("/camera-test", &session_header);
    assert_eq!((reply.status, reply.json()["accepted"].as_bool()), (200, Some(true)), "{reply:?}");
    assert!(reply.json()["seconds"].is_number());
    let result = live.wait("camera_test", |_| true);
    let findings = result["findings"].as_array().expect("findings");
    let level = |check: &str| {
        let finding = findings.iter().find(|f| f["check"] == check);
        finding.unwrap_or_else(|| panic!("{check} of {result}"))["level"].as_str().expect("a word")
    };
    for check in ["light", "flicker", "face", "contrast", "noise"] {
        assert_eq!(level(check), "good", "{result}");
    }
    assert_eq!(level("rate"), "fault", "15 a second are too few: {result}");
    level("frames");
    for finding in findings.iter().filter(|f| f["level"] != "good") {
        assert!(finding["fault"].is_string() && finding["remedy"].is_string(), "{finding}");
    }
    // A pause ends it, and there is none meanwhile.
    assert_eq!(site.post("/camera-test", &session_header).json()["accepted"], true);
    assert_eq!(site.post("/command/pause", &session_header).status, 200);
    assert_eq!(live.wait("camera_test", |_| true)["error"], "the device was paused");
    live.wait("status", |s| s["state"] == "paused");
    let reply = site.post("/camera-test", &session_header).json();
    assert_eq!(
        (&reply["accepted"], &reply["error"]),
        (&false.into(), &"no frames come: the device is paused".into())
    );
    assert_eq!(daemon.end("TERM"), Some(0));
    let tests = audit(dir.path()).iter().filter(|e| e["what"] == "camera_test").count();
    assert_eq!(tests, 3, "each press, also one that is refused");
}

/// Columns and rows of a JPEG.
fn image(bytes: &[u8]) -> (usize, usize) {
    let frame = bytes.windows(2).position(|w| w == [0xff, 0xc0]).expect("a frame header");
    let number = |at: usize| usize::from(bytes[frame + at]) << 8 | usize::from(bytes[frame + at + 1]);
    (number(7), number(5))
}

#[test]
fn metrics_are_those_of_the_device() {
    let dir = tempfile::tempdir().expect("folder");
    let (daemon, site) = start(dir.path(), "");
    daemon.accept(1);
    let reply = site.get("/metrics", &[]);
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    let text = String::from_utf8(reply.body.clone()).expect("text");
    let value = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in {text}")).parse::<f64>().expect("a number")
    };
    assert_eq!(value("glint_state{state=\"streaming\"}"), 1.0);
    assert!(value("glint_frames_per_second") > 10.0);
    assert!(value("glint_events_accepted_total") >= 1.0);
    assert_eq!(value("glint_outbox_events"), value("glint_events_accepted_total"), "there is no broker");
    assert_eq!(value("glint_broker_connected"), 0.0);
    assert!(value("glint_frame_processing_seconds_count") > 10.0);
    let mean = value("glint_frame_processing_seconds_sum") / value("glint_frame_processing_seconds_count");
    assert!((1e-5..1.0).contains(&mean), "{mean} s for a frame");
    assert!(value("process_resident_memory_bytes") > 1e6);
    // Nobody watches: nothing is handed over, and metrics are there all the same.
    assert_eq!(daemon.end("TERM"), Some(0));
}

#[test]
fn the_log_is_json_where_that_is_asked_for() {
    let dir = tempfile::tempdir().expect("folder");
    let config = configure_with(dir.path(), &format!("mqtt://127.0.0.1:{}", free_port()), "");
    let mut command = start_command(&config);
    command.env("GLINT_LOG_FORMAT", "json");
    let daemon = Daemon::start(command, &Accepted::default());
    daemon.says("\"message\":\"event accepted\"", 30);
    for line in daemon.lines() {
        let entry: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(
            entry["timestamp"].is_string() && entry["level"].is_string() && entry["fields"].is_object(),
            "{line}"
        );
    }
    assert_eq!(daemon.end("TERM"), Some(0));
    let wrong = super::glintd(&["check"]).env("GLINT_LOG_FORMAT", "xml").output().expect("glintd starts");
    assert_eq!(wrong.status.code(), Some(78));
    let stderr_text = super::stderr(&wrong);
    assert!(stderr_text.contains("GLINT_LOG_FORMAT: \"xml\"; allowed: text, json"), "{stderr_text}");
    // What keeps it from starting is JSON too.
    std::fs::write(&config, "camera.fps = \"fast\"\n[mqtt]\nulr = 1\n").expect("written");
    let refused = start_command(&config).env("GLINT_LOG_FORMAT", "json").output().expect("glintd starts");
    let stderr_text = super::stderr(&refused);
    assert_eq!((refused.status.code(), stderr_text.lines().count()), (Some(78), 2), "{stderr_text}");
    for (line, key) in stderr_text.lines().zip(["camera.fps", "mqtt.ulr"]) {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(entry["fields"]["message"].as_str().is_some_and(|m| m.contains(key)), "{line}");
    }
}
