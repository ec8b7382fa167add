//! YUV4MPEG2: a text header, then frames of raw planes. Only luma is kept.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use super::{Piped, Place, Rate, Raw, Refusal, Source, read_up_to};
use crate::frame::check_size;

/// Longest header or frame line.
const MAX_LINE: usize = 1024;

pub(super) struct Y4mReader<R: Read> {
    reader: BufReader<R>,
    width: usize,
    height: usize,
    chroma: usize,
    /// The header's word for it, as it was written.
    color: String,
    frames: u64,
}

impl<R: Read> Y4mReader<R> {
    /// Reads the header; the rate is what it tells, or why there is none.
    pub(super) fn new(reader: R) -> Result<(Self, Result<Rate, String>), Refusal> {
        let mut reader = BufReader::with_capacity(1 << 16, reader);
        let line = match read_line(&mut reader) {
            Ok(Some(line)) => line,
            Ok(None) => return Err("not a Y4M: no header line".into()),
            Err(e) => return Err(e.to_string().into()),
        };
        let mut words = line.split(' ');
        if words.next() != Some("YUV4MPEG2") {
            return Err("not a Y4M".into());
        }
        let (mut width, mut height, mut color) = (0, 0, "420");
        let mut rate = Err("it states no frame rate".into());
        for word in words.filter(|w| !w.is_empty()) {
            let (key, value) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
            let number = || value.parse::<usize>().map_err(|_| format!("Y4M header: invalid field {word}"));
            match key {
                "W" => width = number()?,
                "H" => height = number()?,
                "F" => {
                    let (n, d) = value.split_once(':').unwrap_or((value, "1"));
                    let part =
                        |p: &str| p.parse::<u64>().map_err(|_| format!("Y4M header: invalid field {word}"));
                    rate = Rate::of_header(part(n)?, part(d)?);
                }
                "C" => color = value,
                // Fields of two times are one frame here, with combs where something moves.
                "I" if matches!(value, "t" | "b" | "m") => {
                    tracing::warn!(
                        "Y4M header: {word}: the clip is interlaced; its fields are not separated"
                    );
                }
                _ => {}
            }
        }
        check_size(width, height).map_err(|e| e.to_string())?;
        let half = |v: usize| v.div_ceil(2);
        let chroma = match color {
            "mono" => 0,
            "420" | "420jpeg" | "420mpeg2" | "420paldv" => 2 * half(width) * half(height),
            "411" => 2 * width.div_ceil(4) * height,
            "440" => 2 * width * half(height),
            "422" => 2 * half(width) * height,
            "444" => 2 * width * height,
            "444alpha" => 3 * width * height,
            other => {
                let other = other.escape_debug();
                let reason = format!("Y4M of C{other}; allowed: mono 420 411 422 440 444, 8 bits");
                return Err(Refusal::Foreign(reason));
            }
        };
        let color = color.to_owned();
        Ok((Self { reader, width, height, chroma, color, frames: 0 }, rate))
    }
}

impl<R: Read + Send> Piped for Y4mReader<R> {
    fn pipe(&mut self) -> &mut dyn BufRead {
        &mut self.reader
    }
}

impl<R: Read + Send> Source for Y4mReader<R> {
    fn place(&self) -> Place {
        let n = self.frames.saturating_sub(1);
        Place { seq: n, slot: n, at_ns: None }
    }

    fn next(&mut self, luma: &mut Vec<u8>) -> std::io::Result<Raw> {
        match read_line(&mut self.reader)? {
            None => return Ok(Raw::End),
            Some(line) if line.starts_with("FRAME") => {}
            Some(line) if line.starts_with('?') && "?FRAME".starts_with(&line) => return Ok(Raw::Cut),
            Some(_) => {
                let (w, h) = (self.width, self.height);
                return Ok(Raw::Broken(format!(
                    "no FRAME where one must be; do the frames have the {w}x{h} C{} of the header?",
                    self.color
                )));
            }
        }
        luma.resize(self.width * self.height, 0);
        if read_up_to(&mut self.reader, luma)? < luma.len() {
            return Ok(Raw::Cut);
        }
        let skipped =
            std::io::copy(&mut self.reader.by_ref().take(self.chroma as u64), &mut std::io::sink())?;
        if skipped < self.chroma as u64 {
            return Ok(Raw::Cut);
        }
        self.frames += 1;
        Ok(Raw::Luma(self.width, self.height))
    }
}

/// A line without its end; `None` at the end of the stream. A line that is too long or cut comes back
/// as it is and fits nothing.
fn read_line(reader: &mut impl Read) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < MAX_LINE && read_up_to(reader, &mut byte)? == 1 {
        if byte[0] == b'\n' {
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
        }
        line.push(byte[0]);
    }
    Ok((!line.is_empty()).then(|| format!("?{}", String::from_utf8_lossy(&line))))
}

/// Writes monochrome Y4M.
pub struct Y4mWriter {
    file: BufWriter<std::fs::File>,
    pixels: usize,
}

impl Y4mWriter {
    /// Creates a file for frames of `size` (width, height).
    ///
    /// # Errors
    /// Those of creating and writing the file.
    pub fn create(path: &Path, rate: Rate, size: (usize, usize)) -> std::io::Result<Self> {
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        writeln!(file, "YUV4MPEG2 W{} H{} F{}:{} Ip A1:1 Cmono", size.0, size.1, rate.num, rate.den)?;
        Ok(Self { file, pixels: size.0 * size.1 })
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// Those of writing the file.
    pub fn write(&mut self, luma: &[u8]) -> std::io::Result<()> {
        if luma.len() != self.pixels {
            return Err(std::io::Error::other(format!(
                "{} samples; the clip has {}",
                luma.len(),
                self.pixels
            )));
        }
        self.file.write_all(b"FRAME\n")?;
        self.file.write_all(luma)
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// Those of writing the file.
    pub fn finish(mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
