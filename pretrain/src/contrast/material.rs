//! Pairs on disk to the views that are trained on. Images are not kept, so that memory holds the views alone.

use std::path::PathBuf;

use crate::holdout::is_held_out;
use anyhow::{Result, ensure};
use glint::model::PairSet;

use super::recipe::PretrainRecipe;
use super::train::Views;
use crate::pairs::{self, Ledger, Pair};

/// Pairs whose images are in memory at once.
const CHUNK: usize = 1024;

/// What is trained on, and what retrieval is reported on.
#[derive(Debug, Clone, Default)]
pub struct Material {
    /// Views of people who train.
    pub train: Views,
    /// Views of held-out people.
    pub held: Views,
    /// Which pairs train.
    pub sets: Vec<PairSet>,
}

impl Material {
    /// Reads sets of pairs in their order, and splits them by the project's rule for held-out people. `most`: so many
    /// pairs at most, from the first on.
    pub fn read(dirs: &[PathBuf], recipe: &PretrainRecipe, most: usize) -> Result<Self> {
        let mut reader = Reader { out: Self::default(), ledger: Ledger::default(), recipe, read: 0 };
        let mut waiting = Vec::with_capacity(CHUNK);
        for dir in dirs {
            let before = reader.read + waiting.len();
            let files = match pairs::shards(dir) {
                Ok(files) => files,
                // A filter that kept nothing leaves its report alone.
                Err(e) if dir.join("report.json").exists() => {
                    eprintln!("{e:#}");
                    continue;
                }
                Err(e) => return Err(e),
            };
            for file in files {
                if reader.read + waiting.len() >= most {
                    break;
                }
                pairs::read_file(&file, &mut |pair| {
                    if reader.read + waiting.len() < most {
                        waiting.push(pair);
                    }
                    if waiting.len() == CHUNK {
                        reader.take(&mut waiting);
                    }
                    Ok(())
                })?;
            }
            eprintln!("{}: {} pairs", dir.display(), reader.read + waiting.len() - before);
        }
        reader.take(&mut waiting);
        let Reader { mut out, ledger, read, .. } = reader;
        out.sets = ledger.sets();
        let views = [recipe.first.view, recipe.second.view];
        ensure!(out.train.len > 0, "none of {read} pairs has both views {:?} and {:?}", views[0], views[1]);
        Ok(out)
    }
}

struct Reader<'a> {
    out: Material,
    ledger: Ledger,
    recipe: &'a PretrainRecipe,
    read: usize,
}

impl Reader<'_> {
    fn take(&mut self, pairs: &mut Vec<Pair>) {
        self.read += pairs.len();
        let (held, train): (Vec<Pair>, Vec<Pair>) = pairs.drain(..).partition(|p| is_held_out(p.subject()));
        let PretrainRecipe { first, second, .. } = self.recipe;
        self.out.held.extend(&held, first, second);
        let have = self.out.train.extend(&train, first, second);
        train.iter().zip(have).filter(|(_, have)| *have).for_each(|(pair, _)| self.ledger.enter(pair));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databases::crops::{CROP, CropPair};
    use serde_json::json;

    /// A set of pairs of as many people; each with one AU.
    fn set(people: std::ops::Range<usize>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("folder");
        let mut tar = tar::Builder::new(Vec::new());
        for k in people {
            let crop = |shift: usize| (0..CROP).map(|i| ((i * 7 + k * 13 + shift) % 251) as u8).collect();
            let crops = CropPair { onset: crop(0), apex: crop(3), depth: None };
            let facts = json!({"subject": format!("s{k}"), "origin": "rendered", "measured": {"au12": 1.5}});
            pairs::write(&mut tar, &Pair { id: format!("p{k}"), crops, facts }).expect("writes");
        }
        std::fs::write(dir.path().join("shard.tar"), tar.into_inner().expect("ends")).expect("writes");
        dir
    }

    #[test]
    fn sets_are_split_by_person_and_counted() {
        let recipe = PretrainRecipe::named("student").expect("recipe");
        let (one, two, none) = (set(0..30), set(30..40), tempfile::tempdir().expect("folder"));
        let dirs = [one.path().to_owned(), none.path().to_owned(), two.path().to_owned()];
        let error = Material::read(&dirs, &recipe, usize::MAX).expect_err("no pairs").to_string();
        assert!(error.contains("no .tar file"), "{error}");
        std::fs::write(none.path().join("report.json"), "{}").expect("writes");
        let all = Material::read(&dirs, &recipe, usize::MAX).expect("reads");
        let held = (0..40).filter(|k| is_held_out(&format!("s{k}"))).count();
        assert_eq!((all.train.len, all.held.len), (40 - held, held));
        assert_eq!((all.sets.len(), all.sets[0].count), (1, 40 - held as u64));
        assert_eq!(all.train.intensities[0].iter().sum::<f32>(), 1.5);
        let some = Material::read(&dirs, &recipe, 12).expect("reads");
        assert_eq!(some.train.len + some.held.len, 12);
        assert_eq!(some.train.first, all.train.first[..some.train.first.len()]);
        let deep = Material::read(&dirs, &PretrainRecipe::named("paper").expect("recipe"), 12)
            .expect_err("no depth");
        assert_eq!(deep.to_string(), "none of 12 pairs has both views Appearance and Depth");
    }
}
