//! `glint-pretrain subject`: computes the synthetic subject's pack.

use std::path::PathBuf;

use anyhow::Result;
use glint::synth::{Pack, PackArrays, SubjectSpec};

use crate::assets::ict::Head;
use crate::subject::review;

/// Compute the synthetic subject from portraits and the ICT head; write subject.bin and subject.toml.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain subject --assets ../data --out out/models --review review.png"
)]
pub struct Args {
    /// Folder with `portraits/` and `ict/`.
    #[arg(long)]
    assets: PathBuf,
    /// Folder for the model files.
    #[arg(long, default_value = "models")]
    out: PathBuf,
    /// For review: write a picture of every AU at full intensity with arrows of its displacement.
    #[arg(long, value_name = "FILE.png")]
    review: Option<PathBuf>,
    /// Write a contact sheet of a few people, one per row, with every AU at full intensity.
    #[arg(long, value_name = "FILE.png")]
    preview: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let portraits = crate::assets::portraits::load(&args.assets.join("portraits"))?;
    let kept: Vec<_> = portraits.iter().filter(|p| !p.held_out()).collect();
    let head = Head::load(&args.assets.join("ict/ict_face_lite.bin"))?;
    let arrays = crate::subject::build(&kept, &head)?;
    let bytes = arrays.to_bytes();
    // The pictures show what was written, rounding included.
    let pack = Pack::from_arrays(PackArrays::from_bytes(&bytes)?);
    if let Some(path) = &args.review {
        review::arrows(&pack, 1, path)?;
    }
    if let Some(path) = &args.preview {
        review::contact_sheet(&pack, 6, path)?;
    }
    let made_by = "glint-pretrain subject --assets DIR";
    crate::ship::write(&args.out, "subject", "bin", &bytes, made_by, |file| {
        SubjectSpec {
        file,
        source: "mean and principal components over official portraits of members of the US Congress (works of the \
                 US Government); displacements from ICT-FaceKit (MIT, USC ICT)"
            .into(),
    }
    })
}
