//! The start: the threads beside the main one, the channels between them, and the outbox.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use glint::event::Movement;
use tokio::sync::{mpsc, watch};

use super::marker::{marker, paused_before};
use super::{Main, Setup, watched};
use crate::daemon::clock::{boot_id, monotonic_ns, now_s};
use crate::daemon::config::Config;
use crate::daemon::mqtt::Mqtt;
use crate::daemon::outbox::storage::OutboxFiles;
use crate::daemon::outbox::{Left, Outbox};
use crate::daemon::runtime::audit::Audit;
use crate::daemon::runtime::memory::Memory;
use crate::daemon::runtime::report::json;
use crate::daemon::runtime::stream;
use crate::daemon::runtime::timing::Timing;
use crate::daemon::runtime::vision::{self, Outlets, VisionState};
use crate::daemon::sources::capture::{self, Shared};

/// Frames between capture and vision: a late wake-up, no backlog.
const FRAMES: usize = 4;
/// Events between vision and the main thread.
const EVENTS: usize = 16;

/// The threads beside the main one.
pub(super) struct Threads {
    /// Movements that vision has found; ends with the thread.
    pub(super) events: mpsc::Receiver<Movement>,
    /// Capture and vision, with their names.
    pub(super) all: [(&'static str, std::thread::JoinHandle<()>); 2],
}

/// Starts what a daemon is made of, with the events that the outbox before could not write.
pub(super) fn start(setup: Setup, unwritten: Left) -> anyhow::Result<(Main, Threads)> {
    let Setup { config, credentials, vision, open, capabilities, models_problem, memory, page } = setup;
    let shared = Arc::new(Shared::default());
    let marker = marker(&config.outbox.path);
    shared.pause.store(paused_before(&marker, &memory), SeqCst);
    let mut outbox = open_outbox(&config, &memory);
    outbox.take_over(unwritten, now_s());
    let now = monotonic_ns();
    shared.capture_tick.store(now, Relaxed);
    shared.vision_tick.store(now, Relaxed);

    let (items, items_out) = std::sync::mpsc::sync_channel(FRAMES);
    let (spare, spare_out) = std::sync::mpsc::sync_channel(FRAMES);
    let (events, events_out) = mpsc::channel::<Movement>(EVENTS);
    let (vision_state, vision_state_out) = watch::channel(VisionState::default());
    let (sampler, samples) = stream::channel(config.stream.au_hz, boot_id());
    let thread = |name: &str| std::thread::Builder::new().name(name.into());
    let seen = Arc::clone(&shared);
    let capture = thread("capture").spawn(move || capture::run(open, &items, &spare_out, &seen))?;
    let seen = Arc::clone(&shared);
    let audit = Audit::start(&config)?;
    let timing = Arc::new(Timing::default());
    let (page, tap, camera_test) = watched::open(page, &config, &timing)?;
    let outlets = Outlets { stream: sampler, page: tap };
    let watcher = thread("vision")
        .spawn(move || vision::run(vision, outlets, &items_out, &spare, &events, &vision_state, &seen))?;

    let mut main = Main {
        stream: stream_id(),
        mqtt: Mqtt::new(&config, credentials, memory.stale_topics()),
        config,
        shared,
        outbox,
        vision_state: vision_state_out,
        samples,
        marker,
        start_s: now_s(),
        ready: false,
        next_health_s: i64::MIN,
        events: 0,
        hours: VecDeque::new(),
        memory,
        phase: None,
        pausing: None,
        page,
        camera_test,
        timing,
        audit,
        models_problem,
    };
    main.mqtt.retain("capabilities", json(&capabilities));
    Ok((main, Threads { events: events_out, all: [("capture", capture), ("vision", watcher)] }))
}

/// The outbox, with what waits in those of earlier paths.
fn open_outbox(config: &Config, memory: &Memory) -> Outbox {
    let limits = &config.outbox;
    let files =
        OutboxFiles { path: limits.path.clone(), earlier: memory.earlier_outboxes(), note: memory.note() };
    Outbox::open(files, limits.max_age_s, limits.max_bytes, &config.mqtt.prefix, now_s())
}

/// Tells this run from every other: boot id and start time.
fn stream_id() -> String {
    format!("{}/{}", boot_id(), monotonic_ns())
}
