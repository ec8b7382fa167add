//! ONNX graphs, written one layer a call with the very types that tract reads.

use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

/// Operator set of the written graphs.
const OPSET: i64 = 17;

/// A graph under construction. Every layer takes the name of its input tensor and returns that of
/// its output.
pub struct Graph {
    graph: pb::GraphProto,
    count: usize,
}

impl Graph {
    /// A graph with one `f32` input.
    pub fn new(name: &str, input: &str, shape: &[usize]) -> Self {
        let graph =
            pb::GraphProto { name: name.into(), input: vec![value_info(input, shape)], ..Default::default() };
        Self { graph, count: 0 }
    }

    fn tensor(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        assert_eq!(dims.iter().product::<usize>(), values.len(), "{name}: shape {dims:?}");
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let name = format!("{name}{}", self.count);
        self.graph.initializer.push(pb::TensorProto {
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: DataType::Float as i32,
            name: name.clone(),
            raw_data,
            ..Default::default()
        });
        name
    }

    fn node(&mut self, op: &str, inputs: Vec<String>, attribute: Vec<pb::AttributeProto>) -> String {
        self.count += 1;
        let name = format!("{}{}", op.to_lowercase(), self.count);
        self.graph.node.push(pb::NodeProto {
            input: inputs,
            output: vec![name.clone()],
            name: name.clone(),
            op_type: op.into(),
            attribute,
            ..Default::default()
        });
        name
    }

    /// Convolution: weight `[out, in, k, k]`, one bias per output, symmetric padding.
    pub fn conv(
        &mut self,
        x: &str,
        weight: (&[usize], &[f32]),
        bias: &[f32],
        stride: usize,
        pad: usize,
    ) -> String {
        let (dims, values) = weight;
        let w = self.tensor("weight", dims, values);
        let b = self.tensor("bias", &[bias.len()], bias);
        let attributes = vec![
            ints("kernel_shape", &[dims[2] as i64, dims[3] as i64]),
            ints("strides", &[stride as i64; 2]),
            ints("pads", &[pad as i64; 4]),
        ];
        self.node("Conv", vec![x.into(), w, b], attributes)
    }

    /// `max(x, 0)`.
    pub fn relu(&mut self, x: &str) -> String {
        self.node("Relu", vec![x.into()], vec![])
    }

    /// `1 / (1 + exp(-x))`.
    pub fn sigmoid(&mut self, x: &str) -> String {
        self.node("Sigmoid", vec![x.into()], vec![])
    }

    /// `[n, ...] -> [n, rest]`.
    pub fn flatten(&mut self, x: &str) -> String {
        self.node("Flatten", vec![x.into()], vec![int("axis", 1)])
    }

    /// `x w + b`: weight `[in, out]`.
    pub fn linear(&mut self, x: &str, weight: (&[usize], &[f32]), bias: &[f32]) -> String {
        let w = self.tensor("weight", weight.0, weight.1);
        let b = self.tensor("bias", &[bias.len()], bias);
        self.node("Gemm", vec![x.into(), w, b], vec![])
    }

    /// Tensors one after the other along `axis`.
    pub fn concat(&mut self, tensors: &[&str], axis: i64) -> String {
        let inputs = tensors.iter().map(|&t| t.to_owned()).collect();
        self.node("Concat", inputs, vec![int("axis", axis)])
    }

    /// Names `x` as an output of the graph of `shape`.
    pub fn output(&mut self, x: &str, name: &str, shape: &[usize]) {
        self.graph.node.push(pb::NodeProto {
            input: vec![x.into()],
            output: vec![name.into()],
            name: format!("output_{name}"),
            op_type: "Identity".into(),
            ..Default::default()
        });
        self.graph.output.push(value_info(name, shape));
    }

    /// The bytes of the file.
    pub fn finish(self) -> Vec<u8> {
        pb::ModelProto {
            ir_version: 8,
            producer_name: "glint-pretrain".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: OPSET }],
            graph: Some(self.graph),
            ..Default::default()
        }
        .encode_to_vec()
    }
}

fn int(name: &str, i: i64) -> pb::AttributeProto {
    let r#type = pb::attribute_proto::AttributeType::Int as i32;
    pb::AttributeProto { name: name.into(), i, r#type, ..Default::default() }
}

fn ints(name: &str, values: &[i64]) -> pb::AttributeProto {
    let r#type = pb::attribute_proto::AttributeType::Ints as i32;
    pb::AttributeProto { name: name.into(), ints: values.to_vec(), r#type, ..Default::default() }
}

fn value_info(name: &str, shape: &[usize]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value as Size};
    let dim = shape
        .iter()
        .map(|&d| Dimension { denotation: String::new(), value: Some(Size::DimValue(d as i64)) })
        .collect();
    let tensor = pb::type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(pb::TensorShapeProto { dim }),
    };
    pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(pb::TypeProto {
            denotation: String::new(),
            value: Some(pb::type_proto::Value::TensorType(tensor)),
        }),
        doc_string: String::new(),
    }
}
