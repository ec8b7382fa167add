//! What pretrained encoders are worth on labelled pairs, subjects apart: a linear probe, or fine-tuning.

use std::path::Path;

use anyhow::{Result, ensure};
use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;
use glint::au::{AU_COUNT, AUS};

use super::encoder::{Encoder, TwoTowers};
use super::finetune::{self, Classifier, Samples, Tuning};
use super::labelled::{self, LabelledPair, Scored};
use super::pretraining;
use super::recipe::{PretrainRecipe, ViewEncoding};
use super::train::{features, one_view};
use super::views::View;
use crate::backend::device::Job;
use crate::run;
use crate::statistics::linear::{Ridge, Softmax, correlation};
use crate::train::initialised;

/// What probe and fine-tuning have in common.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// Labelled pairs.
    pub data: &'a [LabelledPair],
    /// Number of classes.
    pub classes: usize,
    /// Subjects are put into so many folds; 0 leaves one subject out at a time.
    pub folds: usize,
    /// Uses the first view alone.
    pub first_only: bool,
    /// Seed of folds, heads and order.
    pub seed: u64,
}

/// Predictions for every labelled pair, each by a model that has not seen its subject.
pub struct Predictions {
    /// Views that were used.
    pub views: Vec<View>,
    /// Predicted classes.
    pub scored: Scored,
    /// Correlation of predicted intensities with the truth for AUs that occur often enough; empty after fine-tuning.
    pub aus: Vec<(u8, f64)>,
}

/// Labelled samples with their views: sides whose view every sample has.
struct Prepared<'a> {
    sides: Vec<ViewEncoding>,
    rows: Vec<Vec<Vec<f32>>>,
    data: &'a [LabelledPair],
}

fn prepare<'a>(recipe: &PretrainRecipe, first_only: bool, data: &'a [LabelledPair]) -> Result<Prepared<'a>> {
    let pairs: Vec<_> = data.iter().map(|l| &l.pair).collect();
    let mut out = Prepared { sides: Vec::new(), rows: Vec::new(), data };
    for side in [&recipe.first, &recipe.second].into_iter().take(if first_only { 1 } else { 2 }) {
        let views: Option<Vec<Vec<f32>>> = one_view(&pairs, side.view, side.reduce).into_iter().collect();
        match views {
            Some(rows) => {
                out.sides.push(side.clone());
                out.rows.push(rows);
            }
            None => eprintln!("view {:?} is left out: not every sample has it", side.view),
        }
    }
    ensure!(!out.sides.is_empty(), "no view that every sample has (is --depth-pattern missing?)");
    Ok(out)
}

impl Prepared<'_> {
    fn views(&self) -> Vec<View> {
        self.sides.iter().map(|s| s.view).collect()
    }

    fn subjects(&self) -> Vec<&str> {
        self.data.iter().map(|l| l.subject.as_str()).collect()
    }

    fn samples(&self, picks: &[usize]) -> Samples<'_> {
        Samples {
            sides: self.sides.clone(),
            rows: self.rows.iter().map(|rows| chosen(rows, picks)).collect(),
            classes: picks.iter().map(|&i| self.data[i].class).collect(),
        }
    }

    fn score(&self, picks: &[usize], predicted: Vec<usize>, scored: &mut Scored) {
        for (&i, predicted) in picks.iter().zip(predicted) {
            scored.rows.push((self.data[i].subject.clone(), self.data[i].class, predicted));
        }
    }
}

/// Some of the rows.
fn chosen<'a>(rows: &'a [Vec<f32>], picks: &[usize]) -> Vec<&'a [f32]> {
    picks.iter().map(|&i| &rows[i][..]).collect()
}

fn complement(fold: &[usize], count: usize) -> Vec<usize> {
    (0..count).filter(|i| !fold.contains(i)).collect()
}

/// Encoders of the sides that are used.
fn encoders<B: AutodiffBackend>(
    towers: TwoTowers<B>,
    recipe: &PretrainRecipe,
    sides: &[ViewEncoding],
) -> Vec<Encoder<B>> {
    let all = [(recipe.first.view, towers.first.encoder), (recipe.second.view, towers.second.encoder)];
    all.into_iter().filter(|(view, _)| sides.iter().any(|s| s.view == *view)).map(|(_, e)| e).collect()
}

/// A linear probe of the encoders of a finished pretraining.
pub struct Probe<'a> {
    /// Folder of the pretraining.
    pub from: &'a Path,
    /// Strength of the prior.
    pub prior: f32,
    /// Data and folds.
    pub setting: Setting<'a>,
}

