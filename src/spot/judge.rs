//! The judge: a small network that tells a micro-expression from everything else that a face and a room do.
//!
//! `glint-pretrain judge` trains it on generated sequences with known movements; `models/judge.toml` says on which.

use serde::{Deserialize, Serialize};

use super::Rejection;
use super::measure::{MEASURES, Measures, NAMES};
use crate::kernels::layer;
use crate::model::{Checked, FileSpec, ModelError, Spec};

/// What a candidate is, in the order of the judge's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A micro-expression.
    Micro,
    /// The lids.
    Blink,
    /// A part of a longer expression.
    Macro,
    /// Speech.
    Speech,
    /// The head.
    Turn,
    /// The light.
    Light,
    /// A hand before the face, a lamp in the glasses.
    Occlusion,
    /// Nothing.
    Noise,
}

impl Cause {
    /// All outputs.
    pub const ALL: [Self; 8] = [
        Self::Micro,
        Self::Blink,
        Self::Macro,
        Self::Speech,
        Self::Turn,
        Self::Light,
        Self::Occlusion,
        Self::Noise,
    ];

    /// The word in tables.
    pub fn as_str(self) -> &'static str {
        self.rejection().map_or("micro", Rejection::as_str)
    }

    /// Why such a candidate is rejected; `None` of a micro-expression.
    pub fn rejection(self) -> Option<Rejection> {
        Some(match self {
            Self::Micro => return None,
            Self::Blink => Rejection::Blink,
            Self::Macro => Rejection::Macro,
            Self::Speech => Rejection::Speech,
            Self::Turn => Rejection::HeadMotion,
            Self::Light => Rejection::Light,
            Self::Occlusion => Rejection::Occlusion,
            Self::Noise => Rejection::Noise,
        })
    }
}

/// Specification of the judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeSpec {
    /// The common part.
    #[serde(flatten)]
    pub file: FileSpec,
    /// Units of the two hidden layers.
    pub hidden: [usize; 2],
    /// Likelihood from which a candidate is a micro-expression.
    pub threshold: f32,
    /// Names of the inputs: those of [`NAMES`].
    pub measures: Vec<String>,
}

impl Spec for JudgeSpec {
    const KIND: &'static str = "judge";
    fn file(&self) -> &FileSpec {
        &self.file
    }
}

/// Scaled measures are clipped at so many of their standard deviations: what was never seen is as the furthest that was.
pub const CLIP: f32 = 3.0;

/// Two hidden layers over standardised measures.
#[derive(Debug, Clone)]
pub struct Judge {
    threshold: f32,
    mean: Vec<f32>,
    scale: Vec<f32>,
    layers: Vec<(Vec<f32>, Vec<f32>)>,
    input: Vec<f32>,
    hidden: [Vec<f32>; 2],
}

impl Judge {
    /// Numbers in a file.
    pub const fn numbers(hidden: [usize; 2]) -> usize {
        let [a, b] = hidden;
        2 * MEASURES + a * (MEASURES + 1) + b * (a + 1) + Cause::ALL.len() * (b + 1)
    }

    /// Takes the numbers of a file in their order: means and standard deviations of the measures, weights (by output) and
    /// biases of each layer.
    ///
    /// # Panics
    /// If there are not [`Judge::numbers`] of them.
    pub fn new(hidden: [usize; 2], threshold: f32, numbers: &[f32]) -> Self {
        assert_eq!(numbers.len(), Self::numbers(hidden), "numbers of the judge");
        let (mean, rest) = numbers.split_at(MEASURES);
        let (scale, mut rest) = rest.split_at(MEASURES);
        let mut layers = Vec::new();
        let mut inputs = MEASURES;
        for outputs in [hidden[0], hidden[1], Cause::ALL.len()] {
            let (weights, more) = rest.split_at(inputs * outputs);
            let (biases, more) = more.split_at(outputs);
            layers.push((weights.to_vec(), biases.to_vec()));
            (inputs, rest) = (outputs, more);
        }
        Self {
            threshold,
            mean: mean.to_vec(),
            scale: scale.iter().map(|s| 1.0 / s).collect(),
            layers,
            input: vec![0.0; MEASURES],
            hidden: hidden.map(|n| vec![0.0; n]),
        }
    }

