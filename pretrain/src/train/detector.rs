//! Training scenes of the face detector: portraits on backgrounds, at random scales and places.

use anyhow::Result;
use burn::module::AutodiffModule;
use glint::face::detector::{
    GRID_HEIGHT, GRID_WIDTH, INPUT_HEIGHT, INPUT_WIDTH, STRIDE, UNIT_SIDE, normalise,
};
use glint::geometry::{Point, Rect, Similarity};
use rand::Rng;
use rayon::prelude::*;

use super::{Cpu, CpuTrain, Schedule, fit};
use crate::assets::portraits::{Portrait, face_box};
use crate::augment::{background, generator, photometric};
use crate::net::{DetectorNet, focal, tensor};
use crate::run::Run;

/// Cells of the output grid.
const CELLS: usize = GRID_WIDTH * GRID_HEIGHT;

/// A scene at the size of the network's input, with the boxes of its faces in input pixels.
pub struct Scene {
    /// Luma 0..255, row by row.
    pub image: Vec<f32>,
    /// Extent of the landmarks of each face.
    pub faces: Vec<Rect>,
}

/// Composes scene `index`: none, one or two faces.
pub fn scene(portraits: &[&Portrait], seed: u64, index: u64) -> Scene {
    let mut rng = generator(seed, index);
    let mut image = vec![0.0; INPUT_WIDTH * INPUT_HEIGHT];
    background(&mut rng, INPUT_WIDTH, INPUT_HEIGHT, &mut image);
    let mut faces: Vec<Rect> = Vec::new();
    // Clothes and shoulders without a face, so that they do not mean one.
    for _ in 0..rng.random_range(0..3) {
        let portrait = portraits[rng.random_range(0..portraits.len())];
        let below = face_box(&portrait.photo_landmarks());
        let top = below.y + below.h * 1.05;
        if top + 8.0 < portrait.photo.height() as f32 {
            let scale = rng.random_range(0.8..4.0f32);
            let (x, y) = (rng.random_range(-20.0..140.0f32), rng.random_range(-20.0..110.0f32));
            let to_source = Similarity { a: scale, b: 0.0, tx: -x * scale, ty: top - y * scale };
            let (w, h) = (portrait.photo.width() as f32, portrait.photo.height() as f32);
            portrait.photo.warp(&to_source, &mut image, INPUT_WIDTH, |p| {
                p.x >= 0.0 && p.y >= top && p.x < w && p.y < h
            });
        }
    }
    let count = [0, 1, 1, 1, 1, 1, 1, 2, 2, 3][rng.random_range(0..10)];
    for _ in 0..count {
        let portrait = portraits[rng.random_range(0..portraits.len())];
        let source = face_box(&portrait.photo_landmarks());
        // 40 to 420 px of face width in 640: log-uniform.
        let side = (rng.random_range(10.0f32.ln()..105.0f32.ln())).exp();
        let scale = source.w / side;
        let turn: f32 = rng.random_range(-0.35..0.35);
        let mirror = if rng.random_bool(0.5) { -1.0 } else { 1.0 };
        let half = 0.5 * side;
        let center = Point::new(
            rng.random_range(half.min(60.0)..INPUT_WIDTH as f32 - half.min(60.0)),
            rng.random_range(half.min(45.0)..INPUT_HEIGHT as f32 - half.min(45.0)),
        );
        let c = source.center();
        let (a, b) = (scale * turn.cos(), scale * turn.sin());
        // A mirrored portrait is a mirrored output x: the warp sees it through the sign of its column.
        let to_source = Similarity { a, b, tx: c.x, ty: c.y };
        let back = to_source.inverse();
        let (w, h) = (portrait.photo.width() as f32, portrait.photo.height() as f32);
        // Where the photograph is cut around the face, in shares of its box; often not at all.
        let mut cut = |lo: f32| if rng.random_bool(0.5) { rng.random_range(lo..1.5f32) } else { 9.0 };
        let (left, right, top, bottom) = (cut(0.15), cut(0.15), cut(0.3), cut(0.1));
        let window = [
            (source.x - left * source.w).max(0.0),
            (source.x + source.w * (1.0 + right)).min(w),
            (source.y - top * source.h).max(0.0),
            (source.y + source.h * (1.0 + bottom)).min(h),
        ];
        let project = |p: Point| {
            let q = back.apply(p);
            Point::new(center.x + mirror * q.x, center.y + q.y)
        };
        let points = portrait.photo_landmarks().map(project);
        let bounds = face_box(&points);
        if faces.iter().any(|f| f.iou(bounds) > 0.02) {
            continue;
        }
        let visible = |lo: f32, hi: f32, limit: f32| (hi.min(limit) - lo.max(0.0)) / (hi - lo);
        let seen = visible(bounds.x, bounds.x + bounds.w, INPUT_WIDTH as f32)
            * visible(bounds.y, bounds.y + bounds.h, INPUT_HEIGHT as f32);
        if seen < 0.75 {
            continue;
        }
        paste(portrait, &to_source, center, mirror, window, &mut image);
        faces.push(bounds);
    }
    photometric(&mut rng, &mut image, INPUT_WIDTH);
    Scene { image, faces }
}

