//! `glintd doctor`: each fault that can be planted without a camera is named, and nothing else; a device that is well has none.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use glint::clip::{AviWriter, Codec, Rate};
use glint::synth::{Camera, Pack, Scene, Script, Subject};
use serde_json::Value;

use super::broker::{Broker, Subscriber, free_port};
use super::daemon::{Accepted, Daemon, configure_with, start_command};
use super::tls::Authority;
use super::{glintd, run, stderr};

/// What a machine may really have while the tests run, and what is no fault.
const OF_THE_MACHINE: [&str; 5] = ["clock_unsynchronized", "hot", "throttled", "undervoltage", "disk_low"];

/// What a run of the doctor found.
#[derive(Debug)]
struct Diagnosis {
    code: Option<i32>,
    findings: Vec<Value>,
}

impl Diagnosis {
    fn from_output(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let all: Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{}", stderr(output)));
        Self { code: output.status.code(), findings: all["findings"].as_array().expect("a list").clone() }
    }

    /// Names of faults and warnings but those of the machine that the test runs on.
    fn wrong(&self) -> Vec<&str> {
        let names = self.findings.iter().filter(|f| f["level"] == "fault" || f["level"] == "warning");
        names.filter_map(|f| f["fault"].as_str()).filter(|f| !OF_THE_MACHINE.contains(f)).collect()
    }

    /// Exactly this is wrong, and there is a remedy.
    fn names(&self, fault: &str, remedy: &str) {
        assert_eq!(self.wrong(), [fault], "{:#?}", self.findings);
        assert_eq!(self.code, Some(1), "{fault}");
        let finding = self.findings.iter().find(|f| f["fault"] == fault).expect("it is there");
        assert!(finding["remedy"].as_str().is_some_and(|r| r.contains(remedy)), "{finding}");
    }

    fn is_well(&self) {
        assert_eq!((self.wrong(), self.code), (Vec::new(), Some(0)), "{:#?}", self.findings);
    }
}

fn command(config: &Path) -> Command {
    glintd(&["doctor", "--json", "--seconds", "4", "--config", config.to_str().expect("UTF-8")])
}

fn doctor(config: &Path) -> Diagnosis {
    Diagnosis::from_output(&command(config).output().expect("glintd starts"))
}

/// A broker that lets everybody in.
fn broker(dir: &Path) -> Option<Broker> {
    let mut broker = Broker::new(dir, "allow_anonymous true")?;
    broker.start();
    Some(broker)
}

/// A clip of somebody who looks into the camera: 5 s, each frame changed by `change`.
fn film(path: &Path, fps: f64, camera: Camera, change: impl Fn(u64, u8) -> u8) {
    let subject = Subject::random(Pack::embedded().expect("a pack"), 1);
    let mut scene = Scene::new(subject, Script::new(Vec::new()).expect("a script"), camera);
    let rate = Rate::from_fps(fps).expect("a rate");
    let mut writer = AviWriter::create(path, rate, (640, 480), Codec::Mjpeg(92)).expect("a clip");
    for seq in 0..(5.0 * fps) as u64 {
        let mut luma = scene.frame(seq, fps).luma;
        luma.iter_mut().for_each(|v| *v = change(seq, *v));
        writer.write(&luma).expect("written");
    }
    writer.finish().expect("written");
}

/// What the doctor says of a clip, with a broker that is well.
fn on_film(fps: f64, camera: Camera, change: impl Fn(u64, u8) -> u8) -> Option<Diagnosis> {
    let dir = tempfile::tempdir().expect("folder");
    let broker = broker(dir.path())?;
    let clip = dir.path().join("film.avi");
    film(&clip, fps, camera, change);
    let config = configure_with(dir.path(), &format!("mqtt://127.0.0.1:{}", broker.port), "");
    let text = std::fs::read_to_string(&config).expect("readable");
    let source = format!("source.kind = \"clip\"\nsource.path = {clip:?}");
    std::fs::write(&config, text.replace("source.kind = \"synthetic\"", &source)).expect("file");
    Some(doctor(&config))
}

#[test]
fn a_clip_in_good_light_is_well() {
    if let Some(diagnosis) = on_film(30.0, Camera::default(), |_, v| v) {
        diagnosis.is_well();
    }
}

