//! The inner loops of a quantized convolution by CPU, all with the same bytes as [`scalar`].
//!
//! A layer is a strided matrix product without a copy of the input: the taps of one kernel row are
//! contiguous bytes of the NHWC buffer, so an output pixel is `rows` runs of bytes against packed
//! weights. Where each pixel's first byte is and where its outputs go stands in two tables, padded
//! to whole tiles by repeating the last pixel: no kernel has a remainder loop over pixels.
//!
//! Kernels for ARM multiply signed by signed bytes: there the buffers hold `u8 ^ 0x80` (see
//! [`Kernel::flip`]), and the bias takes up the difference.
#![allow(unsafe_code)]

pub(super) mod edges;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

/// The instruction set that a stack is packed for and runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kernel {
    /// Plain Rust, the reference.
    Scalar,
    /// x86-64 with AVX2: `vpmaddubsw`, `vpmaddwd`.
    Avx2,
    /// x86-64 with AVX-VNNI: `vpdpbusd` on 256 bits.
    AvxVnni,
    /// x86-64 with AVX-512 VNNI: `vpdpbusd` on 512 bits.
    Avx512Vnni,
    /// aarch64: `smull`, `smlal`, `sadalp`.
    Neon,
    /// aarch64 with the dot product of ARMv8.2: `sdot`.
    NeonDot,
}

impl Kernel {
    /// All kernels, the best last.
    pub const ALL: [Self; 6] =
        [Self::Scalar, Self::Avx2, Self::AvxVnni, Self::Avx512Vnni, Self::Neon, Self::NeonDot];

    /// Its name, as `GLINT_INT8_KERNEL` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avx-vnni",
            Self::Avx512Vnni => "avx512-vnni",
            Self::Neon => "neon",
            Self::NeonDot => "neon-dot",
        }
    }

    /// Whether this CPU can run it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => std::arch::is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => {
                std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("avxvnni")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                std::arch::is_x86_feature_detected!("avx2")
                    && std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// The kernels that this CPU can run, the best last.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|k| k.is_available())
    }

    /// The best kernel of this CPU.
    pub fn best() -> Self {
        Self::available().last().unwrap_or(Self::Scalar)
    }

    /// What each byte in the buffers is XORed with.
    pub(super) fn flip(self) -> u8 {
        match self {
            Self::Neon | Self::NeonDot => 0x80,
            _ => 0,
        }
    }

    /// How weights are packed.
    pub(super) const fn layout(self) -> Layout {
        match self {
            Self::Scalar => Layout::Interleaved { vectors: 1, lanes: 8, run: 4, pixels: 1 },
            Self::Avx2 => Layout::Interleaved { vectors: 2, lanes: 8, run: 4, pixels: 4 },
            Self::AvxVnni => Layout::Interleaved { vectors: 2, lanes: 8, run: 4, pixels: 6 },
            Self::Avx512Vnni => Layout::Interleaved { vectors: 2, lanes: 16, run: 4, pixels: 8 },
            Self::NeonDot => Layout::Interleaved { vectors: 2, lanes: 4, run: 4, pixels: 8 },
            Self::Neon => Layout::Rows { outputs: 4, run: 8, pixels: 4 },
        }
    }

    /// Whether it adds products in 16 bits where [`Product::limits`] allow it.
    pub(super) const fn narrows(self) -> bool {
        matches!(self, Self::Avx2)
    }

    /// Whether small kernel rows pay for a copy into patches: where a run is loaded in long steps.
    pub(super) fn unfolds(self) -> bool {
        self == Self::Neon
    }
}

/// How the weights of a layer are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Tiles of up to `vectors` vectors; a vector holds 4 taps of each of `lanes` outputs. Order: tile,
    /// group of 4 taps (as in [`Product::order`]), vector, output, tap.
    Interleaved {
        /// Vectors of a tile.
        vectors: usize,
        /// Outputs of a vector.
        lanes: usize,
        /// Granule of a run in bytes.
        run: usize,
        /// Pixels of a tile.
        pixels: usize,
    },
    /// Tiles of `outputs` outputs. Order: tile, kernel row, step of 32 taps (the last may be 8, 16 or
    /// 24), output, tap.
    Rows {
        /// Outputs of a tile.
        outputs: usize,
        /// Granule of a run in bytes.
        run: usize,
        /// Pixels of a tile.
        pixels: usize,
    },
}

/// Vectors of each tile: as few tiles of at most `most` vectors as hold `vectors`, of equal sizes.
pub(super) fn tiles(vectors: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = vectors.div_ceil(most).max(1);
    (0..count).map(move |i| vectors * (i + 1) / count - vectors * i / count)
}

