//! A model observer: the daemon's own measurement in the place of a participant.
//!
//! Rendered people sit before a camera with its noise and are never still: they sway, drift, breathe, look about, and every
//! muscle has its fine tension (`corpus/living.rs`). Now and then one AU moves for 300 ms. The observer's impression of an
//! interval is what the gate looks at: how far the AU rises in it above the higher one of its two ends. In a forced choice among M intervals it points at the one with the greatest impression, so it is right with probability
//! F(impression of the movement)^(M-1), F the distribution of impressions where nothing moves. M = 2 is the experiment
//! for people; a gate that watches all day chooses among many intervals, and its threshold lies higher.

use std::collections::BTreeMap;

use anyhow::Result;
use glint::au::{AUS, Side, UNIT_COUNT};
use glint::frame::Frame;
use glint::intensity::by_au;
use glint::pipeline::{Models, Options, Pipeline};
use glint::synth::{Action, Camera, Pack, Profile, Scene, Script, Subject};
use indicatif::ProgressBar;
use rand::Rng;
use rand::rngs::SmallRng;
use rayon::prelude::*;

use super::export::Entry;
use super::psychometric::{Level, Psychometric, Threshold};
use crate::augment::generator;
use crate::corpus::living;
use crate::corpus::person::Split;

/// What is shown to the observer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setup {
    /// Movements of each AU at each level.
    pub repeats: usize,
    /// Frames per second.
    pub fps: f64,
    /// Multiplies the camera's noise: 1 is a webcam in a lit room, whose read noise is drawn between 0.5 and 1.5 gray
    /// levels.
    pub noise: f32,
    /// Chooses people, cameras and order.
    pub seed: u64,
}

/// Intensities that are shown.
pub const LEVELS: [f32; 8] = [0.08, 0.14, 0.22, 0.35, 0.55, 0.85, 1.3, 2.0];
/// Movements of one sitting.
const MOVEMENTS: usize = 10;
/// Quiet time in which the neutral face is learned.
const LEAD_IN_MS: i64 = 1500;
/// A sitting alternates intervals without and with a movement, each so long.
const INTERVAL_MS: i64 = 500;
/// Onset, apex and offset after the start of an interval.
const MOVEMENT_MS: [i64; 3] = [50, 170, 350];

/// Impressions of the observer.
#[derive(Debug, Clone, Default)]
pub struct Impressions {
    /// Of each AU: (level shown, impression).
    pub moved: BTreeMap<u8, Vec<(f32, f32)>>,
    /// Of each AU, where nothing moved.
    pub still: BTreeMap<u8, Vec<f32>>,
    /// Intervals in which the face could not be measured throughout.
    pub lost: usize,
}

/// Collects impressions; people in parallel, the result independent of the number of threads.
pub fn watch(models: &Models, pack: &Pack, setup: &Setup, bar: &ProgressBar) -> Result<Impressions> {
    let mut shows: Vec<(u8, f32)> = AUS
        .iter()
        .flat_map(|&au| LEVELS.iter().flat_map(move |&level| std::iter::repeat_n((au, level), setup.repeats)))
        .collect();
    let mut rng = generator(setup.seed, u64::MAX - 1);
    for i in (1..shows.len()).rev() {
        shows.swap(i, rng.random_range(0..=i));
    }
    let sittings: Vec<&[(u8, f32)]> = shows.chunks(MOVEMENTS).collect();
    bar.set_length(sittings.len() as u64);
    let seen: Vec<Impressions> = sittings
        .par_iter()
        .enumerate()
        .map(|(i, shows)| sitting(models, pack, setup, i as u64, shows).inspect(|_| bar.inc(1)))
        .collect::<Result<_>>()?;
    let mut out = Impressions::default();
    for one in seen {
        one.moved.into_iter().for_each(|(au, v)| out.moved.entry(au).or_default().extend(v));
        one.still.into_iter().for_each(|(au, v)| out.still.entry(au).or_default().extend(v));
        out.lost += one.lost;
    }
    Ok(out)
}

