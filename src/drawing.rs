//! A drawing as a list of shapes: written as SVG, or painted on a [`Canvas`].
//!
//! One list serves both, so a plot looks the same in either format. Coordinates are pixels from the upper left corner.
//!
//! The plotting crate `plotters` was tried and left out. A mark of a report has a title, which a browser shows where it is pointed
//! at; the SVG elements of `plotters-svg` 0.3 have none. Its bitmap back end (0.3.7, with `ab_glyph`) draws no text without a font:
//! it would add .6 MB to the program, a font of .3 MB and more, a second version of `png`, and `image`. The letters of a
//! PNG are therefore those of `font8x8`; where they are too coarse, the SVG has the reader's own fonts at any size.

mod chart;

pub use chart::{Axis, Chart};

use std::fmt::Write as _;

use crate::canvas::{Canvas, INK};

/// A place on the drawing: pixels to the right, pixels down.
pub type Place = (f32, f32);

/// Width of a letter on a [`Canvas`], in pixels.
pub const LETTER: f32 = 8.0;

/// Which end of a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Anchor {
    /// The first letter.
    Start,
    /// The middle.
    Middle,
    /// The last letter.
    End,
}

/// A part of a drawing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Shape {
    /// Polylines of one colour; a single place is a dot.
    Path {
        /// The places of each line.
        lines: Vec<Vec<Place>>,
        /// Red, green, blue.
        color: [u8; 3],
        /// Width of the lines in pixels.
        width: f32,
    },
    /// A filled box between two corners.
    Fill {
        /// The upper left corner.
        from: Place,
        /// The lower right corner.
        to: Place,
        /// Red, green, blue.
        color: [u8; 3],
    },
    /// Words on one line.
    Text {
        /// Where the base line starts, has its middle or ends.
        at: Place,
        /// What is written.
        words: String,
        /// Which end stands at `at`.
        anchor: Anchor,
    },
    /// Shapes that belong together.
    Group {
        /// The class of the SVG element.
        class: &'static str,
        /// What an SVG viewer shows when the pointer rests on it. Where this is empty, the pointer reaches what lies below.
        title: String,
        /// The parts.
        shapes: Vec<Shape>,
    },
}

impl Shape {
    /// A line between two places, one pixel wide.
    pub fn line(from: Place, to: Place, color: [u8; 3]) -> Self {
        Self::Path { lines: vec![vec![from, to]], color, width: 1.0 }
    }

    /// Words.
    pub fn text(at: Place, words: impl Into<String>, anchor: Anchor) -> Self {
        Self::Text { at, words: words.into(), anchor }
    }
}

/// Shapes on white, painted in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// Width in pixels.
    pub width: f32,
    /// Height in pixels.
    pub height: f32,
    /// The shapes; later ones cover earlier ones.
    pub shapes: Vec<Shape>,
}

impl Drawing {
    /// The drawing as an SVG element, which is a whole file too. `label` is its name for screen readers.
    pub fn svg(&self, label: &str) -> String {
        let (w, h) = (number(self.width), number(self.height));
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
             role=\"img\" aria-label=\"{}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"{}\">\n\
             <rect width=\"{w}\" height=\"{h}\" fill=\"#fff\"/>\n",
            escape(label),
            hex(INK)
        );
        self.shapes.iter().for_each(|shape| write_svg(shape, &mut out));
        out.push_str("</svg>\n");
        out
    }

    /// The drawing as pixels.
    pub fn canvas(&self) -> Canvas {
        let mut canvas = Canvas::new(self.width.ceil() as u32, self.height.ceil() as u32);
        self.shapes.iter().for_each(|shape| paint(shape, &mut canvas));
        canvas
    }
}

/// Text for XML and HTML, inside elements and attributes. Characters that XML has no way to write become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

