//! The running daemon against a real Mosquitto, with a source and a vision whose events are known.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use glint::event::{AuReading, Kind, Movement, TimingQuality};
use glint::frame::Frame;
use glint::pipeline::{Counters, FaceReading, Observation, Step};

use super::broker::{Broker, Subscriber};
use super::finder::Vision;
use super::memory::Memory;
use super::serve::{Setup, serve};
use crate::daemon::clock::monotonic_ns;
use crate::daemon::config::Config;
use crate::daemon::grab::{FrameSource, Grab};
use crate::daemon::mqtt::credentials::Credentials;
use crate::daemon::outbox::Outbox;
use crate::daemon::outbox::storage::OutboxFiles;

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
    fn faces(&self) -> Vec<FaceReading> {
        let bounds = glint::geometry::Rect { x: 0.0, y: 0.0, w: 1.0, h: 1.0 };
        let units = Some([0.5; glint::au::UNIT_COUNT]);
        let face =
            |track| FaceReading { track, bounds, quality: 1.0, roll: 0.0, eye_distance_px: 60.0, units };
        (1..=8).map(face).collect()
    }
}

pub(super) fn setup(config: Config, frames: u64) -> (Setup, Arc<AtomicU64>) {
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
            model_bundle: None,
            commands: Vec::new(),
            kinds: Vec::new(),
            micro_ms: [40.0, 540.0],
            purpose: None,
            au_hz: None,
            overrides: Default::default(),
        },
        models_problem: None,
        memory: Memory::default(),
        page: None,
    };
    (setup, events)
}

pub(super) fn config(dir: &std::path::Path, port: u16, more: &str) -> Config {
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
    subscriber
        .wait("offline", 5, |s| s.contents("glint/glint/status").last().is_some_and(|t| t == "offline"));
    for (id, contents) in subscriber.events("glint") {
        assert_eq!(contents.len(), 1, "{id} came {} times", contents.len());
    }
    assert!(!subscriber.any_retained("glint/glint/event"), "events are never retained");
    // The will said so when the broker came back, or the daemon did; it was online at least twice.
    assert!(subscriber.contents("glint/glint/status").iter().filter(|t| *t == "online").count() >= 2);
    let report = subscriber.contents("glint/glint/health").pop().expect("a report");
    assert!(report.contains("\"outbox\"") && report.contains("\"state\":\"stopped\""), "{report}");
    assert!(subscriber.contents("glint/glint/capabilities").iter().all(|t| t.contains("\"test\"")));
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
        s.contents("glint/kiosk/state").last().is_some_and(|t| t.contains(&format!("\"state\":\"{word}\"")))
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
        subscriber
            .wait(&topic, 5, |s| s.contents(&topic).last().is_some_and(|t| t.contains("\"done\":true")));
    }
    let page = include_str!("../../../docs/reference/mqtt.md");
    let health = subscriber.contents("glint/kiosk/health").pop().expect("a report");
    let health: serde_json::Value = serde_json::from_str(&health).expect("JSON");
    for key in health.as_object().expect("an object").keys() {
        assert!(page.contains(&format!("`{key}`")), "docs/reference/mqtt.md lacks {key}");
    }
    // The source was opened anew after the pause and runs to its end.
    daemon.join().expect("no panic").expect("ends well");
}

/// A source that takes its time to close.
struct Slow {
    inner: Ticks,
    closed: Arc<AtomicBool>,
}

impl FrameSource for Slow {
    fn next(&mut self, frame: &mut Frame) -> Result<Grab, String> {
        self.inner.next(frame)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(700));
        self.closed.store(true, Relaxed);
    }
}

