//! One connection to a broker, MQTT 3.1.1 or 5, behind the same few verbs.
//!
//! A task of its own polls the client library and hands on what matters; publishing only puts a
//! request into the library's queue, so the two can never wait for each other. A link ends with its
//! first error and is never revived: the next connection starts from the outbox, which knows what the
//! broker has not acknowledged. That avoids the states the library cannot leave by itself (a packet
//! id collision, a session the broker has forgotten).

use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5;
use rumqttc::{ConnectReturnCode, TlsConfiguration, Transport};
use tokio::sync::mpsc;

use super::config::{Config, Protocol};

/// Packets in the library's queue; far more than [`WINDOW`] events and one set of retained messages.
const QUEUE: usize = 256;
/// Events sent and not acknowledged at any time: below the receive maximum of 20 that Mosquitto sets.
pub(crate) const WINDOW: usize = 10;
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Largest packet that is accepted: commands are a few words.
const MAX_INCOMING_BYTES: usize = 64 << 10;
const MAX_OUTGOING_BYTES: usize = 256 << 10;
/// How long the broker keeps our session, for commands that arrive while we are away.
const SESSION_EXPIRY_S: u32 = 3600;
/// Authorities of the system, on Debian and its kin.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What a link tells.
#[derive(Debug)]
pub(crate) enum Signal {
    /// The broker accepted us.
    Connected,
    /// A publish went out, in the order of the calls; its packet id, 0 for QoS 0.
    Sent(u16),
    /// The broker acknowledged a packet id.
    Acknowledged(u16),
    /// A message came.
    Message {
        /// Its topic.
        topic: String,
        /// Its content.
        payload: Vec<u8>,
        /// Whether it is an old one that the broker kept.
        retained: bool,
    },
    /// The link ended.
    Ended(End),
}

/// Why a link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The broker knows us not: retrying quickly is of no use.
    Refused(String),
    /// Anything else.
    Lost(String),
}

/// A message to publish.
pub(crate) struct Message<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: String,
    pub(crate) retain: bool,
    /// Seconds after which the broker may drop it (MQTT 5).
    pub(crate) expiry_s: Option<u64>,
}

enum Client {
    V4(rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

/// A connection, or the attempt of one.
pub(crate) struct Link {
    client: Client,
    task: tokio::task::JoinHandle<()>,
}

/// What a link needs to know beside the configuration.
pub(crate) struct Login {
    username: String,
    password: String,
}

/// Files that the broker's connection needs, read once.
pub(crate) struct Credentials {
    login: Option<Login>,
    tls: Option<TlsConfiguration>,
}

impl Credentials {
    /// Reads password and certificates. The error names the file.
    pub(crate) fn read(config: &Config) -> Result<Self, String> {
        let mqtt = &config.mqtt;
        let login = match &mqtt.username {
            None => None,
            Some(username) => {
                let default = std::env::var_os("CREDENTIALS_DIRECTORY")
                    .map(|dir| std::path::Path::new(&dir).join("mqtt-password"))
                    .filter(|path| path.exists());
                let password = match mqtt.password_file.as_ref().or(default.as_ref()) {
                    None => String::new(),
                    Some(path) => {
                        let text = std::fs::read_to_string(path)
                            .map_err(|e| format!("mqtt.password_file: {}: {e}", path.display()))?;
                        text.trim_end_matches(['\r', '\n']).to_owned()
                    }
                };
                Some(Login { username: username.clone(), password })
            }
        };
        let broker = mqtt.broker().map_err(|e| format!("mqtt.url: {e}"))?;
        let tls = if broker.tls { Some(tls(config)?) } else { None };
        Ok(Self { login, tls })
    }
}

/// Certificates of both sides; ring does the arithmetic. The host's name is always checked.
fn tls(config: &Config) -> Result<TlsConfiguration, String> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificates = |key: &str, path: &std::path::Path| -> Result<Vec<CertificateDer<'static>>, String> {
        let fail = |e: String| format!("{key}: {}: {e}", path.display());
        let found: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(path).map_err(|e| fail(e.to_string()))?.collect();
        let found = found.map_err(|e| fail(e.to_string()))?;
        if found.is_empty() { Err(fail("no certificate in it".into())) } else { Ok(found) }
    };
    let system = std::path::PathBuf::from(SYSTEM_AUTHORITIES);
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(certificates("mqtt.ca", config.mqtt.ca.as_ref().unwrap_or(&system))?);
    if roots.is_empty() {
        return Err("mqtt.ca: no usable certificate in it".into());
    }
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots);
    let client = match (&config.mqtt.cert, &config.mqtt.key) {
        (Some(cert), Some(key)) => {
            let chain = certificates("mqtt.cert", cert)?;
            let key =
                PrivateKeyDer::from_pem_file(key).map_err(|e| format!("mqtt.key: {}: {e}", key.display()))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| format!("mqtt.cert: {e}"))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(TlsConfiguration::Rustls(Arc::new(client)))
}

