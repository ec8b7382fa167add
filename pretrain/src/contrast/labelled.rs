//! Labelled pairs for probe and fine-tuning, their folds by subject, and scores.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use glint::au::AU_COUNT;
use glint::pipeline::Models;
use rand::Rng;
use rayon::prelude::*;

use super::train::intensities;
use crate::augment::generator;
use crate::databases::crops::Cutter;
use crate::databases::labels::Protocol;
use crate::databases::{self, AnnotatedSample, Database, Length, LoadOptions};
use crate::pairs::{self, Pair};
use crate::run;
use crate::statistics::score::uf1_uar;

/// Where labelled pairs come from.
#[derive(Debug, Clone, clap::Args)]
pub struct Source {
    /// Folder of the database as it is published, or of a set of pairs.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The database; without it DIR is a set of pairs whose facts have `class` (or `emotion`) and `subject`.
    #[arg(long)]
    pub database: Option<Database>,
    /// Part of the database.
    #[arg(long)]
    pub part: Option<String>,
    /// Its sheet, where it does not lie under its published name.
    #[arg(long, value_name = "FILE")]
    pub sheet: Option<PathBuf>,
    /// Folder of its frames, if it has not the published name.
    #[arg(long, value_name = "DIR")]
    pub frames: Option<PathBuf>,
    /// Depth images below the folder of a clip, as `depth/{frame}.png`.
    #[arg(long, value_name = "PATTERN")]
    pub depth_pattern: Option<String>,
    /// Number of classes.
    #[arg(long, value_enum, default_value = "3")]
    pub protocol: Protocol,
}

/// One labelled pair.
#[derive(Debug, Clone)]
pub struct LabelledPair {
    /// Crops, and the facts.
    pub pair: Pair,
    /// The person.
    pub subject: String,
    /// Index among the classes of the protocol.
    pub class: usize,
    /// Intensities by AU, 0 to 5.
    pub aus: [f32; AU_COUNT],
}

/// Reads labelled pairs. Problems of a sheet, and rows whose faces cannot be cut, go to stderr and are left out.
pub fn load(source: &Source) -> Result<Vec<LabelledPair>> {
    let out = match source.database {
        Some(database) => of_database(database, source)?,
        None => of_pairs(source)?,
    };
    ensure!(!out.is_empty(), "{}: no pair has a class of this protocol", source.data.display());
    Ok(out)
}

fn of_pairs(source: &Source) -> Result<Vec<LabelledPair>> {
    if source.part.is_some()
        || source.sheet.is_some()
        || source.frames.is_some()
        || source.depth_pattern.is_some()
    {
        bail!("--part, --sheet, --frames and --depth-pattern belong to --database");
    }
    let mut out = Vec::new();
    pairs::read(&source.data, |pair| {
        let word = ["class", "emotion"].iter().find_map(|k| pair.facts[*k].as_str());
        if let Some(class) = word.and_then(|w| source.protocol.class(&databases::labels::emotion(w))) {
            let (subject, aus) = (pair.subject().to_owned(), intensities(&pair));
            out.push(LabelledPair { pair, subject, class, aus });
        }
        Ok(())
    })?;
    Ok(out)
}

fn of_database(database: Database, source: &Source) -> Result<Vec<LabelledPair>> {
    let options =
        LoadOptions { sheet: source.sheet.clone(), frames: source.frames.clone(), part: source.part.clone() };
    let loaded = databases::load(database, &source.data, &options)?;
    loaded.problems.iter().for_each(|p| eprintln!("{p}"));
    let wanted: Vec<(&AnnotatedSample, usize)> = loaded
        .samples
        .iter()
        .filter(|s| s.length == Length::Micro)
        .filter_map(|s| Some((s, s.class(source.protocol)?)))
        .collect();
    let models = Models::embedded()?;
    let bar = run::bar("faces", wanted.len() as u64);
    let cut: Vec<Result<LabelledPair>> = wanted
        .par_iter()
        .map_init(
            || Cutter::new(&models, source.depth_pattern.as_deref()),
            |cutter, (sample, class)| {
                bar.inc(1);
                let cutter = cutter.as_mut().map_err(|e| anyhow::anyhow!("{e:#}"))?;
                let crops = cutter.cut(sample).with_context(|| sample.id.clone())?;
                let facts = serde_json::json!({"subject": sample.subject, "emotion": sample.emotions});
                let id = sample.id.replace(['.', '/'], "_");
                let pair = Pair { id, crops, facts };
                Ok(LabelledPair {
                    pair,
                    subject: sample.subject.clone(),
                    class: *class,
                    aus: sample.intensities(),
                })
            },
        )
        .collect();
    bar.finish_and_clear();
    let mut out = Vec::new();
    for one in cut {
        match one {
            Ok(labelled) => out.push(labelled),
            Err(e) => eprintln!("left out: {e:#}"),
        }
    }
    Ok(out)
}

