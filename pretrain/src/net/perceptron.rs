//! The student's shape: 2x2 means, then a perceptron with two hidden layers. Trained with batch normalisation, which is
//! folded into the weights afterwards; written as a chain of convolutions, which is what int8 wants.
//!
//! A quantized activation has no sign, so the 2x2 means leave the first convolution twice, as their positive and their
//! negative part, and the first hidden layer takes the difference: 3x28x28 -> 6x14x14 -> h1 -> h2 -> 3.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use glint::au::AU_COUNT;
use glint::student::SIDE;
use serde::{Deserialize, Serialize};

use crate::net::onnx::Graph;
use crate::net::{tensor, values};
use crate::statistics::logistic::Logistic;

/// Inputs after the 2x2 mean.
pub const INPUTS: usize = 3 * (SIDE / 2) * (SIDE / 2);
const EPSILON: f32 = 1e-4;

/// The trainable network.
#[derive(Module, Debug)]
pub struct PerceptronNet<B: Backend> {
    hidden: Vec<Linear<B>>,
    gain: Vec<Param<Tensor<B, 1>>>,
    shift: Vec<Param<Tensor<B, 1>>>,
    class: Linear<B>,
    aus: Linear<B>,
}

impl<B: Backend> PerceptronNet<B> {
    /// Fresh weights; the student has [`INPUTS`] inputs.
    pub fn new(inputs: usize, hidden: [usize; 2], device: &B::Device) -> Self {
        let linear = |from: usize, to: usize| LinearConfig::new(from, to);
        Self {
            hidden: vec![
                linear(inputs, hidden[0]).with_bias(false).init(device),
                linear(hidden[0], hidden[1]).with_bias(false).init(device),
            ],
            gain: hidden.map(|n| Param::from_tensor(Tensor::ones([n], device))).into(),
            shift: hidden.map(|n| Param::from_tensor(Tensor::zeros([n], device))).into(),
            class: linear(hidden[1], 3).init(device),
            aus: linear(hidden[1], AU_COUNT).init(device),
        }
    }

    /// Units of the hidden layers.
    pub fn sizes(&self) -> [usize; 2] {
        [0, 1].map(|l| self.gain[l].val().dims()[0])
    }

    /// Inputs `[n, inputs]` to class logits `[n, 3]` and AU logits `[n, 20]`, normalised over the batch. `masks`: dropout of
    /// each hidden layer, `[n, h]`.
    pub fn forward(&self, mut x: Tensor<B, 2>, masks: [Tensor<B, 2>; 2]) -> (Tensor<B, 2>, Tensor<B, 2>) {
        for (l, mask) in masks.into_iter().enumerate() {
            let z = self.hidden[l].forward(x);
            let centered = z.clone() - z.mean_dim(0);
            let variance = centered.clone().powi_scalar(2).mean_dim(0);
            let unit = centered / (variance + EPSILON).sqrt();
            let h = unit * self.gain[l].val().unsqueeze() + self.shift[l].val().unsqueeze();
            x = relu(h) * mask;
        }
        (self.class.forward(x.clone()), self.aus.forward(x))
    }

    /// The network with the normalisation of `inputs` (row by row) folded into its weights.
    pub fn fold(&self, inputs: &[f32]) -> Perceptron {
        let mut rows: Vec<f32> = inputs.to_vec();
        let mut layers = Vec::new();
        for l in 0..2 {
            let (dims, weight) = values(&self.hidden[l].weight);
            let mut layer = Layer { inputs: dims[0], outputs: dims[1], weight, bias: vec![0.0; dims[1]] };
            let z = layer.apply(&rows);
            let n = z.len() / layer.outputs;
            let ((_, gain), (_, shift)) = (values(&self.gain[l]), values(&self.shift[l]));
            for o in 0..layer.outputs {
                let column = || z.iter().skip(o).step_by(layer.outputs).map(|v| f64::from(*v));
                let mean = column().sum::<f64>() / n as f64;
                let variance = column().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
                let scale = gain[o] / (variance as f32 + EPSILON).sqrt();
                layer.weight.iter_mut().skip(o).step_by(layer.outputs).for_each(|w| *w *= scale);
                layer.bias[o] = shift[o] - scale * mean as f32;
            }
            rows = layer.apply(&rows);
            rows.iter_mut().for_each(|v| *v = v.max(0.0));
            layers.push(layer);
        }
        let head = |linear: &Linear<B>| {
            let (dims, weight) = values(&linear.weight);
            let bias = linear.bias.as_ref().map_or_else(|| vec![0.0; dims[1]], |b| values(b).1);
            Layer { inputs: dims[0], outputs: dims[1], weight, bias }
        };
        Perceptron { layers, class: head(&self.class), aus: head(&self.aus) }
    }
}

