//! The inner loops of flow, stabiliser and gate, over row-major `f32` planes.
//!
//! Each loop is written once, in plain Rust that the compiler turns into vector code; on x86-64 it
//! is compiled a second time for AVX2 and chosen at run time. No loop uses fused multiply-add or
//! reorders a sum, so both compilations give the same bits. NEON is part of every aarch64 target.
#![allow(unsafe_code)]

/// Whether a test wants the path that every CPU has.
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) static SCALAR: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

#[cfg(target_arch = "x86_64")]
pub(crate) fn scalar_wanted() -> bool {
    #[cfg(test)]
    return SCALAR.load(std::sync::atomic::Ordering::Relaxed);
    #[cfg(not(test))]
    return false;
}

macro_rules! multiversion {
    ($(#[$doc:meta])* pub(crate) fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        pub(crate) fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn body($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) { body($($arg),*) }
                if std::arch::is_x86_feature_detected!("avx2") && !$crate::kernels::scalar_wanted() {
                    // SAFETY: the CPU has AVX2, which was asked for on the line above.
                    return unsafe { avx2($($arg),*) };
                }
            }
            body($($arg),*)
        }
    };
}

pub(crate) use multiversion;

multiversion! {
    /// Mean of each 2x2 block. `src` is `w * h` with even sides, `dst` a quarter of it.
    pub(crate) fn downsample(src: &[f32], w: usize, dst: &mut [f32]) {
        for (pair, out) in src.chunks_exact(2 * w).zip(dst.chunks_exact_mut(w / 2)) {
            let (top, bottom) = pair.split_at(w);
            for ((o, t), b) in out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
                *o = 0.25 * ((t[0] + t[1]) + (b[0] + b[1]));
            }
        }
    }
}

multiversion! {
    /// One layer of a perceptron: `out = weights x + biases`, `weights` with a row of `x.len()` numbers for each output.
    pub(crate) fn layer(weights: &[f32], biases: &[f32], x: &[f32], out: &mut [f32]) {
        for ((o, row), bias) in out.iter_mut().zip(weights.chunks_exact(x.len())).zip(biases) {
            // Thirty-two sums: four vector registers, so that one addition need not wait for the last one.
            let mut sums = [0.0f32; 32];
            let (heads, tails) = (row.chunks_exact(32), x.chunks_exact(32));
            let remainder: f32 = heads.remainder().iter().zip(tails.remainder()).map(|(a, b)| a * b).sum();
            for (a, b) in heads.zip(tails) {
                for ((s, a), b) in sums.iter_mut().zip(a).zip(b) {
                    *s += a * b;
                }
            }
            *o = sums.iter().sum::<f32>() + remainder + bias;
        }
    }
}

multiversion! {
    /// [`layer`] on whole numbers: `out = steps * unit * (weights x) + biases`, a step of the weights for each output, a unit of `x`
    /// for all. Products of an `i8` and an `i16` cannot overflow; that their sum does not is for the caller.
    pub(crate) fn layer_int8(
        weights: &[i8], steps: &[f32], biases: &[f32], x: &[i16], unit: f32, out: &mut [f32],
    ) {
        for (((o, row), step), bias) in out.iter_mut().zip(weights.chunks_exact(x.len())).zip(steps).zip(biases) {
            let products = row.iter().zip(x).map(|(w, v)| i32::from(*w).wrapping_mul(i32::from(*v)));
            *o = step * unit * products.fold(0i32, i32::wrapping_add) as f32 + bias;
        }
    }
}

multiversion! {
    /// Central differences of `src` (`w` columns), one-sided at the border.
    pub(crate) fn gradients(src: &[f32], w: usize, gx: &mut [f32], gy: &mut [f32]) {
        let h = src.len() / w;
        for y in 0..h {
            let row = &src[y * w..(y + 1) * w];
            let out = &mut gx[y * w..(y + 1) * w];
            for (o, n) in out[1..w - 1].iter_mut().zip(row.windows(3)) {
                *o = 0.5 * (n[2] - n[0]);
            }
            out[0] = row[1] - row[0];
            out[w - 1] = row[w - 1] - row[w - 2];
            let (above, below) = (y.saturating_sub(1), (y + 1).min(h - 1));
            let scale = 1.0 / (below - above) as f32;
            let above = &src[above * w..][..w];
            let below = &src[below * w..][..w];
            for ((o, a), b) in gy[y * w..(y + 1) * w].iter_mut().zip(above).zip(below) {
                *o = scale * (b - a);
            }
        }
    }
}

/// Planes of the linearised data term, in this order: the three distinct elements of `g g'`, then `g r`, each times the
/// pixel's weight, and the residual `r` itself.
pub(crate) type Linearised<'a> = [&'a mut [f32]; 6];

