//! A bundle: the model files of the pipeline as one file that a device can take, check and keep.
//!
//! It is a tar archive, compressed by gzip: `manifest.toml`, each model with its TOML file, `goldens.json` (what the models
//! answer, [`Goldens`]), and `NOTICE` where the folder has one. The manifest holds the SHA-256 of every other file. Nothing is
//! unpacked to a disk, so no name in it can lead anywhere. Who made it is not said in here: the daemon checks a signature over
//! the whole file before a byte of it is read.

mod goldens;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};

pub use goldens::Goldens;

use crate::model::{ModelError, Spec, sha256_hex, toml_reason};
use crate::pipeline::Models;

/// The form that this version writes and reads.
pub const FORMAT: u32 = 1;
/// Largest bundle that is read, in bytes.
pub const MAX_BYTES: u64 = 32 << 20;
/// Largest content of a bundle, in bytes.
const MAX_CONTENT: u64 = 64 << 20;
/// Most files of a bundle.
const MAX_FILES: usize = 32;
/// Longest name that a bundle may have, in characters.
const MAX_NAME: usize = 64;
/// What every other file is listed in.
pub const MANIFEST: &str = "manifest.toml";
/// What the models answer.
pub const GOLDENS: &str = "goldens.json";
/// Origins and licences.
const NOTICE: &str = "NOTICE";

/// Files by their names.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It is none, it is damaged, or it holds what none may hold.
    #[error("{path}: {reason}")]
    Content {
        /// The bundle, or the file in it.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It is for a later version.
    #[error("{path}: this bundle needs glintd {needs} or later, and this is {this}; update glintd first")]
    Version {
        /// The bundle.
        path: PathBuf,
        /// What it needs.
        needs: String,
        /// What this is.
        this: String,
    },
    /// A model file in it.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The models do not answer here as they answered where the bundle was made.
    #[error("{path}: golden {golden}: {reason}")]
    Golden {
        /// The bundle.
        path: PathBuf,
        /// Which one.
        golden: &'static str,
        /// How they differ.
        reason: String,
    },
}

/// The list of what a bundle holds, and for whom it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the form: [`FORMAT`].
    pub format: u32,
    /// What its makers call it, such as a date.
    pub name: String,
    /// The oldest version of glintd that can use it.
    pub glintd: String,
    /// SHA-256 of each other file, in hexadecimal, by its name.
    pub files: BTreeMap<String, String>,
}

/// A bundle in memory, its digests checked.
pub struct Bundle {
    /// Where it came from.
    path: PathBuf,
    /// The manifest.
    pub manifest: Manifest,
    /// The models.
    pub models: Models,
    goldens: Goldens,
}

impl Bundle {
    /// Reads a bundle that came from `path`, for a glintd of version `this`. Every size is bounded, every digest
    /// compared. Whose bundle it is has to be known before.
    ///
    /// # Errors
    /// [`BundleError`] on a damaged archive, a size beyond its bound, a digest that differs, or a bundle for a later
    /// version.
    pub fn read(path: &Path, packed: &[u8], this: &str) -> Result<Self, BundleError> {
        let mut files = unpack(path, packed)?;
        let manifest = files.remove(MANIFEST).ok_or_else(|| content(path, "it holds no manifest.toml"))?;
        let manifest = Manifest::parse(&path.join(MANIFEST), &manifest, this)?;
        for (name, bytes) in &files {
            let expected = manifest.files.get(name);
            let expected =
                expected.ok_or_else(|| content(&path.join(name), "manifest.toml does not list it"))?;
            let found = sha256_hex(bytes);
            if !expected.eq_ignore_ascii_case(&found) {
                let (path, expected) = (path.join(name), expected.to_owned());
                return Err(ModelError::Digest { path, found, expected }.into());
            }
        }
        let missing = |name: &str| content(&path.join(name), "the bundle does not hold it");
        if let Some(name) = manifest.files.keys().find(|name| !files.contains_key(*name)) {
            return Err(missing(name));
        }
        let goldens = files.remove(GOLDENS).ok_or_else(|| missing(GOLDENS))?;
        let goldens = Goldens::parse(&goldens).map_err(|e| content(&path.join(GOLDENS), e))?;
        let models = Models::read_with(path, |name| {
            let absent = || ModelError::Content {
                path: path.join(name),
                reason: "the bundle does not hold it".into(),
            };
            files.remove(name).ok_or_else(absent)
        })?;
        Ok(Self { path: path.to_owned(), manifest, models, goldens })
    }

    /// Builds the networks and runs the goldens: whether the models answer on this machine as they did on that of
    /// their makers.
    ///
    /// # Errors
    /// [`BundleError`] names the file that cannot be used, or the first golden that differs.
    pub fn check(&self) -> Result<(), BundleError> {
        self.goldens.check(&self.path, &self.models)
    }
}

