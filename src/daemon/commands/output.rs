//! Files that commands write at their end.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Context;

/// A file that was created before the clip is read: a missing folder is not found out half an hour later.
pub(crate) struct Output<'a> {
    /// Where it is.
    pub(crate) path: &'a Path,
    file: File,
}

impl<'a> Output<'a> {
    /// Creates it, or empties it.
    pub(crate) fn create(path: &'a Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(Self { path, file })
    }

    /// Writes all of it.
    pub(crate) fn write(mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).with_context(|| self.path.display().to_string())
    }
}
