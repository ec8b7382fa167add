//! The training loop, and what each network is trained on.

pub mod detector;
pub mod landmarks;
pub mod student;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule;
use burn::optim::{AdamWConfig, GradientsParams, Optimizer};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

/// The CPU backend, for inference.
pub type Cpu = Flex;
/// The CPU backend with gradients.
pub type CpuTrain = Autodiff<Flex>;

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

/// Runs a schedule: `loss(model, step)` gives the loss of a step. Metrics go to `metrics` as JSON lines.
pub fn fit<M>(
    mut model: M,
    schedule: &Schedule,
    metrics: &Path,
    mut loss: impl FnMut(&M, usize) -> Tensor<CpuTrain, 1>,
) -> Result<M>
where
    M: AutodiffModule<CpuTrain>,
{
    let mut log = std::fs::File::create(metrics).with_context(|| metrics.display().to_string())?;
    let mut optimiser = AdamWConfig::new().with_weight_decay(schedule.weight_decay).init();
    let bar = ProgressBar::new(schedule.steps as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {eta} {msg}").context("progress bar")?);
    let mut mean = None;
    for step in 0..schedule.steps {
        let value = loss(&model, step);
        let scalar = value.clone().into_scalar();
        anyhow::ensure!(scalar.is_finite(), "the loss of step {step} is {scalar}: lower the learning rate");
        let gradients = GradientsParams::from_grads(value.backward(), &model);
        model = optimiser.step(schedule.rate(step), model, gradients);
        let smooth = mean.map_or(scalar, |m: f32| m + 0.02 * (scalar - m));
        mean = Some(smooth);
        if step % 20 == 0 || step + 1 == schedule.steps {
            writeln!(log, "{{\"step\":{step},\"loss\":{scalar:.6},\"mean\":{smooth:.6}}}")?;
            bar.set_message(format!("loss {smooth:.4}"));
        }
        bar.inc(1);
    }
    bar.finish();
    Ok(model)
}

/// Fixes what burn draws by itself: initial weights and dropout.
pub fn seed(seed: u64) {
    Cpu::seed(&Default::default(), seed);
}
