//! A network with seeded weights, on which `glintd bench --models`, benches and tests measure int8: nothing is trained,
//! nothing is stored.

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::onnx::{self, Written};
use super::{Chain, Conv, MAX_WEIGHT};
use crate::random::SplitMix;

/// Name under which benches list [`student_like`].
pub const STUDENT_LIKE: &str = "student-like";

/// Outputs and stride of the 3x3 convolutions of [`student_like`].
const STUDENT_LIKE_CONVS: [(usize, usize); 3] = [(24, 1), (48, 2), (96, 2)];

/// Input of [`student_like`].
pub const STUDENT_LIKE_SHAPE: [usize; 4] = [1, 3, 28, 28];

/// The chain of [`student_like`]: 3 x 28 x 28; 3x3 convolutions to 24, 48 (stride 2) and 96 (stride 2)
/// channels: 4.6 million multiply-adds.
pub fn student_like_chain(seed: u64) -> Chain {
    let [_, channels, height, width] = STUDENT_LIKE_SHAPE;
    let mut rng = SplitMix(seed);
    let mut inputs = channels;
    let convs = STUDENT_LIKE_CONVS.map(|(outputs, stride)| {
        let taps = 9 * inputs;
        // Unit variance passes from layer to layer (He et al. 2015); one unit is 32 steps.
        let most = (6.0 / taps as f32).sqrt();
        let exponent = (most / f32::from(MAX_WEIGHT)).log2().ceil() as i32;
        let most = most / super::power_of_two(exponent);
        let conv = Conv {
            inputs,
            outputs,
            kernel: [3, 3],
            stride,
            pad: 1,
            weight: (0..taps * outputs).map(|_| ((2.0 * rng.uniform() - 1.0) * most).round() as i8).collect(),
            bias: (0..outputs).map(|_| (rng.uniform() * 400.0) as i32 - 200).collect(),
            weight_exponent: vec![exponent; outputs],
            exponent: -5,
        };
        inputs = outputs;
        conv
    });
    Chain { channels, height, width, exponent: -5, zero: 128, convs: convs.into() }
}

/// The network that int8 is measured on: [`student_like_chain`], global average pooling and a linear
/// layer to 3 classes, as an ONNX model in QOperator form. [`onnx::in_float`] gives its `f32` form.
pub fn student_like(seed: u64) -> pb::ModelProto {
    let chain = student_like_chain(seed);
    let features = chain.convs[chain.convs.len() - 1].outputs;
    let mut rng = SplitMix(!seed);
    let weight: Vec<f32> = (0..3 * features).map(|_| rng.uniform() - 0.5).collect();
    let Written { mut nodes, mut initializers } = chain.quantized_nodes("motion", "features");
    let node = |op: &str, inputs: &[&str], output: &str| pb::NodeProto {
        input: inputs.iter().map(|&i| i.to_owned()).collect(),
        output: vec![output.to_owned()],
        name: output.to_owned(),
        op_type: op.into(),
        ..Default::default()
    };
    nodes.push(node("GlobalAveragePool", &["features"], "mean"));
    nodes.push(node("Flatten", &["mean"], "flat"));
    nodes.push(node("Gemm", &["flat", "class_weight", "class_bias"], "class"));
    let floats = |name: &str, dims: &[usize], values: &[f32]| pb::TensorProto {
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: DataType::Float as i32,
        name: name.into(),
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    };
    initializers.push(floats("class_weight", &[features, 3], &weight));
    initializers.push(floats("class_bias", &[3], &[0.1, 0.0, -0.1]));
    onnx::model(
        STUDENT_LIKE,
        ("motion", &STUDENT_LIKE_SHAPE),
        ("class", &[1, 3]),
        Written { nodes, initializers },
    )
}
