//! `glint-pretrain judge`: trains the judge of candidates.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use glint::au::UNIT_COUNT;
use glint::pipeline::Models;
use glint::spot::{Candidate, Cause, Judge, JudgeSpec, NAMES, Rejection, Settings, is_same};
use rand::Rng;
use rayon::prelude::*;
use serde_json::json;

use crate::augment::generator;
use crate::corpus::person::{Split, portraits_alone};
use crate::corpus::plan::{self, Cast, Content};
use crate::run::Run;
use crate::spotting::real;
use crate::spotting::score::iou;
use crate::spotting::trace::{self, Trace};
use crate::train::Schedule;
use crate::train::judge::{Case, HIDDEN, train, truth, untrained};

/// Films people who train in sequences of all that living faces do, through the daemon's own pipeline, trains the judge on the
/// candidates that its spotter finds, and writes judge.bin and judge.toml. The threshold is chosen on others of them.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain judge --assets ../data --out models --seed 1")]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long, required_unless_present = "data")]
    assets: Option<PathBuf>,
    /// Folder of recorded sequences, ID.avi and ID.json, to train on instead: another world.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["assets", "sequences"])]
    data: Option<PathBuf>,
    /// Folder of recorded sequences, or of real footage with truth.json, on which the result is reported; nothing is
    /// chosen by it. May be given more than once.
    #[arg(long, value_name = "DIR")]
    report: Vec<PathBuf>,
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Folder of model files that film; without it those that are compiled in.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Seed of people, sequences and weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Sequences of 14 s; a fifth of them chooses the threshold.
    #[arg(long, default_value_t = 400)]
    sequences: u64,
    /// Folder that keeps what was filmed and watched: sequences that are there already are not filmed again.
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// Table of all candidates: where and when, what each was, how likely it is a micro-expression, and its measures.
    #[arg(long, value_name = "FILE.csv")]
    table: Option<PathBuf>,
    /// Optimiser steps of 256 candidates.
    #[arg(long, default_value_t = 3000)]
    steps: usize,
    /// False alarms a minute, among the distractors of these sequences, that the threshold may allow.
    #[arg(long, default_value_t = 2.0)]
    false_per_min: f64,
}

/// Weight decay: of .02, .1 and .3 the most that costs nothing in world A.
const DECAY: f32 = 0.3;
/// Of so many sequences, one chooses the threshold.
const CHOOSES: u64 = 5;
/// People for each of whom so many sequences are made.
const SEQUENCES_A_PERSON: u64 = 2;

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.sequences >= 20, "--sequences: at least 20");
    // What is filmed does not depend on the judge, and one of other measures could not be read.
    let models = match &args.models {
        Some(dir) => Models::with_judge(dir, untrained())?,
        None => Models { judge: untrained(), ..Models::embedded()? },
    };
    let schedule = Schedule { steps: args.steps, batch: 256, learning_rate: 2e-3, weight_decay: DECAY };
    let run = Run::start("judge", args.seed, &schedule, false)?;
    let traces = match (&args.data, &args.assets) {
        (Some(dir), _) => recorded(dir, args, &models)?,
        (None, Some(assets)) => film(args, assets, &models)?,
        (None, None) => bail!("one of --assets and --data is needed"),
    };
    ensure!(traces.len() >= 2 * CHOOSES as usize, "{} sequences; at least {}", traces.len(), 2 * CHOOSES);
    let thresholds = models.au.spec.thresholds.by_unit().map_err(anyhow::Error::msg)?;
    let found = candidates(&traces, thresholds, 1.0, &vec![0.0; Judge::numbers(HIDDEN)]);
    let (mut cases, mut counts) = (Vec::new(), [0usize; Cause::ALL.len()]);
    for (_, (trace, found)) in learners(&traces, &found) {
        for c in &found.candidates {
            if let Some(cause) = truth(c, &trace.micros, &trace.spans)
                && (cause != Cause::Micro || is_best(c, trace, &found.candidates))
            {
                counts[cause as usize] += 1;
                cases.push(Case { measures: *c.measures, cause });
            }
        }
    }
    eprintln!("{} candidates: {}", cases.len(), words(&counts));
    let numbers = train(&cases, &schedule, args.seed, &run)?;
    let judged = candidates(&traces, thresholds, 1.0, &numbers);
    let tuning: Vec<_> =
        traces.iter().zip(&judged).enumerate().filter(|(i, _)| chooses(*i)).map(|(_, p)| p).collect();
    let curve: Vec<(f32, Score)> =
        (1..50).map(|k| 0.02 * k as f32).map(|t| (t, score(&tuning, t, 0.0))).collect();
    for (t, s) in curve.iter().step_by(4) {
        println!("{t:.2}  {}", s.line());
    }
    let (threshold, score) = chosen(&curve, args.false_per_min)
        .context("no threshold keeps the false alarms under --false-per-min: train on more sequences")?;
    println!("threshold {threshold:.2}: {}", score.line());
    let mut table = Table::create(args.table.as_deref())?;
    table.add("trained", &traces, &judged)?;
    for dir in &args.report {
        let others = recorded(dir, args, &models)?;
        let judged = candidates(&others, thresholds, 1.0, &numbers);
        table.add(&dir.display().to_string(), &others, &judged)?;
        let pairs: Vec<_> = others.iter().zip(&judged).collect();
        // What moves less in real footage cannot be seen by a person either.
        let least_px = if dir.join("truth.json").exists() { real::VISIBLE_PX } else { 0.0 };
        println!("{}: {}", dir.display(), self::score(&pairs, *threshold, least_px).line());
        for t in [0.3, 0.5, 0.7, 0.9] {
            println!("  at {t}: {}", self::score(&pairs, t, least_px).line());
        }
    }
    table.finish()?;
    run.log(&json!({"candidates": cases.len(), "threshold": threshold, "f1": score.f1(),
        "false_per_min": score.per_min(score.wrong), "recall_of_candidates": score.reached()}))?;
    run.finish()?;
    let material = match &args.data {
        Some(_) => "--data DIR".to_owned(),
        None => format!("--assets DIR --sequences {}", args.sequences),
    };
    let made_by = format!(
        "glint-pretrain judge {material} --seed {} --steps {} --false-per-min {}",
        args.seed, args.steps, args.false_per_min
    );
    let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
    crate::ship::write(&args.out, "judge", "bin", &bytes, &made_by, |file| JudgeSpec {
        file,
        hidden: HIDDEN,
        threshold: *threshold,
        measures: NAMES.map(str::to_owned).into(),
    })
}

