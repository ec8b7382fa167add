//! Files that commands write at their end.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::builder::{PathBufValueParser, TypedValueParser, ValueParser};
use glint::drawing::Drawing;

/// A path whose ending is that of a format in which drawings are written.
pub(crate) fn picture() -> ValueParser {
    let known = |path: PathBuf| {
        if has_ending(&path, "svg") || has_ending(&path, "png") {
            Ok(path)
        } else {
            Err("must end in .svg or .png")
        }
    };
    PathBufValueParser::new().try_map(known).into()
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

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

    /// Writes a drawing, as SVG or PNG by the ending of the name. `label` is its name for screen readers.
    pub(crate) fn draw(self, drawing: &Drawing, label: &str) -> anyhow::Result<()> {
        if has_ending(self.path, "svg") {
            return self.write(drawing.svg(label).as_bytes());
        }
        let png = drawing.canvas().png().with_context(|| self.path.display().to_string())?;
        self.write(&png)
    }
}
