//! Small databases of every layout, with the quirks of the published ones.

use std::path::Path;

use glint::au::Side;
use rust_xlsxwriter::Workbook;

use super::labels::Protocol;
use super::{Database, Length, LoadOptions, Loaded, load};

/// A workbook of sheets; cells that parse as numbers are numbers.
pub(super) fn workbook(path: &Path, sheets: &[(&str, &[&[&str]])]) {
    let mut book = Workbook::new();
    for (name, rows) in sheets {
        let sheet = book.add_worksheet();
        if !name.is_empty() {
            sheet.set_name(*name).expect("a name");
        }
        for (r, row) in rows.iter().enumerate() {
            for (c, cell) in row.iter().enumerate().filter(|(_, c)| !c.is_empty()) {
                let (r, c) = (r as u32, c as u16);
                match cell.parse::<f64>() {
                    Ok(v) => sheet.write_number(r, c, v),
                    Err(_) => sheet.write_string(r, c, cell.trim_start_matches('\'')),
                }
                .expect("writes");
            }
        }
    }
    book.save(path).expect("saves");
}

/// A folder of images with these numbers; the loaders look at names alone.
pub(super) fn frames(dir: &Path, numbers: std::ops::RangeInclusive<u32>, name: impl Fn(u32) -> String) {
    std::fs::create_dir_all(dir).expect("folder");
    for n in numbers {
        std::fs::write(dir.join(name(n)), b"").expect("writes");
    }
}

fn read(database: Database, dir: &Path, part: Option<&str>) -> Loaded {
    let options = LoadOptions { part: part.map(str::to_owned), ..LoadOptions::default() };
    load(database, dir, &options).expect("loads")
}

/// Id, onset, apex, offset.
fn times(loaded: &Loaded) -> Vec<(&str, u32, u32, Option<u32>)> {
    loaded.samples.iter().map(|s| (s.id.as_str(), s.onset, s.apex, s.offset)).collect()
}

fn problems(loaded: &Loaded, dir: &Path) -> Vec<String> {
    let dir = dir.display().to_string() + "/";
    loaded.problems.iter().map(|p| p.to_string().replace(&dir, "")).collect()
}

#[test]
fn casme2_with_its_blank_columns_and_typos() {
    let dir = tempfile::tempdir().expect("folder");
    let head = [
        "Subject",
        "Filename",
        "",
        "OnsetFrame",
        "ApexFrame",
        "OffsetFrame",
        "",
        "Action Units",
        "Estimated Emotion",
    ];
    let rows: &[&[&str]] = &[
        &head,
        &["1", "EP02_01f", "", "46", "59", "86", "", "12", "happiness"],
        &["1", "EP03_02", "", "2", "/", "30", "", "?", "others"],
        // The offset is mistyped: before the apex.
        &["9", "EP06_02f", "", "10", "41", "9", "", "L12+R4", "disgust"],
        &["26", "EP99", "", "5", "9", "20", "", "4", "fear"],
        &["3", "EP07_01", "", "x12", "9", "20", "", "4", "fear"],
    ];
    workbook(&dir.path().join("CASME2-coding-20190701.xlsx"), &[("", rows)]);
    let root = dir.path().join("CASME2_RAW_selected");
    frames(&root.join("sub01/EP02_01f"), 40..=90, |n| format!("img{n}.jpg"));
    frames(&root.join("sub01/EP03_02"), 1..=40, |n| format!("img{n}.jpg"));
    frames(&root.join("sub09/EP06_02f"), 1..=60, |n| format!("img{n}.jpg"));
    std::fs::write(root.join("sub01/EP02_01f/Thumbs.db"), b"x").expect("writes");
    let loaded = read(Database::Casme2, dir.path(), None);
    assert_eq!(
        times(&loaded),
        [
            ("1-EP02_01f-46", 46, 59, Some(86)),
            ("1-EP03_02-2", 2, 16, Some(30)),
            ("9-EP06_02f-10", 10, 41, None)
        ]
    );
    let s = &loaded.samples[0];
    assert_eq!(
        (s.subject.as_str(), s.fps, s.length, s.class(Protocol::Three)),
        ("01", 200.0, Length::Micro, Some(1))
    );
    assert_eq!(
        loaded.samples[2].aus.iter().map(|c| (c.au, c.side)).collect::<Vec<_>>(),
        [(12, Side::Left), (4, Side::Right)]
    );
    assert!(loaded.samples[1].apex_estimated && loaded.samples[1].aus.is_empty());
    let file = "CASME2-coding-20190701.xlsx";
    assert_eq!(
        problems(&loaded, dir.path()),
        [
            format!("{file}, row 3, column ApexFrame (E): no apex; the middle of the movement is taken"),
            format!("{file}, row 4, column OffsetFrame (F): offset 9 does not fit onset 10; offset ignored"),
            format!("{file}, row 5: the folder with its frames is not there; row left out"),
            format!("{file}, row 6, column OnsetFrame (D): \"x12\" is not a frame number; row left out"),
        ]
    );
}

