//! The student: motion between onset and apex to a class with a calibrated confidence.
//!
//! Its input is the field's standard form, 3 x 28 x 28 (u, v, optical strain), framed as the images
//! of the MEGC2019 challenge are: eyes on row 8, mouth on row 19, 15 columns between the eyes.

use serde::{Deserialize, Serialize};

use crate::event::{Class, Label};
use crate::face::{CROP_HEIGHT, CROP_WIDTH, EYE_DISTANCE, MIDDLE_X, RIGHT_EYE};
use crate::flow::Flow;
use crate::model::{Checked, FileSpec, Lineage, ModelError, Network, Spec};
use crate::statistics::median;

/// Side of the student's input.
pub const SIDE: usize = 28;
/// Numbers of the student's input.
pub const INPUT: usize = 3 * SIDE * SIDE;
/// Crop pixels per column: 15 columns between the eyes.
pub const COLUMN_PX: f32 = EYE_DISTANCE / 15.0;
/// Crop pixels per row: 11 rows from the eyes to the mouth, 1.11 eye distances.
pub const ROW_PX: f32 = 1.11 * EYE_DISTANCE / 11.0;
/// Row of the eyes.
pub const EYE_ROW: f32 = 8.0;
/// Values beyond this multiple of their channel's RMS are cut.
const CLIP: f32 = 6.0;

/// Specification of the student.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentSpec {
    /// The common part.
    #[serde(flatten)]
    pub file: FileSpec,
    /// Names of the outputs, in order.
    pub classes: Vec<Class>,
    /// Divides the logits, so that the confidence is calibrated (Guo et al. 2017).
    pub temperature: f32,
    /// Confidence below which the student abstains.
    pub min_confidence: f32,
    /// What the weights descend from, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Lineage>,
}

impl Spec for StudentSpec {
    const KIND: &'static str = "student";
    fn file(&self) -> &FileSpec {
        &self.file
    }
}

/// Resamples the flow of a stabilised crop to the student's grid: mean of u and of v over each cell.
pub fn resample(flow: &Flow) -> Flow {
    let mut out = Flow::zeros(SIDE, SIDE);
    let scale = flow.width as f32 / CROP_WIDTH as f32;
    let cx = MIDDLE_X;
    let span = |center: f32, pitch: f32, limit: usize| {
        let lo = ((center - 0.5 * pitch) * scale).round().clamp(0.0, limit as f32 - 1.0) as usize;
        let hi = ((center + 0.5 * pitch) * scale).round().clamp(lo as f32 + 1.0, limit as f32) as usize;
        lo..hi
    };
    debug_assert_eq!(flow.height, (CROP_HEIGHT as f32 * scale) as usize);
    for y in 0..SIDE {
        let rows = span(RIGHT_EYE.y + (y as f32 - EYE_ROW) * ROW_PX, ROW_PX, flow.height);
        for x in 0..SIDE {
            let columns = span(cx + (x as f32 - 0.5 * (SIDE - 1) as f32) * COLUMN_PX, COLUMN_PX, flow.width);
            let n = (rows.len() * columns.len()) as f32;
            let mean = |plane: &[f32]| -> f32 {
                rows.clone()
                    .map(|r| plane[r * flow.width..][columns.clone()].iter().sum::<f32>())
                    .sum::<f32>()
                    / n
            };
            // In cells, so that the strain below is a ratio of lengths.
            out.u[y * SIDE + x] = mean(&flow.u) / (COLUMN_PX * scale);
            out.v[y * SIDE + x] = mean(&flow.v) / (ROW_PX * scale);
        }
    }
    out
}

/// The student's input from a flow: of a stabilised crop, or already 28 x 28. u and v less their
/// medians, each channel divided by its own RMS and clipped.
pub fn prepare(flow: &Flow) -> Vec<f32> {
    let resampled;
    let small = if flow.width == SIDE && flow.height == SIDE {
        flow
    } else {
        resampled = resample(flow);
        &resampled
    };
    let mut strain = Vec::new();
    small.strain(&mut strain);
    prepare_channels([&small.u, &small.v, &strain])
}

/// The student's input from u, v and strain of 28 x 28, on any scale.
pub fn prepare_channels(channels: [&[f32]; 3]) -> Vec<f32> {
    let mut out = Vec::with_capacity(INPUT);
    for (k, channel) in channels.into_iter().enumerate() {
        let zero = if k < 2 { median(channel).unwrap_or(0.0) } else { 0.0 };
        let energy = channel.iter().map(|v| (v - zero).powi(2)).sum::<f32>() / channel.len() as f32;
        let scale = 1.0 / energy.sqrt().max(1e-6);
        out.extend(channel.iter().map(|v| ((v - zero) * scale).clamp(-CLIP, CLIP)));
    }
    out
}

