//! What is read, what is refused, and in which words.

use proptest::prelude::*;

use super::keys::KEYS;
use super::layers::File;
use super::{Config, DEFAULT_TOML, Protocol};

fn error(text: &str) -> String {
    Config::parse("g.toml", text).expect_err("must be refused").to_string()
}

#[test]
fn errors_say_where_what_and_what_is_allowed() {
    for (text, start, allowed) in [
        ("[camera]\nrotate = 45\n", "g.toml:2:10: camera.rotate: 45; ", "0, 90, 180, 270"),
        (
            "[camera]\nroate = 90\n",
            "g.toml:2:1: camera.roate: unknown key (did you mean camera.rotate?); ",
            "rotate",
        ),
        ("[camera]\nfps = nan\n", "g.toml:2:7: camera.fps: NaN; ", "1 to 1000"),
        ("[camera]\nfps = inf\n", "g.toml:2:7: camera.fps: inf; ", "1 to 1000"),
        (
            "[camera]\nfps = \"60\"\n",
            "g.toml:2:7: camera.fps: \"60\" is not a number; ",
            "a number, 1 to 1000",
        ),
        (
            "[camera]\nsize = [640]\n",
            "g.toml:2:8: camera.size: [640] has 1 entry instead of 2; ",
            "[width, height]",
        ),
        ("[camera]\nmirror = 1\n", "g.toml:2:10: camera.mirror: 1 is not true or false; ", "true, false"),
        ("mqtt = 1\n", "g.toml:1:1: mqtt: a number is not a table; ", "[mqtt]"),
        (
            "[mqqt]\nurl = 1",
            "g.toml:1:2: mqqt: unknown table (did you mean mqtt?); ",
            "device, source, camera",
        ),
        (
            "[mqtt]\nhosst = \"x\"",
            "g.toml:2:1: mqtt.hosst: unknown key (did you mean host? glint has mqtt.url for it); ",
            "url, prefix",
        ),
        (
            "[mqtt]\nhost = \"x\"",
            "g.toml:2:1: mqtt.host: unknown key (glint has mqtt.url for it); ",
            "url, prefix",
        ),
        ("mqtt.protocol = 4\n", "g.toml:1:17: mqtt.protocol: 4; ", "\"3.1.1\", \"5\""),
        ("\n[mqtt]\nurl = \"http://x\"", "g.toml:3:7: mqtt.url: unknown scheme", "mqtt://HOST"),
        ("mqtt.url = \"mqtt://a:b@c\"", "g.toml:1:12: mqtt.url: a user or password", "mqtt://HOST"),
        ("[source]\nkind = \"clip\"", "g.toml:1:2: source.path: missing; ", "the path of a clip"),
        ("source.kind = \"command\"", "g.toml:1:1: source.command: missing; ", "a program and its"),
        ("source.format = \"h264\"", "g.toml:1:17: source.format: \"h264\"; ", "y4m, mjpeg, nut, raw"),
        (
            "model.trusted_keys = [\"untrusted comment\"]\n",
            "g.toml:1:22: model.trusted_keys: entry 1 is not a public key of minisign; ",
            "second line of a file minisign.pub",
        ),
        ("plug = 1\n", "g.toml:1:1: plug: unknown key; ", "device, source"),
    ] {
        let line = error(text);
        assert!(line.starts_with(start), "{text:?} gave {line:?}");
        assert!(line.split_once("; allowed: ").is_some_and(|(_, a)| a.contains(allowed)), "{line:?}");
    }
}

#[test]
fn text_that_is_no_toml_is_told_line_by_line_and_without_follow_ups() {
    assert_eq!(error("[device\n"), "g.toml:1:8: ] is missing after the name of the table");
    let text = error("[camera]\nfps = \nmirror = maybe\nrotate = 45\n[source]\nkind = \"clip\"\n");
    let places: Vec<&str> = text.lines().map(|l| &l[..9]).collect();
    assert_eq!(places, ["g.toml:2:", "g.toml:3:"], "{text}");
    assert!(!text.contains("allowed: "), "{text}");
    assert!(error("a = 1\na = 2").starts_with("g.toml:2:1: set a second time"));
}

