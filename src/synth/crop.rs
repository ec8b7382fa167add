//! Faces straight in the stabilised crop, as a perfect stabiliser would hold them.

use super::face::Face;
use super::raster::Pose;
use crate::au::UNIT_COUNT;
use crate::face::landmarks::eye_centers;
use crate::face::{CROP_HEIGHT, CROP_WIDTH, LEFT_EYE, RIGHT_EYE};
use crate::flow::Flow;
use crate::geometry::Similarity;
use crate::kernels;
use crate::random::SplitMix;

/// Face coordinates to the stabilised crop, by the corners of the neutral face's own eyes: what a
/// perfect stabiliser does.
pub fn face_to_crop<F: Face>(face: &F) -> Similarity {
    let mut placed = F::Posed::default();
    face.place(&Pose::NEUTRAL, &Similarity::IDENTITY, &mut placed);
    Similarity::from_two_points(eye_centers(&face.landmarks(&placed)), [RIGHT_EYE, LEFT_EYE])
}

/// True displacement in the stabilised crop between the neutral face and the face moved by
/// `fractions` of each unit: where each pixel of the neutral face goes.
pub fn displacement<F: Face>(face: &F, fractions: &[f32; UNIT_COUNT]) -> Flow {
    let to_crop = face_to_crop(face);
    let [mut rest, mut moved] = [(); 2].map(|()| F::Posed::default());
    face.place(&Pose::NEUTRAL, &to_crop, &mut rest);
    face.place(&Pose::of_fractions(fractions), &to_crop, &mut moved);
    let mut flow = Flow::zeros(CROP_WIDTH, CROP_HEIGHT);
    face.field(&rest, &moved, &mut flow);
    flow
}

/// The blur of a lens: a 1-2-1 filter in both directions over `plane` of `width` columns.
pub fn lens_blur(plane: &mut [f32], width: usize) {
    let mut tmp = vec![0.0; plane.len()];
    kernels::smooth(plane, width, &mut tmp);
}

/// Draws a face straight into the stabilised crop `plane`, over what is there, placed by `to_crop` and
/// seen through a lens that blurs by a 1-2-1 filter. Returns the placed face.
pub fn draw_crop<F: Face>(face: &F, pose: &Pose, to_crop: &Similarity, plane: &mut [f32]) -> F::Posed {
    debug_assert_eq!(plane.len(), CROP_WIDTH * CROP_HEIGHT);
    let mut placed = F::Posed::default();
    face.place(pose, to_crop, &mut placed);
    face.draw(&placed, to_crop.scale(), plane, CROP_WIDTH);
    lens_blur(plane, CROP_WIDTH);
    placed
}

/// Renders a face straight into the stabilised crop, with sensor noise of standard deviation
/// `noise.0` (seed `noise.1`) and misaligned by `jitter` (crop to crop): training material at a few
/// hundred microseconds.
pub fn render_crop<F: Face>(
    face: &F,
    fractions: &[f32; UNIT_COUNT],
    jitter: &Similarity,
    noise: (f32, u64),
    out: &mut Vec<f32>,
) {
    out.clear();
    out.resize(CROP_WIDTH * CROP_HEIGHT, 90.0);
    draw_crop(face, &Pose::of_fractions(fractions), &jitter.compose(&face_to_crop(face)), out);
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
