//! `glint-pretrain validate`: generated material against real one.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use glint::event::Class;
use glint::pipeline::{pair_engine, sample};
use glint::student::{SIDE, prepare};
use image::Rgb;
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::corpus::pair;
use crate::corpus::person::Split;
use crate::corpus::plan::Cast;
use crate::recognition::megc;
use crate::run::canvas::Canvas;

/// Compares what is generated with what is real.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Mean motion of each class: the corpus, rendered and run through the daemon's own flow, against published flow
    /// images of real micro-expressions.
    Corpus(Args),
}

/// Arguments of `validate corpus`.
#[derive(clap::Args)]
#[command(after_help = "Example: glint-pretrain validate corpus --assets ../data --data ../data/megc2019")]
pub struct Args {
    /// Folder with portraits, ict and priors.
    #[arg(long, value_name = "DIR")]
    assets: PathBuf,
    /// Folder with index.csv and flow images of MEGC2019.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Generated pairs.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u64).range(30..=1_000_000))]
    samples: u64,
    /// People in them.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    people: u32,
    /// Seed of the corpus.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Picture of the mean fields.
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
    /// One JSON object on stdout instead of a table.
    #[arg(long)]
    json: bool,
}

/// Rows of the grid that lie within the stabilised crop: what the student gets in the others is the rim of its flow.
const INSIDE: Range<usize> = 2..26;
/// Pixels of one channel.
const PLANE: usize = SIDE * SIDE;
const CHANNELS: [&str; 3] = ["u", "v", "strain"];

/// Mean motion of each class, and of how many.
struct Means {
    sums: [Vec<f64>; 3],
    counts: [usize; 3],
}

impl Means {
    fn of<'a>(samples: impl Iterator<Item = (usize, &'a [f32])>) -> Self {
        let mut out = Self { sums: [(); 3].map(|()| vec![0.0; 3 * PLANE]), counts: [0; 3] };
        for (class, motion) in samples {
            out.counts[class] += 1;
            out.sums[class].iter_mut().zip(motion).for_each(|(s, v)| *s += f64::from(*v));
        }
        out
    }

    fn plane(&self, class: usize, channel: usize) -> Vec<f64> {
        let n = self.counts[class].max(1) as f64;
        self.sums[class][channel * PLANE..][..PLANE].iter().map(|s| s / n).collect()
    }
}

