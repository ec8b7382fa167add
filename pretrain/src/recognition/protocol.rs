//! The protocol: one subject left out at a time, or few subjects kept in; one fixed schedule, the last step counts, and
//! nothing is chosen by the subjects that are tested.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use glint::model::Checked;
use glint::pipeline::Models;
use glint::student::{SIDE, Student};
use indicatif::ProgressBar;
use rand::Rng;

use super::megc::{FlowSample, mirrored, subjects};
use super::nets::{Regularisation, SmallCnn, StstNet, train_and_predict};
use super::tuning::{regression, rows, share};
use crate::augment::generator;
use crate::backend::CpuTrain;
use crate::run::{Interrupted, interrupted};
use crate::statistics::logistic::Logistic;
use crate::statistics::score::{BySubject, Confusion, argmax};
use crate::train::Schedule;
use crate::train::parallel::side_by_side;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Method {
    /// glint's pretrained student, adapted to the training subjects.
    Glint,
    /// Balanced logistic regression on 2x2 means of the flow, each channel by its own RMS, with mirrored copies.
    Logreg,
    /// A small CNN with mixup, from scratch.
    Cnn,
    /// STSTNet's architecture, from scratch.
    Ststnet,
}

impl Method {
    /// Its name in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Glint => "glint",
            Self::Logreg => "logreg",
            Self::Cnn => "cnn",
            Self::Ststnet => "ststnet",
        }
    }

    /// Whether its result depends on a seed.
    fn is_random(self) -> bool {
        matches!(self, Self::Cnn | Self::Ststnet)
    }
}

/// How the networks from scratch are trained: fixed before any of them was scored.
#[derive(Debug, Clone)]
pub struct Schedules {
    cnn: (Schedule, Regularisation),
    ststnet: (Schedule, Regularisation),
}

impl Default for Schedules {
    fn default() -> Self {
        Self {
            cnn: (
                Schedule { steps: 240, batch: 64, learning_rate: 2e-3, weight_decay: 2e-2 },
                Regularisation { mixup: 0.4, balance: 0.5, dropout: 0.5, noise: 0.3 },
            ),
            ststnet: (
                Schedule { steps: 300, batch: 64, learning_rate: 3e-3, weight_decay: 1e-2 },
                Regularisation { mixup: 0.0, balance: 0.5, dropout: 0.5, noise: 0.0 },
            ),
        }
    }
}

/// Reads the student of a folder, or the one that is compiled in.
pub fn student(models: Option<&Path>) -> Result<Student> {
    let file = match models {
        Some(dir) => Checked::load(dir, "student")?,
        None => Models::embedded()?.student,
    };
    Ok(Student::new(&file)?)
}

/// Samples with what does not depend on the fold.
pub struct PreparedSamples<'a> {
    samples: &'a [FlowSample],
    schedules: Schedules,
    /// 2x2 means of each sample, then of each mirror image.
    rows: [Vec<Vec<f32>>; 2],
    /// Logits that the pretrained student gives each sample, mean over both mirror images.
    prior: Vec<[f32; 3]>,
}

impl<'a> PreparedSamples<'a> {
    /// Runs the student over all samples, once each; no label is seen.
    pub fn new(samples: &'a [FlowSample], student: &mut Student) -> Result<Self> {
        let mirror: Vec<Vec<f32>> = samples.iter().map(|s| mirrored(&s.motion, SIDE)).collect();
        let mut prior = Vec::with_capacity(samples.len());
        for (s, m) in samples.iter().zip(&mirror) {
            let mut z = [0.0; 3];
            for motion in [&s.motion, m] {
                let one =
                    student.logits(motion).map_err(anyhow::Error::msg).with_context(|| s.file.clone())?;
                z.iter_mut().zip(one).for_each(|(z, v)| *z += 0.5 * v);
            }
            prior.push(z);
        }
        Ok(Self { samples, schedules: Schedules::default(), rows: rows(samples), prior })
    }

    fn classes(&self, picks: &[usize]) -> Vec<usize> {
        picks.iter().map(|&i| self.samples[i].class).collect()
    }

