//! One recording, frame by frame: excursions of a face from its rest, each with a reference and a target.

use std::collections::VecDeque;

use anyhow::Result;
use glint::au::{AU_COUNT, AUS};
use glint::frame::Frame;
use glint::geometry::Similarity;
use glint::pipeline::{Models, Options, Pipeline, Step};
use serde::{Deserialize, Serialize};

use super::judge::{PairFilter, Range, Reason};

/// A reference lies no longer before the excursion.
const REFERENCE_NS: i64 = 400_000_000;
/// An excursion ends when the face was at rest for this long: syllables are one.
const REST_NS: i64 = 150_000_000;
/// What an AU reads at rest is the lower quartile of this time: a micro-expression is over before it shows there, a face that
/// stays a little moved, or a head that has turned, does not pass for one movement without end.
const RECENT_NS: i64 = 1_000_000_000;
/// How long an excursion lasted is the time between the first and the last frame of at least this share of its greatest
/// intensity: what is left of a movement, or drifts, lasts for longer, and syllables count together.
const HEIGHT: f32 = 0.5;
/// An excursion goes on while an AU reaches this share of what began it.
const HYSTERESIS: f32 = 0.6;
/// Older frames of an excursion play no part in its length: it is too long anyway.
const LONGEST_NS: i64 = 5_000_000_000;
/// Without the filter, one pair in this time, its frames this far apart: a typical rise (Yan et al. 2013).
const UNFILTERED_NS: (i64, i64) = (1_000_000_000, 200_000_000);

/// How a recording is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Intensities that are kept.
    pub range: Range,
    /// Longest time at half of the greatest intensity or above it, in ms.
    pub max_ms: f32,
    /// Takes pairs at fixed distances instead, whatever happens between them.
    pub unfiltered: bool,
}

/// A frame that a pair may use.
#[derive(Debug, Clone, PartialEq)]
pub struct ScannedFrame {
    /// Number of the frame in its recording, from 0.
    pub seq: u64,
    /// Its time.
    pub at_ns: i64,
    /// The stabilised crop.
    pub crop: Vec<u8>,
    /// Crop to frame coordinates: depth images are cut by it.
    pub crop_to_frame: Similarity,
    /// Size of the frame.
    pub size: (usize, usize),
    /// Strongest intensity above rest, the lids left out.
    strength: f32,
}

/// An excursion and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Excursion {
    /// Before the movement; `None` where nothing was quiet.
    pub reference: Option<ScannedFrame>,
    /// At its greatest extent.
    pub target: ScannedFrame,
    /// First and last time above the minimum.
    pub span_ns: (i64, i64),
    /// Why it is kept or not.
    pub reason: Reason,
    /// Intensity of each AU between reference and target.
    pub intensities: [f32; AU_COUNT],
}

struct Active {
    begun_ns: i64,
    last_ns: i64,
    reference: Option<ScannedFrame>,
    target: Option<ScannedFrame>,
    /// Time and strength of the frames, the lids left out.
    course: VecDeque<(i64, f32)>,
}

impl Active {
    /// Time at [`HEIGHT`] of the greatest strength or above it.
    fn lasted_ns(&self) -> i64 {
        let high = HEIGHT * self.course.iter().map(|c| c.1).fold(0.0, f32::max);
        let mut times = self.course.iter().filter(|c| c.1 >= high).map(|c| c.0);
        let first = times.next().unwrap_or_default();
        times.next_back().unwrap_or(first) - first
    }
}

/// What the AUs read at rest.
#[derive(Default)]
struct Rest {
    /// Time and intensities of the frames of the last [`RECENT_NS`].
    recent: VecDeque<(i64, [f32; AU_COUNT])>,
    sorted: Vec<f32>,
}

