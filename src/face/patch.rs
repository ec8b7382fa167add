//! The part of a frame around one face, as a plane that can be sampled between its pixels.

use crate::face::{CROP_HEIGHT, CROP_WIDTH};
use crate::frame::Frame;
use crate::geometry::{Point, Similarity};
use crate::kernels;

/// Kept around the crop in frame pixels, so that registration can move it.
const MARGIN_PX: f32 = 16.0;

/// A smoothed copy of the frame around a face. A face larger than the crop is reduced by whole
/// factors first, so that sampling at the crop's pitch does not alias; the 1-2-1 filter makes
/// bilinear interpolation nearly independent of the sub-pixel phase.
#[derive(Default)]
pub struct Patch {
    plane: Vec<f32>,
    tmp: Vec<f32>,
    width: usize,
    /// Frame coordinates to plane coordinates: `(p - origin) / step`.
    origin: Point,
    step: f32,
}

impl Patch {
    /// Copies what the crop under `crop_to_frame` needs. False when it lies outside the frame.
    pub fn load(&mut self, frame: &Frame, crop_to_frame: &Similarity) -> bool {
        let (w, h) = ((CROP_WIDTH - 1) as f32, (CROP_HEIGHT - 1) as f32);
        let corners =
            [(0.0, 0.0), (w, 0.0), (0.0, h), (w, h)].map(|(x, y)| crop_to_frame.apply(Point::new(x, y)));
        let bound = |pick: fn(Point) -> f32| {
            corners.iter().fold((f32::MAX, f32::MIN), |(lo, hi), &c| (lo.min(pick(c)), hi.max(pick(c))))
        };
        let ((x0, x1), (y0, y1)) = (bound(|p| p.x), bound(|p| p.y));
        if !(x0.is_finite() && y0.is_finite()) || x1 - x0 > 8192.0 || y1 - y0 > 8192.0 {
            return false;
        }
        // Samples of the plane per pixel of the crop stay between 1 and 2.
        let step = (crop_to_frame.scale() as usize).max(1);
        let span = |lo: f32, hi: f32, limit: usize| {
            let lo = (lo - MARGIN_PX).floor().clamp(0.0, limit as f32) as usize;
            let hi = (hi + MARGIN_PX).ceil().clamp(0.0, limit as f32) as usize;
            (lo, hi.saturating_sub(lo) / step)
        };
        let ((left, columns), (top, rows)) = (span(x0, x1, frame.width), span(y0, y1, frame.height));
        if columns < 8 || rows < 8 || frame.luma.len() < frame.width * frame.height {
            return false;
        }
        self.width = columns;
        self.step = step as f32;
        // The centre of the first block.
        let half = 0.5 * (self.step - 1.0);
        self.origin = Point::new(left as f32 + half, top as f32 + half);
        self.plane.resize(columns * rows, 0.0);
        self.tmp.resize(columns * rows, 0.0);
        const MAX_STEP: usize = 64;
        let mut lines: [&[u8]; MAX_STEP] = [&[]; MAX_STEP];
        for (y, out) in self.plane.chunks_exact_mut(columns).enumerate() {
            let step = step.min(MAX_STEP);
            for (k, line) in lines[..step].iter_mut().enumerate() {
                *line = &frame.luma[(top + y * step + k) * frame.width + left..][..columns * step];
            }
            kernels::block_means(&lines[..step], step, out);
        }
        kernels::smooth(&mut self.plane, columns, &mut self.tmp);
        true
    }

    /// The crop under `crop_to_frame`, sampled at every `pitch`-th pixel; `out` has `columns` columns.
    pub fn sample(&self, crop_to_frame: &Similarity, pitch: f32, out: &mut [f32], columns: usize) {
        kernels::sample(&self.plane, self.width, self.transform(crop_to_frame, pitch), out, columns);
    }

    /// The same at some pixels of `out` alone: their columns and rows.
    pub(super) fn sample_at(
        &self,
        crop_to_frame: &Similarity,
        pitch: f32,
        (x, y): (&[f32], &[f32]),
        out: &mut [f32],
    ) {
        kernels::sample_at(&self.plane, self.width, self.transform(crop_to_frame, pitch), x, y, out);
    }

    /// From pixels of the output to the plane: rotation with scale, and translation.
    fn transform(&self, crop_to_frame: &Similarity, pitch: f32) -> [f32; 4] {
        let k = 1.0 / self.step;
        let first = crop_to_frame.apply(Point::new(0.5 * (pitch - 1.0), 0.5 * (pitch - 1.0)));
        [
            k * pitch * crop_to_frame.a,
            k * pitch * crop_to_frame.b,
            k * (first.x - self.origin.x),
            k * (first.y - self.origin.y),
        ]
    }
}

