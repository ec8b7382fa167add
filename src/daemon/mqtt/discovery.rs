//! What Home Assistant is told of the device.

use serde_json::json;

use crate::daemon::config::Config;

/// Topic of the announcement.
pub(crate) fn announcement(config: &Config) -> String {
    format!("homeassistant/device/{}/config", config.device.id())
}

/// The announcement for Home Assistant (its device-based discovery).
pub(super) fn discovery(base: &str, id: &str) -> serde_json::Value {
    let sensor = |name: &str, field: &str, unit: Option<&str>| {
        let mut value = json!({
            "p": "sensor", "name": name, "unique_id": format!("glint_{id}_{field}"),
            "state_topic": format!("{base}/health"), "value_template": format!("{{{{ value_json.{field} }}}}"),
            "entity_category": "diagnostic",
        });
        if let Some(unit) = unit {
            value["unit_of_measurement"] = unit.into();
        }
        value
    };
    json!({
        "dev": { "ids": [format!("glint_{id}")], "name": id, "mf": "glint", "sw": env!("CARGO_PKG_VERSION") },
        "o": { "name": "glint", "sw": env!("CARGO_PKG_VERSION") },
        "availability_topic": format!("{base}/status"),
        "cmps": {
            "movement": {
                "p": "event", "name": "Facial movement", "unique_id": format!("glint_{id}_event"),
                "state_topic": format!("{base}/event"), "event_types": ["micro", "macro", "blink"],
                "value_template": "{{ {'event_type': value_json.data.kind} | tojson }}",
            },
            "pause": {
                "p": "switch", "name": "Pause", "unique_id": format!("glint_{id}_pause"),
                "command_topic": format!("{base}/pause/set"), "state_topic": format!("{base}/state"),
                "value_template": "{{ 'ON' if value_json.state == 'paused' else 'OFF' }}",
            },
            "fps": sensor("Frame rate", "fps", Some("fps")),
            "dropped": sensor("Dropped frames", "frames_dropped", None),
            "temperature": sensor("Temperature", "temperature_c", Some("°C")),
        },
    })
}
