//! What detector networks look like from outside: shapes in, shapes out, and how boxes are coded.
//!
//! Three layouts are known, told apart by the names of their outputs:
//!
//! | layout | input | outputs | box |
//! |---|---|---|---|
//! | glint | `[1, 1, h, w]`, luma | `score_S` `[1, 1, h/S, w/S]` and `box_S` `[1, 4, h/S, w/S]` for each stride S | shift from the cell's centre in strides, log of the size over 3 S |
//! | YuNet (Wu et al. 2023; `libfacedetection.train`) | `[1, 3, h, w]`, blue, green, red 0..255 | `cls_S`, `obj_S` `[1, n, 1]`, `bbox_S` `[1, n, 4]` for S = 8, 16, 32 | centre from the cell's corner in strides, log of the size over S |
//! | Ultra-Light (Linzaer 2019, `version-slim` and `version-RFB`) | `[1, 3, h, w]`, (luma - 127) / 128 | `scores` `[1, n, 2]`, `boxes` `[1, n, 4]` | against the anchors of `anchors` as in SSD (Liu et al. 2016); in a file that decodes them itself (it has an `Exp`) corners as shares of the input |

use crate::geometry::Rect;
use crate::model::{Interface, normalise_luma};

/// Sides of an input, in pixels, that are accepted.
const SIDES: std::ops::RangeInclusive<usize> = 32..=1280;
/// Strides of YuNet's grids.
const YUNET_STRIDES: [usize; 3] = [8, 16, 32];
/// Side of a face whose logarithmic size is 0, in strides, in glint's own layout.
pub const UNIT_STRIDES: f32 = 3.0;

/// A face in the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Detection {
    /// Extent of the 68 landmarks in frame pixels.
    pub bounds: Rect,
    /// 0 to 1.
    pub score: f32,
}

/// A grid of glint's own layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    stride: usize,
    score: usize,
    bounds: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Glint(Vec<Grid>),
    /// Indices of the outputs `cls`, `obj`, `bbox` of each stride.
    YuNet([[usize; 3]; 3]),
    /// Indices of `scores` and `boxes`, and the anchors where boxes are coded against them.
    UltraLight([usize; 2], Option<Vec<Rect>>),
}

/// A detector's layout: what to feed and how to read.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorLayout {
    kind: Kind,
    /// Channels of the input: 1 or 3.
    pub channels: usize,
    /// Columns of the input.
    pub width: usize,
    /// Rows of the input.
    pub height: usize,
    /// Numbers in each output, in the file's order.
    pub outputs: Vec<usize>,
}

/// A box as others draw it (WIDER FACE: forehead to chin, without the ears) to the extent of the 68 landmarks: shifts
/// of the centre and factors of the sides, as shares of the box. Means over the portraits that may train.
struct Convention {
    shift: [f32; 2],
    size: [f32; 2],
}

const YUNET_BOX: Convention = Convention { shift: [0.0, 0.132], size: [1.01, 0.727] };
const ULTRA_LIGHT_BOX: Convention = Convention { shift: [0.0, 0.073], size: [1.03, 0.704] };

/// Anchors of Ultra-Light for an input of `width` x `height`: boxes in input pixels, in the order of its outputs.
fn anchors(width: usize, height: usize) -> Vec<Rect> {
    const SIDES: [(usize, &[f32]); 4] =
        [(8, &[10.0, 16.0, 24.0]), (16, &[32.0, 48.0]), (32, &[64.0, 96.0]), (64, &[128.0, 192.0, 256.0])];
    let mut out = Vec::new();
    for (stride, sides) in SIDES {
        let cells =
            (0..height.div_ceil(stride)).flat_map(|y| (0..width.div_ceil(stride)).map(move |x| (x, y)));
        for (x, y) in cells {
            for &side in sides {
                // The published anchors are clipped to the image, centre and sides alike.
                let center =
                    |cell: usize, limit: usize| ((cell as f32 + 0.5) * stride as f32).min(limit as f32);
                let (w, h) = (side.min(width as f32), side.min(height as f32));
                out.push(Rect { x: center(x, width) - 0.5 * w, y: center(y, height) - 0.5 * h, w, h });
            }
        }
    }
    out
}

/// Variances of SSD's coding: of centres and of sides.
const VARIANCES: [f32; 2] = [0.1, 0.2];

impl Convention {
    fn apply(&self, b: Rect) -> Rect {
        let c = b.center();
        let (w, h) = (self.size[0] * b.w, self.size[1] * b.h);
        Rect { x: c.x + self.shift[0] * b.w - 0.5 * w, y: c.y + self.shift[1] * b.h - 0.5 * h, w, h }
    }
}

