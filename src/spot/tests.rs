//! The spotter on drawn movements.

use super::judge::{JAW, LIDS_SHARE};
use super::measure::{LIDS_DRAG, lead};
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

/// Runs a movement of one unit through gate and spotter.
fn spot(fps: f64, times_ms: [f64; 3], height: f32, unit: usize, origin_ns: i64) -> Vec<Verdict> {
    let mut spotter = Spotter::new(Settings::default());
    let mut gate = crate::gate::Gate::new([0.4; UNIT_COUNT]);
    let mut out = Vec::new();
    for i in 0..(fps * 3.0) as i64 {
        let t = i as f64 / fps;
        let mut intensities = [0.0; UNIT_COUNT];
        intensities[unit] = height * bump(1e3 * t, times_ms[0], times_ms[1], times_ms[2]);
        let relative = gate.update(&intensities, (1.0 / fps) as f32);
        let at_ns = origin_ns + (t * 1e9) as i64;
        let context = Context { quality: 1.0, ..Context::default() };
        match spotter.push(at_ns, &relative, context, gate.is_open(), |k| gate.above(k)) {
            Verdict::Quiet | Verdict::Active => {}
            other => out.push(other),
        }
    }
    out
}

const SMILE: u8 = 12;

fn smile() -> usize {
    unit_indices(SMILE, Side::Left).next().expect("AU 12")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn finds_onset_apex_offset(fps in prop::sample::select(vec![30.0, 60.0, 100.0, 200.0]), start in 800f64..1200.0,
                               rise in 80f64..180.0, fall in 80f64..220.0, height in 0.9f32..4.0) {
        let times = [start, start + rise, start + rise + fall];
        let found = spot(fps, times, height, smile(), 0);
        prop_assert_eq!(found.len(), 1);
        let Verdict::Done(c) = &found[0] else { return Err(TestCaseError::fail(format!("{:?}", found[0]))) };
        let tolerance = 10.0 + 700.0 / fps;
        for (ns, truth) in [(c.onset_ns, times[0]), (c.apex_ns, times[1]), (c.offset_ns, times[2])] {
            let error = ns as f64 / 1e6 - truth;
            prop_assert!(error.abs() < tolerance, "{error} ms at {fps} fps");
        }
    }

    #[test]
    fn a_constant_on_all_times_changes_nothing(origin in -1_000_000_000_000i64..1_000_000_000_000) {
        let at = |origin| match spot(100.0, [1000.0, 1100.0, 1250.0], 1.5, smile(), origin).pop() {
            Some(Verdict::Done(c)) => Some((c.onset_ns - origin, c.apex_ns - origin, c.offset_ns - origin)),
            _ => None,
        };
        let (a, b) = (at(0).expect("found"), at(origin).expect("found"));
        // Times pass through f64.
        prop_assert!((a.0 - b.0).abs() < 1000 && (a.1 - b.1).abs() < 1000 && (a.2 - b.2).abs() < 1000);
    }
}

#[test]
fn what_lids_drag_along_moves_on_its_own_too() {
    let peak = |parts: &[(u8, f32)]| {
        let mut peak = [0.0; UNIT_COUNT];
        for &(au, intensity) in parts {
            unit_indices(au, Side::Both).for_each(|k| peak[k] = intensity);
        }
        peak
    };
    let lids = |parts: &[(u8, f32)]| lead(&peak(parts), &[45], &[7, 5], LIDS_DRAG);
    // A blink tightens the lids; tight lids look a little like a blink.
    assert!(lids(&[(45, 3.0), (7, 1.5)]) > LIDS_SHARE);
    assert!(lids(&[(45, 0.2), (7, 2.0)]) < LIDS_SHARE);
    // Talk is talk, however much of lip and chin it pulls at.
    let jaw = |parts: &[(u8, f32)]| lead(&peak(parts), &[25, 26], &[16, 17], 0.0);
    assert!(jaw(&[(26, 0.6), (17, 0.8)]) > JAW);
}

#[test]
fn long_and_lid_movements_are_told_apart() {
    let found = spot(100.0, [500.0, 1000.0, 1500.0], 2.0, smile(), 0);
    assert!(
        matches!(&found[..], [Verdict::Rejected(Rejection::Macro, Some(c))] if c.kind == Kind::Macro),
        "{found:?}"
    );
    let lid = unit_indices(45, Side::Left).next().expect("AU 45");
    let found = spot(100.0, [1000.0, 1100.0, 1250.0], 4.0, lid, 0);
    assert!(
        matches!(&found[..], [Verdict::Rejected(Rejection::Blink, Some(c))] if c.kind == Kind::Blink),
        "{found:?}"
    );
}

