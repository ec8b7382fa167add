//! `glint-pretrain threshold`: the minimum recognisable intensity of each AU.

mod experiment;
mod fit;
mod observe;

use anyhow::Result;

/// Finds the least intensity at which an action unit is recognised: by people before a web page, or by a model observer.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Serves the experiment to a browser on this machine: the same face twice, in which interval did it move? Answers are on
    /// disk as they come; the same command goes on with a session that was left.
    Run(experiment::Args),
    /// Fits a Weibull function to the answers of one or many participants and writes the thresholds at 75 %.
    Fit(fit::Args),
    /// Lets the daemon's own measurement take the place of a participant, at a camera's noise, and writes its thresholds.
    Observe(observe::Args),
}

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Run(args) => experiment::run(args),
        Command::Fit(args) => fit::run(args),
        Command::Observe(args) => observe::run(args),
    }
}
