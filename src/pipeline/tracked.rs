//! What the pipeline keeps of one face.

use std::collections::VecDeque;

use crate::au::UNIT_COUNT;
use crate::face::track::Track;
use crate::face::{CROP_HEIGHT, CROP_WIDTH, MIDDLE_X};
use crate::flow::{FlowEngine, FlowSettings};
use crate::gate::Gate;
use crate::geometry::Point;
use crate::intensity::{AuNet, FEATURES, features, motion};
use crate::spot::{self, CELLS, Sample, Spotter};

/// Crops are kept this long, for the pair that the student sees.
const CROPS_NS: i64 = 2_000_000_000;
/// And at most so many of them.
const MAX_CROPS: usize = 512;

/// Motion against the neutral face, in crop pixels in the mean, from which the face stands otherwise than it.
const AWAY_PX: f32 = 0.45;
/// A face that has stood otherwise for so long has a new neutral once nothing is under way,
const AWAY_NS: i64 = 500_000_000;
/// or after so long in any case.
const AWAY_AT_MOST_NS: i64 = 1_500_000_000;
/// The neutral face before an expression that stands may come back for so long,
const HELD_AT_MOST_NS: i64 = 30_000_000_000;
/// and is compared with the present one so often.
const ASK_NS: i64 = 150_000_000;
/// A reference that is worn for so long is taken anew before registration is lost.
const WORN_NS: i64 = 100_000_000;

pub(super) struct Crop {
    at_ns: i64,
    pub(super) luma: Vec<u8>,
}

/// What is kept of one face.
pub(super) struct TrackedFace {
    pub(super) track: u32,
    version: u64,
    flow: FlowEngine,
    pub(super) gate: Gate,
    pub(super) spotter: Spotter,
    pub(super) crops: VecDeque<Crop>,
    pub(super) spare: Vec<Vec<u8>>,
    pub(super) last_ns: i64,
    pub(super) intensities: [f32; UNIT_COUNT],
    features: Vec<f32>,
    /// The neutral face that `flow` has prepared.
    reference: Vec<f32>,
    /// Added to levels and motion, so that they go on where the neutral face is taken anew.
    carry: Carry,
    /// Whether the crop has been placed anew: the old reference does not fit it.
    pub(super) is_misplaced: bool,
    /// Which placing of the crop was measured last.
    placed: u64,
    /// Since when the face stands otherwise than its neutral.
    away_since_ns: Option<i64>,
    /// The neutral face before an expression that stands.
    before: Option<Before>,
    /// Motion against the neutral face that `flow` has prepared.
    motion: [f32; 2 * CELLS],
    /// The last measured frame.
    pub(super) sample: Option<Sample>,
}

/// A neutral face that may come back.
struct Before {
    neutral: Vec<f32>,
    taken_ns: i64,
    /// When the face was compared with it last, and whether it was alike.
    asked_ns: i64,
    fits: bool,
    /// Whether the expression has been over.
    has_returned: bool,
}

/// Levels of all units and motion of all cells.
struct Carry {
    levels: [f32; UNIT_COUNT],
    motion: [f32; 2 * CELLS],
}

impl TrackedFace {
    pub(super) fn new(track: &Track, thresholds: [f32; UNIT_COUNT]) -> Self {
        Self {
            track: track.id,
            version: 0,
            flow: FlowEngine::new(CROP_WIDTH, CROP_HEIGHT, FlowSettings::QUICK),
            gate: Gate::new(thresholds),
            spotter: Spotter::new(spot::SpotSettings::default()),
            crops: VecDeque::with_capacity(MAX_CROPS),
            spare: Vec::new(),
            last_ns: track.born_ns,
            intensities: [0.0; UNIT_COUNT],
            features: vec![0.0; FEATURES],
            reference: vec![0.0; CROP_WIDTH * CROP_HEIGHT],
            carry: Carry { levels: [0.0; UNIT_COUNT], motion: [0.0; 2 * CELLS] },
            is_misplaced: true,
            placed: 0,
            away_since_ns: None,
            before: None,
            motion: [0.0; 2 * CELLS],
            sample: None,
        }
    }

