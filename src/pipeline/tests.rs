//! The whole chain on synthetic people.

use super::*;
use crate::au::{AU_COUNT, AUS};
use crate::event::{Class, TimingQuality};
use crate::synth::{Action, Camera, HeadMove, Pack, Scene, Script, Subject};

fn run(
    person: u64,
    actions: Vec<Action>,
    fps: f64,
    seconds: f64,
    every: u64,
) -> (Vec<Movement>, Counters, u64) {
    let subject = Subject::random(Pack::embedded().expect("pack"), person);
    let camera = Camera { seed: person, ..Camera::default() };
    let mut scene = Scene::new(subject, Script::new(actions).expect("valid"), camera);
    let options = Options { purpose: Some(Purpose::Research), ..Options::default() };
    let mut pipeline = Pipeline::new(options, &Models::embedded().expect("models")).expect("pipeline");
    let (mut movements, mut moving, mut frame) = (Vec::new(), 0, Frame::default());
    for seq in (0..(seconds * fps) as u64).step_by(every as usize) {
        scene.render(seq / every, (seq as f64 * 1e9 / fps) as i64, &mut frame);
        match pipeline.push(&frame) {
            Step::Event(m) => movements.push(m),
            Step::Moving => moving += 1,
            _ => {}
        }
    }
    while let Some(m) = pipeline.finish() {
        movements.push(m);
    }
    (movements, *pipeline.counters(), moving)
}

#[test]
fn movements_of_many_kinds_are_found_in_many_people() {
    let cases: [(&[u8], Class); 8] = [
        (&[12], Class::Positive),
        (&[6, 12], Class::Positive),
        (&[1, 2], Class::Surprise),
        (&[4], Class::Negative),
        (&[9], Class::Negative),
        (&[15], Class::Negative),
        (&[10], Class::Negative),
        (&[14], Class::Negative),
    ];
    let (mut hits, mut classified, mut right, mut total, mut extra) = (0, 0, 0, 0, 0);
    for (k, (aus, class)) in cases.iter().enumerate() {
        for person in 0..2 {
            let person = person + 2 * k as u64;
            let onset = 2_000_000_000;
            let actions = aus.iter().map(|&au| Action::micro(au, 0.25, onset)).collect();
            let (movements, counters, moving) = run(person, actions, 100.0, 3.2, 1);
            total += 1;
            let hit = movements.iter().find(|m| (m.onset_ns - onset).abs() < 60_000_000);
            hits += usize::from(hit.is_some_and(|m| aus.contains(&m.aus[0].au)));
            classified += usize::from(hit.is_some_and(|m| m.label.is_some()));
            right += usize::from(hit.is_some_and(|m| m.label.as_ref().is_some_and(|l| l.class == *class)));
            extra += movements.len() - usize::from(hit.is_some());
            println!(
                "{aus:?} person {person}: {:?} {:?} moving {moving} {counters:?}",
                hit.map(|m| (m.onset_ns / 1_000_000, &m.aus, &m.label)),
                movements.len()
            );
        }
    }
    println!("{hits} found, {classified} classified, {right} rightly, of {total}; {extra} extra");
    assert!(hits * 10 >= total * 8, "{hits} of {total} found");
    // The student may abstain where it is not sure; what it says has to be right, mostly.
    assert!(classified * 10 >= total * 6, "{classified} of {total} classified");
    assert!(right * 10 >= classified * 8, "{right} of {classified} classified rightly");
    assert!(extra * 8 <= total, "{extra} extra events");
}

#[test]
fn a_still_face_is_quiet_and_keeps_the_gate_shut() {
    let (movements, counters, _) = run(31, Vec::new(), 60.0, 6.0, 1);
    assert!(movements.is_empty(), "{movements:?}");
    assert!(counters.gate_open * 100 <= counters.frames, "{counters:?}");
    assert_eq!(counters.student_runs, 0);
}

