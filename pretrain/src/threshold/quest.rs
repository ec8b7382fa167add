//! QUEST: a Bayesian adaptive staircase (Watson and Pelli 1983, mean placement of King-Smith et al. 1994).
//!
//! A posterior over the logarithm of the threshold, from the answers so far and a Weibull function of fixed slope; the
//! next stimulus is shown at the posterior's mean. The final thresholds are not read from it: they come from the fit of
//! all answers (`psychometric`), whose slope and lapses are free.

/// Share of right answers that the staircase converges to.
pub const TARGET: f64 = 0.75;
/// Slope that is assumed while answers are collected.
const SLOPE: f64 = 3.0;
/// Lapse rate that is assumed.
const LAPSE: f64 = 0.03;
/// Share that is guessed of two intervals.
const GUESS: f64 = 0.5;
/// Points of the grid.
const POINTS: usize = 161;

/// One staircase.
#[derive(Debug, Clone)]
pub struct Quest {
    /// Natural logarithms of thresholds.
    grid: Vec<f64>,
    /// Posterior, unnormalised logarithms.
    log: Vec<f64>,
    /// Answers so far.
    pub trials: usize,
}

impl Quest {
    /// A staircase for thresholds between `range` (intensities), with a wide log-normal prior around `guess`.
    pub fn new(guess: f64, range: (f64, f64)) -> Self {
        let (lo, hi) = (range.0.ln(), range.1.ln());
        let grid: Vec<f64> = (0..POINTS).map(|i| lo + (hi - lo) * i as f64 / (POINTS - 1) as f64).collect();
        let log = grid.iter().map(|x| -0.5 * ((x - guess.ln()) / 1.0).powi(2)).collect();
        Self { grid, log, trials: 0 }
    }

    fn weights(&self) -> Vec<f64> {
        let top = self.log.iter().copied().fold(f64::MIN, f64::max);
        let odds: Vec<f64> = self.log.iter().map(|l| (l - top).exp()).collect();
        let sum: f64 = odds.iter().sum();
        odds.into_iter().map(|o| o / sum).collect()
    }

    /// Mean and standard deviation of the logarithm of the threshold.
    fn moments(&self) -> (f64, f64) {
        let weights = self.weights();
        let mean: f64 = weights.iter().zip(&self.grid).map(|(w, x)| w * x).sum();
        let variance: f64 = weights.iter().zip(&self.grid).map(|(w, x)| w * (x - mean).powi(2)).sum();
        (mean, variance.sqrt())
    }

    /// Intensity to show next.
    pub fn next(&self) -> f64 {
        self.moments().0.exp()
    }

    /// Standard deviation of the logarithm of the threshold.
    pub fn spread(&self) -> f64 {
        self.moments().1
    }

    /// Takes an answer.
    pub fn answer(&mut self, intensity: f64, right: bool) {
        // Scale at which a function with this threshold is right in the target share.
        let factor = (-(1.0 - (TARGET - GUESS) / (1.0 - GUESS - LAPSE)).ln()).powf(1.0 / SLOPE);
        for (x, l) in self.grid.iter().zip(&mut self.log) {
            let scale = x.exp() / factor;
            let p = GUESS + (1.0 - GUESS - LAPSE) * (1.0 - (-(intensity / scale).powf(SLOPE)).exp());
            *l += if right { p.ln() } else { (1.0 - p).ln() };
        }
        self.trials += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::generator;
    use crate::threshold::psychometric::{Psychometric, levels};
    use rand::Rng;

    /// A participant who answers by a known function, through staircase and fit.
    fn participant(truth: Psychometric, trials: usize, seed: u64) -> (f64, f64, (f64, f64)) {
        let mut rng = generator(seed, 0);
        let mut quest = Quest::new(0.6, (0.05, 5.0));
        let mut answers = Vec::new();
        for trial in 0..trials {
            // A tenth at twice the threshold, where lapses show.
            let shown = if trial % 10 == 9 { (2.0 * quest.next()).min(5.0) } else { quest.next() };
            let right = rng.random_bool(truth.at(shown));
            quest.answer(shown, right);
            answers.push(((shown * 50.0).round() / 50.0, right));
        }
        let answers = levels(answers);
        let fitted = Psychometric::fit(&answers, 0.5).expect("fits");
        let t = fitted.bootstrap(&answers, 0.75, 60, seed).expect("a threshold");
        (t.value, quest.next(), t.interval)
    }

    #[test]
    fn simulated_participants_give_their_thresholds_back() {
        let (mut covered, mut errors, mut staircases) = (0, Vec::new(), Vec::new());
        for seed in 0..12 {
            let truth = Psychometric {
                guess: 0.5,
                scale: 0.4 + 0.1 * seed as f64,
                slope: 2.0 + 0.2 * seed as f64,
                lapse: 0.01 * (seed % 4) as f64,
            };
            let wanted = truth.threshold(0.75).expect("reached");
            let (fit, staircase, (low, high)) = participant(truth, 80, seed);
            covered += usize::from((low..=high).contains(&wanted));
            errors.push((fit / wanted).ln().abs());
            staircases.push((staircase / wanted).ln().abs());
        }
        let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len() as f64;
        // One run of wrong guesses at the start can mislead a staircase: of single ones nothing is asked.
        assert!(mean(&staircases) < 0.2, "{staircases:?}");
        let mean = mean(&errors);
        println!("80 trials: mean error {:.1} %, the interval covers {covered} of 12", 100.0 * mean);
        assert!(mean < 0.12 && covered >= 9, "{errors:?}, covered {covered}");
    }

    #[test]
    fn right_answers_lower_and_wrong_ones_raise_it() {
        let mut quest = Quest::new(1.0, (0.05, 5.0));
        let first = quest.next();
        let before = quest.spread();
        quest.answer(first, true);
        assert!(quest.next() < first && quest.spread() < before);
        let second = quest.next();
        quest.answer(second, false);
        assert!(quest.next() > second);
        assert_eq!(quest.trials, 2);
    }
}
