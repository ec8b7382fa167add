//! `glint-pretrain evaluate pretraining`: the paper's claims one by one, on pairs whose truth is known.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use burn::module::AutodiffModule;
use glint::au::AU_COUNT;
use glint::gate::by_au;
use glint::pipeline::{Models, pair_engine};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::backend::{Cpu, CpuTrain};
use crate::commands::evaluate::difference::{
    FEW, Outcome, PRIOR, au, few, mean, over_draws, over_people, uf1,
};
use crate::commands::pretrain;
use crate::contrast::encoder::{Pairs, Tower};
use crate::contrast::labelled::{folds, uf1_uar};
use crate::contrast::recipe::{Defects, Negatives, Optimiser, Recipe, Side};
use crate::contrast::shape::Shape;
use crate::contrast::train::{Views, features, train};
use crate::contrast::unlabelled::{Made, What, make as make_pair, mixed};
use crate::contrast::views::{View, make};
use crate::corpus::person::Split;
use crate::corpus::plan::Cast;
use crate::filter::judge::{Judge, MACRO_FROM, Range, Reason};
use crate::recognition::megc;
use crate::run::{self, Run};
use crate::statistics::linear::{Ridge, Softmax};
use crate::train::initialised;

/// One table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Table {
    /// Filtered against unfiltered pairs against no pretraining.
    Claims,
    /// Which two views, and two against one.
    Views,
    /// Memory bank, temperature and optimiser of the paper against the defaults.
    Bank,
    /// Defects of the paper's public code, switched on one by one.
    Defects,
}

/// Pretrains on generated pairs (micro-expressions, macro-expressions, talk, nothing) and probes the encoders on people whom
/// they never saw: class, action units, few labels. Each row is a mean over seeds; intervals are over people.
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
    table: Table,
    /// Folder of published flow images, for few labels on real samples.
    #[arg(long, value_name = "DIR")]
    megc: Option<PathBuf>,
    /// Unlabelled pairs.
    #[arg(long, default_value_t = 8000)]
    pool: usize,
    /// Labelled pairs of held-out people.
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
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// A row of a table: a recipe, the pairs it is trained on, the views it is probed by.
struct Variant {
    name: String,
    /// `None`: the weights stay as they are drawn.
    recipe: Recipe,
    trained: bool,
    pool: Vec<usize>,
}

/// Views of many pairs by kind.
type Stock = BTreeMap<View, Vec<Option<Vec<f32>>>>;

struct Bench<'a> {
    args: &'a Args,
    pool: Vec<Made>,
    pool_views: Stock,
    kept: Vec<Reason>,
    /// Intensities as the daemon measures them between the two frames.
    measured: Vec<[f32; AU_COUNT]>,
    labelled: Vec<Made>,
    labelled_views: Stock,
    real: Vec<megc::Sample>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!((1..=20).contains(&args.seeds), "--seeds: 1 to 20");
    ensure!(args.pool >= 512 && args.labelled >= 100, "--pool: at least 512; --labelled: at least 100");
    let bench = Bench::new(args)?;
    let variants = bench.variants()?;
    let mut outcomes: Vec<Vec<Outcome>> = Vec::new();
    for variant in &variants {
        let seeds = 0..args.seeds;
        let outcome: Vec<Outcome> =
            seeds.map(|s| bench.outcome(variant, args.seed + s)).collect::<Result<_>>()?;
        // Rows take minutes each: what is known is said at once.
        let score = mean(&outcome.iter().map(|o| uf1_uar(&o.rows, 3).0).collect::<Vec<_>>());
        eprintln!("{}: {} pairs, UF1 {score:.3}", variant.name, variant.pool.len());
        outcomes.push(outcome);
    }
    bench.print(&variants, &outcomes);
    Ok(())
}

fn stock(made: &[Made], reduce: usize) -> Stock {
    let all: Vec<[Option<Vec<f32>>; 3]> = made
        .par_iter()
        .map_init(pair_engine, |engine, m| {
            [View::Motion, View::Appearance, View::Depth].map(|v| make(v, &m.pair.crops, reduce, engine))
        })
        .collect();
    let mut out = Stock::new();
    for views in all {
        for (view, values) in [View::Motion, View::Appearance, View::Depth].into_iter().zip(views) {
            out.entry(view).or_default().push(values);
        }
    }
    out
}

