#![no_main]

#[allow(dead_code)]
#[path = "../../src/daemon"]
mod daemon {
    pub(crate) mod clock;
    pub(crate) mod outbox;
    pub(crate) mod whole;
}
#[path = "../../tests/fuzz/daemon/outbox.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target::any_file(bytes));
