//! `glint-pretrain judge`: trains the judge of candidates.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use glint::pipeline::Models;
use glint::spot::{Cause, Judge, JudgeSpec, NAMES};
use serde_json::json;

use crate::net::judge::HIDDEN;
use crate::run::Run;
use crate::spotting::candidates::{Score, Table, candidates, is_best, score, truth};
use crate::spotting::film::{Reel, SEQUENCES_A_PERSON, film, recorded};
use crate::spotting::real;
use crate::spotting::worlds::{CHOOSES, Worlds};
use crate::train::Schedule;
use crate::train::judge::{Case, judge, train, untrained};

/// Train the judge; write judge.bin and judge.toml. The command renders sequences of people who train, or watches
/// recorded ones, runs the daemon's own pipeline and trains on the candidates that its spotter finds. The threshold is
/// chosen on people who do not train.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain judge --assets ../data --out models --seed 1")]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long, required_unless_present = "data")]
    assets: Option<PathBuf>,
    /// Folder of recorded sequences, ID.avi and ID.json, to train on; beside the rendered ones if --assets is given.
    /// Repeatable.
    #[arg(long, value_name = "DIR")]
    data: Vec<PathBuf>,
    /// Folder of recorded sequences, or of real footage with truth.json, on which the result is reported. It influences
    /// no choice. Repeatable.
    #[arg(long, value_name = "DIR")]
    report: Vec<PathBuf>,
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Folder of the model files that measure the sequences [default: the built-in models].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Seed of people, sequences and weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of sequences of 14 s. A fifth of them is used to choose the threshold.
    #[arg(long, default_value_t = 350)]
    sequences: u64,
    /// Cache folder of the rendered sequences and their measurements. Sequences found there are not rendered again.
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// Write a CSV of all candidates: place, time, truth, likelihood of a micro-expression, and measures.
    #[arg(long, value_name = "FILE.csv")]
    table: Option<PathBuf>,
    /// Optimiser steps of 256 candidates each.
    #[arg(long, default_value_t = 3000)]
    steps: usize,
    /// The most false alarms per minute that the threshold may allow in these sequences, which are full of distractors.
    #[arg(long, default_value_t = 8.0)]
    false_per_min: f64,
}

