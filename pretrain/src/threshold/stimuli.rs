//! What a participant sees: two intervals of one face, in one of which an action unit moves.

use anyhow::{Context, Result};
use glint::au::Side;
use glint::frame::Frame;
use glint::synth::{Action, Camera, Gaze, HeadMotion, Lighting, Pack, Profile, Scene, Script, Subject};
use image::codecs::jpeg::JpegEncoder;
use rand::Rng;

use super::session::Trial;
use crate::augment::generator;

/// Columns of a stimulus.
pub const WIDTH: usize = 320;
/// Rows of a stimulus.
pub const HEIGHT: usize = 400;
/// Frames per second.
pub const FPS: f64 = 50.0;
/// Frames of an interval: 0.6 s.
pub const FRAMES: usize = 30;
/// The movement: a typical micro-expression of 300 ms (Yan et al. 2013).
const MOVEMENT_MS: [i64; 3] = [120, 240, 420];

/// Frames of one interval (1 or 2) of a trial, as JPEG files. The face is a synthetic one of its own for each trial; both
/// intervals differ in the camera's noise, and in one of them the AU moves.
pub fn interval(pack: &Pack, trial: &Trial, interval: u8) -> Result<Vec<Vec<u8>>> {
    let mut rng = generator(trial.seed, 0);
    let subject = Subject::random(pack, rng.random());
    let moves = interval == trial.interval;
    let ns = MOVEMENT_MS.map(|ms| ms * 1_000_000);
    let actions = moves.then(|| Action {
        au: trial.au,
        side: Side::Both,
        intensity: (trial.intensity / 5.0).clamp(0.0, 1.0) as f32,
        onset_ns: ns[0],
        apex_ns: ns[1],
        offset_ns: ns[2],
        profile: Profile::Cosine,
    });
    let mut script = Script::new(actions.into_iter().collect())?;
    script.head = HeadMotion::STILL;
    script.lighting = Lighting::default();
    script.gaze = Gaze::STILL;
    // One wall for both intervals, since the camera's seed paints it; the noise differs by the number of the frame.
    let camera = Camera {
        width: WIDTH,
        height: HEIGHT,
        eye_distance_px: 104.0,
        seed: trial.seed,
        ..Camera::default()
    };
    let mut scene = Scene::new(subject, script, camera);
    let mut frame = Frame::default();
    (0..FRAMES)
        .map(|k| {
            let number = u64::from(interval) * FRAMES as u64 + k as u64;
            scene.render(number, (k as f64 * 1e9 / FPS).round() as i64, &mut frame);
            let mut jpeg = Vec::new();
            JpegEncoder::new_with_quality(&mut jpeg, 95)
                .encode(&frame.luma, WIDTH as u32, HEIGHT as u32, image::ExtendedColorType::L8)
                .context("JPEG")?;
            Ok(jpeg)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_interval_moves_and_the_other_does_not() {
        let pack = Pack::embedded().expect("pack");
        let trial = Trial { number: 0, au: 12, intensity: 4.0, interval: 2, seed: 9 };
        // Mean change from the first frame to the one at the apex.
        let change = |k: u8| {
            let jpegs = interval(&pack, &trial, k).expect("renders");
            assert_eq!(jpegs.len(), FRAMES);
            let gray = |i: usize| image::load_from_memory(&jpegs[i]).expect("JPEG").to_luma8();
            let (a, b) = (gray(0), gray(12));
            let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            sum as f64 / (WIDTH * HEIGHT) as f64
        };
        let (still, moving) = (change(1), change(2));
        assert!(moving > still + 0.2, "{still} {moving}");
        assert_eq!(
            interval(&pack, &trial, 1).expect("renders"),
            interval(&pack, &trial, 1).expect("renders")
        );
    }
}
