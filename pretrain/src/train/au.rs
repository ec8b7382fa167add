//! The AU network: its samples (rendered people before a camera, through the daemon's own stabiliser and flow) and its
//! training.

use anyhow::{Result, ensure};
use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use glint::au::{AU_COUNT, AUS, Side, UNIT_COUNT, UNITS};
use glint::face::patch::Patch;
use glint::face::track::{Track, Visibility};
use glint::face::{CROP_HEIGHT, CROP_WIDTH, MIDDLE_X, RIGHT_EYE};
use glint::flow::{FlowEngine, FlowSettings};
use glint::frame::Frame;
use glint::geometry::{Point, Similarity};
use glint::intensity::{CLIP, FEATURES, features, mirror};
use glint::synth::{
    Action, Camera, Face, Gaze, Glare, HeadMotion, Profile, Scene, Script, Speech, Turn, face_to_crop,
};
use rand::Rng;
use rand::rngs::SmallRng;

use super::{Schedule, fit, initialised};
use crate::augment::{generator, normal};
use crate::backend::CpuTrain;
use crate::corpus::mix::Priors;
use crate::corpus::sequence::glasses;
use crate::net::au::AuNetwork;
use crate::net::tensor;
use crate::run::Run;

/// One face with known intensities.
#[derive(Debug, Clone)]
pub struct AuSample {
    /// What the daemon sees (`glint::intensity::features`).
    pub features: Vec<f32>,
    /// Intensity of every unit, 0 to 5.
    pub intensities: [f32; UNIT_COUNT],
}

/// Poses that one person takes.
pub const POSES: usize = 24;
/// Quiet frames from which the neutral face is learned.
const QUIET: usize = 8;
/// Time from one pose to the next.
const STEP_NS: i64 = 700_000_000;
/// Least quality of a registration whose skin the pipeline measures.
const MIN_QUALITY: f32 = 0.72;

/// Films `face` at rest and in [`POSES`] random poses, follows it as the daemon does, and measures its flow.
pub fn samples<F: Face>(face: F, priors: &Priors, rng: &mut SmallRng) -> Vec<AuSample> {
    let to_crop = face_to_crop(&face);
    let eye_distance_px = rng.random_range(56.0..120.0f32);
    let camera = Camera {
        width: (3.4 * eye_distance_px) as usize / 2 * 2,
        height: (4.2 * eye_distance_px) as usize / 2 * 2,
        eye_distance_px,
        blur: true,
        read_noise: rng.random_range(0.4..1.8),
        shot_noise: rng.random_range(0.003..0.018),
        exposure: rng.random_range(0.65..1.1),
        jpeg_quality: rng.random_bool(0.2).then(|| rng.random_range(75..96)),
        seed: rng.random(),
        ..Camera::default()
    };
    let restless = rng.random_range(0.3..2.0);
    let script = Script {
        head: HeadMotion { seed: rng.random(), ..HeadMotion::SWAY.scaled(restless) },
        gaze: Gaze { extent: rng.random_range(0.0..0.8), rate_hz: 1.0, seed: rng.random() },
        glasses: rng.random_bool(0.3).then(|| glasses(rng)),
        ..Script::default()
    };
    let mut scene = Scene::new(face, script, camera);
    let (mut frame, mut patch) = (Frame::default(), Patch::default());
    scene.render(0, 0, &mut frame);
    // Where the landmarks would put the crop: near the truth.
    let truth = |scene: &Scene<F>, at_ns: i64| scene.truth(at_ns).head.compose(&to_crop.inverse());
    let start = truth(&scene, 0).compose(&misplaced(rng));
    let Some(mut track) = Track::start(1, &frame, start, &mut patch) else { return Vec::new() };
    let placed = truth(&scene, 0).inverse().compose(&start);
    let mut at_ns = 0;
    for k in 1..=QUIET {
        at_ns += 60_000_000;
        scene.render(k as u64, at_ns, &mut frame);
        if track.follow(&frame, &mut patch) == Visibility::Missed {
            return Vec::new();
        }
        track.absorb(at_ns, 0.06);
    }
    let mut engine = FlowEngine::new(CROP_WIDTH, CROP_HEIGHT, FlowSettings::QUICK);
    engine.set_reference(&track.neutral);
    let mut out = Vec::new();
    for k in 0..POSES {
        at_ns += STEP_NS;
        pose(scene.script_mut(), priors, at_ns, rng);
        scene.render((QUIET + 1 + k) as u64, at_ns, &mut frame);
        let expected = truth(&scene, at_ns).compose(&placed);
        let sight = track.follow_from(&frame, expected, &mut patch);
        if sight == Visibility::Missed || track.quality < MIN_QUALITY {
            continue;
        }
        let mut row = vec![0.0; FEATURES];
        features(engine.run(&track.crop), &track.neutral, &track.crop, &mut row);
        out.push(AuSample { features: row, intensities: scene.truth(at_ns).intensities });
    }
    out
}

