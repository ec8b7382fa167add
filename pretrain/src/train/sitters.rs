//! Faces to train on: portraits, and rendered heads that balance their skew of skin, age and sex.

use std::sync::Arc;

use glint::face::landmarks::LANDMARK_COUNT;
use glint::geometry::{Point, Rect, Similarity};
use glint::synth::{FACE_EYE_DISTANCE, FACE_EYES, Face, Pose};
use rand::Rng;
use rand::rngs::SmallRng;
use rayon::prelude::*;

use crate::assets::portraits::{Portrait, face_box};
use crate::augment::{background, generator, letters};
use crate::corpus::head::{HeadFace, Model};
use crate::image::Pyramid;

/// Side of a rendered head's picture.
const SIDE: usize = 224;

/// A picture with one face.
pub struct Sitter {
    /// The picture.
    pub photo: Pyramid,
    /// Its 68 landmarks, in pixels of the picture.
    pub points: [Point; LANDMARK_COUNT],
    /// Whether the landmarks are labels of a portrait; those of a rendered head are defined otherwise.
    pub labelled: bool,
}

impl Sitter {
    /// Extent of the landmarks.
    pub fn bounds(&self) -> Rect {
        face_box(&self.points)
    }
}

/// Things that are not faces and share something with them: clothes and shoulders, single parts of a face, a face whose
/// parts are shuffled, letters.
pub fn decoy(rng: &mut SmallRng, sitters: &[&Sitter], image: &mut [f32], width: usize) {
    let sitter = sitters[rng.random_range(0..sitters.len())];
    let b = sitter.bounds();
    let (w, h) = (sitter.photo.width() as f32, sitter.photo.height() as f32);
    let mut along = |limit: usize| rng.random_range(-20.0..limit as f32 - 20.0);
    let (x, y) = (along(width), along(image.len() / width));
    match rng.random_range(0..4) {
        0 => {
            let top = b.y + b.h * 1.05;
            if top + 8.0 < h {
                let scale = rng.random_range(0.4..2.5f32);
                let to_photo = Similarity { a: scale, b: 0.0, tx: -x * scale, ty: top - y * scale };
                sitter
                    .photo
                    .warp(&to_photo, image, width, |p| p.x >= 0.0 && p.y >= top && p.x < w && p.y < h);
            }
        }
        1 => {
            // One part: a quarter of the face at most, at any scale and turn.
            let at = sitter.points[rng.random_range(0..sitter.points.len())];
            let (scale, turn) = (rng.random_range(0.15..1.5f32), rng.random_range(-3.1..3.1f32));
            let (a, s) = (scale * turn.cos(), scale * turn.sin());
            let to_photo = Similarity { a, b: s, tx: at.x - a * x + s * y, ty: at.y - s * x - a * y };
            let reach = b.w * rng.random_range(0.1..0.24);
            sitter.photo.warp(&to_photo, image, width, |p| {
                (p.x - at.x).abs() < reach
                    && (p.y - at.y).abs() < reach
                    && p.x >= 0.0
                    && p.y >= 0.0
                    && p.x < w
                    && p.y < h
            });
        }
        2 => {
            // Four by four tiles of the face in another order.
            let side = rng.random_range(16.0..100.0f32);
            let tile = side / 4.0;
            for k in 0..16 {
                let from = rng.random_range(0..16);
                let corner = |k: usize, unit: f32| Point::new((k % 4) as f32 * unit, (k / 4) as f32 * unit);
                let (to, source) = (corner(k, tile), corner(from, b.w / 4.0));
                let scale = b.w / side;
                let (left, top) = (x + to.x, y + to.y);
                let (sx, sy) = (b.x + source.x, b.y + source.y);
                let to_photo = Similarity { a: scale, b: 0.0, tx: sx - scale * left, ty: sy - scale * top };
                let reach = b.w / 4.0;
                sitter.photo.warp(&to_photo, image, width, |p| {
                    p.x >= sx
                        && p.y >= sy
                        && p.x < sx + reach
                        && p.y < sy + reach
                        && p.x < w
                        && p.y < h
                        && p.y >= 0.0
                });
            }
        }
        _ => letters(rng, width, image),
    }
}

/// The whole photographs of portraits.
pub fn of_portraits(portraits: &[&Portrait]) -> Vec<Sitter> {
    let sitter =
        |p: &&Portrait| Sitter { photo: p.photo.clone(), points: p.photo_landmarks(), labelled: true };
    portraits.iter().map(sitter).collect()
}

/// The crops of portraits around the face, in which it is largest.
pub fn of_crops(portraits: &[&Portrait]) -> Vec<Sitter> {
    let sitter = |p: &&Portrait| Sitter { photo: p.crop.clone(), points: p.landmarks(), labelled: true };
    portraits.iter().map(sitter).collect()
}

/// `count` rendered heads before procedural walls: any identity, expression, light and skin, turned by up to 25 degrees.
pub fn of_heads(model: &Arc<Model>, count: usize, seed: u64) -> Vec<Sitter> {
    let one = |i: usize| {
        let mut rng = generator(seed ^ 0x7369_7474, i as u64);
        let face = HeadFace::random(model, &mut rng);
        let mut pose = Pose::NEUTRAL;
        for f in &mut pose.fractions {
            if rng.random_bool(0.12) {
                *f = rng.random_range(0.0..0.8);
            }
        }
        pose.turn = [rng.random_range(-0.45..0.45), rng.random_range(-0.25..0.25)];
        pose.gaze = [rng.random_range(-0.6..0.6), rng.random_range(-0.4..0.4)];
        // The head fills the picture about as a portrait does.
        let scale = rng.random_range(50.0f32..64.0) / FACE_EYE_DISTANCE;
        let at = Point::new(0.5 * SIDE as f32, 0.45 * SIDE as f32);
        let to_image =
            Similarity { a: scale, b: 0.0, tx: at.x - scale * FACE_EYES.x, ty: at.y - scale * FACE_EYES.y };
        let mut plane = vec![0.0; SIDE * SIDE];
        background(&mut rng, SIDE, SIDE, &mut plane);
        let mut placed = Default::default();
        face.place(&pose, &to_image, &mut placed);
        face.draw(&placed, scale, &mut plane, SIDE);
        let data: Vec<u8> = plane.iter().map(|v| v.clamp(0.0, 255.0) as u8).collect();
        Sitter { photo: Pyramid::new(SIDE, SIDE, &data), points: face.landmarks(&placed), labelled: false }
    };
    (0..count).into_par_iter().map(one).collect()
}
