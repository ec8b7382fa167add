//! The capture thread: frames from a source to the vision thread.
//!
//! The thread ticks at least every [`WAIT`], also while there is no camera, so that an unplugged camera
//! is a state and not a hang. After an error the source is closed and opened anew, with backoff.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::Duration;

use glint::frame::Frame;

use crate::daemon::clock::monotonic_ns;
use crate::daemon::grab::{FrameSource, Grab, Opener, WAIT};

/// Waits between attempts to open: doubled after each failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// What the threads tell each other beside frames and events.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Everything ends.
    pub(crate) stop: AtomicBool,
    /// The camera has to be closed.
    pub(crate) pause: AtomicBool,
    /// The camera is closed because of `pause`.
    pub(crate) closed: AtomicBool,
    /// The camera was closed, or `no_source` has changed.
    pub(crate) changed: tokio::sync::Notify,
    /// The source could not be opened, or broke.
    pub(crate) no_source: AtomicBool,
    /// Take the present face as neutral.
    pub(crate) calibrate: AtomicBool,
    /// Last sign of life of the capture thread, in nanoseconds.
    pub(crate) capture_tick: AtomicI64,
    /// Last sign of life of the vision thread, in nanoseconds.
    pub(crate) vision_tick: AtomicI64,
    /// Frames that vision was too slow for.
    pub(crate) dropped: AtomicU64,
    /// Frames that were damaged.
    pub(crate) damaged: AtomicU64,
}

impl Shared {
    /// Notes whether frames are missing. A change is told at once: a source may be back before the next tick.
    fn lacks_source(&self, lacks: bool) {
        if self.no_source.swap(lacks, Relaxed) != lacks {
            self.changed.notify_one();
        }
    }
}

/// What the vision thread gets.
#[derive(Debug)]
pub(crate) enum Captured {
    /// A frame; its buffer is given back.
    Frame(Frame),
    /// A frame that could not be decoded.
    Damaged {
        /// Its number.
        seq: u64,
        /// Its time.
        at_ns: i64,
    },
    /// The source was opened anew.
    Opened,
}

/// Sleeps in steps, so that a stop or another word on `pause` is seen; ticks.
fn sleep(shared: &Shared, time: Duration) {
    let until = monotonic_ns() + time.as_nanos() as i64;
    let paused = shared.pause.load(Relaxed);
    while !shared.stop.load(Relaxed) && shared.pause.load(Relaxed) == paused {
        let now = monotonic_ns();
        shared.capture_tick.store(now, Relaxed);
        if now >= until {
            return;
        }
        std::thread::sleep(WAIT.min(Duration::from_nanos((until - now) as u64)));
    }
}

/// The capture thread: ends when it is told to, when vision is gone, or with the source.
pub(crate) fn run(
    mut open: Opener,
    items: &SyncSender<Captured>,
    spare: &Receiver<Frame>,
    shared: &Arc<Shared>,
) {
    let mut backoff = BACKOFF.0;
    let mut complaint = String::new();
    while !shared.stop.load(Relaxed) {
        if shared.pause.load(SeqCst) {
            if !shared.closed.swap(true, SeqCst) {
                shared.changed.notify_one();
            }
            sleep(shared, WAIT);
            continue;
        }
        shared.closed.store(false, SeqCst);
        // Looked at once more: whoever has set it meanwhile may have read that the camera is closed.
        if shared.pause.load(SeqCst) {
            continue;
        }
        let ended = match open() {
            Ok(mut source) => {
                if items.send(Captured::Opened).is_err() {
                    return;
                }
                let ended = drain(source.as_mut(), items, spare, shared, &mut backoff);
                drop(source);
                // Frames have come: what is wrong now is told again.
                if backoff == BACKOFF.0 {
                    complaint.clear();
                }
                ended
            }
            Err(reason) => Err(reason),
        };
        match ended {
            Ok(Ended::Paused) => {}
            Ok(Ended::Finished) => return,
            Err(reason) => {
                shared.lacks_source(true);
                if complaint != reason {
                    tracing::warn!(reason, "the source delivers no frames; trying again");
                    complaint = reason;
                }
                sleep(shared, backoff);
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
}

enum Ended {
    Paused,
    Finished,
}

fn drain(
    source: &mut dyn FrameSource,
    items: &SyncSender<Captured>,
    spare: &Receiver<Frame>,
    shared: &Shared,
    backoff: &mut Duration,
) -> Result<Ended, String> {
    let mut last_frame_ns = monotonic_ns();
    loop {
        let now = monotonic_ns();
        shared.capture_tick.store(now, Relaxed);
        if shared.stop.load(Relaxed) {
            return Ok(Ended::Finished);
        }
        if shared.pause.load(Relaxed) {
            return Ok(Ended::Paused);
        }
        let mut frame = spare.try_recv().unwrap_or_default();
        let item = match source.next(&mut frame)? {
            Grab::Frame => Captured::Frame(frame),
            Grab::Damaged(place) => {
                shared.damaged.fetch_add(1, Relaxed);
                let Some((seq, at_ns)) = place else { continue };
                Captured::Damaged { seq, at_ns }
            }
            Grab::Timeout => {
                if source.live() && now - last_frame_ns > source.patience().as_nanos() as i64 {
                    return Err("the camera delivers no frames".into());
                }
                continue;
            }
            Grab::End => return Ok(Ended::Finished),
        };
        last_frame_ns = now;
        shared.dropped.fetch_add(source.dropped(), Relaxed);
        *backoff = BACKOFF.0;
        shared.lacks_source(false);
        if source.live() {
            match items.try_send(item) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => _ = shared.dropped.fetch_add(1, Relaxed),
                Err(TrySendError::Disconnected(_)) => return Ok(Ended::Finished),
            }
        } else if items.send(item).is_err() {
            return Ok(Ended::Finished);
        }
    }
}