/// A crop as landmarks misplace it, mostly a little, sometimes much: crop to crop.
fn misplaced(rng: &mut SmallRng) -> Similarity {
    let much = rng.random_range(0.4f32.ln()..2.5f32.ln()).exp();
    let (turn, zoom) = (0.02 * much * normal(rng), 1.0 + 0.025 * much * normal(rng));
    let (a, b) = (zoom * turn.cos(), zoom * turn.sin());
    let c = Point::new(MIDDLE_X, RIGHT_EYE.y + 30.0);
    Similarity {
        a,
        b,
        tx: c.x - a * c.x + b * c.y + 1.5 * much * normal(rng),
        ty: c.y - b * c.x - a * c.y + 2.5 * much * normal(rng),
    }
}

/// What the face does at `at_ns`.
fn pose(script: &mut Script, priors: &Priors, at_ns: i64, rng: &mut SmallRng) {
    script.actions.clear();
    script.speech.clear();
    script.turns.clear();
    // The apex lies at the instant that is seen.
    let mut act = |au: u8, side: Side, intensity: f32| {
        script.actions.push(Action {
            au,
            side,
            intensity: intensity.clamp(0.0, 1.0),
            onset_ns: at_ns - 100_000_000,
            apex_ns: at_ns,
            offset_ns: at_ns + 100_000_000,
            profile: Profile::Cosine,
        });
    };
    let side = |rng: &mut SmallRng| match rng.random_range(0..5) {
        0 => Side::Left,
        1 => Side::Right,
        _ => Side::Both,
    };
    match rng.random_range(0..20) {
        // Nothing.
        0..=1 => {}
        // What micro-expressions do, weakly.
        2..=7 => {
            let strength = rng.random_range(0.03f32.ln()..0.5f32.ln()).exp();
            for (au, side) in priors.movement(rng).1 {
                act(au, side, strength * (0.3 * normal(rng)).exp());
            }
        }
        // Anything, weak or strong.
        8..=17 => {
            for _ in 0..rng.random_range(1..=3) {
                let strength = if rng.random_bool(0.8) {
                    rng.random_range(0.0..1.0)
                } else {
                    rng.random_range(0.02f32.ln()..0.5f32.ln()).exp()
                };
                act(AUS[rng.random_range(0..AU_COUNT)], side(rng), strength);
            }
        }
        // Speech.
        _ => {
            let rate_hz = rng.random_range(3.0..6.0);
            let phase = rng.random_range(0.1..0.9);
            let from_ns = at_ns - (1e9 * (2.0 + phase) / f64::from(rate_hz)) as i64;
            script.speech.push(Speech {
                from_ns,
                to_ns: at_ns + 1_000_000_000,
                strength: rng.random_range(0.2..0.6),
                rate_hz,
                seed: rng.random(),
            });
        }
    }
    if rng.random_bool(0.15) {
        act(45, Side::Both, rng.random_range(0.2..1.0));
    }
    if rng.random_bool(0.6) {
        let degrees = if rng.random_bool(0.3) { 5.0 } else { 1.5 };
        script.turns.push(Turn {
            from_ns: at_ns - 500_000_000,
            to_ns: at_ns + 500_000_000,
            yaw_degrees: degrees * normal(rng),
            pitch_degrees: 0.6 * degrees * normal(rng),
        });
    }
    // What shines in glasses is no expression.
    script.glares.clear();
    if script.glasses.is_some() && rng.random_bool(0.4) {
        let half_ns = rng.random_range(60_000_000..700_000_000);
        let late_ns = (half_ns as f64 * rng.random_range(-0.7..0.7)) as i64;
        script.glares.push(Glare {
            from_ns: at_ns + late_ns - half_ns,
            to_ns: at_ns + late_ns + half_ns,
            strength: rng.random_range(0.1..0.9),
            at: [rng.random_range(-0.6..0.6), rng.random_range(-0.6..0.6)],
        });
    }
    script.lighting.drift = 0.0;
    script.light_changes.clear();
    if rng.random_bool(0.3) {
        script.light_changes.push(glint::synth::LightChange {
            from_ns: at_ns - 200_000_000,
            to_ns: at_ns - 100_000_000,
            gain: rng.random_range(0.75..1.3),
        });
    }
}

