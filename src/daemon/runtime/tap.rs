//! What the vision thread hands over to the page: nothing while nobody watches, and without ever waiting.

use std::sync::Arc;
use std::time::Duration;

use glint::frame::Frame;
use tokio::sync::mpsc;

use super::exposure::spread;
use super::finder::Vision;
use super::findings::ViewStatistics;
use super::noise::noise;
use super::sharpness::blur;
use super::timing::Timing;
use super::visibility::View;
use crate::daemon::page::{Luma, Row, Snapshot, Watch};

/// Between two snapshots: ten a second at most.
const SNAPSHOT_NS: i64 = 100_000_000;
/// Between two looks at focus, noise and exposure: they change slowly, and are not cheap.
const QUALITY_NS: i64 = 1_000_000_000;
/// Between two pictures: five a second at most.
const PICTURE_NS: i64 = 200_000_000;
/// Longest side of a picture, in pixels.
const PICTURE_SIDE: usize = 640;
/// Frames that are kept for a snapshot: half a second at 120 frames/s.
const ROWS: usize = 64;

/// How long the camera is tested.
pub(crate) const CAMERA_TEST: Duration = Duration::from_secs(8);

/// Focus, noise and exposure of the face.
#[derive(Debug, Clone, Copy, Default)]
struct Quality {
    blur: Option<f32>,
    noise: Option<f32>,
    contrast: Option<f32>,
    saturated: Option<f32>,
}

/// A test of the camera that runs.
struct CameraTest {
    until_ns: i64,
    seen: ViewStatistics,
    /// Repeated frames up to the latest one.
    repeated: u64,
}

/// The vision thread's end of the page.
pub(crate) struct Tap {
    watch: Arc<Watch>,
    out: mpsc::Sender<Snapshot>,
    timing: Arc<Timing>,
    /// Where it goes what a test of the camera has seen.
    tested: mpsc::Sender<ViewStatistics>,
    test: Option<CameraTest>,
    rows: Vec<Row>,
    quality: Quality,
    /// When these were done last.
    sent_ns: i64,
    judged_ns: i64,
    pictured_ns: i64,
}

impl Tap {
    /// Snapshots go to `out` while `watch` wants them, and tests of the camera to `tested`; times of frames are always
    /// counted.
    pub(crate) fn new(
        watch: Arc<Watch>,
        out: mpsc::Sender<Snapshot>,
        tested: mpsc::Sender<ViewStatistics>,
        timing: Arc<Timing>,
    ) -> Self {
        Self {
            watch,
            out,
            timing,
            tested,
            test: None,
            rows: Vec::new(),
            quality: Quality::default(),
            sent_ns: 0,
            judged_ns: 0,
            pictured_ns: 0,
        }
    }

    /// A frame has been worked on, from `begun_ns` to `now_ns`.
    pub(crate) fn frame(
        &mut self,
        frame: &Frame,
        view: &View,
        vision: &dyn Vision,
        begun_ns: i64,
        now_ns: i64,
    ) {
        self.timing.frame(frame.at_ns, begun_ns, now_ns);
        if !self.watch.is_watched() {
            self.rows.clear();
            self.test = None;
            return;
        }
        self.test_camera(view, vision, now_ns);
        let seen = vision.observation();
        if self.rows.len() < ROWS {
            let au = seen.intensities.map(|all| all.map(|v| rounded(v, 100.0)));
            self.rows.push(Row { t_ms: (frame.at_ns / 100_000) as f64 / 10.0, au, gate: seen.gate_open });
        }
        if now_ns - self.sent_ns < SNAPSHOT_NS {
            return;
        }
        // The page has no time: it misses this one.
        let Ok(place) = self.out.try_reserve() else { return };
        self.sent_ns = now_ns;
        if now_ns - self.judged_ns >= QUALITY_NS {
            self.judged_ns = now_ns;
            self.quality = quality(frame, seen.bounds);
            if let Some(test) = &mut self.test {
                let Quality { blur, noise, contrast, saturated } = self.quality;
                test.seen.detail(blur, noise);
                contrast.zip(saturated).iter().for_each(|(c, s)| test.seen.spread(*c, *s));
            }
        }
        let wants_picture = self.watch.wants_picture() && now_ns - self.pictured_ns >= PICTURE_NS;
        if wants_picture {
            self.pictured_ns = now_ns;
        }
        place.send(Snapshot {
            width: frame.width,
            height: frame.height,
            face: seen.bounds.map(|b| [b.x, b.y, b.w, b.h].map(|v| rounded(v, 10.0))),
            points: vision
                .landmarks()
                .map(|all| all.map(|p| [rounded(p.x, 10.0), rounded(p.y, 10.0)]).to_vec())
                .unwrap_or_default(),
            eyes_px: view.eye_distance_px.map(|v| rounded(v, 10.0)),
            light: rounded(view.brightness, 10.0),
            contrast: self.quality.contrast.map(|v| rounded(v, 10.0)),
            saturated: self.quality.saturated.map(|v| rounded(v, 1000.0)),
            flicker: rounded(view.flicker, 10_000.0),
            blur: self.quality.blur.map(|v| rounded(v, 100.0)),
            noise: self.quality.noise.map(|v| rounded(v, 10.0)),
            motion_px: rounded(view.motion_px, 100.0),
            fps: rounded(view.fps, 10.0),
            jitter: rounded(seen.jitter, 1000.0),
            reason: view.reason(),
            rows: std::mem::take(&mut self.rows),
            picture: wants_picture.then(|| picture(frame)),
        });
    }

