//! Databases whose frames people coded in action units.
//!
//! A layout is read only where a published loader reads it too:
//!
//! | database | codes and frames, after |
//! |---|---|
//! | DISFA | `tool/DISFA_image_label_process.py` of CVI-SZU/ME-GraphAU; `matlab_runners/Action Unit Experiments/run_AU_prediction_DISFA.m` of TadasBaltrusaitis/CLM-framework |
//! | DISFA+ | `load_disfaplus` in `feat/evaluation/datasets.py` of cosanlab/py-feat |
//! | BP4D | OpenFace's `extract_BP4D_labels_intensity.m` (a copy: AiCure/open_dbm, `pkg/OpenFace/model_training/AU_training/data extraction`); `data extraction/find_BP4D.m`, `extract_features_BP4D.m` of TadasBaltrusaitis/FERA-2015; occurrence: `tool/BP4D_image_label_process.py` of CVI-SZU/ME-GraphAU |
//! | BP4D+ | `dataset/data_loader/BP4DPlusBigSmallLoader.py` of ubicomplab/rPPG-Toolbox; `load_bp4dplus_labels` in `scripts/extract_au_training_features.py` of cosanlab/py-feat |
//! | UNBC-McMaster | `load_pain_labels` in the same file; `run_AU_prediction_UNBC.m` of OpenFace |
//!
//! A wrong row is reported with file and line and left out: its frame has no code then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::frames::{FrameFolder, find, last_number, walk};
use super::sheet::Problem;

/// Databases of coded frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AuDatabase {
    /// DISFA (Mavadati et al. 2013): 27 people watch films; 12 AUs.
    Disfa,
    /// DISFA+ (Mavadati et al. 2016): 9 people pose; 12 AUs.
    #[value(alias = "disfa+")]
    DisfaPlus,
    /// BP4D (Zhang et al. 2014): 41 people, 8 tasks; intensity of 5 AUs, occurrence of 12.
    #[value(name = "bp4d")]
    Bp4d,
    /// BP4D+ (Zhang et al. 2016), its frames unpacked: 140 people, 4 coded tasks.
    #[value(name = "bp4d-plus", alias = "bp4d+")]
    Bp4dPlus,
    /// UNBC-McMaster shoulder pain (Lucey et al. 2011): 25 people; 9 AUs, and closed eyes.
    Unbc,
    /// GFT: refused.
    Gft,
    /// SEMAINE as in FERA 2015: refused.
    Semaine,
    /// FEAFA+: refused.
    Feafa,
}

/// AUs whose occurrence is the benchmark of BP4D, in every published comparison the same.
const BP4D_OCCURRENCE: [u8; 12] = [1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24];
/// AUs that are coded in every frame of UNBC-McMaster, with their intensity; AU 43 as present or not.
const UNBC_INTENSITY: [u8; 9] = [4, 6, 7, 9, 10, 12, 20, 25, 26];
const CLOSED_EYES: u8 = 43;
/// BP4D's code for a frame in which an AU could not be told.
const UNKNOWN: u32 = 9;

impl AuDatabase {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disfa => "disfa",
            Self::DisfaPlus => "disfa-plus",
            Self::Bp4d => "bp4d",
            Self::Bp4dPlus => "bp4d-plus",
            Self::Unbc => "unbc",
            Self::Gft => "gft",
            Self::Semaine => "semaine",
            Self::Feafa => "feafa",
        }
    }

    /// Frames per second. The loaders of DISFA+ and UNBC-McMaster do not state them: the rates of the cameras of DISFA and
    /// of video.
    fn fps(self) -> f64 {
        match self {
            Self::Disfa | Self::DisfaPlus => 20.0,
            Self::Bp4d | Self::Bp4dPlus => 25.0,
            _ => 30.0,
        }
    }

    /// Coded intensity from which an AU is present: 2 in DISFA (`AUIntensity >= 2` in ME-GraphAU) and DISFA+ (py-feat,
    /// `scripts/competitors/export_disfaplus_manifest.py`), any in BP4D (occurrence is coded from A on) and UNBC-McMaster
    /// (`labels_train > 0` in OpenFace, `experiments/UNBC/Prepare_HOG_AU_data.m`).
    pub fn present_from(self) -> u8 {
        if matches!(self, Self::Disfa | Self::DisfaPlus) { 2 } else { 1 }
    }
}

