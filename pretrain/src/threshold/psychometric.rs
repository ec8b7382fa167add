//! Psychometric functions: Weibull with guesses and lapses, fitted by penalised likelihood, with a bootstrap interval.
//!
//! `p(x) = guess + (1 - guess - lapse) (1 - exp(-(x / scale)^slope))` (Wichmann and Hill 2001). Lapses are left free but
//! held to few, since a lapse rate fixed at 0 biases the slope and one quite free is hardly determined by a staircase.

use rand::Rng;

use crate::augment::generator;

/// Answers at one level of the stimulus.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Stimulus: AU intensity, 0 to 5.
    pub intensity: f64,
    /// Right answers. Not a whole number where answers are shares of comparisons.
    pub right: f64,
    /// Answers.
    pub trials: f64,
}

/// A fitted function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Psychometric {
    /// Share that is right without seeing anything.
    pub guess: f64,
    /// Intensity at which 63 % of the way from guess to the top is reached.
    pub scale: f64,
    /// Steepness.
    pub slope: f64,
    /// Share that is wrong however strong the stimulus is.
    pub lapse: f64,
}

/// Threshold with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Intensity at which the wanted share is right.
    pub value: f64,
    /// 2.5 and 97.5 % quantile of the bootstrap.
    pub interval: (f64, f64),
}

/// Slopes that are tried. Detection of movements lies near 2 to 4.
const SLOPES: (f64, f64) = (0.8, 8.0);
/// Greatest lapse rate that is tried.
const MAX_LAPSE: f64 = 0.1;

impl Psychometric {
    /// Share of right answers at an intensity.
    pub fn at(&self, intensity: f64) -> f64 {
        self.guess
            + (1.0 - self.guess - self.lapse) * (1.0 - (-(intensity / self.scale).powf(self.slope)).exp())
    }

    /// Intensity at which the share `level` is right; `None` where lapses or guesses exclude it.
    pub fn threshold(&self, level: f64) -> Option<f64> {
        let share = (level - self.guess) / (1.0 - self.guess - self.lapse);
        (share > 0.0 && share < 1.0).then(|| self.scale * (-(1.0 - share).ln()).powf(1.0 / self.slope))
    }

    /// Log-likelihood of answers, with the priors: slope log-normal around 3, lapse Beta(1, 20).
    fn score(&self, levels: &[Level]) -> f64 {
        let data: f64 = levels
            .iter()
            .map(|l| {
                let p = self.at(l.intensity).clamp(1e-6, 1.0 - 1e-6);
                l.right * p.ln() + (l.trials - l.right) * (1.0 - p).ln()
            })
            .sum();
        let slope = (self.slope / 3.0).ln() / 0.6;
        data - 0.5 * slope * slope + 19.0 * (1.0 - self.lapse).ln()
    }

    /// The most likely function: a grid over scale, slope and lapse, then refined around its best point by halving the
    /// steps. Deterministic, and good to about 0.1 % of the scale.
    pub fn fit(levels: &[Level], guess: f64) -> Option<Self> {
        let used: Vec<Level> =
            levels.iter().copied().filter(|l| l.trials > 0.0 && l.intensity > 0.0).collect();
        let (lo, hi) =
            used.iter().fold((f64::MAX, f64::MIN), |(lo, hi), l| (lo.min(l.intensity), hi.max(l.intensity)));
        if used.is_empty() || lo > hi {
            return None;
        }
        // A threshold may lie a little outside of what was shown, not far.
        let (lo, hi) = ((lo / 2.0).ln(), (hi * 2.0).ln());
        let steps = [(hi - lo) / 24.0, (SLOPES.1 / SLOPES.0).ln() / 8.0, MAX_LAPSE / 4.0];
        let make = |x: [f64; 3]| Self { guess, scale: x[0].exp(), slope: x[1].exp(), lapse: x[2] };
        let bounds = [(lo, hi), (SLOPES.0.ln(), SLOPES.1.ln()), (0.0, MAX_LAPSE)];
        let mut best = (f64::MIN, [0.0; 3]);
        for i in 0..=24 {
            for j in 0..=8 {
                for k in 0..=4 {
                    let x = [
                        lo + f64::from(i) * steps[0],
                        bounds[1].0 + f64::from(j) * steps[1],
                        f64::from(k) * steps[2],
                    ];
                    let score = make(x).score(&used);
                    if score > best.0 {
                        best = (score, x);
                    }
                }
            }
        }
        let mut size = 0.5;
        while size > 0.01 {
            let mut moved = false;
            for (axis, step) in steps.iter().enumerate() {
                for sign in [-1.0, 1.0] {
                    let mut x = best.1;
                    x[axis] = (x[axis] + sign * size * step).clamp(bounds[axis].0, bounds[axis].1);
                    let score = make(x).score(&used);
                    if score > best.0 + 1e-9 {
                        best = (score, x);
                        moved = true;
                    }
                }
            }
            if !moved {
                size *= 0.5;
            }
        }
        Some(make(best.1))
    }

