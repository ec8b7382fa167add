//! `glint-pretrain au`: trains the AU network.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use glint::au::AUS;
use glint::intensity::{AuNet, AuSpec, Precision, Thresholds, by_au, presentable};
use glint::synth::{Pack, Subject};
use rand::Rng;
use rayon::prelude::*;
use serde_json::json;

use crate::augment::generator;
use crate::corpus::mix::Priors;
use crate::corpus::person::{Split, people};
use crate::net::au::HIDDEN;
use crate::run::Run;
use crate::spotting::intensity::{Reading, agreement};
use crate::train::Schedule;
use crate::train::au::{AuSample, samples, train};

/// Train the AU network; write au.bin and au.toml. The command renders people of the assets and of the built-in subject
/// with known intensities and measures their flow as the daemon does. People of the held-out split do not train; the
/// agreement on them is printed.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain au --assets ../data --out models --seed 1")]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long)]
    assets: PathBuf,
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Seed of people, poses and weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// People: a third each of portraits, rendered heads and embedded subjects.
    #[arg(long, default_value_t = 9600)]
    people: usize,
    /// Optimiser steps of 256 samples each.
    #[arg(long, default_value_t = 20000)]
    steps: usize,
    /// For choosing settings: print the agreement on people of the tuning split instead of the held-out split.
    #[arg(long)]
    tune: bool,
    /// Continue an interrupted run.
    #[arg(long)]
    resume: bool,
}

/// The threshold of every AU until `threshold observe --adopt` has measured them. Of 0.2, 0.3 and 0.4 it has the best
/// F1 on people who train.
const DEFAULT_THRESHOLD: f32 = 0.3;

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.people >= 30, "--people: at least 30");
    let schedule = Schedule { steps: args.steps, batch: 256, learning_rate: 1.5e-3, weight_decay: 1e-2 };
    let run = Run::start("au", args.seed, &schedule, args.resume)?;
    let training = film(&args.assets, Split::Train, 0..args.people, args.seed)?;
    let numbers = train(&training, &schedule, args.seed, &run)?;
    let more = args.people / 10;
    let held = if args.tune {
        film(&args.assets, Split::Train, args.people..args.people + more, args.seed)?
    } else {
        film(&args.assets, Split::HeldOut, 0..more, args.seed)?
    };
    let mut net = AuNet::new(HIDDEN, &numbers);
    let readings: Vec<Reading> = held
        .iter()
        .flat_map(|s| {
            let (truth, measured) = (by_au(&s.intensities), by_au(&presentable(&net.run(&s.features))));
            truth.into_iter().zip(measured).enumerate().map(|(au, (truth, measured))| Reading {
                au,
                truth,
                measured,
            })
        })
        .collect();
    let all = agreement(&readings, |_| true);
    let icc: Vec<f64> = (0..AUS.len()).map(|k| agreement(&readings, |r| r.au == k).icc).collect();
    let report = json!({
        "samples": training.len(), "held_out_samples": held.len(), "mae_active": all.active, "mae_idle": all.idle,
        "icc": icc.iter().sum::<f64>() / icc.len() as f64, "gain": all.gain,
    });
    run.log(&report)?;
    println!("{report}");
    run.finish()?;
    let made_by = format!(
        "glint-pretrain au --assets DIR --seed {} --people {} --steps {}",
        args.seed, args.people, args.steps
    );
    let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
    crate::ship::write(&args.out, "au", "bin", &bytes, &made_by, |file| AuSpec {
        file,
        hidden: HIDDEN,
        precision: Precision::F32,
        thresholds: Thresholds::uniform(DEFAULT_THRESHOLD),
    })
}

/// Samples of some people of a split, counted from its first.
fn film(assets: &Path, split: Split, which: Range<usize>, seed: u64) -> Result<Vec<AuSample>> {
    let pack = Pack::embedded()?;
    let priors = Priors::load(&assets.join("priors/me_priors.json"))?;
    let embedded = which.start / 3..which.end / 3;
    let real = which.start - embedded.start..which.end - embedded.end;
    let people = people(assets, split, real.end, seed)?.people;
    let mut out: Vec<AuSample> = people
        .into_par_iter()
        .enumerate()
        .skip(real.start)
        .flat_map_iter(|(i, person)| samples(person, &priors, &mut generator(seed ^ 0xb0, i as u64)))
        .collect();
    let more: Vec<AuSample> = (embedded.start as u64..embedded.end as u64)
        .into_par_iter()
        .flat_map_iter(|i| {
            let mut rng = generator(seed ^ 0xa0, i);
            let person = loop {
                let person = u64::from(rng.random::<u32>());
                if split.takes(&format!("synthetic-{person}")) {
                    break person;
                }
            };
            samples(Subject::random(pack.clone(), person), &priors, &mut rng)
        })
        .collect();
    out.extend(more);
    Ok(out)
}
