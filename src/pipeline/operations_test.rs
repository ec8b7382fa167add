//! Sequences of all that can be done to a pipeline, and what always holds.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::synth::{Action, Camera, Pack, Scene, Script, Subject};

/// Frames per second.
const FPS: f64 = 60.0;
const FRAME_NS: i64 = (1e9 / FPS) as i64;

#[derive(Debug, Clone)]
enum Operation {
    /// So many frames, one after the other.
    Push(u64),
    /// So many frames hold the picture of the last one.
    Repeat(u64),
    /// So many frames never come.
    Lose(u64),
    /// One cannot be decoded.
    Damage,
    Calibrate,
    /// The camera was closed and opened.
    Reset,
    /// The camera has another mode from now on.
    Resize,
    /// The clock of the source starts anew.
    Restart,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        6 => (1u64..90).prop_map(Operation::Push),
        1 => (1u64..6).prop_map(Operation::Repeat),
        1 => (1u64..4).prop_map(Operation::Lose),
        1 => Just(Operation::Damage),
        1 => Just(Operation::Calibrate),
        1 => Just(Operation::Reset),
        1 => Just(Operation::Resize),
        1 => Just(Operation::Restart),
    ];
    prop::collection::vec(operation, 4..14)
}

/// A pipeline, what it looks at, and what it was told.
struct Rig {
    pipeline: Pipeline,
    scenes: [Scene; 2],
    mode: usize,
    seq: u64,
    /// Taken off the time of a frame: a source that starts anew counts from 0 again.
    epoch_ns: i64,
    frame: Frame,
    /// Frames and damaged ones that were handed over.
    handed: u64,
    /// Times, since the source started, across which nothing may be told: of one stretch of faces and of the next.
    cuts: Vec<i64>,
    /// Movements that came from before the source started anew may still be told.
    earlier: bool,
    events: usize,
}

impl Rig {
    fn new() -> Self {
        // A movement of another part of the face every 0.9 s.
        let actions = [12u8, 4, 1, 15, 9, 12, 4, 1, 15, 9, 12, 4, 1, 15, 9];
        let actions = actions
            .into_iter()
            .enumerate()
            .map(|(k, au)| Action::micro(au, 0.35, 900_000_000 * (k as i64 + 1)));
        let script = Script::new(actions.collect()).expect("valid");
        let pack = Pack::embedded().expect("pack");
        let scene = |width, height| {
            let camera = Camera { width, height, eye_distance_px: 70.0, ..Camera::default() };
            Scene::new(Subject::random(pack.clone(), 3), script.clone(), camera)
        };
        let kinds = vec![crate::event::Kind::Micro, crate::event::Kind::Macro, crate::event::Kind::Blink];
        let options = Options { kinds, ..Options::default() };
        Self {
            pipeline: Pipeline::new(options, &Models::embedded().expect("models")).expect("pipeline"),
            scenes: [scene(320, 240), scene(400, 300)],
            mode: 0,
            seq: 0,
            epoch_ns: 0,
            frame: Frame::default(),
            handed: 0,
            cuts: Vec::new(),
            earlier: false,
            events: 0,
        }
    }

    fn now_ns(&self) -> i64 {
        self.seq as i64 * FRAME_NS - self.epoch_ns
    }

    fn cut(&mut self) {
        self.cuts.push(self.now_ns());
    }

    fn check(&mut self, movement: &Movement) -> Result<(), TestCaseError> {
        self.events += 1;
        let Movement { onset_ns, apex_ns, offset_ns, .. } = *movement;
        prop_assert!(onset_ns < apex_ns && apex_ns < offset_ns, "{onset_ns} {apex_ns} {offset_ns}");
        prop_assert!(movement.aus.iter().all(|a| (0.0..=5.0).contains(&a.intensity)));
        if !std::mem::take(&mut self.earlier) {
            prop_assert!(offset_ns <= self.now_ns(), "an event of {offset_ns} at {}", self.now_ns());
            for cut in &self.cuts {
                prop_assert!(
                    !(onset_ns < *cut && *cut < offset_ns),
                    "{onset_ns} to {offset_ns} across {cut}"
                );
            }
        }
        Ok(())
    }

    fn render(&mut self) {
        self.scenes[self.mode].render(self.seq, self.seq as i64 * FRAME_NS, &mut self.frame);
    }

    fn push(&mut self) -> Result<(), TestCaseError> {
        (self.frame.seq, self.frame.at_ns) = (self.seq, self.now_ns());
        self.handed += 1;
        let step = self.pipeline.push(&self.frame);
        if let Step::Event(movement) = &step {
            self.check(movement)?;
        }
        let seen = self.pipeline.observation();
        prop_assert_eq!(
            step == Step::NoFace,
            seen.bounds.is_none() && !matches!(step, Step::Event(_) | Step::Gap)
        );
        prop_assert!(seen.fps.is_finite() && seen.jitter.is_finite());
        prop_assert_eq!(self.pipeline.counters().frames, self.handed);
        self.seq += 1;
        Ok(())
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), TestCaseError> {
        match *operation {
            Operation::Push(count) => (0..count).try_for_each(|_| {
                self.render();
                self.push()
            })?,
            // Before the first picture there is none to repeat.
            Operation::Repeat(_) if self.frame.luma.is_empty() => {}
            Operation::Repeat(count) => (0..count).try_for_each(|_| self.push())?,
            Operation::Lose(count) => {
                self.cut();
                self.seq += count;
            }
            Operation::Damage => {
                self.cut();
                self.handed += 1;
                prop_assert_eq!(self.pipeline.gap(self.seq, self.now_ns()), Step::Gap);
                prop_assert!(self.pipeline.observation().bounds.is_none());
                self.seq += 1;
            }
            Operation::Calibrate => self.pipeline.calibrate(),
            Operation::Reset => {
                self.cut();
                self.pipeline.reset();
                prop_assert!(self.pipeline.stabilised().is_none() && self.pipeline.sample().is_none());
            }
            Operation::Resize => {
                self.cut();
                self.mode = 1 - self.mode;
            }
            Operation::Restart => {
                self.epoch_ns = self.seq as i64 * FRAME_NS;
                self.cuts.clear();
                self.earlier = true;
            }
        }
        Ok(())
    }

    /// Takes what is left; it ends.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..100 {
            let Some(movement) = self.pipeline.finish() else { return Ok(()) };
            self.check(&movement)?;
        }
        prop_assert!(false, "a hundred movements wait");
        Ok(())
    }
}

#[test]
fn whatever_is_done_movements_are_whole_and_in_the_past() {
    let config = Config { cases: 12, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let events = std::cell::Cell::new(0);
    let outcome = runner.run(&operations(), |operations| {
        let mut rig = Rig::new();
        operations.iter().try_for_each(|o| rig.apply(o))?;
        rig.finish()?;
        events.set(events.get() + rig.events);
        Ok(())
    });
    outcome.expect("the invariants hold");
    // Otherwise nothing has been asked of them.
    assert!(events.get() >= 5, "{} events", events.get());
}
