//! The picture of a self-test: the share found by size and by action unit, with its interval.

use glint::canvas::{GRID, INK, SERIES};
use glint::drawing::{Anchor, Drawing, Shape};

use super::report::SelftestReport;

/// Columns where the bars begin and end, and where the counts stand.
const LEFT: f32 = 220.0;
const RIGHT: f32 = 520.0;
const COUNTS: f32 = 600.0;
const WIDTH: f32 = 620.0;
/// Height of a row, and of its bar.
const ROW: f32 = 18.0;
const BAR: f32 = 10.0;
/// Quantile of the normal distribution for an interval of 95 %.
const Z: f64 = 1.96;

/// Wilson's interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22), 95 %.
fn interval(hits: usize, total: usize) -> (f32, f32) {
    if total == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (total as f64, hits as f64 / total as f64);
    let middle = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0) as f32, (middle + half).min(1.0) as f32)
}

impl SelftestReport {
    /// A bar for all movements, for calm stretches and the others, for each size and each action unit.
    pub(crate) fn drawing(&self, name: &str) -> Drawing {
        let mut sheet = Sheet { y: 24.0, shapes: Vec::new() };
        sheet.words(&format!("{name}: injected movements that were found"));
        sheet.words(&format!("{}; lines: 95 % intervals", self.alarms()));
        let top = sheet.y;
        sheet.bar("all", self.found, self.injected);
        sheet.bar("where the face is calm", self.calm.0, self.calm.1);
        sheet.bar("elsewhere", self.elsewhere.0, self.elsewhere.1);
        sheet.words("size in px for eyes 64 px apart");
        self.sizes().for_each(|(size, hits, total)| sheet.bar(&size, hits, total));
        sheet.words("action unit");
        for (au, (hits, total)) in &self.by_au {
            sheet.bar(&format!("AU{au} {}", glint::au::name(*au)), *hits, *total);
        }
        sheet.finish(top)
    }
}

/// Rows under construction.
struct Sheet {
    /// Base line of the next row.
    y: f32,
    shapes: Vec<Shape>,
}

impl Sheet {
    fn words(&mut self, words: &str) {
        self.shapes.push(Shape::text((8.0, self.y), words, Anchor::Start));
        self.y += ROW;
    }

    fn bar(&mut self, label: &str, hits: usize, total: usize) {
        let at = |share: f32| LEFT + share * (RIGHT - LEFT);
        let y = self.y - BAR / 2.0;
        self.shapes.push(Shape::text((LEFT - 8.0, self.y), label, Anchor::End));
        self.shapes.push(Shape::text((COUNTS, self.y), format!("{hits} of {total}"), Anchor::End));
        if total > 0 {
            let (low, high) = interval(hits, total);
            let end = at(hits as f32 / total as f32);
            self.shapes.push(Shape::Fill { from: (LEFT, self.y - BAR), to: (end, self.y), color: SERIES[0] });
            self.shapes.push(Shape::line((at(low), y), (at(high), y), INK));
        }
        self.y += ROW;
    }

    /// Puts the scale under the rows from `top` on.
    fn finish(self, top: f32) -> Drawing {
        let foot = self.y - ROW + 6.0;
        let mut shapes = Vec::new();
        for quarter in 0..=4 {
            let share = quarter as f32 / 4.0;
            let x = LEFT + share * (RIGHT - LEFT);
            shapes.push(Shape::line((x, top - ROW + 4.0), (x, foot), GRID));
            shapes.push(Shape::text((x, foot + 14.0), format!("{:.0} %", 100.0 * share), Anchor::Middle));
        }
        shapes.extend(self.shapes);
        Drawing { width: WIDTH, height: foot + 24.0, shapes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        // R: prop.test(8, 10, correct = FALSE) and (0, 10).
        let close = |a: (f32, f32), b: (f32, f32)| (a.0 - b.0).abs() < 1e-3 && (a.1 - b.1).abs() < 1e-3;
        assert!(close(interval(8, 10), (0.490, 0.943)), "{:?}", interval(8, 10));
        assert!(close(interval(0, 10), (0.0, 0.278)), "{:?}", interval(0, 10));
        assert_eq!(interval(0, 0), (0.0, 1.0));
    }

    #[test]
    fn there_is_a_bar_for_each_size_and_unit() {
        let mut report = SelftestReport { alone: 3, injected: 12, found: 9, ..SelftestReport::default() };
        report.untouched.seconds = 120.0;
        report.by_size[1] = (3, 4);
        report.by_au.insert(12, (9, 12));
        let svg = report.drawing("a <clip>").svg("a clip");
        for words in [
            "a &lt;clip&gt;: injected",
            ">9 of 12<",
            ">1-2<",
            ">3 of 4<",
            ">AU12 lip corner puller<",
            "1.5 false alarms",
        ] {
            assert!(svg.contains(words), "{words}: {svg}");
        }
    }
}
