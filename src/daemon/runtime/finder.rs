//! What the vision thread asks of whatever finds movements.

use glint::event::Movement;
use glint::face::landmarks::LANDMARK_COUNT;
use glint::frame::Frame;
use glint::geometry::Point;
use glint::pipeline::{Counters, FaceReading, Observation, Pipeline, Step};

/// What finds movements in frames. [`Pipeline`] does; the tests have a simpler one, whose movements
/// are known beforehand.
pub(crate) trait Vision: Send {
    /// One frame.
    fn push(&mut self, frame: &Frame) -> Step;
    /// A frame that could not be decoded.
    fn gap(&mut self, seq: u64, at_ns: i64) -> Step;
    /// The source was opened anew.
    fn reset(&mut self);
    /// The present face is neutral.
    fn calibrate(&mut self);
    /// Movements that wait at the end.
    fn finish(&mut self) -> Option<Movement>;
    /// What was measured in the last frame.
    fn observation(&self) -> Observation;
    /// Running counts.
    fn counters(&self) -> Counters;
    /// The landmarks of the face that was measured.
    fn landmarks(&self) -> Option<[Point; LANDMARK_COUNT]> {
        None
    }
    /// What was measured of each face in the last frame.
    fn faces(&self) -> Vec<FaceReading> {
        Vec::new()
    }
}

impl Vision for Pipeline {
    fn push(&mut self, frame: &Frame) -> Step {
        Self::push(self, frame)
    }
    fn gap(&mut self, seq: u64, at_ns: i64) -> Step {
        Self::gap(self, seq, at_ns)
    }
    fn reset(&mut self) {
        Self::reset(self);
    }
    fn calibrate(&mut self) {
        Self::calibrate(self);
    }
    fn finish(&mut self) -> Option<Movement> {
        Self::finish(self)
    }
    fn observation(&self) -> Observation {
        Self::observation(self).clone()
    }
    fn counters(&self) -> Counters {
        *Self::counters(self)
    }
    fn landmarks(&self) -> Option<[Point; LANDMARK_COUNT]> {
        Self::landmarks(self)
    }
    fn faces(&self) -> Vec<FaceReading> {
        Self::faces(self)
    }
}
