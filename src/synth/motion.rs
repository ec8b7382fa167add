//! Head, eyes and mouth over time: sway, turns, gaze, speech.

use serde::{Deserialize, Serialize};

use crate::au::{Side, UNIT_COUNT, unit_indices};
use crate::random::SplitMix;

/// From 0 to 1 for a share from 0 to 1, with zero slope at both ends.
pub(super) fn raised_cosine(share: f64) -> f64 {
    0.5 - 0.5 * (std::f64::consts::PI * share).cos()
}

/// Smooth head motion: each part a sum of three sines of unrelated periods.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadMotion {
    /// Greatest shift in eye distances.
    pub shift: f32,
    /// Greatest roll in degrees.
    pub roll_degrees: f32,
    /// Greatest turn to a side in degrees. Up to about 10 the picture stays credible.
    #[serde(default)]
    pub yaw_degrees: f32,
    /// Greatest nod in degrees.
    #[serde(default)]
    pub pitch_degrees: f32,
    /// Greatest change of size as a share.
    pub zoom: f32,
    /// Multiplies all rates; 1 is the sway of a person at rest.
    pub speed: f32,
    /// Chooses the phases.
    pub seed: u32,
}

impl HeadMotion {
    /// A head in a rest.
    pub const STILL: Self = Self {
        shift: 0.0,
        roll_degrees: 0.0,
        yaw_degrees: 0.0,
        pitch_degrees: 0.0,
        zoom: 0.0,
        speed: 1.0,
        seed: 0,
    };
    /// The sway of a person who sits and looks at a screen.
    pub const SWAY: Self = Self {
        shift: 0.06,
        roll_degrees: 0.8,
        yaw_degrees: 0.8,
        pitch_degrees: 0.5,
        zoom: 0.008,
        speed: 1.0,
        seed: 1,
    };

    /// The same motion so many times as far.
    pub fn scaled(self, by: f32) -> Self {
        Self {
            shift: by * self.shift,
            roll_degrees: by * self.roll_degrees,
            yaw_degrees: by * self.yaw_degrees,
            pitch_degrees: by * self.pitch_degrees,
            zoom: by * self.zoom,
            ..self
        }
    }

    fn wave(&self, at_ns: i64, k: u32) -> f32 {
        let t = f64::from(self.speed) * at_ns as f64 / 1e9;
        let phase = f64::from(self.seed.wrapping_mul(2_654_435_761).wrapping_add(k * 977)) * 1e-3;
        let sum = (0.9 * t + phase).sin()
            + 0.6 * (2.3 * t + 1.7 * phase).sin()
            + 0.25 * (5.1 * t + 2.9 * phase).sin();
        (sum / 1.85) as f32
    }

    /// Shift in eye distances, roll in radians, change of size as a share.
    pub(super) fn offsets(&self, at_ns: i64) -> [f32; 4] {
        let wave = |k| self.wave(at_ns, k);
        [
            self.shift * wave(0),
            self.shift * wave(1),
            self.roll_degrees.to_radians() * wave(2),
            self.zoom * wave(3),
        ]
    }

    /// Yaw and pitch in radians at a time: positive towards the image's right and down.
    pub fn turn_at(&self, at_ns: i64) -> [f32; 2] {
        [
            self.yaw_degrees.to_radians() * self.wave(at_ns, 4),
            self.pitch_degrees.to_radians() * self.wave(at_ns, 5),
        ]
    }
}

/// Gaze that rests on a point and jumps to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gaze {
    /// Greatest deviation from straight ahead, 0 to 1; 1 turns the eye by about 25 degrees.
    pub extent: f32,
    /// Jumps a second.
    pub rate_hz: f32,
    /// Chooses the points.
    pub seed: u32,
}

impl Gaze {
    /// Eyes that look straight ahead.
    pub const STILL: Self = Self { extent: 0.0, rate_hz: 0.7, seed: 0 };
    /// Time that a jump takes.
    const SACCADE_NS: f64 = 45e6;

    /// Direction at a time: to the image's right and down, each -1 to 1.
    pub fn at(&self, at_ns: i64) -> [f32; 2] {
        if self.extent <= 0.0 {
            return [0.0; 2];
        }
        let period_ns = 1e9 / f64::from(self.rate_hz);
        let slot = (at_ns as f64 / period_ns).floor();
        let point = |slot: f64| {
            let mut rng =
                SplitMix((slot as i64 as u64).wrapping_mul(0x9e6c_63d0_876a_46c1) ^ u64::from(self.seed));
            [2.0 * rng.uniform() - 1.0, 0.6 * (2.0 * rng.uniform() - 1.0)]
        };
        let since = at_ns as f64 - slot * period_ns;
        let share = raised_cosine((since / Self::SACCADE_NS).min(1.0)) as f32;
        let (from, to) = (point(slot - 1.0), point(slot));
        [0, 1].map(|k| self.extent * (from[k] + share * (to[k] - from[k])))
    }
}

/// Mouth and jaw as in speech: syllables of varying strength.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speech {
    /// Last instant before the first syllable.
    pub from_ns: i64,
    /// First instant after the last one.
    pub to_ns: i64,
    /// Greatest opening of the jaw as a fraction of its full shape, 0 to 1.
    pub strength: f32,
    /// Syllables a second.
    pub rate_hz: f32,
    /// Chooses the syllables.
    pub seed: u32,
}

impl Speech {
    /// Adds the movement at a time to the fractions of all units.
    pub(super) fn add(&self, at_ns: i64, out: &mut [f32; UNIT_COUNT]) {
        if at_ns <= self.from_ns || at_ns >= self.to_ns {
            return;
        }
        let period_ns = 1e9 / f64::from(self.rate_hz);
        let since = (at_ns - self.from_ns) as f64;
        let slot = (since / period_ns).floor();
        let mut rng = SplitMix((slot as u64).wrapping_mul(0xa076_1d64_78bd_642f) ^ u64::from(self.seed));
        let (open, round, wide) = (0.25 + 0.75 * rng.uniform(), rng.uniform(), rng.uniform());
        // The last syllable may be cut: it fades with the speech.
        let fade = (((self.to_ns - at_ns) as f64) / period_ns).min(1.0);
        let pulse = raised_cosine(2.0 * (since / period_ns - slot)) * raised_cosine(fade);
        let pulse = self.strength * pulse as f32;
        for (au, amount) in [
            (26, open),
            (25, 0.6 * open),
            (18, 0.5 * (round - 0.5).max(0.0)),
            (20, 0.4 * (wide - 0.5).max(0.0)),
        ] {
            for unit in unit_indices(au, Side::Both) {
                out[unit] = (out[unit] + pulse * amount).min(1.0);
            }
        }
    }
}

/// A head that turns away and back: a raised cosine each way, zero outside.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Last instant before it.
    pub from_ns: i64,
    /// First instant after it.
    pub to_ns: i64,
    /// Greatest yaw in degrees, towards the image's right.
    pub yaw_degrees: f32,
    /// Greatest pitch in degrees, downwards.
    pub pitch_degrees: f32,
}

impl Turn {
    /// Share of the full turn at a time.
    pub(super) fn share(&self, at_ns: i64) -> f32 {
        if at_ns <= self.from_ns || at_ns >= self.to_ns {
            return 0.0;
        }
        let share = (at_ns - self.from_ns) as f64 / (self.to_ns - self.from_ns) as f64;
        raised_cosine(2.0 * share) as f32
    }
}