#[test]
fn a_new_neutral_face_is_no_movement() {
    // A smile that stays, and a turned head: the reference changes, the levels go on.
    let held = Action {
        apex_ns: 2_300_000_000,
        offset_ns: 20_000_000_000,
        profile: crate::synth::Profile::Hold,
        ..Action::micro(12, 0.5, 2_000_000_000)
    };
    let subject = Subject::random(Pack::embedded().expect("pack"), 9);
    let mut scene = Scene::new(subject, Script::new(vec![held]).expect("valid"), Camera::default());
    let mut pipeline =
        Pipeline::new(Options::default(), &Models::embedded().expect("models")).expect("pipeline");
    let (mut frame, mut levels, mut references) = (Frame::default(), Vec::new(), 0);
    let mut version = 0;
    for seq in 0..360 {
        scene.render(seq, (seq as f64 * 1e9 / 60.0) as i64, &mut frame);
        pipeline.push(&frame);
        let track = pipeline.faces.followers().first().map(|f| f.track.neutral_version);
        references += i32::from(track.is_some_and(|v| v != version));
        version = track.unwrap_or(version);
        if let Some(sample) = pipeline.sample() {
            levels.push((frame.at_ns, by_au(&sample.levels)[8]));
        }
    }
    assert!(references > 3, "{references} references");
    let rise = |from: i64, to: i64| {
        let at = |t: i64| levels.iter().find(|l| l.0 >= t * 1_000_000).map_or(f32::NAN, |l| l.1);
        at(to) - at(from)
    };
    assert!(rise(1900, 2500) > 1.2, "{}", rise(1900, 2500));
    // From then on it stays where it is, however often the reference changes.
    for t in (2600..5800).step_by(100) {
        assert!(rise(2500, t).abs() < 0.5, "{t}: {}", rise(2500, t));
    }
}

#[test]
fn a_smile_that_stood_is_over_when_it_ends() {
    // Twice: up in 300 ms, held for 1.5 s, down in as long a time as the hold. Over 3.3 s after its onset.
    let smile = |onset_ns: i64| Action {
        apex_ns: onset_ns + 300_000_000,
        offset_ns: onset_ns + 3_300_000_000,
        profile: crate::synth::Profile::Hold,
        ..Action::micro(12, 0.5, onset_ns)
    };
    for person in [9, 10, 11] {
        let subject = Subject::random(Pack::embedded().expect("pack"), person);
        let script = Script::new(vec![smile(2_000_000_000), smile(7_000_000_000)]).expect("valid");
        let mut scene = Scene::new(subject, script, Camera::default());
        let mut pipeline =
            Pipeline::new(Options::default(), &Models::embedded().expect("models")).expect("pipeline");
        let (mut frame, mut read) = (Frame::default(), Vec::new());
        for seq in 0..690 {
            scene.render(seq, (seq as f64 * 1e9 / 60.0) as i64, &mut frame);
            pipeline.push(&frame);
            read.push(pipeline.observation().intensities.unwrap_or([f32::NAN; AU_COUNT]));
        }
        let at = |s: f32| &read[(60.0 * s) as usize];
        for onset_s in [2.0, 7.0] {
            let (before, held) = (at(onset_s - 0.1)[8], at(onset_s + 1.0)[8]);
            assert!(before < 0.2 && held > 1.5, "{person}, {onset_s} s: {before} {held}");
            // No AU is left behind: neither that of the smile nor one that it had drawn down.
            for s in [3.6, 4.4] {
                let left = AUS.iter().zip(at(onset_s + s)).max_by(|a, b| a.1.total_cmp(b.1));
                assert!(left.is_some_and(|l| *l.1 < 0.5), "{person}, {onset_s} s: {left:?} at {s} s");
            }
        }
    }
}

