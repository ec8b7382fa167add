//! The networks of the views: features that are used later, and the projection that the contrast is made on.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{
    GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d,
};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;

use super::recipe::{PretrainRecipe, ViewEncoding};
use super::shape::{EncoderShape, GROUPS};
use crate::backend::convolution::conv2d;

/// Numbers of an embedding, as in the paper's code.
pub const EMBEDDING: usize = 128;
/// Two convolutions and a way around them.
#[derive(Module, Debug)]
struct Block<B: Backend> {
    first: Conv2d<B>,
    first_norm: GroupNorm<B>,
    second: Conv2d<B>,
    second_norm: GroupNorm<B>,
    around: Option<Conv2d<B>>,
}

fn conv<B: Backend>(
    inputs: usize,
    outputs: usize,
    side: usize,
    stride: usize,
    device: &B::Device,
) -> Conv2d<B> {
    let pad = side / 2;
    Conv2dConfig::new([inputs, outputs], [side, side])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(false)
        .init(device)
}

fn norm<B: Backend>(channels: usize, device: &B::Device) -> GroupNorm<B> {
    GroupNormConfig::new(GROUPS, channels).init(device)
}

/// What `norm.forward(x)` is, as one scale and one shift for each channel of each sample: two passes over the values, and
/// rows that a CPU reads in order. As the framework computes it, both are spread over four dimensions, which took two
/// fifths of a training step.
fn group_norm<B: Backend>(norm: &GroupNorm<B>, x: Tensor<B, 4>) -> Tensor<B, 4> {
    let (Some(gamma), Some(beta)) = (&norm.gamma, &norm.beta) else { return norm.forward(x) };
    let shape @ [n, c, h, w] = x.dims();
    let a_group = c / norm.num_groups;
    let grouped = x.clone().reshape([n * norm.num_groups, a_group * h * w]);
    let mean = grouped.clone().mean_dim(1);
    let square = (grouped.clone() * grouped).mean_dim(1);
    let variance = (square - mean.clone() * mean.clone()).clamp_min(0.0);
    let inverse = (variance + norm.epsilon).sqrt().recip();
    // Of each channel of each sample.
    let per_sample = |t: Tensor<B, 2>| t.repeat_dim(1, a_group).reshape([n * c, 1]);
    let per_channel = |t: Tensor<B, 1>| t.reshape([1, c]).repeat_dim(0, n).reshape([n * c, 1]);
    let scale = per_sample(inverse) * per_channel(gamma.val());
    let shift = per_channel(beta.val()) - per_sample(mean) * scale.clone();
    (x.reshape([n * c, h * w]) * scale + shift).reshape(shape)
}

impl<B: Backend> Block<B> {
    fn new(inputs: usize, outputs: usize, stride: usize, device: &B::Device) -> Self {
        Self {
            first: conv(inputs, outputs, 3, stride, device),
            first_norm: norm(outputs, device),
            second: conv(outputs, outputs, 3, 1, device),
            second_norm: norm(outputs, device),
            around: (stride != 1 || inputs != outputs).then(|| conv(inputs, outputs, 1, stride, device)),
        }
    }

    fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let y = relu(group_norm(&self.first_norm, conv2d(&self.first, x.clone())));
        let y = group_norm(&self.second_norm, conv2d(&self.second, y));
        relu(y + self.around.as_ref().map_or(x.clone(), |c| conv2d(c, x)))
    }
}

/// An encoder: a view to features.
#[derive(Module, Debug)]
pub struct Encoder<B: Backend> {
    stem: Option<Conv2d<B>>,
    stem_norm: Option<GroupNorm<B>>,
    blocks: Vec<Block<B>>,
    layers: Vec<Linear<B>>,
    norms: Vec<LayerNorm<B>>,
}

impl<B: Backend> Encoder<B> {
    /// An encoder of `shape` for views of `[channels, rows, columns]`.
    pub fn new(shape: &EncoderShape, [inputs, rows, columns]: [usize; 3], device: &B::Device) -> Self {
        match shape {
            EncoderShape::Perceptron { layers } => {
                let mut last = inputs * (rows / 2) * (columns / 2);
                let layers: Vec<_> = layers
                    .iter()
                    .map(|&n| LinearConfig::new(std::mem::replace(&mut last, n), n).init(device))
                    .collect();
                let norms =
                    layers.iter().map(|l: &Linear<B>| LayerNormConfig::new(l.weight.dims()[1]).init(device));
                Self { stem: None, stem_norm: None, blocks: Vec::new(), norms: norms.collect(), layers }
            }
            EncoderShape::Residual { channels, blocks } => {
                let first = channels[0];
                let mut last = first;
                let mut all = Vec::new();
                for (stage, &n) in channels.iter().enumerate() {
                    for block in 0..*blocks {
                        let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                        all.push(Block::new(std::mem::replace(&mut last, n), n, stride, device));
                    }
                }
                let (stem, stem_norm) = (conv(inputs, first, 3, 2, device), norm(first, device));
                Self {
                    stem: Some(stem),
                    stem_norm: Some(stem_norm),
                    blocks: all,
                    layers: Vec::new(),
                    norms: Vec::new(),
                }
            }
        }
    }

    /// `[n, channels, rows, columns]` to `[n, features]`.
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 2> {
        self.forward_through(x, &mut |h| h)
    }