/// One linear layer: weight `[inputs, outputs]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Inputs.
    pub inputs: usize,
    /// Outputs.
    pub outputs: usize,
    /// `[inputs, outputs]`, row by row.
    pub weight: Vec<f32>,
    /// One for each output.
    pub bias: Vec<f32>,
}

impl Layer {
    /// The same layer between more inputs and outputs, which have nothing to do with each other.
    fn widened(&self, inputs: usize, outputs: usize) -> Self {
        let mut weight = vec![0.0; inputs * outputs];
        for (to, from) in weight.chunks_exact_mut(outputs).zip(self.weight.chunks_exact(self.outputs)) {
            to[..self.outputs].copy_from_slice(from);
        }
        let mut bias = self.bias.clone();
        bias.resize(outputs, 0.0);
        Self { inputs, outputs, weight, bias }
    }

    /// Outputs of any number of rows.
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(rows.len() / self.inputs * self.outputs);
        let mut sums = vec![0.0f32; self.outputs];
        for row in rows.chunks_exact(self.inputs) {
            sums.copy_from_slice(&self.bias);
            for (x, weights) in row.iter().zip(self.weight.chunks_exact(self.outputs)) {
                sums.iter_mut().zip(weights).for_each(|(s, w)| *s += x * w);
            }
            out.extend_from_slice(&sums);
        }
        out
    }
}

/// The folded network, in plain numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Perceptron {
    /// Hidden layers, ReLU after each.
    pub layers: Vec<Layer>,
    /// Class logits.
    pub class: Layer,
    /// AU logits.
    pub aus: Layer,
}

impl Perceptron {
    /// Whether the layers fit one another and are numbers: for networks read from a file.
    pub fn is_sound(&self) -> bool {
        let is_sound = |l: &Layer| {
            l.weight.len() == l.inputs * l.outputs
                && l.bias.len() == l.outputs
                && l.weight.iter().chain(&l.bias).all(|v| v.is_finite())
        };
        let [first, second] = &self.layers[..] else { return false };
        [first, second, &self.class, &self.aus].into_iter().all(is_sound)
            && first.inputs == INPUTS
            && first.outputs == second.inputs
            && [&self.class, &self.aus].iter().all(|l| l.inputs == second.outputs)
            && self.class.outputs == 3
    }

    /// Activations of the last hidden layer.
    pub fn hidden(&self, rows: &[f32]) -> Vec<f32> {
        self.layers.iter().fold(rows.to_vec(), |x, layer| {
            let mut y = layer.apply(&x);
            y.iter_mut().for_each(|v| *v = v.max(0.0));
            y
        })
    }

    /// Class logits of rows after the 2x2 mean.
    pub fn logits(&self, rows: &[f32]) -> Vec<[f32; 3]> {
        self.class.apply(&self.hidden(rows)).chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect()
    }

    /// Adds `share` times the logits of a linear model of the rows to the class logits. Of each of them two more units of
    /// both hidden layers keep the positive and the negative part, so it stays a perceptron and is exact.
    pub fn add_linear(&mut self, model: &Logistic, share: f32) {
        let [units, last] = [0, 1].map(|l| self.layers[l].outputs);
        let parts = [0, 1, 2].map(|c| [(c, 2 * c, 1.0), (c, 2 * c + 1, -1.0)]);
        let (first, second) = (self.layers[0].inputs, units + 6);
        self.layers[0] = self.layers[0].widened(first, units + 6);
        self.layers[1] = self.layers[1].widened(second, last + 6);
        self.class = self.class.widened(last + 6, 3);
        self.aus = self.aus.widened(last + 6, self.aus.outputs);
        for (c, part, sign) in parts.into_iter().flatten() {
            let (weights, intercept) = model.class(c);
            let layer = &mut self.layers[0];
            layer.bias[units + part] = sign * intercept;
            layer
                .weight
                .iter_mut()
                .skip(units + part)
                .step_by(units + 6)
                .zip(weights)
                .for_each(|(to, w)| *to = sign * w);
            self.layers[1].weight[(units + part) * (last + 6) + last + part] = 1.0;
            self.class.weight[(last + part) * 3 + c] = sign * share;
        }
    }

    /// Parameters of what is shipped: the folded layers and the class head.
    pub fn parameters(&self) -> usize {
        self.layers.iter().chain([&self.class]).map(|l| l.weight.len() + l.bias.len()).sum()
    }

