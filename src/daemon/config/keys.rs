//! What each key may hold: the one table from which values are checked, suggestions and variables are made, and the JSON
//! Schema for editors is written.

use toml::Value;

/// Longest word that an error shows, in characters. The longest of ours has 13; passwords that people give to programs
/// have more.
const SHOWN: usize = 16;

/// What a value has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// Path of a folder or device, or an address.
    Path,
    /// Path of a file.
    File,
    /// Text, one or more: a program and its arguments, names.
    Texts,
    /// true or false.
    Flag,
    /// A whole number of a range.
    Whole(i64, i64),
    /// One of these whole numbers.
    OneOf(&'static [i64]),
    /// A number of a range.
    Number(f64, f64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// One or more of these words.
    Words(&'static [&'static str]),
    /// Width and height, each of a range.
    Size(i64, i64),
    /// A version: one of these words, of which the second may stand without quotes.
    Version([&'static str; 2]),
}

/// A key and what it may hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Key {
    /// The key with its table, as `camera.fps`.
    pub(super) name: &'static str,
    /// What it may hold.
    pub(super) kind: Kind,
}

impl Key {
    /// The table.
    pub(super) fn table(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(table, _)| table)
    }

    /// The key without its table.
    pub(super) fn short(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, key)| key)
    }
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind }
}

const FORMATS: &[&str] = &["GREY", "YUYV", "UYVY", "NV12", "MJPG", "BAYER8", "BAYER10", "BAYER12"];
const PURPOSES: &[&str] =
    &["research", "clinical", "accessibility", "demonstration", "workplace", "education"];

/// Every key, in the order of the reference page.
pub(super) const KEYS: [Key; 43] = [
    key("device.id", Kind::Text),
    key("source.kind", Kind::Word(&["v4l2", "clip", "command", "synthetic"])),
    key("source.path", Kind::Path),
    key("source.command", Kind::Texts),
    key("source.format", Kind::Word(&["y4m", "mjpeg", "nut", "raw"])),
    key("camera.format", Kind::Word(FORMATS)),
    key("camera.size", Kind::Size(16, glint::frame::MAX_SIDE as i64)),
    key("camera.fps", Kind::Number(1.0, 1000.0)),
    key("camera.rotate", Kind::OneOf(&[0, 90, 180, 270])),
    key("camera.mirror", Kind::Flag),
    key("camera.power_line_hz", Kind::OneOf(&[50, 60])),
    key("camera.lock_exposure", Kind::Flag),
    key("face.detector", Kind::File),
    key("face.detector_sha256", Kind::Text),
    key("face.max_tracks", Kind::Whole(1, 8)),
    key("gate.thresholds", Kind::File),
    key("gate.kinds", Kind::Words(&["micro", "macro", "blink"])),
    key("model.path", Kind::Path),
    key("model.trusted_keys", Kind::Texts),
    key("mqtt.url", Kind::Text),
    key("mqtt.prefix", Kind::Text),
    key("mqtt.client_id", Kind::Text),
    key("mqtt.protocol", Kind::Version(["3.1.1", "5"])),
    key("mqtt.username", Kind::Text),
    key("mqtt.password_file", Kind::File),
    key("mqtt.ca", Kind::File),
    key("mqtt.cert", Kind::File),
    key("mqtt.key", Kind::File),
    key("mqtt.discovery", Kind::Flag),
    key("mqtt.discovery_prefix", Kind::Text),
    key("stream.au_hz", Kind::Number(1.0, 30.0)),
    key("outbox.path", Kind::File),
    key("outbox.max_age_s", Kind::Whole(1, 31_536_000)),
    key("outbox.max_bytes", Kind::Whole(65_536, 1 << 30)),
    key("deployment.purpose", Kind::Word(PURPOSES)),
    key("deployment.basis", Kind::Word(&["medical", "safety"])),
    key("health.interval_s", Kind::Whole(1, 3600)),
    key("page.listen", Kind::Text),
    key("page.token_file", Kind::File),
    key("page.hosts", Kind::Texts),
    key("page.confirmation_s", Kind::Whole(1, 3600)),
    key("audit.enabled", Kind::Flag),
    key("audit.max_bytes", Kind::Whole(4096, 1 << 30)),
];

