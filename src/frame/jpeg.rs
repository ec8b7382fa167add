//! JPEG as cameras and recorders deliver it: without Huffman tables, with junk around it, two in one buffer, cut.
//!
//! Decoders fill what is missing with gray and say nothing, and a face with a gray chin seems to move. So each picture
//! is written anew before it is decoded: its segments that count, its entropy-coded data, and behind those a code that
//! no picture has. A decoder that runs out of data meets that code and fails.

mod huffman;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{FrameError, MAX_SIDE, check_size};
use huffman::STANDARD_HUFFMAN;

/// A code of ones alone belongs to no symbol (ITU-T T.81, annex C); longer than what a decoder reads ahead.
const NO_SYMBOL: [u8; 32] = {
    let mut out = [0xff; 32];
    let mut i = 1;
    while i < 32 {
        out[i] = 0;
        i += 2;
    }
    out
};
/// Pictures of one buffer that are tried.
const MAX_PICTURES: usize = 4;

/// Decodes JPEG to luma; keeps its buffers.
#[derive(Debug, Default)]
pub(super) struct JpegLuma {
    rebuilt: Vec<u8>,
    field: Vec<u8>,
}

fn fail(what: &str) -> FrameError {
    FrameError::Jpeg(what.into())
}

impl JpegLuma {
    /// The first whole picture of `data`, or its two fields woven. `expected` is the size by the container or camera,
    /// zeros where it is not known.
    pub(super) fn decode(
        &mut self,
        expected: (usize, usize),
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, usize), FrameError> {
        if data.is_empty() {
            return Err(fail("no bytes"));
        }
        // Junk may follow the start where that is the first thing in the buffer.
        let start = start_of_image(data, 0).or_else(|| data.starts_with(b"\xff\xd8").then_some(0));
        let mut at = start.ok_or_else(|| fail("no start of image"))?;
        let mut first = None;
        for _ in 0..MAX_PICTURES {
            match self.picture(&data[at..], out) {
                Ok(picture) => {
                    let rest = &data[at + picture.end..];
                    return self.weave(expected, &picture, rest, out);
                }
                Err(Failed { error, scan }) => {
                    first.get_or_insert(error);
                    // A start before the scan belongs to a thumbnail.
                    let Some(next) = scan.and_then(|scan| start_of_image(data, at + scan)) else { break };
                    at = next;
                }
            }
        }
        Err(first.unwrap_or_else(|| fail("no start of image")))
    }

    /// Joins a field with the one behind it; a whole picture stays as it is.
    fn weave(
        &mut self,
        (columns, rows): (usize, usize),
        first: &Picture,
        rest: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, usize), FrameError> {
        let (w, h) = (first.width, first.height);
        // Half the rows of the container (some of an odd number), or a writer that says so.
        let half = columns == w && rows > h && rows.abs_diff(2 * h) <= 16;
        let known = columns > 0;
        if !(half || first.field.is_some() && (!known || rows > h)) {
            return Ok((w, h));
        }
        let start = match start_of_image(rest, 0) {
            Some(start) => start,
            None if first.field.is_none() => return Ok((w, h)),
            None => return Err(fail("the second of two fields is missing")),
        };
        let mut field = std::mem::take(&mut self.field);
        let second = self.picture(&rest[start..], &mut field);
        self.field = field;
        let second = second.map_err(|e| FrameError::Jpeg(format!("second field: {}", e.error)))?;
        if (second.width, second.height) != (w, h) {
            return Err(fail("the two fields differ in size"));
        }
        check_size(w, 2 * h)?;
        // The first is the upper one unless it says otherwise.
        let lower_first = first.field == Some(2);
        out.resize(2 * w * h, 0);
        for y in (0..h).rev() {
            out.copy_within(y * w..(y + 1) * w, (2 * y + usize::from(lower_first)) * w);
            let other = 2 * y + usize::from(!lower_first);
            out[other * w..(other + 1) * w].copy_from_slice(&self.field[y * w..(y + 1) * w]);
        }
        Ok((w, 2 * h))
    }

