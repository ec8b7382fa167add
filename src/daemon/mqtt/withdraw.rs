//! Clearing what is retained under names that are not in force any more.
//!
//! It is done twice. The broker may still hold a connection under the old name that broke without a word, and publish its
//! will, retained, once the keep-alive has run out.
//!
//! A name that says `online` is left alone: it is such a connection, or another device has the name now.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// The first time comes so long after the connection: what the names say now has been heard then.
const LOOK: Duration = Duration::from_secs(1);
/// The second time comes so much later: one and a half times the keep-alive, and some.
const AGAIN: Duration = Duration::from_secs(60);
/// So many connections, one after the other, ended meanwhile: a broker that closes the connection where its access rules
/// forbid a topic. It is given up until the next start.
const CUTS: u32 = 3;

/// End of the topic on which a device says that it is there.
const STATUS: &str = "/status";

/// The topics, and how far they are cleared.
#[derive(Debug, Default)]
pub(super) struct Withdrawals {
    topics: Vec<String>,
    /// Those of this round that are not in the library's queue yet.
    unsaid: VecDeque<String>,
    unacknowledged: usize,
    /// Whether a round is under way.
    running: bool,
    /// When the first round begins, once a connection stands.
    first_at: Option<Instant>,
    /// When the second round begins, once the first is done.
    again_at: Option<Instant>,
    /// Bases that say `online`.
    online: BTreeSet<String>,
    cuts: u32,
    done: bool,
}

impl Withdrawals {
    pub(super) fn new(topics: Vec<String>) -> Self {
        Self { topics, ..Self::default() }
    }

    /// A connection stands.
    pub(super) fn greet(&mut self) {
        if !self.topics.is_empty() && self.again_at.is_none() {
            self.first_at = Some(Instant::now() + LOOK);
        }
    }

    /// Topics to listen to: where the names say whether somebody has them.
    pub(super) fn statuses(&self) -> impl Iterator<Item = &String> {
        self.topics.iter().filter(|topic| topic.ends_with(STATUS))
    }

    /// Takes up a message, if it is one of [`Self::statuses`].
    pub(super) fn heard(&mut self, topic: &str, payload: &[u8]) -> bool {
        if !self.statuses().any(|status| status == topic) {
            return false;
        }
        let base = topic.strip_suffix(STATUS).unwrap_or(topic).to_owned();
        if payload == b"online" {
            self.online.insert(base);
        } else {
            self.online.remove(&base);
        }
        true
    }

    /// Whether a topic is of a name that somebody has.
    fn taken(&self, topic: &str) -> bool {
        self.online.iter().any(|base| {
            let id = base.rsplit('/').next().unwrap_or_default();
            let below = topic.strip_prefix(base.as_str()).is_some_and(|rest| rest.starts_with('/'));
            below || topic.ends_with(&format!("/device/{id}/config"))
        })
    }

    fn begin(&mut self) {
        (self.running, self.unacknowledged, self.first_at) = (true, 0, None);
        self.unsaid = self.topics.iter().filter(|topic| !self.taken(topic)).cloned().collect();
        self.look();
    }

    /// The next topic to clear.
    pub(super) fn next(&mut self) -> Option<&str> {
        let due = |at: Option<Instant>| at.is_some_and(|at| Instant::now() >= at);
        if !self.running && (due(self.first_at) || due(self.again_at)) {
            self.begin();
        }
        self.unsaid.front().map(String::as_str)
    }

    /// The next topic is in the library's queue.
    pub(super) fn sent(&mut self) {
        self.unsaid.pop_front();
        self.unacknowledged += 1;
    }