#[test]
fn a_pause_is_answered_once_the_camera_is_closed() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let (mut setup, _) = setup(config(dir.path(), broker.port, ""), 0);
    let closed = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&closed);
    setup.open = Box::new(move || {
        flag.store(false, Relaxed);
        Ok(Box::new(Slow { inner: Ticks { seq: 0, frames: 300 }, closed: Arc::clone(&flag) }))
    });
    let daemon = std::thread::spawn(move || serve(setup));
    let state = |s: &Subscriber, word: &str| {
        s.contents("glint/glint/state").last().is_some_and(|t| t.contains(&format!("\"{word}\"")))
    };
    subscriber.wait("streaming", 10, |s| state(s, "streaming"));
    let replies = |s: &Subscriber| s.contents("glint/glint/pause/state");
    subscriber.say("glint/glint/pause/set", "1");
    subscriber.wait("pausing", 5, |s| state(s, "pausing"));
    assert!(!closed.load(Relaxed) && replies(&subscriber).is_empty(), "still open, and no word of it");
    subscriber.wait("the reply", 5, |s| !replies(s).is_empty());
    assert!(closed.load(Relaxed) && state(&subscriber, "paused"));
    assert!(replies(&subscriber)[0].contains("\"done\":true"));
    subscriber.say("glint/glint/resume/set", "1");
    subscriber.wait("streaming", 5, |s| state(s, "streaming"));
    // Resumed before it was closed: that was no pause.
    subscriber.say("glint/glint/pause/set", "1");
    subscriber.say("glint/glint/resume/set", "1");
    subscriber.wait("the second reply", 5, |s| replies(s).len() == 2);
    assert!(replies(&subscriber)[1].contains("\"done\":false"), "{:?}", replies(&subscriber));
    subscriber.wait("streaming", 5, |s| state(s, "streaming"));
    daemon.join().expect("no panic").expect("ends well");
}

fn burst(protocol: &str) {
    let dir = tempfile::tempdir().expect("folder");
    let extra = "allow_anonymous true\nmax_inflight_messages 0";
    let Some(mut broker) = Broker::new(dir.path(), extra) else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let more = format!("mqtt.protocol = \"{protocol}\"");
    let (setup, _) = setup(config(dir.path(), broker.port, &more), 3000);
    let daemon = std::thread::spawn(move || serve(setup));
    subscriber.wait("events", 10, |s| s.events("glint").len() >= 2);
    for _ in 0..500 {
        subscriber.say_when_there_is_room("glint/glint/resume/set", "1");
        subscriber.say_when_there_is_room("glint/glint/pause/set", "1");
    }
    subscriber.say_when_there_is_room("glint/glint/purge/set", "1");
    subscriber.wait("the last reply", 30, |s| !s.contents("glint/glint/purge/state").is_empty());
    let paused = |t: &String| t.contains("\"state\":\"paused\"");
    subscriber.wait("paused", 5, |s| s.contents("glint/glint/state").last().is_some_and(paused));
    // What the broker retains is what a newcomer hears.
    let late = Subscriber::named("late", broker.port);
    late.wait("what is retained", 5, |s| s.contents("glint/glint/resume/state").len() == 1);
    let retained = |name: &str| late.contents(&format!("glint/glint/{name}")).pop().unwrap_or_default();
    assert_eq!(retained("status"), "online");
    assert!(paused(&retained("state")), "{}", retained("state"));
    late.wait("a report that agrees", 2, |s| s.contents("glint/glint/health").last().is_some_and(paused));
    assert!(retained("pause/state").contains("\"done\":true"), "{}", retained("pause/state"));
    subscriber.say("glint/glint/resume/set", "1");
    daemon.join().expect("no panic").expect("ends well");
}

#[test]
fn a_thousand_commands_leave_what_is_retained_right() {
    burst("3.1.1");
}

#[test]
fn so_they_do_with_mqtt_5() {
    burst("5");
}

