//! Onset, apex and offset of movements, from gated intensities over time.
//!
//! Causal, on timestamps alone. A movement opens when the gate opens and ends when the gate has been
//! shut for [`Settings::settle_ms`]. Movements of several AUs that overlap in time are one event;
//! two are told apart when the gate shuts between them. Onset and offset are the instants at which
//! the movement is zero: the rise and the fall cross a quarter and three quarters of the apex at
//! times from which a raised cosine gives its two ends.

use std::collections::VecDeque;

use crate::au::{UNIT_COUNT, UNITS};
use crate::event::Kind;

/// Times and rates of the spotter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Shortest micro-expression.
    pub min_ms: f32,
    /// Longest micro-expression.
    pub max_ms: f32,
    /// How long the gate must be shut before the offset is sure.
    pub settle_ms: f32,
    /// History that is kept before the gate opens, to find the onset.
    pub history_ms: f32,
}

impl Default for Settings {
    fn default() -> Self {
        // 40 to 500 ms: Yan et al. 2013; the estimate of onset and offset adds its own spread.
        Self { min_ms: 40.0, max_ms: 500.0, settle_ms: 60.0, history_ms: 1200.0 }
    }
}

/// Why a candidate was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Shorter than a micro-expression.
    TooShort,
    /// Longer: a macro-expression, published only when asked for.
    Macro,
    /// AU 45 alone.
    Blink,
    /// The head moved too fast, the face was turned or lost meanwhile.
    HeadMotion,
    /// Frames were lost meanwhile, or the rate is too low.
    Timing,
}

/// A finished movement.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Micro, macro or blink.
    pub kind: Kind,
    /// The instant before which there is no movement.
    pub onset_ns: i64,
    /// Greatest extent.
    pub apex_ns: i64,
    /// The instant after which there is no movement.
    pub offset_ns: i64,
    /// Intensities at the apex, those of units that were above their floor at any time.
    pub peak: [f32; UNIT_COUNT],
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at_ns: i64,
    intensities: [f32; UNIT_COUNT],
}

/// What a frame means to the spotter.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing moves.
    Quiet,
    /// A movement is under way.
    Active,
    /// A movement has ended.
    Done(Candidate),
    /// A movement has ended and is none.
    Rejected(Rejection, Option<Candidate>),
}

/// Finds movements in the intensities of one track.
#[derive(Debug, Clone)]
pub struct Spotter {
    settings: Settings,
    history: VecDeque<Sample>,
    opened_ns: Option<i64>,
    shut_ns: Option<i64>,
    counted: [bool; UNIT_COUNT],
    disturbed: Option<Rejection>,
}

