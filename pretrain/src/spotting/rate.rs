//! What was found at one frame rate, among movements and among distractors.

use std::collections::BTreeMap;

use glint::pipeline::Counters;

use super::score::{Tally, cause, poisson_interval};
use super::watch::WatchedClip;
use crate::corpus::plan::{Distractor, Micro, Span};

/// Movements that travel less than this in the frame are those where others see nothing.
pub const SMALL_PX: f32 = 1.25;

/// A sequence with its truth and what was said of it.
pub struct Watched {
    /// Movements.
    pub micros: Vec<Micro>,
    /// What else happens.
    pub distractors: Vec<Span>,
    /// What was said of it.
    pub seen: WatchedClip,
}

/// What was found at one frame rate.
pub struct AtRate {
    /// Frames a second.
    pub fps: u32,
    /// Movements, and what of them was found.
    pub tally: Tally,
    /// Published movements that are none, in sequences with movements.
    pub wrong: usize,
    /// Minutes of sequences with movements.
    pub mixed_minutes: f64,
    /// Events in sequences without movements,
    pub false_alarms: u64,
    /// by what happened there.
    pub causes: BTreeMap<String, u64>,
    /// Minutes of sequences without movements.
    pub minutes: f64,
    /// Counts of the pipeline over them.
    pub rejected: Counters,
    /// Frames in which the head moved too fast or was turned too far.
    pub moving: u64,
    /// All frames.
    pub frames: u64,
}

impl AtRate {
    /// Nothing was watched yet.
    pub fn new(fps: u32) -> Self {
        Self {
            fps,
            tally: Tally::default(),
            wrong: 0,
            mixed_minutes: 0.0,
            false_alarms: 0,
            causes: BTreeMap::new(),
            minutes: 0.0,
            rejected: Counters::default(),
            moving: 0,
            frames: 0,
        }
    }

    /// The row of the table.
    pub fn line(&self) -> String {
        let [onset, apex, offset] = self.tally.median_errors_ms();
        let (small, small_total) = self.tally.below(SMALL_PX);
        format!(
            "{:3}  {:5.3}  {:5.3}  {:5.3} ({:3})   {:5.3} ({small_total:3})  {onset:6.1} {apex:5.1} {offset:5.1}     {}",
            self.fps,
            self.tally.f1(),
            self.tally.precision(),
            self.tally.recall(),
            self.tally.truth,
            share(small as u64, small_total as u64),
            self.false_alarms()
        )
    }

    /// False alarms a minute among distractors, with their interval, and the minutes.
    fn false_alarms(&self) -> String {
        if self.minutes == 0.0 {
            return "none watched".into();
        }
        let (low, high) = poisson_interval(self.false_alarms);
        let [rate, low, high] = [self.false_alarms as f64, low, high].map(|n| n / self.minutes);
        format!("{rate:6.2} ({low:.2}-{high:.2}) {:6.1}", self.minutes)
    }

    /// Counts what was found of movements, and beside them.
    pub fn add_movements(&mut self, w: &Watched) {
        let before = (self.tally.found, self.tally.hits);
        self.tally.add(&w.micros, &w.seen.movements);
        self.wrong += (self.tally.found - before.0) - (self.tally.hits - before.1);
        self.mixed_minutes += w.seen.seconds / 60.0;
    }

    /// Counts what was found where no micro-expression is.
    pub fn add_distractors(&mut self, w: &Watched) {
        self.false_alarms += w.seen.movements.len() as u64;
        self.minutes += w.seen.seconds / 60.0;
        self.moving += w.seen.moving;
        self.frames += w.seen.counters.frames;
        add(&mut self.rejected, &w.seen.counters);
        for movement in &w.seen.movements {
            *self.causes.entry(cause_name(cause(movement, &w.distractors))).or_default() += 1;
        }
    }
}

fn cause_name(cause: Option<Distractor>) -> String {
    match cause {
        Some(d) => format!("{d:?}").to_lowercase(),
        None => "nothing".into(),
    }
}

/// Adds the counts of another run.
pub fn add(sum: &mut Counters, more: &Counters) {
    sum.frames += more.frames;
    sum.frames_with_face += more.frames_with_face;
    sum.gate_open += more.gate_open;
    sum.student_runs += more.student_runs;
    sum.events += more.events;
    sum.rejected_too_short += more.rejected_too_short;
    sum.rejected_macro += more.rejected_macro;
    sum.rejected_blink += more.rejected_blink;
    sum.rejected_head_motion += more.rejected_head_motion;
    sum.rejected_speech += more.rejected_speech;
    sum.rejected_light += more.rejected_light;
    sum.rejected_occlusion += more.rejected_occlusion;
    sum.rejected_noise += more.rejected_noise;
    sum.rejected_timing += more.rejected_timing;
}

/// Rejected candidates by cause, those that occur.
pub fn rejections(c: &Counters) -> BTreeMap<&'static str, u64> {
    c.rejected().into_iter().filter(|(_, n)| *n > 0).collect()
}

/// Share of a count.
pub fn share(part: u64, total: u64) -> f64 {
    part as f64 / total.max(1) as f64
}
