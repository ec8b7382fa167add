//! What each database calls its sheets, columns and folders.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::frames::{FrameFolder, find, walk};
use super::sheet::{Column, Problem, Row, Sheet};
use super::{AnnotatedSample, Database, Length, LoadOptions, Loaded, Times, labels, times, tokens};

/// Names of one kind of sheet: the other spellings of a heading after the first.
struct Layout {
    /// File names, the newest edition first.
    files: &'static [&'static str],
    /// Sheet of the workbook; the first one where it is not there.
    sheet: &'static str,
    subject: &'static [&'static str],
    clip: &'static [&'static str],
    emotion: &'static [&'static str],
    aus: &'static [&'static str],
    /// Folders that hold the frames, the preferred one first.
    roots: &'static [&'static str],
    fps: f64,
    length: Length,
}

const ONSET: &[&str] = &["OnsetFrame", "Onset Frame", "Onset", "OnsetF"];
const APEX: &[&str] = &["ApexFrame", "Apex Frame", "Apex", "ApexF"];
const OFFSET: &[&str] = &["OffsetFrame", "Offset Frame", "Offset", "OffsetF"];
const OBJECTIVE: &[&str] = &["Objective class", "Objective Classes"];
const TYPE: &[&str] = &["Expression type", "Type"];

const CASME2: Layout = Layout {
    files: &["CASME2-coding-20190701.xlsx", "CASME2-coding-20140508.xlsx", "CASME2_label_Ver_2.xls"],
    sheet: "",
    subject: &["Subject"],
    clip: &["Filename"],
    emotion: &["Estimated Emotion"],
    aus: &["Action Units"],
    roots: &["CASME2_RAW_selected", "CASME2-RAW", "CASME2_RAW", "Cropped"],
    fps: 200.0,
    length: Length::Micro,
};
const SAMM: Layout = Layout {
    files: &["SAMM_Micro_FACS_Codes_v2.xlsx", "SAMM_Micro_FACS_Codes_v2.csv", "SAMM_Micro_FACS_Codes.xlsx"],
    sheet: "MICRO_ONLY",
    roots: &["SAMM"],
    ..CASME2
};
/// The headings stand in row 10, below a key of symbols.
const SAMM_LONG: Layout = Layout {
    files: &[
        "SAMM_LongVideos_V3_Release.xlsx",
        "SAMM_LongVideos_V2_Release.xlsx",
        "SAMM_LongVideos_V1_Release.xlsx",
    ],
    sheet: "",
    // Emotions stand in the sheet of the short clips alone.
    emotion: &[],
    roots: &["SAMM_longvideos"],
    ..CASME2
};
const CASME3_A: Layout = Layout {
    files: &[
        "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx",
        "cas(me)3_part_A_ME_label_JpgIndex_v2.xls",
        "cas(me)3_part_A_ME_label_JpgIndex_v1.xls",
        "cas(me)3_part_A_ME_label_JpgIndex.xls",
    ],
    sheet: "label",
    emotion: &["emotion"],
    aus: &["AU"],
    roots: &["part_A"],
    fps: 30.0,
    ..CASME2
};
const CASME3_A_MACRO: Layout = Layout {
    files: &[
        "cas(me)3_part_A_MaE_label_JpgIndex_v2_emotion.xlsx",
        "cas(me)3_part_A_MaE_label_JpgIndex_v2.xls",
    ],
    length: Length::Macro,
    ..CASME3_A
};
const CASME3_C: Layout = Layout {
    files: &["CAS(ME)3_part_C_ME.xlsx", "CAS(ME)3_part_C_ME.xls"],
    sheet: "",
    subject: &["sub", "Subject"],
    clip: &["count", "Filename"],
    aus: &["au"],
    roots: &["ME_C", "part_C"],
    ..CASME3_A
};
const FOUR_DME: Layout = Layout {
    files: &["4DME_Labelling_Micro_release v1.xlsx", "4DME_Labelling_Micro_release_v1.xlsx"],
    sheet: "",
    subject: &["sub_ID"],
    clip: &["fold_name"],
    emotion: &["Emotion"],
    aus: &["AUs"],
    roots: &["gray_micro"],
    fps: 60.0,
    length: Length::Micro,
};
const MMEW: Layout =
    Layout { files: &["MMEW_Micro_Exp.xlsx"], roots: &["Micro_Expression"], fps: 90.0, ..CASME2 };
