//! What `evaluate spotting` watches: generated sequences, sequences of a folder, real footage.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use glint::pipeline::{Counters, Models};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use serde_json::Value;

use super::curve::{self, Weibull};
use super::intensity::{self, Reading};
use super::rate::{AtRate, Watched, add};
use super::real;
use super::report::{Groups, SpottingReport};
use super::score::Tally;
use super::watch::{self, WatchedClip};
use crate::corpus::plan::{self, Cast, Content};
use crate::corpus::{person, video};

/// Which people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum EvaluationSplit {
    /// Those on whom settings are chosen.
    Tune,
    /// Those who are held out.
    Test,
}

/// What is measured on sequences made for the purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Movements and distractors at each frame rate.
    Rates,
    /// Recall by intensity.
    Curve,
    /// Faces that do nothing.
    Still,
    /// AU intensities against the truth.
    Intensities,
}

/// What is made and watched.
#[derive(Debug, Clone)]
pub struct BenchPlan {
    /// A tenth of the material.
    pub quick: bool,
    /// Which people.
    pub split: EvaluationSplit,
    /// Frame rates.
    pub fps: Vec<u32>,
    /// Parts of the table; what is left out stays empty.
    pub parts: Vec<Part>,
    /// Seed of people and sequences.
    pub seed: u64,
}

/// People, half of them portraits and half rendered heads.
const PEOPLE: usize = 96;
const QUICK_PEOPLE: usize = 24;

/// How much is generated at a rate.
struct Amount {
    mixed: u64,
    distractors: u64,
}

impl BenchPlan {
    /// Sequences at a rate: half an hour of distractors at 30 and 100 frames/s, five minutes at others.
    fn amount(&self, fps: u32) -> Amount {
        let main = matches!(fps, 30 | 100);
        let full = Amount { mixed: if main { 80 } else { 40 }, distractors: if main { 120 } else { 20 } };
        match self.quick {
            false => full,
            true => Amount { mixed: full.mixed / 8, distractors: full.distractors / 10 },
        }
    }

    fn share(&self, full: u64) -> u64 {
        if self.quick { full / 8 } else { full }
    }
}

/// Everything that is measured on sequences made for the purpose.
pub fn generated(
    plan: &BenchPlan,
    assets: &Path,
    models: Models,
    clips: Vec<(String, WatchedClip)>,
) -> Result<SpottingReport> {
    let split = match plan.split {
        EvaluationSplit::Tune => person::Split::Train,
        EvaluationSplit::Test => person::Split::HeldOut,
    };
    let cast = Cast::load(assets, split, if plan.quick { QUICK_PEOPLE } else { PEOPLE }, plan.seed)?;
    let bench = Bench { plan, models, cast };
    let wanted = |part| plan.parts.contains(&part);
    let mut rates = Vec::new();
    for &fps in plan.fps.iter().filter(|_| wanted(Part::Rates)) {
        let rate = bench.at_rate(fps)?;
        // The whole takes half an hour: what is known is said at once.
        eprintln!("{}", rate.line());
        rates.push(rate);
    }
    let curve = if wanted(Part::Curve) { bench.curve()? } else { Tally::default() };
    let still = if wanted(Part::Still) { bench.still()? } else { Counters::default() };
    let (readings, lost_poses) =
        if wanted(Part::Intensities) { bench.intensities()? } else { (Vec::new(), 0) };
    let settings = BTreeMap::from([
        ("split", format!("{:?}", plan.split)),
        ("fps", format!("{:?}", plan.fps)),
        ("parts", format!("{:?}", plan.parts)),
        ("quick", plan.quick.to_string()),
    ]);
    let run = crate::run::Run::start("spotting", plan.seed, &settings, false)?;
    let folder = run.dir();
    let fit = Weibull::fit(&curve.movements);
    if wanted(Part::Curve) {
        let bins = curve::bins(&curve.movements);
        curve::write_csv(&bins, &folder.join("recall.csv"))?;
        let path = folder.join("recall.svg");
        let picture =
            curve::draw(&bins, &fit).svg("Share of the movements found at 100 frames/s, by intensity");
        std::fs::write(&path, picture).with_context(|| path.display().to_string())?;
        eprintln!("{}: recall.csv, recall.svg", folder.display());
    }
    Ok(SpottingReport {
        rates,
        curve,
        fit,
        still,
        readings,
        lost_poses,
        clips,
        real: Vec::new(),
        groups: Groups::new(),
    })
}

/// Real footage with known movements.
pub fn filmed(dir: &Path, models: &Models) -> Result<real::FootageReport> {
    let recordings = real::load(dir)?;
    let seen =
        each("real footage", recordings.len() as u64, |i| watch::clip(&recordings[i as usize].path, models))?;
    Ok(real::compare(&recordings, &seen))
}