#[test]
fn a_rate_under_20_is_named() {
    if let Some(diagnosis) = on_film(15.0, Camera::default(), |_, v| v) {
        diagnosis.names("fps_low", "more frames a second");
    }
}

#[test]
fn a_dark_room_is_named() {
    if let Some(diagnosis) = on_film(30.0, Camera { exposure: 0.15, ..Camera::default() }, |_, v| v) {
        diagnosis.names("too_dark", "light");
    }
}

#[test]
fn a_lamp_that_flickers_is_named() {
    let lamp = |seq: u64, v: u8| if seq.is_multiple_of(2) { v } else { (f32::from(v) * 0.88) as u8 };
    if let Some(diagnosis) = on_film(30.0, Camera::default(), lamp) {
        diagnosis.names("flicker", "25, 50 or 100 frames/s");
    }
}

#[test]
fn a_face_that_is_far_away_is_named() {
    if let Some(diagnosis) = on_film(30.0, Camera { eye_distance_px: 30.0, ..Camera::default() }, |_, v| v) {
        diagnosis.names("too_small", "closer");
    }
}

#[test]
fn a_camera_that_is_not_there_and_one_that_is_closed_are_named() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(broker) = broker(dir.path()) else { return };
    let config = configure_with(dir.path(), &format!("mqtt://127.0.0.1:{}", broker.port), "");
    let text = std::fs::read_to_string(&config).expect("readable");
    let with = |path: &str| {
        let source = format!("source.kind = \"v4l2\"\nsource.path = \"{path}\"");
        std::fs::write(&config, text.replace("source.kind = \"synthetic\"", &source)).expect("file");
    };
    with("/dev/video-none");
    doctor(&config).names("no_camera", "plug");
    with("/dev/null");
    doctor(&config).names("no_camera", "glintd cameras");

    // As another user, who may not open the node.
    let node = dir.path().join("video0");
    std::fs::write(&node, "").expect("file");
    let open_to = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
    };
    open_to(&node, 0o600);
    open_to(dir.path(), 0o777);
    with(node.to_str().expect("UTF-8"));
    let doctor = command(&config);
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(doctor.get_program());
    nobody.args(doctor.get_args());
    let reachable = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_glintd"), "--version"])
        .output();
    if !reachable.is_ok_and(|o| o.status.success()) {
        super::tools::skip("setpriv may not change the user, or another user cannot reach the program");
        return;
    }
    Diagnosis::from_output(&nobody.output().expect("setpriv starts"))
        .names("camera_permission", "usermod -aG");
}

#[test]
fn a_broker_that_is_away_is_named() {
    let dir = tempfile::tempdir().expect("folder");
    let config = configure_with(dir.path(), &format!("mqtt://127.0.0.1:{}", free_port()), "");
    doctor(&config).names("broker_unreachable", "mqtt.url");
    let config = configure_with(dir.path(), "mqtt://no-such-host.invalid", "");
    doctor(&config).names("broker_unreachable", "mqtt.url");
}

#[test]
fn a_wrong_authority_and_a_missing_certificate_are_named() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(authority) = Authority::new(&dir.path().join("authority")) else { return };
    let stranger = Authority::new(&dir.path().join("stranger")).expect("openssl is there");
    authority.sign("server", "localhost");
    authority.sign("client", "client");
    let Some((_broker, port)) = super::tls::broker(dir.path(), &authority) else { return };
    let config = super::tls::configuration(dir.path(), port, &authority, &authority.file("ca.pem"));
    doctor(&config).is_well();
    let config = super::tls::configuration(dir.path(), port, &authority, &stranger.file("ca.pem"));
    doctor(&config).names("broker_certificate", "mqtt.ca");
    let url = format!("mqtts://localhost:{port}");
    let config = configure_with(dir.path(), &url, &format!("mqtt.ca = {:?}", authority.file("ca.pem")));
    doctor(&config).names("broker_certificate", "mqtt.cert");
}

