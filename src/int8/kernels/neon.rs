//! aarch64: signed bytes times signed bytes. The buffers hold `u8 ^ 0x80`, which is `value - 128`.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{Kernel, Layout, Product, tiles};

/// Narrows 16 rounded values, saturating, to bytes as the buffers hold them.
#[inline]
#[target_feature(enable = "neon")]
fn narrow(a: [int32x4_t; 4]) -> uint8x16_t {
    let low = vqmovn_high_s32(vqmovn_s32(a[0]), a[1]);
    let high = vqmovn_high_s32(vqmovn_s32(a[2]), a[3]);
    veorq_u8(vqmovun_high_s16(vqmovun_s16(low), high), vdupq_n_u8(0x80))
}

/// Accumulators to values of the output, rounded to the nearest even.
#[inline]
#[target_feature(enable = "neon")]
fn round(sum: int32x4_t, scale: float32x4_t) -> int32x4_t {
    vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sum), scale))
}

// One instruction for each of 4 pixels: `x` and `y` are taps 0-15 and 16-31 of the pixels, `t` sums of
// products, `s` accumulators.
macro_rules! load_x {
    ($form:literal, $bytes:literal) => {
        concat!(
            "ldr {x0:",
            $form,
            "}, [{p0}], #",
            $bytes,
            "\n",
            "ldr {x1:",
            $form,
            "}, [{p1}], #",
            $bytes,
            "\n",
            "ldr {x2:",
            $form,
            "}, [{p2}], #",
            $bytes,
            "\n",
            "ldr {x3:",
            $form,
            "}, [{p3}], #",
            $bytes,
            "\n",
        )
    };
}
macro_rules! load_y {
    ($form:literal, $bytes:literal) => {
        concat!(
            "ldr {y0:",
            $form,
            "}, [{p0}], #",
            $bytes,
            "\n",
            "ldr {y1:",
            $form,
            "}, [{p1}], #",
            $bytes,
            "\n",
            "ldr {y2:",
            $form,
            "}, [{p2}], #",
            $bytes,
            "\n",
            "ldr {y3:",
            $form,
            "}, [{p3}], #",
            $bytes,
            "\n",
        )
    };
}
macro_rules! load_xy {
    () => {
        concat!(
            "ldp {x0:q}, {y0:q}, [{p0}], #32\n",
            "ldp {x1:q}, {y1:q}, [{p1}], #32\n",
            "ldp {x2:q}, {y2:q}, [{p2}], #32\n",
            "ldp {x3:q}, {y3:q}, [{p3}], #32\n",
        )
    };
}
macro_rules! smull {
    ($w:literal) => {
        concat!(
            "smull {t0:v}.8h, {x0:v}.8b, {",
            $w,
            ":v}.8b\n",
            "smull {t1:v}.8h, {x1:v}.8b, {",
            $w,
            ":v}.8b\n",
            "smull {t2:v}.8h, {x2:v}.8b, {",
            $w,
            ":v}.8b\n",
            "smull {t3:v}.8h, {x3:v}.8b, {",
            $w,
            ":v}.8b\n",
        )
    };
}
macro_rules! smlal2 {
    ($w:literal) => {
        concat!(
            "smlal2 {t0:v}.8h, {x0:v}.16b, {",
            $w,
            ":v}.16b\n",
            "smlal2 {t1:v}.8h, {x1:v}.16b, {",
            $w,
            ":v}.16b\n",
            "smlal2 {t2:v}.8h, {x2:v}.16b, {",
            $w,
            ":v}.16b\n",
            "smlal2 {t3:v}.8h, {x3:v}.16b, {",
            $w,
            ":v}.16b\n",
        )
    };
}
macro_rules! smlal_y {
    ($w:literal) => {
        concat!(
            "smlal {t0:v}.8h, {y0:v}.8b, {",
            $w,
            ":v}.8b\n",
            "smlal {t1:v}.8h, {y1:v}.8b, {",
            $w,
            ":v}.8b\n",
            "smlal {t2:v}.8h, {y2:v}.8b, {",
            $w,
            ":v}.8b\n",
            "smlal {t3:v}.8h, {y3:v}.8b, {",
            $w,
            ":v}.8b\n",
        )
    };
}
macro_rules! smlal2_y {
    ($w:literal) => {
        concat!(
            "smlal2 {t0:v}.8h, {y0:v}.16b, {",
            $w,
            ":v}.16b\n",
            "smlal2 {t1:v}.8h, {y1:v}.16b, {",
            $w,
            ":v}.16b\n",
            "smlal2 {t2:v}.8h, {y2:v}.16b, {",
            $w,
            ":v}.16b\n",
            "smlal2 {t3:v}.8h, {y3:v}.16b, {",
            $w,
            ":v}.16b\n",
        )
    };
}
macro_rules! sadalp {
    ($q:literal) => {
        concat!(
            "sadalp {s0",
            $q,
            ":v}.4s, {t0:v}.8h\n",
            "sadalp {s1",
            $q,
            ":v}.4s, {t1:v}.8h\n",
            "sadalp {s2",
            $q,
            ":v}.4s, {t2:v}.8h\n",
            "sadalp {s3",
            $q,
            ":v}.4s, {t3:v}.8h\n",
        )
    };
}

