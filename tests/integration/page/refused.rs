//! Whom the page refuses: other hosts and sites, those without a token, and those who send too much or too slowly.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::broker::free_port;
use super::super::daemon::{Accepted, Daemon, configure_with, start_command};
use super::super::{run, stderr};
use super::{Live, Site, audit, start};

const TOKEN: &str = "correct-horse-battery";

#[test]
fn other_hosts_and_other_sites_get_nothing() {
    let dir = tempfile::tempdir().expect("folder");
    let (daemon, site) = start(dir.path(), "page.hosts = [\"kiosk.local\"]");
    for host in ["evil.example", "127.0.0.1.evil.example", ""] {
        for path in ["/", "/live", "/metrics", "/picture"] {
            assert_eq!(site.get(path, &[("Host", host)]).status, 403, "{host} {path}");
        }
    }
    assert_eq!(site.get("/", &[("Host", "kiosk.local:8080")]).status, 200);
    assert_eq!(site.get("/", &[("Host", "[::1]:1")]).status, 200);
    assert_eq!(site.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").status, 403, "no host");
    let host = site.host();
    let absolute = format!("GET http://evil.example/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert_eq!(site.send(&absolute).status, 400, "as to a proxy");

    let mut live = Live::open(&site, &[]);
    let session = live.session();
    let session_header = ("X-Glint-Session", session.as_str());
    let origin = format!("http://{host}");
    for foreign in [("Origin", "http://evil.example"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")] {
        for path in ["/command/pause", "/picture/confirm"] {
            assert_eq!(site.post(path, &[session_header, foreign]).status, 403, "{foreign:?} {path}");
        }
        assert_eq!(site.get("/live", &[foreign]).status, 403, "{foreign:?}");
        assert_eq!(site.get("/metrics", &[foreign]).status, 403, "{foreign:?}");
    }
    for session in ["", "0123456789abcdef0123456789abcdef", &session[..31]] {
        assert_eq!(site.post("/command/pause", &[("X-Glint-Session", session)]).status, 403, "{session}");
    }
    assert_eq!(site.get("/command/pause", &[session_header]).status, 404, "a link is no command");
    assert!(!dir.path().join("outbox.paused").exists(), "nothing of all that has paused the device");
    assert_eq!(
        site.post(
            "/command/pause",
            &[session_header, ("Origin", &origin), ("Sec-Fetch-Site", "same-origin")]
        )
        .status,
        200
    );
    assert!(dir.path().join("outbox.paused").exists());

    let page = site.get("/", &[]);
    let policy = page.header("content-security-policy").expect("a policy");
    for words in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"] {
        assert!(policy.contains(words), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(page.header("access-control-allow-origin").is_none());
    assert_eq!(
        site.send(&site.request("OPTIONS", "/command/pause", &[])).status,
        405,
        "no preflight is answered"
    );
    assert_eq!(daemon.end("TERM"), Some(0));
}

#[test]
fn everything_but_the_page_itself_needs_the_token() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("file");
    let (daemon, site) = start(dir.path(), &format!("page.token_file = {file:?}"));
    assert_eq!(site.get("/", &[]).status, 200);
    let right = format!("Bearer {TOKEN}");
    for wrong in [None, Some("Bearer correct-horse-batterx"), Some("Basic abc"), Some("Bearer ")] {
        let headers: Vec<(&str, &str)> = wrong.iter().map(|value| ("Authorization", *value)).collect();
        for path in ["/live", "/metrics", "/picture"] {
            let reply = site.get(path, &headers);
            assert_eq!(
                (reply.status, reply.header("www-authenticate")),
                (401, Some("Bearer")),
                "{wrong:?} {path}"
            );
        }
        assert_eq!(site.post("/command/pause", &headers).status, 401, "{wrong:?}");
    }
    let token = ("Authorization", right.as_str());
    assert_eq!(site.get("/metrics", &[token]).status, 200);
    let mut live = Live::open(&site, &[token]);
    let session = live.session();
    let session_header = ("X-Glint-Session", session.as_str());
    assert_eq!(site.post("/command/pause", &[session_header]).status, 401, "a session is no token");
    assert_eq!(site.post("/command/pause", &[session_header, token]).status, 200);
    assert_eq!(daemon.end("TERM"), Some(0));
    let refused: Vec<u64> = refusals(&audit(dir.path()));
    assert_eq!(
        refused.iter().sum::<u64>(),
        12,
        "each wrong one; who has none was not told yet that one is needed"
    );
    assert!(refused[0] == 1 && refused.len() <= 3, "the first at once, the rest as counts: {refused:?}");
    let text = std::fs::read_to_string(dir.path().join("audit.jsonl")).expect("there");
    assert!(!text.contains(TOKEN) && !text.contains("batterx") && !text.contains(&session));
}

#[test]
fn a_head_request_is_answered_as_get_is_without_the_body() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("file");
    let (daemon, site) = start(dir.path(), &format!("page.token_file = {file:?}"));
    let token = format!("Bearer {TOKEN}");
    let token = [("Authorization", token.as_str())];
    let head = |path: &str, headers: &[(&str, &str)]| site.send(&site.request("HEAD", path, headers));
    for (path, headers) in [("/", &[][..]), ("/page.js", &[]), ("/metrics", &[]), ("/none", &token)] {
        let (with, without) = (site.get(path, headers), head(path, headers));
        assert_eq!((without.status, without.body.len()), (with.status, 0), "{path}");
        for name in ["content-type", "content-length", "content-security-policy", "www-authenticate"] {
            assert_eq!(without.header(name), with.header(name), "{name} of {path}");
        }
    }
    assert_eq!((head("/metrics", &token).status, head("/live", &[]).status), (200, 401));
    let live = head("/live", &token);
    assert_eq!((live.status, live.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(head("/command/pause", &token).status, 404, "it commands nothing");
    assert_eq!(head("/", &[("Host", "evil.example")]).status, 403);
    assert_eq!(site.send(&site.request("PUT", "/", &[])).header("allow"), Some("GET, HEAD, POST"));
    assert_eq!(daemon.end("TERM"), Some(0));
    assert!(audit(dir.path()).is_empty(), "nobody has opened the page: {:?}", audit(dir.path()));
}

/// How often a wrong token came, entry by entry of the audit log.
fn refusals(entries: &[Value]) -> Vec<u64> {
    let refused = entries.iter().filter(|e| e["what"] == "token_refused");
    refused.map(|e| e["count"].as_u64().expect("a count")).collect()
}

#[test]
fn a_wrong_token_closes_its_connection_and_a_missing_one_does_not() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("file");
    let (daemon, site) = start(dir.path(), &format!("page.token_file = {file:?}"));
    let both = |first: &str| {
        let host = site.host();
        let ask = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
        let reply = site.send(&(ask("/metrics", first) + &ask("/icon.svg", "Connection: close\r\n")));
        assert_eq!(reply.status, 401, "{first}");
        String::from_utf8_lossy(&reply.body).contains("<svg")
    };
    assert!(both(""), "the next request is answered");
    assert!(!both("Authorization: Bearer wrong\r\n"), "closed");
    assert_eq!(daemon.end("TERM"), Some(0));
}

#[test]
fn a_flood_of_wrong_tokens_keeps_the_operator_out_of_nothing() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("file");
    let more = format!("page.token_file = {file:?}\naudit.max_bytes = 8192");
    let (daemon, site) = start(dir.path(), &more);
    let token = ("Authorization", format!("Bearer {TOKEN}"));
    let token = (token.0, token.1.as_str());
    let wrong = site.request("GET", "/metrics", &[("Authorization", "Bearer correct-horse-batterx")]);
    let (end, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut open = std::collections::VecDeque::new();
                while !end.load(Relaxed) {
                    // Some ask for nothing, and none of them waits for an answer.
                    if let Ok(mut stream) = site.connect_from([127, 0, 0, 2]) {
                        if !sent.fetch_add(1, Relaxed).is_multiple_of(4) {
                            _ = stream.write_all(wrong.as_bytes());
                        }
                        open.push_back(stream);
                    }
                    if open.len() > 40 {
                        open.pop_front();
                    }
                }
            });
        }
        while sent.load(Relaxed) < 200 {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut live = Live::open(&site, &[token]);
        let session = live.session();
        let headers = [("X-Glint-Session", session.as_str()), token];
        for round in 0..20 {
            assert_eq!(site.get("/", &[]).status, 200, "{round}");
            assert_eq!(site.get("/metrics", &[token]).status, 200, "{round}");
            assert_eq!(site.post("/command/calibrate", &headers).status, 200, "{round}");
        }
        live.wait("sight", |_| true);
        end.store(true, Relaxed);
    });
    assert_eq!(daemon.end("TERM"), Some(0));
    let entries = audit(dir.path());
    let refused = refusals(&entries);
    assert!(refused.iter().sum::<u64>() > 20, "{refused:?} of {sent:?}");
    assert!(refused.len() <= 4, "{refused:?}");
    assert_eq!(
        entries.iter().filter(|e| e["what"] == "page_opened").count(),
        1,
        "what was there is still there"
    );
    assert_eq!(entries.iter().filter(|e| e["what"] == "calibrate").count(), 20);
}

