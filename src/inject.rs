//! Known movements put into footage: the displacement of the embedded subject's muscles, carried by the face in the picture.
//!
//! A frame is warped where the face moves and nowhere else, so noise, compression, light and the head's own motion stay the
//! camera's. The carrier is made of landmarks alone, smoothed over time to both sides: the registration that the spotter
//! relies on plays no part in it, so a head that is held badly is held badly here too.

use std::collections::VecDeque;

use crate::au::{Side, UNIT_COUNT, unit_indices};
use crate::face::detector::Detector;
use crate::face::landmarks::Landmarker;
use crate::face::{CROP_HEIGHT, CROP_WIDTH, EYE_DISTANCE};
use crate::flow::Flow;
use crate::frame::Frame;
use crate::geometry::{Point, Similarity};
use crate::model::ModelError;
use crate::pipeline::Models;
use crate::synth::{Action, Pack, Profile, Subject, SynthError, displacement};

/// Displacements below this, in frame pixels, leave a pixel as it is.
const LEAST_PX: f32 = 0.01;
/// Standard deviation of the smoothing of the carrier.
const CARRIER_NS: f64 = 60e6;
/// What lies farther from a frame than this plays no part in its place.
const REACH_NS: i64 = (3.0 * CARRIER_NS) as i64;
/// The detector looks for a face again after so many frames without one.
const SEARCH_FRAMES: u32 = 5;

/// Time of a frame, and where the face is in it; `None` where that is not known.
pub type Place = (i64, Option<Similarity>);

/// Where a face is in each frame of a clip, or in the latest frames of a camera.
#[derive(Debug, Clone, Default)]
pub struct Carrier {
    frames: VecDeque<Place>,
}

/// Makes a carrier of frames, one after the other. What it keeps of them does not grow where [`CarrierBuilder::settled`] is
/// asked after each.
pub struct CarrierBuilder {
    detector: Detector,
    landmarker: Landmarker,
    last: Option<Similarity>,
    missed: u32,
    /// As they were found. The first [`Self::done`] are smoothed already, and needed for those after them.
    placed: VecDeque<Place>,
    done: usize,
}

impl CarrierBuilder {
    /// A builder with the networks of the pipeline.
    ///
    /// # Errors
    /// [`ModelError`] where a network cannot be built.
    pub fn new(models: &Models) -> Result<Self, ModelError> {
        Ok(Self {
            detector: Detector::new(&models.detector)?,
            landmarker: Landmarker::new(&models.landmarks)?,
            last: None,
            missed: 0,
            placed: VecDeque::new(),
            done: 0,
        })
    }

    /// Finds the largest face of a frame, near where it was.
    pub fn push(&mut self, frame: &Frame) {
        let guess = match &self.last {
            Some(last) => Some(Landmarker::from_crop(last)),
            None if self.missed.is_multiple_of(SEARCH_FRAMES) => self
                .detector
                .detect(&frame.luma, frame.width, frame.height)
                .iter()
                .max_by(|a, b| a.bounds.area().total_cmp(&b.bounds.area()))
                .map(|d| self.landmarker.from_bounds(d.bounds)),
            None => None,
        };
        let landmarks =
            guess.and_then(|g| self.landmarker.locate(&frame.luma, frame.width, frame.height, &g));
        let least = self.landmarker.min_confidence();
        self.last = landmarks.filter(|l| l.confidence >= least).map(|l| l.crop_to_frame());
        self.missed = if self.last.is_some() { 0 } else { self.missed + 1 };
        self.placed.push_back((frame.at_ns, self.last));
    }

    /// The stream was broken off after the last frame: nothing is carried across.
    pub fn break_off(&mut self) {
        (self.last, self.missed) = (None, 0);
        if let Some(&(at_ns, _)) = self.placed.back() {
            self.placed.push_back((at_ns + 1, None));
        }
    }

    /// The places that no later frame changes any more, smoothed over time; each is told once.
    pub fn settled(&mut self) -> Vec<Place> {
        let newest = self.placed.back().map_or(i64::MIN, |f| f.0);
        self.smoothed(newest.saturating_sub(REACH_NS))
    }

