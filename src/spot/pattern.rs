//! The course of a movement in the motion itself, apart from what the AU network reads in it.
//!
//! A muscle that contracts and relaxes moves the skin along one pattern, out and back. A gaze that jumps, a mouth that talks
//! or a head that sways goes through many patterns, or does not come back.

use super::history::CELLS;
use super::rigid;

type Vector = [f32; 2 * CELLS];

/// What the motion between onset and offset is like.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Pattern {
    /// Share of the energy from onset to offset that the pattern of the apex has, 0 to 1.
    pub share: f32,
    /// Energy that a raised cosine leaves of the pattern's course, as a share of that cosine's, at most 1.
    pub residual: f32,
    /// Size at the apex over the spread of the pattern's course at rest.
    pub signal_to_noise: f32,
    /// Motion from the rest before to the rest after, as a share of that at the apex, at most 4.
    pub step: f32,
    /// Root mean square of the motion at rest, as a share of that at the apex, at most 4: before, after.
    pub around: [f32; 2],
}

/// A frame: its time and its motion above the line between the two rests.
pub(super) struct MotionFrame {
    pub at_ns: i64,
    pub motion: Vector,
}

/// Takes the measures. `apex` is the motion at the apex above rest, `step` that from the rest before to the rest after,
/// `course` gives the phase of a raised cosine at a time, 0 to 1. Frames before and after are those near the movement at
/// which the face should be at rest.
pub(super) fn measure(
    apex: &Vector,
    step: &Vector,
    [before, during, after]: [&[MotionFrame]; 3],
    course: impl Fn(i64) -> f32,
) -> Pattern {
    let apex = rigid::without_plane(apex);
    let size = energy(&apex).sqrt().max(1e-3);
    let along = |m: &Vector| m.iter().zip(&apex).map(|(m, a)| m * a).sum::<f32>() / size;
    let (mut total, mut pattern, mut left, mut cosine) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
    for f in during {
        let motion = rigid::without_plane(&f.motion);
        let s = along(&motion);
        let model = size * course(f.at_ns);
        total += energy(&motion);
        pattern += s * s;
        left += (s - model).powi(2);
        cosine += model * model;
    }
    let rest = |frames: &[MotionFrame]| {
        let (mut n, mut along_it, mut all) = (0.0f32, 0.0f32, 0.0f32);
        for f in frames {
            let motion = rigid::without_plane(&f.motion);
            n += 1.0;
            along_it += along(&motion).powi(2);
            all += energy(&motion);
        }
        (n, along_it, (all / n.max(1.0)).sqrt())
    };
    let (b, a) = (rest(before), rest(after));
    let noise = ((b.1 + a.1) / (b.0 + a.0).max(1.0)).sqrt();
    let most = |v: f32| (v / size).min(4.0);
    Pattern {
        share: (pattern / total.max(1e-9)).min(1.0),
        residual: (left / cosine.max(1e-9)).min(1.0),
        signal_to_noise: size / noise.max(0.01),
        step: most(energy(&rigid::without_plane(step)).sqrt()),
        around: [most(b.2), most(a.2)],
    }
}

fn energy(v: &Vector) -> f32 {
    v.iter().map(|v| v * v).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::THOUSANDTH;

    fn unit(k: usize, size: f32) -> Vector {
        std::array::from_fn(|i| if i == k || i == k + 9 { size } else { 0.0 })
    }

    fn frames(n: usize, motion: impl Fn(f32) -> Vector) -> Vec<MotionFrame> {
        (0..n).map(|k| MotionFrame { at_ns: k as i64, motion: motion(k as f32 / (n - 1) as f32) }).collect()
    }

    #[test]
    fn one_pattern_out_and_back_is_told_from_many() {
        let cosine = |p: f32| 0.5 - 0.5 * (std::f32::consts::TAU * p).cos();
        let course = |at_ns: i64| cosine(at_ns as f32 / 20.0);
        let still = frames(5, |_| [0.0; 2 * CELLS]);
        let one = frames(21, |p| unit(30, cosine(p)));
        let measured = measure(&unit(30, 1.0), &[0.0; 2 * CELLS], [&still, &one, &still], course);
        assert!(
            measured.share > 0.999 && measured.residual < THOUSANDTH && measured.signal_to_noise > 50.0,
            "{measured:?}"
        );
        assert_eq!((measured.step, measured.around), (0.0, [0.0; 2]));
        // The motion wanders over the face.
        let many = frames(21, |p| unit(20 + (p * 20.0) as usize, 1.0));
        let measured = measure(&unit(30, 1.0), &unit(50, 0.5), [&one, &many, &still], course);
        assert!(measured.share < 0.3 && measured.residual > 0.4, "{measured:?}");
        assert!((measured.step - 0.5).abs() < 0.1 && measured.around[0] > 0.4, "{measured:?}");
    }
}
