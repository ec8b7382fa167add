//! What the kernel tells of this process and its children.

/// Processor time of child processes that have ended, in seconds; `None` where there was none.
pub(super) fn children_cpu_s() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may hold anything: cutime and cstime are the 14th and 15th field from there.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(13).take(2).map(str::parse::<f64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    // Linux tells hundredths of a second, whatever its own tick is.
    (ticks > 0.0).then_some(ticks / 100.0)
}

/// Greatest resident set of this process so far; 0 where the kernel does not tell.
pub(super) fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0) * 1024
}
