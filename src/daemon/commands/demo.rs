//! `glintd demo`: the running daemon on the synthetic subject, with a broker of its own, checked against
//! what the subject did.

mod broker;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use glint::au::AUS;
use glint::event::{Class, Event};
use glint::pipeline::Purpose;
use glint::synth::{Action, Script, class_of_units};

use broker::{start_broker, subscribe};

use super::media::print_line;
use crate::daemon::clock::monotonic_ns;
use crate::daemon::config::{Config, SourceKind};
use crate::daemon::runtime::memory::Memory;
use crate::daemon::runtime::serve::serve;
use crate::daemon::runtime::setup::set_up;
use crate::daemon::sources::source::SyntheticSource;

/// Onsets of truth and event may differ so much.
const ONSET_TOLERANCE_NS: i64 = 30_000_000;
/// First movement, and how much later the next one comes.
const FIRST_NS: i64 = 2_000_000_000;
const PERIOD_NS: i64 = 3_000_000_000;
/// A movement needs so much time before the end, to be seen as one that has ended.
const REST_NS: i64 = 1_500_000_000;
const DEVICE: &str = "demo";

/// Arguments of `glintd demo`: what the synthetic subject does.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Action units that move together, as 12 or AU12.
    #[arg(long, value_delimiter = ',', default_value = "12", value_parser = unit)]
    aus: Vec<u8>,
    /// Size of the movement, as a fraction of the full movement (0 to 1).
    #[arg(long, default_value_t = 0.2, value_parser = fraction)]
    intensity: f32,
    /// Frames per second (20 to 500).
    #[arg(long, default_value_t = 100.0, value_parser = rate)]
    fps: f64,
    /// Length of the demo in seconds (4 to 3600).
    #[arg(long, default_value_t = 10.0, value_parser = length)]
    seconds: f64,
}

fn unit(text: &str) -> Result<u8, String> {
    let digits = text.trim().trim_start_matches(['A', 'a']).trim_start_matches(['U', 'u']);
    digits.parse().ok().filter(|au| AUS.contains(au)).ok_or_else(|| format!("allowed: {}", list(&AUS)))
}

/// Action units as a sentence has them.
fn list(aus: &[u8]) -> String {
    aus.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}

fn fraction(text: &str) -> Result<f32, String> {
    let fraction: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    // Without a movement there is nothing to find.
    if fraction > 0.0 && fraction <= 1.0 { Ok(fraction) } else { Err("allowed: above 0, up to 1".into()) }
}

fn rate(text: &str) -> Result<f64, String> {
    let fps: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (20.0..=500.0).contains(&fps) { Ok(fps) } else { Err("allowed: 20 to 500".into()) }
}

fn length(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (4.0..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("allowed: 4 to 3600".into()) }
}

