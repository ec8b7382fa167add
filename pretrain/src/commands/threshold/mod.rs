//! `glint-pretrain threshold`: the minimum recognisable intensity of each AU.

mod experiment;
mod fit;
mod observe;

use anyhow::Result;

/// Measure the minimum recognisable intensity of each action unit, with people and a web page or with a model observer.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Serve the experiment to a browser on this machine. Each trial shows the same face twice and asks in which
    /// interval it moved. Answers are saved at once; the same command continues an interrupted session.
    Run(experiment::Args),
    /// Fit a Weibull function to the answers of one or more participants and write the thresholds at 75 % correct.
    Fit(fit::Args),
    /// Put the daemon's own measurement in the place of a participant, under a camera's noise, and write its
    /// thresholds.
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
