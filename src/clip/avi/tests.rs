//! Files as recorders leave them, made from a good one by what went wrong.

use std::path::Path;

use crate::clip::tests::{picture, read_all};
use crate::clip::{AviWriter, Clip, ClipError, Codec, Rate};
use crate::frame::Frame;

const SIZE: (usize, usize) = (64, 48);
const RATE: Rate = Rate { num: 100, den: 1 };
/// Where the first chunk of a file of [`AviWriter`] stands.
const FIRST: usize = 236;

/// A file of 12 frames.
fn valid_file(dir: &Path, codec: Codec) -> Vec<u8> {
    let path = dir.join("good.avi");
    let mut writer = AviWriter::create(&path, RATE, SIZE, codec).expect("creates");
    (0..12).for_each(|seq| writer.write(&picture(seq, SIZE.0, SIZE.1)).expect("writes"));
    writer.finish().expect("finishes");
    std::fs::read(path).expect("reads")
}

/// The frames of a good file as they are coded.
fn coded(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut at, mut out) = (FIRST, Vec::new());
    while bytes[at..].starts_with(b"00dc") {
        let size = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().expect("four")) as usize;
        out.push(bytes[at + 8..at + 8 + size].to_vec());
        at += 8 + size.next_multiple_of(2);
    }
    out
}

/// Where chunk `n` of a good file stands.
fn chunk_at(bytes: &[u8], n: usize) -> usize {
    FIRST + coded(bytes)[..n].iter().map(|c| 8 + c.len().next_multiple_of(2)).sum::<usize>()
}

type Read = (Vec<Frame>, Vec<u64>, Option<ClipError>);

fn read(dir: &Path, bytes: &[u8]) -> Read {
    let path = dir.join("x.avi");
    std::fs::write(&path, bytes).expect("writes");
    read_all(&mut Clip::open(&path, None).expect("opens"))
}

/// All frames are there, each at its own time.
fn assert_whole(what: &str, (frames, gaps, error): &Read) {
    assert!(error.is_none() && gaps.is_empty(), "{what}: {error:?} {gaps:?}");
    let times: Vec<(u64, i64)> = frames.iter().map(|f| (f.seq, f.at_ns)).collect();
    assert_eq!(times, (0..12).map(|n| (n, n as i64 * 10_000_000)).collect::<Vec<_>>(), "{what}");
    for (n, f) in frames.iter().enumerate() {
        let truth = picture(n as u64, SIZE.0, SIZE.1);
        let off = f.luma.iter().zip(truth).map(|(a, b)| a.abs_diff(b)).max();
        // Waves of so many gray levels are lost in JPEG at their steps.
        assert!(off.expect("samples") < 100, "{what}: frame {n}");
    }
}

fn chunk(id: &[u8; 4], data: &[u8], padding: usize) -> Vec<u8> {
    [&id[..], &(data.len() as u32).to_le_bytes(), data, &vec![0; padding]].concat()
}

#[test]
fn chunks_without_padding_or_with_too_much() {
    let dir = tempfile::tempdir().expect("folder");
    let bytes = valid_file(dir.path(), Codec::Mjpeg(90));
    let odd: Vec<Vec<u8>> = coded(&bytes)
        .into_iter()
        .map(|mut c| {
            c.resize(c.len() | 1, 0);
            c
        })
        .collect();
    for (what, padding) in [("none", 0), ("one", 1), ("to four and more", 3), ("many", 11)] {
        let mut file = bytes[..FIRST].to_vec();
        odd.iter().for_each(|c| file.extend(chunk(b"00dc", c, padding)));
        assert_whole(what, &read(dir.path(), &file));
    }
}

#[test]
fn lists_continuations_and_zeros_between() {
    let dir = tempfile::tempdir().expect("folder");
    let bytes = valid_file(dir.path(), Codec::Mjpeg(90));
    let chunks: Vec<Vec<u8>> = coded(&bytes).iter().map(|c| chunk(b"00dc", c, c.len() % 2)).collect();
    let movi = chunk(b"LIST", &[b"movi".to_vec(), chunks[6..].concat()].concat(), 0);
    let second = chunk(b"RIFF", &[b"AVIX".to_vec(), movi].concat(), 0);
    for zeros in [0, 4, 5000] {
        let file = [&bytes[..FIRST], &chunks[..6].concat(), &vec![0; zeros], &second].concat();
        assert_whole("OpenDML", &read(dir.path(), &file));
    }
    let lists: Vec<u8> =
        chunks.iter().flat_map(|c| chunk(b"LIST", &[b"rec ".to_vec(), c.clone()].concat(), 0)).collect();
    assert_whole("rec", &read(dir.path(), &[&bytes[..FIRST], &lists].concat()));
    // Zeros between the header and the frames, and other names for them.
    let list = FIRST - 12;
    assert_whole("zeros", &read(dir.path(), &[&bytes[..list], &[0; 4], &bytes[list..]].concat()));
    for id in [b"00db", b"00DC", b"00__"] {
        let renamed: Vec<u8> = coded(&bytes).iter().flat_map(|c| chunk(id, c, c.len() % 2)).collect();
        assert_whole("id", &read(dir.path(), &[&bytes[..FIRST], &renamed].concat()));
    }
}

