//! Training pairs of the student: displacement fields with exact truth, and rendered faces through the daemon's own road;
//! and how teachers and student are trained on them.

use anyhow::{Result, ensure};
use burn::module::AutodiffModule;
use burn::tensor::activation::log_softmax;
use glint::au::{AU_COUNT, AUS, Side, UNIT_COUNT, au_index, unit_indices};
use glint::event::Class;
use glint::face::{MIDDLE_X, RIGHT_EYE};
use glint::flow::Flow;
use glint::geometry::Point;
use glint::pipeline::pair_engine;
use glint::student::{COLUMN_PX, ROW_PX, SIDE, pool2, prepare, resample};
use glint::synth::{Face, combinations, render_crop};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Schedule, fit, initialised};
use crate::augment::{generator, normal, similarity_about, stabiliser_residue};
use crate::backend::CpuTrain;
use crate::corpus::fields::{Fields, Place};
use crate::corpus::rules::random_class;
use crate::net::perceptron::{Perceptron, PerceptronNet, mask};
use crate::net::{binary_cross_entropy, tensor};
use crate::run::{Run, bar};

/// How large movements are, and what moves along.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Movements {
    /// Median of the whole movement's strength, as a fraction of the full shape.
    pub strength: f32,
    /// Standard deviation of its logarithm.
    pub spread: f32,
    /// Standard deviation of the logarithm of each AU's own strength.
    pub part_spread: f32,
    /// Share of movements on one side alone.
    pub one_sided: f32,
    /// Share of movements with a stray AU.
    pub stray: f32,
    /// Greatest strength of the stray AU, as a share of the movement's.
    pub stray_share: f32,
    /// Standard deviation of yaw and pitch between onset and apex, in degrees.
    pub turn_deg: f32,
}

/// How the frame sits on the face: standard deviations.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frames {
    /// Shift in cells of the student's grid.
    pub shift: f32,
    /// Logarithm of the zoom, rows and columns apart.
    pub zoom: f32,
}

/// Patchy errors of a measured flow that neither exact fields nor clean renderings have.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Median standard deviation at 1, 4 and 7 cells, in cells.
    pub scales: [f32; 3],
    /// Standard deviation of its logarithm between samples.
    pub spread: f32,
    /// Share of the rendered pairs that get it too; exact fields all do.
    pub rendered: f32,
}

/// How one network is trained.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Units of the hidden layers.
    pub hidden: [usize; 2],
    /// Dropout of the hidden layers.
    pub dropout: f32,
    /// Standard deviation of the noise on the input, which has RMS 1.
    pub input_noise: f32,
    /// Weight of the AU loss.
    pub au_weight: f32,
    /// Steps, batch, rates.
    pub schedule: Schedule,
}

/// What is synthesised.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyntheticMaterial {
    /// People, portraits and heads in turn.
    pub people: usize,
    /// Samples of exact fields.
    pub fields: usize,
    /// Samples of rendered faces through the daemon's road.
    pub rendered: usize,
    /// Movements.
    pub movements: Movements,
    /// Where the frame sits.
    pub frames: Frames,
    /// Noise on exact fields.
    pub noise: Noise,
}

/// What is true of the AUs of a movement, in the order of [`AUS`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TrueAus {
    /// 1 for each AU that moved.
    pub moved: [f32; AU_COUNT],
    /// Intensity of each AU as a share of the strongest one's: the student's input has no absolute scale.
    pub intensity: [f32; AU_COUNT],
}

/// One training sample.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSample {
    /// The student's input, 3 x 28 x 28.
    pub motion: Vec<f32>,
    /// Index of the class in [`Class::ALL`].
    pub class: usize,
    /// Its AUs.
    pub aus: TrueAus,
}

/// A movement as two stabilised crops.
pub struct Crops {
    /// The neutral face.
    pub onset: Vec<f32>,
    /// The face at its apex.
    pub apex: Vec<f32>,
    /// Index of the class in [`Class::ALL`].
    pub class: usize,
    /// Its AUs.
    pub aus: TrueAus,
}

struct TrainingMovement {
    class: usize,
    fractions: [f32; UNIT_COUNT],
    aus: TrueAus,
}

