//! Clocks: ages by the kernel's monotonic clock and the boot id, never by the wall clock, which steps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What timesyncd leaves once it has set the clock; asked where the kernel may not be.
const TIMESYNCD: &str = "/run/systemd/timesync/synchronized";
/// `ADJ_NANO` and the like are not needed: the error is in microseconds always.
const CLOCK_UNSYNCHRONIZED: i32 = 5;

/// Seconds and nanoseconds of the wall clock.
pub(crate) fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// RFC 3339 in UTC with milliseconds (days to date after Hinnant, "chrono-compatible low-level date
/// algorithms").
pub(crate) fn rfc3339(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (s, ms) = (ms / 1000, ms % 1000);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", s / 3600, s / 60 % 60, s % 60)
}

/// Wall-clock time of an instant of the monotonic clock.
pub(crate) fn wall_time(at_ns: i64) -> String {
    let now_ms = wall().as_millis() as i64;
    rfc3339(now_ms - (monotonic_ns() - at_ns) / 1_000_000)
}

/// Nanoseconds of the kernel's monotonic clock, which stamps the frames of a camera too.
pub(crate) fn monotonic_ns() -> i64 {
    use nix::sys::time::TimeValLike;
    // The clock exists on every Linux.
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(0, |t| t.num_nanoseconds())
}

/// Seconds of the monotonic clock.
pub(crate) fn now_s() -> i64 {
    monotonic_ns() / 1_000_000_000
}

/// The boot id; empty where there is none.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// Whether the wall clock follows a time server, and the kernel's estimate of its error in microseconds, if it gives one.
pub(crate) fn synchronization() -> (bool, Option<u64>) {
    // SAFETY: `timex` is plain numbers, of which zero is a value; `modes` of zero reads and changes nothing.
    #[allow(unsafe_code)]
    let (state, timex) = unsafe {
        let mut timex: nix::libc::timex = std::mem::zeroed();
        (nix::libc::adjtimex(&raw mut timex), timex)
    };
    match state {
        // The service manager's hardening forbids the call.
        ..0 => (std::path::Path::new(TIMESYNCD).exists(), None),
        CLOCK_UNSYNCHRONIZED => (false, None),
        _ => (true, u64::try_from(timex.esterror).ok()),
    }
}

/// An instant that can be compared after a restart, and as far as possible after another boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Boot id.
    pub(crate) boot: String,
    /// Seconds of the monotonic clock.
    pub(crate) monotonic_s: i64,
    /// Seconds of the wall clock since 1970.
    pub(crate) wall_s: u64,
    /// Whether the wall clock followed a time server.
    pub(crate) synchronized: bool,
}

impl Stamp {
    /// This instant.
    pub(crate) fn now() -> Self {
        Self {
            boot: boot_id(),
            monotonic_s: now_s(),
            wall_s: wall().as_secs(),
            synchronized: synchronization().0,
        }
    }

    /// Seconds from this instant to a later one. Of another boot nothing is known where one of the two wall clocks was
    /// not set: 0.
    pub(crate) fn age_s(&self, now: &Self) -> i64 {
        if self.boot == now.boot {
            (now.monotonic_s - self.monotonic_s).max(0)
        } else if self.synchronized && now.synchronized {
            now.wall_s.saturating_sub(self.wall_s).min(i64::MAX as u64) as i64
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_calendar() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_827_696_789), "2000-02-29T12:34:56.789Z");
        assert_eq!(rfc3339(1_767_225_599_999), "2025-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn ages_do_not_follow_a_wall_clock_that_steps() {
        let stamp = |boot: &str, monotonic_s, wall_s, synchronized| Stamp {
            boot: boot.into(),
            monotonic_s,
            wall_s,
            synchronized,
        };
        let before = stamp("a", 100, 10, false);
        assert_eq!(before.age_s(&stamp("a", 103, 1_800_000_000, true)), 3, "the clock was set");
        assert_eq!(before.age_s(&stamp("b", 5, 1_800_000_000, true)), 0, "nobody knows");
        let set = stamp("a", 100, 1_800_000_000, true);
        assert_eq!(set.age_s(&stamp("b", 5, 1_800_000_060, true)), 60);
        assert_eq!(set.age_s(&stamp("b", 5, 0, false)), 0);
        assert!(Stamp::now().age_s(&Stamp::now()) <= 1);
    }
}