/// Folds by subject: nobody is in training and test at once. `count` 0 leaves one subject out at a time.
pub fn folds(subjects: &[&str], count: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut people: Vec<&str> = subjects.to_vec();
    people.sort_unstable();
    people.dedup();
    let mut rng = generator(seed, 0x666f_6c64);
    for i in (1..people.len()).rev() {
        people.swap(i, rng.random_range(0..=i));
    }
    let count = if count == 0 { people.len() } else { count.min(people.len()) };
    let mut out = vec![Vec::new(); count];
    for (i, subject) in subjects.iter().enumerate() {
        if let Some(at) = people.iter().position(|p| p == subject) {
            out[at % count].push(i);
        }
    }
    out
}

/// Predictions against the truth, by subject.
#[derive(Debug, Clone, Default)]
pub struct Scored {
    /// Subject, truth, prediction.
    pub rows: Vec<(String, usize, usize)>,
}

impl Scored {
    /// UF1 and UAR of all folds together.
    pub fn scores(&self, classes: usize) -> (f64, f64) {
        uf1_uar(&self.rows.iter().map(|(_, t, p)| (*t, *p)).collect::<Vec<_>>(), classes)
    }

    /// Interval of UF1 of 95 %, subjects drawn anew.
    pub fn interval(&self, classes: usize, seed: u64) -> (f64, f64) {
        let mut by_subject: std::collections::BTreeMap<&str, Vec<(usize, usize)>> = Default::default();
        for (subject, t, p) in &self.rows {
            by_subject.entry(subject).or_default().push((*t, *p));
        }
        let people: Vec<&Vec<(usize, usize)>> = by_subject.values().collect();
        let mut values: Vec<f64> = (0..1000)
            .map(|draw| {
                let mut rng = generator(seed, draw);
                let rows: Vec<_> = people
                    .iter()
                    .flat_map(|_| people[rng.random_range(0..people.len())].iter().copied())
                    .collect();
                uf1_uar(&rows, classes).0
            })
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        (values[24], values[974])
    }

    /// Rows of the confusion: truth by prediction.
    pub fn confusion(&self, classes: usize) -> Vec<Vec<usize>> {
        let mut out = vec![vec![0; classes]; classes];
        self.rows.iter().for_each(|(_, t, p)| out[*t][*p] += 1);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_keep_people_together() {
        let subjects = ["a", "b", "a", "c", "d", "b", "e"];
        for (count, expected) in [(0, 5), (2, 2), (9, 5)] {
            let folds = folds(&subjects, count, 3);
            assert_eq!(folds.len(), expected);
            let mut all: Vec<usize> = folds.iter().flatten().copied().collect();
            all.sort_unstable();
            assert_eq!(all, (0..7).collect::<Vec<_>>());
            for person in ["a", "b"] {
                let with = folds.iter().filter(|f| f.iter().any(|&i| subjects[i] == person)).count();
                assert_eq!(with, 1);
            }
        }
    }

    #[test]
    fn scores_by_hand() {
        // Class 0: 2 hits, 1 miss; class 1: 1 hit, 1 false positive.
        let rows = [(0, 0), (0, 0), (0, 1), (1, 1)];
        let scored =
            Scored { rows: rows.iter().enumerate().map(|(i, (t, p))| (format!("s{i}"), *t, *p)).collect() };
        let (uf1, uar) = scored.scores(2);
        assert!((uf1 - 0.5 * (0.8 + 2.0 / 3.0)).abs() < 1e-9 && (uar - 0.5 * (2.0 / 3.0 + 1.0)).abs() < 1e-9);
        let (low, high) = scored.interval(2, 1);
        assert!(low <= uf1 && uf1 <= high && high <= 1.0);
        assert_eq!(scored.confusion(2), [[2, 1], [0, 1]]);
    }
}
