//! Action unit intensities against the neutral face, and the gate that they open.
//!
//! The flow between the neutral face and this one, and the change of its brightness ([`features`](fn@features)), go through
//! a small network ([`AuNet`]) that was trained on rendered people with known intensities, filmed and followed as the daemon
//! does it: turned heads, gaze, light and noise are in its material, so what they do to the flow is no expression. Presence
//! is a threshold on intensity, nothing else.

mod features;
mod rest;

use serde::{Deserialize, Serialize};

pub use self::features::{COLUMNS, FEATURES, ROWS, features, mirror, motion};
pub(crate) use self::rest::REACH_NS;
pub use self::rest::{Gate, LongSwing, Swing};
use crate::au::{AUS, UNIT_COUNT, UNITS, unit_indices};
use crate::kernels::layer;
use crate::model::{Checked, FileSpec, ModelError, Spec};

/// Specification of the AU network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuSpec {
    /// The common part.
    #[serde(flatten)]
    pub file: FileSpec,
    /// Units of the hidden layer.
    pub hidden: usize,
    /// Thresholds of the gate: the minimum intensity (0 to 5) at which each AU counts.
    pub thresholds: Thresholds,
}

impl Spec for AuSpec {
    const KIND: &'static str = "au";
    fn file(&self) -> &FileSpec {
        &self.file
    }
}

/// Minimum recognisable intensity of each AU, on the scale 0 to 5, by the keys `au01` ... `au45`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Thresholds {
    /// Key (see [`au_key`]) to intensity.
    pub by_au: std::collections::BTreeMap<String, f32>,
}

/// Key of an AU in tables, files and columns: `au01`.
pub fn au_key(au: u8) -> String {
    format!("au{au:02}")
}

impl Thresholds {
    /// One value for every AU.
    pub fn uniform(value: f32) -> Self {
        Self { by_au: AUS.iter().map(|&au| (au_key(au), value)).collect() }
    }

    /// The threshold of every unit. The error names a key that is missing, unknown or out of range.
    pub fn by_unit(&self) -> Result<[f32; UNIT_COUNT], String> {
        for (key, value) in &self.by_au {
            if !AUS.iter().any(|&au| au_key(au) == *key) {
                return Err(format!("{key}: no such action unit; allowed: {}", AUS.map(au_key).join(" ")));
            }
            if !(value.is_finite() && (0.05..=5.0).contains(value)) {
                return Err(format!("{key}: {value}; allowed: 0.05 to 5"));
            }
        }
        let mut out = [0.0; UNIT_COUNT];
        for au in AUS {
            let key = au_key(au);
            let value = self.by_au.get(&key).ok_or_else(|| format!("{key}: missing"))?;
            for unit in unit_indices(au, crate::au::Side::Both) {
                out[unit] = *value;
            }
        }
        Ok(out)
    }
}

/// Scaled features are clipped at this many of their root mean squares.
pub const CLIP: f32 = 6.0;

/// A network with one hidden layer: features to intensities of all [`UNITS`].
#[derive(Debug, Clone)]
pub struct AuNet {
    /// Divides each feature.
    scale: Vec<f32>,
    /// Weights of each hidden unit, `FEATURES` numbers each, and its bias.
    first: (Vec<f32>, Vec<f32>),
    /// Weights of each output, one number a hidden unit, and its bias.
    second: (Vec<f32>, Vec<f32>),
    input: Vec<f32>,
    hidden: Vec<f32>,
}

impl AuNet {
    /// Numbers in a file with `hidden` hidden units.
    pub const fn numbers(hidden: usize) -> usize {
        FEATURES + hidden * (FEATURES + 1) + UNIT_COUNT * (hidden + 1)
    }

    /// Takes the numbers of a file in their order: scales, weights and biases of the first layer (by hidden unit), of the
    /// second one (by output).
    ///
    /// # Panics
    /// If there are not [`AuNet::numbers`] of them.
    pub fn new(hidden: usize, numbers: &[f32]) -> Self {
        assert_eq!(numbers.len(), Self::numbers(hidden), "numbers of the AU network");
        Self::of(hidden, numbers.iter().copied())
    }

    /// Of as many numbers as there have to be. They are not collected first: four megabytes more would stay with the process.
    fn of(hidden: usize, mut numbers: impl Iterator<Item = f32>) -> Self {
        let mut take = |count| numbers.by_ref().take(count).collect::<Vec<f32>>();
        let mut scale = take(FEATURES);
        scale.iter_mut().for_each(|s| *s = 1.0 / *s);
        let first = (take(hidden * FEATURES), take(hidden));
        let second = (take(UNIT_COUNT * hidden), take(UNIT_COUNT));
        Self { scale, first, second, input: vec![0.0; FEATURES], hidden: vec![0.0; hidden] }
    }

