//! `glint-pretrain filter`: pairs of frames out of unlabelled video.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use glint::model::Checked;
use glint::pipeline::Models;
use rayon::prelude::*;

use crate::databases::crops::depth_name;
use crate::filter::judge::{MACRO_FROM, Range, least};
use crate::filter::recording::{Done, Job};
use crate::filter::report;
use crate::filter::scan::Rules;
use crate::filter::units::{self, ScanUnit, Shard};
use crate::run;

/// Search folders of videos, frames or drawn pairs for recognisable movements that are not macro-expressions and keep a
/// pair of frames of each. Action units are measured with the daemon's own code. A repeated run skips what is done. Shards
/// of one folder can run on different machines; --merge combines them.
#[derive(clap::Args)]
#[command(after_help = "Examples: glint-pretrain filter --data videos --out pairs\n          \
                        glint-pretrain filter --data videos --out part-2 --shard 2/8\n          \
                        glint-pretrain filter --merge part-1 part-2 --out pairs")]
pub struct Args {
    /// Folder with videos, folders of numbered images or files of pairs (.tar, as `corpus` writes them), at any depth.
    /// ffmpeg reads videos other than AVI and Y4M.
    #[arg(long, value_name = "DIR", required_unless_present = "merge")]
    data: Option<PathBuf>,
    /// Folder for pairs and reports.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Combine these folders of shards instead of scanning.
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["data", "shard"])]
    merge: Vec<PathBuf>,
    /// Scan part I of N only.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Frames per second of folders of images.
    #[arg(long, default_value_t = 30.0)]
    fps: f64,
    /// File of minimum recognisable intensities, as `threshold` writes it [default: those of the model].
    #[arg(long, value_name = "FILE.toml")]
    thresholds: Option<PathBuf>,
    /// A movement of at least this intensity is a macro-expression.
    #[arg(long, default_value_t = MACRO_FROM)]
    macro_from: f32,
    /// A micro-expression stays at half of its greatest intensity or above for at most this long, in ms.
    #[arg(long, default_value_t = 350.0)]
    max_ms: f32,
    /// Pattern of the depth images beside the folder of frames (CAS(ME)3: `depth/{frame}.png`).
    #[arg(long, value_name = "PATTERN")]
    depth_pattern: Option<String>,
    /// Keep one pair per second of video, whatever it shows, and every drawn pair. This is the baseline of the filter.
    #[arg(long)]
    unfiltered: bool,
    /// Folder of model files [default: the built-in models].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
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
        // No student is asked: a folder in which it is still to be trained will do.
        Some(dir) => Models::with(dir, Checked::load(dir, "judge")?, Models::embedded()?.student)?,
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
    let footage: Vec<ScanUnit> =
        all.into_iter().enumerate().filter(|(i, _)| shard.takes(*i)).map(|(_, u)| u).collect();
    run::watch_interrupt()?;
    let bar = run::bar(&format!("shard {}/{}", shard.index, shard.count), footage.len() as u64);
    let job = Job {
        out: &args.out,
        fps: args.fps,
        depth_pattern: args.depth_pattern.as_deref(),
        models: &models,
        rules,
    };
    let begun = Instant::now();
    let each: Vec<Done> = footage.par_iter().map(|unit| job.unit(unit, &bar)).collect::<Result<_>>()?;
    bar.finish_and_clear();
    // Here and not in the report, whose bytes repeat.
    eprintln!(
        "{} of {total} recordings; {}; peak memory {} MiB",
        footage.len(),
        speed(each.into_iter().sum(), begun.elapsed().as_secs_f64()),
        peak_mib().map_or("?".into(), |m| m.to_string())
    );
    if shard.count == 1 {
        print(&report::merge(std::slice::from_ref(&args.out), &args.out)?);
    }
    Ok(())
}

/// What was done in so many seconds.
fn speed(done: Done, seconds: f64) -> String {
    let rate = |count: u64| count as f64 / seconds.max(1e-9);
    let mut out = format!("{seconds:.1} s");
    if done.frames > 0 {
        let each = match done.found {
            0 => "no pair".into(),
            pairs => format!("{:.0} frames a pair", done.frames as f64 / pairs as f64),
        };
        out += &format!(
            "; {} frames, {:.0} frames/s, {} pairs found, {:.2} pairs/s, {each}",
            done.frames,
            rate(done.frames),
            done.found,
            rate(done.found)
        );
    }
    if done.pairs > 0 {
        out +=
            &format!("; {} of {} drawn pairs kept, {:.0} pairs/s", done.kept, done.pairs, rate(done.pairs));
    }
    out
}

fn print(summary: &report::Summary) {
    println!(
        "{} recordings, {} frames, {} with a measured face",
        summary.units, summary.frames, summary.measured
    );
    if summary.pairs > 0 {
        println!("{} drawn pairs", summary.pairs);
    }
    for (reason, count) in &summary.reasons {
        println!("{:>16} {count}", reason);
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
