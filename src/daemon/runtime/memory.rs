//! What the device remembers over restarts beside its events: its name, where it has published something that a broker
//! retains, and which files hold events.
//!
//! It is a small JSON file in the state folder, which is `$STATE_DIRECTORY` where the service manager sets it and else the
//! folder of the outbox. The file has the name of the configuration file (`glint.toml` -> `glint.device.json`), so that two
//! daemons with a configuration each may share a folder. The outbox's thread writes it ([`storage`](crate::daemon::outbox::storage)).

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::daemon::config::{Config, ConfigError};
use crate::daemon::mqtt::{announcement, base, retained_topics};
use crate::daemon::outbox::storage::StateFile;

/// The id of version 0.1 where the configuration gives none.
const FORMER_ID: &str = "glint";
/// Start of an id made of the machine's names.
const PREFIX: &str = "glint";
/// Hexadecimal digits of the machine-id's digest.
const DIGITS: usize = 4;
/// Longest parts of a host name and of a configuration's name that are taken: an id has 64 characters at most.
const MAX_HOST: usize = 31;
const MAX_NAME: usize = 20;
/// Name of the configuration of a machine that has one camera.
const ONLY: &str = "glint";
/// Version of the file that is written, and the newest that is read.
const SCHEMA: u32 = 1;
/// End of the file's name.
const ENDING: &str = ".device.json";
/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Notes {
    /// Version of this file.
    schema: u32,
    /// The id where `device.id` is not set.
    default_id: Option<String>,
    /// `<prefix>/<device>` of each name under which retained messages may stand.
    bases: BTreeSet<String>,
    /// Topics of announcements that may stand.
    announcements: BTreeSet<String>,
    /// Outboxes that may hold events.
    outboxes: BTreeSet<PathBuf>,
}

/// The file and its content.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// None: nothing is kept.
    file: Option<PathBuf>,
    notes: Notes,
    /// What is in force: base, announcement, outbox.
    now: (String, Option<String>, PathBuf),
}

/// The folder of a configuration's state.
pub(crate) fn folder(config: &Config) -> PathBuf {
    // Of several folders the first, as the unit lists them.
    let given = std::env::var_os("STATE_DIRECTORY").and_then(|dirs| std::env::split_paths(&dirs).next());
    let beside = || config.outbox.path.parent().map(Path::to_owned).unwrap_or_default();
    given.filter(|dir| dir.is_absolute()).unwrap_or_else(beside)
}

/// Reads a configuration and gives it the device's own name where it has none. `former` is the state folder before a
/// reload: what was remembered there goes along.
pub(crate) fn load(path: &Path, former: Option<&Path>) -> Result<(Config, Memory), ConfigError> {
    let mut config = Config::load(path)?;
    let memory = Memory::read(path, &mut config, former);
    Ok((config, memory))
}

impl Memory {
    /// Reads what is remembered, completes the configuration by it, and notes what is in force from now on. Writes nothing.
    fn read(path: &Path, config: &mut Config, former: Option<&Path>) -> Self {
        let stem = path.file_stem().unwrap_or_default().to_owned();
        let mut name = stem.clone();
        name.push(ENDING);
        let dir = folder(config);
        let file = dir.join(&name);
        let source = former.filter(|f| *f != dir).map(|f| f.join(&name)).filter(|f| f.exists());
        let (notes, usable) = match read(source.as_ref().unwrap_or(&file)) {
            Ok(None) => (of_same_outbox(&dir, config), true),
            Ok(notes) => (notes, true),
            Err(reason) => {
                tracing::error!(file = %file.display(), reason, "the device's memory file cannot be read");
                // A file that is there and no memory is not of an earlier version.
                (Some(Notes::default()), false)
            }
        };
        let earlier = notes.is_none() && used(config);
        let mut memory =
            Self { file: usable.then_some(file), notes: notes.unwrap_or_default(), now: Default::default() };
        if config.device.id.is_none() {
            let id = memory
                .notes
                .default_id
                .clone()
                .unwrap_or_else(|| memory.choose(earlier, &stem.to_string_lossy()));
            // The id already says what it is of. That of version 0.1 had a client id that said it twice.
            if config.mqtt.client_id.is_none() && id != FORMER_ID {
                config.mqtt.client_id = Some(id.clone());
            }
            memory.notes.default_id = Some(id.clone());
            config.device.id = Some(id);
        }
        memory.take_up(config);
        memory
    }

