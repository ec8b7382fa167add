//! Training crops of the landmark network: faces under random alignments, and crops without a face.

use anyhow::Result;
use burn::module::AutodiffModule;
use glint::face::landmarks::{INPUT_EYES, INPUT_SIDE, LANDMARK_COUNT, MIRROR_68, equalise, eye_centers};
use glint::geometry::{Point, Similarity};
use glint::model::normalise_luma;
use rand::Rng;
use rand::rngs::SmallRng;
use rayon::prelude::*;

use super::sitters::{Sitter, decoy};
use super::{Schedule, fit, initialised};
use crate::augment::{generator, normal, photometric, texture};
use crate::backend::{Cpu, CpuTrain};
use crate::net::landmarks::LandmarksNet;
use crate::net::{binary_cross_entropy, tensor};
use crate::run::Run;

/// Coordinates a sample.
const POINTS: usize = 2 * LANDMARK_COUNT;
/// Landmarks of which the rendered heads' definition is that of the portraits' labels: corners of the eyes and of the
/// mouth, tip and base of the nose.
const COMMON: [usize; 8] = [30, 33, 36, 39, 42, 45, 48, 54];

/// A crop as the network sees it.
pub struct Crop {
    /// Luma 0..255 with its light evened out, row by row.
    pub image: Vec<f32>,
    /// Landmarks in half sides about the centre; `None` without a face.
    pub points: Option<[Point; LANDMARK_COUNT]>,
    /// Whether all landmarks count, or only the common ones.
    pub all: bool,
}

/// A random similarity of the crop onto itself: `spread` of 1 is what a detector's box leaves.
fn jitter(rng: &mut SmallRng, spread: f32) -> Similarity {
    let side = INPUT_SIDE as f32;
    let (turn, zoom) = (0.20 * spread * normal(rng), (0.14 * spread * normal(rng)).exp());
    let shift = Point::new(0.07 * spread * side * normal(rng), 0.07 * spread * side * normal(rng));
    let center = 0.5 * side;
    let (a, b) = (zoom * turn.cos(), zoom * turn.sin());
    Similarity {
        a,
        b,
        tx: center + shift.x - a * center + b * center,
        ty: center + shift.y - b * center - a * center,
    }
}

/// Crop `index` of a run.
pub fn crop(sitters: &[&Sitter], seed: u64, index: u64) -> Crop {
    let mut rng = generator(seed, index);
    let side = INPUT_SIDE as f32;
    let sitter = sitters[rng.random_range(0..sitters.len())];
    let mut image = vec![0.0; INPUT_SIDE * INPUT_SIDE];
    let zoom = [0.5, 1.0, 2.0, 4.0][rng.random_range(0..4)];
    texture(&mut rng, INPUT_SIDE, zoom, &mut image);
    let face = rng.random_bool(0.8);
    let (w, h) = (sitter.photo.width() as f32, sitter.photo.height() as f32);
    let inside = |p: Point| p.x >= 0.0 && p.y >= 0.0 && p.x < w && p.y < h;
    let aligned = Similarity::from_two_points(INPUT_EYES, eye_centers(&sitter.points));
    let mut points = None;
    if face {
        // Most crops are near the alignment of a second pass, which is the one that counts.
        let spread = if rng.random_bool(0.65) { 0.3 } else { 1.0 };
        let to_photo = aligned.compose(&jitter(&mut rng, spread));
        sitter.photo.warp(&to_photo, &mut image, INPUT_SIDE, inside);
        let back = to_photo.inverse();
        points = Some(sitter.points.map(|p| {
            let q = back.apply(p);
            Point::new(2.0 * q.x / side - 1.0, 2.0 * q.y / side - 1.0)
        }));
    } else {
        // Walls, things that are like faces, and faces in a wrong place, of a wrong size or upside down.
        match rng.random_range(0..4) {
            0 => {}
            1 | 2 => {
                for _ in 0..rng.random_range(1..4) {
                    decoy(&mut rng, sitters, &mut image, INPUT_SIDE);
                }
            }
            _ => {
                let (zoom, turn) = match rng.random_range(0..3) {
                    0 => (rng.random_range(0.15..0.5f32), rng.random_range(-3.1..3.1f32)),
                    1 => (rng.random_range(2.2..5.0), rng.random_range(-0.5..0.5)),
                    _ => (rng.random_range(0.7..1.5), rng.random_range(1.5..4.7)),
                };
                let far = if zoom > 0.6 && zoom < 2.0 { 0.4 } else { 1.2 };
                let center = Point::new(
                    side * (0.5 + rng.random_range(-far..far)),
                    side * (0.5 + rng.random_range(-far..far)),
                );
                let (a, b) = (zoom * turn.cos(), zoom * turn.sin());
                let wrong = Similarity {
                    a,
                    b,
                    tx: center.x - a * 0.5 * side + b * 0.5 * side,
                    ty: center.y - b * 0.5 * side - a * 0.5 * side,
                };
                sitter.photo.warp(&aligned.compose(&wrong), &mut image, INPUT_SIDE, inside);
            }
        }
    }
    if rng.random_bool(0.5) {
        image.chunks_exact_mut(INPUT_SIDE).for_each(<[f32]>::reverse);
        points = points.map(|points| {
            let mirrored = points.map(|p| Point::new(-2.0 / side - p.x, p.y));
            std::array::from_fn(|i| mirrored[MIRROR_68[i]])
        });
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
    equalise(&mut image);
    Crop { image, points, all: sitter.labelled }
}

/// Coordinates and weights of a crop.
fn targets(crop: &Crop) -> (Vec<f32>, Vec<f32>) {
    let Some(points) = &crop.points else { return (vec![0.0; POINTS], vec![0.0; POINTS]) };
    let weight = |i: usize| if crop.all || COMMON.contains(&i) { 1.0 } else { 0.0 };
    (
        points.iter().flat_map(|p| [p.x, p.y]).collect(),
        (0..LANDMARK_COUNT).flat_map(|i| [weight(i); 2]).collect(),
    )
}

/// Trains the landmark network.
pub fn train(sitters: &[&Sitter], schedule: &Schedule, seed: u64, run: &Run) -> Result<LandmarksNet<Cpu>> {
    let device = Default::default();
    let n = schedule.batch;
    let net = initialised(seed, &device, || LandmarksNet::<CpuTrain>::new(&device));
    let model = fit(net, "landmarks", schedule, run, |model, step| {
        let batch: Vec<Crop> =
            (0..n).into_par_iter().map(|i| crop(sitters, seed, (step * n + i) as u64)).collect();
        let images: Vec<f32> =
            batch.iter().flat_map(|c| c.image.iter().map(|&v| normalise_luma(v))).collect();
        let (points, weights): (Vec<_>, Vec<_>) = batch.iter().map(targets).unzip();
        let faces = batch.iter().map(|c| if c.points.is_some() { 1.0 } else { 0.0 }).collect();
        let (predicted, face) = model.forward(tensor(images, [n, 1, INPUT_SIDE, INPUT_SIDE], &device));
        let weight = tensor::<CpuTrain, 2>(weights.concat(), [n, POINTS], &device);
        let error = predicted - tensor(points.concat(), [n, POINTS], &device);
        let error = ((error.powi_scalar(2) + 1e-4).sqrt() - 0.01) * weight.clone();
        let points_loss = error.sum() / (weight.sum() + 1.0);
        let ones = tensor(vec![1.0; n], [n, 1], &device);
        let face_loss = binary_cross_entropy(face, tensor(faces, [n, 1], &device), ones);
        points_loss * 20.0 + face_loss
    })?;
    Ok(model.valid())
}
