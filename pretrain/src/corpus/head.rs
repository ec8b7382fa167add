//! ICT heads as faces: a rasteriser with depth, procedural skin, two lights.

use anyhow::Result;
use glint::au::UNITS;
use glint::face::landmarks::{LANDMARK_COUNT, eye_centers};
use glint::flow::Flow;
use glint::geometry::{Point, Similarity};
use glint::synth::{FACE_EYE_DISTANCE, FACE_EYES, Face, Pose, fill};
use rand::Rng;

use super::skin;
use crate::assets::ict::{Head, Moves, group};
use crate::augment::normal;

/// Distance from the camera in face units (64 between the eyes): about 60 cm.
const CAMERA_DISTANCE: f32 = 600.0;
/// Axis about which the head turns: so far below and behind the eyes, in face units.
const NECK: [f32; 2] = [60.0, 80.0];
/// How far the eyes turn at a gaze of 1, in radians.
const GAZE_ANGLE: f32 = 0.35;
/// Standard deviations of the identity modes: variety without caricature.
const IDENTITY_SPREAD: f32 = 0.8;
/// Samples per pixel and side: at the rims of lids and lips edges move by fractions of a pixel.
const SUPERSAMPLING: usize = 2;

/// A person made of the ICT head's identity modes, with a skin of their own under lights of their own.
pub struct HeadFace {
    /// Neutral vertices in face coordinates: x to the image's right, y downwards, z towards the camera from the eyes.
    vertices: Vec<[f32; 3]>,
    /// What each unit moves at full intensity, in face coordinates.
    units: Vec<Moves>,
    /// Gray of the skin, 0 to 255, before light.
    albedo: Vec<f32>,
    triangles: Vec<[u16; 3]>,
    landmarks: Vec<u16>,
    /// Vertices and centre of each eyeball.
    eyes: [(Vec<usize>, [f32; 3]); 2],
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
    points: Vec<Point>,
    depth: Vec<f32>,
    shade: Vec<f32>,
}

impl HeadFace {
    /// A random person.
    pub fn random(head: &Head, rng: &mut impl Rng) -> Result<Self> {
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
        let units = UNITS
            .iter()
            .map(|&unit| {
                let moves = person.displacement(unit)?;
                let all = moves.iter().enumerate().filter(|(_, d)| d.iter().any(|x| x.abs() > 1e-5));
                Ok(all.map(|(i, d)| (i as u16, [scale * d[0], -scale * d[1], scale * d[2]])).collect())
            })
            .collect::<Result<Vec<Moves>>>()?;
        let eyes = group::EYES.map(|eye| {
            let own: Vec<usize> = (0..vertices.len()).filter(|&i| person.group[i] == eye).collect();
            let mut center = [0.0; 3];
            for k in 0..3 {
                let (lo, hi) = own.iter().fold((f32::MAX, f32::MIN), |(lo, hi), &i| {
                    (lo.min(vertices[i][k]), hi.max(vertices[i][k]))
                });
                center[k] = 0.5 * (lo + hi);
            }
            (own, center)
        });
        let seen: [Point; LANDMARK_COUNT] = std::array::from_fn(|i| {
            let v = vertices[usize::from(person.landmarks[i])];
            Point::new(v[0], v[1])
        });
        let albedo = skin::albedo(&vertices, &person.group, &seen, [&eyes[0].1, &eyes[1].1], rng);
        let side = rng.random_range(-1.0f32..1.0);
        Ok(Self {
            landmarks: person.landmarks.clone(),
            // In the image y points downwards, which turns the triangles over.
            triangles: person
                .triangles
                .iter()
                .filter(|t| person.group[usize::from(t[0])] <= group::EYES[1])
                .map(|t| [t[0], t[2], t[1]])
                .collect(),
            light: Light {
                ambient: rng.random_range(0.35..0.7),
                lamps: [
                    (direction(side, rng.random_range(-0.9..0.1), 1.0), rng.random_range(0.2..0.6)),
                    (direction(-2.0 * side, rng.random_range(-0.5..0.5), 0.6), rng.random_range(0.0..0.25)),
                ],
            },
            vertices,
            units,
            albedo,
            eyes,
        })
    }

    /// Turns eyes and head, and looks at everything from where the camera stands.
    fn posed(&self, pose: &Pose) -> Vec<[f32; 3]> {
        let mut out = self.vertices.clone();
        for (moves, &f) in self.units.iter().zip(&pose.fractions).filter(|(_, f)| **f > 0.0) {
            for (i, d) in moves {
                out[usize::from(*i)].iter_mut().zip(d).for_each(|(v, d)| *v += f * d);
            }
        }
        if pose.gaze != [0.0; 2] {
            for (own, center) in &self.eyes {
                let (yaw, pitch) = (GAZE_ANGLE * pose.gaze[0], GAZE_ANGLE * pose.gaze[1]);
                own.iter().for_each(|&i| turn(&mut out[i], center, yaw, pitch));
            }
        }
        if pose.turn != [0.0; 2] {
            let axis = [FACE_EYES.x, FACE_EYES.y + NECK[0], -NECK[1]];
            out.iter_mut().for_each(|v| turn(v, &axis, pose.turn[0], pose.turn[1]));
        }
        out
    }