/// A broker that knows one user, `door`, whose access list is `rules`; and a configuration with a password.
fn guarded(dir: &Path, rules: &str, password: &str) -> Option<(Broker, PathBuf)> {
    let (users, list) = (dir.join("users"), dir.join("acl"));
    let made =
        Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&users).args(["door", "right-one"]).status();
    if !made.is_ok_and(|s| s.success()) {
        super::tools::missing("mosquitto_passwd");
        return None;
    }
    std::fs::write(&list, format!("user door\n{rules}\n")).expect("file");
    for path in [&users, &list] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
    }
    let extra =
        format!("allow_anonymous false\npassword_file {}\nacl_file {}", users.display(), list.display());
    let mut broker = Broker::new(dir, &extra)?;
    broker.start();
    let file = dir.join("password");
    std::fs::write(&file, format!("{password}\n")).expect("file");
    let more = format!("mqtt.username = \"door\"\nmqtt.password_file = {file:?}");
    let config = configure_with(dir, &format!("mqtt://127.0.0.1:{}", broker.port), &more);
    Some((broker, config))
}

#[test]
fn a_login_that_is_refused_is_named() {
    let dir = tempfile::tempdir().expect("folder");
    let Some((_broker, config)) = guarded(dir.path(), "topic readwrite glint/#", "wrong-one") else { return };
    doctor(&config).names("broker_refused", "mqtt.password_file");
}

#[test]
fn an_access_list_that_forbids_events_is_named() {
    for protocol in ["3.1.1", "5"] {
        let dir = tempfile::tempdir().expect("folder");
        let rules = "topic readwrite glint/#\ntopic deny glint/glint/event";
        let Some((_broker, config)) = guarded(dir.path(), rules, "right-one") else { return };
        let text = std::fs::read_to_string(&config).expect("readable");
        std::fs::write(&config, format!("{text}mqtt.protocol = \"{protocol}\"\n")).expect("file");
        doctor(&config).names("events_refused", "glint/glint/event");
    }
    let dir = tempfile::tempdir().expect("folder");
    let Some((_broker, config)) = guarded(dir.path(), "topic readwrite glint/#", "right-one") else { return };
    doctor(&config).is_well();
}

#[test]
fn an_access_list_that_forgets_a_report_is_named() {
    let dir = tempfile::tempdir().expect("folder");
    let rules = "topic readwrite glint/#\ntopic deny glint/glint/capabilities";
    let Some((_broker, config)) = guarded(dir.path(), rules, "right-one") else { return };
    doctor(&config).names("reports_refused", "glint/glint");
}

/// Whoever closed the camera does not want a diagnosis to open it.
#[test]
fn a_camera_that_is_paused_stays_closed() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(broker) = broker(dir.path()) else { return };
    let config = configure_with(dir.path(), &format!("mqtt://127.0.0.1:{}", broker.port), "");
    let text = std::fs::read_to_string(&config).expect("readable");
    // A program that tells whether it was started.
    let started = dir.path().join("started");
    let source = format!("source.kind = \"command\"\nsource.command = [\"touch\", {started:?}]");
    std::fs::write(&config, text.replace("source.kind = \"synthetic\"", &source)).expect("file");
    std::fs::write(dir.path().join("outbox.paused"), "").expect("marker");
    let found = doctor(&config);
    assert_eq!(found.wrong(), ["paused"], "{found:?}");
    assert!(!started.exists());
    let checked = super::run(&["check", "--environment", "--config", config.to_str().expect("UTF-8")]);
    assert!(!started.exists(), "{}", super::stderr(&checked));
}

/// Needs a small disk of its own, which only root may mount.
#[test]
fn a_full_disk_is_named() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(broker) = broker(dir.path()) else { return };
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).expect("folder");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(&disk).output();
    if !mounted.is_ok_and(|o| o.status.success()) {
        super::tools::skip("a small disk cannot be mounted here");
        return;
    }
    let config = configure_with(dir.path(), &format!("mqtt://127.0.0.1:{}", broker.port), "");
    let text = std::fs::read_to_string(&config).expect("readable");
    let text = text.replace(
        &dir.path().join("outbox.redb").display().to_string(),
        &disk.join("outbox").display().to_string(),
    );
    std::fs::write(&config, text).expect("file");
    let diagnosis = doctor(&config);
    let freed = Command::new("umount").arg(&disk).status();
    assert!(freed.is_ok_and(|s| s.success()), "the disk can be unmounted");
    diagnosis.names("outbox_full", "make room");
}

