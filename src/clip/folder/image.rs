//! Single pictures: JPEG and PNG, upright by their EXIF, 16-bit samples with fewer bits in them.

use std::path::{Path, PathBuf};

use crate::frame::{LumaDecoder, MAX_SIDE, Mounting, PixelFormat, check_size};

/// Pictures that are looked at for the bits that samples have.
const LOOKS: usize = 4;

/// Reads pictures; keeps its buffers.
#[derive(Default)]
pub(super) struct Images {
    decoder: LumaDecoder,
    spare: Vec<u8>,
    /// Significant bits of 16-bit samples, once there was one.
    bits: Option<u32>,
}

type Size = (usize, usize);

impl Images {
    /// Luma of a picture, upright; or why there is none. `others` are pictures of the same series.
    pub(super) fn read(
        &mut self,
        path: &Path,
        others: &[(u64, PathBuf)],
        luma: &mut Vec<u8>,
    ) -> std::io::Result<Result<Size, String>> {
        // No image of an allowed size is larger.
        let length = std::fs::metadata(path)?.len();
        if length > (8 * MAX_SIDE * MAX_SIDE) as u64 {
            return Ok(Err(format!("{length} bytes")));
        }
        let bytes = std::fs::read(path)?;
        let decoded = if bytes.starts_with(b"\x89PNG") {
            self.png(&bytes, others, luma)
        } else {
            let size = self.decoder.decode(PixelFormat::Mjpg, 0, 0, 0, &bytes, luma);
            size.map(|size| (size, jpeg_exif(&bytes).and_then(orientation))).map_err(|e| e.to_string())
        };
        Ok(decoded
            .map(|(size, orientation)| orientation.map_or(size, |o| o.turn(size, luma, &mut self.spare))))
    }

    fn png(
        &mut self,
        bytes: &[u8],
        others: &[(u64, PathBuf)],
        luma: &mut Vec<u8>,
    ) -> Result<(Size, Option<Mounting>), String> {
        let png = Png::decode(bytes)?;
        let (w, h) = png.size;
        let shift = if png.wide {
            let bits = *self.bits.get_or_insert_with(|| {
                let step = others.len().div_ceil(LOOKS).max(1);
                let most = others.iter().step_by(step).filter_map(|(_, path)| most(path)).max();
                significant_bits(most.unwrap_or(0).max(png.most()), png.scaled)
            });
            bits - 8
        } else {
            0
        };
        luma.clear();
        luma.extend((0..w * h).map_while(|i| {
            let sample = |k: usize| (png.sample(png.channels * i + k) >> shift).min(255);
            // Rec. 601.
            Some(match png.channels {
                _ if png.channels * (i + 1) > png.count() => return None,
                1 | 2 => sample(0) as u8,
                _ => ((sample(0) * 77 + sample(1) * 150 + sample(2) * 29) >> 8) as u8,
            })
        }));
        if luma.len() == w * h { Ok(((w, h), png.orientation)) } else { Err("samples are missing".into()) }
    }
}

/// The bits that samples up to `most` have, in 16: sensors of 10, 12 and 14 bits write their numbers as they are.
/// Samples that were `scaled` to 16 bits use them all.
fn significant_bits(most: u32, scaled: bool) -> u32 {
    let bits = [10, 12, 14].into_iter().find(|b| most < 1 << b).filter(|_| !scaled && most > 255);
    if let Some(bits) = bits {
        tracing::warn!("the samples of the 16-bit images use {bits} bits and are scaled accordingly");
    }
    bits.unwrap_or(16)
}

/// The greatest sample of a 16-bit PNG.
fn most(path: &Path) -> Option<u32> {
    let png = Png::decode(&std::fs::read(path).ok()?).ok()?;
    png.wide.then(|| png.most())
}

/// Decoded samples.
struct Png {
    size: Size,
    channels: usize,
    /// Two bytes a sample.
    wide: bool,
    /// The file tells that its samples were scaled up.
    scaled: bool,
    orientation: Option<Mounting>,
    samples: Vec<u8>,
}

impl Png {
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().map_err(|e| e.to_string())?;
        let size = (reader.info().width as usize, reader.info().height as usize);
        check_size(size.0, size.1).map_err(|e| e.to_string())?;
        let scaled = reader.info().sbit.is_some();
        let mut samples = vec![0; reader.output_buffer_size().ok_or("no size")?];
        let info = reader.next_frame(&mut samples).map_err(|e| e.to_string())?;
        let orientation = reader.info().exif_metadata.as_deref().and_then(orientation);
        let wide = info.bit_depth == png::BitDepth::Sixteen;
        Ok(Self { size, channels: info.color_type.samples(), wide, scaled, orientation, samples })
    }

    fn count(&self) -> usize {
        self.samples.len() >> usize::from(self.wide)
    }

    fn sample(&self, i: usize) -> u32 {
        if self.wide {
            u32::from(self.samples[2 * i]) << 8 | u32::from(self.samples[2 * i + 1])
        } else {
            u32::from(self.samples[i])
        }
    }

    /// The greatest sample; transparency does not count.
    fn most(&self) -> u32 {
        let colors = if self.channels.is_multiple_of(2) { self.channels - 1 } else { self.channels };
        let counts = |i: &usize| i % self.channels < colors;
        (0..self.count()).filter(counts).map(|i| self.sample(i)).max().unwrap_or(0)
    }
}

