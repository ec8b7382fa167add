//! What is heard: commands, Home Assistant's word, and what we say to ourselves to learn whether we are heard.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::link::Message;
use super::{Cargo, Command, LASTED, Mqtt, discovery};
use crate::daemon::config::Protocol;

/// How long the broker may take to give us back what we publish on `check`.
const CHECK: Duration = Duration::from_secs(5);
/// So many connections, one after the other, ended before that: a broker that closes the connection where its access rules
/// forbid a topic. The check is given up, or it would cost every connection.
pub(super) const CHECKS: u32 = 2;

/// Whether the broker gives us back what we publish: on MQTT 3.1.1 it cannot say that it refuses.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Not asked, or heard.
    Passed,
    /// This content was published then.
    Waiting(String, Instant),
    /// It did not come back in time.
    Failed,
}

impl Mqtt {
    /// Asks for the topics of commands, and for our own `check` where it is of use.
    pub(super) fn subscribe(&mut self) {
        let mut topics: Vec<String> =
            Command::ALL.iter().map(|c| format!("{}/{}/set", self.base, c.as_str())).collect();
        if self.config.mqtt.discovery {
            topics.push(discovery::status(&self.config));
        }
        topics.extend(self.withdrawals.statuses().cloned());
        if self.checks() {
            topics.push(format!("{}/check", self.base));
        }
        let Some((link, _)) = &self.link else { return };
        // Where the queue is full it is tried again.
        self.subscribe_again = !link.subscribe(&topics);
        if !self.subscribe_again {
            self.subscribing.push_back(topics);
        }
    }

    /// Whether we listen to ourselves: where the broker cannot say that it refuses.
    fn checks(&self) -> bool {
        self.config.mqtt.protocol == Protocol::V311 && self.checks_cut < CHECKS
    }

    /// Says something to ourselves.
    pub(super) fn ask_check(&mut self) {
        if self.checks_cut >= CHECKS {
            self.check = Check::Failed;
        }
        let Some((link, _)) = self.link.as_ref().filter(|_| self.checks()) else { return };
        let topic = format!("{}/check", self.base);
        let nonce = format!("{:016x}", RandomState::new().build_hasher().finish());
        if link.publish(Message { topic: &topic, payload: nonce.clone(), retain: false, expiry_s: None }) {
            self.unnumbered.push_back(Cargo::Check);
            self.check = Check::Waiting(nonce, Instant::now() + CHECK);
        }
    }

    /// Something was done on the spot. What was sent before must not undo it, however long it was on its way: commands count
    /// again once the broker has answered a subscription that it got after this. It keeps the order of what it sends.
    pub(crate) fn forget_commands(&mut self) {
        self.obey_from = None;
        // One that is answered at the next connection is as good.
        self.subscribe_again = self.device && self.connected() && self.deaf_until.is_none();
        self.listen_again();
    }

    /// Subscribes again where that waits for room in the queue, or for the end of the time without commands.
    pub(super) fn listen_again(&mut self) {
        if self.connected() && self.deaf_until.is_some_and(|until| Instant::now() >= until) {
            tracing::info!("commands are on again");
            self.deaf_until = None;
            self.subscribe_again = self.device;
        }
        if self.connected() && self.subscribe_again {
            self.subscribe();
        }
    }

    /// The broker's answer to our subscription: from here on commands count, if none came after it.
    pub(super) fn subscribed(&mut self, refusals: &[Option<String>]) {
        for (topic, refusal) in self.subscribing.pop_front().unwrap_or_default().iter().zip(refusals) {
            if let Some(reason) = refusal {
                tracing::error!(topic, reason, "the broker refuses a subscription: see its access rules");
                // Home Assistant's word and the self-check are no commands.
                self.commands_rejected |= topic.ends_with("/set");
            }
        }
        if self.subscribing.is_empty() && !self.subscribe_again {
            self.obey_from = self.obey_from.or(Some(Instant::now()));
        }
    }

    pub(super) fn look_at_the_check(&mut self) {
        if matches!(&self.check, Check::Waiting(_, until) if Instant::now() >= *until) {
            self.check = Check::Failed;
            tracing::error!(
                topic = format!("{}/check", self.base),
                "the broker does not deliver a published test message: its access rules may forbid events or commands"
            );
        }
        if self.taken_over && self.connected_at.is_some_and(|at| at.elapsed() >= LASTED) {
            (self.taken_over, self.short) = (false, 0);
        }
    }

    pub(super) fn message(
        &mut self,
        topic: &str,
        payload: &[u8],
        retained: bool,
        duplicate: bool,
    ) -> Option<Command> {
        if topic == discovery::status(&self.config) {
            if payload == b"online" && !retained {
                self.say_retained();
            }
            return None;
        }
        if self.withdrawals.heard(topic, payload) {
            return None;
        }
        let name = topic.strip_prefix(&self.base)?.strip_prefix('/')?;
        if name == "check" {
            if matches!(&self.check, Check::Waiting(nonce, _) if nonce.as_bytes() == payload) {
                self.check = Check::Passed;
                self.checks_cut = 0;
            }
            return None;
        }
        let word = name.strip_suffix("/set")?;
        if retained || duplicate || self.obey_from.is_none_or(|from| Instant::now() < from) {
            // Nobody knows how old it is: a purge or a resume of last week must not act today.
            tracing::warn!(
                topic,
                retained,
                duplicate,
                "old command ignored; publish commands without retain"
            );
            return None;
        }
        let command = Command::parse(word, payload);
        if command.is_none() {
            tracing::warn!(topic, bytes = payload.len(), "command not understood");
        }
        command
    }
}
