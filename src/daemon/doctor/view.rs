//! What the frames say: rate, light, flicker, the face and how well it is seen.

use std::time::{Duration, Instant};

use glint::frame::Frame;
use glint::pipeline::{DARK_LUMA, MIN_FPS, Pipeline, Step};
use glint::statistics::median;

use crate::daemon::config::SourceKind;
use crate::daemon::finding::Finding;
use crate::daemon::grab::{FrameSource, Grab};
use crate::daemon::runtime::exposure::{LOW_CONTRAST, OVEREXPOSED, spread};
use crate::daemon::runtime::sharpness::{BLURRED, blur};
use crate::daemon::runtime::visibility::{FLICKER, Light, SMALL_EYES_PX, View, remedy};

/// What comes before is not judged: exposure settles, the face is found, the rate is measured.
const SETTLE: Duration = Duration::from_millis(1500);
/// A camera whose frames are the same as the one before in more than this share shows no picture of its own.
const FROZEN: f32 = 0.9;

/// What was seen after the source had settled.
#[derive(Debug, Clone, Default)]
pub(super) struct ViewStatistics {
    views: Vec<View>,
    contrast: Vec<f32>,
    saturated: Vec<f32>,
    blur: Vec<f32>,
    damaged: u32,
    frames: u32,
    /// Frames that were the same as the one before.
    repeated: u32,
}

/// Looks at the frames of a source for so long, or to its end.
pub(super) fn watch(
    source: &mut dyn FrameSource,
    pipeline: &mut Pipeline,
    length: Duration,
) -> Result<ViewStatistics, String> {
    let mut seen = ViewStatistics::default();
    let (mut light, mut frame) = (Light::default(), Frame::default());
    let started = Instant::now();
    let mut first: Option<Instant> = None;
    loop {
        match first {
            None if started.elapsed() > source.patience() => return Err("no frame came".into()),
            Some(at) if at.elapsed() >= length => return Ok(seen),
            _ => {}
        }
        match source.next(&mut frame)? {
            Grab::Timeout => continue,
            Grab::End if seen.frames == 0 => return Err("it ended before the first frame".into()),
            Grab::End => return Ok(seen),
            Grab::Damaged(_) => {
                seen.damaged += 1;
                continue;
            }
            Grab::Frame => {}
        }
        seen.frames += 1;
        let at = *first.get_or_insert_with(Instant::now);
        let before = pipeline.counters().frames_repeated;
        let moving = pipeline.push(&frame) == Step::Moving;
        let repeated = pipeline.counters().frames_repeated > before;
        let observation = pipeline.observation();
        let view = light.view(&frame, moving, observation);
        if at.elapsed() < SETTLE {
            continue;
        }
        seen.views.push(view);
        seen.repeated += u32::from(repeated);
        if let Some(face) = observation.bounds {
            let (contrast, saturated) = spread(&frame, face);
            seen.contrast.push(contrast);
            seen.saturated.push(saturated);
            // It changes slowly, and is not cheap.
            if seen.views.len() % 15 == 1 {
                seen.blur.extend(blur(&frame, face));
            }
        }
    }
}

/// What to do about damaged frames.
fn undamaged(source: SourceKind) -> &'static str {
    match source {
        SourceKind::Command => "see what the program says in the log; try another source.format",
        SourceKind::Clip => "see whether another player shows the clip",
        SourceKind::V4l2 | SourceKind::Synthetic => "try another cable, port or format",
    }
}

/// What to do about a picture that does not change.
fn thawed(source: SourceKind) -> &'static str {
    match source {
        SourceKind::V4l2 => "plug the camera out and in; see dmesg",
        SourceKind::Command => "restart the program of source.command, and the camera that it shows",
        SourceKind::Clip | SourceKind::Synthetic => "use a clip of a living face",
    }
}

/// The median of what was seen in some of the frames.
fn median_of(values: impl Iterator<Item = f32>) -> Option<f32> {
    median(&values.collect::<Vec<_>>())
}

