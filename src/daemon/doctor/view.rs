//! The frames of a source, watched for some seconds.

use std::time::{Duration, Instant};

use glint::frame::Frame;
use glint::pipeline::{Pipeline, Step};

use crate::daemon::grab::{FrameSource, Grab};
use crate::daemon::runtime::exposure::spread;
use crate::daemon::runtime::findings::ViewStatistics;
use crate::daemon::runtime::noise::noise;
use crate::daemon::runtime::sharpness::blur;
use crate::daemon::runtime::visibility::Light;

/// What comes before is not judged: exposure settles, the face is found, the rate is measured.
const SETTLE: Duration = Duration::from_millis(1500);

/// Looks at the frames of a source for so long, or to its end.
pub(super) fn watch(
    source: &mut dyn FrameSource,
    pipeline: &mut Pipeline,
    length: Duration,
) -> Result<ViewStatistics, String> {
    let mut seen = ViewStatistics::default();
    let (mut light, mut frame) = (Light::default(), Frame::default());
    let started = Instant::now();
    let mut first: Option<Instant> = None;
    loop {
        match first {
            None if started.elapsed() > source.patience() => return Err("no frame came".into()),
            Some(at) if at.elapsed() >= length => return Ok(seen),
            _ => {}
        }
        match source.next(&mut frame)? {
            Grab::Timeout => continue,
            Grab::End if seen.frames == 0 => return Err("it ended before the first frame".into()),
            Grab::End => return Ok(seen),
            Grab::Damaged(_) => {
                seen.damaged += 1;
                continue;
            }
            Grab::Frame => {}
        }
        seen.frames += 1;
        let at = *first.get_or_insert_with(Instant::now);
        let before = pipeline.counters().frames_repeated;
        let moving = pipeline.push(&frame) == Step::Moving;
        let repeated = pipeline.counters().frames_repeated > before;
        let observation = pipeline.observation();
        let view = light.view(&frame, moving, observation);
        if at.elapsed() < SETTLE {
            continue;
        }
        seen.view(view, repeated);
        if let Some(face) = observation.bounds {
            let (contrast, saturated) = spread(&frame, face);
            seen.spread(contrast, saturated);
            // They change slowly, and are not cheap.
            if seen.len() % 15 == 1 {
                seen.detail(blur(&frame, face), noise(&frame, face));
            }
        }
    }
}