/// Means of 2x2 blocks of three planes of [`SIDE`] x [`SIDE`]: what the student's first layer does.
pub fn pool2(motion: &[f32]) -> Vec<f32> {
    let half = SIDE / 2;
    let mut out = Vec::with_capacity(motion.len() / 4);
    for plane in motion.chunks_exact(SIDE * SIDE) {
        for y in 0..half {
            for x in 0..half {
                let at = 2 * y * SIDE + 2 * x;
                out.push(0.25 * (plane[at] + plane[at + 1] + plane[at + SIDE] + plane[at + SIDE + 1]));
            }
        }
    }
    out
}

/// The student network.
pub struct Student {
    network: Network,
    spec: StudentSpec,
    sha256: String,
}

impl Student {
    /// Builds the network of a checked file.
    ///
    /// # Errors
    /// [`ModelError`] where the file is not the network that its specification describes.
    pub fn new(file: &Checked<StudentSpec>) -> Result<Self, ModelError> {
        let fail = |reason: &str| Err(file.content_error(reason));
        if file.spec.classes != Class::ALL {
            return fail("classes: not negative, positive, surprise");
        }
        if !(file.spec.temperature.is_finite() && file.spec.temperature > 0.0) {
            return fail("temperature: not a positive number");
        }
        if !(0.0..=1.0).contains(&file.spec.min_confidence) {
            return fail("min_confidence: not between 0 and 1");
        }
        let network = Network::new(&file.bytes, &[1, 3, SIDE, SIDE]).map_err(|e| file.content_error(e))?;
        let mut student = Self { network, spec: file.spec.clone(), sha256: file.sha256.clone() };
        student.probabilities(&[0.0; INPUT]).map_err(|e| file.content_error(e))?;
        Ok(student)
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Logits of [`Class::ALL`], before calibration, of a `motion` of 3 x [`SIDE`] x [`SIDE`].
    ///
    /// # Errors
    /// A motion of another length; a failure inside tract.
    pub fn logits(&mut self, motion: &[f32]) -> Result<[f32; 3], String> {
        let mut logits = None;
        self.network.run(motion, |_, values| logits = <[f32; 3]>::try_from(values).ok())?;
        Ok(logits.ok_or("output is not one number a class")?)
    }

    /// Calibrated probabilities of [`Class::ALL`], of a `motion` of 3 x [`SIDE`] x [`SIDE`].
    ///
    /// # Errors
    /// As [`Student::logits`].
    pub fn probabilities(&mut self, motion: &[f32]) -> Result<[f32; 3], String> {
        let logits = self.logits(motion)?;
        let top = logits.iter().copied().fold(f32::MIN, f32::max);
        let odds = logits.map(|l| ((l - top) / self.spec.temperature).exp());
        let sum: f32 = odds.iter().sum();
        Ok(odds.map(|o| o / sum))
    }

    /// The class with its confidence; `None` when the student abstains.
    pub fn classify(&mut self, motion: &[f32]) -> Option<Label> {
        let p = self.probabilities(motion).ok()?;
        let best = (0..3).max_by(|&a, &b| p[a].total_cmp(&p[b]))?;
        let confidence = (p[best] * 1000.0).round() / 1000.0;
        (confidence >= self.spec.min_confidence).then_some(Label { class: Class::ALL[best], confidence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::SUMS;

    #[test]
    fn the_frame_is_that_of_the_challenge() {
        // One moving pixel block at the right eye and one at the mouth's corner height.
        let mut flow = Flow::zeros(CROP_WIDTH, CROP_HEIGHT);
        for (x, y) in [(31usize, 44usize), (95, 44), (63, 115)] {
            for (dx, dy) in (0..3).flat_map(|a| (0..3).map(move |b| (a, b))) {
                flow.u[(y + dy - 1) * CROP_WIDTH + x + dx - 1] = 1.0;
            }
        }
        let small = resample(&flow);
        let hot: Vec<(usize, usize)> =
            (0..SIDE * SIDE).filter(|&i| small.u[i] > 0.04).map(|i| (i % SIDE, i / SIDE)).collect();
        assert!(hot.contains(&(6, 8)) && hot.contains(&(21, 8)), "{hot:?}");
        assert!(hot.iter().any(|(x, y)| (13..=14).contains(x) && *y == 19), "{hot:?}");
    }

    #[test]
    fn scale_and_shift_of_a_channel_change_nothing() {
        let u: Vec<f32> = (0..SIDE * SIDE).map(|i| ((i * 31) % 17) as f32).collect();
        let other: Vec<f32> = u.iter().map(|v| 3.0 * v + 5.0).collect();
        let (a, b) = (prepare_channels([&u, &u, &u]), prepare_channels([&other, &other, &u]));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < SUMS));
    }
}
