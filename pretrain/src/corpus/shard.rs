//! Corpora on disk: sharded archives of pairs with an index (see `docs/reference/corpus.md`).

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use glint::au::{Side, intensity_of_fraction, level};
use glint::face::{CROP_HEIGHT, CROP_WIDTH, EYE_DISTANCE};
use half::f16;
use serde_json::{Value, json};

use super::pair::RenderedPair;
use crate::npy;

/// Origin of pairs that were drawn as two crops.
const RENDERED: &str = "rendered";

/// Samples in one archive.
pub const SHARD: u64 = 1000;
/// Columns of `index.csv`.
const COLUMNS: &str = "id,shard,person,source,held_out,class,aus,apex_ms,offset_ms,distractors";

/// Letter of a side, as events have it.
pub fn side_letter(side: Side) -> char {
    match side {
        Side::Left => 'L',
        Side::Right => 'R',
        Side::Both => 'B',
    }
}

/// AUs as the truth files have them: intensity on the scale 0 to 5.
pub fn aus_json(parts: &[(u8, Side, f32)]) -> Value {
    let round = |v: f32| (f64::from(v) * 1e4).round() / 1e4;
    parts
        .iter()
        .map(|&(au, side, fraction)| {
            let intensity = intensity_of_fraction(fraction);
            json!({"au": au, "side": side_letter(side), "intensity": round(intensity), "level": level(intensity)})
        })
        .collect()
}

/// The files of one sample, ready to be written.
pub struct Packed {
    files: Vec<(String, Vec<u8>)>,
    row: String,
}

/// `ID.onset.png`, `ID.apex.png`, `ID.flow.npy`, `ID.depth.npy` where there is one, `ID.json`.
pub fn pack(pair: &RenderedPair, seed: u64) -> Result<Packed> {
    let id = format!("{:07}", pair.index);
    let shape = [CROP_HEIGHT, CROP_WIDTH];
    let half = |values: &mut dyn Iterator<Item = f32>| -> Vec<u8> {
        values.flat_map(|v| f16::from_f32(v).to_le_bytes()).collect()
    };
    let flow = half(&mut pair.flow.u.iter().chain(&pair.flow.v).copied());
    let mut files = vec![
        (format!("{id}.onset.png"), png(&pair.onset)?),
        (format!("{id}.apex.png"), png(&pair.apex)?),
        (format!("{id}.flow.npy"), npy::encode("<f2", &[2, shape[0], shape[1]], &flow)),
    ];
    if let Some(depth) = &pair.depth {
        files
            .push((format!("{id}.depth.npy"), npy::encode("<f2", &shape, &half(&mut depth.iter().copied()))));
    }
    let distractors: Vec<String> = pair.distractors.iter().map(json_name).collect();
    let class = json_name(&pair.class);
    let round = |v: f64| (v * 100.0).round() / 100.0;
    let [apex_ms, offset_ms] = pair.times_ms.map(round);
    let truth = json!({
        "id": id, "origin": RENDERED, "seed": seed, "person": pair.person, "source": pair.source, "held_out": pair.held_out,
        "class": class, "aus": aus_json(&pair.parts), "onset_ms": 0.0, "apex_ms": apex_ms, "offset_ms": offset_ms,
        "distractors": distractors, "width": CROP_WIDTH, "height": CROP_HEIGHT, "eye_distance_px": EYE_DISTANCE,
    });
    files.push((format!("{id}.json"), format!("{truth}\n").into_bytes()));
    let aus: Vec<String> = pair
        .parts
        .iter()
        .map(|&(au, side, fraction)| {
            format!("{}{au}:{:.3}", side_letter(side), intensity_of_fraction(fraction))
        })
        .collect();
    let row = format!(
        "{id},{},{},{},{},{class},{},{apex_ms},{offset_ms},{}",
        shard_name(pair.index),
        pair.person,
        pair.source,
        pair.held_out,
        aus.join(" "),
        distractors.join(" ")
    );
    Ok(Packed { files, row })
}

/// The snake-case word of an enum, as JSON has it.
fn json_name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn shard_name(index: u64) -> String {
    format!("shard-{:05}.tar", index / SHARD)
}

