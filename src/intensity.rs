//! Action unit intensities against the neutral face.
//!
//! The flow between the neutral face and this one, and the change of its brightness ([`features`](fn@features)), go through
//! a small network ([`AuNet`]) that was trained on rendered people with known intensities, filmed and followed as the daemon
//! does it: turned heads, gaze, light and noise are in its material, so what they do to the flow is no expression. Presence
//! is a threshold on intensity, nothing else.

mod features;

use serde::{Deserialize, Serialize};

pub use self::features::{COLUMNS, FEATURES, ROWS, features, mirror, motion};
use crate::au::{AUS, UNIT_COUNT, UNITS, unit_indices};
use crate::kernels::{layer, layer_int8};
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
    /// How the file holds the weights.
    #[serde(default)]
    pub precision: Precision,
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

    /// The threshold of every unit.
    ///
    /// # Errors
    /// A key that is missing, unknown or out of range.
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
/// What runs is [`CLIP`] in so many steps: the most with which no sum over all features leaves an `i32`.
const STEPS: i32 = i32::MAX / (128 * FEATURES as i32);

/// How the weights of the first layer are written, which are nearly all of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// As they were trained.
    #[default]
    F32,
    /// As they run: a byte each, times a step for each hidden unit.
    Int8,
}

/// A network with one hidden layer: features to intensities of all [`UNITS`]. The first layer runs on whole numbers, weights of 8
/// bits and features of 14, whatever the file holds: a quarter of the memory that each frame reads, and the same bits on
/// every processor.
#[derive(Debug, Clone)]
pub struct AuNet {
    /// Divides each feature.
    scale: Vec<f32>,
    /// Of each hidden unit.
    first: QuantizedLayer,
    /// Weights of each output, one number a hidden unit, and its bias.
    second: (Vec<f32>, Vec<f32>),
    /// Scaled features in steps of [`CLIP`] / [`STEPS`].
    input: Vec<i16>,
    hidden: Vec<f32>,
}

/// A layer whose weights are steps of a size that each output has for itself.
#[derive(Debug, Clone)]
struct QuantizedLayer {
    /// A row of [`FEATURES`] for each output.
    weights: Vec<i8>,
    /// What one step is worth.
    steps: Vec<f32>,
    biases: Vec<f32>,
}

impl AuNet {
    /// Numbers in an `f32` file with `hidden` hidden units.
    pub const fn numbers(hidden: usize) -> usize {
        FEATURES + hidden * (FEATURES + 1) + UNIT_COUNT * (hidden + 1)
    }

    /// Takes the numbers of an `f32` file in their order: scales, weights and biases of the first layer (by hidden unit), of
    /// the second one (by output).
    ///
    /// # Panics
    /// If there are not [`AuNet::numbers`] of them.
    pub fn new(hidden: usize, numbers: &[f32]) -> Self {
        assert_eq!(numbers.len(), Self::numbers(hidden), "numbers of the AU network");
        Self::quantized(hidden, numbers.iter().copied())
    }

    /// Of as many numbers as there have to be. They are not collected first: four megabytes more would stay with the process.
    fn quantized(hidden: usize, mut numbers: impl Iterator<Item = f32>) -> Self {
        let mut take = |count| numbers.by_ref().take(count).collect::<Vec<f32>>();
        let scale = take(FEATURES);
        let (mut weights, mut steps) = (Vec::with_capacity(hidden * FEATURES), Vec::with_capacity(hidden));
        for _ in 0..hidden {
            let row = take(FEATURES);
            let greatest = row.iter().fold(0.0f32, |m, w| m.max(w.abs()));
            let step = (greatest / 127.0).max(f32::MIN_POSITIVE);
            // At most 127 by the choice of the step.
            weights.extend(row.iter().map(|w| (w / step).round() as i8));
            steps.push(step);
        }
        let first = QuantizedLayer { weights, steps, biases: take(hidden) };
        Self::from_layers(scale, first, (take(UNIT_COUNT * hidden), take(UNIT_COUNT)))
    }

    fn from_layers(scale: Vec<f32>, first: QuantizedLayer, second: (Vec<f32>, Vec<f32>)) -> Self {
        let hidden = vec![0.0; first.steps.len()];
        Self { scale, first, second, input: vec![0; FEATURES], hidden }
    }

    /// Reads a checked file, little endian. `f32` is in the order of [`AuNet::new`]. `int8` is scales, steps and
    /// biases of the first layer, weights and biases of the second one, all `f32`, and then a byte for each weight of
    /// the first layer.
    ///
    /// # Errors
    /// [`ModelError`] where the numbers are not as many as the specification says, or not finite.
    pub fn from_file(file: &Checked<AuSpec>) -> Result<Self, ModelError> {
        let hidden = file.spec.hidden;
        if !(1..=4096).contains(&hidden) {
            return Err(file.content_error(format!("hidden: {hidden}; allowed: 1 to 4096")));
        }
        let (numbers, bytes) = match file.spec.precision {
            Precision::F32 => (Self::numbers(hidden), 0),
            Precision::Int8 => (Self::numbers(hidden) - hidden * (FEATURES - 1), hidden * FEATURES),
        };
        let expected = 4 * numbers + bytes;
        if file.bytes.len() != expected {
            return Err(file.content_error(format!("{} bytes; expected {expected}", file.bytes.len())));
        }
        let (numbers, weights) = file.bytes.split_at(4 * numbers);
        let mut values = numbers.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        if values.clone().any(|v| !v.is_finite()) || values.clone().take(FEATURES).any(|s| s <= 0.0) {
            return Err(file.content_error("a value is not finite, or a scale is not positive"));
        }
        if file.spec.precision == Precision::F32 {
            return Ok(Self::quantized(hidden, values));
        }
        let mut take = |count| values.by_ref().take(count).collect::<Vec<f32>>();
        let (scale, steps, biases) = (take(FEATURES), take(hidden), take(hidden));
        let weights = weights.iter().map(|w| w.cast_signed()).collect();
        Ok(Self::from_layers(
            scale,
            QuantizedLayer { weights, steps, biases },
            (take(UNIT_COUNT * hidden), take(UNIT_COUNT)),
        ))
    }

