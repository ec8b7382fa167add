//! Subjects straight in the stabilised crop, as a perfect stabiliser would hold them.

use super::camera::SplitMix;
use super::pack::Subject;
use super::raster::Pose;
use crate::au::UNIT_COUNT;
use crate::face::landmarks::{MEDIAPIPE_68, eye_centers};
use crate::face::{CROP_HEIGHT, CROP_WIDTH, LEFT_EYE, RIGHT_EYE};
use crate::flow::Flow;
use crate::geometry::Similarity;
use crate::kernels;

/// Texture coordinates to the stabilised crop, by the corners of the subject's own eyes: what a
/// perfect stabiliser does.
fn texture_to_crop(subject: &Subject) -> Similarity {
    let eyes = eye_centers(&MEDIAPIPE_68.map(|i| subject.shape[i]));
    Similarity::from_two_points(eyes, [RIGHT_EYE, LEFT_EYE])
}

/// True displacement in the stabilised crop between the neutral face and the face moved by
/// `fractions` of each unit: where each pixel of the neutral face goes.
pub fn displacement(subject: &Subject, fractions: &[f32; UNIT_COUNT]) -> Flow {
    let to_crop = texture_to_crop(subject);
    let corner = |fractions: &[f32; UNIT_COUNT]| {
        let mut vertices = Vec::new();
        subject.posed(&Pose::of_fractions(fractions), &mut vertices);
        vertices.iter_mut().for_each(|v| *v = to_crop.apply(*v));
        vertices
    };
    let mut flow = Flow::zeros(CROP_WIDTH, CROP_HEIGHT);
    subject.field(&corner(&[0.0; UNIT_COUNT]), &corner(fractions), &mut flow);
    flow
}

/// Renders a subject straight into the stabilised crop, with sensor noise of standard deviation
/// `noise.0` (seed `noise.1`) and misaligned by `jitter` (crop to crop): training material at a few
/// hundred microseconds.
pub fn render_crop(
    subject: &Subject,
    fractions: &[f32; UNIT_COUNT],
    jitter: &Similarity,
    noise: (f32, u64),
    out: &mut Vec<f32>,
) {
    out.clear();
    out.resize(CROP_WIDTH * CROP_HEIGHT, 90.0);
    let to_crop = jitter.compose(&texture_to_crop(subject));
    let mut vertices = Vec::new();
    subject.posed(&Pose::of_fractions(fractions), &mut vertices);
    vertices.iter_mut().for_each(|v| *v = to_crop.apply(*v));
    subject.draw(&vertices, to_crop.scale(), out, CROP_WIDTH);
    let mut tmp = vec![0.0; out.len()];
    kernels::smooth(out, CROP_WIDTH, &mut tmp);
    let (deviation, seed) = noise;
    if deviation > 0.0 {
        let mut rng = SplitMix(seed);
        for v in out.iter_mut() {
            // The sum of four uniforms is close enough to normal, and quick.
            let sum = rng.uniform() + rng.uniform() + rng.uniform() + rng.uniform() - 2.0;
            *v += deviation * 1.732 * sum;
        }
    }
}
