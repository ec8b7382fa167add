//! x86-64: 4 taps of an input pixel, broadcast, times 4 taps of each of 8 or 16 outputs.
//!
//! AVX2 has two multipliers of vectors and needs both for 4 taps of 8 outputs: `vpmaddubsw`, which adds
//! two products in 16 bits, and `vpmaddwd`, which only widens. So where the input is dark enough for
//! the weights of two groups of taps (see [`Product::limits`]), four products are added before they
//! are widened: 3 multiplications instead of 4, and still exact. The order of a tile's groups is free;
//! those that stand the brightest input come first.

use std::arch::x86_64::*;

use super::{BLOCK_TILES, Kernel, Layout, Product, tiles};

/// One instruction set. `tile::<Q>` holds `PIXELS x Q` accumulators in registers; what is done to a
/// vector is given by the five functions, which the macro's own features inline.
macro_rules! interleaved {
    (
        $(#[$doc:meta])*
        $name:ident, $kernel:expr, $features:literal, $vector:ty, $lanes:literal, $pixels:literal, [$($q:literal),*],
        $broadcast:ident, $load:ident, $dot:ident, $dot_pair:ident, $store:ident
    ) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The CPU has the features; `input` and `output` are at least as long as `p` asks for.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name(p: &Product, input: &[u8], output: &mut [u8]) {
            const PIXELS: usize = $pixels;
            const LANES: usize = $lanes;
            #[target_feature(enable = $features)]
            unsafe fn tile<const Q: usize>(
                p: &Product, first: usize, weights: *const i8, (pairs, groups): (&[[u32; 2]], &[u32]),
                (from, to): (&[u32], &[u32]), x: *const u8, out: *mut u8,
            ) {
                // SAFETY: `first..first + Q * LANES` lies in bias and scale, which hold whole vectors;
                // `weights` has as many bytes as the tile; offsets, with those of the groups, lie within
                // `input_len` and `output_len`, which the caller has checked against the slices.
                unsafe {
                    let mut sums = [[$load(p.bias.as_ptr().add(first).cast()); Q]; PIXELS];
                    let mut pixels = [x; PIXELS];
                    for k in 0..PIXELS {
                        for q in 1..Q {
                            sums[k][q] = $load(p.bias.as_ptr().add(first + q * LANES).cast());
                        }
                        pixels[k] = x.add(from[k] as usize);
                    }
                    let mut weights = weights;
                    for at in pairs {
                        let mut w = [[$load(weights.cast()); Q]; 2];
                        for group in 0..2 {
                            for q in 0..Q {
                                w[group][q] = $load(weights.add((group * Q + q) * LANES * 4).cast());
                            }
                        }
                        weights = weights.add(2 * Q * LANES * 4);
                        for k in 0..PIXELS {
                            let [a, b] = at.map(|at| pixels[k].wrapping_add(at as usize).cast::<i32>());
                            let taps = [$broadcast(a.read_unaligned()), $broadcast(b.read_unaligned())];
                            for q in 0..Q {
                                sums[k][q] = $dot_pair(sums[k][q], taps, [w[0][q], w[1][q]]);
                            }
                        }
                    }
                    for &at in groups {
                        let mut w = [$load(weights.cast()); Q];
                        for q in 1..Q {
                            w[q] = $load(weights.add(q * LANES * 4).cast());
                        }
                        weights = weights.add(Q * LANES * 4);
                        for k in 0..PIXELS {
                            let taps = $broadcast(pixels[k].add(at as usize).cast::<i32>().read_unaligned());
                            for q in 0..Q {
                                sums[k][q] = $dot(sums[k][q], taps, w[q]);
                            }
                        }
                    }
                    for k in 0..PIXELS {
                        for q in 0..Q {
                            let at = first + q * LANES;
                            let out = out.add(to[k] as usize + at);
                            $store(sums[k][q], p.scale.as_ptr().add(at), out, p.outputs - at);
                        }
                    }
                }
            }

            const MOST: usize = match $kernel.layout() {
                Layout::Interleaved { vectors, lanes: $lanes, pixels: PIXELS, .. } => vectors,
                _ => panic!("this loop does not read that layout"),
            };
            let groups = p.rows * p.run / 4;
            for (from, to) in p.input_at.chunks(p.block).zip(p.output_at.chunks(p.block)) {
                let (mut first, mut weights) = (0, p.weights.as_ptr().cast::<i8>());
                let bright = if $kernel.narrows() { p.bright(input, from, PIXELS) } else { [0; BLOCK_TILES] };
                let tiles = tiles(p.outputs.div_ceil(LANES), MOST);
                for (q, (order, limits)) in tiles.zip(p.order.chunks_exact(groups).zip(&p.limits)) {
                    let tiles = from.chunks_exact(PIXELS).zip(to.chunks_exact(PIXELS));
                    for (i, at) in tiles.enumerate() {
                        let (x, out) = (input.as_ptr(), output.as_mut_ptr());
                        let stands = |limit: &u8| *limit >= bright[i];
                        let pairs = if $kernel.narrows() { limits.partition_point(stands) } else { limits.len() };
                        let taps = (&order.as_chunks().0[..pairs], &order[2 * pairs..]);
                        // SAFETY: see the tile; the packer made `weights` in this order.
                        unsafe {
                            match q {
                                $($q => tile::<$q>(p, first, weights, taps, at, x, out),)*
                                _ => {}
                            }
                        }
                    }
                    first += q * LANES;
                    // SAFETY: the packed weights hold this tile to its end.
                    weights = unsafe { weights.add(p.rows * p.run * q * LANES) };
                }
            }
        }
    };
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load256(at: *const __m256i) -> __m256i {
    // SAFETY: the caller gives 32 readable bytes.
    unsafe { _mm256_loadu_si256(at) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn dot_avx2(sum: __m256i, taps: __m256i, weights: __m256i) -> __m256i {
    // Exact: 2 * 255 * 63 < 2^15.
    let pairs = _mm256_maddubs_epi16(taps, weights);
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

/// Exact within the limits of [`Product::limits`]: the sum of four products fits an `i16` there.
#[inline]
#[target_feature(enable = "avx2")]
fn dot_pair_avx2(sum: __m256i, taps: [__m256i; 2], weights: [__m256i; 2]) -> __m256i {
    let twos = [_mm256_maddubs_epi16(taps[0], weights[0]), _mm256_maddubs_epi16(taps[1], weights[1])];
    let fours = _mm256_add_epi16(twos[0], twos[1]);
    _mm256_add_epi32(sum, _mm256_madd_epi16(fours, _mm256_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn dot_avx_vnni(sum: __m256i, taps: __m256i, weights: __m256i) -> __m256i {
    _mm256_dpbusd_avx_epi32(sum, taps, weights)
}

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn dot_pair_avx_vnni(sum: __m256i, taps: [__m256i; 2], weights: [__m256i; 2]) -> __m256i {
    dot_avx_vnni(dot_avx_vnni(sum, taps[0], weights[0]), taps[1], weights[1])
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store256(sum: __m256i, scale: *const f32, out: *mut u8, _left: usize) {
    // SAFETY: the caller gives 8 readable factors and 8 writable bytes (outputs are a multiple of 8).
    unsafe {
        let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(scale));
        // Nearest even, which is how a Rust thread's rounding mode stands.
        let rounded = _mm256_cvtps_epi32(scaled);
        let words = _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256::<1>(rounded));
        _mm_storel_epi64(out.cast(), _mm_packus_epi16(words, words));
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load512(at: *const __m512i) -> __m512i {
    // SAFETY: the caller gives 64 readable bytes.
    unsafe { _mm512_loadu_si512(at) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot_avx512(sum: __m512i, taps: __m512i, weights: __m512i) -> __m512i {
    _mm512_dpbusd_epi32(sum, taps, weights)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot_pair_avx512(sum: __m512i, taps: [__m512i; 2], weights: [__m512i; 2]) -> __m512i {
    dot_avx512(dot_avx512(sum, taps[0], weights[0]), taps[1], weights[1])
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store512(sum: __m512i, scale: *const f32, out: *mut u8, left: usize) {
    // SAFETY: the caller gives 16 readable factors, and 16 writable bytes or 8 where `left` is 8.
    unsafe {
        let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(scale));
        let rounded = _mm512_max_epi32(_mm512_cvtps_epi32(scaled), _mm512_setzero_si512());
        let bytes = _mm512_cvtusepi32_epi8(rounded);
        if left < 16 {
            _mm_storel_epi64(out.cast(), bytes);
        } else {
            _mm_storeu_si128(out.cast(), bytes);
        }
    }
}

interleaved! {
    /// `vpmaddubsw`, `vpmaddwd`, `vpaddd`.
    avx2, Kernel::Avx2, "avx2", __m256i, 8, 4, [1, 2],
    _mm256_set1_epi32, load256, dot_avx2, dot_pair_avx2, store256
}

interleaved! {
    /// `vpdpbusd` on 256 bits.
    avx_vnni, Kernel::AvxVnni, "avx2,avxvnni", __m256i, 8, 6, [1, 2],
    _mm256_set1_epi32, load256, dot_avx_vnni, dot_pair_avx_vnni, store256
}

interleaved! {
    /// `vpdpbusd` on 512 bits.
    avx512_vnni, Kernel::Avx512Vnni, "avx2,avx512f,avx512vnni", __m512i, 16, 8, [1, 2],
    _mm512_set1_epi32, load512, dot_avx512, dot_pair_avx512, store512
}
