//! `glint-pretrain validate`: generated material against real one.

use std::path::PathBuf;

use anyhow::Result;
use glint::event::Class;
use serde_json::{Map, Value, json};

use crate::recognition::validation::{CHANNELS, Comparison};

/// Compare generated with real material.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Compare the mean motion of each class in the corpus, measured by the daemon's own flow, with published flow
    /// images of real micro-expressions.
    Corpus(Args),
}

/// Arguments of `validate corpus`.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain validate corpus --assets ../data --data ../data/megc2019")]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long, value_name = "DIR")]
    assets: PathBuf,
    /// Folder with index.csv and flow images of MEGC2019.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Number of generated pairs.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u64).range(30..=1_000_000))]
    samples: u64,
    /// Number of people.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    people: u32,
    /// Seed of the corpus.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a picture of the mean fields.
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
    /// Print a JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    let Command::Corpus(args) = command;
    let all = Comparison::new(&args.assets, &args.data, args.samples, args.people as usize, args.seed)?;
    if let Some(path) = &args.picture {
        all.picture().save(path)?;
    }
    if args.json {
        println!("{}", table(&all));
        return Ok(());
    }
    println!("correlation of mean motion: {} generated pairs, {} real samples", all.pairs(), all.real);
    let heads = CHANNELS.map(|c| format!("{c:>6}")).join(" ");
    println!("                          rendered, our flow     displacement itself    rendered, whole grid");
    println!("database  class        n  {heads}   {heads}   {heads}");
    for (database, means) in &all.databases {
        for class in Class::ALL {
            let r = all.correlations(means, class as usize);
            let r = r.map(|r| r.map(|r| format!("{r:6.2}")).join(" ")).join("   ");
            println!("{database:8}  {:10} {:4}  {r}", class, means.counts[class as usize]);
        }
    }
    println!("declared: AU mixes and crop of the corpus have been compared with these images");
    Ok(())
}

fn table(all: &Comparison) -> Value {
    let round = |v: f64| (v * 1000.0).round() / 1000.0;
    let databases: Map<String, Value> = all
        .databases
        .iter()
        .map(|(d, means)| {
            let class = |c: Class| {
                let [r, t, whole] = all.correlations(means, c as usize).map(|r| r.map(round));
                json!({
                    "n": means.counts[c as usize], "u": r[0], "v": r[1], "strain": r[2],
                    "truth": {"u": t[0], "v": t[1], "strain": t[2]},
                    "whole_grid": {"u": whole[0], "v": whole[1], "strain": whole[2]},
                })
            };
            let classes = Class::ALL.iter().map(|&c| (c.to_string(), class(c)));
            (d.clone(), Value::Object(classes.collect()))
        })
        .collect();
    json!({"generated": all.generated.counts, "databases": databases})
}