impl Manifest {
    fn parse(path: &Path, text: &[u8], this: &str) -> Result<Self, BundleError> {
        let fail = |reason: String| content(path, reason);
        let text = std::str::from_utf8(text).map_err(|e| fail(e.to_string()))?;
        let table: toml::Table = toml::from_str(text).map_err(|e| fail(toml_reason(text, &e)))?;
        // A later form may have other keys: its number comes first.
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(format) if format == i64::from(FORMAT) => {}
            Some(format) if format > i64::from(FORMAT) => {
                return Err(fail(format!(
                    "format: {format}; glintd {this} reads {FORMAT}; update glintd first, or make the bundle with its trainer"
                )));
            }
            _ => return Err(fail(format!("format: missing or wrong; allowed: {FORMAT}"))),
        }
        let manifest: Self = table.try_into().map_err(|e: toml::de::Error| fail(e.message().to_owned()))?;
        check_name(&manifest.name).map_err(fail)?;
        let needs = version(&manifest.glintd).ok_or_else(|| {
            fail(format!("glintd: \"{}\"; allowed: a version such as 0.2.0", manifest.glintd))
        })?;
        if version(this).is_none_or(|this| this < needs) {
            let bundle = path.parent().unwrap_or(path).to_owned();
            return Err(BundleError::Version { path: bundle, needs: manifest.glintd, this: this.into() });
        }
        Ok(manifest)
    }
}

/// Whether a bundle may have this name: it is printed, and sent to brokers.
///
/// # Errors
/// The name, and what is allowed.
pub fn check_name(name: &str) -> Result<(), String> {
    let ok = |c: char| c.is_ascii_alphanumeric() || "._-+ ".contains(c);
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(ok) {
        Ok(())
    } else {
        Err(format!("name: {name:?}; allowed: 1 to {MAX_NAME} letters, digits, spaces and . _ - +"))
    }
}

/// Major, minor and patch; what a pre-release adds is left out.
pub fn version(text: &str) -> Option<[u64; 3]> {
    let core = text.split(['-', '+']).next()?;
    let numbers: Vec<u64> = core.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// What a bundle of the models of a folder holds: the files, and the goldens, which are recorded now.
///
/// # Errors
/// [`BundleError`] names the file that is missing or cannot be used.
pub fn collect(dir: &Path) -> Result<Files, BundleError> {
    let models = Models::load(dir)?;
    let goldens = Goldens::record(&models).map_err(|e| content(dir, e))?;
    let mut names: Vec<String> = models.digests().iter().map(|(name, _)| format!("{name}.toml")).collect();
    names.extend([
        models.detector.spec.file().file.clone(),
        models.landmarks.spec.file().file.clone(),
        models.au.spec.file().file.clone(),
        models.judge.spec.file().file.clone(),
        models.student.spec.file().file.clone(),
    ]);
    names.extend(dir.join(NOTICE).is_file().then(|| NOTICE.to_owned()));
    let mut files = Files::new();
    for name in names {
        let path = dir.join(&name);
        let most = crate::model::MAX_BYTES;
        let bytes = crate::plain::read(&path, most).map_err(|cause| ModelError::Read { path, cause })?;
        files.insert(name, bytes);
    }
    files.insert(GOLDENS.into(), goldens.to_json());
    Ok(files)
}

/// Packs files with their manifest: `name` is what the bundle is called, `least` the oldest version of glintd that
/// can use it. The same files give the same bytes.
///
/// # Errors
/// A name or a version that a bundle may not have; a file name that an archive cannot hold.
pub fn pack(name: &str, least: &str, files: &Files) -> std::io::Result<Vec<u8>> {
    let wrong = |reason: String| std::io::Error::new(std::io::ErrorKind::InvalidInput, reason);
    check_name(name).map_err(wrong)?;
    version(least).ok_or_else(|| wrong(format!("{least}: not a version such as 0.2.0")))?;
    let manifest = Manifest {
        format: FORMAT,
        name: name.into(),
        glintd: least.into(),
        files: files.iter().map(|(name, bytes)| (name.clone(), sha256_hex(bytes))).collect(),
    };
    let text = toml::to_string(&manifest).map_err(|e| wrong(e.to_string()))?;
    let packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let mut archive = tar::Builder::new(packed);
    let entries = std::iter::once((MANIFEST, text.as_bytes()))
        .chain(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        archive.append_data(&mut header, name, bytes)?;
    }
    let mut packed = archive.into_inner()?;
    packed.flush()?;
    packed.finish()
}

/// The files of an archive, in memory.
fn unpack(path: &Path, packed: &[u8]) -> Result<Files, BundleError> {
    let damaged = |e: std::io::Error| content(path, format!("not a bundle, or truncated: {e}"));
    let mut archive = tar::Archive::new(GzDecoder::new(packed).take(MAX_CONTENT));
    let (mut files, mut room) = (Files::new(), MAX_CONTENT);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let refuse = |reason: &str| Err(content(path, format!("{name:?} in it {reason}")));
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return refuse("is not a plain file name");
        }
        if !entry.header().entry_type().is_file() {
            return refuse("is not a plain file");
        }
        if files.len() == MAX_FILES {
            return Err(content(path, format!("it holds more than {MAX_FILES} files")));
        }
        if entry.size() > room {
            return Err(content(path, format!("it holds more than {MAX_CONTENT} bytes")));
        }
        room -= entry.size();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(damaged)?;
        if bytes.len() as u64 != entry.size() {
            return Err(content(path, format!("truncated in {name:?}")));
        }
        if files.insert(name.clone(), bytes).is_some() {
            return refuse("is there twice");
        }
    }
    Ok(files)
}

fn content(path: &Path, reason: impl Into<String>) -> BundleError {
    BundleError::Content { path: path.to_owned(), reason: reason.into() }
}

#[cfg(test)]
mod tests;
