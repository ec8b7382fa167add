//! Everything that glint does not read itself, through a child process: ffmpeg.
//!
//! It decodes, turns the picture upright by the file's word, leaves sound out, and hands over the luma as it is coded
//! (no range is stretched) with the presentation time of each frame. No frame is repeated or dropped to make a rate
//! constant.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use super::address::{display_name, is_address, mask_logins};
use super::nut::NutReader;
use super::{Place, Raw, Source};

/// Lines of ffmpeg that are passed on; a damaged file has one for each block.
const MAX_LINES: usize = 10;
/// Longest line that is kept, in characters.
const MAX_LINE: usize = 400;
/// A server that is silent for so long is away, in microseconds.
const SILENCE_US: &str = "15000000";
/// What its demuxers say of a file that ends early,
const CUT: [&str; 4] = ["partial file", "ended prematurely", "truncat", "error during demuxing"];
/// and of one in which something else stands than should.
const NONSENSE: &str = "Invalid data found";

/// Pixel formats of a plane of luma; others are converted to one of them. All of eight bits, for the filter that takes
/// the luma out allows no mixture.
const PLANAR: &str =
    "gray|yuv420p|yuv422p|yuv444p|yuv440p|yuv411p|yuv410p|yuvj420p|yuvj422p|yuvj444p|yuvj440p";

/// A video that ffmpeg reads.
pub(super) struct FfmpegReader {
    child: Child,
    nut: NutReader<ChildStdout>,
    listener: Option<JoinHandle<Messages>>,
    /// Time of the first frame by the file.
    first_ns: Option<i64>,
}

/// What ffmpeg said on stderr.
#[derive(Debug, Default)]
struct Messages {
    last: String,
    cut: bool,
    nonsense: bool,
}

/// Whether ffmpeg takes a file for the screen of a text terminal, which it does by the ending of the name.
fn is_text(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    ["ans", "art", "asc", "diz", "ice", "nfo", "txt", "vt"].contains(&ending.as_str())
}

impl FfmpegReader {
    /// Starts ffmpeg and waits for the size of the frames; or says why that is not possible.
    pub(super) fn new(path: &Path) -> Result<Self, String> {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-nostdin", "-loglevel", "error"]);
        let mut input = OsString::new();
        if !is_address(path) {
            // A name with a colon is no protocol.
            input.push("file:");
        } else {
            command.args(patience(&path.to_string_lossy(), version()?));
        }
        input.push(path);
        if is_text(path) {
            return Err("it would show the text as a picture".into());
        }
        // A picture that its decoder finds damaged is left out, and not filled up.
        command.args(["-err_detect:v", "explode"]).arg("-i").arg(&input);
        // The first video that is no cover picture, alone. Gray of ffmpeg's own would stretch the range of the luma.
        let luma = format!("format={PLANAR},extractplanes=y,format=gray");
        command.args(["-map", "0:V:0", "-an", "-sn", "-dn", "-vf", &luma]);
        // Each frame once, at its own time and in the file's own ticks.
        command.args(passthrough()?).args(["-enc_time_base", "-1"]);
        command.args(["-c:v", "rawvideo", "-f", "nut", "-write_index", "0", "-flush_packets", "1", "pipe:1"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| not_started(&e))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err("ffmpeg has no standard output".into());
        };
        let (name, input) = (display_name(path), input.to_string_lossy().into_owned());
        let has_opened = Arc::new(AtomicBool::new(false));
        let opened = Arc::clone(&has_opened);
        let listen = move || listen(&name, &input, &opened, BufReader::new(stderr));
        let mut listener = Some(std::thread::spawn(listen));
        let nut = match NutReader::new(stdout) {
            Ok(nut) => nut,
            Err(error) => {
                let empty = error.kind() == ErrorKind::UnexpectedEof;
                if !empty {
                    let _ = child.kill();
                }
                let (_, messages) = end(&mut child, &mut listener);
                let words = if empty && !messages.last.is_empty() {
                    messages.last
                } else {
                    format!("no frames ({error})")
                };
                return Err(format!("ffmpeg: {words}"));
            }
        };
        has_opened.store(true, Relaxed);
        Ok(Self { child, nut, listener, first_ns: None })
    }

