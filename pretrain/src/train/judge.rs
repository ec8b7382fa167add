//! The network that learns what a candidate is.

use anyhow::{Result, ensure};
use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use glint::model::{Checked, FileSpec, Spec, sha256_hex};
use glint::spot::{CLIP, Cause, Judge, JudgeSpec, MEASURES, Measures, NAMES};
use rand::Rng;

use super::{Schedule, fit, initialised};
use crate::augment::{generator, normal};
use crate::backend::CpuTrain;
use crate::net::judge::{HIDDEN, JudgeMember, MEMBERS, beside_each_other};
use crate::net::tensor;
use crate::run::Run;

/// Standard deviation of what is added to each standardised measure: another world measures otherwise. The most that costs
/// nothing in this one.
const JITTER: f32 = 0.5;
/// Share of the measures that are blanked out in a draw, each by itself.
const BLANK: f64 = 0.25;

/// A candidate that the judge learns from.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is known of it.
    pub measures: Measures,
    /// What it was.
    pub cause: Cause,
}

/// A judge that knows nothing and lets nothing pass.
pub fn untrained() -> Checked<JudgeSpec> {
    let scales = MEASURES..2 * MEASURES;
    let numbers = (0..Judge::numbers(HIDDEN)).map(|k| f32::from(u8::from(scales.contains(&k))));
    let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
    let sha256 = sha256_hex(&bytes);
    let file = FileSpec {
        kind: JudgeSpec::KIND.into(),
        file: "judge.bin".into(),
        sha256: sha256.clone(),
        made_by: String::new(),
    };
    let spec = JudgeSpec { file, hidden: HIDDEN, threshold: 1.0, measures: NAMES.map(str::to_owned).into() };
    Checked { path: "judge.toml".into(), spec, sha256, bytes: bytes.into() }
}

/// The judge of such numbers. Before it is trained all are zero: scales of nothing are ones.
pub fn judge(numbers: &[f32], threshold: f32) -> Judge {
    let mut numbers = numbers.to_vec();
    numbers[MEASURES..2 * MEASURES].iter_mut().filter(|s| **s <= 0.0).for_each(|s| *s = 1.0);
    Judge::new(HIDDEN, threshold, &numbers)
}

/// Trains on `cases`; the numbers of `glint::spot::Judge` come back.
pub fn train(cases: &[Case], schedule: &Schedule, seed: u64, run: &Run) -> Result<Vec<f32>> {
    ensure!(cases.len() >= schedule.batch, "{} candidates; at least {}", cases.len(), schedule.batch);
    let device = Default::default();
    let n = cases.len() as f64;
    let mean: Vec<f32> = (0..MEASURES)
        .map(|k| (cases.iter().map(|c| f64::from(c.measures[k])).sum::<f64>() / n) as f32)
        .collect();
    let scale: Vec<f32> = (0..MEASURES)
        .map(|k| {
            let squares = cases.iter().map(|c| f64::from(c.measures[k] - mean[k]).powi(2)).sum::<f64>();
            (squares / n).sqrt() as f32 + 1e-4
        })
        .collect();
    // Rare causes are drawn more often than they occur: by the root of their number.
    let by_cause =
        Cause::ALL.map(|cause| (0..cases.len()).filter(|&i| cases[i].cause == cause).collect::<Vec<_>>());
    let weights = by_cause.each_ref().map(|indices| (indices.len() as f64).sqrt());
    let mut members = Vec::with_capacity(MEMBERS);
    for member in 0..MEMBERS as u64 {
        let seed = seed.wrapping_mul(MEMBERS as u64).wrapping_add(member);
        let net = initialised(seed, &device, || JudgeMember::<CpuTrain>::new(&device));
        let batch = schedule.batch;
        let net = fit(net, "judge", schedule, run, |net, step| {
            let mut rng = generator(seed ^ 0x6a75, step as u64);
            let (mut x, mut y) = (Vec::with_capacity(batch * MEASURES), vec![0.0; batch * Cause::ALL.len()]);
            for row in 0..batch {
                let mut left = rng.random_range(0.0..weights.iter().sum::<f64>());
                let drawn = weights
                    .iter()
                    .position(|w| {
                        left -= w;
                        left < 0.0
                    })
                    .unwrap_or(0);
                let case = &cases[by_cause[drawn][rng.random_range(0..by_cause[drawn].len())]];
                x.extend(case.measures.iter().zip(&mean).zip(&scale).map(|((m, mean), scale)| {
                    let blank = rng.random_bool(BLANK);
                    let v = ((m - mean) / scale).clamp(-CLIP, CLIP) + JITTER * normal(&mut rng);
                    if blank { 0.0 } else { v }
                }));
                y[row * Cause::ALL.len() + case.cause as usize] = 1.0;
            }
            let logits = net.forward(tensor(x, [batch, MEASURES], &device));
            let y: Tensor<CpuTrain, 2> = tensor(y, [batch, Cause::ALL.len()], &device);
            -(log_softmax(logits, 1) * y).sum() / (batch as f32)
        })?;
        members.push(net.valid().layers());
    }
    let mut out = [mean, scale].concat();
    out.extend(beside_each_other(&members));
    Ok(out)
}
