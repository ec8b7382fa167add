//! Intensities between two crops, by the daemon's own flow and AU network, and the range that is kept.

use std::path::Path;

use anyhow::{Context, Result};
use glint::au::{AU_COUNT, UNIT_COUNT, UNITS, au_index};
use glint::face::{CROP_HEIGHT, CROP_WIDTH};
use glint::flow::{FlowEngine, FlowSettings};
use glint::intensity::{AuNet, FEATURES, Thresholds, by_au, features, presentable};
use glint::pipeline::Models;
use serde::{Deserialize, Serialize};

/// Intensity from which a movement is a macro-expression unless somebody says otherwise: more than half of the full
/// movement, and the lids (AU 7) at 40 % of theirs are measured as up to 3.4.
pub const MACRO_FROM: f32 = 3.5;

/// Least intensity that counts, however low an AU's minimum is: between two single frames a face that does nothing reads
/// up to this. The minima are those of a gate that smooths the signal and knows its camera's noise.
pub const FLOOR: f32 = 0.3;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Minimum recognisable intensity of each AU, in the order of [`glint::au::AUS`]; see also [`FLOOR`].
    pub least: [f32; AU_COUNT],
    /// Intensity from which a movement is a macro-expression.
    pub macro_from: f32,
}

/// Minimum recognisable intensity of each AU: of a file that `threshold` has written, or the model's.
pub fn least(file: Option<&Path>, models: &Models) -> Result<[f32; AU_COUNT]> {
    let thresholds = match file {
        None => models.au.spec.thresholds.clone(),
        Some(path) => {
            let name = || path.display().to_string();
            let text = std::fs::read_to_string(path).with_context(name)?;
            toml::from_str::<Thresholds>(&text).with_context(name)?
        }
    };
    Ok(by_au(&thresholds.by_unit().map_err(|e| anyhow::anyhow!("thresholds: {e}"))?))
}

/// Why a pair is kept or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Between the least and the macro range.
    Kept,
    /// No unit reaches its minimum recognisable intensity.
    BelowMinimum,
    /// A unit reaches the macro range.
    MacroRange,
    /// The lids closed, and nothing else moved by itself.
    Blink,
    /// The face stays moved for longer than a micro-expression: a macro-expression, or talk.
    Sustained,
    /// Nothing was quiet before it.
    NoReference,
    /// The head moved, or the face was lost.
    HeadMotion,
    /// Frames are missing.
    Gap,
}

impl Reason {
    /// Its name in files and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::BelowMinimum => "below_minimum",
            Self::MacroRange => "macro_range",
            Self::Blink => "blink",
            Self::Sustained => "sustained",
            Self::NoReference => "no_reference",
            Self::HeadMotion => "head_motion",
            Self::Gap => "gap",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Measures pairs of crops.
pub struct PairFilter {
    net: AuNet,
    engine: FlowEngine,
    features: Vec<f32>,
    planes: [Vec<f32>; 2],
    range: Range,
}

impl PairFilter {
    /// A filter with the daemon's AU network.
    pub fn new(models: &Models, range: Range) -> Result<Self> {
        Ok(Self {
            net: AuNet::from_file(&models.au)?,
            engine: FlowEngine::new(CROP_WIDTH, CROP_HEIGHT, FlowSettings::QUICK),
            features: vec![0.0; FEATURES],
            planes: [(); 2].map(|()| vec![0.0; CROP_WIDTH * CROP_HEIGHT]),
            range,
        })
    }

    /// Intensity of every unit, 0 to 5, between two crops.
    pub fn intensities(&mut self, reference: &[u8], target: &[u8]) -> [f32; UNIT_COUNT] {
        for (plane, crop) in self.planes.iter_mut().zip([reference, target]) {
            plane.iter_mut().zip(crop).for_each(|(p, c)| *p = f32::from(*c));
        }
        self.engine.set_reference(&self.planes[0]);
        let [neutral, crop] = &self.planes;
        features(self.engine.run(crop), neutral, crop, &mut self.features);
        presentable(&self.net.run(&self.features))
    }

    /// Whether a pair is kept, and its intensities by AU.
    pub fn decide(&mut self, reference: &[u8], target: &[u8]) -> (Reason, [f32; AU_COUNT]) {
        let intensities = self.intensities(reference, target);
        (self.range.place(&intensities), by_au(&intensities))
    }
}

impl Range {
    /// Intensity from which an AU counts, by its place in [`glint::au::AUS`].
    pub fn counts_from(&self, au: usize) -> f32 {
        self.least[au].max(FLOOR)
    }

