//! AVI: RIFF with one video stream of MJPEG or raw frames, OpenDML continuations too.
//!
//! Recorders lose power, and writers forget padding. A chunk counts as such where its name is known, its bytes are
//! there and another one follows; where that is not so, the reader searches for the next one. What lies between is
//! the frame whose head was damaged, or a gap in its place, so that later frames keep their times.

mod chunks;
mod header;
#[cfg(test)]
mod tests;
mod writer;

pub use writer::{AviWriter, Codec};

use super::{Place, Rate, Raw, Refusal, Source};
use crate::frame::LumaDecoder;
use chunks::{Chunks, Head, Hole};
use header::{Coding, Headers, luma as luma_of};

/// Largest header chunk that is read whole.
const MAX_HEADER: u32 = 1 << 20;
/// What a coded frame may have beside the bytes of a raw image of four channels.
const MARGIN: u64 = 1 << 16;
/// Bytes by which writers get the size of a list wrong.
const MAX_PADDING: u64 = 16;

pub(super) struct AviReader {
    chunks: Chunks,
    /// Where the next chunk begins.
    at: u64,
    width: usize,
    height: usize,
    coding: Coding,
    stream: u8,
    /// Chunks that the header promises, empty ones too; 0 where it does not tell.
    promised: u64,
    /// Chunks of the stream so far, empty and lost ones too: the clock of the clip.
    slots: u64,
    /// Pictures so far, lost ones too.
    pictures: u64,
    /// The slot of the first picture, which has time 0.
    first: Option<u64>,
    /// Where the first chunk begins.
    begin: u64,
    /// What damage took, once there was some.
    damage: Option<Damage>,
    /// Frames that were lost behind the last one, not told yet.
    owed: u64,
    /// Where the lists of frames end by their heads.
    listed: u64,
    place: Place,
    decoder: LumaDecoder,
    bytes: Vec<u8>,
}

/// Frames by the header that have no chunk, and the bytes that lie where chunks cannot be followed.
#[derive(Clone, Copy, Default)]
struct Damage {
    missing: u64,
    bytes: u64,
}

/// What a chunk of the stream holds.
enum Decoded {
    Picture(usize, usize),
    Damaged(String),
}

impl AviReader {
    /// Opens a file; the rate is that of its header, or why there is none.
    pub(super) fn new(file: std::fs::File) -> Result<(Self, Result<Rate, String>), Refusal> {
        let mut chunks = Chunks::new(file).map_err(|e| e.to_string())?;
        let mut headers = Headers::default();
        let (at, listed) = read_headers(&mut chunks, &mut headers)?;
        let rate = headers.rate();
        let promised = headers.frames();
        let (width, height, coding) = headers.format.ok_or("AVI without a video stream")?;
        let reader = Self {
            chunks,
            at,
            width,
            height,
            coding,
            stream: headers.stream.unwrap_or(0),
            promised,
            slots: 0,
            pictures: 0,
            first: None,
            begin: at,
            damage: None,
            owed: 0,
            listed,
            place: Place::default(),
            decoder: LumaDecoder::default(),
            bytes: Vec::new(),
        };
        Ok((reader, rate))
    }

    /// The bytes that one frame may have.
    fn limit(&self) -> u64 {
        4 * (self.width * self.height) as u64 + MARGIN
    }

    /// Counts a picture, or `count` lost ones.
    fn step(&mut self, count: u64) {
        let first = *self.first.get_or_insert(self.slots);
        self.place = Place { seq: self.pictures, slot: self.slots - first, at_ns: None };
        self.slots += count;
        self.pictures += count;
    }

    fn ours(&self, head: Head) -> bool {
        // Sound, text, palettes and indices of the stream are no pictures of it.
        matches!(head.stream(), Some((n, kind)) if n == self.stream
            && !matches!(&kind.map(|c| c.to_ascii_lowercase()), b"wb" | b"tx" | b"pc" | b"ix"))
    }