impl Movements {
    fn draw(&self, rng: &mut impl Rng) -> TrainingMovement {
        let class = random_class(rng);
        let rules = combinations(Class::ALL[class]);
        let combination = rules[rng.random_range(0..rules.len())];
        let mut out = TrainingMovement { class, fractions: [0.0; UNIT_COUNT], aus: TrueAus::default() };
        let strength = self.strength * (self.spread * normal(rng)).exp();
        let side = match rng.random::<f32>() / self.one_sided.max(1e-6) {
            ..0.5 => Side::Left,
            0.5..1.0 => Side::Right,
            _ => Side::Both,
        };
        let mut add = |au: u8, value: f32, side: Side| {
            unit_indices(au, side)
                .for_each(|k| out.fractions[k] = (out.fractions[k] + value).clamp(0.02, 1.0));
            if let Some(i) = au_index(au) {
                out.aus.moved[i] = 1.0;
            }
        };
        for &au in combination {
            add(au, strength * (self.part_spread * normal(rng)).exp(), side);
        }
        if rng.random::<f32>() < self.stray {
            let stray = AUS[rng.random_range(0..AU_COUNT)];
            add(stray, self.stray_share * strength * rng.random::<f32>(), Side::Both);
        }
        let greatest = out.fractions.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        for (intensity, au) in out.aus.intensity.iter_mut().zip(AUS) {
            let units = unit_indices(au, Side::Both).map(|k| out.fractions[k]);
            *intensity = units.fold(0.0, f32::max) / greatest;
        }
        out
    }

    fn turn(&self, rng: &mut impl Rng) -> [f32; 2] {
        [(); 2].map(|()| self.turn_deg.to_radians() * normal(rng))
    }
}

impl SyntheticMaterial {
    /// A sample of an exact field.
    fn field(&self, fields: &Fields, rng: &mut impl Rng) -> TrainingSample {
        let TrainingMovement { class, fractions, aus } = self.movements.draw(rng);
        let turn = self.movements.turn(rng);
        let place = Place {
            shift: [(); 2].map(|()| self.frames.shift * normal(rng)),
            zoom: [(); 2].map(|()| (self.frames.zoom * normal(rng)).exp()),
        };
        let mut flow = fields.movement(&fractions, turn, &place);
        self.noise.add(&mut flow, rng);
        TrainingSample { motion: prepare(&flow), class, aus }
    }

    /// A sample of rendered faces: flow between two crops, as the daemon measures it.
    fn rendered<F: Face>(&self, face: &F, rng: &mut impl Rng) -> TrainingSample {
        let Crops { onset, apex, class, aus } = self.crops(face, rng);
        // `pipeline::sample` in two steps: noise comes between them.
        let mut engine = pair_engine();
        engine.set_reference(&onset);
        let mut flow = resample(engine.run(&apex));
        if rng.random::<f32>() < self.noise.rendered {
            self.noise.add(&mut flow, rng);
        }
        TrainingSample { motion: prepare(&flow), class, aus }
    }

    /// A movement as two stabilised crops.
    pub fn crops<F: Face>(&self, face: &F, rng: &mut impl Rng) -> Crops {
        let TrainingMovement { class, fractions, aus } = self.movements.draw(rng);
        // The frame is moved by moving the face; what the stabiliser leaves moves the apex alone.
        let zoom = (self.frames.zoom * normal(rng)).exp();
        let center = Point::new(MIDDLE_X, RIGHT_EYE.y + 35.0);
        let turn = 0.02 * normal(rng);
        let shift = [COLUMN_PX * self.frames.shift * normal(rng), ROW_PX * self.frames.shift * normal(rng)];
        let place = similarity_about(center, zoom, turn, shift);
        let residue = stabiliser_residue(rng, center);
        let noise = rng.random_range(0.2..1.6);
        let (mut onset, mut apex) = (Vec::new(), Vec::new());
        render_crop(face, &[0.0; UNIT_COUNT], &place, (noise, rng.random()), &mut onset);
        render_crop(face, &fractions, &residue.compose(&place), (noise, rng.random()), &mut apex);
        Crops { onset, apex, class, aus }
    }