/// Taps of 4 pixels by 4 outputs, in assembly: the compiler's scheduler would move all loads and first
/// products to the front and then spill accumulators. Each instruction stands for all 4 pixels before
/// the next, and weights are loaded one output ahead, so that little waits even on a core that executes
/// in order. All 32 vector registers are in use.
///
/// A chain of `smull` and 3 `smlal` before `sadalp` is exact: 4 * 128 * 63 = 32256 fits an `i16`.
macro_rules! products {
    ($sums:ident, $p:ident, $weights:ident, [$($wide:ident)*], $($line:expr,)+) => {
        asm!(
            $($line,)+
            s00 = inout(vreg) $sums[0][0], s01 = inout(vreg) $sums[0][1],
            s02 = inout(vreg) $sums[0][2], s03 = inout(vreg) $sums[0][3],
            s10 = inout(vreg) $sums[1][0], s11 = inout(vreg) $sums[1][1],
            s12 = inout(vreg) $sums[1][2], s13 = inout(vreg) $sums[1][3],
            s20 = inout(vreg) $sums[2][0], s21 = inout(vreg) $sums[2][1],
            s22 = inout(vreg) $sums[2][2], s23 = inout(vreg) $sums[2][3],
            s30 = inout(vreg) $sums[3][0], s31 = inout(vreg) $sums[3][1],
            s32 = inout(vreg) $sums[3][2], s33 = inout(vreg) $sums[3][3],
            t0 = out(vreg) _, t1 = out(vreg) _, t2 = out(vreg) _, t3 = out(vreg) _,
            x0 = out(vreg) _, x1 = out(vreg) _, x2 = out(vreg) _, x3 = out(vreg) _,
            w = out(vreg) _, w2 = out(vreg) _,
            $($wide = out(vreg) _,)*
            p0 = inout(reg) $p[0], p1 = inout(reg) $p[1], p2 = inout(reg) $p[2], p3 = inout(reg) $p[3],
            weights = inout(reg) $weights,
            options(readonly, nostack, preserves_flags)
        )
    };
}

/// 4 pixels by 4 outputs; the lanes of an accumulator are taps, summed at the end.
///
/// # Safety
/// `input` and `output` are at least as long as `p` asks for.
#[target_feature(enable = "neon")]
pub(super) unsafe fn neon(p: &Product, input: &[u8], output: &mut [u8]) {
    const PIXELS: usize = 4;
    const _: () =
        assert!(matches!(Kernel::Neon.layout(), Layout::Rows { outputs: 4, run: 8, pixels: PIXELS }));
    for (from, to) in p.input_at.chunks(p.block).zip(p.output_at.chunks(p.block)) {
        let mut weights = p.weights.as_ptr().cast::<i8>();
        for first in (0..p.outputs).step_by(4) {
            for (from, to) in from.chunks_exact(PIXELS).zip(to.chunks_exact(PIXELS)) {
                // SAFETY: offsets lie within `input_len` and `output_len`, which the caller has checked;
                // the packer made `weights` in this order.
                unsafe { neon_tile(p, first, weights, from, to, input.as_ptr().cast(), output.as_mut_ptr()) };
            }
            // SAFETY: the packed weights hold this tile to its end.
            weights = unsafe { weights.add(p.rows * p.run * 4) };
        }
    }
}

