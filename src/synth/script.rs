//! What a face does: actions of AUs, head motion, gaze, speech, light.

use serde::{Deserialize, Serialize};

use super::SynthError;
use super::life::{Life, Posture};
use super::motion::{Gaze, HeadMotion, Speech, Turn, raised_cosine};
use super::props::{Glare, Glasses, Hand};
use crate::au::{AUS, Side, UNIT_COUNT, au_index, unit_indices};
use crate::geometry::{Point, Similarity};

/// How a movement goes from onset over apex to offset. Every profile leaves zero and reaches its
/// maximum with zero speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Profile {
    /// A raised cosine up to the apex and another one down.
    #[default]
    Cosine,
    /// Up as a raised cosine, held for half the time that is left, down as a raised cosine.
    Hold,
    /// The least jerk up and down (Flash and Hogan 1985): steeper in the middle than a raised cosine.
    LeastJerk,
    /// Up quickly and with a slow tail down, as muscles relax.
    Relax,
}

/// One movement of one AU: exactly zero until the onset and from the offset on, greatest at the apex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// FACS number.
    pub au: u8,
    /// The subject's side.
    pub side: Side,
    /// Fraction of the full shape, 0 to 1.
    pub intensity: f32,
    /// Last instant without movement.
    pub onset_ns: i64,
    /// Greatest extent.
    pub apex_ns: i64,
    /// First instant without movement.
    pub offset_ns: i64,
    /// Course in between.
    #[serde(default)]
    pub profile: Profile,
}

impl Action {
    /// A movement of both sides of 300 ms: the rise takes 120 ms (Yan et al. 2013: typical).
    pub fn micro(au: u8, intensity: f32, onset_ns: i64) -> Self {
        let (apex_ns, offset_ns) = (onset_ns + 120_000_000, onset_ns + 300_000_000);
        Self { au, side: Side::Both, intensity, onset_ns, apex_ns, offset_ns, profile: Profile::Cosine }
    }

    /// A blink of 260 ms; the lids close faster than they open.
    pub fn blink(onset_ns: i64) -> Self {
        let (apex_ns, offset_ns) = (onset_ns + 90_000_000, onset_ns + 260_000_000);
        Self { apex_ns, offset_ns, ..Self::micro(45, 1.0, onset_ns) }
    }

    /// Fraction of the full shape at a time.
    pub fn at(&self, at_ns: i64) -> f32 {
        let hold_ns = match self.profile {
            Profile::Cosine | Profile::LeastJerk | Profile::Relax => 0,
            Profile::Hold => (self.offset_ns - self.apex_ns) / 2,
        };
        let fall_ns = self.apex_ns + hold_ns;
        let share = if at_ns <= self.onset_ns || at_ns >= self.offset_ns {
            0.0
        } else if at_ns < self.apex_ns {
            (at_ns - self.onset_ns) as f64 / (self.apex_ns - self.onset_ns) as f64
        } else if at_ns <= fall_ns {
            1.0
        } else {
            (self.offset_ns - at_ns) as f64 / (self.offset_ns - fall_ns) as f64
        };
        let course = match self.profile {
            Profile::Cosine | Profile::Hold => raised_cosine(share),
            Profile::LeastJerk => share.powi(3) * (10.0 - 15.0 * share + 6.0 * share * share),
            Profile::Relax if at_ns < self.apex_ns => raised_cosine(share.powf(0.75)),
            Profile::Relax => raised_cosine(share).powf(1.6),
        };
        self.intensity * course as f32
    }

    fn check(&self) -> Result<(), String> {
        if au_index(self.au).is_none() {
            let known = AUS.map(|au| au.to_string()).join(" ");
            return Err(format!("AU {} is unknown; allowed: {known} 43", self.au));
        }
        if !(0.0..=1.0).contains(&self.intensity) {
            return Err(format!("intensity {} is outside 0 to 1", self.intensity));
        }
        if !(self.onset_ns < self.apex_ns && self.apex_ns < self.offset_ns) {
            let Self { onset_ns, apex_ns, offset_ns, .. } = self;
            return Err(format!(
                "onset {onset_ns}, apex {apex_ns}, offset {offset_ns} ns are not in this order"
            ));
        }
        Ok(())
    }
}

/// Light over time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lighting {
    /// Relative slow change of brightness.
    pub drift: f32,
    /// Relative flicker of the lamps, at twice the mains frequency.
    pub flicker: f32,
    /// Mains frequency.
    pub mains_hz: f32,
}

