//! The paper's claims one by one, on pairs whose truth is known.
//!
//! | module | meaning |
//! |---|---|
//! | `bench` | the material, and what one training on some of it is worth |
//! | `variants` | the rows of each table |
//! | `table` | the results as text and JSON |
//! | `difference` | intervals of differences |

mod bench;
mod difference;
mod table;
mod variants;

use anyhow::{Result, ensure};

use self::bench::Bench;
pub use self::bench::{ExperimentSettings, ExperimentTable};
use self::difference::{TrainingScore, mean};
pub use self::table::Results;
use crate::statistics::score::uf1_uar;

/// Runs an experiment.
pub fn run(settings: &ExperimentSettings) -> Result<Results> {
    ensure!((1..=20).contains(&settings.seeds), "--seeds: 1 to 20");
    ensure!(
        settings.pool >= 512 && settings.labelled >= 100,
        "--pool: at least 512; --labelled: at least 100"
    );
    let bench = Bench::new(settings)?;
    let variants = bench.variants()?;
    let mut outcomes: Vec<Vec<TrainingScore>> = Vec::new();
    for variant in &variants {
        let seeds = 0..settings.seeds;
        let outcome: Vec<TrainingScore> =
            seeds.map(|s| bench.outcome(variant, settings.seed + s)).collect::<Result<_>>()?;
        // Rows take minutes each: what is known is said at once.
        let score = mean(&outcome.iter().map(|o| uf1_uar(&o.rows, 3).0).collect::<Vec<_>>());
        eprintln!("{}: {} pairs, UF1 {score:.3}", variant.name, variant.pool.len());
        outcomes.push(outcome);
    }
    Ok(bench.results(&variants, &outcomes))
}
