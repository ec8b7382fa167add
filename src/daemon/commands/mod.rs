//! The commands of `glintd`, and what they share.

pub(crate) mod allocations;
pub(crate) mod bench;
pub(crate) mod cameras;
pub(crate) mod check;
#[cfg(feature = "demo")]
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod inspect;
pub(crate) mod media;
pub(crate) mod models;
pub(crate) mod networks;
pub(crate) mod output;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod samples;
pub(crate) mod selftest;
pub(crate) mod table;
