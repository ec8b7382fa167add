//! Multinomial logistic regression with a Gaussian prior, by L-BFGS (Liu and Nocedal 1989).
//!
//! Least `sum_i w_i * cross-entropy_i + strength/2 * |W - W0|^2`; the intercepts are free unless they belong to the prior.

/// What is fitted to: rows of features, classes, weights.
pub struct Rows<'a> {
    /// Features, row by row.
    pub x: &'a [f32],
    /// Class of each row.
    pub class: &'a [usize],
    /// Weight of each row.
    pub weight: &'a [f32],
}

/// A fitted model: `logits = x W + b`.
#[derive(Debug, Clone)]
pub struct Logistic {
    /// One row of weights a class.
    weights: Vec<Vec<f32>>,
    intercepts: Vec<f32>,
}

/// Pairs of steps and gradient changes that L-BFGS remembers.
const MEMORY: usize = 8;

impl Logistic {
    /// Fits a model of so many classes. `strength` is the precision of the prior of each weight, `intercept_strength` that
    /// of the intercepts; both priors are centred at zero.
    pub fn fit(
        rows: &Rows<'_>,
        classes: usize,
        strength: f32,
        intercept_strength: f32,
        iterations: usize,
    ) -> Self {
        let n = rows.class.len();
        let d = rows.x.len() / n.max(1);
        let problem = Problem { rows, n, d, classes, strength, intercept_strength };
        let start = vec![0.0; classes * (d + 1)];
        let theta = minimise(start, iterations, |theta, gradient| problem.value(theta, gradient));
        let row = |c: usize| theta[c * d..(c + 1) * d].iter().map(|v| *v as f32).collect();
        Self {
            weights: (0..classes).map(row).collect(),
            intercepts: theta[classes * d..].iter().map(|v| *v as f32).collect(),
        }
    }

    /// Weights and intercept of a class.
    pub fn class(&self, c: usize) -> (&[f32], f32) {
        (&self.weights[c], self.intercepts[c])
    }

    /// Logits of one row.
    pub fn logits(&self, x: &[f32]) -> Vec<f32> {
        self.weights.iter().zip(&self.intercepts).map(|(w, b)| b + dot(w, x)).collect()
    }

    /// Logits of one row of a model of the three classes.
    pub fn three(&self, x: &[f32]) -> [f32; 3] {
        [0, 1, 2].map(|c| self.intercepts[c] + dot(&self.weights[c], x))
    }

    /// The most likely class of a row.
    pub fn predict(&self, x: &[f32]) -> usize {
        let logits = self.logits(x);
        (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0)
    }
}

/// Turns logits into probabilities.
fn softmax(logits: &mut [f32]) {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    logits.iter_mut().for_each(|l| *l = (*l - top).exp());
    let sum: f32 = logits.iter().sum();
    logits.iter_mut().for_each(|o| *o /= sum);
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Eight sums at once: the compiler may not reorder a single one.
    let mut sums = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let remainder: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for k in 0..8 {
            sums[k] += x[k] * y[k];
        }
    }
    remainder + sums.iter().sum::<f32>()
}

struct Problem<'a> {
    rows: &'a Rows<'a>,
    n: usize,
    d: usize,
    classes: usize,
    strength: f32,
    intercept_strength: f32,
}

impl Problem<'_> {
    fn value(&self, theta: &[f64], gradient: &mut [f64]) -> f64 {
        let (d, all) = (self.d, self.classes * self.d);
        let weights: Vec<f32> = theta[..all].iter().map(|v| *v as f32).collect();
        let mut slope = vec![0.0f32; all];
        let mut loss = 0.0f64;
        let mut intercepts = vec![0.0f64; self.classes];
        let mut p = vec![0.0f32; self.classes];
        for i in 0..self.n {
            let x = &self.rows.x[i * d..(i + 1) * d];
            for (c, z) in p.iter_mut().enumerate() {
                *z = theta[all + c] as f32 + dot(&weights[c * d..(c + 1) * d], x);
            }
            softmax(&mut p);
            let (w, class) = (self.rows.weight[i], self.rows.class[i]);
            loss -= f64::from(w) * f64::from(p[class].max(1e-12)).ln();
            for (c, p) in p.iter().enumerate() {
                let g = w * (p - f32::from(c == class));
                intercepts[c] += f64::from(g);
                slope[c * d..(c + 1) * d].iter_mut().zip(x).for_each(|(s, x)| *s += g * x);
            }
        }
        for (k, g) in gradient[..all].iter_mut().enumerate() {
            *g = f64::from(slope[k]) + f64::from(self.strength) * theta[k];
            loss += 0.5 * f64::from(self.strength) * theta[k] * theta[k];
        }
        for (c, intercept) in intercepts.into_iter().enumerate() {
            let b = theta[all + c];
            gradient[all + c] = intercept + f64::from(self.intercept_strength) * b;
            loss += 0.5 * f64::from(self.intercept_strength) * b * b;
        }
        loss
    }
}

