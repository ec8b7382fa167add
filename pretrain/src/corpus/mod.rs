//! The photo-real corpus: portraits that move and rendered heads, with exact truth.
//!
//! | module | meaning |
//! |---|---|
//! | [`fields`] | true displacement fields of a face in the student's frame |
//! | [`fit`] | pose and identity of the ICT head from a portrait's landmarks |
//! | [`portrait`] | a portrait that moves as its fitted head does |
//! | [`head`], [`skin`] | rendered ICT heads with depth |
//! | [`person`] | either of them |
//! | [`rules`] | how frequent the classes are, and which words name them |
//! | [`mix`] | AU combinations, sides, timing, extent |
//! | [`pair`] | pairs of onset and apex in the stabilised crop: what trainers draw |
//! | [`sequence`] | one sequence: who, what happens when, the truth |
//! | [`picture`] | a photograph before the camera |
//! | [`desk`], [`living`] | the surroundings: camera, light, sway, gaze; `living` has its movements too |
//! | [`plan`] | what happens in it: movements, distractors |
//! | [`shard`], [`video`] | both on disk |
//! | [`review`] | contact sheet and animated page |

pub mod desk;
pub mod fields;
pub mod fit;
pub mod head;
pub mod living;
pub mod mix;
pub mod pair;
pub mod person;
pub mod picture;
pub mod plan;
pub mod portrait;
pub mod review;
pub mod rules;
pub mod sequence;
pub mod shard;
pub mod skin;
pub mod video;
