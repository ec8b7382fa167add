//! `glint-pretrain ship`: every shipped model file, one step after the other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::run::{Run, interrupted, is_begun};
use crate::ship::steps::{BEGUN, Recipe, digests, replace, was_interrupted};

/// Make all shipped models from one seed: subject, detector, landmarks, student, AU network, judge. Each step is a
/// command of this program. The model's TOML file records its command line.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain ship --assets ../data --out models --seed 1")]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long)]
    assets: PathBuf,
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Seed of everything.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder of your own labelled samples (`index.csv`, `flow/`), on which the student is tuned.
    #[arg(long, value_name = "DIR")]
    labelled: Option<PathBuf>,
    /// Give every step little material. This shows that the recipe runs and says nothing about quality.
    #[arg(long)]
    quick: bool,
    /// TOML recipe [default: the built-in `recipes/ship.toml`].
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Continue an interrupted run. Finished steps are not repeated.
    #[arg(long)]
    resume: bool,
    /// Number of worker threads [default: one per core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let recipe = Recipe::read(args.recipe.as_deref())?;
    ensure!(
        args.labelled.is_none() || recipe.step.iter().any(|s| s.labelled),
        "--labelled: no step of the recipe uses it"
    );
    let run = Run::start("ship", args.seed, &recipe, args.resume)?;
    let program = std::env::current_exe().context("this program")?;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let mut rows = Vec::new();
    for step in &recipe.step {
        let done = run.dir().join(format!("{}.state", step.name));
        if args.resume && done.exists() {
            eprintln!("{}: done before", step.name);
            continue;
        }
        let mut line: Vec<String> = step.args.iter().map(|a| fill(a, args)).collect::<Result<_>>()?;
        if args.quick {
            replace(&mut line, &step.quick);
        }
        if args.resume && step.resumes && was_interrupted(run.dir(), step) && is_begun(&line[0], args.seed) {
            line.push("--resume".into());
        }
        let begun = run.dir().join(BEGUN);
        std::fs::write(&begun, &step.name).with_context(|| begun.display().to_string())?;
        if let Some(dir) = args.labelled.as_deref().filter(|_| step.labelled) {
            line.extend(["--labelled".into(), text(dir)?]);
        }
        eprintln!("== {}: glint-pretrain {}", step.name, line.join(" "));
        let started = Instant::now();
        let mut command = Command::new(&program);
        command.args(&line);
        if let Some(threads) = args.threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        let status = command.status().with_context(|| program.display().to_string())?;
        if interrupted() || !status.success() {
            bail!("{}: {status}; the same command with --resume continues", step.name);
        }
        let seconds = started.elapsed().as_secs();
        run.log(&json!({"done": step.name, "seconds": seconds}))?;
        rows.push(vec![step.name.clone(), seconds.to_string(), format!("glint-pretrain {}", line.join(" "))]);
        std::fs::write(&done, line.join(" ")).with_context(|| done.display().to_string())?;
    }
    run.table("Steps", &["what", "seconds", "command"], &rows);
    for (name, digest) in digests(&args.out)? {
        println!("{digest}  {name}");
    }
    run.finish()
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{}: not UTF-8", path.display()))
}

fn fill(argument: &str, args: &Args) -> Result<String> {
    Ok(argument
        .replace("{assets}", &text(&args.assets)?)
        .replace("{out}", &text(&args.out)?)
        .replace("{seed}", &args.seed.to_string()))
}
