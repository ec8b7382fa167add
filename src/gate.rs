//! Action unit intensities against the neutral face, and the gate that they open.
//!
//! The flow between the neutral face and this one, and the change of its brightness ([`features`](fn@features)), go through
//! a small network ([`AuNet`]) that was trained on rendered people with known intensities, filmed and followed as the daemon
//! does it: turned heads, gaze, light and noise are in its material, so what they do to the flow is no expression. Presence
//! is a threshold on intensity, nothing else.

mod features;

use serde::{Deserialize, Serialize};

pub use self::features::{FEATURES, features, mirror};
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
        let (scale, rest) = numbers.split_at(FEATURES);
        let (w1, rest) = rest.split_at(hidden * FEATURES);
        let (b1, rest) = rest.split_at(hidden);
        let (w2, b2) = rest.split_at(UNIT_COUNT * hidden);
        Self {
            scale: scale.iter().map(|s| 1.0 / s).collect(),
            first: (w1.to_vec(), b1.to_vec()),
            second: (w2.to_vec(), b2.to_vec()),
            input: vec![0.0; FEATURES],
            hidden: vec![0.0; hidden],
        }
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
        let values: Vec<f32> =
            file.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        if values.iter().any(|v| !v.is_finite()) || values[..FEATURES].iter().any(|s| *s <= 0.0) {
            return Err(file.content_error("a value is not finite, or a scale is not positive"));
        }
        Ok(Self::new(hidden, &values))
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

/// Multiples of the measured noise below which the gate stays shut.
pub const NOISE_MULTIPLE: f32 = 4.5;
/// The gate closes at this share of the intensity that opens it.
pub const HYSTERESIS: f32 = 0.6;
/// And when a movement has fallen to this share of its peak: what is left of it does not hold the gate open.
pub const FALLEN: f32 = 0.2;
/// Time constant of the noise estimate.
const NOISE_SECONDS: f32 = 4.0;
/// Time constant of the baseline: far longer than the rise of a micro-expression, far shorter than a
/// head needs to turn away.
const BASELINE_SECONDS: f32 = 0.7;
/// A gate that has been open for longer than a micro-expression lasts, by less than this multiple of the floors, is open
/// for drift; the baseline then follows with this time constant.
const DRIFT_AFTER_SECONDS: f32 = 0.65;
/// See [`DRIFT_AFTER_SECONDS`].
const DRIFT_EXCESS: f32 = 1.6;
/// See [`DRIFT_AFTER_SECONDS`].
const DRIFT_SECONDS: f32 = 0.3;
/// The gate looks at intensities through a low pass of this time constant: noise of single frames does not open it.
const SMOOTH_SECONDS: f32 = 0.015;

/// The gate of one track: thresholds, baseline, this camera's noise, hysteresis.
#[derive(Debug, Clone)]
pub struct Gate {
    thresholds: [f32; UNIT_COUNT],
    /// What a quiet face reads: a head that turns slowly looks a little like an expression.
    baseline: [f32; UNIT_COUNT],
    /// Intensities above the baseline, smoothed.
    smooth: [f32; UNIT_COUNT],
    /// Greatest `smooth` since the gate opened.
    peak: [f32; UNIT_COUNT],
    /// Mean absolute value of `smooth` in a quiet face.
    noise: [f32; UNIT_COUNT],
    open: bool,
}

impl Gate {
    /// A closed gate.
    pub fn new(thresholds: [f32; UNIT_COUNT]) -> Self {
        let zero = [0.0; UNIT_COUNT];
        Self { thresholds, baseline: zero, smooth: zero, peak: zero, noise: zero, open: false }
    }

    /// Intensity from which a unit counts: its minimum recognisable intensity, or what the noise of
    /// this camera asks for.
    pub fn floor(&self, unit: usize) -> f32 {
        // The mean absolute value of a normal deviate is 0.8 standard deviations.
        self.thresholds[unit].max(NOISE_MULTIPLE * 1.25 * self.noise[unit])
    }

    /// Takes the (signed) intensities of a frame, `dt_s` after the last one, and gives them above the baseline: what
    /// everything after the gate sees. The gate opens when any unit is above its floor, and closes when all are below
    /// [`HYSTERESIS`] times theirs or have fallen to [`FALLEN`] of what they reached.
    pub fn update(&mut self, intensities: &[f32; UNIT_COUNT], dt_s: f32) -> [f32; UNIT_COUNT] {
        let relative = std::array::from_fn(|k| intensities[k] - self.baseline[k]);
        let share = 1.0 - (-dt_s.max(0.0) / SMOOTH_SECONDS).exp();
        for (s, r) in self.smooth.iter_mut().zip(&relative) {
            *s += share * (r - *s);
        }
        if !self.open {
            self.peak = [0.0; UNIT_COUNT];
        }
        let limit = |k: usize| {
            if self.open { (HYSTERESIS * self.floor(k)).max(FALLEN * self.peak[k]) } else { self.floor(k) }
        };
        self.open = (0..UNIT_COUNT).any(|k| self.smooth[k] >= limit(k));
        for (p, s) in self.peak.iter_mut().zip(&self.smooth) {
            *p = p.max(*s);
        }
        relative
    }

