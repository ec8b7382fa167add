//! The spotter on drawn movements, with a judge that takes every candidate for a micro-expression.

use super::*;
use crate::au::{Side, unit_indices};
use proptest::prelude::*;

fn bump(t: f64, onset: f64, apex: f64, offset: f64) -> f32 {
    let phase = if t <= onset || t >= offset {
        0.0
    } else if t < apex {
        (t - onset) / (apex - onset)
    } else {
        (offset - t) / (offset - apex)
    };
    (0.5 - 0.5 * (std::f64::consts::PI * phase).cos()) as f32
}

fn unit(au: u8) -> usize {
    unit_indices(au, Side::Both).next().expect("a known AU")
}

/// A judge without an opinion.
fn lenient() -> Judge {
    let mut numbers = vec![0.0; Judge::numbers([1, 1])];
    numbers[MEASURES..2 * MEASURES].fill(1.0);
    Judge::new([1, 1], 0.0, &numbers)
}

/// A candidate and when it was concluded.
type Concluded = (Candidate, i64);

/// Runs levels at times in ms through gate and spotter at `fps` for some seconds; `None` is a frame that is not measured.
fn course(
    fps: f64,
    seconds: f64,
    origin_ns: i64,
    act: impl Fn(f64) -> Option<[f32; UNIT_COUNT]>,
) -> Vec<Concluded> {
    let (mut spotter, mut judge) = (Spotter::new(SpotSettings::default()), lenient());
    let mut gate = Gate::new([0.3; UNIT_COUNT]);
    let mut out = Vec::new();
    for i in 0..(fps * seconds) as i64 {
        let t = i as f64 / fps;
        let at_ns = origin_ns + (t * 1e9) as i64;
        let Some(levels) = act(1e3 * t) else {
            spotter.interrupt(at_ns, Rejection::HeadMotion);
            continue;
        };
        gate.update(at_ns, &levels);
        let context = Context { quality: 1.0, eye_distance_px: 80.0, ..Context::default() };
        let sample = Sample { at_ns, levels, motion: [0.0; 2 * CELLS], context };
        out.extend(spotter.push(&sample, &gate, &mut judge).map(|c| (c, at_ns)));
    }
    out.extend(std::iter::from_fn(|| spotter.finish(&mut gate, &mut judge)).map(|c| (c, i64::MAX)));
    out
}

fn one(unit: usize, level: f32) -> [f32; UNIT_COUNT] {
    let mut levels = [0.0; UNIT_COUNT];
    levels[unit] = level;
    levels
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn finds_onset_apex_offset(fps in prop::sample::select(vec![25.0, 30.0, 60.0, 100.0, 200.0]), start in 800f64..1200.0,
                               rise in 80f64..180.0, fall in 80f64..220.0, height in 0.9f32..4.0, drift in -0.4f32..0.4) {
        let times = [start, start + rise, start + rise + fall];
        let candidates = course(fps, 3.0, 0, |t| {
            let level = height * bump(t, times[0], times[1], times[2]) + drift * (1e-3 * t) as f32;
            Some(one(unit(12), level))
        });
        prop_assert_eq!(candidates.len(), 1, "{:?}", candidates);
        let (c, at_ns) = &candidates[0];
        prop_assert!(c.cause.is_none() && c.kind == Kind::Micro, "{:?}", c.cause);
        let tolerance = 12.0 + 800.0 / fps;
        for (ns, truth) in [(c.onset_ns, times[0]), (c.apex_ns, times[1]), (c.offset_ns, times[2])] {
            let error = ns as f64 / 1e6 - truth;
            prop_assert!(error.abs() < tolerance, "{error} ms at {fps} fps");
        }
        // Published at most a quarter of a second after the offset, and a frame.
        prop_assert!(*at_ns as f64 / 1e6 - times[2] < 250.0 + 1e3 / fps + tolerance, "{at_ns}");
    }

    #[test]
    fn a_constant_on_all_times_changes_nothing(origin in -1_000_000_000_000i64..1_000_000_000_000) {
        let at = |origin| {
            let candidates = course(100.0, 3.0, origin, |t| Some(one(unit(12), 1.5 * bump(t, 1000.0, 1100.0, 1250.0))));
            candidates.first().map(|(c, _)| (c.onset_ns - origin, c.apex_ns - origin, c.offset_ns - origin))
        };
        let (a, b) = (at(0).expect("found"), at(origin).expect("found"));
        // Times pass through f64.
        prop_assert!((a.0 - b.0).abs() < 1000 && (a.1 - b.1).abs() < 1000 && (a.2 - b.2).abs() < 1000);
    }
}

