//! A posed face, drawn triangle by triangle.

use super::pack::{Level, Subject, TEXTURE_WIDTH};
use crate::au::UNIT_COUNT;
use crate::flow::Flow;
use crate::geometry::Point;

/// Middle between the eyes in the texture.
pub(super) const TEXTURE_EYES: Point = Point::new(0.5 * TEXTURE_WIDTH as f32, 92.0);
/// Distance of the eyes in the texture.
pub(super) const TEXTURE_EYE_DISTANCE: f32 = 64.0;

/// How a face stands at an instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Pose {
    /// Fraction of the full shape of every unit, 0 to 1.
    pub fractions: [f32; UNIT_COUNT],
    /// Gaze to the image's right and down, each -1 to 1.
    pub gaze: [f32; 2],
    /// Yaw and pitch of the head in radians, towards the image's right and down.
    pub turn: [f32; 2],
}

impl Pose {
    /// A face at rest, from the front.
    pub const NEUTRAL: Self = Self { fractions: [0.0; UNIT_COUNT], gaze: [0.0; 2], turn: [0.0; 2] };

    /// A face from the front that looks straight ahead.
    pub fn of_fractions(fractions: &[f32; UNIT_COUNT]) -> Self {
        Self { fractions: *fractions, ..Self::NEUTRAL }
    }
}

/// Depth of the axis about which the head turns, behind the eyes, in texture pixels.
const NECK_DEPTH: f32 = 80.0;
/// Height of that axis below the eyes.
const NECK_BELOW: f32 = 60.0;
/// How far the iris travels at a gaze of 1, in texture pixels.
const GAZE_TRAVEL: f32 = 4.5;

impl Subject {
    /// Vertices in texture pixels of the face in a pose.
    pub(super) fn posed(&self, pose: &Pose, out: &mut Vec<Point>) {
        out.clear();
        out.extend_from_slice(&self.shape);
        for (unit, &f) in self.units.iter().zip(&pose.fractions).filter(|(_, f)| **f > 0.0) {
            for (v, d) in out.iter_mut().zip(unit) {
                v.x += f * d.x;
                v.y += f * d.y;
            }
        }
        if pose.gaze != [0.0; 2] {
            for (v, share) in out.iter_mut().zip(&self.gaze) {
                v.x += GAZE_TRAVEL * share * pose.gaze[0];
                v.y += GAZE_TRAVEL * share * pose.gaze[1];
            }
        }
        if pose.turn != [0.0; 2] {
            let ((sin_yaw, cos_yaw), (sin_pitch, cos_pitch)) =
                (pose.turn[0].sin_cos(), pose.turn[1].sin_cos());
            let axis = Point::new(TEXTURE_EYES.x, TEXTURE_EYES.y + NECK_BELOW);
            for (v, depth) in out.iter_mut().zip(&self.depth) {
                let (x, y, z) = (v.x - axis.x, v.y - axis.y, depth + NECK_DEPTH);
                let near = z * cos_yaw - x * sin_yaw;
                v.x = axis.x + x * cos_yaw + z * sin_yaw;
                v.y = axis.y + y * cos_pitch + near * sin_pitch;
            }
        }
    }

