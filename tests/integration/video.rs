//! Videos that ffmpeg makes and glint reads through it: frames, times, orientation, and what is said where it fails.
//! `tests/media/matrix.py` does the same over every container, codec, rate and rotation.

use std::path::Path;
use std::process::{Command, Stdio};

use glint::clip::{Clip, ClipError, Media};
use glint::frame::Frame;

use super::{glintd, stderr, write_smile};

/// Runs ffmpeg; false, with a message, where it is not installed.
pub(crate) fn ffmpeg(arguments: &[&str]) -> bool {
    let mut command = Command::new("ffmpeg");
    match command.args(["-v", "error", "-nostdin", "-y"]).args(arguments).stdin(Stdio::null()).output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            super::tools::missing("ffmpeg");
            false
        }
        output => {
            let output = output.expect("ffmpeg starts");
            assert!(output.status.success(), "{}", stderr(&output));
            true
        }
    }
}

/// Times of the frames in microseconds after the first, by ffprobe.
pub(crate) fn probed(path: &Path) -> Vec<i64> {
    let entries = "frame=best_effort_timestamp_time";
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "V:0", "-show_entries", entries, "-of", "csv=p=0"])
        .arg(path)
        .output()
        .expect("ffprobe starts");
    let text = String::from_utf8_lossy(&output.stdout).replace(',', "");
    let times: Vec<f64> = text.split_whitespace().map(|t| t.parse().expect("a time")).collect();
    times.iter().map(|t| ((t - times[0]) * 1e6).round() as i64).collect()
}

