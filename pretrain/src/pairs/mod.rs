//! Pairs of stabilised crops on disk: what `filter` finds, `corpus` renders and the contrastive training reads.
//!
//! A set is a folder of tar files, read in the order of their names. Each pair is `ID.onset.png` and `ID.apex.png` (gray,
//! 128 x 160), `ID.depth.npy` where there is depth (2 x 160 x 128: before and at the movement, 0 where nothing was
//! measured) and `ID.json`.

mod ledger;

pub use ledger::Ledger;

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use glint::face::{CROP_HEIGHT, CROP_WIDTH};
use image::{GrayImage, ImageFormat};
use serde_json::Value;

use crate::databases::crops::{CROP, CropPair};
use crate::npy;

/// Origin of pairs that were found in a recording.
pub const VIDEO: &str = "video";

/// One pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Unique in its set; no dot in it.
    pub id: String,
    /// The images.
    pub crops: CropPair,
    /// What is known of it: `subject` or `person`, and `class`, `aus` where they are.
    pub facts: Value,
}

impl Pair {
    /// The person, as the facts name them.
    pub fn subject(&self) -> &str {
        ["subject", "person"].iter().find_map(|key| self.facts[*key].as_str()).unwrap_or(&self.id)
    }

    /// Where it comes from: `video`, `rendered`, or `unknown`.
    pub fn origin(&self) -> &str {
        let of_video = self.facts["recording"].is_string();
        self.facts["origin"].as_str().unwrap_or(if of_video { VIDEO } else { "unknown" })
    }
}

/// Appends a pair to a tar file. The bytes depend on nothing but the pair.
pub fn write(tar: &mut tar::Builder<impl Write>, pair: &Pair) -> Result<()> {
    ensure!(!pair.id.is_empty() && !pair.id.contains(['.', '/']), "{}: not an id", pair.id);
    let mut add = |suffix: &str, bytes: &[u8]| -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        tar.append_data(&mut header, format!("{}.{suffix}", pair.id), bytes).with_context(|| pair.id.clone())
    };
    for (name, crop) in [("onset.png", &pair.crops.onset), ("apex.png", &pair.crops.apex)] {
        let image =
            GrayImage::from_raw(CROP_WIDTH as u32, CROP_HEIGHT as u32, crop.clone()).context("not a crop")?;
        let mut png = Cursor::new(Vec::new());
        image.write_to(&mut png, ImageFormat::Png).context("PNG")?;
        add(name, png.get_ref())?;
    }
    if let Some(depth) = &pair.crops.depth {
        let data: Vec<u8> = depth.iter().flatten().flat_map(|z| z.to_le_bytes()).collect();
        add("depth.npy", &npy::encode("<f4", &[2, CROP_HEIGHT, CROP_WIDTH], &data))?;
    }
    add("json", format!("{}\n", pair.facts).as_bytes())
}

/// The tar files of a set, in order.
pub fn shards(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut out: Vec<PathBuf> = std::fs::read_dir(dir)
        .with_context(|| dir.display().to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "tar"))
        .collect();
    out.sort();
    ensure!(!out.is_empty(), "{}: no .tar file in it", dir.display());
    Ok(out)
}

/// Reads every pair of a set and gives it to `take`. The errors name the file and the pair.
pub fn read(dir: &Path, mut take: impl FnMut(Pair) -> Result<()>) -> Result<()> {
    for shard in shards(dir)? {
        read_file(&shard, &mut take)?;
    }
    Ok(())
}

/// Reads every pair of one file of a set and gives it to `take`. The errors name the file and the pair.
pub fn read_file(path: &Path, take: &mut impl FnMut(Pair) -> Result<()>) -> Result<()> {
    members(path, take).with_context(|| path.display().to_string())
}

