//! `glintd check`: is this configuration valid?

use std::path::PathBuf;
use std::process::ExitCode;

use crate::daemon::runtime::memory;

/// Arguments of `glintd check`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Prints the effective configuration.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (config, _) = memory::load(&args.config, None)?;
    print!("{}", config.to_toml());
    Ok(ExitCode::SUCCESS)
}
