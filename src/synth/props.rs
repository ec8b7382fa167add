//! What comes between a face and its camera: a hand, glasses that reflect a lamp.
//!
//! Lengths are in eye distances. Truth says nothing about props: landmarks and displacement are those of the face behind
//! them.

use serde::{Deserialize, Serialize};

use super::face::{FACE_EYE_DISTANCE, FACE_EYES};
use super::motion::raised_cosine;
use crate::geometry::{Point, Similarity};

/// A hand-like blob that comes into the picture, rests on the face and leaves: nothing of it is on the face at the ends
/// of its time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hand {
    /// Last instant before it comes.
    pub from_ns: i64,
    /// First instant after it has gone.
    pub to_ns: i64,
    /// Where its fingertips rest: from the middle between the eyes of the head at rest, to the image's right and down.
    pub at: [f32; 2],
    /// Where it comes from, clockwise from the image's right: 90 is from below.
    pub angle_degrees: f32,
    /// Gray of its skin, 0 to 255.
    pub gray: f32,
}

/// Glasses with dark rims, worn all the time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Glasses {
    /// Gray of the rims, 0 to 255.
    pub rim: f32,
    /// Half width and half height of a lens.
    pub lens: [f32; 2],
}

/// A lamp or a window that shows in the glasses for a while, and slides over them as it does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Glare {
    /// Last instant before it.
    pub from_ns: i64,
    /// First instant after it.
    pub to_ns: i64,
    /// Greatest brightness that it adds, as a share of white, 0 to 1.
    pub strength: f32,
    /// Its place on a lens halfway, each -1 to 1.
    pub at: [f32; 2],
}

/// Share of its time in which a hand comes, and in which it leaves.
const REACH: f64 = 0.25;
/// How far from its place a hand starts: out of any face.
const TRAVEL: f32 = 4.5;
/// Fingers, thumb, palm and arm as capsules: two ends (along the hand from its fingertips, and across it), radius.
const HAND: [([f32; 2], [f32; 2], f32); 8] = [
    ([0.24, -0.48], [1.30, -0.45], 0.14),
    ([0.05, -0.16], [1.25, -0.15], 0.15),
    ([0.00, 0.16], [1.25, 0.15], 0.15),
    ([0.14, 0.48], [1.30, 0.45], 0.14),
    ([1.20, -0.95], [1.95, -0.42], 0.16),
    ([1.70, -0.18], [1.70, 0.18], 0.50),
    ([2.00, -0.10], [2.00, 0.10], 0.48),
    ([2.20, 0.00], [9.00, 0.00], 0.40),
];
/// Extent of the hand across.
const HAND_HALF_WIDTH: f32 = 1.15;

impl Hand {
    /// Where its fingertips are at a time, from the middle between the eyes of the head at rest; `None` while it is
    /// away.
    pub fn tip(&self, at_ns: i64) -> Option<[f32; 2]> {
        if at_ns <= self.from_ns || at_ns >= self.to_ns {
            return None;
        }
        let share = (at_ns - self.from_ns) as f64 / (self.to_ns - self.from_ns) as f64;
        let way = 1.0 - raised_cosine((share.min(1.0 - share) / REACH).min(1.0)) as f32;
        let (sin, cos) = self.angle_degrees.to_radians().sin_cos();
        Some([self.at[0] + TRAVEL * way * cos, self.at[1] + TRAVEL * way * sin])
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let place = self.at.iter().all(|v| v.abs() <= 3.0) && self.angle_degrees.is_finite();
        if self.from_ns < self.to_ns && place && (0.0..=255.0).contains(&self.gray) {
            Ok(())
        } else {
            Err("from_ns lies before to_ns, at in -3 to 3, gray in 0 to 255")
        }
    }

