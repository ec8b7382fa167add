//! What the AU network sees of a face: how it moved and how its brightness changed, coarsely everywhere and finely where
//! small muscles move little skin.

use crate::face::{CROP_HEIGHT, CROP_WIDTH};
use crate::flow::Flow;

/// Columns and rows of the fine grid: a cell is 4 x 4 crop pixels.
const FINE: (usize, usize) = (CROP_WIDTH / 4, CROP_HEIGHT / 4);
/// Columns and rows of the coarse grid: a cell is 8 x 8 crop pixels.
const COARSE: (usize, usize) = (CROP_WIDTH / 8, CROP_HEIGHT / 8);

/// Columns and rows of the cells of [`motion`]: a cell is 16 x 16 crop pixels.
pub const COLUMNS: usize = CROP_WIDTH / 16;
/// See [`COLUMNS`].
pub const ROWS: usize = CROP_HEIGHT / 16;

/// Motion of each cell of 16 x 16 crop pixels, in crop pixels: u of all cells and then v, from the features of a face.
pub fn motion(features: &[f32]) -> [f32; 2 * COLUMNS * ROWS] {
    let mut out = [0.0; 2 * COLUMNS * ROWS];
    let planes = features.chunks_exact(COARSE.0 * COARSE.1);
    for (plane, out) in planes.zip(out.chunks_exact_mut(COLUMNS * ROWS)) {
        crate::kernels::downsample(plane, COARSE.0, out);
        // Flow speaks in pixels of half the crop's resolution.
        out.iter_mut().for_each(|v| *v *= 2.0);
    }
    out
}

