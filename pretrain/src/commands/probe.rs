//! `glint-pretrain probe` and `finetune`: what encoders are worth on labelled data.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;
use glint::au::{AU_COUNT, AUS};
use serde::Serialize;
use serde_json::json;

use super::pretrain;
use crate::backend::device::{self, Device, Job};
use crate::contrast::encoder::{Encoder, Pairs};
use crate::contrast::finetune::{self, Classifier, Samples, Tuning};
use crate::contrast::labelled::{self, Labelled, Scored, Source};
use crate::contrast::recipe::{Recipe, Side};
use crate::contrast::train::{features, one_view};
use crate::run::{self, Run};
use crate::statistics::linear::{Ridge, Softmax, correlation};
use crate::train::initialised;

/// Arguments that both commands have.
#[derive(clap::Args)]
struct Common {
    #[command(flatten)]
    source: Source,
    /// Folder of a finished `pretrain` run.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Subjects are put into so many folds; 0 leaves one subject out at a time.
    #[arg(long, default_value_t = 0)]
    folds: usize,
    /// Uses the first view alone.
    #[arg(long)]
    first_only: bool,
    /// Device.
    #[arg(long, value_enum, default_value = "cpu")]
    device: Device,
    /// Seed of folds, heads and order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder of the run.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Fits linear models of classes and AUs on the features of frozen encoders, subjects apart.
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

/// Trains the encoders on with labels, subjects apart; without --from, from scratch.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain finetune --from out/pretrain --database casme2 --data CASME2"
)]
pub struct FinetuneArgs {
    #[command(flatten)]
    common: Common,
    /// Recipe whose shapes are trained from scratch where there is no --from.
    #[arg(long, default_value = "edge", value_name = "NAME|FILE.toml")]
    recipe: String,
    /// Optimiser steps.
    #[arg(long, default_value_t = Tuning::default().steps)]
    steps: usize,
    /// Peak learning rate.
    #[arg(long, default_value_t = Tuning::default().rate)]
    rate: f64,
}

/// Runs `probe`.
pub fn run_probe(args: &ProbeArgs) -> Result<()> {
    ensure!(args.prior > 0.0 && args.prior.is_finite(), "--prior: above 0");
    let from = args.common.from.as_ref().context("--from: the folder of a pretrain run")?;
    let data = labelled::load(&args.common.source)?;
    device::run(args.common.device, Probe { args, from, data: &data })
}

/// Runs `finetune`.
pub fn run_finetune(args: &FinetuneArgs) -> Result<()> {
    ensure!((1..=1_000_000).contains(&args.steps), "--steps: 1 to 1000000");
    let data = labelled::load(&args.common.source)?;
    device::run(args.common.device, Finetune { args, data: &data })
}

/// Labelled samples with their views: sides whose view every sample has.
struct Prepared<'a> {
    sides: Vec<Side>,
    rows: Vec<Vec<Vec<f32>>>,
    data: &'a [Labelled],
}

fn prepare<'a>(recipe: &Recipe, first_only: bool, data: &'a [Labelled]) -> Result<Prepared<'a>> {
    let pairs: Vec<_> = data.iter().map(|l| &l.pair).collect();
    let mut out = Prepared { sides: Vec::new(), rows: Vec::new(), data };
    for side in [&recipe.first, &recipe.second].into_iter().take(if first_only { 1 } else { 2 }) {
        let views: Option<Vec<Vec<f32>>> = one_view(&pairs, side.view, side.reduce).into_iter().collect();
        match views {
            Some(rows) => {
                out.sides.push(side.clone());
                out.rows.push(rows);
            }
            None => eprintln!("view {:?} is left out: not every sample has it", side.view),
        }
    }
    ensure!(!out.sides.is_empty(), "no view that every sample has (is --depth-pattern missing?)");
    Ok(out)
}

impl Prepared<'_> {
    fn subjects(&self) -> Vec<&str> {
        self.data.iter().map(|l| l.subject.as_str()).collect()
    }

    fn samples(&self, picks: &[usize]) -> Samples<'_> {
        Samples {
            sides: self.sides.clone(),
            rows: self.rows.iter().map(|rows| chosen(rows, picks)).collect(),
            classes: picks.iter().map(|&i| self.data[i].class).collect(),
        }
    }

    fn score(&self, picks: &[usize], found: Vec<usize>, scored: &mut Scored) {
        for (&i, found) in picks.iter().zip(found) {
            scored.rows.push((self.data[i].subject.clone(), self.data[i].class, found));
        }
    }
}

/// Some of the rows.
fn chosen<'a>(rows: &'a [Vec<f32>], picks: &[usize]) -> Vec<&'a [f32]> {
    picks.iter().map(|&i| &rows[i][..]).collect()
}

fn rest(fold: &[usize], count: usize) -> Vec<usize> {
    (0..count).filter(|i| !fold.contains(i)).collect()
}

/// Encoders of the sides that are used.
fn encoders<B: AutodiffBackend>(towers: Pairs<B>, recipe: &Recipe, sides: &[Side]) -> Vec<Encoder<B>> {
    let all = [(recipe.first.view, towers.first.encoder), (recipe.second.view, towers.second.encoder)];
    all.into_iter().filter(|(view, _)| sides.iter().any(|s| s.view == *view)).map(|(_, e)| e).collect()
}

struct Probe<'a> {
    args: &'a ProbeArgs,
    from: &'a PathBuf,
    data: &'a [Labelled],
}