#[test]
fn casme2_resaved_and_in_the_old_format() {
    let dir = tempfile::tempdir().expect("folder");
    let xls = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/CASME2_label_Ver_2.xls");
    std::fs::copy(xls, dir.path().join("CASME2_label_Ver_2.xls")).expect("copies");
    frames(&dir.path().join("Cropped/sub01/EP02_01f"), 46..=86, |n| format!("reg_img{n}.jpg"));
    frames(&dir.path().join("Cropped/sub17/EP05_09"), 1..=30, |n| format!("reg_img{n}.jpg"));
    let loaded = read(Database::Casme2, dir.path(), None);
    assert_eq!(times(&loaded), [("1-EP02_01f-46", 46, 59, Some(86)), ("17-EP05_09-2", 2, 16, Some(30))]);
    assert_eq!(loaded.samples[1].emotions, ["others"]);
}

#[test]
fn samm_below_its_preamble() {
    let dir = tempfile::tempdir().expect("folder");
    let head: &[&str] = &[
        "Subject",
        "Filename",
        "Inducement Code",
        "Onset Frame",
        "Apex Frame",
        "Offset Frame",
        "Duration",
        "Micro",
        "Action Units",
        "Estimated Emotion",
        "Objective Classes",
        "Notes",
    ];
    let blank: &[&str] = &["SAMM Micro-Expressions"];
    let mut rows = vec![blank; 13];
    rows.push(head);
    let one: &[&str] = &[
        "6",
        "'006_1_2",
        "1",
        "562",
        "570",
        "588",
        "27",
        "Micro - 1/2",
        "L12C or L14",
        "Happiness",
        "2",
        "",
    ];
    // The offset is that of another clip; the apex is missing.
    let two: &[&str] = &[
        "'006",
        "006_5_9",
        "1",
        "100",
        "-1",
        "140",
        "41",
        "Micro - 1/2",
        "(R6 or R12) + R15",
        "Other",
        "7",
        "",
    ];
    rows.extend([one, two]);
    workbook(
        &dir.path().join("SAMM_Micro_FACS_Codes_v2.xlsx"),
        &[("FACS", &[&["x"]]), ("MICRO_ONLY", &rows)],
    );
    frames(&dir.path().join("SAMM/006/006_1_2"), 555..=590, |n| format!("006_{n:05}.jpg"));
    frames(&dir.path().join("SAMM/006/006_5_9"), 90..=150, |n| format!("006_{n:04}.jpg"));
    let loaded = read(Database::Samm, dir.path(), None);
    assert_eq!(
        times(&loaded),
        [("6-006_1_2-562", 562, 570, Some(588)), ("006-006_5_9-100", 100, 120, Some(140))]
    );
    assert_eq!(loaded.samples.iter().map(|s| s.subject.as_str()).collect::<Vec<_>>(), ["006", "006"]);
    let s = &loaded.samples[0];
    assert_eq!((s.aus[0].intensity, s.aus[0].certain, s.objective), (Some(3.0), false, Some(2)));
    assert_eq!(s.frames.path(562).expect("a file").file_name().expect("a name"), "006_00562.jpg");
    // The edition of 2018 begins with the head, and as text.
    let csv = tempfile::tempdir().expect("folder");
    let text = head.join(",") + "\n006,006_1_2,1,562,570,588,27,Micro - 1/2,\"4, 7B\",Anger,3,\n";
    std::fs::write(csv.path().join("SAMM_Micro_FACS_Codes_v2.csv"), text).expect("writes");
    frames(&csv.path().join("006/006_1_2"), 555..=590, |n| format!("006_{n:05}.jpg"));
    let loaded = read(Database::Samm, csv.path(), None);
    assert_eq!(
        (loaded.samples.len(), loaded.samples[0].aus.len(), loaded.samples[0].emotions.as_slice()),
        (1, 2, &["anger".to_owned()][..])
    );
}