/// The key of a name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl Kind {
    /// What is wrong with a value, without what is allowed. It shows nothing that may be a secret: no text of a key that
    /// holds any text, and no table.
    pub(super) fn check(self, value: &Value) -> Result<(), String> {
        let not = |what: &str| Err(format!("{} is not {what}", shown(value)));
        let within = |ok: bool| {
            let shown = shown(value);
            match (ok, value) {
                (true, _) => Ok(()),
                (false, _) if shown.starts_with("this ") => Err(format!("{shown} is not allowed")),
                (false, _) => Err(shown),
            }
        };
        match (self, value) {
            (Self::Text, Value::String(text)) => free_text(text),
            (Self::Path, Value::String(path)) => path_text(path),
            (Self::File, Value::String(path)) => file_path(path),
            (Self::Flag, Value::Boolean(_)) => Ok(()),
            (Self::Text | Self::Path | Self::File, _) => {
                Err(format!("{} is not text in quotes", kind_of(value)))
            }
            (Self::Flag, _) => not("true or false"),
            (Self::Texts, Value::Array(items)) => match items.iter().position(|item| !item.is_str()) {
                _ if items.is_empty() => Err("empty".into()),
                None => Ok(()),
                Some(n) => {
                    let what = items.get(n).map_or("", kind_of);
                    Err(format!("entry {}: {what} is not text in quotes", n + 1))
                }
            },
            (Self::Texts, _) => Err(format!("{} is not a list of texts", kind_of(value))),
            (Self::Whole(least, most), Value::Integer(i)) => within((least..=most).contains(i)),
            (Self::OneOf(choices), Value::Integer(i)) => within(choices.contains(i)),
            (Self::Whole(..) | Self::OneOf(_), _) => not("a whole number"),
            (Self::Number(least, most), Value::Float(f)) => within((least..=most).contains(f)),
            (Self::Number(least, most), Value::Integer(i)) => within((least..=most).contains(&(*i as f64))),
            (Self::Number(..), _) => not("a number"),
            (Self::Word(words), Value::String(word)) => within(words.contains(&word.as_str())),
            (Self::Word(_), _) => not("a word in quotes"),
            (Self::Words(words), Value::Array(items)) if !items.is_empty() => {
                match items.iter().find(|i| !i.as_str().is_some_and(|word| words.contains(&word))) {
                    None => Ok(()),
                    Some(Value::String(word)) if !is_short_word(word) => {
                        Err("one of these words is not allowed".into())
                    }
                    Some(item @ Value::String(_)) => Err(shown(item)),
                    Some(item) => Err(format!("{} is not a word in quotes", shown(item))),
                }
            }
            (Self::Words(_), Value::Array(_)) => Err("empty".into()),
            (Self::Words(_), _) => not("a list of words"),
            (Self::Size(least, most), Value::Array(items)) if items.len() == 2 => {
                within(items.iter().all(|i| i.as_integer().is_some_and(|i| (least..=most).contains(&i))))
            }
            (Self::Size(..), Value::Array(items)) if items.is_empty() => Err("empty".into()),
            (Self::Size(..), Value::Array(items)) => {
                let count =
                    if items.len() == 1 { "1 entry".into() } else { format!("{} entries", items.len()) };
                Err(format!("{} has {count} instead of 2", shown(value)))
            }
            (Self::Size(..), _) => not("a list of two numbers"),
            (Self::Version(words), Value::String(word)) => within(words.contains(&word.as_str())),
            // 5 is what people write without quotes.
            (Self::Version([_, plain]), Value::Integer(i)) => within(i.to_string() == plain),
            (Self::Version(_), _) => not("a version"),
        }
    }

    /// What is allowed, in words.
    pub(super) fn allowed(self) -> String {
        let numbers = |all: &[i64]| all.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Text => "text in quotes".into(),
            Self::Path => "a path in quotes".into(),
            Self::File => "the path of a file, in quotes".into(),
            Self::Texts => "a list of texts, each in quotes: [\"TEXT\", \"TEXT\"]".into(),
            Self::Flag => "true, false".into(),
            Self::Whole(least, most) => format!("{least} to {most}"),
            Self::OneOf(all) => numbers(all),
            Self::Number(least, most) => format!("a number, {least} to {most}"),
            Self::Word(words) => words.join(", "),
            Self::Words(words) => format!("some of {}, in brackets", words.join(", ")),
            Self::Size(least, most) => format!("[width, height], each side {least} to {most}"),
            Self::Version(words) => words.map(|w| format!("\"{w}\"")).join(", "),
        }
    }

    /// The value of an environment variable. What is no number, no list and the like stays text, and is refused as such.
    pub(super) fn of_variable(self, text: &str) -> Value {
        let as_text = || Value::String(text.to_owned());
        let parsed = || {
            let table: toml::Table = format!("v = {text}").parse().ok()?;
            // A line break would begin another key.
            if table.len() == 1 { table.get("v").cloned() } else { None }
        };
        match self {
            Self::Text | Self::Path | Self::File | Self::Word(_) | Self::Version(_) => as_text(),
            Self::Words(_) if !text.trim_start().starts_with('[') => {
                Value::Array(text.split(',').map(|word| Value::String(word.trim().to_owned())).collect())
            }
            _ => parsed().unwrap_or_else(as_text),
        }
    }
}

