//! Onset, apex and offset of movements, from gated intensities over time, and what is no micro-expression.
//!
//! Causal, on timestamps alone. A movement opens when the gate opens and ends when the gate has been shut for
//! [`Settings::settle_ms`]. Movements of several AUs that overlap in time are one event; two are told apart when the gate
//! shuts between them. Onset and offset are the instants at which the movement is zero: the rise and the fall cross a
//! quarter and three quarters of the apex at times from which a raised cosine gives its two ends. A finished movement
//! waits for [`Settings::context_ms`]: what comes before and after it tells a movement from a part of speech, and the
//! level of rest on both sides is what its height is measured from. `docs/spotting.md` explains the [`Measures`].

use std::collections::VecDeque;

use crate::au::{UNIT_COUNT, UNITS};
use crate::event::Kind;

/// Times and limits of the spotter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Shortest micro-expression.
    pub min_ms: f32,
    /// Longest micro-expression.
    pub max_ms: f32,
    /// How long the gate must be shut before the offset is sure.
    pub settle_ms: f32,
    /// How long after the offset a movement waits for what follows it.
    pub context_ms: f32,
    /// History that is kept before the gate opens, to find the onset.
    pub history_ms: f32,
}

impl Default for Settings {
    fn default() -> Self {
        // 40 to 500 ms: Yan et al. 2013; the estimate of onset and offset adds its own spread.
        Self { min_ms: 40.0, max_ms: 540.0, settle_ms: 50.0, context_ms: 180.0, history_ms: 1200.0 }
    }
}

/// Why a candidate was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Shorter than a micro-expression.
    TooShort,
    /// Longer: a macro-expression, published only when asked for.
    Macro,
    /// The lids.
    Blink,
    /// One movement after the other, as in speech.
    Speech,
    /// The head moved too fast, the face was turned or lost meanwhile.
    HeadMotion,
    /// The light changed meanwhile.
    Light,
    /// It does not rise and fall as a movement does.
    Shape,
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
    /// Intensities at the apex above those at rest, of units that were above their floor at any time.
    pub peak: [f32; UNIT_COUNT],
    /// What it is judged by.
    pub measures: Measures,
}

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

/// What is known of a frame beside the intensities.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Context {
    /// Middle of the face in eye distances.
    pub head: [f32; 2],
    /// Logarithm of its size, and its roll in radians.
    pub pose: [f32; 2],
    /// Logarithm of its mean brightness.
    pub light: f32,
    /// Quality of the registration, 0 to 1.
    pub quality: f32,
    /// Share of the pixels that the flow could not explain.
    pub outliers: f32,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at_ns: i64,
    intensities: [f32; UNIT_COUNT],
    context: Context,
}

/// What a frame means to the spotter.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing moves.
    Quiet,
    /// A movement is under way, or one that ended waits for its context.
    Active,
    /// A movement has ended.
    Done(Candidate),
    /// A movement has ended and is none.
    Rejected(Rejection, Option<Candidate>),
}

/// What a face at rest reads, about a time.
#[derive(Debug, Clone, Copy)]
struct Rest {
    at_ns: i64,
    levels: [f32; UNIT_COUNT],
    light: f32,
    outliers: f32,
    quality: f32,
}

impl Rest {
    /// Where nothing is known but one frame.
    fn of(sample: &Sample, at_ns: i64) -> Self {
        let Context { light, outliers, quality, .. } = sample.context;
        Self { at_ns, levels: [0.0; UNIT_COUNT], light, outliers, quality }
    }
}

/// A stretch of open gate.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    opened_ns: i64,
    shut_ns: i64,
    counted: [bool; UNIT_COUNT],
    disturbed: Option<Rejection>,
    /// Greatest intensity in it.
    strength: f32,
    /// End and strength of the stretch before.
    previous: Option<(i64, f32)>,
    /// Beginning of the next stretch, and its strength as far as it is known.
    next: Option<(i64, f32)>,
}

/// Finds movements in the intensities of one track.
#[derive(Debug, Clone)]
pub struct Spotter {
    settings: Settings,
    history: VecDeque<Sample>,
    open: Option<Stretch>,
    shut_ns: Option<i64>,
    /// Stretches that wait for their context, oldest first.
    pending: VecDeque<Stretch>,
    /// End and strength of the last stretch.
    ended: Option<(i64, f32)>,
}

