//! Measurements of single frames for the topic `au`: so many a second, and in nobody's way.
//!
//! What cannot go on at once is dropped and counted: between the threads, and where the broker is away or slow. An event
//! never waits for a measurement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use glint::au::UNITS;
use glint::pipeline::FaceReading;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::daemon::clock::wall_time;

/// Samples between vision and the main thread.
const SAMPLES: usize = 4;
/// Version of the message; a key that changes its meaning raises it.
const SCHEMA: u32 = 1;

/// What was measured in one frame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StreamSample {
    /// Time of the frame: kernel monotonic.
    pub(crate) at_ns: i64,
    /// Its number.
    pub(crate) frame: u64,
    /// Measured frames a second.
    pub(crate) fps: f32,
    /// Why nothing can be seen, in the words of the state topic.
    pub(crate) reason: Option<&'static str>,
    /// The faces in sight, the largest first.
    pub(crate) faces: Vec<FaceReading>,
}

/// The end of vision: takes so many samples a second.
pub(crate) struct Sampler {
    period_ns: i64,
    due_ns: Option<i64>,
    samples: mpsc::Sender<StreamSample>,
    dropped: Arc<AtomicU64>,
}

/// The end of the main thread.
pub(crate) struct Samples {
    /// What vision has measured.
    pub(crate) taken: mpsc::Receiver<StreamSample>,
    dropped: Arc<AtomicU64>,
    sent: u64,
    boot_id: String,
}

/// Both ends. Without a rate there is no sampler, and no sample ever comes.
pub(crate) fn channel(hz: Option<f64>, boot_id: String) -> (Option<Sampler>, Samples) {
    let (samples, taken) = mpsc::channel(SAMPLES);
    let dropped = Arc::new(AtomicU64::new(0));
    let sampler = hz.map(|hz| Sampler {
        // 1 to 30: checked with the configuration.
        period_ns: (1e9 / hz) as i64,
        due_ns: None,
        samples,
        dropped: Arc::clone(&dropped),
    });
    (sampler, Samples { taken, dropped, sent: 0, boot_id })
}

impl Sampler {
    /// Whether a frame of this time is to be told.
    pub(crate) fn is_due(&mut self, at_ns: i64) -> bool {
        let due = match self.due_ns {
            // A time that lies far ahead is of another clock.
            Some(due) if at_ns < due && due - at_ns <= 2 * self.period_ns => return false,
            Some(due) if (0..self.period_ns).contains(&(at_ns - due)) => due,
            _ => at_ns,
        };
        self.due_ns = Some(due + self.period_ns);
        true
    }

