//! Video clips: AVI, Y4M, folders of numbered images, Y4M on standard input, and through ffmpeg anything else.
//!
//! Read frame by frame: memory is bounded by the size of one frame. Times are exact: periods of the rate, for
//! rational rates too, or what the container tells of each frame. A frame that cannot be decoded is a [`Media::Damaged`];
//! a clip that ends in the middle of a frame gives what came before and then an error.

mod address;
mod avi;
mod ffmpeg;
mod folder;
mod live;
mod nut;
mod y4m;

pub use address::{display_name, mask_logins};
pub use avi::{AviWriter, Codec};
pub use live::{Live, LiveReader, PipeFormat};
pub use y4m::Y4mWriter;

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use crate::frame::Frame;

/// What can be wrong with a clip.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// The operating system says no.
    #[error("{}: {cause}", display_name(path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Not a clip that glint reads, or a header that cannot be used.
    #[error("{}: {reason}", display_name(path))]
    Header {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// The clip ends in the middle of a frame.
    #[error("{}: truncated in frame {frame}", display_name(path))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Number of the frame that is cut, from 0.
        frame: u64,
    },
    /// The clip ends between frames, and its header promises more.
    #[error("{}: truncated: {found} frames; its header states {promised}", display_name(path))]
    Short {
        /// The file.
        path: PathBuf,
        /// Frames that are there, empty ones included.
        found: u64,
        /// Frames by the header.
        promised: u64,
    },
    /// The clip cannot be followed from a frame on.
    #[error("{}: frame {frame}: {reason}", display_name(path))]
    Broken {
        /// The file.
        path: PathBuf,
        /// Number of the frame, from 0.
        frame: u64,
        /// What is wrong.
        reason: String,
    },
}

impl ClipError {
    /// What is wrong, without the path.
    pub fn reason(&self) -> String {
        match self {
            Self::Io { cause, .. } => cause.to_string(),
            Self::Header { reason, .. } => reason.clone(),
            Self::Truncated { frame, .. } => format!("truncated in frame {frame}"),
            Self::Short { found, promised, .. } => {
                format!("truncated: {found} frames; its header states {promised}")
            }
            Self::Broken { frame, reason, .. } => format!("frame {frame}: {reason}"),
        }
    }
}

/// Frames per second that a clip may have. Slower ones would leave the range of times in nanoseconds after a few
/// frames.
const RATES: std::ops::RangeInclusive<f64> = 0.001..=1000.0;

/// A frame rate as a ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Frames...
    pub num: u64,
    /// ... in so many seconds.
    pub den: u64,
}

impl Rate {
    /// From frames per second; `None` unless it is within .001 to 1000.
    pub fn from_fps(fps: f64) -> Option<Self> {
        RATES.contains(&fps).then(|| Self { num: (fps * 1e6).round() as u64, den: 1_000_000 })
    }

    /// The rate that a header tells, or why it is none.
    fn of_header(num: u64, den: u64) -> Result<Self, String> {
        let rate = Self { num, den };
        match (num, den) {
            (0, _) | (_, 0) => Err("it states no frame rate".into()),
            _ if !RATES.contains(&rate.fps()) => {
                Err(format!("{} frames/s in its header; allowed: .001 to 1000", rate.fps()))
            }
            _ => Ok(rate),
        }
    }

    /// Frames per second.
    pub fn fps(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    /// Time of frame `seq` in nanoseconds.
    pub fn time_ns(self, seq: u64) -> i64 {
        let (num, den) = (u128::from(self.num.max(1)), u128::from(self.den));
        ((u128::from(seq) * den * 1_000_000_000 + num / 2) / num) as i64
    }
}

/// What [`Clip::next`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    /// The frame was filled.
    Frame,
    /// The frame is there and cannot be decoded.
    Damaged {
        /// Its number.
        seq: u64,
        /// Its time.
        at_ns: i64,
        /// Why.
        reason: String,
    },
}

/// One frame out of a container: its luma, or why there is none.
enum Raw {
    Luma(usize, usize),
    /// A frame that cannot be decoded, and why.
    Damaged(String),
    End,
    /// The clip ends in the middle of a frame.
    Cut,
    /// The clip ends before the frames that its header promises.
    Short {
        found: u64,
        promised: u64,
    },
    /// What follows is no frame, and why.
    Broken(String),
}

