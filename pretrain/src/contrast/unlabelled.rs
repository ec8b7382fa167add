//! Generated "unlabelled" pairs with a truth that only the evaluation sees: micro-expressions, macro-expressions, talk and
//! nothing at all, as they stand in any recording of a face.

use glint::au::{AU_COUNT, UNIT_COUNT, intensity_of_fraction, unit_indices};
use glint::event::Class;
use glint::face::{CROP_HEIGHT, CROP_WIDTH};
use glint::flow::Flow;
use glint::geometry::{Point, Similarity};
use glint::intensity::by_au;
use glint::synth::{Gaze, Pose, Script, Speech, draw_crop, face_to_crop};
use rand::Rng;
use serde::Serialize;
use serde_json::json;

use crate::augment::{generator, misplacement, normal, stabiliser_residue};
use crate::corpus::mix::{MICRO_RANGE, micro_strength, relative_strength};
use crate::corpus::plan::Cast;
use crate::databases::crops::CropPair;
use crate::pairs::Pair;

/// What happens between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A micro-expression: 5 to 40 % of the full shapes.
    Micro,
    /// A macro-expression: 55 to 100 %.
    Macro,
    /// Two instants of speech.
    Talk,
    /// Neither: noise, and the eyes may turn.
    Nothing,
}

/// Shares of what happens in a mixed set.
pub const MIXED: [(What, f64); 4] =
    [(What::Micro, 0.35), (What::Macro, 0.15), (What::Talk, 0.2), (What::Nothing, 0.3)];

/// A pair with its truth.
pub struct Made {
    /// The pair; its facts hold the person alone.
    pub pair: Pair,
    /// What happens.
    pub what: What,
    /// Class of an expression.
    pub class: Option<Class>,
    /// True change of each AU's intensity, 0 to 5.
    pub truth: [f32; AU_COUNT],
}

/// Draws what pair `index` of a mixed set shows.
pub fn mixed(seed: u64, index: u64) -> What {
    let mut left: f64 = generator(seed ^ 0x006d_6978, index).random();
    for (what, share) in MIXED {
        if left < share {
            return what;
        }
        left -= share;
    }
    What::Nothing
}

/// Makes pair `index` of a run: the same whatever was made before it.
pub fn make(cast: &Cast, what: What, seed: u64, index: u64) -> Made {
    let mut rng = generator(seed ^ 0x756e_6c62, index);
    let person = cast.person(index);
    let turn = [0.06 * normal(&mut rng), 0.05 * normal(&mut rng)].map(|t| t.clamp(-0.2, 0.2));
    let mut from = Pose { turn, ..Pose::NEUTRAL };
    let mut to = Pose { turn: turn.map(|t| t + 0.004 * normal(&mut rng)), ..Pose::NEUTRAL };
    let mut class = None;
    match what {
        What::Micro | What::Macro => {
            let (drawn, parts) = cast.priors.movement(&mut rng);
            class = Some(drawn);
            let strength = match what {
                What::Micro => micro_strength(&mut rng),
                _ => rng.random_range(0.55..0.9),
            };
            for (au, side) in parts {
                let value = strength * relative_strength(&mut rng);
                let value = match what {
                    What::Micro => value.clamp(MICRO_RANGE.0, MICRO_RANGE.1),
                    _ => value.clamp(0.55, 1.0),
                };
                unit_indices(au, side).for_each(|k| to.fractions[k] = value);
            }
        }
        What::Talk => {
            let at = rng.random_range(500_000_000..3_000_000_000i64);
            let later = at + rng.random_range(60_000_000..250_000_000);
            // An empty script is valid.
            if let Ok(mut script) = Script::new(Vec::new()) {
                script.speech.push(Speech {
                    from_ns: 0,
                    to_ns: 4_000_000_000,
                    strength: rng.random_range(0.2..0.7),
                    rate_hz: rng.random_range(3.0..6.0),
                    seed: rng.random(),
                });
                (from.fractions, to.fractions) = (script.fractions(at), script.fractions(later));
            }
        }
        What::Nothing => {}
    }
    if rng.random_bool(0.3) {
        let gaze = Gaze { extent: 0.6, rate_hz: 1.0, seed: 0 };
        from.gaze = gaze.at(rng.random_range(0..1_000_000) * 1_000_000_000);
        to.gaze = if rng.random_bool(0.3) {
            gaze.at(rng.random_range(0..1_000_000) * 1_000_000_000)
        } else {
            from.gaze
        };
    }
    // What a person's own proportions and the stabiliser leave.
    let place = misplacement(&mut rng);
    let residue = stabiliser_residue(&mut rng, Point::default());
    let onto_crop = place.compose(&face_to_crop(person));
    let noise = rng.random_range(0.3..1.4);
    let wall = rng.random_range(30.0..210.0);
    let mut film = |pose: &Pose, to_crop: &Similarity| {
        let mut plane = vec![wall; CROP_WIDTH * CROP_HEIGHT];
        let placed = draw_crop(person, pose, to_crop, &mut plane);
        let depth = person.survey(&placed, &placed, &mut Flow::zeros(CROP_WIDTH, CROP_HEIGHT));
        let luma =
            plane.iter().map(|v| (v + noise * normal(&mut rng) + 0.5).clamp(0.0, 255.0) as u8).collect();
        (luma, depth)
    };
    let (onset, before) = film(&from, &onto_crop);
    let (apex, after) = film(&to, &residue.compose(&onto_crop));
    // A depth camera measures from itself and has noise of its own: 1 face unit is about a millimetre.
    let depth = before.zip(after).map(|planes| {
        let mut sense = |plane: Vec<f32>| -> Vec<f32> {
            plane
                .into_iter()
                .map(|z| if z.is_nan() { 0.0 } else { 600.0 - z + 0.3 * normal(&mut rng) })
                .collect()
        };
        [sense(planes.0), sense(planes.1)]
    });
    let change: [f32; UNIT_COUNT] =
        std::array::from_fn(|k| intensity_of_fraction((to.fractions[k] - from.fractions[k]).abs()));
    let pair = Pair {
        id: format!("{index:07}"),
        crops: CropPair { onset, apex, depth },
        facts: json!({"subject": person.id}),
    };
    Made { pair, what, class, truth: by_au(&change) }
}
