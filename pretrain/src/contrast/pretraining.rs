//! A pretraining as a run: its encoders on disk, written and read.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use burn::module::Module;
use burn::tensor::backend::AutodiffBackend;
use glint::model::{Lineage, sha256_hex};

use super::encoder::TwoTowers;
use super::material::Material;
use super::recipe::PretrainRecipe;
use super::train;
use crate::backend::device::Job;
use crate::run::{self, Run, checkpoint};

/// Name of the encoders' file in a run's folder.
const WEIGHTS: &str = "towers.bin";
/// What they learned from.
const LINEAGE: &str = "lineage.toml";

/// Recipe and towers of a finished run.
pub fn load<B: AutodiffBackend>(dir: &Path, device: &B::Device) -> Result<(PretrainRecipe, TwoTowers<B>)> {
    let path = dir.join("recipe.toml");
    let recipe: PretrainRecipe = run::recipe::read(Some(&path), "", "")?;
    let weights = dir.join(WEIGHTS);
    let record = checkpoint::from_bytes::<B, _>(&bytes(dir)?, device)
        .with_context(|| weights.display().to_string())?;
    let towers = TwoTowers::<B>::new(&recipe, device).load_record(record);
    Ok((recipe, towers))
}

fn bytes(dir: &Path) -> Result<Vec<u8>> {
    let path = dir.join(WEIGHTS);
    std::fs::read(&path).with_context(|| format!("{}: is the run finished?", path.display()))
}

/// What the encoders of a finished run descend from, their own digest included, which is compared with their file.
pub fn lineage(dir: &Path) -> Result<Lineage> {
    let path = dir.join(LINEAGE);
    let name = || path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(name)?;
    let lineage: Lineage = toml::from_str(&text).with_context(name)?;
    let digest = sha256_hex(&bytes(dir)?);
    let stated = lineage.encoders.as_deref().unwrap_or_default();
    ensure!(stated == digest, "{}: encoders are sha256:{digest}, stated is sha256:{stated}", name());
    Ok(lineage)
}

/// One pretraining, whose encoders and figures go to the folder of a run.
pub struct Pretraining {
    /// What is fixed beforehand.
    pub recipe: PretrainRecipe,
    /// Pairs that train, and pairs of held-out people.
    pub material: Material,
    /// The run.
    pub run: Run,
}

impl Job for Pretraining {
    type Out = ();

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Result<()> {
        let Self { recipe, material: Material { train: views, held, sets }, run } = self;
        let done = train::train::<B>(&recipe, &views, &held, &run, "pretrain", &device)?;
        let bytes = checkpoint::to_bytes::<B, _>(done.towers.into_record())?;
        let lineage = Lineage { encoders: Some(sha256_hex(&bytes)), pairs: sets, ..Lineage::default() };
        let text = toml::to_string(&lineage).context("lineage")?;
        for (name, content) in [(WEIGHTS, bytes.as_slice()), (LINEAGE, text.as_bytes())] {
            let path = run.dir().join(name);
            std::fs::write(&path, content).with_context(|| path.display().to_string())?;
        }
        let origins = lineage.pairs.iter().map(|s| (format!("pairs, {}", s.origin), s.count.to_string()));
        let rows: Vec<(String, String)> = origins
            .chain([
                ("held-out pairs".into(), held.len.to_string()),
                ("second view found by the first".into(), format!("{:.3}", done.retrieval[0])),
                ("first view found by the second".into(), format!("{:.3}", done.retrieval[1])),
            ])
            .collect();
        rows.iter().for_each(|(what, value)| println!("{what}: {value}"));
        run.table(
            "Result",
            &["what", "value"],
            &rows.into_iter().map(|(a, b)| vec![a, b]).collect::<Vec<_>>(),
        );
        eprintln!(
            "{:.0} pairs/s; the device waited for the loader in {:.1} % of the time",
            done.rate,
            100.0 * done.loader_share
        );
        run.finish()
    }
}
