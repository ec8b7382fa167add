//! The thread that alone writes the outbox's file ([`log`]) and what the device remembers beside it.
//!
//! An operation is on disk when its news comes. A card that takes seconds for it holds up nobody else.

mod log;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use tokio::sync::mpsc::UnboundedSender;

use super::losses::Lost;
use crate::daemon::clock::Stamp;
use crate::daemon::whole;
pub(crate) use log::{Contents, EventKey, Failure, sort_runs};
use log::{Log, MAX_BODY_BYTES, SLACK_BYTES, event_record, is_log, losses, record};

/// A small file that is replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// The files of a device.
#[derive(Debug, Clone, Default)]
pub(crate) struct OutboxFiles {
    /// The outbox.
    pub(crate) path: PathBuf,
    /// Outboxes of earlier paths: what they hold moves into this one.
    pub(crate) earlier: Vec<PathBuf>,
    /// Written before anything else.
    pub(crate) note: Option<StateFile>,
}

/// What the thread is to do.
#[derive(Debug)]
pub(crate) enum Op {
    /// Write an event.
    Put { key: EventKey, stamp: Stamp, topic: String, json: String },
    /// Events are done with.
    Remove(Vec<EventKey>),
    /// Counts to keep.
    Lost(Lost),
    /// Give the content of an event.
    Read(EventKey),
    /// Open the file again, if it is not open, and write what could not be written.
    Retry,
    /// Replace the note.
    StateFile(StateFile),
    /// A file was made or deleted: have that on disk.
    Sync(PathBuf),
}

/// What the thread tells.
#[derive(Debug)]
pub(crate) enum News {
    /// The file is open, and holds these events that were not told before.
    Opened(Contents),
    /// These came out of an earlier outbox.
    Brought(Contents),
    /// An event is on disk.
    Stored(EventKey),
    /// An event could not be written: only memory has it.
    NotStored(EventKey),
    /// The content of an event, or why there is none.
    Content(EventKey, Result<String, String>),
    /// The file could not be opened or written.
    Failed(Failure),
    /// The file was written again.
    Well,
    /// Nothing waits in the outbox of an earlier path any more.
    Moved(PathBuf),
    /// Whether an outbox of an earlier path cannot be read now.
    LeftBehind(bool),
}

/// The thread: ends when its channel does.
pub(crate) fn run(
    files: &OutboxFiles,
    topic: impl Fn(&str) -> String,
    ops: &Receiver<Op>,
    news: &UnboundedSender<News>,
) {
    let mut storage = Storage::new(files);
    // A closed channel means that the receiver has gone.
    let tell = |what: News| _ = news.send(what);
    storage.write_note();
    storage.open(&topic, &tell);
    storage.move_earlier(&topic, &tell);
    while let Ok(op) = ops.recv() {
        // What came meanwhile goes into the same write.
        let batch: Vec<Op> = std::iter::once(op).chain(ops.try_iter()).collect();
        storage.work(batch, &topic, &tell);
    }
}

struct Storage<'a> {
    path: &'a Path,
    /// Outboxes whose events are still to be moved.
    earlier: Vec<PathBuf>,
    /// What could not be written yet.
    note: Option<StateFile>,
    log: Option<Log>,
    /// Events that are done with and whose removal is not on disk yet.
    removed: BTreeSet<EventKey>,
    /// Counts that are not on disk yet, or the latest.
    lost: Option<Lost>,
    /// Events that the main thread knows.
    reported: BTreeSet<EventKey>,
}

impl<'a> Storage<'a> {
    fn new(files: &'a OutboxFiles) -> Self {
        Self {
            path: &files.path,
            earlier: files.earlier.iter().cloned().chain(set_aside(&files.path)).collect(),
            note: files.note.clone(),
            log: None,
            removed: BTreeSet::new(),
            lost: None,
            reported: BTreeSet::new(),
        }
    }

    /// Without it the device works, and forgets.
    fn write_note(&mut self) {
        if let Some(note) = self.note.take()
            && let Err(e) = replace(&note)
        {
            tracing::error!(file = %note.path.display(), "the device's memory file cannot be written: {e}");
            self.note = Some(note);
        }
    }

