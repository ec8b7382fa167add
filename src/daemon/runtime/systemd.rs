//! What the service manager hears: READY, WATCHDOG, STOPPING. Silent where there is none.

use std::time::Duration;

use sd_notify::NotifyState;

fn notify(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::debug!("service manager: {e}");
    }
}

/// The daemon works: frames come, or it waits for a camera.
pub(crate) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The daemon is alive.
pub(crate) fn watchdog() {
    notify(&[NotifyState::Watchdog]);
}

/// The daemon ends.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub(crate) fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

/// Whether a thread that last ticked at `tick_ns` is alive at `now_ns`.
pub(crate) fn alive(tick_ns: i64, now_ns: i64, patience: Duration) -> bool {
    now_ns - tick_ns <= patience.as_nanos() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_thread_is_not_alive() {
        assert!(alive(5_000_000_000, 7_000_000_000, Duration::from_secs(3)));
        assert!(!alive(3_000_000_000, 7_000_000_000, Duration::from_secs(3)));
    }
}
