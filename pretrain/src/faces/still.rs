//! Motion that is left in the stabilised crop of a head whose true motion is known.

use glint::face::FaceStage;
use glint::face::detector::Detector;
use glint::face::landmarks::Landmarker;
use glint::face::track::Visibility;
use glint::frame::Frame;
use glint::geometry::{Point, Similarity};
use glint::model::ModelError;
use glint::pipeline::Models;
use glint::synth::{Camera, FACE_EYE_DISTANCE, FACE_EYES, Face, NoiseTable, Pose};

use super::{HEIGHT, WIDTH};
use crate::augment::{background, blur, generator};

/// Frames a second.
const FPS: f64 = 100.0;
/// Frames that are not counted: the neutral reference is learned.
const LEAD_IN: usize = 60;
/// Frames that are.
const FRAMES: usize = 240;
/// Landmarks that no expression moves much: nose bridge, corners of the eyes.
const RIGID: [usize; 8] = [27, 28, 29, 30, 36, 39, 42, 45];

/// How a head moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    /// Speed along a circle, in frame pixels a frame.
    pub speed_px: f32,
    /// Greatest roll in degrees, once a second.
    pub roll_degrees: f32,
    /// Distance between the eyes in frame pixels.
    pub eye_distance_px: f32,
    /// Instants of exposure that are averaged: 1 freezes the motion.
    pub shutter: usize,
}

impl Course {
    /// A still head, as large as the synthetic camera's usual one.
    pub const STILL: Self = Self { speed_px: 0.0, roll_degrees: 0.0, eye_distance_px: 84.0, shutter: 1 };
    /// 3 px a frame and 2 degrees of roll.
    pub const MOVING: Self = Self { speed_px: 3.0, roll_degrees: 2.0, ..Self::STILL };

    /// Face coordinates to frame coordinates at `frame`.
    fn head(&self, frame: f32) -> Similarity {
        const RADIUS: f32 = 60.0;
        let phase = self.speed_px / RADIUS * frame;
        let center = Point::new(
            0.5 * WIDTH as f32 + RADIUS * phase.sin() * f32::from(self.speed_px > 0.0),
            0.45 * HEIGHT as f32 + 0.5 * RADIUS * phase.cos() * f32::from(self.speed_px > 0.0),
        );
        let roll = self.roll_degrees.to_radians() * (std::f32::consts::TAU * frame / FPS as f32).sin();
        let scale = self.eye_distance_px / FACE_EYE_DISTANCE;
        let (a, b) = (scale * roll.cos(), scale * roll.sin());
        Similarity {
            a,
            b,
            tx: center.x - a * FACE_EYES.x + b * FACE_EYES.y,
            ty: center.y - b * FACE_EYES.x - a * FACE_EYES.y,
        }
    }
}

/// What was left of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Residual {
    /// Sum of squared deviations of the rigid points from their own means, in crop pixels.
    pub squares: f64,
    /// Number of deviations.
    pub count: usize,
    /// Frames that count.
    pub frames: usize,
    /// Frames among them that were not steady.
    pub unsteady: usize,
}

impl Residual {
    /// Adds another sequence.
    pub fn add(&mut self, other: Self) {
        self.squares += other.squares;
        self.count += other.count;
        self.frames += other.frames;
        self.unsteady += other.unsteady;
    }

    /// Root mean square deviation in crop pixels, both axes together.
    pub fn rms(&self) -> f32 {
        (self.squares / self.count as f64).sqrt() as f32
    }

    /// Share of the frames that were not steady.
    pub fn unsteady_share(&self) -> f32 {
        self.unsteady as f32 / self.frames as f32
    }
}

/// Films `face` on `course` and follows it; `millis` gets the time of each tracked frame.
pub fn sequence<F: Face>(
    face: &F,
    course: Course,
    models: &Models,
    seed: u64,
    millis: &mut Vec<f32>,
) -> Result<Residual, ModelError> {
    let mut stage = FaceStage::new(Detector::new(&models.detector)?, Landmarker::new(&models.landmarks)?, 1);
    let mut wall = vec![0.0; WIDTH * HEIGHT];
    background(&mut generator(seed, 0), WIDTH, HEIGHT, &mut wall);
    let (noise, camera) = (NoiseTable::new(), Camera { seed, ..Camera::default() });
    let mut placed = F::Posed::default();
    let mut frame = Frame { width: WIDTH, height: HEIGHT, luma: vec![0; WIDTH * HEIGHT], ..Frame::default() };
    let (mut plane, mut sum) = (wall.clone(), wall.clone());
    let mut positions: Vec<[Point; RIGID.len()]> = Vec::new();
    let mut out = Residual::default();
    for k in 0..LEAD_IN + FRAMES {
        sum.fill(0.0);
        for s in 0..course.shutter {
            // The exposure is as long as 80 % of a frame, about the frame's time.
            let share = if course.shutter > 1 { s as f32 / (course.shutter - 1) as f32 - 0.5 } else { 0.0 };
            let head = course.head(k as f32 + 0.8 * share);
            plane.copy_from_slice(&wall);
            face.place(&Pose::NEUTRAL, &head, &mut placed);
            face.draw(&placed, head.scale(), &mut plane, WIDTH);
            sum.iter_mut().zip(&plane).for_each(|(s, p)| *s += p / course.shutter as f32);
        }
        blur(&mut sum, WIDTH, 0.25);
        (frame.seq, frame.at_ns) = (k as u64, (k as f64 * 1e9 / FPS).round() as i64);
        noise.expose(&camera, k as u64, 1.0, &sum, WIDTH, &mut frame.luma);
        #[allow(clippy::disallowed_methods)]
        let start = std::time::Instant::now();
        let searched = stage.push(&frame);
        let elapsed = start.elapsed().as_secs_f32() * 1e3;
        let Some(follower) = stage.followers().first_mut() else {
            out.frames += usize::from(k >= LEAD_IN);
            out.unsteady += usize::from(k >= LEAD_IN);
            continue;
        };
        let steady = follower.visibility == Visibility::Steady;
        if steady {
            follower.track.absorb(frame.at_ns, 1.0 / FPS as f32);
        }
        if k < LEAD_IN {
            continue;
        }
        if !searched {
            millis.push(elapsed);
        }
        out.frames += 1;
        out.unsteady += usize::from(!steady);
        face.place(&Pose::NEUTRAL, &course.head(k as f32), &mut placed);
        let (truth, back) = (face.landmarks(&placed), follower.track.crop_to_frame.inverse());
        positions.push(RIGID.map(|i| back.apply(truth[i])));
    }
    for i in 0..RIGID.len() {
        let n = positions.len() as f64;
        let mean = positions
            .iter()
            .fold((0.0, 0.0), |m, f| (m.0 + f64::from(f[i].x) / n, m.1 + f64::from(f[i].y) / n));
        for f in &positions {
            out.squares += (f64::from(f[i].x) - mean.0).powi(2) + (f64::from(f[i].y) - mean.1).powi(2);
            out.count += 1;
        }
    }
    Ok(out)
}
