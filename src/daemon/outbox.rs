//! The durable queue of events that the broker has not acknowledged yet.
//!
//! The file belongs to a thread of its own (see [`super::storage`]): this side knows what waits, in order, and never waits
//! for a disk. An event is accepted, and may be sent, once the thread has told that it is on disk. Where the disk cannot
//! take it, it waits in memory under the same bounds, [`Outbox::problem`] says so, and the file is tried again. Events go
//! by age and by size, oldest first; what is lost is counted, over restarts too.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::clock::Stamp;
use super::losses::Lost;
use super::storage::{self, Failure, Key, News, Op};

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
    key: Key,
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

/// The thread of the file.
struct Storage {
    ops: std::sync::mpsc::Sender<Op>,
    news: mpsc::UnboundedReceiver<News>,
}

/// The queue.
pub(crate) struct Outbox {
    storage: Option<Storage>,
    /// What waits: the order of acceptance. What an earlier run left has negative numbers.
    entries: BTreeMap<i64, Entry>,
    orders: HashMap<Key, i64>,
    next_order: i64,
    /// Tells the events of this run from those of any other.
    run: u64,
    bytes: u64,
    /// Of the contents that are in memory.
    memory_bytes: u64,
    max_age_s: i64,
    max_bytes: u64,
    lost: Lost,
    failure: Option<Failure>,
    retry_at_s: i64,
    /// Counts up where events came in before others.
    pub(crate) rewound: u64,
}

