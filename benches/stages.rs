//! The inner stages by themselves, on the synthetic subject: `cargo bench --bench stages`, or
//! `cargo bench --bench stages -- flow` for one group.
//!
//! `glintd bench` times the stages of a whole pipeline over a clip. These benches compare two versions of one stage:
//! criterion keeps the times of the run before and says whether they differ.

use std::error::Error;
use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion};
use glint::au::{Side, UNIT_COUNT, unit_indices};
use glint::face::patch::Patch;
use glint::face::stabilise::Stabiliser;
use glint::face::{CROP_HEIGHT, CROP_WIDTH};
use glint::flow::{FlowEngine, FlowSettings};
use glint::frame::Frame;
use glint::gate::Gate;
use glint::geometry::Similarity;
use glint::int8::onnx::input_shape;
use glint::int8::stack::Stack;
use glint::int8::{Kernel, fixture};
use glint::intensity::{AuNet, FEATURES, features, motion};
use glint::model::{Engine, Network, parse_onnx};
use glint::pipeline::Models;
use glint::spot::{Context, Judge, Sample, SpotSettings, Spotter};
use glint::synth::{Action, Camera, Pack, Scene, Script, Subject, face_to_crop, render_crop};

type Outcome = Result<(), Box<dyn Error>>;

/// A crop of the subject at rest, and one with raised lip corners, with the noise of a camera.
fn crops() -> Result<[Vec<f32>; 2], Box<dyn Error>> {
    let subject = Subject::random(Pack::embedded()?, 1);
    let mut smile = [0.0; UNIT_COUNT];
    unit_indices(12, Side::Both).for_each(|unit| smile[unit] = 0.3);
    let mut crops = [Vec::new(), Vec::new()];
    for (k, (crop, fractions)) in crops.iter_mut().zip([[0.0; UNIT_COUNT], smile]).enumerate() {
        render_crop(&subject, &fractions, &Similarity::IDENTITY, (0.5, k as u64 + 1), crop);
    }
    Ok(crops)
}

fn flow(c: &mut Criterion) -> Outcome {
    let [neutral, smile] = crops()?;
    let mut group = c.benchmark_group("flow");
    let settings =
        [("coarse", FlowSettings::COARSE), ("quick", FlowSettings::QUICK), ("fine", FlowSettings::FINE)];
    for (name, settings) in settings {
        let mut engine = FlowEngine::new(CROP_WIDTH, CROP_HEIGHT, settings);
        engine.set_reference(&neutral);
        group.bench_function(name, |b| b.iter(|| engine.run(black_box(&smile)).u[0]));
    }
    let mut engine = FlowEngine::new(CROP_WIDTH, CROP_HEIGHT, FlowSettings::QUICK);
    group.bench_function("set_reference", |b| b.iter(|| engine.set_reference(black_box(&neutral))));
    engine.set_reference(&neutral);
    let (flow, mut strain) = (engine.run(&smile), Vec::new());
    group.bench_function("strain", |b| b.iter(|| black_box(flow).strain(&mut strain)));
    group.finish();
    Ok(())
}

fn stabiliser(c: &mut Criterion) -> Outcome {
    let subject = Subject::random(Pack::embedded()?, 1);
    let crop_to_face = face_to_crop(&subject).inverse();
    let mut scene = Scene::new(subject, Script::new(Vec::new())?, Camera::default());
    let place = scene.truth(0).head.compose(&crop_to_face);
    let (mut patch, mut frame) = (Patch::default(), Frame::default());
    scene.render(0, 0, &mut frame);
    if !patch.load(&frame, &place) {
        return Err("the face lies outside of the frame".into());
    }
    let mut crop = vec![0.0; CROP_WIDTH * CROP_HEIGHT];
    patch.sample(&place, 1.0, &mut crop, CROP_WIDTH);
    let mut stabiliser = Stabiliser::new();
    let mut group = c.benchmark_group("stabiliser");
    group.bench_function("load", |b| b.iter(|| patch.load(black_box(&frame), &place)));
    group.bench_function("set_reference", |b| b.iter(|| stabiliser.set_reference(black_box(&crop))));
    stabiliser.set_reference(&crop);
    // A third of a second later: the head has moved a little, as it does from frame to frame.
    scene.render(20, 333_000_000, &mut frame);
    patch.load(&frame, &place);
    group.bench_function("register", |b| b.iter(|| stabiliser.register(black_box(&patch), place)));
    group.finish();
    Ok(())
}

