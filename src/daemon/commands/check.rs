//! `glintd check`: is this configuration valid?

use std::path::PathBuf;
use std::process::ExitCode;

use crate::daemon::config::DEFAULT_PATH;
use crate::daemon::runtime::memory;

/// Arguments of `glintd check`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration file. Files of conf.d beside it, and variables as GLINT_MQTT__URL, are merged into it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

/// Prints the effective configuration.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (config, _) = memory::load(&args.config, None)?;
    print!("{}", config.to_toml());
    Ok(ExitCode::SUCCESS)
}
