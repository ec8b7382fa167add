//! One video frame as luma, and how luma is taken from what cameras and files deliver.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
            b"UYVY" => Self::Uyvy,
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

/// Fails unless a size may be used.
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
    patched: Vec<u8>,
    /// Luma by the sum of four Bayer samples, made for so many bits.
    tones: (u32, Vec<u8>),
}

/// Sensors are linear, and everything else that glint sees is not: the usual camera's gamma.
const BAYER_GAMMA: f32 = 1.0 / 2.2;

impl LumaDecoder {
    /// Luma of `data` into `out`; returns width and height, which a JPEG tells by itself. `stride` is
    /// the distance of rows in bytes, 0 for rows without padding.
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
            return self.jpeg(data, out);
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

    fn jpeg(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(usize, usize), FrameError> {
        let header = jpeg_header(data)?;
        check_size(header.width, header.height)?;
        let data = match header.tables_missing_before {
            Some(at) => {
                self.patched.clear();
                self.patched.extend_from_slice(&data[..at]);
                self.patched.extend_from_slice(&STANDARD_HUFFMAN);
                self.patched.extend_from_slice(&data[at..]);
                &self.patched
            }
            None => data,
        };
        let options = DecoderOptions::default()
            .jpeg_set_out_colorspace(ColorSpace::Luma)
            .set_max_width(MAX_SIDE)
            .set_max_height(MAX_SIDE);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
        let fail = |e: zune_jpeg::errors::DecodeErrors| FrameError::Jpeg(format!("{e:?}"));
        decoder.decode_headers().map_err(fail)?;
        let size = decoder.output_buffer_size().ok_or_else(|| FrameError::Jpeg("no size".into()))?;
        let (width, height) = (header.width, header.height);
        if size != width * height {
            return Err(FrameError::Jpeg(format!("{size} samples for {width}x{height}")));
        }
        out.resize(size, 0);
        decoder.decode_into(out).map_err(fail)?;
        Ok((width, height))
    }
}

struct JpegHeader {
    width: usize,
    height: usize,
    /// Position of the scan header when no Huffman table comes before it.
    tables_missing_before: Option<usize>,
}

/// Walks the segments up to the scan: nothing is allocated on the word of a header alone.
fn jpeg_header(data: &[u8]) -> Result<JpegHeader, FrameError> {
    let fail = |what: &str| FrameError::Jpeg(what.into());
    if data.is_empty() {
        return Err(fail("no bytes"));
    }
    if !data.starts_with(&[0xff, 0xd8]) {
        return Err(fail("no start of image"));
    }
    let (mut at, mut size, mut tables) = (2, None, false);
    loop {
        let [marker_lead, marker] =
            *data.get(at..at + 2).and_then(|b| b.first_chunk()).ok_or_else(|| fail("cut"))?;
        if marker_lead != 0xff {
            return Err(fail("no marker where one must be"));
        }
        if marker == 0xff {
            at += 1;
            continue;
        }
        let length = data.get(at + 2..at + 4).ok_or_else(|| fail("cut"))?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        match marker {
            // Start of frame, baseline to progressive; C4, C8 and CC are other things.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let b = data.get(at + 5..at + 9).ok_or_else(|| fail("cut"))?;
                let side = |k: usize| usize::from(u16::from_be_bytes([b[k], b[k + 1]]));
                size = Some((side(2), side(0)));
            }
            0xc4 => tables = true,
            0xda => {
                let (width, height) = size.ok_or_else(|| fail("no size before the scan"))?;
                return Ok(JpegHeader { width, height, tables_missing_before: (!tables).then_some(at) });
            }
            0xd9 => return Err(fail("ends before the scan")),
            _ => {}
        }
        at += 2 + length.max(2);
    }
}

/// The standard Huffman tables (ITU-T T.81, annex K.3.3) as one DHT segment: UVC cameras leave them out.
const STANDARD_HUFFMAN: [u8; 420] = standard_huffman();