const DFME: Layout = Layout {
    files: &["training_full_with_AU.xlsx"],
    emotion: &["Emotion"],
    aus: &["AU", "AUs", "Action Units"],
    roots: &["crops", "DFME"],
    fps: 200.0,
    ..CASME2
};
const DFME_TEST_A: Layout = Layout { files: &["testA.xlsx", "testA_with_AU.xlsx"], ..DFME };
const DFME_TEST_B: Layout = Layout { files: &["testB.xlsx", "testB_with_AU.xlsx"], ..DFME };

/// Reads a database (see [`super::load`]).
pub(super) fn load(database: Database, dir: &Path, options: &LoadOptions) -> Result<Loaded> {
    let part = options.part.as_deref();
    let known = |parts: &[&str]| -> Result<()> {
        let fits = part.is_none_or(|p| parts.contains(&p));
        let allowed = if parts.is_empty() { "this database has none".into() } else { parts.join(", ") };
        ensure!(fits, "--part: {}; allowed: {allowed}", part.unwrap_or_default());
        Ok(())
    };
    match database {
        Database::Casme2 => known(&[]).and_then(|()| read(&CASME2, dir, options, &casme2_dir)),
        Database::Samm => known(&[]).and_then(|()| read(&SAMM, dir, options, &samm_dir)),
        Database::Smic => known(&["hs", "vis", "nir"]).and_then(|()| smic(dir, options)),
        Database::CasMe2 => known(&[]).and_then(|()| cas_me2(dir, options)),
        Database::CasMe3 => {
            known(&["a", "a-macro", "c"])?;
            let color = |root: &Path, row: &Keys<'_>| {
                Some(child(&child(root, row.subject)?, row.clip)?.join("color"))
            };
            match part {
                Some("a-macro") => read(&CASME3_A_MACRO, dir, options, &color),
                Some("c") => read(&CASME3_C, dir, options, &color),
                _ => read(&CASME3_A, dir, options, &color),
            }
        }
        Database::FourDme => {
            known(&[])?;
            read(&FOUR_DME, dir, options, &|root, row| child(&child(root, row.subject)?, row.clip))
        }
        Database::Mmew => known(&[]).and_then(|()| read(&MMEW, dir, options, &mmew_dir)),
        Database::Dfme => {
            known(&["train", "test-a", "test-b"])?;
            let layout = match part {
                Some("test-a") => &DFME_TEST_A,
                Some("test-b") => &DFME_TEST_B,
                _ => &DFME,
            };
            read(layout, dir, options, &|root, row| {
                child(root, row.clip).or_else(|| child(&child(root, row.subject)?, row.clip))
            })
        }
    }
}

/// SAMM Long Videos: `006_1_2` is the second movement of the video `006_1`. Emotions are those of the same movement in the
/// sheet of SAMM, where that lies beside it.
pub(super) fn samm_long(dir: &Path, options: &LoadOptions) -> Result<Loaded> {
    let mut loaded = read(&SAMM_LONG, dir, options, &|root, row| {
        let mut parts = row.clip.split('_');
        child(root, &format!("{}_{}", parts.next()?, parts.next()?))
    })?;
    if let Some(path) = find(dir, SAMM.files) {
        let sheet = Sheet::open(&path, SAMM.sheet)?.with_header(&[SAMM.clip, SAMM.emotion])?;
        if let (Some(clip), Some(emotion)) = (sheet.column(SAMM.clip), sheet.column(SAMM.emotion)) {
            let known: HashMap<&str, &str> = sheet.rows().map(|r| (r.text(clip), r.text(emotion))).collect();
            for sample in &mut loaded.samples {
                sample.emotions = known.get(sample.clip.as_str()).map_or_else(Vec::new, |e| words(e));
            }
        }
    }
    Ok(loaded)
}

/// What of a row chooses its folder.
struct Keys<'a> {
    subject: &'a str,
    clip: &'a str,
    emotion: &'a str,
}

