//! The filter in three processes gives the bytes of one.

use std::collections::BTreeMap;
use std::path::Path;

use glint::clip::{AviWriter, Codec, Rate};
use glint::synth::{Action, Camera, Pack, Scene, Script, Subject};

use super::pretrain;

/// Four recordings of 3 s with a weak smile or brow, and one file that is none.
fn recordings(dir: &Path) {
    let pack = Pack::embedded().expect("pack");
    let camera = Camera { width: 320, height: 240, eye_distance_px: 60.0, ..Camera::default() };
    for k in 0..4u64 {
        let action = Action::micro([12, 4][k as usize % 2], 0.3, 1_800_000_000);
        let script = Script::new(vec![action]).expect("valid");
        let mut scene = Scene::new(Subject::random(&pack, 40 + k), script, Camera { seed: k, ..camera });
        let path = dir.join(format!("person-{}", k % 3));
        std::fs::create_dir_all(&path).expect("folder");
        let rate = Rate { num: 50, den: 1 };
        let size = (camera.width, camera.height);
        let mut clip =
            AviWriter::create(&path.join(format!("clip-{k}.avi")), rate, size, Codec::Gray).expect("creates");
        (0..150).for_each(|seq| clip.write(&scene.frame(seq, 50.0).luma).expect("writes"));
        clip.finish().expect("ends");
    }
    std::fs::write(dir.join("broken.avi"), b"RIFF").expect("writes");
}

fn filter(args: &[&str], dirs: &[(&str, &Path)]) -> String {
    let mut command = pretrain();
    command.arg("filter").args(args);
    dirs.iter().for_each(|(name, dir)| {
        command.arg(name).arg(dir);
    });
    let done = command.output().expect("runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = |p: &Path| p.file_name().expect("a name").to_string_lossy().into_owned();
    let files = std::fs::read_dir(dir).expect("folder").map(|e| e.expect("entry").path());
    files.map(|p| (name(&p), std::fs::read(&p).expect("reads"))).collect()
}

#[test]
fn three_shards_give_the_bytes_of_one_run() {
    let root = tempfile::tempdir().expect("folder");
    let at = |name: &str| root.path().join(name);
    let data = at("videos");
    std::fs::create_dir(&data).expect("folder");
    recordings(&data);
    let stdout = filter(&[], &[("--data", &data), ("--out", &at("whole"))]);
    assert!(stdout.contains("5 recordings, 600 frames"), "{stdout}");
    let parts: Vec<_> = (1..=3).map(|i| at(&format!("part-{i}"))).collect();
    let running: Vec<_> = (1..=3)
        .map(|i| {
            let mut command = pretrain();
            command.args(["filter", "--shard", &format!("{i}/3"), "--data"]).arg(&data);
            command.arg("--out").arg(&parts[i - 1]).spawn().expect("starts")
        })
        .collect();
    for mut process in running {
        assert!(process.wait().expect("ends").success());
    }
    let mut command = pretrain();
    command.args(["filter", "--merge"]).args(&parts).arg("--out").arg(at("merged"));
    assert!(command.status().expect("runs").success());
    let (whole, merged) = (contents(&at("whole")), contents(&at("merged")));
    assert_eq!(whole.keys().collect::<Vec<_>>(), merged.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(bytes == &merged[name], "{name} differs");
    }
    let pairs = whole.keys().filter(|n| n.ends_with(".tar")).count();
    let index = String::from_utf8(whole["index.csv"].clone()).expect("text");
    assert!(pairs >= 3 && index.matches(",kept,").count() >= 3, "{index}");
    let html = String::from_utf8(whole["report.html"].clone()).expect("text");
    assert!(html.contains("broken.avi"), "{html}");
    // A run that was stopped: what is there is kept, what is missing is made, and the bytes are the same.
    let gone = whole.keys().find(|n| n.ends_with(".unit.json") && n.contains("clip")).expect("a report");
    std::fs::remove_file(at("whole").join(gone)).expect("removes");
    std::fs::remove_file(at("whole").join("index.csv")).expect("removes");
    filter(&[], &[("--data", &data), ("--out", &at("whole"))]);
    assert!(contents(&at("whole")) == whole);
}
