//! `glint-pretrain distill`: the student from its teachers.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::net::perceptron::Perceptron;
use crate::run::Run;
use crate::student::distil::{distil, material};
use crate::student::export::finish;
use crate::student::recipe::Recipe;
use crate::train::student::rows;

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
    /// Train for seconds only. This shows that the command works and says nothing about quality.
    #[arg(long)]
    quick: bool,
    /// Continue an interrupted run.
    #[arg(long)]
    resume: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let recipe = Recipe::read(args.recipe.as_deref(), args.quick)?;
    let name = args.teachers.display().to_string();
    let bytes = std::fs::read(&args.teachers).with_context(|| name.clone())?;
    let teachers: Vec<Perceptron> = serde_json::from_slice(&bytes).with_context(|| name.clone())?;
    ensure!(
        !teachers.is_empty() && teachers.iter().all(Perceptron::is_sound),
        "{name}: this is not a file that train writes"
    );
    let run = Run::start("distill", args.seed, &recipe, args.resume)?;
    let training = material(&recipe, &args.assets, args.seed)?;
    let student = distil(&recipe, &training, &rows(&training), &teachers, args.seed, &run)?;
    let made_by = format!("glint-pretrain distill --assets DIR --teachers FILE --seed {}", args.seed);
    finish(&recipe, &args.assets, args.seed, (&teachers, &student, &training), (&args.out, &made_by), run)
}