    /// The end: the places that were not told yet.
    pub fn rest(mut self) -> Vec<Place> {
        self.smoothed(i64::MAX)
    }

    /// The carrier of all frames: smoothed over time, and only where a face was found all around.
    pub fn finish(self) -> Carrier {
        let mut carrier = Carrier::default();
        carrier.extend(self.rest());
        carrier
    }

    fn smoothed(&mut self, until_ns: i64) -> Vec<Place> {
        let mut out = Vec::new();
        while let Some(&(at_ns, _)) = self.placed.get(self.done).filter(|f| f.0 <= until_ns) {
            out.push((at_ns, self.smooth(at_ns)));
            self.done += 1;
            while self.placed.front().is_some_and(|f| f.0 < at_ns - REACH_NS) {
                self.placed.pop_front();
                self.done -= 1;
            }
        }
        out
    }

    fn smooth(&self, at: i64) -> Option<Similarity> {
        let (mut weight, mut sum) = (0.0f64, [0.0f64; 4]);
        let from = self.placed.partition_point(|f| f.0 < at - REACH_NS);
        for (t, place) in self.placed.range(from..).take_while(|f| f.0 <= at + REACH_NS) {
            let s = (*place)?;
            let w = (-0.5 * ((t - at) as f64 / CARRIER_NS).powi(2)).exp();
            weight += w;
            for (sum, v) in sum.iter_mut().zip([s.a, s.b, s.tx, s.ty]) {
                *sum += w * f64::from(v);
            }
        }
        let [a, b, tx, ty] = sum.map(|v| (v / weight) as f32);
        Some(Similarity { a, b, tx, ty })
    }
}

impl Extend<Place> for Carrier {
    fn extend<T: IntoIterator<Item = Place>>(&mut self, places: T) {
        self.frames.extend(places);
    }
}

impl Carrier {
    /// Where the face is at a frame's time.
    pub fn at(&self, at_ns: i64) -> Option<Similarity> {
        let i = self.frames.partition_point(|f| f.0 < at_ns);
        self.frames.get(i).filter(|f| f.0 == at_ns)?.1
    }

    /// Forgets the frames before a time.
    pub fn forget(&mut self, before_ns: i64) {
        self.frames.drain(..self.frames.partition_point(|f| f.0 < before_ns));
    }

    /// Greatest speed of the head between two times, in eye distances a second; `None` where a frame has no face.
    pub fn speed(&self, from_ns: i64, to_ns: i64) -> Option<f32> {
        let middle = Point::new(0.5 * CROP_WIDTH as f32, 0.5 * CROP_HEIGHT as f32);
        let mut last: Option<(i64, Point)> = None;
        let mut fastest = 0.0f32;
        let from = self.frames.partition_point(|f| f.0 < from_ns);
        for (at_ns, place) in self.frames.range(from..).take_while(|f| f.0 <= to_ns) {
            let place = (*place)?;
            let point = place.apply(middle);
            if let Some((t, before)) = last {
                let eyes = EYE_DISTANCE * place.scale();
                fastest = fastest.max(point.distance(before) / eyes / ((at_ns - t) as f32 / 1e9).max(1e-3));
            }
            last = Some((*at_ns, point));
        }
        last.map(|_| fastest)
    }

    /// Times of the first and the last frame.
    pub fn span(&self) -> Option<(i64, i64)> {
        Some((self.frames.front()?.0, self.frames.back()?.0))
    }
}

/// A movement that is put into footage.
#[derive(Debug, Clone)]
pub struct Injection {
    /// AUs with their side and their fraction of the full movement.
    pub parts: Vec<(u8, Side, f32)>,
    /// Its course; AU and intensity are those of `parts`.
    pub course: Action,
    /// Displacement at the apex in crop pixels: eyes are 64 apart.
    field: Flow,
    /// Greatest displacement in crop pixels.
    pub peak_px: f32,
}

impl Injection {
    /// The subject whose muscles move: the embedded one, its mean face.
    ///
    /// # Errors
    /// [`SynthError`] where the embedded pack is damaged.
    pub fn subject() -> Result<Subject, SynthError> {
        Ok(Subject::random(Pack::embedded()?, 0))
    }

