//! The edges of glint: files, camera, broker, service manager.
#![allow(clippy::disallowed_methods)] // clocks are read here: at the edges

pub mod allocations;
pub mod bench;
pub mod bench_models;
pub mod camera;
pub mod cameras;
pub mod capture;
pub mod child;
pub mod clock;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod grab;
pub mod inspect;
pub mod link;
pub mod losses;
pub mod media;
pub mod memory;
pub mod mqtt;
pub mod outbox;
pub mod piped;
pub mod publish;
pub mod replay;
pub mod report;
pub mod run;
pub mod selftest;
pub mod serve;
pub mod source;
pub mod stamps;
pub mod storage;
pub mod summary;
pub mod systemd;
pub mod visibility;
pub mod vision;

#[cfg(test)]
#[path = "../../tests/integration/broker.rs"]
mod broker;
#[cfg(test)]
mod capture_test;
#[cfg(test)]
mod chaos_test;
#[cfg(test)]
mod piped_test;
#[cfg(test)]
mod serve_test;