impl<'a> Bench<'a> {
    fn new(args: &'a Args) -> Result<Self> {
        let models = Models::embedded()?;
        let thresholds =
            models.au.spec.thresholds.by_unit().map_err(|e| anyhow::anyhow!("thresholds: {e}"))?;
        let range = Range { least: by_au(&thresholds), macro_from: MACRO_FROM };
        let bar = run::bar("pairs", (args.pool + args.labelled) as u64);
        let training = Cast::load(&args.assets, Split::Train, 160, args.seed)?;
        let pool: Vec<Made> = (0..args.pool as u64)
            .into_par_iter()
            .map(|i| make_pair(&training, mixed(args.seed, i), args.seed, i))
            .inspect(|_| bar.inc(1))
            .collect();
        let others = Cast::load(&args.assets, Split::HeldOut, 60, args.seed)?;
        let labelled: Vec<Made> = (0..args.labelled as u64)
            .into_par_iter()
            .map(|i| make_pair(&others, What::Micro, args.seed ^ 0x006c_6162, i))
            .inspect(|_| bar.inc(1))
            .collect();
        bar.finish_and_clear();
        let kept = pool
            .par_iter()
            .map_init(
                || Judge::new(&models, range),
                |judge, made| {
                    let judge = judge.as_mut().map_err(|e| anyhow::anyhow!("{e:#}"))?;
                    Ok(judge.decide(&made.pair.crops.onset, &made.pair.crops.apex))
                },
            )
            .collect::<Result<Vec<_>>>()?;
        let (kept, measured) = kept.into_iter().unzip();
        let real = args.megc.as_deref().map_or(Ok(Vec::new()), megc::load)?;
        let (pool_views, labelled_views) = (stock(&pool, 4), stock(&labelled, 4));
        Ok(Self { args, pool, pool_views, kept, measured, labelled, labelled_views, real })
    }

