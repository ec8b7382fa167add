//! What a benchmark has measured: as a table, as JSON, and beside an earlier result.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::super::samples::{StageTimes, round};
use super::{STAGES, keeps_up};

/// Said of a clip in which nothing but the search for a face was measured.
pub(super) const NO_FACE: &str =
    "no face was found: only the search for one was measured; take a clip with a face, upright (--rotate)";

/// Times of a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Times {
    /// Median in microseconds; `None` where it never ran.
    pub(super) p50_us: Option<f64>,
    /// 99th percentile.
    pub(super) p99_us: Option<f64>,
    /// How often it ran.
    #[serde(default)]
    pub(super) runs: usize,
}

impl Times {
    /// The quantiles of samples.
    pub(super) fn from_samples(samples: &mut StageTimes) -> Self {
        let quantile = |s: &mut StageTimes, q| s.quantile(q).map(round);
        Self { p50_us: quantile(samples, 0.5), p99_us: quantile(samples, 0.99), runs: samples.0.len() }
    }
}

/// Where it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Machine {
    /// Version of glintd.
    version: String,
    /// `release`, or `dev` with its checks.
    build: String,
    /// Name of the processor or of the board.
    cpu: String,
    /// Processors that this program may use. It is measured on one of them.
    cores: usize,
}

impl Machine {
    /// This one.
    pub(super) fn here() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let board = read("/proc/device-tree/model").trim_end_matches('\0').to_owned();
        let info = read("/proc/cpuinfo");
        let named =
            info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
        let cpu = named.map_or(board, |(_, name)| name.trim().to_owned());
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            build: if cfg!(debug_assertions) { "dev" } else { "release" }.into(),
            cpu: if cpu.is_empty() { "unknown".into() } else { cpu },
            cores: std::thread::available_parallelism().map_or(1, Into::into),
        }
    }
}

/// What a clip has cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct BenchResult {
    /// Where.
    #[serde(flatten)]
    pub(super) machine: Machine,
    /// Frames that were measured, and those before them that were not.
    pub(super) frames: u64,
    /// See `frames`.
    pub(super) warm_up_frames: u64,
    /// Frames a second on one thread, without decoding.
    pub(super) fps: f64,
    /// Median of a tracked frame in the second half over that in the first half.
    pub(super) drift: Option<f64>,
    /// By the names of [`STAGES`].
    pub(super) stages: BTreeMap<String, Times>,
    /// Whole frames with a face that is followed.
    pub(super) tracked_frame: Times,
    /// Whole frames in which nothing moves.
    pub(super) quiet_frame: Times,
    /// Frames a second with decoding.
    pub(super) wall_fps: f64,
    /// Processor time of ffmpeg a frame; `None` without it.
    pub(super) decoder_process_us: Option<f64>,
    /// Greatest resident set.
    pub(super) peak_rss_bytes: u64,
    /// Allocations a frame in the steady state, by glint and by tract.
    pub(super) allocs_ours: f64,
    /// See `allocs_ours`.
    pub(super) allocs_tract: f64,
}

impl BenchResult {
    /// Reads what `--json` has printed.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let what = || format!("{}: not what glintd bench CLIP --json prints", path.display());
        serde_json::from_str(&text).with_context(what)
    }

    /// Names and times of all stages and of whole frames.
    fn rows(&self) -> impl Iterator<Item = (&str, Times)> {
        let stages =
            STAGES.iter().map(|(name, _)| (*name, self.stages.get(*name).copied().unwrap_or_default()));
        stages.chain([("tracked frame", self.tracked_frame), ("quiet frame", self.quiet_frame)])
    }

    /// The table.
    pub(super) fn lines(&self) -> Vec<String> {
        let m = &self.machine;
        let (measured, followed) = (self.frames.saturating_sub(self.warm_up_frames), self.tracked_frame.runs);
        // Without a face most of the work is not done, and a verdict would be too good.
        let mut out = vec![if followed == 0 { NO_FACE.into() } else { keeps_up(self.fps) }];
        if followed > 0 && 2 * (followed as u64) < measured {
            out.push(format!(
                "a face was followed in {followed} of {measured} frames; in all of them it is slower"
            ));
        }
        out.extend([
            format!("{} frames, {:.0} frames/s on one thread, decoding apart", self.frames, self.fps),
            format!("glintd {} ({}) on {}, {} processors", m.version, m.build, m.cpu, m.cores),
        ]);
        if m.build == "dev" {
            out.push("a dev build checks every addition: measure a release build".into());
        }
        if let Some(drift) = self.drift {
            out.push(format!(
                "the first {} frames are not counted; the second half took {:.2} times as long as the first",
                self.warm_up_frames, drift
            ));
        }
        out.push(format!("{:<14} {:>10} {:>10} {:>8}", "stage", "p50 us", "p99 us", "runs"));
        for (name, times) in self.rows() {
            if let (Some(p50), Some(p99)) = (times.p50_us, times.p99_us) {
                out.push(format!("{name:<14} {p50:>10.1} {p99:>10.1} {:>8}", times.runs));
            }
        }
        out.push(match self.decoder_process_us {
            Some(us) => format!(
                "with ffmpeg beside it {:.0} frames/s, {us:.0} us of a processor a frame in ffmpeg",
                self.wall_fps
            ),
            None => format!("with decoding {:.0} frames/s", self.wall_fps),
        });
        out.push(format!("peak memory {:.1} MiB", self.peak_rss_bytes as f64 / f64::from(1 << 20)));
        out.push(format!(
            "allocations a frame: ours {:.3}, tract {:.1}",
            self.allocs_ours, self.allocs_tract
        ));
        out
    }

    /// Medians of an earlier result beside those of this one.
    pub(super) fn compared(&self, before: &Self) -> Vec<String> {
        let (then, now) = (&before.machine, &self.machine);
        let mut out = vec![format!("before: glintd {} ({}) on {}", then.version, then.build, then.cpu)];
        if self.tracked_frame.runs == 0 {
            out.push(NO_FACE.into());
        }
        if (&then.cpu, &then.build) != (&now.cpu, &now.build) {
            out.push("another processor or build: the ratios say nothing of the program".into());
        }
        if before.frames != self.frames {
            out.push(format!("another clip: {} frames before, {} now", before.frames, self.frames));
        }
        out.push(format!("{:<14} {:>10} {:>10} {:>8}", "stage", "before us", "now us", "ratio"));
        for ((name, then), (_, now)) in before.rows().zip(self.rows()) {
            if let (Some(then), Some(now)) = (then.p50_us, now.p50_us) {
                let ratio = if then > 0.0 { format!("{:.2}", now / then) } else { "-".into() };
                out.push(format!("{name:<14} {then:>10.1} {now:>10.1} {ratio:>8}"));
            }
        }
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        out.push(format!(
            "{:<14} {:>10.1} {:>10.1} {:>8.2}",
            "peak MiB",
            mib(before.peak_rss_bytes),
            mib(self.peak_rss_bytes),
            self.peak_rss_bytes as f64 / before.peak_rss_bytes.max(1) as f64
        ));
        out
    }
}

#[cfg(test)]
mod tests;
