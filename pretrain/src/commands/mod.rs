//! One module a subcommand: its arguments and what it does.

pub mod au;
pub mod detector;
pub mod evaluate;
pub mod landmarks;
pub mod preview;
pub mod student;
pub mod subject;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Folder of one training run: `out/NAME-SEED`.
pub fn run_folder(name: &str, seed: u64) -> Result<PathBuf> {
    let dir = PathBuf::from("out").join(format!("{name}-{seed}"));
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    Ok(dir)
}
