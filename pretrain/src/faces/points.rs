//! Landmarks against the portraits' labels and against the exact truth of rendered heads.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use glint::face::detector::Detector;
use glint::face::landmarks::{LANDMARK_COUNT, Landmarker, Landmarks, eye_centers};
use glint::face::patch::Patch;
use glint::face::track::Track;
use glint::frame::Frame;
use glint::geometry::{Point, Rect, Similarity};
use glint::pipeline::Models;
use glint::synth::{Camera, FACE_EYE_DISTANCE, FACE_EYES, Face, NoiseTable, Pose};
use image::GrayImage;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{HEIGHT, WIDTH, mean};
use crate::assets::portraits::{Portrait, face_box};
use crate::augment::{background, blur, generator};
use crate::corpus::head::{HeadFace, Model};

/// 68 points.
pub type Points = [Point; LANDMARK_COUNT];

/// Mean distance of the points in percent of the distance between the true eyes.
pub fn nme_percent(located: &Points, truth: &Points) -> f32 {
    let [right, left] = eye_centers(truth);
    100.0 * mean(located.iter().zip(truth).map(|(a, b)| a.distance(*b))) / right.distance(left)
}

/// Detector and landmarks, from an image to points.
pub struct Finder {
    detector: Detector,
    landmarker: Landmarker,
}

impl Finder {
    /// Of shipped models.
    pub fn new(models: &Models) -> Result<Self> {
        Ok(Self {
            detector: Detector::new(&models.detector)?,
            landmarker: Landmarker::new(&models.landmarks)?,
        })
    }

    /// The landmarks of the face nearest to `truth`; `None` where the detector has no box on it.
    pub fn find(&mut self, luma: &[u8], width: usize, height: usize, truth: Rect) -> Option<Points> {
        let detections = self.detector.detect(luma, width, height);
        let best =
            detections.iter().max_by(|a, b| a.bounds.iou(truth).total_cmp(&b.bounds.iou(truth)))?.bounds;
        if best.iou(truth) < 0.3 {
            return None;
        }
        let guess = self.landmarker.from_bounds(best);
        Some(self.landmarker.locate(luma, width, height, &guess)?.points)
    }
}

/// Error on a portrait's own photograph, found as the daemon does; `None` where no face was found.
pub fn portrait(finder: &mut Finder, portrait: &Portrait) -> Option<f32> {
    let truth = portrait.photo_landmarks();
    let photo = &portrait.photo;
    let located = finder.find(photo.data(), photo.width(), photo.height(), face_box(&truth))?;
    Some(nme_percent(&located, &truth))
}

/// The stabilised crop of a portrait's own photograph; `None` where no face was found.
pub fn stabilised(finder: &mut Finder, portrait: &Portrait) -> Option<Vec<f32>> {
    let photo = &portrait.photo;
    let (width, height, luma) = (photo.width(), photo.height(), photo.data().to_vec());
    let points = finder.find(&luma, width, height, face_box(&portrait.photo_landmarks()))?;
    let at = Landmarks { points, confidence: 1.0 }.crop_to_frame();
    let frame = Frame { width, height, luma, ..Frame::default() };
    Some(Track::start(1, &frame, at, &mut Patch::default())?.crop)
}

/// A rendered head in a frame.
pub struct Render {
    /// Luma, 640x480.
    pub luma: Vec<u8>,
    /// Exact landmarks in frame pixels.
    pub truth: Points,
}

