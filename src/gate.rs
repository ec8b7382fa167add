//! The gate: which units rise above their own rest of the last half second, and when they fall back.
//!
//! A living face is never at one level: expressions are held, heads turn, light and gaze change. What counts is how far a
//! unit rises above the level just before it and falls again, against the variation that this face shows at that time
//! scale. A unit that does not fall back is a new rest after 0.4 s; it blinds itself meanwhile and no other unit.

use std::collections::VecDeque;

use crate::au::UNIT_COUNT;

/// Levels are averaged over so long: noise of single frames is no rise.
const SMOOTH_NS: i64 = 24_000_000;
/// Rest is the lowest level within so long before a movement, and within so long after it.
pub(crate) const REACH_NS: i64 = 500_000_000;
/// A unit that has been above its floor for so long without having fallen by half is held.
const HELD_NS: i64 = 400_000_000;
/// A held level counts as rest from so long before it was found to be held.
const SETTLED_NS: i64 = 100_000_000;
/// A fall has ended when it has not gone on for so long.
const SETTLE_NS: i64 = 60_000_000;
/// Levels are kept so long.
const KEEP_NS: i64 = 1_500_000_000;
/// The variation of a unit is how far its level departs from the mean of its levels so long before and after.
const VARIATION_NS: i64 = 120_000_000;
/// Time constant of its running median.
const VARIATION_SECONDS: f32 = 1.5;
/// Least and greatest running median.
const VARIATION_RANGE: (f32, f32) = (0.004, 0.5);
/// Standard deviation of a level over the median absolute deviation of that second difference, of independent normal levels:
/// 1.4826 / sqrt(1.5).
const DEVIATION: f32 = 1.21;
/// A rise counts from so many standard deviations of this face.
const DEVIATIONS: f32 = 5.0;
/// What the face's own variation can ask for at most: a face that talks still smiles.
const GREATEST_FLOOR: f32 = 0.6;
/// Time constant with which the long baseline follows a unit that is at rest, in seconds,
const BASELINE_SECONDS: f32 = 0.7;
/// and one that is up, or drawn down by one that is.
const HELD_SECONDS: f32 = 15.0;
/// A long movement has ended when it has fallen to this share of its greatest extent.
const LONG_FALLEN: f32 = 0.4;
/// Least height of a long movement, in floors and in intensities.
const LONG_LEAST: (f32, f32) = (2.0, 0.5);
/// A unit that is up for longer has a new baseline.
const LONGEST_NS: i64 = 30_000_000_000;

/// A unit that rose and fell within half a second each.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Swing {
    /// Index in `glint::au::UNITS`.
    pub unit: usize,
    /// Lowest intensity before (0 to 5), after its time in ns.
    pub low: (i64, f32),
    /// Greatest intensity, after its time in ns.
    pub top: (i64, f32),
    /// Lowest intensity after it, after its time in ns.
    pub after: (i64, f32),
    /// When it crossed half of its height upwards.
    pub rose_ns: i64,
    /// When it crossed half of its height downwards.
    pub fell_ns: i64,
}

impl Swing {
    /// Height over the higher one of the intensities before and after, 0 to 5.
    pub fn height(&self) -> f32 {
        self.top.1 - self.low.1.max(self.after.1)
    }
}

/// A unit that was up for longer than a micro-expression.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LongSwing {
    /// Index in `glint::au::UNITS`.
    pub unit: usize,
    /// When it rose above its floor.
    pub from_ns: i64,
    /// Greatest intensity above the long baseline (0 to 5), after its time in ns.
    pub top: (i64, f32),
    /// When it had fallen.
    pub to_ns: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Rest,
    Rise,
    Fall,
}

/// What a unit is doing.
#[derive(Debug, Clone, Copy)]
struct Course {
    phase: Phase,
    /// Levels before this time are no rest of the next movement.
    from_ns: i64,
    /// When it rose above its floor.
    since_ns: i64,
    low: (i64, f32),
    top: (i64, f32),
    after: (i64, f32),
}

#[derive(Debug, Clone, Copy)]
struct Row {
    at_ns: i64,
    levels: [f32; UNIT_COUNT],
}