impl Default for Lighting {
    fn default() -> Self {
        Self { drift: 0.0, flicker: 0.0, mains_hz: 50.0 }
    }
}

impl Lighting {
    /// Gain at a time. The flicker appears at the frequency to which the frame rate aliases it.
    pub fn at(&self, at_ns: i64) -> f32 {
        let t = at_ns as f64 / 1e9;
        let lamp = (std::f64::consts::TAU * 2.0 * f64::from(self.mains_hz) * t).sin() as f32;
        1.0 + self.drift * (0.7 * t).sin() as f32 + self.flicker * lamp
    }
}

/// Light that changes once, as when a lamp is switched or a cloud passes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LightChange {
    /// Last instant before it.
    pub from_ns: i64,
    /// First instant at the new level.
    pub to_ns: i64,
    /// Multiplies the light from then on.
    pub gain: f32,
}

/// What the face does, from the first to the last frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Movements; those of one AU add up.
    pub actions: Vec<Action>,
    /// Motion of the head.
    pub head: HeadMotion,
    /// Light.
    pub lighting: Lighting,
    /// Where the eyes look.
    #[serde(default = "still_gaze")]
    pub gaze: Gaze,
    /// Stretches of speech.
    #[serde(default)]
    pub speech: Vec<Speech>,
    /// Turns of the head, on top of its sway.
    #[serde(default)]
    pub turns: Vec<Turn>,
    /// Changes of the light, on top of its drift and flicker.
    #[serde(default)]
    pub light_changes: Vec<LightChange>,
    /// Hands before the face.
    #[serde(default)]
    pub hands: Vec<Hand>,
    /// Glasses.
    #[serde(default)]
    pub glasses: Option<Glasses>,
    /// What shines in the glasses.
    #[serde(default)]
    pub glares: Vec<Glare>,
    /// What the face does all the time.
    #[serde(default)]
    pub life: Life,
}

fn still_gaze() -> Gaze {
    Gaze::STILL
}

impl Default for Script {
    /// A face at rest: a swaying head, eyes straight ahead and even light.
    fn default() -> Self {
        Self {
            actions: Vec::new(),
            head: HeadMotion::SWAY,
            lighting: Lighting::default(),
            gaze: Gaze::STILL,
            speech: Vec::new(),
            turns: Vec::new(),
            light_changes: Vec::new(),
            hands: Vec::new(),
            glasses: None,
            glares: Vec::new(),
            life: Life::default(),
        }
    }
}

impl Script {
    /// A script with movements of the face, and else [`Script::default`].
    ///
    /// # Errors
    /// As [`Script::validate`].
    pub fn new(actions: Vec<Action>) -> Result<Self, SynthError> {
        let script = Self { actions, ..Self::default() };
        script.validate()?;
        Ok(script)
    }

    /// Checks the script. A script that was read from a file is checked with it.
    ///
    /// # Errors
    /// [`SynthError`] names an AU that does not exist, an intensity outside 0 to 1, times out of order, or a number
    /// that is not finite.
    pub fn validate(&self) -> Result<(), SynthError> {
        for (index, action) in self.actions.iter().enumerate() {
            action.check().map_err(|reason| SynthError::Script { index, reason })?;
        }
        let refuse = |part: &'static str, reason: &str| Err(SynthError::Part { part, reason: reason.into() });
        let (h, l, g) = (self.head, self.lighting, self.gaze);
        if ![h.shift, h.roll_degrees, h.yaw_degrees, h.pitch_degrees, h.zoom, h.speed]
            .iter()
            .all(|v| v.is_finite())
        {
            return refuse("head", "a number is not finite");
        }
        if ![l.drift, l.flicker, l.mains_hz].iter().all(|v| v.is_finite()) {
            return refuse("lighting", "a number is not finite");
        }
        if !((0.0..=1.0).contains(&g.extent) && g.rate_hz > 0.0 && g.rate_hz <= 10.0) {
            return refuse("gaze", "extent lies in 0 to 1, rate_hz above 0 and up to 10");
        }
        for s in &self.speech {
            if s.from_ns >= s.to_ns
                || !(0.0..=1.0).contains(&s.strength)
                || !(s.rate_hz > 0.0 && s.rate_hz <= 20.0)
            {
                return refuse(
                    "speech",
                    "from_ns lies before to_ns, strength in 0 to 1, rate_hz above 0 and up to 20",
                );
            }
        }
        for t in &self.turns {
            if t.from_ns >= t.to_ns || !(t.yaw_degrees.abs() <= 45.0 && t.pitch_degrees.abs() <= 45.0) {
                return refuse("turn", "from_ns lies before to_ns, degrees in -45 to 45");
            }
        }
        for c in &self.light_changes {
            if c.from_ns >= c.to_ns || !(c.gain > 0.0 && c.gain <= 10.0) {
                return refuse("light change", "from_ns lies before to_ns, gain above 0 and up to 10");
            }
        }
        self.life.check().or_else(|why| refuse("life", why))?;
        self.hands.iter().try_for_each(|h| h.check().or_else(|why| refuse("hand", why)))?;
        self.glasses.iter().try_for_each(|g| g.check().or_else(|why| refuse("glasses", why)))?;
        self.glares.iter().try_for_each(|g| g.check().or_else(|why| refuse("glare", why)))?;
        if self.glasses.is_none() && !self.glares.is_empty() {
            return refuse("glare", "there are no glasses to shine in");
        }
        Ok(())
    }

