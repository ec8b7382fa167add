//! True displacement fields in the student's frame, without rendering: what each unit of a face moves, on a grid of the
//! student's cells with a margin around it. A movement is a weighted sum of them: a million of them cost minutes.

use glint::au::UNIT_COUNT;
use glint::face::{MIDDLE_X, RIGHT_EYE};
use glint::flow::Flow;
use glint::geometry::Similarity;
use glint::student::{COLUMN_PX, EYE_ROW, ROW_PX, SIDE};
use glint::synth::{Face, Pose, face_to_crop};

/// Cells around the student's frame on each side, so that the frame can be moved.
const MARGIN: usize = 6;
/// Cells a side.
const CELLS: usize = SIDE + 2 * MARGIN;
/// Intensity at which a unit's field is measured; smaller movements are nearly proportional.
const PROBE: f32 = 0.5;
/// Turn at which the fields of yaw and pitch are measured, in radians.
const TURN: f32 = 0.02;

/// One field: displacements of [`CELLS`] x [`CELLS`] cells, in cells.
struct Field {
    u: Vec<f32>,
    v: Vec<f32>,
}

/// The fields of a face.
pub struct Fields {
    /// At full intensity.
    units: Vec<Field>,
    /// Of one radian of yaw and of pitch.
    turns: Vec<Field>,
}

/// Where the student's frame lies on the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Columns and rows by which it is moved.
    pub shift: [f32; 2],
    /// Zoom of columns and rows about its centre.
    pub zoom: [f32; 2],
}

impl Fields {
    /// Measures the fields of a face.
    pub fn measure<F: Face>(face: &F) -> Self {
        // A window in crop pixels: columns and rows as the student's, the margin included.
        let left = MIDDLE_X - (0.5 * (SIDE - 1) as f32 + MARGIN as f32 + 0.5) * COLUMN_PX;
        let top = RIGHT_EYE.y - (EYE_ROW + MARGIN as f32 + 0.5) * ROW_PX;
        let window = Similarity { tx: -left, ty: -top, ..Similarity::IDENTITY }.compose(&face_to_crop(face));
        let size = ((CELLS as f32 * COLUMN_PX).ceil() as usize, (CELLS as f32 * ROW_PX).ceil() as usize);
        let mut rest = F::Posed::default();
        face.place(&Pose::NEUTRAL, &window, &mut rest);
        let mut moved = F::Posed::default();
        let mut flow = Flow::zeros(size.0, size.1);
        let mut field = |pose: &Pose, amount: f32| {
            face.place(pose, &window, &mut moved);
            // What the face does not cover stays NaN and counts nowhere.
            flow.u.fill(f32::NAN);
            flow.v.fill(f32::NAN);
            face.field(&rest, &moved, &mut flow);
            cells(&flow, amount)
        };
        let units = (0..UNIT_COUNT)
            .map(|unit| {
                let mut fractions = [0.0; UNIT_COUNT];
                fractions[unit] = PROBE;
                field(&Pose::of_fractions(&fractions), PROBE)
            })
            .collect();
        let turns = [[TURN, 0.0], [0.0, TURN]].map(|turn| field(&Pose { turn, ..Pose::NEUTRAL }, TURN));
        Self { units, turns: turns.into() }
    }

    /// The field of a movement with a turn of the head (yaw, pitch in radians), in the frame at `place`.
    pub fn movement(&self, fractions: &[f32; UNIT_COUNT], turn: [f32; 2], place: &Place) -> Flow {
        let mut sum = Field { u: vec![0.0; CELLS * CELLS], v: vec![0.0; CELLS * CELLS] };
        let weighted = self.units.iter().zip(fractions).chain(self.turns.iter().zip(&turn));
        for (field, &w) in weighted.filter(|(_, w)| **w != 0.0) {
            sum.u.iter_mut().zip(&field.u).for_each(|(s, f)| *s += w * f);
            sum.v.iter_mut().zip(&field.v).for_each(|(s, f)| *s += w * f);
        }
        let at = |k: usize, axis: usize| {
            let middle = 0.5 * (SIDE - 1) as f32;
            let x = (k as f32 - middle) * place.zoom[axis] + middle + place.shift[axis] + MARGIN as f32;
            x.clamp(0.0, CELLS as f32 - 1.001)
        };
        let mut out = Flow::zeros(SIDE, SIDE);
        for y in 0..SIDE {
            let gy = at(y, 1);
            for x in 0..SIDE {
                let gx = at(x, 0);
                out.u[y * SIDE + x] = bilinear(&sum.u, gx, gy);
                out.v[y * SIDE + x] = bilinear(&sum.v, gx, gy);
            }
        }
        out
    }
}

