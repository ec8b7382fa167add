//! `glint-pretrain evaluate few`: how much real labels help, from few subjects on.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::recognition::megc;
use crate::recognition::protocol::{PreparedSamples, few_labels, student};
use crate::recognition::report::SETTINGS_SCORED;
use crate::run::{Run, bar, plot};
use crate::statistics::score::mean_sd;
use crate::train::parallel::side_by_side;

/// Print the learning curve over 3, 6, 12 and 24 labelled subjects, tested on all others: training from scratch, from
/// the pretrained student, and the student as shipped.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain evaluate few --data ../data/megc2019")]
pub struct Args {
    /// Folder with `index.csv` (file, database, subject, class) and `flow/`.
    #[arg(long)]
    data: PathBuf,
    /// Number of draws of subjects at each point.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(2..=200))]
    draws: u64,
    /// Folder with student.onnx and student.toml [default: the built-in student].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Print a JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

const COUNTS: [usize; 4] = [3, 6, 12, 24];
/// `scratch`: the small CNN with mixup; `scratch_linear`: logistic regression.
const NAMES: [&str; 4] = ["scratch", "pretrained", "zero_shot", "scratch_linear"];

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let samples = megc::load(&args.data)?;
    let mut student = student(args.models.as_deref())?;
    let sha256 = student.sha256().to_owned();
    let material = PreparedSamples::new(&samples, &mut student)?;
    let settings = std::collections::BTreeMap::from([("draws", args.draws.to_string()), ("student", sha256)]);
    let run = Run::start("few", 0, &settings, false)?;
    let people = megc::subjects(&samples).len();
    let counts: Vec<usize> = COUNTS.into_iter().filter(|c| *c < people).collect();
    let progress = bar("draws", args.draws * counts.len() as u64);
    let mut points: Vec<(usize, [(f64, f64); 4])> = Vec::new();
    for count in counts {
        let draws: Vec<u64> = (0..args.draws).collect();
        let scores: Vec<[f64; 4]> = side_by_side(&draws, |&draw| {
            let uf1 = few_labels(&material, count, draw);
            progress.inc(1);
            uf1
        })?;
        points.push((count, [0, 1, 2, 3].map(|k| mean_sd(&scores.iter().map(|s| s[k]).collect::<Vec<_>>()))));
    }
    progress.finish_and_clear();
    let table: Map<String, Value> = points
        .iter()
        .map(|(count, p)| {
            let cells = NAMES.iter().zip(p).map(|(name, (mean, _))| ((*name).to_owned(), json!(mean)));
            (count.to_string(), Value::Object(cells.collect()))
        })
        .collect();
    run.log(&table)?;
    let curves: Vec<(String, Vec<(f32, f32)>)> = NAMES
        .iter()
        .enumerate()
        .map(|(k, name)| {
            ((*name).to_owned(), points.iter().map(|(c, p)| (*c as f32, p[k].0 as f32)).collect())
        })
        .collect();
    run.plot("few.svg", "UF1 by labelled subjects", &plot::lines(&curves, "labelled subjects", "UF1"))?;
    run.finish()?;
    if args.json {
        println!("{}", Value::Object(table));
        return Ok(());
    }
    println!("subjects  {}", NAMES.map(|n| format!("{n:<16}")).concat());
    for (count, p) in &points {
        print!("{count:<10}");
        p.iter().for_each(|(mean, sd)| print!("{:<16}", format!("{mean:.3} +- {sd:.3}")));
        println!();
    }
    println!(
        "UF1, mean and deviation over {} draws; {SETTINGS_SCORED} settings of glint scored on such images in all",
        args.draws
    );
    Ok(())
}
