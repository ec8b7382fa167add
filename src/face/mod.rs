//! Find the face, follow it, and hold it still: frame in, stabilised crop out.

pub mod detector;
pub mod landmarks;
pub mod layout;
pub mod patch;
pub mod stabilise;
pub mod track;

use crate::frame::Frame;
use crate::geometry::{Point, Rect};
use crate::kernels::downsample;

use detector::Detector;
use landmarks::{LANDMARK_COUNT, Landmarker, Landmarks};
use patch::Patch;
use track::{Track, Visibility};

/// Columns of the stabilised crop.
pub const CROP_WIDTH: usize = 128;
/// Rows of the stabilised crop: the brows to the chin at the scale of [`EYE_DISTANCE`].
pub const CROP_HEIGHT: usize = 160;
/// Distance between the eye centres in the stabilised crop, in pixels.
pub const EYE_DISTANCE: f32 = 64.0;
/// Centre of the subject's right eye (at the left of the image) in the stabilised crop. An eye
/// centre is the point half way between the corners of that eye.
pub const RIGHT_EYE: Point = Point::new(31.5, 44.0);
/// Centre of the subject's left eye in the stabilised crop.
pub const LEFT_EYE: Point = Point::new(95.5, 44.0);
/// Column of the middle of the face.
pub const MIDDLE_X: f32 = RIGHT_EYE.x + 0.5 * EYE_DISTANCE;
/// The middle of the face.
const MIDDLE: Point = Point::new(MIDDLE_X, 80.0);

/// The detector runs this often while there is room for another track.
const DETECT_NS: i64 = 1_000_000_000;
/// A track is checked by the landmarks this often.
const VERIFY_NS: i64 = 300_000_000;
/// A track that was not seen for this long has ended.
const LOST_NS: i64 = 700_000_000;
/// A face that has ended is remembered for this long: who turned away and comes back is the same person.
const REMEMBER_NS: i64 = 5_000_000_000;
/// It comes back within this many eye distances of where it was,
const NEAR: f32 = 2.0;
/// at a size within this factor of it,
const ALIKE_SIZE: f32 = 1.4;
/// and looks like it at least so much ([`likeness`]): hardly any two portraits of different people do (`evaluate faces`).
pub const ALIKE: f32 = 0.75;
/// Within this time after it was last seen nobody else takes its place: there it need not look like itself, which a head
/// that turned away with another expression does not.
const SOON_NS: i64 = 1_500_000_000;
/// That place: so many eye distances around.
const SAME_PLACE: f32 = 0.5;
/// A face that disagrees with its reference for this long is taken anew.
const TURNED_NS: i64 = 400_000_000;
/// Landmarks that lie further from the registration than this share of the eye distance contradict it.
const CONTRADICTION: f32 = 0.16;
/// Contradictions or doubts in a row before a track is taken anew or given up.
const PATIENCE: u32 = 3;

/// A track, what the last frame said of it, and what the landmarks said.
pub struct Follower {
    /// The track.
    pub track: Track,
    /// What the last frame said.
    pub visibility: Visibility,
    /// The landmarks that were found last, in crop pixels: they move along with the registration.
    landmarks: [Point; LANDMARK_COUNT],
    verified_ns: i64,
    doubts: u32,
    contradictions: u32,
}

impl Follower {
    /// The 68 landmarks in frame pixels. They are found every 300 ms, and follow the registration in between.
    pub fn landmarks(&self) -> [Point; LANDMARK_COUNT] {
        self.landmarks.map(|p| self.track.crop_to_frame.apply(p))
    }

    fn keep(&mut self, landmarks: &Landmarks) {
        let to_crop = self.track.crop_to_frame.inverse();
        self.landmarks = landmarks.points.map(|p| to_crop.apply(p));
    }
}

/// Finds and follows the faces of a stream.
pub struct FaceStage {
    detector: Detector,
    landmarker: Landmarker,
    patch: Patch,
    followers: Vec<Follower>,
    /// Tracks that have ended, the last one last.
    ended: Vec<Track>,
    max_tracks: usize,
    next_id: u32,
    detected_ns: Option<i64>,
    candidates: Vec<Rect>,
}

impl FaceStage {
    /// A stage that follows up to `max_tracks` faces, the largest first.
    pub fn new(detector: Detector, landmarker: Landmarker, max_tracks: usize) -> Self {
        Self {
            detector,
            landmarker,
            patch: Patch::default(),
            followers: Vec::new(),
            ended: Vec::new(),
            max_tracks: max_tracks.max(1),
            next_id: 1,
            detected_ns: None,
            candidates: Vec::new(),
        }
    }

    /// The faces that are followed.
    pub fn followers(&mut self) -> &mut [Follower] {
        &mut self.followers
    }

