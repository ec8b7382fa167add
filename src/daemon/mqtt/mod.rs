//! What is said to the broker: topics, birth and will, retained messages, events, commands.
//!
//! `status`, `state`, `health`, `capabilities` and the replies to commands are retained and said again
//! after every connection. Events are QoS 1, never retained, and leave the outbox only when the broker
//! has acknowledged them. Measurements of single frames are QoS 0 and dropped where they would wait.
//!
//! A command counts if it was sent while this connection's subscriptions stood. Sessions are clean, so the broker has
//! none that were queued; retained ones and repetitions are known by their marks.

pub(crate) mod command;
pub(crate) mod credentials;
mod discovery;
mod ending;
pub(crate) mod link;
mod listen;
pub(crate) mod reasons;
mod reports;
mod withdraw;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::daemon::config::Config;
use crate::daemon::outbox::Outbox;
pub(crate) use command::Command;
use credentials::Credentials;
pub(crate) use discovery::announcement;
use discovery::discovery;
use ending::LASTED;
use link::{End, Identity, Link, Message, Signal, WINDOW};
use listen::Check;
use reports::Reports;
use withdraw::Withdrawals;

/// Waits between two attempts to connect: doubled after each, unless the connection lasted. Tests provoke more faults in a
/// minute than anybody would wait for.
const BACKOFF: (Duration, Duration) =
    (Duration::from_millis(250), Duration::from_secs(if cfg!(test) { 1 } else { 30 }));
/// Within this time a broker sends what it has queued, where it kept a session although glintd asked for a clean one.
const STALE_SESSION: Duration = Duration::from_secs(5);
/// Waits before events are offered again that the broker refused: doubled while it refuses.
const REJECTED_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Measurements that wait to be written. More are not put before an event that comes next.
const SAMPLES: usize = 4;
/// What a publish holds, for the time of its acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cargo {
    /// An event of this key.
    Event(i64),
    /// Nothing: a retained message is cleared.
    Withdrawal,
    /// Something about the device.
    Report,
    /// What we say to ourselves.
    Check,
    /// A measurement, QoS 0: nobody acknowledges it.
    Sample,
}

/// `<prefix>/<device>`: where the topics of a device begin.
pub(crate) fn base(config: &Config) -> String {
    format!("{}/{}", config.mqtt.prefix, config.device.id())
}

/// The topics below a base whose messages are retained.
pub(crate) fn retained_topics(base: &str) -> Vec<String> {
    let reports = ["status", "state", "health", "capabilities"].map(str::to_owned);
    let replies = Command::ALL.map(|c| format!("{}/state", c.as_str()));
    reports.into_iter().chain(replies).map(|name| format!("{base}/{name}")).collect()
}

/// The conversation with one broker.
pub(crate) struct Mqtt {
    config: Config,
    credentials: Credentials,
    client_id: String,
    /// `<prefix>/<device>`.
    base: String,
    /// Whether there is a device behind it, with status, retained messages and commands; a replay has events alone.
    device: bool,
    link: Option<(Link, mpsc::Receiver<Signal>)>,
    connected_at: Option<Instant>,
    /// Connections since the start.
    connections: u64,
    retry_at: Instant,
    backoff: Duration,
    reports: Reports,
    /// Topics of the subscriptions that the broker has not answered yet, in order.
    subscribing: VecDeque<Vec<String>>,
    /// Whether to subscribe once more when there is room: something was done on the spot.
    subscribe_again: bool,
    /// Commands count from here on.
    obey_from: Option<Instant>,
    /// Topics with retained messages under earlier device names.
    withdrawals: Withdrawals,
    /// Publishes whose packet id is not known yet, in order.
    unnumbered: VecDeque<Cargo>,
    /// By packet id.
    unacknowledged: HashMap<u16, Cargo>,
    in_flight: usize,
    last_key: Option<i64>,
    rewound: u64,
    /// Events are not sent before.
    hold_until: Instant,
    rejected_backoff: Duration,
    /// Whether an event was refused since the outbox was gone through from its start, and when that was.
    pass: (bool, Instant),
    rejections: u64,
    events_rejected: bool,
    /// When the last event was acknowledged.
    acknowledged_at: Option<Instant>,
    /// Whether acknowledgements count only once the connection has outlived them: on MQTT 3.1.1 some brokers acknowledge an event
    /// that their access rules forbid, and close the connection.
    doubtful: bool,
    /// An event whose acknowledgement does not count yet.
    doubted: Option<(i64, Instant)>,
    commands_rejected: bool,
    check: Check,
    /// Connections that ended while the check was on its way.
    checks_cut: u32,
    last_complaint: Option<End>,
    refused: bool,
    /// Connections that the broker closed soon, one after the other.
    short: u32,
    taken_over: bool,
    /// Connections that a message ended which is too long, one after the other.
    too_large: u32,
    deaf_until: Option<Instant>,
}