    /// Waits for the end of a program whose frames cannot be followed any more.
    fn broken(&mut self, reason: &str) -> Raw {
        let (status, messages) = end(&mut self.child, &mut self.listener);
        Raw::Broken(format!("ffmpeg: {}; {}", status.unwrap_or_else(|| reason.to_owned()), messages.last))
    }
}

impl Source for FfmpegReader {
    /// Times count from the first frame.
    fn place(&self) -> Place {
        let place = self.nut.place();
        let first_ns = self.first_ns.unwrap_or_default();
        Place { at_ns: place.at_ns.map(|at_ns| at_ns - first_ns), ..place }
    }

    fn next(&mut self, luma: &mut Vec<u8>) -> std::io::Result<Raw> {
        match self.nut.next(luma) {
            Ok(Raw::End) => Ok(match end(&mut self.child, &mut self.listener) {
                (None, messages) if messages.nonsense => Raw::Broken(format!(
                    "ffmpeg: {}; are the frames of the size and the pixel format that the file states?",
                    messages.last
                )),
                (None, messages) if messages.cut => Raw::Cut,
                (None, _) => Raw::End,
                (Some(status), messages) => Raw::Broken(format!("ffmpeg: {status}; {}", messages.last)),
            }),
            Ok(Raw::Cut) => Ok(self.broken("its output ends in the middle of a frame")),
            Ok(frame) => {
                let at_ns = self.nut.place().at_ns.unwrap_or_default();
                self.first_ns.get_or_insert(at_ns);
                Ok(frame)
            }
            Err(error) => {
                // It would wait for its frames to be taken.
                let _ = self.child.kill();
                Ok(self.broken(&error.to_string()))
            }
        }
    }
}

impl Drop for FfmpegReader {
    fn drop(&mut self) {
        // It may be in the middle of a film, or have ended: both are fine.
        let _ = self.child.kill();
        let _ = end(&mut self.child, &mut self.listener);
    }
}

/// Waits for the end: the exit status where it is that of a failure, and what was said.
fn end(child: &mut Child, listener: &mut Option<JoinHandle<Messages>>) -> (Option<String>, Messages) {
    let status = match child.wait() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(status.to_string()),
        Err(error) => Some(error.to_string()),
    };
    (status, listener.take().and_then(|l| l.join().ok()).unwrap_or_default())
}

/// Passes on what ffmpeg says, up to a number of lines, and without the login of an address. Before the first frame is there it
/// says why there is none, which is the error of whoever opens the file.
fn listen(name: &str, input: &str, has_opened: &AtomicBool, mut stderr: impl BufRead) -> Messages {
    let (mut messages, mut lines, mut line) = (Messages::default(), 0, Vec::new());
    while matches!(stderr.read_until(b'\n', &mut line), Ok(n) if n > 0) {
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        line.clear();
        if text.is_empty() {
            continue;
        }
        // Before it is cut: of a login that is cut nothing tells where it ends.
        let shown: String = mask_logins(&text.replace(input, name)).chars().take(MAX_LINE).collect();
        if has_opened.load(Relaxed) {
            lines += 1;
            if lines <= MAX_LINES {
                tracing::warn!("{name}: ffmpeg: {shown}");
            }
        } else {
            tracing::debug!("{name}: ffmpeg: {shown}");
        }
        // What begins with the input is said of reading it, not of a frame.
        messages.nonsense |= text.starts_with(input) && text.contains(NONSENSE);
        messages.cut |= text.starts_with(input) || CUT.iter().any(|c| text.to_ascii_lowercase().contains(c));
        // What it advises is of its own options.
        if !text.starts_with("To ignore this") {
            messages.last = shown;
        }
    }
    if lines > MAX_LINES {
        tracing::warn!("{name}: ffmpeg: {} more lines", lines - MAX_LINES);
    }
    messages
}

fn not_started(error: &std::io::Error) -> String {
    if error.kind() == ErrorKind::NotFound {
        "ffmpeg, which may read it, is not installed (Debian: apt install ffmpeg)".into()
    } else {
        format!("ffmpeg, which may read it, cannot be started: {error}")
    }
}

