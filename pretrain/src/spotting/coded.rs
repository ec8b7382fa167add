//! AU intensities of the daemon's own pipeline against what people coded in the frames of a database.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use glint::au::{AU_COUNT, au_index};
use glint::clip::{Clip, Media};
use glint::frame::{Frame, LumaDecoder};
use glint::pipeline::{Models, Pipeline};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::watch::pipeline;
use crate::databases::au::{CodedVideo, CodedVideos, Codes, Footage};
use crate::databases::frames::{FrameFolder, read_luma};
use crate::run;
use crate::statistics::agreement::{Presence, RaterSums, intervals};

/// Intensities of a frame as `glintd inspect` writes them; `None` where they are not measured.
type Reading = Option<[f32; AU_COUNT]>;

/// Names of the figures, in their order.
const FIGURES: [&str; 4] = ["icc", "mae", "pcc", "f1"];
/// Seed of the bootstrap.
const SEED: u64 = 1;

/// One AU of one person.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    pairs: RaterSums,
    presence: Presence,
    frames: u64,
}

impl Sums {
    fn push(&mut self, codes: &Codes, frame: u32, from: u8, measured: f32) {
        self.frames += 1;
        if let Some(coded) = codes.intensity.get(&frame) {
            self.pairs.push(f64::from(*coded), f64::from(measured));
        }
        if let Some(coded) = codes.present(frame, from) {
            self.presence.push(coded, measured >= measured_from(from));
        }
    }

    fn add(&mut self, other: &Self) {
        self.pairs.add(&other.pairs);
        self.presence.add(&other.presence);
        self.frames += other.frames;
    }

    fn figures(&self) -> [Option<f64>; 4] {
        [self.pairs.icc(), self.pairs.mae(), self.pairs.pcc(), self.presence.f1()]
    }
}

/// Measured intensity that stands for a coded one: glint's letters begin half a step below the number.
fn measured_from(coded: u8) -> f32 {
    f32::from(coded) - 0.5
}

/// A value and its 95 % interval over people.
pub type Figure = (Option<f64>, Option<[f64; 2]>);

/// Figures of one AU, or the means over AUs that have them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Frames.
    pub frames: u64,
    /// Of these, share in which the AU is present by code.
    pub present: Option<f64>,
    /// ICC(3,1), mean absolute error, Pearson's correlation, F1.
    pub figures: [Figure; 4],
}

/// Sums of each person, each with the AUs in the same order.
struct Table {
    aus: Vec<u8>,
    people: Vec<Vec<Sums>>,
}

impl Table {
    fn total(&self, weight: &[u32]) -> Vec<Sums> {
        let mut out = vec![Sums::default(); self.aus.len()];
        for (person, &times) in self.people.iter().zip(weight) {
            for (sum, of_person) in out.iter_mut().zip(person) {
                (0..times).for_each(|_| sum.add(of_person));
            }
        }
        out
    }

    /// Figures of every AU, and last their means.
    fn figures(&self, weight: &[u32]) -> Vec<Option<f64>> {
        let mut rows: Vec<[Option<f64>; 4]> = self.total(weight).iter().map(Sums::figures).collect();
        rows.push(std::array::from_fn(|k| {
            let values: Vec<f64> = rows.iter().filter_map(|r| r[k]).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        }));
        rows.concat()
    }

    /// A row of every AU, and last that of their means.
    fn rows(&self) -> Vec<Row> {
        let everyone = vec![1; self.people.len()];
        let totals = self.total(&everyone);
        let values = self.figures(&everyone);
        let intervals = intervals(self.people.len(), SEED, |weight| self.figures(weight));
        let figures: Vec<Figure> = values.into_iter().zip(intervals).collect();
        let mut out: Vec<Row> = figures
            .chunks_exact(FIGURES.len())
            .map(|f| Row { figures: std::array::from_fn(|k| f[k]), ..Row::default() })
            .collect();
        for (row, sum) in out.iter_mut().zip(&totals) {
            let known = sum.presence.count();
            row.frames = sum.frames;
            row.present = (known > 0).then(|| sum.presence.coded() as f64 / known as f64);
        }
        if let Some(mean) = out.last_mut() {
            mean.frames = totals.iter().map(|s| s.frames).sum();
        }
        out
    }
}

