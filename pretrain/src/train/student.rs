//! Training pairs of the student: rendered faces through the daemon's own road.

use anyhow::Result;
use burn::module::AutodiffModule;
use burn::tensor::activation::log_softmax;
use glint::au::{AU_COUNT, AUS, Side, UNIT_COUNT, au_index, unit_indices};
use glint::event::Class;
use glint::geometry::Similarity;
use glint::pipeline::{pair_engine, sample};
use glint::student::pool2;
use glint::synth::{Pack, Subject, render_crop};
use rand::Rng;
use rayon::prelude::*;

use super::{Cpu, CpuTrain, Schedule, fit};
use crate::augment::{generator, normal};
use crate::net::{StudentNet, binary_cross_entropy, tensor};
use crate::run::Run;

/// AU combinations of each class: expert rules (see the model card for sources).
const NEGATIVE: [&[u8]; 12] =
    [&[4], &[4, 7], &[7], &[9], &[10], &[14], &[15], &[17], &[4, 9], &[20], &[24], &[15, 17]];
const POSITIVE: [&[u8]; 2] = [&[12], &[6, 12]];
const SURPRISE: [&[u8]; 4] = [&[1, 2], &[5], &[1, 2, 5], &[1, 2, 26]];
/// Share of each class: that of the databases.
const PRIOR: [f32; 3] = [0.5, 0.25, 0.25];

/// AU combinations of a class.
pub fn combinations(class: Class) -> &'static [&'static [u8]] {
    match class {
        Class::Negative => &NEGATIVE,
        Class::Positive => &POSITIVE,
        Class::Surprise => &SURPRISE,
    }
}

/// Index in [`Class::ALL`] of a class, as often as the databases have it.
pub fn random_class(rng: &mut impl Rng) -> usize {
    let draw: f32 = rng.random();
    usize::from(draw >= PRIOR[0]) + usize::from(draw >= PRIOR[0] + PRIOR[1])
}

/// One training sample.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The student's input after its 2x2 mean.
    pub motion: Vec<f32>,
    /// Index of the class in [`Class::ALL`].
    pub class: usize,
    /// 1 for each AU that moved.
    pub aus: [f32; AU_COUNT],
}

/// Renders pair `index` of a run.
pub fn pair(pack: &Pack, seed: u64, index: u64) -> Pair {
    let mut rng = generator(seed, index);
    let subject = Subject::random(pack.clone(), rng.random());
    let class = random_class(&mut rng);
    let rules = combinations(Class::ALL[class]);
    let combination = rules[rng.random_range(0..rules.len())];
    let mut fractions = [0.0f32; UNIT_COUNT];
    let mut aus = [0.0; AU_COUNT];
    let strength = 0.22 * (0.6 * normal(&mut rng)).exp();
    let side = match rng.random_range(0..10) {
        0 => Side::Left,
        1 => Side::Right,
        _ => Side::Both,
    };
    let mut add = |au: u8, value: f32, side: Side| {
        unit_indices(au, side).for_each(|k| fractions[k] = (fractions[k] + value).clamp(0.02, 1.0));
        if let Some(i) = au_index(au) {
            aus[i] = 1.0;
        }
    };
    for &au in combination {
        add(au, strength * (0.35 * normal(&mut rng)).exp(), side);
    }
    if rng.random_bool(0.4) {
        let stray = AUS[rng.random_range(0..AU_COUNT)];
        add(stray, 0.35 * strength * rng.random::<f32>(), Side::Both);
    }
    // What the stabiliser leaves, and a crop that sits a little differently on every face.
    let place = Similarity {
        a: 1.0 + 0.04 * normal(&mut rng),
        b: 0.02 * normal(&mut rng),
        tx: 2.5 * normal(&mut rng),
        ty: 3.0 * normal(&mut rng),
    };
    let residue = Similarity {
        a: 1.0 + 0.0006 * normal(&mut rng),
        b: 0.0006 * normal(&mut rng),
        tx: 0.05 * normal(&mut rng),
        ty: 0.05 * normal(&mut rng),
    };
    let noise = rng.random_range(0.2..1.6);
    let (mut onset, mut apex) = (Vec::new(), Vec::new());
    render_crop(&subject, &[0.0; UNIT_COUNT], &place, (noise, rng.random()), &mut onset);
    render_crop(&subject, &fractions, &residue.compose(&place), (noise, rng.random()), &mut apex);
    let motion = pool2(&sample(&mut pair_engine(), &onset, &apex));
    Pair { motion, class, aus }
}

/// Trains the student on `pairs`.
pub fn train(pairs: &[Pair], schedule: &Schedule, seed: u64, run: &Run) -> Result<StudentNet<Cpu>> {
    super::seed(seed);
    let device = Default::default();
    let n = schedule.batch;
    let inputs = pairs[0].motion.len();
    let model = fit(StudentNet::<CpuTrain>::new(0.5, &device), "student", schedule, run, |model, step| {
        let mut rng = generator(seed, step as u64);
        let (mut motion, mut classes, mut aus) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..n {
            let p = &pairs[rng.random_range(0..pairs.len())];
            motion.extend(p.motion.iter().map(|v| v + 0.6 * normal(&mut rng)));
            classes.extend((0..3).map(|c| if c == p.class { 1.0 } else { 0.0 }));
            aus.extend(p.aus);
        }
        let (class, au) = model.forward(tensor(motion, [n, inputs], &device));
        let target = tensor::<CpuTrain, 2>(classes, [n, 3], &device);
        let class_loss = (log_softmax(class, 1) * target).sum().neg() / n as f32;
        let ones = tensor(vec![1.0; n * AU_COUNT], [n, AU_COUNT], &device);
        let au_loss = binary_cross_entropy(au, tensor(aus, [n, AU_COUNT], &device), ones);
        class_loss + au_loss * 3.0
    })?;
    Ok(model.valid())
}

/// Class logits of `pairs`.
pub fn logits(model: &StudentNet<Cpu>, pairs: &[Pair]) -> Vec<[f32; 3]> {
    let device = Default::default();
    let motion: Vec<f32> = pairs.iter().flat_map(|p| p.motion.iter().copied()).collect();
    let (class, _) = model.forward(tensor(motion, [pairs.len(), pairs[0].motion.len()], &device));
    let flat = class.into_data().to_vec::<f32>().unwrap_or_default();
    flat.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect()
}

/// Renders `count` pairs of a run, in parallel, always the same.
pub fn pairs(pack: &Pack, seed: u64, count: usize) -> Vec<Pair> {
    (0..count as u64).into_par_iter().map(|i| pair(pack, seed, i)).collect()
}
