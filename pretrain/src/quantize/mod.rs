//! Post-training quantization of an ONNX file: the convolutions to int8, the rest stays `f32`.
//!
//! The chain of `Conv` and `Relu` from the graph's input on becomes `QLinearConv` under the rules of
//! [`glint::int8`]. Scales are the powers of two with the least squared error on calibration inputs; weights are rounded
//! by what that does to the sums (`rounding`); each convolution's bias makes up for the mean error of its rounded weights
//! and inputs (Nagel et al. 2019, section 4.2) and then, since ReLU bends that mean, for what is left of it behind ReLU; so
//! does the bias of a linear layer after the chain. At last each activation's scale is tried once more by the error of the
//! network's outputs, where they count.

mod float;
mod rounding;
pub mod shipped;

use anyhow::{Context, Result, anyhow, bail, ensure};
use glint::int8::stack::Stack;
use glint::int8::{Chain, Conv, Kernel, MAX_SHIFT, onnx, power_of_two};
use glint::model::{Engine, Network};
use tract_onnx::pb;

use self::float::{FloatChain, float_chain, stored};
use self::rounding::{Moments, Reads};

/// What quantization has done.
pub struct Quantized {
    /// The file in QOperator form.
    pub model: pb::ModelProto,
    /// Its chain.
    pub chain: Chain,
    /// Root mean square of the error of each output over that of the output itself about its mean, where they count, on
    /// the calibration inputs.
    pub relative_error: Vec<f32>,
}

/// Values of one tensor over the calibration inputs.
#[derive(Default, Clone)]
struct Activations {
    /// Some of the values.
    values: Vec<f32>,
    /// Mean of each channel.
    means: Vec<f64>,
    /// Share of its values that are positive.
    active: Vec<f64>,
    /// Mean of each element.
    elements: Vec<f64>,
}

/// Largest number of values kept of a tensor: enough for a scale.
const KEPT: usize = 200_000;

fn observe(seen: &mut Activations, tensor: &[f32], channels: usize, samples: usize) {
    seen.means.resize(channels, 0.0);
    seen.active.resize(channels, 0.0);
    seen.elements.resize(tensor.len(), 0.0);
    let plane = tensor.len() / channels;
    let one = 1.0 / (plane * samples) as f64;
    for (c, values) in tensor.chunks_exact(plane).enumerate() {
        seen.means[c] += values.iter().map(|&v| f64::from(v)).sum::<f64>() * one;
        seen.active[c] += values.iter().filter(|v| **v > 0.0).count() as f64 * one;
    }
    seen.elements.iter_mut().zip(tensor).for_each(|(m, &v)| *m += f64::from(v) / samples as f64);
    // A prime step, so that no row or column is preferred.
    let step = (tensor.len() * samples / KEPT).max(1) | 1;
    seen.values.extend(tensor.iter().step_by(step));
}

/// Error of `values` with a scale of `2^exponent` and `low..=high` steps.
fn squared_error(values: &[f32], exponent: i32, low: f32, high: f32) -> f64 {
    let (scale, inverse) = (power_of_two(exponent), power_of_two(-exponent));
    values
        .iter()
        .map(|&v| f64::from((v * inverse).round_ties_even().clamp(low, high) * scale - v).powi(2))
        .sum()
}

/// The exponent with which `high` steps reach the largest value.
fn covering_exponent(values: &[f32], high: f32) -> i32 {
    let most = values.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
    (most / high).log2().ceil() as i32
}

/// The exponent with the least error: the one that covers the largest value, or up to 4 below.
fn best_exponent(values: &[f32], low: f32, high: f32) -> i32 {
    let covers = covering_exponent(values, high);
    let error = |e: i32| squared_error(values, e, low, high);
    (covers - 4..=covers).min_by(|&a, &b| error(a).total_cmp(&error(b)).then(b.cmp(&a))).unwrap_or(covers)
}