/// What was measured in a database.
#[derive(Debug, Clone, Default)]
pub struct AgreementReport {
    /// Videos.
    pub videos: usize,
    /// People.
    pub people: usize,
    /// Frames with a code of any AU.
    pub coded: u64,
    /// Of these with a picture that could be read,
    pub seen: u64,
    /// and with intensities: a face in sight that does not move or turn too much.
    pub measured: u64,
    /// Coded intensity from which an AU is present.
    pub from: u8,
    /// AUs that were coded and are measured.
    pub aus: Vec<u8>,
    /// Over measured frames: each AU, and last the means.
    pub rows: Vec<Row>,
    /// The means over all frames with a picture, an intensity of 0 where there is none.
    pub all: Row,
    /// AUs that glint does not measure, with the number of their coded frames.
    pub unknown: BTreeMap<u8, usize>,
    /// AUs that are not coded in every frame.
    pub in_part: BTreeMap<u8, usize>,
}

/// Runs every video through the pipeline and compares; an AU is present by code `from` that intensity on.
pub fn evaluate(videos: &CodedVideos, from: u8, models: &Models) -> Result<AgreementReport> {
    let bar = run::bar("videos", videos.videos.len() as u64);
    let seen: Vec<BTreeMap<u32, Reading>> = videos
        .videos
        .par_iter()
        .map(|video| {
            let readings = watch(video, models).with_context(|| video.name.clone())?;
            bar.inc(1);
            Ok(readings)
        })
        .collect::<Result<_>>()?;
    bar.finish_and_clear();
    let mut out = AgreementReport {
        videos: videos.videos.len(),
        from,
        in_part: videos.in_part.clone(),
        ..AgreementReport::default()
    };
    let people: Vec<&str> =
        videos.videos.iter().map(|v| v.subject.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
    let coded: BTreeSet<u8> = videos.videos.iter().flat_map(|v| v.codes.keys().copied()).collect();
    out.people = people.len();
    out.aus = coded.into_iter().filter(|au| au_index(*au).is_some()).collect();
    let empty = || vec![vec![Sums::default(); out.aus.len()]; people.len()];
    let (mut measured, mut all) = (empty(), empty());
    for (video, readings) in videos.videos.iter().zip(&seen) {
        let person = people.partition_point(|p| *p < video.subject.as_str());
        let mut frames = BTreeSet::new();
        for (au, codes) in &video.codes {
            let coded = codes.frames();
            frames.extend(&coded);
            let (Some(index), Some(at)) = (au_index(*au), out.aus.iter().position(|a| a == au)) else {
                *out.unknown.entry(*au).or_default() += coded.len();
                continue;
            };
            for frame in coded {
                match readings.get(&frame) {
                    Some(Some(values)) => {
                        measured[person][at].push(codes, frame, from, values[index]);
                        all[person][at].push(codes, frame, from, values[index]);
                    }
                    Some(None) => all[person][at].push(codes, frame, from, 0.0),
                    None => {}
                }
            }
        }
        out.coded += frames.len() as u64;
        let readings = || frames.iter().filter_map(|f| readings.get(f));
        out.seen += readings().count() as u64;
        out.measured += readings().filter(|r| r.is_some()).count() as u64;
    }
    out.rows = Table { aus: out.aus.clone(), people: measured }.rows();
    out.all = Table { aus: out.aus.clone(), people: all }.rows().pop().unwrap_or_default();
    Ok(out)
}

/// Intensities of every frame of a video with a picture, by its number.
fn watch(video: &CodedVideo, models: &Models) -> Result<BTreeMap<u32, Reading>> {
    let mut pipeline = pipeline(models)?;
    match &video.footage {
        Footage::Images(folder) => images(folder, video.fps, &mut pipeline),
        Footage::Clip(path) => {
            let mut clip = Clip::open(path, Some(video.fps))?;
            let (mut out, mut frame) = (BTreeMap::new(), Frame::default());
            loop {
                match clip.next(&mut frame) {
                    Ok(Some(Media::Frame)) => {
                        pipeline.push(&frame);
                        let number = u32::try_from(frame.seq + 1).context("more frames than numbers")?;
                        out.insert(number, pipeline.observation().intensities);
                    }
                    Ok(Some(Media::Damaged { seq, at_ns, reason })) => {
                        eprintln!("{}, frame {seq}: {reason}", path.display());
                        pipeline.gap(seq, at_ns);
                    }
                    Ok(None) => break,
                    // What came before is used.
                    Err(e) if !out.is_empty() => {
                        eprintln!("{e}");
                        break;
                    }
                    Err(e) => bail!(e),
                }
            }
            ensure!(!out.is_empty(), "{}: no frame could be read", path.display());
            Ok(out)
        }
    }
}

fn images(folder: &FrameFolder, fps: f64, pipeline: &mut Pipeline) -> Result<BTreeMap<u32, Reading>> {
    let (mut decoder, mut frame) = (LumaDecoder::default(), Frame::default());
    let (first, _) = folder.span();
    let mut out = BTreeMap::new();
    for number in folder.numbers() {
        let (seq, at_ns) =
            (u64::from(number - first), (f64::from(number - first) * 1e9 / fps).round() as i64);
        let path = folder.path(number).context("a frame without a file")?;
        match read_luma(&path, &mut decoder, &mut frame) {
            Ok(()) => {
                (frame.seq, frame.at_ns) = (seq, at_ns);
                pipeline.push(&frame);
                out.insert(number, pipeline.observation().intensities);
            }
            Err(e) => {
                eprintln!("{e:#}");
                pipeline.gap(seq, at_ns);
            }
        }
    }
    ensure!(!out.is_empty(), "{}: no frame could be read", folder.dir.display());
    Ok(out)
}

fn shown((value, interval): Figure) -> String {
    let value = value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
    match interval {
        Some([low, high]) => format!("{value} ({low:.3} to {high:.3})"),
        None => value,
    }
}

impl AgreementReport {
    /// One object.
    pub fn json(&self, database: &str) -> Value {
        let row = |row: &Row| {
            let mut out = Map::new();
            out.insert("frames".into(), json!(row.frames));
            out.insert("present".into(), json!(row.present));
            for (name, (value, interval)) in FIGURES.iter().zip(&row.figures) {
                out.insert((*name).into(), json!(value));
                out.insert(format!("{name}_ci95"), json!(interval));
            }
            Value::Object(out)
        };
        let keyed = |aus: &BTreeMap<u8, usize>| -> Map<String, Value> {
            aus.iter().map(|(au, n)| (au.to_string(), json!(n))).collect()
        };
        let aus: Map<String, Value> =
            self.aus.iter().zip(&self.rows).map(|(au, r)| (au.to_string(), row(r))).collect();
        json!({
            "database": database, "videos": self.videos, "people": self.people, "frames_coded": self.coded,
            "frames_seen": self.seen, "frames_measured": self.measured, "present_from": self.from,
            "measured_present_from": measured_from(self.from), "aus": aus, "mean": self.rows.last().map(row),
            "mean_all_frames": row(&self.all), "not_measured": keyed(&self.unknown),
            "coded_in_part": keyed(&self.in_part),
        })
    }

    /// The table.
    pub fn table(&self, database: &str) -> String {
        let share = self.measured as f64 / self.coded.max(1) as f64;
        let mut out = vec![
            format!(
                "{database}: {} videos of {} people, {} coded frames: {} with a picture, {} measured ({:.1} %)",
                self.videos,
                self.people,
                self.coded,
                self.seen,
                self.measured,
                100.0 * share
            ),
            format!(
                "present: coded {} or more, or coded as present; measured {:.1} or more. 95 % intervals over people.",
                self.from,
                measured_from(self.from)
            ),
            format!(
                "{:<6}{:>8}  present  {:<24}{:<24}{:<24}F1",
                "", "frames", "ICC(3,1)", "mean absolute error", "correlation"
            ),
        ];
        let line = |name: &str, row: &Row| {
            let present = row.present.map_or_else(String::new, |p| format!("{p:.3}"));
            let [icc, mae, pcc, f1] = row.figures.map(shown);
            format!("{name:<6}{:>8}  {present:<7}  {icc:<24}{mae:<24}{pcc:<24}{f1}", row.frames)
        };
        out.extend(self.aus.iter().zip(&self.rows).map(|(au, row)| line(&format!("AU{au:02}"), row)));
        out.extend(self.rows.last().map(|row| line("mean", row)));
        out.push(line("all", &self.all));
        out.push(
            "mean: of the AUs that have the figure; all: of all frames with a picture, 0 where not measured"
                .into(),
        );
        out.extend(
            self.unknown
                .iter()
                .map(|(au, frames)| format!("AU{au:02}: not measured by glint; coded in {frames} frames")),
        );
        out.extend(self.in_part.iter().map(|(au, frames)| {
            format!("AU{au:02}: left out, written down in {frames} frames and not looked for in the others")
        }));
        out.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::databases::au::{AuDatabase, AuOptions, load};
    use glint::au::{Side, UNIT_COUNT, intensity_of_fraction, unit_indices};
    use glint::clip::{AviWriter, Codec, Rate};
    use glint::synth::{Action, Camera, HeadMotion, Pack, Profile, Scene, Script, Subject};

    const FPS: f64 = 20.0;
    const FRAMES: u64 = 130;

    /// A person who smiles and raises the brows, each for 600 ms: what stands for longer stays in the reading.
    fn scene(person: u64) -> Scene {
        let pose = |au, intensity, from_ms: i64| Action {
            au,
            side: Side::Both,
            intensity,
            onset_ns: from_ms * 1_000_000,
            apex_ns: (from_ms + 250) * 1_000_000,
            offset_ns: (from_ms + 600) * 1_000_000,
            profile: Profile::Hold,
        };
        let level = 0.5 + 0.2 * person as f32;
        let mut script = Script::new(vec![pose(12, level, 1500), pose(1, level, 3500), pose(2, level, 3500)])
            .expect("valid");
        script.head = HeadMotion::STILL;
        let camera = Camera { width: 320, height: 240, eye_distance_px: 80.0, ..Camera::default() };
        Scene::new(Subject::random(Pack::embedded().expect("pack"), 40 + person), script, camera)
    }

    fn at_ns(seq: u64) -> i64 {
        (seq as f64 * 1e9 / FPS) as i64
    }

    /// What a coder would write of a frame: the larger side as a whole number.
    fn code(fractions: &[f32; UNIT_COUNT], au: u8) -> u8 {
        let largest = unit_indices(au, Side::Both).map(|u| fractions[u]).fold(0.0, f32::max);
        intensity_of_fraction(largest).round() as u8
    }

    /// Two rendered people as DISFA publishes its own; AU 11 is none of glint's.
    fn as_disfa(dir: &Path) {
        let videos = dir.join("Videos_LeftCamera");
        std::fs::create_dir_all(&videos).expect("folder");
        for person in 0..2u64 {
            let subject = format!("SN{:03}", person + 1);
            let labels = dir.join("ActionUnit_Labels").join(&subject);
            std::fs::create_dir_all(&labels).expect("folder");
            let mut scene = scene(person);
            let path = videos.join(format!("LeftVideo{subject}_comp.avi"));
            let rate = Rate::from_fps(FPS).expect("a rate");
            let mut avi = AviWriter::create(&path, rate, (320, 240), Codec::Gray).expect("creates");
            let mut codes: BTreeMap<u8, String> = BTreeMap::new();
            let mut frame = Frame::default();
            for seq in 0..FRAMES {
                scene.render(seq, at_ns(seq), &mut frame);
                avi.write(&frame.luma).expect("writes");
                let truth = scene.pose(at_ns(seq)).fractions;
                for au in [1, 2, 11, 12, 17] {
                    let row = format!("{},{}\n", seq + 1, code(&truth, au));
                    codes.entry(au).or_default().push_str(&row);
                }
            }
            avi.finish().expect("finishes");
            for (au, text) in codes {
                std::fs::write(labels.join(format!("{subject}_au{au}.txt")), text).expect("writes");
            }
        }
    }

    #[test]
    fn rendered_people_written_as_disfa_agree_with_their_script() {
        let dir = tempfile::tempdir().expect("folder");
        as_disfa(dir.path());
        let videos = load(AuDatabase::Disfa, dir.path(), &AuOptions::default()).expect("loads");
        assert!(videos.problems.is_empty(), "{:?}", videos.problems);
        let report = evaluate(&videos, 2, &Models::embedded().expect("models")).expect("runs");
        let table = report.table("disfa");
        assert_eq!((report.videos, report.people, report.coded, report.seen), (2, 2, 2 * FRAMES, 2 * FRAMES));
        assert!(report.measured > report.coded * 8 / 10, "{table}");
        assert_eq!(report.aus, [1, 2, 12, 17]);
        assert_eq!(report.unknown.get(&11), Some(&(2 * FRAMES as usize)), "{table}");
        for au in [1, 2, 12] {
            let row = &report.rows[report.aus.iter().position(|a| *a == au).expect("coded")];
            let [icc, mae, pcc, f1] = row.figures.map(|(value, _)| value.expect("measured"));
            assert!(icc > 0.9 && pcc > 0.9 && mae < 0.2 && f1 > 0.8, "AU {au}\n{table}");
            assert!(row.figures.iter().all(|(_, interval)| interval.is_some()), "AU {au}\n{table}");
        }
        // Nobody moves the chin: there is an error and nothing else.
        let chin = report.rows[3].figures.map(|(value, _)| value.is_some());
        assert_eq!(chin, [false, true, false, false], "{table}");
        assert!(table.contains("AU11: not measured by glint; coded in 260 frames"), "{table}");
        assert_eq!(table.lines().count(), 3 + 4 + 3 + 1, "{table}");
        let json = report.json("disfa");
        assert_eq!((&json["present_from"], &json["measured_present_from"]), (&json!(2), &json!(1.5)));
        assert_eq!(json["aus"]["12"]["icc"], json!(report.rows[2].figures[0].0));
        assert_eq!(json["not_measured"]["11"], json!(260));
    }

    #[test]
    fn a_frame_that_is_not_measured_counts_as_nothing_or_as_zero() {
        let codes = Codes { intensity: BTreeMap::from([(1, 0), (2, 2), (3, 4)]), ..Codes::default() };
        let mut person = Sums::default();
        [(1, 0.4), (2, 1.5), (3, 0.0)].into_iter().for_each(|(f, m)| person.push(&codes, f, 2, m));
        assert_eq!((person.frames, person.presence.hits, person.presence.missed), (3, 1, 1));
        assert!((person.pairs.mae().expect("MAE") - (0.4 + 0.5 + 4.0) / 3.0).abs() < 1e-6);
        let table = Table { aus: vec![12, 17], people: vec![vec![person, Sums::default()]] };
        let rows = table.rows();
        // The mean is that of the one AU that has figures, and one person has no interval.
        assert_eq!(rows[2].figures, rows[0].figures);
        assert_eq!((rows[0].present, rows[1].present), (Some(2.0 / 3.0), None));
        assert!(rows[0].figures.iter().all(|(value, interval)| value.is_some() && interval.is_none()));
    }
}