#[test]
fn smic_has_folders_and_no_sheet() {
    let dir = tempfile::tempdir().expect("folder");
    let root = dir.path().join("SMIC_all_raw");
    let bmp = |n: u32| format!("image{n}.bmp");
    frames(&root.join("HS/s1/micro/negative/s1_ne_01"), 173_456..=173_480, bmp);
    frames(&root.join("HS/s11/micro/surprise/s11_sur_02"), 10..=30, bmp);
    frames(&root.join("HS/s11/micro/positive/s11_po_01"), 1..=2, bmp);
    frames(&root.join("VIS/s1/micro/positive/s1_po_01"), 1..=11, bmp);
    let loaded = read(Database::Smic, dir.path(), None);
    assert_eq!(
        times(&loaded),
        [("s1_ne_01", 173_456, 173_468, Some(173_480)), ("s11_sur_02", 10, 20, Some(30))]
    );
    assert_eq!(
        loaded.samples.iter().map(|s| s.class(Protocol::Three)).collect::<Vec<_>>(),
        [Some(0), Some(2)]
    );
    assert!(problems(&loaded, dir.path())[0].ends_with("s11_po_01: 2 frames; clip left out"));
    assert_eq!(read(Database::Smic, dir.path(), Some("vis")).samples[0].fps, 25.0);
    let error =
        load(Database::Smic, dir.path(), &LoadOptions { part: Some("uv".into()), ..LoadOptions::default() });
    assert_eq!(error.expect_err("no such part").to_string(), "--part: uv; allowed: hs, vis, nir");
}

#[test]
fn cas_me2_finds_its_folders_by_two_more_sheets() {
    let dir = tempfile::tempdir().expect("folder");
    let table: &[&[&str]] = &[
        &["1", "disgust1_1", "10", "15", "20", "4+7", "negative", "micro-expression", "disgust"],
        &["1", "disgust1_2", "40", "48", "0", "4", "negative", "macro-expression", "disgust"],
        &["1", "happy1_1", "3", "0", "13", "12", "positive", "micro-expression", "happy"],
        &["2", "disgust1_1", "3", "5", "9", "12", "positive", "micro-expression", "happy"],
    ];
    let subjects: &[&[&str]] = &[&["1", "s15", "1"]];
    let videos: &[&[&str]] = &[&["'0101", "disgust1"], &["'0503", "happy1"]];
    workbook(
        &dir.path().join("CAS(ME)^2code_final.xlsx"),
        &[("code", table), ("naming1", subjects), ("naming2", videos)],
    );
    frames(&dir.path().join("rawpic/s15/15_0101disgustingteeth"), 1..=60, |n| format!("img{n:03}.jpg"));
    frames(&dir.path().join("rawpic/s15/15_0503unnylaugh"), 1..=60, |n| format!("img{n:03}.jpg"));
    let loaded = read(Database::CasMe2, dir.path(), None);
    assert_eq!(
        times(&loaded),
        [
            ("s15-disgust1_1-10", 10, 15, Some(20)),
            ("s15-disgust1_2-40", 40, 48, None),
            ("s15-happy1_1-3", 3, 8, Some(13))
        ]
    );
    assert_eq!(
        loaded.samples.iter().map(|s| s.length).collect::<Vec<_>>(),
        [Length::Micro, Length::Macro, Length::Micro]
    );
    let file = "CAS(ME)^2code_final.xlsx";
    assert_eq!(
        problems(&loaded, dir.path()),
        [
            format!("{file}, row 3, column B: no apex; the middle of the movement is taken")
                .replace("column B", "column D"),
            format!("{file}, row 4, column A: \"2\" is not in the second sheet; row left out"),
        ]
    );
}

