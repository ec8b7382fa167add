//! Frames out of a pipe: what a camera program writes while it runs.
//!
//! Unlike a [`Clip`](super::Clip) it has no end that was planned, and its frames come when they come. Nothing here reads
//! a clock: the caller is told when the first byte of a frame is there, and takes the time.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use super::nut::NutReader;
use super::y4m::Y4mReader;
use super::{Piped, Raw, read_up_to};
use crate::frame::{LumaDecoder, PixelFormat, check_size};

/// Bytes between two pictures of an MJPEG stream (headers of a multipart stream) that are passed over.
const MAX_BETWEEN: usize = 1 << 16;
/// Largest picture of an MJPEG stream: a byte for each pixel of the largest frame.
const MAX_JPEG: usize = 1 << 24;

/// How frames lie in a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PipeFormat {
    /// YUV4MPEG2.
    Y4m,
    /// JPEG pictures one after the other, or as a multipart stream.
    Mjpeg,
    /// NUT with one stream of gray frames, which have times of their own.
    Nut,
    /// Frames of one size without anything between them.
    Raw {
        /// Any but JPEG. NV12 is I420 too.
        format: PixelFormat,
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
}

/// What [`LiveReader::next`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live {
    /// A frame; the luma was filled.
    Frame {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Its time in nanoseconds by the container, where that has one.
        time_ns: Option<i64>,
    },
    /// A frame that cannot be decoded, and why.
    Damaged(String),
    /// The writer has closed the pipe; a frame that it had begun is lost.
    End,
}

enum Kind<R: Read> {
    Y4m(Y4mReader<R>),
    Mjpeg {
        reader: BufReader<R>,
        /// The start of the next picture has been read.
        started: bool,
    },
    Nut(NutReader<R>),
    Raw {
        reader: BufReader<R>,
        format: PixelFormat,
        width: usize,
        height: usize,
    },
}

/// Reads frames out of a pipe. It holds one frame, and at most 16 MiB of a JPEG.
pub struct LiveReader<R: Read> {
    kind: Kind<R>,
    decoder: LumaDecoder,
    bytes: Vec<u8>,
}

impl<R: Read + Send> LiveReader<R> {
    /// Reads the header, where the layout has one: waits for it.
    ///
    /// # Errors
    /// What is wrong with the header, or with reading the pipe.
    pub fn new(layout: PipeFormat, pipe: R) -> Result<Self, String> {
        let buffered = |pipe| BufReader::with_capacity(1 << 16, pipe);
        let kind = match layout {
            PipeFormat::Y4m => Kind::Y4m(Y4mReader::new(pipe).map_err(super::Refusal::reason)?.0),
            PipeFormat::Mjpeg => Kind::Mjpeg { reader: buffered(pipe), started: false },
            PipeFormat::Nut => Kind::Nut(NutReader::new(pipe).map_err(|e| e.to_string())?),
            PipeFormat::Raw { format: PixelFormat::Mjpg, .. } => {
                return Err("raw frames cannot be JPEG".into());
            }
            PipeFormat::Raw { format, width, height } => {
                check_size(width, height).map_err(|e| e.to_string())?;
                Kind::Raw { reader: buffered(pipe), format, width, height }
            }
        };
        Ok(Self { kind, decoder: LumaDecoder::default(), bytes: Vec::new() })
    }

    /// Waits for the next frame. `began` is called when its first byte is there.
    ///
    /// # Errors
    /// What comes is not of the layout: nothing that follows can be trusted.
    pub fn next(&mut self, luma: &mut Vec<u8>, began: &mut dyn FnMut()) -> Result<Live, String> {
        let Self { kind, decoder, bytes } = self;
        let (format, size) = match kind {
            Kind::Y4m(reader) => return contained(reader, luma, began),
            Kind::Nut(reader) => return contained(reader, luma, began),
            Kind::Mjpeg { reader, started } => {
                if !jpeg(reader, started, bytes, began)? {
                    return Ok(Live::End);
                }
                (PixelFormat::Mjpg, (0, 0))
            }
            Kind::Raw { reader, format, width, height } => {
                bytes.resize(frame_bytes(*format, *width, *height), 0);
                if !comes(reader)? {
                    return Ok(Live::End);
                }
                began();
                if read_up_to(reader, bytes).map_err(|e| e.to_string())? < bytes.len() {
                    return Ok(Live::End);
                }
                (*format, (*width, *height))
            }
        };
        Ok(match decoder.decode(format, size.0, size.1, 0, bytes, luma) {
            Ok((width, height)) => Live::Frame { width, height, time_ns: None },
            Err(error) => Live::Damaged(error.to_string()),
        })
    }
}

