//! Scores of three classes: confusion summed over folds, UF1, UAR; how sure they are; calibration.

use rand::Rng;

use crate::augment::generator;

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ReliabilityBin {
    /// Samples.
    pub count: usize,
    /// Mean confidence.
    pub confidence: f32,
    /// Share that was right.
    pub accuracy: f32,
}

/// Counts: truth in rows, prediction in columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confusion(pub [[u32; 3]; 3]);

impl Confusion {
    /// Counts predictions.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut out = Self::default();
        pairs.into_iter().for_each(|(truth, predicted)| out.0[truth][predicted] += 1);
        out
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().flatten().zip(other.0.iter().flatten()).for_each(|(a, b)| *a += b);
    }

    /// UF1: see [`uf1_uar`].
    pub fn uf1(&self) -> f64 {
        self.averages().0
    }

    /// UAR: see [`uf1_uar`].
    pub fn uar(&self) -> f64 {
        self.averages().1
    }

    fn averages(&self) -> (f64, f64) {
        macro_averages(3, |truth, predicted| f64::from(self.0[truth][predicted]))
    }
}

/// Macro-averaged F1 and recall of (truth, prediction), as MEGC2019 defines them (See et al. 2019): means over all classes
/// of the protocol of F1 = 2 TP / (2 TP + FP + FN) and of TP / (TP + FN). A class that nobody has counts 0 in both, so
/// that scores over folds, draws and databases are means of the same classes.
pub fn uf1_uar(rows: &[(usize, usize)], classes: usize) -> (f64, f64) {
    let mut counts = vec![0.0; classes * classes];
    rows.iter().for_each(|(truth, predicted)| counts[truth * classes + predicted] += 1.0);
    macro_averages(classes, |truth, predicted| counts[truth * classes + predicted])
}

fn macro_averages(classes: usize, count: impl Fn(usize, usize) -> f64) -> (f64, f64) {
    let (mut f1, mut recall) = (0.0, 0.0);
    for c in 0..classes {
        let truth: f64 = (0..classes).map(|k| count(c, k)).sum();
        let predicted: f64 = (0..classes).map(|k| count(k, c)).sum();
        f1 += 2.0 * count(c, c) / (truth + predicted).max(1.0);
        recall += count(c, c) / truth.max(1.0);
    }
    (f1 / classes as f64, recall / classes as f64)
}

/// Confusions of a method: one for each subject, once for each seed.
#[derive(Debug, Clone, Default)]
pub struct BySubject(pub Vec<Vec<Confusion>>);

/// Draws of a bootstrap and of a permutation test.
const DRAWS: u64 = 2000;

impl BySubject {
    fn total(&self, seed: usize, weight: &[u32]) -> Confusion {
        let mut out = Confusion::default();
        for (c, &w) in self.0[seed].iter().zip(weight) {
            for (a, b) in out.0.iter_mut().flatten().zip(c.0.iter().flatten()) {
                *a += w * b;
            }
        }
        out
    }

    /// UF1 with each subject counted `weight` times, mean over seeds.
    fn uf1(&self, weight: &[u32]) -> f64 {
        (0..self.0.len()).map(|s| self.total(s, weight).uf1()).sum::<f64>() / self.0.len() as f64
    }

    /// Sum over subjects of each seed.
    pub fn totals(&self) -> Vec<Confusion> {
        let ones = vec![1; self.0.first().map_or(0, Vec::len)];
        (0..self.0.len()).map(|s| self.total(s, &ones)).collect()
    }

    /// 95 % interval of the UF1 (mean over seeds) under resampling of subjects.
    pub fn interval(&self, seed: u64) -> [f64; 2] {
        let n = self.0.first().map_or(0, Vec::len);
        let mut values: Vec<f64> = resampled(n, seed).map(|weight| self.uf1(&weight)).collect();
        values.sort_by(f64::total_cmp);
        [0.025, 0.975].map(|q| values.get((q * DRAWS as f64) as usize).copied().unwrap_or(0.0))
    }

