//! Fine-tuning: encoders and a linear head on labels, one fixed schedule, the last step counts.

use anyhow::Result;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamWConfig, GradientsParams, Optimizer};
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use burn::tensor::backend::{AutodiffBackend, Backend};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::encoder::Encoder;
use super::recipe::ViewEncoding;
use super::views::mirror;
use crate::augment::{generator, normal};
use crate::net::tensor;

/// What fine-tuning fixes beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// Optimiser steps.
    pub steps: usize,
    /// Samples a step, each class as often as the others.
    pub batch: usize,
    /// Peak learning rate of AdamW.
    pub rate: f64,
    /// Decoupled weight decay.
    pub decay: f32,
    /// Standard deviation of the noise on the inputs, whose channels have an RMS of 1.
    pub noise: f32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { steps: 200, batch: 64, rate: 1e-3, decay: 1e-2, noise: 0.3 }
    }
}

/// One or two encoders and a linear layer on their features.
#[derive(Module, Debug)]
pub struct Classifier<B: Backend> {
    encoders: Vec<Encoder<B>>,
    head: Linear<B>,
}

impl<B: Backend> Classifier<B> {
    /// Encoders with a fresh head.
    pub fn new(encoders: Vec<Encoder<B>>, features: usize, classes: usize, device: &B::Device) -> Self {
        Self { encoders, head: LinearConfig::new(features, classes).init(device) }
    }

    /// Views (one a encoder) to logits.
    pub fn forward(&self, views: Vec<Tensor<B, 4>>) -> Tensor<B, 2> {
        let features = self.encoders.iter().zip(views).map(|(e, x)| e.forward(x)).collect();
        self.head.forward(Tensor::cat(features, 1))
    }
}

/// Views of labelled samples: one list a side, each row a view.
pub struct Samples<'a> {
    /// Views and encoders.
    pub sides: Vec<ViewEncoding>,
    /// `rows[side][sample]`.
    pub rows: Vec<Vec<&'a [f32]>>,
    /// Classes.
    pub classes: Vec<usize>,
}

impl Samples<'_> {
    fn tensors<B: Backend>(
        &self,
        picks: &[usize],
        mut change: impl FnMut(usize, &ViewEncoding, &mut [f32]),
        device: &B::Device,
    ) -> Vec<Tensor<B, 4>> {
        let of_side = |(side, rows): (&ViewEncoding, &Vec<&[f32]>)| {
            let mut flat = Vec::new();
            for (k, &i) in picks.iter().enumerate() {
                let from = flat.len();
                flat.extend_from_slice(rows[i]);
                change(k, side, &mut flat[from..]);
            }
            let [c, h, w] = side.shape();
            tensor(flat, [picks.len(), c, h, w], device)
        };
        self.sides.iter().zip(&self.rows).map(of_side).collect()
    }
}

/// Trains a classifier on samples: balanced batches, both views mirrored together, noise on the inputs.
pub fn train<B: AutodiffBackend>(
    mut model: Classifier<B>,
    samples: &Samples<'_>,
    count: usize,
    tuning: &Tuning,
    seed: u64,
    device: &B::Device,
) -> Result<Classifier<B>> {
    let by_class: Vec<Vec<usize>> = (0..count)
        .map(|c| (0..samples.classes.len()).filter(|&i| samples.classes[i] == c).collect::<Vec<_>>())
        .filter(|v| !v.is_empty())
        .collect();
    let schedule = crate::train::Schedule {
        steps: tuning.steps,
        batch: tuning.batch,
        learning_rate: tuning.rate,
        weight_decay: tuning.decay,
    };
    let mut optimiser = AdamWConfig::new().with_weight_decay(tuning.decay).init();
    for step in 0..tuning.steps {
        let mut rng = generator(seed, step as u64);
        let picks: Vec<usize> = (0..tuning.batch)
            .map(|_| {
                let members = &by_class[rng.random_range(0..by_class.len())];
                members[rng.random_range(0..members.len())]
            })
            .collect();
        let flips: Vec<bool> = picks.iter().map(|_| rng.random()).collect();
        let inputs = samples.tensors::<B>(
            &picks,
            |k, side, row| {
                if flips[k] {
                    mirror(side.view, side.shape(), row);
                }
                row.iter_mut().for_each(|v| *v += tuning.noise * normal(&mut rng));
            },
            device,
        );
        let mut wanted = vec![0.0; picks.len() * count];
        picks.iter().enumerate().for_each(|(k, &i)| wanted[k * count + samples.classes[i]] = 1.0);
        let wanted = tensor::<B, 2>(wanted, [picks.len(), count], device);
        let loss = (log_softmax(model.forward(inputs), 1) * wanted).sum().neg() / picks.len() as f32;
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimiser.step(schedule.rate(step), model, gradients);
    }
    Ok(model)
}

