//! World A as living faces have it: everything that a face, a head and a camera do all the time, and micro-expressions in it.
//!
//! Rates and amplitudes: blinks 15 to 20 a minute, some double, some half (Bentivoglio et al. 1997; Stern et al. 1984);
//! fixations 0.2 to 0.6 s with lids that follow (Becker and Fuchs 1988); breathing 0.2 to 0.35 Hz; physiological tremor 4 to
//! 9 Hz; syllables 3 to 7 Hz with pauses of 0.2 to 1 s (Goldman-Eisler 1968).

use glint::au::Side;
use glint::synth::{
    Action, Camera, Gaze, HeadMotion, HeadMove, Life, LightChange, Lighting, Profile, Script, Speech,
};
use rand::Rng;
use rand::rngs::SmallRng;

use super::mix::Priors;
use super::sequence::{Distractor, Sequence, Span, glasses, ns};

/// Nothing but life happens so long at the start.
const LEAD_IN_MS: f64 = 1000.0;
/// Nothing begins so long before the end.
const LEAD_OUT_MS: f64 = 700.0;
/// A micro-expression keeps so far from talk, fast head movements, hands and glare, and from blinks most of the time.
const CLEAR_MS: f64 = 200.0;
/// Share of micro-expressions that may lie beside a blink.
const BESIDE_BLINKS: f64 = 0.5;
/// Head movements under this speed, in degrees a second or hundredths of an eye distance a second, go on at all times; a
/// candidate within a faster one that is no micro-expression is a turn.
const SLOW: f32 = 8.0;
/// Micro-expressions keep clear of head movements over this speed: a head that sways by a third of an eye distance a second
/// is still watched.
const FAST: f32 = 30.0;
/// Least and greatest extent of a micro-expression, of the full movement. It is told by its duration: it may be strong.
const FRACTION: (f32, f32) = (0.045, 0.9);

/// Least and greatest fraction of the full movement that a restless part of a face reaches.
const FIDGET: (f32, f32) = (0.02, 1.0);

/// Least and greatest extent in degrees of a head that is never still: moves by up to 4 degrees a second for each.
const TURNING: (f32, f32) = (0.3, 7.0);

/// A camera of any kind and quality.
pub fn camera(rng: &mut SmallRng) -> Camera {
    let compressed = rng.random_bool(0.5);
    Camera {
        eye_distance_px: rng.random_range(44.0f32.ln()..125.0f32.ln()).exp(),
        blur: rng.random_bool(0.8),
        read_noise: rng.random_range(0.3..2.2),
        shot_noise: rng.random_range(0.002..0.02),
        exposure: rng.random_range(0.55..1.15),
        jpeg_quality: compressed.then(|| rng.random_range(55..96)),
        shutter_ms: if rng.random_bool(0.2) { rng.random_range(4.0..20.0) } else { 0.0 },
        block_skip: if rng.random_bool(0.3) { rng.random_range(0.6..2.4) } else { 0.0 },
        seed: rng.random(),
        ..Camera::default()
    }
}

