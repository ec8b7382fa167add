//! The subject pack: mean and principal components over the portraits, AU displacements from the ICT
//! head.

pub mod delaunay;
pub mod mesh;
pub mod pca;
pub mod review;
pub mod units;

use anyhow::{Result, ensure};
use glint::face::landmarks::{MEDIAPIPE_68, MIRROR_68, eye_centers};
use glint::geometry::{Point, Similarity};
use glint::synth::{MESH_LANDMARKS, PackArrays, TEXTURE_HEIGHT, TEXTURE_WIDTH};
use rayon::prelude::*;

use crate::assets::ict::Head;
use crate::assets::portraits::Portrait;
use mesh::Mesh;
use pca::principal_components;

/// Principal components of shape and of texture.
const MODES: [usize; 2] = [12, 28];
/// Eye centres in the texture.
pub const TEXTURE_EYES: [Point; 2] = [Point::new(72.0, 92.0), Point::new(136.0, 92.0)];

/// A portrait's eyes to the eyes of the texture, and its face mesh in texture pixels.
pub fn align(p: &Portrait) -> (Similarity, Vec<Point>) {
    let to_texture = Similarity::from_two_points(eye_centers(&p.landmarks()), TEXTURE_EYES);
    (to_texture, p.mesh[..MESH_LANDMARKS].iter().map(|&q| to_texture.apply(q)).collect())
}

/// Shapes of aligned faces (x, y of each landmark), each averaged with its mirror image: that takes the turn of the
/// head out of them, which is motion and no trait of a person.
fn symmetric_shapes(aligned: &[(Similarity, Vec<Point>)]) -> Result<Vec<Vec<f32>>> {
    let mean = mean_shape(aligned.iter().map(|(_, m)| m));
    let mirror = mirror_of(&mean)?;
    Ok(aligned.iter().map(|(_, m)| symmetric(m, &mirror)).collect())
}

/// The mesh that all faces share, made on the mean face.
pub struct Topology {
    /// Its vertices and triangles.
    pub mesh: Mesh,
    /// Landmarks of the mean face and the rings around it, where textures lie.
    around: Vec<Point>,
}

impl Topology {
    /// From the portraits whose mean is wanted and the ICT head.
    pub fn new(portraits: &[&Portrait], head: &Head) -> Result<Self> {
        ensure!(!portraits.is_empty(), "no portraits");
        let aligned: Vec<_> = portraits.iter().map(|p| align(p)).collect();
        let shapes = symmetric_shapes(&aligned)?;
        let mean = mean_shape(
            shapes.iter().map(|s| s.chunks_exact(2).map(|p| Point::new(p[0], p[1])).collect::<Vec<_>>()),
        );
        let (_, depth) = units::displacements(head, &mean)?;
        Ok(Self { mesh: Mesh::new(&mean, &depth)?, around: mesh::surround(&mean) })
    }

    /// One person: `points`, the landmarks in texture pixels, the portrait that shows them, and the displacement of
    /// every landmark by each unit.
    pub fn person(
        &self,
        portrait: &Portrait,
        to_texture: &Similarity,
        points: &[Point],
        units: &[Vec<f32>],
    ) -> PackArrays {
        let mesh = &self.mesh;
        let [depth, alpha, gaze] = mesh.attributes();
        let flat: Vec<f32> = points.iter().flat_map(|p| [p.x, p.y]).collect();
        PackArrays {
            shape: mesh.places(&mesh::rest(&flat)),
            source: mesh.source(),
            depth,
            alpha,
            gaze,
            shape_modes: Vec::new(),
            units: units.iter().map(|u| mesh.carry_unit(u)).collect(),
            triangles: mesh.triangles.clone(),
            texture: texture(
                portrait,
                to_texture,
                &mesh::surround(points),
                &self.around,
                &mesh.portrait_triangles,
            ),
            texture_modes: Vec::new(),
        }
    }
}

