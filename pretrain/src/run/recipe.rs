//! TOML recipes: every figure that a training fixes beforehand, in a file that says where it is wrong.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

/// Reads the recipe in `path`, or else the one that is compiled in (`text`, called `name` in messages). Unknown keys are
/// refused by the type (`deny_unknown_fields`); the message names file, line, column and key.
pub fn read<T: DeserializeOwned>(path: Option<&Path>, name: &str, text: &str) -> Result<T> {
    match path {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            parse(&path.display().to_string(), &text)
        }
        None => parse(name, text),
    }
}

/// Parses the text of the recipe `name`.
pub fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    toml::from_str(text).or_else(|e| {
        let at = e.span().map_or(0, |s| s.start).min(text.len());
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let here = text.lines().nth(line - 1).unwrap_or("");
        let key = here.split_once('=').map_or(String::new(), |(key, _)| format!("{}: ", key.trim()));
        let reason = e.message().replace("unknown field", "unknown key").replace('\n', " ");
        bail!("{name}:{line}:{column}: {key}{reason}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Schedule;

    #[test]
    fn faults_are_named_with_file_line_and_key() {
        let valid = "steps = 10\nbatch = 2\nlearning_rate = 0.1\nweight_decay = 0.0\n";
        assert_eq!(parse::<Schedule>("a.toml", valid).expect("good").steps, 10);
        let message = |text: &str| parse::<Schedule>("a.toml", text).expect_err("bad").to_string();
        let unknown = message(&valid.replace("batch", "butch"));
        assert!(unknown.starts_with("a.toml:2:1: butch: unknown key `butch`"), "{unknown}");
        let kind = message(&valid.replace("0.1", "\"fast\""));
        assert!(kind.starts_with("a.toml:3:17: learning_rate: "), "{kind}");
        assert!(message("steps = \n").starts_with("a.toml:1:"), "syntax");
    }
}
