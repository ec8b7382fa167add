//! Times of frames that another program delivers, on the monotonic clock.

use std::time::Duration;

/// Until so long after the first frame the earliest arrival counts: programs start with a backlog.
const SETTLE_NS: i64 = Duration::from_secs(1).as_nanos() as i64;
/// Farther from its arrival than this no frame is: the container's clock has jumped.
const JUMP_NS: i64 = Duration::from_secs(2).as_nanos() as i64;
/// Of an interval, how much the distance between both clocks may grow: that is what crystals differ by.
const DRIFT: i64 = 5000;
/// Of an interval, how much it may shrink: a frame that came faster than all before it moves no time by much.
const SHRINK: i64 = 20;

/// Brings the times of a container to the monotonic clock. The way from the camera is never shorter than its shortest, so
/// the smallest distance between arrival and time is the offset.
#[derive(Debug, Default)]
pub(crate) struct Stamper {
    /// Distance of both clocks, time and stamp of the last frame, time of the first.
    known: Option<(i64, i64, i64, i64)>,
}

impl Stamper {
    /// The time of a frame that arrived at `arrived_ns` and has, by its container, the time `time_ns`.
    pub(crate) fn stamp(&mut self, arrived_ns: i64, time_ns: Option<i64>) -> i64 {
        let Some(time_ns) = time_ns else { return arrived_ns };
        let target = arrived_ns.saturating_sub(time_ns);
        let (offset, first, last) = match self.known {
            Some((offset, last_time, last, first)) if target.abs_diff(offset) < JUMP_NS.unsigned_abs() => {
                let interval = time_ns.saturating_sub(last_time).max(0);
                let change = target - offset;
                let least =
                    if time_ns.saturating_sub(first) < SETTLE_NS { i64::MIN } else { -interval / SHRINK };
                (offset.saturating_add(change.clamp(least, interval / DRIFT)), first, Some(last))
            }
            _ => (target, time_ns, None),
        };
        let stamp = time_ns.saturating_add(offset);
        // Time does not go back within a stream.
        let stamp = last.map_or(stamp, |last| stamp.max(last.saturating_add(1)));
        self.known = Some((offset, time_ns, stamp, first));
        stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn without_a_container_arrival_counts() {
        assert_eq!(Stamper::default().stamp(17, None), 17);
    }

    #[test]
    fn jitter_on_the_way_is_no_jitter_of_the_frames() {
        let mut stamper = Stamper::default();
        let mut stamps = Vec::new();
        for i in 0..600 {
            let late = [0, 9, 3, 14, 1, 7][i as usize % 6] * MS;
            // The other clock is 100 ppm slow and began elsewhere.
            let time = i * 20 * MS;
            let arrived = 5_000 * MS + time + time / 10_000 + 3 * MS + late;
            stamps.push(stamper.stamp(arrived, Some(time)));
        }
        for pair in stamps[60..].windows(2) {
            assert!(((pair[1] - pair[0]) - 20 * MS).abs() < MS / 10, "{pair:?}");
        }
        // The earliest arrival, 3 ms behind the camera.
        let last = 599 * 20 * MS;
        assert!((stamps[599] - (5_000 * MS + last + last / 10_000 + 3 * MS)).abs() < MS);
    }

    #[test]
    fn a_jump_of_the_container_is_followed_and_time_never_goes_back() {
        let mut stamper = Stamper::default();
        let mut last = i64::MIN;
        for i in 0..200 {
            let time = if i < 100 { i * 10 * MS } else { i * 10 * MS + 90_000_000 * MS };
            let stamp = stamper.stamp(i * 10 * MS + 40 * MS, Some(time));
            assert!(stamp > last);
            assert!((stamp - (i * 10 * MS + 40 * MS)).abs() < MS, "{i}: {stamp}");
            last = stamp;
        }
        // A container without an idea of time.
        for extreme in [i64::MAX, i64::MIN, 0, i64::MAX] {
            stamper.stamp(1, Some(extreme));
        }
    }
}
