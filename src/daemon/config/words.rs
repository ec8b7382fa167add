//! "Did you mean": the key or table that is nearest to one that does not exist, in its spelling; and our names of what other
//! programs call differently.

use super::keys::{KEYS, Key};

/// How alike two words are of which one may be the other with letters missing or added (Jaro; clap takes 0.7 for options).
const ALIKE: f64 = 0.77;
/// Such words begin with so many letters in common.
const COMMON: usize = 3;

/// What there is for a name that other programs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ours {
    /// A key.
    Key(&'static str),
    /// A key, and how it says this.
    Said(&'static str, &'static str),
    /// No key, and why.
    None(&'static str),
}

use Ours::{Key as Is, None as No, Said};

const ENCRYPTION: Ours = Said("mqtt.url", "mqtts:// stands for TLS");
const QOS: Ours = No("glint has no key for it: events are sent with QoS 1");
const RETAIN: Ours = No("glint has no key for it: events are never retained");
const LOG: Ours = No("glint has no key for it: the variable RUST_LOG says what is logged");

/// Names that other programs have for keys of ours.
const ELSEWHERE: [(&str, Ours); 64] = [
    ("mqtt.host", Is("mqtt.url")),
    ("mqtt.hostname", Is("mqtt.url")),
    ("mqtt.broker", Is("mqtt.url")),
    ("mqtt.server", Is("mqtt.url")),
    ("mqtt.address", Is("mqtt.url")),
    ("mqtt.uri", Is("mqtt.url")),
    ("mqtt.port", Is("mqtt.url")),
    ("mqtt.tls", ENCRYPTION),
    ("mqtt.use_tls", ENCRYPTION),
    ("mqtt.ssl", ENCRYPTION),
    (
        "mqtt.insecure",
        No("glint has no key for it: certificates are always checked; mqtt.ca names who is trusted"),
    ),
    ("mqtt.user", Is("mqtt.username")),
    ("mqtt.pass", Is("mqtt.password_file")),
    ("mqtt.password", Is("mqtt.password_file")),
    ("mqtt.token", Is("mqtt.password_file")),
    ("mqtt.client", Is("mqtt.client_id")),
    ("mqtt.clientid", Is("mqtt.client_id")),
    ("mqtt.id", Is("mqtt.client_id")),
    ("mqtt.ca_file", Is("mqtt.ca")),
    ("mqtt.cafile", Is("mqtt.ca")),
    ("mqtt.ca_cert", Is("mqtt.ca")),
    ("mqtt.cacert", Is("mqtt.ca")),
    ("mqtt.ca_certs", Is("mqtt.ca")),
    ("mqtt.ca_path", Is("mqtt.ca")),
    ("mqtt.cert_file", Is("mqtt.cert")),
    ("mqtt.certfile", Is("mqtt.cert")),
    ("mqtt.client_cert", Is("mqtt.cert")),
    ("mqtt.certificate", Is("mqtt.cert")),
    ("mqtt.key_file", Is("mqtt.key")),
    ("mqtt.keyfile", Is("mqtt.key")),
    ("mqtt.client_key", Is("mqtt.key")),
    ("mqtt.private_key", Is("mqtt.key")),
    ("mqtt.topic", Is("mqtt.prefix")),
    ("mqtt.base_topic", Is("mqtt.prefix")),
    ("mqtt.topic_prefix", Is("mqtt.prefix")),
    ("mqtt.version", Is("mqtt.protocol")),
    ("mqtt.qos", QOS),
    ("mqtt.retain", RETAIN),
    ("source.url", Is("source.path")),
    ("source.uri", Is("source.path")),
    ("source.device", Is("source.path")),
    ("source.camera", Is("source.path")),
    ("source.file", Is("source.path")),
    ("source.type", Is("source.kind")),
    ("source.cmd", Is("source.command")),
    ("camera.path", Is("source.path")),
    ("camera.device", Is("source.path")),
    ("camera.index", Is("source.path")),
    ("camera.width", Is("camera.size")),
    ("camera.height", Is("camera.size")),
    ("camera.resolution", Is("camera.size")),
    ("camera.rate", Is("camera.fps")),
    ("camera.framerate", Is("camera.fps")),
    ("camera.frame_rate", Is("camera.fps")),
    ("camera.pixel_format", Is("camera.format")),
    ("camera.fourcc", Is("camera.format")),
    ("camera.flip", Is("camera.mirror")),
    ("device.name", Is("device.id")),
    ("page.port", Is("page.listen")),
    ("page.address", Is("page.listen")),
    ("page.bind", Is("page.listen")),
    ("page.password", Is("page.token_file")),
    ("outbox.file", Is("outbox.path")),
    ("log.level", LOG),
];

/// The same of tables.
const TABLES_ELSEWHERE: [(&str, Ours); 4] =
    [("log", LOG), ("logging", LOG), ("broker", Is("mqtt")), ("video", Is("source"))];

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
    Called {
        /// The name of ours.
        ours: T,
        /// What other programs call it, where the name that was given is nearly that.
        like: Option<&'static str>,
        /// How it says this.
        how: &'static str,
    },
    /// Other programs have it, and glint has not; or not in its configuration.
    Nothing(&'static str),
}

impl<T> Meant<T> {
    /// The name of ours.
    pub(super) fn name(self) -> Option<T> {
        match self {
            Self::Spelt(name) | Self::Called { ours: name, .. } => Some(name),
            Self::Nothing(_) => None,
        }
    }

    /// The same of another form of the name.
    pub(super) fn map<U>(self, form: impl FnOnce(T) -> U) -> Meant<U> {
        match self {
            Self::Spelt(name) => Meant::Spelt(form(name)),
            Self::Called { ours, like, how } => Meant::Called { ours: form(ours), like, how },
            Self::Nothing(why) => Meant::Nothing(why),
        }
    }
}

impl Meant<&'static str> {
    /// What is said of a name that other programs have, or of one that is `like` it.
    fn elsewhere(ours: Ours, like: Option<&'static str>) -> Self {
        match ours {
            Is(ours) => Self::Called { ours, like, how: "" },
            Said(ours, how) => Self::Called { ours, like, how },
            No(why) => Self::Nothing(why),
        }
    }
}

