//! AVI: RIFF with one video stream of MJPEG or raw frames, OpenDML continuations too.

use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::{Rate, Raw, read_up_to};
use crate::frame::{LumaDecoder, MAX_SIDE, PixelFormat, check_size};

/// Largest header chunk that is read whole.
const MAX_HEADER: u32 = 1 << 20;

/// How the frames of a stream are coded.
#[derive(Clone, Copy)]
enum Coding {
    Fourcc(PixelFormat),
    /// Device-independent bitmap: bytes per pixel; rows padded to four bytes; bottom-up or not.
    Bitmap {
        bytes: usize,
        bottom_up: bool,
    },
}

pub(super) struct AviReader {
    reader: BufReader<std::fs::File>,
    /// Bytes left in the lists that are open.
    width: usize,
    height: usize,
    coding: Coding,
    stream: u8,
    frames: u64,
    decoder: LumaDecoder,
    chunk: Vec<u8>,
}

#[derive(Default)]
struct Headers {
    stream: Option<u8>,
    streams: u8,
    rate: Option<Rate>,
    frames: u64,
    format: Option<(usize, usize, Coding)>,
}

impl AviReader {
    pub(super) fn new(file: std::fs::File) -> Result<(Self, Rate), String> {
        let mut reader = BufReader::with_capacity(1 << 16, file);
        reader.seek(SeekFrom::Start(12)).map_err(|e| e.to_string())?;
        let mut headers = Headers::default();
        loop {
            let (id, size) =
                chunk_header(&mut reader).map_err(|e| e.to_string())?.ok_or("AVI header is cut")?;
            match &id {
                b"LIST" => {
                    let mut kind = [0; 4];
                    if read_up_to(&mut reader, &mut kind).map_err(|e| e.to_string())? < 4 {
                        return Err("AVI header is cut".into());
                    }
                    match &kind {
                        b"movi" => break,
                        // Their chunks follow and are read one by one.
                        b"hdrl" => {}
                        b"strl" => headers.streams = headers.streams.saturating_add(1),
                        _ => skip(&mut reader, size.saturating_sub(4)).map_err(|e| e.to_string())?,
                    }
                }
                b"strh" | b"strf" | b"avih" => {
                    if size > MAX_HEADER {
                        return Err(format!("AVI header: chunk of {size} bytes"));
                    }
                    let mut data = vec![0; size as usize];
                    if read_up_to(&mut reader, &mut data).map_err(|e| e.to_string())? < data.len() {
                        return Err("AVI header is cut".into());
                    }
                    pad(&mut reader, size).map_err(|e| e.to_string())?;
                    headers.chunk(&id, &data)?;
                }
                _ => skip(&mut reader, size).map_err(|e| e.to_string())?,
            }
        }
        let (width, height, coding) = headers.format.ok_or("AVI without a video stream")?;
        let rate = headers.rate.ok_or("AVI without a frame rate")?;
        let stream = headers.stream.unwrap_or(0);
        let reader = Self {
            reader,
            width,
            height,
            coding,
            stream,
            frames: headers.frames,
            decoder: LumaDecoder::default(),
            chunk: Vec::new(),
        };
        Ok((reader, rate))
    }

    pub(super) fn frame_count(&self) -> Option<u64> {
        (self.frames > 0).then_some(self.frames)
    }

    pub(super) fn next(&mut self, luma: &mut Vec<u8>) -> std::io::Result<Raw> {
        loop {
            let Some((id, size)) = chunk_header(&mut self.reader)? else { return Ok(Raw::End) };
            let ours = id[0] == b'0' + self.stream / 10 && id[1] == b'0' + self.stream % 10;
            if ours && matches!(&id[2..], b"dc" | b"db") {
                return self.frame(size, luma);
            }
            match &id {
                // `rec ` lists and the continuations of OpenDML hold further chunks.
                b"LIST" | b"RIFF" => {
                    let mut kind = [0; 4];
                    read_up_to(&mut self.reader, &mut kind)?;
                    if !matches!(&kind, b"rec " | b"movi" | b"AVIX") {
                        skip(&mut self.reader, size.saturating_sub(4))?;
                    }
                }
                // An index that a broken writer left without a size ends the clip.
                [0, 0, 0, 0] => return Ok(Raw::End),
                _ => skip(&mut self.reader, size)?,
            }
        }
    }

