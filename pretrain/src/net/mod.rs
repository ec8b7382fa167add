//! The network shapes, in burn, and their export to ONNX. This file has the layers and losses that they share.
//!
//! | module | meaning |
//! |---|---|
//! | [`detector`] | the face detector |
//! | [`landmarks`] | the landmark network |
//! | [`au`] | the AU network |
//! | [`judge`] | the network of the spotter's judge |
//! | [`perceptron`] | the student's shape: trained, folded, exported |
//! | [`onnx`] | ONNX graphs written one layer a call |

pub mod au;
pub mod detector;
pub mod judge;
pub mod landmarks;
pub mod onnx;
pub mod perceptron;

use burn::module::{Initializer, Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, PaddingConfig2d};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

use crate::backend::Cpu;
use crate::backend::convolution::conv2d;
use onnx::Graph;

/// One convolution of a [`ConvNet`]: outputs, kernel side, stride. Padding keeps the size.
#[derive(Debug, Clone, Copy)]
pub struct ConvSpec(pub usize, pub usize, pub usize);

/// Convolutions with ReLU after each.
#[derive(Module, Debug)]
pub struct ConvNet<B: Backend> {
    convs: Vec<Conv2d<B>>,
}

fn conv<B: Backend>(inputs: usize, spec: ConvSpec, device: &B::Device) -> Conv2d<B> {
    let ConvSpec(outputs, side, stride) = spec;
    let pad = side / 2;
    Conv2dConfig::new([inputs, outputs], [side, side])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        // He et al. 2015: without normalisation a stack of ReLUs needs it to pass its signal on.
        .with_initializer(Initializer::KaimingUniform { gain: std::f64::consts::SQRT_2, fan_out_only: false })
        .init(device)
}

impl<B: Backend> ConvNet<B> {
    /// Convolutions one after the other, from `inputs` channels.
    pub fn new(mut inputs: usize, specs: &[ConvSpec], device: &B::Device) -> Self {
        let convs = specs
            .iter()
            .map(|&spec| {
                let layer = conv(inputs, spec, device);
                inputs = spec.0;
                layer
            })
            .collect();
        Self { convs }
    }

    /// `[n, c, h, w] -> [n, c', h', w']`.
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        self.convs.iter().fold(x, |x, c| relu(conv2d(c, x)))
    }

    fn export(&self, graph: &mut Graph, x: &str) -> String {
        self.convs.iter().fold(x.to_owned(), |x, c| {
            let y = export_conv(graph, c, &x);
            graph.relu(&y)
        })
    }
}

pub(crate) fn values<B: Backend, const D: usize>(p: &Param<Tensor<B, D>>) -> (Vec<usize>, Vec<f32>) {
    let data = p.val().into_data();
    // Parameters of f32 backends are f32.
    (data.shape.to_vec(), data.to_vec::<f32>().unwrap_or_default())
}

fn bias_or_zero<B: Backend>(p: &Option<Param<Tensor<B, 1>>>, outputs: usize) -> Vec<f32> {
    p.as_ref().map_or_else(|| vec![0.0; outputs], |b| values(b).1)
}

fn export_conv<B: Backend>(graph: &mut Graph, c: &Conv2d<B>, x: &str) -> String {
    let (dims, weight) = values(&c.weight);
    let bias = bias_or_zero(&c.bias, dims[0]);
    graph.conv(x, (&dims, &weight), &bias, c.stride[0], c.kernel_size[0] / 2)
}

fn export_linear<B: Backend>(graph: &mut Graph, l: &Linear<B>, x: &str) -> String {
    let (dims, weight) = values(&l.weight);
    let bias = bias_or_zero(&l.bias, dims[1]);
    graph.linear(x, (&dims, &weight), &bias)
}

/// A linear layer's weights by output, and its biases.
pub type Layer = (Vec<f32>, Vec<f32>);

/// The numbers of a trained layer.
fn layer_numbers(layer: &Linear<Cpu>) -> Layer {
    // burn keeps `[inputs, outputs]`. Parameters of f32 backends are f32.
    let weight = layer.weight.val().transpose().into_data().to_vec::<f32>();
    let bias = layer.bias.as_ref().map(|b| b.val().into_data().to_vec::<f32>().unwrap_or_default());
    (weight.unwrap_or_default(), bias.unwrap_or_default())
}

/// A batch of `f32` rows as a tensor.
pub fn tensor<B: Backend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Mean binary cross-entropy of logits, computed without overflow, each element weighted.
pub fn binary_cross_entropy<B: Backend, const D: usize>(
    logits: Tensor<B, D>,
    target: Tensor<B, D>,
    weight: Tensor<B, D>,
) -> Tensor<B, 1> {
    let positive = logits.clone().clamp_min(0.0);
    let soft = (logits.clone().abs().neg().exp() + 1.0).log();
    ((positive - logits * target + soft) * weight).mean()
}

/// Focal loss of logits (Lin et al. 2017, gamma 2): easy cells of the background count little.
pub fn focal<B: Backend, const D: usize>(
    logits: Tensor<B, D>,
    target: Tensor<B, D>,
    weight: Tensor<B, D>,
) -> Tensor<B, 1> {
    let p = sigmoid(logits.clone()).detach();
    let miss = (p - target.clone()).powi_scalar(2);
    binary_cross_entropy(logits, target, miss * weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::detector::DetectorNet;
    use crate::net::landmarks::LandmarksNet;
    use crate::train::initialised;
    use burn::backend::Flex;
    use glint::model::Network;

    fn ramp(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect()
    }

    fn tract(onnx: &[u8], shape: &[usize], input: &[f32]) -> Vec<Vec<f32>> {
        let mut network = Network::new(onnx, shape).expect("own file");
        let mut outputs = Vec::new();
        network.run(input, |_, values| outputs.push(values.to_vec())).expect("own shape");
        outputs
    }

    fn assert_near(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).abs() < 1e-4 * (1.0 + x.abs()), "{x} and {y}");
        }
    }

    #[test]
    fn tract_runs_what_burn_trained() {
        let device = Default::default();
        let image = ramp(64 * 64);
        let net = initialised(1, &device, || LandmarksNet::<Flex>::new(&device));
        let (points, face) = net.forward(tensor(image.clone(), [1, 1, 64, 64], &device));
        let mut expected = points.into_data().to_vec::<f32>().expect("f32");
        expected.extend(sigmoid(face).into_data().to_vec::<f32>().expect("f32"));
        assert_near(&tract(&net.export(), &[1, 1, 64, 64], &image)[0], &expected);

        let image = ramp(240 * 320);
        let net = initialised(1, &device, || DetectorNet::<Flex>::new(&device));
        let (score, bounds) = net.forward(tensor(image.clone(), [1, 1, 240, 320], &device));
        let outputs = tract(&net.export(), &[1, 1, 240, 320], &image);
        assert_near(&outputs[0], &sigmoid(score).into_data().to_vec::<f32>().expect("f32"));
        assert_near(&outputs[1], &bounds.into_data().to_vec::<f32>().expect("f32"));
    }
}
