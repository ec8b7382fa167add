//! What the pipeline keeps of one face.

use std::collections::VecDeque;

use crate::au::UNIT_COUNT;
use crate::face::track::Track;
use crate::face::{CROP_HEIGHT, CROP_WIDTH};
use crate::flow::{FlowEngine, Settings};
use crate::gate::{FEATURES, Gate};
use crate::geometry::Point;
use crate::spot::{self, Spotter};

/// Crops are kept this long, for the pair that the student sees.
const CROPS_NS: i64 = 2_000_000_000;
/// And at most so many of them.
const MAX_CROPS: usize = 512;

/// Change of the logarithm of brightness after which a face is lit otherwise, and how long it must last.
const RELIT: f32 = 0.03;
/// See [`RELIT`].
const RELIT_NS: i64 = 300_000_000;

pub(super) struct Crop {
    at_ns: i64,
    pub(super) luma: Vec<u8>,
}

/// What is kept of one face.
pub(super) struct Subject {
    pub(super) track: u32,
    pub(super) version: u64,
    pub(super) flow: FlowEngine,
    pub(super) gate: Gate,
    pub(super) spotter: Spotter,
    pub(super) crops: VecDeque<Crop>,
    pub(super) spare: Vec<Vec<u8>>,
    pub(super) last_ns: i64,
    pub(super) intensities: [f32; UNIT_COUNT],
    pub(super) features: Vec<f32>,
    /// Brightness of the neutral face, as in [`spot::Context`]; `None` until one frame was quiet.
    pub(super) light: Option<f32>,
    /// Since when the brightness is another one.
    pub(super) relit_ns: Option<i64>,
}

impl Subject {
    pub(super) fn new(track: &Track, thresholds: [f32; UNIT_COUNT]) -> Self {
        Self {
            track: track.id,
            version: 0,
            flow: FlowEngine::new(CROP_WIDTH, CROP_HEIGHT, Settings::QUICK),
            gate: Gate::new(thresholds),
            spotter: Spotter::new(spot::Settings::default()),
            crops: VecDeque::with_capacity(MAX_CROPS),
            spare: Vec::new(),
            last_ns: track.born_ns,
            intensities: [0.0; UNIT_COUNT],
            features: vec![0.0; FEATURES],
            light: None,
            relit_ns: None,
        }
    }

    /// Whether the light has been another one than the neutral face's for so long that it stays.
    pub(super) fn is_relit(&mut self, at_ns: i64, light: f32) -> bool {
        let neutral = *self.light.get_or_insert(light);
        if (light - neutral).abs() < RELIT {
            self.relit_ns = None;
            return false;
        }
        at_ns - *self.relit_ns.get_or_insert(at_ns) >= RELIT_NS
    }

    /// Lets the brightness of the neutral face follow a quiet face.
    pub(super) fn learn_light(&mut self, at_ns: i64, dt_s: f32, light: f32) {
        let stays = self.relit_ns.is_some_and(|t| at_ns - t >= RELIT_NS);
        let neutral = self.light.get_or_insert(light);
        *neutral += if stays { 1.0 } else { dt_s.clamp(0.0, 0.2) } * (light - *neutral);
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

/// What the spotter is told beside the intensities.
pub(super) fn context(track: &Track, outliers: f32) -> spot::Context {
    let place = track.crop_to_frame;
    let center = place.apply(Point::new(63.5, 72.0));
    let unit = track.eye_distance_px().max(1.0);
    let brightness = track.crop.iter().sum::<f32>() / track.crop.len() as f32;
    spot::Context {
        head: [center.x / unit, center.y / unit],
        pose: [place.scale().ln(), place.angle()],
        light: brightness.max(1.0).ln(),
        quality: track.quality,
        outliers,
    }
}
