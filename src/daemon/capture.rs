//! The capture thread and its sources: camera, clip, synthetic subject.
//!
//! The thread ticks at least every [`WAIT`], also while there is no camera, so that an unplugged camera
//! is a state and not a hang. After an error the source is closed and opened anew, with backoff.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use glint::clip::Media;
use glint::frame::{Frame, Mounting};
use glint::synth::{Scene, Script, Subject};

use super::camera::{self, Camera, CameraSettings};
use super::clock::monotonic_ns;
use super::media::{Footage, Selection};

/// Longest time without a look at the flags.
pub(crate) const WAIT: Duration = Duration::from_millis(100);
/// A camera that is silent for so long is opened anew.
const SILENCE: Duration = Duration::from_secs(3);
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

/// What a source has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Grab {
    /// The frame was filled.
    Frame,
    /// A frame that could not be decoded.
    Gap {
        /// Its number.
        seq: u64,
        /// Its time.
        at_ns: i64,
    },
    /// A damaged frame, whose number will be missing.
    Damaged,
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
}

/// Opens a source; called again after each failure.
pub(crate) type Opener = Box<dyn FnMut() -> Result<Box<dyn FrameSource>, String> + Send>;

/// What the vision thread gets.
#[derive(Debug)]
pub(crate) enum Item {
    /// A frame; its buffer is given back.
    Frame(Frame),
    /// A frame that could not be decoded.
    Gap {
        /// Its number.
        seq: u64,
        /// Its time.
        at_ns: i64,
    },
    /// The source was opened anew.
    Opened,
}

/// Sleeps in steps, so that a stop is seen; ticks.
fn sleep(shared: &Shared, time: Duration) {
    let until = monotonic_ns() + time.as_nanos() as i64;
    while !shared.stop.load(Relaxed) {
        let now = monotonic_ns();
        shared.capture_tick.store(now, Relaxed);
        if now >= until {
            return;
        }
        std::thread::sleep(WAIT.min(Duration::from_nanos((until - now) as u64)));
    }
}

