//! The vision thread: owns the pipeline, tells what it sees and why it sees nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};

use glint::event::Movement;
use glint::frame::Frame;
use glint::pipeline::{Counters, Step};
use tokio::sync::{mpsc, watch};

use super::finder::Vision;
use super::stream::{Sampler, StreamSample};
use super::tap::Tap;
use super::visibility::Light;
use crate::daemon::clock::monotonic_ns;
use crate::daemon::grab::WAIT;
use crate::daemon::sources::capture::{Captured, Shared};

/// What is known of the latest frame; the latest wins.
#[derive(Debug, Clone, Default)]
pub(crate) struct VisionState {
    /// Why nothing can be seen; a word of the state topic.
    pub(crate) reason: Option<&'static str>,
    /// Whether frames come.
    pub(crate) streaming: bool,
    /// Measured frames per second.
    pub(crate) fps: f32,
    /// Deviation of the frame interval, as its share.
    pub(crate) jitter: f32,
    /// Counts of the pipeline.
    pub(crate) counters: Counters,
}

/// Receivers of every frame, apart from those of movements.
pub(crate) struct Outlets {
    /// The live stream of AU intensities.
    pub(crate) stream: Option<Sampler>,
    /// The page.
    pub(crate) page: Option<Tap>,
}

/// Hands a sample of this frame over, where one is due.
fn tell(sampler: Option<&mut Sampler>, frame: &Frame, vision: &dyn Vision, reason: Option<&'static str>) {
    let Some(sampler) = sampler else { return };
    if sampler.is_due(frame.at_ns) {
        let (fps, faces) = (vision.observation().fps, vision.faces());
        sampler.give(StreamSample { at_ns: frame.at_ns, frame: frame.seq, fps, reason, faces });
    }
}

/// The vision thread: ends with its frames.
pub(crate) fn run(
    mut vision: Box<dyn Vision>,
    mut outlets: Outlets,
    items: &Receiver<Captured>,
    spare: &SyncSender<Frame>,
    events: &mpsc::Sender<Movement>,
    vision_state: &watch::Sender<VisionState>,
    shared: &Arc<Shared>,
) {
    // Events that the main thread has no room for: none is dropped on this side.
    let mut waiting: VecDeque<Movement> = VecDeque::new();
    let mut light = Light::default();
    loop {
        shared.vision_tick.store(monotonic_ns(), Relaxed);
        while let Some(movement) = waiting.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(movement)) = events.try_send(movement) {
                waiting.push_front(movement);
                break;
            }
        }
        if shared.calibrate.swap(false, Relaxed) {
            vision.calibrate();
        }
        let mut why = None;
        let step = match items.recv_timeout(WAIT) {
            Ok(Captured::Frame(frame)) => {
                let begun_ns = monotonic_ns();
                let step = vision.push(&frame);
                let view = light.view(&frame, step == Step::Moving, &vision.observation());
                why = view.reason();
                if let Some(tap) = &mut outlets.page {
                    tap.frame(&frame, &view, vision.as_ref(), begun_ns, monotonic_ns());
                }
                tell(outlets.stream.as_mut(), &frame, vision.as_ref(), why);
                // No room for spares only means that a buffer is allocated anew.
                _ = spare.try_send(frame);
                step
            }
            Ok(Captured::Damaged { seq, at_ns }) => vision.gap(seq, at_ns),
            Ok(Captured::Opened) => {
                vision.reset();
                light = Light::default();
                continue;
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let seen = vision.observation();
        vision_state.send_replace(VisionState {
            reason: why,
            streaming: true,
            fps: seen.fps,
            jitter: seen.jitter,
            counters: vision.counters(),
        });
        if let Step::Event(movement) = step {
            waiting.push_back(movement);
        }
    }
    while let Some(movement) = vision.finish() {
        waiting.push_back(movement);
    }
    for movement in waiting {
        if events.blocking_send(movement).is_err() {
            return;
        }
    }
}
