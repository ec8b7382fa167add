//! examples/python/subscriber.py against a real Mosquitto: each event once, also after both were killed or away.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::broker::{Broker, Subscriber};
use super::tools::missing;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/subscriber.py");

/// The interpreter that `.ci/setup` has given paho-mqtt: no package of Debian 12 has version 2.
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/exports/venv/bin/python");

/// A Python with paho-mqtt 2; `None`, with a message, where there is none.
fn python() -> Option<&'static str> {
    let script = "import paho.mqtt, sys; sys.exit(paho.mqtt.__version__ < '2')";
    let has_paho = |python: &&str| {
        Command::new(python).args(["-c", script]).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    let python = [INSTALLED, "python3"].into_iter().find(has_paho);
    if python.is_none() {
        missing("python3 with paho-mqtt 2");
    }
    python
}

/// The program; what it prints is added to `out`.
fn start(python: &str, dir: &Path, port: u16) -> Child {
    let out = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("out")).expect("a file");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).expect("a file");
    Command::new(python)
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
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().expect("folder");
    let dir = dir.path();
    let Some(mut broker) = Broker::new(dir, "allow_anonymous true") else { return };
    broker.start();
    let device = Subscriber::start(broker.port, None);
    let say = |id: &str| {
        device.say_when_there_is_room("glint/door/event", &format!("{{\"id\": \"{id}\", \"data\": {{}}}}"));
    };
    let has = |id: &str| lines(dir, "out").iter().filter(|l| l.contains(&format!("\"{id}\""))).count();

    let mut program = start(python, dir, broker.port);
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
    let mut program = start(python, dir, broker.port);
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