#[test]
fn cas_me3_parts() {
    let dir = tempfile::tempdir().expect("folder");
    let head: &[&str] =
        &["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"];
    let rows: &[&[&str]] = &[
        head,
        &[" spNO.1", "a", "355", "360", "366", "12", "I", "happy"],
        &["spNO.1", "a", "400", "400", "410", "4", "III", "Others"],
        &["spNO.1", "b", "9", "12", "-4000", "1+2", "II", "surprise"],
        &["spNO.2", "a", "9", "12", "99999", "1，2", "II", "sad"],
        &["spNO.2", "a", "500", "480", "480", "1", "II", "sad"],
    ];
    workbook(&dir.path().join("cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"), &[("label", rows)]);
    let jpg = |n: u32| format!("{n}.jpg");
    frames(&dir.path().join("part_A/spNO.1/a/color"), 350..=420, jpg);
    frames(&dir.path().join("part_A/spNO.1/b/color"), 1..=30, jpg);
    frames(&dir.path().join("part_A/spNO.2/a/color"), 1..=30, jpg);
    let loaded = read(Database::CasMe3, dir.path(), None);
    assert_eq!(
        times(&loaded),
        [
            ("spNO.1-a-355", 355, 360, Some(366)),
            ("spNO.1-a-400", 400, 405, Some(410)),
            ("spNO.1-b-9", 9, 12, None),
            ("spNO.2-a-9", 9, 12, None)
        ]
    );
    let classes = |p: Protocol| loaded.samples.iter().map(|s| s.class(p)).collect::<Vec<_>>();
    assert_eq!(classes(Protocol::Three), [Some(1), None, Some(2), Some(0)]);
    assert_eq!(classes(Protocol::Four), [Some(1), Some(3), Some(2), Some(0)]);
    assert_eq!(classes(Protocol::Seven), [Some(3), Some(4), Some(6), Some(5)]);
    assert_eq!((loaded.samples[0].objective, loaded.samples[3].aus.len()), (Some(1), 2));
    assert_eq!(loaded.samples[0].clip_dir, dir.path().join("part_A/spNO.1/a"));
    let messages = problems(&loaded, dir.path());
    let file = "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx";
    assert_eq!(
        messages,
        [
            format!(
                "{file}, row 3, column Apex (D): apex 400 is the onset; the middle of the movement is taken"
            ),
            format!("{file}, row 4, column Offset (E): -4000 is not a frame number; offset ignored"),
            format!("{file}, row 5, column Offset (E): offset 99999 does not fit onset 9; offset ignored"),
            format!("{file}, row 6, column Offset (E): offset 480 does not fit onset 500; offset ignored"),
            format!("{file}, row 6, column Apex (D): apex 480 lies outside the movement; row left out"),
        ]
    );
    // The first edition: xls, with a column that tells micro- from macro-expressions.
    let old = tempfile::tempdir().expect("folder");
    let name = "cas(me)3_part_A_ME_label_JpgIndex_v1.xls";
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name), old.path().join(name))
        .expect("copies");
    frames(&old.path().join("part_A/spNO.1/a/color"), 90..=270, jpg);
    let loaded = read(Database::CasMe3, old.path(), None);
    assert_eq!(loaded.samples.iter().map(|s| s.length).collect::<Vec<_>>(), [Length::Micro, Length::Macro]);
    // Part C has no apex and another sheet.
    let part = tempfile::tempdir().expect("folder");
    let rows: &[&[&str]] =
        &[&["sub", "count", "onset", "offset", "au"], &["sub1", "2", "10", "21", "4,7，9"]];
    workbook(&part.path().join("CAS(ME)3_part_C_ME.xlsx"), &[("", rows)]);
    frames(&part.path().join("ME_C/sub1/2/color"), 1..=30, jpg);
    let loaded = read(Database::CasMe3, part.path(), Some("c"));
    assert_eq!((times(&loaded), loaded.samples[0].aus.len()), (vec![("sub1-2-10", 10, 16, Some(21))], 3));
    assert!(loaded.problems.is_empty() && loaded.samples[0].class(Protocol::Three).is_none());
    // Macro-expressions stand in a sheet of their own.
    let rows: &[&[&str]] = &[head, &["spNO.1", "a", "2", "12", "29", "4", "III", "disgust"]];
    workbook(&dir.path().join("cas(me)3_part_A_MaE_label_JpgIndex_v2_emotion.xlsx"), &[("label", rows)]);
    frames(&dir.path().join("part_A/spNO.1/a/color"), 1..=30, jpg);
    assert_eq!(read(Database::CasMe3, dir.path(), Some("a-macro")).samples[0].length, Length::Macro);
}