#[test]
fn an_address_that_others_reach_is_refused_without_a_token() {
    let dir = tempfile::tempdir().expect("folder");
    let url = format!("mqtt://127.0.0.1:{}", free_port());
    let config = configure_with(dir.path(), &url, "page.listen = \"0.0.0.0:8080\"");
    let path = config.to_str().expect("UTF-8");
    for command in ["check", "run"] {
        let output = run(&[command, "--config", path]);
        assert_eq!(output.status.code(), Some(78), "{command}");
        let stderr_text = stderr(&output);
        assert!(
            stderr_text.contains("page.listen: an address that other machines reach needs page.token_file"),
            "{stderr_text}"
        );
    }
}

#[test]
fn those_who_send_too_much_too_slowly_or_too_often_hold_nobody_up() {
    let dir = tempfile::tempdir().expect("folder");
    let (daemon, site) = start(dir.path(), "");
    // Too much: a header, a path, a body.
    let long = "x".repeat(40_000);
    assert!(matches!(site.get("/", &[("X-Long", &long)]).status, 0 | 400 | 431));
    assert!(matches!(site.get(&format!("/{long}"), &[]).status, 0 | 400 | 414 | 431));
    assert_eq!(site.post("/command/pause", &[("Content-Length", "5000000000")]).status, 413);
    assert_eq!(site.post("/command/pause", &[("Transfer-Encoding", "chunked")]).status, 413);
    assert!(matches!(site.send("no HTTP at all\r\n\r\n").status, 0 | 400));
    // Too slowly: a request that never ends is given up, and others are answered meanwhile.
    let begun = Instant::now();
    let mut slow = site.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: loc").expect("sent");
    assert_eq!(site.get("/", &[]).status, 200);
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(begun.elapsed() < Duration::from_secs(14), "it was given up");
    // Too often: connections that do nothing give way.
    let mut idle: Vec<_> = (0..40).map(|_| site.connect()).collect();
    for path in ["/", "/metrics"] {
        assert_eq!(site.get(path, &[]).status, 200, "{path}");
    }
    assert!(idle[0].read(&mut [0]).is_ok_and(|n| n == 0), "the oldest was closed");
    daemon.accept(1);
    drop(idle);
    // Four pages, and no fifth.
    let mut pages: Vec<Live> = (0..4).map(|_| Live::open(&site, &[])).collect();
    assert_eq!(site.get("/live", &[]).status, 503);
    // One that is closed makes room for another.
    pages.pop();
    std::thread::sleep(Duration::from_millis(600));
    pages.push(Live::open(&site, &[]));
    assert_eq!(daemon.end("TERM"), Some(0));
}