/// Computes the pack from the portraits that may train and the ICT head.
pub fn build(portraits: &[&Portrait], head: &Head) -> Result<PackArrays> {
    ensure!(portraits.len() > 2 * MODES[1], "{} portraits are too few", portraits.len());
    let aligned: Vec<(Similarity, Vec<Point>)> = portraits.iter().map(|p| align(p)).collect();
    let shapes = symmetric_shapes(&aligned)?;
    let (mean, mut modes) = principal_components(&shapes, MODES[0]);
    let landmarks: Vec<Point> = mean.chunks_exact(2).map(|p| Point::new(p[0], p[1])).collect();
    let (units, depth) = units::displacements(head, &landmarks)?;
    let mesh = Mesh::new(&landmarks, &depth)?;
    modes.iter_mut().for_each(|m| mesh::close_mouth(m, 0.0));

    let around = mesh::surround(&landmarks);
    let textures: Vec<Vec<f32>> = portraits
        .par_iter()
        .zip(&aligned)
        .map(|(p, (to_texture, points))| {
            texture(p, to_texture, &mesh::surround(points), &around, &mesh.portrait_triangles)
        })
        .collect();
    let (texture, texture_modes) = principal_components(&textures, MODES[1]);
    let [depth, alpha, gaze] = mesh.attributes();
    Ok(PackArrays {
        shape: mesh.places(&mesh::rest(&mean)),
        source: mesh.source(),
        depth,
        alpha,
        gaze,
        shape_modes: modes.iter().map(|m| mesh.carry_mode(m)).collect(),
        units: units.iter().map(|u| mesh.carry_unit(u)).collect(),
        triangles: mesh.triangles,
        texture,
        texture_modes,
    })
}

fn mean_shape(shapes: impl ExactSizeIterator<Item = impl std::borrow::Borrow<Vec<Point>>>) -> Vec<Point> {
    let weight = 1.0 / shapes.len() as f32;
    let mut mean = vec![Point::default(); MESH_LANDMARKS];
    for shape in shapes {
        for (m, p) in mean.iter_mut().zip(shape.borrow()) {
            (m.x, m.y) = (m.x + weight * p.x, m.y + weight * p.y);
        }
    }
    mean
}

/// Where a point lies when the texture is mirrored.
fn flip(p: Point) -> Point {
    Point::new(TEXTURE_EYES[0].x + TEXTURE_EYES[1].x - p.x, p.y)
}

/// The landmark that takes the place of each one in a mirrored face, found on the mean shape: the
/// closest pairs are matched first.
fn mirror_of(mean: &[Point]) -> Result<Vec<usize>> {
    // People do not look straight on average: the 68 landmarks, whose mirror images are known, say
    // where a mirrored face lies.
    let from = MEDIAPIPE_68.map(|i| flip(mean[i]));
    let to = MIRROR_68.map(|m| mean[MEDIAPIPE_68[m]]);
    let carry = units::Warp::new(&from, &to);
    let mirrored: Vec<Point> = mean.iter().map(|&p| carry.apply(flip(p))).collect();
    // The irises lie among the landmarks of the lids: each kind is matched with its own.
    let is_iris = |i: usize| i >= MESH_LANDMARKS - 10;
    let mut pairs: Vec<(f32, usize, usize)> = (0..MESH_LANDMARKS)
        .flat_map(|i| (i..MESH_LANDMARKS).map(move |j| (i, j)))
        .filter(|&(i, j)| is_iris(i) == is_iris(j))
        .map(|(i, j)| (mirrored[i].distance(mean[j]) + mirrored[j].distance(mean[i]), i, j))
        .filter(|(distance, ..)| *distance < 10.0)
        .collect();
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut mirror = vec![usize::MAX; MESH_LANDMARKS];
    for (_, i, j) in pairs {
        if mirror[i] == usize::MAX && mirror[j] == usize::MAX {
            (mirror[i], mirror[j]) = (j, i);
        }
    }
    let wrong = mirror.iter().filter(|&&m| m == usize::MAX).count();
    ensure!(wrong == 0, "{wrong} landmarks have no mirror image in the mean face");
    let known = MEDIAPIPE_68.iter().zip(&MIRROR_68).all(|(&i, &m)| mirror[i] == MEDIAPIPE_68[m]);
    ensure!(known, "the mean face is not symmetric enough to tell its landmarks' mirror images");
    Ok(mirror)
}

fn symmetric(shape: &[Point], mirror: &[usize]) -> Vec<f32> {
    (0..shape.len())
        .flat_map(|i| {
            let p = shape[i].midpoint(flip(shape[mirror[i]]));
            [p.x, p.y]
        })
        .collect()
}

/// The portrait's gray on the mean shape: `points` and `mean` hold landmarks and rings.
fn texture(
    p: &Portrait,
    to_texture: &Similarity,
    points: &[Point],
    mean: &[Point],
    triangles: &[[u16; 3]],
) -> Vec<f32> {
    let back = to_texture.inverse();
    let mut out = vec![0.0; TEXTURE_WIDTH * TEXTURE_HEIGHT];
    // Whatever lies outside the mesh is taken from the aligned photograph as it is.
    p.crop.warp(&back, &mut out, TEXTURE_WIDTH, |_| true);
    for t in triangles {
        let [a, b, c] = t.map(|i| mean[usize::from(i)]);
        let [p0, p1, p2] = t.map(|i| points[usize::from(i)]);
        let area = (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
        if area < 1e-3 {
            continue;
        }
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
