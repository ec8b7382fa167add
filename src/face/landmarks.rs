//! The 68 landmarks: the iBUG-68 scheme and the points of other schemes that stand for it.
//!
//! Order: 0-16 jaw from the subject's right ear to the left one, 17-21 right brow, 22-26 left brow,
//! 27-30 nose bridge, 31-35 nostrils, 36-41 right eye, 42-47 left eye, 48-59 outer lips, 60-67 inner
//! lips. "Right" is the subject's right, at the left of an unmirrored image.

use crate::geometry::Point;

/// Number of landmarks.
pub const LANDMARK_COUNT: usize = 68;

/// Index in MediaPipe's 478-point face mesh of each of the 68 landmarks.
#[rustfmt::skip]
pub const MEDIAPIPE_68: [usize; LANDMARK_COUNT] = [
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
];

/// The landmark that takes the place of each one in the mirrored image.
#[rustfmt::skip]
pub const MIRROR_68: [usize; LANDMARK_COUNT] = [
    16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0,
    26, 25, 24, 23, 22, 21, 20, 19, 18, 17,
    27, 28, 29, 30, 35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55,
    64, 63, 62, 61, 60, 67, 66, 65,
];

/// Centres of the eyes, the subject's right one first: half way between the corners of each.
/// The lids and the gaze do not move them.
pub fn eye_centers(points: &[Point; LANDMARK_COUNT]) -> [Point; 2] {
    [points[36].midpoint(points[39]), points[42].midpoint(points[45])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_is_its_own_inverse() {
        for (i, &m) in MIRROR_68.iter().enumerate() {
            assert_eq!(MIRROR_68[m], i);
        }
    }
}
