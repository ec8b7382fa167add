//! Networks in tract, with their quantized layers as one operator of ours.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tract_onnx::pb;
use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModelExt, IntoRunnable, IntoTValue, SpecialOps, Tensor,
    TractResult, TypedModel, TypedSimpleState, tvec,
};
use tract_onnx::tract_core::internal::bail;

use crate::int8::onnx::{self, Subgraph};
use crate::int8::op::StackOp;
use crate::int8::stack::Stack;
use crate::int8::{Chain, Kernel, quantize_luma};

/// Called before and after each run of a network.
static OBSERVER: OnceLock<fn(bool)> = OnceLock::new();

/// Lets a program that measures see when networks run: from now on `observer` is called in the thread that runs one, with
/// `true` before and `false` after.
///
/// # Errors
/// The observer, where there is one already.
pub fn observe_networks(observer: fn(bool)) -> Result<(), fn(bool)> {
    OBSERVER.set(observer)
}

/// Runs a network under the observer.
fn observed<T>(run: impl FnOnce() -> T) -> T {
    let Some(observer) = OBSERVER.get() else { return run() };
    observer(true);
    let out = run();
    observer(false);
    out
}

/// What runs the quantized layers of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// tract, layer by layer.
    Plain,
    /// tract, in `f32`: what the quantized weights stand for. Faster than int8 without vectors.
    Float,
    /// The operator of [`crate::int8`] with this kernel.
    Stack(Kernel),
}

/// Environment variable by which the programs let a user force an engine: `plain`, `f32`, or the name of a kernel. The
/// library does not read it: see [`Engine::force`].
pub const ENGINE_VARIABLE: &str = "GLINT_INT8_KERNEL";

/// What the program has forced. One for the process: networks are built in many places, and two engines at once would be
/// two sets of results.
static FORCED: OnceLock<Engine> = OnceLock::new();

impl Engine {
    /// Lets every network that is built from now on run by this engine. A program calls it once, before it builds any.
    ///
    /// # Errors
    /// The engine that has been forced before.
    pub fn force(self) -> Result<(), Self> {
        FORCED.set(self).map_err(|_| Self::chosen())
    }

    /// The engine that is forced, or else the best kernel of this CPU; where that is the scalar one (32-bit ARM, x86-64
    /// without AVX2), `f32`.
    pub fn chosen() -> Self {
        match FORCED.get() {
            Some(forced) => *forced,
            None if Kernel::best() == Kernel::Scalar => Self::Float,
            None => Self::Stack(Kernel::best()),
        }
    }
}

impl fmt::Display for Engine {
    /// The name that [`str::parse`] takes.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Float => "f32",
            Self::Stack(kernel) => kernel.name(),
        })
    }
}

impl std::str::FromStr for Engine {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "plain" => return Ok(Self::Plain),
            "f32" => return Ok(Self::Float),
            _ => {}
        }
        Kernel::available().find(|k| k.name() == name).map(Self::Stack).ok_or_else(|| {
            let names: Vec<_> = Kernel::available().map(Kernel::name).collect();
            format!("{ENGINE_VARIABLE}: \"{name}\"; allowed on this CPU: plain, f32, {}", names.join(", "))
        })
    }
}

/// Luma 0..255 as the face networks see it.
pub fn normalise_luma(luma: f32) -> f32 {
    (luma - 128.0) / 64.0
}

/// How a network runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// Nothing in it is quantized, or nothing any more.
    Float,
    /// Its quantized layers run as one operator with this kernel.
    Int8(Kernel),
    /// Its quantized layers run in plain tract, slower: why.
    Plain(String),
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Float => f.write_str("f32"),
            Self::Int8(kernel) => write!(f, "int8, kernel {}", kernel.name()),
            Self::Plain(reason) => write!(f, "int8 in plain tract: {reason}"),
        }
    }
}

/// The graph in the bytes of an ONNX file.
///
/// # Errors
/// The bytes are no ONNX model.
pub fn parse_onnx(onnx: &[u8]) -> Result<pb::ModelProto, String> {
    tract_onnx::onnx().proto_model_for_read(&mut &onnx[..]).map_err(|e| format!("{e:#}"))
}

/// A network with one input of a fixed shape, its state kept between calls.
pub struct Network {
    state: TypedSimpleState,
    /// Used again when tract has let go of it.
    input: Arc<Tensor>,
    shape: Vec<usize>,
    form: Form,
    /// Names of the outputs, in order.
    pub outputs: Vec<String>,
    /// Shapes of the outputs; empty where one depends on the input's values.
    pub output_shapes: Vec<Vec<usize>>,
}