#[test]
fn events_that_wait_when_name_and_outbox_change_are_delivered_as_what_they_are() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    let file = dir.path().join("g.toml");
    let start = |id: &str, outbox: &str, frames: u64| {
        let text = format!(
            "device.id = \"{id}\"\nmqtt.url = \"mqtt://127.0.0.1:{}\"\noutbox.path = {:?}\n",
            broker.port,
            dir.path().join(outbox)
        );
        std::fs::write(&file, text).expect("file");
        let (config, memory) = super::memory::load(&file, None).expect("valid");
        let (mut setup, _) = setup(config, frames);
        setup.memory = memory;
        setup
    };
    serve(start("a", "one", 50)).expect("ends well");
    std::fs::write(dir.path().join("one.paused"), "").expect("file");
    let last = start("b", "two", 0);
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let daemon = std::thread::spawn(move || serve(last));
    // The pause of before holds beside another outbox too.
    let paused = |t: &String| t.contains("\"state\":\"paused\"");
    subscriber.wait("paused", 5, |s| s.contents("glint/b/state").last().is_some_and(paused));
    assert!(dir.path().join("two.paused").exists() && !dir.path().join("one.paused").exists());
    subscriber.wait("all events", 10, |s| s.events("a").len() == 5);
    for contents in subscriber.events("a").values() {
        assert!(contents.len() == 1 && contents[0].contains("\"source\":\"glint/a\""), "{contents:?}");
    }
    assert!(subscriber.events("b").is_empty());
    assert!(!dir.path().join("one").exists(), "the old file is empty, and gone");
    subscriber.say("glint/b/resume/set", "1");
    daemon.join().expect("no panic").expect("ends well");
    let kept = std::fs::read_to_string(dir.path().join("g.device.json")).expect("what is remembered");
    assert!(kept.contains("/two\"") && !kept.contains("/one\""), "{kept}");
}

#[test]
fn an_earlier_outbox_that_another_process_holds_is_told_and_moved_later() {
    let dir = tempfile::tempdir().expect("folder");
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let files = |path: &std::path::Path, earlier: &[PathBuf]| OutboxFiles {
        path: path.to_owned(),
        earlier: earlier.to_vec(),
        note: None,
    };
    let mut first = Outbox::open(files(&one, &[]), 1000, 1 << 20, "glint", 0);
    first.put("a", "glint/a/event", "{}", 0);
    assert_eq!(first.purge(), 1);
    first.put("b", "glint/a/event", "{}", 0);
    let mut second = Outbox::open(files(&two, std::slice::from_ref(&one)), 1000, 1 << 20, "glint", 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let until = |second: &mut Outbox, now_s: i64, done: &dyn Fn(&Outbox) -> bool| {
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while !done(second) {
            assert!(std::time::Instant::now() < deadline, "news");
            let news = runtime
                .block_on(async { tokio::time::timeout(Duration::from_millis(100), second.news()).await });
            if let Ok(news) = news {
                second.handle(news, now_s);
            }
        }
    };
    until(&mut second, 0, &|s| s.problems().eq(["outbox_left_behind"]));
    first.close(Duration::from_secs(5), 0);
    second.tick(10);
    until(&mut second, 10, &|s| s.problems().count() == 0 && s.len() == 1);
    assert_eq!(second.lost().purged, 1, "what was lost there counts here");
    assert_eq!(second.moved(), std::slice::from_ref(&one));
    second.close(Duration::from_secs(5), 10);
    let again = Outbox::open(files(&two, &[]), 1000, 1 << 20, "glint", 10);
    assert_eq!((again.len(), again.lost().purged, one.exists()), (1, 1, false));
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
    subscriber.wait("the broker has them", 5, |s| !s.contents("glint/glint/purge/set").is_empty());

    let more = format!("mqtt.protocol = \"{protocol}\"");
    let (setup, _) = setup(config(dir.path(), broker.port, &more), 300);
    let daemon = std::thread::spawn(move || serve(setup));
    subscriber.wait("events", 10, |s| s.events("glint").len() >= 5);
    subscriber.retain("glint/glint/purge/set", "");
    subscriber.wait("all events", 10, |s| s.events("glint").len() == 30);
    daemon.join().expect("no panic").expect("ends well");
    for command in ["pause", "purge"] {
        assert!(subscriber.contents(&format!("glint/glint/{command}/state")).is_empty(), "{command} acted");
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
    let files = OutboxFiles { path: config.outbox.path.clone(), ..OutboxFiles::default() };
    let outbox = Outbox::open(files, 1000, 1 << 20, "glint", 0);
    assert_eq!(outbox.len(), 5, "accepted events wait on disk");
}

/// An access list that forgets `capabilities`. Mosquitto 2.0 closes the connection there.
fn forgotten_topic(protocol: &str) {
    let dir = tempfile::tempdir().expect("folder");
    let acl = dir.path().join("acl");
    let writable =
        ["status", "state", "health", "event", "check"].map(|t| format!("topic write glint/glint/{t}\n"));
    std::fs::write(&acl, format!("topic read #\n{}", writable.concat())).expect("written");
    let more = format!("allow_anonymous true\nacl_file {}", acl.display());
    let Some(mut broker) = Broker::new(dir.path(), &more) else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let more = format!("mqtt.protocol = \"{protocol}\"\nhealth.interval_s = 1");
    let (setup, made) = setup(config(dir.path(), broker.port, &more), 1500);
    let daemon = std::thread::spawn(move || serve(setup));
    subscriber.wait("events", 15, |s| s.events("glint").len() >= 50);
    let health = |s: &Subscriber| s.contents("glint/glint/health").pop().unwrap_or_default();
    subscriber.wait("a report", 5, |s| !health(s).is_empty());
    assert!(!health(&subscriber).contains("session_taken_over"), "{}", health(&subscriber));
    daemon.join().expect("no panic").expect("ends well");
    assert_eq!(subscriber.events("glint").len(), made.load(Relaxed) as usize);
    assert!(subscriber.contents("glint/glint/capabilities").is_empty());
    assert!(subscriber.events("glint").values().all(|contents| contents.len() == 1));
}

#[test]
fn a_topic_that_the_access_list_forgets_holds_no_event_up() {
    forgotten_topic("3.1.1");
}

#[test]
fn nor_does_it_with_mqtt_5() {
    forgotten_topic("5");
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
        s.contents("glint/glint/health").last().is_some_and(|t| t.contains("outbox_unusable"))
    });
    subscriber.wait("all events", 10, |s| s.events("glint").len() == 20);
    daemon.join().expect("no panic").expect("ends well");
}

