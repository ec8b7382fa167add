//! Results that are written, read again and compared.

use super::*;

fn result(flow_us: f64) -> BenchResult {
    let times = |us| Times { p50_us: Some(us), p99_us: Some(2.0 * us), runs: 9 };
    let never = Times::default();
    let stages =
        STAGES.map(|(name, _)| (name.to_owned(), if name == "flow" { times(flow_us) } else { never }));
    BenchResult {
        machine: Machine { version: "1.2.3".into(), build: "release".into(), cpu: "a chip".into(), cores: 4 },
        frames: 240,
        warm_up_frames: 60,
        fps: 900.0,
        drift: Some(1.01),
        stages: stages.into(),
        tracked_frame: times(1000.0),
        quiet_frame: never,
        wall_fps: 500.0,
        decoder_process_us: None,
        peak_rss_bytes: 40 << 20,
        allocs_ours: 0.0,
        allocs_tract: 12.5,
    }
}

#[test]
fn what_is_printed_is_read_again_and_compared() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("before.json");
    std::fs::write(&path, serde_json::to_string(&result(200.0)).expect("JSON")).expect("written");
    let before = BenchResult::read(&path).expect("a result");
    assert_eq!(before, result(200.0));
    let table = result(150.0).compared(&before).join("\n");
    assert!(table.contains("flow                200.0      150.0     0.75"), "{table}");
    assert!(table.contains("tracked frame      1000.0     1000.0     1.00"), "{table}");
    // A stage that never ran has no row, and the same machine and clip no warning.
    assert!(!table.contains("student") && !table.contains("another"), "{table}");

    let mut elsewhere = result(150.0);
    (elsewhere.machine.cpu, elsewhere.frames) = ("another chip".into(), 100);
    let table = elsewhere.compared(&before).join("\n");
    assert!(table.contains("another processor") && table.contains("another clip: 240"), "{table}");

    std::fs::write(&path, "{\"frames\": 3}").expect("written");
    let error = format!("{:#}", BenchResult::read(&path).expect_err("not a result"));
    assert!(error.contains("before.json: not what glintd bench CLIP --json prints"), "{error}");
}

#[test]
fn a_table_says_where_it_was_measured() {
    let table = result(1.0).lines().join("\n");
    for words in
        ["keeps up with 60 frames/s: yes", "glintd 1.2.3 (release) on a chip, 4 processors", "1.01 times"]
    {
        assert!(table.contains(words), "{words}: {table}");
    }
    let here = Machine::here();
    assert!(!here.cpu.is_empty() && here.cores > 0);
}
