//! `glint-pretrain ship`: every shipped model file, one step after the other.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use glint::model::{Checked, Lineage};
use glint::student::StudentSpec;
use serde_json::json;

use crate::run::Run;
use crate::ship::steps::{Places, ShipRecipe, digests};

/// Make all shipped models from one seed: subject, detector, landmarks, AU network, thresholds and judge; then unlabelled
/// pairs, encoders, teachers that begin as these encoders, and the student. Each step is a command of this program. The
/// model's TOML file records its command line; student.toml also records what the student descends from.
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
    /// Make no pairs and no encoders. Teachers begin with drawn weights.
    #[arg(long)]
    no_pretraining: bool,
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
    let mut recipe = ShipRecipe::read(args.recipe.as_deref())?;
    recipe.pretraining &= !args.no_pretraining;
    ensure!(
        args.labelled.is_none() || recipe.taken().any(|s| s.labelled),
        "--labelled: no step of the recipe uses it"
    );
    let run = Run::start("ship", args.seed, &recipe, args.resume)?;
    let program = std::env::current_exe().context("this program")?;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let places = Places {
        assets: args.assets.clone(),
        out: args.out.clone(),
        run: run.dir().to_owned(),
        seed: args.seed,
        labelled: args.labelled.clone(),
        quick: args.quick,
        pretraining: recipe.pretraining,
        resume: args.resume,
        threads: args.threads,
    };
    let mut rows = Vec::new();
    for step in recipe.taken() {
        let seconds = places.run(step, &program)?;
        run.log(&json!({"done": step.name, "seconds": seconds}))?;
        rows.push(vec![step.name.clone(), seconds.to_string(), places.line(step)?.join(" ")]);
    }
    run.table("Steps", &["what", "seconds", "command"], &rows);
    rows.iter().for_each(|row| eprintln!("{:>7} s  {}", row[1], row[0]));
    for (name, digest) in digests(&args.out)? {
        println!("{digest}  {name}");
    }
    // A recipe of one's own need not make a student.
    if args.out.join("student.toml").exists() {
        let student = Checked::<StudentSpec>::load(&args.out, "student")?;
        lineage(&student.spec.lineage.unwrap_or_default());
    }
    run.finish()
}

/// What the student descends from, one digest a line.
fn lineage(lineage: &Lineage) {
    for set in &lineage.pairs {
        println!("{}  {} pairs, {}", set.sha256, set.count, set.origin);
    }
    for (what, digest) in [("encoders", &lineage.encoders), ("teachers", &lineage.teachers)] {
        digest.iter().for_each(|digest| println!("{digest}  {what}"));
    }
}
