//! Which AUs make up a class.

use crate::event::Class;

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

/// AU combinations of a class.
pub fn combinations(class: Class) -> &'static [&'static [u8]] {
    match class {
        Class::Negative => &NEGATIVE,
        Class::Positive => &POSITIVE,
        Class::Surprise => &SURPRISE,
    }
}

/// The class of the longest combination that is among `aus`; `None` where there is none, or two classes have one as long.
pub fn class_of_units(aus: &[u8]) -> Option<Class> {
    let is_among = |combination: &&&[u8]| combination.iter().all(|au| aus.contains(au));
    let longest = |class| combinations(class).iter().filter(is_among).map(|c| c.len()).max().unwrap_or(0);
    let most = Class::ALL.into_iter().map(longest).max().filter(|n| *n > 0)?;
    let mut classes = Class::ALL.into_iter().filter(|class| longest(*class) == most);
    classes.next().filter(|_| classes.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_combination_has_the_class_that_it_was_made_of() {
        for class in Class::ALL {
            for aus in combinations(class) {
                assert_eq!(class_of_units(aus), Some(class), "{aus:?}");
            }
        }
    }

    #[test]
    fn what_says_nothing_or_two_things_has_no_class() {
        assert_eq!(class_of_units(&[]), None);
        assert_eq!(class_of_units(&[45]), None);
        assert_eq!(class_of_units(&[4, 12]), None);
        assert_eq!(class_of_units(&[6, 12, 25]), Some(Class::Positive));
    }
}