multiversion! {
    /// Residual of the target, warped by the flow, against the template, `r = target(x + u, y + v) - template`, and
    /// what a Gauss-Newton step needs of it: see [`Linearised`]. A pixel's weight is `1 / (1 + (r / softness)^2)`
    /// (Geman and McClure's estimator), and 0 where the flow leads out of the image. Bilinear.
    pub(crate) fn linearise(
        target: &[f32], template: &[f32], w: usize, flow: (&[f32], &[f32]), gradient: (&[f32], &[f32]),
        softness: f32, out: Linearised<'_>,
    ) {
        let [xx, xy, yy, bx, by, r] = out;
        let h = template.len() / w;
        let target = &target[..w * h];
        let (right, bottom) = ((w - 1) as f32, (h - 1) as f32);
        let (last_x, last_y) = (right - 1e-3, bottom - 1e-3);
        let scale = 1.0 / (softness * softness);
        for y in 0..h {
            let (u, v) = (&flow.0[y * w..][..w], &flow.1[y * w..][..w]);
            let reference = &template[y * w..][..w];
            let difference = &mut r[y * w..][..w];
            for x in 0..w {
                let px = (x as f32 + u[x]).max(0.0).min(last_x);
                let py = (y as f32 + v[x]).max(0.0).min(last_y);
                // SAFETY: px lies in 0..w-1 and py in 0..h-1, both below the last column and row. NaN becomes 0 by the
                // order of max and min.
                let value = unsafe { bilinear(target, w, px, py) };
                difference[x] = value - reference[x];
            }
            let (gx, gy) = (&gradient.0[y * w..][..w], &gradient.1[y * w..][..w]);
            let (xx, xy, yy) = (&mut xx[y * w..][..w], &mut xy[y * w..][..w], &mut yy[y * w..][..w]);
            let (bx, by) = (&mut bx[y * w..][..w], &mut by[y * w..][..w]);
            for x in 0..w {
                let (px, py) = (x as f32 + u[x], y as f32 + v[x]);
                let inside = (px >= 0.0) & (px <= right) & (py >= 0.0) & (py <= bottom);
                let d = difference[x];
                let weight = if inside { 1.0 / (1.0 + scale * d * d) } else { 0.0 };
                let (wx, wy) = (weight * gx[x], weight * gy[x]);
                xx[x] = wx * gx[x];
                xy[x] = wx * gy[x];
                yy[x] = wy * gy[x];
                bx[x] = wx * d;
                by[x] = wy * d;
            }
        }
    }
}

multiversion! {
    /// Strength of the tie between each pixel and its left (`west`) and upper (`north`) neighbour:
    /// `smoothness / sqrt(1 + |difference of the flow|^2 / contrast^2)`, 0 across the border. `u` and `v` have a margin
    /// of one row above and below; `west` has one element, `north` one row more than the image.
    pub(crate) fn ties(
        u: &[f32], v: &[f32], w: usize, smoothness: f32, contrast: f32, west: &mut [f32], north: &mut [f32],
    ) {
        let n = u.len() - 2 * w;
        let scale = 1.0 / (contrast * contrast);
        let (uc, vc) = (&u[w..][..n], &v[w..][..n]);
        for (tie, back) in [(&mut *west, 1), (&mut *north, w)] {
            let (ub, vb) = (&u[w - back..][..n], &v[w - back..][..n]);
            let tie = &mut tie[..n];
            for i in 0..n {
                let (du, dv) = (uc[i] - ub[i], vc[i] - vb[i]);
                tie[i] = smoothness / (1.0 + scale * (du * du + dv * dv)).sqrt();
            }
        }
        west.iter_mut().step_by(w).for_each(|t| *t = 0.0);
        north[..w].fill(0.0);
        north[n..].fill(0.0);
    }
}

multiversion! {
    /// What stays the same during relaxation: the inverse of each pixel's 2x2 matrix `J + (sum of its ties)` into
    /// `inverse`, and `J (u, v) - b` into `known`. `data` is `Jxx, Jxy, Jyy, bx, by`; `u`, `v`, `ties` as in [`ties`].
    pub(crate) fn system(
        data: [&[f32]; 5], ties: (&[f32], &[f32]), u: &[f32], v: &[f32], w: usize,
        inverse: [&mut [f32]; 3], known: [&mut [f32]; 2],
    ) {
        let n = u.len() - 2 * w;
        let (u, v) = (&u[w..][..n], &v[w..][..n]);
        let (xx, xy, yy, bx, by) = (&data[0][..n], &data[1][..n], &data[2][..n], &data[3][..n], &data[4][..n]);
        let (west, east, north, south) = (&ties.0[..n], &ties.0[1..][..n], &ties.1[..n], &ties.1[w..][..n]);
        let [ixx, ixy, iyy] = inverse;
        let (ixx, ixy, iyy) = (&mut ixx[..n], &mut ixy[..n], &mut iyy[..n]);
        let [ku, kv] = known;
        let (ku, kv) = (&mut ku[..n], &mut kv[..n]);
        for i in 0..n {
            let sum = (west[i] + east[i]) + (north[i] + south[i]);
            let (a, b, d) = (xx[i] + sum, xy[i], yy[i] + sum);
            // Positive: a Gram matrix plus a multiple of the identity.
            let k = 1.0 / (a * d - b * b);
            (ixx[i], ixy[i], iyy[i]) = (d * k, -b * k, a * k);
            // The constant keeps what decays away from becoming denormal, which is slow.
            ku[i] = xx[i] * u[i] + b * v[i] - bx[i] + 1e-12;
            kv[i] = b * u[i] + yy[i] * v[i] - by[i] + 1e-12;
        }
    }
}

