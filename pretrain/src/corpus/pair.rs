//! Pairs of stabilised crops, onset and apex of a micro-expression, with exact truth: the sample that trainers draw and
//! `glint-pretrain corpus` writes.
//!
//! A pair is drawn straight into the crop as a good stabiliser holds it: the head turns between the two instants, the
//! crop follows its eyes, and a small error of alignment remains. Truth holds all of it.

use glint::au::{AU_COUNT, AUS, Side, UNIT_COUNT, au_index, unit_indices};
use glint::event::Class;
use glint::face::landmarks::eye_centers;
use glint::face::{CROP_HEIGHT, CROP_WIDTH, LEFT_EYE, RIGHT_EYE};
use glint::flow::Flow;
use glint::geometry::{Point, Similarity};
use glint::synth::{Camera, Face, Gaze, Glare, Hand, Pose, jpeg_round_trip, lens_blur};
use rand::Rng;
use rand::rngs::SmallRng;

use super::mix::{MICRO_RANGE, micro_strength, relative_strength};
use super::person::{Person, Placed};
use super::plan::{Cast, Distractor, fractions};
use super::sequence::glasses;
use crate::augment::{generator, misplacement, normal, stabiliser_residue};

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedPair {
    /// Index in its run.
    pub index: u64,
    /// Identifier of the person.
    pub person: String,
    /// `portrait` or `head`.
    pub source: &'static str,
    /// Whether the person is kept apart from all training.
    pub held_out: bool,
    /// What is expressed.
    pub class: Class,
    /// What moves: AU, side, fraction of the full shape.
    pub parts: Vec<(u8, Side, f32)>,
    /// Apex and offset after the onset, in ms.
    pub times_ms: [f64; 2],
    /// What else happens between onset and apex.
    pub distractors: Vec<Distractor>,
    /// Gray of the crop at the onset, [`CROP_WIDTH`] by [`CROP_HEIGHT`].
    pub onset: Vec<u8>,
    /// The same at the apex.
    pub apex: Vec<u8>,
    /// Where each pixel of the onset is found at the apex, in crop pixels; zero outside the face.
    pub flow: Flow,
    /// Depth at the onset in crop pixels, greater is nearer, 0 at the inner corner of the eyes, NaN outside the face; a
    /// photograph has none.
    pub depth: Option<Vec<f32>>,
}

/// Standard deviation of the head's yaw and pitch at the onset, and of its turn from there to the apex, in degrees.
const TURN_DEGREES: [f32; 2] = [4.0, 3.0];
const MOTION_DEGREES: f32 = 0.5;
/// Share of movements with a stray AU beside them.
const STRAY: f64 = 0.4;
/// Share of pairs in which something else happens too.
const DISTRACTED: f64 = 0.15;
const GLASSES: f64 = 0.15;

impl RenderedPair {
    /// Fractions of the full shape of all units.
    pub fn fractions(&self) -> [f32; UNIT_COUNT] {
        fractions(&self.parts)
    }

    /// 1 for each AU (order of [`AUS`]) that moves.
    pub fn active(&self) -> [f32; AU_COUNT] {
        let mut out = [0.0; AU_COUNT];
        self.parts.iter().filter_map(|p| au_index(p.0)).for_each(|k| out[k] = 1.0);
        out
    }

    /// Onset and apex as the flow engine takes them.
    pub fn planes(&self) -> [Vec<f32>; 2] {
        [&self.onset, &self.apex].map(|p| p.iter().map(|&v| f32::from(v)).collect())
    }
}

