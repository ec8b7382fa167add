//! Linear models on frozen features: what an encoder knows without being changed.

use super::logistic::{Logistic, Rows};

/// Multinomial logistic regression with an L2 prior on standardised features, classes weighed equally.
#[derive(Debug, Clone)]
pub struct Softmax {
    scale: Scaler,
    model: Logistic,
}

/// Means and deviations of training features.
#[derive(Debug, Clone)]
struct Scaler {
    mean: Vec<f32>,
    inverse: Vec<f32>,
}

impl Scaler {
    fn new(rows: &[&[f32]]) -> Self {
        let (n, width) = (rows.len().max(1) as f32, rows.first().map_or(0, |r| r.len()));
        let mut mean = vec![0.0; width];
        rows.iter().for_each(|r| mean.iter_mut().zip(*r).for_each(|(m, v)| *m += v / n));
        let mut variance = vec![0.0; width];
        rows.iter().for_each(|r| {
            variance.iter_mut().zip(*r).zip(&mean).for_each(|((s, v), m)| *s += (v - m).powi(2) / n);
        });
        // What never varies in training says nothing.
        let inverse = variance.iter().map(|v: &f32| if *v > 1e-10 { 1.0 / v.sqrt() } else { 0.0 }).collect();
        Self { mean, inverse }
    }

    /// Standardised.
    fn apply(&self, row: &[f32]) -> impl Iterator<Item = f32> {
        row.iter().zip(&self.mean).zip(&self.inverse).map(|((v, m), s)| (v - m) * s)
    }
}

/// Iterations at most; the fit ends where it changes nothing any more.
const ITERATIONS: usize = 300;

impl Softmax {
    /// Fits `rows` to `classes` (of `count`); `strength` is the prior's, a share of one sample's weight.
    pub fn fit(rows: &[&[f32]], classes: &[usize], count: usize, strength: f32) -> Self {
        let scale = Scaler::new(rows);
        let x: Vec<f32> = rows.iter().flat_map(|r| scale.apply(r)).collect();
        let mut occurs = vec![0.0f32; count];
        classes.iter().for_each(|&c| occurs[c] += 1.0);
        let present = occurs.iter().filter(|n| **n > 0.0).count().max(1) as f32;
        let weight: Vec<f32> = classes.iter().map(|&c| 1.0 / (present * occurs[c])).collect();
        let prior = strength / rows.len().max(1) as f32;
        let rows = Rows { x: &x, class: classes, weight: &weight };
        // The intercepts have no prior.
        Self { scale, model: Logistic::fit(&rows, count, prior, 0.0, ITERATIONS) }
    }

    /// The most likely class of a row.
    pub fn predict(&self, row: &[f32]) -> usize {
        self.model.predict(&self.scale.apply(row).collect::<Vec<_>>())
    }
}

/// Ridge regression of many targets at once on standardised features.
#[derive(Debug, Clone)]
pub struct Ridge {
    scale: Scaler,
    /// One row of weights and an intercept a target.
    weights: Vec<Vec<f32>>,
}

impl Ridge {
    /// Fits `targets[i]` to `rows[i]`.
    pub fn fit(rows: &[&[f32]], targets: &[&[f32]], strength: f64) -> Self {
        let scale = Scaler::new(rows);
        let x: Vec<Vec<f32>> = rows.iter().map(|r| with_one(&scale, r)).collect();
        let (width, outputs) = (x.first().map_or(1, Vec::len), targets.first().map_or(0, |t| t.len()));
        let mut gram = vec![vec![0.0f64; width]; width];
        let mut right = vec![vec![0.0f64; width]; outputs];
        for (row, target) in x.iter().zip(targets) {
            for (i, &a) in row.iter().enumerate() {
                // The lower triangle is enough.
                gram[i][..=i].iter_mut().zip(row).for_each(|(g, b)| *g += f64::from(a * b));
                right.iter_mut().zip(*target).for_each(|(r, t)| r[i] += f64::from(a * t));
            }
        }
        for (i, row) in gram.iter_mut().enumerate() {
            row[i] += if i + 1 < width { strength } else { 1e-6 };
        }
        cholesky(&mut gram);
        let weights = right.iter().map(|r| solve(&gram, r).iter().map(|w| *w as f32).collect()).collect();
        Self { scale, weights }
    }