/// Weight decay: of .02, .1 and .3 the largest that costs nothing in world A.
const DECAY: f32 = 0.3;
/// Thresholds with an F1 so little under the best one are as good: the highest of them gives the fewest false alarms.
const AS_GOOD: f64 = 0.005;

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.sequences >= 20, "--sequences: at least 20");
    // What is filmed depends on neither judge nor student; a judge of other measures could not be read.
    let models = match &args.models {
        Some(dir) => Models::with(dir, untrained(), Models::embedded()?.student)?,
        None => Models { judge: untrained(), ..Models::embedded()? },
    };
    let schedule = Schedule { steps: args.steps, batch: 256, learning_rate: 2e-3, weight_decay: DECAY };
    let run = Run::start("judge", args.seed, &schedule, false)?;
    let worlds = watch(args, &models)?;
    let traces = &worlds.traces;
    ensure!(traces.len() >= 2 * CHOOSES as usize, "{} sequences; at least {}", traces.len(), 2 * CHOOSES);
    let thresholds = models.au.spec.thresholds.by_unit().map_err(anyhow::Error::msg)?;
    let judged = candidates(traces, thresholds, &judge(&vec![0.0; Judge::numbers(HIDDEN)], 1.0));
    let (mut cases, mut counts) = (Vec::new(), [0usize; Cause::ALL.len()]);
    for (trace, judged) in worlds.part(false, &judged) {
        for c in &judged.candidates {
            if let Some(cause) = truth(c, &trace.micros, &trace.spans)
                && (cause != Cause::Micro || is_best(c, trace, &judged.candidates))
            {
                counts[cause as usize] += 1;
                cases.push(Case { measures: *c.measures, cause });
            }
        }
    }
    eprintln!("{} candidates: {}", cases.len(), words(&counts));
    let numbers = train(&cases, &schedule, args.seed, &run)?;
    // Nothing reaches a likelihood of 1: the threshold is still to be chosen.
    let trained = judge(&numbers, 1.0);
    let judged = candidates(traces, thresholds, &trained);
    let tuning: Vec<_> = worlds.part(true, &judged).collect();
    let curve: Vec<(f32, Score)> =
        (1..50).map(|k| 0.02 * k as f32).map(|t| (t, score(&tuning, t, 0.0))).collect();
    for (t, s) in curve.iter().step_by(4) {
        println!("{t:.2}  {}", s.line());
    }
    let (threshold, best) = chosen(&curve, args.false_per_min)
        .context("no threshold keeps the false alarms under --false-per-min: train on more sequences")?;
    println!("threshold {threshold:.2}: {}", best.line());
    let mut table = Table::create(args.table.as_deref())?;
    table.add("trained", traces, &judged)?;
    for dir in &args.report {
        let others = recorded(dir, args.traces.as_deref(), &models)?;
        let judged = candidates(&others, thresholds, &trained);
        table.add(&dir.display().to_string(), &others, &judged)?;
        let pairs: Vec<_> = others.iter().zip(&judged).collect();
        // What moves less in real footage cannot be seen by a person either.
        let least_px = if dir.join("truth.json").exists() { real::VISIBLE_PX } else { 0.0 };
        println!("{}: {}", dir.display(), score(&pairs, *threshold, least_px).line());
        for t in [0.3, 0.5, 0.7, 0.9] {
            println!("  at {t}: {}", score(&pairs, t, least_px).line());
        }
    }
    table.finish()?;
    run.log(&json!({"candidates": cases.len(), "threshold": threshold, "f1": best.f1(),
        "false_per_min": best.per_min(best.wrong), "recall_of_candidates": best.reached()}))?;
    run.finish()?;
    let rendered = args.assets.iter().map(|_| format!("--assets DIR --sequences {}", args.sequences));
    let worlds =
        rendered.chain(args.data.iter().map(|_| "--data DIR".to_owned())).collect::<Vec<_>>().join(" ");
    let made_by = format!(
        "glint-pretrain judge {worlds} --seed {} --steps {} --false-per-min {}",
        args.seed, args.steps, args.false_per_min
    );
    let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
    crate::ship::write(&args.out, "judge", "bin", &bytes, &made_by, |file| JudgeSpec {
        file,
        hidden: HIDDEN,
        threshold: *threshold,
        measures: NAMES.map(str::to_owned).into(),
    })
}

/// The threshold that is shipped, of those that keep false alarms under a limit.
fn chosen(curve: &[(f32, Score)], false_per_min: f64) -> Option<&(f32, Score)> {
    let allowed = || curve.iter().filter(|(_, s)| s.per_min(s.wrong) <= false_per_min);
    let best = allowed().map(|(_, s)| s.f1()).max_by(f64::total_cmp)?;
    allowed().rfind(|(_, s)| s.f1() >= best - AS_GOOD)
}

/// Films people, or reads recordings, world after world.
fn watch(args: &Args, models: &Models) -> Result<Worlds> {
    let kept = args.traces.as_deref();
    let mut out = Worlds::default();
    if let Some(assets) = &args.assets {
        let reel = Reel { assets, seed: args.seed, sequences: args.sequences, kept };
        out.add(film(reel, models)?, SEQUENCES_A_PERSON);
    }
    for dir in &args.data {
        out.add(recorded(dir, kept, models)?, 1);
    }
    Ok(out)
}

fn words(counts: &[usize]) -> String {
    Cause::ALL.iter().zip(counts).map(|(c, n)| format!("{} {n}", c.as_str())).collect::<Vec<_>>().join(", ")
}
