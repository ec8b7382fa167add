//! What `source.kind = "command"` needs beside its keys.

use glint::clip::PipeFormat;
use glint::event::Stamps;
use glint::frame::PixelFormat;
use serde::{Deserialize, Serialize};

use super::{CameraConfig, Config, Problem, SourceConfig, SourceKind};

/// What a program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StreamFormat {
    /// YUV4MPEG2.
    #[default]
    Y4m,
    /// JPEG pictures.
    Mjpeg,
    /// Gray frames with times.
    Nut,
    /// Frames of one size and nothing else.
    Raw,
}

impl SourceConfig {
    /// What stamps the frames, where it is not the camera's driver.
    pub(crate) fn stamps(&self) -> Option<Stamps> {
        match (self.kind, self.format) {
            (SourceKind::Command, StreamFormat::Nut) => Some(Stamps::Container),
            (SourceKind::Command, _) => Some(Stamps::Arrival),
            _ => None,
        }
    }

    /// How the frames lie in the pipe; of raw ones the camera's keys tell.
    pub(crate) fn layout(&self, camera: &CameraConfig) -> PipeFormat {
        match self.format {
            StreamFormat::Y4m => PipeFormat::Y4m,
            StreamFormat::Mjpeg => PipeFormat::Mjpeg,
            StreamFormat::Nut => PipeFormat::Nut,
            StreamFormat::Raw => {
                // Both are there: checked with the configuration.
                let [width, height] = camera.size.unwrap_or_default();
                PipeFormat::Raw { format: camera.format.unwrap_or(PixelFormat::Grey), width, height }
            }
        }
    }
}

impl Config {
    /// What is wrong with table `source`, and with what it needs of `camera`.
    pub(super) fn source_problems(&self) -> Vec<Problem> {
        let Self { source, camera, .. } = self;
        let with: &[&str] = &["source.kind", "source.format"];
        let problem = |key, reason: &str, allowed| Problem { key, reason: reason.into(), allowed, with };
        let mut problems = Vec::new();
        if source.kind == SourceKind::Clip && source.path.is_none() {
            let allowed = "the path of a clip, with source.kind = \"clip\"";
            problems.push(problem("source.path", "missing", allowed));
        }
        if source.kind != SourceKind::Command {
            return problems;
        }
        let words = source.command.as_deref().unwrap_or_default();
        let allowed = "a program and its arguments, with source.kind = \"command\"";
        if words.first().is_none_or(|program| program.trim().is_empty()) {
            let reason = if words.is_empty() { "missing" } else { "the program's name is empty" };
            problems.push(problem("source.command", reason, allowed));
        } else if words.iter().any(|w| w.contains('\0')) {
            problems.push(problem("source.command", "a NUL byte", allowed));
        }
        if source.format == StreamFormat::Raw {
            if camera.size.is_none() {
                let allowed = "the size of the frames, with source.format = \"raw\"";
                problems.push(problem("camera.size", "missing", allowed));
            }
            if camera.format.is_none_or(|f| f == PixelFormat::Mjpg) {
                let reason = if camera.format.is_none() { "missing" } else { "MJPG is not raw" };
                let allowed = "GREY, YUYV, UYVY, NV12 (I420 too), BAYER8, BAYER10, BAYER12, with source.format = \"raw\"";
                problems.push(problem("camera.format", reason, allowed));
            }
        }
        problems
    }
}
