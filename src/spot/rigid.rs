//! How much of a motion of the face is that of a rigid head or of a flat picture.
//!
//! Each model is linear in its parameters at small motions, so its best fit is a projection; an orthonormal basis of each is
//! made once.

use std::sync::LazyLock;

use super::history::{CELLS, Sample};
use crate::face::{CROP_HEIGHT, CROP_WIDTH};
use crate::intensity::{COLUMNS, ROWS};
use crate::statistics::median;

/// Models from the stiffest to the most pliable one.
const MODELS: usize = 4;

/// Share of the energy of a motion that each model explains, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Explained {
    /// A picture that shifts, rolls and comes nearer: 4 parameters.
    pub similarity: f32,
    /// A picture that is sheared and stretched as well: 6.
    pub affine: f32,
    /// A plane seen in perspective: 8.
    pub plane: f32,
    /// A mean head that shifts, rolls, comes nearer, turns and nods: 6.
    pub head: f32,
    /// Root mean square of what the plane leaves, in crop pixels.
    pub left: f32,
}

type Vector = [f32; 2 * CELLS];

static BASES: LazyLock<[Vec<Vector>; MODELS]> = LazyLock::new(|| {
    let field = |f: &dyn Fn(f32, f32) -> (f32, f32)| -> Vector {
        let mut out = [0.0; 2 * CELLS];
        for cell in 0..CELLS {
            let (x, y) = place(cell);
            (out[cell], out[CELLS + cell]) = f(x, y);
        }
        out
    };
    let stiff: Vec<Vector> = vec![
        field(&|_, _| (1.0, 0.0)),
        field(&|_, _| (0.0, 1.0)),
        field(&|x, y| (x, y)),
        field(&|x, y| (-y, x)),
    ];
    let shear = [field(&|x, y| (y, x)), field(&|x, y| (x, -y))];
    let tilt = [field(&|x, y| (x * x, x * y)), field(&|x, y| (x * y, y * y))];
    let turn = [field(&|x, y| (depth(x, y), 0.0)), field(&|x, y| (0.0, depth(x, y)))];
    let with = |more: &[&[Vector]]| orthonormal(stiff.iter().chain(more.iter().copied().flatten()));
    [with(&[]), with(&[&shear]), with(&[&shear, &tilt]), with(&[&turn])]
});

/// Middle of a cell, in half widths of the crop from its middle.
fn place(cell: usize) -> (f32, f32) {
    let (width, height) = ((CROP_WIDTH / COLUMNS) as f32, (CROP_HEIGHT / ROWS) as f32);
    let half = 0.5 * CROP_WIDTH as f32;
    let (column, row) = ((cell % COLUMNS) as f32 + 0.5, (cell / COLUMNS) as f32 + 0.5);
    ((column * width - half) / half, (row * height - 0.5 * CROP_HEIGHT as f32) / half)
}

/// Depth of a mean head in half widths of the crop: an ellipsoid with a nose.
fn depth(x: f32, y: f32) -> f32 {
    let skull = (1.0 - (x / 1.3) * (x / 1.3) - (y / 1.7) * (y / 1.7)).max(0.05).sqrt();
    let nose = 0.35 * (-(x / 0.18).powi(2) - ((y + 0.02) / 0.28).powi(2)).exp();
    skull + nose
}

fn dot(a: &Vector, b: &Vector) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Gram and Schmidt, twice for the rounding.
fn orthonormal<'a>(fields: impl Iterator<Item = &'a Vector>) -> Vec<Vector> {
    let mut basis: Vec<Vector> = Vec::new();
    for field in fields {
        let mut v = *field;
        for _ in 0..2 {
            for b in &basis {
                let share = dot(&v, b);
                v.iter_mut().zip(b).for_each(|(v, b)| *v -= share * b);
            }
        }
        let length = dot(&v, &v).sqrt();
        basis.push(v.map(|v| v / length.max(1e-9)));
    }
    basis
}

/// What each model explains of a motion, u and then v of every cell, and the motion that the plane leaves.
pub(super) fn explain(motion: &Vector) -> (Explained, Vector) {
    let energy = dot(motion, motion).max(1e-9);
    let [similarity, affine, plane, head] = BASES
        .each_ref()
        .map(|basis| basis.iter().map(|b| dot(motion, b).powi(2)).sum::<f32>() / energy)
        .map(|share| share.min(1.0));
    let residual = without_plane(motion);
    let left = (dot(&residual, &residual) / CELLS as f32).sqrt();
    (Explained { similarity, affine, plane, head, left }, residual)
}

