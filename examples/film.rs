//! A film of the synthetic subject, to try the commands on: AVI, 640x480, 60 frames/s.
//!
//! `cargo run --example film -- subject.avi`

use std::error::Error;
use std::path::Path;

use glint::au::Side;
use glint::clip::{AviWriter, Codec, Rate};
use glint::synth::{Action, Camera, Pack, Profile, Scene, Script, Subject};

const FPS: f64 = 60.0;

/// What the subject does: a smile of 300 ms, a blink, raised brows, a smile of 1.4 s, a lowered brow on the left.
fn actions() -> Vec<Action> {
    let s = |seconds: f64| (seconds * 1e9) as i64;
    let long = Action {
        apex_ns: s(6.0),
        offset_ns: s(7.0),
        profile: Profile::Hold,
        ..Action::micro(12, 0.5, s(5.6))
    };
    let left = Action { side: Side::Left, ..Action::micro(4, 0.35, s(8.4)) };
    vec![
        Action::micro(12, 0.3, s(1.6)),
        Action::blink(s(2.9)),
        Action::micro(1, 0.35, s(4.1)),
        Action::micro(2, 0.35, s(4.1)),
        long,
        left,
    ]
}

/// Writes the first seconds of the film; ten show everything.
pub fn run(path: &Path, seconds: f64) -> Result<(), Box<dyn Error>> {
    let camera = Camera::default();
    let rate = Rate::from_fps(FPS).ok_or("no such rate")?;
    let mut film = AviWriter::create(path, rate, (camera.width, camera.height), Codec::Mjpeg(92))?;
    let mut scene = Scene::new(Subject::random(Pack::embedded()?, 1), Script::new(actions())?, camera);
    for seq in 0..(seconds * FPS) as u64 {
        film.write(&scene.frame(seq, FPS).luma)?;
    }
    film.finish()?;
    Ok(())
}

/// Writes the film to the path on the command line.
pub fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("the path of the film is missing")?;
    run(Path::new(&path), 10.0)
}
