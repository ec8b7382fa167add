//! Runs: what went in, what came out, and how to go on after an interruption.
//!
//! | module | meaning |
//! |---|---|
//! | [`recipe`] | TOML recipes, refused where they are wrong |
//! | [`checkpoint`] | state of a training that can be continued with the same result |
//! | [`plot`] | pictures: loss, confusion, calibration |
//!
//! A [`Run`] is a folder `out/NAME-SEED`: `recipe.toml` as it was used, `run.json` (seed, git revision), `metrics.jsonl`,
//! pictures, and `report.html` with all of them in one file.

pub mod checkpoint;
pub mod plot;
pub mod recipe;

use std::fs::File;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use glint::canvas::Canvas;
use glint::drawing::{Drawing, escape};

/// The folder of one run.
pub struct Run {
    dir: PathBuf,
    seed: u64,
    resume: bool,
    metrics: Mutex<File>,
    report: Mutex<String>,
}

/// What a run was asked for; the first file that it writes.
const RECIPE: &str = "recipe.toml";

fn folder(name: &str, seed: u64) -> PathBuf {
    PathBuf::from("out").join(format!("{name}-{seed}"))
}

/// Whether there is a run that could be resumed: in a folder, or without one that of this name and seed.
pub fn is_begun(dir: Option<&Path>, name: &str, seed: u64) -> bool {
    dir.map_or_else(|| folder(name, seed), Path::to_owned).join(RECIPE).exists()
}

impl Run {
    /// Opens `out/NAME-SEED`. A new run empties it; one that resumes must have the same recipe.
    pub fn start(name: &str, seed: u64, recipe: &impl Serialize, resume: bool) -> Result<Self> {
        Self::start_in(&folder(name, seed), seed, recipe, resume)
    }

    /// Opens a folder of one's own choice.
    pub fn start_in(dir: &Path, seed: u64, recipe: &impl Serialize, resume: bool) -> Result<Self> {
        let recipe = toml::to_string(recipe).context("recipe")?;
        let kept = dir.join(RECIPE);
        if resume {
            let old =
                std::fs::read_to_string(&kept).with_context(|| format!("--resume: {}", kept.display()))?;
            ensure!(old == recipe, "--resume: the recipe differs from {}", kept.display());
        } else if kept.exists() {
            // Only what a run writes: the folder may be somebody's.
            for entry in std::fs::read_dir(dir)? {
                let path = entry?.path();
                let ours = ["state", "jsonl", "png", "html", "csv"];
                if path.extension().is_some_and(|e| ours.iter().any(|o| e == *o)) {
                    std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
                }
            }
        }
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        std::fs::write(&kept, &recipe).with_context(|| kept.display().to_string())?;
        let facts = json!({
            "seed": seed,
            "git": revision(),
            "version": env!("CARGO_PKG_VERSION"),
            "command": std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        });
        std::fs::write(dir.join("run.json"), format!("{facts:#}\n"))?;
        let path = dir.join("metrics.jsonl");
        let metrics = File::options().create(true).append(true).open(&path);
        let metrics = Mutex::new(metrics.with_context(|| path.display().to_string())?);
        let name = dir.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let report = format!("<h1>{}</h1>\n<pre>{}</pre>\n", escape(&name), escape(&format!("{facts:#}")))
            + &format!("<h2>Recipe</h2>\n<pre>{}</pre>\n", escape(&recipe));
        watch_interrupt()?;
        Ok(Self { dir: dir.to_owned(), seed, resume, metrics, report: Mutex::new(report) })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether the run continues an interrupted one.
    pub fn resumes(&self) -> bool {
        self.resume
    }

    /// Appends one line to `metrics.jsonl`.
    pub fn log(&self, record: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(record)? + "\n";
        let mut file = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).context("metrics.jsonl")
    }

    /// Length of `metrics.jsonl`, for a checkpoint.
    fn logged(&self) -> Result<u64> {
        let file = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(file.metadata()?.len())
    }

    /// Forgets what was logged after a checkpoint.
    fn rewind(&self, length: u64) -> Result<()> {
        let file = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        if file.metadata()?.len() > length {
            file.set_len(length)?;
        }
        Ok(())
    }

    /// Adds a picture: `FILE.png` in the folder and a part of the report.
    pub fn figure(&self, file: &str, caption: &str, canvas: &Canvas) -> Result<()> {
        let png = canvas.png()?;
        let path = self.dir.join(file);
        std::fs::write(&path, &png).with_context(|| path.display().to_string())?;
        let data = base64::engine::general_purpose::STANDARD.encode(&png);
        let caption = escape(caption);
        self.add(&format!(
            "<h2>{caption}</h2>\n<img alt=\"{caption}\" src=\"data:image/png;base64,{data}\">\n"
        ));
        Ok(())
    }

