//! What the retained topics say: state, health, capabilities, replies to commands.
//!
//! `docs/schema/asyncapi.json` is made of these types and of the event's schema.

use std::collections::BTreeMap;

use glint::event::Kind;
use glint::pipeline::{Counters, Purpose};
use serde::Serialize;

use super::stream::Streamed;
use crate::daemon::outbox::losses::Lost;

/// What the device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// No frames yet.
    Waiting,
    /// Frames come.
    Streaming,
    /// Paused, and the camera is not closed yet.
    Pausing,
    /// The camera is closed.
    Paused,
    /// glintd has ended.
    Stopped,
}

impl Phase {
    /// The word in messages and in the service manager's status line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Streaming => "streaming",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// Version of `state` and `health`; a key that changes its meaning raises it.
pub(crate) const SCHEMA: u32 = 1;

/// Content of the topic `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct State {
    /// Version of this message: 1.
    pub(crate) schema: u32,
    /// What the device does.
    pub(crate) state: Phase,
    /// Why no event can come: no_camera, no_face, too_small, too_dark, too_fast, fps_low, flicker; else null.
    pub(crate) reason: Option<&'static str>,
}

/// Events that wait for the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Waiting {
    /// How many.
    pub(crate) events: usize,
    /// Their size.
    pub(crate) bytes: u64,
    /// Those that were given up.
    pub(crate) lost: Lost,
    /// How often the broker refused an event since the start (MQTT 5); it is kept and offered again.
    pub(crate) refused: u64,
}

/// Content of the topic `health`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Health {
    /// Version of this message: 1.
    pub(crate) schema: u32,
    /// What the device does.
    pub(crate) state: Phase,
    /// Reasons as in `state`, and outbox_full, outbox_unusable, outbox_left_behind, broker_refused, session_taken_over, events_refused, commands_refused,
    /// reports_refused, check_failed, page_unusable, audit_unusable, models_unusable.
    pub(crate) problems: Vec<&'static str>,
    /// Seconds since the start.
    pub(crate) uptime_s: u64,
    /// Measured frames per second.
    pub(crate) fps: f64,
    /// Mean deviation of the frame interval, as its share.
    pub(crate) jitter: f64,
    /// Frames seen.
    pub(crate) frames: u64,
    /// Frames lost because vision was too slow.
    pub(crate) frames_dropped: u64,
    /// Frames damaged or not decoded.
    pub(crate) frames_damaged: u64,
    /// Events accepted since the start.
    pub(crate) events: u64,
    /// Events accepted in this hour and the 23 before, since the start at most.
    pub(crate) events_day: u64,
    /// Samples of the topic `au` since the start.
    pub(crate) au: Streamed,
    /// Counts of the pipeline, among them rejected candidates by cause.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, u64>"))]
    pub(crate) counters: Counters,
    /// Events that wait.
    pub(crate) outbox: Waiting,
    /// Of the processor, in degrees Celsius; null where it cannot be read.
    pub(crate) temperature_c: Option<f64>,
}

/// A bundle of models that was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ModelBundle {
    /// The first digits of its SHA-256.
    pub(crate) id: String,
    /// What its makers call it.
    pub(crate) name: String,
}

/// Content of the topic `capabilities`: what the device is and can do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Capabilities {
    /// Version of glintd.
    pub(crate) version: &'static str,
    /// Type of its events.
    pub(crate) event_type: &'static str,
    /// Digest of each model file.
    pub(crate) models: BTreeMap<&'static str, String>,
    /// The installed bundle that they are of; null: `model.path`, or built in.
    pub(crate) model_bundle: Option<ModelBundle>,
    /// Commands it obeys.
    pub(crate) commands: Vec<&'static str>,
    /// Kinds of movement that it publishes.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub(crate) kinds: Vec<Kind>,
    /// Shortest and longest movement that is told as a micro-expression, in ms.
    pub(crate) micro_ms: [f32; 2],
    /// Declared purpose; null: no class words.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub(crate) purpose: Option<Purpose>,
    /// Samples a second of the topic `au`; null: it is off.
    pub(crate) au_hz: Option<f64>,
    /// Keys that the site has set, without files and logins.
    pub(crate) overrides: BTreeMap<String, serde_json::Value>,
}

/// Content of `<command>/state`: the reply to the last command of that kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Reply {
    /// Whether it was done.
    pub(crate) done: bool,
    /// RFC 3339 time.
    pub(crate) time: String,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Of a purge: how many events the outbox held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) events: Option<usize>,
    /// Of a pause, where it is false: a restart would end it, because its marker could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kept_over_restart: Option<bool>,
}

