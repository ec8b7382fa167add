//! The mesh of the synthetic subject: MediaPipe's landmarks, rings around the head, soft edges of
//! lids and lips, and behind them the eyes and the inside of the mouth.

use anyhow::{Result, ensure};
use glint::geometry::Point;
use glint::synth::{MESH_LANDMARKS, MOUTH_COLUMNS, MOUTH_LINE, MOUTH_ROWS, TEXTURE_HEIGHT};

use super::delaunay::{force_edge, orient, triangulate};

/// MediaPipe's face oval.
#[rustfmt::skip]
const OVAL: [usize; 36] = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
];
/// Rings around the oval: distance from the middle of the face in units of the oval's, opacity, and
/// depth behind the oval's in texture pixels.
const RINGS: [(f32, f32, f32); 3] = [(1.16, 1.0, 14.0), (1.34, 0.9, 32.0), (1.52, 0.0, 44.0)];
/// Landmarks of the skin; those from here on are the irises.
const SKIN_LANDMARKS: usize = 468;

/// Lip rings from the corner at the left of the image to the other one: upper and lower half, and
/// where between the outer (0) and the inner (1) contour each lies.
#[rustfmt::skip]
pub const LIP_RINGS: [([usize; 11], [usize; 11], f32); 4] = [
    ([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291], [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291], 0.0),
    ([76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306], [76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306], 0.33),
    ([62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292], [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292], 0.67),
    ([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308], [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308], 1.0),
];

/// Rims of the lids from the corner at the left of the image to the other one, upper and lower: the
/// eye at the left of the image (the subject's right one) first.
#[rustfmt::skip]
pub const LIDS: [[[usize; 9]; 2]; 2] = [
    [[33, 246, 161, 160, 159, 158, 157, 173, 133], [33, 7, 163, 144, 145, 153, 154, 155, 133]],
    [[362, 398, 384, 385, 386, 387, 388, 466, 263], [362, 382, 381, 380, 374, 373, 390, 249, 263]],
];

/// Gap between closed lips, in texture pixels: they overlap a little, so that no tooth shows where
/// both move alike.
const LIP_GAP: f32 = -0.6;
/// Width of the soft edge of lids and lips, in texture pixels.
const FEATHER: f32 = 1.2;

/// How a vertex moves with the landmarks.
#[derive(Clone)]
struct Vertex {
    /// Affine combination of landmarks that gives its place.
    place: Vec<(usize, f32)>,
    /// Added to it.
    offset: Point,
    /// Combination of landmarks whose displacement by units and shape modes it follows.
    units: Vec<(usize, f32)>,
    modes: Vec<(usize, f32)>,
    source: Point,
    depth: f32,
    alpha: f32,
    gaze: f32,
}

/// The mesh without any displacement.
pub struct Mesh {
    vertices: Vec<Vertex>,
    /// Triangles in drawing order.
    pub triangles: Vec<[u16; 3]>,
    /// Vertices that a portrait has too (landmarks and rings), and a triangulation of them without
    /// holes: for carrying portraits onto the mean shape.
    pub portrait_vertices: usize,
    /// That triangulation.
    pub portrait_triangles: Vec<[u16; 3]>,
}

/// Contour of a hole from its upper and lower half, both in the same direction.
fn contour(upper: &[usize], lower: &[usize]) -> Vec<usize> {
    upper.iter().chain(lower[1..lower.len() - 1].iter().rev()).copied().collect()
}

fn inside(polygon: &[Point], p: Point) -> bool {
    (0..polygon.len()).fold(false, |odd, i| {
        let (a, b) = (polygon[i], polygon[(i + 1) % polygon.len()]);
        let crosses = (a.y > p.y) != (b.y > p.y) && p.x < a.x + (p.y - a.y) / (b.y - a.y) * (b.x - a.x);
        odd != crosses
    })
}

/// The place of the rings around any face of 478 landmarks.
pub fn surround(landmarks: &[Point]) -> Vec<Point> {
    let middle = landmarks[168].midpoint(landmarks[4]);
    let ring = |(distance, ..): &(f32, f32, f32)| {
        let distance = *distance;
        OVAL.map(|i| {
            let p = landmarks[i];
            Point::new(middle.x + distance * (p.x - middle.x), middle.y + distance * (p.y - middle.y))
        })
    };
    landmarks.iter().copied().chain(RINGS.iter().flat_map(ring)).collect()
}

