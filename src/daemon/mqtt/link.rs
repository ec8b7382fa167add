//! One connection to a broker, MQTT 3.1.1 or 5, behind the same few verbs.
//!
//! A task of its own polls the client library and hands on what matters; publishing only puts a
//! request into the library's queue, so the two can never wait for each other. A link ends with its
//! first error and is never revived: the next connection starts from the outbox, which knows what the
//! broker has not acknowledged. That avoids the states the library cannot leave by itself (a packet
//! id collision, a session the broker has forgotten).
//!
//! The broker keeps no session for us: each connection starts a clean one and subscribes anew, so that
//! a command can only come while somebody waits for the device to obey.

use std::time::Duration;

use rumqttc::v5;
use rumqttc::{ConnectReturnCode, TlsConfiguration, Transport};
use tokio::sync::mpsc;

use super::credentials::Credentials;
use super::reasons::{of_code, of_v4, of_v5};
use crate::daemon::config::{Config, Protocol};

/// Packets in the library's queue; far more than [`WINDOW`] events and one set of retained messages.
const QUEUE: usize = 256;
/// Events sent and not acknowledged at any time: below the receive maximum of 20 that Mosquitto sets.
pub(crate) const WINDOW: usize = 10;
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Largest packet that is read. Commands are a few words, but MQTT 3.1.1 has no means to tell the broker so: what is
/// longer than a command is read and ignored, and only what is longer than this ends the connection.
const MAX_INCOMING_BYTES: usize = 1 << 20;
/// Largest packet that a broker with MQTT 5 is told to send; it drops what is longer.
const MAX_ANNOUNCED_BYTES: u32 = 64 << 10;
const MAX_OUTGOING_BYTES: usize = 256 << 10;
/// Of the kernel's buffer for what is sent, where measurements are streamed: some twenty of them. Linux takes twice that.
const STREAM_BUFFER_BYTES: u32 = 16 << 10;

/// What a link tells.
#[derive(Debug)]
pub(crate) enum Signal {
    /// The broker accepted us.
    Connected {
        /// Whether it kept a session of an earlier connection, although it was asked not to.
        session_present: bool,
    },
    /// The broker answered a subscription: for each of its topics, why it was refused.
    Subscribed(Vec<Option<String>>),
    /// A publish went out, in the order of the calls; its packet id, 0 for QoS 0.
    Sent(u16),
    /// The broker acknowledged a packet id.
    Acknowledged(u16),
    /// The broker did not take the message of a packet id, and says why (MQTT 5).
    Rejected(u16, String),
    /// A message came.
    Message {
        /// Its topic.
        topic: String,
        /// Its content.
        payload: Vec<u8>,
        /// Whether it is an old one that the broker kept.
        retained: bool,
        /// Whether the broker has sent it before.
        duplicate: bool,
    },
    /// The link ended.
    Ended(End),
}

/// Why a link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The broker refused the login. Waits longer before the next attempt.
    Refused(String),
    /// Another client has connected with our client id (MQTT 5 says so).
    TakenOver,
    /// The broker closed the connection and did not say why.
    Closed,
    /// A packet came that is longer than any that is read.
    TooLarge,
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

/// How the socket is used. With a stream of measurements little may lie in the kernel's buffer: behind a slow network an
/// event would wait until all of it is written. And they go out at once.
fn network(config: &Config) -> rumqttc::NetworkOptions {
    let mut options = rumqttc::NetworkOptions::new();
    if config.stream.au_hz.is_some() {
        options.set_tcp_send_buffer_size(STREAM_BUFFER_BYTES);
        options.set_tcp_nodelay(true);
    }
    options
}

/// Who connects.
pub(crate) struct Identity<'a> {
    /// Client id.
    pub(crate) client_id: &'a str,
    /// Topic and content of what the broker publishes, retained, when the connection breaks.
    pub(crate) will: Option<(&'a str, &'a str)>,
}

