//! The face detector: a grid of scores and boxes.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::onnx::Graph;
use super::{ConvNet, ConvSpec, conv, export_conv};
use crate::backend::convolution::conv2d;

/// Columns of the network's input.
pub const INPUT_WIDTH: usize = 320;
/// Rows of the network's input.
pub const INPUT_HEIGHT: usize = 240;
/// Input pixels per cell of the output grid.
pub const STRIDE: usize = 16;

/// The trainable network.
#[derive(Module, Debug)]
pub struct DetectorNet<B: Backend> {
    body: ConvNet<B>,
    score: Conv2d<B>,
    bounds: Conv2d<B>,
}

impl<B: Backend> DetectorNet<B> {
    /// 53 MMAC at 320 x 240, 117 k parameters.
    pub fn new(device: &B::Device) -> Self {
        const BODY: [ConvSpec; 8] = [
            ConvSpec(16, 3, 2),
            ConvSpec(16, 3, 2),
            ConvSpec(32, 3, 2),
            ConvSpec(32, 3, 1),
            ConvSpec(48, 3, 2),
            ConvSpec(48, 3, 1),
            ConvSpec(48, 3, 1),
            ConvSpec(48, 3, 1),
        ];
        Self {
            body: ConvNet::new(1, &BODY, device),
            score: conv(48, ConvSpec(1, 1, 1), device),
            bounds: conv(48, ConvSpec(4, 1, 1), device),
        }
    }

    /// Images `[n, 1, h, w]` to score logits `[n, 1, h / 16, w / 16]` and boxes `[n, 4, h / 16, w / 16]`.
    pub fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 4>) {
        let x = self.body.forward(x);
        (conv2d(&self.score, x.clone()), conv2d(&self.bounds, x))
    }

    /// The ONNX file: outputs `score_16` (probability) and `box_16`.
    pub fn export(&self) -> Vec<u8> {
        let (rows, columns) = (INPUT_HEIGHT / STRIDE, INPUT_WIDTH / STRIDE);
        let mut graph = Graph::new("detector", "image", &[1, 1, INPUT_HEIGHT, INPUT_WIDTH]);
        let x = self.body.export(&mut graph, "image");
        let score = export_conv(&mut graph, &self.score, &x);
        let score = graph.sigmoid(&score);
        let bounds = export_conv(&mut graph, &self.bounds, &x);
        graph.output(&score, &format!("score_{STRIDE}"), &[1, 1, rows, columns]);
        graph.output(&bounds, &format!("box_{STRIDE}"), &[1, 4, rows, columns]);
        graph.finish()
    }
}
