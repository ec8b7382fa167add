//! The picture of `inspect --plot`: a strip for each action unit over the time.

use std::path::PathBuf;

use glint::au::{AU_COUNT, AUS};
use glint::canvas::{Canvas, GRID, INK};
use glint::event::Movement;

/// Height of one unit's strip.
const STRIP: usize = 36;
/// Where the traces begin: left of it stand names and scales.
const LEFT: usize = 64;
/// Title and legend.
const TOP: usize = 44;
/// Axis of the time.
const BOTTOM: usize = 34;
/// Room on the right.
const RIGHT: usize = 24;
/// Least and greatest width of the traces; between them a frame is a column.
const COLUMNS: (usize, usize) = (896, 4000);
/// Columns between two marks of the time, at least.
const MARK: f32 = 80.0;

const TRACE: [u8; 3] = [60, 90, 170];
const EVENT: [u8; 3] = [255, 226, 190];
const APEX: [u8; 3] = [230, 120, 60];
const UNMEASURED: [u8; 3] = [226, 226, 226];

/// What is drawn of a clip.
#[derive(Default)]
pub(crate) struct Traces {
    /// Time of each frame.
    pub(crate) times_ms: Vec<f32>,
    /// Intensities of each frame; none where they cannot be measured.
    pub(crate) rows: Vec<Option<[f32; AU_COUNT]>>,
    /// Movements that were found.
    pub(crate) events: Vec<Movement>,
    /// Frames with a face.
    pub(crate) faces: u64,
}

/// The name of a picture that can be written.
pub(crate) fn png_name(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let png = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
    if png { Ok(path) } else { Err("allowed: a name that ends in .png".into()) }
}

/// Seconds between two marks: 1, 2 or 5 of a power of ten.
fn step(seconds: f32, columns: usize) -> f32 {
    let least = (seconds * MARK / columns as f32).max(1e-3);
    let power = 10f32.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= least).unwrap_or(10.0 * power)
}

impl Traces {
    fn span(&self) -> (f32, f32) {
        let first = self.times_ms.first().copied().unwrap_or(0.0);
        (first, self.times_ms.last().copied().unwrap_or(first).max(first + 1.0))
    }

    fn columns(&self) -> usize {
        self.rows.len().clamp(COLUMNS.0, COLUMNS.1)
    }

    /// The column of a time.
    fn column(&self, ms: f32) -> usize {
        let (first, last) = self.span();
        let share = ((ms - first) / (last - first)).clamp(0.0, 1.0);
        LEFT + (share * (self.columns() - 1) as f32) as usize
    }

    /// From a frame to the next one, in columns.
    fn columns_of(&self, i: usize) -> std::ops::Range<usize> {
        let start = self.column(self.times_ms[i]);
        let end = self.times_ms.get(i + 1).map_or(start + 1, |t| self.column(*t));
        start..end.max(start + 1)
    }

    /// The picture.
    pub(crate) fn draw(&self, title: &str) -> Canvas {
        let height = TOP + AU_COUNT * STRIP + BOTTOM;
        let width = LEFT + self.columns() + RIGHT;
        let mut canvas = Canvas::new(width as u32, height as u32);
        self.backgrounds(&mut canvas);
        for k in 0..AU_COUNT {
            self.strip(&mut canvas, k);
        }
        self.axis(&mut canvas);
        self.legend(&mut canvas, title);
        if self.faces == 0 {
            let words = if self.rows.is_empty() { "no frame" } else { "no face was found" };
            let x = LEFT + self.columns() / 2 - 4 * words.len();
            canvas.text(x as u32, (TOP + AU_COUNT * STRIP / 2) as u32, words);
        }
        canvas
    }

    /// Where nothing was measured, and where movements were found.
    fn backgrounds(&self, canvas: &mut Canvas) {
        let (top, bottom) = (TOP as f32, (TOP + AU_COUNT * STRIP) as f32);
        for (i, _) in self.rows.iter().enumerate().filter(|(_, row)| row.is_none()) {
            let x = self.columns_of(i);
            canvas.fill((x.start as f32, top), (x.end as f32, bottom), UNMEASURED);
        }
        for event in &self.events {
            let at = |ns: i64| self.column(ns as f32 / 1e6) as f32;
            canvas.fill((at(event.onset_ns), top), (at(event.offset_ns) + 1.0, bottom), EVENT);
            canvas.fill((at(event.apex_ns), top), (at(event.apex_ns) + 1.0, bottom), APEX);
        }
    }

