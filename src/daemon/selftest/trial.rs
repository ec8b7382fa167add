//! The self-test of frames that come once, and of which none is kept.
//!
//! Two workers see each frame as it comes: one finds the face for the carrier, the other one runs the pipeline on the footage
//! as it is. What they tell decides which movements are put in. A frame waits in memory until everything is known that a
//! movement at its time depends on ([`HORIZON_NS`] and what the carrier looks ahead, together one second), gets the
//! movements, and goes through the second pipeline. All of it hangs on the times of the frames alone: the movements are those that
//! the test of a clip with these frames puts in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};

use glint::event::{Kind, Movement};
use glint::frame::Frame;
use glint::inject::{Carrier, CarrierBuilder, Place};
use glint::pipeline::{Counters, Models, Options, Pipeline, Step};
use glint::spot::Sample;

use super::calm::Calm;
use super::plan::{HORIZON_NS, Planner};
use super::report::{Hour, SelftestReport};
use super::retouch::Retouch;
use super::score::Score;
use crate::daemon::grab::WAIT;
use crate::daemon::runtime::visibility::{Light, View};
use crate::daemon::sources::capture::Captured;
use crate::daemon::summary::Summary;

/// Frames on their way to a worker.
const QUEUE: usize = 4;
/// Of what ended so long before the last frame all events are known, and counted.
const SETTLE_NS: i64 = 1_500_000_000;
/// What is older than this is not asked for any more.
const KEPT_NS: i64 = 10_000_000_000;
/// Between two frames that are farther apart nothing was watched.
const AWAY_NS: i64 = 2_000_000_000;
/// Hours that are told one by one: a week.
const HOURS: usize = 24 * 7;
const HOUR_NS: i64 = 3_600_000_000_000;

/// Frames and gaps in their order, shared by all workers.
#[derive(Clone)]
enum Shown {
    Frame(Arc<Frame>),
    /// A frame that could not be decoded.
    Gap {
        seq: u64,
        at_ns: i64,
    },
    /// The source was opened anew.
    Opened,
}

/// What a worker has found out.
enum Update {
    /// Where the face is.
    Places(Vec<Place>),
    /// What the pipeline says of a frame of the footage as it is.
    Measured(Box<Measured>),
    /// What was complete at the end of the footage as it is, and all counts of it.
    Ended(Vec<Movement>, Counters),
}

struct Measured {
    at_ns: i64,
    sample: Option<Sample>,
    event: Option<Movement>,
    counters: Counters,
    view: View,
}

/// A test of live frames.
pub(super) struct Trial {
    planner: Planner,
    carrier: Carrier,
    calm: Calm,
    score: Score,
    retouch: Retouch,
    /// What sees the frames with the movements in them.
    pipeline: Pipeline,
    waiting: VecDeque<Shown>,
    /// Times of the first frame and of the last one that came.
    first_ns: Option<i64>,
    last_ns: i64,
    /// Until when the places and the calm of the face are known.
    places_ns: i64,
    seen_ns: i64,
    watched_ns: i64,
    view: View,
    /// Counts, watched time and number of the hour that is under way, at its beginning.
    hour: (Counters, i64, usize),
    pub(super) report: SelftestReport,
}

/// What the test is run with beside the source.
pub(super) struct Means<'a> {
    pub(super) models: &'a Models,
    /// Of the pipeline that sees the footage as it is.
    pub(super) options: Options,
    pub(super) seed: u64,
}

impl Trial {
    fn new(means: &Means<'_>, report: SelftestReport) -> anyhow::Result<Self> {
        // Only micro-expressions are put in.
        let options = Options { kinds: Options::default().kinds, ..means.options.clone() };
        Ok(Self {
            planner: Planner::new(means.seed, 0)?,
            carrier: Carrier::default(),
            calm: Calm::default(),
            score: Score::default(),
            retouch: Retouch::default(),
            pipeline: Pipeline::new(options, means.models)?,
            waiting: VecDeque::new(),
            first_ns: None,
            last_ns: i64::MIN,
            places_ns: i64::MIN,
            seen_ns: i64::MIN,
            watched_ns: 0,
            view: View::default(),
            hour: (Counters::default(), 0, 0),
            report,
        })
    }