    /// Draws it over `plane`: `eyes` is the middle between the eyes of the head at rest, `unit` the eye distance in
    /// pixels.
    pub fn draw(&self, at_ns: i64, eyes: Point, unit: f32, plane: &mut [f32], width: usize) {
        let Some(tip) = self.tip(at_ns) else { return };
        let (sin, cos) = self.angle_degrees.to_radians().sin_cos();
        let tip = Point::new(eyes.x + unit * tip[0], eyes.y + unit * tip[1]);
        for (y, row) in plane.chunks_exact_mut(width).enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                let (dx, dy) = ((x as f32 - tip.x) / unit, (y as f32 - tip.y) / unit);
                let (along, across) = (dx * cos + dy * sin, dy * cos - dx * sin);
                if along < -0.2 || across.abs() > HAND_HALF_WIDTH {
                    continue;
                }
                // Depth below the nearest outline, and how far towards its middle, over all parts.
                let (mut inside, mut round) = (-1.0f32, 0.0f32);
                for (a, b, radius) in &HAND {
                    let (ex, ey) = (b[0] - a[0], b[1] - a[1]);
                    let t = ((along - a[0]) * ex + (across - a[1]) * ey) / (ex * ex + ey * ey);
                    let t = t.clamp(0.0, 1.0);
                    let depth = radius - (along - a[0] - t * ex).hypot(across - a[1] - t * ey);
                    inside = inside.max(depth);
                    round = round.max((depth / radius).min(0.5));
                }
                let cover = (unit * inside + 0.5).clamp(0.0, 1.0);
                if cover > 0.0 {
                    let fold = 1.0 + 0.04 * (23.0 * along + 3.0 * across).sin() * (7.0 * across).cos();
                    let skin = self.gray * fold * (0.6 + 0.8 * round - 0.05 * across);
                    *value += cover * (skin - *value);
                }
            }
        }
    }
}

impl Glare {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let place = self.at.iter().all(|v| v.abs() <= 1.0);
        if self.from_ns < self.to_ns && place && (0.0..=1.0).contains(&self.strength) {
            Ok(())
        } else {
            Err("from_ns lies before to_ns, strength in 0 to 1, at in -1 to 1")
        }
    }
}

/// How far a reflection slides over a lens per radian of the head's turn, in units of the lens: twice the turn, seen on
/// a flat mirror.
const SLIDE: f32 = 4.0;
/// How far it slides over a lens in its time by itself.
const DRIFT: f32 = 0.4;
/// Half width of the reflection of a window, in units of the lens.
const WINDOW: [f32; 2] = [0.34, 0.42];
/// Half thickness of rim and bridge.
const RIM: f32 = 0.028;
/// Distance of the lenses before the axis about which a head turns, and height of that axis below the eyes, in face
/// coordinates (those of the subject's own turn, and glasses stand before the eyes).
const BEFORE_AXIS: f32 = 80.0 + 12.0;
const ABOVE_AXIS: f32 = 60.0;

