//! `glint-pretrain quantize`: the int8 form of a trained network.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use glint::face::detector::{DetectorSpec, normalise};
use glint::int8::{fixture, onnx};
use glint::model::{Checked, parse_onnx};
use glint::synth::NoiseTable;
use prost::Message;

use crate::assets::portraits::{self, Portrait};
use crate::faces::detection::Trial;
use crate::faces::{mean, scenes};
use crate::net::detector::{INPUT_HEIGHT, INPUT_WIDTH, STRIDE};
use crate::quantize::{evenly, quantise};
use crate::train::{detector, landmarks, sitters};

/// Quantises the convolutions of a shipped network with inputs made as for its training, or writes the
/// network that int8 is measured on.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub struct Args {
    /// `detector` or `landmarks`: NAME.onnx and NAME.toml in the folder of models.
    #[arg(group = "what", requires = "assets")]
    network: Option<Network>,
    /// Writes student-like.onnx and student-like.f32.onnx to a folder instead.
    #[arg(long, value_name = "DIR", group = "what")]
    fixture: Option<PathBuf>,
    /// Folder with `portraits/`.
    #[arg(long)]
    assets: Option<PathBuf>,
    /// Folder with the f32 model files.
    #[arg(long, default_value = "models")]
    models: PathBuf,
    /// Folder for the quantised model files.
    #[arg(long, default_value = "out/int8")]
    out: PathBuf,
    /// Calibration inputs.
    #[arg(long, default_value_t = 384)]
    samples: usize,
    /// Seed of the calibration inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Network {
    Detector,
    Landmarks,
}

impl Network {
    fn name(self) -> &'static str {
        match self {
            Self::Detector => "detector",
            Self::Landmarks => "landmarks",
        }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if let Some(dir) = &args.fixture {
        return write_fixture(dir);
    }
    let (network, assets) = (args.network.context("a network")?, args.assets.as_ref().context("--assets")?);
    let name = network.name();
    let path = args.models.join(format!("{name}.onnx"));
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let model = parse_onnx(&bytes).map_err(|e| anyhow!("{}: {e}", path.display()))?;
    let shape = onnx::input_shape(&model).context("the file does not state the shape of its input")?;
    let shape: [usize; 4] = shape.try_into().map_err(|s| anyhow!("{}: input {s:?}", path.display()))?;
    let portraits = portraits::load(&assets.join("portraits"))?;
    // Nobody who is held out is looked at.
    let kept: Vec<_> = portraits.iter().filter(|p| !p.held_out()).collect();
    ensure!(!kept.is_empty(), "{}: no portrait that trains", assets.display());
    let inputs = calibration(network, &kept, args.seed, args.samples);
    let weigh = match network {
        Network::Landmarks => evenly,
        Network::Detector => where_faces_are,
    };
    let done = quantise(&model, shape, &inputs, weigh)?;
    for (i, error) in done.relative_error.iter().enumerate() {
        eprintln!("output {i}: error {:.4} of its spread, on {} calibration inputs", error, inputs.len());
    }
    // The file may be overwritten.
    let float = match network {
        Network::Detector => Some(Checked::load(&args.models, name)?),
        Network::Landmarks => None,
    };
    let spec_path = args.models.join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&spec_path).with_context(|| spec_path.display().to_string())?;
    let mut spec: toml::Table = text.parse().with_context(|| spec_path.display().to_string())?;
    let made_by = spec.get("made_by").and_then(|v| v.as_str()).unwrap_or_default();
    let command = format!(
        "glint-pretrain quantize {name} --assets DIR --samples {} --seed {}",
        args.samples, args.seed
    );
    let made_by = if made_by.is_empty() { command } else { format!("{made_by}; {command}") };
    crate::ship::write(&args.out, name, "onnx", &done.model.encode_to_vec(), &made_by, |file| {
        // What is particular to the network stays; the common part is that of the new file.
        for (key, value) in [("sha256", file.sha256), ("made_by", file.made_by)] {
            spec.insert(key.into(), toml::Value::String(value));
        }
        spec
    })?;
    if let Some(float) = float {
        compare_detectors(&float, &Checked::load(&args.out, name)?, &kept, args.seed)?;
    }
    Ok(())
}

