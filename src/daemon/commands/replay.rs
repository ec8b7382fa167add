//! `glintd replay`: the daemon's pipeline over a clip, one event a line.
#![allow(clippy::disallowed_methods)] // --pace waits for the time of each frame.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use glint::clip::Clip;
use glint::event::{Event, Kind};
use glint::pipeline::{Models, Options, Pipeline, Purpose, Step};

use super::media::{self, Ending, print_line};
use crate::daemon::runtime::publish::Publisher;
use crate::daemon::runtime::{files, memory};
use crate::daemon::sources::footage::Selection;
use crate::daemon::summary::{Account, AccountArgs};

/// Arguments of `glintd replay`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A video file, an address such as rtsp://..., a folder of numbered images, or - for Y4M on standard input.
    clip: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// Play the clip at its own speed.
    #[arg(long)]
    pace: bool,
    /// The purpose of use. Events carry a class only if a purpose is given.
    #[arg(long, value_enum)]
    purpose: Option<PurposeArg>,
    /// Kinds of movement to print [default: those of the configuration, or micro].
    #[arg(long, value_enum, value_delimiter = ',')]
    kinds: Vec<KindArg>,
    /// Take device name, models (also an installed bundle), thresholds and purpose from this configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Also publish the events to the broker of the configuration.
    #[arg(long, requires = "config")]
    mqtt: bool,
    #[command(flatten)]
    account: AccountArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum PurposeArg {
    Research,
    Clinical,
    Accessibility,
    Demonstration,
}

impl From<PurposeArg> for Purpose {
    fn from(p: PurposeArg) -> Self {
        match p {
            PurposeArg::Research => Self::Research,
            PurposeArg::Clinical => Self::Clinical,
            PurposeArg::Accessibility => Self::Accessibility,
            PurposeArg::Demonstration => Self::Demonstration,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum KindArg {
    Micro,
    Macro,
    Blink,
}

impl From<KindArg> for Kind {
    fn from(k: KindArg) -> Self {
        match k {
            KindArg::Micro => Self::Micro,
            KindArg::Macro => Self::Macro,
            KindArg::Blink => Self::Blink,
        }
    }
}

/// Prints the events of a clip, and publishes them where asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let load = |path| memory::load(path, None).map(|(config, _)| config);
    let config = args.config.as_deref().map(load).transpose()?;
    let device = config.as_ref().map_or_else(|| "replay".to_owned(), |c| c.device.id().to_owned());
    let (mut options, models) = match &config {
        Some(config) => {
            let chosen = files::models(config, None)?;
            chosen.log();
            (files::options(config)?, chosen.models)
        }
        None => (Options::default(), Models::embedded()?),
    };
    if let Some(purpose) = args.purpose {
        options.purpose = Some(purpose.into());
    }
    if !args.kinds.is_empty() {
        options.kinds = args.kinds.iter().map(|&k| k.into()).collect();
    }
    let mut pipeline = Pipeline::new(options, &models)?;
    let publisher = match &config {
        Some(config) if args.mqtt => Some(Publisher::start(config)?),
        _ => None,
    };
    let mut account = args.account.account()?;
    let deliver = |event: &Event| {
        if let Some(publisher) = &publisher {
            publisher.publish(event);
        }
        print_line(&event.to_json())
    };
    let ending =
        each_event(&args.clip, args.selection, args.pace, &device, &mut pipeline, &mut account, deliver)?;
    if let Some(publisher) = publisher {
        publisher.finish()?;
    }
    ending.exit_code()
}

/// Runs the pipeline over a clip and gives every event to `deliver`. With `pace`, frames come at the
/// clip's own speed. Nothing is dropped.
fn each_event(
    path: &Path,
    selection: Selection,
    pace: bool,
    device: &str,
    pipeline: &mut Pipeline,
    account: &mut Account,
    mut deliver: impl FnMut(&Event) -> anyhow::Result<()>,
) -> anyhow::Result<Ending> {
    let start = Instant::now();
    media::run(path, selection, pipeline, account, |step, frame, _, clip: &Clip| {
        if let Some(frame) = frame.filter(|_| pace) {
            let due = Duration::from_nanos((frame.at_ns - selection.from.unwrap_or(0)).max(0) as u64);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
        if let Step::Event(movement) = step {
            deliver(&Event::new(device, &clip.digest(), None, movement))?;
        }
        Ok(())
    })
}
