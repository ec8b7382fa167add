//! `glint-pretrain filter`: pairs of frames out of unlabelled video.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use glint::au::AU_COUNT;
use glint::clip::{Clip, Media};
use glint::frame::Frame;
use glint::gate::{Thresholds, by_au};
use glint::pipeline::Models;
use indicatif::ProgressBar;
use rayon::prelude::*;
use serde_json::json;

use crate::databases::crops::{CropPair, depth_crop, depth_name};
use crate::databases::frames::{FrameFolder, read_depth};
use crate::filter::judge::{MACRO_FROM, Range, Reason};
use crate::filter::report::{self, Line, UnitReport, unfinished, write_whole};
use crate::filter::scan::{Excursion, Rules, Scanner, Still};
use crate::filter::units::{self, Shard, Unit};
use crate::pairs::{self, Pair};
use crate::run;

/// Goes through folders of clips or of frames, measures action units with the daemon's own code and keeps pairs of frames
/// whose movement is recognisable and not a macro-expression. What is done is not done again; shards of one folder may run
/// on any machines and are summed up with --merge.
#[derive(clap::Args)]
#[command(after_help = "Examples: glint-pretrain filter --data videos --out pairs\n          \
                        glint-pretrain filter --data videos --out part-2 --shard 2/8\n          \
                        glint-pretrain filter --merge part-1 part-2 --out pairs")]
pub struct Args {
    /// Folder with clips (AVI, Y4M) and folders of numbered images, at any depth.
    #[arg(long, value_name = "DIR", required_unless_present = "merge")]
    data: Option<PathBuf>,
    /// Folder for pairs and reports.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Sums up the folders of shards instead of scanning.
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["data", "shard"])]
    merge: Vec<PathBuf>,
    /// Scans part I of N.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Frame rate of folders of images.
    #[arg(long, default_value_t = 30.0)]
    fps: f64,
    /// Minimum recognisable intensities, as `threshold` writes them; by default those of the model.
    #[arg(long, value_name = "FILE.toml")]
    thresholds: Option<PathBuf>,
    /// Intensity from which a movement is a macro-expression.
    #[arg(long, default_value_t = MACRO_FROM)]
    macro_from: f32,
    /// Longest time in ms at half of the greatest intensity or above it: a micro-expression's.
    #[arg(long, default_value_t = 350.0)]
    max_ms: f32,
    /// Depth images beside the folder of frames (CAS(ME)3: `depth/{frame}.png`).
    #[arg(long, value_name = "PATTERN")]
    depth_pattern: Option<String>,
    /// Takes one pair a second whatever happens in it: what the filter is compared with.
    #[arg(long)]
    unfiltered: bool,
    /// Folder of model files; without it those that are compiled in.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

/// Minimum recognisable intensity of each AU: of a file that `threshold` has written, or the model's.
pub fn least(file: Option<&Path>, models: &Models) -> Result<[f32; AU_COUNT]> {
    let thresholds = match file {
        None => models.au.spec.thresholds.clone(),
        Some(path) => {
            let name = || path.display().to_string();
            let text = std::fs::read_to_string(path).with_context(name)?;
            toml::from_str::<Thresholds>(&text).with_context(name)?
        }
    };
    Ok(by_au(&thresholds.by_unit().map_err(|e| anyhow::anyhow!("thresholds: {e}"))?))
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if !args.merge.is_empty() {
        print(&report::merge(&args.merge, &args.out)?);
        return Ok(());
    }
    ensure!(args.macro_from > 0.0 && args.macro_from <= 10.0, "--macro-from: above 0, up to 10");
    ensure!((40.0..=10_000.0).contains(&args.max_ms), "--max-ms: 40 to 10000");
    if let Some(pattern) = &args.depth_pattern {
        depth_name(pattern, 1).with_context(|| format!("--depth-pattern {pattern}"))?;
    }
    let models = match &args.models {
        Some(dir) => Models::load(dir)?,
        None => Models::embedded()?,
    };
    let rules = Rules {
        range: Range { least: least(args.thresholds.as_deref(), &models)?, macro_from: args.macro_from },
        max_ms: args.max_ms,
        unfiltered: args.unfiltered,
    };
    let data = args.data.as_deref().context("--data")?;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let shard = args.shard.unwrap_or(Shard::WHOLE);
    let all = units::find(data)?;
    let total = all.len();
    let own: Vec<Unit> =
        all.into_iter().enumerate().filter(|(i, _)| shard.takes(*i)).map(|(_, u)| u).collect();
    run::watch_interrupt()?;
    let bar = run::bar(&format!("shard {}/{}", shard.index, shard.count), own.len() as u64);
    let job = Job { args, models: &models, rules };
    let begun = Instant::now();
    let frames: Vec<u64> = own.par_iter().map(|unit| job.unit(unit, &bar)).collect::<Result<_>>()?;
    bar.finish_and_clear();
    let (frames, seconds) = (frames.iter().sum::<u64>(), begun.elapsed().as_secs_f64());
    // Here and not in the report, whose bytes repeat.
    eprintln!(
        "{} of {total} recordings; {frames} frames in {seconds:.1} s: {:.0} frames/s; peak memory {} MiB",
        own.len(),
        frames as f64 / seconds.max(1e-9),
        peak_mib().map_or("?".into(), |m| m.to_string())
    );
    if shard.count == 1 {
        print(&report::merge(std::slice::from_ref(&args.out), &args.out)?);
    }
    Ok(())
}

