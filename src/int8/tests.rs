//! Every kernel gives the scalar one's bytes; the operator gives those of plain tract and of
//! onnxruntime.

#![allow(clippy::disallowed_methods)] // What a test is to do is said by its environment.

use proptest::prelude::*;

use super::stack::Stack;
use super::*;
use crate::model::{Engine, Form, Network};
use crate::tolerances::KERNELS;

/// So many cases, or what PROPTEST_CASES asks for.
fn cases(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    ProptestConfig { cases, ..default }
}

/// Weights and inputs with many extremes.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0), Just(255), any::<u8>()]
}

fn weight() -> impl Strategy<Value = i8> {
    prop_oneof![Just(MAX_WEIGHT), Just(-MAX_WEIGHT), -MAX_WEIGHT..=MAX_WEIGHT]
}

fn conv(inputs: usize, side: (usize, usize)) -> impl Strategy<Value = Conv> {
    let whole = [side.0.min(9), side.1.min(9)];
    let kernel = prop_oneof![Just([3, 3]), Just([1, 1]), Just([5, 5]), Just(whole)]
        .prop_filter("fits", move |k| k[0] <= side.0 + 2 * (k[0] / 2) && k[1] <= side.1 + 2 * (k[1] / 2));
    let most = prop_oneof![Just(MAX_WEIGHT), 1..=MAX_WEIGHT];
    let form = (kernel, 1usize..=2, any::<bool>(), 1usize..40, most);
    form.prop_flat_map(move |(kernel, stride, padded, outputs, most)| {
        let least = kernel[0].min(kernel[1]);
        let fits = kernel[0] <= side.0 && kernel[1] <= side.1;
        let pad = if padded || !fits { least / 2 } else { 0 };
        let taps = inputs * kernel[0] * kernel[1];
        (
            proptest::collection::vec(weight().prop_map(move |w| w.clamp(-most, most)), taps * outputs),
            proptest::collection::vec(-50_000i32..50_000, outputs),
            proptest::collection::vec(-14i32..=-7, outputs),
        )
            .prop_map(move |(weight, bias, weight_exponent)| Conv {
                inputs,
                outputs,
                kernel,
                stride,
                pad,
                weight,
                bias,
                weight_exponent,
                exponent: -5,
            })
    })
}

/// One or two convolutions on an image that may have a single row or column, and its bytes.
fn chain_and_input() -> impl Strategy<Value = (Chain, Vec<u8>)> {
    let channels = prop_oneof![Just(1usize), Just(3), 1usize..40];
    (channels, 1usize..20, 1usize..20, any::<bool>())
        .prop_flat_map(|(channels, height, width, zero)| {
            conv(channels, (height, width))
                .prop_flat_map(move |first| {
                    let outputs = first.outputs;
                    let side = first.output_size(height, width).unwrap_or((1, 1));
                    (Just(first), proptest::option::of(conv(outputs, side)))
                })
                .prop_map(move |(first, second)| Chain {
                    channels,
                    height,
                    width,
                    exponent: -5,
                    zero: if zero { 128 } else { 0 },
                    convs: std::iter::once(first).chain(second).collect(),
                })
        })
        .prop_filter("within the rules", |c| c.validate().is_ok())
        .prop_flat_map(|c| {
            let n = c.channels * c.height * c.width;
            // Dark images too: AVX2 adds more products in 16 bits there.
            let most = prop_oneof![Just(255), any::<u8>()];
            (
                Just(c),
                most.prop_flat_map(move |m| proptest::collection::vec(byte().prop_map(move |b| b.min(m)), n)),
            )
        })
}

fn run(chain: &Chain, kernel: Kernel, input: &[u8]) -> Stack {
    let mut stack = Stack::new(chain, kernel).expect("within the rules");
    assert!(stack.set_quantized_input(input));
    stack.run();
    stack
}

