//! Rounding of weights by what it does to the sums.
//!
//! The nearest integers have the least error in the weights, not in the sums: neighbouring pixels are alike, so that the
//! errors of neighbouring taps can make up for each other. With the second moments `H` of the patches that a convolution
//! sees, about their means, rounding errors `d` of a row of weights change its sums by `d' H d` in the mean square; the mean
//! itself is left to the bias. (Nagel et al. 2020, "Up or down? Adaptive rounding for post-training quantization",
//! section 3.)

use glint::int8::power_of_two;

/// What a convolution reads: channels, rows and columns, and how its kernel goes over them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reads {
    /// Channels, rows and columns of its input.
    pub input: [usize; 3],
    /// Rows and columns of its kernel.
    pub kernel: [usize; 2],
    /// Step of the kernel.
    pub stride: usize,
    /// Zeros on each side.
    pub pad: usize,
}

/// Patches that are looked at of all calibration inputs together, about.
const PATCHES: usize = 1 << 15;
/// Patches there must be for each tap: of fewer, the moments are those of the calibration inputs alone.
const LEAST_PATCHES: usize = 8;

/// Sums over patches.
pub(crate) struct Moments {
    reads: Reads,
    count: usize,
    sum: Vec<f64>,
    /// Upper triangle of the sums of products, `[taps, taps]`.
    products: Vec<f64>,
}

impl Moments {
    /// Of nothing yet.
    pub(crate) fn new(reads: Reads) -> Self {
        let taps = reads.input[0] * reads.kernel[0] * reads.kernel[1];
        Self { reads, count: 0, sum: vec![0.0; taps], products: vec![0.0; taps * taps] }
    }

    /// Adds patches of one tensor, `[c, h, w]`, out of those of `inputs` calibration inputs.
    pub(crate) fn observe(&mut self, tensor: &[f32], inputs: usize) {
        let Reads { input: [_, rows, columns], kernel: [h, w], stride, pad } = self.reads;
        let along = |n: usize, k: usize| (n + 2 * pad).saturating_sub(k) / stride + 1;
        let (down, across) = (along(rows, h), along(columns, w));
        // An odd step, so that no column is preferred.
        let step = (down * across * inputs / PATCHES).max(1) | 1;
        let taps = self.sum.len();
        let mut patch = vec![0.0; taps];
        for place in (self.count % step..down * across).step_by(step) {
            let (top, left) = (place / across * stride, place % across * stride);
            for (tap, value) in patch.iter_mut().enumerate() {
                let (channel, y, x) = (tap / (h * w), top + tap / w % h, left + tap % w);
                let inside = y >= pad && x >= pad && y - pad < rows && x - pad < columns;
                *value = if inside {
                    f64::from(tensor[(channel * rows + y - pad) * columns + x - pad])
                } else {
                    0.0
                };
            }
            self.count += 1;
            for (a, &value) in patch.iter().enumerate().filter(|(_, v)| **v != 0.0) {
                self.sum[a] += value;
                let products = &mut self.products[a * taps + a..(a + 1) * taps];
                products.iter_mut().zip(&patch[a..]).for_each(|(p, v)| *p += value * v);
            }
        }
    }

    /// How sums spread; `None` where too few patches were seen to tell.
    pub(crate) fn spread(self) -> Option<Spread> {
        let taps = self.sum.len();
        if self.count < LEAST_PATCHES * taps {
            return None;
        }
        let one = 1.0 / self.count as f64;
        let mut h = self.products;
        for a in 0..taps {
            for b in a..taps {
                let value = (h[a * taps + b] - self.sum[a] * self.sum[b] * one) * one;
                h[a * taps + b] = value;
                h[b * taps + a] = value;
            }
        }
        // A tap that never changes is rounded to the nearest.
        let little = 1e-6 * (0..taps).map(|a| h[a * taps + a]).sum::<f64>() / taps as f64 + 1e-12;
        (0..taps).for_each(|a| h[a * taps + a] += little);
        Some(Spread { taps, h })
    }
}

/// Second moments of patches about their means, `[taps, taps]`.
pub(crate) struct Spread {
    taps: usize,
    h: Vec<f64>,
}

impl Spread {
    fn row(&self, tap: usize) -> &[f64] {
        &self.h[tap * self.taps..(tap + 1) * self.taps]
    }

    /// Mean squared error of the sums, about its mean, with errors `d` of the weights.
    fn error(&self, d: &[f64]) -> f64 {
        d.iter()
            .enumerate()
            .map(|(a, x)| x * self.row(a).iter().zip(d).map(|(h, y)| h * y).sum::<f64>())
            .sum()
    }