/// Pearson's correlation.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let (ma, mb) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - ma) * (y - mb);
        aa += (x - ma).powi(2);
        bb += (y - mb).powi(2);
    }
    ab / (aa * bb).sqrt()
}

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    let Command::Corpus(args) = command;
    let real = megc::load(&args.data)?;
    let mut databases: Vec<&str> = real.iter().map(|s| s.database.as_str()).collect();
    databases.sort_unstable();
    databases.dedup();
    let cast = Cast::load(&args.assets, Split::Train, args.people as usize, args.seed)?;
    let generated: Vec<(usize, [Vec<f32>; 2])> = (0..args.samples)
        .into_par_iter()
        .map_init(pair_engine, |engine, i| {
            let pair = pair::sample(&cast, args.seed, i);
            let [onset, apex] = pair.planes();
            (pair.class as usize, [sample(engine, &onset, &apex), prepare(&pair.flow)])
        })
        .collect();
    let [ours, truth] =
        [0, 1].map(|k| Means::of(generated.iter().map(|(class, motion)| (*class, motion[k].as_slice()))));
    ensure!(ours.counts.iter().all(|n| *n > 0), "--samples: {}: a class has none", args.samples);
    let rows: Vec<(&str, Means)> = databases
        .iter()
        .map(|&d| {
            let own = real.iter().filter(|s| s.database == d);
            (d, Means::of(own.map(|s| (s.class, s.motion.as_slice()))))
        })
        .collect();
    if let Some(path) = &args.picture {
        let mut columns: Vec<(&str, &Means)> = vec![("generated", &ours), ("its truth", &truth)];
        columns.extend(rows.iter().map(|(d, m)| (*d, m)));
        picture(&columns).save(path)?;
    }
    // Rendered and measured, its truth, and rendered and measured over the whole grid.
    let of = |means: &Means, class: usize| -> [[f64; 3]; 3] {
        let against = |own: &Means, rows: &Range<usize>| {
            [0, 1, 2].map(|k| {
                let [a, b] =
                    [own, means].map(|m| m.plane(class, k)[rows.start * SIDE..rows.end * SIDE].to_vec());
                correlation(&a, &b)
            })
        };
        [against(&ours, &INSIDE), against(&truth, &INSIDE), against(&ours, &(0..SIDE))]
    };
    if args.json {
        let round = |v: f64| (v * 1000.0).round() / 1000.0;
        let databases: Map<String, Value> = rows
            .iter()
            .map(|(d, means)| {
                let classes: Map<String, Value> = Class::ALL
                    .iter()
                    .map(|&c| {
                        let [r, t, all] = of(means, c as usize).map(|r| r.map(round));
                        let value = json!({
                            "n": means.counts[c as usize], "u": r[0], "v": r[1], "strain": r[2],
                            "truth": {"u": t[0], "v": t[1], "strain": t[2]},
                            "whole_grid": {"u": all[0], "v": all[1], "strain": all[2]},
                        });
                        (megc::word(c).to_owned(), value)
                    })
                    .collect();
                ((*d).to_owned(), Value::Object(classes))
            })
            .collect();
        println!("{}", json!({"generated": ours.counts, "databases": databases}));
        return Ok(());
    }
    println!("correlation of mean motion: {} generated pairs, {} real samples", generated.len(), real.len());
    let heads = CHANNELS.map(|c| format!("{c:>6}")).join(" ");
    println!("                          rendered, our flow     displacement itself    rendered, whole grid");
    println!("database  class        n  {heads}   {heads}   {heads}");
    for (database, means) in &rows {
        for class in Class::ALL {
            let r = of(means, class as usize).map(|r| r.map(|r| format!("{r:6.2}")).join(" ")).join("   ");
            println!("{database:8}  {:10} {:4}  {r}", megc::word(class), means.counts[class as usize]);
        }
    }
    println!("declared: AU mixes and crop of the corpus have been compared with these images");
    Ok(())
}

/// Enlargement in the picture, room around a field, and for words.
const ZOOM: usize = 4;
const GAP: usize = 8;
const WORDS: usize = 100;

/// Mean fields: a row for each class and source, a column for each channel; red is positive (right, down), blue negative.
fn picture(columns: &[(&str, &Means)]) -> Canvas {
    let step = ZOOM * SIDE + GAP;
    let rows = Class::ALL.len() * columns.len();
    let mut canvas = Canvas::new((WORDS + 3 * step) as u32, (20 + rows * step) as u32);
    for (k, name) in CHANNELS.iter().enumerate() {
        canvas.text((WORDS + k * step) as u32, 6, name);
    }
    for class in Class::ALL {
        for (s, (name, means)) in columns.iter().enumerate() {
            let top = 20 + (class as usize * columns.len() + s) * step;
            canvas.text(4, top as u32, megc::word(class));
            canvas.text(4, top as u32 + 12, name);
            for k in 0..3 {
                let plane = means.plane(class as usize, k);
                let most = plane.iter().fold(1e-9f64, |m, v| m.max(v.abs()));
                canvas.blit((WORDS + k * step, top), SIDE, SIDE, ZOOM, |at| {
                    let share = plane[at] / most;
                    let pale = (255.0 * (1.0 - share.abs())) as u8;
                    if share >= 0.0 { Rgb([255, pale, pale]) } else { Rgb([pale, pale, 255]) }
                });
            }
        }
    }
    canvas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_is_pearsons() {
        assert!((correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]) - 1.0).abs() < 1e-12);
        assert!((correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        assert!(correlation(&[1.0, 0.0, -1.0, 0.0], &[0.0, 1.0, 0.0, -1.0]).abs() < 1e-12);
    }

    #[test]
    fn means_are_those_of_each_class() {
        let (a, b) = (vec![1.0f32; 3 * PLANE], vec![3.0f32; 3 * PLANE]);
        let means = Means::of([(0, a.as_slice()), (0, b.as_slice()), (2, b.as_slice())].into_iter());
        assert_eq!(means.counts, [2, 0, 1]);
        assert_eq!((means.plane(0, 1)[5], means.plane(2, 2)[0]), (2.0, 3.0));
    }
}
