//! The programs of `examples/`, run: what a reader copies works.

#[path = "../../examples/film.rs"]
mod film;
#[path = "../../examples/flow.rs"]
mod flow;
#[path = "../../examples/intensities.rs"]
mod intensities;
#[path = "../../examples/synthetic.rs"]
mod synthetic;

use glint::clip::Codec;

#[test]
fn a_smile_of_the_synthetic_subject_is_found() {
    let lines = synthetic::run(3.2).expect("runs");
    assert!(lines.iter().any(|line| line.contains("AU 12")), "{lines:?}");
    synthetic::main().expect("prints");
}

#[test]
fn intensities_of_a_clip_are_a_table() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("smile.avi");
    super::write_smile(&path, Codec::Mjpeg(95), 150);
    let table = intensities::run(&path).expect("runs");
    assert_eq!(table.len(), 151);
    assert!(table[0].starts_with("ms,au1,au2,"), "{}", table[0]);
    assert!(table.iter().all(|line| line.split(',').count() == 21), "a cell is missing");
    let numbers = table.iter().filter(|line| !line.contains(",,")).count();
    assert!(numbers > 100, "{numbers} frames of 150 are measured");
    // No clip on the command line of the tests.
    let _ = intensities::main as fn() -> Result<(), Box<dyn std::error::Error>>;
}

#[test]
fn the_film_is_a_clip() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("subject.avi");
    film::run(&path, 0.2).expect("runs");
    let clip = glint::clip::Clip::open(&path, None).expect("opens");
    assert_eq!((clip.frame_count(), clip.fps()), (Some(12), Some(60.0)));
    // No path on the command line of the tests.
    let _ = film::main as fn() -> Result<(), Box<dyn std::error::Error>>;
}

#[test]
fn flow_is_near_the_displacement_that_was_rendered() {
    let [measured, rendered, strain] = flow::run(12, 0.33).expect("runs");
    assert!((measured - rendered).abs() < 0.35 * rendered, "{measured} and {rendered}");
    assert!(strain > 0.005, "{strain}");
    flow::main().expect("prints");
}
