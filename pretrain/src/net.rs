//! The network shapes, in burn, and their export to ONNX.

use burn::module::{Initializer, Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

use crate::convolution::conv2d;
use crate::onnx::Graph;

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

/// The face detector: a grid of scores and boxes.
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
        use crate::train::detector::{INPUT_HEIGHT, INPUT_WIDTH, STRIDE};
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

/// The landmark network: 68 points and a face logit.
#[derive(Module, Debug)]
pub struct LandmarksNet<B: Backend> {
    body: ConvNet<B>,
    points: Linear<B>,
    face: Linear<B>,
}

impl<B: Backend> LandmarksNet<B> {
    /// 13 MMAC at 64 x 64, 436 k parameters.
    pub fn new(device: &B::Device) -> Self {
        const BODY: [ConvSpec; 7] = [
            ConvSpec(16, 3, 2),
            ConvSpec(32, 3, 2),
            ConvSpec(32, 3, 1),
            ConvSpec(80, 3, 2),
            ConvSpec(80, 3, 1),
            ConvSpec(80, 3, 1),
            ConvSpec(32, 1, 1),
        ];
        let points = 2 * glint::face::landmarks::LANDMARK_COUNT;
        Self {
            body: ConvNet::new(1, &BODY, device),
            points: LinearConfig::new(32 * 64, points).init(device),
            face: LinearConfig::new(32 * 64, 1).init(device),
        }
    }

    /// Images `[n, 1, 64, 64]` to points `[n, 136]` (x, y in half sides about the centre) and face
    /// logits `[n, 1]`.
    pub fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let x: Tensor<B, 2> = self.body.forward(x).flatten(1, 3);
        (self.points.forward(x.clone()), self.face.forward(x))
    }

    /// The ONNX file: one output `landmarks`, the points and then the face's probability.
    pub fn export(&self) -> Vec<u8> {
        use glint::face::landmarks::{INPUT_SIDE, LANDMARK_COUNT};
        let mut graph = Graph::new("landmarks", "image", &[1, 1, INPUT_SIDE, INPUT_SIDE]);
        let x = self.body.export(&mut graph, "image");
        let x = graph.flatten(&x);
        let points = export_linear(&mut graph, &self.points, &x);
        let face = export_linear(&mut graph, &self.face, &x);
        let face = graph.sigmoid(&face);
        let all = graph.concat(&[&points, &face], 1);
        graph.output(&all, "landmarks", &[1, 2 * LANDMARK_COUNT + 1]);
        graph.finish()
    }
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
        let found = tract(&net.export(), &[1, 1, 240, 320], &image);
        assert_near(&found[0], &sigmoid(score).into_data().to_vec::<f32>().expect("f32"));
        assert_near(&found[1], &bounds.into_data().to_vec::<f32>().expect("f32"));
    }
}
