//! Annotated frames through the daemon's face stage: the stabilised crops of onset and apex.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use glint::face::detector::Detector;
use glint::face::landmarks::Landmarker;
use glint::face::track::Visibility;
use glint::face::{CROP_HEIGHT, CROP_WIDTH, FaceStage};
use glint::frame::{Frame, LumaDecoder};
use glint::geometry::{Point, Similarity};
use glint::pipeline::Models;

use super::AnnotatedSample;
use super::frames::{read_depth, read_luma};

/// Numbers of a stabilised crop.
pub const CROP: usize = CROP_WIDTH * CROP_HEIGHT;
/// The face is followed from so long before the onset, where the clip has it.
const LEAD_IN_MS: f64 = 250.0;
/// Crops this near to onset and apex are averaged, as in the daemon.
const MEAN_MS: f64 = 12.0;

/// A movement as two stabilised crops.
#[derive(Debug, Clone, PartialEq)]
pub struct CropPair {
    /// Luma before the movement, [`CROP`] numbers from 0 to 255.
    pub onset: Vec<u8>,
    /// Luma at its greatest extent.
    pub apex: Vec<u8>,
    /// Depth of both, on the sensor's scale; 0 where nothing was measured.
    pub depth: Option<[Vec<f32>; 2]>,
}

/// Cuts crops out of the clips of a database.
pub struct Cutter {
    faces: FaceStage,
    decoder: LumaDecoder,
    depth_pattern: Option<String>,
}

impl Cutter {
    /// A cutter with the daemon's networks. `depth_pattern` is where depth images lie below the folder of a clip:
    /// `{frame}` stands for the number of the frame, `{frame:05}` for five digits of it.
    pub fn new(models: &Models, depth_pattern: Option<&str>) -> Result<Self> {
        if let Some(pattern) = depth_pattern {
            depth_name(pattern, 1).with_context(|| format!("--depth-pattern {pattern}"))?;
        }
        let faces = FaceStage::new(Detector::new(&models.detector)?, Landmarker::new(&models.landmarks)?, 1);
        Ok(Self { faces, decoder: LumaDecoder::default(), depth_pattern: depth_pattern.map(str::to_owned) })
    }

    /// The crops of a movement. The errors name the frame or the file.
    pub fn cut(&mut self, sample: &AnnotatedSample) -> Result<CropPair> {
        self.faces.reset();
        let frames = &sample.frames;
        let (onset, apex) = (frames.position(sample.onset), frames.position(sample.apex));
        let ms = |position: usize| position as f64 * 1e3 / sample.fps;
        let (first, last) = (ms(onset) - LEAD_IN_MS, ms(apex) + MEAN_MS);
        let mut means = [Mean::default(), Mean::default()];
        let mut placed = [None; 2];
        let mut size = (0, 0);
        let mut frame = Frame::default();
        for (position, number) in frames.numbers().enumerate() {
            if ms(position) < first || ms(position) > last {
                continue;
            }
            let path = frames.path(number).unwrap_or_default();
            read_luma(&path, &mut self.decoder, &mut frame)?;
            (frame.seq, frame.at_ns) = (position as u64, (ms(position) * 1e6).round() as i64);
            ensure!(
                size == (0, 0) || size == (frame.width, frame.height),
                "{}: another size",
                path.display()
            );
            size = (frame.width, frame.height);
            self.faces.push(&frame);
            let wanted = number == sample.onset || number == sample.apex;
            let Some(follower) =
                self.faces.followers().first_mut().filter(|f| f.visibility != Visibility::Missed)
            else {
                ensure!(!wanted, "{}: no face", path.display());
                continue;
            };
            if position <= onset {
                follower.track.absorb(frame.at_ns, 1.0 / sample.fps as f32);
            }
            for (k, center) in [onset, apex].into_iter().enumerate() {
                if (ms(position) - ms(center)).abs() <= MEAN_MS {
                    means[k].add(&follower.track.crop);
                }
                if position == center {
                    placed[k] = Some((follower.track.id, follower.track.crop_to_frame));
                }
            }
        }
        let [Some((before, at_onset)), Some((after, at_apex))] = placed else {
            bail!("{}: onset or apex was not seen", frames.dir.display())
        };
        ensure!(before == after, "{}: the face was lost between onset and apex", frames.dir.display());
        let depth = self.depth(sample, [at_onset, at_apex], size)?;
        let [onset, apex] = means.map(Mean::finish);
        Ok(CropPair { onset, apex, depth })
    }

