//! Onset, apex and offset of movements, from the swings of the gate, and what is no micro-expression.
//!
//! Causal, on timestamps alone. Swings of units that rise and fall together are one candidate; a candidate on top of a held
//! expression, beside a blink or in the middle of drift is one by itself. It waits for [`SpotSettings::context_ms`] after its
//! offset, because what follows tells a movement from a part of speech. Onset and offset are the instants at which it is
//! zero: rise and fall cross a quarter and three quarters of the height above the local rest at times from which a raised
//! cosine gives its two ends. Rate, gaps and duration are rules; everything else is asked of the [`Judge`], a small network
//! over the [`Measures`]. `docs/design/spotting.md` explains both.

mod history;
mod judge;
mod measure;
mod pattern;
mod rigid;

use std::collections::VecDeque;

use crate::au::UNIT_COUNT;
use crate::event::Kind;
use crate::gate::{Gate, LongSwing, REACH_NS, Swing};

use history::History;
pub use history::{CELLS, Sample};
pub use judge::{CLIP, Cause, Judge, JudgeSpec};
use measure::Group;
pub use measure::{MEASURES, Measures, NAMES};
pub(crate) use rigid::is_of_head;

/// Times of the spotter.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SpotSettings {
    /// Shortest micro-expression.
    pub min_ms: f32,
    /// Longest micro-expression.
    pub max_ms: f32,
    /// How long after the offset a movement waits for what follows it.
    pub context_ms: f32,
}

impl Default for SpotSettings {
    fn default() -> Self {
        // 40 to 500 ms: Yan et al. 2013; the estimate of onset and offset adds its own spread.
        Self { min_ms: 40.0, max_ms: 540.0, context_ms: 180.0 }
    }
}

/// Why a candidate was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rejection {
    /// Shorter than a micro-expression.
    TooShort,
    /// Longer: a macro-expression, published only when asked for.
    Macro,
    /// The lids.
    Blink,
    /// A part of speech.
    Speech,
    /// The head moved, was turned or lost meanwhile.
    HeadMotion,
    /// The light changed meanwhile.
    Light,
    /// Something came before the face or shone in glasses.
    Occlusion,
    /// Fine tension, gaze, noise: nothing that can be recognised.
    Noise,
    /// Frames were lost meanwhile, the face was found only just before, or the rate is too low.
    Timing,
}

impl Rejection {
    /// All causes.
    pub const ALL: [Self; 9] = [
        Self::TooShort,
        Self::Macro,
        Self::Blink,
        Self::Speech,
        Self::HeadMotion,
        Self::Light,
        Self::Occlusion,
        Self::Noise,
        Self::Timing,
    ];

    /// The word in counters and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::Macro => "macro",
            Self::Blink => "blink",
            Self::Speech => "speech",
            Self::HeadMotion => "head_motion",
            Self::Light => "light",
            Self::Occlusion => "occlusion",
            Self::Noise => "noise",
            Self::Timing => "timing",
        }
    }
}

/// A finished movement.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Candidate {
    /// Micro, macro or blink.
    pub kind: Kind,
    /// The instant before which there is no movement.
    pub onset_ns: i64,
    /// Greatest extent.
    pub apex_ns: i64,
    /// The instant after which there is no movement.
    pub offset_ns: i64,
    /// Intensities at the apex (0 to 5) above those at rest, of the units that take part.
    pub peak: [f32; UNIT_COUNT],
    /// What it is judged by.
    pub measures: Box<Measures>,
    /// Share of the motion at the apex that a plane explains in the cells where it fits best, 0 to 1.
    pub inner_plane: f32,
    /// Why it is no micro-expression; `None` of one.
    pub cause: Option<Rejection>,
    /// How likely it is one by the judge, 0 to 1.
    pub score: f32,
}

/// What is known of a frame beside levels and motion.
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
    /// Share of the pixels that the flow could not explain, 0 to 1.
    pub outliers: f32,
    /// Distance between the eyes in frame pixels.
    pub eye_distance_px: f32,
}

impl Context {
    /// Numbers of a context.
    pub const COUNT: usize = 8;

    /// All of it, in the order of the fields.
    pub fn numbers(&self) -> [f32; Self::COUNT] {
        let Self { head, pose, light, quality, outliers, eye_distance_px } = *self;
        [head[0], head[1], pose[0], pose[1], light, quality, outliers, eye_distance_px]
    }

