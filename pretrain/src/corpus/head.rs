//! ICT heads as faces: a rasteriser with depth, procedural skin, two lights.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use glint::au::{Side, UNIT_COUNT, UNITS, unit_indices};
use glint::face::landmarks::{LANDMARK_COUNT, eye_centers};
use glint::flow::Flow;
use glint::geometry::{Point, Similarity};
use glint::synth::{FACE_EYE_DISTANCE, FACE_EYES, Face, Pose};
use rand::Rng;

use super::skin;
use crate::assets::ict::{Head, Moves, group};
use crate::augment::normal;

/// Distance from the camera in face units (64 between the eyes): about 60 cm.
const CAMERA_DISTANCE: f32 = 600.0;
/// A point on the axis about which the head turns, below and behind the eyes, in face coordinates.
const AXIS: [f32; 3] = [FACE_EYES.x, FACE_EYES.y + 60.0, -80.0];
/// How far the eyes turn at a gaze of 1, in radians.
const GAZE_ANGLE: f32 = 0.35;
/// Standard deviations of the identity modes: variety without caricature.
const IDENTITY_SPREAD: f32 = 0.8;
/// Landmarks in the middle of upper and lower lid, of the subject's left eye and of the right one.
const LIDS: [(Side, [usize; 2], [usize; 2]); 2] =
    [(Side::Left, [43, 44], [47, 46]), (Side::Right, [37, 38], [41, 40])];
/// Closed lids overlap by this share of what the eye was open.
const LID_OVERLAP: f32 = 0.04;
/// How far eyeballs are set back when surfaces are compared: the lids of some identities would cut into them.
const EYES_BACK: f32 = 5.0;
/// Samples per pixel and side: at the rims of lids and lips edges move by fractions of a pixel.
const SUPERSAMPLING: usize = 2;

/// What all heads share: how they are put together and how they move.
pub struct Model {
    head: Head,
    /// What each unit moves at full intensity, in cm.
    units: Vec<Moves>,
    /// Triangles that can come into sight, turned as an image with y downwards has them.
    triangles: Vec<[u16; 3]>,
    /// Vertices of each eyeball.
    eyes: [Vec<u16>; 2],
}

impl Model {
    /// From the head with all its modes.
    pub fn new(head: Head) -> Result<Self> {
        let units = UNITS
            .iter()
            .map(|&unit| {
                let moves = head.displacement(unit)?;
                let all = moves.into_iter().enumerate().filter(|(_, d)| d.iter().any(|x| x.abs() > 1e-5));
                Ok(all.map(|(i, d)| (i as u16, d)).collect())
            })
            .collect::<Result<Vec<Moves>>>()?;
        let facing =
            normals(&head.vertices.iter().map(|v| [v[0], -v[1], v[2]]).collect::<Vec<_>>(), &flipped(&head));
        // The back of the skull and of the eyeballs is never seen of a head that looks this way.
        let hidden = |i: u16| {
            let (i, g) = (usize::from(i), head.group[usize::from(i)]);
            facing[i][2] < -0.5 && (g == group::NECK || group::EYES.contains(&g))
        };
        let triangles = flipped(&head).into_iter().filter(|t| !t.iter().all(|&i| hidden(i))).collect();
        let eyes = group::EYES.map(|eye| {
            (0..head.vertices.len() as u16).filter(|&i| head.group[usize::from(i)] == eye).collect()
        });
        Ok(Self { units, triangles, eyes, head })
    }

    /// From the pack in a folder of the ICT head's files.
    pub fn load(dir: &Path) -> Result<Arc<Self>> {
        Ok(Arc::new(Self::new(Head::load(&dir.join("ict_face_pack.bin"))?)?))
    }
}

/// Triangles of skin, mouth, teeth and eyes. In the image y points downwards, which turns them over.
fn flipped(head: &Head) -> Vec<[u16; 3]> {
    let seen = |t: &&[u16; 3]| head.group[usize::from(t[0])] <= group::EYES[1];
    head.triangles.iter().filter(seen).map(|t| [t[0], t[2], t[1]]).collect()
}

