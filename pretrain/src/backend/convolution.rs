//! Convolutions of a training step on the CPU.
//!
//! The framework's CPU backend unfolds the patches of a whole batch, and its gradients walk them element by element: more
//! than half of a training step. Here a few samples at a time are unfolded row by row, so few that they stay in the cache,
//! and multiplied by the framework's own matrix product. Other backends keep their own convolution.

use std::any::Any;
use std::ops::Range;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorData, TensorPrimitive};
use rayon::prelude::*;

use super::{Cpu, CpuTrain};

/// Numbers that are unfolded at a time: 1 MiB. How a batch is cut depends on shapes alone, so results do not depend on the
/// number of threads.
const UNFOLDED: usize = 1 << 18;

/// What `layer.forward(x)` is: `[n, c, h, w]` to `[n, c', h', w']`.
pub(crate) fn conv2d<B: Backend>(layer: &Conv2d<B>, x: Tensor<B, 4>) -> Tensor<B, 4> {
    let Some(geometry) = Geometry::from_layer(layer, &x) else { return layer.forward(x) };
    let weight = layer.weight.val();
    let bias =
        layer.bias.as_ref().map_or_else(|| Tensor::zeros([geometry.outputs], &x.device()), |b| b.val());
    // Models are generic over their backend; which one it is shows at run time.
    let (any_x, any_weight, any_bias): (&dyn Any, &dyn Any, &dyn Any) = (&x, &weight, &bias);
    let mut y: Option<Box<dyn Any>> = None;
    if let (Some(x), Some(w), Some(b)) =
        (any_x.downcast_ref(), any_weight.downcast_ref(), any_bias.downcast_ref())
    {
        y = Some(Box::new(geometry.tracked(x, w, b)));
    } else if let (Some(x), Some(w), Some(b)) =
        (any_x.downcast_ref(), any_weight.downcast_ref(), any_bias.downcast_ref())
    {
        y = Some(Box::new(geometry.inferred(x, w, b)));
    }
    match y.and_then(|y| y.downcast::<Tensor<B, 4>>().ok()) {
        Some(y) => *y,
        None => layer.forward(x),
    }
}

fn primitive<B: Backend, const D: usize>(tensor: &Tensor<B, D>) -> FloatTensor<B> {
    tensor.clone().into_primitive().tensor()
}

fn from_primitive<B: Backend, const D: usize>(tensor: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}

/// A matrix of the CPU backend.
fn matrix(values: Vec<f32>, shape: [usize; 2]) -> Tensor<Cpu, 2> {
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

fn values<const D: usize>(tensor: Tensor<Cpu, D>) -> Vec<f32> {
    // The backend's numbers are f32.
    tensor.into_data().into_vec().unwrap_or_default()
}

/// Shapes of one convolution.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    samples: usize,
    inputs: usize,
    outputs: usize,
    /// Rows and columns of the input.
    from: [usize; 2],
    /// Rows and columns of the output.
    to: [usize; 2],
    side: usize,
    stride: usize,
    pad: usize,
}

impl Geometry {
    /// That of a layer with one side, stride and padding for both directions.
    fn from_layer<B: Backend>(layer: &Conv2d<B>, x: &Tensor<B, 4>) -> Option<Self> {
        let PaddingConfig2d::Explicit(pad, left, bottom, right) = layer.padding else { return None };
        let ([side, width], [stride, across]) = (layer.kernel_size, layer.stride);
        let even = side == width && stride == across && [left, bottom, right] == [pad; 3];
        let [samples, inputs, rows, columns] = x.dims();
        let fits = samples > 0 && rows + 2 * pad >= side && columns + 2 * pad >= side;
        (even && fits && layer.groups == 1 && layer.dilation == [1, 1]).then(|| Self {
            samples,
            inputs,
            outputs: layer.weight.dims()[0],
            from: [rows, columns],
            to: [rows, columns].map(|n| (n + 2 * pad - side) / stride + 1),
            side,
            stride,
            pad,
        })
    }

    /// Places of the output.
    fn places(&self) -> usize {
        self.to[0] * self.to[1]
    }

    /// Weights of one output.
    fn taps(&self) -> usize {
        self.inputs * self.side * self.side
    }

    /// Numbers of a sample's input.
    fn input(&self) -> usize {
        self.inputs * self.from[0] * self.from[1]
    }

    /// Samples that are unfolded at a time.
    fn together(&self) -> usize {
        (UNFOLDED / (self.taps() * self.places())).clamp(1, self.samples)
    }