    /// The context of such numbers.
    pub fn of_numbers(
        [x, y, size, roll, light, quality, outliers, eye_distance_px]: [f32; Self::COUNT],
    ) -> Self {
        Self { head: [x, y], pose: [size, roll], light, quality, outliers, eye_distance_px }
    }
}

/// An event is published at most so long after its offset.
const LATEST_NS: i64 = 240_000_000;
/// Swings belong together when their tops lie within so much of each other, or within this share of the leading one's width,
const TOGETHER_NS: i64 = 50_000_000;
/// See [`TOGETHER_NS`].
const TOGETHER_SHARE: f64 = 0.4;
/// and their upper halves share so much.
const TOGETHER_OVERLAP: f64 = 0.35;
/// A swing under this share of another one's height that lies within it for this share of its own width is what that one
/// drags along: the fields of neighbouring muscles overlap.
const DRAGGED: (f32, f64) = (0.3, 0.5);
/// A motion of which a plane explains so much in the cells where it fits best is no expression: 1 in 80 micro-expressions of world
/// A, 1 in 130 that are found in world B and on real faces.
const INNER_PLANE: f32 = 0.95;
/// A long movement waits for so long after its end for units that rose before it ended.
const LONG_TOGETHER_NS: i64 = 1_000_000_000;
/// What was reported is remembered for so long after its offset: a long movement may begin before it and end after it.
const REPORTED_NS: i64 = 30_000_000_000;

/// Finds movements in the levels of one track.
#[derive(Debug, Clone)]
pub struct Spotter {
    settings: SpotSettings,
    history: History,
    /// Swings that belong to no candidate yet.
    waiting: Vec<Swing>,
    /// The strongest swing of each candidate of the last half second.
    leads: VecDeque<Swing>,
    /// Kind, onset and offset of what was reported.
    reported: VecDeque<(Kind, (i64, i64))>,
    long: Vec<LongSwing>,
    /// When frames were lost or could not be measured, and which of both.
    breaks: VecDeque<(i64, i64, Rejection)>,
    first_ns: Option<i64>,
    last_ns: Option<i64>,
}

impl Spotter {
    /// A spotter without history.
    pub fn new(settings: SpotSettings) -> Self {
        Self {
            settings,
            history: History::new(),
            waiting: Vec::new(),
            leads: VecDeque::new(),
            reported: VecDeque::new(),
            long: Vec::new(),
            breaks: VecDeque::new(),
            first_ns: None,
            last_ns: None,
        }
    }