/// The most likely class of each sample: the mean over it and its mirror image.
pub fn predict<B: Backend>(model: &Classifier<B>, samples: &Samples<'_>, device: &B::Device) -> Vec<usize> {
    let all: Vec<usize> = (0..samples.classes.len()).collect();
    let mut out = Vec::new();
    for picks in all.chunks(256) {
        let plain = model.forward(samples.tensors(picks, |_, _, _| {}, device));
        let turned = |_: usize, side: &ViewEncoding, row: &mut [f32]| mirror(side.view, side.shape(), row);
        let mirrored = model.forward(samples.tensors(picks, turned, device));
        let width = plain.dims()[1];
        let sum = (log_softmax(plain, 1) + log_softmax(mirrored, 1)).into_data().convert::<f32>();
        for row in sum.to_vec::<f32>().unwrap_or_default().chunks_exact(width) {
            out.push((0..width).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::CpuTrain;
    use crate::contrast::shape::EncoderShape;
    use crate::contrast::views::View;
    use crate::train::initialised;
    use burn::module::AutodiffModule;

    #[test]
    fn two_views_are_learned_and_repeat() {
        let shape = EncoderShape::Perceptron { layers: vec![16] };
        let side = |view| ViewEncoding { view, reduce: 4, encoder: shape.clone() };
        let sides = vec![side(View::Motion), side(View::Appearance)];
        // The class stands in the sign of the upper rows of one view.
        let mut rng = generator(3, 0);
        let make = |size: usize, class: usize, rng: &mut _| -> Vec<f32> {
            let sign = if class == 0 { 1.0 } else { -1.0 };
            (0..size).map(|i| normal(rng) + if i > size / 2 { sign } else { 0.0 }).collect()
        };
        let classes: Vec<usize> = (0..60).map(|i| i % 2).collect();
        let rows: Vec<Vec<Vec<f32>>> = sides
            .iter()
            .map(|s| classes.iter().map(|c| make(s.shape().iter().product(), *c, &mut rng)).collect())
            .collect();
        let rows: Vec<Vec<&[f32]>> = rows.iter().map(|r| r.iter().map(Vec::as_slice).collect()).collect();
        let samples = Samples { sides: sides.clone(), rows, classes: classes.clone() };
        let device = Default::default();
        let tuning = Tuning { steps: 30, batch: 32, ..Tuning::default() };
        let run = || {
            let model = initialised(1, &device, || {
                let encoders =
                    sides.iter().map(|s| Encoder::<CpuTrain>::new(&s.encoder, s.shape(), &device)).collect();
                Classifier::new(encoders, 32, 2, &device)
            });
            let model = train(model, &samples, 2, &tuning, 7, &device).expect("trains").valid();
            predict(&model, &samples, &device)
        };
        let predicted = run();
        let right = predicted.iter().zip(&classes).filter(|(a, b)| a == b).count();
        assert!(right >= 55, "{right} of 60");
        assert_eq!(run(), predicted);
    }
}
