//! Scores and the models that need no gradient framework. Everything above may use it; it uses nothing but random numbers.
//!
//! | module | meaning |
//! |---|---|
//! | [`agreement`] | ICC(3,1), correlation, mean absolute error, F1 over frames; intervals over subjects |
//! | [`score`] | confusion, UF1, UAR, subject bootstrap, paired test, calibration |
//! | [`logistic`] | multinomial logistic regression with a prior |
//! | [`linear`] | linear models on frozen features |

pub mod agreement;
pub mod linear;
pub mod logistic;
pub mod score;

/// Median, the mean of the two in the middle of an even number; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
    }
}