fn print(summary: &report::Summary) {
    println!(
        "{} recordings, {} frames, {} with a measured face",
        summary.units, summary.frames, summary.measured
    );
    for (reason, count) in &summary.reasons {
        println!("{:>16} {count}", report::word(*reason));
    }
    for broken in &summary.broken {
        eprintln!("not read to its end: {broken}");
    }
}

/// Greatest resident set of this process, in MiB.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().split(' ').next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

struct Job<'a> {
    args: &'a Args,
    models: &'a Models,
    rules: Rules,
}

impl Job<'_> {
    /// Scans one recording unless its report is there; returns the frames that were read.
    fn unit(&self, unit: &Unit, bar: &ProgressBar) -> Result<u64> {
        let (json, tar) = (
            self.args.out.join(format!("{}.unit.json", unit.id())),
            self.args.out.join(format!("{}.tar", unit.id())),
        );
        let known =
            std::fs::read_to_string(&json).ok().and_then(|t| serde_json::from_str::<UnitReport>(&t).ok());
        let fits =
            |r: &UnitReport| r.name == unit.name && r.rules == self.rules && r.model == self.models.au.sha256;
        if known.is_some_and(|r| fits(&r)) {
            bar.inc(1);
            return Ok(0);
        }
        ensure!(!run::interrupted(), "interrupted; the same command continues");
        // Pairs go to disk as they are found: memory does not grow with the recording.
        let fresh = unfinished(&tar);
        let report = self.scan(unit, &fresh)?;
        if report.kept() > 0 {
            std::fs::rename(&fresh, &tar).with_context(|| tar.display().to_string())?;
        } else {
            for path in [&fresh, &tar].into_iter().filter(|p| p.exists()) {
                std::fs::remove_file(path).with_context(|| path.display().to_string())?;
            }
        }
        // The report last: where it is, its pairs are.
        write_whole(&json, format!("{}\n", serde_json::to_string(&report)?).as_bytes())?;
        bar.inc(1);
        Ok(report.frames)
    }

    /// Scans one recording; its pairs go to `pairs`.
    fn scan(&self, unit: &Unit, pairs: &Path) -> Result<UnitReport> {
        let mut scanner = Scanner::new(self.models, self.rules)?;
        let name = || pairs.display().to_string();
        let mut tar = tar::Builder::new(BufWriter::new(File::create(pairs).with_context(name)?));
        let mut lines = Vec::new();
        let mut failed: Option<anyhow::Error> = None;
        let mut error = None;
        let numbers = self.depth_numbers(unit)?;
        {
            let mut found = |e: Excursion| {
                let line = line(&e);
                if e.reason == Reason::Kept
                    && let Err(cause) = self.keep(unit, &e, &line, numbers.as_deref(), &mut tar)
                {
                    failed.get_or_insert(cause);
                }
                lines.push(line);
            };
            // A recording that cannot be read is reported; the others go on.
            match Clip::open(&unit.path, unit.path.is_dir().then_some(self.args.fps)) {
                // The path is the unit's name already, and differs between machines.
                Err(e) => error = Some(e.reason()),
                Ok(mut clip) => {
                    let mut frame = Frame::default();
                    loop {
                        match clip.next(&mut frame) {
                            Ok(Some(Media::Frame)) => scanner.push(&frame, &mut found),
                            Ok(Some(Media::Gap { seq, at_ns, .. })) => scanner.gap(seq, at_ns, &mut found),
                            Ok(None) => break,
                            Err(e) => {
                                error = Some(e.reason());
                                break;
                            }
                        }
                    }
                    scanner.finish(&mut found);
                }
            }
        }
        if let Some(cause) = failed {
            return Err(cause.context(unit.path.display().to_string()));
        }
        let [frames, measured] = scanner.frames;
        let report = UnitReport {
            name: unit.name.clone(),
            rules: self.rules,
            model: self.models.au.sha256.clone(),
            frames,
            measured,
            error,
            lines,
        };
        tar.into_inner().and_then(|mut file| file.flush()).with_context(name)?;
        Ok(report)
    }

    /// Numbers of the frames of a folder, where depth is wanted.
    fn depth_numbers(&self, unit: &Unit) -> Result<Option<Vec<u32>>> {
        match &self.args.depth_pattern {
            Some(_) if unit.path.is_dir() => Ok(Some(FrameFolder::open(&unit.path)?.numbers().collect())),
            _ => Ok(None),
        }
    }

    fn keep(
        &self,
        unit: &Unit,
        e: &Excursion,
        line: &Line,
        numbers: Option<&[u32]>,
        tar: &mut tar::Builder<impl Write>,
    ) -> Result<()> {
        let Some(reference) = &e.reference else { return Ok(()) };
        let depth = match (numbers, &self.args.depth_pattern) {
            (Some(numbers), Some(pattern)) => {
                let side = |still: &Still| depth_of(unit, pattern, numbers, still);
                Some([side(reference)?, side(&e.target)?])
            }
            _ => None,
        };
        let facts = json!({
            "recording": unit.name,
            "subject": subject(&unit.name),
            "reference": reference.seq,
            "target": e.target.seq,
            "span_ms": line.span_ms,
            "measured": line.aus,
        });
        let crops = CropPair { onset: reference.crop.clone(), apex: e.target.crop.clone(), depth };
        pairs::write(tar, &Pair { id: format!("{}-{:06}", unit.id(), e.target.seq), crops, facts })
    }
}

