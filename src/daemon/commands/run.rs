//! `glintd run`: the daemon, until it is told to stop or its source ends.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::daemon::runtime::memory;
use crate::daemon::runtime::serve::{Host, Load};
use crate::daemon::runtime::setup::set_up;

/// Runs the daemon until it is told to stop or its source ends.
pub fn run(path: &Path) -> anyhow::Result<()> {
    // Before anything else: a pause that is asked for while the models load must not end the process.
    let mut host = Host::new()?;
    let (config, memory) = memory::load(path, None)?;
    // What a reload moves to another folder comes from this one.
    let folder = Mutex::new(memory::folder(&config));
    let setup = set_up(config, memory)?;
    let file = path.to_owned();
    let load: Load = Arc::new(move || {
        // A folder is whole whoever panicked beside it.
        let mut folder = folder.lock().unwrap_or_else(PoisonError::into_inner);
        let (config, memory) = memory::load(&file, Some(&folder))?;
        let next = memory::folder(&config);
        let setup = set_up(config, memory)?;
        *folder = next;
        Ok(setup)
    });
    host.serve(setup, &load)
}
