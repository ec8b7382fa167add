//! `glintd inspect`: a row of measurements per frame, a report, and a picture of the AU traces.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::{PathBufValueParser, TypedValueParser, ValueParser};
use glint::au::{AU_COUNT, AUS};
use glint::event::Kind;
use glint::frame::Frame;
use glint::gate::au_key;
use glint::pipeline::{Models, Options, Pipeline, Step};

use super::media;
use super::report::{Record, figure, page};
use super::summary::AccountArgs;
use crate::daemon::sources::footage::Selection;

/// Arguments of `glintd inspect`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A video file, an address such as rtsp://..., a folder of numbered images, or - for Y4M on standard input.
    clip: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// The CSV file to write, or - for standard output.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["report", "plot"])]
    csv: Option<PathBuf>,
    /// Write a report: one HTML page with traces, events and rejected candidates, which needs no network.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Write the figure of the report alone, as SVG or PNG by the ending of the name.
    #[arg(long, value_name = "FILE.svg|FILE.png", value_parser = picture())]
    plot: Option<PathBuf>,
    #[command(flatten)]
    account: AccountArgs,
}

/// A path whose ending is that of a format in which plots are written.
fn picture() -> ValueParser {
    let known = |path: PathBuf| {
        if is_svg(&path) || has_ending(&path, "png") {
            Ok(path)
        } else {
            Err("ends neither in .svg nor in .png")
        }
    };
    PathBufValueParser::new().try_map(known).into()
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

fn is_svg(path: &Path) -> bool {
    has_ending(path, "svg")
}

/// A file that was created before the clip is read: a missing folder is not found out half an hour later.
struct Output<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Output<'a> {
    fn create(path: &'a Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(Self { path, file })
    }

    fn write(mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).with_context(|| self.path.display().to_string())
    }
}

/// Writes the table of a clip, its report and its plot, each where asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = Options { kinds: vec![Kind::Micro, Kind::Macro, Kind::Blink], ..Options::default() };
    let mut pipeline = Pipeline::new(options, &Models::embedded()?)?;
    let mut account = args.account.account()?;
    let mut table = args.csv.as_deref().map(Table::create).transpose()?;
    let report = args.report.as_deref().map(Output::create).transpose()?;
    let plot = args.plot.as_deref().map(Output::create).transpose()?;
    let is_shown = report.is_some() || plot.is_some();
    account.concluded = is_shown.then(Vec::new);
    let mut record = Record::default();
    let ending =
        media::run(&args.clip, args.selection, &mut pipeline, &mut account, |step, frame, pipeline, _| {
            if is_shown {
                record.add(&step, frame, pipeline);
            }
            table.as_mut().map_or(Ok(()), |table| table.row(&step, frame, pipeline))
        })?;
    if let Some(table) = table {
        table.finish()?;
    }
    record.conclude(account.concluded.unwrap_or_default());
    let name = page::name(&args.clip);
    if let Some(report) = report {
        let summary = account.summary.unwrap_or_default().line();
        report.write(page::html(&record, &name, &summary).as_bytes())?;
    }
    if let Some(plot) = plot {
        let drawing = figure::whole(&record, &format!("{name}: action units, intensity 0 to 5"));
        if is_svg(plot.path) {
            plot.write(drawing.svg(&format!("Action units of {name} over time")).as_bytes())?;
        } else {
            let png = drawing.canvas().png().with_context(|| plot.path.display().to_string())?;
            plot.write(&png)?;
        }
    }
    ending.exit_code()
}

/// The CSV: a row per input frame.
struct Table<'a> {
    path: &'a Path,
    out: std::io::BufWriter<Box<dyn Write>>,
}

impl<'a> Table<'a> {
    /// Creates the file (`-`: stdout) with its header.
    fn create(path: &'a Path) -> anyhow::Result<Self> {
        let file: Box<dyn Write> = if path == Path::new("-") {
            Box::new(std::io::stdout())
        } else {
            Box::new(File::create(path).with_context(|| path.display().to_string())?)
        };
        let mut out = std::io::BufWriter::new(file);
        let names = AUS.map(au_key).join(",");
        writeln!(out, "frame,t_ms,face,x,y,w,h,track,quality,motion_px,{names},gate,state")?;
        Ok(Self { path, out })
    }

    fn row(&mut self, step: &Step, frame: &Frame, pipeline: &Pipeline) -> anyhow::Result<()> {
        let (out, o) = (&mut self.out, pipeline.observation());
        write!(out, "{},{:.3},", frame.seq, frame.at_ns as f64 / 1e6)?;
        match o.bounds {
            Some(b) => write!(
                out,
                "1,{:.1},{:.1},{:.1},{:.1},{},{:.3},{:.3}",
                b.x, b.y, b.w, b.h, o.track, o.quality, o.motion_px
            )?,
            None => write!(out, "0,,,,,,,")?,
        }
        match o.intensities {
            Some(values) => values.iter().try_for_each(|v| write!(out, ",{v:.2}"))?,
            None => write!(out, "{}", ",".repeat(AU_COUNT))?,
        }
        writeln!(out, ",{},{}", u8::from(o.gate_open), step.as_str())?;
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.out.flush().with_context(|| self.path.display().to_string())
    }
}
