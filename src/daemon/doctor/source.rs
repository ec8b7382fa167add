//! Where frames come from: whether it is there, whether it may be opened, and who else has it.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use glint::frame::Frame;
use glint::pipeline::Pipeline;
use nix::errno::Errno;

use super::broker::Running;
use super::disk;
use super::view::watch;
use crate::daemon::camera::modes::choose;
use crate::daemon::camera::{V4l2Camera, modes_of, nodes};
use crate::daemon::config::{Config, SourceKind};
use crate::daemon::finding::Finding;
use crate::daemon::grab::{FrameSource, Grab};
use crate::daemon::runtime::findings::no_frames;
use crate::daemon::runtime::serve::marker;
use crate::daemon::runtime::setup::{camera_settings, opener};
use crate::daemon::runtime::visibility::remedy;

/// What to do without a camera.
const NO_CAMERA: &str = "plug a USB camera in; cameras on a ribbon cable (CSI) need libcamera or the \
    maker's program: source.kind = \"command\"; in a container hand /dev/video0 over";

/// Looks at the source and at its frames.
pub(super) fn look(
    config: &Config,
    pipeline: &mut Pipeline,
    length: Duration,
    running: &Running,
) -> Vec<Finding> {
    let mut out = Vec::new();
    if disk::is_state_closed(config) {
        return from_outside(config, running);
    }
    if let Some(paused) = paused(config) {
        return vec![paused];
    }
    match open(config, &mut out) {
        Ok(mut source) => match watch(source.as_mut(), pipeline, length) {
            Ok(seen) => out.extend(seen.findings(config.source.kind, config.camera.fps)),
            Err(reason) => out = vec![broken(config, &reason)],
        },
        Err(fault) if fault.fault == Some("camera_busy") => out.extend(busy(config, fault, running)),
        Err(fault) => out.push(fault),
    }
    out
}

/// What a user can be told who may not know whether the device is paused: the camera stays closed.
fn from_outside(config: &Config, running: &Running) -> Vec<Finding> {
    let node = config.source.path.clone().map_or_else(first_node, Ok);
    let closed = node.and_then(|path| std::fs::File::open(&path).map(drop).map_err(|e| classify(&path, &e)));
    match closed {
        // Some drivers let nobody else open a node.
        Err(fault) if fault.fault == Some("camera_busy") => busy(config, fault, running),
        Err(fault) if config.source.kind == SourceKind::V4l2 => vec![fault],
        _ if running.online() => of_running(running, config.source.kind),
        _ => {
            let text = "whether the device is paused is closed to this user, so the camera stays closed; ask again with sudo";
            vec![Finding::note("camera", text)]
        }
    }
}

/// Whoever closed the camera does not want it to be opened, by a diagnosis neither.
fn paused(config: &Config) -> Option<Finding> {
    let marker = marker::paused(&config.outbox.path)?;
    let text = format!("the device is paused ({}), and its camera stays closed", marker.display());
    let remedy = "resume first: publish 1 to resume/set, or send SIGUSR2 to glintd";
    Some(Finding::warning("camera", "paused", text, remedy))
}

/// Opens the source and waits for its first frame.
pub(crate) fn first_frame(config: &Config) -> Vec<Finding> {
    let mut out = Vec::new();
    if let Some(paused) = paused(config) {
        return vec![paused];
    }
    match open(config, &mut out) {
        Ok(mut source) => {
            if let Err(reason) = wait_for_frame(source.as_mut()) {
                out = vec![broken(config, &reason)];
            }
        }
        Err(fault) => out.push(fault),
    }
    out
}

/// Waits for a frame, as long as the source may be silent.
pub(crate) fn wait_for_frame(source: &mut dyn FrameSource) -> Result<Frame, String> {
    let started = Instant::now();
    let mut frame = Frame::default();
    while started.elapsed() <= source.patience() {
        match source.next(&mut frame)? {
            Grab::Frame => return Ok(frame),
            Grab::End => return Err("it ended before the first frame".into()),
            Grab::Timeout | Grab::Damaged(_) => {}
        }
    }
    Err("no frame came".into())
}