    /// As [`Self::forward`]; `drop` is given the outputs of each layer of a perceptron, the features alone of
    /// convolutions, and gives back what is passed on.
    pub fn forward_through(
        &self,
        x: Tensor<B, 4>,
        drop: &mut dyn FnMut(Tensor<B, 2>) -> Tensor<B, 2>,
    ) -> Tensor<B, 2> {
        if let (Some(stem), Some(stem_norm)) = (&self.stem, &self.stem_norm) {
            let x = relu(group_norm(stem_norm, conv2d(stem, x)));
            let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
            // Mean over the places.
            return drop(x.flatten::<3>(2, 3).mean_dim(2).flatten(1, 2));
        }
        let [n, c, h, w] = x.dims();
        // The 2 x 2 mean, by reshaping: its gradient is a plain copy.
        let (h2, w2) = (h / 2, w / 2);
        let x = x.slice([0..n, 0..c, 0..2 * h2, 0..2 * w2]).reshape([n * c * h2, 2, w2, 2]);
        let x = x.mean_dim(3).mean_dim(1).reshape([n, c * h2 * w2]);
        self.layers
            .iter()
            .zip(&self.norms)
            .fold(x, |x, (layer, norm)| drop(relu(norm.forward(layer.forward(x)))))
    }
}

/// An encoder with its projection head.
#[derive(Module, Debug)]
pub struct Tower<B: Backend> {
    /// What is kept.
    pub encoder: Encoder<B>,
    hidden: Linear<B>,
    projection: Linear<B>,
}

impl<B: Backend> Tower<B> {
    /// A tower for a view.
    pub fn new(shape: &EncoderShape, view: [usize; 3], device: &B::Device) -> Self {
        let n = shape.features();
        Self {
            encoder: Encoder::new(shape, view, device),
            hidden: LinearConfig::new(n, n).init(device),
            projection: LinearConfig::new(n, EMBEDDING).init(device),
        }
    }

    /// Views to embeddings of length 1, `[n, 128]`.
    pub fn embed(&self, x: Tensor<B, 4>) -> Tensor<B, 2> {
        unit(self.projection.forward(relu(self.hidden.forward(self.encoder.forward(x)))))
    }
}

/// Both towers.
#[derive(Module, Debug)]
pub struct TwoTowers<B: Backend> {
    /// Of the first view.
    pub first: Tower<B>,
    /// Of the second view.
    pub second: Tower<B>,
}

impl<B: Backend> TwoTowers<B> {
    /// Fresh towers of the recipe's shapes.
    pub fn new(recipe: &PretrainRecipe, device: &B::Device) -> Self {
        let tower = |side: &ViewEncoding| Tower::new(&side.encoder, side.shape(), device);
        Self { first: tower(&recipe.first), second: tower(&recipe.second) }
    }
}

/// Rows scaled to length 1.
pub fn unit<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    let length = ((x.clone() * x.clone()).sum_dim(1) + 1e-12).sqrt();
    x / length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tensor;
    use crate::train::initialised;
    use burn::backend::Flex;
    use burn::module::Param;

    #[test]
    fn shapes_fit_and_embeddings_have_length_one() {
        let device = Default::default();
        let shapes = [
            EncoderShape::Perceptron { layers: vec![24, 16] },
            EncoderShape::Residual { channels: vec![8, 16], blocks: 2 },
        ];
        for shape in shapes {
            shape.check().expect("valid");
            let view = [3, 28, 28];
            let tower = initialised(1, &device, || Tower::<Flex>::new(&shape, view, &device));
            let x: Vec<f32> = (0..2 * 3 * 28 * 28).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
            let x = tensor::<Flex, 4>(x, [2, 3, 28, 28], &device);
            assert_eq!(tower.encoder.forward(x.clone()).dims(), [2, 16]);
            let z = tower.embed(x).into_data().to_vec::<f32>().expect("f32");
            for row in z.chunks_exact(EMBEDDING) {
                assert!((row.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-4);
            }
        }
        assert!(EncoderShape::Residual { channels: vec![12], blocks: 1 }.check().is_err());
    }

    #[test]
    fn groups_are_normalised_as_the_framework_does() {
        use burn::backend::Autodiff;
        type B = Autodiff<Flex>;
        let device = Default::default();
        let mut layer = norm::<B>(16, &device);
        let value = |i: usize| ((i * 29 % 83) as f32 - 40.0) / 17.0;
        let row = |shift: usize| {
            Param::from_tensor(Tensor::<B, 1>::from_floats(
                std::array::from_fn::<f32, 16, _>(|i| value(i + shift)),
                &device,
            ))
        };
        (layer.gamma, layer.beta) = (Some(row(3)), Some(row(5)));
        let results = [false, true].map(|ours| {
            let x =
                tensor::<B, 4>((0..3 * 16 * 20).map(|i| 2.0 + value(i)).collect(), [3, 16, 4, 5], &device)
                    .require_grad();
            let y = if ours { group_norm(&layer, x.clone()) } else { layer.forward(x.clone()) };
            let weights =
                tensor::<B, 4>((0..3 * 16 * 20).map(|i| value(7 * i + 1)).collect(), [3, 16, 4, 5], &device);
            let gradients = (y.clone() * weights).sum().backward();
            let parameter = |p: &Option<Param<Tensor<B, 1>>>| {
                p.as_ref().and_then(|p| p.val().grad(&gradients)).expect("a gradient")
            };
            let all = [
                y.into_data(),
                x.grad(&gradients).expect("a gradient").into_data(),
                parameter(&layer.gamma).into_data(),
                parameter(&layer.beta).into_data(),
            ];
            all.map(|d| d.to_vec::<f32>().expect("f32"))
        });
        for (one, other) in results[0].iter().flatten().zip(results[1].iter().flatten()) {
            assert!((one - other).abs() <= 2e-4 * (1.0 + one.abs()), "{one} {other}");
        }
    }
}
