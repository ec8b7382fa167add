//! How much a camera's noise shakes the pixels of a face: the estimate of Immerkaer (1996), "Fast noise variance estimation".
//!
//! The difference of two Laplacians cancels surfaces and straight edges. What is left of a face is noise.

use glint::frame::Frame;
use glint::geometry::Rect;

/// From this deviation on, in gray levels, a face is noisier than those that the networks have learnt from.
pub(crate) const NOISY: f32 = 8.0;
/// A face under this side has too few pixels.
const MIN_SIDE: usize = 16;

/// Standard deviation of the noise on a face, in gray levels; `None` where the face is too small.
pub(crate) fn noise(frame: &Frame, face: Rect) -> Option<f32> {
    let clamp = |v: f32, limit: usize| v.clamp(0.0, limit as f32) as usize;
    let (x0, x1) = (clamp(face.x, frame.width), clamp(face.x + face.w, frame.width));
    let (y0, y1) = (clamp(face.y, frame.height), clamp(face.y + face.h, frame.height));
    if x1 < x0 + MIN_SIDE || y1 < y0 + MIN_SIDE || frame.luma.len() < frame.width * frame.height {
        return None;
    }
    let row = |y: usize| &frame.luma[y * frame.width + x0..y * frame.width + x1];
    let mut sum = 0u64;
    for y in y0 + 1..y1 - 1 {
        let (above, here, below) = (row(y - 1), row(y), row(y + 1));
        for x in 1..here.len() - 1 {
            // 1 -2 1, along the rows; -2 4 -2 in the middle.
            let side = |r: &[u8]| i32::from(r[x - 1]) - 2 * i32::from(r[x]) + i32::from(r[x + 1]);
            sum += u64::from((side(above) - 2 * side(here) + side(below)).unsigned_abs());
        }
    }
    let count = ((y1 - y0 - 2) * (x1 - x0 - 2)) as f64;
    Some(((std::f64::consts::PI / 2.0).sqrt() / (6.0 * count) * sum as f64) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use glint::synth::{Camera, Pack, Scene, Script, Subject};

    /// The synthetic subject through a camera whose noise has this deviation.
    fn film(read_noise: f32) -> Frame {
        let subject = Subject::random(Pack::embedded().expect("a pack"), 1);
        let camera = Camera { read_noise, shot_noise: 0.0, ..Camera::default() };
        Scene::new(subject, Script::new(Vec::new()).expect("a script"), camera).frame(0, 60.0)
    }

    #[test]
    fn the_noise_of_a_face_is_measured() {
        let face = Rect { x: 190.0, y: 90.0, w: 260.0, h: 300.0 };
        let clean = noise(&film(0.0), face).expect("measured");
        assert!(clean < 1.0, "{clean}");
        for deviation in [2.0, 4.0, 8.0] {
            let measured = noise(&film(deviation), face).expect("measured");
            assert!((measured / deviation - 1.0).abs() < 0.15, "{measured} of {deviation}");
        }
        assert_eq!(noise(&film(0.0), Rect { x: 0.0, y: 0.0, w: 10.0, h: 10.0 }), None);
    }
}
