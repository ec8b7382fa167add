//! Dense optical flow and optical strain between two stabilised crops.
//!
//! Method: Gauss-Newton in the inverse compositional form of Baker and Matthews (2004), whose gradients belong to the
//! reference image, with the energy of Bruhn, Weickert and Schnoerr (2005, "Lucas/Kanade meets Horn/Schunck"): a robust
//! data term averaged over a small window plus a robust smoothness term, coarse to fine. Each linear system is relaxed
//! by Jacobi's method with Chebyshev's weights (Golub and Varga 1961): as quick as successive over-relaxation, and every
//! pixel can be computed at once. Light is compensated first: one gain and
//! one plane fit the target to the reference, and the local mean is taken off both.
//! `docs/results/flow.md` compares it with other methods.

use crate::kernels;

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
#[non_exhaustive]
pub struct FlowSettings {
    /// Finest pyramid level that is computed: 0 full, 1 half, 2 quarter resolution.
    pub finest: usize,
    /// Times that the target is warped at each level.
    pub warps: usize,
    /// Steps of relaxation after each warp.
    pub sweeps: usize,
    /// Weight of the smoothness term against the data term, in (gray levels / pixel)^2.
    pub smoothness: f32,
    /// Difference of the flow between neighbours, in pixels of the level, beyond which it counts as an edge.
    pub contrast: f32,
    /// Whether the light may differ between the images. Steady light leaves more of large movements to be seen.
    pub light: bool,
}

impl FlowSettings {
    /// Quarter resolution: the cheapest.
    pub const COARSE: Self = Self { finest: 2, warps: 3, ..Self::QUICK };
    /// For every frame: half resolution.
    pub const QUICK: Self =
        Self { finest: 1, warps: 2, sweeps: 12, smoothness: 100.0, contrast: 0.05, light: true };
    /// For the pair that the student sees: full resolution.
    pub const FINE: Self = Self { finest: 0, ..Self::QUICK };

    /// The same for images under one light.
    pub const fn in_steady_light(self) -> Self {
        Self { light: false, ..self }
    }
}

/// Levels of the pyramid: the coarsest has an eighth of the resolution.
const LEVELS: usize = 4;
/// Residual at which a pixel's weight is a half, at each level: a coarse level may still be far off.
const SOFTNESS: [f32; LEVELS] = [4.0, 4.0, 8.0, 8.0];
/// At the first warp of a level, residuals are judged so much more mildly.
const FIRST_SOFTNESS: f32 = 2.0;
/// Passes of the 1-2-1 filter, at half the resolution of each level, over the local mean that is taken off.
const MEAN_PASSES: usize = 4;
/// Passes of the fit of the light, and the residual at which a pixel's weight in it is a half.
const LIGHT_PASSES: usize = 4;
/// See [`LIGHT_PASSES`].
const LIGHT_SOFTNESS: f32 = 8.0;
/// Spectral radius that Chebyshev's weights assume of Jacobi's iteration.
const RADIUS: f32 = 0.99;

/// What is known of both images at one level. Flow has a margin of one row above and below.
struct Level {
    w: usize,
    image: Vec<f32>,
    gradient: [Vec<f32>; 2],
    target: Vec<f32>,
    flow: [Vec<f32>; 2],
}

impl Level {
    fn bare(&self, k: usize) -> &[f32] {
        &self.flow[k][self.w..][..self.image.len()]
    }
}

/// Optical flow from one reference to many targets, all of one size, with fixed buffers.
pub struct FlowEngine {
    settings: FlowSettings,
    levels: Vec<Level>,
    data: [Vec<f32>; 6],
    ties: [Vec<f32>; 2],
    inverse: [Vec<f32>; 3],
    known: [Vec<f32>; 2],
    next: [Vec<f32>; 2],
    tmp: Vec<f32>,
    half: Vec<f32>,
    result: Flow,
}

