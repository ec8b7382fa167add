//! Databases of annotated micro-expressions, read as they are published.
//!
//! | module | meaning |
//! |---|---|
//! | [`sheet`] | xlsx, xls and csv: columns by name, problems with their place |
//! | [`tokens`] | the words for action units |
//! | [`labels`] | emotion words, classes of a protocol |
//! | [`frames`] | folders of numbered images |
//! | [`long`] | videos in which micro-expressions are to be found |
//! | [`au`] | videos whose frames are coded in action units |
//! | [`layouts`] | what each database calls its sheets, columns and folders |
//! | [`crops`] | annotated frames through the daemon's face stage |
//!
//! Sources of the layouts: the databases' release notes and the public loaders tvaranka/meb (Apache-2.0), SOFTNet and
//! MEAN. What a row lacks or has wrong is reported with file, row and column; a row is used as far as it goes.

pub mod au;
#[cfg(test)]
mod au_test;
pub mod crops;
pub mod frames;
pub mod labels;
pub mod layouts;
#[cfg(test)]
mod layouts_test;
pub mod long;
#[cfg(test)]
mod long_test;
pub mod sheet;
pub mod tokens;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use frames::FrameFolder;
use sheet::{Problem, Row};
use tokens::Coded;

/// The databases that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
pub enum Database {
    /// CASME II (Yan et al. 2014), 200 frames/s.
    #[value(name = "casme2")]
    #[serde(rename = "casme2")]
    Casme2,
    /// SAMM (Davison et al. 2018), 200 frames/s, gray.
    #[serde(rename = "samm")]
    Samm,
    /// SMIC (Li et al. 2013): parts `hs` (100 frames/s; default), `vis`, `nir` (25).
    #[serde(rename = "smic")]
    Smic,
    /// CAS(ME)2 (Qu et al. 2018), 30 frames/s, micro- and macro-expressions.
    #[value(name = "cas-me2")]
    #[serde(rename = "cas-me2")]
    CasMe2,
    /// CAS(ME)3 (Li et al. 2023), 30 frames/s, with depth: parts `a` (default), `a-macro`, `c`.
    #[value(name = "cas-me3")]
    #[serde(rename = "cas-me3")]
    CasMe3,
    /// 4DME (Li et al. 2022), the gray videos, 60 frames/s.
    #[value(name = "4dme")]
    #[serde(rename = "4dme")]
    FourDme,
    /// MMEW (Ben et al. 2022), 90 frames/s.
    #[serde(rename = "mmew")]
    Mmew,
    /// DFME (Zhao et al. 2023), 200 to 500 frames/s: parts `train` (default), `test-a`, `test-b`.
    #[serde(rename = "dfme")]
    Dfme,
}

/// Whether a movement is a micro- or a macro-expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Up to half a second.
    Micro,
    /// Longer.
    Macro,
}

/// One annotated movement, with its frames on disk.
#[derive(Debug, Clone)]
pub struct AnnotatedSample {
    /// Unique in its database.
    pub id: String,
    /// Its clip, as the sheet or the folder calls it.
    pub clip: String,
    /// The person: a string, leading zeros kept.
    pub subject: String,
    /// Number of the frame before the movement, as the files are numbered.
    pub onset: u32,
    /// Number of the frame of its greatest extent.
    pub apex: u32,
    /// Whether the apex was not annotated: the middle between onset and offset.
    pub apex_estimated: bool,
    /// Number of the frame after the movement, where it is known.
    pub offset: Option<u32>,
    /// Frames per second.
    pub fps: f64,
    /// Micro or macro.
    pub length: Length,
    /// Emotions as [`labels::emotion`] spells them: one; several in 4DME.
    pub emotions: Vec<String>,
    /// Objective class, 1 (I) to 7 (VII), where there is one.
    pub objective: Option<u8>,
    /// Action units.
    pub aus: Vec<Coded>,
    /// Images of the clip.
    pub frames: FrameFolder,
    /// Folder of the clip below which `--depth-pattern` finds depth images.
    pub clip_dir: PathBuf,
}

impl AnnotatedSample {
    /// Class of the movement; `None` where the protocol leaves it out, or where its emotions are of several classes.
    pub fn class(&self, protocol: labels::Protocol) -> Option<usize> {
        let mut classes = self.emotions.iter().map(|e| protocol.class(e));
        let first = classes.next()??;
        classes.all(|c| c == Some(first)).then_some(first)
    }