    /// Where intensities lie.
    pub fn place(&self, intensities: &[f32; UNIT_COUNT]) -> Reason {
        let strongest = |wanted: &dyn Fn(u8) -> bool| {
            UNITS.iter().zip(intensities).filter(|(u, _)| wanted(u.au)).map(|(_, i)| *i).fold(0.0, f32::max)
        };
        let recognised =
            |k: usize| au_index(UNITS[k].au).is_some_and(|au| intensities[k] >= self.counts_from(au));
        // The lids take AU 5, 6, 7 and 4 along when they close, but do not move less than these do.
        let lids = strongest(&|au| au == 45);
        let taken_along = strongest(&|au| matches!(au, 4..=7));
        let others = strongest(&|au| !matches!(au, 45 | 7 | 6 | 5 | 4));
        let lids_recognised = (0..UNIT_COUNT).any(|k| UNITS[k].au == 45 && recognised(k));
        if lids_recognised && lids >= taken_along && others < 0.5 * lids {
            return Reason::Blink;
        }
        if !(0..UNIT_COUNT).any(|k| UNITS[k].au != 45 && recognised(k)) {
            return Reason::BelowMinimum;
        }
        if strongest(&|au| au != 45) >= self.macro_from { Reason::MacroRange } else { Reason::Kept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_called_in_tables_what_they_are_called_in_files() {
        use Reason::*;
        for reason in [Kept, BelowMinimum, MacroRange, Blink, Sustained, NoReference, HeadMotion, Gap] {
            assert_eq!(serde_json::to_value(reason).expect("a word"), reason.as_str());
        }
    }
    use glint::au::{Side, unit_indices};
    use glint::geometry::Similarity;
    use glint::synth::{Pack, Subject, render_crop};

    fn range() -> Range {
        Range { least: [0.45; AU_COUNT], macro_from: 2.5 }
    }

    #[test]
    fn ranges_and_blinks() {
        let place = |moves: &[(u8, f32)]| {
            let mut i = [0.0; UNIT_COUNT];
            for &(au, value) in moves {
                unit_indices(au, Side::Left).for_each(|k| i[k] = value);
            }
            range().place(&i)
        };
        assert_eq!(place(&[]), Reason::BelowMinimum);
        assert_eq!(place(&[(12, 0.44)]), Reason::BelowMinimum);
        assert_eq!(place(&[(12, 0.46)]), Reason::Kept);
        assert_eq!(place(&[(12, 2.6), (4, 1.0)]), Reason::MacroRange);
        assert_eq!(place(&[(45, 4.0), (7, 1.5)]), Reason::Blink);
        assert_eq!(place(&[(45, 1.0), (12, 1.0)]), Reason::Kept);
        assert_eq!(place(&[(4, 1.8), (5, 1.6), (45, 0.9)]), Reason::Kept);
    }

    #[test]
    fn rendered_pairs_are_placed_by_their_truth() {
        let models = Models::embedded().expect("models");
        let pack = Pack::embedded().expect("pack");
        let mut judge = PairFilter::new(&models, range()).expect("judge");
        let mut right = 0;
        let cases = [(0.0, Reason::BelowMinimum), (0.2, Reason::Kept), (0.8, Reason::MacroRange)];
        for seed in 0..8 {
            let subject = Subject::random(&pack, seed);
            for (fraction, expected) in cases {
                let mut fractions = [0.0; UNIT_COUNT];
                unit_indices(12, Side::Both).for_each(|k| fractions[k] = fraction);
                let mut crops = [Vec::new(), Vec::new()];
                for (k, (crop, f)) in crops.iter_mut().zip([[0.0; UNIT_COUNT], fractions]).enumerate() {
                    render_crop(&subject, &f, &Similarity::IDENTITY, (0.8, 2 * seed + k as u64), crop);
                }
                let [a, b] = crops.map(|c| c.iter().map(|v| (v + 0.5) as u8).collect::<Vec<u8>>());
                right += usize::from(judge.decide(&a, &b).0 == expected);
            }
        }
        assert!(right >= 22, "{right} of 24");
    }
}