/// Bytes of a raw frame with its chroma.
fn frame_bytes(format: PixelFormat, width: usize, height: usize) -> usize {
    let chroma = if format == PixelFormat::Nv12 { 2 * width.div_ceil(2) * height.div_ceil(2) } else { 0 };
    format.row_bytes(width) * height + chroma
}

/// Waits for the next byte; false at the end.
fn comes(reader: &mut (impl BufRead + ?Sized)) -> Result<bool, String> {
    available(reader).map(|bytes| !bytes.is_empty())
}

/// The bytes that are there, at least one but at the end.
fn available(reader: &mut (impl BufRead + ?Sized)) -> Result<&[u8], String> {
    while let Err(error) = reader.fill_buf() {
        if error.kind() != ErrorKind::Interrupted {
            return Err(error.to_string());
        }
    }
    reader.fill_buf().map_err(|e| e.to_string())
}

/// The next frame of a container, which knows its size, and its time where the container tells it.
fn contained(reader: &mut impl Piped, luma: &mut Vec<u8>, began: &mut dyn FnMut()) -> Result<Live, String> {
    if !comes(reader.pipe())? {
        return Ok(Live::End);
    }
    began();
    match reader.next(luma).map_err(|e| e.to_string())? {
        Raw::Luma(width, height) => Ok(Live::Frame { width, height, time_ns: reader.place().at_ns }),
        Raw::Damaged(reason) | Raw::Broken(reason) => Err(reason),
        Raw::End | Raw::Cut | Raw::Short { .. } => Ok(Live::End),
    }
}

/// Reads one picture from its start to its end into `out`; false where the stream ends before.
fn jpeg(
    reader: &mut impl BufRead,
    started: &mut bool,
    out: &mut Vec<u8>,
    began: &mut dyn FnMut(),
) -> Result<bool, String> {
    out.clear();
    let (mut between, mut last) = (0, 0);
    while !std::mem::take(started) {
        let Some(byte) = next_byte(reader)? else { return Ok(false) };
        *started = last == 0xff && byte == 0xd8;
        between += 1;
        if between > MAX_BETWEEN {
            return Err(format!("no JPEG within {MAX_BETWEEN} bytes"));
        }
        last = byte;
    }
    began();
    out.extend_from_slice(&[0xff, 0xd8]);
    loop {
        // A marker: segments have a length, and what is in them (a thumbnail) is none of the picture.
        let Some(marker) = marker(reader, out)? else { return Ok(false) };
        match marker {
            0xd9 => return Ok(true),
            // The end got lost, and this is the next picture: the decoder tells of what is missing.
            0xd8 => {
                out.truncate(out.len() - 2);
                *started = true;
                return Ok(true);
            }
            0x01 | 0xd0..=0xd7 => {}
            _ => {
                let (Some(high), Some(low)) = (next_byte(reader)?, next_byte(reader)?) else {
                    return Ok(false);
                };
                out.extend_from_slice(&[high, low]);
                let length = usize::from(u16::from_be_bytes([high, low])).saturating_sub(2) as u64;
                let copied = reader.take(length).read_to_end(out).map_err(|e| e.to_string())?;
                if (copied as u64) < length {
                    return Ok(false);
                }
            }
        }
    }
}

/// Copies bytes up to the next marker and with it; `None` where the stream ends before.
fn marker(reader: &mut impl BufRead, out: &mut Vec<u8>) -> Result<Option<u8>, String> {
    loop {
        if out.len() > MAX_JPEG {
            return Err(format!("a JPEG of more than {MAX_JPEG} bytes"));
        }
        let bytes = available(reader)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let plain = bytes.iter().position(|b| *b == 0xff).unwrap_or(bytes.len());
        out.extend_from_slice(&bytes[..plain]);
        let has_marker = plain < bytes.len();
        reader.consume(plain);
        if !has_marker {
            continue;
        }
        // 0xff 0x00 is data, and a marker may have any number of 0xff before it.
        let mut code = next_byte(reader)?;
        while code == Some(0xff) {
            code = next_byte(reader)?;
        }
        let Some(code) = code else { return Ok(None) };
        out.extend_from_slice(&[0xff, code]);
        if code != 0 {
            return Ok(Some(code));
        }
    }
}

