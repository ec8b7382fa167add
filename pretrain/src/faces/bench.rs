//! Detector, landmarks and stabiliser on portraits that did not train them, on rendered heads and on clips.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::holdout::is_held_out;
use anyhow::{Context, Result, bail};
use glint::clip::{Clip, Media};
use glint::face;
use glint::face::detector::DetectorSpec;
use glint::frame::Frame;
use glint::model::Checked;
use glint::pipeline::Models;
use glint::statistics::median;
use glint::synth::{NoiseTable, Pack, Subject};
use rand::Rng;

use super::clips::{self, FollowedClip};
use super::detection::DetectionTrial;
use super::points::{self, Finder};
use super::report::{FaceReport, LandmarkMethod, ResidualMotion, Shown};
use super::still::{self, Course, Residual};
use super::{scenes, trained};
use crate::assets::portraits::{self, Portrait};
use crate::augment::generator;
use crate::corpus::head::{HeadFace, Model};
use crate::run::Run;

/// What is asked for.
pub struct BenchSettings {
    /// Folder of portraits.
    pub portraits: PathBuf,
    /// Folder of the ICT head; without it the folder `ict` beside the portraits, if there is one.
    pub ict: Option<PathBuf>,
    /// Folder of real clips.
    pub clips: Option<PathBuf>,
    /// Folder of other detectors.
    pub detectors: Option<PathBuf>,
    /// Python with MediaPipe.
    pub mediapipe: PathBuf,
    /// Folder of model files; without it those that are compiled in.
    pub models: Option<PathBuf>,
    /// A third of the material.
    pub quick: bool,
    /// Seed of scenes and heads.
    pub seed: u64,
}

/// Scenes of each portrait.
const SCENES: u64 = 2;
/// Textures without a face.
const TEXTURES: u64 = 300;
/// Rendered heads whose landmarks are compared.
const HEADS: u64 = 90;
/// People whose heads are held still; of each kind.
const PEOPLE: u64 = 6;

/// Measures everything there is material for.
pub fn run(settings: &BenchSettings) -> Result<FaceReport> {
    let models = match &settings.models {
        Some(dir) => Models::load(dir)?,
        None => Models::embedded()?,
    };
    let all = portraits::load(&settings.portraits)?;
    let unseen = trained::unseen(&all);
    if unseen.is_empty() {
        bail!("{}: every portrait has trained the shipped models", settings.portraits.display());
    }
    eprintln!("{} of {} portraits did not train the models", unseen.len(), all.len());
    let beside = settings.portraits.parent().map(|p| p.join("ict")).filter(|p| p.is_dir());
    let head = match settings.ict.clone().or(beside) {
        Some(dir) => Some(Model::load(&dir)?),
        None => {
            eprintln!("no --ict: rendered heads are left out");
            None
        }
    };
    let run = Run::start("faces", settings.seed, &BTreeMap::from([("quick", settings.quick)]), false)?;
    let folder = run.dir();
    let bench = Bench { settings, models, unseen, head, noise: NoiseTable::new(), folder };
    let trials = bench.trials()?;
    let labels = bench.portraits()?;
    let confused = bench.confused()?;
    let heads = bench.heads()?;
    let still = bench.still()?;
    let clips = bench.clips()?;
    let unseen = bench.unseen.iter().map(|p| Shown { year: p.year, skin_luma: p.skin_luma() }).collect();
    Ok(FaceReport { unseen, trials, labels, confused, heads, still, clips })
}

/// What is measured on.
struct Bench<'a> {
    settings: &'a BenchSettings,
    models: Models,
    unseen: Vec<&'a Portrait>,
    head: Option<Arc<Model>>,
    noise: NoiseTable,
    folder: &'a Path,
}

/// Seed of a synthetic subject that no training shows.
fn unseen_subject(rng: &mut impl Rng) -> u64 {
    loop {
        let seed = u64::from(rng.random::<u32>());
        if is_held_out(&format!("synthetic-{seed}")) {
            return seed;
        }
    }
}

