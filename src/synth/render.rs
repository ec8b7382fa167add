//! Frames of a subject at any time, with their truth.

use super::camera::{Camera, NoiseTable, SplitMix, jpeg_round_trip};
use super::pack::{Subject, TEXTURE_HEIGHT, TEXTURE_WIDTH};
use super::script::Script;
use crate::au::UNIT_COUNT;
use crate::face::landmarks::{LANDMARK_COUNT, MEDIAPIPE_68};
use crate::face::{CROP_HEIGHT, CROP_WIDTH};
use crate::flow::Flow;
use crate::frame::Frame;
use crate::geometry::{Point, Similarity};
use crate::kernels;

/// Middle between the eyes in the texture.
const TEXTURE_EYES: Point = Point::new(0.5 * TEXTURE_WIDTH as f32, 92.0);
/// Distance of the eyes in the texture.
const TEXTURE_EYE_DISTANCE: f32 = 64.0;

/// What is true of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Landmarks in frame pixels.
    pub landmarks: [Point; LANDMARK_COUNT],
    /// Intensity of every unit, 0 to 5.
    pub intensities: [f32; UNIT_COUNT],
    /// Texture coordinates of the neutral head to frame coordinates.
    pub head: Similarity,
}

/// A subject before a camera.
pub struct Scene {
    subject: Subject,
    script: Script,
    camera: Camera,
    noise: NoiseTable,
    background: Vec<f32>,
    plane: Vec<f32>,
    tmp: Vec<f32>,
    vertices: Vec<Point>,
}

impl Subject {
    /// Vertices in texture pixels with the face moved by `fractions` of each unit.
    fn moved(&self, fractions: &[f32; UNIT_COUNT], out: &mut Vec<Point>) {
        out.clear();
        out.extend_from_slice(&self.shape);
        for (unit, &f) in self.units.iter().zip(fractions).filter(|(_, f)| **f > 0.0) {
            for (v, d) in out.iter_mut().zip(unit) {
                v.x += f * d.x;
                v.y += f * d.y;
            }
        }
    }

    /// Draws the face with its vertices at `vertices` (frame pixels) over `plane`.
    fn draw(&self, vertices: &[Point], plane: &mut [f32], width: usize) {
        let height = plane.len() / width;
        for t in &self.triangles {
            let [i, j, k] = t.map(usize::from);
            let corners = [vertices[i], vertices[j], vertices[k]];
            let source = [self.source[i], self.source[j], self.source[k]];
            let alpha = [self.alpha[i], self.alpha[j], self.alpha[k]];
            fill(corners, width, height, |at, [a, b, c]| {
                let x = a * source[0].x + b * source[1].x + c * source[2].x;
                let y = a * source[0].y + b * source[1].y + c * source[2].y;
                let opacity = a * alpha[0] + b * alpha[1] + c * alpha[2];
                let value = texel(&self.texture, x, y);
                plane[at] += opacity * (value - plane[at]);
            });
        }
    }
}

/// Bilinear sample of a texture.
fn texel(texture: &[f32], x: f32, y: f32) -> f32 {
    let x = x.clamp(0.0, (TEXTURE_WIDTH - 2) as f32);
    let y = y.clamp(0.0, (TEXTURE_HEIGHT - 2) as f32);
    let (ix, iy) = (x as usize, y as usize);
    let (fx, fy) = (x - ix as f32, y - iy as f32);
    let at = iy * TEXTURE_WIDTH + ix;
    let top = texture[at] + fx * (texture[at + 1] - texture[at]);
    let low =
        texture[at + TEXTURE_WIDTH] + fx * (texture[at + TEXTURE_WIDTH + 1] - texture[at + TEXTURE_WIDTH]);
    top + fy * (low - top)
}

/// Visits every pixel whose centre lies in the triangle, with its barycentric coordinates. A pixel on
/// a shared edge is visited by one of the two triangles or, at worst, by both. Triangles that are
/// turned over (a lid that has closed) are not drawn.
fn fill(corners: [Point; 3], width: usize, height: usize, mut pixel: impl FnMut(usize, [f32; 3])) {
    let [p, q, r] = corners;
    let area = (q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x);
    if area <= 1e-4 || !area.is_finite() {
        return;
    }
    let low = |a: f32, b: f32, c: f32| a.min(b).min(c).ceil().max(0.0) as usize;
    let high = |a: f32, b: f32, c: f32, limit: usize| {
        a.max(b).max(c).floor().clamp(-1.0, limit as f32 - 1.0) as isize
    };
    let (x0, y0) = (low(p.x, q.x, r.x), low(p.y, q.y, r.y));
    let (x1, y1) = (high(p.x, q.x, r.x, width), high(p.y, q.y, r.y, height));
    let scale = 1.0 / area;
    for y in y0 as isize..=y1 {
        for x in x0 as isize..=x1 {
            let (fx, fy) = (x as f32, y as f32);
            let b = ((fx - p.x) * (r.y - p.y) - (fy - p.y) * (r.x - p.x)) * scale;
            let c = ((q.x - p.x) * (fy - p.y) - (q.y - p.y) * (fx - p.x)) * scale;
            let a = 1.0 - b - c;
            if a >= -1e-5 && b >= -1e-5 && c >= -1e-5 {
                pixel(y as usize * width + x as usize, [a, b, c]);
            }
        }
    }
}

