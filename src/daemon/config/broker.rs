//! `mqtt.url`.

use super::MqttConfig;

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    /// Name or address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// Whether the connection is encrypted.
    pub(crate) tls: bool,
}

/// What an address may be.
pub(super) const URLS: &str = "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]";

impl MqttConfig {
    /// The parts of `mqtt.url`, or what is wrong with it.
    pub(crate) fn broker(&self) -> Result<Broker, String> {
        let (scheme, rest) = self.url.split_once("://").ok_or("the address has no scheme")?;
        let (tls, default_port) = match scheme {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return Err(format!("unknown scheme {scheme:?}")),
        };
        if rest.contains('@') {
            return Err("a user or password in the address; use mqtt.username and mqtt.password_file".into());
        }
        let rest = rest.trim_end_matches('/');
        // An IPv6 address stands in brackets, since it has colons of its own.
        let (host, port) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((host, tail)) => (host, tail.strip_prefix(':')),
            None => rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            None => default_port,
            Some(text) => {
                text.parse().ok().filter(|p| *p > 0).ok_or_else(|| format!("invalid port {text:?}"))?
            }
        };
        if host.is_empty() || host.contains('/') {
            return Err("the address has no host".into());
        }
        Ok(Broker { host: host.into(), port, tls })
    }
}
