//! `glintd inspect`: a row of measurements per frame, a report, a picture of the AU traces, and events for other programs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use glint::event::{Event, Kind};
use glint::pipeline::{Models, Options, Pipeline, Step};

use super::export::{Content, Export, Target};
use super::media;
use super::output::{self, Output};
use super::table::{Format, Table};
use crate::daemon::report::{Record, figure, page};
use crate::daemon::sources::footage::Selection;
use crate::daemon::summary::AccountArgs;

/// Arguments of `glintd inspect`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A video file, an address such as rtsp://..., a folder of numbered images, or - for Y4M on standard input.
    clip: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// The CSV file to write, or - for standard output.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Columns of the CSV; without --csv it goes to standard output [default: glint].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write the events for another program, by the ending of the name: .eaf (ELAN), .vtt (WebVTT), .tsv (BIDS, with a
    /// .json beside it), .edf (EDF+) or .jsonl (JSON lines). May be repeated.
    #[arg(long, value_name = "FILE", value_parser = Target::parser())]
    export: Vec<Target>,
    /// Faces to follow at once, 1 to 8.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=8))]
    faces: u8,
    /// Write a report: one HTML page with traces, events and rejected candidates, which needs no network.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Show the face in the report, at the first 50 micro-expressions: such a page is personal data.
    #[arg(long, requires = "report")]
    with_faces: bool,
    /// Write the figure of the report alone, as SVG or PNG by the ending of the name.
    #[arg(long, value_name = "FILE.svg|FILE.png", value_parser = output::picture())]
    plot: Option<PathBuf>,
    #[command(flatten)]
    account: AccountArgs,
}

impl Args {
    /// Whether anything is written at all. clap could name one option alone that is missing.
    fn writes(&self) -> bool {
        let files = [self.csv.is_some(), self.report.is_some(), self.plot.is_some(), !self.export.is_empty()];
        files.contains(&true) || self.format.is_some() || self.account.writes()
    }
}

/// Writes the table of a clip, its report, its plot and its exports, each where asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !args.writes() {
        eprintln!(
            "glintd: nothing to write; give --csv FILE (- for standard output), --report FILE.html, \
             --plot FILE.svg, --export FILE or --explain FILE"
        );
        return Ok(ExitCode::from(2));
    }
    let options = Options {
        kinds: vec![Kind::Micro, Kind::Macro, Kind::Blink],
        max_tracks: args.faces.into(),
        ..Options::default()
    };
    let mut pipeline = Pipeline::new(options, &Models::embedded()?)?;
    let mut account = args.account.account()?;
    let to_stdout = args.format.map(|_| Path::new("-"));
    let create = |path| Table::create(path, args.format.unwrap_or_default());
    let mut table = args.csv.as_deref().or(to_stdout).map(create).transpose()?;
    let report = args.report.as_deref().map(Output::create).transpose()?;
    let plot = args.plot.as_deref().map(Output::create).transpose()?;
    let exports = args.export.iter().map(Export::create).collect::<anyhow::Result<Vec<_>>>()?;
    let is_shown = report.is_some() || plot.is_some();
    account.concluded = is_shown.then(Vec::new);
    let (mut record, mut events) = (Record::new(args.with_faces), Vec::new());
    let ending = media::run(
        &args.clip,
        args.selection,
        &mut pipeline,
        &mut account,
        |step, frame, pipeline, clip| {
            if is_shown {
                record.add(&step, frame, pipeline);
            }
            if let (Some(table), Some(frame)) = (&mut table, frame) {
                table.row(&step, frame, pipeline)?;
            }
            if let Step::Event(movement) = step {
                // The device of `replay`: both give one movement the same id.
                events.push(Event::new("replay", &clip.digest(), None, movement));
            }
            Ok(())
        },
    )?;
    if let Some(table) = table {
        table.finish()?;
    }
    record.conclude(account.concluded.unwrap_or_default());
    let name = page::name(&args.clip);
    let content = Content { name: &name, clip: &args.clip, events: &events };
    exports.into_iter().try_for_each(|export| export.write(&content))?;
    if let Some(report) = report {
        let summary = account.summary.unwrap_or_default().line();
        report.write(page::html(&record, &name, &summary).as_bytes())?;
    }
    if let Some(plot) = plot {
        let drawing = figure::whole(&record, &format!("{name}: action units, intensity 0 to 5"));
        plot.draw(&drawing, &format!("Action units of {name} over time"))?;
    }
    ending.exit_code()
}
