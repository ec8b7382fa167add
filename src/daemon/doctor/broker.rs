//! The broker, step by step: name, port, certificate, login, access rules.
//!
//! The client id is one of its own, so that a running daemon keeps its connection. Whether events are taken is asked with a
//! delivery of QoS 2 that is never completed: the broker answers whether it would take it, and hands it to nobody
//! (a broker that hands messages on before they are complete would send subscribers an empty one).

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Connect, ConnectReturnCode as Code, Disconnect, DisconnectReasonCode, Filter, Login, Packet,
    PubRecReason, Publish, Subscribe, SubscribeReasonCode,
};

use super::certificate;
use super::wire::{Silence, Wire};
use crate::daemon::config::{Broker, Config};
use crate::daemon::finding::Finding;
use crate::daemon::mqtt::credentials::{Credentials, password_file};
use crate::daemon::mqtt::reasons::of_code;
use crate::daemon::mqtt::{Command, base};

/// How long a name server, a port, and an answer are waited for.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long retained messages are waited for once the subscription stands.
const RETAINED: Duration = Duration::from_millis(400);
/// What some brokers do instead of an answer.
const CLOSED: &str = "the broker closes the connection";
/// How far the broker is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Until the login.
    Login,
    /// The access rules too.
    Rules,
}

/// What a running daemon says of itself, by what the broker keeps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running {
    /// `online` or `offline`.
    pub(crate) status: Option<String>,
    /// The last report.
    pub(crate) health: Option<serde_json::Value>,
}

impl Running {
    /// Whether a daemon of this device is connected.
    pub(crate) fn online(&self) -> bool {
        self.status.as_deref() == Some("online")
    }
}

/// Asks the broker; what it keeps of a running daemon comes along.
pub(crate) fn look(config: &Config, credentials: &Credentials, depth: Depth) -> (Vec<Finding>, Running) {
    let mut findings = Vec::new();
    let mut running = Running::default();
    if let Err(finding) = talk(config, credentials, depth, &mut findings, &mut running) {
        findings.push(finding);
    }
    (findings, running)
}

/// Asks whether name and port answer: all that can be asked where a file of the login cannot be read.
pub(crate) fn reach(config: &Config) -> Finding {
    let dialled = config.mqtt.broker().map_err(|reason| unreachable(config, &reason));
    match dialled.and_then(|broker| dial(config, &broker)) {
        Ok(_) => Finding::good("broker", format!("{} answers", config.mqtt.url)),
        Err(finding) => finding,
    }
}

fn talk(
    config: &Config,
    credentials: &Credentials,
    depth: Depth,
    findings: &mut Vec<Finding>,
    running: &mut Running,
) -> Result<(), Finding> {
    let broker = config.mqtt.broker().map_err(|reason| unreachable(config, &reason))?;
    let mut wire = connect(config, credentials, &broker)?;
    findings.push(Finding::good("broker", format!("{} answers", config.mqtt.url)));
    if broker.tls {
        findings.push(Finding::good("certificate", "trusted, and of this host"));
    }
    let five = match log_in(config, credentials, &mut wire)? {
        Answer::Accepted => true,
        Answer::Older => {
            wire = connect(config, credentials, &broker)?;
            log_in_v4(config, credentials, &mut wire)?;
            false
        }
    };
    let user = config.mqtt.username.as_deref().map_or("without a user name".into(), |u| format!("as {u}"));
    findings.push(Finding::good("login", format!("accepted {user}")));
    if depth == Depth::Rules && !five {
        findings.push(Finding::note(
            "rules",
            "the broker knows MQTT 3.1.1 alone: it cannot say whether it takes events; see check_failed in health",
        ));
    } else if depth == Depth::Rules {
        findings.extend(rules(config, &mut wire, running)?);
    }
    // Who is gone already needs no farewell.
    _ = wire.send(&Packet::Disconnect(Disconnect::new(DisconnectReasonCode::NormalDisconnection)));
    Ok(())
}

fn unreachable(config: &Config, reason: &str) -> Finding {
    let remedy = "start the broker, or correct mqtt.url; a firewall or a missing network may be the cause";
    Finding::fault("broker", "broker_unreachable", format!("{}: {reason}", config.mqtt.url), remedy)
}

/// The addresses of a host; a name server that is silent holds nobody up.
fn resolve(broker: &Broker) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = (broker.host.clone(), broker.port);
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody may be waiting any more.
        _ = sender.send(addresses);
    });
    match receiver.recv_timeout(PATIENCE) {
        Ok(Ok(addresses)) if addresses.is_empty() => Err("the name has no address".into()),
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(e)) => Err(format!("the name cannot be resolved: {e}")),
        Err(_) => Err("the name server does not answer".into()),
    }
}

/// Opens a connection.
fn dial(config: &Config, broker: &Broker) -> Result<TcpStream, Finding> {
    let addresses = resolve(broker).map_err(|reason| unreachable(config, &reason))?;
    let mut reason = String::new();
    let deadline = Instant::now() + PATIENCE;
    let mut socket = None;
    for address in addresses {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(200));
        match TcpStream::connect_timeout(&address, left) {
            Ok(open) => {
                socket = Some(open);
                break;
            }
            Err(e) => reason = format!("{address}: {e}"),
        }
    }
    socket.ok_or_else(|| unreachable(config, &reason))
}