#[test]
fn pages_that_take_nothing_are_let_go() {
    let dir = tempfile::tempdir().expect("folder");
    let (daemon, site) = start(dir.path(), "");
    // They hang as soon as they are open.
    let pages: Vec<Live> = (0..4).map(|_| Live::open(&site, &[])).collect();
    assert_eq!(site.get("/live", &[]).status, 503);
    let begun = Instant::now();
    let closed = || audit(dir.path()).iter().filter(|e| e["what"] == "page_closed").count();
    while closed() < pages.len() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} of them after a minute", closed());
        std::thread::sleep(Duration::from_millis(200));
    }
    // The others see what they would have seen.
    Live::open(&site, &[]).wait("sight", |s| s["face"].is_array());
    assert_eq!(daemon.end("TERM"), Some(0));
}

#[test]
fn a_port_that_another_program_has_is_a_problem_of_the_page_alone() {
    let dir = tempfile::tempdir().expect("folder");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = other.local_addr().expect("bound").port();
    let more = format!("page.listen = \"127.0.0.1:{port}\"");
    let config = configure_with(dir.path(), &format!("mqtt://127.0.0.1:{}", free_port()), &more);
    let daemon = Daemon::start(start_command(&config), &Accepted::default());
    daemon.says("the page cannot be served", 30);
    daemon.accept(1);
    drop(other);
    daemon.says("page served at", 20);
    let site = Site::Tcp(port);
    let metrics = String::from_utf8(site.get("/metrics", &[]).body).expect("text");
    assert!(metrics.contains("glint_problem{problem=\"page_unusable\"} 0"), "{metrics}");
    assert_eq!(daemon.end("TERM"), Some(0));
}