    /// Decodes the picture that begins with `data`.
    fn picture(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<Picture, Failed> {
        self.rebuilt.clear();
        let mut walk = Walk { data, ..Walk::default() };
        let walked = walk.rebuild(&mut self.rebuilt);
        let scan = walk.scan;
        let decoded = walked.and_then(|end| {
            let (width, height) = walk.size.ok_or_else(|| fail("no size before the scan"))?;
            let options = DecoderOptions::default()
                .jpeg_set_out_colorspace(ColorSpace::Luma)
                .set_max_width(MAX_SIDE)
                .set_max_height(MAX_SIDE)
                .set_strict_mode(!walk.overruns());
            let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&self.rebuilt), options);
            let fail = |e: zune_jpeg::errors::DecodeErrors| FrameError::Jpeg(words(&e));
            decoder.decode_headers().map_err(fail)?;
            let size = decoder.output_buffer_size().ok_or_else(|| FrameError::Jpeg("no size".into()))?;
            if size != width * height {
                return Err(FrameError::Jpeg(format!("{size} samples for {width}x{height}")));
            }
            out.resize(size, 0);
            decoder.decode_into(out).map_err(fail)?;
            Ok(Picture { width, height, end, field: walk.field })
        });
        decoded.map_err(|error| Failed { error, scan })
    }
}

/// What a decoder says; running out of data is said plainly.
fn words(error: &zune_jpeg::errors::DecodeErrors) -> String {
    let message = format!("{error:?}");
    let cut = ["Bad Huffman Code", "Exhausted", "Premature", "No more bytes", "Code length"];
    if cut.iter().any(|c| message.contains(c)) { format!("cut or damaged ({message})") } else { message }
}

/// A decoded picture.
struct Picture {
    width: usize,
    height: usize,
    /// Where its data end.
    end: usize,
    /// Which field it is: 1 upper, 2 lower, by the AVI1 segment.
    field: Option<u8>,
}

/// Why there is none, and where its scan began.
struct Failed {
    error: FrameError,
    scan: Option<usize>,
}

/// Where a picture begins, from `from` on.
fn start_of_image(data: &[u8], from: usize) -> Option<usize> {
    let rest = data.get(from..)?;
    rest.windows(3).position(|w| w == [0xff, 0xd8, 0xff]).map(|at| from + at)
}

/// One component of a frame.
#[derive(Clone, Copy)]
struct Component {
    id: u8,
    horizontal: u8,
    vertical: u8,
}

/// Walks the segments of a picture.
#[derive(Default)]
struct Walk<'a> {
    data: &'a [u8],
    at: usize,
    size: Option<(usize, usize)>,
    progressive: bool,
    components: Vec<Component>,
    tables: bool,
    restart: usize,
    field: Option<u8>,
    /// Where the first scan begins.
    scan: Option<usize>,
    /// Scans so far, and components that had one.
    scans: usize,
    scanned: Vec<u8>,
    /// Components of the last scan.
    together: usize,
    /// By coefficient of the luma: the bits that are still missing.
    missing: Option<Vec<u8>>,
}

