//! AU intensities of unseen people against the truth.

use anyhow::Result;
use glint::au::{AU_COUNT, au_index, intensity_of_fraction};
use glint::frame::Frame;
use glint::pipeline::Models;
use glint::synth::{Action, HeadMotion, Profile, Scene, Script};
use rand::Rng;

use super::watch;
use crate::augment::generator;
use crate::corpus::desk;
use crate::corpus::plan::{Cast, random_pose};
use crate::statistics::agreement::RaterSums;

/// Frame rate: an intensity is a matter of one frame.
const FPS: f64 = 30.0;
/// Poses a person takes, one after the other.
const POSES: usize = 10;
/// A pose: so long up, held and down, and at rest until the next one, in ms.
const RISE_MS: i64 = 200;
const HOLD_MS: i64 = 200;
const REST_MS: i64 = 500;
const FIRST_MS: i64 = 1500;

/// One AU of one pose, on the scale 0 to 5.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Index in `glint::au::AUS`.
    pub au: usize,
    /// What the face did: the larger side.
    pub truth: f32,
    /// What was measured: the larger side.
    pub measured: f32,
}

/// What was measured of one person.
pub struct Poses {
    /// Every AU of every pose that was measured.
    pub readings: Vec<Reading>,
    /// Poses that could not be measured.
    pub lost: usize,
}

/// Person `index` takes poses of one to three AUs, each uniform over 0 to 100 %; every AU is read in the
/// middle of each pose.
pub fn poses(cast: &Cast, models: &Models, seed: u64, index: u64) -> Result<Poses> {
    let mut rng = generator(seed.wrapping_mul(31) + 5, index);
    let camera = desk::camera(&mut rng);
    let mut script = Script::new(Vec::new())?;
    script.head = HeadMotion { seed: rng.random(), ..HeadMotion::SWAY };
    let (mut truths, mut at_ms) = (Vec::new(), FIRST_MS);
    for _ in 0..POSES {
        let mut truth = [0.0f32; AU_COUNT];
        for (au, side, fraction) in random_pose(&mut rng) {
            let ns = |ms: i64| (at_ms + ms) * 1_000_000;
            script.actions.push(Action {
                au,
                side,
                intensity: fraction,
                onset_ns: ns(0),
                apex_ns: ns(RISE_MS),
                // The profile holds for half of the time after the apex.
                offset_ns: ns(RISE_MS + 2 * HOLD_MS),
                profile: Profile::Hold,
            });
            if let Some(k) = au_index(au) {
                truth[k] = intensity_of_fraction(fraction);
            }
        }
        truths.push(((at_ms + RISE_MS + HOLD_MS / 2) * 1_000_000, truth));
        at_ms += RISE_MS + 2 * HOLD_MS + REST_MS;
    }
    let mut pipeline = watch::pipeline(models)?;
    let mut scene = Scene::new(cast.person(index), script, camera);
    let mut frame = Frame::default();
    let mut out = Poses { readings: Vec::new(), lost: 0 };
    let mut waiting = truths.iter().peekable();
    for seq in 0.. {
        let Some((at_ns, truth)) = waiting.peek() else { break };
        scene.render(seq, (seq as f64 * 1e9 / FPS) as i64, &mut frame);
        pipeline.push(&frame);
        if frame.at_ns < *at_ns {
            continue;
        }
        match pipeline.observation().intensities {
            Some(measured) => out.readings.extend(
                truth.iter().zip(measured).enumerate().map(|(au, (&truth, measured))| Reading {
                    au,
                    truth,
                    measured,
                }),
            ),
            None => out.lost += 1,
        }
        waiting.next();
    }
    Ok(out)
}

/// Agreement of readings with their truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Mean absolute error where the AU moved.
    pub active: f64,
    /// Mean absolute error where it did not.
    pub idle: f64,
    /// ICC(3,1) over all readings (Shrout and Fleiss 1979: two fixed raters, consistency).
    pub icc: f64,
    /// Mean of measured over true intensity where the AU moved: 1 is unbiased.
    pub gain: f64,
}

/// Agreement of the readings that `pick` chooses.
pub fn agreement(readings: &[Reading], pick: impl Fn(&Reading) -> bool) -> Agreement {
    let chosen: Vec<&Reading> = readings.iter().filter(|r| pick(r)).collect();
    let mut pairs = RaterSums::default();
    chosen.iter().for_each(|r| pairs.push(r.truth.into(), r.measured.into()));
    let mean_error = |active: bool| {
        let errors: Vec<f64> = chosen
            .iter()
            .filter(|r| (r.truth > 0.0) == active)
            .map(|r| f64::from((r.measured - r.truth).abs()))
            .collect();
        errors.iter().sum::<f64>() / errors.len() as f64
    };
    let total = |f: &dyn Fn(&Reading) -> f32| -> f64 {
        chosen.iter().filter(|r| r.truth > 0.0).map(|r| f64::from(f(r))).sum()
    };
    Agreement {
        active: mean_error(true),
        idle: mean_error(false),
        icc: pairs.icc().unwrap_or(f64::NAN),
        gain: total(&|r| r.measured) / total(&|r| r.truth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_active_and_idle_aus_are_kept_apart() {
        let reading = |truth, measured| Reading { au: 0, truth, measured };
        let a =
            agreement(&[reading(2.0, 1.0), reading(4.0, 5.0), reading(0.0, 0.5), reading(0.0, 0.1)], |_| {
                true
            });
        assert!((a.active - 1.0).abs() < 1e-6 && (a.idle - 0.3).abs() < 1e-6 && (a.gain - 1.0).abs() < 1e-6);
    }
}