impl Network {
    /// Parses `onnx` for an input of `shape`.
    ///
    /// # Errors
    /// The bytes are no ONNX model, or tract cannot run it on this shape.
    pub fn new(onnx: &[u8], shape: &[usize]) -> Result<Self, String> {
        let model = tract_onnx::onnx().proto_model_for_read(&mut &onnx[..]).map_err(|e| format!("{e:#}"))?;
        Self::from_model(&model, shape, Engine::chosen())
    }

    /// The network of a parsed `model`, its quantized layers run by `engine`.
    ///
    /// # Errors
    /// tract cannot run the graph on this shape, or its quantized layers break the rules.
    pub fn from_model(model: &pb::ModelProto, shape: &[usize], engine: Engine) -> Result<Self, String> {
        let graph = model.graph.as_ref().ok_or("the file holds no graph")?;
        super::windows::check(graph)?;
        let ready = |subgraph: Subgraph, kernel| Ok((Stack::new(&subgraph.chain, kernel)?, subgraph));
        let (form, stack) = match (onnx::find(graph, shape), engine) {
            (Ok(None), _) => (Form::Float, None),
            (Ok(Some(_)), Engine::Plain) => (Form::Plain("asked for".into()), None),
            (Ok(Some(_)), Engine::Float) => {
                return Self::from_model(&onnx::in_float(model, shape)?, shape, Engine::Plain);
            }
            (subgraph, _) => {
                let kernel = if let Engine::Stack(kernel) = engine { kernel } else { Kernel::Scalar };
                match subgraph.and_then(|f| f.map(|f| ready(f, kernel)).transpose()) {
                    Ok(stack) => (Form::Int8(kernel), stack),
                    Err(reason) => {
                        tracing::warn!(
                            network = graph.name,
                            "the quantized layers run in plain tract, which is slower: {reason}"
                        );
                        (Form::Plain(reason), None)
                    }
                }
            }
        };
        // tract panics on some graphs that contradict themselves. A release build ends there, so what is known is refused
        // above; everywhere else the rest is an error like any other.
        let build = std::panic::AssertUnwindSafe(|| Self::build(model, shape, form, stack));
        match std::panic::catch_unwind(build) {
            Ok(network) => network.map_err(|e| format!("{e:#}")),
            Err(_) => Err("the graph contradicts itself: tract gave up on it".into()),
        }
    }

    fn build(
        model: &pb::ModelProto,
        shape: &[usize],
        form: Form,
        stack: Option<(Stack, Subgraph)>,
    ) -> TractResult<Self> {
        let onnx = tract_onnx::onnx();
        let input = |datum| InferenceFact::dt_shape(datum, shape);
        let mut datum = DatumType::F32;
        let (parsed, typed) = match stack {
            None => {
                let mut parsed = onnx.model_for_proto_model(model)?;
                parsed.set_input_fact(0, input(datum))?;
                (parsed.clone(), parsed.into_typed()?)
            }
            Some((stack, subgraph)) => {
                // The rest of the graph, with the chain's output as a second input for the moment, and
                // the chain's input as one more output where it is not the graph's.
                let mut surrounding = model.clone();
                let Some(graph) = &mut surrounding.graph else { bail!("the file holds no graph") };
                let users = graph.node.iter().filter(|n| n.input.contains(&subgraph.input)).count();
                let at_start = graph.input.first().is_some_and(|i| i.name == subgraph.input);
                if at_start && users == 1 && subgraph.chain.starts_from_luma() {
                    datum = DatumType::U8;
                }
                let operator = StackOp::new(stack, datum == DatumType::U8, subgraph.means);
                let output = operator.output_shape();
                onnx::replace(graph, &subgraph.nodes, onnx::Written::default());
                graph.input.push(onnx::value_info(&subgraph.output, &output));
                let mut parsed = onnx.model_for_proto_model(&surrounding)?;
                if let Some(graph) = surrounding.graph.as_mut().filter(|_| !at_start) {
                    let Chain { channels, height, width, .. } = subgraph.chain;
                    graph.output.push(onnx::value_info(&subgraph.input, &[1, channels, height, width]));
                }
                let mut watched = onnx.model_for_proto_model(&surrounding)?;
                for model in [&mut parsed, &mut watched] {
                    model.set_input_fact(0, input(datum))?;
                    model.set_input_fact(1, InferenceFact::dt_shape(DatumType::F32, output))?;
                }
                let mut typed = watched.into_typed()?;
                insert(&mut typed, operator, at_start)?;
                (parsed, typed)
            }
        };
        let outputs = parsed
            .output_outlets()?
            .iter()
            .map(|o| parsed.outlet_label(*o).unwrap_or(&parsed.node(o.node).name).to_owned())
            .collect();
        let count = typed.output_outlets()?.len();
        let concrete = |i| Some(typed.output_fact(i).ok()?.shape.as_concrete()?.to_vec());
        let output_shapes = (0..count).map(|i| concrete(i).unwrap_or_default()).collect();
        let state = typed.into_optimized()?.into_runnable()?.spawn()?;
        let input = Arc::new(Tensor::zero_dt(datum, shape)?);
        Ok(Self { state, input, shape: shape.to_vec(), form, outputs, output_shapes })
    }

