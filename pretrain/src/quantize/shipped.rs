//! Calibration inputs of the shipped networks, and what int8 costs them.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use glint::face::detector::DetectorSpec;
use glint::int8::{fixture, onnx};
use glint::model::{Checked, normalise_luma};
use glint::synth::NoiseTable;
use prost::Message;

use super::evenly;
use crate::assets::portraits::Portrait;
use crate::faces::detection::DetectionTrial;
use crate::faces::{mean, scenes};
use crate::net::detector::{INPUT_HEIGHT, INPUT_WIDTH, STRIDE};
use crate::train::{detector, landmarks, sitters};

/// Networks whose calibration inputs are made of portraits.
#[derive(Debug, Clone, Copy)]
pub enum ShippedNetwork {
    /// The face detector.
    Detector,
    /// The landmark network.
    Landmarks,
}

impl ShippedNetwork {
    /// Where its outputs count.
    pub fn weights(self) -> fn(&[Vec<f32>]) -> Vec<Vec<f32>> {
        match self {
            Self::Landmarks => evenly,
            Self::Detector => where_faces_are,
        }
    }

    /// Name of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Detector => "detector",
            Self::Landmarks => "landmarks",
        }
    }
}

/// Scenes in which both forms of a detector look for a face.
const SCENES: u64 = 400;

/// Says how many faces int8 costs: an error of the outputs does not show it.
pub fn compare_detectors(
    float: &Checked<DetectorSpec>,
    int8: &Checked<DetectorSpec>,
    kept: &[&Portrait],
    seed: u64,
) -> Result<()> {
    let noise = NoiseTable::new();
    let mut trials = [DetectionTrial::new("f32", float, None)?, DetectionTrial::new("int8", int8, None)?];
    for i in 0..SCENES {
        let scene = scenes::portrait(&noise, kept[i as usize % kept.len()], seed, i);
        trials.iter_mut().for_each(|t| t.face(&scene.luma, scene.bounds));
    }
    for t in &trials {
        eprintln!(
            "{:<5} finds {:.3} of {SCENES} faces, {:.3} of those 48 to 64 px wide, overlap {:.3}",
            t.name,
            t.recall(),
            t.recall_between(48.0, 64.0),
            mean(t.overlaps.iter().copied())
        );
    }
    Ok(())
}

/// Inputs as the network met them in training.
pub fn calibration(network: ShippedNetwork, kept: &[&Portrait], seed: u64, samples: usize) -> Vec<Vec<f32>> {
    // Seeds of training runs are small numbers.
    let seed = seed ^ 0x6361_6c69_6272_6174;
    let sitters = match network {
        ShippedNetwork::Landmarks => sitters::of_crops(kept),
        ShippedNetwork::Detector => sitters::of_portraits(kept),
    };
    let sitters: Vec<_> = sitters.iter().collect();
    let size = (INPUT_WIDTH, INPUT_HEIGHT);
    let luma = |i| match network {
        ShippedNetwork::Landmarks => landmarks::crop(&sitters, seed, i).image,
        ShippedNetwork::Detector => detector::scene(&sitters, size, seed, i).image,
    };
    (0..samples as u64).map(|i| luma(i).into_iter().map(normalise_luma).collect()).collect()
}

/// Scores count everywhere, boxes as much as there is a face: what the network says of a box elsewhere is not read.
fn where_faces_are(outputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut weights = evenly(outputs);
    if let ([scores, _], [_, bounds]) = (outputs, &mut weights[..]) {
        let cells = INPUT_WIDTH / STRIDE * (INPUT_HEIGHT / STRIDE);
        // Scores `[n, cells]`, boxes `[n, 4, cells]`.
        for (bounds, scores) in bounds.chunks_exact_mut(4 * cells).zip(scores.chunks_exact(cells)) {
            bounds.iter_mut().zip(scores.iter().cycle()).for_each(|(weight, score)| *weight = *score);
        }
    }
    weights
}

/// The fixture in both forms, for the comparison with onnxruntime.
pub fn write_fixture(dir: &Path) -> Result<()> {
    let model = fixture::student_like(1);
    let float = onnx::in_float(&model, &fixture::STUDENT_LIKE_SHAPE).map_err(|e| anyhow!(e))?;
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    for (suffix, model) in [("onnx", &model), ("f32.onnx", &float)] {
        let path = dir.join(format!("{}.{suffix}", fixture::STUDENT_LIKE));
        std::fs::write(&path, model.encode_to_vec()).with_context(|| path.display().to_string())?;
        eprintln!("{}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_count_where_faces_are() {
        // Two inputs of 20x15 cells, one face in the second.
        let mut scores = vec![0.0; 2 * 300];
        scores[300 + 7] = 0.9;
        let weights = where_faces_are(&[scores, vec![0.0; 2 * 4 * 300]]);
        assert_eq!(weights[0], vec![1.0; 600]);
        let count: Vec<usize> = (0..2400).filter(|&i| weights[1][i] > 0.0).collect();
        assert_eq!(count, [0, 1, 2, 3].map(|k| 1200 + 300 * k + 7));
        assert_eq!(weights[1][1207], 0.9);
    }
}