impl ViewStatistics {
    /// What is to be said of it, where it came from such a source. What follows from another fault is not told beside it.
    pub(super) fn findings(&self, source: SourceKind) -> Vec<Finding> {
        let mut out = Vec::new();
        let rate = median_of(self.views.iter().map(|v| v.fps)).unwrap_or(0.0);
        if self.views.is_empty() {
            let text = format!("{} frames are too few to judge", self.frames);
            return vec![Finding::note("frames", text)];
        }
        // Of one picture there is no rate. It may be that of a covered lens.
        let frozen = self.repeated as f32 > FROZEN * self.views.len() as f32;
        if frozen {
            out.push(Finding::good("rate", "not measured: every frame shows the same picture"));
        } else if rate < MIN_FPS {
            let text = format!("{rate:.1} frames/s; under {MIN_FPS:.0} no event is given");
            out.push(Finding::fault("rate", "fps_low", text, remedy("fps_low", source)));
        } else {
            out.push(Finding::good("rate", format!("{rate:.1} frames/s")));
        }
        if self.damaged > 0 {
            let text = format!("{} of {} frames are damaged", self.damaged, self.damaged + self.frames);
            out.push(Finding::warning("frames", "frames_damaged", text, undamaged(source)));
        }
        let faces: Vec<&View> = self.views.iter().filter(|v| v.eye_distance_px.is_some()).collect();
        let present = 2 * faces.len() > self.views.len();
        let brightness = if present {
            median_of(faces.iter().map(|v| v.brightness))
        } else {
            median_of(self.views.iter().map(|v| v.brightness))
        };
        let brightness = brightness.unwrap_or(0.0);
        let dark = brightness < DARK_LUMA;
        let what = if present { "face" } else { "picture" };
        if dark {
            let text = format!("the mean luma of the {what} is {brightness:.0}; {DARK_LUMA:.0} are needed");
            let covered = "uncover the lens, and add light on the face";
            let remedy = if frozen { covered } else { remedy("too_dark", source) };
            out.push(Finding::fault("light", "too_dark", text, remedy));
            if frozen {
                return out;
            }
        } else {
            out.push(Finding::good("light", format!("the mean luma of the {what} is {brightness:.0}")));
        }
        if frozen {
            let text =
                format!("{} of {} frames are the same as the one before", self.repeated, self.views.len());
            out.push(Finding::fault("picture", "picture_frozen", text, thawed(source)));
            return out;
        }
        let flicker = median_of(self.views.iter().map(|v| v.flicker)).unwrap_or(0.0);
        if flicker > FLICKER && !dark {
            let text = format!("the light changes by {:.1} % from frame to frame", 100.0 * flicker);
            out.push(Finding::fault("flicker", "flicker", text, remedy("flicker", source)));
        } else if !dark {
            out.push(Finding::good("flicker", format!("{:.1} % from frame to frame", 100.0 * flicker)));
        }
        if present {
            out.extend(self.face(&faces, dark, source));
        } else if !dark {
            out.push(Finding::warning(
                "face",
                "no_face",
                "no face was in the picture",
                remedy("no_face", source),
            ));
        }
        out
    }

