//! `glint-pretrain ship --quick` from outside. Needs the training material: GLINT_ASSETS names its folder.

use std::path::Path;
use std::process::Command;

fn ship(assets: &Path, dir: &Path) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_glint-pretrain"))
        .current_dir(dir)
        .args(["ship", "--quick", "--seed", "3", "--threads", "2", "--out", "models", "--assets"])
        .arg(assets)
        .output()
        .expect("starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("UTF-8")
}

#[test]
fn the_same_seed_ships_the_same_files() {
    let Some(assets) = std::env::var_os("GLINT_ASSETS") else {
        eprintln!("skipped: GLINT_ASSETS does not name a folder with portraits, ict and priors");
        return;
    };
    let assets = Path::new(&assets).canonicalize().expect("GLINT_ASSETS");
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().expect("folder"));
    let printed = ship(&assets, first.path());
    for name in ["subject.bin", "au.bin", "judge.bin", "detector.onnx", "landmarks.onnx", "student.onnx"] {
        assert!(printed.contains(name), "{name}: {printed}");
        let spec = first.path().join("models").join(name).with_extension("toml");
        assert!(std::fs::read_to_string(spec).expect("specification").contains("made_by"));
    }
    let digests =
        |text: &str| text.lines().filter(|l| !l.starts_with('{')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(digests(&printed), digests(&ship(&assets, second.path())));
    assert!(first.path().join("out/ship-3/report.html").exists());
}