#[test]
fn four_dme_has_several_emotions_and_two_swapped_rows() {
    let dir = tempfile::tempdir().expect("folder");
    let rows: &[&[&str]] = &[
        &[
            "No",
            "sub_ID",
            "fold_name",
            "Emotion",
            "Onset",
            "Apex",
            "Offset",
            "Total/Length",
            "AUs",
            "AU1",
            "AU4",
            "AU7",
            "AU12",
            "eye blink",
        ],
        &["1", "6", "6_pos_1", "Positive", "1820", "1826", "1840", "21", "AU12", "", "", "", "1", ""],
        &[
            "2",
            "6",
            "6_neg_1",
            "Negative, Repression",
            "100",
            "110",
            "120",
            "21",
            "AU1",
            "",
            "1",
            "1",
            "",
            "1",
        ],
        &["3", "6", "6_neg_2", "Negative/Surprise", "100", "110", "120", "21", "AU4+L7", "1", "", "", "", ""],
        &["4", "6", "6_neg_3", "Others", "100", "110", "120", "21", "AU4(k)+AU1", "1", "1", "", "", ""],
    ];
    workbook(&dir.path().join("4DME_Labelling_Micro_release v1.xlsx"), &[("", rows)]);
    let name = |n: u32| format!("Frame_{n:09}.jpg");
    frames(&dir.path().join("gray_micro/6/6_pos_1"), 1815..=1845, name);
    for clip in ["6_neg_1", "6_neg_2", "6_neg_3"] {
        frames(&dir.path().join("gray_micro/6").join(clip), 95..=125, name);
    }
    let loaded = read(Database::FourDme, dir.path(), None);
    let codes: Vec<Vec<u8>> = loaded.samples.iter().map(|s| s.aus.iter().map(|c| c.au).collect()).collect();
    assert_eq!(codes, [vec![12], vec![4, 7], vec![1], vec![1]]);
    // Negative and repression are one class, negative and surprise are none.
    let classes: Vec<_> = loaded.samples.iter().map(|s| s.class(Protocol::Four)).collect();
    assert_eq!(classes, [Some(1), Some(0), None, Some(3)]);
    let messages = problems(&loaded, dir.path());
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(
        messages[0].contains("row 3, column AUs (I)") && messages[0].ends_with("both are put right"),
        "{messages:?}"
    );
    assert!(
        messages[1].contains("row 5, column AUs (I)") && messages[1].ends_with("the words are taken"),
        "{messages:?}"
    );
}