impl Mqtt {
    /// Prepares the conversation of a device; nothing is sent yet.
    pub(crate) fn new(config: &Config, credentials: Credentials, stale_topics: Vec<String>) -> Self {
        let mut mqtt = Self::quiet(config, credentials, config.client_id());
        mqtt.device = true;
        mqtt.withdrawals = Withdrawals::new(stale_topics);
        if config.mqtt.discovery {
            let announced = discovery(config, &mqtt.base).to_string();
            mqtt.reports.set(announcement(config), announced);
        }
        mqtt
    }

    /// Prepares a conversation of events alone, beside that of the device itself: with a client id of its own, without
    /// status, retained messages and commands.
    pub(crate) fn quiet(config: &Config, credentials: Credentials, client_id: String) -> Self {
        let now = Instant::now();
        Self {
            base: base(config),
            config: config.clone(),
            credentials,
            client_id,
            device: false,
            link: None,
            connected_at: None,
            connections: 0,
            retry_at: now,
            backoff: BACKOFF.0,
            reports: Reports::default(),
            subscribing: VecDeque::new(),
            subscribe_again: false,
            obey_from: None,
            withdrawals: Withdrawals::default(),
            unnumbered: VecDeque::new(),
            unacknowledged: HashMap::new(),
            in_flight: 0,
            last_key: None,
            rewound: 0,
            hold_until: now,
            rejected_backoff: REJECTED_BACKOFF.0,
            pass: (false, now),
            rejections: 0,
            events_rejected: false,
            acknowledged_at: None,
            doubtful: false,
            doubted: None,
            commands_rejected: false,
            check: Check::Passed,
            checks_cut: 0,
            last_complaint: None,
            refused: false,
            short: 0,
            taken_over: false,
            too_large: 0,
            deaf_until: None,
        }
    }

    /// Whether the broker listens.
    pub(crate) fn connected(&self) -> bool {
        self.connected_at.is_some()
    }

    /// Connections since the start.
    pub(crate) fn connections(&self) -> u64 {
        self.connections
    }

    /// Events that the broker did not take, each time it was asked.
    pub(crate) fn rejections(&self) -> u64 {
        self.rejections
    }