/// All frames of a clip, and how it ended.
fn read(path: &Path) -> (Vec<Frame>, Option<ClipError>) {
    let mut clip = Clip::open(path, None).unwrap_or_else(|e| panic!("{e}"));
    let (mut frames, mut frame) = (Vec::new(), Frame::default());
    loop {
        match clip.next(&mut frame) {
            Ok(Some(Media::Frame)) => frames.push(frame.clone()),
            Ok(Some(gap)) => panic!("{gap:?}"),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

/// A second of a picture whose upper left quarter is bright, and sound that begins earlier.
const SOURCE: [&str; 10] = [
    "-f",
    "lavfi",
    "-i",
    "sine=duration=2",
    "-itsoffset",
    "0.25",
    "-f",
    "lavfi",
    "-i",
    "color=black:size=160x96:rate=30000/1001:duration=1.2,format=yuv420p,drawbox=w=80:h=48:c=white:t=fill,noise=alls=20:allf=t",
];

/// Runs ffmpeg with [`SOURCE`] and an output.
fn made(more: &[&str], path: &Path) -> bool {
    ffmpeg(&[&SOURCE[..], &["-map", "1:v"], more, &[path.to_str().expect("UTF-8")]].concat())
}

#[test]
fn frames_and_times_are_those_of_the_file() {
    let dir = tempfile::tempdir().expect("folder");
    let jitter = "settb=1/90000,setpts='PTS+if(gt(N,0),0.008*sin(N*2.4)/TB,0)',select='mod(n+1,9)'";
    let files: [(&str, &[&str]); 5] = [
        ("b frames and sound.mp4", &["-map", "0:a", "-c:v", "libx264", "-bf", "3", "-c:a", "aac"]),
        (
            "phone.mov",
            &["-vf", jitter, "-vsync", "passthrough", "-enc_time_base", "1/90000", "-c:v", "libx264"],
        ),
        ("a:b.mkv", &["-vf", jitter, "-vsync", "passthrough", "-c:v", "mjpeg", "-pix_fmt", "yuvj422p"]),
        ("x.webm", &["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"]),
        ("rgb.avi", &["-c:v", "ffv1", "-pix_fmt", "bgr0"]),
    ];
    for (name, arguments) in files {
        let path = dir.path().join(name);
        // A colon in a name is no protocol, for ffmpeg as for glint.
        let plain = dir.path().join(name.replace(':', "_"));
        if !made(arguments, &plain) {
            return;
        }
        let expected = probed(&plain);
        std::fs::rename(&plain, &path).expect("renamed");
        let (frames, error) = read(&path);
        assert!(error.is_none(), "{name}: {error:?}");
        assert_eq!(frames.len(), expected.len(), "{name}");
        for (n, (f, us)) in frames.iter().zip(&expected).enumerate() {
            assert_eq!((f.seq, f.width, f.height), (n as u64, 160, 96), "{name}");
            assert!((f.at_ns / 1000 - us).abs() <= 1, "{name}: frame {n} at {} ns, not {us} us", f.at_ns);
        }
        let f = &frames[5];
        assert!(f.luma[0] > 180 && f.luma[159] < 70 && f.luma[95 * 160] < 70, "{name}: luma");
    }
}

#[test]
fn a_film_is_turned_upright_by_its_own_word() {
    let dir = tempfile::tempdir().expect("folder");
    let (plain, turned) = (dir.path().join("plain.mp4"), dir.path().join("turned.mp4"));
    if !made(&["-c:v", "libx264"], &plain) {
        return;
    }
    // An option since version 6, a tag before: both count counter-clockwise.
    let names = [plain.to_str().expect("UTF-8"), turned.to_str().expect("UTF-8")];
    let copy = |before: &[&str], after: &[&str]| {
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args([before, &["-i", names[0], "-c", "copy"], after, &[names[1]]].concat())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|s| s.success())
    };
    assert!(copy(&["-display_rotation:v:0", "90"], &[]) || copy(&[], &["-metadata:s:v:0", "rotate=90"]));
    let (frames, _) = read(&turned);
    let f = &frames[5];
    // Counter-clockwise: what was above at the left is below at the left.
    assert_eq!((f.width, f.height), (96, 160));
    let at = |x: usize, y: usize| f.luma[y * 96 + x];
    assert!(
        at(10, 150) > 180 && at(10, 10) < 70 && at(90, 150) < 70,
        "{} {} {}",
        at(10, 150),
        at(10, 10),
        at(90, 150)
    );
}

#[test]
fn what_ffmpeg_cannot_read_and_where_it_is_missing() {
    let dir = tempfile::tempdir().expect("folder");
    let text = dir.path().join("notes.mp4");
    std::fs::write(&text, "no film\n").expect("written");
    let replay = |path: &str| {
        let mut command = glintd(&["replay", path]);
        command.env("PATH", dir.path());
        let output = command.output().expect("glintd starts");
        (output.status.code(), stderr(&output))
    };
    for path in [text.to_str().expect("UTF-8"), "rtsp://127.0.0.1:9/stream"] {
        let (code, stderr_text) = replay(path);
        assert_eq!(code, Some(1), "{stderr_text}");
        assert!(stderr_text.contains(path) && stderr_text.contains("apt install ffmpeg"), "{stderr_text}");
    }
    let film = dir.path().join("film.mkv");
    if !made(&["-c:v", "libx264", "-g", "5"], &film) {
        return;
    }
    let output = super::run(&["replay", text.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("notes.mp4: not an AVI"), "{}", stderr(&output));
    // Cut in the middle: what comes before is there, and then an error.
    let bytes = std::fs::read(&film).expect("readable");
    std::fs::write(&film, &bytes[..bytes.len() / 2]).expect("written");
    let (frames, error) = read(&film);
    assert!((5..35).contains(&frames.len()), "{}", frames.len());
    assert!(matches!(error, Some(ClipError::Truncated { .. })), "{error:?}");
}

#[test]
fn a_cut_picture_is_no_frame_in_any_container() {
    let dir = tempfile::tempdir().expect("folder");
    let (avi, mkv) = (dir.path().join("cut.avi"), dir.path().join("cut.mkv"));
    let rate = glint::clip::Rate { num: 50, den: 1 };
    let mut writer =
        glint::clip::AviWriter::create(&avi, rate, (96, 64), glint::clip::Codec::Mjpeg(90)).expect("creates");
    for n in 0..12u32 {
        let luma: Vec<u8> = (0..96 * 64).map(|i: u32| (i * (7 + n) % 251) as u8).collect();
        let mut jpeg = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 90);
        encoder.encode(&luma, 96, 64, jpeg_encoder::ColorType::Luma).expect("encodes");
        jpeg.truncate(if (4..7).contains(&n) { jpeg.len() * 3 / 5 } else { jpeg.len() });
        writer.write_chunk(&jpeg).expect("writes");
    }
    writer.finish().expect("finishes");
    if !ffmpeg(&["-i", avi.to_str().expect("UTF-8"), "-c", "copy", mkv.to_str().expect("UTF-8")]) {
        return;
    }
    let (frames, error) = read(&mkv);
    let times: Vec<i64> = frames.iter().map(|f| f.at_ns / 20_000_000).collect();
    assert!(error.is_none() && times == [0, 1, 2, 3, 7, 8, 9, 10, 11], "{times:?} {error:?}");
}

#[test]
fn what_states_no_rate_or_is_no_film_is_refused() {
    let dir = tempfile::tempdir().expect("folder");
    let (film, text) = (dir.path().join("film.mjpeg"), dir.path().join("notes.txt"));
    std::fs::write(&text, "no film\n".repeat(100)).expect("written");
    if !made(&["-c:v", "mjpeg", "-f", "mjpeg"], &film) {
        return;
    }
    let said = |path: &Path| Clip::open(path, None).err().expect("refused").to_string();
    assert!(said(&film).contains("no frame rate; set one with --fps"), "{}", said(&film));
    assert!(said(&text).contains("notes.txt: not an AVI"), "{}", said(&text));
    let mut clip = Clip::open(&film, Some(30.0)).expect("opens");
    let mut frame = Frame::default();
    (0..3).for_each(|_| assert_eq!(clip.next(&mut frame).expect("a frame"), Some(Media::Frame)));
    assert_eq!(frame.at_ns, 66_666_667);
}

#[test]
fn a_film_that_is_left_early_leaves_no_child() {
    let dir = tempfile::tempdir().expect("folder");
    let film = dir.path().join("film.mkv");
    if !made(&["-c:v", "mpeg4"], &film) {
        return;
    }
    let mut clip = Clip::open(&film, None).expect("opens");
    assert_eq!(clip.next(&mut Frame::default()).expect("a frame"), Some(Media::Frame));
    drop(clip);
    for process in std::fs::read_dir("/proc").expect("processes").flatten() {
        let name = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        assert!(!name.contains(film.to_str().expect("UTF-8")), "{name}");
    }
}

#[test]
fn a_part_of_a_clip_turned_and_written_to_stdout() {
    let dir = tempfile::tempdir().expect("folder");
    let clip = dir.path().join("smile.avi");
    write_smile(&clip, glint::clip::Codec::Gray, 60);
    let clip = clip.to_str().expect("UTF-8");
    let output = super::run(&["inspect", clip, "--csv", "-", "--from", "0.25", "--to", "0.75"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(rows.len(), 30);
    assert!(rows[0].starts_with("15,250.000,1,") && rows[29].starts_with("44,733.333,1,"), "{text}");
    // A face upside down is none; a mirrored one lies on the other side.
    let column = |more: &[&str], k: usize| {
        let output = super::run(&[&["inspect", clip, "--csv", "-"][..], more].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = text.lines().last().expect("rows").to_owned();
        last.split(',').nth(k).and_then(|v| v.parse::<f32>().ok()).unwrap_or(-1.0)
    };
    assert_eq!(column(&["--rotate", "180"], 2), 0.0);
    let (x, w, mirrored) = (column(&[], 3), column(&[], 5), column(&["--mirror"], 3));
    assert!((640.0 - x - w - mirrored).abs() < 8.0, "{x} {w} {mirrored}");
    let refused: [(&[&str], &str); 4] = [
        (&["--rotate", "45"], "allowed: 0, 90, 180, 270"),
        (&["--from", "1:30"], "allowed: seconds"),
        (&["--from", "2", "--to", "1"], "not before"),
        (&["--from", "100"], "no frame between"),
    ];
    for (arguments, words) in refused {
        let output = super::run(&[&["inspect", clip, "--csv", "-"][..], arguments].concat());
        assert!(!output.status.success() && stderr(&output).contains(words), "{}", stderr(&output));
    }
}

/// A movement that is concluded when the clip ends is no frame.
#[test]
fn a_table_has_a_row_for_each_frame_and_no_other() {
    let dir = tempfile::tempdir().expect("folder");
    let clip = dir.path().join("smile.avi");
    write_smile(&clip, glint::clip::Codec::Gray, 141);
    let clip = clip.to_str().expect("UTF-8");
    for format in ["glint", "openface"] {
        let output = super::run(&["inspect", clip, "--csv", "-", "--format", format]);
        assert!(stderr(&output).contains("1 micro"), "{}", stderr(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1 + 141, "{format}");
    }
}

/// A tenth of the script, which has a clip for each container, codec, rate and rotation.
#[test]
fn a_tenth_of_the_matrix_has_ffprobes_frames_and_times() {
    if !ffmpeg(&["-version"]) {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/media/matrix.py");
    let program = env!("CARGO_BIN_EXE_glintd");
    let output = Command::new("python3").args([script, program, "--every", "10"]).output();
    let Ok(output) = output else { return super::tools::missing("python3") };
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{table}{}", stderr(&output));
    assert!(table.lines().count() >= 10, "{table}");
}

/// An address goes to ffmpeg as it is.
#[test]
fn a_clip_of_a_web_server_has_the_events_of_its_file() {
    let dir = tempfile::tempdir().expect("folder");
    let (avi, mkv) = (dir.path().join("smile.avi"), dir.path().join("smile.mkv"));
    write_smile(&avi, glint::clip::Codec::Mjpeg(95), 150);
    let paths = [&avi, &mkv].map(|p| p.to_str().expect("UTF-8"));
    if !ffmpeg(&["-i", paths[0], "-c", "copy", paths[1]]) {
        return;
    }
    let port = super::broker::free_port();
    let mut server = Command::new("python3");
    server.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]).current_dir(dir.path());
    let Ok(mut server) = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        return super::tools::missing("python3");
    };
    let address = format!("http://127.0.0.1:{port}/smile.mkv");
    let begin = std::time::Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begin.elapsed().as_secs() < 20, "the server does not listen");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let events = |clip: &str| {
        let output = super::run(&["replay", clip]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let event: serde_json::Value =
            serde_json::from_str(text.lines().next().expect("an event")).expect("JSON");
        event["data"].clone()
    };
    let of_address = events(&address);
    server.kill().expect("killed");
    _ = server.wait();
    assert_eq!(of_address, events(paths[1]));
}
