//! How well movements are found: generated sequences with truth (`corpus::plan`), through the daemon's own pipeline.
//!
//! | module | meaning |
//! |---|---|
//! | [`watch`] | a sequence, a still face or a clip through `glint::pipeline` |
//! | [`real`] | real footage with movements of known times in it |
//! | [`score`] | matches by overlap, errors of the times, false alarms with their interval |
//! | [`intensity`] | AU intensities against the truth: mean absolute error, ICC(3,1) |
//! | [`trace`] | what the spotter was given of a sequence, kept on disk and judged again |
//! | [`curve`] | recall by intensity as table and picture |

pub mod curve;
pub mod intensity;
pub mod real;
pub mod score;
pub mod trace;
pub mod watch;
