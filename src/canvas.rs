//! A drawing surface for plots: lines, boxes and words on white.

use std::io;
use std::path::Path;

use font8x8::{BASIC_FONTS, UnicodeFonts};

/// Black of axes and words.
pub const INK: [u8; 3] = [40, 40, 40];
/// Light gray of grid lines.
pub const GRID: [u8; 3] = [225, 225, 225];
/// Colours of series.
pub const SERIES: [[u8; 3]; 6] =
    [[60, 90, 170], [210, 90, 40], [60, 140, 70], [150, 70, 150], [120, 120, 120], [180, 150, 30]];

/// An image that is drawn on.
pub struct Canvas {
    width: usize,
    height: usize,
    /// Red, green, blue, row by row.
    data: Vec<u8>,
}

impl Canvas {
    /// White, of a size in pixels.
    pub fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self { width, height, data: vec![255; 3 * width * height] }
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height as u32
    }

    /// A line between two points, one pixel wide.
    pub fn line(&mut self, a: (f32, f32), b: (f32, f32), color: [u8; 3]) {
        let steps = (b.0 - a.0).abs().max((b.1 - a.1).abs()).ceil().max(1.0);
        for i in 0..=steps as u32 {
            let t = i as f32 / steps;
            let (x, y) = (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1));
            self.pixel(x.round().max(0.0) as u32, y.round().max(0.0) as u32, color);
        }
    }

    /// A filled box between two corners.
    pub fn fill(&mut self, a: (f32, f32), b: (f32, f32), color: [u8; 3]) {
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
    pub fn text_in(&mut self, x: u32, y: u32, words: &str, color: [u8; 3]) {
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
        color: impl Fn(usize) -> [u8; 3],
    ) {
        for y in 0..zoom * height {
            for x in 0..zoom * width {
                self.pixel((to.0 + x) as u32, (to.1 + y) as u32, color(y / zoom * width + x / zoom));
            }
        }
    }

    /// One pixel; outside of the image nothing happens.
    pub fn pixel(&mut self, x: u32, y: u32, color: [u8; 3]) {
        let (x, y) = (x as usize, y as usize);
        if x < self.width && y < self.height {
            self.data[3 * (y * self.width + x)..][..3].copy_from_slice(&color);
        }
    }

    /// The image as a PNG file.
    ///
    /// # Errors
    /// Where the image has no pixels, or is too large for the format.
    pub fn png(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.data)?;
        writer.finish()?;
        Ok(out)
    }

    /// Writes a PNG file.
    ///
    /// # Errors
    /// As [`Canvas::png`], and where the file cannot be written; the message names it.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let written = self.png().and_then(|png| std::fs::write(path, png));
        written.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_in_the_file_and_what_lies_outside_is_nowhere() {
        let mut canvas = Canvas::new(16, 8);
        canvas.pixel(3, 2, [1, 2, 3]);
        canvas.pixel(16, 0, [9, 9, 9]);
        canvas.fill((-4.0, 6.0), (2.0, 99.0), GRID);
        let png = canvas.png().expect("encodes");
        let mut reader = png::Decoder::new(io::Cursor::new(png)).read_info().expect("a PNG");
        let mut data = vec![0; 3 * 16 * 8];
        reader.next_frame(&mut data).expect("pixels");
        assert_eq!(&data[3 * (2 * 16 + 3)..][..3], &[1, 2, 3]);
        assert_eq!(&data[3 * (7 * 16 + 1)..][..3], &GRID);
        assert_eq!(data.iter().filter(|v| **v == 255).count(), 3 * (16 * 8 - 1 - 4));
        let error = canvas.save(Path::new("/nowhere/plot.png")).expect_err("no folder").to_string();
        assert!(error.starts_with("/nowhere/plot.png: "), "{error}");
    }
}