    /// Paired permutation test against another method on the same subjects: the difference of the UF1, and the share of
    /// random exchanges of the two methods' predictions, whole subjects at a time, with a difference at least as large.
    pub fn paired(&self, other: &Self, seed: u64) -> (f64, f64) {
        let n = self.0.first().map_or(0, Vec::len);
        let seeds = |swap: &[bool], a: &Self, b: &Self| {
            let mean = |x: &Self, y: &Self| {
                // With another number of seeds the shorter one repeats.
                let count = x.0.len().max(y.0.len());
                let one = |k: usize| {
                    let mut sum = Confusion::default();
                    for (i, swapped) in swap.iter().enumerate() {
                        let from = if *swapped { y } else { x };
                        sum.add(&from.0[k % from.0.len()][i]);
                    }
                    sum.uf1()
                };
                (0..count).map(one).sum::<f64>() / count as f64
            };
            mean(a, b) - mean(b, a)
        };
        let difference = seeds(&vec![false; n], self, other);
        let mut rng = generator(seed, 0x7065_726d);
        let extreme = (0..DRAWS)
            .filter(|_| {
                let swap: Vec<bool> = (0..n).map(|_| rng.random()).collect();
                seeds(&swap, self, other).abs() >= difference.abs() - 1e-12
            })
            .count();
        (difference, (extreme + 1) as f64 / (DRAWS + 1) as f64)
    }
}

/// How often each of `n` subjects is drawn: once for each draw of a bootstrap.
pub(super) fn resampled(n: usize, seed: u64) -> impl Iterator<Item = Vec<u32>> {
    let mut rng = generator(seed, 0x626f_6f74);
    (0..DRAWS).map(move |_| {
        let mut weight = vec![0; n];
        (0..n).for_each(|_| weight[rng.random_range(0..n)] += 1);
        weight
    })
}

/// Mean and standard deviation.
pub fn mean_sd(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, square.sqrt())
}

/// Softmax of logits divided by a temperature.
pub fn probabilities(logits: &[f32; 3], temperature: f32) -> [f32; 3] {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let odds = logits.map(|l| ((l - top) / temperature).exp());
    let sum: f32 = odds.iter().sum();
    odds.map(|o| o / sum)
}

/// Index of the greatest value.
pub fn argmax(values: &[f32; 3]) -> usize {
    (1..3).fold(0, |best, c| if values[c] > values[best] { c } else { best })
}

/// The temperature with the least log loss (Guo et al. 2017), by golden-section search.
pub fn temperature(logits: &[[f32; 3]], classes: &[usize]) -> f32 {
    let loss = |t: f32| -> f64 {
        let each = logits.iter().zip(classes);
        each.map(|(l, &c)| -f64::from(probabilities(l, t)[c].max(1e-9)).ln()).sum()
    };
    let (mut lo, mut hi) = (0.2f32, 8.0f32);
    for _ in 0..40 {
        let (a, b) = (hi - 0.618 * (hi - lo), lo + 0.618 * (hi - lo));
        if loss(a) < loss(b) { hi = b } else { lo = a }
    }
    0.5 * (lo + hi)
}

/// Reliability in ten bins of confidence.
pub fn reliability(probabilities: &[[f32; 3]], classes: &[usize]) -> Vec<ReliabilityBin> {
    bins(probabilities.iter().zip(classes).map(|(p, &c)| (p[argmax(p)], argmax(p) == c)))
}

/// Ten bins of answers given as (confidence, right or not).
pub fn bins(answers: impl IntoIterator<Item = (f32, bool)>) -> Vec<ReliabilityBin> {
    let mut bins = vec![ReliabilityBin::default(); 10];
    for (confidence, right) in answers {
        let bin = &mut bins[((confidence * 10.0) as usize).min(9)];
        bin.count += 1;
        bin.confidence += confidence;
        bin.accuracy += f32::from(right);
    }
    for bin in bins.iter_mut().filter(|b| b.count > 0) {
        bin.confidence /= bin.count as f32;
        bin.accuracy /= bin.count as f32;
    }
    bins
}