#[test]
fn beside_a_running_daemon_nothing_is_disturbed_and_nobody_hears_of_it() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(broker) = broker(dir.path()) else { return };
    let subscriber = Subscriber::start(broker.port, None);
    let config = configure_with(dir.path(), &format!("mqtt://127.0.0.1:{}", broker.port), "");
    let daemon = Daemon::start(start_command(&config), &Accepted::default());
    subscriber.wait("frames", 30, |s| {
        let well = |h: &String| h.contains("\"streaming\"") && h.contains("\"problems\":[]");
        s.contents("glint/glint/health").last().is_some_and(well)
    });
    let diagnosis = doctor(&config);
    diagnosis.is_well();
    let text = serde_json::to_string(&diagnosis.findings).expect("JSON");
    assert!(text.contains("glintd runs, and reports no problem"), "{text}");
    assert!(text.contains("a running glintd has it"), "the outbox: {text}");
    // The daemon stayed connected, and no subscriber got what was only asked.
    subscriber.wait("an event", 60, |s| !s.events("glint").is_empty());
    assert!(
        subscriber.contents("glint/glint/status").iter().all(|s| s == "online"),
        "the daemon was thrown off"
    );
    assert!(subscriber.contents("glint/glint/event").iter().all(|e| !e.is_empty()));
    assert_eq!(daemon.end("TERM"), Some(0));
}

#[test]
fn a_bundle_holds_what_was_found_and_no_password() {
    let dir = tempfile::tempdir().expect("folder");
    let more = |file: &Path| {
        format!(
            "mqtt.username = \"door-user\"\nmqtt.password_file = {file:?}\n\
             source.path = \"rtsp://me:camera-secret@cam/1\""
        )
    };
    let file = dir.path().join("password");
    std::fs::write(&file, "planted-password\n").expect("file");
    let url = format!("mqtt://127.0.0.1:{}", free_port());
    let config = configure_with(dir.path(), &url, &more(&file));
    let bundle = dir.path().join("report.tar");
    let words = ["--config", config.to_str().expect("UTF-8"), "--bundle", bundle.to_str().expect("UTF-8")];
    let output = run(&[&["doctor", "--seconds", "3"], &words[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let bytes = std::fs::read(&bundle).expect("written");
    let text = String::from_utf8_lossy(&bytes);
    for part in ["doctor.txt", "doctor.json", "configuration.toml", "log.txt", "broker_unreachable"] {
        assert!(text.contains(part), "{part}");
    }
    for secret in ["planted-password", "camera-secret", "door-user"] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert_eq!(std::fs::metadata(&bundle).expect("there").permissions().mode() & 0o777, 0o600);
    assert!(bytes.len() < 1 << 20, "no frames");
    let mut names: Vec<String> = tar::Archive::new(&bytes[..])
        .entries()
        .expect("a tar file")
        .map(|e| e.expect("whole").path().expect("a name").display().to_string())
        .collect();
    names.sort();
    assert_eq!(names.len(), 6, "{names:?}");
    // Nobody's file is overwritten.
    let output = run(&[&["doctor", "--seconds", "3"], &words[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("report.tar"), "{}", stderr(&output));
}

#[test]
fn a_file_that_is_missing_is_told_with_its_place_and_78() {
    let dir = tempfile::tempdir().expect("folder");
    let config = configure_with(dir.path(), "mqtt://127.0.0.1:1", "mqtt.ca = \"/no/ca\"");
    let output = run(&["doctor", "--config", config.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("g.toml:") && text.contains("mqtt.ca: /no/ca"), "{text}");
    assert!(text.contains("remedy: "), "{text}");
    // It hides neither the broker nor the camera.
    assert!(text.contains("broker_unreachable") && text.contains("the eyes are"), "{text}");
}

#[test]
fn a_configuration_that_cannot_be_used_has_a_bundle_too() {
    let dir = tempfile::tempdir().expect("folder");
    let config = configure_with(dir.path(), "mqtt://me:planted@host", "camera.fps = \"fast\"");
    let bundle = dir.path().join("report.tar");
    let paths = [&config, &bundle].map(|path| path.to_str().expect("UTF-8"));
    let output = run(&["doctor", "--config", paths[0], "--bundle", paths[1]]);
    assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
    let bytes = std::fs::read(&bundle).expect("written");
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("camera.fps") && text.contains("mqtt.url") && text.contains("log.txt"), "{text}");
    assert!(!text.contains("planted") && !stderr(&output).contains("planted"));
}
