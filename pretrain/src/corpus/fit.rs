//! Pose and identity of the ICT head from a portrait's landmarks.
//!
//! Gauss-Newton on the 68 landmarks under weak perspective, with ridge priors: identity weights are standard normal,
//! expression weights small (many portraits smile; the smile must not become a trait).

use anyhow::{Context, Result};
use glint::face::landmarks::{LANDMARK_COUNT, MEDIAPIPE_68};
use glint::geometry::Point;

use crate::assets::ict::Head;
use crate::assets::portraits::Portrait;

/// Identity modes that are fitted: later ones are smaller than the landmarks' own error.
const IDENTITY: usize = 30;
/// Expressions that explain what is not identity, and the standard deviation of their weights.
const EXPRESSIONS: [&str; 12] = [
    "mouthSmile_L",
    "mouthSmile_R",
    "jawOpen",
    "mouthUpperUp_L",
    "mouthUpperUp_R",
    "browInnerUp_L",
    "browInnerUp_R",
    "browDown_L",
    "browDown_R",
    "eyeBlink_L",
    "eyeBlink_R",
    "mouthFunnel",
];
const EXPRESSION_SPREAD: f32 = 0.3;
/// Standard deviation of a landmark of the inner face, in eye distances; the contour slides along the cheek.
const LANDMARK_NOISE: f32 = 0.02;
const CONTOUR_NOISE: f32 = 0.12;
const ITERATIONS: usize = 8;

/// What the landmarks of a portrait say of the head.
pub struct Fit {
    /// Rotation matrix, rows: head to camera.
    pub rotation: [[f32; 3]; 3],
    /// Weights of the identity modes.
    pub identity: Vec<f32>,
    /// Root mean square of what remains at the inner landmarks, in eye distances.
    pub residual: f32,
}

impl Fit {
    /// Greatest of yaw and pitch, in radians.
    pub fn turn(&self) -> f32 {
        let [x, y] = [self.rotation[2][0], self.rotation[2][1]];
        x.asin().abs().max(y.asin().abs())
    }
}

/// Fits the head to a portrait.
pub fn fit(head: &Head, portrait: &Portrait) -> Result<Fit> {
    let identity = IDENTITY.min(head.identity_modes());
    // Everything in eye distances of the portrait, about the middle of its landmarks.
    let marks = portrait.landmarks();
    let [right, left] = glint::face::landmarks::eye_centers(&marks);
    let unit = right.distance(left);
    let middle = marks.iter().fold(Point::default(), |s, p| Point::new(s.x + p.x / 68.0, s.y + p.y / 68.0));
    let depth = MEDIAPIPE_68.map(|i| portrait.mesh_depth[i]);
    let level = depth.iter().sum::<f32>() / LANDMARK_COUNT as f32;
    // y upwards and z towards the camera, as the head has it. The third coordinate of the mesh is an estimate and
    // starts the rotation; the fit itself uses the image alone.
    let seen: [[f32; 3]; LANDMARK_COUNT] = std::array::from_fn(|i| {
        [(marks[i].x - middle.x) / unit, (middle.y - marks[i].y) / unit, (level - depth[i]) / unit]
    });
    let at = |v: [f32; 3]| [v[0] / 6.4, v[1] / 6.4, v[2] / 6.4];
    let base: Vec<[f32; 3]> = head.landmarks.iter().map(|&i| at(head.vertices[usize::from(i)])).collect();
    let mut modes: Vec<Vec<[f32; 3]>> = (0..identity)
        .map(|k| head.landmarks.iter().map(|&i| at(head.identity_mode(k, i))).collect())
        .collect();
    for name in EXPRESSIONS {
        let moves = head.expression(name)?;
        let displacement_of =
            |i: u16| moves.iter().find(|(vertex, _)| *vertex == i).map_or([0.0; 3], |(_, d)| *d);
        modes.push(head.landmarks.iter().map(|&i| at(displacement_of(i))).collect());
    }
    let center = mean(&base);
    let base: Vec<[f32; 3]> = base.iter().map(|v| [0, 1, 2].map(|k| v[k] - center[k])).collect();

    let mut rotation = starting_rotation(&base, &seen);
    let (mut scale, mut shift) = (1.0f32, [0.0f32; 2]);
    let mut weights = vec![0.0f32; modes.len()];
    let n = 6 + modes.len();
    let mut residual = 0.0;
    for _ in 0..ITERATIONS {
        let mut matrix = vec![0.0f64; n * n];
        let mut vector = vec![0.0f64; n];
        let mut sum = 0.0;
        for i in 0..LANDMARK_COUNT {
            let shaped = [0, 1, 2]
                .map(|k| base[i][k] + modes.iter().zip(&weights).map(|(m, w)| w * m[i][k]).sum::<f32>());
            let v = apply(&rotation, &shaped);
            let deviation = if i < 17 { CONTOUR_NOISE } else { LANDMARK_NOISE };
            for axis in 0..2 {
                let error = seen[i][axis] - (scale * v[axis] + shift[axis]);
                // d/d(rotation): a small turn w moves v by w x v.
                let cross = if axis == 0 { [0.0, v[2], -v[1]] } else { [-v[2], 0.0, v[0]] };
                let mut row = Vec::with_capacity(n);
                row.push(v[axis]);
                row.extend(cross.map(|c| scale * c));
                row.extend(if axis == 0 { [1.0, 0.0] } else { [0.0, 1.0] });
                row.extend(modes.iter().map(|m| scale * apply(&rotation, &m[i])[axis]));
                let weight = f64::from(deviation).powi(-2);
                for a in 0..n {
                    vector[a] += weight * f64::from(row[a] * error);
                    for b in 0..=a {
                        matrix[a * n + b] += weight * f64::from(row[a] * row[b]);
                    }
                }
                if i >= 17 {
                    sum += error * error;
                }
            }
        }
        for (k, w) in weights.iter().enumerate() {
            let spread = if k < identity { 1.0 } else { EXPRESSION_SPREAD };
            let precision = f64::from(spread).powi(-2);
            matrix[(6 + k) * n + 6 + k] += precision;
            vector[6 + k] -= precision * f64::from(*w);
        }
        let step = solve_positive(&mut matrix, vector).context("landmarks do not determine a head")?;
        scale += step[0] as f32;
        rotation = product(&small_turn([step[1] as f32, step[2] as f32, step[3] as f32]), &rotation);
        shift[0] += step[4] as f32;
        shift[1] += step[5] as f32;
        weights.iter_mut().zip(&step[6..]).for_each(|(w, s)| *w += *s as f32);
        residual = (sum / (LANDMARK_COUNT - 17) as f32).sqrt();
    }
    weights.truncate(identity);
    Ok(Fit { rotation, identity: weights, residual })
}

