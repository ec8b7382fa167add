//! The subject pack: a statistical face and how action units move it.
//!
//! Made by `glint-pretrain subject`: mean and principal components of shape and of gray appearance
//! over many portraits, and for each unit the displacement of every mesh vertex.

use std::io::Read;

use serde::{Deserialize, Serialize};

use super::SynthError;
use crate::au::{Side, UNIT_COUNT, unit_indices};
use crate::geometry::Point;
use crate::model::{Checked, FileSpec, Spec};
use crate::random::SplitMix;

/// Columns of the texture: eye distance 64, as in the stabilised crop, with a margin.
pub const TEXTURE_WIDTH: usize = 208;
/// Rows of the texture.
pub const TEXTURE_HEIGHT: usize = 256;
/// Rows of the texture with the inside of the mouth below the face.
pub const ATLAS_HEIGHT: usize = TEXTURE_HEIGHT + MOUTH_ROWS;
/// Rows of the picture of the inside of the mouth; it is as wide as [`MOUTH_COLUMNS`].
pub const MOUTH_ROWS: usize = 56;
/// Columns of the picture of the inside of the mouth.
pub const MOUTH_COLUMNS: usize = 80;
/// Row of that picture at which closed lips meet.
pub const MOUTH_LINE: f32 = 14.0;
/// Vertices of the mesh that are MediaPipe's landmarks; those after them surround the face.
pub const MESH_LANDMARKS: usize = 478;

/// First bytes of the file.
const MAGIC: &[u8; 4] = b"GSP2";

/// Specification of the subject pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectSpec {
    /// The common part.
    #[serde(flatten)]
    pub file: FileSpec,
    /// What it was computed from, and under which licences.
    pub source: String,
}

impl Spec for SubjectSpec {
    const KIND: &'static str = "subject";
    fn file(&self) -> &FileSpec {
        &self.file
    }
}

/// The arrays of a pack.
#[derive(Debug, Clone, PartialEq)]
pub struct PackArrays {
    /// Mean shape in texture pixels: x, y of every vertex. The mouth is closed.
    pub shape: Vec<f32>,
    /// Where every vertex finds its texture: x, y.
    pub source: Vec<f32>,
    /// Depth of every vertex in texture pixels: greater is nearer to the camera, 0 at the eyes.
    pub depth: Vec<f32>,
    /// Opacity of every vertex: 1 on the head, 0 at the rim.
    pub alpha: Vec<f32>,
    /// How far every vertex follows the gaze, 0 to 1.
    pub gaze: Vec<f32>,
    /// Shape modes, each like `shape`, one standard deviation long.
    pub shape_modes: Vec<Vec<f32>>,
    /// Displacement of every vertex by each unit at full intensity, in texture pixels.
    pub units: Vec<Vec<f32>>,
    /// Triangles as indices of vertices, in the order in which they are drawn: what lies behind lids
    /// and lips comes first.
    pub triangles: Vec<[u16; 3]>,
    /// Mean texture, gray 0 to 255.
    pub texture: Vec<f32>,
    /// Texture modes, each like `texture`, one standard deviation long.
    pub texture_modes: Vec<Vec<f32>>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    vertices: usize,
    shape_modes: usize,
    triangles: usize,
    texture_modes: usize,
    texture_scales: Vec<f32>,
}

/// Steps per pixel of shapes and displacements in the file.
const SHAPE_STEPS: f32 = 100.0;

