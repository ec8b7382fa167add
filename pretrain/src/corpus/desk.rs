//! A person at a desk: the world in which the first networks learned. [`super::living`] is the one that came later.

use glint::synth::{Camera, Gaze, HeadMotion, Lighting, Script};
use rand::Rng;
use rand::rngs::SmallRng;

use super::sequence::glasses;

/// Share of people with glasses.
const GLASSES: f64 = 0.2;

/// A camera on a desk, in good to middling light.
pub fn camera(rng: &mut SmallRng) -> Camera {
    Camera {
        eye_distance_px: rng.random_range(64.0..110.0),
        read_noise: rng.random_range(0.5..1.5),
        shot_noise: rng.random_range(0.004..0.015),
        exposure: rng.random_range(0.7..1.1),
        jpeg_quality: rng.random_bool(0.2).then(|| rng.random_range(80..96)),
        seed: rng.random(),
        ..Camera::default()
    }
}

/// Sway, gaze and lamps of a whole sequence; `varied` faces sway more or less, and half of them look about.
pub fn ambience(rng: &mut SmallRng, varied: bool) -> Script {
    let restless = if varied { rng.random_range(0.5..2.0) } else { 1.0 };
    let lively = varied && rng.random_bool(0.5);
    Script {
        head: HeadMotion {
            speed: rng.random_range(0.6..1.4),
            seed: rng.random(),
            ..HeadMotion::SWAY.scaled(restless)
        },
        lighting: if lively && rng.random_bool(0.4) {
            Lighting {
                drift: rng.random_range(0.0..0.1),
                flicker: rng.random_range(0.0..0.02),
                mains_hz: 50.0,
            }
        } else {
            Lighting::default()
        },
        gaze: if lively {
            Gaze {
                extent: rng.random_range(0.2..0.8),
                rate_hz: rng.random_range(0.3..1.2),
                seed: rng.random(),
            }
        } else {
            Gaze::STILL
        },
        glasses: rng.random_bool(GLASSES).then(|| glasses(rng)),
        ..Script::default()
    }
}