/// Life, gaze and light of a whole sequence.
pub fn ambience(rng: &mut SmallRng) -> Script {
    let still = HeadMotion::STILL;
    let restless: f32 = rng.random_range(0.3f32.ln()..2.5f32.ln()).exp();
    let breathing = HeadMotion {
        shift: restless * rng.random_range(0.004..0.02),
        pitch_degrees: restless * rng.random_range(0.1..0.6),
        speed: rng.random_range(1.4..2.4),
        seed: rng.random(),
        ..still
    };
    let tremor = HeadMotion {
        shift: restless * rng.random_range(0.0003..0.0015),
        roll_degrees: restless * rng.random_range(0.0..0.04),
        yaw_degrees: restless * rng.random_range(0.0..0.06),
        pitch_degrees: restless * rng.random_range(0.0..0.06),
        speed: rng.random_range(28.0..50.0),
        seed: rng.random(),
        ..still
    };
    let drift = HeadMotion {
        shift: restless * rng.random_range(0.05..0.3),
        roll_degrees: restless * rng.random_range(0.5..3.0),
        yaw_degrees: restless * rng.random_range(1.0..5.0),
        pitch_degrees: restless * rng.random_range(0.5..3.5),
        zoom: restless * rng.random_range(0.01..0.05),
        speed: rng.random_range(0.15..0.6),
        seed: rng.random(),
    };
    Script {
        head: HeadMotion {
            speed: rng.random_range(0.6..1.6),
            seed: rng.random(),
            ..HeadMotion::SWAY.scaled(restless)
        },
        lighting: Lighting {
            drift: if rng.random_bool(0.4) { rng.random_range(0.0..0.12) } else { 0.0 },
            flicker: if rng.random_bool(0.3) { rng.random_range(0.0..0.03) } else { 0.0 },
            mains_hz: if rng.random() { 50.0 } else { 60.0 },
        },
        gaze: Gaze {
            extent: rng.random_range(0.05..0.8),
            rate_hz: rng.random_range(0.6..3.0),
            seed: rng.random(),
        },
        glasses: rng.random_bool(0.25).then(|| glasses(rng)),
        life: Life {
            tension: rng.random_range(0.002..0.014),
            tension_speed: rng.random_range(0.6..1.7),
            fidget: 0.0,
            lids_follow: rng.random_range(0.05..0.4),
            articulation: rng.random_range(0.1..0.6),
            layers: vec![breathing, tremor, drift],
            moves: Vec::new(),
            seed: rng.random(),
        },
        ..Script::default()
    }
}

/// How a photograph is held, and the light on it.
pub fn hand(rng: &mut SmallRng) -> Script {
    let size: f32 = rng.random_range(0.05f32.ln()..2.0f32.ln()).exp();
    let wander = HeadMotion {
        shift: size * rng.random_range(0.01..0.1),
        roll_degrees: size * rng.random_range(0.2..3.0),
        yaw_degrees: size * rng.random_range(0.5..5.0),
        pitch_degrees: size * rng.random_range(0.5..5.0),
        zoom: size * rng.random_range(0.002..0.03),
        speed: rng.random_range(1.0..6.0),
        seed: rng.random(),
    };
    let living = ambience(rng);
    Script {
        head: wander,
        gaze: Gaze::STILL,
        life: Life { layers: vec![living.life.layers[1]], ..Life::default() },
        ..living
    }
}

/// Times in ms at which something happens at random, with so long between on average, `dead_ms` at least.
fn moments(rng: &mut SmallRng, seconds: f64, mean_ms: f64, dead_ms: f64) -> Vec<f64> {
    let mut out = Vec::new();
    let mut at_ms = LEAD_IN_MS;
    loop {
        at_ms += dead_ms - (mean_ms - dead_ms).max(1.0) * (1.0 - rng.random::<f64>()).ln();
        if at_ms > 1e3 * seconds - LEAD_OUT_MS {
            return out;
        }
        out.push(at_ms);
    }
}

