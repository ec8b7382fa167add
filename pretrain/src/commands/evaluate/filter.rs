//! `glint-pretrain evaluate filter`: what the filter keeps of generated video, against its truth.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use glint::pipeline::Models;

use crate::corpus::person::Split;
use crate::filter::evaluation::{self, FilmSettings};
use crate::filter::judge::{MACRO_FROM, Range, least};
use crate::filter::scan::Rules;

/// Compare what `filter` keeps with the truth, in rendered sequences of people who show micro- and macro-expressions,
/// talk, blink, turn and rest.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain evaluate filter --assets ../data --videos 60")]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long, value_name = "DIR")]
    assets: PathBuf,
    /// Number of sequences of 8 s.
    #[arg(long, default_value_t = 60)]
    videos: u64,
    /// Number of sequences of 15 s without micro-expressions: blinks, macro-expressions, talk, turns, hands, light.
    #[arg(long, default_value_t = 20)]
    distractors: u64,
    /// Number of people.
    #[arg(long, default_value_t = 40)]
    people: usize,
    /// Frames per second.
    #[arg(long, default_value_t = 60.0)]
    fps: f64,
    /// The group of people.
    #[arg(long, value_enum, default_value = "held-out")]
    split: Split,
    /// A movement of at least this intensity is a macro-expression.
    #[arg(long, default_value_t = MACRO_FROM)]
    macro_from: f32,
    /// A micro-expression stays at half of its greatest intensity or above for at most this long, in ms.
    #[arg(long, default_value_t = 350.0)]
    max_ms: f32,
    /// File of minimum recognisable intensities, for the filter and for the truth [default: those of the model].
    #[arg(long, value_name = "FILE.toml")]
    thresholds: Option<PathBuf>,
    /// Seed of people and sequences.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder of model files [default: the built-in models].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!((1..=10_000).contains(&args.videos), "--videos: 1 to 10000");
    ensure!(args.distractors <= 10_000, "--distractors: up to 10000");
    ensure!((20.0..=500.0).contains(&args.fps), "--fps: 20 to 500");
    let models = match &args.models {
        Some(dir) => Models::load(dir)?,
        None => Models::embedded()?,
    };
    let range = Range { least: least(args.thresholds.as_deref(), &models)?, macro_from: args.macro_from };
    let rules = Rules { range, max_ms: args.max_ms, unfiltered: false };
    let settings = FilmSettings {
        assets: args.assets.clone(),
        videos: args.videos,
        distractors: args.distractors,
        people: args.people,
        fps: args.fps,
        split: args.split,
        seed: args.seed,
    };
    let results = evaluation::run(&settings, &models, rules)?;
    if args.json {
        println!("{}", results.json());
    } else {
        results.print();
    }
    Ok(())
}
