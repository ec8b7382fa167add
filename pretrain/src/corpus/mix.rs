//! What faces do in the corpus: AU combinations by class, sides, timing, extent.
//!
//! Half of the combinations come from the published annotations (`priors/me_priors.json`: CASME II, SAMM, CAS(ME)3,
//! DFME), half from expert rules; sides and times from the annotations.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use glint::au::{Side, au_index};
use glint::event::Class;
use glint::synth::combinations;
use rand::Rng;
use serde::Deserialize;

use super::rules::{class_of, random_class};
use crate::augment::normal;

/// One AU with its side, and its number.
pub type SidedAu = (u8, Side);

#[derive(Deserialize)]
struct Sheet {
    #[serde(default)]
    au_combo_by_emotion: BTreeMap<String, BTreeMap<String, u32>>,
    rise_ms: Option<Quantiles>,
    fall_ms: Option<Quantiles>,
    lateral_fraction: Option<f64>,
}

/// Quantiles of a duration.
#[derive(Deserialize, Clone, Copy)]
struct Quantiles {
    p5: f64,
    p25: f64,
    p50: f64,
    p75: f64,
    p95: f64,
}

impl Quantiles {
    /// A draw between the 5 and the 95 % quantile.
    fn draw(&self, rng: &mut impl Rng) -> f64 {
        const AT: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];
        let values = [self.p5, self.p25, self.p50, self.p75, self.p95];
        let q = rng.random_range(0.05..0.95);
        let i = AT.iter().rposition(|a| *a <= q).unwrap_or(0).min(3);
        values[i] + (q - AT[i]) / (AT[i + 1] - AT[i]) * (values[i + 1] - values[i])
    }
}

/// What the annotations say.
pub struct Priors {
    /// Combinations of each class with their counts.
    combinations: [Vec<(Vec<SidedAu>, u32)>; 3],
    rise_ms: Vec<Quantiles>,
    fall_ms: Vec<Quantiles>,
    one_sided: f64,
}

/// Longest micro-expression.
const MAX_MS: f64 = 500.0;

impl Priors {
    /// Reads `me_priors.json`.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let all: BTreeMap<String, serde_json::Value> = serde_json::from_str(text)?;
        let mut combinations: [Vec<(Vec<SidedAu>, u32)>; 3] = Default::default();
        let (mut rise_ms, mut fall_ms, mut one_sided) = (Vec::new(), Vec::new(), Vec::new());
        for (database, value) in all {
            if value.get("au_combo_by_emotion").is_none() {
                continue;
            }
            let sheet: Sheet = serde_json::from_value(value).with_context(|| database.clone())?;
            for (emotion, counts) in &sheet.au_combo_by_emotion {
                let Some(class) = class_of(emotion) else { continue };
                for (words, count) in counts {
                    let parts = parse_combination(words);
                    // AUs that the synthetic face has not are left out of their combination.
                    if !parts.is_empty() {
                        combinations[class as usize].push((parts, *count));
                    }
                }
            }
            // Recordings whose movements are mostly longer than a micro-expression say little about its timing.
            if let (Some(rise), Some(fall)) = (sheet.rise_ms, sheet.fall_ms)
                && rise.p50 + fall.p50 < MAX_MS
            {
                rise_ms.push(rise);
                fall_ms.push(fall);
            }
            one_sided.extend(sheet.lateral_fraction);
        }
        ensure!(combinations.iter().all(|c| !c.is_empty()), "a class has no AU combination");
        ensure!(!rise_ms.is_empty() && !one_sided.is_empty(), "no timing or sides");
        let one_sided = one_sided.iter().sum::<f64>() / one_sided.len() as f64;
        Ok(Self { combinations, rise_ms, fall_ms, one_sided })
    }

    /// A class and what moves, with sides.
    pub fn movement(&self, rng: &mut impl Rng) -> (Class, Vec<SidedAu>) {
        let class = Class::ALL[random_class(rng)];
        if rng.random() {
            let known = &self.combinations[class as usize];
            let mut left = rng.random_range(0..known.iter().map(|(_, n)| n).sum());
            for (parts, n) in known {
                if left < *n {
                    return (class, parts.clone());
                }
                left -= n;
            }
        }
        let rules = combinations(class);
        let side = match rng.random_bool(self.one_sided) {
            true if rng.random() => Side::Left,
            true => Side::Right,
            false => Side::Both,
        };
        (class, rules[rng.random_range(0..rules.len())].iter().map(|&au| (au, side)).collect())
    }

    /// Rise and fall of a micro-expression in ms: at least 30 each, 500 together at most.
    pub fn timing_ms(&self, rng: &mut impl Rng) -> (f64, f64) {
        let k = rng.random_range(0..self.rise_ms.len());
        let (rise, fall) = (self.rise_ms[k].draw(rng).max(30.0), self.fall_ms[k].draw(rng).max(30.0));
        let shrink = (MAX_MS / (rise + fall)).min(1.0);
        (rise * shrink, fall * shrink)
    }
}

