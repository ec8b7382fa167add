//! A chain in an ONNX graph, in QOperator form: found, read, and written.
//!
//! ```text
//! x -> QuantizeLinear -> QLinearConv -> ... -> QLinearConv -> DequantizeLinear -> (GlobalAveragePool) -> ...
//! ```

use tract_onnx::pb;
pub use tract_onnx::pb::ModelProto;
use tract_onnx::pb::tensor_proto::DataType;

use super::{Chain, Conv, power_of_two};

/// A chain with its place in a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Subgraph {
    /// The numbers.
    pub chain: Chain,
    /// Name of the `f32` tensor that is quantized.
    pub input: String,
    /// Name of the `f32` tensor that comes out.
    pub output: String,
    /// Whether the output is averaged over rows and columns.
    pub means: bool,
    /// Names of the quantized tensors: input, then the output of each convolution.
    pub tensors: Vec<String>,
    /// Indices of the chain's nodes.
    pub nodes: Vec<usize>,
}

/// Finds the chain of `graph`, whose input has `shape`. A chain that starts elsewhere needs the shape of its input
/// among the file's `value_info`. `Ok(None)`: nothing in it is quantized.
///
/// # Errors
/// The chain is quantized, but not as the rules ask.
pub fn find(graph: &pb::GraphProto, shape: &[usize]) -> Result<Option<Subgraph>, String> {
    let quantizes = |n: &pb::NodeProto| {
        matches!(n.op_type.as_str(), "QuantizeLinear" | "DequantizeLinear")
            || n.op_type.starts_with("QLinear")
    };
    let Some(first) = graph.node.iter().position(quantizes) else { return Ok(None) };
    let reader = Reader { graph };
    let head = &graph.node[first];
    if head.op_type != "QuantizeLinear" {
        return Err(format!("{}: the first quantized node is a {}", head.name, head.op_type));
    }
    let input = name(&head.input, 0)?.to_owned();
    let stated;
    let shape = if graph.input.first().is_some_and(|i| i.name == input) {
        shape
    } else {
        let info = graph.value_info.iter().find(|i| i.name == input).and_then(stated_shape);
        stated = info.ok_or_else(|| format!("{input}: the file does not state its shape"))?;
        &stated[..]
    };
    let &[1, channels, height, width] = shape else {
        return Err(format!("{input}: shape {shape:?}; a chain takes 1, channels, rows, columns"));
    };
    let (exponent, zero) = reader.scale_and_zero(head, 1, 2)?;
    let mut chain = Chain { channels, height, width, exponent, zero, convs: Vec::new() };
    let (mut nodes, mut tensors) = (vec![first], vec![name(&head.output, 0)?.to_owned()]);
    let (mut scale, mut zero) = (exponent, zero);
    loop {
        let current = &tensors[tensors.len() - 1];
        let at = reader.only_user(current)?;
        let node = &graph.node[at];
        nodes.push(at);
        match node.op_type.as_str() {
            "QLinearConv" => {
                let conv = reader.conv(node, scale, zero).map_err(|e| format!("{}: {e}", node.name))?;
                (scale, zero) = (conv.exponent, 0);
                chain.convs.push(conv);
                tensors.push(name(&node.output, 0)?.to_owned());
            }
            "DequantizeLinear" => {
                if reader.scale_and_zero(node, 1, 2)? != (scale, zero) {
                    return Err(format!("{}: its scale differs from that of {current}", node.name));
                }
                break;
            }
            other => return Err(format!("{}: {other} between quantized convolutions", node.name)),
        }
    }
    chain.validate()?;
    if let Some(more) =
        graph.node.iter().enumerate().find(|(i, n)| quantizes(n) && !nodes.contains(i)).map(|(_, n)| n)
    {
        return Err(format!("{}: a second chain; one is supported", more.name));
    }
    let mut output = name(&graph.node[nodes[nodes.len() - 1]].output, 0)?.to_owned();
    let mut means = false;
    if let Ok(at) = reader.only_user(&output)
        && graph.node[at].op_type == "GlobalAveragePool"
    {
        (means, output) = (true, name(&graph.node[at].output, 0)?.to_owned());
        nodes.push(at);
    }
    Ok(Some(Subgraph { chain, input, output, means, tensors, nodes }))
}

fn name(names: &[String], i: usize) -> Result<&str, String> {
    names.get(i).map(String::as_str).filter(|n| !n.is_empty()).ok_or_else(|| "a tensor is missing".into())
}

/// Little-endian bytes, or the typed field that ONNX allows instead.
fn elements<T, const N: usize>(
    t: &pb::TensorProto,
    read: fn([u8; N]) -> T,
    typed: impl Iterator<Item = T>,
) -> Vec<T> {
    if t.raw_data.is_empty() {
        typed.collect()
    } else {
        t.raw_data.as_chunks().0.iter().map(|b| read(*b)).collect()
    }
}