impl PackArrays {
    /// The bytes of the file: a JSON header and a deflated block, shapes as 16 bits, textures as 8.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut raw = Vec::new();
        let mut put_shape = |values: &[f32]| {
            for v in values {
                raw.extend(((v * SHAPE_STEPS).round() as i16).to_le_bytes());
            }
        };
        [&self.shape, &self.source, &self.depth, &self.alpha, &self.gaze]
            .into_iter()
            .for_each(|m| put_shape(m));
        self.shape_modes.iter().for_each(|m| put_shape(m));
        self.units.iter().for_each(|m| put_shape(m));
        for t in self.triangles.iter().flatten() {
            raw.extend(t.to_le_bytes());
        }
        raw.extend(self.texture.iter().map(|v| v.round().clamp(0.0, 255.0) as u8));
        let mut texture_scales = Vec::new();
        for mode in &self.texture_modes {
            let scale = mode.iter().fold(1e-6f32, |m, v| m.max(v.abs())) / 127.0;
            texture_scales.push(scale);
            raw.extend(mode.iter().map(|v| (v / scale).round() as i8 as u8));
        }
        let header = Header {
            vertices: self.alpha.len(),
            shape_modes: self.shape_modes.len(),
            triangles: self.triangles.len(),
            texture_modes: self.texture_modes.len(),
            texture_scales,
        };
        let header = serde_json::to_vec(&header).unwrap_or_default();
        let mut out = MAGIC.to_vec();
        out.extend((header.len() as u32).to_le_bytes());
        out.extend(header);
        let mut encoder = flate2::read::DeflateEncoder::new(&raw[..], flate2::Compression::best());
        // Reading from memory does not fail.
        let _ = encoder.read_to_end(&mut out);
        out
    }

    /// Reads what [`PackArrays::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`SynthError`] where the bytes are truncated or a number is out of range.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SynthError> {
        let fail = |what: &str| SynthError::Pack(what.into());
        if bytes.len() < 8 || bytes[..4] != *MAGIC {
            return Err(fail("not a subject pack of this version"));
        }
        let length = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
        let header =
            bytes.get(8..8usize.saturating_add(length)).ok_or_else(|| fail("header is truncated"))?;
        let h: Header =
            serde_json::from_slice(header).map_err(|e| SynthError::Pack(format!("header: {e}")))?;
        let pixels = TEXTURE_WIDTH * TEXTURE_HEIGHT;
        let limits = h.vertices >= MESH_LANDMARKS && h.vertices <= 4096 && h.triangles <= 16384;
        if !limits
            || h.shape_modes > 256
            || h.texture_modes > 256
            || h.texture_scales.len() != h.texture_modes
        {
            return Err(fail("header is out of range"));
        }
        let shapes = h.vertices * 2 * (2 + h.shape_modes + UNIT_COUNT) + 3 * h.vertices;
        let size = 2 * shapes + 6 * h.triangles + pixels * (1 + h.texture_modes);
        let mut raw = Vec::with_capacity(size);
        flate2::read::DeflateDecoder::new(&bytes[8 + length..])
            .take(size as u64 + 1)
            .read_to_end(&mut raw)
            .map_err(|e| SynthError::Pack(format!("data: {e}")))?;
        if raw.len() != size {
            return Err(fail("data has the wrong length"));
        }
        let mut at = 0;
        let mut take = |n: usize| {
            at += n;
            &raw[at - n..at]
        };
        let words = |b: &[u8]| -> Vec<f32> {
            b.chunks_exact(2).map(|c| f32::from(i16::from_le_bytes([c[0], c[1]])) / SHAPE_STEPS).collect()
        };
        let span = 4 * h.vertices;
        let (shape, source) = (words(take(span)), words(take(span)));
        let [depth, alpha, gaze] = [0; 3].map(|_| words(take(2 * h.vertices)));
        let shape_modes = (0..h.shape_modes).map(|_| words(take(span))).collect();
        let units = (0..UNIT_COUNT).map(|_| words(take(span))).collect();
        let triangles: Vec<[u16; 3]> = take(6 * h.triangles)
            .chunks_exact(6)
            .map(|c| [0, 2, 4].map(|i| u16::from_le_bytes([c[i], c[i + 1]])))
            .collect();
        if triangles.iter().flatten().any(|&v| usize::from(v) >= h.vertices) {
            return Err(fail("a triangle names a vertex that does not exist"));
        }
        let texture = take(pixels).iter().map(|&v| f32::from(v)).collect();
        let texture_modes = h
            .texture_scales
            .iter()
            .map(|scale| take(pixels).iter().map(|&v| f32::from(v as i8) * scale).collect())
            .collect();
        Ok(Self { shape, source, depth, alpha, gaze, shape_modes, units, triangles, texture, texture_modes })
    }
}

