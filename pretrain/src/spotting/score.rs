//! Matches of found movements with the truth, errors of their times, false alarms.

use glint::event::Movement;

use crate::corpus::plan::{Distractor, Micro, Span};
use crate::statistics::median;

/// Share of intersection in union from which a found interval is the true one (MEGC's rule).
pub const MIN_IOU: f64 = 0.5;
/// A false alarm belongs to a distractor that lies within so much of it.
const REACH_NS: i64 = 150_000_000;

/// Intersection over union of two intervals.
pub fn iou(a: (i64, i64), b: (i64, i64)) -> f64 {
    let both = (a.1.min(b.1) - a.0.max(b.0)).max(0);
    let all = a.1.max(b.1) - a.0.min(b.0);
    both as f64 / all.max(1) as f64
}

/// For each true movement the index of the found one that is it, the best overlap first; each found one
/// is used once.
pub fn matches(truth: &[Micro], spotted: &[Movement]) -> Vec<Option<usize>> {
    let mut pairs: Vec<(f64, usize, usize)> = truth
        .iter()
        .enumerate()
        .flat_map(|(t, m)| {
            spotted
                .iter()
                .enumerate()
                .map(move |(f, e)| (iou((m.onset_ns, m.offset_ns), (e.onset_ns, e.offset_ns)), t, f))
        })
        .filter(|(overlap, ..)| *overlap >= MIN_IOU)
        .collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut out = vec![None; truth.len()];
    for (_, t, f) in pairs {
        if out[t].is_none() && !out.contains(&Some(f)) {
            out[t] = Some(f);
        }
    }
    out
}

/// What caused a false alarm: the distractor with the longest common stretch; `None` where there is none.
pub fn cause(alarm: &Movement, distractors: &[Span]) -> Option<Distractor> {
    let common = |d: &Span| (alarm.offset_ns.min(d.to_ns) - alarm.onset_ns.max(d.from_ns)) + REACH_NS;
    distractors.iter().filter(|d| common(d) > 0).max_by_key(|d| common(d)).map(|d| d.what)
}

/// Counts and errors over many sequences of one frame rate.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// True movements that were found.
    pub hits: usize,
    /// True movements.
    pub truth: usize,
    /// Found movements.
    pub found: usize,
    /// Errors of the hits in ms, late ones positive: onset, apex, offset.
    pub errors_ms: [Vec<f64>; 3],
    /// Every true movement: fraction, travel in pixels, whether it was found.
    pub movements: Vec<(f32, f32, bool)>,
}

impl Tally {
    /// Adds one sequence.
    pub fn add(&mut self, truth: &[Micro], spotted: &[Movement]) {
        self.truth += truth.len();
        self.found += spotted.len();
        for (t, m) in truth.iter().zip(matches(truth, spotted)) {
            self.movements.push((t.fraction, t.travel_px, m.is_some()));
            let Some(f) = m.and_then(|i| spotted.get(i)) else { continue };
            self.hits += 1;
            let pairs = [(t.onset_ns, f.onset_ns), (t.apex_ns, f.apex_ns), (t.offset_ns, f.offset_ns)];
            for (errors, (truth, measured)) in self.errors_ms.iter_mut().zip(pairs) {
                errors.push((measured - truth) as f64 / 1e6);
            }
        }
    }

    /// Share of found movements that are true ones; 1 when nothing was found.
    pub fn precision(&self) -> f64 {
        if self.found == 0 { 1.0 } else { self.hits as f64 / self.found as f64 }
    }

    /// Share of true movements that were found.
    pub fn recall(&self) -> f64 {
        self.hits as f64 / self.truth.max(1) as f64
    }

    /// Harmonic mean of the two.
    pub fn f1(&self) -> f64 {
        2.0 * self.hits as f64 / (self.truth + self.found).max(1) as f64
    }

    /// Median absolute errors of onset, apex, offset in ms; NaN without a hit.
    pub fn median_errors_ms(&self) -> [f64; 3] {
        std::array::from_fn(|k| median(&self.errors_ms[k].iter().map(|e| e.abs()).collect::<Vec<_>>()))
    }

    /// Median errors of onset, apex, offset in ms, late ones positive; NaN without a hit.
    pub fn median_lags_ms(&self) -> [f64; 3] {
        std::array::from_fn(|k| median(&self.errors_ms[k]))
    }

    /// Found and all of those movements that travel less than `px` pixels.
    pub fn below(&self, px: f32) -> (usize, usize) {
        let small = || self.movements.iter().filter(|(_, travel, _)| *travel < px);
        (small().filter(|m| m.2).count(), small().count())
    }
}

