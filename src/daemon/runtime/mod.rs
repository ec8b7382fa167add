//! The running daemon: what it is made of, its threads, what it reports and what it remembers.

pub mod memory;
pub mod publish;
pub mod report;
pub mod serve;
pub mod setup;
pub mod systemd;
pub mod visibility;
pub mod vision;

#[cfg(test)]
#[path = "../../../tests/integration/broker.rs"]
mod broker;
#[cfg(test)]
mod chaos_test;
#[cfg(test)]
mod piped_test;
#[cfg(test)]
mod serve_test;
