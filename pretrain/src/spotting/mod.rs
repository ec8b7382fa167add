//! How well movements are found: generated sequences with truth, through the daemon's own pipeline.
//!
//! | module | meaning |
//! |---|---|
//! | [`plan`] | what happens in a sequence: movements, distractors, camera |
//! | [`watch`] | a sequence, a still face or a clip through `glint::pipeline` |
//! | [`score`] | matches by overlap, errors of the times, false alarms with their interval |
//! | [`intensity`] | AU intensities against the truth: mean absolute error, ICC(3,1) |
//! | [`curve`] | recall by intensity as table and picture |

pub mod curve;
pub mod intensity;
pub mod plan;
pub mod score;
pub mod watch;
