//! `glintd inspect`: a row of measurements per frame, and a picture of the AU traces.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use glint::au::{AU_COUNT, AUS};
use glint::event::Kind;
use glint::gate::au_key;
use glint::pipeline::{Models, Options, Pipeline, Step};

use super::media::{self, Ending};
use super::plot::{Traces, png_name};
use super::summary::{Account, AccountArgs};
use crate::daemon::sources::footage::Selection;

/// Arguments of `glintd inspect`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A video file, an address such as rtsp://..., a folder of numbered images, or - for Y4M on standard input.
    clip: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// The CSV file to write, or - for standard output.
    #[arg(long, required_unless_present = "plot")]
    csv: Option<PathBuf>,
    /// The PNG to write: the AU traces with the events shaded.
    #[arg(long, value_name = "FILE.png", value_parser = png_name)]
    plot: Option<PathBuf>,
    #[command(flatten)]
    account: AccountArgs,
}

/// Writes the table of a clip, and its plot where asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = Options { kinds: vec![Kind::Micro, Kind::Macro, Kind::Blink], ..Options::default() };
    let mut pipeline = Pipeline::new(options, &Models::embedded()?)?;
    let account = args.account.account()?;
    let (csv, plot) = (args.csv.as_deref(), args.plot.as_deref());
    write(&args.clip, args.selection, csv, plot, &mut pipeline, account)?.exit_code()
}

/// Writes a CSV (`-`: to stdout) with a row per input frame and a PNG, each when asked for.
fn write(
    path: &Path,
    selection: Selection,
    csv: Option<&Path>,
    plot: Option<&Path>,
    pipeline: &mut Pipeline,
    account: Account,
) -> anyhow::Result<Ending> {
    let name = || csv.unwrap_or(Path::new("")).display().to_string();
    let file: Box<dyn Write> = match csv {
        None => Box::new(std::io::sink()),
        Some(csv) if csv == Path::new("-") => Box::new(std::io::stdout()),
        Some(csv) => Box::new(std::fs::File::create(csv).with_context(name)?),
    };
    let mut out = std::io::BufWriter::new(file);
    let names = AUS.map(au_key).join(",");
    writeln!(out, "frame,t_ms,face,x,y,w,h,track,quality,motion_px,{names},gate,state")?;
    let mut traces = Traces::default();
    let keep = plot.is_some();
    let ending = media::run(path, selection, pipeline, account, |step, frame, pipeline, _| {
        let t_ms = frame.at_ns as f64 / 1e6;
        // A movement that is found at the very end has no frame of its own.
        let seen_before = traces.times_ms.last().is_some_and(|t| keep && *t == t_ms as f32);
        if keep && !seen_before {
            traces.times_ms.push(t_ms as f32);
            traces.rows.push(pipeline.observation().intensities);
            traces.faces += u64::from(pipeline.observation().bounds.is_some());
        }
        let word = step.as_str();
        if let Step::Event(movement) = step {
            traces.events.extend(keep.then_some(movement));
        }
        let o = pipeline.observation();
        write!(out, "{},{t_ms:.3},", frame.seq)?;
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
        writeln!(out, ",{},{word}", u8::from(o.gate_open))?;
        Ok(())
    })?;
    out.flush().with_context(name)?;
    if let Some(plot) = plot {
        let title = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        traces.draw(&title).save(plot)?;
    }
    Ok(ending)
}
