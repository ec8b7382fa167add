//! What happens in a generated sequence: movements with their truth, distractors, camera.

use glint::au::{AU_COUNT, AUS, Side, UNIT_COUNT, unit_indices};
use glint::event::Class;
use glint::holdout::is_held_out;
use glint::synth::{
    Action, Camera, Gaze, HeadMotion, LightChange, Lighting, Profile, Script, Speech, Subject, Turn,
    displacement,
};
use rand::Rng;
use rand::rngs::SmallRng;
use serde::Serialize;

use crate::augment::generator;
use crate::train::student::{combinations, random_class};

/// Which people a sequence shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// People on whom settings are chosen.
    Tune,
    /// Held-out people (`glint::holdout`), on whom figures are reported.
    Test,
}

/// What happens beside micro-expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Distractor {
    /// Both lids close and open.
    Blink,
    /// An expression of 0.7 s or more.
    Macro,
    /// Jaw and lips in speech.
    Speech,
    /// The head turns away and back.
    Turn,
    /// The light changes.
    Light,
}

/// A distractor and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// What.
    pub what: Distractor,
    /// Last instant before it.
    pub from_ns: i64,
    /// First instant after it.
    pub to_ns: i64,
}

/// A micro-expression that happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Micro {
    /// Last instant without movement.
    pub onset_ns: i64,
    /// Greatest extent.
    pub apex_ns: i64,
    /// First instant without movement.
    pub offset_ns: i64,
    /// Fraction of the full shape.
    pub fraction: f32,
    /// AUs that move.
    pub aus: Vec<u8>,
    /// Greatest displacement of any point of the skin, in pixels of the frame.
    pub travel_px: f32,
}

/// One sequence.
pub struct Sequence {
    /// The person.
    pub subject: Subject,
    /// What the face does.
    pub script: Script,
    /// What it is seen by.
    pub camera: Camera,
    /// Length.
    pub seconds: f64,
    /// Truth.
    pub micros: Vec<Micro>,
    /// What else happens.
    pub distractors: Vec<Span>,
}

/// What a sequence is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Content {
    /// Micro-expressions of 10 to 35 % among distractors, 8 s.
    Mixed,
    /// Distractors alone, 15 s.
    Distractors,
    /// One weak to strong micro-expression after the other (3 to 60 %), no distractors, 8 s.
    Curve,
    /// Nothing but the sway of a head, 10 s.
    Still,
}

/// Quantiles (5, 25, 50, 75, 95 %) of the durations annotated in CASME II (Yan et al. 2014), in ms.
const DURATION_MS: [f64; 5] = [175.0, 250.0, 300.0, 425.0, 495.0];
/// Share of movements on one side (the same annotations).
const ONE_SIDED: f64 = 0.19;
/// Stillness at the start, while the neutral face is learned.
const LEAD_IN_MS: f64 = 1200.0;
/// Nothing happens so long before the end.
const LEAD_OUT_MS: f64 = 500.0;

/// A person of a split: the id is `synthetic-SEED`, and the project's rule says who is held out.
pub fn person(rng: &mut SmallRng, split: Split) -> u64 {
    loop {
        let seed = u64::from(rng.random::<u32>());
        if is_held_out(&format!("synthetic-{seed}")) == (split == Split::Test) {
            return seed;
        }
    }
}

/// Sequence `index` of a run.
pub fn sequence(
    pack: &glint::synth::Pack,
    content: Content,
    split: Split,
    seed: u64,
    index: u64,
) -> Sequence {
    // Each content draws its own people and courses.
    let stream = match content {
        Content::Mixed => 1,
        Content::Distractors => 2,
        Content::Curve => 3,
        Content::Still => 4,
    };
    let mut rng = generator(seed.wrapping_mul(31) + stream, index);
    let subject = Subject::random(pack, person(&mut rng, split));
    let camera = camera(&mut rng);
    let seconds = match content {
        Content::Mixed | Content::Curve => 8.0,
        Content::Distractors => 15.0,
        Content::Still => 10.0,
    };
    let mut s = Sequence {
        subject,
        script: ambience(&mut rng, content),
        camera,
        seconds,
        micros: Vec::new(),
        distractors: Vec::new(),
    };
    match content {
        Content::Mixed => mixed(&mut s, &mut rng),
        Content::Distractors => distractors_only(&mut s, &mut rng),
        Content::Curve => {
            let mut at_ms = LEAD_IN_MS;
            while at_ms < 1e3 * seconds - LEAD_OUT_MS - 600.0 {
                let fraction = (rng.random_range(0.03f32.ln()..0.6f32.ln())).exp();
                let length = s.micro(at_ms, fraction, &mut rng);
                at_ms += length + rng.random_range(500.0..900.0);
            }
        }
        Content::Still => {}
    }
    s
}