    /// Places along one axis (0: rows, 1: columns) at which tap `k` meets the input and not the padding.
    fn inside(&self, axis: usize, k: usize) -> Range<usize> {
        let first = self.pad.saturating_sub(k).div_ceil(self.stride);
        let end = (self.from[axis] + self.pad).saturating_sub(k).div_ceil(self.stride).min(self.to[axis]);
        first.min(end)..end
    }

    /// Calls `row` with the start in the unfolded matrix of `samples` samples, the start in their input, and the length,
    /// of every run of a tap along a row.
    fn runs(&self, samples: usize, mut row: impl FnMut(usize, usize, usize)) {
        let ([rows, columns], places) = (self.from, self.places());
        for tap in 0..self.taps() {
            let (channel, ky, kx) =
                (tap / (self.side * self.side), tap / self.side % self.side, tap % self.side);
            let (ys, xs) = (self.inside(0, ky), self.inside(1, kx));
            if xs.is_empty() {
                continue;
            }
            let x = xs.start * self.stride + kx - self.pad;
            for sample in 0..samples {
                let (unfolded, plane) =
                    ((tap * samples + sample) * places, (sample * self.inputs + channel) * rows * columns);
                for oy in ys.clone() {
                    let y = oy * self.stride + ky - self.pad;
                    row(unfolded + oy * self.to[1] + xs.start, plane + y * columns + x, xs.len());
                }
            }
        }
    }

    /// The patches of some samples: `[taps, samples * places]`.
    fn unfold(&self, x: &[f32]) -> Tensor<Cpu, 2> {
        let samples = x.len() / self.input();
        let mut out = vec![0.0; self.taps() * samples * self.places()];
        self.runs(samples, |to, from, length| {
            let to = &mut out[to..to + length];
            if self.stride == 1 {
                to.copy_from_slice(&x[from..from + length]);
            } else {
                to.iter_mut().zip(x[from..].iter().step_by(self.stride)).for_each(|(t, x)| *t = *x);
            }
        });
        matrix(out, [self.taps(), samples * self.places()])
    }

    /// Adds patches to the samples that they lie in.
    fn fold(&self, patches: &[f32], x: &mut [f32]) {
        self.runs(x.len() / self.input(), |from, to, length| {
            let from = &patches[from..from + length];
            if self.stride == 1 {
                x[to..to + length].iter_mut().zip(from).for_each(|(x, p)| *x += p);
            } else {
                x[to..].iter_mut().step_by(self.stride).zip(from).for_each(|(x, p)| *x += p);
            }
        });
    }

    /// The weights as a matrix `[outputs, taps]`.
    fn weights(&self, weight: &FloatTensor<Cpu>) -> Tensor<Cpu, 2> {
        from_primitive::<Cpu, 4>(weight.clone()).reshape([self.outputs, self.taps()])
    }

    fn forward(
        &self,
        x: &FloatTensor<Cpu>,
        weight: &FloatTensor<Cpu>,
        bias: &FloatTensor<Cpu>,
    ) -> FloatTensor<Cpu> {
        let (weights, places, together) = (self.weights(weight), self.places(), self.together());
        let (x, bias) = (x.to_contiguous(), bias.to_contiguous());
        let (x, bias): (&[f32], &[f32]) = (x.storage(), bias.storage());
        let mut out = vec![0.0; self.samples * self.outputs * places];
        out.par_chunks_mut(together * self.outputs * places)
            .zip(x.par_chunks(together * self.input()))
            .for_each(|(out, x)| {
                let products = values(weights.clone().matmul(self.unfold(x)));
                let samples = x.len() / self.input();
                for (i, out) in out.chunks_exact_mut(places).enumerate() {
                    let (sample, output) = (i / self.outputs, i % self.outputs);
                    let from = &products[(output * samples + sample) * places..][..places];
                    out.iter_mut().zip(from).for_each(|(o, f)| *o = f + bias[output]);
                }
            });
        let shape = [self.samples, self.outputs, self.to[0], self.to[1]];
        primitive(&Tensor::<Cpu, 4>::from_data(TensorData::new(out, shape), &Default::default()))
    }

