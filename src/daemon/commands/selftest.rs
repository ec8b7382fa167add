//! `glintd selftest`: how well would glint see here? Known movements are put into a clip of the site, and counted again.

mod calm;
mod picture;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use glint::au::Side;
use glint::clip::Media;
use glint::event::Movement;
use glint::frame::Frame;
use glint::inject::{Carrier, CarrierBuilder, Injection};
use glint::pipeline::{Counters, Models, Options, Pipeline, Step};
use glint::synth::Profile;
use serde_json::{Value, json};

use self::calm::Calm;
use super::media::print_line;
use super::output::{self, Output};
use super::report::page;
use crate::daemon::sources::footage::{Footage, Selection};

/// Arguments of `glintd selftest`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A clip, as for `replay`: at least 30 seconds of a person who sits where people will sit.
    clip: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// Seed of the movements and their times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of runs over the clip, each with other movements.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Print the result as a JSON object.
    #[arg(long)]
    json: bool,
    /// Draw what was found, by size and by action unit, as SVG or PNG by the ending of the name.
    #[arg(long, value_name = "FILE.svg|FILE.png", value_parser = output::picture())]
    picture: Option<PathBuf>,
}

/// Movements begin so long after the first frame: the neutral face has to be known.
const LEAD_IN_NS: i64 = 1_000_000_000;
/// So much lies between two movements at least, and so much more at most.
const APART_NS: (i64, i64) = (700_000_000, 600_000_000);
/// Duration in ms.
const DURATION_MS: (f64, f64) = (120.0, 460.0);
/// Fractions of the full movement.
const FRACTIONS: (f64, f64) = (0.08, 0.35);
/// Where the face is not calm, a movement is put off so often.
const PUT_OFF: f64 = 0.8;
/// A head that moves faster, in eye distances a second, is not asked for small movements.
const FASTEST: f32 = 0.3;
/// Overlap from which an event is the movement (MEGC's rule).
const MIN_IOU: f64 = 0.5;
/// Borders of the classes of size: greatest displacement in pixels for eyes 64 pixels apart.
const SIZES: [f32; 5] = [0.0, 1.0, 2.0, 3.0, f32::INFINITY];
/// What moves: combinations of the annotated databases, without parting lips, which no displacement field can show.
const MOVEMENTS: [&[(u8, Side)]; 12] = [
    &[(1, Side::Both), (2, Side::Both)],
    &[(4, Side::Both)],
    &[(4, Side::Both), (7, Side::Both)],
    &[(6, Side::Both), (12, Side::Both)],
    &[(12, Side::Left)],
    &[(12, Side::Right)],
    &[(9, Side::Both)],
    &[(10, Side::Both)],
    &[(14, Side::Right)],
    &[(15, Side::Both)],
    &[(17, Side::Both)],
    &[(24, Side::Both)],
];

/// What was found in one run over the clip.
struct Watched {
    found: Vec<Movement>,
    counters: Counters,
    seconds: f64,
}

/// Uniform numbers of a seed (Vigna's splitmix64).
struct Draw(u64);

impl Draw {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, from: f64, to: f64) -> f64 {
        from + self.uniform() * (to - from)
    }
}

