//! What is said to the broker: topics, birth and will, retained messages, events, commands.
//!
//! `status`, `state`, `health`, `capabilities` and the replies to commands are retained and said again
//! after every connection. Events are QoS 1, never retained, and leave the outbox only when the broker
//! has acknowledged them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::config::Config;
use super::link::{Credentials, End, Link, Message, Signal, WINDOW};
use super::outbox::Outbox;

/// Waits between two attempts to connect: doubled after each failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// A broker that refuses the login is asked less often, or it may lock us out.
const REFUSED_BACKOFF: Duration = Duration::from_secs(30);
/// Home Assistant says here that it has started and wants to hear announcements again.
const HOME_ASSISTANT_STATUS: &str = "homeassistant/status";

/// What a user may ask for over MQTT (`<prefix>/<device>/<command>/set`) or by signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Close the camera.
    Pause,
    /// Open it again.
    Resume,
    /// Take the present face as neutral.
    Calibrate,
    /// Empty the outbox.
    Purge,
}

impl Command {
    pub(crate) const ALL: [Self; 4] = [Self::Pause, Self::Resume, Self::Calibrate, Self::Purge];

    /// The word in topics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Calibrate => "calibrate",
            Self::Purge => "purge",
        }
    }

    /// A message to `<command>/set`. A switch says `OFF` to undo a pause.
    fn parse(word: &str, payload: &[u8]) -> Option<Self> {
        let command = Self::ALL.into_iter().find(|c| c.word() == word)?;
        let off = payload.eq_ignore_ascii_case(b"off") || payload.eq_ignore_ascii_case(b"false");
        match (command, off) {
            (Self::Pause, true) => Some(Self::Resume),
            (_, true) => None,
            _ => Some(command),
        }
    }
}

/// The conversation with one broker.
pub(crate) struct Mqtt {
    config: Config,
    credentials: Credentials,
    base: String,
    link: Option<(Link, mpsc::Receiver<Signal>)>,
    connected: bool,
    retry_at: Instant,
    backoff: Duration,
    retained: BTreeMap<String, String>,
    /// Publishes whose packet id is not known yet, in order; the key of those that are events.
    unnumbered: VecDeque<Option<u64>>,
    /// Packet id -> outbox key.
    unacknowledged: HashMap<u16, u64>,
    in_flight: usize,
    last_key: Option<u64>,
    last_complaint: Option<End>,
    refused: bool,
}

impl Mqtt {
    /// Prepares the conversation; nothing is sent yet.
    pub(crate) fn new(config: &Config, credentials: Credentials) -> Self {
        let mut mqtt = Self {
            base: format!("{}/{}", config.mqtt.prefix, config.device.id),
            config: config.clone(),
            credentials,
            link: None,
            connected: false,
            retry_at: Instant::now(),
            backoff: BACKOFF.0,
            retained: BTreeMap::new(),
            unnumbered: VecDeque::new(),
            unacknowledged: HashMap::new(),
            in_flight: 0,
            last_key: None,
            last_complaint: None,
            refused: false,
        };
        if config.mqtt.discovery {
            let topic = format!("homeassistant/device/{}/config", config.device.id);
            mqtt.retained.insert(topic, discovery(&mqtt.base, &config.device.id).to_string());
        }
        mqtt
    }

    /// Whether the broker listens.
    pub(crate) fn connected(&self) -> bool {
        self.connected
    }

    /// Whether the broker refused the login.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// Waits for the next signal; connects when it is time to. Safe to cancel.
    pub(crate) async fn signal(&mut self) -> Signal {
        if self.link.is_none() {
            tokio::time::sleep_until(self.retry_at).await;
            let status = format!("{}/status", self.base);
            match Link::start(&self.config, &self.credentials, (&status, "offline")) {
                Ok(link) => self.link = Some(link),
                Err(reason) => return Signal::Ended(End::Lost(reason)),
            }
        }
        match &mut self.link {
            Some((_, signals)) => {
                signals.recv().await.unwrap_or(Signal::Ended(End::Lost("the connection's task ended".into())))
            }
            None => std::future::pending().await,
        }
    }