    /// Hands a sample over; where there is no room it is dropped and counted.
    pub(crate) fn give(&self, sample: StreamSample) {
        if self.samples.try_send(sample).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl Samples {
    /// Notes whether a sample went to the broker.
    pub(crate) fn note(&mut self, was_sent: bool) {
        if was_sent {
            self.sent += 1;
        } else {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// How many there were.
    pub(crate) fn counts(&self) -> Streamed {
        Streamed { sent: self.sent, dropped: self.dropped.load(Relaxed) }
    }

    /// The message of a sample.
    pub(crate) fn message(&self, sample: &StreamSample) -> AuMessage {
        let faces: Vec<AuFace> = sample.faces.iter().map(AuFace::new).collect();
        AuMessage {
            schema: SCHEMA,
            time: wall_time(sample.at_ns),
            at_ns: sample.at_ns,
            boot_id: self.boot_id.clone(),
            frame: sample.frame,
            fps: (f64::from(sample.fps) * 10.0).round() / 10.0,
            reason: sample.reason,
            face: !faces.is_empty(),
            faces,
        }
    }
}

/// Samples of the topic `au` since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Streamed {
    /// Handed to the connection; QoS 0, so that nobody acknowledges them.
    pub(crate) sent: u64,
    /// Dropped because the broker was away or slow.
    pub(crate) dropped: u64,
}

/// Content of the topic `au`: what was measured in one frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AuMessage {
    /// Version of this message: 1.
    pub(crate) schema: u32,
    /// RFC 3339 time of the frame.
    pub(crate) time: String,
    /// Time of the frame in nanoseconds of the kernel's monotonic clock, as `onset_ns` of events.
    pub(crate) at_ns: i64,
    /// Boot of the device: times in nanoseconds of one boot can be compared.
    pub(crate) boot_id: String,
    /// Number of the frame at its source.
    pub(crate) frame: u64,
    /// Measured frames per second.
    pub(crate) fps: f64,
    /// Why no event can come, as in `state`; else null.
    pub(crate) reason: Option<&'static str>,
    /// Whether a face is in sight.
    pub(crate) face: bool,
    /// The faces in sight, the largest first.
    pub(crate) faces: Vec<AuFace>,
}

/// One face of such a message.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AuFace {
    /// Track of the face, as in events.
    pub(crate) track: u32,
    /// Quality of the registration, 0 to 1.
    pub(crate) quality: f32,
    /// Intensity of each unit above the person's neutral face, 0 to 5, by name: `AU12L` (the subject's left), `AU12R`,
    /// `AU25` where FACS has no side. Null while it cannot be measured.
    pub(crate) aus: Option<BTreeMap<String, f32>>,
}

impl AuFace {
    fn new(face: &FaceReading) -> Self {
        let round = |v: f32| (v * 100.0).round() / 100.0;
        let by_name = |(unit, value): (&glint::au::Unit, &f32)| (unit.label(), round(*value));
        Self {
            track: face.track,
            quality: round(face.quality),
            aus: face.units.as_ref().map(|units| UNITS.iter().zip(units).map(by_name).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn sample() -> StreamSample {
        StreamSample { at_ns: 0, frame: 0, fps: 60.0, reason: None, faces: Vec::new() }
    }

    #[test]
    fn the_rate_holds_where_it_does_not_divide_that_of_the_frames() {
        for (fps, hz, expected) in [(60.0, 25.0, 25), (100.0, 30.0, 30), (30.0, 30.0, 30), (20.0, 30.0, 20)] {
            let (sampler, _samples) = channel(Some(hz), String::new());
            let mut sampler = sampler.expect("a rate");
            let frames = (0..(10.0 * fps) as i64).map(|k| (k as f64 * 1e9 / fps) as i64);
            let taken = frames.filter(|at_ns| sampler.is_due(*at_ns)).count() as i64;
            assert!((taken - 10 * expected).abs() <= 1, "{fps} {hz}: {taken} in 10 s");
        }
    }

    #[test]
    fn a_gap_is_not_made_up_for_and_another_clock_is_taken() {
        let (sampler, _samples) = channel(Some(10.0), String::new());
        let mut sampler = sampler.expect("a rate");
        let times = [0, 10, 5000, 5010, 5099, 5100, 20, 30, 121];
        let due: Vec<i64> = times.into_iter().filter(|ms| sampler.is_due(ms * MS)).collect();
        assert_eq!(due, [0, 5000, 5100, 20, 121]);
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let (sampler, mut samples) = channel(Some(10.0), String::new());
        let sampler = sampler.expect("a rate");
        (0..SAMPLES + 3).for_each(|_| sampler.give(sample()));
        samples.note(true);
        samples.note(false);
        assert_eq!(samples.counts(), Streamed { sent: 1, dropped: 4 });
        assert!(channel(None, String::new()).0.is_none());
    }

    #[test]
    fn a_message_names_each_unit_once() {
        let (_, samples) = channel(None, "b".into());
        let units: [f32; UNITS.len()] = std::array::from_fn(|k| k as f32 / 10.0 + 0.001);
        let bounds = glint::geometry::Rect { x: 0.0, y: 0.0, w: 1.0, h: 1.0 };
        let face = FaceReading {
            track: 2,
            bounds,
            quality: 0.987,
            roll: 0.0,
            eye_distance_px: 60.0,
            units: Some(units),
        };
        let turned = FaceReading { units: None, ..face.clone() };
        let message = samples.message(&StreamSample { faces: vec![face, turned], ..sample() });
        let text = serde_json::to_value(&message).expect("JSON");
        assert_eq!(text["faces"][0]["aus"].as_object().map(serde_json::Map::len), Some(UNITS.len()));
        assert_eq!(text["faces"][0]["aus"]["AU01R"], serde_json::json!(0.1_f32));
        assert!(text["faces"][1]["aus"].is_null() && text["face"] == true && text["boot_id"] == "b");
    }
}
