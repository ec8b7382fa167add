//! Clips through `glintd replay` and `glintd inspect`: what comes out of good ones, and what is said of bad ones.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use glint::clip::{Codec, Rate, Y4mWriter};
use serde_json::Value;

use super::{SMILE_FPS, glintd, run, smile, stderr, write_smile};

/// `glintd replay` of a clip, with more arguments.
fn replay(clip: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["replay", clip.to_str().expect("UTF-8")];
    arguments.extend(more);
    run(&arguments)
}

/// The events on stdout.
fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Writes 8-bit gray as a PNG.
fn write_png(path: &Path, (width, height): (u32, u32), luma: &[u8]) {
    let mut encoder = png::Encoder::new(std::fs::File::create(path).expect("file"), width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().and_then(|mut w| w.write_image_data(luma)).expect("written");
}

#[test]
fn a_replay_gives_the_same_bytes_however_the_clip_comes() {
    let dir = tempfile::tempdir().expect("folder");
    let (avi, y4m) = (dir.path().join("smile.avi"), dir.path().join("smile.y4m"));
    write_smile(&avi, Codec::Gray, 180);
    let rate = Rate::from_fps(SMILE_FPS).expect("a rate");
    let mut writer = Y4mWriter::create(&y4m, rate, (640, 480)).expect("a clip");
    smile(180).for_each(|luma| writer.write(&luma).expect("written"));
    writer.finish().expect("written");

    let first = replay(&avi, &[]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let events_of_clip = events(&first);
    assert_eq!(events_of_clip.len(), 1, "{events_of_clip:?}");
    super::schema::check("event", &events_of_clip[0].to_string());
    assert_eq!(events_of_clip[0]["specversion"], "1.0");
    assert!(events_of_clip[0].get("time").is_none(), "a clip has no wall clock");
    let data = &events_of_clip[0]["data"];
    assert_eq!(data["kind"], "micro");
    assert_eq!(data["aus"][0]["au"], 12);
    let onset_ns = data["onset_ns"].as_i64().expect("a time");
    assert!((onset_ns - 2_000_000_000).abs() <= 30_000_000, "{onset_ns}");
    assert_eq!(data["label"], Value::Null, "no class words without a purpose");

    assert_eq!(replay(&avi, &["--pace"]).stdout, first.stdout);
    let mut child = glintd(&["replay", "-"])
        .stdin(std::fs::File::open(&y4m).expect("opens"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("glintd starts");
    assert!(child.wait().expect("ends").success());
    let piped = child.wait_with_output().expect("ends");
    assert_eq!(piped.stdout, first.stdout);

    let labelled = events(&replay(&avi, &["--purpose", "research"]));
    assert_eq!(labelled[0]["data"]["label"]["class"], "positive");
    assert_eq!(replay(&avi, &["--purpose", "hiring"]).status.code(), Some(2));
}

#[test]
fn a_truncated_clip_gives_its_events_and_then_fails() {
    let dir = tempfile::tempdir().expect("folder");
    let (whole, cut) = (dir.path().join("whole.avi"), dir.path().join("cut.avi"));
    write_smile(&whole, Codec::Mjpeg(90), 180);
    let bytes = std::fs::read(&whole).expect("readable");
    // The index at the end is short: this ends in the middle of one of the last pictures.
    std::fs::write(&cut, &bytes[..bytes.len() - bytes.len() / 60]).expect("written");
    let output = replay(&cut, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cut.avi: truncated in frame 17"), "{}", stderr(&output));
    assert_eq!(events(&output).len(), 1);
}

#[test]
fn pictures_that_cannot_be_decoded_are_gaps() {
    let dir = tempfile::tempdir().expect("folder");
    for (seq, luma) in smile(180).enumerate() {
        write_png(&dir.path().join(format!("img{seq}.png")), (640, 480), &luma);
    }
    std::fs::remove_file(dir.path().join("img60.png")).expect("removed");
    std::fs::write(dir.path().join("img60.jpg"), b"").expect("written");
    let output = replay(dir.path(), &["--fps", "60"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let stderr_text = stderr(&output);
    assert!(stderr_text.contains("frame 60") && stderr_text.contains("img60.jpg"), "{stderr_text}");
    assert_eq!(events(&output).len(), 1);

    // inspect has a row for it all the same.
    let csv = dir.path().join("rows.csv");
    let folder = dir.path().to_str().expect("UTF-8");
    let output = run(&["inspect", folder, "--fps", "60", "--csv", csv.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = std::fs::read_to_string(&csv).expect("rows");
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(
        rows[0],
        "frame,t_ms,face,x,y,w,h,track,quality,motion_px,au01,au02,au04,au05,au06,au07,au09,au10,au12,au14,\
         au15,au16,au17,au18,au20,au23,au24,au25,au26,au45,gate,state"
    );
    assert_eq!(rows.len(), 181);
    assert!(rows.iter().all(|row| row.matches(',').count() == rows[0].matches(',').count()));
    assert!(rows[61].starts_with("60,1000.000,0,") && rows[61].ends_with(",gap"), "{}", rows[61]);
    assert_eq!(rows.iter().filter(|row| row.ends_with(",event")).count(), 1);
}

#[test]
fn nothing_decoded_is_a_failure() {
    let dir = tempfile::tempdir().expect("folder");
    for seq in 0..3 {
        std::fs::write(dir.path().join(format!("{seq}.jpg")), b"\xff\xd8\xff\xd9").expect("written");
    }
    let output = replay(dir.path(), &["--fps", "25"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no frame could be decoded"), "{}", stderr(&output));
    let output = replay(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--fps"), "{}", stderr(&output));
}

#[test]
fn sizes_from_one_pixel_to_beyond_the_limit() {
    let dir = tempfile::tempdir().expect("folder");
    let clip = dir.path().join("x.y4m");
    for (size, code, words) in [("W1 H1", 0, ""), ("W65535 H65535", 1, "65535x65535"), ("W0 H4", 1, "0x4")] {
        let mut file = std::fs::File::create(&clip).expect("file");
        writeln!(file, "YUV4MPEG2 {size} F50:1 Cmono").expect("written");
        (0..100).for_each(|_| file.write_all(b"FRAME\n\x80").expect("written"));
        let output = replay(&clip, &[]);
        assert_eq!(output.status.code(), Some(code), "{size}: {}", stderr(&output));
        assert!(output.stdout.is_empty() && stderr(&output).contains(words), "{size}: {}", stderr(&output));
    }
    // A picture whose header claims the largest size that JPEG has, and no data.
    let huge = [
        &b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00"[..],
        b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00",
    ];
    let folder = dir.path().join("huge");
    std::fs::create_dir(&folder).expect("folder");
    std::fs::write(folder.join("1.jpg"), huge.concat()).expect("written");
    let output = replay(&folder, &["--fps", "25"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("65535x65535"), "{}", stderr(&output));
}

#[test]
fn a_new_size_begins_a_new_track() {
    let dir = tempfile::tempdir().expect("folder");
    for (seq, luma) in smile(60).enumerate() {
        let (size, luma) = if seq < 30 {
            ((640, 480), luma)
        } else {
            let rows = luma.chunks_exact(640).take(470).flat_map(|row| &row[..630]);
            ((630, 470), rows.copied().collect())
        };
        write_png(&dir.path().join(format!("{seq}.png")), size, &luma);
    }
    let csv = dir.path().join("rows.csv");
    let folder = dir.path().to_str().expect("UTF-8");
    let output = run(&["inspect", folder, "--fps", "60", "--csv", csv.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = std::fs::read_to_string(&csv).expect("rows");
    let tracks: Vec<&str> = text.lines().skip(1).map(|row| row.split(',').nth(7).expect("a cell")).collect();
    assert!(tracks[29] != tracks[59] && !tracks[29].is_empty() && !tracks[59].is_empty(), "{tracks:?}");
}
