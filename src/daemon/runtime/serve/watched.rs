//! The main thread's side of the commissioning page.

use std::sync::Arc;

use glint::au::AUS;
use glint::pipeline::{DARK_LUMA, GOOD_FPS, MIN_FPS};
use serde_json::json;
use tokio::sync::mpsc;

use super::super::audit::Origin;
use super::super::exposure::{LOW_CONTRAST, OVEREXPOSED};
use super::super::metrics::{self, Exposition};
use super::super::noise::NOISY;
use super::super::report::Phase;
use super::super::sharpness::BLURRED;
use super::super::tap::Tap;
use super::super::timing::Timing;
use super::super::visibility::{FLICKER, SMALL_EYES_PX, remedy};
use super::Main;
use super::camera_test::CameraTest;
use crate::daemon::config::Config;
use crate::daemon::mqtt::Command;
use crate::daemon::page::{Ask, Page, PageSettings, Post};

/// Starts the page where it is configured; the tap is for the vision thread, and the test of the camera for the main one.
pub(super) fn open(
    settings: Option<PageSettings>,
    config: &Config,
    timing: &Arc<Timing>,
) -> std::io::Result<(Option<Page>, Option<Tap>, CameraTest)> {
    let (tested, results) = mpsc::channel(1);
    let camera_test = CameraTest::new(results);
    let Some(settings) = settings else { return Ok((None, None, camera_test)) };
    let (page, snapshots) = Page::start(settings, about(config))?;
    let tap = Tap::new(page.watch(), snapshots, tested, Arc::clone(timing));
    Ok((Some(page), Some(tap), camera_test))
}

/// What the page has to know beforehand: names, limits, and what to do about a reason.
fn about(config: &Config) -> String {
    let reasons = ["fps_low", "too_dark", "flicker", "too_small", "no_face", "too_fast"];
    let remedies: serde_json::Map<_, _> = reasons
        .iter()
        .map(|reason| ((*reason).to_owned(), remedy(reason, config.source.kind).into()))
        .collect();
    let units: Vec<_> = AUS.iter().map(|au| json!({ "au": au, "name": glint::au::name(*au) })).collect();
    json!({
        "device": config.device.id(),
        "version": env!("CARGO_PKG_VERSION"),
        "aus": units,
        "remedies": remedies,
        "limits": {
            "eyes_px": SMALL_EYES_PX, "light": DARK_LUMA, "contrast": LOW_CONTRAST, "saturated": OVEREXPOSED,
            "flicker": FLICKER, "blur": BLURRED, "noise": NOISY, "fps": MIN_FPS, "good_fps": GOOD_FPS,
        },
    })
    .to_string()
}

/// What the page asks next; waits for ever where there is none.
pub(super) async fn ask(page: &mut Option<Page>) -> Ask {
    match page {
        Some(page) => page.ask().await,
        None => std::future::pending().await,
    }
}

impl Main {
    /// Tells those who watch; costs nothing where nobody does.
    pub(super) fn tell(&self, post: impl FnOnce(&Self) -> Post) {
        if let Some(page) = &self.page {
            page.tell(|| post(self));
        }
    }

    /// What the device does, for those who watch.
    pub(super) fn status(&self) -> Post {
        let health = self.health();
        let status = json!({
            "state": health.state, "problems": health.problems, "uptime_s": health.uptime_s,
            "connected": self.mqtt.connected(), "waiting": health.outbox.events, "events": health.events,
            "frames_dropped": health.frames_dropped, "temperature_c": health.temperature_c,
        });
        Post::Status(status.to_string(), health.state == Phase::Streaming)
    }

    /// Answers what the page asks. Who has asked may be gone meanwhile.
    pub(super) fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Command(command, visitor, sender) => {
                let reply = self.command(command, &Origin::Page(visitor));
                let mut reply = serde_json::to_value(&reply).unwrap_or_default();
                if command == Command::Pause {
                    // It is done once the state says so.
                    reply["done"] = false.into();
                    reply["accepted"] = true.into();
                }
                _ = sender.send(reply.to_string());
            }
            Ask::CameraTest(visitor, sender) => {
                self.audit.note("camera_test", &Origin::Page(visitor));
                let reply = match self.begin_camera_test() {
                    Ok(length) => json!({ "accepted": true, "seconds": length.as_secs() }),
                    Err(error) => json!({ "accepted": false, "error": error }),
                };
                _ = sender.send(reply.to_string());
            }
            Ask::Metrics(reply) => _ = reply.send(self.metrics()),
            Ask::Note(note, visitor) => self.audit.note(note.as_str(), &Origin::Page(visitor)),
            Ask::Refused(refused) => self.audit.note_refused(refused),
        }
    }

    fn metrics(&self) -> String {
        metrics::text(&Exposition {
            health: &self.health(),
            timing: &self.timing,
            connected: self.mqtt.connected(),
            connections: self.mqtt.connections(),
            memory_bytes: resident_bytes(),
            version: env!("CARGO_PKG_VERSION"),
        })
    }
}

/// Resident memory of this process; `None` where the system does not say.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