struct Reader<'a> {
    graph: &'a pb::GraphProto,
}

impl<'a> Reader<'a> {
    fn only_user(&self, tensor: &str) -> Result<usize, String> {
        if self.graph.output.iter().any(|o| o.name == tensor) {
            return Err(format!("{tensor}: is an output of the graph"));
        }
        let mut users =
            self.graph.node.iter().enumerate().filter(|(_, n)| n.input.iter().any(|i| i == tensor));
        match (users.next(), users.next()) {
            (Some((at, _)), None) => Ok(at),
            (None, _) => Err(format!("{tensor}: nothing uses it")),
            _ => Err(format!("{tensor}: used by several nodes")),
        }
    }

    fn tensor(&self, node: &pb::NodeProto, input: usize) -> Result<&'a pb::TensorProto, String> {
        let wanted = name(&node.input, input)?;
        self.graph
            .initializer
            .iter()
            .find(|t| t.name == wanted)
            .ok_or_else(|| format!("{wanted} is computed; it must be stored"))
    }

    /// Base-2 logarithms of the scales in an input.
    fn exponents(&self, node: &pb::NodeProto, input: usize) -> Result<Vec<i32>, String> {
        let t = self.tensor(node, input)?;
        if t.data_type != DataType::Float as i32 {
            return Err(format!("{}: scales are not f32", t.name));
        }
        elements(t, f32::from_le_bytes, t.float_data.iter().copied())
            .into_iter()
            .map(|s| {
                let exponent = (s.to_bits() >> 23) as i32 - 127;
                if s > 0.0 && power_of_two(exponent) == s {
                    Ok(exponent)
                } else {
                    Err(format!("{}: {s} is not a power of two", t.name))
                }
            })
            .collect()
    }

    /// The one scale of an input and the zero point of another, `u8`.
    fn scale_and_zero(&self, node: &pb::NodeProto, scale: usize, zero: usize) -> Result<(i32, u8), String> {
        let exponents = self.exponents(node, scale)?;
        let t = self.tensor(node, zero)?;
        if t.data_type != DataType::Uint8 as i32 {
            return Err(format!("{}: activations are not u8", t.name));
        }
        let zeros = elements(t, |b: [u8; 1]| b[0], t.int32_data.iter().map(|&v| v as u8));
        match (&exponents[..], &zeros[..]) {
            (&[e], &[z]) => Ok((e, z)),
            _ => Err(format!("{}: more than one scale of an activation", t.name)),
        }
    }

    fn conv(&self, node: &pb::NodeProto, input_exponent: i32, input_zero: u8) -> Result<Conv, String> {
        if self.scale_and_zero(node, 1, 2)? != (input_exponent, input_zero) {
            return Err("the input scale differs from the output scale of the node before".into());
        }
        let (exponent, zero) = self.scale_and_zero(node, 6, 7)?;
        if zero != 0 {
            return Err(format!("zero point {zero} of the output; allowed: 0"));
        }
        let w = self.tensor(node, 3)?;
        if w.data_type != DataType::Int8 as i32 {
            return Err("weights are not i8".into());
        }
        let &[outputs, inputs, rows, columns] = &w.dims[..] else {
            return Err("weights are not [outputs, inputs, rows, columns]".into());
        };
        let size = |d: i64| usize::try_from(d).unwrap_or(0);
        let weight = elements(w, |b: [u8; 1]| b[0] as i8, w.int32_data.iter().map(|&v| v as i8));
        let zeros = self.tensor(node, 5)?;
        if zeros.data_type != DataType::Int8 as i32
            || elements(zeros, |b: [u8; 1]| i32::from(b[0]), zeros.int32_data.iter().copied())
                .iter()
                .any(|&z| z != 0)
        {
            return Err("zero point of the weights is not 0".into());
        }
        let mut weight_exponent = self.exponents(node, 4)?;
        if weight_exponent.len() == 1 {
            weight_exponent = vec![weight_exponent[0]; size(outputs)];
        }
        let bias = if node.input.len() > 8 && !node.input[8].is_empty() {
            let b = self.tensor(node, 8)?;
            if b.data_type != DataType::Int32 as i32 {
                return Err("bias is not i32".into());
            }
            elements(b, i32::from_le_bytes, b.int32_data.iter().copied())
        } else {
            vec![0; size(outputs)]
        };
        let kernel = [size(rows), size(columns)];
        let mut conv = Conv {
            inputs: size(inputs),
            outputs: size(outputs),
            kernel,
            stride: 1,
            pad: 0,
            weight,
            bias,
            weight_exponent,
            exponent,
        };
        for a in &node.attribute {
            let same = || match &a.ints[..] {
                [first, rest @ ..] if rest.iter().all(|v| v == first) => Ok(size(*first)),
                other => Err(format!("{} {other:?}: one value for all sides is supported", a.name)),
            };
            match a.name.as_str() {
                "strides" => conv.stride = same()?,
                "pads" => conv.pad = same()?,
                "dilations" if same()? == 1 => {}
                "group" if a.i == 1 => {}
                "auto_pad" if a.s == b"NOTSET" || a.s == b"VALID" => {}
                "kernel_shape" if a.ints.iter().map(|&i| size(i)).eq(kernel) => {}
                other => return Err(format!("attribute {other}: this value is not supported")),
            }
        }
        Ok(conv)
    }
}

