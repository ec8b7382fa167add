//! Frames of a subject at any time, with their truth.

use super::camera::{Camera, NoiseTable, jpeg_round_trip, skip_blocks};
use super::face::{FACE_EYE_DISTANCE, FACE_EYES, Face};
use super::pack::Subject;
use super::raster::Pose;
use super::script::Script;
use crate::au::UNIT_COUNT;
use crate::face::landmarks::LANDMARK_COUNT;
use crate::flow::Flow;
use crate::frame::Frame;
use crate::geometry::{Point, Similarity};
use crate::kernels;
use crate::random::SplitMix;

/// What is true of one frame.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Truth {
    /// Landmarks in frame pixels.
    pub landmarks: [Point; LANDMARK_COUNT],
    /// Intensity of every unit, 0 to 5.
    pub intensities: [f32; UNIT_COUNT],
    /// Face coordinates of the neutral head to frame coordinates.
    pub head: Similarity,
}

/// A face before a camera.
pub struct Scene<F: Face = Subject> {
    face: F,
    script: Script,
    camera: Camera,
    noise: NoiseTable,
    background: Vec<f32>,
    plane: Vec<f32>,
    tmp: Vec<f32>,
    placed: F::Posed,
    /// The frame before as it was shown, where blocks are skipped.
    shown: Vec<u8>,
}

impl<F: Face> Scene<F> {
    /// A face in the middle of the frame.
    pub fn new(face: F, script: Script, camera: Camera) -> Self {
        let n = camera.width * camera.height;
        let mut scene = Self {
            face,
            script,
            camera,
            noise: NoiseTable::new(),
            background: vec![0.0; n],
            plane: vec![0.0; n],
            tmp: vec![0.0; n],
            placed: F::Posed::default(),
            shown: Vec::new(),
        };
        scene.paint_background();
        scene
    }

    /// A wall with a soft pattern, and clothes below the face.
    fn paint_background(&mut self) {
        let (w, h) = (self.camera.width, self.camera.height);
        let mut rng = SplitMix(self.camera.seed ^ 0x7761_6c6c);
        let base = 60.0 + 120.0 * rng.uniform();
        let waves: Vec<[f32; 4]> = (0..6)
            .map(|_| {
                [rng.uniform() * 0.03, rng.uniform() * 0.03, rng.uniform() * 6.3, 4.0 + 6.0 * rng.uniform()]
            })
            .collect();
        let cloth = 30.0 + 60.0 * rng.uniform();
        let unit = self.camera.eye_distance_px;
        let (cx, shoulder) = (0.5 * w as f32, self.center().y + 2.6 * unit);
        for (i, v) in self.background.iter_mut().enumerate() {
            let (x, y) = ((i % w) as f32, (i / w) as f32);
            let wall = base + waves.iter().map(|[a, b, c, s]| s * (a * x + b * y + c).sin()).sum::<f32>();
            // Shoulders: a wide arch.
            let arch = shoulder + 0.5 * unit * ((x - cx) / (2.4 * unit)).powi(2);
            let share = ((y - arch) / 6.0).clamp(0.0, 1.0);
            *v = wall + share * (cloth + 8.0 * (0.21 * x + 0.13 * y).sin() - wall);
        }
        debug_assert_eq!(self.background.len(), w * h);
    }

    /// Middle between the eyes of a head at rest, in frame pixels.
    fn center(&self) -> Point {
        let below = 0.35 * self.camera.eye_distance_px;
        Point::new(0.5 * self.camera.width as f32, 0.5 * self.camera.height as f32 - below)
    }

    /// Face coordinates to frame coordinates at a time.
    fn head(&self, at_ns: i64) -> Similarity {
        let (center, scale) = (self.center(), self.camera.eye_distance_px / FACE_EYE_DISTANCE);
        let rest = Similarity {
            a: scale,
            b: 0.0,
            tx: center.x - scale * FACE_EYES.x,
            ty: center.y - scale * FACE_EYES.y,
        };
        self.script.head_at(at_ns, center, self.camera.eye_distance_px).compose(&rest)
    }

