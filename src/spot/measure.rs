//! When a movement began, was greatest and ended, and what it is judged by.

use super::history::{CELLS, History, Rest, Sample};
use super::pattern::{self, Pattern};
use super::rigid;
use super::{Candidate, Context, ns};
use crate::au::{AU_COUNT, AUS, Side, UNIT_COUNT, UNITS};
use crate::event::Kind;
use crate::gate::{Gate, Swing};
use crate::intensity::by_au;

/// What a candidate is judged by, in the order of the judge's inputs. Times are in ms, `ln` is a natural logarithm, heights
/// and intensities run from 0 to 5, "share" is of the height or of the strongest unit.
pub const NAMES: [&str; FIXED + AU_COUNT] = {
    const WORDS: [&str; FIXED] = [
        "ln_duration",
        "ln_rise",
        "ln_fall",
        "rise_share",
        "ln_height",
        "ln_strongest",
        "ln_height_over_noise",
        "ln_strongest_over_deviation",
        "residual",
        "step",
        "slope_before",
        "slope_after",
        "ln_frames",
        "units",
        "same_before",
        "same_after",
        "any_before",
        "any_after",
        "mouth_before",
        "mouth_after",
        "jaw_around",
        "lids_around",
        "opposite",
        "asymmetry",
        "head_x",
        "head_y",
        "head_zoom",
        "head_roll",
        "head_deviation",
        "head_travel",
        "head_speed_before",
        "head_likeness",
        "ln_motion",
        "similarity",
        "affine",
        "plane",
        "rigid_head",
        "ln_left",
        "concentration",
        "upper_share",
        "light_step",
        "light_flash",
        "quality_least",
        "quality_drop",
        "outliers_rise",
        "ln_rate",
        "ln_eye_distance",
        "ln_deviation",
        "pattern_share",
        "pattern_residual",
        "ln_pattern_over_noise",
        "pattern_step",
        "pattern_before",
        "pattern_after",
    ];
    let mut out = [""; FIXED + AU_COUNT];
    let mut k = 0;
    while k < FIXED {
        out[k] = WORDS[k];
        k += 1;
    }
    const APEX: [&str; AU_COUNT] = [
        "au01", "au02", "au04", "au05", "au06", "au07", "au09", "au10", "au12", "au14", "au15", "au16",
        "au17", "au18", "au20", "au23", "au24", "au25", "au26", "au45",
    ];
    while k < FIXED + AU_COUNT {
        out[k] = APEX[k - FIXED];
        k += 1;
    }
    out
};

/// Measures before those of each AU at the apex.
const FIXED: usize = 54;
/// Number of measures.
pub const MEASURES: usize = NAMES.len();

/// The measures of one candidate, in the order of [`NAMES`].
pub type Measures = [f32; MEASURES];

/// A measure by its name in [`NAMES`].
pub(super) fn named(measures: &Measures, name: &str) -> f32 {
    NAMES.iter().zip(measures).find(|(n, _)| **n == name).map_or(0.0, |(_, m)| *m)
}

/// Units below this share of the strongest one take no part in a movement.
const PART: f32 = 0.35;
/// The level of rest is taken over so long before the onset and after the offset,
const REST_MS: f32 = 130.0;
/// apart from them by so much.
const GUARD_MS: f32 = 6.0;
/// What happened before a movement is looked at so far back.
const BEFORE_MS: f32 = 600.0;
/// So much of a face has to be known before an onset: the rest before it, and as much again.
pub(super) const KNOWN_NS: i64 = 2_000_000 * REST_MS as i64;
/// Intensities at the apex are averaged over so much to both sides.
const APEX_MS: f32 = 15.0;

/// Swings that rise and fall together.
pub(super) struct Group {
    pub lead: Swing,
    pub members: Vec<Swing>,
}

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

    /// What a number would be at a time without the movement.
    fn between(&self, at_ns: i64, value: impl Fn(&Rest) -> f32) -> f32 {
        let (from, to) = (value(&self.before), value(&self.after));
        from + self.share(at_ns) * (to - from)
    }

    /// How far a frame's unit is above what it would read without the movement.
    fn above(&self, s: &Sample, k: usize) -> f32 {
        s.levels[k] - self.between(s.at_ns, |r| r.levels[k])
    }
}

