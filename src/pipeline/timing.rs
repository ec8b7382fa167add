//! When frames come: their rate and its jitter, frames that were lost, pictures that come again.
//!
//! All times are those of the frames, in ns. No clock is read.

use crate::event::TimingQuality;
use crate::frame::Frame;

/// Under this rate times are too coarse for any event.
pub const MIN_FPS: f32 = 20.0;
/// Under this rate times are marked as degraded.
pub const GOOD_FPS: f32 = 45.0;
/// Mean deviation from the mean frame interval, as its share, from which times are degraded.
const MAX_JITTER: f32 = 0.25;
/// A movement across a picture that stood for longer is spoilt: two intervals at [`MIN_FPS`].
const MAX_STANDING_NS: i64 = 100_000_000;
/// After a longer pause the stream counts as another one.
const MAX_PAUSE_NS: f32 = 2e9;
/// Weight of a new interval in the running means.
const SHARE: f32 = 0.05;

/// What a frame is to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The same picture once more.
    Repeated {
        /// Time since this picture was new.
        standing_ns: i64,
    },
    /// A new picture.
    New {
        /// Frames lost before it, by the sequence numbers.
        lost: u64,
        /// Whether the picture before it stood for too long to measure across.
        stood: bool,
        /// Whether another stream begins with it: time went back, stood still, or jumped.
        restarted: bool,
    },
}

/// The timing of one stream of frames.
#[derive(Debug, Clone, Default)]
pub(super) struct FrameTiming {
    /// Number of the last frame, and time of the last new picture.
    last: Option<(u64, i64)>,
    /// Luma of that picture; empty where there is none to compare with.
    picture: Vec<u8>,
    /// Running mean of the time between new pictures; 0 before the second one.
    interval_ns: f32,
    /// Running mean of its deviation.
    deviation_ns: f32,
}

impl FrameTiming {
    /// Takes in a frame that could be decoded.
    pub(super) fn arrive(&mut self, frame: &Frame) -> Arrival {
        if let Some(standing_ns) = self.standing_ns(frame) {
            self.last = self.last.map(|(_, at_ns)| (frame.seq, at_ns));
            return Arrival::Repeated { standing_ns };
        }
        let (mut lost, mut stood, mut restarted) = (0, false, false);
        if let Some((seq, at_ns)) = self.last {
            stood = frame.at_ns - at_ns > MAX_STANDING_NS;
            lost = frame.seq.saturating_sub(seq).saturating_sub(1);
            let interval_ns = (frame.at_ns - at_ns) as f32 / (lost + 1) as f32;
            restarted = interval_ns <= 0.0 || interval_ns > MAX_PAUSE_NS;
            self.measure(if restarted { None } else { Some(interval_ns) });
        }
        self.last = Some((frame.seq, frame.at_ns));
        self.picture.clone_from(&frame.luma);
        Arrival::New { lost, stood, restarted }
    }

    /// Takes in a frame that could not be decoded.
    pub(super) fn gap(&mut self, seq: u64, at_ns: i64) {
        self.last = Some((seq, at_ns));
        self.picture.clear();
    }

    /// Forgets the stream.
    pub(super) fn reset(&mut self) {
        self.last = None;
        self.picture.clear();
        self.measure(None);
    }

    /// Time of the last new picture, or of a later frame that could not be decoded; `None` before the first.
    pub(super) fn last_ns(&self) -> Option<i64> {
        self.last.map(|(_, at_ns)| at_ns)
    }

    /// New pictures per second; 0 before the second one.
    pub(super) fn fps(&self) -> f32 {
        if self.interval_ns > 0.0 { 1e9 / self.interval_ns } else { 0.0 }
    }

    /// The same while a picture stands: the rate falls.
    pub(super) fn standing_fps(&self, standing_ns: i64) -> f32 {
        (1e9 / self.interval_ns.max(standing_ns as f32)).min(1000.0)
    }

    /// Mean deviation from the mean interval, as its share.
    pub(super) fn jitter(&self) -> f32 {
        if self.interval_ns > 0.0 { self.deviation_ns / self.interval_ns } else { 0.0 }
    }

    /// How far the times of movements can be trusted.
    pub(super) fn quality(&self) -> TimingQuality {
        let is_good = self.fps() >= GOOD_FPS && self.jitter() <= MAX_JITTER;
        if is_good { TimingQuality::Good } else { TimingQuality::Degraded }
    }

    /// Since when the picture stands that this frame repeats; `None` of a new picture, and where frames were lost or time
    /// went back. Cameras and capture programs that miss their rate hand a picture out again.
    fn standing_ns(&self, frame: &Frame) -> Option<i64> {
        let (seq, at_ns) = self.last?;
        let follows = frame.seq <= seq + 1 && frame.at_ns > at_ns;
        (follows && self.picture == frame.luma).then_some(frame.at_ns - at_ns)
    }