impl Scene {
    /// A subject in the middle of the frame.
    pub fn new(subject: Subject, script: Script, camera: Camera) -> Self {
        let n = camera.width * camera.height;
        let mut scene = Self {
            subject,
            script,
            camera,
            noise: NoiseTable::new(),
            background: vec![0.0; n],
            plane: vec![0.0; n],
            tmp: vec![0.0; n],
            vertices: Vec::new(),
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

    /// Texture coordinates to frame coordinates at a time.
    fn head(&self, at_ns: i64) -> Similarity {
        let (center, scale) = (self.center(), self.camera.eye_distance_px / TEXTURE_EYE_DISTANCE);
        let rest = Similarity {
            a: scale,
            b: 0.0,
            tx: center.x - scale * TEXTURE_EYES.x,
            ty: center.y - scale * TEXTURE_EYES.y,
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
        let head = self.head(at_ns);
        self.subject.moved(&self.script.fractions(at_ns), &mut self.vertices);
        self.vertices.iter_mut().for_each(|v| *v = head.apply(*v));
        self.plane.copy_from_slice(&self.background);
        self.subject.draw(&self.vertices, &mut self.plane, w);
        if self.camera.blur {
            kernels::smooth(&mut self.plane, w, &mut self.tmp);
        }
        (frame.seq, frame.at_ns, frame.width, frame.height) = (seq, at_ns, w, h);
        frame.luma.resize(w * h, 0);
        let light = self.script.lighting.at(at_ns);
        self.noise.expose(&self.camera, seq, light, &self.plane, w, &mut frame.luma);
        if let Some(quality) = self.camera.jpeg_quality {
            jpeg_round_trip(&mut frame.luma, w, h, quality);
        }
    }

    /// What is true at a time.
    pub fn truth(&self, at_ns: i64) -> Truth {
        let head = self.head(at_ns);
        let fractions = self.script.fractions(at_ns);
        let mut vertices = Vec::new();
        self.subject.moved(&fractions, &mut vertices);
        let landmarks = MEDIAPIPE_68.map(|i| head.apply(vertices[i]));
        Truth { landmarks, intensities: fractions.map(|f| 5.0 * f), head }
    }
}

/// Texture coordinates to the stabilised crop: what a perfect stabiliser does to a subject whose
/// eyes are where the texture's are.
fn texture_to_crop() -> Similarity {
    Similarity { tx: 63.5 - TEXTURE_EYES.x, ty: 44.0 - TEXTURE_EYES.y, ..Similarity::IDENTITY }
}

/// True displacement in the stabilised crop between the neutral face and the face moved by
/// `fractions` of each unit: where each pixel of the neutral face goes.
pub fn displacement(subject: &Subject, fractions: &[f32; UNIT_COUNT]) -> Flow {
    let mut flow = Flow::zeros(CROP_WIDTH, CROP_HEIGHT);
    let mut moved = Vec::new();
    subject.moved(fractions, &mut moved);
    let to_crop = texture_to_crop();
    for t in &subject.triangles {
        let t = t.map(usize::from);
        let corners = t.map(|i| to_crop.apply(subject.shape[i]));
        let d = t.map(|i| Point::new(moved[i].x - subject.shape[i].x, moved[i].y - subject.shape[i].y));
        fill(corners, CROP_WIDTH, CROP_HEIGHT, |at, [a, b, c]| {
            flow.u[at] = a * d[0].x + b * d[1].x + c * d[2].x;
            flow.v[at] = a * d[0].y + b * d[1].y + c * d[2].y;
        });
    }
    flow
}

/// Renders a subject straight into the stabilised crop, with sensor noise of standard deviation
/// `noise` and misaligned by `jitter` (crop to crop): training material at a few hundred
/// microseconds.
pub fn render_crop(
    subject: &Subject,
    fractions: &[f32; UNIT_COUNT],
    jitter: &Similarity,
    noise: (f32, u64),
    out: &mut Vec<f32>,
) {
    out.clear();
    out.resize(CROP_WIDTH * CROP_HEIGHT, 90.0);
    let to_crop = jitter.compose(&texture_to_crop());
    let mut vertices = Vec::new();
    subject.moved(fractions, &mut vertices);
    vertices.iter_mut().for_each(|v| *v = to_crop.apply(*v));
    subject.draw(&vertices, out, CROP_WIDTH);
    let mut tmp = vec![0.0; out.len()];
    kernels::smooth(out, CROP_WIDTH, &mut tmp);
    let (deviation, seed) = noise;
    let mut rng = SplitMix(seed);
    for v in out.iter_mut() {
        // The sum of four uniforms is close enough to normal, and quick.
        let sum = rng.uniform() + rng.uniform() + rng.uniform() + rng.uniform() - 2.0;
        *v += deviation * 1.732 * sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::au::{Side, unit_indices};
    use crate::synth::{Action, HeadMotion, Pack};

    fn scene(actions: Vec<Action>, noise: bool) -> Scene {
        let mut script = Script::new(actions).expect("valid script");
        script.head = HeadMotion::STILL;
        let camera =
            Camera { read_noise: if noise { 1.0 } else { 0.0 }, shot_noise: 0.0, ..Camera::default() };
        Scene::new(Subject::random(Pack::embedded().expect("pack"), 3), script, camera)
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let smile = vec![Action::micro(12, 0.2, 0)];
        let frame = scene(smile.clone(), true).frame(5, 100.0);
        assert_eq!(frame, scene(smile.clone(), true).frame(5, 100.0));
        assert_ne!(frame.luma, scene(smile, true).frame(6, 100.0).luma);
    }

    #[test]
    fn nothing_moves_before_the_onset() {
        let mut scene = scene(vec![Action::micro(4, 0.5, 50_000_000)], false);
        let neutral = scene.frame(0, 100.0);
        assert_eq!(neutral.luma, scene.frame(5, 100.0).luma);
        assert_ne!(neutral.luma, scene.frame(12, 100.0).luma);
    }

    #[test]
    fn movements_go_where_anatomy_says() {
        let subject = Subject::random(Pack::embedded().expect("pack"), 3);
        let moved = |au: u8, side: Side| {
            let mut fractions = [0.0; UNIT_COUNT];
            unit_indices(au, side).for_each(|k| fractions[k] = 1.0);
            let mut vertices = Vec::new();
            subject.moved(&fractions, &mut vertices);
            MEDIAPIPE_68
                .map(|i| Point::new(vertices[i].x - subject.shape[i].x, vertices[i].y - subject.shape[i].y))
        };
        let smile = moved(12, Side::Both);
        // Corners of the mouth: 48 at the left of the image, 54 at the right.
        assert!(
            smile[48].x < -1.0 && smile[54].x > 1.0 && smile[48].y < -1.0 && smile[54].y < -1.0,
            "{:?}",
            smile[48]
        );
        let left = moved(12, Side::Left);
        assert!(
            left[54].y < -1.0 && left[48].y.abs() < 0.2 * left[54].y.abs(),
            "{:?} {:?}",
            left[48],
            left[54]
        );
        let frown = moved(4, Side::Both);
        assert!(
            frown[21].y > 0.5 && frown[22].y > 0.5 && frown[21].x > frown[22].x,
            "brows come down and together"
        );
        let raise = moved(1, Side::Both);
        assert!(raise[21].y < -1.0 && raise[22].y < -1.0);
        let blink = moved(45, Side::Both);
        assert!(blink[37].y > 2.0 && blink[43].y > 2.0, "upper lids come down");
        assert!(moved(26, Side::Both)[8].y > 2.0, "the chin drops");
        assert!(moved(15, Side::Both)[48].y > 0.5, "the corners of the mouth go down");
    }

    #[test]
    fn displacement_is_linear_and_agrees_with_the_landmarks() {
        let subject = Subject::random(Pack::embedded().expect("pack"), 3);
        let mut fractions = [0.0; UNIT_COUNT];
        unit_indices(12, Side::Both).for_each(|k| fractions[k] = 0.2);
        let once = displacement(&subject, &fractions);
        let twice = displacement(&subject, &fractions.map(|f| 2.0 * f));
        let most = once.v.iter().copied().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(most > 0.3, "{most}");
        for (a, b) in once.v.iter().zip(&twice.v) {
            assert!((2.0 * a - b).abs() < 1e-3);
        }
    }
}
