//! Where faces are in a frame: a small single-shot network on a reduced gray image.

use serde::{Deserialize, Serialize};

use crate::geometry::Rect;
use crate::model::{Checked, FileSpec, ModelError, Network, Spec};

/// Columns of the network's input.
pub const INPUT_WIDTH: usize = 160;
/// Rows of the network's input.
pub const INPUT_HEIGHT: usize = 120;
/// Input pixels per cell of the output grid.
pub const STRIDE: usize = 8;
/// Columns of the output grid.
pub const GRID_WIDTH: usize = INPUT_WIDTH / STRIDE;
/// Rows of the output grid.
pub const GRID_HEIGHT: usize = INPUT_HEIGHT / STRIDE;
/// Side of a face whose logarithmic size is 0, in input pixels.
pub const UNIT_SIDE: f32 = 24.0;

/// Luma 0..255 as the face networks see it.
pub fn normalise(luma: f32) -> f32 {
    (luma - 128.0) / 64.0
}

/// Specification of a detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorSpec {
    /// The common part.
    #[serde(flatten)]
    pub file: FileSpec,
    /// Score from which a cell is a face.
    pub min_score: f32,
}

impl Spec for DetectorSpec {
    const KIND: &'static str = "detector";
    fn file(&self) -> &FileSpec {
        &self.file
    }
}

/// A face in the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Extent of the 68 landmarks in frame pixels.
    pub bounds: Rect,
    /// 0 to 1.
    pub score: f32,
}

/// The detector with its buffers.
pub struct Detector {
    network: Network,
    min_score: f32,
    input: Vec<f32>,
    scores: Vec<f32>,
    boxes: Vec<f32>,
    found: Vec<Detection>,
}

impl Detector {
    /// Builds the network of a checked file.
    pub fn new(file: &Checked<DetectorSpec>) -> Result<Self, ModelError> {
        let network = Network::new(&file.bytes, &[1, 1, INPUT_HEIGHT, INPUT_WIDTH])
            .map_err(|e| file.content_error(e))?;
        if !(0.0..1.0).contains(&file.spec.min_score) {
            return Err(file.content_error("min_score: not between 0 and 1"));
        }
        let cells = GRID_WIDTH * GRID_HEIGHT;
        let mut detector = Self {
            network,
            min_score: file.spec.min_score,
            input: vec![0.0; INPUT_WIDTH * INPUT_HEIGHT],
            scores: vec![0.0; cells],
            boxes: vec![0.0; 4 * cells],
            found: Vec::with_capacity(cells),
        };
        detector.infer().map_err(|e| file.content_error(e))?;
        Ok(detector)
    }

    fn infer(&mut self) -> Result<(), String> {
        let Self { network, input, scores, boxes, .. } = self;
        let mut fits = true;
        network.run(input, |i, values| {
            let target = if i == 0 { &mut *scores } else { &mut *boxes };
            fits &= target.len() == values.len();
            if fits {
                target.copy_from_slice(values);
            }
        })?;
        fits.then_some(()).ok_or_else(|| "outputs are not a score and a box of each cell".to_owned())
    }

    /// Finds the faces of a luma image, best first. An image of any shape: it is fitted into the
    /// input with its proportions kept.
    pub fn detect(&mut self, luma: &[u8], width: usize, height: usize) -> &[Detection] {
        self.found.clear();
        if width == 0 || height == 0 || luma.len() < width * height {
            return &self.found;
        }
        let scale = (width as f32 / INPUT_WIDTH as f32).max(height as f32 / INPUT_HEIGHT as f32);
        reduce(luma, width, height, scale, &mut self.input);
        if self.infer().is_err() {
            return &self.found;
        }
        let cells = GRID_WIDTH * GRID_HEIGHT;
        for (i, &score) in self.scores.iter().enumerate().filter(|(_, s)| **s >= self.min_score) {
            let [dx, dy, w, h] = [0, 1, 2, 3].map(|k| self.boxes[k * cells + i]);
            let center = |cell: usize, d: f32| ((cell as f32 + 0.5 + d) * STRIDE as f32) * scale;
            let (cx, cy) = (center(i % GRID_WIDTH, dx), center(i / GRID_WIDTH, dy));
            let side = |log: f32| log.clamp(-3.0, 3.0).exp() * UNIT_SIDE * scale;
            let (w, h) = (side(w), side(h));
            self.found.push(Detection { bounds: Rect { x: cx - 0.5 * w, y: cy - 0.5 * h, w, h }, score });
        }
        suppress(&mut self.found);
        &self.found
    }
}

/// Greedy non-maximum suppression, best first.
fn suppress(found: &mut Vec<Detection>) {
    found.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept = 0;
    for i in 0..found.len() {
        let candidate = found[i];
        let center = candidate.bounds.center();
        let overlaps = found[..kept].iter().any(|k| {
            let b = k.bounds;
            let nested = (center.x - b.x) / b.w > 0.15
                && (center.x - b.x) / b.w < 0.85
                && (center.y - b.y) / b.h > 0.15
                && (center.y - b.y) / b.h < 0.85;
            nested || b.iou(candidate.bounds) > 0.3
        });
        if !overlaps {
            found[kept] = candidate;
            kept += 1;
        }
    }
    found.truncate(kept);
}

/// Area means of the image at 1/`scale`, normalised; what lies beyond the image is 0.
fn reduce(luma: &[u8], width: usize, height: usize, scale: f32, out: &mut [f32]) {
    for (y, row) in out.chunks_exact_mut(INPUT_WIDTH).enumerate() {
        let span = |i: usize, limit: usize| {
            let lo = (i as f32 * scale) as usize;
            let hi = (((i + 1) as f32 * scale) as usize).max(lo + 1);
            (lo, hi.min(limit))
        };
        let (y0, y1) = span(y, height);
        for (x, o) in row.iter_mut().enumerate() {
            let (x0, x1) = span(x, width);
            if y0 >= y1 || x0 >= x1 {
                *o = 0.0;
                continue;
            }
            let sum: u32 = (y0..y1)
                .map(|r| luma[r * width + x0..r * width + x1].iter().map(|&v| u32::from(v)).sum::<u32>())
                .sum();
            *o = normalise(sum as f32 / ((y1 - y0) * (x1 - x0)) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suppression_keeps_the_best_of_each_face() {
        let face = |x: f32, score| Detection { bounds: Rect { x, y: 0.0, w: 10.0, h: 10.0 }, score };
        let mut found = vec![face(0.0, 0.6), face(1.0, 0.9), face(40.0, 0.7)];
        suppress(&mut found);
        assert_eq!(found, [face(1.0, 0.9), face(40.0, 0.7)]);
    }

    #[test]
    fn reduction_takes_means() {
        let luma: Vec<u8> = (0..640 * 480).map(|i| ((i % 640) / 4) as u8).collect();
        let mut out = vec![0.0; INPUT_WIDTH * INPUT_HEIGHT];
        reduce(&luma, 640, 480, 4.0, &mut out);
        assert!((out[37] - normalise(37.0)).abs() < 1e-6);
        // A tall image leaves the right of the input empty.
        reduce(&luma[..100 * 400], 100, 400, 400.0 / INPUT_HEIGHT as f32, &mut out);
        assert_eq!(out[INPUT_WIDTH - 1], 0.0);
    }
}
