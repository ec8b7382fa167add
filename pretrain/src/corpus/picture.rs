//! A flat photograph of a face before the camera: it moves as a head does, and nothing in it moves.

use glint::frame::Frame;
use glint::geometry::Point;
use glint::synth::{Camera, Gaze, HeadMotion, Life, Lighting, NoiseTable, Scene, Script, jpeg_round_trip};
use rand::Rng;

use super::sequence::Sequence;
use crate::augment::generator;

/// Distance of the photograph from the camera in pixels, the focal length included.
const DISTANCE_PX: std::ops::Range<f32> = 700.0..2500.0;
/// Margin between the eyes and each edge of the photograph, in eye distances.
const MARGIN: std::ops::Range<f32> = 1.1..3.2;

/// A photograph before a wall.
pub struct Picture {
    script: Script,
    camera: Camera,
    noise: NoiseTable,
    /// What is on it, as large as a frame.
    print: Vec<f32>,
    /// Left, top, right and bottom edge in pixels of the print.
    edges: [f32; 4],
    /// The point about which it turns.
    middle: Point,
    wall: f32,
    distance_px: f32,
    plane: Vec<f32>,
}

impl Picture {
    /// A photograph of the person of a sequence, whose script has no actions; it moves as the head in the script does, under
    /// the script's light.
    pub fn new(s: &Sequence<'_>) -> Self {
        let rng = &mut generator(s.camera.seed, 0x7069);
        let camera = s.camera;
        let (width, height) = (camera.width as f32, camera.height as f32);
        let ideal = Camera { read_noise: 0.0, shot_noise: 0.0, exposure: 1.0, jpeg_quality: None, ..camera };
        let ideal = Camera { shutter_ms: 0.0, block_skip: 0.0, ..ideal };
        let mut still = s.script.clone();
        (still.head, still.gaze, still.life) = (HeadMotion::STILL, Gaze::STILL, Life::default());
        (still.lighting, still.light_changes) = (Lighting::default(), Vec::new());
        let mut frame = Frame::default();
        Scene::new(s.person, still, ideal).render(0, 0, &mut frame);
        let unit = camera.eye_distance_px;
        let eyes = Point::new(0.5 * width, 0.5 * height - 0.35 * unit);
        let mut margin = || unit * rng.random_range(MARGIN);
        let edges = [
            (eyes.x - margin()).max(0.0),
            (eyes.y - margin()).max(0.0),
            (eyes.x + margin()).min(width - 2.0),
            (eyes.y + margin()).min(height - 2.0),
        ];
        Self {
            script: s.script.clone(),
            camera,
            noise: NoiseTable::new(),
            print: frame.luma.iter().map(|&v| f32::from(v)).collect(),
            edges,
            middle: Point::new(0.5 * (edges[0] + edges[2]), 0.5 * (edges[1] + edges[3])),
            wall: rng.random_range(30.0..220.0),
            distance_px: rng.random_range(DISTANCE_PX),
            plane: Vec::new(),
        }
    }

    /// Films it at a time into `frame`, which keeps its buffer.
    pub fn render(&mut self, seq: u64, at_ns: i64, frame: &mut Frame) {
        let (width, height) = (self.camera.width, self.camera.height);
        let from_frame = self.script.head_at(at_ns, self.middle, self.camera.eye_distance_px).inverse();
        let turned = Turned::new(self.script.turn_at(at_ns), self.distance_px);
        self.plane.clear();
        for k in 0..width * height {
            let p = from_frame.apply(Point::new((k % width) as f32, (k / width) as f32));
            let on = turned.on_plane(Point::new(p.x - self.middle.x, p.y - self.middle.y));
            self.plane.push(self.gray(on.x + self.middle.x, on.y + self.middle.y));
        }
        (frame.seq, frame.at_ns, frame.width, frame.height) = (seq, at_ns, width, height);
        frame.luma.resize(width * height, 0);
        let light = self.script.light_at(at_ns);
        self.noise.expose(&self.camera, seq, light, &self.plane, width, &mut frame.luma);
        if let Some(quality) = self.camera.jpeg_quality {
            jpeg_round_trip(&mut frame.luma, width, height, quality);
        }
    }

