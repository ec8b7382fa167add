//! Wrong tokens, counted: whoever sends many of them gets few lines in the audit log.
//!
//! The first of a source is told at once, what follows as one count after a minute, then after two, and so on up to a day. A
//! source is forgotten after a day without a wrong token. More sources than [`SOURCES`] are counted together.

use std::time::Duration;

use tokio::time::Instant;

use super::RefusedTokens;
use super::room::{Peer, Source};

/// Sources that are counted one by one.
const SOURCES: usize = 8;
/// Between the first line and the next; each wait is twice the one before.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait; after so long without a wrong token a source is forgotten.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Who is counted together.
const OTHERS: &str = "others";

/// The wrong tokens of a source.
struct Tally {
    /// `None`: those who have no tally of their own.
    source: Option<Source>,
    /// Who was refused last.
    peer: String,
    /// What is to be told.
    count: u64,
    /// When it may be told.
    due: Instant,
    wait: Duration,
    last: Instant,
}

/// The wrong tokens of all.
#[derive(Default)]
pub(super) struct Refusals(Vec<Tally>);

impl Refusals {
    /// Counts a wrong token.
    pub(super) fn count(&mut self, peer: &Peer, now: Instant) {
        let own = self.0.iter().position(|tally| tally.source.as_ref() == Some(&peer.source));
        let is_full = self.0.iter().filter(|tally| tally.source.is_some()).count() >= SOURCES;
        let (source, name) = match own {
            None if is_full => (None, OTHERS),
            _ => (Some(peer.source.clone()), peer.name.as_str()),
        };
        let at = self.0.iter().position(|tally| tally.source == source).unwrap_or_else(|| {
            let peer = String::new();
            self.0.push(Tally { source, peer, count: 0, due: now, wait: FIRST_WAIT, last: now });
            self.0.len() - 1
        });
        let tally = &mut self.0[at];
        tally.count += 1;
        tally.last = now;
        name.clone_into(&mut tally.peer);
    }

    /// Tells what is due. Where it is not taken, it stays due.
    pub(super) fn tell(&mut self, now: Instant, mut take: impl FnMut(RefusedTokens) -> bool) {
        for tally in self.0.iter_mut().filter(|tally| tally.count > 0 && now >= tally.due) {
            if take(RefusedTokens { peer: tally.peer.clone(), count: tally.count }) {
                tally.count = 0;
                tally.due = now + tally.wait;
                tally.wait = (2 * tally.wait).min(DAY);
            }
        }
        self.0.retain(|tally| tally.count > 0 || now - tally.last < DAY);
    }

    /// What has not been told yet: the daemon ends.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = RefusedTokens> {
        self.0.drain(..).filter(|t| t.count > 0).map(|t| RefusedTokens { peer: t.peer, count: t.count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8, port: u16) -> Peer {
        Peer::tcp(std::net::SocketAddr::from(([192, 0, 2, last], port)))
    }

    /// What is told at a time.
    fn told(refusals: &mut Refusals, now: Instant) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        refusals.tell(now, |refused| {
            all.push((refused.peer, refused.count));
            true
        });
        all
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_as_counts() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        refusals.count(&peer(1, 5), start);
        assert_eq!(told(&mut refusals, start), [("192.0.2.1:5".to_owned(), 1)]);
        for second in 1..60 {
            refusals.count(&peer(1, 6), at(second));
            assert!(told(&mut refusals, at(second)).is_empty());
        }
        refusals.count(&peer(2, 7), at(59));
        assert_eq!(told(&mut refusals, at(59)), [("192.0.2.2:7".to_owned(), 1)], "each source by itself");
        assert_eq!(told(&mut refusals, at(60)), [("192.0.2.1:6".to_owned(), 59)]);
        refusals.count(&peer(1, 8), at(61));
        assert!(told(&mut refusals, at(179)).is_empty(), "the next wait is longer");
        assert_eq!(told(&mut refusals, at(180)), [("192.0.2.1:8".to_owned(), 1)]);
        assert!(told(&mut refusals, at(10_000)).is_empty(), "nothing new, nothing told");
    }

    #[test]
    fn days_of_wrong_tokens_are_a_few_lines() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let (mut lines, mut sum, mut sent) = (0, 0, 0);
        for second in 0..3 * 86_400 {
            let now = start + Duration::from_secs(second);
            for i in 0..4 {
                // More addresses than are counted one by one, as many as an attacker likes.
                let last = (second * 4 + i) % 250;
                refusals.count(&peer(last as u8, 1), now);
                sent += 1;
            }
            for (_, count) in told(&mut refusals, now) {
                lines += 1;
                sum += count;
            }
            assert!(refusals.0.len() <= SOURCES + 1);
        }
        assert!(lines < 150, "{lines} lines");
        sum += refusals.rest().map(|refused| refused.count).sum::<u64>();
        assert_eq!(sum, sent, "none is missing");
    }

    #[test]
    fn what_is_not_taken_is_told_later_and_a_quiet_source_is_forgotten() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        refusals.count(&peer(1, 5), start);
        refusals.tell(start, |_| false);
        assert_eq!(told(&mut refusals, start), [("192.0.2.1:5".to_owned(), 1)]);
        assert!(told(&mut refusals, start + DAY).is_empty() && refusals.0.is_empty());
    }
}