/// A pack whose digest was checked.
#[derive(Debug, Clone)]
pub struct Pack {
    pub(super) arrays: PackArrays,
}

impl Pack {
    /// The pack that is compiled in.
    ///
    /// # Errors
    /// [`SynthError`] where the compiled pack is damaged.
    pub fn embedded() -> Result<Self, SynthError> {
        let spec = include_str!("../../models/subject.toml");
        let file: Checked<SubjectSpec> =
            Checked::embedded("subject", spec, include_bytes!("../../models/subject.bin"))?;
        Ok(Self { arrays: PackArrays::from_bytes(&file.bytes)? })
    }

    /// A pack of arrays just computed.
    pub fn from_arrays(arrays: PackArrays) -> Self {
        Self { arrays }
    }
}

/// One synthetic person: a random combination of the pack's modes.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Neutral shape in texture pixels.
    pub(super) shape: Vec<Point>,
    pub(super) source: Vec<Point>,
    pub(super) depth: Vec<f32>,
    pub(super) alpha: Vec<f32>,
    pub(super) gaze: Vec<f32>,
    pub(super) units: Vec<Vec<Point>>,
    pub(super) triangles: Vec<[u16; 3]>,
    /// The texture, and its reductions by 2, 4...
    pub(super) levels: Vec<Level>,
}

/// One resolution of the texture.
#[derive(Debug, Clone)]
pub(super) struct Level {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) data: Vec<f32>,
}

impl Level {
    /// Reductions of the texture: faces down to an eighth of its size do not alias.
    const COUNT: usize = 4;

    fn downsample(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut data = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let at = 2 * y * self.width + 2 * x;
                let sum = self.data[at]
                    + self.data[at + 1]
                    + self.data[at + self.width]
                    + self.data[at + self.width + 1];
                data.push(0.25 * sum);
            }
        }
        Self { width, height, data }
    }
}

fn points(values: &[f32]) -> Vec<Point> {
    values.chunks_exact(2).map(|p| Point::new(p[0], p[1])).collect()
}

/// Upper and lower lid in the middle of each eye: the subject's left eye, then the right one.
const LIDS: [(Side, [usize; 2]); 2] = [(Side::Left, [386, 374]), (Side::Right, [159, 145])];

impl Subject {
    /// A person drawn with `seed`. The weights of the modes are normal with 0.8 standard deviations:
    /// variety without caricature. Fine skin texture, which the modes are too few to hold, is added
    /// as noise that moves with the skin.
    pub fn random(pack: impl std::borrow::Borrow<Pack>, seed: u64) -> Self {
        let pack = &pack.borrow().arrays;
        let mut rng = SplitMix(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x7375_626a);
        let mut coordinates = pack.shape.clone();
        for mode in &pack.shape_modes {
            let weight = 0.8 * rng.normal();
            coordinates.iter_mut().zip(mode).for_each(|(s, m)| *s += weight * m);
        }
        let mut skin = pack.texture.clone();
        for mode in &pack.texture_modes {
            let weight = 0.8 * rng.normal();
            skin.iter_mut().zip(mode).for_each(|(s, m)| *s += weight * m);
        }
        let brightness = 0.75 + 0.4 * rng.uniform();
        add_skin_texture(&mut skin, &mut rng);
        paint_mouth(&mut skin, &mut rng);
        for v in &mut skin {
            *v = (*v * brightness).clamp(4.0, 250.0);
        }
        let mut levels = vec![Level { width: TEXTURE_WIDTH, height: ATLAS_HEIGHT, data: skin }];
        while levels.len() < Level::COUNT {
            levels.push(levels[levels.len() - 1].downsample());
        }
        let shape = points(&coordinates);
        let mut units: Vec<Vec<Point>> = pack.units.iter().map(|u| points(u)).collect();
        // A wider eye has a longer way to close.
        let gap = |y: &dyn Fn(usize) -> f32, [upper, lower]: [usize; 2]| y(lower) - y(upper);
        for (side, lids) in LIDS {
            let mean = gap(&|i| pack.shape[2 * i + 1], lids);
            let ratio = (gap(&|i| shape[i].y, lids) / mean).clamp(0.3, 3.0);
            for unit in unit_indices(45, side) {
                units[unit].iter_mut().for_each(|d| *d = Point::new(d.x * ratio, d.y * ratio));
            }
        }
        Self {
            shape,
            source: points(&pack.source),
            depth: pack.depth.clone(),
            alpha: pack.alpha.clone(),
            gaze: pack.gaze.clone(),
            units,
            triangles: pack.triangles.clone(),
            levels,
        }
    }
}