fn next_byte(reader: &mut impl BufRead) -> Result<Option<u8>, String> {
    let first = available(reader)?.first().copied();
    reader.consume(usize::from(first.is_some()));
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, as a pipe does.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let n = self.1.min(out.len()).min(self.0.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn all(layout: PipeFormat, bytes: &[u8], step: usize) -> (Vec<Live>, usize, Option<String>) {
        let (mut frames, mut began, mut luma) = (Vec::new(), 0, Vec::new());
        let mut reader = match LiveReader::new(layout, Dribble(bytes, step)) {
            Ok(reader) => reader,
            Err(reason) => return (frames, began, Some(reason)),
        };
        loop {
            match reader.next(&mut luma, &mut || began += 1) {
                Ok(Live::End) => return (frames, began, None),
                Ok(live) => frames.push(live),
                Err(reason) => return (frames, began, Some(reason)),
            }
        }
    }

    fn frame(width: usize, height: usize) -> Live {
        Live::Frame { width, height, time_ns: None }
    }

    fn picture(width: u16, height: u16) -> Vec<u8> {
        let luma: Vec<u8> = (0..usize::from(width) * usize::from(height)).map(|i| (i * 37) as u8).collect();
        let mut out = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut out, 90);
        encoder.encode(&luma, width, height, jpeg_encoder::ColorType::Luma).expect("encodes");
        out
    }

    #[test]
    fn y4m_frames_come_whole_whatever_the_pipe_does() {
        let mut bytes = b"YUV4MPEG2 W4 H2 F30:1 C420\n".to_vec();
        for _ in 0..3 {
            bytes.extend_from_slice(b"FRAME\n");
            bytes.extend_from_slice(&[7; 12]);
        }
        for step in [1, 5, 4096] {
            assert_eq!(all(PipeFormat::Y4m, &bytes, step), (vec![frame(4, 2); 3], 3, None));
        }
        // A frame that was begun is none.
        assert_eq!(all(PipeFormat::Y4m, &bytes[..bytes.len() - 1], 5), (vec![frame(4, 2); 2], 3, None));
        bytes.extend_from_slice(b"garbage\n");
        let (frames, _, reason) = all(PipeFormat::Y4m, &bytes, 5);
        assert_eq!(frames.len(), 3);
        assert!(reason.is_some_and(|r| r.contains("no FRAME")));
        assert!(all(PipeFormat::Y4m, b"hello\n", 5).2.is_some_and(|r| r.contains("not a Y4M")));
    }

    #[test]
    fn mjpeg_is_cut_at_its_pictures() {
        let (a, b) = (picture(16, 8), picture(24, 16));
        let mut damaged = a.clone();
        damaged.drain(a.len() - 12..a.len() - 2);
        let boundary = b"\r\n--ffmpeg\r\nContent-type: image/jpeg\r\n\r\n";
        let half = &a[..a.len() - 20];
        let bytes = [&boundary[..], &a, &b, boundary, &damaged, &b, half, &a, half].concat();
        for step in [1, 7, 4096] {
            let (frames, began, reason) = all(PipeFormat::Mjpeg, &bytes, step);
            assert_eq!((began, reason, frames.len()), (7, None, 6));
            let whole = [0, 1, 3, 5].map(|i: usize| &frames[i]);
            assert_eq!(whole, [&frame(16, 8), &frame(24, 16), &frame(24, 16), &frame(16, 8)]);
            // The one lacks data, the other its end.
            assert!(matches!((&frames[2], &frames[4]), (Live::Damaged(_), Live::Damaged(_))), "{frames:?}");
        }
        let noise = vec![b'x'; MAX_BETWEEN + 10];
        assert!(all(PipeFormat::Mjpeg, &noise, 4096).2.is_some_and(|r| r.contains("no JPEG")));
    }

    #[test]
    fn raw_frames_have_their_size() {
        let layout = |format| PipeFormat::Raw { format, width: 6, height: 3 };
        // Six by three: 18 of luma and, at half the sides, 2 x 6 of chroma.
        assert_eq!(all(layout(PixelFormat::Nv12), &[0; 65], 7).0.len(), 2);
        assert_eq!(all(layout(PixelFormat::Yuyv), &[0; 72], 7).0.len(), 2);
        assert!(all(layout(PixelFormat::Mjpg), &[0; 72], 7).2.is_some());
        let huge = PipeFormat::Raw { format: PixelFormat::Grey, width: 5000, height: 1 };
        assert!(all(huge, &[0; 72], 7).2.is_some_and(|r| r.contains("5000")));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), kind in 0..4) {
            let raw = PipeFormat::Raw { format: PixelFormat::Uyvy, width: 5, height: 3 };
            let layout = [PipeFormat::Y4m, PipeFormat::Mjpeg, PipeFormat::Nut, raw][kind as usize];
            let _ = all(layout, &bytes, 11);
            let _ = all(layout, &[&b"\xff\xd8"[..], &bytes].concat(), 11);
        }
    }
}
