#![no_main]

#[allow(dead_code)]
#[path = "../../src/daemon"]
mod daemon {
    pub(crate) mod mqtt {
        pub(crate) mod command;
    }
}
#[path = "../../tests/fuzz/daemon/command.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target::any_message(bytes));
