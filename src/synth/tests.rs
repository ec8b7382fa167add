//! What must hold of a rendered face, whoever it is.

use proptest::prelude::*;

use super::*;
use crate::au::{Side, UNIT_COUNT, unit_indices};
use crate::face::landmarks::MEDIAPIPE_68;
use crate::geometry::Point;
use crate::tolerances::THOUSANDTH;

fn scene(actions: Vec<Action>, noise: bool) -> Scene {
    let mut script = Script::new(actions).expect("valid script");
    script.head = HeadMotion::STILL;
    let camera = Camera { read_noise: if noise { 1.0 } else { 0.0 }, shot_noise: 0.0, ..Camera::default() };
    Scene::new(Subject::random(Pack::embedded().expect("pack"), 3), script, camera)
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let smile = vec![Action::micro(12, 0.2, 0)];
    let frame = scene(smile.clone(), true).frame(5, 100.0);
    assert_eq!(frame, scene(smile.clone(), true).frame(5, 100.0));
    assert_ne!(frame.luma, scene(smile, true).frame(6, 100.0).luma);
}

#[test]
fn nothing_moves_before_the_onset() {
    let mut scene = scene(vec![Action::micro(4, 0.5, 50_000_000)], false);
    let neutral = scene.frame(0, 100.0);
    assert_eq!(neutral.luma, scene.frame(5, 100.0).luma);
    assert_ne!(neutral.luma, scene.frame(12, 100.0).luma);
}

#[test]
fn movements_go_where_anatomy_says() {
    let subject = Subject::random(Pack::embedded().expect("pack"), 3);
    let moved = |au: u8, side: Side| {
        let mut fractions = [0.0; UNIT_COUNT];
        unit_indices(au, side).for_each(|k| fractions[k] = 1.0);
        let mut vertices = Vec::new();
        subject.posed(&Pose::of_fractions(&fractions), &mut vertices);
        MEDIAPIPE_68
            .map(|i| Point::new(vertices[i].x - subject.shape[i].x, vertices[i].y - subject.shape[i].y))
    };
    let smile = moved(12, Side::Both);
    // Corners of the mouth: 48 at the left of the image, 54 at the right.
    assert!(
        smile[48].x < -1.0 && smile[54].x > 1.0 && smile[48].y < -1.0 && smile[54].y < -1.0,
        "{:?}",
        smile[48]
    );
    let left = moved(12, Side::Left);
    assert!(left[54].y < -1.0 && left[48].y.abs() < 0.2 * left[54].y.abs(), "{:?} {:?}", left[48], left[54]);
    let frown = moved(4, Side::Both);
    assert!(
        frown[21].y > 0.5 && frown[22].y > 0.5 && frown[21].x > frown[22].x,
        "brows come down and together"
    );
    let raise = moved(1, Side::Both);
    assert!(raise[21].y < -1.0 && raise[22].y < -1.0);
    let blink = moved(45, Side::Both);
    assert!(blink[37].y > 2.0 && blink[43].y > 2.0, "upper lids come down");
    assert!(moved(26, Side::Both)[8].y > 2.0, "the chin drops");
    assert!(moved(15, Side::Both)[48].y > 0.5, "the corners of the mouth go down");
}

#[test]
fn displacement_is_linear_and_agrees_with_the_landmarks() {
    let subject = Subject::random(Pack::embedded().expect("pack"), 3);
    let mut fractions = [0.0; UNIT_COUNT];
    unit_indices(12, Side::Both).for_each(|k| fractions[k] = 0.2);
    let once = displacement(&subject, &fractions);
    let twice = displacement(&subject, &fractions.map(|f| 2.0 * f));
    let most = once.v.iter().copied().fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(most > 0.3, "{most}");
    for (a, b) in once.v.iter().zip(&twice.v) {
        assert!((2.0 * a - b).abs() < THOUSANDTH);
    }
}

#[test]
fn lids_close_without_a_gap() {
    let pack = Pack::embedded().expect("pack");
    for seed in 0..8 {
        let subject = Subject::random(&pack, seed);
        let mut fractions = [0.0; UNIT_COUNT];
        unit_indices(45, Side::Both).for_each(|k| fractions[k] = 1.0);
        let mut vertices = Vec::new();
        subject.posed(&Pose::of_fractions(&fractions), &mut vertices);
        for [upper, lower] in [[159, 145], [160, 144], [158, 153], [386, 374], [387, 373], [385, 380]] {
            let open = subject.shape[lower].y - subject.shape[upper].y;
            let gap = vertices[lower].y - vertices[upper].y;
            assert!(gap.abs() < 0.12 * open.max(6.0), "seed {seed}: {gap} of {open} px at {upper}");
        }
    }
}