/// The gate of one track.
#[derive(Debug, Clone)]
pub struct Gate {
    thresholds: [f32; UNIT_COUNT],
    /// Levels as they were measured, of the last [`SMOOTH_NS`].
    recent: VecDeque<Row>,
    /// Smoothed levels of the last [`KEEP_NS`].
    rows: VecDeque<Row>,
    /// Running median of the variation.
    variation: [f32; UNIT_COUNT],
    courses: [Course; UNIT_COUNT],
    swings: Vec<Swing>,
    /// The long baseline: what users see is above it.
    baseline: [f32; UNIT_COUNT],
    long: [Option<LongSwing>; UNIT_COUNT],
    /// Whether a unit was as high above the baseline in the last frame as a long movement is.
    was_high: [bool; UNIT_COUNT],
    long_swings: Vec<LongSwing>,
}

impl Gate {
    /// A closed gate that knows nothing of the face.
    pub fn new(thresholds: [f32; UNIT_COUNT]) -> Self {
        let none = (i64::MIN, 0.0);
        let rest = Course {
            phase: Phase::Rest,
            from_ns: i64::MIN,
            since_ns: i64::MIN,
            low: none,
            top: none,
            after: none,
        };
        Self {
            thresholds,
            recent: VecDeque::with_capacity(16),
            rows: VecDeque::with_capacity(512),
            variation: [0.03; UNIT_COUNT],
            courses: [rest; UNIT_COUNT],
            swings: Vec::with_capacity(UNIT_COUNT),
            baseline: [0.0; UNIT_COUNT],
            long: [None; UNIT_COUNT],
            was_high: [false; UNIT_COUNT],
            long_swings: Vec::with_capacity(UNIT_COUNT),
        }
    }

    /// Standard deviation of a unit's intensity at the time scale of a micro-expression, in intensities of 0 to 5.
    pub fn deviation(&self, unit: usize) -> f32 {
        DEVIATION * self.variation[unit]
    }

    /// Minimum recognisable intensity of a unit, 0 to 5.
    pub fn least(&self, unit: usize) -> f32 {
        self.thresholds[unit]
    }

    /// Rise from which a unit counts: its minimum recognisable intensity, or what the variation of this face asks for.
    pub fn floor(&self, unit: usize) -> f32 {
        self.thresholds[unit].max((DEVIATIONS * self.deviation(unit)).min(GREATEST_FLOOR))
    }

    /// Takes note of what a neutral face says that is known better than the long baseline: at `levels`, intensities are `above` it.
    /// What users see follows from the next frame on. A unit that has seemed to be up since `since_ns` or later, against another
    /// reference, and is not, was never up. Rest and movements are of levels alone, which go on.
    pub(crate) fn correct(&mut self, levels: &[f32; UNIT_COUNT], above: &[f32; UNIT_COUNT], since_ns: i64) {
        self.baseline = std::array::from_fn(|unit| levels[unit] - above[unit]);
        for (long, above) in self.long.iter_mut().zip(above) {
            long.take_if(|l| l.from_ns >= since_ns && *above < LONG_FALLEN * l.top.1);
        }
    }

    /// Whether any unit is on its way up or down.
    pub fn is_open(&self) -> bool {
        self.courses.iter().any(|c| c.phase != Phase::Rest)
    }

    /// When the first unit that is on its way began to rise; `None` of a closed gate.
    pub fn open_since_ns(&self) -> Option<i64> {
        self.courses.iter().filter(|c| c.phase != Phase::Rest).map(|c| c.low.0).min()
    }

    /// Whether a unit is above the long baseline by as much as a long movement is.
    pub fn is_up(&self, unit: usize) -> bool {
        self.long[unit].is_some()
    }

    /// When the first unit that is up rose; `None` where none is.
    pub fn long_since_ns(&self) -> Option<i64> {
        self.long.iter().flatten().map(|l| l.from_ns).min()
    }

    /// Takes the intensities of a frame, one per unit of [`UNITS`](crate::au::UNITS), and gives them above the long baseline. [`Gate::swings`] and [`Gate::long_swings`] are
    /// those that ended with it.
    pub fn update(&mut self, at_ns: i64, levels: &[f32; UNIT_COUNT]) -> [f32; UNIT_COUNT] {
        self.swings.clear();
        self.long_swings.clear();
        let dt_s = self.rows.back().map_or(0.0, |r| (at_ns - r.at_ns) as f32 / 1e9).clamp(0.0, 0.5);
        if self.rows.is_empty() {
            self.baseline = *levels;
        }
        let now = self.smoothed(at_ns, levels);
        while self.rows.front().is_some_and(|r| at_ns - r.at_ns > KEEP_NS) {
            self.rows.pop_front();
        }
        self.rows.push_back(Row { at_ns, levels: now });
        self.learn(at_ns, dt_s);
        let lowest = self.lowest(at_ns);
        for unit in 0..UNIT_COUNT {
            self.step(unit, at_ns, now[unit], lowest[unit]);
        }
        self.follow(at_ns, dt_s, &now);
        std::array::from_fn(|k| levels[k] - self.baseline[k])
    }

