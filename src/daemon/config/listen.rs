//! `page.listen`, and the keys that go with it.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::broker::host_name;
use super::{Config, PageConfig, Problem};

/// Where the page is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Address {
    /// Whether only this machine gets there.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

/// What an address may be.
const ADDRESSES: &str =
    "127.0.0.1:8080, [::1]:8080, unix:/run/glint/page.sock, or another address with page.token_file";
/// Longest path of a Unix socket on Linux, without its end.
const MAX_PATH: usize = 107;

impl PageConfig {
    /// Where the page is served; `None` where it is off.
    pub(crate) fn address(&self) -> Result<Option<Address>, String> {
        let Some(text) = &self.listen else { return Ok(None) };
        if text.is_empty() {
            return Err("empty".into());
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = path.starts_with('/')
                && !path.ends_with('/')
                && path.len() <= MAX_PATH
                && !path.contains(char::is_control);
            return if fits {
                Ok(Some(Address::Unix(path.into())))
            } else {
                Err(format!("after unix: no absolute path of at most {MAX_PATH} bytes stands"))
            };
        }
        match text.parse::<SocketAddr>() {
            // The system would choose one that nobody knows.
            Ok(address) if address.port() == 0 => Err("the port is 0".into()),
            Ok(address) => Ok(Some(Address::Tcp(address))),
            Err(_) => Err("not an IP address with a port".into()),
        }
    }
}

impl Config {
    /// What is wrong with table `page`.
    pub(super) fn page_problems(&self) -> Vec<Problem> {
        let page = &self.page;
        let mut problems = Vec::new();
        match page.address() {
            Err(reason) => {
                problems.push(Problem { key: "page.listen", reason, allowed: ADDRESSES, with: &[] })
            }
            Ok(Some(address)) if !address.is_local() && page.token_file.is_none() => problems.push(Problem {
                key: "page.listen",
                reason: "an address that other machines reach needs page.token_file".into(),
                allowed: ADDRESSES,
                with: &["page.token_file"],
            }),
            Ok(_) => {}
        }
        let wrong = |(n, name): (usize, &String)| host_name(name).err().map(|why| (n + 1, why));
        if let Some((n, why)) = page.hosts.iter().flatten().enumerate().find_map(wrong) {
            problems.push(Problem {
                key: "page.hosts",
                reason: format!("entry {n}: {why}"),
                allowed: "names without a port, as \"kiosk.local\"",
                with: &[],
            });
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse("g", text).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn an_address_is_loopback_or_a_unix_socket_or_has_a_token() {
        for listen in ["127.0.0.1:8080", "127.1.2.3:1", "[::1]:8080", "unix:/run/glint/page.sock"] {
            let config = Config::parse("g", &format!("page.listen = {listen:?}")).expect(listen);
            assert!(config.page.address().expect("valid").expect("set").is_local());
            assert!(config.is_audited());
        }
        for listen in ["0.0.0.0:8080", "192.0.2.1:8080", "[::]:8080"] {
            let text = format!("page.listen = {listen:?}");
            let line = error(&text);
            assert!(
                line.starts_with("g:1:15: page.listen: an address that other machines reach needs"),
                "{line}"
            );
            assert_eq!(error(&format!("{text}\npage.token_file = \"/t\"")), "");
        }
        for listen in
            ["8080", "localhost:8080", "127.0.0.1", "127.0.0.1:0", "unix:page.sock", "unix:", "unix:/", ""]
        {
            let line = error(&format!("page.listen = {listen:?}"));
            assert!(
                line.starts_with("g:1:15: page.listen: ") && line.contains("; allowed: 127.0.0.1:8080"),
                "{line}"
            );
        }
        let line = error("page.hosts = [\"kiosk.local\", \"kiosk:80\"]");
        assert!(line.contains("page.hosts: entry 2: the character : in the name of the host"), "{line}");
        assert!(!line.contains("kiosk:80"), "{line}");
    }

    #[test]
    fn without_a_word_there_is_neither_page_nor_audit() {
        let config = Config::parse("g", "").expect("valid");
        assert_eq!((config.page.address(), config.is_audited()), (Ok(None), false));
        let config =
            Config::parse("g", "page.listen = \"127.0.0.1:1\"\naudit.enabled = false").expect("valid");
        assert!(!config.is_audited());
        assert!(Config::parse("g", "audit.enabled = true").expect("valid").is_audited());
    }
}
