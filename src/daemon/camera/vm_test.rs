//! The camera against real V4L2 nodes: v4l2loopback for bytes, vivid for faults. Ignored elsewhere:
//! `tests/vm/run.sh` boots the machine that has both and runs these tests there, one at a time.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::time::{Duration, Instant};

use glint::frame::{Frame, LumaDecoder, Mounting, PixelFormat};
use v4l::video::{Capture, Output};
use v4l::{Device, FourCC};

use super::modes::ModeRequest;
use super::queue::Queue;
use super::stream::{Meta, Stream};
use super::{CameraSettings, V4l2Camera};
use crate::daemon::clock::monotonic_ns;
use crate::daemon::grab::{FrameSource, Grab, Opener};
use crate::daemon::sources::capture::{self, Captured, Shared};
use crate::daemon::sources::source::CameraSource;

const SIZE: (u32, u32) = (640, 480);
const LONG: Duration = Duration::from_secs(60);

/// A node of the machine; tests/vm/run.sh names it.
fn node(variable: &str) -> PathBuf {
    PathBuf::from(
        std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is set by tests/vm/run.sh")),
    )
}

/// Pictures that differ in every row and column, so that a shift or a cut would show.
fn picture(number: usize) -> Vec<u8> {
    let (w, h) = (SIZE.0 as usize, SIZE.1 as usize);
    (0..w * h).map(|i| ((i % w) / 3 + (i / w) / 2 + number * 29) as u8).collect()
}

fn jpeg(luma: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, 85)
        .encode(luma, SIZE.0 as u16, SIZE.1 as u16, jpeg_encoder::ColorType::Luma)
        .expect("a picture");
    bytes
}

