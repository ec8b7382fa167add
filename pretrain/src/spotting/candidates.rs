//! Candidates of traces: what gate and spotter make of them, what a judge says, and how right it is.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use glint::au::UNIT_COUNT;
use glint::spot::{Candidate, Cause, Judge, NAMES, Rejection, SpotSettings, is_same};
use rayon::prelude::*;

use super::score::iou;
use super::trace::Trace;
use crate::corpus::plan::{self, Distractor, Micro, Span};

/// Overlap with a movement from which a candidate is that movement, and under which it is another thing.
const IS: f64 = 0.5;
/// See [`IS`].
const IS_NOT: f64 = 0.2;
/// What happens so long before or after a candidate may have caused it.
const REACH_NS: i64 = 80_000_000;

/// What a candidate was; `None` where that cannot be said: a movement half met, or a candidate that
/// a rule rejects before the judge is asked.
pub fn truth(c: &Candidate, micros: &[Micro], spans: &[Span]) -> Option<Cause> {
    if c.score == 0.0 {
        return None;
    }
    let met = micros.iter().map(|m| iou((c.onset_ns, c.offset_ns), (m.onset_ns, m.offset_ns)));
    let met = met.fold(0.0, f64::max);
    if met >= IS {
        return Some(Cause::Micro);
    }
    if met > IS_NOT {
        return None;
    }
    let overlap =
        |s: &&Span| (c.offset_ns.min(s.to_ns + REACH_NS) - c.onset_ns.max(s.from_ns - REACH_NS)).max(0);
    let likeliest = spans.iter().filter(|s| overlap(s) > 0).max_by_key(|s| {
        // A blink or a nod lies within what lasts longer.
        let short = u8::from(matches!(s.what, Distractor::Blink));
        (short, overlap(s))
    });
    Some(match likeliest.map(|s| s.what) {
        None => Cause::Noise,
        Some(Distractor::Blink) => Cause::Blink,
        Some(Distractor::Macro) => Cause::Macro,
        Some(Distractor::Speech) => Cause::Speech,
        Some(Distractor::Turn) => Cause::Turn,
        Some(Distractor::Light) => Cause::Light,
        Some(Distractor::Hand | Distractor::Glare) => Cause::Occlusion,
    })
}

/// What gate, spotter and a network make of a trace.
pub struct Judged {
    /// All of them, oldest first.
    pub candidates: Vec<Candidate>,
    /// Share of the frames with an open gate.
    pub open: f64,
}

/// All candidates of each trace, judged by a network.
pub fn candidates(traces: &[Trace], thresholds: [f32; UNIT_COUNT], judge: &Judge) -> Vec<Judged> {
    let judged = |t: &Trace| {
        let (candidates, open) = t.candidates(thresholds, &mut judge.clone());
        Judged { candidates, open }
    };
    traces.par_iter().map(judged).collect()
}

/// Whether no other candidate meets the same movement better: what moves beside it is not told and teaches nothing.
pub fn is_best(c: &Candidate, trace: &Trace, all: &[Candidate]) -> bool {
    let overlap = |c: &Candidate, m: &plan::Micro| iou((c.onset_ns, c.offset_ns), (m.onset_ns, m.offset_ns));
    let met = trace.micros.iter().max_by(|a, b| overlap(c, a).total_cmp(&overlap(c, b)));
    met.is_none_or(|m| all.iter().all(|other| overlap(other, m) <= overlap(c, m)))
}

/// What a threshold gives.
#[derive(Debug, Clone, Copy, Default)]
pub struct Score {
    /// Movements that can be found,
    pub movements: usize,
    /// and those that were.
    pub found: usize,
    /// Movements that any candidate met.
    pub met: usize,
    /// Published, and no movement.
    pub wrong: usize,
    /// All candidates.
    pub candidates: usize,
    /// Minutes watched.
    pub minutes: f64,
    /// Minutes with an open gate.
    pub open: f64,
}

