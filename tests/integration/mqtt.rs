//! The daemon on the synthetic subject against a real Mosquitto.

use std::process::Command;
use std::time::{Duration, Instant};

use super::broker::{Broker, Subscriber};
use super::daemon::{Accepted, Daemon, configure, start_command};
use super::schema;

/// Every accepted id arrived, each with one content; `once`: each exactly once.
fn complete(subscriber: &Subscriber, accepted: &Accepted, once: bool) {
    let wanted = accepted.lock().expect("not poisoned").clone();
    subscriber
        .wait("all accepted events", 20, |s| wanted.iter().all(|id| s.events("glint").contains_key(id)));
    for (id, mut contents) in subscriber.events("glint") {
        assert!(!once || contents.len() == 1, "{id} came {} times", contents.len());
        contents.dedup();
        assert_eq!(contents.len(), 1, "{id} has two contents");
    }
    assert!(!subscriber.any_retained("glint/glint/event"));
    for topic in ["status", "state", "health", "capabilities", "event"] {
        let messages = subscriber.contents(&format!("glint/glint/{topic}"));
        assert!(!messages.is_empty(), "nothing on {topic}");
        messages.iter().for_each(|text| schema::check(topic, text));
    }
}

#[test]
fn no_accepted_event_is_lost_over_a_broker_restart() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let config = configure(dir.path(), broker.port);
    let accepted = Accepted::default();
    let daemon = Daemon::start(start_command(&config), &accepted);
    subscriber.wait("an event", 60, |s| !s.events("glint").is_empty());
    broker.stop();
    daemon.accept(2);
    broker.start();
    complete(&subscriber, &accepted, true);
    assert_eq!(daemon.end("TERM"), Some(0));
    subscriber
        .wait("offline", 5, |s| s.contents("glint/glint/status").last().is_some_and(|t| t == "offline"));
    complete(&subscriber, &accepted, true);
}

#[test]
fn no_accepted_event_is_lost_when_the_daemon_is_killed_without_a_broker() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let config = configure(dir.path(), broker.port);
    let accepted = Accepted::default();
    let daemon = Daemon::start(start_command(&config), &accepted);
    subscriber.wait("an event", 60, |s| !s.events("glint").is_empty());
    broker.stop();
    daemon.accept(2);
    assert_eq!(daemon.end("KILL"), None);
    let waiting = accepted.lock().expect("not poisoned").len() - subscriber.events("glint").len();
    assert!(waiting >= 2, "events waited when the daemon was killed");
    broker.start();
    let daemon = Daemon::start(start_command(&config), &accepted);
    complete(&subscriber, &accepted, false);
    assert_eq!(daemon.end("TERM"), Some(0));
}

#[test]
fn a_full_disk_stops_no_event_and_health_says_outbox_full() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let config = configure(dir.path(), broker.port);
    // A limit of the size of files fails writes as a full disk does, without any privilege.
    let mut command = Command::new("sh");
    command.arg("-c").arg("trap '' XFSZ; ulimit -f 0; exec \"$@\"").arg("sh");
    let inner = start_command(&config);
    command.arg(inner.get_program()).args(inner.get_args());
    let accepted = Accepted::default();
    let daemon = Daemon::start(command, &accepted);
    subscriber.wait("outbox_full", 20, |s| {
        s.contents("glint/glint/health").last().is_some_and(|t| t.contains("\"outbox_full\""))
    });
    subscriber.wait("an event", 60, |s| !s.events("glint").is_empty());
    complete(&subscriber, &accepted, true);
    // Commands work too.
    subscriber.say("glint/glint/purge/set", "1");
    subscriber.wait("the reply to purge", 5, |s| !s.contents("glint/glint/purge/state").is_empty());
    assert_eq!(daemon.end("TERM"), Some(0));
}

#[test]
fn a_replay_publishes_what_it_prints() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let config = configure(dir.path(), broker.port);
    let clip = dir.path().join("smile.avi");
    super::write_smile(&clip, glint::clip::Codec::Mjpeg(95), 200);
    let (clip, config) = (clip.to_str().expect("UTF-8"), config.to_str().expect("UTF-8"));
    let output = super::run(&["replay", clip, "--config", config, "--mqtt"]);
    assert_eq!(output.status.code(), Some(0), "{}", super::stderr(&output));
    let printed: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(printed.len(), 1);
    subscriber.wait("the event", 5, |s| s.contents("glint/glint/event") == printed);
    assert!(
        !subscriber.any_retained("glint/glint/status")
            && subscriber.contents("glint/glint/status").is_empty()
    );
    assert!(!dir.path().join("outbox.redb").exists(), "the daemon's outbox is not touched");
    // Without a broker the exit status says that they are not delivered.
    broker.stop();
    let output = super::run(&["replay", clip, "--config", config, "--mqtt"]);
    assert_eq!(output.status.code(), Some(1), "{}", super::stderr(&output));
    assert!(super::stderr(&output).contains("1 events are not acknowledged"));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().collect::<Vec<_>>(), printed);
}

#[test]
fn signals_pause_and_resume_without_a_broker() {
    let dir = tempfile::tempdir().expect("folder");
    let config = configure(dir.path(), super::broker::free_port());
    let accepted = Accepted::default();
    let daemon = Daemon::start(start_command(&config), &accepted);
    daemon.accept(1);
    daemon.signal("USR1");
    let marker = dir.path().join("outbox.paused");
    let wait = |there: bool| {
        let deadline = Instant::now() + Duration::from_secs(5);
        while marker.exists() != there {
            assert!(Instant::now() < deadline, "marker of the pause: {there}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait(true);
    daemon.signal("USR2");
    wait(false);
    // The source starts anew after the pause, and events come again.
    daemon.accept(1);
    assert_eq!(daemon.end("INT"), Some(0));
}