    fn face(&self, faces: &[&View], dark: bool, source: SourceKind) -> Vec<Finding> {
        let mut out = Vec::new();
        let eyes = median_of(faces.iter().filter_map(|v| v.eye_distance_px)).unwrap_or(0.0);
        if eyes < SMALL_EYES_PX {
            let text = format!("the eyes are {eyes:.0} px apart; {SMALL_EYES_PX:.0} are needed");
            out.push(Finding::fault("face", "too_small", text, remedy("too_small", source)));
            return out;
        }
        out.push(Finding::good("face", format!("the eyes are {eyes:.0} px apart")));
        if dark {
            return out;
        }
        let contrast = median(&self.contrast).unwrap_or(0.0);
        let saturated = median(&self.saturated).unwrap_or(0.0);
        if saturated > OVEREXPOSED {
            let text = format!("{:.0} % of the face are white", 100.0 * saturated);
            out.push(Finding::warning(
                "exposure",
                "overexposed",
                text,
                "less light on the face, or a shorter exposure",
            ));
        } else if contrast < LOW_CONTRAST {
            let text = format!("the luma of the face spreads by {contrast:.0}; {LOW_CONTRAST:.0} are good");
            out.push(Finding::warning(
                "contrast",
                "low_contrast",
                text,
                "light from one side; clean the lens; no light into it",
            ));
        } else {
            out.push(Finding::good("contrast", format!("the luma of the face spreads by {contrast:.0}")));
            if let Some(blur) = median(&self.blur) {
                if blur > BLURRED {
                    let text = format!("blur {blur:.2}; up to {BLURRED} is good");
                    out.push(Finding::warning(
                        "focus",
                        "out_of_focus",
                        text,
                        "turn the lens, or clean it; add light, so that the exposure is short",
                    ));
                } else {
                    out.push(Finding::good("focus", format!("blur {blur:.2}")));
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::finding::Severity;

    fn seen(view: View) -> ViewStatistics {
        ViewStatistics {
            views: vec![view; 30],
            contrast: vec![30.0; 30],
            saturated: vec![0.0; 30],
            blur: vec![0.4; 2],
            damaged: 0,
            frames: 90,
            repeated: 0,
        }
    }

    /// What is wrong, by name.
    fn wrong(seen: &ViewStatistics) -> Vec<&'static str> {
        seen.findings(SourceKind::V4l2)
            .iter()
            .filter(|f| f.severity > Severity::Note)
            .filter_map(|f| f.fault)
            .collect()
    }

    #[test]
    fn each_fault_is_named_alone() {
        let faultless = View { eye_distance_px: Some(80.0), brightness: 120.0, fps: 60.0, ..View::default() };
        assert!(wrong(&seen(faultless)).is_empty());
        assert_eq!(wrong(&seen(View { fps: 15.0, ..faultless })), ["fps_low"]);
        assert_eq!(wrong(&seen(View { brightness: 20.0, flicker: 0.2, ..faultless })), ["too_dark"]);
        assert_eq!(wrong(&seen(View { brightness: 20.0, eye_distance_px: None, ..faultless })), ["too_dark"]);
        assert_eq!(wrong(&seen(View { eye_distance_px: None, ..faultless })), ["no_face"]);
        assert_eq!(wrong(&seen(View { eye_distance_px: Some(25.0), ..faultless })), ["too_small"]);
        assert_eq!(wrong(&seen(View { flicker: 0.1, ..faultless })), ["flicker"]);
        assert_eq!(wrong(&ViewStatistics { blur: vec![0.9], ..seen(faultless) }), ["out_of_focus"]);
        assert_eq!(
            wrong(&ViewStatistics { contrast: vec![4.0; 30], blur: vec![0.9], ..seen(faultless) }),
            ["low_contrast"]
        );
        assert_eq!(wrong(&ViewStatistics { saturated: vec![0.5; 30], ..seen(faultless) }), ["overexposed"]);
        assert!(wrong(&ViewStatistics::default()).is_empty(), "nothing is known");
        // A picture that stands still has no rate, no flicker and no face that moves.
        let frozen = |view| ViewStatistics { repeated: 29, ..seen(view) };
        assert_eq!(wrong(&frozen(View { fps: 0.0, ..faultless })), ["picture_frozen"]);
        assert_eq!(
            wrong(&frozen(View { fps: 0.0, brightness: 0.0, eye_distance_px: None, ..faultless })),
            ["too_dark"]
        );
        // A sensor of 30 frames/s behind a port of 60.
        assert_eq!(
            wrong(&ViewStatistics { repeated: 15, ..seen(View { fps: 30.0, ..faultless }) }),
            [] as [&str; 0]
        );
        let both = View { fps: 15.0, eye_distance_px: Some(25.0), ..faultless };
        assert_eq!(wrong(&seen(both)), ["fps_low", "too_small"], "they have nothing to do with each other");
    }
}