/// Shares of a motion that a plane in perspective and a turning mean head explain, from which on it is no expression: 1 in 200
/// micro-expressions of world A is as rigid.
const RIGID: (f32, f32) = (0.87, 0.78);

/// Whether a motion of which a plane and a turning mean head explain these shares is that of a head or a picture.
pub(super) fn is_rigid(plane: f32, head: f32) -> bool {
    plane >= RIGID.0 || head >= RIGID.1
}

/// Whether a motion is that of a head or a picture.
pub(crate) fn is_of_head(motion: &Vector) -> bool {
    let energy = dot(motion, motion).max(1e-9);
    let [plane, head] = [2, 3].map(|k| BASES[k].iter().map(|b| dot(motion, b).powi(2)).sum::<f32>() / energy);
    is_rigid(plane, head)
}

/// Rounds in which [`inner_plane`] finds out which cells lie in the plane.
const ROUNDS: usize = 8;
/// Share of the cells that are asked: those that lie in the plane best.
const INNER: f32 = 0.7;

/// Cells that move by less than this in the mean stand still, in crop pixels.
const STILL_PX: f32 = 0.05;

/// Share of the motion that a plane in perspective explains in the cells where it fits best, 0 to 1: a picture that tilts
/// before another background, a head whose hair stays behind. Cells count the less the further they are from the plane
/// (iteratively reweighted least squares, Cauchy weights about the median).
pub(super) fn inner_plane(motion: &Vector) -> f32 {
    let basis = &BASES[2];
    let energies =
        |v: &Vector| -> Vec<f32> { (0..CELLS).map(|c| v[c].powi(2) + v[CELLS + c].powi(2)).collect() };
    let mut weights = [1.0f32; CELLS];
    let mut residual_energies = energies(motion);
    for _ in 0..ROUNDS {
        let Some(fit) = weighted_fit(basis, motion, &weights) else { return 0.0 };
        let mut residual = *motion;
        for (b, share) in basis.iter().zip(fit) {
            residual.iter_mut().zip(b).for_each(|(r, b)| *r -= share * b);
        }
        residual_energies = energies(&residual);
        let scale = median(&residual_energies).unwrap_or(0.0) + 1e-6;
        weights.iter_mut().zip(&residual_energies).for_each(|(w, e)| *w = 1.0 / (1.0 + e / scale));
    }
    let least = |mut energies: Vec<f32>| {
        energies.sort_unstable_by(f32::total_cmp);
        energies[..(INNER * CELLS as f32) as usize].iter().sum::<f32>()
    };
    let all = least(energies(motion));
    // Noise of cells that stand still is no motion of a plane.
    if all < INNER * CELLS as f32 * STILL_PX * STILL_PX {
        0.0
    } else {
        (1.0 - least(residual_energies) / all).max(0.0)
    }
}

/// Number of parameters of a plane in perspective.
const PLANE: usize = 8;

/// Shares of the basis that fit a motion best where each cell counts by its weight: normal equations, solved by Cholesky's
/// factors. `None` where they are singular.
fn weighted_fit(basis: &[Vector], motion: &Vector, weights: &[f32; CELLS]) -> Option<[f32; PLANE]> {
    let weighted = |a: &Vector, b: &Vector| {
        (0..CELLS).map(|c| weights[c] * (a[c] * b[c] + a[CELLS + c] * b[CELLS + c])).sum::<f32>()
    };
    let mut lower = [[0.0f32; PLANE]; PLANE];
    let mut out = [0.0f32; PLANE];
    for i in 0..PLANE {
        for j in 0..=i {
            let known: f32 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
            let left = weighted(&basis[i], &basis[j]) - known;
            lower[i][j] = if i == j { left.max(0.0).sqrt() } else { left / lower[j][j] };
        }
        if lower[i][i] < 1e-4 {
            return None;
        }
        let known: f32 = (0..i).map(|k| lower[i][k] * out[k]).sum();
        out[i] = (weighted(&basis[i], motion) - known) / lower[i][i];
    }
    for i in (0..PLANE).rev() {
        let known: f32 = (i + 1..PLANE).map(|k| lower[k][i] * out[k]).sum();
        out[i] = (out[i] - known) / lower[i][i];
    }
    Some(out)
}