#[test]
fn damaged_heads_cost_no_frame_and_move_no_time() {
    let dir = tempfile::tempdir().expect("folder");
    for codec in [Codec::Mjpeg(90), Codec::Gray] {
        let bytes = valid_file(dir.path(), codec);
        let at = chunk_at(&bytes, 5);
        for (what, id, size) in [
            ("id", b"\x13\x77\x01\x02", None),
            ("size 0", b"00dc", Some(0u32)),
            ("size 5", b"00dc", Some(5)),
            ("size too large", b"00dc", Some(2 * SIZE.0 as u32 * SIZE.1 as u32)),
            ("size beyond the file", b"00dc", Some(200_000_000)),
        ] {
            let mut file = bytes.clone();
            file[at..at + 4].copy_from_slice(id);
            if let Some(size) = size {
                file[at + 4..at + 8].copy_from_slice(&size.to_le_bytes());
            }
            assert_whole(&format!("{what}, {codec:?}"), &read(dir.path(), &file));
        }
        // Head and picture: the frame is lost, in its place.
        let mut file = bytes.clone();
        file[at..at + 40].fill(0x55);
        if codec == Codec::Mjpeg(90) {
            file[at + 40..at + 60].fill(0xff);
            file[at + 8..at + 11].copy_from_slice(b"\xff\xd8\xff");
        } else {
            continue;
        }
        let (frames, gaps, error) = read(dir.path(), &file);
        assert!(error.is_none(), "{error:?}");
        assert_eq!((frames.len(), gaps), (11, vec![5]));
        assert_eq!(frames[10].at_ns, 110_000_000);
    }
}

#[test]
fn what_lies_under_a_hole_is_lost_in_its_place() {
    let dir = tempfile::tempdir().expect("folder");
    for codec in [Codec::Mjpeg(90), Codec::Gray] {
        let bytes = valid_file(dir.path(), codec);
        let at = |n| chunk_at(&bytes, n);
        // From, to, frames that are lost with their heads or without: a card that lost blocks.
        for (what, from, to, lost) in [
            ("a whole chunk", at(5), at(6), vec![5]),
            ("three chunks", at(5), at(8), vec![5, 6, 7]),
            ("the first", at(0), at(1), vec![0]),
            ("from the middle of one to the middle of another", at(5) + 200, at(8) + 200, vec![5, 6, 7, 8]),
        ] {
            for filling in [0, 0x55] {
                let mut file = bytes.clone();
                file[from..to].fill(filling);
                let (frames, _, error) = read(dir.path(), &file);
                assert!(error.is_none(), "{what}, {filling}, {codec:?}: {error:?}");
                let there: Vec<i64> = frames.iter().map(|f| f.at_ns / 10_000_000).collect();
                let mut expected: Vec<i64> = (0..12).filter(|n| !lost.contains(n)).collect();
                // A raw frame of the right size is one, whatever is in it; zeros alone are none.
                if codec == Codec::Gray && (lost.len() == 4 || lost.len() == 1 && filling != 0) {
                    expected.insert(lost[0] as usize, lost[0]);
                }
                assert_eq!(there, expected, "{what}, {filling}, {codec:?}");
            }
        }
        // Two holes share what is missing by their sizes.
        let mut file = bytes.clone();
        file[at(2)..at(3)].fill(0);
        file[at(6)..at(9)].fill(0);
        let times: Vec<i64> = read(dir.path(), &file).0.iter().map(|f| f.at_ns / 10_000_000).collect();
        assert_eq!(times, [0, 1, 3, 4, 5, 9, 10, 11], "{codec:?}");
        // Of a file that is cut as well the hole takes no more than it can hold.
        let times: Vec<i64> =
            read(dir.path(), &file[..at(10)]).0.iter().map(|f| f.at_ns / 10_000_000).collect();
        assert_eq!(times[..5], [0, 1, 3, 4, 5], "{codec:?}");
    }
}

#[test]
fn without_a_count_the_size_of_the_list_tells_of_an_end_that_is_missing() {
    let dir = tempfile::tempdir().expect("folder");
    let mut bytes = valid_file(dir.path(), Codec::Mjpeg(90));
    for field in [48, 140] {
        bytes[field..field + 4].fill(0);
    }
    assert_whole("no counts", &read(dir.path(), &bytes));
    let (frames, _, error) = read(dir.path(), &bytes[..chunk_at(&bytes, 7)]);
    assert!(frames.len() == 7 && matches!(error, Some(ClipError::Truncated { frame: 7, .. })), "{error:?}");
    // Nor a size: the head of a chunk that is cut does.
    bytes[FIRST - 8..FIRST - 4].fill(0);
    let (frames, _, error) = read(dir.path(), &bytes[..chunk_at(&bytes, 7) + 5]);
    assert!(frames.len() == 7 && matches!(error, Some(ClipError::Truncated { frame: 7, .. })), "{error:?}");
}

