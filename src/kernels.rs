//! The inner loops of flow, stabiliser and gate, over row-major `f32` planes.
//!
//! Each loop is written once, in plain Rust that the compiler turns into vector code; on x86-64 it
//! is compiled a second time for AVX2 and chosen at run time. No loop uses fused multiply-add or
//! reorders a sum, so both compilations give the same bits. NEON is part of every aarch64 target.
#![allow(unsafe_code)]

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
                if std::arch::is_x86_feature_detected!("avx2") {
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
    pub(crate) fn halve(src: &[f32], w: usize, dst: &mut [f32]) {
        for (pair, out) in src.chunks_exact(2 * w).zip(dst.chunks_exact_mut(w / 2)) {
            let (top, bottom) = pair.split_at(w);
            for ((o, t), b) in out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
                *o = 0.25 * ((t[0] + t[1]) + (b[0] + b[1]));
            }
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

/// Taps on each side of the centre in [`blur`].
pub(crate) const BLUR_RADIUS: usize = 5;

/// A sampled, normalised Gaussian.
pub(crate) fn gaussian(sigma: f32) -> [f32; BLUR_RADIUS + 1] {
    let mut taps = [0.0; BLUR_RADIUS + 1];
    for (i, t) in taps.iter_mut().enumerate() {
        *t = (-((i * i) as f32) / (2.0 * sigma * sigma)).exp();
    }
    let sum = taps[0] + 2.0 * taps[1..].iter().sum::<f32>();
    taps.map(|t| t / sum)
}

multiversion! {
    /// Separable symmetric filter in place; the border is repeated. `tmp` has the size of `plane`,
    /// `line` at least `w + 2 * BLUR_RADIUS`.
    pub(crate) fn blur(plane: &mut [f32], w: usize, taps: &[f32; BLUR_RADIUS + 1], tmp: &mut [f32], line: &mut [f32]) {
        let h = plane.len() / w;
        for y in 0..h {
            let row = |d: isize| {
                let y = (y as isize + d).clamp(0, h as isize - 1) as usize;
                &plane[y * w..(y + 1) * w]
            };
            let rows: [(&[f32], &[f32]); BLUR_RADIUS] =
                std::array::from_fn(|k| (row(-(k as isize) - 1), row(k as isize + 1)));
            let center = row(0);
            let out = &mut tmp[y * w..(y + 1) * w];
            for x in 0..w {
                let mut sum = taps[0] * center[x];
                for k in 0..BLUR_RADIUS {
                    sum += taps[k + 1] * (rows[k].0[x] + rows[k].1[x]);
                }
                out[x] = sum;
            }
        }
        let line = &mut line[..w + 2 * BLUR_RADIUS];
        for (row, out) in tmp.chunks_exact(w).zip(plane.chunks_exact_mut(w)) {
            line[..BLUR_RADIUS].fill(row[0]);
            line[BLUR_RADIUS..BLUR_RADIUS + w].copy_from_slice(row);
            line[BLUR_RADIUS + w..].fill(row[w - 1]);
            for (o, n) in out.iter_mut().zip(line.windows(2 * BLUR_RADIUS + 1)) {
                let mut sum = taps[0] * n[BLUR_RADIUS];
                for k in 1..=BLUR_RADIUS {
                    sum += taps[k] * (n[BLUR_RADIUS - k] + n[BLUR_RADIUS + k]);
                }
                *o = sum;
            }
        }
    }
}

multiversion! {
    /// `out = a * b`, element by element.
    pub(crate) fn multiply(a: &[f32], b: &[f32], out: &mut [f32]) {
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = a * b;
        }
    }
}

multiversion! {
    /// Residual of the target, warped by the flow, against the template, and its products with the
    /// template's gradient: `r = target(x + u, y + v) - template`, `bx = gx r`, `by = gy r`.
    /// Bilinear; positions outside are clamped to the border.
    pub(crate) fn residual(
        target: &[f32], template: &[f32], w: usize, flow: (&[f32], &[f32]), gradient: (&[f32], &[f32]),
        products: [&mut [f32]; 3],
    ) {
        let [r, bx, by] = products;
        let h = template.len() / w;
        let target = &target[..w * h];
        let (right, bottom) = ((w - 1) as f32 - 1e-3, (h - 1) as f32 - 1e-3);
        for y in 0..h {
            let span = y * w..(y + 1) * w;
            let (u, v) = (&flow.0[span.clone()], &flow.1[span.clone()]);
            let (gx, gy) = (&gradient.0[span.clone()], &gradient.1[span.clone()]);
            let (reference, r) = (&template[span.clone()], &mut r[span.clone()]);
            let (bx, by) = (&mut bx[span.clone()], &mut by[span]);
            for x in 0..w {
                let px = (x as f32 + u[x]).max(0.0).min(right);
                let py = (y as f32 + v[x]).max(0.0).min(bottom);
                // SAFETY: px lies in 0..w-1 and py in 0..h-1, both below the last column and row, so
                // the conversion is exact and the four samples lie inside `target`. NaN becomes 0 by
                // the order of max and min.
                let value = unsafe {
                    let (ix, iy) = (px.to_int_unchecked::<i32>(), py.to_int_unchecked::<i32>());
                    let (fx, fy) = (px - ix as f32, py - iy as f32);
                    let at = iy as usize * w + ix as usize;
                    let (a, b) = (*target.get_unchecked(at), *target.get_unchecked(at + 1));
                    let (c, d) = (*target.get_unchecked(at + w), *target.get_unchecked(at + w + 1));
                    let (top, low) = (a + fx * (b - a), c + fx * (d - c));
                    top + fy * (low - top)
                };
                let difference = value - reference[x];
                r[x] = difference;
                bx[x] = gx[x] * difference;
                by[x] = gy[x] * difference;
            }
        }
    }
}

/// Largest step of one iteration, in pixels of its level.
const MAX_STEP: f32 = 1.0;

multiversion! {
    /// One Gauss-Newton step of every pixel, clamped to [`MAX_STEP`]: `(u, v) -= inverse * b` with
    /// `b = <g r> - <g><r>`, where `< >` is the window mean: a brightness that differs by a constant
    /// within the window moves nothing. `inverse` holds the three distinct elements of each 2x2
    /// inverse, `mean_gradient` is `<g>`, `means` is `<r>, <gx r>, <gy r>`.
    pub(crate) fn step(
        inverse: [&[f32]; 3], mean_gradient: (&[f32], &[f32]), means: [&[f32]; 3], u: &mut [f32], v: &mut [f32],
    ) {
        let n = u.len();
        let (ixx, ixy, iyy) = (&inverse[0][..n], &inverse[1][..n], &inverse[2][..n]);
        let (mx, my) = (&mean_gradient.0[..n], &mean_gradient.1[..n]);
        let (r, bx, by, v) = (&means[0][..n], &means[1][..n], &means[2][..n], &mut v[..n]);
        for i in 0..n {
            let (x, y) = (bx[i] - mx[i] * r[i], by[i] - my[i] * r[i]);
            let du = ixx[i] * x + ixy[i] * y;
            let dv = ixy[i] * x + iyy[i] * y;
            u[i] -= du.clamp(-MAX_STEP, MAX_STEP);
            v[i] -= dv.clamp(-MAX_STEP, MAX_STEP);
        }
    }
}

multiversion! {
    /// Twice the size and twice the values: a coarse flow as the start of the next finer level.
    /// `w` is the fine width. Bilinear between the centres of the 2x2 blocks.
    pub(crate) fn double_flow(coarse: &[f32], w: usize, fine: &mut [f32]) {
        let cw = w / 2;
        let ch = coarse.len() / cw;
        for (y, out) in fine.chunks_exact_mut(w).enumerate() {
            let near = y / 2;
            let far = if y % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(ch - 1) };
            let (near, far) = (&coarse[near * cw..][..cw], &coarse[far * cw..][..cw]);
            // Quarter weights of bilinear interpolation, times two for the values.
            let mix = |x: usize| 1.5 * near[x] + 0.5 * far[x];
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
                // SAFETY: px lies in 0..pw-1 and py in 0..ph-1 (NaN becomes 0 by the order of max and
                // min), so the conversion is exact and the four samples lie inside `plane`.
                *o = unsafe {
                    let (ix, iy) = (px.to_int_unchecked::<i32>(), py.to_int_unchecked::<i32>());
                    let (fx, fy) = (px - ix as f32, py - iy as f32);
                    let at = iy as usize * pw + ix as usize;
                    let (a, b) = (*plane.get_unchecked(at), *plane.get_unchecked(at + 1));
                    let (c, d) = (*plane.get_unchecked(at + pw), *plane.get_unchecked(at + pw + 1));
                    let (top, low) = (a + fx * (b - a), c + fx * (d - c));
                    top + fy * (low - top)
                };
            }
        }
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
