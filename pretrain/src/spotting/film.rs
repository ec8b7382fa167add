//! Sequences of living people as the spotter sees them, filmed or recorded, and kept between runs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use glint::pipeline::Models;
use rand::Rng;
use rayon::prelude::*;

use super::trace::{self, Trace};
use crate::augment::generator;
use crate::corpus::person::{Split, portraits_alone};
use crate::corpus::plan::{self, Cast, Content};

/// People for each of whom so many sequences are made.
pub const SEQUENCES_A_PERSON: u64 = 2;

/// Frame rates, and how often each comes.
const RATES: [(f64, u32); 6] = [(25.0, 3), (30.0, 7), (50.0, 2), (60.0, 2), (100.0, 5), (200.0, 1)];

/// Of so many sequences one is of a photograph.
const PICTURES: u64 = 14;

/// What is filmed.
#[derive(Debug, Clone, Copy)]
pub struct Reel<'a> {
    /// Folder with portraits, ict and priors.
    pub assets: &'a Path,
    /// Seed of people and sequences.
    pub seed: u64,
    /// Number of sequences.
    pub sequences: u64,
    /// Folder that keeps what was filmed.
    pub kept: Option<&'a Path>,
}

/// Films sequences of all that living faces do; those that are kept already are read.
pub fn film(reel: Reel, models: &Models) -> Result<Vec<Trace>> {
    if let Some(dir) = reel.kept {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    let path = |i: u64| reel.kept.map(|dir| dir.join(format!("{}-{i:05}.trace", reel.seed)));
    let missing = (0..reel.sequences).any(|i| path(i).is_none_or(|p| !p.exists()));
    let cast = if missing { Some(cast(reel)?) } else { None };
    let bar = crate::run::bar("filmed", reel.sequences);
    let out = (0..reel.sequences)
        .into_par_iter()
        .map(|i| {
            let kept = path(i).filter(|p| p.exists());
            let trace = match (kept, &cast) {
                (Some(kept), _) => Trace::read(&kept)?,
                (None, Some(cast)) => {
                    let mut rng = generator(reel.seed ^ 0x6a64, i);
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
                    let content =
                        if i % PICTURES == PICTURES / 2 { Content::Picture } else { Content::Living };
                    let mut s = plan::sequence(cast, content, content.seconds(), reel.seed, i);
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

/// Recorded sequences, watched in order of their names, or taken from what was kept of them.
pub fn recorded(dir: &Path, kept_in: Option<&Path>, models: &Models) -> Result<Vec<Trace>> {
    let files = trace::list(dir)?;
    let bar = crate::run::bar("watched", files.len() as u64);
    let out = files
        .into_par_iter()
        .map(|(path, truth)| {
            let kept = kept_in.map(|traces| kept(traces, &path)).transpose()?;
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

/// Where what was watched of a clip is kept: below its whole path, for clips of two folders may share a name.
fn kept(traces: &Path, clip: &Path) -> Result<PathBuf> {
    let absolute = clip.canonicalize().with_context(|| clip.display().to_string())?;
    let kept = traces.join(absolute.strip_prefix("/").unwrap_or(&absolute)).with_extension("trace");
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

fn cast(reel: Reel) -> Result<Cast> {
    let mut cast = Cast::load(reel.assets, Split::Train, 2, reel.seed)?;
    cast.people = portraits_alone(
        reel.assets,
        Split::Train,
        reel.sequences.div_ceil(SEQUENCES_A_PERSON) as usize,
        reel.seed,
    )?;
    Ok(cast)
}
