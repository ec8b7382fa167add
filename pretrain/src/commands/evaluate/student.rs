//! `glint-pretrain evaluate student`: what pretraining is worth to the student that ships.

use std::path::PathBuf;

use anyhow::Result;

use crate::contrast;
use crate::student::recipe::StudentRecipe;
use crate::student::worth::{Worth, WorthSettings};

/// Train teachers and the int8 student with and without pretrained encoders. Score each on rendered people who train
/// nothing and, with --megc, on real flow images, zero-shot and with the labels of few subjects.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain evaluate student --assets ../data --pairs pairs --counts 3000 --megc ../data/megc2019"
)]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long, value_name = "DIR")]
    assets: PathBuf,
    /// Sets of unlabelled pairs, as `filter` writes them.
    #[arg(long, value_name = "DIR", required = true, num_args = 1..)]
    pairs: Vec<PathBuf>,
    /// Numbers of pairs, from the first on. Encoders are pretrained on each; the table has a row for each.
    #[arg(long, value_delimiter = ',', required = true)]
    counts: Vec<usize>,
    /// Recipe of the pretraining: a name or a file.
    #[arg(long, default_value = "student", value_name = "NAME|FILE.toml")]
    contrast: String,
    /// Recipe of teachers and student [default: the built-in `recipes/student.toml`].
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Folder of published flow images.
    #[arg(long, value_name = "DIR")]
    megc: Option<PathBuf>,
    /// Seeds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=20))]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Train for seconds only. This shows that the command works and says nothing about quality.
    #[arg(long)]
    quick: bool,
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let contrast = contrast::recipe::PretrainRecipe::named(&args.contrast)?;
    let worth = Worth::measure(&WorthSettings {
        assets: args.assets.clone(),
        pairs: args.pairs.clone(),
        counts: args.counts.clone(),
        contrast: if args.quick { contrast.quick() } else { contrast },
        recipe: StudentRecipe::read(args.recipe.as_deref(), args.quick)?,
        megc: args.megc.clone(),
        seeds: args.seeds,
        seed: args.seed,
    })?;
    if args.json {
        println!("{}", worth.json());
    } else {
        worth.print();
    }
    Ok(())
}
