//! Differences between pretrained encoders, with intervals: over people of the labelled set, over draws of few labels.

use std::collections::BTreeMap;

use glint::au::AU_COUNT;
use rand::Rng;
use rayon::prelude::*;

use crate::augment::generator;
use crate::statistics::linear::{Softmax, correlation};
use crate::statistics::score::uf1_uar;

/// Numbers of labelled people in the few-label columns.
pub(crate) const FEW: [usize; 3] = [3, 6, 12];
/// Draws of labelled people, the same ones for every row.
const DRAWS: u64 = 12;
/// Prior of the linear probes.
pub(crate) const PRIOR: f32 = 1.0;
/// Resamplings of an interval.
const RESAMPLINGS: u64 = 400;

/// What one training was worth.
pub(crate) struct TrainingScore {
    /// True and predicted class of each labelled pair.
    pub rows: Vec<(usize, usize)>,
    /// Predicted AU intensities of each labelled pair.
    pub intensities: Vec<Vec<f32>>,
    /// UF1 of each draw of labelled people, by their number as in [`FEW`].
    pub few: Vec<Vec<f64>>,
    /// Likewise on real samples; empty where there are none.
    pub real: Vec<Vec<f64>>,
    /// Retrieval among held-out people, each view by the other.
    pub retrieval: [f32; 2],
}

/// Mean.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean UF1 of some labelled pairs over the seeds of a row.
pub(crate) fn uf1(row: &[TrainingScore], picks: &[usize]) -> f64 {
    let score = |o: &TrainingScore| uf1_uar(&picks.iter().map(|&i| o.rows[i]).collect::<Vec<_>>(), 3).0;
    mean(&row.iter().map(score).collect::<Vec<_>>())
}

/// Mean correlation with true intensities over AUs that move in 20 of `truth` or more, and over the seeds of a row.
pub(crate) fn au(row: &[TrainingScore], truth: &[&[f32]], picks: &[usize]) -> f64 {
    let moving = |k: &usize| truth.iter().filter(|t| t[*k] > 0.0).count() >= 20;
    let aus: Vec<usize> = (0..AU_COUNT).filter(moving).collect();
    let mean_correlation = |o: &TrainingScore| {
        let column = |value: &dyn Fn(usize) -> f32| -> Vec<f32> { picks.iter().map(|&i| value(i)).collect() };
        let each = aus
            .iter()
            .filter_map(|&k| correlation(&column(&|i| o.intensities[i][k]), &column(&|i| truth[i][k])));
        mean(&each.collect::<Vec<_>>())
    };
    mean(&row.iter().map(mean_correlation).collect::<Vec<_>>())
}

/// UF1 on everybody else of a probe on the samples of `count` people, for each of the draws of those people.
pub(crate) fn few(rows: &[Vec<f32>], classes: &[usize], subjects: &[&str], count: usize) -> Vec<f64> {
    let mut people: Vec<&str> = subjects.to_vec();
    people.sort_unstable();
    people.dedup();
    (0..DRAWS)
        .into_par_iter()
        .map(|draw| {
            let mut rng = generator(0x0066_6577, draw);
            let mut order = people.clone();
            for i in (1..order.len()).rev() {
                order.swap(i, rng.random_range(0..=i));
            }
            let chosen = &order[..count.min(order.len() - 1)];
            let (train, test): (Vec<usize>, Vec<usize>) =
                (0..rows.len()).partition(|&i| chosen.contains(&subjects[i]));
            let x: Vec<&[f32]> = train.iter().map(|&i| &rows[i][..]).collect();
            let y: Vec<usize> = train.iter().map(|&i| classes[i]).collect();
            let model = Softmax::fit(&x, &y, 3, PRIOR);
            uf1_uar(&test.iter().map(|&i| (classes[i], model.predict(&rows[i]))).collect::<Vec<_>>(), 3).0
        })
        .collect()
}

