//! Dense optical flow and optical strain between two stabilised crops.
//!
//! Method: Lucas and Kanade (1981) in the inverse compositional form of Baker and Matthews (2004),
//! dense, with a Gaussian window and coarse to fine. The gradients, and so the 2x2 matrices, belong
//! to the reference image alone: they are computed once for a neutral face and serve every frame
//! after it. A brightness that differs by a constant within the window moves nothing (the window's
//! mean is eliminated), and damping holds the flow where there is no texture to measure it.

use crate::kernels::{self, BLUR_RADIUS};

/// A displacement field: where each pixel of the reference is found in the target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flow {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Displacement to the right in pixels, row by row.
    pub u: Vec<f32>,
    /// Displacement downwards in pixels, row by row.
    pub v: Vec<f32>,
}

impl Flow {
    /// A field of zeros.
    pub fn zeros(width: usize, height: usize) -> Self {
        Self { width, height, u: vec![0.0; width * height], v: vec![0.0; width * height] }
    }

    /// Optical strain magnitude `sqrt(exx^2 + eyy^2 + 2 exy^2)` of each pixel, by central
    /// differences (Shreve et al. 2011; the third channel of the MEGC images).
    pub fn strain(&self, out: &mut Vec<f32>) {
        let (w, h) = (self.width, self.height);
        out.clear();
        out.resize(w * h, 0.0);
        if w < 2 || h < 2 {
            return;
        }
        for y in 0..h {
            let (up, down) = (y.saturating_sub(1), (y + 1).min(h - 1));
            let dy = 1.0 / (down - up) as f32;
            for x in 0..w {
                let (left, right) = (x.saturating_sub(1), (x + 1).min(w - 1));
                let dx = 1.0 / (right - left) as f32;
                let exx = dx * (self.u[y * w + right] - self.u[y * w + left]);
                let eyy = dy * (self.v[down * w + x] - self.v[up * w + x]);
                let exy = 0.5
                    * (dy * (self.u[down * w + x] - self.u[up * w + x])
                        + dx * (self.v[y * w + right] - self.v[y * w + left]));
                out[y * w + x] = (exx * exx + eyy * eyy + 2.0 * exy * exy).sqrt();
            }
        }
    }
}

/// What the flow costs and how fine it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Iterations at each pyramid level, the finest (full resolution) first. A zero leaves a level
    /// out; zeros in front make the result coarser: [`Settings::QUICK`] ends at half resolution.
    pub iterations: [u8; 3],
    /// Standard deviation of the window in pixels of each level.
    pub window: f32,
    /// Added to the window's mean squared gradient, in (gray levels / pixel)^2.
    pub damping: f32,
}

impl Settings {
    /// For every frame: half resolution.
    pub const QUICK: Self = Self { iterations: [0, 2, 2], window: 2.2, damping: 1.0 };
    /// For the pair that the student sees: full resolution.
    pub const FINE: Self = Self { iterations: [2, 2, 2], window: 2.2, damping: 1.0 };

    /// Index of the finest level that is computed.
    pub fn finest(&self) -> usize {
        self.iterations.iter().position(|&n| n > 0).unwrap_or(self.iterations.len() - 1)
    }
}

/// What is known of the reference at one level.
struct Level {
    w: usize,
    image: Vec<f32>,
    gradient: [Vec<f32>; 2],
    mean_gradient: [Vec<f32>; 2],
    inverse: [Vec<f32>; 3],
    target: Vec<f32>,
    flow: [Vec<f32>; 2],
}

/// Optical flow from one reference to many targets, all of one size, with fixed buffers.
pub struct FlowEngine {
    settings: Settings,
    taps: [f32; BLUR_RADIUS + 1],
    levels: Vec<Level>,
    work: [Vec<f32>; 3],
    tmp: Vec<f32>,
    line: Vec<f32>,
    result: Flow,
}

impl FlowEngine {
    /// An engine for images of `width * height`; both must be multiples of 4 and at least 16.
    ///
    /// # Panics
    /// If the size is not.
    pub fn new(width: usize, height: usize, settings: Settings) -> Self {
        assert!(
            width >= 16 && height >= 16 && width.is_multiple_of(4) && height.is_multiple_of(4),
            "flow needs sides that are multiples of 4 and at least 16, not {width}x{height}"
        );
        let levels = (0..settings.iterations.len())
            .map(|l| {
                let (w, n) = (width >> l, (width >> l) * (height >> l));
                let plane = || vec![0.0; n];
                Level {
                    w,
                    image: plane(),
                    gradient: [plane(), plane()],
                    mean_gradient: [plane(), plane()],
                    inverse: [plane(), plane(), plane()],
                    target: plane(),
                    flow: [plane(), plane()],
                }
            })
            .collect();
        let n = width * height;
        let finest = settings.finest();
        Self {
            settings,
            taps: kernels::gaussian(settings.window),
            levels,
            work: [vec![0.0; n], vec![0.0; n], vec![0.0; n]],
            tmp: vec![0.0; n],
            line: vec![0.0; width + 2 * BLUR_RADIUS],
            result: Flow::zeros(width >> finest, height >> finest),
        }
    }

