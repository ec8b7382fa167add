//! A real Mosquitto on a free loopback port, and a subscriber with a session of its own.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};

/// Where Debian installs it; not in everybody's PATH.
pub(crate) fn program() -> Option<PathBuf> {
    ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"]
        .iter()
        .map(PathBuf::from)
        .find(|p| p.exists())
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("bound").port()
}

/// A broker that keeps its sessions over a restart.
pub(crate) struct Broker {
    program: PathBuf,
    config: PathBuf,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Broker {
    /// Prepares a broker in `dir`; `extra` lines go into its configuration. `None`, with a message, where
    /// Mosquitto is not installed.
    pub(crate) fn new(dir: &Path, extra: &str) -> Option<Self> {
        let Some(program) = program() else {
            super::tools::missing("mosquitto");
            return None;
        };
        let port = free_port();
        let config = dir.join("mosquitto.conf");
        // Where tests run as root, Mosquitto would become a user who cannot write to the folder.
        let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
        let text = format!(
            "listener {port} 127.0.0.1\npersistence true\npersistence_location {}/\nuser {user}\n\
             max_queued_messages 0\n{extra}\n",
            dir.display()
        );
        std::fs::write(&config, text).expect("writable folder");
        Some(Self { program, config, port, child: None })
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(&mut self) {
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(&self.config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto starts");
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends it a signal by its name: STOP freezes it, with its connections, and CONT lets it go on.
    #[allow(dead_code)] // the unit tests use it
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.is_ok_and(|s| s.success()), "signal {name}");
    }

    /// Stops it in order, so that it saves its sessions.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let stopped =
                Command::new("kill").arg(child.id().to_string()).status().is_ok_and(|s| s.success());
            assert!(stopped, "mosquitto can be stopped");
            child.wait().expect("mosquitto ends");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Messages as they came: topic, content, whether retained.
type Messages = Arc<Mutex<Vec<(String, String, bool)>>>;

/// A subscriber to everything, whose session the broker keeps.
pub(crate) struct Subscriber {
    messages: Messages,
    client: Client,
}

impl Subscriber {
    /// Connects, again and again, and collects.
    pub(crate) fn start(port: u16, login: Option<(&str, &str)>) -> Self {
        Self::connect("test-subscriber", port, login)
    }

    /// Another one, beside the first.
    #[allow(dead_code)] // the unit tests use it
    pub(crate) fn named(name: &str, port: u16) -> Self {
        Self::connect(name, port, None)
    }

    fn connect(name: &str, port: u16, login: Option<(&str, &str)>) -> Self {
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        options.set_clean_session(false).set_keep_alive(Duration::from_secs(5));
        options.set_max_packet_size(1 << 20, 1 << 20);
        if let Some((user, password)) = login {
            options.set_credentials(user, password);
        }
        let (client, mut connection) = Client::new(options, 16);
        let messages = Messages::default();
        let (sink, subscribe) = (Arc::clone(&messages), client.clone());
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        let _ = subscribe.try_subscribe("#", QoS::AtLeastOnce);
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => _ = ready.send(()),
                    Ok(Event::Incoming(Packet::Publish(p))) => {
                        let text = String::from_utf8_lossy(&p.payload).into_owned();
                        let mut sink = sink.lock().expect("not poisoned");
                        // A broker that was stopped before it saw our acknowledgement sends the same
                        // message again, marked as a duplicate. What glintd sends twice has no mark.
                        if !(p.dup && sink.iter().any(|(t, m, _)| *t == p.topic && *m == text)) {
                            sink.push((p.topic, text, p.retain));
                        }
                    }
                    Ok(_) => {}
                    Err(rumqttc::ConnectionError::RequestsDone) => return,
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        });
        is_ready.recv_timeout(Duration::from_secs(10)).expect("subscribed");
        Self { messages, client }
    }

    /// Publishes a command.
    pub(crate) fn say(&self, topic: &str, payload: &str) {
        self.client.try_publish(topic, QoS::AtLeastOnce, false, payload).expect("room in the queue");
    }

    /// Publishes one of many commands.
    #[allow(dead_code)] // the unit tests use it
    pub(crate) fn say_when_there_is_room(&self, topic: &str, payload: &str) {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload).expect("the connection's thread lives");
    }

    /// Publishes a message that the broker keeps; an empty one clears it.
    #[allow(dead_code)] // the unit tests use it
    pub(crate) fn retain(&self, topic: &str, payload: &str) {
        self.client.try_publish(topic, QoS::AtLeastOnce, true, payload).expect("room in the queue");
    }

    /// Topics so far, each as often as it came.
    #[allow(dead_code)] // the unit tests do not use it
    pub(crate) fn topics(&self) -> Vec<String> {
        self.messages.lock().expect("not poisoned").iter().map(|(t, _, _)| t.clone()).collect()
    }

    /// Contents of a topic so far.
    pub(crate) fn contents(&self, topic: &str) -> Vec<String> {
        let messages = self.messages.lock().expect("not poisoned");
        messages.iter().filter(|(t, _, _)| t == topic).map(|(_, text, _)| text.clone()).collect()
    }

    /// Whether a message of a topic was marked as retained.
    pub(crate) fn any_retained(&self, topic: &str) -> bool {
        self.messages.lock().expect("not poisoned").iter().any(|(t, _, retained)| t == topic && *retained)
    }

    /// Events so far: id -> contents in order of arrival.
    pub(crate) fn events(&self, device: &str) -> BTreeMap<String, Vec<String>> {
        let mut by_id: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for text in self.contents(&format!("glint/{device}/event")) {
            let event: serde_json::Value = serde_json::from_str(&text).expect("an event is JSON");
            by_id.entry(event["id"].as_str().expect("an id").to_owned()).or_default().push(text);
        }
        by_id
    }

    /// Waits until `done`, or fails with `what`.
    pub(crate) fn wait(&self, what: &str, seconds: u64, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !done(self) {
            assert!(Instant::now() < deadline, "{what} within {seconds} s; messages: {:#?}", self.messages);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
