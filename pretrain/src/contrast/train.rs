//! The loop of contrastive training, on any device.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use burn::module::AutodiffModule;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, GradientsParams, Optimizer, SgdConfig};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use glint::au::AU_COUNT;
use glint::pipeline::pair_engine;
use rand::Rng;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::encoder::{EMBEDDING, Tower, TwoTowers};
use super::loss::{Bank, against, alike, in_batch, retrieval};
use super::recipe::{Negatives, Optimiser, PretrainRecipe, ViewEncoding};
use super::views::{View, make, mirror};
use crate::augment::{generator, normal};
use crate::net::tensor;
use crate::pairs::Pair;
use crate::run::checkpoint::{self, Progress};
use crate::run::{Interrupted, Run, bar, interrupted};
use crate::train::initialised;

/// Steps between two checkpoints.
const CHECKPOINT: usize = 500;
/// Held-out pairs on which retrieval is reported.
const RETRIEVED: usize = 256;

/// Both views of every pair, and what else training needs of them.
#[derive(Debug, Clone, Default)]
pub struct Views {
    /// First view, one after the other.
    pub first: Vec<f32>,
    /// Second view.
    pub second: Vec<f32>,
    /// Intensities by AU, where they are known; zeros elsewhere.
    pub intensities: Vec<[f32; AU_COUNT]>,
    /// Number of pairs.
    pub len: usize,
}

impl Views {
    /// Adds the views of pairs, made in parallel, and tells which pairs have both: where depth is asked for, those without
    /// it are left out.
    pub fn extend(&mut self, pairs: &[Pair], first: &ViewEncoding, second: &ViewEncoding) -> Vec<bool> {
        let made: Vec<Option<[Vec<f32>; 2]>> = pairs
            .par_iter()
            .map(|pair| {
                // An engine of its own: what it measured before shows in the last bits, and which pairs a thread gets is
                // chance.
                let mut engine = pair_engine();
                let mut one = |side: &ViewEncoding| make(side.view, &pair.crops, side.reduce, &mut engine);
                Some([one(first)?, one(second)?])
            })
            .collect();
        let have = made.iter().map(Option::is_some).collect();
        for (pair, made) in pairs.iter().zip(made) {
            let Some([first, second]) = made else { continue };
            self.first.extend(first);
            self.second.extend(second);
            self.intensities.push(intensities(pair));
            self.len += 1;
        }
        have
    }
}

/// Intensities that the facts of a pair tell: `measured` of the filter, `aus` of a corpus.
pub fn intensities(pair: &Pair) -> [f32; AU_COUNT] {
    let mut out = [0.0f32; AU_COUNT];
    let mut put = |au: Option<u8>, intensity: Option<f64>| {
        if let (Some(k), Some(v)) = (au.and_then(glint::au::au_index), intensity) {
            out[k] = out[k].max(v as f32);
        }
    };
    match (&pair.facts["aus"], &pair.facts["measured"]) {
        (Value::Array(list), _) => list.iter().for_each(|one| {
            put(one["au"].as_u64().and_then(|n| u8::try_from(n).ok()), one["intensity"].as_f64());
        }),
        (Value::Object(map), _) | (_, Value::Object(map)) => map.iter().for_each(|(name, value)| {
            put(name.trim_start_matches(['a', 'u', 'A', 'U']).parse().ok(), value.as_f64());
        }),
        _ => {}
    }
    out
}

/// What a training gave.
pub struct Trained<B: Backend> {
    /// The towers.
    pub towers: TwoTowers<B>,
    /// Retrieval of the second view by the first and the other way round, on held-out pairs, after the last epoch.
    pub retrieval: [f32; 2],
    /// Share of the time in which the device waited for a batch.
    pub loader_share: f64,
    /// Pairs a second.
    pub rate: f64,
}

struct Batch {
    first: Vec<f32>,
    second: Vec<f32>,
    indices: Vec<usize>,
    negatives: Vec<usize>,
    targets: Vec<f32>,
}

/// Builds step `step`: which pairs, mirrored or not. Depends on nothing but its arguments.
struct Loader<'a> {
    recipe: &'a PretrainRecipe,
    views: &'a Views,
    sizes: [usize; 2],
    seed: u64,
    steps_an_epoch: usize,
    /// Index of the pair whose second view each pair gets.
    partner: Vec<usize>,
    order: (usize, Vec<usize>),
}

