//! What was found, against what was put in: as it comes, and kept no longer than it is needed.

use std::collections::VecDeque;

use glint::event::{Kind, Movement};
use glint::inject::Injection;

use super::calm::Calm;
use super::report::SelftestReport;

/// Overlap from which an event is the movement (MEGC's rule).
const MIN_IOU: f64 = 0.5;
/// No injected movement is longer than this, and no event overlaps one that ended so long before.
const APART_NS: i64 = 1_000_000_000;
/// An event of the untouched footage is compared for so long after its end.
const ALONE_NS: i64 = 5_000_000_000;

/// Movements and events that are still to be compared, each kind in the order of its time.
#[derive(Default)]
pub(super) struct Score {
    injected: VecDeque<Injection>,
    events: VecDeque<(Movement, bool)>,
    alone: VecDeque<Movement>,
}

fn overlap(a: (i64, i64), b: (i64, i64)) -> f64 {
    let both = (a.1.min(b.1) - a.0.max(b.0)).max(0);
    both as f64 / (a.1.max(b.1) - a.0.min(b.0)).max(1) as f64
}

fn span(movement: &Movement) -> (i64, i64) {
    (movement.onset_ns, movement.offset_ns)
}

impl Score {
    /// A movement is put in.
    pub(super) fn inject(&mut self, movement: Injection) {
        self.injected.push_back(movement);
    }

    /// The movements that are put in, or that were lately.
    pub(super) fn injected(&self) -> &VecDeque<Injection> {
        &self.injected
    }

    /// An event of the footage with the movements in it.
    pub(super) fn event(&mut self, movement: Movement) {
        if movement.kind == Kind::Micro {
            self.events.push_back((movement, false));
        }
    }

    /// An event of the footage as it is.
    pub(super) fn alone(&mut self, movement: Movement) {
        if movement.kind == Kind::Micro {
            self.alone.push_back(movement);
        }
    }

    /// Counts what ended before a time of which all events are known.
    pub(super) fn settle(&mut self, until_ns: i64, calm: &Calm, report: &mut SelftestReport) {
        while self.injected.front().is_some_and(|m| m.course.offset_ns <= until_ns) {
            let Some(movement) = self.injected.pop_front() else { break };
            let times = (movement.course.onset_ns, movement.course.offset_ns);
            let best = self
                .events
                .iter_mut()
                .filter(|(_, is_used)| !is_used)
                .map(|event| (overlap(times, span(&event.0)), event))
                .filter(|(share, _)| *share >= MIN_IOU)
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, event)| event);
            let hit = best.map(|event| {
                event.1 = true;
                &event.0
            });
            report.count(&movement, hit, calm.is_calm(times.0, times.1));
        }
        let ended_ns = until_ns.saturating_sub(APART_NS);
        while self.events.front().is_some_and(|(e, _)| e.offset_ns <= ended_ns) {
            let Some((event, is_used)) = self.events.pop_front() else { break };
            let is_known = || self.alone.iter().any(|a| overlap(span(a), span(&event)) >= MIN_IOU);
            report.wrong += usize::from(!is_used && !is_known());
        }
        let ended_ns = until_ns.saturating_sub(ALONE_NS);
        while self.alone.front().is_some_and(|e| e.offset_ns <= ended_ns) {
            self.alone.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glint::au::Side;
    use glint::synth::Profile;
    use serde_json::json;

    fn movement(from_ms: i64, to_ms: i64) -> Movement {
        serde_json::from_value(json!({
            "kind": "micro", "onset_ns": from_ms * 1_000_000, "apex_ns": (from_ms + to_ms) / 2 * 1_000_000,
            "offset_ns": to_ms * 1_000_000, "track": 1, "aus": [], "label": null, "abstained": false, "fps": 30.0,
            "timing_quality": "degraded", "track_quality": 1.0, "model": "", "evidence": "facial_movement"
        }))
        .expect("a movement")
    }

    fn injected(from_ms: i64) -> Injection {
        let times = [from_ms, from_ms + 100, from_ms + 300].map(|t| t * 1_000_000);
        let subject = Injection::subject().expect("subject");
        Injection::new(&subject, vec![(12, Side::Both, 0.3)], times, Profile::LeastJerk)
    }

    fn score() -> Score {
        let mut score = Score::default();
        [1000, 3000].into_iter().for_each(|ms| score.inject(injected(ms)));
        for (from_ms, to_ms) in [(1020, 1310), (5000, 5300), (8000, 8200)] {
            score.event(movement(from_ms, to_ms));
        }
        score.alone(movement(5010, 5290));
        score
    }

    #[test]
    fn what_was_there_before_is_no_false_alarm_of_a_round() {
        let mut calm = Calm::default();
        calm.push(3_100_000_000, None);
        let mut report = SelftestReport { alone: 1, ..SelftestReport::default() };
        report.untouched.seconds = 30.0;
        score().settle(i64::MAX, &calm, &mut report);
        assert_eq!((report.injected, report.found, report.wrong), (2, 1, 1));
        assert_eq!((report.calm, report.elsewhere), ((1, 1), (0, 1)));
        assert_eq!(report.by_au[&12], (1, 2));
        assert_eq!((report.recall(), report.false_per_min()), (Some(0.5), 2.0));
        assert_eq!(report.error(0), Some(20.0));
        assert_eq!(report.json()["by_px"].as_object().map(|o| o.len()), Some(4));
    }

    #[test]
    fn settled_bit_by_bit_it_is_the_same_and_nothing_is_kept() {
        let calm = Calm::default();
        let (mut whole, mut bits) = (SelftestReport::default(), SelftestReport::default());
        score().settle(i64::MAX, &calm, &mut whole);
        let mut score = score();
        for ms in (0..20_000).step_by(50) {
            score.settle(ms * 1_000_000, &calm, &mut bits);
        }
        let counts = |r: &SelftestReport| (r.injected, r.found, r.wrong, r.calm, r.error(2));
        assert_eq!(counts(&whole), counts(&bits));
        assert!(score.injected.is_empty() && score.events.is_empty() && score.alone.is_empty());
    }
}