impl Spotter {
    /// A spotter without history.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            history: VecDeque::with_capacity(1024),
            open: None,
            shut_ns: None,
            pending: VecDeque::new(),
            ended: None,
        }
    }

    /// Whether a movement is under way.
    pub fn is_active(&self) -> bool {
        self.open.is_some() || !self.pending.is_empty()
    }

    /// For how long the gate has been open, in seconds.
    pub fn open_s(&self, at_ns: i64) -> f32 {
        self.open.map_or(0.0, |s| (at_ns - s.opened_ns) as f32 / 1e9)
    }

    /// The frame cannot be measured: head motion, loss. A movement under way is spoilt.
    pub fn disturb(&mut self, cause: Rejection) -> Option<Rejection> {
        self.history.clear();
        let spoilt = self.is_active().then_some(cause);
        (self.open, self.shut_ns) = (None, None);
        self.pending.clear();
        spoilt
    }

    /// Frames are missing before the next one: a movement under way keeps going, and its times suffer.
    pub fn gap(&mut self) {
        for stretch in self.open.iter_mut().chain(&mut self.pending) {
            stretch.disturbed = Some(Rejection::Timing);
        }
    }

    /// One measured frame. `open` is the gate, `above` tells which units are above their floor.
    pub fn push(
        &mut self,
        at_ns: i64,
        intensities: &[f32; UNIT_COUNT],
        context: Context,
        open: bool,
        above: impl Fn(usize) -> bool,
    ) -> Verdict {
        let keep = at_ns - self.ns(self.settings.history_ms + 4.0 * self.settings.max_ms);
        while self.history.front().is_some_and(|s| s.at_ns < keep) {
            self.history.pop_front();
        }
        self.history.push_back(Sample { at_ns, intensities: *intensities, context });
        let mut abandoned = false;
        if open {
            self.shut_ns = None;
            let stretch = self.open.get_or_insert(Stretch {
                opened_ns: at_ns,
                shut_ns: at_ns,
                counted: [false; UNIT_COUNT],
                disturbed: None,
                strength: 0.0,
                previous: self.ended,
                next: None,
            });
            for (k, c) in stretch.counted.iter_mut().enumerate() {
                *c |= above(k);
            }
            stretch.strength = intensities.iter().copied().fold(stretch.strength, f32::max);
            let now = (stretch.opened_ns, stretch.strength);
            if let Some(pending) = self.pending.back_mut() {
                pending.next = Some(now);
            }
            // A face that stays moved is no event: what it is now will become its neutral.
            abandoned = at_ns - now.0 > self.ns(6.0 * self.settings.max_ms);
            if abandoned {
                self.open = None;
                self.ended = Some((at_ns, now.1));
            }
        } else if let Some(mut stretch) = self.open {
            let shut_ns = *self.shut_ns.get_or_insert(at_ns);
            if at_ns - shut_ns >= self.ns(self.settings.settle_ms) {
                stretch.shut_ns = shut_ns;
                self.pending.push_back(stretch);
                self.ended = Some((shut_ns, stretch.strength));
                (self.open, self.shut_ns) = (None, None);
            }
        }
        let context_ns = self.ns(self.settings.context_ms);
        let due = self.pending.front().is_some_and(|p| at_ns - p.shut_ns >= context_ns);
        match if due { self.pending.pop_front() } else { None } {
            Some(done) => self.conclude(done),
            None if abandoned => Verdict::Rejected(Rejection::Macro, None),
            None if self.is_active() => Verdict::Active,
            None => Verdict::Quiet,
        }
    }

    /// What a stretch was.
    fn conclude(&self, stretch: Stretch) -> Verdict {
        let Some(mut candidate) = self.measure(&stretch) else {
            return Verdict::Rejected(Rejection::TooShort, None);
        };
        if let Some(cause) = stretch.disturbed {
            return Verdict::Rejected(cause, None);
        }
        match self.judge(&candidate.measures) {
            None => Verdict::Done(candidate),
            Some(cause) => {
                candidate.kind = match cause {
                    Rejection::Blink => Kind::Blink,
                    Rejection::Macro => Kind::Macro,
                    _ => return Verdict::Rejected(cause, None),
                };
                Verdict::Rejected(cause, Some(candidate))
            }
        }
    }

    fn ns(&self, ms: f32) -> i64 {
        (f64::from(ms) * 1e6) as i64
    }

    /// Why a candidate is no micro-expression.
    fn judge(&self, m: &Measures) -> Option<Rejection> {
        let s = &self.settings;
        // Brows that rise pull at the registration, and skin that folds cannot be explained by flow: what rises and falls
        // this exactly is no hand and no turn.
        let sure = m.misfit < SURE_MISFIT && m.contrast > SURE_CONTRAST;
        let causes = [
            (m.lids > LIDS_SHARE && m.strongest > LIDS_LEAST, Rejection::Blink),
            (m.duration_ms > s.max_ms, Rejection::Macro),
            (m.duration_ms < s.min_ms, Rejection::TooShort),
            (
                m.gap_ms < GAP_MS || m.jaw > JAW_ALONE || (m.jaw > JAW && m.any_gap_ms < JAW_GAP_MS),
                Rejection::Speech,
            ),
            (m.travel > TRAVEL || (!sure && (m.head > HEAD || m.quality < QUALITY)), Rejection::HeadMotion),
            (m.light > LIGHT || m.flash > FLASH, Rejection::Light),
            (m.misfit > MISFIT || (!sure && (m.outliers > OUTLIERS || m.drop > DROP)), Rejection::Shape),
            (m.step.abs() > STEP || m.contrast < CONTRAST, Rejection::Shape),
        ];
        causes.into_iter().find(|(holds, _)| *holds).map(|(_, cause)| cause)
    }

    /// Onset, apex and offset from the history around the open gate.
    fn measure(&self, stretch: &Stretch) -> Option<Candidate> {
        let (opened_ns, shut_ns) = (stretch.opened_ns, stretch.shut_ns);
        let guard = self.ns(GUARD_MS);
        let until = stretch.next.map_or(i64::MAX, |(n, _)| n - self.ns(30.0));
        // Levels of rest on both sides, unit by unit.
        let rest = |from: i64, to: i64| -> Option<Rest> {
            let span: Vec<&Sample> = self.history.iter().filter(|s| (from..to).contains(&s.at_ns)).collect();
            let (first, last) = (span.first()?.at_ns, span.last()?.at_ns);
            let mut values = Vec::with_capacity(span.len());
            let levels = std::array::from_fn(|k| {
                values.clear();
                values.extend(span.iter().map(|s| s.intensities[k]));
                median(&mut values)
            });
            let mut middle = |of: fn(&Context) -> f32| {
                values.clear();
                values.extend(span.iter().map(|s| of(&s.context)));
                median(&mut values)
            };
            let (light, outliers, quality) =
                (middle(|c| c.light), middle(|c| c.outliers), middle(|c| c.quality));
            Some(Rest { at_ns: (first + last) / 2, levels, light, outliers, quality })
        };
        let before = rest(opened_ns - guard - self.ns(REST_MS), opened_ns - guard)
            .unwrap_or(Rest::of(self.history.front()?, opened_ns));
        let after = rest(shut_ns + self.ns(20.0), until).unwrap_or(Rest { at_ns: shut_ns, ..before });
        let share = |at_ns: i64| {
            let share = (at_ns - before.at_ns) as f64 / (after.at_ns - before.at_ns).max(1) as f64;
            share.clamp(0.0, 1.0) as f32
        };
        let level =
            |at_ns: i64, k: usize| before.levels[k] + share(at_ns) * (after.levels[k] - before.levels[k]);
        // Units that take part: those that counted and reach a share of the strongest one.
        let inside = |s: &&Sample| (opened_ns..=shut_ns).contains(&s.at_ns);
        let mut reach = [0.0f32; UNIT_COUNT];
        for s in self.history.iter().filter(inside) {
            for k in (0..UNIT_COUNT).filter(|&k| stretch.counted[k]) {
                reach[k] = reach[k].max(s.intensities[k] - level(s.at_ns, k));
            }
        }
        let most = reach.iter().copied().fold(0.0, f32::max);
        let part: [bool; UNIT_COUNT] = std::array::from_fn(|k| reach[k] > 0.0 && reach[k] >= PART * most);
        let signal = self.signal(|s| {
            (0..UNIT_COUNT).filter(|&k| part[k]).map(|k| s.intensities[k] - level(s.at_ns, k)).sum()
        });
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
            let low = crossing(&signal, top, 0.25 * height, forward)?;
            let high = crossing(&signal, top, 0.75 * height, forward)?;
            Some((2.0 * low - high, 2.0 * high - low))
        };
        let (rise, fall) = (ends(false), ends(true));
        let onset = rise.map_or(opened_ns as f64, |(foot, _)| foot) as i64;
        let offset = fall.map_or(shut_ns as f64, |(foot, _)| foot) as i64;
        let apex = match (rise, fall) {
            (Some((_, a)), Some((_, b))) => (0.5 * (a + b)) as i64,
            _ => signal[top].0,
        };
        let (onset_ns, offset_ns) = (onset.min(apex), offset.max(apex));
        let all = self.peak(apex, level);
        let strongest = all.iter().copied().fold(0.0, f32::max);
        let peak = std::array::from_fn(|k| if part[k] { all[k].max(0.0) } else { 0.0 });
        let scale = 1.0 / height;
        let quiet: Vec<f32> = signal
            .iter()
            .filter(|(t, _)| (opened_ns - guard - self.ns(REST_MS)..opened_ns - guard).contains(t))
            .map(|(_, v)| v * v)
            .collect();
        let noise = (quiet.iter().sum::<f32>() / quiet.len().max(1) as f32).sqrt();
        let gap_ms = |least: f32| {
            let alike = |(at_ns, strength): (i64, f32)| (strength >= least).then_some(at_ns);
            let since = stretch.previous.and_then(alike).map_or(1000.0, |p| (onset_ns - p) as f32 / 1e6);
            let next = stretch.next.and_then(alike).map_or(1000.0, |n| (n - offset_ns) as f32 / 1e6);
            since.min(next).clamp(0.0, 1000.0)
        };
        let (head, travel) = self.head(onset_ns, offset_ns);
        let during = self.history.iter().filter(|s| (onset_ns..=offset_ns).contains(&s.at_ns));
        let between = |at_ns: i64| before.light + share(at_ns) * (after.light - before.light);
        let quality = during.clone().map(|s| s.context.quality).fold(1.0, f32::min);
        let measures = Measures {
            duration_ms: (offset_ns - onset_ns) as f32 / 1e6,
            contrast: height / noise.max(1e-3),
            strongest,
            // A lid that tightens by itself reads as a little of AU 45 too; lips that talk pull at lip and chin all the time.
            lids: lead(&all, &[45], &[7, 5], LIDS_DRAG),
            jaw: lead(&all, &[25, 26], &[16, 17], 0.0),
            misfit: misfit(&signal, [onset_ns, apex, offset_ns], height),
            step: scale
                * (0..UNIT_COUNT)
                    .filter(|&k| part[k])
                    .map(|k| after.levels[k] - before.levels[k])
                    .sum::<f32>(),
            gap_ms: gap_ms(ALIKE * stretch.strength),
            any_gap_ms: gap_ms(0.0),
            head,
            travel,
            light: (after.light - before.light).abs(),
            flash: during.clone().map(|s| (s.context.light - between(s.at_ns)).abs()).fold(0.0, f32::max),
            quality,
            drop: before.quality - quality,
            outliers: during.map(|s| s.context.outliers - before.outliers).fold(0.0, f32::max),
        };
        Some(Candidate { kind: Kind::Micro, onset_ns, apex_ns: apex, offset_ns, peak, measures })
    }

    /// A number of each frame, as the mean over [`SMOOTH_MS`] to both sides.
    fn signal(&self, of: impl Fn(&Sample) -> f32) -> Vec<(i64, f32)> {
        let raw: Vec<(i64, f32)> = self.history.iter().map(|s| (s.at_ns, of(s))).collect();
        let reach = self.ns(SMOOTH_MS);
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

    /// Intensities around the apex above those at rest: the mean over 30 ms.
    fn peak(&self, apex_ns: i64, level: impl Fn(i64, usize) -> f32) -> [f32; UNIT_COUNT] {
        let half = self.ns(15.0);
        let mut near: Vec<&Sample> =
            self.history.iter().filter(|s| (s.at_ns - apex_ns).abs() <= half).collect();
        if near.is_empty() {
            near.extend(self.history.iter().min_by_key(|s| (s.at_ns - apex_ns).abs()));
        }
        let n = near.len().max(1) as f32;
        std::array::from_fn(|k| near.iter().map(|s| s.intensities[k] - level(s.at_ns, k)).sum::<f32>() / n)
    }

    /// Greatest deviation of the head from the straight path between two instants, and the length of that path; turn and
    /// zoom count as what they move at one eye distance.
    fn head(&self, from_ns: i64, to_ns: i64) -> (f32, f32) {
        let span: Vec<&Sample> =
            self.history.iter().filter(|s| (from_ns..=to_ns).contains(&s.at_ns)).collect();
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

/// Units below this share of the strongest one take no part in a movement.
const PART: f32 = 0.35;
/// The level of rest before a movement is looked for so long before the gate opened, over so long a time.
const GUARD_MS: f32 = 110.0;
/// See [`GUARD_MS`].
const REST_MS: f32 = 300.0;
/// The signal is averaged over so much to both sides.
const SMOOTH_MS: f32 = 12.0;
/// A movement is a blink when the lids move by this multiple of what anything else does,
const LIDS_SHARE: f32 = 1.8;
/// (what they drag along counts with this share: it is at most about as strong as they are)
const LIDS_DRAG: f32 = 0.5;
/// and at least so much.
const LIDS_LEAST: f32 = 0.3;
/// Movements closer to each other than this belong together,
const GAP_MS: f32 = 170.0;
/// if the other one reaches this share of it.
const ALIKE: f32 = 0.4;
/// A jaw that leads by this factor speaks,
const JAW: f32 = 1.0;
/// if anything moves within this time.
const JAW_GAP_MS: f32 = 500.0;
/// and one that moves by this factor more than all else does in any case.
const JAW_ALONE: f32 = 2.5;
/// Greatest deviation of the head from a straight path, in eye distances.
const HEAD: f32 = 0.1;
/// Greatest travel of the head.
const TRAVEL: f32 = 0.12;
/// Least quality of the registration.
const QUALITY: f32 = 0.8;
/// Greatest drop of that quality.
const DROP: f32 = 0.055;
/// Greatest change of the logarithm of brightness,
const LIGHT: f32 = 0.035;
/// and greatest deviation from a steady change.
const FLASH: f32 = 0.03;
/// Greatest rise of the share of pixels that flow could not explain.
const OUTLIERS: f32 = 0.12;
/// Greatest share that the raised cosine leaves unexplained.
const MISFIT: f32 = 0.03;
/// A movement that leaves less than this unexplained
const SURE_MISFIT: f32 = 0.003;
/// and is so far above the noise is one, whatever it does to the registration.
const SURE_CONTRAST: f32 = 100.0;
/// Least height over the noise of the signal.
const CONTRAST: f32 = 12.0;
/// Greatest change of the level of rest.
const STEP: f32 = 0.35;

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

fn median(values: &mut [f32]) -> f32 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Strongest unit of `aus` over the strongest one of all others. Of `along`, which they drag with them, the share `counts`
/// counts.
fn lead(peak: &[f32; UNIT_COUNT], aus: &[u8], along: &[u8], counts: f32) -> f32 {
    let strongest = |pick: &dyn Fn(u8) -> bool| {
        UNITS.iter().zip(peak).filter(|(u, _)| pick(u.au)).map(|(_, i)| *i).fold(0.0f32, f32::max)
    };
    let others = strongest(&|au| !aus.contains(&au) && !along.contains(&au));
    strongest(&|au| aus.contains(&au)) / others.max(counts * strongest(&|au| along.contains(&au))).max(0.05)
}

#[cfg(test)]
mod tests;
