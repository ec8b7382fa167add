//! Model files: weights, specification with digest, in one folder; and the steps that make all of them.

pub mod sign;
pub mod steps;

use std::path::Path;

use anyhow::{Context, Result};
use glint::model::{FileSpec, sha256_hex};
use serde::Serialize;

/// Writes `NAME.EXT` and `NAME.toml` into `dir`. `spec` gets the common part with the digest.
pub fn write<S: Serialize>(
    dir: &Path,
    name: &str,
    extension: &str,
    bytes: &[u8],
    made_by: &str,
    spec: impl FnOnce(FileSpec) -> S,
) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let file = format!("{name}.{extension}");
    let path = dir.join(&file);
    std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    let common = FileSpec { kind: name.into(), file, sha256: sha256_hex(bytes), made_by: made_by.into() };
    let text = toml::to_string(&spec(common)).context("specification")?;
    let path = dir.join(format!("{name}.toml"));
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    eprintln!("{}: {} bytes", path.with_extension(extension).display(), bytes.len());
    Ok(())
}
