//! `glint-pretrain landmarks`: trains and writes the landmark network.

use std::path::PathBuf;

use anyhow::Result;
use glint::face::landmarks::{LandmarksSpec, eye_centers};

use crate::assets::portraits::face_box;
use crate::corpus::head::Model;
use crate::run::Run;
use crate::train::{Schedule, sitters};

/// Train the landmark network on portraits and rendered heads; write landmarks.onnx and landmarks.toml.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain landmarks --assets ../data --out out/models --seed 1")]
pub struct Args {
    /// Folder with `portraits/` and `ict/`.
    #[arg(long)]
    assets: PathBuf,
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Seed of weights and crops.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Optimiser steps of 64 crops each.
    #[arg(long, default_value_t = 30000)]
    steps: usize,
    /// Continue an interrupted run.
    #[arg(long)]
    resume: bool,
}

/// Rendered heads among the faces.
const HEADS: usize = 400;

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let portraits = crate::assets::portraits::load(&args.assets.join("portraits"))?;
    let kept: Vec<_> = portraits.iter().filter(|p| !p.held_out()).collect();
    let schedule = Schedule { steps: args.steps, batch: 64, learning_rate: 2e-3, weight_decay: 1e-4 };
    let run = Run::start("landmarks", args.seed, &schedule, args.resume)?;
    let model = Model::load(&args.assets.join("ict"))?;
    let mut sitters = sitters::of_crops(&kept);
    sitters.extend(sitters::of_heads(&model, HEADS, args.seed));
    let net =
        crate::train::landmarks::train(&sitters.iter().collect::<Vec<_>>(), &schedule, args.seed, &run)?;
    // Mean place of the eyes in the box of the face, both mirrored onto the right one.
    let mut eye = [0.0f32; 2];
    for p in &kept {
        let points = p.landmarks();
        let (bounds, [right, left]) = (face_box(&points), eye_centers(&points));
        eye[0] += 0.5 * (right.x - bounds.x + (bounds.x + bounds.w - left.x)) / bounds.w;
        eye[1] += 0.5 * (right.y + left.y - 2.0 * bounds.y) / bounds.h;
    }
    let eye_in_box = eye.map(|v| v / kept.len() as f32);
    run.finish()?;
    let made_by =
        format!("glint-pretrain landmarks --assets DIR --seed {} --steps {}", args.seed, args.steps);
    crate::ship::write(&args.out, "landmarks", "onnx", &net.export(), &made_by, |file| LandmarksSpec {
        file,
        min_confidence: 0.5,
        eye_in_box,
        equalise: true,
    })
}