/// Rendered head `index`: a random person with an expression, turned by up to 20 degrees.
pub fn render(model: &Arc<Model>, noise: &NoiseTable, seed: u64, index: u64) -> Result<Render> {
    let mut rng = generator(seed ^ 0x0069_6374, index);
    let face = HeadFace::random(model, &mut rng);
    let mut pose = Pose::NEUTRAL;
    for f in &mut pose.fractions {
        if rng.random_bool(0.12) {
            *f = rng.random_range(0.0..0.6);
        }
    }
    pose.turn = [rng.random_range(-0.35..0.35), rng.random_range(-0.2..0.2)];
    pose.gaze = [rng.random_range(-0.6..0.6), rng.random_range(-0.4..0.4)];
    let scale = rng.random_range(40.0f32..110.0) / FACE_EYE_DISTANCE;
    let roll = rng.random_range(-0.2f32..0.2);
    let center = Point::new(rng.random_range(200.0..440.0), rng.random_range(170.0..250.0));
    let (a, b) = (scale * roll.cos(), scale * roll.sin());
    let to_image = Similarity {
        a,
        b,
        tx: center.x - a * FACE_EYES.x + b * FACE_EYES.y,
        ty: center.y - b * FACE_EYES.x - a * FACE_EYES.y,
    };
    let mut plane = vec![0.0; WIDTH * HEIGHT];
    background(&mut rng, WIDTH, HEIGHT, &mut plane);
    let mut placed = Default::default();
    face.place(&pose, &to_image, &mut placed);
    face.draw(&placed, scale, &mut plane, WIDTH);
    blur(&mut plane, WIDTH, 0.25);
    let camera = Camera { seed: rng.random(), ..Camera::default() };
    let mut luma = vec![0; plane.len()];
    noise.expose(&camera, 0, 1.0, &plane, WIDTH, &mut luma);
    Ok(Render { luma, truth: face.landmarks(&placed) })
}

/// Errors on rendered heads of one method: over all points as they are, and with each landmark's mean offset removed,
/// which is the difference between two definitions of the same point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LandmarkErrors {
    /// Percent of the eye distance.
    pub nme_percent: f32,
    /// The same without the mean offset of each landmark.
    pub nme_aligned_percent: f32,
    /// Faces that were not found.
    pub missed: usize,
}

/// Compares points with truth, each pair in the frame of the true eyes.
pub fn agreement(pairs: &[(Option<Points>, Points)]) -> LandmarkErrors {
    const EYES: [Point; 2] = [Point::new(-50.0, 0.0), Point::new(50.0, 0.0)];
    let residuals: Vec<[Point; LANDMARK_COUNT]> = pairs
        .iter()
        .filter_map(|(located, truth)| {
            let to_eyes = Similarity::from_two_points(eye_centers(truth), EYES);
            located.map(|f| {
                std::array::from_fn(|i| {
                    let (a, b) = (to_eyes.apply(f[i]), to_eyes.apply(truth[i]));
                    Point::new(a.x - b.x, a.y - b.y)
                })
            })
        })
        .collect();
    let offset: [Point; LANDMARK_COUNT] = std::array::from_fn(|i| {
        Point::new(mean(residuals.iter().map(|f| f[i].x)), mean(residuals.iter().map(|f| f[i].y)))
    });
    let error = |shift: &[Point; LANDMARK_COUNT]| {
        mean(
            residuals
                .iter()
                .flat_map(|f| (0..LANDMARK_COUNT).map(|i| f[i].distance(shift[i])).collect::<Vec<_>>()),
        )
    };
    LandmarkErrors {
        nme_percent: error(&[Point::default(); LANDMARK_COUNT]),
        nme_aligned_percent: error(&offset),
        missed: pairs.len() - residuals.len(),
    }
}

/// The script that asks MediaPipe.
const SCRIPT: &str = include_str!("../../compare/landmarks_by_mediapipe.py");

#[derive(Deserialize)]
struct Answer {
    points: Option<Vec<[f32; 2]>>,
}

/// Asks MediaPipe, by a Python that has it, for the landmarks of the same renders. They are left as PNG in `folder`.
pub fn by_mediapipe(python: &Path, renders: &[Render], folder: &Path) -> Result<Vec<Option<Points>>> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for (i, r) in renders.iter().enumerate() {
        let path = folder.join(format!("{i:05}.png"));
        let image = GrayImage::from_raw(WIDTH as u32, HEIGHT as u32, r.luma.clone()).context("frame size")?;
        image.save(&path).with_context(|| path.display().to_string())?;
    }
    let mut child = Command::new(python)
        .arg("-")
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| python.display().to_string())?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    std::io::Write::write_all(&mut stdin, SCRIPT.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{}: no usable MediaPipe ({})", python.display(), output.status);
    let answers: Vec<Answer> = serde_json::from_slice(&output.stdout).context("answer of the script")?;
    ensure!(answers.len() == renders.len(), "{} answers for {} images", answers.len(), renders.len());
    let points = |a: Answer| {
        let p = a.points.filter(|p| p.len() == LANDMARK_COUNT)?;
        Some(std::array::from_fn(|i| Point::new(p[i][0], p[i][1])))
    };
    Ok(answers.into_iter().map(points).collect())
}
