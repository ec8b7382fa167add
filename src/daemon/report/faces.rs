//! Contact strips: stabilised crops of the face around a movement. Only where an operator asks for pictures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use glint::event::Movement;
use glint::face::{CROP_HEIGHT, CROP_WIDTH};
use glint::pipeline::Pipeline;

/// Before the onset the face is at rest.
const BEFORE_NS: i64 = 100_000_000;
/// Quality of the JPEG: a strip has about 20 kB.
const QUALITY: u8 = 75;

/// Crops of a face side by side, and when they were taken.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Strip {
    /// A JPEG.
    jpeg: Vec<u8>,
    /// Time of each crop.
    times_ns: Vec<i64>,
}

impl Strip {
    /// Before the movement, at its onset, half way to the apex, at the apex, half way to the offset, at the offset; `None`
    /// where the pipeline has not kept the face.
    pub(super) fn take(pipeline: &Pipeline, e: &Movement) -> Option<Self> {
        let middle = |a: i64, b: i64| a + (b - a) / 2;
        let wanted = [
            e.onset_ns - BEFORE_NS,
            e.onset_ns,
            middle(e.onset_ns, e.apex_ns),
            e.apex_ns,
            middle(e.apex_ns, e.offset_ns),
            e.offset_ns,
        ];
        let mut crops: Vec<(i64, &[u8])> =
            wanted.iter().filter_map(|at_ns| pipeline.crop_near(e.track, *at_ns)).collect();
        // At a low rate one frame is the nearest to two of them.
        crops.dedup_by_key(|(at_ns, _)| *at_ns);
        if crops.is_empty() {
            return None;
        }
        let rows = (0..CROP_HEIGHT).flat_map(|y| {
            let row = y * CROP_WIDTH..(y + 1) * CROP_WIDTH;
            crops.iter().flat_map(move |(_, luma)| &luma[row.clone()]).copied()
        });
        let luma: Vec<u8> = rows.collect();
        let (width, height) = ((crops.len() * CROP_WIDTH) as u16, CROP_HEIGHT as u16);
        let mut jpeg = Vec::new();
        jpeg_encoder::Encoder::new(&mut jpeg, QUALITY)
            .encode(&luma, width, height, jpeg_encoder::ColorType::Luma)
            .ok()?;
        Some(Self { jpeg, times_ns: crops.iter().map(|(at_ns, _)| *at_ns).collect() })
    }

    /// The picture as an element that holds all of it, with its times below.
    pub(super) fn html(&self) -> String {
        let times: Vec<String> =
            self.times_ns.iter().map(|ns| format!("{:.3}", super::seconds(*ns))).collect();
        let times = times.join(", ");
        let (width, height) = (self.times_ns.len() * CROP_WIDTH, CROP_HEIGHT);
        format!(
            "<img class=\"faces\" width=\"{width}\" height=\"{height}\" alt=\"The face at {times} s\" \
             src=\"data:image/jpeg;base64,{}\"/>\n<figcaption>The face at {times} s</figcaption>\n",
            STANDARD.encode(&self.jpeg)
        )
    }
}
