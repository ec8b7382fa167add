//! The machine: clock, temperature, throttling, versions.

use std::path::Path;

use crate::daemon::clock::synchronization;
use crate::daemon::finding::Finding;

/// Where boards throttle, or soon will, in degrees Celsius.
const HOT_C: f64 = 80.0;
/// What the firmware of a Raspberry Pi says of itself: under-voltage, capped, throttled, at the soft limit. The same
/// bits 16 higher: since the start.
const PI: &str = "devices/platform/soc/soc:firmware/get_throttled";

/// Whether the wall clock is set.
pub(super) fn clock() -> Finding {
    match synchronization() {
        (true, Some(us)) => Finding::good("clock", format!("follows a time server, {us} us off at most")),
        (true, None) => Finding::good("clock", "follows a time server"),
        (false, _) => Finding::warning(
            "clock",
            "clock_unsynchronized",
            "no time server has set the clock: events say so",
            "sudo timedatectl set-ntp true, and let UDP port 123 through",
        ),
    }
}

fn number(path: &Path) -> Option<i64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The numbered folders of one kind, such as `thermal_zone0`.
fn folders(parent: &Path, prefix: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries
        .map(|e| e.path())
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)))
        .collect();
    paths.sort();
    paths
}

/// The warmest place of the machine, by the kernel's files under `sys`.
pub(super) fn temperature(sys: &Path) -> Finding {
    let zones = folders(&sys.join("class/thermal"), "thermal_zone");
    let warmest = zones
        .iter()
        .filter_map(|zone| Some((number(&zone.join("temp"))? as f64 / 1000.0, zone)))
        // A sensor without power says something impossible.
        .filter(|(celsius, _)| (-40.0..200.0).contains(celsius))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let Some((celsius, zone)) = warmest else {
        return Finding::note("temperature", "the kernel tells none");
    };
    let name = std::fs::read_to_string(zone.join("type")).unwrap_or_default();
    let text = format!("{celsius:.0} degrees Celsius ({})", name.trim());
    if celsius >= HOT_C {
        Finding::warning("temperature", "hot", text, "a heat sink or a fan; shade; a lower camera.fps")
    } else {
        Finding::good("temperature", text)
    }
}

/// Whether the processor is slowed down.
pub(super) fn throttling(sys: &Path) -> Finding {
    const VOLTAGE: &str = "a power supply and a cable that the maker of the board asks for";
    const COOLING: &str = "a heat sink or a fan; shade";
    let firmware = std::fs::read_to_string(sys.join(PI)).ok();
    if let Some(bits) = firmware.and_then(|t| u32::from_str_radix(t.trim().trim_start_matches("0x"), 16).ok())
    {
        let now = |mask: u32| bits & mask != 0;
        return match () {
            () if now(1) => Finding::warning("throttling", "undervoltage", "the voltage is too low", VOLTAGE),
            () if now(0b1110) => {
                Finding::warning("throttling", "throttled", "the processor is slowed down", COOLING)
            }
            () if now(1 << 16) => Finding::warning(
                "throttling",
                "undervoltage",
                "the voltage was too low since the start",
                VOLTAGE,
            ),
            () if now(0b1110 << 16) => Finding::warning(
                "throttling",
                "throttled",
                "the processor was slowed down since the start",
                COOLING,
            ),
            () => Finding::good("throttling", "none since the start"),
        };
    }
    // Elsewhere: what the kernel uses to cool a processor by slowing it down.
    let slowed = folders(&sys.join("class/thermal"), "cooling_device").into_iter().find(|device| {
        let kind = std::fs::read_to_string(device.join("type")).unwrap_or_default().to_lowercase();
        let processor = kind.contains("cpufreq") || kind.trim() == "processor";
        processor && number(&device.join("cur_state")).is_some_and(|state| state > 0)
    });
    match slowed {
        Some(_) => Finding::warning("throttling", "throttled", "the processor is slowed down", COOLING),
        None => Finding::good("throttling", "none"),
    }
}

/// What runs here.
pub(super) fn versions() -> Finding {
    let first =
        |path: &str| std::fs::read_to_string(path).ok().map(|t| t.trim_end_matches(['\0', '\n']).to_owned());
    let system = first("/etc/os-release").and_then(|text| {
        let line = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=").map(str::to_owned))?;
        Some(line.trim_matches('"').to_owned())
    });
    let kernel = first("/proc/sys/kernel/osrelease").map(|k| format!("Linux {k}"));
    let board = first("/proc/device-tree/model").or_else(|| first("/sys/class/dmi/id/product_name"));
    let ffmpeg = std::process::Command::new("ffmpeg").arg("-version").output().ok().and_then(|out| {
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        Some(text.lines().next()?.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
    });
    let version = format!("glintd {} ({})", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let parts = [Some(version), kernel, system, board, ffmpeg];
    Finding::good("versions", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plant(sys: &Path, file: &str, text: &str) {
        let path = sys.join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(path, text).expect("file");
    }

    #[test]
    fn heat_and_throttling_are_read_where_boards_tell_them() {
        let dir = tempfile::tempdir().expect("folder");
        let sys = dir.path();
        assert_eq!(temperature(sys).text, "the kernel tells none");
        plant(sys, "class/thermal/thermal_zone0/temp", "48000\n");
        plant(sys, "class/thermal/thermal_zone0/type", "cpu-thermal\n");
        plant(sys, "class/thermal/thermal_zone1/temp", "-274000\n");
        assert_eq!(
            (temperature(sys).fault, temperature(sys).text.as_str()),
            (None, "48 degrees Celsius (cpu-thermal)")
        );
        plant(sys, "class/thermal/thermal_zone2/temp", "86500\n");
        assert_eq!(temperature(sys).fault, Some("hot"));

        assert_eq!(throttling(sys).fault, None);
        plant(sys, "class/thermal/cooling_device0/type", "Fan\n");
        plant(sys, "class/thermal/cooling_device0/cur_state", "3\n");
        plant(sys, "class/thermal/cooling_device1/type", "cpufreq-cpu0\n");
        plant(sys, "class/thermal/cooling_device1/cur_state", "0\n");
        assert_eq!(throttling(sys).fault, None, "a fan that turns slows nothing down");
        plant(sys, "class/thermal/cooling_device1/cur_state", "2\n");
        assert_eq!(throttling(sys).fault, Some("throttled"));
        for (bits, fault) in [
            ("0", None),
            ("50005", Some("undervoltage")),
            ("4", Some("throttled")),
            ("0x50000", Some("undervoltage")),
            ("e0000", Some("throttled")),
        ] {
            plant(sys, PI, bits);
            assert_eq!(throttling(sys).fault, fault, "{bits}");
        }
    }

    #[test]
    fn versions_name_the_program() {
        assert!(versions().text.starts_with(&format!("glintd {}", env!("CARGO_PKG_VERSION"))));
    }
}