/// Nodes and initializers that are added to a graph.
#[derive(Debug, Default)]
pub struct Written {
    /// In order.
    pub nodes: Vec<pb::NodeProto>,
    /// Weights, scales, zero points.
    pub initializers: Vec<pb::TensorProto>,
}

impl Written {
    fn tensor(&mut self, name: String, dims: &[usize], data_type: DataType, raw_data: Vec<u8>) -> String {
        self.initializers.push(pb::TensorProto {
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: data_type as i32,
            name: name.clone(),
            raw_data,
            ..Default::default()
        });
        name
    }

    fn floats(&mut self, name: String, dims: &[usize], values: &[f32]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, dims, DataType::Float, raw)
    }

    fn node(&mut self, op: &str, inputs: Vec<String>, output: &str, attribute: Vec<pb::AttributeProto>) {
        self.nodes.push(pb::NodeProto {
            input: inputs,
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op.into(),
            attribute,
            ..Default::default()
        });
    }
}

fn ints(name: &str, values: &[usize]) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.into(),
        ints: values.iter().map(|&v| v as i64).collect(),
        r#type: pb::attribute_proto::AttributeType::Ints as i32,
        ..Default::default()
    }
}

fn geometry(conv: &Conv) -> Vec<pb::AttributeProto> {
    vec![ints("kernel_shape", &conv.kernel), ints("strides", &[conv.stride; 2]), ints("pads", &[conv.pad; 4])]
}

fn weight_shape(conv: &Conv) -> [usize; 4] {
    [conv.outputs, conv.inputs, conv.kernel[0], conv.kernel[1]]
}

impl Chain {
    /// The chain in QOperator form, from the `f32` tensor `input` to the `f32` tensor `output`.
    pub fn quantized_nodes(&self, input: &str, output: &str) -> Written {
        let mut out = Written::default();
        let mut scale = out.floats("q0_scale".into(), &[], &[power_of_two(self.exponent)]);
        let mut zero = out.tensor("q0_zero".into(), &[], DataType::Uint8, vec![self.zero]);
        let none = out.tensor("q_zero".into(), &[], DataType::Uint8, vec![0]);
        let mut x = "q0".to_owned();
        out.node("QuantizeLinear", vec![input.into(), scale.clone(), zero.clone()], &x, vec![]);
        for (i, conv) in self.convs.iter().enumerate() {
            let y = format!("q{}", i + 1);
            let bytes = conv.weight.iter().map(|&w| w as u8).collect();
            let w = out.tensor(format!("{y}_weight"), &weight_shape(conv), DataType::Int8, bytes);
            let scales: Vec<f32> = conv.weight_exponent.iter().map(|&e| power_of_two(e)).collect();
            let w_scale = out.floats(format!("{y}_weight_scale"), &[conv.outputs], &scales);
            let w_zero = out.tensor(
                format!("{y}_weight_zero"),
                &[conv.outputs],
                DataType::Int8,
                vec![0; conv.outputs],
            );
            let y_scale = out.floats(format!("{y}_scale"), &[], &[power_of_two(conv.exponent)]);
            let bias = conv.bias.iter().flat_map(|b| b.to_le_bytes()).collect();
            let bias = out.tensor(format!("{y}_bias"), &[conv.outputs], DataType::Int32, bias);
            let inputs = vec![x, scale, zero, w, w_scale, w_zero, y_scale.clone(), none.clone(), bias];
            out.node("QLinearConv", inputs, &y, geometry(conv));
            (x, scale, zero) = (y, y_scale, none.clone());
        }
        out.node("DequantizeLinear", vec![x, scale, zero], output, vec![]);
        out
    }