impl Spotter {
    /// A spotter without history.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            history: VecDeque::with_capacity(1024),
            opened_ns: None,
            shut_ns: None,
            counted: [false; UNIT_COUNT],
            disturbed: None,
        }
    }

    /// Whether a movement is under way.
    pub fn is_active(&self) -> bool {
        self.opened_ns.is_some()
    }

    /// The frame cannot be measured: head motion, loss. A movement under way is spoilt.
    pub fn disturb(&mut self, cause: Rejection) -> Option<Rejection> {
        self.history.clear();
        let spoilt = self.opened_ns.take().map(|_| cause);
        self.shut_ns = None;
        self.counted = [false; UNIT_COUNT];
        self.disturbed = None;
        spoilt
    }

    /// Frames are missing before the next one: a movement under way keeps going, and its times suffer.
    pub fn gap(&mut self) {
        if self.is_active() {
            self.disturbed = Some(Rejection::Timing);
        }
    }

    /// One measured frame. `open` is the gate, `above` tells which units are above their floor.
    pub fn push(
        &mut self,
        at_ns: i64,
        intensities: &[f32; UNIT_COUNT],
        open: bool,
        above: impl Fn(usize) -> bool,
    ) -> Verdict {
        let keep = at_ns - self.ns(self.settings.history_ms + 4.0 * self.settings.max_ms);
        while self.history.front().is_some_and(|s| s.at_ns < keep) {
            self.history.pop_front();
        }
        self.history.push_back(Sample { at_ns, intensities: *intensities });
        if open {
            if self.opened_ns.is_none() {
                self.opened_ns = Some(at_ns);
                self.counted = [false; UNIT_COUNT];
                self.disturbed = None;
            }
            self.shut_ns = None;
            for (k, c) in self.counted.iter_mut().enumerate() {
                *c |= above(k);
            }
        }
        let Some(opened_ns) = self.opened_ns else { return Verdict::Quiet };
        if open {
            // A face that stays moved is no event: what it is now will become its neutral.
            if at_ns - opened_ns > self.ns(6.0 * self.settings.max_ms) {
                self.opened_ns = None;
                return Verdict::Rejected(Rejection::Macro, None);
            }
            return Verdict::Active;
        }
        let shut_ns = *self.shut_ns.get_or_insert(at_ns);
        if at_ns - shut_ns < self.ns(self.settings.settle_ms) {
            return Verdict::Active;
        }
        self.opened_ns = None;
        self.shut_ns = None;
        let candidate = self.measure(opened_ns, shut_ns);
        let Some(mut candidate) = candidate else {
            return Verdict::Rejected(Rejection::TooShort, None);
        };
        if let Some(cause) = self.disturbed.take() {
            return Verdict::Rejected(cause, None);
        }
        let duration_ms = (candidate.offset_ns - candidate.onset_ns) as f32 / 1e6;
        if is_blink(&candidate.peak) {
            candidate.kind = Kind::Blink;
            return Verdict::Rejected(Rejection::Blink, Some(candidate));
        }
        if duration_ms < self.settings.min_ms {
            return Verdict::Rejected(Rejection::TooShort, None);
        }
        if duration_ms > self.settings.max_ms {
            candidate.kind = Kind::Macro;
            return Verdict::Rejected(Rejection::Macro, Some(candidate));
        }
        Verdict::Done(candidate)
    }

    fn ns(&self, ms: f32) -> i64 {
        (f64::from(ms) * 1e6) as i64
    }

    /// Onset, apex and offset from the history around the open gate.
    fn measure(&self, opened_ns: i64, shut_ns: i64) -> Option<Candidate> {
        // The signal: the sum over the units that counted, as each frame has it.
        let signal: Vec<(i64, f32)> = self
            .history
            .iter()
            .map(|s| {
                let sum = s.intensities.iter().zip(&self.counted).filter(|(_, c)| **c).map(|(i, _)| *i).sum();
                (s.at_ns, sum)
            })
            .collect();
        let inside = |t: i64| (opened_ns..=shut_ns).contains(&t);
        let top = (0..signal.len())
            .filter(|&i| inside(signal[i].0))
            .max_by(|&a, &b| signal[a].1.total_cmp(&signal[b].1))?;
        let rest = rest_level(&signal, opened_ns, self.ns(150.0), self.ns(self.settings.max_ms));
        let height = signal[top].1 - rest;
        if height <= 0.0 {
            return None;
        }
        // Time at which the signal crosses a share of the height, walking away from the apex.
        let crossing = |share: f32, forward: bool| -> Option<f64> {
            let level = rest + share * height;
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
        };
        // A raised cosine is at 25 % after a third and at 75 % after two thirds of its rise: both its
        // ends lie one third of the rise further.
        let ends = |forward: bool| {
            let (low, high) = (crossing(0.25, forward)?, crossing(0.75, forward)?);
            Some((2.0 * low - high, 2.0 * high - low))
        };
        let (rise, fall) = (ends(false), ends(true));
        let onset = rise.map_or(opened_ns as f64, |(foot, _)| foot) as i64;
        let offset = fall.map_or(shut_ns as f64, |(foot, _)| foot) as i64;
        let apex = match (rise, fall) {
            (Some((_, a)), Some((_, b))) => (0.5 * (a + b)) as i64,
            _ => signal[top].0,
        };
        let peak = self.peak(apex);
        Some(Candidate {
            kind: Kind::Micro,
            onset_ns: onset.min(apex),
            apex_ns: apex,
            offset_ns: offset.max(apex),
            peak,
        })
    }

    /// Intensities around the apex: the mean over 30 ms, of the units that counted.
    fn peak(&self, apex_ns: i64) -> [f32; UNIT_COUNT] {
        let half = self.ns(15.0);
        let mut near: Vec<&Sample> =
            self.history.iter().filter(|s| (s.at_ns - apex_ns).abs() <= half).collect();
        if near.is_empty() {
            near.extend(self.history.iter().min_by_key(|s| (s.at_ns - apex_ns).abs()));
        }
        let n = near.len().max(1) as f32;
        std::array::from_fn(|k| {
            if self.counted[k] { near.iter().map(|s| s.intensities[k]).sum::<f32>() / n } else { 0.0 }
        })
    }
}

/// Level of the signal before the movement: the median of what lies before it.
fn rest_level(signal: &[(i64, f32)], opened_ns: i64, guard_ns: i64, span_ns: i64) -> f32 {
    let mut before: Vec<f32> = signal
        .iter()
        .filter(|(t, _)| (opened_ns - guard_ns - span_ns..opened_ns - guard_ns).contains(t))
        .map(|(_, v)| *v)
        .collect();
    if before.is_empty() {
        return 0.0;
    }
    before.sort_unstable_by(f32::total_cmp);
    before[before.len() / 2]
}