/// A folder below `dir`, without regard to case.
fn child(dir: &Path, name: &str) -> Option<PathBuf> {
    let exact = dir.join(name);
    if exact.is_dir() {
        return Some(exact);
    }
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    entries
        .map(|e| e.path())
        .find(|p| p.is_dir() && p.file_name().is_some_and(|n| n.to_string_lossy().eq_ignore_ascii_case(name)))
}

/// A number with so many digits at least; other words as they are.
fn padded(word: &str, digits: usize) -> String {
    word.parse::<u32>().map_or_else(|_| word.to_owned(), |n| format!("{n:0digits$}"))
}

fn casme2_dir(root: &Path, row: &Keys<'_>) -> Option<PathBuf> {
    let subject = row.subject.trim_start_matches("sub");
    child(&child(root, &format!("sub{}", padded(subject, 2)))?, row.clip)
}

fn samm_dir(root: &Path, row: &Keys<'_>) -> Option<PathBuf> {
    child(&child(root, &padded(row.subject, 3))?, row.clip)
}

/// The folder of the row's emotion; where the sheet and the folders disagree, any that has the clip.
fn mmew_dir(root: &Path, row: &Keys<'_>) -> Option<PathBuf> {
    let by_emotion = child(root, row.emotion).and_then(|d| child(&d, row.clip));
    by_emotion.or_else(|| walk(root, 0).iter().find_map(|d| child(d, row.clip)))
}

/// Subject of a row as a string: CASME II 1 is `01`, SAMM 6 is `006`.
fn subject_id(layout: &Layout, word: &str) -> String {
    match layout.roots.first() {
        Some(&"SAMM") => padded(word, 3),
        Some(&"CASME2_RAW_selected") => padded(word.trim_start_matches("sub"), 2),
        _ => word.to_owned(),
    }
}

/// Folders that were listed before: in CAS(ME)3 many rows share one.
#[derive(Default)]
struct Folders(HashMap<PathBuf, Result<FrameFolder, String>>);

impl Folders {
    fn open(&mut self, dir: &Path) -> Result<FrameFolder, String> {
        let listed = || FrameFolder::open(dir).map_err(|e| format!("{e:#}"));
        self.0.entry(dir.to_owned()).or_insert_with(listed).clone()
    }

    /// The clip of a row, its times as numbers of frames that exist.
    fn resolve(
        &mut self,
        dir: Option<PathBuf>,
        row: &Row<'_>,
        mut times: Times,
        problems: &mut Vec<Problem>,
    ) -> Option<(FrameFolder, Times)> {
        let mut refuse = |reason: String| {
            problems.push(row.problem(None, reason, "row left out"));
            None
        };
        let Some(dir) = dir else { return refuse("the folder with its frames is not there".into()) };
        let folder = match self.open(&dir) {
            Ok(folder) => folder,
            Err(reason) => return refuse(reason),
        };
        let reach = 2;
        if let (Some(onset), Some(apex)) =
            (folder.nearest(times.onset, reach), folder.nearest(times.apex, reach))
            && onset < apex
        {
            times.onset = onset;
            times.apex = apex;
            return Some((folder, times));
        }
        // A clip that was cut to the movement and numbered anew.
        let (first, last) = folder.span();
        if times.offset.is_some_and(|o| o - times.onset == last - first) {
            let shift = |n: u32| n - times.onset + first;
            times = Times { onset: first, apex: shift(times.apex), offset: times.offset.map(shift), ..times };
            return Some((folder, times));
        }
        refuse(format!(
            "frames {} and {} are not in {} ({first} to {last})",
            times.onset,
            times.apex,
            folder.dir.display()
        ))
    }
}

/// The sheet of a layout below `dir`.
fn sheet_path(files: &[&str], dir: &Path, options: &LoadOptions) -> Result<PathBuf> {
    match &options.sheet {
        Some(path) => Ok(path.clone()),
        None => find(dir, files).with_context(|| {
            format!("{}: no sheet {}; --sheet names another", dir.display(), files.join(", "))
        }),
    }
}

pub(super) fn frames_root(roots: &[&str], dir: &Path, options: &LoadOptions) -> PathBuf {
    options.frames.clone().or_else(|| find(dir, roots)).unwrap_or_else(|| dir.to_owned())
}