/// Runs the demo; exit 0 only if an event agrees with the truth.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let total_ns = (args.seconds * 1e9) as i64;
    let onsets: Vec<i64> =
        (0..).map(|i| FIRST_NS + i * PERIOD_NS).take_while(|onset| onset + REST_NS <= total_ns).collect();
    let actions = onsets
        .iter()
        .flat_map(|onset| args.aus.iter().map(|au| Action::micro(*au, args.intensity, *onset)))
        .collect();
    let script = match Script::new(actions) {
        Ok(script) => script,
        Err(e) => {
            eprintln!("glintd: {e}");
            return Ok(ExitCode::from(2));
        }
    };
    let port = start_broker()?;
    let events = subscribe(port, &format!("glint/{DEVICE}/event"))?;

    let dir = std::env::temp_dir().join(format!("glint-demo-{}", std::process::id()));
    let mut config = Config::default();
    config.device.id = Some(DEVICE.into());
    config.source.kind = SourceKind::Synthetic;
    config.mqtt.url = format!("mqtt://127.0.0.1:{port}");
    config.outbox.path = dir.join("outbox.redb");
    config.deployment.purpose = Some(Purpose::Demonstration);
    let mut setup = set_up(config, Memory::default())?;
    let start_ns = monotonic_ns() + 200_000_000;
    let frames = (args.seconds * args.fps) as u64;
    let fps = args.fps;
    setup.open = Box::new(move || Ok(Box::new(SyntheticSource::new(script.clone(), fps, frames, start_ns)?)));
    for onset in &onsets {
        eprintln!(
            "truth: AU {} at {:.0} % of the full movement, onset {:.3} s",
            list(&args.aus),
            args.intensity * 100.0,
            *onset as f64 / 1e9
        );
    }
    let daemon = std::thread::Builder::new().name("daemon".into()).spawn(move || serve(setup))?;
    let mut agreed = 0;
    let mut take = |line: String| -> anyhow::Result<()> {
        print_line(&line)?;
        let event: Event = serde_json::from_str(&line).context("the event cannot be parsed")?;
        let verdict = judge(&event, &onsets, start_ns, &args.aus);
        eprintln!("verdict: {}", verdict.as_ref().map_or_else(String::clone, String::clone));
        agreed += usize::from(verdict.is_ok());
        Ok(())
    };
    while !daemon.is_finished() {
        if let Ok(line) = events.recv_timeout(Duration::from_millis(100)) {
            take(line)?;
        }
    }
    // The last event was acknowledged by the broker, and may still be on its way to the subscriber.
    while let Ok(line) = events.recv_timeout(Duration::from_millis(500)) {
        take(line)?;
    }
    match daemon.join() {
        Ok(ended) => ended?,
        Err(_) => bail!("the daemon panicked"),
    }
    // Nothing of the demo stays; where that fails it is a file of a few kilobytes.
    _ = std::fs::remove_dir_all(&dir);
    eprintln!("verdict: {agreed} of {} movements were reported correctly", onsets.len());
    Ok(if agreed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether an event tells what the subject did: every AU that moved is there and one of them is the
/// strongest, the class is right, the onset is near. Further, weaker AUs are named and do not count:
/// neighbours on the face pull the same skin.
fn judge(event: &Event, onsets: &[i64], start_ns: i64, aus: &[u8]) -> Result<String, String> {
    let data = &event.data;
    let error_ns = onsets
        .iter()
        .map(|onset| data.onset_ns - start_ns - onset)
        .min_by_key(|e| e.abs())
        .ok_or("the subject did not move")?;
    let reported: Vec<u8> = data.aus.iter().map(|a| a.au).collect();
    let class = data.label.as_ref().map(|l| l.class);
    let extra: Vec<u8> = reported.iter().copied().filter(|au| !aus.contains(au)).collect();
    let name = class.map_or("none", Class::as_str);
    let mut text =
        format!("AU {}, class {name}, onset {:+.1} ms off", list(&reported), error_ns as f64 / 1e6);
    if !extra.is_empty() {
        text.push_str(&format!(", AU {} reported too and weaker", list(&extra)));
    }
    let expected = class_of_units(aus);
    if error_ns.abs() > ONSET_TOLERANCE_NS {
        Err(format!("{text}: too far from every movement"))
    } else if !aus.iter().all(|au| reported.contains(au))
        || reported.first().is_none_or(|au| !aus.contains(au))
    {
        Err(format!("{text}: the AUs are not those that moved"))
    } else if expected.is_some() && class != expected {
        Err(format!("{text}: expected {}", expected.map_or("none", Class::as_str)))
    } else {
        Ok(format!("{text}: agrees"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_taken_as_people_write_them_and_others_are_listed() {
        assert_eq!((unit("12"), unit("AU12"), unit("au4")), (Ok(12), Ok(12), Ok(4)));
        for wrong in ["3", "AUX", "", "300"] {
            assert!(unit(wrong).is_err_and(|e| e.starts_with("allowed: 1, 2, 4, 5")), "{wrong}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_told_with_the_range() {
        assert_eq!((fraction("1"), fraction("0.05")), (Ok(1.0), Ok(0.05)));
        for wrong in ["2", "0", "-0.1", "nan", "inf"] {
            assert_eq!(fraction(wrong), Err("allowed: above 0, up to 1".into()), "{wrong}");
        }
        assert_eq!(fraction("half"), Err("not a number".into()));
        assert!(rate("nan").is_err() && length("nan").is_err());
    }
}