fn bilinear(plane: &[f32], x: f32, y: f32) -> f32 {
    let (ix, iy) = (x as usize, y as usize);
    let (fx, fy) = (x - ix as f32, y - iy as f32);
    let row = |y: usize| {
        let at = y * CELLS + ix;
        plane[at] + fx * (plane[at + 1] - plane[at])
    };
    row(iy) + fy * (row(iy + 1) - row(iy))
}

/// Means over the cells of a window, in cells, for a unit amount.
fn cells(flow: &Flow, amount: f32) -> Field {
    let mean = |plane: &[f32], pitch: f32| -> Vec<f32> {
        (0..CELLS * CELLS)
            .map(|i| {
                let (x, y) = ((i % CELLS) as f32, (i / CELLS) as f32);
                let rows = (y * ROW_PX) as usize..(((y + 1.0) * ROW_PX) as usize).min(flow.height);
                let columns = (x * COLUMN_PX) as usize..(((x + 1.0) * COLUMN_PX) as usize).min(flow.width);
                let values = rows.flat_map(|r| &plane[r * flow.width..][columns.clone()]);
                let (sum, n) =
                    values.filter(|v| v.is_finite()).fold((0.0, 0.0), |(s, n), v| (s + v, n + 1.0));
                if n > 0.0 { sum / n / pitch / amount } else { 0.0 }
            })
            .collect()
    };
    Field { u: mean(&flow.u, COLUMN_PX), v: mean(&flow.v, ROW_PX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glint::au::{Side, unit_indices};
    use glint::student::resample;
    use glint::synth::{Pack, Subject, displacement};

    #[test]
    fn a_sum_of_fields_is_the_field_of_the_movement() {
        let face = Subject::random(Pack::embedded().expect("pack"), 3);
        let fields = Fields::measure(&face);
        let mut fractions = [0.0; UNIT_COUNT];
        unit_indices(12, Side::Both).for_each(|k| fractions[k] = 0.3);
        unit_indices(4, Side::Left).for_each(|k| fractions[k] = 0.2);
        let here = Place { shift: [0.0; 2], zoom: [1.0; 2] };
        let sum = fields.movement(&fractions, [0.0; 2], &here);
        let whole = resample(&displacement(&face, &fractions));
        // The crop ends two rows above the last one; the grid does not.
        let inner = |f: &Flow, x: usize, y: usize| [f.u[y * SIDE + x], f.v[y * SIDE + x]];
        let (mut error, mut size) = (0.0f32, 0.0f32);
        for (x, y) in (2..26).flat_map(|x| (2..24).map(move |y| (x, y))) {
            for (a, b) in inner(&sum, x, y).into_iter().zip(inner(&whole, x, y)) {
                error += (a - b).powi(2);
                size += b * b;
            }
        }
        assert!(error < 0.05 * size, "{error} of {size}");
        // A frame that is moved down by two rows sees everything two rows higher.
        let moved = fields.movement(&fractions, [0.0; 2], &Place { shift: [0.0, 2.0], zoom: [1.0; 2] });
        assert!((moved.v[16 * SIDE + 10] - sum.v[18 * SIDE + 10]).abs() < 1e-6);
        // A turn to the image's right moves the nose there.
        let turned = fields.movement(&[0.0; UNIT_COUNT], [0.01, 0.0], &here);
        assert!(turned.u[14 * SIDE + 13] > 0.02, "{}", turned.u[14 * SIDE + 13]);
    }
}