/// Counts of the topic `au` in the last report.
fn streamed(subscriber: &Subscriber) -> (u64, u64) {
    let report = subscriber.contents("glint/glint/health").pop().expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let count = |key: &str| report["au"][key].as_u64().expect("a count");
    (count("sent"), count("dropped"))
}

fn slow(protocol: &str) {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let more = format!(
        "mqtt.protocol = \"{protocol}\"\nhealth.interval_s = 1\nstream.au_hz = 30\n\
         deployment.purpose = \"research\""
    );
    let (setup, made) = setup(config(dir.path(), broker.port, &more), 1200);
    let daemon = std::thread::spawn(move || serve(setup));
    subscriber.wait("samples and events", 10, |s| {
        s.contents("glint/glint/au").len() >= 10 && s.events("glint").len() >= 3
    });
    broker.signal("STOP");
    let before = made.load(Relaxed);
    std::thread::sleep(Duration::from_secs(4));
    let meanwhile = made.load(Relaxed) - before;
    broker.signal("CONT");
    assert!(meanwhile >= 15, "vision was held up: {meanwhile} events in 4 s");
    daemon.join().expect("no panic").expect("ends well");
    let made = made.load(Relaxed) as usize;
    assert_eq!(made, 120);
    subscriber.wait("all events", 10, |s| s.events("glint").len() == made);
    for (id, mut contents) in subscriber.events("glint") {
        contents.dedup();
        assert_eq!(contents.len(), 1, "{id} has two contents");
    }
    let (sent, dropped) = streamed(&subscriber);
    println!("MQTT {protocol}: {sent} samples sent, {dropped} dropped; {meanwhile} events in the 4 s");
    assert!(sent >= 50 && dropped >= 10, "{sent} sent, {dropped} dropped");
    assert!(subscriber.contents("glint/glint/au").len() as u64 <= sent);
    assert!(!subscriber.any_retained("glint/glint/au"));
}

#[test]
fn a_slow_broker_costs_samples_and_no_event() {
    slow("3.1.1");
}

#[test]
fn a_slow_broker_costs_samples_and_no_event_with_mqtt_5() {
    slow("5");
}

#[test]
fn nothing_is_streamed_unless_it_is_asked_for() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let more = "health.interval_s = 1\ndeployment.purpose = \"research\"";
    let (setup, _) = setup(config(dir.path(), broker.port, more), 200);
    std::thread::spawn(move || serve(setup)).join().expect("no panic").expect("ends well");
    subscriber
        .wait("offline", 5, |s| s.contents("glint/glint/status").last().is_some_and(|t| t == "offline"));
    assert!(subscriber.contents("glint/glint/au").is_empty());
    assert_eq!(streamed(&subscriber), (0, 0));
}