    /// Targets of a row.
    pub fn predict(&self, row: &[f32]) -> Vec<f32> {
        let x = with_one(&self.scale, row);
        self.weights.iter().map(|w| w.iter().zip(&x).map(|(a, b)| a * b).sum()).collect()
    }
}

/// Standardised, with a one at the end for the intercept.
fn with_one(scale: &Scaler, row: &[f32]) -> Vec<f32> {
    scale.apply(row).chain([1.0]).collect()
}

/// The lower factor, in place of the lower triangle.
fn cholesky(matrix: &mut [Vec<f64>]) {
    for i in 0..matrix.len() {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let rest = matrix[i][j] - dot;
            matrix[i][j] = if i == j { rest.max(1e-12).sqrt() } else { rest / matrix[j][j] };
        }
    }
}

fn solve(factor: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let mut x = right.to_vec();
    for i in 0..x.len() {
        let dot: f64 = (0..i).map(|k| factor[i][k] * x[k]).sum();
        x[i] = (x[i] - dot) / factor[i][i];
    }
    for i in (0..x.len()).rev() {
        let dot: f64 = (i + 1..x.len()).map(|k| factor[k][i] * x[k]).sum();
        x[i] = (x[i] - dot) / factor[i][i];
    }
    x
}

/// Pearson's correlation; `None` where one side does not vary.
pub fn correlation(a: &[f32], b: &[f32]) -> Option<f64> {
    let n = a.len() as f64;
    let mean = |v: &[f32]| v.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    let (ma, mb) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (f64::from(*x) - ma, f64::from(*y) - mb);
        (ab, aa, bb) = (ab + x * y, aa + x * x, bb + y * y);
    }
    (aa > 1e-12 && bb > 1e-12).then(|| ab / (aa * bb).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{generator, normal};

    #[test]
    fn separable_classes_are_told_apart() {
        let mut rng = generator(1, 1);
        let (mut rows, mut classes) = (Vec::new(), Vec::new());
        for i in 0..150 {
            // Unequal numbers: 100, 30, 20.
            let class = usize::from(i >= 100) + usize::from(i >= 130);
            let center = [[3.0, 0.0], [0.0, 3.0], [-3.0, -3.0]][class];
            rows.push(vec![center[0] + normal(&mut rng), 50.0 * (center[1] + normal(&mut rng)), 7.0]);
            classes.push(class);
        }
        let views: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let model = Softmax::fit(&views, &classes, 4, 1.0);
        let right = views.iter().zip(&classes).filter(|(r, c)| model.predict(r) == **c).count();
        assert!(right >= 142, "{right} of 150");
    }

    #[test]
    fn ridge_finds_a_line() {
        let mut rng = generator(2, 1);
        let rows: Vec<Vec<f32>> = (0..200).map(|_| (0..5).map(|_| normal(&mut rng)).collect()).collect();
        let targets: Vec<Vec<f32>> = rows.iter().map(|r| vec![2.0 * r[0] - r[3] + 4.0, r[1]]).collect();
        let (x, y): (Vec<&[f32]>, Vec<&[f32]>) =
            (rows.iter().map(Vec::as_slice).collect(), targets.iter().map(Vec::as_slice).collect());
        let model = Ridge::fit(&x, &y, 1e-3);
        for (row, target) in x.iter().zip(&y) {
            let predicted = model.predict(row);
            assert!((predicted[0] - target[0]).abs() < 1e-2 && (predicted[1] - target[1]).abs() < 1e-2);
        }
        assert!((correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]).expect("varies") - 1.0).abs() < 1e-9);
        assert_eq!(correlation(&[1.0, 1.0], &[2.0, 4.0]), None);
    }
}