    /// The id of a device that has none yet.
    fn choose(&self, earlier: bool, configuration: &str) -> String {
        if earlier {
            tracing::info!(
                id = FORMER_ID,
                "an earlier version has run here, so the device keeps its id; set device.id to change it"
            );
            return FORMER_ID.into();
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let machine = ["/etc/machine-id", "/var/lib/dbus/machine-id"]
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .find(|text| is_machine_id(text.trim()));
        let id = default_id(host.trim(), machine.as_deref().map(str::trim), configuration);
        if machine.is_none() {
            tracing::warn!(
                id,
                "this machine has no machine-id, so another device may get the same id; set device.id"
            );
        }
        id
    }

    /// Notes what is in force.
    fn take_up(&mut self, config: &Config) {
        let announced = config.mqtt.discovery.then(|| announcement(config));
        let outbox = outbox(config);
        self.notes.schema = SCHEMA;
        self.notes.bases.insert(base(config));
        self.notes.announcements.extend(announced.clone());
        self.notes.outboxes.insert(outbox.clone());
        self.now = (base(config), announced, outbox);
    }

    /// Retained topics of earlier names, and announcements that are not in force any more.
    pub(crate) fn stale_topics(&self) -> Vec<String> {
        let bases = self.notes.bases.iter().filter(|b| **b != self.now.0).flat_map(|b| retained_topics(b));
        let announcements = self.notes.announcements.iter().filter(|a| Some(*a) != self.now.1.as_ref());
        announcements.cloned().chain(bases).collect()
    }

    /// All of these have been withdrawn.
    pub(crate) fn withdrawn(&mut self) {
        self.notes.bases = [self.now.0.clone()].into();
        self.notes.announcements = self.now.1.iter().cloned().collect();
    }

    /// Outboxes of earlier paths.
    pub(crate) fn earlier_outboxes(&self) -> Vec<PathBuf> {
        self.notes.outboxes.iter().filter(|path| **path != self.now.2).cloned().collect()
    }

    /// Nothing waits in this one any more.
    pub(crate) fn forget_outbox(&mut self, path: &Path) {
        self.notes.outboxes.remove(path);
    }

    /// What is to be written; none where nothing is kept.
    pub(crate) fn note(&self) -> Option<StateFile> {
        // Strings: there is nothing that could fail.
        let text = serde_json::to_string_pretty(&self.notes).unwrap_or_default() + "\n";
        self.file.clone().map(|path| StateFile { path, text })
    }
}

/// The path of the outbox, whatever folder glintd was started in.
fn outbox(config: &Config) -> PathBuf {
    std::path::absolute(&config.outbox.path).unwrap_or_else(|_| config.outbox.path.clone())
}

/// What is remembered under another name of the configuration file: it was renamed, and the device with this outbox is the
/// same.
fn of_same_outbox(dir: &Path, config: &Config) -> Option<Notes> {
    let outbox = outbox(config);
    let entries = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(ENDING)).collect();
    files.sort();
    let (file, notes) = files.into_iter().find_map(|file| {
        let notes = read(&file).ok().flatten()?;
        notes.outboxes.contains(&outbox).then_some((file, notes))
    })?;
    tracing::info!(file = %file.display(), "the configuration file has another name than before; the device stays the same");
    Some(notes)
}

