//! The file of the outbox: whatever is in it, it opens, and takes and keeps an event.

use std::time::Duration;

use crate::daemon::outbox::Outbox;
use crate::daemon::outbox::storage::OutboxFiles;

pub(crate) fn any_file(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    let files = OutboxFiles { path: dir.path().join("outbox"), ..OutboxFiles::default() };
    std::fs::write(&files.path, bytes).expect("written");
    // Where a test starts a program meanwhile, its copy of this process holds the lock until that program runs.
    let open = || {
        let mut outboxes = (0..500).map(|_| Outbox::open(files.clone(), 3600, 1 << 20, "glint", 0));
        let usable = outboxes.find(|outbox| {
            let is_usable = outbox.problems().next().is_none();
            if !is_usable {
                std::thread::sleep(Duration::from_millis(10));
            }
            is_usable
        });
        usable.expect("every file can be opened")
    };
    let mut outbox = open();
    let before = outbox.len();
    outbox.put("id", "glint/a/event", "{}", 0);
    assert_eq!(outbox.len(), before + 1);
    outbox.close(Duration::from_secs(10), 0);
    assert_eq!(open().len(), before + 1);
}
