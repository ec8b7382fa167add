//! A configuration becomes what a daemon is made of.

use std::collections::BTreeMap;

use anyhow::Context;
use glint::frame::Mounting;
use glint::synth::{Action, Script};

use super::files::{self, Chosen, Opened};
use super::memory::{self, Memory};
use super::report::Capabilities;
use super::serve::Setup;
use crate::daemon::camera::CameraSettings;
use crate::daemon::camera::modes::ModeRequest;
use crate::daemon::clock::monotonic_ns;
use crate::daemon::config::{CameraConfig, Config, SourceKind};
use crate::daemon::grab::Opener;
use crate::daemon::models::store::Store;
use crate::daemon::mqtt::Command;
use crate::daemon::sources::footage::Selection;
use crate::daemon::sources::piped::PipedSource;
use crate::daemon::sources::source::{CameraSource, ClipSource, SyntheticSource};

/// Frame rate of the synthetic subject where `camera.fps` says nothing.
const SYNTHETIC_FPS: f64 = 60.0;
/// The synthetic subject moves so often, and ends after so many movements (6 hours).
const SYNTHETIC_PERIOD_NS: i64 = 3_000_000_000;
const SYNTHETIC_MOVEMENTS: i64 = 7200;

/// Everything that can be wrong with files is found here, before a thread runs.
pub(crate) fn set_up(config: Config, memory: Memory) -> anyhow::Result<Setup> {
    let attempt = Store::in_state(&memory::folder(&config)).begin();
    let opened = files::open(&config, Some(&attempt));
    attempt.end();
    let Opened { chosen, pipeline, credentials, page } = opened?;
    chosen.log();
    let capabilities = capabilities(&config, &chosen);
    let (vision, models_problem) = (Box::new(pipeline), chosen.problem());
    let open = opener(&config)?;
    Ok(Setup { config, credentials, vision, open, capabilities, models_problem, memory, page })
}

/// What the device is and can do, with every key that the site has set: a retained message.
fn capabilities(config: &Config, chosen: &Chosen) -> Capabilities {
    let limits = glint::spot::SpotSettings::default();
    Capabilities {
        version: env!("CARGO_PKG_VERSION"),
        event_type: glint::event::EVENT_TYPE,
        models: files::digests(&chosen.models),
        model_bundle: chosen.bundle.clone(),
        commands: Command::ALL.map(Command::as_str).to_vec(),
        kinds: config.gate.kinds.clone(),
        micro_ms: [limits.min_ms, limits.max_ms],
        purpose: config.deployment.purpose,
        au_hz: config.stream.au_hz,
        overrides: overrides(config),
    }
}

/// The keys that differ from their defaults. Where files lie and who logs in is nobody's business.
fn overrides(config: &Config) -> BTreeMap<String, serde_json::Value> {
    let value = |c: &Config| serde_json::to_value(c).unwrap_or_default();
    let (current, default) = (value(config), value(&Config::default()));
    let mut changed = BTreeMap::new();
    for table in ["source", "camera", "face", "gate", "model", "stream", "deployment", "health"] {
        for (key, v) in current[table].as_object().into_iter().flatten() {
            let key_of = format!("{table}.{key}");
            // An address may hold a login too.
            let hidden = key_of == "source.command"
                || key_of == "source.path" && v.as_str().is_some_and(|p| p.contains("://"));
            if !hidden && default[table].get(key) != Some(v) {
                changed.insert(key_of, v.clone());
            }
        }
    }
    changed
}

/// Opens the source of a configuration.
pub(crate) fn opener(config: &Config) -> anyhow::Result<Opener> {
    let fps = config.camera.fps;
    Ok(match config.source.kind {
        SourceKind::Clip => {
            let path = config.source.path.clone().unwrap_or_default();
            let CameraConfig { rotate, mirror, .. } = config.camera;
            let selection = Selection { fps, rotate, mirror, ..Selection::default() };
            Box::new(move || Ok(Box::new(ClipSource::open(&path, selection)?)))
        }
        SourceKind::Synthetic => {
            let smiles = (1..=SYNTHETIC_MOVEMENTS).map(|i| Action::micro(12, 0.3, i * SYNTHETIC_PERIOD_NS));
            let frames = |fps| SYNTHETIC_MOVEMENTS as f64 * SYNTHETIC_PERIOD_NS as f64 / 1e9 * fps;
            synthetic(fps, smiles.collect(), |fps| frames(fps) as u64)?
        }
        SourceKind::Command => {
            let command = config.source.command.clone().unwrap_or_default();
            let layout = config.source.layout(&config.camera);
            let mounting = mounting(&config.camera);
            Box::new(move || Ok(Box::new(PipedSource::open(&command, layout, mounting)?)))
        }
        SourceKind::V4l2 => {
            let path = config.source.path.clone();
            let settings = camera_settings(&config.camera);
            let mounting = mounting(&config.camera);
            Box::new(move || Ok(Box::new(CameraSource::open(path.as_ref(), &settings, mounting)?)))
        }
    })
}

/// The same for a self-test: the synthetic subject makes no movement by itself, and does not end.
pub(crate) fn resting(config: &Config) -> anyhow::Result<Opener> {
    match config.source.kind {
        SourceKind::Synthetic => synthetic(config.camera.fps, Vec::new(), |_| u64::MAX),
        _ => opener(config),
    }
}

fn synthetic(fps: Option<f64>, actions: Vec<Action>, frames: impl Fn(f64) -> u64) -> anyhow::Result<Opener> {
    let fps = fps.unwrap_or(SYNTHETIC_FPS);
    let (script, frames) = (Script::new(actions).context("synthetic subject")?, frames(fps));
    Ok(Box::new(move || Ok(Box::new(SyntheticSource::new(script.clone(), fps, frames, monotonic_ns())?))))
}

fn mounting(camera: &CameraConfig) -> Mounting {
    Mounting { rotate: camera.rotate, mirror: camera.mirror }
}

/// How the camera is to be used.
pub(crate) fn camera_settings(camera: &CameraConfig) -> CameraSettings {
    // Sides are at most 4096: checked with the configuration.
    let size = camera.size.map(|[w, h]| (w as u32, h as u32));
    CameraSettings {
        request: ModeRequest { format: camera.format, size, fps: camera.fps },
        power_line_hz: Some(camera.power_line_hz.into()),
        lock_exposure: camera.lock_exposure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn birth_echoes_what_the_site_has_set_and_no_login() {
        let text = "[camera]\nrotate = 90\n[mqtt]\nusername = \"u\"\n[gate]\nkinds = [\"micro\", \"macro\"]";
        let config = Config::parse("g", text).expect("valid");
        let expected = [("camera.rotate", json!(90)), ("gate.kinds", json!(["micro", "macro"]))];
        assert_eq!(overrides(&config), expected.map(|(k, v)| (k.to_owned(), v)).into());
        let text = "[source]\nkind = \"command\"\ncommand = [\"ffmpeg\", \"-i\", \"rtsp://me:secret@x\"]\n\
                    path = \"rtsp://me:secret@x\"\nformat = \"nut\"";
        let config = Config::parse("g", text).expect("valid");
        let expected = [("source.format", json!("nut")), ("source.kind", json!("command"))];
        assert_eq!(overrides(&config), expected.map(|(k, v)| (k.to_owned(), v)).into());
    }
}
