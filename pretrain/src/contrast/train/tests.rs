//! The training of pairs: resumed runs, what is learned, defects on request, agreement of the GPU's kernels.

use super::*;
use crate::backend::CpuTrain;
use crate::contrast::shape::EncoderShape;
use crate::run::checkpoint::to_bytes;
use burn::module::Module;

fn recipe() -> PretrainRecipe {
    let side = |view, encoder| ViewEncoding { view, reduce: 4, encoder };
    PretrainRecipe {
        epochs: 3,
        batch: 8,
        temperature: 0.1,
        flip: true,
        noise: 0.0,
        first: side(View::Motion, EncoderShape::Perceptron { layers: vec![16, 8] }),
        second: side(View::Appearance, EncoderShape::Residual { channels: vec![8], blocks: 1 }),
        negatives: Negatives::Bank { count: 12, momentum: 0.5 },
        optimiser: Optimiser::Sgd { rate: 0.05, momentum: 0.9, decay: 1e-4 },
        defects: Default::default(),
    }
}

/// Pairs whose two views share a pattern of their own.
fn views(count: usize, seed: u64) -> Views {
    let recipe = recipe();
    let mut out = Views::default();
    for i in 0..count {
        let mut rng = generator(seed, i as u64);
        let code: Vec<f32> = (0..4).map(|_| normal(&mut rng)).collect();
        let mut view = |side: &ViewEncoding| -> Vec<f32> {
            let n: usize = side.shape().iter().product();
            (0..n).map(|k| code[4 * k / n] + 0.3 * normal(&mut rng)).collect()
        };
        out.first.extend(view(&recipe.first));
        out.second.extend(view(&recipe.second));
        out.intensities.push([0.0; AU_COUNT]);
        out.len += 1;
    }
    out
}

fn weights(dir: &std::path::Path, resume: bool, stop_at: usize) -> Result<Vec<u8>> {
    let (recipe, train, held) = (recipe(), views(32, 1), views(16, 2));
    let run = Run::start_in(dir, 5, &recipe, resume)?;
    let job = Job::<CpuTrain> {
        recipe: &recipe,
        views: &train,
        held: &held,
        run: &run,
        stage: "t",
        start: None,
        stop_at,
    };
    to_bytes::<CpuTrain, _>(job.run(&Default::default())?.towers.into_record())
}

#[test]
fn a_resumed_training_ends_with_the_same_bits() {
    let (whole, cut) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let expected = weights(whole.path(), false, usize::MAX).expect("trains");
    weights(cut.path(), false, 5).expect_err("stops");
    assert!(weights(cut.path(), true, usize::MAX).expect("resumes") == expected);
    let metrics =
        |d: &tempfile::TempDir| std::fs::read_to_string(d.path().join("metrics.jsonl")).expect("log");
    assert_eq!(metrics(&cut), metrics(&whole));
    assert_eq!(metrics(&whole).matches("retrieval_first_second").count(), 3);
}

#[test]
fn views_that_belong_together_find_each_other() {
    let recipe = PretrainRecipe {
        epochs: 25,
        batch: 64,
        flip: false,
        second: ViewEncoding { encoder: recipe().first.encoder, ..recipe().second },
        negatives: Negatives::InBatch { alike: 0.0 },
        optimiser: Optimiser::Adamw { rate: 3e-3, decay: 1e-3 },
        ..recipe()
    };
    let dir = tempfile::tempdir().expect("folder");
    let run = Run::start_in(dir.path(), 1, &recipe, false).expect("run");
    let done = train::<CpuTrain>(&recipe, &views(512, 1), &views(32, 2), &run, "t", &Default::default())
        .expect("trains");
    assert!(done.retrieval.iter().all(|r| *r > 0.3), "{:?}; chance is .03", done.retrieval);
}

#[test]
fn defects_do_what_they_say() {
    let (views, recipe) = (views(32, 1), recipe());
    let batch = |defects| Loader::new(&PretrainRecipe { defects, ..recipe.clone() }, &views, 1).batch(0);
    let size = |side: &ViewEncoding| side.shape().iter().product::<usize>();
    let plain = batch(Default::default());
    let mismatched = batch(crate::contrast::recipe::Defects { mismatched: 1.0, ..Default::default() });
    assert!(plain.first == mismatched.first && plain.second != mismatched.second);
    let unpaired = batch(crate::contrast::recipe::Defects { unpaired_flips: true, ..Default::default() });
    assert_eq!(plain.indices, unpaired.indices);
    // Mirrored together, each view is the sample or its mirror image, both alike.
    let is_plain =
        |values: &[f32], all: &[f32], k: usize, i: usize, n: usize| values[k * n..][..n] == all[i * n..][..n];
    let agree = |b: &Batch| {
        let (n, m) = (size(&recipe.first), size(&recipe.second));
        b.indices.iter().enumerate().all(|(k, &i)| {
            is_plain(&b.first, &views.first, k, i, n) == is_plain(&b.second, &views.second, k, i, m)
        })
    };
    assert!(agree(&plain) && !agree(&unpaired));
    // Without a gradient the second tower stays as it was drawn.
    let dir = tempfile::tempdir().expect("folder");
    let still = PretrainRecipe {
        epochs: 1,
        optimiser: Optimiser::Sgd { rate: 0.05, momentum: 0.0, decay: 0.0 },
        defects: crate::contrast::recipe::Defects { second_without_gradient: true, ..Default::default() },
        ..recipe.clone()
    };
    let run = Run::start_in(dir.path(), 5, &still, false).expect("run");
    let device = Default::default();
    let drawn = initialised(5, &device, || TwoTowers::<CpuTrain>::new(&recipe, &device));
    let drawn = checkpoint::numbered::<CpuTrain, _>(drawn);
    let bytes = |t: &Tower<CpuTrain>| to_bytes::<CpuTrain, _>(t.clone().into_record()).expect("bytes");
    let done = train::<CpuTrain>(&still, &views, &views, &run, "t", &device).expect("trains").towers;
    assert!(bytes(&done.second) == bytes(&drawn.second) && bytes(&done.first) != bytes(&drawn.first));
}

