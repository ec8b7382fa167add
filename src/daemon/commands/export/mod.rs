//! The events of a clip in the formats of other programs; the ending of a file's name chooses.

mod bids;
mod eaf;
mod edf;
#[cfg(test)]
mod tests;
mod vtt;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser, ValueParser};
use glint::event::{Event, Movement};

use super::output::Output;
use crate::daemon::clock::{rfc3339, wall};

/// What the exports say.
pub(crate) struct Content<'a> {
    /// Name of the clip in titles.
    pub(crate) name: &'a str,
    /// The clip as it was named on the command line.
    pub(crate) clip: &'a Path,
    /// Its events as they were found.
    pub(crate) events: &'a [Event],
}

impl Content<'_> {
    /// Movements by onset.
    fn movements(&self) -> Vec<&Movement> {
        let mut all: Vec<&Movement> = self.events.iter().map(|e| &e.data.movement).collect();
        all.sort_by_key(|m| (m.onset_ns, m.offset_ns, m.track));
        all
    }

    /// Whether more than one face moved.
    fn has_several_faces(&self) -> bool {
        self.events.windows(2).any(|pair| pair[0].data.track != pair[1].data.track)
    }
}

/// A format of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Eaf,
    Vtt,
    Bids,
    Edf,
    JsonLines,
}

const ENDINGS: [(&str, Format); 5] = [
    ("eaf", Format::Eaf),
    ("vtt", Format::Vtt),
    ("tsv", Format::Bids),
    ("edf", Format::Edf),
    ("jsonl", Format::JsonLines),
];

/// A file that is to be written, and its format.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    path: PathBuf,
    format: Format,
    /// Of the table of BIDS: the description of its columns.
    sidecar: Option<PathBuf>,
}

impl Target {
    /// Reads a path whose ending is that of a format.
    pub(crate) fn parser() -> ValueParser {
        PathBufValueParser::new().try_map(Self::new).into()
    }

    fn new(path: PathBuf) -> Result<Self, String> {
        let ending = path.extension().map(|e| e.to_ascii_lowercase());
        let has_ending = |known: &str| ending == Some(OsString::from(known));
        let Some((_, format)) = ENDINGS.iter().find(|(known, _)| has_ending(known)) else {
            let all = ENDINGS.map(|(ending, _)| format!(".{ending}")).join(", ");
            return Err(format!("must end in one of {all}"));
        };
        let sidecar = (*format == Format::Bids).then(|| path.with_extension("json"));
        Ok(Self { path, format: *format, sidecar })
    }
}

/// An export whose files have been created.
pub(crate) struct Export<'a> {
    format: Format,
    output: Output<'a>,
    sidecar: Option<Output<'a>>,
}

impl<'a> Export<'a> {
    /// Creates the files.
    pub(crate) fn create(target: &'a Target) -> anyhow::Result<Self> {
        Ok(Self {
            format: target.format,
            output: Output::create(&target.path)?,
            sidecar: target.sidecar.as_deref().map(Output::create).transpose()?,
        })
    }

    /// Writes the events.
    pub(crate) fn write(self, content: &Content<'_>) -> anyhow::Result<()> {
        let bytes = match self.format {
            Format::Eaf => {
                let beside = self.output.path.parent().unwrap_or(Path::new(""));
                eaf::document(content, beside, &rfc3339(wall().as_millis() as i64)).into_bytes()
            }
            Format::Vtt => vtt::document(content).into_bytes(),
            Format::Bids => bids::table(content).into_bytes(),
            Format::Edf => edf::file(content),
            Format::JsonLines => json_lines(content).into_bytes(),
        };
        self.output.write(&bytes)?;
        self.sidecar.map_or(Ok(()), |sidecar| sidecar.write(bids::sidecar().as_bytes()))
    }
}

/// The lines that `replay --kinds micro,macro,blink` prints.
fn json_lines(content: &Content<'_>) -> String {
    content.events.iter().map(|event| event.to_json() + "\n").collect()
}

/// Whole milliseconds of nanoseconds.
fn milliseconds(ns: i64) -> i64 {
    (ns.max(0) + 500_000) / 1_000_000
}
