//! What a network descends from: the digests of everything that it learned from, one generation after the other.

use serde::{Deserialize, Serialize};

/// The ancestors of a network. What it was trained without is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// SHA-256 of the pretrained encoders that the teachers began as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoders: Option<String>,
    /// SHA-256 of the teachers that the student learned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teachers: Option<String>,
    /// Pairs that the encoders learned from, by where they come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PairSet>,
}

/// Pairs of one origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairSet {
    /// `video`: found in a recording by tracker and gate. `rendered`: drawn as a pair of crops, never part of a video.
    pub origin: String,
    /// How many.
    pub count: u64,
    /// SHA-256 over all of them, in the order in which they were read.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lineage_is_written_and_read_and_an_empty_one_says_nothing() {
        let pairs = vec![PairSet { origin: "video".into(), count: 3, sha256: "ab".into() }];
        let whole = Lineage { encoders: Some("cd".into()), teachers: Some("ef".into()), pairs };
        let text = toml::to_string(&whole).expect("written");
        assert_eq!(toml::from_str::<Lineage>(&text).expect("read"), whole);
        assert_eq!(toml::to_string(&Lineage::default()).expect("written"), "");
        assert!(toml::from_str::<Lineage>("parents = 2").is_err());
    }
}
