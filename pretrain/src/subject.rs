//! The subject pack: mean and principal components over the portraits, AU displacements from the ICT
//! head.

use anyhow::{Result, ensure};
use glint::au::{UNIT_COUNT, UNITS};
use glint::face::landmarks::{LANDMARK_COUNT, MEDIAPIPE_68, eye_centers};
use glint::geometry::{Point, Similarity};
use glint::synth::{MESH_LANDMARKS, PackArrays, TEXTURE_HEIGHT, TEXTURE_WIDTH};
use rayon::prelude::*;

use crate::assets::ict::Head;
use crate::assets::portraits::Portrait;

/// Principal components of shape and of texture.
const MODES: [usize; 2] = [12, 20];
/// Eye centres in the texture.
const TEXTURE_EYES: [Point; 2] = [Point::new(72.0, 92.0), Point::new(136.0, 92.0)];
/// MediaPipe's face oval.
#[rustfmt::skip]
const OVAL: [usize; 36] = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
];
/// Rings around the oval: distance from the middle of the face in units of the oval's, and opacity.
const RINGS: [(f32, f32); 3] = [(1.16, 1.0), (1.34, 0.9), (1.52, 0.0)];

/// Lip rings of the mesh from the corner at the left of the image to the other one: upper and lower
/// half, and where between the outer (0) and the inner (1) contour each lies.
#[rustfmt::skip]
const LIP_RINGS: [([usize; 11], [usize; 11], f32); 4] = [
    ([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291], [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291], 0.0),
    ([76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306], [76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306], 0.33),
    ([62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292], [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292], 0.67),
    ([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308], [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308], 1.0),
];
/// Landmarks (of the 68) of the outer and inner contour, upper and lower, in the same direction.
const OUTER: [&[usize]; 2] = [&[48, 49, 50, 51, 52, 53, 54], &[48, 59, 58, 57, 56, 55, 54]];
const INNER: [&[usize]; 2] = [&[60, 61, 62, 63, 64], &[60, 67, 66, 65, 64]];

/// Computes the pack from the portraits that may train and the ICT head.
pub fn build(portraits: &[&Portrait], head: &Head) -> Result<PackArrays> {
    ensure!(portraits.len() > 2 * MODES[1], "{} portraits are too few", portraits.len());
    // Shapes, aligned by the eyes, both as they are and mirrored: the mean face is symmetric.
    let aligned: Vec<(Similarity, Vec<Point>)> = portraits
        .iter()
        .map(|p| {
            let to_texture = Similarity::from_two_points(eye_centers(&p.landmarks()), TEXTURE_EYES);
            (to_texture, p.mesh.iter().map(|&q| to_texture.apply(q)).collect())
        })
        .collect();
    let flat = |mesh: &[Point]| mesh.iter().flat_map(|p| [p.x, p.y]).collect::<Vec<f32>>();
    let shapes: Vec<Vec<f32>> = aligned.iter().map(|(_, m)| flat(&m[..MESH_LANDMARKS])).collect();
    let (mean, modes) = principal_components(&shapes, MODES[0]);
    let mesh: Vec<Point> = mean.chunks_exact(2).map(|p| Point::new(p[0], p[1])).collect();
    let (vertices, alpha) = surround(&mesh);
    let triangles = orient(&vertices, triangulate(&vertices));
    let extend = |values: &[f32]| extend(&mesh, values);

    let textures: Vec<Vec<f32>> = portraits
        .par_iter()
        .zip(&aligned)
        .map(|(p, (to_texture, own))| texture(p, to_texture, own, &vertices, &triangles))
        .collect();
    let (texture, texture_modes) = principal_components(&textures, MODES[1]);
    let units = units(head, &mesh)?;
    Ok(PackArrays {
        shape: flat(&vertices),
        shape_modes: modes.iter().map(|m| extend(m)).collect(),
        units: units.iter().map(|u| extend(u)).collect(),
        alpha,
        triangles,
        texture,
        texture_modes,
    })
}