/// What the definition of QLinearConv says, in integers.
fn by_definition(conv: &Conv, exponent: i32, zero: u8, x: &[u8], size: (usize, usize)) -> Vec<u8> {
    let (h, w) = size;
    let (oh, ow) = conv.output_size(h, w).expect("fits");
    let mut out = Vec::new();
    for (o, shift) in conv.shifts(exponent).enumerate() {
        for (y, x0) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            let mut sum = i64::from(conv.bias[o]);
            for c in 0..conv.inputs {
                for (ky, kx) in (0..conv.kernel[0]).flat_map(|a| (0..conv.kernel[1]).map(move |b| (a, b))) {
                    let at = |o: usize, k: usize, n: usize| {
                        (o * conv.stride + k).checked_sub(conv.pad).filter(|&v| v < n)
                    };
                    if let (Some(iy), Some(ix)) = (at(y, ky, h), at(x0, kx, w)) {
                        let value = i64::from(x[(c * h + iy) * w + ix]) - i64::from(zero);
                        let tap = ((o * conv.inputs + c) * conv.kernel[0] + ky) * conv.kernel[1] + kx;
                        sum += value * i64::from(conv.weight[tap]);
                    }
                }
            }
            // Nearest, ties to even.
            let (unit, half) = (1i64 << shift, (1i64 << shift) / 2);
            let (quotient, remainder) = (sum.div_euclid(unit), sum.rem_euclid(unit));
            let up = remainder > half || (remainder == half && half > 0 && quotient % 2 != 0);
            out.push((quotient + i64::from(up)).clamp(0, 255) as u8);
        }
    }
    out
}

proptest! {
    #![proptest_config(cases(96))]
    #[test]
    fn every_kernel_gives_the_bytes_of_the_definition((chain, input) in chain_and_input()) {
        let scalar = run(&chain, Kernel::Scalar, &input);
        let (mut exponent, mut zero, mut size) = (chain.exponent, chain.zero, (chain.height, chain.width));
        let mut bytes = input.clone();
        for (i, conv) in chain.convs.iter().enumerate() {
            bytes = by_definition(conv, exponent, zero, &bytes, size);
            prop_assert_eq!(&bytes, &scalar.tensor(i + 1), "definition, tensor {}", i + 1);
            (exponent, zero) = (conv.exponent, 0);
            size = conv.output_size(size.0, size.1).expect("fits");
        }
        let last = scalar.tensors() - 1;
        let values = |mut stack: Stack| {
            let shape = stack.shape(last);
            let (mut all, mut means) = (vec![0.0; shape.iter().product()], vec![0.0; shape[0]]);
            assert!(stack.read(&mut all) && stack.read_means(&mut means));
            (all, means)
        };
        let expected = values(scalar.clone());
        let sum: f32 = expected.0.iter().sum();
        let mean: f32 = expected.1.iter().sum::<f32>() * (size.0 * size.1) as f32;
        prop_assert!((sum - mean).abs() <= 1e-4 * sum.max(1.0));
        for kernel in Kernel::available() {
            let stack = run(&chain, kernel, &input);
            for i in 0..=last {
                prop_assert_eq!(stack.tensor(i), scalar.tensor(i), "kernel {}, tensor {}", kernel.name(), i);
            }
            prop_assert_eq!(values(stack), expected.clone());
        }
    }

}

