//! What comes of a frame: what it meant, what was measured in it, the stages that it went through.

use crate::au::AU_COUNT;
use crate::event::Movement;
use crate::geometry::Rect;

/// What a frame meant.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// No face in sight.
    NoFace,
    /// A face, and nothing moves in it.
    Quiet,
    /// Frames were lost before this one, or it could not be decoded.
    Gap,
    /// The head moves too fast, or is turned too far, to measure the skin.
    Moving,
    /// A movement is under way.
    Active,
    /// A movement has ended.
    Event(Movement),
}

impl Step {
    /// Its name in tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoFace => "noface",
            Self::Quiet => "quiet",
            Self::Gap => "gap",
            Self::Moving => "moving",
            Self::Active => "active",
            Self::Event(_) => "event",
        }
    }
}

/// What was measured in the last frame, of the largest face.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observation {
    /// Extent of the face in frame pixels; `None` without one.
    pub bounds: Option<Rect>,
    /// Track of the face.
    pub track: u32,
    /// 0 to 1.
    pub quality: f32,
    /// Head motion against the previous frame, in frame pixels.
    pub motion_px: f32,
    /// Distance between the eyes, in frame pixels.
    pub eye_distance_px: f32,
    /// Intensity of each AU of [`AUS`](crate::au::AUS), the larger side; `None` while it cannot be measured.
    pub intensities: Option<[f32; AU_COUNT]>,
    /// Whether the gate is open.
    pub gate_open: bool,
    /// Measured frames per second; 0 before the second frame.
    pub fps: f32,
    /// Mean deviation from the mean frame interval, as its share.
    pub jitter: f32,
}

/// Time that each stage took on one frame: filled by whoever gives [`Pipeline::push_timed`](super::Pipeline::push_timed) a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Following faces.
    FaceTrack,
    /// A frame in which the detector ran.
    FaceDetect,
    /// Optical flow against the neutral face.
    Flow,
    /// Intensities and gate.
    Gate,
    /// Spotter.
    Spot,
    /// Flow of the pair and the student.
    Student,
}