/// A person made of the ICT head's identity modes, with a skin of their own under lights of their own.
pub struct HeadFace {
    model: Arc<Model>,
    /// Neutral vertices in face coordinates: x to the image's right, y downwards, z towards the camera from the eyes.
    vertices: Vec<[f32; 3]>,
    /// Face units per cm.
    scale: f32,
    /// Gray of the skin, 0 to 255, before light.
    albedo: Vec<f32>,
    /// Centre of each eyeball.
    eyes: [[f32; 3]; 2],
    /// Multiplies each unit: a wider eye has a longer way to close.
    gains: [f32; UNIT_COUNT],
    light: Light,
}

/// Lambertian light: `ambient` from everywhere, and lamps with a direction towards them and a strength.
struct Light {
    ambient: f32,
    lamps: [([f32; 3], f32); 2],
}

/// Vertices in image pixels, with depth in face units and the light on each.
#[derive(Clone, Default)]
pub struct PlacedHead {
    pub(super) points: Vec<Point>,
    depth: Vec<f32>,
    shade: Vec<f32>,
}

impl HeadFace {
    /// A random person.
    pub fn random(model: &Arc<Model>, rng: &mut impl Rng) -> Self {
        let head = &model.head;
        let weights: Vec<f32> = (0..head.identity_modes()).map(|_| IDENTITY_SPREAD * normal(rng)).collect();
        let person = head.with_identity(&weights);
        let flat = |v: &[f32; 3]| Point::new(v[0], -v[1]);
        let marks: [Point; LANDMARK_COUNT] =
            std::array::from_fn(|i| flat(&person.vertices[usize::from(person.landmarks[i])]));
        let [right, left] = eye_centers(&marks);
        let scale = FACE_EYE_DISTANCE / right.distance(left);
        let (middle, level) = (right.midpoint(left), person.vertices[usize::from(person.landmarks[39])][2]);
        let to_face = |v: &[f32; 3]| {
            let p = flat(v);
            [
                FACE_EYES.x + scale * (p.x - middle.x),
                FACE_EYES.y + scale * (p.y - middle.y),
                scale * (v[2] - level),
            ]
        };
        let vertices: Vec<[f32; 3]> = person.vertices.iter().map(to_face).collect();
        let eyes = [0, 1].map(|side| {
            let mut center = [0.0; 3];
            for (k, c) in center.iter_mut().enumerate() {
                let (lo, hi) = model.eyes[side].iter().fold((f32::MAX, f32::MIN), |(lo, hi), &i| {
                    let v = vertices[usize::from(i)][k];
                    (lo.min(v), hi.max(v))
                });
                *c = 0.5 * (lo + hi);
            }
            center
        });
        let seen: [Point; LANDMARK_COUNT] = std::array::from_fn(|i| {
            let v = vertices[usize::from(person.landmarks[i])];
            Point::new(v[0], v[1])
        });
        let albedo = skin::albedo(&vertices, &person.group, &seen, [&eyes[0], &eyes[1]], rng);
        let mut gains = [1.0; UNIT_COUNT];
        for (side, upper, lower) in LIDS {
            let gap =
                lower.iter().map(|&i| seen[i].y).sum::<f32>() - upper.iter().map(|&i| seen[i].y).sum::<f32>();
            for unit in unit_indices(45, side) {
                let down = |marks: [usize; 2]| -> f32 {
                    let moves = model.units[unit].iter();
                    let is_marked =
                        |(i, _): &&(u16, [f32; 3])| marks.iter().any(|&m| head.landmarks[m] == *i);
                    moves.filter(is_marked).map(|(_, d)| -scale * d[1]).sum()
                };
                gains[unit] = ((1.0 + LID_OVERLAP) * gap / (down(upper) - down(lower))).clamp(0.3, 3.0);
            }
        }
        let side = rng.random_range(-1.0f32..1.0);
        Self {
            model: Arc::clone(model),
            light: Light {
                ambient: rng.random_range(0.35..0.7),
                lamps: [
                    (direction(side, rng.random_range(-0.9..0.1), 1.0), rng.random_range(0.2..0.6)),
                    (direction(-2.0 * side, rng.random_range(-0.5..0.5), 0.6), rng.random_range(0.0..0.25)),
                ],
            },
            vertices,
            scale,
            albedo,
            eyes,
            gains,
        }
    }

