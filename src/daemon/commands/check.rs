//! `glintd check`: whether a configuration can be used, before anything runs.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::daemon::config::{Config, DEFAULT_PATH};
use crate::daemon::doctor::broker::{self, Depth};
use crate::daemon::doctor::{disk, models, page, source};
use crate::daemon::finding::{Finding, Severity};
use crate::daemon::mqtt::credentials::{Credentials, password_file};
use crate::daemon::runtime::{files, memory};

/// Arguments of `glintd check`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration file. Files of conf.d beside it, and variables such as GLINT_MQTT__URL, are merged into it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Open every file, load the models, and try outbox, camera, broker and the address of the page: a line for each cause.
    #[arg(long)]
    environment: bool,
    /// The same for a service manager: fails only for problems that waiting does not fix. A camera, broker, name server or lock that
    /// is away is a warning. Prints no configuration.
    #[arg(long, conflicts_with = "environment")]
    start: bool,
}

/// Validates a configuration, prints the effective one, and tries what it names where that is asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (config, _) = memory::load(&args.config, None)?;
    if !args.start {
        print!("{}", config.to_toml());
    }
    // Nothing of this keeps the daemon from running.
    remarks(&config).iter().for_each(|(key, text)| eprintln!("warning: {}", config.places.line(key, text)));
    if !args.environment && !args.start {
        disk::folder(&config).iter().for_each(|note| eprintln!("{}", line(&config, note)));
        return Ok(ExitCode::SUCCESS);
    }
    let (usable, findings) = environment(&config, args.start);
    let mut wrong = false;
    for finding in findings {
        // At the start all of it is what may still come.
        let fault = finding.severity == Severity::Fault && !args.start;
        wrong |= fault;
        let word = match finding.severity {
            Severity::Good => continue,
            Severity::Note => "",
            _ if fault => "",
            _ => "warning: ",
        };
        eprintln!("{word}{}", line(&config, &finding));
    }
    Ok(match (usable, wrong) {
        (false, _) => ExitCode::from(crate::EX_CONFIG),
        (true, true) => ExitCode::FAILURE,
        (true, false) => ExitCode::SUCCESS,
    })
}

/// Keys that may not do what whoever set them wanted.
fn remarks(config: &Config) -> Vec<(&'static str, String)> {
    let mut out = config.unused();
    // A broker may take a name alone.
    if config.mqtt.username.is_some() && password_file(config).is_none() {
        let text =
            "no password is sent: neither mqtt.password_file nor the credential mqtt-password is there";
        out.push(("mqtt.username", text.into()));
    }
    out
}

/// What the configuration names outside of this process: its files first, of which each that cannot be used is told at once, then
/// everything else all the same. Returns whether the files can be used.
fn environment(config: &Config, start: bool) -> (bool, Vec<Finding>) {
    let opened = files::open(config, None);
    let mut findings = Vec::new();
    match &opened {
        Ok(opened) => findings.extend(models::rejected(&opened.chosen)),
        Err(problems) => eprintln!("{problems}"),
    }
    findings.extend(disk::look(config, start));
    findings.extend(source::first_frame(config));
    let depth = if start { Depth::Login } else { Depth::Rules };
    let usable = opened.is_ok();
    // A model that is missing is no reason not to log in.
    match opened.map(|opened| opened.credentials).or_else(|_| Credentials::read(config)) {
        Ok(credentials) => findings.extend(broker::look(config, &credentials, depth).0),
        Err(_) => findings.push(broker::reach(config)),
    }
    findings.extend(page::look(config));
    (usable, findings)
}

/// A finding as a line, with the place of the key that it concerns.
fn line(config: &Config, finding: &Finding) -> String {
    let key = match finding.check {
        "outbox" | "disk" => "outbox.path",
        "camera" | "modes" | "frames" if config.source.path.is_some() => "source.path",
        "camera" | "modes" | "frames" => "source.kind",
        "models" => "model.trusted_keys",
        "certificate" => "mqtt.ca",
        "login" => "mqtt.username",
        "page" => "page.listen",
        _ => "mqtt.url",
    };
    let name = finding.fault.map(|f| format!("{f}: ")).unwrap_or_default();
    let remedy = finding.remedy.as_ref().map(|r| format!("; remedy: {r}")).unwrap_or_default();
    config.places.line(key, format!("{name}{}{remedy}", finding.text))
}
