//! `glint-pretrain subject`: computes the synthetic subject's pack.

use std::path::PathBuf;

use anyhow::{Context, Result};
use glint::au::{AUS, Side, UNIT_COUNT, unit_indices};
use glint::geometry::Similarity;
use glint::synth::{Pack, Subject, SubjectSpec, render_crop};

use crate::assets::ict::Head;

/// Computes the synthetic subject from portraits and the ICT head: subject.bin and subject.toml.
#[derive(clap::Args)]
pub struct Args {
    /// Folder with `portraits/` and `ict/`.
    #[arg(long)]
    assets: PathBuf,
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// Picture of every AU at full intensity on a few people, for review.
    #[arg(long)]
    review: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let portraits = crate::assets::portraits::load(&args.assets.join("portraits"))?;
    let kept: Vec<_> = portraits.iter().filter(|p| !p.held_out()).collect();
    let head = Head::load(&args.assets.join("ict/ict_face_lite.bin"))?;
    let arrays = crate::subject::build(&kept, &head)?;
    if let Some(path) = &args.review {
        review(&Pack::from_arrays(arrays.clone()), path)?;
    }
    let made_by = "glint-pretrain subject --assets DIR";
    crate::ship::write(&args.out, "subject", "bin", &arrays.to_bytes(), made_by, |file| {
        SubjectSpec {
        file,
        source: "mean and principal components over official portraits of members of the US Congress (works of the \
                 US Government); displacements from ICT-FaceKit (MIT, USC ICT)"
            .into(),
    }
    })
}

/// Four people: neutral in the first column, then every AU at full intensity.
fn review(pack: &Pack, path: &std::path::Path) -> Result<()> {
    use glint::face::{CROP_HEIGHT, CROP_WIDTH};
    let columns = AUS.len() + 1;
    let rows = 4;
    let mut sheet = image::GrayImage::new((columns * CROP_WIDTH) as u32, (rows * CROP_HEIGHT) as u32);
    let mut crop = Vec::new();
    for row in 0..rows {
        let subject = Subject::random(pack.clone(), row as u64);
        for column in 0..columns {
            let mut fractions = [0.0; UNIT_COUNT];
            if column > 0 {
                unit_indices(AUS[column - 1], Side::Both).for_each(|k| fractions[k] = 1.0);
            }
            render_crop(&subject, &fractions, &Similarity::IDENTITY, (0.0, 0), &mut crop);
            for (i, v) in crop.iter().enumerate() {
                let (x, y) = (column * CROP_WIDTH + i % CROP_WIDTH, row * CROP_HEIGHT + i / CROP_WIDTH);
                sheet.put_pixel(x as u32, y as u32, image::Luma([v.clamp(0.0, 255.0) as u8]));
            }
        }
    }
    sheet.save(path).with_context(|| path.display().to_string())
}
