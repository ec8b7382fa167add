//! A file for a bug report: what `doctor` found, the configuration, the log. No frames, and no secrets.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::redact::Redactor;
use crate::daemon::clock::wall;
use crate::daemon::config::Config;

/// Lines of the log.
const LINES: &str = "2000";

/// Writes a tar file that nobody else may read; one that exists is left alone. `config`: none where it cannot be used, and
/// the report says why.
pub(crate) fn write(path: &Path, config: Option<&Config>, report: &str, as_json: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let name = || path.display().to_string();
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path).with_context(name)?;
    let redactor = Redactor::new(config.unwrap_or(&Config::default()));
    let mut archive = tar::Builder::new(file);
    let mut parts = vec![("doctor.txt", report.to_owned()), ("doctor.json", as_json.to_owned())];
    if let Some(config) = config {
        parts.push(("configuration.toml", redactor.configuration(config)));
        parts.push(("origins.txt", config.places.list()));
    }
    parts.push(("log.txt", log()));
    parts.push(("kernel.txt", output_of(Command::new("dmesg").arg("--level=err,warn"))));
    for (part, text) in parts {
        let text = redactor.clean(&text);
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(wall().as_secs());
        let part = format!("glintd-doctor/{part}");
        archive.append_data(&mut header, part, text.as_bytes()).with_context(name)?;
    }
    archive.into_inner().and_then(|file| file.sync_all()).with_context(name)
}

fn log() -> String {
    output_of(Command::new("journalctl").args(["-u", "glintd", "-n", LINES, "--no-pager", "-o", "short-iso"]))
}

/// What a program prints; why not, where it does not.
fn output_of(command: &mut Command) -> String {
    match command.stdin(std::process::Stdio::null()).output() {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            String::from_utf8_lossy(&output.stdout).into_owned() + &errors
        }
        Err(e) => format!("{}: {e}\n", command.get_program().display()),
    }
}
