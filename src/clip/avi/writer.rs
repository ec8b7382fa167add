//! Writes an AVI of gray frames, MJPEG or raw.

use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use crate::clip::Rate;
use crate::frame::check_size;

/// How an [`AviWriter`] codes its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
    ///
    /// # Errors
    /// Those of creating and writing the file.
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

    /// Appends a frame of luma, row by row.
    ///
    /// # Errors
    /// Those of writing the file; luma of another size; a file of 4 GiB.
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
    ///
    /// # Errors
    /// Those of writing the file.
    pub fn write_chunk(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let padded = bytes.len().next_multiple_of(2) as u32 + 8;
        let next = self.at.checked_add(padded).filter(|n| *n < u32::MAX - (64 << 20));
        let next = next.ok_or_else(|| std::io::Error::other("this kind of AVI cannot exceed 4 GiB"))?;
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
    ///
    /// # Errors
    /// Those of writing the file.
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
