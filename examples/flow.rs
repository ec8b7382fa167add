//! Optical flow and optical strain between two faces of the synthetic subject, against the displacement that was rendered.
//!
//! `cargo run --example flow`

use std::error::Error;

use glint::au::{Side, UNIT_COUNT, unit_indices};
use glint::face::{CROP_HEIGHT, CROP_WIDTH};
use glint::flow::{FlowEngine, FlowSettings};
use glint::geometry::Similarity;
use glint::synth::{Pack, Subject, displacement, render_crop};

/// Greatest displacement in pixels of the stabilised crop: measured, and rendered. And the greatest strain.
pub fn run(au: u8, fraction: f32) -> Result<[f32; 3], Box<dyn Error>> {
    let subject = Subject::random(Pack::embedded()?, 1);
    let mut moved = [0.0; UNIT_COUNT];
    unit_indices(au, Side::Both).for_each(|unit| moved[unit] = fraction);
    // Two crops of one face, with a camera's noise of 0.5 gray levels.
    let (mut neutral, mut apex) = (Vec::new(), Vec::new());
    render_crop(&subject, &[0.0; UNIT_COUNT], &Similarity::IDENTITY, (0.5, 1), &mut neutral);
    render_crop(&subject, &moved, &Similarity::IDENTITY, (0.5, 2), &mut apex);
    let mut engine = FlowEngine::new(CROP_WIDTH, CROP_HEIGHT, FlowSettings::FINE);
    engine.set_reference(&neutral);
    let flow = engine.run(&apex);
    let longest = |u: &[f32], v: &[f32]| u.iter().zip(v).map(|(u, v)| u.hypot(*v)).fold(0.0, f32::max);
    let truth = displacement(&subject, &moved);
    let mut strain = Vec::new();
    flow.strain(&mut strain);
    let stretched = strain.iter().copied().fold(0.0, f32::max);
    Ok([longest(&flow.u, &flow.v), longest(&truth.u, &truth.v), stretched])
}

/// Prints what a smile of a third does.
pub fn main() -> Result<(), Box<dyn Error>> {
    let [measured, rendered, strain] = run(12, 0.33)?;
    println!("measured {measured:.2} px, rendered {rendered:.2} px, greatest strain {strain:.3}");
    Ok(())
}
