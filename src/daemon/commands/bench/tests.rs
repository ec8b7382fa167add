//! Whether a machine keeps up, and what a followed face allocates.

use super::*;
use glint::synth::{Camera, Pack, Scene, Script, Subject};

#[test]
fn a_board_keeps_up_or_is_told_what_it_can() {
    assert_eq!(keeps_up(966.0), "keeps up with 60 frames/s: yes, 16.1 times");
    assert_eq!(keeps_up(43.4), "keeps up with 60 frames/s: no, with 43 frames/s at most; set camera.fps");
}

#[test]
fn without_a_face_there_is_no_verdict() {
    let times = |runs| Times { runs, ..Times::default() };
    let result = |followed| BenchResult {
        machine: Machine::here(),
        frames: 160,
        warm_up_frames: 60,
        fps: 966.0,
        drift: None,
        stages: Default::default(),
        tracked_frame: times(followed),
        quiet_frame: times(0),
        wall_fps: 900.0,
        decoder_process_us: None,
        peak_rss_bytes: 1,
        allocs_ours: 0.0,
        allocs_tract: 0.0,
    };
    let says = |followed, words: &str| result(followed).lines().iter().any(|line| line.contains(words));
    assert!(says(0, "no face was found") && !says(0, "keeps up with"));
    assert!(result(0).compared(&result(100)).iter().any(|line| line.contains("no face was found")));
    assert!(says(20, "keeps up with") && says(20, "a face was followed in 20 of 100 frames"));
    assert!(says(100, "keeps up with") && !says(100, "a face was followed"));
}

#[test]
fn a_followed_face_allocates_nothing() {
    allocations::start();
    let script = Script::new(Vec::new()).expect("a script");
    let subject = Subject::random(Pack::embedded().expect("a pack"), 1);
    let mut scene = Scene::new(subject, script, Camera::default());
    let models = Models::embedded().expect("models");
    let mut pipeline = Pipeline::new(Options::default(), &models).expect("a pipeline");
    let mut frame = Frame::default();
    let (mut counted, mut ours) = (0, 0);
    for seq in 0..180 {
        let at_ns = seq as i64 * 16_666_667;
        scene.render(seq, at_ns, &mut frame);
        let track = pipeline.observation().track;
        let before = allocations::count().ours;
        pipeline.push(&frame);
        let after = allocations::count().ours;
        // As `bench` counts: buffers are full, and the face is the one of the frame before.
        if at_ns >= STEADY_NS && pipeline.observation().track == track {
            counted += 1;
            ours += after - before;
        }
    }
    assert!(counted > 20, "{counted} frames with a followed face");
    assert_eq!(ours, 0, "allocations in {counted} frames");
}
