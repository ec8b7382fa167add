//! `glint-pretrain threshold fit`: thresholds from the answers of people.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use glint::au::AUS;
use glint::intensity::Thresholds;
use glint::pipeline::Models;

use crate::threshold::export::{Entry, LEVEL, write};
use crate::threshold::psychometric::Psychometric;
use crate::threshold::session;

/// Arguments of `threshold fit`.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain threshold fit p01.jsonl p02.jsonl --out thresholds.toml")]
pub struct Args {
    /// Logs of sessions.
    #[arg(required = true)]
    logs: Vec<PathBuf>,
    /// The thresholds file.
    #[arg(long, value_name = "FILE.toml")]
    out: PathBuf,
    /// File of thresholds for AUs that no session asked for [default: those of the built-in models].
    #[arg(long, value_name = "FILE.toml")]
    base: Option<PathBuf>,
    /// Number of bootstrap draws.
    #[arg(long, default_value_t = 400)]
    draws: usize,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn base(path: Option<&Path>) -> Result<Thresholds> {
    let Some(path) = path else { return Ok(Models::embedded()?.au.spec.thresholds) };
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut answers = Vec::new();
    let mut people = std::collections::BTreeSet::new();
    for log in &args.logs {
        let (plan, log_answers) = session::read(log)?;
        ensure!(!log_answers.is_empty(), "{}: the log holds no answers", log.display());
        people.insert(plan.participant);
        answers.extend(log_answers);
    }
    let mut entries = BTreeMap::new();
    println!(
        "{:>4} {:>7} {:>9} {:>15} {:>6} {:>6}",
        "AU", "trials", "threshold", "95 % interval", "slope", "lapse"
    );
    for au in AUS {
        let levels = session::levels_of(au, &answers);
        let count: f64 = levels.iter().map(|l| l.trials).sum();
        let Some(curve) = Psychometric::fit(&levels, 0.5) else { continue };
        let threshold = curve.bootstrap(&levels, LEVEL, args.draws, args.seed);
        let mut origin = format!("{count} answers, {} participants", people.len());
        match threshold {
            Some(t) => println!(
                "{au:>4} {count:>7} {:>9.3} {:>15} {:>6.2} {:>6.3}",
                t.value,
                format!("{:.3} to {:.3}", t.interval.0, t.interval.1),
                curve.slope,
                curve.lapse
            ),
            None => origin += ": 75 % was never reached",
        }
        entries.insert(au, Entry { threshold, origin });
    }
    ensure!(!entries.is_empty(), "the logs hold no answer to any AU");
    let title = format!(
        "Minimum recognisable intensity (0 to 5), {LEVEL} right in two intervals; bootstrap interval of 95 %.\n\
         Participants: {}.",
        people.into_iter().collect::<Vec<_>>().join(", ")
    );
    write(&args.out, &title, &entries, &base(args.base.as_deref())?).map(drop)
}
