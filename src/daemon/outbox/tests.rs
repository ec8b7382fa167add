//! The queue with its file.

use super::*;
use proptest::prelude::*;

fn open(path: &Path, max_bytes: u64, now_s: i64) -> Outbox {
    let files = OutboxFiles { path: path.to_owned(), ..OutboxFiles::default() };
    Outbox::open(files, 100, max_bytes, "glint", now_s)
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
    let (mut ids, mut order) = (String::new(), None);
    loop {
        while let Some(next) = outbox.next_after(order, now_s) {
            ids.push_str(next.json.trim_matches(['{', '}', '"']).trim_start_matches("id\":\""));
            order = Some(next.order);
        }
        settle(outbox, now_s);
        if outbox.next_after(order, now_s).is_none() {
            return ids;
        }
    }
}

fn close(outbox: Outbox) {
    assert!(outbox.close(Duration::from_secs(5), 0).events.is_empty());
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
    assert!(outbox.problems().eq(["outbox_unusable"]));
    assert_eq!(all(&mut outbox, 1), "bc", "memory is bounded too");
    std::fs::remove_file(&blocked).expect("removed");
    // Nothing new has to come for it.
    outbox.tick(1 + RETRY_S);
    settle(&mut outbox, 1 + RETRY_S);
    assert_eq!(outbox.problems().count(), 0);
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
    assert!(second.problems().eq(["outbox_unusable"]));
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

#[test]
fn what_only_memory_has_is_written_at_the_end_or_given_back() {
    let dir = tempfile::tempdir().expect("folder");
    let blocked = dir.path().join("blocked");
    std::fs::write(&blocked, "").expect("file");
    let path = blocked.join("outbox");
    let mut outbox = open(&path, 1000, 0);
    for id in ["a", "b"] {
        put(&mut outbox, id, 40);
    }
    // Still no disk: the next configuration gets them, with their age.
    outbox.lost.purged = 3;
    let left = outbox.close(Duration::from_secs(5), 41);
    assert_eq!(left.events.len(), 2);
    let mut outbox = open(&path, 1000, 50);
    outbox.take_over(left, 50);
    assert_eq!(outbox.lost().purged, 3, "no file has it");
    put(&mut outbox, "c", 50);
    assert_eq!(all(&mut outbox, 50), "abc");
    assert_eq!(outbox.next_after(None, 50).map(|next| next.left_s), Some(90));
    // The disk is well again, and nobody has noticed yet.
    std::fs::remove_file(&blocked).expect("removed");
    close(outbox);
    let mut outbox = open(&path, 1000, 50);
    assert_eq!(all(&mut outbox, 50), "abc");
    assert_eq!(
        outbox.lost().purged,
        0,
        "what was counted while there was no file is written with the next count"
    );
    // The same configuration again, with counts of which the file has a part.
    outbox.lost = Lost { purged: 5, ..Lost::default() };
    outbox.ask(Op::Lost(outbox.lost));
    let mut left = outbox.close(Duration::from_secs(5), 50);
    left.lost.by_size = 2;
    let mut outbox = open(&path, 1000, 50);
    outbox.take_over(left, 50);
    assert_eq!((outbox.lost().purged, outbox.lost().by_size), (5, 2));
    close(outbox);
    let mut outbox = open(&path, 1000, 50);
    assert_eq!((outbox.lost().purged, outbox.lost().by_size), (5, 2));
    // What was told to be written twice is there once.
    outbox.entries.values_mut().for_each(|e| e.place = Place::Memory);
    outbox.write_memory();
    outbox.write_memory();
    close(outbox);
    assert_eq!(all(&mut open(&path, 1000, 50), 50), "abc");
}

/// Later events find room on the disk before earlier ones are written.
#[test]
fn what_is_written_late_keeps_its_place() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("outbox");
    let mut outbox = open(&path, 1000, 0);
    put(&mut outbox, "a", 0);
    // The disk had no room for two of them.
    let late = |(order, id): (u64, &str)| Unwritten {
        key: (outbox.run, order),
        id: id.into(),
        topic: "t".into(),
        json: format!("{{\"id\":\"{id}\"}}"),
        accepted_s: 0,
        stamp: Stamp::now(),
    };
    let left = [(1, "b"), (2, "c")].map(late).into();
    outbox.next_order = 3;
    put(&mut outbox, "d", 0);
    close(outbox);
    let mut outbox = open(&path, 1000, 0);
    outbox.take_over(Left { events: left, path: path.clone(), lost: Lost::default() }, 0);
    put(&mut outbox, "e", 0);
    assert_eq!(all(&mut outbox, 0), "abcde");
    close(outbox);
    assert_eq!(all(&mut open(&path, 1000, 0), 0), "abcde", "and so it is read");
}

#[path = "../../../tests/fuzz/daemon/outbox.rs"]
mod target;

/// The bytes of a file with events.
fn file_with_events() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("outbox");
    let mut outbox = open(&path, 100_000, 0);
    ["a", "b", "c", "d"].into_iter().for_each(|id| put(&mut outbox, id, 0));
    outbox.remove(1);
    close(outbox);
    std::fs::read(&path).expect("written")
}

proptest! {
    // Each case opens the file twice.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_file_opens_and_takes_an_event(bytes in prop::collection::vec(any::<u8>(), 0..2000),
                                         changes in prop::collection::vec((0.0f64..1.0, any::<u8>()), 0..6),
                                         (is_noise, cut) in (any::<bool>(), 0.0f64..2.0)) {
        let mut file = if is_noise { bytes } else { file_with_events() };
        let len = file.len();
        for (share, value) in changes.into_iter().filter(|_| len > 0) {
            file[(share * len as f64) as usize] = value;
        }
        file.truncate((cut * len as f64) as usize);
        target::any_file(&file);
    }
}
