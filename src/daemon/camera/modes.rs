//! Which mode of a camera to use, and why.

use std::fmt;

use glint::frame::PixelFormat;

/// A mode that a camera offers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mode {
    /// Layout of its frames.
    pub(crate) format: PixelFormat,
    /// Columns.
    pub(crate) width: u32,
    /// Rows.
    pub(crate) height: u32,
    /// Highest frame rate.
    pub(crate) fps: f64,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = String::from_utf8_lossy(&self.format.fourcc()).into_owned();
        write!(f, "{code} {}x{} at {:.1} frames/s", self.width, self.height, self.fps)
    }
}

/// What the configuration asks for; `None` leaves the choice to glint.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct ModeRequest {
    /// Layout.
    pub(crate) format: Option<PixelFormat>,
    /// Columns and rows.
    pub(crate) size: Option<(u32, u32)>,
    /// Frame rate that is enough: the choice may be higher where nothing fits exactly.
    pub(crate) fps: Option<f64>,
}

/// The smallest size that leaves a face enough pixels.
const ENOUGH: (u32, u32) = (640, 480);
/// Rates within this share are the same: 29.97 and 30.
const SAME_RATE: f64 = 0.02;

/// Chooses among `modes`: what is asked for, then the highest frame rate at 640x480 or more, then the
/// format that is cheapest to decode, then the size nearest to 640x480. Returns the mode and the reason
/// in words; `None` when no mode fits the request.
pub(crate) fn choose(modes: &[Mode], request: ModeRequest) -> Option<(Mode, String)> {
    let fits = |m: &&Mode| {
        request.format.is_none_or(|f| f == m.format) && request.size.is_none_or(|s| s == (m.width, m.height))
    };
    let cost = |m: &Mode| PixelFormat::ALL.iter().position(|f| *f == m.format).unwrap_or(usize::MAX);
    // What counts is what will be seen: the luma of a Bayer mosaic has half its sides.
    let seen = |m: &Mode| m.format.luma_size(m.width as usize, m.height as usize);
    let large = |m: &Mode| seen(m).0 >= ENOUGH.0 as usize && seen(m).1 >= ENOUGH.1 as usize;
    let area = |m: &Mode| (seen(m).0 * seen(m).1) as i64;
    let far = |m: &Mode| (area(m) - i64::from(ENOUGH.0) * i64::from(ENOUGH.1)).abs();
    let rate = |m: &Mode| match request.fps {
        // A rate that is enough is not bettered by a higher one.
        Some(fps) if m.fps >= fps * (1.0 - SAME_RATE) => fps,
        _ => m.fps,
    };
    let better = |a: &Mode, b: &Mode| -> bool {
        if large(a) != large(b) {
            return large(a);
        }
        let (ra, rb) = (rate(a), rate(b));
        if (ra - rb).abs() > SAME_RATE * ra.max(rb) {
            return ra > rb;
        }
        (cost(a), far(a)) < (cost(b), far(b))
    };
    let mut best: Option<&Mode> = None;
    for mode in modes.iter().filter(fits) {
        if best.is_none_or(|b| better(mode, b)) {
            best = Some(mode);
        }
    }
    let best = *best?;
    let mut why = Vec::new();
    if request != ModeRequest::default() {
        why.push("fits the configuration".to_owned());
    }
    why.push(if large(&best) {
        format!("highest rate at {}x{} or more", ENOUGH.0, ENOUGH.1)
    } else {
        format!("no mode has {}x{}", ENOUGH.0, ENOUGH.1)
    });
    let rivals =
        modes.iter().filter(fits).filter(|m| m.format != best.format && (rate(m) - rate(&best)).abs() < 0.5);
    if rivals.count() > 0 {
        why.push("cheapest format to decode at that rate".to_owned());
    }
    Some((best, why.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mode(format: PixelFormat, width: u32, height: u32, fps: f64) -> Mode {
        Mode { format, width, height, fps }
    }

    /// A usual webcam: raw frames are slow where they are large.
    fn webcam() -> Vec<Mode> {
        vec![
            mode(PixelFormat::Yuyv, 640, 480, 30.0),
            mode(PixelFormat::Yuyv, 320, 240, 60.0),
            mode(PixelFormat::Yuyv, 1280, 720, 10.0),
            mode(PixelFormat::Mjpg, 640, 480, 60.0),
            mode(PixelFormat::Mjpg, 1280, 720, 60.0),
        ]
    }

    #[test]
    fn a_mosaic_counts_by_the_luma_it_gives() {
        let raw = [mode(PixelFormat::Bayer10, 640, 480, 120.0), mode(PixelFormat::Bayer10, 1280, 960, 60.0)];
        assert_eq!(choose(&raw, ModeRequest::default()).expect("a mode").0, raw[1]);
    }

    #[test]
    fn rate_first_then_cost_then_size() {
        let (best, why) = choose(&webcam(), ModeRequest::default()).expect("a mode");
        assert_eq!(best, mode(PixelFormat::Mjpg, 640, 480, 60.0), "{why}");
        let (best, _) =
            choose(&webcam(), ModeRequest { fps: Some(30.0), ..ModeRequest::default() }).expect("a mode");
        assert_eq!(best, mode(PixelFormat::Yuyv, 640, 480, 30.0));
        let (best, _) = choose(&webcam(), ModeRequest { size: Some((1280, 720)), ..ModeRequest::default() })
            .expect("a mode");
        assert_eq!(best.format, PixelFormat::Mjpg);
        assert!(
            choose(&webcam(), ModeRequest { format: Some(PixelFormat::Grey), ..ModeRequest::default() })
                .is_none()
        );
    }

    proptest! {
        #[test]
        fn the_order_of_the_modes_does_not_matter(seed in prop::collection::vec((0usize..5, 1u32..8, 1u32..8, 1u32..20), 1..12), turn in 0usize..12) {
            let modes: Vec<Mode> = seed.iter()
                .map(|(f, w, h, r)| mode(PixelFormat::ALL[*f], w * 160, h * 120, f64::from(*r) * 10.0))
                .collect();
            let mut other = modes.clone();
            other.rotate_left(turn % modes.len());
            let (a, b) = (choose(&modes, ModeRequest::default()).expect("one"), choose(&other, ModeRequest::default()).expect("one"));
            prop_assert_eq!(a.0.format, b.0.format);
            prop_assert_eq!(a.0.fps, b.0.fps);
        }
    }
}
