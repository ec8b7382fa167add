//! One recording to its pairs and its report, on disk.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use glint::clip::{Clip, Media};
use glint::frame::Frame;
use glint::pipeline::Models;
use indicatif::ProgressBar;
use serde_json::json;

use super::judge::Reason;
use super::report::{Line, UnitReport, unfinished, write_whole};
use super::scan::{Excursion, Rules, ScannedFrame, Scanner};
use super::units::ScanUnit;
use crate::databases::crops::{CropPair, depth_crop, depth_name};
use crate::databases::frames::{FrameFolder, read_depth};
use crate::pairs::{self, Pair};
use crate::run;

/// How recordings are scanned.
pub struct Job<'a> {
    /// Folder for pairs and reports.
    pub out: &'a Path,
    /// Frame rate of folders of images.
    pub fps: f64,
    /// Depth images beside the folder of frames.
    pub depth_pattern: Option<&'a str>,
    /// Models.
    pub models: &'a Models,
    /// What is kept.
    pub rules: Rules,
}

/// What was done with a unit now; nothing where its report was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Frames that were read.
    pub frames: u64,
    /// Pairs that were found in them and kept.
    pub found: u64,
    /// Drawn pairs that were judged.
    pub pairs: u64,
    /// Those that were kept.
    pub kept: u64,
}

impl std::iter::Sum for Done {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            frames: a.frames + b.frames,
            found: a.found + b.found,
            pairs: a.pairs + b.pairs,
            kept: a.kept + b.kept,
        })
    }
}

impl Job<'_> {
    /// Scans one recording, or judges one file of pairs, unless its report is there.
    pub fn unit(&self, unit: &ScanUnit, bar: &ProgressBar) -> Result<Done> {
        let (json, tar) =
            (self.out.join(format!("{}.unit.json", unit.id())), self.out.join(format!("{}.tar", unit.id())));
        let known =
            std::fs::read_to_string(&json).ok().and_then(|t| serde_json::from_str::<UnitReport>(&t).ok());
        let fits =
            |r: &UnitReport| r.name == unit.name && r.rules == self.rules && r.model == self.models.au.sha256;
        if known.is_some_and(|r| fits(&r)) {
            bar.inc(1);
            return Ok(Done::default());
        }
        ensure!(!run::interrupted(), "interrupted; the same command continues");
        // Pairs go to disk as they are found: memory does not grow with the recording.
        let fresh = unfinished(&tar);
        let report = if unit.is_pairs() { self.judge_pairs(unit, &fresh) } else { self.scan(unit, &fresh) }?;
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
        let kept = report.kept() as u64;
        let (found, kept) = if unit.is_pairs() { (0, kept) } else { (kept, 0) };
        Ok(Done { frames: report.frames, found, pairs: report.pairs, kept })
    }

    /// The report of a unit of which nothing is known yet.
    pub(super) fn report(&self, unit: &ScanUnit) -> UnitReport {
        UnitReport {
            name: unit.name.clone(),
            rules: self.rules,
            model: self.models.au.sha256.clone(),
            frames: 0,
            measured: 0,
            pairs: 0,
            error: None,
            lines: Vec::new(),
        }
    }

    /// Scans one recording; its pairs go to `pairs`.
    fn scan(&self, unit: &ScanUnit, pairs: &Path) -> Result<UnitReport> {
        let mut scanner = Scanner::new(self.models, self.rules)?;
        let name = || pairs.display().to_string();
        let mut tar = tar::Builder::new(BufWriter::new(File::create(pairs).with_context(name)?));
        let mut lines = Vec::new();
        let mut failed: Option<anyhow::Error> = None;
        let mut error = None;
        let numbers = self.depth_numbers(unit)?;
        {
            let mut keep = |e: Excursion| {
                let line = line(&e);
                if e.reason == Reason::Kept
                    && let Err(cause) = self.keep(unit, &e, &line, numbers.as_deref(), &mut tar)
                {
                    failed.get_or_insert(cause);
                }
                lines.push(line);
            };
            // A recording that cannot be read is reported; the others go on.
            match Clip::open(&unit.path, unit.path.is_dir().then_some(self.fps)) {
                // The path is the unit's name already, and differs between machines.
                Err(e) => error = Some(e.reason()),
                Ok(mut clip) => {
                    let mut frame = Frame::default();
                    loop {
                        match clip.next(&mut frame) {
                            Ok(Some(Media::Frame)) => scanner.push(&frame, &mut keep),
                            Ok(Some(Media::Damaged { seq, at_ns, .. })) => scanner.gap(seq, at_ns, &mut keep),
                            Ok(None) => break,
                            Err(e) => {
                                error = Some(e.reason());
                                break;
                            }
                        }
                    }
                    scanner.finish(&mut keep);
                }
            }
        }
        if let Some(cause) = failed {
            return Err(cause.context(unit.path.display().to_string()));
        }
        let [frames, measured] = scanner.frames;
        let report = UnitReport { frames, measured, error, lines, ..self.report(unit) };
        tar.into_inner().and_then(|mut file| file.flush()).with_context(name)?;
        Ok(report)
    }

    /// Numbers of the frames of a folder, where depth is wanted.
    fn depth_numbers(&self, unit: &ScanUnit) -> Result<Option<Vec<u32>>> {
        match self.depth_pattern {
            Some(_) if unit.path.is_dir() => Ok(Some(FrameFolder::open(&unit.path)?.numbers().collect())),
            _ => Ok(None),
        }
    }

    fn keep(
        &self,
        unit: &ScanUnit,
        e: &Excursion,
        line: &Line,
        numbers: Option<&[u32]>,
        tar: &mut tar::Builder<impl Write>,
    ) -> Result<()> {
        let Some(reference) = &e.reference else { return Ok(()) };
        let depth = match (numbers, self.depth_pattern) {
            (Some(numbers), Some(pattern)) => {
                let side = |still: &ScannedFrame| depth_of(unit, pattern, numbers, still);
                Some([side(reference)?, side(&e.target)?])
            }
            _ => None,
        };
        let facts = json!({
            "origin": pairs::VIDEO,
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
fn depth_of(unit: &ScanUnit, pattern: &str, numbers: &[u32], still: &ScannedFrame) -> Result<Vec<f32>> {
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
