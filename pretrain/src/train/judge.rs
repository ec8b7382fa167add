//! The judge of candidates: what each candidate of a sequence was, and the network that learns it.

use anyhow::{Result, ensure};
use burn::module::{AutodiffModule, Module};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::backend::Backend;
use glint::model::{Checked, FileSpec, Spec, sha256_hex};
use glint::spot::{CLIP, Candidate, Cause, Judge, JudgeSpec, MEASURES, Measures, NAMES};
use rand::Rng;

use super::{Schedule, fit, initialised};
use crate::augment::{generator, normal};
use crate::backend::{Cpu, CpuTrain};
use crate::corpus::plan::{Distractor, Micro, Span};
use crate::net::tensor;
use crate::run::Run;
use crate::spotting::score::iou;

/// Units of the hidden layers.
pub const HIDDEN: [usize; 2] = [48, 24];
/// Overlap with a movement from which a candidate is that movement, and under which it is another thing.
const IS: f64 = 0.5;
/// See [`IS`].
const IS_NOT: f64 = 0.2;
/// What happens so long before or after a candidate may have caused it.
const REACH_NS: i64 = 80_000_000;
/// Standard deviation of what is added to each standardised measure: another world measures otherwise. The most that costs
/// nothing in this one.
const JITTER: f32 = 0.5;
/// Share of the measures that are blanked out in a draw, each by itself.
const BLANK: f64 = 0.25;

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

/// The network in burn.
#[derive(Module, Debug)]
pub struct Net<B: Backend> {
    layers: Vec<Linear<B>>,
}

impl<B: Backend> Net<B> {
    fn new(device: &B::Device) -> Self {
        let sizes = [MEASURES, HIDDEN[0], HIDDEN[1], Cause::ALL.len()];
        Self { layers: sizes.windows(2).map(|s| LinearConfig::new(s[0], s[1]).init(device)).collect() }
    }

    fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().fold(x, |x, (k, layer)| {
            let y = layer.forward(x);
            if k < last { relu(y) } else { y }
        })
    }
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
    let weights = by_cause.each_ref().map(|of| (of.len() as f64).sqrt());
    let net = initialised(seed, &device, || Net::<CpuTrain>::new(&device));
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
        let found = net.forward(tensor(x, [batch, MEASURES], &device));
        let y: Tensor<CpuTrain, 2> = tensor(y, [batch, Cause::ALL.len()], &device);
        -(log_softmax(found, 1) * y).sum() / (batch as f32)
    })?;
    Ok(numbers(&net.valid(), mean, &scale))
}

fn numbers(net: &Net<Cpu>, mut out: Vec<f32>, scale: &[f32]) -> Vec<f32> {
    out.extend_from_slice(scale);
    for layer in &net.layers {
        // burn keeps `[inputs, outputs]`.
        let weight = layer.weight.val().transpose().into_data().to_vec::<f32>();
        out.extend(weight.unwrap_or_default());
        let bias = layer.bias.as_ref().map(|b| b.val().into_data().to_vec::<f32>().unwrap_or_default());
        out.extend(bias.unwrap_or_default());
    }
    out
}
