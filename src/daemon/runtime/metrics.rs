//! The report of `health` as Prometheus text (exposition format 0.0.4): the same state, for those who scrape.

use std::fmt::Write as _;

use super::report::{Health, Phase};

/// Kind of a metric.
#[derive(Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
}

/// A text that is made metric by metric.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        // Writing into a string cannot fail.
        _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn one(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.head(name, kind, help);
        _ = writeln!(self.0, "{name} {value}");
    }

    fn labelled<'a>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'a str, f64)>,
    ) {
        self.head(name, kind, help);
        for (word, value) in values {
            _ = writeln!(self.0, "{name}{{{label}=\"{word}\"}} {value}");
        }
    }
}

/// Every reason and problem that the topics `state` and `health` have a word for.
const PROBLEMS: [&str; 15] = [
    "no_camera",
    "no_face",
    "too_small",
    "too_dark",
    "too_fast",
    "fps_low",
    "flicker",
    "outbox_full",
    "outbox_unusable",
    "outbox_left_behind",
    "broker_refused",
    "session_taken_over",
    "events_refused",
    "commands_refused",
    "check_failed",
];

/// The report as text.
pub(crate) fn text(health: &Health) -> String {
    use Kind::{Counter, Gauge};
    let mut page = Page(String::new());
    let phases = [Phase::Waiting, Phase::Streaming, Phase::Pausing, Phase::Paused, Phase::Stopped];
    page.labelled(
        "glint_state",
        Gauge,
        "1 for what the device does.",
        "state",
        phases.iter().map(|p| (p.as_str(), f64::from(u8::from(*p == health.state)))),
    );
    page.labelled(
        "glint_problem",
        Gauge,
        "1 for each reason and problem that health names.",
        "problem",
        PROBLEMS.iter().map(|word| (*word, f64::from(u8::from(health.problems.contains(word))))),
    );
    page.one("glint_uptime_seconds", Gauge, "Seconds since the start.", health.uptime_s as f64);
    page.one("glint_frames_per_second", Gauge, "Measured rate.", health.fps);
    page.one(
        "glint_frame_jitter_ratio",
        Gauge,
        "Mean deviation of the frame interval, as its share.",
        health.jitter,
    );
    page.one("glint_frames_total", Counter, "Frames seen.", health.frames as f64);
    page.labelled(
        "glint_frames_lost_total",
        Counter,
        "Frames that were not measured.",
        "cause",
        [
            ("dropped", health.frames_dropped as f64),
            ("damaged", health.frames_damaged as f64),
            ("gap", health.counters.gaps as f64),
        ]
        .into_iter(),
    );
    let c = &health.counters;
    page.labelled(
        "glint_frames_by_sight_total",
        Counter,
        "Frames by what was seen in them; one may count more than once.",
        "sight",
        [
            ("face", c.frames_with_face as f64),
            ("moving", c.frames_moving as f64),
            ("dark", c.frames_dark as f64),
            ("slow", c.frames_slow as f64),
            ("gate_open", c.gate_open as f64),
        ]
        .into_iter(),
    );
    page.labelled(
        "glint_events_total",
        Counter,
        "Events by kind.",
        "kind",
        [
            ("micro", c.events_micro as f64),
            ("macro", c.events_macro as f64),
            ("blink", c.events_blink as f64),
        ]
        .into_iter(),
    );
    page.one("glint_events_accepted_total", Counter, "Events taken into the outbox.", health.events as f64);
    page.labelled(
        "glint_candidates_rejected_total",
        Counter,
        "Rejected candidates by cause.",
        "cause",
        c.rejected().into_iter().map(|(cause, n)| (cause, n as f64)),
    );
    let outbox = &health.outbox;
    page.one("glint_outbox_events", Gauge, "Events that wait for the broker.", outbox.events as f64);
    page.one("glint_outbox_bytes", Gauge, "Their size in bytes of JSON.", outbox.bytes as f64);
    let lost = outbox.lost;
    page.labelled(
        "glint_outbox_lost_total",
        Counter,
        "Events that were given up, over restarts too.",
        "cause",
        [
            ("age", lost.by_age as f64),
            ("size", lost.by_size as f64),
            ("purged", lost.purged as f64),
            ("damaged", lost.damaged as f64),
        ]
        .into_iter(),
    );
    page.one(
        "glint_events_refused_total",
        Counter,
        "How often the broker refused an event.",
        outbox.refused as f64,
    );
    if let Some(celsius) = health.temperature_c {
        page.one("glint_temperature_celsius", Gauge, "Temperature of the processor.", celsius);
    }
    page.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::outbox::losses::Lost;
    use crate::daemon::runtime::report::{SCHEMA, Waiting};
    use glint::pipeline::Counters;

    fn report() -> Health {
        Health {
            schema: SCHEMA,
            state: Phase::Streaming,
            problems: vec!["too_dark"],
            uptime_s: 101,
            fps: 29.5,
            jitter: 0.125,
            frames: 102,
            frames_dropped: 103,
            frames_damaged: 104,
            events: 105,
            events_day: 106,
            counters: Counters {
                frames: 102,
                gaps: 107,
                events_micro: 108,
                rejected_noise: 109,
                ..Counters::default()
            },
            outbox: Waiting {
                events: 110,
                bytes: 111,
                lost: Lost { by_age: 112, by_size: 113, purged: 114, damaged: 115 },
                refused: 116,
            },
            temperature_c: Some(48.5),
        }
    }

    /// The value behind a name and its label.
    fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
    }

    #[test]
    fn the_text_says_what_the_report_says() {
        let text = text(&report());
        for (name, expected) in [
            ("glint_state{state=\"streaming\"}", "1"),
            ("glint_state{state=\"paused\"}", "0"),
            ("glint_problem{problem=\"too_dark\"}", "1"),
            ("glint_problem{problem=\"outbox_full\"}", "0"),
            ("glint_frames_per_second", "29.5"),
            ("glint_frame_jitter_ratio", "0.125"),
            ("glint_temperature_celsius", "48.5"),
            ("glint_events_total{kind=\"micro\"}", "108"),
            ("glint_candidates_rejected_total{cause=\"noise\"}", "109"),
            ("glint_outbox_lost_total{cause=\"damaged\"}", "115"),
        ] {
            assert_eq!(value(&text, name), Some(expected), "{name}\n{text}");
        }
        // Every number of the report is there, but the count of a day, which the scraper makes itself.
        for number in (101..=116).filter(|n| *n != 106) {
            assert!(text.lines().any(|l| l.ends_with(&format!(" {number}"))), "{number}\n{text}");
        }
        assert!(!self::text(&Health { temperature_c: None, ..report() }).contains("celsius"));
    }

    #[test]
    fn the_form_is_that_of_prometheus() {
        let text = text(&report());
        let mut described = std::collections::BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("two words");
                assert!(described.insert(name.to_owned()), "{name} twice");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            } else if !line.starts_with("# HELP ") {
                let (name, number) = line.rsplit_once(' ').expect("a value");
                let bare = name.split('{').next().expect("a part");
                assert!(described.contains(bare), "{line}");
                assert!(number.parse::<f64>().is_ok(), "{line}");
            }
        }
        // The page of the topics has these words, and no other.
        let page = include_str!("../../../docs/mqtt.md");
        let rows =
            page.lines().filter_map(|l| l.strip_prefix("| `")?.split_once("` |")).map(|(word, _)| word);
        let problems: Vec<&str> = rows
            .filter(|w| {
                w.starts_with("outbox_")
                    || w.ends_with("_refused")
                    || *w == "session_taken_over"
                    || *w == "check_failed"
            })
            .collect();
        assert!(problems.len() >= 8, "{problems:?}");
        assert!(problems.iter().all(|word| PROBLEMS.contains(word)), "{problems:?}");
        assert!(PROBLEMS.iter().all(|word| page.contains(&format!("`{word}`"))));
        let promtool = std::process::Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(std::process::Stdio::piped())
            .spawn();
        let Ok(mut promtool) = promtool else {
            eprintln!("skipped in part: promtool is not installed");
            return;
        };
        use std::io::Write;
        promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("taken");
        assert!(promtool.wait().expect("ends").success());
    }
}
