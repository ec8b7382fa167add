//! Where frames come from: a camera, a clip, the synthetic subject.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use glint::clip::{Media, display_name};
use glint::frame::{Frame, Mounting};
use glint::synth::{Scene, Script, Subject};

use super::footage::{Footage, Selection};
use crate::daemon::camera::{self, CameraSettings, V4l2Camera};
use crate::daemon::clock::monotonic_ns;
use crate::daemon::grab::{FrameSource, Grab, WAIT};

/// Waits for the time of a frame, in steps; false where it is not due yet.
fn due(at_ns: i64) -> bool {
    let wait = Duration::from_nanos((at_ns - monotonic_ns()).max(0) as u64);
    std::thread::sleep(wait.min(WAIT));
    wait <= WAIT
}

/// A camera of the kernel.
pub(crate) struct CameraSource {
    camera: V4l2Camera,
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
            None => camera::nodes().into_iter().next().map(|n| n.path).ok_or("no camera is connected")?,
        };
        let camera = V4l2Camera::open(&path, settings).map_err(|e| format!("{}: {e}", path.display()))?;
        tracing::info!(camera = %path.display(), mode = camera.description(), "camera opened");
        Ok(Self { camera, mounting, scratch: Vec::new() })
    }
}

impl FrameSource for CameraSource {
    fn next(&mut self, frame: &mut Frame) -> Result<Grab, String> {
        let grab = self.camera.next(frame, WAIT).map_err(|e| e.to_string())?;
        if grab == Grab::Frame {
            self.mounting.apply(frame, &mut self.scratch);
        }
        Ok(grab)
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
            Media::Damaged { at_ns, .. } => *at_ns,
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
            Media::Damaged { seq, reason, .. } => {
                tracing::warn!(
                    clip = display_name(&self.path),
                    frame = seq,
                    reason,
                    "a frame could not be decoded"
                );
                Ok(Grab::Damaged(Some((seq, at_ns))))
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
