//! What the frames of a source say, in the words of `glintd doctor` and of the page: rate, light, flicker, the face and how
//! well it is seen.

use glint::pipeline::{DARK_LUMA, MIN_FPS};
use glint::statistics::median;

use super::exposure::{LOW_CONTRAST, OVEREXPOSED};
use super::noise::NOISY;
use super::sharpness::BLURRED;
use super::visibility::{FLICKER, SMALL_EYES_PX, View, remedy};
use crate::daemon::config::SourceKind;
use crate::daemon::finding::Finding;

/// A camera whose frames are the same as the one before in more than this share shows no picture of its own.
const FROZEN: f32 = 0.9;
/// Under this share of the requested rate a camera does not do what it was asked for.
const REDUCED: f64 = 0.9;
/// From this share of dropped frames on a machine is too slow.
const MANY_DROPPED: f64 = 0.01;

/// What was seen over some seconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct ViewStatistics {
    views: Vec<View>,
    contrast: Vec<f32>,
    saturated: Vec<f32>,
    blur: Vec<f32>,
    noise: Vec<f32>,
    /// Frames that were damaged.
    pub(crate) damaged: u64,
    /// Frames that this machine was too slow for; `None` where nobody has counted them.
    pub(crate) dropped: Option<u64>,
    /// Frames that came, with those that were not judged.
    pub(crate) frames: u64,
    /// Frames that were the same as the one before.
    repeated: u32,
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

/// What to do about a rate that is not the requested one.
fn quickened(source: SourceKind) -> &'static str {
    match source {
        SourceKind::V4l2 => "add light; or set camera.fps to a rate that the camera has (glintd cameras)",
        SourceKind::Command => "have the program of source.command deliver as many, or correct camera.fps",
        SourceKind::Clip | SourceKind::Synthetic => "end other programs, or set a lower camera.fps",
    }
}

/// A source that gives no frames.
pub(crate) fn no_frames(source: SourceKind, reason: &str) -> Finding {
    let remedy = match source {
        SourceKind::V4l2 => "plug the camera out and in; try another port or cable; see dmesg",
        SourceKind::Clip => "correct source.path",
        SourceKind::Command => "run the program of source.command by hand, and see what it says",
        SourceKind::Synthetic => "report this: the subject is built in",
    };
    Finding::fault("camera", "no_camera", reason, remedy)
}

impl ViewStatistics {
    /// Adds a frame that is judged.
    pub(crate) fn view(&mut self, view: View, repeated: bool) {
        self.views.push(view);
        self.repeated += u32::from(repeated);
    }

    /// How many frames are judged.
    pub(crate) fn len(&self) -> usize {
        self.views.len()
    }

    /// Adds contrast and saturation of a face.
    pub(crate) fn spread(&mut self, contrast: f32, saturated: f32) {
        self.contrast.push(contrast);
        self.saturated.push(saturated);
    }

    /// Adds blur and noise of a face, as far as they could be measured.
    pub(crate) fn detail(&mut self, blur: Option<f32>, noise: Option<f32>) {
        self.blur.extend(blur);
        self.noise.extend(noise);
    }

    /// What is to be said of it, where it came from such a source, which was asked for such a rate. What follows from another
    /// fault is not told beside it.
    pub(crate) fn findings(&self, source: SourceKind, requested_fps: Option<f64>) -> Vec<Finding> {
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
        } else if let Some(requested) = requested_fps.filter(|r| f64::from(rate) < REDUCED * r) {
            let text = format!("{rate:.1} frames/s; camera.fps asks for {requested}");
            out.push(Finding::warning("rate", "fps_reduced", text, quickened(source)));
        } else {
            out.push(Finding::good("rate", format!("{rate:.1} frames/s")));
        }
        out.extend(self.dropped());
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

    /// Frames that were dropped, where somebody has counted them.
    fn dropped(&self) -> Option<Finding> {
        let (dropped, all) = (self.dropped?, self.dropped? + self.frames);
        let text = format!("{dropped} of {all} frames were dropped");
        if dropped as f64 <= MANY_DROPPED * all as f64 {
            return Some(Finding::good("frames", text));
        }
        let text = format!("{text}: this machine is too slow for them");
        let remedy = "end other programs, or set a lower camera.fps or a smaller camera.size";
        Some(Finding::warning("frames", "frames_dropped", text, remedy))
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
        let (Some(contrast), Some(saturated)) = (median(&self.contrast), median(&self.saturated)) else {
            return out;
        };
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
        if let Some(noise) = median(&self.noise) {
            if noise > NOISY {
                let text = format!("noise of {noise:.1} gray levels; up to {NOISY:.0} are good");
                let remedy = "add light, so that the gain of the camera is low; or use another camera";
                out.push(Finding::warning("noise", "noisy", text, remedy));
            } else {
                out.push(Finding::good("noise", format!("{noise:.1} gray levels")));
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
            noise: vec![2.0; 2],
            damaged: 0,
            dropped: Some(0),
            frames: 90,
            repeated: 0,
        }
    }

    /// What is wrong, by name.
    fn wrong(seen: &ViewStatistics) -> Vec<&'static str> {
        seen.findings(SourceKind::V4l2, Some(60.0))
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
        assert_eq!(wrong(&ViewStatistics { noise: vec![9.0], ..seen(faultless) }), ["noisy"]);
        assert_eq!(wrong(&seen(View { fps: 50.0, ..faultless })), ["fps_reduced"]);
        assert_eq!(wrong(&ViewStatistics { dropped: Some(5), ..seen(faultless) }), ["frames_dropped"]);
        assert_eq!(wrong(&ViewStatistics { damaged: 1, ..seen(faultless) }), ["frames_damaged"]);
        let unmeasured = ViewStatistics { contrast: vec![], saturated: vec![], ..seen(faultless) };
        assert!(wrong(&unmeasured).is_empty(), "what was not measured is no fault");
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
            wrong(&ViewStatistics { repeated: 15, ..seen(View { fps: 55.0, ..faultless }) }),
            [] as [&str; 0]
        );
        let both = View { fps: 15.0, eye_distance_px: Some(25.0), ..faultless };
        assert_eq!(wrong(&seen(both)), ["fps_low", "too_small"], "they have nothing to do with each other");
    }
}