/// The capture thread: ends when it is told to, when vision is gone, or with the source.
pub(crate) fn run(mut open: Opener, items: &SyncSender<Item>, spare: &Receiver<Frame>, shared: &Arc<Shared>) {
    let mut backoff = BACKOFF.0;
    let mut complaint = String::new();
    while !shared.stop.load(Relaxed) {
        if shared.pause.load(Relaxed) {
            shared.closed.store(true, Relaxed);
            sleep(shared, WAIT);
            continue;
        }
        shared.closed.store(false, Relaxed);
        let ended = match open() {
            Ok(mut source) => {
                if items.send(Item::Opened).is_err() {
                    return;
                }
                complaint.clear();
                let ended = drain(source.as_mut(), items, spare, shared, &mut backoff);
                drop(source);
                ended
            }
            Err(reason) => Err(reason),
        };
        match ended {
            Ok(Ended::Paused) => {}
            Ok(Ended::Finished) => return,
            Err(reason) => {
                shared.no_source.store(true, Relaxed);
                if complaint != reason {
                    tracing::warn!(reason, "no frames; trying again");
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
    items: &SyncSender<Item>,
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
            Grab::Frame => Item::Frame(frame),
            Grab::Gap { seq, at_ns } => {
                shared.damaged.fetch_add(1, Relaxed);
                Item::Gap { seq, at_ns }
            }
            Grab::Damaged => {
                shared.damaged.fetch_add(1, Relaxed);
                continue;
            }
            Grab::Timeout => {
                if source.live() && now - last_frame_ns > SILENCE.as_nanos() as i64 {
                    return Err("the camera is silent".into());
                }
                continue;
            }
            Grab::End => return Ok(Ended::Finished),
        };
        last_frame_ns = now;
        *backoff = BACKOFF.0;
        shared.no_source.store(false, Relaxed);
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

/// Waits for the time of a frame, in steps; false where it is not due yet.
fn due(at_ns: i64) -> bool {
    let wait = Duration::from_nanos((at_ns - monotonic_ns()).max(0) as u64);
    std::thread::sleep(wait.min(WAIT));
    wait <= WAIT
}

/// A camera of the kernel.
pub(crate) struct CameraSource {
    camera: Camera,
    mounting: Mounting,
    scratch: Vec<u8>,
}

impl CameraSource {
    /// Opens a device node, or the first camera.
    pub(crate) fn open(
        path: Option<&PathBuf>,
        settings: &CameraSettings,
        mounting: Mounting,
    ) -> Result<Self, String> {
        let path = match path {
            Some(path) => path.clone(),
            None => camera::nodes().into_iter().next().map(|n| n.path).ok_or("no camera")?,
        };
        let camera = Camera::open(&path, settings).map_err(|e| format!("{}: {e}", path.display()))?;
        tracing::info!(camera = %path.display(), mode = camera.description(), "camera is open");
        Ok(Self { camera, mounting, scratch: Vec::new() })
    }
}

impl FrameSource for CameraSource {
    fn next(&mut self, frame: &mut Frame) -> Result<Grab, String> {
        match self.camera.next(frame, WAIT).map_err(|e| e.to_string())? {
            camera::Next::Frame => {
                self.mounting.apply(frame, &mut self.scratch);
                Ok(Grab::Frame)
            }
            camera::Next::Timeout => Ok(Grab::Timeout),
            camera::Next::Dropped => Ok(Grab::Damaged),
        }
    }

    fn live(&self) -> bool {
        true
    }
}

/// Frames that are decoded before their time.
const AHEAD: usize = 2;

/// A clip at its own rate, once. It is decoded by a thread of its own: a program or a network behind it may stall, and
/// the capture thread has to tick.
pub(crate) struct ClipSource {
    path: PathBuf,
    decoded: Receiver<Result<(Media, Frame), String>>,
    spare: Sender<Frame>,
    start_ns: i64,
    waiting: Option<(Media, Frame)>,
}

impl ClipSource {
    /// Opens a clip, as much of it as is selected.
    pub(crate) fn open(path: &Path, selection: Selection) -> Result<Self, String> {
        let footage = Footage::open(path, selection).map_err(|e| e.to_string())?;
        let (frames, decoded) = sync_channel(AHEAD);
        let (spare, empty) = channel();
        let thread = std::thread::Builder::new().name("clip".into());
        thread.spawn(move || decode(footage, &frames, &empty)).map_err(|e| e.to_string())?;
        Ok(Self { path: path.to_owned(), decoded, spare, start_ns: monotonic_ns(), waiting: None })
    }
}

/// Decodes a clip until its end, or until nobody wants its frames.
fn decode(
    mut footage: Footage,
    frames: &SyncSender<Result<(Media, Frame), String>>,
    empty: &Receiver<Frame>,
) {
    loop {
        let mut frame = empty.try_recv().unwrap_or_default();
        let next = match footage.next(&mut frame) {
            Ok(Some(media)) => Ok((media, frame)),
            Ok(None) => return,
            Err(error) => Err(error.to_string()),
        };
        let failed = next.is_err();
        if frames.send(next).is_err() || failed {
            return;
        }
    }
}

impl FrameSource for ClipSource {
    fn next(&mut self, frame: &mut Frame) -> Result<Grab, String> {
        let (media, mut ready) = match self.waiting.take() {
            Some(waiting) => waiting,
            None => match self.decoded.recv_timeout(WAIT) {
                Ok(Ok(decoded)) => decoded,
                Ok(Err(error)) => {
                    // It would end at the same place again: what came before it counts.
                    tracing::error!("{error}");
                    return Ok(Grab::End);
                }
                Err(RecvTimeoutError::Timeout) => return Ok(Grab::Timeout),
                Err(RecvTimeoutError::Disconnected) => return Ok(Grab::End),
            },
        };
        let at_ns = match &media {
            Media::Frame => ready.at_ns,
            Media::Gap { at_ns, .. } => *at_ns,
        } + self.start_ns;
        if !due(at_ns) {
            self.waiting = Some((media, ready));
            return Ok(Grab::Timeout);
        }
        match media {
            Media::Frame => {
                ready.at_ns = at_ns;
                // Where the thread has ended, the buffer is not needed.
                let _ = self.spare.send(std::mem::replace(frame, ready));
                Ok(Grab::Frame)
            }
            Media::Gap { seq, reason, .. } => {
                tracing::warn!(clip = %self.path.display(), frame = seq, reason, "frame not decoded");
                Ok(Grab::Gap { seq, at_ns })
            }
        }
    }
}

/// The synthetic subject at a steady rate, in real time or as fast as it can be drawn, if that is slower.
pub(crate) struct SyntheticSource {
    scene: Scene,
    fps: f64,
    frames: u64,
    seq: u64,
    start_ns: i64,
}

impl SyntheticSource {
    /// A subject that follows `script` from `start_ns` on, for so many frames.
    pub(crate) fn new(script: Script, fps: f64, frames: u64, start_ns: i64) -> Result<Self, String> {
        let pack = glint::synth::Pack::embedded().map_err(|e| e.to_string())?;
        let scene = Scene::new(Subject::random(pack, 7), script, glint::synth::Camera::default());
        Ok(Self { scene, fps, frames, seq: 0, start_ns })
    }
}

impl FrameSource for SyntheticSource {
    fn next(&mut self, frame: &mut Frame) -> Result<Grab, String> {
        if self.seq >= self.frames {
            return Ok(Grab::End);
        }
        let at_ns = (self.seq as f64 * 1e9 / self.fps).round() as i64;
        if !due(self.start_ns + at_ns) {
            return Ok(Grab::Timeout);
        }
        self.scene.render(self.seq, at_ns, frame);
        frame.at_ns = self.start_ns + at_ns;
        self.seq += 1;
        Ok(Grab::Frame)
    }
}
