//! `glint-pretrain evaluate classes`: the words that the daemon gives to the movements it finds.

use std::path::PathBuf;

use anyhow::{Result, bail};
use glint::event::Class;
use glint::pipeline::Models;
use serde_json::json;

use crate::corpus::person::Split;
use crate::corpus::plan::Cast;
use crate::run::Run;
use crate::run::plot;
use crate::statistics::score::{Confusion, bins, calibration_error};
use crate::student::words::{answers, answers_of_recordings, ceiling, with_word};

/// Compare the class of every movement that the daemon's own chain finds with what the person did, in rendered
/// sequences of held-out people or in recorded ones.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain evaluate classes --assets ../data")]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long, required_unless_present = "data")]
    assets: Option<PathBuf>,
    /// Folder of recorded sequences, ID.avi and ID.json, instead of rendered ones.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["assets", "sequences", "people", "fps"])]
    data: Option<PathBuf>,
    /// Folder of model files [default: the built-in models].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Number of sequences of 8 s.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u64).range(1..))]
    sequences: u64,
    /// Number of people.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    people: u64,
    /// Frames per second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(20..=500))]
    fps: u32,
    /// Seed of people and sequences.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print a JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let models = match &args.models {
        Some(dir) => Models::load(dir)?,
        None => Models::embedded()?,
    };
    let settings = match &args.data {
        Some(dir) => json!({"data": dir}),
        None => json!({"sequences": args.sequences, "people": args.people, "fps": args.fps}),
    };
    let run = Run::start("classes", args.seed, &settings, false)?;
    let (best, (movements, answers)) = match (&args.data, &args.assets) {
        (Some(dir), _) => (None, answers_of_recordings(dir, &models)?),
        (None, Some(assets)) => {
            let cast = Cast::load(assets, Split::HeldOut, args.people as usize, args.seed)?;
            let answers = answers(&cast, &models, args.sequences, args.fps, args.seed)?;
            (Some(ceiling(&cast.priors)), answers)
        }
        (None, None) => bail!("one of --assets and --data is needed"),
    };
    let words = with_word(&answers);
    let confusion = Confusion::from_pairs(words.iter().map(|(truth, c, _)| (*truth, *c)));
    let bins = bins(words.iter().map(|(truth, c, confidence)| (*confidence, truth == c)));
    let abstained = 1.0 - words.len() as f64 / answers.len().max(1) as f64;
    let result = json!({
        "movements": movements, "found": answers.len(), "abstained": abstained,
        "uf1": confusion.uf1(), "uar": confusion.uar(), "ece": calibration_error(&bins),
        "ceiling_uf1": best.as_ref().map(Confusion::uf1), "confusion": confusion.0,
    });
    run.log(&result)?;
    run.plot(
        "confusion.svg",
        "Classes of the movements found",
        &plot::confusion(&confusion.0, Class::NAMES),
    )?;
    run.plot("calibration.svg", "Confidence and accuracy", &plot::calibration(&bins))?;
    run.finish()?;
    if args.json {
        println!("{result}");
    } else {
        println!("{movements} movements, {} found", answers.len());
        println!("UF1 {:.3}, UAR {:.3} of those with a word", confusion.uf1(), confusion.uar());
        if let Some(best) = best {
            println!("who knew the very AUs: UF1 {:.3}, UAR {:.3}", best.uf1(), best.uar());
        }
        for (name, row) in Class::NAMES.iter().zip(confusion.0) {
            println!(
                "{name:<9} called {}",
                Class::NAMES.iter().zip(row).map(|(n, k)| format!("{n} {k}")).collect::<Vec<_>>().join(", ")
            );
        }
        println!("abstained {abstained:.3}, expected calibration error {:.3}", calibration_error(&bins));
    }
    Ok(())
}