    /// Intensity 0 to 5 of every AU of [`glint::au::AUS`]: as coded, or 1 where only presence was.
    pub fn intensities(&self) -> [f32; glint::au::AU_COUNT] {
        let mut out = [0.0f32; glint::au::AU_COUNT];
        for coded in self.aus.iter().filter(|c| c.certain) {
            if let Some(i) = glint::au::au_index(coded.au) {
                out[i] = out[i].max(coded.intensity.unwrap_or(1.0));
            }
        }
        out
    }
}

/// What is read from where.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The sheet, where it does not lie under its published name.
    pub sheet: Option<PathBuf>,
    /// The folder with the frames, likewise.
    pub frames: Option<PathBuf>,
    /// Part of the database (see [`Database`]).
    pub part: Option<String>,
}

/// What a database gave.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Movements whose frames are there.
    pub samples: Vec<AnnotatedSample>,
    /// What was wrong, in the order of the sheet.
    pub problems: Vec<Problem>,
}

/// Reads a database below `dir`. Fails where no sheet, no column or no usable row is found; single bad rows are reported
/// in [`Loaded::problems`].
pub fn load(database: Database, dir: &Path, options: &LoadOptions) -> Result<Loaded> {
    ensure!(dir.is_dir(), "{}: no such folder", dir.display());
    let loaded = layouts::load(database, dir, options)?;
    if loaded.samples.is_empty() {
        let first = loaded.problems.first().map_or_else(String::new, |p| format!("; the first problem: {p}"));
        anyhow::bail!("{}: no row can be used{first}", dir.display());
    }
    Ok(loaded)
}

/// What a row says of times, before the frames are looked at.
#[derive(Debug, Clone, Copy)]
struct Times {
    onset: u32,
    apex: u32,
    estimated: bool,
    offset: Option<u32>,
}

/// Longest movement that is believed, in seconds: a macro-expression lasts up to four.
const MAX_SECONDS: f64 = 20.0;

/// Times of a row out of what its three cells say. The rules, each reported where it applies: an offset that is not
/// after the onset, or is far away, is dropped; an apex that is missing, equal to the onset or outside the movement is
/// replaced by the middle; a row without an onset, or without both apex and offset, is left out.
fn times(
    onset: (Result<Option<u32>, String>, Option<sheet::Column>),
    apex: (Result<Option<u32>, String>, Option<sheet::Column>),
    offset: (Result<Option<u32>, String>, Option<sheet::Column>),
    fps: f64,
    row: &Row<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Times> {
    let start = match onset.0 {
        Ok(Some(n)) => n,
        Ok(None) => {
            problems.push(row.problem(onset.1, "no onset".into(), "row left out"));
            return None;
        }
        Err(reason) => {
            problems.push(row.problem(onset.1, reason, "row left out"));
            return None;
        }
    };
    let end = match offset.0 {
        Ok(None) => None,
        // CAS(ME)2 writes 0 for an offset that nobody saw.
        Ok(Some(0)) if start > 0 => None,
        Ok(Some(n)) if n > start && f64::from(n - start) <= MAX_SECONDS * fps => Some(n),
        Ok(Some(n)) => {
            problems.push(row.problem(
                offset.1,
                format!("offset {n} does not fit onset {start}"),
                "offset ignored",
            ));
            None
        }
        Err(reason) => {
            problems.push(row.problem(offset.1, reason, "offset ignored"));
            None
        }
    };
    let believed =
        |n: u32| n > start && end.is_none_or(|e| n <= e) && f64::from(n - start) <= MAX_SECONDS * fps;
    let (stated, reason) = match apex.0 {
        Ok(Some(n)) if believed(n) => (Some(n), None),
        // An apex of 0 stands for none; a column that is not there is no fault of the row.
        Ok(Some(0)) => (None, Some("no apex".to_owned())),
        Ok(Some(n)) if n == start => (None, Some(format!("apex {n} is the onset"))),
        Ok(Some(n)) => (None, Some(format!("apex {n} lies outside the movement"))),
        Ok(None) => (None, apex.1.map(|_| "no apex".to_owned())),
        Err(reason) => (None, Some(reason)),
    };
    let middle = end.map(|e| start + (e - start).div_ceil(2));
    let Some(peak) = stated.or(middle) else {
        problems.push(row.problem(
            apex.1,
            reason.unwrap_or_else(|| "no apex and no offset".into()),
            "row left out",
        ));
        return None;
    };
    if let Some(reason) = reason {
        problems.push(row.problem(apex.1, reason, "the middle of the movement is taken"));
    }
    Some(Times { onset: start, apex: peak, estimated: stated.is_none(), offset: end })
}
