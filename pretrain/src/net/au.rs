//! The AU network.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use glint::au::UNIT_COUNT;
use glint::intensity::FEATURES;

use super::layer_numbers;
use crate::backend::Cpu;

/// Units of the hidden layer.
pub const HIDDEN: usize = 512;

/// Two linear layers, ReLU between them.
#[derive(Module, Debug)]
pub struct AuNetwork<B: Backend> {
    first: Linear<B>,
    second: Linear<B>,
}

impl<B: Backend> AuNetwork<B> {
    /// With random weights.
    pub fn new(device: &B::Device) -> Self {
        Self {
            first: LinearConfig::new(FEATURES, HIDDEN).init(device),
            second: LinearConfig::new(HIDDEN, UNIT_COUNT).init(device),
        }
    }

    /// `[n, FEATURES]`, scaled -> intensities `[n, UNIT_COUNT]`.
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.second.forward(relu(self.first.forward(x)))
    }
}

impl AuNetwork<Cpu> {
    /// Weights and biases, layer by layer, in the order of `glint::intensity::AuNet`.
    pub fn numbers(&self) -> Vec<f32> {
        [&self.first, &self.second]
            .map(|layer| {
                let (weight, bias) = layer_numbers(layer);
                [weight, bias].concat()
            })
            .concat()
    }
}
