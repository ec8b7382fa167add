//! Clearing what is retained under names that are not in force any more.
//!
//! It is done twice. The broker may still hold a connection under the old name that broke without a word, and publish its
//! will, retained, once the keep-alive has run out.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The second time comes so much later: one and a half times the keep-alive, and some.
const AGAIN: Duration = Duration::from_secs(60);
/// So many connections, one after the other, ended meanwhile: a broker that closes the connection where its access rules
/// forbid a topic. It is given up until the next start.
const CUTS: u32 = 3;

/// The topics, and how far they are cleared.
#[derive(Debug, Default)]
pub(super) struct Withdrawals {
    topics: Vec<String>,
    /// Those of this round that are not in the library's queue yet.
    unsaid: VecDeque<String>,
    unacknowledged: usize,
    /// Whether a round is under way.
    running: bool,
    /// When the second round begins, once the first is done.
    again_at: Option<Instant>,
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
            self.begin();
        }
    }

    fn begin(&mut self) {
        (self.running, self.unacknowledged) = (true, 0);
        self.unsaid = self.topics.iter().cloned().collect();
    }

    /// The next topic to clear.
    pub(super) fn next(&mut self) -> Option<&str> {
        if !self.running && self.again_at.is_some_and(|at| Instant::now() >= at) {
            self.begin();
        }
        self.unsaid.front().map(String::as_str)
    }

    /// The next topic is in the library's queue.
    pub(super) fn said(&mut self) {
        self.unsaid.pop_front();
        self.unacknowledged += 1;
    }

    /// The broker has taken one, or refused it for good.
    pub(super) fn acknowledged(&mut self) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        if !self.running || self.unacknowledged > 0 || !self.unsaid.is_empty() {
            return;
        }
        (self.running, self.cuts) = (false, 0);
        if self.again_at.is_none() {
            tracing::info!(topics = self.topics.len(), "retained messages of an earlier name are cleared");
            self.again_at = Some(Instant::now() + AGAIN);
        } else {
            self.topics.clear();
            (self.again_at, self.done) = (None, true);
        }
    }

    /// The connection has ended.
    pub(super) fn ended(&mut self) {
        if !std::mem::take(&mut self.running) {
            return;
        }
        self.unsaid.clear();
        self.cuts += 1;
        if self.cuts >= CUTS {
            tracing::error!(
                topics = self.topics.join(" "),
                "retained messages of an earlier name cannot be cleared: the broker closes the connection; clear them by hand"
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

    fn round(withdrawals: &mut Withdrawals) -> usize {
        let mut count = 0;
        while withdrawals.next().is_some() {
            withdrawals.said();
            count += 1;
        }
        (0..count).for_each(|_| withdrawals.acknowledged());
        count
    }

    #[tokio::test(flavor = "current_thread")]
    async fn topics_are_cleared_twice_and_over_a_lost_connection() {
        let mut withdrawals = Withdrawals::new(vec!["a".into(), "b".into()]);
        assert_eq!(withdrawals.next(), None, "nobody is there");
        withdrawals.greet();
        withdrawals.said();
        withdrawals.ended();
        withdrawals.greet();
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
    async fn a_broker_that_does_not_want_it_is_left_alone() {
        let mut withdrawals = Withdrawals::new(vec!["a".into()]);
        for _ in 0..CUTS {
            withdrawals.greet();
            assert_eq!(withdrawals.next(), Some("a"));
            withdrawals.said();
            withdrawals.ended();
        }
        withdrawals.greet();
        assert_eq!(withdrawals.next(), None);
        assert!(!withdrawals.finished(), "the next start tries again");
    }
}
