//! The durable queue of events that the broker has not acknowledged yet.
//!
//! An event is accepted once [`Outbox::put`] has returned: it is on disk (one committed transaction)
//! and stays there until [`Outbox::remove`]. Where the disk cannot take it, it waits in memory under
//! the same bounds, and [`Outbox::full`] says so. Events go by age and by size, oldest first; what is
//! lost is counted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;

/// Key -> (wall-clock second of acceptance, event id, JSON).
const EVENTS: TableDefinition<'_, u64, (u64, &str, &str)> = TableDefinition::new("events");
/// Page cache of the database; the queue is read in order, so little is enough.
const CACHE_BYTES: usize = 256 << 10;
/// After a failed write the file is tried again so many seconds later.
const RETRY_S: u64 = 10;

/// Why the disk did not take or give an event.
#[derive(Debug, thiserror::Error)]
#[error("outbox {path}: {reason}")]
pub(crate) struct OutboxError {
    path: PathBuf,
    reason: String,
}

/// Events that were never delivered, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Lost {
    /// Older than the limit.
    pub(crate) by_age: u64,
    /// Pushed out by newer ones.
    pub(crate) by_size: u64,
    /// Emptied by command.
    pub(crate) purged: u64,
}

/// An event that waits.
struct Entry {
    accepted_s: u64,
    bytes: u64,
    /// The event itself where the disk could not take it.
    memory: Option<String>,
}

/// The queue.
pub(crate) struct Outbox {
    path: PathBuf,
    database: Option<Database>,
    /// What waits, in order of acceptance.
    entries: BTreeMap<u64, Entry>,
    next_key: u64,
    bytes: u64,
    max_age_s: u64,
    max_bytes: u64,
    lost: Lost,
    retry_at_s: u64,
}

impl Outbox {
    /// Opens the file, or creates it. A damaged file is set aside under another name; a file that
    /// cannot be opened at all leaves the queue in memory. Both are logged.
    pub(crate) fn open(path: &Path, max_age_s: u64, max_bytes: u64, now_s: u64) -> Self {
        let mut outbox = Self {
            path: path.to_owned(),
            database: None,
            entries: BTreeMap::new(),
            next_key: 0,
            bytes: 0,
            max_age_s,
            max_bytes,
            lost: Lost::default(),
            retry_at_s: 0,
        };
        outbox.connect(now_s);
        outbox.expire(now_s);
        outbox
    }

    /// A queue without a file and without bounds.
    pub(crate) fn in_memory() -> Self {
        Self {
            path: PathBuf::new(),
            database: None,
            entries: BTreeMap::new(),
            next_key: 0,
            bytes: 0,
            max_age_s: u64::MAX,
            max_bytes: u64::MAX,
            lost: Lost::default(),
            retry_at_s: u64::MAX,
        }
    }

    /// Opens the database and takes up what is in it.
    fn connect(&mut self, now_s: u64) {
        if let Some(dir) = self.path.parent()
            && let Err(e) = std::fs::create_dir_all(dir)
        {
            self.give_up(now_s, &e.to_string());
            return;
        }
        let opened = open_database(&self.path).or_else(|e| {
            if !e.damaged {
                return Err(e);
            }
            let aside = self.path.with_extension(format!("damaged-{now_s}"));
            std::fs::rename(&self.path, &aside)
                .map_err(|r| OpenError { damaged: false, reason: r.to_string() })?;
            tracing::error!(file = %self.path.display(), aside = %aside.display(), reason = e.reason,
                "outbox is damaged: set aside, starting with an empty one; its events are not sent");
            open_database(&self.path)
        });
        let database = match opened {
            Ok(database) => database,
            Err(e) => return self.give_up(now_s, &e.reason),
        };
        match load(&database) {
            Ok(found) => {
                for (key, entry) in found {
                    self.next_key = self.next_key.max(key + 1);
                    self.bytes += entry.bytes;
                    self.entries.insert(key, entry);
                }
                self.database = Some(database);
            }
            Err(reason) => self.give_up(now_s, &reason),
        }
    }

    fn give_up(&mut self, now_s: u64, reason: &str) {
        tracing::error!(file = %self.path.display(), reason, "outbox cannot write: events wait in memory");
        self.database = None;
        self.retry_at_s = now_s + RETRY_S;
    }

    /// Accepts an event and returns its key. On disk when this returns, unless [`Self::full`].
    pub(crate) fn put(&mut self, id: &str, json: &str, now_s: u64) -> u64 {
        self.reconnect(now_s);
        let key = self.next_key;
        self.next_key += 1;
        let bytes = json.len() as u64;
        let written = self.write(|table| table.insert(key, (now_s, id, json)).map(|_| ()));
        let memory = match written {
            Ok(()) => None,
            Err(reason) => {
                if self.database.is_some() {
                    self.give_up(now_s, &reason);
                }
                Some(json.to_owned())
            }
        };
        self.bytes += bytes;
        self.entries.insert(key, Entry { accepted_s: now_s, bytes, memory });
        self.expire(now_s);
        key
    }