fn mean(points: &[[f32; 3]]) -> [f32; 3] {
    let n = points.len() as f32;
    points.iter().fold([0.0; 3], |s, p| [s[0] + p[0] / n, s[1] + p[1] / n, s[2] + p[2] / n])
}

fn apply(m: &[[f32; 3]; 3], v: &[f32; 3]) -> [f32; 3] {
    m.map(|r| r[0] * v[0] + r[1] * v[1] + r[2] * v[2])
}

fn product(a: &[[f32; 3]; 3], b: &[[f32; 3]; 3]) -> [[f32; 3]; 3] {
    a.map(|r| [0, 1, 2].map(|k| r[0] * b[0][k] + r[1] * b[1][k] + r[2] * b[2][k]))
}

/// The rotation by a vector (axis times angle), Rodrigues' formula.
fn small_turn(w: [f32; 3]) -> [[f32; 3]; 3] {
    let angle = (w[0] * w[0] + w[1] * w[1] + w[2] * w[2]).sqrt();
    if angle < 1e-9 {
        return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    }
    let [x, y, z] = w.map(|c| c / angle);
    let (s, c) = angle.sin_cos();
    let t = 1.0 - c;
    [
        [t * x * x + c, t * x * y - s * z, t * x * z + s * y],
        [t * x * y + s * z, t * y * y + c, t * y * z - s * x],
        [t * x * z - s * y, t * y * z + s * x, t * z * z + c],
    ]
}

/// Rotation from the head's landmarks to the seen ones in three dimensions, by repeated small turns.
fn starting_rotation(base: &[[f32; 3]], seen: &[[f32; 3]; LANDMARK_COUNT]) -> [[f32; 3]; 3] {
    let mut rotation = small_turn([0.0; 3]);
    for _ in 0..20 {
        // Torque of the differences, over the moment of inertia about any axis.
        let (mut torque, mut inertia) = ([0.0f32; 3], 1e-6);
        for (b, s) in base.iter().zip(seen) {
            let v = apply(&rotation, b);
            torque[0] += v[1] * s[2] - v[2] * s[1];
            torque[1] += v[2] * s[0] - v[0] * s[2];
            torque[2] += v[0] * s[1] - v[1] * s[0];
            inertia += v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
        }
        rotation = product(&small_turn(torque.map(|t| 1.2 * t / inertia)), &rotation);
    }
    rotation
}

/// Solves a symmetric positive definite system (lower triangle given, overwritten) by Cholesky decomposition; `None`
/// where it is not positive definite.
fn solve_positive(matrix: &mut [f64], mut vector: Vec<f64>) -> Option<Vec<f64>> {
    let n = vector.len();
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| matrix[i * n + k] * matrix[j * n + k]).sum();
            let rest = matrix[i * n + j] - sum;
            matrix[i * n + j] = if i == j {
                if rest <= 1e-12 {
                    return None;
                }
                rest.sqrt()
            } else {
                rest / matrix[j * n + j]
            };
        }
        let sum: f64 = (0..i).map(|k| matrix[i * n + k] * vector[k]).sum();
        vector[i] = (vector[i] - sum) / matrix[i * n + i];
    }
    for i in (0..n).rev() {
        let sum: f64 = (i + 1..n).map(|k| matrix[k * n + i] * vector[k]).sum();
        vector[i] = (vector[i] - sum) / matrix[i * n + i];
    }
    Some(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_turn_is_found() {
        let base: Vec<[f32; 3]> = (0..LANDMARK_COUNT)
            .map(|i| {
                let t = i as f32;
                [(0.7 * t).sin(), (1.3 * t).cos(), 0.5 * (2.1 * t).sin()]
            })
            .collect();
        let truth = small_turn([0.2, -0.3, 0.1]);
        let seen: [[f32; 3]; LANDMARK_COUNT] = std::array::from_fn(|i| apply(&truth, &base[i]));
        let rotation = starting_rotation(&base, &seen);
        for (f, t) in rotation.iter().flatten().zip(truth.iter().flatten()) {
            assert!((f - t).abs() < 0.01, "{rotation:?} {truth:?}");
        }
    }

    #[test]
    fn a_system_is_solved() {
        // [[4, 2], [2, 3]] x = [2, 5] has x = [-0.5, 2].
        let x = solve_positive(&mut [4.0, 0.0, 2.0, 3.0], vec![2.0, 5.0]).expect("positive definite");
        assert!((x[0] + 0.5).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12, "{x:?}");
        assert!(solve_positive(&mut [1.0, 0.0, 2.0, 1.0], vec![0.0, 0.0]).is_none());
    }
}
