//! `glint-pretrain evaluate faces`: how well faces are found, followed and held still.

use std::path::PathBuf;

use anyhow::Result;

use crate::faces::bench::{self, BenchSettings};

/// Measure detector, landmarks and stabiliser on portraits that did not train them, on rendered heads and on clips.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain evaluate faces --portraits ../data/portraits --ict ../data/ict"
)]
pub struct Args {
    /// Folder of portraits: `index.json`, `landmarks_478.npy`, `crops/`, `photos/`. Those that trained the shipped
    /// models (models/portraits.txt) are left out.
    #[arg(long, value_name = "DIR")]
    portraits: PathBuf,
    /// Folder of the ICT head, for rendered heads [default: the folder `ict` beside the portraits, if present].
    #[arg(long, value_name = "DIR")]
    ict: Option<PathBuf>,
    /// Folder of real clips. `no_face` in a file's name means that the clip shows no face.
    #[arg(long, value_name = "DIR")]
    clips: Option<PathBuf>,
    /// Folder of other detectors (YuNet, Ultra-Light as ONNX) to measure on the same frames.
    #[arg(long, value_name = "DIR")]
    detectors: Option<PathBuf>,
    /// Python interpreter with MediaPipe, whose landmarks are measured on the same rendered heads.
    #[arg(long, value_name = "PYTHON", default_value = "python3")]
    mediapipe: PathBuf,
    /// Folder of model files [default: the built-in models].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Use a third of the material.
    #[arg(long)]
    quick: bool,
    /// Seed of scenes and heads.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print a JSON object instead of the tables.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let report = bench::run(&BenchSettings {
        portraits: args.portraits.clone(),
        ict: args.ict.clone(),
        clips: args.clips.clone(),
        detectors: args.detectors.clone(),
        mediapipe: args.mediapipe.clone(),
        models: args.models.clone(),
        quick: args.quick,
        seed: args.seed,
    })?;
    if args.json {
        println!("{}", report.json());
    } else {
        report.print();
    }
    Ok(())
}
