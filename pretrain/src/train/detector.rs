//! Training scenes of the face detector: faces on backgrounds, at random scales and places.

use anyhow::Result;
use burn::module::AutodiffModule;
use glint::face::layout::UNIT_STRIDES;
use glint::geometry::{Point, Rect, Similarity};
use glint::model::normalise_luma;
use rand::Rng;
use rand::rngs::SmallRng;
use rayon::prelude::*;

use super::sitters::{Sitter, decoy};
use super::{Schedule, fit, initialised};
use crate::assets::portraits::face_box;
use crate::augment::{blur, generator, photometric, texture};
use crate::backend::{Cpu, CpuTrain};
use crate::net::detector::{DetectorNet, STRIDE};
use crate::net::{focal, tensor};
use crate::run::Run;

/// Side of a face whose logarithmic size is 0, in input pixels.
const UNIT_SIDE: f32 = UNIT_STRIDES * STRIDE as f32;
/// Side of a training scene: a third of the input's area, with as many faces. The network is convolutional.
const SIDE: usize = 160;
/// Cells of a side of its grid.
const GRID: usize = SIDE / STRIDE;
const CELLS: usize = GRID * GRID;
/// Widths of a face in input pixels: 40 to 300 px in a frame of 640.
const FACE: (f32, f32) = (20.0, 150.0);
/// Smaller ones are as frequent as larger ones by this power of the uniform logarithm: above 1 means more of them.
const SMALL: f32 = 1.3;

/// A scene with the boxes of its faces in its pixels.
pub struct LabelledScene {
    /// Luma 0..255, row by row.
    pub image: Vec<f32>,
    /// Extent of the landmarks of each face.
    pub faces: Vec<Rect>,
}

/// What of a picture is shown: inside of a rectangle, or of an ellipse.
fn window(rng: &mut SmallRng, sitter: &Sitter) -> impl Fn(Point) -> bool + use<> {
    let b = sitter.bounds();
    let c = b.center();
    let (w, h) = (sitter.photo.width() as f32, sitter.photo.height() as f32);
    let ellipse = rng.random_bool(0.3);
    let (rx, ry) = (b.w * rng.random_range(0.6..1.1), b.h * rng.random_range(0.75..1.15));
    // Where the photograph is cut around the face, in shares of its box; often not at all.
    let mut cut = |lo: f32| if rng.random_bool(0.5) { rng.random_range(lo..1.5f32) } else { 9.0 };
    let (left, right, top, bottom) = (cut(0.15), cut(0.15), cut(0.3), cut(0.1));
    let (x0, x1) = ((b.x - left * b.w).max(0.0), (b.x + b.w * (1.0 + right)).min(w));
    let (y0, y1) = ((b.y - top * b.h).max(0.0), (b.y + b.h * (1.0 + bottom)).min(h));
    move |p: Point| {
        let inside = p.x >= x0 && p.x < x1 && p.y >= y0 && p.y < y1;
        let head = ((p.x - c.x) / rx).powi(2) + ((p.y - c.y + 0.15 * b.h) / ry).powi(2);
        inside && (!ellipse || head < 1.0)
    }
}

