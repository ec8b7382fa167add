//! Pictures of a corpus for a person to judge: a contact sheet, and a page with animated samples.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use glint::au::{AUS, Side, UNIT_COUNT, intensity_of_fraction};
use glint::face::{CROP_HEIGHT, CROP_WIDTH};
use glint::flow::Flow;
use glint::geometry::Similarity;
use glint::synth::{Face, Pose, lens_blur};

use super::pair::{RenderedPair, to_crop};
use super::person::{Person, Placed};
use super::plan::{Cast, fractions};
use super::shard::side_letter;
use glint::canvas::{Canvas, INK};

/// Enlargement of a crop in the sheet, and crops in a row of it: onset, apex, displacement of each sample.
const ZOOM: usize = 2;
const PER_ROW: usize = 2;
/// Rows of words below each sample.
const WORDS: usize = 14;
/// Displacement of full colour, in crop pixels.
const FULL_PX: f32 = 4.0;

/// What a sample is, in a line.
pub fn caption(pair: &RenderedPair) -> String {
    let aus: Vec<String> = pair
        .parts
        .iter()
        .map(|&(au, side, f)| format!("{}{au}:{:.1}", side_letter(side), intensity_of_fraction(f)))
        .collect();
    let also: Vec<String> = pair.distractors.iter().map(|d| format!("{d:?}").to_lowercase()).collect();
    format!("{:07} {:?} {} {} {}", pair.index, pair.class, aus.join(" "), pair.source, also.join(" "))
}

/// Onset, apex and true displacement of each sample, twice enlarged.
pub fn contact_sheet(pairs: &[RenderedPair], path: &Path) -> Result<()> {
    let (w, h) = (ZOOM * CROP_WIDTH, ZOOM * CROP_HEIGHT + WORDS);
    let rows = pairs.len().div_ceil(PER_ROW);
    let mut sheet = Canvas::new((PER_ROW * 3 * w) as u32, (rows * h) as u32);
    for (n, pair) in pairs.iter().enumerate() {
        let (left, top) = ((n % PER_ROW) * 3 * w, n / PER_ROW * h);
        for (k, plane) in [&pair.onset, &pair.apex].into_iter().enumerate() {
            sheet.blit((left + k * w, top), CROP_WIDTH, CROP_HEIGHT, ZOOM, |at| [plane[at]; 3]);
        }
        sheet.blit((left + 2 * w, top), CROP_WIDTH, CROP_HEIGHT, ZOOM, |at| hue(&pair.flow, at));
        sheet.text_in(left as u32 + 4, (top + h - 11) as u32, &caption(pair), INK);
    }
    Ok(sheet.save(path)?)
}

/// Direction as hue (right red, down yellow-green, left cyan, up violet), length as saturation.
fn hue(flow: &Flow, at: usize) -> [u8; 3] {
    let (u, v) = (flow.u[at], flow.v[at]);
    let saturation = (u.hypot(v) / FULL_PX).min(1.0);
    let turn = v.atan2(u) / std::f32::consts::TAU;
    [0.0, 1.0 / 3.0, 2.0 / 3.0].map(|shift| {
        let wave = 0.5 + 0.5 * (std::f32::consts::TAU * (turn - shift)).cos();
        (255.0 * (1.0 - saturation * (1.0 - wave))) as u8
    })
}

/// People, one a row, at rest and with every AU at full extent (both sides), twice enlarged.
pub fn au_sheet(people: &[Person], path: &Path) -> Result<()> {
    let (w, h) = (ZOOM * CROP_WIDTH, ZOOM * CROP_HEIGHT);
    let mut sheet = Canvas::new(((AUS.len() + 1) * w) as u32, (WORDS + people.len() * h) as u32);
    for column in 0..=AUS.len() {
        let au = column.checked_sub(1).map(|k| AUS[k]);
        let pose =
            Pose::of_fractions(&au.map_or([0.0; UNIT_COUNT], |au| fractions(&[(au, Side::Both, 1.0)])));
        let word = au.map_or_else(|| "at rest".to_owned(), |au| format!("AU {au}"));
        sheet.text((column * w) as u32 + 4, 3, &word);
        for (row, person) in people.iter().enumerate() {
            let luma = portrait(person, &pose, ZOOM);
            sheet.blit((column * w, WORDS + row * h), w, h, 1, |at| [luma[at]; 3]);
        }
    }
    Ok(sheet.save(path)?)
}

/// Frames of an animation, there and back.
const FRAMES: usize = 16;

/// A page with the movements of `pairs`, each as it is and four times as strong.
pub fn page(cast: &Cast, pairs: &[RenderedPair], path: &Path) -> Result<()> {
    let mut html = String::from(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Samples of a corpus</title>\n\
         <style>body{font-family:sans-serif;background:#eee}figure{display:inline-block;margin:8px}</style>\n\
         <h1>Samples of a corpus</h1>\n<p>Each movement as it is, and four times as strong.</p>\n",
    );
    for pair in pairs {
        let person = cast.person(pair.index);
        html.push_str("<figure>");
        for gain in [1.0, 4.0] {
            let png = animation(person, pair, gain)?;
            let data = base64::engine::general_purpose::STANDARD.encode(png);
            html.push_str(&format!("<img alt=\"\" src=\"data:image/png;base64,{data}\">"));
        }
        html.push_str(&format!("<figcaption>{}</figcaption></figure>\n", caption(pair)));
    }
    std::fs::write(path, html).with_context(|| path.display().to_string())
}

/// A face at `zoom` times the size of the crop, without noise.
pub fn portrait(person: &Person, pose: &Pose, zoom: usize) -> Vec<u8> {
    let z = zoom as f32;
    // The centre of the first pixel of an enlargement lies (zoom - 1) / 2 into it.
    let enlarge = Similarity { a: z, b: 0.0, tx: 0.5 * (z - 1.0), ty: 0.5 * (z - 1.0) };
    let to_image = enlarge.compose(&to_crop(person, pose.turn));
    let mut placed = Placed::default();
    person.place(pose, &to_image, &mut placed);
    let mut plane = vec![110.0; zoom * zoom * CROP_WIDTH * CROP_HEIGHT];
    person.draw(&placed, to_image.scale(), &mut plane, zoom * CROP_WIDTH);
    lens_blur(&mut plane, zoom * CROP_WIDTH);
    plane.iter().map(|v| (v + 0.5).clamp(0.0, 255.0) as u8).collect()
}

fn animation(person: &Person, pair: &RenderedPair, gain: f32) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, (ZOOM * CROP_WIDTH) as u32, (ZOOM * CROP_HEIGHT) as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_animated(FRAMES as u32, 0)?;
    encoder.set_frame_delay(1, 15)?;
    let mut writer = encoder.write_header()?;
    for k in 0..FRAMES {
        let share = 0.5 - 0.5 * (std::f32::consts::TAU * k as f32 / FRAMES as f32).cos();
        let full = fractions(&pair.parts).map(|f| (gain * share * f).min(1.0));
        writer.write_image_data(&portrait(person, &Pose::of_fractions(&full), ZOOM))?;
    }
    writer.finish()?;
    Ok(out)
}
