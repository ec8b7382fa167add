//! When a movement began, was greatest and ended, and what it is judged by.

use super::history::{History, Rest, Sample};
use super::{Candidate, Rejection, ns};
use crate::au::{UNIT_COUNT, UNITS};
use crate::event::Kind;

/// What a candidate is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measures {
    /// From onset to offset.
    pub duration_ms: f32,
    /// Height over the noise of the signal at rest.
    pub contrast: f32,
    /// Strongest unit at the apex, 0 to 5.
    pub strongest: f32,
    /// Strongest unit of AU 45 at the apex over the strongest one of all others (of AU 5 and 7 half counts).
    pub lids: f32,
    /// Strongest unit of jaw and parting lips at the apex over the strongest one of all others but AU 16 and 17.
    pub jaw: f32,
    /// What a raised cosine of these three times leaves unexplained, as a share of its own energy.
    pub misfit: f32,
    /// Difference of the levels of rest after and before, as a share of the height.
    pub step: f32,
    /// Time since the movement before, and until the next one, in ms; the smaller. At most 1000. Movements much weaker
    /// than this one do not count.
    pub gap_ms: f32,
    /// The same with every movement.
    pub any_gap_ms: f32,
    /// Greatest deviation of the head from a straight path between onset and offset, in eye distances.
    pub head: f32,
    /// Head's travel in the same time, in eye distances.
    pub travel: f32,
    /// Change of the logarithm of the face's brightness from before to after.
    pub light: f32,
    /// Greatest deviation of it from a straight line in between.
    pub flash: f32,
    /// Lowest quality of the registration.
    pub quality: f32,
    /// How much that is below the quality at rest.
    pub drop: f32,
    /// Greatest rise of the share of pixels that the flow could not explain.
    pub outliers: f32,
}

/// A stretch of open gate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub opened_ns: i64,
    pub shut_ns: i64,
    /// Units that were above their floor.
    pub counted: [bool; UNIT_COUNT],
    /// What spoilt it.
    pub disturbed: Option<Rejection>,
    /// Greatest intensity in it.
    pub strength: f32,
    /// End and strength of the stretch before.
    pub previous: Option<(i64, f32)>,
    /// Beginning of the next stretch, and its strength as far as it is known.
    pub next: Option<(i64, f32)>,
}

/// Units below this share of the strongest one take no part in a movement.
const PART: f32 = 0.35;
/// The level of rest before a movement is looked for so long before the gate opened, over so long a time.
const GUARD_MS: f32 = 110.0;
/// See [`GUARD_MS`].
const REST_MS: f32 = 300.0;
/// The level of rest after it is looked for from so long after the gate shut,
const CALM_MS: f32 = 20.0;
/// until so long before it opens again.
const REOPENS_MS: f32 = 30.0;
/// What lids drag along counts with this share: it is at most about as strong as they are.
pub(super) const LIDS_DRAG: f32 = 0.5;
/// A neighbour in time counts where it reaches this share of the movement.
const ALIKE: f32 = 0.4;

/// The face at rest on both sides of a movement.
struct Rests {
    before: Rest,
    after: Rest,
}

impl Rests {
    /// How far a time is from the rest before to the rest after, 0 to 1.
    fn share(&self, at_ns: i64) -> f32 {
        let span = (self.after.at_ns - self.before.at_ns).max(1) as f64;
        (((at_ns - self.before.at_ns) as f64 / span).clamp(0.0, 1.0)) as f32
    }

    /// What a unit would read at a time without the movement.
    fn level(&self, at_ns: i64, k: usize) -> f32 {
        let (from, to) = (self.before.levels[k], self.after.levels[k]);
        from + self.share(at_ns) * (to - from)
    }

    /// The same of the brightness.
    fn light(&self, at_ns: i64) -> f32 {
        self.before.light + self.share(at_ns) * (self.after.light - self.before.light)
    }

    /// How far a frame's unit is above what it would read without the movement.
    fn above(&self, s: &Sample, k: usize) -> f32 {
        s.intensities[k] - self.level(s.at_ns, k)
    }
}

