//! What Home Assistant is told of the device: one message with all entities (its device-based discovery).
//!
//! Templates are evaluated by Home Assistant. What a report repeats expires when the report does not come; the rest becomes
//! unavailable with the broker's `offline`.

use serde_json::{Map, Value, json};

use crate::daemon::config::Config;

/// An event's kind as the type, and what else is of use in an automation as attributes.
const EVENT: &str = "{% set d = value_json.data %}{% set l = d.label or {} %}{{ {\
    'event_type': d.kind, 'aus': d.aus | map(attribute='au') | list, 'sides': d.aus | map(attribute='side') | list, \
    'intensities': d.aus | map(attribute='intensity') | list, 'levels': d.aus | map(attribute='level') | list, \
    'class': l.get('class'), 'confidence': l.get('confidence'), 'abstained': d.abstained, 'time': value_json.time, \
    'onset_ns': d.onset_ns, 'apex_ns': d.apex_ns, 'offset_ns': d.offset_ns, \
    'duration_ms': ((d.offset_ns - d.onset_ns) / 1000000) | round(1), 'track': d.track, \
    'timing_quality': d.timing_quality, 'track_quality': d.track_quality, 'id': value_json.id} | tojson }}";
/// Where the light is too poor or the rate too low, nobody knows.
const FACE: &str = "{% if value_json.state != 'streaming' or value_json.reason == 'no_face' %}OFF\
    {% elif value_json.reason in ['too_dark', 'fps_low'] %}None{% else %}ON{% endif %}";
/// Nobody there, or somebody who moves, is no fault of the device.
const PROBLEM: &str = "{{ 'ON' if value_json.problems | reject('in', ['no_face', 'too_small', 'too_fast']) | list else 'OFF' }}";
const LOST: &str = "{% set l = value_json.outbox.lost %}{{ l.by_age + l.by_size + l.purged + l.damaged }}";
/// Words of the state topic, and one for none of them.
const REASONS: [&str; 8] =
    ["none", "no_camera", "no_face", "too_small", "too_dark", "too_fast", "fps_low", "flicker"];
/// A report may be late by so much before what it says expires.
const LATE_S: u64 = 10;

/// Topic of the announcement.
pub(crate) fn announcement(config: &Config) -> String {
    format!("{}/device/{}/config", config.mqtt.discovery_prefix, config.device.id())
}

/// Home Assistant says here that it has started and wants to hear announcements again.
pub(super) fn status(config: &Config) -> String {
    format!("{}/status", config.mqtt.discovery_prefix)
}

struct Entities<'a> {
    id: &'a str,
    base: &'a str,
    expire_after: u64,
    all: Map<String, Value>,
}

impl Entities<'_> {
    /// Adds an entity: its key, which is part of its lasting id, its platform, name and the keys of its own.
    fn add(&mut self, key: &str, platform: &str, name: &str, extra: Value) {
        let mut entity =
            json!({ "p": platform, "name": name, "unique_id": format!("glint_{}_{key}", self.id) });
        if let (Some(entity), Value::Object(extra)) = (entity.as_object_mut(), extra) {
            entity.extend(extra);
        }
        self.all.insert(key.to_owned(), entity);
    }

    /// A number of the report.
    fn number(&mut self, key: &str, name: &str, template: &str, extra: Value) {
        let mut more = json!({
            "state_topic": format!("{}/health", self.base), "value_template": template,
            "expire_after": self.expire_after, "entity_category": "diagnostic",
        });
        if let (Some(more), Value::Object(extra)) = (more.as_object_mut(), extra) {
            more.extend(extra);
        }
        self.add(key, "sensor", name, more);
    }

    /// What the device sees.
    fn sight(&mut self) {
        let state = format!("{}/state", self.base);
        self.add(
            "event",
            "event",
            "Facial movement",
            json!({
                "state_topic": format!("{}/event", self.base), "event_types": ["micro", "macro", "blink"],
                "device_class": "motion", "value_template": EVENT,
            }),
        );
        self.add(
            "face",
            "binary_sensor",
            "Face present",
            json!({
                "state_topic": state, "device_class": "occupancy", "value_template": FACE,
            }),
        );
        self.add(
            "reason",
            "sensor",
            "Reason",
            json!({
                "state_topic": state, "device_class": "enum", "options": REASONS,
                "value_template": "{{ value_json.reason or 'none' }}", "entity_category": "diagnostic",
            }),
        );
    }

    /// How the device is.
    fn report(&mut self) {
        let measured = || json!({ "state_class": "measurement" });
        let counted = || json!({ "state_class": "total_increasing" });
        self.add("problem", "binary_sensor", "Problem", json!({
            "state_topic": format!("{}/health", self.base), "device_class": "problem", "value_template": PROBLEM,
            "json_attributes_topic": format!("{}/health", self.base),
            "json_attributes_template": "{{ {'problems': value_json.problems} | tojson }}",
            "expire_after": self.expire_after, "entity_category": "diagnostic",
        }));
        let rate = json!({ "state_class": "measurement", "unit_of_measurement": "fps", "suggested_display_precision": 1 });
        self.number("fps", "Frame rate", "{{ value_json.fps }}", rate);
        self.number("events_day", "Events in a day", "{{ value_json.events_day }}", measured());
        self.number("outbox", "Events that wait", "{{ value_json.outbox.events }}", measured());
        self.number("lost", "Events lost", LOST, counted());
        self.number("frames_dropped", "Dropped frames", "{{ value_json.frames_dropped }}", counted());
        let heat = json!({ "device_class": "temperature", "state_class": "measurement", "unit_of_measurement": "°C" });
        self.number("temperature_c", "Temperature", "{{ value_json.temperature_c }}", heat);
    }

    /// What it can be told.
    fn commands(&mut self) {
        self.add("pause", "switch", "Pause", json!({
            "command_topic": format!("{}/pause/set", self.base), "state_topic": format!("{}/state", self.base),
            "device_class": "switch", "value_template": "{{ 'ON' if value_json.state == 'paused' else 'OFF' }}",
        }));
        for (word, name) in [("calibrate", "Calibrate"), ("purge", "Delete events that wait")] {
            self.add(word, "button", name, json!({
                "command_topic": format!("{}/{word}/set", self.base), "payload_press": "1", "entity_category": "config",
            }));
        }
    }
}

