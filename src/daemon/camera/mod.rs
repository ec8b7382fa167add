//! A V4L2 camera: its modes, its controls, its frames as luma with kernel time stamps.

pub(crate) mod modes;
mod queue;
mod stream;
#[cfg(test)]
mod vm_test;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use glint::frame::{Frame, LumaDecoder, PixelFormat};
use v4l::Device;
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::video::Capture;

use crate::daemon::grab::Grab;
use modes::{Mode, ModeRequest, choose};
use queue::Queue;
use stream::Stream;

/// Controls of linux/v4l2-controls.h that matter to glint.
const CONTROLS: [(&str, u32); 7] = [
    ("power_line_frequency", 0x0098_0918),
    ("auto_exposure", 0x009a_0901),
    ("exposure_dynamic_framerate", 0x009a_0903),
    ("exposure_time_absolute", 0x009a_0902),
    ("gain", 0x0098_0913),
    ("gain_automatic", 0x0098_0912),
    ("white_balance_automatic", 0x0098_090c),
];

fn control_id(name: &str) -> u32 {
    CONTROLS.iter().find(|(n, _)| *n == name).map_or(0, |(_, id)| *id)
}

/// How a camera is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct CameraSettings {
    /// Mode that is asked for.
    pub(crate) request: ModeRequest,
    /// Mains frequency of the lamps: 50 or 60.
    pub(crate) power_line_hz: Option<u32>,
    /// Whether exposure and white balance are locked once they have settled.
    pub(crate) lock_exposure: bool,
}

/// Frames until automatic exposure has settled.
const SETTLE_FRAMES: u64 = 60;

/// The capture queue of a device, or why there is none.
fn queue_of(device: &Device) -> io::Result<Queue> {
    Queue::for_device(device)?.ok_or_else(|| io::Error::other("the device captures no video"))
}

/// Every mode of a device that glint can decode, its highest rate each.
pub(crate) fn modes_of(device: &Device) -> io::Result<Vec<Mode>> {
    let mut modes = Vec::new();
    for code in queue_of(device)?.formats(device)? {
        let Some(format) = PixelFormat::from_fourcc(code) else { continue };
        let code = v4l::FourCC::new(&code);
        for size in device.enum_framesizes(code).unwrap_or_default() {
            let sizes = match size.size {
                FrameSizeEnum::Discrete(d) => vec![(d.width, d.height)],
                // Of a range only the usual sizes, the largest and the smallest are of interest.
                FrameSizeEnum::Stepwise(s) => {
                    let usual = [(640, 480), (800, 600), (1280, 720), (1920, 1080)];
                    let fits = |(w, h): &(u32, u32)| {
                        (s.min_width..=s.max_width).contains(w)
                            && (s.min_height..=s.max_height).contains(h)
                            && (w - s.min_width).is_multiple_of(s.step_width.max(1))
                            && (h - s.min_height).is_multiple_of(s.step_height.max(1))
                    };
                    let ends = [(s.min_width, s.min_height), (s.max_width, s.max_height)];
                    usual.into_iter().filter(fits).chain(ends).collect()
                }
            };
            for (width, height) in sizes {
                let mut fps = 0.0f64;
                for interval in device.enum_frameintervals(code, width, height).unwrap_or_default() {
                    let shortest = match interval.interval {
                        FrameIntervalEnum::Discrete(f) => f,
                        FrameIntervalEnum::Stepwise(s) => s.min,
                    };
                    if shortest.numerator > 0 {
                        fps = fps.max(f64::from(shortest.denominator) / f64::from(shortest.numerator));
                    }
                }
                // A driver that does not tell its rates is taken for an ordinary camera.
                modes.push(Mode { format, width, height, fps: if fps > 0.0 { fps } else { 30.0 } });
            }
        }
    }
    Ok(modes)
}

/// The controls that matter and that the device has, with their ranges.
pub(crate) fn controls_of(device: &Device) -> Vec<(&'static str, i32, i32)> {
    CONTROLS
        .iter()
        .filter_map(|(name, id)| stream::control_range(device, *id).map(|r| (*name, r.minimum, r.maximum)))
        .collect()
}

/// An open camera.
pub(crate) struct V4l2Camera {
    stream: Stream,
    description: String,
    mode: Mode,
    stride: usize,
    decoder: LumaDecoder,
    settings: CameraSettings,
    seen: u64,
    first: Option<u32>,
}

