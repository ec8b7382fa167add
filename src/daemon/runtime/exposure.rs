//! How the light lies on a face: contrast and saturation.

use glint::frame::Frame;
use glint::geometry::Rect;

/// A face with a standard deviation of its luma under this shows no detail.
pub(crate) const LOW_CONTRAST: f32 = 12.0;
/// From this share of saturated pixels on a face is overexposed.
pub(crate) const OVEREXPOSED: f32 = 0.2;
/// Luma from which a pixel is saturated.
const SATURATED: u8 = 250;

/// Standard deviation of the luma of a face, and the share of its pixels that are saturated.
pub(crate) fn spread(frame: &Frame, face: Rect) -> (f32, f32) {
    let clamp = |v: f32, limit: usize| v.clamp(0.0, limit as f32) as usize;
    let (x0, x1) = (clamp(face.x, frame.width), clamp(face.x + face.w, frame.width));
    let (y0, y1) = (clamp(face.y, frame.height), clamp(face.y + face.h, frame.height));
    let (mut n, mut sum, mut squares, mut full) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
    for row in frame.luma.chunks_exact(frame.width.max(1)).take(y1).skip(y0).step_by(2) {
        for v in row[x0..x1.max(x0)].iter().step_by(2) {
            let value = f64::from(*v);
            (n, sum, squares) = (n + 1.0, sum + value, squares + value * value);
            full += f64::from(u8::from(*v >= SATURATED));
        }
    }
    let n = n.max(1.0);
    let mean = sum / n;
    ((squares / n - mean * mean).max(0.0).sqrt() as f32, (full / n) as f32)
}
