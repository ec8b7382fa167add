//! `glint-pretrain evaluate pretraining`: the paper's claims one by one, on pairs whose truth is known.

use std::path::PathBuf;

use anyhow::Result;

use crate::contrast::experiment::{self, ExperimentSettings, ExperimentTable};

/// Pretrain on generated pairs (micro-expressions, macro-expressions, talk, rest) and probe the encoders on held-out
/// people: class, action units, few labels. Each row is a mean over seeds. Intervals are over people.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain evaluate pretraining --assets ../data --table claims --megc ../data/megc2019"
)]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long, value_name = "DIR")]
    assets: PathBuf,
    /// The table.
    #[arg(long, value_enum, default_value = "claims")]
    table: ExperimentTable,
    /// Folder of published flow images, for the rows with few labels on real samples.
    #[arg(long, value_name = "DIR")]
    megc: Option<PathBuf>,
    /// Number of unlabelled pairs.
    #[arg(long, default_value_t = 8000)]
    pool: usize,
    /// Number of labelled pairs of held-out people.
    #[arg(long, default_value_t = 1500)]
    labelled: usize,
    /// Optimiser steps of every training.
    #[arg(long, default_value_t = 600)]
    steps: usize,
    /// Seeds of weights and order.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Seed of people and pairs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let results = experiment::run(&ExperimentSettings {
        assets: args.assets.clone(),
        table: args.table,
        megc: args.megc.clone(),
        pool: args.pool,
        labelled: args.labelled,
        steps: args.steps,
        seeds: args.seeds,
        seed: args.seed,
    })?;
    if args.json {
        println!("{}", results.json());
    } else {
        results.print();
    }
    Ok(())
}
