//! Shapes of encoders: what a recipe says of them, their sizes and costs.

use serde::{Deserialize, Serialize};

/// Groups of channels that are normalised together: no batch statistics, so training and use are one network.
pub(super) const GROUPS: usize = 8;

/// Shape of an encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum EncoderShape {
    /// A 2 x 2 mean, then layers with layer norm and ReLU: the body of the daemon's student has `[128, 96]`.
    Perceptron {
        /// Outputs of each layer.
        layers: Vec<usize>,
    },
    /// Residual convolutions (He et al. 2016): a 3 x 3 stem of stride 2, then stages of blocks, each stage after the first
    /// halving the resolution. `[32, 64, 128, 256]` with 2 blocks is the paper's half-width ResNet-18.
    Residual {
        /// Channels of each stage, multiples of 8.
        channels: Vec<usize>,
        /// Blocks of two convolutions a stage.
        blocks: usize,
    },
}

impl EncoderShape {
    /// Numbers of a feature vector.
    pub fn features(&self) -> usize {
        match self {
            Self::Perceptron { layers } => layers.last().copied().unwrap_or(0),
            Self::Residual { channels, .. } => channels.last().copied().unwrap_or(0),
        }
    }

    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let range = |sizes: &[usize]| {
            !sizes.is_empty() && sizes.len() <= 8 && sizes.iter().all(|n| (1..=4096).contains(n))
        };
        match self {
            Self::Perceptron { layers } if !range(layers) => Err("layers: 1 to 8 of 1 to 4096".into()),
            Self::Residual { channels, .. }
                if !range(channels) || channels.iter().any(|c| c % GROUPS != 0) =>
            {
                Err("channels: 1 to 8 multiples of 8".into())
            }
            Self::Residual { blocks, .. } if !(1..=8).contains(blocks) => Err("blocks: 1 to 8".into()),
            _ => Ok(()),
        }
    }

    /// Multiply-adds of one forward pass on `[channels, rows, columns]`, the projection left out.
    pub fn macs(&self, [inputs, rows, columns]: [usize; 3]) -> u64 {
        match self {
            Self::Perceptron { layers } => {
                let mut last = inputs * (rows / 2) * (columns / 2);
                let products = layers.iter().map(|&n| (std::mem::replace(&mut last, n) * n) as u64);
                products.sum()
            }
            Self::Residual { channels, blocks } => {
                let half = |n: usize| n.div_ceil(2);
                let (mut h, mut w) = (half(rows), half(columns));
                let mut last = channels.first().copied().unwrap_or(0);
                let mut sum = (9 * inputs * last * h * w) as u64;
                for (stage, &n) in channels.iter().enumerate() {
                    for block in 0..*blocks {
                        let first = stage > 0 && block == 0;
                        if first {
                            (h, w) = (half(h), half(w));
                            sum += (last * n * h * w) as u64;
                        }
                        sum += (9 * (last * n + n * n) * h * w) as u64;
                        last = n;
                    }
                }
                sum
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiply_adds_are_counted() {
        assert_eq!(
            EncoderShape::Perceptron { layers: vec![128, 96] }.macs([3, 28, 28]),
            588 * 128 + 128 * 96
        );
        let one = EncoderShape::Residual { channels: vec![8], blocks: 1 };
        assert_eq!(one.macs([1, 8, 8]), (9 * 8 * 16 + 2 * 9 * 64 * 16) as u64);
        // The paper's encoder on its input: about half of a half of ResNet-18's 1.8 G.
        let paper = EncoderShape::Residual { channels: vec![32, 64, 128, 256], blocks: 2 };
        assert!(
            (300_000_000..1_800_000_000).contains(&paper.macs([3, 112, 112])),
            "{}",
            paper.macs([3, 112, 112])
        );
    }
}
