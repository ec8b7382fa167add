//! What a scene films.

use super::pack::Subject;
use super::raster::Pose;
use crate::face::landmarks::{LANDMARK_COUNT, MEDIAPIPE_68};
use crate::flow::Flow;
use crate::geometry::{Point, Similarity};

/// A face that can be posed, drawn and measured.
///
/// Face coordinates are those of the textures: the eye centres of the neutral face lie near
/// [`FACE_EYES`], x to the image's right, y downwards.
pub trait Face {
    /// Vertices of a posed face in image pixels.
    type Posed: Default + Clone;

    /// Puts the vertices of the face in `pose`, carried into the image by `to_image`, into `out`.
    fn place(&self, pose: &Pose, to_image: &Similarity, out: &mut Self::Posed);

    /// Draws a placed face over `plane` (`width` columns, gray 0 to 255). `scale`: image pixels per unit of
    /// face coordinates.
    fn draw(&self, placed: &Self::Posed, scale: f32, plane: &mut [f32], width: usize);

    /// Writes the displacement between two placements of this face into `flow`, at the pixels of the first
    /// one; pixels without a face keep their value.
    fn field(&self, from: &Self::Posed, to: &Self::Posed, flow: &mut Flow);

    /// The 68 landmarks of a placed face in image pixels.
    fn landmarks(&self, placed: &Self::Posed) -> [Point; LANDMARK_COUNT];
}

impl<F: Face> Face for &F {
    type Posed = F::Posed;

    fn place(&self, pose: &Pose, to_image: &Similarity, out: &mut F::Posed) {
        F::place(self, pose, to_image, out);
    }

    fn draw(&self, placed: &F::Posed, scale: f32, plane: &mut [f32], width: usize) {
        F::draw(self, placed, scale, plane, width);
    }

    fn field(&self, from: &F::Posed, to: &F::Posed, flow: &mut Flow) {
        F::field(self, from, to, flow);
    }

    fn landmarks(&self, placed: &F::Posed) -> [Point; LANDMARK_COUNT] {
        F::landmarks(self, placed)
    }
}

/// Middle between the eyes in face coordinates.
pub const FACE_EYES: Point = super::raster::TEXTURE_EYES;
/// Distance of the eyes in face coordinates.
pub const FACE_EYE_DISTANCE: f32 = super::raster::TEXTURE_EYE_DISTANCE;

impl Face for Subject {
    type Posed = Vec<Point>;

    fn place(&self, pose: &Pose, to_image: &Similarity, out: &mut Vec<Point>) {
        self.posed(pose, out);
        out.iter_mut().for_each(|v| *v = to_image.apply(*v));
    }

    fn draw(&self, placed: &Vec<Point>, scale: f32, plane: &mut [f32], width: usize) {
        self.draw_textured(placed, scale, plane, width);
    }

    fn field(&self, from: &Vec<Point>, to: &Vec<Point>, flow: &mut Flow) {
        self.displacements(from, to, flow);
    }

    fn landmarks(&self, placed: &Vec<Point>) -> [Point; LANDMARK_COUNT] {
        MEDIAPIPE_68.map(|i| placed[i])
    }
}