const fn standard_huffman() -> [u8; 420] {
    const DC_LUMA: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
    const DC_CHROMA: [u8; 16] = [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
    const DC_VALUES: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    const AC_LUMA: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d];
    #[rustfmt::skip]
    const AC_LUMA_VALUES: [u8; 162] = [
        0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
        0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
        0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
        0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
        0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
        0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
        0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
        0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
        0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ];
    const AC_CHROMA: [u8; 16] = [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77];
    #[rustfmt::skip]
    const AC_CHROMA_VALUES: [u8; 162] = [
        0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
        0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
        0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
        0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
        0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
        0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
        0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
        0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
        0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ];
    const fn put(out: &mut [u8; 420], mut at: usize, bytes: &[u8]) -> usize {
        let mut i = 0;
        while i < bytes.len() {
            out[at] = bytes[i];
            (i, at) = (i + 1, at + 1);
        }
        at
    }
    let mut out = [0; 420];
    // Marker and length: 2 bytes of length, four tables of 17 bytes and their values.
    let mut at = put(&mut out, 0, &[0xff, 0xc4, 0x01, 0xa2]);
    at = put(&mut out, at, &[0x00]);
    at = put(&mut out, at, &DC_LUMA);
    at = put(&mut out, at, &DC_VALUES);
    at = put(&mut out, at, &[0x10]);
    at = put(&mut out, at, &AC_LUMA);
    at = put(&mut out, at, &AC_LUMA_VALUES);
    at = put(&mut out, at, &[0x01]);
    at = put(&mut out, at, &DC_CHROMA);
    at = put(&mut out, at, &DC_VALUES);
    at = put(&mut out, at, &[0x11]);
    at = put(&mut out, at, &AC_CHROMA);
    at = put(&mut out, at, &AC_CHROMA_VALUES);
    assert!(at == 420);
    out
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
        let (w, h) = (frame.width, frame.height);
        if !self.rotate.is_multiple_of(360) {
            spare.resize(w * h, 0);
            let turned = if self.rotate % 180 == 90 { (h, w) } else { (w, h) };
            for (y, row) in frame.luma.chunks_exact(w).enumerate() {
                for (x, &v) in row.iter().enumerate() {
                    let (tx, ty) = match self.rotate % 360 {
                        90 => (h - 1 - y, x),
                        180 => (w - 1 - x, h - 1 - y),
                        _ => (y, w - 1 - x),
                    };
                    spare[ty * turned.0 + tx] = v;
                }
            }
            std::mem::swap(&mut frame.luma, spare);
            (frame.width, frame.height) = turned;
        }
        if self.mirror {
            frame.luma.chunks_exact_mut(frame.width).for_each(<[u8]>::reverse);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn jpeg(w: usize, h: usize) -> (Vec<u8>, Vec<u8>) {
        let luma: Vec<u8> = (0..w * h).map(|i| ((i % w) * 3 + (i / w) * 2) as u8).collect();
        let mut bytes = Vec::new();
        jpeg_encoder::Encoder::new(&mut bytes, 90)
            .encode(&luma, w as u16, h as u16, jpeg_encoder::ColorType::Luma)
            .expect("encodes");
        (luma, bytes)
    }

    fn without_tables(bytes: &[u8]) -> Vec<u8> {
        let (mut out, mut at) = (bytes[..2].to_vec(), 2);
        while bytes[at + 1] != 0xda {
            let length = 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            if bytes[at + 1] != 0xc4 {
                out.extend_from_slice(&bytes[at..at + length]);
            }
            at += length;
        }
        out.extend_from_slice(&bytes[at..]);
        out
    }

    #[test]
    fn frames_without_huffman_tables_decode_to_the_same_pixels() {
        let (_, bytes) = jpeg(64, 48);
        let bare = without_tables(&bytes);
        assert!(bare.len() < bytes.len());
        let mut decoder = LumaDecoder::default();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        assert_eq!(decoder.decode(PixelFormat::Mjpg, 0, 0, 0, &bytes, &mut a), Ok((64, 48)));
        assert_eq!(decoder.decode(PixelFormat::Mjpg, 0, 0, 0, &bare, &mut b), Ok((64, 48)));
        assert_eq!(a, b);
    }

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
    fn a_header_alone_takes_no_memory() {
        let (_, mut bytes) = jpeg(16, 16);
        let sof = bytes.windows(2).position(|w| w[0] == 0xff && (0xc0..=0xc2).contains(&w[1])).expect("SOF");
        bytes[sof + 5..sof + 9].fill(0xff);
        let mut out = Vec::new();
        let error = LumaDecoder::default().decode(PixelFormat::Mjpg, 0, 0, 0, &bytes, &mut out);
        assert_eq!(error, Err(FrameError::Size { width: 65535, height: 65535 }));
        assert_eq!(out.capacity(), 0);
        assert!(LumaDecoder::default().decode(PixelFormat::Mjpg, 0, 0, 0, &[], &mut out).is_err());
        assert!(LumaDecoder::default().decode(PixelFormat::Grey, 0, 5, 0, &[], &mut out).is_err());
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

    proptest! {
        #[test]
        fn damaged_jpegs_never_panic(changes in prop::collection::vec((0usize..800, any::<u8>()), 1..20), cut in 0usize..900) {
            let (_, mut bytes) = jpeg(40, 24);
            for (at, value) in changes {
                if let Some(b) = bytes.get_mut(at) {
                    *b = value;
                }
            }
            bytes.truncate(cut.max(1));
            let mut out = Vec::new();
            let _ = LumaDecoder::default().decode(PixelFormat::Mjpg, 0, 0, 0, &bytes, &mut out);
            prop_assert!(out.capacity() <= MAX_SIDE * MAX_SIDE);
        }
    }
}
