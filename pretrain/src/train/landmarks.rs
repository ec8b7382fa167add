//! Training crops of the landmark network: portraits under random alignments, and crops without a face.

use anyhow::Result;
use burn::module::AutodiffModule;
use glint::face::detector::normalise;
use glint::face::landmarks::{INPUT_EYES, INPUT_SIDE, LANDMARK_COUNT, MIRROR_68, eye_centers};
use glint::geometry::{Point, Similarity};
use rand::Rng;
use rayon::prelude::*;

use super::{Cpu, CpuTrain, Schedule, fit};
use crate::assets::portraits::Portrait;
use crate::augment::{background, generator, normal, photometric};
use crate::net::{LandmarksNet, binary_cross_entropy, tensor};
use crate::run::Run;

/// Coordinates a sample.
const POINTS: usize = 2 * LANDMARK_COUNT;

/// A crop as the network sees it.
pub struct Crop {
    /// Luma 0..255, row by row.
    pub image: Vec<f32>,
    /// Landmarks in half sides about the centre; `None` without a face.
    pub points: Option<[Point; LANDMARK_COUNT]>,
}

/// Crop `index` of a run.
pub fn crop(portraits: &[&Portrait], seed: u64, index: u64) -> Crop {
    let mut rng = generator(seed, index);
    let portrait = portraits[rng.random_range(0..portraits.len())];
    let landmarks = portrait.landmarks();
    let side = INPUT_SIDE as f32;
    let mut image = vec![0.0; INPUT_SIDE * INPUT_SIDE];
    background(&mut rng, INPUT_SIDE, INPUT_SIDE, &mut image);
    let aligned = Similarity::from_two_points(INPUT_EYES, eye_centers(&landmarks));
    let face = rng.random_bool(0.85);
    // Half of the crops are near the alignment of a second pass.
    let spread = if rng.random_bool(0.5) { 0.35 } else { 1.0 };
    let (turn, zoom, shift) = if face {
        let shift =
            Point::new(0.07 * spread * side * normal(&mut rng), 0.07 * spread * side * normal(&mut rng));
        (0.20 * spread * normal(&mut rng), (0.14 * spread * normal(&mut rng)).exp(), shift)
    } else {
        let far = Point::new(rng.random_range(-2.0..2.0) * side, rng.random_range(-2.0..2.0) * side);
        (rng.random_range(-3.0..3.0), rng.random_range(-1.5f32..1.2).exp(), far)
    };
    let center = Point::new(0.5 * side, 0.5 * side);
    let (a, b) = (zoom * turn.cos(), zoom * turn.sin());
    let jitter = Similarity {
        a,
        b,
        tx: center.x + shift.x - a * center.x + b * center.y,
        ty: center.y + shift.y - b * center.x - a * center.y,
    };
    let to_crop = aligned.compose(&jitter);
    let (w, h) = (portrait.crop.width() as f32, portrait.crop.height() as f32);
    // A false alignment shows no whole face; backgrounds alone are the other half of the negatives.
    if face || rng.random_bool(0.6) {
        portrait
            .crop
            .warp(&to_crop, &mut image, INPUT_SIDE, |p| p.x >= 0.0 && p.y >= 0.0 && p.x < w && p.y < h);
    }
    let back = to_crop.inverse();
    let mut points = landmarks.map(|p| {
        let q = back.apply(p);
        Point::new(2.0 * q.x / side - 1.0, 2.0 * q.y / side - 1.0)
    });
    let eyes = eye_centers(&points);
    let still_a_face = {
        let target = INPUT_EYES.map(|p| Point::new(2.0 * p.x / side - 1.0, 2.0 * p.y / side - 1.0));
        eyes[0].distance(target[0]) + eyes[1].distance(target[1]) < 0.9
    };
    if rng.random_bool(0.5) {
        for row in image.chunks_exact_mut(INPUT_SIDE) {
            row.reverse();
        }
        let mirrored = points.map(|p| Point::new(-2.0 / side - p.x, p.y));
        points = std::array::from_fn(|i| mirrored[MIRROR_68[i]]);
    }
    if rng.random_bool(0.15) {
        // Something in front of the face.
        let (x, y) = (rng.random_range(0..INPUT_SIDE), rng.random_range(0..INPUT_SIDE));
        let (w, h) = (rng.random_range(4..24), rng.random_range(4..24));
        let value = rng.random_range(0.0..255.0);
        for r in y..(y + h).min(INPUT_SIDE) {
            image[r * INPUT_SIDE + x..r * INPUT_SIDE + (x + w).min(INPUT_SIDE)].fill(value);
        }
    }
    photometric(&mut rng, &mut image, INPUT_SIDE);
    Crop { image, points: (face || still_a_face).then_some(points) }
}

/// Trains the landmark network.
pub fn train(
    portraits: &[&Portrait],
    schedule: &Schedule,
    seed: u64,
    run: &Run,
) -> Result<LandmarksNet<Cpu>> {
    super::seed(seed);
    let device = Default::default();
    let n = schedule.batch;
    let model = fit(LandmarksNet::<CpuTrain>::new(&device), "landmarks", schedule, run, |model, step| {
        let batch: Vec<Crop> =
            (0..n).into_par_iter().map(|i| crop(portraits, seed, (step * n + i) as u64)).collect();
        let images: Vec<f32> = batch.iter().flat_map(|c| c.image.iter().map(|&v| normalise(v))).collect();
        let (mut points, mut weights, mut faces) = (Vec::new(), Vec::new(), Vec::new());
        for c in &batch {
            let flat = c.points.iter().flatten().flat_map(|p| [p.x, p.y]);
            points.extend(flat.chain(std::iter::repeat_n(0.0, if c.points.is_some() { 0 } else { POINTS })));
            weights.extend(std::iter::repeat_n(if c.points.is_some() { 1.0 } else { 0.0 }, POINTS));
            faces.push(if c.points.is_some() { 1.0 } else { 0.0 });
        }
        let (found, face) = model.forward(tensor(images, [n, 1, INPUT_SIDE, INPUT_SIDE], &device));
        let weight = tensor::<CpuTrain, 2>(weights, [n, POINTS], &device);
        let error = found - tensor(points, [n, POINTS], &device);
        let error = ((error.powi_scalar(2) + 1e-4).sqrt() - 0.01) * weight.clone();
        let points_loss = error.sum() / (weight.sum() + 1.0);
        let ones = tensor(vec![1.0; n], [n, 1], &device);
        let face_loss = binary_cross_entropy(face, tensor(faces, [n, 1], &device), ones);
        points_loss * 20.0 + face_loss * 0.3
    })?;
    Ok(model.valid())
}
