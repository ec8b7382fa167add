//! The CSV of `glintd inspect`: glint's own columns, or those of OpenFace.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use glint::au::{AU_COUNT, AUS, au_index};
use glint::frame::Frame;
use glint::intensity::{au_key, by_au};
use glint::pipeline::{FaceReading, Pipeline, Step};

/// Columns of the CSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// Glint's own: one row a frame, of the largest face.
    #[default]
    Glint,
    /// Columns compatible with OpenFace: one row per frame and face.
    Openface,
}

/// AUs whose intensity OpenFace writes (`AU01_r`), in its order. glint measures each of them.
const INTENSITIES: [u8; 17] = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45];
/// AUs whose presence it writes (`AU01_c`); AU 28 is the one that glint does not measure.
const PRESENCES: [u8; 18] = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45];
/// Intensity from which an AU is present: FACS A.
const PRESENT: f32 = 0.5;

/// The CSV under way.
pub(crate) struct Table<'a> {
    path: &'a Path,
    format: Format,
    out: BufWriter<Box<dyn Write>>,
}

impl<'a> Table<'a> {
    /// Creates the file (`-`: stdout) with its header.
    pub(crate) fn create(path: &'a Path, format: Format) -> anyhow::Result<Self> {
        let file: Box<dyn Write> = if path == Path::new("-") {
            Box::new(std::io::stdout())
        } else {
            Box::new(File::create(path).with_context(|| path.display().to_string())?)
        };
        let mut out = BufWriter::new(file);
        let header = match format {
            Format::Glint => glint_header(),
            Format::Openface => openface_header(),
        };
        writeln!(out, "{header}").with_context(|| path.display().to_string())?;
        Ok(Self { path, format, out })
    }

    /// Writes what was measured in a frame.
    pub(crate) fn row(&mut self, step: &Step, frame: &Frame, pipeline: &Pipeline) -> anyhow::Result<()> {
        match self.format {
            Format::Glint => glint_row(&mut self.out, step, frame, pipeline),
            Format::Openface => openface_rows(&mut self.out, frame, &pipeline.faces()),
        }
        .with_context(|| self.path.display().to_string())
    }

    /// The end of the file.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.out.flush().with_context(|| self.path.display().to_string())
    }
}

fn glint_header() -> String {
    format!("frame,t_ms,face,x,y,w,h,track,quality,motion_px,{},gate,state", AUS.map(au_key).join(","))
}

fn glint_row(out: &mut impl Write, step: &Step, frame: &Frame, pipeline: &Pipeline) -> std::io::Result<()> {
    let o = pipeline.observation();
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
    writeln!(out, ",{},{}", u8::from(o.gate_open), step.as_str())
}

fn openface_header() -> String {
    let intensities = INTENSITIES.map(|au| format!("AU{au:02}_r")).join(",");
    let presences = PRESENCES.map(|au| format!("AU{au:02}_c")).join(",");
    format!(
        "frame,face_id,timestamp,confidence,success,pose_Tx,pose_Ty,pose_Tz,pose_Rx,pose_Ry,pose_Rz,{intensities},{presences}"
    )
}

/// A row for each face of a frame, or one that says that there is none. What is not measured is empty.
fn openface_rows(out: &mut impl Write, frame: &Frame, faces: &[FaceReading]) -> std::io::Result<()> {
    // OpenFace counts frames from 1.
    let (number, seconds) = (frame.seq + 1, frame.at_ns as f64 / 1e9);
    if faces.is_empty() {
        let cells = ",".repeat(6 + INTENSITIES.len() + PRESENCES.len());
        return writeln!(out, "{number},0,{seconds:.6},0,0{cells}");
    }
    for face in faces {
        let (success, values) = (u8::from(face.units.is_some()), face.units.as_ref().map(by_au));
        write!(out, "{number},{},{seconds:.6},{:.3},{success}", face.track, face.quality)?;
        write!(out, ",,,,,,{:.4}", face.roll)?;
        let value = |au: u8| Some(values?[au_index(au)?]);
        for au in INTENSITIES {
            write!(out, ",{}", value(au).map_or_else(String::new, |v| format!("{v:.2}")))?;
        }
        for au in PRESENCES {
            let present = value(au).map(|v| u8::from(v >= PRESENT));
            write!(out, ",{}", present.map_or_else(String::new, |p| p.to_string()))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use glint::au::{UNIT_COUNT, UNITS};
    use glint::geometry::Rect;

    #[test]
    fn openface_rows_have_the_cells_of_the_header() {
        let mut units = [0.0; UNIT_COUNT];
        for (unit, value) in UNITS.iter().zip(&mut units) {
            if unit.au == 12 {
                *value = 1.25;
            }
        }
        let bounds = Rect { x: 1.0, y: 2.0, w: 3.0, h: 4.0 };
        let seen = FaceReading {
            track: 3,
            bounds,
            quality: 0.5,
            roll: 0.1,
            eye_distance_px: 60.0,
            units: Some(units),
        };
        let moving = FaceReading { track: 4, units: None, ..seen.clone() };
        let frame = Frame { seq: 9, at_ns: 333_666_667, ..Frame::default() };
        let mut out = Vec::new();
        openface_rows(&mut out, &frame, &[seen, moving]).expect("memory");
        openface_rows(&mut out, &frame, &[]).expect("memory");
        let (text, header) = (String::from_utf8(out).expect("ASCII"), openface_header());
        let names: Vec<&str> = header.split(',').collect();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert!(rows.len() == 3 && rows.iter().all(|row| row.len() == names.len()), "{text}");
        let cell =
            |row: usize, name: &str| rows[row][names.iter().position(|n| *n == name).expect("a column")];
        assert_eq!([cell(0, "frame"), cell(0, "face_id"), cell(0, "timestamp")], ["10", "3", "0.333667"]);
        assert_eq!([cell(0, "AU12_r"), cell(0, "AU12_c"), cell(0, "AU01_c")], ["1.25", "1", "0"]);
        assert_eq!([cell(0, "AU28_c"), cell(0, "pose_Tx"), cell(0, "pose_Rz")], ["", "", "0.1000"]);
        assert_eq!([cell(1, "success"), cell(1, "AU12_r"), cell(1, "face_id")], ["0", "", "4"]);
        assert_eq!([cell(2, "success"), cell(2, "confidence"), cell(2, "face_id")], ["0", "0", "0"]);
    }
}
