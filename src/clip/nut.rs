//! NUT, the container in which ffmpeg hands over raw frames with their presentation times.
//!
//! Only what that needs: one stream of raw frames in order, out of a pipe. The format: <https://ffmpeg.org/~michael/nut.txt>.

use std::io::{BufReader, Error, ErrorKind, Read, Result};

use super::read_up_to;

const FILE_ID: &[u8] = b"nut/multimedia container\0";
const MAIN: u64 = 0x4e4d_7a56_1f5f_04ad;
const STREAM: u64 = 0x4e53_1140_5bf2_f9db;
const SYNCPOINT: u64 = 0x4e4b_e4ad_eeca_4569;
/// Largest packet of headers, and most streams and time bases: one of each is expected.
const MAX_PACKET: u64 = 1 << 16;
const MAX_COUNT: u64 = 16;
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
    width: u64,
    height: u64,
    last_pts: i64,
}

/// Reads frames out of a pipe.
pub(super) struct NutReader<R: Read> {
    reader: BufReader<R>,
    /// Seconds of a tick, as a ratio.
    bases: Vec<(u64, u64)>,
    codes: Vec<Code>,
    /// Bytes that frames of an index begin with and that are left out.
    elided: Vec<Vec<u8>>,
    stream: Option<Stream>,
}

impl<R: Read> NutReader<R> {
    /// Reads the headers; fails at a stream that is empty or no NUT.
    pub(super) fn new(reader: R) -> Result<Self> {
        let mut reader = BufReader::with_capacity(1 << 16, reader);
        let mut id = [0; FILE_ID.len()];
        let n = read_up_to(&mut reader, &mut id)?;
        if id != FILE_ID {
            return Err(if n == 0 { ErrorKind::UnexpectedEof.into() } else { bad("no such file") });
        }
        let mut this =
            Self { reader, bases: Vec::new(), codes: Vec::new(), elided: Vec::new(), stream: None };
        while this.stream.is_none() {
            let first = byte(&mut this.reader)?;
            if first != b'N' {
                return Err(bad("a frame before the headers"));
            }
            this.packet()?;
        }
        Ok(this)
    }

    /// What the frames are read from.
    pub(super) fn pipe(&mut self) -> &mut BufReader<R> {
        &mut self.reader
    }

    /// Width and height of the frames.
    pub(super) fn size(&self) -> (usize, usize) {
        let s = self.stream.unwrap_or_default();
        (s.width as usize, s.height as usize)
    }

    /// The next frame's bytes into `out`, and its time in nanoseconds; `None` at the end.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<i64>> {
        loop {
            let mut first = [0];
            if read_up_to(&mut self.reader, &mut first)? == 0 {
                return Ok(None);
            }
            if first[0] == b'N' {
                self.packet()?;
            } else {
                return self.frame(first[0], out).map(Some);
            }
        }
    }

    /// A packet behind its first byte, which was read.
    fn packet(&mut self) -> Result<()> {
        let mut code = [b'N', 0, 0, 0, 0, 0, 0, 0];
        self.reader.read_exact(&mut code[1..])?;
        let length = varlen(&mut self.reader)?;
        if length > MAX_PACKET {
            return Err(bad("a packet too large"));
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
            return Err(bad("a version that is not known"));
        }
        if varlen(b)? != 1 {
            return Err(bad("more than one stream"));
        }
        varlen(b)?;
        let bases = varlen(b)?;
        if !(1..=MAX_COUNT).contains(&bases) {
            return Err(bad("time bases"));
        }
        self.bases.clear();
        for _ in 0..bases {
            let base = (varlen(b)?, varlen(b)?);
            if base.0 == 0 || base.1 == 0 {
                return Err(bad("a time base of zero"));
            }
            self.bases.push(base);
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
            let bytes = b.get(..length).ok_or_else(|| bad("elision headers"))?;
            self.elided.push(bytes.to_vec());
            *b = &b[length..];
        }
        Ok(())
    }

    fn stream_header(&mut self, b: &mut &[u8]) -> Result<()> {
        let (_, class) = (varlen(b)?, varlen(b)?);
        if class != 0 {
            return Err(bad("no video"));
        }
        let fourcc = varlen(b)?;
        skip(b, fourcc)?;
        let (time_base, msb_pts_shift) = (varlen(b)? as usize, varlen(b)?);
        if time_base >= self.bases.len() || msb_pts_shift > 32 {
            return Err(bad("a stream without a clock"));
        }
        for _ in 0..3 {
            varlen(b)?;
        }
        let specific = varlen(b)?;
        skip(b, specific)?;
        let (width, height) = (varlen(b)?, varlen(b)?);
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
        let ticks = i128::from(coded / count) * i128::from(num) * i128::from(own_den)
            / (i128::from(den) * i128::from(own_num));
        stream.last_pts = ticks as i64;
        Ok(())
    }

    fn frame(&mut self, code: u8, out: &mut Vec<u8>) -> Result<i64> {
        let code = *self.codes.get(usize::from(code)).ok_or_else(|| bad("a frame before the headers"))?;
        let reader = &mut self.reader;
        let mut flags = code.flags;
        if flags & flag::CODED != 0 {
            flags ^= varlen(reader)?;
        }
        let stream = self.stream.as_mut().ok_or_else(|| bad("a frame before the headers"))?;
        let id = if flags & flag::STREAM_ID != 0 { varlen(reader)? } else { code.stream };
        if flags & (flag::INVALID | flag::SIDE_DATA) != 0 || id != 0 {
            return Err(bad("a frame that cannot be read"));
        }
        let pts = if flags & flag::CODED_PTS != 0 {
            let coded = varlen(reader)? as i64;
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
        if size != stream.width * stream.height {
            return Err(bad("a frame of another size"));
        }
        let elided = self.elided.get(header as usize).ok_or_else(|| bad("an elision header"))?;
        let rest = size.checked_sub(elided.len() as u64).ok_or_else(|| bad("an elision header"))?;
        out.clear();
        out.extend_from_slice(elided);
        if (reader.take(rest).read_to_end(out)? as u64) < rest {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let (num, den) = self.bases[stream.time_base];
        let ns = (i128::from(pts) * i128::from(num) * 1_000_000_000 + i128::from(den) / 2)
            .div_euclid(i128::from(den));
        Ok(ns as i64)
    }
}

fn byte(reader: &mut impl Read) -> Result<u8> {
    let mut b = [0];
    reader.read_exact(&mut b)?;
    Ok(b[0])
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
    Err(bad("a number too long"))
}

fn signed(v: u64) -> i64 {
    let half = (v.wrapping_add(1) >> 1) as i64;
    if v & 1 == 0 { -half } else { half }
}

fn skip(reader: &mut impl Read, count: u64) -> Result<()> {
    let skipped = std::io::copy(&mut reader.by_ref().take(count), &mut std::io::sink())?;
    if skipped == count { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}
