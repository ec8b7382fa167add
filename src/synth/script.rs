//! What a face does: actions of AUs, head motion, light.

use serde::{Deserialize, Serialize};

use super::SynthError;
use crate::au::{AUS, Side, UNIT_COUNT, au_index, unit_indices};
use crate::geometry::{Point, Similarity};

/// One movement of one AU: zero at onset and offset, full at the apex, raised cosine in between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// FACS number.
    pub au: u8,
    /// The subject's side.
    pub side: Side,
    /// Fraction of the full shape, 0 to 1.
    pub intensity: f32,
    /// Last instant without movement.
    pub onset_ns: i64,
    /// Greatest extent.
    pub apex_ns: i64,
    /// First instant without movement.
    pub offset_ns: i64,
}

impl Action {
    /// A movement of both sides of 300 ms: the rise takes 120 ms (Yan et al. 2013: typical).
    pub fn micro(au: u8, intensity: f32, onset_ns: i64) -> Self {
        let (apex_ns, offset_ns) = (onset_ns + 120_000_000, onset_ns + 300_000_000);
        Self { au, side: Side::Both, intensity, onset_ns, apex_ns, offset_ns }
    }

    /// Fraction of the full shape at a time.
    pub fn at(&self, at_ns: i64) -> f32 {
        let share = if at_ns <= self.onset_ns || at_ns >= self.offset_ns {
            0.0
        } else if at_ns < self.apex_ns {
            (at_ns - self.onset_ns) as f64 / (self.apex_ns - self.onset_ns) as f64
        } else {
            (self.offset_ns - at_ns) as f64 / (self.offset_ns - self.apex_ns) as f64
        };
        self.intensity * (0.5 - 0.5 * (std::f64::consts::PI * share).cos()) as f32
    }
}

/// Smooth head motion: each part a sum of three sines of unrelated periods.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadMotion {
    /// Greatest shift in eye distances.
    pub shift: f32,
    /// Greatest roll in degrees.
    pub roll_degrees: f32,
    /// Greatest change of size as a share.
    pub zoom: f32,
    /// Multiplies all rates; 1 is the sway of a person at rest.
    pub speed: f32,
    /// Chooses the phases.
    pub seed: u32,
}

impl HeadMotion {
    /// A head in a rest.
    pub const STILL: Self = Self { shift: 0.0, roll_degrees: 0.0, zoom: 0.0, speed: 1.0, seed: 0 };
    /// The sway of a person who sits and looks at a screen.
    pub const SWAY: Self = Self { shift: 0.06, roll_degrees: 0.8, zoom: 0.008, speed: 1.0, seed: 1 };

    /// The transform of the head about its middle, in eye distances.
    pub fn at(&self, at_ns: i64) -> Similarity {
        let t = f64::from(self.speed) * at_ns as f64 / 1e9;
        let wave = |k: u32| {
            let phase = f64::from(self.seed.wrapping_mul(2_654_435_761).wrapping_add(k * 977)) * 1e-3;
            let sum = (0.9 * t + phase).sin()
                + 0.6 * (2.3 * t + 1.7 * phase).sin()
                + 0.25 * (5.1 * t + 2.9 * phase).sin();
            (sum / 1.85) as f32
        };
        let (turn, scale) = (self.roll_degrees.to_radians() * wave(2), 1.0 + self.zoom * wave(3));
        Similarity {
            a: scale * turn.cos(),
            b: scale * turn.sin(),
            tx: self.shift * wave(0),
            ty: self.shift * wave(1),
        }
    }
}

/// Light over time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lighting {
    /// Relative slow change of brightness.
    pub drift: f32,
    /// Relative flicker of the lamps, at twice the mains frequency.
    pub flicker: f32,
    /// Mains frequency.
    pub mains_hz: f32,
}

impl Default for Lighting {
    fn default() -> Self {
        Self { drift: 0.0, flicker: 0.0, mains_hz: 50.0 }
    }
}

impl Lighting {
    /// Gain at a time.
    pub fn at(&self, at_ns: i64) -> f32 {
        let t = at_ns as f64 / 1e9;
        let lamp = (std::f64::consts::TAU * 2.0 * f64::from(self.mains_hz) * t).sin() as f32;
        1.0 + self.drift * (0.7 * t).sin() as f32 + self.flicker * lamp
    }
}

/// What the face does, from the first to the last frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Movements; those of one AU add up.
    pub actions: Vec<Action>,
    /// Motion of the head.
    pub head: HeadMotion,
    /// Light.
    pub lighting: Lighting,
}

impl Script {
    /// A script with a swaying head and even light. Fails on an AU that does not exist, an intensity
    /// outside 0 to 1 and times out of order.
    pub fn new(actions: Vec<Action>) -> Result<Self, SynthError> {
        for (index, a) in actions.iter().enumerate() {
            let fail = |reason: String| Err(SynthError::Script { index, reason });
            if au_index(a.au).is_none() {
                let known = AUS.map(|au| au.to_string()).join(" ");
                return fail(format!("AU {} is unknown; allowed: {known} 43", a.au));
            }
            if !(0.0..=1.0).contains(&a.intensity) {
                return fail(format!("intensity {} is outside 0 to 1", a.intensity));
            }
            if !(a.onset_ns < a.apex_ns && a.apex_ns < a.offset_ns) {
                return fail(format!(
                    "onset {}, apex {}, offset {} ns are not in this order",
                    a.onset_ns, a.apex_ns, a.offset_ns
                ));
            }
        }
        Ok(Self { actions, head: HeadMotion::SWAY, lighting: Lighting::default() })
    }

    /// Fractions of the full shape of all units at a time, 0 to 1.
    pub fn fractions(&self, at_ns: i64) -> [f32; UNIT_COUNT] {
        let mut out = [0.0f32; UNIT_COUNT];
        for action in &self.actions {
            let value = action.at(at_ns);
            if value > 0.0 {
                for unit in unit_indices(action.au, action.side) {
                    out[unit] = (out[unit] + value).min(1.0);
                }
            }
        }
        out
    }

    /// The head's transform in frame pixels, about the point `center`.
    pub fn head_at(&self, at_ns: i64, center: Point, eye_distance_px: f32) -> Similarity {
        let h = self.head.at(at_ns);
        Similarity {
            tx: h.tx * eye_distance_px + center.x - h.a * center.x + h.b * center.y,
            ty: h.ty * eye_distance_px + center.y - h.b * center.x - h.a * center.y,
            ..h
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_no_face_can_do_are_refused() {
        for (action, word) in [
            (Action { au: 3, ..Action::micro(12, 0.2, 0) }, "AU 3 is unknown"),
            (Action::micro(12, 1.2, 0), "intensity 1.2"),
            (Action::micro(12, f32::NAN, 0), "intensity NaN"),
            (Action { apex_ns: -5, ..Action::micro(12, 0.2, 0) }, "not in this order"),
        ] {
            let error =
                Script::new(vec![Action::micro(1, 0.1, 0), action]).expect_err("bad action").to_string();
            assert!(error.starts_with("action 1: ") && error.contains(word), "{error}");
        }
    }

    #[test]
    fn movement_is_zero_outside_and_full_at_the_apex() {
        let a = Action::micro(12, 0.3, 1_000);
        assert_eq!((a.at(1_000), a.at(300_001_000)), (0.0, 0.0));
        assert!((a.at(120_001_000) - 0.3).abs() < 1e-6);
        let script = Script::new(vec![a]).expect("valid");
        assert_eq!(script.fractions(120_001_000).iter().filter(|f| **f > 0.0).count(), 2);
    }
}
