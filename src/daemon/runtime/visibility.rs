//! What keeps a face from being measured: too dark, too small, too fast, lamps that flicker.

use glint::frame::Frame;
use glint::pipeline::{DARK_LUMA, Observation};

use crate::daemon::config::SourceKind;

/// Under this distance between the eyes, in pixels, small movements vanish.
pub(crate) const SMALL_EYES_PX: f32 = 40.0;
/// Weight of the latest frame in the measure of flicker.
const FLICKER_WEIGHT: f32 = 0.1;
/// Relative flicker of the face's brightness from frame to frame that counts.
pub(crate) const FLICKER: f32 = 0.02;

/// What is seen of a face, and what keeps it from being measured.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct View {
    /// Distance between the eyes; `None` without a face.
    pub(crate) eye_distance_px: Option<f32>,
    /// Mean luma of the face, or of the frame without one.
    pub(crate) brightness: f32,
    /// Head motion a frame, in pixels.
    pub(crate) motion_px: f32,
    /// Whether the head is too fast or turned away.
    pub(crate) moving: bool,
    /// Measured frames per second.
    pub(crate) fps: f32,
    /// Relative change of brightness from frame to frame.
    pub(crate) flicker: f32,
}

impl View {
    /// The first reason why nothing would be seen, in the words of the state topic; `None` when all is well.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        let view = self;
        if view.fps > 0.0 && view.fps < glint::pipeline::MIN_FPS {
            return Some("fps_low");
        }
        let Some(eyes) = view.eye_distance_px else {
            return Some(if view.brightness < DARK_LUMA { "too_dark" } else { "no_face" });
        };
        if eyes < SMALL_EYES_PX {
            Some("too_small")
        } else if view.brightness < DARK_LUMA {
            Some("too_dark")
        } else if view.moving {
            Some("too_fast")
        } else if view.flicker > FLICKER {
            Some("flicker")
        } else {
            None
        }
    }
}

/// The remedy of a reason that the state topic has a word for, where frames come from such a source.
pub(crate) fn remedy(reason: &str, source: SourceKind) -> &'static str {
    match reason {
        "fps_low" => match source {
            SourceKind::V4l2 => "choose another mode (glintd cameras), add light, set camera.fps",
            SourceKind::Command => {
                "have the program of source.command deliver more frames a second, or add light"
            }
            SourceKind::Clip => "use a clip with more frames a second",
            SourceKind::Synthetic => "set camera.fps",
        },
        "too_dark" => "add light on the face",
        "flicker" if source != SourceKind::V4l2 => {
            "have the camera deliver 25, 50 or 100 frames/s (30, 60 or 120 at 60 Hz), or use other lamps"
        }
        "flicker" => {
            "set camera.power_line_hz to the mains, camera.fps to 25, 50 or 100 (30, 60 or 120 at 60 Hz), or use other lamps"
        }
        "too_small" => "move the camera closer, use a longer lens, or a mode of more pixels",
        "no_face" => "let a person look into the camera, and ask again",
        "too_fast" => "let the person sit still and face the camera",
        _ => "see docs/guide/camera.md",
    }
}

/// Mean luma of the face of `observation`, or of the whole frame.
fn brightness(frame: &Frame, observation: &Observation) -> f32 {
    let clamp = |v: f32, limit: usize| v.clamp(0.0, limit as f32) as usize;
    let (x0, x1, y0, y1) = match observation.bounds {
        Some(b) => (
            clamp(b.x, frame.width),
            clamp(b.x + b.w, frame.width),
            clamp(b.y, frame.height),
            clamp(b.y + b.h, frame.height),
        ),
        None => (0, frame.width, 0, frame.height),
    };
    let rows = frame.luma.chunks_exact(frame.width.max(1)).take(y1).skip(y0);
    let (mut sum, mut count) = (0u64, 0u64);
    // Every second sample of every second row is plenty for a mean.
    for row in rows.step_by(2) {
        for v in row[x0..x1.max(x0)].iter().step_by(2) {
            (sum, count) = (sum + u64::from(*v), count + 1);
        }
    }
    if count == 0 { 0.0 } else { sum as f32 / count as f32 }
}

/// Brightness from frame to frame.
#[derive(Debug, Default)]
pub(crate) struct Light {
    last: Option<f32>,
    flicker: f32,
}

impl Light {
    /// What is seen in the next frame.
    pub(crate) fn view(&mut self, frame: &Frame, moving: bool, seen: &Observation) -> View {
        let brightness = brightness(frame, seen);
        if let Some(before) = self.last.filter(|b| *b > 1.0) {
            self.flicker += FLICKER_WEIGHT * ((brightness - before).abs() / before - self.flicker);
        }
        self.last = Some(brightness);
        View {
            eye_distance_px: seen.bounds.map(|_| seen.eye_distance_px),
            brightness,
            motion_px: seen.motion_px,
            moving,
            fps: seen.fps,
            flicker: self.flicker,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_in_the_order_in_which_they_matter() {
        let faultless = View { eye_distance_px: Some(80.0), brightness: 120.0, fps: 60.0, ..View::default() };
        assert_eq!(faultless.reason(), None);
        assert_eq!(View { fps: 15.0, ..faultless }.reason(), Some("fps_low"));
        assert_eq!(View { eye_distance_px: None, ..faultless }.reason(), Some("no_face"));
        assert_eq!(View { eye_distance_px: None, brightness: 10.0, ..faultless }.reason(), Some("too_dark"));
        assert_eq!(View { eye_distance_px: Some(20.0), ..faultless }.reason(), Some("too_small"));
        assert_eq!(View { moving: true, ..faultless }.reason(), Some("too_fast"));
        assert_eq!(View { flicker: 0.1, ..faultless }.reason(), Some("flicker"));
    }

    #[test]
    fn brightness_is_that_of_the_face() {
        let mut frame = Frame { width: 8, height: 8, luma: vec![10; 64], ..Frame::default() };
        for y in 2..6 {
            frame.luma[y * 8 + 2..y * 8 + 6].fill(200);
        }
        let face = glint::geometry::Rect { x: 2.0, y: 2.0, w: 4.0, h: 4.0 };
        let seen = Observation { bounds: Some(face), ..Observation::default() };
        assert_eq!(brightness(&frame, &seen), 200.0);
        assert!(brightness(&frame, &Observation::default()) < 100.0);
    }

    #[test]
    fn lamps_that_flicker_are_a_reason_and_steady_light_is_none() {
        let face = Observation {
            bounds: Some(glint::geometry::Rect { x: 0.0, y: 0.0, w: 64.0, h: 64.0 }),
            eye_distance_px: 80.0,
            fps: 60.0,
            ..Observation::default()
        };
        let last = |swing: u8| {
            let mut light = Light::default();
            (0..60)
                .map(|i| {
                    let luma = vec![100 + swing * (i % 2); 4096];
                    let frame = Frame { width: 64, height: 64, luma, ..Frame::default() };
                    light.view(&frame, false, &face).reason()
                })
                .last()
                .flatten()
        };
        assert_eq!((last(0), last(20)), (None, Some("flicker")));
    }
}