    /// Visits every pixel of the nearest surface that faces the camera, from far to near: index of the pixel,
    /// triangle, barycentric coordinates, depth.
    fn visible(
        &self,
        points: &[Point],
        depth: &[f32],
        (width, height): (usize, usize),
        mut pixel: impl FnMut(usize, [usize; 3], [f32; 3], f32),
    ) {
        let mut nearest = vec![f32::MIN; width * height];
        for t in &self.triangles {
            let t = t.map(usize::from);
            let z = t.map(|i| depth[i]);
            fill(t.map(|i| points[i]), width, height, |at, b| {
                let here = b[0] * z[0] + b[1] * z[1] + b[2] * z[2];
                if here > nearest[at] {
                    nearest[at] = here;
                    pixel(at, t, b, here);
                }
            });
        }
    }

    /// Depth of the visible surface in face units, greater is nearer, 0 at the eyes' inner corner; `out` keeps its
    /// value where there is no face.
    pub fn depth(&self, placed: &PlacedHead, width: usize, out: &mut [f32]) {
        let size = (width, out.len() / width);
        self.visible(&placed.points, &placed.depth, size, |at, _, _, z| out[at] = z);
    }
}

impl Face for HeadFace {
    type Posed = PlacedHead;

    fn place(&self, pose: &Pose, to_image: &Similarity, out: &mut PlacedHead) {
        let posed = self.posed(pose);
        out.shade.clear();
        out.shade.extend(normals(&posed, &self.triangles).iter().zip(&self.albedo).map(|(n, albedo)| {
            let lamps: f32 = self.light.lamps.iter().map(|(d, s)| s * dot(n, d).max(0.0)).sum();
            albedo * (self.light.ambient + lamps)
        }));
        out.depth.clear();
        out.depth.extend(posed.iter().map(|v| v[2]));
        out.points.clear();
        out.points.extend(posed.iter().map(|v| {
            let near = CAMERA_DISTANCE / (CAMERA_DISTANCE - v[2]);
            to_image.apply(Point::new(
                FACE_EYES.x + near * (v[0] - FACE_EYES.x),
                FACE_EYES.y + near * (v[1] - FACE_EYES.y),
            ))
        }));
    }

    fn draw(&self, placed: &PlacedHead, _scale: f32, plane: &mut [f32], width: usize) {
        const S: usize = SUPERSAMPLING;
        let height = plane.len() / width;
        // Centre of pixel x is at x: the first of S samples in it lies (S - 1) / 2S before.
        let fine: Vec<Point> = placed
            .points
            .iter()
            .map(|p| {
                let up = |x: f32| S as f32 * x + 0.5 * (S - 1) as f32;
                Point::new(up(p.x), up(p.y))
            })
            .collect();
        let mut samples = vec![f32::NAN; S * S * width * height];
        self.visible(&fine, &placed.depth, (S * width, S * height), |at, t, b, _| {
            samples[at] = b[0] * placed.shade[t[0]] + b[1] * placed.shade[t[1]] + b[2] * placed.shade[t[2]];
        });
        for (y, row) in plane.chunks_exact_mut(width).enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                let mut sum = 0.0;
                for j in 0..S {
                    for sample in &samples[(S * y + j) * S * width + S * x..][..S] {
                        sum += if sample.is_nan() { *value } else { *sample };
                    }
                }
                *value = sum / (S * S) as f32;
            }
        }
    }

    fn field(&self, from: &PlacedHead, to: &PlacedHead, flow: &mut Flow) {
        let size = (flow.width, flow.height);
        self.visible(&from.points, &from.depth, size, |at, t, b, _| {
            let d =
                t.map(|i| Point::new(to.points[i].x - from.points[i].x, to.points[i].y - from.points[i].y));
            flow.u[at] = b[0] * d[0].x + b[1] * d[1].x + b[2] * d[2].x;
            flow.v[at] = b[0] * d[0].y + b[1] * d[1].y + b[2] * d[2].y;
        });
    }

    fn landmarks(&self, placed: &PlacedHead) -> [Point; LANDMARK_COUNT] {
        std::array::from_fn(|i| placed.points[usize::from(self.landmarks[i])])
    }
}

/// Turns a vertex about `center`: `yaw` towards the image's right, then `pitch` downwards.
fn turn(v: &mut [f32; 3], center: &[f32; 3], yaw: f32, pitch: f32) {
    let ((sin_yaw, cos_yaw), (sin_pitch, cos_pitch)) = (yaw.sin_cos(), pitch.sin_cos());
    let [x, y, z] = [0, 1, 2].map(|k| v[k] - center[k]);
    let (x, z) = (x * cos_yaw + z * sin_yaw, z * cos_yaw - x * sin_yaw);
    let (y, z) = (y * cos_pitch + z * sin_pitch, z * cos_pitch - y * sin_pitch);
    *v = [center[0] + x, center[1] + y, center[2] + z];
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
        turn(&mut v, &[0.0; 3], 0.3, 0.0);
        assert!(v[0] > 2.5 && v[1].abs() < 1e-6, "to the image's right: {v:?}");
        let mut v = [0.0, 0.0, 10.0];
        turn(&mut v, &[0.0; 3], 0.0, 0.3);
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
