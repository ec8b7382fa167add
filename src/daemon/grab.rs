//! What a source of frames is, and what it has at a time.

use std::time::Duration;

use glint::frame::Frame;

/// Longest time without a look at the flags.
pub(crate) const WAIT: Duration = Duration::from_millis(100);
/// A camera that is silent for so long is opened anew.
pub(crate) const SILENCE: Duration = Duration::from_secs(3);

/// What a source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grab {
    /// The frame was filled.
    Frame,
    /// A frame that could not be decoded: its number and time, where the source knows them. Where it does not, the number
    /// will be missing.
    Damaged(Option<(u64, i64)>),
    /// Nothing within the time.
    Timeout,
    /// Nothing will come any more.
    End,
}

/// Where frames come from. Times are of the kernel's monotonic clock.
pub(crate) trait FrameSource: Send {
    /// Waits for the next frame, not longer than [`WAIT`]. An error means: open anew.
    fn next(&mut self, frame: &mut Frame) -> Result<Grab, String>;
    /// Whether frames may be lost: a camera does not wait.
    fn live(&self) -> bool {
        false
    }
    /// How long a live source may be silent.
    fn patience(&self) -> Duration {
        SILENCE
    }
    /// Frames that the source itself has dropped since it was asked last.
    fn dropped(&mut self) -> u64 {
        0
    }
}

/// Opens a source; called again after each failure.
pub(crate) type Opener = Box<dyn FnMut() -> Result<Box<dyn FrameSource>, String> + Send>;
