//! The durable queue of events that the broker has not acknowledged yet.
//!
//! The file belongs to a thread of its own (see [`storage`]): this side knows what waits, in order, and never waits
//! for a disk. An event is accepted, and may be sent, once the thread has told that it is on disk. Where the disk cannot
//! take it, it waits in memory under the same bounds, [`Outbox::problems`] says so, and the file is tried again. Events go
//! by age and by size, oldest first; what is lost is counted, over restarts too.

pub(crate) mod losses;
pub(crate) mod storage;

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::daemon::clock::Stamp;
use losses::Lost;
use storage::{Contents, EventKey, Failure, News, Op, OutboxFiles, StateFile, sort_runs};

/// After a failed write the file is tried again so many seconds later.
const RETRY_S: i64 = 10;
/// How long a start waits for the file, so that what is in it comes first.
const OPEN: Duration = Duration::from_secs(3);
/// JSON that is on disk and kept in memory all the same.
const MEMORY_BYTES: u64 = 8 << 20;

/// Where an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On its way to the disk.
    Writing,
    Disk,
    /// Only here: the disk could not take it.
    Memory,
}

/// An event that waits.
struct Entry {
    key: EventKey,
    /// For the log, until it is accepted.
    id: String,
    /// Of the device that saw it.
    topic: String,
    /// Seconds of the monotonic clock.
    accepted_s: i64,
    stamp: Stamp,
    bytes: u64,
    json: Option<String>,
    place: Place,
    /// Whether its content was asked for.
    reading: bool,
}

/// An event to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// Its place in the queue.
    pub(crate) order: i64,
    pub(crate) topic: String,
    pub(crate) json: String,
    /// Seconds for which it may still be delivered.
    pub(crate) left_s: u64,
}

/// An event that was accepted and that only memory has.
struct Unwritten {
    key: EventKey,
    id: String,
    topic: String,
    json: String,
    accepted_s: i64,
    stamp: Stamp,
}

/// What an outbox that was closed could not write.
#[derive(Default)]
pub(crate) struct Left {
    events: Vec<Unwritten>,
    /// Of which file.
    path: PathBuf,
    /// All losses of that file's life, which it may not have either.
    lost: Lost,
}

impl Left {
    /// Says of each event that the process ends before it was delivered or written.
    pub(crate) fn log_lost(&self) {
        for event in &self.events {
            tracing::error!(id = event.id, "event lost: it could be neither sent nor written to the outbox");
        }
    }
}

/// The thread of the file.
struct StorageThread {
    ops: std::sync::mpsc::Sender<Op>,
    news: mpsc::UnboundedReceiver<News>,
}

/// The queue.
pub(crate) struct Outbox {
    storage: Option<StorageThread>,
    /// What waits: the order of acceptance. What an earlier run left has negative numbers.
    entries: BTreeMap<i64, Entry>,
    orders: HashMap<EventKey, i64>,
    next_order: i64,
    /// Tells the events of this run from those of any other.
    run: u64,
    bytes: u64,
    /// Of the contents that are in memory.
    memory_bytes: u64,
    max_age_s: i64,
    max_bytes: u64,
    lost: Lost,
    /// The file, and those of `lost` that it may hold too, until it is open.
    path: PathBuf,
    carried: Lost,
    is_open: bool,
    failure: Option<Failure>,
    retry_at_s: i64,
    /// Whether the outbox of an earlier path cannot be read.
    left_behind: bool,
    /// Earlier outboxes of which nothing is left.
    moved: Vec<PathBuf>,
    /// Counts up where events came in before others.
    pub(crate) rewound: u64,
}

