//! EDF+: a file of annotations alone, as sleep scorings are exchanged. An annotation a movement.
//!
//! Kemp and Olivan, "European data format 'plus' (EDF+)", Clinical Neurophysiology 114 (2003).

use std::fmt::Write as _;

use glint::au;
use glint::event::Movement;

use super::Content;
use crate::daemon::report::kind_name;

/// Bytes of a data record. The format asks for 61440 at most. The list of one movement, with all 20 action units in it, has
/// under 200.
const RECORD: usize = 4096;
/// Ends onset and duration, and each text.
const END: char = '\u{14}';
/// Divides onset from duration.
const DURATION: char = '\u{15}';
/// The list that begins each record and tells its time: without signals it is that of the file.
const TIME: &str = "+0\u{14}\u{14}\0";

/// Seconds with a sign, as the format writes times.
fn seconds(ns: i64) -> String {
    format!("{:.6}", ns as f64 / 1e9)
}

/// The list of one movement: onset, duration, and a text as `micro/AU12/AU06L`, whose parts MNE takes as tags.
fn list(m: &Movement, several_faces: bool) -> String {
    let mut text = kind_name(m.kind).to_owned();
    m.aus.iter().for_each(|r| text += &format!("/{}", au::label(r.au, r.side)));
    if several_faces {
        _ = write!(text, "/face{}", m.track);
    }
    let duration = seconds(m.offset_ns - m.onset_ns);
    format!("+{}{DURATION}{duration}{END}{text}{END}\0", seconds(m.onset_ns.max(0)))
}

/// Text of the header, ASCII and padded to its field.
fn field(out: &mut Vec<u8>, text: &str, width: usize) {
    let printable = text.chars().map(|c| if (' '..='~').contains(&c) { c as u8 } else { b'_' });
    let mut bytes: Vec<u8> = printable.take(width).collect();
    bytes.resize(width, b' ');
    out.extend(bytes);
}

/// The file.
pub(super) fn file(content: &Content<'_>) -> Vec<u8> {
    let several = content.has_several_faces();
    let mut records = vec![TIME.to_owned()];
    for m in content.movements() {
        let list = list(m, several);
        match records.last_mut() {
            Some(last) if last.len() + list.len() <= RECORD => last.push_str(&list),
            _ => records.push(format!("{TIME}{list}")),
        }
    }
    let mut out = Vec::new();
    // Patient and start are not known, and the format has words for that.
    field(&mut out, "0", 8);
    field(&mut out, "X X X X", 80);
    field(&mut out, &format!("Startdate X X X glintd_{}", env!("CARGO_PKG_VERSION")), 80);
    field(&mut out, "01.01.85", 8);
    field(&mut out, "00.00.00", 8);
    field(&mut out, "512", 8);
    field(&mut out, "EDF+C", 44);
    field(&mut out, &records.len().to_string(), 8);
    // Without a signal a record lasts no time.
    field(&mut out, "0", 8);
    field(&mut out, "1", 4);
    for (text, width) in [
        ("EDF Annotations", 16),
        ("", 80),
        ("", 8),
        ("-1", 8),
        ("1", 8),
        ("-32768", 8),
        ("32767", 8),
        ("", 80),
    ] {
        field(&mut out, text, width);
    }
    field(&mut out, &(RECORD / 2).to_string(), 8);
    field(&mut out, "", 32);
    for record in records {
        let mut bytes = record.into_bytes();
        bytes.resize(RECORD, 0);
        out.extend(bytes);
    }
    out
}
