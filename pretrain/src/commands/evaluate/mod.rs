//! `glint-pretrain evaluate`: how well it all works. One module a question.

pub mod spotting;

use anyhow::Result;

/// Measures the shipped models and the daemon's own chain.
#[derive(clap::Subcommand)]
pub enum Command {
    /// How well movements are found.
    Spotting(spotting::Args),
}

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Spotting(args) => spotting::run(args),
    }
}
