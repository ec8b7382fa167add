//! Times and values to pixels, and few points out of many.

use glint::drawing::Place;

use super::seconds;

/// Steps between the ticks of a time axis, in seconds.
const STEPS: [f64; 15] =
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// Ticks of a time axis at most.
const TICKS: f64 = 16.0;

/// A stretch of time across the figure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Left and right end in pixels.
    pub(super) x: (f32, f32),
    /// First and last time.
    pub(super) ns: (i64, i64),
}

impl Span {
    /// The column of a time, inside the figure.
    pub(super) fn at(&self, ns: i64) -> f32 {
        let share = (ns - self.ns.0) as f64 / (self.ns.1 - self.ns.0).max(1) as f64;
        self.x.0 + share.clamp(0.0, 1.0) as f32 * (self.x.1 - self.x.0)
    }

    /// Whether a stretch of time is in sight.
    pub(super) fn shows(&self, from_ns: i64, to_ns: i64) -> bool {
        to_ns >= self.ns.0 && from_ns <= self.ns.1
    }

    /// Ticks of the time axis: times and their labels.
    pub(super) fn ticks(&self) -> Vec<(i64, String)> {
        let (first, last) = (seconds(self.ns.0), seconds(self.ns.1));
        let longer = |from: f64| std::iter::successors(Some(from), |step| Some(step * 2.0));
        let fits = |step: &f64| (last - first) / step <= TICKS;
        let step = STEPS.into_iter().find(fits).or_else(|| longer(1200.0).find(fits)).unwrap_or(1.0);
        let digits = if step < 0.1 {
            2
        } else if step < 1.0 {
            1
        } else {
            0
        };
        let numbers = (first / step).ceil() as i64..=(last / step).floor() as i64;
        numbers.map(|i| i as f64 * step).map(|s| ((s * 1e9) as i64, format!("{s:.digits$}"))).collect()
    }
}

/// Polylines of a series: in each column of one pixel its least and its greatest value, in their order, so that a peak of
/// one frame stays where a column holds hundreds. A missing value ends a line.
pub(super) fn polylines(points: impl Iterator<Item = (f32, Option<f32>)>) -> Vec<Vec<Place>> {
    let mut lines = Lines::default();
    for (x, y) in points {
        match y {
            Some(y) => lines.push((x, y)),
            None => lines.end(),
        }
    }
    lines.end();
    lines.done
}

#[derive(Default)]
struct Lines {
    done: Vec<Vec<Place>>,
    line: Vec<Place>,
    /// Highest and lowest place of the present column.
    column: Option<(Place, Place)>,
}

impl Lines {
    fn push(&mut self, place: Place) {
        match &mut self.column {
            Some((low, high)) if low.0.floor() == place.0.floor() => {
                if place.1 < low.1 {
                    *low = place;
                }
                if place.1 > high.1 {
                    *high = place;
                }
            }
            _ => {
                self.flush();
                self.column = Some((place, place));
            }
        }
    }

    fn flush(&mut self) {
        let Some((a, b)) = self.column.take() else { return };
        let (a, b) = if a.0 <= b.0 { (a, b) } else { (b, a) };
        self.extend(a);
        if b != a {
            self.extend(b);
        }
    }

    /// Adds a place; of a level stretch only the ends are kept.
    fn extend(&mut self, place: Place) {
        let level = |p: &Place| (p.1 - place.1).abs() < 0.05;
        if let [.., before, last] = self.line.as_mut_slice()
            && level(before)
            && level(last)
        {
            last.0 = place.0;
            return;
        }
        self.line.push(place);
    }

    fn end(&mut self) {
        self.flush();
        if !self.line.is_empty() {
            self.done.push(std::mem::take(&mut self.line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_of_one_frame_stays_in_a_column_of_many() {
        let values = (0..1000).map(|i| (i as f32 / 100.0, Some(if i == 437 { 5.0 } else { 0.0 })));
        let lines = polylines(values);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains(&(4.37, 5.0)), "{lines:?}");
        assert!(lines[0].len() <= 20, "{lines:?}");
    }

    #[test]
    fn a_missing_value_ends_a_line_and_a_level_stretch_is_two_places() {
        let values = [Some(1.0), Some(1.0), Some(1.0), Some(1.0), None, None, Some(2.0), Some(3.0)];
        let lines = polylines(values.into_iter().enumerate().map(|(i, v)| (i as f32, v)));
        assert_eq!(lines, [vec![(0.0, 1.0), (3.0, 1.0)], vec![(6.0, 2.0), (7.0, 3.0)]]);
    }

    #[test]
    fn ticks_are_few_and_round() {
        let ticks = |s: f64| Span { x: (0.0, 100.0), ns: (0, (s * 1e9) as i64) }.ticks();
        let short = ticks(3.0);
        assert_eq!((short.len(), short[1].1.as_str(), short[15].0), (16, "0.2", 3_000_000_000));
        assert_eq!(ticks(1800.0).last().map(|t| t.1.as_str()), Some("1800"));
        for s in [0.0, 0.02, 7.0, 90.0, 1800.0, 1e5, 1e8] {
            assert!((1..=17).contains(&ticks(s).len()), "{s}: {:?}", ticks(s));
        }
    }
}
