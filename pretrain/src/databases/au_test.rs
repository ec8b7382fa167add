//! Small databases of coded frames in every layout, with the quirks of the published ones and with wrong rows.

use std::path::Path;

use super::au::{AuDatabase, AuOptions, CodedVideos, Codes, Footage, load};
use super::layouts_test::frames;

fn read(database: AuDatabase, dir: &Path) -> CodedVideos {
    load(database, dir, &AuOptions::default()).expect("loads")
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
    std::fs::write(path, text).expect("writes");
}

fn problems(loaded: &CodedVideos, dir: &Path) -> Vec<String> {
    let dir = dir.display().to_string() + "/";
    loaded.problems.iter().map(|p| p.to_string().replace(&dir, "")).collect()
}

fn intensity(codes: &Codes) -> Vec<(u32, u8)> {
    codes.intensity.iter().map(|(f, i)| (*f, *i)).collect()
}

fn refusal(database: AuDatabase, dir: &Path) -> String {
    load(database, dir, &AuOptions::default()).expect_err("refused").to_string()
}

#[test]
fn disfa_pairs_a_video_with_a_file_for_each_au() {
    let dir = tempfile::tempdir().expect("folder");
    let labels = dir.path().join("ActionUnit_Labels");
    write(&labels.join("SN001/SN001_au1.txt"), "1,0\r\n2,3\r\n3,5\r\n");
    write(&labels.join("SN001/SN001_au12.txt"), "1,0\n2,7\nx,1\n3\n3,2\n3,4\n\n");
    write(&labels.join("SN002/SN002_au1.txt"), "1,0\n");
    write(&dir.path().join("Videos_LeftCamera/LeftVideoSN001_comp.avi"), "");
    let loaded = read(AuDatabase::Disfa, dir.path());
    assert_eq!(loaded.videos.len(), 1);
    let video = &loaded.videos[0];
    assert_eq!((video.name.as_str(), video.subject.as_str(), video.fps), ("SN001", "SN001", 20.0));
    assert!(matches!(&video.footage, Footage::Clip(p) if p.ends_with("LeftVideoSN001_comp.avi")));
    assert_eq!(intensity(&video.codes[&1]), [(1, 0), (2, 3), (3, 5)]);
    assert_eq!(intensity(&video.codes[&12]), [(1, 0), (3, 2)]);
    let from = AuDatabase::Disfa.present_from();
    assert_eq!([1, 2, 4].map(|f| video.codes[&1].present(f, from)), [Some(false), Some(true), None]);
    let file = "ActionUnit_Labels/SN001/SN001_au12.txt";
    assert_eq!(
        problems(&loaded, dir.path()),
        [
            format!("{file}, row 2: 7 is no intensity from 0 to 5; row left out"),
            format!("{file}, row 3: \"x\" is not a number; row left out"),
            format!("{file}, row 4: \"3\" is no row of frame,intensity; row left out"),
            format!("{file}, row 6: frame 3 is coded twice; row left out"),
            "SN002: no video *SN002*.avi in Videos_LeftCamera; video left out".into(),
        ]
    );
}

#[test]
fn disfa_plus_has_trials_of_images() {
    let dir = tempfile::tempdir().expect("folder");
    let trial = "SN001/A1_AU1_TrailNo_1";
    let head = "# Intensity of AU1\n# frame     code\n";
    let labels = dir.path().join("Labels").join(trial);
    write(&labels.join("AU1.txt"), &format!("{head}000.jpg     0\n001.jpg     2\n002.jpg     6\n"));
    write(&labels.join("AU26.txt"), &format!("{head}000.jpg     0\nlast.jpg     1\n"));
    write(&labels.join("notes.txt"), "no codes");
    frames(&dir.path().join("Images").join(trial), 0..=2, |n| format!("{n:03}.jpg"));
    let loaded = read(AuDatabase::DisfaPlus, dir.path());
    let video = &loaded.videos[0];
    assert_eq!((video.name.as_str(), video.subject.as_str()), (trial, "SN001"));
    assert_eq!(intensity(&video.codes[&1]), [(0, 0), (1, 2)]);
    assert_eq!(video.codes.keys().copied().collect::<Vec<_>>(), [1, 26]);
    assert_eq!(
        problems(&loaded, dir.path()),
        [
            format!("Labels/{trial}/AU1.txt, row 5: 6 is no intensity from 0 to 5; row left out"),
            format!("Labels/{trial}/AU26.txt, row 4: \"last.jpg\" has no number; row left out"),
        ]
    );
}