#[test]
fn a_head_that_turns_slowly_is_measured_all_the_way() {
    // 16 degrees to one side within a second and a half, and there it stays.
    let turn = HeadMove {
        from_ns: 1_500_000_000,
        to_ns: 3_000_000_000,
        shift: [0.0; 2],
        roll_degrees: 0.0,
        yaw_degrees: 16.0,
        pitch_degrees: 0.0,
        zoom: 0.0,
        returns: false,
    };
    for person in 0..2 {
        let mut script = Script::new(Vec::new()).expect("valid");
        script.life.moves.push(turn);
        let subject = Subject::random(Pack::embedded().expect("pack"), person);
        let mut scene = Scene::new(subject, script, Camera { seed: person, ..Camera::default() });
        let mut pipeline =
            Pipeline::new(Options::default(), &Models::embedded().expect("models")).expect("pipeline");
        let (mut frame, mut blind) = (Frame::default(), 0);
        for seq in 0..135 {
            scene.render(seq, (seq as f64 * 1e9 / 30.0) as i64, &mut frame);
            let step = pipeline.push(&frame);
            blind += u32::from(seq > 40 && step == Step::Moving);
        }
        assert!(blind <= 3, "person {person}: {blind} of 95 frames were not measured");
    }
}

#[test]
fn half_the_frames_still_find_a_strong_movement() {
    let actions = || vec![Action::micro(12, 0.4, 2_000_000_000)];
    let (all, ..) = run(5, actions(), 200.0, 3.0, 1);
    let (half, ..) = run(5, actions(), 200.0, 3.0, 2);
    assert_eq!((all.len(), half.len()), (1, 1));
    assert!((all[0].onset_ns - half[0].onset_ns).abs() < 30_000_000);
    assert!((all[0].fps - 200.0).abs() < 2.0 && (half[0].fps - 100.0).abs() < 2.0);
}

/// Pushes pictures of a movement, each at a number and time of its own and as often as `times` says.
fn shown(pictures: &[(u64, i64)], slot_ns: i64, times: impl Fn(usize) -> u64) -> (Vec<Movement>, Counters) {
    let subject = Subject::random(Pack::embedded().expect("pack"), 5);
    let script = Script::new(vec![Action::micro(12, 0.4, 2_000_000_000)]).expect("valid");
    let mut scene = Scene::new(subject, script, Camera::default());
    let mut pipeline = lenient();
    let (mut movements, mut frame, mut seq) = (Vec::new(), Frame::default(), 0);
    for (k, (number, at_ns)) in pictures.iter().enumerate() {
        scene.render(*number, *at_ns, &mut frame);
        for copy in 0..times(k) {
            (frame.seq, frame.at_ns) = (seq, at_ns + copy as i64 * slot_ns);
            seq += 1;
            if let Step::Event(m) = pipeline.push(&frame) {
                movements.push(m);
            }
        }
    }
    movements.extend(std::iter::from_fn(|| pipeline.finish()));
    (movements, *pipeline.counters())
}

#[test]
fn a_picture_that_is_repeated_is_no_new_one() {
    const SLOT_NS: i64 = 10_000_000;
    for (copies, quality) in [(2, TimingQuality::Good), (4, TimingQuality::Degraded)] {
        let fps = 100 / copies;
        let pictures: Vec<_> = (0..3 * fps).map(|k| (k, k as i64 * copies as i64 * SLOT_NS)).collect();
        let (once, plain) = shown(&pictures, SLOT_NS, |_| 1);
        let (repeated, counters) = shown(&pictures, SLOT_NS, |_| copies);
        assert_eq!(once.len(), 1, "{plain:?}");
        assert_eq!(once, repeated);
        assert_eq!((once[0].fps, once[0].timing_quality), (fps as f32, quality));
        assert_eq!(counters.frames_repeated, counters.frames / copies * (copies - 1));
        assert_eq!(
            counters,
            Counters { frames: plain.frames * copies, frames_repeated: counters.frames_repeated, ..plain }
        );
    }
}

#[test]
fn a_movement_across_a_picture_that_stands_is_spoilt() {
    const FRAME_NS: i64 = 10_000_000;
    let pictures: Vec<_> = (0..300).map(|k| (k, k as i64 * FRAME_NS)).collect();
    // 150 ms out of the middle of the rise: the camera stood still, and then jumps.
    let stuck: Vec<_> = pictures.iter().copied().filter(|(k, _)| !(205..220).contains(k)).collect();
    let (movements, counters) = shown(&stuck, FRAME_NS, |k| if k == 204 { 16 } else { 1 });
    assert_eq!(counters.frames_repeated, 15);
    assert!(movements.is_empty() && counters.rejected_timing > 0, "{movements:?} {counters:?}");
    let (movements, _) = shown(&pictures, FRAME_NS, |_| 1);
    assert_eq!(movements.len(), 1);
}