fn camera(rng: &mut SmallRng) -> Camera {
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

/// Sway, gaze and lamps of a whole sequence.
fn ambience(rng: &mut SmallRng, content: Content) -> Script {
    let restless = if content == Content::Still { 1.0 } else { rng.random_range(0.5..2.0) };
    let sway = HeadMotion::SWAY;
    let lively = content != Content::Still && rng.random_bool(0.5);
    Script {
        actions: Vec::new(),
        head: HeadMotion {
            shift: restless * sway.shift,
            roll_degrees: restless * sway.roll_degrees,
            yaw_degrees: restless * sway.yaw_degrees,
            pitch_degrees: restless * sway.pitch_degrees,
            zoom: restless * sway.zoom,
            speed: rng.random_range(0.6..1.4),
            seed: rng.random(),
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
        speech: Vec::new(),
        turns: Vec::new(),
        light_changes: Vec::new(),
    }
}

/// One or two micro-expressions, one or two blinks and in half of the sequences something longer, in any
/// order, apart by 300 ms or more. What does not fit is left out; a micro-expression always fits.
fn mixed(s: &mut Sequence, rng: &mut SmallRng) {
    #[derive(Clone, Copy)]
    enum Item {
        Micro,
        Other(Distractor),
    }
    let mut items = vec![Item::Micro, Item::Other(Distractor::Blink)];
    if rng.random_bool(0.5) {
        items.push(Item::Micro);
    }
    if rng.random_bool(0.3) {
        items.push(Item::Other(Distractor::Blink));
    }
    if rng.random_bool(0.5) {
        const LONG: [Distractor; 4] =
            [Distractor::Macro, Distractor::Speech, Distractor::Turn, Distractor::Light];
        items.push(Item::Other(LONG[rng.random_range(0..LONG.len())]));
    }
    for i in (1..items.len()).rev() {
        items.swap(i, rng.random_range(0..=i));
    }
    let mut at_ms = LEAD_IN_MS + rng.random_range(0.0..600.0);
    let end_ms = 1e3 * s.seconds - LEAD_OUT_MS;
    for item in items {
        let length = match item {
            Item::Micro if at_ms + 500.0 < end_ms => s.micro(at_ms, rng.random_range(0.10..0.35), rng),
            Item::Other(what) if at_ms + 2500.0 < end_ms => s.distract(what, at_ms, rng),
            _ => continue,
        };
        at_ms += length + rng.random_range(300.0..1200.0);
    }
}

fn distractors_only(s: &mut Sequence, rng: &mut SmallRng) {
    const ALL: [Distractor; 7] = [
        Distractor::Blink,
        Distractor::Blink,
        Distractor::Blink,
        Distractor::Macro,
        Distractor::Speech,
        Distractor::Turn,
        Distractor::Light,
    ];
    let mut at_ms = LEAD_IN_MS + rng.random_range(0.0..1500.0);
    while at_ms + 3000.0 < 1e3 * s.seconds - LEAD_OUT_MS {
        let length = s.distract(ALL[rng.random_range(0..ALL.len())], at_ms, rng);
        at_ms += length + rng.random_range(300.0..2000.0);
    }
}

fn ns(ms: f64) -> i64 {
    (1e6 * ms).round() as i64
}

/// A duration by the inverse of the distribution that the quantiles describe, from 5 to 95 %.
fn duration_ms(rng: &mut impl Rng) -> f64 {
    const AT: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];
    let q = rng.random_range(0.05..0.95);
    let i = AT.iter().rposition(|a| *a <= q).unwrap_or(0).min(3);
    DURATION_MS[i] + (q - AT[i]) / (AT[i + 1] - AT[i]) * (DURATION_MS[i + 1] - DURATION_MS[i])
}

impl Sequence {
    /// Adds a micro-expression; returns its length in ms.
    fn micro(&mut self, at_ms: f64, fraction: f32, rng: &mut SmallRng) -> f64 {
        let rules = combinations(Class::ALL[random_class(rng)]);
        let aus = rules[rng.random_range(0..rules.len())].to_vec();
        let side = match rng.random_bool(ONE_SIDED) {
            true if rng.random() => Side::Left,
            true => Side::Right,
            false => Side::Both,
        };
        let length = duration_ms(rng);
        let (onset_ns, offset_ns) = (ns(at_ms), ns(at_ms + length));
        let apex_ns = ns(at_ms + rng.random_range(0.35..0.6) * length);
        let mut fractions = [0.0; UNIT_COUNT];
        for &au in &aus {
            unit_indices(au, side).for_each(|k| fractions[k] = fraction);
            self.script.actions.push(Action {
                au,
                side,
                intensity: fraction,
                onset_ns,
                apex_ns,
                offset_ns,
                profile: Profile::Cosine,
            });
        }
        let travel_px = travel_px(&self.subject, &fractions, self.camera.eye_distance_px);
        self.micros.push(Micro { onset_ns, apex_ns, offset_ns, fraction, aus, travel_px });
        length
    }

    /// Adds a distractor; returns its length in ms, 2500 at most.
    fn distract(&mut self, what: Distractor, at_ms: f64, rng: &mut SmallRng) -> f64 {
        let from_ns = ns(at_ms);
        let length = match what {
            Distractor::Blink => rng.random_range(150.0..350.0),
            Distractor::Macro => rng.random_range(700.0..2500.0),
            Distractor::Speech => rng.random_range(1000.0..2500.0),
            Distractor::Turn => rng.random_range(600.0..2500.0),
            Distractor::Light => rng.random_range(30.0..400.0),
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
                let rules = combinations(Class::ALL[random_class(rng)]);
                let intensity = rng.random_range(0.3..0.9);
                let apex_ns = ns(at_ms + rng.random_range(0.2..0.4) * length);
                for &au in rules[rng.random_range(0..rules.len())] {
                    self.script.actions.push(Action {
                        au,
                        side: Side::Both,
                        intensity,
                        onset_ns: from_ns,
                        apex_ns,
                        offset_ns: to_ns,
                        profile: Profile::Hold,
                    });
                }
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
        }
        self.distractors.push(Span { what, from_ns, to_ns });
        length
    }
}

/// Greatest displacement of any point of the skin at `fractions`, in pixels of a frame.
pub fn travel_px(subject: &Subject, fractions: &[f32; UNIT_COUNT], eye_distance_px: f32) -> f32 {
    let flow = displacement(subject, fractions);
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
mod tests {
    use super::*;
    use glint::synth::Pack;

    #[test]
    fn sequences_repeat_and_their_truth_is_in_order() {
        let pack = Pack::embedded().expect("pack");
        for content in [Content::Mixed, Content::Distractors, Content::Curve] {
            for index in 0..12 {
                let a = sequence(&pack, content, Split::Test, 3, index);
                let b = sequence(&pack, content, Split::Test, 3, index);
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
                    assert!((170.0..=500.0).contains(&ms) && m.travel_px > 0.05, "{m:?}");
                }
            }
        }
    }

    #[test]
    fn nobody_is_in_both_splits() {
        let mut rng = generator(1, 1);
        for split in [Split::Tune, Split::Test] {
            for _ in 0..50 {
                let id = format!("synthetic-{}", person(&mut rng, split));
                assert_eq!(is_held_out(&id), split == Split::Test);
            }
        }
    }
}