/// The options that bound how long a silent server is waited for; RTSP's changed its name in version 5.0.
fn patience(address: &str, version: (u32, u32)) -> Vec<&'static str> {
    match address.split_once("://").map_or("", |(scheme, _)| scheme) {
        "rtsp" | "rtsps" if version < (5, 0) => vec!["-rtsp_transport", "tcp", "-stimeout", SILENCE_US],
        "rtsp" | "rtsps" => vec!["-rtsp_transport", "tcp", "-timeout", SILENCE_US],
        "udp" => vec!["-timeout", SILENCE_US],
        _ => vec!["-rw_timeout", SILENCE_US],
    }
}

/// The option for frames as they come, which changed its name in version 5.1.
fn passthrough() -> Result<[&'static str; 2], String> {
    Ok([if version()? < (5, 1) { "-vsync" } else { "-fps_mode" }, "passthrough"])
}

/// The version of the program.
fn version() -> Result<(u32, u32), String> {
    static VERSION: OnceLock<Result<(u32, u32), String>> = OnceLock::new();
    let version = VERSION.get_or_init(|| {
        let output = Command::new("ffmpeg").arg("-version").stdin(Stdio::null()).output();
        let output = output.map_err(|e| not_started(&e))?;
        Ok(version_of(&String::from_utf8_lossy(&output.stdout)))
    });
    version.clone()
}

/// The version that a version line tells; builds without a number are newer than all.
fn version_of(line: &str) -> (u32, u32) {
    let number = line.strip_prefix("ffmpeg version ").unwrap_or_default().trim_start_matches('n');
    let mut parts = number.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (u32::MAX, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static OPENED: AtomicBool = AtomicBool::new(true);

    #[test]
    fn versions_are_told_apart() {
        assert_eq!(version_of("ffmpeg version 4.2.7-0ubuntu0.1 Copyright (c)"), (4, 2));
        assert_eq!(version_of("ffmpeg version n5.0 Copyright (c)"), (5, 0));
        assert_eq!(version_of("ffmpeg version 5.1.9-0+deb12u1 Copyright (c)"), (5, 1));
        assert!(version_of("ffmpeg version N-112233-gabcdef Copyright (c)") > (100, 0));
    }

    #[test]
    fn no_server_is_waited_for_without_end() {
        assert_eq!(patience("rtsp://camera/1", (4, 4))[2..], ["-stimeout", SILENCE_US]);
        assert_eq!(patience("rtsp://camera/1", (5, 0))[2..], ["-timeout", SILENCE_US]);
        assert_eq!(patience("https://host/clip.mp4", (4, 4)), ["-rw_timeout", SILENCE_US]);
        assert_eq!(patience("udp://239.0.0.1:1234", (5, 1)), ["-timeout", SILENCE_US]);
    }

    #[test]
    fn no_login_is_passed_on() {
        let input = "rtsp://me:se cret@camera/one?key=k1";
        let said = format!("[in#0 @ 0x1] Error opening input file {input}.\n{input}: {NONSENSE}\n");
        let messages = listen(&display_name(Path::new(input)), input, &OPENED, said.as_bytes());
        assert_eq!(messages.last, format!("rtsp://***@camera/one?***: {NONSENSE}"));
        assert!(messages.nonsense);
        // The login would be cut in its middle.
        let long = format!("{} rtsp://me:secret@camera/one\n", "x".repeat(MAX_LINE - 14));
        assert!(!listen("n", "other", &OPENED, long.as_bytes()).last.contains("me"));
    }

    #[test]
    fn what_is_said_of_a_cut_file_is_kept() {
        let messages = listen(
            "x.mp4",
            "file:x.mp4",
            &OPENED,
            &b"[mov] stream 0, offset 0x30: partial file\n\nError\n"[..],
        );
        assert!(messages.cut);
        assert_eq!(messages.last, "Error");
        let nonsense =
            listen("x", "file:x", &OPENED, &b"file:x: Invalid data found when processing input\n"[..]);
        assert!(nonsense.cut && nonsense.nonsense);
        let sound = &b"Stream map '0:V:0' matches no streams.\nTo ignore this, add a trailing '?'\n"[..];
        assert!(listen("x", "file:x", &OPENED, sound).last.ends_with("matches no streams."));
        assert!(!listen("x", "file:x", &OPENED, &b"[h264] error while decoding MB 3 5\n"[..]).cut);
    }
}