    /// Movements that have ended with the last frame.
    pub fn swings(&self) -> &[Swing] {
        &self.swings
    }

    /// Movements longer than micro-expressions that have ended with the last frame.
    pub fn long_swings(&self) -> &[LongSwing] {
        &self.long_swings
    }

    /// The stream ends: what has fallen by half has ended, and nobody waits for what is still up.
    pub fn finish(&mut self) -> &[Swing] {
        self.swings.clear();
        self.long = [None; UNIT_COUNT];
        for unit in 0..UNIT_COUNT {
            if self.courses[unit].phase == Phase::Fall {
                self.end(unit);
            }
        }
        &self.swings
    }

    fn smoothed(&mut self, at_ns: i64, levels: &[f32; UNIT_COUNT]) -> [f32; UNIT_COUNT] {
        while self.recent.front().is_some_and(|r| at_ns - r.at_ns > SMOOTH_NS) {
            self.recent.pop_front();
        }
        self.recent.push_back(Row { at_ns, levels: *levels });
        let mut mean = [0.0; UNIT_COUNT];
        for row in &self.recent {
            mean.iter_mut().zip(&row.levels).for_each(|(m, l)| *m += l);
        }
        mean.map(|m| m / self.recent.len() as f32)
    }

    /// Levels of the frame nearest to a time, if it is near.
    fn near(&self, at_ns: i64) -> Option<&[f32; UNIT_COUNT]> {
        let after = self.rows.partition_point(|r| r.at_ns < at_ns);
        let rows = [after.checked_sub(1), Some(after)].into_iter().flatten().filter_map(|i| self.rows.get(i));
        let nearest = rows.min_by_key(|r| (r.at_ns - at_ns).abs())?;
        ((nearest.at_ns - at_ns).abs() < VARIATION_NS / 2).then_some(&nearest.levels)
    }

    /// Learns the variation of each unit, at all times: a median is not moved by what happens seldom.
    fn learn(&mut self, at_ns: i64, dt_s: f32) {
        let (Some(now), Some(middle), Some(before)) =
            (self.rows.back(), self.near(at_ns - VARIATION_NS), self.near(at_ns - 2 * VARIATION_NS))
        else {
            return;
        };
        let change = (dt_s / VARIATION_SECONDS).min(0.2);
        let departs: [f32; UNIT_COUNT] =
            std::array::from_fn(|k| (middle[k] - 0.5 * (now.levels[k] + before[k])).abs());
        for (v, d) in self.variation.iter_mut().zip(departs) {
            let factor = if d > *v { 1.0 + change } else { 1.0 / (1.0 + change) };
            *v = (*v * factor).clamp(VARIATION_RANGE.0, VARIATION_RANGE.1);
        }
    }

    /// Lowest level of each unit within reach that counts as rest, and when.
    fn lowest(&self, at_ns: i64) -> [(i64, f32); UNIT_COUNT] {
        let mut out = [(at_ns, f32::MAX); UNIT_COUNT];
        for row in self.rows.iter().rev().take_while(|r| at_ns - r.at_ns <= REACH_NS) {
            for ((o, l), c) in out.iter_mut().zip(&row.levels).zip(&self.courses) {
                if *l < o.1 && row.at_ns >= c.from_ns {
                    *o = (row.at_ns, *l);
                }
            }
        }
        out
    }

