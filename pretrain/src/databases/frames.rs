//! Folders of numbered images as the databases publish them, and where they lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use glint::frame::{Frame, LumaDecoder, PixelFormat, check_size};

/// Extensions of images.
const IMAGES: [&str; 4] = ["jpg", "jpeg", "png", "bmp"];

/// The images of one clip by the number in their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameFolder {
    /// The folder.
    pub dir: PathBuf,
    files: BTreeMap<u32, String>,
}

impl FrameFolder {
    /// Lists a folder. `img46.jpg`, `reg_img46.jpg`, `006_05562.jpg`, `Frame_000001826.jpg`: the digits that end the name
    /// are the frame's number.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
            let path = entry.with_context(|| dir.display().to_string())?.path();
            let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
            let (Some(stem), Some(name)) = (path.file_stem().and_then(|s| s.to_str()), path.file_name())
            else {
                continue;
            };
            if extension.is_some_and(|e| IMAGES.contains(&e.as_str()))
                && let Some(number) = last_number(stem)
            {
                files.insert(number, name.to_string_lossy().into_owned());
            }
        }
        ensure!(!files.is_empty(), "{}: no numbered images in it", dir.display());
        Ok(Self { dir: dir.to_owned(), files })
    }

    /// Numbers of the frames.
    pub fn numbers(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.files.keys().copied()
    }

    /// First and last number.
    pub fn span(&self) -> (u32, u32) {
        let first = self.numbers().next().unwrap_or_default();
        (first, self.numbers().next_back().unwrap_or_default())
    }

    /// How many frames.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none: never true of a folder that opened.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The frame of a number, or the nearest one no more than `reach` away.
    pub fn nearest(&self, number: u32, reach: u32) -> Option<u32> {
        let before = self.files.range(..=number).next_back().map(|(n, _)| *n);
        let after = self.files.range(number..).next().map(|(n, _)| *n);
        [before, after]
            .into_iter()
            .flatten()
            .min_by_key(|n| n.abs_diff(number))
            .filter(|n| n.abs_diff(number) <= reach)
    }

    /// The file of a frame.
    pub fn path(&self, number: u32) -> Option<PathBuf> {
        self.files.get(&number).map(|name| self.dir.join(name))
    }

    /// Position of a frame in its clip.
    pub fn position(&self, number: u32) -> usize {
        self.files.range(..number).count()
    }
}

/// The digits at the end of a name.
pub(super) fn last_number(stem: &str) -> Option<u32> {
    let digits = stem.bytes().rev().take_while(u8::is_ascii_digit).count();
    stem[stem.len() - digits..].parse().ok()
}

/// Reads luma, as the daemon's decoder makes it of JPEG; the errors name the file.
pub fn read_luma(path: &Path, decoder: &mut LumaDecoder, frame: &mut Frame) -> Result<()> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(name)?;
    if bytes.starts_with(&[0xff, 0xd8]) {
        let (width, height) =
            decoder.decode(PixelFormat::Mjpg, 0, 0, 0, &bytes, &mut frame.luma).with_context(name)?;
        (frame.width, frame.height) = (width, height);
        return Ok(());
    }
    let decoded = image::load_from_memory(&bytes).with_context(name)?;
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    check_size(width, height).with_context(name)?;
    (frame.width, frame.height) = (width, height);
    frame.luma.clear();
    match decoded {
        image::DynamicImage::ImageLuma8(gray) => frame.luma.extend_from_slice(gray.as_raw()),
        other => {
            // Rec. 601, as clips are read.
            let weigh = |p: &image::Rgb<u8>| {
                (77 * u32::from(p[0]) + 150 * u32::from(p[1]) + 29 * u32::from(p[2])) >> 8
            };
            frame.luma.extend(other.to_rgb8().pixels().map(|p| weigh(p) as u8));
        }
    }
    Ok(())
}

/// Reads a depth image (16-bit PNG, or 8-bit) as numbers, row by row; 0 means that nothing was measured.
pub fn read_depth(path: &Path) -> Result<(usize, usize, Vec<f32>)> {
    let decoded = image::open(path).with_context(|| path.display().to_string())?;
    let gray = decoded.to_luma16();
    let depth = match decoded {
        image::DynamicImage::ImageLuma8(d) => d.pixels().map(|p| f32::from(p[0])).collect(),
        _ => gray.pixels().map(|p| f32::from(p[0])).collect(),
    };
    Ok((gray.width() as usize, gray.height() as usize, depth))
}

/// Folders and files below `dir`, not more than `depth` levels down, in order.
pub fn walk(dir: &Path, depth: usize) -> Vec<PathBuf> {
    let mut here: Vec<PathBuf> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    here.sort();
    let below: Vec<PathBuf> = match depth {
        0 => Vec::new(),
        _ => here.iter().filter(|p| p.is_dir()).flat_map(|p| walk(p, depth - 1)).collect(),
    };
    here.extend(below);
    here
}

/// The first of `names` (without regard to case) that exists in `dir` or up to two levels below it.
pub fn find(dir: &Path, names: &[&str]) -> Option<PathBuf> {
    let all = walk(dir, 2);
    let is = |path: &Path, name: &str| {
        path.file_name().is_some_and(|n| n.to_string_lossy().eq_ignore_ascii_case(name))
    };
    names.iter().find_map(|name| all.iter().find(|p| is(p, name)).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_names_give_their_numbers() {
        let numbers = ["img46", "reg_img46", "006_05562", "image173456", "Frame_000001826", "1", "img001"]
            .map(last_number);
        assert_eq!(numbers, [46, 46, 5562, 173_456, 1826, 1, 1].map(Some));
        assert_eq!([last_number("Thumbs"), last_number("")], [None, None]);
    }

    #[test]
    fn the_nearest_frame_is_not_far() {
        let dir = tempfile::tempdir().expect("folder");
        for n in [3, 4, 9] {
            std::fs::write(dir.path().join(format!("img{n}.jpg")), b"").expect("writes");
        }
        std::fs::write(dir.path().join("Thumbs.db"), b"").expect("writes");
        let folder = FrameFolder::open(dir.path()).expect("images");
        assert_eq!((folder.span(), folder.len(), folder.position(9)), ((3, 9), 3, 2));
        assert_eq!(
            [folder.nearest(4, 0), folder.nearest(6, 2), folder.nearest(12, 2)],
            [Some(4), Some(4), None]
        );
    }
}
