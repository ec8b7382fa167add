//! The commands of `glintd`, and what they share.

pub mod allocations;
pub mod bench;
pub mod bench_models;
pub mod cameras;
#[cfg(feature = "demo")]
pub mod demo;
pub mod inspect;
pub mod media;
pub mod replay;
pub mod run;
pub mod samples;
pub mod selftest;
pub mod summary;
