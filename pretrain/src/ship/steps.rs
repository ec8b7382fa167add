//! The steps of a release build of the models.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::run::{interrupted, is_begun, recipe};

/// The steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShipRecipe {
    /// Whether the student's teachers begin as pretrained encoders.
    pub pretraining: bool,
    /// In their order.
    pub step: Vec<ShipStep>,
}

impl ShipRecipe {
    /// Reads a recipe, or the built-in one.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        recipe::read(path, "recipes/ship.toml", include_str!("../../recipes/ship.toml"))
    }

    /// The steps that are taken.
    pub fn taken(&self) -> impl Iterator<Item = &ShipStep> {
        self.step.iter().filter(|s| self.pretraining || !s.pretraining)
    }
}

/// One command of this program. `{assets}`, `{out}`, `{run}` and `{seed}` are filled in in what it names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShipStep {
    /// What it makes.
    pub name: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Options that --quick sets.
    #[serde(default)]
    pub quick: Vec<String>,
    /// Options that it has where teachers begin as pretrained encoders.
    #[serde(default)]
    pub pretrained: Vec<String>,
    /// Whether it is left out without pretraining.
    #[serde(default)]
    pub pretraining: bool,
    /// Whether the command continues an interrupted run with --resume.
    #[serde(default)]
    pub resumes: bool,
    /// Folder of its run, where that is not `out/COMMAND-SEED`.
    #[serde(default)]
    pub folder: Option<String>,
    /// Folder below that of the whole run which the step fills: emptied before it begins.
    #[serde(default)]
    pub writes: Option<String>,
    /// Folder below that of the whole run which nobody needs after the step.
    #[serde(default)]
    pub removes: Option<String>,
    /// Whether the same command continues what an interrupted one has left in the folder that it fills.
    #[serde(default)]
    pub continues: bool,
    /// Whether it can be tuned on labelled samples.
    #[serde(default)]
    pub labelled: bool,
}

/// What a shipping fills in.
#[derive(Debug, Clone)]
pub struct Places {
    /// Folder of assets.
    pub assets: PathBuf,
    /// Folder of the model files.
    pub out: PathBuf,
    /// Folder of the run.
    pub run: PathBuf,
    /// Seed of everything.
    pub seed: u64,
    /// Folder of labelled samples.
    pub labelled: Option<PathBuf>,
    /// Whether every step has little material.
    pub quick: bool,
    /// Whether teachers begin as pretrained encoders.
    pub pretraining: bool,
    /// Whether an interrupted shipping goes on.
    pub resume: bool,
    /// Worker threads.
    pub threads: Option<u16>,
}

/// Holds the name of the step that was begun last.
pub const BEGUN: &str = "begun.state";

impl Places {
    fn fill(&self, text: &str) -> Result<String> {
        let mut out = text.replace("{seed}", &self.seed.to_string());
        for (name, path) in [("{assets}", &self.assets), ("{out}", &self.out), ("{run}", &self.run)] {
            if out.contains(name) {
                let path = path.to_str().with_context(|| format!("{}: not UTF-8", path.display()))?;
                out = out.replace(name, path);
            }
        }
        Ok(out)
    }

    /// Whether a shipping stopped in this step. The steps after it have nothing to resume, or a run of another shipping.
    fn was_interrupted(&self, step: &ShipStep) -> bool {
        self.resume && std::fs::read_to_string(self.run.join(BEGUN)).is_ok_and(|name| name == step.name)
    }

    fn state(&self, step: &ShipStep, kind: &str) -> PathBuf {
        self.run.join(format!("{}.{kind}.state", step.name.replace(' ', "-")))
    }

    /// Seconds that a step took, those before an interruption included; `None` where it is not done.
    fn done(&self, step: &ShipStep) -> Option<u64> {
        std::fs::read_to_string(self.state(step, "done")).ok()?.trim().parse().ok()
    }

    /// The command line of a step.
    pub fn line(&self, step: &ShipStep) -> Result<Vec<String>> {
        let fill = |words: &[String]| words.iter().map(|w| self.fill(w)).collect::<Result<Vec<_>>>();
        let mut line = fill(&step.args)?;
        if self.pretraining {
            replace(&mut line, &fill(&step.pretrained)?);
        }
        if self.quick {
            replace(&mut line, &step.quick);
        }
        if let Some(dir) = self.labelled.as_deref().filter(|_| step.labelled) {
            let dir = dir.to_str().with_context(|| format!("{}: not UTF-8", dir.display()))?;
            line.extend(["--labelled".into(), dir.into()]);
        }
        Ok(line)
    }

    /// Runs a step unless it was done before; gives its seconds in all.
    pub fn run(&self, step: &ShipStep, program: &Path) -> Result<u64> {
        if let Some(seconds) = self.done(step).filter(|_| self.resume) {
            eprintln!("{}: done before", step.name);
            return Ok(seconds);
        }
        let mut line = self.line(step)?;
        let goes_on = self.was_interrupted(step);
        let folder = step.folder.as_deref().map(|f| self.fill(f)).transpose()?;
        if goes_on && step.resumes && is_begun(folder.as_deref().map(Path::new), &line[0], self.seed) {
            line.push("--resume".into());
        }
        if let Some(dir) = &step.writes
            && !(goes_on && step.continues)
        {
            self.empty(&self.fill(dir)?)?;
        }
        let spent = match goes_on {
            true => {
                std::fs::read_to_string(self.state(step, "spent")).ok().and_then(|t| t.trim().parse().ok())
            }
            false => None,
        };
        write(&self.run.join(BEGUN), &step.name)?;
        eprintln!("== {}: glint-pretrain {}", step.name, line.join(" "));
        let started = Instant::now();
        let mut command = Command::new(program);
        command.args(&line);
        if let Some(threads) = self.threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        let status = command.status().with_context(|| program.display().to_string())?;
        let seconds = spent.unwrap_or(0) + started.elapsed().as_secs();
        if interrupted() || !status.success() {
            write(&self.state(step, "spent"), &seconds.to_string())?;
            bail!("{}: {status}; the same command with --resume continues", step.name);
        }
        write(&self.state(step, "done"), &seconds.to_string())?;
        if let Some(dir) = &step.removes {
            self.empty(&self.fill(dir)?)?;
        }
        Ok(seconds)
    }

