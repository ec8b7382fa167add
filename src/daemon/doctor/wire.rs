//! A conversation with a broker that waits for each answer: for questions, not for events.
//!
//! The daemon's own connection ([`crate::daemon::mqtt::link`]) cannot stop between the two halves of a delivery, and does not say
//! in which step it failed.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::Error;
use rumqttc::v5::mqttbytes::v5::Packet;

/// No packet that is waited for is larger.
const MAX_PACKET: u32 = 1 << 20;
/// Bytes that are read at a time.
const CHUNK: usize = 4096;

/// A stream of bytes, encrypted or not.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A connection.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    socket: TcpStream,
    buffer: BytesMut,
}

/// Why nothing came.
#[derive(Debug)]
pub(super) enum Silence {
    /// Not within the time.
    Timeout,
    /// The other side closed the connection.
    Closed,
    /// What came is not MQTT 5.
    Foreign,
    /// The socket, or TLS.
    Broken(std::io::Error),
}

impl Wire {
    /// Bytes as they are.
    pub(super) fn plain(socket: TcpStream) -> std::io::Result<Self> {
        let stream = Box::new(socket.try_clone()?);
        Ok(Self { stream, socket, buffer: BytesMut::new() })
    }

    /// TLS: the handshake is done here, so its error is that of the certificate.
    pub(super) fn tls(
        mut socket: TcpStream,
        config: Arc<rustls::ClientConfig>,
        host: &str,
        timeout: Duration,
    ) -> Result<Self, std::io::Error> {
        let name = rustls::pki_types::ServerName::try_from(host.to_owned())
            .map_err(|e| std::io::Error::new(ErrorKind::InvalidInput, e))?;
        let mut client = rustls::ClientConnection::new(config, name).map_err(std::io::Error::other)?;
        socket.set_read_timeout(Some(timeout))?;
        while client.is_handshaking() {
            client.complete_io(&mut socket)?;
        }
        let transport = socket.try_clone()?;
        let stream = Box::new(rustls::StreamOwned::new(client, transport));
        Ok(Self { stream, socket, buffer: BytesMut::new() })
    }

    /// Sends a packet.
    pub(super) fn send(&mut self, packet: &Packet) -> std::io::Result<()> {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).map_err(std::io::Error::other)?;
        self.stream.write_all(&bytes)?;
        self.stream.flush()
    }

    /// Sends bytes.
    pub(super) fn send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Waits for the next packet.
    pub(super) fn receive(&mut self, timeout: Duration) -> Result<Packet, Silence> {
        let deadline = Instant::now() + timeout;
        loop {
            if !self.buffer.is_empty() {
                match Packet::read(&mut self.buffer, Some(MAX_PACKET)) {
                    Ok(packet) => return Ok(packet),
                    Err(Error::InsufficientBytes(_)) => {}
                    Err(_) => return Err(Silence::Foreign),
                }
            }
            self.fill(deadline)?;
        }
    }

    /// The first bytes that come, as they are.
    pub(super) fn receive_bytes(&mut self, count: usize, timeout: Duration) -> Result<Vec<u8>, Silence> {
        let deadline = Instant::now() + timeout;
        while self.buffer.len() < count {
            self.fill(deadline)?;
        }
        Ok(self.buffer.split_to(count).to_vec())
    }

    fn fill(&mut self, deadline: Instant) -> Result<(), Silence> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Silence::Timeout);
        }
        self.socket.set_read_timeout(Some(left)).map_err(Silence::Broken)?;
        let mut chunk = [0; CHUNK];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(Silence::Closed),
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            Err(e) => Err(match e.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Silence::Timeout,
                ErrorKind::Interrupted => return Ok(()),
                ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => {
                    Silence::Closed
                }
                _ => Silence::Broken(e),
            }),
        }
    }
}
