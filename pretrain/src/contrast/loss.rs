//! Symmetric InfoNCE (van den Oord et al. 2018) between two views, in the batch or against memory banks.

use burn::tensor::activation::log_softmax;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};

/// Contrast within the batch: row i of `a` belongs to row i of `b`. `targets` are rows of shares that sum to 1 (the
/// identity for plain positives).
pub fn in_batch<B: Backend>(
    a: Tensor<B, 2>,
    b: Tensor<B, 2>,
    temperature: f32,
    targets: Tensor<B, 2>,
) -> Tensor<B, 1> {
    let logits = a.matmul(b.transpose()) / temperature;
    let n = logits.dims()[0] as f32;
    let one_way =
        |logits: Tensor<B, 2>, targets: Tensor<B, 2>| (log_softmax(logits, 1) * targets).sum().neg() / n;
    (one_way(logits.clone(), targets.clone()) + one_way(logits.transpose(), targets)) / 2.0
}

/// Contrast of `a` with its own row of `b` against `negatives` of b's kind: one direction.
pub fn against<B: Backend>(
    a: Tensor<B, 2>,
    b: Tensor<B, 2>,
    negatives: Tensor<B, 2>,
    temperature: f32,
) -> Tensor<B, 1> {
    let positives = (a.clone() * b).sum_dim(1);
    let others = a.matmul(negatives.transpose());
    let logits = Tensor::cat(vec![positives, others], 1) / temperature;
    let n = logits.dims()[0];
    log_softmax(logits, 1).slice([0..n, 0..1]).mean().neg()
}

/// Shares by likeness of intensities: row i gives 1 to itself and less to rows whose AU intensities (0 to 5) are like
/// its own, falling off with `width`; then each row is scaled to sum to 1.
pub fn alike(intensities: &[&[f32]], width: f32) -> Vec<f32> {
    let n = intensities.len();
    let mut out = vec![0.0; n * n];
    for (i, row) in out.chunks_exact_mut(n).enumerate() {
        for (j, share) in row.iter_mut().enumerate() {
            let square: f32 = intensities[i].iter().zip(intensities[j]).map(|(a, b)| (a - b).powi(2)).sum();
            *share = if i == j { 1.0 } else { (-0.5 * square / (width * width)).exp() };
        }
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|s| *s /= sum);
    }
    out
}

/// Share of rows of `a` whose nearest row of `b` is their own.
pub fn retrieval<B: Backend>(a: Tensor<B, 2>, b: Tensor<B, 2>) -> f32 {
    let n = a.dims()[0];
    let nearest: Tensor<B, 2, Int> = a.matmul(b.transpose()).argmax(1);
    let indices = nearest.into_data().convert::<i64>().to_vec::<i64>().unwrap_or_default();
    indices.iter().enumerate().filter(|(i, j)| *i as i64 == **j).count() as f32 / n.max(1) as f32
}

/// Embeddings of every sample, kept over steps (Wu et al. 2018): negatives come from here.
#[derive(Debug, Clone, PartialEq)]
pub struct Bank {
    rows: Vec<f32>,
    width: usize,
    momentum: f32,
}

impl Bank {
    /// A bank of random rows of length 1.
    pub fn new(count: usize, width: usize, momentum: f32, seed: u64) -> Self {
        let mut rng = crate::augment::generator(seed, 0x6261_6e6b);
        let mut rows: Vec<f32> = (0..count * width).map(|_| crate::augment::normal(&mut rng)).collect();
        rows.chunks_exact_mut(width).for_each(normalise);
        Self { rows, width, momentum }
    }

    /// Rows of some samples, one after the other.
    pub fn gather(&self, indices: &[usize]) -> Vec<f32> {
        indices.iter().flat_map(|&i| &self.rows[i * self.width..][..self.width]).copied().collect()
    }

    /// Moves the row of each sample towards its new embedding: `momentum` is the share of the old one.
    pub fn update(&mut self, indices: &[usize], embeddings: &[f32]) {
        for (&i, new) in indices.iter().zip(embeddings.chunks_exact(self.width)) {
            let row = &mut self.rows[i * self.width..][..self.width];
            row.iter_mut().zip(new).for_each(|(r, n)| *r = self.momentum * *r + (1.0 - self.momentum) * n);
            normalise(row);
        }
    }

