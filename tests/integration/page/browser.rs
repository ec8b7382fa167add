//! The page and the report in headless Chromium: `tests/page`.

use std::process::Command;

use super::super::tools;

/// Runs a script, which ends with 77 where there is no Chromium.
fn pass(command: &mut Command) {
    let output = match command.env("PYTHONDONTWRITEBYTECODE", "1").output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return tools::missing("python3"),
        Err(error) => panic!("{command:?}: {error}"),
    };
    let stdout =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    eprintln!("{stdout}");
    match output.status.code() {
        Some(77) => tools::missing("chromium"),
        Some(127) => tools::missing("python3"),
        code => assert_eq!(code, Some(0), "{stdout}"),
    }
}

#[test]
fn an_operator_with_a_phone_or_a_desktop_gets_through() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/run.sh");
    pass(Command::new(script).arg(env!("CARGO_BIN_EXE_glintd")));
}

#[test]
fn a_report_opens_without_an_error_and_asks_nobody() {
    let folder = tempfile::tempdir().expect("folder");
    let clip = folder.path().join("smile.avi");
    super::super::write_smile(&clip, glint::clip::Codec::Mjpeg(95), 180);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/report.py");
    pass(Command::new("python3").arg(script).arg(env!("CARGO_BIN_EXE_glintd")).arg(&clip));
}
