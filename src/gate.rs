//! Action unit intensities against the neutral face, and the gate that they open.
//!
//! A face that moves is, for small movements, its neutral face plus a weighted sum of displacement
//! fields, one for each action unit and side. [`AuTable`] holds these fields as the flow of this very
//! program sees them (fitted on rendered faces with known intensities), together with the fields of
//! what is no expression: what is left of head motion. Intensities are the non-negative weights that
//! explain the measured flow best. Presence is a threshold on intensity, nothing else.

use serde::{Deserialize, Serialize};

use crate::au::{AUS, UNIT_COUNT, UNITS, unit_indices};
use crate::face::{CROP_HEIGHT, CROP_WIDTH};
use crate::flow::Flow;
use crate::model::{Checked, FileSpec, ModelError, Spec};

/// Columns of the grid on which flow is compared: one cell is 4 x 4 crop pixels.
pub const GRID_WIDTH: usize = CROP_WIDTH / 4;
/// Rows of that grid.
pub const GRID_HEIGHT: usize = CROP_HEIGHT / 4;
/// Numbers of one flow: u of every cell, then v.
pub const FEATURES: usize = 2 * GRID_WIDTH * GRID_HEIGHT;
/// Fields that are no expression: shift, turn and zoom, shear and stretch, and two of turning out of
/// the plane (quadratic in the distance from the middle).
pub const NUISANCES: usize = 8;
/// All fields.
const FIELDS: usize = UNIT_COUNT + NUISANCES;

/// Specification of the table of AU fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuSpec {
    /// The common part.
    #[serde(flatten)]
    pub file: FileSpec,
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

/// The fields, and what of the least-squares problem does not depend on the frame.
#[derive(Debug, Clone)]
pub struct AuTable {
    /// Field `k` times the weight of each feature: `FEATURES` numbers each.
    weighted: Vec<f32>,
    gram: [[f32; FIELDS]; FIELDS],
}

impl AuTable {
    /// Builds the table from the fields of all [`UNITS`] at full intensity (fraction 1), in pixels of
    /// the half-resolution flow, and the standard deviation of each feature.
    pub fn new(fields: &[f32], deviation: &[f32]) -> Self {
        assert_eq!(fields.len(), UNIT_COUNT * FEATURES, "fields");
        assert_eq!(deviation.len(), FEATURES, "deviations");
        let mut all = fields.to_vec();
        all.extend(nuisance_fields());
        let weight: Vec<f32> = deviation.iter().map(|d| 1.0 / (d * d).max(1e-6)).collect();
        let weighted: Vec<f32> =
            all.chunks_exact(FEATURES).flat_map(|f| f.iter().zip(&weight).map(|(f, w)| f * w)).collect();
        let mut gram = [[0.0; FIELDS]; FIELDS];
        for (i, row) in gram.iter_mut().enumerate() {
            for (j, cell) in row.iter_mut().enumerate() {
                let a = &weighted[i * FEATURES..][..FEATURES];
                let b = &all[j * FEATURES..][..FEATURES];
                *cell = a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>() as f32;
            }
        }
        Self { weighted, gram }
    }

    /// Reads a checked file: `f32` little endian, the fields and then the deviations.
    pub fn from_file(file: &Checked<AuSpec>) -> Result<Self, ModelError> {
        let expected = 4 * (UNIT_COUNT + 1) * FEATURES;
        if file.bytes.len() != expected {
            return Err(file.content_error(format!("{} bytes; expected {expected}", file.bytes.len())));
        }
        let values: Vec<f32> =
            file.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        if values.iter().any(|v| !v.is_finite()) {
            return Err(file.content_error("a value is not finite"));
        }
        let (fields, deviation) = values.split_at(UNIT_COUNT * FEATURES);
        Ok(Self::new(fields, deviation))
    }

    /// Intensities (0 to 5) of all units that explain `features` (see [`features`]) best: non-negative
    /// least squares by coordinate descent. `previous` is where the search starts and ends.
    pub fn solve(&self, features: &[f32], previous: &mut Solution) {
        let mut target = [0.0f32; FIELDS];
        for (t, field) in target.iter_mut().zip(self.weighted.chunks_exact(FEATURES)) {
            *t = dot(field, features);
        }
        let x = &mut previous.weights;
        for _ in 0..SWEEPS {
            for k in 0..FIELDS {
                let g = self.gram[k][k];
                let ridge = if k < UNIT_COUNT { RIDGE } else { 1e-3 };
                let explained: f32 = self.gram[k].iter().zip(x.iter()).map(|(g, x)| g * x).sum();
                let step = (target[k] - explained - ridge * g * x[k]) / (g * (1.0 + ridge)).max(1e-9);
                x[k] += step;
                if k < UNIT_COUNT {
                    x[k] = x[k].max(0.0);
                }
            }
        }
    }
}