/// Thresholds with an F1 so little under the best one are as good: the highest of them gives the fewest false alarms.
const AS_GOOD: f64 = 0.005;

/// The threshold that is shipped, of those that keep false alarms under a limit.
fn chosen(curve: &[(f32, Score)], false_per_min: f64) -> Option<&(f32, Score)> {
    let allowed = || curve.iter().filter(|(_, s)| s.per_min(s.wrong) <= false_per_min);
    let best = allowed().map(|(_, s)| s.f1()).max_by(f64::total_cmp)?;
    allowed().rfind(|(_, s)| s.f1() >= best - AS_GOOD)
}

/// Whether no other candidate meets the same movement better: what moves beside it is not told and teaches nothing.
fn is_best(c: &Candidate, trace: &Trace, all: &[Candidate]) -> bool {
    let overlap = |c: &Candidate, m: &plan::Micro| iou((c.onset_ns, c.offset_ns), (m.onset_ns, m.offset_ns));
    let met = trace.micros.iter().max_by(|a, b| overlap(c, a).total_cmp(&overlap(c, b)));
    met.is_none_or(|m| all.iter().all(|other| overlap(other, m) <= overlap(c, m)))
}

fn chooses(index: usize) -> bool {
    (index as u64 / SEQUENCES_A_PERSON).is_multiple_of(CHOOSES)
}

fn learners<'a>(
    traces: &'a [Trace],
    found: &'a [Found],
) -> impl Iterator<Item = (usize, (&'a Trace, &'a Found))> {
    traces.iter().zip(found).enumerate().filter(|(i, _)| !chooses(*i))
}

fn words(counts: &[usize]) -> String {
    Cause::ALL.iter().zip(counts).map(|(c, n)| format!("{} {n}", c.word())).collect::<Vec<_>>().join(", ")
}

/// Frame rates, and how often each comes.
const RATES: [(f64, u32); 6] = [(25.0, 3), (30.0, 7), (50.0, 2), (60.0, 2), (100.0, 5), (200.0, 1)];

