//! ELAN: an annotation document (EAF 3.0) with a tier for each action unit and side, one for the kind of each movement and
//! one for its phases.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use glint::au;
use glint::drawing::escape;

use super::{Content, milliseconds};
use crate::daemon::report::{kind_name, readings};

/// An annotation: from, to (ms), and what it says.
type Annotation = (i64, i64, String);

/// Tiers in their order: that of kinds, that of phases, then units.
#[derive(Default)]
struct Tiers(BTreeMap<(u32, u8, String), Vec<Annotation>>);

impl Tiers {
    /// Puts an annotation on the tier `name` of a face. ELAN allows no overlap on a tier, so what overlaps goes to another
    /// one of the same name and a number.
    fn put(&mut self, face: u32, rank: u8, name: &str, annotation: Annotation) {
        let (from, to, words) = annotation;
        if to <= from {
            return;
        }
        let names = (1..).map(|k| if k == 1 { name.to_owned() } else { format!("{name} ({k})") });
        for name in names {
            let tier = self.0.entry((face, rank, name)).or_default();
            if tier.last().is_none_or(|(_, end, _)| *end <= from) {
                tier.push((from, to, words));
                return;
            }
        }
    }
}

fn tiers(content: &Content<'_>) -> Tiers {
    let mut tiers = Tiers::default();
    let several = content.has_several_faces();
    // Movements come by onset, so that each tier is filled from left to right.
    for m in content.movements() {
        let face = if several { m.track } else { 0 };
        let [onset, apex, offset] = [m.onset_ns, m.apex_ns, m.offset_ns].map(milliseconds);
        let kind = kind_name(m.kind);
        tiers.put(face, 0, "movement", (onset, offset, format!("{kind}: {}", readings(&m.aus))));
        tiers.put(face, 1, "phase", (onset, apex, "onset".into()));
        tiers.put(face, 1, "phase", (apex, offset, "offset".into()));
        for reading in &m.aus {
            let letter = reading.level.map_or_else(String::new, |letter| format!(" {letter}"));
            let words = format!("{:.2}{letter}", reading.intensity);
            tiers.put(face, 2, &au::label(reading.au, reading.side), (onset, offset, words));
        }
    }
    tiers
}

/// Bytes that need no escape in the path of a URL.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte)
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// The element that links the video, so that ELAN opens it: none where the clip is no file.
fn media(content: &Content<'_>, beside: &Path) -> String {
    let Ok(path) = content.clip.canonicalize() else {
        if content.clip == Path::new("-") {
            return String::new();
        }
        let address = escape(content.name);
        return format!("        <MEDIA_DESCRIPTOR MEDIA_URL=\"{address}\" MIME_TYPE=\"unknown\"/>\n");
    };
    let ending = path.extension().map(|e| e.to_ascii_lowercase());
    // The types that ELAN knows; it looks at the file itself for any other.
    let kind = match ending.as_deref().and_then(|e| e.to_str()) {
        Some("mp4") => "video/mp4",
        Some("mov") => "video/quicktime",
        Some("mpg" | "mpeg") => "video/mpeg",
        _ => "unknown",
    };
    let url = percent(&path.to_string_lossy());
    let beside = if beside == Path::new("") { Path::new(".") } else { beside };
    let is_beside = beside.canonicalize().is_ok_and(|folder| path.parent() == Some(&folder));
    let relative = match path.file_name().filter(|_| is_beside) {
        Some(name) => format!(" RELATIVE_MEDIA_URL=\"./{}\"", percent(&name.to_string_lossy())),
        None => String::new(),
    };
    format!("        <MEDIA_DESCRIPTOR MEDIA_URL=\"file://{url}\" MIME_TYPE=\"{kind}\"{relative}/>\n")
}

/// The document, to lie in the folder `beside`, written at `date` (RFC 3339).
pub(super) fn document(content: &Content<'_>, beside: &Path, date: &str) -> String {
    let tiers = tiers(content);
    let all: Vec<&Annotation> = tiers.0.values().flatten().collect();
    // Each annotation has time slots of its own: to move one in ELAN moves no other.
    let mut edges: Vec<(i64, usize)> =
        all.iter().enumerate().flat_map(|(k, (from, to, _))| [(*from, 2 * k), (*to, 2 * k + 1)]).collect();
    edges.sort_unstable();
    let mut slots = vec![0; edges.len()];
    edges.iter().enumerate().for_each(|(n, (_, edge))| slots[*edge] = n + 1);
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ANNOTATION_DOCUMENT AUTHOR=\"glintd {}\" DATE=\"{date}\" FORMAT=\"3.0\" VERSION=\"3.0\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:noNamespaceSchemaLocation=\"http://www.mpi.nl/tools/elan/EAFv3.0.xsd\">\n    \
         <HEADER MEDIA_FILE=\"\" TIME_UNITS=\"milliseconds\">\n{}        \
         <PROPERTY NAME=\"lastUsedAnnotationId\">{count}</PROPERTY>\n    </HEADER>\n    <TIME_ORDER>\n",
        env!("CARGO_PKG_VERSION"),
        media(content, beside),
        count = all.len()
    );
    for (k, (ms, _)) in edges.iter().enumerate() {
        _ = writeln!(out, "        <TIME_SLOT TIME_SLOT_ID=\"ts{}\" TIME_VALUE=\"{ms}\"/>", k + 1);
    }
    out.push_str("    </TIME_ORDER>\n");
    let mut id = 0;
    for ((face, rank, name), annotations) in &tiers.0 {
        let (name, participant) = match face {
            0 => (name.clone(), String::new()),
            n => (format!("{name}@face {n}"), format!(" PARTICIPANT=\"face {n}\"")),
        };
        let kind = ["movement", "phase", "action unit"][usize::from(*rank)];
        _ = writeln!(
            out,
            "    <TIER ANNOTATOR=\"glintd\" LINGUISTIC_TYPE_REF=\"{kind}\"{participant} TIER_ID=\"{name}\">"
        );
        for (_, _, words) in annotations {
            let (from, to) = (slots[2 * id], slots[2 * id + 1]);
            id += 1;
            _ = write!(
                out,
                "        <ANNOTATION>\n            <ALIGNABLE_ANNOTATION ANNOTATION_ID=\"a{id}\" \
                 TIME_SLOT_REF1=\"ts{from}\" TIME_SLOT_REF2=\"ts{to}\">\n                \
                 <ANNOTATION_VALUE>{}</ANNOTATION_VALUE>\n            </ALIGNABLE_ANNOTATION>\n        \
                 </ANNOTATION>\n",
                escape(words)
            );
        }
        out.push_str("    </TIER>\n");
    }
    for kind in ["movement", "phase", "action unit"] {
        _ = writeln!(
            out,
            "    <LINGUISTIC_TYPE GRAPHIC_REFERENCES=\"false\" LINGUISTIC_TYPE_ID=\"{kind}\" TIME_ALIGNABLE=\"true\"/>"
        );
    }
    out.push_str("</ANNOTATION_DOCUMENT>\n");
    out
}
