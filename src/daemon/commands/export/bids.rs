//! BIDS: `events.tsv`, a row a movement, and the JSON file that describes its columns.

use std::fmt::Write as _;

use glint::au;
use glint::event::{AuReading, Movement, TimingQuality};
use serde_json::json;

use super::Content;
use crate::daemon::report::kind_name;

const COLUMNS: [&str; 10] = [
    "onset",
    "duration",
    "trial_type",
    "apex",
    "face_id",
    "aus",
    "intensities",
    "levels",
    "timing_quality",
    "track_quality",
];

/// What BIDS writes where there is no value.
const NONE: &str = "n/a";

fn list(m: &Movement, one: impl Fn(&AuReading) -> String) -> String {
    if m.aus.is_empty() { NONE.into() } else { m.aus.iter().map(one).collect::<Vec<_>>().join(";") }
}

/// The table, by onset as BIDS wants it.
pub(super) fn table(content: &Content<'_>) -> String {
    let mut out = COLUMNS.join("\t") + "\n";
    let seconds = |ns: i64| ns as f64 / 1e9;
    for m in content.movements() {
        let timing = match m.timing_quality {
            TimingQuality::Good => "good",
            TimingQuality::Degraded => "degraded",
        };
        _ = writeln!(
            out,
            "{:.6}\t{:.6}\t{}\t{:.6}\t{}\t{}\t{}\t{}\t{timing}\t{:.2}",
            seconds(m.onset_ns),
            seconds(m.offset_ns - m.onset_ns),
            kind_name(m.kind),
            seconds(m.apex_ns),
            m.track,
            list(m, |r| au::label(r.au, r.side)),
            list(m, |r| format!("{:.2}", r.intensity)),
            list(m, |r| r.level.map_or_else(|| NONE.into(), String::from)),
            m.track_quality
        );
    }
    out
}

/// What each column holds.
pub(super) fn sidecar() -> String {
    let described = json!({
        "onset": { "Description": "Onset of the movement, in the presentation time of the video", "Units": "s" },
        "duration": { "Description": "From the onset to the offset of the movement", "Units": "s" },
        "trial_type": {
            "Description": "Kind of the movement",
            "Levels": {
                "micro": "Micro-expression: 40 to 500 ms from onset to offset",
                "macro": "Longer than a micro-expression",
                "blink": "AU 45 alone",
            },
        },
        "apex": { "Description": "Greatest extent of the movement, in the presentation time of the video", "Units": "s" },
        "face_id": { "Description": "Number of the face, as long as it stays in view" },
        "aus": {
            "LongName": "Action units",
            "Description": "FACS action units, the strongest first, divided by semicolons. L or R: the subject's left or \
                            right side alone; no letter: both sides, or a unit that FACS does not score by side",
        },
        "intensities": {
            "Description": "Intensity of each of these units at the apex, 0 to 5, above the person's own neutral face",
        },
        "levels": { "Description": "FACS letter of each intensity, A to E; n/a below A" },
        "timing_quality": {
            "Description": "Whether the frame rate supports the times",
            "Levels": { "good": "At least 45 frames/s, evenly spaced", "degraded": "Under 45 frames/s, or jitter" },
        },
        "track_quality": { "Description": "How still the face was held by the registration, 0 to 1" },
    });
    // Objects, strings and numbers: serialisation has no way to fail.
    serde_json::to_string_pretty(&described).unwrap_or_default() + "\n"
}
