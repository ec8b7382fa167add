//! `glint-pretrain ship`: every shipped model file, one step after the other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::run::{Run, interrupted, is_begun, recipe};

/// Runs the recipe of all shipped models from one seed: subject, detector, landmarks, student, AU network, judge. Each step is a
/// command of this program; its line stands in the model's TOML.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain ship --assets ../data --out models --seed 1")]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long)]
    assets: PathBuf,
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Seed of everything.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder of labelled samples (`index.csv`, `flow/`) of your own: the student is tuned on them.
    #[arg(long, value_name = "DIR")]
    labelled: Option<PathBuf>,
    /// Every step with little material: shows that the recipe runs, not what it can.
    #[arg(long)]
    quick: bool,
    /// TOML recipe; without it the built-in `recipes/ship.toml`.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Steps that are done are not repeated; the one that was interrupted goes on.
    #[arg(long)]
    resume: bool,
    /// Worker threads; without it one for each core.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// The steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    step: Vec<Step>,
}

/// One command of this program. `{assets}`, `{out}` and `{seed}` are filled in in `args`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// What it makes.
    name: String,
    /// Its arguments.
    args: Vec<String>,
    /// Options that --quick sets.
    #[serde(default)]
    quick: Vec<String>,
    /// Whether the command continues an interrupted run.
    #[serde(default)]
    resumes: bool,
    /// Whether it can be tuned on labelled samples.
    #[serde(default)]
    labelled: bool,
}

/// Holds the name of the step that was begun last.
const BEGUN: &str = "begun.state";

/// Whether a shipping stopped in this step. The steps after it have nothing to resume, or a run of another shipping.
fn was_interrupted(dir: &Path, step: &Step) -> bool {
    std::fs::read_to_string(dir.join(BEGUN)).is_ok_and(|name| name == step.name)
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let recipe: Recipe =
        recipe::read(args.recipe.as_deref(), "recipes/ship.toml", include_str!("../../recipes/ship.toml"))?;
    ensure!(
        args.labelled.is_none() || recipe.step.iter().any(|s| s.labelled),
        "--labelled: no step takes it"
    );
    let run = Run::start("ship", args.seed, &recipe, args.resume)?;
    let program = std::env::current_exe().context("this program")?;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let mut rows = Vec::new();
    for step in &recipe.step {
        let done = run.dir().join(format!("{}.state", step.name));
        if args.resume && done.exists() {
            eprintln!("{}: done before", step.name);
            continue;
        }
        let mut line: Vec<String> = step.args.iter().map(|a| fill(a, args)).collect::<Result<_>>()?;
        if args.quick {
            replace(&mut line, &step.quick);
        }
        if args.resume && step.resumes && was_interrupted(run.dir(), step) && is_begun(&line[0], args.seed) {
            line.push("--resume".into());
        }
        let begun = run.dir().join(BEGUN);
        std::fs::write(&begun, &step.name).with_context(|| begun.display().to_string())?;
        if let Some(dir) = args.labelled.as_deref().filter(|_| step.labelled) {
            line.extend(["--labelled".into(), text(dir)?]);
        }
        eprintln!("== {}: glint-pretrain {}", step.name, line.join(" "));
        let started = Instant::now();
        let mut command = Command::new(&program);
        command.args(&line);
        if let Some(threads) = args.threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        let status = command.status().with_context(|| program.display().to_string())?;
        if interrupted() || !status.success() {
            bail!("{}: {status}; the same command with --resume continues", step.name);
        }
        let seconds = started.elapsed().as_secs();
        run.log(&json!({"done": step.name, "seconds": seconds}))?;
        rows.push(vec![step.name.clone(), seconds.to_string(), format!("glint-pretrain {}", line.join(" "))]);
        std::fs::write(&done, line.join(" ")).with_context(|| done.display().to_string())?;
    }
    run.table("Steps", &["what", "seconds", "command"], &rows);
    for (name, digest) in digests(&args.out)? {
        println!("{digest}  {name}");
    }
    run.finish()
}

/// Sets options in a command line: the value of one that is there is replaced, another is added.
fn replace(line: &mut Vec<String>, options: &[String]) {
    let mut options = options.iter().peekable();
    while let Some(name) = options.next() {
        let value = options.next_if(|v| !v.starts_with("--"));
        let at = line.iter().position(|a| a == name);
        match (at, value) {
            (Some(at), Some(value)) if at + 1 < line.len() => line[at + 1].clone_from(value),
            (Some(_), None) => {}
            (_, value) => line.extend(std::iter::once(name).chain(value).cloned()),
        }
    }
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{}: not UTF-8", path.display()))
}

fn fill(argument: &str, args: &Args) -> Result<String> {
    Ok(argument
        .replace("{assets}", &text(&args.assets)?)
        .replace("{out}", &text(&args.out)?)
        .replace("{seed}", &args.seed.to_string()))
}

/// File and SHA-256 of each model in a folder, by name.
fn digests(dir: &Path) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "onnx" || e == "bin") {
            let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            out.push((name, glint::model::sha256_hex(&bytes)));
        }
    }
    out.sort();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_options_take_the_place_of_others() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut line = words("au --samples 3000 --out x");
        replace(&mut line, &words("--samples 700 --quick --seed 2"));
        assert_eq!(line, words("au --samples 700 --out x --quick --seed 2"));
    }

    #[test]
    fn only_the_interrupted_step_has_something_to_resume() {
        let recipe: Recipe =
            recipe::parse("recipes/ship.toml", include_str!("../../recipes/ship.toml")).expect("recipe");
        let dir = tempfile::tempdir().expect("folder");
        let found = || recipe.step.iter().filter(|s| was_interrupted(dir.path(), s)).count();
        assert_eq!(found(), 0);
        std::fs::write(dir.path().join(BEGUN), &recipe.step[1].name).expect("marker");
        assert_eq!(found(), 1);
        assert!(was_interrupted(dir.path(), &recipe.step[1]));
    }

    #[test]
    fn the_built_in_recipe_is_read() {
        let recipe: Recipe =
            recipe::parse("recipes/ship.toml", include_str!("../../recipes/ship.toml")).expect("recipe");
        let names: Vec<&str> = recipe.step.iter().map(|s| s.name.as_str()).collect();
        for wanted in ["subject", "au", "judge", "detector", "landmarks", "student"] {
            assert!(names.contains(&wanted), "{names:?}");
        }
        assert!(recipe.step.iter().filter(|s| s.labelled).count() == 1);
    }
}
