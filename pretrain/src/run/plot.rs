//! The pictures of a report.

use crate::statistics::score::Bin;
use glint::canvas::{Canvas, GRID, INK, SERIES};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 420;
/// The field of a plot: left, top, right, bottom.
const FIELD: [f32; 4] = [64.0, 40.0, 616.0, 360.0];

/// Named series of points (x, y) as lines, with a legend.
pub fn lines(series: &[(String, Vec<(f32, f32)>)], x_name: &str, y_name: &str) -> Canvas {
    let points = || series.iter().flat_map(|(_, p)| p.iter().copied()).filter(|p| p.1.is_finite());
    let range = |values: &mut dyn Iterator<Item = f32>| {
        let (lo, hi) = values.fold((f32::MAX, f32::MIN), |(lo, hi), v| (lo.min(v), hi.max(v)));
        if lo < hi { (lo, hi) } else { (lo.min(0.0), lo.max(0.0) + 1.0) }
    };
    let (x_range, y_range) = (range(&mut points().map(|p| p.0)), range(&mut points().map(|p| p.1)));
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let at = axes(&mut canvas, x_range, y_range, x_name, y_name);
    for (k, (name, points)) in series.iter().enumerate() {
        let color = SERIES[k % SERIES.len()];
        for pair in points.windows(2).filter(|p| p[0].1.is_finite() && p[1].1.is_finite()) {
            canvas.line(at(pair[0]), at(pair[1]), color);
        }
        canvas.text_in(420, 48 + 14 * k as u32, name, color);
    }
    canvas
}

/// Draws grid, axes and numbers; gives the map from values to pixels.
fn axes(
    canvas: &mut Canvas,
    x_range: (f32, f32),
    y_range: (f32, f32),
    x_name: &str,
    y_name: &str,
) -> impl Fn((f32, f32)) -> (f32, f32) + use<> {
    let [left, top, right, bottom] = FIELD;
    let at = move |(x, y): (f32, f32)| {
        (
            left + (x - x_range.0) / (x_range.1 - x_range.0) * (right - left),
            bottom + (y - y_range.0) / (y_range.1 - y_range.0) * (top - bottom),
        )
    };
    for k in 0..=4 {
        let t = k as f32 / 4.0;
        let x = x_range.0 + t * (x_range.1 - x_range.0);
        let y = y_range.0 + t * (y_range.1 - y_range.0);
        canvas.line(at((x, y_range.0)), at((x, y_range.1)), GRID);
        canvas.line(at((x_range.0, y)), at((x_range.1, y)), GRID);
        canvas.text(at((x, y)).0 as u32 - 12, bottom as u32 + 8, &short(x));
        canvas.text(8, at((x, y)).1 as u32 - 4, &short(y));
    }
    canvas.line((left, bottom), (right, bottom), INK);
    canvas.line((left, top), (left, bottom), INK);
    canvas.text(left as u32, HEIGHT - 26, x_name);
    canvas.text(8, 20, y_name);
    at
}

fn short(v: f32) -> String {
    if v.abs() >= 100.0 { format!("{v:.0}") } else { format!("{v:.2}") }
}

/// A confusion matrix: truth in rows, prediction in columns.
pub fn confusion(counts: &[[u32; 3]; 3], names: [&str; 3]) -> Canvas {
    const CELL: f32 = 90.0;
    let (left, top) = (110.0, 50.0);
    let mut canvas = Canvas::new(400, 350);
    canvas.text(110, 12, "predicted");
    for (r, row) in counts.iter().enumerate() {
        let total = row.iter().sum::<u32>().max(1);
        canvas.text(10, (top + (r as f32 + 0.5) * CELL) as u32, names[r]);
        canvas.text((left + r as f32 * CELL) as u32 + 8, 34, names[r]);
        for (c, &n) in row.iter().enumerate() {
            let share = n as f32 / total as f32;
            let (x, y) = (left + c as f32 * CELL, top + r as f32 * CELL);
            let shade = (255.0 - 150.0 * share) as u8;
            canvas.fill((x, y), (x + CELL - 2.0, y + CELL - 2.0), [shade, shade, 255]);
            canvas.text(x as u32 + 24, y as u32 + 34, &n.to_string());
            canvas.text(x as u32 + 24, y as u32 + 50, &format!("{:.0}%", 100.0 * share));
        }
    }
    canvas.text(10, 330, "rows: truth; shares of each row");
    canvas
}

/// A reliability diagram: accuracy over confidence.
pub fn calibration(bins: &[Bin]) -> Canvas {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let at =
        axes(&mut canvas, (0.0, 1.0), (0.0, 1.0), "confidence; number of samples above the bars", "accuracy");
    canvas.line(at((0.0, 0.0)), at((1.0, 1.0)), INK);
    for bin in bins.iter().filter(|b| b.count > 0) {
        let (x, y) = at((bin.confidence, bin.accuracy));
        canvas.fill((x - 6.0, y), (x + 6.0, FIELD[3]), SERIES[0]);
        canvas.text(x as u32 - 10, y as u32 - 12, &bin.count.to_string());
    }
    canvas
}
