//! A drawing surface for plots: lines, boxes and words on white.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};
use font8x8::{BASIC_FONTS, UnicodeFonts};
use image::{ImageFormat, Rgb, RgbImage};

/// Black of axes and words.
pub const INK: Rgb<u8> = Rgb([40, 40, 40]);
/// Light gray of grid lines.
pub const GRID: Rgb<u8> = Rgb([225, 225, 225]);
/// Colours of series.
pub const SERIES: [Rgb<u8>; 6] = [
    Rgb([60, 90, 170]),
    Rgb([210, 90, 40]),
    Rgb([60, 140, 70]),
    Rgb([150, 70, 150]),
    Rgb([120, 120, 120]),
    Rgb([180, 150, 30]),
];

/// An image that is drawn on.
pub struct Canvas {
    image: RgbImage,
}

impl Canvas {
    /// White, of a size in pixels.
    pub fn new(width: u32, height: u32) -> Self {
        Self { image: RgbImage::from_pixel(width, height, Rgb([255, 255, 255])) }
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.image.height()
    }

    /// A line between two points, one pixel wide.
    pub fn line(&mut self, a: (f32, f32), b: (f32, f32), color: Rgb<u8>) {
        let steps = (b.0 - a.0).abs().max((b.1 - a.1).abs()).ceil().max(1.0);
        for i in 0..=steps as u32 {
            let t = i as f32 / steps;
            let (x, y) = (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1));
            self.pixel(x.round().max(0.0) as u32, y.round().max(0.0) as u32, color);
        }
    }

    /// A filled box between two corners.
    pub fn fill(&mut self, a: (f32, f32), b: (f32, f32), color: Rgb<u8>) {
        for y in a.1.max(0.0) as u32..b.1.max(0.0) as u32 {
            for x in a.0.max(0.0) as u32..b.0.max(0.0) as u32 {
                self.pixel(x, y, color);
            }
        }
    }

    /// Words in a fixed font of 8 x 8 pixels; `x`, `y`: upper left corner.
    pub fn text(&mut self, x: u32, y: u32, words: &str) {
        self.text_in(x, y, words, INK);
    }

    /// Words in a colour.
    pub fn text_in(&mut self, x: u32, y: u32, words: &str, color: Rgb<u8>) {
        for (i, c) in words.chars().enumerate() {
            for (dy, bits) in BASIC_FONTS.get(c).unwrap_or_default().into_iter().enumerate() {
                for dx in (0..8).filter(|dx| bits >> dx & 1 == 1) {
                    self.pixel(x + 8 * i as u32 + dx, y + dy as u32, color);
                }
            }
        }
    }

    /// An image of `width` by `height` pixels, enlarged `zoom` times, with its upper left corner at `to`.
    pub fn blit(
        &mut self,
        to: (usize, usize),
        width: usize,
        height: usize,
        zoom: usize,
        color: impl Fn(usize) -> Rgb<u8>,
    ) {
        for y in 0..zoom * height {
            for x in 0..zoom * width {
                self.pixel((to.0 + x) as u32, (to.1 + y) as u32, color(y / zoom * width + x / zoom));
            }
        }
    }

    fn pixel(&mut self, x: u32, y: u32, color: Rgb<u8>) {
        if x < self.image.width() && y < self.image.height() {
            self.image.put_pixel(x, y, color);
        }
    }

    /// The image as a PNG file.
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut out = Cursor::new(Vec::new());
        self.image.write_to(&mut out, ImageFormat::Png).context("PNG")?;
        Ok(out.into_inner())
    }

    /// Writes a PNG file.
    pub fn save(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.png()?).with_context(|| path.display().to_string())
    }
}
