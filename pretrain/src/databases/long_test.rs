//! Small databases of long videos, with the quirks of the published ones.

use std::path::Path;

use super::layouts_test::{frames, workbook};
use super::long::{AnnotatedSpan, LongDatabase, LongVideos, load};
use super::{LoadOptions, labels::Protocol};

fn read(database: LongDatabase, dir: &Path) -> LongVideos {
    load(database, dir, &LoadOptions::default()).expect("loads")
}

/// Name, frame rate and movements of a video.
type VideoMovements<'a> = (&'a str, f64, Vec<(u32, u32, Option<usize>)>);

fn movements(loaded: &LongVideos) -> Vec<VideoMovements<'_>> {
    let span = |s: &AnnotatedSpan| (s.onset, s.offset, s.class);
    loaded.videos.iter().map(|v| (v.name.as_str(), v.fps, v.micros.iter().map(span).collect())).collect()
}

#[test]
fn samm_long_videos_with_and_without_emotions() {
    let dir = tempfile::tempdir().expect("folder");
    let mut rows: Vec<&[&str]> = vec![&["SAMM Long Videos Dataset - FACS Codes"]; 9];
    rows.push(&[
        "Subject",
        "Filename",
        "Inducement Code",
        "Onset",
        "Apex",
        "Offset",
        "Duration",
        "Type",
        "Action Units",
        "Notes",
    ]);
    rows.push(&["'006", "006_1_2", "1", "20", "30", "44", "25", "Micro - 1/2", "4+7", ""]);
    rows.push(&["'006", "006_1_3", "1", "50", "-1", "69", "20", "Micro - 1/2", "12", ""]);
    rows.push(&["'006", "006_1_4", "1", "2", "40", "90", "89", "Macro", "12", ""]);
    workbook(&dir.path().join("SAMM_LongVideos_V2_Release.xlsx"), &[("", &rows)]);
    let root = dir.path().join("SAMM_longvideos");
    frames(&root.join("006_1"), 1..=100, |n| format!("006_1_{n:04}.jpg"));
    frames(&root.join("006_2"), 1..=40, |n| format!("006_2_{n:04}.jpg"));
    let loaded = read(LongDatabase::SammLv, dir.path());
    let spans = vec![(20, 44, None), (50, 69, None)];
    assert_eq!(movements(&loaded), [("006_1", 200.0, spans), ("006_2", 200.0, vec![])]);
    assert!(!loaded.emotions);
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
    let one: &[&str] =
        &["'006", "006_1_2", "1", "20", "30", "44", "25", "Micro - 1/2", "4+7", "Anger", "2", ""];
    let two: &[&str] =
        &["'006", "006_1_3", "1", "50", "60", "69", "20", "Micro - 1/2", "12", "Other", "7", ""];
    workbook(&dir.path().join("SAMM_Micro_FACS_Codes_v2.xlsx"), &[("MICRO_ONLY", &[head, one, two])]);
    let loaded = read(LongDatabase::SammLv, dir.path());
    let negative = Protocol::Three.class("anger");
    assert_eq!(loaded.videos[0].micros[0].class, negative);
    assert_eq!((loaded.videos[0].micros[1].class, loaded.emotions), (None, true));
}

#[test]
fn cas_me2_with_a_movement_whose_end_nobody_saw() {
    let dir = tempfile::tempdir().expect("folder");
    let rows: &[&[&str]] = &[
        &["1", "disgust1_1", "12", "16", "0", "4", "negative", "micro-expression", "disgust"],
        &["1", "disgust1_2", "30", "36", "60", "12", "positive", "macro-expression", "happiness"],
    ];
    let subjects: &[&[&str]] = &[&["", "s15", "1"]];
    let videos: &[&[&str]] = &[&["'0101", "disgust1"], &["'0102", "disgust2"]];
    workbook(
        &dir.path().join("CAS(ME)^2code_final.xlsx"),
        &[("Sheet1", rows), ("naming1", subjects), ("naming2", videos)],
    );
    for video in ["15_0101disgustingteeth", "15_0102eatingworms"] {
        frames(&dir.path().join("rawpic/s15").join(video), 1..=80, |n| format!("img{n:03}.jpg"));
    }
    let loaded = read(LongDatabase::CasMe2, dir.path());
    let spans = vec![(12, 16, Protocol::Three.class("negative"))];
    assert_eq!(
        movements(&loaded),
        [("s15/15_0101disgustingteeth", 30.0, spans), ("s15/15_0102eatingworms", 30.0, vec![])]
    );
}

