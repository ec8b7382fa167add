//! Delaunay triangulation.

use glint::geometry::Point;

/// Delaunay triangulation by insertion (Bowyer 1981, Watson 1981).
pub fn triangulate(points: &[Point]) -> Vec<[u16; 3]> {
    let n = points.len();
    // A whisper of displacement breaks ties of points that coincide or lie on a circle.
    let shake = |i: usize, p: Point| {
        Point::new(
            p.x + 1e-3 * ((i * 7919 % 101) as f32 / 101.0),
            p.y + 1e-3 * ((i * 104_729 % 103) as f32 / 103.0),
        )
    };
    let mut all: Vec<[f64; 2]> = points
        .iter()
        .enumerate()
        .map(|(i, &p)| shake(i, p))
        .map(|p| [f64::from(p.x), f64::from(p.y)])
        .collect();
    all.extend([[-1e5, -1e5], [1e5, -1e5], [0.0, 2e5]]);
    let mut triangles: Vec<[usize; 3]> = vec![[n, n + 1, n + 2]];
    for i in 0..n {
        let p = all[i];
        let (bad, kept): (Vec<_>, Vec<_>) = triangles.into_iter().partition(|t| in_circle(&all, t, p));
        let mut edges: Vec<[usize; 2]> = Vec::new();
        for t in &bad {
            for [a, b] in [[t[0], t[1]], [t[1], t[2]], [t[2], t[0]]] {
                match edges.iter().position(|e| *e == [b, a]) {
                    Some(at) => {
                        edges.swap_remove(at);
                    }
                    None => edges.push([a, b]),
                }
            }
        }
        triangles = kept;
        triangles.extend(edges.into_iter().map(|[a, b]| [a, b, i]));
    }
    triangles.retain(|t| t.iter().all(|&v| v < n));
    triangles.into_iter().map(|t| t.map(|v| v as u16)).collect()
}

/// Whether `p` lies in the circle through a counter-clockwise triangle.
fn in_circle(all: &[[f64; 2]], t: &[usize; 3], p: [f64; 2]) -> bool {
    let d = t.map(|i| [all[i][0] - p[0], all[i][1] - p[1]]);
    let n = d.map(|v| v[0] * v[0] + v[1] * v[1]);
    let det = d[0][0] * (d[1][1] * n[2] - d[2][1] * n[1]) - d[0][1] * (d[1][0] * n[2] - d[2][0] * n[1])
        + n[0] * (d[1][0] * d[2][1] - d[2][0] * d[1][1]);
    det > 0.0
}

/// Orients every triangle so that the renderer sees its face.
pub fn orient(points: &[Point], triangles: Vec<[u16; 3]>) -> Vec<[u16; 3]> {
    triangles
        .into_iter()
        .map(|[a, b, c]| {
            let [p, q, r] = [a, b, c].map(|i| points[usize::from(i)]);
            let area = (q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x);
            if area >= 0.0 { [a, b, c] } else { [a, c, b] }
        })
        .collect()
}

/// Makes the segment between two vertices an edge, by flipping the edges that cross it (Sloan 1993).
/// False when that does not succeed: a vertex lies on the segment.
pub fn force_edge(points: &[Point], triangles: &mut [[u16; 3]], from: u16, to: u16) -> bool {
    let at = |i: u16| points[usize::from(i)];
    let side = |a: u16, b: u16, p: u16| {
        let (a, b, p) = (at(a), at(b), at(p));
        (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x)
    };
    let crosses = |a: u16, b: u16, c: u16, d: u16| {
        side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0
    };
    for _ in 0..64 {
        if triangles.iter().any(|t| t.contains(&from) && t.contains(&to)) {
            return true;
        }
        // Two triangles on both sides of an edge that crosses the segment, in a convex quadrilateral.
        let mut flip = None;
        'search: for (n, t) in triangles.iter().enumerate() {
            for [a, b, p] in [[t[0], t[1], t[2]], [t[1], t[2], t[0]], [t[2], t[0], t[1]]] {
                if [a, b].contains(&from) || [a, b].contains(&to) || !crosses(from, to, a, b) {
                    continue;
                }
                let other =
                    triangles.iter().enumerate().skip(n + 1).find(|(_, o)| o.contains(&a) && o.contains(&b));
                if let Some((m, o)) = other
                    && let Some(&q) = o.iter().find(|v| **v != a && **v != b)
                    && crosses(p, q, a, b)
                {
                    flip = Some((n, m, [a, p, q], [b, p, q]));
                    // An edge that ends at the segment's end comes first: it makes sure progress.
                    if [p, q].contains(&from) || [p, q].contains(&to) {
                        break 'search;
                    }
                }
            }
        }
        let Some((n, m, one, two)) = flip else { return false };
        (triangles[n], triangles[m]) = (one, two);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_can_be_forced() {
        let points: Vec<Point> =
            (0..36).map(|i| Point::new((i % 6) as f32 + 0.1 * (i * i % 7) as f32, (i / 6) as f32)).collect();
        let mut triangles = triangulate(&points);
        assert!(!triangles.iter().any(|t| t.contains(&7) && t.contains(&29)));
        assert!(force_edge(&points, &mut triangles, 7, 29));
        let triangles = orient(&points, triangles);
        assert!(triangles.iter().any(|t| t.contains(&7) && t.contains(&29)));
    }

    #[test]
    fn triangles_cover_the_square_once() {
        let points: Vec<Point> =
            (0..36).map(|i| Point::new((i % 6) as f32 + 0.1 * (i * i % 7) as f32, (i / 6) as f32)).collect();
        let triangles = orient(&points, triangulate(&points));
        let area: f32 = triangles
            .iter()
            .map(|t| {
                let [p, q, r] = t.map(|i| points[usize::from(i)]);
                0.5 * ((q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x))
            })
            .sum();
        // The hull is a little less than 5.6 x 5.
        assert!((24.0..28.1).contains(&area), "{area}");
    }
}
