//! A folder of numbered images: `img9.jpg`, `img46.jpg`, and in the place of `img47.jpg`, if it is not there, a lost
//! frame.
//!
//! One series of names a folder. Hidden files and pictures without a number are no frames; two names for one frame, or
//! two series, are refused: nothing tells which of them is meant.

mod image;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{ClipError, Place, Raw, Source};
use image::Images;

/// Runs of missing numbers that are named.
const NAMED: usize = 3;

pub(super) struct FolderReader {
    files: std::vec::IntoIter<(u64, PathBuf)>,
    /// The files, and the lost ones between them.
    count: u64,
    place: Place,
    images: Images,
}

/// A file name taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    file: String,
    /// The name without its extension, `#` for each number.
    shape: String,
    numbers: Vec<u64>,
}

impl Name {
    fn new(file: &str) -> Self {
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let (mut shape, mut numbers) = (String::new(), Vec::new());
        let mut rest = stem;
        while let Some(c) = rest.chars().next() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if let (true, Ok(number)) = (digits > 0, rest[..digits].parse()) {
                shape.push('#');
                numbers.push(number);
                rest = &rest[digits..];
            } else {
                let end = digits.max(c.len_utf8());
                shape.push_str(&rest[..end]);
                rest = &rest[end..];
            }
        }
        Self { file: file.to_owned(), shape, numbers }
    }
}

impl FolderReader {
    pub(super) fn new(path: &Path) -> Result<Self, ClipError> {
        let io = |cause| ClipError::Io { path: path.to_owned(), cause };
        let header = |reason: String| ClipError::Header { path: path.to_owned(), reason };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let extension = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
            let image = matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png"));
            // Hidden: what file managers, cameras and other systems leave beside the pictures.
            if image && !name.starts_with('.') && !entry.path().is_dir() {
                names.push(Name::new(&name));
            }
        }
        names.sort_by(|a, b| (&a.numbers, &a.file).cmp(&(&b.numbers, &b.file)));
        if names.is_empty() {
            return Err(header("the folder holds no images; allowed: .jpg .jpeg .png".into()));
        }
        let (series, left_out) = series(names).map_err(header)?;
        for name in left_out {
            tracing::warn!("{}: {name}: skipped, because its name holds no number", path.display());
        }
        let series = numbered(series).map_err(header)?;
        if let Some(missing) = missing(&series) {
            tracing::warn!("{}: {missing}", path.display());
        }
        let count = series.last().map_or(0, |(n, _)| n + 1);
        let files: Vec<_> = series.into_iter().map(|(n, name)| (n, path.join(name.file))).collect();
        Ok(Self { files: files.into_iter(), count, place: Place::default(), images: Images::default() })
    }
}

impl Source for FolderReader {
    fn frame_count(&self) -> Option<u64> {
        Some(self.count)
    }

    fn place(&self) -> Place {
        self.place
    }

    fn next(&mut self, luma: &mut Vec<u8>) -> std::io::Result<Raw> {
        let Some((n, path)) = self.files.next() else { return Ok(Raw::End) };
        self.place = Place { seq: n, slot: n, at_ns: None };
        let others = self.files.as_slice();
        // A file that cannot be opened is lost as one that cannot be decoded.
        let read = self.images.read(&path, others, luma).unwrap_or_else(|e| Err(e.to_string()));
        Ok(match read {
            Ok((w, h)) => Raw::Luma(w, h),
            Err(reason) => {
                Raw::Damaged(format!("{}: {reason}", path.file_name().unwrap_or_default().to_string_lossy()))
            }
        })
    }
}

/// The names of the one series that a folder holds, and those that belong to none.
fn series(names: Vec<Name>) -> Result<(Vec<Name>, Vec<String>), String> {
    let mut kinds: BTreeMap<String, Vec<Name>> = BTreeMap::new();
    for name in names {
        kinds.entry(name.shape.clone()).or_default().push(name);
    }
    let shape = kinds
        .iter()
        .max_by_key(|(_, names)| (names[0].numbers.len().min(1), names.len()))
        .map(|(shape, _)| shape.clone())
        .unwrap_or_default();
    let series = kinds.remove(&shape).unwrap_or_default();
    let mut left_out = Vec::new();
    for other in kinds.into_values().flatten() {
        let first = &series[0];
        if first.numbers.is_empty() || !other.numbers.is_empty() {
            return Err(format!(
                "{} and {} do not belong to one series; allowed: one a folder, that differs in numbers alone",
                first.file, other.file
            ));
        }
        left_out.push(other.file);
    }
    Ok((series, left_out))
}

