//! The file that stands for a pause.

use std::path::{Path, PathBuf};

use crate::daemon::runtime::memory::Memory;

/// The file that stands for a pause, beside the outbox.
pub(super) fn marker(outbox: &Path) -> PathBuf {
    outbox.with_extension("paused")
}

/// Whether a marker stands. One that cannot be looked at counts as set.
fn is_set(marker: &Path) -> bool {
    match std::fs::symlink_metadata(marker) {
        Ok(_) => true,
        Err(e) => !absent(&e),
    }
}

/// The marker of a device that is paused.
pub(crate) fn paused(outbox: &Path) -> Option<PathBuf> {
    Some(marker(outbox)).filter(|marker| is_set(marker))
}

/// A pause outlives the process: whoever closed the camera does not want a restart to open it, nor another outbox.
pub(super) fn paused_before(marker_now: &Path, memory: &Memory) -> bool {
    let mut paused = is_set(marker_now);
    for earlier in memory.earlier_outboxes().iter().map(|path| marker(path)).filter(|m| is_set(m)) {
        paused = true;
        // In this order: one of the two stands whatever happens.
        if let Err(e) = std::fs::write(marker_now, "").and_then(|()| std::fs::remove_file(&earlier)) {
            tracing::error!(file = %earlier.display(), "the marker of the pause cannot be moved: {e}");
        }
    }
    paused
}

/// Whether an error says that there is no such file.
pub(super) fn absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}
