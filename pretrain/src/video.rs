//! Video files: those that glint reads itself, and any other through ffmpeg.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use glint::clip::{Clip, Media};
use glint::frame::Frame;

/// An open video.
pub struct Video {
    path: PathBuf,
    clip: Clip,
    ffmpeg: Option<Child>,
}

impl Video {
    /// Opens a clip, or starts ffmpeg where glint cannot read it.
    pub fn open(path: &Path) -> Result<Self> {
        let (clip, ffmpeg) = match Clip::open(path, None) {
            Ok(clip) => (clip, None),
            Err(own) => {
                let mut ffmpeg = Command::new("ffmpeg")
                    .args(["-loglevel", "error", "-nostdin", "-i"])
                    .arg(path)
                    .args(["-f", "yuv4mpegpipe", "-pix_fmt", "yuv420p", "-"])
                    .stdout(Stdio::piped())
                    .spawn()
                    .with_context(|| format!("{own}; and ffmpeg, which may read it, cannot be started"))?;
                let stdout = ffmpeg.stdout.take().context("ffmpeg: no output")?;
                (Clip::from_y4m(path, Box::new(stdout))?, Some(ffmpeg))
            }
        };
        Ok(Self { path: path.to_owned(), clip, ffmpeg })
    }

    /// The next frame; `None` at the end.
    pub fn next(&mut self, frame: &mut Frame) -> Result<Option<Media>> {
        Ok(self.clip.next(frame)?)
    }

    /// Waits for ffmpeg, which may have failed half way.
    pub fn finish(self) -> Result<()> {
        let Some(mut ffmpeg) = self.ffmpeg else { return Ok(()) };
        drop(self.clip);
        let name = || self.path.display().to_string();
        let status = ffmpeg.wait().with_context(name)?;
        if !status.success() {
            bail!("{}: ffmpeg: {status}", name());
        }
        Ok(())
    }
}

/// The files of a folder in order of their names.
pub fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        paths.push(entry.with_context(|| dir.display().to_string())?.path());
    }
    paths.sort();
    Ok(paths)
}