    /// The convolutions of the shipped file: weight `[out, in, k, k]` with its shape, bias, stride.
    pub fn convolutions(&self) -> Vec<Convolution> {
        let half = SIDE / 2;
        // Channel c and c + 3: positive and negative part of the mean of plane c.
        let mut means = vec![0.0; 6 * 3 * 4];
        for c in 0..6 {
            let sign = if c < 3 { 0.25 } else { -0.25 };
            means[(c * 3 + c % 3) * 4..][..4].fill(sign);
        }
        let mut out = vec![Convolution { shape: [6, 3, 2, 2], weight: means, bias: vec![0.0; 6], stride: 2 }];
        for (l, layer) in self.layers.iter().enumerate() {
            let at = |o: usize, i: usize| layer.weight[i * layer.outputs + o];
            let (shape, weight): (_, Vec<f32>) = if l == 0 {
                let plane = half * half;
                let taps = |o: usize| {
                    (0..6 * plane).map(move |i| if i < 3 * plane { at(o, i) } else { -at(o, i - 3 * plane) })
                };
                ([layer.outputs, 6, half, half], (0..layer.outputs).flat_map(taps).collect())
            } else {
                let taps = |o: usize| (0..layer.inputs).map(move |i| at(o, i));
                ([layer.outputs, layer.inputs, 1, 1], (0..layer.outputs).flat_map(taps).collect())
            };
            out.push(Convolution { shape, weight, bias: layer.bias.clone(), stride: 1 });
        }
        out
    }

    /// The ONNX file in f32: input `motion`, output `class` (logits).
    pub fn export(&self) -> Vec<u8> {
        let mut graph = Graph::new("student", "motion", &[1, 3, SIDE, SIDE]);
        let x = self.convolutions().iter().fold("motion".to_owned(), |x, c| {
            let y = graph.conv(&x, (&c.shape, &c.weight), &c.bias, c.stride, 0);
            graph.relu(&y)
        });
        let x = graph.flatten(&x);
        let class = graph.linear(&x, (&[self.class.inputs, 3], &self.class.weight), &self.class.bias);
        graph.output(&class, "class", &[1, 3]);
        graph.finish()
    }
}

/// One convolution without padding, ReLU after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// Outputs, inputs, rows, columns.
    pub shape: [usize; 4],
    /// In the order of `shape`.
    pub weight: Vec<f32>,
    /// One for each output.
    pub bias: Vec<f32>,
    /// Step in both directions.
    pub stride: usize,
}

/// Dropout masks of a batch: 0, or 1 over the share that is kept.
pub fn mask<B: Backend>(
    n: usize,
    h: usize,
    dropout: f32,
    rng: &mut impl rand::Rng,
    device: &B::Device,
) -> Tensor<B, 2> {
    let keep = 1.0 - dropout;
    let values = (0..n * h).map(|_| if rng.random::<f32>() < keep { 1.0 / keep } else { 0.0 }).collect();
    tensor(values, [n, h], device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{generator, normal};
    use crate::train::initialised;
    use burn::backend::Flex;
    use glint::model::Network;
    use glint::student::pool2;

    #[test]
    fn the_folded_file_says_in_tract_what_was_trained() {
        let device = Default::default();
        let net = initialised(1, &device, || PerceptronNet::<Flex>::new(INPUTS, [16, 8], &device));
        let mut rng = generator(2, 3);
        let motions: Vec<Vec<f32>> =
            (0..64).map(|_| (0..3 * SIDE * SIDE).map(|_| normal(&mut rng)).collect()).collect();
        let rows: Vec<f32> = motions.iter().flat_map(|m| pool2(m)).collect();
        let folded = net.fold(&rows);
        // Over the batch that gave the statistics both are the same.
        let ones = [16, 8].map(|h| Tensor::ones([64, h], &device));
        let (class, _) = net.forward(tensor(rows.clone(), [64, INPUTS], &device), ones);
        let trained = class.into_data().to_vec::<f32>().expect("f32");
        let logits = folded.logits(&rows);
        for (a, b) in trained.iter().zip(logits.iter().flatten()) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
        let mut network = Network::new(&folded.export(), &[1, 3, SIDE, SIDE]).expect("own file");
        for (motion, expected) in motions.iter().zip(&logits) {
            let mut output = Vec::new();
            network.run(motion, |_, v| output = v.to_vec()).expect("runs");
            assert!(
                output.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3),
                "{output:?} {expected:?}"
            );
        }
        assert_eq!(folded.parameters(), 588 * 16 + 16 + 16 * 8 + 8 + 8 * 3 + 3);
    }
}
