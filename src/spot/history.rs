//! What was measured of the last frames, and what can be asked of them.

use std::collections::VecDeque;

use super::{Context, ns};
use crate::au::UNIT_COUNT;
use crate::intensity::{COLUMNS, ROWS};

/// Cells of the coarse motion that is kept of each frame.
pub const CELLS: usize = COLUMNS * ROWS;

/// One measured frame.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Time of the frame.
    pub at_ns: i64,
    /// Levels of all units: they go on where the neutral face is taken anew.
    pub levels: [f32; UNIT_COUNT],
    /// Motion against the neutral face in crop pixels, u and then v of every cell, row by row.
    pub motion: [f32; 2 * CELLS],
    /// What else is known of the frame.
    pub context: Context,
}

/// What a face reads at rest, about a time: means of the frames there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    /// Middle of the time, in ns.
    pub at_ns: i64,
    /// Intensity of each unit, 0 to 5.
    pub levels: [f32; UNIT_COUNT],
    /// Motion as in [`Sample::motion`].
    pub motion: [f32; 2 * CELLS],
    /// What else is known.
    pub context: Context,
}

/// The signal is averaged over so much to both sides.
const SMOOTH_MS: f32 = 12.0;
/// Most frames that are kept.
const CAPACITY: usize = 512;

/// Frames of one track, oldest first.
#[derive(Debug, Clone)]
pub(super) struct History(VecDeque<Sample>);

impl History {
    /// Without frames.
    pub fn new() -> Self {
        Self(VecDeque::with_capacity(CAPACITY))
    }

    /// Adds a frame and forgets those before `keep_ns`.
    pub fn push(&mut self, sample: &Sample, keep_ns: i64) {
        while self.0.len() >= CAPACITY || self.0.front().is_some_and(|s| s.at_ns < keep_ns) {
            self.0.pop_front();
        }
        self.0.push_back(*sample);
    }

    /// Frames from an instant up to and with another.
    pub fn within(&self, from_ns: i64, to_ns: i64) -> impl DoubleEndedIterator<Item = &Sample> + Clone {
        let (from, to) =
            (self.0.partition_point(|s| s.at_ns < from_ns), self.0.partition_point(|s| s.at_ns <= to_ns));
        self.0.range(from..to.max(from))
    }

    /// Means of the frames between two instants, or of the nearest frame; `None` without any.
    pub fn rest(&self, from_ns: i64, to_ns: i64) -> Option<Rest> {
        let middle = from_ns / 2 + to_ns / 2;
        let nearest = || self.0.iter().min_by_key(|s| (s.at_ns - middle).abs()).map(|s| s.at_ns);
        let (from_ns, to_ns) = match self.within(from_ns, to_ns).next() {
            Some(_) => (from_ns, to_ns),
            None => nearest().map(|t| (t, t))?,
        };
        let (mut n, mut at) = (0.0f32, 0.0f64);
        let (mut levels, mut motion, mut sums) = ([0.0; UNIT_COUNT], [0.0; 2 * CELLS], [0.0; Context::COUNT]);
        let add = |sums: &mut [f32], values: &[f32]| sums.iter_mut().zip(values).for_each(|(s, v)| *s += v);
        for s in self.within(from_ns, to_ns) {
            n += 1.0;
            at += (s.at_ns - from_ns) as f64;
            add(&mut levels, &s.levels);
            add(&mut motion, &s.motion);
            add(&mut sums, &s.context.numbers());
        }
        Some(Rest {
            at_ns: from_ns + (at / f64::from(n)) as i64,
            levels: levels.map(|v| v / n),
            motion: motion.map(|v| v / n),
            context: Context::of_numbers(sums.map(|v| v / n)),
        })
    }

    /// Time and a number of each frame between two instants, as the mean over [`SMOOTH_MS`] to both sides.
    pub fn signal(&self, from_ns: i64, to_ns: i64, value: impl Fn(&Sample) -> f32) -> Vec<(i64, f32)> {
        let raw: Vec<(i64, f32)> = self.within(from_ns, to_ns).map(|s| (s.at_ns, value(s))).collect();
        let reach = ns(SMOOTH_MS);
        let (mut first, mut end) = (0, 0);
        raw.iter()
            .map(|&(at_ns, _)| {
                while raw[first].0 < at_ns - reach {
                    first += 1;
                }
                while end < raw.len() && raw[end].0 <= at_ns + reach {
                    end += 1;
                }
                let span = &raw[first..end];
                (at_ns, span.iter().map(|(_, v)| v).sum::<f32>() / span.len() as f32)
            })
            .collect()
    }
}
