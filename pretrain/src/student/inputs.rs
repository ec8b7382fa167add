//! What the student could see beyond motion at 28 x 28, on the daemon's own road.

use std::path::Path;

use anyhow::Result;
use glint::face::{CROP_HEIGHT, CROP_WIDTH};
use glint::flow::Flow;
use glint::pipeline::pair_engine;
use glint::student::{pool2, prepare, resample};
use rayon::prelude::*;

use super::recipe::StudentRecipe;
use crate::augment::generator;
use crate::corpus::person::{self, Person, Split};
use crate::run::{Run, bar};
use crate::statistics::score::{Confusion, argmax, mean_sd};
use crate::train::student::{Crops, Target, TrainingSample, train};

/// Crop pixels a side of a fine cell.
const FINE: usize = 4;

/// The kinds of input of one movement, by name.
const KINDS: [&str; 5] =
    ["motion 14x14 (shipped)", "motion 28x28", "motion 32x40", "motion + magnitude", "motion + appearance"];

fn inputs(crops: &Crops) -> [Vec<f32>; 5] {
    let mut engine = pair_engine();
    engine.set_reference(&crops.onset);
    let flow = engine.run(&crops.apex);
    let motion = prepare(flow);
    let shipped = pool2(&motion);
    let small = resample(flow);
    // Cells moved, on a logarithmic scale: what scaling by the RMS takes away.
    let size = |plane: &[f32]| {
        let square = plane.iter().map(|v| v * v).sum::<f32>() / plane.len() as f32;
        square.sqrt().max(1e-3).ln() + 2.0
    };
    let difference: Vec<f32> = crops.apex.iter().zip(&crops.onset).map(|(a, b)| a - b).collect();
    let magnitude = [shipped.clone(), vec![size(&small.u), size(&small.v)]].concat();
    let appearance = [shipped.clone(), scaled(means(&difference))].concat();
    [shipped, motion, fine(flow), magnitude, appearance]
}

/// Means over cells of [`FINE`] crop pixels.
fn means(plane: &[f32]) -> Vec<f32> {
    let (w, h) = (CROP_WIDTH / FINE, CROP_HEIGHT / FINE);
    let cell = |i: usize| {
        let (x, y) = (i % w * FINE, i / w * FINE);
        let rows = (y..y + FINE).flat_map(|r| &plane[r * CROP_WIDTH + x..][..FINE]);
        rows.sum::<f32>() / (FINE * FINE) as f32
    };
    (0..w * h).map(cell).collect()
}

/// Less the mean, over the RMS.
fn scaled(mut values: Vec<f32>) -> Vec<f32> {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32;
    let scale = 1.0 / square.sqrt().max(1e-6);
    values.iter_mut().for_each(|v| *v = ((*v - mean) * scale).clamp(-6.0, 6.0));
    values
}

fn fine(flow: &Flow) -> Vec<f32> {
    let mut strain = Vec::new();
    flow.strain(&mut strain);
    [&flow.u, &flow.v, &strain].into_iter().flat_map(|p| scaled(means(p))).collect()
}

/// Movements with all kinds of input.
struct Set {
    pairs: Vec<TrainingSample>,
    /// Rows of each kind.
    rows: [Vec<f32>; 5],
}

fn render(recipe: &StudentRecipe, people: &[Person], count: u64, seed: u64) -> Set {
    let progress = bar("rendered movements", count);
    let drawn: Vec<(TrainingSample, [Vec<f32>; 5])> = (0..count)
        .into_par_iter()
        .map(|i| {
            let mut rng = generator(seed, i);
            let crops = recipe.material.crops(&people[i as usize % people.len()], &mut rng);
            let kinds = inputs(&crops);
            progress.inc(1);
            // The motion itself is among the kinds.
            (TrainingSample { motion: Vec::new(), class: crops.class, aus: crops.aus }, kinds)
        })
        .collect();
    progress.finish_and_clear();
    let mut set = Set { pairs: Vec::new(), rows: Default::default() };
    for (pair, kinds) in drawn {
        set.pairs.push(pair);
        set.rows.iter_mut().zip(kinds).for_each(|(rows, kind)| rows.extend(kind));
    }
    set
}

/// A row of the comparison.
pub struct Row {
    /// Kind of input.
    pub name: &'static str,
    /// Numbers of it.
    pub size: usize,
    /// UF1 on people who trained nothing: mean over the networks.
    pub uf1: f64,
    /// Standard deviation.
    pub uf1_sd: f64,
}

/// Trains `seeds` networks for each kind of input on `samples` movements; a quarter as many are tested. Gives the rows and
/// the number of movements tested.
pub fn compare(
    recipe: &StudentRecipe,
    assets: &Path,
    samples: u64,
    seeds: u64,
    run: &Run,
) -> Result<(Vec<Row>, usize)> {
    let people = |split, count, seed| person::people(assets, split, count, seed).map(|p| p.people);
    let training = render(recipe, &people(Split::Train, recipe.material.people, 1)?, samples, 11);
    let test = render(recipe, &people(Split::HeldOut, recipe.held_out_people, 1)?, samples / 4, 12);
    let mut table = Vec::new();
    for (k, name) in KINDS.into_iter().enumerate() {
        let mut scores = Vec::new();
        let rows = &training.rows[k];
        let size = rows.len() / training.pairs.len();
        for seed in 0..seeds {
            let stage = format!("input-{k}-{seed}");
            let net = train(&training.pairs, rows, &Target::Class, &recipe.teacher, &stage, seed + 1, run)?;
            let logits = net.logits(&test.rows[k]);
            scores.push(
                Confusion::from_pairs(test.pairs.iter().zip(&logits).map(|(p, z)| (p.class, argmax(z))))
                    .uf1(),
            );
        }
        let (uf1, uf1_sd) = mean_sd(&scores);
        table.push(Row { name, size, uf1, uf1_sd });
    }
    Ok((table, test.pairs.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::student::TrueAus;
    use glint::student::SIDE;

    #[test]
    fn every_kind_has_its_size_and_no_movement_is_no_number_lost() {
        let still = vec![100.0; CROP_WIDTH * CROP_HEIGHT];
        let crops = Crops { onset: still.clone(), apex: still, class: 0, aus: TrueAus::default() };
        let kinds = inputs(&crops);
        let sizes = kinds.each_ref().map(Vec::len);
        assert_eq!(sizes, [588, 3 * SIDE * SIDE, 3 * 32 * 40, 590, 588 + 32 * 40]);
        assert!(kinds.iter().flatten().all(|v| v.is_finite()));
    }
}
