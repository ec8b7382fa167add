//! A teacher that begins as an encoder of motion: two heads, and all of it trained on the labels of synthetic movements,
//! classes and AU intensities.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burn::module::{AutodiffModule, Module};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use burn::tensor::backend::Backend;
use glint::au::AU_COUNT;
use glint::student::INPUT;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::augment::{generator, normal};
use crate::backend::{Cpu, CpuTrain};
use crate::contrast::encoder::Encoder;
use crate::contrast::recipe::ViewEncoding;
use crate::net::perceptron::mask;
use crate::net::{binary_cross_entropy, tensor};
use crate::run::{Run, checkpoint};
use crate::train::student::TrainingSample;
use crate::train::{Schedule, fit, initialised};

/// How an encoder is trained on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineTuning {
    /// Dropout of each fully connected layer of the encoder, or of the features of convolutions.
    pub dropout: f32,
    /// Standard deviation of the noise on the input, which has RMS 1.
    pub input_noise: f32,
    /// Weight of the loss of AU intensities.
    pub au_weight: f32,
    /// Steps, batch, rates.
    pub schedule: Schedule,
}

/// An encoder of motion with heads for classes and AUs.
#[derive(Module, Debug)]
struct Tuned<B: Backend> {
    encoder: Encoder<B>,
    class: Linear<B>,
    aus: Linear<B>,
}

impl<B: Backend> Tuned<B> {
    fn new(encoder: Encoder<B>, features: usize, device: &B::Device) -> Self {
        let head = |outputs| LinearConfig::new(features, outputs).init(device);
        Self { encoder, class: head(3), aus: head(AU_COUNT) }
    }

    fn fresh(side: &ViewEncoding, device: &B::Device) -> Self {
        Self::new(Encoder::new(&side.encoder, side.shape(), device), side.encoder.features(), device)
    }
}

/// A trained network in a file: what its encoder is like, and all weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedEncoder {
    side: ViewEncoding,
    /// Base64 of a record in f32.
    weights: String,
}

/// Samples that go through the network at once where nothing is trained.
const CHUNK: usize = 256;

impl TunedEncoder {
    /// Trains `encoder`, or without one fresh weights of the same shape, as `stage` of a run.
    pub fn train(
        side: &ViewEncoding,
        encoder: Option<&Encoder<CpuTrain>>,
        samples: &[TrainingSample],
        tuning: &FineTuning,
        (stage, seed): (&str, u64),
        run: &Run,
    ) -> Result<Self> {
        let shape @ [c, h, w] = side.shape();
        ensure!(shape.iter().product::<usize>() == INPUT, "teachers see motion alone, not {:?}", side.view);
        ensure!(!samples.is_empty(), "no samples");
        let device = Default::default();
        let net = initialised(seed, &device, || match encoder {
            Some(encoder) => Tuned::<CpuTrain>::new(encoder.clone(), side.encoder.features(), &device),
            None => Tuned::fresh(side, &device),
        });
        let n = tuning.schedule.batch;
        let net = fit(checkpoint::numbered(net), stage, &tuning.schedule, run, |net, step| {
            let mut rng = generator(seed, step as u64);
            let (mut motion, mut classes, mut aus) = (Vec::with_capacity(n * INPUT), Vec::new(), Vec::new());
            for _ in 0..n {
                let sample = &samples[rng.random_range(0..samples.len())];
                motion.extend(sample.motion.iter().map(|v| v + tuning.input_noise * normal(&mut rng)));
                classes.extend((0..3).map(|k| f32::from(k == sample.class)));
                aus.extend(sample.aus.intensity);
            }
            let x = tensor(motion, [n, c, h, w], &device);
            let features = net.encoder.forward_through(x, &mut |layer| {
                let width = layer.dims()[1];
                layer * mask(n, width, tuning.dropout, &mut rng, &device)
            });
            let wanted = tensor::<CpuTrain, 2>(classes, [n, 3], &device);
            let class = (log_softmax(net.class.forward(features.clone()), 1) * wanted).sum().neg() / n as f32;
            let ones = tensor(vec![1.0; n * AU_COUNT], [n, AU_COUNT], &device);
            let aus = tensor(aus, [n, AU_COUNT], &device);
            class + binary_cross_entropy(net.aus.forward(features), aus, ones) * tuning.au_weight
        })?;
        let record = checkpoint::to_bytes::<Cpu, _>(net.valid().into_record())?;
        Ok(Self { side: side.clone(), weights: STANDARD.encode(record) })
    }