/// A part of the fine grid, as far to the left of the middle as to the right of it.
struct Band {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Band {
    const fn cells(&self) -> usize {
        self.width * self.height
    }
}

/// Where four pixels matter: the lids, and the mouth. In the coarse grid a lid is one row, a lip less than one.
const BANDS: [Band; 2] =
    [Band { x: 3, y: 8, width: 26, height: 6 }, Band { x: 7, y: 25, width: 18, height: 9 }];
const _: () = assert!(2 * BANDS[0].x + BANDS[0].width == FINE.0 && 2 * BANDS[1].x + BANDS[1].width == FINE.0);

/// Numbers of one face: u of every coarse cell, then v, then the change of brightness; the same of the cells of each band.
pub const FEATURES: usize = 3 * (COARSE.0 * COARSE.1 + BANDS[0].cells() + BANDS[1].cells());
/// Added to a luma before its logarithm is taken: in the dark a ratio is noise.
const DARK: f32 = 16.0;

/// Width and cells of each grid, in the order of [`FEATURES`].
fn grids() -> impl Iterator<Item = (usize, usize)> {
    std::iter::once((COARSE.0, COARSE.0 * COARSE.1)).chain(BANDS.iter().map(|b| (b.width, b.cells())))
}

/// Measures a face. `flow` has half the crop's resolution and speaks in pixels of that; a cell's motion is its mean. The
/// change of brightness is the logarithm of the cell's brightness over that of the neutral face, less its mean over the
/// coarse cells, so that light which is brighter everywhere changes nothing. Lips that part show teeth or the dark between
/// them, lids that rise show white: flow alone cannot follow what was not in sight. `out` has [`FEATURES`] numbers.
pub fn features(flow: &Flow, neutral: &[f32], crop: &[f32], out: &mut [f32]) {
    const FINE_CELLS: usize = FINE.0 * FINE.1;
    const COARSE_CELLS: usize = COARSE.0 * COARSE.1;
    let mut fine = [[0.0; FINE_CELLS]; 3];
    let [u, v, change] = &mut fine;
    crate::kernels::downsample(&flow.u, flow.width, u);
    crate::kernels::downsample(&flow.v, flow.width, v);
    let (mut was, mut half) = ([0.0; FINE_CELLS], [0.0; 4 * FINE_CELLS]);
    for (plane, cells) in [(neutral, &mut was), (crop, &mut *change)] {
        crate::kernels::downsample(plane, CROP_WIDTH, &mut half);
        crate::kernels::downsample(&half, CROP_WIDTH / 2, cells);
    }
    let (coarse, mut rest) = out.split_at_mut(3 * COARSE_CELLS);
    let (motion, light) = coarse.split_at_mut(2 * COARSE_CELLS);
    for (plane, out) in [&*u, &*v].into_iter().zip(motion.chunks_exact_mut(COARSE_CELLS)) {
        crate::kernels::downsample(plane, FINE.0, out);
    }
    let mut before = [0.0; COARSE_CELLS];
    crate::kernels::downsample(&was, FINE.0, &mut before);
    crate::kernels::downsample(change, FINE.0, light);
    let ratio = |now: f32, before: f32| ((now + DARK) / (before + DARK)).ln();
    light.iter_mut().zip(&before).for_each(|(l, b)| *l = ratio(*l, *b));
    let mean = light.iter().sum::<f32>() / COARSE_CELLS as f32;
    light.iter_mut().for_each(|l| *l -= mean);
    for band in &BANDS {
        for (plane, is_light) in [(&*u, false), (&*v, false), (&*change, true)] {
            let (cells, more) = rest.split_at_mut(band.cells());
            for (row, out) in cells.chunks_exact_mut(band.width).enumerate() {
                let at = (band.y + row) * FINE.0 + band.x;
                out.copy_from_slice(&plane[at..][..band.width]);
                if is_light {
                    out.iter_mut().zip(&was[at..]).for_each(|(l, b)| *l = ratio(*l, *b) - mean);
                }
            }
            rest = more;
        }
    }
}

/// Makes the features of a face those of its mirror image, in place.
pub fn mirror(features: &mut [f32]) {
    let mut rest = features;
    for (width, cells) in grids() {
        let (grid, more) = rest.split_at_mut(3 * cells);
        grid.chunks_exact_mut(width).for_each(<[f32]>::reverse);
        grid[..cells].iter_mut().for_each(|u| *u = -*u);
        rest = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::{KERNELS, SUMS, THOUSANDTH};

    /// A face whose half-resolution flow and whose gain over the neutral face are those of `f(x, y)`: u, v, gain.
    fn measured(f: impl Fn(usize, usize) -> (f32, f32, f32)) -> Vec<f32> {
        let mut flow = Flow::zeros(CROP_WIDTH / 2, CROP_HEIGHT / 2);
        let neutral = vec![84.0; CROP_WIDTH * CROP_HEIGHT];
        let mut crop = neutral.clone();
        for y in 0..CROP_HEIGHT {
            for x in 0..CROP_WIDTH {
                let (u, v, gain) = f(x, y);
                let at = (y / 2) * flow.width + x / 2;
                (flow.u[at], flow.v[at]) = (u, v);
                crop[y * CROP_WIDTH + x] = gain * (84.0 + DARK) - DARK;
            }
        }
        let mut out = vec![f32::NAN; FEATURES];
        features(&flow, &neutral, &crop, &mut out);
        out
    }

    #[test]
    fn cells_are_means_of_their_pixels() {
        let out = measured(|x, y| {
            ((x / 4) as f32, -((y / 4) as f32), if (24..28).contains(&x) { 1.5 } else { 1.0 })
        });
        let mut rest = &out[..];
        let mean = rest[2 * COARSE.0 * COARSE.1];
        for (k, (width, cells)) in grids().enumerate() {
            let (size, left, top) = if k == 0 { (2, 0, 0) } else { (1, BANDS[k - 1].x, BANDS[k - 1].y) };
            for i in 0..cells {
                let (x, y) = (left + size * (i % width), top + size * (i / width));
                let half = 0.5 * (size - 1) as f32;
                assert_eq!(
                    (rest[i], rest[cells + i]),
                    (x as f32 + half, -(y as f32 + half)),
                    "grid {k} cell {i}"
                );
                let gain = match (size, x) {
                    (1, 6) => 1.5f32,
                    (2, 6) => 1.25,
                    _ => 1.0,
                };
                assert!((rest[2 * cells + i] - mean - gain.ln()).abs() < KERNELS, "grid {k} cell {i}");
            }
            rest = &rest[3 * cells..];
        }
        assert!(rest.is_empty());
        assert!(out[2 * COARSE.0 * COARSE.1..][..COARSE.0 * COARSE.1].iter().sum::<f32>().abs() < THOUSANDTH);
    }

    #[test]
    fn the_mirrored_features_are_those_of_the_mirrored_face() {
        let face = |x: usize, y: usize| {
            let (x, y) = (x as f32, y as f32);
            ((0.1 * x).sin() + 0.01 * y, 0.02 * x - (0.2 * y).cos(), 1.0 + 0.002 * x + 0.001 * y)
        };
        // Pairs of pixels share a flow vector.
        let mut features = measured(|x, y| face(x / 2, y / 2));
        let expected = measured(|x, y| {
            let (u, v, gain) = face((CROP_WIDTH - 1 - x) / 2, y / 2);
            (-u, v, gain)
        });
        mirror(&mut features);
        for (a, b) in features.iter().zip(&expected) {
            assert!((a - b).abs() < SUMS, "{a} {b}");
        }
    }
}