/// Text of which one key or another says more.
fn free_text(text: &str) -> Result<(), String> {
    if text.contains(char::is_control) { Err("a control character".into()) } else { Ok(()) }
}

fn path_text(path: &str) -> Result<(), String> {
    if path.trim().is_empty() { Err("empty".into()) } else { free_text(path) }
}

fn file_path(path: &str) -> Result<(), String> {
    path_text(path)?;
    let is_folder = path.ends_with('/') || std::path::Path::new(path).file_name().is_none();
    if is_folder || path.ends_with("/.") { Err("the path of a folder".into()) } else { Ok(()) }
}

/// What sort of value it is, where the value itself is not shown.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date or time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// A value that is no secret, as it would be written: a number, true, false, a short word, a short list of those.
fn shown(value: &Value) -> String {
    let hidden = || "this text".to_owned();
    match value {
        Value::Integer(i) => i.to_string(),
        Value::Float(f) => f.to_string(),
        Value::Boolean(b) => b.to_string(),
        Value::String(text) if text.is_empty() || is_short_word(text) => format!("\"{text}\""),
        Value::String(_) => hidden(),
        Value::Datetime(_) => "a date or time".into(),
        Value::Array(items) => {
            let is_number = |item: &Value| item.is_integer() || item.is_float();
            let text = format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "));
            let is_short = text.chars().count() <= 2 * SHOWN;
            if items.iter().all(is_number) && is_short { text } else { "this list".into() }
        }
        Value::Table(_) => "a table".into(),
    }
}

