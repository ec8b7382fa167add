//! The figure: marks of events and candidates, a lane for each action unit, and how well it could be measured.

use std::collections::BTreeMap;

use glint::canvas::GRID;
use glint::drawing::{Anchor, Drawing, LETTER, Shape};
use glint::event::{AuReading, Kind, Movement};

use super::lanes::{Lane, Lanes};
use super::scale::Span;
use super::{Record, kind_name, readings, seconds};
use crate::daemon::summary::Concluded;

/// Room for the names of the lanes, and for the letters of FACS.
const LEFT: f32 = 208.0;
const RIGHT: f32 = 28.0;
/// Width of the traces of a whole clip, and of a close-up.
const WHOLE: f32 = 1000.0;
const NEAR: f32 = 480.0;
/// What a close-up shows before the onset and after the offset.
const AROUND_NS: i64 = 400_000_000;
/// Height of a row of marks. Events have so many rows, and rejected candidates too: neighbours do not cover each other.
const MARK: f32 = 8.0;
const ROWS: usize = 3;
/// More rejected candidates than this are joined where they share a place, so many pixels wide: half an hour of a restless face
/// has ten thousand of them.
const MOST_MARKS: usize = 2000;
const JOINED: f32 = 2.0;
/// Events that take more than this share of the width have their marks alone: shading would cover the traces.
const MOST_SHADED: f32 = 0.3;
/// Height of all marks and the room below them.
const MARKS: f32 = 2.0 * ROWS as f32 * MARK + 28.0;

/// Shading, and lines at onset, apex and offset.
const MICRO: ([u8; 3], [u8; 3]) = ([255, 240, 178], [196, 146, 0]);
const MACRO: ([u8; 3], [u8; 3]) = ([221, 238, 221], [70, 140, 70]);
const BLINK: ([u8; 3], [u8; 3]) = ([236, 236, 236], [150, 150, 150]);
const REJECTED: [u8; 3] = [170, 110, 170];

fn colors(kind: Kind) -> ([u8; 3], [u8; 3]) {
    match kind {
        Kind::Micro => MICRO,
        Kind::Macro => MACRO,
        Kind::Blink => BLINK,
    }
}

/// The figure of a whole clip.
pub(crate) fn whole(record: &Record, title: &str) -> Drawing {
    let span = Span { x: (LEFT, LEFT + WHOLE), ns: record.span() };
    let mut shapes = vec![Shape::text((8.0, 18.0), title, Anchor::Start)];
    shapes.extend(legend(36.0));
    let mut lanes = Lanes::new(span, 48.0 + MARKS);
    let units = record.moving();
    units.iter().for_each(|k| lanes.unit(record, *k));
    if units.is_empty() {
        let is_seen = record.rows.iter().any(|row| row.face.is_some());
        let words = "No action unit reached A (0.5), and no movement was found.";
        lanes.note(if is_seen { words } else { "No face was found." });
    }
    let bottom = lanes.bottom();
    for lane in [Lane::Quality, Lane::HeadMotion, Lane::Light, Lane::Rate] {
        lanes.measured(record, lane);
    }
    lanes.states(record);
    finish(record, span, shapes, lanes, bottom, ["event", "rejected"])
}

/// The figure of one movement: the action units that take part in it, in every frame.
pub(super) fn near(record: &Record, event: &Movement) -> Drawing {
    let (first, last) = record.span();
    let ns = ((event.onset_ns - AROUND_NS).max(first), (event.offset_ns + AROUND_NS).min(last));
    let span = Span { x: (LEFT, LEFT + NEAR), ns };
    let mut lanes = Lanes::new(span, 12.0 + MARKS);
    let mut units: Vec<usize> = event.aus.iter().filter_map(|r| glint::au::au_index(r.au)).collect();
    units.sort_unstable();
    units.iter().for_each(|k| lanes.unit(record, *k));
    let bottom = lanes.bottom();
    finish(record, span, Vec::new(), lanes, bottom, ["near", "near"])
}

