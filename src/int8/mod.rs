//! Quantized convolutions: a chain of them as one operator inside tract.
//!
//! tract runs an int8 convolution slower than an f32 one on every CPU that was measured, so a chain
//! from the first `QuantizeLinear` to the last `DequantizeLinear` of an ONNX file is run here: weights
//! packed at load, NHWC buffers with their border allocated once, no im2col, requantization fused
//! with ReLU. The file stays standard ONNX (QOperator form); every kernel gives the bytes that
//! onnxruntime gives.
//!
//! | module | meaning |
//! |---|---|
//! | here | [`Chain`], the numbers of a quantized stack, and what it must hold |
//! | [`onnx`] | a chain in an ONNX graph, read and written |
//! | [`stack`] | a chain made ready for a CPU: geometry, packed weights, buffers |
//! | `kernels` | the inner loops by CPU, the home of `unsafe` |
//! | [`op`] | the operator inside tract |
//! | [`fixture`] | a network with seeded weights: what `glintd bench --models`, benches and tests measure int8 on |
//!
//! The rules that make it exact: activations are `u8` with zero point 0 (the input tensor may have
//! 128, its border filled with it), scales are powers of two, weights are `i8` with `|w| <= 63`, so
//! that the sum of two products fits an `i16`, and every shift is 0 to 16, so that the rounding in
//! `f32` is that of the exact number (see [`MAX_SHIFT`]).

pub mod fixture;
mod kernels;
pub mod onnx;
pub mod op;
pub mod stack;

pub use kernels::Kernel;

/// Largest absolute weight: `2 * 255 * 63` fits an `i16`, which is where AVX2 adds two products.
pub const MAX_WEIGHT: i8 = 63;

/// Largest shift from accumulator to output. An accumulator is rounded as `f32(acc) * 2^-shift`: up
/// to 2^24 the conversion is exact, and beyond 2^24 with a shift of at most 16 the result is above
/// 255 and saturates whatever the rounding. So the result is `acc / 2^shift`, rounded to the nearest
/// even number, which is what ONNX asks for.
pub const MAX_SHIFT: i32 = 16;

/// Largest absolute value of a sum of products with its bias.
const MAX_SUM: i64 = 1 << 30;

/// Largest number of elements of a tensor in a chain.
const MAX_ELEMENTS: usize = 1 << 24;

/// Base-2 logarithm of the scale at which luma is its own quantized form.
pub const LUMA_EXPONENT: i32 = -6;
/// Zero point of that form.
pub const LUMA_ZERO: u8 = 128;

/// What the face networks see to the luma that it was made of, rounded to the nearest even.
pub fn quantize_luma(values: &[f32], luma: &mut [u8]) {
    kernels::edges::quantize(values, power_of_two(-LUMA_EXPONENT), LUMA_ZERO, luma);
}

/// One quantized convolution with its ReLU (`u8` with zero point 0 has no negative values).
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Step in both directions.
    pub stride: usize,
    /// Rows and columns added on each side.
    pub pad: usize,
    /// `[outputs, inputs, rows, columns]`.
    pub weight: Vec<i8>,
    /// One for each output, in units of input scale times weight scale.
    pub bias: Vec<i32>,
    /// Base-2 logarithm of the weights' scale, one for each output.
    pub weight_exponent: Vec<i32>,
    /// Base-2 logarithm of the output's scale.
    pub exponent: i32,
}

/// A chain of quantized convolutions: `f32` in, `f32` out, `u8` between.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// Channels of the input.
    pub channels: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Base-2 logarithm of the input's scale.
    pub exponent: i32,
    /// Zero point of the input: 0 or 128.
    pub zero: u8,
    /// The convolutions in order, at least one.
    pub convs: Vec<Conv>,
}

/// `2^exponent`, exactly. Exponents lie within [`Chain::validate`]'s bounds.
pub fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits(((exponent.clamp(-126, 127) + 127) as u32) << 23)
}

impl Conv {
    /// Rows and columns of the output for an input of `height` x `width`; `None` when it is empty.
    pub fn output_size(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let side =
            |n: usize, k: usize| (n + 2 * self.pad).checked_sub(k).map(|free| free / self.stride.max(1) + 1);
        Some((side(height, self.kernel[0])?, side(width, self.kernel[1])?))
    }

    /// Base-2 logarithms of accumulator unit over output unit, negated: the right shift of each output.
    pub fn shifts(&self, input_exponent: i32) -> impl Iterator<Item = i32> {
        self.weight_exponent.iter().map(move |w| self.exponent - input_exponent - w)
    }

