//! `glint-pretrain evaluate spotting`: how well movements are found, and what they are taken for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use glint::au::AUS;
use glint::pipeline::{Counters, Models};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::corpus::plan::{self, Cast, Content, Distractor};
use crate::corpus::{person, video};
use crate::spotting::curve::{self, Weibull};
use crate::spotting::intensity::{self, Agreement, Reading};
use crate::spotting::real;
use crate::spotting::score::{Tally, binomial_interval, cause, poisson_interval};
use crate::spotting::watch::{self, Seen};

/// Which people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
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

/// Films people who are held out in generated sequences, or takes sequences of a folder, runs them through the daemon's
/// own pipeline and compares what was published with the truth.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain evaluate spotting --assets ../data --quick --clips videos")]
pub struct Args {
    /// Folder with portraits, ict and priors: sequences are made of them.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["data", "real"])]
    assets: Option<PathBuf>,
    /// Folder of sequences, ID.avi and ID.json, as `corpus --video` writes them.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["assets", "split", "fps", "parts", "seed", "quick"])]
    data: Option<PathBuf>,
    /// Folder of real footage with movements of known times in it: `truth.json` and NAME.avi. May be given more than once.
    #[arg(long, value_name = "DIR")]
    real: Vec<PathBuf>,
    /// Folder of model files; without it those that are compiled in.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Folder of real clips on which nothing is annotated: events, rejections and abstention are counted.
    #[arg(long, value_name = "DIR")]
    clips: Option<PathBuf>,
    /// A tenth of the material.
    #[arg(long)]
    quick: bool,
    /// Which people: settings are chosen on `tune`, figures are reported on `test`.
    #[arg(long, value_enum, default_value = "test")]
    split: Split,
    /// Frame rates.
    #[arg(long, value_delimiter = ',', default_values_t = [30, 60, 100, 200])]
    fps: Vec<u32>,
    /// Parts of the table; what is left out stays empty.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["rates", "curve", "still", "intensities"])]
    parts: Vec<Part>,
    /// Seed of the sequences.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object on stdout instead of tables.
    #[arg(long)]
    json: bool,
}

/// People, half of them portraits and half rendered heads.
const PEOPLE: usize = 96;
const QUICK_PEOPLE: usize = 24;

/// How much is generated at a rate.
struct Amount {
    mixed: u64,
    distractors: u64,
}

impl Args {
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

/// What was found at one frame rate.
struct AtRate {
    fps: u32,
    tally: Tally,
    /// Published movements that are none, in sequences with movements, and the length of these.
    wrong: usize,
    mixed_minutes: f64,
    false_alarms: u64,
    causes: BTreeMap<String, u64>,
    minutes: f64,
    rejected: Counters,
    moving: u64,
    frames: u64,
}

impl AtRate {
    fn new(fps: u32) -> Self {
        Self {
            fps,
            tally: Tally::default(),
            wrong: 0,
            mixed_minutes: 0.0,
            false_alarms: 0,
            causes: BTreeMap::new(),
            minutes: 0.0,
            rejected: Counters::default(),
            moving: 0,
            frames: 0,
        }
    }

    /// The row of the table.
    fn line(&self) -> String {
        let [onset, apex, offset] = self.tally.median_errors_ms();
        let (low, high) = poisson_interval(self.false_alarms);
        let (small, of) = self.tally.below(SMALL_PX);
        format!(
            "{:3}  {:5.3}  {:5.3}  {:5.3} ({:3})   {:5.3} ({of:3})  {onset:6.1} {apex:5.1} {offset:5.1}     {:6.2} ({:.2}-{:.2}) {:6.1}",
            self.fps,
            self.tally.f1(),
            self.tally.precision(),
            self.tally.recall(),
            self.tally.truth,
            share(small as u64, of as u64),
            self.false_alarms as f64 / self.minutes,
            low / self.minutes,
            high / self.minutes,
            self.minutes
        )
    }

