//! Those who watch: what each of them is told, and who of them has confirmed the picture.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::refusals::Refusals;
use super::room::Peer;
use super::{Ask, AuditNote, Luma, Post, Snapshot, Visitor, Watch};

/// Pages that may be open at once.
const VIEWERS: usize = 4;
/// Messages that may wait for one of them.
const QUEUE: usize = 16;
/// Who takes nothing for so long is let go.
const STALLED: Duration = Duration::from_secs(5);
/// How often confirmations and connections are looked at.
const TICK: Duration = Duration::from_millis(250);
/// A picture that is older is forgotten: frames have stopped.
const STALE: Duration = Duration::from_secs(1);
/// Quality of the JPEG: enough to aim by.
const QUALITY: u8 = 75;
/// Bytes of a session's name.
const SESSION_BYTES: usize = 16;
/// Digits of it that logs hold: enough to tell pages apart, and too few to act in their name.
const SHOWN: usize = 8;

/// An open page.
struct Viewer {
    session: String,
    peer: String,
    out: mpsc::Sender<Bytes>,
    /// When it last took a message.
    taken: Instant,
    confirmed_until: Option<Instant>,
    /// Whether it was ever confirmed: a request that crosses the end of a confirmation is no fault.
    has_confirmed: bool,
}

impl Viewer {
    fn visitor(&self) -> Visitor {
        Visitor { peer: self.peer.clone(), session: self.session.get(..SHOWN).map(str::to_owned) }
    }

    /// Gives it a message; one that it has no room for is missed.
    fn tell(&mut self, message: &Bytes) {
        if self.out.try_send(message.clone()).is_ok() {
            self.taken = Instant::now();
        }
    }

    fn is_gone(&self) -> bool {
        self.out.is_closed() || self.taken.elapsed() > STALLED && self.out.capacity() == 0
    }
}

/// The picture that is shown.
struct Shown {
    jpeg: Bytes,
    at: Instant,
}

/// Everybody who watches.
pub(crate) struct Hub {
    viewers: Vec<Viewer>,
    picture: Option<Shown>,
    /// Number of the picture.
    number: u64,
    /// The latest status, for those who come.
    status: Option<Bytes>,
    watch: Arc<Watch>,
    asks: mpsc::Sender<Ask>,
    confirmation: Duration,
    about: String,
    refusals: Refusals,
}

/// What the page is sent ten times a second.
#[derive(Serialize)]
struct SightMessage<'a> {
    #[serde(flatten)]
    snapshot: &'a Snapshot,
    /// Number of the picture; null without one.
    picture: Option<u64>,
}

/// A message of the stream.
fn message(kind: &str, json: &str) -> Bytes {
    format!("event: {kind}\ndata: {json}\n\n").into()
}

/// A name that nobody guesses; `None` where the system gives no random bytes.
fn new_session() -> Option<String> {
    let mut bytes = [0u8; SESSION_BYTES];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn jpeg(picture: &Luma) -> Option<Bytes> {
    let (width, height) = (u16::try_from(picture.width).ok()?, u16::try_from(picture.height).ok()?);
    let mut out = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut out, QUALITY);
    match encoder.encode(&picture.luma, width, height, jpeg_encoder::ColorType::Luma) {
        Ok(()) => Some(out.into()),
        Err(error) => {
            tracing::error!("page: the picture cannot be encoded: {error}");
            None
        }
    }
}

impl Hub {
    /// Nobody watches yet.
    pub(super) fn new(
        watch: Arc<Watch>,
        asks: mpsc::Sender<Ask>,
        confirmation: Duration,
        about: String,
    ) -> Self {
        Self {
            viewers: Vec::new(),
            picture: None,
            number: 0,
            status: None,
            watch,
            asks,
            confirmation,
            about,
            refusals: Refusals::default(),
        }
    }

    /// Notes something for the audit log.
    pub(super) fn note(&self, note: AuditNote, visitor: Visitor) {
        if self.asks.try_send(Ask::Note(note, visitor.clone())).is_err() {
            tracing::error!(
                note = note.as_str(),
                peer = visitor.peer,
                "page: the main thread is too busy to note this"
            );
        }
    }

    /// Counts a wrong token.
    pub(super) fn refuse(&mut self, peer: &Peer) {
        self.refusals.count(peer, Instant::now());
        self.tell_refusals();
    }

    /// Tells the main thread of wrong tokens, as far as it is time.
    fn tell_refusals(&mut self) {
        let asks = &self.asks;
        self.refusals.tell(Instant::now(), |refused| asks.try_send(Ask::Refused(refused)).is_ok());
    }

    /// The last words of a page that ends.
    pub(super) fn end(&mut self) {
        for refused in self.refusals.rest() {
            if let Err(error) = self.asks.try_send(Ask::Refused(refused)) {
                tracing::error!("page: wrong tokens that are not in the audit log: {error:?}");
            }
        }
    }

    /// Somebody opens the page; `None` where too many have.
    pub(super) fn open(&mut self, peer: &str) -> Option<mpsc::Receiver<Bytes>> {
        self.let_go();
        if self.viewers.len() >= VIEWERS {
            return None;
        }
        let session = new_session()?;
        let (out, pieces) = mpsc::channel(QUEUE);
        let hello = json!({ "session": session, "confirmation_s": self.confirmation.as_secs() });
        let mut viewer = Viewer {
            session,
            peer: peer.to_owned(),
            out,
            taken: Instant::now(),
            confirmed_until: None,
            has_confirmed: false,
        };
        viewer.tell(&message("about", &self.about));
        viewer.tell(&message("hello", &hello.to_string()));
        if let Some(status) = &self.status {
            viewer.tell(status);
        }
        self.note(AuditNote::Opened, viewer.visitor());
        self.viewers.push(viewer);
        self.set_flags();
        Some(pieces)
    }

