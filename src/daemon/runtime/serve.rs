//! The running daemon: its threads, and the order in which they start and stop.
//!
//! | thread | owns | hands over by |
//! |---|---|---|
//! | `capture` | the source | bounded channel of frames; a camera's frames are dropped, and counted, when it is full |
//! | `vision` | the pipeline | the latest [`VisionState`]; events, none of which is dropped |
//! | main | MQTT, queue, commands, signals, watchdog | the broker |
//! | `page`, where it is configured | the commissioning page and its socket | questions to the main thread |
//! | `audit`, where it is wanted | the audit log | what is on disk |
//! | `storage` | the outbox's file | what is on disk |
//!
//! Shutdown flows with the data: capture ends and drops its sender, vision drains and drops its own, the
//! outbox is sent under a deadline, `offline` is said. A second signal exits at once.

mod camera_test;
pub(crate) mod marker;
mod signals;
mod start;
mod state;
mod watched;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use glint::event::{Clock, Event, Movement};
use tokio::sync::watch;

use super::audit::{Audit, Origin};
use super::finder::Vision;
use super::memory::Memory;
use super::report::{Capabilities, Phase, Reply, json};
use super::stream::{Samples, StreamSample};
use super::systemd;
use super::timing::Timing;
use super::vision::VisionState;
use crate::daemon::clock::{boot_id, monotonic_ns, now_s, rfc3339, synchronization, wall, wall_time};
use crate::daemon::config::Config;
use crate::daemon::grab::Opener;
use crate::daemon::mqtt::credentials::Credentials;
use crate::daemon::mqtt::{Command, Mqtt, base};
use crate::daemon::outbox::{Left, Outbox};
use crate::daemon::page::{self, Page, Post};
use crate::daemon::sources::capture::Shared;
use camera_test::CameraTest;
use marker::absent;
use signals::{Asked, Signals};
use start::start;

/// How long the outbox is sent before the end.
const FLUSH: Duration = Duration::from_secs(5);
/// A thread that did not tick for so long hangs.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a daemon is made of.
pub(crate) struct Setup {
    /// The configuration.
    pub(crate) config: Config,
    /// Password and certificates.
    pub(crate) credentials: Credentials,
    /// What finds movements.
    pub(crate) vision: Box<dyn Vision>,
    /// Opens the source.
    pub(crate) open: Opener,
    /// Content of the retained topic `capabilities`.
    pub(crate) capabilities: Capabilities,
    /// The word in `health.problems` where an installed bundle of models is not used.
    pub(crate) models_problem: Option<&'static str>,
    /// What is remembered of earlier runs.
    pub(crate) memory: Memory,
    /// The commissioning page, where it is configured.
    pub(crate) page: Option<page::PageSettings>,
}

/// How a daemon ended.
enum Outcome {
    /// It was told to, or its source ended.
    Stopped,
    /// This configuration, which has been read and found right, takes over, with the events that the disk did not take.
    Reload(Box<Setup>, Left),
}

/// Reads the configuration and everything that it names; called again for each reload.
pub(crate) type Load = std::sync::Arc<dyn Fn() -> anyhow::Result<Setup> + Send + Sync>;

/// What outlives a reload: the runtime, and the signals, none of which is lost between two configurations.
pub(crate) struct Host {
    runtime: Option<tokio::runtime::Runtime>,
    signals: Signals,
}