    /// Counts what was found of movements, and beside them.
    fn add_movements(&mut self, w: &Watched) {
        let before = (self.tally.found, self.tally.hits);
        self.tally.add(&w.micros, &w.seen.found);
        self.wrong += (self.tally.found - before.0) - (self.tally.hits - before.1);
        self.mixed_minutes += w.seen.seconds / 60.0;
    }

    /// Counts what was found where no micro-expression is.
    fn add_distractors(&mut self, w: &Watched) {
        self.false_alarms += w.seen.found.len() as u64;
        self.minutes += w.seen.seconds / 60.0;
        self.moving += w.seen.moving;
        self.frames += w.seen.counters.frames;
        add(&mut self.rejected, &w.seen.counters);
        for found in &w.seen.found {
            *self.causes.entry(word(cause(found, &w.distractors))).or_default() += 1;
        }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if let Some(bad) = args.fps.iter().find(|f| !(20..=500).contains(*f)) {
        bail!("--fps: {bad}; allowed: 20 to 500");
    }
    let models = match &args.models {
        Some(dir) => Models::load(dir)?,
        None => Models::embedded()?,
    };
    let clips = match &args.clips {
        Some(dir) => clips(dir, &models)?,
        None => {
            eprintln!("no --clips: real clips are left out");
            Vec::new()
        }
    };
    let real =
        args.real.iter().map(|dir| Ok((dir.clone(), filmed(dir, &models)?))).collect::<Result<Vec<_>>>()?;
    let mut report = match (&args.data, &args.assets) {
        (Some(dir), _) => recorded(dir, &models, clips)?,
        (None, Some(dir)) => generated(args, dir, models, clips)?,
        (None, None) => Report::nothing(clips),
    };
    report.real = real;
    if args.json {
        println!("{}", report.json());
    } else {
        report.print();
    }
    Ok(())
}

/// Everything that is measured on sequences made for the purpose.
fn generated(args: &Args, assets: &Path, models: Models, clips: Vec<(String, Seen)>) -> Result<Report> {
    let split = match args.split {
        Split::Tune => person::Split::Train,
        Split::Test => person::Split::HeldOut,
    };
    let cast = Cast::load(assets, split, if args.quick { QUICK_PEOPLE } else { PEOPLE }, args.seed)?;
    let bench = Bench { args, models, cast };
    let wanted = |part| args.parts.contains(&part);
    let mut rates = Vec::new();
    for &fps in args.fps.iter().filter(|_| wanted(Part::Rates)) {
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
        ("split", format!("{:?}", args.split)),
        ("fps", format!("{:?}", args.fps)),
        ("parts", format!("{:?}", args.parts)),
        ("quick", args.quick.to_string()),
    ]);
    let run = crate::run::Run::start("spotting", args.seed, &settings, false)?;
    let folder = run.dir();
    let fit = Weibull::fit(&curve.movements);
    if wanted(Part::Curve) {
        let bins = curve::bins(&curve.movements);
        curve::write_csv(&bins, &folder.join("recall.csv"))?;
        curve::draw(&bins, &fit, "found at 100 frames/s", &folder.join("recall.png"))?;
        eprintln!("{}: recall.csv, recall.png", folder.display());
    }
    Ok(Report { rates, curve, fit, still, readings, lost_poses, clips, real: Vec::new() })
}

/// Real footage with known movements.
fn filmed(dir: &Path, models: &Models) -> Result<real::Report> {
    let recordings = real::load(dir)?;
    let seen =
        each("real footage", recordings.len() as u64, |i| watch::clip(&recordings[i as usize].path, models))?;
    Ok(real::compare(&recordings, &seen))
}

/// What can be measured on a folder of sequences: those without movements tell the false alarms.
fn recorded(dir: &Path, models: &Models, clips: Vec<(String, Seen)>) -> Result<Report> {
    let files = video::list(dir)?;
    let seen = each("sequences", files.len() as u64, |i| watch::clip(&files[i as usize].0, models))?;
    let (mut rates, mut curve) = (BTreeMap::new(), Tally::default());
    for ((_, truth), seen) in files.into_iter().zip(seen) {
        let fps = truth.fps.round() as u32;
        let rate = rates.entry(fps).or_insert_with(|| AtRate::new(fps));
        let w = Watched { micros: truth.micros(), distractors: truth.spans(), seen };
        if w.micros.is_empty() {
            rate.add_distractors(&w);
        } else {
            rate.add_movements(&w);
            curve.add(&w.micros, &w.seen.found);
        }
    }
    let fit = Weibull::fit(&curve.movements);
    let (rates, still) = (rates.into_values().collect(), Counters::default());
    Ok(Report { rates, curve, fit, still, readings: Vec::new(), lost_poses: 0, clips, real: Vec::new() })
}

/// What every part needs.
struct Bench<'a> {
    args: &'a Args,
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
fn clips(dir: &Path, models: &Models) -> Result<Vec<(String, Seen)>> {
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
            let s = plan::sequence(&self.cast, content, content.seconds(), self.args.seed, i);
            let (micros, distractors) = (s.micros.clone(), s.distractors.clone());
            let seen = watch::sequence(s, f64::from(fps), &self.models)?;
            Ok(Watched { micros, distractors, seen })
        })
    }

    fn at_rate(&self, fps: u32) -> Result<AtRate> {
        let amount = self.args.amount(fps);
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
        for w in self.sequences("recall by intensity", Content::Curve, self.args.share(48), 100)? {
            tally.add(&w.micros, &w.seen.found);
        }
        Ok(tally)
    }

    fn still(&self) -> Result<Counters> {
        let mut sum = Counters::default();
        for w in self.sequences("still faces", Content::Still, self.args.share(24), 60)? {
            add(&mut sum, &w.seen.counters);
        }
        Ok(sum)
    }

    fn intensities(&self) -> Result<(Vec<Reading>, usize)> {
        let people = each("AU intensities", self.args.share(120), |i| {
            intensity::poses(&self.cast, &self.models, self.args.seed, i)
        })?;
        let lost = people.iter().map(|p| p.lost).sum();
        Ok((people.into_iter().flat_map(|p| p.readings).collect(), lost))
    }
}