    /// All samples on `people`: exact fields first, rendered ones after them. The same on any number of threads.
    pub fn pairs<F: Face + Sync>(&self, people: &[F], seed: u64) -> Result<Vec<TrainingSample>> {
        ensure!(!people.is_empty() && self.fields + self.rendered > 0, "no people or no samples");
        let mut out = Vec::with_capacity(self.fields + self.rendered);
        if self.fields > 0 {
            let measured = bar("fields", people.len() as u64);
            let fields: Vec<Fields> =
                people.par_iter().map(|p| Fields::measure(p)).inspect(|_| measured.inc(1)).collect();
            measured.finish_and_clear();
            out.par_extend((0..self.fields).into_par_iter().map(|i| {
                let mut rng = generator(seed, i as u64);
                self.field(&fields[rng.random_range(0..fields.len())], &mut rng)
            }));
        }
        let drawn = bar("rendered pairs", self.rendered as u64);
        out.par_extend((0..self.rendered).into_par_iter().map(|i| {
            let mut rng = generator(seed ^ 0x7265_6e64, i as u64);
            let pair = self.rendered(&people[rng.random_range(0..people.len())], &mut rng);
            drawn.inc(1);
            pair
        }));
        drawn.finish_and_clear();
        Ok(out)
    }
}

impl Noise {
    fn add(&self, flow: &mut Flow, rng: &mut impl Rng) {
        for (cells, median) in [1, 4, 7].into_iter().zip(self.scales).filter(|(_, m)| *m > 0.0) {
            let deviation = median * (self.spread * normal(rng)).exp();
            for plane in [&mut flow.u, &mut flow.v] {
                let patches = patches(cells, rng);
                let square = patches.iter().map(|v| v * v).sum::<f32>() / patches.len() as f32;
                let scale = deviation / square.sqrt().max(1e-6);
                plane.iter_mut().zip(&patches).for_each(|(p, n)| *p += scale * n);
            }
        }
    }
}

/// Noise of [`SIDE`] x [`SIDE`] whose values change smoothly over `cells`.
fn patches(cells: usize, rng: &mut impl Rng) -> Vec<f32> {
    let side = SIDE / cells + 2;
    let grid: Vec<f32> = (0..side * side).map(|_| normal(rng)).collect();
    let split = |k: usize| (k / cells, (k % cells) as f32 / cells as f32);
    (0..SIDE * SIDE)
        .map(|i| {
            let ((x, fx), (y, fy)) = (split(i % SIDE), split(i / SIDE));
            let row = |y: usize| grid[y * side + x] + fx * (grid[y * side + x + 1] - grid[y * side + x]);
            row(y) + fy * (row(y + 1) - row(y))
        })
        .collect()
}

/// What a network learns of each sample beside its AUs.
pub enum Target<'a> {
    /// The class.
    Class,
    /// Probabilities of the classes that its teachers give.
    Teacher(&'a [[f32; 3]]),
}

/// Rows after the 2x2 mean.
pub fn rows(pairs: &[TrainingSample]) -> Vec<f32> {
    pairs.iter().flat_map(|p| pool2(&p.motion)).collect()
}