    fn validate(&self, inputs: usize, input_exponent: i32) -> Result<(), String> {
        let [rows, columns] = self.kernel;
        if self.inputs != inputs {
            return Err(format!("{} input channels after a tensor of {inputs}", self.inputs));
        }
        let taps = rows * columns * self.inputs;
        if taps == 0 || self.outputs == 0 || self.stride == 0 || rows > 64 || columns > 64 || self.stride > 8
        {
            return Err(format!("kernel {rows}x{columns}, stride {}, {} outputs", self.stride, self.outputs));
        }
        if self.pad >= rows.min(columns) {
            return Err(format!("padding {} of a {rows}x{columns} kernel", self.pad));
        }
        if self.weight.len() != taps * self.outputs {
            return Err(format!("{} weights for {} of {taps}", self.weight.len(), self.outputs));
        }
        if [self.bias.len(), self.weight_exponent.len()] != [self.outputs; 2] {
            return Err("not one bias and one scale for each output".into());
        }
        if let Some(w) = self.weight.iter().find(|w| w.unsigned_abs() > MAX_WEIGHT as u8) {
            return Err(format!("weight {w}; allowed: -{MAX_WEIGHT} to {MAX_WEIGHT}"));
        }
        for (weights, bias) in self.weight.chunks_exact(taps).zip(&self.bias) {
            let sum: i64 = weights.iter().map(|w| i64::from(w.unsigned_abs())).sum();
            if 255 * sum + i64::from(*bias).abs() > MAX_SUM {
                return Err(format!("bias {bias} and weights may exceed {MAX_SUM}"));
            }
        }
        if let Some(s) = self.shifts(input_exponent).find(|s| !(0..=MAX_SHIFT).contains(s)) {
            return Err(format!("shift {s} from accumulator to output; allowed: 0 to {MAX_SHIFT}"));
        }
        Ok(())
    }
}

impl Chain {
    /// Checks that the chain is what the kernels compute exactly.
    ///
    /// # Errors
    /// Which convolution breaks which rule.
    pub fn validate(&self) -> Result<(), String> {
        if self.convs.is_empty() {
            return Err("no convolution".into());
        }
        if self.zero != 0 && self.zero != 128 {
            return Err(format!("zero point {} of the input; allowed: 0, 128", self.zero));
        }
        let (mut channels, mut size) = (self.channels, (self.height, self.width));
        let mut exponent = self.exponent;
        let bounded = |e: i32| (-60..=60).contains(&e);
        if !bounded(exponent) {
            return Err(format!("scale 2^{exponent} of the input is out of range"));
        }
        for (i, conv) in self.convs.iter().enumerate() {
            let fail = |reason: String| format!("convolution {}: {reason}", i + 1);
            if !bounded(conv.exponent) || !conv.weight_exponent.iter().copied().all(bounded) {
                return Err(fail("scale outside 2^-60 to 2^60".into()));
            }
            conv.validate(channels, exponent).map_err(fail)?;
            let elements = |c: usize, (h, w): (usize, usize), pad: usize| {
                (h + 2 * pad).saturating_mul(w + 2 * pad).saturating_mul(c + 8)
            };
            let before = elements(channels, size, conv.pad);
            size = conv.output_size(size.0, size.1).ok_or_else(|| fail("empty output".into()))?;
            (channels, exponent) = (conv.outputs, conv.exponent);
            if before.max(elements(channels, size, 0)) > MAX_ELEMENTS {
                return Err(fail(format!("tensor of more than {MAX_ELEMENTS} elements")));
            }
        }
        Ok(())
    }

    /// Channels, rows and columns of the output.
    pub fn output_shape(&self) -> Option<[usize; 3]> {
        let mut size = (self.height, self.width);
        for conv in &self.convs {
            size = conv.output_size(size.0, size.1)?;
        }
        Some([self.convs.last()?.outputs, size.0, size.1])
    }

    /// Whether 8-bit luma is the quantized input as it stands: the face networks see `(luma - 128) / 64`.
    pub fn starts_from_luma(&self) -> bool {
        self.channels == 1 && self.zero == LUMA_ZERO && self.exponent == LUMA_EXPONENT
    }

    /// Multiply-adds of one pass.
    pub fn macs(&self) -> u64 {
        let mut size = (self.height, self.width);
        let mut sum = 0;
        for conv in &self.convs {
            let Some(next) = conv.output_size(size.0, size.1) else { break };
            size = next;
            sum += conv.weight.len() as u64 * (size.0 * size.1) as u64;
        }
        sum
    }
}

#[cfg(test)]
mod tests;
