//! A picture of a folder of numbered images: PNG or JPEG, by its first byte.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let extension = if bytes.first() == Some(&0xff) { "jpg" } else { "png" };
    targets::image_folder(bytes, bytes, extension);
});