impl FlowEngine {
    /// An engine for images of `width * height`; both must be multiples of 16 and at least 32.
    ///
    /// # Panics
    /// If the size is not, or if `settings` name a level that does not exist.
    pub fn new(width: usize, height: usize, settings: FlowSettings) -> Self {
        assert!(
            width >= 32 && height >= 32 && width.is_multiple_of(16) && height.is_multiple_of(16),
            "flow needs sides that are multiples of 16 and at least 32, not {width}x{height}"
        );
        assert!(settings.finest < LEVELS, "flow has no level {}", settings.finest);
        let levels = (0..LEVELS)
            .map(|l| {
                let (w, n) = (width >> l, (width >> l) * (height >> l));
                // Images are needed down from full resolution, the rest from the finest level that is computed.
                let plane = |n: usize| vec![0.0; if l < settings.finest { 0 } else { n }];
                Level {
                    w,
                    image: vec![0.0; n],
                    gradient: [plane(n), plane(n)],
                    target: vec![0.0; n],
                    flow: [plane(n + 2 * w), plane(n + 2 * w)],
                }
            })
            .collect();
        let (w, n) = (width >> settings.finest, (width >> settings.finest) * (height >> settings.finest));
        let plane = || vec![0.0; n];
        Self {
            settings,
            levels,
            data: [plane(), plane(), plane(), plane(), plane(), plane()],
            ties: [vec![0.0; n + 1], vec![0.0; n + w]],
            inverse: [plane(), plane(), plane()],
            known: [plane(), plane()],
            next: [vec![0.0; n + 2 * w], vec![0.0; n + 2 * w]],
            tmp: plane(),
            half: vec![0.0; n / 4],
            result: Flow::zeros(w, height >> settings.finest),
        }
    }

    /// Takes `reference` (row by row, the size of the engine) as what targets are compared with.
    pub fn set_reference(&mut self, reference: &[f32]) {
        self.levels[0].image.copy_from_slice(reference);
        for l in 1..LEVELS {
            let (fine, coarse) = self.levels.split_at_mut(l);
            let fine = &fine[l - 1];
            kernels::downsample(&fine.image, fine.w, &mut coarse[0].image);
        }
        for (l, level) in self.levels.iter_mut().enumerate().skip(self.settings.finest) {
            if self.settings.light && l + 1 < LEVELS {
                subtract_mean(&mut level.image, level.w, &mut self.half, &mut self.tmp);
            }
            let [gx, gy] = &mut level.gradient;
            kernels::gradients(&level.image, level.w, gx, gy);
        }
    }

    /// The flow from the reference to `target`, at the resolution of the finest level; its values are pixels of that
    /// resolution.
    pub fn run(&mut self, target: &[f32]) -> &Flow {
        self.levels[0].target.copy_from_slice(target);
        for l in 1..LEVELS {
            let (fine, coarse) = self.levels.split_at_mut(l);
            let fine = &fine[l - 1];
            kernels::downsample(&fine.target, fine.w, &mut coarse[0].target);
        }
        if self.settings.light {
            self.compensate_light();
        }
        for l in (self.settings.finest..LEVELS).rev() {
            let (here, coarser) = self.levels.split_at_mut(l + 1);
            let level = &mut here[l];
            let (w, n) = (level.w, level.image.len());
            match coarser.first() {
                Some(coarse) => {
                    for (k, flow) in level.flow.iter_mut().enumerate() {
                        kernels::double(coarse.bare(k), w, 2.0, &mut flow[w..][..n]);
                    }
                }
                None => level.flow.iter_mut().for_each(|f| f.fill(0.0)),
            }
            for warp in 0..self.settings.warps {
                self.step(l, SOFTNESS[l] * if warp == 0 { FIRST_SOFTNESS } else { 1.0 });
            }
        }
        let level = &self.levels[self.settings.finest];
        self.result.u.copy_from_slice(level.bare(0));
        self.result.v.copy_from_slice(level.bare(1));
        &self.result
    }

    /// Share of the pixels that the last flow could not explain: light, lids or a hand came between. Of the last warp
    /// at the finest level.
    pub fn outliers(&self) -> f32 {
        let softness = SOFTNESS[self.settings.finest];
        let residual = &self.data[5];
        let count = residual.iter().map(|r| f32::from(u8::from(r.abs() > softness))).sum::<f32>();
        count / residual.len() as f32
    }