#[test]
fn the_rate_of_a_picture_that_stands_falls() {
    let subject = Subject::random(Pack::embedded().expect("pack"), 5);
    let mut scene = Scene::new(subject, Script::new(Vec::new()).expect("valid"), Camera::default());
    let mut pipeline = lenient();
    (0..30).for_each(|k| _ = pipeline.push(&scene.frame(k, 30.0)));
    let mut frame = scene.frame(30, 30.0);
    assert_eq!(pipeline.push(&frame), Step::Quiet);
    for seconds in [1.0, 4.0] {
        (frame.seq, frame.at_ns) = (frame.seq + 1, ((1.0 + seconds) * 1e9) as i64);
        assert_eq!(pipeline.push(&frame), Step::Quiet);
        let seen = pipeline.observation();
        assert!(seen.bounds.is_some() && (seen.fps - 1.0 / seconds as f32).abs() < 0.01, "{seen:?}");
    }
    assert_eq!(pipeline.counters().frames_repeated, 2);
}

/// A frame as a flat picture that is turned about its own upright (`yaw`) or level middle line, seen from 1200 pixels.
fn turned(frame: &Frame, angle: f32, yaw: bool) -> Frame {
    const DISTANCE: f32 = 1200.0;
    let (width, height) = (frame.width, frame.height);
    let (middle_x, middle_y) = (0.5 * width as f32, 0.5 * height as f32);
    let at = |x: usize, y: usize| f32::from(frame.luma[y.min(height - 1) * width + x.min(width - 1)]);
    let mut luma = Vec::with_capacity(width * height);
    for k in 0..width * height {
        let (u, v) = ((k % width) as f32 - middle_x, (k / width) as f32 - middle_y);
        // Across the axis, then along it: the ray through the pixel meets the turned plane.
        let (across, along) = if yaw { (u, v) } else { (v, u) };
        let across = across * DISTANCE / (DISTANCE * angle.cos() - across * angle.sin());
        let along = along * (DISTANCE + across * angle.sin()) / DISTANCE;
        let (x, y) = if yaw { (across, along) } else { (along, across) };
        let (x, y) = ((x + middle_x).max(0.0), (y + middle_y).max(0.0));
        let (x0, y0) = (x as usize, y as usize);
        let (fx, fy) = (x - x0 as f32, y - y0 as f32);
        let row = |y: usize| at(x0, y) + fx * (at(x0 + 1, y) - at(x0, y));
        luma.push((row(y0) + fy * (row(y0 + 1) - row(y0))).round() as u8);
    }
    Frame { luma, ..frame.clone() }
}

#[test]
fn a_picture_that_nods_or_turns_is_no_movement() {
    let models = Models::embedded().expect("models");
    for person in 0..3 {
        for yaw in [false, true] {
            let subject = Subject::random(Pack::embedded().expect("pack"), person);
            let camera = Camera { seed: person, ..Camera::default() };
            let mut scene = Scene::new(subject, Script::new(Vec::new()).expect("valid"), camera);
            let mut pipeline = Pipeline::new(Options::default(), &models).expect("pipeline");
            let (mut movements, mut frame) = (Vec::new(), Frame::default());
            for seq in 0..90 {
                let at_ns = seq as i64 * 1_000_000_000 / 30;
                scene.render(seq, at_ns, &mut frame);
                // 8 degrees and back within 300 ms.
                let phase = ((at_ns as f32 / 1e6 - 1500.0) / 300.0).clamp(0.0, 1.0);
                let angle = 8f32.to_radians() * (0.5 - 0.5 * (std::f32::consts::TAU * phase).cos());
                if let Step::Event(m) = pipeline.push(&turned(&frame, angle, yaw)) {
                    movements.push(m);
                }
            }
            movements.extend(std::iter::from_fn(|| pipeline.finish()));
            assert!(movements.is_empty(), "person {person}, yaw {yaw}: {movements:?}");
            assert!(pipeline.counters().rejected_head_motion > 0, "{:?}", pipeline.counters());
        }
    }
}

