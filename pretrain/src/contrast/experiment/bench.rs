//! The material of an experiment, and what one training on some of it is worth.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use burn::module::AutodiffModule;
use glint::au::AU_COUNT;
use glint::intensity::by_au;
use glint::pipeline::{Models, pair_engine};
use rayon::prelude::*;

use super::difference::{FEW, PRIOR, TrainingScore, few};
use crate::backend::{Cpu, CpuTrain};
use crate::contrast::encoder::{Tower, TwoTowers};
use crate::contrast::labelled::folds;
use crate::contrast::recipe::{Negatives, PretrainRecipe, ViewEncoding};
use crate::contrast::train::{Views, features, train};
use crate::contrast::unlabelled::{Made, What, make as make_pair, mixed};
use crate::contrast::views::{View, make};
use crate::corpus::person::Split;
use crate::corpus::plan::Cast;
use crate::filter::judge::{MACRO_FROM, PairFilter, Range, Reason};
use crate::recognition::megc;
use crate::run::{self, Run};
use crate::statistics::linear::{Ridge, Softmax};
use crate::train::initialised;

/// What an experiment is asked for.
pub struct ExperimentSettings {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    pub assets: PathBuf,
    /// The table.
    pub table: ExperimentTable,
    /// Folder of published flow images, for few labels on real samples.
    pub megc: Option<PathBuf>,
    /// Unlabelled pairs.
    pub pool: usize,
    /// Labelled pairs of held-out people.
    pub labelled: usize,
    /// Optimiser steps of every training.
    pub steps: usize,
    /// Seeds of weights and order.
    pub seeds: u64,
    /// Seed of people and pairs.
    pub seed: u64,
}

/// Views of many pairs by kind.
pub(super) type Stock = BTreeMap<View, Vec<Option<Vec<f32>>>>;

/// Material of all rows.
pub(super) struct Bench<'a> {
    pub(super) settings: &'a ExperimentSettings,
    pub(super) pool: Vec<Made>,
    pub(super) pool_views: Stock,
    pub(super) kept: Vec<Reason>,
    /// Intensities as the daemon measures them between the two frames.
    measured: Vec<[f32; AU_COUNT]>,
    pub(super) labelled: Vec<Made>,
    labelled_views: Stock,
    pub(super) real: Vec<megc::FlowSample>,
}

/// One table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ExperimentTable {
    /// Filtered against unfiltered pairs against no pretraining.
    Claims,
    /// Which two views, and two against one.
    Views,
    /// Memory bank, temperature and optimiser of the paper against the defaults.
    Bank,
    /// Defects of the paper's public code, switched on one by one.
    Defects,
}

/// A row of a table: a recipe, the pairs it is trained on, the views it is probed by.
pub(super) struct Variant {
    pub(super) name: String,
    /// `None`: the weights stay as they are drawn.
    pub(super) recipe: PretrainRecipe,
    pub(super) trained: bool,
    pub(super) pool: Vec<usize>,
}

fn stock(made: &[Made], reduce: usize) -> Stock {
    let all: Vec<[Option<Vec<f32>>; 3]> = made
        .par_iter()
        .map(|m| {
            let mut engine = pair_engine();
            [View::Motion, View::Appearance, View::Depth].map(|v| make(v, &m.pair.crops, reduce, &mut engine))
        })
        .collect();
    let mut out = Stock::new();
    for views in all {
        for (view, values) in [View::Motion, View::Appearance, View::Depth].into_iter().zip(views) {
            out.entry(view).or_default().push(values);
        }
    }
    out
}