impl Sequence<'_> {
    /// Everything at once, each by its own chance.
    pub(super) fn living(&mut self, priors: &Priors, rng: &mut SmallRng) {
        for _ in 0..rng.random_range(0..3) {
            if rng.random_bool(0.4) {
                self.exposure(rng);
            }
        }
        self.be_lively(rng);
        self.blinks(rng);
        // Half of the people watch a screen: they talk to nobody and move less.
        let calm = rng.random_bool(0.5);
        if !calm && rng.random_bool(0.7) {
            self.talk(rng);
        }
        self.expressions(if calm { 9000.0 } else { 4500.0 }, priors, rng);
        let mean_ms = rng.random_range(1500.0..9000.0) * if calm { 2.0 } else { 1.0 };
        self.head_moves(mean_ms, rng);
        for what in [Distractor::Hand, Distractor::Glare] {
            if rng.random_bool(0.12) {
                let at_ms = rng.random_range(LEAD_IN_MS..1e3 * self.seconds - 3200.0);
                self.distract(what, priors, at_ms, rng);
            }
        }
        let mean_ms = if calm { rng.random_range(750.0..1500.0) } else { rng.random_range(900.0..2500.0) };
        self.micros_between(mean_ms, priors, rng);
    }

    /// Most faces are restless now and then, some hardly ever, a few all the time; so are heads.
    fn be_lively(&mut self, rng: &mut SmallRng) {
        self.script.life.fidget = rng.random_range(FIDGET.0.ln()..FIDGET.1.ln()).exp();
        let degrees = rng.random_range(TURNING.0.ln()..TURNING.1.ln()).exp();
        self.script.life.layers.push(HeadMotion {
            shift: 0.01 * degrees * rng.random_range(0.2..1.5),
            roll_degrees: degrees * rng.random_range(0.1..0.8),
            yaw_degrees: degrees * rng.random_range(0.3..1.0),
            pitch_degrees: degrees * rng.random_range(0.2..0.8),
            zoom: 0.002 * degrees * rng.random_range(0.0..1.0),
            speed: rng.random_range(1.2..4.0),
            seed: rng.random(),
        });
    }

    /// Nods, turns and shakes of a photograph, slow and fast; all of it counts as a turn.
    pub(super) fn held_in_a_hand(&mut self, rng: &mut SmallRng) {
        if rng.random_bool(0.3) {
            self.exposure(rng);
        }
        for at_ms in moments(rng, self.seconds, 1100.0, 300.0) {
            let length: f64 = rng.random_range(150.0f64.ln()..900.0f64.ln()).exp();
            let size: f32 = rng.random_range(1.0f32.ln()..15.0f32.ln()).exp();
            let mut part = |most: f32| {
                if rng.random_bool(0.5) { size * most * rng.random_range(-1.0..1.0f32) } else { 0.0 }
            };
            self.script.life.moves.push(HeadMove {
                from_ns: ns(at_ms),
                to_ns: ns(at_ms + length),
                shift: [part(0.02), part(0.02)],
                roll_degrees: part(0.4),
                yaw_degrees: part(1.0),
                pitch_degrees: part(1.0),
                zoom: part(0.006),
                returns: rng.random_bool(0.8),
            });
        }
        let to_ns = ns(1e3 * self.seconds);
        self.distractors.push(Span { what: Distractor::Turn, from_ns: 0, to_ns });
    }

    /// The light or the camera's exposure goes to another level.
    fn exposure(&mut self, rng: &mut SmallRng) {
        let from_ms = rng.random_range(500.0..1e3 * self.seconds - 500.0);
        let (from_ns, to_ns) = (ns(from_ms), ns(from_ms + rng.random_range(20.0..900.0)));
        let gain = rng.random_range(0.8f32.ln()..1.25f32.ln()).exp();
        self.script.light_changes.push(LightChange { from_ns, to_ns, gain });
        self.distractors.push(Span { what: Distractor::Light, from_ns, to_ns });
    }

    fn blinks(&mut self, rng: &mut SmallRng) {
        let mean_ms = rng.random_range(1800.0..6000.0);
        for at_ms in moments(rng, self.seconds, mean_ms, 500.0) {
            let half = rng.random_bool(0.2);
            let count = if rng.random_bool(0.15) { 2 } else { 1 };
            let mut from_ms = at_ms;
            for _ in 0..count {
                let length = rng.random_range(130.0..400.0);
                let intensity = if half { rng.random_range(0.2..0.6) } else { rng.random_range(0.7..1.0) };
                let [from_ns, apex_ns, to_ns] =
                    [from_ms, from_ms + rng.random_range(0.28..0.42) * length, from_ms + length].map(ns);
                let profile = if rng.random() { Profile::Relax } else { Profile::Cosine };
                // Lids drag cheeks and brows along a little.
                let squeeze = rng.random_range(0.0..0.15) * intensity;
                self.act(
                    &[(45, Side::Both, intensity), (7, Side::Both, squeeze), (6, Side::Both, 0.5 * squeeze)],
                    [from_ns, apex_ns, to_ns],
                    profile,
                );
                self.distractors.push(Span { what: Distractor::Blink, from_ns, to_ns });
                from_ms += length + rng.random_range(20.0..180.0);
            }
        }
    }

    fn talk(&mut self, rng: &mut SmallRng) {
        let mut at_ms = rng.random_range(LEAD_IN_MS..0.6 * 1e3 * self.seconds);
        let end_ms = (at_ms + rng.random_range(1500.0..8000.0)).min(1e3 * self.seconds - LEAD_OUT_MS);
        let strength = rng.random_range(0.05..0.6);
        while at_ms < end_ms {
            let length = rng.random_range(150.0..2500.0);
            let (from_ns, to_ns) = (ns(at_ms), ns(at_ms + length));
            self.script.speech.push(Speech {
                from_ns,
                to_ns,
                strength,
                rate_hz: rng.random_range(3.0..7.0),
                seed: rng.random(),
            });
            self.distractors.push(Span { what: Distractor::Speech, from_ns, to_ns });
            // The head and the brows stress what is said.
            if rng.random_bool(0.5) {
                self.nod(at_ms + rng.random_range(0.0..length), rng);
            }
            if rng.random_bool(0.3) {
                let intensity = rng.random_range(0.05..0.4);
                let from_ms = at_ms + rng.random_range(0.0..length);
                let times = [from_ms, from_ms + 150.0, from_ms + rng.random_range(350.0..700.0)].map(ns);
                self.act(&[(1, Side::Both, intensity), (2, Side::Both, intensity)], times, Profile::Cosine);
                self.distractors.push(Span { what: Distractor::Speech, from_ns: times[0], to_ns: times[2] });
            }
            at_ms += length + rng.random_range(120.0..1000.0);
        }
    }

    /// Expressions that last, weak ones that are held, laughter, swallowing and moistened lips.
    fn expressions(&mut self, mean_ms: f64, priors: &Priors, rng: &mut SmallRng) {
        for at_ms in moments(rng, self.seconds, mean_ms, 800.0) {
            let kind = rng.random_range(0..10);
            if kind < 6 {
                let length = rng.random_range(700.0f64.ln()..6000.0f64.ln()).exp();
                let intensity = rng.random_range(0.04f32.ln()..0.9f32.ln()).exp();
                let rise = rng.random_range(120.0..900.0f64).min(0.4 * length);
                let times = [at_ms, at_ms + rise, at_ms + length].map(ns);
                let parts: Vec<_> = priors
                    .movement(rng)
                    .1
                    .iter()
                    .map(|&(au, side)| (au, side, (intensity * rng.random_range(0.6..1.4)).min(1.0)))
                    .collect();
                self.act(&parts, times, Profile::Hold);
                self.distractors.push(Span { what: Distractor::Macro, from_ns: times[0], to_ns: times[2] });
            } else if kind < 8 {
                // A swallow, or lips pressed and moistened.
                let length = rng.random_range(400.0..1100.0);
                let times = [at_ms, at_ms + 0.4 * length, at_ms + length].map(ns);
                let parts: &[(u8, f32)] = if kind == 6 {
                    &[(17, 0.3), (24, 0.25), (26, 0.06)]
                } else {
                    &[(24, 0.4), (23, 0.3), (25, 0.15), (18, 0.15)]
                };
                let scale = rng.random_range(0.3..1.2);
                let parts: Vec<_> = parts.iter().map(|&(au, f)| (au, Side::Both, scale * f)).collect();
                self.act(&parts, times, Profile::Cosine);
                self.distractors.push(Span { what: Distractor::Speech, from_ns: times[0], to_ns: times[2] });
            } else if kind == 8 {
                // Laughter: a smile that shakes.
                let length = rng.random_range(900.0..2400.0);
                let times = [at_ms, at_ms + 250.0, at_ms + length].map(ns);
                let smile = rng.random_range(0.3..0.9);
                self.act(&[(12, Side::Both, smile), (6, Side::Both, 0.7 * smile)], times, Profile::Hold);
                self.script.speech.push(Speech {
                    from_ns: times[0],
                    to_ns: times[2],
                    strength: rng.random_range(0.1..0.5),
                    rate_hz: rng.random_range(4.0..6.0),
                    seed: rng.random(),
                });
                self.distractors.push(Span { what: Distractor::Speech, from_ns: times[0], to_ns: times[2] });
                self.nod(at_ms, rng);
            } else {
                // A twitch of the jaw.
                let times = [at_ms, at_ms + 150.0, at_ms + rng.random_range(280.0..700.0)].map(ns);
                self.act(&[(26, Side::Both, rng.random_range(0.03..0.2))], times, Profile::Cosine);
                self.distractors.push(Span { what: Distractor::Speech, from_ns: times[0], to_ns: times[2] });
            }
        }
    }

    fn head_moves(&mut self, mean_ms: f64, rng: &mut SmallRng) {
        for at_ms in moments(rng, self.seconds, mean_ms, 300.0) {
            self.nod(at_ms, rng);
        }
    }

    /// A nod, a shake, a short turn or a change of posture.
    fn nod(&mut self, at_ms: f64, rng: &mut SmallRng) {
        let stays = rng.random_bool(0.35);
        let length = if stays { rng.random_range(250.0..1600.0) } else { rng.random_range(180.0..1500.0) };
        let size: f32 = rng.random_range(0.3f32.ln()..10.0f32.ln()).exp();
        let mut part =
            |most: f32| if rng.random_bool(0.6) { size * most * rng.random_range(-1.0..1.0f32) } else { 0.0 };
        let (from_ns, to_ns) = (ns(at_ms), ns(at_ms + length));
        let shake = HeadMove {
            from_ns,
            to_ns,
            shift: [part(0.03), part(0.03)],
            roll_degrees: part(0.5),
            yaw_degrees: part(1.0),
            pitch_degrees: part(1.0),
            zoom: part(0.006),
            returns: !stays,
        };
        self.script.life.moves.push(shake);
        if speed(&shake) > SLOW {
            self.distractors.push(Span { what: Distractor::Turn, from_ns, to_ns });
        }
    }

    /// Micro-expressions wherever talk, fast head movements and what covers the face leave room.
    fn micros_between(&mut self, mean_ms: f64, priors: &Priors, rng: &mut SmallRng) {
        let mut busy: Vec<(i64, i64, Distractor)> =
            self.distractors.iter().map(|d| (d.from_ns, d.to_ns, d.what)).collect();
        let slow = |m: &&HeadMove| speed(m) <= FAST;
        let unhurried: Vec<_> = self
            .script
            .life
            .moves
            .iter()
            .filter(slow)
            .map(|m| (m.from_ns, m.to_ns, Distractor::Turn))
            .collect();
        busy.retain(|b| !unhurried.contains(b));
        for at_ms in moments(rng, self.seconds, mean_ms, 650.0) {
            let beside_blinks = rng.random_bool(BESIDE_BLINKS);
            let fraction = rng.random_range(FRACTION.0.ln()..FRACTION.1.ln()).exp();
            let (from_ns, to_ns) = (ns(at_ms - CLEAR_MS), ns(at_ms + 500.0 + CLEAR_MS));
            let clear = busy.iter().all(|&(from, to, what)| match what {
                Distractor::Macro | Distractor::Light => true,
                Distractor::Blink if beside_blinks => true,
                _ => to < from_ns || from > to_ns,
            });
            if clear {
                let length = self.micro(priors, at_ms, Some(fraction), rng);
                let profile = [Profile::Cosine, Profile::LeastJerk, Profile::Relax][rng.random_range(0..3)];
                let (onset, parts) = self.micros.last().map_or((0, 0), |m| (m.onset_ns, m.parts.len()));
                let first = self.script.actions.len() - parts;
                self.script.actions[first..].iter_mut().for_each(|a: &mut Action| a.profile = profile);
                busy.push((onset, ns(at_ms + length), Distractor::Speech));
            }
        }
    }
}

/// Mean speed of a head movement, in degrees a second or hundredths of an eye distance a second, whichever is more.
fn speed(m: &HeadMove) -> f32 {
    let ways = if m.returns { 2.0 } else { 1.0 };
    let parts = [m.yaw_degrees, m.pitch_degrees, m.roll_degrees, 100.0 * m.shift[0], 100.0 * m.shift[1]];
    ways * parts.map(f32::abs).into_iter().fold(0.0, f32::max) / ((m.to_ns - m.from_ns).max(1) as f32 / 1e9)
}
