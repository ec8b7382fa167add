//! `glint-pretrain calibrate`: how sure the student may be of movements that the daemon itself has found.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use glint::pipeline::Models;
use serde_json::json;

use crate::corpus::person::Split;
use crate::corpus::plan::Cast;
use crate::ship;
use crate::student::words::{FEWEST, answers, recalibrate, with_word};

/// Calibrate the student on movements that the daemon's own chain finds in rendered sequences of people who train;
/// write temperature and abstention threshold to student.toml. `student` itself calibrates on pairs that are easier:
/// their onset and apex are the true ones.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain calibrate --assets ../data --models models")]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long)]
    assets: PathBuf,
    /// Folder of model files. Its student.toml is rewritten.
    #[arg(long, default_value = "models", value_name = "DIR")]
    models: PathBuf,
    /// Number of sequences of 8 s.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    sequences: u64,
    /// Number of people.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    people: u64,
    /// Frames per second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(20..=500))]
    fps: u32,
    /// The UF1 to reach on movements with a class. `evaluate classes` reports the same figure on other people, where it
    /// is a little lower.
    #[arg(long, default_value_t = 0.92)]
    uf1: f64,
    /// Seed of people and sequences.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!((0.34..1.0).contains(&args.uf1), "--uf1: 0.34 to 1");
    let mut models = Models::load(&args.models)?;
    models.student.spec.min_confidence = 0.0;
    let cast = Cast::load(&args.assets, Split::Train, args.people as usize, args.seed)?;
    let (movements, answers) = answers(&cast, &models, args.sequences, args.fps, args.seed)?;
    let words = with_word(&answers);
    let Some(new) = recalibrate(&words, args.uf1) else {
        // What `student` has chosen stays.
        eprintln!("{} movements found; {FEWEST} are needed: nothing is changed", words.len());
        return Ok(());
    };
    let mut spec = models.student.spec.clone();
    (spec.temperature, spec.min_confidence) = (spec.temperature * new.factor, new.min_confidence);
    let command =
        format!("glint-pretrain calibrate --assets DIR --sequences {} --seed {}", args.sequences, args.seed);
    // Run twice, the command stands there once.
    let first = spec.file.made_by.split("; glint-pretrain calibrate").next().unwrap_or_default().to_owned();
    let summary = json!({
        "movements": movements, "found": words.len(), "accuracy": words.iter().filter(|s| s.0 == s.1).count() as f64 / words.len() as f64,
        "temperature": spec.temperature, "min_confidence": new.min_confidence, "abstained": new.abstained,
        "ece_before": new.ece_before, "ece": new.ece,
    });
    ship::write(
        &args.models,
        "student",
        "onnx",
        &models.student.bytes,
        &format!("{first}; {command}"),
        |file| {
            spec.file = file;
            spec
        },
    )?;
    println!("{summary}");
    Ok(())
}