fn camera(rng: &mut SmallRng, noise: f32) -> Camera {
    Camera {
        eye_distance_px: rng.random_range(64.0..110.0),
        read_noise: noise * rng.random_range(0.5..1.5),
        shot_noise: noise * noise * rng.random_range(0.004..0.015),
        exposure: rng.random_range(0.7..1.1),
        seed: rng.random(),
        ..Camera::default()
    }
}

fn sitting(
    models: &Models,
    pack: &Pack,
    setup: &Setup,
    index: u64,
    shows: &[(u8, f32)],
) -> Result<Impressions> {
    let mut rng = generator(setup.seed, index);
    let subject = loop {
        let person = u64::from(rng.random::<u32>());
        if Split::Train.takes(&format!("synthetic-{person}")) {
            break Subject::random(pack.clone(), person);
        }
    };
    let start = |interval: usize| LEAD_IN_MS + INTERVAL_MS * interval as i64;
    // Interval 2k is still, interval 2k + 1 shows movement k.
    let actions = shows.iter().enumerate().map(|(k, &(au, level))| {
        let [onset_ns, apex_ns, offset_ns] = MOVEMENT_MS.map(|ms| 1_000_000 * (start(2 * k + 1) + ms));
        let intensity = level / 5.0;
        Action { au, side: Side::Both, intensity, onset_ns, apex_ns, offset_ns, profile: Profile::Cosine }
    });
    let script = Script { actions: actions.collect(), ..living::ambience(&mut rng) };
    let mut scene = Scene::new(subject, script, camera(&mut rng, setup.noise));
    let mut pipeline = Pipeline::new(Options::default(), models)?;
    let mut frame = Frame::default();
    let intervals = 2 * shows.len();
    // Of every unit in each interval: the levels at its start, the greatest ones, and those at its end.
    let mut courses: Vec<Option<[[f32; UNIT_COUNT]; 3]>> = vec![None; intervals];
    let mut complete = vec![true; intervals];
    let end_ms = start(intervals);
    for seq in 0..(end_ms as f64 * setup.fps / 1e3) as u64 {
        let at_ns = (seq as f64 * 1e9 / setup.fps).round() as i64;
        scene.render(seq, at_ns, &mut frame);
        pipeline.push(&frame);
        let Ok(interval) = usize::try_from((at_ns / 1_000_000 - LEAD_IN_MS).div_euclid(INTERVAL_MS)) else {
            continue;
        };
        if interval >= intervals {
            break;
        }
        match pipeline.sample().map(|s| s.levels) {
            Some(now) => {
                let [_, greatest, last] = courses[interval].get_or_insert([now; 3]);
                greatest.iter_mut().zip(now).for_each(|(g, v)| *g = g.max(v));
                *last = now;
            }
            None => complete[interval] = false,
        }
    }
    let mut out = Impressions::default();
    for (interval, (course, complete)) in courses.iter().zip(&complete).enumerate() {
        let Some([first, greatest, last]) = course.as_ref().filter(|_| *complete) else {
            out.lost += 1;
            continue;
        };
        let rises = by_au(&std::array::from_fn(|k| greatest[k] - first[k].max(last[k])));
        if interval % 2 == 0 {
            AUS.iter().zip(rises).for_each(|(au, rise)| out.still.entry(*au).or_default().push(rise));
        } else {
            let (au, level) = shows[interval / 2];
            let k = AUS.iter().position(|a| *a == au).unwrap_or_default();
            out.moved.entry(au).or_default().push((level, rises[k]));
        }
    }
    Ok(out)
}

/// Share of still intervals with a smaller impression; equal ones count half, as a guess between them would.
fn below(sorted: &[f32], impression: f32) -> f64 {
    let less = sorted.partition_point(|v| *v < impression);
    let upto = sorted.partition_point(|v| *v <= impression);
    (less as f64 + 0.5 * (upto - less) as f64) / sorted.len().max(1) as f64
}

/// Right answers by level in a choice among `intervals`.
pub fn answers(moved: &[(f32, f32)], still: &[f32], intervals: u32) -> Vec<Level> {
    let mut sorted = still.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    LEVELS
        .iter()
        .map(|&level| {
            let at_level = || moved.iter().filter(|(l, _)| *l == level);
            let right = at_level().map(|(_, i)| below(&sorted, *i).powi(intervals as i32 - 1)).sum();
            Level { intensity: f64::from(level), right, trials: at_level().count() as f64 }
        })
        .collect()
}

