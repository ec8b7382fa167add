//! The topic `au` of the daemon on the synthetic subject, heard through a real Mosquitto.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::Value;

use super::broker::{Broker, Subscriber};
use super::daemon::{Accepted, Daemon, configure_with, start_command};
use super::schema;

/// Samples a second that are asked for.
const HZ: f64 = 20.0;

/// How messages of a topic arrive: their quality of service, as the broker hands them on.
fn heard_as(port: u16, topic: &str) -> mpsc::Receiver<QoS> {
    let mut options = MqttOptions::new("quality", "127.0.0.1", port);
    options.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut connection) = Client::new(options, 16);
    client.try_subscribe(topic, QoS::ExactlyOnce).expect("room in the queue");
    let (heard, all) = mpsc::channel();
    std::thread::spawn(move || {
        // The connection ends with its client.
        let _client = client;
        for event in connection.iter() {
            match event {
                Ok(Event::Incoming(Packet::Publish(p))) if heard.send(p.qos).is_err() => return,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
    all
}

/// Milliseconds of the day of an RFC 3339 time.
fn milliseconds(time: &Value) -> i64 {
    let time = time.as_str().expect("a time");
    let part = |from: usize, to: usize| time[from..to].parse::<i64>().expect("digits");
    ((part(11, 13) * 60 + part(14, 16)) * 60 + part(17, 19)) * 1000 + part(20, 23)
}

fn streams(protocol: &str) {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let subscriber = Subscriber::start(broker.port, None);
    let qualities = heard_as(broker.port, "glint/glint/au");
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let config =
        configure_with(dir.path(), &url, &format!("mqtt.protocol = \"{protocol}\"\nstream.au_hz = {HZ}"));
    let daemon = Daemon::start(start_command(&config), &Accepted::default());
    subscriber.wait("an event", 60, |s| !s.events("glint").is_empty());
    let event: Value = serde_json::from_str(&subscriber.contents("glint/glint/event")[0]).expect("JSON");
    // The movement lies behind us: all of its samples are there.
    let texts = subscriber.contents("glint/glint/au");
    assert!(texts.len() >= 20, "{} samples before the first event", texts.len());
    texts.iter().for_each(|text| schema::check("au", text));
    let samples: Vec<Value> = texts.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();

    let times: Vec<i64> = samples.iter().map(|s| s["at_ns"].as_i64().expect("a time")).collect();
    assert!(times.windows(2).all(|w| w[1] > w[0]), "in order");
    let seconds = (times[times.len() - 1] - times[0]) as f64 / 1e9;
    let rate = (times.len() - 1) as f64 / seconds;
    println!("MQTT {protocol}: {} samples, {rate:.2} a second", samples.len());
    assert!(rate <= 1.05 * HZ, "{rate} samples a second");

    // The clocks are those of the event.
    assert_eq!(samples[0]["boot_id"], event["data"]["clock"]["boot_id"]);
    let onset_ns = event["data"]["onset_ns"].as_i64().expect("a time");
    let offset_ns = event["data"]["offset_ns"].as_i64().expect("a time");
    let apart = |value: &Value, ns: i64| milliseconds(&value["time"]) - ns / 1_000_000;
    let day = 86_400_000;
    for (sample, at_ns) in samples.iter().zip(&times) {
        let error = (apart(sample, *at_ns) - apart(&event, onset_ns)).rem_euclid(day);
        assert!(error <= 5 || error >= day - 5, "time and at_ns of {sample} are not those of {event}");
    }
    let names: BTreeSet<String> = glint::au::UNITS.map(glint::au::Unit::label).into();
    let aus = |s: &Value| s["faces"][0]["aus"].as_object().cloned();
    let measured = samples.iter().filter_map(aus).next().expect("a face is measured");
    assert_eq!(measured.keys().cloned().collect::<BTreeSet<_>>(), names);
    let smile = |within: bool| {
        let chosen = samples.iter().zip(&times).filter(|(_, t)| (onset_ns..offset_ns).contains(*t) == within);
        chosen.filter_map(|(s, _)| s["faces"][0]["aus"]["AU12L"].as_f64()).fold(0.0, f64::max)
    };
    assert!(smile(true) > 0.4, "AU 12 rises to {} while it moves, and to {} else", smile(true), smile(false));

    assert!(!subscriber.any_retained("glint/glint/au"));
    let late = Subscriber::named("late", broker.port);
    late.wait("what is retained", 5, |s| !s.contents("glint/glint/capabilities").is_empty());
    assert!(!late.any_retained("glint/glint/au"));
    let qualities: Vec<QoS> =
        std::iter::from_fn(|| qualities.recv_timeout(Duration::from_millis(500)).ok()).take(20).collect();
    assert!(qualities.len() >= 10 && qualities.iter().all(|q| *q == QoS::AtMostOnce), "{qualities:?}");
    let capabilities = subscriber.contents("glint/glint/capabilities").pop().expect("capabilities");
    schema::check("capabilities", &capabilities);
    assert!(
        capabilities.contains("\"au_hz\":20.0") && capabilities.contains("\"stream.au_hz\":20.0"),
        "{capabilities}"
    );
    subscriber.wait("counts in health", 5, |s| {
        let report = s.contents("glint/glint/health").pop().unwrap_or_default();
        let report: Value = serde_json::from_str(&report).unwrap_or_default();
        report["au"]["sent"].as_u64().is_some_and(|n| n > 0)
    });
    assert_eq!(daemon.end("TERM"), Some(0));
}

#[test]
fn samples_have_the_clock_of_events_and_are_never_kept() {
    streams("3.1.1");
}

#[test]
fn the_same_with_mqtt_5() {
    streams("5");
}
