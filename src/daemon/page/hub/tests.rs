//! Who is told what, and who sees a picture.

use super::*;

fn hub(confirmation: Duration) -> (Hub, mpsc::Receiver<Ask>) {
    let (asks, asked) = mpsc::channel(64);
    (Hub::new(Arc::default(), asks, confirmation, "{}".into()), asked)
}

fn notes(asked: &mut mpsc::Receiver<Ask>) -> Vec<&'static str> {
    std::iter::from_fn(|| asked.try_recv().ok())
        .map(|ask| match ask {
            Ask::Note(note, visitor) => {
                assert_eq!(visitor.session.map(|s| s.len()), Some(SHOWN));
                note.as_str()
            }
            _ => "",
        })
        .collect()
}

/// The session of a page that was opened last.
fn session(hub: &Hub) -> Vec<u8> {
    hub.viewers.last().expect("a page").session.clone().into_bytes()
}

fn snapshot() -> Snapshot {
    Snapshot { picture: Some(Luma { width: 16, height: 8, luma: vec![90; 128] }), ..Snapshot::default() }
}

#[test]
fn a_picture_is_for_who_has_confirmed_it_and_for_nobody_else() {
    let (mut hub, mut asked) = hub(Duration::from_secs(60));
    hub.show(&snapshot());
    assert!(hub.picture.is_none() && !hub.watch.is_watched(), "nobody watches");
    let _first = hub.open("a").expect("room");
    let first = session(&hub);
    let _second = hub.open("b").expect("room");
    let second = session(&hub);
    assert_ne!(first, second);
    hub.show(&snapshot());
    assert!(hub.watch.is_watched() && !hub.watch.wants_picture() && hub.picture.is_none());
    assert_eq!(hub.picture(&first), Err(()));
    hub.confirm(&first);
    assert!(hub.watch.wants_picture());
    assert_eq!(hub.picture(&first), Ok(None), "no frame yet");
    hub.show(&snapshot());
    let jpeg = hub.picture(&first).expect("confirmed").expect("a picture");
    assert!(jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]));
    assert_eq!(hub.picture(&second), Err(()), "another page");
    assert_eq!(hub.picture(b""), Err(()));
    hub.stop(&first);
    assert!(hub.picture.is_none() && !hub.watch.wants_picture());
    hub.show(&snapshot());
    assert_eq!(hub.picture(&first), Ok(None), "stopped");
    assert_eq!(notes(&mut asked), ["page_opened", "page_opened", "picture_confirmed", "picture_stopped"]);
}

#[test]
fn a_confirmation_lapses_and_a_pause_forgets_the_picture() {
    let (mut hub, mut asked) = hub(Duration::from_secs(60));
    let _pieces = hub.open("a").expect("room");
    let session = session(&hub);
    hub.confirm(&session);
    hub.show(&snapshot());
    hub.post(&Post::Status("{}".into(), true));
    assert!(hub.picture(&session).is_ok_and(|p| p.is_some()));
    hub.post(&Post::Status("{}".into(), false));
    assert_eq!(hub.picture(&session), Ok(None), "paused");
    hub.confirm(&session);
    hub.show(&snapshot());
    hub.viewers[0].confirmed_until = Some(Instant::now());
    assert_eq!(hub.picture(&session), Ok(None), "before the next tick");
    hub.tick();
    assert!(hub.picture.is_none() && !hub.watch.wants_picture() && hub.watch.is_watched());
    assert_eq!(
        notes(&mut asked),
        ["page_opened", "picture_confirmed", "picture_stopped", "picture_confirmed", "picture_lapsed"]
    );
}

#[test]
fn who_leaves_is_let_go_and_there_is_room_for_a_few() {
    let (mut hub, mut asked) = hub(Duration::from_secs(60));
    let mut pages: Vec<_> = (0..VIEWERS).map(|_| hub.open("a").expect("room")).collect();
    assert!(hub.open("a").is_none(), "too many");
    let last = session(&hub);
    hub.confirm(&last);
    pages.pop();
    hub.tick();
    assert!(!hub.watch.wants_picture(), "the confirmation has gone with the page");
    assert!(hub.open("a").is_some());
    pages.clear();
    hub.tick();
    assert!(!hub.watch.is_watched());
    assert_eq!(notes(&mut asked).iter().filter(|n| **n == "page_closed").count(), VIEWERS + 1);
}

#[test]
fn a_page_that_takes_nothing_misses_messages_and_holds_nobody_up() {
    let (mut hub, _asked) = hub(Duration::from_secs(60));
    let mut slow = hub.open("slow").expect("room");
    for _ in 0..200 {
        hub.show(&Snapshot::default());
    }
    let mut taken = 0;
    while slow.try_recv().is_ok() {
        taken += 1;
    }
    assert_eq!(taken, QUEUE);
}