/// Puts shading under the lanes, and marks and the time axis around them. `bottom`: where the shading ends.
fn finish(
    record: &Record,
    span: Span,
    mut shapes: Vec<Shape>,
    lanes: Lanes,
    bottom: f32,
    classes: [&'static str; 2],
) -> Drawing {
    let (top, height) = (lanes.top, lanes.bottom() + 40.0);
    let (mut event_marks, mut rejected_marks) =
        (Marks::new(top - MARKS + 8.0), Marks::new(top - MARKS / 2.0 + 4.0));
    shapes.push(Shape::text((8.0, event_marks.top + 2.0 * MARK), "events", Anchor::Start));
    shapes.push(Shape::text((8.0, rejected_marks.top + 2.0 * MARK), "rejected", Anchor::Start));
    let events: Vec<&Movement> =
        record.events.iter().filter(|e| span.shows(e.onset_ns, e.offset_ns)).collect();
    let width = |e: &&Movement| {
        let (a, b) = extent(span, e.onset_ns, e.offset_ns);
        b - a
    };
    let is_dense = events.iter().map(width).sum::<f32>() > MOST_SHADED * (span.x.1 - span.x.0);
    let shaded = (!is_dense).then_some((top, bottom));
    for e in events {
        let mark = event_marks.place(extent(span, e.onset_ns, e.offset_ns));
        shapes.push(event(e, span, mark, shaded, classes[0]));
    }
    let shown: Vec<&Concluded> =
        record.rejected.iter().filter(|c| span.shows(c.onset_ns, c.offset_ns)).collect();
    for ((a, b), title) in rejected(&shown, span) {
        let y = rejected_marks.place((a, b));
        let mark = Shape::Fill { from: (a, y), to: (b, y + MARK - 2.0), color: REJECTED };
        shapes.push(Shape::Group { class: classes[1], title, shapes: vec![mark] });
    }
    let mut axis = Vec::new();
    let foot = lanes.bottom();
    for (ns, label) in span.ticks() {
        let x = span.at(ns);
        axis.push(vec![(x, top), (x, foot + 4.0)]);
        shapes.push(Shape::text((x, foot + 16.0), label, Anchor::Middle));
    }
    shapes.push(Shape::text(((span.x.0 + span.x.1) / 2.0, foot + 32.0), "time (s)", Anchor::Middle));
    // The pointer finds the events below the traces.
    let mut traces = vec![Shape::Path { lines: axis, color: GRID, width: 1.0 }];
    traces.extend(lanes.shapes);
    shapes.push(Shape::Group { class: "traces", title: String::new(), shapes: traces });
    shapes.extend(lanes.titled);
    Drawing { width: span.x.1 + RIGHT, height, shapes }
}

/// Columns and words of each rejected candidate, or of all that share a place where there are too many.
fn rejected(shown: &[&Concluded], span: Span) -> Vec<((f32, f32), String)> {
    let one = |c: &Concluded| {
        let title = format!("rejected: {}. {}", c.cause, times(c.onset_ns, c.apex_ns, c.offset_ns, &c.aus));
        (extent(span, c.onset_ns, c.offset_ns), title)
    };
    if shown.len() <= MOST_MARKS {
        return shown.iter().map(|c| one(c)).collect();
    }
    let mut places: BTreeMap<i64, Vec<&Concluded>> = BTreeMap::new();
    for c in shown {
        let middle = span.at(c.onset_ns / 2 + c.offset_ns / 2);
        places.entry((middle / JOINED) as i64).or_default().push(c);
    }
    let joined = |(place, all): (&i64, &Vec<&Concluded>)| {
        if let [only] = all[..] {
            return one(only);
        }
        let mut causes: BTreeMap<&str, usize> = BTreeMap::new();
        all.iter().for_each(|c| *causes.entry(c.cause).or_default() += 1);
        let causes: Vec<String> = causes.iter().map(|(cause, n)| format!("{cause} {n}")).collect();
        let first = all.iter().map(|c| c.onset_ns).min().unwrap_or(0);
        let last = all.iter().map(|c| c.offset_ns).max().unwrap_or(0);
        let x = *place as f32 * JOINED;
        let words = format!("{} rejected, {:.3} to {:.3} s", all.len(), seconds(first), seconds(last));
        ((x, x + JOINED), format!("{words}: {}", causes.join(", ")))
    };
    places.iter().map(joined).collect()
}

/// Rows of marks under construction.
struct Marks {
    /// Upper edge of the first row.
    top: f32,
    /// Where the last mark of each row ends.
    ends: [f32; ROWS],
}

impl Marks {
    fn new(top: f32) -> Self {
        Self { top, ends: [0.0; ROWS] }
    }

    /// The upper edge of the row for a mark: the first one with room, else the one that has ended first.
    fn place(&mut self, (a, b): (f32, f32)) -> f32 {
        let free = self.ends.iter().position(|end| *end <= a);
        let row = free.unwrap_or_else(|| {
            let by_end = |x: &usize, y: &usize| self.ends[*x].total_cmp(&self.ends[*y]);
            (0..ROWS).min_by(by_end).unwrap_or(0)
        });
        self.ends[row] = self.ends[row].max(b);
        self.top + row as f32 * MARK
    }
}

/// Columns from onset to offset, wide enough to be seen and to be pointed at.
fn extent(span: Span, onset_ns: i64, offset_ns: i64) -> (f32, f32) {
    let (a, b) = (span.at(onset_ns), span.at(offset_ns));
    if b - a < 2.0 { ((a + b) / 2.0 - 1.0, (a + b) / 2.0 + 1.0) } else { (a, b) }
}

fn times(onset_ns: i64, apex_ns: i64, offset_ns: i64, aus: &[AuReading]) -> String {
    let [onset, apex, offset] = [onset_ns, apex_ns, offset_ns].map(seconds);
    format!("Onset {onset:.3} s, apex {apex:.3} s, offset {offset:.3} s. {}", readings(aus))
}

/// An event: its mark, and where `shaded` the stretch of all lanes, thin lines at onset and offset, a thick one at the apex.
fn event(e: &Movement, span: Span, mark: f32, shaded: Option<(f32, f32)>, class: &'static str) -> Shape {
    let (pale, strong) = colors(e.kind);
    let (a, b) = extent(span, e.onset_ns, e.offset_ns);
    let apex = span.at(e.apex_ns);
    let mut shapes = vec![Shape::Fill { from: (a, mark), to: (b, mark + MARK - 2.0), color: strong }];
    if let Some((top, bottom)) = shaded {
        shapes.push(Shape::Fill { from: (a, top), to: (b, bottom), color: pale });
        if b - a >= 6.0 {
            let ends = [a, b].map(|x| vec![(x, top), (x, bottom)]).to_vec();
            shapes.push(Shape::Path { lines: ends, color: strong, width: 1.0 });
        }
        let width = if b - a >= 6.0 { 2.0 } else { 1.0 };
        shapes.push(Shape::Path { lines: vec![vec![(apex, top), (apex, bottom)]], color: strong, width });
    }
    let times = times(e.onset_ns, e.apex_ns, e.offset_ns, &e.aus);
    Shape::Group { class, title: format!("{}. {times}", kind_name(e.kind)), shapes }
}

/// What the colours mean.
fn legend(y: f32) -> Vec<Shape> {
    use super::lanes::{BOTH_SIDES, LEFT_SIDE, RIGHT_SIDE};
    let mut x = 8.0;
    let mut out = Vec::new();
    let entries = [
        (LEFT_SIDE, "left side of the subject"),
        (RIGHT_SIDE, "right side"),
        (BOTH_SIDES, "not by side"),
        (MICRO.1, "micro"),
        (MACRO.1, "macro"),
        (BLINK.1, "blink"),
        (REJECTED, "rejected"),
    ];
    for (color, words) in entries {
        out.push(Shape::Fill { from: (x, y - 8.0), to: (x + 10.0, y), color });
        out.push(Shape::text((x + 16.0, y), words, Anchor::Start));
        x += 16.0 + LETTER * words.len() as f32 + 20.0;
    }
    out.push(Shape::text((x, y), "shaded: onset to offset; thick line: apex", Anchor::Start));
    out
}
