//! What happens in a generated sequence: movements with their truth, distractors, camera. One description for
//! `corpus --video` and for `evaluate spotting`.

use std::path::Path;

use anyhow::Result;
use glint::au::{AU_COUNT, AUS, Side, UNIT_COUNT, unit_indices};
use glint::synth::{Action, Face, Glare, Hand, LightChange, NoiseTable, Profile, Speech, Turn, displacement};
use rand::Rng;
use rand::rngs::SmallRng;

use super::mix::{MICRO_RANGE, Priors, micro_strength, relative_strength};
use super::person::{self, Person};
pub use super::sequence::{Distractor, Micro, Sequence, Span};
use super::sequence::{glasses, ns};
use super::{desk, living};
use crate::augment::generator;

/// What a sequence is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Content {
    /// Micro-expressions of 5 to 40 % among distractors, 8 s.
    Mixed,
    /// Distractors alone, 15 s.
    Distractors,
    /// One weak to strong micro-expression after the other (3 to 60 %), no distractors, 8 s.
    Curve,
    /// Nothing but the sway of a head, 10 s.
    Still,
    /// Everything that a living face does, and micro-expressions in it, 14 s (`living`).
    Living,
    /// A photograph that is held before the camera, 14 s ([`super::picture`]).
    Picture,
}

impl Content {
    /// Length in seconds where nobody asks for another one.
    pub fn seconds(self) -> f64 {
        match self {
            Self::Mixed | Self::Curve => 8.0,
            Self::Distractors => 15.0,
            Self::Still => 10.0,
            Self::Living | Self::Picture => 14.0,
        }
    }
}

/// Who can be seen, and what people do.
pub struct Cast {
    /// The people.
    pub people: Vec<Person>,
    /// AU combinations, sides, times.
    pub priors: Priors,
    /// Deviates of the cameras' noise.
    pub noise: NoiseTable,
}

impl Cast {
    /// `count` people of a split and the priors, from a folder of assets.
    pub fn load(assets: &Path, split: person::Split, count: usize, seed: u64) -> Result<Self> {
        let priors = Priors::load(&assets.join("priors/me_priors.json"))?;
        Ok(Self {
            people: person::people(assets, split, count, seed)?.people,
            priors,
            noise: NoiseTable::new(),
        })
    }

    /// Person `index`, the first one again after the last one.
    pub fn person(&self, index: u64) -> &Person {
        &self.people[(index % self.people.len() as u64) as usize]
    }
}

/// Stillness at the start, while the neutral face is learned.
const LEAD_IN_MS: f64 = 1200.0;
/// Nothing happens so long before the end.
const LEAD_OUT_MS: f64 = 500.0;
/// Longest distractor, and longest micro-expression.
const LONGEST_MS: f64 = 2500.0;
const LONGEST_MICRO_MS: f64 = 500.0;

/// Sequence `index` of a run, so many seconds long.
pub fn sequence(cast: &Cast, content: Content, seconds: f64, seed: u64, index: u64) -> Sequence<'_> {
    // Each content draws its own courses.
    let stream = match content {
        Content::Mixed => 1,
        Content::Distractors => 2,
        Content::Curve => 3,
        Content::Still => 4,
        Content::Living => 5,
        Content::Picture => 6,
    };
    let mut rng = generator(seed.wrapping_mul(31) + stream, index);
    let camera = match content {
        Content::Living | Content::Picture => living::camera(&mut rng),
        _ => desk::camera(&mut rng),
    };
    let mut s = Sequence {
        person: cast.person(index),
        script: match content {
            Content::Living => living::ambience(&mut rng),
            Content::Picture => living::hand(&mut rng),
            _ => desk::ambience(&mut rng, content != Content::Still),
        },
        camera,
        flat: content == Content::Picture,
        seconds,
        micros: Vec::new(),
        distractors: Vec::new(),
    };
    match content {
        Content::Mixed => s.mixed(&cast.priors, &mut rng),
        Content::Distractors => s.distractors_only(&cast.priors, &mut rng),
        Content::Curve => s.curve(&cast.priors, &mut rng),
        Content::Still => {}
        Content::Living => s.living(&cast.priors, &mut rng),
        Content::Picture => s.held_in_a_hand(&mut rng),
    }
    s
}

