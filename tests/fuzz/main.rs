//! The targets of `targets.rs` with damaged real files, so many of them: bounded, and the same on every machine.

mod targets;

use glint::clip::{AviWriter, Codec, Rate, Y4mWriter};
use glint::frame::PixelFormat;
use proptest::prelude::*;

/// How a NUT begins.
const NUT: &[u8] = b"nut/multimedia container\0";
const SIZE: (usize, usize) = (48, 32);

fn picture(seed: usize) -> Vec<u8> {
    (0..SIZE.0 * SIZE.1).map(|i| (i * 7 + i / SIZE.0 * 13 + 31 * seed) as u8).collect()
}

fn avi(codec: Codec) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("clip.avi");
    let mut out = AviWriter::create(&path, Rate { num: 25, den: 1 }, SIZE, codec).expect("created");
    (0..4).for_each(|k| out.write(&picture(k)).expect("written"));
    out.finish().expect("finished");
    std::fs::read(path).expect("read")
}

fn y4m() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("clip.y4m");
    let mut out = Y4mWriter::create(&path, Rate { num: 25, den: 1 }, SIZE).expect("created");
    (0..3).for_each(|k| out.write(&picture(k)).expect("written"));
    out.finish().expect("finished");
    std::fs::read(path).expect("read")
}

fn png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIZE.0 as u32, SIZE.1 as u32);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&picture(0)).expect("written");
    writer.finish().expect("finished");
    bytes
}

fn jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, 90);
    encoder
        .encode(&picture(0), SIZE.0 as u16, SIZE.1 as u16, jpeg_encoder::ColorType::Luma)
        .expect("encoded");
    bytes
}

/// Bytes that are put elsewhere, as shares of the file's length, and the share at which it is cut.
type Damage = (Vec<(f64, u8)>, f64);

fn damage() -> impl Strategy<Value = Damage> {
    (prop::collection::vec((0.0..1.0, any::<u8>()), 0..12), prop_oneof![Just(1.0), 0.0..1.0])
}

fn damaged(bytes: &[u8], (changes, cut): &Damage) -> Vec<u8> {
    let at = |share: f64| (share * bytes.len() as f64) as usize;
    let mut out = bytes.to_vec();
    changes.iter().for_each(|(share, value)| out[at(*share)] = *value);
    out.truncate(at(*cut));
    out
}

fn damaged_text(text: &str, damage: &Damage) -> String {
    String::from_utf8_lossy(&damaged(text.as_bytes(), damage)).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn clips(damage in damage()) {
        targets::avi(&damaged(&avi(Codec::Gray), &damage));
        targets::avi(&damaged(&avi(Codec::Mjpeg(80)), &damage));
        targets::y4m(&damaged(&y4m(), &damage));
    }

    #[test]
    fn pipes(damage in damage(), noise in prop::collection::vec(any::<u8>(), 0..300)) {
        targets::live(&damaged(&y4m(), &damage));
        targets::live(&damaged(&[jpeg(), jpeg()].concat(), &damage));
        targets::live(&[NUT, &noise].concat());
        targets::live(&noise);
    }

    #[test]
    fn folders_of_images(damage in damage()) {
        for (whole, extension) in [(png(), "png"), (jpeg(), "jpg")] {
            targets::image_folder(&damaged(&whole, &damage), &whole, extension);
        }
    }

    #[test]
    fn frames_of_cameras(damage in damage(), size in (0usize..80, 0usize..80), stride in 0usize..200,
                         noise in prop::collection::vec(any::<u8>(), 0..600)) {
        targets::jpeg(&damaged(&jpeg(), &damage));
        for format in PixelFormat::ALL {
            targets::pixels(&noise, format, size, stride);
        }
    }

    #[test]
    fn networks(damage in damage()) {
        targets::onnx(&damaged(include_bytes!("../../models/student.onnx"), &damage));
        // The head of a file holds its graph, the rest are weights.
        let whole = include_bytes!("../../models/detector.onnx");
        let (changes, _) = &damage;
        let head = changes.iter().map(|(share, value)| (share * 600.0 / whole.len() as f64, *value)).collect();
        targets::onnx(&damaged(whole, &(head, 1.0)));
    }

    #[test]
    fn files_beside_networks(damage in damage(), text in "\\PC{0,120}") {
        for shipped in [
            include_str!("../../models/detector.toml"),
            include_str!("../../models/student.toml"),
            include_str!("../../models/thresholds.toml"),
            include_str!("../../models/au.toml"),
            include_str!("../../models/judge.toml"),
        ] {
            targets::model_toml(&damaged_text(shipped, &damage));
        }
        targets::model_toml(&text);
        let judge = include_str!("../../models/judge.toml");
        targets::weights(judge, &damaged(include_bytes!("../../models/judge.bin"), &damage));
        let au = include_str!("../../models/au.toml");
        targets::weights(au, &damaged(&include_bytes!("../../models/au.bin")[..4096], &damage));
        targets::weights(&damaged_text(au, &damage), b"weights");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn bundles(damage in damage()) {
        let files = [("au.bin".to_owned(), vec![7; 600]), ("goldens.json".to_owned(), b"{}".to_vec())].into();
        let packed = glint::bundle::pack("x", "0.1.0", &files).expect("packed");
        targets::bundle(&damaged(&packed, &damage));
        // The archive itself: behind its compression hardly any damage reaches it.
        let mut archive = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut archive).expect("whole");
        targets::bundle(&damaged(&archive, &damage));
    }
}

/// What is not damaged is read: the targets do what they are called for.
#[test]
fn whole_files_pass() {
    let none = (Vec::new(), 1.0);
    targets::avi(&damaged(&avi(Codec::Mjpeg(80)), &none));
    let detector = include_bytes!("../../models/detector.onnx");
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("site.onnx");
    std::fs::write(&path, detector).expect("written");
    glint::model::Checked::<glint::face::detector::DetectorSpec>::load_external(&path, None)
        .expect("a detector");
}
