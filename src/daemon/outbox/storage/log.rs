//! The outbox's file: a log.
//!
//! A header, then records of a mark, a kind, a length, a checksum (CRC-32) and a body.
//!
//! | kind | body |
//! |---|---|
//! | event | key, stamp, topic, JSON |
//! | removal | keys of events that are done with |
//! | losses | counts of [`Lost`] as JSON; always written twice |
//!
//! A record counts if its checksum is right. Behind one that is damaged the next mark is looked for, so that a flipped bit
//! costs one record. Where nothing waits the file is cut to its header; where most of it is done with it is written
//! anew beside itself and renamed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::daemon::clock::Stamp;
use crate::daemon::outbox::losses::Lost;

/// First bytes of the file.
const HEADER: &[u8] = b"glint outbox 1\n\xff";
/// The format in the header: a digit at this place. That of a later format differs from every earlier one in two bits and more (2, 4,
/// 7, 8): a flipped bit makes none.
const VERSION_AT: usize = 13;
/// First bytes of the database that version 0.1 kept.
const REDB: &[u8] = b"redb\x1A\x0A";
/// First bytes of a record; no UTF-8 text holds them.
const MARK: [u8; 4] = [0xf7, b'g', b'l', 0xf8];
/// Mark, kind, length, checksum.
const HEAD_BYTES: usize = 13;
/// No record is longer.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;
/// So many bytes that are done with are not worth writing the file anew.
pub(super) const SLACK_BYTES: u64 = 1 << 20;
/// Events that are copied at a time.
const COPIED: usize = 64;
/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Name of an event in the file: the run that accepted it, a random number, and its own number in the run. No two events have
/// the same, whatever is deleted, locked or restored.
pub(crate) type EventKey = (u64, u64);

/// Why the file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Whether there is no room.
    pub(crate) full: bool,
    /// In words.
    pub(crate) reason: String,
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        let full =
            matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge);
        Self { full, reason: e.to_string() }
    }
}

/// What a file held.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Events in the order of their acceptance.
    pub(crate) events: Vec<LoggedEvent>,
    /// Stretches that cannot be read, each of one record or more.
    pub(crate) damaged: u64,
    /// Counts of earlier runs.
    pub(crate) lost: Lost,
}

impl Contents {
    /// The counts of earlier runs, and what this reading has found.
    pub(super) fn lost_in_all(&self) -> Lost {
        Lost { damaged: self.lost.damaged + self.damaged, ..self.lost }
    }
}

/// An event in the file.
#[derive(Debug, Clone)]
pub(crate) struct LoggedEvent {
    pub(crate) key: EventKey,
    pub(crate) stamp: Stamp,
    pub(crate) topic: String,
    /// Bytes of JSON.
    pub(crate) bytes: u64,
}

/// The open file.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Where the next record goes: what lies behind it was not written wholly.
    pub(super) end: u64,
    /// Event -> where its record is, with its head.
    pub(super) live: BTreeMap<EventKey, (u64, usize)>,
    pub(super) live_bytes: u64,
}

/// A record.
pub(super) fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = MARK.to_vec();
    bytes.push(kind);
    bytes.extend(length);
    bytes.extend(checksum(kind, length, body).to_le_bytes());
    bytes.extend(body);
    bytes
}

fn checksum(kind: u8, length: [u8; 4], body: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(&[kind]);
    crc.update(&length);
    crc.update(body);
    crc.sum()
}

pub(super) fn event_record(key: EventKey, stamp: &Stamp, topic: &str, json: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(key.0.to_le_bytes());
    body.extend(key.1.to_le_bytes());
    body.extend(stamp.monotonic_s.to_le_bytes());
    body.extend(stamp.wall_s.to_le_bytes());
    body.push(stamp.synchronized.into());
    for text in [&stamp.boot, topic] {
        body.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
        body.extend(text.as_bytes());
    }
    body.extend(json.as_bytes());
    record(1, &body)
}

/// Takes a number off the front.
fn number(body: &mut &[u8]) -> Option<u64> {
    let (first, rest) = body.split_first_chunk::<8>()?;
    *body = rest;
    Some(u64::from_le_bytes(*first))
}

fn text<'a>(body: &mut &'a [u8]) -> Option<&'a str> {
    let (first, rest) = body.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(u16::from_le_bytes(*first).into())?;
    *body = rest;
    std::str::from_utf8(text).ok()
}