/// The kernels of a GPU, on Mesa's software driver where there is no GPU: the same weights, the same steps, losses and
/// features as on the processor. Both kinds of negatives, perceptron and convolutions.
#[cfg(feature = "vulkan")]
#[test]
fn vulkan_agrees_with_the_processor() {
    let name = match crate::backend::device::probe::vulkan() {
        Ok(name) => name,
        Err(e) => return eprintln!("skipped: {e}"),
    };
    for negatives in [recipe().negatives, Negatives::InBatch { alike: 0.5 }] {
        let recipe = PretrainRecipe { epochs: 1, negatives, ..recipe() };
        let (losses, worst) = both_devices(&recipe);
        println!("{name}, {negatives:?}: features within {worst:.1e}; losses {losses:?}");
        // Of the first step and of the last.
        assert_eq!(losses.len(), 2);
        for [cpu, gpu] in losses {
            assert!((cpu - gpu).abs() < 1e-3 * cpu.abs().max(1.0), "{cpu} {gpu}");
        }
        assert!(worst < 1e-2, "features differ by {worst}");
    }
}

/// Trains the same weights on the processor and by Vulkan: losses of both at each step, and the greatest difference of
/// features afterwards.
#[cfg(feature = "vulkan")]
fn both_devices(recipe: &PretrainRecipe) -> (Vec<[f64; 2]>, f32) {
    type Gpu = burn::backend::Autodiff<burn::backend::Vulkan>;
    let (mut train, held) = (views(32, 1), views(16, 2));
    train.intensities.iter_mut().enumerate().for_each(|(i, x)| x[0] = (i % 4) as f32);
    let device = Default::default();
    let start = initialised(3, &device, || TwoTowers::<CpuTrain>::new(recipe, &device));
    let start = to_bytes::<CpuTrain, _>(start.into_record()).expect("bytes");
    let (cpu_losses, cpu) =
        steps(recipe, &train, &held, loaded::<CpuTrain>(recipe, &start, &device), &device);
    let device = crate::backend::device::vulkan_device();
    let (gpu_losses, gpu) = steps(recipe, &train, &held, loaded::<Gpu>(recipe, &start, &device), &device);
    assert_eq!(cpu_losses.len(), gpu_losses.len());
    let worst = cpu.iter().zip(&gpu).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
    (cpu_losses.into_iter().zip(gpu_losses).map(|(c, g)| [c, g]).collect(), worst)
}

#[cfg(feature = "vulkan")]
fn loaded<B: AutodiffBackend>(recipe: &PretrainRecipe, bytes: &[u8], device: &B::Device) -> TwoTowers<B> {
    let record = crate::run::checkpoint::from_bytes::<B, _>(bytes, device).expect("record");
    TwoTowers::<B>::new(recipe, device).load_record(record)
}

/// Losses of the steps and features of the first view of `held` afterwards.
#[cfg(feature = "vulkan")]
fn steps<B: AutodiffBackend>(
    recipe: &PretrainRecipe,
    train: &Views,
    held: &Views,
    start: TwoTowers<B>,
    device: &B::Device,
) -> (Vec<f64>, Vec<f32>) {
    let dir = tempfile::tempdir().expect("folder");
    let run = Run::start_in(dir.path(), 5, recipe, false).expect("run");
    let start = Some(start);
    let job = Job::<B> { recipe, views: train, held, run: &run, stage: "t", start, stop_at: usize::MAX };
    let towers = job.run(device).expect("trains").towers.valid();
    let text = std::fs::read_to_string(dir.path().join("metrics.jsonl")).expect("log");
    let lines = text.lines().map(|l| serde_json::from_str::<Value>(l).expect("json"));
    let losses = lines.filter_map(|l| l["loss"].as_f64()).collect();
    let encode = |tower, side: &ViewEncoding, view: &[f32]| features(tower, side, view, device).concat();
    let mut all = encode(&towers.first, &recipe.first, &held.first);
    all.extend(encode(&towers.second, &recipe.second, &held.second));
    (losses, all)
}
