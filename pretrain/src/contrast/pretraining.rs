//! A pretraining as a run: its encoders on disk, written and read.

use std::path::Path;

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::backend::AutodiffBackend;

use super::encoder::Pairs;
use super::recipe::Recipe;
use super::train::{self, Views};
use crate::backend::device::Job;
use crate::run::{self, Run, checkpoint};

/// Name of the encoders' file in a run's folder.
const WEIGHTS: &str = "towers.bin";

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

/// One pretraining, whose encoders and figures go to the folder of a run.
pub struct Pretraining {
    /// What is fixed beforehand.
    pub recipe: Recipe,
    /// What is trained on.
    pub train: Views,
    /// Pairs of held-out people.
    pub held: Views,
    /// The run.
    pub run: Run,
}

impl Job for Pretraining {
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
