//! What is published against `docs/schema`: the part of JSON Schema that these documents use, and stricter where
//! that shows more: a key that the schema does not name is an error.

use std::path::Path;

use serde_json::Value;

/// A document of `docs/schema`.
pub(crate) fn document(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What is wrong with `value`; nothing where it is as `schema` says. References are looked up in `root`.
pub(crate) fn problems(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference}: another file"));
        let target = root.pointer(pointer).unwrap_or_else(|| panic!("{reference}: not there"));
        return problems(root, target, value, at);
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(schemas) = schema[choice].as_array() {
            let fits = schemas.iter().any(|s| problems(root, s, value, at).is_empty());
            return if fits { Vec::new() } else { vec![format!("{at}: {value} is none of the {choice}")] };
        }
    }
    let mut out = Vec::new();
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |kind: &str| match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{at}: type {other}"),
    };
    if !types.is_empty() && !types.iter().any(|t| is(t)) {
        return vec![format!("{at}: {value} is not {types:?}")];
    }
    let allowed = schema["enum"].as_array().cloned().or_else(|| schema.get("const").map(|c| vec![c.clone()]));
    if allowed.is_some_and(|a| !a.contains(value)) {
        out.push(format!("{at}: {value} is not among {}", schema["enum"]));
    }
    if let Some(number) = value.as_f64() {
        let low = schema["minimum"].as_f64().is_some_and(|m| number < m);
        let high = schema["maximum"].as_f64().is_some_and(|m| number > m);
        if low || high {
            out.push(format!("{at}: {number} is out of range"));
        }
    }
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        out.extend(problems(root, &schema["items"], item, &format!("{at}[{i}]")));
    }
    if let Some(object) = value.as_object() {
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(key) {
                out.push(format!("{at}.{key}: missing"));
            }
        }
        for (key, item) in object {
            let more = schema.get("additionalProperties").filter(|more| **more != Value::Bool(false));
            match (schema["properties"].get(key), more) {
                (Some(schema), _) | (None, Some(schema)) => {
                    out.extend(problems(root, schema, item, &format!("{at}.{key}")));
                }
                (None, None) => out.push(format!("{at}.{key}: unknown")),
            }
        }
    }
    out
}

/// Fails where a message on `topic`, without prefix and device, is not what `docs/schema` says.
pub(crate) fn check(topic: &str, text: &str) {
    if topic == "status" {
        assert!(["online", "offline"].contains(&text), "status: {text}");
        return;
    }
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{topic}: {e}: {text}"));
    let violations = if topic == "event" {
        let schema = document("event.json");
        problems(&schema, &schema, &value, topic)
    } else {
        let api = document("asyncapi.json");
        let channel = &api["channels"][topic.replace('/', "_")];
        assert!(channel.is_object(), "{topic}: no channel of docs/schema/asyncapi.json");
        problems(&api, &channel["messages"]["message"]["payload"], &value, topic)
    };
    assert!(violations.is_empty(), "{violations:#?}\n{text}");
}

#[test]
fn what_does_not_fit_is_found() {
    let valid = r#"{"schema":1,"state":"waiting","reason":null}"#;
    check("state", valid);
    let api = document("asyncapi.json");
    let schema = &api["channels"]["state"]["messages"]["message"]["payload"];
    for (text, words) in [
        (r#"{"schema":1,"state":"waiting"}"#, "reason: missing"),
        (r#"{"schema":1,"state":"asleep","reason":null}"#, "asleep"),
        (r#"{"schema":1,"state":"waiting","reason":3}"#, "is not"),
        (r#"{"schema":1,"state":"waiting","reason":null,"more":1}"#, "more: unknown"),
    ] {
        let value = serde_json::from_str(text).expect("JSON");
        let violations = problems(&api, schema, &value, "state");
        assert!(violations.len() == 1 && violations[0].contains(words), "{text}: {violations:?}");
    }
}