impl V4l2Camera {
    /// Opens a device, chooses its mode, sets its controls and starts it.
    pub(crate) fn open(path: &Path, settings: &CameraSettings) -> io::Result<Self> {
        let device = Device::with_path(path)?;
        let modes = modes_of(&device)?;
        let (mode, why) = choose(&modes, settings.request).ok_or_else(|| {
            let offered: Vec<String> = modes.iter().map(ToString::to_string).collect();
            let offered =
                if offered.is_empty() { "none that glint decodes".into() } else { offered.join(", ") };
            io::Error::other(format!("no mode of the camera fits; it offers: {offered}"))
        })?;
        let queue = queue_of(&device)?;
        // Several codes mean the same to glint (NV12 and I420 begin with luma): the one it is named after comes first.
        let codes = queue.formats(&device)?;
        let fourcc = mode.format.fourcc();
        let alike = codes.iter().find(|code| PixelFormat::from_fourcc(**code) == Some(mode.format));
        let code = if codes.contains(&fourcc) { fourcc } else { *alike.unwrap_or(&fourcc) };
        let set = queue.set_format(&device, code, mode.width, mode.height)?;
        let format = PixelFormat::from_fourcc(set.fourcc).ok_or_else(|| {
            io::Error::other(format!("the camera insists on {}", String::from_utf8_lossy(&set.fourcc)))
        })?;
        let mut mode = Mode { format, width: set.width, height: set.height, ..mode };
        // A camera without S_PARM has one rate, and its frames tell it.
        let fps = settings.request.fps.map_or(mode.fps, |most| most.min(mode.fps));
        if let Some(granted) = queue.set_rate(&device, fps.round().max(1.0) as u32) {
            mode.fps = granted;
        }
        set_up_controls(&device, settings);
        let stride = set.stride as usize;
        let stream = Stream::start(device, queue)?;
        Ok(Self {
            stream,
            description: format!("{mode} ({why})"),
            mode,
            stride,
            decoder: LumaDecoder::default(),
            settings: *settings,
            seen: 0,
            first: None,
        })
    }

    /// The mode in words, and why it was chosen.
    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    /// Waits for the next frame. `seq` counts the camera's frames from 0: a step of more than one means
    /// that the driver lost some. An error means that the camera is gone or broken: open it anew.
    pub(crate) fn next(&mut self, frame: &mut Frame, timeout: Duration) -> io::Result<Grab> {
        let Self { stream, decoder, mode, stride, first, .. } = self;
        let got = stream.next(timeout, |bytes, meta| {
            if meta.error {
                return Grab::Damaged(None);
            }
            let decoded = decoder.decode(
                mode.format,
                mode.width as usize,
                mode.height as usize,
                if mode.format == PixelFormat::Mjpg { 0 } else { *stride },
                bytes,
                &mut frame.luma,
            );
            let Ok((width, height)) = decoded else { return Grab::Damaged(None) };
            let first = *first.get_or_insert(meta.sequence);
            frame.seq = u64::from(meta.sequence.wrapping_sub(first));
            frame.at_ns = meta.at_ns.unwrap_or_else(crate::daemon::clock::monotonic_ns);
            (frame.width, frame.height) = (width, height);
            Grab::Frame
        })?;
        let next = got.unwrap_or(Grab::Timeout);
        if next == Grab::Frame {
            self.seen += 1;
            if self.seen == SETTLE_FRAMES && self.settings.lock_exposure {
                lock_exposure(self.stream.device());
            }
        }
        Ok(next)
    }
}

/// Sets a control where the camera has it; what fails is logged and no reason to do without the camera.
fn set_control(device: &Device, name: &str, value: i32) {
    let id = control_id(name);
    if stream::control_range(device, id).is_some()
        && let Err(error) = stream::set_control(device, id, value)
    {
        tracing::warn!("camera control {name}={value}: {error}");
    }
}

/// Keeps the frame rate in low light, and the exposure in step with the lamps.
fn set_up_controls(device: &Device, settings: &CameraSettings) {
    set_control(device, "exposure_dynamic_framerate", 0);
    match settings.power_line_hz {
        Some(50) => set_control(device, "power_line_frequency", 1),
        Some(60) => set_control(device, "power_line_frequency", 2),
        _ => {}
    }
}

/// Freezes exposure, gain and white balance where they are.
fn lock_exposure(device: &Device) {
    // Some cameras go back to an old manual value when the automatic is switched off: what it had found is read
    // before and set again.
    let automatic =
        ["exposure_time_absolute", "gain"].map(|name| (name, stream::control(device, control_id(name))));
    // V4L2_EXPOSURE_MANUAL is 1; automatic gain and white balance off are 0.
    set_control(device, "auto_exposure", 1);
    set_control(device, "gain_automatic", 0);
    set_control(device, "white_balance_automatic", 0);
    for (name, value) in automatic {
        if let Some(value) = value {
            set_control(device, name, value);
        }
    }
}

/// A capture node and its stable name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// `/dev/video0`.
    pub(crate) path: PathBuf,
    /// `/dev/v4l/by-id/...`, the same after a reboot; the path itself where udev made none.
    pub(crate) stable: PathBuf,
    /// What the driver calls it.
    pub(crate) card: String,
}

/// The nodes of this machine that capture video.
pub(crate) fn nodes() -> Vec<Node> {
    let mut nodes: Vec<Node> = v4l::context::enum_devices()
        .into_iter()
        .filter_map(|n| {
            let device = Device::with_path(n.path()).ok()?;
            Queue::for_device(&device).ok()??;
            Some(Node {
                path: n.path().to_owned(),
                stable: stable_name(n.path()).unwrap_or_else(|| n.path().to_owned()),
                card: device.query_caps().ok()?.card,
            })
        })
        .collect();
    nodes.sort_by(|a, b| a.path.cmp(&b.path));
    nodes
}

fn stable_name(path: &Path) -> Option<PathBuf> {
    let target = path.canonicalize().ok()?;
    let mut links: Vec<PathBuf> =
        std::fs::read_dir("/dev/v4l/by-id").ok()?.filter_map(|e| Some(e.ok()?.path())).collect();
    links.sort();
    links.into_iter().find(|l| l.canonicalize().is_ok_and(|t| t == target))
}