fn connect(config: &Config, credentials: &Credentials, broker: &Broker) -> Result<Wire, Finding> {
    let socket = dial(config, broker)?;
    match &credentials.tls {
        Some(tls) => Wire::tls(socket, tls.clone(), &broker.host, PATIENCE)
            .map_err(|e| certificate::finding(config, &e)),
        None => Wire::plain(socket).map_err(|e| unreachable(config, &e.to_string())),
    }
}

fn client_id(config: &Config) -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    format!("{}-doctor-{:08x}", config.client_id(), RandomState::new().build_hasher().finish() as u32)
}

fn silent(config: &Config, silence: &Silence) -> Finding {
    match silence {
        Silence::Broken(e) => certificate::finding(config, e),
        Silence::Timeout => unreachable(config, "the port is open, and nothing answers"),
        Silence::Closed | Silence::Foreign => {
            let text = format!("{}: the connection is closed before the login", config.mqtt.url);
            if config.mqtt.url.starts_with("mqtts") && config.mqtt.cert.is_none() {
                let remedy = "the broker wants a client certificate: set mqtt.cert and mqtt.key";
                return Finding::fault("certificate", "broker_certificate", text, remedy);
            }
            let remedy = "the port may speak TLS, which mqtts:// does, or no MQTT: correct mqtt.url";
            Finding::fault("broker", "broker_unreachable", text, remedy)
        }
    }
}

/// What a broker says to a client of MQTT 5.
enum Answer {
    Accepted,
    /// It knows 3.1.1 alone.
    Older,
}

fn refused(config: &Config, reason: &str) -> Finding {
    let remedy = match (&config.mqtt.username, &config.mqtt.cert) {
        (Some(_), _) if password_file(config).is_none() => {
            "no password is known here: set mqtt.password_file; where the unit hands it over (LoadCredential), ask with \
             CREDENTIALS_DIRECTORY set to its folder"
        }
        (None, None) => "set mqtt.username and mqtt.password_file, or mqtt.cert and mqtt.key",
        (Some(_), _) => {
            "correct mqtt.username and the content of mqtt.password_file; compare with the broker's own file"
        }
        (None, Some(_)) => "the broker does not know the name in mqtt.cert, or wants mqtt.username",
    };
    Finding::fault("login", "broker_refused", format!("{}: {reason}", config.mqtt.url), remedy)
}

fn log_in(config: &Config, credentials: &Credentials, wire: &mut Wire) -> Result<Answer, Finding> {
    let login = credentials.login.as_ref().map(|l| Login::new(l.username.clone(), l.password.clone()));
    let connect =
        Connect { keep_alive: 30, client_id: client_id(config), clean_start: true, properties: None };
    let sent = wire.send(&Packet::Connect(connect, None, login));
    sent.map_err(|e| silent(config, &Silence::Broken(e)))?;
    match wire.receive(PATIENCE) {
        Ok(Packet::ConnAck(ack)) => match ack.code {
            Code::Success => Ok(Answer::Accepted),
            Code::UnsupportedProtocolVersion | Code::RefusedProtocolVersion => Ok(Answer::Older),
            Code::BadUserNamePassword => Err(refused(config, "user name or password is wrong")),
            Code::NotAuthorized => Err(refused(config, "this login is not allowed")),
            code => Err(refused(config, &of_code(&code))),
        },
        // MQTT 3.1.1 has a shorter answer.
        Ok(_) | Err(Silence::Foreign | Silence::Closed) => Ok(Answer::Older),
        Err(silence) => Err(silent(config, &silence)),
    }
}

/// The same for a broker that knows MQTT 3.1.1 alone.
fn log_in_v4(config: &Config, credentials: &Credentials, wire: &mut Wire) -> Result<(), Finding> {
    let mut connect = rumqttc::mqttbytes::v4::Connect::new(client_id(config));
    if let Some(login) = &credentials.login {
        connect.set_login(&login.username, &login.password);
    }
    let mut packet = bytes::BytesMut::new();
    connect.write(&mut packet).map_err(|e| refused(config, &e.to_string()))?;
    wire.send_bytes(&packet).map_err(|e| silent(config, &Silence::Broken(e)))?;
    let answer = wire.receive_bytes(4, PATIENCE).map_err(|silence| silent(config, &silence))?;
    match answer[..] {
        [0x20, 2, _, 0] => Ok(()),
        [0x20, 2, _, 4] => Err(refused(config, "user name or password is wrong")),
        [0x20, 2, _, 5] => Err(refused(config, "this login is not allowed")),
        [0x20, 2, _, code] => Err(refused(config, &format!("answer {code}"))),
        _ => Err(silent(config, &Silence::Foreign)),
    }
}