    /// Adds a plot: `FILE.svg` in the folder and a part of the report.
    pub fn plot(&self, file: &str, caption: &str, drawing: &Drawing) -> Result<()> {
        let svg = drawing.svg(caption);
        let path = self.dir.join(file);
        std::fs::write(&path, &svg).with_context(|| path.display().to_string())?;
        self.add(&format!("<h2>{}</h2>\n{svg}", escape(caption)));
        Ok(())
    }

    /// Adds a table to the report.
    pub fn table(&self, caption: &str, header: &[&str], rows: &[Vec<String>]) {
        let row = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
            let cells: String = cells.map(|c| format!("<{tag}>{}</{tag}>", escape(c))).collect();
            format!("<tr>{cells}</tr>\n")
        };
        let head = row("th", &mut header.iter().copied());
        let body: String = rows.iter().map(|r| row("td", &mut r.iter().map(String::as_str))).collect();
        self.add(&format!("<h2>{}</h2>\n<table>\n{head}{body}</table>\n", escape(caption)));
    }

    fn add(&self, html: &str) {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).push_str(html);
    }

    /// Draws the loss of every stage and writes `report.html`.
    pub fn finish(self) -> Result<()> {
        let path = self.dir.join("metrics.jsonl");
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        let mut losses: Vec<(String, Vec<(f32, f32)>)> = Vec::new();
        for line in std::io::BufReader::new(file).lines() {
            let record: Value = serde_json::from_str(&line?).with_context(|| path.display().to_string())?;
            let (Some(step), Some(mean)) = (record["step"].as_f64(), record["mean"].as_f64()) else {
                continue;
            };
            let stage = record["stage"].as_str().unwrap_or("loss");
            if losses.last().is_none_or(|(name, _)| name != stage) {
                losses.push((stage.into(), Vec::new()));
            }
            if let Some((_, points)) = losses.last_mut() {
                points.push((step as f32, mean as f32));
            }
        }
        if !losses.is_empty() {
            self.plot("loss.svg", "Loss, running mean", &plot::lines(&losses, "step", "loss"))?;
        }
        let body = self.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        let html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>\n<style>{STYLE}</style></head>\n\
             <body>\n{body}</body></html>\n",
            escape(&self.dir.display().to_string())
        );
        let path = self.dir.join("report.html");
        std::fs::write(&path, html).with_context(|| path.display().to_string())?;
        eprintln!("{}", path.display());
        Ok(())
    }
}

const STYLE: &str = "body{font:15px sans-serif;max-width:60em;margin:2em auto}table{border-collapse:collapse}\
                     td,th{border:1px solid #ccc;padding:.2em .6em;text-align:right}pre{background:#f4f4f4;padding:1em}";

/// Commit of the working tree that the command runs in, `-dirty` where it is changed; "unknown" outside of one.
pub fn revision() -> String {
    let git = |args: &[&str]| {
        let out = std::process::Command::new("git").args(args).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".into() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| !s.is_empty());
    if changed { commit + "-dirty" } else { commit }
}

/// A progress bar on stderr.
pub fn bar(what: &str, count: u64) -> ProgressBar {
    let bar = ProgressBar::new(count).with_message(what.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{msg:28} {bar:40} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar
}

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Whether Ctrl-C (or a stop signal) has come: finish what a checkpoint needs, then leave with [`Interrupted`].
pub fn interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// The first signal is noted, the second ends the process at once.
pub fn watch_interrupt() -> Result<()> {
    if INTERRUPTED.get().is_some() {
        return Ok(());
    }
    let flag = Arc::clone(INTERRUPTED.get_or_init(Arc::default));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&flag))?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(())
}

/// The run was stopped before its end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; the same command with --resume continues")]
pub struct Interrupted;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_leaves_recipe_metrics_and_one_report() {
        let dir = tempfile::tempdir().expect("folder");
        let recipe = std::collections::BTreeMap::from([("steps", 3)]);
        let run = Run::start_in(dir.path(), 5, &recipe, false).expect("run");
        for step in 0..3 {
            run.log(&json!({"stage": "net", "step": step, "loss": 1.0, "mean": 1.0 / (step + 1) as f32}))
                .expect("log");
        }
        run.table("Scores <all>", &["name", "uf1"], &[vec!["a & b".into(), "0.5".into()]]);
        run.finish().expect("report");
        let html = std::fs::read_to_string(dir.path().join("report.html")).expect("report");
        assert!(html.contains("Scores &lt;all&gt;") && html.contains("a &amp; b") && html.contains("<svg "));
        assert!(dir.path().join("loss.svg").exists());
        assert_eq!(std::fs::read_to_string(dir.path().join("recipe.toml")).expect("recipe"), "steps = 3\n");
        // Another recipe cannot continue it, and a new run begins with empty metrics.
        let other = std::collections::BTreeMap::from([("steps", 4)]);
        let error = Run::start_in(dir.path(), 5, &other, true).err().expect("refused").to_string();
        assert!(error.contains("recipe differs"), "{error}");
        Run::start_in(dir.path(), 5, &other, false).expect("run");
        assert_eq!(std::fs::metadata(dir.path().join("metrics.jsonl")).expect("metrics").len(), 0);
    }
}
