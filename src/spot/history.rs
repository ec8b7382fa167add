//! What was measured of the last frames, and what can be asked of them.

use std::collections::VecDeque;

use super::{Context, ns};
use crate::au::UNIT_COUNT;

/// One measured frame.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub at_ns: i64,
    pub intensities: [f32; UNIT_COUNT],
    pub context: Context,
}

/// What a face at rest reads, about a time.
#[derive(Debug, Clone, Copy)]
pub struct Rest {
    pub at_ns: i64,
    pub levels: [f32; UNIT_COUNT],
    pub light: f32,
    pub outliers: f32,
    pub quality: f32,
}

impl Rest {
    /// Where nothing is known but one frame.
    pub fn of(sample: &Sample, at_ns: i64) -> Self {
        let Context { light, outliers, quality, .. } = sample.context;
        Self { at_ns, levels: [0.0; UNIT_COUNT], light, outliers, quality }
    }
}

/// The signal is averaged over so much to both sides.
const SMOOTH_MS: f32 = 12.0;
/// Intensities at the apex are averaged over so much to both sides.
const APEX_MS: f32 = 15.0;

/// Frames of one track, oldest first.
#[derive(Debug, Clone)]
pub struct History(VecDeque<Sample>);

impl History {
    pub fn new() -> Self {
        Self(VecDeque::with_capacity(1024))
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a frame and forgets those before `keep_ns`.
    pub fn push(&mut self, sample: Sample, keep_ns: i64) {
        while self.0.front().is_some_and(|s| s.at_ns < keep_ns) {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    pub fn first(&self) -> Option<&Sample> {
        self.0.front()
    }

    /// Frames from an instant up to and with another.
    pub fn within(&self, from_ns: i64, to_ns: i64) -> impl Iterator<Item = &Sample> + Clone {
        self.0.iter().filter(move |s| (from_ns..=to_ns).contains(&s.at_ns))
    }

    /// Medians of the frames from an instant until before another; `None` where there is none.
    pub fn rest(&self, from_ns: i64, to_ns: i64) -> Option<Rest> {
        let span: Vec<&Sample> = self.0.iter().filter(|s| (from_ns..to_ns).contains(&s.at_ns)).collect();
        let (first, last) = (span.first()?.at_ns, span.last()?.at_ns);
        let mut values = Vec::with_capacity(span.len());
        let mut middle = |of: &dyn Fn(&Sample) -> f32| {
            values.clear();
            values.extend(span.iter().map(|s| of(s)));
            median(&mut values)
        };
        Some(Rest {
            at_ns: (first + last) / 2,
            levels: std::array::from_fn(|k| middle(&|s| s.intensities[k])),
            light: middle(&|s| s.context.light),
            outliers: middle(&|s| s.context.outliers),
            quality: middle(&|s| s.context.quality),
        })
    }

    /// Time and a number of each frame, as the mean over [`SMOOTH_MS`] to both sides.
    pub fn signal(&self, of: impl Fn(&Sample) -> f32) -> Vec<(i64, f32)> {
        let raw: Vec<(i64, f32)> = self.0.iter().map(|s| (s.at_ns, of(s))).collect();
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

    /// The mean over [`APEX_MS`] to both sides of what `of` says of each unit, or that of the nearest frame.
    pub fn around(&self, at_ns: i64, of: impl Fn(&Sample, usize) -> f32) -> [f32; UNIT_COUNT] {
        let half = ns(APEX_MS);
        let mut near: Vec<&Sample> = self.within(at_ns - half, at_ns + half).collect();
        if near.is_empty() {
            near.extend(self.0.iter().min_by_key(|s| (s.at_ns - at_ns).abs()));
        }
        let n = near.len().max(1) as f32;
        std::array::from_fn(|k| near.iter().map(|s| of(s, k)).sum::<f32>() / n)
    }

    /// Greatest deviation of the head from the straight path between two instants, and the length of that path; turn and
    /// zoom count as what they move at one eye distance.
    pub fn head(&self, from_ns: i64, to_ns: i64) -> (f32, f32) {
        let span: Vec<&Sample> = self.within(from_ns, to_ns).collect();
        let (Some(first), Some(last)) = (span.first(), span.last()) else { return (0.0, 0.0) };
        let place = |c: &Context| [c.head[0], c.head[1], c.pose[0], c.pose[1]];
        let (a, b) = (place(&first.context), place(&last.context));
        let distance =
            |p: [f32; 4], q: [f32; 4]| p.iter().zip(&q).map(|(p, q)| (p - q) * (p - q)).sum::<f32>().sqrt();
        let deviation = span
            .iter()
            .map(|s| {
                let share = (s.at_ns - first.at_ns) as f32 / (last.at_ns - first.at_ns).max(1) as f32;
                distance(place(&s.context), std::array::from_fn(|k| a[k] + share * (b[k] - a[k])))
            })
            .fold(0.0, f32::max);
        (deviation, distance(a, b))
    }
}

fn median(values: &mut [f32]) -> f32 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}