fn au_network(c: &mut Criterion) -> Outcome {
    let [neutral, smile] = crops()?;
    let mut engine = FlowEngine::new(CROP_WIDTH, CROP_HEIGHT, FlowSettings::QUICK);
    engine.set_reference(&neutral);
    let flow = engine.run(&smile);
    let mut net = AuNet::from_file(&Models::embedded()?.au)?;
    let mut input = vec![0.0; FEATURES];
    let mut group = c.benchmark_group("au_network");
    group.bench_function("features", |b| b.iter(|| features(black_box(flow), &neutral, &smile, &mut input)));
    group.bench_function("run", |b| b.iter(|| net.run(black_box(&input))));
    group.finish();
    Ok(())
}

/// The kernels of this processor on the chain that int8 is measured on, and the student in both forms.
fn int8(c: &mut Criterion) -> Outcome {
    let mut group = c.benchmark_group("int8");
    let chain = fixture::student_like_chain(1);
    let input = vec![0.5; chain.channels * chain.height * chain.width];
    for kernel in Kernel::available() {
        let mut stack = Stack::new(&chain, kernel)?;
        stack.set_input(&input);
        group.bench_function(BenchmarkId::new("stack", kernel.name()), |b| b.iter(|| stack.run()));
    }
    let model = parse_onnx(&Models::embedded()?.student.bytes)?;
    let shape = input_shape(&model).ok_or("the student states no shape")?;
    let input = vec![0.5; shape.iter().product()];
    for (name, engine) in [("float", Engine::Float), ("plain", Engine::Plain), ("ours", Engine::chosen())] {
        let mut network = Network::from_model(&model, &shape, engine)?;
        group.bench_function(BenchmarkId::new("student", name), |b| {
            b.iter(|| network.run(black_box(&input), |_, values| _ = black_box(values)))
        });
    }
    group.finish();
    Ok(())
}

/// Samples of three seconds at 100 frames/s, with a micro-expression in the middle.
fn course() -> Result<Vec<Sample>, Box<dyn Error>> {
    let script = Script::new(vec![Action::micro(12, 0.3, 1_500_000_000)])?;
    let [neutral, smile] = crops()?;
    let mut engine = FlowEngine::new(CROP_WIDTH, CROP_HEIGHT, FlowSettings::QUICK);
    engine.set_reference(&neutral);
    let mut input = vec![0.0; FEATURES];
    features(engine.run(&smile), &neutral, &smile, &mut input);
    let peak = motion(&input);
    let unit = unit_indices(12, Side::Both).next().ok_or("AU 12 has no unit")?;
    let context = Context { quality: 1.0, eye_distance_px: 80.0, light: 4.8, ..Context::default() };
    Ok((0..300)
        .map(|k| {
            let at_ns = k * 10_000_000;
            let fractions = script.fractions(at_ns);
            // The crop of the peak was drawn with 0.3 of the full movement.
            let motion = peak.map(|v| v * fractions[unit] / 0.3);
            Sample { at_ns, levels: fractions.map(|f| 5.0 * f), motion, context }
        })
        .collect())
}

/// Gate, spotter and judge over the whole course: the time of 300 frames.
fn spotter(c: &mut Criterion) -> Outcome {
    let models = Models::embedded()?;
    let mut judge = Judge::from_file(&models.judge)?;
    let thresholds = models.au.spec.thresholds.by_unit()?;
    let course = course()?;
    let run = |(mut gate, mut spotter): (Gate, Spotter), judge: &mut Judge| {
        let candidates = course.iter().filter(|sample| {
            gate.update(sample.at_ns, &sample.levels);
            spotter.push(sample, &gate, judge).is_some()
        });
        candidates.count()
    };
    let new = || (Gate::new(thresholds), Spotter::new(SpotSettings::default()));
    if run(new(), &mut judge) == 0 {
        return Err("the spotter has no candidate: this bench would time an idle one".into());
    }
    c.bench_function("spotter/300_frames", |b| {
        b.iter_batched(new, |state| run(state, &mut judge), BatchSize::SmallInput);
    });
    Ok(())
}

fn main() -> Outcome {
    let mut criterion = Criterion::default().configure_from_args();
    for stage in [flow, stabiliser, au_network, int8, spotter] {
        stage(&mut criterion)?;
    }
    criterion.final_summary();
    Ok(())
}