    /// Weights in steps of `2^exponent`, at most `most` of them: from the nearest on, one step of the tap that lowers the
    /// error of the sums most, until none does. With that error.
    pub(crate) fn round(&self, weights: &[f32], exponent: i32, most: f32) -> (Vec<f32>, f64) {
        let step = f64::from(power_of_two(exponent));
        let most = f64::from(most);
        let mut steps: Vec<f64> =
            weights.iter().map(|&w| (f64::from(w) / step).round_ties_even().clamp(-most, most)).collect();
        let difference = |steps: &[f64]| -> Vec<f64> {
            steps.iter().zip(weights).map(|(s, &w)| s * step - f64::from(w)).collect()
        };
        let d = difference(&steps);
        // Half the gradient of the error.
        let mut slope: Vec<f64> =
            (0..self.taps).map(|a| self.row(a).iter().zip(&d).map(|(h, d)| h * d).sum()).collect();
        // Each step lowers the error, so it ends; the bound is for rounding errors of the slope.
        for _ in 0..20 * self.taps {
            let gain = |(a, slope): (usize, &f64)| {
                let direction = -slope.signum();
                let change = 2.0 * direction * step * slope + step * step * self.h[a * self.taps + a];
                (a, direction, change)
            };
            let best = slope
                .iter()
                .enumerate()
                .map(gain)
                .filter(|(a, direction, _)| (steps[*a] + direction).abs() <= most)
                .min_by(|a, b| a.2.total_cmp(&b.2));
            let Some((tap, direction, change)) = best else { break };
            if change >= -1e-12 {
                break;
            }
            steps[tap] += direction;
            slope.iter_mut().zip(self.row(tap)).for_each(|(s, h)| *s += direction * step * h);
        }
        let error = self.error(&difference(&steps));
        (steps.into_iter().map(|s| s as f32).collect(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{generator, normal};
    use proptest::prelude::*;

    /// Moments of smooth rows: each pixel half of the one before.
    fn smooth(kernel: [usize; 2], count: usize) -> Moments {
        let mut rng = generator(1, 2);
        let mut moments = Moments::new(Reads { input: [1, 12, 20], kernel, stride: 1, pad: 0 });
        for _ in 0..count {
            let mut last = 0.0;
            let tensor: Vec<f32> = (0..240)
                .map(|_| {
                    last = 0.5 * last + normal(&mut rng);
                    last + 3.0
                })
                .collect();
            moments.observe(&tensor, count);
        }
        moments
    }

    #[test]
    fn moments_are_those_of_the_patches() {
        let spread = smooth([1, 3], 60).spread().expect("patches enough");
        // An autoregression of 1/2 has variance 4/3 and correlations 1/2, 1/4; the mean of 3 is taken off.
        for (a, b, expected) in [(0, 0, 4.0 / 3.0), (0, 1, 2.0 / 3.0), (2, 0, 1.0 / 3.0), (1, 2, 2.0 / 3.0)] {
            assert!((spread.row(a)[b] - expected).abs() < 0.1, "{a} {b}: {}", spread.row(a)[b]);
        }
        assert!(
            Moments::new(Reads { input: [1, 3, 3], kernel: [3, 3], stride: 1, pad: 1 }).spread().is_none()
        );
    }

    #[test]
    fn padding_is_zero_and_strides_count() {
        let mut moments = Moments::new(Reads { input: [2, 2, 2], kernel: [3, 3], stride: 2, pad: 1 });
        moments.observe(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 1);
        // One place: its kernel's last two rows and columns lie on the tensor.
        let expected = [0., 0., 0., 0., 1., 2., 0., 3., 4., 0., 0., 0., 0., 5., 6., 0., 7., 8.];
        assert_eq!((moments.count, &moments.sum[..]), (1, &expected[..]));
    }

    proptest! {
        #[test]
        fn sums_err_no_more_than_with_the_nearest(weights in prop::collection::vec(-1.0f32..1.0, 9), e in -6i32..-2) {
            let spread = smooth([3, 3], 20).spread().expect("patches enough");
            let most = 63.0;
            let (steps, error) = spread.round(&weights, e, most);
            let scale = power_of_two(e);
            let nearest: Vec<f64> = weights
                .iter()
                .map(|w| f64::from((w / scale).round_ties_even().clamp(-most, most) * scale - w))
                .collect();
            prop_assert!(error <= spread.error(&nearest) + 1e-9);
            prop_assert!(steps.iter().all(|s| s.fract() == 0.0 && s.abs() <= most));
            // No single step is better.
            for tap in 0..9 {
                for way in [-1.0, 1.0] {
                    let d: Vec<f64> = (0..9)
                        .map(|k| f64::from((steps[k] + if k == tap { way } else { 0.0 }) * scale - weights[k]))
                        .collect();
                    prop_assert!((steps[tap] + way).abs() > most || spread.error(&d) >= error - 1e-9);
                }
            }
        }
    }
}