/// Scenes in which both forms of a detector look for a face.
const SCENES: u64 = 400;

/// Says how many faces int8 costs: an error of the outputs does not show it.
fn compare_detectors(
    float: &Checked<DetectorSpec>,
    int8: &Checked<DetectorSpec>,
    kept: &[&Portrait],
    seed: u64,
) -> Result<()> {
    let noise = NoiseTable::new();
    let mut trials = [Trial::new("f32", float, None)?, Trial::new("int8", int8, None)?];
    for i in 0..SCENES {
        let scene = scenes::portrait(&noise, kept[i as usize % kept.len()], seed, i);
        trials.iter_mut().for_each(|t| t.face(&scene.luma, scene.bounds));
    }
    for t in &trials {
        eprintln!(
            "{:<5} finds {:.3} of {SCENES} faces, {:.3} of those 48 to 64 px wide, overlap {:.3}",
            t.name,
            t.recall(),
            t.recall_between(48.0, 64.0),
            mean(t.overlaps.iter().copied())
        );
    }
    Ok(())
}

/// Inputs as the network met them in training.
fn calibration(network: Network, kept: &[&Portrait], seed: u64, samples: usize) -> Vec<Vec<f32>> {
    // Seeds of training runs are small numbers.
    let seed = seed ^ 0x6361_6c69_6272_6174;
    let sitters = match network {
        Network::Landmarks => sitters::of_crops(kept),
        Network::Detector => sitters::of_portraits(kept),
    };
    let sitters: Vec<_> = sitters.iter().collect();
    let size = (INPUT_WIDTH, INPUT_HEIGHT);
    let luma = |i| match network {
        Network::Landmarks => landmarks::crop(&sitters, seed, i).image,
        Network::Detector => detector::scene(&sitters, size, seed, i).image,
    };
    (0..samples as u64).map(|i| luma(i).into_iter().map(normalise).collect()).collect()
}

/// Scores count everywhere, boxes as much as there is a face: what the network says of a box elsewhere is not read.
fn where_faces_are(outputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut weights = evenly(outputs);
    if let ([scores, _], [_, bounds]) = (outputs, &mut weights[..]) {
        let cells = INPUT_WIDTH / STRIDE * (INPUT_HEIGHT / STRIDE);
        // Scores `[n, cells]`, boxes `[n, 4, cells]`.
        for (bounds, scores) in bounds.chunks_exact_mut(4 * cells).zip(scores.chunks_exact(cells)) {
            bounds.iter_mut().zip(scores.iter().cycle()).for_each(|(weight, score)| *weight = *score);
        }
    }
    weights
}

/// The fixture in both forms, for the comparison with onnxruntime.
fn write_fixture(dir: &Path) -> Result<()> {
    let model = fixture::student_like(1);
    let float = onnx::in_float(&model, &fixture::STUDENT_LIKE_SHAPE).map_err(|e| anyhow!(e))?;
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    for (suffix, model) in [("onnx", &model), ("f32.onnx", &float)] {
        let path = dir.join(format!("{}.{suffix}", fixture::STUDENT_LIKE));
        std::fs::write(&path, model.encode_to_vec()).with_context(|| path.display().to_string())?;
        eprintln!("{}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_count_where_faces_are() {
        // Two inputs of 20x15 cells, one face in the second.
        let mut scores = vec![0.0; 2 * 300];
        scores[300 + 7] = 0.9;
        let weights = where_faces_are(&[scores, vec![0.0; 2 * 4 * 300]]);
        assert_eq!(weights[0], vec![1.0; 600]);
        let count: Vec<usize> = (0..2400).filter(|&i| weights[1][i] > 0.0).collect();
        assert_eq!(count, [0, 1, 2, 3].map(|k| 1200 + 300 * k + 7));
        assert_eq!(weights[1][1207], 0.9);
    }
}