/// Sample `index` of a run: the same whatever is drawn before it. People come in turn.
pub fn sample(cast: &Cast, seed: u64, index: u64) -> RenderedPair {
    let mut rng = generator(seed ^ 0x7061_6972, index);
    let person = cast.person(index);
    let (class, parts) = movement(cast, &mut rng);
    let (rise_ms, fall_ms) = cast.priors.timing_ms(&mut rng);
    let [yaw, pitch] = TURN_DEGREES.map(|d| d.to_radians() * normal(&mut rng));
    let turn = [yaw.clamp(-0.25, 0.25), pitch.clamp(-0.2, 0.2)];
    let gaze = || Gaze { extent: 0.6, rate_hz: 1.0, seed: 0 };
    let mut from = Pose { turn, ..Pose::NEUTRAL };
    if rng.random_bool(0.5) {
        from.gaze = gaze().at(rng.random_range(0..1_000_000) * 1_000_000_000);
    }
    let mut to = Pose {
        fractions: fractions(&parts),
        turn: turn.map(|t| t + MOTION_DEGREES.to_radians() * normal(&mut rng)),
        ..from.clone()
    };
    let what = rng.random_bool(DISTRACTED).then(|| DISTRACTORS[rng.random_range(0..DISTRACTORS.len())]);
    match what {
        Some(Distractor::Blink) => {
            // Lids a little further down in one of the two instants.
            let lids = rng.random_range(0.1..0.7);
            let pose = if rng.random() { &mut from } else { &mut to };
            unit_indices(45, Side::Both).for_each(|k| pose.fractions[k] = lids);
        }
        Some(Distractor::Speech) => {
            for (au, most) in [(25, 0.3), (26, 0.25)] {
                let open = rng.random_range(0.0..most);
                unit_indices(au, Side::Both)
                    .for_each(|k| to.fractions[k] = (to.fractions[k] + open).min(1.0));
            }
        }
        Some(Distractor::Turn) => to.turn = to.turn.map(|t| t + 0.05 * normal(&mut rng)),
        _ => {}
    }
    if rng.random_bool(0.1) {
        to.gaze = gaze().at(rng.random_range(0..1_000_000) * 1_000_000_000);
    }

    // What a person's own proportions and the stabiliser leave.
    let place = misplacement(&mut rng);
    let residue = stabiliser_residue(&mut rng, Point::default());
    let [a, b] = [
        place.compose(&to_crop(person, from.turn)),
        residue.compose(&place).compose(&to_crop(person, to.turn)),
    ];
    let [mut onset, mut apex] = [(); 2].map(|()| Placed::default());
    person.place(&from, &a, &mut onset);
    person.place(&to, &b, &mut apex);
    let mut flow = Flow::zeros(CROP_WIDTH, CROP_HEIGHT);
    let mut depth = person.survey(&onset, &apex, &mut flow);
    if let Some(depth) = &mut depth {
        depth.iter_mut().for_each(|z| *z *= a.scale());
    }

    let mut light = 1.0 + 0.01 * normal(&mut rng);
    if what == Some(Distractor::Light) {
        light *= rng.random_range(0.8..1.2);
    }
    // Glasses go with a person, hands and lamps with the sample.
    let wears = generator(seed ^ 0x676c, index % cast.people.len() as u64).random_bool(GLASSES);
    let glasses = (wears || what == Some(Distractor::Glare)).then(|| glasses(&mut rng));
    let glare = Glare {
        from_ns: 0,
        to_ns: 100,
        strength: rng.random_range(0.2..0.8),
        at: [rng.random_range(-0.5..0.5), rng.random_range(-0.5..0.5)],
    };
    let hand = Hand {
        from_ns: 0,
        to_ns: 1_000_000,
        at: [rng.random_range(-0.8..0.8), rng.random_range(0.9..1.6)],
        angle_degrees: rng.random_range(50.0..130.0),
        gray: rng.random_range(70.0..200.0),
    };
    let shade = Shade {
        camera: Camera {
            width: CROP_WIDTH,
            height: CROP_HEIGHT,
            read_noise: rng.random_range(0.2..1.4),
            shot_noise: rng.random_range(0.0..0.01),
            exposure: rng.random_range(0.7..1.15),
            seed: rng.random(),
            ..Camera::default()
        },
        // Behind the head: a wall.
        wall: [rng.random_range(30.0..210.0), 20.0 * normal(&mut rng)],
        quality: rng.random_bool(0.1).then(|| rng.random_range(80..96)),
    };
    let eyes = RIGHT_EYE.midpoint(LEFT_EYE);
    let film = |placed: &Placed, to_crop: &Similarity, pose: &Pose, k: u64| {
        let mut plane = shade.wall();
        person.draw(placed, to_crop.scale(), &mut plane, CROP_WIDTH);
        if let Some(glasses) = &glasses {
            let shining: &[Glare] = if what == Some(Distractor::Glare) { &[glare] } else { &[] };
            // It comes on between the two instants.
            glasses.draw(if k == 0 { 10 } else { 45 }, shining, to_crop, pose.turn, &mut plane, CROP_WIDTH);
        }
        if what == Some(Distractor::Hand) {
            // At rest on the face, or nearly so.
            let at_ns = if k == 0 { 400_000 } else { 500_000 };
            hand.draw(at_ns, eyes, glint::face::EYE_DISTANCE, &mut plane, CROP_WIDTH);
        }
        lens_blur(&mut plane, CROP_WIDTH);
        let mut out = vec![0; plane.len()];
        let light = if k == 0 { 1.0 } else { light };
        cast.noise.expose(&shade.camera, k, light, &plane, CROP_WIDTH, &mut out);
        if let Some(quality) = shade.quality {
            jpeg_round_trip(&mut out, CROP_WIDTH, CROP_HEIGHT, quality);
        }
        out
    };
    RenderedPair {
        index,
        person: person.id.clone(),
        source: person.source(),
        held_out: person.held_out(),
        class,
        parts,
        times_ms: [rise_ms, rise_ms + fall_ms],
        distractors: what.into_iter().collect(),
        onset: film(&onset, &a, &from, 0),
        apex: film(&apex, &b, &to, 1),
        flow,
        depth,
    }
}

