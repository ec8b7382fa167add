//! The photo-real corpus: portraits that move and rendered heads, with exact truth.
//!
//! | module | meaning |
//! |---|---|
//! | [`fit`] | pose and identity of the ICT head from a portrait's landmarks |
//! | [`portrait`] | a portrait that moves as its fitted head does |
//! | [`head`], [`skin`] | rendered ICT heads with depth |
//! | [`person`] | either of them |
//! | [`mix`] | AU combinations, sides, timing, extent |
//! | [`plan`] | what happens in a sequence: movements, distractors, camera |

pub mod fit;
pub mod head;
pub mod mix;
pub mod person;
pub mod plan;
pub mod portrait;
pub mod skin;