/// The access rules of the device's topics.
fn rules(config: &Config, wire: &mut Wire, running: &mut Running) -> Result<Vec<Finding>, Finding> {
    let base = base(config);
    let broken = |e| silent(config, &Silence::Broken(e));
    let commands: Vec<String> = Command::ALL.iter().map(|c| format!("{base}/{}/set", c.as_str())).collect();
    let reports = ["status", "health"].map(|name| format!("{base}/{name}"));
    let topics: Vec<&String> = commands.iter().chain(&reports).collect();
    let filters = topics.iter().map(|t| Filter::new((*t).clone(), QoS::AtLeastOnce));
    let mut subscribe = Subscribe::new_many(filters, None);
    subscribe.pkid = 1;
    wire.send(&Packet::Subscribe(subscribe)).map_err(broken)?;
    let event = format!("{base}/event");
    let mut publish = Publish::new(event.clone(), QoS::ExactlyOnce, "", None);
    publish.pkid = 2;
    wire.send(&Packet::Publish(publish)).map_err(broken)?;
    let (mut subscribed, mut received) = (None, None);
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        if subscribed.is_some() && received.is_some() {
            deadline = deadline.min(Instant::now() + RETAINED);
        }
        match wire.receive(deadline.saturating_duration_since(Instant::now())) {
            Ok(Packet::SubAck(ack)) => subscribed = Some(ack.return_codes),
            Ok(Packet::PubRec(ack)) => received = Some(ack.reason),
            Ok(Packet::Publish(message)) if message.retain => {
                let text = String::from_utf8_lossy(&message.payload).into_owned();
                if message.topic == reports[0].as_bytes() {
                    running.status = Some(text);
                } else if message.topic == reports[1].as_bytes() {
                    running.health = serde_json::from_str(&text).ok();
                }
            }
            // A broker that answers what is forbidden by closing the connection.
            Ok(Packet::Disconnect(_)) | Err(Silence::Closed) => {
                return Ok(vec![events_refused(config, &event, CLOSED)]);
            }
            Ok(_) => {}
            Err(Silence::Timeout) => break,
            Err(silence) => return Err(silent(config, &silence)),
        }
    }
    let mut findings = Vec::new();
    match received {
        Some(PubRecReason::Success | PubRecReason::NoMatchingSubscribers) => {
            findings.push(Finding::good("events", format!("{event} is allowed")));
        }
        Some(reason) => findings.push(events_refused(config, &event, &of_code(&reason))),
        None => findings.push(Finding::note("events", format!("{event}: no answer"))),
    }
    let forbidden: Vec<&str> = topics
        .iter()
        .zip(subscribed.iter().flatten())
        .filter(|(topic, code)| topic.ends_with("/set") && !matches!(code, SubscribeReasonCode::Success(_)))
        .map(|(topic, _)| topic.as_str())
        .collect();
    if !forbidden.is_empty() {
        let remedy = format!("allow the device to read {base}/+/set in the access list of the broker");
        findings.push(Finding::fault("commands", "commands_refused", forbidden.join(", "), remedy));
    }
    if matches!(received, Some(PubRecReason::Success | PubRecReason::NoMatchingSubscribers)) {
        findings.extend(refused_reports(&base, wire));
    }
    Ok(findings)
}

/// Whether the broker takes the reports of the device: asked as for events, one after the other, for it may close the
/// connection at the first one that it does not take.
fn refused_reports(base: &str, wire: &mut Wire) -> Option<Finding> {
    let mut refused = Vec::new();
    for (name, pkid) in ["status", "state", "health", "capabilities"].into_iter().zip(3..) {
        let topic = format!("{base}/{name}");
        let mut publish = Publish::new(topic.clone(), QoS::ExactlyOnce, "", None);
        publish.pkid = pkid;
        if wire.send(&Packet::Publish(publish)).is_err() {
            break;
        }
        let deadline = Instant::now() + PATIENCE;
        let reason = loop {
            match wire.receive(deadline.saturating_duration_since(Instant::now())) {
                Ok(Packet::PubRec(ack)) if ack.pkid == pkid => match ack.reason {
                    PubRecReason::Success | PubRecReason::NoMatchingSubscribers => break None,
                    reason => break Some(of_code(&reason)),
                },
                Ok(Packet::Disconnect(_)) | Err(Silence::Closed) => break Some(CLOSED.into()),
                Ok(_) => {}
                // Without an answer nothing is known.
                Err(_) => break None,
            }
        };
        refused.extend(reason.map(|reason| format!("{topic}: {reason}")));
    }
    let remedy =
        format!("allow the device to write status, state, health, capabilities and +/state below {base}");
    (!refused.is_empty()).then(|| Finding::fault("reports", "reports_refused", refused.join(", "), remedy))
}

fn events_refused(config: &Config, event: &str, reason: &str) -> Finding {
    let remedy = format!(
        "allow the device to write {event} in the access list of the broker; where the list goes by client id, this test \
         has an id of its own, {}-doctor-...",
        config.client_id()
    );
    Finding::fault("events", "events_refused", format!("{event}: {reason}"), remedy)
}