impl Rest {
    /// Intensities above rest.
    fn above(&mut self, at_ns: i64, intensities: &[f32; AU_COUNT]) -> [f32; AU_COUNT] {
        self.recent.push_back((at_ns, *intensities));
        while self.recent.front().is_some_and(|r| at_ns - r.0 > RECENT_NS) {
            self.recent.pop_front();
        }
        std::array::from_fn(|k| {
            self.sorted.clear();
            self.sorted.extend(self.recent.iter().map(|r| r.1[k]));
            let quartile = (self.sorted.len() - 1) / 4;
            intensities[k] - *self.sorted.select_nth_unstable_by(quartile, f32::total_cmp).1
        })
    }
}

/// Scans one recording. Memory does not grow with its length.
pub struct Scanner {
    pipeline: Pipeline,
    judge: PairFilter,
    rules: Rules,
    rest: Rest,
    /// Crops of the face at rest, newest last.
    quiet: VecDeque<ScannedFrame>,
    active: Option<Active>,
    next_ns: i64,
    /// Frames, and those in which a face could be measured.
    pub frames: [u64; 2],
}

impl Scanner {
    /// A scanner with the daemon's models.
    pub fn new(models: &Models, rules: Rules) -> Result<Self> {
        Ok(Self {
            pipeline: Pipeline::new(Options::default(), models)?,
            judge: PairFilter::new(models, rules.range)?,
            rules,
            rest: Rest::default(),
            quiet: VecDeque::new(),
            active: None,
            next_ns: 0,
            frames: [0; 2],
        })
    }

    /// One frame; `emit` gets each excursion as it ends.
    pub fn push(&mut self, frame: &Frame, emit: &mut dyn FnMut(Excursion)) {
        self.frames[0] += 1;
        let step = self.pipeline.push(frame);
        let measured = self.pipeline.observation().intensities;
        let (Some(intensities), Some((crop, placed))) = (measured, self.pipeline.stabilised()) else {
            let reason = if step == Step::Gap { Reason::Gap } else { Reason::HeadMotion };
            return self.spoil(reason, emit);
        };
        self.frames[1] += 1;
        let intensities = self.rest.above(frame.at_ns, &intensities);
        let still = ScannedFrame {
            seq: frame.seq,
            at_ns: frame.at_ns,
            crop: crop.iter().map(|v| (v + 0.5).clamp(0.0, 255.0) as u8).collect(),
            crop_to_frame: placed,
            size: (frame.width, frame.height),
            strength: strength(&intensities),
        };
        if self.rules.unfiltered {
            return self.at_fixed_distance(still, emit);
        }
        let moved = self.moved(&intensities);
        self.follow(moved, still, emit);
    }

    /// A frame that could not be decoded.
    pub fn gap(&mut self, seq: u64, at_ns: i64, emit: &mut dyn FnMut(Excursion)) {
        self.frames[0] += 1;
        self.pipeline.gap(seq, at_ns);
        self.spoil(Reason::Gap, emit);
    }

    /// The recording has ended.
    pub fn finish(&mut self, emit: &mut dyn FnMut(Excursion)) {
        if let Some(active) = self.active.take() {
            self.close(active, None, emit);
        }
    }

    /// Whether the face is away from its rest: an AU (the lids left out) is above its minimum; once away, above the gate's
    /// share of it. The daemon's gate is not asked: it opens for less, and stays open for as long as a face is a little
    /// moved, since the spotter judges what it lets through by its course.
    fn moved(&self, intensities: &[f32; AU_COUNT]) -> bool {
        let share = if self.active.is_some() { HYSTERESIS } else { 1.0 };
        (0..AU_COUNT).any(|k| AUS[k] != 45 && intensities[k] >= share * self.rules.range.counts_from(k))
    }