impl Score {
    /// Harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        2.0 * self.found as f64 / (self.movements + self.found + self.wrong).max(1) as f64
    }

    /// A count as a rate.
    pub fn per_min(&self, count: usize) -> f64 {
        count as f64 / self.minutes.max(1e-9)
    }

    /// Share of the movements that any candidate met.
    pub fn reached(&self) -> f64 {
        self.met as f64 / self.movements.max(1) as f64
    }

    /// All of it in a line.
    pub fn line(&self) -> String {
        format!(
            "F1 {:.3}, recall {:.3} of {} ({:.3} of {:.1} candidates a minute), {:.2} false alarms a minute in {:.1}, \
             gate open {:.3}",
            self.f1(),
            self.found as f64 / self.movements.max(1) as f64,
            self.movements,
            self.reached(),
            self.per_min(self.candidates),
            self.per_min(self.wrong),
            self.minutes,
            self.open / self.minutes.max(1e-9)
        )
    }
}

/// Compares candidates with the truth; movements that travel less than `least_px` are neither right nor wrong.
pub fn score(pairs: &[(&Trace, &Judged)], threshold: f32, least_px: f32) -> Score {
    let limits = SpotSettings::default();
    let mut out = Score::default();
    for (trace, judged) in pairs {
        let minutes = trace.seconds / 60.0;
        out.minutes += minutes;
        out.open += minutes * judged.open;
        out.candidates += judged.candidates.len();
        let short = |c: &&Candidate| ((c.offset_ns - c.onset_ns) as f32 / 1e6) <= limits.max_ms;
        let mut published: Vec<&Candidate> = Vec::new();
        for c in judged.candidates.iter().filter(|c| c.score >= threshold && short(c)) {
            let span = |c: &Candidate| (c.onset_ns, c.offset_ns);
            if !published.iter().any(|p| is_same(span(p), span(c))) {
                published.push(c);
            }
        }
        let meets =
            |c: &Candidate, m: &plan::Micro| iou((c.onset_ns, c.offset_ns), (m.onset_ns, m.offset_ns)) >= 0.5;
        let mut used = vec![false; published.len()];
        for m in &trace.micros {
            let met = (0..published.len()).find(|&k| !used[k] && meets(published[k], m));
            met.into_iter().for_each(|k| used[k] = true);
            if m.travel_px >= least_px {
                out.movements += 1;
                out.met += usize::from(judged.candidates.iter().any(|c| meets(c, m)));
                out.found += usize::from(met.is_some());
            }
        }
        out.wrong += used.iter().filter(|u| !**u).count();
    }
    out
}

/// All candidates, a line each.
pub struct Table(Option<(PathBuf, BufWriter<File>)>);

impl Table {
    /// The table at `path`, with its first line; without a path nothing is written.
    pub fn create(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        let name = || path.display().to_string();
        let mut out = BufWriter::new(File::create(path).with_context(name)?);
        writeln!(
            out,
            "folder,sequence,fps,onset_ms,apex_ms,offset_ms,truth,rejected,score,{}",
            NAMES.join(",")
        )
        .with_context(name)?;
        Ok(Self(Some((path.to_owned(), out))))
    }

    /// Adds the candidates of a folder.
    pub fn add(&mut self, folder: &str, traces: &[Trace], judged: &[Judged]) -> Result<()> {
        let Some((path, out)) = &mut self.0 else { return Ok(()) };
        for (i, (trace, judged)) in traces.iter().zip(judged).enumerate() {
            for c in &judged.candidates {
                let truth = truth(c, &trace.micros, &trace.spans).map_or("", Cause::as_str);
                let rejected = c.cause.map_or("", Rejection::as_str);
                let [onset, apex, offset] = [c.onset_ns, c.apex_ns, c.offset_ns].map(|t| t as f64 / 1e6);
                write!(out, "{folder},{i} {},{},{onset:.1},{apex:.1},{offset:.1}", trace.person, trace.fps)
                    .and_then(|()| write!(out, ",{truth},{rejected},{:.4}", c.score))
                    .and_then(|()| c.measures.iter().try_for_each(|m| write!(out, ",{m:.4}")))
                    .and_then(|()| writeln!(out))
                    .with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }

    /// Writes what is left.
    pub fn finish(self) -> Result<()> {
        let Some((path, mut out)) = self.0 else { return Ok(()) };
        out.flush().with_context(|| path.display().to_string())
    }
}