#[test]
fn raw_frames_need_size_and_format() {
    let text = "[source]\nkind = \"command\"\ncommand = [\"x\"]\nformat = \"raw\"\n";
    assert_eq!(error(text).lines().count(), 2);
    let jpeg = error(&format!("{text}[camera]\nsize = [64, 48]\nformat = \"MJPG\""));
    assert!(jpeg.starts_with("g.toml:7:10: camera.format: MJPG is not raw"), "{jpeg}");
    assert!(Config::parse("g.toml", &format!("{text}[camera]\nsize = [64, 48]\nformat = \"NV12\"")).is_ok());
}

#[test]
fn workplace_needs_a_basis() {
    assert!(error("deployment.purpose = \"workplace\"").contains("deployment.basis"));
    let ok = "[deployment]\npurpose = \"workplace\"\nbasis = \"safety\"";
    assert!(Config::parse("g.toml", ok).is_ok());
    assert!(error("deployment.purpose = \"hiring\"").contains("research"));
}

#[test]
fn a_stream_needs_a_purpose() {
    let line = error("[stream]\nau_hz = 10\n");
    assert!(
        line.starts_with("g.toml:2:9: stream.au_hz: measurements of single frames need deployment.purpose; ")
    );
    let purposes = [("research", ""), ("workplace", "deployment.basis = \"safety\"")];
    for (purpose, more) in purposes {
        let text = format!("stream.au_hz = 2.5\ndeployment.purpose = \"{purpose}\"\n{more}");
        assert_eq!(Config::parse("g.toml", &text).expect("valid").stream.au_hz, Some(2.5));
    }
    // The purposes that need a basis need it here too.
    assert!(error("stream.au_hz = 1\ndeployment.purpose = \"education\"").contains("deployment.basis"));
    for hz in ["0", "31", "0.5", "nan"] {
        let line = error(&format!("stream.au_hz = {hz}\ndeployment.purpose = \"research\""));
        assert!(line.contains("allowed: a number, 1 to 30"), "{line}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    assert_eq!(error("camera.rotate = 1\nhealth.interval_s = 0\nface.max_tracks = 99").lines().count(), 3);
    // Shape, word, key, table, and a rule of two keys.
    let text = "[camera]\nfps = \"60\"\nsize = [640]\nroate = 1\n[mqqt]\n[source]\nkind = \"clip\"\n";
    let places: Vec<String> = error(text).lines().map(|l| l.split(' ').nth(1).unwrap_or("").into()).collect();
    assert_eq!(places, ["camera.fps:", "camera.size:", "camera.roate:", "mqqt:", "source.path:"]);
    // What follows from a mistake is none of its own.
    for text in ["mqtt.cert = \"c\"\nmqtt.kee = \"k\"", "mqtt.password_file = \"p\"\nmqtt.username = 5"] {
        assert_eq!(error(text).lines().count(), 1, "{}", error(text));
    }
}

/// Values that no connection, topic or file could have.
#[test]
fn what_cannot_work_is_refused() {
    let long = "a".repeat(70_000);
    let username = format!("mqtt.username = \"{long}\"");
    for (text, reason) in [
        ("device.id = \"a\\u0007\"", "device.id: a control character; "),
        ("device.id = \"\"", "device.id: empty; "),
        ("device.id = \"a b\"", "device.id: a space is not allowed; "),
        ("mqtt.prefix = \"a\\tb\"", "mqtt.prefix: a control character; "),
        ("mqtt.prefix = \"a/\"", "mqtt.prefix: an empty level"),
        ("mqtt.prefix = \"a/#\"", "mqtt.prefix: the character # is not allowed; "),
        ("mqtt.discovery_prefix = \"\"", "mqtt.discovery_prefix: empty; "),
        ("mqtt.client_id = \"\"", "mqtt.client_id: empty; "),
        ("mqtt.client_id = \"a\\n\"", "mqtt.client_id: a control character; "),
        ("mqtt.username = \"\"", "mqtt.username: empty; "),
        ("mqtt.username = \"a\\u0000\"", "mqtt.username: a control character; "),
        (&username, "mqtt.username: 70000 bytes, more than 65535; "),
        ("mqtt.url = \"\"", "mqtt.url: empty; allowed: mqtt://HOST"),
        ("mqtt.url = \"mqtt://a\\nb\"", "mqtt.url: a control character; "),
        ("mqtt.url = \"mqtt://::1\"", "mqtt.url: more than one colon; "),
        ("mqtt.url = \"mqtt://a:99999\"", "mqtt.url: the port is not a number of 1 to 65535; "),
        ("outbox.path = \"\"", "outbox.path: empty; "),
        (
            "outbox.path = \"/var/lib/glint/\"",
            "outbox.path: the path of a folder; allowed: the path of a file",
        ),
        ("source.path = \"\"", "source.path: empty; "),
        ("source.path = \"/dev/video0\\n\"", "source.path: a control character; "),
        ("model.path = \"\"", "model.path: empty; "),
        ("source.kind = \"command\"\nsource.command = []", "source.command: empty; "),
        (
            "source.kind = \"command\"\nsource.command = [\"\"]",
            "source.command: the program's name is empty; ",
        ),
        ("page.hosts = []", "page.hosts: empty; "),
        ("model.trusted_keys = []", "model.trusted_keys: empty; "),
        ("gate.kinds = []", "gate.kinds: empty; "),
        ("camera.size = []", "camera.size: empty; "),
        ("page.listen = \"127.0.0.1:0\"", "page.listen: the port is 0; "),
    ] {
        let line = error(text);
        assert!(line.contains(reason) && line.contains("; allowed: "), "{text:?} gave {line:?}");
        assert_eq!(line.lines().count(), 1, "{text:?} gave {line:?}");
    }
    let empty = layers(&[("g.toml", "")], &[("GLINT_OUTBOX__PATH", "")]).expect_err("must be refused");
    assert!(empty.starts_with("GLINT_OUTBOX__PATH: outbox.path: empty; "), "{empty}");
}

/// A key that no layer sets has no line; one that plays a part may have one.
#[test]
fn no_place_is_made_up() {
    let file = [("g.toml", "\n\n[camera]\nfps = 30\n")];
    let line = layers(&file, &[("GLINT_SOURCE__KIND", "clip")]).expect_err("must be refused");
    assert!(line.starts_with("GLINT_SOURCE__KIND: source.path: missing; "), "{line}");
    let config = layers(&file, &[]).expect("valid");
    assert_eq!(config.places.place_of("camera.rotate"), "g.toml:3:2", "its table");
    assert_eq!(config.places.line("outbox.path", "no room"), "g.toml: outbox.path: no room");
    assert_eq!(Config::default().places.line("outbox.path", "no room"), "outbox.path: no room");
}

fn layers(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Config, String> {
    let file = |(name, text): &(&str, &str)| File { name: (*name).into(), text: (*text).into() };
    let files: Vec<File> = files.iter().map(file).collect();
    let variables: Vec<(String, String)> =
        variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Config::from_layers(&files, &variables, Vec::new()).map_err(|e| e.to_string())
}

#[test]
fn later_layers_replace_keys_and_the_environment_is_the_last() {
    let files = [
        ("g.toml", "[mqtt]\nurl = \"mqtt://a\"\nprefix = \"p\"\n[gate]\nkinds = [\"micro\", \"macro\"]\n"),
        ("conf.d/10.toml", "[mqtt]\nurl = \"mqtt://b\"\n[gate]\nkinds = [\"blink\"]\n"),
        ("conf.d/20.toml", "[mqtt]\nurl = \"mqtt://c\"\n"),
    ];
    let config = layers(&files, &[]).expect("valid");
    assert_eq!((config.mqtt.url.as_str(), config.mqtt.prefix.as_str()), ("mqtt://c", "p"), "tables merge");
    assert_eq!(config.gate.kinds, [glint::event::Kind::Blink], "arrays replace");
    assert_eq!(config.places.place_of("mqtt.url"), "conf.d/20.toml:2:7");
    let variables = [("GLINT_MQTT__URL", "mqtt://d"), ("GLINT_INT8_KERNEL", "scalar"), ("GLINT_HOME", "x")];
    let config = layers(&files, &variables).expect("valid");
    assert_eq!(config.mqtt.url, "mqtt://d");
    assert_eq!(config.places.place_of("mqtt.url"), "GLINT_MQTT__URL");
}

#[test]
fn an_error_names_its_layer_and_all_layers_are_read() {
    let files = [("g.toml", "camera.fps = 0\n"), ("conf.d/a.toml", "camera.fps = 60\ncamera.rotate = 3\n")];
    let variables = [
        ("GLINT_CAMERA__ROTATE", "91"),
        ("GLINT_MQTT__URRL", "x"),
        ("GLINT_MQTTT__URL", "x"),
        ("GLINT_MQTT__PORT", "1"),
        ("GLINT_DEPLOYMENT__PURPOSE", "workplace"),
    ];
    let text = layers(&files, &variables).expect_err("must be refused");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    for (line, start) in lines.iter().zip([
        "g.toml:1:14: camera.fps: 0; allowed: a number, 1 to 1000",
        "conf.d/a.toml:2:17: camera.rotate: 3; allowed: 0, 90, 180, 270",
        "GLINT_CAMERA__ROTATE: camera.rotate: 91; allowed: 0, 90, 180, 270",
        "GLINT_MQTT__URRL: unknown variable (did you mean GLINT_MQTT__URL?); allowed: GLINT_MQTT__URL, ",
        "GLINT_MQTTT__URL: unknown variable (did you mean GLINT_MQTT__URL?); allowed: ",
        "GLINT_MQTT__PORT: unknown variable (glint has GLINT_MQTT__URL for it); allowed: ",
        "GLINT_DEPLOYMENT__PURPOSE: deployment.purpose: workplace and education need deployment.basis; ",
    ]) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
    // One underscore where two must be; other programs' variables are left alone.
    let single = [("GLINT_MQTT_URL", "mqtt://d"), ("GLINT_CAMERA", "3"), ("GLINT_LOG_FORMAT", "json")];
    let text = layers(&[("g.toml", "")], &single).expect_err("must be refused");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].starts_with("GLINT_MQTT_URL: unknown variable (did you mean GLINT_MQTT__URL?)"),
        "{text}"
    );
    assert!(lines[1].starts_with("GLINT_CAMERA: unknown variable"), "{text}");
    // A key that is set rightly and wrong is told beside the table that is misspelt.
    let text = layers(&[("g.toml", "mqtt.url = \"ws://x\"\n[mqqt]\nurl = \"mqtt://y\"\n")], &[]);
    let text = text.expect_err("must be refused");
    assert!(text.contains("mqtt.url: ") && text.contains("mqqt: unknown table"), "{text}");
    let text = layers(&[("g.toml", "health.interval_s = 18446744073709551616")], &[]).expect_err("refused");
    assert!(text.starts_with("g.toml:1:") && text.contains("the number is too large"), "{text}");
    // One file is no TOML: the others are still checked, each key by itself.
    let text = layers(&[("g.toml", "[mqtt"), ("a.toml", "mqtt.cert = \"c\"\ncamera.rotate = 3")], &[]);
    let text = text.expect_err("must be refused");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("a.toml:2:17: camera.rotate"), "{text}");
}

