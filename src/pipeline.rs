//! The whole chain: frame in, [`Step`] out.
//!
//! ```
//! use glint::pipeline::{Models, Options, Pipeline, Purpose, Step};
//! use glint::synth::{Action, Camera, Pack, Scene, Script, Subject};
//!
//! let smile = Action::micro(12, 0.3, 2_000_000_000);
//! let mut scene = Scene::new(Subject::random(Pack::embedded()?, 1), Script::new(vec![smile])?, Camera::default());
//! let options = Options { purpose: Some(Purpose::Demonstration), ..Options::default() };
//! let mut pipeline = Pipeline::new(options, &Models::embedded()?)?;
//! let mut movements = Vec::new();
//! for seq in 0..300 {
//!     if let Step::Event(movement) = pipeline.push(&scene.frame(seq, 100.0)) {
//!         movements.push(movement);
//!     }
//! }
//! assert_eq!(movements.len(), 1);
//! assert_eq!(movements[0].aus[0].au, 12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod counters;
mod models;
mod options;
mod reading;
mod readings;
mod step;
mod timing;
mod tracked;

pub use counters::Counters;
use counters::count;
pub use models::Models;
pub use options::{Options, PipelineError, Purpose};
pub use reading::FaceReading;
pub use readings::readings;
pub use step::{Observation, Stage, Step};
use timing::{Arrival, FrameTiming};
pub use timing::{GOOD_FPS, MIN_FPS};
use tracked::TrackedFace;

use std::collections::VecDeque;

use crate::au::{AU_COUNT, UNIT_COUNT};
use crate::event::{Kind, Movement};
use crate::face::detector::Detector;
use crate::face::landmarks::{LANDMARK_COUNT, Landmarker};
use crate::face::track::Visibility;
use crate::face::{CROP_HEIGHT, CROP_WIDTH, FaceStage, Follower};
use crate::flow::{FlowEngine, FlowSettings};
use crate::frame::Frame;
use crate::geometry::{Point, Similarity};
use crate::intensity::{AuNet, by_au, presentable};
use crate::spot::{Candidate, Judge, Rejection, Sample};
use crate::student::{self, Student};

/// Mean luma of a face under which it is too dark.
pub const DARK_LUMA: f32 = 45.0;

/// The chain with all its state.
pub struct Pipeline {
    options: Options,
    thresholds: [f32; UNIT_COUNT],
    faces: FaceStage,
    net: AuNet,
    judge: Judge,
    student: Student,
    pair: FlowEngine,
    onset: Vec<f32>,
    apex: Vec<f32>,
    tracked: Vec<TrackedFace>,
    waiting: VecDeque<Movement>,
    concluded: Vec<(u32, Candidate)>,
    observation: Observation,
    counters: Counters,
    size: (usize, usize),
    timing: FrameTiming,
    /// What the last new picture meant, without its event.
    standing: Step,
    model: String,
}

/// The student's input, 3 x 28 x 28, from a pair of stabilised crops of [`CROP_WIDTH`] x [`CROP_HEIGHT`]: trainer and daemon make
/// it by this function or by its parts.
pub fn sample(engine: &mut FlowEngine, onset: &[f32], apex: &[f32]) -> Vec<f32> {
    engine.set_reference(onset);
    student::prepare(engine.run(apex))
}

/// The flow engine that [`sample`] wants.
pub fn pair_engine() -> FlowEngine {
    FlowEngine::new(CROP_WIDTH, CROP_HEIGHT, FlowSettings::FINE)
}

impl Pipeline {
    /// Builds the chain.
    ///
    /// # Errors
    /// [`PipelineError`] on options out of range and on models that cannot be built.
    pub fn new(options: Options, models: &Models) -> Result<Self, PipelineError> {
        let thresholds = options.thresholds.as_ref().unwrap_or(&models.au.spec.thresholds);
        let thresholds = thresholds.by_unit().map_err(PipelineError::Thresholds)?;
        let student = Student::new(&models.student)?;
        let n = CROP_WIDTH * CROP_HEIGHT;
        Ok(Self {
            thresholds,
            faces: FaceStage::new(
                Detector::new(&models.detector)?,
                Landmarker::new(&models.landmarks)?,
                options.max_tracks,
            ),
            net: AuNet::from_file(&models.au)?,
            judge: Judge::from_file(&models.judge)?,
            model: format!("sha256:{}", student.sha256()),
            student,
            pair: pair_engine(),
            onset: vec![0.0; n],
            apex: vec![0.0; n],
            tracked: Vec::new(),
            waiting: VecDeque::new(),
            concluded: Vec::new(),
            observation: Observation::default(),
            counters: Counters::default(),
            size: (0, 0),
            timing: FrameTiming::default(),
            standing: Step::NoFace,
            options,
        })
    }

