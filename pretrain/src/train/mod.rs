//! The training loop, and what each network is trained on.

pub mod au;
pub mod detector;
pub mod judge;
pub mod landmarks;
pub mod parallel;
pub mod sitters;
pub mod student;

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use burn::module::{AutodiffModule, Module};
use burn::optim::{AdamWConfig, GradientsParams, Optimizer};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::backend::CpuTrain;
use crate::run::checkpoint::{self, Progress};
use crate::run::{Interrupted, Run, bar, interrupted};

/// What every training run fixes beforehand.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Optimiser steps.
    pub steps: usize,
    /// Samples a step.
    pub batch: usize,
    /// Peak learning rate; a tenth of the steps warms up, a cosine ends at 1 % of it.
    pub learning_rate: f64,
    /// Decoupled weight decay of AdamW.
    pub weight_decay: f32,
}

impl Schedule {
    /// Learning rate of `step`.
    pub fn rate(&self, step: usize) -> f64 {
        let t = step as f64 / self.steps.max(1) as f64;
        let shape = if t < 0.1 {
            t / 0.1
        } else {
            0.01 + 0.99 * 0.5 * (1.0 + (std::f64::consts::PI * (t - 0.1) / 0.9).cos())
        };
        self.learning_rate * shape.max(1e-3)
    }
}

/// Steps between two checkpoints.
const CHECKPOINT: usize = 200;

/// Runs a schedule as `stage` of a run: `loss(model, step)` gives the loss of a step. Metrics go to the run's folder, and
/// so does a checkpoint: on Ctrl-C, every 200 steps and at the end. A run that resumes continues from it, with
/// the same result to the last bit where `loss` depends on nothing but its arguments: what it draws comes from a
/// generator of its step, never from burn, which has one for the whole process.
pub fn fit<M>(
    mut model: M,
    stage: &str,
    schedule: &Schedule,
    run: &Run,
    mut loss: impl FnMut(&M, usize) -> Tensor<CpuTrain, 1>,
) -> Result<M>
where
    M: AutodiffModule<CpuTrain>,
{
    let optimiser = AdamWConfig::new().with_weight_decay(schedule.weight_decay).init();
    let (resumed, mut optimiser, Progress { step: first, mut mean }) =
        checkpoint::load(run, stage, schedule.steps, model, optimiser)?;
    model = resumed;
    let bar = bar(stage, schedule.steps as u64);
    bar.inc(first as u64);
    for step in first..schedule.steps {
        let value = loss(&model, step);
        let scalar = value.clone().into_scalar();
        anyhow::ensure!(scalar.is_finite(), "the loss of step {step} is {scalar}: lower the learning rate");
        let gradients = GradientsParams::from_grads(value.backward(), &model);
        model = optimiser.step(schedule.rate(step), model, gradients);
        let smooth = mean.map_or(scalar, |m: f32| m + 0.02 * (scalar - m));
        mean = Some(smooth);
        if step % 20 == 0 || step + 1 == schedule.steps {
            run.log(&json!({"stage": stage, "step": step, "loss": scalar, "mean": smooth}))?;
            bar.set_message(format!("{stage} {smooth:.4}"));
        }
        bar.inc(1);
        let stop = interrupted();
        if stop || (step + 1) % CHECKPOINT == 0 || step + 1 == schedule.steps {
            checkpoint::save(run, stage, &model, &optimiser, Progress { step: step + 1, mean })?;
        }
        anyhow::ensure!(!stop, Interrupted);
    }
    bar.finish_and_clear();
    Ok(model)
}

static INITIALISING: Mutex<()> = Mutex::new(());

/// A network with the initial weights of `seed`: all that burn is left to draw, and here alone. Its generator is the
/// process's, so that networks drawn elsewhere on another thread would change these.
pub fn initialised<B: Backend, M: Module<B>>(seed: u64, device: &B::Device, make: impl FnOnce() -> M) -> M {
    let _alone = INITIALISING.lock().unwrap_or_else(PoisonError::into_inner);
    B::seed(device, seed);
    let lazy = make();
    // A parameter is drawn when it is first read, which a record does and a copy does not.
    lazy.clone().load_record(lazy.into_record())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tensor;
    use burn::module::Module;
    use burn::nn::{Linear, LinearConfig};

    #[derive(Module, Debug)]
    struct Tiny<B: Backend> {
        layer: Linear<B>,
    }

    fn train(run: &Run, steps: usize, stop: usize) -> Result<Vec<u32>> {
        let device = Default::default();
        let model =
            initialised(7, &device, || Tiny::<CpuTrain> { layer: LinearConfig::new(4, 3).init(&device) });
        let schedule = Schedule { steps, batch: 2, learning_rate: 0.05, weight_decay: 0.01 };
        let model = fit(model, "tiny", &schedule, run, |model, step| {
            let x = (0..8).map(|i| ((i + step) as f32).sin()).collect();
            let y = model.layer.forward(tensor(x, [2, 4], &device));
            // A loss that is no number ends the run as a crash would.
            let broken = if step == stop { f32::NAN } else { 1.0 };
            y.powi_scalar(2).sum() * broken
        })?;
        let bits = |p: Vec<f32>| p.into_iter().map(f32::to_bits).collect();
        Ok(bits(model.layer.weight.val().into_data().to_vec::<f32>().expect("f32")))
    }

    #[test]
    fn a_resumed_training_ends_with_the_same_bits() {
        let recipe = std::collections::BTreeMap::from([("kind", "tiny")]);
        let run =
            |dir: &tempfile::TempDir, resume| Run::start_in(dir.path(), 3, &recipe, resume).expect("run");
        let (whole, cut) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let steps = CHECKPOINT + 60;
        let expected = train(&run(&whole, false), steps, usize::MAX).expect("trains");
        // Stopped 30 steps after the checkpoint: those are done again.
        train(&run(&cut, false), steps, CHECKPOINT + 30).expect_err("stops");
        let resumed = train(&run(&cut, true), steps, usize::MAX).expect("resumes");
        assert_eq!(resumed, expected);
        let metrics =
            |dir: &tempfile::TempDir| std::fs::read_to_string(dir.path().join("metrics.jsonl")).expect("log");
        assert_eq!(metrics(&cut), metrics(&whole));
        // A finished stage is not trained again.
        assert_eq!(train(&run(&cut, true), steps, 0).expect("is done"), expected);
    }
}