    /// Who has this session.
    pub(super) fn visitor(&self, session: &[u8]) -> Option<Visitor> {
        self.viewers.iter().find(|v| v.session.as_bytes().ct_eq(session).into()).map(Viewer::visitor)
    }

    fn viewer(&mut self, session: &[u8]) -> Option<&mut Viewer> {
        self.viewers.iter_mut().find(|v| v.session.as_bytes().ct_eq(session).into())
    }

    /// The operator confirms that the picture may be shown, or confirms it again.
    pub(super) fn confirm(&mut self, session: &[u8]) {
        let lasts = self.confirmation;
        let Some(viewer) = self.viewer(session) else { return };
        viewer.confirmed_until = Some(Instant::now() + lasts);
        viewer.has_confirmed = true;
        viewer.tell(&message("picture", &json!({ "lasts_s": lasts.as_secs() }).to_string()));
        let visitor = viewer.visitor();
        self.note(AuditNote::PictureConfirmed, visitor);
        self.set_flags();
    }

    /// The operator has seen enough.
    pub(super) fn stop(&mut self, session: &[u8]) {
        let Some(viewer) = self.viewer(session) else { return };
        if viewer.confirmed_until.take().is_some() {
            viewer.tell(&message("picture", "{\"lasts_s\":0}"));
            let visitor = viewer.visitor();
            self.note(AuditNote::PictureStopped, visitor);
        }
        self.set_flags();
    }

    /// The picture for a session: `Err` where it was never confirmed, `Ok(None)` where there is none yet or any more.
    pub(super) fn picture(&mut self, session: &[u8]) -> Result<Option<Bytes>, ()> {
        let viewer = self.viewer(session).filter(|viewer| viewer.has_confirmed).ok_or(())?;
        let is_confirmed = viewer.confirmed_until.is_some_and(|until| Instant::now() < until);
        let picture = self.picture.as_ref().filter(|p| is_confirmed && p.at.elapsed() < STALE);
        Ok(picture.map(|p| p.jpeg.clone()))
    }

    /// What was seen goes to everybody.
    fn show(&mut self, snapshot: &Snapshot) {
        if let Some(picture) = snapshot.picture.as_ref().filter(|_| self.watch.wants_picture())
            && let Some(jpeg) = jpeg(picture)
        {
            self.number += 1;
            self.picture = Some(Shown { jpeg, at: Instant::now() });
        }
        let picture = self.picture.as_ref().map(|_| self.number);
        // Numbers and words: there is nothing that JSON could not hold.
        let json = serde_json::to_string(&SightMessage { snapshot, picture }).unwrap_or_default();
        self.tell_all(&message("sight", &json));
    }

    fn post(&mut self, post: &Post) {
        match post {
            Post::Event(json) => self.tell_all(&message("event", json)),
            Post::CameraTest(json) => self.tell_all(&message("camera_test", json)),
            Post::Status(json, streaming) => {
                let status = message("status", json);
                self.tell_all(&status);
                self.status = Some(status);
                if !streaming {
                    // Who opens the camera again confirms again.
                    self.end_confirmations(AuditNote::PictureStopped, |_| true);
                }
            }
        }
    }

    fn tell_all(&mut self, message: &Bytes) {
        self.viewers.iter_mut().for_each(|viewer| viewer.tell(message));
    }

    /// Lets go of those who are gone, of confirmations that have lapsed, and of a picture that nobody may see.
    fn tick(&mut self) {
        self.let_go();
        let now = Instant::now();
        self.end_confirmations(AuditNote::PictureLapsed, |until| now >= until);
        self.picture = self.picture.take().filter(|p| p.at.elapsed() < STALE);
        self.tell_refusals();
    }

    /// Ends the confirmations whose end is such.
    fn end_confirmations(&mut self, note: AuditNote, is_over: impl Fn(Instant) -> bool) {
        let mut ended = Vec::new();
        for viewer in &mut self.viewers {
            if viewer.confirmed_until.take_if(|until| is_over(*until)).is_some() {
                viewer.tell(&message("picture", "{\"lasts_s\":0}"));
                ended.push(viewer.visitor());
            }
        }
        ended.into_iter().for_each(|visitor| self.note(note, visitor));
        self.set_flags();
    }

    fn let_go(&mut self) {
        let gone: Vec<Viewer> = self.viewers.extract_if(.., |viewer| viewer.is_gone()).collect();
        gone.iter().for_each(|viewer| self.note(AuditNote::Closed, viewer.visitor()));
        if self.viewers.is_empty() {
            // It would be of another day for who comes next.
            self.status = None;
        }
    }

    /// Says what the vision thread has to hand over.
    fn set_flags(&mut self) {
        let confirmed = self.viewers.iter().any(|viewer| viewer.confirmed_until.is_some());
        self.watch.watched.store(!self.viewers.is_empty(), Relaxed);
        self.watch.picture.store(confirmed, Relaxed);
        if !confirmed {
            self.picture = None;
        }
    }
}

/// Hands on what comes, for ever.
pub(super) async fn run(
    hub: &RefCell<Hub>,
    mut snapshots: mpsc::Receiver<Snapshot>,
    mut posts: mpsc::Receiver<Post>,
) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(snapshot) = snapshots.recv() => hub.borrow_mut().show(&snapshot),
            Some(post) = posts.recv() => hub.borrow_mut().post(&post),
            _ = tick.tick() => hub.borrow_mut().tick(),
        }
    }
}

#[cfg(test)]
mod tests;
