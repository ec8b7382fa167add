//! How blurred a face is: the measure of Crete et al. (2007), "The blur effect", at the scale of glint's own crop.
//!
//! The picture is blurred once more. What was sharp changes much from pixel to pixel, and much less after that; what was blurred
//! already hardly changes.

use glint::frame::Frame;
use glint::geometry::Rect;

/// Side of the face after it is resampled, in pixels: the face at the scale at which glint measures it.
const SIDE: usize = 128;
/// Width of the second blur.
const WIDTH: usize = 9;
/// From this measure on a face is out of focus ([`blur`]).
pub(crate) const BLURRED: f32 = 0.65;

/// 0 (sharp) to 1 (blurred); `None` where the face is smaller than what is measured, or has no contrast.
pub(crate) fn blur(frame: &Frame, face: Rect) -> Option<f32> {
    if face.w < SIDE as f32 || face.h < SIDE as f32 {
        return None;
    }
    let picture = resample(frame, face)?;
    let turned: Vec<f32> = (0..SIDE * SIDE).map(|i| picture[i % SIDE * SIDE + i / SIDE]).collect();
    let (rows, columns) = (along_rows(&picture)?, along_rows(&turned)?);
    Some(rows.max(columns))
}

/// The face by means of areas.
fn resample(frame: &Frame, face: Rect) -> Option<Vec<f32>> {
    let mut out = Vec::with_capacity(SIDE * SIDE);
    let edge = |start: f32, length: f32, i: usize, limit: usize| {
        (start + length * i as f32 / SIDE as f32).round().clamp(0.0, limit as f32) as usize
    };
    for row in 0..SIDE {
        let (y0, y1) = (edge(face.y, face.h, row, frame.height), edge(face.y, face.h, row + 1, frame.height));
        for column in 0..SIDE {
            let (x0, x1) =
                (edge(face.x, face.w, column, frame.width), edge(face.x, face.w, column + 1, frame.width));
            let (mut sum, mut count) = (0u32, 0u32);
            for y in y0..y1 {
                for x in x0..x1 {
                    sum += u32::from(*frame.luma.get(y * frame.width + x)?);
                    count += 1;
                }
            }
            // A face that reaches over the border is measured as far as it is seen.
            out.push(if count == 0 { out.last().copied().unwrap_or(0.0) } else { sum as f32 / count as f32 });
        }
    }
    Some(out)
}

/// The measure along the rows.
fn along_rows(picture: &[f32]) -> Option<f32> {
    let (mut steps, mut lost) = (0.0f64, 0.0f64);
    for row in picture.chunks_exact(SIDE) {
        let blurred: Vec<f32> = row.windows(WIDTH).map(|w| w.iter().sum::<f32>() / WIDTH as f32).collect();
        // Window i of the blurred row is centred on pixel i + half a width.
        for i in 1..blurred.len() {
            let at = i + WIDTH / 2;
            let step = f64::from((row[at] - row[at - 1]).abs());
            let after = f64::from((blurred[i] - blurred[i - 1]).abs());
            steps += step;
            lost += (step - after).max(0.0);
        }
    }
    (steps > 0.0).then(|| ((steps - lost) / steps) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use glint::synth::{Camera, Pack, Scene, Script, Subject};

    /// A box blur of a frame.
    fn soften(frame: &Frame, radius: usize) -> Frame {
        let mean = |x: usize, y: usize| {
            let (x0, x1) = (x.saturating_sub(radius), (x + radius + 1).min(frame.width));
            let (y0, y1) = (y.saturating_sub(radius), (y + radius + 1).min(frame.height));
            let sum: u32 = (y0..y1)
                .flat_map(|y| (x0..x1).map(move |x| (x, y)))
                .map(|(x, y)| u32::from(frame.luma[y * frame.width + x]))
                .sum();
            (sum / ((x1 - x0) * (y1 - y0)) as u32) as u8
        };
        let luma = (0..frame.luma.len()).map(|i| mean(i % frame.width, i / frame.width)).collect();
        Frame { luma, ..frame.clone() }
    }

    #[test]
    fn a_face_out_of_focus_is_told_from_a_sharp_one() {
        let subject = Subject::random(Pack::embedded().expect("a pack"), 1);
        let script = Script::new(Vec::new()).expect("a script");
        let frame = Scene::new(subject, script, Camera::default()).frame(0, 60.0);
        let face = Rect { x: 190.0, y: 90.0, w: 260.0, h: 300.0 };
        let sharp = blur(&frame, face).expect("measured");
        let soft = blur(&soften(&frame, 8), face).expect("measured");
        assert!(soft > sharp + 0.1, "sharp {sharp}, soft {soft}");
        let blank = Frame { luma: vec![100; frame.luma.len()], ..frame.clone() };
        assert_eq!(blur(&blank, face), None);
        assert_eq!(blur(&frame, Rect { x: 0.0, y: 0.0, w: 64.0, h: 64.0 }), None);
    }
}
