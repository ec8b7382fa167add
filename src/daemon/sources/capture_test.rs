//! The capture thread with a source that does what the test says.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use glint::frame::Frame;

use super::capture::{self, Captured, Shared};
use crate::daemon::clock::monotonic_ns;
use crate::daemon::grab::{FrameSource, Grab, Opener};

/// Gives its steps one after the other, then times out for ever. Counts those that are open.
struct Scripted {
    steps: VecDeque<Result<Grab, String>>,
    seq: u64,
    open: Arc<AtomicUsize>,
}

impl FrameSource for Scripted {
    fn next(&mut self, frame: &mut Frame) -> Result<Grab, String> {
        let Some(step) = self.steps.pop_front() else {
            std::thread::sleep(Duration::from_millis(5));
            return Ok(Grab::Timeout);
        };
        frame.seq = self.seq;
        self.seq += 1;
        step
    }

    fn live(&self) -> bool {
        true
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Relaxed);
    }
}

type Attempt = Result<Vec<Result<Grab, String>>, String>;

struct Bench {
    received: Receiver<Captured>,
    shared: Arc<Shared>,
    open: Arc<AtomicUsize>,
    attempts: Arc<Mutex<Vec<Instant>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Bench {
    /// Each opening takes the next attempt; after the last one there is no camera.
    fn new(room: usize, attempts: Vec<Attempt>) -> Self {
        let (items, received) = sync_channel(room);
        let (_, spare) = channel();
        let shared = Arc::new(Shared::default());
        let open = Arc::new(AtomicUsize::new(0));
        let times = Arc::new(Mutex::new(Vec::new()));
        let mut left = VecDeque::from(attempts);
        let opener: Opener = Box::new({
            let (open, times) = (open.clone(), times.clone());
            move || {
                times.lock().expect("one thread").push(Instant::now());
                let steps = left.pop_front().unwrap_or_else(|| Err("no camera".into()))?;
                open.fetch_add(1, Relaxed);
                Ok(Box::new(Scripted { steps: steps.into(), seq: 0, open: open.clone() }))
            }
        });
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || capture::run(opener, &items, &spare, &shared)
        });
        Self { received, shared, open, attempts: times, thread: Some(thread) }
    }

    /// Waits until the main thread is told of a change, before its next tick.
    fn wait_for_notice(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let notice =
            async { tokio::time::timeout(Duration::from_secs(5), self.shared.changed.notified()).await };
        runtime.block_on(notice).expect("told at once");
    }

    fn wait(&self, what: &str, until: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !until(self) {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        while self.received.try_recv().is_ok() {}
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the thread ends when told");
    }
}

fn frames(count: usize) -> Vec<Result<Grab, String>> {
    (0..count).map(|_| Ok(Grab::Frame)).collect()
}

#[test]
fn a_full_channel_drops_and_counts() {
    // Room for the notice of the opening and three frames: of ten frames seven find no room.
    let bench = Bench::new(4, vec![Ok(frames(10))]);
    bench.wait("frames are dropped", |b| b.shared.dropped.load(Relaxed) == 7);
    let numbers: Vec<u64> = bench
        .received
        .try_iter()
        .filter_map(|item| if let Captured::Frame(frame) = item { Some(frame.seq) } else { None })
        .collect();
    assert_eq!(numbers, [0, 1, 2], "the oldest are kept, so that the loss is a gap after them");
}

#[test]
fn damaged_frames_are_counted_and_end_nothing() {
    let steps =
        vec![Ok(Grab::Frame), Ok(Grab::Damaged(None)), Ok(Grab::Damaged(Some((2, 0)))), Ok(Grab::Frame)];
    let bench = Bench::new(8, vec![Ok(steps)]);
    bench.wait("both are counted", |b| b.shared.damaged.load(Relaxed) == 2);
    for _ in 0..4 {
        // Opened, frame, gap, frame: a damaged frame is none.
        assert!(bench.received.recv_timeout(Duration::from_secs(5)).is_ok());
    }
    assert_eq!(bench.attempts.lock().expect("no panic").len(), 1);
}

#[test]
fn pause_closes_the_camera_and_resume_opens_it() {
    let bench = Bench::new(8, vec![Ok(frames(1)), Ok(frames(1))]);
    bench.wait("open", |b| b.open.load(Relaxed) == 1);
    bench.shared.pause.store(true, Relaxed);
    bench.wait("closed", |b| b.shared.closed.load(Relaxed));
    assert_eq!(bench.open.load(Relaxed), 0, "the device is let go before it is called closed");
    bench.shared.pause.store(false, Relaxed);
    bench.wait("open again", |b| b.open.load(Relaxed) == 1 && !b.shared.closed.load(Relaxed));
}

#[test]
fn a_lost_camera_is_opened_anew_with_growing_waits_and_the_thread_ticks() {
    let mut lost = frames(1);
    lost.push(Err("unplugged".into()));
    let bench =
        Bench::new(8, vec![Ok(lost), Err("no camera".into()), Err("no camera".into()), Ok(frames(1))]);
    bench.wait("the loss is a state", |b| b.shared.no_source.load(Relaxed));
    bench.wait_for_notice();
    bench.wait("opened anew", |b| {
        let age = monotonic_ns() - b.shared.capture_tick.load(Relaxed);
        assert!(age < 5_000_000_000, "silent for {age} ns");
        b.open.load(Relaxed) == 1 && b.attempts.lock().is_ok_and(|a| a.len() == 4)
    });
    bench.wait("the state ends with a frame", |b| !b.shared.no_source.load(Relaxed));
    bench.wait_for_notice();
    let attempts = bench.attempts.lock().expect("no panic").clone();
    let waits: Vec<Duration> = attempts.windows(2).map(|w| w[1] - w[0]).collect();
    // A machine under load may wait longer, never shorter.
    for (wait, least) in waits.iter().zip([250, 500, 1000]) {
        assert!(*wait >= Duration::from_millis(least), "{waits:?}");
    }
}