    /// One unit, one frame.
    fn step(&mut self, unit: usize, at_ns: i64, level: f32, lowest: (i64, f32)) {
        let floor = self.floor(unit);
        let c = &mut self.courses[unit];
        match c.phase {
            Phase::Rest => {
                if level - lowest.1 >= floor {
                    (c.phase, c.since_ns) = (Phase::Rise, at_ns);
                    (c.low, c.top, c.after) = (lowest, (at_ns, level), (at_ns, level));
                }
            }
            Phase::Rise => {
                if at_ns - c.since_ns > HELD_NS && c.top.1 - level < 0.5 * (c.top.1 - c.low.1) {
                    (c.phase, c.from_ns) = (Phase::Rest, at_ns - SETTLED_NS);
                } else if level > c.top.1 {
                    // What rises for longer than rest reaches back is measured from nearer levels.
                    c.top = (at_ns, level);
                    if at_ns - c.low.0 > REACH_NS {
                        c.low = lowest;
                    }
                    if level - c.low.1 < 0.6 * floor {
                        (c.phase, c.from_ns) = (Phase::Rest, at_ns - SETTLED_NS);
                    }
                } else if c.top.1 - level >= 0.5 * (c.top.1 - c.low.1) {
                    (c.phase, c.after) = (Phase::Fall, (at_ns, level));
                }
            }
            Phase::Fall => {
                let height = c.top.1 - c.low.1;
                if level > c.top.1 {
                    (c.phase, c.top) = (Phase::Rise, (at_ns, level));
                } else if level < c.after.1 {
                    c.after = (at_ns, level);
                }
                let fallen = level <= c.low.1 + 0.1 * height;
                let again = level - c.after.1 > (0.25 * height).max(0.5 * floor);
                let over = at_ns - c.after.0 > SETTLE_NS || at_ns - c.top.0 > REACH_NS;
                if c.phase == Phase::Fall && (fallen || again || over) {
                    self.end(unit);
                }
            }
        }
    }

    /// A unit has fallen: a swing, if it stands out from both sides.
    fn end(&mut self, unit: usize) {
        let floor = self.floor(unit);
        let c = &mut self.courses[unit];
        let (low, top, after) = (c.low, c.top, c.after);
        (c.phase, c.from_ns) = (Phase::Rest, after.0);
        let height = top.1 - low.1.max(after.1);
        if height < floor {
            return;
        }
        let half = top.1 - 0.5 * height;
        let (rose_ns, fell_ns) =
            (self.crossing(unit, low.0, top.0, half, true), self.crossing(unit, top.0, after.0, half, false));
        self.swings.push(Swing { unit, low, top, after, rose_ns, fell_ns });
    }

    /// When a unit crosses a level between two times: upwards the last time, downwards the first time.
    fn crossing(&self, unit: usize, from_ns: i64, to_ns: i64, level: f32, upwards: bool) -> i64 {
        let pairs = self
            .rows
            .iter()
            .zip(self.rows.iter().skip(1))
            .filter(|(a, b)| a.at_ns >= from_ns && b.at_ns <= to_ns);
        let between = |(a, b): (&Row, &Row)| {
            let (p, q) = (a.levels[unit], b.levels[unit]);
            let crosses = if upwards { p < level && q >= level } else { p > level && q <= level };
            crosses.then(|| {
                let share = f64::from((level - p) / (q - p));
                a.at_ns + (share * (b.at_ns - a.at_ns) as f64) as i64
            })
        };
        let mut crossings = pairs.filter_map(between);
        if upwards { crossings.next_back().unwrap_or(from_ns) } else { crossings.next().unwrap_or(to_ns) }
    }

