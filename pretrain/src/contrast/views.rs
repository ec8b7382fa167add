//! Views of a movement: what a network sees of the pair of crops.

use glint::face::{CROP_HEIGHT, CROP_WIDTH};
use glint::flow::FlowEngine;
use glint::pipeline::sample;
use glint::statistics::median;
use serde::{Deserialize, Serialize};

use crate::databases::crops::CropPair;

/// One kind of view.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// Luma at the movement's extent less luma before it.
    Appearance,
    /// Depth likewise, where both were measured.
    Depth,
    /// Optical flow and strain, as the daemon's student sees them: 3 x 28 x 28.
    Motion,
}

/// Values beyond this multiple of a channel's RMS are cut.
const CLIP: f32 = 6.0;

/// Channels, rows and columns of a view; `reduce`: crop pixels a side of each value of the image views.
pub fn shape(view: View, reduce: usize) -> [usize; 3] {
    match view {
        View::Motion => [3, glint::student::SIDE, glint::student::SIDE],
        View::Appearance | View::Depth => [1, CROP_HEIGHT / reduce, CROP_WIDTH / reduce],
    }
}

/// A view of a pair; `None` for depth where there is none. Each channel has its middle taken off and is divided by its
/// own RMS, so that how strong the movement is does not tell which two views belong together.
pub fn make(view: View, crops: &CropPair, reduce: usize, engine: &mut FlowEngine) -> Option<Vec<f32>> {
    match view {
        View::Motion => {
            let plane = |crop: &[u8]| crop.iter().map(|v| f32::from(*v)).collect::<Vec<f32>>();
            Some(sample(engine, &plane(&crops.onset), &plane(&crops.apex)))
        }
        View::Appearance => {
            let both = crops.apex.iter().zip(&crops.onset);
            let change: Vec<Option<f32>> = both.map(|(a, o)| Some(f32::from(*a) - f32::from(*o))).collect();
            Some(normalised(means(&change, reduce)))
        }
        View::Depth => {
            let [before, after] = crops.depth.as_ref()?;
            let both = before.iter().zip(after);
            let change: Vec<Option<f32>> =
                both.map(|(b, a)| (*b > 0.0 && *a > 0.0).then_some(a - b)).collect();
            Some(normalised(means(&change, reduce)))
        }
    }
}

/// Means over blocks, of what is known; 0 where nothing is. The middle of all is taken off first.
fn means(change: &[Option<f32>], reduce: usize) -> Vec<f32> {
    let middle = median(&change.iter().flatten().copied().collect::<Vec<f32>>()).unwrap_or(0.0);
    let (w, h) = (CROP_WIDTH / reduce, CROP_HEIGHT / reduce);
    (0..w * h)
        .map(|i| {
            let (x, y) = (i % w * reduce, i / w * reduce);
            let cells = (0..reduce).flat_map(|dy| (0..reduce).map(move |dx| (y + dy) * CROP_WIDTH + x + dx));
            let (sum, n) =
                cells.filter_map(|at| change[at]).fold((0.0, 0.0), |(s, n), v| (s + v - middle, n + 1.0));
            if n > 0.0 { sum / n } else { 0.0 }
        })
        .collect()
}

fn normalised(mut plane: Vec<f32>) -> Vec<f32> {
    let energy = plane.iter().map(|v| v * v).sum::<f32>() / plane.len().max(1) as f32;
    let scale = 1.0 / energy.sqrt().max(1e-6);
    plane.iter_mut().for_each(|v| *v = (*v * scale).clamp(-CLIP, CLIP));
    plane
}

/// Mirrors a view left to right, as the mirrored face would give it: sideways motion changes its sign.
pub fn mirror(view: View, [_, _, columns]: [usize; 3], values: &mut [f32]) {
    values.chunks_exact_mut(columns).for_each(<[f32]>::reverse);
    if view == View::Motion {
        let plane = values.len() / 3;
        values[..plane].iter_mut().for_each(|u| *u = -*u);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databases::crops::CROP;
    use glint::pipeline::pair_engine;

    fn crops() -> CropPair {
        let texture = |x: f32, y: f32| {
            (128.0 + 40.0 * (0.31 * x).sin() * (0.23 * y).cos() + 20.0 * (0.7 * x + 0.4 * y).sin()) as u8
        };
        let image = |dx: f32| {
            (0..CROP).map(|i| texture((i % CROP_WIDTH) as f32 - dx, (i / CROP_WIDTH) as f32)).collect()
        };
        let bump = |i: usize| 600.0 + if i % CROP_WIDTH < 40 { 3.0 } else { 0.0 };
        let after = (0..CROP).map(|i| if i < CROP_WIDTH { 0.0 } else { bump(i) }).collect();
        CropPair { onset: image(0.0), apex: image(0.8), depth: Some([vec![600.0; CROP], after]) }
    }

    #[test]
    fn views_have_their_shapes_and_scale() {
        let mut engine = pair_engine();
        for view in [View::Appearance, View::Depth, View::Motion] {
            let values = make(view, &crops(), 4, &mut engine).expect("there is depth");
            assert_eq!(values.len(), shape(view, 4).iter().product::<usize>(), "{view:?}");
            assert!(values.iter().all(|v| v.abs() <= CLIP));
        }
        let flat = CropPair { depth: None, ..crops() };
        assert_eq!(make(View::Depth, &flat, 4, &mut engine), None);
        let depth = make(View::Depth, &crops(), 4, &mut engine).expect("depth");
        // The first row was not measured afterwards, the rest of its block was; the bump is at the left.
        assert!(depth[0] > 0.5 && depth[31].abs() < 1e-3, "{} {}", depth[0], depth[31]);
    }

    #[test]
    fn a_mirrored_face_gives_mirrored_views() {
        let mut engine = pair_engine();
        let face = crops();
        let turned = |crop: &[u8]| {
            let mut out = crop.to_vec();
            out.chunks_exact_mut(CROP_WIDTH).for_each(<[u8]>::reverse);
            out
        };
        let other = CropPair { onset: turned(&face.onset), apex: turned(&face.apex), depth: None };
        for (view, least) in [(View::Appearance, 0.999), (View::Motion, 0.8)] {
            let shape = shape(view, 4);
            let mut ours = make(view, &face, 4, &mut engine).expect("view");
            mirror(view, shape, &mut ours);
            let theirs = make(view, &other, 4, &mut engine).expect("view");
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let cosine = dot(&ours, &theirs) / (dot(&ours, &ours) * dot(&theirs, &theirs)).sqrt();
            assert!(cosine > least, "{view:?}: {cosine}");
        }
    }
}
