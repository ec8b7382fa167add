//! How well classes are recognised: real samples, the leave-one-subject-out protocol, scores, methods.
//!
//! | module | meaning |
//! |---|---|
//! | [`megc`] | a folder of published flow images: samples with database, subject, class |
//! | [`nets`] | the small networks that are trained from scratch on real samples |
//! | [`protocol`] | methods, and the folds they are scored in |
//! | [`report`] | tables of scores, intervals and paired tests |
//! | [`validation`] | mean motion of generated pairs against that of real samples |
//! | [`tuning`] | labelled samples beside the student, as a second expert |

pub mod megc;
pub mod nets;
pub mod protocol;
pub mod report;
pub mod tuning;
pub mod validation;