fn members(path: &Path, take: &mut impl FnMut(Pair) -> Result<()>) -> Result<()> {
    let mut archive = tar::Archive::new(std::io::BufReader::new(std::fs::File::open(path)?));
    // The members of a pair stand together; a new id ends the one before.
    let mut current: Option<(String, BTreeMap<String, Vec<u8>>)> = None;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let Some((id, suffix)) = name.split_once('.') else { bail!("{name}: not ID.SUFFIX") };
        ensure!(entry.size() <= 64 << 20, "{name}: {} bytes", entry.size());
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).with_context(|| name.clone())?;
        if current.as_ref().is_none_or(|(known, _)| known != id)
            && let Some(done) = current.replace((id.to_owned(), BTreeMap::new()))
        {
            take(assemble(done)?)?;
        }
        if let Some((_, members)) = &mut current {
            members.insert(suffix.to_owned(), bytes);
        }
    }
    current.map_or(Ok(()), |last| take(assemble(last)?))
}

fn assemble((id, members): (String, BTreeMap<String, Vec<u8>>)) -> Result<Pair> {
    let crop = |name: &str| -> Result<Vec<u8>> {
        let bytes = members.get(name).with_context(|| format!("{id}: no {name}"))?;
        let image = image::load_from_memory(bytes).with_context(|| format!("{id}.{name}"))?.into_luma8();
        ensure!(image.as_raw().len() == CROP, "{id}.{name}: {}x{}", image.width(), image.height());
        Ok(image.into_raw())
    };
    let depth = match members.get("depth.npy") {
        None => None,
        Some(bytes) => {
            let (shape, values) = npy::decode(bytes).with_context(|| format!("{id}.depth.npy"))?;
            match shape.as_slice() {
                [2, CROP_HEIGHT, CROP_WIDTH] => Some([values[..CROP].to_vec(), values[CROP..].to_vec()]),
                // Of one instant alone: nothing changes in it.
                [CROP_HEIGHT, CROP_WIDTH] => None,
                _ => bail!("{id}.depth.npy: shape {shape:?}"),
            }
        }
    };
    let facts = match members.get("json") {
        Some(bytes) => serde_json::from_slice(bytes).with_context(|| format!("{id}.json"))?,
        None => Value::Null,
    };
    let crops = CropPair { onset: crop("onset.png")?, apex: crop("apex.png")?, depth };
    Ok(Pair { id, crops, facts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pairs_come_back_as_they_were() {
        let dir = tempfile::tempdir().expect("folder");
        let pair = |k: u8, depth: bool| Pair {
            id: format!("p{k}"),
            crops: CropPair {
                onset: (0..CROP).map(|i| (i % 251) as u8 ^ k).collect(),
                apex: vec![k; CROP],
                depth: depth.then(|| [vec![600.0 + f32::from(k); CROP], vec![0.0; CROP]]),
            },
            facts: json!({"subject": format!("s{}", k % 2)}),
        };
        let pairs = [pair(1, true), pair(2, false), pair(3, true)];
        let mut bytes = Vec::new();
        for part in [&pairs[..2], &pairs[2..]] {
            let mut tar = tar::Builder::new(Vec::new());
            part.iter().for_each(|p| write(&mut tar, p).expect("writes"));
            bytes.push(tar.into_inner().expect("ends"));
        }
        for (i, bytes) in bytes.iter().enumerate() {
            std::fs::write(dir.path().join(format!("shard-{i:05}.tar")), bytes).expect("writes");
        }
        let mut read_pairs = Vec::new();
        read(dir.path(), |p| {
            read_pairs.push(p);
            Ok(())
        })
        .expect("reads");
        assert_eq!(read_pairs, pairs);
        assert_eq!(read_pairs[2].subject(), "s1");
        std::fs::write(dir.path().join("shard-00001.tar"), &bytes[1][..2000]).expect("writes");
        let error = format!("{:#}", read(dir.path(), |_| Ok(())).expect_err("cut"));
        assert!(error.contains("shard-00001.tar"), "{error}");
    }
}
