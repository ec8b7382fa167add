//! Which AUs make up a class, by expert rules, and how frequent the classes are.

use glint::event::Class;
use rand::Rng;

/// AU combinations of each class: expert rules. FACS investigator's guide (Ekman, Friesen, Hager 2002), table of
/// emotions; contempt, repression and sadness as CASME II and SAMM annotate them.
const NEGATIVE: [&[u8]; 19] = [
    &[4],
    &[4, 7],
    &[7],
    &[9],
    &[10],
    &[14],
    &[15],
    &[17],
    &[4, 9],
    &[20],
    &[24],
    &[15, 17],
    &[1, 4],
    &[1, 4, 15],
    &[23],
    &[4, 5, 7],
    &[9, 10],
    &[9, 17],
    &[14, 17],
];
const POSITIVE: [&[u8]; 2] = [&[12], &[6, 12]];
const SURPRISE: [&[u8]; 4] = [&[1, 2], &[5], &[1, 2, 5], &[1, 2, 26]];
/// Share of each class: that of the databases.
const PRIOR: [f32; 3] = [0.5, 0.25, 0.25];

/// AU combinations of a class.
pub fn combinations(class: Class) -> &'static [&'static [u8]] {
    match class {
        Class::Negative => &NEGATIVE,
        Class::Positive => &POSITIVE,
        Class::Surprise => &SURPRISE,
    }
}

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
