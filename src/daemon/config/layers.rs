//! The layers of a configuration: files in their order, then environment variables. Each is checked by itself, key by key;
//! a later one replaces the keys that it sets.

use std::collections::{BTreeMap, BTreeSet};

use glint::model::row_column;
use toml::Value;
use toml::de::{DeTable, DeValue, Error};

use super::keys::{KEYS, Key, find, kind_of};
use super::syntax;
use super::words::{Meant, key_like, table_like, table_meant, tables};

/// What the variables of keys begin with.
const PREFIX: &str = "GLINT_";
/// What stands between table and key in a variable.
const DIVIDER: &str = "__";
/// Longest name of an unknown key that is shown, in characters.
const SHOWN: usize = 64;

/// A file and its text.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// Its path, as messages name it.
    pub(super) name: String,
    /// Its content.
    pub(super) text: String,
}

/// Where each key was set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// The first file.
    main: String,
    /// Keys and tables; the place is `FILE:LINE:COL`, or the name of a variable.
    by_name: BTreeMap<String, String>,
}

impl PartialEq for Places {
    /// Where a key stands is no part of what it says.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Places {
    /// Where a key was set, or else its table; the file alone where no layer names either: a line would be a false one.
    pub(crate) fn place_of(&self, key: &str) -> String {
        self.place_among(&[key])
    }

    /// Where the first of these keys was set that was, or else the first of their tables.
    fn place_among(&self, keys: &[&str]) -> String {
        let tables = keys.iter().map(|key| key.split_once('.').map_or(*key, |(table, _)| table));
        let mut names = keys.iter().copied().chain(tables);
        names.find_map(|name| self.by_name.get(name)).unwrap_or(&self.main).clone()
    }

    /// Which layer has set each key, a line each.
    pub(crate) fn list(&self) -> String {
        let keys = self.by_name.iter().filter(|(key, _)| find(key).is_some());
        keys.map(|(key, place)| format!("{key}: {place}\n")).collect()
    }

    /// Whether a layer has set a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.by_name.contains_key(key)
    }

    /// A problem of a key as a line.
    pub(crate) fn line(&self, key: &str, reason: impl std::fmt::Display) -> String {
        self.line_with(key, &[], reason)
    }

    /// The same of a key that others play a part in: where it was not set, one of them was.
    pub(super) fn line_with(&self, key: &str, with: &[&str], reason: impl std::fmt::Display) -> String {
        let reason = reason.to_string().replace('\n', " ");
        // Its own table stands before the keys of others, as long as it is there.
        let own = self.place_of(key);
        let place = if own == self.main { self.place_among(with) } else { own };
        if place.is_empty() { format!("{key}: {reason}") } else { format!("{place}: {key}: {reason}") }
    }
}

/// What the layers say together.
#[derive(Debug, Default)]
pub(super) struct Merged {
    values: BTreeMap<&'static str, Value>,
    /// Where each of them was set.
    pub(super) places: Places,
    /// Keys of which some layer says what cannot be, and tables of which something is unknown: what follows from them is no
    /// further problem.
    pub(super) spoiled: BTreeSet<&'static str>,
    /// Lines, in the order of the layers.
    pub(super) problems: Vec<String>,
    /// Whether a file is no TOML: nobody knows what it would say.
    pub(super) unread: bool,
}

impl Merged {
    /// The layers of these files and variables.
    pub(super) fn from_layers(files: &[File], variables: &[(String, String)]) -> Self {
        let mut merged = Self::default();
        merged.places.main = files.first().map(|f| f.name.clone()).unwrap_or_default();
        files.iter().for_each(|file| merged.file(file));
        variables.iter().for_each(|(name, text)| merged.variable(name, text));
        merged
    }

    /// The keys as one table.
    pub(super) fn table(&self) -> toml::Table {
        let mut out = toml::Table::new();
        for (name, value) in &self.values {
            if let Some(key) = find(name)
                && let Value::Table(inner) =
                    out.entry(key.table()).or_insert_with(|| Value::Table(toml::Table::new()))
            {
                inner.insert(key.short().to_owned(), value.clone());
            }
        }
        out
    }

    fn file(&mut self, file: &File) {
        let (parsed, errors) = DeTable::parse_recoverable(&file.text);
        let mut problems: Vec<(usize, String)> = Vec::new();
        match file.text.parse::<toml::Table>() {
            Ok(values) if errors.is_empty() => self.tables(file, parsed.get_ref(), &values, &mut problems),
            values => {
                self.unread = true;
                let toml_error = values.err().filter(|_| errors.is_empty());
                let all: Vec<&Error> = errors.iter().chain(&toml_error).collect();
                problems.extend(syntax::problems(&file.text, parsed.get_ref(), &all));
            }
        }
        problems.sort();
        self.problems.extend(problems.into_iter().map(|(at, text)| format!("{}: {text}", place(file, at))));
    }

