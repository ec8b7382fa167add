//! Arguments, help, exit codes.

use super::{run, stderr};

#[test]
fn every_command_has_help_with_an_example() {
    let help = run(&["--help"]);
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    assert_eq!(help.status.code(), Some(0));
    for command in ["run", "check", "doctor", "replay", "inspect", "selftest", "cameras", "bench"] {
        assert!(text.contains(&format!("\n  {command}")), "{command} is not listed:\n{text}");
        let help = run(&[command, "--help"]);
        let text = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(text.contains("Example: ") && text.contains(&format!("glintd {command}")), "{text}");
    }
}

#[test]
fn version_names_each_model_with_its_digest() {
    let output = run(&["--version"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(text.starts_with(&format!("glintd {}\n", env!("CARGO_PKG_VERSION"))));
    assert!(text.matches("sha256:").count() >= 4, "{text}");
}

#[test]
fn usage_errors_are_2_and_missing_files_1() {
    assert_eq!(run(&["frobnicate"]).status.code(), Some(2));
    let alone = run(&[]);
    assert_eq!(alone.status.code(), Some(2));
    assert!(
        stderr(&alone).contains("Usage: glintd") && stderr(&alone).contains("\n  run"),
        "{}",
        stderr(&alone)
    );
    let output = run(&["replay", "/nonexistent.avi"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nonexistent.avi"));
}
