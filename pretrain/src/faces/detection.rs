//! Recall, false positives and time of detectors on the same frames.

use std::time::Instant;

use anyhow::Result;
use glint::face::detector::{Detector, DetectorSpec};
use glint::face::landmarks::Landmarker;
use glint::geometry::Rect;
use glint::model::Checked;
use glint::pipeline::Models;
use glint::statistics::median;

use super::{HEIGHT, WIDTH};

/// Overlap from which a face counts as found.
pub const MIN_IOU: f32 = 0.5;

/// What a detector does with frames, one after the other.
pub struct DetectionTrial {
    /// Which detector.
    pub name: String,
    detector: Detector,
    /// Only boxes that landmarks confirm count, as in the daemon; without it all.
    landmarker: Option<Landmarker>,
    boxes: Vec<Rect>,
    /// Of each face: whether it was found.
    pub hits: Vec<bool>,
    /// Width of each face in frame pixels.
    widths: Vec<f32>,
    /// Overlap of the best box of each face.
    pub overlaps: Vec<f32>,
    /// Frames without a face.
    pub empty_frames: usize,
    /// Boxes in them.
    pub false_positives: usize,
    millis: Vec<f32>,
}

impl DetectionTrial {
    /// Of a detector alone, or with the landmark network's confirmation.
    pub fn new(name: &str, file: &Checked<DetectorSpec>, confirm: Option<&Models>) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            detector: Detector::new(file)?,
            landmarker: confirm.map(|m| Landmarker::new(&m.landmarks)).transpose()?,
            boxes: Vec::new(),
            hits: Vec::new(),
            widths: Vec::new(),
            overlaps: Vec::new(),
            empty_frames: 0,
            false_positives: 0,
            millis: Vec::new(),
        })
    }

    fn look(&mut self, luma: &[u8], width: usize, height: usize) {
        let start = Instant::now();
        let detections = self.detector.detect(luma, width, height);
        self.millis.push(start.elapsed().as_secs_f32() * 1e3);
        self.boxes.clear();
        self.boxes.extend(detections.iter().map(|d| d.bounds));
        let Self { boxes, landmarker, .. } = self;
        if let Some(landmarker) = landmarker {
            boxes.retain(|&bounds| {
                let guess = landmarker.from_bounds(bounds);
                let marks = landmarker.locate(luma, width, height, &guess);
                marks.is_some_and(|m| m.confidence >= landmarker.min_confidence())
            });
        }
    }

    /// A frame with one face.
    pub fn face(&mut self, luma: &[u8], truth: Rect) {
        self.look(luma, WIDTH, HEIGHT);
        let best = self.boxes.iter().map(|b| b.iou(truth)).fold(0.0, f32::max);
        self.hits.push(best >= MIN_IOU);
        self.widths.push(truth.w);
        self.overlaps.push(best);
    }

    /// A frame without a face, of any size.
    pub fn empty(&mut self, luma: &[u8], width: usize, height: usize) {
        self.look(luma, width, height);
        self.empty_frames += 1;
        self.false_positives += self.boxes.len();
    }

    /// Share of the faces that were found.
    pub fn recall(&self) -> f32 {
        self.hits.iter().filter(|h| **h).count() as f32 / self.hits.len() as f32
    }

    /// Share of the faces of a width in frame pixels that were found.
    pub fn recall_between(&self, low: f32, high: f32) -> f32 {
        let member = self.widths.iter().zip(&self.hits).filter(|(w, _)| **w >= low && **w < high);
        super::mean(member.map(|(_, h)| f32::from(*h)))
    }

    /// Boxes in 100 frames without a face.
    pub fn false_per_100(&self) -> f32 {
        100.0 * self.false_positives as f32 / self.empty_frames as f32
    }

    /// Median time of one detection, in milliseconds.
    pub fn median_ms(&self) -> f32 {
        median(&self.millis).unwrap_or(f32::NAN)
    }
}
