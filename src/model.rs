//! Model files: their specifications, their digests, and the networks that tract runs.
//!
//! Every `NAME.onnx` (or other weight file) under `models/` has a `NAME.toml` beside it, written by
//! the trainer and read here: what the file is, its SHA-256, the command that made it, and the
//! parameters that must travel with the weights. A file is parsed only after its digest was checked.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

mod interface;
mod lineage;
mod network;
mod windows;

pub use interface::Interface;
pub use lineage::{Lineage, PairSet};
pub use network::{ENGINE_VARIABLE, Engine, Form, Network, normalise_luma, observe_networks, parse_onnx};

/// What can be wrong with a model file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file is larger than any model of glint.
    #[error("{path}: {bytes} bytes; a model file has at most {MAX_BYTES}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The specification is not what this version reads.
    #[error("{path}: {reason}")]
    Spec {
        /// The specification.
        path: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// The content is not what the specification promises.
    #[error("{path}: the digest is sha256:{found}; the specification states sha256:{expected}")]
    Digest {
        /// The file.
        path: PathBuf,
        /// SHA-256 of the file.
        found: String,
        /// SHA-256 in the specification.
        expected: String,
    },
    /// The content does not parse, or its shapes do not fit.
    #[error("{path}: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Largest model file that is read, in bytes.
pub const MAX_BYTES: u64 = 64 << 20;

/// What every specification begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileSpec {
    /// What the file is: `detector`, `landmarks`, `au`, `judge`, `student`, `subject`.
    pub kind: String,
    /// Name of the weight file, in the same folder.
    pub file: String,
    /// SHA-256 of the weight file, 64 hexadecimal digits.
    pub sha256: String,
    /// The command that made the file.
    pub made_by: String,
}

/// SHA-256 of `bytes` in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// A weight file whose digest was checked, with its specification `S`.
#[derive(Debug, Clone)]
pub struct Checked<S> {
    /// Where it came from; for embedded files their name.
    pub path: PathBuf,
    /// The specification.
    pub spec: S,
    /// SHA-256 of `bytes`.
    pub sha256: String,
    /// The weight file.
    pub bytes: std::borrow::Cow<'static, [u8]>,
}

/// A specification: the common part, and what its kind is called.
pub trait Spec: serde::de::DeserializeOwned {
    /// Value of `kind` in the file.
    const KIND: &'static str;
    /// The common part.
    fn file(&self) -> &FileSpec;
}

impl<S: Spec> Checked<S> {
    /// Reads `NAME.toml` in `dir` and the weight file it names.
    ///
    /// # Errors
    /// [`ModelError`] names the file: it cannot be read, is of another kind, has an unknown key, or its digest
    /// differs.
    pub fn load(dir: &Path, name: &str) -> Result<Self, ModelError> {
        Self::read_with(dir, name, |file| read(&dir.join(file)))
    }

    /// Takes `NAME.toml` and the weight file it names from `read`, which gives files by their names; `place` stands
    /// before these names in errors.
    ///
    /// # Errors
    /// [`ModelError`], as [`Checked::load`].
    pub fn read_with(
        place: &Path,
        name: &str,
        mut read: impl FnMut(&str) -> Result<Vec<u8>, ModelError>,
    ) -> Result<Self, ModelError> {
        let spec_name = format!("{name}.toml");
        let spec_path = place.join(&spec_name);
        let text = String::from_utf8(read(&spec_name)?)
            .map_err(|e| ModelError::Spec { path: spec_path.clone(), reason: e.to_string() })?;
        let spec: S = parse_spec(&spec_path, &text)?;
        let bytes = read(&spec.file().file)?;
        Self::check(place.join(&spec.file().file), spec, bytes.into())
    }

    /// Takes files that were compiled in.
    ///
    /// # Errors
    /// [`ModelError`], as [`Checked::load`].
    pub fn embedded(name: &str, spec: &str, bytes: &'static [u8]) -> Result<Self, ModelError> {
        let spec: S = parse_spec(Path::new(&format!("models/{name}.toml")), spec)?;
        Self::check(PathBuf::from("models").join(&spec.file().file), spec, bytes.into())
    }

    fn check(path: PathBuf, spec: S, bytes: std::borrow::Cow<'static, [u8]>) -> Result<Self, ModelError> {
        let found = sha256_hex(&bytes);
        let expected = spec.file().sha256.to_ascii_lowercase();
        if found != expected {
            return Err(ModelError::Digest { path, found, expected });
        }
        Ok(Self { path, spec, sha256: found, bytes })
    }

    /// Takes a weight file without a specification: one that somebody else made. Its size is checked, then its digest
    /// if one is expected; `spec` gets the common part.
    ///
    /// # Errors
    /// [`ModelError`] names the file: it cannot be read, is too large, or its digest differs.
    pub fn without_spec(
        path: &Path,
        sha256: Option<&str>,
        spec: impl FnOnce(FileSpec) -> S,
    ) -> Result<Self, ModelError> {
        let bytes = read(path)?;
        let found = sha256_hex(&bytes);
        let common = FileSpec {
            kind: S::KIND.into(),
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            sha256: found.clone(),
            made_by: "third party".into(),
        };
        let file = Self { path: path.to_owned(), spec: spec(common), sha256: found, bytes: bytes.into() };
        file.expect_digest(sha256)?;
        Ok(file)
    }

    /// Compares the file's digest with the one that somebody asked for.
    ///
    /// # Errors
    /// [`ModelError`] with both digests.
    pub fn expect_digest(&self, sha256: Option<&str>) -> Result<(), ModelError> {
        match sha256 {
            Some(expected) if !expected.eq_ignore_ascii_case(&self.sha256) => Err(ModelError::Digest {
                path: self.path.clone(),
                found: self.sha256.clone(),
                expected: expected.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// The error that this file's content deserves.
    pub fn content_error(&self, reason: impl ToString) -> ModelError {
        ModelError::Content { path: self.path.clone(), reason: reason.to_string() }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    let fail = |cause| ModelError::Read { path: path.to_owned(), cause };
    let bytes = std::fs::metadata(path).map_err(fail)?.len();
    if bytes > MAX_BYTES {
        return Err(ModelError::TooLarge { path: path.to_owned(), bytes });
    }
    crate::plain::read(path, MAX_BYTES).map_err(fail)
}

/// Why a TOML text cannot be read, with line and column. Unlike the error's own text it quotes no line: the file may be
/// another one than was meant, and hold a secret.
pub fn toml_reason(text: &str, error: &toml::de::Error) -> String {
    let reason = error.message().replace('\n', " ");
    let Some(span) = error.span() else { return reason };
    let (row, column) = row_column(text, span.start);
    format!("line {row}, column {column}: {reason}")
}

/// Line and column of a byte position, from 1; columns count characters.
pub fn row_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

fn parse_spec<S: Spec>(path: &Path, text: &str) -> Result<S, ModelError> {
    let fail = |reason: String| ModelError::Spec { path: path.to_owned(), reason };
    let spec: S = toml::from_str(text).map_err(|e| fail(toml_reason(text, &e)))?;
    let file = spec.file();
    if file.kind != S::KIND {
        return Err(fail(format!("kind: \"{}\"; allowed: \"{}\"", file.kind, S::KIND)));
    }
    if file.sha256.len() != 64 || !file.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(fail("sha256: not 64 hexadecimal digits".into()));
    }
    // A specification names its neighbour and nothing else on the machine.
    if file.file.is_empty() || file.file.contains(['/', '\\']) || file.file.starts_with('.') {
        return Err(fail(format!("file: \"{}\"; allowed: a plain file name", file.file)));
    }
    Ok(spec)
}
