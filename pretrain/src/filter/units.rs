//! What is to be scanned: clips, folders of frames and files of pairs below one folder, in a fixed order, and the part of a
//! shard.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};

/// Extensions of video files; those after the first two are read through ffmpeg.
const VIDEOS: [&str; 13] =
    ["avi", "y4m", "mp4", "m4v", "mov", "mkv", "webm", "mpg", "mpeg", "mts", "m2ts", "wmv", "3gp"];
/// Extension of files of pairs.
const PAIRS: &str = "tar";

/// One recording, or one file of pairs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScanUnit {
    /// Path below the folder that is scanned: the unit's name in reports.
    pub name: String,
    /// The file or folder.
    pub path: PathBuf,
}

impl ScanUnit {
    /// Whether it holds pairs, not frames.
    pub fn is_pairs(&self) -> bool {
        self.path.is_file() && extension(&self.path).as_deref() == Some(PAIRS)
    }

    /// The name as part of a file's name: no slash, no dot.
    pub fn id(&self) -> String {
        self.name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' })
            .collect()
    }
}

/// Every video, every folder with numbered images and every file of pairs below `dir`, in the order of their names. Folders
/// named `depth` hold depth images and are no recordings.
pub fn find(dir: &Path) -> Result<Vec<ScanUnit>> {
    let mut out = Vec::new();
    visit(dir, dir, &mut out)?;
    ensure!(
        !out.is_empty(),
        "{}: no clip ({}), no folder of images (jpg, jpeg, png) and no pairs ({PAIRS})",
        dir.display(),
        VIDEOS.join(", ")
    );
    out.sort();
    let mut ids: Vec<String> = out.iter().map(ScanUnit::id).collect();
    ids.sort();
    if let Some(pair) = ids.windows(2).find(|w| w[0] == w[1]) {
        anyhow::bail!("two recordings have names that differ in punctuation alone: {}", pair[0]);
    }
    Ok(out)
}

fn visit(root: &Path, dir: &Path, out: &mut Vec<ScanUnit>) -> Result<()> {
    let (mut images, mut pairs) = (false, false);
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry.with_context(|| dir.display().to_string())?;
        let path = entry.path();
        // The type of the entry itself: a link to a folder may lead back to where it stands.
        if entry.file_type().with_context(|| path.display().to_string())?.is_dir() {
            if !path.file_name().is_some_and(|n| n.eq_ignore_ascii_case("depth")) {
                visit(root, &path, out)?;
            }
            continue;
        }
        match extension(&path).as_deref() {
            Some("jpg" | "jpeg" | "png") => images = true,
            Some(other) if other == PAIRS || VIDEOS.contains(&other) => {
                pairs |= other == PAIRS;
                out.push(unit(root, path));
            }
            _ => {}
        }
    }
    // Beside pairs there are sheets of samples, no frames.
    if images && !pairs {
        out.push(unit(root, dir.to_owned()));
    }
    Ok(())
}

fn extension(path: &Path) -> Option<String> {
    path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase)
}

fn unit(root: &Path, path: PathBuf) -> ScanUnit {
    let below = path.strip_prefix(root).unwrap_or(&path);
    // The folder itself may be the one recording.
    let name =
        if below.as_os_str().is_empty() { root.file_name().unwrap_or_default() } else { below.as_os_str() };
    ScanUnit { name: name.to_string_lossy().into_owned(), path }
}

/// Part `index` (from 1) of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which part.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// Whether unit number `position` belongs to it.
    pub fn takes(&self, position: usize) -> bool {
        position % self.count == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let fits = |&(index, count): &(usize, usize)| index >= 1 && index <= count && count <= 1_000_000;
        parsed
            .filter(fits)
            .map(|(index, count)| Self { index, count })
            .ok_or_else(|| "allowed: I/N with 1 <= I <= N".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_everything_once() {
        for count in 1..6 {
            let shards: Vec<Shard> = (1..=count).map(|index| Shard { index, count }).collect();
            assert!((0..40).all(|p| shards.iter().filter(|s| s.takes(p)).count() == 1));
        }
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
        for bad in ["0/3", "4/3", "3", "a/b", "1/0"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }

    #[test]
    fn clips_and_folders_are_found_in_order() {
        let dir = tempfile::tempdir().expect("folder");
        let touch = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folder");
            std::fs::write(path, b"").expect("writes");
        };
        for name in [
            "b.avi",
            "part_A/spNO.1/a/color/1.jpg",
            "part_A/spNO.1/a/depth/1.png",
            "part_A/x.txt",
            "a.Y4M",
            "c.MP4",
            "drawn/shard-00000.tar",
            "drawn/contact.png",
        ] {
            touch(name);
        }
        let units = find(dir.path()).expect("finds");
        let names: Vec<&str> = units.iter().map(|u| u.name.as_str()).collect();
        assert_eq!(names, ["a.Y4M", "b.avi", "c.MP4", "drawn/shard-00000.tar", "part_A/spNO.1/a/color"]);
        assert_eq!(units[4].id(), "part_A_spNO_1_a_color");
        assert!(units[3].is_pairs() && !units[2].is_pairs() && !units[4].is_pairs());
        touch("b_avi/1.jpg");
        assert!(find(dir.path()).expect_err("ambiguous").to_string().contains("b_avi"));
        let empty = tempfile::tempdir().expect("folder");
        assert!(find(empty.path()).expect_err("empty").to_string().contains("no clip"));
    }
}
