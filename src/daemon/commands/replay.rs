//! `glintd replay`: the daemon's pipeline over a clip, one event a line.
#![allow(clippy::disallowed_methods)] // --pace waits for the time of each frame.

use std::path::Path;
use std::time::{Duration, Instant};

use glint::clip::Clip;
use glint::event::Event;
use glint::pipeline::{Pipeline, Step};

use super::media::{self, Ending};
use super::summary::Account;
use crate::daemon::sources::footage::Selection;

/// Runs the pipeline over a clip and gives every event to `deliver`. With `pace`, frames come at the
/// clip's own speed. Nothing is dropped.
pub fn run(
    path: &Path,
    selection: Selection,
    pace: bool,
    device: &str,
    pipeline: &mut Pipeline,
    account: Account,
    mut deliver: impl FnMut(&Event) -> anyhow::Result<()>,
) -> anyhow::Result<Ending> {
    let start = Instant::now();
    media::run(path, selection, pipeline, account, |step, frame, _, clip: &Clip| {
        if pace {
            let due = Duration::from_nanos((frame.at_ns - selection.from.unwrap_or(0)).max(0) as u64);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
        if let Step::Event(movement) = step {
            deliver(&Event::new(device, &clip.digest(), None, movement))?;
        }
        Ok(())
    })
}
