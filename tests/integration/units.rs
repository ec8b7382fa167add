//! The units: the one for each of several cameras differs from the one for a single camera where it has to.

use std::collections::BTreeSet;
use std::path::Path;

const SINGLE: &str = include_str!("../../systemd/glintd.service");
const INSTANCE: &str = include_str!("../../systemd/glintd@.service");

/// What a unit says, without its comments.
fn settings(unit: &str) -> Vec<&str> {
    unit.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn an_instance_is_the_unit_with_a_configuration_and_a_folder_of_its_own() {
    let mut expected: Vec<String> = Vec::new();
    for line in settings(SINGLE) {
        match line.split_once('=').map_or("", |(key, _)| key) {
            "Description" => expected.push(format!("{line} (%i)")),
            "ExecStartPre" | "ExecStart" => expected.push(format!("{line} --config /etc/glint/%i.toml")),
            "DynamicUser" => expected.extend([line.to_owned(), "User=glintd-%i".into()]),
            "StateDirectory" => {
                expected.push(format!("{line}-%i"));
                expected.push("Environment=GLINT_OUTBOX__PATH=%S/glint-%i/outbox.redb".into());
            }
            _ => expected.push(line.to_owned()),
        }
    }
    assert_eq!(settings(INSTANCE), expected);
}

#[test]
fn every_file_for_the_system_is_in_the_package() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets: BTreeSet<&str> = deb["assets"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|asset| asset.as_array()?.first()?.as_str())
        .collect();
    for entry in std::fs::read_dir(root.join("systemd")).expect("a folder") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        // cross/package.py takes every unit.
        let unit = name == "glintd.service" || name == "glintd@.service";
        assert!(
            unit || assets.contains(format!("systemd/{name}").as_str()),
            "systemd/{name} is not packaged"
        );
    }
    // 60-persistent-v4l.rules finds what the rule asks for.
    let rule = assets.iter().find(|a| a.ends_with(".rules")).expect("a rule");
    assert!(*rule > "systemd/60-persistent-v4l.rules", "{rule} runs too early");
}
