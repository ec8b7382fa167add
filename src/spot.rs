//! Onset, apex and offset of movements, from gated intensities over time, and what is no micro-expression.
//!
//! Causal, on timestamps alone. A movement opens when the gate opens and ends when the gate has been shut for
//! [`Settings::settle_ms`]. Movements of several AUs that overlap in time are one event; two are told apart when the gate
//! shuts between them. Onset and offset are the instants at which the movement is zero: the rise and the fall cross a
//! quarter and three quarters of the apex at times from which a raised cosine gives its two ends. A finished movement
//! waits for [`Settings::context_ms`]: what comes before and after it tells a movement from a part of speech, and the
//! level of rest on both sides is what its height is measured from. `docs/spotting.md` explains the [`Measures`].

mod history;
mod judge;
mod measure;

use std::collections::VecDeque;

use crate::au::UNIT_COUNT;
use crate::event::Kind;

use history::{History, Sample};
pub use measure::Measures;
use measure::Stretch;

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

/// Finds movements in the intensities of one track.
#[derive(Debug, Clone)]
pub struct Spotter {
    settings: Settings,
    history: History,
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
            history: History::new(),
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
        let keep = at_ns - ns(self.settings.history_ms + 4.0 * self.settings.max_ms);
        self.history.push(Sample { at_ns, intensities: *intensities, context }, keep);
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
            abandoned = at_ns - now.0 > ns(6.0 * self.settings.max_ms);
            if abandoned {
                self.open = None;
                self.ended = Some((at_ns, now.1));
            }
        } else if let Some(mut stretch) = self.open {
            let shut_ns = *self.shut_ns.get_or_insert(at_ns);
            if at_ns - shut_ns >= ns(self.settings.settle_ms) {
                stretch.shut_ns = shut_ns;
                self.pending.push_back(stretch);
                self.ended = Some((shut_ns, stretch.strength));
                (self.open, self.shut_ns) = (None, None);
            }
        }
        let context_ns = ns(self.settings.context_ms);
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
        let Some(mut candidate) = measure::measure(&self.history, &stretch) else {
            return Verdict::Rejected(Rejection::TooShort, None);
        };
        if let Some(cause) = stretch.disturbed {
            return Verdict::Rejected(cause, None);
        }
        match judge::judge(&candidate.measures, &self.settings) {
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
}

fn ns(ms: f32) -> i64 {
    (f64::from(ms) * 1e6) as i64
}

#[cfg(test)]
mod tests;
