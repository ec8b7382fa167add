//! The chunks of a RIFF file by position, and where they go on after damage.

use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::clip::read_up_to;

/// Bytes that are searched at once.
const BLOCK: usize = 1 << 16;
/// Zeros between chunks that are stepped over without a search.
const FEW: usize = 16;

/// The head of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Where it stands.
    pub(super) at: u64,
    /// Four bytes.
    pub(super) id: [u8; 4],
    /// Bytes behind it.
    pub(super) size: u32,
}

impl Head {
    /// Where its bytes begin.
    pub(super) fn data(self) -> u64 {
        self.at + 8
    }

    /// Where its bytes end, without padding.
    pub(super) fn end(self) -> u64 {
        self.data() + u64::from(self.size)
    }

    /// Number of the stream and kind of a chunk of media: `00dc` is (0, "dc").
    pub(super) fn stream(self) -> Option<(u8, [u8; 2])> {
        let [a, b, c, d] = self.id;
        let kind = c.is_ascii_alphabetic() && d.is_ascii_alphabetic() || (c, d) == (b'_', b'_');
        (a.is_ascii_digit() && b.is_ascii_digit() && kind).then(|| ((a - b'0') * 10 + b - b'0', [c, d]))
    }
}

/// What lies between two places that cannot be followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hole {
    /// Where the chunks go on; the length of the file where they do not.
    pub(super) end: u64,
    /// Whether there are only zeros in it.
    pub(super) zeros: bool,
    /// Pictures that seem to begin in it, as JPEG.
    pub(super) pictures: u64,
}

/// A file of chunks.
pub(super) struct Chunks {
    reader: BufReader<std::fs::File>,
    /// Where `reader` stands.
    at: u64,
    /// Bytes of the file.
    pub(super) length: u64,
}

impl Chunks {
    pub(super) fn new(file: std::fs::File) -> std::io::Result<Self> {
        let length = file.metadata()?.len();
        let mut reader = BufReader::with_capacity(BLOCK, file);
        reader.seek(SeekFrom::Start(0))?;
        Ok(Self { reader, at: 0, length })
    }

    fn seek(&mut self, to: u64) -> std::io::Result<()> {
        // Sizes are of 32 bits and places lie within the file.
        self.reader.seek_relative(to as i64 - self.at as i64)?;
        self.at = to;
        Ok(())
    }

    /// Bytes from a place; fewer at the end of the file. The buffer grows as bytes come, not on a header's word.
    pub(super) fn read(&mut self, at: u64, count: u64, out: &mut Vec<u8>) -> std::io::Result<usize> {
        self.seek(at)?;
        out.clear();
        let n = self.reader.by_ref().take(count).read_to_end(out)?;
        self.at += n as u64;
        Ok(n)
    }

    fn fill(&mut self, at: u64, out: &mut [u8]) -> std::io::Result<usize> {
        self.seek(at)?;
        let n = read_up_to(&mut self.reader, out)?;
        self.at += n as u64;
        Ok(n)
    }

    /// The head of the chunk at a place; `None` where fewer than eight bytes are left.
    pub(super) fn head(&mut self, at: u64) -> std::io::Result<Option<Head>> {
        let mut b = [0; 8];
        let n = self.fill(at, &mut b)?;
        let [a, c, d, e, size @ ..] = b;
        Ok((n == 8).then(|| Head { at, id: [a, c, d, e], size: u32::from_le_bytes(size) }))
    }

    /// The kind of a list: the four bytes behind its head.
    pub(super) fn kind(&mut self, list: Head) -> std::io::Result<[u8; 4]> {
        let mut kind = [0; 4];
        self.fill(list.data(), &mut kind)?;
        Ok(kind)
    }

    /// Whether a chunk can be what its head says: a known name, and bytes that are there. What an unfinished
    /// recording says of the size of a list counts for nothing.
    pub(super) fn plausible(&self, head: Head) -> bool {
        match &head.id {
            b"LIST" | b"RIFF" => true,
            b"idx1" | b"JUNK" | b"junk" | b"odml" | b"indx" => head.end() <= self.length,
            [b'i', b'x', a, b] if a.is_ascii_digit() && b.is_ascii_digit() => head.end() <= self.length,
            _ => head.stream().is_some() && head.end() <= self.length,
        }
    }

    /// Where the chunk behind this one begins: with or without a byte of padding, behind a few zeros, or at the end
    /// of the file. `None` where nothing that can be a chunk follows.
    pub(super) fn after(&mut self, head: Head) -> std::io::Result<Option<u64>> {
        let padded = head.end() + u64::from(head.size & 1);
        if head.end() == self.length || padded == self.length {
            return Ok(Some(self.length));
        }
        if head.end() > self.length {
            return Ok(None);
        }
        let mut b = [0; FEW + 8];
        let n = self.fill(head.end(), &mut b)?;
        let begins = |at: usize| {
            let [a, c, d, e, size @ ..] = *b.get(at..n)?.first_chunk::<8>()?;
            let head = Head { at: head.end() + at as u64, id: [a, c, d, e], size: u32::from_le_bytes(size) };
            self.plausible(head).then_some(head.at)
        };
        // The padding may be any byte; what is more than that has to be zero.
        if let Some(at) = begins((head.size & 1) as usize).or_else(|| begins(0)) {
            return Ok(Some(at));
        }
        let zeros = b[..n].iter().position(|v| *v != 0).unwrap_or(n);
        if zeros == n {
            // More of them: a search will tell what comes behind.
            return Ok(Some(padded));
        }
        Ok(begins(zeros))
    }

    /// Searches for the next chunk that can be one, from a place on.
    pub(super) fn search(&mut self, from: u64) -> std::io::Result<Hole> {
        let mut hole = Hole { end: self.length, zeros: true, pictures: 0 };
        let mut block = Vec::new();
        let mut at = from;
        while at < self.length {
            // Heads and markers lie across the borders of blocks: the last bytes are looked at again.
            let n = self.read(at, BLOCK as u64, &mut block)?;
            if n == 0 {
                break;
            }
            let last = at + n as u64 >= self.length;
            let count = if last { n } else { n.saturating_sub(7) };
            for i in 0..count {
                let here = &block[i..];
                if here[0] == 0 {
                    continue;
                }
                if let Some([a, b, c, d, size @ ..]) = here.first_chunk::<8>() {
                    let head =
                        Head { at: at + i as u64, id: [*a, *b, *c, *d], size: u32::from_le_bytes(*size) };
                    if self.plausible(head) {
                        return Ok(Hole { end: head.at, ..hole });
                    }
                }
                hole.zeros = false;
                hole.pictures += u64::from(here.starts_with(b"\xff\xd8\xff"));
            }
            at += count.max(1) as u64;
        }
        Ok(hole)
    }
}