/// Mean and the first `count` principal components, each one standard deviation long, by power
/// iteration on the Gram matrix with deflation. Deterministic.
fn principal_components(rows: &[Vec<f32>], count: usize) -> (Vec<f32>, Vec<Vec<f32>>) {
    let n = rows.len();
    let d = rows[0].len();
    let mut mean = vec![0.0f64; d];
    for row in rows {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / n as f64);
    }
    let mut centered: Vec<Vec<f32>> =
        rows.iter().map(|r| r.iter().zip(&mean).map(|(v, m)| v - *m as f32).collect()).collect();
    let mut modes = Vec::new();
    for k in 0..count {
        let mut direction: Vec<f32> = centered[(k * 97) % n].clone();
        for _ in 0..30 {
            let length = direction.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-9);
            direction.iter_mut().for_each(|v| *v /= length);
            let scores: Vec<f32> =
                centered.par_iter().map(|r| r.iter().zip(&direction).map(|(a, b)| a * b).sum()).collect();
            let mut next = vec![0.0f32; d];
            for (row, s) in centered.iter().zip(&scores) {
                next.iter_mut().zip(row).for_each(|(o, v)| *o += s * v);
            }
            direction = next;
        }
        let length = direction.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-9);
        direction.iter_mut().for_each(|v| *v /= length);
        let mut variance = 0.0f64;
        for row in &mut centered {
            let score: f32 = row.iter().zip(&direction).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(&direction).for_each(|(v, d)| *v -= score * d);
            variance += f64::from(score * score) / n as f64;
        }
        let deviation = variance.sqrt() as f32;
        modes.push(direction.iter().map(|v| v * deviation).collect());
    }
    (mean.iter().map(|m| *m as f32).collect(), modes)
}

/// Adds the rings around the face; returns all vertices and their opacity.
fn surround(mesh: &[Point]) -> (Vec<Point>, Vec<f32>) {
    let mut vertices = mesh.to_vec();
    let mut alpha = vec![1.0; mesh.len()];
    let middle = mesh[168].midpoint(mesh[4]);
    for (distance, opacity) in RINGS {
        for i in OVAL {
            let p = mesh[i];
            let q =
                Point::new(middle.x + distance * (p.x - middle.x), middle.y + distance * (p.y - middle.y));
            vertices.push(q);
            alpha.push(opacity);
        }
    }
    (vertices, alpha)
}

/// Carries a displacement of the mesh over to the rings: they follow the oval, fading out.
fn extend(mesh: &[Point], values: &[f32]) -> Vec<f32> {
    let mut out = values[..2 * mesh.len()].to_vec();
    for (k, _) in RINGS.iter().enumerate() {
        let share = 1.0 - (k + 1) as f32 / RINGS.len() as f32;
        for i in OVAL {
            out.extend([share * values[2 * i], share * values[2 * i + 1]]);
        }
    }
    out
}

