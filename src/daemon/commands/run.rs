//! `glintd run`: the daemon, until it is told to stop or its source ends.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::daemon::config::{Config, DEFAULT_PATH};
use crate::daemon::outbox::is_held;
use crate::daemon::runtime::memory;
use crate::daemon::runtime::serve::{Host, Load};
use crate::daemon::runtime::setup::set_up;

/// A daemon that ends has so much time to let its outbox go.
const PATIENCE: Duration = Duration::from_secs(5);
/// Steps in which that is waited for.
const STEP: Duration = Duration::from_millis(100);

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
    wait_for_outbox(&config)?;
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

/// Two daemons with one outbox would take each other's session at the broker, and the second one could keep no event.
fn wait_for_outbox(config: &Config) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    while is_held(&config.outbox.path) {
        if Instant::now() >= until {
            anyhow::bail!(
                "{}",
                config.places.line(
                    "outbox.path",
                    format!(
                        "{}: a running glintd has it (systemctl status glintd); end that one, or give this one a \
                         configuration with a device.id and an outbox.path of its own",
                        config.outbox.path.display()
                    )
                )
            );
        }
        std::thread::sleep(STEP);
    }
    Ok(())
}
