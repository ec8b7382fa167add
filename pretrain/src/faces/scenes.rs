//! Portraits composited into frames of 640x480, and frames without a face.

use glint::face::landmarks::LANDMARK_COUNT;
use glint::geometry::{Point, Rect, Similarity};
use glint::synth::{Camera, NoiseTable};
use rand::Rng;
use rand::rngs::SmallRng;

use super::{HEIGHT, WIDTH};
use crate::assets::portraits::{Portrait, face_box};
use crate::augment::{generator, texture};

/// Widths of a face, brow to chin box, in pixels of the frame.
pub const FACE_PX: (f32, f32) = (48.0, 288.0);
/// Greatest roll in radians.
const ROLL: f32 = 0.26;

/// A frame with one face.
pub struct FaceScene {
    /// Luma, row by row.
    pub luma: Vec<u8>,
    /// Extent of the landmarks.
    pub bounds: Rect,
    /// The landmarks in frame pixels.
    pub landmarks: [Point; LANDMARK_COUNT],
}

/// Draws a texture at one of three scales.
fn drawn(rng: &mut SmallRng) -> Vec<f32> {
    let zoom = [1.0, 2.0, 4.0][rng.random_range(0..3)];
    let mut plane = vec![0.0; WIDTH * HEIGHT];
    texture(rng, WIDTH, zoom, &mut plane);
    plane
}

/// Films a plane with a webcam under random light.
fn film(rng: &mut SmallRng, noise: &NoiseTable, plane: &[f32]) -> Vec<u8> {
    let camera = Camera {
        exposure: rng.random_range(0.45..1.15),
        read_noise: rng.random_range(0.5..3.0),
        shot_noise: rng.random_range(0.004..0.03),
        seed: rng.random(),
        ..Camera::default()
    };
    let mut luma = vec![0; plane.len()];
    noise.expose(&camera, 0, 1.0, plane, WIDTH, &mut luma);
    luma
}

/// Places a portrait, whole or cut out around the head, upright within 15 degrees, all of the face in sight.
pub fn portrait(noise: &NoiseTable, portrait: &Portrait, seed: u64, index: u64) -> FaceScene {
    let mut rng = generator(seed, index);
    let mut plane = drawn(&mut rng);
    let points = portrait.photo_landmarks();
    let source = face_box(&points);
    let side = rng.random_range(FACE_PX.0.ln()..FACE_PX.1.ln()).exp();
    let (scale, roll) = (source.w / side, rng.random_range(-ROLL..ROLL));
    let reach = 0.75 * side;
    let center = Point::new(
        rng.random_range(reach.min(300.0)..WIDTH as f32 - reach.min(300.0)),
        rng.random_range(reach.min(220.0)..HEIGHT as f32 - reach.min(220.0)),
    );
    let c = source.center();
    let (a, b) = (scale * roll.cos(), scale * roll.sin());
    let to_photo =
        Similarity { a, b, tx: c.x - a * center.x + b * center.y, ty: c.y - b * center.x - a * center.y };
    let cut = rng.random_bool(0.5);
    let (w, h) = (portrait.photo.width() as f32, portrait.photo.height() as f32);
    portrait.photo.warp(&to_photo, &mut plane, WIDTH, |p| {
        let head =
            ((p.x - c.x) / (0.85 * source.w)).powi(2) + ((p.y - c.y + 0.15 * source.h) / source.h).powi(2);
        p.x >= 0.0 && p.y >= 0.0 && p.x < w && p.y < h && (!cut || head < 1.0)
    });
    let back = to_photo.inverse();
    let landmarks = points.map(|p| back.apply(p));
    FaceScene { luma: film(&mut rng, noise, &plane), bounds: face_box(&landmarks), landmarks }
}

/// A texture without a face; every second one also shows pieces of portraits below the chin.
pub fn empty(noise: &NoiseTable, portraits: &[&Portrait], seed: u64, index: u64) -> Vec<u8> {
    let mut rng = generator(!seed, index);
    let mut plane = drawn(&mut rng);
    if index % 2 == 1 && !portraits.is_empty() {
        for _ in 0..3 {
            let p = portraits[rng.random_range(0..portraits.len())];
            let face = face_box(&p.photo_landmarks());
            let top = face.y + 1.08 * face.h;
            let scale = rng.random_range(0.25..1.2f32);
            let (x, y) = (rng.random_range(-60.0..560.0f32), rng.random_range(-60.0..440.0f32));
            let to_photo = Similarity { a: scale, b: 0.0, tx: -x * scale, ty: top - y * scale };
            let (w, h) = (p.photo.width() as f32, p.photo.height() as f32);
            p.photo.warp(&to_photo, &mut plane, WIDTH, |q| q.x >= 0.0 && q.y >= top && q.x < w && q.y < h);
        }
    }
    film(&mut rng, noise, &plane)
}
