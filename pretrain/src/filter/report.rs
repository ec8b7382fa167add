//! What was kept and why: one file a recording, and the sum of all.
//!
//! Every recording leaves `NAME.tar` (its pairs, where there are any) and `NAME.json` (its report), written under another
//! name and renamed, so that what is there is whole. A run, or a merge of shards, ends with `report.json`, `index.csv`
//! and `report.html`; their bytes depend on the recordings and the rules alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use glint::au::{AU_COUNT, AUS};
use glint::intensity::au_key;
use serde::{Deserialize, Serialize};

use super::judge::Reason;
use super::scan::Rules;

/// One excursion in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Number of the reference frame.
    pub reference: Option<u64>,
    /// Number of the target frame.
    pub target: u64,
    /// Time of the target in ms.
    pub target_ms: f64,
    /// First and last ms above the minimum.
    pub span_ms: [f64; 2],
    /// Why it is kept or not.
    pub reason: Reason,
    /// Intensities above 0.05 by AU.
    pub aus: BTreeMap<String, f32>,
}

impl Line {
    /// The AUs worth naming.
    pub fn aus(intensities: &[f32; AU_COUNT]) -> BTreeMap<String, f32> {
        let named = AUS.iter().zip(intensities).filter(|(_, i)| **i > 0.05);
        named.map(|(au, i)| (au_key(*au), (i * 1000.0).round() / 1000.0)).collect()
    }
}

/// Report of one recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitReport {
    /// Its path below the folder that was scanned.
    pub name: String,
    /// What it was scanned with: a report of other rules is not used again.
    pub rules: Rules,
    /// SHA-256 of the AU table that measured.
    pub model: String,
    /// Frames.
    pub frames: u64,
    /// Frames in which a face could be measured.
    pub measured: u64,
    /// Pairs that were judged, of a file of pairs.
    #[serde(default, skip_serializing_if = "is_none")]
    pub pairs: u64,
    /// Why it could not be read to its end.
    pub error: Option<String>,
    /// Every excursion.
    pub lines: Vec<Line>,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl UnitReport {
    /// Pairs that were kept.
    pub fn kept(&self) -> usize {
        self.lines.iter().filter(|l| l.reason == Reason::Kept).count()
    }
}

/// The sum of many recordings.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Recordings and files of pairs.
    pub units: usize,
    /// Recordings that could not be read to their end.
    pub broken: Vec<String>,
    /// Frames.
    pub frames: u64,
    /// Frames in which a face could be measured.
    pub measured: u64,
    /// Pairs that were judged.
    #[serde(skip_serializing_if = "is_none")]
    pub pairs: u64,
    /// Excursions and pairs by what became of them.
    pub reasons: BTreeMap<Reason, usize>,
    /// Kept pairs by their strongest AU.
    pub strongest: BTreeMap<String, usize>,
    /// Kept pairs by the intensity of it, in steps of a quarter: `0.25` counts 0.25 to 0.5.
    pub intensity: BTreeMap<String, usize>,
}

/// The name of a file that is being written.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    PathBuf::from(fresh)
}

/// Writes `bytes` so that the file is whole or not there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = unfinished(path);
    std::fs::write(&fresh, bytes).with_context(|| fresh.display().to_string())?;
    std::fs::rename(&fresh, path).with_context(|| path.display().to_string())
}

/// Reports of recordings in a folder, by their names.
fn unit_reports(dir: &Path) -> Result<Vec<(PathBuf, UnitReport)>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry.with_context(|| dir.display().to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.ends_with(".unit.json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let report = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        out.push((path, report));
    }
    Ok(out)
}

/// Sums what lies in `parts` up in `out`: files of recordings are copied there unless `out` is their folder. The parts
/// must have the same rules and no recording in common.
pub fn merge(parts: &[PathBuf], out: &Path) -> Result<Summary> {
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let mut all: BTreeMap<String, UnitReport> = BTreeMap::new();
    for dir in parts {
        let reports = unit_reports(dir)?;
        ensure!(!reports.is_empty(), "{}: no report of a recording in it", dir.display());
        for (path, report) in reports {
            if let Some(other) = all.values().next() {
                let same = other.rules == report.rules && other.model == report.model;
                ensure!(same, "{}: scanned with other rules or models than {}", path.display(), other.name);
            }
            if dir != out {
                copy(&path, out)?;
                let tar = PathBuf::from(path.to_string_lossy().replace(".unit.json", ".tar"));
                if report.kept() > 0 {
                    copy(&tar, out)?;
                }
            }
            let name = report.name.clone();
            if all.insert(name.clone(), report).is_some() {
                bail!("{name}: in two of the parts");
            }
        }
    }
    let summary = sum(all.values());
    write_whole(&out.join("index.csv"), index(all.values()).as_bytes())?;
    let rules = all.values().next().map(|r| serde_json::to_value(r.rules)).transpose()?;
    let json = serde_json::json!({"rules": rules, "summary": summary});
    write_whole(&out.join("report.json"), format!("{json:#}\n").as_bytes())?;
    write_whole(&out.join("report.html"), html(&summary).as_bytes())?;
    Ok(summary)
}

fn copy(file: &Path, out: &Path) -> Result<()> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    write_whole(&out.join(file.file_name().unwrap_or_default()), &bytes)
}