    /// Whether a frame has come.
    pub(super) fn has_begun(&self) -> bool {
        self.first_ns.is_some()
    }

    /// What is seen at present.
    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// Frames that wait for their movements.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes what comes; `None` of a frame whose time does not follow.
    fn admit(&mut self, item: Captured) -> Option<Shown> {
        let shown = match item {
            Captured::Opened => Shown::Opened,
            Captured::Damaged { seq, at_ns } => Shown::Gap { seq, at_ns },
            Captured::Frame(frame) if frame.at_ns <= self.last_ns => return None,
            Captured::Frame(frame) => {
                self.first_ns.get_or_insert(frame.at_ns);
                self.last_ns = frame.at_ns;
                Shown::Frame(Arc::new(frame))
            }
        };
        self.waiting.push_back(shown.clone());
        Some(shown)
    }

    fn learn(&mut self, update: Update) {
        match update {
            Update::Places(places) => {
                self.places_ns = places.last().map_or(self.places_ns, |place| place.0);
                self.carrier.extend(places);
            }
            Update::Measured(seen) => {
                let apart = seen.at_ns.saturating_sub(self.seen_ns);
                self.watched_ns += if (0..AWAY_NS).contains(&apart) { apart } else { 0 };
                self.seen_ns = seen.at_ns;
                self.view = seen.view;
                self.calm.push(seen.at_ns, seen.sample.as_ref());
                seen.event.into_iter().for_each(|movement| self.alone(movement));
                self.report.untouched =
                    Summary { counters: seen.counters, seconds: self.watched_ns as f64 / 1e9 };
                self.count_hours();
            }
            Update::Ended(movements, counters) => {
                movements.into_iter().for_each(|movement| self.alone(movement));
                self.report.untouched.counters = counters;
            }
        }
    }

    /// An event of the footage as it is.
    fn alone(&mut self, movement: Movement) {
        self.report.alone += usize::from(movement.kind == Kind::Micro);
        self.score.alone(movement);
    }

    /// Closes the hour that is over; the last one is closed at the end.
    fn count_hours(&mut self) {
        let (_, begun_ns, number) = self.hour;
        if self.watched_ns - begun_ns >= HOUR_NS && number < HOURS {
            self.close_hour();
        }
    }

    fn close_hour(&mut self) {
        let (before, begun_ns, number) = self.hour;
        let Summary { counters, .. } = self.report.untouched;
        let hour = Hour::between(&before, &counters, (self.watched_ns - begun_ns) as f64 / 1e9);
        if let Some(live) = &mut self.report.live {
            live.hours.push(hour);
        }
        self.hour = (counters, self.watched_ns, number + 1);
    }

    /// Plans with what is known, and shows the frames whose movements are decided on.
    fn advance(&mut self, spare: &Sender<Frame>) {
        let known_ns = self.places_ns.min(self.seen_ns);
        self.plan(known_ns);
        self.show(known_ns.saturating_sub(HORIZON_NS), spare);
    }

    fn plan(&mut self, known_ns: i64) {
        let Some(first_ns) = self.first_ns else { return };
        while let Some(movement) = self.planner.next(first_ns, known_ns, &self.carrier, &self.calm) {
            self.score.inject(movement);
        }
    }

    /// Shows the frames until a time; their buffers are given back.
    fn show(&mut self, until_ns: i64, spare: &Sender<Frame>) {
        let mut last_ns = None;
        loop {
            let step = match self.waiting.front() {
                Some(Shown::Frame(frame)) if frame.at_ns <= until_ns => {
                    last_ns = Some(frame.at_ns);
                    let shown = self.retouch.apply(frame, &self.carrier, self.score.injected());
                    self.pipeline.push(shown)
                }
                Some(Shown::Gap { seq, at_ns }) if *at_ns <= until_ns => self.pipeline.gap(*seq, *at_ns),
                Some(Shown::Opened) => {
                    self.pipeline.reset();
                    Step::NoFace
                }
                _ => break,
            };
            if let Step::Event(movement) = step {
                self.score.event(movement);
            }
            if let Some(Shown::Frame(frame)) = self.waiting.pop_front()
                && let Some(frame) = Arc::into_inner(frame)
            {
                // Where the source has gone, nobody needs the buffer.
                _ = spare.send(frame);
            }
        }
        if let Some(at_ns) = last_ns {
            self.score.settle(at_ns - SETTLE_NS, &self.calm, &mut self.report);
            self.carrier.forget(at_ns - KEPT_NS);
            self.calm.forget(at_ns - KEPT_NS);
        }
    }

