//! What the vision thread hands over while somebody watches.

use glint::au::AU_COUNT;
use serde::Serialize;

/// AU intensities of one frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Milliseconds of the frame on the monotonic clock.
    pub(crate) t_ms: f64,
    /// Intensity of each AU, 0 to 5, the larger side; null while it cannot be measured.
    pub(crate) au: Option<[f32; AU_COUNT]>,
    /// Whether the gate is open.
    pub(crate) gate: bool,
}

/// A small gray picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Luma {
    /// Columns.
    pub(crate) width: usize,
    /// Rows.
    pub(crate) height: usize,
    /// `width * height` samples.
    pub(crate) luma: Vec<u8>,
}

/// What was seen since the last snapshot. Lengths are in pixels of the frame.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(crate) struct Snapshot {
    /// Columns of the frame.
    pub(crate) width: usize,
    /// Rows of the frame.
    pub(crate) height: usize,
    /// Left, top, width and height of the face.
    pub(crate) face: Option<[f32; 4]>,
    /// The 68 landmarks; empty without a face.
    pub(crate) points: Vec<[f32; 2]>,
    /// Distance between the eyes.
    pub(crate) eyes_px: Option<f32>,
    /// Mean luma of the face, or of the frame without one.
    pub(crate) light: f32,
    /// Standard deviation of the luma of the face.
    pub(crate) contrast: Option<f32>,
    /// Share of the face's pixels that are white.
    pub(crate) saturated: Option<f32>,
    /// Relative change of the light from frame to frame.
    pub(crate) flicker: f32,
    /// Blur of the face, 0 sharp to 1 blurred.
    pub(crate) blur: Option<f32>,
    /// Standard deviation of the noise on the face, in gray levels.
    pub(crate) noise: Option<f32>,
    /// Head motion a frame.
    pub(crate) motion_px: f32,
    /// Measured frames per second.
    pub(crate) fps: f32,
    /// Mean deviation of the frame interval, as its share.
    pub(crate) jitter: f32,
    /// Why nothing can be seen; a word of the state topic.
    pub(crate) reason: Option<&'static str>,
    /// Every frame since the last snapshot.
    pub(crate) rows: Vec<Row>,
    /// The frame, where an operator has confirmed it.
    #[serde(skip)]
    pub(crate) picture: Option<Luma>,
}
