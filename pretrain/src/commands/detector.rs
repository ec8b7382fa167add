//! `glint-pretrain detector`: trains and writes the face detector.

use std::path::PathBuf;

use anyhow::Result;
use glint::face::detector::DetectorSpec;
use glint::model::Checked;
use glint::synth::NoiseTable;

use crate::assets::portraits::Portrait;
use crate::corpus::head::Model;
use crate::faces::detection::DetectionTrial;
use crate::faces::{HEIGHT, WIDTH, scenes, trained};
use crate::run::Run;
use crate::train::{Schedule, sitters};

/// Train the face detector on portraits and rendered heads; write detector.onnx, detector.toml and portraits.txt, the
/// list of the portraits that train.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain detector --assets ../data --out out/models --seed 1")]
pub struct Args {
    /// Folder with `portraits/` and `ict/`.
    #[arg(long)]
    assets: PathBuf,
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Seed of weights and scenes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Optimiser steps of 32 scenes each.
    #[arg(long, default_value_t = 6000)]
    steps: usize,
    /// Continue an interrupted run.
    #[arg(long)]
    resume: bool,
}

/// Rendered heads among the faces.
const HEADS: usize = 400;
/// Scenes and textures on which the score's threshold is chosen.
const CHOICE: u64 = 400;

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let portraits = crate::assets::portraits::load(&args.assets.join("portraits"))?;
    let kept: Vec<_> = portraits.iter().filter(|p| !p.held_out()).collect();
    let model = Model::load(&args.assets.join("ict"))?;
    let mut sitters = sitters::of_portraits(&kept);
    sitters.extend(sitters::of_heads(&model, HEADS, args.seed));
    let schedule = Schedule { steps: args.steps, batch: 32, learning_rate: 2e-3, weight_decay: 1e-4 };
    let run = Run::start("detector", args.seed, &schedule, args.resume)?;
    let net = crate::train::detector::train(&sitters.iter().collect::<Vec<_>>(), &schedule, args.seed, &run)?;
    run.finish()?;
    let made_by = format!("glint-pretrain detector --assets DIR --seed {} --steps {}", args.seed, args.steps);
    let ship = |min_score: f32| {
        crate::ship::write(&args.out, "detector", "onnx", &net.export(), &made_by, |file| DetectorSpec {
            file,
            min_score,
        })
    };
    ship(THRESHOLDS[0])?;
    let min_score = choose(&args.out, &kept, args.seed)?;
    trained::write(&args.out, &kept)?;
    ship(min_score)
}

/// Scores that may become the threshold.
const THRESHOLDS: [f32; 9] = [0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6];

/// The lowest threshold with at most one false box in 100 textures. Held-out people play no part in it.
fn choose(dir: &std::path::Path, portraits: &[&Portrait], seed: u64) -> Result<f32> {
    let file = Checked::<DetectorSpec>::load(dir, "detector")?;
    let noise = NoiseTable::new();
    let trials = THRESHOLDS.map(|min_score| {
        let spec = DetectorSpec { min_score, ..file.spec.clone() };
        DetectionTrial::new("detector", &Checked { spec, ..file.clone() }, None)
    });
    let mut trials = trials.into_iter().collect::<Result<Vec<_>>>()?;
    for i in 0..CHOICE {
        let portrait = portraits[(i as usize * 5) % portraits.len()];
        let scene = scenes::portrait(&noise, portrait, seed ^ 0x63_686f, i);
        let texture = scenes::empty(&noise, portraits, seed ^ 0x63_686f, i);
        for t in &mut trials {
            t.face(&scene.luma, scene.bounds);
            t.empty(&texture, WIDTH, HEIGHT);
        }
    }
    let mut chosen = THRESHOLDS[THRESHOLDS.len() - 1];
    for (t, &min_score) in trials.iter().zip(&THRESHOLDS).rev() {
        let (recall, false_per_100) = (t.recall(), t.false_per_100());
        eprintln!("score {min_score:.2}: recall {recall:.4}, {false_per_100:.2} false boxes in 100 textures");
        if false_per_100 <= 1.0 {
            chosen = min_score;
        }
    }
    Ok(chosen)
}