fn read(
    layout: &Layout,
    dir: &Path,
    options: &LoadOptions,
    clip_dir: &dyn Fn(&Path, &Keys<'_>) -> Option<PathBuf>,
) -> Result<Loaded> {
    let path = sheet_path(layout.files, dir, options)?;
    let root = frames_root(layout.roots, dir, options);
    let sheet =
        Sheet::open(&path, layout.sheet)?.with_header(&[layout.subject, layout.clip, ONSET, OFFSET])?;
    let need = |names: &[&str]| {
        sheet.column(names).with_context(|| format!("{}: no column {}", path.display(), names[0]))
    };
    let (subject, clip) = (need(layout.subject)?, need(layout.clip)?);
    let (onset, offset) = (need(ONSET)?, need(OFFSET)?);
    let (apex, emotion, aus) = (sheet.column(APEX), sheet.column(layout.emotion), sheet.column(layout.aus));
    let (objective, kind, fps) = (sheet.column(OBJECTIVE), sheet.column(TYPE), sheet.column(&["Fps"]));
    let units = unit_columns(&sheet);
    let mut folders = Folders::default();
    let (mut loaded, mut codes) = (Loaded::default(), Vec::new());
    for row in sheet.rows() {
        let keys = Keys { subject: row.text(subject), clip: row.text(clip), emotion: row.text_of(emotion) };
        // Text below the table, as in SMIC-E and some editions of SAMM.
        if keys.subject.is_empty() || keys.clip.is_empty() {
            if row.frame(onset).ok().flatten().is_some() {
                loaded.problems.push(row.problem(None, "no subject or no file name".into(), "row left out"));
            }
            continue;
        }
        let rate = match row.text_of(fps) {
            "" => layout.fps,
            text => match text.parse::<f64>() {
                Ok(rate) if rate > 0.0 && rate <= 1000.0 => rate,
                _ => {
                    let reason = format!("\"{text}\" is not a frame rate");
                    loaded.problems.push(row.problem(fps, reason, "row left out"));
                    continue;
                }
            },
        };
        let apex_cell = match apex {
            Some(column) if matches!(row.text(column), "/" | "-1") => Ok(None),
            Some(column) => row.frame(column),
            None => Ok(None),
        };
        let cells = ((row.frame(onset), Some(onset)), (apex_cell, apex), (row.frame(offset), Some(offset)));
        let problems = &mut loaded.problems;
        let Some(t) = times(cells.0, cells.1, cells.2, rate, &row, problems) else { continue };
        let Some((frames, t)) = folders.resolve(clip_dir(&root, &keys), &row, t, problems) else { continue };
        let coded = tokens::parse(row.text_of(aus)).unwrap_or_else(|reason| {
            problems.push(row.problem(aus, reason, "no action units"));
            Vec::new()
        });
        codes.push((row, listed_units(&row, &units)));
        let dir = frames.dir.clone();
        let clip_dir =
            if dir.ends_with("color") { dir.parent().map_or(dir.clone(), Path::to_owned) } else { dir };
        loaded.samples.push(AnnotatedSample {
            id: format!("{}-{}-{}", keys.subject, keys.clip, t.onset),
            clip: keys.clip.to_owned(),
            subject: subject_id(layout, keys.subject),
            onset: t.onset,
            apex: t.apex,
            apex_estimated: t.estimated,
            offset: t.offset,
            fps: rate,
            length: match row.text_of(kind).to_lowercase() {
                k if k.starts_with("macro") => Length::Macro,
                k if k.starts_with("micro") => Length::Micro,
                _ => layout.length,
            },
            emotions: words(keys.emotion),
            objective: roman(row.text_of(objective)),
            aus: coded,
            frames,
            clip_dir,
        });
    }
    settle_swapped_rows(&mut loaded, &codes, aus);
    Ok(loaded)
}

/// Emotion words of a cell: 4DME has several.
fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !(c.is_alphabetic() || c == ' ' || c == '-'));
    parts.map(labels::emotion).filter(|w| !w.is_empty()).collect()
}

/// I to VII, or 1 to 7.
fn roman(text: &str) -> Option<u8> {
    const NUMERALS: [&str; 7] = ["I", "II", "III", "IV", "V", "VI", "VII"];
    let text = text.trim();
    let numeral = NUMERALS.iter().position(|n| n.eq_ignore_ascii_case(text)).map(|i| i as u8 + 1);
    numeral.or_else(|| text.parse().ok().filter(|n| (1..=7).contains(n)))
}