/// Recorded sequences, watched in order of their names, or taken from what `--traces` keeps of them.
fn recorded(dir: &Path, args: &Args, models: &Models) -> Result<Vec<Trace>> {
    let files = trace::list(dir)?;
    let bar = crate::run::bar("watched", files.len() as u64);
    let out = files
        .into_par_iter()
        .map(|(path, truth)| {
            let kept = args.traces.as_ref().map(|traces| kept(traces, &path)).transpose()?;
            let trace = match &kept {
                Some(kept) if is_newer(kept, &path) => Trace::read(kept)?,
                _ => {
                    let trace = trace::recorded(&path, truth, models)?;
                    kept.map_or(Ok(()), |kept| trace.write(&kept))?;
                    trace
                }
            };
            bar.inc(1);
            Ok(trace)
        })
        .collect();
    bar.finish_and_clear();
    out
}

/// Where `--traces` keeps what was watched of a clip: below its whole path, for clips of two folders may share a name.
fn kept(traces: &Path, clip: &Path) -> Result<PathBuf> {
    let whole = clip.canonicalize().with_context(|| clip.display().to_string())?;
    let kept = traces.join(whole.strip_prefix("/").unwrap_or(&whole)).with_extension("trace");
    let dir = kept.parent().unwrap_or(traces);
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    Ok(kept)
}

/// Whether a trace was written after its clip and the clip's truth.
fn is_newer(kept: &Path, clip: &Path) -> bool {
    let written = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let truths = [clip.to_owned(), clip.with_extension("json"), clip.with_file_name("truth.json")];
    let latest = truths.iter().filter_map(|p| written(p)).max();
    written(kept) > latest
}

