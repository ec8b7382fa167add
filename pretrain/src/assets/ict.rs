//! The ICT-FaceKit head: neutral mesh, expression shapes, landmark vertices.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use glint::au::Side;
use glint::au::Unit;
use serde::Deserialize;

#[derive(Deserialize)]
struct Header {
    arrays: Vec<Array>,
}

#[derive(Deserialize)]
struct Array {
    name: String,
    #[serde(default)]
    dtype: String,
    #[serde(default)]
    offset: usize,
    #[serde(default)]
    bytes: usize,
    #[serde(default)]
    strings: Vec<String>,
}

/// Displacements of the vertices that an expression shape moves.
pub type Moves = Vec<(u16, [f32; 3])>;

/// Groups of vertices.
pub mod group {
    /// Skin of the face.
    pub const FACE: u8 = 0;
    /// Skin of neck and skull.
    pub const NECK: u8 = 1;
    /// Inside of the mouth.
    pub const MOUTH: u8 = 2;
    /// Upper teeth and gums.
    pub const TEETH_UP: u8 = 3;
    /// Lower teeth and gums.
    pub const TEETH_LOW: u8 = 4;
    /// Eyeballs: the subject's left one, then the right one.
    pub const EYES: [u8; 2] = [5, 6];
}

/// A head: the mean one as read, or a person's. Coordinates in cm: x to the subject's left, y up, z towards the
/// camera.
#[derive(Clone)]
pub struct Head {
    /// Neutral vertices.
    pub vertices: Vec<[f32; 3]>,
    /// Index of the [`group`] of each vertex.
    pub group: Vec<u8>,
    /// Triangles.
    pub triangles: Vec<[u16; 3]>,
    /// Vertices of the 68 landmarks.
    pub landmarks: Vec<u16>,
    /// Identity modes: displacement of every vertex, one standard deviation long.
    modes: Arc<Vec<Vec<[f32; 3]>>>,
    expressions: Arc<HashMap<String, Moves>>,
}

impl Head {
    /// Reads `ict_face_lite.bin` or `ict_face_pack.bin`.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let fail = |what: &str| format!("{}: {what}", path.display());
        let word = |at: usize| -> Result<usize> {
            let b = bytes.get(at..at + 4).with_context(|| fail("file is truncated"))?;
            Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
        };
        ensure!(bytes.starts_with(b"ICTF"), fail("not an ICT pack"));
        let (header_len, packed_len, raw_len) = (word(4)?, word(8)?, word(12)?);
        let header = bytes.get(16..16 + header_len).with_context(|| fail("header is truncated"))?;
        let header: Header = serde_json::from_slice(header).with_context(|| fail("header"))?;
        let packed = bytes.get(16 + header_len..16 + header_len + packed_len);
        let packed = packed.with_context(|| fail("data is truncated"))?;
        let mut raw = Vec::with_capacity(raw_len);
        flate2::read::ZlibDecoder::new(packed)
            .take(raw_len as u64)
            .read_to_end(&mut raw)
            .with_context(|| fail("data"))?;
        let find = |name: &str| -> Result<&Array> {
            header.arrays.iter().find(|a| a.name == name).with_context(|| fail(&format!("no array {name}")))
        };
        let data = |name: &str, dtype: &str| -> Result<&[u8]> {
            let a = find(name)?;
            ensure!(a.dtype == dtype, fail(&format!("{name} is {}, expected {dtype}", a.dtype)));
            raw.get(a.offset..a.offset + a.bytes).with_context(|| fail(&format!("{name} is truncated")))
        };
        let floats = |name: &str| -> Result<Vec<f32>> {
            Ok(data(name, "<f4")?
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect())
        };
        let words = |name: &str| -> Result<Vec<u16>> {
            Ok(data(name, "<u2")?.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect())
        };
        let vertices: Vec<[f32; 3]> = floats("v")?.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect();
        let triangles = words("tri")?.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect();
        let offsets: Vec<usize> = data("ex_off", "<u4")?
            .chunks_exact(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
            .collect();
        let index = words("ex_idx")?;
        let value: Vec<f32> = data("ex_val", "<i2")?
            .chunks_exact(2)
            .map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])))
            .collect();
        let scale = floats("ex_scale")?;
        let mut expressions = HashMap::new();
        for (e, name) in find("ex_names")?.strings.iter().enumerate() {
            let (from, to) = (offsets[e], offsets[e + 1]);
            ensure!(to <= index.len() && 3 * to <= value.len(), fail("expression shapes are cut"));
            let moves =
                (from..to).map(|i| (index[i], [0, 1, 2].map(|k| value[3 * i + k] * scale[e]))).collect();
            expressions.insert(name.clone(), moves);
        }
        let mut modes = Vec::new();
        for (name, dtype, width) in [("id16", "<i2", 2), ("id8", "|i1", 1)] {
            let values: Vec<f32> = match width {
                1 => data(name, dtype)?.iter().map(|&b| f32::from(b as i8)).collect(),
                _ => data(name, dtype)?
                    .chunks_exact(2)
                    .map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])))
                    .collect(),
            };
            let scales = floats(&format!("{name}_scale"))?;
            ensure!(values.len() == scales.len() * 3 * vertices.len(), fail(&format!("{name} is truncated")));
            for (mode, scale) in values.chunks_exact(3 * vertices.len()).zip(scales) {
                modes
                    .push(mode.chunks_exact(3).map(|c| [c[0] * scale, c[1] * scale, c[2] * scale]).collect());
            }
        }
        let landmarks = words("lm68")?;
        let inside = |i: &u16| usize::from(*i) < vertices.len();
        ensure!(landmarks.iter().all(inside) && index.iter().all(inside), fail("an index is out of range"));
        Ok(Self {
            group: data("vert_group", "|u1")?.to_vec(),
            landmarks,
            vertices,
            triangles,
            modes: Arc::new(modes),
            expressions: Arc::new(expressions),
        })
    }

    /// Number of identity modes.
    pub fn identity_modes(&self) -> usize {
        self.modes.len()
    }

    /// Displacement of one vertex by identity mode `mode`, one standard deviation long.
    pub fn identity_mode(&self, mode: usize, vertex: u16) -> [f32; 3] {
        self.modes[mode][usize::from(vertex)]
    }

    /// The head of a person: mode k times `weights[k]` added; weights are standard normal over people.
    pub fn with_identity(&self, weights: &[f32]) -> Self {
        let mut head = self.clone();
        for (mode, weight) in self.modes.iter().zip(weights) {
            for (v, d) in head.vertices.iter_mut().zip(mode) {
                v.iter_mut().zip(d).for_each(|(v, d)| *v += weight * d);
            }
        }
        head
    }

    /// The head turned by a rotation matrix (rows) about the origin, expression shapes included.
    pub fn turned(&self, rotation: &[[f32; 3]; 3]) -> Self {
        let turn = |v: &[f32; 3]| rotation.map(|r| r[0] * v[0] + r[1] * v[1] + r[2] * v[2]);
        let expressions = self
            .expressions
            .iter()
            .map(|(name, moves)| (name.clone(), moves.iter().map(|(i, d)| (*i, turn(d))).collect()))
            .collect();
        Self {
            vertices: self.vertices.iter().map(turn).collect(),
            expressions: Arc::new(expressions),
            ..self.clone()
        }
    }

    /// What an expression shape (ARKit name) moves.
    pub fn expression(&self, name: &str) -> Result<&Moves> {
        self.expressions.get(name).with_context(|| format!("ICT head has no shape {name}"))
    }

    /// Displacement of every vertex by `unit` at full intensity.
    pub fn displacement(&self, unit: Unit) -> Result<Vec<[f32; 3]>> {
        let mut out = vec![[0.0; 3]; self.vertices.len()];
        for (name, weight) in shapes(unit) {
            for (vertex, d) in self.expression(&name)? {
                for (o, d) in out[usize::from(*vertex)].iter_mut().zip(d) {
                    *o += weight * d;
                }
            }
        }
        if matches!(unit.au, 1 | 2) {
            out.iter_mut().for_each(|d| d[0] *= BROWS_TOGETHER);
        }
        Ok(out)
    }
}