impl<'a> Loader<'a> {
    fn new(recipe: &'a PretrainRecipe, views: &'a Views, seed: u64) -> Self {
        let sizes = [&recipe.first, &recipe.second].map(|s| s.shape().iter().product());
        let mut partner: Vec<usize> = (0..views.len).collect();
        if recipe.defects.mismatched > 0.0 {
            let mut rng = generator(seed, 0x6d69_736d);
            let broken: Vec<usize> =
                (0..views.len).filter(|_| rng.random_bool(f64::from(recipe.defects.mismatched))).collect();
            for (k, &i) in broken.iter().enumerate() {
                partner[i] = broken[(k + 1) % broken.len()];
            }
        }
        let steps_an_epoch = views.len / recipe.batch;
        Self { recipe, views, sizes, seed, steps_an_epoch, partner, order: (usize::MAX, Vec::new()) }
    }

    fn batch(&mut self, step: usize) -> Batch {
        let epoch = step / self.steps_an_epoch;
        if self.order.0 != epoch {
            let mut order: Vec<usize> = (0..self.views.len).collect();
            let mut rng = generator(self.seed ^ 0x6f72_6465, epoch as u64);
            for i in (1..order.len()).rev() {
                order.swap(i, rng.random_range(0..=i));
            }
            self.order = (epoch, order);
        }
        let start = step % self.steps_an_epoch * self.recipe.batch;
        let indices = self.order.1[start..start + self.recipe.batch].to_vec();
        let mut rng = generator(self.seed ^ 0x666c_6970, step as u64);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for &i in &indices {
            let flips: [bool; 2] = if !self.recipe.flip {
                [false; 2]
            } else if self.recipe.defects.unpaired_flips {
                [rng.random(), rng.random()]
            } else {
                [rng.random(); 2]
            };
            let sides = [
                (&self.recipe.first, &self.views.first, i),
                (&self.recipe.second, &self.views.second, self.partner[i]),
            ];
            for ((k, out), (side, values, index)) in
                [(0, &mut first), (1, &mut second)].into_iter().zip(sides)
            {
                let from = out.len();
                out.extend_from_slice(&values[index * self.sizes[k]..][..self.sizes[k]]);
                if flips[k] {
                    mirror(side.view, side.shape(), &mut out[from..]);
                }
                if self.recipe.noise > 0.0 {
                    out[from..].iter_mut().for_each(|v| *v += self.recipe.noise * normal(&mut rng));
                }
            }
        }
        let (mut negatives, mut targets) = (Vec::new(), Vec::new());
        match self.recipe.negatives {
            Negatives::Bank { count, .. } => {
                negatives = (0..count).map(|_| rng.random_range(0..self.views.len)).collect();
            }
            Negatives::InBatch { alike: width } => {
                let n = indices.len();
                if width > 0.0 {
                    let known: Vec<&[f32]> =
                        indices.iter().map(|&i| &self.views.intensities[i][..]).collect();
                    targets = alike(&known, width);
                } else {
                    targets = vec![0.0; n * n];
                    (0..n).for_each(|i| targets[i * n + i] = 1.0);
                }
            }
        }
        Batch { first, second, indices, negatives, targets }
    }
}

/// Trains both towers on `views`; `held` are views of held-out people, for retrieval. `stage` names the checkpoint.
pub fn train<B: AutodiffBackend>(
    recipe: &PretrainRecipe,
    views: &Views,
    held: &Views,
    run: &Run,
    stage: &str,
    device: &B::Device,
) -> Result<Trained<B>> {
    let job = Job { recipe, views, held, run, stage, start: None, stop_at: usize::MAX };
    job.run(device)
}

/// A training, and what only tests ask of it.
struct Job<'a, B: AutodiffBackend> {
    recipe: &'a PretrainRecipe,
    views: &'a Views,
    held: &'a Views,
    run: &'a Run,
    stage: &'a str,
    /// Weights to begin with, instead of drawn ones.
    start: Option<TwoTowers<B>>,
    /// Stops after this step as on Ctrl-C.
    stop_at: usize,
}