/// At most one decimal: a tenth of a pixel is less than anybody sees.
fn number(value: f32) -> String {
    let tenths = if value.is_finite() { (value * 10.0).round() as i64 } else { 0 };
    match (tenths / 10, tenths % 10) {
        (whole, 0) => whole.to_string(),
        (0, part) if part < 0 => format!("-.{}", -part),
        (0, part) => format!(".{part}"),
        (whole, part) => format!("{whole}.{}", part.abs()),
    }
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn write_svg(shape: &Shape, out: &mut String) {
    // Writing to a string does not fail.
    match shape {
        Shape::Path { lines, color, width } => {
            let mut path = String::new();
            for line in lines.iter().filter(|line| !line.is_empty()) {
                for (i, (x, y)) in line.iter().enumerate() {
                    _ = write!(path, "{}{} {}", if i == 0 { "M" } else { " " }, number(*x), number(*y));
                }
                if line.len() == 1 {
                    path.push_str("h.5");
                }
            }
            let wide =
                if *width == 1.0 { String::new() } else { format!(" stroke-width=\"{}\"", number(*width)) };
            _ = writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"{}\"{wide}/>", hex(*color));
        }
        Shape::Fill { from, to, color } => {
            _ = writeln!(
                out,
                "<path d=\"M{} {}H{}V{}H{}z\" fill=\"{}\"/>",
                number(from.0),
                number(from.1),
                number(to.0),
                number(to.1),
                number(from.0),
                hex(*color)
            );
        }
        Shape::Text { at, words, anchor } => {
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let (x, y) = (number(at.0), number(at.1));
            _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\"{anchor}>{}</text>", escape(words));
        }
        Shape::Group { class, title, shapes } => {
            let class = escape(class);
            _ = if title.is_empty() {
                writeln!(out, "<g class=\"{class}\" pointer-events=\"none\">")
            } else {
                writeln!(out, "<g class=\"{class}\"><title>{}</title>", escape(title))
            };
            shapes.iter().for_each(|part| write_svg(part, out));
            out.push_str("</g>\n");
        }
    }
}

fn paint(shape: &Shape, canvas: &mut Canvas) {
    match shape {
        Shape::Path { lines, color, width } => {
            // A wide line is several of one pixel, about its middle.
            let wide = width.round().max(1.0) as i32;
            let around = (0..wide).map(|k| (k - wide / 2) as f32);
            for (dx, dy) in around.clone().map(|d| (d, 0.0)).chain(around.map(|d| (0.0, d))) {
                let beside = |p: Place| (p.0 + dx, p.1 + dy);
                for line in lines {
                    let next = line.iter().skip(1).chain(line.last());
                    line.iter().zip(next).for_each(|(a, b)| canvas.line(beside(*a), beside(*b), *color));
                }
            }
        }
        // A box that is narrower than a pixel is seen all the same.
        Shape::Fill { from, to, color } => {
            let far = (to.0.max(from.0.floor() + 1.0), to.1.max(from.1.floor() + 1.0));
            canvas.fill(*from, far, *color);
        }
        Shape::Text { at, words, anchor } => {
            let width = LETTER * words.chars().count() as f32;
            let left = match anchor {
                Anchor::Start => at.0,
                Anchor::Middle => at.0 - width / 2.0,
                Anchor::End => at.0 - width,
            };
            canvas.text(left.max(0.0) as u32, (at.1 - LETTER).max(0.0) as u32, words);
        }
        Shape::Group { shapes, .. } => shapes.iter().for_each(|part| paint(part, canvas)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let written = [1.0, 0.04, 0.06, -0.31, -2.55, 1200.25, f32::NAN].map(number);
        assert_eq!(written, ["1", "0", ".1", "-.3", "-2.6", "1200.3", "0"]);
    }

    #[test]
    fn words_cannot_end_their_element() {
        assert_eq!(escape("a<b>&\"'\u{1}c"), "a&lt;b&gt;&amp;&quot;&#39;\u{fffd}c");
    }

    #[test]
    fn svg_and_pixels_show_the_same_shapes() {
        let red = [200, 0, 0];
        let thin = Shape::Fill { from: (4.2, 2.0), to: (4.4, 6.0), color: red };
        let shapes = vec![
            Shape::Group { class: "event", title: "<1>".into(), shapes: vec![thin] },
            Shape::Path {
                lines: vec![vec![(8.0, 1.0)], vec![(10.0, 1.0), (12.0, 1.0)]],
                color: red,
                width: 1.0,
            },
            Shape::text((15.0, 10.0), "I", Anchor::End),
        ];
        let drawing = Drawing { width: 16.0, height: 12.0, shapes };
        let svg = drawing.svg("a \"name\"");
        for part in [
            "aria-label=\"a &quot;name&quot;\"",
            "<g class=\"event\"><title>&lt;1&gt;</title>",
            "M4.2 2H4.4V6H4.2z",
            "M8 1h.5M10 1 12 1",
            "<text x=\"15\" y=\"10\" text-anchor=\"end\">I</text>",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        let png = drawing.canvas().png().expect("encodes");
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("a PNG");
        let mut data = vec![0; 3 * 16 * 12];
        reader.next_frame(&mut data).expect("pixels");
        let pixel = |x: usize, y: usize| [0, 1, 2].map(|k| data[3 * (y * 16 + x) + k]);
        for (x, y) in [(4, 2), (4, 5), (8, 1), (10, 1), (11, 1), (12, 1)] {
            assert_eq!(pixel(x, y), red, "{x} {y}");
        }
        assert_eq!(pixel(9, 1), [255; 3]);
        let inked = (2..10).flat_map(|y| (7..15).map(move |x| (x, y))).filter(|(x, y)| pixel(*x, *y) == INK);
        assert!(inked.count() > 5, "the letter is painted left of its end");
    }
}
