//! The commissioning page and the metrics: a small HTTP server with a thread of its own.
//!
//! It exists where `page.listen` is set, and nowhere else: without that key there is neither thread nor socket. The vision
//! thread hands a [`Snapshot`] over only while somebody watches ([`Watch`]), and never waits: what the page has not taken yet
//! is not replaced, and the new one is dropped. The main thread answers what the page asks for ([`Ask`]) and tells it what
//! has happened ([`Post`]).
//!
//! A picture is shown to the operator who has confirmed it, while the page stays open and the confirmation lasts. It is
//! encoded in memory, once for all viewers, and the latest one replaces the one before. Nothing here writes a file.

mod answer;
mod body;
mod guard;
mod hub;
mod net;
mod patient;
mod refusals;
mod room;
mod token;
mod view;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::daemon::config::{Address, Config, ConfigError};
use crate::daemon::mqtt::Command;
use answer::Site;
use guard::Guard;
use hub::Hub;
use token::Token;
pub(crate) use view::{Luma, Row, Snapshot};

/// Messages between the page and the main thread that may wait.
const QUEUE: usize = 64;

/// What the page is made of.
pub(crate) struct PageSettings {
    address: Address,
    token: Option<Token>,
    hosts: Vec<String>,
    confirmation: Duration,
}

/// Reads what the configuration says of the page, and its token; `None` where it is off.
pub(crate) fn settings(config: &Config) -> Result<Option<PageSettings>, ConfigError> {
    let page = &config.page;
    let token = match &page.token_file {
        Some(path) => Some(
            Token::read(path)
                .map_err(|e| config.wrong("page.token_file", format!("{}: {e}", path.display())))?,
        ),
        None => None,
    };
    let address = page.address().map_err(|e| config.wrong("page.listen", e))?;
    Ok(address.map(|address| PageSettings {
        address,
        token,
        hosts: page.hosts.clone().unwrap_or_default(),
        confirmation: Duration::from_secs(page.confirmation_s),
    }))
}

/// What other threads look at before they do anything for the page.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    watched: AtomicBool,
    picture: AtomicBool,
    camera_test: AtomicBool,
    unusable: AtomicBool,
}

impl Watch {
    /// Whether anybody has the page open.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Relaxed)
    }

    /// Whether an operator has confirmed the picture, and that still holds.
    pub(crate) fn wants_picture(&self) -> bool {
        self.picture.load(Relaxed)
    }

    /// The vision thread is to test the camera.
    pub(crate) fn ask_camera_test(&self) {
        self.camera_test.store(true, Relaxed);
    }

    /// Whether the camera is to be tested; true once for each time that it was asked for.
    pub(crate) fn takes_camera_test(&self) -> bool {
        self.camera_test.load(Relaxed) && self.camera_test.swap(false, Relaxed)
    }

    /// As if a page were open, with or without its picture.
    #[cfg(test)]
    pub(crate) fn open_for_test(&self, picture: bool) {
        self.watched.store(true, Relaxed);
        self.picture.store(picture, Relaxed);
    }
}

/// What the page asks the main thread for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A command, and where its reply goes.
    Command(Command, Visitor, oneshot::Sender<String>),
    /// The self-test of the camera, and where goes whether it has begun.
    CameraTest(Visitor, oneshot::Sender<String>),
    /// The metrics as text.
    Metrics(oneshot::Sender<String>),
    /// Something for the audit log.
    Note(AuditNote, Visitor),
    /// Wrong tokens, for the audit log.
    Refused(RefusedTokens),
}

/// Wrong tokens that came from one end since they were told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedTokens {
    /// Who sent the last one: address and port, the user of a Unix socket, or `others`.
    pub(crate) peer: String,
    /// How many there were.
    pub(crate) count: u64,
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// Address and port, or the user of a Unix socket.
    pub(crate) peer: String,
    /// The first digits of the session, where there is one.
    pub(crate) session: Option<String>,
}

/// What is worth a line in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuditNote {
    /// The page was opened.
    Opened,
    /// It was closed, or the connection was lost.
    Closed,
    /// The operator has confirmed that the picture may be shown.
    PictureConfirmed,
    /// The picture was stopped by the operator, or by a pause or another end of the frames.
    PictureStopped,
    /// The confirmation has lapsed.
    PictureLapsed,
}

impl AuditNote {
    /// The word in the log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "page_opened",
            Self::Closed => "page_closed",
            Self::PictureConfirmed => "picture_confirmed",
            Self::PictureStopped => "picture_stopped",
            Self::PictureLapsed => "picture_lapsed",
        }
    }
}

/// What the main thread tells those who watch.
#[derive(Debug)]
pub(crate) enum Post {
    /// What the device does, as JSON, and whether frames come.
    Status(String, bool),
    /// An event, as it is published.
    Event(String),
    /// What the self-test of the camera has found, as JSON.
    CameraTest(String),
}

/// The page, seen from the main thread.
pub(crate) struct Page {
    watch: Arc<Watch>,
    asks: mpsc::Receiver<Ask>,
    posts: mpsc::Sender<Post>,
    /// Closing it ends the thread.
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Page {
    /// Starts the thread. `about` is what the page is told first: a JSON object. Returns the page and where snapshots go.
    pub(crate) fn start(
        settings: PageSettings,
        about: String,
    ) -> std::io::Result<(Self, mpsc::Sender<Snapshot>)> {
        let watch = Arc::new(Watch::default());
        let (asks, asks_out) = mpsc::channel(QUEUE);
        let (posts, posts_out) = mpsc::channel(QUEUE);
        // One place: the vision thread drops what the page has no time for.
        let (snapshots, snapshots_out) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel();
        let seen = Arc::clone(&watch);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("page".into()).spawn(move || {
            let PageSettings { address, token, hosts, confirmation } = settings;
            let hub = Hub::new(Arc::clone(&seen), asks.clone(), confirmation, about);
            let site = Rc::new(Site::new(Guard::new(token, hosts), hub, asks));
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                tokio::select! {
                    _ = stopped => {}
                    () = net::serve(&address, Rc::clone(&site), &seen) => {}
                    () = hub::run(&site.hub, snapshots_out, posts_out) => {}
                }
                site.hub.borrow_mut().end();
            });
        })?;
        Ok((Self { watch, asks: asks_out, posts, stop, thread }, snapshots))
    }

    /// What other threads look at.
    pub(crate) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// What is asked next. Safe to cancel.
    pub(crate) async fn ask(&mut self) -> Ask {
        match self.asks.recv().await {
            Some(ask) => ask,
            // The thread has ended, which it does only when it is told to.
            None => std::future::pending().await,
        }
    }

    /// Tells those who watch; costs nothing where nobody does.
    pub(crate) fn tell(&self, post: impl FnOnce() -> Post) {
        if self.watch.is_watched() {
            // A page that has no time misses one.
            _ = self.posts.try_send(post());
        }
    }

    /// A word of `health.problems`, where the socket cannot be had.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        self.watch.unusable.load(Relaxed).then_some("page_unusable")
    }

    /// Closes every connection and the socket. Returns what is still to be noted.
    pub(crate) fn stop(mut self) -> Vec<Ask> {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the page thread panicked");
        }
        let left = std::iter::from_fn(|| self.asks.try_recv().ok());
        left.filter(|ask| matches!(ask, Ask::Note(..) | Ask::Refused(_))).collect()
    }
}