fn film(args: &Args, assets: &Path, models: &Models) -> Result<Vec<Trace>> {
    if let Some(dir) = &args.traces {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    let path = |i: u64| args.traces.as_ref().map(|dir| dir.join(format!("{}-{i:05}.trace", args.seed)));
    let missing = (0..args.sequences).any(|i| path(i).is_none_or(|p| !p.exists()));
    let cast = if missing { Some(cast(assets, args)?) } else { None };
    let bar = crate::run::bar("filmed", args.sequences);
    let out = (0..args.sequences)
        .into_par_iter()
        .map(|i| {
            let kept = path(i).filter(|p| p.exists());
            let trace = match (kept, &cast) {
                (Some(kept), _) => Trace::read(&kept)?,
                (None, Some(cast)) => {
                    let mut rng = generator(args.seed ^ 0x6a64, i);
                    let mut left = rng.random_range(0..RATES.iter().map(|r| r.1).sum());
                    let fps = RATES
                        .iter()
                        .find(|r| {
                            left < r.1 || {
                                left -= r.1;
                                false
                            }
                        })
                        .map_or(30.0, |r| r.0);
                    let seconds = Content::Living.seconds();
                    let mut s = plan::sequence(cast, Content::Living, seconds, args.seed, i);
                    s.person = cast.person(i / SEQUENCES_A_PERSON);
                    let trace = trace::film(s, fps, fps == 30.0 && rng.random_bool(0.15), models)?;
                    path(i).map_or(Ok(()), |p| trace.write(&p))?;
                    trace
                }
                (None, None) => unreachable!("a cast is loaded where a trace is missing"),
            };
            bar.inc(1);
            Ok(trace)
        })
        .collect();
    bar.finish_and_clear();
    out
}

fn cast(assets: &Path, args: &Args) -> Result<Cast> {
    let mut cast = Cast::load(assets, Split::Train, 2, args.seed)?;
    cast.people = portraits_alone(
        assets,
        Split::Train,
        args.sequences.div_ceil(SEQUENCES_A_PERSON) as usize,
        args.seed,
    )?;
    Ok(cast)
}

/// What gate, spotter and a network make of a trace.
struct Found {
    candidates: Vec<Candidate>,
    /// Share of the frames with an open gate.
    open: f64,
}

/// All candidates of each trace, judged by a network.
fn candidates(traces: &[Trace], thresholds: [f32; UNIT_COUNT], least: f32, numbers: &[f32]) -> Vec<Found> {
    let judge = Judge::new(HIDDEN, least, &standardised(numbers));
    let found = |t: &Trace| {
        let (candidates, open) = t.candidates(thresholds, &mut judge.clone());
        Found { candidates, open }
    };
    traces.par_iter().map(found).collect()
}

/// Scales of nothing are ones: the network that is not trained yet.
fn standardised(numbers: &[f32]) -> Vec<f32> {
    let mut out = numbers.to_vec();
    let measures = NAMES.len();
    out[measures..2 * measures].iter_mut().filter(|s| **s <= 0.0).for_each(|s| *s = 1.0);
    out
}

/// All candidates, a line each.
struct Table(Option<(PathBuf, BufWriter<File>)>);

impl Table {
    /// The table at `path`, with its first line; without a path nothing is written.
    fn create(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        let name = || path.display().to_string();
        let mut out = BufWriter::new(File::create(path).with_context(name)?);
        writeln!(
            out,
            "folder,sequence,fps,onset_ms,apex_ms,offset_ms,truth,rejected,score,{}",
            NAMES.join(",")
        )
        .with_context(name)?;
        Ok(Self(Some((path.to_owned(), out))))
    }

    fn add(&mut self, folder: &str, traces: &[Trace], found: &[Found]) -> Result<()> {
        let Some((path, out)) = &mut self.0 else { return Ok(()) };
        for (i, (trace, found)) in traces.iter().zip(found).enumerate() {
            for c in &found.candidates {
                let truth = truth(c, &trace.micros, &trace.spans).map_or("", Cause::word);
                let rejected = c.cause.map_or("", Rejection::word);
                let [onset, apex, offset] = [c.onset_ns, c.apex_ns, c.offset_ns].map(|t| t as f64 / 1e6);
                write!(out, "{folder},{i} {},{},{onset:.1},{apex:.1},{offset:.1}", trace.person, trace.fps)
                    .and_then(|()| write!(out, ",{truth},{rejected},{:.4}", c.score))
                    .and_then(|()| c.measures.iter().try_for_each(|m| write!(out, ",{m:.4}")))
                    .and_then(|()| writeln!(out))
                    .with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let Some((path, mut out)) = self.0 else { return Ok(()) };
        out.flush().with_context(|| path.display().to_string())
    }
}

/// What a threshold gives.
#[derive(Debug, Clone, Copy, Default)]
struct Score {
    movements: usize,
    found: usize,
    /// Movements that any candidate met.
    met: usize,
    wrong: usize,
    candidates: usize,
    minutes: f64,
    /// Minutes with an open gate.
    open: f64,
}

impl Score {
    fn f1(&self) -> f64 {
        2.0 * self.found as f64 / (self.movements + self.found + self.wrong).max(1) as f64
    }

    fn per_min(&self, count: usize) -> f64 {
        count as f64 / self.minutes.max(1e-9)
    }

    fn reached(&self) -> f64 {
        self.met as f64 / self.movements.max(1) as f64
    }

    fn line(&self) -> String {
        format!(
            "F1 {:.3}, recall {:.3} of {} ({:.3} of {:.1} candidates a minute), {:.2} false alarms a minute in {:.1}, \
             gate open {:.3}",
            self.f1(),
            self.found as f64 / self.movements.max(1) as f64,
            self.movements,
            self.reached(),
            self.per_min(self.candidates),
            self.per_min(self.wrong),
            self.minutes,
            self.open / self.minutes.max(1e-9)
        )
    }
}

/// Compares candidates with the truth; movements that travel less than `least_px` are neither right nor wrong.
fn score(pairs: &[(&Trace, &Found)], threshold: f32, least_px: f32) -> Score {
    let limits = Settings::default();
    let mut out = Score::default();
    for (trace, found) in pairs {
        let minutes = trace.seconds / 60.0;
        out.minutes += minutes;
        out.open += minutes * found.open;
        out.candidates += found.candidates.len();
        let short = |c: &&Candidate| ((c.offset_ns - c.onset_ns) as f32 / 1e6) <= limits.max_ms;
        let mut published: Vec<&Candidate> = Vec::new();
        for c in found.candidates.iter().filter(|c| c.score >= threshold && short(c)) {
            let span = |c: &Candidate| (c.onset_ns, c.offset_ns);
            if !published.iter().any(|p| is_same(span(p), span(c))) {
                published.push(c);
            }
        }
        let meets =
            |c: &Candidate, m: &plan::Micro| iou((c.onset_ns, c.offset_ns), (m.onset_ns, m.offset_ns)) >= 0.5;
        let mut used = vec![false; published.len()];
        for m in &trace.micros {
            let met = (0..published.len()).find(|&k| !used[k] && meets(published[k], m));
            met.into_iter().for_each(|k| used[k] = true);
            if m.travel_px >= least_px {
                out.movements += 1;
                out.met += usize::from(found.candidates.iter().any(|c| meets(c, m)));
                out.found += usize::from(met.is_some());
            }
        }
        out.wrong += used.iter().filter(|u| !**u).count();
    }
    out
}
