//! A bundle of models through the program: made, signed, installed, used, damaged, given up.

use std::path::{Path, PathBuf};
use std::process::Output;

use glint::bundle::{Files, GOLDENS, collect, pack};
use glint::clip::Codec;
use glint::model::sha256_hex;
use serde_json::Value;

use super::broker::{Broker, Subscriber};
use super::daemon::{Accepted, Daemon, configure, start_command};
use super::minisign::{public_key, signature, signed};
use super::{run, schema, stderr, write_smile};

/// Who signs for this site.
const SITE: u8 = 7;

/// The shipped models with a student of the same weights and another digest: a comment stands at its end.
fn files() -> Files {
    let mut files = collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models"))).expect("models");
    let (card, weights) = ("student.toml", "student.onnx");
    let before = sha256_hex(&files[weights]);
    // Field 6 of an ONNX model: its doc_string.
    files.get_mut(weights).expect("there").extend([0x32, 4, b't', b'e', b's', b't']);
    let text = String::from_utf8(files[card].clone()).expect("text");
    files.insert(card.into(), text.replace(&before, &sha256_hex(&files[weights])).into_bytes());
    files
}

struct Site {
    dir: tempfile::TempDir,
    config: PathBuf,
}

impl Site {
    /// A configuration that trusts [`SITE`].
    fn new(port: u16) -> Self {
        let dir = tempfile::tempdir().expect("folder");
        let config = configure(dir.path(), port);
        let text = std::fs::read_to_string(&config).expect("there");
        std::fs::write(&config, format!("model.trusted_keys = [\"{}\"]\n{text}", public_key(SITE)))
            .expect("written");
        Self { dir, config }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn glintd(&self, arguments: &[&str]) -> Output {
        run(&[arguments, &["--config", self.config.to_str().expect("UTF-8")]].concat())
    }

    fn list(&self) -> Value {
        let output = self.glintd(&["models", "list", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

/// The digest that the event of a replay names.
fn model_of(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    let event: Value = serde_json::from_slice(&output.stdout).expect("one event");
    event["data"]["model"].as_str().expect("a digest").to_owned()
}

#[test]
fn a_bundle_is_installed_used_and_given_up_when_it_is_damaged() {
    let broker_dir = tempfile::tempdir().expect("folder");
    let Some(mut broker) = Broker::new(broker_dir.path(), "allow_anonymous true") else { return };
    broker.start();
    let site = Site::new(broker.port);
    let (files, clip) = (files(), site.path("smile.avi"));
    write_smile(Path::new(&clip), Codec::Mjpeg(95), 200);
    let built_in = site.list()["built_in"]["student"].as_str().expect("a digest").to_owned();
    let student = format!("sha256:{}", sha256_hex(&files["student.onnx"]));
    assert_ne!(student, built_in);
    let bundle = site.path("models.glint");
    let packed = pack("2026-11", env!("CARGO_PKG_VERSION"), &files).expect("packed");

    // Unsigned, of somebody else, of later, with goldens that do not hold: refused with a reason, and nothing changes.
    let mut wrong = files.clone();
    let mut goldens: Value = serde_json::from_slice(&wrong[GOLDENS]).expect("JSON");
    goldens["student"][0]["output"][2] = 50.0.into();
    wrong.insert(GOLDENS.into(), goldens.to_string().into_bytes());
    let wrong = pack("wrong", "0.1.0", &wrong).expect("packed");
    let later = pack("later", "99.0.0", &files).expect("packed");
    for (bytes, reason) in [
        (packed.clone(), "models.glint: not signed: "),
        (signed(8, &packed), "which model.trusted_keys does not name"),
        (signed(SITE, &later), "needs glintd 99.0.0 or later"),
        (signed(SITE, &wrong), "golden student: case 0, number 2: "),
    ] {
        std::fs::write(&bundle, bytes).expect("written");
        for command in ["verify", "install"] {
            let output = site.glintd(&["models", command, &bundle]);
            assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
            assert!(stderr(&output).contains(reason) && output.stdout.is_empty(), "{}", stderr(&output));
        }
    }
    assert!(!site.dir.path().join("models").exists());
    assert_eq!(site.glintd(&["models", "install", "/no/such"]).status.code(), Some(1));
    assert_eq!(site.glintd(&["models", "rollback"]).status.code(), Some(1));

    // Signed, as minisign leaves it: the signature beside the file.
    std::fs::write(&bundle, &packed).expect("written");
    std::fs::write(format!("{bundle}.minisig"), signature(SITE, &packed)).expect("written");
    let output = site.glintd(&["models", "install", &bundle]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("2026-11 ("), "{output:?}");
    let listed = site.list();
    let id = listed["in_force"].as_str().expect("an id").to_owned();
    assert_eq!(listed["bundles"][0]["name"], "2026-11");
    assert_eq!(listed["bundles"][0]["models"]["student"], student.as_str());

    // Events name it: of a replay, and of the daemon.
    assert_eq!(model_of(&site.glintd(&["replay", &clip])), student);
    let subscriber = Subscriber::start(broker.port, None);
    let daemon = Daemon::start(start_command(&site.config), &Accepted::default());
    subscriber.wait("an event", 60, |s| !s.events("glint").is_empty());
    let last_message = |topic: &str| -> Value {
        let text = subscriber.contents(&format!("glint/glint/{topic}")).last().cloned().expect("said");
        schema::check(topic, &text);
        serde_json::from_str(&text).expect("JSON")
    };
    assert_eq!(
        last_message("capabilities")["model_bundle"],
        serde_json::json!({ "id": id, "name": "2026-11" })
    );
    assert_eq!(last_message("capabilities")["models"]["student"], student.as_str());
    assert_eq!(last_message("event")["data"]["model"], student.as_str());
    assert!(!last_message("health")["problems"].to_string().contains("models_unusable"));

    // Damaged on the disk: the daemon runs with what is built in, and says so.
    let kept = site.path(&format!("models/{id}.glint"));
    let mut bytes = std::fs::read(&kept).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&kept, bytes).expect("written");
    let reloads = subscriber.contents("glint/glint/capabilities").len();
    daemon.signal("HUP");
    subscriber.wait("new capabilities", 30, |s| s.contents("glint/glint/capabilities").len() > reloads);
    subscriber.wait("models_unusable", 30, |s| {
        s.contents("glint/glint/health").last().is_some_and(|text| text.contains("\"models_unusable\""))
    });
    assert_eq!(last_message("capabilities")["model_bundle"], Value::Null);
    assert_eq!(last_message("capabilities")["models"]["student"], built_in.as_str());
    assert_eq!(daemon.end("TERM"), Some(0));
    let output = site.glintd(&["replay", &clip]);
    assert_eq!(model_of(&output), built_in);
    assert!(stderr(&output).contains("an installed bundle of models is not used"), "{}", stderr(&output));
    let output = site.glintd(&["check", "--environment"]);
    assert!(
        stderr(&output).contains("warning: ")
            && stderr(&output).contains("model.trusted_keys: models_unusable: "),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        (&site.list()["in_force"], &site.list()["bundles"][0]["in_force"]),
        (&"built-in".into(), &false.into())
    );

    // Given up: nothing is wrong any more.
    let output = site.glintd(&["models", "rollback"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("in use: the built-in models"), "{output:?}");
    let output = site.glintd(&["replay", &clip]);
    assert!(model_of(&output) == built_in && !stderr(&output).contains("is not used"), "{}", stderr(&output));
}

#[test]
fn without_a_trusted_key_nothing_is_installed() {
    let dir = tempfile::tempdir().expect("folder");
    let config = configure(dir.path(), 1);
    let file = dir.path().join("x.glint");
    std::fs::write(&file, signed(SITE, b"x")).expect("written");
    let (config, file) = (config.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
    let output = run(&["models", "install", file, "--config", config]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("model.trusted_keys: no key is trusted"), "{}", stderr(&output));
}
