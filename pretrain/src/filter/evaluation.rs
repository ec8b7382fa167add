//! What the filter keeps of generated video, against its truth.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use glint::au::{AU_COUNT, AUS, Side, au_index};
use glint::frame::Frame;
use glint::pipeline::Models;
use glint::synth::Scene;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::judge::Reason;
use super::scan::{Excursion, Rules, Scanner};
use crate::corpus::person::Split;
use crate::corpus::plan::{self, Cast, Content, Micro, Sequence};
use crate::run;
use crate::spotting::score::binomial_interval;

/// What is filmed.
pub struct FilmSettings {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    pub assets: PathBuf,
    /// Sequences of 8 s.
    pub videos: u64,
    /// Sequences of 15 s without micro-expressions.
    pub distractors: u64,
    /// People.
    pub people: usize,
    /// Frames per second.
    pub fps: f64,
    /// Which people.
    pub split: Split,
    /// Seed.
    pub seed: u64,
}

/// A target this near to a movement is a frame of it.
const REACH_NS: i64 = 50_000_000;

/// Counts of one kind of happening.
#[derive(Default, Clone)]
struct Tally {
    kept: usize,
    total: usize,
    /// What became of the others: the reason of an excursion in it, or `unseen`.
    lost: BTreeMap<String, usize>,
}

/// A recognisable micro-expression: how many times its minimum its strongest AU reaches, that AU, and what became of it.
struct Fate {
    times: f32,
    au: u8,
    kept: bool,
}

/// Bounds of the rows by intensity, in multiples of the minimum.
const TIMES: [f32; 5] = [1.0, 1.5, 2.0, 3.0, f32::INFINITY];

/// What was seen of one sequence.
struct FilteredSequence {
    tallies: BTreeMap<String, Tally>,
    fates: Vec<Fate>,
    /// Pairs kept: those of micro-expressions, all.
    kept: [usize; 2],
    frames: u64,
}

/// What was kept, and how long it took.
pub struct FilterScore {
    videos: u64,
    distractors: u64,
    fps: f64,
    tallies: BTreeMap<String, Tally>,
    fates: Vec<Fate>,
    pairs: [usize; 2],
    frames: u64,
    seconds: f64,
}

/// Films people, filters the films and compares what is kept with the truth.
pub fn run(args: &FilmSettings, models: &Models, rules: Rules) -> Result<FilterScore> {
    let cast = Cast::load(&args.assets, args.split, args.people, args.seed)?;
    let bar = run::bar("videos", args.videos + args.distractors);
    let begun = Instant::now();
    let seen: Vec<FilteredSequence> = (0..args.videos + args.distractors)
        .into_par_iter()
        .map(|i| {
            let content = if i < args.videos { Content::Mixed } else { Content::Distractors };
            let s = plan::sequence(&cast, content, content.seconds(), args.seed, i);
            let out = watch(s, args.fps, models, rules);
            bar.inc(1);
            out
        })
        .collect::<Result<_>>()?;
    bar.finish_and_clear();
    let seconds = begun.elapsed().as_secs_f64();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut frames = 0;
    let mut fates = Vec::new();
    let mut pairs = [0; 2];
    for one in seen {
        pairs = [0, 1].map(|k| pairs[k] + one.kept[k]);
        frames += one.frames;
        fates.extend(one.fates);
        for (name, t) in one.tallies {
            let sum = tallies.entry(name).or_default();
            (sum.kept, sum.total) = (sum.kept + t.kept, sum.total + t.total);
            t.lost.into_iter().for_each(|(why, n)| *sum.lost.entry(why).or_default() += n);
        }
    }
    let &FilmSettings { videos, distractors, fps, .. } = args;
    Ok(FilterScore { videos, distractors, fps, tallies, fates, pairs, frames, seconds })
}

/// Kept, and of how many.
type Share = (usize, usize);

fn share((kept, total): Share) -> f64 {
    kept as f64 / total.max(1) as f64
}

