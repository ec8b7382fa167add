//! One video frame as luma, with its sequence number and time.

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
