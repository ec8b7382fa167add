//! Published flow images of the MEGC2019 composite: `index.csv` (file, database, subject, class) and 28 x 28 PNGs in
//! `flow/`, whose channels are u, v and optical strain between onset and apex, each scaled to 0..255.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use glint::event::Class;
use glint::student::{SIDE, prepare_channels};

/// One annotated movement.
#[derive(Debug, Clone)]
pub struct FlowSample {
    /// Name of the image.
    pub file: String,
    /// Database, as the index names it.
    pub database: String,
    /// Subject within the database.
    pub subject: String,
    /// Index of the class in [`Class::ALL`].
    pub class: usize,
    /// The student's input, 3 x 28 x 28.
    pub motion: Vec<f32>,
}

/// What `index.csv` begins with.
const HEADER: &str = "file,database,subject,class";

/// Reads every sample of `dir`, in the order of the index.
pub fn load(dir: &Path) -> Result<Vec<FlowSample>> {
    let index = dir.join("index.csv");
    let name = index.display().to_string();
    let text = std::fs::read_to_string(&index).with_context(|| name.clone())?;
    let mut lines = text.lines().enumerate();
    let header = lines.next().map_or("", |(_, l)| l.trim_end());
    ensure!(header == HEADER, "{name}:1: \"{header}\"; expected {HEADER}");
    let mut samples = Vec::new();
    for (i, line) in lines.filter(|(_, l)| !l.trim().is_empty()) {
        let at = format!("{name}:{}", i + 1);
        let cells: Vec<&str> = line.trim_end().split(',').collect();
        let [file, database, subject, class] = cells[..] else {
            bail!("{at}: {} cells; expected 4", cells.len())
        };
        ensure!(!subject.is_empty() && !database.is_empty(), "{at}: no database or no subject");
        ensure!(!file.contains(['/', '\\']), "{at}: \"{file}\"; expected a plain file name");
        let class = Class::ALL.iter().position(|&c| c.as_str() == class);
        let class = class.with_context(|| {
            format!("{at}: class \"{}\"; allowed: negative, positive, surprise", cells[3])
        })?;
        let path = image_path(dir, file);
        let motion = read(&path).with_context(|| format!("{at}: {}", path.display()))?;
        let (database, subject) = (database.to_owned(), subject.to_owned());
        samples.push(FlowSample { file: file.to_owned(), database, subject, class, motion });
    }
    ensure!(!samples.is_empty(), "{name}: no samples");
    Ok(samples)
}

/// Images lie in `flow/`, or beside the index.
fn image_path(dir: &Path, file: &str) -> PathBuf {
    let inside = dir.join("flow").join(file);
    if inside.exists() { inside } else { dir.join(file) }
}

fn read(path: &Path) -> Result<Vec<f32>> {
    let image = image::open(path)?.into_rgb8();
    let side = SIDE as u32;
    ensure!(
        image.dimensions() == (side, side),
        "{}x{} pixels; expected {side}x{side}",
        image.width(),
        image.height()
    );
    let plane = |c: usize| -> Vec<f32> { image.pixels().map(|p| f32::from(p.0[c])).collect() };
    Ok(prepare_channels([&plane(0), &plane(1), &plane(2)]))
}

/// Subjects, each with the indices of its samples, in the order of their first sample.
pub fn subjects(samples: &[FlowSample]) -> Vec<Vec<usize>> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    let mut out: Vec<Vec<usize>> = Vec::new();
    for (i, s) in samples.iter().enumerate() {
        let name = (s.database.as_str(), s.subject.as_str());
        match names.iter().position(|n| *n == name) {
            Some(k) => out[k].push(i),
            None => {
                names.push(name);
                out.push(vec![i]);
            }
        }
    }
    out
}

/// The student's input of the mirrored face: columns reversed, u negated.
pub fn mirrored(motion: &[f32], side: usize) -> Vec<f32> {
    let mut out = motion.to_vec();
    out.chunks_exact_mut(side).for_each(<[f32]>::reverse);
    out[..side * side].iter_mut().for_each(|u| *u = -*u);
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A folder with `people` subjects in two databases; the class is written into u, v and strain.
    pub(crate) fn folder(people: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("folder");
        std::fs::create_dir(dir.path().join("flow")).expect("folder");
        let mut index = format!("{HEADER}\n");
        let mut rng = crate::augment::generator(1, 9);
        for person in 0..people {
            for k in 0..6 {
                let class = Class::ALL[k % 3];
                let database = if person % 2 == 0 { "smic" } else { "casme2" };
                let file = format!("{person}_{k}.png");
                let image = image::RgbImage::from_fn(28, 28, |x, y| {
                    let hot = match class {
                        Class::Negative => (8..12).contains(&y) && (8..20).contains(&x),
                        Class::Positive => (18..23).contains(&y) && !(10..18).contains(&x),
                        Class::Surprise => y < 7,
                    };
                    let noise = 12.0 * crate::augment::normal(&mut rng);
                    let v = 128.0 + noise + if hot { 70.0 } else { 0.0 };
                    image::Rgb([
                        128 + (noise as i8 / 2) as u8 % 8,
                        v.clamp(0.0, 255.0) as u8,
                        if hot { 200 } else { 30 },
                    ])
                });
                image.save(dir.path().join("flow").join(&file)).expect("image");
                index += &format!("{file},{database},s{:02},{}\n", person / 2, class);
            }
        }
        std::fs::write(dir.path().join("index.csv"), index).expect("index");
        dir
    }

    #[test]
    fn a_folder_is_read_and_its_faults_are_named() {
        let dir = folder(3);
        let samples = load(dir.path()).expect("reads");
        assert_eq!(samples.len(), 18);
        let people = subjects(&samples);
        // s00 of one database is not s00 of the other.
        assert_eq!(people.iter().map(Vec::len).collect::<Vec<_>>(), [6, 6, 6]);
        let index = dir.path().join("index.csv");
        let valid = std::fs::read_to_string(&index).expect("index");
        for (from, to, expected) in [
            ("0_1.png,smic,s00,positive", "0_1.png,smic,s00,happy", "index.csv:3: class \"happy\""),
            ("0_1.png,smic,s00,positive", "0_1.png,smic,s00", "index.csv:3: 3 cells"),
            ("0_1.png", "nowhere.png", "index.csv:3: "),
            ("file,", "name,", "index.csv:1: "),
        ] {
            std::fs::write(&index, valid.replace(from, to)).expect("index");
            let error = load(dir.path()).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_mirrored_face_moves_the_other_way() {
        let motion: Vec<f32> = (0..12).map(|i| i as f32).collect();
        assert_eq!(mirrored(&motion, 2), [-1.0, 0.0, -3.0, -2.0, 5.0, 4.0, 7.0, 6.0, 9.0, 8.0, 11.0, 10.0]);
    }
}
