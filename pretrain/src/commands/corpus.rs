//! `glint-pretrain corpus`: pairs or sequences of photo-real people with exact truth.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use crate::corpus::pair::{self, RenderedPair};
use crate::corpus::person::Split;
use crate::corpus::plan::{self, Cast, Content};
use crate::corpus::{review, shard, video};

/// Write a corpus of micro-expressions of moving portraits and rendered heads. It consists of pairs (onset, apex) in
/// sharded archives with an index, a contact sheet and a page of animated samples, or of whole sequences.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain corpus --assets ../data --out corpus --samples 20000 --seed 1"
)]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long, value_name = "DIR")]
    assets: PathBuf,
    /// Folder to write. It must be empty or absent.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of pairs; with --video, of sequences.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    samples: u64,
    /// Seed. The same seed gives the same bytes on any number of threads.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of people. Half of them are portraits, as far as there are enough usable ones.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=5000))]
    people: u32,
    /// The group of people.
    #[arg(long, value_enum, default_value = "all")]
    split: Split,
    /// Write whole sequences, ID.avi and ID.json. Every fourth one holds distractors only.
    #[arg(long)]
    video: bool,
    /// Frame rate of the sequences.
    #[arg(long, requires = "video", default_value_t = 100.0, value_parser = rate)]
    fps: f64,
    /// Length of a sequence in seconds.
    #[arg(long, requires = "video", default_value_t = 8.0, value_parser = length)]
    seconds: f64,
}

fn rate(text: &str) -> Result<f64, String> {
    within(text, 1.0, 1000.0)
}

fn length(text: &str) -> Result<f64, String> {
    within(text, 6.0, 3600.0)
}

fn within(text: &str, low: f64, high: f64) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|v| (low..=high).contains(v));
    number.ok_or_else(|| format!("allowed: {low} to {high}"))
}

/// Samples that are made before they are written: enough to keep all threads busy.
const BATCH: u64 = 512;
/// Samples in the contact sheet, and animated ones in the page.
const SHEET: usize = 24;
const ANIMATED: usize = 8;
/// People in the sheet of AUs.
const PEOPLE_SHOWN: usize = 6;

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    make_empty(&args.out)?;
    let start = Instant::now();
    let cast = Cast::load(&args.assets, args.split, args.people as usize, args.seed)?;
    let portraits = cast.people.iter().filter(|p| p.source() == "portrait").count();
    eprintln!(
        "{} people: {portraits} portraits, {} heads ({:.1} s)",
        cast.people.len(),
        cast.people.len() - portraits,
        start.elapsed().as_secs_f64()
    );
    let bar = ProgressBar::new(args.samples);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    let start = Instant::now();
    let frames = if args.video { sequences(args, &cast, &bar)? } else { pairs(args, &cast, &bar)? };
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{} samples in {seconds:.1} s: {:.0} a second", args.samples, args.samples as f64 / seconds);
    if args.video {
        eprintln!("{frames} frames: {:.2} ms each", 1e3 * seconds / frames as f64);
    }
    Ok(())
}

/// Makes the folder; one with files in it may be somebody's.
fn make_empty(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("--out: {}", dir.display()))?;
    let mut entries = std::fs::read_dir(dir).with_context(|| format!("--out: {}", dir.display()))?;
    ensure!(entries.next().is_none(), "--out: {} is not empty", dir.display());
    Ok(())
}

fn pairs(args: &Args, cast: &Cast, bar: &ProgressBar) -> Result<u64> {
    let mut writer = shard::Writer::create(&args.out)?;
    let mut shown: Vec<RenderedPair> = Vec::new();
    for first in (0..args.samples).step_by(BATCH as usize) {
        let made: Vec<(Option<RenderedPair>, shard::Packed)> = (first..(first + BATCH).min(args.samples))
            .into_par_iter()
            .map(|i| {
                let pair = pair::sample(cast, args.seed, i);
                let packed = shard::pack(&pair, args.seed)?;
                bar.inc(1);
                Ok(((i < SHEET as u64).then_some(pair), packed))
            })
            .collect::<Result<_>>()?;
        for (pair, packed) in made {
            writer.add(&packed)?;
            shown.extend(pair);
        }
    }
    writer.finish()?;
    review::contact_sheet(&shown, &args.out.join("contact.png"))?;
    review::au_sheet(&cast.people[..cast.people.len().min(PEOPLE_SHOWN)], &args.out.join("aus.png"))?;
    let animated: Vec<RenderedPair> = shown.into_iter().take(ANIMATED).collect();
    review::page(cast, &animated, &args.out.join("samples.html"))?;
    Ok(args.samples)
}

fn sequences(args: &Args, cast: &Cast, bar: &ProgressBar) -> Result<u64> {
    let frames: Vec<u64> = (0..args.samples)
        .into_par_iter()
        .map(|i| {
            let content = if i % 4 == 3 { Content::Distractors } else { Content::Mixed };
            let s = plan::sequence(cast, content, args.seconds, args.seed, i);
            let frames = video::write(s, args.fps, &format!("{i:05}"), &args.out)?;
            bar.inc(1);
            Ok(frames)
        })
        .collect::<Result<_>>()?;
    Ok(frames.iter().sum())
}
