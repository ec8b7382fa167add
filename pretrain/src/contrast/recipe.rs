//! What a contrastive training fixes beforehand.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::shape::EncoderShape;
use super::views::{View, shape};
use crate::run;

/// One view and its encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewEncoding {
    /// The view.
    pub view: View,
    /// Crop pixels a side of each value of an image view: 1, 2 or 4. Motion is 28 x 28 whatever stands here.
    pub reduce: usize,
    /// The encoder.
    pub encoder: EncoderShape,
}

impl ViewEncoding {
    /// Channels, rows, columns.
    pub fn shape(&self) -> [usize; 3] {
        shape(self.view, self.reduce)
    }
}

/// Where negatives come from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub enum Negatives {
    /// The other pairs of the batch.
    InBatch {
        /// Pairs whose AU intensities are alike count as partly positive, falling off with this width on the scale 0 to
        /// 5; 0 for plain positives.
        alike: f32,
    },
    /// Embeddings of other pairs as they were some steps ago (the paper).
    Bank {
        /// How many are drawn for each step (K).
        count: usize,
        /// Share of the old embedding that stays at each update.
        momentum: f32,
    },
}

/// Defects of the paper's public code, for comparison.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defects {
    /// The second view's logits are overwritten by the first's: its encoder gets no gradient.
    pub second_without_gradient: bool,
    /// Flips are drawn for each view by itself.
    pub unpaired_flips: bool,
    /// Share of pairs whose second view is another pair's.
    pub mismatched: f32,
}

/// How weights are moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum Optimiser {
    /// Stochastic gradient descent with momentum; the rate falls to a tenth at 2/3 and at 5/6 of the epochs (160 and 200 of
    /// 240 in the paper's code).
    Sgd {
        /// Rate.
        rate: f64,
        /// Momentum.
        momentum: f64,
        /// Weight decay.
        decay: f32,
    },
    /// AdamW; a tenth of the steps warms up, a cosine ends at 1 %.
    Adamw {
        /// Peak rate.
        rate: f64,
        /// Decoupled weight decay.
        decay: f32,
    },
}

/// A recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainRecipe {
    /// Passes over the pairs.
    pub epochs: usize,
    /// Pairs a step.
    pub batch: usize,
    /// Temperature (T).
    pub temperature: f32,
    /// Whether half of the pairs are mirrored, both views together.
    pub flip: bool,
    /// Standard deviation of the noise on every input, drawn for each view by itself; their channels have an RMS of 1.
    #[serde(default)]
    pub noise: f32,
    /// The first view.
    pub first: ViewEncoding,
    /// The second view.
    pub second: ViewEncoding,
    /// Negatives.
    pub negatives: Negatives,
    /// Optimiser.
    pub optimiser: Optimiser,
    /// Defects that are switched on.
    #[serde(default)]
    pub defects: Defects,
}

impl PretrainRecipe {
    /// Reads a recipe by its name or from its file.
    pub fn named(name: &str) -> Result<Self> {
        let built_in = BUILT_IN.iter().find(|(n, _)| *n == name);
        let recipe: Self = match built_in {
            Some((name, text)) => run::recipe::parse(name, text)?,
            None => run::recipe::read(Some(Path::new(name)), name, "")?,
        };
        recipe.check().with_context(|| name.to_owned())?;
        Ok(recipe)
    }

    /// The recipe with little of everything: a run of seconds.
    pub fn quick(self) -> Self {
        Self { epochs: 2, batch: self.batch.min(32), ..self }
    }