/// Which frame a source gave last, and when.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Its number; lost ones have numbers too.
    seq: u64,
    /// Its time in periods of the rate.
    slot: u64,
    /// Its time where the container tells it.
    at_ns: Option<i64>,
}

/// What frames come out of.
trait Source: Send {
    /// The next frame's luma, or why there is none.
    fn next(&mut self, luma: &mut Vec<u8>) -> std::io::Result<Raw>;
    /// Which frame that was.
    fn place(&self) -> Place;
    /// Frames in all, where it is known beforehand.
    fn frame_count(&self) -> Option<u64> {
        None
    }
}

/// A container in a pipe, which comes when it comes.
trait Piped: Source {
    /// What the frames are read from.
    fn pipe(&mut self) -> &mut dyn BufRead;
}

/// A source and its rate, or why it has none; the outer `None` where each frame has a time of its own.
type Opened = (Box<dyn Source>, Option<Result<Rate, String>>);

/// Why one of glint's own readers does not take a file.
enum Refusal {
    /// It is damaged, or says something that cannot be.
    Bad(String),
    /// It is coded in a way that other programs know.
    Foreign(String),
}

impl Refusal {
    fn reason(self) -> String {
        match self {
            Self::Bad(reason) | Self::Foreign(reason) => reason,
        }
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Bad(reason)
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self::Bad(reason.to_owned())
    }
}

/// An open clip.
pub struct Clip {
    path: PathBuf,
    source: Box<dyn Source>,
    /// `None` where each frame has a time of its own.
    rate: Option<Rate>,
    /// Frames so far.
    count: u64,
    digest: Digest,
}