/// The parts of an event's body: all but the JSON, and the JSON.
fn parse_event(mut body: &[u8]) -> Option<(LoggedEvent, &str)> {
    let key = (number(&mut body)?, number(&mut body)?);
    let (monotonic_s, wall_s) = (number(&mut body)?.cast_signed(), number(&mut body)?);
    let (synchronized, rest) = body.split_first()?;
    body = rest;
    let (boot, topic) = (text(&mut body)?.to_owned(), text(&mut body)?.to_owned());
    let json = std::str::from_utf8(body).ok()?;
    let stamp = Stamp { boot, monotonic_s, wall_s, synchronized: *synchronized == 1 };
    Some((LoggedEvent { key, stamp, topic, bytes: json.len() as u64 }, json))
}

/// Brings the events of each run into the order of their acceptance: one that the disk could not take was written after later ones.
pub(crate) fn sort_runs<T>(events: &mut [T], key: impl Fn(&T) -> EventKey) {
    let mut first: BTreeMap<u64, usize> = BTreeMap::new();
    for (i, event) in events.iter().enumerate() {
        first.entry(key(event).0).or_insert(i);
    }
    events.sort_by_key(|event| {
        let (run, order) = key(event);
        (first.get(&run).copied(), order)
    });
}

fn keys(mut body: &[u8]) -> Vec<EventKey> {
    std::iter::from_fn(|| Some((number(&mut body)?, number(&mut body)?))).collect()
}

