//! `glint-pretrain detector`: trains and writes the face detector.

use std::path::PathBuf;

use anyhow::Result;
use glint::face::detector::DetectorSpec;

use crate::run::Run;
use crate::train::Schedule;

/// Trains the face detector on the portraits and writes detector.onnx and detector.toml.
#[derive(clap::Args)]
pub struct Args {
    /// Folder with `portraits/`.
    #[arg(long)]
    assets: PathBuf,
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Seed of weights and scenes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Optimiser steps of 32 scenes.
    #[arg(long, default_value_t = 1500)]
    steps: usize,
    /// Continues an interrupted run.
    #[arg(long)]
    resume: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let portraits = crate::assets::portraits::load(&args.assets.join("portraits"))?;
    let kept: Vec<_> = portraits.iter().filter(|p| !p.held_out()).collect();
    let schedule = Schedule { steps: args.steps, batch: 32, learning_rate: 2e-3, weight_decay: 1e-4 };
    let run = Run::start("detector", args.seed, &schedule, args.resume)?;
    let net = crate::train::detector::train(&kept, &schedule, args.seed, &run)?;
    run.finish()?;
    let made_by = format!("glint-pretrain detector --assets DIR --seed {} --steps {}", args.seed, args.steps);
    crate::ship::write(&args.out, "detector", "onnx", &net.export(), &made_by, |file| DetectorSpec {
        file,
        min_score: 0.5,
    })
}