#[test]
fn the_field_is_the_motion_of_the_landmarks() {
    let mut scene = scene(vec![Action::micro(12, 0.6, 0), Action::micro(4, 0.6, 0)], false);
    scene.script_mut().head = HeadMotion { speed: 8.0, ..HeadMotion::SWAY };
    let (from, to) = (0, 120_000_000);
    let flow = scene.displacement(from, to);
    let (a, b) = (scene.truth(from).landmarks, scene.truth(to).landmarks);
    // Brows, nose, outer lips: rims of lids are torn between skin and eye.
    for i in (17..36).chain(48..60) {
        let at = a[i].y.round() as usize * flow.width + a[i].x.round() as usize;
        let (du, dv) = (flow.u[at] - (b[i].x - a[i].x), flow.v[at] - (b[i].y - a[i].y));
        assert!(du.hypot(dv) < 0.5, "landmark {i}: {du} {dv}");
    }
}

#[test]
fn a_turned_head_moves_its_nose_most() {
    let subject = Subject::random(Pack::embedded().expect("pack"), 3);
    let mut vertices = Vec::new();
    subject.posed(&Pose { turn: [0.1, 0.0], ..Pose::NEUTRAL }, &mut vertices);
    let moved = |i: usize| vertices[MEDIAPIPE_68[i]].x - subject.shape[MEDIAPIPE_68[i]].x;
    assert!(moved(30) > moved(36) + 1.0 && moved(30) > moved(45) + 1.0, "nose, eyes");
    assert!(moved(36) > moved(0) + 1.0 && moved(45) > moved(16) + 1.0, "eyes, ears");
}

#[test]
fn a_small_face_does_not_flicker_as_it_moves() {
    // A texture that aliases changes the mean brightness of the face with its place.
    let subject = Subject::random(Pack::embedded().expect("pack"), 5);
    let mut script = Script::new(Vec::new()).expect("valid");
    script.head = HeadMotion { shift: 0.2, ..HeadMotion::STILL };
    let camera = Camera {
        width: 160,
        height: 120,
        eye_distance_px: 14.0,
        read_noise: 0.0,
        shot_noise: 0.0,
        ..Camera::default()
    };
    let mut scene = Scene::new(subject, script, camera);
    let means: Vec<f64> = (0..40)
        .map(|seq| {
            let frame = scene.frame(seq, 10.0);
            frame.luma.iter().map(|&v| f64::from(v)).sum::<f64>() / frame.luma.len() as f64
        })
        .collect();
    let spread =
        means.iter().copied().fold(f64::MIN, f64::max) - means.iter().copied().fold(f64::MAX, f64::min);
    assert!(spread < 2.0, "{spread}");
}

proptest! {
    #[test]
    fn one_side_leaves_the_other_one_alone(seed in 0u64..50, au in prop::sample::select(vec![1u8, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 20, 45])) {
        let subject = Subject::random(Pack::embedded().expect("pack"), seed);
        let travel = |side: Side| {
            let mut fractions = [0.0; UNIT_COUNT];
            unit_indices(au, side).for_each(|k| fractions[k] = 1.0);
            let mut vertices = Vec::new();
            subject.posed(&Pose::of_fractions(&fractions), &mut vertices);
            MEDIAPIPE_68.map(|i| vertices[i].distance(subject.shape[i]))
        };
        let [left, right] = [travel(Side::Left), travel(Side::Right)];
        let most = left.iter().chain(&right).copied().fold(0.0f32, f32::max);
        prop_assert!(most > 0.5, "AU {au} moves {most} px");
        // Outer brow, eye, corner of the mouth, wing of the nose: well off the midline.
        for (on_right, on_left) in [(17, 26), (19, 24), (36, 45), (41, 46), (37, 44), (48, 54)] {
            prop_assert!(left[on_right] < 0.15 * most, "AU {au} of the left moves landmark {on_right} by {}", left[on_right]);
            prop_assert!(right[on_left] < 0.15 * most, "AU {au} of the right moves landmark {on_left} by {}", right[on_left]);
        }
    }
}