/// Sweeps over all fields; the search starts from the last frame's answer.
const SWEEPS: usize = 12;
/// Pull towards zero, as a share of each field's own energy.
const RIDGE: f32 = 0.02;

/// Weights of all fields, kept from frame to frame.
#[derive(Debug, Clone)]
pub struct Solution {
    weights: [f32; FIELDS],
}

impl Default for Solution {
    fn default() -> Self {
        Self { weights: [0.0; FIELDS] }
    }
}

impl Solution {
    /// Intensities on the scale 0 to 5.
    pub fn intensities(&self) -> [f32; UNIT_COUNT] {
        std::array::from_fn(|k| (5.0 * self.weights[k]).min(5.0))
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Eight sums, so that the compiler may use vector registers.
    let mut sums = [0.0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for ((s, a), b) in sums.iter_mut().zip(a).zip(b) {
            *s += a * b;
        }
    }
    sums.iter().sum()
}

fn nuisance_fields() -> Vec<f32> {
    let cells = GRID_WIDTH * GRID_HEIGHT;
    let mut out = vec![0.0; NUISANCES * FEATURES];
    for i in 0..cells {
        let x = (i % GRID_WIDTH) as f32 / (0.5 * GRID_WIDTH as f32) - 1.0;
        let y = (i / GRID_WIDTH) as f32 / (0.5 * GRID_WIDTH as f32) - 1.0;
        // A face is nearly a cylinder: turning moves its middle more than its sides.
        let depth = 1.0 - x * x;
        let fields = [(1.0, 0.0), (0.0, 1.0), (x, y), (-y, x), (x, -y), (y, x), (depth, 0.0), (0.0, depth)];
        for (k, (u, v)) in fields.into_iter().enumerate() {
            out[k * FEATURES + i] = u;
            out[k * FEATURES + cells + i] = v;
        }
    }
    out
}

/// Means of the half-resolution flow over 2 x 2 blocks: u of every cell, then v. `out` has
/// [`FEATURES`] numbers.
pub fn features(flow: &Flow, out: &mut [f32]) {
    let cells = GRID_WIDTH * GRID_HEIGHT;
    let (u, v) = out.split_at_mut(cells);
    crate::kernels::halve(&flow.u, flow.width, u);
    crate::kernels::halve(&flow.v, flow.width, v);
}

/// Multiples of the measured noise below which the gate stays shut.
pub const NOISE_MULTIPLE: f32 = 4.5;
/// The gate closes at this share of the intensity that opens it.
pub const HYSTERESIS: f32 = 0.6;
/// Time constant of the noise estimate.
const NOISE_SECONDS: f32 = 4.0;
/// Time constant of the baseline: far longer than the rise of a micro-expression, far shorter than a
/// head needs to turn away.
const BASELINE_SECONDS: f32 = 0.7;

/// The gate of one track: thresholds, baseline, this camera's noise, hysteresis.
#[derive(Debug, Clone)]
pub struct Gate {
    thresholds: [f32; UNIT_COUNT],
    /// What a quiet face reads: a head that turns slowly looks a little like an expression.
    baseline: [f32; UNIT_COUNT],
    /// Mean absolute intensity of each unit in a quiet face.
    noise: [f32; UNIT_COUNT],
    open: bool,
}

impl Gate {
    /// A closed gate.
    pub fn new(thresholds: [f32; UNIT_COUNT]) -> Self {
        Self { thresholds, baseline: [0.0; UNIT_COUNT], noise: [0.0; UNIT_COUNT], open: false }
    }

    /// Intensity from which a unit counts: its minimum recognisable intensity, or what the noise of
    /// this camera asks for.
    pub fn floor(&self, unit: usize) -> f32 {
        // The mean absolute value of a normal deviate is 0.8 standard deviations.
        self.thresholds[unit].max(NOISE_MULTIPLE * 1.25 * self.noise[unit])
    }