impl Glasses {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let lens = self.lens.iter().all(|v| (0.15..=0.48).contains(v));
        if lens && (0.0..=255.0).contains(&self.rim) {
            Ok(())
        } else {
            Err("rim in 0 to 255, lens in 0.15 to 0.48")
        }
    }

    /// Draws them over `plane` on a head placed by `head` and turned by `turn`, with the reflections of a time.
    pub fn draw(
        &self,
        at_ns: i64,
        glares: &[Glare],
        head: &Similarity,
        turn: [f32; 2],
        plane: &mut [f32],
        width: usize,
    ) {
        let height = plane.len() / width;
        // A flat pane that turns with the head: its shift and its foreshortening.
        let ((sin_yaw, cos_yaw), (sin_pitch, cos_pitch)) = (turn[0].sin_cos(), turn[1].sin_cos());
        let shift = Point::new(
            BEFORE_AXIS * sin_yaw,
            ABOVE_AXIS * (1.0 - cos_pitch) + BEFORE_AXIS * cos_yaw * sin_pitch,
        );
        let back = head.inverse();
        let reach = [1.1f32, 1.25 * self.lens[1] + 0.1].map(|r| r * FACE_EYE_DISTANCE * head.scale());
        let middle = head.apply(Point::new(FACE_EYES.x + shift.x, FACE_EYES.y + shift.y));
        let slack = reach[0] * head.angle().sin().abs();
        let range = |c: f32, r: f32, limit: usize| {
            let clip = |v: f32| v.clamp(0.0, limit as f32) as usize;
            clip((c - r).ceil())..clip((c + r).floor() + 1.0)
        };
        let unit = FACE_EYE_DISTANCE * head.scale();
        let shining: Vec<(f32, [f32; 2])> = glares
            .iter()
            .filter(|g| at_ns > g.from_ns && at_ns < g.to_ns)
            .map(|g| {
                let share = (at_ns - g.from_ns) as f64 / (g.to_ns - g.from_ns) as f64;
                let drift = DRIFT * (share as f32 - 0.5);
                let at = [g.at[0] + drift - SLIDE * turn[0], g.at[1] + 0.3 * drift - SLIDE * turn[1]];
                (255.0 * g.strength * raised_cosine(2.0 * share) as f32, at)
            })
            .collect();
        let soft = |distance: f32| (unit * distance + 0.5).clamp(0.0, 1.0);
        for y in range(middle.y, reach[1] + slack, height) {
            for x in range(middle.x, reach[0], width) {
                let p = back.apply(Point::new(x as f32, y as f32));
                let (px, py) = (
                    (p.x - FACE_EYES.x - shift.x) / (FACE_EYE_DISTANCE * cos_yaw),
                    (p.y - FACE_EYES.y - shift.y) / (FACE_EYE_DISTANCE * cos_pitch),
                );
                // Both lenses at once: each is the mirror image of the other one, but for what it reflects.
                let (lx, ly) = ((px.abs() - 0.5) / self.lens[0], (py - 0.06) / self.lens[1]);
                // Between an ellipse and a rectangle.
                let radius = (lx.powi(4) + ly.powi(4)).sqrt().sqrt();
                let value = &mut plane[y * width + x];
                let inner = soft((1.0 - radius) * self.lens[1]);
                for (light, at) in &shining {
                    let sx = if px < 0.0 { -lx } else { lx };
                    let [wx, wy] = [(sx - at[0]).abs() - WINDOW[0], (ly - at[1]).abs() - WINDOW[1]];
                    *value += inner * light * soft(-wx * self.lens[0]) * soft(-wy * self.lens[1]);
                }
                let edge = RIM - ((radius - 1.0) * self.lens[1]).abs();
                let between =
                    px.abs() < 0.5 - self.lens[0] || (px.abs() > 0.5 + self.lens[0] && px.abs() < 1.05);
                let bar = if between { RIM - (py + 0.06).abs() } else { -1.0 };
                let cover = soft(edge.max(bar));
                *value += cover * (self.rim - *value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::SUMS;

    const HAND: Hand = Hand { from_ns: 0, to_ns: 1_000, at: [0.2, 0.8], angle_degrees: 90.0, gray: 150.0 };

    #[test]
    fn a_hand_is_away_at_the_ends_of_its_time_and_rests_between() {
        assert_eq!((HAND.tip(0), HAND.tip(1_000)), (None, None));
        assert_eq!(HAND.tip(500), Some([0.2, 0.8]));
        let early = HAND.tip(10).expect("on its way");
        assert!(early[1] > 4.0 && (early[0] - 0.2).abs() < SUMS, "{early:?}");
        let mut plane = vec![0.0; 200 * 200];
        HAND.draw(500, Point::new(100.0, 60.0), 40.0, &mut plane, 200);
        // Palm below the place of its fingertips; nothing above it.
        assert!(plane[170 * 200 + 108] > 80.0);
        assert!(plane[..80 * 200].iter().all(|v| *v == 0.0));
    }

    #[test]
    fn glasses_shine_only_in_their_lenses_and_only_in_time() {
        let glasses = Glasses { rim: 40.0, lens: [0.4, 0.3] };
        let glare = Glare { from_ns: 0, to_ns: 100, strength: 0.8, at: [0.0, 0.0] };
        let head = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };
        let draw = |at_ns| {
            let mut plane = vec![100.0; 208 * 200];
            glasses.draw(at_ns, &[glare], &head, [0.0; 2], &mut plane, 208);
            plane
        };
        let at = |plane: &[f32], x: f32, y: f32| {
            plane[(FACE_EYES.y + 64.0 * y) as usize * 208 + (FACE_EYES.x + 64.0 * x) as usize]
        };
        let (dull, bright) = (draw(100), draw(50));
        for x in [-0.5, 0.5] {
            assert_eq!(at(&dull, x, 0.06), 100.0);
            assert!(at(&bright, x, 0.06) > 250.0);
        }
        assert_eq!(at(&bright, 0.0, 0.5), 100.0, "the nose");
        assert!(at(&dull, 0.9, 0.06) < 60.0, "the rim");
        // A head that turns away takes its glasses with it.
        let mut plane = vec![100.0; 208 * 200];
        glasses.draw(0, &[], &head, [0.2, 0.0], &mut plane, 208);
        assert!(at(&plane, 0.9, 0.06) > 90.0, "the rim has moved");
    }
}
