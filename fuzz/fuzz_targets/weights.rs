//! The weights of the judge and of the AU network.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    targets::weights(include_str!("../../models/judge.toml"), bytes);
    targets::weights(include_str!("../../models/au.toml"), bytes);
});