/// # Safety
/// As [`neon`]; `from` and `to` have 4 elements.
#[target_feature(enable = "neon")]
unsafe fn neon_tile(
    p: &Product,
    first: usize,
    mut weights: *const i8,
    from: &[u32],
    to: &[u32],
    x: *const i8,
    out: *mut u8,
) {
    // SAFETY: each load is of bytes that the caller promises: a run and what `Product::input_len` adds
    // to it, weights of this tile in order, 4 biases and factors from `first`; 4 bytes are stored for
    // each pixel at its offset.
    unsafe {
        let zero = vdupq_n_s32(0);
        let mut sums = [[zero; 4]; 4];
        let mut pixels = [x; 4];
        for k in 0..4 {
            pixels[k] = x.add(from[k] as usize);
        }
        let (steps, remainder) = (p.run / 32, p.run % 32);
        for _ in 0..p.rows {
            for _ in 0..steps {
                products!(
                    sums, pixels, weights, [y0 y1 y2 y3 v v2],
                    load_xy!(),
                    "ldp {w:q}, {v:q}, [{weights}], #32",
                    "ldp {w2:q}, {v2:q}, [{weights}], #32",
                    smull!("w"), smlal2!("w"), smlal_y!("v"), smlal2_y!("v"), sadalp!("0"),
                    "ldp {w:q}, {v:q}, [{weights}], #32",
                    smull!("w2"), smlal2!("w2"), smlal_y!("v2"), smlal2_y!("v2"), sadalp!("1"),
                    "ldp {w2:q}, {v2:q}, [{weights}], #32",
                    smull!("w"), smlal2!("w"), smlal_y!("v"), smlal2_y!("v"), sadalp!("2"),
                    smull!("w2"), smlal2!("w2"), smlal_y!("v2"), smlal2_y!("v2"), sadalp!("3"),
                );
            }
            match remainder {
                8 => {
                    products!(
                        sums,
                        pixels,
                        weights,
                        [],
                        load_x!("d", 8),
                        "ldr {w:d}, [{weights}], #8",
                        "ldr {w2:d}, [{weights}], #8",
                        smull!("w"),
                        sadalp!("0"),
                        "ldr {w:d}, [{weights}], #8",
                        smull!("w2"),
                        sadalp!("1"),
                        "ldr {w2:d}, [{weights}], #8",
                        smull!("w"),
                        sadalp!("2"),
                        smull!("w2"),
                        sadalp!("3"),
                    );
                }
                16 => {
                    products!(
                        sums,
                        pixels,
                        weights,
                        [],
                        load_x!("q", 16),
                        "ldr {w:q}, [{weights}], #16",
                        "ldr {w2:q}, [{weights}], #16",
                        smull!("w"),
                        smlal2!("w"),
                        sadalp!("0"),
                        "ldr {w:q}, [{weights}], #16",
                        smull!("w2"),
                        smlal2!("w2"),
                        sadalp!("1"),
                        "ldr {w2:q}, [{weights}], #16",
                        smull!("w"),
                        smlal2!("w"),
                        sadalp!("2"),
                        smull!("w2"),
                        smlal2!("w2"),
                        sadalp!("3"),
                    );
                }
                24 => {
                    products!(
                        sums, pixels, weights, [y0 y1 y2 y3 v v2],
                        load_x!("q", 16), load_y!("d", 8),
                        "ldr {w:q}, [{weights}], #16", "ldr {v:d}, [{weights}], #8",
                        "ldr {w2:q}, [{weights}], #16", "ldr {v2:d}, [{weights}], #8",
                        smull!("w"), smlal2!("w"), smlal_y!("v"), sadalp!("0"),
                        "ldr {w:q}, [{weights}], #16", "ldr {v:d}, [{weights}], #8",
                        smull!("w2"), smlal2!("w2"), smlal_y!("v2"), sadalp!("1"),
                        "ldr {w2:q}, [{weights}], #16", "ldr {v2:d}, [{weights}], #8",
                        smull!("w"), smlal2!("w"), smlal_y!("v"), sadalp!("2"),
                        smull!("w2"), smlal2!("w2"), smlal_y!("v2"), sadalp!("3"),
                    );
                }
                _ => {}
            }
            for pixel in &mut pixels {
                // Backwards where patches have one row; beyond the buffer after the last.
                *pixel = pixel.wrapping_add(p.row_bytes).wrapping_sub(p.run);
            }
        }
        let bias = vld1q_s32(p.bias.as_ptr().add(first));
        let scale = vld1q_f32(p.scale.as_ptr().add(first));
        let mut values = [zero; 4];
        for k in 0..4 {
            let pairs = [vpaddq_s32(sums[k][0], sums[k][1]), vpaddq_s32(sums[k][2], sums[k][3])];
            values[k] = round(vaddq_s32(vpaddq_s32(pairs[0], pairs[1]), bias), scale);
        }
        let bytes = vreinterpretq_u32_u8(narrow(values));
        vst1q_lane_u32::<0>(out.add(to[0] as usize + first).cast(), bytes);
        vst1q_lane_u32::<1>(out.add(to[1] as usize + first).cast(), bytes);
        vst1q_lane_u32::<2>(out.add(to[2] as usize + first).cast(), bytes);
        vst1q_lane_u32::<3>(out.add(to[3] as usize + first).cast(), bytes);
    }
}

