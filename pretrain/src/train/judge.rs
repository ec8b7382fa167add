//! The network that learns what a candidate is.

use anyhow::{Result, ensure};
use burn::module::{AutodiffModule, Module};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::backend::Backend;
use glint::model::{Checked, FileSpec, Spec, sha256_hex};
use glint::spot::{CLIP, Cause, Judge, JudgeSpec, MEASURES, Measures, NAMES};
use rand::Rng;

use super::{Schedule, fit, initialised};
use crate::augment::{generator, normal};
use crate::backend::{Cpu, CpuTrain};
use crate::net::tensor;
use crate::run::Run;

/// Networks whose outputs are averaged: one alone takes a few candidates for another thing by chance of its seed.
const MEMBERS: usize = 4;
/// Units of the hidden layers of a member.
const MEMBER: [usize; 2] = [32, 16];
/// Units of the hidden layers of the judge: its members beside each other.
pub const HIDDEN: [usize; 2] = [MEMBERS * MEMBER[0], MEMBERS * MEMBER[1]];
/// Standard deviation of what is added to each standardised measure: another world measures otherwise. The most that costs
/// nothing in this one.
const JITTER: f32 = 0.5;
/// Share of the measures that are blanked out in a draw, each by itself.
const BLANK: f64 = 0.25;

/// A candidate that the judge learns from.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is known of it.
    pub measures: Measures,
    /// What it was.
    pub cause: Cause,
}

/// A judge that knows nothing and lets nothing pass.
pub fn untrained() -> Checked<JudgeSpec> {
    let scales = MEASURES..2 * MEASURES;
    let numbers = (0..Judge::numbers(HIDDEN)).map(|k| f32::from(u8::from(scales.contains(&k))));
    let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
    let sha256 = sha256_hex(&bytes);
    let file = FileSpec {
        kind: JudgeSpec::KIND.into(),
        file: "judge.bin".into(),
        sha256: sha256.clone(),
        made_by: String::new(),
    };
    let spec = JudgeSpec { file, hidden: HIDDEN, threshold: 1.0, measures: NAMES.map(str::to_owned).into() };
    Checked { path: "judge.toml".into(), spec, sha256, bytes: bytes.into() }
}

/// The judge of such numbers. Before it is trained all are zero: scales of nothing are ones.
pub fn judge(numbers: &[f32], threshold: f32) -> Judge {
    let mut numbers = numbers.to_vec();
    numbers[MEASURES..2 * MEASURES].iter_mut().filter(|s| **s <= 0.0).for_each(|s| *s = 1.0);
    Judge::new(HIDDEN, threshold, &numbers)
}

/// The network in burn.
#[derive(Module, Debug)]
pub struct Net<B: Backend> {
    layers: Vec<Linear<B>>,
}

impl<B: Backend> Net<B> {
    fn new(device: &B::Device) -> Self {
        let sizes = [MEASURES, MEMBER[0], MEMBER[1], Cause::ALL.len()];
        Self { layers: sizes.windows(2).map(|s| LinearConfig::new(s[0], s[1]).init(device)).collect() }
    }

    fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().fold(x, |x, (k, layer)| {
            let y = layer.forward(x);
            if k < last { relu(y) } else { y }
        })
    }
}

/// Trains on `cases`; the numbers of `glint::spot::Judge` come back.
pub fn train(cases: &[Case], schedule: &Schedule, seed: u64, run: &Run) -> Result<Vec<f32>> {
    ensure!(cases.len() >= schedule.batch, "{} candidates; at least {}", cases.len(), schedule.batch);
    let device = Default::default();
    let n = cases.len() as f64;
    let mean: Vec<f32> = (0..MEASURES)
        .map(|k| (cases.iter().map(|c| f64::from(c.measures[k])).sum::<f64>() / n) as f32)
        .collect();
    let scale: Vec<f32> = (0..MEASURES)
        .map(|k| {
            let squares = cases.iter().map(|c| f64::from(c.measures[k] - mean[k]).powi(2)).sum::<f64>();
            (squares / n).sqrt() as f32 + 1e-4
        })
        .collect();
    // Rare causes are drawn more often than they occur: by the root of their number.
    let by_cause =
        Cause::ALL.map(|cause| (0..cases.len()).filter(|&i| cases[i].cause == cause).collect::<Vec<_>>());
    let weights = by_cause.each_ref().map(|indices| (indices.len() as f64).sqrt());
    let mut members = Vec::with_capacity(MEMBERS);
    for member in 0..MEMBERS as u64 {
        let seed = seed.wrapping_mul(MEMBERS as u64).wrapping_add(member);
        let net = initialised(seed, &device, || Net::<CpuTrain>::new(&device));
        let batch = schedule.batch;
        let net = fit(net, "judge", schedule, run, |net, step| {
            let mut rng = generator(seed ^ 0x6a75, step as u64);
            let (mut x, mut y) = (Vec::with_capacity(batch * MEASURES), vec![0.0; batch * Cause::ALL.len()]);
            for row in 0..batch {
                let mut left = rng.random_range(0.0..weights.iter().sum::<f64>());
                let drawn = weights
                    .iter()
                    .position(|w| {
                        left -= w;
                        left < 0.0
                    })
                    .unwrap_or(0);
                let case = &cases[by_cause[drawn][rng.random_range(0..by_cause[drawn].len())]];
                x.extend(case.measures.iter().zip(&mean).zip(&scale).map(|((m, mean), scale)| {
                    let blank = rng.random_bool(BLANK);
                    let v = ((m - mean) / scale).clamp(-CLIP, CLIP) + JITTER * normal(&mut rng);
                    if blank { 0.0 } else { v }
                }));
                y[row * Cause::ALL.len() + case.cause as usize] = 1.0;
            }
            let logits = net.forward(tensor(x, [batch, MEASURES], &device));
            let y: Tensor<CpuTrain, 2> = tensor(y, [batch, Cause::ALL.len()], &device);
            -(log_softmax(logits, 1) * y).sum() / (batch as f32)
        })?;
        members.push(layers(&net.valid()));
    }
    let mut out = [mean, scale].concat();
    out.extend(beside_each_other(&members));
    Ok(out)
}

