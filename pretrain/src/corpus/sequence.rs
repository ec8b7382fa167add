//! One generated sequence: who is seen, what happens when, and the truth about it.

use glint::au::Side;
use glint::event::Class;
use glint::synth::{Camera, Glasses, Script};
use rand::Rng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

use super::person::Person;

/// What happens beside micro-expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distractor {
    /// Both lids close and open.
    Blink,
    /// An expression of 0.7 s or more.
    Macro,
    /// Jaw and lips in speech.
    Speech,
    /// The head turns away and back.
    Turn,
    /// The light changes.
    Light,
    /// A hand comes before the face.
    Hand,
    /// A lamp shines in the glasses.
    Glare,
}

/// A distractor and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// What.
    pub what: Distractor,
    /// Last instant before it.
    pub from_ns: i64,
    /// First instant after it.
    pub to_ns: i64,
}

/// A micro-expression that happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Micro {
    /// Last instant without movement.
    pub onset_ns: i64,
    /// Greatest extent.
    pub apex_ns: i64,
    /// First instant without movement.
    pub offset_ns: i64,
    /// What it expresses.
    pub class: Class,
    /// What moves: AU, side, fraction of the full shape.
    pub parts: Vec<(u8, Side, f32)>,
    /// Greatest of these fractions.
    pub fraction: f32,
    /// Greatest displacement of any point of the skin, in pixels of the frame.
    pub travel_px: f32,
}

/// One sequence.
pub struct Sequence<'a> {
    /// The person.
    pub person: &'a Person,
    /// What the face does.
    pub script: Script,
    /// What it is seen by.
    pub camera: Camera,
    /// Whether a photograph of the person at rest is before the camera, and no person.
    pub flat: bool,
    /// Length.
    pub seconds: f64,
    /// Truth.
    pub micros: Vec<Micro>,
    /// What else happens.
    pub distractors: Vec<Span>,
}

/// Glasses of any common size.
pub fn glasses(rng: &mut SmallRng) -> Glasses {
    let half_width = rng.random_range(0.34..0.44);
    Glasses {
        rim: rng.random_range(15.0..90.0),
        lens: [half_width, half_width * rng.random_range(0.65..0.95)],
    }
}

pub(super) fn ns(ms: f64) -> i64 {
    (1e6 * ms).round() as i64
}