/// Closes the mouth of a shape but for a gap. Without a gap it is a linear map.
pub fn close_mouth(shape: &mut [f32], gap: f32) {
    let (inner_up, inner_low, _) = LIP_RINGS[3];
    // Half of what separates the inner contours, at each place along the lips.
    let half: [[f32; 2]; 11] = std::array::from_fn(|i| {
        let [dx, dy] = [0, 1].map(|k| 0.5 * (shape[2 * inner_low[i] + k] - shape[2 * inner_up[i] + k]));
        let open = gap * (1.0 - ((i as f32 - 5.0) / 5.0).powi(2));
        [dx, dy - 0.5 * open]
    });
    for (upper, lower, depth) in LIP_RINGS {
        for i in 1..10 {
            for k in 0..2 {
                shape[2 * upper[i] + k] += depth * half[i][k];
                shape[2 * lower[i] + k] -= depth * half[i][k];
            }
        }
    }
}

impl Mesh {
    /// The mesh around the mean `landmarks`, whose depths are `depth`.
    pub fn new(landmarks: &[Point], depth: &[f32]) -> Result<Self> {
        let mut vertices: Vec<Vertex> = (0..MESH_LANDMARKS)
            .map(|i| Vertex {
                place: vec![(i, 1.0)],
                offset: Point::default(),
                units: vec![(i, 1.0)],
                modes: vec![(i, 1.0)],
                source: landmarks[i],
                depth: depth[i],
                alpha: 1.0,
                gaze: 0.0,
            })
            .collect();
        let around = surround(landmarks);
        for (k, (distance, alpha, behind)) in RINGS.into_iter().enumerate() {
            let share = 1.0 - (k + 1) as f32 / RINGS.len() as f32;
            for (n, i) in OVAL.into_iter().enumerate() {
                let rest = 0.5 * (1.0 - distance);
                let seen = around[MESH_LANDMARKS + k * OVAL.len() + n];
                vertices.push(Vertex {
                    place: vec![(i, distance), (168, rest), (4, rest)],
                    offset: Point::default(),
                    // The head around the face follows it, fading out.
                    units: vec![(i, share)],
                    modes: vec![(i, share)],
                    // Below the face's texture lies the inside of the mouth, in reductions a little higher.
                    source: Point::new(seen.x, seen.y.min(TEXTURE_HEIGHT as f32 - 9.0)),
                    depth: depth[i] - behind,
                    alpha,
                    gaze: 0.0,
                });
            }
        }
        let portrait_vertices = vertices.len();

        let all = triangulate(&around);
        let skin_only: Vec<Point> = [&around[..SKIN_LANDMARKS], &around[MESH_LANDMARKS..]].concat();
        let rename = |i: u16| {
            if usize::from(i) < SKIN_LANDMARKS { i } else { i + (MESH_LANDMARKS - SKIN_LANDMARKS) as u16 }
        };
        let mut skin: Vec<[u16; 3]> = triangulate(&skin_only).into_iter().map(|t| t.map(rename)).collect();

        let (mouth_up, mouth_low, _) = LIP_RINGS[3];
        let holes = [
            contour(&LIDS[0][0], &LIDS[0][1]),
            contour(&LIDS[1][0], &LIDS[1][1]),
            contour(&mouth_up, &mouth_low),
        ];
        let outlines: Vec<Vec<Point>> =
            holes.iter().map(|h| h.iter().map(|&i| landmarks[i]).collect()).collect();
        for hole in &holes {
            for (i, &a) in hole.iter().enumerate() {
                let b = hole[(i + 1) % hole.len()];
                let forced = force_edge(&around, &mut skin, a as u16, b as u16);
                ensure!(forced, "the triangulation crosses the rim of a hole between {a} and {b}");
            }
        }
        let (front, _): (Vec<_>, Vec<_>) = skin.into_iter().partition(|t| {
            let [a, b, c] = t.map(|i| around[usize::from(i)]);
            let middle = Point::new((a.x + b.x + c.x) / 3.0, (a.y + b.y + c.y) / 3.0);
            !outlines.iter().any(|o| inside(o, middle))
        });

        let mut behind = Vec::new();
        for hole in &holes[..2] {
            add_eye(&mut vertices, &mut behind, hole, landmarks, depth);
        }
        add_mouth(&mut vertices, &mut behind, landmarks, depth);
        let mut edges = Vec::new();
        for (k, hole) in holes.iter().enumerate() {
            let halves: [&[usize]; 2] =
                if k < 2 { [&LIDS[k][0], &LIDS[k][1]] } else { [&mouth_up, &mouth_low] };
            add_feather(&mut vertices, &mut edges, hole, halves);
        }
        let places: Vec<Point> = vertices.iter().map(|v| v.at(landmarks)).collect();
        let triangles = [behind, front, edges].concat();
        Ok(Self {
            triangles: orient(&places, triangles),
            portrait_triangles: orient(&around, all),
            portrait_vertices,
            vertices,
        })
    }