#[test]
fn no_event_below_the_lowest_rate() {
    let (movements, ..) = run(5, vec![Action::micro(12, 0.4, 2_000_000_000)], 15.0, 4.0, 1);
    assert!(movements.is_empty(), "{movements:?}");
}

#[test]
fn without_a_face_there_is_nothing() {
    let mut pipeline =
        Pipeline::new(Options::default(), &Models::embedded().expect("models")).expect("pipeline");
    for seq in 0..40 {
        let luma = (0..320 * 240).map(|i| ((i * 7 + seq * 13) % 61 * 4) as u8).collect();
        let frame = Frame { seq: seq as u64, at_ns: 10_000_000 * seq as i64, width: 320, height: 240, luma };
        assert_eq!(pipeline.push(&frame), Step::NoFace);
    }
    let tiny = Frame { seq: 40, at_ns: 400_000_000, width: 1, height: 1, luma: vec![7] };
    assert_eq!(pipeline.push(&tiny), Step::NoFace);
    assert_eq!(pipeline.gap(41, 410_000_000), Step::Gap);
}

/// A pipeline whose judge has no opinion.
fn lenient() -> Pipeline {
    use crate::spot::{MEASURES, NAMES};
    let mut models = Models::embedded().expect("models");
    let mut numbers = vec![0.0f32; Judge::numbers([1, 1])];
    numbers[MEASURES..2 * MEASURES].fill(1.0);
    models.judge.bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>().into();
    models.judge.spec.hidden = [1, 1];
    models.judge.spec.threshold = 0.0;
    models.judge.spec.measures = NAMES.map(str::to_owned).to_vec();
    Pipeline::new(Options::default(), &models).expect("pipeline")
}

#[test]
fn a_movement_under_way_when_the_camera_is_opened_anew_counts_as_timing() {
    let mut pipeline = lenient();
    let subject = Subject::random(Pack::embedded().expect("pack"), 1);
    let script = Script::new(vec![Action::micro(12, 0.4, 2_000_000_000)]).expect("valid");
    let mut scene = Scene::new(subject, script, Camera::default());
    let mut frame = Frame::default();
    let mut seq = 0;
    // Until it rises.
    while !pipeline.tracked.iter().any(|s| s.gate.is_open()) {
        scene.render(seq, (seq as f64 * 1e9 / 60.0) as i64, &mut frame);
        assert!(!matches!(pipeline.push(&frame), Step::Event(_)));
        seq += 1;
        assert!(seq < 150, "the movement is seen");
    }
    assert!(seq > 110, "not before it begins: {seq}");
    assert_eq!(pipeline.counters().rejected_timing, 0);
    pipeline.reset();
    assert_eq!(pipeline.counters().rejected_timing, 1);
    assert!(pipeline.finish().is_none());
    // With nobody there it counts nothing.
    pipeline.reset();
    assert_eq!(pipeline.counters().rejected_timing, 1);
}

#[test]
fn landmarks_are_those_of_the_face_and_go_with_it() {
    let subject = Subject::random(Pack::embedded().expect("pack"), 3);
    let turn = Script::new(vec![Action::micro(12, 0.3, 700_000_000)]).expect("valid");
    let mut scene = Scene::new(subject, turn, Camera::default());
    let mut pipeline = lenient();
    assert!(pipeline.landmarks().is_none(), "no frame yet");
    for seq in 0..90 {
        pipeline.push(&scene.frame(seq, 60.0));
    }
    let landmarks = pipeline.landmarks().expect("a face");
    let truth = scene.truth(89 * 1_000_000_000 / 60).landmarks;
    let apart =
        landmarks.iter().zip(&truth).map(|(a, b)| a.distance(*b)).sum::<f32>() / landmarks.len() as f32;
    let eyes = pipeline.observation().eye_distance_px;
    assert!(apart < 0.1 * eyes, "{apart} px at {eyes} px between the eyes");
    // A frame without a face has none.
    let blank = Frame { luma: vec![120; 640 * 480], ..scene.frame(90, 60.0) };
    pipeline.push(&blank);
    assert!(pipeline.landmarks().is_none());
}