/// The EXIF block of a JPEG.
fn jpeg_exif(data: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        // As for the decoder there may be junk, and fill bytes between the segments.
        at += data.get(at..)?.iter().position(|b| *b == 0xff)? + 1;
        let [marker, a, b] = *data.get(at..at + 3)?.first_chunk::<3>()?;
        match marker {
            0xff => {}
            0x00 | 0x01 | 0xd0..=0xd8 => at += 1,
            0xda | 0xd9 => return None,
            _ => {
                let end = at + 1 + usize::from(u16::from_be_bytes([a, b])).max(2);
                let exif = data.get(at + 3..end).filter(|_| marker == 0xe1);
                if let Some(exif) = exif.and_then(|e| e.strip_prefix(b"Exif\0\0")) {
                    return Some(exif);
                }
                at = end;
            }
        }
    }
}

/// What brings a picture upright by its EXIF orientation (tag 0x112 of the first directory); `None` where it is.
fn orientation(exif: &[u8]) -> Option<Mounting> {
    let big = match exif.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let short = |at: usize| {
        let b = *exif.get(at..at + 2)?.first_chunk::<2>()?;
        Some(if big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) })
    };
    let long = |at: usize| {
        let b = *exif.get(at..at + 4)?.first_chunk::<4>()?;
        Some(if big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) } as usize)
    };
    let directory = long(4)?;
    let entry = |k: usize| directory.checked_add(2 + 12 * k);
    let entries = usize::from(short(directory)?);
    let at = (0..entries).filter_map(entry).find(|&at| short(at) == Some(0x112))?;
    let (rotate, mirror) = match short(at + 8)? {
        2 => (0, true),
        3 => (180, false),
        4 => (180, true),
        5 => (90, true),
        6 => (90, false),
        7 => (270, true),
        8 => (270, false),
        _ => return None,
    };
    Some(Mounting { rotate, mirror })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exif(value: u16, big: bool) -> Vec<u8> {
        let (head, tag, kind, count, value) = if big {
            (
                *b"MM\0*\0\0\0\x08\0\x01",
                0x112u16.to_be_bytes(),
                3u16.to_be_bytes(),
                1u32.to_be_bytes(),
                value.to_be_bytes(),
            )
        } else {
            (
                *b"II*\0\x08\0\0\0\x01\0",
                0x112u16.to_le_bytes(),
                3u16.to_le_bytes(),
                1u32.to_le_bytes(),
                value.to_le_bytes(),
            )
        };
        [&head[..], &tag, &kind, &count, &value, &[0, 0]].concat()
    }

    #[test]
    fn every_orientation_comes_upright() {
        // Upright: 1 2 3 over 4 5 6. What a file of each orientation stores, by the standard's rows and columns.
        let stored: [(usize, [u8; 6]); 8] = [
            (3, [1, 2, 3, 4, 5, 6]),
            (3, [3, 2, 1, 6, 5, 4]),
            (3, [6, 5, 4, 3, 2, 1]),
            (3, [4, 5, 6, 1, 2, 3]),
            (2, [1, 4, 2, 5, 3, 6]),
            (2, [3, 6, 2, 5, 1, 4]),
            (2, [6, 3, 5, 2, 4, 1]),
            (2, [4, 1, 5, 2, 6, 3]),
        ];
        for (k, (width, luma)) in stored.into_iter().enumerate() {
            for big in [false, true] {
                let mut luma = luma.to_vec();
                let turn = orientation(&exif(k as u16 + 1, big)).unwrap_or_default();
                let size = turn.turn((width, 6 / width), &mut luma, &mut Vec::new());
                assert_eq!((size, luma), ((3, 2), vec![1, 2, 3, 4, 5, 6]), "orientation {}", k + 1);
            }
        }
        assert_eq!(orientation(b"II*\0\xff\xff\xff\xff"), None);
        assert_eq!(orientation(&exif(6, true)[..12]), None);
    }

    #[test]
    fn an_exif_block_is_found_behind_junk() {
        let exif = exif(6, true);
        let segment = [&b"\xff\xe1"[..], &(exif.len() as u16 + 8).to_be_bytes(), b"Exif\0\0", &exif].concat();
        let other = b"\xff\xe0\0\x04ab";
        for before in [&b""[..], other, b"\xff\xff", b"\x11\x22", b"\xff\xfe\0\0", b"\xff\xd8"] {
            for lead in [&b""[..], b"\0\0"] {
                let file = [lead, b"\xff\xd8", before, other, &segment, b"\xff\xda\0\x02"].concat();
                assert_eq!(jpeg_exif(&file), Some(&exif[..]), "{before:?}");
            }
        }
        assert_eq!(jpeg_exif(&[b"\xff\xd8\xff\xda\0\x02", &segment[..]].concat()), None);
        assert_eq!(jpeg_exif(b"\xff\xd8\xff\xe1\xff"), None);
    }

    #[test]
    fn bits_of_wide_samples() {
        assert_eq!(significant_bits(1023, false), 10);
        assert_eq!(significant_bits(1024, false), 12);
        assert_eq!(significant_bits(65_535, false), 16);
        assert_eq!(significant_bits(1023, true), 16);
    }
}