    /// Tries the file again some time after it failed, and moves what waits in memory into it.
    fn reconnect(&mut self, now_s: u64) {
        if self.database.is_some() || now_s < self.retry_at_s {
            return;
        }
        let waiting: Vec<(u64, Entry)> = std::mem::take(&mut self.entries).into_iter().collect();
        self.bytes = 0;
        self.connect(now_s);
        // What the disk already has was loaded again; the rest goes in under its old key, which the
        // disk cannot have given to another event.
        for (key, entry) in waiting {
            let Some(json) = &entry.memory else { continue };
            let id = serde_json::from_str::<serde_json::Value>(json)
                .ok()
                .and_then(|v| v["id"].as_str().map(str::to_owned))
                .unwrap_or_default();
            let moved =
                self.write(|t| t.insert(key, (entry.accepted_s, id.as_str(), json.as_str())).map(|_| ()));
            self.next_key = self.next_key.max(key + 1);
            self.bytes += entry.bytes;
            let memory = if moved.is_ok() { None } else { entry.memory };
            if let Err(reason) = moved
                && self.database.is_some()
            {
                self.give_up(now_s, &reason);
            }
            self.entries.insert(key, Entry { memory, ..entry });
        }
        if self.database.is_some() {
            tracing::info!(file = %self.path.display(), "outbox writes to disk again");
        }
    }

    fn write(
        &self,
        change: impl FnOnce(
            &mut redb::Table<'_, u64, (u64, &'static str, &'static str)>,
        ) -> Result<(), redb::StorageError>,
    ) -> Result<(), String> {
        let Some(database) = &self.database else { return Err("not open".into()) };
        let mut transaction = database.begin_write().map_err(|e| e.to_string())?;
        transaction.set_durability(Durability::Immediate).map_err(|e| e.to_string())?;
        {
            let mut table = transaction.open_table(EVENTS).map_err(|e| e.to_string())?;
            change(&mut table).map_err(|e| e.to_string())?;
        }
        transaction.commit().map_err(|e| e.to_string())
    }

    /// Takes events out: acknowledged, expired or purged.
    fn take(&mut self, keys: &[u64], now_s: u64) {
        let on_disk: Vec<u64> = keys
            .iter()
            .filter_map(|key| {
                let entry = self.entries.remove(key)?;
                self.bytes = self.bytes.saturating_sub(entry.bytes);
                entry.memory.is_none().then_some(*key)
            })
            .collect();
        if on_disk.is_empty() || self.database.is_none() {
            return;
        }
        let removed = self.write(|table| {
            for key in &on_disk {
                table.remove(*key)?;
            }
            Ok(())
        });
        if let Err(reason) = removed {
            // They may be sent again after a restart, under the same ids.
            self.give_up(now_s, &reason);
        }
    }

    /// The broker has the event.
    pub(crate) fn remove(&mut self, key: u64, now_s: u64) {
        self.take(&[key], now_s);
    }

    /// Drops everything; returns how many.
    pub(crate) fn purge(&mut self, now_s: u64) -> usize {
        let keys: Vec<u64> = self.entries.keys().copied().collect();
        self.lost.purged += keys.len() as u64;
        self.take(&keys, now_s);
        keys.len()
    }

    /// Drops what is too old or too much.
    pub(crate) fn expire(&mut self, now_s: u64) {
        let mut keys = Vec::new();
        let mut bytes = self.bytes;
        for (key, entry) in &self.entries {
            if now_s.saturating_sub(entry.accepted_s) > self.max_age_s {
                self.lost.by_age += 1;
            } else if bytes > self.max_bytes {
                self.lost.by_size += 1;
            } else {
                break;
            }
            bytes = bytes.saturating_sub(entry.bytes);
            keys.push(*key);
        }
        if !keys.is_empty() {
            tracing::warn!(events = keys.len(), "outbox dropped its oldest events");
            self.take(&keys, now_s);
        }
    }

    /// The next event after `key` (the first one for `None`): key, JSON and how many seconds it may
    /// still be delivered.
    pub(crate) fn next_after(
        &self,
        key: Option<u64>,
        now_s: u64,
    ) -> Result<Option<(u64, String, u64)>, OutboxError> {
        let fail = |reason: String| OutboxError { path: self.path.clone(), reason };
        let start = key.map_or(0, |k| k + 1);
        let Some((key, entry)) = self.entries.range(start..).next() else { return Ok(None) };
        let left_s = self.max_age_s.saturating_sub(now_s.saturating_sub(entry.accepted_s)).max(1);
        if let Some(json) = &entry.memory {
            return Ok(Some((*key, json.clone(), left_s)));
        }
        let Some(database) = &self.database else { return Err(fail("not open".into())) };
        let read = || -> Result<Option<String>, redb::Error> {
            let table = database.begin_read()?.open_table(EVENTS)?;
            Ok(table.get(*key)?.map(|row| row.value().2.to_owned()))
        };
        let json = read().map_err(|e| fail(e.to_string()))?;
        json.map(|json| Some((*key, json, left_s))).ok_or_else(|| fail(format!("event {key} is missing")))
    }

