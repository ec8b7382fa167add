//! How frequent the classes are, and which words name them.

use glint::event::Class;
use rand::Rng;

/// Share of each class: that of the databases.
const PRIOR: [f32; 3] = [0.5, 0.25, 0.25];

/// Index in [`Class::ALL`] of a class, as often as the databases have it.
pub fn random_class(rng: &mut impl Rng) -> usize {
    let draw: f32 = rng.random();
    usize::from(draw >= PRIOR[0]) + usize::from(draw >= PRIOR[0] + PRIOR[1])
}

/// Class of an emotion word (the mapping of MEGC2019); `None` for those left out.
pub fn class_of(emotion: &str) -> Option<Class> {
    Some(match emotion {
        "happiness" => Class::Positive,
        "surprise" => Class::Surprise,
        "anger" | "contempt" | "disgust" | "fear" | "sadness" | "repression" => Class::Negative,
        _ => return None,
    })
}