#[test]
fn units_that_move_together_are_one_candidate_and_others_are_not() {
    let candidates = course(100.0, 3.0, 0, |t| {
        let mut levels = one(unit(12), 1.5 * bump(t, 1000.0, 1120.0, 1300.0));
        levels[unit(6)] = 0.9 * bump(t, 1010.0, 1125.0, 1290.0);
        // A blink begins in the middle of it.
        levels[unit(45)] = 3.0 * bump(t, 1180.0, 1270.0, 1450.0);
        Some(levels)
    });
    assert_eq!(candidates.len(), 2, "{candidates:?}");
    let smile = &candidates.iter().find(|(c, _)| c.peak[unit(12)] > 0.0).expect("the smile").0;
    assert!(smile.peak[unit(6)] > 0.7 && smile.peak[unit(45)] == 0.0, "{:?}", smile.peak);
    assert!((smile.onset_ns / 1_000_000 - 1000).abs() < 25, "{}", smile.onset_ns);
}

#[test]
fn what_a_movement_drags_along_is_no_movement_of_its_own() {
    let candidates = course(100.0, 3.0, 0, |t| {
        let mut levels = one(unit(12), 2.0 * bump(t, 1000.0, 1120.0, 1300.0));
        // A quarter as strong, later and longer: a neighbour's field.
        levels[unit(25)] = 0.5 * bump(t, 1050.0, 1230.0, 1360.0);
        Some(levels)
    });
    assert_eq!(candidates.len(), 1, "{candidates:?}");
    assert!(candidates[0].0.peak[unit(12)] > 1.8);
}

/// Both corners of a smile, one of which falls a third of a second before the other, and a cheek that falls first.
fn smile(t: f64) -> Option<[f32; UNIT_COUNT]> {
    let up = |rise: [f64; 2], fall: [f64; 2]| {
        bump(t.min(rise[1]), rise[0], rise[1], f64::MAX) - bump(t.min(fall[1]), fall[0], fall[1], f64::MAX)
    };
    let mut levels = [0.0; UNIT_COUNT];
    let corners: Vec<usize> = unit_indices(12, Side::Both).collect();
    levels[corners[0]] = 2.0 * up([1000.0, 1250.0], [1900.0, 2150.0]);
    levels[corners[1]] = 2.6 * up([1030.0, 1280.0], [2250.0, 2500.0]);
    levels[unit(6)] = 1.2 * bump(t, 1050.0, 1400.0, 1800.0);
    Some(levels)
}

#[test]
fn a_long_movement_of_several_units_is_told_once() {
    let candidates = course(50.0, 6.0, 0, smile);
    let told: Vec<_> = candidates.iter().filter(|(c, _)| c.kind == Kind::Macro).collect();
    assert_eq!(told.len(), 1, "{candidates:?}");
    let smile = &told[0].0;
    assert!(smile.peak.iter().filter(|p| **p > 1.5).count() == 2, "both corners: {:?}", smile.peak);
    assert!((smile.offset_ns / 1_000_000 - 2400).abs() < 150, "{}", smile.offset_ns);
}

#[test]
fn a_long_movement_that_waits_for_another_unit_is_told_at_the_end() {
    // One corner has fallen, the other one has not.
    let candidates = course(50.0, 2.35, 0, smile);
    let told: Vec<_> = candidates.iter().filter(|(c, _)| c.kind == Kind::Macro).collect();
    let [(c, at_ns)] = &told[..] else { panic!("{candidates:?}") };
    assert_eq!(*at_ns, i64::MAX, "told at the end");
    assert_eq!(c.peak.iter().filter(|p| **p > 1.5).count(), 1, "{:?}", c.peak);
}

#[test]
fn a_movement_is_told_once() {
    let candidates = course(100.0, 3.0, 0, |t| {
        let mut levels = one(unit(12), 2.0 * bump(t, 1000.0, 1120.0, 1300.0));
        // Half as strong and later: a candidate by itself, of the same movement.
        levels[unit(25)] = 1.0 * bump(t, 1060.0, 1240.0, 1400.0);
        // Another one, soon after.
        levels[unit(4)] = 1.0 * bump(t, 1500.0, 1600.0, 1800.0);
        Some(levels)
    });
    assert_eq!(candidates.len(), 3, "{candidates:?}");
    let told: Vec<_> = candidates.iter().filter(|(c, _)| c.cause.is_none()).collect();
    assert_eq!(told.len(), 2, "{candidates:?}");
    assert!(told[0].0.peak[unit(12)] > 1.8 && told[1].0.peak[unit(4)] > 0.8, "{told:?}");
}