    /// Measures the present crop; `flowed` is called once the flow is known. Where the neutral face has changed since the
    /// last frame, the crop is measured against both, and the difference is carried on: a new reference is no movement.
    pub(super) fn measure(
        &mut self,
        track: &Track,
        net: &mut AuNet,
        at_ns: i64,
        flowed: &mut dyn FnMut(),
    ) -> Sample {
        if self.placed != track.placed {
            (self.placed, self.is_misplaced) = (track.placed, true);
            self.before = None;
        }
        if self.version != track.neutral_version {
            let before = match &self.sample {
                Some(last) if self.is_misplaced => Some((last.levels, last.motion)),
                Some(_) => {
                    let (levels, motion) = self.against_reference(track, net, &mut || {});
                    let carry = &self.carry;
                    Some((sum(&levels, &carry.levels), sum(&motion, &carry.motion)))
                }
                None => None,
            };
            self.flow.set_reference(&track.neutral);
            self.reference.copy_from_slice(&track.neutral);
            self.version = track.neutral_version;
            if let Some((levels, motion)) = before {
                let now = self.against_reference(track, net, &mut || {});
                self.carry =
                    Carry { levels: difference(&levels, &now.0), motion: difference(&motion, &now.1) };
            }
            self.is_misplaced = false;
        }
        let (levels, motion) = self.against_reference(track, net, flowed);
        self.away_since_ns =
            (energy(&motion) > AWAY_PX * AWAY_PX).then(|| self.away_since_ns.unwrap_or(at_ns));
        self.motion = motion;
        Sample {
            at_ns,
            levels: sum(&levels, &self.carry.levels),
            motion: sum(&motion, &self.carry.motion),
            context: context(track, self.flow.outliers()),
        }
    }

    /// Levels and motion of the present crop against the reference.
    fn against_reference(
        &mut self,
        track: &Track,
        net: &mut AuNet,
        flowed: &mut dyn FnMut(),
    ) -> ([f32; UNIT_COUNT], [f32; 2 * CELLS]) {
        let flow = self.flow.run(&track.crop);
        flowed();
        features(flow, &self.reference, &track.crop, &mut self.features);
        (net.run(&self.features), motion(&self.features))
    }

    /// Lets the neutral face follow the present one: slowly while they are alike, and at once where the face has stood
    /// otherwise for long, a turned head or a held expression, or where registration will soon not know it any more.
    pub(super) fn follow_rest(&mut self, track: &mut Track, net: &mut AuNet, at_ns: i64, dt_s: f32) {
        self.see_end(track, net, at_ns);
        let open = self.gate.is_open();
        match self.away_since_ns {
            _ if track.is_worn(at_ns, WORN_NS) => self.rebase(track, at_ns),
            None if !open => track.absorb(at_ns, dt_s),
            Some(since_ns) => {
                let away_ns = at_ns - since_ns;
                if (away_ns > AWAY_NS && !open) || away_ns > AWAY_AT_MOST_NS {
                    self.rebase(track, at_ns);
                }
            }
            None => {}
        }
    }

    /// Takes the present face as neutral. Where an expression stands in it, the neutral face before it is remembered; where that
    /// one is back, it is taken itself.
    fn rebase(&mut self, track: &mut Track, at_ns: i64) {
        self.away_since_ns = None;
        // What was seen of it before the face stood otherwise says nothing of now.
        let fits = |b: &mut Before| b.fits && at_ns - b.asked_ns < 2 * ASK_NS;
        if let Some(before) = self.before.take_if(fits) {
            track.restore(&before.neutral, at_ns);
            return;
        }
        if spot::is_of_head(&self.motion) {
            self.before = None;
        } else if self.before.as_ref().is_none_or(|b| b.has_returned) {
            let neutral = track.neutral.clone();
            let (taken_ns, asked_ns) = (at_ns, at_ns);
            self.before = Some(Before { neutral, taken_ns, asked_ns, fits: false, has_returned: false });
        }
        track.rebase(at_ns);
    }

