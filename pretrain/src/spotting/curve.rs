//! Recall by intensity: a psychometric function of the detector, as table and picture.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::score::binomial_interval;
use glint::canvas::SERIES;
use glint::drawing::{Axis, Chart, Drawing, Shape};

/// Borders of the bins, as fractions of the full movement.
const EDGES: [f32; 11] = [0.03, 0.04, 0.055, 0.075, 0.1, 0.135, 0.18, 0.245, 0.33, 0.45, 0.6];

/// One bin of the curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecallBin {
    /// Least and greatest fraction.
    pub range: (f32, f32),
    /// Movements found.
    pub hits: usize,
    /// Movements.
    pub total: usize,
    /// 95 % interval of the recall.
    pub interval: (f64, f64),
}

impl RecallBin {
    /// Share found; `None` of an empty bin.
    pub fn recall(&self) -> Option<f64> {
        (self.total > 0).then(|| self.hits as f64 / self.total as f64)
    }

    /// Middle of the bin on a logarithmic scale.
    fn center(&self) -> f32 {
        (self.range.0 * self.range.1).sqrt()
    }
}

/// Recall of movements given as (fraction, travel, found).
pub fn bins(movements: &[(f32, f32, bool)]) -> Vec<RecallBin> {
    EDGES
        .windows(2)
        .map(|e| {
            let inside = || movements.iter().filter(|m| (e[0]..e[1]).contains(&m.0));
            let (hits, total) = (inside().filter(|m| m.2).count(), inside().count());
            RecallBin { range: (e[0], e[1]), hits, total, interval: binomial_interval(hits, total) }
        })
        .collect()
}

/// A Weibull psychometric function: `(1 - lapse) (1 - exp(-(x / scale)^slope))`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weibull {
    /// Fraction at which 63 % of what does not lapse is found.
    pub scale: f64,
    /// Steepness.
    pub slope: f64,
    /// Share that is missed however strong it is.
    pub lapse: f64,
}

impl Weibull {
    /// Recall at a fraction.
    pub fn at(&self, x: f64) -> f64 {
        (1.0 - self.lapse) * (1.0 - (-(x / self.scale).powf(self.slope)).exp())
    }

    /// Fraction at which the recall is `level`; `None` where lapses keep it below.
    pub fn threshold(&self, level: f64) -> Option<f64> {
        let share = level / (1.0 - self.lapse);
        (share < 1.0).then(|| self.scale * (-(1.0 - share).ln()).powf(1.0 / self.slope))
    }

    /// The most likely function of the movements, on a grid.
    pub fn fit(movements: &[(f32, f32, bool)]) -> Self {
        let mut best = (f64::MIN, Self { scale: 0.1, slope: 2.0, lapse: 0.0 });
        for i in 0..80 {
            for j in 0..24 {
                for k in 0..8 {
                    let w = Self {
                        scale: 0.02 * 1.045f64.powi(i),
                        slope: 0.6 * 1.14f64.powi(j),
                        lapse: 0.03 * f64::from(k),
                    };
                    let likelihood = movements
                        .iter()
                        .map(|&(x, _, hit)| {
                            let p = w.at(f64::from(x)).clamp(1e-4, 1.0 - 1e-4);
                            if hit { p.ln() } else { (1.0 - p).ln() }
                        })
                        .sum();
                    if likelihood > best.0 {
                        best = (likelihood, w);
                    }
                }
            }
        }
        best.1
    }
}

/// Writes the bins as CSV: `from,to,hits,movements,recall,low,high`.
pub fn write_csv(bins: &[RecallBin], path: &Path) -> Result<()> {
    let mut out = std::fs::File::create(path).with_context(|| path.display().to_string())?;
    writeln!(out, "from,to,hits,movements,recall,low,high")?;
    for b in bins {
        let recall = b.recall().map_or(String::new(), |r| format!("{r:.3}"));
        let (low, high) = b.interval;
        writeln!(out, "{},{},{},{},{recall},{low:.3},{high:.3}", b.range.0, b.range.1, b.hits, b.total)?;
    }
    Ok(())
}

/// The bins with their intervals and the fitted function, over intensity on a logarithmic scale.
pub fn draw(bins: &[RecallBin], fit: &Weibull) -> Drawing {
    let point = SERIES[1];
    let (from, to) = (EDGES[0], EDGES[EDGES.len() - 1]);
    let ticks = [0.03f32, 0.05, 0.1, 0.2, 0.3, 0.5].map(|v| (v, format!("{:.0}%", 100.0 * v))).to_vec();
    let mut chart = Chart::new(
        Axis::logarithmic("intensity, share of the full movement; bars: 95 % intervals", (from, to), ticks),
        Axis::even("share found", (0.0, 1.0), 5),
    );
    let steps = 200;
    let on_curve = |i: u32| {
        let fraction = from * (to / from).powf(i as f32 / steps as f32);
        (fraction, fit.at(f64::from(fraction)) as f32)
    };
    chart.line("", &(0..=steps).map(on_curve).collect::<Vec<_>>());
    for b in bins {
        let Some(recall) = b.recall() else { continue };
        let at = |value: f64| chart.at((b.center(), value as f32));
        let ((x, y), low, high) = (at(recall), at(b.interval.0), at(b.interval.1));
        chart.add(Shape::line(low, high, point));
        chart.add(Shape::Fill { from: (x - 3.0, y - 3.0), to: (x + 4.0, y + 4.0), color: point });
    }
    chart.drawing()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn the_fit_finds_the_function_that_made_the_data() {
        let truth = Weibull { scale: 0.12, slope: 3.0, lapse: 0.03 };
        let mut rng = crate::augment::generator(1, 1);
        let movements: Vec<(f32, f32, bool)> = (0..3000)
            .map(|_| {
                let x: f32 = rng.random_range(0.03f32.ln()..0.6f32.ln()).exp();
                (x, 1.0, rng.random_bool(truth.at(f64::from(x))))
            })
            .collect();
        let fit = Weibull::fit(&movements);
        assert!((fit.scale / truth.scale - 1.0).abs() < 0.1, "{fit:?}");
        let (fitted, wanted) = (fit.threshold(0.75).expect("above"), truth.threshold(0.75).expect("above"));
        assert!((fitted / wanted - 1.0).abs() < 0.1, "{fitted} {wanted}");
        assert_eq!(bins(&movements).iter().map(|b| b.total).sum::<usize>(), 3000);
    }
}
