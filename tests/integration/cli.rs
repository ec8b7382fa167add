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

/// What is missing is named, each choice of it.
#[test]
fn inspect_without_an_output_names_them_all() {
    let output = run(&["inspect", "/nonexistent.avi"]);
    assert_eq!(output.status.code(), Some(2));
    for option in ["--csv", "--report", "--plot", "--export", "--explain"] {
        assert!(stderr(&output).contains(option), "{}", stderr(&output));
    }
}

#[cfg(feature = "demo")]
#[test]
fn demo_says_the_range_of_its_numbers() {
    for (option, value, allowed) in [
        ("--intensity", "2", "allowed: above 0, up to 1"),
        ("--seconds", "3", "allowed: 4 to 3600"),
        ("--fps", "5", "allowed: 20 to 500"),
        ("--aus", "AU99", "allowed: 1, 2, 4"),
    ] {
        let output = run(&["demo", option, value]);
        assert_eq!(output.status.code(), Some(2), "{option}");
        assert!(stderr(&output).contains(allowed), "{option}: {}", stderr(&output));
    }
}
