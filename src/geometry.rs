//! Points, boxes and similarity transforms in image coordinates.
//!
//! Pixel centres lie on whole numbers: the pixel (0, 0) covers -0.5..0.5. x grows to the right and
//! y downwards.

/// A point or a displacement, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// To the right, in pixels.
    pub x: f32,
    /// Downwards, in pixels.
    pub y: f32,
}

impl Point {
    /// The point (x, y).
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// Euclidean distance to `other` in pixels.
    pub fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// The point half way to `other`.
    pub fn midpoint(self, other: Self) -> Self {
        Self::new(0.5 * (self.x + other.x), 0.5 * (self.y + other.y))
    }
}

/// An axis-aligned box: left, top, width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rect {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

impl Rect {
    /// Area in square pixels.
    pub fn area(self) -> f32 {
        self.w.max(0.0) * self.h.max(0.0)
    }

    /// Centre of the box.
    pub fn center(self) -> Point {
        Point::new(self.x + 0.5 * self.w, self.y + 0.5 * self.h)
    }

    /// Intersection over union with `other`, 0 to 1.
    pub fn iou(self, other: Self) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        let inter = w.max(0.0) * h.max(0.0);
        let union = self.area() + other.area() - inter;
        if union > 0.0 { inter / union } else { 0.0 }
    }
}

/// A similarity transform: `x' = a x - b y + tx`, `y' = b x + a y + ty`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Scale times the cosine of the angle.
    pub a: f32,
    /// Scale times the sine of the angle.
    pub b: f32,
    /// Translation in x, in pixels of the target.
    pub tx: f32,
    /// Translation in y, in pixels of the target.
    pub ty: f32,
}

impl Similarity {
    /// The transform that changes nothing.
    pub const IDENTITY: Self = Self { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };

    /// The image of `p`.
    pub fn apply(&self, p: Point) -> Point {
        Point::new(self.a * p.x - self.b * p.y + self.tx, self.b * p.x + self.a * p.y + self.ty)
    }

    /// Scale factor.
    pub fn scale(&self) -> f32 {
        self.a.hypot(self.b)
    }

    /// Angle in radians; positive turns x towards y.
    pub fn angle(&self) -> f32 {
        self.b.atan2(self.a)
    }

    /// The transform that applies `inner` first and `self` then.
    pub fn compose(&self, inner: &Self) -> Self {
        let t = self.apply(Point::new(inner.tx, inner.ty));
        Self {
            a: self.a * inner.a - self.b * inner.b,
            b: self.a * inner.b + self.b * inner.a,
            tx: t.x,
            ty: t.y,
        }
    }

    /// The inverse transform. A transform of scale 0 has none; the result is then not finite.
    pub fn inverse(&self) -> Self {
        let n = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / n, -self.b / n);
        Self { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) }
    }

    /// The transform that takes the two points `from` to the two points `to` exactly.
    pub fn from_two_points(from: [Point; 2], to: [Point; 2]) -> Self {
        let (dx, dy) = (from[1].x - from[0].x, from[1].y - from[0].y);
        let (ex, ey) = (to[1].x - to[0].x, to[1].y - to[0].y);
        let n = dx * dx + dy * dy;
        let (a, b) = ((dx * ex + dy * ey) / n, (dx * ey - dy * ex) / n);
        Self {
            a,
            b,
            tx: to[0].x - a * from[0].x + b * from[0].y,
            ty: to[0].y - b * from[0].x - a * from[0].y,
        }
    }

    /// Least-squares similarity from the points `from` to `to` (Umeyama 1991, without reflection).
    /// `None` for fewer than two pairs or for points that all coincide.
    pub fn fit(from: &[Point], to: &[Point]) -> Option<Self> {
        let n = from.len().min(to.len());
        if n < 2 {
            return None;
        }
        let mean = |p: &[Point]| {
            let s = p[..n].iter().fold((0.0f64, 0.0f64), |s, p| (s.0 + f64::from(p.x), s.1 + f64::from(p.y)));
            (s.0 / n as f64, s.1 / n as f64)
        };
        let ((mx, my), (nx, ny)) = (mean(from), mean(to));
        let (mut dot, mut cross, mut norm) = (0.0f64, 0.0f64, 0.0f64);
        for (p, q) in from.iter().zip(to) {
            let (px, py) = (f64::from(p.x) - mx, f64::from(p.y) - my);
            let (qx, qy) = (f64::from(q.x) - nx, f64::from(q.y) - ny);
            dot += px * qx + py * qy;
            cross += px * qy - py * qx;
            norm += px * px + py * py;
        }
        if norm <= 0.0 {
            return None;
        }
        let (a, b) = (dot / norm, cross / norm);
        Some(Self {
            a: a as f32,
            b: b as f32,
            tx: (nx - a * mx + b * my) as f32,
            ty: (ny - b * mx - a * my) as f32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::ROUNDING;
    use proptest::prelude::*;

    fn near(p: Point, q: Point, tolerance: f32) -> bool {
        p.distance(q) <= tolerance
    }

    proptest! {
        #[test]
        fn inverse_undoes(scale in 0.2f32..5.0, angle in -3.0f32..3.0, tx in -100f32..100.0, ty in -100f32..100.0,
                          x in -200f32..200.0, y in -200f32..200.0) {
            let s = Similarity { a: scale * angle.cos(), b: scale * angle.sin(), tx, ty };
            let p = Point::new(x, y);
            prop_assert!(near(s.inverse().apply(s.apply(p)), p, 2e-3 / scale.min(1.0)));
            prop_assert!(near(s.compose(&s.inverse()).apply(p), p, 2e-3 * scale.max(1.0)));
        }

        #[test]
        fn fit_finds_the_transform(scale in 0.2f32..5.0, angle in -3.0f32..3.0, tx in -100f32..100.0, ty in -100f32..100.0) {
            let s = Similarity { a: scale * angle.cos(), b: scale * angle.sin(), tx, ty };
            let from = [Point::new(0.0, 0.0), Point::new(64.0, 3.0), Point::new(20.0, 90.0), Point::new(-7.0, 31.0)];
            let to = from.map(|p| s.apply(p));
            let f = Similarity::fit(&from, &to).expect("four distinct points");
            let g = Similarity::from_two_points([from[0], from[1]], [to[0], to[1]]);
            for p in from {
                prop_assert!(near(f.apply(p), s.apply(p), 1e-2));
                prop_assert!(near(g.apply(p), s.apply(p), 1e-2));
            }
        }
    }

    #[test]
    fn iou_of_halves() {
        let a = Rect { x: 0.0, y: 0.0, w: 2.0, h: 1.0 };
        let b = Rect { x: 1.0, y: 0.0, w: 2.0, h: 1.0 };
        assert!((a.iou(b) - 1.0 / 3.0).abs() < ROUNDING);
        assert_eq!(a.iou(Rect::default()), 0.0);
    }
}