impl Outbox {
    /// Opens the file, or creates it, and waits a moment for what is in it. Events of version 0.1, which know no topic, are
    /// those of `<prefix>/<device>/event`.
    pub(crate) fn open(path: &Path, max_age_s: u64, max_bytes: u64, prefix: &str, now_s: i64) -> Self {
        let mut outbox = Self::in_memory();
        (outbox.max_age_s, outbox.max_bytes) = (max_age_s.min(i64::MAX as u64) as i64, max_bytes);
        let (ops, todo) = std::sync::mpsc::channel();
        let (tell, mut news) = mpsc::unbounded_channel();
        let (file, prefix) = (path.to_owned(), prefix.to_owned());
        let thread = std::thread::Builder::new().name("storage".into()).spawn(move || {
            storage::run(&file, |device| format!("{prefix}/{device}/event"), &todo, &tell);
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
        outbox.storage = Some(Storage { ops, news });
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
            failure: None,
            retry_at_s: 0,
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
            News::Opened(found) => {
                let now = Stamp::now();
                let count = found.events.len() as i64;
                let first = self.entries.first_key_value().map_or(0, |(order, _)| *order).min(0) - count;
                for (order, event) in (first..).zip(found.events) {
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
                let earlier = found.lost;
                self.lost.by_age += earlier.by_age;
                self.lost.by_size += earlier.by_size;
                self.lost.purged += earlier.purged;
                self.lost.damaged += earlier.damaged + found.damaged;
                if self.lost != earlier {
                    self.ask(Op::Lost(self.lost));
                }
                self.well();
            }
            News::Stored(key) => {
                if let Some(entry) = self.orders.get(&key).and_then(|o| self.entries.get_mut(o)) {
                    if entry.place == Place::Writing {
                        tracing::info!(id = entry.id, "event accepted");
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
                        tracing::info!(id = entry.id, "event accepted");
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
        }
    }

    fn failed(&mut self, failure: Failure, now_s: i64) {
        if self.failure.as_ref() != Some(&failure) {
            tracing::error!(reason = failure.reason, "outbox cannot write: events wait in memory");
        }
        // Events that fail meanwhile do not put it off.
        if self.failure.replace(failure).is_none() {
            self.retry_at_s = now_s + RETRY_S;
        }
    }

    /// The file works: what only memory has goes into it.
    fn well(&mut self) {
        if self.failure.take().is_some() {
            tracing::info!("outbox writes to disk again");
        }
        for entry in self.entries.values_mut().filter(|e| e.place == Place::Memory) {
            if let (Some(storage), Some(json)) = (&self.storage, &entry.json) {
                let (stamp, topic) = (entry.stamp.clone(), entry.topic.clone());
                _ = storage.ops.send(Op::Put { key: entry.key, stamp, topic, json: json.clone() });
            }
        }
    }

    /// Tries the file again some time after it failed.
    pub(crate) fn tick(&mut self, now_s: i64) {
        if self.failure.is_some() && now_s >= self.retry_at_s {
            self.retry_at_s = now_s + RETRY_S;
            self.ask(Op::Retry);
        }
    }

    /// Takes an event in. It is accepted, and logged so, once the thread has told where it is.
    pub(crate) fn put(&mut self, id: &str, topic: &str, json: &str, now_s: i64) {
        let order = self.next_order;
        self.next_order += 1;
        let key = (self.run, order.cast_unsigned());
        let stamp = Stamp::now();
        let bytes = json.len() as u64;
        self.bytes += bytes;
        self.memory_bytes += bytes;
        self.orders.insert(key, order);
        let (place, put) = match self.storage {
            Some(_) => (
                Place::Writing,
                Some(Op::Put { key, stamp: stamp.clone(), topic: topic.into(), json: json.into() }),
            ),
            None => (Place::Memory, None),
        };
        let entry = Entry {
            key,
            id: id.into(),
            topic: topic.into(),
            accepted_s: now_s,
            stamp,
            bytes,
            json: Some(json.into()),
            place,
            reading: false,
        };
        self.entries.insert(order, entry);
        if let Some(put) = put {
            self.ask(put);
        }
        self.expire(now_s);
    }

    /// Takes events out: acknowledged, expired or purged.
    fn take(&mut self, orders: &[i64]) {
        let keys: Vec<Key> = orders
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
            tracing::warn!(events = orders.len(), "outbox dropped its oldest events");
            self.ask(Op::Lost(self.lost));
            self.take(&orders);
        }
    }

    /// The next event after `order` (the first one for `None`); none, too, where it is not at hand yet.
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

    /// Why events wait in memory alone; a word of `health.problems`.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        self.failure.as_ref().map(|f| if f.full { "outbox_full" } else { "outbox_unusable" })
    }

    /// Lets the thread finish what it was asked for, and gives the file free; not longer than `patience`.
    pub(crate) fn close(mut self, patience: Duration, now_s: i64) {
        let Some(Storage { ops, mut news }) = self.storage.take() else { return };
        drop(ops);
        let deadline = Instant::now() + patience;
        loop {
            match news.try_recv() {
                Ok(news) => self.handle(news, now_s),
                Err(mpsc::error::TryRecvError::Disconnected) => return,
                Err(mpsc::error::TryRecvError::Empty) if Instant::now() >= deadline => {
                    tracing::error!("the disk does not answer: the latest events may not be on it");
                    return;
                }
                Err(mpsc::error::TryRecvError::Empty) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, max_bytes: u64, now_s: i64) -> Outbox {
        Outbox::open(path, 100, max_bytes, "glint", now_s)
    }

    /// Takes up news until none comes for a while.
    fn settle(outbox: &mut Outbox, now_s: i64) {
        let mut quiet = 0;
        while quiet < 20 {
            match outbox.storage.as_mut().and_then(|s| s.news.try_recv().ok()) {
                Some(news) => {
                    quiet = 0;
                    outbox.handle(news, now_s);
                }
                None => {
                    quiet += 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    fn put(outbox: &mut Outbox, id: &str, now_s: i64) {
        outbox.put(id, "t", &format!("{{\"id\":\"{id}\"}}"), now_s);
        settle(outbox, now_s);
    }

    fn all(outbox: &mut Outbox, now_s: i64) -> String {
        let (mut found, mut order) = (String::new(), None);
        loop {
            while let Some(next) = outbox.next_after(order, now_s) {
                found.push_str(next.json.trim_matches(['{', '}', '"']).trim_start_matches("id\":\""));
                order = Some(next.order);
            }
            settle(outbox, now_s);
            if outbox.next_after(order, now_s).is_none() {
                return found;
            }
        }
    }

    fn close(outbox: Outbox) {
        outbox.close(Duration::from_secs(5), 0);
    }

    #[test]
    fn events_and_counts_outlive_the_process_in_order() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("sub/outbox.redb");
        let mut outbox = open(&path, 1000, 50);
        assert!(outbox.next_after(None, 50).is_none());
        put(&mut outbox, "a", 50);
        put(&mut outbox, "b", 51);
        close(outbox);
        let mut outbox = open(&path, 1000, 60);
        assert_eq!(all(&mut outbox, 60), "ab");
        put(&mut outbox, "c", 60);
        let first = outbox.next_after(None, 60).expect("an event").order;
        outbox.remove(first);
        close(outbox);
        let mut outbox = open(&path, 1000, 60);
        assert_eq!(all(&mut outbox, 60), "bc");
        assert_eq!(outbox.purge(), 2);
        close(outbox);
        let outbox = open(&path, 1000, 60);
        assert_eq!((outbox.len(), outbox.lost().purged), (0, 2));
    }

    #[test]
    fn bounded_by_age_and_bytes_and_the_loss_is_counted() {
        let dir = tempfile::tempdir().expect("folder");
        let mut outbox = open(&dir.path().join("o"), 25, 0);
        for (id, now) in [("a", 0), ("b", 1), ("c", 2)] {
            outbox.put(id, "t", "0123456789", now);
        }
        settle(&mut outbox, 2);
        assert_eq!((outbox.len(), outbox.bytes()), (2, 20));
        assert_eq!(outbox.next_after(None, 51).map(|next| next.left_s), Some(50));
        outbox.expire(102);
        assert_eq!(outbox.len(), 1);
        assert_eq!(outbox.lost(), Lost { by_age: 1, by_size: 1, ..Lost::default() });
    }

    #[test]
    fn without_a_disk_events_wait_in_memory_and_move_there_later() {
        let dir = tempfile::tempdir().expect("folder");
        // A file where the folder should be: nothing can be created below it, even by root.
        let blocked = dir.path().join("blocked");
        std::fs::write(&blocked, "").expect("file");
        let path = blocked.join("outbox");
        let mut outbox = open(&path, 25, 0);
        for id in ["a", "b", "c"] {
            put(&mut outbox, id, 1);
        }
        assert_eq!(outbox.problem(), Some("outbox_unusable"));
        assert_eq!(all(&mut outbox, 1), "bc", "memory is bounded too");
        std::fs::remove_file(&blocked).expect("removed");
        // Nothing new has to come for it.
        outbox.tick(1 + RETRY_S);
        settle(&mut outbox, 1 + RETRY_S);
        assert_eq!(outbox.problem(), None);
        put(&mut outbox, "d", 12);
        close(outbox);
        let mut outbox = open(&path, 25, 12);
        assert_eq!((all(&mut outbox, 12).as_str(), outbox.lost().by_size), ("cd", 2));
    }

    #[test]
    fn a_file_that_comes_free_later_keeps_its_events_and_gets_the_new_ones() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("outbox");
        let mut first = open(&path, 1000, 0);
        for id in ["a", "b"] {
            put(&mut first, id, 0);
        }
        let mut second = open(&path, 1000, 0);
        assert_eq!(second.problem(), Some("outbox_unusable"));
        for id in ["c", "d"] {
            put(&mut second, id, 0);
        }
        assert_eq!(all(&mut second, 0), "cd");
        let rewound = second.rewound;
        close(first);
        put(&mut second, "e", RETRY_S - 1);
        second.tick(RETRY_S);
        settle(&mut second, RETRY_S);
        assert!(second.rewound > rewound);
        assert_eq!(all(&mut second, RETRY_S), "abcde");
        close(second);
        assert_eq!(all(&mut open(&path, 1000, 0), 0), "abcde");
    }
}
