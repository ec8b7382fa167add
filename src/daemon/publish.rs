//! Events of a replay to the broker, by the same outbox and the same conversation as the daemon's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use glint::event::Event;
use tokio::sync::mpsc;

use super::config::{Config, ConfigError};
use super::link::Credentials;
use super::mqtt::Mqtt;
use super::outbox::Outbox;
use super::serve::until;

/// How long the outbox is sent after the last event.
const FLUSH: Duration = Duration::from_secs(10);

/// A thread that talks to the broker while the clip is replayed.
pub(crate) struct Publisher {
    events: mpsc::UnboundedSender<(String, String)>,
    thread: std::thread::JoinHandle<usize>,
    outbox: std::path::PathBuf,
}

impl Publisher {
    /// Reads password and certificates, opens the outbox, starts to connect.
    pub(crate) fn start(config: &Config) -> anyhow::Result<Self> {
        let credentials = Credentials::read(config).map_err(|e| ConfigError::Content(vec![e]))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // A replay has few events, and the clip is read no faster than it is understood.
        let (events, receiver) = mpsc::unbounded_channel();
        let outbox = config.outbox.path.clone();
        let config = config.clone();
        let thread = std::thread::Builder::new()
            .name("publish".into())
            .spawn(move || runtime.block_on(publish(&config, credentials, receiver)))?;
        Ok(Self { events, thread, outbox })
    }

    /// Puts an event into the outbox.
    pub(crate) fn publish(&self, event: &Event) {
        // The thread ends after this sender alone.
        _ = self.events.send((event.id.clone(), event.to_json()));
    }

    /// Sends what waits; fails where the broker does not take all of it in time.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        drop(self.events);
        match self.thread.join() {
            Ok(0) => Ok(()),
            Ok(left) => anyhow::bail!(
                "{left} events are not acknowledged by the broker; they wait in {}",
                self.outbox.display()
            ),
            Err(_) => anyhow::bail!("the publishing thread ended badly"),
        }
    }
}

async fn publish(
    config: &Config,
    credentials: Credentials,
    mut events: mpsc::UnboundedReceiver<(String, String)>,
) -> usize {
    let now_s = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let limits = &config.outbox;
    let mut outbox = Outbox::open(&limits.path, limits.max_age_s, limits.max_bytes, now_s());
    let mut mqtt = Mqtt::new(config, credentials);
    let mut deadline = None;
    loop {
        tokio::select! {
            event = events.recv(), if deadline.is_none() => match event {
                Some((id, json)) => _ = outbox.put(&id, &json, now_s()),
                None => deadline = Some(tokio::time::Instant::now() + FLUSH),
            },
            // Commands are for a running daemon: here is no camera to pause.
            signal = mqtt.signal() => {
                mqtt.handle(signal, &mut outbox, now_s());
            }
            () = until(deadline) => break,
        }
        mqtt.pump(&outbox, now_s());
        if deadline.is_some() && outbox.len() == 0 {
            break;
        }
    }
    mqtt.disconnect_in_order(&mut outbox, now_s()).await;
    outbox.len()
}
