//! The trainer's commands as processes.
//!
//! | module | purpose |
//! |---|---|
//! | `browser` | a real Chromium, driven as a person would |
//! | `chain` | databases of every layout, from sheet to score |
//! | `coded` | databases of coded action units, from rendered people to the table |
//! | `documented` | the commands of README and docs |
//! | `page` | the threshold experiment in it |
//! | `shards` | the filter spread over processes |

#![allow(clippy::disallowed_methods)] // Tests wait for browsers and servers.

mod browser;
mod chain;
mod coded;
mod documented;
mod page;
#[path = "../../../tests/integration/pages.rs"]
mod pages;
mod shards;
#[path = "../../../tests/integration/tools.rs"]
mod tools;

use std::process::Command;

/// The program under test.
fn pretrain() -> Command {
    Command::new(env!("CARGO_BIN_EXE_glint-pretrain"))
}
