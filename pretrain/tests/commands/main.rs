//! The trainer's commands as processes.
//!
//! | module | purpose |
//! |---|---|
//! | `browser` | a real Chromium, driven as a person would |
//! | `chain` | databases of every layout, from sheet to score |
//! | `page` | the threshold experiment in it |
//! | `shards` | the filter spread over processes |

#![allow(clippy::disallowed_methods)] // Tests wait for browsers and servers.

mod browser;
mod chain;
mod page;
mod shards;

use std::process::Command;

/// The program under test.
fn pretrain() -> Command {
    Command::new(env!("CARGO_BIN_EXE_glint-pretrain"))
}