    /// The head at a time: sway, and what a living head does beside it.
    fn posture(&self, at_ns: i64) -> Posture {
        let mut posture = Posture::default();
        posture.add(&self.head, at_ns);
        self.life.pose(at_ns, &mut posture);
        posture
    }

    /// Yaw and pitch of the head in radians at a time: sway, turns and changes of posture.
    pub fn turn_at(&self, at_ns: i64) -> [f32; 2] {
        let [mut yaw, mut pitch] = self.posture(at_ns).turn;
        for t in &self.turns {
            yaw += t.share(at_ns) * t.yaw_degrees.to_radians();
            pitch += t.share(at_ns) * t.pitch_degrees.to_radians();
        }
        [yaw, pitch]
    }

    /// Gain of the light at a time: drift, flicker and changes.
    pub fn light_at(&self, at_ns: i64) -> f32 {
        self.light_changes.iter().fold(self.lighting.at(at_ns), |light, c| {
            let share = (at_ns - c.from_ns) as f64 / (c.to_ns - c.from_ns) as f64;
            light * (1.0 + (c.gain - 1.0) * raised_cosine(share.clamp(0.0, 1.0)) as f32)
        })
    }

    /// Fractions of the full shape of all units at a time, 0 to 1.
    pub fn fractions(&self, at_ns: i64) -> [f32; UNIT_COUNT] {
        let mut out = [0.0f32; UNIT_COUNT];
        for action in &self.actions {
            let value = action.at(at_ns);
            if value > 0.0 {
                for unit in unit_indices(action.au, action.side) {
                    out[unit] = (out[unit] + value).min(1.0);
                }
            }
        }
        self.speech.iter().for_each(|s| s.add(at_ns, &mut out));
        self.life.add(at_ns, self.gaze.at(at_ns), &self.speech, &mut out);
        out
    }

