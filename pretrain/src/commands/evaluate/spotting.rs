//! `glint-pretrain evaluate spotting`: how well movements are found, and what they are taken for.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use glint::pipeline::Models;

use crate::databases::LoadOptions;
use crate::databases::long::{self, LongDatabase};
use crate::spotting::bench::{self, BenchPlan, EvaluationSplit, Part};
use crate::spotting::long::evaluate;
use crate::spotting::report::SpottingReport;

/// Compare what the daemon's own pipeline publishes with the truth, in rendered sequences of held-out people, in sequences
/// of a folder or in the long videos of a database.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain evaluate spotting --assets ../data --quick --clips videos")]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`, from which sequences are rendered.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["data", "real"])]
    assets: Option<PathBuf>,
    /// Database of long videos in --data. F1 is counted one to one and as a published scorer counts it, with STRS.
    #[arg(long, requires = "data", conflicts_with_all = ["real", "clips"])]
    database: Option<LongDatabase>,
    /// Sheet of the database [default: its published name].
    #[arg(long, value_name = "FILE", requires = "database")]
    sheet: Option<PathBuf>,
    /// Folder of frames of the database [default: its published name].
    #[arg(long, value_name = "DIR", requires = "database")]
    frames: Option<PathBuf>,
    /// Folder of sequences, ID.avi and ID.json, as `corpus --video` writes them, or of the database.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["assets", "split", "fps", "parts", "seed", "quick"])]
    data: Option<PathBuf>,
    /// Folder of real footage with movements at known times: `truth.json` and NAME.avi. Repeatable.
    #[arg(long, value_name = "DIR")]
    real: Vec<PathBuf>,
    /// Folder of model files [default: the built-in models].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Folder of real clips without annotation. Events, rejections and abstentions are counted.
    #[arg(long, value_name = "DIR")]
    clips: Option<PathBuf>,
    /// Use a tenth of the material.
    #[arg(long)]
    quick: bool,
    /// The group of people. Choose settings on `tune`; report figures on `test`.
    #[arg(long, value_enum, default_value = "test")]
    split: EvaluationSplit,
    /// Frame rates, in frames per second.
    #[arg(long, value_delimiter = ',', default_values_t = [30, 60, 100, 200])]
    fps: Vec<u32>,
    /// Parts of the table. Those left out stay empty.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["rates", "curve", "still", "intensities"])]
    parts: Vec<Part>,
    /// Seed of the sequences.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print a JSON object instead of the tables.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if let Some(bad) = args.fps.iter().find(|f| !(20..=500).contains(*f)) {
        bail!("--fps: {bad}; allowed: 20 to 500");
    }
    let models = match &args.models {
        Some(dir) => Models::load(dir)?,
        None => Models::embedded()?,
    };
    if let (Some(database), Some(dir)) = (args.database, &args.data) {
        return long_videos(args, database, dir, &models);
    }
    let clips = match &args.clips {
        Some(dir) => bench::clips(dir, &models)?,
        None => Vec::new(),
    };
    let real = args
        .real
        .iter()
        .map(|dir| Ok((dir.clone(), bench::filmed(dir, &models)?)))
        .collect::<Result<Vec<_>>>()?;
    let plan = BenchPlan {
        quick: args.quick,
        split: args.split,
        fps: args.fps.clone(),
        parts: args.parts.clone(),
        seed: args.seed,
    };
    let mut report = match (&args.data, &args.assets) {
        (Some(dir), _) => bench::recorded(dir, &models, clips)?,
        (None, Some(dir)) => bench::generated(&plan, dir, models, clips)?,
        (None, None) => SpottingReport::nothing(clips),
    };
    report.real = real;
    if args.json {
        println!("{}", report.json());
    } else {
        report.print();
    }
    Ok(())
}

fn long_videos(args: &Args, database: LongDatabase, dir: &Path, models: &Models) -> Result<()> {
    let options = LoadOptions { sheet: args.sheet.clone(), frames: args.frames.clone(), part: None };
    let videos = long::load(database, dir, &options)?;
    videos.problems.iter().for_each(|p| eprintln!("{p}"));
    let report = evaluate(&videos, models)?;
    if args.json {
        println!("{}", report.json(database.name()));
    } else {
        report.print(database.name());
    }
    Ok(())
}
