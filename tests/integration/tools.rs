//! Programs that tests need and that are not installed everywhere.

use std::fs::OpenOptions;
use std::io::Write;

/// Whether a missing program is a failure: `.ci/run` sets this, because `.ci/setup` has installed all of them.
pub(crate) fn are_required() -> bool {
    std::env::var_os("GLINT_REQUIRE_TOOLS").is_some_and(|value| value == "1")
}

/// Says that a test is skipped because `program` is not installed. Fails where it has to be.
pub(crate) fn missing(program: &str) {
    assert!(!are_required(), "{program} is not installed, and GLINT_REQUIRE_TOOLS is set");
    skip(&format!("{program} is not installed"));
}

/// Says that a test, or a part of it, is skipped for what this machine forbids. `.ci/run` hands a file over in `GLINT_SKIPPED`,
/// and prints it at its end.
pub(crate) fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
    if let Some(path) = std::env::var_os("GLINT_SKIPPED") {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let mut file =
            OpenOptions::new().append(true).create(true).open(path).expect("GLINT_SKIPPED is a file");
        writeln!(file, "skipped: {test} ({reason})").expect("written");
    }
}