/// Columns of single action units: 4DME has one for each.
fn unit_columns(sheet: &Sheet) -> Vec<(u8, Column)> {
    let number = |heading: &str| heading.trim().strip_prefix("AU").and_then(|n| n.trim().parse::<u8>().ok());
    sheet.columns(|h| number(h).is_some()).into_iter().filter_map(|(h, c)| Some((number(&h)?, c))).collect()
}

/// Units that a row's own columns mark; `None` where it marks none.
fn listed_units(row: &Row<'_>, units: &[(u8, Column)]) -> Option<Vec<u8>> {
    let mut marked: Vec<u8> =
        units.iter().filter(|(_, c)| !matches!(row.text(*c), "" | "0")).map(|(au, _)| *au).collect();
    marked.sort_unstable();
    (!marked.is_empty()).then_some(marked)
}

/// Two neighbouring rows whose words and columns of action units fit only crosswise had their words swapped (rows 144
/// and 145 of 4DME); other disagreements are reported.
fn settle_swapped_rows(loaded: &mut Loaded, codes: &[(Row<'_>, Option<Vec<u8>>)], column: Option<Column>) {
    let aus_of = |sample: &AnnotatedSample| {
        let mut aus: Vec<u8> = sample.aus.iter().map(|c| c.au).collect();
        aus.sort_unstable();
        aus.dedup();
        aus
    };
    let mut i = 0;
    while i < codes.len() {
        let (row, listed) = &codes[i];
        let Some(listed) = listed.as_ref().filter(|l| **l != aus_of(&loaded.samples[i])) else {
            i += 1;
            continue;
        };
        let next = codes.get(i + 1).and_then(|(_, l)| l.as_ref());
        if next.is_some_and(|n| *n == aus_of(&loaded.samples[i]) && *listed == aus_of(&loaded.samples[i + 1]))
        {
            let (a, b) = loaded.samples.split_at_mut(i + 1);
            std::mem::swap(&mut a[i].aus, &mut b[0].aus);
            let reason = "action units are those of the next row, and its are this one's".into();
            loaded.problems.push(row.problem(column, reason, "both are put right"));
            i += 2;
            continue;
        }
        let reason = format!("action units differ from the row's own columns ({listed:?})");
        loaded.problems.push(row.problem(column, reason, "the words are taken"));
        i += 1;
    }
}

/// SMIC has no sheet: folders `PART/SUBJECT/micro/EMOTION/CLIP`, each one movement; the apex is not annotated.
fn smic(dir: &Path, options: &LoadOptions) -> Result<Loaded> {
    let part = options.part.as_deref().unwrap_or("hs");
    let root = frames_root(&["SMIC_all_raw", "SMIC_all_cropped"], dir, options);
    let base = child(&root, part)
        .or_else(|| root.ends_with(part.to_uppercase()).then(|| root.clone()))
        .with_context(|| {
            format!("{}: no folder {}; --frames names another", root.display(), part.to_uppercase())
        })?;
    let mut loaded = Loaded::default();
    for subject in walk(&base, 0).into_iter().filter(|p| p.is_dir()) {
        let micro = child(&subject, "micro").unwrap_or_else(|| subject.clone());
        for emotion in walk(&micro, 0).into_iter().filter(|p| p.is_dir()) {
            for clip in walk(&emotion, 0).into_iter().filter(|p| p.is_dir()) {
                let name = |p: &Path| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let refused = |reason: String| Problem {
                    file: clip.clone(),
                    row: 0,
                    column: String::new(),
                    reason,
                    remedy: "clip left out",
                };
                let frames = match FrameFolder::open(&clip) {
                    Ok(frames) if frames.len() >= 3 => frames,
                    Ok(frames) => {
                        loaded.problems.push(refused(format!("{} frames", frames.len())));
                        continue;
                    }
                    Err(e) => {
                        loaded.problems.push(refused(format!("{e:#}")));
                        continue;
                    }
                };
                // Numbers can jump: the middle is that of the frames.
                let numbers: Vec<u32> = frames.numbers().collect();
                loaded.samples.push(AnnotatedSample {
                    id: name(&clip),
                    clip: name(&clip),
                    subject: name(&subject),
                    onset: numbers[0],
                    apex: numbers[numbers.len() / 2],
                    apex_estimated: true,
                    offset: numbers.last().copied(),
                    fps: if part == "hs" { 100.0 } else { 25.0 },
                    length: Length::Micro,
                    emotions: vec![labels::emotion(&name(&emotion))],
                    objective: None,
                    aus: Vec::new(),
                    frames,
                    clip_dir: clip.clone(),
                });
            }
        }
    }
    Ok(loaded)
}

/// CAS(ME)2: three sheets without headings; the second and third name the folders of subjects and videos.
fn cas_me2(dir: &Path, options: &LoadOptions) -> Result<Loaded> {
    let path = sheet_path(
        &["CAS(ME)^2code_final.xlsx", "CAS(ME)2code_final.xlsx", "code_final.xlsx"],
        dir,
        options,
    )?;
    let root = frames_root(&["rawpic"], dir, options);
    let mut sheets = Sheet::open_all(&path)?.into_iter();
    let (Some(table), Some(subjects), Some(videos)) = (sheets.next(), sheets.next(), sheets.next()) else {
        bail!("{}: fewer than three sheets", path.display());
    };
    // `s15` stands before the number of its subject, `0101` before the name of its video.
    let pairs = |sheet: &Sheet, is_code: &dyn Fn(&str) -> bool| -> HashMap<String, String> {
        sheet
            .rows()
            .filter_map(|row| {
                let cells: Vec<&str> = row.texts().collect();
                let at = cells.iter().position(|c| is_code(c))?;
                let key = cells[at + 1..].iter().find(|c| !c.is_empty())?;
                Some(((*key).to_owned(), cells[at].to_owned()))
            })
            .collect()
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let subject_codes = pairs(&subjects, &|c| c.strip_prefix('s').is_some_and(digits));
    // A spreadsheet that stores 0101 as a number shows 101.
    let video_codes = pairs(&videos, &|c| digits(c) && c.len() >= 3);
    let [subject, video, onset, apex, offset, aus, emotion, kind] = std::array::from_fn(|i| table.nth(i));
    let mut folders = Folders::default();
    let mut loaded = Loaded::default();
    for row in table.rows() {
        let problems = &mut loaded.problems;
        let (person, clip) = (row.text(subject), row.text(video));
        let name = clip.split('_').next().unwrap_or_default();
        let Some(code) = subject_codes.get(person) else {
            problems.push(row.problem(
                Some(subject),
                format!("\"{person}\" is not in the second sheet"),
                "row left out",
            ));
            continue;
        };
        let Some(number) = video_codes.get(name) else {
            problems.push(row.problem(
                Some(video),
                format!("\"{name}\" is not in the third sheet"),
                "row left out",
            ));
            continue;
        };
        let cells = [onset, apex, offset].map(|c| (row.frame(c), Some(c)));
        let [a, b, c] = cells;
        let Some(t) = times(a, b, c, 30.0, &row, problems) else { continue };
        let prefix = format!("{}_{}", code.trim_start_matches('s'), padded(number, 4));
        let folder = child(&root, code).and_then(|d| {
            walk(&d, 0)
                .into_iter()
                .find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&prefix)))
        });
        let Some((frames, t)) = folders.resolve(folder, &row, t, problems) else { continue };
        let coded = tokens::parse(row.text(aus)).unwrap_or_else(|reason| {
            problems.push(row.problem(Some(aus), reason, "no action units"));
            Vec::new()
        });
        let clip_dir = frames.dir.clone();
        loaded.samples.push(AnnotatedSample {
            id: format!("{code}-{clip}-{}", t.onset),
            clip: clip.to_owned(),
            subject: code.clone(),
            onset: t.onset,
            apex: t.apex,
            apex_estimated: t.estimated,
            offset: t.offset,
            fps: 30.0,
            length: if row.text(kind).to_lowercase().starts_with("macro") {
                Length::Macro
            } else {
                Length::Micro
            },
            emotions: words(row.text(emotion)),
            objective: None,
            aus: coded,
            frames,
            clip_dir,
        });
    }
    Ok(loaded)
}