    /// Carries the target's light over to the reference's: `target = gain * reference + plane`, one gain and one plane
    /// (a bias that may rise to a side) for the whole image, fitted at the coarsest level with the weights of the data
    /// term, so that a mouth that opens does not count as light. Light that bends within the face is what the local
    /// mean takes off at the finer levels.
    fn compensate_light(&mut self) {
        let Some(Level { w, image, target, .. }) = self.levels.last() else { return };
        let (w, h) = (*w, image.len() / w);
        let center = |k: usize, n: usize| (2 * k + 1) as f32 / n as f32 - 1.0;
        let mut light = [1.0, 0.0, 0.0, 0.0];
        for pass in 0..LIGHT_PASSES {
            let softness = if pass == 0 { f32::INFINITY } else { LIGHT_SOFTNESS };
            let mut matrix = [[0.0f32; 4]; 4];
            let mut right = [0.0f32; 4];
            for (k, (&i, &t)) in image.iter().zip(target).enumerate() {
                let row = [i, 1.0, center(k % w, w), center(k / w, h)];
                let r = (t - dot4(&row, &light)) / softness;
                let weight = 1.0 / (1.0 + r * r);
                for (a, line) in matrix.iter_mut().enumerate() {
                    line.iter_mut().zip(&row).for_each(|(m, b)| *m += weight * row[a] * b);
                    right[a] += weight * row[a] * t;
                }
            }
            light = solve4(matrix, right);
        }
        // A picture without contrast, or of something else, has any gain.
        let gain = if light[0].is_finite() { light[0].clamp(0.4, 2.5) } else { 1.0 };
        for (l, level) in self.levels.iter_mut().enumerate().skip(self.settings.finest) {
            let (w, h) = (level.w, level.target.len() / level.w);
            for (y, row) in level.target.chunks_exact_mut(w).enumerate() {
                let start = light[1] + light[3] * center(y, h) + light[2] * center(0, w);
                kernels::relight(row, start, light[2] * 2.0 / w as f32, 1.0 / gain);
            }
            if l + 1 < LEVELS {
                subtract_mean(&mut level.target, level.w, &mut self.half, &mut self.tmp);
            }
        }
    }

    /// Warps the target of level `l` by its flow and improves the flow.
    fn step(&mut self, l: usize, softness: f32) {
        let Level { w, image, gradient: [gx, gy], target, flow: [u, v], .. } = &mut self.levels[l];
        let (w, n) = (*w, image.len());
        let bare = w..w + n;
        let [data @ .., residual] = self.data.each_mut().map(|p| &mut p[..n]);
        let [xx, xy, yy, bx, by] = data;
        let linearised = [&mut *xx, &mut *xy, &mut *yy, &mut *bx, &mut *by, residual];
        kernels::linearise(target, image, w, (&u[bare.clone()], &v[bare]), (gx, gy), softness, linearised);
        for plane in [&mut *xx, &mut *xy, &mut *yy, &mut *bx, &mut *by] {
            kernels::smooth(plane, w, &mut self.tmp[..n]);
        }
        let [west, north] = &mut self.ties;
        let (west, north) = (&mut west[..n + 1], &mut north[..n + w]);
        kernels::ties(u, v, w, self.settings.smoothness, self.settings.contrast, west, north);
        let ties = (&*west, &*north);
        let mut inverse = self.inverse.each_mut().map(|p| &mut p[..n]);
        let mut known = self.known.each_mut().map(|p| &mut p[..n]);
        let [i0, i1, i2] = &mut inverse;
        let [k0, k1] = &mut known;
        kernels::system([xx, xy, yy, bx, by], ties, u, v, w, [i0, i1, i2], [k0, k1]);
        let inverse = inverse.each_ref().map(|p| &**p);
        let known = known.each_ref().map(|p| &**p);
        let [nu, nv] = &mut self.next;
        let (nu, nv) = (&mut nu[..n + 2 * w], &mut nv[..n + 2 * w]);
        let mut omega = 1.0;
        for sweep in 0..self.settings.sweeps {
            let quarter = 0.25 * RADIUS * RADIUS;
            omega = match sweep {
                0 => 1.0,
                1 => 1.0 / (1.0 - 2.0 * quarter),
                _ => 1.0 / (1.0 - quarter * omega),
            };
            if sweep % 2 == 0 {
                kernels::relax(inverse, known, ties, omega, [u, v], nu, nv);
            } else {
                kernels::relax(inverse, known, ties, omega, [nu, nv], u, v);
            }
        }
        if self.settings.sweeps % 2 == 1 {
            u.copy_from_slice(nu);
            v.copy_from_slice(nv);
        }
    }
}

/// Takes the mean of each pixel's surroundings off `plane` (`w` columns): light that varies slowly over the image.
fn subtract_mean(plane: &mut [f32], w: usize, half: &mut [f32], tmp: &mut [f32]) {
    let n = plane.len();
    let half = &mut half[..n / 4];
    kernels::downsample(plane, w, half);
    for _ in 0..MEAN_PASSES {
        kernels::smooth(half, w / 2, &mut tmp[..n / 4]);
    }
    let mean = &mut tmp[..n];
    kernels::double(half, w, 1.0, mean);
    kernels::subtract(plane, mean);
}

fn dot4(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    (a[0] * b[0] + a[1] * b[1]) + (a[2] * b[2] + a[3] * b[3])
}