    fn frame(&mut self, size: u32, luma: &mut Vec<u8>) -> std::io::Result<Raw> {
        // A JPEG is not larger than the raw image of three channels; more is a damaged size.
        if size as usize > 4 * MAX_SIDE * MAX_SIDE {
            return Ok(Raw::Cut);
        }
        // The buffer grows as bytes come, not on the word of the header.
        self.chunk.clear();
        let read = self.reader.by_ref().take(u64::from(size)).read_to_end(&mut self.chunk)?;
        if read < size as usize {
            return Ok(Raw::Cut);
        }
        pad(&mut self.reader, size)?;
        if size == 0 {
            return Ok(Raw::Bad("no bytes".into()));
        }
        Ok(match self.coding {
            Coding::Fourcc(format) => {
                match self.decoder.decode(format, self.width, self.height, 0, &self.chunk, luma) {
                    Ok((w, h)) => Raw::Luma(w, h),
                    Err(e) => Raw::Bad(e.to_string()),
                }
            }
            Coding::Bitmap { bytes, bottom_up } => {
                let stride = (self.width * bytes).next_multiple_of(4);
                if self.chunk.len() < stride * self.height {
                    return Ok(Raw::Bad(format!(
                        "{} bytes; {} needed",
                        self.chunk.len(),
                        stride * self.height
                    )));
                }
                luma.resize(self.width * self.height, 0);
                for (y, out) in luma.chunks_exact_mut(self.width).enumerate() {
                    let y = if bottom_up { self.height - 1 - y } else { y };
                    let row = &self.chunk[y * stride..];
                    for (o, p) in out.iter_mut().zip(row.chunks_exact(bytes)) {
                        *o = match p {
                            // Blue, green, red; Rec. 601.
                            [b, g, r, ..] => {
                                ((u32::from(*r) * 77 + u32::from(*g) * 150 + u32::from(*b) * 29) >> 8) as u8
                            }
                            _ => p[0],
                        };
                    }
                }
                Raw::Luma(self.width, self.height)
            }
        })
    }
}

impl Headers {
    fn chunk(&mut self, id: &[u8; 4], data: &[u8]) -> Result<(), String> {
        let word = |at: usize| -> Result<u32, String> {
            let b = data.get(at..at + 4).ok_or("AVI header is cut")?;
            Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        };
        match id {
            b"avih" => {
                let (micros, frames) = (word(0)?, word(16)?);
                self.frames = u64::from(frames);
                self.rate = Rate::checked(1_000_000, u64::from(micros));
            }
            b"strh" if self.stream.is_none() && data.starts_with(b"vids") => {
                self.stream = Some(self.streams.saturating_sub(1));
                let (scale, rate) = (word(20)?, word(24)?);
                self.rate = Rate::checked(u64::from(rate), u64::from(scale)).or(self.rate);
            }
            b"strf" if self.stream == Some(self.streams.saturating_sub(1)) && self.format.is_none() => {
                let (width, height) = (word(4)? as usize, word(8)? as i32);
                let rows = height.unsigned_abs() as usize;
                check_size(width, rows).map_err(|e| format!("AVI header: {e}"))?;
                let bits = word(12)? >> 16;
                let code = word(16)?.to_le_bytes();
                let coding = match (PixelFormat::from_fourcc(code), code, bits) {
                    (Some(format), ..) => Coding::Fourcc(format),
                    (None, [0, 0, 0, 0] | [b'D', b'I', b'B', b' '], 8 | 24 | 32) => {
                        Coding::Bitmap { bytes: bits as usize / 8, bottom_up: height > 0 }
                    }
                    _ => {
                        let code = String::from_utf8_lossy(&code).replace('\0', ".");
                        return Err(format!(
                            "AVI of {code} ({bits} bits); allowed: MJPG, Y800, YUY2, UYVY, NV12, I420, uncompressed"
                        ));
                    }
                };
                self.format = Some((width, rows, coding));
            }
            _ => {}
        }
        Ok(())
    }
}

fn chunk_header(reader: &mut impl Read) -> std::io::Result<Option<([u8; 4], u32)>> {
    let mut b = [0; 8];
    let n = read_up_to(reader, &mut b)?;
    Ok((n == 8).then(|| ([b[0], b[1], b[2], b[3]], u32::from_le_bytes([b[4], b[5], b[6], b[7]]))))
}

fn skip(reader: &mut BufReader<std::fs::File>, size: u32) -> std::io::Result<()> {
    reader.seek_relative(i64::from(size) + i64::from(size & 1))
}

fn pad(reader: &mut BufReader<std::fs::File>, size: u32) -> std::io::Result<()> {
    if size & 1 == 1 { reader.seek_relative(1) } else { Ok(()) }
}

/// How an [`AviWriter`] codes its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Motion JPEG of a quality, 1 to 100.
    Mjpeg(u8),
    /// Uncompressed 8-bit gray (Y800).
    Gray,
}

/// Writes an AVI of gray frames.
pub struct AviWriter {
    file: BufWriter<std::fs::File>,
    codec: Codec,
    size: (usize, usize),
    jpeg: Vec<u8>,
    index: Vec<(u32, u32)>,
    at: u32,
}

