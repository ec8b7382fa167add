//! `glintd selftest`: of a clip, and of the live source of a configuration.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use glint::clip::Codec;
use serde_json::Value;

use super::{glintd, run, stderr, write_smile};

/// A configuration with a source, and the outbox of some daemon.
fn configure(dir: &Path, source: &str) -> PathBuf {
    let file = dir.join("g.toml");
    let text = format!("{source}\n[outbox]\npath = {:?}\n", dir.join("outbox.redb"));
    std::fs::write(&file, text).expect("file");
    file
}

fn json(text: &[u8]) -> Value {
    let text = String::from_utf8_lossy(text);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn last_line(text: &str) -> &str {
    text.lines().next_back().unwrap_or_default()
}

#[test]
fn a_clip_is_told_about_with_a_result_a_picture_and_a_summary() {
    let dir = tempfile::tempdir().expect("folder");
    let (clip, picture) = (dir.path().join("smile.avi"), dir.path().join("smile.svg"));
    write_smile(&clip, Codec::Gray, 190);
    let path = |p: &Path| p.to_str().expect("UTF-8").to_owned();
    let output = run(&["selftest", &path(&clip), "--rounds", "1", "--json", "--picture", &path(&picture)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let result = json(&output.stdout);
    assert!(result["injected"].as_u64().is_some_and(|n| n >= 1), "{result}");
    assert_eq!((&result["rounds"], result.get("hours")), (&1.into(), None));
    let summary = json(last_line(&stderr(&output)).as_bytes());
    assert_eq!((&summary["frames"], &summary), (&190.into(), &result["untouched"]));
    assert!(std::fs::read_to_string(&picture).expect("a picture").contains("of the clip as it is"));
}

#[test]
fn a_source_is_tested_live_for_so_long() {
    let dir = tempfile::tempdir().expect("folder");
    let config = configure(dir.path(), "camera.fps = 30\n[source]\nkind = \"synthetic\"");
    let config = config.to_str().expect("UTF-8");
    let output = run(&["selftest", "--config", config, "--minutes", "0.12", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let result = json(&output.stdout);
    assert!(result["injected"].as_u64().is_some_and(|n| n >= 1), "{result}");
    assert!(result["minutes"].as_f64().is_some_and(|m| (0.05..0.16).contains(&m)), "{result}");
    assert_eq!((&result["interrupted"], &result["frames_dropped"]), (&false.into(), &0.into()));
    assert_eq!(result["false_per_min"], 0.0, "the subject moves only as it is told: {result}");
    assert_eq!(result["hours"].as_array().map(Vec::len), Some(1));
    assert_eq!(json(last_line(&stderr(&output)).as_bytes()), result["untouched"]);
    assert!(!dir.path().join("outbox.redb").exists(), "the outbox is left alone");
}

#[test]
fn one_that_is_stopped_tells_what_it_has_seen() {
    let dir = tempfile::tempdir().expect("folder");
    let config = configure(dir.path(), "camera.fps = 30\n[source]\nkind = \"synthetic\"");
    // Both at once: neither needs much of the machine.
    let started = ["TERM", "INT"].map(|signal| {
        let mut command = glintd(&["selftest", "--hours", "2", "--config"]);
        command.arg(&config).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("none is written") {
            line.clear();
            assert!(log.read_line(&mut line).expect("text") > 0, "it ended");
        }
        (signal, child, log)
    });
    std::thread::sleep(std::time::Duration::from_secs(6));
    for (signal, child, mut log) in started {
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
        assert!(sent.is_ok_and(|s| s.success()));
        let output = child.wait_with_output().expect("it ends");
        let mut last = String::new();
        log.read_to_string(&mut last).expect("text");
        assert_eq!(output.status.code(), Some(0), "{signal}: {last}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("of the synthetic subject as it is"), "{text}");
        assert!(text.contains("rejected candidates, with the movements in it: "), "{text}");
        assert!(last_line(&last).contains(" frames, "), "{last}");
    }
}

#[test]
fn a_source_that_cannot_be_had_is_told_at_once_with_what_to_do() {
    let dir = tempfile::tempdir().expect("folder");
    let refusal = |source: &str| {
        let config = configure(dir.path(), source);
        let output = run(&["selftest", "--config", config.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
        stderr(&output)
    };
    let text = refusal("[source]\npath = \"/dev/video-none\"");
    assert!(text.contains("/dev/video-none: ") && text.contains("; remedy: plug a USB camera in"), "{text}");
    let taken =
        "[source]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"echo the camera is in use >&2; exit 3\"]";
    let text = refusal(taken);
    assert!(
        last_line(&text).starts_with("glintd: sh ended with exit status 3: the camera is in use"),
        "{text}"
    );
    assert!(!text.contains("pause it"), "no daemon runs");
    // One runs: it has the outbox.
    let outbox = std::fs::File::create(dir.path().join("outbox.redb")).expect("file");
    outbox.lock().expect("locked");
    let text = refusal(taken);
    assert!(last_line(&text).contains("where glintd run has the camera, pause it for the test"), "{text}");
    let config = configure(dir.path(), "[gate]\nthresholds = \"/no/such\"");
    let output = run(&["selftest", "--config", config.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
}

#[test]
fn options_of_a_clip_and_of_a_camera_exclude_each_other() {
    for arguments in [
        &["selftest", "a.avi", "--config", "g.toml"][..],
        &["selftest", "a.avi", "--minutes", "1"],
        &["selftest", "a.avi", "--hours", "1"],
        &["selftest", "--config", "g.toml", "--rounds", "2"],
        &["selftest", "--minutes", "1", "--hours", "1"],
        &["selftest", "--minutes", "0"],
        &["selftest", "--fps", "30"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    }
}
