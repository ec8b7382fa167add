//! What pretraining is worth to the student that ships: the same road with and without it, from teachers to the int8 file.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use glint::student::Student;
use serde_json::{Value, json};

use super::calibration::{Held, deployed};
use super::distil::{distil, material};
use super::export::quantized;
use super::recipe::StudentRecipe;
use super::teachers::{Start, Teachers};
use crate::backend::CpuTrain;
use crate::contrast;
use crate::contrast::encoder::Encoder;
use crate::contrast::material::Material;
use crate::contrast::recipe::ViewEncoding;
use crate::contrast::views::View;
use crate::recognition::megc::{self, FlowSample};
use crate::recognition::protocol::{Predictions, PreparedSamples, by_subject, few_adapted};
use crate::run::Run;
use crate::statistics::score::{BySubject, argmax, mean_sd};
use crate::train::student::TrainingSample;

/// Numbers of labelled subjects.
pub const FEW: [usize; 4] = [3, 6, 12, 24];
/// Draws of labelled subjects.
const DRAWS: u64 = 12;

/// What is compared.
pub struct WorthSettings {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    pub assets: PathBuf,
    /// Sets of unlabelled pairs.
    pub pairs: Vec<PathBuf>,
    /// Of these so many, a row each.
    pub counts: Vec<usize>,
    /// How encoders are pretrained.
    pub contrast: contrast::recipe::PretrainRecipe,
    /// How teachers and student are trained.
    pub recipe: StudentRecipe,
    /// Folder of published flow images.
    pub megc: Option<PathBuf>,
    /// Seeds of everything after the pairs.
    pub seeds: u64,
    /// The first of them.
    pub seed: u64,
}

/// One way to teachers, and what came of it.
pub struct Row {
    /// Its name.
    pub name: String,
    /// Pairs that encoders learned from, by origin.
    pub pairs: Vec<(String, u64)>,
    /// UF1 of teachers and of the int8 student on rendered people who train nothing, for each seed.
    rendered: Vec<[f64; 2]>,
    /// What the student says of real samples, for each seed.
    predictions: Predictions,
    /// UF1 with labels of [`FEW`] subjects, for each seed.
    few: Vec<Vec<f64>>,
}

/// An encoder of motion out of a pretraining.
struct Pretrained {
    side: ViewEncoding,
    encoder: Encoder<CpuTrain>,
    pairs: Vec<(String, u64)>,
    retrieval: [f32; 2],
}

/// The comparison.
pub struct Worth {
    /// Ways without pretraining first.
    pub rows: Vec<Row>,
    real: Vec<FlowSample>,
}

/// The ways without pretraining.
const NOTHING: [&str; 2] = ["perceptrons, drawn weights", "encoders, drawn weights"];

impl Worth {
    /// Trains and scores every row with every seed.
    pub fn measure(settings: &WorthSettings) -> Result<Self> {
        ensure!(!settings.counts.is_empty(), "--counts: at least one number of pairs");
        let real = settings.megc.as_deref().map_or(Ok(Vec::new()), megc::load)?;
        let names = NOTHING.into_iter().map(str::to_owned);
        let names = names.chain(settings.counts.iter().map(|n| format!("encoders pretrained on {n} pairs")));
        let mut rows: Vec<Row> = names
            .map(|name| Row {
                name,
                pairs: Vec::new(),
                rendered: Vec::new(),
                predictions: Vec::new(),
                few: Vec::new(),
            })
            .collect();
        let views: Vec<Material> = settings
            .counts
            .iter()
            .map(|&n| Material::read(&settings.pairs, &settings.contrast, n))
            .collect::<Result<_>>()?;
        for seed in (0..settings.seeds).map(|k| settings.seed + k) {
            let samples = material(&settings.recipe, &settings.assets, seed)?;
            let held = Held::render(&settings.recipe, &settings.assets, seed)?;
            let bench = Bench { settings, samples: &samples, held: &held, real: &real, seed };
            let encoders = bench.encoders(&views)?;
            let side = encoders[0].side.clone();
            bench.score(&mut rows[0], &Start::Nothing)?;
            bench.score(&mut rows[1], &Start::Encoder(side, None, Default::default()))?;
            for (row, pretrained) in rows[2..].iter_mut().zip(encoders) {
                let Pretrained { side, encoder, pairs, retrieval } = pretrained;
                eprintln!("{}: retrieval {:.3}, {:.3}", row.name, retrieval[0], retrieval[1]);
                row.pairs = pairs;
                bench.score(row, &Start::Encoder(side, Some(Box::new(encoder)), Default::default()))?;
            }
        }
        Ok(Self { rows, real })
    }

