//! What was measured of every face that is followed: [`Pipeline::observation`] tells of the largest one alone.

use super::Pipeline;
use crate::au::UNIT_COUNT;
use crate::face::track::Visibility;
use crate::geometry::Rect;

/// What was measured of one face in the last frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceReading {
    /// Track of the face; from 1.
    pub track: u32,
    /// Its extent in frame pixels.
    pub bounds: Rect,
    /// Quality of the registration, 0 to 1.
    pub quality: f32,
    /// Rotation in the image plane in radians; positive is clockwise as the image is seen.
    pub roll: f32,
    /// Distance between the eyes, in frame pixels.
    pub eye_distance_px: f32,
    /// Intensity of each unit of [`crate::au::UNITS`], 0 to 5; `None` while it cannot be measured: the head moves or is
    /// turned away, or its neutral face is not known yet.
    pub units: Option<[f32; UNIT_COUNT]>,
}

impl Pipeline {
    /// The faces in sight in the last frame, the largest first; empty after a frame that could not be decoded. At most
    /// [`super::Options::max_tracks`].
    pub fn faces(&self) -> Vec<FaceReading> {
        let Some(now) = self.timing.last_ns() else { return Vec::new() };
        let in_sight = self.faces.seen().iter().filter(|f| f.visibility != Visibility::Missed);
        let mut readings: Vec<FaceReading> = in_sight
            .filter_map(|follower| {
                let track = &follower.track;
                let face = self.tracked.iter().find(|s| s.track == track.id && s.last_ns == now)?;
                let sample = face.sample.as_ref().filter(|s| s.at_ns == now);
                Some(FaceReading {
                    track: track.id,
                    bounds: track.bounds(),
                    quality: track.quality,
                    roll: track.crop_to_frame.angle(),
                    eye_distance_px: track.eye_distance_px(),
                    units: sample.map(|_| face.intensities),
                })
            })
            .collect();
        readings.sort_by(|a, b| b.eye_distance_px.total_cmp(&a.eye_distance_px));
        readings
    }
}