/// The chain for given exponents of the activations. `seen` has the means of each tensor as it is in the
/// `f32` network; `quantized_means` are those of the quantized one so far, as far as they are known. `behind` is added
/// to the biases, layer by layer, as far as it is known.
fn build(
    float: &FloatChain,
    input: ([usize; 3], u8),
    exponents: &[i32],
    seen: &[Activations],
    quantized_means: &[Vec<f64>],
    behind: &[Vec<f64>],
) -> Result<Chain> {
    let ([channels, height, width], zero) = input;
    let mut convs = Vec::new();
    for (l, conv) in float.convs.iter().enumerate() {
        let [outputs, inputs, h, w] = conv.shape;
        let (e_in, e_out) = (exponents[l], exponents[l + 1]);
        let mut weight = Vec::with_capacity(conv.weight.len());
        let (mut bias, mut weight_exponent) = (Vec::new(), Vec::new());
        for (o, (row, &b)) in conv.rows().zip(&conv.bias).enumerate() {
            // Within the shifts that the kernels take.
            let (e, rounded) = conv.steps_within(o, row, e_out - e_in - MAX_SHIFT..=e_out - e_in);
            // What rounding of weights and of the input adds to the mean of the sum.
            let mut shift = behind.get(l).map_or(0.0, |layer| layer[o]);
            if let Some(now) = quantized_means.get(l) {
                for (k, (&v, &q)) in row.iter().zip(&rounded).enumerate() {
                    let c = k / (h * w);
                    shift += f64::from(v) * seen[l].means[c] - f64::from(q * power_of_two(e)) * now[c];
                }
            }
            weight.extend(rounded.iter().map(|&v| v as i8));
            bias.push(((f64::from(b) + shift) / f64::from(power_of_two(e_in + e))).round() as i32);
            weight_exponent.push(e);
        }
        convs.push(Conv {
            inputs,
            outputs,
            kernel: [h, w],
            stride: conv.stride,
            pad: conv.pad,
            weight,
            bias,
            weight_exponent,
            exponent: e_out,
        });
    }
    let chain = Chain { channels, height, width, exponent: exponents[0], zero, convs };
    chain.validate().map_err(|e| anyhow!("quantized: {e}"))?;
    Ok(chain)
}

/// Means of the elements of tensor `i` of `chain` over the inputs, and its channels.
fn elements_of(chain: &Chain, i: usize, inputs: &[Vec<f32>]) -> Result<(Vec<f64>, usize)> {
    // What comes after the tensor is not run.
    let chain = Chain { convs: chain.convs[..i.max(1)].to_vec(), ..chain.clone() };
    let mut stack = Stack::new(&chain, Kernel::best()).map_err(|e| anyhow!(e))?;
    let channels = stack.shape(i)[0];
    let (exponent, zero) =
        if i == 0 { (chain.exponent, chain.zero) } else { (chain.convs[i - 1].exponent, 0) };
    let scale = f64::from(power_of_two(exponent)) / inputs.len() as f64;
    let mut means = Vec::new();
    for input in inputs {
        ensure!(stack.set_input(input), "a calibration input has another shape");
        stack.run();
        let bytes = stack.tensor(i);
        means.resize(bytes.len(), 0.0);
        for (mean, &b) in means.iter_mut().zip(&bytes) {
            *mean += (f64::from(b) - f64::from(zero)) * scale;
        }
    }
    Ok((means, channels))
}

/// Channel means of tensor `i` of `chain` over the inputs.
fn means_of(chain: &Chain, i: usize, inputs: &[Vec<f32>]) -> Result<Vec<f64>> {
    let (elements, channels) = elements_of(chain, i, inputs)?;
    let plane = elements.len() / channels;
    Ok(elements.chunks_exact(plane).map(|c| c.iter().sum::<f64>() / plane as f64).collect())
}

/// All outputs of `network` for all inputs, output by output.
fn outputs_of(network: &mut Network, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
    let mut all: Vec<Vec<f32>> = vec![Vec::new(); network.outputs.len()];
    for input in inputs {
        network.run(input, |i, v| all[i].extend_from_slice(v)).map_err(|e| anyhow!(e))?;
    }
    Ok(all)
}

/// How much each output value counts: gets the outputs of the `f32` network, each over all calibration inputs one after
/// the other.
pub type Weigh = fn(&[Vec<f32>]) -> Vec<Vec<f32>>;

/// Every output value counts alike.
pub fn evenly(outputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
    outputs.iter().map(|o| vec![1.0; o.len()]).collect()
}

/// Root mean square error over root mean square deviation, for each output, with its weights.
fn relative_errors(outputs: &[Vec<f32>], expected: &[Vec<f32>], weights: &[Vec<f32>]) -> Vec<f32> {
    let relative_error = |((output, expected), weights): ((&Vec<f32>, &Vec<f32>), &Vec<f32>)| {
        let sum = |value: &dyn Fn(usize) -> f64| {
            weights.iter().enumerate().map(|(i, w)| f64::from(*w) * value(i)).sum::<f64>()
        };
        let mean = sum(&|i| expected[i].into()) / sum(&|_| 1.0).max(1e-12);
        let spread = sum(&|i| (f64::from(expected[i]) - mean).powi(2));
        let error = sum(&|i| f64::from(output[i] - expected[i]).powi(2));
        (error / spread.max(1e-12)).sqrt() as f32
    };
    outputs.iter().zip(expected).zip(weights).map(relative_error).collect()
}