    /// The faces that are followed, to look at.
    pub fn seen(&self) -> &[Follower] {
        &self.followers
    }

    /// Ends every track: the stream is interrupted.
    pub fn reset(&mut self) {
        self.followers.clear();
        self.ended.clear();
        self.detected_ns = None;
    }

    /// Follows every face into `frame`, and looks for new ones when it is time. Returns whether the
    /// detector ran.
    pub fn push(&mut self, frame: &Frame) -> bool {
        for i in 0..self.followers.len() {
            self.follow(i, frame);
        }
        let gone = |f: &mut Follower| frame.at_ns - f.track.seen_ns >= LOST_NS || f.doubts >= PATIENCE;
        self.ended.extend(self.followers.extract_if(.., gone).map(|f| f.track));
        self.ended.retain(|t| (0..REMEMBER_NS).contains(&(frame.at_ns - t.seen_ns)));
        let waited = self.detected_ns.is_none_or(|t| frame.at_ns - t >= DETECT_NS || frame.at_ns < t);
        let lost = self.followers.is_empty();
        // A frame without any face is searched at a tenth of the interval: at once for a person who
        // comes, and cheap for an empty room.
        let due = self.detected_ns.is_none_or(|t| frame.at_ns - t >= DETECT_NS / 10 || frame.at_ns < t);
        let search = (lost && due) || (waited && self.followers.len() < self.max_tracks);
        if search {
            self.detect(frame);
        }
        search
    }

    fn follow(&mut self, i: usize, frame: &Frame) {
        let Self { patch, landmarker, followers, .. } = self;
        let f = &mut followers[i];
        f.visibility = f.track.follow(frame, patch);
        let missed = f.visibility == Visibility::Missed;
        if !missed && frame.at_ns - f.verified_ns < VERIFY_NS {
            return;
        }
        f.verified_ns = frame.at_ns;
        let guess = Landmarker::from_crop(&f.track.crop_to_frame);
        let located = landmarker.locate(&frame.luma, frame.width, frame.height, &guess);
        let Some(located) = located.filter(|l| l.confidence >= landmarker.min_confidence()) else {
            f.doubts += u32::from(!missed);
            return;
        };
        f.doubts = 0;
        let aligned = located.crop_to_frame();
        if missed {
            // The head jumped: registration starts anew from the landmarks.
            if f.track.follow_from(frame, aligned, patch) != Visibility::Missed {
                f.visibility = Visibility::Moving;
                f.keep(&located);
            }
            return;
        }
        let apart = aligned.apply(MIDDLE).distance(f.track.crop_to_frame.apply(MIDDLE));
        let contradicts = apart > CONTRADICTION * f.track.eye_distance_px();
        f.contradictions = if contradicts { f.contradictions + 1 } else { 0 };
        let turned = f.track.turned_since_ns.is_some_and(|t| frame.at_ns - t > TURNED_NS);
        if (turned || f.contradictions >= PATIENCE) && f.track.anchor(frame, aligned, patch) {
            f.contradictions = 0;
            f.visibility = Visibility::Moving;
        }
        f.keep(&located);
    }

    fn detect(&mut self, frame: &Frame) {
        self.detected_ns = Some(frame.at_ns);
        let Self { detector, landmarker, patch, followers, ended, candidates, .. } = self;
        candidates.clear();
        candidates.extend(detector.detect(&frame.luma, frame.width, frame.height).iter().map(|d| d.bounds));
        candidates.sort_unstable_by(|a, b| b.area().total_cmp(&a.area()));
        for bounds in candidates.iter().copied() {
            if followers.len() >= self.max_tracks {
                break;
            }
            if followers.iter().any(|f| f.track.bounds().iou(bounds) > 0.2) {
                continue;
            }
            let guess = landmarker.from_bounds(bounds);
            let located = landmarker.locate(&frame.luma, frame.width, frame.height, &guess);
            let Some(located) = located.filter(|l| l.confidence >= landmarker.min_confidence()) else {
                continue;
            };
            if let Some(mut track) = Track::start(self.next_id, frame, located.crop_to_frame(), patch) {
                match ended.iter().rposition(|t| came_back(t, &track)) {
                    Some(at) => {
                        let before = ended.remove(at);
                        (track.id, track.born_ns) = (before.id, before.born_ns);
                    }
                    None => self.next_id += 1,
                }
                let mut follower = Follower {
                    track,
                    visibility: Visibility::Moving,
                    landmarks: located.points,
                    verified_ns: frame.at_ns,
                    doubts: 0,
                    contradictions: 0,
                };
                follower.keep(&located);
                followers.push(follower);
            }
        }
    }
}