    /// Acts on a signal; returns a command if it was one.
    pub(crate) fn handle(&mut self, signal: Signal, outbox: &mut Outbox, now_s: u64) -> Option<Command> {
        match signal {
            Signal::Connected => self.greet(),
            Signal::Sent(id) => {
                if let Some(Some(key)) = self.unnumbered.pop_front() {
                    self.unacknowledged.insert(id, key);
                }
            }
            Signal::Acknowledged(id) => {
                if let Some(key) = self.unacknowledged.remove(&id) {
                    self.in_flight = self.in_flight.saturating_sub(1);
                    outbox.remove(key, now_s);
                }
            }
            Signal::Message { topic, payload, retained } => return self.message(&topic, &payload, retained),
            Signal::Ended(end) => self.ended(end),
        }
        None
    }

    fn greet(&mut self) {
        tracing::info!(broker = self.config.mqtt.url, "connected");
        self.connected = true;
        self.refused = false;
        self.backoff = BACKOFF.0;
        self.last_complaint = None;
        let mut topics: Vec<String> =
            Command::ALL.iter().map(|c| format!("{}/{}/set", self.base, c.word())).collect();
        if self.config.mqtt.discovery {
            topics.push(HOME_ASSISTANT_STATUS.into());
        }
        if let Some((link, _)) = &self.link {
            for topic in topics {
                link.subscribe(&topic);
            }
        }
        self.say_retained();
    }

    fn say_retained(&mut self) {
        self.publish_retained(&format!("{}/status", self.base), "online".into());
        for (topic, payload) in self.retained.clone() {
            self.publish_retained(&topic, payload);
        }
    }

    fn publish_retained(&mut self, topic: &str, payload: String) {
        if let Some((link, _)) = &self.link
            && link.publish(Message { topic, payload, retain: true, expiry_s: None })
        {
            self.unnumbered.push_back(None);
        }
    }

    /// Sets the content of a retained topic below `<prefix>/<device>/`.
    pub(crate) fn retain(&mut self, name: &str, payload: String) {
        let topic = format!("{}/{name}", self.base);
        if self.retained.get(&topic) == Some(&payload) {
            return;
        }
        if self.connected {
            self.publish_retained(&topic, payload.clone());
        }
        self.retained.insert(topic, payload);
    }

    /// Sends what waits in the outbox, as much as may be unacknowledged at a time.
    pub(crate) fn pump(&mut self, outbox: &Outbox, now_s: u64) {
        let topic = format!("{}/event", self.base);
        while self.connected && self.in_flight < WINDOW {
            let (key, payload, left_s) = match outbox.next_after(self.last_key, now_s) {
                Ok(Some(next)) => next,
                Ok(None) => return,
                Err(e) => {
                    tracing::error!("{e}");
                    return;
                }
            };
            let Some((link, _)) = &self.link else { return };
            if !link.publish(Message { topic: &topic, payload, retain: false, expiry_s: Some(left_s) }) {
                return;
            }
            self.unnumbered.push_back(Some(key));
            self.in_flight += 1;
            self.last_key = Some(key);
        }
    }

    fn message(&mut self, topic: &str, payload: &[u8], retained: bool) -> Option<Command> {
        if topic == HOME_ASSISTANT_STATUS {
            if payload == b"online" {
                self.say_retained();
            }
            return None;
        }
        let word = topic.strip_prefix(&self.base)?.strip_prefix('/')?.strip_suffix("/set")?;
        if retained {
            // Nobody knows how old it is: a purge or a resume of last week must not act today.
            tracing::warn!(topic, "retained command ignored; publish commands without retain");
            return None;
        }
        let command = Command::parse(word, payload);
        if command.is_none() {
            tracing::warn!(topic, "command not understood");
        }
        command
    }

