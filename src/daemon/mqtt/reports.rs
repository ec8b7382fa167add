//! Retained messages about the device, and the ones that a broker ends the connection for.
//!
//! Some brokers close the connection at a message that their access rules forbid, Mosquitto 2.0 after it has acknowledged it.
//! Where that has happened, reports go one at a time, each some time after the one before it was acknowledged, and events wait
//! until they are through: the connection is closed for the one that went last. It is left out until the next start, so that the
//! rest is delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// So many connections were closed, one after the other, with a report on its way, before it is left out: another cause may
/// end one of them.
const CUTS: u32 = 2;
/// So long after its acknowledgement the connection is closed because of a message.
pub(super) const AFTER: Duration = Duration::from_millis(300);

/// A report that goes alone.
#[derive(Debug)]
struct Alone {
    topic: String,
    /// When it was acknowledged.
    answered_at: Option<Instant>,
}

/// What is retained, and how far it is said.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// By topic.
    retained: BTreeMap<String, String>,
    /// Topics that are not in the library's queue yet.
    unsaid: BTreeSet<String>,
    /// In the library's queue or on their way.
    unacknowledged: usize,
    /// Whether reports go one at a time.
    careful: bool,
    /// The one that went last, where they do, until nothing follows from it any more.
    alone: Option<Alone>,
    /// Topics that the broker has taken: another cause has ended a connection with one of them on its way.
    proven: BTreeSet<String>,
    /// Closed connections, by the report that was on its way.
    cuts: BTreeMap<String, u32>,
    /// Topics that are left out.
    forbidden: BTreeSet<String>,
    /// Whether the broker has refused one in words, on this connection.
    refused: bool,
}

impl Reports {
    /// Sets the content of a topic; whether it is another one than before.
    pub(super) fn set(&mut self, topic: String, payload: String) -> bool {
        if self.retained.get(&topic) == Some(&payload) {
            return false;
        }
        self.unsaid.insert(topic.clone());
        self.retained.insert(topic, payload);
        true
    }

    /// A connection begins, or somebody wants to hear everything again.
    pub(super) fn say_again(&mut self) {
        self.unsaid = self.retained.keys().cloned().collect();
    }

    /// The next one to say: `first`, if it waits, before all others.
    pub(super) fn next(&mut self, first: &str, now: Instant) -> Option<(String, String)> {
        let is_through = |alone: &Alone| alone.answered_at.is_some_and(|at| now >= at + AFTER);
        if let Some(alone) = self.alone.take_if(|alone| is_through(alone)) {
            self.cuts.remove(&alone.topic);
            self.proven.insert(alone.topic);
        }
        if self.alone.is_some() || self.careful && self.unacknowledged > 0 {
            return None;
        }
        let mut waiting = self.unsaid.iter().filter(|topic| !self.forbidden.contains(*topic));
        let topic = match self.unsaid.get(first) {
            Some(topic) if !self.forbidden.contains(topic) => topic,
            _ => waiting.next()?,
        };
        Some((topic.clone(), self.retained.get(topic)?.clone()))
    }

    /// One is in the library's queue.
    pub(super) fn sent(&mut self, topic: String) {
        self.unsaid.remove(&topic);
        self.unacknowledged += 1;
        self.alone = self.careful.then_some(Alone { topic, answered_at: None });
    }