/// The names in order, each with its frame number from 0. Where one number changes, it counts the frames; a step that
/// all of them share is a step of one. Names of several numbers, as dates, follow each other.
fn numbered(mut names: Vec<Name>) -> Result<Vec<(u64, Name)>, String> {
    names.sort_by(|a, b| a.numbers.cmp(&b.numbers).then_with(|| a.file.cmp(&b.file)));
    if let Some([a, b]) = names.windows(2).find(|w| w[0].numbers == w[1].numbers) {
        return Err(format!("{} and {} have the same frame number", a.file, b.file));
    }
    let first = names[0].numbers.clone();
    let changing: Vec<usize> =
        (0..first.len()).filter(|&k| names.iter().any(|n| n.numbers[k] != first[k])).collect();
    let [column] = changing[..] else {
        return Ok((0..).zip(names).collect());
    };
    let distance = |n: &Name| n.numbers[column] - first[column];
    let step = names.iter().map(distance).fold(0, gcd).max(1);
    Ok(names.into_iter().map(|n| (distance(&n) / step, n)).collect())
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Words on the numbers that are not there.
fn missing(series: &[(u64, Name)]) -> Option<String> {
    let holes: Vec<&[(u64, Name)]> = series.windows(2).filter(|w| w[1].0 - w[0].0 > 1).collect();
    let lost: u64 = holes.iter().map(|w| w[1].0 - w[0].0 - 1).sum();
    let named: Vec<String> =
        holes.iter().take(NAMED).map(|w| format!("{} and {}", w[0].1.file, w[1].1.file)).collect();
    let more = if holes.len() > NAMED { ", ..." } else { "" };
    (lost > 0).then(|| format!("{lost} frames are missing, between {}{more}", named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[&str]) -> Vec<Name> {
        files.iter().map(|f| Name::new(f)).collect()
    }

    fn order(files: &[&str]) -> Result<Vec<(u64, String)>, String> {
        let (series, _) = series(names(files))?;
        Ok(numbered(series)?.into_iter().map(|(n, name)| (n, name.file)).collect())
    }

    #[test]
    fn numbers_are_frames_and_missing_ones_are_lost() {
        let series = order(&["img100.jpg", "img46.jpg", "img9.png", "img48.jpg"]).expect("a series");
        let numbers: Vec<u64> = series.iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, [0, 37, 39, 91]);
        let words = missing(&numbered(names(&["a1.jpg", "a2.jpg", "a5.jpg"])).expect("a series"));
        assert_eq!(words.as_deref(), Some("2 frames are missing, between a2.jpg and a5.jpg"));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_a_gap_with_its_name() {
        let dir = tempfile::tempdir().expect("folder");
        std::os::unix::fs::symlink("/nowhere/img3.jpg", dir.path().join("img3.jpg")).expect("a link");
        let mut reader = FolderReader::new(dir.path()).expect("a series");
        let raw = reader.next(&mut Vec::new()).expect("goes on");
        assert!(matches!(&raw, Raw::Damaged(reason) if reason.starts_with("img3.jpg: No such file")));
        assert!(matches!(reader.next(&mut Vec::new()), Ok(Raw::End)));
    }

    #[test]
    fn a_common_step_counts_as_one() {
        let series = order(&["006_05560.jpg", "006_05570.jpg", "006_05590.jpg"]).expect("a series");
        assert_eq!(series.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [0, 1, 3]);
    }

    #[test]
    fn dates_follow_each_other() {
        let series =
            order(&["2024-01-01T10.01.000.JPG", "2024-01-01T10.00.990.JPG", "2024-01-01T10.01.010.JPG"]);
        let series = series.expect("a series");
        assert_eq!(series[0], (0, "2024-01-01T10.00.990.JPG".to_owned()));
        assert_eq!(series[2].0, 2);
    }

    #[test]
    fn two_names_for_one_frame_and_two_series_are_refused_by_name() {
        for files in [
            ["img5.jpg", "img5.png", "img6.jpg"],
            ["img5.jpg", "img05.jpg", "img6.jpg"],
            ["img5.jpg", "img5 (1).jpg", "img6.jpg"],
            ["-1.jpg", "0.jpg", "1.jpg"],
            ["frame_000a.jpg", "frame_0009.jpg", "frame_0008.jpg"],
            ["a.jpg", "b.jpg", "c.jpg"],
        ] {
            let message = order(&files).expect_err("ambiguous");
            let named = files.iter().filter(|f| message.contains(*f)).count();
            assert!(named >= 2, "{message}");
        }
        let (_, left_out) = series(names(&["img1.jpg", "cover.jpg"])).expect("a series");
        assert_eq!(left_out, ["cover.jpg"]);
        assert_eq!(order(&["portrait.jpg"]).expect("one picture").len(), 1);
    }
}