/// Writes `frames` in turn to the output side of a loopback node while `during` runs.
fn fed<T>(path: &Path, code: &[u8; 4], frames: &[Vec<u8>], during: impl FnOnce() -> T) -> T {
    let mut device = Device::with_path(path).expect("the loopback node");
    let mut format = v4l::Format::new(SIZE.0, SIZE.1, FourCC::new(code));
    (format.stride, format.size) = (SIZE.0 * 2, SIZE.0 * SIZE.1 * 2);
    Output::set_format(&device, &format).expect("a format");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for frame in frames.iter().cycle() {
                if stop.load(Relaxed) {
                    return;
                }
                assert_eq!(device.write(frame).expect("written"), frame.len());
                std::thread::sleep(Duration::from_millis(40));
            }
        });
        // The writer has to end also where the check fails.
        std::thread::sleep(Duration::from_millis(500));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(during));
        stop.store(true, Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What tells `bytes` from each of `expected`; `None` where it is one of them.
fn difference(expected: &[Vec<u8>], bytes: &[u8], meta: Meta) -> Option<String> {
    let alike = |e: &Vec<u8>| e.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    let nearest = expected.iter().max_by_key(|e| alike(e))?;
    (!expected.iter().any(|e| e == bytes)).then(|| {
        format!(
            "{meta:?}: {} bytes, the first {} of them alike; {} were fed",
            bytes.len(),
            alike(nearest),
            nearest.len()
        )
    })
}

/// The luma of `count` frames from a node, each compared with `expected`, whose members must all come.
fn compare(path: &Path, settings: &CameraSettings, expected: &[Vec<u8>], count: usize) {
    let mut camera = V4l2Camera::open(path, settings).expect("open");
    let mut seen = vec![0; expected.len()];
    let (mut frame, mut last) = (Frame::default(), None);
    while seen.iter().sum::<usize>() < count {
        assert_eq!(camera.next(&mut frame, LONG).expect("a frame"), Grab::Frame);
        assert_eq!((frame.width, frame.height), (SIZE.0 as usize, SIZE.1 as usize));
        let which = expected.iter().position(|e| *e == frame.luma).expect("luma of a frame that was fed");
        seen[which] += 1;
        assert!(last.is_none_or(|(seq, at)| frame.seq > seq && frame.at_ns > at), "time goes on");
        last = Some((frame.seq, frame.at_ns));
    }
    assert!(seen.iter().all(|n| *n > 0), "every picture came: {seen:?}");
}

#[test]
#[ignore = "needs the machine of tests/vm"]
fn mjpg_arrives_byte_for_byte() {
    let path = node("GLINT_VM_MJPG");
    let jpegs: Vec<Vec<u8>> = (0..5).map(|n| jpeg(&picture(n))).collect();
    let mut decoder = LumaDecoder::default();
    let lumas: Vec<Vec<u8>> = jpegs
        .iter()
        .map(|bytes| {
            let mut luma = Vec::new();
            decoder.decode(PixelFormat::Mjpg, 0, 0, 0, bytes, &mut luma).expect("a JPEG");
            luma
        })
        .collect();
    fed(&path, b"MJPG", &jpegs, || {
        let mut stream =
            Stream::start(Device::with_path(&path).expect("open"), Queue::Single).expect("a stream");
        // v4l2loopback resets the length and the number of what was written before REQBUFS: at most its
        // buffers, at the start alone, come whole, with the fed bytes in front.
        let (mut reset, mut whole) = (0, 0);
        while whole < 20 {
            let wrong = stream.next(LONG, |bytes, meta| {
                let full = bytes.len() == (SIZE.0 * SIZE.1 * 4) as usize && meta.sequence == 0;
                let stale = full && jpegs.iter().any(|j| bytes.starts_with(j));
                if stale && whole == 0 && reset < 4 {
                    reset += 1;
                    return None;
                }
                whole += 1;
                difference(&jpegs, bytes, meta)
            });
            assert_eq!(
                wrong.expect("a frame"),
                Some(None),
                "frame {whole}: cut at the used bytes, unchanged"
            );
        }
        eprintln!("{whole} frames byte for byte, after {reset} that the driver reset");
        drop(stream);
        compare(&path, &CameraSettings::default(), &lumas, 20);
    });
}

#[test]
#[ignore = "needs the machine of tests/vm"]
fn yuyv_gives_its_luma() {
    let path = node("GLINT_VM_YUYV");
    let lumas: Vec<Vec<u8>> = (0..5).map(picture).collect();
    // Chroma that differs from the luma: a decoder that mixed them up would be seen.
    let frames: Vec<Vec<u8>> =
        lumas.iter().map(|l| l.iter().flat_map(|y| [*y, 255 - *y]).collect()).collect();
    fed(&path, b"YUYV", &frames, || compare(&path, &CameraSettings::default(), &lumas, 20));
}

#[test]
#[ignore = "needs the machine of tests/vm"]
fn multi_planar_frames_give_their_luma() {
    let (path, output) = (node("GLINT_VM_PLANES"), node("GLINT_VM_PLANES_OUT"));
    let lumas: Vec<Vec<u8>> = (0..5).map(picture).collect();
    let chroma = vec![77; lumas[0].len() / 2];
    let file = std::env::temp_dir().join("planes.nv12");
    let frames: Vec<u8> = lumas.iter().flat_map(|luma| [luma.as_slice(), &chroma].concat()).collect();
    std::fs::write(&file, frames).expect("written");
    // vivid's output loops to its capture node where both have the same timings and format.
    let ctl = |path: &Path, arguments: &[&str]| {
        let mut command = Command::new("v4l2-ctl");
        command.arg("-d").arg(path).args(arguments);
        command
    };
    let done = |path: &Path, arguments: &[&str]| {
        assert!(ctl(path, arguments).status().is_ok_and(|s| s.success()), "v4l2-ctl {arguments:?}");
    };
    done(&output, &["--set-dv-bt-timings", "index=0"]);
    done(&output, &["--set-fmt-video-out=width=640,height=480,pixelformat=NV12"]);
    done(&path, &["--set-ctrl", "loop_video=1,osd_text_mode=2"]);
    done(&path, &["--set-dv-bt-timings", "index=0"]);
    let from = format!("--stream-from={}", file.display());
    let mut writer = ctl(&output, &["--stream-out-mmap=4", &from, "--stream-loop"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("v4l2-ctl starts");
    std::thread::sleep(Duration::from_secs(3));
    let result = std::panic::catch_unwind(|| {
        assert_eq!(
            Queue::for_device(&Device::with_path(&path).expect("open")).expect("told"),
            Some(Queue::Multi)
        );
        let request = ModeRequest { format: Some(PixelFormat::Nv12), ..ModeRequest::default() };
        compare(&path, &CameraSettings { request, ..CameraSettings::default() }, &lumas, 20);
    });
    let _ = (writer.kill(), writer.wait());
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Small frames at a rate that an emulated machine can draw.
fn vivid_settings() -> CameraSettings {
    let request = ModeRequest { format: Some(PixelFormat::Yuyv), size: Some((320, 180)), fps: Some(15.0) };
    CameraSettings { request, ..CameraSettings::default() }
}

fn control(path: &Path, setting: &str) {
    let done = Command::new("v4l2-ctl").arg("-d").arg(path).args(["--set-ctrl", setting]).status();
    assert!(done.is_ok_and(|s| s.success()), "v4l2-ctl {setting}");
}

/// Runs the capture thread on vivid; it must still be there afterwards, and end when told.
fn captured(path: &Path, during: impl FnOnce(&Receiver<Captured>, &Shared)) {
    let (items, received) = sync_channel(4);
    let (_back, spare) = channel();
    let shared = Arc::new(Shared::default());
    let path = path.to_owned();
    let open: Opener = Box::new(move || {
        CameraSource::open(Some(&path), &vivid_settings(), Mounting::default())
            .map(|source| Box::new(source) as Box<dyn FrameSource>)
    });
    let thread = std::thread::spawn({
        let shared = shared.clone();
        move || capture::run(open, &items, &spare, &shared)
    });
    during(&received, &shared);
    assert!(!thread.is_finished(), "a fault is no end");
    shared.stop.store(true, Relaxed);
    drop(received);
    thread.join().expect("no panic");
}

/// Takes items until so many frames have come; their numbers, and how often the source was opened.
fn take(received: &Receiver<Captured>, frames: usize) -> (Vec<u64>, usize) {
    let (mut numbers, mut opened) = (Vec::new(), 0);
    while numbers.len() < frames {
        match received.recv_timeout(LONG).expect("a frame") {
            Captured::Frame(frame) => numbers.push(frame.seq),
            Captured::Opened => opened += 1,
            Captured::Damaged { .. } => {}
        }
    }
    (numbers, opened)
}

#[test]
#[ignore = "needs the machine of tests/vm"]
fn a_frame_with_the_error_flag_is_counted() {
    let path = node("GLINT_VM_VIVID");
    captured(&path, |received, shared| {
        take(received, 10);
        assert_eq!(shared.damaged.load(Relaxed), 0);
        control(&path, "inject_v4l2_buf_flag_error=1");
        take(received, 15);
        assert_eq!(shared.damaged.load(Relaxed), 1);
        assert!(!shared.no_source.load(Relaxed), "the stream goes on");
    });
}

#[test]
#[ignore = "needs the machine of tests/vm"]
fn lost_buffers_leave_gaps_in_the_numbers() {
    let path = node("GLINT_VM_VIVID");
    captured(&path, |received, _| {
        take(received, 5);
        control(&path, "percentage_of_dropped_buffers=50");
        let (numbers, _) = take(received, 40);
        control(&path, "percentage_of_dropped_buffers=0");
        let gaps = numbers.windows(2).filter(|w| w[1] > w[0] + 1).count();
        assert!(gaps >= 5, "{gaps} gaps in {numbers:?}");
        assert!(numbers.is_sorted_by(|a, b| a < b));
    });
}

#[test]
#[ignore = "needs the machine of tests/vm"]
fn an_unplugged_camera_is_waited_for_and_opened_anew() {
    let path = node("GLINT_VM_VIVID");
    let driver = Path::new("/sys/bus/platform/drivers/vivid");
    captured(&path, |received, shared| {
        take(received, 5);
        control(&path, "disconnect=1");
        let deadline = Instant::now() + LONG;
        while !shared.no_source.load(Relaxed) {
            assert!(Instant::now() < deadline, "the loss is seen");
            while received.try_recv().is_ok() {}
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::write(driver.join("unbind"), "vivid.0").expect("unbind");
        assert!(!path.exists(), "the node is gone");
        // The watchdog must be fed while there is no camera.
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(300));
            let age = monotonic_ns() - shared.capture_tick.load(Relaxed);
            assert!(age < 2_000_000_000, "silent for {age} ns");
        }
        assert!(shared.no_source.load(Relaxed));
        std::fs::write(driver.join("bind"), "vivid.0").expect("bind");
        let (_, opened) = take(received, 10);
        assert!(opened >= 1, "opened anew");
        assert!(!shared.no_source.load(Relaxed));
    });
}

#[test]
#[ignore = "needs the machine of tests/vm"]
fn the_configured_rate_is_asked_for_and_the_kernel_stamps() {
    let path = node("GLINT_VM_VIVID");
    let mut camera = V4l2Camera::open(&path, &vivid_settings()).expect("open");
    assert!(camera.description().contains("320x180 at 15.0 frames/s"), "{}", camera.description());
    let params = Capture::params(camera.stream.device()).expect("parameters");
    assert_eq!(params.interval.denominator, 15 * params.interval.numerator);
    // v4l2loopback names no clock, so this is looked at here.
    let at_ns = camera.stream.next(LONG, |_, meta| meta.at_ns).expect("a frame").flatten();
    let age = monotonic_ns() - at_ns.expect("a monotonic stamp");
    // A stamp may be that of the frame's end as planned: ahead by one frame at most.
    assert!((-1_000_000_000 / 15..5_000_000_000).contains(&age), "{age} ns old");
    assert!(super::nodes().iter().any(|n| n.path == path), "glintd cameras lists it");
}
