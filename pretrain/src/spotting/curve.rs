//! Recall by intensity: a psychometric function of the detector, as table and picture.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::score::binomial_interval;
use glint::canvas::{Canvas, GRID, INK, SERIES};

/// Borders of the bins, as fractions of the full movement.
const EDGES: [f32; 11] = [0.03, 0.04, 0.055, 0.075, 0.1, 0.135, 0.18, 0.245, 0.33, 0.45, 0.6];

/// One bin of the curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Least and greatest fraction.
    pub range: (f32, f32),
    /// Movements found.
    pub hits: usize,
    /// Movements.
    pub of: usize,
    /// 95 % interval of the recall.
    pub interval: (f64, f64),
}

impl Bin {
    /// Share found; `None` of an empty bin.
    pub fn recall(&self) -> Option<f64> {
        (self.of > 0).then(|| self.hits as f64 / self.of as f64)
    }

    /// Middle of the bin on a logarithmic scale.
    fn center(&self) -> f32 {
        (self.range.0 * self.range.1).sqrt()
    }
}

/// Recall of movements given as (fraction, travel, found).
pub fn bins(movements: &[(f32, f32, bool)]) -> Vec<Bin> {
    EDGES
        .windows(2)
        .map(|e| {
            let inside = || movements.iter().filter(|m| (e[0]..e[1]).contains(&m.0));
            let (hits, of) = (inside().filter(|m| m.2).count(), inside().count());
            Bin { range: (e[0], e[1]), hits, of, interval: binomial_interval(hits, of) }
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
pub fn write_csv(bins: &[Bin], path: &Path) -> Result<()> {
    let mut out = std::fs::File::create(path).with_context(|| path.display().to_string())?;
    writeln!(out, "from,to,hits,movements,recall,low,high")?;
    for b in bins {
        let recall = b.recall().map_or(String::new(), |r| format!("{r:.3}"));
        let (low, high) = b.interval;
        writeln!(out, "{},{},{},{},{recall},{low:.3},{high:.3}", b.range.0, b.range.1, b.hits, b.of)?;
    }
    Ok(())
}

const WIDTH: u32 = 640;
const HEIGHT: u32 = 420;
/// The field of the plot: left, top, right, bottom.
const FIELD: [f32; 4] = [64.0, 40.0, 616.0, 360.0];

/// Draws the bins with their intervals and the fitted function, over intensity on a logarithmic scale.
pub fn draw(bins: &[Bin], fit: &Weibull, title: &str, path: &Path) -> Result<()> {
    let [curve, point, ..] = SERIES;
    let mut image = Canvas::new(WIDTH, HEIGHT);
    let [left, top, right, bottom] = FIELD;
    let (from, to) = (EDGES[0].ln(), EDGES[EDGES.len() - 1].ln());
    let x = |fraction: f32| left + (fraction.ln() - from) / (to - from) * (right - left);
    let y = |recall: f64| bottom + recall as f32 * (top - bottom);
    for k in 0..=5 {
        let recall = 0.2 * f64::from(k);
        image.line((left, y(recall)), (right, y(recall)), GRID);
        image.text(30, y(recall) as u32 - 4, &format!("{recall:.1}"));
    }
    for fraction in [0.03f32, 0.05, 0.1, 0.2, 0.3, 0.5] {
        image.line((x(fraction), top), (x(fraction), bottom), GRID);
        image.text(x(fraction) as u32 - 10, bottom as u32 + 8, &format!("{:.0}%", 100.0 * fraction));
    }
    image.line((left, bottom), (right, bottom), INK);
    image.line((left, top), (left, bottom), INK);
    image.text(64, 16, title);
    image.text(64, HEIGHT - 26, "intensity, share of the full movement; bars: 95 % intervals");
    let steps = 200;
    let at = |i: u32| {
        let fraction = (from + (to - from) * i as f32 / steps as f32).exp();
        (x(fraction), y(fit.at(f64::from(fraction))))
    };
    (0..steps).for_each(|i| image.line(at(i), at(i + 1), curve));
    for b in bins {
        let Some(recall) = b.recall() else { continue };
        let center = x(b.center());
        image.line((center, y(b.interval.0)), (center, y(b.interval.1)), point);
        for dy in -3i32..=3 {
            let dy = dy as f32;
            image.line((center - 3.0, y(recall) + dy), (center + 3.0, y(recall) + dy), point);
        }
    }
    Ok(image.save(path)?)
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
        let (found, wanted) = (fit.threshold(0.75).expect("above"), truth.threshold(0.75).expect("above"));
        assert!((found / wanted - 1.0).abs() < 0.1, "{found} {wanted}");
        assert_eq!(bins(&movements).iter().map(|b| b.of).sum::<usize>(), 3000);
    }
}
