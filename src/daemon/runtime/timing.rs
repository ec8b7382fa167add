//! How long frames take: histograms that one thread fills and another reads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of the buckets, in milliseconds: the intervals of 100, 60, 30 and 20 frames/s are among them.
pub(crate) const BOUNDS_MS: [u64; 11] = [1, 2, 5, 10, 17, 25, 34, 50, 100, 250, 1000];

/// A histogram of times.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// Not cumulated; the last bucket holds what is above every bound.
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_ns: AtomicU64,
}

/// What a histogram holds at one instant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Counted {
    /// How many took at most so many seconds, bound by bound.
    pub(crate) cumulated: [u64; BOUNDS_MS.len()],
    /// How many there are.
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) sum_s: f64,
}

impl Histogram {
    /// Counts a time.
    fn add(&self, ns: i64) {
        let ns = ns.max(0).cast_unsigned();
        let at = BOUNDS_MS.iter().position(|ms| ns <= ms * 1_000_000).unwrap_or(BOUNDS_MS.len());
        self.buckets[at].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    /// What it holds. A frame that is counted meanwhile may be in the sum and not in the count.
    pub(crate) fn read(&self) -> Counted {
        let mut count = 0;
        let mut cumulated = [0; BOUNDS_MS.len()];
        for (bucket, out) in self.buckets.iter().zip(&mut cumulated) {
            count += bucket.load(Relaxed);
            *out = count;
        }
        count += self.buckets[BOUNDS_MS.len()].load(Relaxed);
        Counted { cumulated, count, sum_s: self.sum_ns.load(Relaxed) as f64 / 1e9 }
    }
}

/// Times of frames.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    /// What the pipeline took.
    pub(crate) processing: Histogram,
    /// From the stamp of the frame to the end of the pipeline.
    pub(crate) latency: Histogram,
}

impl Timing {
    /// A frame of the time `at_ns` was worked on from `begun_ns` to `now_ns`, all of the monotonic clock.
    pub(crate) fn frame(&self, at_ns: i64, begun_ns: i64, now_ns: i64) {
        self.processing.add(now_ns - begun_ns);
        self.latency.add(now_ns - at_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_at_their_bounds() {
        let timing = Timing::default();
        for ms in [0, 1, 3, 17, 2000] {
            timing.frame(-5_000_000_000, 0, ms * 1_000_000);
        }
        let counted = timing.processing.read();
        assert_eq!(counted.cumulated, [2, 2, 3, 3, 4, 4, 4, 4, 4, 4, 4]);
        assert_eq!(counted.count, 5);
        assert!((counted.sum_s - 2.021).abs() < 1e-9);
        assert_eq!(timing.latency.read().cumulated[BOUNDS_MS.len() - 1], 0, "all are above a second");
        // A clock that steps back does not: it is monotonic. Nothing breaks if it does.
        timing.frame(0, 0, -1);
        assert_eq!(timing.processing.read().cumulated[0], 3);
    }
}