    /// Turns eyes and head.
    fn posed(&self, pose: &Pose) -> Vec<[f32; 3]> {
        let mut out = self.vertices.clone();
        for (k, moves) in self.model.units.iter().enumerate().filter(|(k, _)| pose.fractions[*k] > 0.0) {
            let f = pose.fractions[k] * self.gains[k] * self.scale;
            for (i, d) in moves {
                let v = &mut out[usize::from(*i)];
                *v = [v[0] + f * d[0], v[1] - f * d[1], v[2] + f * d[2]];
            }
        }
        if pose.gaze != [0.0; 2] {
            let by = Rotation::new(GAZE_ANGLE * pose.gaze[0], GAZE_ANGLE * pose.gaze[1]);
            for (vertices, center) in self.model.eyes.iter().zip(&self.eyes) {
                vertices.iter().for_each(|&i| by.apply(&mut out[usize::from(i)], center));
            }
        }
        if pose.turn != [0.0; 2] {
            let by = Rotation::new(pose.turn[0], pose.turn[1]);
            out.iter_mut().for_each(|v| by.apply(v, &AXIS));
        }
        out
    }

    /// The 68 landmarks in face coordinates of the face at rest with its head turned.
    pub fn landmarks_at_rest(&self, turn: [f32; 2]) -> [Point; LANDMARK_COUNT] {
        let by = Rotation::new(turn[0], turn[1]);
        std::array::from_fn(|i| {
            let mut v = self.vertices[usize::from(self.model.head.landmarks[i])];
            by.apply(&mut v, &AXIS);
            projected(&v)
        })
    }

    /// Visits every pixel in `area` of the nearest surface that faces the camera, from far to near: index of the pixel
    /// in the area, triangle, barycentric coordinates, depth.
    fn visible(
        &self,
        points: &[Point],
        depth: &[f32],
        area: &Area,
        mut pixel: impl FnMut(usize, [usize; 3], [f32; 3], f32),
    ) {
        let width = area.x.len();
        let mut nearest = vec![f32::MIN; width * area.y.len()];
        let (left, top) = (area.x.start as f32, area.y.start as f32);
        let (right, bottom) = (area.x.end as f32 - 1.0, area.y.end as f32 - 1.0);
        for t in &self.model.triangles {
            let t = t.map(usize::from);
            let [p, q, r] = t.map(|i| points[i]);
            let double = (q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x);
            if double <= 1e-4 || !double.is_finite() {
                continue;
            }
            let (x0, x1) = pixels([p.x, q.x, r.x], left, right);
            let (y0, y1) = pixels([p.y, q.y, r.y], top, bottom);
            if x0 > x1 || y0 > y1 {
                continue;
            }
            // Barycentric coordinates are linear: value at the first pixel, and steps.
            let unit = 1.0 / double;
            let (bx, by) = ((r.y - p.y) * unit, (p.x - r.x) * unit);
            let (cx, cy) = ((p.y - q.y) * unit, (q.x - p.x) * unit);
            let (b0, c0) = ((x0 - p.x) * bx + (y0 - p.y) * by, (x0 - p.x) * cx + (y0 - p.y) * cy);
            let (z0, zb, zc) = (depth[t[0]], depth[t[1]] - depth[t[0]], depth[t[2]] - depth[t[0]]);
            // Indices of 32 bits and floating counters: conversions from `usize` would be half of the work.
            let columns = (x1 - x0) as u32 as usize + 1;
            let mut row = (y0 - top) as u32 as usize * width + (x0 - left) as u32 as usize;
            let (mut y, rows) = (0.0, y1 - y0);
            while y <= rows {
                let (mut b, mut c) = (b0 + y * by, c0 + y * cy);
                let mut entered = false;
                for (i, nearest) in nearest[row..row + columns].iter_mut().enumerate() {
                    if b >= -1e-5 && c >= -1e-5 && b + c <= 1.0 + 1e-5 {
                        let z = z0 + b * zb + c * zc;
                        if z > *nearest {
                            *nearest = z;
                            pixel(row + i, t, [1.0 - b - c, b, c], z);
                        }
                        entered = true;
                    } else if entered {
                        break;
                    }
                    (b, c) = (b + bx, c + cx);
                }
                row += width;
                y += 1.0;
            }
        }
    }

