//! The audit log: who commanded what, and who looked at the page, line by line and without frames.
//!
//! Each entry is a line of JSON in `audit.jsonl` of the state folder, and a line of the log. The file is only appended to. At
//! `audit.max_bytes` it becomes `audit.jsonl.1`, which replaces the one before: both together are bounded. A thread of its own
//! writes, because a disk may stall.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use serde::Serialize;

use super::memory::folder;
use crate::daemon::clock::{rfc3339, wall};
use crate::daemon::config::Config;
use crate::daemon::page::{RefusedTokens, Visitor};

/// Entries that may wait for the disk.
const QUEUE: usize = 256;
/// How long the end of the daemon waits for them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where something came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A message of the broker, which does not say whose.
    Mqtt,
    /// A signal of the system.
    Signal,
    /// The commissioning page.
    Page(Visitor),
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    time: String,
    device: String,
    what: &'static str,
    origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// How often it has happened, where that is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

/// The log of a daemon.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    device: String,
    writer: Option<Writer>,
    unusable: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Writer {
    entries: SyncSender<Entry>,
    /// Closed once the thread has ended.
    done: Receiver<()>,
}

impl Audit {
    /// Starts the thread where the configuration wants the log.
    pub(crate) fn start(config: &Config) -> std::io::Result<Self> {
        let unusable = Arc::new(AtomicBool::new(false));
        let mut audit = Self { device: config.device.id().to_owned(), writer: None, unusable };
        if config.is_audited() {
            let file = File { path: folder(config).join("audit.jsonl"), max_bytes: config.audit.max_bytes };
            let (entries, waiting) = sync_channel(QUEUE);
            let (end, done) = channel();
            let flag = Arc::clone(&audit.unusable);
            std::thread::Builder::new()
                .name("audit".into())
                .spawn(move || write(&file, &waiting, &flag, end))?;
            audit.writer = Some(Writer { entries, done });
        }
        Ok(audit)
    }

    /// Notes what has happened, in the log and where it is wanted on disk.
    pub(crate) fn note(&self, what: &'static str, origin: &Origin) {
        let (word, visitor) = match origin {
            Origin::Mqtt => ("mqtt", None),
            Origin::Signal => ("signal", None),
            Origin::Page(visitor) => ("page", Some(visitor)),
        };
        let peer = visitor.map(|v| v.peer.clone());
        let session = visitor.and_then(|v| v.session.clone());
        self.enter(what, word, peer, session, None);
    }

    /// Notes wrong tokens. The page counts them, so that they are few entries and displace no other ones.
    pub(crate) fn note_refused(&self, refused: RefusedTokens) {
        self.enter("token_refused", "page", Some(refused.peer), None, Some(refused.count));
    }

    fn enter(
        &self,
        what: &'static str,
        origin: &'static str,
        peer: Option<String>,
        session: Option<String>,
        count: Option<u64>,
    ) {
        tracing::info!(what, origin, peer, session, count, "audit");
        let Some(writer) = &self.writer else { return };
        let time = rfc3339(wall().as_millis() as i64);
        let entry = Entry { time, device: self.device.clone(), what, origin, peer, session, count };
        if let Err(TrySendError::Full(entry) | TrySendError::Disconnected(entry)) =
            writer.entries.try_send(entry)
        {
            self.unusable.store(true, Relaxed);
            let entry = serde_json::to_string(&entry).unwrap_or_default();
            tracing::error!(entry, "the audit log takes no entry: the disk stalls");
        }
    }

    /// A word of `health.problems`, where an entry could not be written.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        self.unusable.load(Relaxed).then_some("audit_unusable")
    }

    /// Waits for what is still to be written.
    pub(crate) fn close(&mut self) {
        if let Some(Writer { entries, done }) = self.writer.take() {
            drop(entries);
            // The other end is dropped with the thread.
            _ = done.recv_timeout(PATIENCE);
        }
    }
}

/// The file and its bound.
#[derive(Debug)]
struct File {
    path: PathBuf,
    max_bytes: u64,
}

