//! A chain made ready for a CPU: geometry and packed weights once, buffers with their border once.

use std::sync::Arc;

use super::kernels::{BLOCK_TILES, Kernel, Layout, Line, Product, SLACK, edges, tiles};
use super::{Chain, Conv, power_of_two};

/// Input bytes of one pass over a layer's weights: half of a small first-level cache.
const BLOCK_BYTES: usize = 16 << 10;

/// A tensor in NHWC with a border on each side, whose content is the zero point.
#[derive(Debug, Clone, Copy)]
struct Plane {
    height: usize,
    width: usize,
    /// As they lie in memory: outputs of a convolution in multiples of 8.
    channels: usize,
    border: usize,
}

impl Plane {
    fn row_bytes(&self) -> usize {
        (self.width + 2 * self.border) * self.channels
    }

    fn at(&self, y: usize, x: usize) -> usize {
        (y + self.border) * self.row_bytes() + (x + self.border) * self.channels
    }

    fn len(&self) -> usize {
        (self.height + 2 * self.border) * self.row_bytes()
    }
}

/// Copies each pixel's taps together, where kernel rows are so short that a run would be mostly zeros.
#[derive(Debug)]
struct Unfold {
    /// First byte of each patch in the input.
    input_at: Vec<u32>,
    /// Bytes of a kernel row.
    run: usize,
    rows: usize,
    row_bytes: usize,
    /// Bytes from one patch to the next.
    pitch: usize,
}

/// Bytes that are copied at once, beyond a short run too: what lies behind is overwritten next.
const COPY: usize = 16;

impl Unfold {
    fn run(&self, input: &[u8], patches: &mut [u8]) {
        for (&from, patch) in self.input_at.iter().zip((0..).step_by(self.pitch)) {
            for row in 0..self.rows {
                let source = &input[from as usize + row * self.row_bytes..][..COPY];
                patches[patch + row * self.run..][..COPY].copy_from_slice(source);
            }
        }
    }
}

#[derive(Debug)]
struct Layer {
    unfold: Option<Unfold>,
    product: Product,
}

/// What does not change: shared by all states of a network.
#[derive(Debug)]
struct Plan {
    kernel: Kernel,
    inverse: f32,
    zero: u8,
    scale: f32,
    /// Channels that count, of each tensor.
    channels: Vec<usize>,
    planes: Vec<Plane>,
    layers: Vec<Layer>,
}

/// A chain ready to run. A clone shares the weights and has buffers of its own.
#[derive(Debug, Clone)]
pub struct Stack {
    plan: Arc<Plan>,
    tensors: Vec<Vec<u8>>,
    /// The quantized input before it is interleaved.
    bytes: Vec<u8>,
    patches: Vec<u8>,
    sums: Vec<u32>,
}

impl Stack {
    /// Packs `chain` for `kernel`.
    ///
    /// # Errors
    /// A chain that breaks the rules, or a kernel that this CPU does not have.
    pub fn new(chain: &Chain, kernel: Kernel) -> Result<Self, String> {
        chain.validate()?;
        if !kernel.is_available() {
            return Err(format!("this CPU does not run the kernel {}", kernel.name()));
        }
        let border = |i: usize| chain.convs.get(i).map_or(0, |c| c.pad);
        let mut planes = vec![Plane {
            height: chain.height,
            width: chain.width,
            channels: chain.channels,
            border: border(0),
        }];
        let (mut channels, mut layers) = (vec![chain.channels], Vec::new());
        let mut exponent = chain.exponent;
        for (i, conv) in chain.convs.iter().enumerate() {
            let input = planes[i];
            let (height, width) = conv.output_size(input.height, input.width).ok_or("empty output")?;
            let output =
                Plane { height, width, channels: conv.outputs.next_multiple_of(8), border: border(i + 1) };
            let zero = if i == 0 { chain.zero } else { 0 };
            layers.push(layer(conv, kernel, (input, output), exponent, zero));
            planes.push(output);
            channels.push(conv.outputs);
            exponent = conv.exponent;
        }
        let flip = kernel.flip();
        let tensors = planes.iter().enumerate().map(|(i, plane)| {
            let zero = if i == 0 { chain.zero } else { 0 };
            vec![zero ^ flip; plane.len() + SLACK]
        });
        let patches = layers.iter().map(|l| l.unfold.as_ref().map_or(0, |_| l.product.input_len)).max();
        Ok(Self {
            tensors: tensors.collect(),
            bytes: vec![0; chain.channels * chain.height * chain.width],
            patches: vec![0; patches.unwrap_or(0) + SLACK],
            sums: vec![0; planes[layers.len()].channels],
            plan: Arc::new(Plan {
                kernel,
                inverse: power_of_two(-chain.exponent),
                zero: chain.zero,
                scale: power_of_two(exponent),
                channels,
                planes,
                layers,
            }),
        })
    }

