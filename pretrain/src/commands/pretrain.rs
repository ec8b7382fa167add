//! `glint-pretrain pretrain`: dual-view contrastive training.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::backend::device::{self, Device};
use crate::contrast::pretraining::Pretraining;
use crate::contrast::recipe::Recipe;
use crate::contrast::train;
use crate::pairs;
use crate::run::Run;

/// Train two encoders on unlabelled pairs with a contrastive loss between two views of a movement: appearance and
/// motion (recipe `edge`), or appearance and depth (`paper`, `paper-small`). `filter` and `corpus` write such pairs.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain pretrain --data pairs --recipe edge --seed 1")]
pub struct Args {
    /// Folders of pairs.
    #[arg(long, value_name = "DIR", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// `edge`, `paper`, `paper-small`, or a recipe file.
    #[arg(long, default_value = "edge", value_name = "NAME|FILE.toml")]
    recipe: String,
    /// The device that trains.
    #[arg(long, value_enum, default_value = "cpu")]
    device: Device,
    /// Seed of weights, order and flips.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder of the run.
    #[arg(long, value_name = "DIR", default_value = "out/pretrain")]
    out: PathBuf,
    /// Continue an interrupted run.
    #[arg(long)]
    resume: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let recipe = Recipe::named(&args.recipe)?;
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
    device::run(args.device, Pretraining { recipe, train, held, run })
}