/// What people said of one AU in one video, by the number of the frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Codes {
    /// Intensity, 0 to 5.
    pub intensity: BTreeMap<u32, u8>,
    /// Whether it occurs, where that was coded on its own.
    pub occurs: BTreeMap<u32, bool>,
}

impl Codes {
    /// Whether the AU is present in a frame: its occurrence where that is coded, else an intensity of `from` or more.
    pub fn present(&self, frame: u32, from: u8) -> Option<bool> {
        if self.occurs.is_empty() {
            return self.intensity.get(&frame).map(|i| *i >= from);
        }
        self.occurs.get(&frame).copied()
    }

    /// Frames with a code.
    pub fn frames(&self) -> BTreeSet<u32> {
        self.intensity.keys().chain(self.occurs.keys()).copied().collect()
    }
}

/// Where the frames of a video are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Footage {
    /// Numbered images.
    Images(FrameFolder),
    /// A video file; its first frame has the number 1.
    Clip(PathBuf),
}

/// One video.
#[derive(Debug, Clone)]
pub struct CodedVideo {
    /// Unique in its database.
    pub name: String,
    /// The person.
    pub subject: String,
    /// Its frames.
    pub footage: Footage,
    /// Frames per second.
    pub fps: f64,
    /// Codes by the number of the AU.
    pub codes: BTreeMap<u8, Codes>,
}

/// What a database gave.
#[derive(Debug, Default)]
pub struct CodedVideos {
    /// Videos with codes and frames, in the order of their names.
    pub videos: Vec<CodedVideo>,
    /// What was wrong with rows, files and folders.
    pub problems: Vec<Problem>,
    /// AUs that are written down where they occur, but not looked for in every frame, with the number of those frames: there
    /// is nothing to compare with.
    pub in_part: BTreeMap<u8, usize>,
}

/// What is read from where.
#[derive(Debug, Clone, Default)]
pub struct AuOptions {
    /// The folder with frames or videos, where it does not have its published name.
    pub frames: Option<PathBuf>,
    /// Frames per second, in place of the database's own.
    pub fps: Option<f64>,
}

/// Reads a database below `dir`, or refuses it by name.
pub fn load(database: AuDatabase, dir: &Path, options: &AuOptions) -> Result<CodedVideos> {
    if matches!(database, AuDatabase::Gft | AuDatabase::Semaine | AuDatabase::Feafa) {
        bail!("{}: layout not confirmed: no published loader was compared with it", database.name());
    }
    ensure!(dir.is_dir(), "{}: no such folder", dir.display());
    let mut reader = Reader {
        database,
        dir,
        options,
        fps: options.fps.unwrap_or(database.fps()),
        out: CodedVideos::default(),
    };
    match database {
        AuDatabase::Disfa => reader.disfa()?,
        AuDatabase::DisfaPlus => reader.disfa_plus()?,
        AuDatabase::Bp4d => {
            reader.bp4d(&["AU_INT", "AU Intensity Codes3.0"], &["BP4D-training", "Sequences_2D+3D"])?
        }
        AuDatabase::Bp4dPlus => reader.bp4d(&["AU_INT"], &["2D+3D"])?,
        _ => reader.unbc()?,
    }
    let mut out = reader.out;
    if out.videos.is_empty() {
        let first = out.problems.first().map_or_else(String::new, |p| format!("; the first problem: {p}"));
        bail!("{}: no video can be used{first}", dir.display());
    }
    out.videos.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

struct Reader<'a> {
    database: AuDatabase,
    dir: &'a Path,
    options: &'a AuOptions,
    fps: f64,
    out: CodedVideos,
}