/// The portrait's gray on the mean shape.
fn texture(
    p: &Portrait,
    to_texture: &Similarity,
    own: &[Point],
    mean: &[Point],
    triangles: &[[u16; 3]],
) -> Vec<f32> {
    let mut own = own[..MESH_LANDMARKS].to_vec();
    let (all, _) = surround(&own);
    own = all;
    let back = to_texture.inverse();
    let mut out = vec![0.0; TEXTURE_WIDTH * TEXTURE_HEIGHT];
    // Whatever lies outside the mesh is taken from the aligned photograph as it is.
    p.crop.warp(&back, &mut out, TEXTURE_WIDTH, |_| true);
    for t in triangles {
        let [a, b, c] = t.map(|i| mean[usize::from(i)]);
        let [p0, p1, p2] = t.map(|i| own[usize::from(i)]);
        let area = (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
        if area < 1e-3 {
            continue;
        }
        // Affine map of the triangle as two steps of a similarity is not enough: sample point by point.
        let (x0, x1) = (a.x.min(b.x).min(c.x).max(0.0) as usize, a.x.max(b.x).max(c.x).max(0.0) as usize);
        let (y0, y1) = (a.y.min(b.y).min(c.y).max(0.0) as usize, a.y.max(b.y).max(c.y).max(0.0) as usize);
        for y in y0..=y1.min(TEXTURE_HEIGHT - 1) {
            for x in x0..=x1.min(TEXTURE_WIDTH - 1) {
                let (fx, fy) = (x as f32, y as f32);
                let v = ((fx - a.x) * (c.y - a.y) - (fy - a.y) * (c.x - a.x)) / area;
                let w = ((b.x - a.x) * (fy - a.y) - (b.y - a.y) * (fx - a.x)) / area;
                let u = 1.0 - v - w;
                if u >= -1e-4 && v >= -1e-4 && w >= -1e-4 {
                    let q = back
                        .apply(Point::new(u * p0.x + v * p1.x + w * p2.x, u * p0.y + v * p1.y + w * p2.y));
                    out[y * TEXTURE_WIDTH + x] = sample(p, q);
                }
            }
        }
    }
    out
}

fn sample(p: &Portrait, q: Point) -> f32 {
    let (w, h) = (p.crop.width(), p.crop.height());
    let (x, y) = (q.x.clamp(0.0, (w - 2) as f32), q.y.clamp(0.0, (h - 2) as f32));
    let (ix, iy) = (x as usize, y as usize);
    let (fx, fy) = (x - ix as f32, y - iy as f32);
    let at = |x: usize, y: usize| f32::from(p.crop.data()[y * w + x]);
    let top = at(ix, iy) + fx * (at(ix + 1, iy) - at(ix, iy));
    let low = at(ix, iy + 1) + fx * (at(ix + 1, iy + 1) - at(ix, iy + 1));
    top + fy * (low - top)
}

/// Delaunay triangulation by insertion (Bowyer 1981, Watson 1981).
fn triangulate(points: &[Point]) -> Vec<[u16; 3]> {
    let n = points.len();
    // A whisper of displacement breaks ties of points that coincide or lie on a circle.
    let shake = |i: usize, p: Point| {
        Point::new(
            p.x + 1e-3 * ((i * 7919 % 101) as f32 / 101.0),
            p.y + 1e-3 * ((i * 104_729 % 103) as f32 / 103.0),
        )
    };
    let mut all: Vec<[f64; 2]> = points
        .iter()
        .enumerate()
        .map(|(i, &p)| shake(i, p))
        .map(|p| [f64::from(p.x), f64::from(p.y)])
        .collect();
    all.extend([[-1e5, -1e5], [1e5, -1e5], [0.0, 2e5]]);
    let mut triangles: Vec<[usize; 3]> = vec![[n, n + 1, n + 2]];
    for i in 0..n {
        let p = all[i];
        let (bad, good): (Vec<_>, Vec<_>) = triangles.into_iter().partition(|t| in_circle(&all, t, p));
        let mut edges: Vec<[usize; 2]> = Vec::new();
        for t in &bad {
            for [a, b] in [[t[0], t[1]], [t[1], t[2]], [t[2], t[0]]] {
                match edges.iter().position(|e| *e == [b, a]) {
                    Some(at) => {
                        edges.swap_remove(at);
                    }
                    None => edges.push([a, b]),
                }
            }
        }
        triangles = good;
        triangles.extend(edges.into_iter().map(|[a, b]| [a, b, i]));
    }
    triangles.retain(|t| t.iter().all(|&v| v < n));
    triangles.into_iter().map(|t| t.map(|v| v as u16)).collect()
}

/// Whether `p` lies in the circle through a counter-clockwise triangle.
fn in_circle(all: &[[f64; 2]], t: &[usize; 3], p: [f64; 2]) -> bool {
    let d = t.map(|i| [all[i][0] - p[0], all[i][1] - p[1]]);
    let n = d.map(|v| v[0] * v[0] + v[1] * v[1]);
    let det = d[0][0] * (d[1][1] * n[2] - d[2][1] * n[1]) - d[0][1] * (d[1][0] * n[2] - d[2][0] * n[1])
        + n[0] * (d[1][0] * d[2][1] - d[2][0] * d[1][1]);
    det > 0.0
}

/// Orients every triangle so that the renderer sees its face.
fn orient(points: &[Point], triangles: Vec<[u16; 3]>) -> Vec<[u16; 3]> {
    triangles
        .into_iter()
        .map(|[a, b, c]| {
            let [p, q, r] = [a, b, c].map(|i| points[usize::from(i)]);
            let area = (q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x);
            if area >= 0.0 { [a, b, c] } else { [a, c, b] }
        })
        .collect()
}

/// Displacement of every mesh vertex by every unit at full intensity, in texture pixels.
fn units(head: &Head, mesh: &[Point]) -> Result<Vec<Vec<f32>>> {
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
            let mut close: Vec<(usize, f32)> = skin.iter().map(|(i, q)| (*i, q.distance(*p))).collect();
            close.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
            close.truncate(6);
            let reach = close[0].1.max(0.7);
            close.into_iter().map(|(i, d)| (i, (-0.5 * (d / reach).powi(2)).exp())).collect()
        })
        .collect();
    let scale = to_texture.scale();
    UNITS
        .iter()
        .map(|&unit| {
            let moves = head.displacement(unit)?;
            let vector = |i: usize| Point::new(scale * moves[i][0], -scale * moves[i][1]);
            let mut out: Vec<Point> = near
                .iter()
                .map(|close| {
                    let (mut x, mut y, mut total) = (0.0, 0.0, 0.0);
                    for &(i, w) in close {
                        let d = vector(i);
                        (x, y, total) = (x + w * d.x, y + w * d.y, total + w);
                    }
                    Point::new(x / total, y / total)
                })
                .collect();
            // The lips touch: along them the landmarks' own displacement is interpolated instead.
            let at_landmark = |k: usize| vector(usize::from(head.landmarks[k]));
            for (upper, lower, depth) in LIP_RINGS {
                for (half, ring) in [upper, lower].into_iter().enumerate() {
                    for (i, vertex) in ring.into_iter().enumerate() {
                        let along = i as f32 / 10.0;
                        let mix = |contour: &[usize]| {
                            let t = along * (contour.len() - 1) as f32;
                            let k = (t as usize).min(contour.len() - 2);
                            let (a, b, f) =
                                (at_landmark(contour[k]), at_landmark(contour[k + 1]), t - k as f32);
                            Point::new(a.x + f * (b.x - a.x), a.y + f * (b.y - a.y))
                        };
                        let (o, n) = (mix(OUTER[half]), mix(INNER[half]));
                        out[vertex] = Point::new(o.x + depth * (n.x - o.x), o.y + depth * (n.y - o.y));
                    }
                }
            }
            // The eyeball stays where it is.
            out[468..MESH_LANDMARKS].fill(Point::default());
            Ok(out.iter().flat_map(|p| [p.x, p.y]).collect())
        })
        .collect::<Result<Vec<Vec<f32>>>>()
        .inspect(|u| debug_assert_eq!(u.len(), UNIT_COUNT))
}

