//! Lanes of the figure: what was measured, one above the other over the same time axis.

use glint::au::{self, AUS, Side, UNITS};
use glint::canvas::GRID;
use glint::drawing::{Anchor, LETTER, Shape};
use glint::pipeline::{DARK_LUMA, GOOD_FPS, MIN_FPS};

use super::scale::{Span, polylines};
use super::{Record, Row, seconds};

/// The subject's left side, the right one, and units that FACS does not score by side.
pub(super) const LEFT_SIDE: [u8; 3] = [50, 90, 180];
pub(super) const RIGHT_SIDE: [u8; 3] = [214, 90, 30];
pub(super) const BOTH_SIDES: [u8; 3] = [70, 70, 70];
/// Borders of lanes, and limits in them.
const EDGE: [u8; 3] = [190, 190, 190];
const LIMIT: [u8; 3] = [220, 150, 150];

/// Height of an action unit's lane (12 pixels a unit of intensity), of any other lane, and between two of them.
const UNIT: f32 = 60.0;
const OTHER: f32 = 36.0;
const BETWEEN: f32 = 10.0;
/// Bounds of the letters of FACS.
const LETTERS: [(f32, &str); 5] = [(0.5, "A"), (1.5, "B"), (2.5, "C"), (3.5, "D"), (4.5, "E")];

/// What is measured beside action units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Quality of the registration.
    Quality,
    /// Motion of the head.
    HeadMotion,
    /// Mean luma of the face.
    Light,
    /// Frames a second.
    Rate,
}

impl Lane {
    fn name(self) -> [&'static str; 2] {
        match self {
            Self::Quality => ["registration", "quality, 0 to 1"],
            Self::HeadMotion => ["head motion", "px a frame"],
            Self::Light => ["light", "luma of the face"],
            Self::Rate => ["frame rate", "frames/s"],
        }
    }

    fn value(self, row: &Row) -> Option<f32> {
        match self {
            Self::Quality => row.face.map(|(quality, _)| quality),
            Self::HeadMotion => row.face.map(|(_, motion)| motion),
            Self::Light => row.light,
            Self::Rate => (row.fps > 0.0).then_some(row.fps),
        }
    }

    /// Upper end of the scale, for a series with this maximum.
    fn top(self, most: f32) -> f32 {
        match self {
            Self::Quality => 1.0,
            Self::HeadMotion => round_up(most),
            Self::Light => 255.0,
            Self::Rate => ((1.01 * most / 30.0).ceil() * 30.0).max(30.0),
        }
    }

    /// Values that matter.
    fn limits(self) -> &'static [f32] {
        match self {
            Self::Quality | Self::HeadMotion => &[],
            Self::Light => &[DARK_LUMA],
            Self::Rate => &[MIN_FPS, GOOD_FPS],
        }
    }
}

/// The least of 1, 2, 5, 10, 20 ... that is not under `value`.
fn round_up(value: f32) -> f32 {
    let mut scale = 1.0;
    while scale < 1e9 {
        if let Some(top) = [1.0, 2.0, 5.0].map(|m| m * scale).into_iter().find(|top| *top >= value) {
            return top;
        }
        scale *= 10.0;
    }
    scale
}

/// Lanes under construction.
pub(super) struct Lanes {
    span: Span,
    /// Upper edge of the first lane.
    pub(super) top: f32,
    /// Where the next lane starts.
    y: f32,
    /// What was drawn.
    pub(super) shapes: Vec<Shape>,
    /// Parts that answer to the pointer.
    pub(super) titled: Vec<Shape>,
}

impl Lanes {
    pub(super) fn new(span: Span, top: f32) -> Self {
        Self { span, top, y: top, shapes: Vec::new(), titled: Vec::new() }
    }

    /// Lower edge of the last lane.
    pub(super) fn bottom(&self) -> f32 {
        (self.y - BETWEEN).max(self.top)
    }

    /// A lane with words in place of a trace.
    pub(super) fn note(&mut self, words: &str) {
        self.shapes.push(Shape::text((self.span.x.0 + 8.0, self.y + 24.0), words, Anchor::Start));
        self.y += OTHER + BETWEEN;
    }

    /// Name, scale and edges of a lane. Returns its lower edge.
    fn frame(&mut self, name: &str, below: &str, height: f32, scale: [&str; 2]) -> f32 {
        let ((left, right), top, base) = (self.span.x, self.y, self.y + height);
        self.shapes.extend([
            Shape::text((8.0, top + height / 2.0 - 2.0), name, Anchor::Start),
            Shape::text((8.0, top + height / 2.0 + 10.0), below, Anchor::Start),
            Shape::text((left - 4.0, base), scale[0], Anchor::End),
            Shape::text((left - 4.0, top + LETTER), scale[1], Anchor::End),
            Shape::Path {
                lines: vec![vec![(left, top), (left, base), (right, base), (right, top), (left, top)]],
                color: EDGE,
                width: 1.0,
            },
        ]);
        self.y = base + BETWEEN;
        base
    }

