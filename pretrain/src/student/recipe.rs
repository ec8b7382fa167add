//! What is fixed before the student is trained.

use std::path::Path;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::finetune::FineTuning;
use crate::run::recipe;
use crate::train::student::{SyntheticMaterial, Training};

/// Everything that is fixed beforehand.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentRecipe {
    /// Networks whose mean the student learns.
    pub teachers: usize,
    /// People who train nothing: half of them calibrate, half are reported.
    pub held_out_people: usize,
    /// Rendered pairs of these people.
    pub held_out_pairs: usize,
    /// Training samples.
    pub material: SyntheticMaterial,
    /// How a teacher is trained from nothing.
    pub teacher: Training,
    /// How a teacher is trained that begins as an encoder.
    pub tuning: FineTuning,
    /// How the student is trained.
    pub student: Training,
    /// When the student says nothing.
    pub abstention: Abstention,
}

/// How the threshold of abstention is chosen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abstention {
    /// Accuracy wanted of what is not abstained from.
    pub accuracy: f32,
    /// The threshold is never above this.
    pub greatest: f32,
}

impl StudentRecipe {
    /// Reads a recipe, or the built-in one.
    pub fn read(path: Option<&Path>, quick: bool) -> Result<Self> {
        let mut recipe: Self =
            recipe::read(path, "recipes/student.toml", include_str!("../../recipes/student.toml"))?;
        if quick {
            (recipe.teachers, recipe.held_out_people, recipe.held_out_pairs) = (2, 4, 120);
            let material = &mut recipe.material;
            (material.people, material.fields, material.rendered) = (6, 600, 60);
            let Self { teacher, tuning, student, .. } = &mut recipe;
            for schedule in [&mut teacher.schedule, &mut tuning.schedule, &mut student.schedule] {
                (schedule.steps, schedule.batch) = (40, 64);
            }
        }
        ensure!(
            recipe.teachers > 0 && recipe.held_out_people >= 2,
            "recipe: teachers or held_out_people is too small"
        );
        Ok(recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_recipe_is_read() {
        let recipe = StudentRecipe::read(None, false).expect("recipe");
        assert!(recipe.teachers >= 3);
    }
}