    /// The threshold at `level`, its interval by parametric bootstrap: `draws` sets of answers of this function at the
    /// same levels, fitted anew.
    pub fn bootstrap(&self, levels: &[Level], level: f64, draws: usize, seed: u64) -> Option<Threshold> {
        let value = self.threshold(level)?;
        let mut values: Vec<f64> = (0..draws as u64)
            .filter_map(|draw| {
                let mut rng = generator(seed, draw);
                let answers: Vec<Level> = levels
                    .iter()
                    .map(|l| {
                        let p = self.at(l.intensity);
                        let right = (0..l.trials.round() as usize)
                            .filter(|_| rng.random_bool(p.clamp(0.0, 1.0)))
                            .count();
                        Level { right: right as f64, trials: l.trials.round(), ..*l }
                    })
                    .collect();
                Self::fit(&answers, self.guess)?.threshold(level)
            })
            .collect();
        if values.is_empty() {
            return Some(Threshold { value, interval: (value, value) });
        }
        values.sort_unstable_by(f64::total_cmp);
        let at = |q: f64| values[((values.len() - 1) as f64 * q).round() as usize];
        Some(Threshold { value, interval: (at(0.025), at(0.975)) })
    }
}

/// Gathers single answers (intensity, right) into levels.
pub fn levels(answers: impl IntoIterator<Item = (f64, bool)>) -> Vec<Level> {
    let mut out: Vec<Level> = Vec::new();
    for (intensity, right) in answers {
        let at = match out.iter().position(|l| (l.intensity - intensity).abs() < 1e-9) {
            Some(at) => at,
            None => {
                out.push(Level { intensity, right: 0.0, trials: 0.0 });
                out.len() - 1
            }
        };
        out[at].right += f64::from(u8::from(right));
        out[at].trials += 1.0;
    }
    out.sort_by(|a, b| a.intensity.total_cmp(&b.intensity));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_inverts_the_function() {
        let p = Psychometric { guess: 0.5, scale: 0.8, slope: 2.5, lapse: 0.03 };
        let t = p.threshold(0.75).expect("reached");
        assert!((p.at(t) - 0.75).abs() < 1e-12);
        assert_eq!((p.threshold(0.5), p.threshold(0.98)), (None, None));
        assert!((p.at(1e-9) - 0.5).abs() < 1e-6 && (p.at(50.0) - 0.97).abs() < 1e-9);
    }

    #[test]
    fn noiseless_answers_give_their_function_back() {
        let truth = Psychometric { guess: 0.5, scale: 0.8, slope: 3.0, lapse: 0.02 };
        let answers: Vec<Level> = (1..=12)
            .map(|i| {
                let intensity = 0.15 * f64::from(i);
                Level { intensity, right: 1e4 * truth.at(intensity), trials: 1e4 }
            })
            .collect();
        let found = Psychometric::fit(&answers, 0.5).expect("fits");
        assert!((found.scale / truth.scale - 1.0).abs() < 0.01, "{found:?}");
        assert!(
            (found.slope / truth.slope - 1.0).abs() < 0.05 && (found.lapse - 0.02).abs() < 0.005,
            "{found:?}"
        );
    }

    #[test]
    fn answers_are_gathered_by_level() {
        let got = levels([(0.5, true), (0.2, false), (0.5, false), (0.5, true)]);
        assert_eq!(
            got,
            [
                Level { intensity: 0.2, right: 0.0, trials: 1.0 },
                Level { intensity: 0.5, right: 2.0, trials: 3.0 }
            ]
        );
        assert_eq!(Psychometric::fit(&[], 0.5), None);
    }
}
