//! Reading a configuration file, and saying where it is wrong: `FILE:LINE:COL: key: reason; allowed: ...`.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::Config;

/// Largest configuration file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Why a configuration cannot be used; its text has one line for each problem.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The content is wrong.
    #[error("{}", .0.join("\n"))]
    Content(Vec<String>),
}

impl Config {
    /// Reads and validates a file.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let fail = |reason: String| ConfigError::Read { path: path.to_owned(), reason };
        let meta = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?;
        if meta.len() > MAX_BYTES {
            return Err(fail(format!("{} bytes; at most {MAX_BYTES}", meta.len())));
        }
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Parses and validates the text of the file `name`.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(e) => {
                let at = e.span().map_or(0, |s| s.start);
                return Err(ConfigError::Content(vec![line(name, text, at, None, e.message(), "TOML")]));
            }
        };
        let config: Self = match toml::from_str(text) {
            Ok(config) => config,
            Err(e) => {
                let at = e.span().map_or(0, |s| s.start);
                let key = key_at(table.get_ref(), at);
                let (reason, allowed) = explain(e.message());
                return Err(ConfigError::Content(vec![line(name, text, at, key, &reason, &allowed)]));
            }
        };
        let problems: Vec<String> = config
            .problems()
            .into_iter()
            .map(|p| {
                let at = position(table.get_ref(), p.key).unwrap_or(0);
                line(name, text, at, Some(p.key.into()), &p.reason, p.allowed)
            })
            .collect();
        if problems.is_empty() { Ok(config) } else { Err(ConfigError::Content(problems)) }
    }
}

/// One problem as a line; `at` is a byte position, columns count characters.
fn line(name: &str, text: &str, at: usize, key: Option<String>, reason: &str, allowed: &str) -> String {
    let before = text.get(..at).unwrap_or(text);
    let row = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    let key = key.map(|k| format!("{k}: ")).unwrap_or_default();
    let reason = reason.replace('\n', " ");
    format!("{name}:{row}:{column}: {key}{reason}; allowed: {allowed}")
}

/// Serde's message as reason and what is allowed.
fn explain(message: &str) -> (String, String) {
    if let Some((reason, rest)) = message.split_once(", expected ") {
        // Of a table, serde names the type.
        let table = rest.starts_with("struct ");
        let allowed =
            if table { "a table".into() } else { rest.trim_start_matches("one of ").replace('`', "") };
        let reason = reason.replace("unknown field", "unknown key").replace('`', "\"");
        return (reason, allowed);
    }
    (message.into(), "see the configuration reference".into())
}

/// The key, with its table, whose name or value lies at a position.
fn key_at(table: &DeTable<'_>, at: usize) -> Option<String> {
    table.iter().find_map(|(name, value)| {
        let inner = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, at),
            _ => None,
        };
        if let Some(inner) = inner {
            return Some(format!("{}.{inner}", name.get_ref()));
        }
        let hit = name.span().contains(&at) || value.span().contains(&at);
        hit.then(|| name.get_ref().to_string())
    })
}