    /// How it runs.
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// Runs the network; `read` sees each output with its index.
    ///
    /// # Errors
    /// An input of another length than the shape says; a failure inside tract.
    pub fn run(&mut self, input: &[f32], read: impl FnMut(usize, &[f32])) -> Result<(), String> {
        observed(|| {
            self.fill(input, |buffer| buffer.copy_from_slice(input), |buffer| quantize_luma(input, buffer))?;
            self.run_filled(read)
        })
    }

    /// Runs a network of images on 8-bit luma, which it sees as [`normalise_luma`] gives it. Where the quantized
    /// input is the luma itself, it is taken as it stands.
    ///
    /// # Errors
    /// An input of another length than the shape says; a failure inside tract.
    pub fn run_luma(&mut self, luma: &[u8], read: impl FnMut(usize, &[f32])) -> Result<(), String> {
        let convert = |buffer: &mut [f32]| {
            buffer.iter_mut().zip(luma).for_each(|(o, &v)| *o = normalise_luma(f32::from(v)));
        };
        observed(|| {
            self.fill(luma, convert, |buffer| buffer.copy_from_slice(luma))?;
            self.run_filled(read)
        })
    }

    /// Writes the input tensor, which is `f32` or `u8`.
    fn fill<T>(
        &mut self,
        input: &[T],
        float: impl FnOnce(&mut [f32]),
        bytes: impl FnOnce(&mut [u8]),
    ) -> Result<(), String> {
        if input.len() != self.shape.iter().product::<usize>() {
            return Err(format!("input of {} numbers; the network takes {:?}", input.len(), self.shape));
        }
        let fail = |e| format!("{e:#}");
        if Arc::get_mut(&mut self.input).is_none() {
            let fresh = Tensor::zero_dt(self.input.datum_type(), &self.shape).map_err(fail)?;
            self.input = Arc::new(fresh);
        }
        let tensor = Arc::get_mut(&mut self.input).ok_or("the input is still in use")?;
        let quantized = tensor.datum_type() == DatumType::U8;
        let mut plain = tensor.try_as_plain_ram_mut().map_err(fail)?;
        if quantized {
            bytes(plain.as_slice_mut().map_err(fail)?);
        } else {
            float(plain.as_slice_mut().map_err(fail)?);
        }
        Ok(())
    }

    fn run_filled(&mut self, mut read: impl FnMut(usize, &[f32])) -> Result<(), String> {
        let fail = |e| format!("{e:#}");
        let outputs = self.state.run(tvec!(self.input.clone().into_tvalue())).map_err(fail)?;
        for (i, output) in outputs.iter().enumerate() {
            let plain = output.try_as_plain_ram().map_err(fail)?;
            read(i, plain.as_slice::<f32>().map_err(fail)?);
        }
        Ok(())
    }
}

/// Replaces the second input by the operator. The operator reads the first input, or the last output, which then stops
/// being an output.
fn insert(model: &mut TypedModel, operator: StackOp, at_start: bool) -> TractResult<()> {
    let (inputs, mut outputs) = (model.input_outlets()?.to_vec(), model.output_outlets()?.to_vec());
    let (source, place) = (inputs[0], inputs[1]);
    let read = if at_start { source } else { outputs.pop().unwrap_or(source) };
    let stack = model.wire_node("int8", operator, &[read])?[0];
    for user in model.node(place.node).outputs[place.slot].successors.clone() {
        model.add_edge(stack, user)?;
    }
    outputs.iter_mut().filter(|o| **o == place).for_each(|o| *o = stack);
    model.select_output_outlets(&outputs)?;
    model.set_input_outlets(&[source])
}