impl Link {
    /// Starts to connect. `will` is published, retained, when the connection breaks.
    pub(crate) fn start(
        config: &Config,
        credentials: &Credentials,
        will: (&str, &str),
    ) -> Result<(Self, mpsc::Receiver<Signal>), String> {
        let broker = config.mqtt.broker()?;
        let id = config.client_id();
        // The channel is drained by the main loop alone, which never waits for a publish.
        let (signals, receiver) = mpsc::channel(64);
        let transport = match &credentials.tls {
            None => Transport::tcp(),
            Some(tls) => Transport::tls_with_config(tls.clone()),
        };
        let (client, task) = match config.mqtt.protocol {
            Protocol::V311 => {
                let mut options = rumqttc::MqttOptions::new(id, broker.host, broker.port);
                options
                    .set_keep_alive(KEEP_ALIVE)
                    .set_clean_session(false)
                    .set_transport(transport)
                    .set_max_packet_size(MAX_INCOMING_BYTES, MAX_OUTGOING_BYTES)
                    .set_last_will(rumqttc::LastWill::new(will.0, will.1, rumqttc::QoS::AtLeastOnce, true));
                if let Some(login) = &credentials.login {
                    options.set_credentials(&login.username, &login.password);
                }
                let (client, events) = rumqttc::AsyncClient::new(options, QUEUE);
                (Client::V4(client), tokio::spawn(poll_v4(events, signals)))
            }
            Protocol::V5 => {
                let mut options = v5::MqttOptions::new(id, broker.host, broker.port);
                options
                    .set_keep_alive(KEEP_ALIVE)
                    .set_clean_start(false)
                    .set_transport(transport)
                    .set_session_expiry_interval(Some(SESSION_EXPIRY_S))
                    .set_max_packet_size(Some(MAX_INCOMING_BYTES as u32))
                    .set_last_will(v5::mqttbytes::v5::LastWill::new(
                        will.0,
                        will.1,
                        v5::mqttbytes::QoS::AtLeastOnce,
                        true,
                        None,
                    ));
                if let Some(login) = &credentials.login {
                    options.set_credentials(&login.username, &login.password);
                }
                let (client, events) = v5::AsyncClient::new(options, QUEUE);
                (Client::V5(client), tokio::spawn(poll_v5(events, signals)))
            }
        };
        Ok((Self { client, task }, receiver))
    }

    /// Puts a message into the queue, QoS 1; false where the queue is full.
    pub(crate) fn publish(&self, message: Message<'_>) -> bool {
        let Message { topic, payload, retain, expiry_s } = message;
        match &self.client {
            Client::V4(c) => c.try_publish(topic, rumqttc::QoS::AtLeastOnce, retain, payload).is_ok(),
            Client::V5(c) => {
                let properties = v5::mqttbytes::v5::PublishProperties {
                    payload_format_indicator: Some(1),
                    message_expiry_interval: expiry_s.map(|s| u32::try_from(s).unwrap_or(u32::MAX)),
                    content_type: payload.starts_with('{').then(|| "application/json".into()),
                    ..Default::default()
                };
                let qos = v5::mqttbytes::QoS::AtLeastOnce;
                c.try_publish_with_properties(topic, qos, retain, payload, properties).is_ok()
            }
        }
    }