multiversion! {
    /// One step of Jacobi's relaxation with Chebyshev's weight `omega` (Golub and Varga 1961): `next` holds the field
    /// before `u`, `v` and becomes the one after it. All four have a margin of one row above and below, which is read
    /// with ties of 0 and never written.
    pub(crate) fn relax(
        inverse: [&[f32]; 3], known: [&[f32]; 2], ties: (&[f32], &[f32]), omega: f32,
        field: [&[f32]; 2], nu: &mut [f32], nv: &mut [f32],
    ) {
        // `west` has one element more than the image, `north` one row.
        let n = ties.0.len() - 1;
        let w = ties.1.len() - n;
        let around = |p| -> [&[f32]; 4] {
            let p: &[f32] = p;
            [&p[w - 1..][..n], &p[w + 1..][..n], &p[..n], &p[2 * w..][..n]]
        };
        let ([uw, ue, un, us], [vw, ve, vn, vs]) = (around(field[0]), around(field[1]));
        let (west, east, north, south) = (&ties.0[..n], &ties.0[1..][..n], &ties.1[..n], &ties.1[w..][..n]);
        let (ixx, ixy, iyy) = (&inverse[0][..n], &inverse[1][..n], &inverse[2][..n]);
        let (ku, kv) = (&known[0][..n], &known[1][..n]);
        let (nu, nv) = (&mut nu[w..][..n], &mut nv[w..][..n]);
        for i in 0..n {
            let a = ku[i] + ((west[i] * uw[i] + east[i] * ue[i]) + (north[i] * un[i] + south[i] * us[i]));
            let b = kv[i] + ((west[i] * vw[i] + east[i] * ve[i]) + (north[i] * vn[i] + south[i] * vs[i]));
            nu[i] += omega * (ixx[i] * a + ixy[i] * b - nu[i]);
            nv[i] += omega * (ixy[i] * a + iyy[i] * b - nv[i]);
        }
    }
}

multiversion! {
    /// `plane = plane - other`.
    pub(crate) fn subtract(plane: &mut [f32], other: &[f32]) {
        for (p, o) in plane.iter_mut().zip(other) {
            *p -= o;
        }
    }
}

multiversion! {
    /// `row[x] = factor * (row[x] - start - slope * x)`.
    pub(crate) fn relight(row: &mut [f32], start: f32, slope: f32, factor: f32) {
        for (x, p) in row.iter_mut().enumerate() {
            *p = factor * (*p - (start + slope * x as f32));
        }
    }
}

multiversion! {
    /// Twice the size and `gain` times the values: with 2, a coarse flow as the start of the next finer level.
    /// `w` is the fine width. Bilinear between the centres of the 2x2 blocks.
    pub(crate) fn double(coarse: &[f32], w: usize, gain: f32, fine: &mut [f32]) {
        let cw = w / 2;
        let ch = coarse.len() / cw;
        for (y, out) in fine.chunks_exact_mut(w).enumerate() {
            let near = y / 2;
            let far = if y % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(ch - 1) };
            let (near, far) = (&coarse[near * cw..][..cw], &coarse[far * cw..][..cw]);
            let (much, little) = (0.75 * gain, 0.25 * gain);
            let mix = |x: usize| much * near[x] + little * far[x];
            for (x, o) in out.chunks_exact_mut(2).enumerate() {
                let (here, left, right) = (mix(x), mix(x.saturating_sub(1)), mix((x + 1).min(cw - 1)));
                o[0] = 0.75 * here + 0.25 * left;
                o[1] = 0.75 * here + 0.25 * right;
            }
        }
    }
}

