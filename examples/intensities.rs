//! Intensities of all action units in each frame of a clip, as CSV: what the gate sees before anything is decided.
//!
//! `cargo run --example intensities -- talk.avi > talk.csv`

use std::error::Error;
use std::path::Path;

use glint::au::AUS;
use glint::clip::{Clip, Media};
use glint::frame::Frame;
use glint::pipeline::{Models, Options, Pipeline};

/// The table of a clip: a header, then a line for each frame. A frame in which nothing can be measured has no numbers.
pub fn run(path: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut clip = Clip::open(path, None)?;
    let mut pipeline = Pipeline::new(Options::default(), &Models::embedded()?)?;
    let mut frame = Frame::default();
    let mut table = vec![format!("ms,{}", AUS.map(|au| format!("au{au}")).join(","))];
    while let Some(media) = clip.next(&mut frame)? {
        match media {
            Media::Frame => {
                pipeline.push(&frame);
            }
            Media::Damaged { seq, at_ns, .. } => {
                pipeline.gap(seq, at_ns);
                continue;
            }
        }
        let cells = match pipeline.observation().intensities {
            Some(values) => values.map(|v| format!("{v:.2}")).join(","),
            None => ",".repeat(AUS.len() - 1),
        };
        table.push(format!("{},{cells}", frame.at_ns / 1_000_000));
    }
    Ok(table)
}

/// Prints the table of the clip on the command line.
pub fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("a clip is missing")?;
    run(Path::new(&path))?.iter().for_each(|line| println!("{line}"));
    Ok(())
}