/// Appends the inside of the mouth: a dark hollow, the upper teeth, a hint of the tongue.
fn paint_mouth(skin: &mut Vec<f32>, rng: &mut SplitMix) {
    // Teeth are about as bright as the skin around the mouth, under whatever light that is.
    let around = (150..190).flat_map(|y| (84..124).map(move |x| y * TEXTURE_WIDTH + x));
    let teeth = (0.8 + 0.3 * rng.uniform()) * around.map(|i| skin[i]).sum::<f32>() / (40.0 * 40.0);
    let edge = MOUTH_LINE + 0.5 + 2.0 * rng.uniform();
    let smooth = |x: f32| (x.clamp(0.0, 1.0) * std::f32::consts::PI).cos().mul_add(-0.5, 0.5);
    for y in 0..MOUTH_ROWS {
        for x in 0..TEXTURE_WIDTH {
            let (fx, fy) = (x as f32 - 0.5 * (MOUTH_COLUMNS - 1) as f32, y as f32);
            let from_middle = fx.abs() / (0.5 * MOUTH_COLUMNS as f32);
            let seam = 0.86 + 0.14 * smooth(((fx / 6.5 - (fx / 6.5).round()).abs() * 6.5) / 0.9);
            let arch = edge + 2.5 * from_middle * from_middle;
            let tooth = smooth((arch - fy) / 2.0 + 0.5) * smooth((0.75 - from_middle) / 0.35) * seam;
            let tongue = 26.0 * smooth((fy - 26.0) / 14.0) * smooth((0.8 - from_middle) / 0.5);
            let hollow = 24.0 + tongue;
            skin.push(hollow + tooth * (teeth - hollow));
        }
    }
}

/// Pores, hair and wrinkles: noise at three scales.
fn add_skin_texture(skin: &mut [f32], rng: &mut SplitMix) {
    for (cell, strength) in [(1.6f32, 2.2f32), (3.5, 3.0), (8.0, 3.0)] {
        let strength = strength * (0.6 + 0.8 * rng.uniform());
        let (w, h) =
            ((TEXTURE_WIDTH as f32 / cell) as usize + 2, (TEXTURE_HEIGHT as f32 / cell) as usize + 2);
        let grid: Vec<f32> = (0..w * h).map(|_| strength * rng.normal()).collect();
        for (i, v) in skin.iter_mut().enumerate() {
            let (x, y) = ((i % TEXTURE_WIDTH) as f32 / cell, (i / TEXTURE_WIDTH) as f32 / cell);
            let (ix, iy) = (x as usize, y as usize);
            let (fx, fy) = (x - ix as f32, y - iy as f32);
            let top = grid[iy * w + ix] * (1.0 - fx) + grid[iy * w + ix + 1] * fx;
            let low = grid[(iy + 1) * w + ix] * (1.0 - fx) + grid[(iy + 1) * w + ix + 1] * fx;
            *v += top * (1.0 - fy) + low * fy;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_packs_are_refused() {
        let arrays = Pack::embedded().expect("embedded pack").arrays;
        let bytes = arrays.to_bytes();
        assert!(bytes.len() < 1_500_000, "{} bytes", bytes.len());
        assert_eq!(PackArrays::from_bytes(&bytes).expect("own bytes").triangles, arrays.triangles);
        for cut in [0, 7, 40, bytes.len() / 2, bytes.len() - 1] {
            assert!(PackArrays::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut wrong = bytes;
        wrong[0] = b'X';
        assert!(PackArrays::from_bytes(&wrong).is_err());
    }
}
