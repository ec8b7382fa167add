//! Random light, blur, noise and backgrounds for training images.

use font8x8::UnicodeFonts;
use glint::geometry::{Point, Similarity};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A generator for sample `index` of a run: the same on any number of threads.
pub fn generator(seed: u64, index: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed ^ (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A standard normal deviate (Box and Muller).
pub fn normal(rng: &mut impl Rng) -> f32 {
    let u: f32 = rng.random_range(f32::MIN_POSITIVE..1.0);
    let v: f32 = rng.random_range(0.0..std::f32::consts::TAU);
    (-2.0 * u.ln()).sqrt() * v.cos()
}

/// What a person's own proportions leave between the crop and where its points should be.
pub fn misplacement(rng: &mut impl Rng) -> Similarity {
    Similarity {
        a: 1.0 + 0.04 * normal(rng),
        b: 0.02 * normal(rng),
        tx: 2.5 * normal(rng),
        ty: 3.0 * normal(rng),
    }
}

/// What the stabiliser leaves of the motion between two crops: zoom and turn about a point, and a shift.
pub fn stabiliser_residue(rng: &mut impl Rng, about: Point) -> Similarity {
    let (a, b) = (1.0 + 0.0006 * normal(rng), 0.0006 * normal(rng));
    let shift = [(); 2].map(|()| 0.05 * normal(rng));
    similarity_about(about, a, b, shift)
}

/// The similarity with the linear part (`a`, `b`) that moves a point by `shift`.
pub fn similarity_about(point: Point, a: f32, b: f32, shift: [f32; 2]) -> Similarity {
    Similarity {
        a,
        b,
        tx: point.x + shift[0] - a * point.x + b * point.y,
        ty: point.y + shift[1] - b * point.x - a * point.y,
    }
}

/// A background without faces: smooth noise at random scales, gradients, boxes, discs and stripes.
pub fn background(rng: &mut impl Rng, width: usize, height: usize, out: &mut [f32]) {
    let base = rng.random_range(20.0..220.0);
    let (gx, gy) = (rng.random_range(-60.0..60.0), rng.random_range(-60.0..60.0));
    for (i, o) in out.iter_mut().enumerate() {
        *o = base
            + gx * ((i % width) as f32 / width as f32 - 0.5)
            + gy * ((i / width) as f32 / height as f32 - 0.5);
    }
    for _ in 0..rng.random_range(0..4) {
        value_noise(rng, width, height, out);
    }
    for _ in 0..rng.random_range(0..14) {
        let (cx, cy) = (rng.random_range(0.0..width as f32), rng.random_range(0.0..height as f32));
        let (rx, ry): (f32, f32) = (rng.random_range(2.0..40.0), rng.random_range(2.0..40.0));
        let value = rng.random_range(0.0..255.0);
        let alpha = rng.random_range(0.3..1.0);
        let (kind, stripe) = (rng.random_range(0..4), rng.random_range(0.2..1.5f32));
        let turn: f32 = rng.random_range(0.0..3.2);
        let (s, c) = turn.sin_cos();
        let reach = 1.2 * rx.hypot(ry);
        let span =
            |at: f32, limit: usize| (at - reach).max(0.0) as usize..((at + reach) as usize + 1).min(limit);
        for (px, py) in span(cy, height).flat_map(|y| span(cx, width).map(move |x| (x, y))) {
            let o = &mut out[py * width + px];
            let (dx, dy) = (px as f32 - cx, py as f32 - cy);
            let (x, y) = (c * dx + s * dy, c * dy - s * dx);
            let inside = match kind {
                0 => x.abs() < rx && y.abs() < ry,
                1 => (x / rx).powi(2) + (y / ry).powi(2) < 1.0,
                2 => x.abs() < rx && y.abs() < ry && (x * stripe).sin() > 0.0,
                _ => ((x / rx).powi(2) + (y / ry).powi(2) - 1.0).abs() < 0.3,
            };
            if inside {
                *o += alpha * (value - *o);
            }
        }
    }
}

/// A [`background`] enlarged `zoom` times, or reduced where it is below 1 (not below 1/2).
pub fn texture(rng: &mut impl Rng, width: usize, zoom: f32, out: &mut [f32]) {
    let height = out.len() / width;
    let drawn = |length: usize| ((length as f32 / zoom).ceil() as usize).max(1);
    let (w, h) = (drawn(width), drawn(height));
    let mut plane = vec![0.0; w * h];
    background(rng, w, h, &mut plane);
    let at = |v: usize, limit: usize| {
        let p = ((v as f32 + 0.5) / zoom - 0.5).clamp(0.0, (limit - 1) as f32);
        (p as usize, (p as usize + 1).min(limit - 1), p.fract())
    };
    for (i, o) in out.iter_mut().enumerate() {
        let ((x0, x1, fx), (y0, y1, fy)) = (at(i % width, w), at(i / width, h));
        let row = |y: usize| plane[y * w + x0] + fx * (plane[y * w + x1] - plane[y * w + x0]);
        *o = row(y0) + fy * (row(y1) - row(y0));
    }
}

/// A few letters or digits of one size: eyes and mouths they are not, though round and dark.
pub fn letters(rng: &mut impl Rng, width: usize, out: &mut [f32]) {
    let height = out.len() / width;
    let (zoom, value) = (rng.random_range(1..6usize), rng.random_range(0.0..255.0f32));
    let (left, top) = (rng.random_range(0..width), rng.random_range(0..height));
    for k in 0..rng.random_range(1..9usize) {
        let glyph = char::from(rng.random_range(b'!'..=b'z'));
        let Some(rows) = font8x8::BASIC_FONTS.get(glyph) else { continue };
        for (x, y) in (0..8 * zoom).flat_map(|y| (0..8 * zoom).map(move |x| (x, y))) {
            let (px, py) = (left + 8 * zoom * k + x, top + y);
            if px < width && py < height && rows[y / zoom] >> (x / zoom) & 1 == 1 {
                out[py * width + px] = value;
            }
        }
    }
}

/// Adds smooth noise of one random scale and strength.
fn value_noise(rng: &mut impl Rng, width: usize, height: usize, out: &mut [f32]) {
    let cell: f32 = rng.random_range(2.0f32..40.0);
    let (gw, gh) = ((width as f32 / cell) as usize + 3, (height as f32 / cell) as usize + 3);
    let strength = rng.random_range(5.0..50.0);
    let grid: Vec<f32> = (0..gw * gh).map(|_| strength * normal(rng)).collect();
    for (i, o) in out.iter_mut().enumerate() {
        let (x, y) = ((i % width) as f32 / cell, (i / width) as f32 / cell);
        let (ix, iy) = (x as usize, y as usize);
        let (fx, fy) = (x - ix as f32, y - iy as f32);
        let at = |x: usize, y: usize| grid[y * gw + x];
        let top = at(ix, iy) + fx * (at(ix + 1, iy) - at(ix, iy));
        let low = at(ix, iy + 1) + fx * (at(ix + 1, iy + 1) - at(ix, iy + 1));
        *o += top + fy * (low - top);
    }
}

/// Separable filter of three taps: `side`, `1 - 2 side`, `side`; the border is repeated.
pub fn blur(image: &mut [f32], width: usize, side: f32) {
    let height = image.len() / width;
    let mut tmp = image.to_vec();
    for pass in 0..2 {
        let step = if pass == 0 { 1 } else { width };
        for (i, t) in tmp.iter_mut().enumerate() {
            let at = if pass == 0 { i % width } else { i / width };
            let last = if pass == 0 { width - 1 } else { height - 1 };
            let (a, b) = (if at > 0 { i - step } else { i }, if at < last { i + step } else { i });
            *t = side * (image[a] + image[b]) + (1.0 - 2.0 * side) * image[i];
        }
        image.copy_from_slice(&tmp);
    }
}

/// Random contrast, gamma, light from a side, blur and noise; the result is clamped to 0..255.
pub fn photometric(rng: &mut impl Rng, image: &mut [f32], width: usize) {
    let height = image.len() / width;
    if rng.random_bool(0.3) {
        let side = rng.random_range(0.05..0.33f32);
        blur(image, width, side);
    }
    let gamma = rng.random_range(-0.5f32..0.5).exp();
    let (gain, bias) = (rng.random_range(0.35f32..1.2), rng.random_range(-30.0f32..40.0));
    let (lx, ly) = (rng.random_range(-0.4f32..0.4), rng.random_range(-0.25f32..0.25));
    let noise = if rng.random_bool(0.7) { rng.random_range(0.0f32..8.0) } else { 0.0 };
    for (i, v) in image.iter_mut().enumerate() {
        let light = 1.0
            + lx * ((i % width) as f32 / width as f32 - 0.5) * 2.0
            + ly * ((i / width) as f32 / height as f32 - 0.5) * 2.0;
        let t = (v.clamp(0.0, 255.0) / 255.0).powf(gamma) * 255.0;
        *v = (t * gain * light + bias + noise * normal(rng)).clamp(0.0, 255.0);
    }
}
