//! Mean motion of each class: generated pairs against published flow images of real micro-expressions.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, ensure};
use glint::event::Class;
use glint::pipeline::{pair_engine, sample};
use glint::student::{SIDE, prepare};
use rayon::prelude::*;

use super::megc;
use crate::corpus::pair;
use crate::corpus::person::Split;
use crate::corpus::plan::Cast;
use glint::canvas::Canvas;

/// Rows of the grid that lie within the stabilised crop: what the student gets in the others is the rim of its flow.
pub const INSIDE: Range<usize> = 2..26;
/// Pixels of one channel.
const PLANE: usize = SIDE * SIDE;
/// Channels of the motion.
pub const CHANNELS: [&str; 3] = ["u", "v", "strain"];

/// Mean motion of each class, and of how many.
pub struct Means {
    sums: [Vec<f64>; 3],
    /// Samples of each class.
    pub counts: [usize; 3],
}

impl Means {
    fn from_samples<'a>(samples: impl Iterator<Item = (usize, &'a [f32])>) -> Self {
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

/// Means of what was generated and of what is real.
pub struct Comparison {
    /// Rendered and run through the daemon's own flow.
    pub generated: Means,
    /// The displacement itself.
    pub truth: Means,
    /// Real samples by database.
    pub databases: Vec<(String, Means)>,
    /// Number of real samples.
    pub real: usize,
}

impl Comparison {
    /// Generates `samples` pairs of `people` and reads the flow images of `data`.
    pub fn new(assets: &Path, data: &Path, samples: u64, people: usize, seed: u64) -> Result<Self> {
        let real = megc::load(data)?;
        let mut names: Vec<&str> = real.iter().map(|s| s.database.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let cast = Cast::load(assets, Split::Train, people, seed)?;
        let generated: Vec<(usize, [Vec<f32>; 2])> = (0..samples)
            .into_par_iter()
            .map(|i| {
                let pair = pair::sample(&cast, seed, i);
                let [onset, apex] = pair.planes();
                (pair.class as usize, [sample(&mut pair_engine(), &onset, &apex), prepare(&pair.flow)])
            })
            .collect();
        let [ours, truth] = [0, 1].map(|k| {
            Means::from_samples(generated.iter().map(|(class, motion)| (*class, motion[k].as_slice())))
        });
        ensure!(ours.counts.iter().all(|n| *n > 0), "--samples: {}: a class has none", samples);
        let databases: Vec<(String, Means)> = names
            .iter()
            .map(|&d| {
                let samples = real.iter().filter(|s| s.database == d);
                (d.to_owned(), Means::from_samples(samples.map(|s| (s.class, s.motion.as_slice()))))
            })
            .collect();
        Ok(Self { generated: ours, truth, databases, real: real.len() })
    }

    /// Correlations of u, v and strain with the mean motion of a class in a database: rendered and measured, its truth, and
    /// rendered and measured over the whole grid.
    pub fn correlations(&self, means: &Means, class: usize) -> [[f64; 3]; 3] {
        let against = |reference: &Means, rows: &Range<usize>| {
            [0, 1, 2].map(|k| {
                let [a, b] = [reference, means]
                    .map(|m| m.plane(class, k)[rows.start * SIDE..rows.end * SIDE].to_vec());
                correlation(&a, &b)
            })
        };
        [
            against(&self.generated, &INSIDE),
            against(&self.truth, &INSIDE),
            against(&self.generated, &(0..SIDE)),
        ]
    }

    /// Generated pairs.
    pub fn pairs(&self) -> usize {
        self.generated.counts.iter().sum()
    }

    /// Mean fields: a row for each class and source, a column for each channel; red is positive (right, down), blue negative.
    pub fn picture(&self) -> Canvas {
        let mut columns: Vec<(&str, &Means)> =
            vec![("generated", &self.generated), ("its truth", &self.truth)];
        columns.extend(self.databases.iter().map(|(d, m)| (d.as_str(), m)));
        picture(&columns)
    }
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
            canvas.text(4, top as u32, class.as_str());
            canvas.text(4, top as u32 + 12, name);
            for k in 0..3 {
                let plane = means.plane(class as usize, k);
                let most = plane.iter().fold(1e-9f64, |m, v| m.max(v.abs()));
                canvas.blit((WORDS + k * step, top), SIDE, SIDE, ZOOM, |at| {
                    let share = plane[at] / most;
                    let pale = (255.0 * (1.0 - share.abs())) as u8;
                    if share >= 0.0 { [255, pale, pale] } else { [pale, pale, 255] }
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
        let means =
            Means::from_samples([(0, a.as_slice()), (0, b.as_slice()), (2, b.as_slice())].into_iter());
        assert_eq!(means.counts, [2, 0, 1]);
        assert_eq!((means.plane(0, 1)[5], means.plane(2, 2)[0]), (2.0, 3.0));
    }
}
