//! Direct registration of the face against its neutral reference, to a fraction of a pixel.
//!
//! Method: inverse compositional Gauss-Newton (Baker and Matthews 2004) over a similarity transform,
//! gain and bias, on the parts of the face that expressions move least, coarse to fine. A last
//! iteration weighs each pixel down by its residual (Tukey's biweight), so that a brow, a lid or a
//! highlight that did move does not pull the head with it.

use crate::face::patch::Patch;
use crate::face::{CROP_HEIGHT, CROP_WIDTH};
use crate::geometry::Similarity;
use crate::kernels;

/// Parameters: four of the similarity, gain, bias.
const P: usize = 6;
/// Iterations at half and at full resolution.
const ITERATIONS: [usize; 2] = [3, 2];

/// How far expressions leave a point of the face alone: 1 for rigid parts (nose bridge and upper nose, forehead
/// between hairline and brows, temples), 0 where lids, brows, cheeks and mouth move.
/// `x`, `y` in crop pixels.
fn rigidity(x: f32, y: f32) -> f32 {
    // Centre, half-axes and weight of ellipses that fade to zero at their border.
    const PARTS: [([f32; 2], [f32; 2], f32); 6] = [
        ([63.5, 52.0], [13.0, 26.0], 1.0),  // nose bridge
        ([63.5, 74.0], [11.0, 14.0], 0.6),  // nose tip
        ([63.5, 6.0], [44.0, 10.0], 0.5),   // forehead
        ([10.0, 46.0], [11.0, 26.0], 0.6),  // right temple
        ([117.0, 46.0], [11.0, 26.0], 0.6), // left temple
        ([63.5, 34.0], [9.0, 12.0], 0.4),   // root of the nose
    ];
    PARTS
        .iter()
        .map(|([cx, cy], [rx, ry], weight)| {
            let d = ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2);
            weight * (1.0 - d * d).max(0.0)
        })
        .fold(0.0, f32::max)
}

/// The reference at one resolution: only pixels that count.
struct Level {
    pitch: usize,
    /// Index into the plane of each pixel.
    at: Vec<u32>,
    /// Its column, and its row.
    x: Vec<f32>,
    y: Vec<f32>,
    /// Weight, reference value and steepest descent of each pixel.
    weight: Vec<f32>,
    value: Vec<f32>,
    descent: Vec<[f32; P]>,
    inverse: [[f32; P]; P],
    /// Weighted variance of the reference, in gray levels squared.
    variance: f32,
}

/// What registration found.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Registration {
    /// Crop coordinates to frame coordinates.
    pub crop_to_frame: Similarity,
    /// Share of the reference's contrast on the rigid parts that the frame explains, 0 to 1.
    pub agreement: f32,
    /// Gain of the frame against the reference.
    pub gain: f32,
}

/// Registers frames against one reference crop.
pub struct Stabiliser {
    levels: [Level; 2],
    half: Vec<f32>,
    gradient: [Vec<f32>; 2],
    residual: Vec<f32>,
}

impl Default for Stabiliser {
    fn default() -> Self {
        Self::new()
    }
}

impl Stabiliser {
    /// A stabiliser without a reference: [`Stabiliser::set_reference`] comes first.
    pub fn new() -> Self {
        let n = CROP_WIDTH * CROP_HEIGHT;
        let level = |pitch: usize| {
            let (w, h) = (CROP_WIDTH / pitch, CROP_HEIGHT / pitch);
            let center = |i: usize| i as f32 * pitch as f32 + 0.5 * (pitch as f32 - 1.0);
            let (mut at, mut weight) = (Vec::new(), Vec::new());
            let (mut columns, mut rows) = (Vec::new(), Vec::new());
            for (x, y) in (0..h).flat_map(|y| (0..w).map(move |x| (x, y))) {
                let r = rigidity(center(x), center(y));
                if r > 0.05 {
                    at.push((y * w + x) as u32);
                    columns.push(x as f32);
                    rows.push(y as f32);
                    weight.push(r);
                }
            }
            let n = at.len();
            Level {
                pitch,
                at,
                x: columns,
                y: rows,
                weight,
                value: vec![0.0; n],
                descent: vec![[0.0; P]; n],
                inverse: [[0.0; P]; P],
                variance: 0.0,
            }
        };
        let levels = [level(2), level(1)];
        let residual = vec![0.0; levels[1].at.len()];
        Self { levels, half: vec![0.0; n / 4], gradient: [vec![0.0; n], vec![0.0; n]], residual }
    }

