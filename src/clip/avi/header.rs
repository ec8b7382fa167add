//! The header of an AVI: its video stream, how that is coded, its rate and its length.

use crate::clip::{Rate, Refusal};
use crate::frame::{PixelFormat, check_size};

/// How the frames of a stream are coded.
#[derive(Clone)]
pub(super) enum Coding {
    /// Of a FOURCC.
    Fourcc(PixelFormat),
    /// Device-independent bitmap: bytes per pixel; rows padded to four bytes; bottom-up or not.
    Bitmap {
        /// Bytes of a pixel.
        bytes: usize,
        /// Whether the lowest row comes first.
        bottom_up: bool,
        /// Luma by the value of an 8-bit pixel.
        palette: Box<[u8; 256]>,
    },
}

/// What the chunks of the header say.
#[derive(Default)]
pub(super) struct Headers {
    /// Number of the first video stream.
    pub(super) stream: Option<u8>,
    /// Streams so far.
    pub(super) streams: u8,
    /// Width, height and coding.
    pub(super) format: Option<(usize, usize, Coding)>,
    /// Frames and seconds of the stream header, and microseconds a frame of the main header.
    rates: (Option<(u32, u32)>, Option<u32>),
    /// Frames by the stream header, the OpenDML header, the main header.
    frames: [u64; 3],
}

/// The luma of a colour, Rec. 601.
pub(super) fn luma([b, g, r]: [u8; 3]) -> u8 {
    ((u32::from(r) * 77 + u32::from(g) * 150 + u32::from(b) * 29) >> 8) as u8
}

impl Headers {
    /// Frames that the header promises, empty ones included; 0 where it does not tell.
    pub(super) fn frames(&self) -> u64 {
        // The main header of OpenDML counts the first part alone.
        self.frames.into_iter().find(|n| *n > 0).unwrap_or(0)
    }

    /// The rate, or why there is none. The stream's own comes first, as in every player.
    pub(super) fn rate(&self) -> Result<Rate, String> {
        let main = self.rates.1.map(|micros| (1_000_000, u64::from(micros)));
        let rate = match self.rates.0 {
            Some((rate, scale)) if rate > 0 && scale > 0 => {
                let stream_rate = Rate::of_header(u64::from(rate), u64::from(scale))?;
                if let Some(Ok(file_rate)) = main.map(|(n, d)| Rate::of_header(n, d))
                    && (stream_rate.fps() / file_rate.fps() - 1.0).abs() > 0.1
                {
                    tracing::warn!(
                        "AVI header: the stream states {:.2} frames/s and the file {:.2}; the stream's rate is used",
                        stream_rate.fps(),
                        file_rate.fps()
                    );
                }
                return Ok(stream_rate);
            }
            _ => main.unwrap_or((0, 0)),
        };
        Rate::of_header(rate.0, rate.1)
    }

    /// Takes a chunk in.
    pub(super) fn chunk(&mut self, id: &[u8; 4], data: &[u8]) -> Result<(), Refusal> {
        let word = |at: usize| -> Result<u32, String> {
            let b = data.get(at..at + 4).ok_or("the AVI header is truncated")?;
            Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        };
        match id {
            b"avih" => {
                self.rates.1 = Some(word(0)?);
                self.frames[2] = u64::from(word(16)?);
            }
            b"dmlh" => self.frames[1] = u64::from(word(0)?),
            b"strh" if self.stream.is_none() && data.starts_with(b"vids") => {
                self.stream = Some(self.streams.saturating_sub(1));
                let (scale, rate) = (word(20)?, word(24)?);
                self.rates.0 = Some((rate, scale));
                self.frames[0] = u64::from(word(32)?);
            }
            b"strf" if self.stream == Some(self.streams.saturating_sub(1)) && self.format.is_none() => {
                let (width, height) = (word(4)? as usize, word(8)? as i32);
                let rows = height.unsigned_abs() as usize;
                check_size(width, rows).map_err(|e| format!("AVI header: {e}"))?;
                let bits = word(12)? >> 16;
                let code = word(16)?.to_le_bytes();
                let coding = match (PixelFormat::from_fourcc(code), code, bits) {
                    (Some(format), ..) => Coding::Fourcc(format),
                    (None, [0, 0, 0, 0] | [b'D', b'I', b'B', b' '], 8 | 24 | 32) => Coding::Bitmap {
                        bytes: bits as usize / 8,
                        bottom_up: height > 0,
                        palette: palette(data, word(0)? as usize),
                    },
                    _ => {
                        let code = String::from_utf8_lossy(&code).replace('\0', ".");
                        return Err(Refusal::Foreign(format!("AVI of {code} ({bits} bits)")));
                    }
                };
                self.format = Some((width, rows, coding));
            }
            _ => {}
        }
        Ok(())
    }
}

/// The palette behind a bitmap header: blue, green, red and a byte that is not used, each colour. Values without a
/// colour are gray.
fn palette(data: &[u8], header: usize) -> Box<[u8; 256]> {
    let mut out = Box::new([0; 256]);
    for (v, o) in out.iter_mut().enumerate() {
        let color = data.get(header + 4 * v..).and_then(|d| d.first_chunk::<4>());
        *o = color.map_or(v as u8, |[b, g, r, _]| luma([*b, *g, *r]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(strh: (u32, u32), micros: u32) -> Headers {
        Headers { rates: (Some(strh), Some(micros)), ..Headers::default() }
    }

    #[test]
    fn the_streams_rate_comes_first_and_a_silly_one_is_said() {
        assert_eq!(headers((30_000, 1001), 0).rate(), Ok(Rate { num: 30_000, den: 1001 }));
        assert_eq!(headers((100, 1), 33_333).rate(), Ok(Rate { num: 100, den: 1 }));
        assert_eq!(headers((0, 0), 10_000).rate(), Ok(Rate { num: 1_000_000, den: 10_000 }));
        let refusal = |h: Headers| h.rate().expect_err("no rate");
        assert!(refusal(headers((2000, 1), 33_333)).contains("2000 frames/s in its header"));
        assert!(refusal(headers((0, 1), 0)).contains("no frame rate"));
    }

    #[test]
    fn a_short_palette_is_gray_above() {
        let mut data = vec![0; 40];
        data.extend([10, 10, 10, 0, 255, 255, 255, 0]);
        let palette = palette(&data, 40);
        assert_eq!((palette[0], palette[1], palette[2]), (10, 255, 2));
    }
}