    /// Asks for a topic, QoS 1.
    pub(crate) fn subscribe(&self, topic: &str) -> bool {
        match &self.client {
            Client::V4(c) => c.try_subscribe(topic, rumqttc::QoS::AtLeastOnce).is_ok(),
            Client::V5(c) => c.try_subscribe(topic, v5::mqttbytes::QoS::AtLeastOnce).is_ok(),
        }
    }

    /// Ends the connection in order: the will is not sent.
    pub(crate) fn disconnect(&self) {
        // A full queue means that the connection is broken anyway.
        let _ = match &self.client {
            Client::V4(c) => c.try_disconnect().is_ok(),
            Client::V5(c) => c.try_disconnect().is_ok(),
        };
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What an event of the library means to us.
fn signal_v4(event: rumqttc::Event) -> Option<Signal> {
    use rumqttc::{Event, Outgoing, Packet};
    match event {
        Event::Incoming(Packet::ConnAck(_)) => Some(Signal::Connected),
        Event::Incoming(Packet::PubAck(ack)) => Some(Signal::Acknowledged(ack.pkid)),
        Event::Incoming(Packet::Publish(p)) => {
            Some(Signal::Message { topic: p.topic, payload: p.payload.to_vec(), retained: p.retain })
        }
        Event::Outgoing(Outgoing::Publish(id)) => Some(Signal::Sent(id)),
        _ => None,
    }
}

fn signal_v5(event: v5::Event) -> Option<Signal> {
    use v5::Event;
    use v5::mqttbytes::v5::{Packet, PubAckReason};
    match event {
        Event::Incoming(Packet::ConnAck(_)) => Some(Signal::Connected),
        Event::Incoming(Packet::PubAck(ack)) => {
            if !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) {
                tracing::warn!(reason = ?ack.reason, "broker took a message only to drop it");
            }
            Some(Signal::Acknowledged(ack.pkid))
        }
        Event::Incoming(Packet::Publish(p)) => Some(Signal::Message {
            topic: String::from_utf8_lossy(&p.topic).into_owned(),
            payload: p.payload.to_vec(),
            retained: p.retain,
        }),
        Event::Outgoing(rumqttc::Outgoing::Publish(id)) => Some(Signal::Sent(id)),
        _ => None,
    }
}

async fn poll_v4(mut events: rumqttc::EventLoop, signals: mpsc::Sender<Signal>) {
    use rumqttc::ConnectionError;
    let end = loop {
        let event = match events.poll().await {
            Ok(event) => event,
            Err(ConnectionError::ConnectionRefused(
                code @ (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized),
            )) => break End::Refused(format!("{code:?}")),
            Err(e) => break End::Lost(e.to_string()),
        };
        if let Some(signal) = signal_v4(event)
            && signals.send(signal).await.is_err()
        {
            return;
        }
    };
    // Acknowledgements that came just before the end: without them their events would be sent twice.
    let last: Vec<_> = events.state.events.drain(..).filter_map(signal_v4).collect();
    say_last(last, end, &signals).await;
}

async fn poll_v5(mut events: v5::EventLoop, signals: mpsc::Sender<Signal>) {
    use v5::ConnectionError;
    use v5::mqttbytes::v5::ConnectReturnCode as Code;
    let end = loop {
        let event = match events.poll().await {
            Ok(event) => event,
            Err(ConnectionError::ConnectionRefused(
                code @ (Code::BadUserNamePassword | Code::NotAuthorized | Code::Banned),
            )) => break End::Refused(format!("{code:?}")),
            Err(e) => break End::Lost(e.to_string()),
        };
        if let Some(signal) = signal_v5(event)
            && signals.send(signal).await.is_err()
        {
            return;
        }
    };
    let last: Vec<_> = events.state.events.drain(..).filter_map(signal_v5).collect();
    say_last(last, end, &signals).await;
}

async fn say_last(last: Vec<Signal>, end: End, signals: &mpsc::Sender<Signal>) {
    for signal in last.into_iter().chain([Signal::Ended(end)]) {
        if signals.send(signal).await.is_err() {
            return;
        }
    }
}
