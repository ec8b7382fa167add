//! The 68 landmarks: the iBUG-68 scheme and the points of other schemes that stand for it.
//!
//! Order: 0-16 jaw from the subject's right ear to the left one, 17-21 right brow, 22-26 left brow,
//! 27-30 nose bridge, 31-35 nostrils, 36-41 right eye, 42-47 left eye, 48-59 outer lips, 60-67 inner
//! lips. "Right" is the subject's right, at the left of an unmirrored image.

use serde::{Deserialize, Serialize};

use crate::face::patch::sample_luma;
use crate::face::{CROP_HEIGHT, LEFT_EYE, RIGHT_EYE};
use crate::geometry::{Point, Rect, Similarity};
use crate::model::{Checked, FileSpec, ModelError, Network, Spec, normalise_luma};

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

/// Side of the square crop that the network sees.
pub const INPUT_SIDE: usize = 64;
/// Centres of the eyes in that crop when the face is aligned, the subject's right one first.
pub const INPUT_EYES: [Point; 2] = [Point::new(22.0, 23.0), Point::new(42.0, 23.0)];

/// Evens out the light of a crop of luma 0..255, in place: mean 128 and deviation 40, so that neither the lamps nor the
/// skin's brightness matter. A flat crop stays nearly flat.
pub fn equalise(crop: &mut [f32]) {
    let n = crop.len() as f32;
    let mean = crop.iter().sum::<f32>() / n;
    let variance = crop.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / n;
    let scale = 40.0 / variance.sqrt().max(4.0);
    crop.iter_mut().for_each(|v| *v = (128.0 + (*v - mean) * scale).clamp(0.0, 255.0));
}

/// Specification of a landmark network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LandmarksSpec {
    /// The common part.
    #[serde(flatten)]
    pub file: FileSpec,
    /// Confidence from which the crop shows a face.
    pub min_confidence: f32,
    /// Where an eye lies in the detector's box: distances of the right eye from left and top, as
    /// shares of width and height; the left eye mirrors it.
    pub eye_in_box: [f32; 2],
    /// Whether the network sees crops whose light was evened out by [`equalise`].
    #[serde(default)]
    pub equalise: bool,
}

impl Spec for LandmarksSpec {
    const KIND: &'static str = "landmarks";
    fn file(&self) -> &FileSpec {
        &self.file
    }
}

/// The landmarks of one face.
#[derive(Debug, Clone, PartialEq)]
pub struct Landmarks {
    /// In frame pixels.
    pub points: [Point; LANDMARK_COUNT],
    /// 0 to 1: whether there is a face at all.
    pub confidence: f32,
}

impl Landmarks {
    /// The similarity that takes the stabilised crop to the frame. The eyes and the mouth decide:
    /// eyes alone would turn their error into roll.
    pub fn crop_to_frame(&self) -> Similarity {
        let [right, left] = eye_centers(&self.points);
        let mouth = self.points[48].midpoint(self.points[54]);
        let down = Point::new(RIGHT_EYE.midpoint(LEFT_EYE).x, RIGHT_EYE.y + MOUTH_BELOW_EYES);
        Similarity::fit(&[RIGHT_EYE, LEFT_EYE, down], &[right, left, mouth])
            .unwrap_or_else(|| Similarity::from_two_points([RIGHT_EYE, LEFT_EYE], [right, left]))
    }
}

/// Distance of the mouth corners below the eyes in the stabilised crop: the portraits' mean is 1.11
/// eye distances.
const MOUTH_BELOW_EYES: f32 = 71.0;
const _: () = assert!(RIGHT_EYE.y + MOUTH_BELOW_EYES < CROP_HEIGHT as f32);

/// The landmark network with its buffers.
pub struct Landmarker {
    network: Network,
    spec: LandmarksSpec,
    input: Vec<f32>,
    output: [f32; 2 * LANDMARK_COUNT + 1],
}

impl Landmarker {
    /// Builds the network of a checked file.
    ///
    /// # Errors
    /// [`ModelError`] where the file is not the network that its specification describes.
    pub fn new(file: &Checked<LandmarksSpec>) -> Result<Self, ModelError> {
        let network =
            Network::new(&file.bytes, &[1, 1, INPUT_SIDE, INPUT_SIDE]).map_err(|e| file.content_error(e))?;
        let input = vec![0.0; INPUT_SIDE * INPUT_SIDE];
        let mut landmarker =
            Self { network, spec: file.spec.clone(), input, output: [0.0; 2 * LANDMARK_COUNT + 1] };
        landmarker.infer().map_err(|e| file.content_error(e))?;
        Ok(landmarker)
    }

    /// Confidence from which there is a face.
    pub fn min_confidence(&self) -> f32 {
        self.spec.min_confidence
    }

    fn infer(&mut self) -> Result<(), String> {
        let Self { network, input, output, .. } = self;
        let mut fits = false;
        network.run(input, |_, values| {
            if let Ok(values) = values.try_into() {
                (*output, fits) = (values, true);
            }
        })?;
        fits.then_some(())
            .ok_or_else(|| format!("the output does not have {} values", 2 * LANDMARK_COUNT + 1))
    }

    /// Alignment of the network's input from a detector's box.
    pub fn from_bounds(&self, bounds: Rect) -> Similarity {
        let [x, y] = self.spec.eye_in_box;
        let eye = |x: f32| Point::new(bounds.x + x * bounds.w, bounds.y + y * bounds.h);
        Similarity::from_two_points(INPUT_EYES, [eye(x), eye(1.0 - x)])
    }