multiversion! {
    /// Samples `plane` (`pw` columns) at `(a x - b y + tx, b x + a y + ty)` for every pixel (x, y) of
    /// `out` (`w` columns). Bilinear; positions outside are clamped to the border.
    pub(crate) fn sample(plane: &[f32], pw: usize, transform: [f32; 4], out: &mut [f32], w: usize) {
        let ph = plane.len() / pw;
        let plane = &plane[..pw * ph];
        let [a, b, tx, ty] = transform;
        let (right, bottom) = ((pw - 1) as f32 - 1e-3, (ph - 1) as f32 - 1e-3);
        for (y, row) in out.chunks_exact_mut(w).enumerate() {
            let y = y as f32;
            for (x, o) in row.iter_mut().enumerate() {
                let px = (a * x as f32 - b * y + tx).max(0.0).min(right);
                let py = (b * x as f32 + a * y + ty).max(0.0).min(bottom);
                // SAFETY: px lies in 0..pw-1 and py in 0..ph-1: NaN becomes 0 by the order of max and min.
                *o = unsafe { bilinear(plane, pw, px, py) };
            }
        }
    }
}

multiversion! {
    /// As [`sample`], and to the bit the same, at the pixels `(x, y)` alone.
    pub(crate) fn sample_at(plane: &[f32], pw: usize, transform: [f32; 4], x: &[f32], y: &[f32], out: &mut [f32]) {
        let ph = plane.len() / pw;
        let plane = &plane[..pw * ph];
        let [a, b, tx, ty] = transform;
        let (right, bottom) = ((pw - 1) as f32 - 1e-3, (ph - 1) as f32 - 1e-3);
        for ((o, x), y) in out.iter_mut().zip(x).zip(y) {
            let px = (a * x - b * y + tx).max(0.0).min(right);
            let py = (b * x + a * y + ty).max(0.0).min(bottom);
            // SAFETY: as in `sample`.
            *o = unsafe { bilinear(plane, pw, px, py) };
        }
    }
}

/// Between the four pixels about a position.
///
/// # Safety
/// `px` lies in 0 to the last column of `plane` and `py` in 0 to its last row, both less than these.
#[inline(always)]
unsafe fn bilinear(plane: &[f32], pw: usize, px: f32, py: f32) -> f32 {
    // SAFETY: the caller's promise; the conversion is exact and the four samples lie inside.
    unsafe {
        let (ix, iy) = (px.to_int_unchecked::<i32>(), py.to_int_unchecked::<i32>());
        let (fx, fy) = (px - ix as f32, py - iy as f32);
        let at = iy as usize * pw + ix as usize;
        let (a, b) = (*plane.get_unchecked(at), *plane.get_unchecked(at + 1));
        let (c, d) = (*plane.get_unchecked(at + pw), *plane.get_unchecked(at + pw + 1));
        let (top, low) = (a + fx * (b - a), c + fx * (d - c));
        top + fy * (low - top)
    }
}

multiversion! {
    /// A row of a luma image as `f32`, each sample the mean of a block of `step * step`. `rows` are
    /// the `step` rows of the block, `out` has one sample a block.
    pub(crate) fn block_means(rows: &[&[u8]], step: usize, out: &mut [f32]) {
        if step == 1 {
            for (o, s) in out.iter_mut().zip(rows[0]) {
                *o = f32::from(*s);
            }
            return;
        }
        let scale = 1.0 / (step * step) as f32;
        out.fill(0.0);
        for row in rows {
            for (o, block) in out.iter_mut().zip(row.chunks_exact(step)) {
                let mut sum = 0u32;
                for &s in block {
                    sum += u32::from(s);
                }
                *o += sum as f32 * scale;
            }
        }
    }
}

multiversion! {
    /// Binomial filter 1-2-1 in both directions, in place; the border is repeated. `tmp` has the
    /// size of `plane`.
    pub(crate) fn smooth(plane: &mut [f32], w: usize, tmp: &mut [f32]) {
        let h = plane.len() / w;
        for y in 0..h {
            let above = &plane[y.saturating_sub(1) * w..][..w];
            let here = &plane[y * w..][..w];
            let below = &plane[(y + 1).min(h - 1) * w..][..w];
            for (((o, a), m), b) in tmp[y * w..][..w].iter_mut().zip(above).zip(here).zip(below) {
                *o = 0.25 * (a + b) + 0.5 * m;
            }
        }
        for (row, out) in tmp.chunks_exact(w).zip(plane.chunks_exact_mut(w)) {
            for (o, n) in out[1..w - 1].iter_mut().zip(row.windows(3)) {
                *o = 0.25 * (n[0] + n[2]) + 0.5 * n[1];
            }
            out[0] = 0.75 * row[0] + 0.25 * row[1];
            out[w - 1] = 0.75 * row[w - 1] + 0.25 * row[w - 2];
        }
    }
}

multiversion! {
    /// `target = (1 - rate) target + rate * source`.
    pub(crate) fn blend(target: &mut [f32], source: &[f32], rate: f32) {
        for (t, s) in target.iter_mut().zip(source) {
            *t += rate * (s - *t);
        }
    }
}