/// The announcement.
pub(super) fn discovery(config: &Config, base: &str) -> Value {
    let id = config.device.id();
    let mut entities =
        Entities { id, base, expire_after: 3 * config.health.interval_s + LATE_S, all: Map::new() };
    entities.sight();
    entities.report();
    entities.commands();
    json!({
        "dev": { "ids": [format!("glint_{id}")], "name": id, "mf": "glint", "mdl": "glintd", "sw": env!("CARGO_PKG_VERSION") },
        "o": { "name": "glint", "sw": env!("CARGO_PKG_VERSION") },
        "availability_topic": format!("{base}/status"),
        "qos": 1,
        "cmps": entities.all,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that Home Assistant's documentation lists for each platform, read on 2026-11-29 from its pages on MQTT;
    /// no code of Home Assistant takes part in this test. `tests/homeassistant/check.py` asks its own code.
    const ALLOWED: &str = include_str!("../../../tests/homeassistant/allowed.json");

    /// What is wrong with an announcement, by that list.
    fn problems(announced: &Value) -> Vec<String> {
        let allowed: Value = serde_json::from_str(ALLOWED).expect("JSON");
        let has = |list: &Value, word: &str| list.as_array().is_some_and(|l| l.iter().any(|w| w == word));
        let mut problems = Vec::new();
        let mut keys = |at: &str, value: &Value, list: &str| {
            for key in value.as_object().expect("an object").keys() {
                if !has(&allowed[list], key) && !has(&allowed["every platform"], key) {
                    problems.push(format!("{at}: {key}"));
                }
            }
        };
        keys("device", &announced["dev"], "device");
        keys("origin", &announced["o"], "origin");
        keys("message", announced, "message");
        for (name, entity) in announced["cmps"].as_object().expect("entities") {
            keys(name, entity, entity["p"].as_str().expect("a platform"));
        }
        let mut ids = std::collections::BTreeSet::new();
        for (name, entity) in announced["cmps"].as_object().expect("entities") {
            let platform = entity["p"].as_str().unwrap_or_default();
            for required in allowed["required"][platform].as_array().expect("a known platform") {
                if entity.get(required.as_str().unwrap_or_default()).is_none() {
                    problems.push(format!("{name}: {required} is missing"));
                }
            }
            for (key, list) in [
                ("device_class", &allowed["device classes"][platform]),
                ("state_class", &allowed["state classes"]),
            ] {
                if entity.get(key).is_some_and(|v| !has(list, v.as_str().unwrap_or_default())) {
                    problems.push(format!("{name}: {key} {}", entity[key]));
                }
            }
            if !ids.insert(entity["unique_id"].as_str().unwrap_or_default()) {
                problems.push(format!("{name}: its unique_id is taken"));
            }
        }
        problems
    }

    fn announced(more: &str) -> Value {
        let config = Config::parse("test", more).expect("valid");
        discovery(&config, &super::super::base(&config))
    }

    #[test]
    fn every_key_is_one_that_home_assistant_documents() {
        let message = announced("device.id = \"door\"\nmqtt.prefix = \"site/a\"\nhealth.interval_s = 60");
        assert_eq!(problems(&message), Vec::<String>::new());
        let entities = message["cmps"].as_object().expect("entities");
        for name in [
            "event",
            "problem",
            "reason",
            "face",
            "fps",
            "events_day",
            "outbox",
            "lost",
            "pause",
            "calibrate",
            "purge",
        ] {
            assert!(entities.contains_key(name), "{name}");
        }
        assert_eq!(message["availability_topic"], "site/a/door/status");
        assert_eq!(entities["fps"]["expire_after"], 190);
        assert_eq!(entities["purge"]["command_topic"], "site/a/door/purge/set");
        assert_eq!(entities["event"]["unique_id"], "glint_door_event");
        // The list does find what is wrong.
        let mut wrong = message;
        wrong["cmps"]["fps"]["payload_press"] = "1".into();
        wrong["cmps"]["fps"]["state_class"] = "now and then".into();
        wrong["cmps"]["purge"].as_object_mut().expect("an object").remove("command_topic");
        assert_eq!(problems(&wrong).len(), 3, "{:?}", problems(&wrong));
    }

    #[test]
    fn the_prefix_is_that_of_the_site() {
        let config = Config::parse("test", "mqtt.discovery_prefix = \"home/ha\"").expect("valid");
        assert_eq!(announcement(&config), "home/ha/device/glint/config");
        assert_eq!(status(&config), "home/ha/status");
    }
}
