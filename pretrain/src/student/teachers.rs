//! The teachers of a student: networks, what they descend from, and their file.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use glint::model::{Lineage, sha256_hex};
use serde::{Deserialize, Serialize};

use super::finetune::TunedEncoder;
use super::recipe::StudentRecipe;
use crate::backend::CpuTrain;
use crate::contrast::encoder::Encoder;
use crate::contrast::pretraining;
use crate::contrast::recipe::ViewEncoding;
use crate::contrast::views::View;
use crate::net::perceptron::Perceptron;
use crate::run::Run;
use crate::statistics::score::probabilities;
use crate::train::student::{Target, TrainingSample, rows, train};

/// Name of their file in a run's folder.
pub const FILE: &str = "teachers.json";

/// One teacher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Teacher {
    /// Trained from nothing.
    Perceptron(Perceptron),
    /// Begun as an encoder.
    Encoder(TunedEncoder),
}

/// What teachers begin as.
pub enum Start {
    /// The perceptrons of the recipe's section `teacher`, with drawn weights.
    Nothing,
    /// Encoders of motion, trained on by the recipe's section `tuning`; drawn weights where there is no encoder, which is
    /// what pretraining is compared with.
    Encoder(ViewEncoding, Option<Box<Encoder<CpuTrain>>>, Lineage),
}

impl Start {
    /// The encoder of motion of a finished pretraining; nothing without one.
    pub fn from_encoders(encoders: Option<&Path>) -> Result<Self> {
        let Some(dir) = encoders else { return Ok(Self::Nothing) };
        let (recipe, towers) = pretraining::load::<CpuTrain>(dir, &Default::default())?;
        let sides = [(recipe.first, towers.first), (recipe.second, towers.second)];
        let (side, tower) = sides
            .into_iter()
            .find(|(side, _)| side.view == View::Motion)
            .with_context(|| format!("{}: none of its encoders sees motion", dir.display()))?;
        Ok(Self::Encoder(side, Some(Box::new(tower.encoder)), pretraining::lineage(dir)?))
    }
}

/// All teachers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teachers {
    /// What they descend from.
    pub lineage: Lineage,
    /// The networks.
    pub networks: Vec<Teacher>,
}

impl Teachers {
    /// Trains the teachers of a recipe.
    pub fn train(
        recipe: &StudentRecipe,
        start: &Start,
        samples: &[TrainingSample],
        seed: u64,
        run: &Run,
    ) -> Result<Self> {
        let inputs = rows(samples);
        let networks = (0..recipe.teachers)
            .map(|k| {
                let (stage, seed) = (format!("teacher-{k}"), seed.wrapping_mul(1000).wrapping_add(k as u64));
                match start {
                    Start::Nothing => {
                        train(samples, &inputs, &Target::Class, &recipe.teacher, &stage, seed, run)
                            .map(Teacher::Perceptron)
                    }
                    Start::Encoder(side, encoder, _) => {
                        let how = (stage.as_str(), seed);
                        TunedEncoder::train(side, encoder.as_deref(), samples, &recipe.tuning, how, run)
                            .map(Teacher::Encoder)
                    }
                }
            })
            .collect::<Result<_>>()?;
        let lineage = match start {
            Start::Encoder(_, Some(_), lineage) => lineage.clone(),
            _ => Lineage::default(),
        };
        Ok(Self { lineage, networks })
    }

    /// Mean probabilities of all networks.
    pub fn mean_probabilities(&self, samples: &[TrainingSample]) -> Result<Vec<[f32; 3]>> {
        let inputs = rows(samples);
        let mut sum = vec![[0.0; 3]; samples.len()];
        for network in &self.networks {
            let logits = match network {
                Teacher::Perceptron(net) => net.logits(&inputs),
                Teacher::Encoder(net) => net.logits(samples)?,
            };
            for (s, z) in sum.iter_mut().zip(logits) {
                s.iter_mut()
                    .zip(probabilities(&z, 1.0))
                    .for_each(|(s, p)| *s += p / self.networks.len() as f32);
            }
        }
        Ok(sum)
    }

    /// What a student of theirs descends from: their own lineage and the digest of their file.
    pub fn descent(&self) -> Result<Lineage> {
        Ok(Lineage { teachers: Some(sha256_hex(&self.bytes()?)), ..self.lineage.clone() })
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Writes their file.
    pub fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.bytes()?).with_context(|| path.display().to_string())?;
        eprintln!("{}", path.display());
        Ok(())
    }

    /// Reads what [`Self::write`] has written.
    pub fn read(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        let bytes = std::fs::read(path).with_context(name)?;
        let out: Self = serde_json::from_slice(&bytes).with_context(name)?;
        ensure!(!out.networks.is_empty(), "{}: no teachers", name());
        for network in &out.networks {
            match network {
                Teacher::Perceptron(net) => ensure!(net.is_sound(), "{}: not what train writes", name()),
                Teacher::Encoder(net) => net.check().with_context(name)?,
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finetune::tests::{samples, side, tuning};
    use super::*;

    #[test]
    fn teachers_of_both_kinds_are_written_and_read() {
        let dir = tempfile::tempdir().expect("folder");
        let mut recipe = StudentRecipe::read(None, true).expect("recipe");
        recipe.tuning = tuning();
        let run = Run::start_in(dir.path(), 1, &recipe, false).expect("run");
        let samples = samples(60, 1);
        let fresh = Start::Encoder(side(), None, Lineage::default());
        for start in [Start::Nothing, fresh] {
            let teachers = Teachers::train(&recipe, &start, &samples, 3, &run).expect("trains");
            assert_eq!((teachers.networks.len(), &teachers.lineage), (2, &Lineage::default()));
            let probabilities = teachers.mean_probabilities(&samples).expect("probabilities");
            assert!(probabilities.iter().all(|p| (p.iter().sum::<f32>() - 1.0).abs() < 1e-4));
            let path = dir.path().join("teachers.json");
            teachers.write(&path).expect("writes");
            let read = Teachers::read(&path).expect("reads");
            assert_eq!(read.mean_probabilities(&samples).expect("probabilities"), probabilities);
            let digest = sha256_hex(&std::fs::read(&path).expect("file"));
            assert_eq!(read.descent().expect("digest").teachers, Some(digest));
        }
        let path = dir.path().join("none.json");
        std::fs::write(&path, r#"{"lineage": {}, "networks": []}"#).expect("writes");
        assert!(Teachers::read(&path).expect_err("empty").to_string().contains("none.json: no teachers"));
    }
}
