//! `source.kind = "command"`: frames of a child process.
//!
//! A thread of its own reads the pipe, so that the capture thread waits for nobody. It keeps two frames; what comes while
//! nobody takes them is counted and dropped, and its numbers are missing. The program ends with the source.

use std::io::{BufRead, BufReader};
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use glint::clip::{Live, LiveReader, PipeFormat};
use glint::frame::{Frame, Mounting};

use super::child::Process;
use super::stamps::Stamper;
use crate::daemon::clock::monotonic_ns;
use crate::daemon::grab::{FrameSource, Grab, SILENCE, WAIT};

/// Frames between the pipe and the capture thread.
const KEPT: usize = 2;
/// A program may take so long for its first frame: a network camera is asked, and waits for a whole picture.
const START: Duration = Duration::from_secs(15);
/// So many damaged frames in a row are no frames.
const MAX_DAMAGED: u32 = 30;

/// What comes out of the pipe.
enum PipedFrame {
    Frame(Frame),
    Damaged { seq: u64, at_ns: i64 },
}

/// The frames of a child process.
pub(crate) struct PipedSource {
    process: Process,
    arrived: Receiver<Result<PipedFrame, String>>,
    spare: Sender<Frame>,
    dropped: Arc<AtomicU64>,
    mounting: Mounting,
    scratch: Vec<u8>,
    started: bool,
}

impl PipedSource {
    /// Starts a program that writes frames of a layout on its standard output.
    pub(crate) fn open(command: &[String], layout: PipeFormat, mounting: Mounting) -> Result<Self, String> {
        let (process, pipe) = Process::start(command)?;
        let (frames, arrived) = sync_channel(KEPT);
        let (spare, empty) = channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        // It ends with the pipe, or when nobody takes its frames.
        let thread = std::thread::Builder::new().name("pipe".into());
        let reader = move || {
            if let Err(reason) = read(layout, pipe, &frames, &empty, &lost) {
                // Where the source has gone meanwhile, nobody wants to know.
                let _ = frames.send(Err(reason));
            }
        };
        thread.spawn(reader).map_err(|e| e.to_string())?;
        tracing::info!("{} is started", process.name());
        Ok(Self { process, arrived, spare, dropped, mounting, scratch: Vec::new(), started: false })
    }
}

/// Hands over frames until the pipe ends, or nobody takes them.
fn read(
    layout: PipeFormat,
    pipe: ChildStdout,
    frames: &SyncSender<Result<PipedFrame, String>>,
    empty: &Receiver<Frame>,
    dropped: &AtomicU64,
) -> Result<(), String> {
    let mut pipe = BufReader::new(pipe);
    // Who ends without a word has a reason, and it is not that of a header that is missing.
    if pipe.fill_buf().is_ok_and(<[u8]>::is_empty) {
        return Ok(());
    }
    let mut reader = LiveReader::new(layout, pipe)?;
    let mut stamper = Stamper::default();
    let mut kept: Option<Frame> = None;
    let (mut seq, mut damaged) = (0, 0);
    loop {
        let mut frame = kept.take().or_else(|| empty.try_recv().ok()).unwrap_or_default();
        let mut began_ns = None;
        let arrival = match reader.next(&mut frame.luma, &mut || began_ns = Some(monotonic_ns()))? {
            Live::End => return Ok(()),
            Live::Frame { width, height, time_ns } => {
                damaged = 0;
                let at_ns = stamper.stamp(began_ns.unwrap_or_else(monotonic_ns), time_ns);
                PipedFrame::Frame(Frame { seq, at_ns, width, height, ..frame })
            }
            Live::Damaged(reason) => {
                damaged += 1;
                if damaged == MAX_DAMAGED {
                    return Err(format!("{damaged} frames in a row cannot be decoded: {reason}"));
                }
                kept = Some(frame);
                PipedFrame::Damaged { seq, at_ns: began_ns.unwrap_or_else(monotonic_ns) }
            }
        };
        seq += 1;
        match frames.try_send(Ok(arrival)) {
            Ok(()) => {}
            Err(TrySendError::Full(unwanted)) => {
                dropped.fetch_add(1, Relaxed);
                if let Ok(PipedFrame::Frame(frame)) = unwanted {
                    kept = Some(frame);
                }
            }
            Err(TrySendError::Disconnected(_)) => return Ok(()),
        }
    }
}

impl FrameSource for PipedSource {
    fn next(&mut self, frame: &mut Frame) -> Result<Grab, String> {
        match self.arrived.recv_timeout(WAIT) {
            Ok(Ok(PipedFrame::Frame(ready))) => {
                if !std::mem::replace(&mut self.started, true) {
                    let size = format!("{}x{}", ready.width, ready.height);
                    tracing::info!(size, "{} delivers frames", self.process.name());
                }
                // Where the thread has ended, the buffer is not needed.
                let _ = self.spare.send(std::mem::replace(frame, ready));
                self.mounting.apply(frame, &mut self.scratch);
                Ok(Grab::Frame)
            }
            Ok(Ok(PipedFrame::Damaged { seq, at_ns })) => Ok(Grab::Damaged(Some((seq, at_ns)))),
            Ok(Err(reason)) => Err(format!("{}: {reason}", self.process.name())),
            Err(RecvTimeoutError::Timeout) => Ok(Grab::Timeout),
            Err(RecvTimeoutError::Disconnected) => Err(self.process.ending(WAIT)),
        }
    }

    fn live(&self) -> bool {
        true
    }

    fn patience(&self) -> Duration {
        if self.started { SILENCE } else { START }
    }

    fn dropped(&mut self) -> u64 {
        self.dropped.swap(0, Relaxed)
    }
}
