//! What `glintd inspect` shows of a clip: a figure, as SVG or PNG, and a page with it.

mod faces;
pub(crate) mod figure;
mod lanes;
pub(crate) mod page;
mod scale;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use glint::au::{AU_COUNT, Side, UNIT_COUNT, UNITS, au_index};
use glint::event::{AuReading, Kind, Movement};
use glint::frame::Frame;
use glint::pipeline::{Pipeline, Step};

use crate::daemon::summary::Concluded;
use faces::Strip;

/// Intensity from which an action unit has moved: FACS A.
const MOVED: f32 = 0.5;
/// The face is shown at so many micro-expressions: a page stays small enough to be mailed.
const STRIPS: usize = 50;

/// What was measured in one frame.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Time of the frame.
    pub(crate) at_ns: i64,
    /// Intensity of each unit, 0 to 5; `None` while it cannot be measured.
    pub(crate) units: Option<[f32; UNIT_COUNT]>,
    /// Quality of the registration (0 to 1) and head motion in pixels a frame; `None` without a face.
    pub(crate) face: Option<(f32, f32)>,
    /// Mean luma of the face; `None` while it is not measured.
    pub(crate) light: Option<f32>,
    /// Frames a second.
    pub(crate) fps: f32,
    /// Name of the step.
    pub(crate) state: &'static str,
    /// Whether frames are missing between the previous row and this one, or this one could not be decoded.
    pub(crate) after_gap: bool,
}

/// What the figure and the page show of a clip.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// A row a frame.
    pub(crate) rows: Vec<Row>,
    /// Movements that were told.
    pub(crate) events: Vec<Movement>,
    /// Candidates that were not.
    pub(crate) rejected: Vec<Concluded>,
    /// Pictures of the face at the first micro-expressions, by their places among the events; `None` unless they were asked
    /// for.
    pub(crate) strips: Option<BTreeMap<usize, Strip>>,
    last_seq: Option<u64>,
}

impl Record {
    /// Of a clip that begins.
    pub(crate) fn new(with_faces: bool) -> Self {
        Self { strips: with_faces.then(BTreeMap::new), ..Self::default() }
    }

    /// Takes the step of a frame, or one that the end of the clip makes.
    pub(crate) fn add(&mut self, step: &Step, frame: Option<&Frame>, pipeline: &Pipeline) {
        if let Step::Event(movement) = step {
            if let Some(strips) = self.strips.as_mut().filter(|s| s.len() < STRIPS)
                && movement.kind == Kind::Micro
                && let Some(strip) = Strip::take(pipeline, movement)
            {
                strips.insert(self.events.len(), strip);
            }
            self.events.push(movement.clone());
        }
        let Some(frame) = frame else { return };
        let o = pipeline.observation();
        let lost = self.last_seq.is_some_and(|last| frame.seq > last + 1);
        self.last_seq = Some(frame.seq);
        self.rows.push(Row {
            at_ns: frame.at_ns,
            units: pipeline.intensities().copied(),
            face: o.bounds.map(|_| (o.quality, o.motion_px)),
            light: pipeline.sample().map(|sample| sample.context.light.exp()),
            fps: o.fps,
            state: step.as_str(),
            after_gap: lost || *step == Step::Gap,
        });
    }

    /// Takes every candidate that was concluded; those that were told are events already.
    pub(crate) fn conclude(&mut self, concluded: Vec<Concluded>) {
        let published: HashSet<(u32, i64, Kind)> =
            self.events.iter().map(|e| (e.track, e.onset_ns, e.kind)).collect();
        self.rejected =
            concluded.into_iter().filter(|c| !published.contains(&(c.track, c.onset_ns, c.kind))).collect();
    }

    /// First and last time.
    fn span(&self) -> (i64, i64) {
        (self.rows.first().map_or(0, |row| row.at_ns), self.rows.last().map_or(0, |row| row.at_ns))
    }

    /// Indices of the AUs that take part in an event, or reach A.
    fn moving(&self) -> Vec<usize> {
        let mut moves = [false; AU_COUNT];
        let of_events = self.events.iter().flat_map(|e| &e.aus).filter_map(|reading| au_index(reading.au));
        of_events.for_each(|k| moves[k] = true);
        for units in self.rows.iter().filter_map(|row| row.units.as_ref()) {
            for (unit, _) in UNITS.iter().zip(units).filter(|(_, value)| **value >= MOVED) {
                if let Some(k) = au_index(unit.au) {
                    moves[k] = true;
                }
            }
        }
        (0..AU_COUNT).filter(|k| moves[*k]).collect()
    }
}

/// Its name in figures and exports.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Micro => "micro",
        Kind::Macro => "macro",
        Kind::Blink => "blink",
    }
}

/// Action units in words: `AU12 both sides 1.02 (A)`.
pub(crate) fn readings(aus: &[AuReading]) -> String {
    let one = |r: &AuReading| {
        let side = match r.side {
            Side::Left => "left",
            Side::Right => "right",
            Side::Both if glint::au::is_central(r.au) => "",
            Side::Both => "both sides",
        };
        let gap = if side.is_empty() { "" } else { " " };
        let letter = r.level.map_or_else(String::new, |letter| format!(" ({letter})"));
        format!("AU{}{gap}{side} {:.2}{letter}", r.au, r.intensity)
    };
    aus.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Seconds of nanoseconds.
fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}
