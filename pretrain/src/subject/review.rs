//! Pictures of the subject for review: what each AU does, seen large.

use std::path::Path;

use anyhow::{Context, Result};
use glint::au::{AUS, Side, UNIT_COUNT, unit_indices};
use glint::face::{CROP_HEIGHT, CROP_WIDTH};
use glint::flow::Flow;
use glint::geometry::Similarity;
use glint::synth::{Pack, Subject, displacement, render_crop};
use image::{GrayImage, Luma};

/// Enlargement of the arrows' pictures.
const ZOOM: usize = 4;
/// Pixels of the crop between two arrows.
const STEP: usize = 8;
/// Columns of the arrows' sheet.
const ARROW_COLUMNS: usize = 7;

fn fractions_of(au: u8, side: Side) -> [f32; UNIT_COUNT] {
    let mut fractions = [0.0; UNIT_COUNT];
    unit_indices(au, side).for_each(|k| fractions[k] = 1.0);
    fractions
}

/// `people` subjects, one a row: neutral in the first column, then every AU at full intensity.
pub fn contact_sheet(pack: &Pack, people: usize, path: &Path) -> Result<()> {
    let columns = AUS.len() + 1;
    let mut sheet = GrayImage::new((columns * CROP_WIDTH) as u32, (people * CROP_HEIGHT) as u32);
    let mut crop = Vec::new();
    for row in 0..people {
        let subject = Subject::random(pack, row as u64);
        for column in 0..columns {
            let fractions =
                if column == 0 { [0.0; UNIT_COUNT] } else { fractions_of(AUS[column - 1], Side::Both) };
            render_crop(&subject, &fractions, &Similarity::IDENTITY, (0.0, 0), &mut crop);
            for (i, v) in crop.iter().enumerate() {
                let (x, y) = (column * CROP_WIDTH + i % CROP_WIDTH, row * CROP_HEIGHT + i / CROP_WIDTH);
                sheet.put_pixel(x as u32, y as u32, Luma([v.clamp(0.0, 255.0) as u8]));
            }
        }
    }
    sheet.save(path).with_context(|| path.display().to_string())
}

/// One subject at four times its size, neutral and with every AU at full intensity (of sided AUs the
/// subject's left half alone, at the right of the image, in every second picture), with arrows of
/// the displacement.
pub fn arrows(pack: &Pack, seed: u64, path: &Path) -> Result<()> {
    let subject = Subject::random(pack, seed);
    let views: Vec<[f32; UNIT_COUNT]> =
        std::iter::once([0.0; UNIT_COUNT]).chain(AUS.map(|au| fractions_of(au, Side::Both))).collect();
    let rows = views.len().div_ceil(ARROW_COLUMNS);
    let (w, h) = (ZOOM * CROP_WIDTH, ZOOM * CROP_HEIGHT);
    let mut sheet = GrayImage::new((ARROW_COLUMNS * w) as u32, (rows * h) as u32);
    let mut crop = Vec::new();
    for (n, fractions) in views.iter().enumerate() {
        let (left, top) = (n % ARROW_COLUMNS * w, n / ARROW_COLUMNS * h);
        render_crop(&subject, fractions, &Similarity::IDENTITY, (0.0, 0), &mut crop);
        for y in 0..h {
            for x in 0..w {
                let v = crop[y / ZOOM * CROP_WIDTH + x / ZOOM].clamp(0.0, 255.0) as u8;
                sheet.put_pixel((left + x) as u32, (top + y) as u32, Luma([v]));
            }
        }
        draw_arrows(&displacement(&subject, fractions), [left, top], &mut sheet);
    }
    sheet.save(path).with_context(|| path.display().to_string())
}

/// From where a point of the neutral face was (black) to where it is (white).
fn draw_arrows(flow: &Flow, [left, top]: [usize; 2], sheet: &mut GrayImage) {
    for y in (STEP / 2..flow.height).step_by(STEP) {
        for x in (STEP / 2..flow.width).step_by(STEP) {
            let (u, v) = (flow.u[y * flow.width + x], flow.v[y * flow.width + x]);
            let length = u.hypot(v);
            if length < 0.4 {
                continue;
            }
            let steps = (2.0 * ZOOM as f32 * length) as usize;
            for i in 0..=steps {
                let share = i as f32 / steps as f32;
                let px = left as f32 + ZOOM as f32 * (x as f32 + share * u);
                let py = top as f32 + ZOOM as f32 * (y as f32 + share * v);
                let inside = px >= left as f32
                    && py >= top as f32
                    && px < (left + ZOOM * flow.width) as f32
                    && py < (top + ZOOM * flow.height) as f32;
                if inside {
                    sheet.put_pixel(px as u32, py as u32, Luma([(255.0 * share) as u8]));
                }
            }
        }
    }
}