/// Composes scene `index` of `size` (columns, rows): none, one or two faces, and things that are none.
pub fn scene(sitters: &[&Sitter], size: (usize, usize), seed: u64, index: u64) -> LabelledScene {
    let mut rng = generator(seed, index);
    let (width, height) = size;
    let mut image = vec![0.0; width * height];
    // Every size of detail that a frame of twice as many pixels can show.
    let zoom = [0.5, 1.0, 2.0][rng.random_range(0..3)];
    texture(&mut rng, width, zoom, &mut image);
    for _ in 0..rng.random_range(0..4) {
        decoy(&mut rng, sitters, &mut image, width);
    }
    let mut faces: Vec<Rect> = Vec::new();
    for _ in 0..[0, 0, 1, 1, 1, 1, 1, 2, 2, 3][rng.random_range(0..10)] {
        let sitter = sitters[rng.random_range(0..sitters.len())];
        let source = sitter.bounds();
        let share = rng.random_range(0.0f32..1.0).powf(SMALL);
        let side = (FACE.0.ln() + share * (FACE.1 / FACE.0).ln()).exp();
        let (scale, turn) = (source.w / side, rng.random_range(-0.35f32..0.35));
        // Large faces may be cut by the border a little.
        let mut along = |limit: usize| {
            let reach = (0.5 * side).min(0.42 * limit as f32);
            rng.random_range(reach..limit as f32 - reach)
        };
        let (center, c) = (Point::new(along(width), along(height)), source.center());
        let (a, b) = (scale * turn.cos(), scale * turn.sin());
        let to_photo =
            Similarity { a, b, tx: c.x - a * center.x + b * center.y, ty: c.y - b * center.x - a * center.y };
        let back = to_photo.inverse();
        let bounds = face_box(&sitter.points.map(|p| back.apply(p)));
        if faces.iter().any(|f| f.iou(bounds) > 0.02) {
            continue;
        }
        let shown = window(&mut rng, sitter);
        sitter.photo.warp(&to_photo, &mut image, width, shown);
        faces.push(bounds);
    }
    if rng.random_bool(0.3) {
        blur(&mut image, width, rng.random_range(0.1..0.33));
    }
    photometric(&mut rng, &mut image, width);
    if rng.random_bool(0.5) {
        image.chunks_exact_mut(width).for_each(<[f32]>::reverse);
        faces.iter_mut().for_each(|f| f.x = (width - 1) as f32 - f.x - f.w);
    }
    LabelledScene { image, faces }
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
        let nearest = |v: f32| ((v / STRIDE as f32).max(0.0) as usize).min(GRID - 1);
        let home = nearest(c.y) * GRID + nearest(c.x);
        for i in 0..CELLS {
            let x = ((i % GRID) as f32 + 0.5) * STRIDE as f32;
            let y = ((i / GRID) as f32 + 0.5) * STRIDE as f32;
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
            } else if (dx < 0.35 || (x - c.x).abs() < STRIDE as f32)
                && (dy < 0.35 || (y - c.y).abs() < STRIDE as f32)
                && t.score[i] == 0.0
            {
                // Neither a centre nor background.
                t.score_weight[i] = 0.0;
            }
        }
    }
    t
}

/// Trains the detector on scenes of `sitters`.
pub fn train(sitters: &[&Sitter], schedule: &Schedule, seed: u64, run: &Run) -> Result<DetectorNet<Cpu>> {
    let device = Default::default();
    let n = schedule.batch;
    let net = initialised(seed, &device, || DetectorNet::<CpuTrain>::new(&device));
    let model = fit(net, "detector", schedule, run, |model, step| {
        let batch: Vec<(Vec<f32>, Targets)> = (0..n)
            .into_par_iter()
            .map(|i| {
                let scene = scene(sitters, (SIDE, SIDE), seed, (step * n + i) as u64);
                (scene.image.into_iter().map(normalise_luma).collect(), targets(&scene.faces))
            })
            .collect();
        let gather = |pick: fn(&(Vec<f32>, Targets)) -> &Vec<f32>| {
            batch.iter().flat_map(|b| pick(b).iter().copied()).collect::<Vec<f32>>()
        };
        let grid = |channels| [n, channels, GRID, GRID];
        let images = tensor(gather(|b| &b.0), [n, 1, SIDE, SIDE], &device);
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
        score_loss * 100.0 + bounds_loss * 2.0
    })?;
    Ok(model.valid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_face_has_a_cell_that_knows_its_box() {
        let face = Rect { x: 63.0, y: 40.0, w: 24.0, h: 30.0 };
        let t = targets(&[face]);
        // Centre (75, 55): cell (4, 3), whose own centre is (72, 56); the one to the right is nearer than a stride.
        let home = 3 * GRID + 4;
        assert_eq!(t.score.iter().sum::<f32>(), 1.0);
        assert_eq!((t.score[home], t.bounds_weight[home]), (1.0, 1.0));
        assert!((t.bounds[CELLS + home] + 1.0 / 16.0).abs() < 1e-6);
        assert!((t.bounds[2 * CELLS + home] - 0.5f32.ln()).abs() < 1e-6);
        // Neighbours say nothing of it, cells further away are background.
        assert_eq!((t.score_weight[home + 1], t.score_weight[home + 2]), (0.0, 1.0));
    }
}