impl Job for Probe<'_> {
    type Out = ();

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Result<()> {
        let common = &self.args.common;
        let (recipe, towers) = pretrain::load::<B>(self.from, &device)?;
        let prepared = prepare(&recipe, common.first_only, self.data)?;
        let towers = towers.valid();
        let mut joined = vec![Vec::new(); self.data.len()];
        for (side, rows) in prepared.sides.iter().zip(&prepared.rows) {
            let tower = if side.view == recipe.first.view { &towers.first } else { &towers.second };
            let flat: Vec<f32> = rows.concat();
            for (all, own) in joined.iter_mut().zip(features(tower, side, &flat, &device)) {
                all.extend(own);
            }
        }
        let count = common.source.protocol.classes().len();
        let folds = labelled::folds(&prepared.subjects(), common.folds, common.seed);
        let mut scored = Scored::default();
        let mut au_found = vec![[0.0f32; AU_COUNT]; self.data.len()];
        for fold in &folds {
            let train = rest(fold, self.data.len());
            let rows: Vec<&[f32]> = train.iter().map(|&i| &joined[i][..]).collect();
            let classes: Vec<usize> = train.iter().map(|&i| self.data[i].class).collect();
            let model = Softmax::fit(&rows, &classes, count, self.args.prior);
            prepared.score(fold, fold.iter().map(|&i| model.predict(&joined[i])).collect(), &mut scored);
            let targets: Vec<&[f32]> = train.iter().map(|&i| &self.data[i].aus[..]).collect();
            let ridge = Ridge::fit(&rows, &targets, f64::from(self.args.prior));
            for &i in fold {
                au_found[i].copy_from_slice(&ridge.predict(&joined[i]));
            }
        }
        // AUs that occur often enough for a correlation to mean something.
        let aus: Vec<(u8, f64)> = AUS
            .iter()
            .enumerate()
            .filter(|(k, _)| self.data.iter().filter(|l| l.aus[*k] > 0.0).count() >= 10)
            .filter_map(|(k, au)| {
                let (a, b): (Vec<f32>, Vec<f32>) =
                    (au_found.iter().map(|f| f[k]).collect(), self.data.iter().map(|l| l.aus[k]).collect());
                Some((*au, correlation(&a, &b)?))
            })
            .collect();
        let name = format!("probe of {}", self.from.display());
        report(&name, common, &json!({"from": self.from, "prior": self.args.prior}), &prepared, &scored, &aus)
    }
}

struct Finetune<'a> {
    args: &'a FinetuneArgs,
    data: &'a [Labelled],
}

impl Job for Finetune<'_> {
    type Out = ();

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Result<()> {
        let common = &self.args.common;
        let loaded = match &common.from {
            Some(dir) => Some(pretrain::load::<B>(dir, &device)?),
            None => None,
        };
        let recipe = match &loaded {
            Some((recipe, _)) => recipe.clone(),
            None => pretrain::recipe(&self.args.recipe)?,
        };
        let prepared = prepare(&recipe, common.first_only, self.data)?;
        let count = common.source.protocol.classes().len();
        let width = prepared.sides.iter().map(|s| s.encoder.features()).sum();
        let tuning = Tuning { steps: self.args.steps, rate: self.args.rate, ..Tuning::default() };
        let folds = labelled::folds(&prepared.subjects(), common.folds, common.seed);
        let bar = run::bar("folds", folds.len() as u64);
        let mut scored = Scored::default();
        for (k, fold) in folds.iter().enumerate() {
            let seed = common.seed ^ (k as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let model = initialised(seed, &device, || {
                let own = match &loaded {
                    Some((recipe, towers)) => encoders(towers.clone(), recipe, &prepared.sides),
                    None => {
                        prepared.sides.iter().map(|s| Encoder::new(&s.encoder, s.shape(), &device)).collect()
                    }
                };
                Classifier::<B>::new(own, width, count, &device)
            });
            let train = rest(fold, self.data.len());
            let model = finetune::train(model, &prepared.samples(&train), count, &tuning, seed, &device)?;
            let found = finetune::predict(&model.valid(), &prepared.samples(fold), &device);
            prepared.score(fold, found, &mut scored);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let name = common.from.as_ref().map_or("from scratch".into(), |d| format!("from {}", d.display()));
        report(
            &format!("fine-tuning {name}"),
            common,
            &json!({"from": common.from, "tuning": tuning}),
            &prepared,
            &scored,
            &[],
        )
    }
}

fn report(
    name: &str,
    common: &Common,
    settings: &impl Serialize,
    prepared: &Prepared<'_>,
    scored: &Scored,
    aus: &[(u8, f64)],
) -> Result<()> {
    let classes = common.source.protocol.classes();
    let (uf1, uar) = scored.scores(classes.len());
    let interval = scored.interval(classes.len(), common.seed);
    let confusion = scored.confusion(classes.len());
    let people: std::collections::BTreeSet<_> = prepared.subjects().into_iter().collect();
    let mean_au = (!aus.is_empty()).then(|| aus.iter().map(|(_, r)| r).sum::<f64>() / aus.len() as f64);
    let views: Vec<String> = prepared.sides.iter().map(|s| format!("{:?}", s.view).to_lowercase()).collect();
    let result = json!({
        "samples": prepared.data.len(), "subjects": people.len(), "views": views, "classes": classes,
        "uf1": uf1, "uar": uar, "ci95": [interval.0, interval.1], "confusion": confusion,
        "au_correlation": mean_au,
        "au_correlations": aus.iter().map(|(au, r)| (glint::gate::au_key(*au), r)).collect::<std::collections::BTreeMap<_, _>>(),
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
    println!(
        "{name}: {} samples of {} subjects, views {}",
        prepared.data.len(),
        people.len(),
        views.join(" + ")
    );
    println!("UF1 {uf1:.3} ({:.3} to {:.3}), UAR {uar:.3}", interval.0, interval.1);
    if let Some(mean) = mean_au {
        println!("correlation with coded AU intensity: {mean:.3}, mean of {} AUs", aus.len());
    }
    Ok(())
}