    /// Alignment of the network's input from one of the stabilised crop.
    pub fn from_crop(crop_to_frame: &Similarity) -> Similarity {
        Similarity::from_two_points(
            INPUT_EYES,
            [crop_to_frame.apply(RIGHT_EYE), crop_to_frame.apply(LEFT_EYE)],
        )
    }

    /// One pass on the crop under `input_to_frame`. `None` when the network fails.
    pub fn run(
        &mut self,
        luma: &[u8],
        width: usize,
        height: usize,
        input_to_frame: &Similarity,
    ) -> Option<Landmarks> {
        if !sample_luma(luma, width, height, input_to_frame, &mut self.input, INPUT_SIDE) {
            return None;
        }
        if self.spec.equalise {
            equalise(&mut self.input);
        }
        self.input.iter_mut().for_each(|v| *v = normalise_luma(*v));
        self.infer().ok()?;
        Some(self.landmarks_in_frame(input_to_frame))
    }

    /// The network's output in frame pixels.
    fn landmarks_in_frame(&self, input_to_frame: &Similarity) -> Landmarks {
        let side = INPUT_SIDE as f32;
        let points = std::array::from_fn(|i| {
            // The network's unit is half the side, about the centre.
            let p = Point::new(
                0.5 * side * (1.0 + self.output[2 * i]),
                0.5 * side * (1.0 + self.output[2 * i + 1]),
            );
            input_to_frame.apply(p)
        });
        Landmarks { points, confidence: self.output[2 * LANDMARK_COUNT] }
    }

    /// The mean of the present output and that of the mirrored crop: their errors differ. `None` when the network fails.
    fn with_mirror_image(&mut self) -> Option<()> {
        let straight = self.output;
        self.input.chunks_exact_mut(INPUT_SIDE).for_each(<[f32]>::reverse);
        self.infer().ok()?;
        let mirrored = self.output;
        for (i, m) in MIRROR_68.into_iter().enumerate() {
            // Pixel x of the crop is pixel side - 1 - x of its mirror image.
            let x = -2.0 / INPUT_SIDE as f32 - mirrored[2 * m];
            self.output[2 * i] = 0.5 * (straight[2 * i] + x);
            self.output[2 * i + 1] = 0.5 * (straight[2 * i + 1] + mirrored[2 * m + 1]);
        }
        let face = 2 * LANDMARK_COUNT;
        self.output[face] = 0.5 * (straight[face] + mirrored[face]);
        Some(())
    }

    /// Two passes: the second on the crop that the first has aligned, and on its mirror image.
    pub fn locate(
        &mut self,
        luma: &[u8],
        width: usize,
        height: usize,
        guess: &Similarity,
    ) -> Option<Landmarks> {
        let first = self.run(luma, width, height, guess)?;
        let aligned = Similarity::from_two_points(INPUT_EYES, eye_centers(&first.points));
        let scale = aligned.scale() / guess.scale();
        if !(0.5..2.0).contains(&scale) {
            return Some(Landmarks { confidence: 0.0, ..first });
        }
        self.run(luma, width, height, &aligned)?;
        self.with_mirror_image()?;
        Some(self.landmarks_in_frame(&aligned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::{KERNELS, THOUSANDTH};

    #[test]
    fn light_does_not_matter() {
        let mut crop: Vec<f32> = (0..64 * 64).map(|i| ((i * 37) % 101) as f32).collect();
        let mut dark: Vec<f32> = crop.iter().map(|v| 0.4 * v + 11.0).collect();
        equalise(&mut crop);
        equalise(&mut dark);
        assert!(crop.iter().zip(&dark).all(|(a, b)| (a - b).abs() < 0.05));
        let mut flat = vec![90.0; 64 * 64];
        equalise(&mut flat);
        assert!(flat.iter().all(|v| (v - 128.0).abs() < 0.1));
    }

    #[test]
    fn a_mirrored_image_has_mirrored_landmarks() {
        const SIDE: usize = 96;
        let models = crate::pipeline::Models::embedded().expect("models");
        let mut landmarker = Landmarker::new(&models.landmarks).expect("landmarks");
        let mut luma: Vec<u8> =
            (0..SIDE * SIDE).map(|i| ((i * i / 7 + 31 * (i / SIDE)) % 251) as u8).collect();
        let middle = Similarity { tx: 16.0, ty: 16.0, ..Similarity::IDENTITY };
        let mut find = |luma: &[u8]| {
            landmarker.run(luma, SIDE, SIDE, &middle).expect("inside");
            landmarker.with_mirror_image().expect("runs");
            landmarker.landmarks_in_frame(&middle)
        };
        let straight = find(&luma);
        luma.chunks_exact_mut(SIDE).for_each(<[u8]>::reverse);
        let mirrored = find(&luma);
        for (i, m) in MIRROR_68.into_iter().enumerate() {
            let (a, b) = (straight.points[i], mirrored.points[m]);
            assert!(
                (a.x + b.x - (SIDE - 1) as f32).abs() < THOUSANDTH && (a.y - b.y).abs() < THOUSANDTH,
                "{i}: {a:?} {b:?}"
            );
        }
        assert!((straight.confidence - mirrored.confidence).abs() < KERNELS);
    }

    #[test]
    fn mirror_is_its_own_inverse() {
        for (i, &m) in MIRROR_68.iter().enumerate() {
            assert_eq!(MIRROR_68[m], i);
        }
    }
}