impl DetectorLayout {
    /// Recognises a network from its declared inputs and outputs, and checks every shape.
    ///
    /// # Errors
    /// Which input or output does not fit.
    pub fn recognise(interface: &Interface) -> Result<Self, String> {
        let [(input, shape)] = &interface.inputs[..] else {
            return Err(format!("{} inputs; a detector has exactly one", interface.inputs.len()));
        };
        let names = || interface.outputs.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(", ");
        let find = |name: &str| interface.outputs.iter().position(|(n, _)| n == name);
        let (kind, channels) = if let (Some(scores), Some(boxes)) = (find("scores"), find("boxes")) {
            (Kind::UltraLight([scores, boxes], None), 3)
        } else if find("cls_8").is_some() {
            let mut at = [[0; 3]; 3];
            for (row, stride) in at.iter_mut().zip(YUNET_STRIDES) {
                for (o, part) in row.iter_mut().zip(["cls", "obj", "bbox"]) {
                    let name = format!("{part}_{stride}");
                    *o = find(&name).ok_or_else(|| format!("no output {name}; outputs: {}", names()))?;
                }
            }
            (Kind::YuNet(at), 3)
        } else {
            let grids: Vec<Grid> = [4, 8, 16, 32]
                .into_iter()
                .filter_map(|stride| {
                    let (score, bounds) =
                        (find(&format!("score_{stride}"))?, find(&format!("box_{stride}"))?);
                    Some(Grid { stride, score, bounds })
                })
                .collect();
            if grids.is_empty() {
                return Err(format!(
                    "outputs {} are of no known detector: score_8 and box_8 (glint), cls_8, obj_8, bbox_8, ... (YuNet), \
                     scores and boxes (Ultra-Light)",
                    names()
                ));
            }
            (Kind::Glint(grids), 1)
        };
        let &[1, c, height, width] = &shape[..] else {
            return Err(format!(
                "input {input}: shape {shape:?}; expected [1, {channels}, height, width], all fixed"
            ));
        };
        if c != channels || !SIDES.contains(&width) || !SIDES.contains(&height) {
            return Err(format!(
                "input {input}: shape {shape:?}; expected [1, {channels}, height, width] with sides of {} to {}",
                SIDES.start(),
                SIDES.end()
            ));
        }
        let mut layout = Self { kind, channels, width, height, outputs: vec![0; interface.outputs.len()] };
        if let Kind::UltraLight(_, coded) = &mut layout.kind
            && !interface.operators.contains("Exp")
        {
            *coded = Some(anchors(width, height));
        }
        layout.check_outputs(interface)?;
        for (n, (name, shape)) in layout.outputs.iter_mut().zip(&interface.outputs) {
            let product = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            *n = product
                .filter(|n| *n > 0)
                .ok_or_else(|| format!("output {name}: shape {shape:?} is not fixed"))?;
        }
        Ok(layout)
    }

    fn check_outputs(&self, interface: &Interface) -> Result<(), String> {
        let expect = |at: usize, expected: &[usize]| {
            let (name, shape) = &interface.outputs[at];
            if shape == expected {
                Ok(())
            } else {
                Err(format!("output {name}: shape {shape:?}; expected {expected:?}"))
            }
        };
        match &self.kind {
            Kind::Glint(grids) => {
                for g in grids {
                    let (h, w) = (self.height / g.stride, self.width / g.stride);
                    expect(g.score, &[1, 1, h, w])?;
                    expect(g.bounds, &[1, 4, h, w])?;
                }
            }
            Kind::YuNet(at) => {
                for (at, stride) in at.iter().zip(YUNET_STRIDES) {
                    let n = (self.height / stride) * (self.width / stride);
                    for (o, values) in at.iter().zip([1, 1, 4]) {
                        expect(*o, &[1, n, values])?;
                    }
                }
            }
            Kind::UltraLight([scores, boxes], coded) => {
                let declared = interface.outputs[*scores].1.get(1).copied().unwrap_or(0);
                let n = coded.as_ref().map_or(declared, Vec::len);
                expect(*scores, &[1, n, 2])?;
                expect(*boxes, &[1, n, 4])?;
            }
        }
        Ok(())
    }