#[test]
fn effective_configuration_reads_back() {
    let text =
        "[mqtt]\nprotocol = 5\nurl = \"mqtts://[::1]:8884/\"\n[camera]\nformat = \"MJPG\"\nsize = [640, 480]";
    let config = Config::parse("g.toml", text).expect("valid");
    assert_eq!(config.mqtt.protocol, Protocol::V5);
    let broker = config.mqtt.broker().expect("valid");
    assert_eq!((broker.host.as_str(), broker.port, broker.tls), ("::1", 8884, true));
    assert_eq!(Config::parse("again", &config.to_toml()).expect("valid"), config);
}

#[test]
fn commented_default_lists_every_key_with_its_default() {
    let shipped = Config::parse("glint.toml", DEFAULT_TOML).expect("valid");
    assert_eq!(shipped, Config::default());
    // With every `#key = value` line in force, nothing that has a default may change, and the
    // rest must be keys that exist.
    let in_force: String = DEFAULT_TOML
        .lines()
        .map(|l| l.strip_prefix('#').filter(|rest| rest.starts_with(char::is_alphabetic)).unwrap_or(l))
        .map(|l| format!("{l}\n"))
        .collect();
    let all: toml::Table = in_force.parse().expect("TOML");
    let all_config = Config::parse("glint.toml", &in_force).expect("every documented key exists");
    let defaults: toml::Table = Config::default().to_toml().parse().expect("TOML");
    for (table, keys) in &defaults {
        for (key, value) in keys.as_table().expect("a table") {
            assert_eq!(all[table].get(key), Some(value), "{table}.{key}");
        }
    }
    let effective: toml::Table = all_config.to_toml().parse().expect("TOML");
    let source = include_str!("mod.rs");
    for (table, keys) in &effective {
        for key in keys.as_table().expect("a table").keys() {
            assert!(source.contains(&format!("pub(crate) {key}:")), "{table}.{key}");
        }
    }
    let fields = source.matches("    /// ").count();
    assert!(fields > 30, "the documented fields are still found");
    let documented: usize = effective.values().filter_map(|t| t.as_table()).map(toml::Table::len).sum();
    assert_eq!(documented, KEYS.len(), "a key is missing from systemd/glint.toml, or this count is old");
}