    /// Fails where it cannot be followed; the message names the key.
    pub fn check(&self) -> Result<()> {
        ensure!((1..=100_000).contains(&self.epochs), "epochs: 1 to 100000");
        ensure!((2..=65_536).contains(&self.batch), "batch: 2 to 65536");
        ensure!(self.temperature > 0.0 && self.temperature <= 10.0, "temperature: above 0, up to 10");
        ensure!((0.0..=10.0).contains(&self.noise), "noise: 0 to 10");
        let differ = self.first.view != self.second.view || self.noise > 0.0;
        ensure!(differ, "second.view: the same as first.view, and no noise to tell them apart");
        for (name, side) in [("first", &self.first), ("second", &self.second)] {
            ensure!([1, 2, 4].contains(&side.reduce), "{name}.reduce: 1, 2 or 4");
            side.encoder.check().map_err(|e| anyhow::anyhow!("{name}.encoder: {e}"))?;
        }
        match self.negatives {
            Negatives::InBatch { alike } => ensure!((0.0..=5.0).contains(&alike), "negatives.alike: 0 to 5"),
            Negatives::Bank { count, momentum } => {
                ensure!((1..=1_000_000).contains(&count), "negatives.count: 1 to 1000000");
                ensure!((0.0..1.0).contains(&momentum), "negatives.momentum: 0 to 1, 1 excluded");
            }
        }
        let (rate, decay) = match self.optimiser {
            Optimiser::Sgd { rate, decay, .. } | Optimiser::Adamw { rate, decay } => (rate, decay),
        };
        ensure!(rate > 0.0 && rate <= 10.0, "optimiser.rate: above 0, up to 10");
        ensure!((0.0..=1.0).contains(&decay), "optimiser.decay: 0 to 1");
        ensure!((0.0..=1.0).contains(&self.defects.mismatched), "defects.mismatched: 0 to 1");
        Ok(())
    }

    /// Learning rate of a step out of so many.
    pub fn rate(&self, step: usize, steps: usize) -> f64 {
        match self.optimiser {
            Optimiser::Sgd { rate, .. } => {
                let t = step as f64 / steps.max(1) as f64;
                rate * if t < 2.0 / 3.0 {
                    1.0
                } else if t < 5.0 / 6.0 {
                    0.1
                } else {
                    0.01
                }
            }
            Optimiser::Adamw { rate, decay } => {
                crate::train::Schedule { steps, batch: self.batch, learning_rate: rate, weight_decay: decay }
                    .rate(step)
            }
        }
    }
}

/// Recipes that are compiled in, by name.
pub const BUILT_IN: [(&str, &str); 4] = [
    ("edge", include_str!("../../recipes/pretrain-edge.toml")),
    ("paper", include_str!("../../recipes/pretrain-paper.toml")),
    ("paper-small", include_str!("../../recipes/pretrain-paper-small.toml")),
    ("student", include_str!("../../recipes/pretrain-student.toml")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_recipes_are_valid_and_have_the_sizes_they_say() {
        for (name, text) in BUILT_IN {
            let recipe: PretrainRecipe =
                crate::run::recipe::parse(name, text).unwrap_or_else(|e| panic!("{e}"));
            recipe.check().unwrap_or_else(|e| panic!("{name}: {e}"));
            let macs = [&recipe.first, &recipe.second].map(|s| s.encoder.macs(s.shape()));
            println!("{name}: {:?} million multiply-adds", macs.map(|m| m as f64 / 1e6));
            // What is trained on a CPU stays small.
            assert!(name == "paper" || macs.iter().sum::<u64>() < 8_000_000, "{name}: {macs:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (name, text) = BUILT_IN[0];
        let mut recipe: PretrainRecipe = crate::run::recipe::parse(name, text).expect("valid");
        recipe.second.view = recipe.first.view;
        assert_eq!(
            recipe.check().expect_err("one view").to_string(),
            "second.view: the same as first.view, and no noise to tell them apart"
        );
        let sgd = Optimiser::Sgd { rate: 0.003, momentum: 0.9, decay: 1e-4 };
        let recipe = PretrainRecipe { optimiser: sgd, ..recipe };
        let rates = [0, 159, 160, 200].map(|e| (recipe.rate(e, 240) * 1e6).round());
        assert_eq!(rates, [3000.0, 3000.0, 300.0, 30.0]);
    }
}
