//! "Did you mean": the key or table that is nearest to one that does not exist, in its spelling; and our names of what other
//! programs call differently.

use super::keys::{KEYS, Key};

/// How alike two words are of which one may be the other with letters missing or added (Jaro; clap takes 0.7 for options).
const ALIKE: f64 = 0.77;
/// Such words begin with so many letters in common.
const COMMON: usize = 3;

/// Names that other programs have for keys of ours. Whoever misspells them may have meant anything.
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

/// Whether a word may be a slip of the pen for a name.
fn is_close(word: &str, name: &str) -> bool {
    // A third of the letters are missing, added, exchanged or wrong.
    let slips = (word.chars().count().min(name.len()) / 3).max(1);
    let common = word.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    strsim::osa_distance(word, name) <= slips
        || (common >= COMMON && strsim::jaro(word, name) >= ALIKE)
        || name.split('_').any(|part| part == word && part.len() >= COMMON)
}

fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    names
        .filter(|name| is_close(&word, name))
        .map(|name| (strsim::jaro(&word, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// What is said of a name that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meant<T> {
    /// It is nearly this one.
    Spelt(T),
    /// Other programs call this one so.
    Called(T),
}

impl<T> Meant<T> {
    /// The name of ours.
    pub(super) fn name(self) -> T {
        match self {
            Self::Spelt(name) | Self::Called(name) => name,
        }
    }

    /// The same of another form of the name.
    pub(super) fn map<U>(self, form: impl FnOnce(T) -> U) -> Meant<U> {
        match self {
            Self::Spelt(name) => Meant::Spelt(form(name)),
            Self::Called(name) => Meant::Called(form(name)),
        }
    }
}

impl<T: std::fmt::Display> std::fmt::Display for Meant<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Spelt(name) => write!(f, "did you mean {name}?"),
            Self::Called(name) => write!(f, "glint has {name} for it"),
        }
    }
}

/// The table that was meant.
pub(super) fn table_like(word: &str) -> Option<&'static str> {
    nearest(word, tables().into_iter())
}

/// The key that was meant by `key` in `table`; its name with its table.
pub(super) fn key_like(table: &str, key: &str) -> Option<Meant<&'static str>> {
    let (siblings, others): (Vec<&Key>, Vec<&Key>) = KEYS.iter().partition(|k| k.table() == table);
    let full = format!("{table}.{key}");
    let called = ELSEWHERE.iter().find(|(name, _)| *name == full).map(|(_, ours)| Meant::Called(*ours));
    let spelt = |short: &str| siblings.iter().find(|k| k.short() == short).map(|k| Meant::Spelt(k.name));
    // In the wrong table, but right.
    let misplaced = || {
        let mut exact = others.iter().filter(|k| k.short() == key);
        match (exact.next(), exact.next()) {
            (Some(only), None) => Some(Meant::Spelt(only.name)),
            _ => None,
        }
    };
    called.or_else(|| nearest(key, siblings.iter().map(|k| k.short())).and_then(spelt)).or_else(misplaced)
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
            ("camera", "exposure", "camera.lock_exposure"),
            ("camera", "power_line_frequency", "camera.power_line_hz"),
            ("camera", "url", "mqtt.url"),
            ("face", "tracks", "face.max_tracks"),
            ("mqtt", "ulr", "mqtt.url"),
            ("mqtt", "user", "mqtt.username"),
            ("mqtt", "passwrod", "mqtt.password_file"),
            ("", "max_tracks", "face.max_tracks"),
        ] {
            assert_eq!(key_like(table, key), Some(Meant::Spelt(meant)), "{table}.{key}");
        }
        for (name, ours) in ELSEWHERE {
            let (table, key) = name.split_once('.').expect("a table");
            assert_eq!(key_like(table, key), Some(Meant::Called(ours)), "{name}");
        }
        // Nothing of ours is spelt like these.
        for (table, key) in [
            ("mqtt", "hosst"),
            ("mqtt", "porrt"),
            ("mqtt", "cafile"),
            ("mqtt", "retain"),
            ("mqtt", "qos"),
            ("camera", "rate"),
            ("camera", "gain"),
        ] {
            assert_eq!(key_like(table, key), None, "{table}.{key}");
        }
        assert_eq!(table_like("stage"), None);
        assert_eq!(key_like("", "path"), None, "there are several");
        for (_, ours) in ELSEWHERE {
            assert!(super::super::keys::find(ours).is_some(), "{ours}");
        }
    }
}
