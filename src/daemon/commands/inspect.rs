//! `glintd inspect`: a row of measurements per frame, and a picture of the AU traces.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use glint::au::{AU_COUNT, AUS};
use glint::canvas::Canvas;
use glint::event::{Kind, Movement};
use glint::gate::au_key;
use glint::pipeline::{Models, Options, Pipeline, Step};

use super::media::{self, Ending};
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
    #[arg(long)]
    csv: PathBuf,
    /// Also write a PNG of the AU traces with the events shaded.
    #[arg(long)]
    plot: Option<PathBuf>,
    #[command(flatten)]
    account: AccountArgs,
}

/// Writes the table of a clip, and its plot where asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = Options { kinds: vec![Kind::Micro, Kind::Macro, Kind::Blink], ..Options::default() };
    let mut pipeline = Pipeline::new(options, &Models::embedded()?)?;
    let account = args.account.account()?;
    write(&args.clip, args.selection, &args.csv, args.plot.as_deref(), &mut pipeline, account)?.exit_code()
}

/// What the plot needs of a clip.
#[derive(Default)]
struct Traces {
    times_ms: Vec<f32>,
    rows: Vec<Option<[f32; AU_COUNT]>>,
    events: Vec<Movement>,
}

/// Writes a CSV (`-`: to stdout) with a row per input frame, and a PNG when asked for.
fn write(
    path: &Path,
    selection: Selection,
    csv: &Path,
    plot: Option<&Path>,
    pipeline: &mut Pipeline,
    account: Account,
) -> anyhow::Result<Ending> {
    let file: Box<dyn Write> = if csv == Path::new("-") {
        Box::new(std::io::stdout())
    } else {
        Box::new(std::fs::File::create(csv).with_context(|| csv.display().to_string())?)
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
    out.flush().with_context(|| csv.display().to_string())?;
    if let Some(path) = plot {
        draw(&traces, path)?;
    }
    Ok(ending)
}

/// Height of one AU's strip, width of the labels, largest width of the traces.
const STRIP: usize = 36;
const LABEL: usize = 48;
const MAX_COLUMNS: usize = 4000;

/// One strip per AU, 0 to 5 upwards, events shaded from onset to offset with a line at the apex.
fn draw(traces: &Traces, path: &Path) -> anyhow::Result<()> {
    let columns = traces.rows.len().clamp(1, MAX_COLUMNS);
    let (width, height) = (LABEL + columns + 8, AU_COUNT * STRIP + 24);
    let mut canvas = Canvas::new(width as u32, height as u32);
    let (first, last) =
        (traces.times_ms.first().copied().unwrap_or(0.0), traces.times_ms.last().copied().unwrap_or(1.0));
    let column = |ms: f32| {
        let share = ((ms - first) / (last - first).max(1.0)).clamp(0.0, 1.0);
        LABEL + (share * (columns - 1) as f32) as usize
    };
    for event in &traces.events {
        let at = |ns: i64| column(ns as f32 / 1e6);
        for x in at(event.onset_ns)..=at(event.offset_ns) {
            let color = if x == at(event.apex_ns) { [230, 120, 60] } else { [255, 226, 190] };
            (0..AU_COUNT * STRIP).for_each(|y| canvas.pixel(x as u32, y as u32, color));
        }
    }
    for (k, au) in AUS.iter().enumerate() {
        let base = (k + 1) * STRIP - 2;
        canvas.text(4, base as u32 - 12, &format!("AU{au}"));
        (LABEL..width - 8).for_each(|x| canvas.pixel(x as u32, base as u32, [210, 210, 210]));
        for (i, values) in traces.rows.iter().enumerate() {
            let Some(values) = values else { continue };
            let top = base - ((values[k] / 5.0).clamp(0.0, 1.0) * (STRIP - 4) as f32) as usize;
            (top..=base)
                .for_each(|y| canvas.pixel(column(traces.times_ms[i]) as u32, y as u32, [60, 90, 170]));
        }
    }
    canvas.text(LABEL as u32, height as u32 - 14, &format!("{:.2} s to {:.2} s", first / 1e3, last / 1e3));
    Ok(canvas.save(path)?)
}
