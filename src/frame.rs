//! One video frame as luma, and how luma is taken from what cameras and files deliver.

mod jpeg;

use jpeg::JpegLuma;
use serde::{Deserialize, Serialize};

/// Largest width and height that is accepted from outside.
pub const MAX_SIDE: usize = 4096;

/// A gray image with identity and time. The core never reads a clock: `at_ns` comes from the
/// camera's kernel time stamp or from the clip.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// Number of the frame at its source; a step of more than one means that frames were lost.
    pub seq: u64,
    /// Time of capture in nanoseconds: clip time (0 = first frame) or kernel monotonic.
    pub at_ns: i64,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` samples, row by row, 0 black to 255 white.
    pub luma: Vec<u8>,
}

/// How the bytes of a frame are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum PixelFormat {
    /// 8-bit gray.
    Grey,
    /// Packed 4:2:2, luma first.
    Yuyv,
    /// Packed 4:2:2, chroma first.
    Uyvy,
    /// Planar luma, then interleaved chroma (NV12), or planar chroma (I420): only luma is read.
    Nv12,
    /// JPEG, also without Huffman tables as UVC cameras send it.
    Mjpg,
    /// Raw Bayer mosaic, 8 bits a sample, any order of colours.
    Bayer8,
    /// Raw Bayer mosaic, 10 bits in 16, little endian, any order of colours.
    Bayer10,
    /// Raw Bayer mosaic, 12 bits in 16, little endian, any order of colours.
    Bayer12,
}

impl PixelFormat {
    /// All formats, the cheapest to decode first.
    pub const ALL: [Self; 8] = [
        Self::Grey,
        Self::Nv12,
        Self::Yuyv,
        Self::Uyvy,
        Self::Bayer8,
        Self::Bayer10,
        Self::Bayer12,
        Self::Mjpg,
    ];

    /// The V4L2 code; of a Bayer format the one that begins with red.
    pub const fn fourcc(self) -> [u8; 4] {
        match self {
            Self::Grey => *b"GREY",
            Self::Yuyv => *b"YUYV",
            Self::Uyvy => *b"UYVY",
            Self::Nv12 => *b"NV12",
            Self::Mjpg => *b"MJPG",
            Self::Bayer8 => *b"RGGB",
            Self::Bayer10 => *b"RG10",
            Self::Bayer12 => *b"RG12",
        }
    }

    /// The format of a V4L2 or AVI code.
    pub fn from_fourcc(code: [u8; 4]) -> Option<Self> {
        Some(match &code {
            b"GREY" | b"Y800" | b"Y8  " => Self::Grey,
            b"YUYV" | b"YUY2" => Self::Yuyv,
            b"UYVY" | b"HDYC" => Self::Uyvy,
            // Also with planes of their own (NM12, NM21, YM12), and with more chroma (NV16): luma comes first.
            b"NV12" | b"NV21" | b"NM12" | b"NM21" | b"NV16" | b"NM16" => Self::Nv12,
            b"I420" | b"IYUV" | b"YU12" | b"YV12" | b"YM12" => Self::Nv12,
            b"MJPG" | b"mjpg" | b"JPEG" => Self::Mjpg,
            b"RGGB" | b"GRBG" | b"GBRG" | b"BA81" => Self::Bayer8,
            b"RG10" | b"BA10" | b"GB10" | b"BG10" => Self::Bayer10,
            b"RG12" | b"BA12" | b"GB12" | b"BG12" => Self::Bayer12,
            _ => return None,
        })
    }

    /// Bytes of a row of luma without padding; 0 for compressed formats.
    pub const fn row_bytes(self, width: usize) -> usize {
        match self {
            Self::Grey | Self::Nv12 | Self::Bayer8 => width,
            Self::Yuyv | Self::Uyvy | Self::Bayer10 | Self::Bayer12 => 2 * width,
            Self::Mjpg => 0,
        }
    }

    /// Significant bits of a Bayer sample; `None` of other formats.
    const fn bayer_bits(self) -> Option<u32> {
        match self {
            Self::Bayer8 => Some(8),
            Self::Bayer10 => Some(10),
            Self::Bayer12 => Some(12),
            _ => None,
        }
    }

    /// Size of the luma of a frame of this size: a Bayer mosaic is halved, four samples to a pixel.
    pub const fn luma_size(self, width: usize, height: usize) -> (usize, usize) {
        if self.bayer_bits().is_some() { (width / 2, height / 2) } else { (width, height) }
    }
}

/// Why the bytes of a frame are no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Fewer bytes than the format needs.
    #[error("{found} bytes; {needed} needed")]
    Short {
        /// Bytes that are there.
        found: usize,
        /// Bytes that the format needs.
        needed: usize,
    },
    /// The size is zero or above [`MAX_SIDE`].
    #[error("size {width}x{height}; allowed: 1x1 to {MAX_SIDE}x{MAX_SIDE}")]
    Size {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// The JPEG does not decode.
    #[error("JPEG: {0}")]
    Jpeg(String),
}

/// Checks whether a size may be used.
///
/// # Errors
/// [`FrameError`] names the size and what is allowed.
pub fn check_size(width: usize, height: usize) -> Result<(), FrameError> {
    if (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height) {
        Ok(())
    } else {
        Err(FrameError::Size { width, height })
    }
}

/// Takes luma out of raw frames; keeps its buffers.
#[derive(Debug, Default)]
pub struct LumaDecoder {
    jpeg: JpegLuma,
    /// Luma by the sum of four Bayer samples, made for so many bits.
    tones: (u32, Vec<u8>),
}

/// Sensors are linear, and everything else that glint sees is not: the usual camera's gamma.
const BAYER_GAMMA: f32 = 1.0 / 2.2;

impl LumaDecoder {
    /// Luma of `data` into `out`; returns width and height, which a JPEG tells by itself: its `width` and `height`
    /// are those of the container or camera, 0 where they are not known, and tell fields from frames. `stride` is the
    /// distance of rows in bytes, 0 for rows without padding.
    ///
    /// # Errors
    /// [`FrameError`] where the data are fewer than the size asks for, the size is not allowed, or the JPEG is
    /// truncated or damaged.
    pub fn decode(
        &mut self,
        format: PixelFormat,
        width: usize,
        height: usize,
        stride: usize,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, usize), FrameError> {
        if format == PixelFormat::Mjpg {
            return self.jpeg.decode((width, height), data, out);
        }
        check_size(width, height)?;
        let row = format.row_bytes(width);
        let stride = stride.max(row);
        let needed = stride * (height - 1) + row;
        if data.len() < needed {
            return Err(FrameError::Short { found: data.len(), needed });
        }
        if let Some(bits) = format.bayer_bits() {
            let size = format.luma_size(width, height);
            check_size(size.0, size.1)?;
            out.resize(size.0 * size.1, 0);
            self.bin(bits, size.0, stride, data, out);
            return Ok(size);
        }
        out.resize(width * height, 0);
        for (o, source) in out.chunks_exact_mut(width).zip(data.chunks(stride)) {
            match format {
                PixelFormat::Yuyv => o.iter_mut().zip(source.chunks_exact(2)).for_each(|(o, p)| *o = p[0]),
                PixelFormat::Uyvy => o.iter_mut().zip(source.chunks_exact(2)).for_each(|(o, p)| *o = p[1]),
                _ => o.copy_from_slice(&source[..width]),
            }
        }
        Ok((width, height))
    }

    /// Luma of a Bayer mosaic: the mean of each 2x2 block (one red, two green, one blue sample, whatever their
    /// order) through a gamma. `out` has `columns` columns.
    fn bin(&mut self, bits: u32, columns: usize, stride: usize, data: &[u8], out: &mut [u8]) {
        let most = 4 * ((1usize << bits) - 1);
        if self.tones.0 != bits {
            let tone = |sum: usize| (255.0 * (sum as f32 / most as f32).powf(BAYER_GAMMA) + 0.5) as u8;
            self.tones = (bits, (0..=most).map(tone).collect());
        }
        let tones = &self.tones.1;
        for (o, pair) in out.chunks_exact_mut(columns).zip(data.chunks(2 * stride)) {
            let (top, bottom) = pair.split_at(stride);
            if bits == 8 {
                for ((o, t), b) in o.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
                    *o = tones[usize::from(t[0]) + usize::from(t[1]) + usize::from(b[0]) + usize::from(b[1])];
                }
            } else {
                let sum = |p: &[u8]| {
                    usize::from(u16::from_le_bytes([p[0], p[1]]))
                        + usize::from(u16::from_le_bytes([p[2], p[3]]))
                };
                for ((o, t), b) in o.iter_mut().zip(top.chunks_exact(4)).zip(bottom.chunks_exact(4)) {
                    // Drivers may leave something in the bits above.
                    *o = tones[(sum(t) + sum(b)).min(most)];
                }
            }
        }
    }
}

/// How the camera is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mounting {
    /// Clockwise turn that brings the image upright: 0, 90, 180 or 270 degrees.
    pub rotate: u16,
    /// Whether the image is mirrored, so that the subject's sides are swapped back.
    pub mirror: bool,
}

impl Mounting {
    /// Brings a frame upright; `spare` is the other buffer.
    pub fn apply(self, frame: &mut Frame, spare: &mut Vec<u8>) {
        (frame.width, frame.height) = self.turn((frame.width, frame.height), &mut frame.luma, spare);
    }

    /// Brings luma of a size (width, height) upright and returns its size then; `spare` is the other buffer.
    pub fn turn(self, (w, h): (usize, usize), luma: &mut Vec<u8>, spare: &mut Vec<u8>) -> (usize, usize) {
        let mut size = (w, h);
        if !self.rotate.is_multiple_of(360) {
            spare.resize(w * h, 0);
            size = if self.rotate % 180 == 90 { (h, w) } else { (w, h) };
            for (y, row) in luma.chunks_exact(w).enumerate() {
                for (x, &v) in row.iter().enumerate() {
                    let (tx, ty) = match self.rotate % 360 {
                        90 => (h - 1 - y, x),
                        180 => (w - 1 - x, h - 1 - y),
                        _ => (y, w - 1 - x),
                    };
                    spare[ty * size.0 + tx] = v;
                }
            }
            std::mem::swap(luma, spare);
        }
        if self.mirror {
            luma.chunks_exact_mut(size.0).for_each(<[u8]>::reverse);
        }
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luma_of_every_raw_format() {
        let mut decoder = LumaDecoder::default();
        let mut out = Vec::new();
        let yuyv = [1, 9, 2, 9, 0, 0, 3, 9, 4, 9];
        assert_eq!(decoder.decode(PixelFormat::Yuyv, 2, 2, 6, &yuyv, &mut out), Ok((2, 2)));
        assert_eq!(out, [1, 2, 3, 4]);
        decoder.decode(PixelFormat::Uyvy, 2, 1, 0, &[9, 7, 9, 8], &mut out).expect("fits");
        assert_eq!(out, [7, 8]);
        decoder.decode(PixelFormat::Nv12, 2, 2, 3, &[1, 2, 0, 3, 4], &mut out).expect("fits");
        assert_eq!(out, [1, 2, 3, 4]);
        // Two blocks of a mosaic, one dark and one full, rows of 6 bytes.
        let mosaic = [0, 0, 255, 255, 9, 9, 0, 0, 255, 255];
        assert_eq!(decoder.decode(PixelFormat::Bayer8, 4, 2, 6, &mosaic, &mut out), Ok((2, 1)));
        assert_eq!(out, [0, 255]);
        let mosaic: Vec<u8> = [223u16, 223, 1023, 1023, 223, 223, 1023, 1023].map(u16::to_le_bytes).concat();
        assert_eq!(decoder.decode(PixelFormat::Bayer10, 4, 2, 0, &mosaic, &mut out), Ok((2, 1)));
        // 255 (223 / 1023)^(1 / 2.2) is 127.6.
        assert_eq!(out, [128, 255]);
        assert_eq!(decoder.decode(PixelFormat::Bayer12, 2, 2, 0, &[255; 8], &mut out), Ok((1, 1)));
        assert_eq!(out, [255]);
        assert!(decoder.decode(PixelFormat::Bayer8, 1, 1, 0, &[0], &mut out).is_err());
        let short = decoder.decode(PixelFormat::Grey, 4, 4, 0, &[0; 15], &mut out);
        assert_eq!(short, Err(FrameError::Short { found: 15, needed: 16 }));
    }

    #[test]
    fn mounting_brings_the_image_upright() {
        let frame = Frame { width: 3, height: 2, luma: vec![1, 2, 3, 4, 5, 6], ..Frame::default() };
        let turned = |rotate, mirror| {
            let mut f = frame.clone();
            Mounting { rotate, mirror }.apply(&mut f, &mut Vec::new());
            (f.width, f.height, f.luma)
        };
        assert_eq!(turned(90, false), (2, 3, vec![4, 1, 5, 2, 6, 3]));
        assert_eq!(turned(180, false), (3, 2, vec![6, 5, 4, 3, 2, 1]));
        assert_eq!(turned(270, false), (2, 3, vec![3, 6, 2, 5, 1, 4]));
        assert_eq!(turned(0, true), (3, 2, vec![3, 2, 1, 6, 5, 4]));
    }
}