    fn by_subject(&self, row: &Row, database: Option<&str>) -> BySubject {
        by_subject(&self.real, &row.predictions, |s| database.is_none_or(|d| s.database == d))
    }

    fn databases(&self) -> Vec<&str> {
        let mut out: Vec<&str> = self.real.iter().map(|s| s.database.as_str()).collect();
        out.sort_unstable();
        out.dedup();
        out
    }

    /// Composite and databases of a row: mean and deviation of UF1, mean of UAR.
    fn real(&self, row: &Row) -> Vec<(String, (f64, f64), f64)> {
        if self.real.is_empty() {
            return Vec::new();
        }
        let parts = std::iter::once(None).chain(self.databases().into_iter().map(Some));
        parts
            .map(|database| {
                let totals = self.by_subject(row, database).totals();
                let uf1 = mean_sd(&totals.iter().map(|c| c.uf1()).collect::<Vec<_>>());
                let (uar, _) = mean_sd(&totals.iter().map(|c| c.uar()).collect::<Vec<_>>());
                (database.unwrap_or("composite").to_owned(), uf1, uar)
            })
            .collect()
    }

    /// Each pretrained row less the same network from drawn weights, on real samples: difference of UF1, p.
    fn paired(&self) -> Vec<(&str, f64, f64)> {
        if self.real.is_empty() {
            return Vec::new();
        }
        let reference = self.by_subject(&self.rows[1], None);
        let against = |row: &'_ Row| self.by_subject(row, None).paired(&reference, 1);
        self.rows[2..]
            .iter()
            .map(|row| {
                let (difference, p) = against(row);
                (row.name.as_str(), difference, p)
            })
            .collect()
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            let [teachers, student] = row.rendered();
            let real: serde_json::Map<String, Value> = self
                .real(row)
                .into_iter()
                .map(|(name, (uf1, sd), uar)| (name, json!({"uf1": uf1, "uf1_sd": sd, "uar": uar})))
                .collect();
            json!({
                "name": row.name, "pairs": row.pairs, "teachers_uf1": teachers.0, "teachers_uf1_sd": teachers.1,
                "student_uf1": student.0, "student_uf1_sd": student.1, "real": real, "few": row.few(),
            })
        };
        let paired: Vec<Value> = self
            .paired()
            .into_iter()
            .map(|(name, d, p)| json!({"of": name, "less": NOTHING[1], "uf1_difference": d, "p": p}))
            .collect();
        json!({"rows": self.rows.iter().map(row).collect::<Vec<_>>(), "paired": paired, "real_samples": self.real.len()})
    }

    /// As tables on stdout.
    pub fn print(&self) {
        let databases: String = self.databases().iter().map(|d| format!(" {d} |")).collect();
        let few: String = FEW.map(|n| format!(" {n} |")).concat();
        println!(
            "| teachers begin as | pairs | teachers (sd) | int8 student (sd) | real UF1/UAR (sd) |{databases}{few}"
        );
        println!(
            "|---|---|---|---|---|{}{}",
            "---|".repeat(self.databases().len()),
            "---|".repeat(FEW.len())
        );
        for row in &self.rows {
            let pairs: Vec<String> = row.pairs.iter().map(|(origin, n)| format!("{n} {origin}")).collect();
            let [teachers, student] = row.rendered().map(|(mean, sd)| format!("{mean:.3} ({sd:.3})"));
            let mut line = format!("| {} | {} | {teachers} | {student} |", row.name, pairs.join(", "));
            let real = self.real(row);
            if real.is_empty() {
                line += "  |";
            }
            for (k, (_, (uf1, sd), uar)) in real.iter().enumerate() {
                line += &format!(" {uf1:.3}/{uar:.3}");
                line += &if k == 0 { format!(" ({sd:.3}) |") } else { " |".to_owned() };
            }
            row.few().iter().for_each(|uf1| line += &format!(" {uf1:.3} |"));
            println!("{line}");
        }
        for (name, difference, p) in self.paired() {
            println!(
                "{name}, less {}: {difference:+.3} UF1 on real samples, p = {p:.3} (subjects exchanged)",
                NOTHING[1]
            );
        }
    }
}