    /// Moves what waits in the outboxes of earlier paths into this one, and deletes them.
    fn move_earlier(&mut self, topic: &impl Fn(&str) -> String, tell: &impl Fn(News)) {
        for path in std::mem::take(&mut self.earlier) {
            // Another spelling of the same path.
            let real = |path: &Path| std::fs::canonicalize(path).ok();
            if real(&path).is_some_and(|p| Some(p) == real(self.path)) {
                tell(News::Moved(path));
                continue;
            }
            if matches!(path.try_exists(), Ok(false)) {
                tracing::warn!(file = %path.display(), "the outbox of an earlier path does not exist");
                // A disk that is not mounted may come with the next start.
                if path.parent().is_some_and(Path::exists) {
                    tell(News::Moved(path));
                }
                continue;
            }
            match self.move_from(&path, topic) {
                Ok(contents) => {
                    tracing::info!(file = %path.display(), events = contents.events.len(), damaged = contents.damaged,
                        "the outbox of an earlier path is moved to the present one");
                    tell(News::Brought(contents));
                    tell(News::Moved(path));
                }
                Err(Failure { reason, .. }) => {
                    tracing::error!(file = %path.display(), reason,
                        "the outbox of an earlier path cannot be moved; its events wait there");
                    self.earlier.push(path);
                }
            }
        }
        tell(News::LeftBehind(!self.earlier.is_empty()));
    }

    fn move_from(&mut self, path: &Path, topic: &impl Fn(&str) -> String) -> Result<Contents, Failure> {
        let Some(log) = &mut self.log else {
            return Err(Failure { full: false, reason: "the present outbox is not open".into() });
        };
        let (mut old, mut contents) = Log::open(path, topic)?;
        // A move that was cut off has brought some of them.
        contents.events.retain(|e| !self.removed.contains(&e.key) && self.reported.insert(e.key));
        let keys: Vec<EventKey> = contents.events.iter().map(|e| e.key).collect();
        if let Err(failure) = log.copy(&old, &keys) {
            keys.iter().for_each(|k| _ = self.reported.remove(k));
            return Err(failure);
        }
        let (present, earlier) = (self.lost.unwrap_or_default(), contents.lost_in_all());
        let lost = Lost {
            by_age: present.by_age + earlier.by_age,
            by_size: present.by_size + earlier.by_size,
            purged: present.purged + earlier.purged,
            damaged: present.damaged + earlier.damaged,
        };
        if lost != present {
            log.append(&losses(&lost))?;
            self.lost = Some(lost);
        }
        // Emptied first: a deletion may be undone by a power cut.
        old.clear(&Lost::default())?;
        std::fs::remove_file(path)?;
        Ok(contents)
    }

    fn open(&mut self, topic: &impl Fn(&str) -> String, tell: &impl Fn(News)) {
        match Log::open(self.path, topic) {
            Ok((mut log, mut contents)) => {
                log.forget(self.removed.iter());
                contents.events.retain(|e| !self.removed.contains(&e.key) && self.reported.insert(e.key));
                self.lost.get_or_insert(contents.lost_in_all());
                self.log = Some(log);
                tell(News::Opened(contents));
            }
            Err(failure) => tell(News::Failed(failure)),
        }
    }

