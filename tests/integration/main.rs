//! The program from outside: its command line, its configuration, its conversation with a broker.
#![allow(clippy::disallowed_methods)] // waits for programs and brokers

mod broker;
mod cli;
mod config;
mod mqtt;

use std::process::{Command, Output};

/// `glintd` with arguments.
fn glintd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glintd"));
    command.args(arguments);
    command
}

/// Runs `glintd` to its end.
fn run(arguments: &[&str]) -> Output {
    glintd(arguments).output().expect("glintd starts")
}

/// What a program said on stderr.
fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
