//! The commands of README and docs: every one is understood, and the cheap ones run.

use std::path::Path;

use glint::clip::Codec;

use super::pages::{Shown, uses};
use super::{glintd, stderr};

/// Two seconds of film take the place of every file that a page names.
const FRAMES: u64 = 120;

fn shown() -> Vec<Shown> {
    uses(Path::new(env!("CARGO_MANIFEST_DIR")), "glintd")
}

#[test]
fn every_command_is_understood() {
    let shown = shown();
    assert!(shown.len() > 15, "{} commands", shown.len());
    for Shown { page, arguments } in shown {
        if arguments.first().is_some_and(|a| a == "demo") && !cfg!(feature = "demo") {
            continue;
        }
        // Arguments are read before the help is printed.
        let output = glintd(&[]).args(&arguments).arg("--help").output().expect("glintd starts");
        assert!(output.status.success(), "{}: {arguments:?}: {}", page.display(), stderr(&output));
    }
}

#[test]
fn the_cheap_commands_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let film = dir.path().join("film.avi");
    super::write_smile(&film, Codec::Mjpeg(90), FRAMES);
    let images = dir.path().join("frames");
    std::fs::create_dir(&images).expect("a folder");
    for (k, luma) in super::smile(10).enumerate() {
        let file = std::fs::File::create(images.join(format!("{k:03}.png"))).expect("a file");
        let mut encoder = png::Encoder::new(file, 640, 480);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().and_then(|mut w| w.write_image_data(&luma)).expect("written");
    }
    // What another page compares with.
    let before =
        glintd(&["bench", "film.avi", "--json"]).current_dir(dir.path()).output().expect("glintd starts");
    std::fs::write(dir.path().join("before.json"), before.stdout).expect("written");
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/glint.toml");
    let mut runs = 0;
    for Shown { page, arguments } in shown() {
        let cheap = match arguments.first().map(String::as_str) {
            Some("replay" | "inspect") => !arguments.iter().any(|a| a == "-" || a.contains("://")),
            Some("bench") => !arguments.iter().any(|a| a == "--models"),
            Some("check" | "--version") => true,
            _ => false,
        };
        if !cheap {
            continue;
        }
        let mut command = glintd(&[]);
        let mut arguments = arguments;
        if arguments == ["check"] {
            arguments.extend(["--config".into(), config.into()]);
        }
        command.current_dir(dir.path()).env("STATE_DIRECTORY", dir.path());
        for argument in &arguments {
            match argument.as_str() {
                // Also that of one of several cameras.
                name if name.starts_with("/etc/glint/") && name.ends_with(".toml") => command.arg(config),
                // Minutes of a film that has two seconds.
                "60" => command.arg("0.5"),
                "90" if arguments.iter().any(|a| a == "--to") => command.arg("1.5"),
                name => {
                    let is_video = [".mp4", ".avi", ".mkv"].iter().any(|e| name.ends_with(e));
                    if is_video && !dir.path().join(name).exists() {
                        std::fs::hard_link(&film, dir.path().join(name)).expect("a link");
                    }
                    command.arg(name)
                }
            };
        }
        let output = command.output().expect("glintd starts");
        assert!(output.status.success(), "{}: {arguments:?}: {}", page.display(), stderr(&output));
        runs += 1;
    }
    assert!(runs >= 8, "{runs} commands ran");
}
