//! `glint-pretrain evaluate speed`: contrastive training steps on random views.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use burn::tensor::backend::AutodiffBackend;
use glint::au::AU_COUNT;

use crate::augment::{generator, normal};
use crate::backend::device::{self, Device, Job};
use crate::contrast::recipe::PretrainRecipe;
use crate::contrast::train::{Views, train};
use crate::run::Run;

/// Train the networks of a recipe on random views and print pairs per second. `pretrain/compare/contrastive_torch.py`
/// does the same with PyTorch.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain evaluate speed --recipes edge,paper-small --steps 60")]
pub struct Args {
    /// Recipes, by name or file.
    #[arg(long, value_delimiter = ',', default_values_t = ["edge".to_owned(), "paper-small".to_owned()])]
    recipes: Vec<String>,
    /// Optimiser steps of each.
    #[arg(long, default_value_t = 60)]
    steps: usize,
    /// The device that trains.
    #[arg(long, value_enum, default_value = "cpu")]
    device: Device,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!((2..=100_000).contains(&args.steps), "--steps: 2 to 100000");
    for name in &args.recipes {
        let recipe = PretrainRecipe::named(name)?;
        let (rate, share) = device::run(args.device, Measure { recipe, steps: args.steps })?;
        println!(
            "{name}: {rate:.0} pairs/s; {:.1} % of the time spent waiting for the loader",
            100.0 * share
        );
    }
    Ok(())
}

struct Measure {
    recipe: PretrainRecipe,
    steps: usize,
}

impl Job for Measure {
    type Out = (f64, f64);

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Result<(f64, f64)> {
        let Self { mut recipe, steps } = self;
        let mut rng = generator(1, 1);
        let count = 4 * recipe.batch;
        let [first, second] = [&recipe.first, &recipe.second].map(|side| {
            let n: usize = side.shape().iter().product();
            (0..count * n).map(|_| normal(&mut rng)).collect::<Vec<f32>>()
        });
        let views = Views { first, second, intensities: vec![[0.0; AU_COUNT]; count], len: count };
        let run = Run::start_in(&PathBuf::from("out/evaluate-speed"), 1, &recipe, false)?;
        // The first steps compile kernels and fill caches.
        recipe.epochs = 1;
        train::<B>(&recipe, &views, &Views::default(), &run, "warm", &device)?;
        recipe.epochs = steps.div_ceil(4);
        let done = train::<B>(&recipe, &views, &Views::default(), &run, "speed", &device)?;
        Ok((done.rate, done.loader_share))
    }
}
