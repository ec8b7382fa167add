//! `mqtt.url`. What is wrong with it is said without a word of it: an address may hold a login.

use std::net::{Ipv4Addr, Ipv6Addr};

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
pub(super) const URLS: &str = "mqtt://HOST[:PORT] or mqtts://HOST[:PORT], an IPv6 address in brackets";
/// Schemes of other programs, which no login looks like.
const FOREIGN: [&str; 8] = ["ws", "wss", "http", "https", "tcp", "ssl", "tls", "mqtt+ssl"];
/// Longest name of a host, and of a part of it between dots (RFC 1035).
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

impl MqttConfig {
    /// The parts of `mqtt.url`, or what is wrong with it.
    pub(crate) fn broker(&self) -> Result<Broker, String> {
        let url = &self.url;
        if url.is_empty() {
            return Err("empty".into());
        }
        if url.contains('@') {
            return Err("a user or password in the address; use mqtt.username and mqtt.password_file".into());
        }
        if url.contains(char::is_control) {
            return Err("a control character in the address".into());
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err("the address does not begin with mqtt:// or mqtts://".into());
        };
        let (tls, default_port) = match scheme {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            known if FOREIGN.contains(&known) => return Err(format!("unknown scheme {known}://")),
            _ => return Err("unknown scheme before ://".into()),
        };
        let rest = rest.trim_end_matches('/');
        if rest.contains(['/', '?', '#']) {
            return Err("something follows the host and the port".into());
        }
        // An IPv6 address stands in brackets, since it has colons of its own.
        let (host, port) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (host, tail) = inner.split_once(']').ok_or("the bracket [ is not closed")?;
                if !is_ipv6(host, tls) {
                    return Err("no IPv6 address stands in the brackets".into());
                }
                match tail.strip_prefix(':') {
                    None if !tail.is_empty() => return Err("after ] only :PORT may follow".into()),
                    port => (host, port),
                }
            }
            None if rest.matches(':').count() > 1 => {
                return Err("more than one colon; an IPv6 address stands in brackets, as mqtt://[::1]".into());
            }
            None => {
                let (host, port) =
                    rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
                host_name(host)?;
                (host, port)
            }
        };
        let port = match port {
            None => default_port,
            Some(text) => port_number(text).ok_or("the port is not a number of 1 to 65535")?,
        };
        Ok(Broker { host: host.into(), port, tls })
    }
}

/// A port of digits alone: a sign is none.
fn port_number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

/// Whether a text is an IPv6 address. One of a single link names its interface (`fe80::1%eth0`); no certificate has such
/// a name, so that it is for unencrypted connections alone.
fn is_ipv6(text: &str, tls: bool) -> bool {
    match text.split_once('%') {
        None => text.parse::<Ipv6Addr>().is_ok(),
        Some((address, interface)) => {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            !tls && !interface.is_empty()
                && interface.chars().all(fits)
                && address.parse::<Ipv6Addr>().is_ok()
        }
    }
}

/// What keeps a text from being the name of a host, or its IPv4 address.
pub(super) fn host_name(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("the host is missing".into());
    }
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if let Some(wrong) = host.chars().find(|c| !fits(c)) {
        return Err(format!("{} in the name of the host", named(wrong)));
    }
    // With a dot at its end a name is looked up as it is.
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > MAX_HOST || !name.split('.').all(is_label) {
        return Err("what stands for the host is not a host name".into());
    }
    // The resolver takes 10.1 for 10.0.0.1, and 300.1.1.1 for a name.
    let looks_like_ipv4 = name.chars().all(|c| c.is_ascii_digit() || c == '.');
    if looks_like_ipv4 && host.parse::<Ipv4Addr>().is_err() {
        return Err("what stands for the host is not an IPv4 address".into());
    }
    Ok(())
}

/// A character in words. One alone tells nothing of a secret.
pub(super) fn named(c: char) -> String {
    match c {
        ' ' => "a space".into(),
        c if c.is_control() => "a control character".into(),
        c if c.is_whitespace() => "a blank".into(),
        c => format!("the character {c}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(url: &str) -> Result<Broker, String> {
        MqttConfig { url: url.into(), ..MqttConfig::default() }.broker()
    }

    #[test]
    fn addresses_of_brokers() {
        for (url, host, port, tls) in [
            ("mqtt://localhost", "localhost", 1883, false),
            ("mqtts://broker.example.org./", "broker.example.org.", 8883, true),
            ("mqtt://192.0.2.7:1884", "192.0.2.7", 1884, false),
            ("mqtt://broker_1", "broker_1", 1883, false),
            ("mqtt://[::1]", "::1", 1883, false),
            ("mqtts://[2001:db8::7]:65535", "2001:db8::7", 65535, true),
            ("mqtt://[fe80::1%eth0]:1883", "fe80::1%eth0", 1883, false),
        ] {
            assert_eq!(broker(url), Ok(Broker { host: host.into(), port, tls }), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_in_words_and_not_shown() {
        for (url, reason) in [
            ("", "empty"),
            ("localhost", "does not begin with mqtt:// or mqtts://"),
            ("ws://x", "unknown scheme ws://"),
            ("s3cret://x", "unknown scheme before ://"),
            ("mqtt://", "the host is missing"),
            ("mqtt://:1883", "the host is missing"),
            ("mqtt://user:s3cret@host", "a user or password"),
            ("user:s3cret@host", "a user or password"),
            ("mqtt://::1", "more than one colon; an IPv6 address stands in brackets"),
            ("mqtt://host:1883:1", "more than one colon"),
            ("mqtt://user:s3cret", "the port is not a number of 1 to 65535"),
            ("mqtt://host:", "the port is not a number"),
            ("mqtt://host:0", "the port is not a number"),
            ("mqtt://host:99999", "the port is not a number"),
            ("mqtt://host:+1883", "the port is not a number"),
            ("mqtt://ho st", "a space in the name of the host"),
            (" mqtt://host", "unknown scheme"),
            ("mqtt://host ", "a space in the name of the host"),
            ("mqtt://h\u{7}ost", "a control character"),
            ("mqtt://host\n", "a control character"),
            ("mqtt://bröker", "the character ö"),
            ("mqtt://host/s3cret", "something follows"),
            ("mqtt://host?x=s3cret", "something follows"),
            ("mqtt://[s3cret]", "no IPv6 address stands in the brackets"),
            ("mqtt://[::1", "the bracket [ is not closed"),
            ("mqtt://[::1]s3cret", "after ] only :PORT"),
            ("mqtt://[]", "no IPv6 address"),
            ("mqtts://[fe80::1%eth0]", "no IPv6 address"),
            ("mqtt://[fe80::1%]", "no IPv6 address"),
            ("mqtt://a..b", "is not a host name"),
            ("mqtt://-a", "is not a host name"),
            ("mqtt://300.1.1.1", "is not an IPv4 address"),
            ("mqtt://10.1", "is not an IPv4 address"),
        ] {
            let error = broker(url).expect_err(url);
            assert!(error.contains(reason), "{url:?}: {error}");
            assert!(!error.contains("s3cret"), "{url:?}: {error}");
        }
        assert!(broker(&format!("mqtt://{}", "a".repeat(64))).is_err());
        assert!(broker(&format!("mqtt://{}", ["a"; 128].join("."))).is_err());
    }
}
