//! Configuration and model files that cannot be used: exit 78, and what and where.

use std::path::Path;

use glint::clip::Codec;

use super::{SMILE_FPS, run, stderr, write_smile};

/// `glintd COMMAND --config` with a text as the file: exit code and stderr.
fn with(command: &str, text: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("g.toml");
    std::fs::write(&file, text).expect("file");
    let output = run(&[command, "--config", file.to_str().expect("UTF-8")]);
    (output.status.code(), stderr(&output).replace(&format!("{}/", dir.path().display()), ""))
}

#[test]
fn errors_name_file_line_column_key_and_what_is_allowed() {
    for command in ["check", "run"] {
        let (code, text) = with(command, "[camera]\nrotate = 45\n");
        assert_eq!(code, Some(78));
        assert_eq!(text.trim(), "g.toml:2:10: camera.rotate: 45; allowed: 0, 90, 180, 270");
        let (code, text) = with(command, "[mqtt]\nretain = true\n");
        assert_eq!(code, Some(78));
        assert!(text.starts_with("g.toml:2:1: mqtt.retain: unknown key"), "{text}");
    }
    assert_eq!(run(&["check", "--config", "/nonexistent.toml"]).status.code(), Some(78));
}

/// What `glintd` says of a configuration: exit code, stdout, stderr without the folder's name.
fn checked(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = super::glintd(arguments).envs(variables.iter().copied()).output().expect("glintd starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&format!("{}/", dir.display()), "");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_file_has_a_default_path() {
    if Path::new("/etc/glint/glint.toml").exists() {
        super::tools::skip("glint is installed here");
        return;
    }
    for command in ["check", "run"] {
        let output = run(&[command]);
        assert_eq!(output.status.code(), Some(78), "{command}");
        assert!(stderr(&output).starts_with("/etc/glint/glint.toml: cannot be read"), "{}", stderr(&output));
    }
}

#[test]
fn files_of_the_folder_and_variables_are_merged_and_named() {
    let dir = tempfile::tempdir().expect("folder");
    let (file, folder) = (dir.path().join("g.toml"), dir.path().join("conf.d"));
    std::fs::create_dir(&folder).expect("folder");
    std::fs::write(&file, "[mqtt]\nurl = \"mqtt://a\"\nprefix = \"p\"\n").expect("file");
    std::fs::write(folder.join("20-site.toml"), "[mqtt]\nurl = \"mqtt://site\"\n").expect("file");
    std::fs::write(folder.join("10-fleet.toml"), "[mqtt]\nurl = \"mqtt://fleet\"\n[camera]\nfps = 30\n")
        .expect("file");
    for ignored in [".hidden.toml", "old.toml.bak", "README"] {
        std::fs::write(folder.join(ignored), "no TOML").expect("file");
    }
    let check = ["check", "--config", file.to_str().expect("UTF-8")];
    let effective = |variables: &[(&str, &str)]| -> toml::Table {
        let (code, out, errors) = checked(dir.path(), &check, variables);
        assert_eq!(code, Some(0), "{errors}");
        out.parse().expect("TOML")
    };
    let merged = effective(&[]);
    assert_eq!(merged["mqtt"]["url"].as_str(), Some("mqtt://site"));
    assert_eq!(
        (merged["mqtt"]["prefix"].as_str(), merged["camera"]["fps"].as_float()),
        (Some("p"), Some(30.0))
    );
    assert_eq!(effective(&[("GLINT_MQTT__URL", "mqtt://e")])["mqtt"]["url"].as_str(), Some("mqtt://e"));

    std::fs::write(folder.join("30.toml"), "[camera]\nfps = \"60\"\nroate = 1\n").expect("file");
    let (code, out, errors) = checked(dir.path(), &check, &[("GLINT_FACE__MAX_TRACKS", "99")]);
    assert_eq!((code, out.as_str()), (Some(78), ""));
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 3, "{errors}");
    assert!(lines[0].starts_with("conf.d/30.toml:2:7: camera.fps: \"60\" is not a number; "), "{errors}");
    assert!(
        lines[1].starts_with("conf.d/30.toml:3:1: camera.roate: unknown key (did you mean camera.rotate?)"),
        "{errors}"
    );
    assert_eq!(lines[2], "GLINT_FACE__MAX_TRACKS: face.max_tracks: 99; allowed: 1 to 8");
    for words in ["f64", "usize", "invalid type", "expected", "variant"] {
        assert!(!errors.contains(words), "{errors}");
    }
}