impl Row {
    /// Mean and deviation of UF1 of teachers and student.
    fn rendered(&self) -> [(f64, f64); 2] {
        [0, 1].map(|k| mean_sd(&self.rendered.iter().map(|r| r[k]).collect::<Vec<_>>()))
    }

    /// Means over seeds.
    fn few(&self) -> Vec<f64> {
        let points = self.few.first().map_or(0, Vec::len);
        (0..points).map(|k| mean_sd(&self.few.iter().map(|f| f[k]).collect::<Vec<_>>()).0).collect()
    }
}

/// What all rows of one seed share.
struct Bench<'a> {
    settings: &'a WorthSettings,
    samples: &'a [TrainingSample],
    held: &'a Held,
    real: &'a [FlowSample],
    seed: u64,
}

impl Bench<'_> {
    /// Pretrains on each number of pairs.
    fn encoders(&self, views: &[Material]) -> Result<Vec<Pretrained>> {
        let recipe = &self.settings.contrast;
        let pretrain = |(&count, Material { train, held, sets }): (&usize, &Material)| {
            let dir = PathBuf::from(format!("out/evaluate-student/encoders-{count}-{}", self.seed));
            let run = Run::start_in(&dir, self.seed, recipe, false)?;
            let device = Default::default();
            let done = contrast::train::train::<CpuTrain>(recipe, train, held, &run, "pretrain", &device)?;
            let towers = [(&recipe.first, done.towers.first), (&recipe.second, done.towers.second)];
            let motion = towers.into_iter().find(|(side, _)| side.view == View::Motion);
            let Some((side, tower)) = motion else { anyhow::bail!("no encoder of the recipe sees motion") };
            let pairs = sets.iter().map(|s| (s.origin.clone(), s.count)).collect();
            Ok(Pretrained { side: side.clone(), encoder: tower.encoder, pairs, retrieval: done.retrieval })
        };
        self.settings.counts.iter().zip(views).map(pretrain).collect()
    }

    /// Teachers, student, int8, scores.
    fn score(&self, row: &mut Row, start: &Start) -> Result<()> {
        let recipe = &self.settings.recipe;
        let name: String = row.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let dir = PathBuf::from(format!("out/evaluate-student/{name}-{}", self.seed));
        let run = Run::start_in(&dir, self.seed, recipe, false)?;
        let teachers = Teachers::train(recipe, start, self.samples, self.seed, &run)?;
        let student = distil(recipe, self.samples, &teachers, self.seed, &run)?;
        let mut student = deployed(&quantized(&student.export(), self.samples)?)?;
        row.rendered.push(self.held.scores(&teachers, &mut student)?);
        if !self.real.is_empty() {
            self.score_real(row, &mut student)?;
        }
        // Rows take minutes each: what is known is said at once.
        let [teachers, int8] = row.rendered[row.rendered.len() - 1];
        eprintln!("{}, seed {}: teachers {teachers:.3}, student {int8:.3}", row.name, self.seed);
        run.finish()
    }

    /// As `evaluate megc2019 --zero-shot` and `evaluate few` do.
    fn score_real(&self, row: &mut Row, student: &mut Student) -> Result<()> {
        let predicted = self
            .real
            .iter()
            .map(|s| Ok(argmax(&student.probabilities(&s.motion).map_err(anyhow::Error::msg)?)))
            .collect::<Result<Vec<usize>>>()?;
        row.predictions.push(predicted);
        let material = PreparedSamples::new(self.real, student)?;
        let people = megc::subjects(self.real).len();
        let mean = |count: usize| -> Result<f64> {
            let scores = (0..DRAWS).map(|d| few_adapted(&material, count, d)).collect::<Result<Vec<_>>>()?;
            Ok(mean_sd(&scores).0)
        };
        row.few.push(FEW.into_iter().filter(|c| *c < people).map(mean).collect::<Result<_>>()?);
        Ok(())
    }
}
