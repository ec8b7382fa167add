//! The conversation without a broker.

use super::ending::TAKEN_OVER;
use super::*;

fn mqtt(more: &str) -> Mqtt {
    let config = Config::parse("test", more).expect("valid");
    let credentials = Credentials::read(&config).expect("no files needed");
    Mqtt::new(&config, credentials, Vec::new())
}

#[tokio::test(flavor = "current_thread")]
async fn only_fresh_commands_of_this_device_are_obeyed() {
    let mut mqtt = mqtt("");
    let purge = "glint/glint/purge/set";
    assert_eq!(mqtt.message(purge, b"1", false, false), None, "before the subscription stands");
    mqtt.greet(false);
    assert_eq!(mqtt.message(purge, b"1", false, false), None, "before the subscription stands");
    mqtt.subscribed(&[]);
    assert_eq!(mqtt.message(purge, b"1", false, false), Some(Command::Purge));
    assert_eq!(mqtt.message(purge, b"1", true, false), None, "retained");
    assert_eq!(mqtt.message(purge, b"1", false, true), None, "sent before");
    assert_eq!(mqtt.message("glint/other/purge/set", b"1", false, false), None);
    assert_eq!(mqtt.message("glint/glint/purge", b"1", false, false), None);
    assert_eq!(mqtt.message("\u{0}", &[0xff; 100], false, false), None);
    // A broker that keeps sessions whatever it is told.
    mqtt.ended(End::Closed);
    mqtt.greet(true);
    mqtt.subscribed(&[]);
    assert_eq!(mqtt.message(purge, b"1", false, false), None, "may have been queued");
    mqtt.obey_from = Some(Instant::now());
    assert_eq!(mqtt.message(purge, b"1", false, false), Some(Command::Purge));
}

#[tokio::test(flavor = "current_thread")]
async fn waits_grow_until_a_connection_lasts() {
    let mut mqtt = mqtt("");
    for n in 1..=9 {
        mqtt.greet(false);
        mqtt.ended(End::Closed);
        assert_eq!(mqtt.problems().contains(&"session_taken_over"), n >= TAKEN_OVER.1);
    }
    assert_eq!(mqtt.backoff, BACKOFF.1);
    assert!(mqtt.retry_at >= Instant::now() + BACKOFF.1 / 2);
    mqtt.greet(false);
    mqtt.connected_at = Instant::now().checked_sub(LASTED);
    mqtt.look_at_the_check();
    assert!(mqtt.problems().is_empty());
    mqtt.ended(End::Closed);
    assert_eq!(mqtt.backoff, BACKOFF.0 * 2);
}

#[tokio::test(flavor = "current_thread")]
async fn refused_subscriptions_and_a_lost_check_are_problems() {
    let mut mqtt = mqtt("");
    mqtt.greet(false);
    mqtt.subscribing = VecDeque::from([vec!["homeassistant/status".into(), "glint/glint/pause/set".into()]]);
    mqtt.subscribed(&[Some("refused".into()), None]);
    assert!(mqtt.problems().is_empty());
    mqtt.subscribing = VecDeque::from([vec!["homeassistant/status".into(), "glint/glint/pause/set".into()]]);
    mqtt.subscribed(&[None, Some("refused".into())]);
    assert_eq!(mqtt.problems(), ["commands_refused"]);
    mqtt.check = Check::Waiting("n".into(), Instant::now());
    mqtt.message("glint/glint/check", b"other", false, false);
    mqtt.look_at_the_check();
    assert_eq!(mqtt.problems(), ["commands_refused", "check_failed"]);
    mqtt.ended(End::TooLarge);
    mqtt.ended(End::TooLarge);
    mqtt.greet(false);
    assert_eq!(mqtt.problems(), ["commands_refused"], "events go on, without commands");
}

#[tokio::test(flavor = "current_thread")]
async fn what_was_sent_before_something_was_done_on_the_spot_does_not_act() {
    let mut mqtt = mqtt("");
    let resume = "glint/glint/resume/set";
    mqtt.greet(false);
    mqtt.subscribing = VecDeque::from([Vec::new()]);
    mqtt.subscribed(&[]);
    assert_eq!(mqtt.message(resume, b"1", false, false), Some(Command::Resume));
    mqtt.forget_commands();
    assert_eq!(mqtt.message(resume, b"1", false, false), None, "it may be older");
    // Twice on the spot: the answer to the first subscription says nothing of the second.
    mqtt.subscribe_again = false;
    mqtt.subscribing = VecDeque::from([Vec::new(), Vec::new()]);
    mqtt.subscribed(&[]);
    assert_eq!(mqtt.message(resume, b"1", false, false), None);
    mqtt.subscribed(&[]);
    assert_eq!(mqtt.message(resume, b"1", false, false), Some(Command::Resume));
    // Nothing was subscribed while the broker was away.
    mqtt.ended(End::Closed);
    mqtt.forget_commands();
    assert!(!mqtt.subscribe_again);
}

#[tokio::test(flavor = "current_thread")]
async fn commands_come_back_on_the_connection_that_stands() {
    let mut mqtt = mqtt("");
    mqtt.ended(End::TooLarge);
    mqtt.ended(End::TooLarge);
    mqtt.greet(false);
    assert_eq!(mqtt.problems(), ["commands_refused"]);
    mqtt.deaf_until = Some(Instant::now());
    mqtt.listen_again();
    assert!(mqtt.problems().is_empty() && mqtt.subscribe_again);
}

/// Mosquitto 2.0 on MQTT 3.1.1, where the access list forbids events.
#[tokio::test(flavor = "current_thread")]
async fn an_event_after_which_the_connection_is_closed_is_kept() {
    let mut mqtt = mqtt("");
    let mut outbox = Outbox::in_memory();
    for id in ["a", "b"] {
        outbox.put(id, "t", "{}", 0);
    }
    let order = |outbox: &mut Outbox| outbox.next_after(None, 0).expect("an event").order;
    for round in 0..3 {
        mqtt.greet(false);
        let first = order(&mut outbox);
        mqtt.unacknowledged.insert(7, Cargo::Event(first));
        mqtt.in_flight = 1;
        mqtt.handle(Signal::Acknowledged(7), &mut outbox);
        mqtt.handle(Signal::Ended(End::Closed), &mut outbox);
        assert_eq!(outbox.len(), 1, "the first is believed, no other");
        assert_eq!(mqtt.problems().contains(&"events_refused"), round > 0);
        assert!(!mqtt.problems().contains(&"session_taken_over"));
    }
    // The list is put right.
    mqtt.greet(false);
    let first = order(&mut outbox);
    mqtt.unacknowledged.insert(7, Cargo::Event(first));
    mqtt.handle(Signal::Acknowledged(7), &mut outbox);
    mqtt.believe(&mut outbox, Some(Instant::now()));
    assert_eq!(outbox.len(), 1, "not yet");
    mqtt.believe(&mut outbox, Some(Instant::now() + reports::AFTER));
    assert!(outbox.len() == 0 && mqtt.problems().is_empty() && !mqtt.doubtful);
}
