//! Reading a configuration: a file, the folder `conf.d` beside it, and the environment. What is wrong is said all at once,
//! each as `FILE:LINE:COL: key: reason; allowed: ...`, or with the variable in place of the file.

use std::path::{Path, PathBuf};

use super::Config;
use super::layers::{File, Merged, key_of};

/// Largest configuration file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// The folder of further files, beside the first.
const FOLDER: &str = "conf.d";

/// Why a configuration cannot be used: a line for each problem.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(crate) struct ConfigError(pub(crate) Vec<String>);

impl Config {
    /// Reads and validates a file, with what `conf.d` beside it and the environment set.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        let further = further(path).unwrap_or_else(|problem| {
            problems.push(problem);
            Vec::new()
        });
        for path in std::iter::once(path.to_owned()).chain(further) {
            match read(&path) {
                Ok(text) => files.push(File { name: path.display().to_string(), text }),
                Err(reason) => problems.push(format!("{}: cannot be read: {reason}", path.display())),
            }
        }
        let mut variables = Vec::new();
        for (name, text) in std::env::vars_os() {
            match (name.into_string(), text.into_string()) {
                (Ok(name), Ok(text)) => variables.push((name, text)),
                (Ok(name), Err(_)) if key_of(&name).is_some() => {
                    problems.push(format!("{name}: not UTF-8; allowed: text"));
                }
                _ => {}
            }
        }
        variables.sort();
        Self::from_layers(&files, &variables, problems)
    }

    /// Parses and validates the text of the file `name`, alone.
    #[cfg(test)]
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        Self::from_layers(&[File { name: name.into(), text: text.into() }], &[], Vec::new())
    }

    /// Merges layers and validates the result.
    pub(super) fn from_layers(
        files: &[File],
        variables: &[(String, String)],
        unreadable: Vec<String>,
    ) -> Result<Self, ConfigError> {
        let merged = Merged::from_layers(files, variables);
        let mut problems = unreadable;
        let all_read = problems.is_empty() && !merged.unread;
        problems.extend(merged.problems.iter().cloned());
        let mut config: Self = match merged.table().try_into() {
            Ok(config) => config,
            // The table of keys lets through only what the types take.
            Err(e) => {
                let error: toml::de::Error = e;
                problems.push(format!("configuration: {}", super::syntax::plain(error.message())));
                return Err(ConfigError(problems));
            }
        };
        config.places = merged.places;
        // What was set rightly stands, whatever else of it was meant to be set.
        let places = &config.places;
        let unspoiled = |key: &str| !merged.spoiled.contains(key) || places.has(key);
        // What a layer that could not be read may set is no further problem.
        for problem in config.problems().into_iter().filter(|p| all_read || p.with.is_empty()) {
            if unspoiled(problem.key) && problem.with.iter().all(|key| unspoiled(key)) {
                let text = format!("{}; allowed: {}", problem.reason, problem.allowed);
                problems.push(config.places.line_with(problem.key, problem.with, text));
            }
        }
        if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
    }
}

fn read(path: &Path) -> Result<String, String> {
    glint::plain::read_text(path, MAX_BYTES).map_err(|e| e.to_string())
}

/// The files of `conf.d` beside a file, in the order of their names; none where there is no such folder.
fn further(path: &Path) -> Result<Vec<PathBuf>, String> {
    let folder = path.parent().unwrap_or(Path::new("")).join(FOLDER);
    let fail = |e: std::io::Error| format!("{}: cannot be read: {e}", folder.display());
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(fail(e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|e| e == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
