//! The configuration: TOML into a validated [`Config`].
//!
//! Every key has a default, so an empty file is a valid configuration. Unknown keys are refused.
//! `systemd/glint.toml` lists every key with its default; a test compares the two. [`keys`] says what each key may hold.

mod broker;
mod keys;
mod layers;
mod listen;
mod load;
mod rules;
#[cfg(test)]
mod schema_test;
mod source;
mod syntax;
#[cfg(test)]
mod tests;
mod trusted;
mod unused;
mod words;

use std::path::PathBuf;

use glint::event::Kind;
use glint::frame::PixelFormat;
use glint::pipeline::Purpose;
use serde::{Deserialize, Serialize};

pub(crate) use broker::Broker;
pub(crate) use layers::Places;
pub(crate) use listen::Address;
pub(crate) use load::ConfigError;
use rules::Problem;
pub(crate) use source::StreamFormat;
pub(crate) use syntax::of_file;

/// The commented default configuration that is installed with the unit.
#[cfg(test)]
pub(crate) const DEFAULT_TOML: &str = include_str!("../../../systemd/glint.toml");

/// The file that is read where none is given.
pub(crate) const DEFAULT_PATH: &str = "/etc/glint/glint.toml";

/// Everything a site may set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Who is publishing.
    pub(crate) device: DeviceConfig,
    /// Where frames come from.
    pub(crate) source: SourceConfig,
    /// How the camera is used.
    pub(crate) camera: CameraConfig,
    /// Finding and following faces.
    pub(crate) face: FaceConfig,
    /// What counts as a movement.
    pub(crate) gate: GateConfig,
    /// The model files.
    pub(crate) model: ModelConfig,
    /// The broker.
    pub(crate) mqtt: MqttConfig,
    /// Measurements of single frames.
    pub(crate) stream: StreamConfig,
    /// Events that the broker has not acknowledged yet.
    pub(crate) outbox: OutboxConfig,
    /// What the device is used for.
    pub(crate) deployment: DeploymentConfig,
    /// Reports about the device itself.
    pub(crate) health: HealthConfig,
    /// The commissioning page.
    pub(crate) page: PageConfig,
    /// The log of commands and page openings.
    pub(crate) audit: AuditConfig,
    /// Where each key was set.
    #[serde(skip)]
    pub(crate) places: Places,
}

/// Table `device`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DeviceConfig {
    /// Name in topics and in `source` of events; letters, digits, `-` and `_`. Default: made of the machine's names, and
    /// kept from the first start on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
}

impl DeviceConfig {
    /// The name in force. A configuration that a command has loaded always holds one ([`super::runtime::memory`]).
    pub(crate) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or("glint")
    }
}

/// Kind of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SourceKind {
    /// A camera of the kernel.
    #[default]
    V4l2,
    /// A file or folder, played once at its own rate.
    Clip,
    /// A program that writes frames on its standard output.
    Command,
    /// The built-in synthetic subject.
    Synthetic,
}

impl std::fmt::Display for SourceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V4l2 => "v4l2",
            Self::Clip => "clip",
            Self::Command => "command",
            Self::Synthetic => "synthetic",
        })
    }
}

/// Table `source`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SourceConfig {
    /// v4l2, clip, command or synthetic. Default "v4l2".
    pub(crate) kind: SourceKind,
    /// Device node (better a stable name under /dev/v4l/by-id), or a clip: any video, an address, a folder of
    /// images. Default: the first camera.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<PathBuf>,
    /// Program and arguments that write frames on standard output, with the kind command; no shell. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<Vec<String>>,
    /// What the command writes: y4m, mjpeg, nut, or raw frames of `camera.format` and `camera.size`. Default "y4m".
    pub(crate) format: StreamFormat,
}

/// Table `camera`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CameraConfig {
    /// GREY, YUYV, UYVY, NV12, MJPG, BAYER8, BAYER10 or BAYER12. Default: the best the camera has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<PixelFormat>,
    /// `[width, height]` in pixels. Default: the best the camera has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<[usize; 2]>,
    /// Frames per second. Default: the highest the camera has; of a clip, its own times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fps: Option<f64>,
    /// Degrees clockwise to turn the image: 0, 90, 180, 270. Default 0.
    pub(crate) rotate: u16,
    /// Whether the image is mirrored, so that left and right of the subject are swapped. Default false.
    pub(crate) mirror: bool,
    /// Mains frequency, against the flicker of lamps: 50 or 60. Default 50.
    pub(crate) power_line_hz: u8,
    /// Whether exposure, gain and white balance are locked once they have settled. Default false.
    pub(crate) lock_exposure: bool,
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self {
            format: None,
            size: None,
            fps: None,
            rotate: 0,
            mirror: false,
            power_line_hz: 50,
            lock_exposure: false,
        }
    }
}

/// Table `face`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FaceConfig {
    /// Another detector network: glint's own, YuNet or Ultra-Light as ONNX. Default: the built-in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detector: Option<PathBuf>,
    /// SHA-256 of that file, 64 hexadecimal digits; another file is refused. Default: not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detector_sha256: Option<String>,
    /// Faces to follow at once, 1 to 8. Default 1.
    pub(crate) max_tracks: usize,
}

impl Default for FaceConfig {
    fn default() -> Self {
        Self { detector: None, detector_sha256: None, max_tracks: 1 }
    }
}

/// Table `gate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GateConfig {
    /// File of AU thresholds as `glint-pretrain threshold` writes it. Default: those of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thresholds: Option<PathBuf>,
    /// Kinds to publish: micro, macro, blink. Default `["micro"]`.
    pub(crate) kinds: Vec<Kind>,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self { thresholds: None, kinds: vec![Kind::Micro] }
    }
}