    /// Places of all vertices on the shape `landmarks` (x, y of each).
    pub fn places(&self, landmarks: &[f32]) -> Vec<f32> {
        let points: Vec<Point> = landmarks.chunks_exact(2).map(|p| Point::new(p[0], p[1])).collect();
        self.vertices
            .iter()
            .flat_map(|v| {
                let p = v.at(&points);
                [p.x, p.y]
            })
            .collect()
    }

    /// Carries a shape mode of the landmarks over to all vertices.
    pub fn carry_mode(&self, mode: &[f32]) -> Vec<f32> {
        self.vertices.iter().flat_map(|v| combine(&v.modes, mode)).collect()
    }

    /// Carries the displacement of the landmarks by a unit over to all vertices.
    pub fn carry_unit(&self, unit: &[f32]) -> Vec<f32> {
        self.vertices.iter().flat_map(|v| combine(&v.units, unit)).collect()
    }

    /// Texture coordinates of all vertices.
    pub fn source(&self) -> Vec<f32> {
        self.vertices.iter().flat_map(|v| [v.source.x, v.source.y]).collect()
    }

    /// Depth, opacity and share of the gaze of all vertices.
    pub fn attributes(&self) -> [Vec<f32>; 3] {
        let column = |get: fn(&Vertex) -> f32| self.vertices.iter().map(get).collect();
        [column(|v| v.depth), column(|v| v.alpha), column(|v| v.gaze)]
    }
}

fn combine(weights: &[(usize, f32)], values: &[f32]) -> [f32; 2] {
    [0, 1].map(|k| weights.iter().map(|&(i, w)| w * values[2 * i + k]).sum())
}

impl Vertex {
    fn at(&self, landmarks: &[Point]) -> Point {
        let sum = |get: fn(Point) -> f32| self.place.iter().map(|&(i, w)| w * get(landmarks[i])).sum::<f32>();
        Point::new(sum(|p| p.x) + self.offset.x, sum(|p| p.y) + self.offset.y)
    }
}

/// The eyeball: a disc behind the lids that neither units nor lids move, and the gaze does. Beyond
/// the neutral lids its texture is drawn outwards, for eyes that open wide.
fn add_eye(
    vertices: &mut Vec<Vertex>,
    triangles: &mut Vec<[u16; 3]>,
    rim: &[usize],
    landmarks: &[Point],
    depth: &[f32],
) {
    let n = rim.len();
    let middle: Vec<(usize, f32)> = rim.iter().map(|&i| (i, 1.0 / n as f32)).collect();
    let at = |w: &[(usize, f32)]| {
        w.iter().fold(Point::default(), |s, &(i, w)| {
            Point::new(s.x + w * landmarks[i].x, s.y + w * landmarks[i].y)
        })
    };
    let center = at(&middle);
    let half_width = 0.5 * (landmarks[rim[0]].distance(landmarks[rim[n / 2]]));
    let z = depth[rim[n / 4]];
    let first = vertices.len();
    let mut push = |place: Vec<(usize, f32)>, source: Point, gaze: f32| {
        vertices.push(Vertex {
            modes: place.clone(),
            place,
            offset: Point::default(),
            units: Vec::new(),
            source,
            depth: z,
            alpha: 1.0,
            gaze,
        });
    };
    push(middle.clone(), center, 1.0);
    // Radius of each ring relative to the rim, where its texture lies, and how far it goes up and down.
    for (radius, texture, stretch) in [(0.5f32, 0.5f32, 1.0f32), (1.0, 0.9, 1.0), (1.12, 0.82, 1.7)] {
        for &i in rim {
            let sideways = ((landmarks[i].x - center.x) / half_width).clamp(-1.0, 1.0);
            let reach = radius * (1.0 + (stretch - 1.0) * (1.0 - sideways * sideways));
            let place: Vec<(usize, f32)> =
                middle.iter().map(|&(j, w)| (j, w * (1.0 - reach))).chain([(i, reach)]).collect();
            let source = Point::new(
                center.x + texture * (landmarks[i].x - center.x),
                center.y + texture * (landmarks[i].y - center.y),
            );
            // The iris fills the height of the opening; at the corners of the eye nothing moves.
            let gaze = (1.0 - (radius * sideways).powi(2)).max(0.0);
            push(place, source, gaze);
        }
    }
    for i in 0..n {
        let next = (i + 1) % n;
        let ring = |r: usize, i: usize| (first + 1 + r * n + i) as u16;
        triangles.push([first as u16, ring(0, i), ring(0, next)]);
        for r in 0..2 {
            triangles.push([ring(r, i), ring(r + 1, i), ring(r + 1, next)]);
            triangles.push([ring(r, i), ring(r + 1, next), ring(r, next)]);
        }
    }
}

