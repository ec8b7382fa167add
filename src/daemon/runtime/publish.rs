//! Events of a replay to the broker: beside the daemon of the same configuration, and without touching it.
//!
//! The client id is one of its own, there is no status and no outbox: a replay can be repeated, and gives the same ids.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use glint::event::Event;
use tokio::sync::mpsc;

use super::serve::until;
use crate::daemon::config::Config;
use crate::daemon::mqtt::Mqtt;
use crate::daemon::mqtt::credentials::Credentials;
use crate::daemon::outbox::Outbox;

/// How long events are sent after the last one.
const FLUSH: Duration = Duration::from_secs(10);
/// How often it is looked whether all is acknowledged.
const TICK: Duration = Duration::from_millis(100);

/// A thread that talks to the broker while the clip is replayed.
pub(crate) struct Publisher {
    events: mpsc::UnboundedSender<(String, String)>,
    thread: std::thread::JoinHandle<usize>,
    broker: String,
}

impl Publisher {
    /// Reads password and certificates, starts to connect.
    pub(crate) fn start(config: &Config) -> anyhow::Result<Self> {
        let credentials = Credentials::read(config)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // A replay has few events, and the clip is read no faster than it is understood.
        let (events, receiver) = mpsc::unbounded_channel();
        let broker = config.mqtt.url.clone();
        let config = config.clone();
        let thread = std::thread::Builder::new().name("publish".into()).spawn(move || {
            let left = runtime.block_on(publish(&config, credentials, receiver));
            // A name server that is silent holds nobody up.
            runtime.shutdown_background();
            left
        })?;
        Ok(Self { events, thread, broker })
    }

    /// Takes an event over.
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
                "{left} events are not acknowledged by {}: replay again, the ids stay the same",
                self.broker
            ),
            Err(_) => anyhow::bail!("the publishing thread panicked"),
        }
    }
}

async fn publish(
    config: &Config,
    credentials: Credentials,
    mut events: mpsc::UnboundedReceiver<(String, String)>,
) -> usize {
    let mut outbox = Outbox::in_memory();
    let random = RandomState::new().build_hasher().finish();
    let mut mqtt = Mqtt::quiet(config, credentials, format!("{}-replay-{random:016x}", config.client_id()));
    let topic = format!("{}/{}/event", config.mqtt.prefix, config.device.id());
    let mut deadline = None;
    loop {
        tokio::select! {
            event = events.recv(), if deadline.is_none() => match event {
                Some((id, json)) => outbox.put(&id, &topic, &json, 0),
                None => deadline = Some(tokio::time::Instant::now() + FLUSH),
            },
            signal = mqtt.signal() => {
                mqtt.handle(signal, &mut outbox);
            }
            // An acknowledgement may count a moment later.
            () = tokio::time::sleep(TICK), if deadline.is_some() => {}
            () = until(deadline) => break,
        }
        mqtt.pump(&mut outbox, 0);
        if deadline.is_some() && outbox.len() == 0 {
            break;
        }
    }
    mqtt.disconnect_in_order(&mut outbox).await;
    outbox.len()
}
