//! Small networks trained from scratch on real samples: a plain CNN, and STSTNet's architecture (Liong et al., "Shallow
//! Triple Stream Three-dimensional CNN for Micro-expression Recognition", 2019). One schedule, last step, no look at
//! anything but the training samples.

use burn::module::{AutodiffModule, Module};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{AdamWConfig, GradientsParams, Optimizer};
use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::backend::Backend;
use glint::student::{SIDE, pool2};
use rand::Rng;

use super::megc::mirrored;
use crate::augment::{generator, normal};
use crate::backend::convolution::conv2d;
use crate::backend::{Cpu, CpuTrain};
use crate::net::tensor;
use crate::statistics::logistic::balance;
use crate::train::{Schedule, initialised};

/// A network from images to three logits.
pub trait Recogniser<B: Backend>: Module<B> {
    /// Side of the input: [`SIDE`], or half of it for networks that see 2x2 means.
    const SIDE: usize;
    /// Fresh weights.
    fn new(device: &B::Device) -> Self;
    /// Features `[n, d]` before the last layer.
    fn features(&self, x: Tensor<B, 4>) -> Tensor<B, 2>;
    /// Logits of features.
    fn head(&self, x: Tensor<B, 2>) -> Tensor<B, 2>;
}

fn conv<B: Backend>(from: usize, to: usize, stride: usize, device: &B::Device) -> Conv2d<B> {
    Conv2dConfig::new([from, to], [3, 3])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .init(device)
}

/// Three convolutions on 2x2 means: 42 k parameters, 1.1 million multiply-adds.
#[derive(Module, Debug)]
pub struct SmallCnn<B: Backend> {
    convs: Vec<Conv2d<B>>,
    last: Linear<B>,
}

impl<B: Backend> Recogniser<B> for SmallCnn<B> {
    const SIDE: usize = SIDE / 2;

    fn new(device: &B::Device) -> Self {
        let convs = [(3, 24, 1), (24, 48, 2), (48, 64, 2)].map(|(from, to, s)| conv(from, to, s, device));
        Self { convs: convs.into(), last: LinearConfig::new(64 * 16, 3).init(device) }
    }

    fn features(&self, x: Tensor<B, 4>) -> Tensor<B, 2> {
        self.convs.iter().fold(x, |x, c| relu(conv2d(c, x))).flatten(1, 3)
    }

    fn head(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.last.forward(x)
    }
}

/// STSTNet: three streams of one convolution with 3, 5 and 8 filters, each max-pooled by 3, together mean-pooled by
/// 2, and one linear layer.
#[derive(Module, Debug)]
pub struct StstNet<B: Backend> {
    streams: Vec<Conv2d<B>>,
    max: MaxPool2d,
    mean: AvgPool2d,
    last: Linear<B>,
}

impl<B: Backend> Recogniser<B> for StstNet<B> {
    const SIDE: usize = SIDE;

