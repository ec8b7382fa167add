//! Which movements are put in, and when: at random, where the head is still, and mostly where the face is calm.

use glint::au::Side;
use glint::inject::{Carrier, Injection};
use glint::synth::{Profile, Subject, SynthError};

use super::calm::Calm;

/// Movements begin so long after the first frame: the neutral face has to be known.
const LEAD_IN_NS: i64 = 1_000_000_000;
/// So much lies between two movements at least, and so much more at most.
const APART_NS: (i64, i64) = (700_000_000, 600_000_000);
/// Duration in ms.
const DURATION_MS: (f64, f64) = (120.0, 460.0);
/// What has to be known after a movement before it is put in.
const AFTER_NS: i64 = APART_NS.0 / 2;
/// How long after the onset of a movement all is known that decides on it.
pub(super) const HORIZON_NS: i64 = (DURATION_MS.1 * 1e6) as i64 + AFTER_NS;
/// Fractions of the full movement.
const FRACTIONS: (f64, f64) = (0.08, 0.35);
/// Where the face is not calm, a movement is put off so often.
const PUT_OFF: f64 = 0.8;
/// A movement is put off by so much.
const DELAY_NS: i64 = 100_000_000;
/// A head that moves faster, in eye distances a second, is not asked for small movements.
const FASTEST: f32 = 0.3;
/// The head is still for so long before and after.
const STILL_NS: i64 = 200_000_000;
/// What moves: combinations of the annotated databases, without parting lips, which no displacement field can show.
const MOVEMENTS: [&[(u8, Side)]; 12] = [
    &[(1, Side::Both), (2, Side::Both)],
    &[(4, Side::Both)],
    &[(4, Side::Both), (7, Side::Both)],
    &[(6, Side::Both), (12, Side::Both)],
    &[(12, Side::Left)],
    &[(12, Side::Right)],
    &[(9, Side::Both)],
    &[(10, Side::Both)],
    &[(14, Side::Right)],
    &[(15, Side::Both)],
    &[(17, Side::Both)],
    &[(24, Side::Both)],
];

/// Uniform numbers of a seed (Vigna's splitmix64).
struct Draw(u64);

impl Draw {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, from: f64, to: f64) -> f64 {
        from + self.uniform() * (to - from)
    }
}

/// The next movement, if its stretch turns out to be fit for one: onset, apex, offset in ns.
#[derive(Clone, Copy)]
struct Attempt([i64; 3]);

/// Plans movements one after the other, with what is known of the footage so far. The same seed and footage give the same
/// movements, whether all of it is known or one second more than what is shown.
pub(super) struct Planner {
    draw: Draw,
    subject: Subject,
    /// Where the next movement may begin; `None` before the first frame.
    at_ns: Option<i64>,
    attempt: Option<Attempt>,
}

impl Planner {
    /// The movements of a seed and a round.
    pub(super) fn new(seed: u64, round: u32) -> Result<Self, SynthError> {
        let draw = Draw(seed.wrapping_mul(0x9e37).wrapping_add(u64::from(round)));
        Ok(Self { draw, subject: Injection::subject()?, at_ns: None, attempt: None })
    }

    /// The next movement whose stretch lies in what is known until `known_ns`; `first_ns` is the time of the first frame.
    pub(super) fn next(
        &mut self,
        first_ns: i64,
        known_ns: i64,
        carrier: &Carrier,
        calm: &Calm,
    ) -> Option<Injection> {
        let mut at_ns = match self.at_ns {
            Some(at_ns) => at_ns,
            None => first_ns + LEAD_IN_NS + (self.draw.uniform() * APART_NS.1 as f64) as i64,
        };
        let planned = loop {
            let Attempt(times) = match self.attempt.take() {
                Some(attempt) => attempt,
                None => self.draw_times(at_ns),
            };
            if times[2] + AFTER_NS > known_ns {
                self.attempt = Some(Attempt(times));
                break None;
            }
            let (movement, is_fit) = self.judge(times, carrier, calm);
            if is_fit {
                at_ns = times[2] + APART_NS.0 + (self.draw.uniform() * APART_NS.1 as f64) as i64;
                break Some(Injection::new(&self.subject, movement, times, Profile::LeastJerk));
            }
            at_ns += DELAY_NS;
        };
        self.at_ns = Some(at_ns);
        planned
    }

    fn draw_times(&mut self, at_ns: i64) -> Attempt {
        let length = (1e6 * self.draw.between(DURATION_MS.0, DURATION_MS.1)) as i64;
        Attempt([at_ns, at_ns + (self.draw.between(0.3, 0.6) * length as f64) as i64, at_ns + length])
    }

    /// What would move, and whether this is the place for it.
    fn judge(
        &mut self,
        [at_ns, _, end_ns]: [i64; 3],
        carrier: &Carrier,
        calm: &Calm,
    ) -> (Vec<(u8, Side, f32)>, bool) {
        let fraction = self.draw.between(FRACTIONS.0.ln(), FRACTIONS.1.ln()).exp() as f32;
        let which = (self.draw.uniform() * MOVEMENTS.len() as f64) as usize % MOVEMENTS.len();
        let parts = MOVEMENTS[which].iter().map(|&(au, side)| (au, side, fraction)).collect();
        let is_still =
            carrier.speed(at_ns - STILL_NS, end_ns + STILL_NS).is_some_and(|speed| speed < FASTEST);
        (parts, is_still && (calm.is_calm(at_ns, end_ns) || self.draw.uniform() > PUT_OFF))
    }
}