impl<'a> Bench<'a> {
    pub(super) fn new(settings: &'a ExperimentSettings) -> Result<Self> {
        let models = Models::embedded()?;
        let thresholds =
            models.au.spec.thresholds.by_unit().map_err(|e| anyhow::anyhow!("thresholds: {e}"))?;
        let range = Range { least: by_au(&thresholds), macro_from: MACRO_FROM };
        let bar = run::bar("pairs", (settings.pool + settings.labelled) as u64);
        let training = Cast::load(&settings.assets, Split::Train, 160, settings.seed)?;
        let pool: Vec<Made> = (0..settings.pool as u64)
            .into_par_iter()
            .map(|i| make_pair(&training, mixed(settings.seed, i), settings.seed, i))
            .inspect(|_| bar.inc(1))
            .collect();
        let others = Cast::load(&settings.assets, Split::HeldOut, 60, settings.seed)?;
        let labelled: Vec<Made> = (0..settings.labelled as u64)
            .into_par_iter()
            .map(|i| make_pair(&others, What::Micro, settings.seed ^ 0x006c_6162, i))
            .inspect(|_| bar.inc(1))
            .collect();
        bar.finish_and_clear();
        let kept = pool
            .par_iter()
            .map_init(
                || PairFilter::new(&models, range),
                |judge, made| {
                    let judge = judge.as_mut().map_err(|e| anyhow::anyhow!("{e:#}"))?;
                    Ok(judge.decide(&made.pair.crops.onset, &made.pair.crops.apex))
                },
            )
            .collect::<Result<Vec<_>>>()?;
        let (kept, measured) = kept.into_iter().unzip();
        let real = settings.megc.as_deref().map_or(Ok(Vec::new()), megc::load)?;
        let (pool_views, labelled_views) = (stock(&pool, 4), stock(&labelled, 4));
        Ok(Self { settings, pool, pool_views, kept, measured, labelled, labelled_views, real })
    }

    fn views(&self, stock: &Stock, picks: &[usize], recipe: &PretrainRecipe) -> Views {
        let mut out = Views::default();
        for &i in picks {
            if let (Some(a), Some(b)) = (&stock[&recipe.first.view][i], &stock[&recipe.second.view][i]) {
                out.first.extend(a);
                out.second.extend(b);
                out.intensities.push([0.0; AU_COUNT]);
                out.len += 1;
            }
        }
        out
    }

    pub(super) fn outcome(&self, variant: &Variant, seed: u64) -> Result<TrainingScore> {
        let device = Default::default();
        let mut recipe = variant.recipe.clone();
        let mut training = self.views(&self.pool_views, &variant.pool, &recipe);
        if let Negatives::InBatch { alike } = recipe.negatives
            && alike > 0.0
        {
            let known: Vec<usize> = variant.pool.clone();
            training.intensities = known.iter().map(|&i| self.measured[i]).collect();
        }
        recipe.batch = recipe.batch.min(training.len / 2);
        // Every row has the same number of steps, whatever the number of its pairs.
        recipe.epochs =
            (self.settings.steps as f64 / (training.len / recipe.batch) as f64).round().max(1.0) as usize;
        let held = self.views(&self.labelled_views, &(0..self.labelled.len()).collect::<Vec<_>>(), &recipe);
        let (towers, retrieval): (TwoTowers<CpuTrain>, [f32; 2]) = if variant.trained {
            let name: String =
                variant.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
            let dir = PathBuf::from("out/evaluate-pretraining").join(format!("{name}-{seed}"));
            let run = Run::start_in(&dir, seed, &recipe, false)?;
            let done = train::<CpuTrain>(&recipe, &training, &held, &run, "pretrain", &device)?;
            (done.towers, done.retrieval)
        } else {
            (initialised(seed, &device, || TwoTowers::new(&recipe, &device)), [0.0; 2])
        };
        let towers: TwoTowers<Cpu> = towers.valid();
        // What the encoders say of held-out people: both views together, one where there is one.
        let encode = |tower: &Tower<Cpu>, side: &ViewEncoding| -> Option<Vec<Vec<f32>>> {
            let rows: Option<Vec<&Vec<f32>>> =
                self.labelled_views[&side.view].iter().map(Option::as_ref).collect();
            let flat: Vec<f32> = rows?.into_iter().flatten().copied().collect();
            Some(features(tower, side, &flat, &device))
        };
        let mut rows = vec![Vec::new(); self.labelled.len()];
        let mut add = |encoded: Option<Vec<Vec<f32>>>| {
            if let Some(encoded) = encoded {
                rows.iter_mut().zip(encoded).for_each(|(r, f)| r.extend(f));
            }
        };
        add(encode(&towers.first, &recipe.first));
        if recipe.second.view != recipe.first.view {
            add(encode(&towers.second, &recipe.second));
        }
        let (predicted, intensities) = self.probe(&rows);
        let subjects: Vec<&str> = self.labelled.iter().map(|m| m.pair.subject()).collect();
        let classes: Vec<usize> = self.labelled.iter().map(|m| m.class.map_or(0, |c| c as usize)).collect();
        let few = FEW.map(|n| few(&rows, &classes, &subjects, n)).to_vec();
        let real = self.real_few(&towers, &recipe, &device);
        Ok(TrainingScore {
            rows: classes.into_iter().zip(predicted).collect(),
            intensities,
            few,
            real,
            retrieval,
        })
    }

