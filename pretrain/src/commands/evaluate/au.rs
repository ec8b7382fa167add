//! `glint-pretrain evaluate au`: AU intensities against what people coded in a database.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use glint::pipeline::Models;

use crate::databases::au::{AuDatabase, AuOptions, load};
use crate::spotting::coded::evaluate;

/// Compare the intensities that `glintd inspect` writes with the human codes of a database: ICC(3,1), mean absolute error,
/// correlation and F1 of each AU, with intervals over people.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain evaluate au --database disfa --data DISFA")]
pub struct Args {
    /// Database in --data.
    #[arg(long)]
    database: AuDatabase,
    /// Folder with the unpacked database.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder of its frames or videos [default: its published name].
    #[arg(long, value_name = "DIR")]
    frames: Option<PathBuf>,
    /// Frames per second [default: those of the database].
    #[arg(long)]
    fps: Option<f64>,
    /// Folder of model files [default: the built-in models].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Print a JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.fps.is_none_or(|f| (1.0..=1000.0).contains(&f)), "--fps: 1 to 1000");
    let models = match &args.models {
        Some(dir) => Models::load(dir)?,
        None => Models::embedded()?,
    };
    let options = AuOptions { frames: args.frames.clone(), fps: args.fps };
    let videos = load(args.database, &args.data, &options)?;
    videos.problems.iter().for_each(|p| eprintln!("{p}"));
    let report = evaluate(&videos, args.database.present_from(), &models)?;
    if args.json {
        println!("{}", report.json(args.database.name()));
    } else {
        println!("{}", report.table(args.database.name()));
    }
    Ok(())
}