    fn depth(
        &self,
        sample: &AnnotatedSample,
        crop_to_frame: [Similarity; 2],
        size: (usize, usize),
    ) -> Result<Option<[Vec<f32>; 2]>> {
        let Some(pattern) = &self.depth_pattern else { return Ok(None) };
        let mut out = [Vec::new(), Vec::new()];
        for ((number, placed), out) in
            [sample.onset, sample.apex].into_iter().zip(crop_to_frame).zip(&mut out)
        {
            let path = sample.clip_dir.join(depth_name(pattern, number).with_context(|| pattern.clone())?);
            let (width, height, depth) = read_depth(&path)?;
            let scale = (width as f32 / size.0 as f32, height as f32 / size.1 as f32);
            *out = depth_crop(&depth, (width, height), scale, &placed);
        }
        Ok(Some(out))
    }
}

/// Depth under a crop, the nearest measurement of each pixel: what is measured and what is not must not be mixed.
pub fn depth_crop(
    depth: &[f32],
    (width, height): (usize, usize),
    scale: (f32, f32),
    crop_to_frame: &Similarity,
) -> Vec<f32> {
    (0..CROP)
        .map(|i| {
            let p = crop_to_frame.apply(Point::new((i % CROP_WIDTH) as f32, (i / CROP_WIDTH) as f32));
            let (x, y) = ((p.x + 0.5) * scale.0, (p.y + 0.5) * scale.1);
            if x < 0.0 || y < 0.0 || x >= width as f32 || y >= height as f32 {
                return 0.0;
            }
            depth[y as usize * width + x as usize]
        })
        .collect()
}

/// A running mean of crops.
#[derive(Default)]
struct Mean {
    sum: Vec<f32>,
    count: f32,
}

impl Mean {
    fn add(&mut self, crop: &[f32]) {
        self.sum.resize(crop.len(), 0.0);
        self.sum.iter_mut().zip(crop).for_each(|(s, v)| *s += v);
        self.count += 1.0;
    }

    fn finish(self) -> Vec<u8> {
        self.sum.iter().map(|s| (s / self.count + 0.5).clamp(0.0, 255.0) as u8).collect()
    }
}

/// Fills in a depth pattern.
pub fn depth_name(pattern: &str, frame: u32) -> Result<PathBuf> {
    let start = pattern.find("{frame").context("no {frame} in it")?;
    let end = start + pattern[start..].find('}').context("{frame is not closed")?;
    let number = match &pattern[start + 6..end] {
        "" => frame.to_string(),
        width => {
            let digits = width.strip_prefix(":0").and_then(|w| w.parse::<usize>().ok());
            let digits = digits.filter(|d| *d <= 20).context("allowed: {frame} or {frame:05}")?;
            format!("{frame:0digits$}")
        }
    };
    Ok(PathBuf::from(format!("{}{number}{}", &pattern[..start], &pattern[end + 1..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_patterns() {
        let name = |p: &str| depth_name(p, 46).map(|p| p.display().to_string()).map_err(|e| e.to_string());
        assert_eq!(name("depth/{frame}.png"), Ok("depth/46.png".into()));
        assert_eq!(name("d/img{frame:05}_x.png"), Ok("d/img00046_x.png".into()));
        assert_eq!(name("depth.png"), Err("no {frame} in it".into()));
        assert!(name("{frame:x}").is_err() && name("{frame").is_err());
    }

    #[test]
    fn depth_is_taken_under_the_crop() {
        let depth: Vec<f32> = (0..400 * 300).map(|i| (i % 400) as f32).collect();
        let placed = Similarity { a: 1.5, b: 0.0, tx: 100.0, ty: 20.0 };
        // The depth image has half the frame's resolution.
        let out = depth_crop(&depth, (400, 300), (0.5, 0.5), &placed);
        assert_eq!((out[0], out[40]), (50.0, 80.0));
        assert_eq!(out.len(), CROP);
    }
}
