//! The self-test of a clip: several runs over it, each with other movements.

use std::path::Path;

use glint::clip::Media;
use glint::event::Movement;
use glint::frame::Frame;
use glint::inject::{Carrier, CarrierBuilder};
use glint::pipeline::{Models, Options, Pipeline, Step};

use super::calm::Calm;
use super::plan::Planner;
use super::report::SelftestReport;
use super::retouch::Retouch;
use super::score::Score;
use crate::daemon::sources::footage::{Footage, Selection};
use crate::daemon::summary::Summary;

/// Runs the test.
pub(crate) fn measure(
    path: &Path,
    selection: Selection,
    seed: u64,
    rounds: u32,
    models: &Models,
) -> anyhow::Result<SelftestReport> {
    let carrier = carry(path, selection, models)?;
    let mut calm = Calm::default();
    let (alone, untouched) = watch(path, selection, models, None, Some(&mut calm))?;
    let mut report = SelftestReport { alone: alone.len(), untouched, ..SelftestReport::default() };
    for round in 0..rounds {
        let mut score = plan(&carrier, &calm, Planner::new(seed, round)?);
        let (movements, watched) = watch(path, selection, models, Some((&carrier, &score)), None)?;
        movements.into_iter().for_each(|movement| score.event(movement));
        alone.iter().for_each(|movement| score.alone(movement.clone()));
        score.settle(i64::MAX, &calm, &mut report);
        report.end_round(&watched.counters);
    }
    Ok(report)
}

/// Where the face is in each frame.
fn carry(path: &Path, selection: Selection, models: &Models) -> anyhow::Result<Carrier> {
    let mut clip = Footage::open(path, selection)?;
    let mut builder = CarrierBuilder::new(models)?;
    let mut frame = Frame::default();
    while let Some(media) = clip.next(&mut frame)? {
        if matches!(media, Media::Frame) {
            builder.push(&frame);
        }
    }
    Ok(builder.finish())
}

/// The movements of a round.
fn plan(carrier: &Carrier, calm: &Calm, mut planner: Planner) -> Score {
    let mut score = Score::default();
    if let Some((first, last)) = carrier.span() {
        std::iter::from_fn(|| planner.next(first, last, carrier, calm)).for_each(|m| score.inject(m));
    }
    score
}

/// The clip through a pipeline of its own, as it is or with movements in it. No frame is written.
fn watch(
    path: &Path,
    selection: Selection,
    models: &Models,
    put_in: Option<(&Carrier, &Score)>,
    mut calm: Option<&mut Calm>,
) -> anyhow::Result<(Vec<Movement>, Summary)> {
    let mut clip = Footage::open(path, selection)?;
    let mut pipeline = Pipeline::new(Options::default(), models)?;
    let (mut frame, mut retouch) = (Frame::default(), Retouch::default());
    let (mut movements, mut first_ns, mut seconds) = (Vec::new(), None, 0.0);
    while let Some(media) = clip.next(&mut frame)? {
        let step = match media {
            Media::Damaged { seq, at_ns, .. } => pipeline.gap(seq, at_ns),
            Media::Frame => pipeline.push(match put_in {
                Some((carrier, score)) => retouch.apply(&frame, carrier, score.injected()),
                None => &frame,
            }),
        };
        if let Some(calm) = &mut calm {
            calm.push(frame.at_ns, pipeline.sample());
        }
        if let Step::Event(movement) = step {
            movements.push(movement);
        }
        seconds = (frame.at_ns - *first_ns.get_or_insert(frame.at_ns)) as f64 / 1e9;
    }
    movements.extend(std::iter::from_fn(|| pipeline.finish()));
    Ok((movements, Summary { counters: *pipeline.counters(), seconds }))
}