/// Each key and what its type says of it, in the order of the types.
pub(super) fn documented() -> Vec<(String, String)> {
    let (mut table, mut doc, mut keys) = (String::new(), String::new(), Vec::new());
    for line in include_str!("mod.rs").lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("/// Table `") {
            table = name.trim_end_matches("`.").to_owned();
        } else if let Some(text) = line.strip_prefix("/// ") {
            doc = format!("{doc} {text}");
            continue;
        } else if let Some((key, _)) = line.strip_prefix("pub(crate) ").and_then(|l| l.split_once(':'))
            && !table.is_empty()
        {
            keys.push((format!("{table}.{key}"), doc.trim().to_owned()));
        } else if line.starts_with("#[") && !line.contains("derive") {
            continue;
        } else if line == "}" {
            table.clear();
        }
        doc.clear();
    }
    keys
}

/// The reference page says of each key what the type says of it.
#[test]
fn reference_page_agrees_with_the_types() {
    let page = include_str!("../../../docs/reference/configuration.md");
    let keys = documented();
    for (key, doc) in &keys {
        let row = format!("| `{key}` | {doc} |");
        assert!(page.contains(&row), "docs/reference/configuration.md lacks: {row}");
    }
    assert_eq!(keys.len(), KEYS.len());
    assert_eq!(page.lines().filter(|l| l.starts_with("| `")).count(), keys.len(), "a row without a key");
}

#[path = "../../../tests/fuzz/daemon/config.rs"]
mod target;

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}") {
        target::any_text(&text);
    }

    #[test]
    fn no_damage_panics(changes in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..8), cut in 0.0f64..1.0) {
        // Every key is set.
        let whole = Config::default().to_toml();
        let at = |share: f64| (share * whole.len() as f64) as usize;
        let mut bytes = whole.clone().into_bytes();
        changes.iter().for_each(|(share, value)| bytes[at(*share)] = *value);
        if cut < 0.3 {
            bytes.truncate(at(cut / 0.3));
        }
        target::any_text(&String::from_utf8_lossy(&bytes));
    }
}
