//! The outbox: its folder, its lock, and the room on its disk.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use crate::daemon::config::Config;
use crate::daemon::finding::Finding;
use crate::daemon::outbox::is_held;
use crate::daemon::runtime::memory;

/// Less room than this is none.
const LEAST_BYTES: u64 = 1 << 20;

/// Room on a disk, for this user.
#[derive(Debug, Clone, Copy)]
struct Room {
    bytes: u64,
    /// Files that may still be made; `None` where the file system has no limit.
    files: Option<u64>,
}

/// The folder of the outbox, and the part of its path that exists.
fn folders(config: &Config) -> (PathBuf, PathBuf) {
    let path = std::path::absolute(&config.outbox.path).unwrap_or_else(|_| config.outbox.path.clone());
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let existing = folder.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/")).to_owned();
    (folder, existing)
}

/// Whether the folder of the state is there and closed to this user: neither a pause nor installed models can be known.
pub(super) fn is_state_closed(config: &Config) -> bool {
    access(&memory::folder(config), AccessFlags::R_OK | AccessFlags::X_OK) == Err(Errno::EACCES)
}

/// Says that the folder is made at the start, where it is not there.
pub(crate) fn folder(config: &Config) -> Option<Finding> {
    let (folder, existing) = folders(config);
    (folder != existing).then(|| {
        Finding::note(
            "outbox",
            format!("the folder {} does not exist; glintd run makes it", folder.display()),
        )
    })
}

/// Looks at all of it, and writes a few bytes to try. For a daemon that starts, another one that has the file is a warning.
pub(crate) fn look(config: &Config, starts: bool) -> Vec<Finding> {
    let (wanted, existing) = folders(config);
    let unusable = |reason: String, remedy: &str| Finding::fault("outbox", "outbox_unusable", reason, remedy);
    if !existing.is_dir() {
        let text = format!("{} is not a folder", existing.display());
        return vec![unusable(text, "correct outbox.path")];
    }
    if access(&existing, AccessFlags::R_OK | AccessFlags::X_OK).is_err() {
        let text = format!("{} is closed to this user; ask again with sudo", existing.display());
        return vec![Finding::note("outbox", text)];
    }
    // Whoever asks need not be the user of the daemon. A daemon that starts is.
    if !starts && access(&existing, AccessFlags::W_OK) == Err(Errno::EACCES) {
        let text = format!("{} takes no file of this user; ask again with sudo", existing.display());
        return vec![Finding::note("outbox", text)];
    }
    if let Err(e) = access(&existing, AccessFlags::W_OK) {
        let text = format!("{}: {e}", existing.display());
        return vec![unusable(text, "let the user of glintd write there, or correct outbox.path")];
    }
    let mut out = Vec::new();
    match room(&existing) {
        Ok(room) => out.push(judge(&existing, room, config.outbox.max_bytes)),
        Err(e) => out.push(Finding::note("disk", format!("{}: {e}", existing.display()))),
    }
    if out.iter().any(|f| f.fault == Some("outbox_full")) {
        return out;
    }
    if wanted == existing {
        match write_a_little(&existing) {
            Ok(()) => {}
            Err(e) if full(&e) => {
                let text = format!("{}: {e}", existing.display());
                return vec![Finding::fault("disk", "outbox_full", text, FULL)];
            }
            Err(e) => out
                .push(unusable(format!("{}: {e}", existing.display()), "see the log of the kernel (dmesg)")),
        }
    }
    out.extend(folder(config));
    out.push(match lock(&config.outbox.path) {
        held if starts && is_held(&config.outbox.path) => {
            let remedy = "end the other one, or give each an outbox.path of its own";
            Finding::warning("outbox", "outbox_unusable", held.text, remedy)
        }
        other => other,
    });
    out
}

/// Room on the disk of a folder.
#[allow(clippy::unnecessary_cast)] // a 32-bit system counts in 32 bits
fn room(folder: &Path) -> nix::Result<Room> {
    let disk = statvfs(folder)?;
    let (blocks, bytes) = (disk.blocks_available() as u64, disk.fragment_size() as u64);
    Ok(Room {
        bytes: blocks.saturating_mul(bytes),
        files: (disk.files() > 0).then(|| disk.files_available() as u64),
    })
}

/// What to do against a full disk.
const FULL: &str = "make room: journalctl --vacuum-size=100M, apt clean; or move outbox.path";

fn full(e: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(e.kind(), Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge)
}