#[test]
fn four_products_are_exact_up_to_the_brightest_byte() {
    let mut chain = fixture::student_like_chain(1);
    (chain.channels, chain.zero) = (16, 0);
    chain.convs.truncate(1);
    // 4 * 63 * 130 fits an `i16`, 4 * 63 * 131 does not; one bright byte in an image changes one tile.
    for (weight, lonely) in [63, -63].into_iter().flat_map(|w| [(w, false), (w, true)]) {
        let conv = &mut chain.convs[0];
        (conv.inputs, conv.weight) = (16, vec![weight; 24 * 16 * 9]);
        conv.bias = vec![if weight < 0 { 255 * 63 * 16 * 9 } else { 0 }; 24];
        (conv.weight_exponent, conv.exponent) = (vec![-13; 24], -5);
        for byte in [0, 129, 130, 131, 132, 255] {
            let mut input = vec![if lonely { 7 } else { byte }; 16 * 28 * 28];
            input[5 * 28 * 28 + 400] = byte;
            let scalar = run(&chain, Kernel::Scalar, &input);
            assert_eq!(
                by_definition(&chain.convs[0], chain.exponent, 0, &input, (28, 28)),
                scalar.tensor(1),
                "{weight} {byte}"
            );
            for kernel in Kernel::available() {
                let output = run(&chain, kernel, &input).tensor(1);
                assert_eq!(output, scalar.tensor(1), "{}: {weight} {byte}", kernel.name());
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(32))]
    #[test]
    fn a_chain_is_read_as_it_was_written((chain, _) in chain_and_input()) {
        let [c, h, w] = chain.output_shape().expect("fits");
        let shape = [1, chain.channels, chain.height, chain.width];
        let written = chain.quantized_nodes("x", "y");
        let model = onnx::model("chain", ("x", &shape), ("y", &[1, c, h, w]), written);
        let subgraph = onnx::find(model.graph.as_ref().expect("written"), &shape);
        let subgraph = subgraph.expect("within the rules").expect("quantized");
        prop_assert_eq!((&subgraph.input[..], &subgraph.output[..], subgraph.means), ("x", "y", false));
        prop_assert_eq!(subgraph.chain, chain);
    }
}

proptest! {
    #![proptest_config(cases(24))] // each builds a network in tract
    #[test]
    fn plain_tract_gives_the_same((chain, input) in chain_and_input()) {
        let [c, h, w] = chain.output_shape().expect("fits");
        let shape = [1, chain.channels, chain.height, chain.width];
        let written = chain.quantized_nodes("x", "y");
        let model = onnx::model("chain", ("x", &shape), ("y", &[1, c, h, w]), written);
        // Halves between the steps, so that rounding matters.
        let values: Vec<f32> = input.iter().enumerate()
            .map(|(i, &b)| (f32::from(b) - f32::from(chain.zero) + 0.5 * (i % 2) as f32) * power_of_two(chain.exponent))
            .collect();
        let out = |engine| {
            let mut network = Network::from_model(&model, &shape, engine).expect("within the rules");
            let mut out = Vec::new();
            network.run(&values, |_, v| out.extend_from_slice(v)).expect("fits");
            out
        };
        prop_assert_eq!(out(Engine::Stack(Kernel::best())), out(Engine::Plain));
    }
}

#[test]
fn luma_needs_no_conversion() {
    let mut chain = fixture::student_like_chain(3);
    chain.channels = 1;
    chain.exponent = LUMA_EXPONENT;
    chain.convs.truncate(1);
    chain.convs[0].inputs = 1;
    chain.convs[0].weight.truncate(24 * 9);
    let shape = [1, 1, 28, 28];
    let model =
        onnx::model("luma", ("image", &shape), ("y", &[1, 24, 28, 28]), chain.quantized_nodes("image", "y"));
    let luma: Vec<u8> = (0..28 * 28).map(|i| (i * 37 % 256) as u8).collect();
    let values: Vec<f32> = luma.iter().map(|&v| crate::model::normalise_luma(f32::from(v))).collect();
    for engine in [Engine::Stack(Kernel::best()), Engine::Plain] {
        let mut network = Network::from_model(&model, &shape, engine).expect("within the rules");
        let (mut a, mut b) = (Vec::new(), Vec::new());
        network.run_luma(&luma, |_, v| a.extend_from_slice(v)).expect("fits");
        network.run(&values, |_, v| b.extend_from_slice(v)).expect("fits");
        assert_eq!(a, b);
        assert!(a.iter().any(|&v| v > 0.0));
    }
}

#[test]
fn what_breaks_the_rules_runs_in_plain_tract_and_says_why() {
    let shape = fixture::STUDENT_LIKE_SHAPE;
    let case = |change: &dyn Fn(&mut tract_onnx::pb::GraphProto)| {
        let mut model = fixture::student_like(1);
        change(model.graph.as_mut().expect("written"));
        let network =
            Network::from_model(&model, &shape, Engine::Stack(Kernel::best())).expect("runs in tract");
        match network.form() {
            Form::Plain(reason) => reason.clone(),
            other => panic!("{other}"),
        }
    };
    let tensor = |graph: &mut tract_onnx::pb::GraphProto, name: &str, raw: Vec<u8>| {
        graph.initializer.iter_mut().find(|t| t.name == name).expect("written").raw_data = raw;
    };
    let reason = case(&|g| tensor(g, "q2_scale", 0.03f32.to_le_bytes().into()));
    assert!(reason.contains("0.03 is not a power of two"), "{reason}");
    let reason = case(&|g| tensor(g, "q1_weight", vec![127; 24 * 27]));
    assert!(reason.contains("weight 127"), "{reason}");
    let mut model = fixture::student_like(1);
    let graph = model.graph.as_mut().expect("written");
    let node = graph.node.iter_mut().find(|n| n.name == "q1").expect("written");
    node.attribute.push(tract_onnx::pb::AttributeProto { name: "group".into(), i: 3, ..Default::default() });
    let reason = onnx::find(graph, &shape).expect_err("grouped");
    assert!(reason.contains("group"), "{reason}");
}

#[test]
fn the_fixture_is_what_the_tables_say() {
    let chain = fixture::student_like_chain(1);
    assert_eq!(chain.validate(), Ok(()));
    assert_eq!(chain.macs(), 4_572_288);
    let model = fixture::student_like(1);
    let shape = fixture::STUDENT_LIKE_SHAPE;
    let input: Vec<f32> =
        (0..shape.iter().product::<usize>()).map(|i| (i * 29 % 113) as f32 / 28.0 - 2.0).collect();
    let run = |model: &tract_onnx::pb::ModelProto, engine| {
        let mut network = Network::from_model(model, &shape, engine).expect("own model");
        let mut out = Vec::new();
        network.run(&input, |_, v| out.extend_from_slice(v)).expect("own shape");
        out
    };
    let ours = run(&model, Engine::Stack(Kernel::best()));
    let plain = run(&model, Engine::Plain);
    let float = run(&model, Engine::Float);
    for ((a, b), c) in ours.iter().zip(&plain).zip(&float) {
        assert!((a - b).abs() < KERNELS && (a - c).abs() < 0.05, "{ours:?} {plain:?} {float:?}");
    }
}

#[test]
fn an_unknown_kernel_is_refused() {
    let reason = "sse".parse::<Engine>().expect_err("no such kernel");
    assert!(reason.contains("GLINT_INT8_KERNEL: \"sse\"") && reason.contains("scalar"), "{reason}");
    assert_eq!("plain".parse(), Ok(Engine::Plain));
}

/// Files of `pretrain/compare/int8_golden.py`: a network, its input, every quantized tensor, and its
/// outputs, as onnxruntime computed them.
struct Golden {
    name: &'static str,
    shape: [usize; 4],
    onnx: &'static [u8],
    input: &'static [u8],
    tensors: &'static [u8],
    output: &'static [u8],
}

macro_rules! golden {
    ($name:literal, $shape:expr) => {
        golden!($name, $shape, "tests/golden/int8/")
    };
    ($name:literal, $shape:expr, $folder:literal) => {
        Golden {
            name: $name,
            shape: $shape,
            onnx: include_bytes!(concat!("../../", $folder, $name, ".onnx")),
            input: include_bytes!(concat!("../../tests/golden/int8/", $name, ".input")),
            tensors: include_bytes!(concat!("../../tests/golden/int8/", $name, ".tensors")),
            output: include_bytes!(concat!("../../tests/golden/int8/", $name, ".output")),
        }
    };
}

#[test]
fn onnxruntime_gives_the_same_bytes() {
    let floats =
        |bytes: &[u8]| -> Vec<f32> { bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect() };
    for golden in [
        golden!("motion", [1, 3, 14, 13]),
        golden!("luma", [1, 1, 20, 24]),
        golden!("plain", [1, 5, 9, 7]),
        // Another student needs other files: the script's first lines say which command makes them.
        golden!("student", [1, 3, 28, 28], "models/"),
    ] {
        let model = crate::model::parse_onnx(golden.onnx).expect("an ONNX file");
        let (input, output) = (floats(golden.input), floats(golden.output));
        let subgraph = onnx::find(model.graph.as_ref().expect("a graph"), &golden.shape);
        let subgraph = subgraph.expect("within the rules").expect("quantized");
        for kernel in Kernel::available() {
            let mut stack = Stack::new(&subgraph.chain, kernel).expect("within the rules");
            assert!(stack.set_input(&input));
            stack.run();
            let bytes: Vec<u8> = (0..stack.tensors()).flat_map(|i| stack.tensor(i)).collect();
            assert!(bytes == golden.tensors, "{}, kernel {}", golden.name, kernel.name());

            let mut network =
                Network::from_model(&model, &golden.shape, Engine::Stack(kernel)).expect("runs");
            assert_eq!(network.form(), &Form::Int8(kernel));
            let mut values = Vec::new();
            network.run(&input, |_, v| values.extend_from_slice(v)).expect("fits");
            assert_eq!(values.len(), output.len());
            for (a, b) in values.iter().zip(&output) {
                assert!((a - b).abs() < KERNELS, "{}, kernel {}: {a} and {b}", golden.name, kernel.name());
            }
        }
    }
}

/// Runs one form of a network a number of times: `GLINT_PASSES="NETWORK f32|plain|int8 PASSES"`;
/// NETWORK is the fixture, one that ships, or a file.
#[test]
#[ignore = "its instructions are what cross/int8.sh counts"]
fn passes_to_count() {
    let asked = std::env::var("GLINT_PASSES").expect("GLINT_PASSES");
    let [name, form, passes] = asked.split(' ').collect::<Vec<_>>().try_into().expect("three words");
    let models = crate::pipeline::Models::embedded().expect("own models");
    let model = match name {
        "detector" => crate::model::parse_onnx(&models.detector.bytes),
        "landmarks" => crate::model::parse_onnx(&models.landmarks.bytes),
        "student" => crate::model::parse_onnx(&models.student.bytes),
        fixture::STUDENT_LIKE => Ok(fixture::student_like(1)),
        path => crate::model::parse_onnx(&std::fs::read(path).expect("a file")),
    }
    .expect("a model");
    let shape = onnx::input_shape(&model).expect("own model");
    let plain = Network::from_model(&model, &shape, Engine::Plain).expect("own model");
    let mut network = match form {
        "int8" | "plain" if plain.form() == &Form::Float => return println!("no such form"),
        "int8" => Network::from_model(&model, &shape, Engine::chosen()).expect("own model"),
        "f32" if plain.form() != &Form::Float => {
            Network::from_model(&model, &shape, Engine::Float).expect("own model")
        }
        _ => plain,
    };
    let input: Vec<f32> =
        (0..shape.iter().product::<usize>()).map(|i| (i * 31 % 128) as f32 / 32.0 - 2.0).collect();
    let mut sum = 0.0;
    for _ in 0..passes.parse::<usize>().expect("a number") {
        network.run(&input, |_, v| sum += v[0]).expect("own shape");
    }
    assert!(f32::is_finite(sum));
}