    /// Frame `seq` of a recording at `fps`.
    pub fn frame(&mut self, seq: u64, fps: f64) -> Frame {
        let mut frame = Frame::default();
        self.render(seq, (seq as f64 * 1e9 / fps).round() as i64, &mut frame);
        frame
    }

    /// Renders the face at a time into `frame`, which keeps its buffer.
    pub fn render(&mut self, seq: u64, at_ns: i64, frame: &mut Frame) {
        let (w, h) = (self.camera.width, self.camera.height);
        self.paint(at_ns);
        if self.camera.shutter_ms > 0.0 {
            // The mean of the beginning, the middle and the end of the exposure.
            let mut sum = self.plane.clone();
            for share in [-0.5, 0.5] {
                self.paint(at_ns + (share * 1e6 * f64::from(self.camera.shutter_ms)) as i64);
                sum.iter_mut().zip(&self.plane).for_each(|(s, v)| *s += v);
            }
            self.plane.iter_mut().zip(&sum).for_each(|(v, s)| *v = s / 3.0);
        }
        (frame.seq, frame.at_ns, frame.width, frame.height) = (seq, at_ns, w, h);
        frame.luma.resize(w * h, 0);
        let light = self.script.light_at(at_ns);
        self.noise.expose(&self.camera, seq, light, &self.plane, w, &mut frame.luma);
        if self.camera.block_skip > 0.0 {
            skip_blocks(&mut frame.luma, &mut self.shown, w, self.camera.block_skip);
        }
        if let Some(quality) = self.camera.jpeg_quality {
            jpeg_round_trip(&mut frame.luma, w, h, quality);
        }
    }

    /// Paints the scene at an instant into the plane, before light and noise.
    fn paint(&mut self, at_ns: i64) {
        let w = self.camera.width;
        let head = self.head(at_ns);
        let pose = self.pose(at_ns);
        self.face.place(&pose, &head, &mut self.placed);
        self.plane.copy_from_slice(&self.background);
        self.face.draw(&self.placed, head.scale(), &mut self.plane, w);
        let (script, rest) = (&self.script, self.center());
        if let Some(glasses) = &script.glasses {
            glasses.draw(at_ns, &script.glares, &head, pose.turn, &mut self.plane, w);
        }
        for hand in &script.hands {
            hand.draw(at_ns, rest, self.camera.eye_distance_px, &mut self.plane, w);
        }
        if self.camera.blur {
            kernels::smooth(&mut self.plane, w, &mut self.tmp);
        }
    }

    /// What the face does from here on.
    pub fn script_mut(&mut self) -> &mut Script {
        &mut self.script
    }

    /// How the face stands at a time.
    pub fn pose(&self, at_ns: i64) -> Pose {
        Pose {
            fractions: self.script.fractions(at_ns),
            gaze: self.script.gaze.at(at_ns),
            turn: self.script.turn_at(at_ns),
        }
    }

    /// The face in frame pixels at a time.
    fn placed_at(&self, at_ns: i64) -> F::Posed {
        let mut placed = F::Posed::default();
        self.face.place(&self.pose(at_ns), &self.head(at_ns), &mut placed);
        placed
    }

    /// What is true at a time.
    pub fn truth(&self, at_ns: i64) -> Truth {
        Truth {
            landmarks: self.face.landmarks(&self.placed_at(at_ns)),
            intensities: self.script.fractions(at_ns).map(|f| 5.0 * f),
            head: self.head(at_ns),
        }
    }

    /// True displacement in frame pixels: where each pixel of the frame at `from_ns` is found at
    /// `to_ns`. Zero outside the face.
    pub fn displacement(&self, from_ns: i64, to_ns: i64) -> Flow {
        let mut flow = Flow::zeros(self.camera.width, self.camera.height);
        self.face.field(&self.placed_at(from_ns), &self.placed_at(to_ns), &mut flow);
        flow
    }
}
