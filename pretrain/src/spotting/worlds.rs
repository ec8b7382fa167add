//! What a judge learns from: traces of several worlds, parted by people.

use super::candidates::Judged;
use super::trace::Trace;

/// Of so many sequences, one chooses the threshold.
pub const CHOOSES: u64 = 5;

/// Traces, world after world.
#[derive(Debug, Default)]
pub struct Worlds {
    /// All of them.
    pub traces: Vec<Trace>,
    /// Whether a trace is of a person who chooses the threshold; the others train.
    chooses: Vec<bool>,
}

impl Worlds {
    /// Adds a world in which a person has so many sequences, one after the other.
    pub fn add(&mut self, world: Vec<Trace>, of_a_person: u64) {
        self.chooses.extend((0..world.len() as u64).map(|i| (i / of_a_person).is_multiple_of(CHOOSES)));
        self.traces.extend(world);
    }

    /// Traces, and what was found in them, of those who choose or of those who train.
    pub fn part<'a>(
        &'a self,
        choose: bool,
        judged: &'a [Judged],
    ) -> impl Iterator<Item = (&'a Trace, &'a Judged)> {
        self.traces
            .iter()
            .zip(judged)
            .zip(&self.chooses)
            .filter(move |(_, c)| **c == choose)
            .map(|(pair, _)| pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn nobody_trains_and_chooses() {
        let world = |name: &str, people: u64, of_a_person: u64| {
            let trace = |i| Trace { person: format!("{name}{}", i / of_a_person), ..Trace::default() };
            (0..people * of_a_person).map(trace).collect::<Vec<_>>()
        };
        let mut worlds = Worlds::default();
        worlds.add(world("a", 12, 2), 2);
        worlds.add(world("b", 7, 1), 1);
        let judged: Vec<Judged> =
            worlds.traces.iter().map(|_| Judged { candidates: Vec::new(), open: 0.0 }).collect();
        let [choose, train] = [true, false].map(|choose| {
            worlds.part(choose, &judged).map(|(t, _)| t.person.as_str()).collect::<BTreeSet<_>>()
        });
        assert!(choose.is_disjoint(&train), "{choose:?} {train:?}");
        assert_eq!(choose.into_iter().collect::<Vec<_>>(), ["a0", "a10", "a5", "b0", "b5"]);
        assert_eq!(train.len(), 14);
    }
}