    /// Begins a test of the camera where one is asked for, adds this frame to it, and hands it over at its end.
    fn test_camera(&mut self, view: &View, vision: &dyn Vision, now_ns: i64) {
        let repeated = || vision.counters().frames_repeated;
        if self.watch.takes_camera_test() {
            let until_ns = now_ns + CAMERA_TEST.as_nanos() as i64;
            // Focus and noise of the first frame count.
            self.judged_ns = 0;
            self.test = Some(CameraTest { until_ns, seen: ViewStatistics::default(), repeated: repeated() });
            return;
        }
        let Some(test) = &mut self.test else { return };
        let before = std::mem::replace(&mut test.repeated, repeated());
        test.seen.frames += 1;
        test.seen.view(*view, test.repeated > before);
        if now_ns >= test.until_ns
            && let Some(test) = self.test.take()
        {
            // Nobody waits for two of them.
            _ = self.tested.try_send(test.seen);
        }
    }
}

fn quality(frame: &Frame, face: Option<glint::geometry::Rect>) -> Quality {
    let Some(face) = face else { return Quality::default() };
    let (contrast, saturated) = spread(frame, face);
    Quality {
        blur: blur(frame, face),
        noise: noise(frame, face),
        contrast: Some(contrast),
        saturated: Some(saturated),
    }
}

/// A number as short as it is shown.
fn rounded(value: f32, steps: f32) -> f32 {
    (value * steps).round() / steps
}

