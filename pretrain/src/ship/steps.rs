//! The steps of a release build of the models.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::run::recipe;

/// The steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// In their order.
    pub step: Vec<Step>,
}

impl Recipe {
    /// Reads a recipe, or the built-in one.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        recipe::read(path, "recipes/ship.toml", include_str!("../../recipes/ship.toml"))
    }
}

/// One command of this program. `{assets}`, `{out}` and `{seed}` are filled in in `args`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it makes.
    pub name: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Options that --quick sets.
    #[serde(default)]
    pub quick: Vec<String>,
    /// Whether the command continues an interrupted run.
    #[serde(default)]
    pub resumes: bool,
    /// Whether it can be tuned on labelled samples.
    #[serde(default)]
    pub labelled: bool,
}

/// Holds the name of the step that was begun last.
pub const BEGUN: &str = "begun.state";

/// Whether a shipping stopped in this step. The steps after it have nothing to resume, or a run of another shipping.
pub fn was_interrupted(dir: &Path, step: &Step) -> bool {
    std::fs::read_to_string(dir.join(BEGUN)).is_ok_and(|name| name == step.name)
}

/// Sets options in a command line: the value of one that is there is replaced, another is added.
pub fn replace(line: &mut Vec<String>, options: &[String]) {
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
