//! Which portraits the shipped models have seen: figures are for all others.

use std::collections::HashSet;
use std::path::Path;

use crate::holdout::fnv1a_64;
use anyhow::{Context, Result};

use crate::assets::portraits::Portrait;

/// The list that came with the shipped models: FNV-1a 64 of the id of every portrait, one a line in hexadecimal.
const SHIPPED: &str = include_str!("../../../models/portraits.txt");

/// The portraits that did not train the shipped models.
pub fn unseen(portraits: &[Portrait]) -> Vec<&Portrait> {
    let seen: HashSet<u64> = SHIPPED.lines().filter_map(|l| u64::from_str_radix(l.trim(), 16).ok()).collect();
    portraits.iter().filter(|p| !seen.contains(&fnv1a_64(p.id.as_bytes()))).collect()
}

/// Writes the list of the portraits that train, in order of their hashes, as `portraits.txt` in `dir`.
pub fn write(dir: &Path, portraits: &[&Portrait]) -> Result<()> {
    let mut hashes: Vec<u64> = portraits.iter().map(|p| fnv1a_64(p.id.as_bytes())).collect();
    hashes.sort_unstable();
    let text: String = hashes.iter().map(|h| format!("{h:016x}\n")).collect();
    let path = dir.join("portraits.txt");
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&path, text))
        .with_context(|| path.display().to_string())
}
