//! A frame of a camera: the first four bytes are what the driver claims of it.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/fuzz/targets.rs"]
mod targets;

use glint::frame::PixelFormat;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(([format, width, height, stride], bytes)) = bytes.split_first_chunk() else { return };
    let format = PixelFormat::ALL[usize::from(*format) % PixelFormat::ALL.len()];
    targets::pixels(bytes, format, (usize::from(*width), usize::from(*height)), 2 * usize::from(*stride));
});
