//! Programs that tests need and that are not installed everywhere.

/// Whether a missing program is a failure: `.ci/run` sets this, because `.ci/setup` has installed all of them.
pub(crate) fn are_required() -> bool {
    std::env::var_os("GLINT_REQUIRE_TOOLS").is_some_and(|value| value == "1")
}

/// Says that a test is skipped because `program` is not installed. Fails where it has to be.
pub(crate) fn missing(program: &str) {
    assert!(!are_required(), "{program} is not installed, and GLINT_REQUIRE_TOOLS is set");
    eprintln!("skipped: {program} is not installed");
}