    /// Gray level at a point of the print; that of the wall beside it.
    fn gray(&self, x: f32, y: f32) -> f32 {
        let [left, top, right, bottom] = self.edges;
        if !(x >= left && x < right && y >= top && y < bottom) {
            return self.wall;
        }
        let width = self.camera.width;
        let (x0, y0) = (x as usize, y as usize);
        let (fx, fy) = (x - x0 as f32, y - y0 as f32);
        let row = |y: usize| {
            let at = &self.print[y * width + x0..][..2];
            at[0] + fx * (at[1] - at[0])
        };
        row(y0) + fy * (row(y0 + 1) - row(y0))
    }
}

/// A plane through the middle that is turned by yaw and pitch and seen in perspective.
struct Turned {
    /// Rows: x, y and depth of a step along the plane's two axes.
    axes: [[f32; 2]; 3],
    distance: f32,
}

impl Turned {
    fn new([yaw, pitch]: [f32; 2], distance: f32) -> Self {
        let (sy, cy) = yaw.sin_cos();
        let (sp, cp) = pitch.sin_cos();
        Self { axes: [[cy, sy * sp], [0.0, cp], [-sy, cy * sp]], distance }
    }

    /// Coordinates on the plane of what is seen at a point; both from the middle.
    fn on_plane(&self, seen: Point) -> Point {
        // seen.x * (distance + depth) = distance * x, and so for y: two linear equations.
        let [x, y, depth] = self.axes;
        let row = |axis: [f32; 2], seen: f32| {
            [self.distance * axis[0] - seen * depth[0], self.distance * axis[1] - seen * depth[1]]
        };
        let ([a, b], [c, d]) = (row(x, seen.x), row(y, seen.y));
        let (p, q) = (seen.x * self.distance, seen.y * self.distance);
        let determinant = a * d - b * c;
        Point::new((p * d - b * q) / determinant, (a * q - p * c) / determinant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::plan::{self, Content, tests::cast};

    #[test]
    fn a_turned_plane_is_seen_where_perspective_puts_it() {
        let turned = Turned::new([0.2, -0.1], 1000.0);
        for on in [Point::new(80.0, -40.0), Point::new(-100.0, 60.0)] {
            let [x, y, depth] = turned.axes.map(|[u, v]| u * on.x + v * on.y);
            let share = 1000.0 / (1000.0 + depth);
            let back = turned.on_plane(Point::new(share * x, share * y));
            assert!(back.distance(on) < 1e-2, "{back:?} {on:?}");
        }
    }

    #[test]
    fn a_photograph_at_rest_is_what_the_camera_saw() {
        let cast = cast();
        let mut s = plan::sequence(&cast, Content::Still, 1.0, 1, 0);
        s.script.head = HeadMotion::STILL;
        s.script.glasses = None;
        s.camera = Camera { read_noise: 0.0, shot_noise: 0.0, exposure: 1.0, jpeg_quality: None, ..s.camera };
        let (mut seen, mut filmed) = (Frame::default(), Frame::default());
        let mut picture = Picture::new(&s);
        picture.render(0, 0, &mut filmed);
        Scene::new(s.person, s.script.clone(), s.camera).render(0, 0, &mut seen);
        let [left, top, right, bottom] = picture.edges.map(|e| e as usize);
        let mut differs = 0;
        for y in top + 1..bottom {
            for x in left + 1..right {
                let k = y * seen.width + x;
                differs += usize::from(seen.luma[k].abs_diff(filmed.luma[k]) > 1);
            }
        }
        assert_eq!(differs, 0);
        assert_eq!(filmed.luma[0], picture.wall.round() as u8, "the wall is beside it");
    }
}