    fn work(&mut self, batch: Vec<Op>, topic: &impl Fn(&str) -> String, tell: &impl Fn(News)) {
        let mut records = Vec::new();
        let mut put: Vec<(EventKey, usize, usize)> = Vec::new();
        // One that only memory has may be asked for twice in a batch.
        let mut asked = BTreeSet::new();
        let mut changed = false;
        let (mut retry, mut noted) = (false, false);
        for op in batch {
            match op {
                Op::Put { key, .. } if self.is_written(key) => tell(News::Stored(key)),
                Op::Put { key, .. } if !asked.insert(key) => {}
                Op::Put { key, stamp, topic, json } => {
                    let record = event_record(key, &stamp, &topic, &json);
                    put.push((key, records.len(), record.len()));
                    records.extend(record);
                    self.reported.insert(key);
                }
                Op::Remove(keys) => {
                    changed = true;
                    self.removed.extend(&keys);
                    keys.iter().for_each(|k| _ = self.reported.remove(k));
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
                Op::Sync(path) => {
                    if let Err(e) = whole::sync_folder(&path) {
                        tracing::error!(file = %path.display(), "a power cut may undo a change of this file: {e}");
                    }
                }
                Op::StateFile(note) => {
                    self.note = Some(note);
                    noted = true;
                }
            }
        }
        if retry || noted {
            self.write_note();
        }
        if self.log.is_none() && retry {
            self.open(topic, tell);
        }
        if retry {
            self.move_earlier(topic, tell);
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

    /// Whether the file holds an event. One that only memory has is asked for again whenever the file comes back.
    fn is_written(&self, key: EventKey) -> bool {
        self.log.as_ref().is_some_and(|log| log.live.contains_key(&key))
    }

    /// Events first: they are what must not be lost.
    fn write(
        &mut self,
        records: &[u8],
        put: &[(EventKey, usize, usize)],
        changed: bool,
    ) -> Result<(), Failure> {
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
        let gone: Vec<EventKey> = self.removed.iter().copied().filter(|k| log.live.contains_key(k)).collect();
        log.forget(gone.iter());
        if log.live.is_empty() {
            log.clear(&lost)?;
        } else {
            let body: Vec<u8> =
                self.removed.iter().flat_map(|(a, b)| [a.to_le_bytes(), b.to_le_bytes()]).flatten().collect();
            let removals: Vec<u8> = body.chunks(MAX_BODY_BYTES).flat_map(|body| record(2, body)).collect();
            log.append(&[removals, losses(&lost)].concat())?;
            if log.end > 2 * log.live_bytes + SLACK_BYTES {
                log.compact(&lost)?;
            }
        }
        self.removed.clear();
        Ok(())
    }
}

/// Logs that version 0.1 took for damaged databases, when the package was taken back to it: it calls them
/// `<outbox>.damaged-<second>`.
fn set_aside(outbox: &Path) -> Vec<PathBuf> {
    let Some(entries) = outbox.parent().and_then(|dir| std::fs::read_dir(dir).ok()) else {
        return Vec::new();
    };
    let second = |path: &Path| {
        let (stem, extension) = (path.file_stem()?, path.extension()?.to_str()?);
        (stem == outbox.file_stem()?).then_some(())?;
        extension.strip_prefix("damaged-")?.parse::<u64>().ok()
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| second(path).is_some() && is_log(path));
    paths.sort();
    paths
}

/// Another file takes the place of this one.
fn replace(note: &StateFile) -> std::io::Result<()> {
    if std::fs::read_to_string(&note.path).is_ok_and(|text| text == note.text) {
        return Ok(());
    }
    if let Some(dir) = note.path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    whole::replace(&note.path, note.text.as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(device: &str) -> String {
        format!("p/{device}/event")
    }

    #[test]
    fn what_version_0_1_set_aside_comes_back() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("outbox.redb");
        let aside = dir.path().join("outbox.damaged-1796000000");
        let (mut log, _) = Log::open(&aside, topic).expect("opens");
        log.append(&event_record((1, 1), &Stamp::now(), "t", "{}")).expect("written");
        drop(log);
        // Neither a log nor named by version 0.1.
        for other in ["outbox.damaged-5", "outbox.damaged", "other.damaged-5", "outbox.damaged-x"] {
            std::fs::write(dir.path().join(other), "database").expect("file");
        }
        let files = OutboxFiles { path: path.clone(), ..OutboxFiles::default() };
        let mut storage = Storage::new(&files);
        assert_eq!(storage.earlier, std::slice::from_ref(&aside));
        let brought = std::cell::Cell::new(0);
        let tell = |news: News| {
            if let News::Brought(contents) = news {
                brought.set(contents.events.len());
            }
        };
        storage.open(&topic, &tell);
        storage.move_earlier(&topic, &tell);
        assert_eq!(brought.get(), 1);
        assert!(!aside.exists() && dir.path().join("outbox.damaged-5").exists());
        drop(storage);
        assert_eq!(Log::open(&path, topic).expect("opens").1.events.len(), 1);
    }

    #[test]
    fn a_file_of_which_most_is_done_with_is_written_anew() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("outbox");
        let (log, _) = Log::open(&path, topic).expect("opens");
        let files = OutboxFiles { path: path.clone(), ..OutboxFiles::default() };
        let mut storage = Storage::new(&files);
        (storage.log, storage.lost) = (Some(log), Some(Lost { purged: 3, ..Lost::default() }));
        let long = "x".repeat(100_000);
        let put = |n| Op::Put { key: (1, n), stamp: Stamp::now(), topic: "t".into(), json: long.clone() };
        storage.work((0..20).map(put).collect(), &topic, &|_| ());
        storage.work(vec![Op::Remove((1..20).map(|n| (1, n)).collect())], &topic, &|_| ());
        assert!(std::fs::metadata(&path).expect("there").len() < 110_000);
        drop(storage);
        let (_, contents) = Log::open(&path, topic).expect("opens");
        assert_eq!((contents.events.len(), contents.lost.purged), (1, 3));
    }
}
