//! Everything that comes from outside as bytes, one function each: whatever they are, nothing panics, and no size that they
//! only claim is allocated. A fuzzer calls these functions as they are; `main.rs` calls them with damaged real files.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use glint::bundle::{Bundle, Goldens};
use glint::clip::{Clip, Live, LiveReader, PipeFormat};
use glint::face::detector::DetectorSpec;
use glint::frame::{Frame, LumaDecoder, MAX_SIDE, PixelFormat};
use glint::intensity::{AuNet, AuSpec, Thresholds};
use glint::model::{Checked, Interface, Network, parse_onnx, sha256_hex};
use glint::spot::{Judge, JudgeSpec};
use glint::student::StudentSpec;

/// Largest input of a network that is built: sixteen times that of the student.
const MAX_INPUT: usize = 1 << 16;
/// Frames that are read of a clip: a damaged one may repeat itself.
const FRAMES: usize = 64;

/// Reads a clip to its end, or until it fails.
fn clip(path: &Path, fps: Option<f64>) {
    let Ok(mut clip) = Clip::open(path, fps) else { return };
    let mut frame = Frame::default();
    for _ in 0..FRAMES {
        match clip.next(&mut frame) {
            Ok(Some(_)) => assert!(frame.luma.len() <= MAX_SIDE * MAX_SIDE),
            _ => break,
        }
    }
}

fn file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    read(&path);
}

/// An AVI. Where the bytes are none any more, they are no clip for ffmpeg: the name says AVI.
pub fn avi(bytes: &[u8]) {
    file("clip.avi", bytes, |path| clip(path, None));
}

/// A Y4M.
pub fn y4m(bytes: &[u8]) {
    file("clip.y4m", bytes, |path| clip(path, None));
}

/// What a program writes into a pipe, of any layout; raw frames have six columns and three rows.
pub fn live(bytes: &[u8]) {
    let raw = |format| PipeFormat::Raw { format, width: 6, height: 3 };
    let layouts =
        [PipeFormat::Y4m, PipeFormat::Mjpeg, PipeFormat::Nut].into_iter().chain(PixelFormat::ALL.map(raw));
    for layout in layouts {
        let Ok(mut reader) = LiveReader::new(layout, bytes) else { continue };
        let (mut luma, mut began) = (Vec::new(), 0);
        for seen in 1..=FRAMES {
            match reader.next(&mut luma, &mut || began += 1) {
                Ok(Live::Frame { width, height, .. }) => assert_eq!(luma.len(), width * height, "{layout:?}"),
                Ok(Live::Damaged(_)) => {}
                Ok(Live::End) | Err(_) => break,
            }
            assert_eq!(began, seen, "{layout:?}: each frame begins once");
        }
    }
}

/// A picture of a folder of numbered images, between two that are whole.
pub fn image_folder(bytes: &[u8], whole: &[u8], extension: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    for (k, picture) in [whole, bytes, whole].into_iter().enumerate() {
        std::fs::write(dir.path().join(format!("{k:03}.{extension}")), picture).expect("written");
    }
    clip(dir.path(), Some(25.0));
}

/// A JPEG of a camera.
pub fn jpeg(bytes: &[u8]) {
    pixels(bytes, PixelFormat::Mjpg, (0, 0), 0);
}

/// A frame of a camera, of a size and with bytes a row that the driver claims.
pub fn pixels(bytes: &[u8], format: PixelFormat, (width, height): (usize, usize), stride: usize) {
    let mut luma = Vec::new();
    if let Ok((w, h)) = LumaDecoder::default().decode(format, width, height, stride, bytes, &mut luma) {
        assert_eq!(luma.len(), w * h, "{format:?}");
    }
    assert!(luma.capacity() <= MAX_SIDE * MAX_SIDE, "{format:?}: {}", luma.capacity());
}

/// An ONNX file: its graph, its interface, whether it is a detector, and the network that runs it.
pub fn onnx(bytes: &[u8]) {
    let _ = Interface::parse(bytes);
    if let Ok(model) = parse_onnx(bytes)
        && let Some(shape) = glint::int8::onnx::input_shape(&model)
        && let Some(graph) = &model.graph
    {
        let _ = glint::int8::onnx::find(graph, &shape);
        // A network of an input that ours could have.
        let numbers = shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
        if numbers.is_some_and(|n| n <= MAX_INPUT) {
            let _ = Network::new(bytes, &shape);
        }
    }
    file("site.onnx", bytes, |path| _ = Checked::<DetectorSpec>::load_external(path, None));
}

/// The TOML file of a model, and a file of thresholds.
pub fn model_toml(text: &str) {
    let _ = toml::from_str::<StudentSpec>(text);
    if let Ok(thresholds) = toml::from_str::<Thresholds>(text) {
        let _ = thresholds.by_unit();
    }
    model(text, b"weights");
}

/// The weight files that are plain numbers: `toml` is the file beside them, whose digest is made that of `bytes`.
pub fn weights(toml: &str, bytes: &[u8]) {
    let Ok(mut table) = toml.parse::<toml::Table>() else { return };
    table.insert("sha256".into(), sha256_hex(bytes).into());
    model(&table.to_string(), bytes);
}

/// A bundle of models, and the archive in one. A signature holds where this is read, so it is the second line of defence.
pub fn bundle(bytes: &[u8]) {
    let path = Path::new("site.glint");
    let _ = Bundle::read(path, bytes, "0.2.0");
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).expect("memory");
    let _ = Bundle::read(path, &packed.finish().expect("memory"), "0.2.0");
    let _ = Goldens::parse(bytes);
}

/// Loads two files as every model that has a reader of its own.
fn model(text: &str, bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("model.toml"), text).expect("written");
    for name in ["detector.onnx", "au.bin", "judge.bin"] {
        std::fs::write(dir.path().join(name), bytes).expect("written");
    }
    let _ = Checked::<DetectorSpec>::load(dir.path(), "model");
    let _ = Checked::<AuSpec>::load(dir.path(), "model").and_then(|file| AuNet::from_file(&file));
    let _ = Checked::<JudgeSpec>::load(dir.path(), "model").and_then(|file| Judge::from_file(&file));
}