/// Table `model`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ModelConfig {
    /// Folder of model files, as `glint-pretrain ship` writes it. Default: an installed bundle, else the built-in models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<PathBuf>,
    /// Public keys of minisign: a bundle of models that one of them has signed may be installed. Default: none, and no bundle
    /// is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trusted_keys: Option<Vec<String>>,
}

/// Version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Protocol {
    /// "3.1.1"
    #[default]
    V311,
    /// 5
    V5,
}

impl Serialize for Protocol {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::V311 => serializer.serialize_str("3.1.1"),
            Self::V5 => serializer.serialize_str("5"),
        }
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // 5 is what people write without quotes.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Word {
            Number(i64),
            Text(String),
        }
        match Word::deserialize(deserializer) {
            Ok(Word::Number(5)) => Ok(Self::V5),
            Ok(Word::Text(t)) if t == "5" => Ok(Self::V5),
            Ok(Word::Text(t)) if t == "3.1.1" => Ok(Self::V311),
            _ => Err(serde::de::Error::custom("unknown protocol, expected one of `3.1.1`, `5`")),
        }
    }
}

/// Table `mqtt`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MqttConfig {
    /// `mqtt://HOST[:1883]`, or `mqtts://HOST[:8883]` for TLS. Default "mqtt://localhost:1883".
    pub(crate) url: String,
    /// First levels of every topic. Default "glint".
    pub(crate) prefix: String,
    /// Client id. Default `glint-<device.id>`, or the id itself where `device.id` is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<String>,
    /// "3.1.1" or "5". Default "3.1.1".
    pub(crate) protocol: Protocol,
    /// User name. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    /// File that holds the password. Default: `mqtt-password` in `$CREDENTIALS_DIRECTORY`, if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    /// PEM file of the authorities that are trusted. Default: those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// PEM file of the client certificate. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cert: Option<PathBuf>,
    /// PEM file of the client certificate's key. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// Whether the device announces itself to Home Assistant. Default false.
    pub(crate) discovery: bool,
    /// First levels of the announcement's topic, as Home Assistant is set. Default "homeassistant".
    pub(crate) discovery_prefix: String,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            url: "mqtt://localhost:1883".into(),
            prefix: "glint".into(),
            client_id: None,
            protocol: Protocol::default(),
            username: None,
            password_file: None,
            ca: None,
            cert: None,
            key: None,
            discovery: false,
            discovery_prefix: "homeassistant".into(),
        }
    }
}

/// Table `stream`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StreamConfig {
    /// Samples per second of the topic `au`, 1 to 30; needs `deployment.purpose`. Default: none, and no such topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) au_hz: Option<f64>,
}

/// Table `outbox`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OutboxConfig {
    /// The file. Default "/var/lib/glint/outbox.redb".
    pub(crate) path: PathBuf,
    /// Older events are dropped, and counted, in seconds. Default 86400.
    pub(crate) max_age_s: u64,
    /// The oldest events are dropped, and counted, above so many bytes of JSON. Default 16777216.
    pub(crate) max_bytes: u64,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self { path: "/var/lib/glint/outbox.redb".into(), max_age_s: 86_400, max_bytes: 16 << 20 }
    }
}

/// Why a workplace or a school may use class words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Basis {
    /// A medical reason.
    Medical,
    /// A safety reason.
    Safety,
}

/// Table `deployment`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DeploymentConfig {
    /// research, clinical, accessibility, demonstration, workplace, education. Default: none, and no
    /// class words in events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) purpose: Option<Purpose>,
    /// medical or safety; needed by the purposes workplace and education. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) basis: Option<Basis>,
}

/// Table `health`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HealthConfig {
    /// Seconds between two reports, 1 to 3600. Default 30.
    pub(crate) interval_s: u64,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self { interval_s: 30 }
    }
}

/// Table `page`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PageConfig {
    /// Where the commissioning page and `/metrics` are served: `ADDRESS:PORT` or `unix:/PATH`. Default: none, and no
    /// socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<String>,
    /// File that holds the token, 16 characters or more; needed by addresses other than loopback and Unix sockets.
    /// Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// Names under which browsers and Prometheus reach the page, besides `localhost` and IP addresses. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hosts: Option<Vec<String>>,
    /// The picture is shown for so long after the operator has confirmed it, in seconds, 1 to 3600. Default 300.
    pub(crate) confirmation_s: u64,
}

impl Default for PageConfig {
    fn default() -> Self {
        Self { listen: None, token_file: None, hosts: None, confirmation_s: 300 }
    }
}

/// Table `audit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuditConfig {
    /// Whether commands, page openings and confirmations are written to `audit.jsonl` in the state folder. Default: true
    /// where `page.listen` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enabled: Option<bool>,
    /// Size at which the file becomes `audit.jsonl.1`, in bytes. Default 1048576.
    pub(crate) max_bytes: u64,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { enabled: None, max_bytes: 1 << 20 }
    }
}

impl Config {
    /// Whether commands are written down.
    pub(crate) fn is_audited(&self) -> bool {
        self.audit.enabled.unwrap_or(self.page.listen.is_some())
    }

    /// The client id in use.
    pub(crate) fn client_id(&self) -> String {
        self.mqtt.client_id.clone().unwrap_or_else(|| format!("glint-{}", self.device.id()))
    }

    /// The effective configuration as TOML.
    pub(crate) fn to_toml(&self) -> String {
        // Strings, numbers and lists of them: there is nothing that TOML could not hold.
        toml::to_string(self).unwrap_or_default()
    }

    /// A problem of a key as a line, with the place where the key was set.
    pub(crate) fn wrong(&self, key: &str, reason: impl std::fmt::Display) -> ConfigError {
        ConfigError(vec![self.places.line(key, reason)])
    }
}