/// Times, intensities and measures of a stretch; `None` where nothing rises in it.
pub(super) fn measure(history: &History, stretch: &Stretch) -> Option<Candidate> {
    let (opened_ns, shut_ns) = (stretch.opened_ns, stretch.shut_ns);
    let calm = opened_ns - ns(GUARD_MS) - ns(REST_MS)..opened_ns - ns(GUARD_MS);
    let until = stretch.next.map_or(i64::MAX, |(n, _)| n - ns(REOPENS_MS));
    let before = history.rest(calm.start, calm.end).unwrap_or(Rest::of(history.first()?, opened_ns));
    let after = history.rest(shut_ns + ns(CALM_MS), until).unwrap_or(Rest { at_ns: shut_ns, ..before });
    let rests = Rests { before, after };
    // Units that take part: those that counted and reach a share of the strongest one.
    let mut reach = [0.0f32; UNIT_COUNT];
    for s in history.within(opened_ns, shut_ns) {
        for k in (0..UNIT_COUNT).filter(|&k| stretch.counted[k]) {
            reach[k] = reach[k].max(rests.above(s, k));
        }
    }
    let most = reach.iter().copied().fold(0.0, f32::max);
    let part: [bool; UNIT_COUNT] = std::array::from_fn(|k| reach[k] > 0.0 && reach[k] >= PART * most);
    let parts = || (0..UNIT_COUNT).filter(|&k| part[k]);
    let signal = history.signal(|s| parts().map(|k| rests.above(s, k)).sum());
    let ([onset_ns, apex_ns, offset_ns], height) = times(&signal, opened_ns, shut_ns)?;
    let all = history.around(apex_ns, |s, k| rests.above(s, k));
    let quiet: Vec<f32> = signal.iter().filter(|(t, _)| calm.contains(t)).map(|(_, v)| v * v).collect();
    let noise = (quiet.iter().sum::<f32>() / quiet.len().max(1) as f32).sqrt();
    let gap_ms = |least: f32| {
        let alike = |(at_ns, strength): (i64, f32)| (strength >= least).then_some(at_ns);
        let since = stretch.previous.and_then(alike).map_or(1000.0, |p| (onset_ns - p) as f32 / 1e6);
        let next = stretch.next.and_then(alike).map_or(1000.0, |n| (n - offset_ns) as f32 / 1e6);
        since.min(next).clamp(0.0, 1000.0)
    };
    let (head, travel) = history.head(onset_ns, offset_ns);
    let during = history.within(onset_ns, offset_ns);
    let quality = during.clone().map(|s| s.context.quality).fold(1.0, f32::min);
    let measures = Measures {
        duration_ms: (offset_ns - onset_ns) as f32 / 1e6,
        contrast: height / noise.max(1e-3),
        strongest: all.iter().copied().fold(0.0, f32::max),
        // A lid that tightens by itself reads as a little of AU 45 too; lips that talk pull at lip and chin all the time.
        lids: lead(&all, &[45], &[7, 5], LIDS_DRAG),
        jaw: lead(&all, &[25, 26], &[16, 17], 0.0),
        misfit: misfit(&signal, [onset_ns, apex_ns, offset_ns], height),
        step: 1.0 / height * parts().map(|k| after.levels[k] - before.levels[k]).sum::<f32>(),
        gap_ms: gap_ms(ALIKE * stretch.strength),
        any_gap_ms: gap_ms(0.0),
        head,
        travel,
        light: (after.light - before.light).abs(),
        flash: during.clone().map(|s| (s.context.light - rests.light(s.at_ns)).abs()).fold(0.0, f32::max),
        quality,
        drop: before.quality - quality,
        outliers: during.map(|s| s.context.outliers - before.outliers).fold(0.0, f32::max),
    };
    let peak = std::array::from_fn(|k| if part[k] { all[k].max(0.0) } else { 0.0 });
    Some(Candidate { kind: Kind::Micro, onset_ns, apex_ns, offset_ns, peak, measures })
}

/// Onset, apex and offset of what is highest while the gate is open, and its height.
fn times(signal: &[(i64, f32)], opened_ns: i64, shut_ns: i64) -> Option<([i64; 3], f32)> {
    let top = (0..signal.len())
        .filter(|&i| (opened_ns..=shut_ns).contains(&signal[i].0))
        .max_by(|&a, &b| signal[a].1.total_cmp(&signal[b].1))?;
    let height = signal[top].1;
    if height <= 0.0 {
        return None;
    }
    // A raised cosine is at 25 % after a third and at 75 % after two thirds of its rise: both its
    // ends lie one third of the rise further.
    let ends = |forward: bool| {
        let low = crossing(signal, top, 0.25 * height, forward)?;
        let high = crossing(signal, top, 0.75 * height, forward)?;
        Some((2.0 * low - high, 2.0 * high - low))
    };
    let (rise, fall) = (ends(false), ends(true));
    let onset = rise.map_or(opened_ns as f64, |(foot, _)| foot) as i64;
    let offset = fall.map_or(shut_ns as f64, |(foot, _)| foot) as i64;
    let apex = match (rise, fall) {
        (Some((_, a)), Some((_, b))) => (0.5 * (a + b)) as i64,
        _ => signal[top].0,
    };
    Some(([onset.min(apex), apex, offset.max(apex)], height))
}

/// Time at which the signal crosses a level, walking away from the apex.
fn crossing(signal: &[(i64, f32)], top: usize, level: f32, forward: bool) -> Option<f64> {
    let mut i = top;
    loop {
        let next = if forward { i + 1 } else { i.checked_sub(1)? };
        let (&(t0, v0), &(t1, v1)) = (signal.get(i)?, signal.get(next)?);
        if v1 <= level {
            let f = f64::from((v0 - level) / (v0 - v1).max(1e-6));
            return Some(t0 as f64 + f * (t1 - t0) as f64);
        }
        i = next;
    }
}

/// What a raised cosine of these times and this height leaves of the signal, as a share of its energy.
fn misfit(signal: &[(i64, f32)], [onset, apex, offset]: [i64; 3], height: f32) -> f32 {
    let (mut left, mut energy) = (0.0, 1e-9);
    let margin = (offset - onset) / 8;
    for &(t, v) in signal.iter().filter(|(t, _)| (onset - margin..=offset + margin).contains(t)) {
        let phase = if t <= onset || t >= offset {
            0.0
        } else if t < apex {
            (t - onset) as f32 / (apex - onset).max(1) as f32
        } else {
            (offset - t) as f32 / (offset - apex).max(1) as f32
        };
        let model = height * (0.5 - 0.5 * (std::f32::consts::PI * phase).cos());
        left += (v - model) * (v - model);
        energy += model * model;
    }
    left / energy
}

/// Strongest unit of `aus` over the strongest one of all others. Of `along`, which they drag with them, the share `counts`
/// counts.
pub(super) fn lead(peak: &[f32; UNIT_COUNT], aus: &[u8], along: &[u8], counts: f32) -> f32 {
    let strongest = |pick: &dyn Fn(u8) -> bool| {
        UNITS.iter().zip(peak).filter(|(u, _)| pick(u.au)).map(|(_, i)| *i).fold(0.0f32, f32::max)
    };
    let others = strongest(&|au| !aus.contains(&au) && !along.contains(&au));
    strongest(&|au| aus.contains(&au)) / others.max(counts * strongest(&|au| along.contains(&au))).max(0.05)
}
