//! The minimum recognisable intensity of each action unit: from people, or from a model observer.
//!
//! | module | meaning |
//! |---|---|
//! | [`quest`] | the adaptive staircase |
//! | [`session`] | one participant: trials, answers, a log that survives anything |
//! | [`stimuli`] | two intervals of a rendered face, one of which moves |
//! | [`server`] | the local web page |
//! | [`psychometric`] | the function that is fitted to answers, its threshold |
//! | [`observer`] | the daemon's own measurement in the place of a participant |
//! | [`export`] | the thresholds file that the gate reads |
//!
//! The experiment is that of Li et al. 2025 as far as its text tells (an experiment on AU intensity that determines the
//! least one at which an expression can be recognised); two-interval forced choice keeps a participant's willingness to
//! say "seen" out of it.

pub mod export;
pub mod observer;
pub mod psychometric;
pub mod quest;
pub mod server;
pub mod session;
pub mod stimuli;