    /// Draws the face with its vertices at `vertices` (frame pixels) over `plane`. `scale`: frame
    /// pixels per texture pixel.
    pub(super) fn draw_textured(&self, vertices: &[Point], scale: f32, plane: &mut [f32], width: usize) {
        let height = plane.len() / width;
        let reduction = (-scale.max(1e-3).log2()).round().clamp(0.0, (self.levels.len() - 1) as f32) as usize;
        let level = &self.levels[reduction];
        // Pixel centres: the first of a reduction by 2 lies at 0.5.
        let factor = 1.0 / (1 << reduction) as f32;
        let shift = 0.5 * factor - 0.5;
        for t in &self.triangles {
            let [i, j, k] = t.map(usize::from);
            let corners = [vertices[i], vertices[j], vertices[k]];
            let [p, q, r] = [i, j, k]
                .map(|i| Point::new(factor * self.source[i].x + shift, factor * self.source[i].y + shift));
            let [f, g, h] = [self.alpha[i], self.alpha[j], self.alpha[k]];
            if f == 1.0 && g == 1.0 && h == 1.0 {
                fill(corners, width, height, |at, [a, b, c]| {
                    plane[at] = level.texel(a * p.x + b * q.x + c * r.x, a * p.y + b * q.y + c * r.y);
                });
            } else {
                fill(corners, width, height, |at, [a, b, c]| {
                    let value = level.texel(a * p.x + b * q.x + c * r.x, a * p.y + b * q.y + c * r.y);
                    plane[at] += (a * f + b * g + c * h) * (value - plane[at]);
                });
            }
        }
    }

    /// Writes the displacement from the vertices `from` to the vertices `to` into `flow`, where there
    /// is a face.
    pub(super) fn displacements(&self, from: &[Point], to: &[Point], flow: &mut Flow) {
        let (w, h) = (flow.width, flow.height);
        for t in &self.triangles {
            let t = t.map(usize::from);
            let d = t.map(|i| Point::new(to[i].x - from[i].x, to[i].y - from[i].y));
            fill(t.map(|i| from[i]), w, h, |at, [a, b, c]| {
                flow.u[at] = a * d[0].x + b * d[1].x + c * d[2].x;
                flow.v[at] = a * d[0].y + b * d[1].y + c * d[2].y;
            });
        }
    }
}

impl Level {
    /// Bilinear sample.
    fn texel(&self, x: f32, y: f32) -> f32 {
        let x = x.clamp(0.0, (self.width - 2) as f32);
        let y = y.clamp(0.0, (self.height - 2) as f32);
        let (ix, iy) = (x as usize, y as usize);
        let (fx, fy) = (x - ix as f32, y - iy as f32);
        let at = iy * self.width + ix;
        let (upper, lower) = (&self.data[at..at + 2], &self.data[at + self.width..at + self.width + 2]);
        let top = upper[0] + fx * (upper[1] - upper[0]);
        let low = lower[0] + fx * (lower[1] - lower[0]);
        top + fy * (low - top)
    }
}

/// Visits every pixel of an image whose centre lies in the triangle: its index and its barycentric coordinates. A pixel on
/// a shared edge is visited by one of the two triangles or, at worst, by both. Triangles that are
/// turned over (a lid that has closed) are not drawn.
pub fn fill(corners: [Point; 3], width: usize, height: usize, mut pixel: impl FnMut(usize, [f32; 3])) {
    let [p, q, r] = corners;
    let area = (q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x);
    if area <= 1e-4 || !area.is_finite() {
        return;
    }
    let low = |a: f32, b: f32, c: f32| a.min(b).min(c).ceil().max(0.0) as usize;
    let high = |a: f32, b: f32, c: f32, limit: usize| {
        a.max(b).max(c).floor().clamp(-1.0, limit as f32 - 1.0) as isize
    };
    let (x0, y0) = (low(p.x, q.x, r.x), low(p.y, q.y, r.y));
    let (x1, y1) = (high(p.x, q.x, r.x, width), high(p.y, q.y, r.y, height));
    let scale = 1.0 / area;
    for y in y0 as isize..=y1 {
        for x in x0 as isize..=x1 {
            let (fx, fy) = (x as f32, y as f32);
            let b = ((fx - p.x) * (r.y - p.y) - (fy - p.y) * (r.x - p.x)) * scale;
            let c = ((q.x - p.x) * (fy - p.y) - (q.y - p.y) * (fx - p.x)) * scale;
            let a = 1.0 - b - c;
            if a >= -1e-5 && b >= -1e-5 && c >= -1e-5 {
                pixel(y as usize * width + x as usize, [a, b, c]);
            }
        }
    }
}