/// Multiplies the sideways part of raised brows. The ICT shapes move them outwards; real ones come together (mean flow of
/// surprise in CASME II and SMIC, `validate corpus`), as skin does that slides up a dome.
const BROWS_TOGETHER: f32 = -0.5;

/// ARKit shapes of a unit, with weights. AU 23 (lips tightened) and AU 25 (lips parted) have no shape
/// of their own and are composed.
fn shapes(unit: Unit) -> Vec<(String, f32)> {
    let sides: &[&str] = match unit.side {
        Side::Left => &["_L"],
        Side::Right => &["_R"],
        Side::Both => &["_L", "_R"],
    };
    let sided = |name: &str, weight: f32| -> Vec<(String, f32)> {
        sides.iter().map(|s| (format!("{name}{s}"), weight)).collect()
    };
    let whole = |name: &str, weight: f32| vec![(name.to_owned(), weight)];
    match unit.au {
        1 => sided("browInnerUp", 1.0),
        2 => sided("browOuterUp", 1.0),
        4 => sided("browDown", 1.0),
        5 => sided("eyeWide", 1.0),
        6 => sided("cheekSquint", 1.0),
        7 => sided("eyeSquint", 1.0),
        9 => sided("noseSneer", 1.0),
        10 => sided("mouthUpperUp", 1.0),
        12 => sided("mouthSmile", 1.0),
        14 => sided("mouthDimple", 1.0),
        15 => sided("mouthFrown", 1.0),
        16 => sided("mouthLowerDown", 1.0),
        17 => [whole("mouthShrugLower", 1.0), whole("mouthShrugUpper", 0.3)].concat(),
        18 => whole("mouthPucker", 1.0),
        20 => sided("mouthStretch", 1.0),
        23 => {
            [whole("mouthRollUpper", 0.6), whole("mouthRollLower", 0.6), whole("mouthPucker", 0.2)].concat()
        }
        24 => sided("mouthPress", 1.0),
        25 => [sided("mouthLowerDown", 0.4), sided("mouthUpperUp", 0.3)].concat(),
        26 => whole("jawOpen", 0.7),
        _ => sided("eyeBlink", 1.0),
    }
}