    /// Takes `reference` (row by row, the size of the engine) as what targets are compared with.
    pub fn set_reference(&mut self, reference: &[f32]) {
        self.levels[0].image.copy_from_slice(reference);
        for l in 1..self.levels.len() {
            let (fine, coarse) = self.levels.split_at_mut(l);
            let fine = &fine[l - 1];
            kernels::halve(&fine.image, fine.w, &mut coarse[0].image);
        }
        for level in &mut self.levels {
            let (n, w) = (level.image.len(), level.w);
            let [gx, gy] = &mut level.gradient;
            kernels::gradients(&level.image, w, gx, gy);
            let mut window_mean = |plane: &mut [f32]| {
                kernels::blur(plane, w, &self.taps, &mut self.tmp[..n], &mut self.line);
            };
            let [xx, xy, yy] = &mut self.work;
            for (a, b, out) in [(&*gx, &*gx, xx), (&*gx, &*gy, xy), (&*gy, &*gy, yy)] {
                kernels::multiply(a, b, &mut out[..n]);
                window_mean(&mut out[..n]);
            }
            for (gradient, mean) in level.gradient.iter().zip(&mut level.mean_gradient) {
                mean.copy_from_slice(gradient);
                window_mean(mean);
            }
            let [mx, my] = &level.mean_gradient;
            for i in 0..n {
                let a = self.work[0][i] - mx[i] * mx[i] + self.settings.damping;
                let b = self.work[1][i] - mx[i] * my[i];
                let d = self.work[2][i] - my[i] * my[i] + self.settings.damping;
                // Positive: the covariance of the gradient plus a multiple of the identity.
                let k = 1.0 / (a * d - b * b);
                (level.inverse[0][i], level.inverse[1][i], level.inverse[2][i]) = (d * k, -b * k, a * k);
            }
        }
    }