/// What is set and does nothing is a warning, and keeps the configuration from nothing.
#[test]
fn keys_without_effect_are_warnings() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("g.toml");
    let text = format!(
        "source.kind = \"synthetic\"\nsource.command = [\"curl\", \"s3cret\"]\nmqtt.username = \"u\"\n\
         page.token_file = \"/t\"\noutbox.path = {:?}\n",
        dir.path().join("outbox")
    );
    std::fs::write(&file, text).expect("file");
    let path = file.to_str().expect("UTF-8");
    let (code, _, errors) = checked(dir.path(), &["check", "--config", path], &[]);
    assert_eq!(code, Some(0), "{errors}");
    for start in [
        "warning: g.toml:2:18: source.command: not used: source.kind is \"synthetic\"",
        "warning: g.toml:3:17: mqtt.username: no password is sent: ",
        "warning: g.toml:4:19: page.token_file: not used: without page.listen there is no page",
    ] {
        assert!(errors.lines().any(|line| line.starts_with(start)), "{start}\n{errors}");
    }
    assert!(errors.lines().count() == 3 && !errors.contains("s3cret"), "{errors}");
}

#[test]
fn the_environment_is_tried_and_each_file_that_is_missing_is_a_line() {
    for (key, more) in [
        ("face.detector", ""),
        ("gate.thresholds", ""),
        ("model.path", ""),
        ("mqtt.password_file", "mqtt.username = \"u\"\n"),
        ("mqtt.ca", ""),
        ("mqtt.cert", "mqtt.key = \"/dev/null\"\n"),
        ("mqtt.key", "mqtt.cert = \"CA\"\n"),
    ] {
        let dir = tempfile::tempdir().expect("folder");
        // A certificate that is one, so that its key alone is missing.
        let ca = "/etc/ssl/certs/ca-certificates.crt";
        if more.contains("CA") && !Path::new(ca).exists() {
            super::tools::skip(&format!("{ca} is not there"));
            continue;
        }
        let file = dir.path().join("g.toml");
        let text = format!("{}{key} = \"/no/such\"\nsource.kind = \"synthetic\"\n", more.replace("CA", ca));
        std::fs::write(&file, &text).expect("file");
        let path = file.to_str().expect("UTF-8");
        for arguments in [
            &["check", "--environment", "--config", path][..],
            &["check", "--start", "--config", path],
            &["run", "--config", path],
        ] {
            let (code, _, errors) = checked(dir.path(), arguments, &[]);
            assert_eq!(code, Some(78), "{arguments:?}: {errors}");
            let lines: Vec<&str> = errors.lines().filter(|l| l.contains("/no/such")).collect();
            assert_eq!(lines.len(), 1, "{key}: {errors}");
            assert!(
                lines[0].starts_with("g.toml:") && lines[0].contains(&format!(": {key}: /no/such")),
                "{errors}"
            );
        }
        let (code, _, _) = checked(dir.path(), &["check", "--config", path], &[]);
        assert_eq!(code, Some(0), "{key}: the text alone is right");
    }
}