    fn frame(&mut self, head: Head, luma: &mut Vec<u8>) -> std::io::Result<Option<Raw>> {
        if let Some(next) = self.chunks.after(head)? {
            self.at = next;
            if head.size == 0 {
                // The picture stays as it is: nothing new, and nothing lost.
                self.slots += 1;
                return Ok(None);
            }
            let decoded = self.decode(head.data(), u64::from(head.size), luma)?;
            self.step(1);
            return Ok(Some(decoded.into()));
        }
        // Either its size is damaged or what follows it.
        let number = self.pictures;
        let hole = self.chunks.search(head.data())?;
        let is_complete = hole.end >= head.end() && head.size > 0;
        if is_complete && let Decoded::Picture(w, h) = self.decode(head.data(), u64::from(head.size), luma)? {
            self.at = head.end();
            self.step(1);
            return Ok(Some(Raw::Luma(w, h)));
        }
        // Beside its own.
        let lost = if hole.end < self.chunks.length { self.lost(head.at, &hole)?.unwrap_or(0) } else { 0 };
        self.at = hole.end;
        let decoded = self.decode(head.data(), hole.end - head.data(), luma)?;
        Ok(Some(match decoded {
            Decoded::Picture(w, h) => {
                tracing::warn!(
                    "frame {number}: the AVI states a wrong size, {}; the picture is complete",
                    head.size
                );
                self.step(1);
                self.owed = lost;
                Raw::Luma(w, h)
            }
            Decoded::Damaged(_) if hole.end == self.chunks.length => {
                self.step(1);
                Raw::Cut
            }
            Decoded::Damaged(reason) => {
                self.step(1 + lost);
                let more = if lost > 0 { format!("; {} frames lost", 1 + lost) } else { String::new() };
                Raw::Damaged(format!("size {} in the AVI is wrong; {reason}{more}", head.size))
            }
        }))
    }

    /// Goes on behind bytes that are no chunk.
    fn resume(&mut self, luma: &mut Vec<u8>) -> std::io::Result<Option<Raw>> {
        let (from, number) = (self.at, self.pictures);
        let hole = self.chunks.search(from)?;
        self.at = hole.end;
        let at_end = hole.end == self.chunks.length;
        let lost = if at_end { None } else { self.lost(from, &hole)? };
        let count = match (&self.coding, lost) {
            (_, Some(lost)) => lost,
            _ if hole.zeros => 0,
            (Coding::Fourcc(crate::frame::PixelFormat::Mjpg), None) => hole.pictures,
            _ => self.raw_frames(hole.end - from),
        };
        if count == 0 || at_end && self.promised > 0 && self.slots >= self.promised {
            return Ok(None);
        }
        let decoded = self.decode(from + 8, (hole.end - from).saturating_sub(8), luma)?;
        let what = format!("bytes {from} to {} of the AVI are damaged", hole.end);
        Ok(Some(match decoded {
            Decoded::Picture(w, h) if count == 1 && !hole.zeros => {
                tracing::warn!("frame {number}: {what}; the picture is complete");
                self.step(1);
                Raw::Luma(w, h)
            }
            _ if at_end => {
                self.step(1);
                Raw::Cut
            }
            _ => {
                self.step(count);
                Raw::Damaged(if count == 1 { what } else { format!("{what}; {count} frames lost") })
            }
        }))
    }

    /// Frames that were lost in a hole from `from` on, beside those whose heads are there: what the header promises and no
    /// chunk delivers, by the bytes of this hole among all. `None` where the header does not tell.
    fn lost(&mut self, from: u64, hole: &Hole) -> std::io::Result<Option<u64>> {
        let bytes = hole.end - from;
        let damage = match self.damage {
            Some(damage) => damage,
            None => {
                let (ahead, bytes) = self.ahead(from)?;
                let delivered = self.slots + ahead;
                if self.promised < delivered.max(1) {
                    return Ok(None);
                }
                Damage { missing: self.promised - delivered, bytes }
            }
        };
        let all = u128::from(damage.bytes.max(bytes).max(1));
        let share = ((u128::from(damage.missing) * u128::from(bytes) + all / 2) / all) as u64;
        let likely = match &self.coding {
            Coding::Fourcc(crate::frame::PixelFormat::Mjpg) => {
                let each = (from - self.begin).checked_div(self.slots).unwrap_or(0);
                (bytes + each / 2).checked_div(each).unwrap_or(damage.missing)
            }
            _ => self.raw_frames(bytes),
        };
        // Of a file that is cut as well, the end is not lost here.
        let cut = self.listed > self.chunks.length + MAX_PADDING;
        let lost = if !cut && share <= 2 * likely + 1 { share } else { share.min(likely) };
        let left = |all: u64, part: u64| all.saturating_sub(part);
        self.damage = Some(Damage { missing: left(damage.missing, lost), bytes: left(damage.bytes, bytes) });
        Ok(Some(lost))
    }

