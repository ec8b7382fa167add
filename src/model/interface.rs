//! What an ONNX file declares of itself, read before any operator is looked at.

use std::collections::BTreeSet;

use tract_onnx::pb::tensor_shape_proto::dimension::Value as Size;
use tract_onnx::pb::{ValueInfoProto, type_proto};

/// Names and shapes that an ONNX file declares; a dimension that is not fixed is 0.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Interface {
    /// Inputs without a value of their own.
    pub inputs: Vec<(String, Vec<usize>)>,
    /// Outputs.
    pub outputs: Vec<(String, Vec<usize>)>,
    /// Kinds of operators.
    pub operators: BTreeSet<String>,
}

impl Interface {
    /// Reads the declarations alone: no operator is looked at.
    ///
    /// # Errors
    /// The bytes are no ONNX model.
    pub fn parse(onnx: &[u8]) -> Result<Self, String> {
        let model = super::parse_onnx(onnx)?;
        let graph = model.graph.ok_or("the file holds no graph")?;
        let initializers: BTreeSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let read = |values: &[ValueInfoProto]| {
            values.iter().filter(|v| !initializers.contains(v.name.as_str())).map(declared).collect()
        };
        let operators = graph.node.iter().map(|n| n.op_type.clone()).collect();
        Ok(Self { inputs: read(&graph.input), outputs: read(&graph.output), operators })
    }
}

fn declared(value: &ValueInfoProto) -> (String, Vec<usize>) {
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        return (value.name.clone(), Vec::new());
    };
    let dims = tensor.shape.as_ref().map_or(&[][..], |s| &s.dim);
    let shape = dims
        .iter()
        .map(|d| match d.value {
            Some(Size::DimValue(n)) => usize::try_from(n).unwrap_or(0),
            _ => 0,
        })
        .collect();
    (value.name.clone(), shape)
}
