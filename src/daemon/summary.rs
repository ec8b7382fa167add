//! What a run over a clip has seen: its last line, and a line for each candidate.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use glint::event::{AuReading, Kind};
use glint::pipeline::{Counters, MIN_FPS, Pipeline, readings};
use glint::spot::{Candidate, Rejection};
use serde_json::{Map, Value, json};

/// What the end of a run says of it. A clip without a face, one that is too slow and one in which nothing happens do not
/// look alike.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Summary {
    /// Counts of the pipeline.
    pub(crate) counters: Counters,
    /// From the first frame to the last one.
    pub(crate) seconds: f64,
}

impl Summary {
    fn share(&self, part: u64) -> f64 {
        part as f64 / self.counters.pictures().max(1) as f64
    }

    fn shares(&self) -> [(&'static str, f64); 5] {
        let c = &self.counters;
        [
            ("no face", self.share(c.pictures() - c.frames_with_face.min(c.pictures()))),
            ("moving", self.share(c.frames_moving)),
            ("too dark", self.share(c.frames_dark)),
            ("too slow", self.share(c.frames_slow)),
            ("gate open", self.share(c.gate_open)),
        ]
    }

    /// Whether the pictures were too few for most of the time: those that came slowly, or one that stood.
    fn is_slow(&self) -> bool {
        let c = &self.counters;
        let stood = c.frames_repeated > 0 && (c.pictures() as f64) < f64::from(MIN_FPS) * self.seconds;
        stood || self.share(c.frames_slow) > 0.5
    }

    /// One sentence.
    pub(crate) fn line(&self) -> String {
        let c = &self.counters;
        let mut out = format!("{} frames, {:.1} s", c.frames, self.seconds);
        if c.frames_repeated > 0 {
            _ = write!(out, ", {} of them repeated", c.frames_repeated);
        }
        for (what, share) in self.shares() {
            _ = write!(out, ", {what} {:.0} %", 100.0 * share);
        }
        _ = write!(out, "; {} micro, {} macro, {} blink", c.events_micro, c.events_macro, c.events_blink);
        let rejected: Vec<String> = c
            .rejected()
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .map(|(cause, n)| format!("{cause} {n}"))
            .collect();
        _ = write!(
            out,
            "; rejected: {}",
            if rejected.is_empty() { "none".into() } else { rejected.join(", ") }
        );
        if c.frames_with_face == 0 {
            out.push_str(". No face was found");
        } else if self.is_slow() {
            _ = write!(out, ". Under {MIN_FPS} frames/s nothing is told");
        }
        out
    }

    /// The same as one object.
    pub(crate) fn json(&self) -> Value {
        let c = &self.counters;
        let rejected: Map<String, Value> =
            c.rejected().into_iter().map(|(cause, n)| (cause.to_owned(), n.into())).collect();
        let mut out = json!({
            "frames": c.frames, "frames_repeated": c.frames_repeated, "seconds": self.seconds,
            "events": {"micro": c.events_micro, "macro": c.events_macro, "blink": c.events_blink},
            "rejected": rejected,
        });
        for (what, share) in self.shares() {
            out[format!("{}_share", what.replace(' ', "_"))] = json!((share * 1e4).round() / 1e4);
        }
        out
    }
}

/// Arguments of the commands that end with a summary.
#[derive(clap::Args)]
pub(crate) struct AccountArgs {
    /// Write one line of JSON per candidate, published or not: times, AUs, verdict, cause and score.
    #[arg(long, value_name = "FILE")]
    explain: Option<PathBuf>,
    /// Print the summary, the last line on stderr, as a JSON object.
    #[arg(long)]
    json: bool,
}

impl AccountArgs {
    /// Whether a file is written.
    pub(crate) fn writes(&self) -> bool {
        self.explain.is_some()
    }

