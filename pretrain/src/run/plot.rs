//! The pictures of a report.

use crate::statistics::score::ReliabilityBin;
use glint::canvas::{INK, SERIES};
use glint::drawing::{Anchor, Axis, Chart, Drawing, Shape};

/// Named series of points (x, y) as lines, with a legend.
pub fn lines(series: &[(String, Vec<(f32, f32)>)], x_name: &str, y_name: &str) -> Drawing {
    let points = || series.iter().flat_map(|(_, p)| p.iter().copied()).filter(|p| p.1.is_finite());
    let range = |values: &mut dyn Iterator<Item = f32>| {
        let (low, high) = values.fold((f32::MAX, f32::MIN), |(lo, hi), v| (lo.min(v), hi.max(v)));
        if low <= high { (low, high) } else { (0.0, 1.0) }
    };
    let (x, y) = (range(&mut points().map(|p| p.0)), range(&mut points().map(|p| p.1)));
    let mut chart = Chart::new(Axis::even(x_name, x, 4), Axis::even(y_name, y, 4));
    series.iter().for_each(|(name, points)| chart.line(name, points));
    chart.drawing()
}

/// A confusion matrix: truth in rows, prediction in columns.
pub fn confusion(counts: &[[u32; 3]; 3], names: [&str; 3]) -> Drawing {
    const CELL: f32 = 90.0;
    let (left, top) = (110.0, 50.0);
    let mut shapes = vec![Shape::text((left, 20.0), "predicted", Anchor::Start)];
    for (r, row) in counts.iter().enumerate() {
        let total = row.iter().sum::<u32>().max(1);
        let middle = |k: usize| (k as f32 + 0.5) * CELL;
        shapes.push(Shape::text((left - 8.0, top + middle(r)), names[r], Anchor::End));
        shapes.push(Shape::text((left + middle(r), top - 8.0), names[r], Anchor::Middle));
        for (c, &n) in row.iter().enumerate() {
            let share = n as f32 / total as f32;
            let (x, y) = (left + c as f32 * CELL, top + r as f32 * CELL);
            let shade = (255.0 - 150.0 * share) as u8;
            let (from, to) = ((x, y), (x + CELL - 2.0, y + CELL - 2.0));
            let words = [n.to_string(), format!("{:.0}%", 100.0 * share)];
            shapes.push(Shape::Fill { from, to, color: [shade, shade, 255] });
            for (word, dy) in words.into_iter().zip([-2.0, 14.0]) {
                shapes.push(Shape::text((left + middle(c), top + middle(r) + dy), word, Anchor::Middle));
            }
        }
    }
    shapes.push(Shape::text((10.0, 340.0), "rows: truth; shares of each row", Anchor::Start));
    Drawing { width: 400.0, height: 350.0, shapes }
}

/// A reliability diagram: accuracy over confidence.
pub fn calibration(bins: &[ReliabilityBin]) -> Drawing {
    let axis = |name| Axis::even(name, (0.0, 1.0), 4);
    let mut chart = Chart::new(axis("confidence; number of samples above the bars"), axis("accuracy"));
    chart.add(Shape::line(chart.at((0.0, 0.0)), chart.at((1.0, 1.0)), INK));
    for bin in bins.iter().filter(|b| b.count > 0) {
        let ((x, y), base) = (chart.at((bin.confidence, bin.accuracy)), chart.at((0.0, 0.0)).1);
        chart.add(Shape::Fill { from: (x - 6.0, y), to: (x + 6.0, base), color: SERIES[0] });
        chart.add(Shape::text((x, y - 4.0), bin.count.to_string(), Anchor::Middle));
    }
    chart.drawing()
}
