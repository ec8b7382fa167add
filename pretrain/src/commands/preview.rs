//! `glint-pretrain preview`: pictures and image pairs of the synthetic subject.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use glint::au::{AUS, Side, UNIT_COUNT, unit_indices};
use glint::face::{CROP_HEIGHT, CROP_WIDTH};
use glint::geometry::Similarity;
use glint::synth::{Action, Camera, Gaze, Pack, Scene, Script, Subject, displacement, render_crop};
use image::{GrayImage, Luma};

use crate::npy;
use crate::subject::review;

/// Draw the built-in synthetic subject: a contact sheet, AUs with arrows, whole frames, or pairs of images with their
/// true displacement. At least one output is required.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain preview --sheet people.png --pairs pairs")]
#[group(required = true, multiple = true)]
pub struct Args {
    /// Contact sheet of people (rows) and AUs at full intensity (columns).
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
    /// One person with every AU at full intensity and arrows of the displacement, enlarged four times.
    #[arg(long, value_name = "FILE.png")]
    arrows: Option<PathBuf>,
    /// Whole frames of several people, as the camera sees them.
    #[arg(long, value_name = "FILE.png")]
    frames: Option<PathBuf>,
    /// Folder for pairs with truth: ID.onset.png, ID.apex.png, ID.flow.npy (float32, 2 x H x W, px).
    #[arg(long, value_name = "DIR")]
    pairs: Option<PathBuf>,
    /// Number of people in the sheet, and of frames or pairs.
    #[arg(long, default_value_t = 6)]
    count: usize,
    /// Seed of the people.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!((1..=1000).contains(&args.count), "--count: 1 to 1000");
    let pack = Pack::embedded()?;
    if let Some(path) = &args.sheet {
        review::contact_sheet(&pack, args.count, path)?;
    }
    if let Some(path) = &args.arrows {
        review::arrows(&pack, args.seed, path)?;
    }
    if let Some(path) = &args.frames {
        frames(&pack, args, path)?;
    }
    if let Some(dir) = &args.pairs {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        for i in 0..args.count {
            pair(&pack, args.seed + i as u64, AUS[i % AUS.len()], dir)?;
        }
    }
    Ok(())
}

/// Frames of people who smile, look around and turn, two a row.
fn frames(pack: &Pack, args: &Args, path: &Path) -> Result<()> {
    let camera = Camera::default();
    let (w, h) = (camera.width, camera.height);
    let mut sheet = GrayImage::new(2 * w as u32, (args.count.div_ceil(2) * h) as u32);
    for i in 0..args.count {
        let seed = args.seed + i as u64;
        let mut script = Script::new(vec![Action::micro(AUS[i % AUS.len()], 1.0, 0)])?;
        script.gaze = Gaze { extent: 1.0, rate_hz: 1.0, seed: i as u32 };
        script.head.yaw_degrees = 10.0;
        script.head.seed = i as u32;
        let subject = Subject::random(pack, seed);
        let mut scene = Scene::new(subject, script, Camera { seed, ..camera });
        let frame = scene.frame(12, 100.0);
        for (at, v) in frame.luma.iter().enumerate() {
            let (x, y) = (i % 2 * w + at % w, i / 2 * h + at / w);
            sheet.put_pixel(x as u32, y as u32, Luma([*v]));
        }
    }
    sheet.save(path).with_context(|| path.display().to_string())
}

/// The stabilised crop at rest and with one AU, from weak to strong by the seed.
fn pair(pack: &Pack, seed: u64, au: u8, dir: &Path) -> Result<()> {
    let subject = Subject::random(pack, seed);
    let mut fractions = [0.0; UNIT_COUNT];
    let strength = 0.1 + 0.1 * (seed % 4) as f32;
    unit_indices(au, Side::Both).for_each(|k| fractions[k] = strength);
    let mut crop = Vec::new();
    for (name, fractions, noise) in [("onset", [0.0; UNIT_COUNT], 0), ("apex", fractions, 1)] {
        render_crop(&subject, &fractions, &Similarity::IDENTITY, (1.0, 2 * seed + noise), &mut crop);
        let image = GrayImage::from_fn(CROP_WIDTH as u32, CROP_HEIGHT as u32, |x, y| {
            Luma([(crop[y as usize * CROP_WIDTH + x as usize] + 0.5).clamp(0.0, 255.0) as u8])
        });
        let path = dir.join(format!("{seed:04}-au{au:02}.{name}.png"));
        image.save(&path).with_context(|| path.display().to_string())?;
    }
    npy::write_flow(&dir.join(format!("{seed:04}-au{au:02}.flow.npy")), &displacement(&subject, &fractions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::portraits::read_npy_f32;

    #[test]
    fn pairs_carry_their_truth() {
        let dir = tempfile::tempdir().expect("temporary folder");
        pair(&Pack::embedded().expect("pack"), 3, 12, dir.path()).expect("pair");
        let (shape, values) = read_npy_f32(&dir.path().join("0003-au12.flow.npy")).expect("own file");
        assert_eq!(shape, [2, CROP_HEIGHT, CROP_WIDTH]);
        assert!(values.iter().any(|v| v.abs() > 1.0) && values.iter().all(|v| v.abs() < 30.0));
        let read = |name: &str| image::open(dir.path().join(name)).expect("image").into_luma8();
        assert_ne!(read("0003-au12.onset.png"), read("0003-au12.apex.png"));
    }
}
