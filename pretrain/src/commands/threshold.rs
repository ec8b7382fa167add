//! `glint-pretrain threshold`: the minimum recognisable intensity of each AU.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use glint::au::{AUS, au_index};
use glint::gate::{AuSpec, Thresholds};
use glint::pipeline::Models;
use glint::synth::Pack;

use crate::run;
use crate::ship;
use crate::threshold::export::{self, Entry};
use crate::threshold::observer::{self, Setup};
use crate::threshold::psychometric::Psychometric;
use crate::threshold::server::Experiment;
use crate::threshold::session::{self, Plan, Session};

/// Share of right answers that is the threshold.
const LEVEL: f64 = 0.75;

/// Finds the least intensity at which an action unit is recognised: by people before a web page, or by a model observer.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Serves the experiment to a browser on this machine: the same face twice, in which interval did it move? Answers are on
    /// disk as they come; the same command goes on with a session that was left.
    Run(RunArgs),
    /// Fits a Weibull function to the answers of one or many participants and writes the thresholds at 75 %.
    Fit(FitArgs),
    /// Lets the daemon's own measurement take the place of a participant, at a camera's noise, and writes its thresholds.
    Observe(ObserveArgs),
}

/// Arguments of `threshold run`.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain threshold run --log p01.jsonl --participant p01 --aus 1,4,12 --trials 60"
)]
pub struct RunArgs {
    /// Log of the session, one JSON object a line.
    #[arg(long, value_name = "FILE.jsonl")]
    log: PathBuf,
    /// Code of the participant; no name.
    #[arg(long, default_value = "p01")]
    participant: String,
    /// AUs; all that glint measures by default.
    #[arg(long, value_delimiter = ',', default_values_t = AUS)]
    aus: Vec<u8>,
    /// Trials of each AU.
    #[arg(long, default_value_t = 60)]
    trials: usize,
    /// Chooses order, faces and intervals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Port on the loopback interface; 0: a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Arguments of `threshold fit`.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain threshold fit p01.jsonl p02.jsonl --out thresholds.toml")]
pub struct FitArgs {
    /// Logs of sessions.
    #[arg(required = true)]
    logs: Vec<PathBuf>,
    /// The thresholds file.
    #[arg(long, value_name = "FILE.toml")]
    out: PathBuf,
    /// Thresholds of AUs that were not asked for; by default those of the built-in models.
    #[arg(long, value_name = "FILE.toml")]
    base: Option<PathBuf>,
    /// Bootstrap draws.
    #[arg(long, default_value_t = 400)]
    draws: usize,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Arguments of `threshold observe`.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain threshold observe --out thresholds.toml --intervals 2")]
pub struct ObserveArgs {
    /// The thresholds file.
    #[arg(long, value_name = "FILE.toml")]
    out: PathBuf,
    /// Folder of model files; without it those that are compiled in.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Writes the thresholds into au.toml of --models as well: the gate's defaults.
    #[arg(long, requires = "models")]
    adopt: bool,
    /// Intervals to choose from: 2 is the experiment for people, more ask for surer sight.
    #[arg(long, default_value_t = 2)]
    intervals: u32,
    /// Movements of each AU at each of 8 levels.
    #[arg(long, default_value_t = 10)]
    repeats: usize,
    /// Frames per second.
    #[arg(long, default_value_t = 100.0)]
    fps: f64,
    /// Multiplies the noise of a webcam in a lit room.
    #[arg(long, default_value_t = 1.0)]
    noise: f32,
    /// Chooses people, cameras, order and bootstrap.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Bootstrap draws.
    #[arg(long, default_value_t = 200)]
    draws: usize,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Run(args) => experiment(args),
        Command::Fit(args) => fit(args),
        Command::Observe(args) => observe(args),
    }
}

fn experiment(args: &RunArgs) -> Result<()> {
    let mut aus = args.aus.clone();
    aus.sort_unstable();
    aus.dedup();
    for au in &aus {
        ensure!(au_index(*au).is_some(), "--aus: {au}; allowed: {}", AUS.map(|a| a.to_string()).join(" "));
    }
    let plan =
        Plan { version: 1, participant: args.participant.clone(), aus, trials: args.trials, seed: args.seed };
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

fn base(path: Option<&Path>) -> Result<Thresholds> {
    let Some(path) = path else { return Ok(Models::embedded()?.au.spec.thresholds) };
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

fn fit(args: &FitArgs) -> Result<()> {
    let mut answers = Vec::new();
    let mut people = std::collections::BTreeSet::new();
    for log in &args.logs {
        let (plan, own) = session::read(log)?;
        ensure!(!own.is_empty(), "{}: no answer in it", log.display());
        people.insert(plan.participant);
        answers.extend(own);
    }
    let mut found = BTreeMap::new();
    println!(
        "{:>4} {:>7} {:>9} {:>15} {:>6} {:>6}",
        "AU", "trials", "threshold", "95 % interval", "slope", "lapse"
    );
    for au in AUS {
        let levels = session::levels_of(au, &answers);
        let count: f64 = levels.iter().map(|l| l.of).sum();
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
        found.insert(au, Entry { found: threshold, origin });
    }
    ensure!(!found.is_empty(), "no answer to any AU");
    let title = format!(
        "Minimum recognisable intensity (0 to 5), {LEVEL} right in two intervals; bootstrap interval of 95 %.\n\
         Participants: {}.",
        people.into_iter().collect::<Vec<_>>().join(", ")
    );
    write(&args.out, &title, &found, &base(args.base.as_deref())?).map(drop)
}

fn observe(args: &ObserveArgs) -> Result<()> {
    ensure!((2..=10_000).contains(&args.intervals), "--intervals: 2 to 10000");
    ensure!((1..=1000).contains(&args.repeats), "--repeats: 1 to 1000");
    ensure!((20.0..=500.0).contains(&args.fps), "--fps: 20 to 500");
    ensure!((0.0..=20.0).contains(&args.noise), "--noise: 0 to 20");
    let models = match &args.models {
        Some(dir) => Models::load(dir)?,
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
    let cells = |e: Option<&Entry>| match e.and_then(|e| e.found) {
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
    let first = au.spec.file.made_by.split("; glint-pretrain threshold").next().unwrap_or_default();
    ship::write(dir, "au", "bin", &au.bytes, &format!("{first}; {command}"), |file| AuSpec {
        file,
        thresholds,
        ..au.spec.clone()
    })
}

fn write(path: &Path, title: &str, found: &BTreeMap<u8, Entry>, base: &Thresholds) -> Result<Thresholds> {
    let (thresholds, text) = export::file(title, found, base)?;
    std::fs::write(path, text).with_context(|| path.display().to_string())?;
    eprintln!("{}", path.display());
    Ok(thresholds)
}
