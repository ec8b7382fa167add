//! How well movements are found: generated sequences with truth (`corpus::plan`), through the daemon's own pipeline.
//!
//! | module | meaning |
//! |---|---|
//! | [`watch`] | a sequence, a still face or a clip through `glint::pipeline` |
//! | [`score`] | matches by overlap, errors of the times, false alarms with their interval |
//! | [`intensity`] | AU intensities against the truth: mean absolute error, ICC(3,1) |
//! | [`curve`] | recall by intensity as table and picture |

pub mod curve;
pub mod intensity;
pub mod score;
pub mod watch;
