//! The frames of a clip that a command or the configuration asks for.

use std::path::Path;

use glint::clip::{Clip, ClipError, Media};
use glint::frame::{Frame, Mounting};

/// Which frames of a clip, when, and how they are turned.
#[derive(clap::Args, Debug, Clone, Copy, Default)]
pub(crate) struct Selection {
    /// Frames per second (.001 to 1000), in place of the clip's own times.
    #[arg(long)]
    pub(crate) fps: Option<f64>,
    /// Rotate the frames clockwise by 90, 180 or 270 degrees. A rotation that the file states is applied already.
    #[arg(long, value_name = "DEGREES", value_parser = degrees, default_value = "0", hide_default_value = true)]
    pub(crate) rotate: u16,
    /// Undo mirroring: swap left and right, after --rotate.
    #[arg(long)]
    pub(crate) mirror: bool,
    /// Skip the frames before this time. Times still count from the first frame of the clip.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) from: Option<i64>,
    /// Stop at this time.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) to: Option<i64>,
}

fn degrees(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|d| [0, 90, 180, 270].contains(d)).ok_or("allowed: 0, 90, 180, 270".into())
}

/// Nanoseconds of seconds.
fn seconds(text: &str) -> Result<i64, String> {
    let value: Option<f64> = text.parse().ok().filter(|s| (0.0..1e9).contains(s));
    value.map(|s| (s * 1e9).round() as i64).ok_or("allowed: seconds from 0, as 12 or 12.5".into())
}

/// A clip as it was selected.
pub(crate) struct Footage {
    clip: Clip,
    selection: Selection,
    mounting: Mounting,
    spare: Vec<u8>,
}

impl Footage {
    /// Opens a clip.
    pub(crate) fn open(path: &Path, selection: Selection) -> Result<Self, ClipError> {
        let Selection { rotate, mirror, from, to, fps } = selection;
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            let seconds = |ns: i64| ns as f64 / 1e9;
            let reason = format!("--from {} is not before --to {}", seconds(from), seconds(to));
            return Err(ClipError::Header { path: path.to_owned(), reason });
        }
        let mounting = Mounting { rotate, mirror };
        Ok(Self { clip: Clip::open(path, fps)?, selection, mounting, spare: Vec::new() })
    }

    /// The clip.
    pub(crate) fn clip(&self) -> &Clip {
        &self.clip
    }

    /// The next selected frame, upright; `None` at the end.
    pub(crate) fn next(&mut self, frame: &mut Frame) -> Result<Option<Media>, ClipError> {
        loop {
            let Some(media) = self.clip.next(frame)? else { return Ok(None) };
            let at_ns = match &media {
                Media::Frame => frame.at_ns,
                Media::Damaged { at_ns, .. } => *at_ns,
            };
            if self.selection.to.is_some_and(|to| at_ns >= to) {
                return Ok(None);
            }
            if self.selection.from.is_some_and(|from| at_ns < from) {
                continue;
            }
            if media == Media::Frame {
                self.mounting.apply(frame, &mut self.spare);
            }
            return Ok(Some(media));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_command_line() {
        assert_eq!(seconds("12.5"), Ok(12_500_000_000));
        assert!(seconds("-1").is_err() && seconds("NaN").is_err() && seconds("1:30").is_err());
        assert_eq!(degrees("270"), Ok(270));
        assert!(degrees("45").is_err());
    }
}