/// Trains one network as `stage` of a run; `inputs` are [`rows`] of `pairs`, or any other numbers, as many for each.
pub fn train(
    pairs: &[TrainingSample],
    inputs: &[f32],
    target: &Target<'_>,
    training: &Training,
    stage: &str,
    seed: u64,
    run: &Run,
) -> Result<Perceptron> {
    let device = Default::default();
    let n = training.schedule.batch;
    ensure!(!pairs.is_empty() && inputs.len().is_multiple_of(pairs.len()), "rows and samples do not match");
    let size = inputs.len() / pairs.len();
    let net = initialised(seed, &device, || PerceptronNet::<CpuTrain>::new(size, training.hidden, &device));
    let net = fit(net, stage, &training.schedule, run, |net, step| {
        let mut rng = generator(seed, step as u64);
        let (mut motion, mut classes, mut aus) = (Vec::with_capacity(n * size), Vec::new(), Vec::new());
        for _ in 0..n {
            let k = rng.random_range(0..pairs.len());
            motion.extend(
                inputs[k * size..(k + 1) * size].iter().map(|v| v + training.input_noise * normal(&mut rng)),
            );
            match target {
                Target::Class => classes.extend((0..3).map(|c| f32::from(c == pairs[k].class))),
                Target::Teacher(p) => classes.extend(p[k]),
            }
            aus.extend(pairs[k].aus.moved);
        }
        let masks = training.hidden.map(|h| mask(n, h, training.dropout, &mut rng, &device));
        let (class, au) = net.forward(tensor(motion, [n, size], &device), masks);
        let wanted = tensor::<CpuTrain, 2>(classes, [n, 3], &device);
        let class_loss = (log_softmax(class, 1) * wanted).sum().neg() / n as f32;
        let ones = tensor(vec![1.0; n * AU_COUNT], [n, AU_COUNT], &device);
        let au_loss = binary_cross_entropy(au, tensor(aus, [n, AU_COUNT], &device), ones);
        class_loss + au_loss * training.au_weight
    })?;
    Ok(net.valid().fold(inputs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use glint::pipeline::sample;
    use glint::synth::{Pack, Subject};

    fn material() -> SyntheticMaterial {
        SyntheticMaterial {
            people: 2,
            fields: 40,
            rendered: 4,
            movements: Movements {
                strength: 0.22,
                spread: 0.6,
                part_spread: 0.35,
                one_sided: 0.2,
                stray: 0.4,
                stray_share: 0.35,
                turn_deg: 0.5,
            },
            frames: Frames { shift: 1.0, zoom: 0.1 },
            noise: Noise { scales: [0.1; 3], spread: 0.5, rendered: 0.5 },
        }
    }

    #[test]
    fn pairs_do_not_depend_on_threads_and_hold_what_was_asked() {
        let pack = Pack::embedded().expect("pack");
        let people: Vec<Subject> = (0..2).map(|k| Subject::random(pack.clone(), k)).collect();
        let material = material();
        let pairs = material.pairs(&people, 5).expect("pairs");
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("pool");
        assert_eq!(single.install(|| material.pairs(&people, 5)).expect("pairs"), pairs);
        assert_eq!(pairs.len(), 44);
        for p in &pairs {
            assert!(p.motion.iter().all(|v| v.is_finite()) && p.aus.moved.iter().sum::<f32>() >= 1.0);
            assert!(
                p.aus.intensity.iter().all(|v| (0.0..=1.0).contains(v)) && p.aus.intensity.contains(&1.0)
            );
            let both = p.aus.moved.iter().zip(p.aus.intensity);
            assert!(both.into_iter().all(|(moved, intensity)| (*moved == 1.0) == (intensity > 0.0)));
        }
    }

    #[test]
    fn rendered_pairs_are_the_daemons_samples_but_for_the_noise_asked_for() {
        let face = Subject::random(Pack::embedded().expect("pack"), 4);
        let mut material = material();
        let crops = material.crops(&face, &mut generator(7, 1));
        let daemon = sample(&mut pair_engine(), &crops.onset, &crops.apex);
        material.noise.rendered = 0.0;
        assert_eq!(material.rendered(&face, &mut generator(7, 1)).motion, daemon);
        material.noise.rendered = 1.0;
        let noisy = material.rendered(&face, &mut generator(7, 1)).motion;
        let difference =
            noisy.iter().zip(&daemon).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / daemon.len() as f32;
        assert!((0.01..1.5).contains(&difference), "{difference}");
    }

    #[test]
    fn sides_come_as_often_as_asked() {
        let mut rng = generator(1, 1);
        let movements = Movements { stray: 0.0, one_sided: 0.3, ..material().movements };
        let mut one_sided = 0;
        for _ in 0..2000 {
            let m = movements.draw(&mut rng);
            let [left, right] = [Side::Left, Side::Right].map(|s| {
                AUS.iter().flat_map(|&au| unit_indices(au, s)).filter(|&k| m.fractions[k] > 0.0).count()
            });
            one_sided += usize::from(left != right);
        }
        // Central AUs have no side: a little less than asked.
        assert!((400..640).contains(&one_sided), "{one_sided}");
    }
}