/// `sum[i] += dot(weights[4i..4i + 4], taps[4 LANE..4 LANE + 4])`: the intrinsic is not stable.
macro_rules! sdot {
    ($sum:expr, $weights:expr, $taps:expr, $lane:literal) => {
        // SAFETY: one instruction on registers; the function has the feature `dotprod`.
        asm!(
            concat!("sdot {s:v}.4s, {w:v}.16b, {x:v}.4b[", $lane, "]"),
            s = inout(vreg) $sum, w = in(vreg) $weights, x = in(vreg) $taps,
            options(pure, nomem, nostack, preserves_flags)
        )
    };
}

/// 8 pixels by 8 outputs (4 where one vector is left); the lanes of an accumulator are outputs.
///
/// # Safety
/// The CPU has the dot product; `input` and `output` are at least as long as `p` asks for.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn dot(p: &Product, input: &[u8], output: &mut [u8]) {
    const PIXELS: usize = 8;
    const _: () = assert!(matches!(
        Kernel::NeonDot.layout(),
        Layout::Interleaved { vectors: 2, lanes: 4, run: 4, pixels: PIXELS }
    ));
    for (from, to) in p.input_at.chunks(p.block).zip(p.output_at.chunks(p.block)) {
        let (mut first, mut weights) = (0, p.weights.as_ptr().cast::<i8>());
        // Outputs are a multiple of 8, so every tile has two vectors.
        for _ in tiles(p.outputs / 4, 2) {
            for (from, to) in from.chunks_exact(PIXELS).zip(to.chunks_exact(PIXELS)) {
                // SAFETY: as in `neon`.
                unsafe { dot_tile(p, first, weights, from, to, input.as_ptr().cast(), output.as_mut_ptr()) };
            }
            first += 8;
            // SAFETY: the packed weights hold this tile to its end.
            weights = unsafe { weights.add(p.rows * p.run * 8) };
        }
    }
}

/// # Safety
/// As [`dot`]; `from` and `to` have 8 elements.
#[target_feature(enable = "neon,dotprod")]
unsafe fn dot_tile(
    p: &Product,
    first: usize,
    mut weights: *const i8,
    from: &[u32],
    to: &[u32],
    x: *const i8,
    out: *mut u8,
) {
    /// Lane `LANE` of all pixels with the next two vectors of weights.
    macro_rules! step {
        ($sums:ident, $taps:ident, $weights:ident, $lane:literal) => {{
            let (w0, w1) = (vld1q_s8($weights), vld1q_s8($weights.add(16)));
            $weights = $weights.add(32);
            for k in 0..8 {
                sdot!($sums[k][0], w0, $taps[k], $lane);
                sdot!($sums[k][1], w1, $taps[k], $lane);
            }
        }};
    }
    // SAFETY: each load is of bytes that the caller promises: a run, rounded up to 16, which
    // `Product::input_len` covers, weights of this tile in order, 8 biases and factors from `first`;
    // 8 bytes are stored for each pixel at its offset.
    unsafe {
        let bias = [vld1q_s32(p.bias.as_ptr().add(first)), vld1q_s32(p.bias.as_ptr().add(first + 4))];
        let mut sums = [bias; 8];
        let mut pixels = [x; 8];
        for k in 0..8 {
            pixels[k] = x.add(from[k] as usize);
        }
        let remainder = p.run % 16;
        for _ in 0..p.rows {
            let mut taps = [vdupq_n_s8(0); 8];
            for at in (0..p.run - remainder).step_by(16) {
                for k in 0..8 {
                    taps[k] = vld1q_s8(pixels[k].add(at));
                }
                step!(sums, taps, weights, "0");
                step!(sums, taps, weights, "1");
                step!(sums, taps, weights, "2");
                step!(sums, taps, weights, "3");
            }
            if remainder > 0 {
                for k in 0..8 {
                    taps[k] = vld1q_s8(pixels[k].add(p.run - remainder));
                }
                step!(sums, taps, weights, "0");
                if remainder > 4 {
                    step!(sums, taps, weights, "1");
                }
                if remainder > 8 {
                    step!(sums, taps, weights, "2");
                }
            }
            for pixel in &mut pixels {
                *pixel = pixel.wrapping_add(p.row_bytes);
            }
        }
        let scale = [vld1q_f32(p.scale.as_ptr().add(first)), vld1q_f32(p.scale.as_ptr().add(first + 4))];
        for k in (0..8).step_by(2) {
            let bytes = narrow([
                round(sums[k][0], scale[0]),
                round(sums[k][1], scale[1]),
                round(sums[k + 1][0], scale[0]),
                round(sums[k + 1][1], scale[1]),
            ]);
            let bytes = vreinterpretq_u64_u8(bytes);
            vst1q_lane_u64::<0>(out.add(to[k] as usize + first).cast(), bytes);
            vst1q_lane_u64::<1>(out.add(to[k + 1] as usize + first).cast(), bytes);
        }
    }
}