    /// Whether a movement waits for what follows it.
    pub fn is_active(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A frame that could not be measured, or frames that were lost before it: a movement across it is spoilt.
    pub fn interrupt(&mut self, at_ns: i64, cause: Rejection) {
        let from_ns = self.last_ns.unwrap_or(at_ns);
        match self.breaks.back_mut() {
            Some((_, to, last)) if *last == cause && *to >= from_ns => *to = at_ns,
            _ => self.breaks.push_back((from_ns, at_ns, cause)),
        }
        while self.breaks.front().is_some_and(|(_, to, _)| at_ns - to > 4 * REACH_NS) {
            self.breaks.pop_front();
        }
    }

    /// One measured frame, after the gate has seen it. At most one candidate is concluded with it.
    pub fn push(&mut self, sample: &Sample, gate: &Gate, judge: &mut Judge) -> Option<Candidate> {
        let at_ns = sample.at_ns;
        self.last_ns = Some(at_ns);
        self.first_ns.get_or_insert(at_ns);
        self.history.push(sample, at_ns - 5 * REACH_NS);
        while self.leads.front().is_some_and(|l| at_ns - l.fell_ns > 2 * REACH_NS) {
            self.leads.pop_front();
        }
        let swings = gate.swings().iter().filter(|s| !self.leads.iter().any(|l| drags(l, s)));
        self.waiting.extend(swings);
        self.long.extend_from_slice(gate.long_swings());
        let lead = self.waiting.iter().copied().max_by(|a, b| a.height().total_cmp(&b.height()));
        if let Some(lead) = lead.filter(|l| self.is_ripe(l, at_ns, gate)) {
            return self.conclude(&lead, gate, judge);
        }
        // A stronger one may wait for longer than a weaker one that has nothing to do with it.
        let oldest = self.waiting.iter().copied().min_by_key(|s| s.fell_ns);
        match oldest.filter(|o| at_ns - offset_ns(o) >= LATEST_NS) {
            Some(oldest) => {
                let strongest = self.together(&oldest).max_by(|a, b| a.height().total_cmp(&b.height()));
                let lead = strongest.copied().unwrap_or(oldest);
                self.conclude(&lead, gate, judge)
            }
            None => self.conclude_long(at_ns, gate),
        }
    }

    /// The stream has ended: what is complete is concluded, one after the other.
    pub fn finish(&mut self, gate: &mut Gate, judge: &mut Judge) -> Option<Candidate> {
        self.waiting.extend_from_slice(gate.finish());
        while !self.long.is_empty() {
            if let Some(candidate) = self.take_long() {
                return Some(candidate);
            }
        }
        loop {
            let lead = self.waiting.iter().copied().max_by(|a, b| a.height().total_cmp(&b.height()))?;
            if let Some(candidate) = self.conclude(&lead, gate, judge) {
                return Some(candidate);
            }
        }
    }

    /// Whether enough is known of what follows a swing.
    fn is_ripe(&self, lead: &Swing, at_ns: i64, gate: &Gate) -> bool {
        let since = at_ns - offset_ns(lead);
        if since < ns(self.settings.context_ms) {
            return false;
        }
        // A unit that began within it may turn out to be a part of it.
        let pending = gate.open_since_ns().is_some_and(|t| t < lead.top.0);
        !pending || since >= LATEST_NS
    }

    /// Whether the face was watched for long enough before an onset to know it at rest.
    fn knows_rest(&self, onset_ns: i64) -> bool {
        self.first_ns.is_some_and(|first| onset_ns - first >= measure::KNOWN_NS)
    }

    fn together(&self, lead: &Swing) -> impl Iterator<Item = &Swing> {
        self.waiting.iter().filter(move |s| belongs(lead, s))
    }

    fn conclude(&mut self, lead: &Swing, gate: &Gate, judge: &mut Judge) -> Option<Candidate> {
        let members: Vec<Swing> = self.together(lead).copied().collect();
        self.waiting.retain(|s| !members.contains(s) && s != lead && !drags(lead, s));
        self.leads.push_back(*lead);
        let group = Group { lead: *lead, members };
        let mut c = measure::measure(&self.history, gate, &group)?;
        let ms = (c.offset_ns - c.onset_ns) as f32 / 1e6;
        let broken = self.breaks.iter().find(|(from, to, _)| *from < c.offset_ns && *to > c.onset_ns);
        (c.cause, c.score) = match broken {
            Some((_, _, why)) => (Some(*why), 0.0),
            None if !self.knows_rest(c.onset_ns) => (Some(Rejection::Timing), 0.0),
            None if ms < self.settings.min_ms => (Some(Rejection::TooShort), 0.0),
            // What no person could recognise is no expression.
            None if !(0..UNIT_COUNT).any(|k| c.peak[k] >= gate.least(k)) => (Some(Rejection::Noise), 0.0),
            None if is_rigid(&c) => (Some(Rejection::HeadMotion), 0.0),
            None => judge.judge(&c.measures),
        };
        if c.cause.is_none() && ms > self.settings.max_ms {
            c.cause = Some(Rejection::Macro);
        }
        // Neighbouring muscles rise a little sooner or later than those that move.
        if c.cause.is_none() && !self.is_first_report(Kind::Micro, (c.onset_ns, c.offset_ns)) {
            c.cause = Some(Rejection::Noise);
        }
        c.kind = match c.cause {
            Some(Rejection::Blink) => Kind::Blink,
            Some(Rejection::Macro) if self.is_whole_macro(&c, gate) => Kind::Macro,
            _ => Kind::Micro,
        };
        Some(c)
    }

    /// Remembers a movement of a kind; `false` where it has been reported already.
    fn is_first_report(&mut self, kind: Kind, span: (i64, i64)) -> bool {
        while self.reported.front().is_some_and(|(_, t)| span.1 - t.1 > REPORTED_NS) {
            self.reported.pop_front();
        }
        let is_new = !self.reported.iter().any(|(k, t)| *k == kind && is_same(*t, span));
        if is_new {
            self.reported.push_back((kind, span));
        }
        is_new
    }

    /// Whether a candidate that is a macro-expression is all of it: a unit that is still up is reported when it has
    /// fallen.
    fn is_whole_macro(&mut self, c: &Candidate, gate: &Gate) -> bool {
        let is_under_way = (0..UNIT_COUNT).any(|k| c.peak[k] > 0.0 && gate.is_up(k));
        !is_under_way && self.is_first_report(Kind::Macro, (c.onset_ns, c.offset_ns))
    }

    /// Long movements that have ended, as one candidate.
    fn conclude_long(&mut self, at_ns: i64, gate: &Gate) -> Option<Candidate> {
        let last = self.long.iter().map(|l| l.to_ns).max()?;
        if at_ns - last < LONG_TOGETHER_NS && gate.long_since_ns().is_some_and(|from| from < last) {
            return None;
        }
        self.take_long()
    }

    /// The strongest long movement with all that overlap it.
    fn take_long(&mut self) -> Option<Candidate> {
        let lead = self.long.iter().copied().max_by(|a, b| a.top.1.total_cmp(&b.top.1))?;
        let mut peak = [0.0f32; UNIT_COUNT];
        let (mut onset_ns, mut end_ns) = (lead.from_ns, lead.to_ns);
        self.long.retain(|l| {
            let overlaps = l.from_ns <= lead.to_ns && l.to_ns >= lead.from_ns;
            if overlaps {
                peak[l.unit] = peak[l.unit].max(l.top.1);
                (onset_ns, end_ns) = (onset_ns.min(l.from_ns), end_ns.max(l.to_ns));
            }
            !overlaps
        });
        if end_ns - onset_ns <= ns(self.settings.max_ms)
            || !self.is_first_report(Kind::Macro, (onset_ns, end_ns))
        {
            return None;
        }
        Some(Candidate {
            kind: Kind::Macro,
            onset_ns,
            apex_ns: lead.top.0,
            offset_ns: end_ns,
            peak,
            measures: Box::new([0.0; MEASURES]),
            inner_plane: 0.0,
            cause: Some(Rejection::Macro),
            score: 0.0,
        })
    }
}

/// Whether two movements, each from onset to offset, are one: they share more than half of the shorter one.
pub fn is_same(a: (i64, i64), b: (i64, i64)) -> bool {
    let both = a.1.min(b.1) - a.0.max(b.0);
    2 * both > (a.1 - a.0).min(b.1 - b.0)
}

/// Whether a plane or a mean head that moves as a whole explains the motion at the apex.
fn is_rigid(c: &Candidate) -> bool {
    let [plane, head] = ["plane", "rigid_head"].map(|name| measure::named(&c.measures, name));
    rigid::is_rigid(plane, head) || c.inner_plane >= INNER_PLANE
}

/// When a swing has about fallen to nothing.
fn offset_ns(swing: &Swing) -> i64 {
    swing.fell_ns + (swing.fell_ns - swing.top.0).max(0)
}

/// Whether a swing rises and falls with another one.
fn belongs(lead: &Swing, other: &Swing) -> bool {
    let width = (lead.fell_ns - lead.rose_ns) as f64;
    let apart = (lead.top.0 - other.top.0).abs();
    let both = (lead.fell_ns.min(other.fell_ns) - lead.rose_ns.max(other.rose_ns)) as f64;
    let either = (lead.fell_ns.max(other.fell_ns) - lead.rose_ns.min(other.rose_ns)) as f64;
    (apart <= TOGETHER_NS || apart as f64 <= TOGETHER_SHARE * width) && both >= TOGETHER_OVERLAP * either
}

/// Whether a swing is what a stronger one drags along.
fn drags(lead: &Swing, other: &Swing) -> bool {
    let onset_ns = lead.rose_ns - (lead.top.0 - lead.rose_ns).max(0);
    let both = (offset_ns(lead).min(other.fell_ns) - onset_ns.max(other.rose_ns)) as f64;
    let width = (other.fell_ns - other.rose_ns).max(1) as f64;
    other.height() < DRAGGED.0 * lead.height() && both >= DRAGGED.1 * width
}

fn ns(ms: f32) -> i64 {
    (f64::from(ms) * 1e6) as i64
}

#[cfg(test)]
mod tests;