impl Job for Probe<'_> {
    type Out = Predictions;

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Result<Predictions> {
        let Setting { data, classes: count, folds, first_only, seed } = self.setting;
        let (recipe, towers) = pretraining::load::<B>(self.from, &device)?;
        let prepared = prepare(&recipe, first_only, data)?;
        let towers = towers.valid();
        let mut joined = vec![Vec::new(); data.len()];
        for (side, rows) in prepared.sides.iter().zip(&prepared.rows) {
            let tower = if side.view == recipe.first.view { &towers.first } else { &towers.second };
            let flat: Vec<f32> = rows.concat();
            for (all, encoded) in joined.iter_mut().zip(features(tower, side, &flat, &device)) {
                all.extend(encoded);
            }
        }
        let folds = labelled::folds(&prepared.subjects(), folds, seed);
        let mut scored = Scored::default();
        let mut au_predicted = vec![[0.0f32; AU_COUNT]; data.len()];
        for fold in &folds {
            let train = complement(fold, data.len());
            let rows: Vec<&[f32]> = train.iter().map(|&i| &joined[i][..]).collect();
            let classes: Vec<usize> = train.iter().map(|&i| data[i].class).collect();
            let model = Softmax::fit(&rows, &classes, count, self.prior);
            prepared.score(fold, fold.iter().map(|&i| model.predict(&joined[i])).collect(), &mut scored);
            let targets: Vec<&[f32]> = train.iter().map(|&i| &data[i].aus[..]).collect();
            let ridge = Ridge::fit(&rows, &targets, f64::from(self.prior));
            for &i in fold {
                au_predicted[i].copy_from_slice(&ridge.predict(&joined[i]));
            }
        }
        // AUs that occur often enough for a correlation to mean something.
        let aus: Vec<(u8, f64)> = AUS
            .iter()
            .enumerate()
            .filter(|(k, _)| data.iter().filter(|l| l.aus[*k] > 0.0).count() >= 10)
            .filter_map(|(k, au)| {
                let (a, b): (Vec<f32>, Vec<f32>) =
                    (au_predicted.iter().map(|f| f[k]).collect(), data.iter().map(|l| l.aus[k]).collect());
                Some((*au, correlation(&a, &b)?))
            })
            .collect();
        Ok(Predictions { views: prepared.views(), scored, aus })
    }
}

/// Training the encoders on with labels.
pub struct Finetuning<'a> {
    /// Folder of the pretraining.
    pub from: Option<&'a Path>,
    /// Recipe whose shapes are trained from scratch where there is no `from`.
    pub recipe: &'a str,
    /// Steps and rates.
    pub tuning: Tuning,
    /// Data and folds.
    pub setting: Setting<'a>,
}

impl Job for Finetuning<'_> {
    type Out = Predictions;

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Result<Predictions> {
        let Setting { data, classes: count, folds, first_only, seed: base } = self.setting;
        let loaded = match self.from {
            Some(dir) => Some(pretraining::load::<B>(dir, &device)?),
            None => None,
        };
        let recipe = match &loaded {
            Some((recipe, _)) => recipe.clone(),
            None => PretrainRecipe::named(self.recipe)?,
        };
        let prepared = prepare(&recipe, first_only, data)?;
        let width = prepared.sides.iter().map(|s| s.encoder.features()).sum();
        let folds = labelled::folds(&prepared.subjects(), folds, base);
        let bar = run::bar("folds", folds.len() as u64);
        let mut scored = Scored::default();
        for (k, fold) in folds.iter().enumerate() {
            let seed = base ^ (k as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let model = initialised(seed, &device, || {
                let encoders = match &loaded {
                    Some((recipe, towers)) => encoders(towers.clone(), recipe, &prepared.sides),
                    None => {
                        prepared.sides.iter().map(|s| Encoder::new(&s.encoder, s.shape(), &device)).collect()
                    }
                };
                Classifier::<B>::new(encoders, width, count, &device)
            });
            let train = complement(fold, data.len());
            let model =
                finetune::train(model, &prepared.samples(&train), count, &self.tuning, seed, &device)?;
            let predicted = finetune::predict(&model.valid(), &prepared.samples(fold), &device);
            prepared.score(fold, predicted, &mut scored);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(Predictions { views: prepared.views(), scored, aus: Vec::new() })
    }
}