impl Clip {
    /// Opens a clip; `fps` overrides its own times. `-` is Y4M on standard input. What glint does not read itself,
    /// addresses as `rtsp://...` too, goes through a child process, ffmpeg, where that is installed.
    ///
    /// # Errors
    /// [`ClipError`] names the file: it cannot be read, has no frames, or needs ffmpeg and there is none.
    pub fn open(path: &Path, fps: Option<f64>) -> Result<Self, ClipError> {
        let header = |reason: String| ClipError::Header { path: path.to_owned(), reason };
        let wanted = match fps {
            None => None,
            Some(fps) => {
                Some(Rate::from_fps(fps).ok_or_else(|| header(format!("fps {fps}; allowed: .001 to 1000")))?)
            }
        };
        let (source, stated_rate) = open(path)?;
        let rate = match (wanted, stated_rate) {
            (Some(rate), _) | (None, Some(Ok(rate))) => Some(rate),
            (None, Some(Err(reason))) => return Err(header(format!("{reason}; set one with --fps"))),
            (None, None) => None,
        };
        Ok(Self { path: path.to_owned(), source, rate, count: 0, digest: Digest::new(rate) })
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Frames per second; `None` where each frame has a time of its own.
    pub fn fps(&self) -> Option<f64> {
        self.rate.map(Rate::fps)
    }

    /// Number of frames where the container tells it: for progress bars.
    pub fn frame_count(&self) -> Option<u64> {
        self.source.frame_count()
    }

    /// Hash of rate (or times), sizes and luma of all frames so far: the same for any container of the same
    /// pixels. It identifies a clip in the ids of its events; it is no protection against forgery.
    pub fn digest(&self) -> String {
        format!("{:016x}", self.digest.0)
    }

    /// Reads the next frame into `frame`; `None` at the end.
    ///
    /// # Errors
    /// [`ClipError`] names the file and the frame from which on the clip cannot be followed. A frame that alone
    /// cannot be decoded is no error: [`Media::Damaged`].
    pub fn next(&mut self, frame: &mut Frame) -> Result<Option<Media>, ClipError> {
        let path = || self.path.clone();
        let raw = self.source.next(&mut frame.luma).map_err(|cause| ClipError::Io { path: path(), cause })?;
        let place = self.source.place();
        let seq = place.seq;
        let at_ns = self.rate.map_or(place.at_ns.unwrap_or(0), |rate| rate.time_ns(place.slot));
        let media = match raw {
            Raw::End => return Ok(None),
            Raw::Cut => return Err(ClipError::Truncated { path: path(), frame: self.count }),
            Raw::Short { found, promised } => {
                return Err(ClipError::Short { path: path(), found, promised });
            }
            Raw::Broken(reason) => {
                return Err(ClipError::Broken { path: path(), frame: self.count, reason });
            }
            Raw::Luma(width, height) => {
                (frame.seq, frame.at_ns, frame.width, frame.height) = (seq, at_ns, width, height);
                if self.rate.is_none() {
                    self.digest.word(at_ns as u64);
                }
                self.digest.frame(width, &frame.luma);
                Media::Frame
            }
            Raw::Damaged(reason) => {
                self.digest.frame(0, &[]);
                Media::Damaged { seq, at_ns, reason }
            }
        };
        self.count = seq + 1;
        Ok(Some(media))
    }
}

/// Opens what a path names.
fn open(path: &Path) -> Result<Opened, ClipError> {
    let header = |reason: String| ClipError::Header { path: path.to_owned(), reason };
    let io = |cause| ClipError::Io { path: path.to_owned(), cause };
    let y4m = |stream: Box<dyn Read + Send>| -> Result<Opened, Refusal> {
        let (reader, rate) = y4m::Y4mReader::new(stream)?;
        Ok((Box::new(reader), Some(rate)))
    };
    if path == Path::new("-") {
        return y4m(Box::new(std::io::stdin())).map_err(|r| header(r.reason()));
    }
    if address::is_address(path) {
        return Ok((Box::new(ffmpeg::FfmpegReader::new(path).map_err(header)?), None));
    }
    if std::fs::metadata(path).map_err(io)?.is_dir() {
        let reader = folder::FolderReader::new(path)?;
        return Ok((Box::new(reader), Some(Err("it states no frame rate".into()))));
    }
    let mut file = std::fs::File::open(path).map_err(io)?;
    let mut magic = [0; 12];
    let n = read_up_to(&mut file, &mut magic).map_err(io)?;
    drop(file);
    let again = || std::fs::File::open(path).map_err(io);
    let native = if magic[..n].starts_with(b"YUV4MPEG2") {
        y4m(Box::new(again()?))
    } else if magic.starts_with(b"RIFF") && &magic[8..] == b"AVI " {
        avi::AviReader::new(again()?).map(|(reader, rate)| -> Opened { (Box::new(reader), Some(rate)) })
    } else {
        Err(Refusal::Foreign("not an AVI, a Y4M or a folder of images".into()))
    };
    match native {
        Ok(opened) => Ok(opened),
        Err(Refusal::Bad(reason)) => Err(header(reason)),
        Err(Refusal::Foreign(reason)) => match ffmpeg::FfmpegReader::new(path) {
            // ffmpeg takes 25 frames/s where nothing states a rate.
            Ok(reader) if magic.starts_with(b"\xff\xd8\xff") => Ok((
                Box::new(reader),
                Some(Err("JPEG pictures without a container; they state no frame rate".into())),
            )),
            Ok(reader) => {
                if is_raw_stream(&magic) {
                    tracing::warn!(
                        "{}: a raw stream without times; ffmpeg's guess is used; --fps sets the rate",
                        path.display()
                    );
                }
                Ok((Box::new(reader), None))
            }
            Err(ffmpeg_reason) => Err(header(format!("{reason}; {ffmpeg_reason}"))),
        },
    }
}

/// Whether a file begins as H.264 and HEVC do without a container. The start codes of MPEG-1, 2 and 4 are greater.
fn is_raw_stream(magic: &[u8; 12]) -> bool {
    let unit = match magic {
        [0, 0, 0, 1, unit, ..] | [0, 0, 1, unit, ..] => *unit,
        _ => return false,
    };
    (1..0x80).contains(&unit)
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match reader.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(k) => n += k,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

/// A running 64-bit hash, eight bytes at a time (multiply and fold, as in wyhash).
struct Digest(u64);

impl Digest {
    fn new(rate: Option<Rate>) -> Self {
        let mut digest = Self(0x9e37_79b9_7f4a_7c15);
        if let Some(rate) = rate {
            digest.word(rate.num);
            digest.word(rate.den);
        }
        digest
    }

    fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0xa076_1d64_78bd_642f;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn frame(&mut self, width: usize, luma: &[u8]) {
        self.word(width as u64);
        self.word(luma.len() as u64);
        let mut chunks = luma.chunks_exact(8);
        for c in &mut chunks {
            self.word(u64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]));
        }
        for &b in chunks.remainder() {
            self.word(u64::from(b));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn picture(seq: u64, width: usize, height: usize) -> Vec<u8> {
        (0..width * height).map(|i| ((i % width) as u64 * 2 + (i / width) as u64 + 5 * seq) as u8).collect()
    }

    pub(super) fn read_all(clip: &mut Clip) -> (Vec<Frame>, Vec<u64>, Option<ClipError>) {
        let (mut frames, mut gaps, mut frame) = (Vec::new(), Vec::new(), Frame::default());
        loop {
            match clip.next(&mut frame) {
                Ok(Some(Media::Frame)) => frames.push(frame.clone()),
                Ok(Some(Media::Damaged { seq, .. })) => gaps.push(seq),
                Ok(None) => return (frames, gaps, None),
                Err(e) => return (frames, gaps, Some(e)),
            }
        }
    }

    #[test]
    fn the_same_pixels_have_one_digest_in_every_container() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let (avi, y4m, images) = (dir.path().join("a.avi"), dir.path().join("b.y4m"), dir.path().join("c"));
        std::fs::create_dir(&images).expect("folder");
        let rate = Rate { num: 30_000, den: 1001 };
        let mut a = AviWriter::create(&avi, rate, (32, 24), Codec::Gray).expect("creates");
        let mut b = Y4mWriter::create(&y4m, rate, (32, 24)).expect("creates");
        for seq in 0..12 {
            let luma = picture(seq, 32, 24);
            a.write(&luma).expect("writes");
            b.write(&luma).expect("writes");
            let file = std::fs::File::create(images.join(format!("img{}.png", 95 + seq))).expect("creates");
            let mut encoder = png::Encoder::new(file, 32, 24);
            encoder.set_color(png::ColorType::Grayscale);
            encoder.write_header().and_then(|mut w| w.write_image_data(&luma)).expect("writes");
        }
        a.finish().expect("finishes");
        b.finish().expect("finishes");
        let mut digests = Vec::new();
        for (path, fps) in [(&avi, None), (&y4m, None), (&images, Some(30_000.0 / 1001.0))] {
            let mut clip = Clip::open(path, fps).expect("opens");
            let (frames, gaps, error) = read_all(&mut clip);
            assert!(gaps.is_empty() && error.is_none(), "{error:?}");
            assert_eq!(frames.len(), 12);
            for (seq, f) in frames.iter().enumerate() {
                assert_eq!(f.luma, picture(seq as u64, 32, 24), "{} frame {seq}", path.display());
            }
            assert_eq!(frames[10].at_ns / 1000, 333_666);
            digests.push(clip.digest());
        }
        assert_eq!(digests[0], digests[1]);
    }

    #[test]
    fn an_empty_chunk_is_the_same_picture_and_a_new_size_is_a_frame() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("a.avi");
        let mut a =
            AviWriter::create(&path, Rate { num: 50, den: 1 }, (32, 24), Codec::Mjpeg(90)).expect("creates");
        a.write(&picture(0, 32, 24)).expect("writes");
        a.write_chunk(&[]).expect("writes");
        a.write_chunk(b"\xff\xd8garbage").expect("writes");
        let mut small = Vec::new();
        jpeg_encoder::Encoder::new(&mut small, 90)
            .encode(&picture(0, 16, 16), 16, 16, jpeg_encoder::ColorType::Luma)
            .expect("encodes");
        a.write_chunk(&small).expect("writes");
        a.finish().expect("finishes");
        let (frames, gaps, error) = read_all(&mut Clip::open(&path, None).expect("opens"));
        assert!(error.is_none());
        assert_eq!(gaps, [1]);
        assert_eq!(frames.iter().map(|f| (f.seq, f.width)).collect::<Vec<_>>(), [(0, 32), (2, 16)]);
        assert_eq!(frames[1].at_ns, 60_000_000);
    }