/// Times, intensities and measures of a group; `None` where nothing rises in it.
pub(super) fn measure(history: &History, gate: &Gate, group: &Group) -> Option<Candidate> {
    let lead = &group.lead;
    let strongest = group.members.iter().map(Swing::height).fold(0.0, f32::max);
    let mut part = [false; UNIT_COUNT];
    for m in group.members.iter().filter(|m| m.height() >= PART * strongest) {
        part[m.unit] = true;
    }
    let parts = || (0..UNIT_COUNT).filter(|&k| part[k]);
    let from_ns = lead.low.0 - ns(BEFORE_MS + 2.0 * REST_MS);
    let signal = history.signal(from_ns, i64::MAX, |s| parts().map(|k| s.levels[k]).sum());
    // First from the lowest levels on both sides, then from the rest next to the onset and the offset that they give.
    let [_, low, after] =
        [lead.top.0, lead.low.0, lead.after.0].map(|t| level(&signal, t - ns(15.0), t + ns(15.0)));
    let first = times(&signal, lead, [(lead.low.0, low?), (lead.after.0, after?)])?;
    let sides = |[onset, _, offset]: [i64; 3]| {
        let (rest, guard) = (ns(REST_MS), ns(GUARD_MS));
        [(onset - rest, onset - guard), (offset + guard, offset + rest)]
    };
    let [left, right] = sides(first);
    let (low, after) = (level(&signal, left.0, left.1).or(low)?, level(&signal, right.0, right.1).or(after)?);
    let [onset_ns, apex_ns, offset_ns] =
        times(&signal, lead, [(first[0], low), (first[2], after)]).unwrap_or(first);
    let [left, right] = sides([onset_ns, apex_ns, offset_ns]);
    let rests = Rests { before: history.rest(left.0, left.1)?, after: history.rest(right.0, right.1)? };

    let apex = history.rest(apex_ns - ns(APEX_MS), apex_ns + ns(APEX_MS))?;
    let all: [f32; UNIT_COUNT] =
        std::array::from_fn(|k| apex.levels[k] - rests.between(apex.at_ns, |r| r.levels[k]));
    let motion: [f32; 2 * CELLS] =
        std::array::from_fn(|k| apex.motion[k] - rests.between(apex.at_ns, |r| r.motion[k]));
    let times = [onset_ns, apex_ns, offset_ns];
    let view = View { history, gate, rests: &rests, part: &part, signal: &signal, times };
    let measures = view.measures(&all, &motion)?;
    let peak = std::array::from_fn(|k| if part[k] { all[k].max(0.0) } else { 0.0 });
    Some(Candidate {
        kind: Kind::Micro,
        onset_ns,
        apex_ns,
        offset_ns,
        peak,
        measures: Box::new(measures),
        inner_plane: rigid::inner_plane(&motion),
        cause: None,
        score: 0.0,
    })
}

/// What the measures are taken of.
struct View<'a> {
    history: &'a History,
    gate: &'a Gate,
    rests: &'a Rests,
    part: &'a [bool; UNIT_COUNT],
    signal: &'a [(i64, f32)],
    times: [i64; 3],
}

