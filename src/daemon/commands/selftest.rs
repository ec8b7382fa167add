//! `glintd selftest`: how well would glint see here? Known movements are put into a clip of the site or into the frames of its
//! camera, and counted again.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use glint::pipeline::Models;

use super::media::print_line;
use super::output::{self, Output};
use crate::daemon::config::DEFAULT_PATH;
use crate::daemon::report::page;
use crate::daemon::selftest::report::SelftestReport;
use crate::daemon::selftest::{clip, live};
use crate::daemon::sources::footage::Selection;

/// Runs over a clip.
const ROUNDS: u32 = 3;
/// How long a camera is tested: some eighty movements in a calm face.
const LENGTH: Duration = Duration::from_secs(120);
/// Allowed values of `--minutes` and `--hours`.
const MINUTES: (f64, f64) = (0.1, 600.0);
const HOURS: (f64, f64) = (0.01, 168.0);

/// Arguments of `glintd selftest`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A clip, as for `replay`: at least 30 seconds of a person who sits where people will sit [default: the camera of the
    /// configuration, live].
    clip: Option<PathBuf>,
    #[command(flatten)]
    selection: Selection,
    /// The configuration file that names the camera [default: /etc/glint/glint.toml]. Broker and outbox are left alone.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["clip", "fps", "rotate", "mirror", "from", "to", "rounds"])]
    config: Option<PathBuf>,
    /// How long the camera is tested, .1 to 600 minutes [default: 2].
    #[arg(long, value_name = "M", value_parser = minutes, conflicts_with_all = ["clip", "hours"])]
    minutes: Option<Duration>,
    /// The same in hours, .01 to 168: candidates and events by cause, hour by hour.
    #[arg(long, value_name = "H", value_parser = hours, conflicts_with = "clip")]
    hours: Option<Duration>,
    /// Seed of the movements and their times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of runs over the clip, each with other movements [default: 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Print the result, and the summary on stderr, as a JSON object.
    #[arg(long)]
    json: bool,
    /// Draw what was found, by size and by action unit, as SVG or PNG by the ending of the name.
    #[arg(long, value_name = "FILE.svg|FILE.png", value_parser = output::picture())]
    picture: Option<PathBuf>,
}

/// A time of so many units of `seconds`.
fn length(text: &str, (least, most): (f64, f64), seconds: f64) -> Result<Duration, String> {
    let value: Option<f64> = text.parse().ok().filter(|v| (least..=most).contains(v));
    value.map(|v| Duration::from_secs_f64(v * seconds)).ok_or(format!("allowed: {least} to {most}"))
}

fn minutes(text: &str) -> Result<Duration, String> {
    length(text, MINUTES, 60.0)
}

fn hours(text: &str) -> Result<Duration, String> {
    length(text, HOURS, 3600.0)
}

/// Measures detection in a clip or before a camera, and prints the result.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let picture = args.picture.as_deref().map(Output::create).transpose()?;
    let (name, report) = match &args.clip {
        Some(path) => {
            let rounds = args.rounds.unwrap_or(ROUNDS);
            let report = clip::measure(path, args.selection, args.seed, rounds, &Models::embedded()?)?;
            (page::name(path), report)
        }
        None => {
            needs_clip(args);
            let config = args.config.clone().unwrap_or_else(|| DEFAULT_PATH.into());
            let length = args.hours.or(args.minutes).unwrap_or(LENGTH);
            live::measure(&config, args.seed, length)?
        }
    };
    tell(&report, args.json)?;
    if let Some(picture) = picture {
        picture.draw(&report.drawing(&name), &format!("Injected movements found in {name}"))?;
    }
    let summary = &report.untouched;
    eprintln!("{}", if args.json { summary.json().to_string() } else { summary.line() });
    // What was seen is told all the same.
    anyhow::ensure!(
        report.injected > 0,
        "{name}: no face that is still for long enough was found: nothing could be tested"
    );
    Ok(ExitCode::SUCCESS)
}

fn tell(report: &SelftestReport, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print_line(&report.json().to_string());
    }
    report.lines().iter().try_for_each(|line| print_line(line))
}

/// Options of a clip mean nothing without one.
fn needs_clip(args: &Args) {
    let Selection { fps, rotate, mirror, from, to } = args.selection;
    if fps.is_some() || rotate != 0 || mirror || from.is_some() || to.is_some() || args.rounds.is_some() {
        let text = "--fps, --rotate, --mirror, --from, --to and --rounds are of a clip; the camera is set in the \
                    configuration (camera.fps, camera.rotate, camera.mirror)\n";
        clap::Error::raw(ErrorKind::ArgumentConflict, text).exit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_a_range() {
        assert_eq!(minutes("2"), Ok(Duration::from_secs(120)));
        assert_eq!(hours("0.5"), Ok(Duration::from_secs(1800)));
        for wrong in ["0", "-1", "NaN", "inf", "1000", "two", ""] {
            assert_eq!(minutes(wrong), Err("allowed: 0.1 to 600".into()), "{wrong}");
        }
        assert!(hours("169").is_err());
    }
}