impl Reply {
    /// A command that was done.
    pub(crate) fn new(time: String) -> Self {
        Self { done: true, time, error: None, events: None, kept_over_restart: None }
    }
}

/// A message as JSON. These types hold strings, numbers and maps of such: serialisation has no way to fail.
pub(crate) fn json(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::mqtt::Command;
    use crate::daemon::runtime::stream::AuMessage;
    use schemars::JsonSchema;
    use serde_json::{Value, json};

    /// The schema of a message; its definitions stand inside it.
    fn schema<T: JsonSchema>() -> Value {
        let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize().with(|s| {
            s.inline_subschemas = true;
            s.meta_schema = None;
        });
        settings.into_generator().into_root_schema_for::<T>().to_value()
    }

    fn channel(address: &str, description: &str, payload: Value) -> Value {
        json!({ "address": format!("{{prefix}}/{{device}}/{address}"), "description": description,
                "parameters": { "prefix": { "default": "glint" }, "device": { "default": "glint" } },
                "messages": { "message": { "contentType": "application/json", "payload": payload } } })
    }

    fn document() -> Value {
        let word = json!({ "type": "string", "enum": ["online", "offline"] });
        let mut channels = serde_json::Map::new();
        let mut operations = serde_json::Map::new();
        let mut say = |name: String, retain: bool, action: &str, channel: Value| {
            let qos = u8::from(name != "au");
            let operation = json!({ "action": action, "channel": { "$ref": format!("#/channels/{name}") },
                                    "bindings": { "mqtt": { "qos": qos, "retain": retain } } });
            operations.insert(name.clone(), operation);
            channels.insert(name, channel);
        };
        let event = json!({ "$ref": "event.json" });
        say("event".into(), false, "send", channel("event", "One facial movement; never retained.", event));
        let au = channel("au", "What was measured in one frame; off by default.", schema::<AuMessage>());
        say("au".into(), false, "send", au);
        let mut status = channel("status", "Birth, will and end.", word);
        status["messages"]["message"]["contentType"] = "text/plain".into();
        say("status".into(), true, "send", status);
        say("state".into(), true, "send", channel("state", "What the device does.", schema::<State>()));
        say("health".into(), true, "send", channel("health", "A report in intervals.", schema::<Health>()));
        let capabilities =
            channel("capabilities", "What the device is and can do.", schema::<Capabilities>());
        say("capabilities".into(), true, "send", capabilities);
        let mut check = channel(
            "check",
            "The self-check of MQTT 3.1.1: what is published must come back.",
            json!({ "type": "string" }),
        );
        check["messages"]["message"]["contentType"] = "text/plain".into();
        say("check".into(), false, "send", check);
        for command in Command::ALL.map(Command::as_str) {
            let any = json!({ "description": "1 to 256 bytes; OFF or false undoes a pause." });
            let mut set = channel(
                &format!("{command}/set"),
                "A command; ignored if it is retained, sent again or empty.",
                any,
            );
            set["messages"]["message"]["contentType"] = "text/plain".into();
            say(format!("{command}_set"), false, "receive", set);
            let reply = channel(&format!("{command}/state"), "The reply.", schema::<Reply>());
            say(format!("{command}_state"), true, "send", reply);
        }
        json!({
            "asyncapi": "3.0.0",
            "info": { "title": "glintd", "version": "1", "description": "Topics and messages of glintd; see docs/reference/mqtt.md." },
            "defaultContentType": "application/json",
            "channels": channels,
            "operations": operations,
        })
    }

    #[test]
    fn the_published_description_is_that_of_the_types() {
        let text = serde_json::to_string_pretty(&document()).expect("JSON") + "\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/asyncapi.json");
        if std::env::var_os("GLINT_WRITE_SCHEMAS").is_some() {
            std::fs::write(path, &text).expect("written");
        }
        let published = std::fs::read_to_string(path).expect("docs/schema/asyncapi.json");
        assert_eq!(published, text, "GLINT_WRITE_SCHEMAS=1 cargo test writes it");
    }

    #[test]
    fn phases_are_said_as_they_are_written() {
        for phase in [Phase::Waiting, Phase::Streaming, Phase::Pausing, Phase::Paused, Phase::Stopped] {
            assert_eq!(json(&phase), format!("\"{}\"", phase.as_str()));
        }
    }
}
