//! What each action unit does to the mesh: ICT expression shapes carried onto the mean face.

use anyhow::{Result, ensure};
use glint::au::{Side, UNITS};
use glint::face::landmarks::{LANDMARK_COUNT, MEDIAPIPE_68, eye_centers};
use glint::geometry::{Point, Similarity};
use glint::synth::MESH_LANDMARKS;
use rayon::prelude::*;

use super::TEXTURE_EYES;
use super::mesh::{LIDS, LIP_RINGS};
use crate::assets::ict::Head;

/// Landmarks (of the 68) of the outer and inner contour of the lips, upper and lower, in the direction of
/// [`LIP_RINGS`].
const OUTER: [&[usize]; 2] = [&[48, 49, 50, 51, 52, 53, 54], &[48, 59, 58, 57, 56, 55, 54]];
const INNER: [&[usize]; 2] = [&[60, 61, 62, 63, 64], &[60, 67, 66, 65, 64]];
/// The same of the lids, in the order of [`LIDS`].
const LID_LANDMARKS: [[&[usize]; 2]; 2] =
    [[&[36, 37, 38, 39], &[36, 41, 40, 39]], [&[42, 43, 44, 45], &[42, 47, 46, 45]]];

/// AUs that leave closed lips closed (FACS: parting is AU 25). The ICT shapes part them by a fraction
/// of a millimetre here and there.
const LIPS_STAY_CLOSED: [u8; 8] = [12, 14, 15, 17, 18, 20, 23, 24];

/// Displacement of every landmark by every unit at full intensity (x, y of each), and the depth of
/// every landmark against the eyes, in texture pixels.
pub fn displacements(head: &Head, mesh: &[Point]) -> Result<(Vec<Vec<f32>>, Vec<f32>)> {
    ensure!(head.landmarks.len() == LANDMARK_COUNT, "ICT head has {} landmarks", head.landmarks.len());
    // Frontal view of the ICT head: x to the image's right is the subject's left, y downwards.
    let flat: Vec<Point> = head.vertices.iter().map(|v| Point::new(v[0], -v[1])).collect();
    let marks: [Point; LANDMARK_COUNT] = std::array::from_fn(|i| flat[usize::from(head.landmarks[i])]);
    let to_texture = Similarity::from_two_points(eye_centers(&marks), TEXTURE_EYES);
    let ours = MEDIAPIPE_68.map(|i| mesh[i]);
    // The skin of the front, carried onto the mean face of the portraits.
    let from: Vec<Point> = marks[..60].iter().map(|&p| to_texture.apply(p)).collect();
    let carry = Warp::new(&from, &ours[..60]);
    let skin: Vec<(usize, Point)> = (0..flat.len())
        .filter(|&i| head.group[i] == 0 && head.vertices[i][2] > -1.0)
        .map(|i| (i, carry.apply(to_texture.apply(flat[i]))))
        .collect();
    let near: Vec<Vec<(usize, f32)>> = mesh
        .par_iter()
        .map(|p| {
            let square = |q: &Point| (q.x - p.x).powi(2) + (q.y - p.y).powi(2);
            let mut close: Vec<(usize, f32)> =
                skin.iter().enumerate().map(|(k, (_, q))| (k, square(q))).collect();
            let nearer = |a: &(usize, f32), b: &(usize, f32)| a.1.total_cmp(&b.1);
            close.select_nth_unstable_by(6, nearer);
            close.truncate(6);
            for c in &mut close {
                *c = (skin[c.0].0, skin[c.0].1.distance(*p));
            }
            close.sort_unstable_by(nearer);
            let reach = close[0].1.max(0.7);
            close.into_iter().map(|(i, d)| (i, (-0.5 * (d / reach).powi(2)).exp())).collect()
        })
        .collect();
    let scale = to_texture.scale();
    let mean_of = |close: &[(usize, f32)], value: &dyn Fn(usize) -> f32| {
        let total: f32 = close.iter().map(|(_, w)| w).sum();
        close.iter().map(|&(i, w)| w * value(i)).sum::<f32>() / total
    };
    let eyes = [36, 39, 42, 45].map(|k| head.vertices[usize::from(head.landmarks[k])][2]);
    let level = 0.25 * eyes.iter().sum::<f32>();
    let depth: Vec<f32> =
        near.iter().map(|close| mean_of(close, &|i| scale * (head.vertices[i][2] - level))).collect();
    let depth = smooth(&depth, mesh);
    let units = UNITS.iter().map(|&unit| {
        let moves = head.displacement(unit)?;
        let vector = |i: usize| Point::new(scale * moves[i][0], -scale * moves[i][1]);
        let mut out: Vec<Point> = near
            .iter()
            .map(|close| Point::new(mean_of(close, &|i| vector(i).x), mean_of(close, &|i| vector(i).y)))
            .collect();
        // Lips and lids touch: along their rims the landmarks' own displacement is interpolated, so
        // that neither half is moved by the other one's vertices.
        let along = |contour: &[usize], share: f32| {
            let t = share * (contour.len() - 1) as f32;
            let k = (t as usize).min(contour.len() - 2);
            let [a, b] = [k, k + 1].map(|k| vector(usize::from(head.landmarks[contour[k]])));
            mix(a, b, t - k as f32)
        };
        for (upper, lower, depth) in LIP_RINGS {
            for (half, ring) in [upper, lower].into_iter().enumerate() {
                for (i, vertex) in ring.into_iter().enumerate() {
                    let share = i as f32 / 10.0;
                    out[vertex] = mix(along(OUTER[half], share), along(INNER[half], share), depth);
                }
            }
        }
        if LIPS_STAY_CLOSED.contains(&unit.au) {
            keep_lips_closed(&mut out);
        }
        for (lids, contours) in LIDS.iter().zip(LID_LANDMARKS) {
            for (rim, contour) in lids.iter().zip(contours) {
                for (i, &vertex) in rim.iter().enumerate() {
                    out[vertex] = along(contour, i as f32 / 8.0);
                }
            }
        }
        if unit.au == 45 {
            close_lids(&LIDS[usize::from(unit.side == Side::Left)], mesh, &mut out);
        }
        // The eyeball stays where it is.
        out[468..MESH_LANDMARKS].fill(Point::default());
        Ok(out.iter().flat_map(|p| [p.x, p.y]).collect())
    });
    Ok((units.collect::<Result<_>>()?, depth))
}