    /// Takes `crop` (row by row, the size of the stabilised crop) as the reference.
    pub fn set_reference(&mut self, crop: &[f32]) {
        kernels::downsample(crop, CROP_WIDTH, &mut self.half);
        for level in &mut self.levels {
            let image = if level.pitch == 1 { crop } else { &self.half };
            let w = CROP_WIDTH / level.pitch;
            let [gx, gy] = &mut self.gradient;
            kernels::gradients(image, w, &mut gx[..image.len()], &mut gy[..image.len()]);
            let (mut sum, mut total) = (0.0f64, 0.0f64);
            for (&at, &weight) in level.at.iter().zip(&level.weight) {
                sum += f64::from(weight * image[at as usize]);
                total += f64::from(weight);
            }
            let mean = (sum / total) as f32;
            let mut variance = 0.0f64;
            let mut hessian = [[0.0f64; P]; P];
            for (k, &at) in level.at.iter().enumerate() {
                let at = at as usize;
                let value = image[at] - mean;
                let (dx, dy) = (gx[at], gy[at]);
                // Coordinates about the crop's centre, in units of half its width.
                let x = ((at % w) as f32 - 0.5 * w as f32) / (0.5 * w as f32);
                let y = ((at / w) as f32 - 0.4 * w as f32) / (0.5 * w as f32);
                let descent = [dx * x + dy * y, dy * x - dx * y, dx, dy, value, 1.0];
                level.value[k] = image[at];
                level.descent[k] = descent;
                variance += f64::from(level.weight[k] * value * value);
                for (row, &a) in hessian.iter_mut().zip(&descent) {
                    for (cell, &b) in row.iter_mut().zip(&descent) {
                        *cell += f64::from(level.weight[k] * a * b);
                    }
                }
            }
            level.variance = (variance / total) as f32;
            level.inverse = invert(hessian);
        }
    }

    /// Finds the transform from `start`. The patch must have been loaded near `start`.
    pub fn register(&mut self, patch: &Patch, start: Similarity) -> Registration {
        let mut registration = Registration { crop_to_frame: start, agreement: 0.0, gain: 1.0 };
        for (level, iterations) in self.levels.iter().zip(ITERATIONS) {
            let w = CROP_WIDTH / level.pitch;
            let residual = &mut self.residual[..level.at.len()];
            let finest = level.pitch == 1;
            for iteration in 0..iterations {
                // Only where the face is rigid: a fifth of the crop.
                patch.sample_at(
                    &registration.crop_to_frame,
                    level.pitch as f32,
                    (&level.x, &level.y),
                    residual,
                );
                kernels::subtract(residual, &level.value);
                let robust = finest && iteration + 1 == iterations;
                let step = if robust { level.robust_step(residual) } else { level.step(residual) };
                // Inverse composition; the step is in centred coordinates of unit half-width.
                let half = 0.5 * w as f32;
                let (da, db) = (step[0] / half, step[1] / half);
                let unit = level.pitch as f32;
                let (cx, cy) = (half * unit, 0.4 * w as f32 * unit);
                let (a, b) = (1.0 + da, db);
                let increment = Similarity {
                    a,
                    b,
                    tx: step[2] * unit + cx - a * cx + b * cy,
                    ty: step[3] * unit + cy - b * cx - a * cy,
                };
                let next = registration.crop_to_frame.compose(&increment.inverse());
                if !(next.a.is_finite() && next.b.is_finite() && next.tx.is_finite() && next.ty.is_finite()) {
                    return Registration { agreement: 0.0, ..registration };
                }
                registration.crop_to_frame = next;
                registration.gain = 1.0 + step[4];
            }
            if finest {
                registration.agreement = level.agreement(residual);
            }
        }
        registration
    }
}

impl Level {
    fn step(&self, residual: &[f32]) -> [f32; P] {
        let mut b = [0.0f32; P];
        for ((r, w), d) in residual.iter().zip(&self.weight).zip(&self.descent) {
            let r = r * w;
            for (b, d) in b.iter_mut().zip(d) {
                *b += r * d;
            }
        }
        self.inverse.map(|row| row.iter().zip(&b).map(|(a, b)| a * b).sum())
    }

    /// A step with Tukey's biweight on what the plain step leaves unexplained.
    fn robust_step(&self, residual: &mut [f32]) -> [f32; P] {
        let plain = self.step(residual);
        let left = |r: f32, d: &[f32; P]| r - plain.iter().zip(d).map(|(p, d)| p * d).sum::<f32>();
        let (mut sum, mut total) = (0.0, 1e-6);
        for ((r, w), d) in residual.iter().zip(&self.weight).zip(&self.descent) {
            sum += w * left(*r, d).abs();
            total += w;
        }
        // The mean absolute residual, as a standard deviation, times Tukey's 4.685.
        let limit = (4.685 * 1.2533 * sum / total).max(1.0);
        let mut hessian = [[0.0f32; P]; P];
        let mut b = [0.0f32; P];
        for ((r, w), d) in residual.iter().zip(&self.weight).zip(&self.descent) {
            let e = left(*r, d) / limit;
            let k = (1.0 - e * e).max(0.0);
            let w = w * k * k;
            for (i, row) in hessian.iter_mut().enumerate() {
                let wd = w * d[i];
                b[i] += wd * r;
                for (cell, d) in row.iter_mut().zip(d) {
                    *cell += wd * d;
                }
            }
        }
        let inverse = invert(hessian.map(|row| row.map(f64::from)));
        let step: [f32; P] = inverse.map(|row| row.iter().zip(&b).map(|(a, b)| a * b).sum());
        for (r, d) in residual.iter_mut().zip(&self.descent) {
            *r -= step.iter().zip(d).map(|(p, d)| p * d).sum::<f32>();
        }
        step
    }