    /// Name of the layout.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Glint(_) => "glint",
            Kind::YuNet(_) => "yunet",
            Kind::UltraLight(..) => "ultra-light",
        }
    }

    /// Score from which a box counts, where no specification says it.
    pub fn default_min_score(&self) -> f32 {
        match self.kind {
            Kind::Glint(_) => 0.5,
            Kind::YuNet(_) => 0.6,
            Kind::UltraLight(..) => 0.7,
        }
    }

    /// Luma 0..255 as the network's input wants it.
    pub fn tone(&self, luma: f32) -> f32 {
        match self.kind {
            Kind::Glint(_) => normalise_luma(luma),
            Kind::YuNet(_) => luma,
            Kind::UltraLight(..) => (luma - 127.0) / 128.0,
        }
    }

    /// Reads the boxes of at least `min_score` out of the network's outputs into `detections`, in input pixels times
    /// `scale`.
    pub fn decode(&self, outputs: &[Vec<f32>], min_score: f32, scale: f32, detections: &mut Vec<Detection>) {
        let mut push = |bounds: Rect, score: f32| {
            let b =
                Rect { x: scale * bounds.x, y: scale * bounds.y, w: scale * bounds.w, h: scale * bounds.h };
            if b.x.is_finite()
                && b.y.is_finite()
                && b.w > 0.0
                && b.h > 0.0
                && detections.len() < detections.capacity()
            {
                detections.push(Detection { bounds: b, score });
            }
        };
        let around = |cx: f32, cy: f32, w: f32, h: f32| Rect { x: cx - 0.5 * w, y: cy - 0.5 * h, w, h };
        let size = |log: f32, unit: f32| log.clamp(-4.0, 4.0).exp() * unit;
        match &self.kind {
            Kind::Glint(grids) => {
                for g in grids {
                    let (stride, columns) = (g.stride as f32, self.width / g.stride);
                    let (scores, boxes) = (&outputs[g.score], &outputs[g.bounds]);
                    let cells = scores.len();
                    for (i, &score) in scores.iter().enumerate().filter(|(_, s)| **s >= min_score) {
                        let [dx, dy, w, h] = [0, 1, 2, 3].map(|k| boxes[k * cells + i]);
                        let center = |cell: usize, d: f32| (cell as f32 + 0.5 + d) * stride;
                        let (cx, cy) = (center(i % columns, dx), center(i / columns, dy));
                        let unit = UNIT_STRIDES * stride;
                        push(around(cx, cy, size(w, unit), size(h, unit)), score);
                    }
                }
            }
            Kind::YuNet(at) => {
                for (&[cls, obj, bbox], stride) in at.iter().zip(YUNET_STRIDES) {
                    let (columns, stride) = (self.width / stride, stride as f32);
                    let pairs = outputs[cls].iter().zip(&outputs[obj]).zip(outputs[bbox].chunks_exact(4));
                    for (i, ((cls, obj), b)) in pairs.enumerate() {
                        let score = (cls.clamp(0.0, 1.0) * obj.clamp(0.0, 1.0)).sqrt();
                        if score >= min_score {
                            let (cx, cy) = (
                                ((i % columns) as f32 + b[0]) * stride,
                                ((i / columns) as f32 + b[1]) * stride,
                            );
                            push(
                                YUNET_BOX.apply(around(cx, cy, size(b[2], stride), size(b[3], stride))),
                                score,
                            );
                        }
                    }
                }
            }
            Kind::UltraLight([scores, boxes], coded) => {
                let (w, h) = (self.width as f32, self.height as f32);
                let pairs = outputs[*scores].chunks_exact(2).zip(outputs[*boxes].chunks_exact(4));
                for (i, (s, b)) in pairs.enumerate().filter(|(_, (s, _))| s[1] >= min_score) {
                    let bounds = match coded.as_ref().map(|a| a[i]) {
                        Some(anchor) => {
                            let c = anchor.center();
                            around(
                                c.x + VARIANCES[0] * b[0] * anchor.w,
                                c.y + VARIANCES[0] * b[1] * anchor.h,
                                size(VARIANCES[1] * b[2], anchor.w),
                                size(VARIANCES[1] * b[3], anchor.h),
                            )
                        }
                        None => Rect { x: w * b[0], y: h * b[1], w: w * (b[2] - b[0]), h: h * (b[3] - b[1]) },
                    };
                    push(ULTRA_LIGHT_BOX.apply(bounds), s[1]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::{ROUNDING, THOUSANDTH};

    fn interface(input: &[usize], outputs: &[(&str, &[usize])]) -> Interface {
        Interface {
            inputs: vec![("input".into(), input.to_vec())],
            outputs: outputs.iter().map(|(n, s)| ((*n).to_owned(), s.to_vec())).collect(),
            operators: Default::default(),
        }
    }

    fn yunet() -> Interface {
        let mut outputs = Vec::new();
        for (part, values) in [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)] {
            for stride in YUNET_STRIDES {
                outputs.push((format!("{part}_{stride}"), vec![1, (64 / stride) * (64 / stride), values]));
            }
        }
        Interface {
            inputs: vec![("input".into(), vec![1, 3, 64, 64])],
            outputs,
            operators: Default::default(),
        }
    }

    #[test]
    fn layouts_are_told_apart_by_their_outputs() {
        let glint = interface(&[1, 1, 120, 160], &[("score_8", &[1, 1, 15, 20]), ("box_8", &[1, 4, 15, 20])]);
        assert_eq!(DetectorLayout::recognise(&glint).expect("own").name(), "glint");
        assert_eq!(DetectorLayout::recognise(&yunet()).expect("yunet").name(), "yunet");
        let ultra = interface(&[1, 3, 240, 320], &[("scores", &[1, 4420, 2]), ("boxes", &[1, 4420, 4])]);
        assert_eq!(DetectorLayout::recognise(&ultra).expect("ultra-light").name(), "ultra-light");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_name() {
        let refusal = |i: &Interface| DetectorLayout::recognise(i).expect_err("does not fit");
        let classifier = interface(&[1, 3, 224, 224], &[("logits", &[1, 1000])]);
        assert!(refusal(&classifier).contains("logits"));
        let mut cut = yunet();
        cut.outputs.retain(|(n, _)| n != "obj_16");
        assert!(refusal(&cut).contains("no output obj_16"));
        let mut small = yunet();
        small.outputs[0].1 = vec![1, 7, 1];
        assert!(refusal(&small).contains("output cls_8: shape [1, 7, 1]; expected [1, 64, 1]"));
        let free = interface(&[1, 3, 0, 320], &[("scores", &[1, 4420, 2]), ("boxes", &[1, 4420, 4])]);
        assert!(refusal(&free).contains("input input: shape"));
        let two = Interface { inputs: vec![("a".into(), vec![1]), ("b".into(), vec![1])], ..yunet() };
        assert!(refusal(&two).contains("2 inputs"));
    }

    #[test]
    fn boxes_are_read_as_each_layout_codes_them() {
        let layout = DetectorLayout::recognise(&yunet()).expect("yunet");
        let mut outputs: Vec<Vec<f32>> = layout.outputs.iter().map(|&n| vec![0.0; n]).collect();
        let at = |name: &str| yunet().outputs.iter().position(|(n, _)| n == name).expect("output");
        // Cell (column 2, row 1) of stride 16.
        outputs[at("cls_16")][6] = 0.81;
        outputs[at("obj_16")][6] = 1.0;
        outputs[at("bbox_16")][24..28].copy_from_slice(&[0.5, 0.25, 2f32.ln(), 3f32.ln()]);
        let mut detections = Vec::with_capacity(8);
        layout.decode(&outputs, 0.6, 2.0, &mut detections);
        let expected = YUNET_BOX.apply(Rect { x: 80.0 - 32.0, y: 40.0 - 48.0, w: 64.0, h: 96.0 });
        let b = detections[0].bounds;
        assert!((detections[0].score - 0.9).abs() < ROUNDING && detections.len() == 1, "{detections:?}");
        assert!(
            (b.x - expected.x).abs() + (b.y - expected.y).abs() < THOUSANDTH
                && (b.w - expected.w).abs() < THOUSANDTH,
            "{b:?}"
        );

        let mut ultra = interface(&[1, 3, 240, 320], &[("scores", &[1, 4420, 2]), ("boxes", &[1, 4420, 4])]);
        for (operator, boxes) in [("Conv", [1.0, 0.0, 0.0, 5.0 * 2f32.ln()]), ("Exp", [0.1, 0.2, 0.3, 0.4])] {
            ultra.operators = [operator.to_owned()].into();
            let layout = DetectorLayout::recognise(&ultra).expect("ultra-light");
            let mut outputs = vec![vec![0.0; 2 * 4420], vec![0.0; 4 * 4420]];
            // The second anchor of the second cell of the first row: centre (12, 4), side 16.
            outputs[0][9] = 0.99;
            outputs[1][16..20].copy_from_slice(&boxes);
            detections.clear();
            layout.decode(&outputs, 0.7, 1.0, &mut detections);
            let expected = match operator {
                "Conv" => Rect { x: 12.0 + 1.6 - 8.0, y: 4.0 - 16.0, w: 16.0, h: 32.0 },
                _ => Rect { x: 32.0, y: 48.0, w: 64.0, h: 48.0 },
            };
            assert!(
                detections[0].bounds.iou(ULTRA_LIGHT_BOX.apply(expected)) > 0.999,
                "{operator}: {detections:?}"
            );
        }

        let glint = interface(&[1, 1, 32, 32], &[("score_8", &[1, 1, 4, 4]), ("box_8", &[1, 4, 4, 4])]);
        let layout = DetectorLayout::recognise(&glint).expect("own");
        let mut outputs = vec![vec![0.0; 16], vec![0.0; 64]];
        outputs[0][5] = 0.7;
        detections.clear();
        layout.decode(&outputs, 0.5, 1.0, &mut detections);
        let b = detections[0].bounds;
        assert_eq!((b.x, b.y, b.w, b.h), (0.0, 0.0, 24.0, 24.0), "cell (1, 1) has its centre at 12");
    }
}