    /// Reads a checked file: `f32` little endian, in the order of [`AuNet::new`].
    pub fn from_file(file: &Checked<AuSpec>) -> Result<Self, ModelError> {
        let hidden = file.spec.hidden;
        if !(1..=4096).contains(&hidden) {
            return Err(file.content_error(format!("hidden: {hidden}; allowed: 1 to 4096")));
        }
        let expected = 4 * Self::numbers(hidden);
        if file.bytes.len() != expected {
            return Err(file.content_error(format!("{} bytes; expected {expected}", file.bytes.len())));
        }
        let values = || file.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        if values().any(|v| !v.is_finite()) || values().take(FEATURES).any(|s| s <= 0.0) {
            return Err(file.content_error("a value is not finite, or a scale is not positive"));
        }
        Ok(Self::of(hidden, values()))
    }

    /// Intensities of all units that `features` (see [`features`]) speak of, signed: noise about zero stays noise about
    /// zero. [`presentable`] makes of them what a user sees.
    pub fn run(&mut self, features: &[f32]) -> [f32; UNIT_COUNT] {
        for ((i, f), s) in self.input.iter_mut().zip(features).zip(&self.scale) {
            *i = (f * s).clamp(-CLIP, CLIP);
        }
        layer(&self.first.0, &self.first.1, &self.input, &mut self.hidden);
        self.hidden.iter_mut().for_each(|h| *h = h.max(0.0));
        let mut out = [0.0; UNIT_COUNT];
        layer(&self.second.0, &self.second.1, &self.hidden, &mut out);
        out
    }
}

/// Intensities on the scale 0 to 5.
pub fn presentable(signed: &[f32; UNIT_COUNT]) -> [f32; UNIT_COUNT] {
    signed.map(|i| i.clamp(0.0, 5.0))
}

/// Larger side of each AU of [`AUS`], in order.
pub fn by_au(intensities: &[f32; UNIT_COUNT]) -> [f32; AUS.len()] {
    AUS.map(|au| {
        UNITS.iter().zip(intensities).filter(|(u, _)| u.au == au).map(|(_, i)| *i).fold(0.0, f32::max)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_network_gives_known_numbers() {
        // One hidden unit that sums the first two features, one output that doubles it, another with a bias.
        let mut numbers = vec![0.5; FEATURES];
        numbers.extend((0..FEATURES).map(|i| f32::from(u8::from(i < 2))));
        numbers.push(-1.0);
        numbers.extend((0..UNIT_COUNT).map(|k| if k == 3 { 2.0 } else { 0.0 }));
        numbers.extend((0..UNIT_COUNT).map(|k| if k == 4 { -0.25 } else { 0.0 }));
        assert_eq!(numbers.len(), AuNet::numbers(1));
        let mut net = AuNet::new(1, &numbers);
        let mut flow = vec![0.0; FEATURES];
        (flow[0], flow[1], flow[2]) = (0.5, 0.75, 9.0);
        let found = net.run(&flow);
        // (1 + 1.5 - 1) * 2.
        assert!((found[3] - 3.0).abs() < 1e-5 && found[4] == -0.25 && found[0] == 0.0, "{found:?}");
        assert_eq!(presentable(&found)[4], 0.0);
        flow[0] = -2.0;
        assert_eq!(net.run(&flow)[3], 0.0);
        flow[0] = 1e9;
        assert!((net.run(&flow)[3] - 2.0 * (CLIP + 1.5 - 1.0)).abs() < 1e-4, "clipped");
    }

    #[test]
    fn thresholds_name_what_is_wrong() {
        assert!(Thresholds::uniform(0.5).by_unit().is_ok());
        assert!(Thresholds::uniform(f32::NAN).by_unit().expect_err("NaN").contains("au01: NaN"));
        let mut missing = Thresholds::uniform(0.5);
        missing.by_au.remove("au12");
        assert_eq!(missing.by_unit().expect_err("missing"), "au12: missing");
        let mut unknown = Thresholds::uniform(0.5);
        unknown.by_au.insert("au03".into(), 0.5);
        assert!(unknown.by_unit().expect_err("unknown").starts_with("au03: no such action unit"));
    }
}