/// A sequence with its truth and what was said of it.
struct Watched {
    micros: Vec<plan::Micro>,
    distractors: Vec<plan::Span>,
    seen: Seen,
}

fn word(cause: Option<Distractor>) -> String {
    match cause {
        Some(d) => format!("{d:?}").to_lowercase(),
        None => "nothing".into(),
    }
}

fn add(sum: &mut Counters, more: &Counters) {
    sum.frames += more.frames;
    sum.frames_with_face += more.frames_with_face;
    sum.gate_open += more.gate_open;
    sum.student_runs += more.student_runs;
    sum.events += more.events;
    sum.rejected_too_short += more.rejected_too_short;
    sum.rejected_macro += more.rejected_macro;
    sum.rejected_blink += more.rejected_blink;
    sum.rejected_head_motion += more.rejected_head_motion;
    sum.rejected_speech += more.rejected_speech;
    sum.rejected_light += more.rejected_light;
    sum.rejected_occlusion += more.rejected_occlusion;
    sum.rejected_noise += more.rejected_noise;
    sum.rejected_timing += more.rejected_timing;
}

/// Rejected candidates by cause, those that occur.
fn rejections(c: &Counters) -> BTreeMap<&'static str, u64> {
    c.rejected().into_iter().filter(|(_, n)| *n > 0).collect()
}

fn share(part: u64, of: u64) -> f64 {
    part as f64 / of.max(1) as f64
}

/// To three digits, as JSON; null of what was not measured.
fn number(v: f64) -> Value {
    json!(v.is_finite().then(|| (v * 1000.0).round() / 1000.0))
}

/// Everything that was measured.
struct Report {
    rates: Vec<AtRate>,
    curve: Tally,
    fit: Weibull,
    still: Counters,
    readings: Vec<Reading>,
    lost_poses: usize,
    clips: Vec<(String, Seen)>,
    real: Vec<(PathBuf, real::Report)>,
}

