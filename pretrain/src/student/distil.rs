//! Training samples, and the student that learns what its teachers say of them.

use std::path::Path;

use anyhow::{Result, ensure};

use super::recipe::StudentRecipe;
use super::teachers::Teachers;
use crate::corpus::person::{self, Split};
use crate::net::perceptron::Perceptron;
use crate::run::Run;
use crate::train::student::{Target, TrainingSample, rows, train};

/// Training samples of a recipe.
pub fn material(recipe: &StudentRecipe, assets: &Path, seed: u64) -> Result<Vec<TrainingSample>> {
    let people = person::people(assets, Split::Train, recipe.material.people, seed)?;
    recipe.material.pairs(&people.people, seed)
}

/// Trains the student on what its teachers say.
pub fn distil(
    recipe: &StudentRecipe,
    samples: &[TrainingSample],
    teachers: &Teachers,
    seed: u64,
    run: &Run,
) -> Result<Perceptron> {
    let teacher_probabilities = teachers.mean_probabilities(samples)?;
    let student = train(
        samples,
        &rows(samples),
        &Target::Teacher(&teacher_probabilities),
        &recipe.student,
        "student",
        seed.wrapping_mul(1000) + 999,
        run,
    )?;
    ensure!(student.parameters() <= 150_000, "the student has {} parameters", student.parameters());
    Ok(student)
}
