//! One face over time: its position to a fraction of a pixel, its neutral reference, its quality.

use crate::face::patch::Patch;
use crate::face::stabilise::Stabiliser;
use crate::face::{CROP_HEIGHT, CROP_WIDTH, LEFT_EYE, MIDDLE_X, RIGHT_EYE};
use crate::frame::Frame;
use crate::geometry::{Point, Rect, Similarity};
use crate::kernels;

/// Agreement under which a registration is a failure.
const LOST_AGREEMENT: f32 = 0.35;
/// Agreement under which the face is turned or covered too far for its skin to be measured.
const STEADY_AGREEMENT: f32 = 0.72;
/// Agreement under which the reference no longer shows the face as it stands now.
const WORN_AGREEMENT: f32 = 0.82;
/// A face that moves by more than this share of its eye distance from one frame to the next is blurred
/// and badly predicted: `Moving`.
const FAST_SHARE: f32 = 0.14;
/// Turn or zoom from one frame to the next, in radians or as a factor, that counts as `Moving`.
const FAST_TURN: f32 = 0.035;
/// Time constant with which the neutral reference follows a quiet face.
const NEUTRAL_SECONDS: f32 = 8.0;
/// The reference is a plain mean until it has seen this much of a quiet face.
const NEUTRAL_START_SECONDS: f32 = 0.4;
/// How often the registration is prepared anew from the mean that has moved.
const REFRESH_NS: i64 = 500_000_000;

/// What one frame said of a track.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Visibility {
    /// Registered, and steady enough to measure skin.
    Steady,
    /// Registered, but moving too fast or turned too far.
    Moving,
    /// Not found in this frame.
    Missed,
}

/// A face that is followed.
pub struct Track {
    /// Unique in this run: a person who comes back within seconds keeps it, nobody else gets it.
    pub id: u32,
    /// Time of the first frame of that person.
    pub born_ns: i64,
    /// Crop coordinates to frame coordinates.
    pub crop_to_frame: Similarity,
    /// Head motion against the previous frame, in frame pixels: the mean over the corners of the face.
    pub motion_px: f32,
    /// 0 to 1: the share of the rigid parts' contrast that registration explains.
    pub quality: f32,
    /// The stabilised crop, [`CROP_WIDTH`] x [`CROP_HEIGHT`].
    pub crop: Vec<f32>,
    /// Mean of the crops of a quiet face: the neutral reference of registration and of flow.
    pub neutral: Vec<f32>,
    /// Counts the references that were prepared: flow prepares its own when it changes.
    pub neutral_version: u64,
    /// Counts how often the crop was placed anew: what was measured against another placing does not fit it.
    pub placed: u64,
    /// Consecutive frames without the face.
    pub missed: u32,
    /// Time of the last registered frame.
    pub seen_ns: i64,
    /// Time since which the face disagrees with its reference, though it is there.
    pub turned_since_ns: Option<i64>,
    /// Time since which the reference is worn.
    worn_since_ns: Option<i64>,
    velocity: Point,
    quiet_s: f32,
    /// When the reference was taken that has moved since.
    taken_ns: i64,
    refreshed_ns: i64,
    stabiliser: Stabiliser,
}

impl Track {
    /// Starts a track at an alignment given by landmarks. `None` when the face lies outside the frame.
    pub fn start(id: u32, frame: &Frame, crop_to_frame: Similarity, patch: &mut Patch) -> Option<Self> {
        let n = CROP_WIDTH * CROP_HEIGHT;
        let mut track = Self {
            id,
            born_ns: frame.at_ns,
            crop_to_frame,
            motion_px: 0.0,
            quality: 1.0,
            crop: vec![0.0; n],
            neutral: vec![0.0; n],
            neutral_version: 0,
            placed: 0,
            missed: 0,
            seen_ns: frame.at_ns,
            turned_since_ns: None,
            worn_since_ns: None,
            velocity: Point::default(),
            quiet_s: 0.0,
            taken_ns: frame.at_ns,
            refreshed_ns: frame.at_ns,
            stabiliser: Stabiliser::new(),
        };
        track.anchor(frame, crop_to_frame, patch).then_some(track)
    }

    /// Takes the face at `crop_to_frame` as the new reference. False when it lies outside the frame. A face that was known is
    /// measured from the next frame on.
    pub fn anchor(&mut self, frame: &Frame, crop_to_frame: Similarity, patch: &mut Patch) -> bool {
        if !patch.load(frame, &crop_to_frame) {
            return false;
        }
        patch.sample(&crop_to_frame, 1.0, &mut self.crop, CROP_WIDTH);
        self.neutral.copy_from_slice(&self.crop);
        self.crop_to_frame = crop_to_frame;
        self.placed += 1;
        self.velocity = Point::default();
        self.quiet_s = if self.has_neutral() { NEUTRAL_START_SECONDS } else { 0.0 };
        self.quality = 1.0;
        self.missed = 0;
        self.seen_ns = frame.at_ns;
        self.taken_ns = frame.at_ns;
        (self.turned_since_ns, self.worn_since_ns) = (None, None);
        self.refresh(frame.at_ns);
        true
    }

    /// Follows the face into `frame`, from where it is expected.
    pub fn follow(&mut self, frame: &Frame, patch: &mut Patch) -> Visibility {
        let mut expected = self.crop_to_frame;
        expected.tx += self.velocity.x;
        expected.ty += self.velocity.y;
        let sight = self.follow_from(frame, expected, patch);
        if sight != Visibility::Missed || self.velocity == Point::default() {
            return sight;
        }
        // A head that stopped: try where it was.
        self.velocity = Point::default();
        self.missed -= 1;
        let here = self.crop_to_frame;
        self.follow_from(frame, here, patch)
    }