#[test]
fn a_movement_on_top_of_a_held_expression_is_one() {
    let candidates = course(60.0, 4.0, 0, |t| {
        let held = bump(t.min(1000.0), 800.0, 1000.0, 1200.0);
        Some(one(unit(4), 2.0 * held + 0.6 * bump(t, 2000.0, 2120.0, 2300.0)))
    });
    assert_eq!(candidates.len(), 1, "{candidates:?}");
    assert!((candidates[0].0.peak[unit(4)] - 0.6).abs() < 0.1, "{:?}", candidates[0].0.peak);
}

#[test]
fn what_lasts_is_a_macro_expression_whatever_the_judge_says() {
    let candidates = course(100.0, 8.0, 0, |t| {
        let up = bump(t.min(1300.0), 1000.0, 1300.0, 1600.0);
        Some(one(unit(12), 2.0 * up * (1.0 - bump(t.min(5300.0), 5000.0, 5300.0, 5600.0))))
    });
    let [(c, _)] = &candidates[..] else { panic!("{candidates:?}") };
    assert_eq!((c.kind, c.cause), (Kind::Macro, Some(Rejection::Macro)));
    assert!(c.offset_ns - c.onset_ns > 3_500_000_000, "{c:?}");
}

#[test]
fn a_frame_that_could_not_be_measured_spoils_what_is_under_way_and_nothing_else() {
    let candidates = course(100.0, 4.0, 0, |t| {
        let level = 1.5 * bump(t, 1000.0, 1120.0, 1300.0) + 1.5 * bump(t, 2000.0, 2120.0, 2300.0);
        (!(1150.0..1180.0).contains(&t)).then(|| one(unit(12), level))
    });
    let causes: Vec<_> = candidates.iter().map(|(c, _)| c.cause).collect();
    assert_eq!(causes, [Some(Rejection::HeadMotion), None]);
}

#[test]
fn a_movement_that_is_complete_at_the_end_is_told() {
    let candidates = course(100.0, 1.33, 0, |t| Some(one(unit(12), 1.5 * bump(t, 1000.0, 1120.0, 1300.0))));
    assert_eq!(candidates.len(), 1, "{candidates:?}");
    assert_eq!(candidates[0].1, i64::MAX, "told at the end");
    let cut = course(100.0, 1.15, 0, |t| Some(one(unit(12), 1.5 * bump(t, 1000.0, 1120.0, 1300.0))));
    assert!(cut.is_empty(), "{cut:?}");
}

#[test]
fn each_syllable_is_a_candidate_that_knows_its_neighbours() {
    let talk = |t: f64| {
        let syllable = |k: i32| {
            bump(
                t,
                1000.0 + 240.0 * f64::from(k),
                1100.0 + 240.0 * f64::from(k),
                1200.0 + 240.0 * f64::from(k),
            )
        };
        Some(one(unit(26), 1.5 * (0..6).map(syllable).sum::<f32>()))
    };
    let candidates = course(100.0, 4.0, 0, talk);
    assert!(candidates.len() >= 5, "{candidates:?}");
    let same_before = NAMES.iter().position(|n| *n == "same_before").expect("a measure");
    let lone = course(100.0, 4.0, 0, |t| Some(one(unit(26), 1.5 * bump(t, 1000.0, 1100.0, 1200.0))));
    assert!(lone[0].0.measures[same_before] < 0.1);
    assert!(candidates[1..].iter().all(|(c, _)| c.measures[same_before] > 0.7), "{candidates:?}");
}

#[test]
fn a_face_has_to_be_known_before_it_moves() {
    // The face is found 200 ms before a movement, and long before another one.
    let candidates = course(100.0, 3.0, 0, |t| {
        Some(one(unit(12), 1.5 * bump(t, 200.0, 320.0, 500.0) + 1.5 * bump(t, 1000.0, 1120.0, 1300.0)))
    });
    let causes: Vec<_> = candidates.iter().map(|(c, _)| c.cause).collect();
    assert_eq!(causes, [Some(Rejection::Timing), None]);
}

#[test]
fn noise_of_one_frame_is_no_movement() {
    let candidates =
        course(100.0, 4.0, 0, |t| Some(one(unit(12), if t as i64 % 500 == 100 { 0.7 } else { 0.0 })));
    assert!(candidates.is_empty(), "{candidates:?}");
}
