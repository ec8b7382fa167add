//! The text against the report, the form of Prometheus, and the files that name metrics.

use super::*;
use crate::daemon::outbox::losses::Lost;
use crate::daemon::runtime::report::{SCHEMA, Waiting};
use crate::daemon::runtime::stream::Streamed;
use glint::pipeline::Counters;

fn health() -> Health {
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
        au: Streamed { sent: 119, dropped: 120 },
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

fn text(health: &Health) -> String {
    let timing = Timing::default();
    timing.frame(0, 1_000_000, 4_000_000);
    super::text(&Exposition {
        health,
        timing: &timing,
        connected: true,
        connections: 117,
        memory_bytes: Some(118),
        version: "1.2.3",
    })
}

/// The value behind a name and its label.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

#[test]
fn the_text_says_what_the_report_says() {
    let text = text(&health());
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
        ("glint_frame_processing_seconds_bucket{le=\"0.002\"}", "0"),
        ("glint_frame_processing_seconds_bucket{le=\"0.005\"}", "1"),
        ("glint_frame_processing_seconds_bucket{le=\"+Inf\"}", "1"),
        ("glint_frame_processing_seconds_sum", "0.003"),
        ("glint_frame_latency_seconds_sum", "0.004"),
        ("glint_frame_latency_seconds_count", "1"),
        ("glint_broker_connected", "1"),
        ("glint_build_info{version=\"1.2.3\"}", "1"),
    ] {
        assert_eq!(value(&text, name), Some(expected), "{name}\n{text}");
    }
    // Every number of the report is there, but the count of a day, which the scraper makes itself.
    for number in (101..=120).filter(|n| *n != 106) {
        assert!(text.lines().any(|l| l.ends_with(&format!(" {number}"))), "{number}\n{text}");
    }
    assert!(!self::text(&Health { temperature_c: None, ..health() }).contains("celsius"));
}

#[test]
fn the_form_is_that_of_prometheus() {
    let text = text(&health());
    let mut described = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("two words");
            assert!(described.insert(name.to_owned()), "{name} twice");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        } else if !line.starts_with("# HELP ") {
            let (name, number) = line.rsplit_once(' ').expect("a value");
            let bare = name.split('{').next().expect("a part");
            let parts = ["_bucket", "_sum", "_count"];
            let whole = parts.iter().find_map(|part| bare.strip_suffix(part)).unwrap_or(bare);
            assert!(described.contains(bare) || described.contains(whole), "{line}");
            assert!(number.parse::<f64>().is_ok(), "{line}");
        }
    }
    // The page of the topics has these words, and no other.
    let page = include_str!("../../../../docs/reference/mqtt.md");
    let rows = page.lines().filter_map(|l| l.strip_prefix("| `")?.split_once("` |")).map(|(word, _)| word);
    let problems: Vec<&str> = rows
        .filter(|w| {
            w.starts_with("outbox_")
                || w.ends_with("_refused")
                || *w == "session_taken_over"
                || *w == "check_failed"
                || w.ends_with("_unusable")
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

/// The names of metrics in a text, without the endings of a histogram.
fn names(text: &str) -> std::collections::BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    text.split(|c| !is_part(c))
        .filter(|word| word.starts_with("glint_") || word.starts_with("process_"))
        .map(|word| word.strip_suffix("_bucket").unwrap_or(word))
        .collect()
}

#[test]
fn alerts_dashboard_and_guide_name_metrics_that_there_are() {
    let text = text(&health());
    let served: std::collections::BTreeSet<&str> =
        text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let guide = names(include_str!("../../../../docs/guide/observability.md"));
    assert_eq!(guide, served, "docs/guide/observability.md");
    for (file, text) in [
        ("alerts.yml", include_str!("../../../../examples/prometheus/alerts.yml")),
        ("glint.json", include_str!("../../../../examples/grafana/glint.json")),
    ] {
        let unknown: Vec<_> = names(text).difference(&served).copied().collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
        assert!(names(text).len() > 5, "{file}");
    }
    // Every problem that is no reason is one that an alert names.
    let alerts = include_str!("../../../../examples/prometheus/alerts.yml");
    for problem in
        PROBLEMS.iter().filter(|p| p.contains("_un") || p.ends_with("_refused") || p.ends_with("_full"))
    {
        assert!(alerts.contains(problem), "alerts.yml lacks {problem}");
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(include_str!("../../../../examples/grafana/glint.json")).expect("JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|p| p.len() > 10));
}
