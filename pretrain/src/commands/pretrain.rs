//! `glint-pretrain pretrain`: dual-view contrastive training.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use burn::module::Module;
use burn::tensor::backend::AutodiffBackend;

use crate::backend::device::{self, Device, Job};
use crate::contrast::encoder::Pairs;
use crate::contrast::recipe::{BUILT_IN, Recipe};
use crate::contrast::train::{self, Views};
use crate::pairs;
use crate::run::{self, Run, checkpoint};

/// Trains two encoders on pairs without labels, so that the views of one movement find each other: appearance and motion
/// (recipe `edge`), appearance and depth (`paper`, `paper-small`). Pairs come from `filter` or `corpus`.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain pretrain --data pairs --recipe edge --seed 1")]
pub struct Args {
    /// Sets of pairs.
    #[arg(long, value_name = "DIR", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// `edge`, `paper`, `paper-small`, or a file.
    #[arg(long, default_value = "edge", value_name = "NAME|FILE.toml")]
    recipe: String,
    /// Device.
    #[arg(long, value_enum, default_value = "cpu")]
    device: Device,
    /// Seed of weights, order and flips.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder of the run.
    #[arg(long, value_name = "DIR", default_value = "out/pretrain")]
    out: PathBuf,
    /// Continues an interrupted run.
    #[arg(long)]
    resume: bool,
}

/// Names of the encoders' file and of the recipe in a run's folder.
const WEIGHTS: &str = "towers.bin";

/// Reads a recipe by its name or from its file.
pub fn recipe(name: &str) -> Result<Recipe> {
    let built_in = BUILT_IN.iter().find(|(n, _)| *n == name);
    let recipe: Recipe = match built_in {
        Some((name, text)) => run::recipe::parse(name, text)?,
        None => run::recipe::read(Some(Path::new(name)), name, "")?,
    };
    recipe.check().with_context(|| name.to_owned())?;
    Ok(recipe)
}

/// Recipe and towers of a finished run.
pub fn load<B: AutodiffBackend>(dir: &Path, device: &B::Device) -> Result<(Recipe, Pairs<B>)> {
    let path = dir.join("recipe.toml");
    let recipe: Recipe = run::recipe::read(Some(&path), "", "")?;
    let weights = dir.join(WEIGHTS);
    let bytes =
        std::fs::read(&weights).with_context(|| format!("{}: is the run finished?", weights.display()))?;
    let record =
        checkpoint::from_bytes::<B, _>(&bytes, device).with_context(|| weights.display().to_string())?;
    let towers = Pairs::<B>::new(&recipe, device).load_record(record);
    Ok((recipe, towers))
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let recipe = recipe(&args.recipe)?;
    let mut all = Vec::new();
    for dir in &args.data {
        pairs::read(dir, |p| {
            all.push(p);
            Ok(())
        })?;
    }
    let count = all.len();
    let (kept, held) = train::split(all);
    let (train, held) = (
        train::views(&kept, &recipe.first, &recipe.second),
        train::views(&held, &recipe.first, &recipe.second),
    );
    ensure!(
        train.len > 0,
        "none of {count} pairs has both views {:?} and {:?}",
        recipe.first.view,
        recipe.second.view
    );
    let macs = [&recipe.first, &recipe.second].map(|s| s.encoder.macs(s.shape()) as f64 / 1e6);
    eprintln!(
        "{} pairs to train on, {} of held-out people; encoders of {:.2} and {:.2} million multiply-adds",
        train.len, held.len, macs[0], macs[1]
    );
    let run = Run::start_in(&args.out, args.seed, &recipe, args.resume)?;
    device::run(args.device, Training { recipe, train, held, run })
}

struct Training {
    recipe: Recipe,
    train: Views,
    held: Views,
    run: Run,
}

impl Job for Training {
    type Out = ();

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Result<()> {
        let Self { recipe, train, held, run } = self;
        let done = train::train::<B>(&recipe, &train, &held, &run, "pretrain", &device)?;
        let path = run.dir().join(WEIGHTS);
        let bytes = checkpoint::to_bytes::<B, _>(done.towers.into_record())?;
        std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
        let rows = [
            ("pairs", train.len.to_string()),
            ("held-out pairs", held.len.to_string()),
            ("second view found by the first", format!("{:.3}", done.retrieval[0])),
            ("first view found by the second", format!("{:.3}", done.retrieval[1])),
        ];
        run.table("Result", &["what", "value"], &rows.clone().map(|(a, b)| vec![a.to_owned(), b]));
        rows.iter().skip(2).for_each(|(what, value)| println!("{what}: {value}"));
        eprintln!(
            "{:.0} pairs/s; the device waited for the loader in {:.1} % of the time",
            done.rate,
            100.0 * done.loader_share
        );
        run.finish()
    }
}
