//! The convolutions of an `f32` file, as far as they can be quantized, and their weights in integer steps.

use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail, ensure};
use glint::int8::{MAX_WEIGHT, power_of_two};
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::rounding::Spread;
use super::{covering_exponent, squared_error};

/// A convolution of the `f32` file.
pub(super) struct FloatConv {
    /// Outputs, inputs, rows and columns of the kernel.
    pub shape: [usize; 4],
    pub stride: usize,
    pub pad: usize,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    /// Name of the tensor after ReLU.
    pub output: String,
    /// How sums spread, where that is known.
    spread: Option<Spread>,
    /// Exponent and integer steps of the weights of each output.
    steps: Vec<(i32, Vec<f32>)>,
}

impl FloatConv {
    pub(super) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.weight.chunks_exact(self.weight.len() / self.shape[0])
    }

    /// Steps of a row of weights for an exponent, and what that costs.
    fn round(&self, row: &[f32], exponent: i32) -> (Vec<f32>, f64) {
        let most = f32::from(MAX_WEIGHT);
        if let Some(spread) = &self.spread {
            return spread.round(row, exponent, most);
        }
        let steps = row.iter().map(|v| (v * power_of_two(-exponent)).round_ties_even().clamp(-most, most));
        (steps.collect(), squared_error(row, exponent, -most, most))
    }

    /// Rounds all weights, each output with the exponent that costs least.
    pub(super) fn settle(&mut self, spread: Option<Spread>) {
        self.spread = spread;
        let best = |row: &[f32]| {
            let covers = covering_exponent(row, f32::from(MAX_WEIGHT));
            // The search by the sums takes longer: it tries the step that covers all weights, and half of it.
            let down = if self.spread.is_some() { 1 } else { 4 };
            (covers - down..=covers)
                .map(|e| (e, self.round(row, e)))
                .min_by(|(a, (_, x)), (b, (_, y))| x.total_cmp(y).then(b.cmp(a)))
                .map_or_else(|| (covers, vec![0.0; row.len()]), |(e, (steps, _))| (e, steps))
        };
        self.steps = self.rows().map(best).collect();
    }

    /// Exponent and integer steps of output `o`, with an exponent out of those that are allowed.
    pub(super) fn steps_within(
        &self,
        o: usize,
        row: &[f32],
        allowed: RangeInclusive<i32>,
    ) -> (i32, Vec<f32>) {
        let (exponent, steps) = &self.steps[o];
        let kept = *exponent.clamp(allowed.start(), allowed.end());
        (kept, if kept == *exponent { steps.clone() } else { self.round(row, kept).0 })
    }
}

/// The chain in the `f32` file.
pub(super) struct FloatChain {
    /// Name of the tensor that it starts from.
    pub input: String,
    pub convs: Vec<FloatConv>,
    /// Places of its nodes in the graph.
    pub nodes: Vec<usize>,
}

/// Axes and values of a stored `f32` tensor.
pub(super) fn stored<'a>(graph: &'a pb::GraphProto, name: &str) -> Result<(&'a [i64], Vec<f32>)> {
    let t =
        graph.initializer.iter().find(|t| t.name == name).with_context(|| format!("{name} is not stored"))?;
    ensure!(t.data_type == DataType::Float as i32, "{name} is not f32");
    let values = if t.raw_data.is_empty() {
        t.float_data.clone()
    } else {
        t.raw_data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    Ok((&t.dims, values))
}

/// Follows the graph from its input to the first convolution, then `Conv` and `Relu` as far as they go
/// one after the other. What stands before, such as a pooling layer, stays in `f32`.
pub(super) fn float_chain(graph: &pb::GraphProto) -> Result<FloatChain> {
    let mut at = graph.input.first().context("no input")?.name.clone();
    let only_user = |tensor: &str| {
        let mut users = graph.node.iter().enumerate().filter(|(_, n)| n.input.iter().any(|i| i == tensor));
        users.next().filter(|_| users.next().is_none() && graph.output.iter().all(|o| o.name != tensor))
    };
    while let Some((_, node)) = only_user(&at).filter(|(_, n)| n.op_type != "Conv") {
        at.clone_from(&node.output[0]);
    }
    let mut chain = FloatChain { input: at.clone(), convs: Vec::new(), nodes: Vec::new() };
    while let Some((i, conv)) = only_user(&at).filter(|(_, n)| n.op_type == "Conv")
        && let Some((j, relu)) = only_user(&conv.output[0]).filter(|(_, n)| n.op_type == "Relu")
    {
        let Some(float) = float_conv(graph, conv, &relu.output[0]).with_context(|| conv.name.clone())? else {
            break;
        };
        at.clone_from(&float.output);
        chain.convs.push(float);
        chain.nodes.extend([i, j]);
    }
    ensure!(!chain.convs.is_empty(), "no Conv with Relu on the way from the input");
    Ok(chain)
}

/// The numbers of one convolution; `None` where the rules do not allow its form.
fn float_conv(graph: &pb::GraphProto, node: &pb::NodeProto, output: &str) -> Result<Option<FloatConv>> {
    let (dims, weight) = stored(graph, &node.input[1])?;
    let &[o, i, h, w] = dims else { bail!("weights of {} axes", dims.len()) };
    let shape = [o, i, h, w].map(|d| d as usize);
    let bias = match node.input.get(2) {
        Some(name) => stored(graph, name)?.1,
        None => vec![0.0; shape[0]],
    };
    let (mut stride, mut pad) = (1, 0);
    for a in &node.attribute {
        let same = a.ints.first().copied().filter(|first| a.ints.iter().all(|v| v == first));
        match (a.name.as_str(), same) {
            ("strides", Some(v)) => stride = v as usize,
            ("pads", Some(v)) => pad = v as usize,
            ("dilations", Some(1)) | ("kernel_shape", _) => {}
            ("group", _) if a.i == 1 => {}
            _ => return Ok(None),
        }
    }
    let output = output.to_owned();
    Ok(Some(FloatConv { shape, stride, pad, weight, bias, output, spread: None, steps: Vec::new() }))
}