impl Reader<'_> {
    /// A folder of the layout.
    fn folder(&self, names: &[&str]) -> Result<PathBuf> {
        find(self.dir, names).filter(|p| p.is_dir()).with_context(|| {
            format!(
                "{}: {}: layout not confirmed: no folder {}",
                self.dir.display(),
                self.database.name(),
                names.join(" or ")
            )
        })
    }

    fn frames_root(&self, names: &[&str]) -> Result<PathBuf> {
        match &self.options.frames {
            Some(dir) => {
                ensure!(dir.is_dir(), "{}: no such folder", dir.display());
                Ok(dir.clone())
            }
            None => self.folder(names),
        }
    }

    fn problem(&mut self, file: &Path, line: usize, reason: String, remedy: &'static str) {
        self.out.problems.push(Problem {
            file: file.to_owned(),
            row: line,
            column: String::new(),
            reason,
            remedy,
        });
    }

    /// Lines of a file that say something, with their numbers; nothing, and a problem, of one that cannot be read.
    fn lines(&mut self, file: &Path) -> Vec<(usize, String)> {
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(e) => {
                self.problem(file, 0, e.to_string(), "file left out");
                return Vec::new();
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        let numbered = text.trim_start_matches('\u{feff}').lines().enumerate();
        numbered.map(|(i, l)| (i + 1, l.trim().to_owned())).filter(|(_, l)| !l.is_empty()).collect()
    }

    /// Rows of frame and code, read by `row`; `None` of a row without a code.
    fn rows<T>(
        &mut self,
        file: &Path,
        row: impl Fn(usize, &str) -> Result<Option<(u32, T)>, String>,
    ) -> BTreeMap<u32, T> {
        let mut out = BTreeMap::new();
        for (line, text) in self.lines(file) {
            match row(line, &text) {
                Ok(Some((frame, _))) if out.contains_key(&frame) => {
                    self.problem(file, line, format!("frame {frame} is coded twice"), "row left out");
                }
                Ok(Some((frame, code))) => {
                    out.insert(frame, code);
                }
                Ok(None) => {}
                Err(reason) => self.problem(file, line, reason, "row left out"),
            }
        }
        out
    }

    /// Adds a video; one whose frames are not there becomes a problem.
    fn add(&mut self, subject: &str, name: String, footage: Result<Footage>, codes: BTreeMap<u8, Codes>) {
        match footage {
            _ if codes.values().all(|c| c.intensity.is_empty() && c.occurs.is_empty()) => {}
            Ok(footage) => self.out.videos.push(CodedVideo {
                name,
                subject: subject.to_owned(),
                footage,
                fps: self.fps,
                codes,
            }),
            Err(e) => self.problem(Path::new(&name), 0, format!("{e:#}"), "video left out"),
        }
    }

    /// `ActionUnit_Labels/SN001/SN001_au1.txt`, lines of `frame,intensity`; `Videos_LeftCamera/LeftVideoSN001_comp.avi`.
    fn disfa(&mut self) -> Result<()> {
        let labels = self.folder(&["ActionUnit_Labels"])?;
        let root = self.frames_root(&["Videos_LeftCamera", "Video_LeftCamera"])?;
        let videos = walk(&root, 0);
        for folder in folders(&labels) {
            let subject = file_name(&folder);
            let mut codes = BTreeMap::new();
            for (au, file) in numbered_files(&folder, &format!("{subject}_au"), ".txt") {
                let intensity = self.rows(&file, |_, text| {
                    let (frame, code) =
                        text.split_once(',').ok_or_else(|| not_a_row(text, "frame,intensity"))?;
                    Ok(Some((whole(frame)?, intensity(code)?)))
                });
                codes.insert(au, Codes { intensity, ..Codes::default() });
            }
            let is_video = |p: &&PathBuf| {
                file_name(p).contains(&subject)
                    && p.extension().is_some_and(|e| e.eq_ignore_ascii_case("avi"))
            };
            let video = videos.iter().find(is_video).cloned();
            let footage = video
                .map(Footage::Clip)
                .with_context(|| format!("no video *{subject}*.avi in {}", root.display()));
            self.add(&subject, subject.clone(), footage, codes);
        }
        Ok(())
    }

    /// `Labels/SN001/TRIAL/AU1.txt`, lines of `000.jpg intensity` below comments; `Images/SN001/TRIAL/000.jpg`.
    fn disfa_plus(&mut self) -> Result<()> {
        let labels = self.folder(&["Labels"])?;
        let root = self.frames_root(&["Images"])?;
        for person in folders(&labels) {
            let subject = file_name(&person);
            for trial in folders(&person) {
                let mut codes = BTreeMap::new();
                for (au, file) in numbered_files(&trial, "AU", ".txt") {
                    let intensity = self.rows(&file, |_, text| {
                        if text.starts_with('#') {
                            return Ok(None);
                        }
                        let mut words = text.split_whitespace();
                        let (Some(image), Some(code)) = (words.next(), words.next()) else {
                            return Err(not_a_row(text, "image and intensity"));
                        };
                        let stem = Path::new(image).file_stem().and_then(|s| s.to_str()).unwrap_or_default();
                        let frame = last_number(stem).ok_or_else(|| format!("\"{image}\" has no number"))?;
                        Ok(Some((frame, intensity(code)?)))
                    });
                    codes.insert(au, Codes { intensity, ..Codes::default() });
                }
                let name = format!("{subject}/{}", file_name(&trial));
                let footage = FrameFolder::open(&root.join(&name)).map(Footage::Images);
                self.add(&subject, name, footage, codes);
            }
        }
        Ok(())
    }

    /// `AU06/F001_T1_AU06.csv`, lines of `frame,intensity` with 9 for unknown; `AU_OCC/F001_T1.csv` with a head of AU
    /// numbers over columns of occurrence, where it is there; frames `F001/T1/0001.jpg`.
    fn bp4d(&mut self, intensities: &[&str], roots: &[&str]) -> Result<()> {
        let root = self.frames_root(roots)?;
        let mut videos: BTreeMap<(String, String), BTreeMap<u8, Codes>> = BTreeMap::new();
        for (au, folder) in numbered_files(&self.folder(intensities)?, "AU", "") {
            for file in walk(&folder, 0).into_iter().filter(|p| has_extension(p, "csv")) {
                let Some(video) = subject_and_task(&file) else {
                    self.problem(
                        &file,
                        0,
                        "its name is none such as F001_T1_AU06.csv".into(),
                        "file left out",
                    );
                    continue;
                };
                let intensity = self.rows(&file, |_, text| {
                    let (frame, code) =
                        text.split_once(',').ok_or_else(|| not_a_row(text, "frame,intensity"))?;
                    let frame = whole(frame)?;
                    Ok(if whole(code)? == UNKNOWN { None } else { Some((frame, intensity(code)?)) })
                });
                videos.entry(video).or_default().entry(au).or_default().intensity = intensity;
            }
        }
        let occurrence = find(self.dir, &["AU_OCC"]).or_else(|| find(self.dir, &["AUCoding"]));
        for file in occurrence.map(|d| walk(&d, 0)).into_iter().flatten().filter(|p| has_extension(p, "csv"))
        {
            let Some(video) = subject_and_task(&file) else {
                self.problem(&file, 0, "its name is none such as F001_T1.csv".into(), "file left out");
                continue;
            };
            for (au, occurs) in self.occurrence(&file) {
                videos.entry(video.clone()).or_default().entry(au).or_default().occurs = occurs;
            }
        }
        for ((subject, task), codes) in videos {
            let name = format!("{subject}/{task}");
            let footage = FrameFolder::open(&root.join(&subject).join(&task)).map(Footage::Images);
            self.add(&subject, name, footage, codes);
        }
        Ok(())
    }

    /// The head says which AU stands in which column; the first column is the frame.
    fn occurrence(&mut self, file: &Path) -> BTreeMap<u8, BTreeMap<u32, bool>> {
        let mut out: BTreeMap<u8, BTreeMap<u32, bool>> = BTreeMap::new();
        let lines = self.lines(file);
        let Some(((first, head), rows)) = lines.split_first() else { return out };
        let aus: Vec<Option<u8>> = head.split(',').map(|c| c.trim().parse().ok()).collect();
        if aus.len() < 2 || aus.iter().skip(1).all(Option::is_none) {
            self.problem(file, *first, "no numbers of AUs in its head".into(), "file left out");
            return out;
        }
        for (line, text) in rows {
            let cells: Vec<&str> = text.split(',').map(str::trim).collect();
            let row: Result<Vec<u32>, String> = cells.iter().map(|c| whole(c)).collect();
            let row = match row {
                Ok(row) if row.len() == aus.len() => row,
                Ok(row) => {
                    self.problem(
                        file,
                        *line,
                        format!("{} cells; {} in the head", row.len(), aus.len()),
                        "row left out",
                    );
                    continue;
                }
                Err(reason) => {
                    self.problem(file, *line, reason, "row left out");
                    continue;
                }
            };
            for (au, code) in aus.iter().zip(&row).skip(1) {
                let Some(au) = au.filter(|au| BP4D_OCCURRENCE.contains(au)) else { continue };
                match *code {
                    0 | 1 => {
                        out.entry(au).or_default().insert(row[0], *code == 1);
                    }
                    UNKNOWN => {}
                    code => {
                        let reason = format!("AU {au}: {code} is neither 0 nor 1 nor {UNKNOWN}");
                        self.problem(file, *line, reason, "code left out");
                    }
                }
            }
        }
        out
    }

    /// `Frame_Labels/FACS/042-ll042/ll042t1aaaff/ll042t1aaaff001_facs.txt`: a row of AU, intensity, onset and offset for
    /// each AU that occurs, so that an empty file says that none does; `Images/042-ll042/ll042t1aaaff/ll042t1aaaff001.png`.
    fn unbc(&mut self) -> Result<()> {
        let labels = self.folder(&["Frame_Labels"])?.join("FACS");
        ensure!(labels.is_dir(), "{}: unbc: layout not confirmed: no such folder", labels.display());
        let root = self.frames_root(&["Images"])?;
        for person in folders(&labels) {
            let subject = file_name(&person);
            for sequence in folders(&person) {
                let mut codes: BTreeMap<u8, Codes> = BTreeMap::new();
                for file in walk(&sequence, 0) {
                    let name = file_name(&file);
                    let Some(frame) = name.strip_suffix("_facs.txt").and_then(last_number) else { continue };
                    let Some(coded) = self.unbc_frame(&file) else { continue };
                    for au in UNBC_INTENSITY {
                        let intensity = coded.get(&au).copied().unwrap_or(0);
                        codes.entry(au).or_default().intensity.insert(frame, intensity);
                    }
                    let closed = coded.get(&CLOSED_EYES).is_some_and(|i| *i > 0);
                    codes.entry(CLOSED_EYES).or_default().occurs.insert(frame, closed);
                    let others =
                        coded.keys().filter(|au| **au != CLOSED_EYES && !UNBC_INTENSITY.contains(au));
                    others.for_each(|au| *self.out.in_part.entry(*au).or_default() += 1);
                }
                let name = format!("{subject}/{}", file_name(&sequence));
                let footage = FrameFolder::open(&root.join(&name)).map(Footage::Images);
                self.add(&subject, name, footage, codes);
            }
        }
        Ok(())
    }

    /// AUs of one frame. `None` where a row is wrong: what it meant to say is not known, and so nothing is of the frame.
    fn unbc_frame(&mut self, file: &Path) -> Option<BTreeMap<u8, u8>> {
        let before = self.out.problems.len();
        let mut out = BTreeMap::new();
        for (line, text) in self.lines(file) {
            let words: Vec<&str> = text.split_whitespace().collect();
            let parsed = match words[..] {
                [au, code, ..] => whole(au)
                    .and_then(|n| u8::try_from(n).map_err(|_| format!("{n} is not an action unit")))
                    .and_then(|au| Ok((au, intensity(code)?))),
                _ => Err(not_a_row(&text, "AU and intensity")),
            };
            match parsed {
                Ok((au, code)) => {
                    out.insert(au, code);
                }
                Err(reason) => self.problem(file, line, reason, "frame left out"),
            }
        }
        (self.out.problems.len() == before).then_some(out)
    }
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    walk(dir, 0).into_iter().filter(|p| p.is_dir()).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))
}