fn sum<'a>(reports: impl Iterator<Item = &'a UnitReport>) -> Summary {
    let mut out = Summary::default();
    for report in reports {
        out.units += 1;
        out.frames += report.frames;
        out.measured += report.measured;
        out.pairs += report.pairs;
        out.broken.extend(report.error.as_ref().map(|e| format!("{}: {e}", report.name)));
        for line in &report.lines {
            *out.reasons.entry(line.reason).or_default() += 1;
            let strongest = line.aus.iter().max_by(|a, b| a.1.total_cmp(b.1));
            if let (Reason::Kept, Some((au, intensity))) = (line.reason, strongest) {
                *out.strongest.entry(au.clone()).or_default() += 1;
                *out.intensity.entry(format!("{:.2}", (intensity * 4.0).floor() / 4.0)).or_default() += 1;
            }
        }
    }
    out
}

fn index<'a>(reports: impl Iterator<Item = &'a UnitReport>) -> String {
    let mut out = String::from("recording,reference,target,target_ms,from_ms,to_ms,reason,aus\n");
    for report in reports {
        for line in &report.lines {
            let aus: Vec<String> = line.aus.iter().map(|(au, i)| format!("{au}={i}")).collect();
            let reference = line.reference.map_or(String::new(), |r| r.to_string());
            let name = if report.name.contains([',', '"']) {
                format!("\"{}\"", report.name.replace('"', "\"\""))
            } else {
                report.name.clone()
            };
            let [from, to] = line.span_ms;
            let reason = line.reason;
            let (target, at) = (line.target, line.target_ms);
            // Writing to a string does not fail.
            let _ = writeln!(out, "{name},{reference},{target},{at},{from},{to},{reason},{}", aus.join(" "));
        }
    }
    out
}

fn html(s: &Summary) -> String {
    let row =
        |name: &str, value: &dyn std::fmt::Display| format!("<tr><td>{name}</td><td>{value}</td></tr>\n");
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let mut body = format!(
        "<h1>Filter</h1>\n<table>\n{}{}{}</table>\n",
        row("recordings", &s.units),
        row("frames", &s.frames),
        row("frames with a measured face", &s.measured)
    );
    let reasons = s.reasons.iter().map(|(r, n)| row(r.as_str(), n)).collect::<String>();
    let tables = [
        ("Excursions", reasons),
        ("Kept pairs by their strongest AU", s.strongest.iter().map(|(a, n)| row(a, n)).collect()),
        ("Kept pairs by intensity, from", s.intensity.iter().map(|(i, n)| row(i, n)).collect()),
    ];
    for (title, rows) in tables {
        body += &format!("<h2>{title}</h2>\n<table>\n{rows}</table>\n");
    }
    if !s.broken.is_empty() {
        let lines: String = s.broken.iter().map(|b| format!("<li>{}</li>\n", escape(b))).collect();
        body += &format!("<h2>Not read to their end</h2>\n<ul>\n{lines}</ul>\n");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>filter</title>\n\
         <style>body{{font:15px sans-serif;max-width:50em;margin:2em auto}}td{{border:1px solid #ccc;padding:.2em .6em}}</style>\n\
         </head><body>\n{body}</body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::judge::Range;

    fn report(name: &str, macro_from: f32) -> UnitReport {
        let line = |reason| Line {
            reference: Some(3),
            target: 9,
            target_ms: 180.0,
            span_ms: [100.0, 240.0],
            reason,
            aus: Line::aus(&std::array::from_fn(|k| if k == 8 { 0.8 } else { 0.01 })),
        };
        UnitReport {
            name: name.into(),
            rules: Rules {
                range: Range { least: [0.4; AU_COUNT], macro_from },
                max_ms: 500.0,
                unfiltered: false,
            },
            model: "m".into(),
            frames: 100,
            measured: 90,
            pairs: 0,
            error: (name == "b").then(|| "truncated <in> frame 3".into()),
            lines: vec![line(Reason::Kept), line(Reason::Blink)],
        }
    }

    fn folder(reports: &[UnitReport]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("folder");
        for r in reports {
            let text = serde_json::to_string(r).expect("json");
            write_whole(&dir.path().join(format!("{}.unit.json", r.name)), text.as_bytes()).expect("writes");
            write_whole(&dir.path().join(format!("{}.tar", r.name)), b"pairs").expect("writes");
        }
        dir
    }

    #[test]
    fn parts_sum_up_and_must_fit() {
        let (one, two) = (folder(&[report("b", 2.5)]), folder(&[report("a", 2.5)]));
        let out = tempfile::tempdir().expect("folder");
        let paths = [one.path().to_owned(), two.path().to_owned()];
        let summary = merge(&paths, out.path()).expect("merges");
        assert_eq!((summary.units, summary.frames, summary.measured), (2, 200, 180));
        assert_eq!(summary.reasons, BTreeMap::from([(Reason::Kept, 2), (Reason::Blink, 2)]));
        assert_eq!(summary.strongest, BTreeMap::from([("au12".into(), 2)]));
        assert_eq!(summary.intensity, BTreeMap::from([("0.75".into(), 2)]));
        let index = std::fs::read_to_string(out.path().join("index.csv")).expect("index");
        assert!(index.lines().nth(1).is_some_and(|l| l == "a,3,9,180,100,240,kept,au12=0.8"), "{index}");
        let html = std::fs::read_to_string(out.path().join("report.html")).expect("report");
        assert!(html.contains("truncated &lt;in> frame 3"));
        assert!(out.path().join("a.tar").exists());
        // What was merged can be summed up where it lies, with the same result.
        assert_eq!(merge(&[out.path().to_owned()], out.path()).expect("sums"), summary);
        let twice = [one.path().to_owned(), one.path().to_owned()];
        assert!(merge(&twice, out.path()).expect_err("twice").to_string().contains("in two of the parts"));
        let other = folder(&[report("c", 3.0)]);
        let mixed = [one.path().to_owned(), other.path().to_owned()];
        assert!(merge(&mixed, out.path()).expect_err("other rules").to_string().contains("other rules"));
    }
}