/// A gray crop as PNG, quickly.
fn png(luma: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(luma.len());
    let mut encoder = png::Encoder::new(&mut out, CROP_WIDTH as u32, CROP_HEIGHT as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(luma)?;
    Ok(out)
}

/// Writes samples, in order, into `shard-00000.tar` ... and `index.csv`.
pub struct Writer {
    dir: PathBuf,
    index: String,
    open: Option<(PathBuf, tar::Builder<std::io::BufWriter<std::fs::File>>)>,
    next: u64,
}

impl Writer {
    /// Writes into `dir`, which is made.
    pub fn create(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        Ok(Self { dir: dir.into(), index: format!("{COLUMNS}\n"), open: None, next: 0 })
    }

    /// Adds the next sample.
    pub fn add(&mut self, sample: &Packed) -> Result<()> {
        if self.next.is_multiple_of(SHARD) {
            self.close()?;
            let path = self.dir.join(shard_name(self.next));
            let file = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
            let builder = tar::Builder::new(std::io::BufWriter::with_capacity(1 << 20, file));
            self.open = Some((path, builder));
        }
        self.next += 1;
        if let Some((path, tar)) = &mut self.open {
            for (name, bytes) in &sample.files {
                // Owner and times would make two runs differ.
                let mut header = tar::Header::new_ustar();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                header.set_mtime(0);
                tar.append_data(&mut header, name, bytes.as_slice())
                    .with_context(|| path.display().to_string())?;
            }
        }
        writeln!(self.index, "{}", sample.row)?;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some((path, tar)) = self.open.take() {
            let done = tar.into_inner().and_then(|mut file| file.flush());
            done.with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// Completes the last archive and writes the index.
    pub fn finish(mut self) -> Result<()> {
        self.close()?;
        let path = self.dir.join("index.csv");
        std::fs::write(&path, &self.index).with_context(|| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{pair, plan};
    use rayon::prelude::*;
    use std::io::Read;

    fn write(dir: &Path, threads: usize) {
        let cast = plan::tests::cast();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let packed: Vec<Packed> = pool.install(|| {
            (0..30u64)
                .into_par_iter()
                .map(|i| pack(&pair::sample(&cast, 5, i), 5).expect("a sample"))
                .collect()
        });
        let mut writer = Writer::create(dir).expect("folder");
        packed.iter().for_each(|p| writer.add(p).expect("written"));
        writer.finish().expect("index");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
        let dirs = [1, 4].map(|threads| {
            let dir = tempfile::tempdir().expect("temporary folder");
            write(dir.path(), threads);
            dir
        });
        for name in ["shard-00000.tar", "index.csv"] {
            let [a, b] = [0, 1].map(|k| std::fs::read(dirs[k].path().join(name)).expect("file"));
            assert!(a == b && a.len() > 1000, "{name}");
        }
    }

    #[test]
    fn archives_hold_what_the_index_says() {
        let dir = tempfile::tempdir().expect("temporary folder");
        write(dir.path(), 2);
        let index = std::fs::read_to_string(dir.path().join("index.csv")).expect("index");
        assert_eq!(index.lines().count(), 31);
        let first: Vec<&str> = index.lines().nth(1).expect("a row").split(',').collect();
        assert_eq!((first.len(), first[0], first[1]), (10, "0000000", "shard-00000.tar"));
        let file = std::fs::File::open(dir.path().join("shard-00000.tar")).expect("archive");
        let mut archive = tar::Archive::new(file);
        let mut names = Vec::new();
        for entry in archive.entries().expect("entries") {
            let mut entry = entry.expect("entry");
            let name = entry.path().expect("path").display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("bytes");
            if name == "0000000.flow.npy" {
                assert_eq!(bytes.len(), 128 + 2 * 2 * CROP_WIDTH * CROP_HEIGHT);
            }
            if name == "0000000.onset.png" {
                let image = image::load_from_memory(&bytes).expect("image").into_luma8();
                assert_eq!(image.as_raw(), &pair::sample(&plan::tests::cast(), 5, 0).onset);
            }
            if name == "0000000.json" {
                let truth: Value = serde_json::from_slice(&bytes).expect("json");
                assert!(truth["aus"][0]["intensity"].as_f64().expect("number") > 0.0);
                assert_eq!(truth["class"], first[5]);
            }
            names.push(name);
        }
        assert_eq!(
            &names[..4],
            ["0000000.onset.png", "0000000.apex.png", "0000000.flow.npy", "0000000.json"]
        );
    }
}
