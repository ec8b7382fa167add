//! What the device reports of itself: its state, and its health.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::Main;
use crate::daemon::clock::{now_s, rfc3339, wall};
use crate::daemon::page::Page;
use crate::daemon::runtime::report::{Health, Phase, SCHEMA, State, Waiting, json};

/// Temperature in thousandths of a degree C. Zone 0 is the processor on the boards that glint runs on.
const TEMPERATURE: &str = "/sys/class/thermal/thermal_zone0/temp";

impl Main {
    /// What the device does, and why nothing can be seen.
    pub(super) fn state(&self) -> State {
        let state_of = |state, reason| State { schema: SCHEMA, state, reason };
        if self.shared.pause.load(SeqCst) {
            let closed = self.shared.closed.load(SeqCst);
            return state_of(if closed { Phase::Paused } else { Phase::Pausing }, None);
        }
        let vision_state = self.vision_state.borrow();
        if self.shared.no_source.load(Relaxed) {
            state_of(Phase::Waiting, Some("no_camera"))
        } else if !vision_state.streaming {
            state_of(Phase::Waiting, None)
        } else {
            state_of(Phase::Streaming, vision_state.reason)
        }
    }

    /// Answers a pause.
    pub(super) fn answer_pause(&mut self) {
        if let Some(mut reply) = self.pausing.take() {
            reply.time = rfc3339(wall().as_millis() as i64);
            self.mqtt.retain("pause/state", json(&reply));
        }
    }

    /// Says what the device does, and answers a pause once the camera is closed.
    pub(super) fn say_state(&mut self) -> State {
        let state = self.state();
        if self.phase.replace(state.state) != Some(state.state) {
            // An earlier report must not stand beside it.
            self.next_health_s = i64::MIN;
        }
        self.mqtt.retain("state", json(&state));
        if state.state == Phase::Paused {
            self.answer_pause();
        }
        state
    }

    /// The last reports of a daemon that stops.
    pub(super) fn say_stopped(&mut self) {
        self.mqtt.retain("state", json(&State { schema: SCHEMA, state: Phase::Stopped, reason: None }));
        // No retained report goes on saying that frames come.
        let report = self.health();
        let problems = report.problems.into_iter().filter(|p| Some(*p) != self.state().reason).collect();
        self.mqtt.retain("health", json(&Health { state: Phase::Stopped, problems, ..report }));
    }

    /// The report of health.
    pub(super) fn health(&self) -> Health {
        let vision_state = self.vision_state.borrow();
        let State { state, reason, .. } = self.state();
        let mut problems: Vec<&str> = reason.into_iter().collect();
        problems.extend(self.outbox.problems());
        problems.extend(self.mqtt.problems());
        problems.extend(self.page.as_ref().and_then(Page::problem));
        problems.extend(self.audit.problem());
        problems.extend(self.models_problem);
        let temperature_c = std::fs::read_to_string(TEMPERATURE)
            .ok()
            .and_then(|t| t.trim().parse::<f64>().ok())
            .map(|milli| milli / 1000.0);
        Health {
            schema: SCHEMA,
            state,
            problems,
            uptime_s: (now_s() - self.start_s).max(0).cast_unsigned(),
            fps: (f64::from(vision_state.fps) * 10.0).round() / 10.0,
            jitter: (f64::from(vision_state.jitter) * 1000.0).round() / 1000.0,
            frames: vision_state.counters.frames,
            frames_dropped: self.shared.dropped.load(Relaxed),
            frames_damaged: self.shared.damaged.load(Relaxed),
            events: self.events,
            au: self.samples.counts(),
            events_day: self.hours.iter().filter(|(h, _)| now_s() / 3600 - h < 24).map(|(_, n)| n).sum(),
            counters: vision_state.counters,
            outbox: Waiting {
                events: self.outbox.len(),
                bytes: self.outbox.bytes(),
                lost: self.outbox.lost(),
                refused: self.mqtt.rejections(),
            },
            temperature_c,
        }
    }
}