impl View<'_> {
    fn measures(&self, all: &[f32; UNIT_COUNT], motion: &[f32; 2 * CELLS]) -> Option<Measures> {
        let [onset, apex, offset] = self.times;
        let Self { rests, part, .. } = *self;
        let ms = |ns: i64| ns as f32 / 1e6;
        let parts = || (0..UNIT_COUNT).filter(|&k| part[k]);
        let sum = |f: &dyn Fn(usize) -> f32| parts().map(f).sum::<f32>();
        let strongest = parts().map(|k| all[k]).fold(0.0, f32::max).max(0.02);
        let height = sum(&|k| all[k]).max(0.02);
        let deviation = sum(&|k| self.gate.deviation(k).powi(2)).sqrt().max(1e-3);
        let above: Vec<(i64, f32)> = self
            .signal
            .iter()
            .map(|&(t, v)| (t, v - rests.between(t, |r| parts().map(|k| r.levels[k]).sum())))
            .collect();
        let calm = ns(REST_MS);
        let noise = spread(
            above
                .iter()
                .filter(|(t, _)| (onset - calm..onset).contains(t) || (offset..offset + calm).contains(t)),
        );
        let during = self.history.within(onset, offset);
        let frames = during.clone().count();
        let span = |from: i64, to: i64| {
            let values = || above.iter().filter(|(t, _)| (from..=to).contains(t)).map(|(_, v)| *v);
            (values().fold(f32::MAX, f32::min), values().fold(f32::MIN, f32::max))
        };
        let range = |from, to| {
            let (least, most) = span(from, to);
            if most < least { 0.0 } else { (most - least) / height }
        };
        let before = onset - ns(BEFORE_MS);
        let guard = ns(2.0 * GUARD_MS);
        let part_energy: f32 = sum(&|k| all[k].max(0.0).powi(2));
        let (explained, left) = rigid::explain(motion);
        let pattern = self.pattern(motion);
        let head = self.head();
        let context = |f: &dyn Fn(&Context) -> f32| f(&rests.after.context) - f(&rests.before.context);
        let quality = during.clone().map(|s| s.context.quality).fold(1.0, f32::min);
        let flash = during
            .clone()
            .map(|s| (s.context.light - rests.between(s.at_ns, |r| r.context.light)).abs())
            .fold(0.0, f32::max);
        let outliers = during.map(|s| s.context.outliers).fold(0.0, f32::max) - rests.before.context.outliers;
        let rate = frames as f32 / (ms(offset - onset) / 1e3).max(1e-3);
        let apexes = by_au(all);
        let fixed: [f32; FIXED] = [
            ms(offset - onset).max(1.0).ln(),
            ms(apex - onset).max(1.0).ln(),
            ms(offset - apex).max(1.0).ln(),
            ms(apex - onset) / ms(offset - onset).max(1.0),
            height.ln(),
            strongest.ln(),
            (height / noise.max(0.01)).ln(),
            parts().map(|k| all[k].max(0.0) / self.gate.deviation(k).max(1e-3)).fold(0.1, f32::max).ln(),
            residual(&above, self.times, height),
            sum(&|k| rests.after.levels[k] - rests.before.levels[k]) / height,
            slope(&above, onset - ns(250.0), onset) / height,
            slope(&above, offset, offset + ns(180.0)) / height,
            (frames.max(1) as f32).ln(),
            height.powi(2) / part_energy.max(1e-6),
            range(before, onset - guard),
            range(offset + guard, i64::MAX),
            self.activity(before, onset - guard, &|_| true) / strongest,
            self.activity(offset + guard, i64::MAX, &|_| true) / strongest,
            self.activity(before, onset - guard, &|au| MOUTH.contains(&au)) / strongest,
            self.activity(offset + guard, i64::MAX, &|au| MOUTH.contains(&au)) / strongest,
            self.activity(before, i64::MAX, &|au| JAW.contains(&au)),
            self.reach(onset - ns(300.0), i64::MAX, 45),
            -all.iter().copied().fold(0.0, f32::min) / strongest,
            asymmetry(all, part),
            head.apex[0],
            head.apex[1],
            head.apex[2],
            head.apex[3],
            head.deviation,
            head.travel,
            head.speed_before,
            head.likeness,
            (rms(motion) + 1e-3).ln(),
            explained.similarity,
            explained.affine,
            explained.plane,
            explained.head,
            (explained.left + 1e-3).ln(),
            concentration(&left),
            upper_share(&left),
            context(&|c| c.light).abs(),
            flash,
            quality,
            rests.before.context.quality - quality,
            outliers,
            rate.max(1.0).ln(),
            rests.before.context.eye_distance_px.max(1.0).ln(),
            (deviation / (parts().count() as f32).sqrt()).ln(),
            pattern.share,
            pattern.residual,
            pattern.signal_to_noise.max(0.1).ln(),
            pattern.step,
            pattern.around[0],
            pattern.around[1],
        ];
        let mut out = [0.0; MEASURES];
        out[..FIXED].copy_from_slice(&fixed);
        out[FIXED..].iter_mut().zip(apexes).for_each(|(o, a)| *o = (a / strongest).clamp(0.0, 4.0));
        let finite = out.iter().all(|v| v.is_finite());
        finite.then_some(out)
    }

    /// How much the units of some AUs vary between two times: the root of the sum of their variances.
    fn activity(&self, from_ns: i64, to_ns: i64, pick: &dyn Fn(u8) -> bool) -> f32 {
        let (mut n, mut sums, mut squares) = (0.0f32, [0.0f32; UNIT_COUNT], [0.0f32; UNIT_COUNT]);
        for s in self.history.within(from_ns, to_ns) {
            n += 1.0;
            for k in 0..UNIT_COUNT {
                sums[k] += s.levels[k];
                squares[k] += s.levels[k] * s.levels[k];
            }
        }
        if n < 2.0 {
            return 0.0;
        }
        let variance = |k: usize| (squares[k] / n - (sums[k] / n).powi(2)).max(0.0);
        (0..UNIT_COUNT).filter(|&k| pick(UNITS[k].au)).map(variance).sum::<f32>().sqrt()
    }

    /// Greatest rise of an AU over the rest between two times.
    fn reach(&self, from_ns: i64, to_ns: i64, au: u8) -> f32 {
        let units = || (0..UNIT_COUNT).filter(|&k| UNITS[k].au == au);
        let above = self.history.within(from_ns, to_ns).flat_map(|s| units().map(|k| self.rests.above(s, k)));
        above.fold(0.0, f32::max)
    }

    /// The course of the motion, of which `apex` is that at the apex above rest.
    fn pattern(&self, apex: &[f32; 2 * CELLS]) -> Pattern {
        let [onset_ns, apex_ns, offset_ns] = self.times;
        let rests = self.rests;
        let frames = |from_ns: i64, to_ns: i64| -> Vec<pattern::MotionFrame> {
            let above = |s: &Sample| pattern::MotionFrame {
                at_ns: s.at_ns,
                motion: std::array::from_fn(|k| s.motion[k] - rests.between(s.at_ns, |r| r.motion[k])),
            };
            self.history.within(from_ns, to_ns).map(above).collect()
        };
        let (calm, guard) = (ns(REST_MS), ns(GUARD_MS));
        let [before, during, after] = [
            frames(onset_ns - calm, onset_ns - guard),
            frames(onset_ns, offset_ns),
            frames(offset_ns + guard, offset_ns + calm),
        ];
        let step = std::array::from_fn(|k| rests.after.motion[k] - rests.before.motion[k]);
        let course = |at_ns| raised_cosine(at_ns, [onset_ns, apex_ns, offset_ns]);
        pattern::measure(apex, &step, [&before, &during, &after], course)
    }

    fn head(&self) -> Head {
        let [onset, apex, offset] = self.times;
        let rests = self.rests;
        let place = |c: &Context| [c.head[0], c.head[1], c.pose[0], c.pose[1]];
        let off = |s: &Sample| -> [f32; 4] {
            let now = place(&s.context);
            std::array::from_fn(|k| now[k] - rests.between(s.at_ns, |r| place(&r.context)[k]))
        };
        let norm = |p: [f32; 4]| p.iter().map(|v| v * v).sum::<f32>().sqrt();
        let mut head = Head::default();
        let mut nearest = i64::MAX;
        let mut likeness = [[0.0f32; 2]; 4];
        for s in self.history.within(onset, offset) {
            let d = off(s);
            head.deviation = head.deviation.max(norm(d));
            if (s.at_ns - apex).abs() < nearest {
                nearest = (s.at_ns - apex).abs();
                head.apex = d.map(f32::abs);
            }
            let signal: f32 = (0..UNIT_COUNT).filter(|&k| self.part[k]).map(|k| rests.above(s, k)).sum();
            for (l, d) in likeness.iter_mut().zip(d) {
                *l = [l[0] + signal * d, l[1] + d * d];
            }
            head.energy += signal * signal;
        }
        let (from, to) = (place(&rests.before.context), place(&rests.after.context));
        head.travel = norm(std::array::from_fn(|k| to[k] - from[k]));
        let cosine = |[product, square]: [f32; 2]| product.abs() / (square * head.energy).sqrt().max(1e-6);
        head.likeness = likeness.map(cosine).into_iter().fold(0.0, f32::max);
        let frames = self.history.within(onset - ns(300.0), onset);
        let (mut path, mut last, mut first_ns) = (0.0, None::<&Sample>, onset);
        for s in frames {
            if let Some(l) = last {
                let (a, b) = (place(&l.context), place(&s.context));
                path += norm(std::array::from_fn(|k| b[k] - a[k]));
            } else {
                first_ns = s.at_ns;
            }
            last = Some(s);
        }
        head.speed_before = path / ((onset - first_ns) as f32 / 1e9).max(0.05);
        head
    }
}

