//! `glint-pretrain calibrate`: how sure the student may be of movements that the daemon itself has found.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use glint::pipeline::Models;
use serde_json::json;

use super::evaluate::classes::answers;
use crate::corpus::person::Split;
use crate::corpus::plan::Cast;
use crate::ship;
use crate::statistics::score::{Confusion, bins, calibration_error, probabilities, temperature};

/// Films people who train, runs the daemon's own chain and sets temperature and abstention threshold of the student by the
/// words it gives to the movements it finds. The pairs on which `student` calibrates are easier: their onset and apex are
/// the true ones, their combinations the rules.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain calibrate --assets ../data --models models")]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long)]
    assets: PathBuf,
    /// Folder of model files, whose student.toml is written anew.
    #[arg(long, default_value = "models", value_name = "DIR")]
    models: PathBuf,
    /// Sequences of 8 s.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    sequences: u64,
    /// People in them.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    people: u64,
    /// Frames a second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(20..=500))]
    fps: u32,
    /// UF1 wanted of what is not abstained from: the figure that `evaluate classes` reports on other people, and a little
    /// more than is wanted there.
    #[arg(long, default_value_t = 0.92)]
    uf1: f64,
    /// Seed of people and sequences.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Fewer movements say nothing.
const FEWEST: usize = 30;
/// The threshold of abstention is never above this.
const GREATEST: f32 = 0.85;

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!((0.34..1.0).contains(&args.uf1), "--uf1: 0.34 to 1");
    let mut models = Models::load(&args.models)?;
    models.student.spec.min_confidence = 0.0;
    let cast = Cast::load(&args.assets, Split::Train, args.people as usize, args.seed)?;
    let (movements, found) = answers(&cast, &models, args.sequences, args.fps, args.seed)?;
    let said: Vec<(usize, usize, f32)> = found
        .iter()
        .filter_map(|(truth, said)| said.map(|(c, confidence)| (*truth, c, confidence)))
        .collect();
    let before =
        calibration_error(&bins(said.iter().map(|(truth, c, confidence)| (*confidence, c == truth))));
    if said.len() < FEWEST {
        // What `student` has chosen stays.
        eprintln!("{} movements found; {FEWEST} are needed: nothing is changed", said.len());
        return Ok(());
    }
    // The class that was said against the others together: an event says no more.
    let logits: Vec<[f32; 3]> =
        said.iter().map(|(_, _, confidence)| spread(*confidence).map(f32::ln)).collect();
    let truth: Vec<usize> = said.iter().map(|(truth, c, _)| usize::from(c != truth)).collect();
    let factor = temperature(&logits, &truth);
    let calm: Vec<[f32; 3]> = logits.iter().map(|z| probabilities(z, factor)).collect();
    let calm_said: Vec<(usize, usize, f32)> =
        said.iter().zip(&calm).map(|((truth, c, _), p)| (*truth, *c, p[0])).collect();
    let least = threshold(calm_said, args.uf1);
    let after = calibration_error(&bins(calm.iter().zip(&truth).map(|(p, other)| (p[0], *other == 0))));
    let abstained = calm.iter().filter(|p| p[0] < least).count() as f64 / calm.len() as f64;

    let mut spec = models.student.spec.clone();
    (spec.temperature, spec.min_confidence) = (spec.temperature * factor, least);
    let command =
        format!("glint-pretrain calibrate --assets DIR --sequences {} --seed {}", args.sequences, args.seed);
    // Run twice, the command stands there once.
    let first = spec.file.made_by.split("; glint-pretrain calibrate").next().unwrap_or_default().to_owned();
    let summary = json!({
        "movements": movements, "found": said.len(), "accuracy": said.iter().filter(|s| s.0 == s.1).count() as f64 / said.len() as f64,
        "temperature": spec.temperature, "min_confidence": least, "abstained": abstained,
        "ece_before": before, "ece": after,
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

/// Confidence of the class that was said, and half of the rest for each of the others.
fn spread(confidence: f32) -> [f32; 3] {
    let c = confidence.clamp(1e-6, 1.0 - 1e-6);
    [c, 0.5 * (1.0 - c), 0.5 * (1.0 - c)]
}

/// The least confidence from which on words (truth, class that was said, confidence) reach the wanted UF1.
fn threshold(mut said: Vec<(usize, usize, f32)>, uf1: f64) -> f32 {
    said.sort_by(|a, b| b.2.total_cmp(&a.2));
    let mut least = GREATEST;
    let mut confusion = Confusion::default();
    for (i, (truth, class, confidence)) in said.iter().enumerate() {
        confusion.0[*truth][*class] += 1;
        // Words of one confidence stand or fall together.
        let last = said.get(i + 1).is_none_or(|next| next.2 < *confidence);
        if last && i + 1 >= FEWEST && confusion.uf1() >= uf1 {
            least = least.min(*confidence);
        }
    }
    (least * 1000.0).floor() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_reaches_the_wanted_uf1_with_as_many_words_as_it_can() {
        // 60 sure words are right; of 30 that are less sure every third is not.
        let sure = (0..60).map(|i| (i % 3, i % 3, 0.80 - 0.001 * i as f32));
        let doubtful =
            (0..30).map(|i| (i % 3, if i % 9 < 3 { (i + 1) % 3 } else { i % 3 }, 0.6 - 0.001 * i as f32));
        let said: Vec<_> = sure.chain(doubtful).collect();
        let at = |uf1| threshold(said.clone(), uf1);
        assert!((at(0.999) - 0.741).abs() < 0.002, "{}", at(0.999));
        assert!((at(0.5) - 0.571).abs() < 0.002, "{}", at(0.5));
        assert!(at(0.92) < 0.6 && at(0.92) > 0.571, "{}", at(0.92));
        // Too few to tell anything.
        assert_eq!(threshold(said[..20].to_vec(), 0.5), GREATEST);
    }
}
