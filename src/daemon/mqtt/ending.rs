//! The end of a connection: what is said of it, and when the next one is tried.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::link::End;
use super::listen::Check;
use super::reports::AFTER;
use super::{BACKOFF, Mqtt};

/// A broker that refuses the login is asked less often, or it may lock us out.
const REFUSED_BACKOFF: Duration = BACKOFF.1;
/// A connection that stood so long has lasted.
pub(super) const LASTED: Duration = Duration::from_secs(60);
/// The broker closes connections sooner than this, so often one after the other: another client has our id (MQTT 3.1.1
/// cannot say so).
pub(super) const TAKEN_OVER: (Duration, u32) = (Duration::from_secs(10), 3);
/// So many connections, one after the other, were ended by a message that is too long: go without commands, so that
/// events are delivered, and try again after so long.
pub(super) const DEAF: (u32, Duration) = (2, Duration::from_secs(600));
impl Mqtt {
    pub(super) fn ended(&mut self, end: End) {
        let stood = self.connected_at.take().map(|at| at.elapsed());
        let lasted = stood.is_some_and(|t| t >= LASTED);
        if stood.is_some() || self.last_complaint.as_ref() != Some(&end) {
            self.complain(&end);
        }
        self.refused = matches!(end, End::Refused(_));
        if lasted {
            self.backoff = BACKOFF.0;
            (self.short, self.too_large, self.taken_over) = (0, 0, false);
        }
        // With the check, a report or events on their way it is rather they that the broker does not want.
        let closed_soon = end == End::Closed && stood.is_some_and(|t| t < TAKEN_OVER.0);
        let checking = matches!(self.check, Check::Waiting(..));
        let reporting = self.reports.ended(closed_soon, lasted);
        let cut_by_event = end == End::Closed && self.acknowledged_at.is_some_and(|at| at.elapsed() < AFTER);
        if cut_by_event {
            if self.doubted.take().is_some() && !std::mem::replace(&mut self.events_rejected, true) {
                tracing::error!(
                    "the broker closes the connection after each event; they are kept and sent again later; see its access rules"
                );
            }
            self.doubtful = true;
        }
        self.acknowledged_at = None;
        self.doubted = None;
        if closed_soon {
            self.checks_cut += u32::from(checking);
            let idle =
                self.in_flight == 0 && !checking && !reporting && !cut_by_event && !self.events_rejected;
            self.short += u32::from(idle);
        }
        if !self.taken_over && (end == End::TakenOver || self.short >= TAKEN_OVER.1) {
            self.taken_over = true;
            tracing::error!(
                "another client uses the id {}: give each device its own device.id or mqtt.client_id",
                self.client_id
            );
        }
        if end == End::TooLarge {
            self.too_large += 1;
            if self.too_large >= DEAF.0 {
                self.deaf_until = Some(Instant::now() + DEAF.1);
                tracing::error!(
                    minutes = DEAF.1.as_secs() / 60,
                    "a message on a command topic is too long; commands are off for now"
                );
            }
        }
        let wait = if self.refused { REFUSED_BACKOFF } else { self.backoff };
        self.retry_at = Instant::now() + jittered(wait);
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
        self.last_complaint = Some(end);
        self.link = None;
        self.subscribing.clear();
        self.unnumbered.clear();
        self.unacknowledged.clear();
        self.in_flight = 0;
        self.check = Check::Passed;
        self.withdrawals.ended();
        // What was not acknowledged is sent again, under the same ids.
        self.last_key = None;
    }

    fn complain(&self, end: &End) {
        let broker = &self.config.mqtt.url;
        let reason = match end {
            End::Refused(reason) => {
                tracing::error!(
                    broker,
                    reason,
                    "the broker refuses the login: check mqtt.username and mqtt.password_file; events wait in the outbox"
                );
                return;
            }
            End::Lost(reason) => reason,
            End::TakenOver => "another client connected with the same client id",
            End::Closed => "the broker closed the connection",
            End::TooLarge => "a message came that is too long",
        };
        tracing::warn!(broker, reason, "no connection to the broker; events wait in the outbox");
    }
}

/// A time that differs by up to a quarter: devices that lost the same broker do not all come back at once.
fn jittered(time: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 512;
    time * (768 + random as u32) / 1024
}
