//! What a pipeline counts: frames, events, and candidates by the cause of their rejection.

use serde::Serialize;

use crate::spot::Rejection;

/// Running counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// Frames pushed.
    pub frames: u64,
    /// Frames that repeat the picture before them: they count as nothing else.
    pub frames_repeated: u64,
    /// Frames with a face.
    pub frames_with_face: u64,
    /// Frames in which the head moved too fast, or was turned too far, to measure the skin.
    pub frames_moving: u64,
    /// Frames with a face that is too dark.
    pub frames_dark: u64,
    /// Frames at a rate under [`MIN_FPS`](super::MIN_FPS).
    pub frames_slow: u64,
    /// Frames lost before the pipeline, or not decoded.
    pub gaps: u64,
    /// Frames with an open gate.
    pub gate_open: u64,
    /// Runs of the student.
    pub student_runs: u64,
    /// Events published.
    pub events: u64,
    /// Micro-expressions among them.
    pub events_micro: u64,
    /// Longer movements among them.
    pub events_macro: u64,
    /// Blinks among them.
    pub events_blink: u64,
    /// Candidates rejected: shorter than a micro-expression.
    pub rejected_too_short: u64,
    /// Candidates rejected: macro-expressions.
    pub rejected_macro: u64,
    /// Candidates rejected: blinks.
    pub rejected_blink: u64,
    /// Candidates rejected: head motion or a lost face.
    pub rejected_head_motion: u64,
    /// Candidates rejected: one movement after the other, as in speech.
    pub rejected_speech: u64,
    /// Candidates rejected: the light changed.
    pub rejected_light: u64,
    /// Candidates rejected: something before the face, or in its glasses.
    pub rejected_occlusion: u64,
    /// Candidates rejected: fine tension, gaze, noise.
    pub rejected_noise: u64,
    /// Candidates rejected: lost frames, or too low a rate.
    pub rejected_timing: u64,
}

impl Counters {
    /// Frames that hold a picture of their own.
    pub fn pictures(&self) -> u64 {
        self.frames - self.frames_repeated
    }

    /// Rejected candidates by cause, in words.
    pub fn rejected(&self) -> [(&'static str, u64); 9] {
        let mut copy = *self;
        Rejection::ALL.map(|cause| (cause.as_str(), *counter(&mut copy, cause)))
    }
}

/// Counts a candidate under the cause of its rejection.
pub(super) fn count(counters: &mut Counters, cause: Rejection) {
    *counter(counters, cause) += 1;
}

fn counter(counters: &mut Counters, cause: Rejection) -> &mut u64 {
    match cause {
        Rejection::TooShort => &mut counters.rejected_too_short,
        Rejection::Macro => &mut counters.rejected_macro,
        Rejection::Blink => &mut counters.rejected_blink,
        Rejection::HeadMotion => &mut counters.rejected_head_motion,
        Rejection::Speech => &mut counters.rejected_speech,
        Rejection::Light => &mut counters.rejected_light,
        Rejection::Occlusion => &mut counters.rejected_occlusion,
        Rejection::Noise => &mut counters.rejected_noise,
        Rejection::Timing => &mut counters.rejected_timing,
    }
}
