#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../src/daemon"]
mod daemon {
    pub(crate) mod config;
}
#[path = "../../tests/fuzz/daemon/config.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|text: &str| target::any_text(text));