/// Solves a positive system by elimination; lightly damped.
fn solve4(mut m: [[f32; 4]; 4], mut right: [f32; 4]) -> [f32; 4] {
    for (i, row) in m.iter_mut().enumerate() {
        row[i] = row[i] * 1.0001 + 1e-3;
    }
    for i in 0..4 {
        let (pivot, value) = (m[i], right[i]);
        for (row, r) in m.iter_mut().zip(&mut right).skip(i + 1) {
            let factor = row[i] / pivot[i];
            row.iter_mut().zip(&pivot).for_each(|(a, b)| *a -= factor * b);
            *r -= factor * value;
        }
    }
    let mut x = [0.0; 4];
    for i in (0..4).rev() {
        let known: f32 = m[i].iter().zip(&x).skip(i + 1).map(|(a, b)| a * b).sum();
        x[i] = (right[i] - known) / m[i][i];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::{ROUNDING, THOUSANDTH};
    use proptest::prelude::*;

    /// Smooth texture that can be sampled anywhere, so that sub-pixel shifts are exact; coarse structure dominates, as
    /// it does in faces.
    fn texture(x: f32, y: f32, seed: f32) -> f32 {
        let s = |k: f32, fx: f32, fy: f32| (k + fx * x + fy * y + seed).sin();
        128.0
            + 36.0 * s(0.3, 0.09, 0.05) * s(1.1, -0.04, 0.11)
            + 20.0 * s(0.3, 0.31, 0.12) * s(1.1, -0.11, 0.37)
            + 8.0 * s(2.0, 0.71, -0.53)
            + 4.0 * s(0.7, 0.05, 0.9)
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
            let mut engine = FlowEngine::new(64, 80, FlowSettings::FINE);
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
            let mut forth = FlowEngine::new(64, 80, FlowSettings::FINE);
            forth.set_reference(&a);
            let mut back = FlowEngine::new(64, 80, FlowSettings::FINE);
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
            let mut engine = FlowEngine::new(64, 80, FlowSettings::FINE);
            engine.set_reference(&a);
            let flow = engine.run(&b);
            let (mean, deviation) = inner_mean(flow, &flow.u, 10);
            prop_assert!(mean.abs() < 0.02 && deviation < 0.05, "{mean} +- {deviation}");
        }
    }

    /// The vector path does what the plain one does, to the last bit.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn all_paths_agree() {
        use std::sync::atomic::Ordering::Relaxed;
        let (a, b) =
            (image(64, 96, 0.7, |_, _| (0.0, 0.0)), image(64, 96, 0.7, |x, y| (0.02 * x, 1.5 - 0.02 * y)));
        for settings in [FlowSettings::FINE, FlowSettings::QUICK, FlowSettings::COARSE.in_steady_light()] {
            let run = |scalar| {
                crate::kernels::SCALAR.store(scalar, Relaxed);
                let mut engine = FlowEngine::new(64, 96, settings);
                engine.set_reference(&a);
                let flow = engine.run(&b).clone();
                crate::kernels::SCALAR.store(false, Relaxed);
                flow
            };
            assert_eq!(run(true), run(false));
        }
    }

    #[test]
    fn what_cannot_be_explained_is_counted() {
        let mut engine = FlowEngine::new(64, 96, FlowSettings::QUICK);
        let a = image(64, 96, 0.7, |_, _| (0.0, 0.0));
        engine.set_reference(&a);
        engine.run(&image(64, 96, 0.7, |_, _| (0.7, -0.4)));
        assert!(engine.outliers() < 0.04, "{}", engine.outliers());
        let mut covered = a.clone();
        for y in 20..60 {
            for x in 16..48 {
                covered[y * 64 + x] = if (x / 4 + y / 4) % 2 == 0 { 250.0 } else { 20.0 };
            }
        }
        engine.run(&covered);
        assert!(engine.outliers() > 0.1, "{}", engine.outliers());
    }

    #[test]
    fn half_resolution_reports_half_pixels() {
        let mut engine = FlowEngine::new(64, 80, FlowSettings::QUICK);
        engine.set_reference(&image(64, 80, 2.0, |_, _| (0.0, 0.0)));
        let flow = engine.run(&image(64, 80, 2.0, |_, _| (1.0, -0.6)));
        assert_eq!((flow.width, flow.height), (32, 40));
        assert!((inner_mean(flow, &flow.u, 6).0 - 0.5).abs() < 0.05);
        assert!((inner_mean(flow, &flow.v, 6).0 + 0.3).abs() < 0.05);
    }

    #[test]
    fn flat_images_have_no_flow() {
        let mut engine = FlowEngine::new(32, 32, FlowSettings::FINE);
        engine.set_reference(&[7.0; 32 * 32]);
        let flow = engine.run(&[250.0; 32 * 32]);
        assert!(flow.u.iter().chain(&flow.v).all(|d| d.abs() < THOUSANDTH));
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
        assert!(strain.iter().all(|s| (s - expected).abs() < ROUNDING));
    }
}
