//! NUT, the container in which ffmpeg hands over raw frames with their presentation times.
//!
//! Only what that needs: one stream of raw frames in order, out of a pipe. The format: <https://ffmpeg.org/~michael/nut.txt>.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};

use super::{Piped, Place, Raw, Source, read_up_to};
use crate::frame::check_size;

const FILE_ID: &[u8] = b"nut/multimedia container\0";
const MAIN: u64 = 0x4e4d_7a56_1f5f_04ad;
const STREAM: u64 = 0x4e53_1140_5bf2_f9db;
const SYNCPOINT: u64 = 0x4e4b_e4ad_eeca_4569;
/// Largest packet of headers, and most streams and time bases: one of each is expected.
const MAX_PACKET: u64 = 1 << 16;
const MAX_COUNT: u64 = 16;
/// Time stamps stay below this, in ticks and in nanoseconds: sums and differences of them fit.
const MAX_TIME: u64 = 1 << 62;
/// Frames above this size carry all their bytes.
const MAX_ELIDED: u64 = 4096;

mod flag {
    pub(super) const CODED_PTS: u64 = 8;
    pub(super) const STREAM_ID: u64 = 16;
    pub(super) const SIZE_MSB: u64 = 32;
    pub(super) const CHECKSUM: u64 = 64;
    pub(super) const RESERVED: u64 = 128;
    pub(super) const SIDE_DATA: u64 = 256;
    pub(super) const HEADER_IDX: u64 = 1024;
    pub(super) const MATCH_TIME: u64 = 2048;
    pub(super) const CODED: u64 = 4096;
    pub(super) const INVALID: u64 = 8192;
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("NUT: {what}"))
}

/// What a frame code stands for.
#[derive(Clone, Copy)]
struct Code {
    flags: u64,
    stream: u64,
    size_mul: u64,
    size_lsb: u64,
    pts_delta: i64,
    reserved: u64,
    header: u64,
}

/// The one stream.
#[derive(Clone, Copy, Default)]
struct Stream {
    time_base: usize,
    msb_pts_shift: u32,
    width: usize,
    height: usize,
    last_pts: i64,
}

/// Reads frames out of a pipe.
pub(super) struct NutReader<R: Read> {
    reader: BufReader<R>,
    /// Seconds of a tick, as a ratio.
    bases: Vec<(u32, u32)>,
    codes: Vec<Code>,
    /// Bytes that frames of an index begin with and that are left out.
    elided: Vec<Vec<u8>>,
    stream: Option<Stream>,
    frames: u64,
    place: Place,
}

impl<R: Read + Send> Source for NutReader<R> {
    /// Times are those of the stream, from whatever it calls zero.
    fn place(&self) -> Place {
        self.place
    }

    fn next(&mut self, luma: &mut Vec<u8>) -> Result<Raw> {
        match self.next_frame(luma) {
            Ok(true) => {
                let Stream { width, height, .. } = self.stream.unwrap_or_default();
                Ok(Raw::Luma(width, height))
            }
            Ok(false) => Ok(Raw::End),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Raw::Cut),
            Err(error) => Err(error),
        }
    }
}

impl<R: Read + Send> Piped for NutReader<R> {
    fn pipe(&mut self) -> &mut dyn BufRead {
        &mut self.reader
    }
}

impl<R: Read> NutReader<R> {
    /// Reads the headers; fails at a stream that is empty or no NUT.
    pub(super) fn new(reader: R) -> Result<Self> {
        let mut reader = BufReader::with_capacity(1 << 16, reader);
        let mut id = [0; FILE_ID.len()];
        let n = read_up_to(&mut reader, &mut id)?;
        if id != FILE_ID {
            return Err(if n == 0 {
                ErrorKind::UnexpectedEof.into()
            } else {
                bad("the stream does not begin with the signature")
            });
        }
        let mut this = Self {
            reader,
            bases: Vec::new(),
            codes: Vec::new(),
            elided: Vec::new(),
            stream: None,
            frames: 0,
            place: Place::default(),
        };
        while this.stream.is_none() {
            let first = byte(&mut this.reader)?;
            if first != b'N' {
                return Err(bad("a frame precedes the headers"));
            }
            this.packet()?;
        }
        Ok(this)
    }

    /// Reads up to the next frame and with it; false at the end.
    fn next_frame(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        loop {
            let mut first = [0];
            if read_up_to(&mut self.reader, &mut first)? == 0 {
                return Ok(false);
            }
            if first[0] != b'N' {
                let at_ns = self.frame(first[0], out)?;
                self.place = Place { seq: self.frames, slot: self.frames, at_ns: Some(at_ns) };
                self.frames += 1;
                return Ok(true);
            }
            self.packet()?;
        }
    }

