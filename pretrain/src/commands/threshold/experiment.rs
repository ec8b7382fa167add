//! `glint-pretrain threshold run`: the experiment in a browser.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use glint::au::{AUS, au_index};
use glint::synth::Pack;

use crate::run;
use crate::threshold::server::Experiment;
use crate::threshold::session::{Session, SessionPlan};

/// Arguments of `threshold run`.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain threshold run --log p01.jsonl --participant p01 --aus 1,4,12 --trials 60"
)]
pub struct Args {
    /// Log of the session, one JSON object per line.
    #[arg(long, value_name = "FILE.jsonl")]
    log: PathBuf,
    /// Code of the participant. Do not use a name.
    #[arg(long, default_value = "p01")]
    participant: String,
    /// Action units [default: all that glint measures].
    #[arg(long, value_delimiter = ',', default_values_t = AUS)]
    aus: Vec<u8>,
    /// Number of trials per AU.
    #[arg(long, default_value_t = 60)]
    trials: usize,
    /// Seed of order, faces and intervals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Port on the loopback interface; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut aus = args.aus.clone();
    aus.sort_unstable();
    aus.dedup();
    for au in &aus {
        ensure!(au_index(*au).is_some(), "--aus: {au}; allowed: {}", AUS.map(|a| a.to_string()).join(" "));
    }
    let plan = SessionPlan {
        version: 1,
        participant: args.participant.clone(),
        aus,
        trials: args.trials,
        seed: args.seed,
    };
    let session = Session::open(&args.log, plan)?;
    let (done, total) = (session.answers().len(), session.total());
    if session.next().is_none() {
        eprintln!("{}: all {total} trials are answered", args.log.display());
        return Ok(());
    }
    let experiment = Experiment::bind(args.port, session, Pack::embedded()?)?;
    run::watch_interrupt()?;
    eprintln!("{done} of {total} trials are answered; open this page, stop with Ctrl-C:");
    println!("{}", experiment.url());
    let session = experiment.run(run::interrupted)?;
    let (answers, log) = (session.answers(), args.log.display());
    let right = answers.iter().filter(|a| a.right()).count();
    eprintln!("{} of {total} trials are answered, {right} of them right; {log}", answers.len());
    Ok(())
}
