//! The network of the spotter's judge: several small ones beside each other, as `glint::spot::Judge` runs them.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use glint::spot::{Cause, MEASURES};

use super::{Layer, layer_numbers};
use crate::backend::Cpu;

/// Networks whose outputs are averaged: one alone takes a few candidates for another thing by chance of its seed.
pub const MEMBERS: usize = 4;
/// Units of the hidden layers of a member.
pub const MEMBER: [usize; 2] = [32, 16];
/// Units of the hidden layers of the judge: its members beside each other.
pub const HIDDEN: [usize; 2] = [MEMBERS * MEMBER[0], MEMBERS * MEMBER[1]];

/// One member in burn.
#[derive(Module, Debug)]
pub struct JudgeMember<B: Backend> {
    layers: Vec<Linear<B>>,
}

impl<B: Backend> JudgeMember<B> {
    /// With random weights.
    pub fn new(device: &B::Device) -> Self {
        let sizes = [MEASURES, MEMBER[0], MEMBER[1], Cause::ALL.len()];
        Self { layers: sizes.windows(2).map(|s| LinearConfig::new(s[0], s[1]).init(device)).collect() }
    }

    /// `[n, MEASURES]`, standardised -> logits of the causes.
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().fold(x, |x, (k, layer)| {
            let y = layer.forward(x);
            if k < last { relu(y) } else { y }
        })
    }
}

impl JudgeMember<Cpu> {
    /// Its layers, the first one first.
    pub fn layers(&self) -> Vec<Layer> {
        self.layers.iter().map(layer_numbers).collect()
    }
}

/// One network that answers with the mean of its members' outputs: all see the measures, none sees another one's units.
/// Weights and biases of each layer in the order of [`glint::spot::Judge::new`].
pub fn beside_each_other(members: &[Vec<Layer>]) -> Vec<f32> {
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
    use crate::augment::{generator, normal};
    use glint::spot::{Judge, Measures};

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