/// The content of the file; none where there is no file.
fn read(file: &Path) -> Result<Option<Notes>, String> {
    let text = match glint::plain::read(file, MAX_BYTES) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    let notes: Notes = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    // What a later version remembers is not overwritten.
    if notes.schema > SCHEMA {
        return Err(format!(
            "written by a newer glintd (schema {}; this one reads schema {SCHEMA})",
            notes.schema
        ));
    }
    Ok(Some(notes))
}

/// Whether glintd has run with this outbox before.
fn used(config: &Config) -> bool {
    let outbox = &config.outbox.path;
    outbox.is_file() || outbox.with_extension("paused").exists()
}

/// 32 hexadecimal digits; while a system starts for the first time it may say `uninitialized`.
fn is_machine_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `glint-<host>-<digits>`, of what there is; with `-<name>` where the configuration has another name than `glint.toml`,
/// because a machine with several cameras has several devices.
fn default_id(host: &str, machine: Option<&str>, configuration: &str) -> String {
    let plain = |text: &str, most: usize| -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        text.chars().map(|c| if allowed(c) { c } else { '-' }).take(most).collect()
    };
    // The name without its domain.
    let host = plain(host.split('.').next().unwrap_or_default(), MAX_HOST);
    let digits = machine.map(|m| glint::model::sha256_hex(m.as_bytes())[..DIGITS].to_owned());
    let name = Some(plain(configuration, MAX_NAME)).filter(|n| n != ONLY && !n.is_empty());
    let parts = [Some(PREFIX.to_owned()), Some(host).filter(|h| !h.is_empty()), digits, name];
    parts.into_iter().flatten().collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_the_names_of_the_machine() {
        let machine = "0123456789abcdef0123456789abcdef";
        let digits = &glint::model::sha256_hex(machine.as_bytes())[..4];
        let id = |host: &str, machine| default_id(host, machine, "glint");
        assert_eq!(id("door", Some(machine)), format!("glint-door-{digits}"));
        assert_eq!(id("door.example.org", None), "glint-door");
        assert_eq!(id("t\u{fc}r 1", None), "glint-t-r-1");
        assert_eq!(id("", Some(machine)), format!("glint-{digits}"));
        assert_eq!(id("", None), "glint");
        let long = "x".repeat(300);
        assert!(default_id(&long, Some(machine), &long).len() <= 64);
        // Two cameras of one machine are two devices.
        assert_eq!(default_id("kiosk", Some(machine), "left"), format!("glint-kiosk-{digits}-left"));
        assert_eq!(default_id("kiosk", None, "no 1"), "glint-kiosk-no-1");
        assert!(is_machine_id(machine) && !is_machine_id("uninitialized"));
    }

    /// A folder, and what a start with this configuration finds and leaves there.
    fn start(dir: &Path, more: &str) -> (Config, Memory) {
        let file = dir.join("g.toml");
        let outbox = if more.contains("outbox.path") {
            String::new()
        } else {
            format!("outbox.path = {:?}\n", dir.join("outbox.redb"))
        };
        std::fs::write(&file, outbox + more).expect("file");
        let (config, memory) = load(&file, None).expect("valid");
        let note = memory.note().expect("kept");
        std::fs::write(&note.path, &note.text).expect("file");
        (config, memory)
    }

    #[test]
    fn a_new_device_keeps_its_first_id_and_an_installed_one_the_old_default() {
        let dir = tempfile::tempdir().expect("folder");
        let (first, _) = start(dir.path(), "");
        let id = first.device.id().to_owned();
        assert!(id.starts_with("glint-") && first.client_id() == id, "{id}");
        std::fs::write(dir.path().join("outbox.redb"), "").expect("file");
        assert_eq!(start(dir.path(), "").0.device.id(), id, "its outbox is not that of an earlier version");

        let dir = tempfile::tempdir().expect("folder");
        std::fs::write(dir.path().join("outbox.redb"), "").expect("file");
        for _ in 0..2 {
            let (config, _) = start(dir.path(), "");
            assert_eq!((config.device.id(), config.client_id().as_str()), ("glint", "glint-glint"));
        }
        let (config, _) = start(dir.path(), "device.id = \"door\"");
        assert_eq!((config.device.id(), config.client_id().as_str()), ("door", "glint-door"));
        assert_eq!(start(dir.path(), "").0.device.id(), "glint", "kept while another was in force");
        // What cannot be read is neither used nor overwritten, nor is what a later version remembers.
        let file = dir.path().join("g.device.json");
        let later = r#"{"schema": 2, "default_id": "glint", "wings": 2}"#;
        for text in ["no memory", later] {
            std::fs::write(&file, text).expect("file");
            let (config, memory) = load(&dir.path().join("g.toml"), None).expect("valid");
            assert!(config.device.id().starts_with("glint-") && memory.note().is_none());
        }
        assert!(read(&file).is_err_and(|reason| reason.contains("newer glintd (schema 2")));
    }

    #[test]
    fn a_renamed_configuration_is_of_the_same_device() {
        let dir = tempfile::tempdir().expect("folder");
        let (first, memory) = start(dir.path(), "");
        std::fs::write(dir.path().join("outbox.redb"), "").expect("file");
        std::fs::rename(dir.path().join("g.toml"), dir.path().join("kiosk.toml")).expect("renamed");
        let (renamed, after) = load(&dir.path().join("kiosk.toml"), None).expect("valid");
        assert_eq!(renamed.device.id(), first.device.id());
        assert_eq!(after.notes, memory.notes);
        assert_eq!(after.note().expect("kept").path, dir.path().join("kiosk.device.json"));
        // Another device beside it.
        let text = format!("outbox.path = {:?}", dir.path().join("other"));
        std::fs::write(dir.path().join("left.toml"), text).expect("file");
        let (other, _) = load(&dir.path().join("left.toml"), None).expect("valid");
        assert_ne!(other.device.id(), first.device.id());
    }

    #[test]
    fn names_announcements_and_outboxes_of_before_are_known() {
        let dir = tempfile::tempdir().expect("folder");
        let (_, memory) = start(dir.path(), "device.id = \"a\"\nmqtt.discovery = true");
        assert!(memory.stale_topics().is_empty() && memory.earlier_outboxes().is_empty());
        let other = dir.path().join("other");
        let (_, mut memory) = start(dir.path(), &format!("device.id = \"b\"\noutbox.path = {other:?}"));
        let stale = memory.stale_topics();
        assert_eq!(stale[0], "homeassistant/device/a/config");
        assert!(stale.contains(&"glint/a/status".into()) && stale.contains(&"glint/a/pause/state".into()));
        assert!(!stale.iter().any(|t| t.contains("/b/")));
        assert_eq!(memory.earlier_outboxes(), [dir.path().join("outbox.redb")]);
        memory.withdrawn();
        memory.forget_outbox(&dir.path().join("outbox.redb"));
        assert!(memory.stale_topics().is_empty() && memory.earlier_outboxes().is_empty());
        // Without a word of the withdrawal, and back under the first name.
        let (_, memory) = start(dir.path(), "device.id = \"a\"");
        let stale = memory.stale_topics();
        assert!(stale.contains(&"homeassistant/device/a/config".into()));
        assert!(stale.contains(&"glint/b/status".into()) && !stale.contains(&"glint/a/status".into()));
    }

    #[test]
    fn memory_goes_along_when_a_reload_changes_the_folder() {
        let dir = tempfile::tempdir().expect("folder");
        let (first, _) = start(dir.path(), "");
        let other = dir.path().join("sub/outbox");
        let file = dir.path().join("g.toml");
        std::fs::write(&file, format!("outbox.path = {other:?}")).expect("file");
        let (config, memory) = load(&file, Some(dir.path())).expect("valid");
        assert_eq!(config.device.id(), first.device.id());
        assert_eq!(memory.earlier_outboxes(), [dir.path().join("outbox.redb")]);
        assert_eq!(memory.note().expect("kept").path, dir.path().join("sub/g.device.json"));
    }
}