    #[test]
    fn truncation_names_the_frame() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("a.avi");
        let mut a =
            AviWriter::create(&path, Rate { num: 50, den: 1 }, (32, 24), Codec::Gray).expect("creates");
        (0..5).for_each(|s| a.write(&picture(s, 32, 24)).expect("writes"));
        a.finish().expect("finishes");
        let bytes = std::fs::read(&path).expect("reads");
        let cut = dir.path().join("cut.avi");
        let third = 224 + 12 + 3 * (8 + 768) + 300;
        std::fs::write(&cut, &bytes[..third]).expect("writes");
        let (frames, _, error) = read_all(&mut Clip::open(&cut, None).expect("opens"));
        assert_eq!(frames.len(), 3);
        let error = error.expect("truncated").to_string();
        assert!(error.ends_with("cut.avi: truncated in frame 3"), "{error}");
    }

    #[test]
    fn unusable_headers_say_why() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let reason = |name: &str, bytes: &[u8], fps: Option<f64>| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).expect("writes");
            Clip::open(&path, fps).err().expect("unusable").to_string()
        };
        assert!(reason("a", b"", None).contains("not an AVI"));
        assert!(reason("b", b"YUV4MPEG2 W65535 H65535 F25:1 C420\n", None).contains("65535x65535"));
        assert!(reason("c", b"YUV4MPEG2 W64 H64 F25:1 C420\n", Some(f64::NAN)).contains("fps NaN"));
        assert!(reason("d", b"YUV4MPEG2 W64 H64 F0:0 C420\n", None).contains("no frame rate"));
        assert!(reason("e", b"YUV4MPEG2 W64 H64 F2000:1 C420\n", None).contains("2000 frames/s"));
        assert!(reason("f", b"RIFF\0\0\0\0AVI LIST", None).contains("header is truncated"));
        let empty = dir.path().join("folder");
        std::fs::create_dir(&empty).expect("folder");
        assert!(Clip::open(&empty, Some(25.0)).err().expect("empty").to_string().contains("no images"));
    }

    #[test]
    fn raw_streams_are_told_from_program_streams() {
        assert!(
            is_raw_stream(b"\0\0\0\x01\x67\x42\0\x1e....") && is_raw_stream(b"\0\0\x01\x09\xf0\0\0\x01....")
        );
        assert!(is_raw_stream(b"\0\0\0\x01\x40\x01\x0c......"[..12].try_into().expect("twelve")));
        for other in [b"\0\0\x01\xba\x44\0\0\0....", b"\0\0\x01\xb3\x16\0\0\0....", b"\0\0\0\x18ftypisom"] {
            assert!(!is_raw_stream(other));
        }
    }

    #[test]
    fn times_of_rational_rates_are_exact() {
        let rate = Rate { num: 30_000, den: 1001 };
        assert_eq!(rate.time_ns(30_000), 1_001_000_000_000);
        assert_eq!(Rate::from_fps(100.0).expect("valid").time_ns(7), 70_000_000);
        for fps in [0.0, 1e-9, 0.0009, 1000.1, f64::INFINITY] {
            assert_eq!(Rate::from_fps(fps), None, "{fps}");
        }
        assert!(Rate::of_header(1, u64::from(u32::MAX)).is_err(), "136 years a frame");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
        #[test]
        fn damaged_files_never_panic(changes in proptest::collection::vec((0usize..2600, proptest::prelude::any::<u8>()), 0..30),
                                     cut in 12usize..4200, kind in 0..3) {
            let dir = tempfile::tempdir().expect("temporary folder");
            let path = dir.path().join("x");
            if kind == 0 {
                let mut y = Y4mWriter::create(&path, Rate { num: 25, den: 1 }, (32, 24)).expect("creates");
                (0..4).for_each(|s| y.write(&picture(s, 32, 24)).expect("writes"));
                y.finish().expect("finishes");
            } else {
                let codec = if kind == 1 { Codec::Gray } else { Codec::Mjpeg(80) };
                let mut a = AviWriter::create(&path, Rate { num: 25, den: 1 }, (32, 24), codec).expect("creates");
                (0..4).for_each(|s| a.write(&picture(s, 32, 24)).expect("writes"));
                a.finish().expect("finishes");
            }
            let mut bytes = std::fs::read(&path).expect("reads");
            for (at, value) in changes {
                if let Some(b) = bytes.get_mut(at) {
                    *b = value;
                }
            }
            bytes.truncate(cut);
            std::fs::write(&path, &bytes).expect("writes");
            if let Ok(mut clip) = Clip::open(&path, None) {
                let mut frame = Frame::default();
                for _ in 0..64 {
                    match clip.next(&mut frame) {
                        Ok(Some(_)) => {}
                        _ => break,
                    }
                }
            }
        }
    }
}