    /// Rows in sight, with the ones next to them.
    fn seen<'a>(&self, record: &'a Record) -> &'a [Row] {
        let from = record.rows.partition_point(|row| row.at_ns < self.span.ns.0);
        let to = record.rows.partition_point(|row| row.at_ns <= self.span.ns.1);
        &record.rows[from..to]
    }

    fn trace(&mut self, rows: &[Row], (color, width): ([u8; 3], f32), y: impl Fn(&Row) -> Option<f32>) {
        let lines = polylines(rows.iter().map(|row| (self.span.at(row.at_ns), y(row))));
        if !lines.is_empty() {
            self.shapes.push(Shape::Path { lines, color, width });
        }
    }

    /// The lane of an action unit: 0 to 5, with the letters of FACS where they begin.
    pub(super) fn unit(&mut self, record: &Record, index: usize) {
        let (number, (left, right)) = (AUS[index], self.span.x);
        let base = self.frame(&format!("AU{number}"), au::name(number), UNIT, ["0", "5"]);
        let y = move |value: f32| base - value.clamp(0.0, 5.0) / 5.0 * UNIT;
        let bounds = LETTERS.map(|(value, _)| vec![(left, y(value)), (right, y(value))]).to_vec();
        self.shapes.push(Shape::Path { lines: bounds, color: GRID, width: 1.0 });
        for (value, letter) in LETTERS {
            self.shapes.push(Shape::text((right + 6.0, y(value) + LETTER / 2.0), letter, Anchor::Start));
        }
        let rows = self.seen(record);
        for (k, unit) in UNITS.iter().enumerate().filter(|(_, unit)| unit.au == number) {
            // The left side lies below the right one, and shows on both sides of it where they move alike.
            let pen = match unit.side {
                Side::Left => (LEFT_SIDE, 3.0),
                Side::Right => (RIGHT_SIDE, 1.0),
                Side::Both => (BOTH_SIDES, 1.0),
            };
            self.trace(rows, pen, |row| row.units.as_ref().map(|units| y(units[k])));
        }
    }

    /// The lane of another measure, with its limits.
    pub(super) fn measured(&mut self, record: &Record, lane: Lane) {
        let rows = self.seen(record);
        let most = rows.iter().filter_map(|row| lane.value(row)).fold(0.0, f32::max);
        let top = lane.top(most);
        let [name, below] = lane.name();
        let base = self.frame(name, below, OTHER, ["0", &top.to_string()]);
        let y = move |value: f32| base - (value / top).clamp(0.0, 1.0) * OTHER;
        let (left, right) = self.span.x;
        let mut label_y = f32::MAX;
        for limit in lane.limits().iter().filter(|limit| **limit < top) {
            self.shapes.push(Shape::line((left, y(*limit)), (right, y(*limit)), LIMIT));
            // Lines that are close have one label.
            if label_y - y(*limit) <= LETTER {
                continue;
            }
            label_y = y(*limit);
            let at = (right + 2.0, y(*limit) + LETTER / 2.0);
            self.shapes.push(Shape::text(at, limit.to_string(), Anchor::Start));
        }
        self.trace(rows, (BOTH_SIDES, 1.0), |row| lane.value(row).map(y));
    }

    /// Two strips: where frames are missing, and where no face, or none that holds still, was seen.
    pub(super) fn states(&mut self, record: &Record) {
        let rows = self.seen(record);
        let gaps = stretches(rows, |row| row.after_gap);
        self.strip("gaps", [200, 40, 40], "Frames are missing", &gaps);
        for (name, color, title) in [
            ("noface", [120, 120, 120], "No face"),
            ("moving", [230, 160, 60], "The head moves, or is turned too far"),
        ] {
            let spans = stretches(rows, |row| row.state == name);
            let label = if name == "noface" { "no face" } else { "head moves" };
            self.strip(label, color, title, &spans);
        }
    }

    fn strip(&mut self, name: &str, color: [u8; 3], title: &str, stretches: &[(i64, i64)]) {
        let ((left, right), top, base) = (self.span.x, self.y, self.y + LETTER);
        self.shapes.push(Shape::text((8.0, base), name, Anchor::Start));
        self.shapes.push(Shape::line((left, base), (right, base), EDGE));
        // Stretches that share a column are one mark.
        let mut marks: Vec<(f32, f32, i64, i64)> = Vec::new();
        for &(from, to) in stretches {
            let (a, b) = (self.span.at(from), self.span.at(to).max(self.span.at(from) + 1.0));
            match marks.last_mut() {
                Some(last) if a <= last.1 => (last.1, last.3) = (b.max(last.1), to),
                _ => marks.push((a, b, from, to)),
            }
        }
        for (a, b, from, to) in marks {
            let title = format!("{title}: {:.3} to {:.3} s", seconds(from), seconds(to));
            let mark = Shape::Fill { from: (a, top), to: (b, base), color };
            self.titled.push(Shape::Group { class: "stretch", title, shapes: vec![mark] });
        }
        self.y = base + BETWEEN;
    }
}

/// Stretches of time in which rows are such: from the row before the first one to the last one.
fn stretches(rows: &[Row], such: impl Fn(&Row) -> bool) -> Vec<(i64, i64)> {
    let mut out: Vec<(i64, i64)> = Vec::new();
    let mut before: Option<(i64, bool)> = None;
    for row in rows {
        let is_such = such(row);
        if is_such {
            match (before, out.last_mut()) {
                (Some((_, true)), Some(last)) => last.1 = row.at_ns,
                _ => out.push((before.map_or(row.at_ns, |(at_ns, _)| at_ns), row.at_ns)),
            }
        }
        before = Some((row.at_ns, is_such));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        let tops = [0.0, 0.7, 1.2, 4.0, 30.0, 1e12].map(round_up);
        assert_eq!(tops, [1.0, 1.0, 2.0, 5.0, 50.0, 1e9]);
        assert_eq!([0.0, 25.0, 60.0, 100.0].map(|most| Lane::Rate.top(most)), [30.0, 30.0, 90.0, 120.0]);
    }

    #[test]
    fn stretches_begin_at_the_row_before() {
        let row = |at_ns, after_gap| Row {
            at_ns,
            units: None,
            face: None,
            light: None,
            fps: 0.0,
            state: "quiet",
            after_gap,
        };
        let rows = [row(0, true), row(1, false), row(2, true), row(3, true), row(4, false), row(9, true)];
        assert_eq!(stretches(&rows, |row| row.after_gap), [(0, 0), (1, 3), (4, 9)]);
    }
}