    /// Whether an expression that stood is over: the face is the neutral one before it again. Levels go on, so that nothing has moved;
    /// those who see intensities see them against that neutral face. While the reference is still that of the expression they are
    /// put right again and again: the network knows nothing of a face that leaves an expression.
    fn see_end(&mut self, track: &Track, net: &mut AuNet, at_ns: i64) {
        self.before.take_if(|before| at_ns - before.taken_ns > HELD_AT_MOST_NS);
        let is_away = self.away_since_ns.is_some();
        let is_due = |b: &Before| at_ns - b.asked_ns >= ASK_NS && (is_away || !b.has_returned);
        let Some(before) = self.before.as_mut().filter(|b| is_due(b)) else { return };
        self.flow.set_reference(&before.neutral);
        features(self.flow.run(&track.crop), &before.neutral, &track.crop, &mut self.features);
        self.flow.set_reference(&self.reference);
        before.asked_ns = at_ns;
        before.fits = energy(&motion(&self.features)) < AWAY_PX * AWAY_PX;
        before.has_returned |= before.fits;
        if before.fits
            && let Some(last) = &self.sample
        {
            self.gate.correct(&last.levels, &net.run(&self.features), before.taken_ns);
        }
    }

    pub(super) fn keep_crop(&mut self, at_ns: i64, crop: &[f32]) {
        while self.crops.len() >= MAX_CROPS || self.crops.front().is_some_and(|c| at_ns - c.at_ns > CROPS_NS)
        {
            let Some(old) = self.crops.pop_front() else { break };
            self.spare.push(old.luma);
        }
        let mut luma = self.spare.pop().unwrap_or_else(|| vec![0; crop.len()]);
        for (o, v) in luma.iter_mut().zip(crop) {
            *o = (v + 0.5) as u8;
        }
        self.crops.push_back(Crop { at_ns, luma });
    }

    /// The crop that was taken nearest to a time, and when.
    pub(super) fn crop_near(&self, at_ns: i64) -> Option<(i64, &[u8])> {
        let nearest = self.crops.iter().min_by_key(|c| (c.at_ns - at_ns).abs())?;
        Some((nearest.at_ns, &nearest.luma))
    }

    /// Mean of the crops within 12 ms of a time, at least the nearest one.
    pub(super) fn crop_at(&self, at_ns: i64, out: &mut [f32]) -> bool {
        let nearest = self.crops.iter().map(|c| (c.at_ns - at_ns).abs()).min();
        let Some(nearest) = nearest else { return false };
        let reach = nearest.max(12_000_000);
        let mut n = 0.0;
        out.fill(0.0);
        for crop in self.crops.iter().filter(|c| (c.at_ns - at_ns).abs() <= reach) {
            out.iter_mut().zip(&crop.luma).for_each(|(o, v)| *o += f32::from(*v));
            n += 1.0;
        }
        out.iter_mut().for_each(|o| *o /= n);
        true
    }
}

/// Mean square of a motion, over the cells.
fn energy(motion: &[f32; 2 * CELLS]) -> f32 {
    motion.iter().map(|v| v * v).sum::<f32>() / CELLS as f32
}

/// What the spotter is told beside the intensities.
pub(super) fn context(track: &Track, outliers: f32) -> spot::Context {
    let place = track.crop_to_frame;
    let center = place.apply(Point::new(MIDDLE_X, 72.0));
    let unit = track.eye_distance_px().max(1.0);
    let brightness = track.crop.iter().sum::<f32>() / track.crop.len() as f32;
    spot::Context {
        head: [center.x / unit, center.y / unit],
        pose: [place.scale().ln(), place.angle()],
        light: brightness.max(1.0).ln(),
        quality: track.quality,
        outliers,
        eye_distance_px: track.eye_distance_px(),
    }
}

fn sum<const N: usize>(a: &[f32; N], b: &[f32; N]) -> [f32; N] {
    std::array::from_fn(|k| a[k] + b[k])
}

fn difference<const N: usize>(a: &[f32; N], b: &[f32; N]) -> [f32; N] {
    std::array::from_fn(|k| a[k] - b[k])
}
