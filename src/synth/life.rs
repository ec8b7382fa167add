//! What a living face does all the time, on top of its movements: fine tension, lids that follow the gaze, articulation,
//! a head that breathes, trembles, drifts and shifts.

use serde::{Deserialize, Serialize};

use super::motion::{HeadMotion, Speech, raised_cosine};
use crate::au::{Side, UNIT_COUNT, UNITS, unit_indices};
use crate::random::SplitMix;

/// A head that goes from one posture to another, or there and back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadMove {
    /// Last instant before it.
    pub from_ns: i64,
    /// First instant after it.
    pub to_ns: i64,
    /// Shift to the image's right and down, in eye distances.
    pub shift: [f32; 2],
    /// Roll in degrees.
    pub roll_degrees: f32,
    /// Yaw in degrees, towards the image's right.
    pub yaw_degrees: f32,
    /// Pitch in degrees, downwards.
    pub pitch_degrees: f32,
    /// Change of size as a share.
    pub zoom: f32,
    /// Whether the head comes back by `to_ns`; else it stays.
    pub returns: bool,
}

impl HeadMove {
    /// Share of the move at a time, 0 to 1.
    fn share(&self, at_ns: i64) -> f32 {
        let share = (at_ns - self.from_ns) as f64 / (self.to_ns - self.from_ns).max(1) as f64;
        let share = share.clamp(0.0, 1.0);
        raised_cosine(if self.returns { 2.0 * share } else { share }) as f32
    }
}

/// Where the head is: shift in eye distances, roll, yaw and pitch in radians, change of size as a share.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Posture {
    pub(super) shift: [f32; 2],
    pub(super) roll: f32,
    pub(super) turn: [f32; 2],
    pub(super) zoom: f32,
}

impl Posture {
    pub(super) fn add(&mut self, motion: &HeadMotion, at_ns: i64) {
        let [x, y, roll, zoom] = motion.offsets(at_ns);
        let turn = motion.turn_at(at_ns);
        self.shift = [self.shift[0] + x, self.shift[1] + y];
        self.turn = [self.turn[0] + turn[0], self.turn[1] + turn[1]];
        (self.roll, self.zoom) = (self.roll + roll, self.zoom + zoom);
    }

    fn shift_by(&mut self, m: &HeadMove, at_ns: i64) {
        let share = m.share(at_ns);
        self.shift = [self.shift[0] + share * m.shift[0], self.shift[1] + share * m.shift[1]];
        self.turn[0] += share * m.yaw_degrees.to_radians();
        self.turn[1] += share * m.pitch_degrees.to_radians();
        self.roll += share * m.roll_degrees.to_radians();
        self.zoom += share * m.zoom;
    }
}

/// What a living face does all the time. The default does nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Life {
    /// Greatest fine tension of a unit, as a fraction of its full shape: electromyograms of relaxed faces are never silent.
    pub tension: f32,
    /// Multiplies the rates of tension; 1 has parts from 0.15 to 1.9 Hz.
    pub tension_speed: f32,
    /// Greatest fraction of the full shape that a restless part of the face reaches: brows, lids, cheeks and mouth each have
    /// episodes in which they are never still, and pauses.
    pub fidget: f32,
    /// How far the upper lids follow the gaze up and down: fraction of AU 5 and AU 45 at a gaze of 1.
    pub lids_follow: f32,
    /// Strength of what lips, cheeks and chin do in speech beside the jaw, as a fraction of the full shapes.
    pub articulation: f32,
    /// Motions of the head on top of its sway: breathing, tremor, drift.
    pub layers: Vec<HeadMotion>,
    /// Changes of posture, nods, short turns.
    pub moves: Vec<HeadMove>,
    /// Chooses phases and syllables.
    pub seed: u64,
}

