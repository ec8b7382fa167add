//! Training samples, teachers, and the student that learns from them.

use std::path::Path;

use anyhow::{Result, ensure};

use super::recipe::Recipe;
use crate::corpus::person::{self, Split};
use crate::net::perceptron::Perceptron;
use crate::run::Run;
use crate::train::student::{Target, TrainingSample, ensemble, train};

/// Training samples of a recipe.
pub fn material(recipe: &Recipe, assets: &Path, seed: u64) -> Result<Vec<TrainingSample>> {
    let people = person::people(assets, Split::Train, recipe.material.people, seed)?;
    recipe.material.pairs(&people.people, seed)
}

/// Trains the teachers.
pub fn teachers(
    recipe: &Recipe,
    pairs: &[TrainingSample],
    inputs: &[f32],
    seed: u64,
    run: &Run,
) -> Result<Vec<Perceptron>> {
    (0..recipe.teachers)
        .map(|k| {
            let seed = seed.wrapping_mul(1000).wrapping_add(k as u64);
            train(pairs, inputs, &Target::Class, &recipe.teacher, &format!("teacher-{k}"), seed, run)
        })
        .collect()
}

/// Trains the student on what its teachers say.
pub fn distil(
    recipe: &Recipe,
    pairs: &[TrainingSample],
    inputs: &[f32],
    teachers: &[Perceptron],
    seed: u64,
    run: &Run,
) -> Result<Perceptron> {
    let said = ensemble(teachers, inputs)?;
    let student = train(
        pairs,
        inputs,
        &Target::Teacher(&said),
        &recipe.student,
        "student",
        seed.wrapping_mul(1000) + 999,
        run,
    )?;
    ensure!(student.parameters() <= 150_000, "the student has {} parameters", student.parameters());
    Ok(student)
}
