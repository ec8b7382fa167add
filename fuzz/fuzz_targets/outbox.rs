//! The file of the outbox: whatever is in it, it opens, and takes and keeps an event.
#![no_main]

#[allow(dead_code)]
#[path = "../../src/daemon"]
mod daemon {
    pub(crate) mod clock;
    pub(crate) mod outbox;
    pub(crate) mod whole;
}

use std::time::Duration;

use daemon::outbox::Outbox;
use daemon::outbox::storage::OutboxFiles;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir().expect("a folder");
    let files = OutboxFiles { path: dir.path().join("outbox"), ..OutboxFiles::default() };
    std::fs::write(&files.path, bytes).expect("written");
    let open = || Outbox::open(files.clone(), 3600, 1 << 20, "glint", 0);
    let mut outbox = open();
    let before = outbox.len();
    outbox.put("id", "glint/a/event", "{}", 0);
    assert_eq!(outbox.len(), before + 1);
    outbox.close(Duration::from_secs(10), 0);
    assert_eq!(open().len(), before + 1);
});
