//! The portraits: gray photographs with MediaPipe's 478 face-mesh landmarks.

use std::path::{Path, PathBuf};

use crate::holdout::is_held_out;
use anyhow::{Context, Result, bail, ensure};
use glint::face::landmarks::{LANDMARK_COUNT, MEDIAPIPE_68};
use glint::geometry::{Point, Rect};
use rayon::prelude::*;
use serde::Deserialize;

use crate::image::Pyramid;

/// Landmarks of one face mesh.
pub const MESH_POINTS: usize = 478;

#[derive(Deserialize)]
struct Entry {
    id: String,
    row: usize,
    year_of_congress: i32,
    crop_to_photo: [f32; 3],
}

/// One portrait.
pub struct Portrait {
    /// Identifier of the person and photograph.
    pub id: String,
    /// Year of the congress in which the person sat.
    pub year: i32,
    /// Gray crop around the face, 224 x 224.
    pub crop: Pyramid,
    /// The whole photograph.
    pub photo: Pyramid,
    /// Face mesh in crop pixels.
    pub mesh: Vec<Point>,
    /// Depth of the face mesh in crop pixels: smaller is nearer to the camera.
    pub mesh_depth: Vec<f32>,
    /// Photo pixels = scale * crop pixels + translation.
    pub crop_to_photo: [f32; 3],
}

impl Portrait {
    /// The 68 landmarks in crop pixels.
    pub fn landmarks(&self) -> [Point; LANDMARK_COUNT] {
        MEDIAPIPE_68.map(|i| self.mesh[i])
    }

    /// The 68 landmarks in photo pixels.
    pub fn photo_landmarks(&self) -> [Point; LANDMARK_COUNT] {
        let [a, tx, ty] = self.crop_to_photo;
        self.landmarks().map(|p| Point::new(a * p.x + tx, a * p.y + ty))
    }

    /// Median luma of the skin between cheeks, nose and mouth, as photographed.
    pub fn skin_luma(&self) -> f32 {
        // Cheeks and forehead of the face mesh.
        const SKIN: [usize; 8] = [50, 280, 205, 425, 117, 346, 151, 10];
        let mut values: Vec<u8> = Vec::new();
        for p in SKIN.map(|i| self.mesh[i]) {
            for (dx, dy) in (-3..=3).flat_map(|y| (-3..=3).map(move |x| (x, y))) {
                let (x, y) = (p.x as i32 + dx, p.y as i32 + dy);
                let inside =
                    (0..self.crop.width() as i32).contains(&x) && (0..self.crop.height() as i32).contains(&y);
                if inside {
                    values.push(self.crop.data()[y as usize * self.crop.width() + x as usize]);
                }
            }
        }
        values.sort_unstable();
        values.get(values.len() / 2).copied().map_or(f32::NAN, f32::from)
    }

    /// Whether the portrait is kept apart from all training.
    pub fn held_out(&self) -> bool {
        is_held_out(&self.id)
    }
}

/// Extent of the landmarks: what glint calls the box of a face.
pub fn face_box(points: &[Point]) -> Rect {
    let (mut lo, mut hi) = (Point::new(f32::MAX, f32::MAX), Point::new(f32::MIN, f32::MIN));
    for p in points {
        (lo.x, lo.y) = (lo.x.min(p.x), lo.y.min(p.y));
        (hi.x, hi.y) = (hi.x.max(p.x), hi.y.max(p.y));
    }
    Rect { x: lo.x, y: lo.y, w: hi.x - lo.x, h: hi.y - lo.y }
}

/// Reads every portrait of `dir` (`index.json`, `landmarks_478.npy`, `crops/`, `photos/`), in the
/// order of the index.
pub fn load(dir: &Path) -> Result<Vec<Portrait>> {
    let index = dir.join("index.json");
    let text = std::fs::read_to_string(&index).with_context(|| index.display().to_string())?;
    let entries: Vec<Entry> = serde_json::from_str(&text).with_context(|| index.display().to_string())?;
    let npy = dir.join("landmarks_478.npy");
    let (shape, values) = read_npy_f32(&npy)?;
    ensure!(
        shape.len() == 3 && shape[1] == MESH_POINTS && shape[2] == 3,
        "{}: shape {shape:?}; expected [portraits, {MESH_POINTS}, 3]",
        npy.display()
    );
    entries
        .into_par_iter()
        .map(|e| {
            let at = e.row * MESH_POINTS * 3;
            let rows = values.get(at..at + MESH_POINTS * 3);
            let rows = rows.with_context(|| format!("{}: no row {} for {}", npy.display(), e.row, e.id))?;
            let gray = |folder: &str| -> Result<Pyramid> {
                let path: PathBuf = dir.join(folder).join(format!("{}.jpg", e.id));
                let image = ::image::open(&path).with_context(|| path.display().to_string())?.into_luma8();
                Ok(Pyramid::new(image.width() as usize, image.height() as usize, image.as_raw()))
            };
            Ok(Portrait {
                crop: gray("crops")?,
                photo: gray("photos")?,
                mesh: rows.chunks_exact(3).map(|p| Point::new(p[0], p[1])).collect(),
                mesh_depth: rows.chunks_exact(3).map(|p| p[2]).collect(),
                id: e.id,
                year: e.year_of_congress,
                crop_to_photo: e.crop_to_photo,
            })
        })
        .collect()
}

/// Shape and values of a little-endian float32 array in NumPy's format 1.0 or 2.0, C order.
pub fn read_npy_f32(path: &Path) -> Result<(Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let fail = |what: &str| format!("{}: {what}", path.display());
    ensure!(bytes.len() > 12 && bytes.starts_with(b"\x93NUMPY"), fail("not a .npy file"));
    let (start, length) = match bytes[6] {
        1 => (10, usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
        2 | 3 => (12, u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize),
        v => bail!(fail(&format!("format version {v}"))),
    };
    let header = bytes.get(start..start + length).with_context(|| fail("header is truncated"))?;
    let header = std::str::from_utf8(header).with_context(|| fail("header is no text"))?;
    ensure!(header.contains("'<f4'"), fail("not little-endian float32"));
    ensure!(header.contains("'fortran_order': False"), fail("not in C order"));
    let list = header.split("'shape': (").nth(1).and_then(|s| s.split(')').next());
    let list = list.with_context(|| fail("no shape"))?;
    let shape = list
        .split(',')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .map(|s| s.parse().with_context(|| fail("bad shape")))
        .collect::<Result<Vec<usize>>>()?;
    let count: usize = shape.iter().product();
    let data = &bytes[start + length..];
    ensure!(data.len() == 4 * count, fail(&format!("{} bytes of data for shape {shape:?}", data.len())));
    let values = data.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
    Ok((shape, values))
}
