//! How well faces are found, followed and held still.
//!
//! | module | meaning |
//! |---|---|
//! | [`scenes`] | portraits in frames of 640x480, and frames without a face |
//! | [`detection`] | recall, false positives, time |
//! | [`points`] | landmarks against labels and against rendered truth |
//! | [`still`] | motion that is left in the stabilised crop |
//! | [`clips`] | real clips: frames with a face, identities, a sheet of crops |
//! | [`trained`] | which portraits the shipped models have seen |
//! | [`mod@bench`], [`report`] | all of it at once, and its tables |

pub mod bench;
pub mod clips;
pub mod detection;
pub mod points;
pub mod report;
pub mod scenes;
pub mod still;
pub mod trained;

/// Columns of the frames.
pub const WIDTH: usize = 640;
/// Rows of the frames.
pub const HEIGHT: usize = 480;

/// Mean of `values`; NaN without any.
pub fn mean(values: impl IntoIterator<Item = f32>) -> f32 {
    let (mut sum, mut n) = (0.0f64, 0u32);
    for v in values {
        sum += f64::from(v);
        n += 1;
    }
    (sum / f64::from(n)) as f32
}