    /// The end: nothing more will be known.
    fn finish(&mut self, spare: &Sender<Frame>) {
        self.plan(self.last_ns);
        self.show(i64::MAX, spare);
        while let Some(movement) = self.pipeline.finish() {
            self.score.event(movement);
        }
        self.score.settle(i64::MAX, &self.calm, &mut self.report);
        self.report.end_round(self.pipeline.counters());
        self.close_hour();
    }
}

/// Runs a test over what comes until it ends, or `goes_on` says no; the buffers of frames go back through `spare`.
pub(super) fn conduct(
    means: &Means<'_>,
    report: SelftestReport,
    items: &Receiver<Captured>,
    spare: &Sender<Frame>,
    mut goes_on: impl FnMut(&Trial) -> bool,
) -> anyhow::Result<SelftestReport> {
    let mut trial = Trial::new(means, report)?;
    let carrier = CarrierBuilder::new(means.models)?;
    let pipeline = Pipeline::new(means.options.clone(), means.models)?;
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        let (to_carrier, shown) = sync_channel(QUEUE);
        let places = sender.clone();
        scope.spawn(move || carry(carrier, &shown, &places));
        let (to_watcher, shown) = sync_channel(QUEUE);
        scope.spawn(move || watch(pipeline, &shown, &sender));
        let workers = [to_carrier, to_watcher];
        while goes_on(&trial) {
            let item = match items.recv_timeout(WAIT) {
                Ok(item) => item,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let Some(shown) = trial.admit(item) else { continue };
            for worker in &workers {
                anyhow::ensure!(worker.send(shown.clone()).is_ok(), "a thread of the test has ended");
            }
            drop(shown);
            receiver.try_iter().for_each(|update| trial.learn(update));
            trial.advance(spare);
        }
        drop(workers);
        receiver.iter().for_each(|update| trial.learn(update));
        trial.finish(spare);
        Ok(trial.report)
    })
}

/// Finds the face for the carrier.
fn carry(mut builder: CarrierBuilder, shown: &Receiver<Shown>, sender: &Sender<Update>) {
    for shown in shown {
        match shown {
            Shown::Frame(frame) => builder.push(&frame),
            Shown::Gap { .. } => continue,
            Shown::Opened => builder.break_off(),
        }
        // Where the test has ended, nobody wants to know.
        _ = sender.send(Update::Places(builder.settled()));
    }
    _ = sender.send(Update::Places(builder.rest()));
}

