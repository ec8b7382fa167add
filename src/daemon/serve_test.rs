//! The running daemon against a real Mosquitto, with a source and a vision whose events are known.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use glint::event::{AuReading, Kind, Movement, TimingQuality};
use glint::frame::Frame;
use glint::pipeline::{Counters, Observation, Step};

use super::broker::{Broker, Subscriber};
use super::clock::monotonic_ns;
use super::config::Config;
use super::grab::{FrameSource, Grab};
use super::link::Credentials;
use super::outbox::Outbox;
use super::serve::{Setup, serve};
use super::vision::Vision;

/// A frame every 10 ms.
struct Ticks {
    seq: u64,
    frames: u64,
}

impl FrameSource for Ticks {
    fn next(&mut self, frame: &mut Frame) -> Result<Grab, String> {
        if self.seq == self.frames {
            return Ok(Grab::End);
        }
        std::thread::sleep(Duration::from_millis(10));
        *frame = Frame { seq: self.seq, at_ns: monotonic_ns(), width: 1, height: 1, luma: vec![100] };
        self.seq += 1;
        Ok(Grab::Frame)
    }
}

/// Every tenth frame ends a movement.
struct Tenth {
    events: Arc<AtomicU64>,
}

impl Vision for Tenth {
    fn push(&mut self, frame: &Frame) -> Step {
        if frame.seq % 10 != 9 {
            return Step::Quiet;
        }
        self.events.fetch_add(1, Relaxed);
        Step::Event(Movement {
            kind: Kind::Micro,
            onset_ns: frame.at_ns - 300_000_000,
            apex_ns: frame.at_ns - 200_000_000,
            offset_ns: frame.at_ns,
            track: 1,
            aus: vec![AuReading::new(12, glint::au::Side::Both, 1.0)],
            label: None,
            abstained: false,
            fps: 100.0,
            timing_quality: TimingQuality::Good,
            track_quality: 1.0,
            model: "sha256:00".into(),
            evidence: "facial_movement".into(),
        })
    }
    fn gap(&mut self, _: u64, _: i64) -> Step {
        Step::Gap
    }
    fn reset(&mut self) {}
    fn calibrate(&mut self) {}
    fn finish(&mut self) -> Option<Movement> {
        None
    }
    fn observation(&self) -> Observation {
        Observation::default()
    }
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

fn setup(config: Config, frames: u64) -> (Setup, Arc<AtomicU64>) {
    let events = Arc::new(AtomicU64::new(0));
    let setup = Setup {
        credentials: Credentials::read(&config).expect("readable"),
        config,
        vision: Box::new(Tenth { events: Arc::clone(&events) }),
        open: Box::new(move || Ok(Box::new(Ticks { seq: 0, frames }))),
        capabilities: super::report::Capabilities {
            version: "test",
            event_type: glint::event::EVENT_TYPE,
            models: Default::default(),
            commands: Vec::new(),
            kinds: Vec::new(),
            micro_ms: [40.0, 540.0],
            purpose: None,
            overrides: Default::default(),
        },
    };
    (setup, events)
}

fn config(dir: &std::path::Path, port: u16, more: &str) -> Config {
    let path = dir.join("outbox.redb");
    let text = format!("mqtt.url = \"mqtt://127.0.0.1:{port}\"\noutbox.path = {path:?}\n{more}");
    Config::parse("test", &text).expect("valid")
}

fn restart(protocol: &str) {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let more = format!("mqtt.protocol = \"{protocol}\"\nhealth.interval_s = 1");
    let (setup, made) = setup(config(dir.path(), broker.port, &more), 400);
    let daemon = std::thread::spawn(move || serve(setup));
    subscriber.wait("five events", 10, |s| s.events("glint").len() >= 5);
    // Between two events, which are 100 ms apart: nothing is in flight.
    std::thread::sleep(Duration::from_millis(40));
    broker.stop();
    let before = made.load(Relaxed);
    while made.load(Relaxed) < before + 5 {
        std::thread::sleep(Duration::from_millis(10));
    }
    broker.start();
    daemon.join().expect("no panic").expect("ends well");
    let made = made.load(Relaxed) as usize;
    assert_eq!(made, 40);
    subscriber.wait("all events", 10, |s| s.events("glint").len() == made);
    subscriber.wait("offline", 5, |s| s.of("glint/glint/status").last().is_some_and(|t| t == "offline"));
    for (id, contents) in subscriber.events("glint") {
        assert_eq!(contents.len(), 1, "{id} came {} times", contents.len());
    }
    assert!(!subscriber.any_retained("glint/glint/event"), "events are never retained");
    // The will said so when the broker came back, or the daemon did; it was online at least twice.
    assert!(subscriber.of("glint/glint/status").iter().filter(|t| *t == "online").count() >= 2);
    assert!(subscriber.of("glint/glint/health").last().is_some_and(|t| t.contains("\"outbox\"")));
    assert!(subscriber.of("glint/glint/capabilities").iter().all(|t| t.contains("\"test\"")));
}

#[test]
fn no_event_is_lost_over_a_broker_restart_and_each_comes_once() {
    restart("3.1.1");
}

#[test]
fn the_same_with_mqtt_5() {
    restart("5");
}

#[test]
fn commands_are_answered_and_pause_closes_the_source() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let (setup, made) = setup(config(dir.path(), broker.port, "device.id = \"kiosk\""), 600);
    let daemon = std::thread::spawn(move || serve(setup));
    let state = |s: &Subscriber, word: &str| {
        s.of("glint/kiosk/state").last().is_some_and(|t| t.contains(&format!("\"state\":\"{word}\"")))
    };
    subscriber.wait("streaming", 10, |s| state(s, "streaming"));
    subscriber.say("glint/kiosk/pause/set", "");
    subscriber.say("glint/kiosk/pause/set", &"x".repeat(70_000));
    subscriber.say("glint/kiosk/pause/set", "1");
    subscriber.wait("paused", 5, |s| state(s, "paused"));
    assert!(dir.path().join("outbox.paused").exists(), "a restart would stay paused");
    std::thread::sleep(Duration::from_millis(200));
    let paused = made.load(Relaxed);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(made.load(Relaxed), paused, "no frame is seen while paused");
    subscriber.say("glint/kiosk/pause/set", "OFF");
    subscriber.wait("streaming again", 5, |s| state(s, "streaming"));
    assert!(!dir.path().join("outbox.paused").exists());
    subscriber.say("glint/kiosk/purge/set", "1");
    subscriber.say("glint/kiosk/calibrate/set", "1");
    for command in ["pause", "resume", "purge", "calibrate"] {
        let topic = format!("glint/kiosk/{command}/state");
        subscriber.wait(&topic, 5, |s| s.of(&topic).last().is_some_and(|t| t.contains("\"done\":true")));
    }
    let page = include_str!("../../docs/mqtt.md");
    let health = subscriber.of("glint/kiosk/health").pop().expect("a report");
    let health: serde_json::Value = serde_json::from_str(&health).expect("JSON");
    for key in health.as_object().expect("an object").keys() {
        assert!(page.contains(&format!("`{key}`")), "docs/mqtt.md lacks {key}");
    }
    // The source was opened anew after the pause and runs to its end.
    daemon.join().expect("no panic").expect("ends well");
}