/// Up to `length` bytes from an offset on.
fn read(file: &File, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The next record's mark from an offset on.
fn next_mark(file: &File, mut offset: u64) -> std::io::Result<Option<u64>> {
    loop {
        let chunk = read(file, offset, CHUNK_BYTES)?;
        if let Some(at) = chunk.windows(MARK.len()).position(|w| w == MARK) {
            return Ok(Some(offset + at as u64));
        }
        if chunk.len() < CHUNK_BYTES {
            return Ok(None);
        }
        offset += (chunk.len() - MARK.len() + 1) as u64;
    }
}

/// The record at an offset: its kind and body. `None` where it is damaged.
fn record_at(file: &File, offset: u64) -> std::io::Result<Option<(u8, Vec<u8>)>> {
    let head = read(file, offset, HEAD_BYTES)?;
    if head.len() < HEAD_BYTES || head[..MARK.len()] != MARK {
        return Ok(None);
    }
    let length = [head[5], head[6], head[7], head[8]];
    let bytes = u32::from_le_bytes(length) as usize;
    if bytes > MAX_BODY_BYTES {
        return Ok(None);
    }
    let body = read(file, offset + HEAD_BYTES as u64, bytes)?;
    let sum = u32::from_le_bytes([head[9], head[10], head[11], head[12]]);
    let right = body.len() == bytes && checksum(head[4], length, &body) == sum;
    Ok(right.then_some((head[4], body)))
}

impl Log {
    /// Opens the file, or creates it, and reads what is in it. It is locked until the log is dropped.
    pub(super) fn open(path: &Path, topic: impl Fn(&str) -> String) -> Result<(Self, Contents), Failure> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let file = lock(path, false)?;
        let mut log = Self { path: path.to_owned(), file, end: 0, live: BTreeMap::new(), live_bytes: 0 };
        let start = read(&log.file, 0, HEADER.len())?;
        let mut contents = Contents::default();
        if start.is_empty() {
            log.clear(&Lost::default())?;
            return Ok((log, contents));
        }
        if let Some(version) = newer(&start) {
            let reason = format!(
                "{} was written by a newer glintd (format {version}; this one reads format 1)",
                path.display()
            );
            return Err(Failure { full: false, reason });
        }
        if start.starts_with(REDB) {
            let content = std::fs::read(path)?;
            log.rewrite(&legacy(&content, topic).concat())?;
            tracing::info!(file = %path.display(), events = log.live.len(), "events of a version 0.1 outbox imported");
            return log.scan(&mut contents).map(|()| (log, contents));
        }
        log.scan(&mut contents)?;
        if start != HEADER {
            contents.damaged += 1;
        }
        if contents.damaged > 0 {
            let aside = path.with_extension("damaged");
            tracing::error!(file = %path.display(), aside = %aside.display(), stretches = contents.damaged,
                events = contents.events.len(), "the outbox is damaged; readable events are sent, and the rest is counted");
            if let Err(e) = std::fs::copy(path, &aside) {
                tracing::error!(file = %aside.display(), "the damaged outbox could not be copied: {e}");
            }
            log.compact(&contents.lost_in_all())?;
        }
        Ok((log, contents))
    }

    /// Reads every record.
    fn scan(&mut self, contents: &mut Contents) -> Result<(), Failure> {
        self.live.clear();
        self.live_bytes = 0;
        let size = self.file.metadata()?.len();
        let mut events: Vec<LoggedEvent> = Vec::new();
        let mut removed = BTreeSet::new();
        let Some(mut offset) = (if size > HEADER.len() as u64 && read(&self.file, 0, HEADER.len())? == HEADER
        {
            Some(HEADER.len() as u64)
        } else {
            next_mark(&self.file, 0)?
        }) else {
            self.end = size.max(HEADER.len() as u64);
            return Ok(());
        };
        while offset < size {
            let Some((kind, body)) = record_at(&self.file, offset)? else {
                contents.damaged += 1;
                offset = next_mark(&self.file, offset + 1)?.unwrap_or(size);
                continue;
            };
            let bytes = HEAD_BYTES + body.len();
            match kind {
                1 => {
                    if let Some((event, _)) = parse_event(&body)
                        && self.live.insert(event.key, (offset, bytes)).is_none()
                    {
                        self.live_bytes += bytes as u64;
                        events.push(event);
                    }
                }
                2 => removed.extend(keys(&body)),
                3 => contents.lost = serde_json::from_slice(&body).unwrap_or(contents.lost),
                _ => {}
            }
            offset += bytes as u64;
        }
        self.end = size;
        self.forget(removed.iter());
        events.retain(|e| self.live.contains_key(&e.key));
        sort_runs(&mut events, |e| e.key);
        contents.events = events;
        Ok(())
    }

    /// Drops events from the index.
    pub(super) fn forget<'a>(&mut self, keys: impl Iterator<Item = &'a EventKey>) {
        for key in keys {
            if let Some((_, bytes)) = self.live.remove(key) {
                self.live_bytes -= bytes as u64;
            }
        }
    }

    /// Writes records at the end; on disk when this returns. What could not be written wholly is cut off.
    pub(super) fn append(&mut self, records: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all_at(records, self.end).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.end += records.len() as u64;
                Ok(())
            }
            Err(e) => {
                // Where not even this is possible, the checksum tells.
                _ = self.file.set_len(self.end);
                Err(e.into())
            }
        }
    }

    /// Takes over events of another file; on disk when this returns.
    pub(super) fn copy(&mut self, from: &Self, keys: &[EventKey]) -> Result<(), Failure> {
        // Not all of a large file in memory at a time.
        for some in keys.chunks(COPIED) {
            let (mut records, mut places) = (Vec::new(), Vec::new());
            for (key, (offset, bytes)) in some.iter().filter_map(|k| Some((*k, *from.live.get(k)?))) {
                places.push((key, (self.end + records.len() as u64, bytes)));
                records.extend(read(&from.file, offset, bytes)?);
            }
            self.append(&records)?;
            self.live_bytes += records.len() as u64;
            self.live.extend(places);
        }
        Ok(())
    }

    /// An empty file, with its counts. It needs no new block: a full disk has room for it.
    pub(super) fn clear(&mut self, lost: &Lost) -> Result<(), Failure> {
        self.live.clear();
        self.live_bytes = 0;
        if self.end == 0 {
            self.append(HEADER)?;
        }
        let start = HEADER.len() as u64;
        let counts = if *lost == Lost::default() { Vec::new() } else { losses(lost) };
        let end = start + counts.len() as u64;
        if end < self.end {
            // First: no earlier event may come back.
            self.file.set_len(end)?;
            self.end = end;
        }
        // The counts take the place of what is there.
        self.file.write_all_at(&counts, start)?;
        self.file.sync_data()?;
        self.end = end;
        Ok(())
    }

    /// Writes the file anew with what still waits.
    pub(super) fn compact(&mut self, lost: &Lost) -> Result<(), Failure> {
        let mut records = if *lost == Lost::default() { Vec::new() } else { losses(lost) };
        let mut places: Vec<_> = self.live.values().copied().collect();
        places.sort_unstable();
        for (offset, bytes) in places {
            records.extend(read(&self.file, offset, bytes)?);
        }
        self.rewrite(&records)?;
        self.scan(&mut Contents::default())
    }

    /// Another file with these records takes the place of this one.
    fn rewrite(&mut self, records: &[u8]) -> Result<(), Failure> {
        let beside = self.path.with_extension("new");
        let file = lock(&beside, true)?;
        let written = file
            .write_all_at(&[HEADER, records].concat(), 0)
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&beside, &self.path));
        if written.is_err() {
            // On a full disk a part of the file would keep the room that events need.
            _ = std::fs::remove_file(&beside);
        }
        written?;
        if let Some(dir) = self.path.parent().filter(|d| !d.as_os_str().is_empty()) {
            File::open(dir)?.sync_all()?;
        }
        self.file = file;
        self.end = (HEADER.len() + records.len()) as u64;
        Ok(())
    }

    pub(super) fn content(&self, key: EventKey) -> Result<String, String> {
        let (offset, _) = self.live.get(&key).ok_or("not in the file")?;
        let record = record_at(&self.file, *offset).map_err(|e| e.to_string())?;
        let (_, body) = record.ok_or("damaged")?;
        parse_event(&body).map(|(_, json)| json.to_owned()).ok_or_else(|| "damaged".into())
    }
}