#[test]
fn what_may_still_come_is_a_warning_at_the_start_and_a_fault_else() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("g.toml");
    let text = format!(
        "[source]\npath = \"/dev/video-none\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n[outbox]\npath = {:?}\n",
        super::broker::free_port(),
        dir.path().join("a/outbox")
    );
    std::fs::write(&file, text).expect("file");
    let path = file.to_str().expect("UTF-8");
    let (code, out, errors) = checked(dir.path(), &["check", "--start", "--config", path], &[]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{errors}");
    for start in [
        "warning: g.toml:2:8: source.path: no_camera: /dev/video-none: ",
        "warning: g.toml:4:7: mqtt.url: broker_unreachable: mqtt://127.0.0.1:",
        "g.toml:6:8: outbox.path: the folder a does not exist; glintd run makes it",
    ] {
        assert!(errors.lines().any(|l| l.starts_with(start)), "{start}\n{errors}");
    }
    let (code, out, errors) = checked(dir.path(), &["check", "--environment", "--config", path], &[]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(out.contains("[mqtt]"), "the effective configuration");
    for start in ["g.toml:2:8: source.path: no_camera: ", "g.toml:4:7: mqtt.url: broker_unreachable: "] {
        assert_eq!(errors.lines().filter(|l| l.starts_with(start)).count(), 1, "{errors}");
    }
    let (_, _, errors) = checked(dir.path(), &["check", "--config", path], &[]);
    assert!(errors.contains("the folder a does not exist"), "{errors}");
    assert!(!dir.path().join("a").exists());
}

/// Files that are missing, and everything else that is wrong beside them.
#[test]
fn the_environment_is_tried_to_its_end_and_each_cause_is_a_line() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("g.toml");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let page = taken.local_addr().expect("an address");
    let broker = super::broker::free_port();
    std::fs::write(dir.path().join("file"), "").expect("file");
    let outbox = dir.path().join("file/outbox");
    let text = format!(
        "[source]\npath = \"/dev/video-none\"\n[gate]\nthresholds = \"/no/thresholds\"\n[mqtt]\n\
         url = \"mqtt://127.0.0.1:{broker}\"\nca = \"/no/ca\"\n[page]\nlisten = \"{page}\"\n[outbox]\npath = {outbox:?}\n"
    );
    std::fs::write(&file, &text).expect("file");
    let path = file.to_str().expect("UTF-8");
    let causes = [
        "g.toml:4:14: gate.thresholds: /no/thresholds: ",
        "g.toml:7:6: mqtt.ca: /no/ca: ",
        "g.toml:11:8: outbox.path: outbox_unusable: ",
        "g.toml:2:8: source.path: no_camera: /dev/video-none: ",
        "g.toml:6:7: mqtt.url: broker_unreachable: ",
        "g.toml:9:10: page.listen: page_unusable: ",
    ];
    // The log may have lines of its own; that no use is made of mqtt.ca is another matter.
    let told = |errors: &str| -> Vec<String> {
        let is_cause = |line: &&str| line.contains("g.toml:") && !line.contains(": not used: ");
        errors.lines().filter(is_cause).map(str::to_owned).collect()
    };
    for (option, waits) in [("--environment", ""), ("--start", "warning: ")] {
        let (code, _, errors) = checked(dir.path(), &["check", option, "--config", path], &[]);
        assert_eq!(code, Some(78), "{errors}");
        let lines = told(&errors);
        assert_eq!(lines.len(), causes.len(), "{errors}");
        for (n, (line, cause)) in lines.iter().zip(causes).enumerate() {
            // No waiting brings the files.
            let start = if n < 2 { cause.to_owned() } else { format!("{waits}{cause}") };
            assert!(line.starts_with(&start), "{line}\n{start}");
            assert!(n < 2 || line.contains("; remedy: "), "{line}");
        }
    }
    // With the files all that is left may still come.
    let text = text.replace("thresholds = \"/no/thresholds\"\n", "").replace("ca = \"/no/ca\"\n", "");
    std::fs::write(&file, text).expect("file");
    let (code, _, errors) = checked(dir.path(), &["check", "--environment", "--config", path], &[]);
    assert_eq!((code, told(&errors).len()), (Some(1), 4), "{errors}");
    let (code, _, errors) = checked(dir.path(), &["check", "--start", "--config", path], &[]);
    assert_eq!((code, told(&errors).len()), (Some(0), 4), "{errors}");
}

#[test]
fn the_shipped_file_is_as_the_schema_for_editors_says() {
    let schema = super::schema::document("config.json");
    let problems = |text: &str| {
        let table: toml::Table = text.parse().expect("TOML");
        let value = serde_json::to_value(table).expect("JSON");
        super::schema::problems(&schema, &schema, &value, "config")
    };
    let shipped = include_str!("../../systemd/glint.toml");
    let in_force: String = shipped
        .lines()
        .map(|l| l.strip_prefix('#').filter(|rest| rest.starts_with(char::is_alphabetic)).unwrap_or(l))
        .map(|l| format!("{l}\n"))
        .collect();
    assert!(problems(shipped).is_empty() && problems(&in_force).is_empty(), "{:?}", problems(&in_force));
    for wrong in [
        "[camera]\nfps = \"60\"",
        "[camera]\nfps = 0",
        "[camera]\nroate = 1",
        "[mqqt]",
        "[gate]\nkinds = [\"big\"]",
    ] {
        assert_eq!(problems(wrong).len(), 1, "{wrong}");
    }
}

#[test]
fn check_prints_the_effective_configuration() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("g.toml");
    std::fs::write(&file, "device.id = \"door\"\n").expect("file");
    let output = run(&["check", "--config", file.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(0));
    let printed: toml::Table = String::from_utf8_lossy(&output.stdout).parse().expect("TOML");
    assert_eq!(printed["device"]["id"].as_str(), Some("door"));
    assert_eq!(printed["mqtt"]["url"].as_str(), Some("mqtt://localhost:1883"));
}