    /// What was measured in the last frame.
    pub fn observation(&self) -> &Observation {
        &self.observation
    }

    /// The stabilised crop of the face that [`Pipeline::observation`] speaks of, [`CROP_WIDTH`] x [`CROP_HEIGHT`] of luma row by row,
    /// and the transform from crop to frame coordinates; `None` without a face.
    pub fn stabilised(&self) -> Option<(&[f32], Similarity)> {
        self.observation.bounds?;
        let follower = self.faces.seen().iter().find(|f| f.track.id == self.observation.track)?;
        Some((&follower.track.crop, follower.track.crop_to_frame))
    }

    /// The crop of a face that was taken nearest to a time of the last two seconds, and when: [`CROP_WIDTH`] x
    /// [`CROP_HEIGHT`] of luma, row by row. `None` where that track has ended or was not measured yet.
    pub fn crop_near(&self, track: u32, at_ns: i64) -> Option<(i64, &[u8])> {
        self.tracked.iter().find(|s| s.track == track)?.crop_near(at_ns)
    }

    /// The 68 landmarks of the face that [`Pipeline::observation`] speaks of, in frame pixels, in the order of
    /// [`face::landmarks`](crate::face::landmarks); `None` without a face.
    pub fn landmarks(&self) -> Option<[Point; LANDMARK_COUNT]> {
        self.observation.bounds?;
        self.faces.seen().iter().find(|f| f.track.id == self.observation.track).map(Follower::landmarks)
    }

    /// What the spotter was given of the face that [`Pipeline::observation`] speaks of in the last frame; `None` where it
    /// could not be measured. For the trainer of the judge.
    pub fn sample(&self) -> Option<&Sample> {
        let at_ns = self.timing.last_ns()?;
        let face = self.tracked.iter().find(|s| s.track == self.observation.track)?;
        face.sample.as_ref().filter(|s| s.at_ns == at_ns)
    }

    /// Intensity of each unit of [`UNITS`](crate::au::UNITS) in the last frame, 0 to 5, of the face that [`Pipeline::observation`] speaks of;
    /// `None` while it cannot be measured.
    pub fn intensities(&self) -> Option<&[f32; UNIT_COUNT]> {
        self.observation.intensities?;
        self.tracked.iter().find(|s| s.track == self.observation.track).map(|s| &s.intensities)
    }

    /// Candidates that were concluded with the last frame, published or not, each with its track.
    pub fn concluded(&self) -> &[(u32, Candidate)] {
        &self.concluded
    }

    /// Running counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes the present face of every track as neutral.
    pub fn calibrate(&mut self) {
        let at_ns = self.timing.last_ns().unwrap_or(0);
        self.faces.followers().iter_mut().for_each(|f| f.track.calibrate(at_ns));
        for s in &mut self.tracked {
            s.spotter.interrupt(at_ns, Rejection::HeadMotion);
            s.is_misplaced = true;
        }
    }

    /// Forgets every face: the camera was paused, changed or opened anew. A movement that was under way counts as rejected
    /// by timing.
    pub fn reset(&mut self) {
        self.timing.reset();
        self.forget_faces();
    }

    fn forget_faces(&mut self) {
        let under_way = self.tracked.iter().filter(|s| s.spotter.is_active() || s.gate.is_open());
        self.counters.rejected_timing += under_way.count() as u64;
        self.faces.reset();
        self.tracked.clear();
    }

    /// The end of a clip: movements that are complete, one after the other; call until `None`.
    pub fn finish(&mut self) -> Option<Movement> {
        self.concluded.clear();
        for at in 0..self.tracked.len() {
            while self.waiting.is_empty() {
                let Self { tracked, judge, .. } = self;
                let TrackedFace { spotter, gate, .. } = &mut tracked[at];
                let Some(candidate) = spotter.finish(gate, judge) else { break };
                self.take(at, candidate);
            }
        }
        self.waiting.pop_front()
    }