/// The motion that a plane seen in perspective leaves.
pub(super) fn without_plane(motion: &Vector) -> Vector {
    let mut residual = *motion;
    for b in &BASES[2] {
        let share = dot(motion, b);
        residual.iter_mut().zip(b).for_each(|(r, b)| *r -= share * b);
    }
    residual
}

impl Sample {
    /// How much the face itself moved since another frame, in crop pixels: the root mean square over the cells of the motion
    /// that no plane in perspective explains. A head that sways or turns a little hardly counts.
    pub fn unrest_since(&self, earlier: &Self) -> f32 {
        let moved = std::array::from_fn(|k| self.motion[k] - earlier.motion[k]);
        let residual: f32 = without_plane(&moved).iter().map(|v| v * v).sum();
        (residual / CELLS as f32).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::THOUSANDTH;

    fn motion(f: impl Fn(f32, f32) -> (f32, f32)) -> Vector {
        let mut out = [0.0; 2 * CELLS];
        for cell in 0..CELLS {
            let (x, y) = place(cell);
            (out[cell], out[CELLS + cell]) = f(x, y);
        }
        out
    }

    #[test]
    fn each_model_explains_its_own_motion() {
        let (e, _) = explain(&motion(|x, y| (0.3 + 0.1 * x - 0.2 * y, 0.1 + 0.2 * x + 0.1 * y)));
        assert!(e.similarity > 0.999 && e.head > 0.999 && e.left < THOUSANDTH, "{e:?}");
        let (e, _) = explain(&motion(|x, y| (0.2 * y, 0.4 * x - 0.1)));
        assert!(e.affine > 0.999 && e.similarity < 0.99, "{e:?}");
        let (e, _) = explain(&motion(|x, y| (x * x + 0.3, x * y)));
        assert!(e.plane > 0.999 && e.affine < 0.99, "{e:?}");
        let (e, _) = explain(&motion(|x, y| (depth(x, y), 0.0)));
        assert!(e.head > 0.999 && e.similarity < 0.999, "{e:?}");
    }

    #[test]
    fn a_mouth_corner_is_not_rigid() {
        let (e, left) = explain(&motion(|x, y| {
            let near = (-((x - 0.4) / 0.2).powi(2) - ((y - 0.5) / 0.2).powi(2)).exp();
            (0.5 * near, -near)
        }));
        assert!(e.plane < 0.5 && e.head < 0.5 && e.left > 0.02, "{e:?}");
        assert!(left.iter().map(|v| v.abs()).fold(0.0, f32::max) > 0.3);
        let (e, _) = explain(&[0.0; 2 * CELLS]);
        assert_eq!((e.similarity, e.left), (0.0, 0.0));
    }

    #[test]
    fn a_picture_that_tilts_before_a_wall_is_a_plane_where_it_is_seen() {
        // Its lowest row shows the wall instead, and a corner something else.
        let mut tilted = motion(|x, y| (0.8 * x * y, 0.8 * y * y + 0.1 * y));
        for column in 0..COLUMNS {
            let cell = CELLS - COLUMNS + column;
            (tilted[cell], tilted[CELLS + cell]) = (if column < 3 { -2.5 } else { 0.0 }, 0.0);
        }
        let (e, _) = explain(&tilted);
        assert!(e.plane < 0.87, "{e:?}");
        assert!(inner_plane(&tilted) > 0.99, "{}", inner_plane(&tilted));
        // A smile on a head that stands still.
        let smile = motion(|x, y| {
            let near = |x0: f32| (-((x - x0) / 0.25).powi(2) - ((y - 0.5) / 0.3).powi(2)).exp();
            (0.6 * (near(0.4) - near(-0.4)), -0.8 * (near(0.4) + near(-0.4)))
        });
        assert!(inner_plane(&smile) < 0.9, "{}", inner_plane(&smile));
        assert_eq!(inner_plane(&[0.0; 2 * CELLS]), 0.0);
    }
}