impl Layout {
    pub(super) fn run(self) -> usize {
        match self {
            Self::Interleaved { run, .. } | Self::Rows { run, .. } => run,
        }
    }

    pub(super) fn pixels(self) -> usize {
        match self {
            Self::Interleaved { pixels, .. } | Self::Rows { pixels, .. } => pixels,
        }
    }
}

/// Most tiles of pixels between two passes over the weights, for a kernel that narrows.
pub(super) const BLOCK_TILES: usize = 64;

/// Bytes that a kernel may read beyond the last tap of a run, whose weights are zero.
pub(super) const SLACK: usize = 64;

/// A layer as the kernels see it.
#[derive(Debug)]
pub(super) struct Product {
    /// Kernel rows.
    pub rows: usize,
    /// Bytes of a kernel row, rounded up to the layout's granule; the weights of the rest are zero.
    pub run: usize,
    /// Bytes from one kernel row to the next in the input.
    pub row_bytes: usize,
    /// Outputs of a pixel, a multiple of 8.
    pub outputs: usize,
    /// First input byte of each output pixel; whole tiles.
    pub input_at: Vec<u32>,
    /// First output byte of each output pixel; whole tiles.
    pub output_at: Vec<u32>,
    /// Packed weights.
    pub weights: Vec<Line>,
    /// Bias, whole vectors.
    pub bias: Vec<i32>,
    /// Factor from accumulator to output, whole vectors.
    pub scale: Vec<f32>,
    /// Of each tile of outputs, the first byte of every group of 4 taps from a pixel's first byte on, in
    /// the order of the weights. Of [`Layout::Interleaved`] alone.
    pub order: Vec<u32>,
    /// Of each tile of outputs, for two groups each of its `order`, the largest input byte with which
    /// the sum of four products fits an `i16`; falling. 255 where the kernel does not add so.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub limits: Vec<Vec<u8>>,
    /// Pixels between two passes over the weights, whole tiles: what their input and the weights of
    /// a tile keep in the first-level cache.
    pub block: usize,
    /// Bytes of the input that the kernels may touch.
    pub input_len: usize,
    /// Bytes of the output that the kernels may touch.
    pub output_len: usize,
}

/// 64 bytes on a cache line of their own.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub [i8; 64]);

/// The weights as bytes.
pub(super) fn bytes_of(lines: &[Line]) -> &[i8] {
    // SAFETY: a `Line` is 64 `i8` without padding (size and alignment are 64), so the memory of the
    // slice is that many initialised `i8`; the lifetime is that of the borrow.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast::<i8>(), lines.len() * 64) }
}

impl Product {
    /// The largest input byte of each tile of `pixels` pixels, or a larger one that lies between or up
    /// to 31 bytes behind its kernel rows.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn bright(&self, input: &[u8], from: &[u32], pixels: usize) -> [u8; BLOCK_TILES] {
        const LANES: usize = 32;
        let mut bright = [0; BLOCK_TILES];
        for (bright, tile) in bright.iter_mut().zip(from.chunks_exact(pixels)) {
            let (first, last) = (tile[0] as usize, tile[pixels - 1] as usize);
            let bytes = (last - first + self.run).next_multiple_of(LANES);
            let mut most = [0; LANES];
            for row in 0..self.rows {
                for chunk in input[first + row * self.row_bytes..][..bytes].as_chunks::<LANES>().0 {
                    for (most, &byte) in most.iter_mut().zip(chunk) {
                        *most = byte.max(*most);
                    }
                }
            }
            *bright = most.into_iter().fold(0, u8::max);
        }
        bright
    }

    /// Computes the layer. `kernel` must be the one it was packed for, and available.
    pub(super) fn run(&self, kernel: Kernel, input: &[u8], output: &mut [u8]) {
        // What the kernels rely on, once a call; the tables were made to fit these lengths.
        assert!(input.len() >= self.input_len && output.len() >= self.output_len);
        match kernel {
            Kernel::Scalar => scalar::run(self, input, output),
            // SAFETY: a stack is built for an available kernel only (`Stack::new` refuses others), so
            // the CPU has the instructions; lengths were checked above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { x86::avx2(self, input, output) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::AvxVnni => unsafe { x86::avx_vnni(self, input, output) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512Vnni => unsafe { x86::avx512_vnni(self, input, output) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Kernel::Neon => unsafe { neon::neon(self, input, output) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Kernel::NeonDot => unsafe { neon::dot(self, input, output) },
            #[allow(unreachable_patterns)]
            _ => {}
        }
    }
}

/// The rounding of every kernel: `f32` product, nearest even, saturated to `u8`.
#[inline(always)]
pub(super) fn requantize(sum: i32, scale: f32) -> u8 {
    (sum as f32 * scale).round_ties_even().clamp(0.0, 255.0) as u8
}