    /// Indices of pool pairs that pass a test.
    fn pick(&self, test: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.pool.len()).filter(|&i| test(i)).collect()
    }

    fn variants(&self) -> Result<Vec<Variant>> {
        let edge = pretrain::recipe("edge")?;
        let all = self.pick(|_| true);
        let kept = self.pick(|i| self.kept[i] == Reason::Kept);
        // Pairs are drawn independently of each other, so the first ones are a fair sample of all.
        let as_many = &all[..kept.len()];
        let deep = self.pick(|i| self.kept[i] == Reason::Kept && self.pool_views[&View::Depth][i].is_some());
        let row = |name: &str, recipe: Recipe, pool: &[usize]| Variant {
            name: name.into(),
            recipe,
            trained: true,
            pool: pool.to_vec(),
        };
        let perceptron = Shape::Perceptron { layers: vec![128, 96] };
        let side = |view: View| Side { view, reduce: 4, encoder: perceptron.clone() };
        let views = |first: View, second: View, noise: f32| Recipe {
            noise,
            first: side(first),
            second: side(second),
            ..edge.clone()
        };
        let alike = Recipe { negatives: Negatives::InBatch { alike: 0.5 }, ..edge.clone() };
        let paper = Optimiser::Sgd { rate: 0.003, momentum: 0.9, decay: 1e-4 };
        let bank = |count: usize, momentum: f32| Negatives::Bank { count, momentum };
        Ok(match self.args.table {
            Table::Claims => vec![
                Variant { trained: false, ..row("no pretraining (random encoders)", edge.clone(), &all) },
                row("unfiltered pairs", edge.clone(), &all),
                row("unfiltered, as many as filtered", edge.clone(), as_many),
                row("filtered pairs", edge.clone(), &kept),
                row(
                    "micro-expressions alone (by the truth)",
                    edge.clone(),
                    &self.pick(|i| self.pool[i].what == What::Micro),
                ),
                row("unfiltered, as many, positives by likeness of intensity", alike.clone(), as_many),
                row("filtered, positives by likeness of intensity", alike, &kept),
            ],
            Table::Views => vec![
                Variant { trained: false, ..row("no pretraining", edge.clone(), &deep) },
                row("motion alone, twice with noise 0.6", views(View::Motion, View::Motion, 0.6), &deep),
                row(
                    "appearance alone, twice with noise 0.6",
                    views(View::Appearance, View::Appearance, 0.6),
                    &deep,
                ),
                row("motion + appearance", views(View::Motion, View::Appearance, 0.0), &deep),
                row("motion + depth", views(View::Motion, View::Depth, 0.0), &deep),
                row("appearance + depth (the paper's)", views(View::Appearance, View::Depth, 0.0), &deep),
            ],
            Table::Bank => vec![
                row("in batch, T 0.1, AdamW (default)", edge.clone(), &kept),
                row("in batch, T 0.05", Recipe { temperature: 0.05, ..edge.clone() }, &kept),
                row(
                    "bank K 2048, T 0.05, momentum 0.5, SGD 0.003 (the paper's code)",
                    Recipe {
                        temperature: 0.05,
                        negatives: bank(2048, 0.5),
                        optimiser: paper,
                        ..edge.clone()
                    },
                    &kept,
                ),
                row(
                    "the same bank and T, AdamW",
                    Recipe { temperature: 0.05, negatives: bank(2048, 0.5), ..edge.clone() },
                    &kept,
                ),
                row(
                    "bank K 4096, T 0.07 (README), AdamW",
                    Recipe { temperature: 0.07, negatives: bank(4096, 0.5), ..edge.clone() },
                    &kept,
                ),
                row("in batch, SGD 0.003", Recipe { optimiser: paper, ..edge.clone() }, &kept),
            ],
            Table::Defects => {
                let with = |defects: Defects| Recipe { defects, ..edge.clone() };
                vec![
                    row("none", edge.clone(), &kept),
                    row(
                        "second view without gradient",
                        with(Defects { second_without_gradient: true, ..Defects::default() }),
                        &kept,
                    ),
                    row(
                        "flips unpaired",
                        with(Defects { unpaired_flips: true, ..Defects::default() }),
                        &kept,
                    ),
                    row(
                        "75 % of the pairs mismatched",
                        with(Defects { mismatched: 0.75, ..Defects::default() }),
                        &kept,
                    ),
                    row(
                        "all three",
                        with(Defects {
                            second_without_gradient: true,
                            unpaired_flips: true,
                            mismatched: 0.75,
                        }),
                        &kept,
                    ),
                ]
            }
        })
    }

    /// Rows of the table whose differences answer one of its questions.
    fn contrasts(&self) -> &'static [(usize, usize)] {
        match self.args.table {
            // Rows: none, unfiltered, as many, filtered, by the truth, likeness (as many), likeness (filtered).
            Table::Claims => &[(1, 0), (3, 0), (3, 1), (3, 2), (4, 2), (5, 2), (6, 3), (6, 5), (6, 0)],
            Table::Bank => &[(2, 0), (2, 5), (3, 1)],
            Table::Views | Table::Defects => &[],
        }
    }

    fn views(&self, stock: &Stock, picks: &[usize], recipe: &Recipe) -> Views {
        let mut out = Views::default();
        for &i in picks {
            if let (Some(a), Some(b)) = (&stock[&recipe.first.view][i], &stock[&recipe.second.view][i]) {
                out.first.extend(a);
                out.second.extend(b);
                out.intensities.push([0.0; AU_COUNT]);
                out.len += 1;
            }
        }
        out
    }

    fn outcome(&self, variant: &Variant, seed: u64) -> Result<Outcome> {
        let device = Default::default();
        let mut recipe = variant.recipe.clone();
        let mut training = self.views(&self.pool_views, &variant.pool, &recipe);
        if let Negatives::InBatch { alike } = recipe.negatives
            && alike > 0.0
        {
            let known: Vec<usize> = variant.pool.clone();
            training.intensities = known.iter().map(|&i| self.measured[i]).collect();
        }
        recipe.batch = recipe.batch.min(training.len / 2);
        // Every row has the same number of steps, whatever the number of its pairs.
        recipe.epochs =
            (self.args.steps as f64 / (training.len / recipe.batch) as f64).round().max(1.0) as usize;
        let held = self.views(&self.labelled_views, &(0..self.labelled.len()).collect::<Vec<_>>(), &recipe);
        let (towers, retrieval): (Pairs<CpuTrain>, [f32; 2]) = if variant.trained {
            let name: String =
                variant.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
            let dir = PathBuf::from("out/evaluate-pretraining").join(format!("{name}-{seed}"));
            let run = Run::start_in(&dir, seed, &recipe, false)?;
            let done = train::<CpuTrain>(&recipe, &training, &held, &run, "pretrain", &device)?;
            (done.towers, done.retrieval)
        } else {
            (initialised(seed, &device, || Pairs::new(&recipe, &device)), [0.0; 2])
        };
        let towers: Pairs<Cpu> = towers.valid();
        // What the encoders say of held-out people: both views together, one where there is one.
        let of = |tower: &Tower<Cpu>, side: &Side| -> Option<Vec<Vec<f32>>> {
            let rows: Option<Vec<&Vec<f32>>> =
                self.labelled_views[&side.view].iter().map(Option::as_ref).collect();
            let flat: Vec<f32> = rows?.into_iter().flatten().copied().collect();
            Some(features(tower, side, &flat, &device))
        };
        let mut rows = vec![Vec::new(); self.labelled.len()];
        let mut add = |found: Option<Vec<Vec<f32>>>| {
            if let Some(found) = found {
                rows.iter_mut().zip(found).for_each(|(r, f)| r.extend(f));
            }
        };
        add(of(&towers.first, &recipe.first));
        if recipe.second.view != recipe.first.view {
            add(of(&towers.second, &recipe.second));
        }
        let (found, intensities) = self.probe(&rows);
        let subjects: Vec<&str> = self.labelled.iter().map(|m| m.pair.subject()).collect();
        let classes: Vec<usize> = self.labelled.iter().map(|m| m.class.map_or(0, |c| c as usize)).collect();
        let few = FEW.map(|n| few(&rows, &classes, &subjects, n)).to_vec();
        let real = self.real_few(&towers, &recipe, &device);
        Ok(Outcome { rows: classes.into_iter().zip(found).collect(), intensities, few, real, retrieval })
    }

    /// Ten folds by person: predicted class and AU intensities of every labelled pair.
    fn probe(&self, rows: &[Vec<f32>]) -> (Vec<usize>, Vec<Vec<f32>>) {
        let subjects: Vec<&str> = self.labelled.iter().map(|m| m.pair.subject()).collect();
        let class = |i: usize| self.labelled[i].class.map_or(0, |c| c as usize);
        let mut found = vec![0; rows.len()];
        let mut aus = vec![vec![0.0f32; AU_COUNT]; rows.len()];
        let parts = folds(&subjects, 10, self.args.seed);
        let done: Vec<Vec<(usize, usize, Vec<f32>)>> = parts
            .par_iter()
            .map(|fold| {
                let train: Vec<usize> = (0..rows.len()).filter(|i| !fold.contains(i)).collect();
                let x: Vec<&[f32]> = train.iter().map(|&i| &rows[i][..]).collect();
                let y: Vec<usize> = train.iter().map(|&i| class(i)).collect();
                let targets: Vec<&[f32]> = train.iter().map(|&i| &self.labelled[i].truth[..]).collect();
                let (model, ridge) =
                    (Softmax::fit(&x, &y, 3, PRIOR), Ridge::fit(&x, &targets, f64::from(PRIOR)));
                fold.iter().map(|&i| (i, model.predict(&rows[i]), ridge.predict(&rows[i]))).collect()
            })
            .collect();
        for (i, class, intensities) in done.into_iter().flatten() {
            found[i] = class;
            aus[i] = intensities;
        }
        (found, aus)
    }

    /// Few labels on real samples by the motion encoder, where the recipe has one.
    fn real_few(
        &self,
        towers: &Pairs<Cpu>,
        recipe: &Recipe,
        device: &burn::tensor::Device<Cpu>,
    ) -> Vec<Vec<f64>> {
        let (tower, side) = match (recipe.first.view, recipe.second.view) {
            (View::Motion, _) => (&towers.first, &recipe.first),
            (_, View::Motion) => (&towers.second, &recipe.second),
            _ => return Vec::new(),
        };
        if self.real.is_empty() {
            return Vec::new();
        }
        let flat: Vec<f32> = self.real.iter().flat_map(|f| f.motion.iter().copied()).collect();
        let rows = features(tower, side, &flat, device);
        // Subjects of two databases may share a name.
        let people: Vec<String> = self.real.iter().map(|f| format!("{}/{}", f.database, f.subject)).collect();
        let subjects: Vec<&str> = people.iter().map(String::as_str).collect();
        let classes: Vec<usize> = self.real.iter().map(|f| f.class).collect();
        FEW.map(|n| few(&rows, &classes, &subjects, n)).to_vec()
    }

    fn print(&self, variants: &[Variant], outcomes: &[Vec<Outcome>]) {
        let people: Vec<&str> = self.labelled.iter().map(|m| m.pair.subject()).collect();
        let truth: Vec<&[f32]> = self.labelled.iter().map(|m| &m.truth[..]).collect();
        let whole: Vec<usize> = (0..people.len()).collect();
        let reference = &outcomes[0];
        let table: Vec<Value> = variants
            .iter()
            .zip(outcomes)
            .map(|(v, o)| {
                let each = |f: &dyn Fn(&Outcome) -> f64| -> Vec<f64> { o.iter().map(f).collect() };
                let uf1_of_seed = each(&|o| uf1_uar(&o.rows, 3).0);
                let deviation = |v: &[f64]| {
                    let m = mean(v);
                    (v.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (v.len().max(2) - 1) as f64).sqrt()
                };
                let (low, high) =
                    over_people(&people, self.args.seed, |picks| uf1(o, picks) - uf1(reference, picks));
                let column = |pick: &dyn Fn(&Outcome) -> &Vec<Vec<f64>>| -> Vec<f64> {
                    let n = pick(&o[0]).len();
                    (0..n).map(|k| mean(&each(&|o| mean(&pick(o)[k])))).collect()
                };
                json!({
                    "name": v.name, "pairs": v.pool.len(), "uf1": mean(&uf1_of_seed),
                    "uf1_sd": deviation(&uf1_of_seed), "against_first": [low, high], "au": au(o, &truth, &whole), "few": column(&|o| &o.few),
                    "real_few": column(&|o| &o.real),
                    "retrieval": mean(&each(&|o| 0.5 * f64::from(o.retrieval[0] + o.retrieval[1]))),
                })
            })
            .collect();
        let contrasts: Vec<Value> = self
            .contrasts()
            .iter()
            .map(|&(ours, theirs)| {
                let (a, b) = (&outcomes[ours], &outcomes[theirs]);
                let class = over_people(&people, self.args.seed, |p| uf1(a, p) - uf1(b, p));
                let aus = over_people(&people, self.args.seed, |p| au(a, &truth, p) - au(b, &truth, p));
                let real: Vec<_> =
                    (0..a[0].real.len()).map(|k| over_draws(a, b, k, self.args.seed)).collect();
                json!({
                    "of": variants[ours].name, "less": variants[theirs].name, "uf1": class, "au": aus,
                    "real_few": real,
                })
            })
            .collect();
        let counts: BTreeMap<String, [usize; 2]> =
            self.pool.iter().zip(&self.kept).fold(BTreeMap::new(), |mut sums, (made, reason)| {
                let name = serde_json::to_value(made.what).ok().and_then(|v| v.as_str().map(str::to_owned));
                let sum = sums.entry(name.unwrap_or_default()).or_insert([0; 2]);
                sum[0] += usize::from(*reason == Reason::Kept);
                sum[1] += 1;
                sums
            });
        if self.args.json {
            println!(
                "{}",
                json!({
                    "kept_of": counts, "rows": table, "contrasts": contrasts, "real_samples": self.real.len()
                })
            );
            return;
        }
        let kept: Vec<String> = counts.iter().map(|(what, [k, n])| format!("{what} {k} of {n}")).collect();
        println!("kept by the pair filter: {}", kept.join(", "));
        let few_heads = FEW.map(|n| format!("{n} people")).join(" | ");
        println!(
            "| pretraining | pairs | UF1 (sd) | difference, 95 % | AU r | {few_heads} | real: {few_heads} | retrieval |"
        );
        println!("|---|---|---|---|---|{}{}---|", "---|".repeat(FEW.len()), "---|".repeat(FEW.len()));
        for row in &table {
            let number = |v: &Value| v.as_f64().map_or("-".into(), |x| format!("{x:.3}"));
            let list = |v: &Value| (0..FEW.len()).map(|k| number(&v[k])).collect::<Vec<_>>().join(" | ");
            println!(
                "| {} | {} | {} ({}) | {} to {} | {} | {} | {} | {} |",
                row["name"].as_str().unwrap_or_default(),
                row["pairs"],
                number(&row["uf1"]),
                number(&row["uf1_sd"]),
                number(&row["against_first"][0]),
                number(&row["against_first"][1]),
                number(&row["au"]),
                list(&row["few"]),
                list(&row["real_few"]),
                number(&row["retrieval"])
            );
        }
        if contrasts.is_empty() {
            return;
        }
        println!("\n| difference, 95 % | less | UF1 | AU r | real: {few_heads} |");
        println!("|---|---|---|---|{}", "---|".repeat(FEW.len()));
        for row in &contrasts {
            let interval = |v: &Value| match (v[0].as_f64(), v[1].as_f64()) {
                (Some(low), Some(high)) => format!("{low:.3} to {high:.3}"),
                _ => "-".into(),
            };
            let real: Vec<String> = (0..FEW.len()).map(|k| interval(&row["real_few"][k])).collect();
            println!(
                "| {} | {} | {} | {} | {} |",
                row["of"].as_str().unwrap_or_default(),
                row["less"].as_str().unwrap_or_default(),
                interval(&row["uf1"]),
                interval(&row["au"]),
                real.join(" | ")
            );
        }
    }
}
