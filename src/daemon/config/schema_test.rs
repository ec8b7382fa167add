//! docs/schema/config.json, for editors: made of the table of keys, the defaults and the words of the types.

use serde_json::{Map, Value, json};

use super::keys::{KEYS, Kind};
use super::{Config, tests::documented};

/// What JSON Schema says of a kind.
fn shape(kind: Kind) -> Value {
    match kind {
        Kind::Text | Kind::Path => json!({ "type": "string", "minLength": 1 }),
        Kind::File => json!({ "type": "string", "minLength": 1, "pattern": "[^/]$" }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::OneOf(all) => json!({ "type": "integer", "enum": all }),
        Kind::Number(least, most) => json!({ "type": "number", "minimum": least, "maximum": most }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Words(words) => {
            json!({ "type": "array", "items": { "type": "string", "enum": words }, "minItems": 1 })
        }
        Kind::Size(least, most) => json!({
            "type": "array", "items": { "type": "integer", "minimum": least, "maximum": most },
            "minItems": 2, "maxItems": 2,
        }),
        Kind::Version(words) => {
            let plain: i64 = words[1].parse().expect("a number");
            json!({ "enum": [words[0], words[1], plain] })
        }
    }
}

fn document() -> Value {
    let defaults: toml::Table = Config::default().to_toml().parse().expect("TOML");
    let mut tables = Map::new();
    for (key, text) in KEYS.iter().zip(documented()) {
        assert_eq!(key.name, text.0, "keys.rs and the types have one order");
        let mut shape = shape(key.kind);
        shape["description"] = text.1.into();
        let default = defaults.get(key.table()).and_then(|t| t.get(key.short()));
        if let Some(default) = default {
            shape["default"] = serde_json::to_value(default).expect("JSON");
        }
        let table = tables
            .entry(key.table())
            .or_insert_with(|| json!({ "type": "object", "additionalProperties": false, "properties": {} }));
        table["properties"][key.short()] = shape;
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "glintd configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": tables,
    })
}

#[test]
fn the_published_schema_is_that_of_the_keys() {
    let text = serde_json::to_string_pretty(&document()).expect("JSON") + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/config.json");
    if std::env::var_os("GLINT_WRITE_SCHEMAS").is_some() {
        std::fs::write(path, &text).expect("written");
    }
    let published = std::fs::read_to_string(path).expect("docs/schema/config.json");
    assert_eq!(published, text, "GLINT_WRITE_SCHEMAS=1 cargo test writes it");
}
