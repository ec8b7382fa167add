//! The thresholds file: what `gate.thresholds` names and a model's specification holds, with its origin as comments.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use glint::au::AUS;
use glint::intensity::{Thresholds, au_key};

use super::psychometric::Threshold;

/// Intensities that the gate accepts.
const ALLOWED: (f64, f64) = (0.05, 5.0);

/// Share of right answers that is the threshold.
pub const LEVEL: f64 = 0.75;

/// One AU of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What was found; `None` where nothing was measured, or where the threshold was not reached.
    pub threshold: Option<Threshold>,
    /// Where it comes from: answers, participants.
    pub origin: String,
}

/// Thresholds of what was measured, those of `base` for every other AU, and the text of the file.
pub fn file(title: &str, entries: &BTreeMap<u8, Entry>, base: &Thresholds) -> Result<(Thresholds, String)> {
    let mut out = base.clone();
    let mut text = String::new();
    for line in title.lines() {
        writeln!(text, "# {line}")?;
    }
    for au in AUS {
        let key = au_key(au);
        let entry = entries.get(&au);
        let (value, origin) = match entry.and_then(|e| Some((e.threshold?, e))) {
            Some((t, e)) => {
                let value = t.value.clamp(ALLOWED.0, ALLOWED.1);
                (value as f32, format!("{:.2} to {:.2}; {}", t.interval.0, t.interval.1, e.origin))
            }
            None => {
                let value = *base.by_au.get(&key).ok_or_else(|| anyhow!("{key}: not in the base file"))?;
                let why = entry.map_or("not measured", |e| e.origin.as_str());
                (value, format!("kept: {why}"))
            }
        };
        // As many digits as mean something.
        let value = (value * 100.0).round() / 100.0;
        writeln!(text, "{key} = {value:?} # {origin}")?;
        out.by_au.insert(key, value);
    }
    out.by_unit().map_err(|e| anyhow!(e))?;
    Ok((out, text))
}

/// Writes the thresholds file.
pub fn write(
    path: &Path,
    title: &str,
    entries: &BTreeMap<u8, Entry>,
    base: &Thresholds,
) -> Result<Thresholds> {
    let (thresholds, text) = file(title, entries, base)?;
    std::fs::write(path, text).with_context(|| path.display().to_string())?;
    eprintln!("{}", path.display());
    Ok(thresholds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_reads_what_is_written() {
        let entries = BTreeMap::from([
            (
                12,
                Entry {
                    threshold: Some(Threshold { value: 0.614, interval: (0.52, 0.7) }),
                    origin: "80 answers".into(),
                },
            ),
            (
                4,
                Entry {
                    threshold: Some(Threshold { value: 0.001, interval: (0.0, 0.1) }),
                    origin: "80 answers".into(),
                },
            ),
            (45, Entry { threshold: None, origin: "75 % was never reached".into() }),
        ]);
        let (thresholds, text) = file("a\nb", &entries, &Thresholds::uniform(0.45)).expect("writes");
        assert!(
            text.starts_with("# a\n# b\n") && text.contains("au12 = 0.61 # 0.52 to 0.70; 80 answers\n"),
            "{text}"
        );
        assert!(text.contains("au45 = 0.45 # kept: 75 % was never reached\n"), "{text}");
        let read: Thresholds = toml::from_str(&text).expect("TOML");
        assert_eq!(read, thresholds);
        assert_eq!((read.by_au["au04"], read.by_au["au01"]), (0.05, 0.45));
        read.by_unit().expect("the gate accepts it");
    }

    #[test]
    fn the_file_of_the_shipped_thresholds_is_what_the_gate_uses() {
        let file: Thresholds =
            toml::from_str(include_str!("../../../models/thresholds.toml")).expect("thresholds");
        let models = glint::pipeline::Models::embedded().expect("models");
        assert_eq!(file, models.au.spec.thresholds, "models/thresholds.toml and models/au.toml differ");
    }
}