    /// Removes what an earlier run has left in a folder of this run.
    fn empty(&self, dir: &str) -> Result<()> {
        let dir = Path::new(dir);
        let below = dir.strip_prefix(&self.run).ok();
        let plain = |p: &Path| p.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        ensure!(
            below.is_some_and(|p| plain(p) && p.components().next().is_some()),
            "{}: not below {}",
            dir.display(),
            self.run.display()
        );
        if dir.exists() {
            std::fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
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

/// File and SHA-256 of each model in a folder, by name.
pub fn digests(dir: &Path) -> Result<Vec<(String, String)>> {
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

    fn built_in() -> ShipRecipe {
        recipe::parse("recipes/ship.toml", include_str!("../../recipes/ship.toml")).expect("recipe")
    }

    fn places(run: &Path) -> Places {
        Places {
            assets: "assets".into(),
            out: "models".into(),
            run: run.to_owned(),
            seed: 3,
            labelled: None,
            quick: false,
            pretraining: true,
            resume: true,
            threads: None,
        }
    }

    #[test]
    fn quick_options_take_the_place_of_others() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut line = words("au --samples 3000 --out x");
        replace(&mut line, &words("--samples 700 --quick --seed 2"));
        assert_eq!(line, words("au --samples 700 --out x --quick --seed 2"));
    }

    #[test]
    fn only_the_interrupted_step_has_something_to_resume() {
        let recipe = built_in();
        let dir = tempfile::tempdir().expect("folder");
        let places = places(dir.path());
        let interrupted = || recipe.step.iter().filter(|s| places.was_interrupted(s)).count();
        assert_eq!(interrupted(), 0);
        std::fs::write(dir.path().join(BEGUN), &recipe.step[1].name).expect("marker");
        assert_eq!(interrupted(), 1);
        assert!(places.was_interrupted(&recipe.step[1]));
    }

    #[test]
    fn the_built_in_recipe_leads_from_pairs_to_the_student_or_goes_without() {
        let mut recipe = built_in();
        let dir = tempfile::tempdir().expect("folder");
        let mut places = places(dir.path());
        let lines = |recipe: &ShipRecipe, places: &Places| -> Vec<String> {
            recipe.taken().map(|s| places.line(s).expect("a line").join(" ")).collect()
        };
        let with = lines(&recipe, &places);
        let at =
            |word: &str| with.iter().position(|l| l.starts_with(word)).unwrap_or_else(|| panic!("{word}"));
        let order =
            ["subject", "detector", "landmarks", "au", "threshold", "judge", "corpus", "filter", "pretrain"]
                .map(at);
        assert!(order.is_sorted() && order[8] < at("train ") && at("train ") < at("distill"), "{with:#?}");
        assert!(at("distill") < at("calibrate") && with[at("train ")].contains("--encoders"));
        assert!(with.iter().all(|l| !l.contains('{')), "{with:#?}");
        (recipe.pretraining, places.pretraining) = (false, false);
        let without = lines(&recipe, &places);
        assert_eq!(without.len(), with.len() - 5);
        assert!(without.iter().all(|l| !l.contains("encoders")));
        places.labelled = Some("mine".into());
        assert_eq!(lines(&recipe, &places).iter().filter(|l| l.ends_with("--labelled mine")).count(), 1);
    }

    #[test]
    fn steps_are_done_once_and_leave_their_time() {
        let dir = tempfile::tempdir().expect("folder");
        let mut places = places(dir.path());
        let step = ShipStep {
            args: vec!["{out}".into()],
            writes: Some("{run}/pairs".into()),
            ..built_in().step[0].clone()
        };
        let pairs = dir.path().join("pairs");
        let fill = || {
            std::fs::create_dir_all(&pairs).expect("folder");
            std::fs::write(pairs.join("a.tar"), "x").expect("writes");
        };
        fill();
        let error = places.run(&step, Path::new("/bin/false")).expect_err("fails").to_string();
        assert!(error.starts_with("subject: ") && error.contains("--resume"), "{error}");
        assert!(!pairs.exists() && places.was_interrupted(&step));
        std::fs::write(places.state(&step, "spent"), "40").expect("writes");
        fill();
        let goes_on = ShipStep { continues: true, ..step.clone() };
        assert!(places.run(&goes_on, Path::new("/bin/true")).expect("runs") >= 40);
        assert!(pairs.exists());
        // Done: a program that fails is not asked.
        assert!(places.run(&step, Path::new("/bin/false")).expect("done before") >= 40);
        places.resume = false;
        assert!(places.run(&step, Path::new("/bin/true")).expect("runs anew") < 40);
        let outside = ShipStep { writes: Some("{run}/../elsewhere".into()), ..step };
        let error = places.run(&outside, Path::new("/bin/true")).expect_err("refused").to_string();
        assert!(error.contains("elsewhere: not below"), "{error}");
    }
}