/// What the head did meanwhile: place in eye distances, zoom, roll in radians.
#[derive(Default)]
struct Head {
    /// How far it was from its path at the apex.
    apex: [f32; 4],
    /// Greatest deviation from the straight path.
    deviation: f32,
    /// Length of that path.
    travel: f32,
    /// Speed before the onset, per second.
    speed_before: f32,
    /// Greatest likeness of one coordinate's course and the movement's, 0 to 1.
    likeness: f32,
    energy: f32,
}

/// What talks: jaw, lips and chin.
const MOUTH: [u8; 8] = [16, 17, 18, 20, 23, 24, 25, 26];
/// Jaw and parting lips.
const JAW: [u8; 2] = [25, 26];

/// Mean of the signal between two times; `None` without a frame there.
fn level(signal: &[(i64, f32)], from_ns: i64, to_ns: i64) -> Option<f32> {
    let (mut n, mut sum) = (0.0, 0.0);
    for (_, v) in signal.iter().filter(|(t, _)| (from_ns..=to_ns).contains(t)) {
        (n, sum) = (n + 1.0, sum + v);
    }
    (n > 0.0).then(|| sum / n)
}

/// Root mean square about the mean.
fn spread<'a>(values: impl Iterator<Item = &'a (i64, f32)>) -> f32 {
    let (mut n, mut sum, mut squares) = (0.0f32, 0.0f32, 0.0f32);
    for (_, v) in values {
        (n, sum, squares) = (n + 1.0, sum + v, squares + v * v);
    }
    (squares / n.max(1.0) - (sum / n.max(1.0)).powi(2)).max(0.0).sqrt()
}

