//! The file, whole and damaged.

use super::*;

fn topic(device: &str) -> String {
    format!("p/{device}/event")
}

fn json(n: u64) -> String {
    format!("{{\"id\":\"{n}\",\"text\":\"{}\"}}", "x".repeat(300))
}

/// Opens a file that this process alone uses. Where another test starts a program meanwhile, a copy of this process holds
/// the lock that was just given free, until that program runs.
fn open(path: &Path) -> (Log, Contents) {
    for _ in 0..500 {
        match Log::open(path, topic) {
            Err(e) if e.reason.contains("another process") => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            other => return other.expect("opens"),
        }
    }
    panic!("{} stays locked", path.display());
}

/// A file of `count` events.
fn write(path: &Path, count: u64) -> Vec<u8> {
    let (mut log, _) = open(path);
    for n in 0..count {
        log.append(&event_record((1, n), &Stamp::now(), "t", &json(n))).expect("written");
    }
    drop(log);
    std::fs::read(path).expect("readable")
}

/// Whatever happens to the bytes, what is read is what was written, and what is not read is counted.
#[test]
fn flipped_bits_and_cuts_cost_what_they_hit_and_nothing_else() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("outbox");
    let intact = write(&path, 6);
    let check = |bytes: &[u8], at_least: usize| {
        std::fs::write(&path, bytes).expect("written");
        let (log, contents) = open(&path);
        for event in &contents.events {
            assert_eq!(log.content(event.key).expect("readable"), json(event.key.1));
        }
        assert!(contents.events.len() >= at_least, "{} events", contents.events.len());
        assert!(contents.events.len() == 6 || contents.damaged > 0, "lost and not counted");
        drop(log);
        let (_, again) = open(&path);
        assert_eq!((again.events.len(), again.damaged), (contents.events.len(), 0), "mended");
    };
    for at in (0..intact.len()).step_by(7) {
        let mut bytes = intact.clone();
        bytes[at] ^= 1 << (at % 8);
        check(&bytes, 5);
    }
    // All of the header: no bit of it makes a file of another format, which would be refused for ever.
    for (at, bit) in (0..HEADER.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut bytes = intact.clone();
        bytes[at] ^= 1 << bit;
        check(&bytes, 6);
    }
    let each = (intact.len() - HEADER.len()) / 6;
    for length in (HEADER.len()..intact.len()).step_by(31) {
        // Between two records a cut cannot be told from events that never were.
        if !(length - HEADER.len()).is_multiple_of(each) {
            check(&intact[..length], (length - HEADER.len()) / each);
        }
    }
}

/// Whatever bit flips, the losses of before are known: those of a file that holds nothing else, too.
#[test]
fn counts_outlive_a_flipped_bit_anywhere() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("outbox");
    let lost = Lost { by_age: 3, purged: 70, damaged: 2, ..Lost::default() };
    let (mut log, _) = open(&path);
    log.append(&event_record((1, 1), &Stamp::now(), "t", &json(1))).expect("written");
    log.clear(&lost).expect("written");
    drop(log);
    let intact = std::fs::read(&path).expect("readable");
    for at in 0..intact.len() {
        let mut bytes = intact.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bytes).expect("written");
        let (_, contents) = open(&path);
        assert_eq!((contents.lost, contents.damaged), (lost, 1), "byte {at}");
        // The count of this one is on disk before anybody has been told of it.
        let (_, contents) = open(&path);
        assert_eq!((contents.lost.purged, contents.lost.damaged, contents.damaged), (70, 3, 0), "byte {at}");
    }
}

#[test]
fn what_is_not_the_files_own_is_counted_and_the_file_works() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("outbox");
    std::fs::write(&path, vec![7; 20_000]).expect("file");
    let (mut log, contents) = open(&path);
    assert_eq!((contents.events.len(), contents.damaged), (0, 1));
    assert!(dir.path().join("outbox.damaged").exists());
    log.append(&event_record((1, 1), &Stamp::now(), "t", "{}")).expect("written");
    assert!(Log::open(&path, topic).is_err_and(|e| e.reason.contains("another process")));
}

#[test]
fn events_of_a_database_of_version_0_1_are_taken_over() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("outbox");
    let event = r#"{"specversion":"1.0","id":"a","source":"glint/door","data":{}}"#;
    let old = [REDB, &[0; 100], event.as_bytes(), &[1; 50], event.as_bytes()].concat();
    std::fs::write(&path, old).expect("file");
    let (log, contents) = open(&path);
    assert_eq!(contents.events.len(), 1);
    assert_eq!(contents.events[0].topic, "p/door/event");
    assert_eq!(log.content(contents.events[0].key).expect("readable"), event);
}

/// A package that is taken back must not salvage what it does not understand.
#[test]
fn a_file_of_a_later_format_is_refused_and_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("outbox");
    let mut bytes = write(&path, 3);
    bytes[VERSION_AT] = b'2';
    std::fs::write(&path, &bytes).expect("file");
    let refused = Log::open(&path, topic).err().expect("refused");
    assert!(!refused.full && refused.reason.contains("newer glintd (format 2"), "{}", refused.reason);
    assert_eq!(std::fs::read(&path).expect("readable"), bytes);
    assert!(!dir.path().join("outbox.damaged").exists() && is_log(&path));
}

#[test]
fn an_outbox_that_is_emptied_keeps_its_counts_in_the_room_that_it_has() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("outbox");
    write(&path, 3);
    let mut log = open(&path).0;
    for purged in [3, 12, 12, 9_000_000, 1] {
        let lost = Lost { purged, damaged: 2, ..Lost::default() };
        log.clear(&lost).expect("cleared");
        let size = std::fs::metadata(&path).expect("a file").len();
        assert_eq!(size, HEADER.len() as u64 + losses(&lost).len() as u64);
        drop(log);
        let contents;
        (log, contents) = open(&path);
        assert_eq!((contents.events.len(), contents.damaged, contents.lost), (0, 0, lost));
    }
}