/// Puts `chain` in the place of the `f32` layers.
fn rewrite(model: &pb::ModelProto, float: &FloatChain, chain: &Chain) -> Result<pb::ModelProto> {
    let mut model = model.clone();
    let graph = model.graph.as_mut().context("no graph")?;
    if graph.input.first().context("no input")?.name != float.input {
        let shape = [1, chain.channels, chain.height, chain.width];
        graph.value_info.push(onnx::value_info(&float.input, &shape));
    }
    let output = &float.convs[float.convs.len() - 1].output;
    onnx::replace(graph, &float.nodes, chain.quantized_nodes(&float.input, output));
    Ok(model)
}

/// Adds to the bias of every linear layer that reads `tensor`, flattened, what its inputs miss in the mean.
fn correct_linear(graph: &mut pb::GraphProto, tensor: &str, missing: &[f64]) -> Result<()> {
    let flat: Vec<String> = graph
        .node
        .iter()
        .filter(|n| n.op_type == "Flatten" && n.input.iter().any(|i| i == tensor))
        .map(|n| n.output[0].clone())
        .collect();
    let layers: Vec<pb::NodeProto> = graph
        .node
        .iter()
        .filter(|n| n.op_type == "Gemm" && n.input.len() == 3 && flat.contains(&n.input[0]))
        .cloned()
        .collect();
    for layer in layers {
        let (dims, weight) = stored(graph, &layer.input[1])?;
        let turned = layer.attribute.iter().any(|a| a.name == "transB" && a.i == 1);
        let &[rows, columns] = dims else { bail!("{}: weights of {} axes", layer.name, dims.len()) };
        let (rows, columns) = (rows as usize, columns as usize);
        let (outputs, inputs) = if turned { (rows, columns) } else { (columns, rows) };
        ensure!(inputs == missing.len(), "{}: {inputs} inputs for {}", layer.name, missing.len());
        let (_, mut bias) = stored(graph, &layer.input[2])?;
        ensure!(bias.len() == outputs, "{}: {} biases for {outputs} outputs", layer.name, bias.len());
        for (o, b) in bias.iter_mut().enumerate() {
            let at = |i: usize| if turned { o * inputs + i } else { i * outputs + o };
            *b += missing.iter().enumerate().map(|(i, m)| f64::from(weight[at(i)]) * m).sum::<f64>() as f32;
        }
        let name = &layer.input[2];
        let tensor = graph.initializer.iter_mut().find(|t| t.name == *name).context("bias is not stored")?;
        tensor.float_data.clear();
        tensor.raw_data = bias.iter().flat_map(|b| b.to_le_bytes()).collect();
    }
    Ok(())
}

/// Times that what is left of an error behind ReLU is put into the bias before it.
const BEHIND: usize = 2;
/// A channel that is active less than this is not corrected to the full: its share is badly known.
const LEAST_ACTIVE: f64 = 0.1;