/// Draws the part of a photograph within `window` (left, right, top, bottom) about `center`.
fn paste(
    portrait: &Portrait,
    to_source: &Similarity,
    center: Point,
    mirror: f32,
    window: [f32; 4],
    image: &mut [f32],
) {
    let mut layer = vec![f32::NAN; image.len()];
    let shift = Similarity { a: 1.0, b: 0.0, tx: -center.x, ty: -center.y };
    portrait.photo.warp(&to_source.compose(&shift), &mut layer, INPUT_WIDTH, |p| {
        p.x >= window[0] && p.x < window[1] && p.y >= window[2] && p.y < window[3]
    });
    for (i, o) in image.iter_mut().enumerate() {
        let x = (i % INPUT_WIDTH) as f32;
        let x = if mirror < 0.0 { 2.0 * center.x - x } else { x };
        let column = x.round();
        if column >= 0.0 && column < INPUT_WIDTH as f32 {
            let value = layer[i / INPUT_WIDTH * INPUT_WIDTH + column as usize];
            if !value.is_nan() {
                *o = value;
            }
        }
    }
}

/// Targets of a scene: score, box and their weights for each cell.
struct Targets {
    score: Vec<f32>,
    score_weight: Vec<f32>,
    bounds: Vec<f32>,
    bounds_weight: Vec<f32>,
}

fn targets(faces: &[Rect]) -> Targets {
    let mut t = Targets {
        score: vec![0.0; CELLS],
        score_weight: vec![1.0; CELLS],
        bounds: vec![0.0; 4 * CELLS],
        bounds_weight: vec![0.0; 4 * CELLS],
    };
    for face in faces {
        let c = face.center();
        let nearest = |v: f32, limit: usize| ((v / STRIDE as f32) as usize).min(limit - 1);
        let home = nearest(c.y, GRID_HEIGHT) * GRID_WIDTH + nearest(c.x, GRID_WIDTH);
        for i in 0..CELLS {
            let x = ((i % GRID_WIDTH) as f32 + 0.5) * STRIDE as f32;
            let y = ((i / GRID_WIDTH) as f32 + 0.5) * STRIDE as f32;
            let (dx, dy) = ((x - c.x).abs() / face.w, (y - c.y).abs() / face.h);
            if i == home || (dx < 0.18 && dy < 0.18) {
                t.score[i] = 1.0;
                t.score_weight[i] = 1.0;
                let values = [
                    (c.x - x) / STRIDE as f32,
                    (c.y - y) / STRIDE as f32,
                    (face.w / UNIT_SIDE).ln(),
                    (face.h / UNIT_SIDE).ln(),
                ];
                for (k, v) in values.into_iter().enumerate() {
                    t.bounds[k * CELLS + i] = v;
                    t.bounds_weight[k * CELLS + i] = 1.0;
                }
            } else if dx < 0.35 && dy < 0.35 && t.score[i] == 0.0 {
                // Neither a centre nor background.
                t.score_weight[i] = 0.0;
            }
        }
    }
    t
}

/// Trains the detector on scenes of `portraits`.
pub fn train(portraits: &[&Portrait], schedule: &Schedule, seed: u64, run: &Run) -> Result<DetectorNet<Cpu>> {
    super::seed(seed);
    let device = Default::default();
    let n = schedule.batch;
    let model = fit(DetectorNet::<CpuTrain>::new(&device), "detector", schedule, run, |model, step| {
        let batch: Vec<(Vec<f32>, Targets)> = (0..n)
            .into_par_iter()
            .map(|i| {
                let scene = scene(portraits, seed, (step * n + i) as u64);
                (scene.image.into_iter().map(normalise).collect(), targets(&scene.faces))
            })
            .collect();
        let gather = |pick: fn(&(Vec<f32>, Targets)) -> &Vec<f32>| {
            batch.iter().flat_map(|b| pick(b).iter().copied()).collect::<Vec<f32>>()
        };
        let grid = |channels| [n, channels, GRID_HEIGHT, GRID_WIDTH];
        let images = tensor(gather(|b| &b.0), [n, 1, INPUT_HEIGHT, INPUT_WIDTH], &device);
        let (score, bounds) = model.forward(images);
        let score_loss = focal(
            score,
            tensor(gather(|b| &b.1.score), grid(1), &device),
            tensor(gather(|b| &b.1.score_weight), grid(1), &device),
        );
        let weight = tensor::<CpuTrain, 4>(gather(|b| &b.1.bounds_weight), grid(4), &device);
        let error = bounds - tensor(gather(|b| &b.1.bounds), grid(4), &device);
        // Smooth absolute error.
        let error = ((error.powi_scalar(2) + 0.01).sqrt() - 0.1) * weight.clone();
        let bounds_loss = error.sum() / (weight.sum() + 1.0);
        score_loss * 100.0 + bounds_loss
    })?;
    Ok(model.valid())
}
