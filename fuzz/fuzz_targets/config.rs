//! The configuration: what is refused is refused with its place.
#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../src/daemon"]
mod daemon {
    pub(crate) mod config;
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Err(error) = daemon::config::Config::parse("g.toml", text) {
        assert!(error.to_string().starts_with("g.toml:"), "{error}");
    }
});
