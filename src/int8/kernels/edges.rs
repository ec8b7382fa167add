//! What stands at both ends of a stack: `f32` planes to interleaved bytes, bytes to `f32`.

use crate::kernels::multiversion;

multiversion! {
    /// `f32` values to bytes: `round(v * inverse) + zero`, nearest even, saturated. NaN becomes the
    /// smallest value.
    pub(crate) fn quantize(values: &[f32], inverse: f32, zero: u8, out: &mut [u8]) {
        let (low, high) = (-f32::from(zero), 255.0 - f32::from(zero));
        for (o, v) in out.iter_mut().zip(values) {
            let rounded = (v * inverse).max(low).min(high).round_ties_even() + f32::from(zero);
            // SAFETY: the value lies between 0 and 255: NaN went with `max`.
            *o = (unsafe { rounded.to_int_unchecked::<i32>() }) as u8;
        }
    }
}

multiversion! {
    /// Bytes of a row to bytes `step` apart, XOR `flip`. `out` begins at the first byte.
    pub(crate) fn spread(row: &[u8], flip: u8, out: &mut [u8], step: usize) {
        if step == 1 {
            for (o, v) in out.iter_mut().zip(row) {
                *o = v ^ flip;
            }
        } else {
            // Counted by hand: chunks zipped with the row cost five times as much.
            let mut at = 0;
            for v in row {
                out[at] = v ^ flip;
                at += step;
            }
        }
    }
}

multiversion! {
    /// Interleaved bytes of `channels` to planes of `f32`, each of `out.len() / planes` elements; only
    /// the first `planes` channels are wanted.
    pub(crate) fn dequantize(
        bytes: &[u8], channels: usize, planes: usize, scale: f32, flip: u8, out: &mut [f32],
    ) {
        const GROUP: usize = 8;
        let pixels = out.len() / planes;
        for (group, out) in out.chunks_mut(GROUP * pixels).enumerate() {
            let wanted = out.len() / pixels;
            // Channels are a multiple of 8, so a group of bytes is whole even where fewer are wanted.
            for (i, pixel) in bytes.chunks_exact(channels).take(pixels).enumerate() {
                let group = &pixel[GROUP * group..][..GROUP];
                for (k, &byte) in group.iter().enumerate().take(wanted) {
                    out[k * pixels + i] = f32::from(byte ^ flip) * scale;
                }
            }
        }
    }
}

multiversion! {
    /// Sum of each channel of interleaved bytes, into `sums`, which has one element for each.
    pub(crate) fn sums(bytes: &[u8], flip: u8, sums: &mut [u32]) {
        sums.fill(0);
        for pixel in bytes.chunks_exact(sums.len()) {
            for (sum, &byte) in sums.iter_mut().zip(pixel) {
                *sum += u32::from(byte ^ flip);
            }
        }
    }
}