/// Depth under the crop of a frame. The pattern stands beside the folder of frames, or inside it.
fn depth_of(unit: &Unit, pattern: &str, numbers: &[u32], still: &Still) -> Result<Vec<f32>> {
    let number = number_of(numbers, still.seq).context("a frame without a file")?;
    let name = depth_name(pattern, number)?;
    let beside = unit.path.parent().unwrap_or(Path::new(".")).join(&name);
    let path = if beside.exists() { beside } else { unit.path.join(&name) };
    let (width, height, depth) = read_depth(&path)?;
    let scale = (width as f32 / still.size.0 as f32, height as f32 / still.size.1 as f32);
    Ok(depth_crop(&depth, (width, height), scale, &still.crop_to_frame))
}

/// The number in the name of a frame: clips count them from 0, in steps that all of them share.
fn number_of(numbers: &[u32], seq: u64) -> Option<u32> {
    let first = *numbers.first()?;
    let gcd = |mut a: u32, mut b: u32| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let step = numbers.iter().fold(0, |step, n| gcd(step, n - first)).max(1);
    let number = u32::try_from(u64::from(first) + seq.checked_mul(u64::from(step))?).ok()?;
    numbers.binary_search(&number).ok().map(|at| numbers[at])
}

/// The person of a recording: the folder above it where there are folders (`part_A/spNO.1/a/color`: spNO.1), else its
/// own name.
fn subject(name: &str) -> &str {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [.., subject, _, "color"] => subject,
        [.., subject, _] => subject,
        _ => name,
    }
}

fn line(e: &Excursion) -> Line {
    let ms = |ns: i64| (ns as f64 / 1e4).round() / 100.0;
    Line {
        reference: e.reference.as_ref().map(|r| r.seq),
        target: e.target.seq,
        target_ms: ms(e.target.at_ns),
        span_ms: [ms(e.span_ns.0), ms(e.span_ns.1)],
        reason: e.reason,
        aus: Line::aus(&e.intensities),
    }
}