    /// A movement of a subject's muscles: onset, apex and offset in nanoseconds.
    pub fn new(subject: &Subject, parts: Vec<(u8, Side, f32)>, times_ns: [i64; 3], profile: Profile) -> Self {
        let mut fractions = [0.0f32; UNIT_COUNT];
        for &(au, side, fraction) in &parts {
            unit_indices(au, side).for_each(|k| fractions[k] = (fractions[k] + fraction).min(1.0));
        }
        let field = displacement(subject, &fractions);
        let peak_px = field.u.iter().zip(&field.v).map(|(u, v)| u.hypot(*v)).fold(0.0, f32::max);
        let [onset_ns, apex_ns, offset_ns] = times_ns;
        let course =
            Action { intensity: 1.0, onset_ns, apex_ns, offset_ns, profile, ..Action::micro(12, 1.0, 0) };
        Self { parts, course, field, peak_px }
    }

    /// Warps a frame as the movement stands at its time. `crop_to_frame` is where the face is.
    pub fn apply(&self, frame: &mut Frame, crop_to_frame: &Similarity, spare: &mut Vec<u8>) {
        let strength = self.course.at(frame.at_ns);
        if strength <= 0.0 {
            return;
        }
        spare.clear();
        spare.extend_from_slice(&frame.luma);
        let back = crop_to_frame.inverse();
        let (w, h) = (frame.width, frame.height);
        let corners = [
            (0.0, 0.0),
            (CROP_WIDTH as f32, 0.0),
            (0.0, CROP_HEIGHT as f32),
            (CROP_WIDTH as f32, CROP_HEIGHT as f32),
        ]
        .map(|(x, y)| crop_to_frame.apply(Point::new(x, y)));
        let bounds = |coordinate: fn(&Point) -> f32, most: usize| {
            let least = corners.iter().map(coordinate).fold(f32::MAX, f32::min).floor().max(0.0) as usize;
            let last = corners.iter().map(coordinate).fold(f32::MIN, f32::max).ceil().clamp(0.0, most as f32)
                as usize;
            least.min(last)..last
        };
        for y in bounds(|p| p.y, h) {
            for x in bounds(|p| p.x, w) {
                let here = back.apply(Point::new(x as f32, y as f32));
                // What is seen here came from where its displacement ends here: two steps of a fixed point.
                let first = self.displacement(here, strength);
                let d = self.displacement(Point::new(here.x - first.x, here.y - first.y), strength);
                let from = crop_to_frame.apply(Point::new(here.x - d.x, here.y - d.y));
                if from.distance(Point::new(x as f32, y as f32)) >= LEAST_PX {
                    frame.luma[y * w + x] = cubic(spare, w, h, from);
                }
            }
        }
    }

    /// Displacement of a point of the crop, bilinear; zero outside.
    fn displacement(&self, at: Point, strength: f32) -> Point {
        let (w, h) = (self.field.width, self.field.height);
        let (x, y) = (at.x, at.y);
        if !(0.0..(w - 1) as f32).contains(&x) || !(0.0..(h - 1) as f32).contains(&y) {
            return Point::default();
        }
        let (i, j) = (x as usize, y as usize);
        let (fx, fy) = (x - i as f32, y - j as f32);
        let mix = |plane: &[f32]| {
            let row = |j: usize| plane[j * w + i] * (1.0 - fx) + plane[j * w + i + 1] * fx;
            strength * (row(j) * (1.0 - fy) + row(j + 1) * fy)
        };
        Point::new(mix(&self.field.u), mix(&self.field.v))
    }
}

