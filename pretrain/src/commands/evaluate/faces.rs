//! `glint-pretrain evaluate faces`: how well faces are found, followed and held still.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use glint::clip::{Clip, Media};
use glint::face;
use glint::face::detector::DetectorSpec;
use glint::frame::Frame;
use glint::holdout::is_held_out;
use glint::model::Checked;
use glint::pipeline::Models;
use glint::synth::{NoiseTable, Pack, Subject};
use rand::Rng;
use serde_json::{Map, Value, json};

use crate::assets::portraits::{self, Portrait};
use crate::augment::generator;
use crate::corpus::head::{HeadFace, Model};
use crate::faces::clips::{self, Seen};
use crate::faces::detection::Trial;
use crate::faces::points::{self, Agreement, Finder};
use crate::faces::still::{self, Course, Residual};
use crate::faces::{mean, median, scenes, trained};
use crate::run::Run;

/// Measures detector, landmarks and stabiliser on portraits that did not train them, on rendered heads and on clips.
#[derive(clap::Args)]
#[command(
    after_help = "Example: glint-pretrain evaluate faces --portraits ../data/portraits --ict ../data/ict"
)]
pub struct Args {
    /// Folder of portraits: `index.json`, `landmarks_478.npy`, `crops/`, `photos/`. Those that trained the shipped
    /// models (models/portraits.txt) are left out.
    #[arg(long, value_name = "DIR")]
    portraits: PathBuf,
    /// Folder of the ICT head, for rendered heads; without it the folder `ict` beside the portraits, if there is one.
    #[arg(long, value_name = "DIR")]
    ict: Option<PathBuf>,
    /// Folder of real clips. A name with `no_face` says that there is none.
    #[arg(long, value_name = "DIR")]
    clips: Option<PathBuf>,
    /// Folder of other detectors (YuNet, Ultra-Light as ONNX), measured on the same frames.
    #[arg(long, value_name = "DIR")]
    detectors: Option<PathBuf>,
    /// Python with MediaPipe, whose landmarks are measured on the same rendered heads.
    #[arg(long, value_name = "PYTHON", default_value = "python3")]
    mediapipe: PathBuf,
    /// Folder of model files; without it those that are compiled in.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// A third of the material.
    #[arg(long)]
    quick: bool,
    /// Seed of scenes and heads.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object on stdout instead of tables.
    #[arg(long)]
    json: bool,
}

/// Scenes of each portrait.
const SCENES: u64 = 2;
/// Textures without a face.
const TEXTURES: u64 = 300;
/// Rendered heads whose landmarks are compared.
const HEADS: u64 = 90;
/// People whose heads are held still; of each kind.
const PEOPLE: u64 = 6;

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let models = match &args.models {
        Some(dir) => Models::load(dir)?,
        None => Models::embedded()?,
    };
    let all = portraits::load(&args.portraits)?;
    let unseen = trained::unseen(&all);
    if unseen.is_empty() {
        bail!("{}: every portrait has trained the shipped models", args.portraits.display());
    }
    eprintln!("{} of {} portraits did not train the models", unseen.len(), all.len());
    let beside = args.portraits.parent().map(|p| p.join("ict")).filter(|p| p.is_dir());
    let head = match args.ict.clone().or(beside) {
        Some(dir) => Some(Model::load(&dir)?),
        None => {
            eprintln!("no --ict: rendered heads are left out");
            None
        }
    };
    let settings = BTreeMap::from([("quick", args.quick)]);
    let run = Run::start("faces", args.seed, &settings, false)?;
    let folder = run.dir();
    let bench = Bench { args, models, unseen, head, noise: NoiseTable::new(), folder };
    let trials = bench.trials()?;
    let labels = bench.portraits()?;
    let confused = bench.confused()?;
    let heads = bench.heads()?;
    let still = bench.still()?;
    let clips = bench.clips()?;
    let report = Report { unseen: &bench.unseen, trials, labels, confused, heads, still, clips };
    if args.json {
        println!("{}", report.json());
    } else {
        report.print();
    }
    Ok(())
}

