//! Principal components.

use rayon::prelude::*;

/// Power iterations for each component. Components of nearly the same variance are not told apart by
/// so few, and need not be: any of their rotations generates the same people.
const ITERATIONS: usize = 10;

/// Mean and the first `count` principal components, each one standard deviation long, by power
/// iteration on the Gram matrix with deflation. Deterministic.
pub fn principal_components(rows: &[Vec<f32>], count: usize) -> (Vec<f32>, Vec<Vec<f32>>) {
    let n = rows.len();
    let d = rows[0].len();
    let mut mean = vec![0.0f64; d];
    for row in rows {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / n as f64);
    }
    let mut centered: Vec<Vec<f32>> =
        rows.iter().map(|r| r.iter().zip(&mean).map(|(v, m)| v - *m as f32).collect()).collect();
    let mut modes = Vec::new();
    for k in 0..count {
        let mut direction: Vec<f32> = centered[(k * 97) % n].clone();
        for _ in 0..ITERATIONS {
            let length = direction.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-9);
            direction.iter_mut().for_each(|v| *v /= length);
            let scores: Vec<f32> =
                centered.par_iter().map(|r| r.iter().zip(&direction).map(|(a, b)| a * b).sum()).collect();
            let mut next = vec![0.0f32; d];
            for (row, s) in centered.iter().zip(&scores) {
                next.iter_mut().zip(row).for_each(|(o, v)| *o += s * v);
            }
            direction = next;
        }
        let length = direction.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-9);
        direction.iter_mut().for_each(|v| *v /= length);
        let mut variance = 0.0f64;
        for row in &mut centered {
            let score: f32 = row.iter().zip(&direction).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(&direction).for_each(|(v, d)| *v -= score * d);
            variance += f64::from(score * score) / n as f64;
        }
        let deviation = variance.sqrt() as f32;
        modes.push(direction.iter().map(|v| v * deviation).collect());
    }
    (mean.iter().map(|m| *m as f32).collect(), modes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_find_the_axis() {
        let rows: Vec<Vec<f32>> = (0..200)
            .map(|i| {
                let s = (i as f32 * 0.7).sin();
                vec![3.0 * s + 1.0, 4.0 * s, 0.01 * (i % 3) as f32]
            })
            .collect();
        let (mean, modes) = principal_components(&rows, 1);
        assert!((mean[0] - 1.0).abs() < 0.1);
        let length = modes[0].iter().map(|v| v * v).sum::<f32>().sqrt();
        assert!((modes[0][0] / length).abs() > 0.59 && (modes[0][0] / length).abs() < 0.61);
        assert!((length - 5.0 / 2.0f32.sqrt()).abs() < 0.1, "{length}");
    }
}