    /// The network as an `int8` file: see [`AuNet::from_file`].
    pub fn int8_file(&self) -> Vec<u8> {
        let Self { scale, first, second, .. } = self;
        let numbers = [scale, &first.steps, &first.biases, &second.0, &second.1].into_iter().flatten();
        let weights = first.weights.iter().map(|w| w.cast_unsigned());
        numbers.flat_map(|v| v.to_le_bytes()).chain(weights).collect()
    }

    /// Intensities of all units that `features` (see [`features`]) speak of, signed: noise about zero stays noise about
    /// zero. [`presentable`] makes of them what a user sees.
    pub fn run(&mut self, features: &[f32]) -> [f32; UNIT_COUNT] {
        for ((i, f), s) in self.input.iter_mut().zip(features).zip(&self.scale) {
            // Rounded by cutting off what is positive: `round` is a call on processors without SSE 4.1.
            let above = (f / s).clamp(-CLIP, CLIP) * (STEPS as f32 / CLIP) + (STEPS as f32 + 0.5);
            *i = (above as i32 - STEPS) as i16;
        }
        let QuantizedLayer { weights, steps, biases } = &self.first;
        layer_int8(weights, steps, biases, &self.input, CLIP / STEPS as f32, &mut self.hidden);
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

/// Intensity of the larger side of each AU of [`AUS`], in order.
pub fn by_au(intensities: &[f32; UNIT_COUNT]) -> [f32; AUS.len()] {
    AUS.map(|au| {
        UNITS.iter().zip(intensities).filter(|(u, _)| u.au == au).map(|(_, i)| *i).fold(0.0, f32::max)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sha256_hex;
    use crate::random::SplitMix;
    use crate::tolerances::THOUSANDTH;

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
        let levels = net.run(&flow);
        // (1 + 1.5 - 1) * 2.
        assert!((levels[3] - 3.0).abs() < THOUSANDTH && levels[4] == -0.25 && levels[0] == 0.0, "{levels:?}");
        assert_eq!(presentable(&levels)[4], 0.0);
        flow[0] = -2.0;
        assert_eq!(net.run(&flow)[3], 0.0);
        flow[0] = 1e9;
        assert!((net.run(&flow)[3] - 2.0 * (CLIP + 1.5 - 1.0)).abs() < THOUSANDTH, "clipped");
    }

    #[test]
    fn an_int8_file_is_the_network_that_an_f32_file_gives() {
        let mut rng = SplitMix(5);
        let hidden = 3;
        let numbers: Vec<f32> = (0..AuNet::numbers(hidden)).map(|_| 0.01 + 0.2 * rng.uniform()).collect();
        let file = |precision, bytes: Vec<u8>| {
            let file = FileSpec {
                kind: "au".into(),
                file: "au.bin".into(),
                sha256: sha256_hex(&bytes),
                made_by: String::new(),
            };
            let spec = AuSpec { file, hidden, precision, thresholds: Thresholds::uniform(0.5) };
            Checked { path: "au.toml".into(), sha256: spec.file.sha256.clone(), spec, bytes: bytes.into() }
        };
        let f32s = file(Precision::F32, numbers.iter().flat_map(|v| v.to_le_bytes()).collect());
        let mut from_f32 = AuNet::from_file(&f32s).expect("a network");
        let int8 = from_f32.int8_file();
        assert!(int8.len() < f32s.bytes.len() * 3 / 4);
        let mut from_int8 = AuNet::from_file(&file(Precision::Int8, int8.clone())).expect("a network");
        let features: Vec<f32> = (0..FEATURES).map(|_| rng.uniform() - 0.5).collect();
        let levels = from_int8.run(&features);
        assert_eq!(levels, from_f32.run(&features));
        // And it is what the numbers say, to half a step of each weight.
        let row = |k: usize| &numbers[FEATURES * (1 + k)..][..FEATURES];
        let first = |k: usize| {
            let sum: f32 = row(k)
                .iter()
                .zip(&features)
                .zip(&numbers)
                .map(|((w, f), s)| w * (f / s).clamp(-CLIP, CLIP))
                .sum();
            (sum + numbers[FEATURES * (1 + hidden) + k]).max(0.0)
        };
        let second = &numbers[FEATURES * (1 + hidden) + hidden..];
        let exact: f32 = (0..hidden).map(|k| first(k) * second[k]).sum::<f32>() + second[UNIT_COUNT * hidden];
        assert!((levels[0] - exact).abs() < 0.02 * exact.abs().max(1.0), "{} {exact}", levels[0]);
        // A byte short of it, or the other precision, is no network.
        let short = file(Precision::Int8, int8[1..].to_vec());
        let message = AuNet::from_file(&short).expect_err("short").to_string();
        assert!(message.contains(&format!("{} bytes; expected {}", int8.len() - 1, int8.len())), "{message}");
        assert!(AuNet::from_file(&file(Precision::F32, int8)).is_err());
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
