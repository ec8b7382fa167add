//! `glintd`: arguments, logging, exit codes.

#![warn(unreachable_pub)] // A program has nothing that is public.
#![allow(clippy::disallowed_methods)] // A program reads its environment.

mod daemon;
#[cfg(test)]
mod pages_test;
#[cfg(test)]
mod troubleshooting_test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use glint::model::{ENGINE_VARIABLE, Engine};
use glint::pipeline::Models;

use daemon::commands;
use daemon::config::ConfigError;
use daemon::models::Refused;

#[global_allocator]
static ALLOCATOR: commands::allocations::Counting = commands::allocations::Counting;

/// Exit code of a bad configuration, model file or digest (EX_CONFIG of sysexits.h).
const EX_CONFIG: u8 = 78;

/// Watches a face and publishes each micro-expression as an MQTT event.
#[derive(Parser)]
#[command(name = "glintd", disable_version_flag = true, arg_required_else_help = true)]
struct Cli {
    /// Print the version and the digest of each model.
    #[arg(long, short = 'V')]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon: read a camera, a clip or the synthetic subject and publish the events over MQTT.
    #[command(after_help = "Example: glintd run\n\n\
        Signals: TERM and INT stop the daemon, and a second one exits at once. HUP reloads the configuration. \
        USR1 pauses and closes the camera. USR2 resumes.")]
    Run(commands::run::Args),
    /// Run the whole chain on a synthetic subject, with a broker of its own.
    #[cfg(feature = "demo")]
    #[command(after_help = "Example: glintd demo --aus 12 --intensity 0.2 --fps 100")]
    Demo(commands::demo::Args),
    /// Check a configuration and print the effective one.
    #[command(after_help = "Example: glintd check --environment")]
    Check(commands::check::Args),
    /// Say what is wrong with camera, face, broker, disk and clock, and what to do about it.
    #[command(after_help = "Example: glintd doctor --bundle report.tar\n\n\
        It may run beside the daemon. Exit status: 0 nothing to do, 1 something is wrong, 78 the configuration, or a file that it names, cannot be used.")]
    Doctor(commands::doctor::Args),
    /// Run the pipeline over a clip and print one event per line.
    #[command(after_help = "Example: glintd replay talk.mp4 --purpose research --from 60 --to 90\n\n\
        glintd reads AVI (MJPEG or raw frames), Y4M and folders of images itself. Every other format needs ffmpeg.")]
    Replay(commands::replay::Args),
    /// Write the measurements of every frame of a clip, a report about it, a plot, or its events for other programs.
    #[command(
        after_help = "Example: glintd inspect talk.avi --csv talk.csv --report talk.html --export talk.eaf"
    )]
    Inspect(commands::inspect::Args),
    /// Measure detection at a site: insert known movements into the frames of its camera, or of a clip from there, and count how
    /// many are found.
    #[command(after_help = "Example: glintd selftest --minutes 2\n\n\
        Frames stay in memory. TERM and INT end a live test, which prints what it has seen so far.")]
    Selftest(commands::selftest::Args),
    /// List the cameras, their modes and the mode that glint would choose. With --watch, help to aim one.
    #[command(after_help = "Example: glintd cameras --watch /dev/video0")]
    Cameras(commands::cameras::Args),
    /// Measure time, memory and allocations of each stage.
    #[command(after_help = "Example: glintd bench talk.avi --json")]
    Bench(commands::bench::Args),
    /// Install a signed bundle of models, look at what is installed, or go back to the one before.
    #[command(
        subcommand,
        after_help = "Example: glintd models install models-2026-11.glint\n\n\
        A bundle replaces the built-in models from the next start or reload on. The previous one is kept, \
        and takes over where the newer one cannot be used. model.path wins over every bundle."
    )]
    Models(commands::models::Command),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = match start_logging().and_then(|json| choose_engine().map(|()| json)) {
        Ok(json) => json,
        Err(reason) => {
            eprintln!("glintd: {reason}");
            return ExitCode::from(EX_CONFIG);
        }
    };
    // Who reads the log as JSON reads the reason of a failed start there too.
    let complain = |line: &str| {
        if json && tracing::enabled!(tracing::Level::ERROR) {
            tracing::error!("{line}");
        } else {
            eprintln!("{line}");
        }
    };
    let Some(command) = cli.command else { return version() };
    let done = match command {
        Command::Run(args) => commands::run::run(&args),
        #[cfg(feature = "demo")]
        Command::Demo(args) => commands::demo::run(&args),
        Command::Check(args) => commands::check::run(&args),
        Command::Doctor(args) => commands::doctor::run(&args),
        Command::Replay(args) => commands::replay::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Selftest(args) => commands::selftest::run(&args),
        Command::Cameras(args) => commands::cameras::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Models(command) => commands::models::run(&command),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // A configuration error is FILE:LINE:COL: ..., which editors and scripts read.
            if error.is::<ConfigError>() {
                error.to_string().lines().for_each(complain);
                return ExitCode::from(EX_CONFIG);
            }
            complain(&format!("glintd: {error:#}"));
            let config = error.is::<glint::model::ModelError>()
                || error.is::<glint::pipeline::PipelineError>()
                || matches!(error.downcast_ref(), Some(Refused::Unusable(_)));
            if config { ExitCode::from(EX_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

/// Lets the environment force what runs the quantized networks.
fn choose_engine() -> Result<(), String> {
    let Ok(name) = std::env::var(ENGINE_VARIABLE) else { return Ok(()) };
    let engine: Engine = name.parse()?;
    engine.force().map_err(|other| format!("{ENGINE_VARIABLE}: {other} is in use already"))
}

/// Chooses the format of the log: `text` or `json`.
const LOG_FORMAT_VARIABLE: &str = "GLINT_LOG_FORMAT";

/// Whether the log is JSON, a line for each entry.
fn logs_json() -> Result<bool, String> {
    match std::env::var_os(LOG_FORMAT_VARIABLE) {
        None => Ok(false),
        Some(word) if word == "text" => Ok(false),
        Some(word) if word == "json" => Ok(true),
        Some(word) => Err(format!("{LOG_FORMAT_VARIABLE}: {word:?}; allowed: text, json")),
    }
}

/// Logs go to the journal under systemd, else to stderr; `RUST_LOG` chooses what. As JSON they go to stderr always: returns whether
/// they do.
fn start_logging() -> Result<bool, String> {
    use std::io::IsTerminal;
    use tracing_subscriber::prelude::*;
    // The demo's broker reports every client that leaves as an error.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,glint=info,glintd=info,rumqttd=off"));
    let is_json = logs_json()?;
    let json = is_json.then(|| tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr));
    let is_journal = json.is_none() && std::env::var_os("JOURNAL_STREAM").is_some();
    let journal = is_journal.then(tracing_journald::layer).and_then(Result::ok);
    let stderr = (json.is_none() && journal.is_none()).then(|| {
        let terminal = std::io::stderr().is_terminal();
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(terminal)
    });
    tracing_subscriber::registry().with(filter).with(journal).with(json).with(stderr).init();
    Ok(is_json)
}

fn version() -> ExitCode {
    println!("glintd {}", env!("CARGO_PKG_VERSION"));
    match Models::embedded() {
        Ok(models) => {
            models.digests().iter().for_each(|(name, digest)| println!("{name} sha256:{digest}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("glintd: {error}");
            ExitCode::from(EX_CONFIG)
        }
    }
}
