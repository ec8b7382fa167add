//! Gray images with a pyramid, sampled under a similarity without aliasing.

use glint::geometry::{Point, Similarity};

/// A gray image and its reductions by 2, 4, 8...; values 0 to 255.
#[derive(Clone)]
pub struct Pyramid {
    levels: Vec<Level>,
}

#[derive(Clone)]
struct Level {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Pyramid {
    /// From `width * height` samples, row by row.
    pub fn new(width: usize, height: usize, data: &[u8]) -> Self {
        let mut levels = vec![Level { width, height, data: data.to_vec() }];
        while let Some(last) = levels.last().filter(|l| l.width >= 16 && l.height >= 16) {
            let (w, h) = (last.width / 2, last.height / 2);
            let mut half = Vec::with_capacity(w * h);
            for y in 0..h {
                for x in 0..w {
                    let at = 2 * y * last.width + 2 * x;
                    let sum: u32 = [at, at + 1, at + last.width, at + last.width + 1]
                        .iter()
                        .map(|&i| u32::from(last.data[i]))
                        .sum();
                    half.push(((sum + 2) / 4) as u8);
                }
            }
            levels.push(Level { width: w, height: h, data: half });
        }
        Self { levels }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.levels[0].width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.levels[0].height
    }

    /// The samples, row by row.
    pub fn data(&self) -> &[u8] {
        &self.levels[0].data
    }

    /// Writes into `out` (`width` columns) the image seen through `to_source` (output pixels to image
    /// pixels), where the source point passes `inside`; other pixels keep their value.
    pub fn warp(
        &self,
        to_source: &Similarity,
        out: &mut [f32],
        width: usize,
        inside: impl Fn(Point) -> bool,
    ) {
        let reduce = (to_source.scale().max(1.0).log2().round() as usize).min(self.levels.len() - 1);
        let level = &self.levels[reduce];
        let k = 1.0 / (1 << reduce) as f32;
        for (i, o) in out.iter_mut().enumerate() {
            let p = to_source.apply(Point::new((i % width) as f32, (i / width) as f32));
            if !inside(p) {
                continue;
            }
            let x = ((p.x + 0.5) * k - 0.5).clamp(0.0, (level.width - 1) as f32);
            let y = ((p.y + 0.5) * k - 0.5).clamp(0.0, (level.height - 1) as f32);
            let (ix, iy) = (x as usize, y as usize);
            let (jx, jy) = ((ix + 1).min(level.width - 1), (iy + 1).min(level.height - 1));
            let (fx, fy) = (x - ix as f32, y - iy as f32);
            let at = |x: usize, y: usize| f32::from(level.data[y * level.width + x]);
            let top = at(ix, iy) + fx * (at(jx, iy) - at(ix, iy));
            let low = at(ix, jy) + fx * (at(jx, jy) - at(ix, jy));
            *o = top + fy * (low - top);
        }
    }
}