    /// Chunks of the stream from a place on, empty ones too, and bytes that belong to none.
    fn ahead(&mut self, mut at: u64) -> std::io::Result<(u64, u64)> {
        let (mut frames, mut bytes) = (0, 0);
        while let Some(head) = self.chunks.head(at)? {
            let ours = self.ours(head);
            frames += u64::from(ours);
            let next = match &head.id {
                b"LIST" | b"RIFF" => Some(self.within(head)?),
                _ if ours || self.chunks.plausible(head) => self.chunks.after(head)?,
                _ => None,
            };
            at = match next {
                Some(next) => next,
                None => {
                    let from = if ours || self.chunks.plausible(head) { head.data() } else { at };
                    let hole = self.chunks.search(from)?;
                    bytes += hole.end - at;
                    hole.end
                }
            };
        }
        Ok((frames, bytes))
    }

    /// Where the next chunk stands behind the head of a list: inside of those that hold frames.
    fn within(&mut self, head: Head) -> std::io::Result<u64> {
        // `rec ` lists and the continuations of OpenDML hold further chunks.
        let kind = self.chunks.kind(head)?;
        if &kind == b"movi" {
            self.listed = self.listed.max(listed(head));
        }
        let open = matches!(&kind, b"rec " | b"movi" | b"AVIX");
        let end = head.end() + u64::from(head.size & 1);
        Ok(if open { head.data() + 4 } else { end.min(self.chunks.length) })
    }

    /// What the end of the file means.
    fn ending(&mut self) -> std::io::Result<Raw> {
        let (found, promised, length) = (self.slots, self.promised, self.chunks.length);
        if promised > found {
            return Ok(Raw::Short { found, promised });
        }
        // Without a count there is the size of the list, and a head that is cut.
        let mut rest = Vec::new();
        self.chunks.read(self.at.min(length), 8, &mut rest)?;
        let cut = self.listed > length + MAX_PADDING || rest.iter().any(|b| *b != 0);
        Ok(if promised == 0 && cut { Raw::Cut } else { Raw::End })
    }

    /// Raw frames that so many bytes hold, heads included.
    fn raw_frames(&self, bytes: u64) -> u64 {
        let pixels = (self.width * self.height) as u64;
        let size = match &self.coding {
            Coding::Fourcc(format) => match format.row_bytes(self.width) {
                row if *format == crate::frame::PixelFormat::Nv12 => (row * self.height) as u64 * 3 / 2,
                row => (row * self.height) as u64,
            },
            Coding::Bitmap { bytes, .. } => ((self.width * bytes).next_multiple_of(4) * self.height) as u64,
        };
        (bytes + size / 2) / (size.max(pixels) + 8)
    }

    fn decode(&mut self, at: u64, size: u64, luma: &mut Vec<u8>) -> std::io::Result<Decoded> {
        // A JPEG is not larger than the raw image of three channels; more is a damaged size.
        if size > self.limit() {
            return Ok(Decoded::Damaged(format!("{size} bytes")));
        }
        self.chunks.read(at, size, &mut self.bytes)?;
        let (width, height) = (self.width, self.height);
        Ok(match &self.coding {
            Coding::Fourcc(format) => {
                let stride = padded_row(format.row_bytes(width), width, height, self.bytes.len());
                match self.decoder.decode(*format, width, height, stride, &self.bytes, luma) {
                    Ok((w, h)) => Decoded::Picture(w, h),
                    Err(e) => Decoded::Damaged(e.to_string()),
                }
            }
            Coding::Bitmap { bytes, bottom_up, palette } => {
                let (row, padded) = (width * bytes, (width * bytes).next_multiple_of(4));
                // Rows are padded, and some writers do not.
                let stride = if self.bytes.len() == row * height { row } else { padded };
                let needed = stride * height;
                if self.bytes.len() < needed {
                    return Ok(Decoded::Damaged(format!("{} bytes; {needed} needed", self.bytes.len())));
                }
                luma.resize(width * height, 0);
                for (y, out) in luma.chunks_exact_mut(width).enumerate() {
                    let y = if *bottom_up { height - 1 - y } else { y };
                    let row = &self.bytes[y * stride..];
                    for (o, p) in out.iter_mut().zip(row.chunks_exact(*bytes)) {
                        *o = match p {
                            [b, g, r, ..] => luma_of([*b, *g, *r]),
                            _ => palette[usize::from(p[0])],
                        };
                    }
                }
                Decoded::Picture(width, height)
            }
        })
    }
}

