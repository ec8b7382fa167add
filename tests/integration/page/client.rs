//! A client of the page that does nothing by itself: what it sends is what stands here.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Where a page is.
pub(crate) enum Site {
    /// A port of the loopback interface.
    Tcp(u16),
    /// A Unix socket.
    Unix(PathBuf),
}

/// A connection of either kind.
pub(crate) trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status code; 0 where the connection was closed without a word.
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
    /// What came behind the headers.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// A header by its name in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Site {
    /// The value of `page.listen`.
    pub(crate) fn listen(&self) -> String {
        match self {
            Self::Tcp(port) => format!("127.0.0.1:{port}"),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// The host that a browser would name.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Tcp(port) => format!("127.0.0.1:{port}"),
            Self::Unix(_) => "localhost".into(),
        }
    }

    /// A connection; reads wait for 20 s at most.
    pub(crate) fn connect(&self) -> Box<dyn Stream> {
        let patience = Some(Duration::from_secs(20));
        match self {
            Self::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).expect("the page listens");
                stream.set_read_timeout(patience).expect("a timeout");
                Box::new(stream)
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).expect("the page listens");
                stream.set_read_timeout(patience).expect("a timeout");
                Box::new(stream)
            }
        }
    }

    /// A connection to a port from another address of this machine.
    pub(crate) fn connect_from(&self, address: [u8; 4]) -> std::io::Result<TcpStream> {
        let Self::Tcp(port) = self else { panic!("a socket without addresses") };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind((address, 0).into())?;
            socket.connect(([127, 0, 0, 1], *port).into()).await
        })?;
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(stream)
    }

    /// Sends these bytes, and reads until the other end closes.
    pub(crate) fn send(&self, request: &str) -> Reply {
        let mut stream = self.connect();
        // Who refuses early may close before all of it is sent.
        let _ = stream.write_all(request.as_bytes());
        let mut reader = BufReader::new(stream);
        let (status, headers) = head(&mut reader);
        let mut body = Vec::new();
        let _ = reader.read_to_end(&mut body);
        Reply { status, headers, body }
    }

    /// A request without a body, as a browser or curl would send it.
    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.ask("GET", path, headers)
    }

    /// The same with POST.
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.ask("POST", path, headers)
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(&self.request(method, path, headers))
    }

    /// The text of a request. A `Host` among the headers replaces the right one.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            text += &format!("Host: {}\r\n", self.host());
        }
        headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
        text + "\r\n"
    }
}

fn head(reader: &mut impl BufRead) -> (u16, BTreeMap<String, String>) {
    let mut lines = std::iter::from_fn(|| {
        let mut line = String::new();
        let read = reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_owned();
        (read > 0 && !line.is_empty()).then_some(line)
    });
    let status = lines.next().and_then(|l| l.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let headers =
        lines.filter_map(|l| l.split_once(':').map(|(n, v)| (n.to_lowercase(), v.trim().to_owned())));
    (status, headers.collect())
}

/// An open page: everything that it is told.
pub(crate) struct Live {
    reader: BufReader<Box<dyn Stream>>,
    session: String,
    counts: BTreeMap<String, usize>,
}

impl Live {
    /// Opens the page.
    pub(crate) fn open(site: &Site, headers: &[(&str, &str)]) -> Self {
        let mut stream = site.connect();
        stream.write_all(site.request("GET", "/live", headers).as_bytes()).expect("sent");
        let mut reader = BufReader::new(stream);
        let (status, headers) = head(&mut reader);
        assert_eq!(
            (status, headers.get("content-type").map(String::as_str)),
            (200, Some("text/event-stream"))
        );
        Self { reader, session: String::new(), counts: BTreeMap::new() }
    }

    /// The next message: its kind and what it says.
    fn next(&mut self) -> (String, Value) {
        let mut kind = String::new();
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).expect("a line within 20 s") > 0, "the page was closed");
            // Sizes of chunks stand between the pieces.
            if let Some(word) = line.trim_end().strip_prefix("event: ") {
                kind = word.to_owned();
            } else if let Some(json) = line.trim_end().strip_prefix("data: ") {
                let value: Value = serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {json}"));
                if kind == "hello" {
                    self.session = value["session"].as_str().expect("a session").to_owned();
                }
                *self.counts.entry(kind.clone()).or_default() += 1;
                return (kind, value);
            }
        }
    }

    /// Waits for a message of a kind that fits, 60 s at most.
    pub(crate) fn wait(&mut self, wanted: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (kind, value) = self.next();
            if kind == wanted && fits(&value) {
                return value;
            }
            assert!(Instant::now() < deadline, "{wanted} within 60 s; the last is {kind} {value}");
        }
    }

    /// Its session.
    pub(crate) fn session(&mut self) -> String {
        while self.session.is_empty() {
            self.next();
        }
        self.session.clone()
    }

    /// How many messages of a kind have come.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.counts.get(kind).copied().unwrap_or(0)
    }
}