    /// Reads a checked file: `f32` little endian, in the order of [`Judge::new`].
    ///
    /// # Errors
    /// [`ModelError`] where sizes, numbers or names of the measures are not those of this version.
    pub fn from_file(file: &Checked<JudgeSpec>) -> Result<Self, ModelError> {
        let JudgeSpec { hidden, threshold, measures, .. } = &file.spec;
        if !hidden.iter().all(|n| (1..=1024).contains(n)) {
            return Err(file.content_error(format!("hidden: {hidden:?}; allowed: 1 to 1024 each")));
        }
        if !(0.0..=1.0).contains(threshold) {
            return Err(file.content_error(format!("threshold: {threshold}; allowed: 0 to 1")));
        }
        if !measures.iter().map(String::as_str).eq(NAMES) {
            return Err(file.content_error("measures: they differ from those of this version"));
        }
        let expected = 4 * Self::numbers(*hidden);
        if file.bytes.len() != expected {
            return Err(file.content_error(format!("{} bytes; expected {expected}", file.bytes.len())));
        }
        let values: Vec<f32> =
            file.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        if values.iter().any(|v| !v.is_finite()) || values[MEASURES..2 * MEASURES].iter().any(|s| *s <= 0.0) {
            return Err(file.content_error("a value is not finite, or a scale is not positive"));
        }
        Ok(Self::new(*hidden, *threshold, &values))
    }

    /// Likelihood of each of [`Cause::ALL`]; they sum to 1.
    pub fn likelihoods(&mut self, measures: &Measures) -> [f32; Cause::ALL.len()] {
        for (((i, m), mean), scale) in self.input.iter_mut().zip(measures).zip(&self.mean).zip(&self.scale) {
            *i = ((m - mean) * scale).clamp(-CLIP, CLIP);
        }
        let [first, second] = &mut self.hidden;
        layer(&self.layers[0].0, &self.layers[0].1, &self.input, first);
        first.iter_mut().for_each(|h| *h = h.max(0.0));
        layer(&self.layers[1].0, &self.layers[1].1, first, second);
        second.iter_mut().for_each(|h| *h = h.max(0.0));
        let mut out = [0.0; Cause::ALL.len()];
        layer(&self.layers[2].0, &self.layers[2].1, second, &mut out);
        let most = out.iter().copied().fold(f32::MIN, f32::max);
        let powers = out.map(|v| (v - most).exp());
        let sum: f32 = powers.iter().sum();
        powers.map(|p| p / sum)
    }

    /// Why a candidate is no micro-expression, `None` of one, and how likely it is one.
    pub fn judge(&mut self, measures: &Measures) -> (Option<Rejection>, f32) {
        let likelihoods = self.likelihoods(measures);
        let micro = likelihoods[Cause::Micro as usize];
        if micro >= self.threshold {
            return (None, micro);
        }
        let others = Cause::ALL.into_iter().zip(likelihoods).skip(1);
        let likeliest = others.max_by(|a, b| a.1.total_cmp(&b.1)).and_then(|(cause, _)| cause.rejection());
        (likeliest.or(Some(Rejection::Noise)), micro)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::ROUNDING;

    /// A judge of one unit a layer that looks at the first measure alone.
    fn judge() -> Judge {
        let mut numbers = vec![0.5; MEASURES];
        numbers.extend(vec![2.0; MEASURES]);
        numbers.extend((0..MEASURES).map(|k| f32::from(u8::from(k == 0))));
        numbers.extend([0.25, 3.0, -0.5]);
        // Micro falls with it, speech rises.
        numbers.extend([-1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        numbers.extend([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        Judge::new([1, 1], 0.2, &numbers)
    }

    #[test]
    fn known_numbers_give_known_likelihoods() {
        let mut measures = [0.0; MEASURES];
        // Hidden: (0.5 - 0.5) / 2 + 0.25, then 3 of it less 0.5.
        measures[0] = 0.5;
        let likelihoods = judge().likelihoods(&measures);
        let logits = [1.0f32 - 0.25, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0];
        let sum: f32 = logits.iter().map(|l| l.exp()).sum();
        for (f, l) in likelihoods.iter().zip(logits) {
            assert!((f - l.exp() / sum).abs() < ROUNDING, "{likelihoods:?}");
        }
        assert_eq!(judge().judge(&measures).0, None);
        measures[0] = 6.5;
        assert_eq!(judge().judge(&measures).0, Some(Rejection::Speech));
        // What lies outside of all that was seen is clipped.
        let far = judge().likelihoods(&measures);
        measures[0] = 1e9;
        assert_eq!(judge().likelihoods(&measures), far);
    }
}
