//! `glint-pretrain quantize`: the int8 form of a trained network.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use glint::face::detector::normalise;
use glint::int8::{fixture, onnx};
use glint::model::parse_onnx;
use prost::Message;

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
    let inputs = calibration(network, assets, args.seed, args.samples)?;
    let done = crate::quantize::quantise(&model, shape, &inputs)?;
    for (i, error) in done.relative_error.iter().enumerate() {
        eprintln!("output {i}: error {:.4} of its spread, on {} calibration inputs", error, inputs.len());
    }
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
    })
}

/// Inputs as the network met them in training.
fn calibration(network: Network, assets: &Path, seed: u64, samples: usize) -> Result<Vec<Vec<f32>>> {
    let portraits = crate::assets::portraits::load(&assets.join("portraits"))?;
    let kept: Vec<_> = portraits.iter().filter(|p| !p.held_out()).collect();
    // Seeds of training runs are small numbers.
    let seed = seed ^ 0x6361_6c69_6272_6174;
    let sitters = match network {
        Network::Landmarks => sitters::of_crops(&kept),
        Network::Detector => sitters::of_portraits(&kept),
    };
    let sitters: Vec<_> = sitters.iter().collect();
    let size = (detector::INPUT_WIDTH, detector::INPUT_HEIGHT);
    let luma = |i| match network {
        Network::Landmarks => landmarks::crop(&sitters, seed, i).image,
        Network::Detector => detector::scene(&sitters, size, seed, i).image,
    };
    Ok((0..samples as u64).map(|i| luma(i).into_iter().map(normalise).collect()).collect())
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
