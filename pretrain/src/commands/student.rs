//! `glint-pretrain student`: teachers, student, calibration and export, one after the other.

use std::path::PathBuf;

use anyhow::Result;

use crate::recognition::megc;
use crate::run::Run;
use crate::student::distil::{distil, material};
use crate::student::export::{finish, tune};
use crate::student::recipe::StudentRecipe;
use crate::student::teachers::{FILE, Start, Teachers};

/// Train teachers on synthetic motion, distil the student from them and calibrate it on other people; write
/// student.onnx and student.toml.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain student --assets ../data --seed 1")]
pub struct Args {
    /// Folder with `portraits/` and `ict/`.
    #[arg(long)]
    assets: PathBuf,
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Seed of people, movements and weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// TOML recipe [default: the built-in `recipes/student.toml`].
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Folder of a finished `pretrain`. Teachers begin as its encoder of motion [default: drawn weights].
    #[arg(long, value_name = "DIR")]
    encoders: Option<PathBuf>,
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
    let run = Run::start("student", args.seed, &recipe, args.resume)?;
    let training = material(&recipe, &args.assets, args.seed)?;
    let start = Start::from_encoders(args.encoders.as_deref())?;
    let teachers = Teachers::train(&recipe, &start, &training, args.seed, &run)?;
    teachers.write(&run.dir().join(FILE))?;
    let mut student = distil(&recipe, &training, &teachers, args.seed, &run)?;
    let mut made_by = format!("glint-pretrain student --assets DIR --seed {}", args.seed);
    if let Some(path) = &args.recipe {
        made_by += &format!(" --recipe {}", path.display());
    }
    if args.encoders.is_some() {
        made_by += " --encoders DIR";
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