    /// The account that these arguments ask for.
    pub(crate) fn account(&self) -> anyhow::Result<Account> {
        let explanations = self.explain.as_deref().map(Explanations::create).transpose()?;
        Ok(Account { explanations, as_json: self.json, ..Account::default() })
    }
}

/// What a run over a clip tells beside its results.
#[derive(Default)]
pub(crate) struct Account {
    /// Every candidate and why.
    pub(crate) explanations: Option<Explanations>,
    /// The summary as JSON instead of a sentence.
    pub(crate) as_json: bool,
    /// Every candidate, kept where this is not `None`.
    pub(crate) concluded: Option<Vec<Concluded>>,
    /// What the closing line says; `None` before the end.
    pub(crate) summary: Option<Summary>,
}

impl Account {
    /// Takes the candidates that the last frame concluded.
    pub(crate) fn add(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        if let Some(kept) = &mut self.concluded {
            let fps = pipeline.observation().fps;
            kept.extend(pipeline.concluded().iter().map(|(track, c)| Concluded::new(*track, c, fps)));
        }
        self.explanations.as_mut().map_or(Ok(()), |e| e.add(pipeline))
    }

    /// Prints the summary, the last line on stderr.
    pub(crate) fn finish(&mut self, pipeline: &Pipeline, seconds: f64) -> anyhow::Result<()> {
        if let Some(explanations) = self.explanations.take() {
            explanations.finish()?;
        }
        let summary = Summary { counters: *pipeline.counters(), seconds };
        self.summary = Some(summary);
        eprintln!("{}", if self.as_json { summary.json().to_string() } else { summary.line() });
        Ok(())
    }
}

/// A candidate as a figure shows it.
#[derive(Debug, Clone)]
pub(crate) struct Concluded {
    /// Track of the face.
    pub(crate) track: u32,
    /// Micro, macro or blink.
    pub(crate) kind: Kind,
    /// Start of the movement.
    pub(crate) onset_ns: i64,
    /// Greatest extent.
    pub(crate) apex_ns: i64,
    /// End.
    pub(crate) offset_ns: i64,
    /// Its action units, strongest first.
    pub(crate) aus: Vec<AuReading>,
    /// Why it is no event, if it is none.
    pub(crate) cause: &'static str,
}

impl Concluded {
    /// A candidate at a frame rate.
    fn new(track: u32, c: &Candidate, fps: f32) -> Self {
        // What the judge accepts can still fail by the rate, or show no action unit.
        let unnamed = if fps < MIN_FPS { Rejection::Timing } else { Rejection::Noise };
        Self {
            track,
            kind: c.kind,
            onset_ns: c.onset_ns,
            apex_ns: c.apex_ns,
            offset_ns: c.offset_ns,
            aus: readings(&c.peak),
            cause: c.cause.unwrap_or(unnamed).as_str(),
        }
    }
}

/// A line of JSON for each candidate, published or not, and why.
pub(crate) struct Explanations {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Explanations {
    /// Creates the file.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file) })
    }

    /// Writes the candidates that the last frame concluded.
    pub(crate) fn add(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        for (track, candidate) in pipeline.concluded() {
            writeln!(self.out, "{}", line(*track, candidate))
                .with_context(|| self.path.display().to_string())?;
        }
        Ok(())
    }

    /// The end.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.out.flush().with_context(|| self.path.display().to_string())
    }
}

fn line(track: u32, c: &Candidate) -> Value {
    let ms = |ns: i64| (ns as f64 / 1e4).round() / 1e2;
    let verdict = match (c.kind, c.cause) {
        (Kind::Micro, None) => "micro",
        (Kind::Macro, _) => "macro",
        (Kind::Blink, _) => "blink",
        (Kind::Micro, Some(_)) => "rejected",
    };
    json!({
        "track": track, "onset_ms": ms(c.onset_ns), "apex_ms": ms(c.apex_ns), "offset_ms": ms(c.offset_ns),
        "aus": readings(&c.peak), "verdict": verdict, "cause": c.cause.map(|cause| cause.as_str()),
        "score": (f64::from(c.score) * 1e3).round() / 1e3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_stands_is_too_slow_and_a_steady_repetition_is_not() {
        let line = |pictures: u64, seconds: f64| {
            let frames = (100.0 * seconds) as u64;
            let counters = Counters {
                frames,
                frames_repeated: frames - pictures,
                frames_with_face: pictures,
                ..Counters::default()
            };
            Summary { counters, seconds }.line()
        };
        assert!(
            line(1, 4.0).starts_with("400 frames, 4.0 s, 399 of them repeated, no face 0 %"),
            "{}",
            line(1, 4.0)
        );
        assert!(line(1, 4.0).ends_with(". Under 20 frames/s nothing is told"));
        assert!(line(200, 4.0).ends_with("rejected: none"), "{}", line(200, 4.0));
    }
}
