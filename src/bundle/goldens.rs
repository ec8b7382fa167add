//! Goldens: what models answer, recorded where their bundle is made and compared where it is used.
//!
//! The AU network, the judge and the student are given stored inputs. A short film of the synthetic subject, which is rendered
//! here, goes through the whole pipeline: detector and landmarks find the face in it, and its movement has to be told. So a
//! processor that computes otherwise, and models that were trained for another geometry of the crop or another flow, are found
//! out before they say anything of a person.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::BundleError;
use crate::event::{Kind, Movement};
use crate::face::landmarks::LANDMARK_COUNT;
use crate::face::{CROP_HEIGHT, CROP_WIDTH};
use crate::flow::{FlowEngine, FlowSettings};
use crate::frame::Frame;
use crate::geometry::Point;
use crate::intensity::{AuNet, FEATURES, features};
use crate::pipeline::{Models, Options, Pipeline, Purpose, Step, pair_engine, sample};
use crate::spot::{Judge, Measures};
use crate::student::{INPUT, Student};
use crate::synth::{Action, Camera, Pack, Scene, Script, Subject};

/// Share of the largest expected number by which an answer in `f32` may differ.
const FLOAT_SHARE: f32 = 0.01;
/// The same of a network that may run in int8 at one place and in `f32` at another.
const INT8_SHARE: f32 = 0.15;
/// How far landmarks may lie from the recorded ones in the mean, as a share of the distance between the eyes.
const LANDMARK_SHARE: f32 = 0.05;
/// How far the strongest intensity of the film's movement may be from the recorded one.
const INTENSITY: f64 = 0.5;
/// Frames by which its onset may differ.
const ONSET_FRAMES: f64 = 3.0;

/// An input of a network and what it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    input: Vec<f32>,
    output: Vec<f32>,
}

/// A film of the synthetic subject with one movement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Film {
    /// Which person.
    person: u64,
    width: usize,
    height: usize,
    eye_distance_px: f32,
    fps: f64,
    frames: u64,
    /// What moves, as a fraction of the full shape, and when.
    au: u8,
    fraction: f32,
    onset_ms: i64,
    /// Frame whose landmarks are compared.
    at_rest: u64,
}

impl Default for Film {
    /// Small and short, for boards: 2.4 s.
    fn default() -> Self {
        Self {
            person: 1,
            width: 320,
            height: 240,
            eye_distance_px: 72.0,
            fps: 60.0,
            frames: 144,
            au: 12,
            fraction: 0.4,
            onset_ms: 1500,
            at_rest: 60,
        }
    }
}

/// What the pipeline saw in the film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilmReadings {
    /// x and y of the 68 landmarks at rest, in pixels.
    landmarks: Vec<[f32; 2]>,
    /// The strongest AU of the movement, and its intensity.
    au: u8,
    intensity: f32,
    onset_ms: f64,
}

/// What models answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goldens {
    au: Vec<Case>,
    judge: Vec<Case>,
    student: Vec<Case>,
    film: Film,
    seen: FilmReadings,
}

/// The film as the pipeline saw it, with what the networks were given.
struct Watched {
    seen: FilmReadings,
    /// Stabilised crops at rest and at the apex.
    crops: [Vec<f32>; 2],
    measures: Measures,
}

impl Film {
    /// Whether it is a film that a board can render in seconds.
    fn check(&self) -> Result<(), String> {
        let sizes = (64..=640).contains(&self.width) && (64..=480).contains(&self.height);
        let length = self.frames <= 600 && self.at_rest < self.frames && (20.0..=200.0).contains(&self.fps);
        let fits = (24.0..=0.5 * self.width.min(self.height) as f32).contains(&self.eye_distance_px);
        if sizes && length && fits {
            Ok(())
        } else {
            Err("film: size, length, rate or eye distance out of bounds".into())
        }
    }

    fn scene(&self) -> Result<Scene, String> {
        let action = Action::micro(self.au, self.fraction, self.onset_ms * 1_000_000);
        let script = Script::new(vec![action]).map_err(|e| e.to_string())?;
        let subject = Subject::random(Pack::embedded().map_err(|e| e.to_string())?, self.person);
        let camera = Camera {
            width: self.width,
            height: self.height,
            eye_distance_px: self.eye_distance_px,
            seed: self.person,
            ..Camera::default()
        };
        Ok(Scene::new(subject, script, camera))
    }

