//! Whether a machine keeps up, and what a followed face allocates.

use super::*;
use glint::synth::{Camera, Pack, Scene, Script, Subject};

#[test]
fn a_board_keeps_up_or_is_told_what_it_can() {
    assert_eq!(keeps_up(966.0), "keeps up with 60 frames/s: yes, 16.1 times");
    assert_eq!(keeps_up(43.4), "keeps up with 60 frames/s: no, with 43 frames/s at most; set camera.fps");
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