/// A smooth map through pairs of points: a similarity, and Gaussian-weighted residuals.
struct Warp {
    rough: Similarity,
    at: Vec<Point>,
    residual: Vec<Point>,
}

impl Warp {
    fn new(from: &[Point], to: &[Point]) -> Self {
        let rough = Similarity::fit(from, to).unwrap_or(Similarity::IDENTITY);
        let at: Vec<Point> = from.iter().map(|&p| rough.apply(p)).collect();
        let residual = at.iter().zip(to).map(|(p, q)| Point::new(q.x - p.x, q.y - p.y)).collect();
        Self { rough, at, residual }
    }

    fn apply(&self, p: Point) -> Point {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triangles_cover_the_square_once() {
        let points: Vec<Point> =
            (0..36).map(|i| Point::new((i % 6) as f32 + 0.1 * (i * i % 7) as f32, (i / 6) as f32)).collect();
        let triangles = orient(&points, triangulate(&points));
        let area: f32 = triangles
            .iter()
            .map(|t| {
                let [p, q, r] = t.map(|i| points[usize::from(i)]);
                0.5 * ((q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x))
            })
            .sum();
        // The hull is a little less than 5.6 x 5.
        assert!((24.0..28.1).contains(&area), "{area}");
    }

    #[test]
    fn components_find_the_axis() {
        let rows: Vec<Vec<f32>> = (0..200)
            .map(|i| {
                let s = (i as f32 * 0.7).sin();
                vec![3.0 * s + 1.0, 4.0 * s, 0.01 * (i % 3) as f32]
            })
            .collect();
        let (mean, modes) = principal_components(&rows, 1);
        assert!((mean[0] - 1.0).abs() < 0.1);
        let length = modes[0].iter().map(|v| v * v).sum::<f32>().sqrt();
        assert!((modes[0][0] / length).abs() > 0.59 && (modes[0][0] / length).abs() < 0.61);
        assert!((length - 5.0 / 2.0f32.sqrt()).abs() < 0.1, "{length}");
    }
}
