//! `glint-pretrain bundle`: the models of a folder as one file that devices install.

use std::path::PathBuf;

use anyhow::{Context, Result};
use glint::bundle::{check_name, collect, pack};
use glint::model::sha256_hex;

use crate::ship::sign;

/// Pack the models of a folder, with goldens that are recorded now, into one file for `glintd models install`. The
/// same files give the same bytes on the same machine.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain bundle --models models --name 2026-11 --out models-2026-11.glint"
)]
pub struct Args {
    /// Folder of model files, as `ship` writes it.
    #[arg(long, default_value = "models", value_name = "DIR")]
    models: PathBuf,
    /// What the bundle is called in lists and messages, such as a date.
    #[arg(long)]
    name: String,
    /// The bundle.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The oldest glintd that can use these models [default: the version of this trainer].
    #[arg(long, value_name = "VERSION", default_value = env!("CARGO_PKG_VERSION"), hide_default_value = true)]
    least: String,
    /// Sign with this secret key of minisign, by the program minisign. The signature stands at the start of the file
    /// [default: unsigned].
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    // Before seconds are spent on goldens.
    check_name(&args.name).map_err(anyhow::Error::msg).context("--name")?;
    let files = collect(&args.models)?;
    let packed = pack(&args.name, &args.least, &files).context("--least")?;
    println!("sha256:{}", sha256_hex(&packed));
    let out = args.out.display();
    match &args.sign {
        Some(key) => {
            let signed = sign::sign(&packed, key, &format!("glint models {}", args.name))?;
            std::fs::write(&args.out, &signed).with_context(|| out.to_string())?;
            eprintln!("{out}: {} bytes, signed", signed.len());
        }
        None => {
            std::fs::write(&args.out, &packed).with_context(|| out.to_string())?;
            eprintln!("{out}: {} bytes; sign it with: minisign -S -s KEY -m {out}", packed.len());
        }
    }
    Ok(())
}
