//! examples/python/subscriber.py against a real Mosquitto: each event once, also after both were killed or away.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::broker::{Broker, Subscriber};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/subscriber.py");

/// Whether python3 has paho-mqtt 2.
fn there() -> bool {
    let script = "import paho.mqtt, sys; sys.exit(paho.mqtt.__version__ < '2')";
    let status = Command::new("python3").args(["-c", script]).stderr(Stdio::null()).status();
    status.is_ok_and(|s| s.success()) || {
        // No package of Debian 12 has this version, so it is required of nobody.
        eprintln!("skipped: python3 with paho-mqtt 2 is not installed");
        false
    }
}

/// The program; what it prints is added to `out`.
fn start(dir: &Path, port: u16) -> Child {
    let out = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("out")).expect("a file");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).expect("a file");
    Command::new("python3")
        .args([PROGRAM, "--port", &port.to_string(), "--store"])
        .arg(dir.join("events.sqlite"))
        .stdout(out)
        .stderr(log)
        .spawn()
        .expect("python3 starts")
}

fn lines(dir: &Path, name: &str) -> Vec<String> {
    std::fs::read_to_string(dir.join(name)).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn wait(what: &str, dir: &Path, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        let (out, log) = (lines(dir, "out"), lines(dir, "log"));
        assert!(Instant::now() < deadline, "{what}; printed: {out:#?}; said: {log:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_subscriber_of_the_examples_gets_each_event_once() {
    if !there() {
        return;
    }
    let dir = tempfile::tempdir().expect("folder");
    let dir = dir.path();
    let Some(mut broker) = Broker::new(dir, "allow_anonymous true") else { return };
    broker.start();
    let device = Subscriber::start(broker.port, None);
    let say = |id: &str| {
        device.say_when_there_is_room("glint/door/event", &format!("{{\"id\": \"{id}\", \"data\": {{}}}}"));
    };
    let has = |id: &str| lines(dir, "out").iter().filter(|l| l.contains(&format!("\"{id}\""))).count();

    let mut program = start(dir, broker.port);
    wait("connected", dir, || lines(dir, "log").iter().any(|l| l.ends_with("session new")));
    // The subscription stands a moment later; nothing is held for a session before.
    std::thread::sleep(Duration::from_millis(500));
    for id in ["one", "one", "two", "one"] {
        say(id);
    }
    device.say_when_there_is_room("glint/door/event", "no event");
    wait("two events", dir, || has("two") == 1);
    program.kill().expect("killed");
    program.wait().expect("ended");

    // While it is away, and while the broker is started anew.
    say("three");
    say("two");
    device.wait("the broker has them", 10, |s| s.contents("glint/door/event").len() >= 7);
    broker.stop();
    broker.start();
    let mut program = start(dir, broker.port);
    wait("the event of its absence", dir, || has("three") == 1);
    say("four");
    wait("what comes next", dir, || has("four") == 1);
    assert!(lines(dir, "log").iter().any(|l| l.ends_with("session resumed")));
    assert!(lines(dir, "log").iter().any(|l| l.contains("no event")), "what is no event is told");
    for id in ["one", "two", "three", "four"] {
        assert_eq!(has(id), 1, "{id}: {:?}", lines(dir, "out"));
    }
    let ended = Command::new("kill").arg(program.id().to_string()).status();
    assert!(ended.is_ok_and(|s| s.success()));
    assert_eq!(program.wait().expect("ended").code(), Some(0));
}
