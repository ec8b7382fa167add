//! `glintd cameras`: what this machine's cameras offer, and help with aiming one.
#![allow(clippy::disallowed_methods)] // --watch works in real time.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use glint::frame::Frame;
use glint::pipeline::{Models, Observation, Options, Pipeline, Step};
use serde_json::json;

use super::camera::modes::{Mode, Wish, choose};
use super::camera::{Camera, CameraSettings, Next, controls_of, modes_of, nodes};
use glint::pipeline::DARK_LUMA;

use super::media::print_line;

/// Under this distance between the eyes, in pixels, small movements vanish.
const SMALL_EYES_PX: f32 = 40.0;
/// Relative flicker of the face's brightness from frame to frame that counts.
const FLICKER: f32 = 0.02;

/// What is seen of a face, and what keeps it from being measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct View {
    /// Distance between the eyes; `None` without a face.
    pub eye_distance_px: Option<f32>,
    /// Mean luma of the face, or of the frame without one.
    pub brightness: f32,
    /// Head motion a frame, in pixels.
    pub motion_px: f32,
    /// Whether the head is too fast or turned away.
    pub moving: bool,
    /// Measured frames per second.
    pub fps: f32,
    /// Relative change of brightness from frame to frame.
    pub flicker: f32,
}

/// The first reason why nothing would be seen, in the words of the state topic; `None` when all is well.
pub fn reason(view: &View) -> Option<&'static str> {
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

/// Mean luma of the face of `observation`, or of the whole frame.
pub fn brightness(frame: &Frame, observation: &Observation) -> f32 {
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

/// Lists the cameras, as a table or as one JSON object.
pub fn list(as_json: bool) -> anyhow::Result<ExitCode> {
    let mut out = Vec::new();
    for node in nodes() {
        let device = v4l::Device::with_path(&node.path)?;
        let modes = modes_of(&device)?;
        let controls = controls_of(&device);
        let choice = choose(&modes, Wish::default());
        if as_json {
            out.push(json!({
                "path": node.path, "stable": node.stable, "card": node.card,
                "modes": modes.iter().map(mode_json).collect::<Vec<_>>(),
                "controls": controls.iter().map(|(n, lo, hi)| json!({"name": n, "minimum": lo, "maximum": hi})).collect::<Vec<_>>(),
                "choice": choice.as_ref().map(|(m, why)| json!({"mode": mode_json(m), "why": why})),
            }));
            continue;
        }
        print_line(&format!("{}  {}", node.stable.display(), node.card))?;
        for mode in &modes {
            print_line(&format!("    {mode}"))?;
        }
        for (name, lo, hi) in &controls {
            print_line(&format!("    control {name} {lo}..{hi}"))?;
        }
        match choice {
            Some((mode, why)) => print_line(&format!("  would use {mode}: {why}"))?,
            None => print_line("  no mode that glint decodes")?,
        }
    }
    if as_json {
        print_line(&json!({ "cameras": out }).to_string())?;
    } else if nodes().is_empty() {
        eprintln!("no camera: no V4L2 node of this machine captures video");
    }
    Ok(ExitCode::SUCCESS)
}

fn mode_json(mode: &Mode) -> serde_json::Value {
    json!({
        "format": String::from_utf8_lossy(&mode.format.fourcc()),
        "width": mode.width, "height": mode.height, "fps": mode.fps,
    })
}

/// Prints once a second what aiming needs, until the camera goes away or the program is stopped.
pub fn watch(path: Option<PathBuf>, models: &Models, as_json: bool) -> anyhow::Result<ExitCode> {
    let path = match path.or_else(|| nodes().into_iter().next().map(|n| n.path)) {
        Some(path) => path,
        None => anyhow::bail!("no camera: no V4L2 node of this machine captures video"),
    };
    let mut camera = Camera::open(&path, &CameraSettings::default())?;
    eprintln!("{}: {}", path.display(), camera.description());
    let mut pipeline = Pipeline::new(Options::default(), models)?;
    let mut frame = Frame::default();
    let mut printed = Instant::now();
    let (mut last, mut flicker) = (None::<f32>, 0.0f32);
    loop {
        let mut moving = false;
        if camera.next(&mut frame, Duration::from_secs(1))? == Next::Frame {
            moving = pipeline.push(&frame) == Step::Moving;
        }
        let o = pipeline.observation();
        let bright = brightness(&frame, o);
        if let Some(before) = last.filter(|b| *b > 1.0) {
            flicker += 0.1 * ((bright - before).abs() / before - flicker);
        }
        last = Some(bright);
        if printed.elapsed() < Duration::from_secs(1) {
            continue;
        }
        printed = Instant::now();
        let view = View {
            eye_distance_px: o.bounds.map(|_| o.eye_distance_px),
            brightness: bright,
            motion_px: o.motion_px,
            moving,
            fps: o.fps,
            flicker,
        };
        let why = reason(&view);
        if as_json {
            print_line(
                &json!({
                    "eye_distance_px": view.eye_distance_px, "brightness": view.brightness,
                    "motion_px": view.motion_px, "fps": view.fps, "flicker": view.flicker, "reason": why,
                })
                .to_string(),
            )?;
        } else {
            let eyes = view.eye_distance_px.map_or("no face".into(), |e| format!("eyes {e:.0} px apart"));
            print_line(&format!(
                "{eyes}, brightness {:.0}, motion {:.1} px, {:.1} frames/s: {}",
                view.brightness,
                view.motion_px,
                view.fps,
                why.unwrap_or("good")
            ))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_in_the_order_in_which_they_matter() {
        let good = View { eye_distance_px: Some(80.0), brightness: 120.0, fps: 60.0, ..View::default() };
        assert_eq!(reason(&good), None);
        assert_eq!(reason(&View { fps: 15.0, ..good }), Some("fps_low"));
        assert_eq!(reason(&View { eye_distance_px: None, ..good }), Some("no_face"));
        assert_eq!(reason(&View { eye_distance_px: None, brightness: 10.0, ..good }), Some("too_dark"));
        assert_eq!(reason(&View { eye_distance_px: Some(20.0), ..good }), Some("too_small"));
        assert_eq!(reason(&View { moving: true, ..good }), Some("too_fast"));
        assert_eq!(reason(&View { flicker: 0.1, ..good }), Some("flicker"));
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
}