impl Sequence<'_> {
    /// Micro-expressions, blinks and in half of the time something longer, in any order, apart by 300 ms or more: groups
    /// of one or two, one or two, and none or one. What does not fit is left out; a micro-expression always fits into 8 s.
    fn mixed(&mut self, priors: &Priors, rng: &mut SmallRng) {
        #[derive(Clone, Copy)]
        enum Item {
            Micro,
            Other(Distractor),
        }
        const LONG: [Distractor; 6] = [
            Distractor::Macro,
            Distractor::Speech,
            Distractor::Turn,
            Distractor::Light,
            Distractor::Hand,
            Distractor::Glare,
        ];
        let end_ms = 1e3 * self.seconds - LEAD_OUT_MS;
        let mut at_ms = LEAD_IN_MS + rng.random_range(0.0..600.0);
        while at_ms + LONGEST_MICRO_MS < end_ms {
            let mut items = vec![Item::Micro, Item::Other(Distractor::Blink)];
            if rng.random_bool(0.5) {
                items.push(Item::Micro);
            }
            if rng.random_bool(0.3) {
                items.push(Item::Other(Distractor::Blink));
            }
            if rng.random_bool(0.5) {
                items.push(Item::Other(LONG[rng.random_range(0..LONG.len())]));
            }
            for i in (1..items.len()).rev() {
                items.swap(i, rng.random_range(0..=i));
            }
            for item in items {
                let length = match item {
                    Item::Micro if at_ms + LONGEST_MICRO_MS < end_ms => self.micro(priors, at_ms, None, rng),
                    Item::Other(what) if at_ms + LONGEST_MS < end_ms => {
                        self.distract(what, priors, at_ms, rng)
                    }
                    _ => continue,
                };
                at_ms += length + rng.random_range(300.0..1200.0);
            }
            at_ms += rng.random_range(0.0..2000.0);
        }
    }

    fn distractors_only(&mut self, priors: &Priors, rng: &mut SmallRng) {
        const ALL: [Distractor; 9] = [
            Distractor::Blink,
            Distractor::Blink,
            Distractor::Blink,
            Distractor::Macro,
            Distractor::Speech,
            Distractor::Turn,
            Distractor::Light,
            Distractor::Hand,
            Distractor::Glare,
        ];
        let mut at_ms = LEAD_IN_MS + rng.random_range(0.0..1500.0);
        while at_ms + LONGEST_MS + 500.0 < 1e3 * self.seconds - LEAD_OUT_MS {
            let length = self.distract(ALL[rng.random_range(0..ALL.len())], priors, at_ms, rng);
            at_ms += length + rng.random_range(300.0..2000.0);
        }
    }

    fn curve(&mut self, priors: &Priors, rng: &mut SmallRng) {
        let mut at_ms = LEAD_IN_MS;
        while at_ms + LONGEST_MICRO_MS + 100.0 < 1e3 * self.seconds - LEAD_OUT_MS {
            let fraction = (rng.random_range(0.03f32.ln()..0.6f32.ln())).exp();
            let length = self.micro(priors, at_ms, Some(fraction), rng);
            at_ms += length + rng.random_range(500.0..900.0);
        }
    }

    pub(super) fn act(
        &mut self,
        parts: &[(u8, Side, f32)],
        [onset_ns, apex_ns, offset_ns]: [i64; 3],
        profile: Profile,
    ) {
        self.script.actions.extend(parts.iter().map(|&(au, side, intensity)| Action {
            au,
            side,
            intensity,
            onset_ns,
            apex_ns,
            offset_ns,
            profile,
        }));
    }

    /// Adds a micro-expression whose strongest AU reaches `fraction`, or as strong as they are (5 to 40 %); returns its
    /// length in ms.
    pub(super) fn micro(
        &mut self,
        priors: &Priors,
        at_ms: f64,
        fraction: Option<f32>,
        rng: &mut SmallRng,
    ) -> f64 {
        let (class, what) = priors.movement(rng);
        let relative: Vec<f32> = what.iter().map(|_| relative_strength(rng)).collect();
        let strongest = relative.iter().copied().fold(0.0, f32::max);
        let strength = match fraction {
            Some(fraction) => fraction / strongest,
            None => micro_strength(rng),
        };
        let limits = if fraction.is_some() { (0.01, 1.0) } else { MICRO_RANGE };
        let parts: Vec<(u8, Side, f32)> = what
            .iter()
            .zip(relative)
            .map(|(&(au, side), r)| (au, side, (strength * r).clamp(limits.0, limits.1)))
            .collect();
        let (rise_ms, fall_ms) = priors.timing_ms(rng);
        let times @ [onset_ns, apex_ns, offset_ns] =
            [at_ms, at_ms + rise_ms, at_ms + rise_ms + fall_ms].map(ns);
        self.act(&parts, times, Profile::Cosine);
        let fraction = parts.iter().map(|p| p.2).fold(0.0, f32::max);
        let travel_px = travel_px(self.person, &fractions(&parts), self.camera.eye_distance_px);
        self.micros.push(Micro { onset_ns, apex_ns, offset_ns, class, parts, fraction, travel_px });
        rise_ms + fall_ms
    }

    /// Adds a distractor; returns its length in ms, 2500 at most.
    pub(super) fn distract(
        &mut self,
        what: Distractor,
        priors: &Priors,
        at_ms: f64,
        rng: &mut SmallRng,
    ) -> f64 {
        let from_ns = ns(at_ms);
        let length = match what {
            Distractor::Blink => rng.random_range(150.0..350.0),
            Distractor::Macro => rng.random_range(700.0..LONGEST_MS),
            Distractor::Speech => rng.random_range(1000.0..LONGEST_MS),
            Distractor::Turn => rng.random_range(600.0..LONGEST_MS),
            Distractor::Light => rng.random_range(30.0..400.0),
            Distractor::Hand => rng.random_range(1200.0..LONGEST_MS),
            Distractor::Glare => rng.random_range(100.0..1500.0),
        };
        let to_ns = ns(at_ms + length);
        match what {
            Distractor::Blink => self.script.actions.push(Action {
                intensity: rng.random_range(0.7..1.0),
                apex_ns: ns(at_ms + 0.35 * length),
                offset_ns: to_ns,
                ..Action::blink(from_ns)
            }),
            Distractor::Macro => {
                let intensity = rng.random_range(0.3..0.9);
                let apex_ns = ns(at_ms + rng.random_range(0.2..0.4) * length);
                let parts: Vec<_> =
                    priors.movement(rng).1.iter().map(|&(au, side)| (au, side, intensity)).collect();
                self.act(&parts, [from_ns, apex_ns, to_ns], Profile::Hold);
            }
            Distractor::Speech => self.script.speech.push(Speech {
                from_ns,
                to_ns,
                strength: rng.random_range(0.2..0.6),
                rate_hz: rng.random_range(3.0..6.0),
                seed: rng.random(),
            }),
            Distractor::Turn => {
                let sign = if rng.random() { 1.0 } else { -1.0 };
                self.script.turns.push(Turn {
                    from_ns,
                    to_ns,
                    yaw_degrees: sign * rng.random_range(3.0..12.0),
                    pitch_degrees: rng.random_range(-5.0..5.0),
                });
            }
            Distractor::Light => self.script.light_changes.push(LightChange {
                from_ns,
                to_ns,
                gain: if rng.random() { rng.random_range(0.7..0.9) } else { rng.random_range(1.1..1.3) },
            }),
            // To the cheek, the chin or the mouth, from below.
            Distractor::Hand => self.script.hands.push(Hand {
                from_ns,
                to_ns,
                at: [rng.random_range(-0.8..0.8), rng.random_range(0.4..1.5)],
                angle_degrees: rng.random_range(50.0..130.0),
                gray: rng.random_range(70.0..200.0),
            }),
            Distractor::Glare => {
                if self.script.glasses.is_none() {
                    self.script.glasses = Some(glasses(rng));
                }
                self.script.glares.push(Glare {
                    from_ns,
                    to_ns,
                    strength: rng.random_range(0.2..0.9),
                    at: [rng.random_range(-0.5..0.5), rng.random_range(-0.5..0.5)],
                });
            }
        }
        self.distractors.push(Span { what, from_ns, to_ns });
        length
    }
}

