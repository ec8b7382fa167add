//! A chart: two axes over a field, and series in it.

use super::{Anchor, Drawing, LETTER, Place, Shape};
use crate::canvas::{GRID, INK, SERIES};

const WIDTH: f32 = 640.0;
const HEIGHT: f32 = 420.0;
/// The field: left, top, right, bottom.
const FIELD: [f32; 4] = [64.0, 40.0, 616.0, 360.0];
/// Columns between which the names of series begin, and rows from one to the next.
const LEGEND: (f32, f32) = (420.0, 14.0);

/// One axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    name: String,
    range: (f32, f32),
    ticks: Vec<(f32, String)>,
    is_logarithmic: bool,
}

impl Axis {
    /// An even scale with a tick at each of so many parts, 1 at least. A range without extent is widened.
    pub fn even(name: &str, range: (f32, f32), parts: u32) -> Self {
        let (low, high) = if range.0 < range.1 { range } else { (range.0.min(0.0), range.0.max(0.0) + 1.0) };
        let parts = parts.max(1);
        let tick = |k| {
            let value = low + k as f32 / parts as f32 * (high - low);
            (value, short(value))
        };
        Self {
            name: name.into(),
            range: (low, high),
            ticks: (0..=parts).map(tick).collect(),
            is_logarithmic: false,
        }
    }

    /// A logarithmic scale over a range of positive numbers, with ticks at these values.
    pub fn logarithmic(name: &str, range: (f32, f32), ticks: Vec<(f32, String)>) -> Self {
        Self { name: name.into(), range, ticks, is_logarithmic: true }
    }

    /// Where a value lies between the ends, 0 to 1.
    fn share(&self, value: f32) -> f32 {
        let (low, high) = self.range;
        if self.is_logarithmic {
            (value.ln() - low.ln()) / (high.ln() - low.ln())
        } else {
            (value - low) / (high - low)
        }
    }
}

/// A chart under construction.
#[derive(Debug, Clone)]
pub struct Chart {
    x: Axis,
    y: Axis,
    shapes: Vec<Shape>,
    series: usize,
}

impl Chart {
    /// Grid, axes and their names.
    pub fn new(x: Axis, y: Axis) -> Self {
        let [left, top, right, bottom] = FIELD;
        let mut chart = Self { x, y, shapes: Vec::new(), series: 0 };
        let columns: Vec<f32> = chart.x.ticks.iter().map(|(v, _)| chart.column(*v)).collect();
        let rows: Vec<f32> = chart.y.ticks.iter().map(|(v, _)| chart.row(*v)).collect();
        let upright = columns.iter().map(|x| vec![(*x, top), (*x, bottom)]);
        let level = rows.iter().map(|y| vec![(left, *y), (right, *y)]);
        let lines = upright.chain(level).collect();
        let below = |(x, (_, words)): (&f32, &(f32, String))| {
            Shape::text((*x, bottom + 8.0 + LETTER), words, Anchor::Middle)
        };
        let beside = |(y, (_, words)): (&f32, &(f32, String))| {
            Shape::text((left - 6.0, *y + LETTER / 2.0), words, Anchor::End)
        };
        let mut shapes = vec![Shape::Path { lines, color: GRID, width: 1.0 }];
        shapes.extend(columns.iter().zip(&chart.x.ticks).map(below));
        shapes.extend(rows.iter().zip(&chart.y.ticks).map(beside));
        shapes.extend([
            Shape::line((left, bottom), (right, bottom), INK),
            Shape::line((left, top), (left, bottom), INK),
            Shape::text(((left + right) / 2.0, HEIGHT - 18.0), &chart.x.name, Anchor::Middle),
            Shape::text((8.0, 28.0), &chart.y.name, Anchor::Start),
        ]);
        chart.shapes = shapes;
        chart
    }

    fn column(&self, x: f32) -> f32 {
        FIELD[0] + self.x.share(x) * (FIELD[2] - FIELD[0])
    }

    fn row(&self, y: f32) -> f32 {
        FIELD[3] + self.y.share(y) * (FIELD[1] - FIELD[3])
    }

    /// The place of a pair of values.
    pub fn at(&self, (x, y): (f32, f32)) -> Place {
        (self.column(x), self.row(y))
    }

    /// Anything else, at places of [`Chart::at`].
    pub fn add(&mut self, shape: Shape) {
        self.shapes.push(shape);
    }

    /// A line through points, broken where one is not finite. Its name, where it has one, stands in the legend.
    pub fn line(&mut self, name: &str, points: &[(f32, f32)]) {
        let color = SERIES[self.series % SERIES.len()];
        let is_there = |p: &(f32, f32)| p.0.is_finite() && p.1.is_finite();
        let parts = points.split(|p| !is_there(p)).filter(|part| !part.is_empty());
        let lines = parts.map(|part| part.iter().map(|p| self.at(*p)).collect()).collect();
        self.shapes.push(Shape::Path { lines, color, width: 1.0 });
        if !name.is_empty() {
            let y = FIELD[1] + LEGEND.1 * (self.series + 1) as f32;
            self.shapes.extend([
                Shape::Fill { from: (LEGEND.0, y - LETTER), to: (LEGEND.0 + 10.0, y), color },
                Shape::text((LEGEND.0 + 16.0, y), name, Anchor::Start),
            ]);
        }
        self.series += 1;
    }

    /// The drawing.
    pub fn drawing(self) -> Drawing {
        Drawing { width: WIDTH, height: HEIGHT, shapes: self.shapes }
    }
}

fn short(value: f32) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_between_the_ends_of_their_axes() {
        let ticks = vec![(0.1, "10%".to_owned())];
        let chart =
            Chart::new(Axis::logarithmic("size", (0.01, 1.0), ticks), Axis::even("share", (0.0, 1.0), 4));
        let close = |a: Place, b: Place| (a.0 - b.0).abs() < 0.01 && (a.1 - b.1).abs() < 0.01;
        assert!(close(chart.at((0.01, 0.0)), (FIELD[0], FIELD[3])));
        assert!(close(chart.at((0.1, 0.5)), ((FIELD[0] + FIELD[2]) / 2.0, (FIELD[1] + FIELD[3]) / 2.0)));
        let svg = chart.drawing().svg("a chart");
        for words in [">10%</text>", ">0.25</text>", ">size</text>", ">share</text>"] {
            assert!(svg.contains(words), "{words}");
        }
    }

    #[test]
    fn a_line_breaks_where_a_value_is_missing() {
        let mut chart = Chart::new(Axis::even("x", (0.0, 4.0), 4), Axis::even("y", (2.0, 2.0), 2));
        chart.line("loss", &[(0.0, 1.0), (1.0, 1.5), (2.0, f32::NAN), (3.0, 2.0)]);
        let drawing = chart.drawing();
        let Some(Shape::Path { lines, .. }) = drawing.shapes.iter().rev().nth(2) else { panic!("no line") };
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        // A constant has an axis too.
        assert!(drawing.svg("a chart").contains(">3.00</text>"));
    }
}