impl Report {
    /// Nothing but real clips.
    fn nothing(clips: Vec<(String, Seen)>) -> Self {
        let fit = Weibull::fit(&[]);
        let (still, readings) = (Counters::default(), Vec::new());
        Self {
            rates: Vec::new(),
            curve: Tally::default(),
            fit,
            still,
            readings,
            lost_poses: 0,
            clips,
            real: Vec::new(),
        }
    }

    /// Agreement of each AU, and the mean of ICC over them.
    fn agreements(&self) -> (Vec<(u8, Agreement)>, Agreement, f64) {
        let by_au: Vec<(u8, Agreement)> = AUS
            .iter()
            .enumerate()
            .map(|(k, &au)| (au, intensity::agreement(&self.readings, |r| r.au == k)))
            .collect();
        let known: Vec<f64> = by_au.iter().map(|(_, a)| a.icc).filter(|v| v.is_finite()).collect();
        let icc = known.iter().sum::<f64>() / known.len() as f64;
        (by_au, intensity::agreement(&self.readings, |_| true), icc)
    }

    fn json(&self) -> Value {
        let fps: Map<String, Value> = self
            .rates
            .iter()
            .map(|r| {
                let [onset, apex, offset] = r.tally.median_errors_ms();
                let lags = r.tally.median_lags_ms().map(number);
                let (low, high) = poisson_interval(r.false_alarms);
                let (small, of) = r.tally.below(SMALL_PX);
                let value = json!({
                    "f1": number(r.tally.f1()), "precision": number(r.tally.precision()),
                    "recall": number(r.tally.recall()), "movements": r.tally.truth,
                    "onset_ms": number(onset), "apex_ms": number(apex), "offset_ms": number(offset), "lags_ms": lags,
                    "false_per_min": number(r.false_alarms as f64 / r.minutes), "minutes": number(r.minutes),
                    "false_per_min_ci95": [number(low / r.minutes), number(high / r.minutes)],
                    "false_by_cause": r.causes, "recall_small": number(share(small as u64, of as u64)),
                    "movements_small": of, "rejected": rejections(&r.rejected),
                    "moving_share": number(share(r.moving, r.frames)),
                    "gate_open_share": number(share(r.rejected.gate_open, r.frames)),
                });
                (r.fps.to_string(), value)
            })
            .collect();
        let (by_au, all, icc) = self.agreements();
        let aus: Map<String, Value> = by_au
            .iter()
            .map(|(au, a)| {
                let value = json!({"mae_active": number(a.active), "mae_idle": number(a.idle), "icc": number(a.icc),
                                   "gain": number(a.gain)});
                (glint::gate::au_key(*au), value)
            })
            .collect();
        let clips: Map<String, Value> = self
            .clips
            .iter()
            .map(|(name, s)| {
                let value = json!({
                    "seconds": number(s.seconds), "events": s.found.len(),
                    "rejected": rejections(&s.counters),
                    "no_face_share": number(1.0 - share(s.face, s.counters.frames)),
                    "moving_share": number(share(s.moving, s.counters.frames)),
                    "gate_open_share": number(share(s.counters.gate_open, s.counters.frames)),
                });
                (name.clone(), value)
            })
            .collect();
        json!({
            "fps": fps, "au_mae_active": number(all.active), "au_mae_idle": number(all.idle), "au_icc": number(icc),
            "aus": aus, "poses_lost": self.lost_poses,
            "asleep_share": number(1.0 - self.still.gate_open as f64 / self.still.frames as f64),
            "student_runs_still": self.still.student_runs,
            "threshold_75": self.fit.threshold(0.75).map(number), "curve_movements": self.curve.truth,
            "clips": clips,
            "real": self.real.iter().map(|(dir, r)| json!({
                "folder": dir, "recall": number(r.visible_recall()), "f1": number(r.visible_f1()),
                "recall_ci95": [number(r.interval.0), number(r.interval.1)], "movements": r.visible.1,
                "recall_all": number(r.tally.recall()), "f1_all": number(r.tally.f1()), "movements_all": r.tally.truth,
                "wrong": r.wrong, "minutes": number(r.minutes), "gate_open_share": number(r.gate_open),
            })).collect::<Vec<_>>(),
        })
    }

