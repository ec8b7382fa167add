//! Facial action units (AUs): which ones glint measures, their sides and their intensity scale.
//!
//! Source of the numbering and of the letters A-E: Ekman, Friesen, Hager, "Facial Action Coding
//! System" (FACS, 2002). AU 43 (eye closure) and AU 45 (blink) are one movement that differs in
//! duration alone; glint measures it once, as AU 45.

use serde::{Deserialize, Serialize};

/// Side of the face, seen from the subject: `Left` is the subject's left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Side {
    /// The subject's left half.
    #[serde(rename = "L")]
    Left,
    /// The subject's right half.
    #[serde(rename = "R")]
    Right,
    /// Both halves, or an AU that FACS does not score by side.
    #[serde(rename = "B")]
    Both,
}

/// The AUs that glint measures, in the order of every table, column and tensor.
pub const AUS: [u8; 20] = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 23, 24, 25, 26, 45];

/// Number of AUs in [`AUS`].
pub const AU_COUNT: usize = AUS.len();

/// AUs of [`AUS`] that glint does not measure by side: the movement crosses the midline.
pub const CENTRAL: [u8; 7] = [16, 17, 18, 23, 24, 25, 26];

/// One measured component: an AU on one side, or a central AU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unit {
    /// FACS number.
    pub au: u8,
    /// `Left` or `Right`, or `Both` for a central AU.
    pub side: Side,
}

impl Unit {
    /// Its name in exports and streams: see [`label`].
    pub fn label(self) -> String {
        label(self.au, self.side)
    }
}

/// An AU with its side, as coders write it: `AU12L` (the subject's left), `AU12R`, and `AU12` for both sides or for an AU
/// that FACS does not score by side.
pub fn label(au: u8, side: Side) -> String {
    let side = match side {
        Side::Left => "L",
        Side::Right => "R",
        Side::Both => "",
    };
    format!("AU{au:02}{side}")
}

/// Number of components in [`UNITS`].
pub const UNIT_COUNT: usize = 2 * AU_COUNT - CENTRAL.len();

/// Every component: each AU of [`AUS`] in order, the left side before the right one.
pub const UNITS: [Unit; UNIT_COUNT] = units();

const fn units() -> [Unit; UNIT_COUNT] {
    let mut out = [Unit { au: 0, side: Side::Both }; UNIT_COUNT];
    let (mut i, mut n) = (0, 0);
    while i < AU_COUNT {
        let au = AUS[i];
        if is_central(au) {
            out[n] = Unit { au, side: Side::Both };
            n += 1;
        } else {
            out[n] = Unit { au, side: Side::Left };
            out[n + 1] = Unit { au, side: Side::Right };
            n += 2;
        }
        i += 1;
    }
    out
}

/// Whether `au` is measured as one movement of both halves.
pub const fn is_central(au: u8) -> bool {
    let mut i = 0;
    while i < CENTRAL.len() {
        if CENTRAL[i] == au {
            return true;
        }
        i += 1;
    }
    false
}

/// Index of `au` in [`AUS`]; AU 43 is AU 45 here. `None` for an AU that glint does not know.
pub fn au_index(au: u8) -> Option<usize> {
    let au = if au == 43 { 45 } else { au };
    AUS.iter().position(|&a| a == au)
}

/// FACS name of `au`; empty for an AU that glint does not know.
pub const fn name(au: u8) -> &'static str {
    match au {
        1 => "inner brow raiser",
        2 => "outer brow raiser",
        4 => "brow lowerer",
        5 => "upper lid raiser",
        6 => "cheek raiser",
        7 => "lid tightener",
        9 => "nose wrinkler",
        10 => "upper lip raiser",
        12 => "lip corner puller",
        14 => "dimpler",
        15 => "lip corner depressor",
        16 => "lower lip depressor",
        17 => "chin raiser",
        18 => "lip pucker",
        20 => "lip stretcher",
        23 => "lip tightener",
        24 => "lip pressor",
        25 => "lips part",
        26 => "jaw drop",
        43 => "eye closure",
        45 => "blink",
        _ => "",
    }
}

/// Indices in [`UNITS`] that an AU on `side` moves: one or two. Empty for an unknown AU.
pub fn unit_indices(au: u8, side: Side) -> impl Iterator<Item = usize> {
    let au = if au == 43 { 45 } else { au };
    UNITS
        .iter()
        .enumerate()
        .filter(move |(_, u)| u.au == au && (u.side == Side::Both || side == Side::Both || u.side == side))
        .map(|(i, _)| i)
}

/// FACS intensity, 0 to 5, of a movement at `fraction` (0 to 1) of its full extent.
pub fn intensity_of_fraction(fraction: f32) -> f32 {
    5.0 * fraction
}

/// FACS letter of an intensity between 0 and 5; `None` below A.
pub fn level(intensity: f32) -> Option<char> {
    match intensity {
        i if i >= 4.5 => Some('E'),
        i if i >= 3.5 => Some('D'),
        i if i >= 2.5 => Some('C'),
        i if i >= 1.5 => Some('B'),
        i if i >= 0.5 => Some('A'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_cover_each_side_once() {
        assert_eq!(UNITS[0], Unit { au: 1, side: Side::Left });
        assert_eq!(UNITS[UNIT_COUNT - 1], Unit { au: 45, side: Side::Right });
        assert_eq!(unit_indices(12, Side::Both).count(), 2);
        assert_eq!(unit_indices(12, Side::Left).count(), 1);
        assert_eq!(unit_indices(26, Side::Left).count(), 1);
        assert_eq!(unit_indices(43, Side::Both).count(), 2);
        assert_eq!(unit_indices(3, Side::Both).count(), 0);
    }

    #[test]
    fn every_unit_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = AUS.map(name).into();
        assert!(names.len() == AU_COUNT && !names.contains(""), "{names:?}");
        assert_eq!(name(3), "");
    }

    #[test]
    fn labels_are_distinct_and_have_a_side_where_facs_has_one() {
        let labels: std::collections::BTreeSet<_> = UNITS.map(Unit::label).into();
        assert_eq!(labels.len(), UNIT_COUNT);
        assert_eq!(
            [UNITS[0].label(), label(12, Side::Right), label(25, Side::Both)],
            ["AU01L", "AU12R", "AU25"]
        );
    }

    #[test]
    fn letters_follow_the_scale() {
        let letters: Vec<_> = [0.49, 0.5, 1.49, 1.5, 2.5, 3.5, 4.5, 5.0].map(level).to_vec();
        assert_eq!(
            letters,
            [None, Some('A'), Some('A'), Some('B'), Some('C'), Some('D'), Some('E'), Some('E')]
        );
    }
}