    /// Whether a unit is above its floor.
    pub fn above(&self, unit: usize) -> bool {
        self.smooth[unit] >= self.floor(unit)
    }

    /// Learns baseline and noise from a quiet face; `dt_s` is the time since the last frame. Not called
    /// while anything moves: both freeze.
    pub fn learn(&mut self, intensities: &[f32; UNIT_COUNT], dt_s: f32) {
        let share = |seconds: f32| (dt_s / seconds).clamp(0.0, 0.2);
        let (slow, fast) = (share(NOISE_SECONDS), share(BASELINE_SECONDS));
        for (n, s) in self.noise.iter_mut().zip(&self.smooth) {
            *n += slow * (s.abs() - *n);
        }
        self.shift_baseline(intensities, fast);
    }

    fn shift_baseline(&mut self, intensities: &[f32; UNIT_COUNT], share: f32) {
        for ((b, s), i) in self.baseline.iter_mut().zip(&mut self.smooth).zip(intensities) {
            let step = share * (i - *b);
            *b += step;
            *s -= step;
        }
    }

    /// Lets the baseline follow a face that has read a little too much for so long that nothing moves: a head that has
    /// turned, light that has changed. `open_s` is how long the gate has been open. A face that moves much is left alone.
    pub fn follow_drift(&mut self, intensities: &[f32; UNIT_COUNT], dt_s: f32, open_s: f32) {
        let excess = (0..UNIT_COUNT).map(|k| self.smooth[k] / self.floor(k)).fold(0.0, f32::max);
        if open_s < DRIFT_AFTER_SECONDS || excess > DRIFT_EXCESS {
            return;
        }
        self.shift_baseline(intensities, (dt_s / DRIFT_SECONDS).clamp(0.0, 0.2));
    }

    /// Forgets the baseline: the neutral face is another one.
    pub fn reset_baseline(&mut self) {
        (self.baseline, self.smooth) = ([0.0; UNIT_COUNT], [0.0; UNIT_COUNT]);
        self.open = false;
    }

    /// Whether the gate is open.
    pub fn is_open(&self) -> bool {
        self.open
    }
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
    fn the_gate_does_not_chatter() {
        let mut gate = Gate::new([0.5; UNIT_COUNT]);
        let mut changes = 0;
        let mut last = false;
        for t in 0..100 {
            let mut i = [0.0; UNIT_COUNT];
            // Around the threshold with a ripple smaller than the hysteresis.
            i[4] = 0.5 + 0.12 * (t as f32).sin();
            gate.update(&i, 0.01);
            changes += usize::from(gate.is_open() != last);
            last = gate.is_open();
        }
        assert_eq!(changes, 1);
    }

    #[test]
    fn noise_raises_the_floor() {
        let mut gate = Gate::new([0.3; UNIT_COUNT]);
        for t in 0..4000 {
            let i = [if t / 4 % 2 == 0 { -0.5 } else { 0.5 }; UNIT_COUNT];
            gate.update(&i, 0.01);
            gate.learn(&i, 0.01);
        }
        assert!(gate.floor(0) > 1.0, "{}", gate.floor(0));
        let mut i = [0.0; UNIT_COUNT];
        i[0] = 0.9;
        (0..20).for_each(|_| _ = gate.update(&i, 0.01));
        assert!(!gate.is_open());
    }

    #[test]
    fn a_slow_drift_becomes_the_baseline() {
        let mut gate = Gate::new([0.4; UNIT_COUNT]);
        for t in 0..400 {
            let drift = [0.005 * t as f32; UNIT_COUNT];
            gate.update(&drift, 0.01);
            assert!(!gate.is_open(), "open at {t}");
            gate.learn(&drift, 0.01);
        }
    }

    #[test]
    fn drift_shuts_the_gate_and_a_held_movement_does_not() {
        for (level, shut) in [(0.55, true), (2.0, false)] {
            let mut gate = Gate::new([0.4; UNIT_COUNT]);
            let i = [level; UNIT_COUNT];
            for t in 0..200 {
                gate.update(&i, 0.01);
                gate.follow_drift(&i, 0.01, 0.01 * t as f32);
            }
            assert_eq!(gate.is_open(), !shut, "{level}");
        }
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