    /// The broker has acknowledged one, or refused it in words.
    pub(super) fn answered(&mut self, refused: bool, now: Instant) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        self.refused |= refused;
        match &mut self.alone {
            Some(alone) if refused => {
                let topic = std::mem::take(&mut alone.topic);
                self.alone = None;
                self.forbid(topic);
            }
            Some(alone) => alone.answered_at = Some(now),
            None => {}
        }
    }

    /// The connection is about to be ended in order: there is no time to go one at a time.
    pub(super) fn hurry(&mut self) {
        (self.careful, self.alone) = (false, None);
    }

    /// Whether events wait for reports.
    pub(super) fn go_first(&self) -> bool {
        self.careful && (self.alone.is_some() || !self.is_said())
    }

    /// Whether nothing waits or is on its way.
    pub(super) fn is_said(&self) -> bool {
        self.unacknowledged == 0 && self.unsaid.is_subset(&self.forbidden)
    }

    fn forbid(&mut self, topic: String) {
        tracing::error!(
            topic,
            "the broker does not take this topic, and closes the connection; it is left out until the next start: see the broker's access rules"
        );
        self.cuts.remove(&topic);
        self.forbidden.insert(topic);
    }

    /// The connection has ended. Where the broker closed it soon, `closed_soon`, the report that went last may be the reason;
    /// whether there was one.
    pub(super) fn ended(&mut self, closed_soon: bool, lasted: bool) -> bool {
        if lasted && self.is_said() {
            self.proven.extend(self.retained.keys().cloned());
        }
        let alone = self.alone.take().map(|alone| alone.topic).filter(|topic| !self.proven.contains(topic));
        let is_known = |topic: &String| self.proven.contains(topic) || self.forbidden.contains(topic);
        let on_the_way = self.unacknowledged > 0 && !self.retained.keys().all(is_known);
        let suspicious = closed_soon && (alone.is_some() || on_the_way || self.refused);
        (self.unacknowledged, self.refused) = (0, false);
        if lasted {
            self.careful = false;
            self.cuts.clear();
        }
        if suspicious && !std::mem::replace(&mut self.careful, true) {
            tracing::warn!(
                "the broker closed the connection at a message about the device; they go one at a time now"
            );
        }
        if let Some(topic) = alone.filter(|_| suspicious) {
            let cuts = self.cuts.entry(topic.clone()).or_default();
            *cuts += 1;
            if *cuts >= CUTS {
                self.forbid(topic);
            }
        }
        suspicious
    }

    /// Whether the broker does not take one of them.
    pub(super) fn are_refused(&self) -> bool {
        self.refused || !self.forbidden.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends what may go; the topics.
    fn send(reports: &mut Reports, now: Instant) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some((topic, _)) = reports.next("status", now) {
            reports.sent(topic.clone());
            sent.push(topic);
        }
        sent
    }

    #[test]
    fn the_report_that_the_connection_is_closed_for_is_left_out() {
        let (mut reports, mut now) = (Reports::default(), Instant::now());
        for topic in ["capabilities", "health", "status"] {
            assert!(reports.set(topic.into(), "1".into()));
        }
        assert!(!reports.set("health".into(), "1".into()), "said already");
        assert_eq!(send(&mut reports, now), ["status", "capabilities", "health"]);
        assert!(!reports.go_first(), "no suspicion yet");
        assert!(reports.ended(true, false));
        for _ in 0..CUTS {
            assert!(!reports.are_refused());
            reports.say_again();
            assert_eq!(send(&mut reports, now), ["status"]);
            reports.answered(false, now);
            assert!(
                send(&mut reports, now).is_empty() && reports.go_first(),
                "it may still be closed for this one"
            );
            now += AFTER;
            assert_eq!(send(&mut reports, now), ["capabilities"]);
            // Acknowledged, and then closed.
            reports.answered(false, now);
            assert!(reports.ended(true, false));
        }
        assert!(reports.are_refused());
        reports.say_again();
        assert_eq!(send(&mut reports, now), ["status"]);
        reports.answered(false, now);
        now += AFTER;
        assert_eq!(send(&mut reports, now), ["health"]);
        reports.answered(false, now);
        now += AFTER;
        assert!(send(&mut reports, now).is_empty() && reports.is_said() && !reports.go_first());
        // Another client takes the connection over, or the link is cut again and again with a report on its way: nothing about
        // the device is the reason.
        for _ in 0..5 {
            assert!(!reports.ended(true, false));
            reports.say_again();
            assert_eq!(send(&mut reports, now), ["status"]);
        }
        // At the end nothing waits.
        reports.set("state".into(), "stopped".into());
        reports.set("health".into(), "stopped".into());
        reports.hurry();
        assert_eq!(send(&mut reports, now), ["health", "state"]);
    }

    #[test]
    fn a_refusal_in_words_needs_no_second_connection() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        reports.set("health".into(), "1".into());
        send(&mut reports, now);
        reports.answered(true, now);
        assert!(reports.are_refused());
        assert!(reports.ended(true, false));
        reports.say_again();
        send(&mut reports, now);
        reports.answered(true, now);
        assert!(reports.is_said() && reports.are_refused() && !reports.go_first());
    }
}