/// Where a key stands, or else its table.
fn position(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let (first, rest) = key.split_once('.').map_or((key, None), |(a, b)| (a, Some(b)));
    let (name, value) = table.iter().find(|(name, _)| name.get_ref() == first)?;
    match (value.get_ref(), rest) {
        (DeValue::Table(inner), Some(rest)) => position(inner, rest).or(Some(name.span().start)),
        (_, None) => Some(value.span().start),
        _ => Some(name.span().start),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Config, DEFAULT_TOML, Protocol};

    fn error(text: &str) -> String {
        Config::parse("g.toml", text).expect_err("must be refused").to_string()
    }

    #[test]
    fn errors_say_where_what_and_what_is_allowed() {
        for (text, start, allowed) in [
            ("[camera]\nrotate = 45\n", "g.toml:2:10: camera.rotate: 45; ", "0, 90, 180, 270"),
            ("[camera]\nroate = 90\n", "g.toml:2:1: camera.roate: unknown key \"roate\"; ", "rotate"),
            ("[camera]\nfps = nan\n", "g.toml:2:7: camera.fps: NaN; ", "1 to 1000"),
            ("[camera]\nfps = inf\n", "g.toml:2:7: camera.fps: inf; ", "1 to 1000"),
            ("[camera]\nfps = \"a\"\n", "g.toml:2:7: camera.fps: invalid type: string \"a\"; ", "f64"),
            ("mqtt.protocol = 4\n", "g.toml:1:17: mqtt.protocol: unknown protocol; ", "3.1.1, 5"),
            ("\n[mqtt]\nurl = \"http://x\"", "g.toml:3:7: mqtt.url: unknown scheme", "mqtt://HOST"),
            ("mqtt.url = \"mqtt://a:b@c\"", "g.toml:1:12: mqtt.url: a user or password", "mqtt://HOST"),
            ("[source]\nkind = \"clip\"", "g.toml:1:2: source.path: missing; ", "the path of a clip"),
            ("source.kind = \"command\"", "g.toml:1:1: source.command: missing; ", "a program and its"),
            (
                "source.format = \"h264\"",
                "g.toml:1:17: source.format: unknown variant",
                "y4m, mjpeg, nut, raw",
            ),
            ("[device\n", "g.toml:1:8: ", "TOML"),
            ("camera = 1\n", "g.toml:1:10: camera: invalid type: integer \"1\"; ", "a table"),
            ("plug = 1\n", "g.toml:1:1: plug: unknown key \"plug\"; ", "device, source"),
        ] {
            let line = error(text);
            assert!(line.starts_with(start), "{text:?} gave {line:?}");
            assert!(line.split_once("; allowed: ").is_some_and(|(_, a)| a.contains(allowed)), "{line:?}");
        }
    }

    #[test]
    fn raw_frames_need_size_and_format() {
        let text = "[source]\nkind = \"command\"\ncommand = [\"x\"]\nformat = \"raw\"\n";
        assert_eq!(error(text).lines().count(), 2);
        let jpeg = error(&format!("{text}[camera]\nsize = [64, 48]\nformat = \"MJPG\""));
        assert!(jpeg.starts_with("g.toml:7:10: camera.format: MJPG is not raw"), "{jpeg}");
        assert!(
            Config::parse("g.toml", &format!("{text}[camera]\nsize = [64, 48]\nformat = \"NV12\"")).is_ok()
        );
    }

    #[test]
    fn workplace_needs_a_basis() {
        assert!(error("deployment.purpose = \"workplace\"").contains("deployment.basis"));
        let ok = "[deployment]\npurpose = \"workplace\"\nbasis = \"safety\"";
        assert!(Config::parse("g.toml", ok).is_ok());
        assert!(error("deployment.purpose = \"hiring\"").contains("research"));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        assert_eq!(
            error("camera.rotate = 1\nhealth.interval_s = 0\nface.max_tracks = 99").lines().count(),
            3
        );
    }

    #[test]
    fn effective_configuration_reads_back() {
        let text = "[mqtt]\nprotocol = 5\nurl = \"mqtts://[::1]:8884/\"\n[camera]\nformat = \"MJPG\"\nsize = [640, 480]";
        let config = Config::parse("g.toml", text).expect("valid");
        assert_eq!(config.mqtt.protocol, Protocol::V5);
        let broker = config.mqtt.broker().expect("valid");
        assert_eq!((broker.host.as_str(), broker.port, broker.tls), ("::1", 8884, true));
        assert_eq!(Config::parse("again", &config.to_toml()).expect("valid"), config);
    }

    #[test]
    fn commented_default_lists_every_key_with_its_default() {
        let shipped = Config::parse("glint.toml", DEFAULT_TOML).expect("valid");
        assert_eq!(shipped, Config::default());
        // With every `#key = value` line in force, nothing that has a default may change, and the
        // rest must be keys that exist.
        let in_force: String = DEFAULT_TOML
            .lines()
            .map(|l| l.strip_prefix('#').filter(|rest| rest.starts_with(char::is_alphabetic)).unwrap_or(l))
            .map(|l| format!("{l}\n"))
            .collect();
        let all: toml::Table = in_force.parse().expect("TOML");
        let all_config = Config::parse("glint.toml", &in_force).expect("every documented key exists");
        let defaults: toml::Table = Config::default().to_toml().parse().expect("TOML");
        for (table, keys) in &defaults {
            for (key, value) in keys.as_table().expect("a table") {
                assert_eq!(all[table].get(key), Some(value), "{table}.{key}");
            }
        }
        let effective: toml::Table = all_config.to_toml().parse().expect("TOML");
        let source = include_str!("mod.rs");
        for (table, keys) in &effective {
            for key in keys.as_table().expect("a table").keys() {
                assert!(source.contains(&format!("pub(crate) {key}:")), "{table}.{key}");
            }
        }
        let fields = source.matches("    /// ").count();
        assert!(fields > 30, "the documented fields are still found");
        let documented: usize = effective.values().filter_map(|t| t.as_table()).map(toml::Table::len).sum();
        assert_eq!(documented, 35, "a key is missing from systemd/glint.toml, or this count is old");
    }

    /// The reference page says of each key what the type says of it.
    #[test]
    fn reference_page_agrees_with_the_types() {
        let page = include_str!("../../../docs/configuration.md");
        let (mut table, mut doc, mut keys) = (String::new(), String::new(), 0);
        for line in include_str!("mod.rs").lines() {
            let line = line.trim();
            if let Some(name) = line.strip_prefix("/// Table `") {
                table = name.trim_end_matches("`.").to_owned();
            } else if let Some(text) = line.strip_prefix("/// ") {
                doc = format!("{doc} {text}");
                continue;
            } else if let Some((key, _)) = line.strip_prefix("pub(crate) ").and_then(|l| l.split_once(':'))
                && !table.is_empty()
            {
                let row = format!("| `{table}.{key}` |{doc} |");
                assert!(page.contains(&row), "docs/configuration.md lacks: {row}");
                keys += 1;
            } else if line.starts_with("#[") && !line.contains("derive") {
                continue;
            } else if line == "}" {
                table.clear();
            }
            doc.clear();
        }
        assert_eq!(keys, 35);
        assert_eq!(page.lines().filter(|l| l.starts_with("| `")).count(), keys, "a row without a key");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = Config::parse("g.toml", &text);
        }

        /// What is refused is refused with its place: FILE:LINE:COLUMN.
        #[test]
        fn no_damage_panics(changes in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..8), cut in 0.0f64..1.0) {
            // Every key is set.
            let whole = Config::default().to_toml();
            let at = |share: f64| (share * whole.len() as f64) as usize;
            let mut bytes = whole.clone().into_bytes();
            changes.iter().for_each(|(share, value)| bytes[at(*share)] = *value);
            if cut < 0.3 {
                bytes.truncate(at(cut / 0.3));
            }
            if let Err(error) = Config::parse("g.toml", &String::from_utf8_lossy(&bytes)) {
                prop_assert!(error.to_string().starts_with("g.toml:"), "{error}");
            }
        }
    }
}