    /// The kernel it runs on.
    pub fn kernel(&self) -> Kernel {
        self.plan.kernel
    }

    /// Channels, rows and columns of tensor `i`; 0 is the input, the last the output.
    pub fn shape(&self, i: usize) -> [usize; 3] {
        let plane = &self.plan.planes[i];
        [self.plan.channels[i], plane.height, plane.width]
    }

    /// Number of tensors: one more than convolutions.
    pub fn tensors(&self) -> usize {
        self.plan.planes.len()
    }

    /// Quantizes the input, `[channels, rows, columns]`. Returns false if its length does not fit.
    pub fn set_input(&mut self, values: &[f32]) -> bool {
        if values.len() != self.bytes.len() {
            return false;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        edges::quantize(values, self.plan.inverse, self.plan.zero, &mut bytes);
        let fits = self.set_quantized_input(&bytes);
        self.bytes = bytes;
        fits
    }

    /// Takes an input that is quantized already, `[channels, rows, columns]`: 8-bit luma of an image
    /// where [`Chain::starts_from_luma`]. Returns false if its length does not fit.
    pub fn set_quantized_input(&mut self, values: &[u8]) -> bool {
        let Self { plan, tensors, .. } = self;
        let (plane, flip) = (plan.planes[0], plan.kernel.flip());
        if values.len() != plane.height * plane.width * plane.channels {
            return false;
        }
        for (row, values) in values.chunks_exact(plane.width).enumerate() {
            let (channel, y) = (row / plane.height, row % plane.height);
            let out = &mut tensors[0][plane.at(y, 0) + channel..][..plane.width * plane.channels - channel];
            edges::spread(values, flip, out, plane.channels);
        }
        true
    }

    /// Runs the convolutions on the input that was set. Allocates nothing.
    pub fn run(&mut self) {
        let Self { plan, tensors, patches, .. } = self;
        for (i, layer) in plan.layers.iter().enumerate() {
            let (before, after) = tensors.split_at_mut(i + 1);
            let (input, output) = (&before[i][..], &mut after[0][..]);
            match &layer.unfold {
                Some(unfold) => {
                    unfold.run(input, patches);
                    layer.product.run(plan.kernel, patches, output);
                }
                None => layer.product.run(plan.kernel, input, output),
            }
        }
    }

    /// The output as `f32`, `[channels, rows, columns]`. Returns false if the length does not fit.
    pub fn read(&self, out: &mut [f32]) -> bool {
        let (plan, last) = (&self.plan, self.tensors() - 1);
        let (plane, channels) = (plan.planes[last], plan.channels[last]);
        if out.len() != channels * plane.height * plane.width {
            return false;
        }
        edges::dequantize(&self.tensors[last], plane.channels, channels, plan.scale, plan.kernel.flip(), out);
        true
    }

    /// Mean of each output channel (global average pooling): the sum is exact, the quotient rounded
    /// once. Returns false if the length does not fit.
    pub fn read_means(&mut self, out: &mut [f32]) -> bool {
        let last = self.tensors() - 1;
        let Self { plan, tensors, sums, .. } = self;
        let plane = plan.planes[last];
        if out.len() != plan.channels[last] {
            return false;
        }
        edges::sums(&tensors[last][..plane.len()], plan.kernel.flip(), sums);
        let pixels = (plane.height * plane.width) as f32;
        for (o, &sum) in out.iter_mut().zip(&*sums) {
            *o = sum as f32 * plan.scale / pixels;
        }
        true
    }

    /// Bytes of tensor `i` after a run, `[channels, rows, columns]`, for tests: allocates.
    pub fn tensor(&self, i: usize) -> Vec<u8> {
        let (plane, flip) = (self.plan.planes[i], self.plan.kernel.flip());
        let mut out = Vec::with_capacity(plane.len());
        for c in 0..self.plan.channels[i] {
            for y in 0..plane.height {
                out.extend((0..plane.width).map(|x| self.tensors[i][plane.at(y, x) + c] ^ flip));
            }
        }
        out
    }
}

/// Geometry and packed weights of one convolution between two planes.
fn layer(conv: &Conv, kernel: Kernel, (input, output): (Plane, Plane), exponent: i32, zero: u8) -> Layer {
    let layout = kernel.layout();
    let [kernel_rows, kernel_columns] = conv.kernel;
    let taps = kernel_columns * input.channels;
    let pixels = output.height * output.width;
    let padded = pixels.next_multiple_of(layout.pixels());
    let table = |at: &dyn Fn(usize, usize) -> usize| -> Vec<u32> {
        let pixel = |i: usize| at(i / output.width, i % output.width) as u32;
        (0..padded).map(|i| pixel(i.min(pixels - 1))).collect()
    };
    // The border of the input is the convolution's own padding, so the window begins at its corner.
    let window = |y: usize, x: usize| y * conv.stride * input.row_bytes() + x * conv.stride * input.channels;
    let mut input_at = table(&window);
    let (mut rows, mut row_bytes, mut run_taps) = (kernel_rows, input.row_bytes(), taps);
    let mut unfold = None;
    let joined = (kernel_rows * taps).next_multiple_of(layout.run());
    if kernel.unfolds() && taps <= COPY && joined < kernel_rows * taps.next_multiple_of(layout.run()) {
        let pitch = joined.next_multiple_of(16);
        unfold = Some(Unfold { input_at, run: taps, rows, row_bytes, pitch });
        input_at = (0..padded).map(|i| (i * pitch) as u32).collect();
        (rows, row_bytes, run_taps) = (1, 0, kernel_rows * taps);
    }
    let run = run_taps.next_multiple_of(layout.run());
    let outputs = output.channels;

    // Weights as runs of bytes, one for each output and row.
    let mut runs = vec![0i8; outputs * rows * run];
    for (i, &w) in conv.weight.iter().enumerate() {
        let (x, y) = (i % kernel_columns, i / kernel_columns % kernel_rows);
        let (c, o) = (
            i / (kernel_columns * kernel_rows) % conv.inputs,
            i / (kernel_columns * kernel_rows * conv.inputs),
        );
        let tap = x * input.channels + c;
        let (row, tap) = if unfold.is_some() { (0, y * taps + tap) } else { (y, tap) };
        runs[(o * rows + row) * run + tap] = w;
    }
    let offset = i32::from(kernel.flip()) - i32::from(zero);
    let vectors = outputs.next_multiple_of(16);
    let (mut bias, mut scale) = (vec![0; vectors], vec![0.0; vectors]);
    for (o, shift) in conv.shifts(exponent).enumerate() {
        let sum: i32 = runs[o * rows * run..][..rows * run].iter().map(|&w| i32::from(w)).sum();
        bias[o] = conv.bias[o] + offset * sum;
        scale[o] = power_of_two(-shift);
    }

    let span = input_at.iter().max().map_or(0, |&m| m as usize);
    let input_len = span + (rows - 1) * row_bytes + run + SLACK / 2;
    let block_rows = (BLOCK_BYTES / (conv.stride * input.row_bytes())).max(1);
    let most_tiles = if kernel.narrows() { BLOCK_TILES } else { usize::MAX };
    let (weights, order, limits) = pack(kernel, &runs, outputs, rows, run);
    let order = order.into_iter().map(|at| (at / run * row_bytes + at % run) as u32).collect();
    let product = Product {
        rows,
        run,
        row_bytes,
        outputs,
        order,
        limits,
        block: (block_rows * output.width).div_ceil(layout.pixels()).min(most_tiles) * layout.pixels(),
        input_len,
        output_len: output.len(),
        output_at: table(&|y, x| output.at(y, x)),
        input_at,
        weights,
        bias,
        scale,
    };
    Layer { unfold, product }
}

/// Puts weights `[outputs][rows][run]` into a kernel's order, in whole cache lines and one more, since
/// a kernel may load beyond the last weight. With it, the first tap of each group of 4 and the limits
/// as in [`Product`].
fn pack(
    kernel: Kernel,
    runs: &[i8],
    outputs: usize,
    rows: usize,
    run: usize,
) -> (Vec<Line>, Vec<usize>, Vec<Vec<u8>>) {
    let mut packed: Vec<i8> = Vec::with_capacity(runs.len() + 128);
    let (mut order, mut limits) = (Vec::new(), Vec::new());
    let taps = |o: usize, at: usize, n: usize| -> &[i8] {
        // Vectors beyond the outputs are zero.
        if o < outputs { &runs[o * rows * run + at..][..n] } else { &[0; 4][..n] }
    };
    match kernel.layout() {
        Layout::Interleaved { vectors, lanes, .. } => {
            let mut first = 0;
            for tile in tiles(outputs.div_ceil(lanes), vectors) {
                let tile = first..first + tile * lanes;
                let groups: Vec<usize> = (0..rows * run).step_by(4).collect();
                let (pairs, rest) = groups.as_chunks::<2>();
                let limit = |pair: &[usize; 2]| match kernel.narrows() {
                    true => limit(tile.clone().map(|o| pair.map(|at| taps(o, at, 4)))),
                    false => u8::MAX,
                };
                let mut pairs: Vec<_> = pairs.iter().map(|pair| (limit(pair), pair)).collect();
                pairs.sort_by_key(|(limit, _)| std::cmp::Reverse(*limit));
                limits.push(pairs.iter().map(|(limit, _)| *limit).collect());
                let start = order.len();
                order.extend(pairs.iter().flat_map(|(_, pair)| *pair).chain(rest));
                for &at in &order[start..] {
                    for o in tile.clone() {
                        packed.extend_from_slice(taps(o, at, 4));
                    }
                }
                first = tile.end;
            }
        }
        Layout::Rows { outputs: tile, .. } => {
            for first in (0..outputs).step_by(tile) {
                for row in 0..rows {
                    for at in (0..run).step_by(32) {
                        for o in first..first + tile {
                            packed.extend_from_slice(taps(o, row * run + at, (run - at).min(32)));
                        }
                    }
                }
            }
        }
    }
    let mut lines = vec![Line([0; 64]); packed.len().div_ceil(64) + 1];
    for (line, bytes) in lines.iter_mut().zip(packed.chunks(64)) {
        line.0[..bytes.len()].copy_from_slice(bytes);
    }
    (lines, order, limits)
}

/// The largest byte with which two taps of each of two groups, in every output, sum within an `i16`.
fn limit<'a>(outputs: impl Iterator<Item = [&'a [i8]; 2]>) -> u8 {
    let mut most = 1;
    for [a, b] in outputs {
        for two in [0..2, 2..4] {
            let four = || a[two.clone()].iter().chain(&b[two.clone()]).map(|&w| i32::from(w));
            most = most.max(four().map(|w| w.max(0)).sum()).max(four().map(|w| (-w).max(0)).sum());
        }
    }
    (i32::from(i16::MAX) / most).min(255) as u8
}