    /// The broker has taken one, or refused it for good.
    pub(super) fn acknowledged(&mut self) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        self.look();
    }

    /// Ends a round of which nothing is left.
    fn look(&mut self) {
        if !self.running || self.unacknowledged > 0 || !self.unsaid.is_empty() {
            return;
        }
        (self.running, self.cuts) = (false, 0);
        if self.again_at.is_none() {
            tracing::info!(online = self.online.len(), "retained messages of earlier names are cleared");
            self.again_at = Some(Instant::now() + AGAIN);
        } else {
            if !self.online.is_empty() {
                tracing::warn!(names = ?self.online, "another device uses an earlier name of this one; its retained messages are left alone");
            }
            self.topics.clear();
            (self.again_at, self.done) = (None, true);
        }
    }

    /// The connection has ended.
    pub(super) fn ended(&mut self) {
        self.first_at = None;
        if !std::mem::take(&mut self.running) {
            return;
        }
        self.unsaid.clear();
        self.cuts += 1;
        if self.cuts >= CUTS {
            tracing::error!(
                topics = self.topics.join(" "),
                "the broker closes the connection when retained messages of an earlier name are cleared; clear them by hand"
            );
            self.topics.clear();
            self.again_at = None;
        }
    }

    /// Whether everything is cleared; told once.
    pub(super) fn finished(&mut self) -> bool {
        std::mem::take(&mut self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if the time had come.
    fn connect(withdrawals: &mut Withdrawals) {
        withdrawals.greet();
        assert_eq!(withdrawals.next(), None, "what the names say has not been heard yet");
        withdrawals.first_at = withdrawals.first_at.map(|_| Instant::now());
    }

    fn round(withdrawals: &mut Withdrawals) -> usize {
        let mut count = 0;
        while withdrawals.next().is_some() {
            withdrawals.sent();
            count += 1;
        }
        (0..count).for_each(|_| withdrawals.acknowledged());
        count
    }

    #[tokio::test(flavor = "current_thread")]
    async fn topics_are_cleared_twice_and_over_a_lost_connection() {
        let mut withdrawals = Withdrawals::new(vec!["a".into(), "b".into()]);
        assert_eq!(withdrawals.next(), None, "nobody is there");
        connect(&mut withdrawals);
        assert_eq!(withdrawals.next(), Some("a"));
        withdrawals.sent();
        withdrawals.ended();
        connect(&mut withdrawals);
        assert_eq!(round(&mut withdrawals), 2, "all of them anew");
        assert!(!withdrawals.finished());
        assert_eq!(round(&mut withdrawals), 0);
        assert!(withdrawals.again_at.is_some_and(|at| at > Instant::now() + AGAIN / 2));
        withdrawals.again_at = Some(Instant::now());
        assert_eq!(round(&mut withdrawals), 2);
        assert!(withdrawals.finished() && !withdrawals.finished());
        withdrawals.greet();
        assert_eq!(withdrawals.next(), None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_name_that_another_device_has_is_left_alone() {
        let topics =
            ["p/door/status", "p/door/state", "p/doorbell/status", "homeassistant/device/door/config"];
        let mut withdrawals = Withdrawals::new(topics.map(str::to_owned).to_vec());
        connect(&mut withdrawals);
        assert!(
            withdrawals.heard("p/door/status", b"online") && !withdrawals.heard("p/hall/status", b"online")
        );
        assert_eq!(round(&mut withdrawals), 1, "that of doorbell");
        // It was the connection of before, and the broker has noticed.
        withdrawals.heard("p/door/status", b"offline");
        withdrawals.again_at = Some(Instant::now());
        assert_eq!(round(&mut withdrawals), 4);
        assert!(withdrawals.finished());
        // All of them taken: nothing to do, and nothing to wait for.
        let mut withdrawals = Withdrawals::new(vec!["p/door/status".into()]);
        connect(&mut withdrawals);
        withdrawals.heard("p/door/status", b"online");
        assert_eq!(round(&mut withdrawals), 0);
        withdrawals.again_at = withdrawals.again_at.map(|_| Instant::now());
        assert_eq!(round(&mut withdrawals), 0);
        assert!(withdrawals.finished());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_broker_that_does_not_want_it_is_left_alone() {
        let mut withdrawals = Withdrawals::new(vec!["a".into()]);
        for _ in 0..CUTS {
            connect(&mut withdrawals);
            assert_eq!(withdrawals.next(), Some("a"));
            withdrawals.sent();
            withdrawals.ended();
        }
        withdrawals.greet();
        assert_eq!(withdrawals.next(), None);
        assert!(!withdrawals.finished(), "the next start tries again");
    }
}
