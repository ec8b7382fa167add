//! `tests/chaos`: the program that the faults befall, and a short run of them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use super::memory;
use super::serve::{Host, Load, Setup};
use super::serve_test::setup;

/// Not a test but a program: the daemon with a source and a vision whose events are known, ten a second.
#[test]
#[ignore = "a program for tests/chaos"]
fn device() {
    let Some(file) = std::env::var_os("GLINT_CHAOS_CONFIG").map(PathBuf::from) else { return };
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let load = move || -> anyhow::Result<Setup> {
        let (config, memory) = memory::load(&file, None)?;
        let (mut setup, _) = setup(config, u64::MAX);
        setup.memory = memory;
        Ok(setup)
    };
    let first = load().expect("a configuration");
    let load: Load = Arc::new(load);
    Host::new().expect("signals").serve(first, &load).expect("ends well");
}

/// Needs python3 and Mosquitto. What else is missing is named in the output.
#[test]
fn a_minute_of_chaos_loses_nothing() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chaos/run.py");
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new("python3");
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg("--device").arg(program);
    let output = match command.args(["--rounds", "50", "--seconds", "45"]).output() {
        Ok(output) => output,
        Err(_) => return super::tools::missing("python3"),
    };
    let stdout = String::from_utf8_lossy(&output.stdout);
    eprintln!("{stdout}");
    if let Some(line) = stdout.lines().find(|line| line.ends_with("is not installed")) {
        super::tools::missing(line.rsplit(": ").next().unwrap_or(line).trim_end_matches(" is not installed"));
    }
    assert!(
        matches!(output.status.code(), Some(0 | 77)),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
