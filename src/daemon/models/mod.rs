//! Bundles of models that were installed: whose they are, where they lie, and which one is used.

pub(crate) mod attempts;
#[cfg(test)]
#[path = "../../../tests/integration/minisign.rs"]
mod minisign;
pub(crate) mod signature;
pub(crate) mod store;
#[cfg(test)]
mod tests;

use std::path::Path;

use glint::bundle::{Bundle, MAX_BYTES};
use glint::model::sha256_hex;
use glint::plain;
use minisign_verify::PublicKey;

/// Hexadecimal digits of a bundle's id.
pub(crate) const ID_DIGITS: usize = 16;

/// The version that bundles are compared with.
pub(crate) const THIS: &str = env!("CARGO_PKG_VERSION");

/// Why a bundle is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// What it holds is not taken.
    #[error("{0}")]
    Unusable(String),
}

/// A bundle whose signature, digests and goldens hold.
pub(crate) struct Sound {
    /// Its name on this device: the first digits of its SHA-256.
    pub(crate) id: String,
    /// What the signer wrote beside the signature, and signed.
    pub(crate) comment: String,
    /// The file as it is kept: the signature, and behind it the archive.
    pub(crate) file: Vec<u8>,
    /// What it holds.
    pub(crate) bundle: Bundle,
}

/// Reads a bundle and checks all of it: signature, digests, version, goldens. Nothing of it is looked at before the signature.
pub(crate) fn examine(path: &Path, keys: &[PublicKey]) -> Result<Sound, Refused> {
    let file = read(path)?;
    let beside = beside(path, &file)?;
    let signed = signature::verify(path, &file, beside.as_deref(), keys).map_err(Refused::Unusable)?;
    let unusable = |e: glint::bundle::BundleError| Refused::Unusable(e.to_string());
    let bundle = Bundle::read(path, signed.archive, THIS).map_err(unusable)?;
    bundle.check().map_err(unusable)?;
    let id = sha256_hex(signed.archive)[..ID_DIGITS].to_owned();
    let comment = signed.comment.clone();
    let file = [signed.text.as_bytes(), signed.archive].concat();
    Ok(Sound { id, comment, file, bundle })
}

fn read(path: &Path) -> Result<Vec<u8>, Refused> {
    let fail = |e: std::io::Error| Refused::Unreadable(format!("{}: cannot be read: {e}", path.display()));
    let meta = std::fs::metadata(path).map_err(fail)?;
    if meta.is_dir() {
        return Err(Refused::Unusable(format!(
            "{}: a folder; a bundle is one file, and glint-pretrain bundle makes it",
            path.display()
        )));
    }
    if meta.len() > MAX_BYTES {
        return Err(Refused::Unusable(format!(
            "{}: {} bytes; a bundle has at most {MAX_BYTES}",
            path.display(),
            meta.len()
        )));
    }
    plain::read(path, MAX_BYTES).map_err(fail)
}

/// The signature that lies beside a file that has none in itself.
fn beside(path: &Path, file: &[u8]) -> Result<Option<String>, Refused> {
    if signature::is_inside(file) {
        return Ok(None);
    }
    let name = signature::name_beside(path);
    match std::fs::metadata(&name) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Ok(meta) if meta.len() > signature::MAX_BYTES as u64 => {
            Err(Refused::Unusable(format!("{}: too large for a signature of minisign", name.display())))
        }
        _ => match plain::read_text(&name, signature::MAX_BYTES as u64) {
            Ok(text) => Ok(Some(text)),
            Err(e) => Err(Refused::Unreadable(format!("{}: cannot be read: {e}", name.display()))),
        },
    }
}
