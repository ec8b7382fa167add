//! `glint-pretrain student`: trains and writes the student.

use std::path::PathBuf;

use anyhow::Result;
use glint::event::Class;
use glint::student::StudentSpec;
use glint::synth::Pack;

use crate::run::Run;
use crate::train::Schedule;
use crate::train::student::{Pair, logits, pairs, train};

/// Trains the student on rendered pairs, calibrates it on others and writes student.onnx and
/// student.toml.
#[derive(clap::Args)]
pub struct Args {
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Seed of weights and pairs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rendered pairs.
    #[arg(long, default_value_t = 12_000)]
    samples: usize,
    /// Optimiser steps of 256 pairs.
    #[arg(long, default_value_t = 400)]
    steps: usize,
    /// Continues an interrupted run.
    #[arg(long)]
    resume: bool,
}

/// Confidence below which the student abstains: a guess among three is right in a third of cases.
const MIN_CONFIDENCE: f32 = 0.45;

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let pack = Pack::embedded()?;
    let training = pairs(&pack, args.seed, args.samples);
    // Other people, other movements: for the temperature, and to report.
    let held = pairs(&pack, args.seed ^ 0x6865_6c64, args.samples / 6);
    let schedule = Schedule { steps: args.steps, batch: 256, learning_rate: 3e-3, weight_decay: 1e-2 };
    let run = Run::start("student", args.seed, &schedule, args.resume)?;
    let net = train(&training, &schedule, args.seed, &run)?;
    let (calibration, report) = held.split_at(held.len() / 2);
    let temperature = temperature(&logits(&net, calibration), calibration);
    let found = logits(&net, report);
    println!("{}", scores(&found, report, temperature));
    run.finish()?;
    let made_by = format!(
        "glint-pretrain student --seed {} --samples {} --steps {}",
        args.seed, args.samples, args.steps
    );
    crate::ship::write(&args.out, "student", "onnx", &net.export(), &made_by, |file| StudentSpec {
        file,
        classes: Class::ALL.to_vec(),
        temperature,
        min_confidence: MIN_CONFIDENCE,
    })
}

/// The divisor of the logits with the least log loss, by golden-section search.
fn temperature(logits: &[[f32; 3]], pairs: &[Pair]) -> f32 {
    let loss = |t: f32| -> f32 {
        logits.iter().zip(pairs).map(|(l, p)| -probabilities(l, t)[p.class].max(1e-9).ln()).sum()
    };
    let (mut lo, mut hi) = (0.2f32, 5.0f32);
    for _ in 0..40 {
        let (a, b) = (hi - 0.618 * (hi - lo), lo + 0.618 * (hi - lo));
        if loss(a) < loss(b) { hi = b } else { lo = a }
    }
    0.5 * (lo + hi)
}

fn probabilities(logits: &[f32; 3], temperature: f32) -> [f32; 3] {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let odds = logits.map(|l| ((l - top) / temperature).exp());
    let sum: f32 = odds.iter().sum();
    odds.map(|o| o / sum)
}

/// UF1, UAR and expected calibration error (10 bins) on held-out pairs, as a JSON line.
fn scores(logits: &[[f32; 3]], pairs: &[Pair], temperature: f32) -> String {
    let mut confusion = [[0u32; 3]; 3];
    let mut bins = [(0.0f32, 0.0f32, 0.0f32); 10];
    for (l, p) in logits.iter().zip(pairs) {
        let q = probabilities(l, temperature);
        let best = (0..3).max_by(|&a, &b| q[a].total_cmp(&q[b])).unwrap_or(0);
        confusion[p.class][best] += 1;
        let bin = &mut bins[((q[best] * 10.0) as usize).min(9)];
        *bin = (bin.0 + 1.0, bin.1 + q[best], bin.2 + f32::from(best == p.class));
    }
    let (mut uf1, mut uar) = (0.0, 0.0);
    for c in 0..3 {
        let hit = confusion[c][c] as f32;
        let truth: u32 = confusion[c].iter().sum();
        let said: u32 = confusion.iter().map(|r| r[c]).sum();
        uf1 += 2.0 * hit / (truth + said).max(1) as f32 / 3.0;
        uar += hit / truth.max(1) as f32 / 3.0;
    }
    let ece: f32 = bins.iter().map(|(_, q, r)| (q - r).abs()).sum::<f32>() / pairs.len() as f32;
    format!("{{\"held_out_pairs\":{},\"uf1\":{uf1:.3},\"uar\":{uar:.3},\"ece\":{ece:.3}}}", pairs.len())
}
