//! The filter: out of much unlabelled video, the pairs of frames between which a face moved recognisably and not much.
//!
//! | module | meaning |
//! |---|---|
//! | [`judge`] | intensities between two crops, and whether they lie in the range |
//! | [`scan`] | one recording through the daemon's pipeline: excursions, their reference and target |
//! | [`units`] | what is to be scanned, and which part of it is a shard's |
//! | [`recording`] | one recording to its pairs and its report |
//! | [`drawn`] | a file of pairs that were drawn, judged one by one |
//! | [`evaluation`] | what is kept of generated video, against its truth |
//! | [`report`] | what was kept and why; merging |
//!
//! After Li et al. 2025, whose text gives the idea (a threshold on AU intensity chooses unlabelled samples) and neither
//! the threshold nor the rule; the rules here are ours.

pub mod drawn;
pub mod evaluation;
pub mod judge;
pub mod recording;
pub mod report;
pub mod scan;
pub mod units;