impl From<Decoded> for Raw {
    fn from(decoded: Decoded) -> Self {
        match decoded {
            Decoded::Picture(w, h) => Self::Luma(w, h),
            Decoded::Damaged(reason) => Self::Damaged(reason),
        }
    }
}

impl Source for AviReader {
    fn frame_count(&self) -> Option<u64> {
        (self.promised > 0).then_some(self.promised)
    }

    fn place(&self) -> Place {
        self.place
    }

    fn next(&mut self, luma: &mut Vec<u8>) -> std::io::Result<Raw> {
        if self.owed > 0 {
            let count = std::mem::take(&mut self.owed);
            self.step(count);
            return Ok(Raw::Damaged(format!("the AVI is damaged; {count} frames lost")));
        }
        loop {
            let Some(head) = self.chunks.head(self.at)? else { return self.ending() };
            let raw = match &head.id {
                b"LIST" | b"RIFF" => {
                    self.at = self.within(head)?;
                    None
                }
                _ if self.ours(head) => self.frame(head, luma)?,
                _ if self.chunks.plausible(head) => {
                    self.at = match self.chunks.after(head)? {
                        Some(next) => next,
                        None => self.chunks.search(head.data())?.end,
                    };
                    None
                }
                _ => self.resume(luma)?,
            };
            if let Some(raw) = raw {
                return Ok(raw);
            }
        }
    }
}

/// Where a list ends by its head; 0 where the head has a number in the place of a size, as unfinished recordings have.
fn listed(head: Head) -> u64 {
    if (5..0x7fff_0000).contains(&head.size) { head.end() } else { 0 }
}

/// Reads the chunks before the frames; returns where those begin, and where their list ends by its head.
fn read_headers(chunks: &mut Chunks, headers: &mut Headers) -> Result<(u64, u64), Refusal> {
    let mut at = 12;
    let mut data = Vec::new();
    loop {
        let head = chunks.head(at).map_err(|e| e.to_string())?.ok_or("the AVI header is truncated")?;
        let end = head.end() + u64::from(head.size & 1);
        match &head.id {
            b"LIST" => match &chunks.kind(head).map_err(|e| e.to_string())? {
                b"movi" => return Ok((head.data() + 4, listed(head))),
                // Their chunks follow and are read one by one.
                b"hdrl" | b"odml" => at = head.data() + 4,
                b"strl" => {
                    headers.streams = headers.streams.saturating_add(1);
                    at = head.data() + 4;
                }
                _ => at = end,
            },
            b"strh" | b"strf" | b"avih" | b"dmlh" => {
                if head.size > MAX_HEADER {
                    return Err(format!("AVI header: chunk of {} bytes", head.size).into());
                }
                let n =
                    chunks.read(head.data(), u64::from(head.size), &mut data).map_err(|e| e.to_string())?;
                if n < head.size as usize {
                    return Err("the AVI header is truncated".into());
                }
                headers.chunk(&head.id, &data)?;
                at = end;
            }
            id if id.iter().all(|c| c.is_ascii_graphic() || *c == b' ') && end <= chunks.length => at = end,
            _ => {
                let hole = chunks.search(at).map_err(|e| e.to_string())?;
                if hole.end <= at {
                    return Err("the AVI header is truncated".into());
                }
                at = hole.end;
            }
        }
    }
}

/// Bytes from row to row: some writers pad rows to four bytes, which shows in the size of the frame. 0 where rows
/// have no padding.
fn padded_row(row: usize, width: usize, height: usize, bytes: usize) -> usize {
    let padded = row.next_multiple_of(4);
    let exact = bytes == padded * height || row == width && bytes == padded * height * 3 / 2;
    if padded > row && exact { padded } else { 0 }
}