    /// A frame that could not be decoded.
    pub fn gap(&mut self, seq: u64, at_ns: i64) -> Step {
        self.counters.frames += 1;
        self.counters.gaps += 1;
        self.timing.gap(seq, at_ns);
        self.tracked.iter_mut().for_each(|s| s.spotter.interrupt(at_ns, Rejection::Timing));
        self.concluded.clear();
        self.observation = self.unseen();
        Step::Gap
    }

    /// One frame.
    pub fn push(&mut self, frame: &Frame) -> Step {
        self.push_timed(frame, &mut |_| {})
    }

    /// One frame; `done` is called as each stage ends. A frame that is equal to the one before it, to the pixel, is no new
    /// picture: what was measured stands, and the rate is that of the pictures.
    pub fn push_timed(&mut self, frame: &Frame, done: &mut dyn FnMut(Stage)) -> Step {
        self.counters.frames += 1;
        if self.size != (frame.width, frame.height) {
            self.reset();
            self.size = (frame.width, frame.height);
        }
        let (lost, stood, restarted) = match self.timing.arrive(frame) {
            Arrival::Repeated { standing_ns } => return self.stand(standing_ns),
            Arrival::New { lost, stood, restarted } => (lost, stood, restarted),
        };
        if restarted {
            self.forget_faces();
        }
        if lost > 0 || stood {
            self.counters.gaps += lost;
            let at_ns = frame.at_ns;
            self.tracked.iter_mut().for_each(|s| s.spotter.interrupt(at_ns, Rejection::Timing));
        }
        self.concluded.clear();
        let searched = self.faces.push(frame);
        done(if searched { Stage::FaceDetect } else { Stage::FaceTrack });
        self.observation = self.unseen();
        let Observation { fps, jitter, .. } = self.observation;
        self.retire();
        let mut step = Step::NoFace;
        let mut largest = 0.0;
        for i in 0..self.faces.followers().len() {
            let (seen, face_step) = self.measure(i, frame.at_ns, done);
            let track = &self.faces.followers()[i].track;
            if seen && track.eye_distance_px() > largest {
                largest = track.eye_distance_px();
                let face = self.tracked.iter().find(|s| s.track == track.id);
                self.observation = Observation {
                    bounds: Some(track.bounds()),
                    track: track.id,
                    quality: track.quality,
                    motion_px: track.motion_px,
                    eye_distance_px: largest,
                    intensities: face.filter(|_| face_step != Step::Moving).map(|s| by_au(&s.intensities)),
                    gate_open: face.is_some_and(|s| s.gate.is_open()),
                    fps,
                    jitter,
                };
                step = face_step;
            }
        }
        self.counters.frames_with_face += u64::from(step != Step::NoFace);
        self.counters.frames_moving += u64::from(step == Step::Moving);
        self.counters.frames_slow += u64::from(fps > 0.0 && fps < MIN_FPS);
        let light = self.sample().map(|s| s.context.light);
        self.counters.frames_dark += u64::from(light.is_some_and(|l| l < DARK_LUMA.ln()));
        self.standing = step.clone();
        if let Some(movement) = self.waiting.pop_front() {
            return Step::Event(movement);
        }
        if lost > 0 && step == Step::Quiet { Step::Gap } else { step }
    }

    /// What is known of a frame before a face is found in it.
    fn unseen(&self) -> Observation {
        Observation { fps: self.timing.fps(), jitter: self.timing.jitter(), ..Observation::default() }
    }

    /// A frame that holds nothing new.
    fn stand(&mut self, standing_ns: i64) -> Step {
        self.counters.frames_repeated += 1;
        self.concluded.clear();
        // While a picture stands the rate falls.
        self.observation.fps = self.timing.standing_fps(standing_ns);
        self.waiting.pop_front().map_or_else(|| self.standing.clone(), Step::Event)
    }

    /// Drops what was kept of faces that are gone.
    fn retire(&mut self) {
        let Self { tracked, faces, counters, .. } = self;
        let followers = faces.followers();
        tracked.retain(|s| {
            let alive = followers.iter().any(|f| f.track.id == s.track);
            counters.rejected_head_motion += u64::from(!alive && s.spotter.is_active());
            alive
        });
    }