/// Least value of a smooth function from `x` on.
fn minimise(mut x: Vec<f64>, iterations: usize, value: impl Fn(&[f64], &mut [f64]) -> f64) -> Vec<f64> {
    let n = x.len();
    let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut gradient = vec![0.0; n];
    let mut f = value(&x, &mut gradient);
    let mut memory: std::collections::VecDeque<(Vec<f64>, Vec<f64>, f64)> = Default::default();
    for _ in 0..iterations {
        // Two-loop recursion.
        let mut q = gradient.clone();
        let mut alphas = Vec::with_capacity(memory.len());
        for (s, y, rho) in memory.iter().rev() {
            let a = rho * inner(s, &q);
            q.iter_mut().zip(y).for_each(|(q, y)| *q -= a * y);
            alphas.push(a);
        }
        let scale = memory.back().map_or_else(
            || 1.0 / inner(&gradient, &gradient).sqrt().max(1e-12),
            |(_, y, rho)| 1.0 / (rho * inner(y, y)),
        );
        q.iter_mut().for_each(|q| *q *= scale);
        for ((s, y, rho), a) in memory.iter().zip(alphas.iter().rev()) {
            let b = rho * inner(y, &q);
            q.iter_mut().zip(s).for_each(|(q, s)| *q += s * (a - b));
        }
        let descent = -inner(&q, &gradient);
        if descent >= 0.0 {
            break;
        }
        let mut step = 1.0;
        let (mut next, mut slope) = (x.clone(), vec![0.0; n]);
        let mut lower = None;
        for _ in 0..20 {
            next.iter_mut().zip(&x).zip(&q).for_each(|((n, x), q)| *n = x - step * q);
            let g = value(&next, &mut slope);
            if g <= f + 1e-4 * step * descent {
                lower = Some(g);
                break;
            }
            step *= 0.5;
        }
        let Some(g) = lower else { break };
        let s: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let y: Vec<f64> = slope.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let sy = inner(&s, &y);
        if sy > 1e-12 {
            if memory.len() == MEMORY {
                memory.pop_front();
            }
            memory.push_back((s, y, 1.0 / sy));
        }
        let done = (f - g).abs() <= 1e-7 * f.abs().max(1.0);
        (x, gradient, f) = (next, slope, g);
        if done {
            break;
        }
    }
    x
}

/// Weights that make every class count alike, to the power `power`; their mean is 1.
pub fn balance(classes: &[usize], power: f32) -> Vec<f32> {
    let mut count = [0.0f32; 3];
    classes.iter().for_each(|&c| count[c] += 1.0);
    let raw: Vec<f32> =
        classes.iter().map(|&c| (classes.len() as f32 / (3.0 * count[c])).powf(power)).collect();
    let mean = raw.iter().sum::<f32>() / raw.len().max(1) as f32;
    raw.iter().map(|w| w / mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{generator, normal};

    #[test]
    fn the_gradient_vanishes_at_the_fit_and_classes_are_found() {
        let mut rng = generator(4, 4);
        let class: Vec<usize> = (0..300).map(|i| i % 3).collect();
        let x: Vec<f32> = class
            .iter()
            .flat_map(|&c| {
                (0..5).map(|k| if k == c { 2.0 } else { 0.0 } + normal(&mut rng)).collect::<Vec<_>>()
            })
            .collect();
        let weight = balance(&class, 1.0);
        let rows = Rows { x: &x, class: &class, weight: &weight };
        let model = Logistic::fit(&rows, 3, 1.0, 0.0, 200);
        let right = x.chunks_exact(5).zip(&class).filter(|(x, c)| model.predict(x) == **c);
        assert!(right.count() > 240);
        let theta: Vec<f64> =
            model.weights.iter().flatten().chain(&model.intercepts).map(|v| f64::from(*v)).collect();
        let mut gradient = vec![0.0; theta.len()];
        let problem =
            Problem { rows: &rows, n: 300, d: 5, classes: 3, strength: 1.0, intercept_strength: 0.0 };
        problem.value(&theta, &mut gradient);
        assert!(gradient.iter().all(|g| g.abs() < 0.1), "{gradient:?}");
    }

    #[test]
    fn a_strong_prior_leaves_nothing_to_say() {
        let (x, class) = ([1.0f32, -1.0, 0.5, 2.0], [0, 1, 2, 0]);
        let rows = Rows { x: &x, class: &class, weight: &[1.0; 4] };
        let model = Logistic::fit(&rows, 3, 1e6, 1e6, 50);
        assert!(model.logits(&[1.0]).iter().all(|z| z.abs() < 1e-3));
    }

    #[test]
    fn balanced_weights() {
        let w = balance(&[0, 0, 0, 1], 1.0);
        assert!((w[0] * 3.0 - w[3]).abs() < 1e-6 && (w.iter().sum::<f32>() - 4.0).abs() < 1e-5);
    }
}
