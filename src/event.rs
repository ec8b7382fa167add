//! The wire type: one facial movement as a CloudEvents 1.0 JSON object, free of topics and transport.
//!
//! [`Movement`] is what the pipeline finds; [`Event`] wraps it with identity. `type` names the shape: "glint.movement.v1".
//! Within v1 optional fields may be added. A change of meaning, a removal or a rename needs a new type.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::au::{self, Side};

/// Value of the CloudEvents attribute `type`.
pub const EVENT_TYPE: &str = "glint.movement.v1";

/// What kind of movement was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// 40 ms from onset to offset up to the longest that the device's capabilities state: 500 ms and the spread of the estimate.
    Micro,
    /// Longer than that.
    Macro,
    /// AU 45 alone.
    Blink,
}

/// Class of the MEGC2019 challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Anger, contempt, disgust, fear, sadness, repression.
    Negative,
    /// Happiness.
    Positive,
    /// Surprise.
    Surprise,
}

impl Class {
    /// The classes in the order of every tensor and table.
    pub const ALL: [Self; 3] = [Self::Negative, Self::Positive, Self::Surprise];
    /// Their names, in the same order.
    pub const NAMES: [&str; 3] = ["negative", "positive", "surprise"];

    /// Its name in events, tables and files.
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether the frame rate supports the times of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TimingQuality {
    /// At least 45 frames a second, evenly spaced.
    Good,
    /// Under 45 frames a second, or jitter.
    Degraded,
}

/// One action unit of a movement, at its apex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AuReading {
    /// FACS number.
    pub au: u8,
    /// The subject's side.
    pub side: Side,
    /// 0 to 5.
    pub intensity: f32,
    /// FACS letter A-E, or null below A.
    pub level: Option<char>,
}

impl AuReading {
    /// A reading with its letter; the intensity is rounded to two decimals, as it is printed.
    pub fn new(au: u8, side: Side, intensity: f32) -> Self {
        let intensity = (intensity.clamp(0.0, 5.0) * 100.0).round() / 100.0;
        Self { au, side, intensity, level: au::level(intensity) }
    }
}

/// The student's class with its calibrated confidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Label {
    /// The class.
    pub class: Class,
    /// 0 to 1, calibrated.
    pub confidence: f32,
}

/// `data` of an event: one movement of one face.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Movement {
    /// Micro, macro or blink.
    pub kind: Kind,
    /// Start of the movement: nanoseconds of the clip, or of the kernel's monotonic clock.
    pub onset_ns: i64,
    /// Greatest extent.
    pub apex_ns: i64,
    /// End.
    pub offset_ns: i64,
    /// Track of the face; dies with it.
    pub track: u32,
    /// Active AUs, strongest first.
    pub aus: Vec<AuReading>,
    /// Class; null without a declared purpose or when the student abstains.
    pub label: Option<Label>,
    /// True when the student was asked and its confidence was too low.
    pub abstained: bool,
    /// Measured frames per second.
    pub fps: f32,
    /// Whether the rate supports the times.
    pub timing_quality: TimingQuality,
    /// 0 to 1: how still the face was held in the stabilised crop.
    pub track_quality: f32,
    /// `sha256:` and the digest of the student.
    pub model: String,
    /// Always "facial_movement": a movement is not an emotion.
    pub evidence: String,
}

/// What stamped the frames of a live event, where that was not the camera's driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stamps {
    /// glint, when the frame's first byte arrived from another program: the way from the sensor is part of the time.
    Arrival,
    /// The other program's container; only the distance to the monotonic clock was taken from arrival.
    Container,
}

/// What was known of the device's clocks when a live event was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Clock {
    /// Whether the wall clock, and with it `time`, follows a time server.
    pub synchronized: bool,
    /// The kernel's estimate of its error in microseconds; null where it gives none.
    pub estimated_error_us: Option<u64>,
    /// Boot of the device: `onset_ns` and the like of one boot can be compared.
    pub boot_id: String,
    /// What stamped the frames; absent where the camera's driver did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamps: Option<Stamps>,
}

/// `data` of an event: a movement, and when live the clock that timed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Data {
    /// The movement.
    #[serde(flatten)]
    pub movement: Movement,
    /// The clock; absent in replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
}