/// Fractions of all units of a movement.
pub fn fractions(parts: &[(u8, Side, f32)]) -> [f32; UNIT_COUNT] {
    let mut out = [0.0f32; UNIT_COUNT];
    for &(au, side, fraction) in parts {
        unit_indices(au, side).for_each(|k| out[k] = (out[k] + fraction).min(1.0));
    }
    out
}

/// Greatest displacement of any point of the skin at `fractions`, in pixels of a frame.
pub fn travel_px(face: &impl Face, fractions: &[f32; UNIT_COUNT], eye_distance_px: f32) -> f32 {
    let flow = displacement(face, fractions);
    let longest = flow.u.iter().zip(&flow.v).map(|(u, v)| u.hypot(*v)).fold(0.0, f32::max);
    longest * eye_distance_px / glint::face::EYE_DISTANCE
}

/// One to three AUs at once, each uniform over 0 to 100 %, of both sides or of one: (AU, side, fraction).
pub fn random_pose(rng: &mut SmallRng) -> Vec<(u8, Side, f32)> {
    let mut out: Vec<(u8, Side, f32)> = Vec::new();
    for _ in 0..rng.random_range(1..=3) {
        let au = AUS[rng.random_range(0..AU_COUNT)];
        let side = match rng.random_range(0..4) {
            0 => Side::Left,
            1 => Side::Right,
            _ => Side::Both,
        };
        if out.iter().all(|(known, ..)| *known != au) {
            out.push((au, side, rng.random_range(0.0..1.0)));
        }
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::corpus::mix::tests::SHEET;
    use crate::corpus::person::Look;
    use glint::synth::{Pack, Subject};

    pub(crate) fn cast() -> Cast {
        let pack = Pack::embedded().expect("pack");
        let person = |k: u64| Person { id: format!("p{k}"), look: Look::Portrait(Subject::random(&pack, k)) };
        Cast {
            people: (0..3).map(person).collect(),
            priors: Priors::parse(SHEET).expect("a sheet"),
            noise: NoiseTable::new(),
        }
    }

    #[test]
    fn sequences_repeat_and_their_truth_is_in_order() {
        let cast = cast();
        for content in [Content::Mixed, Content::Distractors, Content::Curve] {
            for index in 0..12 {
                let seconds = content.seconds() + if index == 0 { 20.0 } else { 0.0 };
                let a = sequence(&cast, content, seconds, 3, index);
                let b = sequence(&cast, content, seconds, 3, index);
                assert_eq!((&a.micros, &a.script, a.camera), (&b.micros, &b.script, b.camera));
                a.script.validate().expect("a face can do it");
                assert_eq!(a.micros.is_empty(), content == Content::Distractors);
                let mut spans: Vec<(i64, i64)> = a.micros.iter().map(|m| (m.onset_ns, m.offset_ns)).collect();
                spans.extend(a.distractors.iter().map(|d| (d.from_ns, d.to_ns)));
                spans.sort_unstable();
                assert!(spans.windows(2).all(|w| w[1].0 - w[0].1 >= 299_000_000), "{spans:?}");
                assert!(spans.iter().all(|s| s.1 as f64 / 1e9 < a.seconds), "{spans:?}");
                for m in &a.micros {
                    let ms = (m.offset_ns - m.onset_ns) as f64 / 1e6;
                    assert!((60.0..=500.01).contains(&ms) && m.onset_ns < m.apex_ns, "{m:?}");
                    assert!(m.apex_ns < m.offset_ns && m.travel_px > 0.0, "{m:?}");
                    let range = if content == Content::Curve { 0.029..0.601 } else { 0.049..0.401 };
                    assert!(range.contains(&m.fraction), "{m:?}");
                }
            }
        }
    }

    #[test]
    fn every_distractor_happens() {
        let cast = cast();
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..40 {
            seen.extend(
                sequence(&cast, Content::Distractors, 15.0, 1, index).distractors.iter().map(|d| d.what),
            );
        }
        assert_eq!(seen.len(), 7, "{seen:?}");
    }
}