/// Expected calibration error: mean over the samples of |confidence - accuracy| of their bin.
pub fn calibration_error(bins: &[ReliabilityBin]) -> f64 {
    let total: usize = bins.iter().map(|b| b.count).sum();
    let sum: f64 = bins.iter().map(|b| b.count as f64 * f64::from((b.confidence - b.accuracy).abs())).sum();
    sum / total.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_a_known_table() {
        // F1: 2*5/(2*5+1+2), 2*3/(2*3+2+1), 2*2/(2*2+1+1).
        let c = Confusion([[5, 1, 1], [1, 3, 0], [0, 1, 2]]);
        let expected = (10.0 / 13.0 + 6.0 / 9.0 + 4.0 / 6.0) / 3.0;
        assert!((c.uf1() - expected).abs() < 1e-12, "{}", c.uf1());
        assert!((c.uar() - (5.0 / 7.0 + 3.0 / 4.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
        // The majority class alone.
        let majority = Confusion([[250, 0, 0], [109, 0, 0], [83, 0, 0]]);
        assert!((majority.uf1() - 0.241).abs() < 1e-3 && (majority.uar() - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn every_class_of_the_protocol_counts_whether_it_occurs_or_not() {
        // Class 0: 2 hits, 1 miss; class 1: 1 hit, 1 false positive; class 2 does not occur.
        let rows = [(0, 0), (0, 0), (0, 1), (1, 1)];
        let (uf1, uar) = uf1_uar(&rows, 3);
        assert!(
            (uf1 - (0.8 + 2.0 / 3.0) / 3.0).abs() < 1e-12 && (uar - (2.0 / 3.0 + 1.0) / 3.0).abs() < 1e-12
        );
        let confusion = Confusion::from_pairs(rows);
        assert_eq!((confusion.uf1(), confusion.uar()), (uf1, uar));
        // With two classes the third is no part of the protocol.
        assert!((uf1_uar(&rows, 2).0 - (0.8 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!(uf1_uar(&[], 3), (0.0, 0.0));
    }

    #[test]
    fn a_better_method_differs_and_an_equal_one_does_not() {
        let right = Confusion([[3, 0, 0], [0, 2, 0], [0, 0, 2]]);
        let worse = Confusion([[2, 1, 0], [1, 1, 0], [0, 1, 1]]);
        let good = BySubject(vec![vec![right; 20]]);
        let bad = BySubject(vec![vec![worse; 20]; 2]);
        let (difference, p) = good.paired(&bad, 1);
        assert!(difference > 0.3 && p < 0.01, "{difference} {p}");
        let (difference, p) = good.paired(&good, 1);
        assert!(difference == 0.0 && p > 0.99, "{difference} {p}");
        let [lo, hi] = bad.interval(1);
        assert!(lo <= bad.totals()[0].uf1() && hi >= bad.totals()[0].uf1());
    }

    #[test]
    fn temperature_and_calibration() {
        // Right in three of four cases whatever is said: the confidence must become 0.75.
        let logits: Vec<[f32; 3]> = vec![[5.0, 0.0, 0.0]; 400];
        let classes: Vec<usize> = (0..400).map(|i| usize::from(i % 4 == 3)).collect();
        let t = temperature(&logits, &classes);
        let p: Vec<[f32; 3]> = logits.iter().map(|l| probabilities(l, t)).collect();
        assert!((p[0][0] - 0.75).abs() < 0.08, "{:?} at {t}", p[0]);
        let raw: Vec<[f32; 3]> = logits.iter().map(|l| probabilities(l, 1.0)).collect();
        let error = |p: &[[f32; 3]]| calibration_error(&reliability(p, &classes));
        assert!(error(&raw) > 0.2 && error(&p) < 0.08);
    }
}