impl Link {
    /// Starts to connect, with a clean session.
    pub(crate) fn start(
        config: &Config,
        credentials: &Credentials,
        identity: &Identity<'_>,
    ) -> Result<(Self, mpsc::Receiver<Signal>), String> {
        let broker = config.mqtt.broker()?;
        let id = identity.client_id;
        // The channel is drained by the main loop alone, which never waits for a publish.
        let (signals, receiver) = mpsc::channel(64);
        let transport = match &credentials.tls {
            None => Transport::tcp(),
            Some(tls) => Transport::tls_with_config(TlsConfiguration::Rustls(tls.clone())),
        };
        let (client, task) = match config.mqtt.protocol {
            Protocol::V311 => {
                let mut options = rumqttc::MqttOptions::new(id, broker.host, broker.port);
                options
                    .set_keep_alive(KEEP_ALIVE)
                    .set_clean_session(true)
                    .set_transport(transport)
                    .set_max_packet_size(MAX_INCOMING_BYTES, MAX_OUTGOING_BYTES);
                if let Some((topic, content)) = identity.will {
                    let qos = rumqttc::QoS::AtLeastOnce;
                    options.set_last_will(rumqttc::LastWill::new(topic, content, qos, true));
                }
                if let Some(login) = &credentials.login {
                    options.set_credentials(&login.username, &login.password);
                }
                let (client, mut events) = rumqttc::AsyncClient::new(options, QUEUE);
                events.set_network_options(network(config));
                (Client::V4(client), tokio::spawn(poll_v4(events, signals)))
            }
            Protocol::V5 => {
                let mut options = v5::MqttOptions::new(id, broker.host, broker.port);
                options
                    .set_keep_alive(KEEP_ALIVE)
                    .set_clean_start(true)
                    .set_transport(transport)
                    .set_session_expiry_interval(Some(0))
                    .set_max_packet_size(Some(MAX_ANNOUNCED_BYTES))
                    .set_network_options(network(config));
                if let Some((topic, content)) = identity.will {
                    let qos = v5::mqttbytes::QoS::AtLeastOnce;
                    options.set_last_will(v5::mqttbytes::v5::LastWill::new(topic, content, qos, true, None));
                }
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
        self.put(message, true)
    }

    /// Puts a message into the queue, QoS 0; false where the queue is full.
    pub(crate) fn publish_once(&self, message: Message<'_>) -> bool {
        self.put(message, false)
    }

    fn put(&self, message: Message<'_>, is_acknowledged: bool) -> bool {
        let Message { topic, payload, retain, expiry_s } = message;
        match &self.client {
            Client::V4(c) => {
                let qos = if is_acknowledged { rumqttc::QoS::AtLeastOnce } else { rumqttc::QoS::AtMostOnce };
                c.try_publish(topic, qos, retain, payload).is_ok()
            }
            Client::V5(c) => {
                let properties = v5::mqttbytes::v5::PublishProperties {
                    payload_format_indicator: Some(1),
                    message_expiry_interval: expiry_s.map(|s| u32::try_from(s).unwrap_or(u32::MAX)),
                    content_type: payload.starts_with('{').then(|| "application/json".into()),
                    ..Default::default()
                };
                use v5::mqttbytes::QoS;
                let qos = if is_acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                c.try_publish_with_properties(topic, qos, retain, payload, properties).is_ok()
            }
        }
    }

    /// Asks for topics, QoS 1, in one packet; false where the queue is full.
    pub(crate) fn subscribe(&self, topics: &[String]) -> bool {
        match &self.client {
            Client::V4(c) => {
                let qos = rumqttc::QoS::AtLeastOnce;
                let filter = |t: &String| rumqttc::SubscribeFilter::new(t.clone(), qos);
                c.try_subscribe_many(topics.iter().map(filter)).is_ok()
            }
            Client::V5(c) => {
                let qos = v5::mqttbytes::QoS::AtLeastOnce;
                // The mark of a retained message stays on it, also while we are connected.
                let filter = |t: &String| v5::mqttbytes::v5::Filter {
                    preserve_retain: true,
                    ..v5::mqttbytes::v5::Filter::new(t.clone(), qos)
                };
                c.try_subscribe_many(topics.iter().map(filter)).is_ok()
            }
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
    use rumqttc::{Event, Outgoing, Packet, SubscribeReasonCode as Code};
    match event {
        Event::Incoming(Packet::ConnAck(ack)) => {
            Some(Signal::Connected { session_present: ack.session_present })
        }
        Event::Incoming(Packet::SubAck(ack)) => Some(Signal::Subscribed(
            ack.return_codes
                .iter()
                .map(|code| matches!(code, Code::Failure).then(|| "refused".to_owned()))
                .collect(),
        )),
        Event::Incoming(Packet::PubAck(ack)) => Some(Signal::Acknowledged(ack.pkid)),
        Event::Incoming(Packet::Publish(p)) => Some(Signal::Message {
            topic: p.topic,
            payload: p.payload.to_vec(),
            retained: p.retain,
            duplicate: p.dup,
        }),
        Event::Outgoing(Outgoing::Publish(id)) => Some(Signal::Sent(id)),
        _ => None,
    }
}

fn signal_v5(event: v5::Event) -> Option<Signal> {
    use v5::Event;
    use v5::mqttbytes::v5::{Packet, PubAckReason, SubscribeReasonCode as Code};
    match event {
        Event::Incoming(Packet::ConnAck(ack)) => {
            Some(Signal::Connected { session_present: ack.session_present })
        }
        Event::Incoming(Packet::SubAck(ack)) => Some(Signal::Subscribed(
            ack.return_codes
                .iter()
                .map(|code| (!matches!(code, Code::Success(_))).then(|| of_code(code)))
                .collect(),
        )),
        Event::Incoming(Packet::PubAck(ack)) => Some(match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Signal::Acknowledged(ack.pkid),
            reason => Signal::Rejected(ack.pkid, of_code(&reason)),
        }),
        Event::Incoming(Packet::Publish(p)) => Some(Signal::Message {
            topic: String::from_utf8_lossy(&p.topic).into_owned(),
            payload: p.payload.to_vec(),
            retained: p.retain,
            duplicate: p.dup,
        }),
        Event::Outgoing(rumqttc::Outgoing::Publish(id)) => Some(Signal::Sent(id)),
        _ => None,
    }
}

/// Whether an error of the socket says that the other side closed it.
fn closed(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof
    )
}

fn end_v4(error: rumqttc::ConnectionError) -> End {
    use rumqttc::{ConnectionError, StateError};
    match error {
        ConnectionError::ConnectionRefused(
            code @ (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized),
        ) => End::Refused(of_code(&code)),
        ConnectionError::MqttState(StateError::Deserialization(
            rumqttc::Error::PayloadSizeLimitExceeded(_),
        )) => End::TooLarge,
        ConnectionError::MqttState(StateError::ConnectionAborted) => End::Closed,
        ConnectionError::MqttState(
            StateError::Io(e) | StateError::Deserialization(rumqttc::Error::Io(e)),
        ) if closed(&e) => End::Closed,
        e => End::Lost(of_v4(&e)),
    }
}

fn end_v5(error: v5::ConnectionError) -> End {
    use v5::mqttbytes::v5::{ConnectReturnCode as Code, DisconnectReasonCode};
    use v5::{ConnectionError, StateError};
    match error {
        ConnectionError::ConnectionRefused(
            code @ (Code::BadUserNamePassword | Code::NotAuthorized | Code::Banned),
        ) => End::Refused(of_code(&code)),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            match reason_code {
                DisconnectReasonCode::SessionTakenOver => End::TakenOver,
                code => {
                    let words = reason_string.map(|words| format!(": {words}")).unwrap_or_default();
                    End::Lost(format!("the broker ends the connection: {}{words}", of_code(&code)))
                }
            }
        }
        ConnectionError::MqttState(
            StateError::Deserialization(v5::mqttbytes::Error::PayloadSizeLimitExceeded { .. })
            | StateError::IncomingPacketTooLarge { .. },
        ) => End::TooLarge,
        ConnectionError::MqttState(StateError::ConnectionAborted) => End::Closed,
        ConnectionError::MqttState(
            StateError::Io(e) | StateError::Deserialization(v5::mqttbytes::Error::Io(e)),
        ) if closed(&e) => End::Closed,
        e => End::Lost(of_v5(&e)),
    }
}

async fn poll_v4(mut events: rumqttc::EventLoop, signals: mpsc::Sender<Signal>) {
    let end = loop {
        match events.poll().await {
            Ok(event) => {
                if let Some(signal) = signal_v4(event)
                    && signals.send(signal).await.is_err()
                {
                    return;
                }
            }
            Err(error) => break end_v4(error),
        }
    };
    // Acknowledgements that came just before the end: without them their events would be sent twice.
    let last: Vec<_> = events.state.events.drain(..).filter_map(signal_v4).collect();
    say_last(last, end, &signals).await;
}

async fn poll_v5(mut events: v5::EventLoop, signals: mpsc::Sender<Signal>) {
    let end = loop {
        match events.poll().await {
            Ok(event) => {
                if let Some(signal) = signal_v5(event)
                    && signals.send(signal).await.is_err()
                {
                    return;
                }
            }
            Err(error) => break end_v5(error),
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
