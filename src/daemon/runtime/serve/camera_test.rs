//! The self-test of the camera, which the page asks for: it judges what the vision thread sees in any case, and the camera goes
//! on.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Main;
use crate::daemon::page::Post;
use crate::daemon::runtime::findings::{ViewStatistics, no_frames};
use crate::daemon::runtime::report::Phase;
use crate::daemon::runtime::tap::CAMERA_TEST;

/// How long after its end the vision thread may be silent.
const PATIENCE: Duration = Duration::from_secs(4);

/// The main thread's side of the test.
pub(super) struct CameraTest {
    results: mpsc::Receiver<ViewStatistics>,
    running: Option<Running>,
}

/// A test that runs, and the counts at its begin.
struct Running {
    until: Instant,
    dropped: u64,
    damaged: u64,
}

impl CameraTest {
    /// None runs; results come from here.
    pub(super) fn new(results: mpsc::Receiver<ViewStatistics>) -> Self {
        Self { results, running: None }
    }

    /// What the vision thread has seen; waits for ever where there is no page.
    pub(super) async fn seen(&mut self) -> ViewStatistics {
        match self.results.recv().await {
            Some(seen) => seen,
            None => std::future::pending().await,
        }
    }
}

impl Main {
    /// Begins a test, anew where one runs; says why not where it cannot be done.
    pub(super) fn begin_camera_test(&mut self) -> Result<Duration, String> {
        let state = self.state().state;
        if state != Phase::Streaming {
            return Err(format!("no frames come: the device is {}", state.as_str()));
        }
        let Some(page) = &self.page else { return Err("there is no page".into()) };
        page.watch().ask_camera_test();
        self.camera_test.running = Some(Running {
            until: Instant::now() + CAMERA_TEST + PATIENCE,
            dropped: self.shared.dropped.load(Relaxed),
            damaged: self.shared.damaged.load(Relaxed),
        });
        Ok(CAMERA_TEST)
    }

    /// Tells those who watch what a test has found.
    pub(super) fn end_camera_test(&mut self, mut seen: ViewStatistics) {
        let Some(running) = self.camera_test.running.take() else { return };
        seen.dropped = Some(self.shared.dropped.load(Relaxed).saturating_sub(running.dropped));
        seen.damaged = self.shared.damaged.load(Relaxed).saturating_sub(running.damaged);
        let findings = seen.findings(self.config.source.kind, self.config.camera.fps);
        self.tell(|_| Post::CameraTest(json!({ "findings": findings }).to_string()));
    }

    /// Gives up a test whose frames have stopped.
    pub(super) fn expire_camera_test(&mut self) {
        let is_paused = self.shared.pause.load(SeqCst);
        let is_over = |running: &mut Running| is_paused || Instant::now() >= running.until;
        if self.camera_test.running.take_if(is_over).is_none() {
            return;
        }
        let message = match self.state().state {
            _ if is_paused => json!({ "error": "the device was paused" }),
            // The last page was closed, and another one opened.
            Phase::Streaming => json!({ "error": "the test was interrupted; test again" }),
            _ => json!({ "findings": [no_frames(self.config.source.kind, "no frame came any more")] }),
        };
        self.tell(|_| Post::CameraTest(message.to_string()));
    }
}