impl Host {
    /// From here on no signal ends the process by itself.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _inside = runtime.enter();
            Signals::listen()?
        };
        Ok(Self { runtime: Some(runtime), signals })
    }

    /// Runs daemons, one after the other, until one is told to stop or its source ends.
    pub(crate) fn serve(&mut self, mut setup: Setup, load: &Load) -> anyhow::Result<()> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let mut unwritten = Left::default();
        loop {
            match runtime.block_on(main_loop(setup, unwritten, &mut self.signals, load))? {
                Outcome::Stopped => return Ok(()),
                Outcome::Reload(next, left) => (setup, unwritten) = (*next, left),
            }
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A name server that is silent holds nobody up.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs a daemon to its end, without any configuration to read again.
#[cfg(any(test, feature = "demo"))]
pub(crate) fn serve(setup: Setup) -> anyhow::Result<()> {
    let load: Load = Arc::new(|| anyhow::bail!("there is no configuration file"));
    Host::new()?.serve(setup, &load)
}

/// A configuration that is being read, by a thread of its own.
type Loading = tokio::task::JoinHandle<anyhow::Result<Setup>>;

/// The configuration that was read; waits for ever where none is.
async fn loaded(loading: &mut Option<Loading>) -> anyhow::Result<Setup> {
    match loading {
        Some(task) => {
            let setup = task.await;
            *loading = None;
            setup?
        }
        None => std::future::pending().await,
    }
}

/// State of the main thread.
struct Main {
    config: Config,
    stream: String,
    shared: Arc<Shared>,
    mqtt: Mqtt,
    outbox: Outbox,
    vision_state: watch::Receiver<VisionState>,
    samples: Samples,
    marker: PathBuf,
    start_s: i64,
    ready: bool,
    next_health_s: i64,
    events: u64,
    /// Accepted events by hour, the latest last.
    hours: VecDeque<(i64, u64)>,
    memory: Memory,
    /// What was said last.
    phase: Option<Phase>,
    /// Reply to a pause; it is given once the camera is closed.
    pausing: Option<Reply>,
    page: Option<Page>,
    camera_test: CameraTest,
    timing: Arc<Timing>,
    audit: Audit,
    models_problem: Option<&'static str>,
}

async fn main_loop(
    setup: Setup,
    unwritten: Left,
    signals: &mut Signals,
    load: &Load,
) -> anyhow::Result<Outcome> {
    let (mut main, mut threads) = start(setup, unwritten)?;
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut next: Option<Box<Setup>> = None;
    let mut loading: Option<Loading> = None;
    let mut stopping = false;
    let mut deadline: Option<tokio::time::Instant> = None;
    let mut ending = false;
    loop {
        tokio::select! {
            movement = threads.events.recv(), if !ending => match movement {
                Some(movement) => main.accept(movement),
                None => {
                    ending = true;
                    systemd::stopping();
                    // Capture has ended, and the camera is closed.
                    main.answer_pause();
                    main.tick();
                    deadline = Some(tokio::time::Instant::now() + FLUSH);
                }
            },
            Some(sample) = main.samples.taken.recv() => main.stream_sample(&sample),
            signal = main.mqtt.signal() => {
                if let Some(command) = main.mqtt.handle(signal, &mut main.outbox) {
                    main.command(command, &Origin::Mqtt);
                }
            }
            ask = watched::ask(&mut main.page) => main.answer(ask),
            seen = main.camera_test.seen() => main.end_camera_test(seen),
            news = main.outbox.news() => main.outbox.handle(news, now_s()),
            asked = signals.next() => match asked {
                Asked::Command(command) => _ = main.command(command, &Origin::Signal),
                // Who stops is not started again.
                Asked::Reload if stopping || loading.is_some() || next.is_some() => {
                    tracing::info!("reload ignored: another reload is in progress, or glintd is stopping");
                }
                Asked::Reload => {
                    main.audit.note("reload", &Origin::Signal);
                    let load = Arc::clone(load);
                    loading = Some(tokio::task::spawn_blocking(move || load()));
                }
                Asked::Stop if stopping => {
                    tracing::warn!("second signal: exiting at once");
                    std::process::exit(1);
                }
                Asked::Stop => {
                    tracing::info!("stopping");
                    (stopping, next, loading) = (true, None, None);
                    main.shared.stop.store(true, Relaxed);
                }
            },
            setup = loaded(&mut loading) => match setup {
                Ok(setup) => {
                    tracing::info!("configuration reloaded");
                    next = Some(Box::new(setup));
                    main.shared.stop.store(true, Relaxed);
                }
                Err(e) => tracing::error!("the new configuration is not used, and the present one stays in use: {e:#}"),
            },
            () = main.shared.changed.notified() => {
                main.say_state();
            }
            _ = tick.tick() => main.tick(),
            () = until(deadline), if ending => break,
        }
        main.mqtt.pump(&mut main.outbox, now_s());
        main.remember();
        // A broker that is not there gets no time: what waits is on disk.
        if ending && (!main.mqtt.connected() && main.shared.stop.load(Relaxed) || main.outbox.len() == 0) {
            break;
        }
    }
    main.say_stopped();
    // Its socket is free for the next configuration.
    if let Some(page) = main.page.take() {
        page.stop().into_iter().for_each(|note| main.answer(note));
    }
    main.mqtt.disconnect_in_order(&mut main.outbox).await;
    let unwritten = main.outbox.close(FLUSH, now_s());
    main.audit.close();
    for (name, thread) in threads.all {
        if thread.join().is_err() {
            unwritten.log_lost();
            anyhow::bail!("the {name} thread panicked");
        }
    }
    // A signal that came meanwhile waits for the next one.
    Ok(match next {
        Some(next) => Outcome::Reload(next, unwritten),
        None => {
            unwritten.log_lost();
            Outcome::Stopped
        }
    })
}

/// Sleeps until a deadline; for ever without one.
pub(crate) async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl Main {
    /// A movement becomes an event: on disk first, then sent.
    fn accept(&mut self, movement: Movement) {
        let time = wall_time(movement.onset_ns);
        let mut event = Event::new(self.config.device.id(), &self.stream, Some(time), movement);
        let (synchronized, estimated_error_us) = synchronization();
        let stamps = self.config.source.stamps();
        event.data.clock = Some(Clock { synchronized, estimated_error_us, boot_id: boot_id(), stamps });
        let topic = format!("{}/event", base(&self.config));
        let json = event.to_json();
        self.outbox.put(&event.id, &topic, &json, now_s());
        self.tell(|_| Post::Event(json));
        self.events += 1;
        let hour = now_s() / 3600;
        match self.hours.back_mut() {
            Some((last, count)) if *last == hour => *count += 1,
            _ => self.hours.push_back((hour, 1)),
        }
        self.hours.retain(|(h, _)| hour - h < 24);
    }

    /// Says what was measured in a frame, if the broker takes it at once.
    fn stream_sample(&mut self, sample: &StreamSample) {
        let message = json(&self.samples.message(sample));
        let was_sent = self.mqtt.say_once("au", message);
        self.samples.note(was_sent);
    }

    /// Obeys a command, and gives the reply that it has at once: that to a pause is said once the camera is closed.
    fn command(&mut self, command: Command, origin: &Origin) -> Reply {
        let mut reply = Reply::new(rfc3339(wall().as_millis() as i64));
        self.audit.note(command.as_str(), origin);
        if !matches!(origin, Origin::Mqtt) {
            self.mqtt.forget_commands();
        }
        match command {
            Command::Pause => {
                self.shared.pause.store(true, SeqCst);
                if let Err(e) = std::fs::write(&self.marker, "") {
                    tracing::error!(file = %self.marker.display(), "a restart would end this pause: {e}");
                    reply.kept_over_restart = Some(false);
                }
                self.outbox.sync(&self.marker);
                self.pausing = Some(reply.clone());
                self.next_health_s = i64::MIN;
                self.tick();
                return reply;
            }
            Command::Resume => match std::fs::remove_file(&self.marker) {
                Err(e) if !absent(&e) => {
                    tracing::error!(file = %self.marker.display(), "the pause cannot be ended for the next start: {e}");
                    (reply.done, reply.error) = (false, Some(e.to_string()));
                }
                _ => {
                    self.outbox.sync(&self.marker);
                    self.shared.pause.store(false, SeqCst);
                    if let Some(mut pause) = self.pausing.take() {
                        (pause.done, pause.error) =
                            (false, Some("resumed before the camera was closed".into()));
                        self.mqtt.retain("pause/state", json(&pause));
                    }
                }
            },
            Command::Calibrate => self.shared.calibrate.store(true, Relaxed),
            Command::Purge => reply.events = Some(self.outbox.purge()),
        }
        self.mqtt.retain(&format!("{}/state", command.as_str()), json(&reply));
        self.next_health_s = i64::MIN;
        self.tick();
        reply
    }

    /// Notes what has been withdrawn and moved.
    fn remember(&mut self) {
        let moved = self.outbox.moved();
        let withdrawn = self.mqtt.withdrawn();
        if moved.is_empty() && !withdrawn {
            return;
        }
        moved.iter().for_each(|path| self.memory.forget_outbox(path));
        if withdrawn {
            self.memory.withdrawn();
        }
        self.outbox.remember(self.memory.note());
    }

    /// Twice a second: watchdog, state, health, expiry.
    fn tick(&mut self) {
        let now_ns = monotonic_ns();
        let now_s = now_s();
        self.outbox.tick(now_s);
        let lives = |tick: i64| systemd::alive(tick, now_ns, PATIENCE);
        if lives(self.shared.capture_tick.load(Relaxed)) && lives(self.shared.vision_tick.load(Relaxed)) {
            systemd::watchdog();
        }
        let state = self.say_state();
        let waits =
            matches!(state.state, Phase::Streaming | Phase::Paused) || state.reason == Some("no_camera");
        if !self.ready && waits {
            self.ready = true;
            systemd::ready();
        }
        if now_s >= self.next_health_s {
            self.next_health_s = now_s + self.config.health.interval_s as i64;
            self.outbox.expire(now_s);
            let health = self.health();
            let reason = state.reason.map(|r| format!(": {r}")).unwrap_or_default();
            systemd::status(&format!("{}{reason}", state.state.as_str()));
            self.mqtt.retain("health", json(&health));
        }
        self.expire_camera_test();
        self.tell(Self::status);
    }
}
