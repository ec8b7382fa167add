//! `glint-pretrain train`: the teachers.

use std::path::PathBuf;

use anyhow::Result;

use crate::run::Run;
use crate::student::calibration::Held;
use crate::student::distil::material;
use crate::student::recipe::StudentRecipe;
use crate::student::teachers::{FILE, Start, Teachers};

/// Train the teachers of the student on synthetic motion, for classes and AUs; write teachers.json into the run's
/// folder. The samples are exact displacement fields, and rendered faces whose flow is measured as in the daemon.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain train --assets ../data --seed 1")]
pub struct Args {
    /// Folder with `portraits/` and `ict/`.
    #[arg(long)]
    assets: PathBuf,
    /// Seed of people, movements and weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// TOML recipe [default: the built-in `recipes/student.toml`].
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Folder of a finished `pretrain`. Teachers begin as its encoder of motion [default: drawn weights].
    #[arg(long, value_name = "DIR")]
    encoders: Option<PathBuf>,
    /// Train for seconds only. This shows that the command works and says nothing about quality.
    #[arg(long)]
    quick: bool,
    /// Continue an interrupted run.
    #[arg(long)]
    resume: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let recipe = StudentRecipe::read(args.recipe.as_deref(), args.quick)?;
    let run = Run::start("train", args.seed, &recipe, args.resume)?;
    let training = material(&recipe, &args.assets, args.seed)?;
    let start = Start::from_encoders(args.encoders.as_deref())?;
    let teachers = Teachers::train(&recipe, &start, &training, args.seed, &run)?;
    Held::render(&recipe, &args.assets, args.seed)?.report_teachers(&teachers, &run)?;
    teachers.write(&run.dir().join(FILE))?;
    run.finish()
}