impl FilterScore {
    fn sum(&self, test: impl Fn(&str) -> bool) -> Share {
        let some = self.tallies.iter().filter(|(n, _)| test(n.as_str()));
        some.fold((0, 0), |(k, n), (_, t)| (k + t.kept, n + t.total))
    }

    fn micro(&self) -> Share {
        self.sum(|n| n == "micro")
    }

    fn others(&self) -> Share {
        self.sum(|n| n != "micro" && n != "micro_weak")
    }

    fn count(&self, test: impl Fn(&Fate) -> bool) -> Share {
        let some = self.fates.iter().filter(|f| test(f));
        some.fold((0, 0), |(k, n), f| (k + usize::from(f.kept), n + 1))
    }

    fn by_times(&self) -> Vec<(f32, f32, Share)> {
        let row = |w: &[f32]| (w[0], w[1], self.count(|f| (w[0]..w[1]).contains(&f.times)));
        TIMES.windows(2).map(row).collect()
    }

    fn by_au(&self) -> Vec<(u8, Share)> {
        AUS.iter().map(|&au| (au, self.count(|f| f.au == au))).filter(|r| r.1.1 > 0).collect()
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        let rows: BTreeMap<_, _> = self
            .tallies
            .iter()
            .map(|(n, t)| (n, json!({"kept": t.kept, "of": t.total, "lost": t.lost})))
            .collect();
        let times: Vec<_> = self
            .by_times()
            .iter()
            .map(|(low, _, (kept, total))| json!({"from": low, "kept": kept, "of": total}))
            .collect();
        let aus: Vec<_> = self
            .by_au()
            .iter()
            .map(|(au, (kept, total))| json!({"au": au, "kept": kept, "of": total}))
            .collect();
        json!({
            "videos": self.videos, "distractors": self.distractors, "fps": self.fps,
            "kept_micro": share(self.micro()), "kept_others": share(self.others()),
            "rows": rows, "pairs_kept": self.pairs[1], "of_micros": self.pairs[0],
            "micro_by_times_of_minimum": times, "micro_by_strongest_au": aus,
        })
    }

    /// As tables on stdout.
    pub fn print(&self) {
        println!("{:<12} {:>6} {:>6} {:>7}  what became of the rest", "happening", "kept", "of", "share");
        for (name, t) in &self.tallies {
            let lost: Vec<String> = t.lost.iter().map(|(why, n)| format!("{why} {n}")).collect();
            println!(
                "{name:<12} {:>6} {:>6} {:>7.3}  {}",
                t.kept,
                t.total,
                share((t.kept, t.total)),
                lost.join(", ")
            );
        }
        for (low, high, pair) in &self.by_times() {
            let name = if high.is_finite() { format!("{low} to {high}") } else { format!("from {low}") };
            println!("micro, {name} times the minimum: {} of {}, {:.3}", pair.0, pair.1, share(*pair));
        }
        let aus: Vec<String> = self.by_au().iter().map(|(au, (k, n))| format!("{au}: {k} of {n}")).collect();
        println!("micro, by the AU that is farthest above its minimum: {}", aus.join(", "));
        for (name, pair) in [("micro-range", self.micro()), ("others", self.others())] {
            let (low, high) = binomial_interval(pair.0, pair.1);
            println!("{name}: {:.3} kept ({low:.3} to {high:.3})", share(pair));
        }
        println!("{} pairs kept, {} of them of micro-expressions", self.pairs[1], self.pairs[0]);
        eprintln!(
            "{} frames in {:.0} s, rendering included: {:.0} frames/s",
            self.frames,
            self.seconds,
            self.frames as f64 / self.seconds
        );
    }
}

/// How many times its minimum the AU reaches that is farthest above it, and which it is.
fn above_minimum(m: &Micro, least: &[f32; AU_COUNT]) -> (f32, u8) {
    let reached = |&(au, _, fraction): &(u8, Side, f32)| Some((5.0 * fraction / least[au_index(au)?], au));
    m.parts.iter().filter_map(reached).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default()
}

