//! The thread that alone writes the outbox's file ([`log`]).
//!
//! An operation is on disk when its news comes. A card that takes seconds for it holds up nobody else.

mod log;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::Receiver;

use tokio::sync::mpsc::UnboundedSender;

use super::clock::Stamp;
use super::losses::Lost;
pub(crate) use log::{Failure, Found, Key};
use log::{Log, MAX_BODY_BYTES, SLACK_BYTES, counts, event_record, record};

/// What the thread is to do.
#[derive(Debug)]
pub(crate) enum Op {
    /// Write an event.
    Put { key: Key, stamp: Stamp, topic: String, json: String },
    /// Events are done with.
    Remove(Vec<Key>),
    /// Counts to keep.
    Lost(Lost),
    /// Give the content of an event.
    Read(Key),
    /// Open the file again, if it is not open, and write what could not be written.
    Retry,
}

/// What the thread tells.
#[derive(Debug)]
pub(crate) enum News {
    /// The file is open, and holds these events that were not told before.
    Opened(Found),
    /// An event is on disk.
    Stored(Key),
    /// An event could not be written: only memory has it.
    NotStored(Key),
    /// The content of an event, or why there is none.
    Content(Key, Result<String, String>),
    /// The file could not be opened or written.
    Failed(Failure),
    /// The file was written again.
    Well,
}

/// The thread: ends when its channel does.
pub(crate) fn run(
    path: &Path,
    topic: impl Fn(&str) -> String,
    ops: &Receiver<Op>,
    news: &UnboundedSender<News>,
) {
    let mut storage =
        Storage { path, log: None, removed: BTreeSet::new(), lost: None, told: BTreeSet::new() };
    // Whoever is told of nothing any more has gone.
    let tell = |what: News| _ = news.send(what);
    storage.open(&topic, &tell);
    while let Ok(op) = ops.recv() {
        // What came meanwhile goes into the same write.
        let batch: Vec<Op> = std::iter::once(op).chain(ops.try_iter()).collect();
        storage.work(batch, &topic, &tell);
    }
}

struct Storage<'a> {
    path: &'a Path,
    log: Option<Log>,
    /// Events that are done with and whose removal is not on disk yet.
    removed: BTreeSet<Key>,
    /// Counts that are not on disk yet, or the latest.
    lost: Option<Lost>,
    /// Events that the main thread knows.
    told: BTreeSet<Key>,
}

impl Storage<'_> {
    fn open(&mut self, topic: &impl Fn(&str) -> String, tell: &impl Fn(News)) {
        match Log::open(self.path, topic) {
            Ok((mut log, mut found)) => {
                log.forget(self.removed.iter());
                found.events.retain(|e| !self.removed.contains(&e.key) && self.told.insert(e.key));
                self.lost.get_or_insert(found.lost);
                self.log = Some(log);
                tell(News::Opened(found));
            }
            Err(failure) => tell(News::Failed(failure)),
        }
    }

    fn work(&mut self, batch: Vec<Op>, topic: &impl Fn(&str) -> String, tell: &impl Fn(News)) {
        let mut records = Vec::new();
        let mut put: Vec<(Key, usize, usize)> = Vec::new();
        let mut changed = false;
        let mut retry = false;
        for op in batch {
            match op {
                Op::Put { key, stamp, topic, json } => {
                    let record = event_record(key, &stamp, &topic, &json);
                    put.push((key, records.len(), record.len()));
                    records.extend(record);
                    self.told.insert(key);
                }
                Op::Remove(keys) => {
                    changed = true;
                    self.removed.extend(&keys);
                    keys.iter().for_each(|k| _ = self.told.remove(k));
                }
                Op::Lost(lost) => {
                    changed = true;
                    self.lost = Some(lost);
                }
                Op::Read(key) => {
                    let log = self.log.as_ref().ok_or_else(|| "the outbox is not open".to_owned());
                    tell(News::Content(key, log.and_then(|log| log.content(key))));
                }
                Op::Retry => retry = true,
            }
        }
        if self.log.is_none() && retry {
            self.open(topic, tell);
        }
        let written = self.write(&records, &put, changed || retry);
        match &written {
            Ok(()) if retry => tell(News::Well),
            // That it is not open was told when it was tried.
            Err(failure) if self.log.is_some() => tell(News::Failed(failure.clone())),
            _ => {}
        }
        for (key, _, _) in put {
            tell(if written.is_ok() { News::Stored(key) } else { News::NotStored(key) });
        }
    }

    /// Events first: they are what must not be lost.
    fn write(&mut self, records: &[u8], put: &[(Key, usize, usize)], changed: bool) -> Result<(), Failure> {
        let Some(log) = &mut self.log else {
            return Err(Failure { full: false, reason: "the outbox is not open".into() });
        };
        if !records.is_empty() {
            let start = log.end;
            log.append(records)?;
            for (key, offset, bytes) in put {
                log.live.insert(*key, (start + *offset as u64, *bytes));
                log.live_bytes += *bytes as u64;
            }
        }
        if !changed {
            return Ok(());
        }
        let lost = self.lost.unwrap_or_default();
        let gone: Vec<Key> = self.removed.iter().copied().filter(|k| log.live.contains_key(k)).collect();
        log.forget(gone.iter());
        if log.live.is_empty() {
            log.clear(&lost)?;
        } else {
            let body: Vec<u8> =
                self.removed.iter().flat_map(|(a, b)| [a.to_le_bytes(), b.to_le_bytes()]).flatten().collect();
            let removals: Vec<u8> = body.chunks(MAX_BODY_BYTES).flat_map(|body| record(2, body)).collect();
            log.append(&[removals, record(3, &counts(&lost))].concat())?;
            if log.end > 2 * log.live_bytes + SLACK_BYTES {
                log.compact(&lost)?;
            }
        }
        self.removed.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(device: &str) -> String {
        format!("p/{device}/event")
    }

    #[test]
    fn a_file_of_which_most_is_done_with_is_written_anew() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("outbox");
        let (log, _) = Log::open(&path, topic).expect("opens");
        let mut storage = Storage {
            path: &path,
            log: Some(log),
            removed: BTreeSet::new(),
            lost: Some(Lost { purged: 3, ..Lost::default() }),
            told: BTreeSet::new(),
        };
        let long = "x".repeat(100_000);
        let put = |n| Op::Put { key: (1, n), stamp: Stamp::now(), topic: "t".into(), json: long.clone() };
        storage.work((0..20).map(put).collect(), &topic, &|_| ());
        storage.work(vec![Op::Remove((1..20).map(|n| (1, n)).collect())], &topic, &|_| ());
        assert!(std::fs::metadata(&path).expect("there").len() < 110_000);
        drop(storage);
        let (_, found) = Log::open(&path, topic).expect("opens");
        assert_eq!((found.events.len(), found.lost.purged), (1, 3));
    }
}