    /// True displacement between two placements at the pixels of the first one, and the depth of the first one in face
    /// units (greater is nearer, 0 at the eyes' inner corner); both keep their value where there is no face.
    pub fn survey(&self, from: &PlacedHead, to: &PlacedHead, flow: &mut Flow, mut depth: Option<&mut [f32]>) {
        let width = flow.width;
        let area = Area::around(&from.points, (width, flow.height));
        self.visible(&from.points, &from.depth, &area, |at, t, b, z| {
            let d =
                t.map(|i| Point::new(to.points[i].x - from.points[i].x, to.points[i].y - from.points[i].y));
            let at = area.in_plane(at, width);
            flow.u[at] = b[0] * d[0].x + b[1] * d[1].x + b[2] * d[2].x;
            flow.v[at] = b[0] * d[0].y + b[1] * d[1].y + b[2] * d[2].y;
            if let Some(depth) = &mut depth {
                let eye = group::EYES.contains(&self.model.head.group[t[0]]);
                depth[at] = if eye { z + EYES_BACK } else { z };
            }
        });
    }
}

/// First and last pixel between three coordinates that lies in `from..=to`, whole numbers that are not negative; the first
/// beyond the last where there is none.
fn pixels([a, b, c]: [f32; 3], from: f32, to: f32) -> (f32, f32) {
    let (low, high) = (a.min(b).min(c).max(from), a.max(b).max(c).min(to));
    if low > high {
        return (1.0, 0.0);
    }
    // Rounding by conversion: without SSE 4.1 `ceil` and `floor` are calls.
    let (first, last) = (low as u32 as f32, high as u32 as f32);
    (if first < low { first + 1.0 } else { first }, last)
}

/// A part of a plane.
struct Area {
    x: Range<usize>,
    y: Range<usize>,
}

impl Area {
    /// The part of a plane of a size that holds `points`.
    fn around(points: &[Point], (width, height): (usize, usize)) -> Self {
        let range = |coordinate: fn(&Point) -> f32, limit: usize| {
            let (lo, hi) = points
                .iter()
                .map(coordinate)
                .fold((f32::MAX, f32::MIN), |(lo, hi), v| (lo.min(v), hi.max(v)));
            let start = lo.floor().clamp(0.0, limit as f32) as usize;
            start..(hi.ceil() + 1.0).clamp(start as f32, limit as f32) as usize
        };
        Self { x: range(|p| p.x, width), y: range(|p| p.y, height) }
    }

    fn in_plane(&self, at: usize, width: usize) -> usize {
        (self.y.start + at / self.x.len()) * width + self.x.start + at % self.x.len()
    }
}

impl Face for HeadFace {
    type Posed = PlacedHead;

    fn place(&self, pose: &Pose, to_image: &Similarity, out: &mut PlacedHead) {
        let posed = self.posed(pose);
        out.shade.clear();
        out.shade.extend(normals(&posed, &self.model.triangles).iter().zip(&self.albedo).map(
            |(n, albedo)| {
                let lamps: f32 = self.light.lamps.iter().map(|(d, s)| s * dot(n, d).max(0.0)).sum();
                albedo * (self.light.ambient + lamps)
            },
        ));
        out.depth.clear();
        out.depth.extend(posed.iter().map(|v| v[2]));
        for &i in self.model.eyes.iter().flatten() {
            out.depth[usize::from(i)] -= EYES_BACK;
        }
        out.points.clear();
        out.points.extend(posed.iter().map(|v| to_image.apply(projected(v))));
    }

    fn draw(&self, placed: &PlacedHead, _scale: f32, plane: &mut [f32], width: usize) {
        const S: usize = SUPERSAMPLING;
        let coarse = Area::around(&placed.points, (width, plane.len() / width));
        // Centre of pixel x is at x: the first of S samples in it lies (S - 1) / 2S before.
        let up = |x: f32| S as f32 * x + 0.5 * (S - 1) as f32;
        let fine: Vec<Point> = placed.points.iter().map(|p| Point::new(up(p.x), up(p.y))).collect();
        let area = Area { x: S * coarse.x.start..S * coarse.x.end, y: S * coarse.y.start..S * coarse.y.end };
        let columns = area.x.len();
        let mut samples = vec![f32::NAN; columns * area.y.len()];
        self.visible(&fine, &placed.depth, &area, |at, t, b, _| {
            samples[at] = b[0] * placed.shade[t[0]] + b[1] * placed.shade[t[1]] + b[2] * placed.shade[t[2]];
        });
        for (j, y) in coarse.y.clone().enumerate() {
            let row = &mut plane[y * width..][coarse.x.clone()];
            for (i, value) in row.iter_mut().enumerate() {
                let mut sum = 0.0;
                for k in 0..S {
                    for sample in &samples[(S * j + k) * columns + S * i..][..S] {
                        sum += if sample.is_nan() { *value } else { *sample };
                    }
                }
                *value = sum / (S * S) as f32;
            }
        }
    }