/// One sequence through the scanner, by what happened in it. Micro-expressions whose AUs all stay below their minima are
/// counted apart: nobody recognises them.
fn watch(s: Sequence<'_>, fps: f64, models: &Models, rules: Rules) -> Result<FilteredSequence> {
    struct Happening {
        name: String,
        from_ns: i64,
        to_ns: i64,
        micro: Option<(f32, u8)>,
    }
    let mut happenings: Vec<Happening> = Vec::new();
    for m in &s.micros {
        let above = above_minimum(m, &rules.range.least);
        let name = if above.0 >= 1.0 { "micro" } else { "micro_weak" };
        let micro = (above.0 >= 1.0).then_some(above);
        happenings.push(Happening { name: name.into(), from_ns: m.onset_ns, to_ns: m.offset_ns, micro });
    }
    for d in &s.distractors {
        let name = serde_json::to_value(d.what)?.as_str().unwrap_or_default().to_owned();
        happenings.push(Happening { name, from_ns: d.from_ns, to_ns: d.to_ns, micro: None });
    }
    happenings.sort_by_key(|h| h.from_ns);
    // Quiet stretches of a micro-expression's length, in the middle of every gap of twice that length.
    const QUIET_NS: i64 = 300_000_000;
    let ends: Vec<i64> = std::iter::once(1_200_000_000).chain(happenings.iter().map(|h| h.to_ns)).collect();
    let last = (s.seconds * 1e9) as i64;
    let starts: Vec<i64> = happenings.iter().map(|h| h.from_ns).chain([last]).collect();
    for (end, start) in ends.iter().zip(&starts) {
        if start - end >= 2 * QUIET_NS {
            let middle = (end + start) / 2;
            let (from_ns, to_ns) = (middle - QUIET_NS / 2, middle + QUIET_NS / 2);
            happenings.push(Happening { name: "quiet".into(), from_ns, to_ns, micro: None });
        }
    }
    let micros = s.micros.clone();
    let mut excursions: Vec<Excursion> = Vec::new();
    let mut scanner = Scanner::new(models, rules)?;
    let mut scene = Scene::new(s.person, s.script, s.camera);
    let mut frame = Frame::default();
    for seq in 0..(s.seconds * fps) as u64 {
        scene.render(seq, (seq as f64 * 1e9 / fps).round() as i64, &mut frame);
        scanner.push(&frame, &mut |e| excursions.push(e));
    }
    scanner.finish(&mut |e| excursions.push(e));
    let mut out: BTreeMap<String, Tally> = BTreeMap::new();
    let kept = || excursions.iter().filter(|e| e.reason == Reason::Kept);
    let of_micro = |e: &&Excursion| {
        let at = e.target.at_ns;
        micros.iter().any(|m| (m.onset_ns - REACH_NS..=m.offset_ns + REACH_NS).contains(&at))
    };
    let pairs = [kept().filter(of_micro).count(), kept().count()];
    let mut fates = Vec::new();
    for Happening { name, from_ns, to_ns, micro } in happenings {
        let inside = |e: &&Excursion| (from_ns - REACH_NS..=to_ns + REACH_NS).contains(&e.target.at_ns);
        let tally = out.entry(name).or_default();
        tally.total += 1;
        let kept = excursions.iter().filter(inside).any(|e| e.reason == Reason::Kept);
        fates.extend(micro.map(|(times, au)| Fate { times, au, kept }));
        if kept {
            tally.kept += 1;
        } else {
            let why = excursions.iter().find(inside).map_or("unseen".into(), |e| e.reason.to_string());
            *tally.lost.entry(why).or_default() += 1;
        }
    }
    Ok(FilteredSequence { tallies: out, fates, kept: pairs, frames: scanner.frames[0] })
}