/// A layer's weights by output, and its biases.
type Layer = (Vec<f32>, Vec<f32>);

fn layers(net: &Net<Cpu>) -> Vec<Layer> {
    let layer = |layer: &Linear<Cpu>| {
        // burn keeps `[inputs, outputs]`.
        let weight = layer.weight.val().transpose().into_data().to_vec::<f32>();
        let bias = layer.bias.as_ref().map(|b| b.val().into_data().to_vec::<f32>().unwrap_or_default());
        (weight.unwrap_or_default(), bias.unwrap_or_default())
    };
    net.layers.iter().map(layer).collect()
}

/// One network that answers with the mean of its members' outputs: all see the measures, none sees another one's units.
/// Weights and biases of each layer in the order of [`Judge::new`].
fn beside_each_other(members: &[Vec<Layer>]) -> Vec<f32> {
    let share = 1.0 / members.len() as f32;
    let mut out = Vec::new();
    // First layer: the same inputs.
    for part in [|l: &Layer| l.0.clone(), |l: &Layer| l.1.clone()] {
        members.iter().for_each(|m| out.extend(part(&m[0])));
    }
    // Second layer: each member's own inputs.
    for (k, member) in members.iter().enumerate() {
        for row in member[1].0.chunks_exact(MEMBER[0]) {
            let mut wide = vec![0.0; members.len() * MEMBER[0]];
            wide[k * MEMBER[0]..][..MEMBER[0]].copy_from_slice(row);
            out.extend(wide);
        }
    }
    members.iter().for_each(|m| out.extend(&m[1].1));
    // Last layer: the mean.
    for cause in 0..Cause::ALL.len() {
        for member in members {
            out.extend(member[2].0[cause * MEMBER[1]..][..MEMBER[1]].iter().map(|w| share * w));
        }
    }
    for cause in 0..Cause::ALL.len() {
        out.push(share * members.iter().map(|m| m[2].1[cause]).sum::<f32>());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::normal;

    #[test]
    fn members_beside_each_other_answer_with_their_mean() {
        let mut rng = generator(1, 1);
        let sizes = [MEASURES, MEMBER[0], MEMBER[1], Cause::ALL.len()];
        let mut random = |n: usize| (0..n).map(|_| 0.3 * normal(&mut rng)).collect::<Vec<f32>>();
        let members: Vec<Vec<Layer>> = (0..MEMBERS)
            .map(|_| sizes.windows(2).map(|s| (random(s[0] * s[1]), random(s[1]))).collect())
            .collect();
        let measures: Measures = std::array::from_fn(|k| (k as f32).sin());
        // Logarithms of likelihoods are the outputs but for a number that all causes share.
        let answer = |hidden, layers: Vec<f32>| {
            let numbers = [vec![0.0; MEASURES], vec![1.0; MEASURES], layers].concat();
            let l = Judge::new(hidden, 0.5, &numbers).likelihoods(&measures).map(f32::ln);
            let mean = l.iter().sum::<f32>() / l.len() as f32;
            l.map(|v| v - mean)
        };
        let alone: Vec<_> = members
            .iter()
            .map(|m| answer(MEMBER, m.iter().flat_map(|l| [l.0.clone(), l.1.clone()].concat()).collect()))
            .collect();
        let together = answer(HIDDEN, beside_each_other(&members));
        for (k, v) in together.iter().enumerate() {
            let mean = alone.iter().map(|a| a[k]).sum::<f32>() / MEMBERS as f32;
            assert!((v - mean).abs() < 1e-4, "{v} {mean}");
        }
    }
}