    fn ended(&mut self, end: End) {
        if self.connected || self.last_complaint.as_ref() != Some(&end) {
            match &end {
                End::Refused(why) => tracing::error!(
                    broker = self.config.mqtt.url,
                    reason = why,
                    "the broker refuses the login: check mqtt.username and mqtt.password_file; events wait in the outbox"
                ),
                End::Lost(why) => tracing::warn!(
                    broker = self.config.mqtt.url,
                    reason = why,
                    "no connection to the broker; events wait in the outbox"
                ),
            }
        }
        self.refused = matches!(end, End::Refused(_));
        self.retry_at = Instant::now() + if self.refused { REFUSED_BACKOFF } else { self.backoff };
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
        self.last_complaint = Some(end);
        self.connected = false;
        self.link = None;
        self.unnumbered.clear();
        self.unacknowledged.clear();
        self.in_flight = 0;
        // What was not acknowledged is sent again, under the same ids.
        self.last_key = None;
    }

    /// Whether nothing is on its way.
    fn idle(&self) -> bool {
        self.in_flight == 0 && self.unnumbered.is_empty()
    }

    /// Says `offline`, waits a moment for what is on its way, and ends the connection.
    pub(crate) async fn disconnect_in_order(&mut self, outbox: &mut Outbox, now_s: u64) {
        if !self.connected {
            return;
        }
        self.publish_retained(&format!("{}/status", self.base), "offline".into());
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.connected && !self.idle() {
            let Ok(signal) = tokio::time::timeout_at(deadline, self.signal()).await else { break };
            self.handle(signal, outbox, now_s);
        }
        if let Some((link, _)) = &self.link {
            link.disconnect();
        }
        // The disconnect is one more packet to write.
        _ = tokio::time::timeout(Duration::from_millis(200), self.signal()).await;
    }
}

/// The announcement for Home Assistant (its device-based discovery).
fn discovery(base: &str, id: &str) -> serde_json::Value {
    let sensor = |name: &str, field: &str, unit: Option<&str>| {
        let mut value = json!({
            "p": "sensor", "name": name, "unique_id": format!("glint_{id}_{field}"),
            "state_topic": format!("{base}/health"), "value_template": format!("{{{{ value_json.{field} }}}}"),
            "entity_category": "diagnostic",
        });
        if let Some(unit) = unit {
            value["unit_of_measurement"] = unit.into();
        }
        value
    };
    json!({
        "dev": { "ids": [format!("glint_{id}")], "name": id, "mf": "glint", "sw": env!("CARGO_PKG_VERSION") },
        "o": { "name": "glint", "sw": env!("CARGO_PKG_VERSION") },
        "availability_topic": format!("{base}/status"),
        "cmps": {
            "movement": {
                "p": "event", "name": "Facial movement", "unique_id": format!("glint_{id}_event"),
                "state_topic": format!("{base}/event"), "event_types": ["micro", "macro", "blink"],
                "value_template": "{{ {'event_type': value_json.data.kind} | tojson }}",
            },
            "pause": {
                "p": "switch", "name": "Pause", "unique_id": format!("glint_{id}_pause"),
                "command_topic": format!("{base}/pause/set"), "state_topic": format!("{base}/state"),
                "value_template": "{{ 'ON' if value_json.state == 'paused' else 'OFF' }}",
            },
            "fps": sensor("Frame rate", "fps", Some("fps")),
            "dropped": sensor("Dropped frames", "frames_dropped", None),
            "temperature": sensor("Temperature", "temperature_c", Some("°C")),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_words_and_a_switch_can_undo_a_pause() {
        assert_eq!(Command::parse("pause", b""), Some(Command::Pause));
        assert_eq!(Command::parse("pause", b"ON"), Some(Command::Pause));
        assert_eq!(Command::parse("pause", b"off"), Some(Command::Resume));
        assert_eq!(Command::parse("purge", b"OFF"), None);
        assert_eq!(Command::parse("open", b""), None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn only_fresh_commands_of_this_device_are_obeyed() {
        let config = Config::default();
        let credentials = Credentials::read(&config).expect("no files needed");
        let mut mqtt = Mqtt::new(&config, credentials);
        assert_eq!(mqtt.message("glint/glint/purge/set", b"", false), Some(Command::Purge));
        assert_eq!(mqtt.message("glint/glint/purge/set", b"", true), None, "retained");
        assert_eq!(mqtt.message("glint/other/purge/set", b"", false), None);
        assert_eq!(mqtt.message("glint/glint/purge", b"", false), None);
        assert_eq!(mqtt.message("\u{0}", &[0xff; 100], false), None);
    }
}