    fn follow(&mut self, moved: bool, still: ScannedFrame, emit: &mut dyn FnMut(Excursion)) {
        let at_ns = still.at_ns;
        if moved {
            let active = self.active.get_or_insert_with(|| Active {
                begun_ns: at_ns,
                last_ns: at_ns,
                // The calmest of the frames before, the latest of equals: the movement began before the gate opened.
                reference: self
                    .quiet
                    .iter()
                    .rev()
                    .take_while(|s| at_ns - s.at_ns <= REFERENCE_NS)
                    .min_by(|a, b| a.strength.total_cmp(&b.strength))
                    .cloned(),
                target: None,
                course: VecDeque::new(),
            });
            active.last_ns = at_ns;
            active.course.push_back((at_ns, still.strength));
            while active.course.front().is_some_and(|c| at_ns - c.0 > LONGEST_NS) {
                active.course.pop_front();
            }
            if active.target.as_ref().is_none_or(|t| still.strength > t.strength) {
                active.target = Some(still);
            }
            return;
        }
        if let Some(active) = self.active.take_if(|a| at_ns - a.last_ns >= REST_NS) {
            self.close(active, None, emit);
        }
        if self.active.is_none() {
            while self.quiet.front().is_some_and(|s| at_ns - s.at_ns > REFERENCE_NS) {
                self.quiet.pop_front();
            }
            self.quiet.push_back(still);
        }
    }

    /// What is under way cannot be used, nor what was quiet before.
    fn spoil(&mut self, reason: Reason, emit: &mut dyn FnMut(Excursion)) {
        if let Some(active) = self.active.take() {
            self.close(active, Some(reason), emit);
        }
        self.quiet.clear();
    }

    fn close(&mut self, active: Active, spoilt: Option<Reason>, emit: &mut dyn FnMut(Excursion)) {
        let too_long = active.lasted_ns() as f32 / 1e6 > self.rules.max_ms;
        let Some(target) = active.target else { return };
        let (reason, intensities) = match (&active.reference, spoilt) {
            (_, Some(reason)) => (reason, [0.0; AU_COUNT]),
            (None, None) => (Reason::NoReference, [0.0; AU_COUNT]),
            (Some(reference), None) => {
                let (reason, intensities) = self.judge.decide(&reference.crop, &target.crop);
                // Lids and strength say more than length does.
                let sustained = too_long && reason == Reason::Kept;
                (if sustained { Reason::Sustained } else { reason }, intensities)
            }
        };
        let span_ns = (active.begun_ns, active.last_ns);
        emit(Excursion { reference: active.reference, target, span_ns, reason, intensities });
    }

    fn at_fixed_distance(&mut self, still: ScannedFrame, emit: &mut dyn FnMut(Excursion)) {
        let at_ns = still.at_ns;
        while self.quiet.front().is_some_and(|s| at_ns - s.at_ns > REFERENCE_NS) {
            self.quiet.pop_front();
        }
        let earlier = self.quiet.iter().rev().find(|s| at_ns - s.at_ns >= UNFILTERED_NS.1);
        if at_ns >= self.next_ns
            && let Some(reference) = earlier.cloned()
        {
            self.next_ns = at_ns + UNFILTERED_NS.0;
            let (_, intensities) = self.judge.decide(&reference.crop, &still.crop);
            let (span_ns, target) = ((reference.at_ns, at_ns), still.clone());
            let reason = Reason::Kept;
            emit(Excursion { reference: Some(reference), target, span_ns, reason, intensities });
        }
        self.quiet.push_back(still);
    }
}