    /// What is wrong with the conversation, in words of `health.problems`.
    pub(crate) fn problems(&self) -> Vec<&'static str> {
        [
            (self.refused, "broker_refused"),
            (self.taken_over, "session_taken_over"),
            (self.events_rejected, "events_refused"),
            (self.commands_rejected || self.deaf_until.is_some(), "commands_refused"),
            (self.reports.are_refused(), "reports_refused"),
            (self.check == Check::Failed, "check_failed"),
        ]
        .into_iter()
        .filter_map(|(is, word)| is.then_some(word))
        .collect()
    }

    /// Waits for the next signal; connects when it is time to. Safe to cancel.
    pub(crate) async fn signal(&mut self) -> Signal {
        if self.link.is_none() {
            tokio::time::sleep_until(self.retry_at).await;
            let status = format!("{}/status", self.base);
            let identity = Identity {
                client_id: &self.client_id,
                will: self.device.then_some((status.as_str(), "offline")),
            };
            match Link::start(&self.config, &self.credentials, &identity) {
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
    pub(crate) fn handle(&mut self, signal: Signal, outbox: &mut Outbox) -> Option<Command> {
        match signal {
            Signal::Connected { session_present } => self.greet(session_present),
            Signal::Subscribed(refusals) => self.subscribed(&refusals),
            Signal::Sent(id) => match self.unnumbered.pop_front() {
                Some(Cargo::Check | Cargo::Sample) | None => {}
                Some(cargo) => _ = self.unacknowledged.insert(id, cargo),
            },
            Signal::Acknowledged(id) => match self.unacknowledged.remove(&id) {
                Some(Cargo::Event(key)) => {
                    self.in_flight = self.in_flight.saturating_sub(1);
                    let now = Instant::now();
                    self.acknowledged_at = Some(now);
                    if self.doubtful {
                        self.doubted = Some((key, now));
                    } else {
                        self.taken(key, outbox);
                    }
                }
                Some(Cargo::Withdrawal) => self.withdrawals.acknowledged(),
                Some(Cargo::Report) => self.reports.answered(false, Instant::now()),
                Some(Cargo::Check | Cargo::Sample) | None => {}
            },
            Signal::Rejected(id, reason) => self.rejected(id, &reason),
            Signal::Message { topic, payload, retained, duplicate } => {
                return self.message(&topic, &payload, retained, duplicate);
            }
            Signal::Ended(end) => {
                // Nobody closed the connection because of it.
                if end != End::Closed {
                    self.believe(outbox, None);
                }
                self.ended(end);
            }
        }
        None
    }

    /// The broker has an event.
    fn taken(&mut self, key: i64, outbox: &mut Outbox) {
        self.events_rejected = false;
        self.rejected_backoff = REJECTED_BACKOFF.0;
        outbox.remove(key);
    }

    /// The acknowledgement of the event that is in doubt counts: in any case, or where the connection has outlived it until `now`.
    fn believe(&mut self, outbox: &mut Outbox, now: Option<Instant>) {
        let counts = |(_, at): &(i64, Instant)| now.is_none_or(|now| now >= *at + reports::AFTER);
        if let Some((key, _)) = self.doubted.take_if(|doubted| counts(doubted)) {
            self.taken(key, outbox);
            self.doubtful = false;
        }
    }

    fn greet(&mut self, session_present: bool) {
        tracing::info!(broker = self.config.mqtt.url, "connected");
        let now = Instant::now();
        self.connected_at = Some(now);
        self.connections += 1;
        self.refused = false;
        self.last_complaint = None;
        self.commands_rejected = false;
        self.obey_from = None;
        self.hold_until = now;
        self.check = Check::Passed;
        if !self.device {
            return;
        }
        self.subscribe_again = false;
        if self.deaf_until.is_some_and(|until| now >= until) {
            self.deaf_until = None;
        }
        if self.deaf_until.is_none() {
            self.subscribe();
            self.ask_check();
        }
        if session_present {
            tracing::warn!(
                "the broker kept a session against the request for a clean one; its queued commands are ignored"
            );
            self.obey_from = Some(now + STALE_SESSION);
        }
        self.reports.set(format!("{}/status", self.base), "online".into());
        self.say_retained();
        self.withdrawals.greet();
    }

    /// The broker did not take a message. An event stays in the outbox and is offered again later; the ones behind it are
    /// not held up by it.
    fn rejected(&mut self, id: u16, reason: &str) {
        match self.unacknowledged.remove(&id) {
            Some(Cargo::Event(_)) => {}
            Some(Cargo::Withdrawal) => {
                tracing::error!(
                    reason,
                    "the broker refuses to clear a retained message of an earlier name: clear it by hand"
                );
                self.withdrawals.acknowledged();
                return;
            }
            Some(Cargo::Report) => {
                tracing::error!(
                    reason,
                    "the broker refuses a message about the device: see its access rules"
                );
                self.reports.answered(true, Instant::now());
                return;
            }
            Some(Cargo::Check | Cargo::Sample) | None => return,
        }
        if !self.events_rejected {
            tracing::error!(
                reason,
                "the broker refuses events; they are kept and sent again later; see its access rules"
            );
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        self.rejections += 1;
        self.events_rejected = true;
        self.pass.0 = true;
        self.hold_until = Instant::now() + self.rejected_backoff;
        self.rejected_backoff = (self.rejected_backoff * 2).min(REJECTED_BACKOFF.1);
    }

    /// Everything that is retained is to be said again.
    fn say_retained(&mut self) {
        self.reports.say_again();
        self.say_unsaid();
    }

    /// Says what waits for room in the queue: of each topic the latest. Status first: whoever hears it may take the rest for
    /// that of a living device.
    fn say_unsaid(&mut self) {
        let status = format!("{}/status", self.base);
        // What the broker closes the connection for is found out one message at a time.
        let is_checking = matches!(self.check, Check::Waiting(..));
        while self.connected() && !(is_checking && self.reports.go_first()) {
            let (Some((link, _)), Some((topic, payload))) =
                (&self.link, self.reports.next(&status, Instant::now()))
            else {
                return;
            };
            if !link.publish(Message { topic: &topic, payload, retain: true, expiry_s: None }) {
                return;
            }
            self.unnumbered.push_back(Cargo::Report);
            self.reports.sent(topic);
        }
    }

    /// Clears retained topics of earlier names, as many as there is room for.
    fn withdraw(&mut self) {
        while self.connected_at.is_some()
            && let (Some((link, _)), Some(topic)) = (&self.link, self.withdrawals.next())
        {
            if !link.publish(Message { topic, payload: String::new(), retain: true, expiry_s: None }) {
                return;
            }
            self.unnumbered.push_back(Cargo::Withdrawal);
            self.withdrawals.sent();
        }
    }

    /// Whether everything of earlier names is cleared; told once.
    pub(crate) fn withdrawn(&mut self) -> bool {
        self.withdrawals.finished()
    }

    /// Sets the content of a retained topic below `<prefix>/<device>/`.
    pub(crate) fn retain(&mut self, name: &str, payload: String) {
        if self.reports.set(format!("{}/{name}", self.base), payload) {
            self.say_unsaid();
        }
    }

    /// Says a measurement below `<prefix>/<device>/`, once and without acknowledgement. False where it is dropped: there is
    /// no connection, or those before it have not been written yet.
    pub(crate) fn say_once(&mut self, name: &str, payload: String) -> bool {
        let waiting = self.unnumbered.iter().filter(|cargo| **cargo == Cargo::Sample).count();
        if !self.connected() || waiting >= SAMPLES {
            return false;
        }
        let Some((link, _)) = &self.link else { return false };
        let topic = format!("{}/{name}", self.base);
        let message = Message { topic: &topic, payload, retain: false, expiry_s: None };
        let queued = link.publish_once(message);
        if queued {
            self.unnumbered.push_back(Cargo::Sample);
        }
        queued
    }

    /// Sends what waits in the outbox, as much as may be unacknowledged at a time.
    pub(crate) fn pump(&mut self, outbox: &mut Outbox, now_s: i64) {
        self.look_at_the_check();
        self.listen_again();
        self.say_unsaid();
        self.withdraw();
        let now = Instant::now();
        self.believe(outbox, Some(now));
        // One at a time while the broker refuses.
        let window = match (self.doubted, self.doubtful || self.events_rejected) {
            (Some(_), _) => 0,
            (None, true) => 1,
            (None, false) => WINDOW,
        };
        if self.rewound != outbox.rewound {
            // Events have come in before those that were sent.
            self.rewound = outbox.rewound;
            self.last_key = None;
        }
        let may_send = self.connected() && now >= self.hold_until && !self.reports.go_first();
        while may_send && self.in_flight < window {
            let Some(next) = outbox.next_after(self.last_key, now_s) else {
                // Those that were refused are offered again from the start, but not all the time.
                if self.pass.0 && self.in_flight == 0 && now >= self.pass.1 + self.rejected_backoff {
                    self.pass = (false, now);
                    self.last_key = None;
                    continue;
                }
                return;
            };
            if self.sent(next.order) {
                self.last_key = Some(next.order);
                continue;
            }
            let Some((link, _)) = &self.link else { return };
            let expiry_s = Some(next.left_s);
            if !link.publish(Message { topic: &next.topic, payload: next.json, retain: false, expiry_s }) {
                return;
            }
            self.unnumbered.push_back(Cargo::Event(next.order));
            self.in_flight += 1;
            self.last_key = Some(next.order);
        }
    }

    /// Whether an event is on its way.
    fn sent(&self, key: i64) -> bool {
        let event = Cargo::Event(key);
        let is_doubted = self.doubted.is_some_and(|(doubted, _)| doubted == key);
        is_doubted
            || self.unnumbered.contains(&event)
            || self.unacknowledged.values().any(|cargo| *cargo == event)
    }

    /// Whether nothing is on its way.
    fn idle(&self) -> bool {
        self.in_flight == 0 && self.unnumbered.is_empty() && self.reports.is_said()
    }

    /// Says `offline`, waits a moment for what is on its way, and ends the connection.
    pub(crate) async fn disconnect_in_order(&mut self, outbox: &mut Outbox) {
        if !self.connected() {
            return;
        }
        self.reports.hurry();
        if self.device {
            self.retain("status", "offline".into());
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.connected() && !self.idle() {
            let Ok(signal) = tokio::time::timeout_at(deadline, self.signal()).await else { break };
            self.handle(signal, outbox);
            self.say_unsaid();
        }
        if let Some((link, _)) = &self.link {
            link.disconnect();
        }
        if self.connected() {
            self.believe(outbox, None);
        }
        // The disconnect is one more packet to write.
        _ = tokio::time::timeout(Duration::from_millis(200), self.signal()).await;
    }
}

#[cfg(test)]
mod tests;
