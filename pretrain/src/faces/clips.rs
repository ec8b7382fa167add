//! Real clips through the daemon's own pipeline: frames with a face, identities, a sheet of stabilised crops.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use glint::clip::{Clip, Media};
use glint::face::detector::Detector;
use glint::face::landmarks::Landmarker;
use glint::face::track::Visibility;
use glint::face::{CROP_HEIGHT, CROP_WIDTH, FaceStage};
use glint::frame::Frame;
use glint::pipeline::Models;
use image::{GrayImage, Luma};

/// Crops of a clip on the sheet.
const COLUMNS: usize = 12;

/// What was seen of a clip.
#[derive(Debug, Clone, Default)]
pub struct FollowedClip {
    /// File name.
    pub name: String,
    /// Frames.
    pub frames: usize,
    /// Frames with a face that is followed.
    pub face: usize,
    /// Frames among them that were steady.
    pub steady: usize,
    /// Identities given, in order.
    pub tracks: BTreeSet<u32>,
    /// Crops at equal distances.
    crops: Vec<Vec<f32>>,
}

impl FollowedClip {
    /// New identities after the first one: in a clip of one person, switches.
    pub fn switches(&self) -> usize {
        self.tracks.len().saturating_sub(1)
    }
}

/// Follows the largest face of a clip.
pub fn watch(path: &Path, models: &Models) -> Result<FollowedClip> {
    let mut stage = FaceStage::new(Detector::new(&models.detector)?, Landmarker::new(&models.landmarks)?, 1);
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let mut seen = FollowedClip { name, ..FollowedClip::default() };
    let mut crops: Vec<Vec<f32>> = Vec::new();
    let (mut stride, mut last_ns) = (1, 0);
    let mut video = Clip::open(path, None)?;
    let mut frame = Frame::default();
    while let Some(media) = video.next(&mut frame)? {
        let Media::Frame = media else { continue };
        stage.push(&frame);
        let dt_s = (frame.at_ns - last_ns) as f32 / 1e9;
        last_ns = frame.at_ns;
        if let Some(f) = stage.followers().first_mut().filter(|f| f.visibility != Visibility::Missed) {
            seen.face += 1;
            seen.tracks.insert(f.track.id);
            if f.visibility == Visibility::Steady {
                seen.steady += 1;
                f.track.absorb(frame.at_ns, dt_s);
            }
            if seen.frames.is_multiple_of(stride) {
                crops.push(f.track.crop.clone());
            }
        }
        seen.frames += 1;
        if crops.len() >= 2 * COLUMNS {
            // Twice too many: every second one, and half as often from here on.
            let mut n = 0;
            crops.retain(|_| {
                n += 1;
                n % 2 == 1
            });
            stride *= 2;
        }
    }
    crops.truncate(COLUMNS);
    seen.crops = crops;
    Ok(seen)
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

/// Writes the crops of all clips, one clip a row.
pub fn sheet(clips: &[FollowedClip], path: &Path) -> Result<()> {
    let rows = clips.len().max(1);
    let mut sheet = GrayImage::new((COLUMNS * CROP_WIDTH) as u32, (rows * CROP_HEIGHT) as u32);
    for (row, clip) in clips.iter().enumerate() {
        for (column, crop) in clip.crops.iter().enumerate() {
            for (i, v) in crop.iter().enumerate() {
                let (x, y) = (column * CROP_WIDTH + i % CROP_WIDTH, row * CROP_HEIGHT + i / CROP_WIDTH);
                sheet.put_pixel(x as u32, y as u32, Luma([v.clamp(0.0, 255.0) as u8]));
            }
        }
    }
    sheet.save(path).with_context(|| path.display().to_string())
}