/// `4+L7+R12` as AUs with sides; what the synthetic face cannot do is left out.
fn parse_combination(words: &str) -> Vec<SidedAu> {
    let part = |word: &str| {
        let (side, number) = match word.as_bytes().first() {
            Some(b'L') => (Side::Left, &word[1..]),
            Some(b'R') => (Side::Right, &word[1..]),
            _ => (Side::Both, word),
        };
        number.parse::<u8>().ok().filter(|au| au_index(*au).is_some()).map(|au| (au, side))
    };
    words.split('+').filter_map(|w| part(w.trim())).collect()
}

/// Fractions of the full shape that an AU takes in a micro-expression.
pub const MICRO_RANGE: (f32, f32) = (0.05, 0.40);

/// Fraction of one AU relative to the strength of the whole: log-normal around 1.
pub fn relative_strength(rng: &mut impl Rng) -> f32 {
    (0.35 * normal(rng)).exp()
}

/// Strength of a whole micro-expression: log-normal around 22 %.
pub fn micro_strength(rng: &mut impl Rng) -> f32 {
    0.22 * (0.6 * normal(rng)).exp()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::augment::generator;

    pub(crate) const SHEET: &str = r#"{"x": {"au_combo_by_emotion": {"happiness": {"6+L12": 3}, "surprise": {"1+2+38": 1},
        "disgust": {"4+R7": 2, "38": 9}, "others": {"17": 50}},
        "rise_ms": {"p5": 70, "p25": 115, "p50": 150, "p75": 205, "p95": 325},
        "fall_ms": {"p5": 50, "p25": 105, "p50": 150, "p75": 210, "p95": 326}, "lateral_fraction": 0.2}}"#;

    #[test]
    fn combinations_keep_sides_and_drop_what_a_face_cannot_do() {
        assert_eq!(parse_combination("4+L7+R12"), [(4, Side::Both), (7, Side::Left), (12, Side::Right)]);
        assert_eq!(parse_combination("8+25"), [(25, Side::Both)]);
        assert!(parse_combination("").is_empty() && parse_combination("38").is_empty());
        let priors = Priors::parse(SHEET).expect("a sheet");
        let mut rng = generator(1, 1);
        let mut seen = [0; 3];
        for _ in 0..500 {
            let (class, parts) = priors.movement(&mut rng);
            seen[class as usize] += 1;
            assert!(!parts.is_empty() && parts.iter().all(|(au, _)| au_index(*au).is_some() && *au != 38));
            let (rise, fall) = priors.timing_ms(&mut rng);
            assert!(rise >= 30.0 && fall >= 30.0 && rise + fall <= 500.01, "{rise} {fall}");
        }
        assert!(seen.iter().all(|n| *n > 60), "{seen:?}");
    }

    #[test]
    fn a_sheet_without_a_class_is_refused() {
        let text = SHEET.replace("surprise", "boredom");
        assert!(Priors::parse(&text).err().expect("refused").to_string().contains("class"));
    }
}