impl Life {
    /// What is wrong with it, or nothing.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let within = |v: f32| (0.0..=1.0).contains(&v);
        if ![self.tension, self.fidget, self.lids_follow, self.articulation].into_iter().all(within) {
            return Err("tension, fidget, lids_follow and articulation lie in 0 to 1");
        }
        if !(0.0..=20.0).contains(&self.tension_speed) {
            return Err("tension_speed lies in 0 to 20");
        }
        let ordered = self
            .moves
            .iter()
            .all(|m| m.from_ns < m.to_ns && m.yaw_degrees.abs().max(m.pitch_degrees.abs()) <= 45.0);
        if !ordered {
            return Err("a move's from_ns lies before its to_ns, its degrees in -45 to 45");
        }
        Ok(())
    }

    /// Moves the head.
    pub(super) fn pose(&self, at_ns: i64, posture: &mut Posture) {
        self.layers.iter().for_each(|l| posture.add(l, at_ns));
        self.moves.iter().for_each(|m| posture.shift_by(m, at_ns));
    }

    /// Adds tension, lids and articulation at a time to the fractions of all units.
    pub(super) fn add(&self, at_ns: i64, gaze: [f32; 2], speech: &[Speech], out: &mut [f32; UNIT_COUNT]) {
        let mut give = |unit: usize, amount: f32| out[unit] = (out[unit] + amount).clamp(0.0, 1.0);
        if self.tension > 0.0 {
            let t = f64::from(self.tension_speed) * at_ns as f64 / 1e9;
            let mut rng = SplitMix(self.seed ^ 0x7465_6e73);
            for unit in 0..UNIT_COUNT {
                // Rates fall apart from unit to unit; slow parts are stronger than fast ones.
                let wave = [0.15, 0.4, 0.9, 1.9].map(|hz| {
                    let (rate, phase) =
                        (hz * (0.7 + 0.6 * rng.uniform()), std::f64::consts::TAU * f64::from(rng.uniform()));
                    (std::f64::consts::TAU * f64::from(rate) * t + phase).sin()
                        / (f64::from(hz) / 0.15).sqrt()
                });
                let strength = 0.25 + 0.75 * rng.uniform();
                // Between nothing and the greatest tension.
                give(unit, self.tension * strength * (0.5 + 0.25 * wave.iter().sum::<f64>() as f32).max(0.0));
            }
        }
        if self.fidget > 0.0 {
            self.be_restless(at_ns, &mut give);
        }
        if self.lids_follow > 0.0 {
            let down = self.lids_follow * gaze[1];
            for unit in unit_indices(if down > 0.0 { 45 } else { 5 }, Side::Both) {
                give(unit, down.abs());
            }
        }
        if self.articulation > 0.0 {
            for s in speech.iter().filter(|s| at_ns > s.from_ns && at_ns < s.to_ns) {
                self.articulate(at_ns, s, &mut give);
            }
        }
    }

    /// What restless parts of the face do at a time: the AUs of a part move by themselves, at 0.4 to 3.5 Hz, both sides of
    /// each together but not alike.
    fn be_restless(&self, at_ns: i64, give: &mut impl FnMut(usize, f32)) {
        const PARTS: [&[u8]; 4] =
            [&[1, 2, 4], &[5, 7], &[6, 9, 10, 12, 14], &[15, 16, 17, 18, 20, 23, 24, 25, 26]];
        let t = at_ns as f64 / 1e9;
        let mut rng = SplitMix(self.seed ^ 0x6669_6467);
        for part in PARTS {
            let turn = |rng: &mut SplitMix, hz: f32| {
                let phase = std::f64::consts::TAU * f64::from(rng.uniform());
                (std::f64::consts::TAU * f64::from(hz) * t + phase).sin() as f32
            };
            let (slow_hz, pause) = (0.04 + 0.2 * rng.uniform(), rng.uniform() - 0.4);
            let episode = ((turn(&mut rng, slow_hz) - pause) / (1.0 - pause)).max(0.0);
            for &au in part {
                let strength = rng.uniform();
                let wave: f32 = [0.4, 1.1, 2.4]
                    .map(|hz| {
                        let hz = hz * (1.0 + 0.5 * rng.uniform());
                        turn(&mut rng, hz)
                    })
                    .into_iter()
                    .sum();
                let amount = self.fidget * episode * strength * (0.5 + wave / 6.0);
                let weaker = 0.5 + 0.5 * rng.uniform();
                let left = rng.uniform() < 0.5;
                for (unit, u) in UNITS.iter().enumerate().filter(|(_, u)| u.au == au) {
                    let is_weaker = (u.side == Side::Left) == left && u.side != Side::Both;
                    give(unit, if is_weaker { weaker * amount } else { amount });
                }
            }
        }
    }

    /// Lips, cheeks and chin of a stretch of speech: each syllable draws a few units and how strongly they move, and its
    /// movement overlaps that of its neighbours.
    fn articulate(&self, at_ns: i64, speech: &Speech, give: &mut impl FnMut(usize, f32)) {
        const LIPS: [u8; 11] = [10, 12, 14, 15, 16, 17, 18, 20, 23, 24, 25];
        let period_ns = 1e9 / f64::from(speech.rate_hz);
        let since = (at_ns - speech.from_ns) as f64 / period_ns;
        let (head, tail) = (since, (speech.to_ns - at_ns) as f64 / period_ns);
        let fade = raised_cosine(head.min(1.0)) * raised_cosine(tail.min(1.0));
        for slot in [since.floor() - 1.0, since.floor()] {
            if slot < 0.0 {
                continue;
            }
            // From the beginning of its slot to the end of the next one.
            let pulse = raised_cosine(since - slot) * fade;
            let mut rng = SplitMix(
                self.seed ^ (slot as u64).wrapping_mul(0x94d0_49bb_1331_11eb) ^ u64::from(speech.seed),
            );
            for _ in 0..3 {
                let au = LIPS[(rng.next() % LIPS.len() as u64) as usize];
                let amount = self.articulation * rng.uniform() * pulse as f32;
                unit_indices(au, Side::Both).for_each(|unit| give(unit, amount));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::{ROUNDING, SUMS, THOUSANDTH};
    use proptest::prelude::*;

    fn lively(seed: u64) -> Life {
        Life {
            tension: 0.01,
            tension_speed: 1.0,
            fidget: 0.05,
            lids_follow: 0.3,
            articulation: 0.4,
            layers: vec![HeadMotion { speed: 30.0, shift: 0.01, ..HeadMotion::STILL }],
            moves: vec![HeadMove {
                from_ns: 0,
                to_ns: 1_000_000_000,
                shift: [0.2, 0.1],
                roll_degrees: 2.0,
                yaw_degrees: 5.0,
                pitch_degrees: -3.0,
                zoom: 0.02,
                returns: seed.is_multiple_of(2),
            }],
            seed,
        }
    }

    #[test]
    fn a_posture_stays_and_a_nod_comes_back() {
        let end = |returns| {
            let mut life = lively(1);
            (life.layers, life.moves[0].returns) = (Vec::new(), returns);
            let mut posture = Posture::default();
            life.pose(3_000_000_000, &mut posture);
            posture
        };
        assert_eq!(end(true), Posture::default());
        assert!(
            (end(false).shift[0] - 0.2).abs() < ROUNDING
                && (end(false).turn[0].to_degrees() - 5.0).abs() < SUMS
        );
    }

    #[test]
    fn a_face_without_life_is_still() {
        let mut out = [0.0; UNIT_COUNT];
        Life::default().add(5, [1.0, 1.0], &[], &mut out);
        assert_eq!(out, [0.0; UNIT_COUNT]);
        let mut posture = Posture::default();
        Life::default().pose(5, &mut posture);
        assert_eq!(posture, Posture::default());
    }

    proptest! {
        #[test]
        fn life_has_no_jumps(at_ns in 0i64..6_000_000_000, seed in 0u64..100) {
            let life = lively(seed);
            let speech = [Speech { from_ns: 500_000_000, to_ns: 5_000_000_000, strength: 0.5, rate_hz: 5.0, seed: 3 }];
            let at = |ns| {
                let mut out = [0.0; UNIT_COUNT];
                life.add(ns, [0.2, -0.4], &speech, &mut out);
                out
            };
            for (a, b) in at(at_ns).iter().zip(&at(at_ns + 100_000)) {
                prop_assert!((a - b).abs() < 2e-3 && (0.0..=1.0).contains(a));
            }
            let head = |ns| { let mut p = Posture::default(); life.pose(ns, &mut p); p };
            prop_assert!((head(at_ns).shift[0] - head(at_ns + 100_000).shift[0]).abs() < THOUSANDTH);
        }
    }
}
