//! Find the face, follow it, and hold it still: frame in, stabilised crop out.

pub mod detector;
pub mod landmarks;
pub mod patch;
pub mod stabilise;
pub mod track;

use crate::geometry::Point;

/// Columns of the stabilised crop.
pub const CROP_WIDTH: usize = 128;
/// Rows of the stabilised crop: the brows to the chin at the scale of [`EYE_DISTANCE`].
pub const CROP_HEIGHT: usize = 160;
/// Distance between the eye centres in the stabilised crop, in pixels.
pub const EYE_DISTANCE: f32 = 64.0;
/// Centre of the subject's right eye (at the left of the image) in the stabilised crop. An eye
/// centre is the point half way between the corners of that eye.
pub const RIGHT_EYE: Point = Point::new(31.5, 44.0);
/// Centre of the subject's left eye in the stabilised crop.
pub const LEFT_EYE: Point = Point::new(95.5, 44.0);