/// Whether a text is a word as those that keys have, and neither an address, a path nor a key.
fn is_short_word(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=SHOWN).contains(&text.len()) && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Values of every shape, and such that lie on a border.
    fn values() -> impl Strategy<Value = Value> {
        let words = ["v4l2", "raw", "MJPG", "5", "3.1.1", "micro", "blink", "research", "safety", "", "x"];
        let leaf = prop_oneof![
            prop::sample::select(&[0, 1, 5, 8, 16, 50, 90, 3600, 4096, 65_536, -1, i64::MAX][..])
                .prop_map(Value::Integer),
            prop::sample::select(&[0.5, 60.0, f64::NAN, f64::INFINITY, 1000.0][..]).prop_map(Value::Float),
            any::<bool>().prop_map(Value::Boolean),
            prop::sample::select(words.to_vec()).prop_map(|w| Value::String(w.into())),
        ];
        leaf.prop_recursive(2, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec(inner, 0..2)
                    .prop_map(|v| Value::Table(v.into_iter().map(|v| ("k".to_owned(), v)).collect())),
            ]
        })
    }

    proptest! {
        /// The table and the types are of one mind: what the table lets through becomes a configuration.
        #[test]
        fn what_a_kind_allows_the_type_takes(n in 0..KEYS.len(), value in values()) {
            let key = KEYS[n];
            if key.kind.check(&value).is_ok() {
                let inner: toml::Table = [(key.short().to_owned(), value.clone())].into_iter().collect();
                let table: toml::Table = [(key.table().to_owned(), Value::Table(inner))].into_iter().collect();
                let read: Result<super::super::Config, _> = table.try_into();
                prop_assert!(read.is_ok(), "{} = {value}: {:?}", key.name, read.err());
            }
        }
    }

    #[test]
    fn every_word_of_the_table_is_one_of_the_type() {
        for key in KEYS {
            let (words, list) = match key.kind {
                Kind::Word(words) => (words.to_vec(), false),
                Kind::Words(words) => (words.to_vec(), true),
                Kind::Version(words) => (words.to_vec(), false),
                _ => continue,
            };
            for word in words {
                let value = if list { format!("[\"{word}\"]") } else { format!("\"{word}\"") };
                let read: Result<super::super::Config, _> =
                    toml::from_str(&format!("{} = {value}", key.name));
                assert!(read.is_ok(), "{} = {value}: {:?}", key.name, read.err());
            }
        }
        assert_eq!(FORMATS.len(), glint::frame::PixelFormat::ALL.len());
    }

    #[test]
    fn variables_become_what_their_key_holds() {
        let value = |name: &str, text: &str| find(name).expect("a key").kind.of_variable(text);
        assert_eq!(value("mqtt.url", "mqtt://x"), Value::String("mqtt://x".into()));
        assert_eq!(value("mqtt.username", "5"), Value::String("5".into()), "text stays text");
        assert_eq!(value("camera.fps", "60"), Value::Integer(60));
        assert_eq!(value("camera.mirror", "true"), Value::Boolean(true));
        assert_eq!(value("gate.kinds", "micro, blink"), value("gate.kinds", "[\"micro\", \"blink\"]"));
        assert_eq!(value("camera.fps", "fast"), Value::String("fast".into()));
        assert_eq!(value("camera.fps", "1\nx = 2"), Value::String("1\nx = 2".into()));
    }

    /// What a key holds that a value was not meant for, a table, a list: nothing of it is said.
    #[test]
    fn no_error_shows_what_may_be_a_secret() {
        let secret = "s3cret-of-the-site";
        let text = || Value::String(secret.into());
        let table = || Value::Table([("k".to_owned(), text())].into_iter().collect());
        let number = Value::Integer(8_765_432_101);
        let values = [text(), Value::Array(vec![text(), table()]), table(), Value::Array(vec![table()])];
        for key in KEYS {
            for value in &values {
                if let Err(reason) = key.kind.check(value) {
                    assert!(!reason.contains("s3cret"), "{}: {reason}", key.name);
                }
            }
            if matches!(key.kind, Kind::Text | Kind::Path | Kind::File | Kind::Texts) {
                for value in [number.clone(), Value::Array(vec![text(), number.clone()])] {
                    if let Err(reason) = key.kind.check(&value) {
                        assert!(!reason.contains("8765"), "{}: {reason}", key.name);
                    }
                }
            }
        }
    }

    #[test]
    fn paths_are_not_empty_and_files_are_no_folders() {
        let check = |name: &str, path: &str| {
            let key = find(name).expect("a key");
            key.kind.check(&Value::String(path.into()))
        };
        for key in KEYS.iter().filter(|k| matches!(k.kind, Kind::Path | Kind::File)) {
            assert_eq!(check(key.name, ""), Err("empty".into()), "{}", key.name);
            assert_eq!(check(key.name, " "), Err("empty".into()), "{}", key.name);
            assert_eq!(check(key.name, "/a\tb"), Err("a control character".into()), "{}", key.name);
            assert_eq!(check(key.name, "/a"), Ok(()), "{}", key.name);
        }
        for folder in ["/var/lib/glint/", "/", "..", "a/..", "a/."] {
            assert_eq!(check("outbox.path", folder), Err("the path of a folder".into()), "{folder}");
            assert_eq!(check("model.path", folder), Ok(()), "{folder}");
        }
    }

    #[test]
    fn empty_lists_are_called_so() {
        let empty = Value::Array(Vec::new());
        for key in KEYS.iter().filter(|k| matches!(k.kind, Kind::Texts | Kind::Words(_) | Kind::Size(..))) {
            assert_eq!(key.kind.check(&empty), Err("empty".into()), "{}", key.name);
        }
    }
}