    /// A packet behind its first byte, which was read.
    fn packet(&mut self) -> Result<()> {
        let mut code = [b'N', 0, 0, 0, 0, 0, 0, 0];
        self.reader.read_exact(&mut code[1..])?;
        let length = varlen(&mut self.reader)?;
        if length > MAX_PACKET {
            return Err(bad("a packet is too large"));
        }
        if length > 4096 {
            skip(&mut self.reader, 4)?;
        }
        let mut body = vec![0; length as usize];
        self.reader.read_exact(&mut body)?;
        let mut body = body.get(..body.len().saturating_sub(4)).unwrap_or_default();
        match u64::from_be_bytes(code) {
            MAIN => self.main_header(&mut body),
            STREAM => self.stream_header(&mut body),
            SYNCPOINT => self.syncpoint(&mut body),
            _ => Ok(()),
        }
    }

    fn main_header(&mut self, b: &mut &[u8]) -> Result<()> {
        let version = varlen(b)?;
        if version > 3 {
            varlen(b)?;
        }
        if version > 4 {
            return Err(bad("unknown version"));
        }
        if varlen(b)? != 1 {
            return Err(bad("more than one stream"));
        }
        varlen(b)?;
        let bases = varlen(b)?;
        if !(1..=MAX_COUNT).contains(&bases) {
            return Err(bad("invalid number of time bases"));
        }
        // The stream is told anew behind this, by the new time bases.
        self.stream = None;
        self.bases.clear();
        for _ in 0..bases {
            let mut part =
                || u32::try_from(varlen(b)?).ok().filter(|p| *p > 0).ok_or_else(|| bad("invalid time base"));
            self.bases.push((part()?, part()?));
        }
        self.codes.clear();
        let (mut pts_delta, mut size_mul, mut stream, mut header) = (0, 1, 0, 0);
        while self.codes.len() < 256 {
            let flags = varlen(b)?;
            let fields = varlen(b)?;
            let mut field = |k: u64| if fields > k { varlen(b).map(Some) } else { Ok(None) };
            pts_delta = field(0)?.map_or(pts_delta, signed);
            size_mul = field(1)?.unwrap_or(size_mul);
            stream = field(2)?.unwrap_or(stream);
            let size_lsb = field(3)?.unwrap_or(0);
            let reserved = field(4)?.unwrap_or(0);
            let count = field(5)?.unwrap_or(size_mul.saturating_sub(size_lsb));
            field(6)?;
            header = field(7)?.unwrap_or(header);
            for _ in 8..fields {
                varlen(b)?;
            }
            let mut done = 0;
            while done < count && self.codes.len() < 256 {
                let mut code = Code {
                    flags,
                    stream,
                    size_mul,
                    size_lsb: size_lsb.saturating_add(done),
                    pts_delta,
                    reserved,
                    header,
                };
                // The letter with which all packets begin is no frame.
                if self.codes.len() == usize::from(b'N') {
                    code.flags = flag::INVALID;
                } else {
                    done += 1;
                }
                self.codes.push(code);
            }
        }
        self.elided = vec![Vec::new()];
        for _ in 0..varlen(b)?.min(MAX_PACKET) {
            let length = varlen(b)? as usize;
            let bytes = b.get(..length).ok_or_else(|| bad("invalid elision headers"))?;
            self.elided.push(bytes.to_vec());
            *b = &b[length..];
        }
        Ok(())
    }

    fn stream_header(&mut self, b: &mut &[u8]) -> Result<()> {
        let (_, class) = (varlen(b)?, varlen(b)?);
        if class != 0 {
            return Err(bad("the stream is not video"));
        }
        let fourcc = varlen(b)?;
        skip(b, fourcc)?;
        let (time_base, msb_pts_shift) = (varlen(b)? as usize, varlen(b)?);
        if time_base >= self.bases.len() || msb_pts_shift > 32 {
            return Err(bad("the stream has no time base"));
        }
        for _ in 0..3 {
            varlen(b)?;
        }
        let specific = varlen(b)?;
        skip(b, specific)?;
        let mut side = || varlen(b).map(|v| usize::try_from(v).unwrap_or(usize::MAX));
        let (width, height) = (side()?, side()?);
        check_size(width, height).map_err(|e| bad(&e.to_string()))?;
        let msb_pts_shift = msb_pts_shift as u32;
        self.stream = Some(Stream { time_base, msb_pts_shift, width, height, last_pts: 0 });
        Ok(())
    }