    /// Ten folds by person: predicted class and AU intensities of every labelled pair.
    fn probe(&self, rows: &[Vec<f32>]) -> (Vec<usize>, Vec<Vec<f32>>) {
        let subjects: Vec<&str> = self.labelled.iter().map(|m| m.pair.subject()).collect();
        let class = |i: usize| self.labelled[i].class.map_or(0, |c| c as usize);
        let mut predicted = vec![0; rows.len()];
        let mut aus = vec![vec![0.0f32; AU_COUNT]; rows.len()];
        let parts = folds(&subjects, 10, self.settings.seed);
        let done: Vec<Vec<(usize, usize, Vec<f32>)>> = parts
            .par_iter()
            .map(|fold| {
                let train: Vec<usize> = (0..rows.len()).filter(|i| !fold.contains(i)).collect();
                let x: Vec<&[f32]> = train.iter().map(|&i| &rows[i][..]).collect();
                let y: Vec<usize> = train.iter().map(|&i| class(i)).collect();
                let targets: Vec<&[f32]> = train.iter().map(|&i| &self.labelled[i].truth[..]).collect();
                let (model, ridge) =
                    (Softmax::fit(&x, &y, 3, PRIOR), Ridge::fit(&x, &targets, f64::from(PRIOR)));
                fold.iter().map(|&i| (i, model.predict(&rows[i]), ridge.predict(&rows[i]))).collect()
            })
            .collect();
        for (i, class, intensities) in done.into_iter().flatten() {
            predicted[i] = class;
            aus[i] = intensities;
        }
        (predicted, aus)
    }

    /// Few labels on real samples by the motion encoder, where the recipe has one.
    fn real_few(
        &self,
        towers: &TwoTowers<Cpu>,
        recipe: &PretrainRecipe,
        device: &burn::tensor::Device<Cpu>,
    ) -> Vec<Vec<f64>> {
        let (tower, side) = match (recipe.first.view, recipe.second.view) {
            (View::Motion, _) => (&towers.first, &recipe.first),
            (_, View::Motion) => (&towers.second, &recipe.second),
            _ => return Vec::new(),
        };
        if self.real.is_empty() {
            return Vec::new();
        }
        let flat: Vec<f32> = self.real.iter().flat_map(|f| f.motion.iter().copied()).collect();
        let rows = features(tower, side, &flat, device);
        // Subjects of two databases may share a name.
        let people: Vec<String> = self.real.iter().map(|f| format!("{}/{}", f.database, f.subject)).collect();
        let subjects: Vec<&str> = people.iter().map(String::as_str).collect();
        let classes: Vec<usize> = self.real.iter().map(|f| f.class).collect();
        FEW.map(|n| few(&rows, &classes, &subjects, n)).to_vec()
    }
}
