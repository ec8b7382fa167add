//! Requests and their answers.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::body::Body;
use super::guard::{Access, Guard, Refusal};
use super::hub::Hub;
use super::room::{Peer, Place};
use super::{Ask, Visitor};
use crate::daemon::mqtt::Command;

/// Largest body of a request, in bytes; none of them is read.
const MAX_BODY: u64 = 1024;
/// How long the main thread may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// A wrong token waits so long for its answer. Nobody else waits for it.
const PENALTY: Duration = Duration::from_millis(500);
/// The session of a page, in requests.
const SESSION: HeaderName = HeaderName::from_static("x-glint-session");

/// What goes with every answer. The page loads nothing from elsewhere, runs no script but its own, and is in no frame.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// The files of the page.
const ASSETS: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("assets/page.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("assets/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("assets/page.js")),
    ("/icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// What every connection shares.
pub(super) struct Site {
    guard: Guard,
    pub(super) hub: RefCell<Hub>,
    asks: mpsc::Sender<Ask>,
}

impl Site {
    /// A site of these parts; `asks` go to the main thread.
    pub(super) fn new(guard: Guard, hub: Hub, asks: mpsc::Sender<Ask>) -> Self {
        Self { guard, hub: RefCell::new(hub), asks }
    }
}

/// A connection, as its requests see it.
pub(super) struct Client {
    /// The other end.
    pub(super) peer: Peer,
    /// Its place in the room.
    pub(super) place: Place,
}

type Answer = Response<Body>;

/// An answer of this kind of content.
fn content(kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Body::Whole(body.into()));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// A refusal, or another word.
fn plain_text(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = content("text/plain; charset=utf-8", text);
    *answer.status_mut() = status;
    answer
}

/// Answers a request.
pub(super) async fn answer(site: &Site, client: &Client, request: &Request<Incoming>) -> Answer {
    let mut answer = route(site, client, request).await;
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

async fn route(site: &Site, client: &Client, request: &Request<Incoming>) -> Answer {
    let (headers, path) = (request.headers(), request.uri().path());
    // A proxy is asked so; this is none.
    if request.uri().authority().is_some() {
        return plain_text(StatusCode::BAD_REQUEST, "the request names a host beside Host");
    }
    if is_large(headers) {
        return plain_text(StatusCode::PAYLOAD_TOO_LARGE, "a request has no body here");
    }
    let asset = ASSETS.iter().find(|(name, ..)| *name == path);
    let access = if asset.is_some() { Access::Asset } else { Access::Data };
    match site.guard.check(headers, access) {
        Ok(()) if access == Access::Data && !client.place.admit() => {
            return closing(plain_text(StatusCode::SERVICE_UNAVAILABLE, "too many connections are open"));
        }
        Ok(()) => {}
        Err(Refusal::Host) => {
            return plain_text(StatusCode::FORBIDDEN, "Host is no address of this device; see page.hosts");
        }
        Err(Refusal::Origin) => {
            return plain_text(StatusCode::FORBIDDEN, "the request comes from another site");
        }
        Err(Refusal::Token) => return refuse_token(site, &client.peer, headers).await,
    }
    // As GET; the server leaves the body out.
    let is_head = request.method() == Method::HEAD;
    let method = if is_head { &Method::GET } else { request.method() };
    match (method, path) {
        (&Method::GET, _) if asset.is_some() => match asset {
            Some((_, kind, text)) => content(kind, *text),
            None => plain_text(StatusCode::NOT_FOUND, "nothing here"),
        },
        // Nobody watches.
        (&Method::GET, "/live") if is_head => stream(mpsc::channel(1).1),
        (&Method::GET, "/live") => live(site, &client.peer.name),
        (&Method::GET, "/metrics") => metrics(site).await,
        (&Method::GET, "/picture") => picture(site, headers),
        (&Method::POST, "/picture/confirm" | "/picture/stop") => confirmation(site, headers, path),
        (&Method::POST, "/command/pause") => command(site, headers, Command::Pause).await,
        (&Method::POST, "/command/resume") => command(site, headers, Command::Resume).await,
        (&Method::POST, "/command/calibrate") => command(site, headers, Command::Calibrate).await,
        (&Method::POST, "/camera-test") => of_session(site, headers, Ask::CameraTest).await,
        (&Method::GET | &Method::POST, _) => plain_text(StatusCode::NOT_FOUND, "nothing here"),
        _ => {
            let mut answer = plain_text(StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD and POST alone");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            answer
        }
    }
}

/// Whether a request brings more than it may.
fn is_large(headers: &HeaderMap) -> bool {
    let length =
        headers.get(header::CONTENT_LENGTH).map(|v| v.to_str().ok().and_then(|v| v.parse::<u64>().ok()));
    headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|l| l.is_none_or(|l| l > MAX_BODY))
}

/// An answer behind which the connection is closed.
fn closing(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

async fn refuse_token(site: &Site, peer: &Peer, headers: &HeaderMap) -> Answer {
    let mut answer = plain_text(StatusCode::UNAUTHORIZED, "a token is needed");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    // The page asks without one before it asks the operator.
    if !headers.contains_key(header::AUTHORIZATION) {
        return answer;
    }
    site.hub.borrow_mut().refuse(peer);
    tokio::time::sleep(PENALTY).await;
    closing(answer)
}

/// Everything that happens, until the page is closed.
fn live(site: &Site, peer: &str) -> Answer {
    match site.hub.borrow_mut().open(peer) {
        Some(pieces) => stream(pieces),
        None => plain_text(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open"),
    }
}

/// An answer that goes on.
fn stream(pieces: mpsc::Receiver<Bytes>) -> Answer {
    let mut answer = Response::new(Body::Live(pieces));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer
}

/// The session of a request.
fn session(headers: &HeaderMap) -> &[u8] {
    headers.get(SESSION).map(HeaderValue::as_bytes).unwrap_or_default()
}

const NO_SESSION: &str = "the page is not open; load it anew";

fn picture(site: &Site, headers: &HeaderMap) -> Answer {
    match site.hub.borrow_mut().picture(session(headers)) {
        Ok(Some(jpeg)) => content("image/jpeg", jpeg),
        Ok(None) => plain_text(StatusCode::NO_CONTENT, ""),
        Err(()) => plain_text(StatusCode::FORBIDDEN, "the picture is not confirmed"),
    }
}

fn confirmation(site: &Site, headers: &HeaderMap, path: &str) -> Answer {
    let session = session(headers);
    let mut hub = site.hub.borrow_mut();
    if hub.visitor(session).is_none() {
        return plain_text(StatusCode::FORBIDDEN, NO_SESSION);
    }
    if path == "/picture/confirm" {
        hub.confirm(session)
    } else {
        hub.stop(session)
    }
    plain_text(StatusCode::NO_CONTENT, "")
}

async fn command(site: &Site, headers: &HeaderMap, command: Command) -> Answer {
    of_session(site, headers, |visitor, reply| Ask::Command(command, visitor, reply)).await
}

/// Asks the main thread for something that an open page alone may ask for.
async fn of_session(
    site: &Site,
    headers: &HeaderMap,
    question: impl FnOnce(Visitor, oneshot::Sender<String>) -> Ask,
) -> Answer {
    let visitor = site.hub.borrow().visitor(session(headers));
    let Some(visitor) = visitor else { return plain_text(StatusCode::FORBIDDEN, NO_SESSION) };
    match ask(site, |reply| question(visitor, reply)).await {
        Some(reply) => content("application/json", reply),
        None => plain_text(StatusCode::SERVICE_UNAVAILABLE, "the daemon is busy"),
    }
}

async fn metrics(site: &Site) -> Answer {
    match ask(site, Ask::Metrics).await {
        Some(text) => content("text/plain; version=0.0.4; charset=utf-8", text),
        None => plain_text(StatusCode::SERVICE_UNAVAILABLE, "the daemon is busy"),
    }
}

/// Asks the main thread; `None` where it does not answer in time.
async fn ask(site: &Site, question: impl FnOnce(oneshot::Sender<String>) -> Ask) -> Option<String> {
    let (reply, replied) = oneshot::channel();
    site.asks.try_send(question(reply)).ok()?;
    tokio::time::timeout(PATIENCE, replied).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_small_and_its_length_is_known() {
        let large = |name: HeaderName, value: &'static str| {
            is_large(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]))
        };
        assert!(!is_large(&HeaderMap::new()));
        assert!(!large(header::CONTENT_LENGTH, "0") && !large(header::CONTENT_LENGTH, "1024"));
        assert!(large(header::CONTENT_LENGTH, "1025") && large(header::CONTENT_LENGTH, "many"));
        assert!(large(header::TRANSFER_ENCODING, "chunked"));
    }

    #[test]
    fn the_page_has_nothing_that_its_policy_forbids() {
        let [(_, _, html), (_, _, css), (_, _, js), (_, _, icon)] = ASSETS;
        for forbidden in ["style=", "<style", "onclick", "javascript:", "http://", "https://", "data:"] {
            assert!(!html.contains(forbidden), "{forbidden} in page.html");
        }
        assert!(html.contains("<script src=\"/page.js\"") && html.matches("<script").count() == 1);
        assert!(!css.contains("url(") && !css.contains("@import"));
        assert!(!js.contains("eval(") && !js.contains("innerHTML") && !js.contains("new Function"));
        assert!(!icon.contains("<script"));
        // A phone shows it at its own width.
        assert!(html.contains("width=device-width"));
        let fixed: Vec<&str> =
            css.lines().filter(|l| l.trim_start().starts_with("width:") && l.contains("px")).collect();
        assert!(fixed.is_empty(), "{fixed:?}");
    }
}
