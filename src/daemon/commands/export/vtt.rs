//! WebVTT: a caption a movement, for a player's text track.

use std::fmt::Write as _;

use super::{Content, milliseconds};
use crate::daemon::report::{kind_name, readings};

/// `HH:MM:SS.mmm`.
fn time(ms: i64) -> String {
    let (s, ms) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

/// Text of a caption or a note: no mark-up, no arrow, no line break.
fn plain(text: &str) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    one_line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The captions of a clip.
pub(super) fn document(content: &Content<'_>) -> String {
    let mut out = format!(
        "WEBVTT\n\nNOTE\nFacial movements in {}, measured by glintd {}. A facial movement is not an emotion.\n",
        plain(content.name),
        env!("CARGO_PKG_VERSION")
    );
    let several = content.has_several_faces();
    for (k, m) in content.movements().into_iter().enumerate() {
        let (onset, offset) = (milliseconds(m.onset_ns), milliseconds(m.offset_ns));
        let face = if several { format!("face {}: ", m.track) } else { String::new() };
        _ = write!(
            out,
            "\n{}\n{} --> {}\n{}\n",
            k + 1,
            time(onset),
            // A cue ends after it has begun.
            time(offset.max(onset + 1)),
            plain(&format!("{face}{}: {}", kind_name(m.kind), readings(&m.aus)))
        );
    }
    out
}