    fn tables(
        &mut self,
        file: &File,
        parsed: &DeTable<'_>,
        values: &toml::Table,
        problems: &mut Vec<(usize, String)>,
    ) {
        for (name, value) in parsed.iter() {
            let (table, at) = (name.get_ref().as_ref(), name.span().start);
            let known = tables().contains(&table);
            match (known, value.get_ref(), values.get(table)) {
                (true, DeValue::Table(keys), Some(Value::Table(inner))) => {
                    self.places.by_name.insert(table.to_owned(), place(file, at));
                    self.keys(file, table, keys, inner, problems);
                }
                (true, _, value) => {
                    let value = value.map_or("", kind_of);
                    problems.push((
                        at,
                        format!("{table}: {value} is not a table; allowed: [{table}], and its keys"),
                    ));
                }
                _ => {
                    let meant = table_meant(table).or_else(|| key_like("", table));
                    // What its keys would have said is not known.
                    let spoiled =
                        |k: &&Key| meant.and_then(Meant::name).is_some_and(|name| name == k.table());
                    self.spoiled.extend(KEYS.iter().filter(spoiled).map(|k| k.name));
                    let what = if matches!(value.get_ref(), DeValue::Table(_)) { "table" } else { "key" };
                    problems.push((at, unknown(table, what, meant, &tables())));
                }
            }
        }
    }

    fn keys(
        &mut self,
        file: &File,
        table: &str,
        parsed: &DeTable<'_>,
        values: &toml::Table,
        problems: &mut Vec<(usize, String)>,
    ) {
        for (name, spanned) in parsed.iter() {
            let full = format!("{table}.{}", name.get_ref());
            match (find(&full), values.get(name.get_ref().as_ref())) {
                (Some(key), Some(value)) => {
                    let at = spanned.span().start;
                    if let Err(problem) = self.set(key, value.clone(), place(file, at)) {
                        problems.push((at, problem));
                    }
                }
                _ => {
                    let meant = key_like(table, name.get_ref());
                    self.spoiled.extend(meant.and_then(Meant::name));
                    let siblings: Vec<&str> =
                        KEYS.iter().filter(|k| k.table() == table).map(Key::short).collect();
                    problems.push((name.span().start, unknown(&full, "key", meant, &siblings)));
                }
            }
        }
    }

    fn set(&mut self, key: &'static Key, value: Value, place: String) -> Result<(), String> {
        if let Err(reason) = key.kind.check(&value) {
            self.spoiled.insert(key.name);
            return Err(format!("{}: {reason}; allowed: {}", key.name, key.kind.allowed()));
        }
        self.places.by_name.insert(key.name.to_owned(), place);
        self.values.insert(key.name, value);
        Ok(())
    }

    fn variable(&mut self, variable: &str, text: &str) {
        let Some(name) = key_of(variable).or_else(|| key_meant_by(variable)) else { return };
        let is_divided = variable.contains(DIVIDER);
        let Some(key) = find(&name).filter(|_| is_divided) else {
            let (table, short) = name.split_once('.').unwrap_or(("", &name));
            let table = if tables().contains(&table) { table } else { table_like(table).unwrap_or(table) };
            let moved = find(&format!("{table}.{short}")).map(|k| Meant::Spelt(k.name));
            let meant = moved.or_else(|| key_like(table, short));
            self.spoiled.extend(meant.and_then(Meant::name));
            let meant = meant.map(|m| m.map(variable_of));
            let allowed: Vec<String> =
                match KEYS.iter().filter(|k| k.table() == table).map(|k| variable_of(k.name)) {
                    siblings if tables().contains(&table) => siblings.collect(),
                    _ => tables().iter().map(|t| format!("{}{DIVIDER}KEY", variable_of(t))).collect(),
                };
            let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
            self.problems.push(unknown(variable, "variable", meant, &allowed));
            return;
        };
        if let Err(problem) = self.set(key, key.kind.of_variable(text), variable.to_owned()) {
            self.problems.push(format!("{variable}: {problem}"));
        }
    }
}

/// The key that a variable sets, known or not; `None` for variables of other purposes.
pub(super) fn key_of(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix(PREFIX)?;
    let (table, key) = rest.split_once(DIVIDER)?;
    Some(format!("{}.{}", table.to_lowercase(), key.to_lowercase()))
}

/// The key or table that a variable without a divider would set if it had one: `GLINT_MQTT_URL`.
fn key_meant_by(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix(PREFIX)?.to_lowercase();
    let name = rest.replacen('_', ".", 1);
    (find(&name).is_some() || tables().contains(&name.as_str())).then_some(name)
}

/// The variable that sets a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', DIVIDER))
}

fn unknown<T: std::fmt::Display>(
    name: &str,
    what: &str,
    meant: Option<Meant<T>>,
    allowed: &[&str],
) -> String {
    let meant = meant.map(|m| format!(" ({m})")).unwrap_or_default();
    format!("{}: unknown {what}{meant}; allowed: {}", readable(name), allowed.join(", "))
}

/// The name of an unknown key. One in quotes may hold anything, a line break too.
fn readable(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.chars().count() <= SHOWN && name.chars().all(is_plain) {
        return name.to_owned();
    }
    match name.split_once('.').filter(|(table, _)| tables().contains(table)) {
        Some((table, _)) => format!("{table}.(name not shown)"),
        None => "(name not shown)".into(),
    }
}

fn place(file: &File, at: usize) -> String {
    let (row, column) = row_column(&file.text, at);
    format!("{}:{row}:{column}", file.name)
}