    /// Runs the pipeline over it.
    fn watch(&self, models: &Models) -> Result<Watched, String> {
        self.check()?;
        let options = Options { purpose: Some(Purpose::Demonstration), ..Options::default() };
        let mut pipeline = Pipeline::new(options, models).map_err(|e| e.to_string())?;
        let mut scene = self.scene()?;
        let apex = ((self.onset_ms + 120) as f64 * self.fps / 1e3).round() as u64;
        let (mut frame, mut landmarks, mut crops) = (Frame::default(), None, [Vec::new(), Vec::new()]);
        let (mut movement, mut measures) = (None, None);
        for seq in 0..self.frames {
            scene.render(seq, (seq as f64 * 1e9 / self.fps) as i64, &mut frame);
            let step = pipeline.push(&frame);
            for (at, crop) in [self.at_rest, apex].into_iter().zip(&mut crops) {
                if seq == at {
                    let (luma, _) = pipeline.stabilised().ok_or("no face was found in the film")?;
                    crop.extend_from_slice(luma);
                }
            }
            if seq == self.at_rest {
                landmarks = pipeline.landmarks();
            }
            take(&pipeline, step, &mut movement, &mut measures);
        }
        while let Some(last) = pipeline.finish() {
            take(&pipeline, Step::Event(last), &mut movement, &mut measures);
        }
        let movement: Movement = movement.ok_or("the movement of the film was not found")?;
        let measures = measures.ok_or("the movement of the film was not measured")?;
        let landmarks = landmarks.ok_or("no face was found in the film")?;
        let strongest = movement.aus.first().ok_or("the movement of the film has no action unit")?;
        let seen = FilmReadings {
            landmarks: landmarks.iter().map(|p| [p.x, p.y]).collect(),
            au: strongest.au,
            intensity: strongest.intensity,
            onset_ms: movement.onset_ns as f64 / 1e6,
        };
        Ok(Watched { seen, crops, measures })
    }
}

/// Keeps the first movement, and what the judge was given of it.
fn take(pipeline: &Pipeline, step: Step, movement: &mut Option<Movement>, measures: &mut Option<Measures>) {
    if let Some((_, candidate)) =
        pipeline.concluded().iter().find(|(_, c)| c.kind == Kind::Micro && c.cause.is_none())
    {
        measures.get_or_insert(*candidate.measures);
    }
    if let Step::Event(event) = step {
        movement.get_or_insert(event);
    }
}

impl Goldens {
    /// What these models answer on this machine.
    ///
    /// # Errors
    /// Networks that cannot be built, or models that do not find the movement of the film.
    pub fn record(models: &Models) -> Result<Self, String> {
        let film = Film::default();
        let Watched { seen, crops: [rest, apex], measures } = film.watch(models)?;
        if !near(seen.onset_ms, film.onset_ms as f64, 100.0) {
            return Err(format!(
                "the movement of the film begins at {} ms, and these models tell {:.0} ms: no goldens can be made of that",
                film.onset_ms, seen.onset_ms
            ));
        }
        let mut flow = FlowEngine::new(CROP_WIDTH, CROP_HEIGHT, FlowSettings::QUICK);
        let mut against = |neutral: &[f32], crop: &[f32]| {
            let mut out = vec![0.0; FEATURES];
            flow.set_reference(neutral);
            features(flow.run(crop), neutral, crop, &mut out);
            out
        };
        let au = vec![against(&rest, &apex), against(&apex, &rest)];
        let mut pair = pair_engine();
        let student = vec![sample(&mut pair, &rest, &apex), sample(&mut pair, &apex, &rest)];
        let judge = vec![measures.to_vec(), measures.map(|m| 0.5 * m).to_vec()];
        let mut answers = Answers::from_models(models).map_err(|e| e.to_string())?;
        Ok(Self {
            au: cases(au, |input| answers.au(input))?,
            judge: cases(judge, |input| answers.judge(input))?,
            student: cases(student, |input| answers.student(input))?,
            film,
            seen,
        })
    }