    /// Predictions of `method`, trained on the samples `train` of `people` subjects, for the samples `test`.
    pub fn predict(
        &self,
        method: Method,
        train: &[usize],
        people: usize,
        test: &[usize],
        seed: u64,
    ) -> Vec<usize> {
        let logits = match method {
            Method::Glint => self.adapted(train, people, test),
            Method::Logreg => {
                let model = self.logistic(train);
                test.iter().map(|&i| model.three(&self.rows[0][i])).collect()
            }
            Method::Cnn | Method::Ststnet => {
                let motion = |picks: &[usize]| {
                    picks.iter().map(|&i| self.samples[i].motion.as_slice()).collect::<Vec<_>>()
                };
                let (train_motion, classes, test) = (motion(train), self.classes(train), motion(test));
                let set = (train_motion.as_slice(), classes.as_slice());
                if method == Method::Cnn {
                    let (schedule, with) = &self.schedules.cnn;
                    train_and_predict::<SmallCnn<CpuTrain>>(set, &test, schedule, *with, seed)
                } else {
                    let (schedule, with) = &self.schedules.ststnet;
                    train_and_predict::<StstNet<CpuTrain>>(set, &test, schedule, *with, seed)
                }
            }
        };
        logits.iter().map(argmax).collect()
    }

    /// The untouched student.
    pub fn zero_shot(&self, test: &[usize]) -> Vec<usize> {
        test.iter().map(|&i| argmax(&self.prior[i])).collect()
    }

    fn logistic(&self, train: &[usize]) -> Logistic {
        regression(&self.rows, |i| self.samples[i].class, train)
    }

    /// Product of two experts: what the student says, and what a regression on the training subjects says, the more of
    /// the second the more subjects there are.
    fn adapted(&self, train: &[usize], people: usize, test: &[usize]) -> Vec<[f32; 3]> {
        let share = share(people);
        let model = self.logistic(train);
        test.iter()
            .map(|&i| {
                let [a, b] = [0, 1].map(|k| model.three(&self.rows[k][i]));
                [0, 1, 2].map(|c| self.prior[i][c] + share * 0.5 * (a[c] + b[c]))
            })
            .collect()
    }
}

/// Predictions of a method: for each seed, the class of each sample.
pub type Predictions = Vec<Vec<usize>>;

/// Leaves out one subject at a time. A method without a seed runs once. `done` counts folds.
pub fn leave_one_out(
    material: &PreparedSamples<'_>,
    method: Method,
    seeds: u64,
    done: &ProgressBar,
) -> Result<Predictions> {
    let people = subjects(material.samples);
    ensure!(people.len() > 1, "one subject alone: nobody to train on");
    let runs = if method.is_random() { seeds } else { 1 };
    let jobs: Vec<(u64, usize)> = (0..runs).flat_map(|s| (0..people.len()).map(move |p| (s, p))).collect();
    let folds = side_by_side(&jobs, |&(seed, left_out)| {
        if interrupted() {
            return Err(Interrupted.into());
        }
        let train: Vec<usize> = people
            .iter()
            .enumerate()
            .filter(|(k, _)| *k != left_out)
            .flat_map(|(_, p)| p.iter().copied())
            .collect();
        let fold = seed.wrapping_mul(1000).wrapping_add(left_out as u64);
        let predicted = material.predict(method, &train, people.len() - 1, &people[left_out], fold);
        done.inc(1);
        Ok(predicted)
    })?;
    let mut out = vec![vec![0; material.samples.len()]; runs as usize];
    for ((seed, left_out), predicted) in jobs.iter().zip(folds) {
        people[*left_out].iter().zip(predicted).for_each(|(&i, c)| out[*seed as usize][i] = c);
    }
    Ok(out)
}