    /// Whether any unit is above its floor; once open, above [`HYSTERESIS`] times its floor.
    pub fn update(&mut self, intensities: &[f32; UNIT_COUNT]) -> bool {
        let share = if self.open { HYSTERESIS } else { 1.0 };
        self.open = (0..UNIT_COUNT).any(|k| intensities[k] >= share * self.floor(k));
        self.open
    }

    /// Intensities above the baseline: what everything after the gate sees.
    pub fn relative(&self, intensities: &[f32; UNIT_COUNT]) -> [f32; UNIT_COUNT] {
        std::array::from_fn(|k| (intensities[k] - self.baseline[k]).max(0.0))
    }

    /// Learns baseline and noise from a quiet face; `dt_s` is the time since the last frame. Not called
    /// while anything moves: both freeze.
    pub fn learn(&mut self, intensities: &[f32; UNIT_COUNT], dt_s: f32) {
        let share = |seconds: f32| (dt_s / seconds).clamp(0.0, 0.2);
        let (slow, fast) = (share(NOISE_SECONDS), share(BASELINE_SECONDS));
        for ((n, b), i) in self.noise.iter_mut().zip(&mut self.baseline).zip(intensities) {
            *n += slow * ((i - *b).abs() - *n);
            *b += fast * (i - *b);
        }
    }

    /// Forgets the baseline: the neutral face is another one.
    pub fn reset_baseline(&mut self) {
        self.baseline = [0.0; UNIT_COUNT];
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

    /// Fields with little in common: each unit moves its own patch of the grid.
    fn table() -> (AuTable, Vec<f32>) {
        let mut fields = vec![0.0; UNIT_COUNT * FEATURES];
        for (k, f) in fields.chunks_exact_mut(FEATURES).enumerate() {
            for i in 0..24 {
                f[(k * 37 + i * (1 + k % 3)) % FEATURES] += 1.0 + 0.1 * i as f32;
            }
        }
        (AuTable::new(&fields, &vec![0.1; FEATURES]), fields)
    }

    #[test]
    fn intensities_come_back() {
        let (table, fields) = table();
        let mut flow = vec![0.0; FEATURES];
        for (k, weight) in [(3, 0.2), (11, 0.5)] {
            flow.iter_mut().zip(&fields[k * FEATURES..]).for_each(|(f, b)| *f += weight * b);
        }
        let mut solution = Solution::default();
        for _ in 0..4 {
            table.solve(&flow, &mut solution);
        }
        let found = solution.intensities();
        assert!((found[3] - 1.0).abs() < 0.06 && (found[11] - 2.5).abs() < 0.1, "{found:?}");
        for (k, i) in found.iter().enumerate().filter(|(k, _)| ![3, 11].contains(k)) {
            assert!(*i < 0.15, "unit {k}: {i}");
        }
    }

    #[test]
    fn head_motion_is_no_expression() {
        let (table, _) = table();
        let flow: Vec<f32> = nuisance_fields()[..FEATURES].iter().map(|v| 0.3 * v).collect();
        let mut solution = Solution::default();
        for _ in 0..4 {
            table.solve(&flow, &mut solution);
        }
        assert!(solution.intensities().iter().all(|i| *i < 0.1), "{:?}", solution.intensities());
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
            let open = gate.update(&i);
            changes += usize::from(open != last);
            last = open;
        }
        assert_eq!(changes, 1);
    }

    #[test]
    fn noise_raises_the_floor() {
        let mut gate = Gate::new([0.3; UNIT_COUNT]);
        for t in 0..2000 {
            gate.learn(&[if t % 2 == 0 { 0.0 } else { 0.5 }; UNIT_COUNT], 0.01);
        }
        assert!(gate.floor(0) > 1.0);
        let mut i = [0.0; UNIT_COUNT];
        i[0] = 0.9;
        assert!(!gate.update(&gate.clone().relative(&i)));
    }

    #[test]
    fn a_slow_drift_becomes_the_baseline() {
        let mut gate = Gate::new([0.4; UNIT_COUNT]);
        for t in 0..400 {
            let drift = [0.005 * t as f32; UNIT_COUNT];
            assert!(!gate.update(&gate.relative(&drift)), "open at {t}");
            gate.learn(&drift, 0.01);
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
