//! `glint-pretrain ship --quick`, and its road from pairs to the student, from outside. Need the training material:
//! GLINT_ASSETS names its folder.
#![allow(clippy::disallowed_methods)] // Where the assets are is said by the environment.

use std::path::{Path, PathBuf};
use std::process::Command;

fn assets() -> Option<PathBuf> {
    let assets = std::env::var_os("GLINT_ASSETS");
    if assets.is_none() {
        eprintln!("skipped: GLINT_ASSETS does not name a folder with portraits, ict and priors");
    }
    assets.map(|dir| Path::new(&dir).canonicalize().expect("GLINT_ASSETS"))
}

/// Runs the program in a folder; what it printed.
fn run(dir: &Path, args: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_glint-pretrain"))
        .current_dir(dir)
        .args(args)
        .output()
        .expect("starts");
    assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("UTF-8")
}

fn read(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn the_same_seed_ships_the_same_files() {
    let Some(assets) = assets() else { return };
    let assets = assets.to_str().expect("UTF-8");
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().expect("folder"));
    let ship = |dir: &Path, more: &[&str]| {
        let args =
            ["ship", "--quick", "--seed", "3", "--threads", "2", "--out", "models", "--assets", assets];
        run(dir, &[&args, more].concat())
    };
    let printed = ship(first.path(), &[]);
    for name in ["subject.bin", "au.bin", "judge.bin", "detector.onnx", "landmarks.onnx", "student.onnx"] {
        assert!(printed.contains(name), "{name}: {printed}");
        let spec = Path::new("models").join(name).with_extension("toml");
        assert!(read(first.path(), spec.to_str().expect("UTF-8")).contains("made_by"));
    }
    // The student names what it descends from, and the run how long each step took.
    let student = read(first.path(), "models/student.toml");
    for word in ["[lineage]", "encoders = ", "teachers = ", "[[lineage.pairs]]", "origin = \"rendered\""] {
        assert!(student.contains(word), "{word}: {student}");
    }
    assert!(printed.lines().any(|l| l.ends_with("  encoders")) && printed.contains(" pairs, rendered"));
    let metrics = read(first.path(), "out/ship-3/metrics.jsonl");
    assert_eq!(metrics.matches("\"seconds\"").count(), 16, "{metrics}");
    let digests =
        |text: &str| text.lines().filter(|l| !l.starts_with('{')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(digests(&printed), digests(&ship(second.path(), &[])));
    assert_eq!(student, read(second.path(), "models/student.toml"));
    assert!(first.path().join("out/ship-3/report.html").exists());
    // All steps are done: nothing is made again, and the digests are the same.
    let again = ship(first.path(), &["--resume"]);
    assert_eq!(
        digests(&again),
        digests(&printed).into_iter().filter(|l| again.contains(l)).collect::<Vec<_>>()
    );
    assert!(again.contains("  teachers"), "{again}");
}

#[test]
fn the_road_from_pairs_to_the_student_repeats() {
    let Some(assets) = assets() else { return };
    let assets = assets.to_str().expect("UTF-8");
    let go = || {
        let dir = tempfile::tempdir().expect("folder");
        let step = |line: &str| {
            let line: Vec<&str> =
                line.split(' ').map(|word| if word == "ASSETS" { assets } else { word }).collect();
            run(dir.path(), &line)
        };
        step("corpus --assets ASSETS --out drawn --samples 160 --people 12 --seed 4");
        step("filter --data drawn --out pairs");
        step("pretrain --data pairs --recipe student --quick --seed 4 --out encoders");
        step("train --assets ASSETS --encoders encoders --quick --seed 4");
        step("distill --assets ASSETS --teachers out/train-4/teachers.json --quick --seed 4 --out models");
        let spec = read(dir.path(), "models/student.toml");
        let onnx = std::fs::read(dir.path().join("models/student.onnx")).expect("student");
        (spec, onnx, read(dir.path(), "encoders/lineage.toml"))
    };
    let ((spec, onnx, encoders), again) = (go(), go());
    let encoders_of = |text: &str| {
        let line = text.lines().find(|l| l.starts_with("encoders = ")).expect("a digest of the encoders");
        line.to_owned()
    };
    assert_eq!(encoders_of(&spec), encoders_of(&encoders));
    assert!(spec == again.0 && onnx == again.1 && encoders == again.2, "{spec}\n{}", again.0);
}