impl Bench<'_> {
    fn share(&self, full: u64) -> u64 {
        if self.settings.quick { full.div_ceil(3) } else { full }
    }

    /// Every detector on the same frames: the stage as the daemon has it, the detector alone, then others.
    fn trials(&self) -> Result<Vec<DetectionTrial>> {
        let detector = &self.models.detector;
        let mut trials = vec![
            DetectionTrial::new("stage", detector, Some(&self.models))?,
            DetectionTrial::new("detector", detector, None)?,
        ];
        match &self.settings.detectors {
            Some(dir) => {
                for path in clips::files(dir)?.iter().filter(|p| p.extension().is_some_and(|e| e == "onnx")) {
                    let file = Checked::<DetectorSpec>::load_external(path, None)?;
                    let name = path.file_stem().unwrap_or_default().to_string_lossy();
                    trials.push(DetectionTrial::new(&name, &file, None)?);
                }
            }
            None => eprintln!("no --detectors: other detectors are left out"),
        }
        for k in 0..self.share(SCENES) {
            for (i, p) in self.unseen.iter().enumerate() {
                let index = k * self.unseen.len() as u64 + i as u64;
                let scene = scenes::portrait(&self.noise, p, self.settings.seed, index);
                trials.iter_mut().for_each(|t| t.face(&scene.luma, scene.bounds));
            }
        }
        for i in 0..self.share(TEXTURES) {
            let luma = scenes::empty(&self.noise, &self.unseen, self.settings.seed, i);
            trials.iter_mut().for_each(|t| t.empty(&luma, crate::faces::WIDTH, crate::faces::HEIGHT));
        }
        let Some(dir) = &self.settings.clips else { return Ok(trials) };
        for path in clips::files(dir)?.iter().filter(|p| p.to_string_lossy().contains("no_face")) {
            let mut video = Clip::open(path, None)?;
            let mut frame = Frame::default();
            while let Some(media) = video.next(&mut frame)? {
                if media == Media::Frame {
                    trials.iter_mut().for_each(|t| t.empty(&frame.luma, frame.width, frame.height));
                }
            }
        }
        Ok(trials)
    }

    /// Landmark error on each photograph.
    fn portraits(&self) -> Result<Vec<Option<f32>>> {
        let mut finder = Finder::new(&self.models)?;
        Ok(self.unseen.iter().map(|p| points::portrait(&mut finder, p)).collect())
    }

    /// Pairs of different portraits that the face stage would take for one person, and all pairs.
    fn confused(&self) -> Result<(usize, usize)> {
        let mut finder = Finder::new(&self.models)?;
        let crops: Vec<Vec<f32>> =
            self.unseen.iter().filter_map(|p| points::stabilised(&mut finder, p)).collect();
        let pairs = (0..crops.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let alike = pairs.clone().filter(|&(i, j)| face::likeness(&crops[i], &crops[j]) >= face::ALIKE);
        Ok((alike.count(), pairs.count()))
    }

    /// Landmark error on rendered heads, with MediaPipe's where it is installed.
    fn heads(&self) -> Result<Vec<LandmarkMethod>> {
        let Some(head) = &self.head else { return Ok(Vec::new()) };
        let renders = (0..self.share(HEADS))
            .map(|i| points::render(head, &self.noise, self.settings.seed, i))
            .collect::<Result<Vec<_>>>()?;
        let mut finder = Finder::new(&self.models)?;
        let located: Vec<_> = renders
            .iter()
            .map(|r| {
                let bounds = portraits::face_box(&r.truth);
                (finder.find(&r.luma, crate::faces::WIDTH, crate::faces::HEIGHT, bounds), r.truth)
            })
            .collect();
        let mut methods = vec![("glint", points::agreement(&located))];
        match points::by_mediapipe(&self.settings.mediapipe, &renders, &self.folder.join("heads")) {
            Ok(located) => {
                let pairs: Vec<_> = located.into_iter().zip(&renders).map(|(f, r)| (f, r.truth)).collect();
                methods.push(("mediapipe", points::agreement(&pairs)));
            }
            Err(e) => eprintln!("MediaPipe is left out: {e:#}"),
        }
        Ok(methods)
    }

    /// Residual motion of people of the synthetic subject and of rendered heads.
    fn still(&self) -> Result<Vec<ResidualMotion>> {
        let pack = Pack::embedded()?;
        let rows = [
            ("still", Course::STILL),
            ("moving", Course::MOVING),
            ("moving, shutter open", Course { shutter: 4, ..Course::MOVING }),
            ("moving, eyes 50 px apart", Course { eye_distance_px: 50.0, ..Course::MOVING }),
        ];
        rows.into_iter()
            .map(|(name, course)| {
                let (mut sum, mut millis) = (Residual::default(), Vec::new());
                let mut rng = generator(self.settings.seed, 0x7374_696c);
                for i in 0..self.share(PEOPLE) {
                    let seed = unseen_subject(&mut rng);
                    let subject = Subject::random(&pack, seed);
                    sum.add(still::sequence(&subject, course, &self.models, seed, &mut millis)?);
                    if let Some(head) = self.head.as_ref().filter(|_| i % 2 == 0) {
                        let face = HeadFace::random(head, &mut rng);
                        sum.add(still::sequence(&face, course, &self.models, seed, &mut millis)?);
                    }
                }
                Ok(ResidualMotion { name, residual: sum, millis: median(&millis).unwrap_or(f32::NAN) })
            })
            .collect()
    }

    fn clips(&self) -> Result<Vec<FollowedClip>> {
        let Some(dir) = &self.settings.clips else {
            eprintln!("no --clips: real clips are left out");
            return Ok(Vec::new());
        };
        let seen =
            clips::files(dir)?.iter().map(|p| clips::watch(p, &self.models)).collect::<Result<Vec<_>>>()?;
        let path = self.folder.join("crops.png");
        clips::sheet(&seen, &path).context("sheet of crops")?;
        eprintln!("{}: stabilised crops, a clip a row", path.display());
        Ok(seen)
    }
}
