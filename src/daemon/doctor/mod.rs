//! What is wrong with a device, and what to do about it.
//!
//! Each file looks at one thing and gives [`Finding`]s. Nothing is disturbed: a running daemon keeps its connection, its camera
//! and its outbox.

pub(crate) mod broker;
pub(crate) mod bundle;
mod certificate;
pub(crate) mod disk;
mod machine;
pub(crate) mod models;
pub(crate) mod page;
mod redact;
pub(crate) mod source;
mod view;
mod wire;

use std::path::Path;
use std::time::Duration;

use super::config::{Config, ConfigError};
use super::finding::Finding;
use super::mqtt::credentials::Credentials;
use super::runtime::files;
use broker::{Depth, Running};

/// Everything, and whether configuration and files can be used.
pub(crate) fn examine(config: &Config, length: Duration) -> (Vec<Finding>, bool) {
    let mut out = vec![machine::versions()];
    let mut usable = true;
    match files::open(config, None) {
        Ok(mut opened) => {
            out.push(models::digests(&opened.chosen));
            if !disk::is_state_closed(config) {
                out.extend(models::rejected(&opened.chosen));
            }
            let (findings, running) = broker::look(config, &opened.credentials, Depth::Rules);
            out.extend(findings);
            out.extend(beside(&running));
            out.extend(source::look(config, &mut opened.pipeline, length, &running));
        }
        Err(problems) => {
            usable = false;
            let remedy = "correct the key, or restore the file";
            out.extend(problems.0.into_iter().map(|p| Finding::fault("files", "file_unusable", p, remedy)));
            out.extend(despite(config, length));
        }
    }
    out.extend(disk::look(config, false));
    out.extend(page::look(config));
    out.push(machine::clock());
    out.push(machine::temperature(Path::new("/sys")));
    out.push(machine::throttling(Path::new("/sys")));
    (out, usable)
}

/// What can be said where the configuration cannot be used.
pub(crate) fn unusable(problems: &ConfigError) -> Vec<Finding> {
    let remedy = "correct the key; glintd check tells when all of it is right";
    let faults =
        problems.0.iter().map(|p| Finding::fault("configuration", "file_unusable", p.clone(), remedy));
    std::iter::once(machine::versions()).chain(faults).collect()
}

/// Broker and camera where a file cannot be used: as far as they can be looked at without it.
fn despite(config: &Config, length: Duration) -> Vec<Finding> {
    let (mut out, running) = match Credentials::read(config) {
        Ok(credentials) => broker::look(config, &credentials, Depth::Rules),
        Err(_) => (vec![broker::reach(config)], Running::default()),
    };
    out.extend(beside(&running));
    let vision = files::vision(config, None);
    match vision.and_then(|(chosen, options)| files::pipeline(config, options, &chosen.models)) {
        Ok(mut pipeline) => out.extend(source::look(config, &mut pipeline, length, &running)),
        Err(_) => out.extend(source::first_frame(config)),
    }
    out
}

/// What a running daemon says of itself.
fn beside(running: &Running) -> Option<Finding> {
    if !running.online() {
        return None;
    }
    let problems = running.health.as_ref().map(|h| h["problems"].clone());
    let problems: Vec<String> = problems.and_then(|p| serde_json::from_value(p).ok()).unwrap_or_default();
    let reported = if problems.is_empty() { "no problem".into() } else { problems.join(", ") };
    Some(Finding::note("daemon", format!("glintd runs, and reports {reported}")))
}