/// Exact 95 % interval of the mean of a Poisson count (Garwood 1936), by bisection of its distribution.
pub fn poisson_interval(count: u64) -> (f64, f64) {
    // P(X <= n) for a mean: the sum of its terms.
    let at_most = |n: u64, mean: f64| {
        let mut term = (-mean).exp();
        (1..=n).fold(term, |sum, k| {
            term *= mean / k as f64;
            sum + term
        })
    };
    // Both tails fall with the mean; the search ends where the tail has 2.5 %.
    let solve = |tail: &dyn Fn(f64) -> f64| {
        let (mut lo, mut hi) = (0.0, 10.0 + 3.0 * count as f64);
        for _ in 0..80 {
            let mid = 0.5 * (lo + hi);
            if tail(mid) > 0.025 { lo = mid } else { hi = mid }
        }
        0.5 * (lo + hi)
    };
    let upper = solve(&|mean| at_most(count, mean));
    let lower = match count.checked_sub(1) {
        None => 0.0,
        // P(X >= count) rises with the mean: its complement falls to 97.5 %.
        Some(below) => solve(&|mean| at_most(below, mean) - 0.95),
    };
    (lower, upper)
}

/// Exact 95 % interval of a share (Clopper and Pearson 1934), by bisection of the binomial distribution.
pub fn binomial_interval(hits: usize, total: usize) -> (f64, f64) {
    let at_most = |n: usize, p: f64| -> f64 {
        let mut log = total as f64 * (1.0 - p).ln();
        let mut sum = log.exp();
        for k in 1..=n {
            log += ((total - k + 1) as f64 / k as f64).ln() + (p / (1.0 - p)).ln();
            sum += log.exp();
        }
        sum
    };
    let solve = |n: usize, level: f64| {
        let (mut lo, mut hi) = (1e-9, 1.0 - 1e-9);
        for _ in 0..60 {
            let mid = 0.5 * (lo + hi);
            if at_most(n, mid) > level { lo = mid } else { hi = mid }
        }
        0.5 * (lo + hi)
    };
    let lower = if hits == 0 { 0.0 } else { solve(hits - 1, 0.975) };
    let upper = if hits >= total { 1.0 } else { solve(hits, 0.025) };
    (lower, upper)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use glint::event::{Kind, TimingQuality};

    pub(crate) fn movement(onset_ms: i64, offset_ms: i64) -> Movement {
        let ms = 1_000_000;
        Movement {
            kind: Kind::Micro,
            onset_ns: onset_ms * ms,
            apex_ns: (onset_ms + offset_ms) / 2 * ms,
            offset_ns: offset_ms * ms,
            track: 1,
            aus: Vec::new(),
            label: None,
            abstained: false,
            fps: 100.0,
            timing_quality: TimingQuality::Good,
            track_quality: 1.0,
            model: String::new(),
            evidence: String::new(),
        }
    }

    pub(crate) fn micro(onset_ms: i64, offset_ms: i64) -> Micro {
        let m = movement(onset_ms, offset_ms);
        let (onset_ns, apex_ns, offset_ns) = (m.onset_ns, m.apex_ns, m.offset_ns);
        Micro {
            onset_ns,
            apex_ns,
            offset_ns,
            class: glint::event::Class::Positive,
            parts: vec![(12, glint::au::Side::Both, 0.2)],
            fraction: 0.2,
            travel_px: 1.0,
        }
    }

    #[test]
    fn each_movement_counts_once() {
        let truth = [micro(1000, 1300), micro(2000, 2300)];
        let spotted =
            [movement(1010, 1310), movement(1020, 1300), movement(2200, 2500), movement(5000, 5200)];
        let mut tally = Tally::default();
        tally.add(&truth, &spotted);
        assert_eq!((tally.hits, tally.truth, tally.found), (1, 2, 4));
        assert!((tally.f1() - 2.0 / 6.0).abs() < 1e-9);
        assert_eq!(tally.median_errors_ms(), [10.0, 10.0, 10.0]);
        assert_eq!(tally.below(1.25), (1, 2));
        let mut early = Tally::default();
        early.add(&[micro(1000, 1300)], &[movement(980, 1310)]);
        assert_eq!(early.median_lags_ms(), [-20.0, -5.0, 10.0]);
        assert_eq!(early.median_errors_ms(), [20.0, 5.0, 10.0]);
    }

    #[test]
    fn the_nearest_distractor_is_the_cause() {
        let spans = [
            Span { what: Distractor::Blink, from_ns: 900_000_000, to_ns: 1_050_000_000 },
            Span { what: Distractor::Speech, from_ns: 1_040_000_000, to_ns: 2_000_000_000 },
        ];
        assert_eq!(cause(&movement(1000, 1300), &spans), Some(Distractor::Speech));
        assert_eq!(cause(&movement(700, 870), &spans), Some(Distractor::Blink));
        assert_eq!(cause(&movement(3000, 3200), &spans), None);
    }

    #[test]
    fn intervals_are_the_published_ones() {
        // Garwood's table: 0 -> 3.69, 5 -> 1.62 to 11.67.
        assert!((poisson_interval(0).1 - 3.6889).abs() < 1e-3 && poisson_interval(0).0 == 0.0);
        let (lower, upper) = poisson_interval(5);
        assert!((lower - 1.6235).abs() < 1e-3 && (upper - 11.6683).abs() < 1e-3, "{lower} {upper}");
        // Clopper and Pearson: 8 of 10 -> .444 to .975.
        let (lower, upper) = binomial_interval(8, 10);
        assert!((lower - 0.4439).abs() < 1e-3 && (upper - 0.9748).abs() < 1e-3, "{lower} {upper}");
    }
}