/// Watches the footage as it is.
fn watch(mut pipeline: Pipeline, shown: &Receiver<Shown>, sender: &Sender<Update>) {
    let (mut light, mut view) = (Light::default(), View::default());
    for shown in shown {
        let (at_ns, step) = match shown {
            Shown::Frame(frame) => {
                let step = pipeline.push(&frame);
                view = light.view(&frame, step == Step::Moving, pipeline.observation());
                (frame.at_ns, step)
            }
            Shown::Gap { seq, at_ns } => (at_ns, pipeline.gap(seq, at_ns)),
            Shown::Opened => {
                pipeline.reset();
                light = Light::default();
                continue;
            }
        };
        let event = if let Step::Event(movement) = step { Some(movement) } else { None };
        let sample = pipeline.sample().copied();
        let seen = Measured { at_ns, sample, event, counters: *pipeline.counters(), view };
        _ = sender.send(Update::Measured(Box::new(seen)));
    }
    let last = std::iter::from_fn(|| pipeline.finish()).collect();
    _ = sender.send(Update::Ended(last, *pipeline.counters()));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::daemon::selftest::clip;
    use crate::daemon::sources::footage::{Footage, Selection};
    use glint::clip::{AviWriter, Codec, Rate};
    use glint::synth::{Action, Camera, Scene, Script};

    const FPS: f64 = 30.0;

    /// The synthetic subject blinks, turns and talks; as a clip.
    fn film(path: &Path, seconds: f64) {
        let script = Script::new((1..20).map(|k| Action::blink(k * 2_900_000_000)).collect()).expect("valid");
        let subject = glint::inject::Injection::subject().expect("a pack");
        let mut scene = Scene::new(subject, script, Camera::default());
        let rate = Rate::from_fps(FPS).expect("a rate");
        let mut writer = AviWriter::create(path, rate, (640, 480), Codec::Gray).expect("a clip");
        for seq in 0..(seconds * FPS) as u64 {
            writer.write(&scene.frame(seq, FPS).luma).expect("written");
        }
        writer.finish().expect("written");
    }

    /// The frames of a clip, as a source would deliver them.
    fn deliver(path: &Path, items: &std::sync::mpsc::SyncSender<Captured>, spare: &Receiver<Frame>) {
        let mut footage = Footage::open(path, Selection::default()).expect("a clip");
        items.send(Captured::Opened).expect("wanted");
        loop {
            let mut frame = spare.try_recv().unwrap_or_default();
            if footage.next(&mut frame).expect("whole").is_none()
                || items.send(Captured::Frame(frame)).is_err()
            {
                return;
            }
        }
    }

    /// Runs a test on the frames of a clip; the most frames that waited at once.
    fn live(path: &Path, goes_on: impl Fn(&Trial) -> bool) -> (SelftestReport, usize) {
        let models = Models::embedded().expect("models");
        let means = Means { models: &models, options: Options::default(), seed: 5 };
        let (items, out) = sync_channel(4);
        let (spare, spares) = channel();
        let mut most = 0;
        let report = std::thread::scope(|scope| {
            scope.spawn(move || deliver(path, &items, &spares));
            let report = conduct(&means, SelftestReport::default(), &out, &spare, |trial| {
                most = most.max(trial.waiting());
                goes_on(trial)
            });
            drop(out);
            report
        });
        (report.expect("a report"), most)
    }

    #[test]
    fn live_frames_and_a_clip_of_them_give_the_same_and_no_more_than_a_second_is_kept() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("film.avi");
        film(&path, 13.0);
        let models = Models::embedded().expect("models");
        let whole = clip::measure(&path, Selection::default(), 5, 1, &models).expect("a report");
        let (live, most) = live(&path, |_| true);
        assert!(whole.injected >= 5 && whole.found >= 1, "{} of {}", whole.found, whole.injected);
        let (mut whole, mut live) = (whole.json(), live.json());
        // Sums of intervals, and one subtraction.
        for key in ["minutes", "false_per_min"] {
            let near = |v: &serde_json::Value| (v[key].as_f64().expect("a number") * 100.0).round();
            assert_eq!(near(&whole), near(&live), "{key}");
            [&mut whole, &mut live].into_iter().for_each(|v| v[key] = serde_json::Value::Null);
        }
        [&mut whole, &mut live].into_iter().for_each(|v| v["untouched"]["seconds"] = serde_json::Value::Null);
        assert_eq!(whole, live);
        // .81 s to the end of what is planned, .18 s of the carrier, and what is on its way.
        assert!((25..=45).contains(&most), "{most} frames waited");
    }

    #[test]
    fn a_test_that_is_stopped_tells_what_it_has_seen() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("film.avi");
        film(&path, 5.0);
        let (report, _) = live(&path, |trial| trial.last_ns < 3_900_000_000);
        let summary = report.untouched;
        assert!((100..130).contains(&summary.counters.frames), "{}", summary.counters.frames);
        assert!(report.injected >= 1, "what was put in before is counted");
        assert!((3.0..4.2).contains(&summary.seconds), "{}", summary.seconds);
    }
}
