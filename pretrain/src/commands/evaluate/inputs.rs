//! `glint-pretrain evaluate inputs`: what the student could see beyond motion at 28 x 28, on the daemon's own road.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use crate::run::Run;
use crate::student::inputs::compare;
use crate::student::recipe::StudentRecipe;

/// Train one network for each kind of input on the same rendered movements and score it on held-out people.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain evaluate inputs --assets ../data")]
pub struct Args {
    /// Folder with `portraits/` and `ict/`.
    #[arg(long)]
    assets: PathBuf,
    /// Number of rendered training movements. A quarter as many are tested.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u64).range(100..))]
    samples: u64,
    /// Number of networks of each kind.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=20))]
    seeds: u64,
    /// Print a JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let recipe = StudentRecipe::read(None, false)?;
    let run = Run::start("inputs", 1, &recipe, false)?;
    let (table, tested) = compare(&recipe, &args.assets, args.samples, args.seeds, &run)?;
    let rows: Vec<Vec<String>> = table
        .iter()
        .map(|r| vec![r.name.to_owned(), r.size.to_string(), format!("{:.3} +- {:.3}", r.uf1, r.uf1_sd)])
        .collect();
    run.table("UF1 on people who trained nothing", &["input", "numbers", "UF1"], &rows);
    run.finish()?;
    if args.json {
        let cells = table
            .iter()
            .map(|r| (r.name.to_owned(), json!({"numbers": r.size, "uf1": r.uf1, "uf1_sd": r.uf1_sd})));
        println!("{}", Value::Object(cells.collect()));
    } else {
        println!("{:<26}numbers  UF1", "input");
        table.iter().for_each(|r| println!("{:<26}{:<9}{:.3} +- {:.3}", r.name, r.size, r.uf1, r.uf1_sd));
        println!("{tested} movements of {} people who trained nothing", recipe.held_out_people);
    }
    Ok(())
}