    /// The same stack in `f32`: each convolution with the numbers that its weights stand for, then
    /// ReLU; from `input` to `output`. What quantized activations lose is not in it.
    pub fn float_nodes(&self, input: &str, output: &str) -> Written {
        let mut out = Written::default();
        let (mut x, mut exponent) = (input.to_owned(), self.exponent);
        for (i, conv) in self.convs.iter().enumerate() {
            let (y, last) = (format!("conv{}", i + 1), i + 1 == self.convs.len());
            let scale = |o: usize| power_of_two(conv.weight_exponent[o]);
            let taps = conv.weight.len() / conv.outputs;
            let weight: Vec<f32> =
                conv.weight.iter().enumerate().map(|(k, &w)| f32::from(w) * scale(k / taps)).collect();
            let w = out.floats(format!("{y}_weight"), &weight_shape(conv), &weight);
            let unit = power_of_two(exponent);
            let bias: Vec<f32> =
                conv.bias.iter().enumerate().map(|(o, &b)| b as f32 * unit * scale(o)).collect();
            let b = out.floats(format!("{y}_bias"), &[conv.outputs], &bias);
            out.node("Conv", vec![x, w, b], &y, geometry(conv));
            let relu = if last { output.to_owned() } else { format!("relu{}", i + 1) };
            out.node("Relu", vec![y], &relu, vec![]);
            (x, exponent) = (relu, conv.exponent);
        }
        out
    }
}

/// `model` with its chain in `f32`: what the quantized file stands for, to compare times. `shape` is that of the
/// input.
///
/// # Errors
/// There is no chain, or it breaks the rules.
pub fn in_float(model: &pb::ModelProto, shape: &[usize]) -> Result<pb::ModelProto, String> {
    let graph = model.graph.as_ref().ok_or("the file holds no graph")?;
    let subgraph = find(graph, shape)?.ok_or("the model has no quantized layer")?;
    let dequantize = subgraph.nodes[subgraph.chain.convs.len() + 1];
    let written = subgraph.chain.float_nodes(&subgraph.input, &graph.node[dequantize].output[0]);
    let mut model = model.clone();
    if let Some(graph) = &mut model.graph {
        replace(graph, &subgraph.nodes[..subgraph.chain.convs.len() + 2], written);
    }
    Ok(model)
}

/// Puts `written` in the place of `nodes`.
pub fn replace(graph: &mut pb::GraphProto, nodes: &[usize], written: Written) {
    let at = nodes.iter().copied().min().unwrap_or(0);
    let mut kept = Vec::with_capacity(graph.node.len() + written.nodes.len());
    let mut fresh = Some(written.nodes);
    for (i, node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        if i == at {
            kept.extend(fresh.take().into_iter().flatten());
        }
        if !nodes.contains(&i) {
            kept.push(node);
        }
    }
    graph.node = kept;
    graph.initializer.extend(written.initializers);
    let nodes = &graph.node;
    let outputs = &graph.output;
    graph.initializer.retain(|t| {
        nodes.iter().any(|n| n.input.contains(&t.name)) || outputs.iter().any(|o| o.name == t.name)
    });
}

/// Operator set of the files: what tract and onnxruntime both know well.
const OPSET: i64 = 17;

/// An `f32` input or output of a graph.
pub fn value_info(name: &str, shape: &[usize]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value as Size};
    let dim =
        shape.iter().map(|&d| Dimension { denotation: String::new(), value: Some(Size::DimValue(d as i64)) });
    let tensor = pb::type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(pb::TensorShapeProto { dim: dim.collect() }),
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

fn stated_shape(info: &pb::ValueInfoProto) -> Option<Vec<usize>> {
    use pb::tensor_shape_proto::dimension::Value;
    let Some(pb::type_proto::Value::TensorType(tensor)) = &info.r#type.as_ref()?.value else { return None };
    let size = |d: &pb::tensor_shape_proto::Dimension| match &d.value {
        Some(Value::DimValue(n)) => usize::try_from(*n).ok(),
        _ => None,
    };
    tensor.shape.as_ref()?.dim.iter().map(size).collect()
}

/// Shape of the first input, where the file states it in numbers.
pub fn input_shape(model: &ModelProto) -> Option<Vec<usize>> {
    stated_shape(model.graph.as_ref()?.input.first()?)
}

/// A model of one `f32` input and one `f32` output, each with its name and shape.
pub fn model(
    name: &str,
    input: (&str, &[usize]),
    output: (&str, &[usize]),
    written: Written,
) -> pb::ModelProto {
    pb::ModelProto {
        ir_version: 8,
        producer_name: "glint".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: OPSET }],
        graph: Some(pb::GraphProto {
            name: name.into(),
            node: written.nodes,
            initializer: written.initializers,
            input: vec![value_info(input.0, input.1)],
            output: vec![value_info(output.0, output.1)],
            ..Default::default()
        }),
        ..Default::default()
    }
}
