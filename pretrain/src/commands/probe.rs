//! `glint-pretrain probe` and `finetune`: what encoders are worth on labelled data.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;

use crate::backend::device::{self, Device};
use crate::contrast::finetune::Tuning;
use crate::contrast::labelled::{self, LabelledPair, Source};
use crate::contrast::transfer::{Finetuning, Predictions, Probe, Setting};
use crate::run::Run;

/// Arguments that both commands have.
#[derive(clap::Args)]
struct Common {
    #[command(flatten)]
    source: Source,
    /// Folder of a finished `pretrain` run.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Number of folds of subjects; 0 leaves one subject out at a time.
    #[arg(long, default_value_t = 0)]
    folds: usize,
    /// Use the first view only.
    #[arg(long)]
    first_only: bool,
    /// The device that trains.
    #[arg(long, value_enum, default_value = "cpu")]
    device: Device,
    /// Seed of folds, heads and order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder of the run.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// Fit linear models of classes and AUs on the features of frozen encoders, with disjoint subjects.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain probe --from out/pretrain --database cas-me3 --data CASME3 --protocol 4 --depth-pattern 'depth/{frame}.png'"
)]
pub struct ProbeArgs {
    #[command(flatten)]
    common: Common,
    /// Strength of the prior.
    #[arg(long, default_value_t = 1.0)]
    prior: f32,
}

/// Train the encoders further with labels, with disjoint subjects. Without --from, train from scratch.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain finetune --from out/pretrain --database casme2 --data CASME2"
)]
pub struct FinetuneArgs {
    #[command(flatten)]
    common: Common,
    /// Recipe whose networks are trained from scratch if --from is absent.
    #[arg(long, default_value = "edge", value_name = "NAME|FILE.toml")]
    recipe: String,
    /// Optimiser steps.
    #[arg(long, default_value_t = Tuning::default().steps)]
    steps: usize,
    /// Peak learning rate.
    #[arg(long, default_value_t = Tuning::default().rate)]
    rate: f64,
}

impl Common {
    fn setting<'a>(&self, data: &'a [LabelledPair]) -> Setting<'a> {
        let classes = self.source.protocol.classes().len();
        Setting { data, classes, folds: self.folds, first_only: self.first_only, seed: self.seed }
    }
}

/// Runs `probe`.
pub fn run_probe(args: &ProbeArgs) -> Result<()> {
    ensure!(args.prior > 0.0 && args.prior.is_finite(), "--prior: above 0");
    let common = &args.common;
    let from = common.from.as_ref().context("--from: the folder of a pretrain run")?;
    let data = labelled::load(&common.source)?;
    let probe = Probe { from, prior: args.prior, setting: common.setting(&data) };
    let outcome = device::run(common.device, probe)?;
    let settings = json!({"from": from, "prior": args.prior});
    report(&format!("probe of {}", from.display()), common, &settings, &data, &outcome)
}

/// Runs `finetune`.
pub fn run_finetune(args: &FinetuneArgs) -> Result<()> {
    ensure!((1..=1_000_000).contains(&args.steps), "--steps: 1 to 1000000");
    let common = &args.common;
    let data = labelled::load(&common.source)?;
    let tuning = Tuning { steps: args.steps, rate: args.rate, ..Tuning::default() };
    let (from, setting) = (common.from.as_deref(), common.setting(&data));
    let outcome = device::run(common.device, Finetuning { from, recipe: &args.recipe, tuning, setting })?;
    let name = from.map_or("from scratch".into(), |d| format!("from {}", d.display()));
    let settings = json!({"from": from, "tuning": tuning});
    report(&format!("fine-tuning {name}"), common, &settings, &data, &outcome)
}

fn report(
    name: &str,
    common: &Common,
    settings: &impl Serialize,
    data: &[LabelledPair],
    Predictions { views, scored, aus }: &Predictions,
) -> Result<()> {
    let classes = common.source.protocol.classes();
    let (uf1, uar) = scored.scores(classes.len());
    let interval = scored.interval(classes.len(), common.seed);
    let confusion = scored.confusion(classes.len());
    let people: std::collections::BTreeSet<_> = data.iter().map(|l| l.subject.as_str()).collect();
    let mean_au = (!aus.is_empty()).then(|| aus.iter().map(|(_, r)| r).sum::<f64>() / aus.len() as f64);
    let views: Vec<String> = views.iter().map(|v| format!("{v:?}").to_lowercase()).collect();
    let result = json!({
        "samples": data.len(), "subjects": people.len(), "views": views, "classes": classes,
        "uf1": uf1, "uar": uar, "ci95": [interval.0, interval.1], "confusion": confusion,
        "au_correlation": mean_au,
        "au_correlations": aus.iter().map(|(au, r)| (glint::intensity::au_key(*au), r)).collect::<std::collections::BTreeMap<_, _>>(),
    });
    if let Some(dir) = &common.out {
        let run = Run::start_in(dir, common.seed, settings, false)?;
        run.log(&result)?;
        let rows: Vec<Vec<String>> = confusion
            .iter()
            .zip(classes)
            .map(|(row, class)| {
                std::iter::once((*class).to_owned()).chain(row.iter().map(usize::to_string)).collect()
            })
            .collect();
        let header: Vec<&str> = std::iter::once("truth / found").chain(classes.iter().copied()).collect();
        run.table(
            &format!("{name}: UF1 {uf1:.3} ({:.3} to {:.3}), UAR {uar:.3}", interval.0, interval.1),
            &header,
            &rows,
        );
        run.finish()?;
    }
    if common.json {
        println!("{result}");
        return Ok(());
    }
    println!("{name}: {} samples of {} subjects, views {}", data.len(), people.len(), views.join(" + "));
    println!("UF1 {uf1:.3} ({:.3} to {:.3}), UAR {uar:.3}", interval.0, interval.1);
    if let Some(mean) = mean_au {
        println!("correlation with coded AU intensity: {mean:.3}, mean of {} AUs", aus.len());
    }
    Ok(())
}