    /// Follows the face into `frame` from a given alignment.
    pub fn follow_from(&mut self, frame: &Frame, expected: Similarity, patch: &mut Patch) -> Visibility {
        let before = self.crop_to_frame;
        let registration = patch.load(frame, &expected).then(|| self.stabiliser.register(patch, expected));
        let registration = registration.filter(|r| {
            let zoom = r.crop_to_frame.scale() / before.scale();
            r.agreement >= LOST_AGREEMENT && r.gain > 0.25 && r.gain < 4.0 && (0.7..1.4).contains(&zoom)
        });
        let Some(registration) = registration else {
            self.missed += 1;
            return Visibility::Missed;
        };
        let now = registration.crop_to_frame;
        patch.sample(&now, 1.0, &mut self.crop, CROP_WIDTH);
        let steps = self.missed as f32 + 1.0;
        let (moved, drift) = motion(&before, &now);
        self.motion_px = moved / steps;
        self.velocity = Point::new(drift.x / steps, drift.y / steps);
        self.quality = registration.agreement;
        self.crop_to_frame = now;
        self.missed = 0;
        self.seen_ns = frame.at_ns;
        let turn = (now.angle() - before.angle()).abs().max((now.scale() / before.scale()).ln().abs());
        let fast = self.motion_px > FAST_SHARE * self.eye_distance_px() || turn / steps > FAST_TURN;
        let turned = registration.agreement < STEADY_AGREEMENT;
        self.turned_since_ns = turned.then(|| self.turned_since_ns.unwrap_or(frame.at_ns));
        let worn = registration.agreement < WORN_AGREEMENT;
        self.worn_since_ns = worn.then(|| self.worn_since_ns.unwrap_or(frame.at_ns));
        if fast || turned { Visibility::Moving } else { Visibility::Steady }
    }

    /// Lets the neutral reference follow a face that is quiet. `dt_s` is the time since the last frame.
    pub fn absorb(&mut self, at_ns: i64, dt_s: f32) {
        let dt_s = dt_s.clamp(0.0, 0.2);
        self.quiet_s += dt_s;
        // A plain mean first, then an exponential one; both move by dt over the time averaged.
        let horizon = if self.quiet_s < NEUTRAL_START_SECONDS { self.quiet_s + dt_s } else { self.quiet_s };
        let rate = (dt_s / horizon.clamp(dt_s.max(1e-3), NEUTRAL_SECONDS)).min(1.0);
        kernels::blend(&mut self.neutral, &self.crop, rate);
        let young = self.quiet_s < 2.0;
        if at_ns - self.refreshed_ns >= if young { REFRESH_NS / 5 } else { REFRESH_NS } {
            self.refresh(at_ns);
        }
    }

    /// Takes the present face as neutral, now.
    pub fn calibrate(&mut self, at_ns: i64) {
        self.neutral.copy_from_slice(&self.crop);
        self.quiet_s = 0.0;
        self.refresh(at_ns);
    }

    /// Whether the face has stood otherwise than its reference for so long: a head that turns slowly.
    pub fn is_worn(&self, at_ns: i64, least_ns: i64) -> bool {
        self.worn_since_ns.is_some_and(|since| at_ns - since >= least_ns)
            && at_ns - self.taken_ns >= REFRESH_NS
    }

    /// Takes the present face as neutral and goes on measuring: it stands otherwise than before, and is known.
    pub fn rebase(&mut self, at_ns: i64) {
        self.neutral.copy_from_slice(&self.crop);
        self.know(at_ns);
    }

    /// Takes a neutral face of this placing of the crop as the reference again.
    pub fn restore(&mut self, neutral: &[f32], at_ns: i64) {
        self.neutral.copy_from_slice(neutral);
        self.know(at_ns);
    }

    /// The reference is another one, and trusted from the start.
    fn know(&mut self, at_ns: i64) {
        self.quiet_s = NEUTRAL_START_SECONDS;
        (self.taken_ns, self.worn_since_ns) = (at_ns, None);
        self.refresh(at_ns);
    }

    fn refresh(&mut self, at_ns: i64) {
        self.stabiliser.set_reference(&self.neutral);
        self.neutral_version += 1;
        self.refreshed_ns = at_ns;
    }

    /// Whether the neutral reference has seen enough of a quiet face to be trusted.
    pub fn has_neutral(&self) -> bool {
        self.quiet_s >= NEUTRAL_START_SECONDS
    }

    /// Distance between the eye centres in frame pixels.
    pub fn eye_distance_px(&self) -> f32 {
        RIGHT_EYE.distance(LEFT_EYE) * self.crop_to_frame.scale()
    }

    /// Upright box around the face, brows to chin, in frame pixels.
    pub fn bounds(&self) -> Rect {
        let scale = self.crop_to_frame.scale();
        let center = self.crop_to_frame.apply(Point::new(MIDDLE_X, 82.0));
        let (w, h) = (116.0 * scale, 148.0 * scale);
        Rect { x: center.x - 0.5 * w, y: center.y - 0.5 * h, w, h }
    }
}

/// Mean displacement of the corners of the face, and that of its centre.
fn motion(before: &Similarity, now: &Similarity) -> (f32, Point) {
    let moved = |x: f32, y: f32| {
        let (a, b) = (before.apply(Point::new(x, y)), now.apply(Point::new(x, y)));
        Point::new(b.x - a.x, b.y - a.y)
    };
    let corners = [(20.0, 20.0), (107.0, 20.0), (20.0, 130.0), (107.0, 130.0)];
    let mean = corners.iter().map(|&(x, y)| moved(x, y)).map(|d| d.x.hypot(d.y)).sum::<f32>() / 4.0;
    // The velocity is applied to the translation alone, so it is that of the crop's origin.
    (mean, moved(0.0, 0.0))
}