impl Walk<'_> {
    /// The next marker and its segment, without marker and length.
    fn segment(&mut self) -> Result<(u8, std::ops::Range<usize>), FrameError> {
        loop {
            // Between segments there may be fill bytes, and from some cameras junk.
            let lead = self.data[self.at.min(self.data.len())..].iter().position(|b| *b == 0xff);
            self.at += lead.ok_or_else(|| fail("cut"))? + 1;
            match self.data.get(self.at) {
                None => return Err(fail("cut")),
                Some(0xff) => {}
                // Stuffing, restarts, a start and TEM have no length.
                Some(0x00 | 0x01 | 0xd0..=0xd8) => self.at += 1,
                Some(0xd9) => {
                    self.at += 1;
                    return Ok((0xd9, self.at..self.at));
                }
                Some(&marker) => {
                    let length = self.data.get(self.at + 1..self.at + 3).ok_or_else(|| fail("cut"))?;
                    let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                    let range = self.at + 3..self.at + 1 + length;
                    if range.end > self.data.len() {
                        return Err(fail("cut"));
                    }
                    self.at = range.end;
                    return Ok((marker, range));
                }
            }
        }
    }

    /// Writes the picture anew; returns where it ends. Nothing is allocated on the word of a header alone.
    fn rebuild(&mut self, out: &mut Vec<u8>) -> Result<usize, FrameError> {
        out.extend([0xff, 0xd8]);
        self.at = 2;
        loop {
            let (marker, body) = match self.segment() {
                Ok(segment) => segment,
                // Behind the last scan nothing has to come.
                Err(_) if self.complete() => break,
                Err(e) => return Err(e),
            };
            let data = self.data;
            let segment = &data[body.clone()];
            let copy = |out: &mut Vec<u8>| {
                out.extend([0xff, marker]);
                out.extend((segment.len() as u16 + 2).to_be_bytes());
                out.extend_from_slice(segment);
            };
            match marker {
                // Start of frame, baseline to progressive; C4, C8 and CC are other things.
                0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    self.frame(marker, segment)?;
                    copy(out);
                }
                0xc4 => {
                    self.tables = true;
                    copy(out);
                }
                0xdd => {
                    let interval =
                        segment.first_chunk::<2>().ok_or_else(|| fail("invalid restart interval"))?;
                    self.restart = usize::from(u16::from_be_bytes(*interval));
                    copy(out);
                }
                // Quantization, arithmetic conditioning, Adobe's word on colours.
                0xdb | 0xcc | 0xee => copy(out),
                0xe0 if segment.starts_with(b"AVI1") => {
                    self.field = segment.get(4).copied().filter(|f| matches!(f, 1 | 2));
                }
                0xda => {
                    self.scan.get_or_insert(body.start);
                    if !self.tables {
                        out.extend_from_slice(&STANDARD_HUFFMAN);
                        self.tables = true;
                    }
                    copy(out);
                    self.scan_header(segment)?;
                    self.entropy(out)?;
                    if !self.progressive && self.complete() {
                        break;
                    }
                }
                0xd9 if self.scans > 0 => break,
                0xd9 => return Err(fail("the data ends before the scan")),
                _ => {}
            }
        }
        if !self.complete() {
            return Err(fail("scans are missing"));
        }
        if !self.overruns() {
            out.extend(NO_SYMBOL);
        }
        out.extend([0xff, 0xd9]);
        Ok(self.at)
    }

    fn frame(&mut self, marker: u8, b: &[u8]) -> Result<(), FrameError> {
        let [_, h0, h1, w0, w1, count, rest @ ..] = b else { return Err(fail("cut")) };
        let side = |a: u8, b: u8| usize::from(u16::from_be_bytes([a, b]));
        let size = (side(*w0, *w1), side(*h0, *h1));
        check_size(size.0, size.1)?;
        self.size = Some(size);
        self.progressive = matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce);
        self.components = rest
            .chunks_exact(3)
            .take(usize::from(*count))
            .map(|c| Component { id: c[0], horizontal: (c[1] >> 4).max(1), vertical: (c[1] & 15).max(1) })
            .collect();
        self.missing = self.progressive.then(|| vec![255; 64]);
        if self.components.is_empty() { Err(fail("the header names no components")) } else { Ok(()) }
    }

    fn scan_header(&mut self, b: &[u8]) -> Result<(), FrameError> {
        if self.size.is_none() {
            return Err(fail("no size before the scan"));
        }
        let count = usize::from(*b.first().ok_or_else(|| fail("cut"))?);
        let ids = b.get(1..1 + 2 * count).ok_or_else(|| fail("cut"))?;
        let spectral = b.get(1 + 2 * count..4 + 2 * count).ok_or_else(|| fail("cut"))?;
        self.scanned.extend(ids.chunks_exact(2).map(|c| c[0]));
        self.scans += 1;
        self.together = count;
        let luma = self.components.first().map_or(0, |c| c.id);
        if let Some(missing) = &mut self.missing
            && ids.chunks_exact(2).any(|c| c[0] == luma)
        {
            let (from, to) = (usize::from(spectral[0]).min(63), usize::from(spectral[1]).min(63));
            missing.iter_mut().take(to + 1).skip(from).for_each(|m| *m = spectral[2] & 15);
        }
        Ok(())
    }

    /// Copies entropy-coded data up to the next marker that is no restart.
    fn entropy(&mut self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let (start, mut at, mut restarts) = (self.at, self.at, 0);
        while at < self.data.len() {
            at += match self.data[at..].iter().position(|b| *b == 0xff) {
                Some(lead) => lead,
                None => {
                    at = self.data.len();
                    break;
                }
            };
            match self.data.get(at + 1) {
                Some(0x00) => at += 2,
                Some(0xd0..=0xd7) => {
                    restarts += 1;
                    at += 2;
                }
                Some(0xff) => at += 1,
                _ => break,
            }
        }
        let at = at.min(self.data.len());
        out.extend_from_slice(&self.data[start..at]);
        self.at = at;
        // Where one of the parts is missing, the others are in the wrong place.
        let all = self.together == self.components.len() && !self.progressive;
        if self.restart > 0 && all && restarts + 1 < self.units().div_ceil(self.restart) {
            return Err(fail("cut or damaged (restart markers are missing)"));
        }
        Ok(())
    }

    /// Units of a scan of all components.
    fn units(&self) -> usize {
        let (w, h) = self.size.unwrap_or_default();
        let most = |side: fn(&Component) -> u8| {
            if self.components.len() == 1 {
                return 1;
            }
            self.components.iter().map(|c| usize::from(side(c))).max().unwrap_or(1)
        };
        w.div_ceil(8 * most(|c| c.horizontal)) * h.div_ceil(8 * most(|c| c.vertical))
    }

    /// Whether the scans so far make a picture.
    fn complete(&self) -> bool {
        let luma = self.missing.as_ref().is_none_or(|m| m.iter().all(|m| *m == 0));
        self.scans > 0 && luma && self.components.iter().all(|c| self.scanned.contains(&c.id))
    }

    /// Whether the decoder reads more units than there are, which it does where chroma has half the rows and all
    /// columns: those are decoded on their word.
    fn overruns(&self) -> bool {
        let most = |side: fn(&Component) -> u8| self.components.iter().map(side).max().unwrap_or(1);
        self.components.len() > 1 && most(|c| c.vertical) > most(|c| c.horizontal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{LumaDecoder, PixelFormat};
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

    /// A picture of three channels.
    fn color(w: usize, h: usize, set: impl FnOnce(&mut jpeg_encoder::Encoder<&mut Vec<u8>>)) -> Vec<u8> {
        let rgb: Vec<u8> =
            (0..w * h).flat_map(|i| [(i * 7) as u8, (i / w * 5) as u8, (i % w * 3) as u8]).collect();
        let mut bytes = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 90);
        set(&mut encoder);
        encoder.encode(&rgb, w as u16, h as u16, jpeg_encoder::ColorType::Rgb).expect("encodes");
        bytes
    }

    fn decode(expected: (usize, usize), bytes: &[u8]) -> Result<((usize, usize), Vec<u8>), FrameError> {
        let mut out = Vec::new();
        let size =
            LumaDecoder::default().decode(PixelFormat::Mjpg, expected.0, expected.1, 0, bytes, &mut out)?;
        Ok((size, out))
    }

    #[test]
    fn a_cut_picture_is_no_picture() {
        use jpeg_encoder::SamplingFactor::{F_1_1, F_2_1, F_2_2, F_4_1};
        let gray = jpeg(100, 80).1;
        let mut kinds: Vec<(String, Vec<u8>)> =
            vec![("gray".into(), gray.clone()), ("bare".into(), without_tables(&gray))];
        for sampling in [F_1_1, F_2_1, F_2_2, F_4_1] {
            kinds.push((format!("{sampling:?}"), color(100, 80, |e| e.set_sampling_factor(sampling))));
        }
        kinds.push(("restarts".into(), color(100, 80, |e| e.set_restart_interval(3))));
        kinds.push(("progressive".into(), color(100, 80, |e| e.set_progressive(true))));
        kinds.push(("optimised".into(), color(100, 80, |e| e.set_optimized_huffman_tables(true))));
        for (what, bytes) in &kinds {
            let whole = decode((100, 80), bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(
                decode((100, 80), &bytes[..bytes.len() - 2]).as_ref(),
                Ok(&whole),
                "{what}: no end of image"
            );
            let scan = bytes.windows(2).position(|w| w == [0xff, 0xda]).expect("a scan") + 14;
            for share in [0.0, 0.3, 0.6, 0.9, 0.97] {
                let mut cut = bytes[..scan + ((bytes.len() - scan) as f32 * share) as usize].to_vec();
                assert!(decode((100, 80), &cut).is_err(), "{what}: cut at {share}");
                cut.extend([0xff, 0xd9]);
                assert!(decode((100, 80), &cut).is_err(), "{what}: cut at {share}, with an end of image");
            }
        }
        // Chroma of half the rows and all columns is decoded on its word.
        assert!(
            decode((0, 0), &color(100, 80, |e| e.set_sampling_factor(jpeg_encoder::SamplingFactor::F_1_2)))
                .is_ok()
        );
    }

    #[test]
    fn a_lost_part_between_restarts_is_noticed() {
        let bytes = color(100, 80, |e| e.set_restart_interval(3));
        let restarts: Vec<usize> =
            (0..bytes.len() - 1).filter(|&i| bytes[i] == 0xff && bytes[i + 1] & 0xf8 == 0xd0).collect();
        let lost = [&bytes[..restarts[1]], &bytes[restarts[2]..]].concat();
        assert!(decode((0, 0), &lost).expect_err("damaged").to_string().contains("restart markers"));
    }

    #[test]
    fn the_whole_picture_of_a_buffer_is_found() {
        let (a, b) = (jpeg(64, 48).1, color(64, 48, |_| {}));
        let whole = decode((64, 48), &a).expect("a picture");
        let with = |parts: &[&[u8]]| decode((64, 48), &parts.concat());
        for (what, decoded) in [
            ("junk before", with(&[&[0; 8], &a])),
            ("a tail before", with(&[&b[b.len() / 2..], &a])),
            ("half a picture before", with(&[&b[..b.len() - b.len() / 4], &a])),
            ("zeros behind", with(&[&a, &[0; 4096]])),
            ("another one behind", with(&[&a, &b[..b.len() / 2]])),
            ("fill bytes", with(&[&a[..2], &[0xff; 3], &a[2..]])),
            ("junk behind the start", with(&[&a[..2], &[0x11; 5], &a[2..]])),
            ("junk between segments", with(&[&a[..20], &[0, 0x11, 0x22], &a[20..]])),
            (
                "a thumbnail",
                with(&[&a[..2], &[0xff, 0xe1], &(b.len() as u16 + 2).to_be_bytes(), &b, &a[2..]]),
            ),
        ] {
            assert_eq!(decoded.as_ref(), Ok(&whole), "{what}");
        }
        assert!(decode((64, 48), &[0xff, 0xd8]).is_err() && decode((64, 48), b"no picture").is_err());
    }

    #[test]
    fn fields_are_woven() {
        let field = |value: u8, number: Option<u8>| {
            let mut bytes = Vec::new();
            jpeg_encoder::Encoder::new(&mut bytes, 100)
                .encode(&[value; 64 * 24], 64, 24, jpeg_encoder::ColorType::Luma)
                .expect("encodes");
            let app0 = number.map(|n| [&b"\xff\xe0\x00\x10AVI1"[..], &[n], &[0; 9]].concat());
            [&bytes[..2], &app0.unwrap_or_default(), &bytes[2..]].concat()
        };
        let rows = |a: Vec<u8>, b: Vec<u8>, size| {
            decode(size, &[a, b].concat()).map(|(size, luma)| (size, luma[0], luma[64]))
        };
        let (upper, lower) = (100, 200);
        assert_eq!(rows(field(upper, Some(1)), field(lower, Some(2)), (64, 48)), Ok(((64, 48), 100, 200)));
        assert_eq!(rows(field(lower, Some(2)), field(upper, Some(1)), (64, 48)), Ok(((64, 48), 100, 200)));
        assert_eq!(rows(field(upper, None), field(lower, None), (64, 48)), Ok(((64, 48), 100, 200)));
        assert_eq!(rows(field(upper, Some(1)), field(lower, Some(2)), (0, 0)), Ok(((64, 48), 100, 200)));
        // Whole pictures of the size that is expected.
        assert_eq!(rows(field(upper, None), field(lower, None), (64, 24)), Ok(((64, 24), 100, 100)));
        let half = field(lower, Some(2));
        assert!(rows(field(upper, Some(1)), half[..half.len() - 20].to_vec(), (64, 48)).is_err());
        assert!(rows(field(upper, Some(1)), Vec::new(), (64, 48)).is_err());
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