/// What can be measured on a folder of sequences: those without movements tell the false alarms.
pub fn recorded(dir: &Path, models: &Models, clips: Vec<(String, WatchedClip)>) -> Result<SpottingReport> {
    let files = video::list(dir)?;
    let seen = each("sequences", files.len() as u64, |i| watch::clip(&files[i as usize].0, models))?;
    let (mut rates, mut curve) = (BTreeMap::new(), Tally::default());
    let mut groups = Groups::new();
    for ((_, truth), seen) in files.into_iter().zip(seen) {
        let fps = truth.fps.round() as u32;
        let rate = rates.entry(fps).or_insert_with(|| AtRate::new(fps));
        let w = Watched { micros: truth.micros(), distractors: truth.spans(), seen };
        if w.micros.is_empty() {
            rate.add_distractors(&w);
        } else {
            rate.add_movements(&w);
            curve.add(&w.micros, &w.seen.movements);
            add_to_groups(&mut groups, &truth.traits, &w);
        }
    }
    let fit = Weibull::fit(&curve.movements);
    let (rates, still) = (rates.into_values().collect(), Counters::default());
    Ok(SpottingReport {
        rates,
        curve,
        fit,
        still,
        readings: Vec::new(),
        lost_poses: 0,
        clips,
        real: Vec::new(),
        groups,
    })
}

/// Counts a sequence for each group that its person belongs to.
fn add_to_groups(groups: &mut Groups, traits: &BTreeMap<String, Value>, w: &Watched) {
    for (name, value) in traits.iter().filter_map(|(name, value)| Some((name, group(value)?))) {
        let tally = groups.entry(name.clone()).or_default().entry(value).or_default();
        tally.add(&w.micros, &w.seen.movements);
    }
}

/// The group of people that have a trait; `None` of a number, which makes no group.
fn group(value: &Value) -> Option<String> {
    match value {
        Value::String(word) => Some(word.clone()),
        Value::Bool(has) => Some(if *has { "yes" } else { "no" }.into()),
        _ => None,
    }
}

/// What every part needs.
struct Bench<'a> {
    plan: &'a BenchPlan,
    models: Models,
    cast: Cast,
}

/// `count` items in parallel, with a bar on stderr.
fn each<T: Send>(what: &str, count: u64, item: impl Fn(u64) -> Result<T> + Sync) -> Result<Vec<T>> {
    let bar = ProgressBar::new(count).with_message(what.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{msg:24} {bar:40} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    let out = (0..count).into_par_iter().map(|i| item(i).inspect(|_| bar.inc(1))).collect();
    bar.finish_and_clear();
    out
}

/// What is said of real clips.
pub fn clips(dir: &Path, models: &Models) -> Result<Vec<(String, WatchedClip)>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        paths.push(entry.with_context(|| dir.display().to_string())?.path());
    }
    paths.sort();
    each("real clips", paths.len() as u64, |i| {
        let path = &paths[i as usize];
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        Ok((name, watch::clip(path, models)?))
    })
}

impl Bench<'_> {
    fn sequences(&self, what: &str, content: Content, count: u64, fps: u32) -> Result<Vec<Watched>> {
        each(what, count, |i| {
            let s = plan::sequence(&self.cast, content, content.seconds(), self.plan.seed, i);
            let (micros, distractors) = (s.micros.clone(), s.distractors.clone());
            let seen = watch::sequence(s, f64::from(fps), &self.models)?;
            Ok(Watched { micros, distractors, seen })
        })
    }

    fn at_rate(&self, fps: u32) -> Result<AtRate> {
        let amount = self.plan.amount(fps);
        let mut out = AtRate::new(fps);
        for w in self.sequences(&format!("movements at {fps}/s"), Content::Mixed, amount.mixed, fps)? {
            out.add_movements(&w);
        }
        for w in
            self.sequences(&format!("distractors at {fps}/s"), Content::Distractors, amount.distractors, fps)?
        {
            out.add_distractors(&w);
        }
        Ok(out)
    }

    fn curve(&self) -> Result<Tally> {
        let mut tally = Tally::default();
        for w in self.sequences("recall by intensity", Content::Curve, self.plan.share(48), 100)? {
            tally.add(&w.micros, &w.seen.movements);
        }
        Ok(tally)
    }

    fn still(&self) -> Result<Counters> {
        let mut sum = Counters::default();
        for w in self.sequences("still faces", Content::Still, self.plan.share(24), 60)? {
            add(&mut sum, &w.seen.counters);
        }
        Ok(sum)
    }

    fn intensities(&self) -> Result<(Vec<Reading>, usize)> {
        let people = each("AU intensities", self.plan.share(120), |i| {
            intensity::poses(&self.cast, &self.models, self.plan.seed, i)
        })?;
        let lost = people.iter().map(|p| p.lost).sum();
        Ok((people.into_iter().flat_map(|p| p.readings).collect(), lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spotting::score::tests::{micro, movement};

    #[test]
    fn movements_are_counted_for_each_group_of_people() {
        let watched = |movements: Vec<_>| Watched {
            micros: vec![micro(1000, 1300)],
            distractors: Vec::new(),
            seen: WatchedClip { movements, ..WatchedClip::default() },
        };
        let traits = |text: &str| serde_json::from_str(text).expect("JSON");
        let mut groups = Groups::new();
        let bearded = traits(r#"{"sex": "male", "glasses": true, "hair_reflectance": 0.1}"#);
        add_to_groups(&mut groups, &bearded, &watched(vec![movement(1000, 1300)]));
        add_to_groups(&mut groups, &traits(r#"{"sex": "male", "glasses": false}"#), &watched(Vec::new()));
        let counts: Vec<_> = groups
            .iter()
            .flat_map(|(name, g)| {
                g.iter().map(move |(v, t)| format!("{name} {v}: {} of {}", t.hits, t.truth))
            })
            .collect();
        assert_eq!(counts, ["glasses no: 0 of 1", "glasses yes: 1 of 1", "sex male: 1 of 2"]);
    }
}