#[test]
fn thresholds_that_are_no_numbers_are_refused() {
    let dir = tempfile::tempdir().expect("folder");
    let thresholds = dir.path().join("t.toml");
    std::fs::write(&thresholds, "au12 = nan\n").expect("file");
    let (code, text) = with("run", &format!("gate.thresholds = {thresholds:?}"));
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("gate.thresholds") && text.contains("au12"), "{text}");
}

#[test]
fn models_that_are_missing_or_changed_are_refused() {
    let (code, text) = with("run", "model.path = \"/nonexistent\"");
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("/nonexistent/"), "{text}");

    let dir = tempfile::tempdir().expect("folder");
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("models")).expect("models") {
        let entry = entry.expect("readable");
        if entry.path().is_file() {
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
        }
    }
    let (student, spec) = (dir.path().join("student.onnx"), dir.path().join("student.toml"));
    let mut bytes = std::fs::read(&student).expect("student");
    let last = bytes.last_mut().expect("not empty");
    *last ^= 1;
    std::fs::write(&student, bytes).expect("file");
    let (code, text) = with("run", &format!("model.path = {:?}", dir.path()));
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("student.onnx") && text.contains("sha256:"), "{text}");

    // The right digest of a file that is no network.
    let noise: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&student, &noise).expect("file");
    let stated: toml::Table = std::fs::read_to_string(&spec).expect("spec").parse().expect("TOML");
    let changed = stated.into_iter().map(|(key, value)| match key.as_str() {
        "sha256" => (key, toml::Value::from(glint::model::sha256_hex(&noise))),
        _ => (key, value),
    });
    std::fs::write(&spec, changed.collect::<toml::Table>().to_string()).expect("file");
    let (code, text) = with("run", &format!("model.path = {:?}", dir.path()));
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("student.onnx") && !text.contains("panicked"), "{text}");
}

#[test]
fn detectors_that_are_none_are_refused() {
    let dir = tempfile::tempdir().expect("folder");
    let text = dir.path().join("text.onnx");
    std::fs::write(&text, "not a network").expect("file");
    let refused = |config: String, words: &[&str]| {
        let (code, text) = with("run", &config);
        assert_eq!(code, Some(78), "{text}");
        assert!(words.iter().all(|w| text.contains(w)) && !text.contains("panicked"), "{text}");
    };
    refused(format!("face.detector = {text:?}"), &["text.onnx"]);
    refused("face.detector = \"/nonexistent.onnx\"".into(), &["/nonexistent.onnx", "cannot be read"]);
    let zeros = "0".repeat(64);
    refused(format!("face.detector = {text:?}\nface.detector_sha256 = \"{zeros}\""), &["digest is sha256:"]);
    refused(format!("face.detector_sha256 = \"{zeros}\""), &["given without face.detector"]);
    // A network, and none that finds faces.
    let student = dir.path().join("student.onnx");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/student.onnx"), &student)
        .expect("copied");
    refused(format!("face.detector = {student:?}"), &["student.onnx", "outputs class", "YuNet"]);
    // Too large to be one: it is not even read.
    let large = std::fs::File::create(dir.path().join("large.onnx")).expect("file");
    large.set_len(1 << 30).expect("sparse");
    refused(format!("face.detector = {:?}", dir.path().join("large.onnx")), &["large.onnx", "at most"]);
}

/// Third-party detectors, by the name of the folder that has them in `GLINT_DETECTORS`.
#[test]
fn brought_detectors_find_the_face() {
    let detector = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/detector.onnx");
    let mut detectors = vec![detector];
    match std::env::var_os("GLINT_DETECTORS") {
        Some(dir) => detectors.extend(
            std::fs::read_dir(dir)
                .expect("GLINT_DETECTORS is a folder")
                .map(|e| e.expect("readable").path())
                .filter(|p| p.extension().is_some_and(|e| e == "onnx")),
        ),
        None => eprintln!("GLINT_DETECTORS is not set: third-party detectors are skipped"),
    }
    let dir = tempfile::tempdir().expect("folder");
    let clip = dir.path().join("smile.avi");
    write_smile(&clip, Codec::Gray, 3 * SMILE_FPS as u64);
    for detector in detectors {
        let sha256 = glint::model::sha256_hex(&std::fs::read(&detector).expect("file"));
        let config = dir.path().join("g.toml");
        let text = format!("face.detector = {detector:?}\nface.detector_sha256 = \"{sha256}\"\n");
        std::fs::write(&config, text).expect("file");
        let path = |p: &Path| p.to_str().expect("UTF-8").to_owned();
        let output = run(&["replay", &path(&clip), "--config", &path(&config)]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1, "{}", detector.display());
    }
}
