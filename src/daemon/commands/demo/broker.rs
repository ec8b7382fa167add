//! The demo's own broker, and its subscriber.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rumqttc::{Client, MqttOptions, Packet, QoS};

/// A broker in this process, on a free port of the loopback interface.
pub(super) fn start_broker() -> anyhow::Result<u16> {
    let port = TcpListener::bind("127.0.0.1:0").context("loopback")?.local_addr()?.port();
    let listen = SocketAddr::from(([127, 0, 0, 1], port));
    let server = rumqttd::ServerSettings {
        name: "demo".into(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections: rumqttd::ConnectionSettings {
            connection_timeout_ms: 60_000,
            max_payload_size: 1 << 20,
            max_inflight_count: 100,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    let config = rumqttd::Config {
        id: 0,
        router: rumqttd::RouterConfig {
            max_connections: 16,
            max_outgoing_packet_count: 200,
            max_segment_size: 1 << 20,
            max_segment_count: 10,
            ..Default::default()
        },
        v4: Some(std::collections::HashMap::from([("demo".into(), server)])),
        v5: None,
        ws: None,
        cluster: None,
        console: None,
        bridge: None,
        prometheus: None,
        metrics: None,
    };
    let mut broker = rumqttd::Broker::new(config);
    // It cannot be stopped and lives as long as the process.
    std::thread::Builder::new().name("broker".into()).spawn(move || {
        if let Err(e) = broker.start() {
            tracing::error!("broker: {e}");
        }
    })?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect_timeout(&listen, Duration::from_millis(200)).is_err() {
        if Instant::now() > deadline {
            bail!("the broker does not listen on {listen}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(port)
}

/// A subscriber like any other; what is published on `topic`, as it arrives.
pub(super) fn subscribe(port: u16, topic: &str) -> anyhow::Result<std::sync::mpsc::Receiver<String>> {
    let mut options = MqttOptions::new("glint-demo-subscriber", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut connection) = Client::new(options, 16);
    client.subscribe(topic, QoS::AtLeastOnce)?;
    let (sender, events) = std::sync::mpsc::channel();
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("subscriber".into()).spawn(move || {
        // The connection lasts as long as its client.
        let _client = client;
        for event in connection.iter() {
            match event {
                Ok(rumqttc::Event::Incoming(Packet::SubAck(_))) => _ = ready.send(()),
                Ok(rumqttc::Event::Incoming(Packet::Publish(p))) => {
                    let line = String::from_utf8_lossy(&p.payload).into_owned();
                    if sender.send(line).is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(e) => {
                    tracing::warn!("subscriber: {e}");
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        }
    })?;
    is_ready.recv_timeout(Duration::from_secs(10)).context("the broker did not accept the subscription")?;
    Ok(events)
}