impl<B: AutodiffBackend> Job<'_, B> {
    fn run(self, device: &B::Device) -> Result<Trained<B>> {
        match self.recipe.optimiser {
            Optimiser::Adamw { decay, .. } => {
                let optimiser = AdamWConfig::new().with_weight_decay(decay).init::<B, TwoTowers<B>>();
                self.run_with(device, optimiser)
            }
            Optimiser::Sgd { momentum, decay, .. } => {
                let momentum = MomentumConfig { momentum, dampening: 0.0, nesterov: false };
                let optimiser = SgdConfig::new()
                    .with_momentum(Some(momentum))
                    .with_weight_decay(Some(WeightDecayConfig::new(decay)))
                    .init::<B, TwoTowers<B>>();
                self.run_with(device, optimiser)
            }
        }
    }

    fn run_with<O: Optimizer<TwoTowers<B>, B>>(self, device: &B::Device, optimiser: O) -> Result<Trained<B>> {
        let Self { recipe, views, held, run, stage, start, stop_at } = self;
        recipe.check()?;
        ensure!(views.len >= recipe.batch, "{} pairs; a batch alone has {}", views.len, recipe.batch);
        let steps_an_epoch = views.len / recipe.batch;
        let steps = recipe.epochs * steps_an_epoch;
        let towers = checkpoint::numbered(
            start.unwrap_or_else(|| initialised(run.seed(), device, || TwoTowers::new(recipe, device))),
        );
        let momentum = match recipe.negatives {
            Negatives::Bank { momentum, .. } => Some(momentum),
            Negatives::InBatch { .. } => None,
        };
        let mut banks = momentum.map(|m| [0, 1].map(|k| Bank::new(views.len, EMBEDDING, m, run.seed() ^ k)));
        let state = checkpoint::load_with(run, stage, steps, towers, optimiser, device)?;
        let (towers, mut optimiser) = (state.model, state.optimiser);
        let Progress { step: first_step, mut mean } = state.progress;
        if let (Some(banks), true) = (&mut banks, first_step > 0) {
            let half = state.extra.len() / 2;
            let fits = banks[0].restore(&state.extra[..half]) && banks[1].restore(&state.extra[half..]);
            ensure!(fits, "{stage}: the checkpoint is of other pairs");
        }
        let progress = bar(stage, steps as u64);
        progress.inc(first_step as u64);
        let begun = Instant::now();
        let mut waited = Duration::ZERO;
        let mut retrieved = [0.0; 2];
        let towers = std::thread::scope(|scope| -> Result<TwoTowers<B>> {
            let mut towers = towers;
            // The next batches are made while the device works.
            let (send, receive) = sync_channel(2);
            let seed = run.seed();
            scope.spawn(move || {
                let mut loader = Loader::new(recipe, views, seed);
                for step in first_step..steps {
                    if send.send(loader.batch(step)).is_err() {
                        return;
                    }
                }
            });
            for step in first_step..steps {
                let asked = Instant::now();
                let batch = receive.recv()?;
                waited += asked.elapsed();
                let (loss, embeddings) = loss(recipe, &towers, &batch, banks.as_ref(), device);
                let scalar: f32 = loss.clone().into_data().convert::<f32>().to_vec().unwrap_or_default()[0];
                ensure!(scalar.is_finite(), "the loss of step {step} is {scalar}: lower the learning rate");
                let gradients = GradientsParams::from_grads(loss.backward(), &towers);
                towers = optimiser.step(recipe.rate(step, steps), towers, gradients);
                if let (Some(banks), Some(embeddings)) = (&mut banks, embeddings) {
                    banks
                        .iter_mut()
                        .zip(embeddings)
                        .for_each(|(bank, rows)| bank.update(&batch.indices, &rows));
                }
                let smooth = mean.map_or(scalar, |m: f32| m + 0.02 * (scalar - m));
                mean = Some(smooth);
                if step % 20 == 0 || step + 1 == steps {
                    run.log(&json!({"stage": stage, "step": step, "loss": scalar, "mean": smooth}))?;
                    progress.set_message(format!("{stage} {smooth:.4}"));
                }
                progress.inc(1);
                if (step + 1) % steps_an_epoch == 0 {
                    retrieved = retrieve(recipe, &towers.valid(), held, device);
                    let epoch = step / steps_an_epoch;
                    run.log(&json!({
                        "stage": stage, "epoch": epoch, "of": held.len.min(RETRIEVED),
                        "retrieval_first_second": retrieved[0], "retrieval_second_first": retrieved[1],
                    }))?;
                }
                let stop = interrupted() || step + 1 == stop_at;
                if stop || (step + 1) % CHECKPOINT == 0 || step + 1 == steps {
                    let extra = banks.as_ref().map_or(Vec::new(), |[a, b]| [a.bytes(), b.bytes()].concat());
                    let progress = Progress { step: step + 1, mean };
                    checkpoint::save_with(run, stage, &towers, &optimiser, progress, &extra)?;
                }
                ensure!(!stop, Interrupted);
            }
            Ok(towers)
        })?;
        progress.finish_and_clear();
        if first_step >= steps {
            retrieved = retrieve(recipe, &towers.valid(), held, device);
        }
        let seconds = begun.elapsed().as_secs_f64().max(1e-9);
        Ok(Trained {
            towers,
            retrieval: retrieved,
            loader_share: waited.as_secs_f64() / seconds,
            rate: ((steps - first_step.min(steps)) * recipe.batch) as f64 / seconds,
        })
    }
}