    /// Events that wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of JSON that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Events that were lost.
    pub(crate) fn lost(&self) -> Lost {
        self.lost
    }

    /// Whether events wait in memory, because the disk cannot take them.
    pub(crate) fn full(&self) -> bool {
        self.database.is_none()
    }
}

struct OpenError {
    damaged: bool,
    reason: String,
}

fn open_database(path: &Path) -> Result<Database, OpenError> {
    redb::Builder::new().set_cache_size(CACHE_BYTES).create(path).map_err(|e| OpenError {
        // Full disks, missing rights and a second daemon are no reason to throw events away.
        damaged: match &e {
            redb::DatabaseError::Storage(redb::StorageError::Io(io)) => {
                io.kind() == std::io::ErrorKind::InvalidData
            }
            redb::DatabaseError::Storage(redb::StorageError::Corrupted(_)) => true,
            redb::DatabaseError::UpgradeRequired(_) | redb::DatabaseError::RepairAborted => true,
            _ => false,
        },
        reason: e.to_string(),
    })
}

fn load(database: &Database) -> Result<Vec<(u64, Entry)>, String> {
    let transaction = database.begin_read().map_err(|e| e.to_string())?;
    let table = match transaction.open_table(EVENTS) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(e) => return Err(e.to_string()),
    };
    let mut found = Vec::new();
    for row in table.iter().map_err(|e| e.to_string())? {
        let (key, value) = row.map_err(|e| e.to_string())?;
        let (accepted_s, _, json) = value.value();
        found.push((key.value(), Entry { accepted_s, bytes: json.len() as u64, memory: None }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(outbox: &Outbox, now_s: u64) -> Vec<String> {
        let (mut found, mut key) = (Vec::new(), None);
        while let Some((k, json, _)) = outbox.next_after(key, now_s).expect("readable") {
            found.push(json);
            key = Some(k);
        }
        found
    }

    #[test]
    fn events_outlive_the_process_in_order() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("sub/outbox.redb");
        let mut outbox = Outbox::open(&path, 100, 1000, 50);
        let first = outbox.put("a", "{\"id\":\"a\"}", 50);
        outbox.put("b", "{\"id\":\"b\"}", 51);
        drop(outbox);
        let mut outbox = Outbox::open(&path, 100, 1000, 60);
        assert_eq!(all(&outbox, 60), ["{\"id\":\"a\"}", "{\"id\":\"b\"}"]);
        outbox.remove(first, 60);
        drop(outbox);
        let mut outbox = Outbox::open(&path, 100, 1000, 60);
        assert_eq!(all(&outbox, 60), ["{\"id\":\"b\"}"]);
        assert_eq!(outbox.purge(60), 1);
        drop(outbox);
        assert_eq!(Outbox::open(&path, 100, 1000, 60).len(), 0);
    }

    #[test]
    fn bounded_by_age_and_bytes_and_the_loss_is_counted() {
        let dir = tempfile::tempdir().expect("folder");
        let mut outbox = Outbox::open(&dir.path().join("o"), 100, 25, 0);
        for (id, now) in [("a", 0), ("b", 1), ("c", 2)] {
            outbox.put(id, "0123456789", now);
        }
        assert_eq!((outbox.len(), outbox.bytes()), (2, 20));
        assert_eq!(outbox.next_after(None, 51).expect("readable").map(|(_, _, left)| left), Some(50));
        outbox.expire(102);
        assert_eq!(outbox.len(), 1);
        assert_eq!(outbox.lost(), Lost { by_age: 1, by_size: 1, purged: 0 });
    }

    #[test]
    fn without_a_disk_events_wait_in_memory_and_move_there_later() {
        let dir = tempfile::tempdir().expect("folder");
        // A file where the folder should be: nothing can be created below it, even by root.
        let blocked = dir.path().join("blocked");
        std::fs::write(&blocked, "").expect("file");
        let path = blocked.join("outbox");
        let mut outbox = Outbox::open(&path, 100, 25, 0);
        for id in ["a", "b", "c"] {
            outbox.put(id, &format!("{{\"id\":\"{id}\"}}"), 1);
        }
        assert!(outbox.full());
        assert_eq!(all(&outbox, 1), ["{\"id\":\"b\"}", "{\"id\":\"c\"}"], "memory is bounded too");
        std::fs::remove_file(&blocked).expect("removed");
        outbox.put("d", "{\"id\":\"d\"}", 1 + RETRY_S);
        assert!(!outbox.full());
        drop(outbox);
        assert_eq!(all(&Outbox::open(&path, 100, 25, 12), 12), ["{\"id\":\"c\"}", "{\"id\":\"d\"}"]);
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("outbox.redb");
        std::fs::write(&path, vec![7u8; 20_000]).expect("file");
        let mut outbox = Outbox::open(&path, 100, 1000, 5);
        outbox.put("a", "{}", 5);
        assert!(!outbox.full());
        assert!(dir.path().join("outbox.damaged-5").exists());
    }
}