impl std::ops::Deref for Data {
    type Target = Movement;

    fn deref(&self) -> &Movement {
        &self.movement
    }
}

/// A CloudEvents 1.0 envelope in structured JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Event {
    /// "1.0".
    pub specversion: String,
    /// Hash of source, stream, track and onset; stable over a resend.
    pub id: String,
    /// `glint/<device>`.
    pub source: String,
    /// [`EVENT_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// "application/json".
    pub datacontenttype: String,
    /// RFC 3339 time of the onset when live; absent in replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The movement.
    pub data: Data,
}

impl Event {
    /// Wraps a movement. `stream` tells this run of the source from every other (boot id and start
    /// time when live, the clip's digest in replay); `time` is the wall-clock time of the onset.
    pub fn new(device: &str, stream: &str, time: Option<String>, data: Movement) -> Self {
        let source = format!("glint/{device}");
        let mut hash = Sha256::new();
        // NUL cannot stand in a source or stream, so no two tuples give the same bytes.
        for part in [source.as_str(), stream, &data.track.to_string(), &data.onset_ns.to_string()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let id = hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect();
        Self {
            specversion: "1.0".into(),
            id,
            source,
            kind: EVENT_TYPE.into(),
            datacontenttype: "application/json".into(),
            time,
            data: Data { movement: data, clock: None },
        }
    }

    /// The event as one line of JSON, without a line end.
    pub fn to_json(&self) -> String {
        // Every field is a string, a number or a list of such: serialisation has no way to fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn movement(track: u32, onset_ns: i64) -> Movement {
        Movement {
            kind: Kind::Micro,
            onset_ns,
            apex_ns: onset_ns + 100_000_000,
            offset_ns: onset_ns + 250_000_000,
            track,
            aus: vec![AuReading::new(12, Side::Both, 1.004)],
            label: None,
            abstained: false,
            fps: 100.0,
            timing_quality: TimingQuality::Good,
            track_quality: 0.97,
            model: "sha256:00".into(),
            evidence: "facial_movement".into(),
        }
    }

    #[test]
    fn the_published_schema_is_that_of_the_types() {
        // What is written, not what would be read: every field that is always there is required.
        let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
        let mut schema = settings.into_generator().into_root_schema_for::<Event>();
        schema.insert("$id".into(), "urn:glint:glint.movement.v1".into());
        let text = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/event.json");
        #[allow(clippy::disallowed_methods)] // A test.
        let is_written = std::env::var_os("GLINT_WRITE_SCHEMAS");
        if is_written.is_some() {
            std::fs::write(path, &text).expect("written");
        }
        let published = std::fs::read_to_string(path).expect("docs/schema/event.json");
        assert_eq!(
            published, text,
            "GLINT_WRITE_SCHEMAS=1 cargo test writes it; more than an optional field needs a new type"
        );
    }

    #[test]
    fn id_depends_on_identity_alone() {
        let a = Event::new("kiosk", "s", None, movement(1, 5));
        let mut other = movement(1, 5);
        other.fps = 30.0;
        assert_eq!(a.id, Event::new("kiosk", "s", Some("2026-01-01T00:00:00Z".into()), other).id);
        for b in [
            Event::new("kiosk2", "s", None, movement(1, 5)),
            Event::new("kiosk", "t", None, movement(1, 5)),
            Event::new("kiosk", "s", None, movement(2, 5)),
            Event::new("kiosk", "s", None, movement(1, 6)),
        ] {
            assert_ne!(a.id, b.id);
        }
    }

    #[test]
    fn json_is_one_line_and_comes_back() {
        let event = Event::new("kiosk", "s", None, movement(1, 5));
        let json = event.to_json();
        assert!(!json.contains('\n') && !json.contains("\"time\""));
        assert_eq!(serde_json::from_str::<Event>(&json).expect("own JSON"), event);
        assert!(json.contains(r#""type":"glint.movement.v1""#) && json.contains(r#""label":null"#));
        assert!(json.contains(r#""aus":[{"au":12,"side":"B","intensity":1.0,"level":"A"}]"#));
    }
}