    /// 1 less the share of the reference's variance that stays unexplained. `residual` is what the
    /// last step left.
    fn agreement(&self, residual: &[f32]) -> f32 {
        let (mut sum, mut total) = (0.0, 1e-6);
        for (r, w) in residual.iter().zip(&self.weight) {
            sum += w * r * r;
            total += w;
        }
        (1.0 - sum / total / self.variance.max(1e-3)).clamp(0.0, 1.0)
    }
}

/// Inverse of a symmetric positive matrix by Gauss-Jordan elimination, lightly damped so that a flat
/// image gives a finite result.
fn invert(mut m: [[f64; P]; P]) -> [[f32; P]; P] {
    let mut inverse = [[0.0f64; P]; P];
    for (i, row) in inverse.iter_mut().enumerate() {
        row[i] = 1.0;
        m[i][i] = m[i][i] * (1.0 + 1e-6) + 1e-3;
    }
    for i in 0..P {
        let pivot = 1.0 / m[i][i];
        for k in 0..P {
            m[i][k] *= pivot;
            inverse[i][k] *= pivot;
        }
        for r in (0..P).filter(|&r| r != i) {
            let f = m[r][i];
            for k in 0..P {
                m[r][k] -= f * m[i][k];
                inverse[r][k] -= f * inverse[i][k];
            }
        }
    }
    inverse.map(|row| row.map(|v| v as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use crate::geometry::Point;
    use proptest::prelude::*;

    /// A textured frame under a similarity: what the head does.
    fn frame(head: &Similarity, gain: f32, bias: f32) -> Frame {
        let back = head.inverse();
        let luma = (0..320 * 320)
            .map(|i| {
                let p = back.apply(Point::new((i % 320) as f32, (i / 320) as f32));
                let t = (0.11 * p.x + 0.05 * p.y).sin() * 38.0
                    + (0.23 * p.y - 0.09 * p.x).cos() * 28.0
                    + (0.31 * p.x + 0.27 * p.y).sin() * 12.0;
                (128.0 + gain * t + bias).clamp(0.0, 255.0).round() as u8
            })
            .collect();
        Frame { seq: 0, at_ns: 0, width: 320, height: 320, luma }
    }

    fn corner_error(a: &Similarity, b: &Similarity) -> f32 {
        [(0.0, 0.0), (127.0, 0.0), (0.0, 159.0), (127.0, 159.0)]
            .map(|(x, y)| a.apply(Point::new(x, y)).distance(b.apply(Point::new(x, y))))
            .into_iter()
            .fold(0.0, f32::max)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn finds_the_head(dx in -4f32..4.0, dy in -4f32..4.0, roll in -0.035f32..0.035, zoom in 0.98f32..1.02,
                          gain in 0.7f32..1.2, bias in -20f32..20.0) {
            let still = Similarity { tx: 90.0, ty: 70.0, ..Similarity::IDENTITY };
            let mut patch = Patch::default();
            let mut crop = vec![0.0; CROP_WIDTH * CROP_HEIGHT];
            prop_assert!(patch.load(&frame(&Similarity::IDENTITY, 1.0, 0.0), &still));
            patch.sample(&still, 1.0, &mut crop, CROP_WIDTH);
            let mut stabiliser = Stabiliser::new();
            stabiliser.set_reference(&crop);

            let about = Point::new(160.0, 150.0);
            let (a, b) = (zoom * roll.cos(), zoom * roll.sin());
            let head = Similarity {
                a, b,
                tx: about.x + dx - a * about.x + b * about.y,
                ty: about.y + dy - b * about.x - a * about.y,
            };
            prop_assert!(patch.load(&frame(&head, gain, bias), &still));
            let registration = stabiliser.register(&patch, still);
            let error = corner_error(&registration.crop_to_frame, &head.compose(&still));
            prop_assert!(error < 0.15, "error {error} px, agreement {}", registration.agreement);
            prop_assert!(registration.agreement > 0.98);
            prop_assert!((registration.gain - gain).abs() < 0.05, "gain {} for {gain}", registration.gain);
        }
    }

    #[test]
    fn a_flat_frame_does_not_agree() {
        let still = Similarity { tx: 90.0, ty: 70.0, ..Similarity::IDENTITY };
        let mut patch = Patch::default();
        let mut crop = vec![0.0; CROP_WIDTH * CROP_HEIGHT];
        assert!(patch.load(&frame(&Similarity::IDENTITY, 1.0, 0.0), &still));
        patch.sample(&still, 1.0, &mut crop, CROP_WIDTH);
        let mut stabiliser = Stabiliser::new();
        stabiliser.set_reference(&crop);
        let flat = Frame { luma: vec![90; 320 * 320], width: 320, height: 320, ..Frame::default() };
        assert!(patch.load(&flat, &still));
        let registration = stabiliser.register(&patch, still);
        // Gain 0 explains a flat frame: the track looks at the gain too.
        assert!(registration.agreement < 0.5 || registration.gain < 0.2, "{registration:?}");
    }
}