    /// Gradients of the input (where it is wanted), the weights and the bias.
    fn backward(
        &self,
        x: &FloatTensor<Cpu>,
        weight: &FloatTensor<Cpu>,
        gradient: &FloatTensor<Cpu>,
        input_wanted: bool,
    ) -> (Option<Tensor<Cpu, 4>>, Tensor<Cpu, 4>, Tensor<Cpu, 1>) {
        let (weights, places, together) = (self.weights(weight), self.places(), self.together());
        let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
        let (x, gradient): (&[f32], &[f32]) = (x.storage(), gradient.storage());
        let parts = x
            .par_chunks(together * self.input())
            .zip(gradient.par_chunks(together * self.outputs * places))
            .map(|(x, gradient)| {
                let samples = x.len() / self.input();
                // `[samples, outputs, places]` to `[outputs, samples * places]`.
                let mut of_outputs = Vec::with_capacity(gradient.len());
                for output in 0..self.outputs {
                    for sample in 0..samples {
                        of_outputs.extend_from_slice(
                            &gradient[(sample * self.outputs + output) * places..][..places],
                        );
                    }
                }
                let bias: Vec<f32> =
                    of_outputs.chunks_exact(samples * places).map(|g| g.iter().sum()).collect();
                let of_outputs = matrix(of_outputs, [self.outputs, samples * places]);
                let weight = values(of_outputs.clone().matmul(self.unfold(x).transpose()));
                let input = input_wanted.then(|| {
                    let mut input = vec![0.0; x.len()];
                    self.fold(&values(weights.clone().transpose().matmul(of_outputs)), &mut input);
                    input
                });
                (input, weight, bias)
            })
            .collect::<Vec<_>>();
        let mut input = Vec::with_capacity(if input_wanted { x.len() } else { 0 });
        let (mut weight, mut bias) = (vec![0.0; self.outputs * self.taps()], vec![0.0; self.outputs]);
        for (i, w, b) in parts {
            input.extend(i.into_iter().flatten());
            weight.iter_mut().zip(w).for_each(|(sum, w)| *sum += w);
            bias.iter_mut().zip(b).for_each(|(sum, b)| *sum += b);
        }
        let device = Default::default();
        let four = |values, shape: [usize; 4]| Tensor::from_data(TensorData::new(values, shape), &device);
        (
            input_wanted.then(|| four(input, [self.samples, self.inputs, self.from[0], self.from[1]])),
            four(weight, [self.outputs, self.inputs, self.side, self.side]),
            Tensor::from_data(TensorData::new(bias, [self.outputs]), &device),
        )
    }

    /// The forward pass alone.
    fn inferred(&self, x: &Tensor<Cpu, 4>, weight: &Tensor<Cpu, 4>, bias: &Tensor<Cpu, 1>) -> Tensor<Cpu, 4> {
        from_primitive(self.forward(&primitive(x), &primitive(weight), &primitive(bias)))
    }

    /// The forward pass, with its gradient in the graph.
    fn tracked(
        self,
        x: &Tensor<CpuTrain, 4>,
        weight: &Tensor<CpuTrain, 4>,
        bias: &Tensor<CpuTrain, 1>,
    ) -> Tensor<CpuTrain, 4> {
        let (x, weight, bias) = (primitive(x), primitive(weight), primitive(bias));
        let y = self.forward(&x.primitive, &weight.primitive, &bias.primitive);
        let nodes = [x.node.clone(), weight.node.clone(), bias.node.clone()];
        from_primitive(match Gradient.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((self, x.primitive, weight.primitive), y),
            OpsKind::UnTracked(step) => step.finish(y),
        })
    }
}

/// The gradient of a convolution: parents are input, weights and bias.
#[derive(Debug)]
struct Gradient;