/// Samples a luma image under `to_frame` into a square of `side` columns, reduced by block means where
/// the image is finer than the output. False when nothing of it lies in the image.
pub fn sample_luma(
    luma: &[u8],
    width: usize,
    height: usize,
    to_frame: &Similarity,
    out: &mut [f32],
    side: usize,
) -> bool {
    let center = to_frame.apply(Point::new(0.5 * side as f32, 0.5 * side as f32));
    let inside = (0.0..width as f32).contains(&center.x) && (0.0..height as f32).contains(&center.y);
    let scale = to_frame.scale();
    if !inside || !scale.is_finite() || luma.len() < width * height {
        return false;
    }
    // Taps per output pixel and axis, spread over its extent. Many taps need no interpolation.
    let taps = ((0.6 * scale).round() as usize).clamp(1, 4);
    let norm = 1.0 / (taps * taps) as f32;
    let (right, bottom) = ((width - 1) as f32, (height - 1) as f32);
    let at = |x: usize, y: usize| f32::from(luma[y * width + x]);
    for (i, o) in out.iter_mut().enumerate() {
        let (x, y) = ((i % side) as f32, (i / side) as f32);
        let inside = |x: f32, y: f32| {
            let p = to_frame.apply(Point::new(x, y));
            (p.x.clamp(0.0, right), p.y.clamp(0.0, bottom))
        };
        if taps == 1 {
            let (px, py) = inside(x, y);
            let (ix, iy) = (px as usize, py as usize);
            let (jx, jy) = ((ix + 1).min(width - 1), (iy + 1).min(height - 1));
            let (fx, fy) = (px - ix as f32, py - iy as f32);
            let top = at(ix, iy) + fx * (at(jx, iy) - at(ix, iy));
            let low = at(ix, jy) + fx * (at(jx, jy) - at(ix, jy));
            *o = top + fy * (low - top);
            continue;
        }
        let offset = |k: usize| (k as f32 + 0.5) / taps as f32 - 0.5;
        let mut sum = 0.0;
        for t in 0..taps * taps {
            let (px, py) = inside(x + offset(t % taps), y + offset(t / taps));
            sum += at((px + 0.5) as usize, (py + 0.5) as usize);
        }
        *o = sum * norm;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: usize, height: usize) -> Frame {
        let luma = (0..width * height).map(|i| ((i % width) / 4 + (i / width) / 8) as u8).collect();
        Frame { seq: 0, at_ns: 0, width, height, luma }
    }

    #[test]
    fn samples_lie_where_the_transform_says() {
        let frame = ramp(640, 480);
        let mut patch = Patch::default();
        let mut crop = vec![0.0; CROP_WIDTH * CROP_HEIGHT];
        for scale in [0.7f32, 1.0, 1.7, 2.4] {
            let transform = Similarity { a: scale, b: 0.05, tx: 80.3, ty: 40.7 };
            assert!(patch.load(&frame, &transform));
            patch.sample(&transform, 1.0, &mut crop, CROP_WIDTH);
            for (x, y) in [(5, 7), (64, 80), (120, 150)] {
                let p = transform.apply(Point::new(x as f32, y as f32));
                // The mean of a staircase of unit steps lags the line by the middle of its treads.
                let truth = (p.x - 1.5) / 4.0 + (p.y - 3.5) / 8.0;
                let value = crop[y * CROP_WIDTH + x];
                assert!((value - truth).abs() < 0.9, "scale {scale} at ({x}, {y}): {value}, truth {truth}");
            }
        }
    }

    #[test]
    fn single_pixels_are_those_of_the_whole_crop_to_the_bit() {
        let frame = ramp(640, 480);
        let mut patch = Patch::default();
        let places: Vec<(usize, usize)> = (0..997).map(|i| (i * 37 % 64, i * 53 % 80)).collect();
        let x: Vec<f32> = places.iter().map(|p| p.0 as f32).collect();
        let y: Vec<f32> = places.iter().map(|p| p.1 as f32).collect();
        // Inside, reduced, and half outside of the frame.
        for (a, tx) in [(0.9, 80.3), (2.4, 40.7), (1.1, -60.2)] {
            let transform = Similarity { a, b: 0.07, tx, ty: 30.9 };
            assert!(patch.load(&frame, &transform));
            let (mut whole, mut some) = (vec![0.0; 64 * 80], vec![0.0; places.len()]);
            patch.sample(&transform, 2.0, &mut whole, 64);
            patch.sample_at(&transform, 2.0, (&x, &y), &mut some);
            for ((x, y), value) in places.iter().zip(&some) {
                assert_eq!(whole[y * 64 + x].to_bits(), value.to_bits(), "{a} at ({x}, {y})");
            }
        }
    }

    #[test]
    fn a_crop_outside_the_frame_is_refused() {
        let mut patch = Patch::default();
        let far = Similarity { tx: 5000.0, ..Similarity::IDENTITY };
        assert!(!patch.load(&ramp(64, 48), &far));
        let broken = Similarity { tx: f32::NAN, ..Similarity::IDENTITY };
        assert!(!patch.load(&ramp(64, 48), &broken));
        assert!(!patch.load(&Frame::default(), &Similarity::IDENTITY));
    }
}
