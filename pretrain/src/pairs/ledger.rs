//! Which pairs a network learned from: how many of each origin, and a digest over all of them.

use std::collections::BTreeMap;

use glint::model::PairSet;
use sha2::{Digest, Sha256};

use super::Pair;

/// Counts and digests of pairs as they are read.
#[derive(Default)]
pub struct Ledger(BTreeMap<String, (u64, Sha256)>);

impl Ledger {
    /// Enters a pair: what is in it, not how its file is packed.
    pub fn enter(&mut self, pair: &Pair) {
        let (count, digest) = self.0.entry(pair.origin().to_owned()).or_default();
        *count += 1;
        // Each part with its length: no two pairs share their bytes.
        let mut part = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        part(pair.id.as_bytes());
        part(&pair.crops.onset);
        part(&pair.crops.apex);
        for plane in pair.crops.depth.iter().flatten() {
            part(&plane.iter().flat_map(|z| z.to_le_bytes()).collect::<Vec<_>>());
        }
        part(pair.facts.to_string().as_bytes());
    }

    /// The sets, by the name of their origin.
    pub fn sets(&self) -> Vec<PairSet> {
        let set = |(origin, (count, digest)): (&String, &(u64, Sha256))| PairSet {
            origin: origin.clone(),
            count: *count,
            sha256: digest.clone().finalize().iter().map(|b| format!("{b:02x}")).collect(),
        };
        self.0.iter().map(set).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databases::crops::{CROP, CropPair};
    use serde_json::json;

    #[test]
    fn origins_are_counted_apart_and_every_byte_matters() {
        let pair = |id: &str, gray: u8, facts| Pair {
            id: id.into(),
            crops: CropPair { onset: vec![gray; CROP], apex: vec![7; CROP], depth: None },
            facts,
        };
        let film = json!({"recording": "a.avi"});
        let drawn = json!({"origin": "rendered", "person": "p"});
        let sets = |pairs: &[Pair]| {
            let mut ledger = Ledger::default();
            pairs.iter().for_each(|p| ledger.enter(p));
            ledger.sets()
        };
        let all =
            sets(&[pair("1", 1, film.clone()), pair("2", 1, drawn.clone()), pair("3", 1, drawn.clone())]);
        let named: Vec<(&str, u64)> = all.iter().map(|s| (s.origin.as_str(), s.count)).collect();
        assert_eq!(named, [("rendered", 2), ("video", 1)]);
        assert!(all.iter().all(|s| s.sha256.len() == 64));
        let other = sets(&[pair("1", 2, film), pair("2", 1, drawn.clone()), pair("3", 1, drawn)]);
        assert!(other[0] == all[0] && other[1].sha256 != all[1].sha256);
    }
}
