//! Databases of long videos, in which micro-expressions are to be found.
//!
//! A layout is read only where a published loader reads it too:
//!
//! | database | sheet and frames, after |
//! |---|---|
//! | SAMM Long Videos | `load_excel.py`, `load_images.py` of zizheng-guo/BoostingVRME and genbing99/MEAN_Spot-then-recognize |
//! | CAS(ME)2 | `load_excel.py`, `load_images.py` of genbing99/MEAN_Spot-then-recognize |
//! | CAS(ME)3 part A | `load_excel.py`, `load_images.py` of zizheng-guo/ME-TST; tvaranka/meb |
//!
//! The folders of the Micro-Expression Grand Challenge up to 2021 hold the first two as they are published.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use super::frames::{FrameFolder, walk};
use super::labels::Protocol;
use super::layouts::{self, frames_root};
use super::sheet::Problem;
use super::{AnnotatedSample, Database, Length, LoadOptions, Loaded};

/// Databases of long videos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LongDatabase {
    /// SAMM Long Videos (Yap et al. 2020), 200 frames/s.
    SammLv,
    /// CAS(ME)2 (Qu et al. 2018), 30 frames/s.
    #[value(name = "cas-me2")]
    CasMe2,
    /// CAS(ME)3 part A (Li et al. 2023), 30 frames/s.
    #[value(name = "cas-me3")]
    CasMe3,
    /// SMIC-E in its long form: refused.
    SmicLong,
    /// The long gray videos of 4DME: refused.
    #[value(name = "4dme-long")]
    FourDmeLong,
    /// The unseen test videos of the Micro-Expression Grand Challenge: refused.
    MegcTest,
}

impl LongDatabase {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::SammLv => "samm-lv",
            Self::CasMe2 => "cas-me2",
            Self::CasMe3 => "cas-me3",
            Self::SmicLong => "smic-long",
            Self::FourDmeLong => "4dme-long",
            Self::MegcTest => "megc-test",
        }
    }

    /// Names of its folder of frames, and how many levels below it the frames of a video lie.
    fn frames(self) -> Option<(&'static [&'static str], usize)> {
        match self {
            Self::SammLv => Some((&["SAMM_longvideos"], 1)),
            Self::CasMe2 => Some((&["rawpic"], 2)),
            Self::CasMe3 => Some((&["part_A"], 3)),
            Self::SmicLong | Self::FourDmeLong | Self::MegcTest => None,
        }
    }
}

/// A micro-expression: numbers of frames as the files are numbered, the first and the last one of it included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnotatedSpan {
    /// The first frame.
    pub onset: u32,
    /// The last frame; the apex where no offset was seen.
    pub offset: u32,
    /// Negative, positive or surprise; `None` of another emotion, or where none is annotated.
    pub class: Option<usize>,
}

/// One video.
#[derive(Debug, Clone)]
pub struct LongVideo {
    /// Path below the folder of frames.
    pub name: String,
    /// Its images.
    pub frames: FrameFolder,
    /// Frames per second.
    pub fps: f64,
    /// What is to be found in it.
    pub micros: Vec<AnnotatedSpan>,
}

/// What a database gave.
#[derive(Debug, Default)]
pub struct LongVideos {
    /// Every video, those without a micro-expression too, in the order of their names.
    pub videos: Vec<LongVideo>,
    /// Whether emotions are annotated.
    pub emotions: bool,
    /// What was wrong with rows and folders.
    pub problems: Vec<Problem>,
}

/// Reads a database below `dir`, or refuses it by name.
pub fn load(database: LongDatabase, dir: &Path, options: &LoadOptions) -> Result<LongVideos> {
    let Some((roots, levels)) = database.frames() else {
        bail!("{}: layout not confirmed: no published loader that reads its truth is known", database.name());
    };
    ensure!(dir.is_dir(), "{}: no such folder", dir.display());
    let Loaded { samples, mut problems } = match database {
        LongDatabase::SammLv => layouts::samm_long(dir, options)?,
        LongDatabase::CasMe2 => super::load(Database::CasMe2, dir, options)?,
        _ => super::load(Database::CasMe3, dir, options)?,
    };
    let micro: Vec<&AnnotatedSample> = samples.iter().filter(|s| s.length == Length::Micro).collect();
    ensure!(!micro.is_empty(), "{}: no micro-expression can be used", dir.display());
    let fps = micro[0].fps;
    let mut spans: BTreeMap<PathBuf, Vec<AnnotatedSpan>> = BTreeMap::new();
    for sample in &micro {
        spans.entry(sample.frames.dir.clone()).or_default().push(AnnotatedSpan {
            onset: sample.onset,
            offset: sample.offset.unwrap_or(sample.apex),
            class: sample.class(Protocol::Three),
        });
    }
    let root = frames_root(roots, dir, options);
    let mut videos = Vec::new();
    for folder in walk(&root, levels - 1) {
        let depth = folder.strip_prefix(&root).map_or(0, |below| below.components().count());
        let depth_images = database == LongDatabase::CasMe3 && !folder.ends_with("color");
        if depth != levels || !folder.is_dir() || depth_images {
            continue;
        }
        let name = folder.strip_prefix(&root).unwrap_or(&folder).display().to_string();
        match FrameFolder::open(&folder) {
            Ok(frames) => {
                let micros = spans.remove(&folder).unwrap_or_default();
                videos.push(LongVideo { name, frames, fps, micros });
            }
            Err(e) => problems.push(Problem {
                file: folder,
                row: 0,
                column: String::new(),
                reason: format!("{e:#}"),
                remedy: "video left out",
            }),
        }
    }
    ensure!(
        spans.is_empty(),
        "{}: annotated, but not among the videos below {}",
        spans.keys().next().map_or_else(String::new, |p| p.display().to_string()),
        root.display()
    );
    let emotions = micro.iter().any(|s| !s.emotions.is_empty());
    Ok(LongVideos { videos, emotions, problems })
}