fn write(file: &File, entries: &Receiver<Entry>, unusable: &AtomicBool, end: Sender<()>) {
    let mut complaint = String::new();
    for entry in entries {
        match file.append(&entry) {
            Ok(()) => {
                unusable.store(false, Relaxed);
                complaint.clear();
            }
            Err(error) => {
                unusable.store(true, Relaxed);
                let reason = error.to_string();
                if complaint != reason {
                    tracing::error!(file = %file.path.display(), reason, "the audit log cannot be written");
                    complaint = reason;
                }
            }
        }
    }
    drop(end);
}

impl File {
    /// Appends a line. The file is opened each time: entries are rare, and a program that rotates logs may have moved it.
    fn append(&self, entry: &Entry) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut file = open(&self.path)?;
        let size = file.metadata()?.len();
        if size > 0 && size + line.len() as u64 > self.max_bytes {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            std::fs::rename(&self.path, old)?;
            file = open(&self.path)?;
        }
        file.write_all(&line)
    }
}

fn open(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options.append(true).create(true).mode(0o600).open(path);
    match (opened, path.parent()) {
        (Err(e), Some(folder)) if e.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(folder)?;
            options.open(path)
        }
        (opened, _) => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(dir: &Path, more: &str) -> Audit {
        let text = format!("device.id = \"door\"\noutbox.path = {:?}\n{more}", dir.join("outbox"));
        Audit::start(&Config::parse("g", &text).expect("valid")).expect("a thread")
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn entries_say_what_when_and_from_where() {
        let dir = tempfile::tempdir().expect("folder");
        let state = dir.path().join("state");
        let path = state.join("audit.jsonl");
        for _ in 0..2 {
            let mut audit = audit(&state, "audit.enabled = true");
            audit.note("pause", &Origin::Mqtt);
            let visitor = Visitor { peer: "127.0.0.1:5".into(), session: Some("0123abcd".into()) };
            audit.note("page_opened", &Origin::Page(visitor));
            audit.close();
        }
        let mut last = audit(&state, "audit.enabled = true");
        last.note_refused(RefusedTokens { peer: "192.0.2.1:5".into(), count: 700 });
        last.close();
        let entries = lines(&path);
        assert_eq!(entries.len(), 5, "a restart appends");
        assert_eq!((&entries[4]["what"], &entries[4]["count"]), (&"token_refused".into(), &700.into()));
        assert!(entries[4].get("session").is_none() && entries[3].get("count").is_none());
        assert_eq!(entries[0]["what"], "pause");
        assert_eq!((&entries[0]["origin"], &entries[0]["device"]), (&"mqtt".into(), &"door".into()));
        assert!(
            entries[0]["time"].as_str().is_some_and(|t| t.ends_with('Z')) && entries[0].get("peer").is_none()
        );
        assert_eq!(
            (&entries[3]["peer"], &entries[3]["session"]),
            (&"127.0.0.1:5".into(), &"0123abcd".into())
        );
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_file_is_bounded_and_off_where_it_is_not_wanted() {
        let dir = tempfile::tempdir().expect("folder");
        let mut log = audit(dir.path(), "audit.enabled = true\naudit.max_bytes = 4096");
        for _ in 0..200 {
            log.note("pause", &Origin::Signal);
        }
        log.close();
        let (new, old) = (dir.path().join("audit.jsonl"), dir.path().join("audit.jsonl.1"));
        for path in [&new, &old] {
            assert!(std::fs::metadata(path).expect("there").len() <= 4096);
            assert!(!lines(path).is_empty(), "whole lines");
        }
        let other = tempfile::tempdir().expect("folder");
        let mut off = audit(other.path(), "");
        off.note("pause", &Origin::Signal);
        off.close();
        assert_eq!(std::fs::read_dir(other.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_disk_that_takes_nothing_is_a_problem_of_health() {
        let dir = tempfile::tempdir().expect("folder");
        // A file where the folder should be.
        std::fs::write(dir.path().join("blocked"), "").expect("file");
        let mut log = audit(&dir.path().join("blocked"), "audit.enabled = true");
        log.note("pause", &Origin::Signal);
        log.close();
        assert_eq!(log.problem(), Some("audit_unusable"));
    }
}