/// Bytes before the first chunk of `movi`, and where counts stand that are known at the end.
const HEADER: usize = 224;
const RIFF_SIZE: u64 = 4;
const TOTAL_FRAMES: u64 = 48;
const STREAM_LENGTH: u64 = 140;
const MOVI_SIZE: u64 = HEADER as u64 + 4;

impl AviWriter {
    /// Creates a file for frames of `size` (width, height).
    pub fn create(path: &Path, rate: Rate, size: (usize, usize), codec: Codec) -> std::io::Result<Self> {
        check_size(size.0, size.1).map_err(std::io::Error::other)?;
        let word = |v: usize| (v as u32).to_le_bytes();
        let fourcc = match codec {
            Codec::Mjpeg(_) => *b"MJPG",
            Codec::Gray => *b"Y800",
        };
        let mut h: Vec<u8> = Vec::with_capacity(HEADER);
        h.extend(b"RIFF\0\0\0\0AVI LIST");
        h.extend(word(192));
        h.extend(b"hdrlavih");
        h.extend(word(56));
        let micros = (1e6 / rate.fps()).round() as usize;
        // Rate, bytes a second, padding, flags (has an index), frames, initial, streams, buffer, size.
        for v in [micros, 0, 0, 0x10, 0, 0, 1, size.0 * size.1, size.0, size.1, 0, 0, 0, 0] {
            h.extend(word(v));
        }
        h.extend(b"LIST");
        h.extend(word(116));
        h.extend(b"strlstrh");
        h.extend(word(56));
        h.extend(b"vids");
        h.extend(fourcc);
        for v in [0, 0, 0, rate.den as usize, rate.num as usize, 0, 0, size.0 * size.1, usize::MAX, 0, 0, 0] {
            h.extend(word(v));
        }
        h.extend(b"strf");
        h.extend(word(40));
        for v in [40, size.0, size.1, 1 | 8 << 16] {
            h.extend(word(v));
        }
        h.extend(fourcc);
        for v in [size.0 * size.1, 0, 0, 0, 0] {
            h.extend(word(v));
        }
        // Room so that the frames begin at a round place.
        h.extend(b"JUNK");
        h.extend(word(HEADER - h.len() - 4));
        h.resize(HEADER, 0);
        h.extend(b"LIST\0\0\0\0movi");
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        file.write_all(&h)?;
        Ok(Self { file, codec, size, jpeg: Vec::new(), index: Vec::new(), at: 4 })
    }

    /// Appends a frame of luma.
    pub fn write(&mut self, luma: &[u8]) -> std::io::Result<()> {
        if luma.len() != self.size.0 * self.size.1 {
            return Err(std::io::Error::other(format!("{} samples for {:?}", luma.len(), self.size)));
        }
        match self.codec {
            Codec::Gray => self.write_chunk(luma),
            Codec::Mjpeg(quality) => {
                let mut jpeg = std::mem::take(&mut self.jpeg);
                jpeg.clear();
                // Both sides passed check_size, so they fit.
                jpeg_encoder::Encoder::new(&mut jpeg, quality)
                    .encode(luma, self.size.0 as u16, self.size.1 as u16, jpeg_encoder::ColorType::Luma)
                    .map_err(std::io::Error::other)?;
                let done = self.write_chunk(&jpeg);
                self.jpeg = jpeg;
                done
            }
        }
    }

    /// Appends a frame that is coded already.
    pub fn write_chunk(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let padded = bytes.len().next_multiple_of(2) as u32 + 8;
        let next = self.at.checked_add(padded).filter(|n| *n < u32::MAX - (64 << 20));
        let next = next.ok_or_else(|| std::io::Error::other("an AVI of this kind ends at 4 GiB"))?;
        self.file.write_all(b"00dc")?;
        self.file.write_all(&(bytes.len() as u32).to_le_bytes())?;
        self.file.write_all(bytes)?;
        if bytes.len() % 2 == 1 {
            self.file.write_all(&[0])?;
        }
        self.index.push((self.at, bytes.len() as u32));
        self.at = next;
        Ok(())
    }

    /// Writes the index and the counts.
    pub fn finish(mut self) -> std::io::Result<()> {
        self.file.write_all(b"idx1")?;
        self.file.write_all(&(16 * self.index.len() as u32).to_le_bytes())?;
        for (at, size) in &self.index {
            self.file.write_all(b"00dc")?;
            for v in [0x10, *at, *size] {
                self.file.write_all(&v.to_le_bytes())?;
            }
        }
        let frames = self.index.len() as u32;
        let end = self.file.stream_position()? as u32;
        for (position, value) in
            [(RIFF_SIZE, end - 8), (TOTAL_FRAMES, frames), (STREAM_LENGTH, frames), (MOVI_SIZE, self.at)]
        {
            self.file.seek(SeekFrom::Start(position))?;
            self.file.write_all(&value.to_le_bytes())?;
        }
        self.file.flush()
    }
}