impl Outbox {
    /// Opens the file, or creates it, and waits a moment for what is in it. Events of version 0.1, which know no topic, are
    /// those of `<prefix>/<device>/event`.
    pub(crate) fn open(files: OutboxFiles, max_age_s: u64, max_bytes: u64, prefix: &str, now_s: i64) -> Self {
        let mut outbox = Self::in_memory();
        (outbox.max_age_s, outbox.max_bytes) = (max_age_s.min(i64::MAX as u64) as i64, max_bytes);
        let (ops, ops_out) = std::sync::mpsc::channel();
        let (tell, mut news) = mpsc::unbounded_channel();
        outbox.path = files.path.clone();
        let prefix = prefix.to_owned();
        let thread = std::thread::Builder::new().name("storage".into()).spawn(move || {
            storage::run(&files, |device| format!("{prefix}/{device}/event"), &ops_out, &tell);
        });
        if let Err(e) = thread {
            outbox.failed(Failure { full: false, reason: e.to_string() }, now_s);
            return outbox;
        }
        let deadline = Instant::now() + OPEN;
        let first = loop {
            match news.try_recv() {
                Ok(first) => break Some(first),
                Err(_) if Instant::now() >= deadline => break None,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        outbox.storage = Some(StorageThread { ops, news });
        match first {
            Some(first) => outbox.handle(first, now_s),
            None => outbox.failed(Failure { full: false, reason: "the disk does not answer".into() }, now_s),
        }
        outbox.expire(now_s);
        outbox
    }

    /// A queue without a file and without bounds.
    pub(crate) fn in_memory() -> Self {
        Self {
            storage: None,
            entries: BTreeMap::new(),
            orders: HashMap::new(),
            next_order: 0,
            // 0 is the run of what version 0.1 left.
            run: RandomState::new().build_hasher().finish().max(1),
            bytes: 0,
            memory_bytes: 0,
            max_age_s: i64::MAX,
            max_bytes: u64::MAX,
            lost: Lost::default(),
            path: PathBuf::new(),
            carried: Lost::default(),
            is_open: false,
            failure: None,
            retry_at_s: 0,
            left_behind: false,
            moved: Vec::new(),
            rewound: 0,
        }
    }

    fn ask(&self, op: Op) {
        if let Some(storage) = &self.storage {
            // The thread lives as long as this sender.
            _ = storage.ops.send(op);
        }
    }

    /// Waits for news of the file, for [`Self::handle`]. Safe to cancel.
    pub(crate) async fn news(&mut self) -> News {
        match &mut self.storage {
            Some(storage) => match storage.news.recv().await {
                Some(news) => news,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Takes up news of the file.
    pub(crate) fn handle(&mut self, news: News, now_s: i64) {
        match news {
            News::Opened(mut contents) => {
                let in_file = contents.lost;
                self.is_open = true;
                contents.lost = in_file.beyond(std::mem::take(&mut self.carried));
                self.take_in(contents, now_s);
                if self.lost != in_file {
                    self.ask(Op::Lost(self.lost));
                }
                self.well();
            }
            News::Brought(contents) => {
                self.take_in(contents, now_s);
                self.ask(Op::Lost(self.lost));
                self.expire(now_s);
            }
            News::Stored(key) => {
                if let Some(entry) = self.orders.get(&key).and_then(|o| self.entries.get_mut(o)) {
                    match entry.place {
                        Place::Writing => tracing::info!(id = entry.id, "event accepted"),
                        Place::Memory => tracing::info!(id = entry.id, "event is on disk now"),
                        Place::Disk => {}
                    }
                    entry.place = Place::Disk;
                    if self.memory_bytes > MEMORY_BYTES && entry.json.take().is_some() {
                        self.memory_bytes = self.memory_bytes.saturating_sub(entry.bytes);
                    }
                }
            }
            News::NotStored(key) => {
                if let Some(entry) = self.orders.get(&key).and_then(|o| self.entries.get_mut(o)) {
                    if entry.place == Place::Writing {
                        tracing::info!(id = entry.id, on_disk = false, "event accepted");
                    }
                    entry.place = Place::Memory;
                }
            }
            News::Content(key, content) => {
                let Some(order) = self.orders.get(&key).copied() else { return };
                let Some(entry) = self.entries.get_mut(&order) else { return };
                entry.reading = false;
                match content {
                    Ok(json) => {
                        self.memory_bytes += entry.bytes;
                        entry.json = Some(json);
                    }
                    // While the file is not open it may still come.
                    Err(_) if self.failure.is_some() => {}
                    Err(reason) => {
                        tracing::error!(reason, "an event of the outbox cannot be read");
                        self.lost.damaged += 1;
                        self.take(&[order]);
                    }
                }
            }
            News::Failed(failure) => self.failed(failure, now_s),
            News::Well => self.well(),
            News::Moved(path) => self.moved.push(path),
            News::LeftBehind(is) => {
                if is && !self.left_behind {
                    self.retry_at_s = now_s + RETRY_S;
                }
                self.left_behind = is;
            }
        }
    }

    /// Earlier outboxes of which nothing is left, each told once.
    pub(crate) fn moved(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.moved)
    }

    /// Has the thread write what the device remembers.
    pub(crate) fn remember(&self, note: Option<StateFile>) {
        if let Some(note) = note {
            self.ask(Op::StateFile(note));
        }
    }

    /// Has the thread see to it that a file which was made or deleted is so on disk.
    pub(crate) fn sync(&self, path: &Path) {
        self.ask(Op::Sync(path.to_owned()));
    }

    /// Events that a file held come before those that are here, and its losses count.
    fn take_in(&mut self, contents: Contents, now_s: i64) {
        let now = Stamp::now();
        let count = contents.events.len() as i64;
        let first = self.entries.first_key_value().map_or(0, |(order, _)| *order).min(0) - count;
        for (order, event) in (first..).zip(contents.events) {
            self.bytes += event.bytes;
            self.orders.insert(event.key, order);
            let entry = Entry {
                key: event.key,
                id: String::new(),
                topic: event.topic,
                accepted_s: now_s.saturating_sub(event.stamp.age_s(&now)),
                stamp: event.stamp,
                bytes: event.bytes,
                json: None,
                place: Place::Disk,
                reading: false,
            };
            self.entries.insert(order, entry);
        }
        self.rewound += 1;
        let damaged = Lost { damaged: contents.damaged, ..Lost::default() };
        self.lost = self.lost.plus(contents.lost).plus(damaged);
    }

    fn failed(&mut self, failure: Failure, now_s: i64) {
        if self.failure.as_ref() != Some(&failure) {
            tracing::error!(reason = failure.reason, "the outbox cannot be written; events wait in memory");
        }
        // Events that fail meanwhile do not put it off.
        if self.failure.replace(failure).is_none() {
            self.retry_at_s = now_s + RETRY_S;
        }
    }

    /// The file works: what only memory has goes into it.
    fn well(&mut self) {
        if self.failure.take().is_some() {
            tracing::info!("the outbox writes to disk again");
        }
        self.write_memory();
    }

    /// Has the thread write what only memory has.
    fn write_memory(&self) {
        for entry in self.entries.values().filter(|e| e.place == Place::Memory) {
            if let Some(json) = &entry.json {
                let (stamp, topic, json) = (entry.stamp.clone(), entry.topic.clone(), json.clone());
                self.ask(Op::Put { key: entry.key, stamp, topic, json });
            }
        }
    }

    /// Tries the files again some time after one failed.
    pub(crate) fn tick(&mut self, now_s: i64) {
        if (self.failure.is_some() || self.left_behind) && now_s >= self.retry_at_s {
            self.retry_at_s = now_s + RETRY_S;
            self.ask(Op::Retry);
        }
    }

    /// Takes an event in. It is accepted, and logged so, once the thread has told where it is.
    pub(crate) fn put(&mut self, id: &str, topic: &str, json: &str, now_s: i64) {
        let order = self.next_order;
        self.next_order += 1;
        let key = (self.run, order.cast_unsigned());
        let (id, topic, json) = (id.into(), topic.into(), json.into());
        let event = Unwritten { key, id, topic, json, accepted_s: now_s, stamp: Stamp::now() };
        let place = if self.storage.is_some() { Place::Writing } else { Place::Memory };
        let entry = self.enter(event, place);
        self.entries.insert(order, entry);
        self.orders.insert(key, order);
        self.expire(now_s);
    }

    /// Takes in what an outbox that was closed could not write, in the order in which it was accepted. Nothing may have been
    /// sent or put yet.
    pub(crate) fn take_over(&mut self, left: Left, now_s: i64) {
        let mut entries: Vec<Entry> = std::mem::take(&mut self.entries).into_values().collect();
        for event in left.events {
            // A disk that did not answer in time may have it.
            if !self.orders.contains_key(&event.key) {
                // It has been accepted, and logged so.
                entries.push(self.enter(event, Place::Memory));
            }
        }
        sort_runs(&mut entries, |entry| entry.key);
        let first = -(entries.len() as i64);
        self.orders = (first..).zip(&entries).map(|(order, entry)| (entry.key, order)).collect();
        self.entries = (first..).zip(entries).collect();
        self.rewound += 1;
        if left.path == self.path {
            let missing = left.lost.beyond(self.lost);
            if self.is_open {
                self.ask(Op::Lost(self.lost.plus(missing)));
            } else {
                self.carried = left.lost;
            }
            self.lost = self.lost.plus(missing);
        }
        self.expire(now_s);
    }

    /// Has an event written, and counts it.
    fn enter(&mut self, event: Unwritten, place: Place) -> Entry {
        let Unwritten { key, id, topic, json, accepted_s, stamp } = event;
        let bytes = json.len() as u64;
        self.bytes += bytes;
        self.memory_bytes += bytes;
        self.ask(Op::Put { key, stamp: stamp.clone(), topic: topic.clone(), json: json.clone() });
        Entry { key, id, topic, accepted_s, stamp, bytes, json: Some(json), place, reading: false }
    }

    /// Takes events out: acknowledged, expired or purged.
    fn take(&mut self, orders: &[i64]) {
        let keys: Vec<EventKey> = orders
            .iter()
            .filter_map(|order| {
                let entry = self.entries.remove(order)?;
                self.orders.remove(&entry.key);
                self.bytes = self.bytes.saturating_sub(entry.bytes);
                if entry.json.is_some() {
                    self.memory_bytes = self.memory_bytes.saturating_sub(entry.bytes);
                }
                Some(entry.key)
            })
            .collect();
        if !keys.is_empty() {
            self.ask(Op::Remove(keys));
        }
    }

    /// The broker has the event.
    pub(crate) fn remove(&mut self, order: i64) {
        self.take(&[order]);
    }

    /// Drops everything; returns how many.
    pub(crate) fn purge(&mut self) -> usize {
        let orders: Vec<i64> = self.entries.keys().copied().collect();
        self.lost.purged += orders.len() as u64;
        self.ask(Op::Lost(self.lost));
        self.take(&orders);
        orders.len()
    }

    /// Drops what is too old or too much.
    pub(crate) fn expire(&mut self, now_s: i64) {
        let mut orders = Vec::new();
        let mut bytes = self.bytes;
        for (order, entry) in &self.entries {
            if now_s.saturating_sub(entry.accepted_s) > self.max_age_s {
                self.lost.by_age += 1;
            } else if bytes > self.max_bytes {
                self.lost.by_size += 1;
            } else {
                break;
            }
            bytes = bytes.saturating_sub(entry.bytes);
            orders.push(*order);
        }
        if !orders.is_empty() {
            tracing::warn!(events = orders.len(), "the outbox dropped its oldest events");
            self.ask(Op::Lost(self.lost));
            self.take(&orders);
        }
    }

    /// The next event after `order` (the first one for `None`). `None` also while the event is still being read or written.
    pub(crate) fn next_after(&mut self, order: Option<i64>, now_s: i64) -> Option<Next> {
        let start = order.map_or(i64::MIN, |o| o + 1);
        let (order, entry) = self.entries.range_mut(start..).next()?;
        if entry.place == Place::Writing {
            return None;
        }
        let Some(json) = entry.json.clone() else {
            let key = entry.key;
            if !std::mem::replace(&mut entry.reading, true) {
                self.ask(Op::Read(key));
            }
            return None;
        };
        let left_s = self.max_age_s.saturating_sub(now_s.saturating_sub(entry.accepted_s)).max(1);
        Some(Next { order: *order, topic: entry.topic.clone(), json, left_s: left_s.cast_unsigned() })
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

    /// Why events wait in memory alone, or where nobody sends them; words of `health.problems`.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &'static str> {
        let failure = self.failure.as_ref().map(|f| if f.full { "outbox_full" } else { "outbox_unusable" });
        failure.into_iter().chain(self.left_behind.then_some("outbox_left_behind"))
    }

    /// Tries once more to write what only memory has, lets the thread finish, and gives the file free; not longer than
    /// `patience`. Gives back what is not on disk.
    pub(crate) fn close(mut self, patience: Duration, now_s: i64) -> Left {
        if self.entries.values().any(|e| e.place == Place::Memory) {
            self.ask(Op::Retry);
            self.write_memory();
        }
        if self.is_open {
            self.ask(Op::Lost(self.lost));
        }
        if let Some(StorageThread { ops, mut news }) = self.storage.take() {
            drop(ops);
            let deadline = Instant::now() + patience;
            loop {
                match news.try_recv() {
                    Ok(news) => self.handle(news, now_s),
                    Err(mpsc::error::TryRecvError::Disconnected) => break,
                    Err(mpsc::error::TryRecvError::Empty) if Instant::now() >= deadline => {
                        tracing::error!("the disk does not answer: the latest events may not be on it");
                        break;
                    }
                    Err(mpsc::error::TryRecvError::Empty) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        }
        let unwritten = self.entries.into_values().filter(|e| e.place != Place::Disk);
        let event = |e: Entry| {
            let Entry { key, id, topic, json, accepted_s, stamp, .. } = e;
            Some(Unwritten { key, id, topic, json: json?, accepted_s, stamp })
        };
        Left { events: unwritten.filter_map(event).collect(), path: self.path, lost: self.lost }
    }
}

/// Whether another process has the file: a daemon that runs.
pub(crate) fn is_held(path: &Path) -> bool {
    // Opening a pipe would wait.
    if !path.is_file() {
        return false;
    }
    let tried = File::open(path).map(|file| file.try_lock_shared());
    matches!(tried, Ok(Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests;
