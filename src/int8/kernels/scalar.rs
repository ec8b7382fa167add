//! The reference: plain Rust, one vector of 8 outputs at a time.

use super::{Product, bytes_of, requantize};

/// Outputs of a vector in the packed weights.
const LANES: usize = 8;

pub(super) fn run(p: &Product, input: &[u8], output: &mut [u8]) {
    let weights = bytes_of(&p.weights);
    let groups = p.rows * p.run / 4;
    for (&from, &to) in p.input_at.iter().zip(&p.output_at) {
        for (tile, order) in p.order.chunks_exact(groups).enumerate() {
            let first = tile * LANES;
            let mut sums = [0i32; LANES];
            sums.copy_from_slice(&p.bias[first..first + LANES]);
            let weights = weights[first * 4 * groups..].chunks_exact(4 * LANES);
            for (&at, weights) in order.iter().zip(weights) {
                let taps = &input[(from + at) as usize..][..4];
                for (sum, w) in sums.iter_mut().zip(weights.chunks_exact(4)) {
                    *sum += taps.iter().zip(w).map(|(&x, &w)| i32::from(x) * i32::from(w)).sum::<i32>();
                }
            }
            let out = &mut output[to as usize + first..][..LANES];
            for ((o, sum), scale) in out.iter_mut().zip(sums).zip(&p.scale[first..]) {
                *o = requantize(sum, *scale);
            }
        }
    }
}