/// Opens what the configuration names; what is good to know of a camera is put into `out`.
fn open(config: &Config, out: &mut Vec<Finding>) -> Result<Box<dyn FrameSource>, Finding> {
    if config.source.kind == SourceKind::V4l2 {
        camera(config, out)?;
    }
    let mut open = opener(config).map_err(|e| broken(config, &e.to_string()))?;
    let source = open().map_err(|reason| broken(config, &reason))?;
    if config.source.kind != SourceKind::V4l2 {
        out.push(Finding::good("camera", format!("source.kind = \"{}\"", config.source.kind)));
    }
    Ok(source)
}

/// Whether a camera of the kernel is there and may be opened; of other sources nothing is known beforehand.
pub(crate) fn usable(config: &Config) -> Result<(), Finding> {
    if config.source.kind == SourceKind::V4l2 { camera(config, &mut Vec::new()) } else { Ok(()) }
}

fn broken(config: &Config, reason: &str) -> Finding {
    no_frames(config.source.kind, reason)
}

/// A camera of the kernel: its node, its group, its modes.
fn camera(config: &Config, out: &mut Vec<Finding>) -> Result<(), Finding> {
    let path = match &config.source.path {
        Some(path) => path.clone(),
        None => first_node()?,
    };
    let fail = |e: std::io::Error| classify(&path, &e);
    // Opening a pipe would wait.
    if std::fs::metadata(&path).map_err(fail)?.file_type().is_fifo() {
        return Err(fail(Errno::ENOTTY.into()));
    }
    // The open alone: a node without permission is told from one that is not there.
    std::fs::File::open(&path).map_err(fail)?;
    let device = v4l::Device::with_path(&path).map_err(fail)?;
    let modes = modes_of(&device).map_err(fail)?;
    let settings = camera_settings(&config.camera);
    let card = device.query_caps().map(|c| c.card).unwrap_or_default();
    drop(device);
    let camera = V4l2Camera::open(&path, &settings).map_err(fail)?;
    let text = format!("{} ({card}): {}", path.display(), camera.description());
    out.push(Finding::good("camera", text));
    if let Some((mode, _)) = choose(&modes, settings.request)
        && mode.fps < f64::from(glint::pipeline::GOOD_FPS)
    {
        let text = format!("{} modes, the best is {mode}; from 45 frames/s on times are good", modes.len());
        out.push(Finding::note("modes", text));
    }
    Ok(())
}

/// The first node that captures, or why there is none.
pub(crate) fn first_node() -> Result<PathBuf, Finding> {
    if let Some(node) = nodes().into_iter().next() {
        return Ok(node.path);
    }
    let closed = (0..64).map(|i| PathBuf::from(format!("/dev/video{i}"))).find_map(|path| {
        let error = std::fs::File::open(&path).err()?;
        (error.kind() == ErrorKind::PermissionDenied).then(|| classify(&path, &error))
    });
    Err(closed.unwrap_or_else(|| {
        let text = "no V4L2 node of this machine captures video";
        Finding::fault("camera", "no_camera", text, NO_CAMERA)
    }))
}

/// What an error of a node means.
fn classify(path: &Path, error: &std::io::Error) -> Finding {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied => {
            let group = std::fs::metadata(path).ok().and_then(|m| group_name(m.gid()));
            let group = group.unwrap_or_else(|| "video".into());
            let remedy = format!(
                "sudo usermod -aG {group} $USER, and log in again; in a unit SupplementaryGroups={group} and DeviceAllow"
            );
            let text = format!("{text}; it belongs to group {group}");
            Finding::fault("camera", "camera_permission", text, remedy)
        }
        ErrorKind::ResourceBusy => {
            let holders = holders(path);
            let suffix =
                if holders.is_empty() { String::new() } else { format!(" ({})", holders.join(", ")) };
            let text = format!("{text}: another program has it{suffix}");
            Finding::fault("camera", "camera_busy", text, "end the other program (sudo fuser -v /dev/video*)")
        }
        // An answer to a question that nothing but a camera understands.
        _ if error.raw_os_error() == Some(Errno::ENOTTY as i32) => {
            let text = format!("{} is not a camera", path.display());
            Finding::fault(
                "camera",
                "no_camera",
                text,
                "correct source.path; glintd cameras lists the cameras",
            )
        }
        _ => Finding::fault("camera", "no_camera", text, NO_CAMERA),
    }
}