    fn field(&self, from: &PlacedHead, to: &PlacedHead, flow: &mut Flow) {
        self.survey(from, to, flow, None);
    }

    fn landmarks(&self, placed: &PlacedHead) -> [Point; LANDMARK_COUNT] {
        std::array::from_fn(|i| placed.points[usize::from(self.model.head.landmarks[i])])
    }
}

/// A turn: yaw towards the image's right, then pitch downwards.
struct Rotation {
    yaw: (f32, f32),
    pitch: (f32, f32),
}

impl Rotation {
    fn new(yaw: f32, pitch: f32) -> Self {
        Self { yaw: yaw.sin_cos(), pitch: pitch.sin_cos() }
    }

    /// Turns a vertex about `center`.
    fn apply(&self, v: &mut [f32; 3], center: &[f32; 3]) {
        let ((sin_yaw, cos_yaw), (sin_pitch, cos_pitch)) = (self.yaw, self.pitch);
        let [x, y, z] = [0, 1, 2].map(|k| v[k] - center[k]);
        let (x, z) = (x * cos_yaw + z * sin_yaw, z * cos_yaw - x * sin_yaw);
        let (y, z) = (y * cos_pitch + z * sin_pitch, z * cos_pitch - y * sin_pitch);
        *v = [center[0] + x, center[1] + y, center[2] + z];
    }
}

/// A vertex as it is seen from where the camera stands.
fn projected(v: &[f32; 3]) -> Point {
    let near = CAMERA_DISTANCE / (CAMERA_DISTANCE - v[2]);
    Point::new(FACE_EYES.x + near * (v[0] - FACE_EYES.x), FACE_EYES.y + near * (v[1] - FACE_EYES.y))
}

fn dot(a: &[f32; 3], b: &[f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// A unit vector.
fn direction(x: f32, y: f32, z: f32) -> [f32; 3] {
    let length = (x * x + y * y + z * z).sqrt().max(1e-6);
    [x / length, y / length, z / length]
}

/// Unit normals of the vertices, towards the outside: area-weighted means over the triangles.
fn normals(vertices: &[[f32; 3]], triangles: &[[u16; 3]]) -> Vec<[f32; 3]> {
    let mut sums = vec![[0.0f32; 3]; vertices.len()];
    for t in triangles {
        let [p, q, r] = t.map(|i| vertices[usize::from(i)]);
        let (a, b) = ([q[0] - p[0], q[1] - p[1], q[2] - p[2]], [r[0] - p[0], r[1] - p[1], r[2] - p[2]]);
        // y points downwards: a triangle that faces the camera turns the other way round.
        let n = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
        for i in t {
            sums[usize::from(*i)].iter_mut().zip(n).for_each(|(s, n)| *s += n);
        }
    }
    sums.iter().map(|s| direction(s[0], s[1], s[2])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eyes_turn_where_they_are_told() {
        let mut v = [0.0, 0.0, 10.0];
        Rotation::new(0.3, 0.0).apply(&mut v, &[0.0; 3]);
        assert!(v[0] > 2.5 && v[1].abs() < 1e-6, "to the image's right: {v:?}");
        let mut v = [0.0, 0.0, 10.0];
        Rotation::new(0.0, 0.3).apply(&mut v, &[0.0; 3]);
        assert!(v[1] > 2.5 && v[0].abs() < 1e-6, "down: {v:?}");
    }

    #[test]
    fn a_triangle_that_faces_the_camera_has_its_normal_towards_it() {
        // Clockwise as seen in an image whose y points downwards: positive area, which is what is drawn.
        let vertices = [[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 4.0, 0.0]];
        let n = normals(&vertices, &[[0, 1, 2]]);
        assert!(n.iter().all(|n| n[2] > 0.99), "{n:?}");
    }
}
