//! `glint-pretrain evaluate filter`: what the filter keeps of generated video, against its truth.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use glint::au::{AU_COUNT, AUS, Side, au_index};
use glint::frame::Frame;
use glint::pipeline::Models;
use glint::synth::Scene;
use rayon::prelude::*;
use serde_json::json;

use crate::commands::filter::least;
use crate::corpus::person::Split;
use crate::corpus::plan::{self, Cast, Content, Micro, Sequence};
use crate::filter::judge::{MACRO_FROM, Range, Reason};
use crate::filter::report::word;
use crate::filter::scan::{Excursion, Rules, Scanner};
use crate::run;
use crate::spotting::score::binomial_interval;

/// Films people who do micro-expressions, macro-expressions, talk, blink, turn and rest, filters the films as `filter`
/// does and compares what is kept with the truth.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain evaluate filter --assets ../data --videos 60")]
pub struct Args {
    /// Folder with `portraits/`, `ict/` and `priors/`.
    #[arg(long, value_name = "DIR")]
    assets: PathBuf,
    /// Sequences of 8 s.
    #[arg(long, default_value_t = 60)]
    videos: u64,
    /// Sequences of 15 s without micro-expressions: blinks, macro-expressions, talk, turns, hands, light.
    #[arg(long, default_value_t = 20)]
    distractors: u64,
    /// People.
    #[arg(long, default_value_t = 40)]
    people: usize,
    /// Frames per second.
    #[arg(long, default_value_t = 60.0)]
    fps: f64,
    /// Which people.
    #[arg(long, value_enum, default_value = "held-out")]
    split: Split,
    /// Intensity from which a movement is a macro-expression.
    #[arg(long, default_value_t = MACRO_FROM)]
    macro_from: f32,
    /// Longest time in ms at half of the greatest intensity or above it.
    #[arg(long, default_value_t = 350.0)]
    max_ms: f32,
    /// Minimum recognisable intensities, of the filter and of the truth; by default those of the model.
    #[arg(long, value_name = "FILE.toml")]
    thresholds: Option<PathBuf>,
    /// Seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder of model files; without it those that are compiled in.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// A target this near to a movement is a frame of it.
const REACH_NS: i64 = 50_000_000;

/// Counts of one kind of happening.
#[derive(Default, Clone)]
struct Tally {
    kept: usize,
    of: usize,
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
struct Seen {
    tallies: BTreeMap<String, Tally>,
    fates: Vec<Fate>,
    /// Pairs kept: those of micro-expressions, all.
    kept: [usize; 2],
    frames: u64,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!((1..=10_000).contains(&args.videos), "--videos: 1 to 10000");
    ensure!(args.distractors <= 10_000, "--distractors: up to 10000");
    ensure!((20.0..=500.0).contains(&args.fps), "--fps: 20 to 500");
    let models = match &args.models {
        Some(dir) => Models::load(dir)?,
        None => Models::embedded()?,
    };
    let range = Range { least: least(args.thresholds.as_deref(), &models)?, macro_from: args.macro_from };
    let rules = Rules { range, max_ms: args.max_ms, unfiltered: false };
    let cast = Cast::load(&args.assets, args.split, args.people, args.seed)?;
    let bar = run::bar("videos", args.videos + args.distractors);
    let begun = Instant::now();
    let seen: Vec<Seen> = (0..args.videos + args.distractors)
        .into_par_iter()
        .map(|i| {
            let content = if i < args.videos { Content::Mixed } else { Content::Distractors };
            let s = plan::sequence(&cast, content, content.seconds(), args.seed, i);
            let out = watch(s, args.fps, &models, rules);
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
            (sum.kept, sum.of) = (sum.kept + t.kept, sum.of + t.of);
            t.lost.into_iter().for_each(|(why, n)| *sum.lost.entry(why).or_default() += n);
        }
    }
    let sum = |test: &dyn Fn(&str) -> bool| {
        tallies.iter().filter(|(n, _)| test(n.as_str())).fold((0, 0), |(k, n), (_, t)| (k + t.kept, n + t.of))
    };
    let micro = sum(&|n| n == "micro");
    let others = sum(&|n| n != "micro" && n != "micro_weak");
    let share = |(kept, of): (usize, usize)| kept as f64 / of.max(1) as f64;
    let count = |test: &dyn Fn(&Fate) -> bool| {
        fates.iter().filter(|f| test(f)).fold((0, 0), |(k, n), f| (k + usize::from(f.kept), n + 1))
    };
    let by_times: Vec<_> =
        TIMES.windows(2).map(|w| (w[0], w[1], count(&|f| (w[0]..w[1]).contains(&f.times)))).collect();
    let by_au: Vec<_> = AUS.iter().map(|&au| (au, count(&|f| f.au == au))).filter(|r| r.1.1 > 0).collect();
    if args.json {
        let rows: BTreeMap<_, _> =
            tallies.iter().map(|(n, t)| (n, json!({"kept": t.kept, "of": t.of, "lost": t.lost}))).collect();
        let times: Vec<_> = by_times
            .iter()
            .map(|(low, _, (kept, of))| json!({"from": low, "kept": kept, "of": of}))
            .collect();
        let aus: Vec<_> =
            by_au.iter().map(|(au, (kept, of))| json!({"au": au, "kept": kept, "of": of})).collect();
        let result = json!({
            "videos": args.videos, "distractors": args.distractors, "fps": args.fps, "kept_micro": share(micro), "kept_others": share(others),
            "rows": rows, "pairs_kept": pairs[1], "of_micros": pairs[0], "micro_by_times_of_minimum": times, "micro_by_strongest_au": aus,
        });
        println!("{result}");
        return Ok(());
    }
    println!("{:<12} {:>6} {:>6} {:>7}  what became of the rest", "happening", "kept", "of", "share");
    for (name, t) in &tallies {
        let lost: Vec<String> = t.lost.iter().map(|(why, n)| format!("{why} {n}")).collect();
        println!("{name:<12} {:>6} {:>6} {:>7.3}  {}", t.kept, t.of, share((t.kept, t.of)), lost.join(", "));
    }
    for (low, high, pair) in &by_times {
        let name = if high.is_finite() { format!("{low} to {high}") } else { format!("from {low}") };
        println!("micro, {name} times the minimum: {} of {}, {:.3}", pair.0, pair.1, share(*pair));
    }
    let aus: Vec<String> = by_au.iter().map(|(au, (k, n))| format!("{au}: {k} of {n}")).collect();
    println!("micro, by the AU that is farthest above its minimum: {}", aus.join(", "));
    for (name, pair) in [("micro-range", micro), ("others", others)] {
        let (low, high) = binomial_interval(pair.0, pair.1);
        println!("{name}: {:.3} kept ({low:.3} to {high:.3})", share(pair));
    }
    println!("{} pairs kept, {} of them of micro-expressions", pairs[1], pairs[0]);
    eprintln!(
        "{frames} frames in {seconds:.0} s, rendering included: {:.0} frames/s",
        frames as f64 / seconds
    );
    Ok(())
}

/// How many times its minimum the AU reaches that is farthest above it, and which it is.
fn above_minimum(m: &Micro, least: &[f32; AU_COUNT]) -> (f32, u8) {
    let reached = |&(au, _, fraction): &(u8, Side, f32)| Some((5.0 * fraction / least[au_index(au)?], au));
    m.parts.iter().filter_map(reached).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default()
}

/// One sequence through the scanner, by what happened in it. Micro-expressions whose AUs all stay below their minima are
/// counted apart: nobody recognises them.
fn watch(s: Sequence<'_>, fps: f64, models: &Models, rules: Rules) -> Result<Seen> {
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
    let mut found: Vec<Excursion> = Vec::new();
    let mut scanner = Scanner::new(models, rules)?;
    let mut scene = Scene::new(s.person, s.script, s.camera);
    let mut frame = Frame::default();
    for seq in 0..(s.seconds * fps) as u64 {
        scene.render(seq, (seq as f64 * 1e9 / fps).round() as i64, &mut frame);
        scanner.push(&frame, &mut |e| found.push(e));
    }
    scanner.finish(&mut |e| found.push(e));
    let mut out: BTreeMap<String, Tally> = BTreeMap::new();
    let kept = || found.iter().filter(|e| e.reason == Reason::Kept);
    let of_micro = |e: &&Excursion| {
        let at = e.target.at_ns;
        micros.iter().any(|m| (m.onset_ns - REACH_NS..=m.offset_ns + REACH_NS).contains(&at))
    };
    let pairs = [kept().filter(of_micro).count(), kept().count()];
    let mut fates = Vec::new();
    for Happening { name, from_ns, to_ns, micro } in happenings {
        let inside = |e: &&Excursion| (from_ns - REACH_NS..=to_ns + REACH_NS).contains(&e.target.at_ns);
        let tally = out.entry(name).or_default();
        tally.of += 1;
        let kept = found.iter().filter(inside).any(|e| e.reason == Reason::Kept);
        fates.extend(micro.map(|(times, au)| Fate { times, au, kept }));
        if kept {
            tally.kept += 1;
        } else {
            let why = found.iter().find(inside).map_or("unseen".into(), |e| word(e.reason));
            *tally.lost.entry(why).or_default() += 1;
        }
    }
    Ok(Seen { tallies: out, fates, kept: pairs, frames: scanner.frames[0] })
}