impl<T: std::fmt::Display> std::fmt::Display for Meant<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Spelt(name) => write!(f, "did you mean {name}?"),
            Self::Called { ours, like, how } => {
                if let Some(like) = like {
                    write!(f, "did you mean {like}? ")?;
                }
                write!(f, "glint has {ours} for it")?;
                if how.is_empty() { Ok(()) } else { write!(f, ": {how}") }
            }
            Self::Nothing(why) => f.write_str(why),
        }
    }
}

/// The table that was meant.
pub(super) fn table_like(word: &str) -> Option<&'static str> {
    nearest(word, tables().into_iter())
}

/// What was meant by the name of a table.
pub(super) fn table_meant(word: &str) -> Option<Meant<&'static str>> {
    let elsewhere = TABLES_ELSEWHERE.iter().find(|(name, _)| *name == word);
    let called = elsewhere.map(|(_, ours)| Meant::elsewhere(*ours, None));
    called.or_else(|| table_like(word).map(Meant::Spelt))
}

/// The key that was meant by `key` in `table`; its name with its table.
pub(super) fn key_like(table: &str, key: &str) -> Option<Meant<&'static str>> {
    let (siblings, others): (Vec<&Key>, Vec<&Key>) = KEYS.iter().partition(|k| k.table() == table);
    // What other programs have in such a table.
    let elsewhere: Vec<(&'static str, Ours)> = ELSEWHERE
        .iter()
        .filter_map(|(name, ours)| {
            let (their_table, short) = name.split_once('.')?;
            (their_table == table).then_some((short, *ours))
        })
        .collect();
    let called = |short: &str, like| {
        let found = elsewhere.iter().find(|(name, _)| *name == short);
        found.map(|(name, ours)| Meant::elsewhere(*ours, if like { Some(*name) } else { None }))
    };
    let spelt = |short: &str| siblings.iter().find(|k| k.short() == short).map(|k| Meant::Spelt(k.name));
    // A name of ours comes first.
    let close = || {
        nearest(key, siblings.iter().map(|k| k.short())).and_then(spelt).or_else(|| {
            let short = nearest(key, elsewhere.iter().map(|(name, _)| *name))?;
            called(short, true)
        })
    };
    // In the wrong table, but right.
    let misplaced = || {
        let mut exact = others.iter().filter(|k| k.short() == key);
        match (exact.next(), exact.next()) {
            (Some(only), None) => Some(Meant::Spelt(only.name)),
            _ => None,
        }
    };
    called(&key.to_lowercase(), false).or_else(close).or_else(misplaced)
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
            ("mqtt", "usrname", "mqtt.username"),
            ("mqtt", "pasword_file", "mqtt.password_file"),
            ("mqtt", "prefx", "mqtt.prefix"),
            ("", "max_tracks", "face.max_tracks"),
        ] {
            assert_eq!(key_like(table, key), Some(Meant::Spelt(meant)), "{table}.{key}");
        }
        // Nothing of ours is called or spelt like these.
        for (table, key) in [("mqtt", "colour"), ("camera", "gain"), ("health", "x"), ("audit", "y")] {
            assert_eq!(key_like(table, key), None, "{table}.{key}");
        }
        assert_eq!(table_like("stage"), None);
        assert_eq!(key_like("", "path"), None, "there are several");
    }

    /// The names that other programs have are recognised, also with a slip of the pen, and what is said of them is true.
    #[test]
    fn what_other_programs_call_it() {
        let said = |table: &str, key: &str| key_like(table, key).map(|m| m.to_string());
        for (name, ours) in ELSEWHERE {
            let (table, key) = name.split_once('.').expect("a table");
            assert_eq!(key_like(table, key), Some(Meant::elsewhere(ours, None)), "{name}");
            assert!(super::super::keys::find(name).is_none(), "{name} is a key of ours");
        }
        for (_, ours) in ELSEWHERE {
            if let Is(key) | Said(key, _) = ours {
                assert!(super::super::keys::find(key).is_some(), "{key}");
            }
        }
        for (_, ours) in TABLES_ELSEWHERE {
            if let Is(table) | Said(table, _) = ours {
                assert!(tables().contains(&table), "{table}");
            }
        }
        for (table, key, words) in [
            ("mqtt", "hosst", "did you mean host? glint has mqtt.url for it"),
            ("mqtt", "porrt", "did you mean port? glint has mqtt.url for it"),
            ("mqtt", "passwrod", "did you mean mqtt.password_file?"),
            ("mqtt", "ca_flie", "did you mean ca_file? glint has mqtt.ca for it"),
            ("mqtt", "Host", "glint has mqtt.url for it"),
            ("mqtt", "tls", "glint has mqtt.url for it: mqtts:// stands for TLS"),
            ("mqtt", "qos", "glint has no key for it: events are sent with QoS 1"),
            ("mqtt", "retain", "glint has no key for it: events are never retained"),
            ("camera", "framerat", "did you mean framerate? glint has camera.fps for it"),
            ("source", "device", "glint has source.path for it"),
        ] {
            assert_eq!(said(table, key).as_deref(), Some(words), "{table}.{key}");
        }
        let log = table_meant("log").map(|m| m.to_string());
        assert!(log.is_some_and(|words| words.contains("RUST_LOG")));
        assert_eq!(table_meant("broker").and_then(Meant::name), Some("mqtt"));
    }
}
