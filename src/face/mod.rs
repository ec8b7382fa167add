//! Find the face, follow it, and hold it still: frame in, stabilised crop out.

pub mod detector;
pub mod landmarks;
pub mod layout;
pub mod patch;
pub mod stabilise;
pub mod track;

use crate::frame::Frame;
use crate::geometry::{Point, Rect};

use detector::Detector;
use landmarks::Landmarker;
use patch::Patch;
use track::{Sight, Track};

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

/// The detector runs this often while there is room for another track.
const DETECT_NS: i64 = 1_000_000_000;
/// A track is checked by the landmarks this often.
const VERIFY_NS: i64 = 300_000_000;
/// A track that was not seen for this long has ended.
const LOST_NS: i64 = 700_000_000;
/// A face that disagrees with its reference for this long is taken anew.
const TURNED_NS: i64 = 800_000_000;
/// Landmarks that lie further from the registration than this share of the eye distance contradict it.
const CONTRADICTION: f32 = 0.16;
/// Contradictions or doubts in a row before a track is taken anew or given up.
const PATIENCE: u32 = 3;

/// A track, what the last frame said of it, and what the landmarks said.
pub struct Follower {
    /// The track.
    pub track: Track,
    /// What the last frame said.
    pub sight: Sight,
    verified_ns: i64,
    doubts: u32,
    contradictions: u32,
}

/// Finds and follows the faces of a stream.
pub struct FaceStage {
    detector: Detector,
    landmarker: Landmarker,
    patch: Patch,
    followers: Vec<Follower>,
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
        self.detected_ns = None;
    }

    /// Follows every face into `frame`, and looks for new ones when it is time. Returns whether the
    /// detector ran.
    pub fn push(&mut self, frame: &Frame) -> bool {
        for i in 0..self.followers.len() {
            self.follow(i, frame);
        }
        self.followers.retain(|f| frame.at_ns - f.track.seen_ns < LOST_NS && f.doubts < PATIENCE);
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
        f.sight = f.track.follow(frame, patch);
        let missed = f.sight == Sight::Missed;
        if !missed && frame.at_ns - f.verified_ns < VERIFY_NS {
            return;
        }
        f.verified_ns = frame.at_ns;
        let guess = Landmarker::from_crop(&f.track.crop_to_frame);
        let found = landmarker.locate(&frame.luma, frame.width, frame.height, &guess);
        let Some(found) = found.filter(|l| l.confidence >= landmarker.min_confidence()) else {
            f.doubts += u32::from(!missed);
            return;
        };
        f.doubts = 0;
        let aligned = found.crop_to_frame();
        if missed {
            // The head jumped: registration starts anew from the landmarks.
            if f.track.follow_from(frame, aligned, patch) != Sight::Missed {
                f.sight = Sight::Moving;
            }
            return;
        }
        let middle = Point::new(63.5, 80.0);
        let apart = aligned.apply(middle).distance(f.track.crop_to_frame.apply(middle));
        let contradicts = apart > CONTRADICTION * f.track.eye_distance_px();
        f.contradictions = if contradicts { f.contradictions + 1 } else { 0 };
        let turned = f.track.turned_since_ns.is_some_and(|t| frame.at_ns - t > TURNED_NS);
        if (turned || f.contradictions >= PATIENCE) && f.track.anchor(frame, aligned, patch) {
            f.contradictions = 0;
            f.sight = Sight::Moving;
        }
    }

    fn detect(&mut self, frame: &Frame) {
        self.detected_ns = Some(frame.at_ns);
        let Self { detector, landmarker, patch, followers, candidates, .. } = self;
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
            let found = landmarker.locate(&frame.luma, frame.width, frame.height, &guess);
            let Some(found) = found.filter(|l| l.confidence >= landmarker.min_confidence()) else { continue };
            if let Some(track) = Track::start(self.next_id, frame, found.crop_to_frame(), patch) {
                self.next_id += 1;
                followers.push(Follower {
                    track,
                    sight: Sight::Moving,
                    verified_ns: frame.at_ns,
                    doubts: 0,
                    contradictions: 0,
                });
            }
        }
    }
}