    /// Reads `goldens.json`.
    ///
    /// # Errors
    /// Text that is not `goldens.json`, or a value out of range.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let goldens: Self = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        goldens.film.check()?;
        // A file without cases would check nothing.
        for (name, cases) in [("au", &goldens.au), ("judge", &goldens.judge), ("student", &goldens.student)] {
            if cases.is_empty() {
                return Err(format!("{name}: no case"));
            }
        }
        if goldens.seen.landmarks.len() != LANDMARK_COUNT {
            return Err(format!(
                "seen.landmarks: {}; expected {LANDMARK_COUNT}",
                goldens.seen.landmarks.len()
            ));
        }
        Ok(goldens)
    }

    /// As [`Goldens::parse`] reads it.
    pub fn to_json(&self) -> Vec<u8> {
        // Numbers and lists of such: there is nothing that could fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Compares what `models`, which came from `path`, answer on this machine.
    ///
    /// # Errors
    /// [`BundleError`] names the first answer that differs by more than its tolerance.
    pub fn check(&self, path: &Path, models: &Models) -> Result<(), BundleError> {
        let fail =
            |golden| move |reason: String| BundleError::Golden { path: path.to_owned(), golden, reason };
        let mut answers = Answers::from_models(models)?;
        compare(&self.au, FLOAT_SHARE, |input| answers.au(input)).map_err(fail("au"))?;
        compare(&self.judge, FLOAT_SHARE, |input| answers.judge(input)).map_err(fail("judge"))?;
        compare(&self.student, INT8_SHARE, |input| answers.student(input)).map_err(fail("student"))?;
        let seen = self.film.watch(models).map_err(fail("film"))?.seen;
        self.compare_film(&seen).map_err(fail("film"))
    }

    fn compare_film(&self, seen: &FilmReadings) -> Result<(), String> {
        let expected = &self.seen;
        let pairs = seen.landmarks.iter().zip(&expected.landmarks);
        let apart: f32 = pairs.map(|(a, b)| Point::new(a[0], a[1]).distance(Point::new(b[0], b[1]))).sum();
        let apart = apart / LANDMARK_COUNT as f32;
        if !near(apart.into(), 0.0, f64::from(LANDMARK_SHARE * self.film.eye_distance_px)) {
            return Err(format!("landmarks are {apart:.1} px from the recorded ones in the mean"));
        }
        if seen.au != expected.au || !near(seen.intensity.into(), expected.intensity.into(), INTENSITY) {
            return Err(format!(
                "AU {} with intensity {:.2}; recorded: AU {} with {:.2}",
                seen.au, seen.intensity, expected.au, expected.intensity
            ));
        }
        if !near(seen.onset_ms, expected.onset_ms, ONSET_FRAMES * 1e3 / self.film.fps) {
            return Err(format!("onset at {:.0} ms; recorded: {:.0} ms", seen.onset_ms, expected.onset_ms));
        }
        Ok(())
    }
}

/// Inputs with what a network answers to them.
fn cases(
    inputs: Vec<Vec<f32>>,
    mut run: impl FnMut(&[f32]) -> Result<Vec<f32>, String>,
) -> Result<Vec<Case>, String> {
    inputs.into_iter().map(|input| Ok(Case { output: run(&input)?, input })).collect()
}

/// Whether two numbers agree. One that is none agrees with nothing.
fn near(answer: f64, recorded: f64, most: f64) -> bool {
    (answer - recorded).abs() <= most
}

/// Runs every case; the error says which number differs.
fn compare(
    cases: &[Case],
    share: f32,
    mut run: impl FnMut(&[f32]) -> Result<Vec<f32>, String>,
) -> Result<(), String> {
    for (k, case) in cases.iter().enumerate() {
        let output = run(&case.input)?;
        if output.len() != case.output.len() {
            return Err(format!("case {k}: {} numbers; recorded: {}", output.len(), case.output.len()));
        }
        let most = share * case.output.iter().fold(0.0f32, |most, v| most.max(v.abs())).max(0.1);
        for (i, (answer, recorded)) in output.iter().zip(&case.output).enumerate() {
            if !near((*answer).into(), (*recorded).into(), most.into()) {
                return Err(format!(
                    "case {k}, number {i}: {answer}; recorded: {recorded}, {most:.4} apart at most"
                ));
            }
        }
    }
    Ok(())
}

/// The networks that stored inputs are given to.
struct Answers {
    au: AuNet,
    judge: Judge,
    student: Student,
}

impl Answers {
    fn from_models(models: &Models) -> Result<Self, crate::model::ModelError> {
        Ok(Self {
            au: AuNet::from_file(&models.au)?,
            judge: Judge::from_file(&models.judge)?,
            student: Student::new(&models.student)?,
        })
    }

    fn au(&mut self, input: &[f32]) -> Result<Vec<f32>, String> {
        expect(input, FEATURES)?;
        Ok(self.au.run(input).to_vec())
    }

    fn judge(&mut self, input: &[f32]) -> Result<Vec<f32>, String> {
        let measures: &Measures = input.try_into().map_err(|_| format!("{} numbers", input.len()))?;
        Ok(self.judge.likelihoods(measures).to_vec())
    }

    fn student(&mut self, input: &[f32]) -> Result<Vec<f32>, String> {
        expect(input, INPUT)?;
        self.student.logits(input).map(|logits| logits.to_vec())
    }
}

fn expect(input: &[f32], numbers: usize) -> Result<(), String> {
    if input.len() == numbers {
        return Ok(());
    }
    Err(format!("an input of {} numbers; this version gives the network {numbers}", input.len()))
}
