//! The report of `health` as Prometheus text (exposition format 0.0.4), with the times of frames and the broker's
//! connection: the same state, for those who scrape.

use std::fmt::Write as _;

use super::report::{Health, Phase};
use super::timing::{BOUNDS_MS, Counted, Timing};

/// Kind of a metric.
#[derive(Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// What the text is made of.
pub(crate) struct Exposition<'a> {
    /// What `health` says.
    pub(crate) health: &'a Health,
    /// Times of frames.
    pub(crate) timing: &'a Timing,
    /// Whether the broker listens.
    pub(crate) connected: bool,
    /// Connections to the broker since the start; all but the first are reconnects.
    pub(crate) connections: u64,
    /// Resident memory of the process in bytes, where it can be read.
    pub(crate) memory_bytes: Option<u64>,
    /// Version of glintd.
    pub(crate) version: &'a str,
}

/// A text that is made metric by metric.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
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
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        self.head(name, kind, help);
        for (word, value) in values {
            _ = writeln!(self.0, "{name}{{{label}=\"{word}\"}} {value}");
        }
    }

    fn histogram(&mut self, name: &str, help: &str, counted: &Counted) {
        self.head(name, Kind::Histogram, help);
        for (ms, n) in BOUNDS_MS.iter().zip(counted.cumulated) {
            _ = writeln!(self.0, "{name}_bucket{{le=\"{}\"}} {n}", *ms as f64 / 1000.0);
        }
        let Counted { count, sum_s, .. } = counted;
        _ = write!(
            self.0,
            "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum_s}\n{name}_count {count}\n"
        );
    }
}

/// Every reason and problem that the topics `state` and `health` have a word for.
const PROBLEMS: [&str; 19] = [
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
    "reports_refused",
    "check_failed",
    "page_unusable",
    "audit_unusable",
    "models_unusable",
];

/// The report as text.
pub(crate) fn text(report: &Exposition<'_>) -> String {
    let mut page = Page(String::new());
    page.head("glint_build_info", Kind::Gauge, "1, with the version of glintd.");
    _ = writeln!(page.0, "glint_build_info{{version=\"{}\"}} 1", report.version);
    device(&mut page, report);
    frames(&mut page, report);
    movements(&mut page, report.health);
    broker(&mut page, report);
    page.0
}

/// What the device does.
fn device(page: &mut Page, report: &Exposition<'_>) {
    use Kind::Gauge;
    let health = report.health;
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
    if let Some(celsius) = health.temperature_c {
        page.one("glint_temperature_celsius", Gauge, "Temperature of the processor.", celsius);
    }
    if let Some(bytes) = report.memory_bytes {
        page.one("process_resident_memory_bytes", Gauge, "Resident memory size in bytes.", bytes as f64);
    }
}

/// Rate and times of frames.
fn frames(page: &mut Page, report: &Exposition<'_>) {
    use Kind::{Counter, Gauge};
    let (health, c) = (report.health, &report.health.counters);
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
            ("gap", c.gaps as f64),
        ],
    );
    page.labelled(
        "glint_frames_by_sight_total",
        Counter,
        "Frames by what was seen in them; one may count more than once.",
        "sight",
        [
            ("face", c.frames_with_face as f64),
            ("repeated", c.frames_repeated as f64),
            ("moving", c.frames_moving as f64),
            ("dark", c.frames_dark as f64),
            ("slow", c.frames_slow as f64),
            ("gate_open", c.gate_open as f64),
        ],
    );
    page.histogram(
        "glint_frame_processing_seconds",
        "Time that the pipeline takes for a frame.",
        &report.timing.processing.read(),
    );
    page.histogram(
        "glint_frame_latency_seconds",
        "Time from the stamp of a frame to the end of the pipeline.",
        &report.timing.latency.read(),
    );
}

/// Events and rejected candidates.
fn movements(page: &mut Page, health: &Health) {
    use Kind::Counter;
    let c = &health.counters;
    page.labelled(
        "glint_events_total",
        Counter,
        "Events by kind.",
        "kind",
        [
            ("micro", c.events_micro as f64),
            ("macro", c.events_macro as f64),
            ("blink", c.events_blink as f64),
        ],
    );
    page.one("glint_events_accepted_total", Counter, "Events taken into the outbox.", health.events as f64);
    page.labelled(
        "glint_candidates_rejected_total",
        Counter,
        "Rejected candidates by cause.",
        "cause",
        c.rejected().into_iter().map(|(cause, n)| (cause, n as f64)),
    );
}

/// The outbox and the broker.
fn broker(page: &mut Page, report: &Exposition<'_>) {
    use Kind::{Counter, Gauge};
    let outbox = &report.health.outbox;
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
        ],
    );
    page.one(
        "glint_events_refused_total",
        Counter,
        "How often the broker refused an event.",
        outbox.refused as f64,
    );
    let connected = f64::from(u8::from(report.connected));
    page.one("glint_broker_connected", Gauge, "1 while the broker is connected.", connected);
    page.one(
        "glint_broker_connections_total",
        Counter,
        "Connections to the broker; all but the first are reconnects.",
        report.connections as f64,
    );
    let au = report.health.au;
    page.labelled(
        "glint_au_samples_total",
        Counter,
        "Samples of the topic au: handed to the connection, or dropped where it had no room.",
        "result",
        [("sent", au.sent as f64), ("dropped", au.dropped as f64)],
    );
}

#[cfg(test)]
mod tests;