struct Bench<'a> {
    args: &'a Args,
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

/// Landmarks of one method on rendered heads.
type Method = (&'static str, Agreement);

/// A row of residual motion.
struct Still {
    name: &'static str,
    residual: Residual,
    millis: f32,
}

impl Bench<'_> {
    fn share(&self, full: u64) -> u64 {
        if self.args.quick { full.div_ceil(3) } else { full }
    }

    /// Every detector on the same frames: the stage as the daemon has it, the detector alone, then others.
    fn trials(&self) -> Result<Vec<Trial>> {
        let own = &self.models.detector;
        let mut trials =
            vec![Trial::new("stage", own, Some(&self.models))?, Trial::new("detector", own, None)?];
        match &self.args.detectors {
            Some(dir) => {
                for path in clips::files(dir)?.iter().filter(|p| p.extension().is_some_and(|e| e == "onnx")) {
                    let file = Checked::<DetectorSpec>::bring(path, None)?;
                    let name = path.file_stem().unwrap_or_default().to_string_lossy();
                    trials.push(Trial::new(&name, &file, None)?);
                }
            }
            None => eprintln!("no --detectors: other detectors are left out"),
        }
        for k in 0..self.share(SCENES) {
            for (i, p) in self.unseen.iter().enumerate() {
                let index = k * self.unseen.len() as u64 + i as u64;
                let scene = scenes::portrait(&self.noise, p, self.args.seed, index);
                trials.iter_mut().for_each(|t| t.face(&scene.luma, scene.bounds));
            }
        }
        for i in 0..self.share(TEXTURES) {
            let luma = scenes::empty(&self.noise, &self.unseen, self.args.seed, i);
            trials.iter_mut().for_each(|t| t.empty(&luma, crate::faces::WIDTH, crate::faces::HEIGHT));
        }
        let Some(dir) = &self.args.clips else { return Ok(trials) };
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
    fn heads(&self) -> Result<Vec<Method>> {
        let Some(head) = &self.head else { return Ok(Vec::new()) };
        let renders = (0..self.share(HEADS))
            .map(|i| points::render(head, &self.noise, self.args.seed, i))
            .collect::<Result<Vec<_>>>()?;
        let mut finder = Finder::new(&self.models)?;
        let own: Vec<_> = renders
            .iter()
            .map(|r| {
                let bounds = portraits::face_box(&r.truth);
                (finder.find(&r.luma, crate::faces::WIDTH, crate::faces::HEIGHT, bounds), r.truth)
            })
            .collect();
        let mut methods = vec![("glint", points::agreement(&own))];
        match points::by_mediapipe(&self.args.mediapipe, &renders, &self.folder.join("heads")) {
            Ok(found) => {
                let pairs: Vec<_> = found.into_iter().zip(&renders).map(|(f, r)| (f, r.truth)).collect();
                methods.push(("mediapipe", points::agreement(&pairs)));
            }
            Err(e) => eprintln!("MediaPipe is left out: {e:#}"),
        }
        Ok(methods)
    }

    /// Residual motion of people of the synthetic subject and of rendered heads.
    fn still(&self) -> Result<Vec<Still>> {
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
                let mut rng = generator(self.args.seed, 0x7374_696c);
                for i in 0..self.share(PEOPLE) {
                    let seed = unseen_subject(&mut rng);
                    let subject = Subject::random(&pack, seed);
                    sum.add(still::sequence(&subject, course, &self.models, seed, &mut millis)?);
                    if let Some(head) = self.head.as_ref().filter(|_| i % 2 == 0) {
                        let face = HeadFace::random(head, &mut rng);
                        sum.add(still::sequence(&face, course, &self.models, seed, &mut millis)?);
                    }
                }
                Ok(Still { name, residual: sum, millis: median(&mut millis) })
            })
            .collect()
    }

    fn clips(&self) -> Result<Vec<Seen>> {
        let Some(dir) = &self.args.clips else {
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

struct Report<'a> {
    unseen: &'a [&'a Portrait],
    trials: Vec<Trial>,
    labels: Vec<Option<f32>>,
    confused: (usize, usize),
    heads: Vec<Method>,
    still: Vec<Still>,
    clips: Vec<Seen>,
}