/// The frame, reduced by a whole number by means of areas.
fn picture(frame: &Frame) -> Luma {
    let step = frame.width.max(frame.height).div_ceil(PICTURE_SIDE).max(1);
    if step == 1 {
        return Luma { width: frame.width, height: frame.height, luma: frame.luma.clone() };
    }
    let (width, height) = (frame.width / step, frame.height / step);
    let mut luma = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let rows = (0..step).map(|dy| &frame.luma[(y * step + dy) * frame.width + x * step..][..step]);
            let sum: usize = rows.flatten().map(|v| usize::from(*v)).sum();
            luma.push((sum / (step * step)) as u8);
        }
    }
    Luma { width, height, luma }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::config::SourceKind;
    use glint::event::Movement;
    use glint::geometry::Rect;
    use glint::pipeline::{Counters, Observation, Step};

    /// Sees a face always.
    struct Face;

    impl Vision for Face {
        fn push(&mut self, _: &Frame) -> Step {
            Step::Quiet
        }
        fn gap(&mut self, _: u64, _: i64) -> Step {
            Step::Gap
        }
        fn reset(&mut self) {}
        fn calibrate(&mut self) {}
        fn finish(&mut self) -> Option<Movement> {
            None
        }
        fn observation(&self) -> Observation {
            let face = Rect { x: 10.0, y: 10.0, w: 200.0, h: 200.0 };
            Observation {
                bounds: Some(face),
                intensities: Some(Default::default()),
                ..Observation::default()
            }
        }
        fn counters(&self) -> Counters {
            Counters::default()
        }
    }

    fn frame() -> Frame {
        Frame { width: 1280, height: 720, luma: vec![100; 1280 * 720], ..Frame::default() }
    }

    #[test]
    fn nobody_watches_and_nothing_is_handed_over() {
        let (out, mut taken) = mpsc::channel(1);
        let (watch, timing) = (Arc::<Watch>::default(), Arc::<Timing>::default());
        let mut tap = Tap::new(Arc::clone(&watch), out, mpsc::channel(1).0, Arc::clone(&timing));
        let frame = frame();
        for i in 1..=100 {
            tap.frame(&frame, &View::default(), &Face, i * 10_000_000, i * 10_000_000 + 1000);
        }
        assert!(taken.try_recv().is_err() && tap.rows.is_empty());
        assert_eq!(timing.processing.read().count, 100, "metrics are there all the same");
    }

    #[test]
    fn snapshots_are_ten_a_second_hold_every_frame_and_wait_for_nobody() {
        let (out, mut taken) = mpsc::channel(1);
        let watch = Arc::<Watch>::default();
        watch.open_for_test(false);
        let mut tap = Tap::new(Arc::clone(&watch), out, mpsc::channel(1).0, Arc::default());
        let frame = frame();
        let mut push = |i: i64| tap.frame(&frame, &View::default(), &Face, i * 10_000_000, i * 10_000_000);
        push(100);
        let first = taken.try_recv().expect("at once");
        assert!(first.picture.is_none() && first.rows.len() == 1 && first.contrast == Some(0.0));
        (101..110).for_each(&mut push);
        assert!(taken.try_recv().is_err(), "before its time");
        push(110);
        // Not taken: the next is dropped, and what it had is in the one after.
        (111..=120).for_each(&mut push);
        assert_eq!(taken.try_recv().expect("the second").rows.len(), 10);
        assert!(taken.try_recv().is_err());
        push(121);
        assert_eq!(taken.try_recv().expect("the third").rows.len(), 11);
        watch.open_for_test(true);
        push(140);
        let picture = taken.try_recv().expect("the fourth").picture.expect("a picture");
        assert_eq!((picture.width, picture.height), (640, 360));
        assert!(picture.luma.len() == 640 * 360 && picture.luma.iter().all(|v| *v == 100));
    }

    #[test]
    fn the_camera_is_tested_where_it_is_asked_for_and_judged_as_the_doctor_does() {
        let (out, mut taken) = mpsc::channel(1);
        let (tested, mut results) = mpsc::channel(1);
        let watch = Arc::<Watch>::default();
        watch.open_for_test(false);
        let mut tap = Tap::new(Arc::clone(&watch), out, tested, Arc::default());
        let frame = frame();
        let good = View { eye_distance_px: Some(80.0), brightness: 120.0, fps: 50.0, ..View::default() };
        let mut push = |view: &View, i: i64| {
            tap.frame(&frame, view, &Face, i * 20_000_000, i * 20_000_000);
            _ = taken.try_recv();
        };
        (0..1000).for_each(|i| push(&good, i));
        assert!(results.try_recv().is_err(), "nobody has asked");
        let length = CAMERA_TEST.as_millis() as i64 / 20;
        let mut test = |view: &View, from: i64| {
            watch.ask_camera_test();
            (from..from + length).for_each(|i| push(view, i));
            assert!(results.try_recv().is_err(), "not yet");
            push(view, from + length);
            let seen = results.try_recv().expect("a result");
            assert_eq!(seen.len() as i64, length);
            let findings = seen.findings(SourceKind::V4l2, Some(50.0));
            findings.iter().filter_map(|f| f.fault).collect::<Vec<_>>()
        };
        // The frame is gray all over.
        assert_eq!(test(&good, 2000), ["low_contrast"]);
        assert_eq!(test(&View { brightness: 20.0, ..good }, 3000), ["too_dark"]);
        assert_eq!(test(&View { fps: 12.0, ..good }, 4000), ["fps_low", "low_contrast"]);
        (5000..6000).for_each(|i| push(&good, i));
        assert!(results.try_recv().is_err(), "once for each time that it was asked for");
    }
}