impl Backward<Cpu, 3> for Gradient {
    type State = (Geometry, FloatTensor<Cpu>, FloatTensor<Cpu>);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        // Better a panic than to wait for oneself.
        let shared = rayon::current_thread_index().is_some() && rayon::current_num_threads() > 1;
        assert!(!shared, "a training inside a shared pool of threads: see train::parallel");
        let [x_node, weight_node, bias_node] = ops.parents;
        let gradient = gradients.consume::<Cpu>(&ops.node);
        let (geometry, x, weight) = ops.state;
        let (dx, dweight, dbias) = geometry.backward(&x, &weight, &gradient, x_node.is_some());
        if let (Some(node), Some(dx)) = (x_node, dx) {
            gradients.register::<Cpu>(node.id, primitive(&dx));
        }
        if let Some(node) = weight_node {
            gradients.register::<Cpu>(node.id, primitive(&dweight));
        }
        if let Some(node) = bias_node {
            gradients.register::<Cpu>(node.id, primitive(&dbias));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{generator, normal};
    use crate::net::tensor;
    use crate::train::initialised;
    use burn::nn::conv::Conv2dConfig;
    use proptest::prelude::*;

    /// Output, and gradients of input, weights and bias.
    type Outcome = (Vec<f32>, Vec<f32>, Vec<f32>, Option<Vec<f32>>);

    fn outcome(
        layer: &Conv2d<CpuTrain>,
        x: &Tensor<Cpu, 4>,
        forward: fn(&Conv2d<CpuTrain>, Tensor<CpuTrain, 4>) -> Tensor<CpuTrain, 4>,
    ) -> Outcome {
        let x = Tensor::<CpuTrain, 4>::from_inner(x.clone()).require_grad();
        let y = forward(layer, x.clone());
        let output = values(y.clone().inner());
        // Any scalar whose gradient differs from place to place.
        let gradients = (y.clone().sin() * y).sum().backward();
        (
            output,
            values(x.grad(&gradients).expect("input")),
            values(layer.weight.val().grad(&gradients).expect("weights")),
            layer.bias.as_ref().map(|b| values(b.val().grad(&gradients).expect("bias"))),
        )
    }

    /// Standard normal deviates. Not drawn by burn: see [`initialised`].
    fn noise(shape: [usize; 4], seed: u64) -> Tensor<Cpu, 4> {
        let mut rng = generator(seed, 0);
        tensor((0..shape.iter().product()).map(|_| normal(&mut rng)).collect(), shape, &Default::default())
    }

    fn assert_near(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        let size = b.iter().fold(1.0f32, |m, v| m.max(v.abs()));
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-5 * size), "{a:?}\n{b:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn it_is_the_frameworks_convolution_with_its_gradients(
            samples in 1usize..5, inputs in 1usize..5, outputs in 1usize..7, rows in 1usize..13, columns in 1usize..13,
            side in 1usize..6, stride in 1usize..4, pad in 0usize..4, bias: bool, seed: u64,
        ) {
            prop_assume!(rows + 2 * pad >= side && columns + 2 * pad >= side);
            let device = Default::default();
            let layer = initialised(seed, &device, || {
                Conv2dConfig::new([inputs, outputs], [side, side])
                    .with_stride([stride, stride])
                    .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
                    .with_bias(bias)
                    .init::<CpuTrain>(&device)
            });
            let x = noise([samples, inputs, rows, columns], seed);
            prop_assert!(Geometry::from_layer(&layer, &Tensor::from_inner(x.clone())).is_some());
            let ours = outcome(&layer, &x, conv2d);
            let expected = outcome(&layer, &x, |layer, x| layer.forward(x));
            assert_near(&ours.0, &expected.0);
            assert_near(&ours.1, &expected.1);
            assert_near(&ours.2, &expected.2);
            prop_assert_eq!(ours.3.is_some(), bias);
            assert_near(&ours.3.unwrap_or_default(), &expected.3.unwrap_or_default());
        }
    }

    #[test]
    fn a_batch_is_cut_without_a_trace() {
        // Three samples fit into what is unfolded at a time: seven are cut into three parts.
        let device = Default::default();
        let layer = initialised(1, &device, || {
            Conv2dConfig::new([32, 5], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init::<CpuTrain>(&device)
        });
        let x = noise([7, 32, 16, 18], 1);
        let geometry = Geometry::from_layer(&layer, &Tensor::from_inner(x.clone())).expect("even");
        assert_eq!(geometry.together(), 3);
        let (ours, expected) =
            (outcome(&layer, &x, conv2d), outcome(&layer, &x, |layer, x| layer.forward(x)));
        assert_near(&ours.0, &expected.0);
        assert_near(&ours.1, &expected.1);
        assert_near(&ours.2, &expected.2);
        // A network that only infers gives the same bits.
        let inferring = burn::module::AutodiffModule::valid(&layer);
        assert_eq!(values(conv2d(&inferring, x)), ours.0);
    }

    #[test]
    #[should_panic(expected = "shared pool")]
    fn a_training_inside_a_shared_pool_is_refused() {
        let device = Default::default();
        let layer = initialised(1, &device, || Conv2dConfig::new([2, 3], [1, 1]).init::<CpuTrain>(&device));
        let padding = PaddingConfig2d::Explicit(0, 0, 0, 0);
        let layer = Conv2d { padding, ..layer };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("pool");
        pool.install(|| outcome(&layer, &noise([1, 2, 3, 3], 1), conv2d));
    }
}
