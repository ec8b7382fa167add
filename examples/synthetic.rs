//! The whole chain on the synthetic subject: a smile of 300 ms that nobody would notice.
//!
//! `cargo run --example synthetic`

use std::error::Error;

use glint::frame::Frame;
use glint::pipeline::{Models, Options, Pipeline, Step};
use glint::synth::{Action, Camera, Pack, Scene, Script, Subject};

/// Frames per second.
const FPS: f64 = 100.0;

/// What is found in the first seconds of the subject, one line a movement.
pub fn run(seconds: f64) -> Result<Vec<String>, Box<dyn Error>> {
    // AU 12 on both sides, a fifth of the full movement, from 2 s on.
    let script = Script::new(vec![Action::micro(12, 0.2, 2_000_000_000)])?;
    let mut scene = Scene::new(Subject::random(Pack::embedded()?, 1), script, Camera::default());
    let mut pipeline = Pipeline::new(Options::default(), &Models::embedded()?)?;
    let mut frame = Frame::default();
    let mut movements = Vec::new();
    for seq in 0..(seconds * FPS) as u64 {
        scene.render(seq, (seq as f64 * 1e9 / FPS) as i64, &mut frame);
        if let Step::Event(movement) = pipeline.push(&frame) {
            movements.push(movement);
        }
    }
    // A movement that has ended with the clip.
    while let Some(movement) = pipeline.finish() {
        movements.push(movement);
    }
    let line = |m: &glint::event::Movement| {
        let aus: Vec<String> = m.aus.iter().map(|a| format!("AU {} at {:.2}", a.au, a.intensity)).collect();
        format!("{} to {} ms: {}", m.onset_ns / 1_000_000, m.offset_ns / 1_000_000, aus.join(", "))
    };
    Ok(movements.iter().map(line).collect())
}

/// Prints what is found.
pub fn main() -> Result<(), Box<dyn Error>> {
    run(3.2)?.iter().for_each(|line| println!("{line}"));
    Ok(())
}