    /// The head's transform in frame pixels, about the point `center`.
    pub fn head_at(&self, at_ns: i64, center: Point, eye_distance_px: f32) -> Similarity {
        let Posture { shift, roll, zoom, .. } = self.posture(at_ns);
        let scale = 1.0 + zoom;
        let (a, b) = (scale * roll.cos(), scale * roll.sin());
        Similarity {
            a,
            b,
            tx: shift[0] * eye_distance_px + center.x - a * center.x + b * center.y,
            ty: shift[1] * eye_distance_px + center.y - b * center.x - a * center.y,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::{ROUNDING, THOUSANDTH};
    use proptest::prelude::*;

    #[test]
    fn scripts_that_no_face_can_do_are_refused() {
        for (action, word) in [
            (Action { au: 3, ..Action::micro(12, 0.2, 0) }, "AU 3 is unknown"),
            (Action::micro(12, 1.2, 0), "intensity 1.2"),
            (Action::micro(12, f32::NAN, 0), "intensity NaN"),
            (Action { apex_ns: -5, ..Action::micro(12, 0.2, 0) }, "not in this order"),
        ] {
            let error =
                Script::new(vec![Action::micro(1, 0.1, 0), action]).expect_err("bad action").to_string();
            assert!(error.starts_with("action 1: ") && error.contains(word), "{error}");
        }
        let mut script = Script::new(Vec::new()).expect("valid");
        script.head.shift = f32::INFINITY;
        assert!(script.validate().expect_err("infinite").to_string().starts_with("head: "));
        script.head = HeadMotion::STILL;
        script.speech.push(Speech { from_ns: 5, to_ns: 5, strength: 0.3, rate_hz: 4.0, seed: 0 });
        assert!(script.validate().expect_err("empty").to_string().starts_with("speech: "));
        script.speech.clear();
        script.turns.push(Turn { from_ns: 0, to_ns: 5, yaw_degrees: 60.0, pitch_degrees: 0.0 });
        assert!(script.validate().expect_err("too far").to_string().starts_with("turn: "));
        script.turns.clear();
        script.light_changes.push(LightChange { from_ns: 0, to_ns: 5, gain: 0.0 });
        assert!(script.validate().expect_err("dark").to_string().starts_with("light change: "));
        script.light_changes.clear();
        let hand = Hand { from_ns: 0, to_ns: 5, at: [0.0; 2], angle_degrees: f32::NAN, gray: 100.0 };
        script.hands.push(hand);
        assert!(script.validate().expect_err("nowhere").to_string().starts_with("hand: "));
        script.hands.clear();
        script.glares.push(Glare { from_ns: 0, to_ns: 5, strength: 0.5, at: [0.0; 2] });
        assert!(script.validate().expect_err("no glasses").to_string().starts_with("glare: "));
    }

    #[test]
    fn movement_is_zero_outside_and_full_at_the_apex() {
        let a = Action::micro(12, 0.3, 1_000);
        assert_eq!((a.at(1_000), a.at(300_001_000)), (0.0, 0.0));
        assert!((a.at(120_001_000) - 0.3).abs() < ROUNDING);
        let script = Script::new(vec![a]).expect("valid");
        assert_eq!(script.fractions(120_001_000).iter().filter(|f| **f > 0.0).count(), 2);
    }

    #[test]
    fn a_script_survives_json() {
        let mut script = Script::new(vec![Action::blink(5)]).expect("valid");
        script.speech.push(Speech { from_ns: 0, to_ns: 9, strength: 0.3, rate_hz: 4.0, seed: 2 });
        let text = serde_json::to_string(&script).expect("json");
        assert_eq!(serde_json::from_str::<Script>(&text).expect("own json"), script);
    }

    proptest! {
        #[test]
        fn motion_has_no_jumps(at_ns in 0i64..20_000_000_000, seed in 0u32..1000) {
            let mut script = Script::new(vec![
                Action { profile: Profile::Hold, ..Action::micro(12, 1.0, 3_000_000_000) },
                Action { profile: Profile::LeastJerk, ..Action::micro(4, 1.0, 4_000_000_000) },
                Action { profile: Profile::Relax, ..Action::micro(9, 1.0, 5_000_000_000) },
                Action::blink(9_000_000_000),
            ]).expect("valid");
            script.gaze = Gaze { extent: 1.0, rate_hz: 1.5, seed };
            script.speech.push(Speech { from_ns: 5_000_000_000, to_ns: 15_100_000_000, strength: 1.0, rate_hz: 4.0, seed });
            let (a, b) = (script.fractions(at_ns), script.fractions(at_ns + 100_000));
            for (a, b) in a.iter().zip(&b) {
                prop_assert!((a - b).abs() < 5e-3, "{a} {b}");
            }
            script.turns.push(Turn {
                from_ns: 7_000_000_000, to_ns: 8_000_000_000, yaw_degrees: 15.0, pitch_degrees: -6.0,
            });
            script.light_changes.push(LightChange { from_ns: 2_000_000_000, to_ns: 2_050_000_000, gain: 0.7 });
            let (a, b) = (script.turn_at(at_ns), script.turn_at(at_ns + 100_000));
            prop_assert!((a[0] - b[0]).abs() < THOUSANDTH && (a[1] - b[1]).abs() < THOUSANDTH);
            prop_assert!((script.light_at(at_ns) - script.light_at(at_ns + 100_000)).abs() < 2e-3);
            let (g, h) = (script.gaze.at(at_ns), script.gaze.at(at_ns + 100_000));
            prop_assert!((g[0] - h[0]).abs() < 1e-2 && (g[1] - h[1]).abs() < 1e-2);
        }
    }
}