    /// The flow from the reference to `target`. The result has full resolution, or that of the
    /// finest level with iterations; its values are pixels of that resolution.
    pub fn run(&mut self, target: &[f32]) -> &Flow {
        let finest = self.settings.finest();
        self.levels[0].target.copy_from_slice(target);
        for l in 1..self.levels.len() {
            let (fine, coarse) = self.levels.split_at_mut(l);
            let fine = &fine[l - 1];
            kernels::halve(&fine.target, fine.w, &mut coarse[0].target);
        }
        for l in (finest..self.levels.len()).rev() {
            let (here, coarser) = self.levels.split_at_mut(l + 1);
            let Level { w, image, gradient, mean_gradient, inverse, target, flow } = &mut here[l];
            let (w, n) = (*w, image.len());
            match coarser.first() {
                Some(coarse) => {
                    for (c, f) in coarse.flow.iter().zip(flow.iter_mut()) {
                        kernels::double_flow(c, w, f);
                    }
                }
                None => flow.iter_mut().for_each(|f| f.fill(0.0)),
            }
            let [u, v] = flow;
            let [gx, gy] = gradient;
            let [mx, my] = mean_gradient;
            for _ in 0..self.settings.iterations[l] {
                let [r, bx, by] = &mut self.work;
                let (r, bx, by) = (&mut r[..n], &mut bx[..n], &mut by[..n]);
                kernels::residual(target, image, w, (u, v), (gx, gy), [&mut *r, &mut *bx, &mut *by]);
                for plane in [&mut *r, &mut *bx, &mut *by] {
                    kernels::blur(plane, w, &self.taps, &mut self.tmp[..n], &mut self.line);
                }
                let inverse = [&inverse[0][..], &inverse[1], &inverse[2]];
                kernels::step(inverse, (mx, my), [&*r, &*bx, &*by], u, v);
            }
        }
        let [u, v] = &self.levels[finest].flow;
        self.result.u.copy_from_slice(u);
        self.result.v.copy_from_slice(v);
        &self.result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Smooth texture that can be sampled anywhere, so that sub-pixel shifts are exact.
    fn texture(x: f32, y: f32, seed: f32) -> f32 {
        let s = |k: f32, fx: f32, fy: f32| (k + fx * x + fy * y + seed).sin();
        128.0
            + 30.0 * s(0.3, 0.31, 0.12) * s(1.1, -0.11, 0.37)
            + 18.0 * s(2.0, 0.71, -0.53)
            + 10.0 * s(0.7, 0.05, 0.9)
    }

    fn image(w: usize, h: usize, seed: f32, shift: impl Fn(f32, f32) -> (f32, f32)) -> Vec<f32> {
        (0..w * h)
            .map(|i| {
                let (x, y) = ((i % w) as f32, (i / w) as f32);
                let (u, v) = shift(x, y);
                texture(x - u, y - v, seed)
            })
            .collect()
    }

    fn inner_mean(flow: &Flow, plane: &[f32], margin: usize) -> (f32, f32) {
        let (mut sum, mut sq, mut n) = (0.0, 0.0, 0.0);
        for y in margin..flow.height - margin {
            for x in margin..flow.width - margin {
                let value = plane[y * flow.width + x];
                (sum, sq, n) = (sum + value, sq + value * value, n + 1.0);
            }
        }
        let mean = sum / n;
        (mean, (sq / n - mean * mean).max(0.0).sqrt())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn translation_gives_uniform_flow(du in -2.0f32..2.0, dv in -2.0f32..2.0, seed in 0f32..6.0) {
            let mut engine = FlowEngine::new(64, 80, Settings::FINE);
            engine.set_reference(&image(64, 80, seed, |_, _| (0.0, 0.0)));
            let flow = engine.run(&image(64, 80, seed, |_, _| (du, dv)));
            for (plane, truth) in [(&flow.u, du), (&flow.v, dv)] {
                let (mean, deviation) = inner_mean(flow, plane, 12);
                prop_assert!((mean - truth).abs() < 0.05, "mean {mean}, truth {truth}");
                prop_assert!(deviation < 0.12, "deviation {deviation}");
            }
        }

        #[test]
        fn swapped_images_negate_the_flow(du in -1.0f32..1.0, dv in -1.0f32..1.0, seed in 0f32..6.0) {
            let (a, b) = (image(64, 80, seed, |_, _| (0.0, 0.0)), image(64, 80, seed, |_, _| (du, dv)));
            let mut forth = FlowEngine::new(64, 80, Settings::FINE);
            forth.set_reference(&a);
            let mut back = FlowEngine::new(64, 80, Settings::FINE);
            back.set_reference(&b);
            let forth = forth.run(&b).clone();
            let back = back.run(&a);
            let (f, _) = inner_mean(&forth, &forth.u, 10);
            let (b, _) = inner_mean(back, &back.u, 10);
            prop_assert!((f + b).abs() < 0.05, "{f} and {b}");
        }

        #[test]
        fn brightness_moves_nothing(bias in -30f32..30.0, slope in -0.1f32..0.1) {
            let a = image(64, 80, 1.0, |_, _| (0.0, 0.0));
            let b: Vec<f32> = a.iter().enumerate().map(|(i, v)| v + bias + slope * (i % 64) as f32).collect();
            let mut engine = FlowEngine::new(64, 80, Settings::FINE);
            engine.set_reference(&a);
            let flow = engine.run(&b);
            let (mean, deviation) = inner_mean(flow, &flow.u, 10);
            prop_assert!(mean.abs() < 0.02 && deviation < 0.05, "{mean} +- {deviation}");
        }
    }

    #[test]
    fn half_resolution_reports_half_pixels() {
        let mut engine = FlowEngine::new(64, 80, Settings::QUICK);
        engine.set_reference(&image(64, 80, 2.0, |_, _| (0.0, 0.0)));
        let flow = engine.run(&image(64, 80, 2.0, |_, _| (1.0, -0.6)));
        assert_eq!((flow.width, flow.height), (32, 40));
        assert!((inner_mean(flow, &flow.u, 6).0 - 0.5).abs() < 0.05);
        assert!((inner_mean(flow, &flow.v, 6).0 + 0.3).abs() < 0.05);
    }

    #[test]
    fn flat_images_have_no_flow() {
        let mut engine = FlowEngine::new(32, 32, Settings::FINE);
        engine.set_reference(&[7.0; 32 * 32]);
        let flow = engine.run(&[250.0; 32 * 32]);
        assert!(flow.u.iter().chain(&flow.v).all(|d| d.abs() < 1e-3));
    }

    #[test]
    fn strain_of_a_stretch() {
        let mut flow = Flow::zeros(16, 16);
        for y in 0..16 {
            for x in 0..16 {
                flow.u[y * 16 + x] = 0.1 * x as f32;
                flow.v[y * 16 + x] = 0.05 * x as f32;
            }
        }
        let mut strain = Vec::new();
        flow.strain(&mut strain);
        let expected = (0.1f32 * 0.1 + 2.0 * 0.025 * 0.025).sqrt();
        assert!(strain.iter().all(|s| (s - expected).abs() < 1e-6));
    }
}
