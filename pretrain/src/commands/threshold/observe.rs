//! `glint-pretrain threshold observe`: thresholds of the daemon's own measurement.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use glint::au::AUS;
use glint::intensity::AuSpec;
use glint::pipeline::Models;
use glint::synth::Pack;

use crate::run;
use crate::ship;
use crate::threshold::export::{Entry, LEVEL, write};
use crate::threshold::observer::{self, Setup};
use crate::train::judge::untrained;

/// Arguments of `threshold observe`.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain threshold observe --out thresholds.toml --intervals 2")]
pub struct Args {
    /// The thresholds file.
    #[arg(long, value_name = "FILE.toml")]
    out: PathBuf,
    /// Folder of model files [default: the built-in models].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Also write the thresholds into au.toml of --models. They are the gate's defaults.
    #[arg(long, requires = "models")]
    adopt: bool,
    /// Number of intervals to choose from. 2 is the experiment for people; more intervals give higher thresholds.
    #[arg(long, default_value_t = 2)]
    intervals: u32,
    /// Number of movements of each AU at each of 8 levels.
    #[arg(long, default_value_t = 10)]
    repeats: usize,
    /// Frames per second.
    #[arg(long, default_value_t = 100.0)]
    fps: f64,
    /// Camera noise, as a multiple of that of a webcam in a lit room.
    #[arg(long, default_value_t = 1.0)]
    noise: f32,
    /// Seed of people, cameras, order and bootstrap.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of bootstrap draws.
    #[arg(long, default_value_t = 200)]
    draws: usize,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!((2..=10_000).contains(&args.intervals), "--intervals: 2 to 10000");
    ensure!((1..=1000).contains(&args.repeats), "--repeats: 1 to 1000");
    ensure!((20.0..=500.0).contains(&args.fps), "--fps: 20 to 500");
    ensure!((0.0..=20.0).contains(&args.noise), "--noise: 0 to 20");
    let models = match &args.models {
        // Judge and student are trained after the minima are known, and what is observed depends on neither.
        Some(dir) => Models::with(dir, untrained(), Models::embedded()?.student)?,
        None => Models::embedded()?,
    };
    let setup = Setup { repeats: args.repeats, fps: args.fps, noise: args.noise, seed: args.seed };
    let bar = run::bar("model observer", 0);
    let seen = observer::watch(&models, &Pack::embedded()?, &setup, &bar)?;
    bar.finish_and_clear();
    // In two intervals beside what was asked for: the figure that is compared with people.
    let two = observer::thresholds(&seen, 2, LEVEL, args.draws, args.seed);
    let asked = observer::thresholds(&seen, args.intervals, LEVEL, args.draws, args.seed);
    println!(
        "{:>4} {:>11} {:>15} {:>13} {:>15}",
        "AU",
        "2 intervals",
        "95 % interval",
        format!("{} intervals", args.intervals),
        "95 % interval"
    );
    let cells = |e: Option<&Entry>| match e.and_then(|e| e.threshold) {
        Some(t) => (format!("{:.3}", t.value), format!("{:.3} to {:.3}", t.interval.0, t.interval.1)),
        None => ("-".into(), "-".into()),
    };
    for au in AUS {
        let ((a, b), (c, d)) = (cells(two.get(&au)), cells(asked.get(&au)));
        println!("{au:>4} {a:>11} {b:>15} {c:>13} {d:>15}");
    }
    eprintln!("{} intervals could not be measured throughout", seen.lost);
    let title = format!(
        "Minimum intensity (0 to 5) that the model observer recognises: {LEVEL} right in {} intervals.\n\
         glint-pretrain threshold observe --intervals {} --repeats {} --fps {} --noise {} --seed {}",
        args.intervals, args.intervals, args.repeats, args.fps, args.noise, args.seed
    );
    let thresholds = write(&args.out, &title, &asked, &models.au.spec.thresholds)?;
    let Some(dir) = args.models.as_deref().filter(|_| args.adopt) else { return Ok(()) };
    let au = models.au;
    let command = format!(
        "glint-pretrain threshold observe --adopt --intervals {} --repeats {} --fps {} --noise {} --seed {}",
        args.intervals, args.repeats, args.fps, args.noise, args.seed
    );
    // Run twice, the command stands there once.
    let others = au.spec.file.made_by.split("; ").filter(|c| !c.starts_with("glint-pretrain threshold"));
    let made_by = others.chain([&*command]).collect::<Vec<_>>().join("; ");
    ship::write(dir, "au", "bin", &au.bytes, &made_by, |file| AuSpec { file, thresholds, ..au.spec.clone() })
}
