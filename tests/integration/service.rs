//! What the service manager sees and says: READY, the watchdog, SIGHUP; and what a home automation system finds.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use super::broker::{Broker, Subscriber, free_port};
use super::daemon::{Accepted, Daemon, configure, configure_with, start_command};

#[test]
fn the_service_manager_hears_ready_a_heartbeat_and_stopping() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let mut command = start_command(&configure(dir.path(), free_port()));
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "2000000").env_remove("WATCHDOG_PID");
    let daemon = Daemon::start(command, &Accepted::default());
    let heard = |wanted: &str, seconds| {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let mut buffer = [0; 4096];
        while Instant::now() < deadline {
            let length = socket.recv(&mut buffer).unwrap_or(0);
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == wanted) {
                return true;
            }
        }
        false
    };
    assert!(heard("READY=1", 30));
    assert!(heard("WATCHDOG=1", 5) && heard("WATCHDOG=1", 5), "a heartbeat that goes on");
    daemon.signal("TERM");
    assert!(heard("STOPPING=1", 5));
}

/// Waits for a file, 10 s at most.
fn comes(path: &std::path::Path) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !path.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    path.exists()
}

#[test]
fn signals_in_any_order_end_in_what_was_asked_for_last() {
    let dir = tempfile::tempdir().expect("folder");
    let config = configure(dir.path(), free_port());
    let marker = dir.path().join("outbox.paused");
    let start = || Daemon::start(start_command(&config), &Accepted::default());
    for gap_ms in [0, 50, 300] {
        let gap = || std::thread::sleep(Duration::from_millis(gap_ms));
        let daemon = start();
        daemon.accept(1);
        daemon.signal("HUP");
        gap();
        assert_eq!(daemon.end("TERM"), Some(0), "HUP, then TERM after {gap_ms} ms");

        let daemon = start();
        daemon.accept(1);
        daemon.signal("HUP");
        gap();
        daemon.signal("USR1");
        assert!(comes(&marker), "HUP, then USR1 after {gap_ms} ms");
        assert_eq!(daemon.end("TERM"), Some(0));
        std::fs::remove_file(&marker).expect("the marker");
    }
    // A hangup does not undo a stop: the process may be gone before it comes.
    let daemon = start();
    daemon.accept(1);
    daemon.signal("TERM");
    daemon.hang_up_if_there();
    assert_eq!(daemon.wait(), Some(0));
    // While the models load.
    let daemon = start();
    std::thread::sleep(Duration::from_millis(60));
    daemon.signal("USR1");
    daemon.says("connection to the broker", 20);
    assert!(comes(&marker), "USR1 before the models are there");
    assert_eq!(daemon.end("TERM"), Some(0));
}

#[test]
fn a_second_daemon_with_the_same_outbox_leaves_the_first_one_alone() {
    let dir = tempfile::tempdir().expect("folder");
    let config = configure(dir.path(), free_port());
    let first = Daemon::start(start_command(&config), &Accepted::default());
    first.accept(1);
    let second = start_command(&config).output().expect("glintd runs");
    let words = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{words}");
    assert!(words.contains("outbox.path: ") && words.contains("a running glintd has it"), "{words}");
    first.accept(1);
    assert_eq!(first.end("TERM"), Some(0));
}

#[test]
fn a_hangup_takes_over_a_good_configuration_and_keeps_the_old_one_else() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let daemon = Daemon::start(start_command(&configure_with(dir.path(), &url, "")), &Accepted::default());
    let status = |device: &str| subscriber.contents(&format!("glint/{device}/status")).last().cloned();
    subscriber.wait("online", 30, |_| status("glint").as_deref() == Some("online"));

    configure_with(dir.path(), &url, "mqtt.retain = true");
    daemon.signal("HUP");
    daemon.says("mqtt.retain: unknown key", 10);
    daemon.accept(1);
    assert_eq!(status("glint").as_deref(), Some("online"), "the old configuration stays");

    configure_with(dir.path(), &url, "device.id = \"door\"\nmqtt.discovery = true");
    daemon.signal("HUP");
    subscriber.wait("the new name", 30, |_| status("door").as_deref() == Some("online"));
    // The old name is offline, and then nothing of it stays with the broker.
    subscriber.wait("the old name to leave", 5, |s| {
        s.contents("glint/glint/status").iter().rev().take(2).eq(["", "offline"])
    });
    for topic in ["state", "health", "capabilities"] {
        subscriber.wait(topic, 5, |s| {
            s.contents(&format!("glint/glint/{topic}")).last().is_some_and(String::is_empty)
        });
    }

    // Home Assistant finds the device, and finds it again after its own start.
    let topic = "homeassistant/device/door/config";
    subscriber.wait("the announcement", 5, |s| !s.contents(topic).is_empty());
    let announcement: serde_json::Value = serde_json::from_str(&subscriber.contents(topic)[0]).expect("JSON");
    assert_eq!(announcement["cmps"]["event"]["state_topic"], "glint/door/event");
    assert_eq!(announcement["cmps"]["pause"]["command_topic"], "glint/door/pause/set");
    let before = subscriber.contents(topic).len();
    subscriber.say("homeassistant/status", "online");
    subscriber.wait("the announcement again", 5, |s| s.contents(topic).len() > before);
    assert_eq!(daemon.end("TERM"), Some(0));

    // An announcement that was switched off while glintd was not there is withdrawn.
    let config = configure_with(dir.path(), &url, "device.id = \"door\"");
    let daemon = Daemon::start(start_command(&config), &Accepted::default());
    subscriber.wait("the withdrawal", 20, |s| s.contents(topic).last().is_some_and(String::is_empty));
    assert_eq!(daemon.end("TERM"), Some(0));
}

/// The device that says `online` on its first connection.
fn online(subscriber: &Subscriber) -> String {
    let device = |s: &Subscriber| {
        s.topics()
            .into_iter()
            .find_map(|t| Some(t.strip_prefix("glint/")?.strip_suffix("/status")?.to_owned()))
    };
    subscriber.wait("online", 30, |s| device(s).is_some());
    device(subscriber).expect("there")
}

#[test]
fn a_device_without_an_id_is_named_after_its_machine_unless_it_has_another_name_already() {
    for installed in [false, true] {
        let dir = tempfile::tempdir().expect("folder");
        let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
        broker.start();
        let subscriber = Subscriber::start(broker.port, None);
        let config = dir.path().join("g.toml");
        let outbox = dir.path().join("outbox.redb");
        let text = format!(
            "source.kind = \"synthetic\"\nmqtt.url = \"mqtt://127.0.0.1:{}\"\noutbox.path = {outbox:?}\n",
            broker.port
        );
        std::fs::write(&config, text).expect("file");
        if installed {
            std::fs::write(&outbox, "").expect("file");
        }
        let daemon = Daemon::start(start_command(&config), &Accepted::default());
        let id = online(&subscriber);
        assert_eq!(id == "glint", installed, "{id}");
        assert!(installed || id.starts_with("glint-"), "{id}");
        assert_eq!(daemon.end("TERM"), Some(0));
        let kept = std::fs::read_to_string(dir.path().join("g.device.json")).expect("what is remembered");
        assert!(kept.contains(&format!("\"default_id\": \"{id}\"")), "{kept}");
        // What is printed is what is in force, and printing it changes nothing.
        let printed = super::run(&["check", "--config", config.to_str().expect("UTF-8")]);
        let printed: toml::Table = String::from_utf8_lossy(&printed.stdout).parse().expect("TOML");
        assert_eq!(printed["device"]["id"].as_str(), Some(id.as_str()));
    }
}
