//! `glintd doctor`: what is wrong with a device, printed or written into a file.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::media::print_line;
use crate::daemon::config::DEFAULT_PATH;
use crate::daemon::doctor::{bundle, examine, unusable};
use crate::daemon::finding::Severity;
use crate::daemon::runtime::memory;

/// Arguments of `glintd doctor`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration file. Files of conf.d beside it, and variables such as GLINT_MQTT__URL, are merged into it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// How long the camera is watched, 3 to 60.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(3..=60))]
    seconds: u64,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// Write what was found, the configuration without secrets, and the log into a tar file. It holds no frames.
    #[arg(long, value_name = "FILE.tar")]
    bundle: Option<PathBuf>,
}

/// Looks at everything; exit 1 where something is wrong, 78 where it is the configuration.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let loaded = memory::load(&args.config, None).map(|(config, _)| config);
    let (findings, usable) = match &loaded {
        Ok(config) => examine(config, Duration::from_secs(args.seconds)),
        // A bug report is wanted most where nothing else works.
        Err(problems) if args.bundle.is_some() => (unusable(problems), false),
        Err(_) => (Vec::new(), false),
    };
    let report: String = findings.iter().map(|f| f.lines() + "\n").collect();
    let as_json = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": loaded.as_ref().ok().map(|config| config.device.id()),
        "findings": findings,
    })
    .to_string();
    if loaded.is_ok() {
        print_line(if args.json { &as_json } else { report.trim_end() })?;
    }
    if let Some(path) = &args.bundle {
        bundle::write(path, loaded.as_ref().ok(), &report, &as_json)?;
        eprintln!("{} holds no frames and no passwords; read it before you send it", path.display());
    }
    loaded?;
    let faults = findings.iter().filter(|f| f.severity == Severity::Fault).count();
    Ok(match (usable, faults) {
        (false, _) => ExitCode::from(crate::EX_CONFIG),
        (true, 0) => ExitCode::SUCCESS,
        (true, _) => ExitCode::FAILURE,
    })
}