#[test]
fn cas_me3_part_a_reads_colour_alone() {
    let dir = tempfile::tempdir().expect("folder");
    let rows: &[&[&str]] = &[
        &["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"],
        &["spNO.1", "a", "5", "9", "14", "12", "I", "happy"],
        &["spNO.1", "a", "30", "33", "38", "4", "IV", "Others"],
    ];
    workbook(&dir.path().join("cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"), &[("label", rows)]);
    for (video, kind) in [("a", "color"), ("a", "depth"), ("b", "color")] {
        frames(&dir.path().join("part_A/spNO.1").join(video).join(kind), 0..=50, |n| format!("{n}.jpg"));
    }
    let loaded = read(LongDatabase::CasMe3, dir.path());
    let spans = vec![(5, 14, Protocol::Three.class("happiness")), (30, 38, None)];
    assert_eq!(movements(&loaded), [("spNO.1/a/color", 30.0, spans), ("spNO.1/b/color", 30.0, vec![])]);
}

#[test]
fn wrong_rows_of_long_videos_name_file_and_row() {
    let dir = tempfile::tempdir().expect("folder");
    let rows: &[&[&str]] = &[
        &["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"],
        &["spNO.1", "a", "5", "9", "14", "12", "I", "happy"],
        &["spNO.1", "a", "x", "9", "14", "12", "I", "happy"],
        &["spNO.1", "a", "30", "33", "4", "4", "IV", "sad"],
        &["spNO.1", "a", "400", "410", "420", "4", "IV", "sad"],
        &["spNO.9", "a", "5", "9", "14", "4", "IV", "sad"],
    ];
    let file = "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx";
    workbook(&dir.path().join(file), &[("label", rows)]);
    frames(&dir.path().join("part_A/spNO.1/a/color"), 0..=50, |n| format!("{n}.jpg"));
    let loaded = read(LongDatabase::CasMe3, dir.path());
    let spans = vec![(5, 14, Protocol::Three.class("happiness")), (30, 33, Protocol::Three.class("sadness"))];
    assert_eq!(movements(&loaded), [("spNO.1/a/color", 30.0, spans)]);
    let root = dir.path().display().to_string() + "/";
    let messages: Vec<String> = loaded.problems.iter().map(|p| p.to_string().replace(&root, "")).collect();
    assert_eq!(
        messages,
        [
            format!("{file}, row 3, column Onset (C): \"x\" is not a frame number; row left out"),
            format!("{file}, row 4, column Offset (E): offset 4 does not fit onset 30; offset ignored"),
            format!(
                "{file}, row 5: frames 400 and 410 are not in part_A/spNO.1/a/color (0 to 50); row left out"
            ),
            format!("{file}, row 6: the folder with its frames is not there; row left out"),
        ]
    );
}

#[test]
fn what_no_published_loader_reads_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("folder");
    for (database, name) in [
        (LongDatabase::SmicLong, "smic-long"),
        (LongDatabase::FourDmeLong, "4dme-long"),
        (LongDatabase::MegcTest, "megc-test"),
    ] {
        let error = load(database, dir.path(), &LoadOptions::default()).expect_err("refused").to_string();
        assert!(error.starts_with(&format!("{name}: layout not confirmed")), "{error}");
    }
    let error =
        load(LongDatabase::SammLv, dir.path(), &LoadOptions::default()).expect_err("empty").to_string();
    assert!(error.contains("no sheet SAMM_LongVideos_V3_Release.xlsx"), "{error}");
}