/// Whether the room is enough for the outbox.
fn judge(folder: &Path, room: Room, max_bytes: u64) -> Finding {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let text = format!("{}: {:.1} MiB are free", folder.display(), mib(room.bytes));
    if room.bytes < LEAST_BYTES {
        return Finding::fault("disk", "outbox_full", text, FULL);
    }
    if room.files == Some(0) {
        let text = format!("{}: no file can be made any more (inodes)", folder.display());
        return Finding::fault(
            "disk",
            "outbox_full",
            text,
            "delete files that nobody needs, or move outbox.path",
        );
    }
    // It is written anew beside itself now and then.
    if room.bytes < max_bytes.saturating_mul(2) {
        let text = format!("{text}; a full outbox may need {:.0}", mib(max_bytes.saturating_mul(2)));
        return Finding::warning("disk", "disk_low", text, "make room, or lower outbox.max_bytes");
    }
    Finding::good("disk", text)
}

fn write_a_little(folder: &Path) -> std::io::Result<()> {
    use std::io::Write;
    let path = folder.join(format!(".glintd-{}.probe", std::process::id()));
    let written = File::create_new(&path).and_then(|mut file| {
        file.write_all(&[0; 4096])?;
        file.sync_all()
    });
    // What could not be made need not be deleted.
    _ = std::fs::remove_file(&path);
    written
}

/// What is to be said of the file.
fn lock(path: &Path) -> Finding {
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        let text = format!("{} is not a plain file", path.display());
        return Finding::fault("outbox", "outbox_unusable", text, "correct outbox.path: it names a file");
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Finding::good("outbox", format!("{}: nothing waits", path.display()));
        }
        Err(e) => return Finding::note("outbox", format!("{}: {e}", path.display())),
    };
    match file.try_lock_shared() {
        Ok(()) => Finding::good("outbox", format!("{} can be used", path.display())),
        Err(std::fs::TryLockError::WouldBlock) => {
            Finding::note("outbox", format!("{}: a running glintd has it", path.display()))
        }
        Err(std::fs::TryLockError::Error(e)) => Finding::note("outbox", format!("{}: {e}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::finding::Severity;

    #[test]
    fn room_is_enough_scarce_or_none() {
        let fault = |bytes, files| judge(Path::new("/x"), Room { bytes, files }, 16 << 20).fault;
        assert_eq!(fault(1 << 30, Some(5000)), None);
        assert_eq!(fault(1 << 30, None), None, "a file system without inodes");
        assert_eq!(fault(20 << 20, Some(5000)), Some("disk_low"));
        assert_eq!(fault(1000, Some(5000)), Some("outbox_full"));
        assert_eq!(fault(1 << 30, Some(0)), Some("outbox_full"));
    }

    #[test]
    fn what_is_missing_is_told_and_nothing_stays_behind() {
        let dir = tempfile::tempdir().expect("folder");
        let mut config = Config::default();
        config.outbox.path = dir.path().join("a/b/outbox");
        let note = folder(&config).expect("it is missing");
        assert!(note.text.contains("a/b does not exist"), "{}", note.text);
        assert!(
            look(&config, false).iter().all(|f| f.severity < Severity::Fault),
            "{:?}",
            look(&config, false)
        );
        assert!(!dir.path().join("a").exists(), "looking makes nothing");
        config.outbox.path = dir.path().join("outbox");
        assert!(folder(&config).is_none());
        assert!(look(&config, true).iter().all(|f| f.severity < Severity::Warning));
        assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0);
        // A file in the place of a folder.
        std::fs::write(dir.path().join("file"), "").expect("file");
        config.outbox.path = dir.path().join("file/outbox");
        assert_eq!(look(&config, false)[0].fault, Some("outbox_unusable"));
        // One that another has.
        let held = dir.path().join("held");
        let file = File::create(&held).expect("file");
        file.lock().expect("locked");
        assert_eq!(lock(&held).severity, Severity::Note);
        config.outbox.path.clone_from(&held);
        let told = |starts| {
            look(&config, starts).into_iter().filter(|f| f.text.contains("has it")).map(|f| f.severity)
        };
        assert_eq!(told(false).collect::<Vec<_>>(), [Severity::Note]);
        assert_eq!(told(true).collect::<Vec<_>>(), [Severity::Warning]);
        assert!(is_held(&held) && !is_held(&dir.path().join("file")) && !is_held(Path::new("/no/such")));
        // What holds no events.
        for path in [dir.path(), Path::new("/dev/null")] {
            assert_eq!(lock(path).fault, Some("outbox_unusable"), "{}", path.display());
        }
    }
}
