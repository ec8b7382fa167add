//! The local web page of the experiment: a loopback HTTP server with one participant.

use std::io::Read;

use anyhow::{Context, Result, anyhow};
use glint::synth::Pack;
use serde::Deserialize;
use serde_json::{Value, json};
use tiny_http::{Header, Method, Request, Response, Server};

use super::session::Session;
use super::stimuli;

const PAGE: &str = include_str!("page.html");

/// The server, bound and not yet running.
pub struct Experiment {
    server: Server,
    session: Session,
    pack: Pack,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    number: usize,
    answer: u8,
    reaction_ms: f64,
}

impl Experiment {
    /// Binds to the loopback interface; port 0 chooses a free one.
    pub fn bind(port: u16, session: Session, pack: Pack) -> Result<Self> {
        let server = Server::http(("127.0.0.1", port)).map_err(|e| anyhow!("port {port}: {e}"))?;
        Ok(Self { server, session, pack })
    }

    /// Address of the page.
    pub fn url(&self) -> String {
        let port = self.server.server_addr().to_ip().map_or(0, |a| a.port());
        format!("http://127.0.0.1:{port}/")
    }

    /// Serves until the last answer is on disk, or until `stop` says so (looked at twice a second).
    pub fn run(mut self, stop: impl Fn() -> bool) -> Result<Session> {
        while !stop() {
            let Some(request) = self.server.recv_timeout(std::time::Duration::from_millis(500))? else {
                continue;
            };
            self.handle(request)?;
            if self.session.next().is_none() {
                // The page asks once more and is told that it is over.
                if let Some(request) = self.server.recv_timeout(std::time::Duration::from_secs(5))? {
                    self.handle(request)?;
                }
                break;
            }
        }
        Ok(self.session)
    }

    fn handle(&mut self, mut request: Request) -> Result<()> {
        // A page elsewhere that makes the browser call this address names another host.
        let host =
            request.headers().iter().find(|h| h.field.equiv("Host")).map(|h| h.value.as_str().to_owned());
        let url = self.url();
        let authority = url.trim_start_matches("http://").trim_end_matches('/');
        let local = host
            .as_deref()
            .is_some_and(|h| h == authority || h == authority.replace("127.0.0.1", "localhost"));
        if !local {
            return send(request, 403, "text/plain", b"only from this machine".to_vec());
        }
        let url = request.url().to_owned();
        match (request.method().clone(), url.as_str()) {
            (Method::Get, "/") => send(request, 200, "text/html; charset=utf-8", PAGE.as_bytes().to_vec()),
            (Method::Get, "/trial") => {
                let state = self.state();
                send(request, 200, "application/json", state.to_string().into_bytes())
            }
            (Method::Get, path) if path.starts_with("/frames/") => match self.frames(path)? {
                Some(frames) => send(request, 200, "application/octet-stream", frames),
                None => send(request, 404, "text/plain", b"no such trial".to_vec()),
            },
            (Method::Post, "/answer") => {
                let mut body = String::new();
                request.as_reader().take(4096).read_to_string(&mut body)?;
                let taken = serde_json::from_str::<Reply>(&body)
                    .context("not an answer")
                    .map(|r| self.session.answer(r.number, r.answer, r.reaction_ms));
                match taken {
                    Ok(Ok(_)) => {
                        let state = self.state();
                        send(request, 200, "application/json", state.to_string().into_bytes())
                    }
                    Ok(Err(e)) if e.downcast_ref::<std::io::Error>().is_some() => Err(e),
                    Ok(Err(e)) | Err(e) => send(request, 409, "text/plain", format!("{e:#}").into_bytes()),
                }
            }
            _ => send(request, 404, "text/plain", b"nothing here".to_vec()),
        }
    }

    /// What the page may know: nothing of where the movement is.
    fn state(&self) -> Value {
        let (done, total) = (self.session.answers().len(), self.session.total());
        match self.session.next() {
            None => json!({"over": true, "done": done, "total": total}),
            Some(trial) => json!({
                "over": false, "number": trial.number, "done": done, "total": total, "fps": stimuli::FPS,
                "frames": stimuli::FRAMES, "width": stimuli::WIDTH, "height": stimuli::HEIGHT,
            }),
        }
    }

    /// `/frames/NUMBER/INTERVAL` of the trial that waits: the number of frames, the length of each, the JPEG files. All in
    /// one: a browser that asks for thirty files at once opens more connections than are needed.
    fn frames(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        let numbers: Vec<usize> = path.split('/').skip(2).map_while(|p| p.parse().ok()).collect();
        let ([number, interval @ (1 | 2)], Some(trial)) = (&numbers[..], self.session.next()) else {
            return Ok(None);
        };
        if *number != trial.number {
            return Ok(None);
        }
        let frames = stimuli::interval(&self.pack, &trial, *interval as u8)?;
        let mut out = (frames.len() as u32).to_le_bytes().to_vec();
        out.extend(frames.iter().flat_map(|f| (f.len() as u32).to_le_bytes()));
        out.extend(frames.concat());
        Ok(Some(out))
    }
}

/// Answers; a browser that is gone is no error.
fn send(request: Request, status: u16, kind: &str, body: Vec<u8>) -> Result<()> {
    let header = |name: &str, value: &str| {
        Header::from_bytes(name, value).map_err(|()| anyhow!("header {name}: {value}"))
    };
    let response = Response::from_data(body)
        .with_status_code(status)
        .with_header(header("Content-Type", kind)?)
        .with_header(header("Cache-Control", "no-store")?)
        .with_header(header("X-Content-Type-Options", "nosniff")?);
    let _ = request.respond(response);
    Ok(())
}