    fn network(&self) -> Result<Tuned<Cpu>> {
        let device = Default::default();
        self.side.encoder.check().map_err(anyhow::Error::msg)?;
        let fresh = initialised(0, &device, || Tuned::<Cpu>::fresh(&self.side, &device));
        let record = STANDARD.decode(&self.weights).context("weights")?;
        let numbers = fresh.num_params();
        let net = fresh.load_record(checkpoint::from_bytes::<Cpu, _>(&record, &device).context("weights")?);
        ensure!(
            net.num_params() == numbers,
            "weights: {} numbers; the encoder has {numbers}",
            net.num_params()
        );
        Ok(net)
    }

    /// Fails where the weights are not those of such a network.
    pub fn check(&self) -> Result<()> {
        ensure!(self.side.shape().iter().product::<usize>() == INPUT, "not an encoder of motion");
        self.network().map(|_| ())
    }

    /// Class logits of samples.
    pub fn logits(&self, samples: &[TrainingSample]) -> Result<Vec<[f32; 3]>> {
        let net = self.network()?;
        let device = Default::default();
        let [c, h, w] = self.side.shape();
        let mut out = Vec::with_capacity(samples.len());
        for chunk in samples.chunks(CHUNK) {
            let motion = chunk.iter().flat_map(|s| s.motion.iter().copied()).collect();
            let features = net.encoder.forward(tensor(motion, [chunk.len(), c, h, w], &device));
            let logits: Tensor<Cpu, 2> = net.class.forward(features);
            let flat = logits.into_data().to_vec::<f32>().map_err(|e| anyhow::anyhow!("{e:?}"))?;
            out.extend(flat.chunks_exact(3).map(|z| [z[0], z[1], z[2]]));
        }
        Ok(out)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::contrast::shape::EncoderShape;
    use crate::contrast::views::View;
    use crate::train::student::TrueAus;

    pub(crate) fn side() -> ViewEncoding {
        ViewEncoding {
            view: View::Motion,
            reduce: 4,
            encoder: EncoderShape::Perceptron { layers: vec![24, 16] },
        }
    }

    /// Samples whose class stands in a third of the rows.
    pub(crate) fn samples(count: usize, seed: u64) -> Vec<TrainingSample> {
        (0..count)
            .map(|i| {
                let mut rng = generator(seed, i as u64);
                let class = i % 3;
                let hot = |k: usize| if k % 784 / 262 == class { 1.0 } else { 0.0 };
                let mut aus = TrueAus::default();
                (aus.moved[class], aus.intensity[class]) = (1.0, 1.0);
                TrainingSample { motion: (0..INPUT).map(|k| hot(k) + normal(&mut rng)).collect(), class, aus }
            })
            .collect()
    }

    pub(crate) fn tuning() -> FineTuning {
        let schedule = Schedule { steps: 40, batch: 32, learning_rate: 3e-3, weight_decay: 1e-2 };
        FineTuning { dropout: 0.2, input_noise: 0.3, au_weight: 1.0, schedule }
    }

    #[test]
    fn an_encoder_is_trained_on_and_read_again() {
        let dir = tempfile::tempdir().expect("folder");
        let recipe = std::collections::BTreeMap::from([("kind", "teacher")]);
        let device = Default::default();
        let encoder =
            initialised(9, &device, || Encoder::<CpuTrain>::new(&side().encoder, side().shape(), &device));
        let train = |encoder: Option<&Encoder<CpuTrain>>| {
            let run = Run::start_in(dir.path(), 1, &recipe, false).expect("run");
            TunedEncoder::train(&side(), encoder, &samples(90, 1), &tuning(), ("teacher-0", 5), &run)
                .expect("trains")
        };
        let (begun, again, fresh) = (train(Some(&encoder)), train(Some(&encoder)), train(None));
        assert_eq!(begun, again);
        assert_ne!(begun, fresh);
        let test = samples(60, 2);
        for teacher in [&begun, &fresh] {
            let logits = teacher.logits(&test).expect("logits");
            let best = |z: &[f32; 3]| (0..3).max_by(|&a, &b| z[a].total_cmp(&z[b])).unwrap_or(0);
            let right = logits.iter().zip(&test).filter(|(z, s)| best(z) == s.class).count();
            assert!(right >= 54, "{right} of 60");
        }
        let text = serde_json::to_string(&begun).expect("JSON");
        let read: TunedEncoder = serde_json::from_str(&text).expect("reads");
        read.check().expect("sound");
        assert_eq!(read.logits(&test).expect("logits"), begun.logits(&test).expect("logits"));
        let other = ViewEncoding { encoder: EncoderShape::Perceptron { layers: vec![24, 17] }, ..side() };
        let broken = TunedEncoder { side: other, ..read };
        assert!(broken.check().expect_err("other shape").to_string().contains("the encoder has"));
    }
}
