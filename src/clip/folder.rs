//! A folder of numbered images, in natural order: `img9.jpg` before `img46.jpg`.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use super::{ClipError, Raw};
use crate::frame::{LumaDecoder, MAX_SIDE, PixelFormat, check_size};

pub(super) struct FolderReader {
    files: std::vec::IntoIter<PathBuf>,
    decoder: LumaDecoder,
}

impl FolderReader {
    pub(super) fn new(path: &Path) -> Result<Self, ClipError> {
        let io = |cause| ClipError::Io { path: path.to_owned(), cause };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(io)? {
            let file = entry.map_err(io)?.path();
            let extension = file.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
            if matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png")) {
                files.push(file);
            }
        }
        if files.is_empty() {
            let reason = "no images in it; allowed: .jpg .jpeg .png".into();
            return Err(ClipError::Header { path: path.to_owned(), reason });
        }
        files.sort_by(|a, b| natural(&name(a), &name(b)));
        Ok(Self { files: files.into_iter(), decoder: LumaDecoder::default() })
    }

    pub(super) fn frame_count(&self) -> u64 {
        self.files.len() as u64
    }

    pub(super) fn next(&mut self, luma: &mut Vec<u8>) -> std::io::Result<Raw> {
        let Some(path) = self.files.next() else { return Ok(Raw::End) };
        let bad = |reason: String| Ok(Raw::Bad(format!("{}: {reason}", name(&path))));
        // No image of an allowed size is larger.
        let length = std::fs::metadata(&path)?.len();
        if length > (4 * MAX_SIDE * MAX_SIDE) as u64 {
            return bad(format!("{length} bytes"));
        }
        let bytes = std::fs::read(&path)?;
        if bytes.starts_with(b"\x89PNG") {
            return match decode_png(&bytes, luma) {
                Ok((w, h)) => Ok(Raw::Luma(w, h)),
                Err(reason) => bad(reason),
            };
        }
        match self.decoder.decode(PixelFormat::Mjpg, 0, 0, 0, &bytes, luma) {
            Ok((w, h)) => Ok(Raw::Luma(w, h)),
            Err(e) => bad(e.to_string()),
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn decode_png(bytes: &[u8], luma: &mut Vec<u8>) -> Result<(usize, usize), String> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|e| e.to_string())?;
    let (w, h) = (reader.info().width as usize, reader.info().height as usize);
    check_size(w, h).map_err(|e| e.to_string())?;
    let mut samples = vec![0; reader.output_buffer_size().ok_or("no size")?];
    let info = reader.next_frame(&mut samples).map_err(|e| e.to_string())?;
    let channels = info.color_type.samples();
    luma.clear();
    luma.extend(samples.chunks_exact(channels).take(w * h).map(|p| match p {
        // Rec. 601.
        [r, g, b, ..] => ((u32::from(*r) * 77 + u32::from(*g) * 150 + u32::from(*b) * 29) >> 8) as u8,
        [y, ..] => *y,
        [] => 0,
    }));
    if luma.len() == w * h { Ok((w, h)) } else { Err("samples are missing".into()) }
}

/// Compares names with their numbers as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.first(), b.first()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let digits = |s: &[u8]| s.iter().take_while(|c| c.is_ascii_digit()).count();
                let (n, m) = (digits(a), digits(b));
                let strip = |s: &[u8]| s.iter().position(|c| *c != b'0').unwrap_or(s.len());
                let (p, q) = (&a[strip(&a[..n])..n], &b[strip(&b[..m])..m]);
                let order = p.len().cmp(&q.len()).then_with(|| p.cmp(q)).then(n.cmp(&m));
                if order != Ordering::Equal {
                    return order;
                }
                (a, b) = (&a[n..], &b[m..]);
            }
            (Some(x), Some(y)) => {
                if x != y {
                    return x.cmp(y);
                }
                (a, b) = (&a[1..], &b[1..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_order() {
        let mut names =
            ["img100.jpg", "img46.jpg", "img9.jpg", "006_05562.jpg", "img0046.jpg", "006_562.jpg", "img.jpg"];
        names.sort_by(|a, b| natural(a, b));
        let expected =
            ["006_562.jpg", "006_05562.jpg", "img.jpg", "img9.jpg", "img46.jpg", "img0046.jpg", "img100.jpg"];
        assert_eq!(names, expected);
    }
}