/// Loss of a batch, and the embeddings that a bank takes.
fn loss<B: AutodiffBackend>(
    recipe: &PretrainRecipe,
    towers: &TwoTowers<B>,
    batch: &Batch,
    banks: Option<&[Bank; 2]>,
    device: &B::Device,
) -> (Tensor<B, 1>, Option<[Vec<f32>; 2]>) {
    let n = batch.indices.len();
    let input = |values: &[f32], side: &ViewEncoding| {
        let [c, h, w] = side.shape();
        tensor::<B, 4>(values.to_vec(), [n, c, h, w], device)
    };
    let a = towers.first.embed(input(&batch.first, &recipe.first));
    let mut b = towers.second.embed(input(&batch.second, &recipe.second));
    if recipe.defects.second_without_gradient {
        b = b.detach();
    }
    let temperature = recipe.temperature;
    let Some(banks) = banks else {
        let targets = tensor::<B, 2>(batch.targets.clone(), [n, n], device);
        return (in_batch(a, b, temperature, targets), None);
    };
    let k = batch.negatives.len();
    let rows = |bank: &Bank| tensor::<B, 2>(bank.gather(&batch.negatives), [k, EMBEDDING], device);
    let [of_first, of_second] = [rows(&banks[0]), rows(&banks[1])];
    let forth = against(a.clone(), b.clone(), of_second, temperature);
    // With the defect both terms are the first view's.
    let back = match recipe.defects.second_without_gradient {
        true => forth.clone(),
        false => against(b.clone(), a.clone(), of_first, temperature),
    };
    let plain = |z: Tensor<B, 2>| z.into_data().convert::<f32>().to_vec::<f32>().unwrap_or_default();
    ((forth + back) / 2.0, Some([plain(a), plain(b)]))
}

fn retrieve<B: Backend>(
    recipe: &PretrainRecipe,
    towers: &TwoTowers<B>,
    held: &Views,
    device: &B::Device,
) -> [f32; 2] {
    let n = held.len.min(RETRIEVED);
    if n < 2 {
        return [0.0; 2];
    }
    let embed = |tower: &Tower<B>, values: &[f32], side: &ViewEncoding| {
        let [c, h, w] = side.shape();
        tower.embed(tensor(values[..n * c * h * w].to_vec(), [n, c, h, w], device))
    };
    let a = embed(&towers.first, &held.first, &recipe.first);
    let b = embed(&towers.second, &held.second, &recipe.second);
    [retrieval(a.clone(), b.clone()), retrieval(b, a)]
}

/// Features of views by a trained encoder, row by row.
pub fn features<B: Backend>(
    tower: &Tower<B>,
    side: &ViewEncoding,
    values: &[f32],
    device: &B::Device,
) -> Vec<Vec<f32>> {
    let [c, h, w] = side.shape();
    values
        .chunks(256 * c * h * w)
        .flat_map(|chunk| {
            let n = chunk.len() / (c * h * w);
            let out = tower.encoder.forward(tensor(chunk.to_vec(), [n, c, h, w], device));
            let width = out.dims()[1];
            let flat = out.into_data().convert::<f32>().to_vec::<f32>().unwrap_or_default();
            flat.chunks_exact(width).map(<[f32]>::to_vec).collect::<Vec<_>>()
        })
        .collect()
}

/// The view that a side sees of pairs that are not trained on.
pub fn one_view(pairs: &[&Pair], view: View, reduce: usize) -> Vec<Option<Vec<f32>>> {
    pairs.par_iter().map(|pair| make(view, &pair.crops, reduce, &mut pair_engine())).collect()
}

#[cfg(test)]
mod tests;