/// What can happen beside the movement within a pair.
const DISTRACTORS: [Distractor; 6] = [
    Distractor::Blink,
    Distractor::Speech,
    Distractor::Turn,
    Distractor::Light,
    Distractor::Hand,
    Distractor::Glare,
];

/// Class and what moves, with a stray AU in some.
fn movement(cast: &Cast, rng: &mut SmallRng) -> (Class, Vec<(u8, Side, f32)>) {
    let (class, what) = cast.priors.movement(rng);
    let strength = micro_strength(rng);
    let mut parts: Vec<(u8, Side, f32)> = what
        .into_iter()
        .map(|(au, side)| (au, side, (strength * relative_strength(rng)).clamp(MICRO_RANGE.0, MICRO_RANGE.1)))
        .collect();
    if rng.random_bool(STRAY) {
        let au = AUS[rng.random_range(0..AU_COUNT)];
        if parts.iter().all(|p| p.0 != au) {
            parts.push((au, Side::Both, (0.35 * strength * rng.random::<f32>()).clamp(0.01, MICRO_RANGE.1)));
        }
    }
    (class, parts)
}

/// Face coordinates to the stabilised crop for a head that is turned: by the corners of the eyes of the face at rest.
pub fn to_crop(person: &Person, turn: [f32; 2]) -> Similarity {
    Similarity::from_two_points(eye_centers(&person.landmarks_at_rest(turn)), [RIGHT_EYE, LEFT_EYE])
}

/// Everything about a picture but the face.
struct Shade {
    camera: Camera,
    /// Gray of the wall, and how much it changes over the crop.
    wall: [f32; 2],
    quality: Option<u8>,
}

impl Shade {
    fn wall(&self) -> Vec<f32> {
        let [gray, slope] = self.wall;
        (0..CROP_WIDTH * CROP_HEIGHT)
            .map(|i| {
                let p = Point::new((i % CROP_WIDTH) as f32, (i / CROP_WIDTH) as f32);
                gray + slope * (p.x / CROP_WIDTH as f32 - 0.5) + 6.0 * (0.11 * p.x + 0.07 * p.y).sin()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::plan::tests::cast;
    use glint::pipeline::pair_engine;

    #[test]
    fn samples_repeat_and_move_as_their_truth_says() {
        let cast = cast();
        let (mut error, mut length, mut n) = (0.0f64, 0.0f64, 0.0f64);
        for index in 0..40 {
            let pair = sample(&cast, 7, index);
            assert_eq!(pair, sample(&cast, 7, index));
            assert_ne!(pair.onset, sample(&cast, 8, index).onset);
            assert!(pair.depth.is_none() && !pair.parts.is_empty());
            assert!(pair.times_ms[0] >= 30.0 && pair.times_ms[1] <= 500.01, "{:?}", pair.times_ms);
            if !pair.distractors.is_empty() {
                continue;
            }
            // The library's own flow finds what the truth says where the face moves most.
            let [onset, apex] = pair.planes();
            let mut engine = pair_engine();
            engine.set_reference(&onset);
            let measured = engine.run(&apex).clone();
            let step = CROP_WIDTH / measured.width;
            for y in 20 / step..110 / step {
                for x in 24 / step..104 / step {
                    let (at, here) = (step * y * CROP_WIDTH + step * x, y * measured.width + x);
                    let truth = pair.flow.u[at].hypot(pair.flow.v[at]);
                    if truth > 1.0 {
                        let (du, dv) =
                            (measured.u[here] - pair.flow.u[at], measured.v[here] - pair.flow.v[at]);
                        error += f64::from(du.hypot(dv));
                        length += f64::from(truth);
                        n += 1.0;
                    }
                }
            }
        }
        assert!(n > 500.0 && error < 0.4 * length, "{error} of {length} over {n}");
    }
}
