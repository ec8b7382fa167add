//! `glint-pretrain pretrain`: dual-view contrastive training.

use std::path::PathBuf;

use anyhow::Result;

use crate::backend::device::{self, Device};
use crate::contrast::material::Material;
use crate::contrast::pretraining::Pretraining;
use crate::contrast::recipe::PretrainRecipe;
use crate::run::Run;

/// Train two encoders on unlabelled pairs with a contrastive loss between two views of a movement: appearance and
/// motion (recipes `edge`, `student`), or appearance and depth (`paper`, `paper-small`). `filter` and `corpus` write such
/// pairs.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain pretrain --data pairs --recipe edge --seed 1")]
pub struct Args {
    /// Folders of pairs.
    #[arg(long, value_name = "DIR", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// `edge`, `student`, `paper`, `paper-small`, or a recipe file.
    #[arg(long, default_value = "edge", value_name = "NAME|FILE.toml")]
    recipe: String,
    /// Read this many pairs at most, from the first on.
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    most: usize,
    /// Train for seconds only. This shows that the command works and says nothing about quality.
    #[arg(long)]
    quick: bool,
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
    let recipe = PretrainRecipe::named(&args.recipe)?;
    let recipe = if args.quick { recipe.quick() } else { recipe };
    let material = Material::read(&args.data, &recipe, args.most)?;
    let macs = [&recipe.first, &recipe.second].map(|s| s.encoder.macs(s.shape()) as f64 / 1e6);
    eprintln!(
        "{} pairs to train on, {} of held-out people; encoders of {:.2} and {:.2} million multiply-adds",
        material.train.len, material.held.len, macs[0], macs[1]
    );
    let run = Run::start_in(&args.out, args.seed, &recipe, args.resume)?;
    device::run(args.device, Pretraining { recipe, material, run })
}
