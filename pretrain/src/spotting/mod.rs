//! How well movements are found: generated sequences with truth (`corpus::plan`), through the daemon's own pipeline.
//!
//! | module | meaning |
//! |---|---|
//! | [`watch`] | a sequence, a still face or a clip through `glint::pipeline` |
//! | [`real`] | real footage with movements of known times in it |
//! | [`long`] | databases of long videos |
//! | [`counts`] | their count: strictly one to one, and as published |
//! | [`score`] | matches by overlap, errors of the times, false alarms with their interval |
//! | [`intensity`] | AU intensities against the truth: mean absolute error, ICC(3,1) |
//! | [`coded`] | AU intensities against the human codes of a database |
//! | [`trace`] | what the spotter was given of a sequence, kept on disk and judged again |
//! | [`mod@bench`] | what is made and watched |
//! | [`film`] | sequences of living people as the spotter sees them |
//! | [`candidates`] | what gate, spotter and judge make of them |
//! | [`rate`] | what was found at one frame rate |
//! | [`report`] | everything that was measured, as tables and as JSON |
//! | [`curve`] | recall by intensity as table and picture |

pub mod bench;
pub mod candidates;
pub mod coded;
pub mod counts;
pub mod curve;
pub mod film;
pub mod intensity;
pub mod long;
pub mod rate;
pub mod real;
pub mod report;
pub mod score;
pub mod trace;
pub mod watch;
pub mod worlds;