/// Measures detection in a clip and prints the result.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let picture = args.picture.as_deref().map(Output::create).transpose()?;
    let report = measure(&args.clip, args.selection, args.seed, args.rounds, &Models::embedded()?)?;
    if args.json {
        print_line(&report.json().to_string())?;
    } else {
        report.lines().iter().try_for_each(|line| print_line(line))?;
    }
    if let Some(picture) = picture {
        let name = page::name(&args.clip);
        picture.draw(&report.drawing(&name), &format!("Injected movements found in {name}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the test.
fn measure(
    path: &Path,
    selection: Selection,
    seed: u64,
    rounds: u32,
    models: &Models,
) -> anyhow::Result<Report> {
    let carrier = carry(path, selection, models)?;
    let mut calm = Calm::default();
    let untouched = watch(path, selection, models, &carrier, &[], Some(&mut calm))?;
    let mut report =
        Report { alone: untouched.found.len(), minutes: untouched.seconds / 60.0, ..Report::default() };
    for round in 0..rounds {
        let mut draw = Draw(seed.wrapping_mul(0x9e37).wrapping_add(u64::from(round)));
        let movements = plan(&carrier, &calm, &mut draw)?;
        let watched = watch(path, selection, models, &carrier, &movements, None)?;
        report.add(&movements, &watched, &untouched.found, &calm);
    }
    anyhow::ensure!(
        report.injected > 0,
        "{}: no face that is still for long enough was found: nothing could be tested",
        path.display()
    );
    Ok(report)
}

fn carry(path: &Path, selection: Selection, models: &Models) -> anyhow::Result<Carrier> {
    let mut clip = Footage::open(path, selection)?;
    let mut builder = CarrierBuilder::new(models)?;
    let mut frame = Frame::default();
    while let Some(media) = clip.next(&mut frame)? {
        if matches!(media, Media::Frame) {
            builder.push(&frame);
        }
    }
    Ok(builder.finish())
}

/// Movements at random times where the head is still; most of them where the face is calm, if it is anywhere.
fn plan(carrier: &Carrier, calm: &Calm, draw: &mut Draw) -> anyhow::Result<Vec<Injection>> {
    let Some((first, last)) = carrier.span() else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    let mut at_ns = first + LEAD_IN_NS + (draw.uniform() * APART_NS.1 as f64) as i64;
    loop {
        let length = (1e6 * draw.between(DURATION_MS.0, DURATION_MS.1)) as i64;
        let apex_ns = at_ns + (draw.between(0.3, 0.6) * length as f64) as i64;
        let end_ns = at_ns + length;
        if end_ns + APART_NS.0 / 2 > last {
            return Ok(out);
        }
        let fraction = draw.between(FRACTIONS.0.ln(), FRACTIONS.1.ln()).exp() as f32;
        let which = (draw.uniform() * MOVEMENTS.len() as f64) as usize % MOVEMENTS.len();
        let is_still =
            carrier.speed(at_ns - 200_000_000, end_ns + 200_000_000).is_some_and(|speed| speed < FASTEST);
        if is_still && (calm.is_calm(at_ns, end_ns) || draw.uniform() > PUT_OFF) {
            let parts = MOVEMENTS[which].iter().map(|&(au, side)| (au, side, fraction)).collect();
            let movement = Injection::new(parts, [at_ns, apex_ns, end_ns], Profile::LeastJerk);
            out.push(movement.context("the embedded subject")?);
            at_ns = end_ns + APART_NS.0 + (draw.uniform() * APART_NS.1 as f64) as i64;
        } else {
            at_ns += 100_000_000;
        }
    }
}

/// The clip with the movements in it, through a pipeline of its own. No frame is written.
fn watch(
    path: &Path,
    selection: Selection,
    models: &Models,
    carrier: &Carrier,
    movements: &[Injection],
    mut calm: Option<&mut Calm>,
) -> anyhow::Result<Watched> {
    let mut clip = Footage::open(path, selection)?;
    let mut pipeline = Pipeline::new(Options::default(), models)?;
    let (mut frame, mut spare) = (Frame::default(), Vec::new());
    let (mut untouched, mut shown) = (Vec::new(), Vec::new());
    let mut out = Watched { found: Vec::new(), counters: Counters::default(), seconds: 0.0 };
    let mut first_ns = None;
    while let Some(media) = clip.next(&mut frame)? {
        let step = match media {
            Media::Gap { seq, at_ns, .. } => pipeline.gap(seq, at_ns),
            // A picture that the camera repeats shows the movement as it was.
            Media::Frame if frame.luma == untouched => {
                frame.luma.clone_from(&shown);
                pipeline.push(&frame)
            }
            Media::Frame => {
                untouched.clone_from(&frame.luma);
                if let Some(place) = carrier.at(frame.at_ns) {
                    movements.iter().for_each(|m| m.apply(&mut frame, &place, &mut spare));
                }
                shown.clone_from(&frame.luma);
                pipeline.push(&frame)
            }
        };
        if let Some(calm) = &mut calm {
            calm.push(frame.at_ns, pipeline.sample());
        }
        if let Step::Event(movement) = step {
            out.found.push(movement);
        }
        let first = *first_ns.get_or_insert(frame.at_ns);
        out.seconds = (frame.at_ns - first) as f64 / 1e9;
    }
    out.found.extend(std::iter::from_fn(|| pipeline.finish()));
    out.counters = *pipeline.counters();
    Ok(out)
}

/// Counts of all rounds.
#[derive(Default)]
struct Report {
    minutes: f64,
    /// Events in the untouched clip.
    alone: usize,
    injected: usize,
    found: usize,
    /// Found and injected where the face is calm, and elsewhere.
    calm: (usize, usize),
    elsewhere: (usize, usize),
    /// Events in the rounds that are no injected movement and were not there without them.
    wrong: usize,
    rounds: usize,
    errors_ms: [Vec<f64>; 3],
    by_au: BTreeMap<u8, (usize, usize)>,
    by_size: [(usize, usize); SIZES.len() - 1],
    rejected: BTreeMap<&'static str, u64>,
}

fn overlap(a: (i64, i64), b: (i64, i64)) -> f64 {
    let both = (a.1.min(b.1) - a.0.max(b.0)).max(0);
    both as f64 / (a.1.max(b.1) - a.0.min(b.0)).max(1) as f64
}

impl Report {
    fn add(&mut self, movements: &[Injection], watched: &Watched, alone: &[Movement], calm: &Calm) {
        self.rounds += 1;
        let mut used = vec![false; watched.found.len()];
        for m in movements {
            let (from, to) = (m.course.onset_ns, m.course.offset_ns);
            let best = watched
                .found
                .iter()
                .enumerate()
                .filter(|(k, _)| !used[*k])
                .map(|(k, e)| (k, overlap((from, to), (e.onset_ns, e.offset_ns))))
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .filter(|(_, o)| *o >= MIN_IOU);
            let hit = usize::from(best.is_some());
            (self.injected, self.found) = (self.injected + 1, self.found + hit);
            let place = if calm.is_calm(from, to) { &mut self.calm } else { &mut self.elsewhere };
            *place = (place.0 + hit, place.1 + 1);
            for (au, ..) in &m.parts {
                let of = self.by_au.entry(*au).or_default();
                *of = (of.0 + hit, of.1 + 1);
            }
            if let Some(k) = SIZES.windows(2).position(|s| (s[0]..s[1]).contains(&m.peak_px)) {
                self.by_size[k] = (self.by_size[k].0 + hit, self.by_size[k].1 + 1);
            }
            if let Some((k, _)) = best {
                used[k] = true;
                let e = &watched.found[k];
                let pairs = [(from, e.onset_ns), (m.course.apex_ns, e.apex_ns), (to, e.offset_ns)];
                for (errors, (truth, found)) in self.errors_ms.iter_mut().zip(pairs) {
                    errors.push(((found - truth) as f64 / 1e6).abs());
                }
            }
        }
        let known = |e: &Movement| {
            alone.iter().any(|a| overlap((a.onset_ns, a.offset_ns), (e.onset_ns, e.offset_ns)) >= MIN_IOU)
        };
        self.wrong += watched.found.iter().zip(&used).filter(|(e, used)| !**used && !known(e)).count();
        for (cause, n) in watched.counters.rejected() {
            *self.rejected.entry(cause).or_default() += n;
        }
    }

    fn recall(&self) -> f64 {
        self.found as f64 / self.injected.max(1) as f64
    }

    fn f1(&self) -> f64 {
        2.0 * self.found as f64 / (self.injected + self.found + self.wrong).max(1) as f64
    }

    fn false_per_min(&self) -> f64 {
        self.alone as f64 / self.minutes.max(1e-9)
    }

    fn error(&self, k: usize) -> Option<f64> {
        let mut errors = self.errors_ms[k].clone();
        errors.sort_unstable_by(f64::total_cmp);
        errors.get(errors.len() / 2).map(|e| (e * 10.0).round() / 10.0)
    }

    fn sizes(&self) -> impl Iterator<Item = (String, usize, usize)> {
        self.by_size.iter().zip(SIZES.windows(2)).map(|((hits, of), s)| {
            let name = if s[1].is_finite() { format!("{}-{}", s[0], s[1]) } else { format!(">={}", s[0]) };
            (name, *hits, *of)
        })
    }

    fn json(&self) -> Value {
        let round = |v: f64| (v * 1e3).round() / 1e3;
        let share = |hits: usize, of: usize| json!({"found": hits, "injected": of});
        let by_au: BTreeMap<String, Value> =
            self.by_au.iter().map(|(au, (hits, of))| (glint::gate::au_key(*au), share(*hits, *of))).collect();
        let by_px: BTreeMap<String, Value> =
            self.sizes().map(|(name, hits, of)| (name, share(hits, of))).collect();
        json!({
            "minutes": round(self.minutes), "rounds": self.rounds, "injected": self.injected, "found": self.found,
            "recall": round(self.recall()), "f1": round(self.f1()), "false_per_min": round(self.false_per_min()),
            "onset_ms": self.error(0), "apex_ms": self.error(1), "offset_ms": self.error(2),
            "calm": share(self.calm.0, self.calm.1), "elsewhere": share(self.elsewhere.0, self.elsewhere.1),
            "by_au": by_au, "by_px": by_px, "rejected": self.rejected,
        })
    }

    fn lines(&self) -> Vec<String> {
        let mut out = vec![format!(
            "{} of {} movements found ({:.0} %), F1 {:.2}; {:.1} false alarms a minute in {:.1} min of the clip as it is",
            self.found,
            self.injected,
            100.0 * self.recall(),
            self.f1(),
            self.false_per_min(),
            self.minutes
        )];
        out.push(format!(
            "where the face is calm {} of {}, beside blinks, talk and other movements {} of {}",
            self.calm.0, self.calm.1, self.elsewhere.0, self.elsewhere.1
        ));
        if let [Some(onset), Some(apex), Some(offset)] = [0, 1, 2].map(|k| self.error(k)) {
            out.push(format!("median error: onset {onset} ms, apex {apex} ms, offset {offset} ms"));
        }
        out.push("size in px for eyes 64 px apart, found of injected".into());
        out.extend(self.sizes().map(|(name, hits, of)| format!("  {name:<8} {hits:3} of {of:3}")));
        out.push("AU, found of injected".into());
        out.extend(self.by_au.iter().map(|(au, (hits, of))| format!("  {au:<8} {hits:3} of {of:3}")));
        let causes: Vec<String> =
            self.rejected.iter().filter(|(_, n)| **n > 0).map(|(cause, n)| format!("{cause} {n}")).collect();
        out.push(format!("rejected candidates, all rounds: {}", causes.join(", ")));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_is_no_false_alarm_of_a_round() {
        let movement = |from_ms: i64, to_ms: i64| -> Movement {
            serde_json::from_value(json!({
                "kind": "micro", "onset_ns": from_ms * 1_000_000, "apex_ns": (from_ms + to_ms) / 2 * 1_000_000,
                "offset_ns": to_ms * 1_000_000, "track": 1, "aus": [], "label": null, "abstained": false, "fps": 30.0,
                "timing_quality": "degraded", "track_quality": 1.0, "model": "", "evidence": "facial_movement"
            }))
            .expect("a movement")
        };
        let injected = |from_ms: i64| {
            let times = [from_ms, from_ms + 100, from_ms + 300].map(|t| t * 1_000_000);
            Injection::new(vec![(12, Side::Both, 0.3)], times, Profile::LeastJerk).expect("subject")
        };
        let watched = Watched {
            found: vec![movement(1020, 1310), movement(5000, 5300), movement(8000, 8200)],
            counters: Counters::default(),
            seconds: 10.0,
        };
        let mut report = Report { minutes: 0.5, alone: 1, ..Report::default() };
        let mut calm = Calm::default();
        calm.push(3_100_000_000, None);
        report.add(&[injected(1000), injected(3000)], &watched, &[movement(5010, 5290)], &calm);
        assert_eq!((report.injected, report.found, report.wrong), (2, 1, 1));
        assert_eq!((report.calm, report.elsewhere), ((1, 1), (0, 1)));
        assert_eq!(report.by_au[&12], (1, 2));
        assert_eq!((report.recall(), report.false_per_min()), (0.5, 2.0));
        assert_eq!(report.error(0), Some(20.0));
        assert_eq!(report.json()["by_px"].as_object().map(|o| o.len()), Some(4));
    }
}
