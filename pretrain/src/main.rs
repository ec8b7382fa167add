//! `glint-pretrain`: arguments and exit codes.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{Parser, Subcommand};
use glint::model::{ENGINE_VARIABLE, Engine};
use glint_pretrain::commands;

/// Trains, evaluates and exports the networks that glintd runs.
#[derive(Parser)]
#[command(version, after_help = "Example: glint-pretrain detector --assets ../data --out models --seed 1")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Au(commands::au::Args),
    Bundle(commands::bundle::Args),
    Calibrate(commands::calibrate::Args),
    Corpus(commands::corpus::Args),
    Detector(commands::detector::Args),
    Distill(commands::distill::Args),
    #[command(subcommand)]
    Evaluate(commands::evaluate::Command),
    Filter(commands::filter::Args),
    Finetune(commands::probe::FinetuneArgs),
    Flow(commands::flow::Args),
    Judge(commands::judge::Args),
    Landmarks(commands::landmarks::Args),
    Pretrain(commands::pretrain::Args),
    Preview(commands::preview::Args),
    Probe(commands::probe::ProbeArgs),
    Quantize(commands::quantize::Args),
    Ship(commands::ship::Args),
    Student(commands::student::Args),
    Subject(commands::subject::Args),
    #[command(subcommand)]
    Threshold(commands::threshold::Command),
    Train(commands::train::Args),
    #[command(subcommand)]
    Validate(commands::validate::Command),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let done = choose_engine().and_then(|()| dispatch(command));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("glint-pretrain: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Lets the environment force what runs the quantized networks.
fn choose_engine() -> Result<()> {
    #[allow(clippy::disallowed_methods)] // A program's own.
    let Ok(name) = std::env::var(ENGINE_VARIABLE) else { return Ok(()) };
    let engine: Engine = name.parse().map_err(anyhow::Error::msg)?;
    engine.force().map_err(|other| anyhow!("{ENGINE_VARIABLE}: {other:?} is in use already"))
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Au(args) => commands::au::run(&args),
        Command::Bundle(args) => commands::bundle::run(&args),
        Command::Calibrate(args) => commands::calibrate::run(&args),
        Command::Corpus(args) => commands::corpus::run(&args),
        Command::Detector(args) => commands::detector::run(&args),
        Command::Distill(args) => commands::distill::run(&args),
        Command::Evaluate(command) => commands::evaluate::run(&command),
        Command::Filter(args) => commands::filter::run(&args),
        Command::Finetune(args) => commands::probe::run_finetune(&args),
        Command::Flow(args) => commands::flow::run(&args),
        Command::Judge(args) => commands::judge::run(&args),
        Command::Landmarks(args) => commands::landmarks::run(&args),
        Command::Pretrain(args) => commands::pretrain::run(&args),
        Command::Preview(args) => commands::preview::run(&args),
        Command::Probe(args) => commands::probe::run_probe(&args),
        Command::Quantize(args) => commands::quantize::run(&args),
        Command::Ship(args) => commands::ship::run(&args),
        Command::Student(args) => commands::student::run(&args),
        Command::Subject(args) => commands::subject::run(&args),
        Command::Threshold(command) => commands::threshold::run(&command),
        Command::Train(args) => commands::train::run(&args),
        Command::Validate(command) => commands::validate::run(&command),
    }
}