    /// The rows as bytes, for a checkpoint.
    pub fn bytes(&self) -> Vec<u8> {
        self.rows.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    /// Takes the rows of a checkpoint; false where their number is another.
    pub fn restore(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len() == 4 * self.rows.len();
        if fits {
            let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            self.rows.iter_mut().zip(values).for_each(|(r, v)| *r = v);
        }
        fits
    }
}

fn normalise(row: &mut [f32]) {
    let length = row.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-6);
    row.iter_mut().for_each(|v| *v /= length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tensor;
    use burn::backend::Flex;

    fn rows(values: &[f32], n: usize) -> Tensor<Flex, 2> {
        tensor(values.to_vec(), [n, values.len() / n], &Default::default())
    }

    fn scalar(t: Tensor<Flex, 1>) -> f32 {
        t.into_scalar()
    }

    #[test]
    fn matched_views_cost_little_and_the_loss_is_symmetric() {
        let a = [1.0, 0.0, 0.0, 1.0];
        let b = [0.8, 0.6, -0.6, 0.8];
        let identity = || rows(&[1.0, 0.0, 0.0, 1.0], 2);
        let loss = |a: &[f32], b: &[f32]| scalar(in_batch(rows(a, 2), rows(b, 2), 0.1, identity()));
        assert!(loss(&a, &a) < 1e-3);
        assert!((loss(&a, &b) - loss(&b, &a)).abs() < 1e-6);
        // By hand: logits 8, -6 and 6, 8.
        let way = |x: f32, y: f32| (1.0 + (y - x).exp()).ln();
        let expected = 0.25 * (way(8.0, -6.0) + way(8.0, 6.0) + way(8.0, 6.0) + way(8.0, -6.0));
        assert!((loss(&a, &b) - expected).abs() < 1e-4, "{} {expected}", loss(&a, &b));
        let swapped = [0.0, 1.0, 1.0, 0.0];
        assert!(loss(&a, &swapped) > 9.0);
    }

    #[test]
    fn negatives_of_the_bank_count() {
        let a = rows(&[1.0, 0.0], 1);
        let near = scalar(against(a.clone(), a.clone(), rows(&[0.0, 1.0, 0.0, -1.0], 2), 0.5));
        assert!((near - (1.0 + 2.0 * (-2.0f32).exp()).ln()).abs() < 1e-5, "{near}");
        let hard = scalar(against(a.clone(), a, rows(&[1.0, 0.0, 1.0, 0.0], 2), 0.5));
        assert!((hard - 3.0f32.ln()).abs() < 1e-5, "{hard}");
    }

    #[test]
    fn retrieval_sees_a_collapse() {
        let distinct = rows(&[1.0, 0.0, 0.0, 1.0, -1.0, 0.0], 3);
        assert_eq!(retrieval(distinct.clone(), distinct.clone()), 1.0);
        let collapsed = rows(&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0], 3);
        assert!(retrieval(collapsed, distinct) < 0.5);
    }

    #[test]
    fn likeness_gives_shares() {
        let x: [&[f32]; 3] = [&[1.0, 0.0], &[1.1, 0.0], &[0.0, 3.0]];
        let shares = alike(&x, 0.5);
        for row in shares.chunks_exact(3) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        assert!(shares[0] > shares[1] && shares[1] > 0.4 && shares[2] < 1e-3, "{shares:?}");
    }

    #[test]
    fn a_bank_moves_and_survives() {
        let mut bank = Bank::new(5, 4, 0.5, 1);
        let before = bank.gather(&[2]);
        bank.update(&[2], &[1.0, 0.0, 0.0, 0.0]);
        let after = bank.gather(&[2]);
        assert!(after[0] > before[0] && (after.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
        let mut other = Bank::new(5, 4, 0.5, 9);
        assert!(other.restore(&bank.bytes()) && other == bank);
        assert!(!other.restore(&[0; 3]));
    }
}
