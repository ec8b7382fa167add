//! The operator that takes a chain's place inside tract.

use tract_onnx::tract_core::internal::*;

use super::stack::Stack;

/// A quantized stack: `[1, c, h, w]` in `f32`, or in `u8` where it is quantized already, to
/// `[1, c', h', w']` in `f32`, or its means over rows and columns, `[1, c', 1, 1]`.
#[derive(Debug, Clone)]
pub struct StackOp {
    stack: Stack,
    quantized_input: bool,
    means: bool,
}

impl StackOp {
    /// The operator of `stack`. `quantized_input`: its input is `u8`; `means`: its output is averaged
    /// over rows and columns.
    pub fn new(stack: Stack, quantized_input: bool, means: bool) -> Self {
        Self { stack, quantized_input, means }
    }

    /// Shape of its output.
    pub fn output_shape(&self) -> [usize; 4] {
        let [c, h, w] = self.stack.shape(self.stack.tensors() - 1);
        if self.means { [1, c, 1, 1] } else { [1, c, h, w] }
    }
}

// tract compares operators to find equal nodes; two stacks are never merged.
impl PartialEq for StackOp {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for StackOp {}

impl Op for StackOp {
    fn name(&self) -> StaticName {
        "Int8Stack".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("kernel {}", self.stack.kernel().name())])
    }

    op_as_typed_op!();
}

impl EvalOp for StackOp {
    not_out_of_plan!();

    fn state(&self, _ctx: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        let output = Arc::new(Tensor::zero::<f32>(&self.output_shape())?);
        Ok(Some(Box::new(StackState { op: self.clone(), output })))
    }
}

impl TypedOp for StackOp {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [c, h, w] = self.stack.shape(0);
        let datum = if self.quantized_input { u8::datum_type() } else { f32::datum_type() };
        let shape = inputs.first().and_then(|i| i.shape.as_concrete());
        ensure!(
            inputs.len() == 1 && shape == Some(&[1, c, h, w]) && inputs[0].datum_type == datum,
            "the int8 stack takes one {datum:?} tensor of 1,{c},{h},{w}"
        );
        Ok(tvec!(f32::fact(self.output_shape())))
    }
}

/// The buffers of one state. The output tensor is used again once nobody holds it any more.
#[derive(Debug, Clone)]
struct StackState {
    op: StackOp,
    output: Arc<Tensor>,
}

impl OpState for StackState {
    fn eval(&mut self, _: &EvalContext, _: &dyn Op, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let Self { op: StackOp { stack, quantized_input, means }, output } = self;
        let Some(input) = inputs.first() else { bail!("no input") };
        let input = input.try_as_plain_ram()?;
        let fits = if *quantized_input {
            stack.set_quantized_input(input.as_slice()?)
        } else {
            stack.set_input(input.as_slice()?)
        };
        ensure!(fits, "the input has the wrong shape");
        stack.run();
        if Arc::get_mut(output).is_none() {
            *output = Arc::new(Tensor::zero::<f32>(output.shape())?);
        }
        let Some(free) = Arc::get_mut(output) else { bail!("a new tensor is not shared") };
        let mut plain = free.try_as_plain_ram_mut()?;
        let values = plain.as_slice_mut::<f32>()?;
        let fits = if *means { stack.read_means(values) } else { stack.read(values) };
        ensure!(fits, "the output has the wrong shape");
        Ok(tvec!(TValue::from_const(output.clone())))
    }

    fn reset_lanes(&mut self, _: &[LaneId]) -> TractResult<()> {
        Ok(()) // nothing of one run is seen by the next
    }
}
