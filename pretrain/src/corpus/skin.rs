//! Procedural skin: the gray of every vertex of an ICT head before light.

use glint::face::landmarks::LANDMARK_COUNT;
use glint::geometry::Point;
use rand::Rng;

use crate::assets::ict::group;

/// Scales of the skin's noise in face units (64 between the eyes), and strength as a share of its gray: pores,
/// freckles, blotches.
const NOISE: [(f32, f32); 3] = [(1.7, 0.05), (4.0, 0.06), (16.0, 0.08)];
/// Angle of pupil and iris as seen from the centre of the eyeball, in radians.
const PUPIL: f32 = 0.17;
const IRIS: f32 = 0.46;

/// Gray of every vertex, 0 to 255. `vertices` in face coordinates with `group` as in [`group`], `marks` the 68
/// landmarks, `eyes` the centres of the eyeballs.
pub fn albedo(
    vertices: &[[f32; 3]],
    groups: &[u8],
    marks: &[Point; LANDMARK_COUNT],
    eyes: [&[f32; 3]; 2],
    rng: &mut impl Rng,
) -> Vec<f32> {
    let skin = rng.random_range(60.0f32..215.0);
    let brow = skin * rng.random_range(0.25..0.8);
    let lip = skin * rng.random_range(0.55..0.85);
    let lid = skin * rng.random_range(0.35..0.75);
    let beard = if rng.random_bool(0.3) { rng.random_range(0.3..0.9) } else { 1.0 };
    let iris = rng.random_range(30.0..120.0);
    let (thickness, strength) = (rng.random_range(2.2..4.0), rng.random_range(0.5..1.5f32));
    let seed: u32 = rng.random();
    let line = |range: std::ops::RangeInclusive<usize>| marks[range].to_vec();
    let ring = |first: usize, last: usize| {
        let mut ring = marks[first..=last].to_vec();
        ring.push(marks[first]);
        ring
    };
    let (brows, lids) = ([line(17..=21), line(22..=26)], [ring(36, 41), ring(42, 47)]);
    let (mouth, lower_lip) = (ring(48, 59), marks[57].y);
    let (middle, width) = (marks[33].x, marks[16].x - marks[0].x);
    let smooth = |x: f32| {
        let x = x.clamp(0.0, 1.0);
        x * x * (3.0 - 2.0 * x)
    };
    vertices
        .iter()
        .zip(groups)
        .map(|(v, &g)| match g {
            group::MOUTH => 0.35 * skin.min(120.0),
            // In the shadow of the lips.
            group::TEETH_UP | group::TEETH_LOW => 0.6 * skin.min(200.0),
            g if group::EYES.contains(&g) => {
                let c = eyes[usize::from(g != group::EYES[0])];
                let d = [v[0] - c[0], v[1] - c[1], v[2] - c[2]];
                let angle = (d[0].hypot(d[1])).atan2(d[2]);
                let edge = smooth((angle - IRIS) / 0.05);
                let inner = if angle < PUPIL { 12.0 } else { iris };
                inner + edge * (205.0 - inner)
            }
            _ => {
                let p = Point::new(v[0], v[1]);
                let mut gray = skin;
                let mut mix = |share: f32, to: f32| gray += share * (to - gray);
                if g == group::FACE && v[2] > -40.0 {
                    // A beard begins below the nose and higher at the sides, with a ragged edge.
                    let edge = marks[33].y - 0.9 * (p.x - middle).powi(2) / width
                        + 5.0 * value_noise(v, 5.0, seed ^ 77);
                    let below = smooth((p.y - edge) / (0.9 * (lower_lip - marks[33].y)));
                    mix(below * (1.0 - beard), 0.4 * skin);
                    let hair = |line: &[Point]| smooth(1.6 - distance(p, line) / thickness);
                    // Single hairs and gaps between them.
                    let dense = (0.75 + 0.7 * value_noise(v, 1.3, !seed)).clamp(0.0, 1.0);
                    brows.iter().for_each(|b| mix(dense * hair(b), brow));
                    lids.iter().for_each(|l| mix(smooth(1.4 - distance(p, l) / 1.6), lid));
                    let lips = if inside(p, &mouth) { 1.0 } else { smooth(1.0 - distance(p, &mouth) / 2.0) };
                    mix(lips, lip);
                }
                let noise: f32 = NOISE
                    .iter()
                    .enumerate()
                    .map(|(k, (cell, share))| share * strength * value_noise(v, *cell, seed ^ k as u32))
                    .sum();
                gray * (1.0 + noise)
            }
        })
        .collect()
}

/// Distance from a polyline.
fn distance(p: Point, line: &[Point]) -> f32 {
    line.windows(2)
        .map(|ends| {
            let (a, b) = (ends[0], ends[1]);
            let (dx, dy) = (b.x - a.x, b.y - a.y);
            let t = ((p.x - a.x) * dx + (p.y - a.y) * dy) / (dx * dx + dy * dy).max(1e-6);
            let t = t.clamp(0.0, 1.0);
            p.distance(Point::new(a.x + t * dx, a.y + t * dy))
        })
        .fold(f32::MAX, f32::min)
}

/// Whether a point lies in a closed outline (its first point repeated at the end).
fn inside(p: Point, outline: &[Point]) -> bool {
    outline.windows(2).fold(false, |odd, ends| {
        let (a, b) = (ends[0], ends[1]);
        let crosses = (a.y > p.y) != (b.y > p.y) && p.x < a.x + (p.y - a.y) / (b.y - a.y) * (b.x - a.x);
        odd != crosses
    })
}

/// Smooth noise in space of standard deviation about 0.6, by hashing the corners of cells of side `cell`.
fn value_noise(v: &[f32; 3], cell: f32, seed: u32) -> f32 {
    let at = v.map(|x| x / cell);
    let low = at.map(f32::floor);
    let t = [0, 1, 2].map(|k| at[k] - low[k]);
    let corner = |dx: i32, dy: i32, dz: i32| {
        let mut h = seed ^ 0x9e37_79b9;
        for (k, d) in [dx, dy, dz].into_iter().enumerate() {
            h = (h ^ (low[k] as i32 + d) as u32).wrapping_mul(0x85eb_ca6b);
            h ^= h >> 15;
        }
        (h.wrapping_mul(0xc2b2_ae35) >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    };
    let lerp = |a: f32, b: f32, t: f32| a + t * (b - a);
    let plane = |dz: i32| {
        let row = |dy: i32| lerp(corner(0, dy, dz), corner(1, dy, dz), t[0]);
        lerp(row(0), row(1), t[1])
    };
    lerp(plane(0), plane(1), t[2])
}