    /// One face of one frame: whether it is in sight, and what it does.
    fn measure(&mut self, i: usize, at_ns: i64, done: &mut dyn FnMut(Stage)) -> (bool, Step) {
        let follower = &mut self.faces.followers()[i];
        let track = &mut follower.track;
        let at = match self.tracked.iter().position(|s| s.track == track.id) {
            Some(at) => at,
            None => {
                self.tracked.push(TrackedFace::new(track, self.thresholds));
                self.tracked.len() - 1
            }
        };
        let face = &mut self.tracked[at];
        let dt_s = (at_ns - face.last_ns) as f32 / 1e9;
        face.last_ns = at_ns;
        if follower.visibility != Visibility::Steady {
            face.spotter.interrupt(at_ns, Rejection::HeadMotion);
            return (follower.visibility != Visibility::Missed, Step::Moving);
        }
        face.keep_crop(at_ns, &track.crop);
        if !track.has_neutral() {
            // A new face, or one that is calibrated anew: its reference has not seen enough of it.
            track.absorb(at_ns, dt_s);
            face.spotter.interrupt(at_ns, Rejection::HeadMotion);
            face.is_misplaced = true;
            return (true, Step::Quiet);
        }
        let sample = face.measure(track, &mut self.net, at_ns, &mut || done(Stage::Flow));
        let above = face.gate.update(at_ns, &sample.levels);
        face.intensities = presentable(&above);
        let open = face.gate.is_open();
        self.counters.gate_open += u64::from(open);
        done(Stage::Gate);
        let candidate = face.spotter.push(&sample, &face.gate, &mut self.judge);
        face.sample = Some(sample);
        done(Stage::Spot);
        face.follow_rest(track, &mut self.net, at_ns, dt_s);
        if let Some(candidate) = candidate {
            self.take(at, candidate);
            done(Stage::Student);
        }
        (true, if open || self.tracked[at].spotter.is_active() { Step::Active } else { Step::Quiet })
    }

    /// Publishes a candidate of a kind that was asked for, and counts any other by its cause.
    fn take(&mut self, at: usize, candidate: Candidate) {
        let strongest = candidate.peak.iter().copied().fold(0.0, f32::max);
        let lids = by_au(&candidate.peak)[AU_COUNT - 1];
        let wanted = self.options.kinds.contains(&candidate.kind)
            && match (candidate.kind, candidate.cause) {
                (Kind::Micro, cause) => cause.is_none(),
                // Only what a person would see is told of a longer movement, and a blink closes the lids.
                (Kind::Macro, _) => strongest >= VISIBLE,
                (Kind::Blink, _) => lids >= VISIBLE,
            };
        match candidate.cause {
            _ if wanted => self.publish(at, &candidate),
            Some(cause) => count(&mut self.counters, cause),
            None => {}
        }
        let track = self.tracked[at].track;
        self.concluded.push((track, candidate));
    }

    /// Turns a candidate into a movement, with the student's word where there is a purpose.
    fn publish(&mut self, at: usize, candidate: &Candidate) {
        let fps = self.timing.fps();
        if fps < MIN_FPS {
            self.counters.rejected_timing += 1;
            return;
        }
        let face = &self.tracked[at];
        let aus = readings(&candidate.peak);
        if aus.is_empty() {
            count(&mut self.counters, Rejection::Noise);
            return;
        }
        let mut label = None;
        let asked = self.options.purpose.is_some() && candidate.kind == Kind::Micro;
        if asked
            && face.crop_at(candidate.onset_ns, &mut self.onset)
            && face.crop_at(candidate.apex_ns, &mut self.apex)
        {
            self.counters.student_runs += 1;
            let motion = sample(&mut self.pair, &self.onset, &self.apex);
            label = self.student.classify(&motion);
        }
        let track_id = face.track;
        let quality = self
            .faces
            .followers()
            .iter()
            .find(|f| f.track.id == track_id)
            .map_or(0.0, |f| (f.track.quality * 100.0).round() / 100.0);
        self.counters.events += 1;
        *match candidate.kind {
            Kind::Micro => &mut self.counters.events_micro,
            Kind::Macro => &mut self.counters.events_macro,
            Kind::Blink => &mut self.counters.events_blink,
        } += 1;
        self.waiting.push_back(Movement {
            kind: candidate.kind,
            onset_ns: candidate.onset_ns,
            apex_ns: candidate.apex_ns,
            offset_ns: candidate.offset_ns,
            track: track_id,
            aus,
            abstained: asked && label.is_none(),
            label,
            fps: (fps * 10.0).round() / 10.0,
            timing_quality: self.timing.quality(),
            track_quality: quality,
            model: self.model.clone(),
            evidence: "facial_movement".into(),
        });
    }
}

/// Intensity from which a movement is visible: FACS A.
const VISIBLE: f32 = 0.5;

#[cfg(test)]
mod operations_test;
#[cfg(test)]
mod tests;
