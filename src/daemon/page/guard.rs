//! Who may ask: the host that the browser means, the site that the request comes from, the token.
//!
//! A page elsewhere can make a browser send requests to this address. It reaches a loopback address by a name of its own that
//! resolves to it (DNS rebinding): `Host` then holds that name, and is refused. Or it sends the request across sites: `Origin`
//! and `Sec-Fetch-Site` then tell, and what changes anything also needs the session, which is told to a page of this site
//! alone.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};

use super::token::Token;

/// What a request is refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `Host` names another host, or there is none.
    Host,
    /// It comes from another site.
    Origin,
    /// There is no token, or a wrong one.
    Token,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// The page itself, which tells nothing.
    Asset,
    /// Anything about the device.
    Data,
}

/// Decides who may ask.
pub(crate) struct Guard {
    token: Option<Token>,
    hosts: Vec<String>,
}

impl Guard {
    /// A guard of these; `hosts` are names besides `localhost` and IP addresses.
    pub(super) fn new(token: Option<Token>, hosts: Vec<String>) -> Self {
        Self { token, hosts }
    }

    /// Whether a request with these headers may ask.
    pub(super) fn check(&self, headers: &HeaderMap, access: Access) -> Result<(), Refusal> {
        let host = only(headers, &HOST).ok_or(Refusal::Host)?;
        if !self.is_own(host) {
            return Err(Refusal::Host);
        }
        if access == Access::Asset {
            return Ok(());
        }
        if !is_same_site(headers, host) {
            return Err(Refusal::Origin);
        }
        let given = headers.get(AUTHORIZATION).and_then(|v| bearer(v.as_bytes())).unwrap_or_default();
        match &self.token {
            Some(token) if !token.is(given) => Err(Refusal::Token),
            _ => Ok(()),
        }
    }

    /// Whether `Host` is this machine: an address, which no name server has a say in, or a name that is known.
    fn is_own(&self, host: &str) -> bool {
        let Some(name) = name_of(host) else { return false };
        let is_address = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => matches!(name.parse(), Ok(IpAddr::V4(_))),
        };
        is_address
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    }
}

/// The value of a header that comes once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// A host without its port; `None` where what stands behind the colon is none.
fn name_of(host: &str) -> Option<&str> {
    let end = match host.strip_prefix('[') {
        Some(_) => host.find(']')? + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let port = if port.is_empty() { Some("") } else { port.strip_prefix(':') }?;
    port.bytes().all(|b| b.is_ascii_digit()).then_some(name)
}

/// Whether a request comes from a page of this site, or from no page at all.
fn is_same_site(headers: &HeaderMap, host: &str) -> bool {
    let origin = match headers.get(ORIGIN) {
        None => true,
        // Behind a proxy the page may be encrypted.
        Some(origin) => ["http://", "https://"].iter().any(|scheme| {
            let rest = origin.to_str().ok().and_then(|o| o.strip_prefix(scheme));
            rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
        }),
    };
    let site = headers.get("sec-fetch-site").map(|v| v.as_bytes());
    origin && matches!(site, None | Some(b"same-origin" | b"none"))
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(all: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in all {
            map.append(HeaderName::try_from(*name).expect("a name"), value.parse().expect("a value"));
        }
        map
    }

    fn guard() -> Guard {
        Guard::new(None, vec!["kiosk.local".into()])
    }

    #[test]
    fn a_host_is_an_address_or_a_name_that_is_known() {
        let check = |host: &str| guard().check(&headers(&[("host", host)]), Access::Data);
        for host in [
            "127.0.0.1:8080",
            "127.0.0.1",
            "localhost:8080",
            "LOCALHOST",
            "[::1]:8080",
            "[::1]",
            "192.0.2.7:80",
            "kiosk.local:8080",
            "Kiosk.Local",
        ] {
            assert_eq!(check(host), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            ":8080",
            "127.0.0.1:8080@evil.example",
            "[evil.example]",
            "[::1",
            "[::1]x",
            "127.0.0.1:x",
            "2130706433",
            "0x7f.1",
            "::1",
            "kiosk.local.",
        ] {
            assert_eq!(check(host), Err(Refusal::Host), "{host}");
        }
        assert_eq!(guard().check(&headers(&[]), Access::Asset), Err(Refusal::Host), "no host");
        let two = headers(&[("host", "localhost"), ("host", "localhost")]);
        assert_eq!(guard().check(&two, Access::Asset), Err(Refusal::Host), "two hosts");
    }

    #[test]
    fn another_site_gets_nothing() {
        let check =
            |more: (&str, &str)| guard().check(&headers(&[("host", "localhost:8080"), more]), Access::Data);
        for more in [
            ("origin", "http://localhost:8080"),
            ("origin", "https://localhost:8080"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
        ] {
            assert_eq!(check(more), Ok(()), "{more:?}");
        }
        for more in [
            ("origin", "http://evil.example"),
            ("origin", "http://localhost:80"),
            ("origin", "null"),
            ("origin", "localhost:8080"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(check(more), Err(Refusal::Origin), "{more:?}");
        }
        // A link to the page itself is no harm.
        let link = headers(&[("host", "localhost"), ("sec-fetch-site", "cross-site")]);
        assert_eq!(guard().check(&link, Access::Asset), Ok(()));
    }

    #[test]
    fn a_token_is_asked_of_everything_but_the_page_itself() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("token");
        std::fs::write(&path, "0123456789abcdef\n").expect("file");
        let guard = Guard::new(Some(Token::read(&path).expect("a token")), Vec::new());
        let check = |value: &str, access| {
            guard.check(&headers(&[("host", "localhost"), ("authorization", value)]), access)
        };
        assert_eq!(check("Bearer 0123456789abcdef", Access::Data), Ok(()));
        assert_eq!(check("bearer 0123456789abcdef", Access::Data), Ok(()));
        for wrong in
            ["Bearer 0123456789abcdeg", "Bearer ", "Basic 0123456789abcdef", "0123456789abcdef", "Bearer"]
        {
            assert_eq!(check(wrong, Access::Data), Err(Refusal::Token), "{wrong}");
            assert_eq!(check(wrong, Access::Asset), Ok(()));
        }
        assert_eq!(guard.check(&headers(&[("host", "localhost")]), Access::Data), Err(Refusal::Token));
    }

    proptest! {
        /// Whatever a name server can resolve is refused.
        #[test]
        fn no_foreign_name_passes(name in "[a-z][a-z0-9.-]{0,30}", port in prop::option::of(0u16..)) {
            prop_assume!(name != "localhost" && name != "kiosk.local");
            let host = port.map_or(name.clone(), |port| format!("{name}:{port}"));
            prop_assert_eq!(guard().check(&headers(&[("host", &host)]), Access::Asset), Err(Refusal::Host));
        }

        #[test]
        fn no_host_panics(host in "[ -~]{0,40}") {
            _ = guard().check(&headers(&[("host", &host)]), Access::Data);
        }
    }
}