    fn syncpoint(&mut self, b: &mut &[u8]) -> Result<()> {
        let coded = varlen(b)?;
        let count = self.bases.len().max(1) as u64;
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let ((num, den), (own_num, own_den)) =
            (self.bases[(coded % count) as usize], self.bases[stream.time_base]);
        let ticks = i128::from(time(i128::from(coded / count))?) * i128::from(num) * i128::from(own_den)
            / (i128::from(den) * i128::from(own_num));
        stream.last_pts = time(ticks)?;
        Ok(())
    }

    fn frame(&mut self, code: u8, out: &mut Vec<u8>) -> Result<i64> {
        let code = *self.codes.get(usize::from(code)).ok_or_else(|| bad("a frame precedes the headers"))?;
        let reader = &mut self.reader;
        let mut flags = code.flags;
        if flags & flag::CODED != 0 {
            flags ^= varlen(reader)?;
        }
        let stream = self.stream.as_mut().ok_or_else(|| bad("a frame precedes the headers"))?;
        let id = if flags & flag::STREAM_ID != 0 { varlen(reader)? } else { code.stream };
        if flags & (flag::INVALID | flag::SIDE_DATA) != 0 || id != 0 {
            return Err(bad("unsupported kind of frame"));
        }
        let pts = if flags & flag::CODED_PTS != 0 {
            let coded = time(i128::from(varlen(reader)?))?;
            let lsb = 1i64 << stream.msb_pts_shift;
            if coded < lsb {
                let (mask, delta) = (lsb - 1, stream.last_pts - (lsb - 1) / 2);
                (coded.wrapping_sub(delta) & mask) + delta
            } else {
                coded - lsb
            }
        } else {
            stream.last_pts.saturating_add(code.pts_delta)
        };
        let pts = time(i128::from(pts))?;
        stream.last_pts = pts;
        let mut size = code.size_lsb;
        if flags & flag::SIZE_MSB != 0 {
            size = size.saturating_add(code.size_mul.saturating_mul(varlen(reader)?));
        }
        if flags & flag::MATCH_TIME != 0 {
            varlen(reader)?;
        }
        let mut header = if flags & flag::HEADER_IDX != 0 { varlen(reader)? } else { code.header };
        let reserved = if flags & flag::RESERVED != 0 { varlen(reader)? } else { code.reserved };
        for _ in 0..reserved {
            varlen(reader)?;
        }
        if flags & flag::CHECKSUM != 0 {
            skip(reader, 4)?;
        }
        if size > MAX_ELIDED {
            header = 0;
        }
        if size != (stream.width * stream.height) as u64 {
            return Err(bad("a frame differs in size from its stream"));
        }
        let elided = self.elided.get(header as usize).ok_or_else(|| bad("invalid elision header"))?;
        let rest = size.checked_sub(elided.len() as u64).ok_or_else(|| bad("invalid elision header"))?;
        out.clear();
        out.extend_from_slice(elided);
        if (reader.take(rest).read_to_end(out)? as u64) < rest {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let (num, den) = self.bases[stream.time_base];
        let ns = (i128::from(pts) * i128::from(num) * 1_000_000_000 + i128::from(den) / 2)
            .div_euclid(i128::from(den));
        time(ns)
    }
}

fn byte(reader: &mut impl Read) -> Result<u8> {
    let mut b = [0];
    reader.read_exact(&mut b)?;
    Ok(b[0])
}

/// A time stamp that can be calculated with.
fn time(value: i128) -> Result<i64> {
    i64::try_from(value)
        .ok()
        .filter(|t| t.unsigned_abs() < MAX_TIME)
        .ok_or_else(|| bad("a time stamp is out of range"))
}

/// A number of seven bits a byte, the greatest first.
fn varlen(reader: &mut impl Read) -> Result<u64> {
    let mut value = 0u64;
    for _ in 0..10 {
        let b = byte(reader)?;
        value = value << 7 | u64::from(b & 127);
        if b & 128 == 0 {
            return Ok(value);
        }
    }
    Err(bad("a number is too long"))
}

fn signed(v: u64) -> i64 {
    let half = (v.wrapping_add(1) >> 1) as i64;
    if v & 1 == 0 { -half } else { half }
}

fn skip(reader: &mut impl Read, count: u64) -> Result<()> {
    let skipped = std::io::copy(&mut reader.by_ref().take(count), &mut std::io::sink())?;
    if skipped == count { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(mut value: u64) -> Vec<u8> {
        let mut out = vec![(value & 127) as u8];
        while value > 127 {
            value >>= 7;
            out.insert(0, (value & 127) as u8 | 128);
        }
        out
    }

    fn packet(code: u64, numbers: &[u64]) -> Vec<u8> {
        let body: Vec<u8> = numbers.iter().flat_map(|n| coded(*n)).chain([0; 4]).collect();
        [&code.to_be_bytes()[..], &coded(body.len() as u64), &body].concat()
    }

    /// Version 3, one stream, these time bases, one kind of frame: time, then size, then data. No elision headers.
    fn main_header(bases: &[(u64, u64)]) -> Vec<u8> {
        let mut numbers = vec![3, 1, 65_536, bases.len() as u64];
        bases.iter().for_each(|(num, den)| numbers.extend([*num, *den]));
        numbers.extend([flag::CODED_PTS | flag::SIZE_MSB, 6, 0, 1, 0, 0, 0, 255, 0]);
        packet(MAIN, &numbers)
    }

    /// Raw video of a size on a clock; time stamps of 7 bits.
    fn stream_header(clock: u64, width: u64, height: u64) -> Vec<u8> {
        packet(STREAM, &[0, 0, 0, clock, 7, 0, 0, 0, 0, width, height, 0, 0, 0])
    }

    /// A frame at a whole time stamp.
    fn frame(pts: u64, data: &[u8]) -> Vec<u8> {
        [&[0][..], &coded(pts + 128), &coded(data.len() as u64), data].concat()
    }

    /// Times of the frames, and the error at the end.
    fn read(parts: &[Vec<u8>]) -> (Vec<i64>, Option<String>) {
        let bytes = [FILE_ID.to_vec(), parts.concat()].concat();
        let mut reader = match NutReader::new(&bytes[..]) {
            Ok(reader) => reader,
            Err(e) => return (Vec::new(), Some(e.to_string())),
        };
        let (mut times, mut luma) = (Vec::new(), Vec::new());
        loop {
            match reader.next(&mut luma) {
                Ok(Raw::Luma(..)) => times.extend(reader.place().at_ns),
                Ok(Raw::End) => return (times, None),
                Ok(_) => return (times, Some("cut".into())),
                Err(e) => return (times, Some(e.to_string())),
            }
        }
    }

    #[test]
    fn frames_have_the_times_of_their_clock() {
        let head = [main_header(&[(1, 1000), (1, 25)]), stream_header(1, 4, 2)];
        let frames = [frame(0, &[7; 8]), frame(3, &[8; 8])];
        assert_eq!(read(&[&head[..], &frames].concat()), (vec![0, 120_000_000], None));
        let cut = [&head[..], &[frame(0, &[7; 8])[..5].to_vec()]].concat();
        assert_eq!(read(&cut), (vec![], Some("cut".into())));
    }

    /// Headers come again in a long stream. What they say is checked again.
    #[test]
    fn a_later_header_is_checked_like_the_first() {
        let head = [main_header(&[(1, 1000), (1, 25)]), stream_header(1, 4, 2), frame(1, &[7; 8])];
        let refusal = |more: &[Vec<u8>]| {
            let (times, error) = read(&[&head[..], more].concat());
            assert_eq!(times, [40_000_000]);
            error.expect("refused")
        };
        // The clock of the stream is gone.
        let reason = refusal(&[main_header(&[(1, 1000)]), frame(2, &[7; 8])]);
        assert_eq!(reason, "NUT: a frame precedes the headers");
        let reason = refusal(&[stream_header(1, 5000, 2), frame(2, &[7; 10_000])]);
        assert!(reason.starts_with("NUT: size 5000x2"), "{reason}");
        let reason = refusal(&[packet(SYNCPOINT, &[u64::MAX, 0]), frame(2, &[7; 8])]);
        assert_eq!(reason, "NUT: a time stamp is out of range");
        let again =
            [&head[..], &[main_header(&[(1, 25)]), stream_header(0, 2, 2), frame(5, &[1; 4])]].concat();
        assert_eq!(read(&again), (vec![40_000_000, 200_000_000], None));
    }

    proptest::proptest! {
        #[test]
        fn no_damage_panics(changes in proptest::collection::vec((0usize..200, proptest::prelude::any::<u8>()), 1..8)) {
            let sync = packet(SYNCPOINT, &[3, 0]);
            let head = [main_header(&[(1, 1000), (1, 25)]), stream_header(1, 4, 2)];
            let mut bytes = [&head[..], &[sync, frame(0, &[7; 8])], &head, &[frame(3, &[8; 8])]].concat().concat();
            for (at, value) in changes {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            let (times, _) = read(&[bytes]);
            proptest::prop_assert!(times.len() <= 200);
        }
    }
}