#[test]
fn disturbance_spoils_what_is_under_way() {
    let mut spotter = Spotter::new(Settings::default());
    let mut i = [0.0; UNIT_COUNT];
    i[3] = 2.0;
    let c = Context::default();
    assert_eq!(spotter.push(0, &i, c, true, |_| true), Verdict::Active);
    assert_eq!(spotter.disturb(Rejection::HeadMotion), Some(Rejection::HeadMotion));
    assert_eq!(spotter.disturb(Rejection::HeadMotion), None);
    assert_eq!(spotter.push(10_000_000, &[0.0; UNIT_COUNT], c, false, |_| false), Verdict::Quiet);
}

/// Runs what `act` says of each time in ms (intensities, brightness, share of outliers) through gate and spotter.
fn course(act: impl Fn(f64) -> ([f32; UNIT_COUNT], f32, f32)) -> Vec<Verdict> {
    let mut spotter = Spotter::new(Settings::default());
    let mut gate = crate::gate::Gate::new([0.4; UNIT_COUNT]);
    let mut out = Vec::new();
    for i in 0..400 {
        let (intensities, light, outliers) = act(10.0 * f64::from(i));
        let relative = gate.update(&intensities, 0.01);
        let context = Context { quality: 1.0, light, outliers, ..Context::default() };
        match spotter.push(10_000_000 * i64::from(i), &relative, context, gate.is_open(), |k| gate.above(k)) {
            Verdict::Quiet | Verdict::Active => {}
            other => out.push(other),
        }
    }
    out
}

fn unit(au: u8) -> usize {
    unit_indices(au, Side::Both).next().expect("a known AU")
}

#[test]
fn syllables_are_speech() {
    let found = course(|t| {
        let mut i = [0.0; UNIT_COUNT];
        i[unit(26)] = (0..6)
            .map(|k| {
                1.5 * bump(
                    t,
                    1000.0 + 240.0 * f64::from(k),
                    1100.0 + 240.0 * f64::from(k),
                    1200.0 + 240.0 * f64::from(k),
                )
            })
            .sum();
        (i, 5.0, 0.0)
    });
    assert!(
        !found.is_empty() && found.iter().all(|v| matches!(v, Verdict::Rejected(Rejection::Speech, _))),
        "{found:?}"
    );
}

#[test]
fn a_weak_neighbour_does_not_spoil_a_movement() {
    let found = course(|t| {
        let mut i = [0.0; UNIT_COUNT];
        i[unit(12)] = 2.5 * bump(t, 1000.0, 1120.0, 1300.0);
        i[unit(4)] = 0.55 * bump(t, 1360.0, 1460.0, 1560.0);
        (i, 5.0, 0.0)
    });
    assert!(
        matches!(&found[0], Verdict::Done(c) if c.peak[unit(12)] > 2.0 && c.peak[unit(4)] == 0.0),
        "{found:?}"
    );
}

#[test]
fn light_and_what_flow_cannot_explain_are_no_movement() {
    let smile = |t: f64| {
        let mut i = [0.0; UNIT_COUNT];
        i[unit(12)] = 1.5 * bump(t, 1000.0, 1120.0, 1300.0);
        i
    };
    let lit = course(|t| (smile(t), if t > 1100.0 { 5.1 } else { 5.0 }, 0.0));
    assert!(matches!(lit[..], [Verdict::Rejected(Rejection::Light, None)]), "{lit:?}");
    // A hand does not rise and fall as exactly as a muscle does; brows that fold the skin above them do.
    let rough = |t: f64| smile(t).map(|v| v * (1.0 + 0.12 * (t / 15.0).sin() as f32));
    let covers = |t: f64| if (1000.0..1300.0).contains(&t) { 0.3 } else { 0.02 };
    let covered = course(|t| (rough(t), 5.0, covers(t)));
    assert!(matches!(covered[..], [Verdict::Rejected(Rejection::Shape, None)]), "{covered:?}");
    for found in [
        course(|t| (rough(t), 5.0, 0.02)),
        course(|t| (smile(t), 5.0, covers(t))),
        course(|t| (smile(t), 5.0, 0.02)),
    ] {
        assert!(matches!(found[..], [Verdict::Done(_)]), "{found:?}");
    }
}

#[test]
fn noise_of_one_frame_is_no_movement() {
    let found = course(|t| {
        let mut i = [0.0; UNIT_COUNT];
        i[unit(12)] = if t as i64 % 500 == 100 { 0.7 } else { 0.0 };
        (i, 5.0, 0.0)
    });
    assert!(found.is_empty(), "{found:?}");
}