    fn strip(&self, canvas: &mut Canvas, k: usize) {
        let base = TOP + (k + 1) * STRIP - 2;
        let full = STRIP - 6;
        canvas.text(4, (base - full / 2 - 4) as u32, &format!("AU{:02}", AUS[k]));
        canvas.text(LEFT as u32 - 12, (base - full) as u32, "5");
        canvas.text(LEFT as u32 - 12, base as u32 - 7, "0");
        let (left, right) = (LEFT as f32, (LEFT + self.columns()) as f32);
        canvas.line((left, base as f32), (right, base as f32), GRID);
        for (i, row) in self.rows.iter().enumerate() {
            let Some(row) = row else { continue };
            let top = base - ((row[k] / 5.0).clamp(0.0, 1.0) * full as f32) as usize;
            let x = self.columns_of(i);
            canvas.fill((x.start as f32, top as f32), (x.end as f32, base as f32 + 1.0), TRACE);
        }
    }

    fn axis(&self, canvas: &mut Canvas) {
        let (first, last) = self.span();
        let y = (TOP + AU_COUNT * STRIP) as f32;
        canvas.line((LEFT as f32, y), ((LEFT + self.columns()) as f32, y), INK);
        let step = step((last - first) / 1e3, self.columns());
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let mut mark = (first / 1e3 / step).ceil() * step;
        while mark <= last / 1e3 + step / 1e3 {
            let x = self.column(mark * 1e3);
            canvas.line((x as f32, y), (x as f32, y + 4.0), INK);
            let words = format!("{mark:.decimals$} s");
            canvas.text((x - 4 * words.len()) as u32, y as u32 + 8, &words);
            mark += step;
        }
        canvas.text(LEFT as u32, y as u32 + 22, "time in the clip");
    }

    fn legend(&self, canvas: &mut Canvas, title: &str) {
        // The font has plain letters only.
        let title: String = title.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
        canvas.text(4, 6, &format!("{title}: intensity of each action unit, 0 to 5"));
        let unmeasured = self.rows.iter().filter(|r| r.is_none()).count();
        let share = 100.0 * unmeasured as f32 / self.rows.len().max(1) as f32;
        let events = match self.events.len() {
            0 => "no event".to_owned(),
            1 => "1 event, line at the apex".to_owned(),
            n => format!("{n} events, line at the apex"),
        };
        let entries = [
            (TRACE, "intensity".to_owned()),
            (EVENT, events),
            (UNMEASURED, format!("not measured ({share:.0} %): no face, or it moves")),
        ];
        let mut x = LEFT;
        for (color, words) in entries {
            canvas.fill((x as f32, 22.0), (x as f32 + 10.0, 32.0), color);
            canvas.text(x as u32 + 14, 23, &words);
            x += 14 + 8 * words.len() + 24;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(traces: &Traces) -> (usize, Vec<[u8; 3]>) {
        let png = traces.draw("clip.mp4").png().expect("encodes");
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("a PNG");
        let mut data = vec![0; reader.output_buffer_size().expect("a size")];
        let width = reader.next_frame(&mut data).expect("pixels").width as usize;
        (width, data.as_chunks::<3>().0.to_vec())
    }

    fn of(frames: usize, row: Option<[f32; AU_COUNT]>) -> Traces {
        Traces {
            times_ms: (0..frames).map(|i| i as f32 * 1e3 / 30.0).collect(),
            rows: vec![row; frames],
            events: Vec::new(),
            faces: if row.is_some() { frames as u64 } else { 0 },
        }
    }

    #[test]
    fn a_clip_without_a_face_is_as_wide_as_any_and_says_so() {
        let (width, none) = pixels(&of(95, None));
        assert_eq!(width, LEFT + COLUMNS.0 + RIGHT, "wide enough for its words");
        let (_, blank) = pixels(&Traces { faces: 1, ..of(95, None) });
        assert_ne!(none, blank, "the words in the middle");
        let row = TOP + STRIP / 2;
        assert!((0..COLUMNS.0 - 1).all(|x| none[row * width + LEFT + x] == UNMEASURED), "all of it is gray");
    }

    #[test]
    fn intensities_fill_their_columns_without_gaps() {
        let (width, drawn) = pixels(&of(120, Some([5.0; AU_COUNT])));
        let row = TOP + STRIP - 4;
        assert!((0..COLUMNS.0 - 8).all(|x| drawn[row * width + LEFT + x] == TRACE));
    }

    #[test]
    fn marks_of_the_time_are_round_and_far_enough_apart() {
        assert_eq!((step(20.0, 900), step(3.0, 900), step(600.0, 4000)), (2.0, 0.5, 20.0));
        assert!(png_name("a/b.PNG").is_ok() && png_name("x.svg").is_err() && png_name("png").is_err());
    }
}
