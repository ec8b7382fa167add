//! Labelled samples beside the student: a product of two experts, of whom the second is a regression on them.
//!
//! Moving the student's own last layer instead, by a regression on what the layer before says, costs more on people whose
//! labels are not seen than it gains: `docs/results/student.md`.

use glint::student::{SIDE, pool2};

use super::megc::{FlowSample, mirrored, subjects};
use crate::net::perceptron::Perceptron;
use crate::statistics::logistic::{Logistic, Rows, balance};

/// Precision of the weights' prior in the regression.
const STRENGTH: f32 = 60.0;
/// That of the intercepts.
const INTERCEPT_STRENGTH: f32 = 1.0;
const ITERATIONS: usize = 100;
/// Subjects for each whole share of the regression,
const PER_SHARE: f32 = 10.0;
/// which is half of that where there are so few: what a regression has learned then is these very people.
const HALF_TRUSTED: f32 = 3.0;

/// How often the regression's logits are added to the student's.
pub fn share(people: usize) -> f32 {
    let people = people as f32;
    people / PER_SHARE * people / (people + HALF_TRUSTED)
}

/// 2x2 means of samples, then of their mirror images.
pub fn rows(samples: &[FlowSample]) -> [Vec<Vec<f32>>; 2] {
    [
        samples.iter().map(|s| pool2(&s.motion)).collect(),
        samples.iter().map(|s| pool2(&mirrored(&s.motion, SIDE))).collect(),
    ]
}

/// A balanced regression on the samples `picks`, given all [`rows`] and classes. Each face counts once, half as it is
/// and half mirrored.
pub fn regression(rows: &[Vec<Vec<f32>>; 2], classes: impl Fn(usize) -> usize, picks: &[usize]) -> Logistic {
    let mut x = Vec::new();
    rows.iter().for_each(|rows| picks.iter().for_each(|&i| x.extend_from_slice(&rows[i])));
    let class: Vec<usize> = picks.iter().chain(picks).map(|&i| classes(i)).collect();
    let weight: Vec<f32> = balance(&class, 1.0).iter().map(|w| 0.5 * w).collect();
    Logistic::fit(
        &Rows { x: &x, class: &class, weight: &weight },
        3,
        STRENGTH,
        INTERCEPT_STRENGTH,
        ITERATIONS,
    )
}

/// Adds what the samples say to the student.
pub fn tune(student: &mut Perceptron, samples: &[FlowSample]) {
    let all: Vec<usize> = (0..samples.len()).collect();
    let model = regression(&rows(samples), |i| samples[i].class, &all);
    student.add_linear(&model, share(subjects(samples).len()));
}

#[cfg(test)]
mod tests {
    use super::super::megc;
    use super::*;
    use crate::backend::Cpu;
    use crate::net::perceptron::{INPUTS, PerceptronNet};
    use crate::train::initialised;

    #[test]
    fn the_share_grows_with_the_people() {
        for (people, expected) in [(3, 0.15), (6, 0.4), (12, 0.96), (39, 3.621)] {
            assert!((share(people) - expected).abs() < 1e-3, "{people}: {}", share(people));
        }
    }

    #[test]
    fn what_the_samples_say_is_added_to_the_student() {
        let dir = megc::tests::folder(4);
        let samples = megc::load(dir.path()).expect("samples");
        let device = Default::default();
        let net = initialised(1, &device, || PerceptronNet::<Cpu>::new(INPUTS, [32, 16], &device));
        let all = rows(&samples);
        let before = net.fold(&all[0].concat());
        let mut after = before.clone();
        tune(&mut after, &samples);
        let every: Vec<usize> = (0..samples.len()).collect();
        let model = regression(&all, |i| samples[i].class, &every);
        let row = all[0].concat();
        for (i, (a, b)) in after.logits(&row).iter().zip(before.logits(&row)).enumerate() {
            let change = model.three(&all[0][i]);
            for c in 0..3 {
                assert!((a[c] - b[c] - share(4) * change[c]).abs() < 1e-4, "{i} {a:?} {b:?} {change:?}");
            }
        }
    }
}