/// The record of the counts, twice: in a file that is empty but for them, a flipped bit would mostly hit them, and every
/// earlier loss would be forgotten.
pub(super) fn losses(lost: &Lost) -> Vec<u8> {
    // Four numbers: there is nothing that could fail.
    record(3, &serde_json::to_vec(lost).unwrap_or_default()).repeat(2)
}

/// The format of a file that a later version of glintd has written.
fn newer(start: &[u8]) -> Option<char> {
    let version = *start.get(VERSION_AT)?;
    let mut same = start.to_vec();
    same[VERSION_AT] = HEADER[VERSION_AT];
    let is_later = version.is_ascii_digit() && version > HEADER[VERSION_AT];
    let is_flipped = (version ^ HEADER[VERSION_AT]).count_ones() == 1;
    (same == HEADER && is_later && !is_flipped).then_some(version.into())
}

/// Whether a file is a log of this kind, of whatever format.
pub(super) fn is_log(path: &Path) -> bool {
    let start = File::open(path).and_then(|file| read(&file, 0, VERSION_AT));
    start.is_ok_and(|start| start == HEADER[..VERSION_AT])
}

/// Opens a file for this process alone.
fn lock(path: &Path, anew: bool) -> Result<File, Failure> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(anew).mode(0o600).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Failure { full: false, reason: "not a plain file; correct outbox.path".into() });
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Failure { full: false, reason: "another process uses it".into() });
        }
        Err(TryLockError::Error(e)) => return Err(e.into()),
    }
    // The one who had the lock may have put another file in its place.
    if std::fs::metadata(path)?.ino() != file.metadata()?.ino() {
        return Err(Failure { full: false, reason: "another process has just replaced it".into() });
    }
    Ok(file)
}

/// Records of the events in a database of version 0.1, whose pages hold them as plain JSON. Some may have been delivered
/// before: they come again under their ids.
fn legacy(content: &[u8], topic: impl Fn(&str) -> String) -> Vec<Vec<u8>> {
    const START: &[u8] = br#"{"specversion":"1.0""#;
    let stamp = Stamp::now();
    let mut ids = BTreeSet::new();
    let mut records: Vec<Vec<u8>> = Vec::new();
    let mut at = 0;
    while let Some(next) = content[at..].windows(START.len()).position(|w| w == START) {
        at += next;
        let mut values =
            serde_json::Deserializer::from_slice(&content[at..]).into_iter::<serde_json::Value>();
        if let Some(Ok(value)) = values.next()
            && let Ok(json) = std::str::from_utf8(&content[at..at + values.byte_offset()])
            && let (Some(id), Some(source)) = (value["id"].as_str(), value["source"].as_str())
            && ids.insert(id.to_owned())
        {
            let device = source.strip_prefix("glint/").unwrap_or(source);
            records.push(event_record((0, records.len() as u64), &stamp, &topic(device), json));
        }
        at += START.len();
    }
    records
}

#[cfg(test)]
mod tests;