    /// Follows the long baseline and what stays above it.
    fn follow(&mut self, at_ns: i64, dt_s: f32, now: &[f32; UNIT_COUNT]) {
        let stands = self.long.iter().any(Option::is_some);
        for (unit, &level) in now.iter().enumerate() {
            let least = (LONG_LEAST.0 * self.floor(unit)).max(LONG_LEAST.1);
            let above = level - self.baseline[unit];
            let long = &mut self.long[unit];
            match long {
                // What is left of one that has fallen is no other one.
                None if above >= least && !self.was_high[unit] => {
                    *long = Some(LongSwing { unit, from_ns: at_ns, top: (at_ns, above), to_ns: at_ns });
                }
                None => {}
                Some(l) if at_ns - l.from_ns > LONGEST_NS => {
                    *long = None;
                    self.baseline[unit] = level;
                }
                Some(l) => {
                    if above > l.top.1 {
                        l.top = (at_ns, above);
                    }
                    if above < LONG_FALLEN * l.top.1 {
                        self.long_swings.push(LongSwing { to_ns: at_ns, ..*l });
                        *long = None;
                    }
                }
            }
            self.was_high[unit] = above >= least;
            // An expression that stands draws other units down, and gives them back when it ends.
            let is_drawn = stands && level < self.baseline[unit];
            let is_held = self.long[unit].is_some() || is_drawn;
            let seconds = if is_held { HELD_SECONDS } else { BASELINE_SECONDS };
            self.baseline[unit] += (dt_s / seconds).min(0.2) * (level - self.baseline[unit]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs what `act` says of each time in s through a gate at `fps`; all swings, and the share of frames with an open gate.
    fn run(fps: f64, seconds: f64, act: impl Fn(f64) -> [f32; UNIT_COUNT]) -> (Vec<Swing>, f64) {
        let mut gate = Gate::new([0.2; UNIT_COUNT]);
        let (mut swings, mut open) = (Vec::new(), 0);
        let frames = (seconds * fps) as i64;
        for i in 0..frames {
            let at_ns = (1e9 * i as f64 / fps) as i64;
            gate.update(at_ns, &act(i as f64 / fps));
            swings.extend_from_slice(gate.swings());
            open += i64::from(gate.is_open());
        }
        swings.extend_from_slice(gate.finish());
        (swings, open as f64 / frames as f64)
    }

    fn bump(t: f64, from: f64, to: f64) -> f32 {
        let share = ((t - from) / (to - from)).clamp(0.0, 1.0);
        (0.5 - 0.5 * (std::f64::consts::TAU * share).cos()) as f32
    }

    fn noise(t: f64, unit: usize) -> f32 {
        let mut rng = crate::random::SplitMix((t * 1e4) as u64 * 64 + unit as u64);
        rng.next();
        0.02 * rng.normal()
    }

    #[test]
    fn a_movement_on_a_held_drifting_face_is_found_at_its_times() {
        for fps in [25.0, 30.0, 60.0, 100.0, 200.0] {
            let (swings, open) = run(fps, 6.0, |t| {
                let mut i: [f32; UNIT_COUNT] = std::array::from_fn(|k| noise(t, k) + 0.1 * t as f32);
                // Held from the second on, another one moves on top of it.
                i[3] += 1.5 * bump(t.min(1.2), 0.95, 1.45);
                i[7] += 0.5 * bump(t, 4.0, 4.3);
                i
            });
            let moved: Vec<&Swing> = swings.iter().filter(|s| s.unit == 7).collect();
            assert_eq!((moved.len(), swings.len()), (1, 1), "{fps}: {swings:?}");
            let top = moved[0].top.0 as f64 / 1e9;
            assert!((top - 4.15).abs() < 0.04, "{fps}: {top}");
            assert!((moved[0].height() - 0.5).abs() < 0.15, "{fps}: {}", moved[0].height());
            let half = (moved[0].fell_ns - moved[0].rose_ns) as f64 / 1e9;
            assert!((half - 0.15).abs() < 0.06, "{fps}: {half}");
            assert!(open < 0.3, "{fps}: {open}");
        }
    }

    #[test]
    fn a_talking_mouth_does_not_blind_the_brows() {
        let (swings, _) = run(100.0, 8.0, |t| {
            let mut i: [f32; UNIT_COUNT] = std::array::from_fn(|k| noise(t, k));
            i[30] += (1.0 + (25.0 * t).sin() as f32).max(0.0);
            i[1] += 0.4 * bump(t, 5.0, 5.25);
            i
        });
        assert_eq!(swings.iter().filter(|s| s.unit == 1).count(), 1, "{swings:?}");
        assert!(swings.iter().filter(|s| s.unit == 30).count() > 5);
        assert!(swings.iter().all(|s| [1, 30].contains(&s.unit)));
    }

    #[test]
    fn noise_steps_and_slow_expressions_are_no_swings() {
        let (swings, open) = run(60.0, 10.0, |t| {
            let mut i: [f32; UNIT_COUNT] = std::array::from_fn(|k| noise(t, k));
            i[4] += if t > 3.0 { 1.0 } else { 0.0 };
            i[5] += 1.2 * bump(t, 4.0, 8.0);
            i
        });
        assert!(swings.is_empty(), "{swings:?}");
        assert!(open < 0.3, "{open}");
    }

    #[test]
    fn an_expression_of_seconds_is_one_long_swing() {
        let mut gate = Gate::new([0.2; UNIT_COUNT]);
        let mut long = Vec::new();
        for i in 0..1500 {
            let t = 0.01 * f64::from(i);
            let mut levels = [0.0; UNIT_COUNT];
            levels[8] = 2.0 * (bump(t.min(2.3), 2.0, 2.6) - bump(t.clamp(7.0, 7.3), 7.0, 7.6));
            gate.update(10_000_000 * i64::from(i), &levels);
            long.extend_from_slice(gate.long_swings());
        }
        assert_eq!(long.len(), 1, "{long:?}");
        let (from, to) = (long[0].from_ns as f64 / 1e9, long[0].to_ns as f64 / 1e9);
        assert!((from - 2.15).abs() < 0.1 && (to - 7.15).abs() < 0.15, "{from} {to}");
    }
}