    fn new(device: &B::Device) -> Self {
        Self {
            streams: [3, 5, 8].map(|filters| conv(3, filters, 1, device)).into(),
            max: MaxPool2dConfig::new([3, 3])
                .with_strides([3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(),
            mean: AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            last: LinearConfig::new(16 * 25, 3).init(device),
        }
    }

    fn features(&self, x: Tensor<B, 4>) -> Tensor<B, 2> {
        let streams = self.streams.iter().map(|c| self.max.forward(relu(conv2d(c, x.clone())))).collect();
        self.mean.forward(Tensor::cat(streams, 1)).flatten(1, 3)
    }

    fn head(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.last.forward(x)
    }
}

/// What a network is trained with, apart from its schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regularisation {
    /// Mixup: both parameters of the beta distribution (Zhang et al. 2018); 0 leaves it out.
    pub mixup: f32,
    /// Power of the class weights.
    pub balance: f32,
    /// Dropout before the last layer.
    pub dropout: f32,
    /// Noise on the input.
    pub noise: f32,
}

/// Trains on motions (3 x 28 x 28) with their classes and gives the logits of `test`.
pub fn train_and_predict<N>(
    (motions, classes): (&[&[f32]], &[usize]),
    test: &[&[f32]],
    schedule: &Schedule,
    with: Regularisation,
    seed: u64,
) -> Vec<[f32; 3]>
where
    N: Recogniser<CpuTrain> + AutodiffModule<CpuTrain>,
    N::InnerModule: Recogniser<Cpu>,
{
    let device = Default::default();
    let side = N::SIDE;
    let small = |m: &[f32]| if side == SIDE { m.to_vec() } else { pool2(m) };
    // Each face and its mirror image.
    let mut inputs: Vec<Vec<f32>> = motions.iter().map(|m| small(m)).collect();
    inputs.extend(motions.iter().map(|m| small(&mirrored(m, SIDE))));
    let classes: Vec<usize> = classes.iter().chain(classes).copied().collect();
    let weights = balance(&classes, with.balance);
    let mut model = initialised(seed, &device, || N::new(&device));
    let mut optimiser = AdamWConfig::new().with_weight_decay(schedule.weight_decay).init::<CpuTrain, N>();
    let n = schedule.batch;
    for step in 0..schedule.steps {
        let mut rng = generator(seed, step as u64);
        let (mut x, mut target) = (Vec::with_capacity(n * 3 * side * side), vec![0.0; 3 * n]);
        for k in 0..n {
            let [a, b] = [(); 2].map(|()| rng.random_range(0..inputs.len()));
            let share = if with.mixup > 0.0 { symmetric_beta(with.mixup, &mut rng) } else { 1.0 };
            x.extend(inputs[a].iter().zip(&inputs[b]).map(|(p, q)| share * p + (1.0 - share) * q));
            target[3 * k + classes[a]] += share * weights[a];
            target[3 * k + classes[b]] += (1.0 - share) * weights[b];
        }
        x.iter_mut().for_each(|v| *v += with.noise * normal(&mut rng));
        let features = model.features(tensor(x, [n, 3, side, side], &device));
        let [_, d] = features.dims();
        let keep = 1.0 - with.dropout;
        let mask = (0..n * d).map(|_| if rng.random::<f32>() < keep { 1.0 / keep } else { 0.0 }).collect();
        let logits = model.head(features * tensor(mask, [n, d], &device));
        let loss =
            (log_softmax(logits, 1) * tensor::<CpuTrain, 2>(target, [n, 3], &device)).sum().neg() / n as f32;
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimiser.step(schedule.rate(step), model, gradients);
    }
    let model = model.valid();
    let x: Vec<f32> = test.iter().flat_map(|m| small(m)).collect();
    let logits = model.head(model.features(tensor(x, [test.len(), 3, side, side], &device)));
    let flat = logits.into_data().to_vec::<f32>().unwrap_or_default();
    flat.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect()
}

/// A draw from the beta distribution with both parameters `a` below 1 (Johnk 1964).
fn symmetric_beta(a: f32, rng: &mut impl Rng) -> f32 {
    loop {
        let (x, y) = (rng.random::<f32>().powf(1.0 / a), rng.random::<f32>().powf(1.0 / a));
        if x + y <= 1.0 && x + y > 0.0 {
            return x / (x + y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixture_is_symmetric_and_mostly_near_the_ends() {
        let mut rng = generator(1, 2);
        let draws: Vec<f32> = (0..4000).map(|_| symmetric_beta(0.4, &mut rng)).collect();
        let mean = draws.iter().sum::<f32>() / 4000.0;
        // Variance of beta(a, a): 1 / (4 (2 a + 1)).
        let variance = draws.iter().map(|d| (d - 0.5).powi(2)).sum::<f32>() / 4000.0;
        assert!((mean - 0.5).abs() < 0.03 && (variance - 0.25 / 1.8).abs() < 0.01, "{mean} {variance}");
    }

    #[test]
    fn networks_learn_and_repeat() {
        let pattern = |class: usize, k: usize| -> Vec<f32> {
            let mut rng = generator(class as u64, k as u64);
            let row = |i: usize| i / SIDE % SIDE / 9;
            (0..3 * SIDE * SIDE)
                .map(|i| if row(i) == class { 1.0 } else { 0.0 } + 0.5 * normal(&mut rng))
                .collect()
        };
        let motions: Vec<Vec<f32>> = (0..30).map(|k| pattern(k % 3, k)).collect();
        let classes: Vec<usize> = (0..30).map(|k| k % 3).collect();
        let rows: Vec<&[f32]> = motions.iter().map(Vec::as_slice).collect();
        let schedule = Schedule { steps: 30, batch: 16, learning_rate: 3e-3, weight_decay: 1e-2 };
        let with = Regularisation { mixup: 0.4, balance: 0.5, dropout: 0.2, noise: 0.1 };
        let run = || {
            [
                train_and_predict::<SmallCnn<CpuTrain>>((&rows, &classes), &rows, &schedule, with, 3),
                train_and_predict::<StstNet<CpuTrain>>((&rows, &classes), &rows, &schedule, with, 3),
            ]
        };
        let [cnn, stst] = run();
        let right = |z: &[[f32; 3]]| {
            z.iter().zip(&classes).filter(|(z, c)| crate::statistics::score::argmax(z) == **c).count()
        };
        assert!(right(&cnn) > 25 && right(&stst) > 18, "{} {}", right(&cnn), right(&stst));
        assert_eq!(run(), [cnn, stst]);
    }
}