    /// Updates the running means; `None` begins anew.
    fn measure(&mut self, interval_ns: Option<f32>) {
        match interval_ns {
            None => (self.interval_ns, self.deviation_ns) = (0.0, 0.0),
            Some(interval_ns) if self.interval_ns == 0.0 => self.interval_ns = interval_ns,
            Some(interval_ns) => {
                self.deviation_ns += SHARE * ((interval_ns - self.interval_ns).abs() - self.deviation_ns);
                self.interval_ns += SHARE * (interval_ns - self.interval_ns);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::{ROUNDING, THOUSANDTH};

    const NEW: Arrival = Arrival::New { lost: 0, stood: false, restarted: false };

    /// A frame of one pixel.
    fn frame(seq: u64, at_ms: i64, luma: u8) -> Frame {
        Frame { seq, at_ns: at_ms * 1_000_000, width: 1, height: 1, luma: vec![luma] }
    }

    /// The timing after new pictures at these times, one number after the other.
    fn after(times_ms: &[i64]) -> FrameTiming {
        let mut timing = FrameTiming::default();
        for (seq, at_ms) in times_ms.iter().enumerate() {
            assert_eq!(timing.arrive(&frame(seq as u64, *at_ms, seq as u8)), NEW);
        }
        timing
    }

    #[test]
    fn the_rate_is_that_of_the_frames_and_an_even_one_has_no_jitter() {
        assert_eq!((FrameTiming::default().fps(), after(&[7]).fps()), (0.0, 0.0));
        let even = after(&(0..100).map(|n| 20 * n).collect::<Vec<_>>());
        assert!((even.fps() - 50.0).abs() < THOUSANDTH && even.jitter() < ROUNDING, "{even:?}");
        assert_eq!((even.quality(), even.last_ns()), (TimingQuality::Good, Some(1_980_000_000)));
        // 10 ms and 30 ms in turn: the same rate, off by half of it.
        let uneven = after(&(0..200).map(|n| 20 * n + 10 * (n % 2)).collect::<Vec<_>>());
        assert!((uneven.fps() - 50.0).abs() < 3.0 && (uneven.jitter() - 0.5).abs() < 0.1, "{uneven:?}");
        assert_eq!(uneven.quality(), TimingQuality::Degraded);
        let slow = after(&(0..100).map(|n| 40 * n).collect::<Vec<_>>());
        assert_eq!(slow.quality(), TimingQuality::Degraded);
    }

    #[test]
    fn lost_frames_are_counted_and_do_not_lower_the_rate() {
        let mut timing = after(&[0, 20, 40]);
        let lost = Arrival::New { lost: 2, stood: false, restarted: false };
        assert_eq!(timing.arrive(&frame(5, 100, 5)), lost);
        assert!((timing.fps() - 50.0).abs() < THOUSANDTH, "{timing:?}");
    }

    #[test]
    fn a_picture_that_comes_again_is_repeated_until_another_one_comes() {
        let mut timing = after(&[0, 20]);
        let repeated = |ms: i64| Arrival::Repeated { standing_ns: ms * 1_000_000 };
        assert_eq!(timing.arrive(&frame(2, 40, 1)), repeated(20));
        assert_eq!(timing.arrive(&frame(3, 130, 1)), repeated(110));
        assert_eq!(timing.last_ns(), Some(20_000_000), "the time of the picture");
        assert!(
            (timing.standing_fps(110_000_000) - 9.09).abs() < 0.01
                && (timing.fps() - 50.0).abs() < THOUSANDTH
        );
        let stood = Arrival::New { lost: 0, stood: true, restarted: false };
        assert_eq!(timing.arrive(&frame(4, 140, 2)), stood);
        // With a frame missing, or after one that could not be decoded, nobody knows what was between.
        assert_eq!(
            timing.arrive(&frame(6, 180, 2)),
            Arrival::New { lost: 1, stood: false, restarted: false }
        );
        timing.gap(7, 200);
        assert!(matches!(timing.arrive(&frame(8, 220, 2)), Arrival::New { lost: 0, .. }));
    }

    #[test]
    fn where_time_goes_back_or_jumps_another_stream_begins() {
        for at_ms in [19, 20, 3000] {
            let mut timing = after(&[0, 20]);
            let Arrival::New { lost: 0, restarted: true, .. } = timing.arrive(&frame(2, at_ms, 9)) else {
                panic!("{at_ms}: {timing:?}");
            };
            assert_eq!((timing.fps(), timing.last_ns()), (0.0, Some(at_ms * 1_000_000)));
        }
        let mut timing = after(&[0, 20]);
        timing.reset();
        assert_eq!((timing.fps(), timing.jitter(), timing.last_ns()), (0.0, 0.0, None));
        assert_eq!(timing.arrive(&frame(0, 0, 1)), NEW, "as the first one");
    }
}
