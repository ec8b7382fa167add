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