#[test]
fn mmew_and_dfme() {
    let dir = tempfile::tempdir().expect("folder");
    let rows: &[&[&str]] = &[
        &[
            "Subject",
            "Filename",
            "OnsetFrame",
            "ApexFrame",
            "OffsetFrame",
            "Action Units",
            "Estimated Emotion",
            "remarks",
        ],
        &["13", "S13-07-001", "2", "11", "30", "4", "others", ""],
        // Filed under another emotion, with an apex behind the offset.
        &["5", "S05-01-003", "2", "45", "30", "12", "happiness", "?"],
    ];
    workbook(&dir.path().join("MMEW_Micro_Exp.xlsx"), &[("", rows)]);
    frames(&dir.path().join("Micro_Expression/others/S13-07-001"), 1..=31, |n| format!("{n}.jpg"));
    frames(&dir.path().join("Micro_Expression/surprise/S05-01-003"), 1..=31, |n| format!("{n}.jpg"));
    let loaded = read(Database::Mmew, dir.path(), None);
    assert_eq!(times(&loaded), [("13-S13-07-001-2", 2, 11, Some(30)), ("5-S05-01-003-2", 2, 16, Some(30))]);
    assert_eq!(loaded.problems.len(), 1);

    let dir = tempfile::tempdir().expect("folder");
    let rows: &[&[&str]] = &[
        &[
            "Subject",
            "Filename",
            "OnsetFrame",
            "ApexFrame",
            "OffsetFrame",
            "Emotion",
            "EmotionId",
            "Fps",
            "AU",
        ],
        &["sub0003", "sub0003_01", "120", "150", "180", "surprise", "6", "500", "1+2"],
        &["sub0003", "sub0003_02", "20", "50", "80", "fear", "3", "?", "1+2"],
    ];
    workbook(&dir.path().join("training_full_with_AU.xlsx"), &[("", rows)]);
    // The clip was cut to the movement and numbered anew.
    frames(&dir.path().join("crops/sub0003_01"), 1..=61, |n| format!("{n}.png"));
    let loaded = read(Database::Dfme, dir.path(), None);
    assert_eq!(
        (times(&loaded), loaded.samples[0].fps),
        (vec![("sub0003-sub0003_01-1", 1, 31, Some(61))], 500.0)
    );
    assert!(
        problems(&loaded, dir.path())[0]
            .ends_with("row 3, column Fps (H): \"?\" is not a frame rate; row left out")
    );
}

#[test]
fn what_is_not_there_is_named() {
    let dir = tempfile::tempdir().expect("folder");
    let error = |database| {
        load(database, dir.path(), &LoadOptions::default()).expect_err("nothing there").to_string()
    };
    assert!(error(Database::Casme2).contains("no sheet CASME2-coding-20190701.xlsx"));
    let rows: &[&[&str]] = &[&["Subject", "Filename", "Onset"], &["1", "a", "2"]];
    workbook(&dir.path().join("MMEW_Micro_Exp.xlsx"), &[("", rows)]);
    let text = error(Database::Mmew);
    assert!(text.contains("row 1: no column OffsetFrame"), "{text}");
    let rows: &[&[&str]] = &[
        &["Subject", "Filename", "Onset", "Apex", "Offset", "Estimated Emotion"],
        &["1", "a", "2", "5", "9", "fear"],
    ];
    workbook(&dir.path().join("MMEW_Micro_Exp.xlsx"), &[("", rows)]);
    let text = error(Database::Mmew);
    assert!(text.contains("no row can be used; the first problem: ") && text.contains("row 2"), "{text}");
}
