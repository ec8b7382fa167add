//! `glint-pretrain distill`: the student from its teachers.

use std::path::PathBuf;

use anyhow::Result;

use crate::recognition::megc;
use crate::run::Run;
use crate::student::distil::{distil, material};
use crate::student::export::{finish, tune};
use crate::student::recipe::StudentRecipe;
use crate::student::teachers::Teachers;

/// Distil the student from the teachers that `train` wrote, quantize it and calibrate it; write student.onnx and
/// student.toml. The f32 network goes into the run's folder.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain distill --assets ../data --teachers out/train-1/teachers.json"
)]
pub struct Args {
    /// Folder with `portraits/` and `ict/`.
    #[arg(long)]
    assets: PathBuf,
    /// Run folder that `train` wrote.
    #[arg(long, value_name = "FILE")]
    teachers: PathBuf,
    /// Folder for the model files.
    #[arg(long, default_value = "out/student")]
    out: PathBuf,
    /// Seed of people, movements and weights. It must be that of `train`.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// TOML recipe [default: the built-in `recipes/student.toml`].
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Folder of labelled samples (`index.csv`, `flow/`). A regression on them is added to the student.
    #[arg(long, value_name = "DIR")]
    labelled: Option<PathBuf>,
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
    let teachers = Teachers::read(&args.teachers)?;
    let run = Run::start("distill", args.seed, &recipe, args.resume)?;
    let training = material(&recipe, &args.assets, args.seed)?;
    let mut student = distil(&recipe, &training, &teachers, args.seed, &run)?;
    let mut made_by = format!("glint-pretrain distill --assets DIR --teachers FILE --seed {}", args.seed);
    if let Some(path) = &args.recipe {
        made_by += &format!(" --recipe {}", path.display());
    }
    if let Some(dir) = &args.labelled {
        tune(&mut student, &megc::load(dir)?, &training, &run)?;
        made_by += " --labelled DIR";
    }
    if args.quick {
        made_by += " --quick";
    }
    finish(&recipe, &args.assets, args.seed, (&teachers, &student, &training), (&args.out, &made_by), run)
}
