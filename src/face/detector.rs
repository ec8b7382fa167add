//! Where faces are in a frame: a small single-shot network on a reduced gray image.
//!
//! Besides glint's own network others can be brought: see [`crate::face::layout`].

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use crate::face::layout::Detection;
use crate::face::layout::DetectorLayout;
use crate::model::{Checked, FileSpec, Interface, ModelError, Network, Spec};

/// Most faces that are told apart in a frame, before overlapping ones are joined.
const MAX_FOUND: usize = 4096;

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

impl Checked<DetectorSpec> {
    /// Takes a detector of any known layout: size, then digest (where one is given), then shapes are checked before
    /// the network is built. A file with a `NAME.toml` beside it is one of glint's own and comes with its digest.
    ///
    /// # Errors
    /// [`ModelError`] names the file: it cannot be read, is too large, has another digest, or its shapes fit no known
    /// layout.
    pub fn load_external(path: &Path, sha256: Option<&str>) -> Result<Self, ModelError> {
        let file = if path.with_extension("toml").is_file() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let file = Self::load(path.parent().unwrap_or(Path::new("")), &name)?;
            file.expect_digest(sha256)?;
            file
        } else {
            Self::without_spec(path, sha256, |common| DetectorSpec { file: common, min_score: f32::NAN })?
        };
        let layout = layout(&file)?;
        let mut file = file;
        if file.spec.min_score.is_nan() {
            file.spec.min_score = layout.default_min_score();
        }
        Ok(file)
    }
}

fn layout(file: &Checked<DetectorSpec>) -> Result<DetectorLayout, ModelError> {
    Interface::parse(&file.bytes)
        .and_then(|i| DetectorLayout::recognise(&i))
        .map_err(|e| file.content_error(e))
}

/// The detector with its buffers.
pub struct Detector {
    network: Network,
    layout: DetectorLayout,
    min_score: f32,
    input: Vec<f32>,
    outputs: Vec<Vec<f32>>,
    detections: Vec<Detection>,
}

impl Detector {
    /// Builds the network of a checked file.
    ///
    /// # Errors
    /// [`ModelError`] where the file is not the network that its specification describes.
    pub fn new(file: &Checked<DetectorSpec>) -> Result<Self, ModelError> {
        let layout = layout(file)?;
        if !(0.0..1.0).contains(&file.spec.min_score) {
            return Err(file.content_error("min_score: not between 0 and 1"));
        }
        let shape = [1, layout.channels, layout.height, layout.width];
        let mut detector = Self {
            network: Network::new(&file.bytes, &shape).map_err(|e| file.content_error(e))?,
            min_score: file.spec.min_score,
            input: vec![0.0; shape.iter().product()],
            outputs: layout.outputs.iter().map(|&n| vec![0.0; n]).collect(),
            detections: Vec::with_capacity(MAX_FOUND),
            layout,
        };
        detector.infer().map_err(|e| file.content_error(e))?;
        Ok(detector)
    }

    /// How the network is fed and read.
    pub fn layout(&self) -> &DetectorLayout {
        &self.layout
    }

    fn infer(&mut self) -> Result<(), String> {
        let Self { network, input, outputs, .. } = self;
        let (mut fits, mut seen) = (true, 0);
        network.run(input, |i, values| {
            seen += 1;
            match outputs.get_mut(i) {
                Some(target) if target.len() == values.len() => target.copy_from_slice(values),
                _ => fits = false,
            }
        })?;
        (fits && seen == outputs.len())
            .then_some(())
            .ok_or_else(|| "the outputs differ from the declared interface".to_owned())
    }

    /// Finds the faces of a luma image, best first. An image of any shape: it is fitted into the
    /// input with its proportions kept.
    pub fn detect(&mut self, luma: &[u8], width: usize, height: usize) -> &[Detection] {
        self.detections.clear();
        if width == 0 || height == 0 || luma.len() < width * height {
            return &self.detections;
        }
        let Self { layout, input, .. } = self;
        let (columns, rows) = (layout.width, layout.height);
        let scale = (width as f32 / columns as f32).max(height as f32 / rows as f32);
        let (first, others) = input.split_at_mut(columns * rows);
        reduce(luma, width, height, scale, columns, first, |v| layout.tone(v));
        others.chunks_exact_mut(first.len()).for_each(|c| c.copy_from_slice(first));
        if self.infer().is_err() {
            return &self.detections;
        }
        self.layout.decode(&self.outputs, self.min_score, scale, &mut self.detections);
        suppress(&mut self.detections);
        &self.detections
    }
}

/// Greedy non-maximum suppression, best first.
fn suppress(detections: &mut Vec<Detection>) {
    detections.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept = 0;
    for i in 0..detections.len() {
        let candidate = detections[i];
        let center = candidate.bounds.center();
        let overlaps = detections[..kept].iter().any(|k| {
            let b = k.bounds;
            let nested = (center.x - b.x) / b.w > 0.15
                && (center.x - b.x) / b.w < 0.85
                && (center.y - b.y) / b.h > 0.15
                && (center.y - b.y) / b.h < 0.85;
            nested || b.iou(candidate.bounds) > 0.3
        });
        if !overlaps {
            detections[kept] = candidate;
            kept += 1;
        }
    }
    detections.truncate(kept);
}

/// Area means of the image at 1/`scale` in the network's tone; what lies beyond the image is 0.
fn reduce(
    luma: &[u8],
    width: usize,
    height: usize,
    scale: f32,
    columns: usize,
    out: &mut [f32],
    tone: impl Fn(f32) -> f32,
) {
    let span = |i: usize, limit: usize| {
        let lo = (i as f32 * scale) as usize;
        let hi = (((i + 1) as f32 * scale) as usize).max(lo + 1);
        (lo, hi.min(limit))
    };
    for (y, row) in out.chunks_exact_mut(columns).enumerate() {
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
            *o = tone(sum as f32 / ((y1 - y0) * (x1 - x0)) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;
    use crate::model::normalise_luma;
    use crate::tolerances::ROUNDING;

    #[test]
    fn suppression_keeps_the_best_of_each_face() {
        let face = |x: f32, score| Detection { bounds: Rect { x, y: 0.0, w: 10.0, h: 10.0 }, score };
        let mut detections = vec![face(0.0, 0.6), face(1.0, 0.9), face(40.0, 0.7)];
        suppress(&mut detections);
        assert_eq!(detections, [face(1.0, 0.9), face(40.0, 0.7)]);
    }

    #[test]
    fn reduction_takes_means() {
        let luma: Vec<u8> = (0..640 * 480).map(|i| ((i % 640) / 4) as u8).collect();
        let mut out = vec![0.0; 160 * 120];
        reduce(&luma, 640, 480, 4.0, 160, &mut out, normalise_luma);
        assert!((out[37] - normalise_luma(37.0)).abs() < ROUNDING);
        // A tall image leaves the right of the input empty.
        reduce(&luma[..100 * 400], 100, 400, 400.0 / 120.0, 160, &mut out, normalise_luma);
        assert_eq!(out[159], 0.0);
    }

    #[test]
    fn a_file_that_is_no_network_is_refused() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("other.onnx");
        std::fs::write(&path, b"not a network").expect("write");
        let error = Checked::load_external(&path, None).expect_err("no network").to_string();
        assert!(error.contains("other.onnx"), "{error}");
        let error =
            Checked::load_external(&path, Some(&"0".repeat(64))).expect_err("another digest").to_string();
        assert!(error.contains("digest is sha256:"), "{error}");
        let error =
            Checked::load_external(&dir.path().join("none.onnx"), None).expect_err("no file").to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