/// The inside of the mouth: a rectangle that stays with the skull.
fn add_mouth(vertices: &mut Vec<Vertex>, triangles: &mut Vec<[u16; 3]>, landmarks: &[Point], depth: &[f32]) {
    let (left, right) = (LIP_RINGS[3].0[0], LIP_RINGS[3].0[10]);
    let (upper, lower) = (LIP_RINGS[3].0[5], LIP_RINGS[3].1[5]);
    let half = 0.5 * landmarks[left].distance(landmarks[right]);
    // One pixel of the picture is one of the texture, stretched to the width of the mouth.
    let stretch = (half + 8.0) / (0.5 * MOUTH_COLUMNS as f32);
    let first = vertices.len() as u16;
    for (x, y) in [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)] {
        let (px, py) = (x * (MOUTH_COLUMNS - 1) as f32, y * (MOUTH_ROWS - 2) as f32);
        // Height of the lips' meeting, width of the corners.
        let place = vec![(upper, 0.5), (lower, 0.5)];
        vertices.push(Vertex {
            modes: place.clone(),
            place,
            offset: Point::new(stretch * (px - 0.5 * (MOUTH_COLUMNS - 1) as f32), py - MOUTH_LINE),
            units: Vec::new(),
            source: Point::new(px, TEXTURE_HEIGHT as f32 + 0.5 + py),
            depth: depth[upper] - 8.0,
            alpha: 1.0,
            gaze: 0.0,
        });
    }
    triangles.push([first, first + 1, first + 2]);
    triangles.push([first, first + 2, first + 3]);
}

/// A strip along the rim of a hole that fades into what lies behind, so that the rim moves by
/// fractions of a pixel without steps.
fn add_feather(
    vertices: &mut Vec<Vertex>,
    triangles: &mut Vec<[u16; 3]>,
    rim: &[usize],
    halves: [&[usize]; 2],
) {
    let first = vertices.len();
    for &i in rim {
        let [upper, lower] = halves.map(|h| h.contains(&i));
        let (dx, dy) = match (upper, lower) {
            (true, true) => (if i == rim[0] { 1.0 } else { -1.0 }, 0.0),
            (true, false) => (0.0, 1.0),
            _ => (0.0, -1.0),
        };
        let mut v = vertices[i].clone();
        v.offset = Point::new(FEATHER * dx, FEATHER * dy);
        v.alpha = 0.0;
        vertices.push(v);
    }
    for i in 0..rim.len() {
        let next = (i + 1) % rim.len();
        let edge = |i: usize| (first + i) as u16;
        triangles.push([rim[i] as u16, rim[next] as u16, edge(next)]);
        triangles.push([rim[i] as u16, edge(next), edge(i)]);
    }
}

/// The shape of a subject at rest from the mean shape.
pub fn rest(mean: &[f32]) -> Vec<f32> {
    let mut shape = mean.to_vec();
    close_mouth(&mut shape, LIP_GAP);
    shape
}
