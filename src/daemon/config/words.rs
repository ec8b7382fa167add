//! "Did you mean": the key or table that is nearest to one that does not exist.

use super::keys::{KEYS, Key};

/// How alike two words are that are meant to be the same (Jaro; clap takes 0.7 for options).
const ALIKE: f64 = 0.77;

/// Names that other programs have for keys of ours.
const ELSEWHERE: [(&str, &str); 9] = [
    ("mqtt.host", "mqtt.url"),
    ("mqtt.broker", "mqtt.url"),
    ("mqtt.server", "mqtt.url"),
    ("mqtt.port", "mqtt.url"),
    ("mqtt.password", "mqtt.password_file"),
    ("mqtt.topic", "mqtt.prefix"),
    ("camera.width", "camera.size"),
    ("camera.height", "camera.size"),
    ("camera.device", "source.path"),
];

/// The names of the tables.
pub(super) fn tables() -> Vec<&'static str> {
    let mut tables: Vec<&str> = KEYS.iter().map(Key::table).collect();
    tables.dedup();
    tables
}

fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    names
        .map(|name| (strsim::jaro(&word, name), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// The table that was meant.
pub(super) fn table_like(word: &str) -> Option<&'static str> {
    nearest(word, tables().into_iter())
}

/// The key that was meant by `key` in `table`; its name with its table.
pub(super) fn key_like(table: &str, key: &str) -> Option<&'static str> {
    let (own, others): (Vec<&Key>, Vec<&Key>) = KEYS.iter().partition(|k| k.table() == table);
    let elsewhere: Vec<(&str, &str)> = ELSEWHERE
        .iter()
        .filter_map(|(name, ours)| Some((name.strip_prefix(table)?.strip_prefix('.')?, *ours)))
        .collect();
    let of_other = |word: &str| elsewhere.iter().find(|(name, _)| *name == word).map(|(_, ours)| *ours);
    let of_own = |short: &str| own.iter().find(|k| k.short() == short).map(|k| k.name);
    // In the wrong table, but right.
    let misplaced = || {
        let mut exact = others.iter().filter(|k| k.short() == key);
        match (exact.next(), exact.next()) {
            (Some(only), None) => Some(only.name),
            _ => None,
        }
    };
    of_other(key)
        .or_else(|| nearest(key, own.iter().map(|k| k.short())).and_then(of_own))
        .or_else(|| nearest(key, elsewhere.iter().map(|(name, _)| *name)).and_then(of_other))
        .or_else(misplaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant() {
        assert_eq!(table_like("mqqt"), Some("mqtt"));
        assert_eq!(table_like("plug"), None);
        for (table, key, meant) in [
            ("camera", "roate", "camera.rotate"),
            ("mqtt", "hosst", "mqtt.url"),
            ("mqtt", "port", "mqtt.url"),
            ("mqtt", "user", "mqtt.username"),
            ("mqtt", "password", "mqtt.password_file"),
            ("camera", "power_line_frequency", "camera.power_line_hz"),
            ("camera", "url", "mqtt.url"),
            ("", "max_tracks", "face.max_tracks"),
        ] {
            assert_eq!(key_like(table, key), Some(meant), "{table}.{key}");
        }
        assert_eq!(key_like("mqtt", "retain"), None);
        assert_eq!(key_like("", "path"), None, "there are several");
        for (_, ours) in ELSEWHERE {
            assert!(super::super::keys::find(ours).is_some(), "{ours}");
        }
    }
}
