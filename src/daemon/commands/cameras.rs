//! `glintd cameras`: what this machine's cameras offer, and help with aiming one.
#![allow(clippy::disallowed_methods)] // --watch works in real time.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use glint::frame::Frame;
use glint::pipeline::{Models, Options, Pipeline, Step};
use serde_json::json;

use super::media::print_line;
use crate::daemon::camera::modes::{Mode, ModeRequest, choose};
use crate::daemon::camera::{CameraSettings, V4l2Camera, controls_of, modes_of, nodes};
use crate::daemon::doctor::source::first_node;
use crate::daemon::grab::Grab;
use crate::daemon::runtime::visibility::Light;

/// Arguments of `glintd cameras`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The camera to watch [default: the first one].
    #[arg(requires = "watch")]
    path: Option<PathBuf>,
    /// Print once a second what you need to aim the camera.
    #[arg(long)]
    watch: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists the cameras, or watches one.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match args.watch {
        true => watch(args.path.clone(), &Models::embedded()?, args.json),
        false => list(args.json),
    }
}

/// Lists the cameras, as a table or as one JSON object.
fn list(as_json: bool) -> anyhow::Result<ExitCode> {
    let mut out = Vec::new();
    for node in nodes() {
        let name = || node.path.display().to_string();
        let device = v4l::Device::with_path(&node.path).with_context(name)?;
        let modes = modes_of(&device).with_context(name)?;
        let controls = controls_of(&device);
        let choice = choose(&modes, ModeRequest::default());
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
        eprintln!("{}", none());
    }
    Ok(ExitCode::SUCCESS)
}

/// Why there is no camera, and what to do.
fn none() -> String {
    match first_node() {
        Ok(path) => format!("{} has appeared meanwhile", path.display()),
        Err(finding) => format!("no camera found: {}; {}", finding.text, finding.remedy.unwrap_or_default()),
    }
}

fn mode_json(mode: &Mode) -> serde_json::Value {
    json!({
        "format": String::from_utf8_lossy(&mode.format.fourcc()),
        "width": mode.width, "height": mode.height, "fps": mode.fps,
    })
}

/// Prints once a second what aiming needs, until the camera goes away or the program is stopped.
fn watch(path: Option<PathBuf>, models: &Models, as_json: bool) -> anyhow::Result<ExitCode> {
    let path = match path.or_else(|| nodes().into_iter().next().map(|n| n.path)) {
        Some(path) => path,
        None => anyhow::bail!("{}", none()),
    };
    let name = || path.display().to_string();
    let mut camera = V4l2Camera::open(&path, &CameraSettings::default()).with_context(name)?;
    eprintln!("{}: {}", path.display(), camera.description());
    let mut pipeline = Pipeline::new(Options::default(), models)?;
    let mut frame = Frame::default();
    let mut printed = Instant::now();
    let mut light = Light::default();
    loop {
        let mut moving = false;
        if camera.next(&mut frame, Duration::from_secs(1)).with_context(name)? == Grab::Frame {
            moving = pipeline.push(&frame) == Step::Moving;
        }
        let o = pipeline.observation();
        let view = light.view(&frame, moving, o);
        if printed.elapsed() < Duration::from_secs(1) {
            continue;
        }
        printed = Instant::now();
        let why = view.reason();
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