/// Whether the lids closed and nothing else moved by itself: a blink drags AU 7, 6, 4 and 5 along.
fn is_blink(peak: &[f32; UNIT_COUNT]) -> bool {
    let strongest = |aus: &[u8]| {
        UNITS.iter().zip(peak).filter(|(u, _)| aus.contains(&u.au)).map(|(_, i)| *i).fold(0.0f32, f32::max)
    };
    let lids = strongest(&[45]);
    let other = UNITS
        .iter()
        .zip(peak)
        .filter(|(u, _)| ![45, 7, 6, 5, 4].contains(&u.au))
        .map(|(_, i)| *i)
        .fold(0.0f32, f32::max);
    lids > 0.4 && other < 0.5 * lids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::au::{Side, unit_indices};
    use proptest::prelude::*;

    fn bump(t: f64, onset: f64, apex: f64, offset: f64) -> f32 {
        let phase = if t <= onset || t >= offset {
            0.0
        } else if t < apex {
            (t - onset) / (apex - onset)
        } else {
            (offset - t) / (offset - apex)
        };
        (0.5 - 0.5 * (std::f64::consts::PI * phase).cos()) as f32
    }

    /// Runs a movement of one unit through gate and spotter.
    fn spot(fps: f64, times_ms: [f64; 3], height: f32, unit: usize, origin_ns: i64) -> Vec<Verdict> {
        let mut spotter = Spotter::new(Settings::default());
        let mut gate = crate::gate::Gate::new([0.4; UNIT_COUNT]);
        let mut out = Vec::new();
        for i in 0..(fps * 3.0) as i64 {
            let t = i as f64 / fps;
            let mut intensities = [0.0; UNIT_COUNT];
            intensities[unit] = height * bump(1e3 * t, times_ms[0], times_ms[1], times_ms[2]);
            let open = gate.update(&intensities);
            let floor = gate.floor(unit);
            let at_ns = origin_ns + (t * 1e9) as i64;
            match spotter.push(at_ns, &intensities, open, |k| intensities[k] >= floor) {
                Verdict::Quiet | Verdict::Active => {}
                other => out.push(other),
            }
        }
        out
    }

    const SMILE: u8 = 12;

    fn smile() -> usize {
        unit_indices(SMILE, Side::Left).next().expect("AU 12")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn finds_onset_apex_offset(fps in prop::sample::select(vec![30.0, 60.0, 100.0, 200.0]), start in 800f64..1200.0,
                                   rise in 80f64..180.0, fall in 80f64..220.0, height in 0.9f32..4.0) {
            let times = [start, start + rise, start + rise + fall];
            let found = spot(fps, times, height, smile(), 0);
            prop_assert_eq!(found.len(), 1);
            let Verdict::Done(c) = &found[0] else { return Err(TestCaseError::fail(format!("{:?}", found[0]))) };
            let tolerance = 10.0 + 700.0 / fps;
            for (ns, truth) in [(c.onset_ns, times[0]), (c.apex_ns, times[1]), (c.offset_ns, times[2])] {
                let error = ns as f64 / 1e6 - truth;
                prop_assert!(error.abs() < tolerance, "{error} ms at {fps} fps");
            }
        }

        #[test]
        fn a_constant_on_all_times_changes_nothing(origin in -1_000_000_000_000i64..1_000_000_000_000) {
            let at = |origin| match spot(100.0, [1000.0, 1100.0, 1250.0], 1.5, smile(), origin).pop() {
                Some(Verdict::Done(c)) => Some((c.onset_ns - origin, c.apex_ns - origin, c.offset_ns - origin)),
                _ => None,
            };
            let (a, b) = (at(0).expect("found"), at(origin).expect("found"));
            // Times pass through f64.
            prop_assert!((a.0 - b.0).abs() < 1000 && (a.1 - b.1).abs() < 1000 && (a.2 - b.2).abs() < 1000);
        }
    }

    #[test]
    fn long_and_lid_movements_are_told_apart() {
        let found = spot(100.0, [500.0, 1000.0, 1500.0], 2.0, smile(), 0);
        assert!(
            matches!(&found[..], [Verdict::Rejected(Rejection::Macro, Some(c))] if c.kind == Kind::Macro),
            "{found:?}"
        );
        let lid = unit_indices(45, Side::Left).next().expect("AU 45");
        let found = spot(100.0, [1000.0, 1100.0, 1250.0], 4.0, lid, 0);
        assert!(
            matches!(&found[..], [Verdict::Rejected(Rejection::Blink, Some(c))] if c.kind == Kind::Blink),
            "{found:?}"
        );
    }

    #[test]
    fn disturbance_spoils_what_is_under_way() {
        let mut spotter = Spotter::new(Settings::default());
        let mut i = [0.0; UNIT_COUNT];
        i[3] = 2.0;
        assert_eq!(spotter.push(0, &i, true, |_| true), Verdict::Active);
        assert_eq!(spotter.disturb(Rejection::HeadMotion), Some(Rejection::HeadMotion));
        assert_eq!(spotter.disturb(Rejection::HeadMotion), None);
        assert_eq!(spotter.push(10_000_000, &[0.0; UNIT_COUNT], false, |_| false), Verdict::Quiet);
    }
}
