//! Scores and the models that need no gradient framework. Everything above may use it; it uses nothing but random numbers.
//!
//! | module | meaning |
//! |---|---|
//! | [`score`] | confusion, UF1, UAR, subject bootstrap, paired test, calibration |
//! | [`logistic`] | multinomial logistic regression with a prior |
//! | [`linear`] | linear models on frozen features |

pub mod linear;
pub mod logistic;
pub mod score;
