//! The classes that the daemon's own chain gives to the movements it finds, and calibration on those.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use glint::pipeline::Models;
use rayon::prelude::*;

use crate::augment::generator;
use crate::corpus::mix::{Priors, SidedAu};
use crate::corpus::plan::{self, Cast, Content};
use crate::corpus::video;
use crate::run::bar;
use crate::spotting::score::matches;
use crate::spotting::watch::{self, WatchedClip};
use crate::statistics::score::{Confusion, argmax, bins, calibration_error, probabilities, temperature};

/// A movement that was found: what it is, and what was said of it with which confidence.
pub type Answer = (usize, Option<(usize, f32)>);

/// The daemon's own chain over sequences of a cast: how many movements there are, and what is said of those that are found.
pub fn answers(
    cast: &Cast,
    models: &Models,
    sequences: u64,
    fps: u32,
    seed: u64,
) -> Result<(usize, Vec<Answer>)> {
    let progress = bar("sequences", sequences);
    let each: Vec<(usize, Vec<Answer>)> = (0..sequences)
        .into_par_iter()
        .map(|i| {
            let s = plan::sequence(cast, Content::Curve, Content::Curve.seconds(), seed, i);
            let micros = s.micros.clone();
            let seen = watch::sequence(s, f64::from(fps), models)?;
            progress.inc(1);
            Ok((micros.len(), answers_to(&micros, &seen)))
        })
        .collect::<Result<_>>()?;
    progress.finish_and_clear();
    Ok(together(each))
}

/// The same of recorded sequences, `ID.avi` with `ID.json`.
pub fn answers_of_recordings(dir: &Path, models: &Models) -> Result<(usize, Vec<Answer>)> {
    let recordings = video::list(dir)?;
    let progress = bar("recordings", recordings.len() as u64);
    let each: Vec<(usize, Vec<Answer>)> = recordings
        .par_iter()
        .map(|(path, truth)| {
            let micros = truth.micros();
            let seen = watch::clip(path, models)?;
            progress.inc(1);
            Ok((micros.len(), answers_to(&micros, &seen)))
        })
        .collect::<Result<_>>()?;
    progress.finish_and_clear();
    Ok(together(each))
}

/// What was said of the movements that were found.
fn answers_to(micros: &[plan::Micro], seen: &WatchedClip) -> Vec<Answer> {
    let answer = |(micro, matched): (&plan::Micro, Option<usize>)| {
        let label = seen.movements[matched?].label.as_ref();
        Some((micro.class as usize, label.map(|l| (l.class as usize, l.confidence))))
    };
    micros.iter().zip(matches(micros, &seen.movements)).filter_map(answer).collect()
}

fn together(each: Vec<(usize, Vec<Answer>)>) -> (usize, Vec<Answer>) {
    (each.iter().map(|(n, _)| n).sum(), each.into_iter().flat_map(|(_, a)| a).collect())
}

/// Movements whose combinations are counted for [`ceiling`].
const DRAWS: u64 = 200_000;

/// What the words could be right about at best: classes share AU combinations, so whoever knew exactly which AUs of which
/// side moved, and how often each class moves them, would still err.
pub fn ceiling(priors: &Priors) -> Confusion {
    let mut rng = generator(1, 0x6365_696c);
    let mut counts: BTreeMap<Vec<SidedAu>, [u32; 3]> = BTreeMap::new();
    for _ in 0..DRAWS {
        let (class, mut parts) = priors.movement(&mut rng);
        parts.sort_unstable();
        counts.entry(parts).or_default()[class as usize] += 1;
    }
    let mut out = Confusion::default();
    for class_counts in counts.values() {
        let likeliest = argmax(&class_counts.map(|n| n as f32));
        out.0.iter_mut().zip(class_counts).for_each(|(row, n)| row[likeliest] += n);
    }
    out
}

/// Fewer movements say nothing.
pub const FEWEST: usize = 30;
/// The threshold of abstention is never above this.
const GREATEST: f32 = 0.85;

/// A movement with a word: truth, class that was said, confidence.
pub type Word = (usize, usize, f32);

/// The answers that have a word.
pub fn with_word(answers: &[Answer]) -> Vec<Word> {
    answers.iter().filter_map(|(truth, word)| word.map(|(c, confidence)| (*truth, c, confidence))).collect()
}

/// What calibration on words has found.
pub struct Recalibration {
    /// Divides the logits once more.
    pub factor: f32,
    /// Confidence below which the student abstains.
    pub min_confidence: f32,
    /// Share of the words that are abstained from.
    pub abstained: f64,
    /// Expected calibration error before.
    pub ece_before: f64,
    /// And after.
    pub ece: f64,
}

/// Temperature and abstention threshold by the words; `None` where there are fewer than [`FEWEST`].
pub fn recalibrate(words: &[Word], uf1: f64) -> Option<Recalibration> {
    if words.len() < FEWEST {
        return None;
    }
    let ece_before =
        calibration_error(&bins(words.iter().map(|(truth, c, confidence)| (*confidence, c == truth))));
    // The class that was said against the others together: an event says no more.
    let logits: Vec<[f32; 3]> =
        words.iter().map(|(_, _, confidence)| spread(*confidence).map(f32::ln)).collect();
    let truth: Vec<usize> = words.iter().map(|(truth, c, _)| usize::from(c != truth)).collect();
    let factor = temperature(&logits, &truth);
    let calm: Vec<[f32; 3]> = logits.iter().map(|z| probabilities(z, factor)).collect();
    let calm_words: Vec<Word> =
        words.iter().zip(&calm).map(|((truth, c, _), p)| (*truth, *c, p[0])).collect();
    let min_confidence = threshold(calm_words, uf1);
    let ece = calibration_error(&bins(calm.iter().zip(&truth).map(|(p, other)| (p[0], *other == 0))));
    let abstained = calm.iter().filter(|p| p[0] < min_confidence).count() as f64 / calm.len() as f64;
    Some(Recalibration { factor, min_confidence, abstained, ece_before, ece })
}

/// Confidence of the class that was said, and half of the rest for each of the others.
fn spread(confidence: f32) -> [f32; 3] {
    let c = confidence.clamp(1e-6, 1.0 - 1e-6);
    [c, 0.5 * (1.0 - c), 0.5 * (1.0 - c)]
}

/// The least confidence from which on words (truth, class that was said, confidence) reach the wanted UF1.
fn threshold(mut words: Vec<(usize, usize, f32)>, uf1: f64) -> f32 {
    words.sort_by(|a, b| b.2.total_cmp(&a.2));
    let mut least = GREATEST;
    let mut confusion = Confusion::default();
    for (i, (truth, class, confidence)) in words.iter().enumerate() {
        confusion.0[*truth][*class] += 1;
        // Words of one confidence stand or fall together.
        let last = words.get(i + 1).is_none_or(|next| next.2 < *confidence);
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
        let words: Vec<_> = sure.chain(doubtful).collect();
        let at = |uf1| threshold(words.clone(), uf1);
        assert!((at(0.999) - 0.741).abs() < 0.002, "{}", at(0.999));
        assert!((at(0.5) - 0.571).abs() < 0.002, "{}", at(0.5));
        assert!(at(0.92) < 0.6 && at(0.92) > 0.571, "{}", at(0.92));
        // Too few to tell anything.
        assert_eq!(threshold(words[..20].to_vec(), 0.5), GREATEST);
    }
}