/// Whether the person of a track that has ended is the one of a track that begins.
fn came_back(ended: &Track, new: &Track) -> bool {
    let apart = ended.crop_to_frame.apply(MIDDLE).distance(new.crop_to_frame.apply(MIDDLE));
    let zoom = ended.eye_distance_px() / new.eye_distance_px();
    let soon = new.seen_ns - ended.seen_ns < SOON_NS && apart < SAME_PLACE * ended.eye_distance_px();
    apart < NEAR * ended.eye_distance_px()
        && (1.0 / ALIKE_SIZE..ALIKE_SIZE).contains(&zoom)
        && (soon || likeness(&ended.neutral, &new.crop) >= ALIKE)
}

/// Columns and rows of the cells that [`likeness`] compares: 8 x 8 crop pixels each.
const CELLS: (usize, usize) = (CROP_WIDTH / 8, CROP_HEIGHT / 8);

/// How alike two stabilised crops are, -1 to 1: the correlation of the slopes of the logarithm of brightness from cell to
/// cell, which light and exposure do not change.
pub fn likeness(a: &[f32], b: &[f32]) -> f32 {
    let slopes = |crop: &[f32]| {
        let (mut half, mut quarter) = (vec![0.0; crop.len() / 4], vec![0.0; crop.len() / 16]);
        let mut cells = vec![0.0; CELLS.0 * CELLS.1];
        downsample(crop, CROP_WIDTH, &mut half);
        downsample(&half, CROP_WIDTH / 2, &mut quarter);
        downsample(&quarter, CROP_WIDTH / 4, &mut cells);
        let log = |x: usize, y: usize| (cells[y * CELLS.0 + x] + 16.0).ln();
        // The outermost cells are hair, collar and wall.
        let inner = (1..CELLS.1 - 2).flat_map(|y| (1..CELLS.0 - 2).map(move |x| (x, y)));
        inner.flat_map(|(x, y)| [log(x + 1, y) - log(x, y), log(x, y + 1) - log(x, y)]).collect::<Vec<f32>>()
    };
    let (a, b) = (slopes(a), slopes(b));
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Models;
    use crate::synth::{Camera, Pack, Scene, Script, Subject};

    const FRAME_NS: i64 = 50_000_000;

    /// Ids given to a person who is there for a second, to the one who is there `away_ns` later, and the likeness of both.
    fn ids(first: u64, second: u64, away_ns: i64) -> (u32, u32, f32) {
        let models = Models::embedded().expect("models");
        let (detector, landmarker) = (
            Detector::new(&models.detector).expect("detector"),
            Landmarker::new(&models.landmarks).expect("landmarks"),
        );
        let mut stage = FaceStage::new(detector, landmarker, 1);
        let (mut frame, mut seen, mut at_ns) = (Frame::default(), Vec::new(), 0);
        for person in [first, second] {
            let subject = Subject::random(Pack::embedded().expect("pack"), person);
            let camera = Camera { seed: person + at_ns as u64, ..Camera::default() };
            let mut scene = Scene::new(subject, Script::new(Vec::new()).expect("valid"), camera);
            for _ in 0..20 {
                at_ns += FRAME_NS;
                scene.render((at_ns / FRAME_NS) as u64, at_ns, &mut frame);
                stage.push(&frame);
            }
            let track = &stage.followers().first().expect("a face").track;
            seen.push((track.id, track.neutral.clone()));
            frame.luma.fill(90);
            for _ in 0..away_ns / FRAME_NS {
                at_ns += FRAME_NS;
                (frame.at_ns, frame.seq) = (at_ns, frame.seq + 1);
                stage.push(&frame);
            }
            assert!(stage.followers().is_empty());
        }
        (seen[0].0, seen[1].0, likeness(&seen[0].1, &seen[1].1))
    }

    #[test]
    fn who_turns_away_and_comes_back_keeps_the_id() {
        let (first, again, alike) = ids(31, 31, 2_000_000_000);
        assert!(first == again && alike > 0.9, "{alike}");
        let (first, later, _) = ids(31, 31, REMEMBER_NS + 100_000_000);
        assert_ne!(first, later, "forgotten");
        // In less time than a change of people takes, the place is enough.
        let (first, again, alike) = ids(31, 41, 1_000_000_000);
        assert!(first == again && alike < ALIKE, "{alike}");
    }

    #[test]
    fn another_person_in_the_same_place_gets_an_id() {
        let mut others = 0;
        // Rendered people share an average skin and are more alike than photographs are.
        for other in 40..44 {
            let (first, second, alike) = ids(31, other, 2_000_000_000);
            assert!(alike < 0.9, "person {other}: {alike}");
            others += u32::from(first != second);
        }
        assert!(others >= 2, "{others} of 4");
    }
}