/// Confusions by subject and seed of the samples that `takes` accepts; subjects without one are left out.
pub fn by_subject(
    samples: &[FlowSample],
    predictions: &Predictions,
    takes: impl Fn(&FlowSample) -> bool,
) -> BySubject {
    let people = subjects(samples);
    let people: Vec<Vec<usize>> = people
        .into_iter()
        .map(|p| p.into_iter().filter(|&i| takes(&samples[i])).collect::<Vec<_>>())
        .filter(|p| !p.is_empty())
        .collect();
    let confusions = |predicted: &Vec<usize>| -> Vec<Confusion> {
        people
            .iter()
            .map(|p| Confusion::from_pairs(p.iter().map(|&i| (samples[i].class, predicted[i]))))
            .collect()
    };
    BySubject(predictions.iter().map(confusions).collect())
}

/// Draw `draw` of `count` subjects: samples of those that train, and of all others.
pub fn few(samples: &[FlowSample], count: usize, draw: u64) -> Result<(Vec<usize>, Vec<usize>)> {
    let mut people = subjects(samples);
    ensure!(
        people.len() > count,
        "{} subjects: too few to train on {count} and test on others",
        people.len()
    );
    let mut rng = generator(count as u64, draw);
    for k in 0..count {
        let other = rng.random_range(k..people.len());
        people.swap(k, other);
    }
    let flat = |p: &[Vec<usize>]| p.iter().flatten().copied().collect();
    Ok((flat(&people[..count]), flat(&people[count..])))
}

/// UF1 on everybody else after training on the labels of `count` subjects of a draw: the small CNN from scratch, the
/// pretrained student, the untouched student, logistic regression.
pub fn few_labels(material: &PreparedSamples<'_>, count: usize, draw: u64) -> Result<[f64; 4]> {
    let (train, test) = few(material.samples, count, draw)?;
    let uf1 = |predicted: Vec<usize>| {
        Confusion::from_pairs(test.iter().zip(predicted).map(|(&i, c)| (material.samples[i].class, c))).uf1()
    };
    let score = |method| uf1(material.predict(method, &train, count, &test, draw));
    Ok([score(Method::Cnn), score(Method::Glint), uf1(material.zero_shot(&test)), score(Method::Logreg)])
}

/// UF1 of the pretrained student alone, as in [`few_labels`].
pub fn few_adapted(material: &PreparedSamples<'_>, count: usize, draw: u64) -> Result<f64> {
    let (train, test) = few(material.samples, count, draw)?;
    let predicted = material.predict(Method::Glint, &train, count, &test, draw);
    Ok(Confusion::from_pairs(test.iter().zip(predicted).map(|(&i, c)| (material.samples[i].class, c))).uf1())
}

#[cfg(test)]
mod tests {
    use super::super::megc;
    use super::*;

    #[test]
    fn whoever_is_left_out_trains_nothing_and_threads_change_nothing() {
        let dir = megc::tests::folder(6);
        let samples = megc::load(dir.path()).expect("samples");
        let mut student = Student::new(&Models::embedded().expect("models").student).expect("student");
        let mut material = PreparedSamples::new(&samples, &mut student).expect("material");
        // Whether it learns is tested beside the network; here it is a method with a seed.
        (material.schedules.ststnet.0.steps, material.schedules.ststnet.0.batch) = (2, 8);
        let bar = ProgressBar::hidden();
        let run = |method| leave_one_out(&material, method, 2, &bar).expect("runs");
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("pool");
        for method in [Method::Logreg, Method::Ststnet] {
            let predictions = run(method);
            assert_eq!(single.install(|| run(method)), predictions);
        }
        let totals = by_subject(&samples, &run(Method::Logreg), |_| true).totals();
        assert!(totals[0].uf1() > 0.9, "{totals:?}");
        assert_eq!(run(Method::Logreg).len(), 1);
        assert_eq!(run(Method::Ststnet).len(), 2);
        let (train, test) = few(&samples, 2, 0).expect("draws");
        assert_eq!((train.len(), test.len()), (12, 24));
        let subject = |i: &usize| (&samples[*i].database, &samples[*i].subject);
        assert!(train.iter().all(|a| test.iter().all(|b| subject(a) != subject(b))));
        few(&samples, 6, 0).expect_err("nobody to test");
    }
}