/// What of `dir` is called by a prefix, the number of an AU and a suffix.
fn numbered_files(dir: &Path, prefix: &str, suffix: &str) -> Vec<(u8, PathBuf)> {
    let number = |p: &Path| file_name(p).strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok();
    walk(dir, 0).into_iter().filter_map(|p| Some((number(&p)?, p))).collect()
}

/// `F001` and `T1` of `F001_T1.csv` and `F001_T1_AU06.csv`.
fn subject_and_task(file: &Path) -> Option<(String, String)> {
    let name = file.file_stem()?.to_string_lossy().into_owned();
    let mut parts = name.split('_');
    let (subject, task) = (parts.next()?, parts.next()?);
    let numbered = |word: &str| word.len() > 1 && word[1..].bytes().all(|b| b.is_ascii_digit());
    let fits =
        subject.starts_with(['F', 'M']) && task.starts_with('T') && numbered(subject) && numbered(task);
    fits.then(|| (subject.to_owned(), task.to_owned()))
}

fn not_a_row(text: &str, wanted: &str) -> String {
    let start: String = text.chars().take(40).collect();
    format!("\"{start}\" is no row of {wanted}")
}

/// A whole number, also where it is written as `1.0000000e+00`.
fn whole(text: &str) -> Result<u32, String> {
    let text = text.trim();
    let value: f64 = text.parse().map_err(|_| format!("\"{text}\" is not a number"))?;
    let fits = value >= 0.0 && value.fract() == 0.0 && value <= f64::from(u32::MAX);
    if fits { Ok(value as u32) } else { Err(format!("{text} is not a whole number")) }
}

fn intensity(text: &str) -> Result<u8, String> {
    match whole(text)? {
        code @ 0..=5 => Ok(code as u8),
        code => Err(format!("{code} is no intensity from 0 to 5")),
    }
}
