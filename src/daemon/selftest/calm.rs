//! Where a face is calm: the stretches of footage in which an observer would expect to see a small movement.

use glint::au::{UNIT_COUNT, UNITS};
use glint::face::EYE_DISTANCE;
use glint::spot::Sample;

/// The face is compared with itself so long before.
const LAG_NS: i64 = 100_000_000;
/// A face that moves by more in that time, in eye distances, is not calm.
const MOST: f32 = 0.012;
/// Nor is one whose AU 45 changes by so much: it blinks.
const BLINK: f32 = 0.8;
/// A movement in a calm stretch keeps so far from its ends.
const MARGIN_NS: i64 = 200_000_000;

/// The restless frames of a clip, or the latest of a camera.
#[derive(Default)]
pub(super) struct Calm {
    recent: Vec<Sample>,
    restless: Vec<i64>,
}

impl Calm {
    /// Takes the next frame; one that could not be measured is restless.
    pub(super) fn push(&mut self, at_ns: i64, sample: Option<&Sample>) {
        let Some(now) = sample else {
            self.recent.clear();
            self.restless.push(at_ns);
            return;
        };
        let old = self.recent.partition_point(|s| now.at_ns - s.at_ns > LAG_NS);
        self.recent.drain(..old.saturating_sub(1));
        let is_restless = self.recent.first().is_none_or(|before| {
            let blinks = (0..UNIT_COUNT)
                .filter(|&k| UNITS[k].au == 45)
                .any(|k| (now.levels[k] - before.levels[k]).abs() > BLINK);
            blinks || now.unrest_since(before) > MOST * EYE_DISTANCE
        });
        if is_restless {
            self.restless.push(at_ns);
        }
        self.recent.push(*now);
    }

    /// Forgets the frames before a time.
    pub(super) fn forget(&mut self, before_ns: i64) {
        self.restless.drain(..self.restless.partition_point(|&t| t < before_ns));
    }

    /// Whether the face is calm from before one time until after another.
    pub(super) fn is_calm(&self, from_ns: i64, to_ns: i64) -> bool {
        let next = self.restless.partition_point(|&t| t < from_ns - MARGIN_NS);
        self.restless.get(next).is_none_or(|&t| t > to_ns + MARGIN_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glint::spot::{CELLS, Context};

    fn sample(ms: i64, motion: impl Fn(usize) -> f32, lids: f32) -> Sample {
        let levels = std::array::from_fn(|k| if UNITS[k].au == 45 { lids } else { 0.0 });
        let context = Context::of_numbers([0.0; Context::COUNT]);
        Sample { at_ns: ms * 1_000_000, levels, motion: std::array::from_fn(motion), context }
    }

    #[test]
    fn a_swaying_head_is_calm_and_a_mouth_corner_or_a_blink_is_not() {
        let mut calm = Calm::default();
        for ms in (0..9000).step_by(33) {
            let mouth = if (3000..3200).contains(&ms) { 9.0 } else { 0.0 };
            let lids = if (6000..6200).contains(&ms) { 3.0 } else { 0.0 };
            // All cells go to the right: the head does.
            let motion = |k: usize| match k {
                52..55 => 1e-3 * ms as f32 + mouth,
                _ if k < CELLS => 1e-3 * ms as f32,
                _ => 0.0,
            };
            calm.push(ms * 1_000_000, Some(&sample(ms, motion, lids)));
        }
        calm.push(9_000_000_000, None);
        let is_calm = |from_ms: i64, to_ms: i64| calm.is_calm(from_ms * 1_000_000, to_ms * 1_000_000);
        assert!(is_calm(1000, 2700) && is_calm(3600, 5700) && is_calm(6600, 8700));
        assert!(!is_calm(2700, 2900) && !is_calm(3300, 3500), "the mouth moves");
        assert!(!is_calm(5900, 6100) && !is_calm(6300, 6700), "the lids close");
        assert!(!is_calm(8500, 8900), "the face is lost");
        calm.forget(5_000_000_000);
        assert!(!calm.is_calm(5_900_000_000, 6_100_000_000) && calm.is_calm(0, 4_000_000_000));
    }
}