/// A camera that the running daemon has is in good hands: what it says counts.
fn busy(config: &Config, fault: Finding, running: &Running) -> Vec<Finding> {
    let path = config.source.path.clone().or_else(|| nodes().into_iter().next().map(|n| n.path));
    let held_by_glintd =
        path.is_some_and(|path| holders(&path).iter().any(|name| name.starts_with("glintd ")));
    if held_by_glintd || running.online() { of_running(running, config.source.kind) } else { vec![fault] }
}

/// What the running daemon says of its camera.
fn of_running(running: &Running, source: SourceKind) -> Vec<Finding> {
    let mut out = vec![Finding::good("camera", "the running glintd has it")];
    let Some(health) = &running.health else { return out };
    let fps = health["fps"].as_f64().unwrap_or(0.0);
    let state = health["state"].as_str().unwrap_or("unknown");
    out.push(Finding::note("frames", format!("the running glintd says {state}, {fps:.1} frames/s")));
    let problems = health["problems"].as_array().into_iter().flatten().filter_map(|p| p.as_str());
    for problem in problems {
        let known = ["fps_low", "too_dark", "flicker", "too_small"].into_iter().find(|w| *w == problem);
        if let Some(known) = known {
            let check = match known {
                "fps_low" => "rate",
                "too_dark" => "light",
                "flicker" => "flicker",
                _ => "face",
            };
            out.push(Finding::fault(check, known, "the running glintd says so", remedy(known, source)));
        }
    }
    out
}

/// The name of a group.
fn group_name(gid: u32) -> Option<String> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id.parse() == Ok(gid)).then(|| name.to_owned())
    })
}

/// The other processes that have a file open, as far as this user may see: name and number.
fn holders(path: &Path) -> Vec<String> {
    let Ok(node) = path.canonicalize() else { return Vec::new() };
    let mut holders = Vec::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let Some(pid) =
            name.to_str().and_then(|n| n.parse::<u32>().ok()).filter(|p| *p != std::process::id())
        else {
            continue;
        };
        let open = std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        if open.into_iter().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|target| target == node)) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            holders.push(format!("{} {pid}", name.trim()));
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_node_have_different_remedies() {
        let finding = |code| classify(Path::new("/dev/null"), &std::io::Error::from_raw_os_error(code));
        assert_eq!(finding(16).fault, Some("camera_busy"));
        assert_eq!(finding(2).fault, Some("no_camera"));
        assert_eq!(finding(19).fault, Some("no_camera"));
        let closed = finding(13);
        assert_eq!(closed.fault, Some("camera_permission"));
        assert!(closed.remedy.is_some_and(|r| r.contains("usermod -aG root")), "the group of the node");
        assert_eq!(group_name(0).as_deref(), Some("root"));
    }

    #[test]
    fn who_has_a_file_is_found() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("node");
        std::fs::write(&path, "").expect("file");
        assert!(holders(&path).is_empty());
        let file = std::fs::File::open(&path).expect("file");
        let mut child = std::process::Command::new("sleep").arg("30").stdin(file).spawn().expect("starts");
        let names = holders(&path);
        child.kill().expect("there");
        child.wait().expect("ends");
        assert_eq!(names, [format!("sleep {}", child.id())]);
    }

    #[test]
    fn a_camera_that_the_daemon_has_is_no_fault() {
        let fault = classify(Path::new("/dev/none"), &std::io::Error::from_raw_os_error(16));
        let mut config = Config::default();
        config.source.path = Some("/dev/none".into());
        assert_eq!(busy(&config, fault.clone(), &Running::default()), vec![fault.clone()]);
        let health =
            serde_json::json!({"state": "streaming", "fps": 30.0, "problems": ["too_dark", "outbox_full"]});
        let running = Running { status: Some("online".into()), health: Some(health) };
        let findings = busy(&config, fault, &running);
        assert_eq!(findings.iter().filter_map(|f| f.fault).collect::<Vec<_>>(), ["too_dark"]);
    }
}