/// Depth averaged over the neighbourhood: at the ears the head drops away so steeply that triangles
/// would fold when it turns.
fn smooth(depth: &[f32], mesh: &[Point]) -> Vec<f32> {
    mesh.iter()
        .map(|p| {
            let (sum, total) = mesh.iter().zip(depth).fold((0.0, 0.0), |(sum, total), (q, z)| {
                let w = (-0.5 * (p.distance(*q) / 7.0).powi(2)).exp();
                (sum + w * z, total + w)
            });
            sum / total
        })
        .collect()
}

/// Both inner contours move as their mean.
fn keep_lips_closed(out: &mut [Point]) {
    let (inner_up, inner_low, _) = LIP_RINGS[3];
    let half: [Point; 11] = std::array::from_fn(|i| {
        let (up, low) = (out[inner_up[i]], out[inner_low[i]]);
        Point::new(0.5 * (low.x - up.x), 0.5 * (low.y - up.y))
    });
    for (upper, lower, depth) in LIP_RINGS {
        for i in 1..10 {
            let d = Point::new(depth * half[i].x, depth * half[i].y);
            let (up, low) = (out[upper[i]], out[lower[i]]);
            out[upper[i]] = Point::new(up.x + d.x, up.y + d.y);
            out[lower[i]] = Point::new(low.x - d.x, low.y - d.y);
        }
    }
}

fn mix(a: Point, b: Point, share: f32) -> Point {
    Point::new(a.x + share * (b.x - a.x), a.y + share * (b.y - a.y))
}

/// The rims of closed lids meet: near the lower one, which hardly moves.
fn close_lids([upper, lower]: &[[usize; 9]; 2], mesh: &[Point], out: &mut [Point]) {
    for (&up, &low) in upper.iter().zip(lower) {
        let meeting = mix(mesh[low], mesh[up], 0.12);
        let way = |from: usize| Point::new(meeting.x - mesh[from].x, meeting.y - mesh[from].y);
        (out[up], out[low]) = (way(up), way(low));
    }
}

/// A smooth map through pairs of points: a similarity, and Gaussian-weighted residuals.
pub struct Warp {
    rough: Similarity,
    at: Vec<Point>,
    residual: Vec<Point>,
}

impl Warp {
    /// The map from the points `from` to the points `to`.
    pub fn new(from: &[Point], to: &[Point]) -> Self {
        let rough = Similarity::fit(from, to).unwrap_or(Similarity::IDENTITY);
        let at: Vec<Point> = from.iter().map(|&p| rough.apply(p)).collect();
        let residual = at.iter().zip(to).map(|(p, q)| Point::new(q.x - p.x, q.y - p.y)).collect();
        Self { rough, at, residual }
    }

    /// The image of `p`.
    pub fn apply(&self, p: Point) -> Point {
        let p = self.rough.apply(p);
        let (mut x, mut y, mut total) = (0.0, 0.0, 1e-3);
        for (a, r) in self.at.iter().zip(&self.residual) {
            // Close landmarks decide; far from all of them little is added.
            let w = 1.0 / (1.0 + a.distance(p).powi(2) / 9.0).powi(2);
            (x, y, total) = (x + w * r.x, y + w * r.y, total + w);
        }
        Point::new(p.x + x / total, p.y + y / total)
    }
}