/// A session of an earlier version, for which the broker queues commands, and a retained command.
fn old_commands(protocol: &str) {
    use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let mut options = MqttOptions::new("glint-glint", "127.0.0.1", broker.port);
    options.set_clean_session(false);
    let (client, mut connection) = Client::new(options, 8);
    client.subscribe("glint/glint/+/set", QoS::AtLeastOnce).expect("room in the queue");
    assert!(connection.iter().any(|event| matches!(event, Ok(Event::Incoming(Packet::SubAck(_))))));
    client.disconnect().expect("room in the queue");
    let left = |event| matches!(event, Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)));
    assert!(connection.iter().any(left));
    drop(connection);
    subscriber.say("glint/glint/pause/set", "ON");
    subscriber.retain("glint/glint/purge/set", "1");
    subscriber.wait("the broker has them", 5, |s| !s.of("glint/glint/purge/set").is_empty());

    let more = format!("mqtt.protocol = \"{protocol}\"");
    let (setup, _) = setup(config(dir.path(), broker.port, &more), 300);
    let daemon = std::thread::spawn(move || serve(setup));
    subscriber.wait("events", 10, |s| s.events("glint").len() >= 5);
    subscriber.retain("glint/glint/purge/set", "");
    subscriber.wait("all events", 10, |s| s.events("glint").len() == 30);
    daemon.join().expect("no panic").expect("ends well");
    for command in ["pause", "purge"] {
        assert!(subscriber.of(&format!("glint/glint/{command}/state")).is_empty(), "{command} acted");
    }
}

#[test]
fn commands_that_were_queued_or_retained_do_not_act() {
    old_commands("3.1.1");
}

#[test]
fn nor_do_they_with_mqtt_5() {
    old_commands("5");
}

#[test]
fn a_broker_that_refuses_the_login_keeps_the_events_waiting() {
    let dir = tempfile::tempdir().expect("folder");
    let passwords = dir.path().join("passwords");
    std::fs::write(&passwords, "").expect("file");
    let extra = format!("allow_anonymous false\npassword_file {}", passwords.display());
    let Some(mut broker) = Broker::new(dir.path(), &extra) else { return };
    broker.start();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "wrong\n").expect("file");
    let more = format!("mqtt.username = \"glint\"\nmqtt.password_file = {secret:?}");
    let config = config(dir.path(), broker.port, &more);
    let (setup, _) = setup(config.clone(), 50);
    serve(setup).expect("ends well");
    let outbox = Outbox::open(&config.outbox.path, 1000, 1 << 20, "glint", 0);
    assert_eq!(outbox.len(), 5, "accepted events wait on disk");
}

#[test]
fn without_a_disk_events_are_still_sent_and_health_says_so() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    // A file where the outbox's folder should be: it cannot be created, not even by root.
    std::fs::write(dir.path().join("blocked"), "").expect("file");
    let more = "health.interval_s = 1";
    let mut config = config(dir.path(), broker.port, more);
    config.outbox.path = dir.path().join("blocked/outbox.redb");
    let (setup, _) = setup(config, 200);
    let daemon = std::thread::spawn(move || serve(setup));
    subscriber.wait("outbox_unusable", 10, |s| {
        s.of("glint/glint/health").last().is_some_and(|t| t.contains("outbox_unusable"))
    });
    subscriber.wait("all events", 10, |s| s.events("glint").len() == 20);
    daemon.join().expect("no panic").expect("ends well");
}
