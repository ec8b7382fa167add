//! `glint-pretrain quantize`: the int8 form of a trained network.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use glint::int8::onnx;
use glint::intensity::{AuNet, AuSpec, Precision};
use glint::model::{Checked, parse_onnx};
use prost::Message;

use crate::assets::portraits;
use crate::quantize::quantize;
use crate::quantize::shipped::{ShippedNetwork, calibration, compare_detectors, write_fixture};

/// Quantize a shipped network: the convolutions of detector and landmarks, calibrated on inputs like those of their training,
/// or the weights of the AU network. Or write the network on which int8 is measured.
#[derive(clap::Args)]
#[command(
    group(clap::ArgGroup::new("what").required(true)),
    after_help = "Example: glint-pretrain quantize detector --assets ../data --out out/int8"
)]
pub struct Args {
    /// Network: its files in the folder of models.
    #[arg(group = "what")]
    network: Option<NetworkKind>,
    /// Write student-like.onnx and student-like.f32.onnx to this folder instead.
    #[arg(long, value_name = "DIR", group = "what")]
    fixture: Option<PathBuf>,
    /// Folder with `portraits/`, for detector and landmarks.
    #[arg(long)]
    assets: Option<PathBuf>,
    /// Folder with the f32 model files.
    #[arg(long, default_value = "models")]
    models: PathBuf,
    /// Folder for the quantized model files.
    #[arg(long, default_value = "out/int8")]
    out: PathBuf,
    /// Number of calibration inputs.
    #[arg(long, default_value_t = 384)]
    samples: usize,
    /// Seed of the calibration inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Networks that have an int8 form.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum NetworkKind {
    /// detector.onnx.
    Detector,
    /// landmarks.onnx.
    Landmarks,
    /// au.bin.
    Au,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if let Some(dir) = &args.fixture {
        return write_fixture(dir);
    }
    let network = match args.network.context("a network")? {
        NetworkKind::Detector => ShippedNetwork::Detector,
        NetworkKind::Landmarks => ShippedNetwork::Landmarks,
        NetworkKind::Au => return quantize_au(args),
    };
    let assets = args.assets.as_ref().context("--assets DIR is needed, for calibration inputs")?;
    let name = network.name();
    let path = args.models.join(format!("{name}.onnx"));
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let model = parse_onnx(&bytes).map_err(|e| anyhow!("{}: {e}", path.display()))?;
    let shape = onnx::input_shape(&model).context("the file does not state the shape of its input")?;
    let shape: [usize; 4] = shape.try_into().map_err(|s| anyhow!("{}: input {s:?}", path.display()))?;
    let portraits = portraits::load(&assets.join("portraits"))?;
    // Nobody who is held out is looked at.
    let kept: Vec<_> = portraits.iter().filter(|p| !p.held_out()).collect();
    ensure!(!kept.is_empty(), "{}: no portrait of the training split", assets.display());
    let inputs = calibration(network, &kept, args.seed, args.samples);
    let done = quantize(&model, shape, &inputs, network.weights())?;
    for (i, error) in done.relative_error.iter().enumerate() {
        eprintln!("output {i}: error {:.4} of its spread, on {} calibration inputs", error, inputs.len());
    }
    // The file may be overwritten.
    let float = match network {
        ShippedNetwork::Detector => Some(Checked::load(&args.models, name)?),
        ShippedNetwork::Landmarks => None,
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

/// The AU network needs no calibration: its inputs stay as they are.
fn quantize_au(args: &Args) -> Result<()> {
    let au = Checked::<AuSpec>::load(&args.models, "au")?;
    ensure!(au.spec.precision == Precision::F32, "{}: int8 already", au.path.display());
    let bytes = AuNet::from_file(&au)?.int8_file();
    let made_by = format!("{}; glint-pretrain quantize au", au.spec.file.made_by);
    crate::ship::write(&args.out, "au", "bin", &bytes, &made_by, |file| AuSpec {
        file,
        precision: Precision::Int8,
        ..au.spec.clone()
    })
}