/// Interval of 95 % of a difference, people drawn anew; `statistic` gets the pairs of the people that were drawn.
pub(crate) fn over_people(
    people: &[&str],
    seed: u64,
    statistic: impl Fn(&[usize]) -> f64 + Sync,
) -> (f64, f64) {
    let mut by_person: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    people.iter().enumerate().for_each(|(i, p)| by_person.entry(p).or_default().push(i));
    let groups: Vec<&Vec<usize>> = by_person.values().collect();
    middle(seed, |rng| {
        let picks: Vec<usize> =
            groups.iter().flat_map(|_| groups[rng.random_range(0..groups.len())].iter().copied()).collect();
        statistic(&picks)
    })
}

/// Interval of 95 % of the difference of two rows in few labels on real samples, draws of the labelled people drawn anew.
pub(crate) fn over_draws(
    ours: &[TrainingScore],
    theirs: &[TrainingScore],
    number: usize,
    seed: u64,
) -> (f64, f64) {
    let of_draw =
        |row: &[TrainingScore], d: usize| mean(&row.iter().map(|o| o.real[number][d]).collect::<Vec<_>>());
    let draws: Vec<f64> =
        (0..ours[0].real[number].len()).map(|d| of_draw(ours, d) - of_draw(theirs, d)).collect();
    middle(seed, |rng| {
        mean(&draws.iter().map(|_| draws[rng.random_range(0..draws.len())]).collect::<Vec<_>>())
    })
}

/// The middle 95 % of resampled values.
fn middle(seed: u64, statistic: impl Fn(&mut rand::rngs::SmallRng) -> f64 + Sync) -> (f64, f64) {
    let mut values: Vec<f64> =
        (0..RESAMPLINGS).into_par_iter().map(|draw| statistic(&mut generator(seed, draw))).collect();
    values.sort_unstable_by(f64::total_cmp);
    let cut = values.len() / 40;
    (values[cut - 1], values[values.len() - cut - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten people of four pairs; the predictions are right but for some.
    fn outcome(wrong: impl Fn(usize) -> bool) -> TrainingScore {
        let rows = (0..40).map(|i| (i % 3, if wrong(i) { (i + 1) % 3 } else { i % 3 })).collect();
        let intensities =
            (0..40).map(|i| vec![if wrong(i) { 0.0 } else { (i % 4) as f32 }; AU_COUNT]).collect();
        let real = vec![(0..12).map(|d| if wrong(d) { 0.4 } else { 0.5 }).collect(); 3];
        TrainingScore { rows, intensities, few: Vec::new(), real, retrieval: [0.0; 2] }
    }

    #[test]
    fn intervals_tell_better_from_equal() {
        let people: Vec<String> = (0..40).map(|i| format!("p{}", i / 4)).collect();
        let people: Vec<&str> = people.iter().map(String::as_str).collect();
        let truth: Vec<Vec<f32>> = (0..40).map(|i| vec![(i % 4) as f32; AU_COUNT]).collect();
        let truth: Vec<&[f32]> = truth.iter().map(|t| &t[..]).collect();
        let (good, bad) = ([outcome(|_| false)], [outcome(|i| i % 5 == 0)]);
        let everyone: Vec<usize> = (0..40).collect();
        assert_eq!(uf1(&good, &everyone), 1.0);
        assert!((au(&good, &truth, &everyone) - 1.0).abs() < 1e-9 && au(&bad, &truth, &everyone) < 0.95);
        let (low, high) = over_people(&people, 1, |p| uf1(&good, p) - uf1(&bad, p));
        assert!(0.0 < low && low < high && high < 0.5, "{low} {high}");
        assert_eq!(over_people(&people, 1, |p| uf1(&bad, p) - uf1(&bad, p)), (0.0, 0.0));
        let (low, high) = over_draws(&good, &bad, 0, 1);
        assert!((0.0..=0.1).contains(&low) && low < high && high <= 0.1, "{low} {high}");
    }
}