    fn print(&self) {
        println!(
            "fps     F1  prec.  recall (n)   <{SMALL_PX} px (n)  onset  apex  offset ms   false/min (95 %)    min"
        );
        for r in &self.rates {
            println!("{}", r.line());
        }
        println!(
            "\nwrong among movements, a minute: {}",
            self.rates
                .iter()
                .map(|r| { format!("{:.2} at {}", r.wrong as f64 / r.mixed_minutes.max(1e-9), r.fps) })
                .collect::<Vec<_>>()
                .join(", ")
        );
        println!("\nmedian lag of onset, apex and offset in ms: early ones are negative");
        for r in &self.rates {
            let [onset, apex, offset] = r.tally.median_lags_ms();
            println!("{:3}  {onset:6.1} {apex:5.1} {offset:5.1}", r.fps);
        }
        println!(
            "\ndistractors alone: false alarms by cause; candidates rejected by cause; frames moving, gate open"
        );
        for r in &self.rates {
            println!(
                "{:3}  {:?}; {:?}; {:.3} {:.3}",
                r.fps,
                r.causes,
                rejections(&r.rejected),
                share(r.moving, r.frames),
                share(r.rejected.gate_open, r.frames)
            );
        }
        if self.curve.truth > 0 {
            println!("\nrecall by intensity, {} movements", self.curve.truth);
            for b in curve::bins(&self.curve.movements) {
                let (low, high) = b.interval;
                let recall = b.recall().unwrap_or(f64::NAN);
                println!(
                    "{:5.1}-{:4.1} %  {recall:5.2} ({low:.2}-{high:.2})  n {}",
                    100.0 * b.range.0,
                    100.0 * b.range.1,
                    b.of
                );
            }
            match self.fit.threshold(0.75) {
                Some(x) => println!("75 % are found at {:.1} % of the full movement", 100.0 * x),
                None => println!("75 % are never found"),
            }
            let (small, of) = self.curve.below(SMALL_PX);
            let (low, high) = binomial_interval(small, of);
            println!("under {SMALL_PX} px of travel: {small} of {of} ({low:.2}-{high:.2})");
        }
        if self.still.frames > 0 {
            println!(
                "\nstill faces: gate shut in {:.2} % of {} frames, {} runs of the student, {} events",
                100.0 - 100.0 * share(self.still.gate_open, self.still.frames),
                self.still.frames,
                self.still.student_runs,
                self.still.events
            );
        }
        if !self.readings.is_empty() {
            let (by_au, all, icc) = self.agreements();
            println!("\nAU    MAE active   idle    ICC(3,1)   gain");
            for (au, a) in by_au {
                println!("{au:2}        {:6.2}   {:5.2}     {:6.2}  {:6.2}", a.active, a.idle, a.icc, a.gain);
            }
            println!(
                "all       {:6.2}   {:5.2}     {icc:6.2}  {:6.2}   ({} poses not measured)",
                all.active, all.idle, all.gain, self.lost_poses
            );
        }
        for (dir, r) in &self.real {
            println!("\n{}: {}", dir.display(), r.line());
            for (name, hits, wrong, of) in &r.clips {
                println!("{name:32} found {hits} of {of}, wrong {wrong}");
            }
        }
        if !self.clips.is_empty() {
            println!("\nreal clips        seconds  events   no face  moving  gate open   rejected");
        }
        for (name, s) in &self.clips {
            let of = s.counters.frames;
            println!(
                "{name:32} {:6.1} {:4}      {:5.3}   {:5.3}     {:5.3}   {:?}",
                s.seconds,
                s.found.len(),
                1.0 - share(s.face, of),
                share(s.moving, of),
                share(s.counters.gate_open, of),
                rejections(&s.counters)
            );
        }
    }
}

/// Movements that travel less than this in the frame are those where others see nothing.
const SMALL_PX: f32 = 1.25;
