//! The running daemon: what it is made of, its threads, what it reports and what it remembers.

pub(crate) mod audit;
pub(crate) mod exposure;
pub(crate) mod files;
pub(crate) mod finder;
pub(crate) mod findings;
pub(crate) mod memory;
pub(crate) mod metrics;
pub(crate) mod noise;
pub(crate) mod publish;
pub(crate) mod report;
pub(crate) mod serve;
pub(crate) mod setup;
pub(crate) mod sharpness;
pub(crate) mod stream;
pub(crate) mod systemd;
pub(crate) mod tap;
pub(crate) mod timing;
pub(crate) mod visibility;
pub(crate) mod vision;

#[cfg(test)]
#[path = "../../../tests/integration/broker.rs"]
mod broker;
#[cfg(test)]
mod chaos_test;
#[cfg(test)]
mod piped_test;
#[cfg(test)]
mod serve_test;
#[cfg(test)]
#[path = "../../../tests/integration/tools.rs"]
mod tools;