#[test]
fn bp4d_has_intensities_and_occurrences_of_other_aus() {
    let dir = tempfile::tempdir().expect("folder");
    let coding = dir.path().join("AUCoding");
    write(&coding.join("AU_INT/AU06/F001_T1_AU06.csv"), "2440,0\n2441,9\n2442,3\n2443,8\n");
    write(&coding.join("AU_INT/AU12/F001_T1_AU12.csv"), "2440,1\n");
    write(&coding.join("AU_INT/AU12/readme.csv"), "1,1\n");
    write(
        &coding.join("AU_OCC/F001_T1.csv"),
        "0,1,2,6,11\n2440,0,1,0,1\n2441,9,1,1,1\n2442,5,0,1,0\n2443,1\n",
    );
    frames(&dir.path().join("BP4D-training/F001/T1"), 2430..=2443, |n| format!("{n}.jpg"));
    let loaded = read(AuDatabase::Bp4d, dir.path());
    let video = &loaded.videos[0];
    assert_eq!((video.name.as_str(), video.subject.as_str(), video.fps), ("F001/T1", "F001", 25.0));
    assert_eq!(intensity(&video.codes[&6]), [(2440, 0), (2442, 3)]);
    // AU 11 is none of the benchmark's twelve.
    assert_eq!(video.codes.keys().copied().collect::<Vec<_>>(), [1, 2, 6, 12]);
    assert_eq!(video.codes[&1].occurs.iter().map(|(f, o)| (*f, *o)).collect::<Vec<_>>(), [(2440, false)]);
    // Occurrence where it is coded, intensity elsewhere.
    assert_eq!(
        (video.codes[&6].present(2441, 1), video.codes[&12].present(2440, 1)),
        (Some(true), Some(true))
    );
    assert_eq!(
        problems(&loaded, dir.path()),
        [
            "AUCoding/AU_INT/AU06/F001_T1_AU06.csv, row 4: 8 is no intensity from 0 to 5; row left out",
            "AUCoding/AU_INT/AU12/readme.csv: its name is none such as F001_T1_AU06.csv; file left out",
            "AUCoding/AU_OCC/F001_T1.csv, row 4: AU 1: 5 is neither 0 nor 1 nor 9; code left out",
            "AUCoding/AU_OCC/F001_T1.csv, row 5: 2 cells; 5 in the head; row left out",
        ]
    );
    // The folder of FERA 2015, and unpacked BP4D+.
    let other = tempfile::tempdir().expect("folder");
    write(&other.path().join("AU Intensity Codes3.0/AU06/F001_T1_AU06.csv"), "1,2\n");
    frames(&other.path().join("2D+3D/F001/T1"), 0..=3, |n| format!("{n:03}.jpg"));
    let error = refusal(AuDatabase::Bp4d, other.path());
    assert!(
        error.ends_with("bp4d: layout not confirmed: no folder BP4D-training or Sequences_2D+3D"),
        "{error}"
    );
    let error = refusal(AuDatabase::Bp4dPlus, other.path());
    assert!(error.ends_with("bp4d-plus: layout not confirmed: no folder AU_INT"), "{error}");
    let options = AuOptions { frames: Some(other.path().join("2D+3D")), fps: Some(50.0) };
    let loaded = load(AuDatabase::Bp4d, other.path(), &options).expect("loads");
    assert_eq!((intensity(&loaded.videos[0].codes[&6]), loaded.videos[0].fps), (vec![(1, 2)], 50.0));
}

#[test]
fn unbc_lists_what_occurs_and_means_none_of_the_rest() {
    let dir = tempfile::tempdir().expect("folder");
    let sequence = "042-ll042/ll042t1aaaff";
    let at = |n: u32| {
        dir.path().join("Frame_Labels/FACS").join(sequence).join(format!("ll042t1aaaff{n:03}_facs.txt"))
    };
    write(&at(1), "");
    let row = |au: &str, code: &str| format!("   {au}   {code}   0.0000000e+00   0.0000000e+00\n");
    let (four, closed) = (row("4.0000000e+00", "2.0000000e+00"), row("4.3000000e+01", "1.0000000e+00"));
    write(&at(2), &format!("{four}{closed}{}", row("2.7000000e+01", "3.0000000e+00")));
    write(&at(3), &format!("{four}{}", row("1.2000000e+01", "8.0000000e+00")));
    write(&at(4), "pain\n");
    frames(&dir.path().join("Images").join(sequence), 1..=4, |n| format!("ll042t1aaaff{n:03}.png"));
    let loaded = read(AuDatabase::Unbc, dir.path());
    let video = &loaded.videos[0];
    assert_eq!((video.name.as_str(), video.subject.as_str()), (sequence, "042-ll042"));
    // A frame with a wrong row has no codes at all.
    assert_eq!(intensity(&video.codes[&4]), [(1, 0), (2, 2)]);
    assert_eq!(intensity(&video.codes[&12]), [(1, 0), (2, 0)]);
    assert_eq!(video.codes[&43].present(2, 1), Some(true));
    assert!(video.codes[&43].intensity.is_empty());
    assert_eq!(video.codes.len(), 10);
    assert_eq!(loaded.in_part.into_iter().collect::<Vec<_>>(), [(27, 1)]);
    let file = |n: u32| format!("Frame_Labels/FACS/{sequence}/ll042t1aaaff{n:03}_facs.txt");
    let messages = problems(&read(AuDatabase::Unbc, dir.path()), dir.path());
    assert_eq!(
        messages,
        [
            format!("{}, row 2: 8 is no intensity from 0 to 5; frame left out", file(3)),
            format!("{}, row 1: \"pain\" is no row of AU and intensity; frame left out", file(4)),
        ]
    );
}

#[test]
fn what_no_published_loader_reads_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("folder");
    for database in [AuDatabase::Gft, AuDatabase::Semaine, AuDatabase::Feafa] {
        let error = refusal(database, dir.path());
        assert!(error.starts_with(&format!("{}: layout not confirmed", database.name())), "{error}");
    }
    for (database, folder) in [
        (AuDatabase::Disfa, "ActionUnit_Labels"),
        (AuDatabase::DisfaPlus, "Labels"),
        (AuDatabase::Bp4d, "BP4D-training"),
        (AuDatabase::Unbc, "Frame_Labels"),
    ] {
        let error = refusal(database, dir.path());
        let name = database.name();
        assert!(error.contains(&format!("{name}: layout not confirmed: no folder {folder}")), "{error}");
    }
    std::fs::create_dir_all(dir.path().join("ActionUnit_Labels/SN001")).expect("folder");
    std::fs::create_dir_all(dir.path().join("Videos_LeftCamera")).expect("folder");
    let error = refusal(AuDatabase::Disfa, dir.path());
    assert!(error.ends_with("no video can be used"), "{error}");
}
