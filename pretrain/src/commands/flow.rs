//! `glint-pretrain flow`: our optical flow of pairs of images, for comparison with other methods.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use glint::flow::{FlowEngine, FlowSettings};
use serde_json::{Map, Value, json};

use crate::npy;

/// Compute the flow of every pair `ID.onset.png`, `ID.apex.png` of a folder with each setting, in the middle 128x128
/// pixels, on one thread. The results are `ID.SETTING.npy` (float32, 2 x h x w, pixels of that resolution) and a JSON
/// object on stdout with the median time per pair in microseconds, which includes the preparation of the reference.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain flow pairs --out flows. pretrain/compare/flow.py calls it")]
pub struct Args {
    /// Folder of pairs, as `preview --pairs` and `corpus` write them.
    pairs: PathBuf,
    /// Folder for the results.
    #[arg(long)]
    out: PathBuf,
    /// How often each pair is timed.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
}

/// Side of the compared square.
const SIDE: usize = 128;

/// FlowSettings by name.
fn settings() -> [(&'static str, FlowSettings); 6] {
    [
        ("coarse", FlowSettings::COARSE),
        ("coarse-steady", FlowSettings::COARSE.in_steady_light()),
        ("quick", FlowSettings::QUICK),
        ("quick-steady", FlowSettings::QUICK.in_steady_light()),
        ("fine", FlowSettings::FINE),
        ("fine-steady", FlowSettings::FINE.in_steady_light()),
    ]
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!((1..=1000).contains(&args.repeat), "--repeat: 1 to 1000");
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(&args.pairs).with_context(|| args.pairs.display().to_string())? {
        let name = entry?.file_name();
        ids.extend(name.to_string_lossy().strip_suffix(".onset.png").map(str::to_owned));
    }
    ids.sort();
    ensure!(!ids.is_empty(), "{}: no *.onset.png", args.pairs.display());
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let images = ids
        .iter()
        .map(|id| {
            let read = |part| middle(&args.pairs.join(format!("{id}.{part}.png")));
            Ok((read("onset")?, read("apex")?))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut report = Map::new();
    for (name, setting) in settings() {
        let mut engine = FlowEngine::new(SIDE, SIDE, setting);
        let mut times = Vec::new();
        for (id, (onset, apex)) in ids.iter().zip(&images) {
            for _ in 0..args.repeat {
                let start = Instant::now();
                engine.set_reference(onset);
                std::hint::black_box(engine.run(apex));
                times.push(start.elapsed().as_secs_f64() * 1e6);
            }
            engine.set_reference(onset);
            npy::write_flow(&args.out.join(format!("{id}.{name}.npy")), engine.run(apex))?;
        }
        let median = crate::statistics::median(&times);
        report.insert(name.into(), json!({"us": (median * 10.0).round() / 10.0, "pairs": ids.len()}));
    }
    println!("{}", Value::Object(report));
    Ok(())
}

/// The middle square of an image.
fn middle(path: &Path) -> Result<Vec<f32>> {
    let image = image::open(path).with_context(|| path.display().to_string())?.into_luma8();
    let (w, h) = (image.width() as usize, image.height() as usize);
    ensure!(w >= SIDE && h >= SIDE, "{}: {w}x{h}; at least {SIDE}x{SIDE}", path.display());
    let (left, top) = ((w - SIDE) / 2, (h - SIDE) / 2);
    let rows = image.as_raw().chunks_exact(w).skip(top).take(SIDE);
    Ok(rows.flat_map(|row| row[left..left + SIDE].iter().map(|v| f32::from(*v))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::portraits::read_npy_f32;

    #[test]
    fn a_shift_is_written_at_each_resolution() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let shifted = |dx: f32| {
            image::GrayImage::from_fn(128, 160, |x, y| {
                let (x, y) = (x as f32 - dx, y as f32);
                image::Luma([(128.0 + 60.0 * (0.2 * x).sin() * (0.17 * y + 0.1 * x).cos()) as u8])
            })
        };
        shifted(0.0).save(dir.path().join("a.onset.png")).expect("image");
        shifted(1.0).save(dir.path().join("a.apex.png")).expect("image");
        let args = Args { pairs: dir.path().into(), out: dir.path().into(), repeat: 1 };
        run(&args).expect("flow");
        for (name, side, shift) in [("fine", 128, 1.0), ("quick-steady", 64, 0.5)] {
            let (shape, values) = read_npy_f32(&dir.path().join(format!("a.{name}.npy"))).expect("own file");
            assert_eq!(shape, [2, side, side]);
            let mut u: Vec<f64> = values[..side * side].iter().map(|v| f64::from(*v)).collect();
            u.sort_by(f64::total_cmp);
            assert!((u[u.len() / 2] - shift).abs() < 0.1 * shift, "{name}: {}", u[u.len() / 2]);
        }
    }
}