/// Threshold of each AU in a choice among `intervals`, at the share `level` of right answers. The bootstrap draws
/// movements and still intervals anew.
pub fn thresholds(
    seen: &Impressions,
    intervals: u32,
    level: f64,
    draws: usize,
    seed: u64,
) -> BTreeMap<u8, Entry> {
    let guess = 1.0 / f64::from(intervals);
    let one = |moved: &[(f32, f32)], still: &[f32]| {
        Psychometric::fit(&answers(moved, still, intervals), guess)?.threshold(level)
    };
    let mut out = BTreeMap::new();
    for au in AUS {
        let (Some(moved), Some(still)) = (seen.moved.get(&au), seen.still.get(&au)) else { continue };
        let origin = format!("model observer, {} movements, {} still intervals", moved.len(), still.len());
        let threshold = one(moved, still).map(|value| {
            let mut values: Vec<f64> = (0..draws as u64)
                .filter_map(|draw| {
                    let mut rng = generator(seed ^ u64::from(au), draw);
                    let again: Vec<(f32, f32)> =
                        moved.iter().map(|_| moved[rng.random_range(0..moved.len())]).collect();
                    let quiet: Vec<f32> =
                        still.iter().map(|_| still[rng.random_range(0..still.len())]).collect();
                    one(&again, &quiet)
                })
                .collect();
            values.sort_unstable_by(f64::total_cmp);
            let at = |q: f64| {
                values.get(((values.len().max(1) - 1) as f64 * q).round() as usize).copied().unwrap_or(value)
            };
            Threshold { value, interval: (at(0.025), at(0.975)) }
        });
        let origin = if threshold.is_some() { origin } else { format!("{origin}: never reached") };
        out.insert(au, Entry { threshold, origin });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::normal;

    /// Impressions of an observer with Gaussian noise: d' grows with intensity.
    fn gaussian(sensitivity: f32) -> Impressions {
        let mut rng = generator(5, 0);
        let mut out = Impressions::default();
        let still = (0..3000).map(|_| normal(&mut rng)).collect();
        let moved = LEVELS
            .iter()
            .flat_map(|l| std::iter::repeat_n(*l, 400))
            .map(|l| (l, sensitivity * l + normal(&mut rng)));
        out.moved.insert(12, moved.collect());
        out.still.insert(12, still);
        out
    }

    #[test]
    fn two_intervals_of_a_gaussian_observer_give_its_known_threshold() {
        // In two intervals 75 % is reached at d' = sqrt(2) z(.75) = 0.954.
        let seen = gaussian(2.0);
        let two = thresholds(&seen, 2, 0.75, 40, 1)[&12].threshold.expect("reached");
        assert!((two.value - 0.954 / 2.0).abs() < 0.06, "{two:?}");
        assert!(two.interval.0 < two.value && two.value < two.interval.1);
        // More intervals to choose from ask for more.
        let many = thresholds(&seen, 32, 0.75, 0, 1)[&12].threshold.expect("reached");
        assert!(many.value > 1.5 * two.value, "{many:?}");
        let blind = thresholds(&gaussian(0.0), 2, 0.75, 0, 1);
        assert!(blind[&12].threshold.is_none_or(|t| t.value > 2.0), "{blind:?}");
    }

    #[test]
    fn the_observer_sees_a_strong_smile() {
        let models = Models::embedded().expect("models");
        let pack = Pack::embedded().expect("pack");
        let setup = Setup { repeats: 1, fps: 50.0, noise: 1.0, seed: 2 };
        let seen = sitting(&models, &pack, &setup, 0, &[(12, 2.0), (12, 2.0)]).expect("watches");
        assert_eq!(seen.lost + seen.moved[&12].len() + seen.still[&12].len(), 4);
        let strongest = seen.still[&12].iter().copied().fold(0.0, f32::max);
        assert!(seen.moved[&12].iter().all(|(_, i)| *i > strongest + 0.3), "{seen:?}");
    }
}