/// A pixel between pixels (Catmull and Rom 1974); the border repeats.
fn cubic(luma: &[u8], w: usize, h: usize, at: Point) -> u8 {
    let (x, y) = (at.x.floor(), at.y.floor());
    let weights = |t: f32| {
        let (t2, t3) = (t * t, t * t * t);
        [
            -0.5 * t + t2 - 0.5 * t3,
            1.0 - 2.5 * t2 + 1.5 * t3,
            0.5 * t + 2.0 * t2 - 1.5 * t3,
            -0.5 * t2 + 0.5 * t3,
        ]
    };
    let (wx, wy) = (weights(at.x - x), weights(at.y - y));
    let clamp = |v: f32, most: usize| v.clamp(0.0, (most - 1) as f32) as usize;
    let mut sum = 0.0;
    for (j, wy) in wy.iter().enumerate() {
        let row = clamp(y + j as f32 - 1.0, h) * w;
        for (i, wx) in wx.iter().enumerate() {
            sum += wx * wy * f32::from(luma[row + clamp(x + i as f32 - 1.0, w)]);
        }
    }
    (sum + 0.5).clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::{Camera, Scene, Script};

    #[test]
    fn an_injected_smile_moves_the_mouth_as_the_subject_does_and_nothing_else() {
        let at_ns = 1_100_000_000;
        let script = |actions| Script {
            head: crate::synth::HeadMotion::STILL,
            ..Script::new(actions).expect("valid")
        };
        let camera = Camera { read_noise: 0.0, shot_noise: 0.0, eye_distance_px: 64.0, ..Camera::default() };
        let subject = || Injection::subject().expect("pack");
        let mut frame = Frame::default();
        let mut scene = Scene::new(subject(), script(Vec::new()), camera);
        scene.render(0, at_ns, &mut frame);
        let still = frame.luma.clone();
        let truth = scene.truth(at_ns);
        let to_crop = crate::synth::face_to_crop(&subject());
        let crop_to_frame = truth.head.compose(&to_crop.inverse());
        let times = [1_000_000_000, at_ns, 1_300_000_000];
        let smile = Injection::new(&subject(), vec![(12, Side::Both, 0.5)], times, Profile::Cosine);
        smile.apply(&mut frame, &crop_to_frame, &mut Vec::new());
        let mut moved = Frame::default();
        let actions = vec![Action {
            onset_ns: times[0],
            apex_ns: times[1],
            offset_ns: times[2],
            ..Action::micro(12, 0.5, 0)
        }];
        Scene::new(subject(), script(actions), camera).render(0, at_ns, &mut moved);
        let difference =
            |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
        let (left, all) = (difference(&frame.luma, &moved.luma), difference(&still, &moved.luma));
        assert!(2 * left < all && all > 5_000, "{left} of {all}");
        // The wall stays to the last bit.
        assert_eq!(frame.luma[..640 * 40], still[..640 * 40]);
        // Before the onset there is nothing.
        (frame.luma, frame.at_ns) = (still.clone(), times[0]);
        smile.apply(&mut frame, &crop_to_frame, &mut Vec::new());
        assert_eq!(frame.luma, still);
    }

    #[test]
    fn places_that_are_told_one_by_one_are_those_of_the_whole() {
        let mut scene = Scene::new(
            Injection::subject().expect("pack"),
            Script::new(Vec::new()).expect("valid"),
            Camera::default(),
        );
        let models = Models::embedded().expect("models");
        let mut at_once = CarrierBuilder::new(&models).expect("networks");
        let mut live = CarrierBuilder::new(&models).expect("networks");
        let (mut settled, mut most) = (Carrier::default(), 0);
        for seq in 0..40 {
            let frame = scene.frame(seq, 30.0);
            at_once.push(&frame);
            live.push(&frame);
            settled.extend(live.settled());
            most = most.max(live.placed.len());
        }
        // Three standard deviations to both sides, and the frame itself.
        assert!(settled.frames.len() >= 34 && most <= 13, "{} told, {most} kept", settled.frames.len());
        live.break_off();
        settled.extend(live.rest());
        let at_once = at_once.finish();
        assert_eq!(settled.frames.len(), 41);
        assert!(at_once.frames.iter().all(|f| f.1.is_some()));
        for (a, b) in at_once.frames.iter().zip(&settled.frames).take(34) {
            assert_eq!(a, b);
        }
        let lost = settled.frames.iter().filter(|f| f.1.is_none()).count();
        assert_eq!(lost, 7, "nothing is carried across the end of the stream");
        settled.forget(500_000_000);
        assert_eq!(settled.frames.len(), 26);
        assert_eq!(settled.at(500_000_000), at_once.at(500_000_000));
    }
}
