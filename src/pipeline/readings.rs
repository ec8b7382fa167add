//! The action units of a movement, from the intensities of its units.

use crate::au::{AUS, Side, UNIT_COUNT, UNITS};
use crate::event::AuReading;

/// Share of the other side's intensity from which a movement counts as one of both sides.
const BOTH_SIDES: f32 = 0.4;
/// AUs weaker than this share of the strongest one are left out: the fields of neighbours overlap.
const STRAY: f32 = 0.3;

/// Active AUs of a movement, strongest first, sides joined.
pub fn readings(peak: &[f32; UNIT_COUNT]) -> Vec<AuReading> {
    let strongest = peak.iter().copied().fold(0.0, f32::max);
    let mut out: Vec<AuReading> = AUS
        .iter()
        .filter_map(|&au| {
            let side = |s: Side| {
                UNITS.iter().zip(peak).find(|(u, _)| u.au == au && u.side == s).map_or(0.0, |(_, i)| *i)
            };
            let (left, right, both) = (side(Side::Left), side(Side::Right), side(Side::Both));
            let (most, least) = (left.max(right), left.min(right));
            let (side, intensity) = if both > 0.0 {
                (Side::Both, both)
            } else if least >= BOTH_SIDES * most {
                (Side::Both, most)
            } else if left > right {
                (Side::Left, left)
            } else {
                (Side::Right, right)
            };
            (intensity > 0.0 && intensity >= STRAY * strongest).then(|| AuReading::new(au, side, intensity))
        })
        .collect();
    out.sort_by(|a, b| b.intensity.total_cmp(&a.intensity).then(a.au.cmp(&b.au)));
    out
}
