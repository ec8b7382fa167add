//! `glintd run`: the daemon, until it is told to stop or its source ends.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use crate::daemon::config::DEFAULT_PATH;
use crate::daemon::runtime::memory;
use crate::daemon::runtime::serve::{Host, Load};
use crate::daemon::runtime::setup::set_up;

/// Arguments of `glintd run`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration file. Files of conf.d beside it, and variables such as GLINT_MQTT__URL, are merged into it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

/// Runs the daemon until it is told to stop or its source ends.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Before anything else: a pause that is asked for while the models load must not end the process.
    let mut host = Host::new()?;
    let (config, memory) = memory::load(&args.config, None)?;
    // What a reload moves to another folder comes from this one.
    let folder = Mutex::new(memory::folder(&config));
    let setup = set_up(config, memory)?;
    let file = args.config.clone();
    let load: Load = Arc::new(move || {
        // A folder is whole whoever panicked beside it.
        let mut folder = folder.lock().unwrap_or_else(PoisonError::into_inner);
        let (config, memory) = memory::load(&file, Some(&folder))?;
        let next = memory::folder(&config);
        let setup = set_up(config, memory)?;
        *folder = next;
        Ok(setup)
    });
    host.serve(setup, &load)?;
    Ok(ExitCode::SUCCESS)
}