#[test]
fn a_file_that_ends_between_chunks_is_truncated() {
    let dir = tempfile::tempdir().expect("folder");
    let bytes = valid_file(dir.path(), Codec::Mjpeg(90));
    let at = chunk_at(&bytes, 7);
    for more in [0, 5, 8, 100] {
        let (frames, _, error) = read(dir.path(), &bytes[..at + more]);
        assert_eq!(frames.len(), 7, "{more}");
        let message = error.expect("truncated").to_string();
        let expected = if more < 8 {
            "x.avi: truncated: 7 frames; its header states 12"
        } else {
            "truncated in frame 7"
        };
        assert!(message.contains(expected), "{more}: {message}");
    }
    // A recorder that lost power before it wrote counts and sizes: what is there is whole.
    let mut unfinished = bytes[..at].to_vec();
    for field in [4, 48, 140, FIRST - 8] {
        unfinished[field..field + 4].fill(0);
    }
    let (frames, _, error) = read(dir.path(), &unfinished);
    assert!(frames.len() == 7 && error.is_none(), "{error:?}");
}

#[test]
fn empty_chunks_are_the_same_picture() {
    let dir = tempfile::tempdir().expect("folder");
    let bytes = valid_file(dir.path(), Codec::Mjpeg(90));
    let coded = coded(&bytes);
    let file = |empty: fn(usize) -> bool| {
        let mut file = bytes[..FIRST].to_vec();
        for (n, c) in coded.iter().enumerate() {
            file.extend(if empty(n) { chunk(b"00dc", &[], 0) } else { chunk(b"00dc", c, c.len() % 2) });
        }
        file
    };
    let times = |bytes: Vec<u8>| {
        let (frames, gaps, error) = read(dir.path(), &bytes);
        assert!(gaps.is_empty() && error.is_none(), "{error:?}");
        let numbers: Vec<u64> = frames.iter().map(|f| f.seq).collect();
        assert_eq!(numbers, (0..frames.len() as u64).collect::<Vec<_>>(), "nothing was lost");
        frames.iter().map(|f| f.at_ns / 10_000_000).collect::<Vec<_>>()
    };
    assert_eq!(times(file(|n| n % 2 == 1)), [0, 2, 4, 6, 8, 10]);
    assert_eq!(times(file(|n| n == 5)), [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]);
    // The first picture is at 0.
    assert_eq!(times(file(|n| n < 3)), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
}

/// A file of raw frames under the header of a good one: FOURCC, bits, width, height, palette.
fn raw(dir: &Path, code: &[u8; 4], bits: u16, (w, h): (i32, i32), palette: &[u8], frame: &[u8]) -> Frame {
    let valid = valid_file(dir, Codec::Gray);
    // The format stands before the filling, which gives way to the palette.
    let format = valid.windows(4).position(|b| b == b"strf").expect("a format");
    let mut file = valid[..format].to_vec();
    let mut body = valid[format + 8..format + 48].to_vec();
    body[4..8].copy_from_slice(&w.to_le_bytes());
    body[8..12].copy_from_slice(&h.to_le_bytes());
    body[14..16].copy_from_slice(&bits.to_le_bytes());
    body[16..20].copy_from_slice(code);
    body.extend(palette);
    file.extend(chunk(b"strf", &body, 0));
    let frames: Vec<u8> = (0..12).flat_map(|_| chunk(b"00db", frame, frame.len() % 2)).collect();
    file.extend(chunk(b"LIST", &[b"movi".to_vec(), frames].concat(), 0));
    let (frames, gaps, error) = read(dir, &file);
    assert!(gaps.is_empty() && error.is_none() && frames.len() == 12, "{error:?}");
    frames[11].clone()
}

#[test]
fn palettes_and_padded_rows() {
    let dir = tempfile::tempdir().expect("folder");
    let dir = dir.path();
    let inverted: Vec<u8> = (0..=255u8).flat_map(|v| [255 - v, 255 - v, 255 - v, 0]).collect();
    // Two rows of three pixels, padded to four, the lower one first.
    let padded = [1, 2, 3, 99, 4, 5, 6, 99];
    assert_eq!(raw(dir, b"\0\0\0\0", 8, (3, 2), &[], &padded).luma, [4, 5, 6, 1, 2, 3]);
    assert_eq!(raw(dir, b"\0\0\0\0", 8, (3, -2), &inverted, &padded).luma, [254, 253, 252, 251, 250, 249]);
    assert_eq!(raw(dir, b"Y800", 8, (3, 2), &[], &padded).luma, [1, 2, 3, 4, 5, 6]);
    assert_eq!(raw(dir, b"Y800", 8, (3, 2), &[], &[1, 2, 3, 4, 5, 6]).luma, [1, 2, 3, 4, 5, 6]);
    let packed = [1, 0, 2, 0, 3, 0, 99, 99, 4, 0, 5, 0, 6, 0, 99, 99];
    assert_eq!(raw(dir, b"YUY2", 16, (3, 2), &[], &packed).luma, [1, 2, 3, 4, 5, 6]);
}