/// Widths of a face between which recall is told.
const SIZES: [f32; 5] = [48.0, 64.0, 96.0, 144.0, 300.0];

/// A group of portraits with their results.
struct Group {
    name: String,
    portraits: usize,
    recall: f32,
    nme_percent: f32,
}

/// To four digits, as JSON; null of what was not measured.
fn number(v: f32) -> Value {
    json!(v.is_finite().then(|| (f64::from(v) * 1e4).round() / 1e4))
}

impl Report<'_> {
    fn nme(&self) -> f32 {
        mean(self.labels.iter().flatten().copied())
    }

    /// Frames with a face that were found, and all of them, over clips that show one.
    fn pooled(&self) -> (usize, usize) {
        let shown = self.clips.iter().filter(|c| !c.name.contains("no_face"));
        shown.fold((0, 0), |(face, all), c| (face + c.face, all + c.frames))
    }

    fn groups(&self) -> Vec<Group> {
        let era = |p: &Portrait| match p.year {
            ..1910 => "before 1910",
            1910..1950 => "1910-1949",
            1950..1990 => "1950-1989",
            _ => "1990 and later",
        };
        let mut skin: Vec<f32> = self.unseen.iter().map(|p| p.skin_luma()).collect();
        let own = skin.clone();
        skin.sort_unstable_by(f32::total_cmp);
        let (low, high) = (skin[skin.len() / 4], skin[skin.len() * 3 / 4]);
        let shade = |i: usize| match own[i] {
            v if v < low => "darkest quarter of skin",
            v if v >= high => "lightest quarter of skin",
            _ => "skin between",
        };
        let names = [
            "before 1910",
            "1910-1949",
            "1950-1989",
            "1990 and later",
            "darkest quarter of skin",
            "skin between",
            "lightest quarter of skin",
        ];
        names
            .iter()
            .map(|&name| {
                let member: Vec<usize> = (0..self.unseen.len())
                    .filter(|&i| era(self.unseen[i]) == name || shade(i) == name)
                    .collect();
                let hits = &self.trials[0].hits;
                let n = self.unseen.len();
                Group {
                    name: name.into(),
                    portraits: member.len(),
                    recall: mean(
                        (0..hits.len())
                            .filter(|i| member.binary_search(&(i % n)).is_ok())
                            .map(|i| f32::from(hits[i])),
                    ),
                    nme_percent: mean(member.iter().filter_map(|&i| self.labels[i])),
                }
            })
            .filter(|g| g.portraits > 0)
            .collect()
    }

    fn json(mut self) -> Value {
        let groups: Map<String, Value> = self
            .groups()
            .into_iter()
            .map(|g| {
                (g.name, json!({"portraits": g.portraits, "recall": number(g.recall), "nme_percent": number(g.nme_percent)}))
            })
            .collect();
        let row = |t: &mut Trial| {
            json!({"recall": number(t.recall()), "fp_per_100": number(t.false_per_100()),
                   "iou": number(mean(t.overlaps.iter().copied())), "detect_ms": number(t.median_ms())})
        };
        let (stage, detector) = (row(&mut self.trials[0]), row(&mut self.trials[1]));
        let reference: Map<String, Value> =
            self.trials[2..].iter_mut().map(|t| (t.name.clone(), row(t))).collect();
        let still: Map<String, Value> = self
            .still
            .iter()
            .map(|s| {
                let value = json!({"rms_px": number(s.residual.rms()), "unsteady_share": number(s.residual.unsteady_share()),
                                   "track_ms": number(s.millis)});
                (s.name.to_owned(), value)
            })
            .collect();
        let clips: Map<String, Value> = self
            .clips
            .iter()
            .map(|c| {
                let value =
                    json!({"frames": c.frames, "face": c.face, "steady": c.steady, "switches": c.switches()});
                (c.name.clone(), value)
            })
            .collect();
        let (face, frames) = self.pooled();
        json!({
            "recall": stage["recall"], "fp_per_100": stage["fp_per_100"], "nme_percent": number(self.nme()),
            "rms_moving_px": number(self.still[1].residual.rms()), "rms_still_px": number(self.still[0].residual.rms()),
            "track_ms": number(self.still[1].millis), "detect_ms": detector["detect_ms"], "reference": reference,
            "detector": detector, "portraits": self.unseen.len(), "scenes": self.trials[0].hits.len(),
            "empty_frames": self.trials[0].empty_frames,
            "portrait_pairs": {"alike": self.confused.0, "of": self.confused.1},
            "landmarks_missed": self.labels.iter().filter(|l| l.is_none()).count(),
            "heads": self.heads.iter().map(|(name, a)| ((*name).to_owned(), json!(a))).collect::<Map<_, _>>(),
            "still": still, "clips": clips,
            "clips_face_share": number(face as f32 / frames as f32),
            "subgroups": groups,
        })
    }

    fn print(mut self) {
        println!(
            "detector                              recall   IoU   FP/100   median ms   ({} scenes, {} frames without a face)",
            self.trials[0].hits.len(),
            self.trials[0].empty_frames
        );
        for t in &mut self.trials {
            let (recall, fp, iou) = (t.recall(), t.false_per_100(), mean(t.overlaps.iter().copied()));
            let millis = t.median_ms();
            println!("{:36}  {recall:6.4}  {iou:5.3}  {fp:6.2}   {:8.3}", t.name, millis);
        }
        let sizes = SIZES
            .windows(2)
            .map(|s| format!("{}-{} px {:.3}", s[0], s[1], self.trials[0].recall_between(s[0], s[1])));
        println!("recall of the stage by width of the face: {}", sizes.collect::<Vec<_>>().join(", "));
        let missed = self.labels.iter().filter(|l| l.is_none()).count();
        println!(
            "\nlandmarks against the portraits' labels: {:.2} % of the eye distance ({} portraits, {missed} not found)",
            self.nme(),
            self.labels.len()
        );
        let (alike, pairs) = self.confused;
        println!("different portraits taken for one person who comes back: {alike} of {pairs} pairs");
        for (name, a) in &self.heads {
            println!(
                "on rendered heads, {name:10} {:.2} %, without each point's mean offset {:.2} %, {} not found",
                a.nme_percent, a.nme_aligned_percent, a.missed
            );
        }
        println!("\nmotion left in the crop       RMS px   not steady   tracking ms");
        for s in &self.still {
            println!(
                "{:28} {:7.4}   {:8.3}      {:7.3}",
                s.name,
                s.residual.rms(),
                s.residual.unsteady_share(),
                s.millis
            );
        }
        if !self.clips.is_empty() {
            println!("\nclip                               frames   face    steady  switches");
            for c in &self.clips {
                let share = |n: usize| n as f32 / c.frames as f32;
                println!(
                    "{:34} {:5}  {:6.3}  {:6.3}  {:4}",
                    c.name,
                    c.frames,
                    share(c.face),
                    share(c.steady),
                    c.switches()
                );
            }
            let (face, frames) = self.pooled();
            println!("all with a face                    {frames:5}  {:6.3}", face as f32 / frames as f32);
        }
        println!("\nportraits                     n   recall   NME %");
        for g in self.groups() {
            println!("{:26} {:4}   {:6.3}   {:5.2}", g.name, g.portraits, g.recall, g.nme_percent);
        }
    }
}