/// Error, in intensities, from which the loss grows linearly.
const HUBER: f32 = 1.5;
/// Multiplies the error of a unit that moves. Most units of a sample are idle; with equal weights what could be one AU or
/// another is shared out among them, and every movement reads too small.
const ACTIVE: f32 = 2.0;
/// Share of its error that an idle unit pays for being negative: that is shown as zero.
const BELOW_ZERO: f32 = 0.2;

/// The sample of the mirrored face.
fn mirrored(sample: &AuSample) -> AuSample {
    let mut features = sample.features.clone();
    mirror(&mut features);
    let intensities = std::array::from_fn(|k| {
        let other = match UNITS[k].side {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
            Side::Both => Side::Both,
        };
        let partner = UNITS.iter().position(|u| u.au == UNITS[k].au && u.side == other);
        sample.intensities[partner.unwrap_or(k)]
    });
    AuSample { features, intensities }
}

/// Trains on `samples` and their mirror images; the numbers of `glint::intensity::AuNet` come back.
pub fn train(samples: &[AuSample], schedule: &Schedule, seed: u64, run: &Run) -> Result<Vec<f32>> {
    ensure!(samples.len() >= schedule.batch, "{} samples; at least {}", samples.len(), schedule.batch);
    let device = Default::default();
    let mut scale = vec![0.0f64; FEATURES];
    for s in samples {
        for features in [&s.features, &mirrored(s).features] {
            scale.iter_mut().zip(features).for_each(|(m, f)| *m += f64::from(f * f));
        }
    }
    // A floor: nothing is measured better than a fiftieth of a pixel.
    let count = 2.0 * samples.len() as f64;
    let scale: Vec<f32> = scale.iter().map(|m| (m / count).sqrt() as f32 + 0.02).collect();
    let net = initialised(seed, &device, || AuNetwork::<CpuTrain>::new(&device));
    let n = schedule.batch;
    let net = fit(net, "au", schedule, run, |net, step| {
        let mut rng = generator(seed ^ 0x6175, step as u64);
        let (mut x, mut y) = (Vec::with_capacity(n * FEATURES), Vec::with_capacity(n * UNIT_COUNT));
        for _ in 0..n {
            // Mirrored when it is drawn: the mirror images of all would take as much memory again.
            let plain: bool = rng.random();
            let drawn = &samples[rng.random_range(0..samples.len())];
            let image = (!plain).then(|| mirrored(drawn));
            let s = image.as_ref().unwrap_or(drawn);
            x.extend(s.features.iter().zip(&scale).map(|(f, s)| (f / s).clamp(-CLIP, CLIP)));
            y.extend_from_slice(&s.intensities);
        }
        let idle: Vec<f32> = y.iter().map(|v| f32::from(*v == 0.0)).collect();
        let output = net.forward(tensor(x, [n, FEATURES], &device));
        let error = output.clone() - tensor(y, [n, UNIT_COUNT], &device);
        let idle: Tensor<CpuTrain, 2> = tensor(idle, [n, UNIT_COUNT], &device);
        let weight = idle.clone() * (1.0 - ACTIVE) + ACTIVE;
        let below = output.lower_elem(0.0).float() * idle;
        let size = (error.clone() * (below * (BELOW_ZERO - 1.0) + 1.0)).abs();
        let bounded = size.clone().clamp_max(HUBER);
        let loss = bounded.clone().powi_scalar(2) * 0.5 + (size - bounded) * HUBER;
        (loss * weight).sum() / (n as f32)
    })?;
    Ok([scale, net.valid().numbers()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use glint::synth::{Pack, Subject};

    #[test]
    fn a_mirror_image_twice_is_the_sample() {
        let mut rng = generator(3, 1);
        let priors = Priors::parse(crate::corpus::mix::tests::SHEET).expect("a sheet");
        let samples = samples(Subject::random(Pack::embedded().expect("pack"), 5), &priors, &mut rng);
        assert!(samples.len() > POSES / 2, "{} samples", samples.len());
        for s in &samples {
            let twice = mirrored(&mirrored(s));
            assert_eq!((&twice.features, twice.intensities), (&s.features, s.intensities));
        }
        assert!(samples.iter().any(|s| mirrored(s).intensities != s.intensities));
        assert!(samples.iter().any(|s| s.intensities.iter().any(|i| *i > 0.5)));
    }
}