/// Strongest intensity, the lids left out.
fn strength(intensities: &[f32; AU_COUNT]) -> f32 {
    AUS.iter().zip(intensities).filter(|(au, _)| **au != 45).map(|(_, i)| *i).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::super::judge::MACRO_FROM;
    use super::*;
    use glint::intensity::by_au;
    use glint::synth::{Action, Camera, Pack, Profile, Scene, Script, Speech, Subject};

    const S: i64 = 1_000_000_000;

    fn scan(script: Script, seconds: u64, unfiltered: bool) -> Vec<Excursion> {
        let models = Models::embedded().expect("models");
        let range = Range {
            least: by_au(&models.au.spec.thresholds.by_unit().expect("thresholds")),
            macro_from: MACRO_FROM,
        };
        let rules = Rules { range, max_ms: 350.0, unfiltered };
        let mut scanner = Scanner::new(&models, rules).expect("scanner");
        let subject = Subject::random(Pack::embedded().expect("pack"), 3);
        let mut scene = Scene::new(subject, script, Camera::default());
        let mut out = Vec::new();
        for seq in 0..50 * seconds {
            scanner.push(&scene.frame(seq, 50.0), &mut |e| out.push(e));
        }
        scanner.finish(&mut |e| out.push(e));
        assert_eq!(scanner.frames[0], 50 * seconds);
        out
    }

    #[test]
    fn a_weak_smile_is_kept_and_what_else_happens_is_not() {
        let strong = Action { intensity: 0.9, ..Action::micro(12, 0.9, 4 * S) };
        let long = Action {
            apex_ns: 7 * S,
            offset_ns: 8 * S,
            profile: Profile::Hold,
            ..Action::micro(4, 0.35, 6 * S + S / 2)
        };
        let actions = vec![Action::micro(12, 0.25, 2 * S), strong, long, Action::blink(9 * S)];
        let excursions = scan(Script::new(actions).expect("a face can do it"), 10, false);
        let kept: Vec<&Excursion> = excursions.iter().filter(|e| e.reason == Reason::Kept).collect();
        assert_eq!(
            kept.len(),
            1,
            "{:?}",
            excursions.iter().map(|e| (e.span_ns, e.reason)).collect::<Vec<_>>()
        );
        let reference = kept[0].reference.as_ref().expect("a reference");
        // The reference lies before the onset or so near to it that nothing is seen yet, the target near the apex.
        assert!(reference.at_ns <= 2 * S + 40_000_000, "{}", reference.at_ns);
        assert!((kept[0].target.at_ns - 2 * S - 120_000_000).abs() <= 60_000_000, "{}", kept[0].target.at_ns);
        let smile = AUS.iter().position(|au| *au == 12).expect("AU 12");
        assert!((kept[0].intensities[smile] - 1.25).abs() < 0.5, "{:?}", kept[0].intensities);
        let reason = |at: i64| {
            excursions.iter().find(|e| (at..at + 2 * S).contains(&e.target.at_ns)).map(|e| e.reason)
        };
        // Too strong, or too long above the minimum: which of both depends on how far the flow follows.
        for at in [4 * S, 6 * S] {
            assert!(
                matches!(reason(at), Some(Reason::Sustained | Reason::MacroRange)),
                "{at}: {:?}",
                reason(at)
            );
        }
    }

    #[test]
    fn a_face_that_stays_moved_hides_nothing() {
        let held = Action {
            apex_ns: 2 * S,
            offset_ns: 7 * S,
            profile: Profile::Hold,
            ..Action::micro(4, 0.12, 2 * S - S / 2)
        };
        let smile = Action::micro(12, 0.25, 4 * S + S / 2);
        let excursions = scan(Script::new(vec![held, smile]).expect("a face can do it"), 7, false);
        let kept = excursions.iter().filter(|e| e.reason == Reason::Kept);
        let apexes: Vec<i64> = kept.map(|e| e.target.at_ns - 4 * S - S / 2).collect();
        assert!(
            apexes.iter().any(|at| (0..=250_000_000).contains(at)),
            "{:?}",
            excursions.iter().map(|e| (e.span_ns, e.reason)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn talk_is_not_kept() {
        let mut script = Script::new(Vec::new()).expect("valid");
        script.speech.push(Speech { from_ns: 2 * S, to_ns: 5 * S, strength: 0.5, rate_hz: 4.0, seed: 1 });
        let excursions = scan(script, 6, false);
        let kept = excursions.iter().filter(|e| e.reason == Reason::Kept).count();
        assert!(
            !excursions.is_empty() && kept == 0,
            "{:?}",
            excursions.iter().map(|e| (e.span_ns, e.reason)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn without_the_filter_pairs_come_by_the_clock() {
        let excursions = scan(Script::new(Vec::new()).expect("valid"), 4, true);
        assert!((2..=4).contains(&excursions.len()), "{}", excursions.len());
        for e in &excursions {
            let reference = e.reference.as_ref().expect("a reference");
            assert_eq!(e.target.at_ns - reference.at_ns, 200_000_000);
        }
        assert!(excursions.iter().all(|e| e.reason == Reason::Kept));
    }
}