/// Least-squares change over a span of time.
fn slope(signal: &[(i64, f32)], from_ns: i64, to_ns: i64) -> f32 {
    let span = || signal.iter().filter(|(t, _)| (from_ns..=to_ns).contains(t));
    let n = span().count() as f32;
    if n < 3.0 {
        return 0.0;
    }
    let length = (to_ns - from_ns) as f32;
    let at = |t: i64| (t - from_ns) as f32 / length;
    let (mt, mv) = (span().map(|(t, _)| at(*t)).sum::<f32>() / n, span().map(|(_, v)| v).sum::<f32>() / n);
    let product: f32 = span().map(|(t, v)| (at(*t) - mt) * (v - mv)).sum();
    product / span().map(|(t, _)| (at(*t) - mt).powi(2)).sum::<f32>().max(1e-6)
}

fn rms(values: &[f32]) -> f32 {
    (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt()
}

/// Share of a motion's energy in the tenth of the cells that move most.
fn concentration(motion: &[f32; 2 * CELLS]) -> f32 {
    let mut energy: [f32; CELLS] = std::array::from_fn(|k| motion[k].powi(2) + motion[CELLS + k].powi(2));
    let total: f32 = energy.iter().sum();
    energy.sort_unstable_by(|a, b| b.total_cmp(a));
    energy[..CELLS / 10].iter().sum::<f32>() / total.max(1e-9)
}

/// Share of a motion's energy in the upper half of the crop: brows, lids, root of the nose.
fn upper_share(motion: &[f32; 2 * CELLS]) -> f32 {
    let energy = |from: usize, to: usize| {
        (from..to).map(|k| motion[k].powi(2) + motion[CELLS + k].powi(2)).sum::<f32>()
    };
    energy(0, CELLS / 2) / energy(0, CELLS).max(1e-9)
}

/// Difference of the two sides over their sum, of the units that take part.
fn asymmetry(all: &[f32; UNIT_COUNT], part: &[bool; UNIT_COUNT]) -> f32 {
    let (mut difference, mut sum) = (0.0, 0.0);
    for au in AUS {
        let side = |s: Side| UNITS.iter().position(|u| u.au == au && u.side == s);
        if let (Some(l), Some(r)) = (side(Side::Left), side(Side::Right))
            && (part[l] || part[r])
        {
            difference += (all[l] - all[r]).abs();
            sum += all[l].abs() + all[r].abs();
        }
    }
    difference / f32::max(sum, 1e-3)
}

/// Onset, apex and offset of what is highest about a swing, above the line between two points of rest.
fn times(signal: &[(i64, f32)], lead: &Swing, [from, to]: [(i64, f32); 2]) -> Option<[i64; 3]> {
    let span = (to.0 - from.0).max(1) as f64;
    let rest = |t: i64| {
        let share = ((t - from.0) as f64 / span).clamp(0.0, 1.0) as f32;
        from.1 + share * (to.1 - from.1)
    };
    let above = |i: usize| signal[i].1 - rest(signal[i].0);
    let reach = lead.rose_ns - ns(SMOOTHED_MS)..=lead.fell_ns + ns(SMOOTHED_MS);
    let top = (0..signal.len())
        .filter(|&i| reach.contains(&signal[i].0))
        .max_by(|&a, &b| above(a).total_cmp(&above(b)))?;
    let height = above(top);
    if height <= 0.0 {
        return None;
    }
    // A raised cosine is at 25 % after a third and at 75 % after two thirds of its rise: both its ends lie one third of
    // the rise further.
    let ends = |forward: bool| {
        let cross = |level: f32| {
            let mut i = top;
            loop {
                let next = if forward { i + 1 } else { i.checked_sub(1)? };
                let (v0, v1) = (above(i), if next < signal.len() { above(next) } else { return None });
                if v1 <= level {
                    let share = f64::from((v0 - level) / (v0 - v1).max(1e-6));
                    return Some(signal[i].0 as f64 + share * (signal[next].0 - signal[i].0) as f64);
                }
                i = next;
            }
        };
        let (low, high) = (cross(0.25 * height)?, cross(0.75 * height)?);
        Some((2.0 * low - high, 2.0 * high - low))
    };
    let (rise, fall) = (ends(false), ends(true));
    let onset = rise.map_or(lead.low.0 as f64, |(foot, _)| foot) as i64;
    let offset = fall.map_or(lead.after.0 as f64, |(foot, _)| foot) as i64;
    let apex = match (rise, fall) {
        (Some((_, a)), Some((_, b))) => (0.5 * (a + b)) as i64,
        _ => signal[top].0,
    };
    Some([onset.min(apex), apex, offset.max(apex)])
}

/// The gate sees a movement later than it is by so much at most.
const SMOOTHED_MS: f32 = 30.0;

/// A movement of height 1 that rises and falls by half a period of a cosine each.
fn raised_cosine(t: i64, [onset, apex, offset]: [i64; 3]) -> f32 {
    let phase = if t <= onset || t >= offset {
        0.0
    } else if t < apex {
        (t - onset) as f32 / (apex - onset).max(1) as f32
    } else {
        (offset - t) as f32 / (offset - apex).max(1) as f32
    };
    0.5 - 0.5 * (std::f32::consts::PI * phase).cos()
}

/// What a raised cosine of these times and this height leaves of the signal, as a share of its energy, at most 1.
fn residual(above: &[(i64, f32)], [onset, apex, offset]: [i64; 3], height: f32) -> f32 {
    let (mut left, mut energy) = (0.0, 1e-9);
    let margin = (offset - onset) / 8;
    for &(t, v) in above.iter().filter(|(t, _)| (onset - margin..=offset + margin).contains(t)) {
        let model = height * raised_cosine(t, [onset, apex, offset]);
        left += (v - model) * (v - model);
        energy += model * model;
    }
    (left / energy).min(1.0)
}
