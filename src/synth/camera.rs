//! The camera that films the subject: size, blur, noise, quantization, compression.

use serde::{Deserialize, Serialize};

use crate::random::SplitMix;

/// A camera model. Noise is Poisson-Gaussian: variance = read^2 + shot * luma.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Distance between the eyes in pixels.
    pub eye_distance_px: f32,
    /// Whether the lens blurs by a 1-2-1 filter.
    pub blur: bool,
    /// Standard deviation of the noise in the dark, in gray levels.
    pub read_noise: f32,
    /// Variance of the noise per gray level.
    pub shot_noise: f32,
    /// Multiplies the light.
    pub exposure: f32,
    /// JPEG quality 1 to 100; `None` for uncompressed frames.
    pub jpeg_quality: Option<u8>,
    /// Time for which the shutter is open: what moves meanwhile is blurred.
    #[serde(default)]
    pub shutter_ms: f32,
    /// Blocks of 8 x 8 pixels that change less than so many gray levels in the mean are not coded again, as in video at a
    /// low rate; 0 codes all.
    #[serde(default)]
    pub block_skip: f32,
    /// Chooses the noise and the background.
    pub seed: u64,
}

impl Default for Camera {
    /// A webcam in good light.
    fn default() -> Self {
        Self {
            width: 640,
            height: 480,
            eye_distance_px: 84.0,
            blur: true,
            read_noise: 0.8,
            shot_noise: 0.008,
            exposure: 1.0,
            jpeg_quality: None,
            shutter_ms: 0.0,
            block_skip: 0.0,
            seed: 1,
        }
    }
}

/// Standard normal deviates to draw from: far quicker than making each, and long enough that no
/// pattern repeats within a frame.
#[derive(Debug, Clone)]
pub struct NoiseTable(Vec<f32>);

impl Default for NoiseTable {
    fn default() -> Self {
        Self::new()
    }
}

impl NoiseTable {
    const SIZE: usize = 1 << 16;

    /// Always the same deviates.
    pub fn new() -> Self {
        let mut rng = SplitMix(0x6c6f_6f6b);
        Self((0..Self::SIZE).map(|_| rng.normal()).collect())
    }

    /// Films `plane` (`width` columns, gray 0 to 255) under a light of `gain`: the camera's noise, then 8 bits.
    /// Frame `seq` has noise of its own.
    pub fn expose(&self, camera: &Camera, seq: u64, gain: f32, plane: &[f32], width: usize, out: &mut [u8]) {
        let mut rng = SplitMix(camera.seed ^ seq.wrapping_mul(0xd1b5_4a32_d192_ed03));
        let (read, shot) = (camera.read_noise * camera.read_noise, camera.shot_noise);
        let gain = gain * camera.exposure;
        for (row, out) in plane.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let start = rng.next() as usize;
            for (x, (v, o)) in row.iter().zip(out).enumerate() {
                let light = gain * v;
                let deviation = (read + shot * light.max(0.0)).sqrt();
                *o = (light + deviation * self.0[(start + x) % Self::SIZE] + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// What JPEG compression of `quality` makes of a gray image. An image that cannot be coded stays.
pub fn jpeg_round_trip(luma: &mut [u8], width: usize, height: usize, quality: u8) {
    use zune_jpeg::JpegDecoder;
    use zune_jpeg::zune_core::bytestream::ZCursor;
    use zune_jpeg::zune_core::colorspace::ColorSpace;
    use zune_jpeg::zune_core::options::DecoderOptions;
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    let (Ok(w), Ok(h)) = (u16::try_from(width), u16::try_from(height)) else { return };
    if encoder.encode(luma, w, h, jpeg_encoder::ColorType::Luma).is_ok() {
        let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes), options);
        if let Ok(decoded) = decoder.decode().as_deref()
            && decoded.len() == luma.len()
        {
            luma.copy_from_slice(decoded);
        }
    }
}

/// Keeps each block of 8 x 8 pixels of the frame before where it changes by less than `limit` gray levels in the mean, as
/// video at a low rate does; `before` becomes what is shown.
pub(super) fn skip_blocks(luma: &mut [u8], before: &mut Vec<u8>, width: usize, limit: f32) {
    if before.len() == luma.len() {
        let height = luma.len() / width;
        for (top, left) in (0..height).step_by(8).flat_map(|y| (0..width).step_by(8).map(move |x| (y, x))) {
            let (rows, columns) = (top..(top + 8).min(height), left..(left + 8).min(width));
            let count = (rows.len() * columns.len()) as f32;
            let pixels = |y: usize| y * width + columns.start..y * width + columns.end;
            let changed: u32 = rows
                .clone()
                .flat_map(|y| luma[pixels(y)].iter().zip(&before[pixels(y)]))
                .map(|(a, b)| u32::from(a.abs_diff(*b)))
                .sum();
            if changed as f32 / count < limit {
                rows.for_each(|y| luma[pixels(y)].copy_from_slice(&before[pixels(y)]));
            }
        }
    }
    before.clear();
    before.extend_from_slice(luma);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_hardly_change_stay() {
        let (mut before, mut luma) = (vec![100u8; 24 * 10], vec![100u8; 24 * 10]);
        for y in 0..10 {
            luma[y * 24 + 9..y * 24 + 14].fill(140);
            luma[y * 24 + 20] = 104;
        }
        skip_blocks(&mut luma, &mut before, 24, 2.0);
        assert_eq!((luma[9], luma[20]), (140, 100));
        assert_eq!(before, luma);
        let mut other = vec![1u8; 7];
        skip_blocks(&mut other, &mut before, 7, 50.0);
        assert_eq!(other, [1; 7], "the first frame is coded whole");
    }

    #[test]
    fn noise_has_the_variance_it_says() {
        let camera = Camera { read_noise: 2.0, shot_noise: 0.05, ..Camera::default() };
        let plane = vec![100.0; 200 * 200];
        let mut out = vec![0; plane.len()];
        NoiseTable::new().expose(&camera, 3, 1.0, &plane, 200, &mut out);
        let mean = out.iter().map(|&v| f64::from(v)).sum::<f64>() / out.len() as f64;
        let variance = out.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / out.len() as f64;
        // 2^2 + 0.05 * 100, and a twelfth from rounding.
        assert!((mean - 100.0).abs() < 0.2 && (variance - 9.08).abs() < 0.6, "{mean} {variance}");
    }

    #[test]
    fn compression_changes_little() {
        let mut luma: Vec<u8> = (0..64 * 48).map(|i| (i % 64 * 3) as u8).collect();
        let before = luma.clone();
        jpeg_round_trip(&mut luma, 64, 48, 80);
        let worst = luma.iter().zip(&before).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(luma != before && worst < Some(24), "{worst:?}");
    }
}