/// Quantizes `model`, whose input has `shape` (`[1, c, h, w]`), with calibration inputs of that shape.
pub fn quantize(
    model: &pb::ModelProto,
    shape: [usize; 4],
    inputs: &[Vec<f32>],
    weigh: Weigh,
) -> Result<Quantized> {
    ensure!(inputs.len() >= 16, "{} calibration inputs; at least 16 are needed", inputs.len());
    let graph = model.graph.as_ref().context("no graph")?;
    let mut float = float_chain(graph)?;

    // The network with the chain's input and every activation as outputs; tract knows their shapes.
    let mut watched = model.clone();
    if let Some(graph) = &mut watched.graph {
        graph.output.clear();
        let tensors = std::iter::once(&float.input).chain(float.convs.iter().map(|c| &c.output));
        graph.output.extend(tensors.map(|name| onnx::value_info(name, &[])));
    }
    let mut network = Network::from_model(&watched, &shape, Engine::Plain).map_err(|e| anyhow!(e))?;
    let &[1, channels, height, width] = &network.output_shapes[0][..] else {
        bail!(
            "{}: shape {:?}; a chain takes 1, channels, rows, columns",
            float.input,
            network.output_shapes[0]
        );
    };
    let mut seen = vec![Activations::default(); float.convs.len() + 1];
    let mut moments = Vec::new();
    for (conv, read) in float.convs.iter().zip(&network.output_shapes) {
        let &[1, c, h, w] = &read[..] else { bail!("{}: reads {read:?}", conv.output) };
        let [_, _, kh, kw] = conv.shape;
        let reads = Reads { input: [c, h, w], kernel: [kh, kw], stride: conv.stride, pad: conv.pad };
        moments.push(Moments::new(reads));
    }
    // What the chain itself sees.
    let mut starts: Vec<Vec<f32>> = vec![Vec::new(); inputs.len()];
    for (input, start) in inputs.iter().zip(&mut starts) {
        let channels = |i: usize| if i == 0 { channels } else { float.convs[i - 1].shape[0] };
        let read = |i: usize, v: &[f32]| {
            observe(&mut seen[i], v, channels(i), inputs.len());
            if let Some(moments) = moments.get_mut(i) {
                moments.observe(v, inputs.len());
            }
            if i == 0 {
                start.extend_from_slice(v);
            }
        };
        network.run(input, read).map_err(|e| anyhow!(e))?;
    }
    float.convs.iter_mut().zip(moments).for_each(|(conv, moments)| conv.settle(moments.spread()));
    let zero = if seen[0].values.iter().any(|&v| v < 0.0) { 128 } else { 0 };
    let (low, high) = (-f32::from(zero), 255.0 - f32::from(zero));
    let mut exponents = vec![best_exponent(&seen[0].values, low, high)];
    exponents.extend(seen[1..].iter().map(|s| best_exponent(&s.values, 0.0, 255.0)));

    let input = ([channels, height, width], zero);
    // The means of both networks are of the same inputs: those of others differ by more than rounding changes them.
    let corrected = |exponents: &[i32]| -> Result<Chain> {
        let (mut means, mut behind) = (Vec::new(), Vec::new());
        let mut chain = build(&float, input, exponents, &seen, &means, &behind)?;
        for l in 0..float.convs.len() {
            means.push(means_of(&chain, l, &starts)?);
            behind.push(vec![0.0; float.convs[l].shape[0]]);
            chain = build(&float, input, exponents, &seen, &means, &behind)?;
            for _ in 0..BEHIND {
                let now = means_of(&chain, l + 1, &starts)?;
                let wanted = &seen[l + 1];
                for (o, shift) in behind[l].iter_mut().enumerate() {
                    // Where a channel is active the bias moves it one to one, elsewhere not at all.
                    *shift += (wanted.means[o] - now[o]) / wanted.active[o].max(LEAST_ACTIVE);
                }
                chain = build(&float, input, exponents, &seen, &means, &behind)?;
            }
        }
        Ok(chain)
    };
    let mut reference = Network::from_model(model, &shape, Engine::Plain).map_err(|e| anyhow!(e))?;
    let expected = outputs_of(&mut reference, inputs)?;
    let weights = weigh(&expected);
    let last = &seen[float.convs.len()].elements;
    let rewritten = |chain: &Chain| -> Result<pb::ModelProto> {
        let (now, _) = elements_of(chain, float.convs.len(), &starts)?;
        let mut model = rewrite(model, &float, chain)?;
        let missing: Vec<f64> = last.iter().zip(now).map(|(a, b)| a - b).collect();
        let output = &float.convs[float.convs.len() - 1].output;
        correct_linear(model.graph.as_mut().context("no graph")?, output, &missing)?;
        Ok(model)
    };
    let errors = |chain: &Chain| -> Result<Vec<f32>> {
        let model = rewritten(chain)?;
        let mut network =
            Network::from_model(&model, &shape, Engine::Stack(Kernel::best())).map_err(|e| anyhow!(e))?;
        Ok(relative_errors(&outputs_of(&mut network, inputs)?, &expected, &weights))
    };
    let score = |e: &[i32]| -> Result<f32> { Ok(errors(&corrected(e)?)?.iter().map(|v| v * v).sum::<f32>()) };
    let mut best = score(&exponents)?;
    // The input's scale is what its range asks for; the others may lose by a step up or down.
    for l in 1..exponents.len() {
        for step in [-1, 1] {
            let mut tried = exponents.clone();
            tried[l] += step;
            if let Ok(tried_score) = score(&tried)
                && tried_score < best
            {
                (best, exponents) = (tried_score, tried);
                break;
            }
        }
    }
    let chain = corrected(&exponents)?;
    let relative_error = errors(&chain)?;
    Ok(Quantized { model: rewritten(&chain)?, chain, relative_error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use glint::int8::fixture;
    use glint::model::Form;

    #[test]
    fn the_fixture_survives_quantization() -> Result<()> {
        let shape = fixture::STUDENT_LIKE_SHAPE;
        let float = onnx::in_float(&fixture::student_like(5), &shape).map_err(|e| anyhow!(e))?;
        let input = |seed: usize| -> Vec<f32> {
            let wave =
                |i: usize| ((i * (seed + 3)) as f32 * 0.013).sin() + ((i * 7 + seed * 31) % 97) as f32 / 97.0;
            (0..shape.iter().product()).map(|i| 2.0 * wave(i) - 1.0).collect()
        };
        let inputs: Vec<_> = (0..24).map(input).collect();
        let done = quantize(&float, shape, &inputs, evenly)?;
        assert_eq!(done.chain.convs.len(), 3);
        assert!(done.relative_error[0] < 0.05, "{:?}", done.relative_error);
        let network = Network::from_model(&done.model, &shape, Engine::Stack(Kernel::best()));
        let network = network.map_err(|e| anyhow!(e))?;
        assert!(matches!(network.form(), Form::Int8(_)), "{}", network.form());
        Ok(())
    }
}
